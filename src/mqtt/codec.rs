//! The packet format of rumqttc, with answers it does not know.
//!
//! A broker may refuse a message with a reason that MQTT 5 does not allow in a PUBACK: mosquitto
//! does so for one above its `message_size_limit`. rumqttc ends the connection over it, and the
//! message, sent again, would end each following one. The same holds for a subscription.

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::Error;
use rumqttc::v5::mqttbytes::v5::{Codec, Packet};
use tokio_util::codec::{Decoder, Encoder};

/// First byte of a PUBACK (MQTT 5, section 3.4.1).
const PUBACK: u8 = 0x40;

/// First byte of a SUBACK (MQTT 5, section 3.9.1).
const SUBACK: u8 = 0x90;

/// Reasons of a PUBACK (MQTT 5, section 3.4.2.1).
const PUBACK_REASONS: [u8; 9] = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

/// Reasons of a SUBACK (MQTT 5, section 3.9.3).
const SUBACK_REASONS: [u8; 12] = [
    0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2,
];

/// The reason "unspecified error".
const UNSPECIFIED: u8 = 0x80;

/// Reads and writes packets.
#[derive(Debug)]
pub(super) struct PacketCodec(pub(super) Codec);

impl Decoder for PacketCodec {
    type Item = Packet;
    type Error = Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Packet>, Error> {
        replace_unknown_reasons(bytes);
        self.0.decode(bytes)
    }
}

impl Encoder<Packet> for PacketCodec {
    type Error = Error;

    fn encode(&mut self, packet: Packet, bytes: &mut BytesMut) -> Result<(), Error> {
        self.0.encode(packet, bytes)
    }
}

/// Replaces reasons that rumqttc does not know by an unspecified error, if a whole PUBACK or SUBACK
/// comes first.
fn replace_unknown_reasons(bytes: &mut [u8]) {
    let Some((&mut packet_type @ (PUBACK | SUBACK), rest)) = bytes.split_first_mut() else {
        return;
    };
    let (reasons, known) = match (packet_type, body(rest)) {
        // Behind the packet identifier; what follows are properties.
        (PUBACK, Some(body)) => (body.get_mut(2..3), PUBACK_REASONS.as_slice()),
        (_, Some(body)) => (subscription_reasons(body), SUBACK_REASONS.as_slice()),
        (_, None) => return,
    };
    for reason in reasons.unwrap_or_default() {
        if !known.contains(reason) {
            *reason = UNSPECIFIED;
        }
    }
}

/// Returns the bytes behind the length of a packet, or `None` while some are missing.
fn body(bytes: &mut [u8]) -> Option<&mut [u8]> {
    let (length, width) = variable_length(bytes)?;
    bytes.get_mut(width..width + length)
}

/// Returns the reasons of a SUBACK: all behind its properties.
fn subscription_reasons(body: &mut [u8]) -> Option<&mut [u8]> {
    let (length, width) = variable_length(body.get(2..)?)?;
    body.get_mut(2 + width + length..)
}

/// Returns a variable byte integer (MQTT 5, section 1.5.5) and the number of its bytes.
fn variable_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::v5::{PubAckReason, SubscribeReasonCode};

    use super::*;

    fn decoded(bytes: &[u8]) -> (u16, PubAckReason) {
        let mut codec = PacketCodec(Codec {
            max_incoming_size: None,
            max_outgoing_size: None,
        });
        let mut bytes = BytesMut::from(bytes);
        match codec.decode(&mut bytes) {
            Ok(Some(Packet::PubAck(answer))) => (answer.pkid, answer.reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_reason_of_a_puback_is_read() {
        for reason in 0..=u8::MAX {
            let (pkid, read) = decoded(&[PUBACK, 3, 1, 2, reason]);
            let is_known = PUBACK_REASONS.contains(&reason);
            assert_eq!(pkid, 0x102);
            assert_eq!(
                read == PubAckReason::UnspecifiedError,
                !is_known || reason == UNSPECIFIED,
                "{reason}"
            );
        }
    }

    #[test]
    fn a_packet_behind_a_short_puback_is_not_changed() {
        let mut bytes = [PUBACK, 2, 0, 7, 0x30, 0x03, 0x00, 0x01, b'a'];
        let before = bytes;
        replace_unknown_reasons(&mut bytes);
        assert_eq!(bytes, before);
        for length in 0..before.len() {
            replace_unknown_reasons(&mut bytes[..length]);
        }
        assert_eq!(bytes, before);
    }

    #[test]
    fn every_reason_of_a_suback_is_read() {
        for reason in 0..=u8::MAX {
            let mut codec = PacketCodec(Codec {
                max_incoming_size: None,
                max_outgoing_size: None,
            });
            // A packet identifier, a reason string of one character, and two reasons.
            let bytes = [SUBACK, 9, 1, 2, 4, 0x1f, 0, 1, b'x', 1, reason];
            let mut buffer = BytesMut::from(&bytes[..10]);
            assert!(codec.decode(&mut buffer).unwrap().is_none());
            buffer.extend_from_slice(&bytes[10..]);
            let Ok(Some(Packet::SubAck(answer))) = codec.decode(&mut buffer) else {
                panic!("{reason}");
            };
            assert_eq!(answer.return_codes.len(), 2);
            assert_eq!(
                answer.return_codes[1] == SubscribeReasonCode::Unspecified,
                !SUBACK_REASONS.contains(&reason) || reason == UNSPECIFIED,
                "{reason}"
            );
        }
    }
}
