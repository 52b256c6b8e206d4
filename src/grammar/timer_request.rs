//! Sentences about timers: "set a timer for ten minutes", "cancel the heater one", "how long is
//! left".

use crate::grammar::follow_up::bare;
use crate::grammar::lexicon::Lexicon;
use crate::grammar::polite::without_fillers;
use crate::grammar::time::{TimeReader, cuts};
use crate::grammar::timer_phrases::TimerPhrases;
use crate::grammar::tokens::{phrase, words};
use crate::vocabulary::timing::{Span, Timing};

/// Most words of such a sentence.
const MOST_WORDS: usize = 24;

/// Most words of the name of a timer.
const MOST_NAME_WORDS: usize = 4;

/// Fewest letters before the word for a timer in a compound.
const SHORTEST_STEM: usize = 2;

/// The direction of a change by a length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeShift {
    /// "five minutes longer".
    Later,
    /// "five minutes less".
    Earlier,
}

/// A request about timers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimerRequest {
    /// Lists all timers of the source.
    List,
    /// Asks for the time left: of the timer that the words describe, or of all.
    Left(Option<String>),
    /// Cancels all timers of the source.
    CancelAll,
    /// Cancels the timer that the words describe, or the only one.
    Cancel(Option<String>),
    /// Cancels the timer that the last command has set: "cancel that".
    CancelThat,
    /// Changes the time of the last timer.
    Change(Timing),
    /// Changes the time of the last timer, or sets one where there is none: "zet de timer op tien
    /// minuten".
    ChangeOrSet(Timing),
    /// Lets the last timer end later, or earlier, by a length of time.
    ChangeBy(Span, TimeShift),
    /// Sets a timer without a command, with its name.
    Set(Timing, Option<String>),
}

fn stripped<'t>(text: &'t str, before: &[String]) -> Option<&'t str> {
    before
        .iter()
        .find_map(|form| text.strip_prefix(form.as_str())?.strip_prefix(' '))
}

fn without_end<'t>(text: &'t str, behind: &[String]) -> Option<&'t str> {
    behind
        .iter()
        .find_map(|form| text.strip_suffix(form.as_str())?.strip_suffix(' '))
}

/// Returns the request that the text is, and nothing else.
pub(super) fn timer_request(lexicon: &Lexicon, text: &str) -> Option<TimerRequest> {
    let plain = lexicon.spelling.plain(text);
    let phrases = &lexicon.timers;
    if !phrases.beginnings.has_words_of_one(&plain) && !phrases.may_be_relative(&plain) {
        return None;
    }
    let whole = bare(&plain);
    let with_fillers = whole.join(" ");
    let input = without_fillers(lexicon, whole);
    if input.is_empty() || input.len() > MOST_WORDS {
        return None;
    }
    let joined = input.join(" ");
    // "wie lange noch" ends with a word that is a filler elsewhere.
    let is = |list: &[String]| list.contains(&joined) || list.contains(&with_fillers);
    if is(&phrases.list) {
        return Some(TimerRequest::List);
    }
    if is(&phrases.left) {
        return Some(TimerRequest::Left(None));
    }
    if is(&phrases.cancel_all) {
        return Some(TimerRequest::CancelAll);
    }
    if is(&phrases.cancel_that) {
        return Some(TimerRequest::CancelThat);
    }
    if is(&phrases.cancel) {
        return Some(TimerRequest::Cancel(None));
    }
    if let Some(rest) = stripped(&joined, &phrases.left_of) {
        let rest = without_end(rest, &phrases.cancel_behind).unwrap_or(rest);
        return Some(TimerRequest::Left(Some(rest.to_owned())));
    }
    if let Some((span, shift)) = changed_by(lexicon, &joined) {
        return Some(TimerRequest::ChangeBy(span, shift));
    }
    let apart = with_timer_apart(&phrases.set_behind, &input);
    let set = plain_timer(lexicon, &apart);
    if let Some(found) = changed(lexicon, &joined) {
        return Some(match set {
            Some((timing, None)) => TimerRequest::ChangeOrSet(timing),
            _ => TimerRequest::Change(found),
        });
    }
    if let Some((timing, name)) = set {
        return Some(TimerRequest::Set(timing, name));
    }
    let rest = stripped(&joined, &phrases.cancel_before)?;
    let rest = without_end(rest, &phrases.cancel_behind).unwrap_or(rest);
    Some(TimerRequest::Cancel(Some(rest.to_owned())))
}

/// Reads the new time of a timer: "make it thirty minutes", "change it to nine o'clock".
fn changed(lexicon: &Lexicon, text: &str) -> Option<Timing> {
    let rest = stripped(text, &lexicon.timers.change)?;
    let rest = without_end(rest, &lexicon.timers.change_behind).unwrap_or(rest);
    whole_time(lexicon, rest)
}

/// Reads the difference by which a timer is moved: "make it five minutes longer", "add ten more
/// minutes".
fn changed_by(lexicon: &Lexicon, text: &str) -> Option<(Span, TimeShift)> {
    let phrases = &lexicon.timers;
    let longer = phrases.longer.iter().map(|form| (form, TimeShift::Later));
    let shorter = phrases
        .shorter
        .iter()
        .map(|form| (form, TimeShift::Earlier));
    longer.chain(shorter).find_map(|(form, shift)| {
        let (front, back) = form.split_once("{}")?;
        let length = text.strip_prefix(front)?.strip_suffix(back)?;
        let mut input = words(length);
        input.retain(|word| !phrases.more.iter().any(|more| more == word));
        let (span, end) = TimeReader::new(lexicon, &input).span(0)?;
        (end == input.len()).then_some((span, shift))
    })
}

/// Returns the time that a text is, and nothing else. A length of time is a delay.
fn whole_time(lexicon: &Lexicon, text: &str) -> Option<Timing> {
    let input = words(text);
    let reader = TimeReader::new(lexicon, &input);
    if let Some((span, end)) = reader.long_span(0)
        && end == input.len()
    {
        return Some(Timing::After(span));
    }
    let (timing, length) = reader.timing(0)?;
    let timing = match timing {
        Timing::For(span) => Timing::After(span),
        timing => timing,
    };
    (length == input.len() && !matches!(timing, Timing::Until(_))).then_some(timing)
}

/// Takes compounds with the word for a timer apart: "Nudeltimer".
fn with_timer_apart(nouns: &[String], input: &[&str]) -> String {
    let mut parts = Vec::with_capacity(input.len() + 1);
    for word in input {
        let stem = |noun: &&String| {
            let stem = word.strip_suffix(noun.as_str());
            stem.is_some_and(|stem| stem.chars().count() >= SHORTEST_STEM)
        };
        match nouns.iter().find(stem) {
            Some(noun) => parts.extend([&word[..word.len() - noun.len()], noun.as_str()]),
            None => parts.push(word),
        }
    }
    parts.join(" ")
}

/// Returns the name in the words for a timer that is set: "set a timer", "set a pasta timer".
#[expect(
    clippy::option_option,
    reason = "other words, and the words for a timer without a name, are different"
)]
fn beginning(phrases: &TimerPhrases, text: &str) -> Option<Option<String>> {
    if phrases.set.iter().any(|form| form == text) {
        return Some(None);
    }
    let rest = stripped(text, &phrases.set_before)?;
    let name = without_end(rest, &phrases.set_behind)?;
    let is_short = name.split(' ').count() <= MOST_NAME_WORDS;
    is_short.then(|| Some(name.to_owned()))
}

/// Returns the name that the words give a timer, if they do nothing else: "called eggs". No words
/// give none. A word with a meaning for devices is no name: "for the lights".
#[expect(
    clippy::option_option,
    reason = "other words, and the words for a timer without a name, are different"
)]
fn name_behind(lexicon: &Lexicon, input: &[&str]) -> Option<Option<String>> {
    if input.is_empty() {
        return Some(None);
    }
    let name = &input[phrase(&lexicon.timers.name_before, input)?..];
    let has_meaning = (0..name.len()).any(|at| lexicon.senses(&name[at..]).next().is_some());
    let is_name = (1..=MOST_NAME_WORDS).contains(&name.len()) && !has_meaning;
    is_name.then(|| Some(name.join(" ")))
}

/// Reads a timer with its length, and the name before or behind that: "pon un temporizador de diez
/// minutos", "mets un minuteur pour les pâtes de huit minutes".
fn timer_with_length(lexicon: &Lexicon, text: &str) -> Option<(Span, Option<String>)> {
    let phrases = &lexicon.timers;
    let input = words(text);
    let reader = TimeReader::new(lexicon, &input);
    for at in 1..input.len() {
        let link = phrase(&phrases.set_link, &input[at..]).unwrap_or(0);
        let Some((span, end)) = reader.long_span(at + link) else {
            continue;
        };
        let Some(last) = name_behind(lexicon, &input[end..]) else {
            continue;
        };
        let front = input[..at].join(" ");
        let first = beginning(phrases, &front).or_else(|| {
            let name = words(stripped(&front, &phrases.set)?);
            name_behind(lexicon, &name)
        });
        match (first, last) {
            (Some(name), None) | (Some(None), name) => return Some((span, name)),
            _ => {}
        }
    }
    None
}

/// Returns whether the text has a word for a timer.
pub(super) fn names_a_timer(lexicon: &Lexicon, text: &str) -> bool {
    let plain = lexicon.spelling.plain(text);
    lexicon.timers.timer_words.has_words_of_one(&plain)
}

/// Reads an alarm at a point in time: "set an alarm for seven", "stell einen Wecker auf sieben".
fn alarm(lexicon: &Lexicon, text: &str) -> Option<Timing> {
    let rest = stripped(text, &lexicon.timers.alarm)?;
    let input = words(rest);
    let link = phrase(&lexicon.timers.set_link, &input)?;
    let reader = TimeReader::new(lexicon, &input);
    // "voor een uur" is one o'clock as well as an hour.
    let is_length = reader.span(link).is_some() && reader.is_fixed_length(link);
    let (point, end) = reader.point(link).or_else(|| reader.moment(link))?;
    (!is_length && end == input.len()).then_some(Timing::At(point))
}

/// Reads a request for a new timer, with its name where it has one: "set a timer for ten minutes",
/// "set a ten minute pasta timer".
fn plain_timer(lexicon: &Lexicon, text: &str) -> Option<(Timing, Option<String>)> {
    let phrases = &lexicon.timers;
    // Only a sentence about a timer is searched for a time.
    if !phrases.timer_words.has_words_of_one(text) {
        return None;
    }
    if let Some(timing) = alarm(lexicon, text) {
        return Some((timing, None));
    }
    if let Some((span, name)) = timer_with_length(lexicon, text) {
        return Some((Timing::After(span), name));
    }
    let named = |text: &str| beginning(phrases, text);
    for cut in cuts(lexicon, text) {
        let timing = match cut.timing {
            Timing::For(span) | Timing::After(span) => Timing::After(span),
            Timing::At(point) => Timing::At(point),
            Timing::Until(_) | Timing::Every(_) => continue,
        };
        if let Some(name) = named(&cut.rest) {
            return Some((timing, name));
        }
    }
    let rest = stripped(text, &phrases.set_before)?;
    let middle = without_end(rest, &phrases.set_behind)?;
    let input = words(middle);
    let (span, end): (Span, usize) = TimeReader::new(lexicon, &input).span(0)?;
    let name = input[end..].join(" ");
    let is_short = input.len() - end <= MOST_NAME_WORDS;
    is_short.then(|| (Timing::After(span), (!name.is_empty()).then_some(name)))
}
