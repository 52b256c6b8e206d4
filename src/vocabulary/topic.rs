//! MQTT topics and topic filters that brokers accept, and the check that sayso never receives its
//! own messages. Pure.
//!
//! Every text that is published to or subscribed to passes [`Topic::new`] or [`Filter::new`],
//! whether it comes from a command, an announcement or a file: a broker ends the connection over a
//! topic it does not accept, and would do so again at every attempt.

use std::fmt;

/// The longest topic in bytes: its length is encoded in two bytes (MQTT 5, section 1.5.4).
pub const MAX_BYTES: usize = 65_535;

/// The most levels in a topic. mosquitto disconnects a client that names more
/// (`TOPIC_HIERARCHY_LIMIT`).
pub const MAX_LEVELS: usize = 200;

/// The text is not a topic, or not a topic filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not an MQTT {what}: {why}")]
pub struct BadTopic {
    found: String,
    what: &'static str,
    why: &'static str,
}

/// An output topic that matches one of sayso's own subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "messages to `{output}` would come back through the subscription to `{subscription}`: change \
     one of them"
)]
pub struct Echo {
    /// Filter of the topics sayso publishes to.
    pub output: String,
    /// Filter of the subscription that matches it.
    pub subscription: String,
}

/// A topic a message can be published to: no wildcards, and nothing a broker disconnects for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Topic(String);

impl Topic {
    /// Checks `text` and takes it unchanged.
    ///
    /// # Errors
    /// When it is empty, too long, too deep, or contains a wildcard or a character that brokers
    /// refuse.
    pub fn new(text: impl Into<String>) -> Result<Self, BadTopic> {
        let text = text.into();
        Self::check(&text)?;
        Ok(Self(text))
    }

    /// Checks `text`.
    ///
    /// # Errors
    /// The same as those of [`Topic::new`].
    pub fn check(text: &str) -> Result<(), BadTopic> {
        let wildcard = text.contains(['+', '#']).then_some("it has a wildcard");
        match fault(text).or(wildcard) {
            Some(why) => Err(BadTopic::new(text, "topic", why)),
            None => Ok(()),
        }
    }

    /// Returns the topic as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A topic filter: `+` stands for any one level, a final `#` for any number of levels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter(String);

impl Filter {
    /// Checks `text` and takes it unchanged.
    ///
    /// # Errors
    /// When it is empty, too long, too deep, contains a character that brokers refuse, or has a
    /// wildcard that is not a level of its own or a `#` that is not the last level.
    pub fn new(text: impl Into<String>) -> Result<Self, BadTopic> {
        let text = text.into();
        match fault(&text).or_else(|| misplaced_wildcard(&text)) {
            Some(why) => Err(BadTopic::new(&text, "filter", why)),
            None => Ok(Self(text)),
        }
    }

    /// Returns the filter as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the filter has no wildcard and so matches one topic only.
    pub fn is_exact(&self) -> bool {
        is_exact(&self.0)
    }

    /// Returns whether a message on `topic` comes through this subscription.
    pub fn matches(&self, topic: &str) -> bool {
        intersect(&self.0, topic)
    }

    /// Returns whether some topic matches both filters.
    pub fn overlaps(&self, other: &Self) -> bool {
        intersect(&self.0, &other.0)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Topic> for Filter {
    fn from(topic: Topic) -> Self {
        Self(topic.0)
    }
}

impl BadTopic {
    fn new(text: &str, what: &'static str, why: &'static str) -> Self {
        let found = text.chars().take(80).flat_map(char::escape_debug).collect();
        Self { found, what, why }
    }
}

/// Returns whether the text of a filter has no wildcard.
pub fn is_exact(filter: &str) -> bool {
    !filter.contains(['+', '#'])
}

/// Returns whether a message on `topic` comes through a subscription to `filter`, a valid filter.
pub fn receives(filter: &str, topic: &str) -> bool {
    filter == topic || (!is_exact(filter) && intersect(filter, topic))
}

/// Checks that no message published to `outputs` comes back through `subscriptions`.
///
/// # Errors
/// When one would; the error names both.
pub fn refuse_echo(outputs: &[Filter], subscriptions: &[Filter]) -> Result<(), Echo> {
    for output in outputs {
        if let Some(subscription) = subscriptions.iter().find(|s| s.overlaps(output)) {
            return Err(Echo {
                output: output.0.clone(),
                subscription: subscription.0.clone(),
            });
        }
    }
    Ok(())
}

/// Returns the reason why brokers refuse `text` as a topic and as a filter.
fn fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("it is empty")
    } else if text.len() > MAX_BYTES {
        Some("it is longer than 65535 bytes")
    } else if text.split('/').count() > MAX_LEVELS {
        Some("it has more than 200 levels, and brokers disconnect for that")
    } else if text.chars().any(is_refused) {
        Some("it has a control character or a code point that is no character")
    } else {
        None
    }
}

/// Returns whether a broker may end the connection over the character (MQTT 5, section 1.5.4;
/// mosquitto does).
fn is_refused(c: char) -> bool {
    let code = u32::from(c);
    c.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

fn misplaced_wildcard(filter: &str) -> Option<&'static str> {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let is_partial = level.len() > 1 && level.contains(['+', '#']);
        let is_early = level == "#" && levels.peek().is_some();
        if is_partial || is_early {
            return Some("a `+` or `#` must be a level of its own, and `#` the last");
        }
    }
    None
}

/// Returns whether some topic matches both filters. A topic is a filter that matches only itself.
fn intersect(a: &str, b: &str) -> bool {
    // A leading wildcard does not match `$SYS` and other topics that begin with `$` (MQTT 5,
    // section 4.7.2).
    let is_hidden = |one: &str, other: &str| one.starts_with('$') && other.starts_with(['+', '#']);
    if is_hidden(a, b) || is_hidden(b, a) {
        return false;
    }
    let mut left = a.split('/');
    let mut right = b.split('/');
    loop {
        match (left.next(), right.next()) {
            // `a/#` matches `a` itself too.
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(x), Some(y)) if x == y || x == "+" || y == "+" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Filter {
        Filter::new(text).unwrap()
    }

    #[test]
    fn a_topic_has_no_wildcard() {
        assert!(Topic::new("sayso/reply/hall").is_ok());
        for bad in ["", "a/+", "#", "a\0b", &"x".repeat(MAX_BYTES + 1)] {
            assert!(Topic::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_text_that_brokers_disconnect_for_is_neither_topic_nor_filter() {
        let deep = vec!["a"; MAX_LEVELS + 1].join("/");
        for bad in [
            deep.as_str(),
            "x/\u{fdd0}",
            "x/\u{fdef}",
            "x/\u{ffff}",
            "x/\u{1fffe}",
            "x/\u{10ffff}",
            "x\u{1}",
            "x\u{7f}",
            "x\u{9f}",
        ] {
            assert!(Topic::new(bad).is_err(), "{bad:?}");
            assert!(Filter::new(bad).is_err(), "{bad:?}");
        }
        for good in ["küche/licht", "灯/开", "😀", "x/\u{fffd}"] {
            assert!(Topic::new(good).is_ok(), "{good}");
        }
        assert!(Topic::new(vec!["a"; MAX_LEVELS].join("/")).is_ok());
    }

    #[test]
    fn a_wildcard_is_a_level_of_its_own() {
        for good in ["+", "#", "a/+/b", "a/#", "+/+/#", "/", "a//b"] {
            assert!(Filter::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a+", "a/b#", "#/a", "a/#/b", "++"] {
            assert!(Filter::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn filters_match_as_the_standard_says() {
        for (f, topic) in [
            ("a/b", "a/b"),
            ("a/+", "a/b"),
            ("a/+", "a/"),
            ("a/#", "a"),
            ("a/#", "a/b/c"),
            ("#", "a/b"),
            ("+/b", "a/b"),
            ("$SYS/#", "$SYS/x"),
        ] {
            assert!(filter(f).matches(topic), "{f} {topic}");
        }
        for (f, topic) in [
            ("a/b", "a/c"),
            ("a/+", "a/b/c"),
            ("a/+", "a"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/x"),
            ("a", "A"),
            ("a/b", "a"),
        ] {
            assert!(!filter(f).matches(topic), "{f} {topic}");
        }
    }

    #[test]
    fn an_echo_is_refused_and_both_ends_named() {
        let subscriptions = [filter("sayso/command/+"), filter("zigbee2mqtt/+")];
        assert_eq!(
            refuse_echo(
                &[filter("sayso/reply/#"), filter("zigbee2mqtt/lamp/set")],
                &subscriptions
            ),
            Ok(())
        );
        let echo = refuse_echo(&[filter("zigbee2mqtt/lamp")], &subscriptions).unwrap_err();
        assert_eq!(
            (echo.output.as_str(), echo.subscription.as_str()),
            ("zigbee2mqtt/lamp", "zigbee2mqtt/+")
        );
        assert!(refuse_echo(&[filter("sayso/reply/#")], &[filter("sayso/+/hall")]).is_err());
        assert!(refuse_echo(&[filter("sayso/action/+")], &[filter("#")]).is_err());
    }
}
