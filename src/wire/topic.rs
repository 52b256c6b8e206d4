//! Topics and filters, checked once; and the proof that nothing said here is heard here again. Pure.

use std::fmt;

/// The longest topic, in bytes: its length travels in two bytes (MQTT 5, section 1.5.4).
const LONGEST: usize = 65_535;

/// The text is no topic, or no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not an MQTT {what}: {why}")]
pub struct BadTopic {
    found: String,
    what: &'static str,
    why: &'static str,
}

/// An output topic matches an own subscription: sayso would hear itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "messages to `{output}` would come back through the subscription to `{subscription}`: change one of them"
)]
pub struct Echo {
    /// Where sayso publishes.
    pub output: String,
    /// What it listens to.
    pub subscription: String,
}

/// A topic one message can go to: 1 to 65535 bytes, no wildcards, no NUL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Topic(String);

impl Topic {
    /// Takes `text` as it stands.
    ///
    /// # Errors
    /// When it is empty, too long, or has a wildcard or NUL.
    pub fn new(text: impl Into<String>) -> Result<Self, BadTopic> {
        let text = text.into();
        match fault(&text).or_else(|| text.contains(['+', '#']).then_some("it has a wildcard")) {
            Some(why) => Err(BadTopic {
                found: shown(&text),
                what: "topic",
                why,
            }),
            None => Ok(Self(text)),
        }
    }

    /// The topic as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a subscription listens to: levels, of which `+` stands for any one and a last `#` for any number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter(String);

impl Filter {
    /// Takes `text` as it stands.
    ///
    /// # Errors
    /// When it is empty, too long, has NUL, or has a wildcard that is not a whole level or a `#` that is not the last.
    pub fn new(text: impl Into<String>) -> Result<Self, BadTopic> {
        let text = text.into();
        let last = text.split('/').count().saturating_sub(1);
        let misplaced = |(i, level): (usize, &str)| {
            (level.len() > 1 && level.contains(['+', '#'])) || (level == "#" && i != last)
        };
        let wild = text
            .split('/')
            .enumerate()
            .any(misplaced)
            .then_some("a `+` or `#` must be a level of its own, and `#` the last");
        match fault(&text).or(wild) {
            Some(why) => Err(BadTopic {
                found: shown(&text),
                what: "filter",
                why,
            }),
            None => Ok(Self(text)),
        }
    }

    /// The filter as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True where it is a topic: it has no wildcard.
    pub fn is_exact(&self) -> bool {
        !self.0.contains(['+', '#'])
    }

    /// True where a message on `topic` comes through this subscription.
    pub fn matches(&self, topic: &str) -> bool {
        meet(&self.0, topic)
    }

    /// True where some topic comes through both.
    pub fn overlaps(&self, other: &Self) -> bool {
        meet(&self.0, &other.0)
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

/// Proves that no message sayso publishes to `outputs` comes back through `subscriptions`.
///
/// # Errors
/// When one would; both are named.
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

fn fault(text: &str) -> Option<&'static str> {
    match text {
        "" => Some("it is empty"),
        _ if text.len() > LONGEST => Some("it is longer than 65535 bytes"),
        _ if text.contains('\0') => Some("it has a NUL"),
        _ => None,
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Whether some topic matches both. A topic is a filter that only matches itself.
fn meet(a: &str, b: &str) -> bool {
    // A leading wildcard does not match `$SYS` and its like (MQTT 5, section 4.7.2).
    let hidden = |one: &str, other: &str| one.starts_with('$') && other.starts_with(['+', '#']);
    if hidden(a, b) || hidden(b, a) {
        return false;
    }
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    loop {
        match (a.next(), b.next()) {
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
        for bad in ["", "a/+", "#", "a\0b", &"x".repeat(LONGEST + 1)] {
            assert!(Topic::new(bad).is_err(), "{:?}", shown(bad));
        }
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
        let heard = [filter("sayso/command/+"), filter("zigbee2mqtt/+")];
        assert_eq!(
            refuse_echo(
                &[filter("sayso/reply/#"), filter("zigbee2mqtt/lamp/set")],
                &heard
            ),
            Ok(())
        );
        let echo = refuse_echo(&[filter("zigbee2mqtt/lamp")], &heard).unwrap_err();
        assert_eq!(
            (echo.output.as_str(), echo.subscription.as_str()),
            ("zigbee2mqtt/lamp", "zigbee2mqtt/+")
        );
        assert!(refuse_echo(&[filter("sayso/reply/#")], &[filter("sayso/+/hall")]).is_err());
        assert!(refuse_echo(&[filter("sayso/action/+")], &[filter("#")]).is_err());
    }
}
