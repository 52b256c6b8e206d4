//! Examples of commands: sentences for the rights and the area of the source, in its language. Each
//! was read by the grammar in this home, has the meaning that it is shown for, and passes the gate.

use crate::command::phrase::Phrase;
use crate::home::device::Device;
use crate::home::permit::{PermitRequest, the_device};
use crate::pipeline::follow_up::aside;
use crate::pipeline::handle::Pipeline;
use crate::pipeline::interpretation::Request;
use crate::pipeline::reply::{Handled, Success};
use crate::vocabulary::action::{Action, Draft, Op};
use crate::vocabulary::speech::{Speech, fill};
use crate::vocabulary::timing::{Span, Timing};
use crate::vocabulary::{Property, Value};

/// The most sentences of one answer.
const MOST_SENTENCES: usize = 6;

/// The most devices that are tried for one meaning.
const MOST_TRIES: usize = 12;

/// The meaning of an example, by its key in the language file.
struct Meaning {
    key: &'static str,
    property: Property,
    op: Op,
    value: Option<Value>,
    timing: Option<Timing>,
}

fn meanings() -> Vec<Meaning> {
    let set = |key, property, value| Meaning {
        key,
        property,
        op: Op::Set,
        value: Some(value),
        timing: None,
    };
    let twenty_minutes = Span {
        days: 0,
        seconds: 1200,
    };
    vec![
        set("power=on", Property::Power, Value::text("on")),
        set("brightness=40", Property::Brightness, Value::Number(40.0)),
        set("position=0", Property::Position, Value::Number(0.0)),
        set("temperature=21", Property::Temperature, Value::Number(21.0)),
        set("lock=locked", Property::Lock, Value::text("locked")),
        Meaning {
            timing: Some(Timing::After(twenty_minutes)),
            ..set("later", Property::Power, Value::text("off"))
        },
        Meaning {
            op: Op::Query,
            ..set("is_on", Property::Power, Value::text("on"))
        },
        set("volume=30", Property::Volume, Value::Number(30.0)),
        set("power=off", Property::Power, Value::text("off")),
    ]
}

impl Pipeline {
    /// Answers the request for examples. Returns `None` for every other phrase.
    pub(super) fn handle_examples(&self, request: &Request<'_>) -> Option<Handled> {
        let grammar = &self.services.grammar;
        if !grammar.asks_for_examples(request.phrase) {
            return None;
        }
        let speech = grammar.speech(request.phrase);
        let sentences = self.examples(request, speech);
        let text = if sentences.is_empty() {
            speech.examples.none.clone()
        } else {
            let quoted = |text: &String| fill(&speech.examples.quoted, &[("sentence", text)]);
            let sentences: Vec<String> = sentences.iter().map(quoted).collect();
            let sentences = sentences.join(", ");
            fill(&speech.examples.some, &[("sentences", &sentences)])
        };
        let answered = aside(&text);
        Some(Handled::understood(&answered).with_result(Ok(Success::Answered(format!("{text}.")))))
    }

    /// Returns sentences of different meanings, for different devices where possible; those of the
    /// area of the command first.
    fn examples(&self, request: &Request<'_>, speech: &Speech) -> Vec<String> {
        let here = request.phrase.area();
        let here = here.and_then(|name| request.home.area_named(name));
        let mut devices: Vec<&Device> = request.home.devices().iter().collect();
        devices.sort_by_key(|device| here.is_none_or(|here| device.area != Some(here.id.clone())));
        let mut used: Vec<&str> = Vec::new();
        let mut found = Vec::new();
        for meaning in meanings() {
            if found.len() == MOST_SENTENCES {
                break;
            }
            let can = |device: &&&Device| device.capability(&meaning.property).is_some();
            let mut able: Vec<&Device> = devices.iter().filter(can).copied().collect();
            able.sort_by_key(|device| used.contains(&device.id.as_str()));
            let mut tried = able.into_iter().take(MOST_TRIES);
            let example = tried.find_map(|device| {
                let sentence = self.example(request, device, &meaning, speech)?;
                Some((device, sentence))
            });
            if let Some((device, sentence)) = example {
                used.push(device.id.as_str());
                found.push(sentence);
            }
        }
        found
    }

    /// Returns a sentence that has exactly this meaning for this device, and is permitted.
    fn example(
        &self,
        request: &Request<'_>,
        device: &Device,
        meaning: &Meaning,
        speech: &Speech,
    ) -> Option<String> {
        let grammar = &self.services.grammar;
        let places = [
            ("device", device.name.clone()),
            ("the_device", the_device(speech, device)),
        ];
        let places = places.each_ref().map(|(name, text)| (*name, text.as_str()));
        let forms = grammar.example_forms(request.phrase, meaning.key);
        let mut sentences = forms.iter().map(|form| fill(form, &places));
        sentences.find(|sentence| {
            let phrase = Phrase::new(sentence, request.phrase.area(), request.phrase.language());
            let draft = grammar.draft(&phrase, request.home);
            draft.is_some_and(|draft| {
                has_meaning(&draft, device, meaning) && self.would_permit(request, draft)
            })
        })
    }

    /// Returns whether the gate permits a draft of this source, confirmed where it must be.
    fn would_permit(&self, request: &Request<'_>, draft: Draft) -> bool {
        let draft = Draft {
            timing: None,
            ..draft
        };
        let context = PermitRequest {
            confirmed: true,
            ..self.permit_context(request, true)
        };
        let permitted = request.home.permit(&draft, &self.shared.state(), context);
        permitted.is_ok()
    }
}

/// Returns whether a draft is this meaning for this device, and nothing else.
fn has_meaning(draft: &Draft, device: &Device, meaning: &Meaning) -> bool {
    let [action] = draft.actions.as_slice() else {
        return false;
    };
    let expected = Action {
        device: (&device.id).into(),
        property: meaning.property.clone(),
        op: meaning.op,
        value: meaning.value.clone(),
    };
    let is_meant = *action == expected
        || (meaning.op == Op::Query && action.op == Op::Query && action.device == expected.device);
    is_meant && draft.question.is_none() && draft.timing == meaning.timing
}
