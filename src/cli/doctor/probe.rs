//! Connection to the broker at the level of packets. The client of the daemon acknowledges by
//! itself, which a probe must not do, and it hides why a connection ended.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Connect, ConnectProperties, ConnectReturnCode, Disconnect, DisconnectReasonCode,
    Filter, Login, Packet, PingReq, PubAckReason, PubRecReason, PubRel, Publish, Subscribe,
    SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error, QoS};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::mqtt;

/// Time limit for each answer of the broker.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum bytes of a received packet.
const MAX_PACKET_BYTES: u32 = 4 << 20;

/// Seconds for which the broker keeps a session that was not closed.
const SESSION_SECONDS: u32 = 30;

/// Stream to the broker, encrypted or not.
pub(super) trait ProbeStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ProbeStream for S {}

/// Reason why the connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("the broker does not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Silent,
    #[error("the broker closed the connection")]
    Closed,
    #[error("the broker closed the connection: {0:?}")]
    Disconnected(DisconnectReasonCode),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the answer is not from an MQTT 5 broker: {0:?}")]
    NoMqtt(Error),
    #[error("the broker rejects the connection: {0:?}")]
    Refused(ConnectReturnCode),
}

/// Session of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeSession {
    /// A new session, which is kept for a short time after the end.
    Kept,
    /// The kept session, which ends with the connection.
    Last,
    /// A new session, which ends with the connection.
    None,
}

/// An open connection.
pub(super) struct ProbeConnection {
    stream: Box<dyn ProbeStream>,
    buffer: BytesMut,
    next: u16,
    /// Answer of the broker to CONNECT, with its limits.
    pub(super) connack: ConnAck,
    /// Messages received so far.
    pub(super) received: Vec<Publish>,
}

impl ProbeConnection {
    /// Connects and logs in.
    pub(super) async fn begin(
        stream: Box<dyn ProbeStream>,
        settings: &mqtt::Settings,
        id: &str,
        session: ProbeSession,
    ) -> Result<Self, ProbeError> {
        let connack = ConnAck {
            session_present: false,
            code: ConnectReturnCode::Success,
            properties: None,
        };
        let mut connection = Self {
            stream,
            buffer: BytesMut::new(),
            next: 0,
            connack,
            received: Vec::new(),
        };
        let properties = ConnectProperties {
            session_expiry_interval: Some(if session == ProbeSession::Kept {
                SESSION_SECONDS
            } else {
                0
            }),
            max_packet_size: Some(MAX_PACKET_BYTES),
            ..ConnectProperties::new()
        };
        let connect = Connect {
            keep_alive: 60,
            client_id: id.to_owned(),
            clean_start: session != ProbeSession::Last,
            properties: Some(properties),
        };
        let login = settings.login.as_ref().map(|login| {
            Login::new(
                login.username.as_str(),
                login.password.as_ref().map_or("", |p| p.expose()),
            )
        });
        connection
            .send(&Packet::Connect(connect, None, login))
            .await?;
        match connection.packet(Instant::now() + ANSWER_TIMEOUT).await? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => {
                connection.connack = answer;
            }
            Packet::ConnAck(answer) => return Err(ProbeError::Refused(answer.code)),
            other => return Err(unexpected(&other)),
        }
        Ok(connection)
    }

    async fn send(&mut self, packet: &Packet) -> Result<(), ProbeError> {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).map_err(ProbeError::NoMqtt)?;
        self.stream.write_all(&bytes).await?;
        Ok(self.stream.flush().await?)
    }

    async fn packet(&mut self, until: Instant) -> Result<Packet, ProbeError> {
        loop {
            match Packet::read(&mut self.buffer, Some(MAX_PACKET_BYTES)) {
                Ok(Packet::Disconnect(why)) => {
                    return Err(ProbeError::Disconnected(why.reason_code));
                }
                Ok(packet) => return Ok(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(ProbeError::NoMqtt(error)),
            }
            let read = timeout_at(until, self.stream.read_buf(&mut self.buffer))
                .await
                .map_err(|_| ProbeError::Silent)??;
            if read == 0 {
                return Err(ProbeError::Closed);
            }
        }
    }

    /// Waits until `wanted` accepts a packet. Messages received meanwhile are kept.
    async fn wait_for<T>(
        &mut self,
        wanted: impl Fn(&Packet) -> Option<T>,
    ) -> Result<T, ProbeError> {
        let until = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let packet = self.packet(until).await?;
            if let Some(found) = wanted(&packet) {
                return Ok(found);
            }
            if let Packet::Publish(publish) = packet {
                self.received.push(publish);
            }
        }
    }

    fn id(&mut self) -> u16 {
        self.next += 1;
        self.next
    }

    /// Subscribes with `QoS` 0 and returns the code for each filter.
    pub(super) async fn subscribe(
        &mut self,
        filters: &[String],
    ) -> Result<Vec<SubscribeReasonCode>, ProbeError> {
        let pkid = self.id();
        let filters = filters
            .iter()
            .map(|filter| Filter::new(filter.as_str(), QoS::AtMostOnce))
            .collect();
        self.send(&Packet::Subscribe(Subscribe {
            pkid,
            filters,
            properties: None,
        }))
        .await?;
        self.wait_for(|packet| {
            matches!(packet, Packet::SubAck(ack) if ack.pkid == pkid).then(|| packet.clone())
        })
        .await
        .map(|packet| match packet {
            Packet::SubAck(ack) => ack.return_codes,
            _ => Vec::new(),
        })
    }

    /// Publishes an empty message with `QoS` 1 and returns the code of the broker.
    pub(super) async fn publish(&mut self, topic: &str) -> Result<PubAckReason, ProbeError> {
        let pkid = self.id();
        self.send(&message(topic, QoS::AtLeastOnce, pkid)).await?;
        self.wait_for(|packet| {
            if let Packet::PubAck(ack) = packet {
                (ack.pkid == pkid).then_some(ack.reason)
            } else {
                None
            }
        })
        .await
    }

    /// Publishes an empty message with `QoS` 2, which the broker delivers when it is released.
    /// Returns the code of the broker and the packet id.
    pub(super) async fn offer_qos2(
        &mut self,
        topic: &str,
    ) -> Result<(PubRecReason, u16), ProbeError> {
        let pkid = self.id();
        self.send(&message(topic, QoS::ExactlyOnce, pkid)).await?;
        let reason = self
            .wait_for(|packet| {
                if let Packet::PubRec(rec) = packet {
                    (rec.pkid == pkid).then_some(rec.reason)
                } else {
                    None
                }
            })
            .await?;
        Ok((reason, pkid))
    }

    /// Releases a `QoS` 2 message.
    pub(super) async fn release(&mut self, pkid: u16) -> Result<(), ProbeError> {
        self.send(&Packet::PubRel(PubRel::new(pkid, None))).await?;
        self.wait_for(|packet| {
            matches!(packet, Packet::PubComp(done) if done.pkid == pkid).then_some(())
        })
        .await
    }

    /// Receives everything the broker sends before a ping response, and then for a short time more,
    /// because a broker may delay retained messages.
    pub(super) async fn drain(&mut self, time: Duration) -> Result<(), ProbeError> {
        self.send(&Packet::PingReq(PingReq)).await?;
        self.wait_for(|packet| matches!(packet, Packet::PingResp(_)).then_some(()))
            .await?;
        self.listen(time).await
    }

    /// Receives messages for some time.
    pub(super) async fn listen(&mut self, time: Duration) -> Result<(), ProbeError> {
        let until = Instant::now() + time;
        loop {
            match self.packet(until).await {
                Ok(Packet::Publish(publish)) => self.received.push(publish),
                Ok(_) => {}
                Err(ProbeError::Silent) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Disconnects.
    pub(super) async fn close(mut self) {
        let _ = self
            .send(&Packet::Disconnect(Disconnect::new(
                DisconnectReasonCode::NormalDisconnection,
            )))
            .await;
        let _ = self.stream.shutdown().await;
    }
}

fn message(topic: &str, qos: QoS, pkid: u16) -> Packet {
    Packet::Publish(Publish {
        qos,
        topic: topic.to_owned().into(),
        pkid,
        ..Publish::default()
    })
}

fn unexpected(_: &Packet) -> ProbeError {
    ProbeError::NoMqtt(Error::PayloadRequired)
}
