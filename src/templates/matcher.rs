//! Matches a whole sentence against the automaton, and ranks the matches.
//!
//! Pure: text and names in, matches out. The work per sentence is bounded by a number of steps.

use std::cmp::Reverse;
use std::fmt;
use std::rc::Rc;

use foldhash::HashSet;

use crate::templates::automaton::{ListKind, Node};
use crate::templates::compile::CompiledLanguage;
use crate::templates::demand::{Remainder, SlotEdge};
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
    /// Name of a device, as written in the sentence.
    Name(String),
    /// Name of an area, as written in the sentence.
    Area(String),
    /// Name of a floor, as written in the sentence.
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
    /// Slots in their order in the sentence.
    pub(super) captured: Vec<(String, Captured)>,
    /// Bytes of the sentence that were matched by the template's own text, without the values of
    /// its lists.
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

    /// Returns the rank: a longer device name, fewer wildcards, more of the template's own text,
    /// less text in wildcards.
    pub(super) fn rank(&self) -> (usize, Reverse<usize>, usize, Reverse<usize>) {
        let wildcards = self.captured.iter().filter_map(|(_, value)| match value {
            Captured::Wildcard(text) => Some(text.len()),
            _ => None,
        });
        let name = match self.slot("name") {
            Some(Captured::Name(name)) => name.len(),
            _ => 0,
        };
        let (count, bytes) = wildcards.fold((0, 0), |(n, sum), bytes| (n + 1, sum + bytes));
        (name, Reverse(count), self.literal_bytes, Reverse(bytes))
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
        rests: Remainder::of(text, names.edges()),
        names,
        text,
        filled: Vec::new(),
        last_filled: 0,
        fillings: 0,
        literal_bytes: 0,
        name_ends: Vec::new(),
        failed: HashSet::default(),
        completed: HashSet::default(),
        found: Vec::new(),
        steps: 0,
        branches: 0,
    };
    for start in language.automaton.starts(first) {
        if search.rests[0].allows(start) {
            search.step(start.node, 0);
        }
    }
    (search.steps < MAX_STEPS).then(|| search.into_matches())
}

/// A slot and its value during the search, which copies no text.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Filled {
    slot: u32,
    value: SlotValue,
}

/// The value of a slot during the search; texts are from and to a position of the sentence.
#[derive(Debug, Clone, Copy, PartialEq)]
enum SlotValue {
    Name(usize, usize),
    Area(usize, usize),
    Floor(usize, usize),
    /// Position in the values of the automaton.
    Value(u32),
    Number(f64),
    Wildcard(usize, usize),
}

/// A place of the search that was reached with the same slots and the same own text before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SearchPlace {
    node: u32,
    position: usize,
    /// Number of the last slot that was filled, in the order of the search.
    filled: u32,
    literal_bytes: usize,
}

/// The lengths of the names of one list at one position.
struct NamesAt {
    edge: SlotEdge,
    position: usize,
    ends: Rc<[usize]>,
}

struct Search<'a> {
    language: &'a CompiledLanguage,
    /// The rest of the text from each position.
    rests: Vec<Remainder>,
    names: &'a HomeNames,
    text: &'a str,
    filled: Vec<Filled>,
    /// Number of the last slot that was filled; 0 before the first.
    last_filled: u32,
    /// Slots that were filled so far, which numbers them.
    fillings: u32,
    literal_bytes: usize,
    /// Lengths of the names at the positions that were looked at.
    name_ends: Vec<NamesAt>,
    /// Branching nodes and positions from which the sentence cannot be completed.
    failed: HashSet<(u32, usize)>,
    /// Places from which the sentence was completed, which would only give the same matches again.
    completed: HashSet<SearchPlace>,
    found: Vec<(u32, usize, Vec<Filled>)>,
    steps: u32,
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
        let automaton = &self.language.automaton;
        let done = loop {
            self.steps += 1;
            if self.steps >= MAX_STEPS || self.found.len() >= MAX_MATCHES {
                break false;
            }
            match automaton.node(at) {
                Node::Literal { text, next } | Node::ValueText { text, next } => {
                    let text = automaton.text(text);
                    if !self.text.as_bytes()[position..].starts_with(text.as_bytes()) {
                        break false;
                    }
                    position += text.len();
                    if matches!(automaton.node(at), Node::Literal { .. }) {
                        self.literal_bytes += text.len();
                    }
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
                    let value = SlotValue::Value(value);
                    break self.fill(Filled { slot, value }, next, position);
                }
                Node::Accept { block } => break self.accept(block, position),
            }
        };
        self.literal_bytes = before;
        self.branches -= 1;
        done
    }

    fn split(&mut self, at: u32, first: u32, count: u32, position: usize) -> bool {
        let rest = self.rests[position];
        let branches = self.language.automaton.branches(first, count).iter();
        self.steps += count;
        let mut possible = branches.filter(|branch| rest.allows(branch)).peekable();
        if possible.peek().is_none() || self.failed.contains(&(at, position)) {
            return false;
        }
        let here = SearchPlace {
            node: at,
            position,
            filled: self.last_filled,
            literal_bytes: self.literal_bytes,
        };
        if self.completed.contains(&here) {
            return true;
        }
        let mut done = false;
        for branch in possible {
            done |= self.step(branch.node, position);
        }
        if done {
            self.completed.insert(here);
        } else {
            self.failed.insert((at, position));
        }
        done
    }

    /// Continues at `next` with one more slot.
    fn fill(&mut self, filled: Filled, next: u32, position: usize) -> bool {
        let before = self.last_filled;
        self.fillings += 1;
        self.last_filled = self.fillings;
        self.filled.push(filled);
        let done = self.step(next, position);
        self.filled.pop();
        self.last_filled = before;
        done
    }

    fn accept(&mut self, block: u32, position: usize) -> bool {
        if !self.text[position..].trim_start().is_empty() {
            return false;
        }
        let is_same = |(other, bytes, filled): &(u32, usize, Vec<Filled>)| {
            *other == block && *bytes == self.literal_bytes && *filled == self.filled
        };
        if !self.found.iter().any(is_same) {
            let found = (block, self.literal_bytes, self.filled.clone());
            self.found.push(found);
        }
        true
    }

    fn slot(&mut self, list: u32, slot: u32, next: u32, position: usize) -> bool {
        let (text, language) = (self.text, self.language);
        let rest = &text[position..];
        let kind = &language.automaton.lists[list as usize];
        let ends = self.name_ends(kind, position);
        let mut done = false;
        let mut fill = |end: usize, value: SlotValue| {
            done |= self.fill(Filled { slot, value }, next, position + end);
        };
        for &end in ends.iter() {
            let to = position + end;
            match kind {
                ListKind::Names => fill(end, SlotValue::Name(position, to)),
                ListKind::Areas => fill(end, SlotValue::Area(position, to)),
                _ => fill(end, SlotValue::Floor(position, to)),
            }
        }
        match kind {
            ListKind::Names | ListKind::Areas | ListKind::Floors => {}
            ListKind::Range(range) => {
                if let Some((end, n)) = leading_number(rest).filter(|(_, n)| range.contains(*n)) {
                    let number = SlotValue::Number(n * range.multiplier);
                    fill(end, number);
                    // "83 percent" is also a number with its unit where the template has no space.
                    if rest[end..].starts_with(' ') {
                        fill(end + 1, number);
                    }
                }
            }
            ListKind::Wildcard => rest
                .char_indices()
                .map(|(at, c)| at + c.len_utf8())
                .for_each(|end| fill(end, SlotValue::Wildcard(position, position + end))),
        }
        done
    }

    /// Returns the lengths of the names of a list with which the text continues at a position.
    fn name_ends(&mut self, kind: &ListKind, position: usize) -> Rc<[usize]> {
        let (list, edge) = match kind {
            ListKind::Names => (&self.names.devices, SlotEdge::Name),
            ListKind::Areas => (&self.names.areas, SlotEdge::Area),
            ListKind::Floors => (&self.names.floors, SlotEdge::Floor),
            ListKind::Range(_) | ListKind::Wildcard => return Rc::from([]),
        };
        let mut known = self.name_ends.iter();
        if let Some(known) = known.find(|known| (known.edge, known.position) == (edge, position)) {
            return Rc::clone(&known.ends);
        }
        let ends: Rc<[usize]> = list.prefixes(&self.text[position..]).collect();
        self.name_ends.push(NamesAt {
            edge,
            position,
            ends: Rc::clone(&ends),
        });
        ends
    }

    /// Returns the matches with their texts.
    fn into_matches(self) -> Vec<Match> {
        let automaton = &self.language.automaton;
        let captured = |filled: Filled| {
            let text = |from: usize, to: usize| &self.text[from..to];
            let value = match filled.value {
                SlotValue::Name(from, to) => Captured::Name(text(from, to).to_owned()),
                SlotValue::Area(from, to) => Captured::Area(text(from, to).to_owned()),
                SlotValue::Floor(from, to) => Captured::Floor(text(from, to).to_owned()),
                SlotValue::Value(value) => {
                    Captured::Value(automaton.values[value as usize].to_string())
                }
                SlotValue::Number(number) => Captured::Number(number),
                SlotValue::Wildcard(from, to) => {
                    Captured::Wildcard(text(from, to).trim().to_owned())
                }
            };
            (automaton.slots[filled.slot as usize].to_string(), value)
        };
        self.found
            .iter()
            .map(|(block, literal_bytes, filled)| Match {
                block: *block as usize,
                captured: filled.iter().copied().map(captured).collect(),
                literal_bytes: *literal_bytes,
            })
            .collect()
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
    use crate::templates::compile::compile;

    const LANGUAGE: &str = r#"{
        "lists": {
            "level": {"range": {"from": 0, "to": 100}},
            "warmth": {"range": {"from": -20, "to": 40}},
            "song": {"wildcard": true},
            "class": {"values": [
                {"in": "blind[s]", "out": "blind"}, {"in": "(blinds|shade)", "out": "shade"}]}
        },
        "intents": {"HassTurnOn": {"data": [
            {"sentences": ["{name} [in] [the] {area}", "{name} {level} (é|ü|%)", "[a] {area}"]},
            {"sentences": ["{area}lampe an", "über {name}", "{warmth}", "{level}[%| percent] b"]},
            {"sentences": ["a", "play {song}", "{song} x", "({name};{area};z)", "close {class}"]}
        ]}}}"#;

    fn found(text: &str) -> Vec<String> {
        let language = compile(&[serde_json::from_str(LANGUAGE).unwrap()]).unwrap();
        let names = HomeNames::of_texts(&["lamp", "ö", "7", "lamp 5"], &["hall", "q", "a b"]);
        let found = matches(&language, &names, text).unwrap();
        let texts = found.iter().map(|found| {
            let slots = found.captured.iter();
            let slots = slots.map(|(slot, value)| format!("{slot}={value}"));
            slots.collect::<Vec<_>>().join(" ")
        });
        let mut texts: Vec<_> = texts.collect();
        // A free text with the space behind it is found as well.
        texts.dedup();
        texts
    }

    #[test]
    fn no_edge_of_a_sentence_hides_a_match() {
        for (text, slots) in [
            ("lamp hall", "name=lamp area=hall"),
            ("lamp in the q", "name=lamp area=q"),
            ("ö q", "name=ö area=q"),
            ("7 in a b", "name=7 area=a b"),
            ("lamp 5 6 %", "name=lamp 5 level=6"),
            ("lamp 5 %", "name=lamp level=5"),
            ("7 6 ü", "name=7 level=6"),
            ("a", ""),
            ("a q", "area=q"),
            ("a a b", "area=a b"),
            ("halllampe an", "area=hall"),
            ("über ö", "name=ö"),
            ("über lamp 5", "name=lamp 5"),
            ("-3", "warmth=-3"),
            ("5% b", "level=5"),
            ("5 percent b", "level=5"),
            ("play é", "song=é"),
            ("é x", "song=é"),
            ("z hall lamp", "area=hall name=lamp"),
        ] {
            assert_eq!(found(text), [slots], "{text}");
        }
        for text in [
            "lamp",
            "hall lamp",
            "an",
            "b",
            "lamp 5 6",
            "über",
            "z",
            "5 percen b",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn equal_matches_are_in_the_order_of_their_templates() {
        assert_eq!(found("close blinds"), ["class=blind", "class=shade"]);
    }

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
