//! The MQTT client below the poll loop: one connection at a time, over rumqttc's state of a session
//! and its packet format.
//!
//! rumqttc's own loop makes a system call for each packet it sends. Here all packets that have
//! arrived are processed first, and then all packets that are ready leave together: under load that
//! is most of the cost of a packet, for this program and for the broker.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use rumqttc::v5::mqttbytes;
use rumqttc::v5::mqttbytes::v5::{Codec, ConnAck, Connect, ConnectReturnCode, Packet};
use rumqttc::v5::{ConnectionError, Event, MqttOptions, MqttState, Request, StateError, TlsError};
use rumqttc::{TlsConfiguration, Transport};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::codec::Framed;
use tracing::debug;

use crate::mqtt::codec::PacketCodec;
use crate::mqtt::requests::RequestSender;

/// Messages in flight at once as rumqttc counts them. Its default, 65535, takes 14 MB.
pub(super) const INFLIGHT: u16 = crate::mqtt::session::WINDOW + 1;

/// The most packets that are read from the socket before the session processes them.
const MAX_BATCH: usize = 64;

/// Events for which room is kept. A flood makes room for thousands, which the next ping frees.
const FEW_EVENTS: usize = 64;

/// The MQTT client below the poll loop, with its socket.
pub trait MqttLink {
    /// Connects where that is needed; returns the next packet received or sent.
    fn poll(&mut self) -> impl Future<Output = Result<Event, ConnectionError>> + Send;

    /// Returns the next packet received or sent, if one needs no waiting.
    fn next_ready(&mut self) -> Option<Event>;

    /// Returns the keep-alive in use, which a broker may have chosen; never 0.
    fn keep_alive(&self) -> Duration;

    /// Lets the last will of the next connection be one that the broker does not keep.
    fn stop_retaining(&mut self) {}

    /// Ends the connection and forgets everything in flight; returns the events of packets that
    /// were read before.
    fn clear(&mut self) -> VecDeque<Event>;
}

/// The bytes to and from the broker, with or without TLS.
trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// The packets to and from the broker.
type PacketStream = Framed<Box<dyn ByteStream>, PacketCodec>;

/// The client of one broker.
pub struct BrokerLink {
    options: MqttOptions,
    /// The largest packet accepted from the broker, in bytes.
    max_packet: u32,
    requests: mpsc::Receiver<Request>,
    state: MqttState,
    /// As configured, or as the broker chose for this connection.
    keep_alive: Duration,
    connected: Option<Connected>,
}

/// A connection that the broker has accepted.
struct Connected {
    packets: PacketStream,
    /// Ends when the next PINGREQ is due.
    ping: Pin<Box<Sleep>>,
}

/// Creates a client that accepts packets of `max_packet` bytes, and the sending end of its queue
/// of `capacity` requests. Nothing is opened before the first poll.
pub(super) fn link(
    options: MqttOptions,
    max_packet: u32,
    capacity: usize,
) -> (RequestSender, BrokerLink) {
    let (sender, requests) = RequestSender::with_capacity(capacity);
    let link = BrokerLink {
        keep_alive: options.keep_alive(),
        options,
        max_packet,
        requests,
        state: MqttState::new(INFLIGHT, true),
        connected: None,
    };
    (sender, link)
}

impl BrokerLink {
    /// Opens the connection and waits until the broker has accepted it.
    async fn connect(&mut self) -> Result<Connected, ConnectionError> {
        let stream = open(&self.options).await?;
        let codec = Codec {
            max_incoming_size: Some(self.max_packet),
            max_outgoing_size: None,
        };
        let mut packets = Framed::new(stream, PacketCodec(codec));
        let sent = packets.send(connect_packet(&self.options)).await;
        sent.map_err(StateError::from)?;
        let answer = match received(packets.next().await)? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => answer,
            Packet::ConnAck(answer) => {
                return Err(ConnectionError::ConnectionRefused(answer.code));
            }
            other => return Err(ConnectionError::NotConnAck(Box::new(other))),
        };
        self.adopt(&answer);
        let properties = answer.properties.as_ref();
        packets.codec_mut().0.max_outgoing_size = properties.and_then(|p| p.max_packet_size);
        self.state.handle_incoming_packet(Packet::ConnAck(answer))?;
        Ok(Connected {
            packets,
            ping: Box::pin(sleep(self.keep_alive)),
        })
    }

    /// Uses the values that the broker chose instead of those requested.
    fn adopt(&mut self, answer: &ConnAck) {
        self.keep_alive = self.options.keep_alive();
        let Some(properties) = &answer.properties else {
            return;
        };
        // With 0 the broker never gives up the connection; this side still looks after it.
        if let Some(seconds) = properties.server_keep_alive.filter(|seconds| *seconds > 0) {
            self.keep_alive = Duration::from_secs(seconds.into());
        }
        if properties.session_expiry_interval.is_some() {
            let interval = properties.session_expiry_interval;
            self.options.set_session_expiry_interval(interval);
        }
    }

    /// Waits for the next packet in one of the two directions.
    async fn next_event(&mut self) -> Result<Event, ConnectionError> {
        loop {
            if let Some(event) = self.state.events.pop_front() {
                return Ok(event);
            }
            let may_send = self.may_send();
            let Some(Connected { packets, ping }) = &mut self.connected else {
                return Err(StateError::ConnectionAborted.into());
            };
            select! {
                biased;
                () = &mut *ping => {
                    ping.as_mut().reset(Instant::now() + self.keep_alive);
                    self.state.events.shrink_to(FEW_EVENTS);
                    self.send(Request::PingReq).await?;
                }
                request = self.requests.recv(), if may_send => {
                    let request = request.ok_or(ConnectionError::RequestsDone)?;
                    self.send(request).await?;
                }
                packet = packets.next() => self.receive(received(packet)?).await?,
            }
        }
    }

    /// Processes a packet and those that have arrived with it.
    async fn receive(&mut self, first: Packet) -> Result<(), StateError> {
        let mut next = Some(first);
        let mut count = 0;
        while let Some(packet) = next {
            count += 1;
            let answer = self.answer(packet)?;
            let Some(Connected { packets, .. }) = &mut self.connected else {
                break;
            };
            if let Some(answer) = answer {
                packets.send(answer).await?;
            }
            if count == MAX_BATCH {
                break;
            }
            next = match packets.next().now_or_never() {
                Some(packet) => Some(received(packet)?),
                None => None,
            };
        }
        Ok(())
    }

    /// Takes in a packet; returns the one to send for it, if any.
    fn answer(&mut self, packet: Packet) -> Result<Option<Packet>, StateError> {
        let is_acknowledgement = matches!(packet, Packet::PubAck(_));
        match self.state.handle_incoming_packet(packet) {
            // A broker that acknowledges a message twice would never be served.
            Err(StateError::Unsolicited(pkid)) if is_acknowledgement => {
                debug!(pkid, "the broker acknowledged a message that does not wait");
                Ok(None)
            }
            answer => answer,
        }
    }

    /// Sends a request and all others that wait, in one write.
    async fn send(&mut self, first: Request) -> Result<(), StateError> {
        let mut next = Some(first);
        while let Some(request) = next {
            let packet = self.state.handle_outgoing_packet(request)?;
            if let (Some(packet), Some(connected)) = (packet, &mut self.connected) {
                connected.packets.feed(packet).await?;
            }
            next = if self.may_send() {
                self.requests.try_recv().ok()
            } else {
                None
            };
        }
        if let Some(connected) = &mut self.connected {
            connected.packets.flush().await?;
        }
        Ok(())
    }

    /// Returns whether requests may be taken: a packet identifier that is still in use holds back
    /// all of them.
    fn may_send(&self) -> bool {
        self.state.inflight() < INFLIGHT && self.state.collision.is_none()
    }
}

impl MqttLink for BrokerLink {
    async fn poll(&mut self) -> Result<Event, ConnectionError> {
        if self.connected.is_none() {
            let limit = Duration::from_secs(self.options.connection_timeout());
            self.connected = Some(timeout(limit, self.connect()).await??);
        }
        self.next_event().await
    }

    fn next_ready(&mut self) -> Option<Event> {
        self.state.events.pop_front()
    }

    fn keep_alive(&self) -> Duration {
        self.keep_alive
    }

    fn stop_retaining(&mut self) {
        if let Some(mut will) = self.options.last_will() {
            will.retain = false;
            self.options.set_last_will(will);
        }
    }

    fn clear(&mut self) -> VecDeque<Event> {
        self.connected = None;
        forget(&mut self.requests);
        let events = std::mem::take(&mut self.state.events);
        self.state = MqttState::new(INFLIGHT, true);
        events
    }
}

/// Forgets the requests that wait.
pub(super) fn forget(requests: &mut mpsc::Receiver<Request>) {
    while requests.try_recv().is_ok() {}
}

/// Opens the bytes to the broker.
async fn open(options: &MqttOptions) -> Result<Box<dyn ByteStream>, ConnectionError> {
    let (host, port) = options.broker_address();
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    // A packet does not wait for the acknowledgement of the one before it.
    stream.set_nodelay(true)?;
    let Transport::Tls(TlsConfiguration::Rustls(config)) = options.transport() else {
        return Ok(Box::new(stream));
    };
    let name = ServerName::try_from(host).map_err(TlsError::from)?;
    let stream = TlsConnector::from(config).connect(name, stream).await;
    Ok(Box::new(stream.map_err(TlsError::from)?))
}

fn connect_packet(options: &MqttOptions) -> Packet {
    let connect = Connect {
        client_id: options.client_id(),
        keep_alive: u16::try_from(options.keep_alive().as_secs()).unwrap_or(u16::MAX),
        clean_start: options.clean_start(),
        properties: options.connect_properties(),
    };
    Packet::Connect(connect, options.last_will(), options.credentials())
}

/// Returns a packet that was read, or why there is none.
fn received(packet: Option<Result<Packet, mqttbytes::Error>>) -> Result<Packet, StateError> {
    match packet {
        Some(packet) => Ok(packet?),
        None => Err(StateError::ConnectionAborted),
    }
}
