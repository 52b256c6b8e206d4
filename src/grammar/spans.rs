//! Words → spans: the longest run known at each place, with every sense it has. A word in no run silences the phrase.

use crate::grammar::lexicon::Lexicon;
use crate::grammar::names::Names;
use crate::grammar::number::number;
use crate::grammar::sense::{Act, Sense};
use crate::grammar::tokens::words;

/// The most words read. Everyday commands have under 20; what is longer is a story.
const MOST_WORDS: usize = 48;

/// The shortest word that may be mistyped: among shorter ones every other word is one slip away.
const SHORTEST_SLIP: usize = 5;

/// The most words of a name before its noun, where two names share that.
const MOST_BEFORE_NOUN: usize = 4;

/// What was said, as spans.
#[derive(Debug, Default)]
pub(super) struct Spans {
    /// The senses of all spans, one after the other.
    senses: Vec<Sense>,
    /// Where each span's senses end.
    ends: Vec<usize>,
    /// Whether there was a question mark at the end.
    pub(super) asked: bool,
    /// The words of each span, kept for an explanation only.
    said: Vec<String>,
}

/// Why there are no spans to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Silence {
    Empty,
    TooLong,
    /// A word that is in no run, and no slip for one.
    Unknown(String),
}

impl Spans {
    /// The spans of `text`; `None` where a word is unknown.
    pub(super) fn of(text: &str, lexicon: &Lexicon, names: &Names) -> Option<Self> {
        let plain = lexicon.spelling.plain(text);
        let (mut spans, mut said) = Self::begin(&plain).ok()?;
        mend(&mut said, lexicon, names)?;
        count_on(&mut said, lexicon, names);
        let mut at = 0;
        while at < said.len() {
            let mut length = spans.push(&said[at..], lexicon, names);
            if length.is_none() {
                share(&mut said, at, lexicon, names)?;
                length = spans.push(&said[at..], lexicon, names);
            }
            at += length?;
        }
        Some(spans)
    }

    /// The same, going on behind an unknown word: what was found, and the first reason for silence.
    pub(super) fn try_of(plain: &str, lexicon: &Lexicon, names: &Names) -> (Self, Option<Silence>) {
        let (mut spans, mut said) = match Self::begin(plain) {
            Ok(begun) => begun,
            Err(silence) => return (Self::default(), Some(silence)),
        };
        let mut silence = None;
        let mended = mend(&mut said, lexicon, names).is_some();
        count_on(&mut said, lexicon, names);
        let mut at = 0;
        while at < said.len() {
            let mut found = spans.push(&said[at..], lexicon, names);
            if found.is_none() && share(&mut said, at, lexicon, names).is_some() {
                found = spans.push(&said[at..], lexicon, names);
            }
            let length = found.unwrap_or_else(|| {
                silence.get_or_insert(Silence::Unknown(said[at].to_owned()));
                spans.ends.push(spans.senses.len());
                1
            });
            spans.said.push(said[at..at + length].join(" "));
            at += length;
        }
        if !mended && silence.is_none() {
            silence = Some(Silence::Unknown(plain.to_owned()));
        }
        (spans, silence)
    }

    /// Cuts the words, without the question mark.
    fn begin(plain: &str) -> Result<(Self, Vec<&str>), Silence> {
        let mut said = words(plain);
        let mut spans = Self {
            senses: Vec::with_capacity(24),
            ends: Vec::with_capacity(16),
            asked: false,
            said: Vec::new(),
        };
        while said.last() == Some(&"?") {
            said.pop();
            spans.asked = true;
        }
        match said.len() {
            0 => Err(Silence::Empty),
            1..=MOST_WORDS => Ok((spans, said)),
            _ => Err(Silence::TooLong),
        }
    }

    /// The words of each span, where they were kept for an explanation.
    pub(super) fn runs(&self) -> impl Iterator<Item = String> + '_ {
        self.said.iter().cloned()
    }

    /// Takes the longest run at the start of `said`, and gives its length.
    fn push(&mut self, said: &[&str], lexicon: &Lexicon, names: &Names) -> Option<usize> {
        let start = self.senses.len();
        let mut longest = self.longest(said, lexicon, names);
        if longest > 1 && self.is_a_thing_and_its_color(start, &said[..longest], lexicon) {
            self.senses.truncate(start);
            longest = self.longest(&said[..1], lexicon, names);
        }
        if longest == 0 {
            return None;
        }
        self.join_nouns(start);
        self.begin_with_the_verb(start);
        self.ends.push(self.senses.len());
        Some(longest)
    }

    /// The senses of the longest run at the start of `said`, and its length.
    fn longest(&mut self, said: &[&str], lexicon: &Lexicon, names: &Names) -> usize {
        let start = self.senses.len();
        let mut longest = 0;
        let counted = number(lexicon, said).map(|(value, length)| (length, Sense::Number(value)));
        let own = own(said[0]).map(|sense| (1, sense));
        for (length, sense) in names
            .senses(said)
            .chain(lexicon.senses(said))
            .chain(counted)
            .chain(own)
        {
            if length < longest {
                continue;
            }
            if length > longest {
                self.senses.truncate(start);
                longest = length;
            }
            if !self.senses[start..].contains(&sense) {
                self.senses.push(sense);
            }
        }
        longest
    }

    /// "turn the light blue": the light, and blue. "The lamp to light blue" is one colour.
    fn is_a_thing_and_its_color(&self, start: usize, run: &[&str], lexicon: &Lexicon) -> bool {
        let [first, color @ ..] = run else {
            return false;
        };
        let expected = matches!(
            self.senses[..start].last(),
            Some(
                Sense::Article
                    | Sense::Act(Act::Turn | Act::Set)
                    | Sense::Place(_)
                    | Sense::Possessive
            )
        );
        expected
            && self.senses[start..]
                .iter()
                .any(|s| matches!(s, Sense::Color(_)))
            && lexicon
                .senses(&[first])
                .any(|(_, s)| matches!(s, Sense::Noun(..)))
            && lexicon
                .senses(color)
                .any(|(length, s)| length == color.len() && matches!(s, Sense::Color(_)))
    }

    /// A name spelt like a noun ("Thermostat") is one sense: the name, or else the noun.
    fn join_nouns(&mut self, start: usize) {
        let noun = self.senses[start..].iter().find_map(|s| {
            if let Sense::Noun(noun, many) = *s {
                Some((noun, many))
            } else {
                None
            }
        });
        let called = self.senses[start..]
            .iter()
            .position(|s| matches!(s, Sense::Called(..)));
        if let (Some(noun), Some(at)) = (noun, called) {
            if let Sense::Called(_, same) = &mut self.senses[start + at] {
                *same = Some(noun);
            }
            let mut kept = 0;
            self.senses.retain(|s| {
                kept += 1;
                kept <= start || !matches!(s, Sense::Noun(..))
            });
        }
    }

    /// "switch off the kitchen": where a clause begins, a word that may be "turn" is no thing.
    fn begin_with_the_verb(&mut self, start: usize) {
        let begins = self.senses[..start]
            .last()
            .is_none_or(|s| matches!(s, Sense::Skip | Sense::Polite | Sense::And | Sense::Comma));
        if begins && self.senses[start..].contains(&Sense::Act(Act::Turn)) {
            let mut kept = 0;
            self.senses.retain(|s| {
                kept += 1;
                kept <= start || !matches!(s, Sense::Noun(..))
            });
        }
    }

    /// The senses of each span.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[Sense]> {
        self.ends.iter().scan(0, |from, &to| {
            Some(&self.senses[std::mem::replace(from, to)..to])
        })
    }
}

/// What needs no language.
fn own(word: &str) -> Option<Sense> {
    match word {
        "," | "." | ";" | "!" => Some(Sense::Comma),
        hex => {
            let digits = hex.strip_prefix('#').filter(|d| d.len() == 6)?;
            let part = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
            Some(Sense::Hex([part(0)?, part(2)?, part(4)?]))
        }
    }
}

/// "zone 1 and 2" is "zone 1 and zone 2", where there are such.
fn count_on(said: &mut Vec<&str>, lexicon: &Lexicon, names: &Names) {
    let is_digits = |word: &str| word.bytes().all(|b| b.is_ascii_digit());
    let is_and = |word: &str| {
        word == ","
            || lexicon
                .senses(&[word])
                .any(|(_, sense)| sense == Sense::And)
    };
    let mut at = 1;
    while at + 2 < said.len() {
        if is_digits(said[at]) && is_digits(said[at + 2]) && is_and(said[at + 1]) {
            let is_name = |name: &&[&str]| {
                [at, at + 2]
                    .iter()
                    .all(|&number| names.calls(&[name, &said[number..=number]].concat()))
            };
            let name = (at.saturating_sub(MOST_BEFORE_NOUN)..at)
                .map(|from| &said[from..at])
                .find(is_name)
                .map(<[_]>::to_vec);
            if let Some(name) = name {
                let length = name.len();
                said.splice(at + 2..at + 2, name);
                at += 1 + length;
            }
        }
        at += 1;
    }
}

/// "the front and back door": what stands before "and" has the noun of the name after it. `None` where that makes no names.
fn share<'a>(
    said: &mut Vec<&'a str>,
    at: usize,
    lexicon: &'a Lexicon,
    names: &'a Names,
) -> Option<()> {
    let is = |word: &str, wanted: Sense| lexicon.senses(&[word]).any(|(_, sense)| sense == wanted);
    if at > 2 && is(said[at - 1], Sense::And) {
        // "curtain left and right"
        let is_front = |front: &&[&str]| {
            [at - 2, at]
                .iter()
                .all(|&last| names.calls(&[front, &said[last..=last]].concat()))
        };
        let front = (at.saturating_sub(MOST_BEFORE_NOUN)..at - 2)
            .map(|from| &said[from..at - 2])
            .find(is_front)?
            .to_vec();
        said.splice(at..at, front);
        return Some(());
    }
    let and = (at + 1..said.len().min(at + 3)).find(|&i| is(said[i], Sense::And))?;
    let from = and
        + 1
        + usize::from(
            said.get(and + 1)
                .is_some_and(|word| is(word, Sense::Article)),
        );
    let ends = from + 1..said.len().min(from + MOST_BEFORE_NOUN);
    for (end, noun) in ends.flat_map(|end| {
        names
            .forms_of(said[end], lexicon)
            .into_iter()
            .flatten()
            .map(move |noun| (end, noun))
    }) {
        let second = [&said[from..end], &[noun]].concat();
        // "left and right reading light": what is shared may be more than the last word.
        let shared = (1..second.len())
            .map(|own| &second[own..])
            .find(|shared| names.calls(&[&said[at..and], shared].concat()));
        if let Some(shared) = shared.filter(|_| names.calls(&second)) {
            said[end] = noun;
            said.splice(and..and, shared.iter().copied());
            return Some(());
        }
    }
    None
}

/// Takes compounds apart, and puts the one word it may be a slip of in the place of an unknown word. `None` where that is not certain.
fn mend<'a>(said: &mut Vec<&'a str>, lexicon: &'a Lexicon, names: &'a Names) -> Option<()> {
    let mut mended = false;
    let mut at = 0;
    while at < said.len() {
        let word = said[at];
        let known = lexicon.knows(word)
            || names.knows(word)
            || own(word).is_some()
            || word.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        if known {
        } else if let Some([place, thing]) = names.compound(word, lexicon) {
            said[at] = place;
            said.insert(at + 1, thing);
        } else {
            if mended || word.len() < SHORTEST_SLIP || !lexicon.may_be_a_slip(word) {
                return None;
            }
            said[at] = names.slip_of(word)?;
            mended = true;
        }
        at += 1;
    }
    Some(())
}
