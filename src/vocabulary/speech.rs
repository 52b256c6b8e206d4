//! The words of what is said to people, in one language: the `[say]` table of `config/language/<code>.toml`.
//! Forms with places to fill, such as `{device}`; what is filled in is names, values and numbers.

use std::collections::BTreeMap;

use serde::Deserialize;

fn away() -> String {
    "{devices} cannot be reached at present, and may not have heard it".to_owned()
}

fn partial() -> String {
    "Done: {done}. Not done: {failed}. {why}".to_owned()
}

/// Everything sayso says about a home, in one language.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Speech {
    /// Which of several devices: `{choices}`.
    pub which: String,
    /// Where, of several areas: `{choices}`.
    pub r#where: String,
    /// Before the last choice.
    pub or: String,
    /// Who was told something and cannot be reached at present: `{devices}`. Files from before it was there say it in English.
    #[serde(default = "away")]
    pub away: String,
    /// Before the last of a list.
    pub and: String,
    /// A long list: `{front}` and `{count}` more.
    pub more: String,
    /// A command of which some actions failed: `{done}`, `{failed}`, `{why}`. Language files without
    /// it use the English form.
    #[serde(default = "partial")]
    pub partial: String,
    /// The question before a risky action: `{what}`.
    pub confirm: String,
    /// After a no.
    pub left: String,
    /// After a command was taken up again: `done after a restart`.
    pub resumed: String,
    /// What was done: `{devices}`, `{what}`.
    pub done: String,
    /// What a property comes to: `{property}`, `{value}`.
    pub becomes: String,
    /// What is changed without its value being known: `{property}`.
    pub up: String,
    /// Less of it.
    pub down: String,
    /// The other of two.
    pub toggled: String,
    /// Stopped where it was.
    pub stopped: String,
    /// Of a button.
    pub pressed: String,
    /// Neither open nor closed: `{value}`.
    pub part_open: String,
    /// A range of numbers: `{min}`, `{max}`.
    pub range: String,
    /// What a colour is given as.
    pub a_color: String,
    /// What a button takes.
    pub no_value: String,
    /// Answers to questions.
    pub answer: Answers,
    /// Values of the vocabulary.
    pub values: BTreeMap<String, String>,
    /// Properties of the vocabulary.
    pub properties: BTreeMap<String, String>,
    /// Why something may not be done.
    pub denied: Denials,
    /// Why a command was not done at all, by the refusal's code: `{seconds}`, `{hours}`, `{why}`, `{source}`, `{language}`, `{known}`. What is missing is said in English.
    #[serde(default)]
    pub refused: BTreeMap<String, String>,
}

/// The forms of answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// One device: `{device}`, `{value}`, `{ago}`.
    pub is: String,
    /// It is as was asked.
    pub yes: String,
    /// It is not.
    pub no: String,
    /// A property that is not the device's main one: `{property}` as well.
    pub reading: String,
    /// Nothing is known of `{devices}`.
    pub unheard: String,
    /// Which are: `{devices}`, `{value}`, `{ago}`.
    pub which: String,
    /// None is: `{value}`.
    pub none: String,
    /// How many: `{count}`, `{total}`, `{devices}`, `{value}`.
    pub count: String,
    /// All are: `{total}`, `{value}`.
    pub all: String,
    /// Not all are: `{devices}` are not.
    pub not_all: String,
    /// Some are: `{devices}`.
    pub some: String,
    /// How old: `{count}`.
    pub minutes_ago: String,
    /// How old: `{count}`.
    pub hours_ago: String,
}

/// Why something may not be done: `{device}`, `{property}`, `{value}` and so on, as [`crate::home::permit::Denied`] has them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denials {
    /// Nothing was understood.
    pub nothing: String,
    /// More than may be at once: `{count}`, `{most}`.
    pub too_many: String,
    /// There is no `{device}`.
    pub unknown_device: String,
    /// It has no such `{property}`.
    pub lacks: String,
    /// It can be read, not set.
    pub read_only: String,
    /// It wants a value.
    pub wants_value: String,
    /// It has no more or less.
    pub no_steps: String,
    /// It has no opposite.
    pub no_opposite: String,
    /// It cannot be stopped.
    pub no_stop: String,
    /// It cannot be toggled, and nobody knows how it is.
    pub no_toggle: String,
    /// It has no way to that `{value}`.
    pub no_way: String,
    /// `{value}` is not one of `{wanted}`.
    pub out_of_range: String,
    /// `{source}` may not.
    pub not_allowed: String,
    /// Nobody may.
    pub never: String,
    /// Two different things of one property.
    pub contradiction: String,
    /// Its present value is not known.
    pub state_unknown: String,
}

impl Speech {
    /// Returns names as a list: `a`, `a and b`, `a, b and c`; past five, `a, b, c and 4 more`.
    pub fn list(&self, names: &[String]) -> String {
        self.list_up_to(names, 5)
    }

    /// Returns names as a list that names at most `most` parts.
    pub fn list_up_to(&self, names: &[String], most: usize) -> String {
        match names {
            [] => String::new(),
            [one] => one.clone(),
            [front @ .., last] if names.len() <= most => {
                format!("{} {} {last}", front.join(", "), self.and)
            }
            many => fill(
                &self.more,
                &[
                    ("front", &many[..most - 2].join(", ")),
                    ("count", &(many.len() + 2 - most).to_string()),
                ],
            ),
        }
    }

    /// A value of the vocabulary as it is said.
    pub fn value<'a>(&'a self, word: &'a str) -> &'a str {
        self.values.get(word).map_or(word, String::as_str)
    }

    /// A property as it is said: `color_temp` as "color temperature".
    pub fn property(&self, name: &str) -> String {
        self.properties
            .get(name)
            .cloned()
            .unwrap_or_else(|| name.replace('_', " "))
    }
}

/// Fills the places of a form: `("device", "Lamp")` for `{device}`.
pub fn fill(form: &str, places: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(form.len() + 24);
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
    filled
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
    fn places_are_filled_and_text_that_looks_like_one_is_not() {
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
