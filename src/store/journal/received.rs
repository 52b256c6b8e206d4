//! A command as it was received, with everything needed to continue it after a restart.

use serde::{Deserialize, Serialize};

/// The identifier of a command that came with `QoS` 0, or whose session has ended: packets are
/// numbered from 1 (MQTT 5, section 2.2.1).
pub(super) const NO_PACKET: u16 = 0;

/// A command as received from the broker, with everything needed to continue it after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The topic it was received on.
    pub topic: String,
    /// Payload of the command, before it is parsed.
    #[serde(with = "text_or_bytes")]
    pub payload: Vec<u8>,
    /// The topic of the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_topic: Option<String>,
    /// The MQTT 5 correlation data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Vec<u8>>,
    /// The id the client gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The identifier of the packet; 0 where none can be sent again, `None` where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet: Option<u16>,
    /// The identity of the command in a pair, which is equal on both nodes and in each run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Whether its sender gave its time: then its time is over at the same moment each time it is
    /// received.
    #[serde(skip)]
    pub is_dated: bool,
    /// Time at which it expires, on the journal's own scale.
    pub until: u64,
}

impl Received {
    /// Returns whether the client named the command: then it is recognised by that name.
    pub(super) fn is_named(&self) -> bool {
        self.id.is_some() || self.correlation.is_some()
    }

    /// Lets the time of a command that its sender dates end at `until`, when it ended for the same
    /// command before. The clocks may have been set since.
    pub(super) fn limit(&mut self, until: u64) {
        if self.is_dated {
            self.until = self.until.min(until);
        }
    }
}

/// Payloads are nearly always text, and are kept readable.
mod text_or_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either<'a> {
        Text(std::borrow::Cow<'a, str>),
        Bytes(std::borrow::Cow<'a, [u8]>),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        std::str::from_utf8(bytes)
            .map_or_else(
                |_| Either::Bytes(bytes.into()),
                |text| Either::Text(text.into()),
            )
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        Ok(match Either::deserialize(deserializer)? {
            Either::Text(text) => text.into_owned().into_bytes(),
            Either::Bytes(bytes) => bytes.into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_payload_survives_the_record() {
        for payload in [b"turn on".to_vec(), vec![0xff, 0x00, 0x80], vec![]] {
            let received = Received {
                topic: "t".into(),
                payload,
                response_topic: None,
                correlation: None,
                id: None,
                packet: Some(7),
                identity: None,
                is_dated: false,
                until: 1,
            };
            let bytes = serde_json::to_vec(&received).unwrap();
            assert_eq!(
                serde_json::from_slice::<Received>(&bytes).unwrap(),
                received
            );
        }
    }
}
