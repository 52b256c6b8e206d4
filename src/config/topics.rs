//! What may be a topic, and which topics would make sayso hear itself.

use crate::home::Home;
use crate::home::device::Device;
use crate::vocabulary::topic::Topic;

/// A topic to publish to or listen on: no wildcard, nothing of the broker's own.
pub(super) fn topic(text: &str) -> Result<String, &'static str> {
    if Topic::new(text).is_ok() && !text.starts_with('$') {
        Ok(text.to_owned())
    } else {
        Err("a topic without wildcards (`+`, `#`) of at most 200 levels, not beginning with `$`")
    }
}

/// The first level or levels of topics: `sayso`, `home/sayso`.
pub(super) fn level_or_topic(text: &str) -> Result<String, &'static str> {
    let fits =
        topic(text).is_ok() && text.len() <= 128 && text.split('/').all(|level| !level.is_empty());
    if fits {
        Ok(text.to_owned())
    } else {
        Err(
            "one or more topic levels such as \"sayso\" or \"home/sayso\", without wildcards, not beginning or ending with `/`",
        )
    }
}

/// What is wrong with the topics of a device, given all those of the home and the prefix of sayso's own: sayso must hear
/// none of what it says, or one command would become many.
pub(super) fn loops(device: &Device, home: &Home, prefix: &str) -> Vec<String> {
    let own = |topic: &str, room: &str| {
        topic
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|rest| !rest.starts_with(room))
    };
    let mut found = Vec::new();
    let links = device.capabilities.iter().map(|c| &c.link);
    for link in links {
        let commands = link
            .command
            .iter()
            .map(|p| &p.topic)
            .chain(link.stop.iter().chain(&link.toggle).map(|p| &p.topic));
        for topic in commands {
            if own(topic, "action/") {
                found.push(format!("the command topic `{topic}` is one of sayso's own: choose one outside `{prefix}/`"));
            }
            if home.hears(topic) {
                found.push(format!("`{topic}` is both a command topic and a state topic: sayso would hear itself; give the two different topics"));
            }
        }
        for port in &link.state {
            if own(&port.topic, "state/") {
                found.push(format!("the state topic `{}` is one of sayso's own: choose one outside `{prefix}/`, or below `{prefix}/state/`", port.topic));
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
    fn a_topic_is_plain() {
        assert!(topic("zigbee2mqtt/Kitchen light").is_ok());
        for bad in ["", "a/+/b", "a/#", "$SYS/x", "a\0b"] {
            assert!(topic(bad).is_err(), "{bad:?}");
        }
        for bad in ["/sayso", "sayso/", "a//b"] {
            assert!(level_or_topic(bad).is_err(), "{bad:?}");
        }
    }
}
