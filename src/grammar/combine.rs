//! One draft from two independent interpretations of a sentence: by the grammar and by a sentence
//! template.

use crate::grammar::explain::Explanation;
use crate::templates::Recognition;
use crate::vocabulary::Property;
use crate::vocabulary::action::{Action, Draft, Op};

/// Returns the draft that is certain: that of the only interpretation, or the grammar's if both
/// agree.
///
/// A question back of the grammar is kept, since nothing is done before its answer. Of two
/// questions about states, the grammar's is answered.
pub(super) fn combine(own: Option<Draft>, template: Option<Draft>) -> Option<Draft> {
    let (own, template) = match (own, template) {
        (Some(own), Some(template)) => (own, template),
        (own, template) => return own.or(template),
    };
    let both_ask = is_state_question(&own) && is_state_question(&template);
    let agrees = own.question.is_some() || both_ask || agree(&own, &template);
    agrees.then_some(own)
}

/// Returns whether both do the same, on the same devices or one of them on a part of these. A
/// template knows fewer kinds of devices, colours and ways to stop.
fn agree(own: &Draft, template: &Draft) -> bool {
    let is_part = |of: &Draft, whole: &Draft| {
        let mut actions = of.actions.iter();
        actions.all(|action| whole.actions.iter().any(|other| is_same(action, other)))
    };
    is_part(own, template) || is_part(template, own)
}

fn is_same(a: &Action, b: &Action) -> bool {
    let is_one_of = |action: &Action, words: &[&str]| {
        let word = action.value.as_ref().map(ToString::to_string);
        word.is_some_and(|word| words.contains(&word.as_str()))
    };
    // A template sends a robot home for "stop".
    let ways_to_stop: &[&str] = match a.property {
        Property::Playback => &["paused", "stopped"],
        Property::Vacuum | Property::Mower => &["paused", "stopped", "docked"],
        _ => &[],
    };
    let both_stop = is_one_of(a, ways_to_stop) && is_one_of(b, ways_to_stop);
    let same_value = a.value == b.value || a.property == Property::Color || both_stop;
    (&a.device, &a.property, a.op) == (&b.device, &b.property, b.op) && same_value
}

fn is_state_question(draft: &Draft) -> bool {
    draft.actions.iter().all(|action| action.op == Op::Query)
}

/// Explains a phrase that is a sentence template, or is in a language with templates only.
pub(super) fn explain_both(own: Option<Explanation>, template: Option<Recognition>) -> Explanation {
    let unmatched = "it is no sentence template of its language".to_owned();
    let own = own.unwrap_or(Explanation {
        spans: Vec::new(),
        template: None,
        verdict: Err(unmatched),
    });
    let Some(Recognition { intent, draft }) = template else {
        return own;
    };
    let verdict = match (own.verdict, draft) {
        (Ok(own), None) => Ok(own),
        (Ok(own), Some(draft)) => combine(Some(own), Some(draft))
            .ok_or_else(|| "as a sentence template it has another meaning".to_owned()),
        (Err(_), Some(draft)) => Ok(draft),
        (Err(_), None) => Err("the intent has no devices, or none that it is certain about".into()),
    };
    Explanation {
        spans: own.spans,
        template: Some(intent),
        verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Value;

    fn draft(device: &str, op: Op, word: &str) -> Draft {
        let action = Action {
            device: device.into(),
            property: Property::Power,
            op,
            value: Some(Value::text(word)),
        };
        Draft {
            actions: vec![action],
            ..Draft::default()
        }
    }

    #[test]
    fn two_interpretations_that_differ_do_nothing() {
        let (on, off) = (draft("lamp", Op::Set, "on"), draft("lamp", Op::Set, "off"));
        assert_eq!(combine(Some(on.clone()), Some(off)), None);
        assert_eq!(
            combine(Some(on.clone()), Some(on.clone())),
            Some(on.clone())
        );
        let asked = draft("lamp", Op::Query, "on");
        assert_eq!(combine(Some(on.clone()), Some(asked)), None);
        assert_eq!(combine(None, Some(on.clone())), Some(on.clone()));
        assert_eq!(combine(Some(on.clone()), None), Some(on));
    }

    #[test]
    fn a_robot_is_stopped_where_a_template_sends_it_home() {
        let robot = |word: &str| {
            let mut draft = draft("robot", Op::Set, word);
            draft.actions[0].property = Property::Vacuum;
            draft
        };
        let stopped = combine(Some(robot("stopped")), Some(robot("docked")));
        assert_eq!(stopped, Some(robot("stopped")));
        assert_eq!(
            combine(Some(robot("cleaning")), Some(robot("docked"))),
            None
        );
    }

    #[test]
    fn a_question_of_the_grammar_is_kept() {
        let question = Draft {
            question: Some("which lamp?".to_owned()),
            ..Draft::default()
        };
        let on = draft("lamp", Op::Set, "on");
        assert_eq!(combine(Some(question.clone()), Some(on)), Some(question));
        let (own, other) = (draft("a", Op::Query, "on"), draft("b", Op::Query, "on"));
        assert_eq!(combine(Some(own.clone()), Some(other)), Some(own));
    }
}
