//! Rules for topics in the config, and detection of topics on which sayso would receive its own
//! messages.

use crate::discovery;
use crate::home::Home;
use crate::home::device::Device;
use crate::vocabulary::topic::Topic;

use crate::config::table::Table;

/// Maximum bytes of a topic prefix.
const MAX_PREFIX_BYTES: usize = 128;

/// The topics on which sayso itself publishes and subscribes.
#[derive(Clone, Copy)]
pub(super) struct OwnTopics<'a> {
    /// Prefix of sayso's own topics.
    pub(super) prefix: &'a str,
    /// Beginnings of response topics that every client may use.
    pub(super) reply_prefixes: &'a [String],
}

/// Accepts a topic to publish to or subscribe to: no wildcards, and none of the broker's own `$`
/// topics.
pub(super) fn topic(text: &str) -> Result<String, &'static str> {
    if Topic::new(text).is_ok() && !text.starts_with('$') {
        Ok(text.to_owned())
    } else {
        Err("a topic without wildcards (`+`, `#`) of at most 200 levels, not beginning with `$`")
    }
}

/// Accepts one or more leading levels of topics, such as `sayso` or `home/sayso`.
pub(super) fn topic_prefix(text: &str) -> Result<String, &'static str> {
    let has_empty_level = text.split('/').any(str::is_empty);
    if topic(text).is_ok() && text.len() <= MAX_PREFIX_BYTES && !has_empty_level {
        Ok(text.to_owned())
    } else {
        Err(
            "one or more topic levels such as \"sayso\" or \"home/sayso\", without wildcards, not \
             beginning or ending with `/`",
        )
    }
}

/// Returns whether a topic that begins with `beginning` may be below `root`, which ends with `/`.
pub(super) fn overlaps(beginning: &str, root: &str) -> bool {
    beginning.starts_with(root) || root.starts_with(beginning)
}

/// Reports each beginning of reply topics that may reach an announcement, or a command topic of
/// announced devices: a client could command them with its reply.
pub(super) fn check_reply_prefixes(
    table: &Table<'_>,
    prefixes: &[String],
    discovery: &discovery::Settings,
) {
    let tasmota = discovery.tasmota.then_some(["tasmota", "cmnd"]);
    let roots = (discovery.homeassistant.iter().map(String::as_str))
        .chain(discovery.zigbee2mqtt.iter().map(String::as_str))
        .chain(tasmota.into_iter().flatten());
    let roots: Vec<String> = roots.map(|root| format!("{root}/")).collect();
    for prefix in prefixes {
        let reached = roots.iter().find(|root| overlaps(prefix, root));
        if let Some(root) = reached {
            table.report(
                "reply_prefixes",
                format!(
                    "`{prefix}` allows replies below `{root}`, where devices are announced and \
                     commanded: choose one outside it"
                ),
            );
        }
    }
}

/// Returns the fault in the topics of a device: sayso must not receive its own messages as commands
/// or states, or one command would cause others without end.
pub(super) fn loops(device: &Device, home: &Home, own: OwnTopics<'_>) -> Vec<String> {
    let prefix = own.prefix;
    let is_reply = |topic: &str| own.reply_prefixes.iter().find(|p| topic.starts_with(&***p));
    let is_own = |topic: &str, except: &str| {
        let below = topic
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix('/'));
        below.is_some_and(|rest| !rest.starts_with(except))
    };
    let mut found = Vec::new();
    for link in device
        .capabilities
        .iter()
        .map(|capability| &capability.binding)
    {
        for topic in link.command_topics() {
            if is_own(topic, "action/") {
                found.push(format!(
                    "the command topic `{topic}` is one of sayso's own topics: \
                    choose one outside `{prefix}/`"
                ));
            }
            if let Some(prefix) = is_reply(topic) {
                found.push(format!(
                    "the command topic `{topic}` begins with `{prefix}` of \
                     `mqtt.reply_prefixes`, so any client could command the device with its \
                     reply: use another topic or prefix"
                ));
            }
            if home.has_state_topic(topic) {
                found.push(format!(
                    "`{topic}` is both a command topic and a state topic, so sayso \
                    would receive its own messages: use two different topics"
                ));
            }
        }
        for port in &link.state {
            if is_own(&port.topic, "state/") {
                found.push(format!(
                    "the state topic `{}` is one of sayso's own topics: choose one \
                    outside `{prefix}/`, or below `{prefix}/state/`",
                    port.topic
                ));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_have_no_wildcards_and_no_more_levels_than_a_broker_accepts() {
        assert!(topic("zigbee2mqtt/Kitchen light").is_ok());
        let deep = ["a"; 201].join("/");
        for bad in [
            "",
            "a/+/b",
            "a/#",
            "$SYS/x",
            "a\0b",
            "x/\u{fdd0}",
            "x/\u{ffff}",
            &deep,
        ] {
            assert!(topic(bad).is_err(), "{bad:?}");
        }
        for bad in ["/sayso", "sayso/", "a//b"] {
            assert!(topic_prefix(bad).is_err(), "{bad:?}");
        }
    }
}
