//! The fixed scene: everyday commands, failing models, and commands that must be refused. Each act
//! states its expected result, and the scene fails if the result differs.

use crate::client::{Client, Effects};
use crate::reason::LocalReading;
use crate::scripted_model::ScriptedModel;
use crate::{DemoError, output};

/// The commands of one act and their expected result.
struct Act {
    title: &'static str,
    source: &'static str,
    sentences: &'static [&'static str],
    /// The status the first model fails with, and the number of failures before it answers again.
    fails: Option<(u16, usize)>,
    /// Outcome, `via` and `why` of at least one reply. An empty `via` or `why` matches any.
    reply: (&'static str, &'static str, &'static str),
    /// Topics that must receive a message. Without any, no device may receive one.
    topics: &'static [&'static str],
}

/// The names of the scripted models, in the order of the configuration.
pub(crate) const FIRST: &str = "script-a";
pub(crate) const SECOND: &str = "script-b";

/// The fields most acts share.
const DEFAULT: Act = Act {
    title: "",
    source: "demo",
    sentences: &[],
    fails: None,
    reply: ("done", "", ""),
    topics: &[],
};

const ACTS: [Act; 17] = [
    Act {
        title: "An everyday command is understood locally, without a model",
        sentences: &["turn on the kitchen light"],
        reply: ("done", "local", ""),
        topics: &["zigbee2mqtt/Kitchen light/set"],
        ..DEFAULT
    },
    Act {
        title: "A follow-up refers to the last command",
        sentences: &["turn it off again"],
        reply: ("done", "local", ""),
        topics: &["zigbee2mqtt/Kitchen light/set"],
        ..DEFAULT
    },
    Act {
        title: "The state before the last command is restored",
        sentences: &["undo that"],
        reply: ("done", "local", ""),
        topics: &["zigbee2mqtt/Kitchen light/set"],
        ..DEFAULT
    },
    Act {
        title: "A command for later waits, and survives a restart",
        sentences: &["turn off the sofa lamp in twenty minutes"],
        reply: ("done", "local", ""),
        ..DEFAULT
    },
    Act {
        title: "Two things in one sentence; the blinds take a second",
        sentences: &["dim the sofa lamp to 40 percent and close the bedroom blinds"],
        reply: ("done", "local", ""),
        topics: &[
            "zigbee2mqtt/Sofa lamp/set",
            "zigbee2mqtt/Bedroom blinds/set",
        ],
        ..DEFAULT
    },
    Act {
        title: "A question about a device is answered from its state",
        sentences: &["is the front door locked?"],
        reply: ("answered", "local", ""),
        ..DEFAULT
    },
    Act {
        title: "A property that only this device has, in its own unit",
        sentences: &["set the workshop pump flow to 12"],
        reply: ("done", "local", ""),
        topics: &["workshop/pump/flow/set"],
        ..DEFAULT
    },
    Act {
        title: "Beyond the local grammar: a model is asked",
        sentences: &["make the living room cosy for a film"],
        reply: ("done", FIRST, ""),
        topics: &[
            "zigbee2mqtt/Sofa lamp/set",
            "zigbee2mqtt/Living room blinds/set",
        ],
        ..DEFAULT
    },
    Act {
        title: "The same sentence again: the answer comes from the cache",
        sentences: &["Make the living room cosy for a film!"],
        reply: ("done", "cache", ""),
        topics: &[
            "zigbee2mqtt/Sofa lamp/set",
            "zigbee2mqtt/Living room blinds/set",
        ],
        ..DEFAULT
    },
    Act {
        title: "The first model fails (500): retried, then the second is asked",
        sentences: &["i could murder a coffee"],
        fails: Some((500, 4)),
        reply: ("done", SECOND, ""),
        topics: &["cmnd/coffee/POWER"],
        ..DEFAULT
    },
    Act {
        title: "The first model is rate limited (429): the second is asked at once",
        sentences: &["it is too dark to read in the bedroom"],
        fails: Some((429, 1)),
        reply: ("done", SECOND, ""),
        topics: &["zigbee2mqtt/Bedroom light/set"],
        ..DEFAULT
    },
    Act {
        title: "A model wants what the device cannot do: the permission gate refuses",
        sentences: &["make it as hot as a sauna in here"],
        reply: ("refused", "", "not_permitted"),
        ..DEFAULT
    },
    Act {
        title: "The kiosk in the hall may not command locks",
        source: "kiosk",
        sentences: &["unlock the front door"],
        reply: ("refused", "", "not_permitted"),
        ..DEFAULT
    },
    Act {
        title: "A command that opens the house needs a confirmation",
        sentences: &["open the garage door"],
        reply: ("unclear", "", ""),
        ..DEFAULT
    },
    Act {
        title: "The confirmation",
        sentences: &["yes"],
        reply: ("done", "", ""),
        topics: &["garage/door/set"],
        ..DEFAULT
    },
    Act {
        title: "Seven requests at once from one source: more than its rate limit",
        source: "kiosk",
        sentences: &[
            "why is the sky blue",
            "who built this house",
            "tell me a joke",
            "what shall we cook",
            "how deep is the sea",
            "sing me a song",
            "what is a quark",
        ],
        reply: ("refused", "", "too_soon"),
        ..DEFAULT
    },
    Act {
        title: "Commands understood locally have no rate limit",
        source: "kiosk",
        sentences: &["turn off the kitchen light"],
        reply: ("done", "local", ""),
        topics: &["zigbee2mqtt/Kitchen light/set"],
        ..DEFAULT
    },
];

/// Plays the scene. Returns the differences from the expected results.
pub(crate) async fn play(
    client: &mut Client,
    models: &[ScriptedModel],
    reading: &LocalReading,
) -> Result<Vec<String>, DemoError> {
    let mut differences = Vec::new();
    for (number, act) in (1..).zip(&ACTS) {
        output::line(&format!("{number}. {}", act.title))?;
        for sentence in act.sentences {
            output::line(&format!("{}> {sentence}", act.source))?;
        }
        if let (Some((status, times)), Some(first)) = (act.fails, models.first()) {
            first.fail(status, times);
        }
        let effects = client.send(act.source, act.sentences).await?;
        output::effects(&effects, models, reading)?;
        for model in models {
            model.recover();
        }
        for difference in act.differences(&effects) {
            differences.push(format!("act {number}: {difference}"));
        }
    }
    Ok(differences)
}

impl Act {
    fn differences(&self, effects: &Effects) -> Vec<String> {
        let mut differences = Vec::new();
        if !self.has_expected_reply(effects) {
            let replies: Vec<String> = effects
                .replies
                .iter()
                .map(|(reply, _)| format!("{} via {} ({})", reply.outcome, reply.via, reply.speech))
                .collect();
            differences.push(format!(
                "expected a reply like {:?}, received {}",
                self.reply,
                replies.join("; ")
            ));
        }
        for topic in self.topics {
            if !effects.sent.iter().any(|message| message.topic == *topic) {
                differences.push(format!("no message on `{topic}`"));
            }
        }
        if self.topics.is_empty() {
            for message in &effects.sent {
                let text = format!("unexpected `{}` on `{}`", message.payload, message.topic);
                differences.push(text);
            }
        } else if effects.states.is_empty() {
            differences.push("no device reported a new state".to_owned());
        }
        differences
    }

    fn has_expected_reply(&self, effects: &Effects) -> bool {
        let (outcome, via, why) = self.reply;
        effects.replies.iter().any(|(reply, _)| {
            let reply_why = reply.why.as_deref().unwrap_or_default();
            reply.outcome == outcome
                && (via.is_empty() || via == reply.via)
                && (why.is_empty() || why == reply_why)
        })
    }
}
