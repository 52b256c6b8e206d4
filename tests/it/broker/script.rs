//! A broker that does what the test says, for behaviour that real brokers do not show.

use std::net::Ipv4Addr;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Disconnect, DisconnectReasonCode, Packet, PingResp, PubAck,
    PubAckReason, Publish, SubAck, Subscribe, SubscribeReasonCode,
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

    /// Returns the port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// Accepts the next connection; nothing is sent on it yet.
    pub(crate) async fn accept(&self) -> Session {
        let (stream, _) = self.0.accept().await.unwrap();
        Session {
            stream,
            read: BytesMut::new(),
        }
    }

    /// Accepts the next connection, up to the point where both sides are ready.
    pub(crate) async fn welcome(&self, session_present: bool) -> Session {
        let mut session = self.accept().await;
        session.welcome(session_present).await;
        session
    }
}

impl Session {
    /// Answers CONNECT, every SUBSCRIBE, and the first PUBLISH, which is `online`.
    pub(crate) async fn welcome(&mut self, session_present: bool) {
        self.greet(session_present).await;
        loop {
            match self.packet().await {
                Some(Packet::Subscribe(asked)) => {
                    self.subscribed(&asked).await;
                }
                Some(Packet::Publish(publish)) => {
                    assert_eq!(&publish.payload[..], b"online");
                    return self.acknowledge(publish.pkid).await;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Accepts the subscriptions of one packet.
    pub(crate) async fn subscribed(&mut self, request: &Subscribe) {
        let return_codes = request
            .filters
            .iter()
            .map(|filter| SubscribeReasonCode::Success(filter.qos))
            .collect();
        self.send(Packet::SubAck(SubAck {
            pkid: request.pkid,
            return_codes,
            properties: None,
        }))
        .await;
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

    /// Returns the next packet other than a ping, or `None` once the connection is closed.
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

    /// Returns the id of the next packet, which must be a PUBACK.
    pub(crate) async fn acknowledged(&mut self) -> u16 {
        match self.packet().await {
            Some(Packet::PubAck(answer)) => answer.pkid,
            other => panic!("expected a PUBACK, found {other:?}"),
        }
    }

    /// Returns the next packet, which must be a PUBLISH.
    pub(crate) async fn published(&mut self) -> Publish {
        match self.packet().await {
            Some(Packet::Publish(publish)) => publish,
            other => panic!("expected a PUBLISH, found {other:?}"),
        }
    }

    /// Delivers a message with `QoS` 1.
    pub(crate) async fn deliver(&mut self, topic: &str, payload: &'static [u8], pkid: u16) {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload, None);
        publish.pkid = pkid;
        self.send(Packet::Publish(publish)).await;
    }

    /// Delivers a message with `QoS` 1 once more.
    pub(crate) async fn redeliver(&mut self, topic: &str, payload: &'static [u8], pkid: u16) {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload, None);
        publish.pkid = pkid;
        publish.dup = true;
        self.send(Packet::Publish(publish)).await;
    }

    /// Acknowledges a message.
    pub(crate) async fn acknowledge(&mut self, pkid: u16) {
        self.send(Packet::PubAck(PubAck::new(pkid, None))).await;
    }

    /// Refuses a message.
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
        self.send_bytes(&bytes).await;
    }

    /// Sends these bytes, which need not be a packet.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }
}
