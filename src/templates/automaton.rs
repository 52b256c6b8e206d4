//! The compiled form of one language: all its sentences as one graph of small nodes.
//!
//! Equal parts with equal continuations are stored once, from the end backwards. A match starts at
//! one of the nodes that [`Automaton::starts`] gives for its first character, so most sentences are
//! never looked at.

use std::collections::HashMap;

/// Most nodes of one language. The largest published language needs about a fifth of it.
pub(super) const MAX_NODES: usize = 400_000;

/// One step of a match. The numbers are positions in the automaton's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// These letters must follow.
    Literal { text: u32, next: u32 },
    /// These letters must follow; they are part of a list's value and not the template's own text.
    ValueText { text: u32, next: u32 },
    /// A word ends or begins here.
    Boundary { next: u32 },
    /// One of these nodes follows.
    Split { first: u32, count: u32 },
    /// A value that the home, a range or a wildcard defines.
    Slot { list: u32, slot: u32, next: u32 },
    /// The value of a list was matched by its text.
    Value { value: u32, slot: u32, next: u32 },
    /// The sentence is complete.
    Accept { block: u32 },
}

/// Values that are not plain text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ListKind {
    /// Names of devices.
    Names,
    /// Names of areas.
    Areas,
    /// Names of floors.
    Floors,
    /// Any text of at least one character.
    Wildcard,
    /// Numbers.
    Range(NumberRange),
}

/// The numbers that a slot takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NumberRange {
    /// Smallest number as spoken.
    pub(super) from: f64,
    /// Largest number as spoken.
    pub(super) to: f64,
    /// Distance between two numbers.
    pub(super) step: f64,
    /// Factor from the spoken number to the value.
    pub(super) multiplier: f64,
    /// Parts of a whole that may be spoken: 1 for whole numbers, 2 for halves, 10 for tenths.
    pub(super) fractions: f64,
}

impl NumberRange {
    /// Returns whether a speaker may say this number.
    pub(super) fn contains(&self, number: f64) -> bool {
        let parts = number * self.fractions;
        let whole = (parts - parts.round()).abs() < 1e-6;
        let steps = (number - self.from) / self.step;
        let stepped = self.step <= 1.0 || (steps - steps.round()).abs() < 1e-6;
        (self.from..=self.to).contains(&number) && whole && stepped
    }
}

/// All sentences of one language.
#[derive(Debug, Default)]
pub(super) struct Automaton {
    pub(super) nodes: Vec<Node>,
    /// Branches of [`Node::Split`].
    pub(super) edges: Vec<u32>,
    /// Texts of [`Node::Literal`] and [`Node::ValueText`].
    pub(super) texts: Vec<Box<str>>,
    /// Lists behind [`Node::Slot`].
    pub(super) lists: Vec<ListKind>,
    /// Names of slots.
    pub(super) slots: Vec<Box<str>>,
    /// Values behind [`Node::Value`].
    pub(super) values: Vec<Box<str>>,
    /// Starts of sentences, by the first character.
    pub(super) by_first: HashMap<char, Vec<u32>>,
    /// Starts of sentences with any first character.
    pub(super) any_first: Vec<u32>,
}

impl Automaton {
    /// Returns whether every position is inside its table, for a language with this many blocks.
    pub(super) fn is_sound(&self, blocks: usize) -> bool {
        let is_node = |at: u32| (at as usize) < self.nodes.len();
        let is_slot = |at: u32| (at as usize) < self.slots.len();
        let is_text = |at: u32| {
            let text = self.texts.get(at as usize);
            text.is_some_and(|text| !text.is_empty())
        };
        let is_sound = |node: &Node| match *node {
            Node::Literal { text, next } | Node::ValueText { text, next } => {
                is_text(text) && is_node(next)
            }
            Node::Boundary { next } => is_node(next),
            Node::Split { first, count } => {
                let end = (first as usize).saturating_add(count as usize);
                end <= self.edges.len() && first.checked_add(count).is_some()
            }
            Node::Slot { list, slot, next } => {
                (list as usize) < self.lists.len() && is_slot(slot) && is_node(next)
            }
            Node::Value { value, slot, next } => {
                (value as usize) < self.values.len() && is_slot(slot) && is_node(next)
            }
            Node::Accept { block } => (block as usize) < blocks,
        };
        let mut starts = self.by_first.values().flatten().chain(&self.any_first);
        self.nodes.iter().all(is_sound)
            && self.edges.iter().all(|&at| is_node(at))
            && starts.all(|&at| is_node(at))
    }

    pub(super) fn node(&self, at: u32) -> Node {
        self.nodes[at as usize]
    }

    pub(super) fn branches(&self, first: u32, count: u32) -> &[u32] {
        &self.edges[first as usize..(first + count) as usize]
    }

    pub(super) fn text(&self, at: u32) -> &str {
        &self.texts[at as usize]
    }

    /// Returns the nodes at which a sentence may start whose first character is `first`.
    pub(super) fn starts(&self, first: char) -> impl Iterator<Item = u32> + '_ {
        let literal = self.by_first.get(&first).into_iter().flatten();
        literal.chain(&self.any_first).copied()
    }

    /// Returns the memory held by the tables, in bytes, without the allocator's own overhead.
    pub(super) fn bytes(&self) -> usize {
        let texts: usize = self.texts.iter().map(|text| text.len() + 16).sum();
        let starts: usize = self
            .by_first
            .values()
            .map(|starts| starts.len() * 4 + 40)
            .sum();
        self.nodes.len() * size_of::<Node>() + self.edges.len() * 4 + texts + starts
    }
}

/// Builds an [`Automaton`], node by node from the end of each sentence.
#[derive(Debug, Default)]
pub(super) struct AutomatonBuilder {
    automaton: Automaton,
    known: HashMap<Node, u32>,
    branches: HashMap<Vec<u32>, u32>,
    texts: HashMap<Box<str>, u32>,
    starts: Vec<u32>,
}

/// The language has more than [`MAX_NODES`] nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

impl AutomatonBuilder {
    /// Adds a node, or returns the equal one that exists.
    pub(super) fn add(&mut self, node: Node) -> Result<u32, TooLarge> {
        if let Some(&known) = self.known.get(&node) {
            return Ok(known);
        }
        let tables = &mut self.automaton;
        if tables.nodes.len() >= MAX_NODES || tables.edges.len() >= MAX_NODES * 2 {
            return Err(TooLarge);
        }
        let at = index(tables.nodes.len());
        tables.nodes.push(node);
        self.known.insert(node, at);
        Ok(at)
    }

    /// Returns the position of a text, which is stored once.
    pub(super) fn text(&mut self, text: &str) -> u32 {
        if let Some(&known) = self.texts.get(text) {
            known
        } else {
            let at = index(self.automaton.texts.len());
            self.automaton.texts.push(text.into());
            self.texts.insert(text.into(), at);
            at
        }
    }

    pub(super) fn split(&mut self, mut branches: Vec<u32>) -> Result<u32, TooLarge> {
        branches.sort_unstable();
        branches.dedup();
        if let [only] = branches[..] {
            return Ok(only);
        }
        let count = index(branches.len());
        let first = if let Some(&known) = self.branches.get(&branches) {
            known
        } else {
            let first = index(self.automaton.edges.len());
            self.automaton.edges.extend(&branches);
            self.branches.insert(branches, first);
            first
        };
        self.add(Node::Split { first, count })
    }

    pub(super) fn slot(&mut self, name: &str) -> u32 {
        position_or_push(&mut self.automaton.slots, name)
    }

    pub(super) fn value(&mut self, value: &str) -> u32 {
        position_or_push(&mut self.automaton.values, value)
    }

    pub(super) fn list(&mut self, kind: ListKind) -> u32 {
        let lists = &mut self.automaton.lists;
        let at = lists.iter().position(|known| *known == kind);
        at.map_or_else(
            || {
                lists.push(kind);
                index(lists.len() - 1)
            },
            index,
        )
    }

    /// Makes `node` the start of a sentence.
    pub(super) fn start(&mut self, node: u32) {
        self.starts.push(node);
    }

    /// Sorts the starts by their first character.
    pub(super) fn finish(mut self) -> Automaton {
        let mut starts = std::mem::take(&mut self.starts);
        let mut seen = std::collections::HashSet::new();
        while let Some(at) = starts.pop() {
            if !seen.insert(at) {
                continue;
            }
            match self.automaton.node(at) {
                Node::Literal { text, .. } | Node::ValueText { text, .. } => {
                    let first = self.automaton.text(text).chars().next();
                    let first = first.expect("a literal is never empty");
                    self.automaton.by_first.entry(first).or_default().push(at);
                }
                Node::Boundary { next } => starts.push(next),
                Node::Split { first, count } => {
                    starts.extend_from_slice(self.automaton.branches(first, count));
                }
                // A value is marked after its text, so it can only follow an empty text here.
                Node::Slot { .. } | Node::Value { .. } | Node::Accept { .. } => {
                    self.automaton.any_first.push(at);
                }
            }
        }
        self.automaton
    }
}

fn position_or_push(table: &mut Vec<Box<str>>, text: &str) -> u32 {
    let at = table.iter().position(|known| **known == *text);
    index(at.unwrap_or_else(|| {
        table.push(text.into());
        table.len() - 1
    }))
}

fn index(n: usize) -> u32 {
    u32::try_from(n).expect("tables are bounded far below 2^32")
}
