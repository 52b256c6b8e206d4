//! The sentences of replies in one language: the `[say]` table of `config/language/<code>.toml`.
//!
//! A sentence is a form with placeholders such as `{device}`, which are filled with names, values
//! and numbers. Tables added later have English defaults, so that a language file of an older
//! release still loads.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::vocabulary::form_table;

/// The time for which a question waits for its yes.
pub const CONFIRMATION_WINDOW: Duration = Duration::from_secs(30);

/// Declares a table of forms with an English default for each.
macro_rules! forms {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident = $english:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: String,)*
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let mut forms = Self::default();
                let fields = vec![
                    $((stringify!($field).trim_start_matches("r#"), &mut forms.$field),)*
                ];
                form_table::read(deserializer, fields)?;
                Ok(forms)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $english.to_owned(),)* }
            }
        }
    };
}

forms! {
    /// Answers about a state that the device has not reported as a value: `{device}`, `{value}`,
    /// `{ago}`.
    StateForms {
        /// The device was commanded to a value and has not reported it yet.
        commanded = "I set {device} to {value}, but it has not confirmed that yet{ago}",
        /// The device was commanded to a value and never reports its state.
        assumed = "{device} was last set to {value}{ago}; it does not report its state",
        /// Devices in a summary whose state is commanded only: `{devices}`.
        unconfirmed = "Not confirmed yet: {devices}",
        /// The device reports something that is no value: `jammed`, `opening`.
        reports = "{device} reports {value}{ago}",
        /// The device reports that it does not know its state.
        unknown = "{device} does not report its state at the moment{ago}",
        /// The device's last report is older than it announced a report to hold.
        stale = "The last report of {the_device} has expired{ago}",
        /// Devices that were asked about and are offline: `{devices}`.
        offline = "{devices} cannot be reached at present",
    }
}

forms! {
    /// Devices that a command does not change, by reason: `{devices}`, `{source}`.
    SkippedForms {
        /// The source may not command them.
        not_allowed = "left out, because {source} may not command it: {devices}",
        /// The operator set them to `never`.
        never = "left out, because it is set never to be commanded: {devices}",
        /// They do not support the change.
        incapable = "left out, because it cannot do that: {devices}",
        /// The value is outside their range.
        out_of_range = "left out, because the value is out of its range: {devices}",
        /// They are of a kind that the command does not include.
        not_included = "not included, and therefore left as it is: {devices}",
        /// The operator bound them to an announcement that is missing.
        not_announced = "left out, because it has not announced itself: {devices}",
        /// Their present state is not known.
        unknown = "left out, because its state is not known: {devices}",
        /// They are off, and a relative change does not switch them on.
        off = "off, and therefore left as it is: {devices}",
        /// They are at the end of their range.
        at_limit = "already at the limit: {devices}",
    }
}

forms! {
    /// Answers about earlier commands: `{devices}`, `{text}`, `{speech}`, `{model}`, `{sorry}`.
    DialogueForms {
        /// No command can be undone.
        undo_nothing = "There is nothing to undo",
        /// Devices whose earlier state is not known.
        undo_unknown = "I do not know how {devices} was before, so I left it",
        /// Devices that an undo would open, unlock or disarm.
        undo_unsafe = "I do not undo anything by opening or unlocking: {devices} stays as it is",
        /// Devices that were commanded by another command since.
        undo_changed = "{devices} was commanded again since, so I left it",
        /// The source has given no command yet.
        nothing_yet = "I have done nothing for you yet",
        /// The last command and its reply.
        last = "You said: {text}. {speech}",
        /// The last command, which the local grammar understood.
        why_local = "You said: {text}. I understood that without a language model. {speech}",
        /// The last command, whose meaning was in the cache.
        why_cache = "You said: {text}. I remembered the meaning that a language model gave to \
            these words. {speech}",
        /// The last command, which a model understood.
        why_model = "You said: {text}. The language model {model} gave the meaning. {speech}",
        /// The last command, which was refused.
        why_refused = "You said: {text}. {speech}",
        /// The meaning that a model gave was rejected by the speaker and is forgotten.
        wrong = "Sorry. I will not understand it that way again",
        /// The result was rejected by the speaker.
        wrong_local = "Sorry",
        /// The offer to undo a rejected command: `{sorry}`, `{seconds}` until it ends.
        offer_undo = "{sorry}. Shall I undo it? Say yes within {seconds} s",
    }
}

forms! {
    /// Replies about commands that are carried out later.
    TimeForms {
        /// A command that waits: `{what}` and `{time}`.
        scheduled = "{what}, {time}",
        /// A command that was carried out and ends later: `{what}`, `{time}`.
        back = "{what} It ends {time}",
        /// A command that waits for `{time}` and is taken back after `{span}`.
        lasting = "{time}, for {span}",
        /// A time of today: `{time}`.
        at = "at {time}",
        /// A time of tomorrow: `{time}`.
        tomorrow = "tomorrow at {time}",
        /// A time of another day: `{date}`, `{time}`.
        on = "on {date} at {time}",
        /// The command replaces an equal one that waits.
        replaced = "It replaces the earlier command",
        /// The time is over.
        past = "That time is over already",
        /// The time is too far away: `{days}`.
        too_far = "That is more than {days} days away",
        /// The hour may be in the morning or in the afternoon: `{time}`.
        ambiguous = "{time} in the morning or in the afternoon? Say it again with one of them",
        /// The position of the home is not configured.
        no_position = "I do not know where the home is: set `latitude` and `longitude` under \
            [home] in `home.toml`",
        /// The sun does not rise or set that day.
        no_sun = "The sun does not rise or set that day",
        /// The wall clock is not set.
        clock_unset = "The clock of the gateway is not set yet, so I cannot wait for a time of the \
            day",
        /// Something would be opened or unlocked later: `{what}`.
        unsafe_later = "I do not open or unlock anything at a later time: {what}",
        /// The state to restore is not known: `{devices}`.
        unknown_before = "I do not know how it is now, so I could not restore it later: {devices}",
        /// The bound on timers is reached: `{count}`.
        too_many = "There are too many timers already: {count}. Cancel one first",
        /// The command cannot be taken back.
        no_end = "A command of this sort has no end",
        /// A command was not carried out at its time: `{why}`, `{text}`.
        missed = "I could not do this at its time, because {why}: {text}",
        /// It was due while sayso was not running, or the clock was set over it.
        missed_late = "it was noticed too late",
        /// A command was carried out at its time: `{what}`.
        fired = "As you asked: {what}",
        /// A timer is over: `{name}`.
        timer_done = "The timer is over: {name}",
        /// The word for a timer without a name.
        a_timer = "timer",
        /// No timer waits.
        none = "Nothing is scheduled",
        /// A timer in a list: `{text}`, `{time}`.
        entry = "{text} ({time})",
        /// The time left of a timer: `{text}`, `{left}`.
        left = "{text}: {left} left",
        /// A number of minutes: `{count}`.
        minutes = "{count} min",
        /// A number of seconds: `{count}`.
        seconds = "{count} s",
        /// Hours and minutes: `{count}`, `{minutes}`.
        hours = "{count} h {minutes} min",
        /// Full hours: `{count}`.
        full_hours = "{count} h",
        /// A repeated command: `{every}` and the `{time}` of the next occurrence.
        repeated = "{every}, the next time {time}",
        /// The days and the time of a repeated command: `{days}`, `{time}`.
        on_days_at = "{days} {time}",
        /// Every day of the week.
        every_day = "every day",
        /// Monday to Friday.
        workdays = "on weekdays",
        /// Saturday and Sunday.
        weekends = "on weekends",
        /// Some days of the week: `{days}`.
        on_days = "on {days}",
        /// The names of the days in that form.
        monday = "Mondays",
        /// See above.
        tuesday = "Tuesdays",
        /// See above.
        wednesday = "Wednesdays",
        /// See above.
        thursday = "Thursdays",
        /// See above.
        friday = "Fridays",
        /// See above.
        saturday = "Saturdays",
        /// See above.
        sunday = "Sundays",
        /// At sunrise.
        at_sunrise = "at sunrise",
        /// At sunset.
        at_sunset = "at sunset",
        /// Before sunrise: `{span}`.
        before_sunrise = "{span} before sunrise",
        /// After sunrise: `{span}`.
        after_sunrise = "{span} after sunrise",
        /// Before sunset: `{span}`.
        before_sunset = "{span} before sunset",
        /// After sunset: `{span}`.
        after_sunset = "{span} after sunset",
        /// An interval: `{span}`.
        interval = "every {span}",
        /// An interval with an end: `{every}`, `{time}`.
        ends = "{every}, for the last time {time}",
        /// A command would be repeated after less than a minute.
        too_often = "I repeat nothing more often than once a minute",
        /// A change of the time of a command that waits for a state.
        which_state = "That waits for a state: cancel it, and say the command again with another",
        /// The new time of a repeated command is not clear.
        which_time = "That is repeated: say its new rule, such as \"every day at eight\"",
        /// Occurrences before this one were missed: `{count}`.
        skipped = "Missed before that: {count}",
        /// Timers were cancelled: `{text}`.
        cancelled = "Cancelled: {text}",
        /// No timer fits the words.
        none_such = "I know no such timer",
        /// The device has been replaced since the timer was set: `{device}`.
        another_device = "{device} is another device now than when this was set",
        /// The timers of an earlier run cannot be read.
        unread = "I cannot read the timers set before my last start, because the storage fails",
        /// Several timers fit: `{choices}`.
        which = "Which one: {choices}? Say it again with its device or number",
        /// A plain timer was set: `{time}`.
        timer_set = "Timer set: {time}",
    }
}

forms! {
    /// Replies about commands that depend on a state: `{state}`.
    ConditionForms {
        /// The state is another one now; the answer about it: `{state}`.
        not_so = "{state} So I did nothing",
        /// The state is not known; the answer about it: `{state}`.
        unknown = "{state} I do not know whether that is so, and did nothing",
        /// The state to wait for is there already: `{state}`.
        already = "{state}. I would wait for a change: say it with \"if\" to do it now",
        /// The device reports no state: `{device}`.
        no_report = "{device} does not report that, so I cannot wait for it",
        /// The device that a rule waits for is gone: `{device}`.
        gone = "{device} is not there any more",
        /// The rule would set itself off, by way of a rule with this text, or none: `{text}`.
        r#loop = "Rules would set each other off without an end: {text}",
        /// A rule for the next time: `{state}`.
        once = "as soon as {state}",
        /// A rule for each time: `{state}`.
        always = "whenever {state}",
        /// A rule with an end: `{rule}`, `{time}`.
        ends = "{rule}, it ends {time}",
        /// A reading above a limit: `{property}`, `{value}`.
        above = "{property} above {value}",
        /// A reading below a limit: `{property}`, `{value}`.
        below = "{property} below {value}",
        /// The sun is below the horizon.
        dark = "it is dark",
        /// The sun is above the horizon.
        light = "it is light",
    }
}

forms! {
    /// Answers to the request for examples.
    ExampleForms {
        /// Sentences that are understood: `{sentences}`.
        some = "You can say, for example: {sentences}",
        /// One of them: `{sentence}`.
        quoted = "\"{sentence}\"",
        /// There is nothing that the source may command.
        none = "There is nothing here that you may command",
    }
}

fn away() -> String {
    "{devices} cannot be reached at present, and may not have received it".to_owned()
}

fn partial() -> String {
    "Done: {done}. Not done: {failed}. {why}".to_owned()
}

/// The article before the name of a device in a sentence, in languages in which it does not depend
/// on the noun.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Article {
    /// The article.
    pub word: String,
    /// First words of names that take none: articles and possessives.
    pub not_before: Vec<String>,
}

/// All sentences about a home, in one language.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speech {
    /// The question which of several devices is meant: `{choices}`.
    pub which: String,
    /// The question whether a device is meant: `{device}`.
    #[serde(default = "suggest")]
    pub suggest: String,
    /// The question which of several areas is meant: `{choices}`.
    pub r#where: String,
    /// The word before the last choice.
    pub or: String,
    /// Devices that were commanded while offline: `{devices}`.
    #[serde(default = "away")]
    pub away: String,
    /// The word before the last item of a list.
    pub and: String,
    /// A long list: `{front}` and `{count}` more.
    pub more: String,
    /// A command of which some actions failed: `{done}`, `{failed}`, `{why}`. A language file
    /// without it uses the English form.
    #[serde(default = "partial")]
    pub partial: String,
    /// The question before a risky action: `{what}`, `{seconds}` until it ends.
    pub confirm: String,
    /// The action in that question, by property and value (`lock=unlocked`): `{device}`. Others are
    /// asked about in the form of `done`.
    #[serde(default)]
    pub ask: BTreeMap<String, String>,
    /// The reply to a "no".
    pub left: String,
    /// The reply to a command that was resumed after a restart.
    pub resumed: String,
    /// A change: `{devices}`, `{what}`.
    pub done: String,
    /// The new value of a property: `{property}`, `{value}`.
    pub becomes: String,
    /// A raised property whose value is not known: `{property}`.
    pub up: String,
    /// A lowered property whose value is not known: `{property}`.
    pub down: String,
    /// A toggled property whose value is not known: `{property}`.
    pub toggled: String,
    /// A stopped movement.
    pub stopped: String,
    /// A pressed button.
    pub pressed: String,
    /// A cover between open and closed: `{value}`.
    pub part_open: String,
    /// A range of numbers: `{min}`, `{max}`.
    pub range: String,
    /// The values of a colour.
    pub a_color: String,
    /// The values of a button.
    pub no_value: String,
    /// The article before a name. Forms with `{the_device}` or `{the_devices}` have it.
    #[serde(default)]
    pub article: Option<Article>,
    /// Whether decimals are written with a comma.
    #[serde(default)]
    pub decimal_comma: bool,
    /// Answers to questions.
    pub answer: Answers,
    /// Answers about a state that is not a reported value.
    #[serde(default)]
    pub state: StateForms,
    /// Answers about earlier commands.
    #[serde(default)]
    pub dialogue: DialogueForms,
    /// Replies about commands that are carried out later.
    #[serde(default)]
    pub time: TimeForms,
    /// Answers to the request for examples.
    #[serde(default)]
    pub examples: ExampleForms,
    /// Replies about commands that depend on a state.
    #[serde(default)]
    pub condition: ConditionForms,
    /// Devices that a command does not change.
    #[serde(default)]
    pub left_out: SkippedForms,
    /// The words for values.
    pub values: BTreeMap<String, String>,
    /// The words for properties.
    pub properties: BTreeMap<String, String>,
    /// The reasons why an action is refused.
    pub denied: Denials,
    /// The reasons why a command is refused, by the code of the refusal: `{seconds}`, `{hours}`,
    /// `{why}`, `{source}`, `{language}`, `{known}`. A missing one is replaced by the English
    /// sentence.
    #[serde(default)]
    pub refused: BTreeMap<String, String>,
}

/// Forms of answers about reported states.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// The state of one device: `{device}`, `{value}`, `{ago}`.
    pub is: String,
    /// The device is in the state asked about.
    pub yes: String,
    /// The device is not in the state asked about.
    pub no: String,
    /// A number: `{device}`, `{property}`, `{value}`, `{ago}`.
    pub reading: String,
    /// Devices that have not reported anything: `{devices}`.
    pub unheard: String,
    /// The devices in a state: `{devices}`, `{value}`, `{ago}`.
    pub which: String,
    /// No device is in the state: `{value}`.
    pub none: String,
    /// The number of devices in a state: `{count}`, `{total}`, `{devices}`, `{value}`.
    pub count: String,
    /// All devices are in the state: `{total}`, `{value}`.
    pub all: String,
    /// The devices that are not in the state: `{devices}`.
    pub not_all: String,
    /// Some devices are in the state: `{devices}`.
    pub some: String,
    /// An age in minutes: `{count}`.
    pub minutes_ago: String,
    /// An age in hours: `{count}`.
    pub hours_ago: String,
}

/// Forms of refusals: `{device}`, `{property}`, `{value}` and so on, as the permission gate fills
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denials {
    /// Nothing was understood.
    pub nothing: String,
    /// Too many actions: `{count}`, `{most}`.
    pub too_many: String,
    /// The device does not exist: `{device}`.
    pub unknown_device: String,
    /// The device does not have the property.
    pub lacks: String,
    /// The property cannot be set.
    pub read_only: String,
    /// A value is missing.
    pub wants_value: String,
    /// The property has no relative changes.
    pub no_steps: String,
    /// The property has no opposite value.
    pub no_opposite: String,
    /// The device cannot be stopped.
    pub no_stop: String,
    /// The device cannot be toggled while its state is unknown.
    pub no_toggle: String,
    /// The device has no message for the value.
    pub no_way: String,
    /// The value is outside the domain: `{value}`, `{wanted}`.
    pub out_of_range: String,
    /// The source may not command the device: `{source}`.
    pub not_allowed: String,
    /// The device is never to be commanded.
    pub never: String,
    /// Two actions contradict each other.
    pub contradiction: String,
    /// The present value is not known.
    pub state_unknown: String,
    /// The mode selects neither the heating nor the cooling target.
    #[serde(default = "two_targets")]
    pub two_targets: String,
    /// The announcement to which the operator bound the device is missing.
    #[serde(default = "not_announced")]
    pub not_announced: String,
}

/// Returns the sentence for a language file of an older release, which has none.
fn two_targets() -> String {
    "{the_device} has one temperature for heating and one for cooling: say first whether it should \
     heat or cool"
        .to_owned()
}

/// Returns the sentence for a language file of an older release, which has none.
fn not_announced() -> String {
    "{the_device} has not announced itself, so it cannot be commanded".to_owned()
}

/// Returns the question for a language file of an older release, which has none.
fn suggest() -> String {
    "Do you mean {device}?".to_owned()
}

/// The most names that a list names unless it says otherwise.
const MOST_NAMED: usize = 5;

impl Speech {
    /// Returns names as a list: `a`, `a and b`, `a, b and c`; past five, `a, b, c and 4 more`.
    pub fn list<'n, S: Borrow<str>>(&self, names: &'n [S]) -> Cow<'n, str> {
        self.list_up_to(names, MOST_NAMED)
    }

    /// Returns names as a list that names at most `most` parts.
    pub fn list_up_to<'n, S: Borrow<str>>(&self, names: &'n [S], most: usize) -> Cow<'n, str> {
        match names {
            [] => Cow::Borrowed(""),
            [one] => Cow::Borrowed(one.borrow()),
            [front @ .., last] if names.len() <= most => {
                format!("{} {} {}", front.join(", "), self.and, last.borrow()).into()
            }
            many => {
                let front = many[..most - 2].join(", ");
                let count = (many.len() + 2 - most).to_string();
                fill(&self.more, &[("front", &front), ("count", &count)]).into()
            }
        }
    }

    /// Returns the question before a risky action.
    pub fn confirmation(&self, what: &str) -> String {
        let seconds = CONFIRMATION_WINDOW.as_secs().to_string();
        fill(&self.confirm, &[("what", what), ("seconds", &seconds)])
    }

    /// Returns the offer to undo a rejected command, behind an apology.
    pub fn undo_offer(&self, sorry: &str) -> String {
        let seconds = CONFIRMATION_WINDOW.as_secs().to_string();
        let form = &self.dialogue.offer_undo;
        fill(form, &[("sorry", sorry), ("seconds", &seconds)])
    }

    /// Returns the name of a device within a sentence: `the desk lamp`. Names that begin with a
    /// possessive or an article, names that end in a number, and proper names have no article.
    pub fn the(&self, name: &str, is_proper: bool) -> String {
        let Some(article) = &self.article else {
            return name.to_owned();
        };
        let first = name.split_whitespace().next().unwrap_or_default();
        let first = first.to_lowercase().replace('’', "'");
        let last = name.split_whitespace().next_back().unwrap_or_default();
        let is_possessive = first.ends_with("'s") || first.ends_with("s'");
        let is_numbered = last.chars().any(|c| c.is_ascii_digit());
        let has_one = article.not_before.contains(&first);
        if is_proper || is_possessive || is_numbered || has_one {
            return name.to_owned();
        }
        format!("{} {}", article.word, within_sentence(name))
    }

    /// Returns a sentence with a capital letter where it begins with the article.
    pub fn begun(&self, sentence: &str) -> String {
        let starts_with_article = self.article.as_ref().is_some_and(|article| {
            sentence
                .strip_prefix(article.word.as_str())
                .is_some_and(|rest| rest.starts_with(' '))
        });
        if starts_with_article {
            capitalized(sentence)
        } else {
            sentence.to_owned()
        }
    }

    /// Returns a number as the language writes it.
    pub fn number(&self, number: f64) -> String {
        let text = number.to_string();
        if self.decimal_comma {
            text.replace('.', ",")
        } else {
            text
        }
    }

    /// Returns the word for a value.
    pub fn value<'a>(&'a self, word: &'a str) -> &'a str {
        self.values.get(word).map_or(word, String::as_str)
    }

    /// Returns the word for a property, such as "color temperature" for `color_temp`.
    pub fn property(&self, name: &str) -> String {
        self.properties
            .get(name)
            .cloned()
            .unwrap_or_else(|| name.replace('_', " "))
    }
}

/// Makes a sentence: a capital letter first, a full stop last unless it ends with punctuation.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let Some(first) = letters.next() else {
        return String::new();
    };
    let mut sentence: String = first.to_uppercase().collect();
    sentence.push_str(letters.as_str());
    if !sentence.ends_with(['.', '?', '!']) {
        sentence.push('.');
    }
    sentence
}

/// Returns a text with a capital first letter.
pub fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// Returns a name as it is written within a sentence: `Desk lamp` becomes `desk lamp`; `TV` and
/// `IKEA Lamp` stay.
pub fn within_sentence(name: &str) -> String {
    let mut letters = name.chars();
    match (letters.next(), letters.as_str()) {
        (Some(first), rest) if !rest.chars().any(char::is_uppercase) => {
            first.to_lowercase().chain(rest.chars()).collect()
        }
        _ => name.to_owned(),
    }
}

/// Replaces the placeholders of a form: `("device", "Lamp")` for `{device}`.
pub fn fill(form: &str, places: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    fill_into(&mut filled, form, places);
    filled
}

/// Replaces the placeholders like [`fill`], and appends the result to a text.
pub fn fill_into(filled: &mut String, form: &str, places: &[(&str, &str)]) {
    filled.reserve(form.len() + 24);
    let mut rest = form;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((place, behind)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        if let Some((_, text)) = places.iter().find(|(name, _)| *name == place) {
            filled.push_str(text);
        }
        rest = behind;
    }
    filled.push_str(rest);
}

#[cfg(test)]
pub(crate) fn english() -> &'static Speech {
    #[derive(Deserialize)]
    struct File {
        say: Speech,
    }
    static ENGLISH: std::sync::LazyLock<Speech> = std::sync::LazyLock::new(|| {
        let file: File = toml::from_str(include_str!("../../config/language/en.toml")).unwrap();
        file.say
    });
    &ENGLISH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_an_article_within_an_english_sentence_where_it_is_a_common_noun() {
        for (name, expected) in [
            ("Front door", "the front door"),
            ("Kitchen Light", "the Kitchen Light"),
            ("TV", "the TV"),
            ("Abigail's window", "Abigail's window"),
            ("Boys’ lamp", "Boys’ lamp"),
            ("The den", "The den"),
            ("My lamp", "My lamp"),
            ("Spot 3", "Spot 3"),
        ] {
            assert_eq!(english().the(name, false), expected);
        }
        assert_eq!(english().the("Dusty", true), "Dusty");
        assert_eq!(english().begun("the den is off"), "The den is off");
        assert_eq!(english().begun("thermostat: 20"), "thermostat: 20");
    }

    #[test]
    fn placeholders_are_filled_and_filled_text_is_not() {
        assert_eq!(
            fill(
                "{device} is {value}",
                &[("device", "The {value} lamp"), ("value", "on")]
            ),
            "The {value} lamp is on"
        );
        assert_eq!(fill("{what", &[("what", "x")]), "{what");
        assert_eq!(fill("{strange}!", &[]), "!");
    }
}
