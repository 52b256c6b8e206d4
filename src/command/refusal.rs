//! Reasons for not executing a command. A refusal is data: a code for programs, an outcome, and a
//! sentence for people in each language.
//!
//! [`RefusalCode`] is the only list of them. A new refusal is one row there and one variant of
//! [`Refusal`] with its values; the compiler and the tests name the rest (a sentence in every
//! language file, a row in `docs/troubles.md`).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::misunderstanding::Misunderstanding;
use crate::command::outcome::Outcome;
use crate::vocabulary::speech::{fill, sentence};

macro_rules! refusal_codes {
    ($($(#[doc = $doc:literal])* $name:ident: $code:literal, $outcome:ident, $english:literal
        $(, retry: $retry_form:literal, $retry:literal)?;)*) => {
        /// One word for each refusal: the field `why` of replies and of the log.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum RefusalCode {
            $($(#[doc = $doc])* #[serde(rename = $code)] $name,)*
        }

        impl RefusalCode {
            /// All codes, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the code as it is written in payloads and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Returns the outcome of a command that ends with this refusal.
            pub const fn outcome(self) -> Outcome {
                match self { $(Self::$name => Outcome::$outcome,)* }
            }

            /// Returns the English sentence, with its places not yet filled.
            const fn english(self) -> &'static str {
                match self { $(Self::$name => $english,)* }
            }

            /// Returns the name and the English text of the sentence that names a waiting time,
            /// for refusals that have one only sometimes.
            const fn with_retry(self) -> Option<(&'static str, &'static str)> {
                match self {
                    $($(Self::$name => Some(($retry_form, $retry)),)?)*
                    _ => None,
                }
            }
        }
    };
}

refusal_codes! {
    /// The payload is not a command.
    Malformed: "malformed", Refused, "That is not a command: {why}";
    /// Too many commands wait at the same time.
    Busy: "busy", Refused, "Too many commands at once, try again in {seconds} s";
    /// The source has used its quota of model requests.
    TooSoon: "too_soon", Refused,
        "{source} has asked the language models too often, try again in {seconds} s";
    /// The command's time ran out before it could be executed.
    TooLate: "late", Refused, "It came too late to be done safely";
    /// The command was not understood locally, and no model is configured.
    NoModel: "no_model", Refused,
        "I did not understand that, and no language model is configured";
    /// The home has no devices.
    NoDevices: "no_devices", Refused,
        "There are no devices yet: add some to `home.toml`, or let them announce themselves";
    /// A value is outside the range of its device.
    OutOfRange: "out_of_range", Refused, "{device}: {property} can be set from {range}";
    /// None of the devices that the command means can do it.
    Incapable: "incapable", Refused, "{devices} cannot do that";
    /// The command names a device that does not exist.
    NoSuchDevice: "no_such_device", Refused, "I do not know a device called {words}";
    /// The command has a time, which only a model could handle.
    Time: "time", Refused, "I did nothing, because I do not understand the time ({words})";
    /// The command has a condition.
    Condition: "condition", Refused,
        "I did nothing, because I do not understand the condition ({words})";
    /// The command is negated.
    Negation: "negation", Refused,
        "I did nothing, because I do not understand negations ({words})";
    /// No language file for the command's language, and no model is configured.
    UnknownLanguage: "unknown_language", Refused,
        "I do not know the language {language}: I know {known}";
    /// Every provider failed or is unavailable.
    NobodyAnswered: "nobody_answered", Failed, "No language model could answer",
        retry: "nobody_answered_in", "No language model could answer, try again in {seconds} s";
    /// The spending limit for models is reached.
    OverBudget: "over_budget", Refused,
        "What may be spent on language models is spent, try again in {hours} h";
    /// A model declined to answer.
    Declined: "declined", Refused, "The language model refused to answer that";
    /// A model's answer could not be read.
    NotUnderstood: "not_understood", Failed,
        "The language model's answer could not be used ({why})";
    /// The command is ambiguous or needs a confirmation.
    Unclear: "unclear", Unclear, "{question}";
    /// A newer question of the same source waits for its answer.
    QuestionOpen: "question_open", Refused,
        "Another question waits for your answer, say this again afterwards";
    /// An answer, and no question is open.
    NoQuestion: "no_question", Refused, "I have not asked you anything that is still open";
    /// The permission gate does not allow the command.
    NotPermitted: "not_permitted", Refused, "{why}";
    /// The program is stopping and did not execute the command.
    Stopping: "stopping", Refused, "sayso is stopping, say it again in a moment";
    /// A newer command for the same devices was executed first.
    Superseded: "superseded", Refused, "A newer command for the same device was done first";
    /// The broker's access rules forbid the device's topic.
    BrokerRefused: "broker_refused", Failed,
        "The broker does not let sayso command that device: its ACL must allow the topic";
    /// The message was handed to the connection, and its arrival is not known.
    Undelivered: "uncertain", Failed,
        "The broker did not take the action in time; it may or may not have been done";
    /// The program ended three times while it processed this command.
    Dead: "dead", Failed,
        "sayso ended three times while it was at this, so it was given up: say it differently, and \
         look at the log";
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal with the values of its sentence. `Display` is the English sentence without its full
/// stop, for the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// See [`RefusalCode::Malformed`].
    Malformed {
        /// The fault in the payload.
        why: String,
    },
    /// See [`RefusalCode::Busy`].
    Busy {
        /// Time until a place is expected to be free.
        retry_after: Duration,
    },
    /// See [`RefusalCode::TooSoon`].
    TooSoon {
        /// The source whose quota is used up.
        source_name: String,
        /// Time until its next request is allowed.
        retry_after: Duration,
    },
    /// See [`RefusalCode::TooLate`].
    TooLate,
    /// See [`RefusalCode::NoModel`].
    NoModel,
    /// The command was not understood locally for a known cause, and no model is configured.
    Misunderstood(Misunderstanding),
    /// See [`RefusalCode::UnknownLanguage`].
    UnknownLanguage {
        /// The language the command named.
        language: String,
        /// The languages with a file, as a list for people.
        known: String,
    },
    /// See [`RefusalCode::NobodyAnswered`].
    NobodyAnswered {
        /// The error of the last provider, for the log.
        why: String,
        /// Time until a provider may be available again, where it is known.
        retry_after: Option<Duration>,
    },
    /// See [`RefusalCode::OverBudget`].
    OverBudget {
        /// Time until the limit's period ends.
        retry_after: Duration,
    },
    /// See [`RefusalCode::Declined`].
    Declined,
    /// See [`RefusalCode::NotUnderstood`].
    NotUnderstood {
        /// The fault in the answer.
        why: String,
    },
    /// See [`RefusalCode::Unclear`].
    Unclear {
        /// The question to the speaker.
        question: String,
    },
    /// See [`RefusalCode::QuestionOpen`].
    QuestionOpen,
    /// See [`RefusalCode::NoQuestion`].
    NoQuestion,
    /// See [`RefusalCode::NotPermitted`].
    NotPermitted {
        /// The reason, as a sentence in the speaker's language.
        why: String,
    },
    /// See [`RefusalCode::Stopping`].
    Stopping,
    /// See [`RefusalCode::Superseded`].
    Superseded,
    /// See [`RefusalCode::BrokerRefused`].
    BrokerRefused,
    /// See [`RefusalCode::Undelivered`].
    Undelivered,
    /// See [`RefusalCode::Dead`].
    Dead,
}

/// Name and English text of the sentence that suggests other names for an unknown device.
const NEAREST: (&str, &str) = (
    "no_such_device_near",
    "I do not know a device called {words}. Did you mean {names}?",
);

/// Name and English text of the sentence about a time or condition that may be for a part only.
const OF_PART: (&str, &str) = (
    "of_part",
    "I did nothing, because I cannot tell for which part “{words}” is meant: say it as two commands",
);

impl Refusal {
    /// Returns whether the same command could be understood at another moment: the answer of a
    /// model may be another one, and limits end.
    pub const fn depends_on_moment(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::TooSoon { .. }
            | Self::TooLate
            | Self::NobodyAnswered { .. }
            | Self::OverBudget { .. }
            | Self::Declined
            | Self::NotUnderstood { .. } => true,
            Self::Malformed { .. }
            | Self::NoModel
            | Self::Misunderstood(_)
            | Self::UnknownLanguage { .. }
            | Self::Unclear { .. }
            | Self::QuestionOpen
            | Self::NoQuestion
            | Self::NotPermitted { .. }
            | Self::Stopping
            | Self::Superseded
            | Self::BrokerRefused
            | Self::Undelivered
            | Self::Dead => false,
        }
    }

    /// Returns the code of this refusal.
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::Malformed { .. } => RefusalCode::Malformed,
            Self::Busy { .. } => RefusalCode::Busy,
            Self::TooSoon { .. } => RefusalCode::TooSoon,
            Self::TooLate => RefusalCode::TooLate,
            Self::NoModel => RefusalCode::NoModel,
            Self::Misunderstood(cause) => match cause {
                Misunderstanding::NoDevices => RefusalCode::NoDevices,
                Misunderstanding::OutOfRange { .. } => RefusalCode::OutOfRange,
                Misunderstanding::Incapable { .. } => RefusalCode::Incapable,
                Misunderstanding::NoSuchDevice { .. } => RefusalCode::NoSuchDevice,
                Misunderstanding::Time { .. } | Misunderstanding::TimeOfPart { .. } => {
                    RefusalCode::Time
                }
                Misunderstanding::Condition { .. } | Misunderstanding::ConditionOfPart { .. } => {
                    RefusalCode::Condition
                }
                Misunderstanding::Negation { .. } => RefusalCode::Negation,
            },
            Self::UnknownLanguage { .. } => RefusalCode::UnknownLanguage,
            Self::NobodyAnswered { .. } => RefusalCode::NobodyAnswered,
            Self::OverBudget { .. } => RefusalCode::OverBudget,
            Self::Declined => RefusalCode::Declined,
            Self::NotUnderstood { .. } => RefusalCode::NotUnderstood,
            Self::Unclear { .. } => RefusalCode::Unclear,
            Self::QuestionOpen => RefusalCode::QuestionOpen,
            Self::NoQuestion => RefusalCode::NoQuestion,
            Self::NotPermitted { .. } => RefusalCode::NotPermitted,
            Self::Stopping => RefusalCode::Stopping,
            Self::Superseded => RefusalCode::Superseded,
            Self::BrokerRefused => RefusalCode::BrokerRefused,
            Self::Undelivered => RefusalCode::Undelivered,
            Self::Dead => RefusalCode::Dead,
        }
    }

    /// Returns the time after which the command may be sent again, where it is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after }
            | Self::TooSoon { retry_after, .. }
            | Self::OverBudget { retry_after } => Some(*retry_after),
            Self::NobodyAnswered { retry_after, .. } => *retry_after,
            Self::Malformed { .. }
            | Self::TooLate
            | Self::NoModel
            | Self::Misunderstood(_)
            | Self::UnknownLanguage { .. }
            | Self::Declined
            | Self::NotUnderstood { .. }
            | Self::Unclear { .. }
            | Self::QuestionOpen
            | Self::NoQuestion
            | Self::NotPermitted { .. }
            | Self::Stopping
            | Self::Superseded
            | Self::BrokerRefused
            | Self::Undelivered
            | Self::Dead => None,
        }
    }

    /// Returns the name of its sentence in the table `[say.refused]` of a language file.
    pub fn form(&self) -> &'static str {
        self.form_and_english().0
    }

    /// Returns the English sentence: a capital letter first, a full stop or question mark last.
    pub fn sentence(&self) -> String {
        self.sentence_as(self.form_and_english().1)
    }

    /// Returns the sentence in the form of a language. The places are `{seconds}`, `{hours}`,
    /// `{why}`, `{source}`, `{question}`, `{language}`, `{known}`, `{device}`, `{devices}`,
    /// `{property}`, `{range}`, `{words}` and `{names}`.
    pub fn sentence_as(&self, form: &str) -> String {
        sentence(&self.filled(form))
    }

    fn form_and_english(&self) -> (&'static str, &'static str) {
        let code = self.code();
        if let Self::Misunderstood(Misunderstanding::NoSuchDevice { nearest, .. }) = self
            && !nearest.is_empty()
        {
            return NEAREST;
        }
        if let Self::Misunderstood(
            Misunderstanding::TimeOfPart { .. } | Misunderstanding::ConditionOfPart { .. },
        ) = self
        {
            return OF_PART;
        }
        match code.with_retry() {
            Some(form) if self.retry_after().is_some() => form,
            _ => (code.as_str(), code.english()),
        }
    }

    fn filled(&self, form: &str) -> String {
        let mut places: Vec<(&str, String)> = Vec::new();
        if let Some(after) = self.retry_after() {
            places.push(("seconds", whole_seconds(after).to_string()));
            places.push(("hours", whole_seconds(after).div_ceil(3600).to_string()));
        }
        match self {
            Self::Malformed { why } | Self::NotUnderstood { why } | Self::NotPermitted { why } => {
                places.push(("why", why.clone()));
            }
            Self::Misunderstood(cause) => places.extend(cause.places()),
            Self::Unclear { question } => places.push(("question", question.clone())),
            Self::TooSoon { source_name, .. } => places.push(("source", source_name.clone())),
            Self::UnknownLanguage { language, known } => {
                places.push(("language", language.clone()));
                places.push(("known", known.clone()));
            }
            Self::Busy { .. }
            | Self::TooLate
            | Self::NoModel
            | Self::NobodyAnswered { .. }
            | Self::OverBudget { .. }
            | Self::Declined
            | Self::QuestionOpen
            | Self::NoQuestion
            | Self::Stopping
            | Self::Superseded
            | Self::BrokerRefused
            | Self::Undelivered
            | Self::Dead => {}
        }
        let places: Vec<(&str, &str)> = places
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        fill(form, &places)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.filled(self.form_and_english().1))
    }
}

impl std::error::Error for Refusal {}

fn whole_seconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_survive_json() {
        for (n, code) in RefusalCode::ALL.iter().enumerate() {
            assert!(
                RefusalCode::ALL[..n]
                    .iter()
                    .all(|other| other.as_str() != code.as_str())
            );
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<RefusalCode>(&json).unwrap(), *code);
        }
    }

    /// The places of [`Refusal::sentence_as`].
    const PLACES: [&str; 13] = [
        "seconds", "hours", "why", "source", "question", "language", "known", "device", "devices",
        "property", "range", "words", "names",
    ];

    #[test]
    fn the_english_sentences_are_those_of_the_language_file() {
        let file = include_str!("../../config/language/en.toml");
        let file: toml::Table = file.parse().unwrap();
        for code in RefusalCode::ALL {
            let alone = (code.as_str(), code.english());
            for (form, english) in std::iter::once(alone).chain(code.with_retry()) {
                let places = english.split('{').skip(1);
                for place in places.filter_map(|rest| rest.split('}').next()) {
                    assert!(PLACES.contains(&place), "{code}: nothing fills {{{place}}}");
                }
                if let Some(written) = file["say"]["refused"].get(form) {
                    let written = written.as_str().unwrap();
                    assert_eq!(sentence(written), sentence(english), "{form}");
                }
            }
        }
    }

    #[test]
    fn the_sentence_names_the_waiting_time_where_it_is_known() {
        let refusal = |retry_after| Refusal::NobodyAnswered {
            why: "x".to_owned(),
            retry_after,
        };
        assert_eq!(refusal(None).sentence(), "No language model could answer.");
        assert_eq!(
            refusal(Some(Duration::from_millis(6001))).sentence(),
            "No language model could answer, try again in 7 s."
        );
        let limit = Refusal::OverBudget {
            retry_after: Duration::from_secs(3601),
        };
        assert!(limit.sentence().ends_with("try again in 2 h."));
    }
}
