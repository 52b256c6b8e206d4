//! The fixed scene: what sayso does with everyday commands, with models that fail, and with what must not be done.
//! Each act says what should come of it, and the scene fails when something else does.

use crate::speaker::{Outcome, Speaker};
use crate::stand_in::{Mood, StandIn};
use crate::{Fault, show};

/// One act: what is said, and what should come of it.
struct Act {
    title: &'static str,
    source: &'static str,
    says: &'static [&'static str],
    /// How the first stand-in fails before it answers again, and how often.
    fails: Option<(Mood, usize)>,
    /// How at least one reply ends: outcome, who understood it (any when empty), why (none when empty).
    ends: (&'static str, &'static str, &'static str),
    /// Topics that are sent to; none means that nothing may be sent at all.
    sends: &'static [&'static str],
}

const FIRST: &str = "stand-in-a";
const SECOND: &str = "stand-in-b";

const QUIET: Act = Act {
    title: "",
    source: "demo",
    says: &[],
    fails: None,
    ends: ("done", "", ""),
    sends: &[],
};

const ACTS: [Act; 14] = [
    Act {
        title: "An everyday command is understood here, without any model",
        says: &["turn on the kitchen light"],
        ends: ("done", "local", ""),
        sends: &["zigbee2mqtt/Kitchen light/set"],
        ..QUIET
    },
    Act {
        title: "Two things in one sentence; the blinds take a second",
        says: &["dim the sofa lamp to 40 percent and close the bedroom blinds"],
        ends: ("done", "local", ""),
        sends: &[
            "zigbee2mqtt/Sofa lamp/set",
            "zigbee2mqtt/Bedroom blinds/set",
        ],
        ..QUIET
    },
    Act {
        title: "A question about a device is answered from its state",
        says: &["is the front door locked?"],
        ends: ("answered", "local", ""),
        ..QUIET
    },
    Act {
        title: "A number of the device's own, in its own unit",
        says: &["set the workshop pump flow to 12"],
        ends: ("done", "local", ""),
        sends: &["workshop/pump/flow/set"],
        ..QUIET
    },
    Act {
        title: "Beyond the local reading: a model is asked",
        says: &["make the living room cosy for a film"],
        ends: ("done", FIRST, ""),
        sends: &[
            "zigbee2mqtt/Sofa lamp/set",
            "zigbee2mqtt/Living room blinds/set",
        ],
        ..QUIET
    },
    Act {
        title: "The same again: remembered, nobody is asked",
        says: &["Make the living room cosy for a film!"],
        ends: ("done", "cache", ""),
        sends: &[
            "zigbee2mqtt/Sofa lamp/set",
            "zigbee2mqtt/Living room blinds/set",
        ],
        ..QUIET
    },
    Act {
        title: "The first model is broken (500): tried again, then the second is asked",
        says: &["i could murder a coffee"],
        fails: Some((Mood::Broken, 4)),
        ends: ("done", SECOND, ""),
        sends: &["cmnd/coffee/POWER"],
        ..QUIET
    },
    Act {
        title: "The first model is exhausted (429): the second is asked at once",
        says: &["it is too dark to read in the bedroom"],
        fails: Some((Mood::Exhausted, 1)),
        ends: ("done", SECOND, ""),
        sends: &["zigbee2mqtt/Bedroom light/set"],
        ..QUIET
    },
    Act {
        title: "A model asks for what the device cannot do: the gate refuses",
        says: &["make it as hot as a sauna in here"],
        ends: ("refused", "", "not_permitted"),
        ..QUIET
    },
    Act {
        title: "The kiosk in the hall has no right to the locks",
        source: "kiosk",
        says: &["unlock the front door"],
        ends: ("refused", "", "not_permitted"),
        ..QUIET
    },
    Act {
        title: "What lets somebody in wants a yes",
        says: &["open the garage door"],
        ends: ("unclear", "", ""),
        ..QUIET
    },
    Act {
        title: "... and here it is",
        says: &["yes"],
        ends: ("done", "", ""),
        sends: &["garage/door/set"],
        ..QUIET
    },
    Act {
        title: "Seven questions at once from one source: more than its quota",
        source: "kiosk",
        says: &[
            "why is the sky blue",
            "who built this house",
            "tell me a joke",
            "what shall we cook",
            "how deep is the sea",
            "sing me a song",
            "what is a quark",
        ],
        ends: ("refused", "", "too_soon"),
        ..QUIET
    },
    Act {
        title: "Everyday commands go on all the same: they cost nothing",
        source: "kiosk",
        says: &["turn off the kitchen light"],
        ends: ("done", "local", ""),
        sends: &["zigbee2mqtt/Kitchen light/set"],
        ..QUIET
    },
];

/// Plays the scene. Gives what went wrong, act by act.
pub(crate) async fn play(speaker: &mut Speaker, models: &[StandIn]) -> Result<Vec<String>, Fault> {
    let mut wrong = Vec::new();
    for (number, act) in (1..).zip(&ACTS) {
        show::line(&format!("{number}. {}", act.title))?;
        for sentence in act.says {
            show::line(&format!("{}> {sentence}", act.source))?;
        }
        if let (Some((mood, times)), Some(first)) = (act.fails, models.first()) {
            first.fail(mood, times);
        }
        let outcome = speaker.say(act.source, act.says).await?;
        show::outcome(&outcome, models)?;
        models.iter().for_each(StandIn::recover);
        wrong.extend(
            act.faults(&outcome)
                .into_iter()
                .map(|fault| format!("act {number}: {fault}")),
        );
    }
    Ok(wrong)
}

impl Act {
    fn faults(&self, outcome: &Outcome) -> Vec<String> {
        let (ends, via, why) = self.ends;
        let mut faults = Vec::new();
        let fits = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        if !outcome.replies.iter().any(|(reply, _)| {
            reply.outcome == ends
                && fits(via, &reply.via)
                && fits(why, reply.why.as_deref().unwrap_or_default())
        }) {
            let found: Vec<String> = outcome
                .replies
                .iter()
                .map(|(reply, _)| format!("{} via {} ({})", reply.outcome, reply.via, reply.speech))
                .collect();
            faults.push(format!(
                "wanted `{ends}` via `{via}` why `{why}`, found {}",
                found.join("; ")
            ));
        }
        for topic in self.sends {
            if !outcome.sent.iter().any(|message| message.topic == *topic) {
                faults.push(format!("nothing was sent to `{topic}`"));
            }
        }
        if self.sends.is_empty() {
            faults.extend(
                outcome.sent.iter().map(|message| {
                    format!("`{}` was sent to `{}`", message.payload, message.topic)
                }),
            );
        } else if outcome.states.is_empty() {
            faults.push("no device told a new state".to_owned());
        }
        faults
    }
}
