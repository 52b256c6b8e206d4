//! Sentences that continue an earlier command: "turn it off again", "and the bedroom", "no, I meant
//! the kitchen", "undo that".
//!
//! The earlier command enters as data, [`Antecedents`]. A sentence with several possible meanings
//! has none.

use std::borrow::Cow;
use std::collections::BTreeSet;

pub use crate::grammar::antecedents::Antecedents;
pub(super) use crate::grammar::antecedents::Remembered;
pub use crate::grammar::follow_up_words::FollowUp;

use crate::grammar::clause::{Clause, Head, Target};
use crate::grammar::interpreter::{Interpreter, senses_of};
use crate::grammar::lexicon::Lexicon;
use crate::grammar::names::Names;
use crate::grammar::parse::clauses;
use crate::grammar::phrase_filter::PhraseFilter;
use crate::grammar::sense::{Comparative, Place, Sense, Verb};
use crate::grammar::spans::Spans;
use crate::grammar::tokens::words;
use crate::vocabulary::action::{Action, Draft, Op, TargetScope};
use crate::vocabulary::{Property, Value};

/// Most words that a sentence of fixed form has in addition to fillers.
const MOST_FIXED_WORDS: usize = 12;

/// The last command applied to other devices.
#[derive(Debug, Clone, PartialEq)]
pub struct Continuation {
    /// True for a correction, which also undoes the last command: "no, I meant the kitchen".
    pub instead: bool,
    /// The meaning.
    pub draft: Draft,
}

/// Returns the words without punctuation and without fillers at both ends, from most to fewest
/// words.
fn cores<'a>(lexicon: &Lexicon, input: &'a [&'a str]) -> Vec<&'a [&'a str]> {
    let is_filler = |run: &[&str]| {
        let mut senses = lexicon.senses(run);
        senses.any(|(length, sense)| length == run.len() && sense.is_filler())
    };
    let ends = |length: usize| -> Vec<usize> {
        let mut ends = vec![0];
        let mut at = 0;
        while at < length {
            let Some(next) = (at + 1..=length.min(at + 4)).find(|&to| is_filler(&input[at..to]))
            else {
                break;
            };
            at = next;
            ends.push(at);
        }
        ends
    };
    let mut found = Vec::new();
    for start in ends(input.len()) {
        let mut end = input.len();
        while end > start {
            found.push(&input[start..end]);
            let shorter = (start..end)
                .rev()
                .take(4)
                .find(|&at| is_filler(&input[at..end]));
            match shorter {
                Some(at) => end = at,
                None => break,
            }
        }
    }
    found
}

/// Returns the words of a text without punctuation.
pub(super) fn bare(plain: &str) -> Vec<&str> {
    let is_mark = |word: &&str| matches!(*word, "," | "." | "!" | ";" | "?");
    words(plain)
        .into_iter()
        .filter(|word| !is_mark(word))
        .collect()
}

/// Returns the meaning of a text that is one of the phrases, with or without fillers around it.
fn fixed<T>(
    lexicon: &Lexicon,
    text: &str,
    phrases: &PhraseFilter,
    meaning: impl Fn(&String) -> Option<T>,
) -> Option<T> {
    let plain = lexicon.spelling.plain(text);
    if !phrases.has_words_of_one(&plain) {
        return None;
    }
    let input = bare(&plain);
    if input.is_empty() || input.len() > MOST_FIXED_WORDS {
        return None;
    }
    let found = cores(lexicon, &input);
    found.iter().find_map(|core| meaning(&core.join(" ")))
}

/// Returns whether the text asks to stop, and names nothing that is to be stopped.
pub(super) fn is_stop(lexicon: &Lexicon, text: &str) -> bool {
    let words = &lexicon.follow_up;
    let is_one = |joined: &String| words.stop.contains(joined).then_some(());
    fixed(lexicon, text, &words.stops, is_one).is_some()
}

/// Returns whether the text asks for examples of commands, and nothing else.
pub(super) fn asks_for_examples(lexicon: &Lexicon, text: &str) -> bool {
    let examples = &lexicon.examples;
    let is_question = |joined: &String| examples.ask.contains(joined).then_some(());
    fixed(lexicon, text, &examples.questions, is_question).is_some()
}

/// Returns the sentence of fixed form that the text is, and nothing else.
pub(super) fn fixed_form(lexicon: &Lexicon, text: &str) -> Option<FollowUp> {
    let forms = &lexicon.follow_up.phrases;
    let form = |joined: &String| {
        let mut forms = forms.iter();
        let (form, _) = forms.find(|(_, texts)| texts.contains(joined))?;
        Some(*form)
    };
    fixed(lexicon, text, &lexicon.follow_up.fixed_forms, form)
}

/// Returns the rest of a sentence that applies the last command to other devices, and whether it
/// corrects the last command.
pub(super) fn continued(lexicon: &Lexicon, text: &str) -> Option<(bool, String)> {
    let plain = lexicon.spelling.plain(text);
    let words_of = &lexicon.follow_up;
    if !words_of.continuations.may_begin_or_end(&plain) {
        return None;
    }
    let joined = bare(&plain).join(" ");
    let before = |list: &[String]| {
        list.iter()
            .filter_map(|form| joined.strip_prefix(form.as_str())?.strip_prefix(' '))
            .min_by_key(|rest| rest.len())
    };
    let after = |list: &[String]| {
        list.iter()
            .filter_map(|form| joined.strip_suffix(form.as_str())?.strip_suffix(' '))
            .min_by_key(|rest| rest.len())
    };
    if let Some(rest) = before(&words_of.instead) {
        return Some((true, rest.to_owned()));
    }
    if let Some((front, rest)) = plain.split_once(',')
        && words_of.instead_pause.contains(&bare(front).join(" "))
        && !bare(rest).is_empty()
    {
        return Some((true, bare(rest).join(" ")));
    }
    if let Some(rest) = after(&words_of.instead_after) {
        return Some((true, rest.to_owned()));
    }
    let also = before(&words_of.also).or_else(|| after(&words_of.also_after))?;
    Some((false, also.to_owned()))
}

/// Writes a pronoun that is attached to a verb as a word of its own: "apágala" becomes "apaga eso".
fn detached(lexicon: &Lexicon, names: &Names, text: &str) -> Option<String> {
    let forms = &lexicon.follow_up;
    let clitics = || forms.clitics.iter().chain(&forms.clitics_many);
    if forms.clitics.is_empty() {
        return None;
    }
    let plain = lexicon.spelling.plain(text);
    let input = lexicon.words(&plain);
    let ends_with_clitic = |word: &&str| clitics().any(|clitic| word.ends_with(&**clitic));
    if !input.iter().any(ends_with_clitic) {
        return None;
    }
    let mut detached = Vec::with_capacity(input.len() + 1);
    let mut found = false;
    for (at, &word) in input.iter().enumerate() {
        let is_last = at + 1 == input.len();
        let behind_verb = at
            .checked_sub(1)
            .is_some_and(|before| lexicon.is_verb(input[before]));
        if let Some(pronoun) = lexicon.pronoun_for(word)
            && is_last
            && behind_verb
        {
            detached.push(pronoun);
            found = true;
            continue;
        }
        let is_known = lexicon.knows(word) || names.knows(word);
        let parts = clitics()
            .filter_map(|clitic| {
                let stem = word.strip_suffix(clitic.as_str())?;
                Some([stem, lexicon.pronoun_for(clitic)?])
            })
            .find(|[stem, _]| !is_known && lexicon.is_verb(stem));
        match parts {
            Some(parts) => {
                detached.extend(parts);
                found = true;
            }
            None => detached.push(word),
        }
    }
    found.then(|| detached.join(" "))
}

/// Returns whether the sentence has a word for something of an earlier command.
fn has_reference(spans: &Spans) -> bool {
    any_sense(spans, |sense| {
        matches!(
            sense,
            Sense::It | Sense::Them | Sense::Other | Sense::Place(Place::There)
        )
    })
}

pub(super) fn is_about_warmth(spans: &Spans) -> bool {
    any_sense(spans, |sense| {
        matches!(
            sense,
            Sense::Comparative(Comparative::Warmer | Comparative::Cooler)
                | Sense::Verb(Verb::Warm | Verb::Cool)
        )
    })
}

/// Returns whether the sentence names only a value or a comparison: "brighter", "50 percent".
/// A verb without an object may be the beginning of a sentence whose end was lost.
pub(super) fn is_value_alone(spans: &Spans) -> bool {
    let has_object = any_sense(spans, |sense| {
        matches!(
            sense,
            Sense::Name(..) | Sense::Noun(..) | Sense::Place(_) | Sense::All
        )
    });
    if has_object {
        return false;
    }
    let has_value = any_sense(spans, |sense| {
        matches!(
            sense,
            Sense::Comparative(_)
                | Sense::Number(_)
                | Sense::Level(_)
                | Sense::Color(_)
                | Sense::White(_)
        )
    });
    has_value || is_state_alone(spans)
}

/// Returns whether the sentence is a state without a verb: "off", "now off".
fn is_state_alone(spans: &Spans) -> bool {
    let is_state = |senses: &[Sense]| senses.iter().any(|sense| matches!(sense, Sense::State(_)));
    let is_verb = |sense: &Sense| {
        matches!(
            sense,
            Sense::Verb(_) | Sense::SplitVerb(..) | Sense::Be | Sense::What
        )
    };
    spans.iter().any(is_state) && !any_sense(spans, is_verb)
}

pub(super) fn any_sense(spans: &Spans, wanted: impl Fn(&Sense) -> bool) -> bool {
    spans.iter().flatten().any(wanted)
}

/// Returns whether the sentence, which has these spans, refers to an earlier command.
pub(super) fn refers(lexicon: &Lexicon, names: &Names, (text, spans): (&str, &Spans)) -> bool {
    has_reference(spans)
        || fixed_form(lexicon, text).is_some()
        || detached(lexicon, names, text).is_some()
        || continued(lexicon, text).is_some()
        || is_stop(lexicon, text)
}

impl Interpreter<'_> {
    /// Returns a sentence in plain spelling, with each pronoun as a word of its own.
    pub(super) fn plain<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let spelling = &self.lexicon.spelling;
        match detached(self.lexicon, self.names, text) {
            Some(detached) => Cow::Owned(spelling.plain(&detached).into_owned()),
            None => spelling.plain(text),
        }
    }

    /// Returns the draft of a sentence that refers to nothing and needs no question: it has this
    /// meaning after any command. `spans` are those of the text if all of its words are known.
    pub(super) fn draft_alone(&self, text: &str, spans: Option<&Spans>) -> Option<Draft> {
        let with_pronouns;
        let spans = match detached(self.lexicon, self.names, text) {
            Some(detached) => {
                let plain = self.lexicon.spelling.plain(&detached);
                with_pronouns = Spans::of(&plain, self.lexicon, self.names)?;
                &with_pronouns
            }
            None => spans?,
        };
        if has_reference(spans) {
            return None;
        }
        let draft = self.draft_of(spans)?;
        draft.question.is_none().then_some(draft)
    }

    /// Returns the draft of a sentence that may refer to the last command. Where it has a meaning
    /// both with and without that command, an explicit reference decides; without one the sentence
    /// has the meaning that it has alone.
    pub(super) fn draft_after(&self, text: &str) -> Option<Draft> {
        let plain = self.plain(text);
        let spans = Spans::of(&plain, self.lexicon, self.names)?;
        let alone = self.without_memory().draft_of(&spans);
        if self.remembered.devices.is_empty() {
            return alone;
        }
        let certain = |draft: &Option<Draft>| draft.as_ref().is_some_and(|d| d.question.is_none());
        if certain(&alone) && !has_reference(&spans) {
            return self.beside_last(text, &spans, alone);
        }
        let remembered = self.draft_of(&spans);
        let remembered = remembered.or_else(|| self.said_of_last(&spans));
        if !certain(&remembered) {
            return alone;
        }
        if certain(&alone) && alone != remembered && is_about_warmth(&spans) {
            // "make it warmer" after a command for a lamp may mean its colour or the heating.
            return None;
        }
        if !certain(&alone) && !has_reference(&spans) && !is_value_alone(&spans) {
            return alone;
        }
        remembered
    }

    fn without_memory(&self) -> Interpreter<'_> {
        self.with_memory(Remembered::default())
    }

    /// Returns an interpreter of the same phrase that remembers something else.
    pub(super) fn with_memory(&self, remembered: Remembered) -> Interpreter<'_> {
        Interpreter {
            lexicon: self.lexicon,
            names: self.names,
            home: self.home,
            here: self.here,
            remembered,
            phrase: self.phrase,
        }
    }

    /// Returns the last command for the devices that the sentence names: "and the bedroom".
    pub(super) fn continuation(&self, text: &str, last: &[Action]) -> Option<Continuation> {
        let (instead, rest) = continued(self.lexicon, text)?;
        let template = template(last)?;
        let devices = self.named_devices(&rest, last)?;
        let devices_named = devices.len();
        let asks = !instead && text.trim_end().ends_with('?');
        let mut actions = Vec::new();
        for device in devices {
            let device = &self.home.devices()[device as usize];
            for (property, op, value) in &template {
                device.capability(property)?;
                let (op, value) = if asks {
                    asked(*op, value.as_ref())
                } else {
                    (*op, value.clone())
                };
                actions.push(Action {
                    device: (&device.id).into(),
                    property: property.clone(),
                    op,
                    value,
                });
            }
        }
        let scope = match devices_named {
            1 => TargetScope::Named,
            _ => TargetScope::Group,
        };
        let draft = Draft {
            actions,
            scope,
            ..Draft::default()
        };
        (!draft.actions.is_empty()).then_some(Continuation { instead, draft })
    }

    /// Returns the devices of a text that only names some. All its interpretations must agree.
    fn named_devices(&self, text: &str, last: &[Action]) -> Option<Vec<u32>> {
        let plain = self.lexicon.spelling.plain(text);
        let spans = Spans::of(&plain, self.lexicon, self.names)?;
        let mut agreed: Option<Vec<u32>> = None;
        for combination in 0..Self::combinations(&spans)? {
            let senses: Vec<Sense> = senses_of(&spans, combination).collect();
            let Some((senses, before)) = self.remembered.resolve(&senses) else {
                continue;
            };
            let Ok(parsed) = clauses(&senses, false, &self.lexicon.grammar) else {
                continue;
            };
            let [clause] = parsed.as_slice() else {
                continue;
            };
            let Some(devices) = self.devices_of(clause, &before, last) else {
                continue;
            };
            if agreed.as_ref().is_some_and(|other| *other != devices) {
                return None;
            }
            agreed = Some(devices);
        }
        agreed
    }

    fn devices_of(&self, clause: &Clause, before: &[u32], last: &[Action]) -> Option<Vec<u32>> {
        if !clause.is_only_named() {
            return None;
        }
        if clause.targets.is_empty() {
            let area = Target {
                places: clause.places.clone(),
                ..Target::new(Head::Area)
            };
            return self.of_target(&area, &[], before, last);
        }
        let mut devices = Vec::new();
        for target in &clause.targets {
            devices.extend(self.of_target(target, &clause.places, before, last)?);
        }
        devices.sort_unstable();
        devices.dedup();
        Some(devices)
    }

    fn of_target(
        &self,
        target: &Target,
        more: &[Place],
        before: &[u32],
        last: &[Action],
    ) -> Option<Vec<u32>> {
        let property = &last.first()?.property;
        let at = |d: u32, places: &[Place]| {
            places.is_empty() || places.iter().any(|&p| self.names.is_at(d, p, self.here))
        };
        let can = |&d: &u32| {
            let device = &self.home.devices()[d as usize];
            device.capability(property).is_some() && at(d, &target.places) && at(d, more)
        };
        let all = (0..self.home.devices().len()).filter_map(|i| u32::try_from(i).ok());
        let resolver = self.resolver();
        if target.places.is_empty() && more.is_empty() {
            let near = self.near_last(target, can);
            if !near.is_empty() {
                return Some(near);
            }
        }
        let found: Vec<u32> = match target.head {
            Head::It | Head::Them => before.iter().copied().filter(can).collect(),
            Head::Area => {
                let kinds: BTreeSet<&str> = last
                    .iter()
                    .filter_map(|a| Some(self.home.device(&a.device)?.kind.as_str()))
                    .collect();
                let is_kind =
                    |d: &u32| kinds.contains(self.home.devices()[*d as usize].kind.as_str());
                let found: Vec<u32> = all.filter(is_kind).filter(can).collect();
                let is_group = kinds.contains("light") || self.remembered.devices.len() > 1;
                return (found.len() == 1 || (is_group && !found.is_empty())).then_some(found);
            }
            Head::Noun(noun, many) => {
                let found: Vec<u32> = all
                    .filter(|&d| resolver.is_a(noun, d))
                    .filter(can)
                    .collect();
                let is_group = many || target.all;
                return (found.len() == 1 || (is_group && !found.is_empty())).then_some(found);
            }
            Head::Name(id, _) => {
                let called = &self.names.entries[id as usize].devices;
                let found: Vec<(u32, bool)> =
                    called.iter().filter(|(d, _)| can(d)).copied().collect();
                let whole = found.iter().any(|(_, whole)| *whole);
                found
                    .into_iter()
                    .filter(|(_, is_whole)| !whole || *is_whole)
                    .map(|(d, _)| d)
                    .collect()
            }
        };
        (found.len() == 1).then_some(found)
    }
}

/// One change without its device.
type DeviceChange = (Property, Op, Option<Value>);

/// Returns the question for the value that a command sets: "and the coffee machine?" after "turn
/// off the oven" asks, and changes nothing.
fn asked(op: Op, value: Option<&Value>) -> (Op, Option<Value>) {
    let asked = value.filter(|_| matches!(op, Op::Set | Op::Query));
    (Op::Query, asked.cloned())
}

/// Returns the changes that the actions make to each of their devices, if they are the same for
/// all.
fn template(actions: &[Action]) -> Option<Vec<DeviceChange>> {
    let of = |device: &str| -> Vec<DeviceChange> {
        let own = actions.iter().filter(|action| action.device == device);
        own.map(|a| (a.property.clone(), a.op, a.value.clone()))
            .collect()
    };
    let first = of(&actions.first()?.device);
    let is_same = actions.iter().all(|action| of(&action.device) == first);
    is_same.then_some(first)
}
