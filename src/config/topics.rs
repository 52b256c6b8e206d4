//! Rules for topics in the config, and detection of topics on which sayso would receive its own
//! messages.

use crate::home::Home;
use crate::home::device::Device;
use crate::vocabulary::topic::Topic;

/// Maximum bytes of a topic prefix.
const MAX_PREFIX_BYTES: usize = 128;

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

/// Returns the fault in the topics of a device: sayso must not receive its own messages as commands
/// or states, or one command would cause others without end.
pub(super) fn loops(device: &Device, home: &Home, prefix: &str) -> Vec<String> {
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
        let fixed = link.stop.iter().chain(&link.toggle).map(|port| &port.topic);
        for topic in link.command.iter().map(|port| &port.topic).chain(fixed) {
            if is_own(topic, "action/") {
                found.push(format!(
                    "the command topic `{topic}` is one of sayso's own topics: \
                    choose one outside `{prefix}/`"
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
