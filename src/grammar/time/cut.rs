//! Cuts one expression of time out of a sentence, in every possible way.
//!
//! In: a sentence. Out: each expression in it, with the rest of the sentence and what makes it
//! doubtful that it is a time. Whether the rest is a command is decided in `timed_command`.

use crate::grammar::adjunct_scope::Surroundings;
use crate::grammar::lexicon::Lexicon;
use crate::grammar::sense::Sense;
use crate::grammar::time::clock_time::{digits, dotted};
use crate::grammar::time::day::on_day;
use crate::grammar::time::reader::TimeReader;
use crate::grammar::tokens::{has_phrase, remove_end_marks};
use crate::vocabulary::timing::{Day, Recurrence, TimeOfDay, TimePoint, Timing};

/// An expression, with the words before and after it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::grammar) struct Cut {
    pub(in crate::grammar) timing: Timing,
    /// Whether the time is only a number, which may be an amount as well: "um 5".
    pub(in crate::grammar) is_bare: bool,
    /// Whether it is a length of time without a preposition, "ten minutes": how long something is
    /// on, and no other command.
    pub(in crate::grammar) is_bare_length: bool,
    /// Whether it is a delay or a duration that may be a time of the clock as well: "na tien uur".
    pub(in crate::grammar) may_be_clock: bool,
    /// The first word of the expression, and the one behind it.
    pub(in crate::grammar) range: (usize, usize),
    /// The rest of the sentence.
    pub(in crate::grammar) rest: String,
}

impl Cut {
    /// Returns whether the expression is a part of a longer one: "an hour before sunset" is one of
    /// "half an hour before sunset".
    pub(super) fn is_within(&self, longer: &Self) -> bool {
        let ((start, end), (from, to)) = (self.range, longer.range);
        self.range != longer.range && from <= start && end <= to
    }
}

/// Returns every way to cut one expression of time out of a sentence.
pub(in crate::grammar) fn cuts(lexicon: &Lexicon, text: &str) -> Vec<Cut> {
    let plain = lexicon.spelling.plain(text);
    let mut input = lexicon.words(&plain);
    if input.last() == Some(&"?") {
        return Vec::new();
    }
    remove_end_marks(&mut input);
    if !input.iter().any(|word| names_time(lexicon, word)) {
        return Vec::new();
    }
    let reader = TimeReader::new(lexicon, &input);
    let mut found = Vec::new();
    let mut at = 0;
    while at < input.len() {
        let Some((timing, length)) = reader.timing(at) else {
            found.extend(reader.bare_length(at));
            at += 1;
            continue;
        };
        let (front, back) = (&input[..at], &input[at + length..]);
        let is_bare = reader.is_bare(&timing, at + length - 1);
        let is_until = matches!(timing, Timing::Until(_));
        let may_be_range = is_bare && is_until && reader.follows_number_of_name(at);
        if may_be_range || reader.follows_unclear_half(at) {
            at += 1;
            continue;
        }
        let may_be_clock = is_length(&timing) && reader.may_be_clock(at, at + length);
        let range = (at, at + length);
        if let Some((timing, length)) = with_distant_day(&reader, &timing, front.len()) {
            let rest = joined(&front[length..], back);
            found.push(Cut {
                timing,
                is_bare,
                is_bare_length: false,
                may_be_clock,
                range,
                rest,
            });
        }
        found.extend(reader.with_distant_days(&timing, (front, back), is_bare));
        let rest = joined(front, back);
        found.push(Cut {
            timing,
            is_bare,
            is_bare_length: false,
            may_be_clock,
            range,
            rest,
        });
        // "sofa lamp on saturday at noon": a shorter expression may leave the command.
        at += 1;
    }
    found
}

/// Returns the words of a sentence before and behind its time.
pub(in crate::grammar) fn around_time<'i>(input: &'i [&'i str], cut: &Cut) -> Surroundings<'i> {
    let (from, to) = cut.range;
    Surroundings {
        front: &input[..from],
        back: &input[to..],
    }
}

/// Joins the words around an expression. A comma beside it belongs to it.
pub(in crate::grammar) fn joined(front: &[&str], back: &[&str]) -> String {
    let is_comma = |word: Option<&&str>| word == Some(&",");
    let front = if is_comma(front.last()) {
        &front[..front.len() - 1]
    } else {
        front
    };
    let back = if is_comma(back.first()) {
        &back[1..]
    } else {
        back
    };
    [front, back].concat().join(" ")
}

/// Returns whether the word can belong to an expression of time. Each expression has at least one
/// such word: a number alone is no time.
fn names_time(lexicon: &Lexicon, word: &str) -> bool {
    lexicon.time.may_begin(word) || digits(word).is_some()
}

/// Adds the day at the start of the sentence to a time: "tomorrow turn on the lamp at nine".
/// Returns the time and the number of words of the day, of which there are at most `most`.
fn with_distant_day(
    reader: &TimeReader<'_, '_>,
    timing: &Timing,
    most: usize,
) -> Option<(Timing, usize)> {
    let (day, part, length) = reader.day(0).filter(|(_, _, length)| *length <= most)?;
    // "tomorrow turn on the lamp at midnight": a day begins and ends with one.
    if day != Day::In(0) && has_phrase(&reader.words.midnight, reader.input) {
        return None;
    }
    let place = |moment: &TimePoint| {
        let time = reader.words.part_hours.place(moment.time, part)?;
        (moment.day == Day::Next).then_some(on_day(day, part, time))
    };
    let timing = match timing {
        Timing::At(moment) => Timing::At(place(moment)?),
        Timing::Until(moment) => Timing::Until(place(moment)?),
        Timing::After(_) | Timing::For(_) | Timing::Every(_) => return None,
    };
    Some((timing, length))
}

impl TimeReader<'_, '_> {
    /// Reads a length of time without a preposition: "turn on the fan ten minutes".
    fn bare_length(&self, at: usize) -> Option<Cut> {
        if !self.may_begin(at) {
            return None;
        }
        let (span, end) = self.span(at)?;
        // "a los diez minutos" is a moment.
        let mut before = self.input[..at].iter().rev();
        let before = before.find(|word| !self.has_sense(word, Sense::is_filler));
        if before.is_some_and(|word| self.has_sense(word, is_link)) {
            return None;
        }
        // "8 uur aan" may be at eight o'clock as well.
        if self.words.length_may_be_clock && self.is_clock_too(at, end) {
            return None;
        }
        Some(Cut {
            timing: Timing::For(span),
            is_bare: false,
            is_bare_length: true,
            may_be_clock: false,
            range: (at, end),
            rest: joined(&self.input[..at], &self.input[end..]),
        })
    }

    /// Returns whether a time ends with a number without minutes, "o'clock" or a part of the day.
    pub(super) fn is_bare(&self, timing: &Timing, last: usize) -> bool {
        let time = match timing {
            Timing::At(point) | Timing::Until(point) => point.time,
            Timing::Every(Recurrence::Days { time, .. }) => *time,
            Timing::Every(_) | Timing::After(_) | Timing::For(_) => return false,
        };
        let is_full_hour = matches!(time, TimeOfDay::Clock { minute: 0, .. });
        // "um 1.50" may be an amount as well.
        let is_dotted = dotted(self.input[last]).is_some();
        (is_full_hour || is_dotted)
            && self.number(last).is_some()
            && digits(self.input[last]).is_none()
    }

    /// Returns whether a number stands before `at` that may be a part of a name: "lamp 1 until 12"
    /// may be a range. "To 22 until 12" is none.
    fn follows_number_of_name(&self, at: usize) -> bool {
        let mut before = self.input[..at].iter().enumerate().rev();
        let other = before.find(|(i, _)| self.number(*i).is_none());
        let is_amount = other.is_some_and(|(_, word)| self.has_sense(word, |s| s == Sense::To));
        let has_number = at.checked_sub(1).is_some_and(|i| self.number(i).is_some());
        has_number && !is_amount
    }

    /// Returns whether the words from `at` are an hour behind "half".
    fn follows_unclear_half(&self, at: usize) -> bool {
        let before = at.checked_sub(1);
        let half = before.and_then(|before| self.phrase(&self.words.unclear_half, before));
        half == Some(1) && self.number(at).is_some()
    }
}

/// Returns whether a word links the next one with a command.
fn is_link(sense: Sense) -> bool {
    sense.is_article() || sense.is_preposition() || matches!(sense, Sense::And | Sense::Or)
}

/// Returns whether a timing is a delay or a duration.
pub(super) fn is_length(timing: &Timing) -> bool {
    matches!(timing, Timing::After(_) | Timing::For(_))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    const LANGUAGES: [&str; 5] = [
        include_str!("../../../config/language/en.toml"),
        include_str!("../../../config/language/de.toml"),
        include_str!("../../../config/language/fr.toml"),
        include_str!("../../../config/language/es.toml"),
        include_str!("../../../config/language/nl.toml"),
    ];

    /// Each language with its words of time and numbers, alone and with others beside them.
    static VOCABULARIES: LazyLock<Vec<(Lexicon, Vec<String>)>> = LazyLock::new(|| {
        let of = |text: &&str| {
            let file: toml::Table = text.parse().unwrap();
            let mut known = texts(&file["time"]);
            let others = [
                "1", "5", "9", "12", "30", "7:30", "0.5", "%", "°", "lamp", ",",
            ];
            known.extend(others.repeat(known.len() / 10));
            known.extend(texts(&file["numbers"]));
            let known = known.into_iter().map(str::to_owned).collect();
            (text.parse().unwrap(), known)
        };
        LANGUAGES.iter().map(of).collect()
    });

    /// Returns all texts of a part of a language file.
    fn texts(part: &toml::Value) -> Vec<&str> {
        match part {
            toml::Value::String(text) => vec![text],
            toml::Value::Array(parts) => parts.iter().flat_map(texts).collect(),
            toml::Value::Table(parts) => {
                let keys = parts.keys().map(String::as_str);
                keys.chain(parts.values().flat_map(texts)).collect()
            }
            _ => Vec::new(),
        }
    }

    proptest! {
        /// Checks that every expression of time has a word by which sentences are chosen: without
        /// such a word, they are not searched for expressions.
        #[test]
        fn every_expression_has_a_word_of_time(
            language in 0..LANGUAGES.len(),
            chosen in prop::collection::vec(any::<prop::sample::Index>(), 1..7),
        ) {
            let (lexicon, known) = &VOCABULARIES[language];
            let text: Vec<&str> = chosen.iter().map(|index| index.get(known).as_str()).collect();
            let text = text.join(" ");
            let plain = lexicon.spelling.plain(&text);
            let input = lexicon.words(&plain);
            let reader = TimeReader::new(lexicon, &input);
            let is_time = input.iter().any(|word| names_time(lexicon, word));
            for at in 0..input.len() {
                let is_found = reader.timing(at).is_some() || reader.bare_length(at).is_some();
                prop_assert!(is_time || !is_found, "{plain}");
            }
        }
    }
}
