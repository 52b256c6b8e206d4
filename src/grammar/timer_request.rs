//! Sentences about timers: "set a timer for ten minutes", "cancel the heater one", "how long is
//! left".

use crate::grammar::follow_up::bare;
use crate::grammar::lexicon::Lexicon;
use crate::grammar::sense::Sense;
use crate::grammar::time::{TimeReader, cuts};
use crate::grammar::tokens::{has_words_of_one, words};
use crate::vocabulary::timing::{Span, Timing};

/// Most words of such a sentence.
const MOST_WORDS: usize = 24;

/// Most words of the name of a timer.
const MOST_NAME_WORDS: usize = 4;

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
    if !has_words_of_one(&plain, phrases.beginnings()) {
        return None;
    }
    let input = without_fillers(lexicon, bare(&plain));
    if input.is_empty() || input.len() > MOST_WORDS {
        return None;
    }
    let joined = input.join(" ");
    let is = |list: &[String]| list.contains(&joined);
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
        return Some(TimerRequest::Left(Some(rest.to_owned())));
    }
    if let Some(found) = changed(lexicon, &joined) {
        return Some(TimerRequest::Change(found));
    }
    if let Some((timing, name)) = plain_timer(lexicon, &joined) {
        return Some(TimerRequest::Set(timing, name));
    }
    let rest = stripped(&joined, &phrases.cancel_before)?;
    let rest = without_end(rest, &phrases.cancel_behind).unwrap_or(rest);
    Some(TimerRequest::Cancel(Some(rest.to_owned())))
}

fn without_fillers<'t>(lexicon: &Lexicon, mut input: Vec<&'t str>) -> Vec<&'t str> {
    let is_filler = |word: &str| {
        let input = [word];
        let mut senses = lexicon.senses(&input);
        senses.any(|(_, sense)| sense == Sense::Filler)
    };
    while input.len() > 1 && is_filler(input[input.len() - 1]) {
        input.pop();
    }
    while input.len() > 1 && is_filler(input[0]) {
        input.remove(0);
    }
    input
}

/// "make it thirty minutes", "change it to nine o'clock".
fn changed(lexicon: &Lexicon, text: &str) -> Option<Timing> {
    let rest = stripped(text, &lexicon.timers.change)?;
    let rest = without_end(rest, &lexicon.timers.change_behind).unwrap_or(rest);
    whole_time(lexicon, rest)
}

/// Returns the time that a text is, and nothing else. A length of time is a delay.
fn whole_time(lexicon: &Lexicon, text: &str) -> Option<Timing> {
    let input = words(text);
    let reader = TimeReader::new(lexicon, &input);
    if let Some((span, end)) = reader.span(0)
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

/// "set a timer for ten minutes", "set a ten minute pasta timer".
fn plain_timer(lexicon: &Lexicon, text: &str) -> Option<(Timing, Option<String>)> {
    let phrases = &lexicon.timers;
    // Only a sentence about a timer is searched for a time.
    if !has_words_of_one(text, phrases.set.iter().chain(&phrases.set_behind)) {
        return None;
    }
    let named = |text: &str| -> Option<Option<String>> {
        if phrases.set.iter().any(|form| form == text) {
            return Some(None);
        }
        let rest = stripped(text, &phrases.set_before)?;
        let name = without_end(rest, &phrases.set_behind)?;
        let is_short = name.split(' ').count() <= MOST_NAME_WORDS;
        is_short.then(|| Some(name.to_owned()))
    };
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
