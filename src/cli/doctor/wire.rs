//! One conversation with the broker, packet by packet. The daemon's own client answers by itself what must be left unanswered
//! here, and hides why a connection ended.

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

use crate::cli::doctor::PATIENCE;

/// The largest packet taken.
const LARGEST: u32 = 4 << 20;

/// For how long the broker may hold a session of ours that was not ended, in seconds.
const SESSION: u32 = 30;

/// A way to the broker, encrypted or not.
pub(super) trait ProbeStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ProbeStream for S {}

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeFailure {
    #[error("the broker does not answer within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("the broker closed the connection")]
    Closed,
    #[error("the broker closed the connection: {0:?}")]
    Told(DisconnectReasonCode),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("what answers is no MQTT 5 broker: {0:?}")]
    NoMqtt(Error),
    #[error("the broker refuses us: {0:?}")]
    Refused(ConnectReturnCode),
}

/// How a conversation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeSession {
    /// With nothing, and it is kept for a moment after the end.
    Kept,
    /// With what was kept, and nothing is kept after the end.
    Last,
    /// With nothing, and nothing is kept.
    None,
}

/// An open conversation.
pub(super) struct ProbeError {
    stream: Box<dyn ProbeStream>,
    buffer: BytesMut,
    next: u16,
    /// What the broker said of itself.
    pub(super) welcome: ConnAck,
    /// What was heard so far.
    pub(super) heard: Vec<Publish>,
}

impl ProbeError {
    /// Says who we are.
    pub(super) async fn begin(
        stream: Box<dyn ProbeStream>,
        settings: &mqtt::Settings,
        id: &str,
        session: ProbeSession,
    ) -> Result<Self, ProbeFailure> {
        let welcome = ConnAck {
            session_present: false,
            code: ConnectReturnCode::Success,
            properties: None,
        };
        let mut talk = Self {
            stream,
            buffer: BytesMut::new(),
            next: 0,
            welcome,
            heard: Vec::new(),
        };
        let properties = ConnectProperties {
            session_expiry_interval: Some(if session == ProbeSession::Kept {
                SESSION
            } else {
                0
            }),
            max_packet_size: Some(LARGEST),
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
        talk.say(&Packet::Connect(connect, None, login)).await?;
        match talk.packet(Instant::now() + PATIENCE).await? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => {
                talk.welcome = answer;
            }
            Packet::ConnAck(answer) => return Err(ProbeFailure::Refused(answer.code)),
            other => return Err(unexpected(&other)),
        }
        Ok(talk)
    }

    async fn say(&mut self, packet: &Packet) -> Result<(), ProbeFailure> {
        let mut bytes = BytesMut::new();
        packet
            .write(&mut bytes, None)
            .map_err(ProbeFailure::NoMqtt)?;
        self.stream.write_all(&bytes).await?;
        Ok(self.stream.flush().await?)
    }

    async fn packet(&mut self, until: Instant) -> Result<Packet, ProbeFailure> {
        loop {
            match Packet::read(&mut self.buffer, Some(LARGEST)) {
                Ok(Packet::Disconnect(why)) => return Err(ProbeFailure::Told(why.reason_code)),
                Ok(packet) => return Ok(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(ProbeFailure::NoMqtt(error)),
            }
            let read = timeout_at(until, self.stream.read_buf(&mut self.buffer))
                .await
                .map_err(|_| ProbeFailure::Silent)??;
            if read == 0 {
                return Err(ProbeFailure::Closed);
            }
        }
    }

    /// Listens until `wanted` takes a packet; what is published meanwhile is kept, and acknowledged where it must be.
    async fn until<T>(&mut self, wanted: impl Fn(&Packet) -> Option<T>) -> Result<T, ProbeFailure> {
        let until = Instant::now() + PATIENCE;
        loop {
            let packet = self.packet(until).await?;
            if let Some(found) = wanted(&packet) {
                return Ok(found);
            }
            if let Packet::Publish(publish) = packet {
                self.heard.push(publish);
            }
        }
    }

    fn id(&mut self) -> u16 {
        self.next += 1;
        self.next
    }

    /// Subscribes with `QoS` 0; what the broker says to each.
    pub(super) async fn subscribe(
        &mut self,
        filters: &[String],
    ) -> Result<Vec<SubscribeReasonCode>, ProbeFailure> {
        let pkid = self.id();
        let filters = filters
            .iter()
            .map(|filter| Filter::new(filter.as_str(), QoS::AtMostOnce))
            .collect();
        self.say(&Packet::Subscribe(Subscribe {
            pkid,
            filters,
            properties: None,
        }))
        .await?;
        self.until(|packet| {
            matches!(packet, Packet::SubAck(ack) if ack.pkid == pkid).then(|| packet.clone())
        })
        .await
        .map(|packet| match packet {
            Packet::SubAck(ack) => ack.return_codes,
            _ => Vec::new(),
        })
    }

    /// Publishes with `QoS` 1; what the broker says.
    pub(super) async fn publish(&mut self, topic: &str) -> Result<PubAckReason, ProbeFailure> {
        let pkid = self.id();
        self.say(&message(topic, QoS::AtLeastOnce, pkid)).await?;
        self.until(|packet| {
            if let Packet::PubAck(ack) = packet {
                (ack.pkid == pkid).then_some(ack.reason)
            } else {
                None
            }
        })
        .await
    }

    /// Offers a message with `QoS` 2, which a broker hands on only once it is released; what the broker says, and its number.
    pub(super) async fn offer(&mut self, topic: &str) -> Result<(PubRecReason, u16), ProbeFailure> {
        let pkid = self.id();
        self.say(&message(topic, QoS::ExactlyOnce, pkid)).await?;
        let reason = self
            .until(|packet| {
                if let Packet::PubRec(rec) = packet {
                    (rec.pkid == pkid).then_some(rec.reason)
                } else {
                    None
                }
            })
            .await?;
        Ok((reason, pkid))
    }

    /// Lets an offered message go.
    pub(super) async fn release(&mut self, pkid: u16) -> Result<(), ProbeFailure> {
        self.say(&Packet::PubRel(PubRel::new(pkid, None))).await?;
        self.until(|packet| {
            matches!(packet, Packet::PubComp(done) if done.pkid == pkid).then_some(())
        })
        .await
    }

    /// Everything the broker had to say before this is heard; a broker that hands on what it keeps in its own time gets a moment.
    pub(super) async fn settle(&mut self, moment: Duration) -> Result<(), ProbeFailure> {
        self.say(&Packet::PingReq(PingReq)).await?;
        self.until(|packet| matches!(packet, Packet::PingResp(_)).then_some(()))
            .await?;
        self.listen(moment).await
    }

    /// Listens for a while.
    pub(super) async fn listen(&mut self, moment: Duration) -> Result<(), ProbeFailure> {
        let until = Instant::now() + moment;
        loop {
            match self.packet(until).await {
                Ok(Packet::Publish(publish)) => self.heard.push(publish),
                Ok(_) => {}
                Err(ProbeFailure::Silent) => return Ok(()),
                Err(broken) => return Err(broken),
            }
        }
    }

    /// Says goodbye.
    pub(super) async fn end(mut self) {
        let _ = self
            .say(&Packet::Disconnect(Disconnect::new(
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

fn unexpected(_: &Packet) -> ProbeFailure {
    ProbeFailure::NoMqtt(Error::PayloadRequired)
}
