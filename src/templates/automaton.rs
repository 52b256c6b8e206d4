//! The compiled form of one language: all its sentences as one graph of small nodes.
//!
//! Equal parts with equal continuations are stored once, from the end backwards, so each node
//! continues at earlier ones. A match starts at one of the nodes that [`Automaton::starts`] gives
//! for its first character, so most sentences are never looked at.
//!
//! Starts and branches are in the order of the templates.

use std::collections::{HashMap, HashSet};

use crate::templates::demand::{Branch, Demand, SlotEdge};

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

impl ListKind {
    /// Returns the demand of a value before a node with this demand.
    fn before(&self, next: Demand) -> Demand {
        match self {
            Self::Names => next.after_slot(SlotEdge::Name),
            Self::Areas => next.after_slot(SlotEdge::Area),
            Self::Floors => next.after_slot(SlotEdge::Floor),
            Self::Range(_) => next.after_slot(SlotEdge::Number),
            Self::Wildcard => next.after_any_text(),
        }
    }
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
    pub(super) branches: Vec<Branch>,
    /// Texts of [`Node::Literal`] and [`Node::ValueText`].
    pub(super) texts: Vec<Box<str>>,
    /// Lists behind [`Node::Slot`].
    pub(super) lists: Vec<ListKind>,
    /// Names of slots.
    pub(super) slots: Vec<Box<str>>,
    /// Values behind [`Node::Value`].
    pub(super) values: Vec<Box<str>>,
    /// Starts of sentences, by the first character.
    by_first: HashMap<char, Vec<TemplateStart>>,
    /// Starts of sentences with any first character.
    any_first: Vec<TemplateStart>,
}

/// One start of sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TemplateStart {
    /// Position among all starts.
    order: u32,
    pub(super) branch: Branch,
}

impl Automaton {
    /// Returns whether every position is inside its table and every node continues at earlier ones,
    /// for a language with this many blocks.
    pub(super) fn is_sound(&self, starts: &[u32], blocks: usize) -> bool {
        let is_slot = |at: u32| (at as usize) < self.slots.len();
        let is_text = |at: u32| {
            let text = self.texts.get(at as usize);
            text.is_some_and(|text| !text.is_empty())
        };
        let is_sound = |(at, node): (usize, &Node)| {
            let is_earlier = |next: u32| (next as usize) < at;
            match *node {
                Node::Literal { text, next } | Node::ValueText { text, next } => {
                    is_text(text) && is_earlier(next)
                }
                Node::Boundary { next } => is_earlier(next),
                Node::Split { first, count } => {
                    let begin = first as usize;
                    let branches = self.branches.get(begin..begin + count as usize);
                    branches.is_some_and(|to| to.iter().all(|branch| is_earlier(branch.node)))
                }
                Node::Slot { list, slot, next } => {
                    (list as usize) < self.lists.len() && is_slot(slot) && is_earlier(next)
                }
                Node::Value { value, slot, next } => {
                    (value as usize) < self.values.len() && is_slot(slot) && is_earlier(next)
                }
                Node::Accept { block } => (block as usize) < blocks,
            }
        };
        let mut starts = starts.iter();
        self.nodes.iter().enumerate().all(is_sound)
            && starts.all(|&at| (at as usize) < self.nodes.len())
    }

    /// Sets the demands of all branches, and sorts the starts by their first character.
    pub(super) fn with_starts(mut self, starts: &[u32]) -> Self {
        let mut demands: Vec<Demand> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let of = |at: u32| demands[at as usize];
            let demand = match *node {
                Node::Literal { text, next } | Node::ValueText { text, next } => {
                    of(next).after_text(self.text(text))
                }
                Node::Boundary { next } | Node::Value { next, .. } => of(next),
                Node::Slot { list, next, .. } => self.lists[list as usize].before(of(next)),
                Node::Split { first, count } => {
                    let branches = self.branches(first, count).iter();
                    let branches = branches.map(|branch| of(branch.node));
                    branches.reduce(Demand::or).unwrap_or(Demand::NOTHING)
                }
                Node::Accept { .. } => Demand::NOTHING,
            };
            demands.push(demand);
        }
        let branch = |node: u32| Branch::new(node, demands[node as usize]);
        for at in 0..self.branches.len() {
            self.branches[at] = branch(self.branches[at].node);
        }
        for (order, &node) in starts.iter().enumerate() {
            let start = TemplateStart {
                order: index(order),
                branch: branch(node),
            };
            let starts = match self.node(node) {
                Node::Literal { text, .. } | Node::ValueText { text, .. } => {
                    let first = self.text(text).chars().next();
                    let first = first.expect("a literal is never empty");
                    self.by_first.entry(first).or_default()
                }
                _ => &mut self.any_first,
            };
            starts.push(start);
        }
        self
    }

    /// Returns the nodes of all starts, in their order.
    pub(super) fn start_nodes(&self) -> Vec<u32> {
        let starts = self.by_first.values().flatten().chain(&self.any_first);
        let mut starts: Vec<&TemplateStart> = starts.collect();
        starts.sort_unstable_by_key(|start| start.order);
        starts.iter().map(|start| start.branch.node).collect()
    }

    pub(super) fn node(&self, at: u32) -> Node {
        self.nodes[at as usize]
    }

    pub(super) fn branches(&self, first: u32, count: u32) -> &[Branch] {
        &self.branches[first as usize..(first + count) as usize]
    }

    pub(super) fn text(&self, at: u32) -> &str {
        &self.texts[at as usize]
    }

    /// Returns the places at which a sentence may start whose first character is `first`, in the
    /// order of the templates.
    pub(super) fn starts(&self, first: char) -> impl Iterator<Item = &Branch> {
        let mut literal = self.by_first.get(&first).into_iter().flatten().peekable();
        let mut any = self.any_first.iter().peekable();
        std::iter::from_fn(move || {
            let next_any = any.peek().map(|start| start.order);
            let earlier = literal.next_if(|start| next_any.is_none_or(|next| start.order < next));
            Some(&earlier.or_else(|| any.next())?.branch)
        })
    }

    /// Returns the memory held by the tables, in bytes, without the allocator's own overhead.
    pub(super) fn bytes(&self) -> usize {
        let texts: usize = self.texts.iter().map(|text| text.len() + 16).sum();
        let starts = self.by_first.values().map(Vec::len);
        let starts = starts.sum::<usize>() + self.any_first.len();
        self.nodes.len() * size_of::<Node>()
            + self.branches.len() * size_of::<Branch>()
            + starts * size_of::<TemplateStart>()
            + self.by_first.len() * 40
            + texts
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
        if tables.nodes.len() >= MAX_NODES || tables.branches.len() >= MAX_NODES * 2 {
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
        let mut seen = HashSet::new();
        branches.retain(|&branch| seen.insert(branch));
        if let [only] = branches[..] {
            return Ok(only);
        }
        let count = index(branches.len());
        let first = if let Some(&known) = self.branches.get(&branches) {
            known
        } else {
            let tables = &mut self.automaton.branches;
            let first = index(tables.len());
            let nodes = branches.iter();
            tables.extend(nodes.map(|&node| Branch::new(node, Demand::NOTHING)));
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

    /// Returns the automaton, whose starts are no splits and no boundaries any more.
    pub(super) fn finish(self) -> Automaton {
        let mut starts = Vec::new();
        let mut seen = HashSet::new();
        let mut left = self.starts;
        left.reverse();
        while let Some(at) = left.pop() {
            if !seen.insert(at) {
                continue;
            }
            match self.automaton.node(at) {
                Node::Boundary { next } => left.push(next),
                Node::Split { first, count } => {
                    let branches = self.automaton.branches(first, count).iter().rev();
                    left.extend(branches.map(|branch| branch.node));
                }
                // A value is marked after its text, so it can only follow an empty text here.
                _ => starts.push(at),
            }
        }
        self.automaton.with_starts(&starts)
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
