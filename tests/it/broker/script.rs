//! A broker that says what the test tells it to say: for what a real one does not show, or does not do.

use std::net::Ipv4Addr;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Disconnect, DisconnectReasonCode, Packet, PingResp, PubAck,
    PubAckReason, Publish, SubAck, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A listening socket.
pub(crate) struct Script(TcpListener);

/// One connection to it.
pub(crate) struct Session {
    stream: TcpStream,
    read: BytesMut,
}

impl Script {
    /// Listens on a port of its own.
    pub(crate) async fn new() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap())
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// The next connection; nothing is said on it yet.
    pub(crate) async fn accept(&self) -> Session {
        let (stream, _) = self.0.accept().await.unwrap();
        Session {
            stream,
            read: BytesMut::new(),
        }
    }

    /// The next connection, up to where both sides are ready.
    pub(crate) async fn welcome(&self, session_present: bool) -> Session {
        let mut session = self.accept().await;
        session.welcome(session_present).await;
        session
    }
}

impl Session {
    /// Answers CONNECT, every SUBSCRIBE, and the first PUBLISH, which says `online`.
    pub(crate) async fn welcome(&mut self, session_present: bool) {
        self.greet(session_present).await;
        loop {
            match self.packet().await {
                Some(Packet::Subscribe(asked)) => {
                    let return_codes = asked
                        .filters
                        .iter()
                        .map(|filter| SubscribeReasonCode::Success(filter.qos))
                        .collect();
                    self.send(Packet::SubAck(SubAck {
                        pkid: asked.pkid,
                        return_codes,
                        properties: None,
                    }))
                    .await;
                }
                Some(Packet::Publish(publish)) => {
                    assert_eq!(&publish.payload[..], b"online");
                    return self.acknowledge(publish.pkid).await;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Answers CONNECT.
    pub(crate) async fn greet(&mut self, session_present: bool) {
        assert!(matches!(self.packet().await, Some(Packet::Connect(..))));
        self.send(Packet::ConnAck(ConnAck {
            session_present,
            code: ConnectReturnCode::Success,
            properties: None,
        }))
        .await;
    }

    /// The next packet other than a ping; `None` once the connection is closed.
    pub(crate) async fn packet(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.read, None) {
                Ok(Packet::PingReq(_)) => self.send(Packet::PingResp(PingResp)).await,
                Ok(packet) => return Some(packet),
                Err(Error::InsufficientBytes(_)) => {
                    if self.stream.read_buf(&mut self.read).await.unwrap_or(0) == 0 {
                        return None;
                    }
                }
                // rumqttc does not read the shortest form of it.
                Err(Error::PayloadRequired) => {
                    return Some(Packet::Disconnect(Disconnect::new(
                        DisconnectReasonCode::NormalDisconnection,
                    )));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The id of the next packet, which must be a PUBACK.
    pub(crate) async fn acknowledged(&mut self) -> u16 {
        match self.packet().await {
            Some(Packet::PubAck(answer)) => answer.pkid,
            other => panic!("wanted a PUBACK, found {other:?}"),
        }
    }

    /// The next packet, which must be a PUBLISH.
    pub(crate) async fn published(&mut self) -> Publish {
        match self.packet().await {
            Some(Packet::Publish(publish)) => publish,
            other => panic!("wanted a PUBLISH, found {other:?}"),
        }
    }

    /// Delivers a message with `QoS` 1.
    pub(crate) async fn deliver(&mut self, topic: &str, payload: &'static [u8], pkid: u16) {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload, None);
        publish.pkid = pkid;
        self.send(Packet::Publish(publish)).await;
    }

    /// Takes a message.
    pub(crate) async fn acknowledge(&mut self, pkid: u16) {
        self.send(Packet::PubAck(PubAck::new(pkid, None))).await;
    }

    /// Says no to a message.
    pub(crate) async fn refuse(&mut self, pkid: u16) {
        let answer = PubAck {
            reason: PubAckReason::NotAuthorized,
            ..PubAck::new(pkid, None)
        };
        self.send(Packet::PubAck(answer)).await;
    }

    async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }
}
