//! Records from which the next run of a node learns the progress of commands. The store keeps them,
//! and they are opaque to it.

use bytes::Bytes;

use crate::pair::identity::CommandIdentity;

/// A change of the progress of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProgressRecord {
    /// A mark was received, as encoded on the broker.
    Mark(Bytes),
    /// A command was answered, with this reply unless it is too long.
    Answered(CommandIdentity, Option<Bytes>),
    /// The broker has begun to count its packets again.
    NewSession,
    /// From now on this node knows which commands have begun.
    Informed,
    /// The broker may send commands again whose marks this node has not seen.
    Uninformed,
}

impl ProgressRecord {
    /// Returns the bytes of the record: a letter for its type, and its parts.
    pub(super) fn encode(&self) -> Vec<u8> {
        let (letter, identity, payload) = match self {
            Self::Mark(payload) => (b'm', None, Some(payload)),
            Self::Answered(identity, Some(reply)) => (b'r', Some(identity), Some(reply)),
            Self::Answered(identity, None) => (b'l', Some(identity), None),
            Self::NewSession => (b's', None, None),
            Self::Informed => (b'i', None, None),
            Self::Uninformed => (b'u', None, None),
        };
        let mut bytes = vec![letter];
        if let Some(identity) = identity {
            bytes.extend(identity.to_string().bytes());
        }
        bytes.extend(payload.into_iter().flatten());
        bytes
    }

    /// Reads a record; returns `None` for anything else.
    pub(super) fn decode(record: &[u8]) -> Option<Self> {
        let (letter, rest) = record.split_first()?;
        let answered = |rest: &[u8]| {
            let (identity, reply) = rest.split_at_checked(CommandIdentity::TEXT)?;
            let identity = CommandIdentity::parse(str::from_utf8(identity).ok()?)?;
            Some((identity, Bytes::copy_from_slice(reply)))
        };
        Some(match letter {
            b'm' => Self::Mark(Bytes::copy_from_slice(rest)),
            b'r' => {
                let (identity, reply) = answered(rest)?;
                Self::Answered(identity, Some(reply))
            }
            b'l' => Self::Answered(answered(rest)?.0, None),
            b's' => Self::NewSession,
            b'i' => Self::Informed,
            b'u' => Self::Uninformed,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let identity = CommandIdentity::named("s/command/a", b"1", b"on");
        let records = [
            ProgressRecord::Mark(Bytes::from_static(b"{}")),
            ProgressRecord::Answered(identity, Some(Bytes::from_static(b"{\"id\":1}"))),
            ProgressRecord::Answered(identity, Some(Bytes::new())),
            ProgressRecord::Answered(identity, None),
            ProgressRecord::NewSession,
            ProgressRecord::Informed,
            ProgressRecord::Uninformed,
        ];
        for record in records {
            assert_eq!(ProgressRecord::decode(&record.encode()), Some(record));
        }
        for other in ["", "x", "r", "rn00", "lnope"] {
            assert_eq!(ProgressRecord::decode(other.as_bytes()), None, "{other}");
        }
    }
}
