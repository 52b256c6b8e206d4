//! Words → spans: the longest known phrase at each position, with all its senses.
//!
//! A word that is in no phrase makes the sentence not understood.

use crate::grammar::lexicon::Lexicon;
use crate::grammar::names::Names;
use crate::grammar::number::{may_begin_number, number};
use crate::grammar::sense::{Place, Sense, Verb};
use crate::grammar::tokens::phrase;

/// Longest sentence, in words. Everyday commands have fewer than 20.
pub(super) const MOST_WORDS: usize = 48;

/// Shortest word that is corrected: most shorter words are one edit away from another word.
const SHORTEST_TYPO: usize = 5;

/// Longest part of a name, in words, that two names may share.
const MOST_BEFORE_NOUN: usize = 4;

/// A sentence as spans.
#[derive(Debug, Default)]
pub(super) struct Spans {
    /// Senses of all spans, concatenated.
    senses: Vec<Sense>,
    ends: Vec<SpanEnd>,
    /// Whether the sentence ends with a question mark.
    pub(super) asked: bool,
}

/// The spans of a sentence that may have unknown words.
#[derive(Debug, Default)]
pub(super) struct TriedSpans<'a> {
    pub(super) spans: Spans,
    /// The words of all spans.
    words: Vec<&'a str>,
    /// The first error.
    pub(super) error: Option<SpanError>,
}

/// End of a span in the senses and in the words of a sentence.
#[derive(Debug, Clone, Copy)]
struct SpanEnd {
    sense: usize,
    word: usize,
}

/// The reason a sentence has no spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SpanError {
    Empty,
    TooLong,
    /// A word that is in no phrase and has no correction.
    Unknown(String),
}

impl TriedSpans<'_> {
    /// Returns the words of each span.
    pub(super) fn runs(&self) -> impl Iterator<Item = String> + '_ {
        self.spans.ends.iter().scan(0, |from, end| {
            let start = std::mem::replace(from, end.word);
            Some(self.words[start..end.word].join(" "))
        })
    }
}

impl Spans {
    /// Returns the spans of a text in plain spelling, or `None` if a word is unknown.
    pub(super) fn of(plain: &str, lexicon: &Lexicon, names: &Names) -> Option<Self> {
        let (mut spans, mut input) = Self::begin(plain, lexicon).ok()?;
        correct_typos(&mut input, lexicon, names)?;
        distribute_name(&mut input, lexicon, names);
        move_half(&mut input, lexicon);
        let mut at = 0;
        while at < input.len() {
            let mut length = spans.push(&input[at..], lexicon, names);
            if length.is_none() {
                distribute_noun(&mut input, at, lexicon, names)?;
                length = spans.push(&input[at..], lexicon, names);
            }
            at += length?;
            spans.end_at(at);
        }
        spans.drop_lonely_verbs();
        Some(spans)
    }

    /// Returns the spans of a text beyond unknown words. Without an error they are those of
    /// [`Spans::of`].
    pub(super) fn try_of<'a>(
        plain: &'a str,
        lexicon: &'a Lexicon,
        names: &'a Names,
    ) -> TriedSpans<'a> {
        let (mut spans, mut input) = match Self::begin(plain, lexicon) {
            Ok(begun) => begun,
            Err(error) => {
                return TriedSpans {
                    error: Some(error),
                    ..TriedSpans::default()
                };
            }
        };
        let mut error = None;
        let corrected = correct_typos(&mut input, lexicon, names).is_some();
        distribute_name(&mut input, lexicon, names);
        move_half(&mut input, lexicon);
        let mut at = 0;
        while at < input.len() {
            let mut found = spans.push(&input[at..], lexicon, names);
            if found.is_none() && distribute_noun(&mut input, at, lexicon, names).is_some() {
                found = spans.push(&input[at..], lexicon, names);
            }
            let length = found.unwrap_or_else(|| {
                error.get_or_insert(SpanError::Unknown(input[at].to_owned()));
                1
            });
            at += length;
            spans.end_at(at);
        }
        spans.drop_lonely_verbs();
        if !corrected && error.is_none() {
            error = Some(SpanError::Unknown(plain.to_owned()));
        }
        TriedSpans {
            spans,
            words: input,
            error,
        }
    }

    /// Splits the text into words and removes the question mark.
    fn begin<'a>(plain: &'a str, lexicon: &'a Lexicon) -> Result<(Self, Vec<&'a str>), SpanError> {
        let mut input = lexicon.words(plain);
        let mut spans = Self {
            senses: Vec::with_capacity(24),
            ends: Vec::with_capacity(input.len()),
            asked: false,
        };
        while input.last() == Some(&"?") {
            input.pop();
            spans.asked = true;
        }
        match input.len() {
            0 => Err(SpanError::Empty),
            1..=MOST_WORDS => Ok((spans, input)),
            _ => Err(SpanError::TooLong),
        }
    }

    /// Ends a span behind the senses that were added, at the word `word`.
    fn end_at(&mut self, word: usize) {
        let sense = self.senses.len();
        self.ends.push(SpanEnd { sense, word });
    }

    /// Adds the senses of the longest phrase at the start of `input`, and returns its number of
    /// words.
    fn push(&mut self, input: &[&str], lexicon: &Lexicon, names: &Names) -> Option<usize> {
        let start = self.senses.len();
        let mut longest = self.longest(input, lexicon, names);
        if longest > 1 && self.is_a_thing_and_its_color(start, &input[..longest], lexicon) {
            self.senses.truncate(start);
            longest = self.longest(&input[..1], lexicon, names);
        }
        if let Some(before) = overlapped(input, longest, names) {
            let kept = self.senses.split_off(start);
            let shorter = self.longest(&input[..before], lexicon, names);
            if shorter > 0 {
                longest = shorter;
            } else {
                self.senses.truncate(start);
                self.senses.extend(kept);
            }
        }
        if longest == 0 {
            return None;
        }
        self.join_nouns(start);
        self.begin_with_the_verb(start);
        Some(longest)
    }

    /// Adds the senses of the longest phrase at the start of `input`, and returns its number of
    /// words.
    fn longest(&mut self, input: &[&str], lexicon: &Lexicon, names: &Names) -> usize {
        let start = self.senses.len();
        let mut longest = 0;
        let counted = number(lexicon, input)
            .filter(|(_, length)| *length > 1 || is_number(input, lexicon))
            .map(|(value, length)| (length, Sense::Number(value)));
        let own = language_independent(input[0]).map(|sense| (1, sense));
        for (length, sense) in names
            .senses(input)
            .chain(lexicon.senses(input))
            .chain(counted)
            .chain(own)
        {
            let (length, sense) = with_half(input, (length, sense), lexicon);
            let is_number = matches!(sense, Sense::Number(_));
            if length < longest || is_number && is_half_of_nothing(input, length, lexicon) {
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

    /// Returns whether a phrase is a noun and its colour, as in "turn the light blue", and not one
    /// colour, as in "the lamp to light blue".
    fn is_a_thing_and_its_color(&self, start: usize, run: &[&str], lexicon: &Lexicon) -> bool {
        let [first, color @ ..] = run else {
            return false;
        };
        let expected = matches!(
            self.senses[..start].last(),
            Some(
                Sense::Article
                    | Sense::Indefinite(_)
                    | Sense::Verb(Verb::Turn | Verb::Set)
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

    /// Joins a name and a noun of the same spelling ("Thermostat") to one sense.
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
            .position(|s| matches!(s, Sense::Name(..)));
        if let (Some(noun), Some(at)) = (noun, called) {
            if let Sense::Name(_, same) = &mut self.senses[start + at] {
                *same = Some(noun);
            }
            let mut kept = 0;
            self.senses.retain(|s| {
                kept += 1;
                kept <= start || !matches!(s, Sense::Noun(..))
            });
        }
    }

    /// Removes nouns that are verbs at the start of a clause: "switch off the kitchen".
    fn begin_with_the_verb(&mut self, start: usize) {
        let begins = self.senses[..start].last().is_none_or(|s| {
            s.is_filler() || matches!(s, Sense::Polite | Sense::And | Sense::Comma)
        });
        if begins && self.senses[start..].contains(&Sense::Verb(Verb::Turn)) {
            let mut kept = 0;
            self.senses.retain(|s| {
                kept += 1;
                kept <= start || !matches!(s, Sense::Noun(..))
            });
        }
    }

    /// Removes the first parts of separable verbs whose second part does not follow, unless they
    /// are all that their span means.
    fn drop_lonely_verbs(&mut self) {
        let is_split = |sense: &Sense| matches!(sense, Sense::SplitVerb(..));
        if !self.senses.iter().any(is_split) {
            return;
        }
        let mut ends = Vec::with_capacity(self.ends.len());
        let mut kept = Vec::with_capacity(self.senses.len());
        let mut start = 0;
        for &SpanEnd { sense: end, word } in &self.ends {
            let own = &self.senses[start..end];
            let follows = |sense: &&Sense| match sense {
                Sense::SplitVerb(_, id) => self.senses[end..].contains(&Sense::Particle(*id)),
                _ => true,
            };
            let meant: Vec<Sense> = own.iter().filter(follows).copied().collect();
            kept.extend(if meant.is_empty() {
                own.to_vec()
            } else {
                meant
            });
            let sense = kept.len();
            ends.push(SpanEnd { sense, word });
            start = end;
        }
        (self.senses, self.ends) = (kept, ends);
    }

    /// Returns the senses of each span.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[Sense]> {
        self.ends.iter().scan(0, |from, end| {
            Some(&self.senses[std::mem::replace(from, end.sense)..end.sense])
        })
    }
}

/// Returns the number of words before a whole name or area that begins within the first `longest`
/// words and reaches beyond them: "in the room" takes no words from "in the room of maria".
fn overlapped(input: &[&str], longest: usize, names: &Names) -> Option<usize> {
    (1..longest).find(|&from| {
        let mut senses = names.senses(&input[from..]);
        senses.any(|(length, sense)| {
            let is_whole = match sense {
                Sense::Place(Place::Area(_)) => true,
                Sense::Name(id, _) => names.is_whole(id),
                _ => false,
            };
            is_whole && from + length > longest
        })
    })
}

/// Returns whether the word is a number here: one that is a state as well, such as the German
/// "ein", is a number only before another word.
fn is_number(input: &[&str], lexicon: &Lexicon) -> bool {
    let is_state = |(length, sense): (usize, Sense)| {
        length == 1 && matches!(sense, Sense::State(_) | Sense::Particle(_))
    };
    input.len() > 1 || !lexicon.senses(input).any(is_state)
}

/// Returns the sense of punctuation and hexadecimal colours, which are the same in all languages.
fn language_independent(word: &str) -> Option<Sense> {
    match word {
        "," | "." | ";" | "!" => Some(Sense::Comma),
        hex => {
            let digits = hex.strip_prefix('#').filter(|d| d.len() == 6)?;
            let part = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
            Some(Sense::Hex([part(0)?, part(2)?, part(4)?]))
        }
    }
}

/// Expands "zone 1 and 2" to "zone 1 and zone 2", if there are such names.
fn distribute_name(input: &mut Vec<&str>, lexicon: &Lexicon, names: &Names) {
    let is_digits = |word: &str| word.bytes().all(|b| b.is_ascii_digit());
    let is_and = |word: &str| {
        word == ","
            || lexicon
                .senses(&[word])
                .any(|(_, sense)| sense == Sense::And)
    };
    let mut at = 1;
    while at + 2 < input.len() {
        if is_digits(input[at]) && is_digits(input[at + 2]) && is_and(input[at + 1]) {
            let is_name = |name: &&[&str]| {
                [at, at + 2]
                    .iter()
                    .all(|&number| names.is_name(&[name, &input[number..=number]].concat()))
            };
            let name = (at.saturating_sub(MOST_BEFORE_NOUN)..at)
                .map(|from| &input[from..at])
                .find(is_name)
                .map(<[_]>::to_vec);
            if let Some(name) = name {
                let length = name.len();
                input.splice(at + 2..at + 2, name);
                at += 1 + length;
            }
        }
        at += 1;
    }
}

/// Returns whether the first words are a half that is not followed by a unit: "medio grado" is one
/// of a degree, and "medio volumen" is no number.
fn is_half_of_nothing(input: &[&str], length: usize, lexicon: &Lexicon) -> bool {
    let (half, behind) = input.split_at(length);
    let number = lexicon.numbers.get(half.join(" ").as_str());
    let is_half = number.is_some_and(|number| (number - 0.5).abs() < 0.01);
    let is_unit = |(_, sense)| matches!(sense, Sense::Unit(_));
    is_half && (behind.is_empty() || !lexicon.senses(behind).any(is_unit))
}

/// Returns a number of several words together with the half behind it: "dix-neuf et demi".
fn with_half(input: &[&str], found: (usize, Sense), lexicon: &Lexicon) -> (usize, Sense) {
    match found {
        (length, Sense::Number(n)) if length > 1 && n.fract() == 0.0 && n >= 0.0 => {
            match phrase(&lexicon.counting.half, &input[length..]) {
                Some(half) => (length + half, Sense::Number(n + 0.5)),
                None => found,
            }
        }
        found => found,
    }
}

/// Moves "and a half" from behind a unit to its number: "20 degrees and a half".
fn move_half<'a>(input: &mut Vec<&'a str>, lexicon: &'a Lexicon) {
    for at in 2..input.len() {
        let Some(length) = phrase(&lexicon.counting.half, &input[at..]) else {
            continue;
        };
        let is_unit =
            |(length, sense): (usize, Sense)| length == 1 && matches!(sense, Sense::Unit(_));
        let follows_unit = lexicon.senses(&input[at - 1..at]).any(is_unit);
        let ends_with_number = |words: usize| {
            let mut senses = lexicon.senses(&input[at - 1 - words..at - 1]);
            senses.any(|(length, sense)| length == words && matches!(sense, Sense::Number(_)))
        };
        let follows_number =
            number(lexicon, &input[at - 2..at - 1]).is_some() || (2..at).any(ends_with_number);
        if follows_unit && follows_number {
            let unit = input.remove(at - 1);
            input.insert(at - 1 + length, unit);
            return;
        }
    }
}

/// Expands "the front and back door" to "the front door and back door".
///
/// Returns `None` if that gives no names.
fn distribute_noun<'a>(
    input: &mut Vec<&'a str>,
    at: usize,
    lexicon: &'a Lexicon,
    names: &'a Names,
) -> Option<()> {
    let is = |word: &str, wanted: Sense| lexicon.senses(&[word]).any(|(_, sense)| sense == wanted);
    if at > 2 && is(input[at - 1], Sense::And) {
        // "curtain left and right"
        let is_front = |front: &&[&str]| {
            [at - 2, at]
                .iter()
                .all(|&last| names.is_name(&[front, &input[last..=last]].concat()))
        };
        let front = (at.saturating_sub(MOST_BEFORE_NOUN)..at - 2)
            .map(|from| &input[from..at - 2])
            .find(is_front)?
            .to_vec();
        input.splice(at..at, front);
        return Some(());
    }
    let and = (at + 1..input.len().min(at + 3)).find(|&i| is(input[i], Sense::And))?;
    let is_article = |word: &&str| lexicon.senses(&[word]).any(|(_, sense)| sense.is_article());
    let from = and + 1 + usize::from(input.get(and + 1).is_some_and(is_article));
    let ends = from + 1..input.len().min(from + MOST_BEFORE_NOUN);
    for (end, noun) in ends.flat_map(|end| {
        names
            .forms_of(input[end], lexicon)
            .into_iter()
            .flatten()
            .map(move |noun| (end, noun))
    }) {
        let second = [&input[from..end], &[noun]].concat();
        // The shared part may have several words: "left and right reading light".
        let shared = (1..second.len())
            .map(|own| &second[own..])
            .find(|shared| names.is_name(&[&input[at..and], shared].concat()));
        if let Some(shared) = shared.filter(|_| names.is_name(&second)) {
            input[end] = noun;
            input.splice(and..and, shared.iter().copied());
            return Some(());
        }
    }
    None
}

/// Returns whether the next word may be the option of a setting: "to", "mode".
fn names_an_option(before: &[&str], lexicon: &Lexicon) -> bool {
    let Some(last) = before.last() else {
        return false;
    };
    let mut senses = lexicon.senses(std::slice::from_ref(last));
    senses.any(|(_, sense)| sense.is_preposition() || sense == Sense::Mode)
}

/// Splits compounds and corrects one mistyped word. Returns `None` if the correction is uncertain.
fn correct_typos<'a>(
    input: &mut Vec<&'a str>,
    lexicon: &'a Lexicon,
    names: &'a Names,
) -> Option<()> {
    let mut corrected = false;
    let mut at = 0;
    while at < input.len() {
        let word = input[at];
        let known = lexicon.knows(word)
            || names.knows(word)
            || language_independent(word).is_some()
            || may_begin_number(lexicon, word);
        if known {
        } else if let Some([place, thing]) = names.compound(word, lexicon) {
            input[at] = place;
            input.insert(at + 1, thing);
        } else {
            if corrected || !lexicon.may_be_typo(word) {
                return None;
            }
            input[at] = match lexicon.transposition_of(word) {
                Some(word) => word,
                None if word.len() < SHORTEST_TYPO => return None,
                None => {
                    names.correction_of(word, names_an_option(&input[..at], lexicon), lexicon)?
                }
            };
            corrected = true;
        }
        at += 1;
    }
    Some(())
}
