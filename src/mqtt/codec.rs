//! The packet format of rumqttc, with answers it does not know.
//!
//! A broker may refuse a message with a reason that MQTT 5 does not allow in a PUBACK: mosquitto
//! does so for one above its `message_size_limit`. rumqttc ends the connection over it, and the
//! message, sent again, would end each following one.

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::Error;
use rumqttc::v5::mqttbytes::v5::{Codec, Packet};
use tokio_util::codec::{Decoder, Encoder};

/// First byte of a PUBACK (MQTT 5, section 3.4.1).
const PUBACK: u8 = 0x40;

/// Reasons of a PUBACK (MQTT 5, section 3.4.2.1).
const REASONS: [u8; 9] = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

/// The reason "unspecified error".
const UNSPECIFIED: u8 = 0x80;

/// Reads and writes packets.
#[derive(Debug)]
pub(super) struct PacketCodec(pub(super) Codec);

impl Decoder for PacketCodec {
    type Item = Packet;
    type Error = Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Packet>, Error> {
        replace_unknown_reason(bytes);
        self.0.decode(bytes)
    }
}

impl Encoder<Packet> for PacketCodec {
    type Error = Error;

    fn encode(&mut self, packet: Packet, bytes: &mut BytesMut) -> Result<(), Error> {
        self.0.encode(packet, bytes)
    }
}

/// Replaces a reason that rumqttc does not know by an unspecified error, if a PUBACK comes first.
fn replace_unknown_reason(bytes: &mut [u8]) {
    // Without a reason the length is 2; a PUBACK with one is shorter than 128 bytes, or has more
    // bytes of length.
    let Some((&PUBACK, rest)) = bytes.split_first() else {
        return;
    };
    let has_next = rest.iter().take(3).take_while(|byte| **byte >= 0x80);
    let length_bytes = has_next.count() + 1;
    let is_long = length_bytes > 1 || rest.first().is_some_and(|length| *length > 2);
    let at = 1 + length_bytes + 2;
    if let Some(reason) = bytes.get_mut(at).filter(|_| is_long)
        && !REASONS.contains(reason)
    {
        *reason = UNSPECIFIED;
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::v5::PubAckReason;

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
            let is_known = REASONS.contains(&reason);
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
        replace_unknown_reason(&mut bytes);
        assert_eq!(bytes, before);
        for length in 0..before.len() {
            replace_unknown_reason(&mut bytes[..length]);
        }
        assert_eq!(bytes, before);
    }
}
