//! Matches a whole sentence against the automaton, and ranks what matched.
//!
//! Pure: text and names in, matches out. The work per sentence is bounded by a number of steps.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use crate::templates::automaton::{ListKind, Node};
use crate::templates::compile::CompiledLanguage;
use crate::templates::names::HomeNames;

/// Most steps for one sentence. A usual one takes some hundreds.
const MAX_STEPS: u32 = 60_000;

/// Deepest nesting of branches and slots, which bounds the stack. A usual sentence has 40.
const MAX_BRANCHES: u32 = 400;

/// Most matches collected for one sentence.
const MAX_MATCHES: usize = 64;

/// Longest sentence that is matched, in bytes.
const MAX_TEXT_BYTES: usize = 512;

/// The value of a slot.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Captured {
    /// Name of a device, as said.
    Name(String),
    /// Name of an area, as said.
    Area(String),
    /// Name of a floor, as said.
    Floor(String),
    /// Value of a list.
    Value(String),
    /// Number, after multiplication.
    Number(f64),
    /// Any text.
    Wildcard(String),
}

impl fmt::Display for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(text)
            | Self::Area(text)
            | Self::Floor(text)
            | Self::Value(text)
            | Self::Wildcard(text) => f.write_str(text),
        }
    }
}

/// One way in which the whole sentence matched.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Match {
    /// Position in [`CompiledLanguage::blocks`].
    pub(super) block: usize,
    /// Slots in the order they were said.
    pub(super) captured: Vec<(String, Captured)>,
    /// Bytes of the sentence that were matched by the template's own text.
    pub(super) literal_bytes: usize,
}

impl Match {
    /// Returns the slot with this name.
    pub(super) fn slot(&self, name: &str) -> Option<&Captured> {
        let mut slots = self.captured.iter().rev();
        slots.find(|(slot, _)| slot == name).map(|(_, value)| value)
    }

    /// Returns whether the sentence is nothing but a name, without a verb or a state.
    pub(super) fn is_bare_name(&self) -> bool {
        let is_name = |value: &Captured| matches!(value, Captured::Name(_) | Captured::Area(_));
        self.literal_bytes == 0 && self.captured.iter().all(|(_, value)| is_name(value))
    }

    /// Returns the rank: fewer wildcards, a longer device name, more literal text.
    pub(super) fn rank(&self) -> (std::cmp::Reverse<usize>, usize, usize) {
        let is_wildcard = |value: &Captured| matches!(value, Captured::Wildcard(_));
        let wildcards = self.captured.iter().filter(|(_, v)| is_wildcard(v)).count();
        let name = match self.slot("name") {
            Some(Captured::Name(name)) => name.len(),
            _ => 0,
        };
        (std::cmp::Reverse(wildcards), name, self.literal_bytes)
    }
}

/// Returns every way in which `text` as a whole is a sentence of the language, or `None` where that
/// is too much work.
pub(super) fn matches(
    language: &CompiledLanguage,
    names: &HomeNames,
    text: &str,
) -> Option<Vec<Match>> {
    let first = text.chars().next()?;
    if text.len() > MAX_TEXT_BYTES {
        return None;
    }
    let mut search = Search {
        language,
        names,
        text,
        captured: Vec::new(),
        literal_bytes: 0,
        failed: HashSet::new(),
        found: Vec::new(),
        steps: Cell::new(0),
        branches: 0,
    };
    for start in language.automaton.starts(first) {
        search.step(start, 0);
    }
    (search.steps.get() < MAX_STEPS).then_some(search.found)
}

struct Search<'a> {
    language: &'a CompiledLanguage,
    names: &'a HomeNames,
    text: &'a str,
    captured: Vec<(u32, Captured)>,
    literal_bytes: usize,
    /// Branching nodes and positions from which the sentence cannot be completed.
    failed: HashSet<(u32, usize)>,
    found: Vec<Match>,
    steps: Cell<u32>,
    /// Present depth of branches and slots.
    branches: u32,
}

impl Search<'_> {
    /// Follows the automaton from `at`, and returns whether the sentence was completed.
    fn step(&mut self, mut at: u32, mut position: usize) -> bool {
        let before = self.literal_bytes;
        if self.branches >= MAX_BRANCHES {
            return false;
        }
        self.branches += 1;
        let done = loop {
            self.steps.set(self.steps.get() + 1);
            if self.steps.get() >= MAX_STEPS || self.found.len() >= MAX_MATCHES {
                break false;
            }
            match self.language.automaton.node(at) {
                Node::Literal { text, next } => {
                    let text = self.language.automaton.text(text);
                    if !self.text[position..].starts_with(text) {
                        break false;
                    }
                    position += text.len();
                    self.literal_bytes += text.len();
                    at = next;
                }
                Node::Boundary { next } => {
                    let Some(after) = boundary(self.text, position) else {
                        break false;
                    };
                    position = after;
                    at = next;
                }
                Node::Split { first, count } => break self.split(at, first, count, position),
                Node::Slot { list, slot, next } => break self.slot(list, slot, next, position),
                Node::Value { value, slot, next } => {
                    let value = self.language.automaton.values[value as usize].to_string();
                    self.captured.push((slot, Captured::Value(value)));
                    let done = self.step(next, position);
                    self.captured.pop();
                    break done;
                }
                Node::Accept { block } => break self.accept(block, position),
            }
        };
        self.literal_bytes = before;
        self.branches -= 1;
        done
    }

    fn split(&mut self, at: u32, first: u32, count: u32, position: usize) -> bool {
        if self.failed.contains(&(at, position)) {
            return false;
        }
        let mut done = false;
        for branch in 0..count {
            let next = self.language.automaton.branches(first, count)[branch as usize];
            done |= self.step(next, position);
        }
        if !done {
            self.failed.insert((at, position));
        }
        done
    }

    fn accept(&mut self, block: u32, position: usize) -> bool {
        if !self.text[position..].trim_start().is_empty() {
            return false;
        }
        let slots = &self.language.automaton.slots;
        let named =
            |(slot, value): &(u32, Captured)| (slots[*slot as usize].to_string(), value.clone());
        self.found.push(Match {
            block: block as usize,
            captured: self.captured.iter().map(named).collect(),
            literal_bytes: self.literal_bytes,
        });
        true
    }

    fn slot(&mut self, list: u32, slot: u32, next: u32, position: usize) -> bool {
        let rest = &self.text[position..];
        let candidates: Vec<(usize, Captured)> = match &self.language.automaton.lists[list as usize]
        {
            ListKind::Names => {
                let ends = self.names.devices.prefixes(rest);
                ends.map(|end| (end, Captured::Name(rest[..end].to_owned())))
                    .collect()
            }
            ListKind::Areas => {
                let ends = self.names.areas.prefixes(rest);
                ends.map(|end| (end, Captured::Area(rest[..end].to_owned())))
                    .collect()
            }
            ListKind::Floors => {
                let ends = self.names.floors.prefixes(rest);
                ends.map(|end| (end, Captured::Floor(rest[..end].to_owned())))
                    .collect()
            }
            ListKind::Range(range) => {
                let number = leading_number(rest).filter(|(_, number)| range.contains(*number));
                let value = number.map(|(end, n)| (end, Captured::Number(n * range.multiplier)));
                value.into_iter().collect()
            }
            ListKind::Wildcard => {
                let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8());
                ends.map(|end| (end, Captured::Wildcard(rest[..end].trim().to_owned())))
                    .collect()
            }
        };
        let mut done = false;
        for (end, value) in candidates {
            self.captured.push((slot, value));
            done |= self.step(next, position + end);
            self.captured.pop();
        }
        done
    }
}

/// Returns the position after a word boundary at `position`, if there is one.
fn boundary(text: &str, position: usize) -> Option<usize> {
    let rest = &text[position..];
    if rest.starts_with(' ') {
        return Some(position + 1);
    }
    let before = &text[..position];
    (rest.is_empty() || before.is_empty() || before.ends_with(' ')).then_some(position)
}

/// Returns the number at the start of `text` and its length in bytes.
fn leading_number(text: &str) -> Option<(usize, f64)> {
    let sign = usize::from(text.starts_with('-'));
    let digits = |from: usize| {
        let rest = &text.as_bytes()[from..];
        rest.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let whole = digits(sign);
    if whole == 0 || whole > 6 {
        return None;
    }
    let mut end = sign + whole;
    if text[end..].starts_with(['.', ',']) {
        let fraction = digits(end + 1);
        if fraction > 0 {
            end += 1 + fraction;
        }
    }
    let number = text[..end].replace(',', ".").parse().ok()?;
    Some((end, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_with_sign_and_fraction() {
        assert_eq!(leading_number("21,5 grad"), Some((4, 21.5)));
        assert_eq!(leading_number("-3"), Some((2, -3.0)));
        assert_eq!(leading_number("50%"), Some((2, 50.0)));
        assert_eq!(leading_number("x"), None);
        assert_eq!(leading_number("12345678"), None);
    }

    #[test]
    fn a_boundary_is_a_space_or_an_edge() {
        assert_eq!(boundary("a b", 1), Some(2));
        assert_eq!(boundary("a b", 2), Some(2));
        assert_eq!(boundary("ab", 1), None);
        assert_eq!(boundary("ab", 2), Some(2));
    }
}
