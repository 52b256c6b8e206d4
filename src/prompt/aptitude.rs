//! The aptitude test of a small model: plain commands for a small home of its own, whose right
//! answers are certain. Weak models know only one direction, and switch on everything that is
//! named. Pure: the caller sends the prompts and passes on the answers.

use crate::command::phrase::Phrase;
use crate::home::Home;
use crate::home::device::{Area, Device, Kind};
use crate::home::rights::Rights;
use crate::prompt::Composer;
use crate::prompt::answer::read;
use crate::prompt::instructions::RULES;
use crate::prompt::{hash, narrow};
use crate::provider::Prompt;
use crate::vocabulary::action::{Draft, Op};
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Property, Value};

/// A model with fewer parameters is tested.
const SMALLEST_UNTESTED: u64 = 4_000_000_000;

/// The right answers that pass. A model that knows one direction only has five at most.
const ENOUGH: usize = 6;

/// The areas of the home and their devices: identifier, kind.
const HOME: [(&str, &[(&str, &str)]); 2] = [
    (
        "study",
        &[
            ("reading_lamp", "light"),
            ("fan", "fan"),
            ("blinds", "cover"),
        ],
    ),
    (
        "den",
        &[
            ("floor_lamp", "light"),
            ("heater", "switch"),
            ("radio", "media_player"),
            ("side_door", "lock"),
        ],
    ),
];

/// The right answer to a question.
#[derive(Debug, Clone, Copy)]
enum Right {
    /// The power of this device is set so.
    Power(&'static str, bool),
    /// The blinds are set to this position.
    Position(f64),
    /// No device is meant.
    Nothing,
}

/// The questions: each direction as often as the other.
const QUESTIONS: [(&str, Right); 8] = [
    (
        "turn on the reading lamp",
        Right::Power("reading_lamp", true),
    ),
    (
        "turn the reading lamp off",
        Right::Power("reading_lamp", false),
    ),
    ("the fan should be on now", Right::Power("fan", true)),
    ("the fan should be off now", Right::Power("fan", false)),
    ("open the blinds", Right::Position(100.0)),
    ("close the blinds", Right::Position(0.0)),
    ("the blinds at 30 percent", Right::Position(30.0)),
    ("order a pizza", Right::Nothing),
];

/// Returns whether a model with this number of parameters has to pass the test.
pub fn is_required(parameters: u64) -> bool {
    parameters < SMALLEST_UNTESTED
}

/// Returns the prompts of the questions, in order.
pub fn questions() -> Vec<Prompt> {
    let home = home();
    let composer = Composer::default();
    QUESTIONS
        .iter()
        .map(|(text, _)| composer.compose(&Phrase::new(text, None, None), &home, "aptitude"))
        .collect()
}

/// Returns the version of the test: it changes with the questions and with the rules of prompts.
pub fn version() -> u64 {
    hash(&(RULES, narrow::RULES, format!("{QUESTIONS:?}{HOME:?}")))
}

/// The result of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AptitudeScore {
    /// Right answers.
    pub right: usize,
    /// Questions.
    pub of: usize,
}

impl AptitudeScore {
    /// Judges the answers to all questions, in order; `None` where an answer cannot be used.
    pub fn of(answers: &[Option<String>]) -> Self {
        let pairs = QUESTIONS.iter().zip(answers);
        let right = pairs.filter(|((_, right), answer)| {
            let draft = answer.as_deref().and_then(|answer| read(answer).ok());
            draft.is_some_and(|draft| right.is_answer(&draft))
        });
        Self {
            right: right.count(),
            of: QUESTIONS.len(),
        }
    }

    /// Returns a score of this test as it is kept.
    pub fn stored(right: u8) -> Self {
        Self {
            right: right.into(),
            of: QUESTIONS.len(),
        }
    }

    /// Returns whether the model knows both directions often enough.
    pub fn passes(self) -> bool {
        self.right >= ENOUGH
    }
}

impl Right {
    fn is_answer(self, draft: &Draft) -> bool {
        let action = match (self, draft.actions.as_slice()) {
            (Self::Nothing, []) => return true,
            (Self::Nothing, _) => return false,
            (_, [only]) if only.op == Op::Set => only,
            _ => return false,
        };
        match self {
            Self::Nothing => false,
            Self::Power(device, is_on) => {
                let word = if is_on { "on" } else { "off" };
                let is_value = match &action.value {
                    Some(Value::Flag(flag)) => *flag == is_on,
                    value => *value == Some(Value::text(word)),
                };
                action.device == device && action.property == Property::Power && is_value
            }
            Self::Position(wanted) => {
                let is_value = match &action.value {
                    Some(Value::Number(number)) => (number - wanted).abs() < 0.5,
                    _ => false,
                };
                action.device == "blinds" && action.property == Property::Position && is_value
            }
        }
    }
}

fn home() -> Home {
    let slug = |text| Slug::new(text).expect("a plain word is an identifier");
    let areas = HOME.iter().map(|(id, _)| Area {
        id: slug(id),
        name: (*id).to_owned(),
        aliases: Vec::new(),
        floor: None,
    });
    let devices = HOME.iter().flat_map(|(area, devices)| {
        devices.iter().map(|(id, kind)| Device {
            area: Some(slug(area)),
            ..Device::new(slug(id), Kind::new(slug(kind)))
        })
    });
    Home::new(
        areas.collect(),
        devices.collect(),
        Rights::default(),
        "sayso",
    )
    .expect("the names of this home differ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn answer(device: &str, property: &str, value: &Json) -> String {
        json!({"actions": [{"device": device, "property": property, "value": value}]}).to_string()
    }

    fn right() -> Vec<String> {
        let mut answers: Vec<String> = [
            ("reading_lamp", "power", json!("on")),
            ("reading_lamp", "power", json!(false)),
            ("fan", "power", json!("on")),
            ("fan", "power", json!("off")),
            ("blinds", "position", json!(100)),
            ("blinds", "position", json!(0)),
            ("blinds", "position", json!(30)),
        ]
        .iter()
        .map(|(device, property, value)| answer(device, property, value))
        .collect();
        answers.push(json!({"actions": [], "speech": "I cannot do that."}).to_string());
        answers
    }

    fn score(answers: &[String]) -> AptitudeScore {
        AptitudeScore::of(&answers.iter().cloned().map(Some).collect::<Vec<_>>())
    }

    #[test]
    fn right_answers_pass_and_two_may_be_wrong() {
        let mut answers = right();
        assert_eq!(score(&answers), AptitudeScore { right: 8, of: 8 });
        answers[0] = answers[1].clone();
        answers[6] = "prose".to_owned();
        assert!(score(&answers).passes());
        answers[7] = answers[1].clone();
        assert_eq!(score(&answers).right, 5);
        assert!(!score(&answers).passes());
    }

    #[test]
    fn one_direction_does_not_pass_whatever_else_is_right() {
        let right = right();
        let (mut on, mut off) = (right.clone(), right);
        for pair in [0, 2, 4] {
            on[pair + 1] = on[pair].clone();
            off[pair] = off[pair + 1].clone();
        }
        assert!(!score(&on).passes() && !score(&off).passes());
    }

    #[test]
    fn one_answer_to_every_question_and_no_answers_do_not_pass() {
        for answer in right() {
            assert!(!score(&vec![answer; QUESTIONS.len()]).passes());
        }
        let none = AptitudeScore::of(&vec![None; QUESTIONS.len()]);
        assert_eq!(none, AptitudeScore { right: 0, of: 8 });
        assert!(!none.passes());
    }

    #[test]
    fn the_questions_are_short_and_have_the_form_of_every_other() {
        let questions = questions();
        assert_eq!(questions.len(), QUESTIONS.len());
        for (prompt, (text, _)) in questions.iter().zip(QUESTIONS) {
            assert_eq!(prompt.phrase, format!("command: {text}"));
            assert!(prompt.narrow.as_ref().unwrap().prefix.len() < 2048);
        }
        assert!(is_required(630_000_000) && !is_required(7_000_000_000));
    }
}
