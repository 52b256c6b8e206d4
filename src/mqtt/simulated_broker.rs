//! A broker and a connection to it in memory, under virtual time: packets take their time, are
//! lost with a connection, and are sent again on the next one. The client below the poll loop is
//! rumqttc's own state of a connection; only its socket is missing.
#![expect(
    clippy::disallowed_methods,
    reason = "a history bounds its queues, and its task ends with the link, which aborts it"
)]

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flume::{Receiver, Sender};
use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Packet, PingResp, PubAck, PubAckReason, Publish, PublishProperties,
    SubAck, Subscribe, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, MqttState, Request, StateError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::mqtt::connection::Connection;
use crate::mqtt::inbox::Inbox;
use crate::mqtt::link::{INFLIGHT, MqttLink};
use crate::mqtt::outbox::Outbox;
use crate::mqtt::{RECEIVE_MAX, REQUESTS, Settings, SetupError, connect_with};
use crate::telemetry::counters::Counters;

/// Time the broker takes to refuse a connection, or to accept one.
const CONNECT_TIME: Duration = Duration::from_millis(5);

/// How long an attempt to reach a frozen broker lasts.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A message of the daemon as the broker received it.
#[derive(Debug, Clone)]
pub(crate) struct BrokerReceipt {
    /// When the daemon handed it to the connection.
    pub(crate) left: Instant,
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
}

/// A message that the broker keeps for the daemon.
#[derive(Debug, Clone)]
struct BrokerMessage {
    topic: String,
    payload: Bytes,
    retain: bool,
}

/// The state that the broker keeps for the daemon over its connections.
#[derive(Debug, Default)]
struct BrokerSession {
    filters: Vec<String>,
    queued: VecDeque<BrokerMessage>,
    /// Sent and not acknowledged, in order.
    in_flight: VecDeque<(u16, BrokerMessage)>,
    last_pkid: u16,
}

/// The broker's end of a connection.
#[derive(Debug)]
struct BrokerEnd {
    number: u64,
    to_daemon: mpsc::UnboundedSender<(Instant, Packet)>,
    /// When the last packet to the daemon arrives there.
    last_arrival: Instant,
}

#[derive(Debug)]
struct BrokerState {
    random: StdRng,
    is_up: bool,
    /// Nothing is received or sent before.
    frozen_until: Instant,
    /// No message is acknowledged before.
    mute_until: Instant,
    longest_delay: Duration,
    session: Option<BrokerSession>,
    end: Option<BrokerEnd>,
    connections: u64,
    retained: BTreeMap<String, Bytes>,
    received: Vec<BrokerReceipt>,
}

/// The broker.
#[derive(Clone)]
pub(crate) struct SimulatedBroker(Arc<Mutex<BrokerState>>);

/// Packets of the daemon on their way to the broker: when each left and arrives, and the number of
/// its connection.
type ToBroker = mpsc::UnboundedSender<(Instant, Instant, u64, Packet)>;

impl SimulatedBroker {
    pub(crate) fn new(seed: u64) -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(BrokerState {
            random: StdRng::seed_from_u64(seed),
            is_up: true,
            frozen_until: now,
            mute_until: now,
            longest_delay: Duration::from_millis(5),
            session: None,
            end: None,
            connections: 0,
            retained: BTreeMap::new(),
            received: Vec::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, BrokerState> {
        self.0.lock()
    }

    /// Publishes a message of another client.
    pub(crate) fn publish(&self, topic: &str, payload: impl Into<Bytes>, retain: bool) {
        let payload = payload.into();
        let mut state = self.state();
        if retain {
            state.retained.insert(topic.to_owned(), payload.clone());
        }
        state.route(BrokerMessage {
            topic: topic.to_owned(),
            payload,
            retain: false,
        });
        state.send_queued();
    }

    /// Takes the messages of the daemon received since the last call.
    pub(crate) fn take_received(&self) -> Vec<BrokerReceipt> {
        std::mem::take(&mut self.state().received)
    }

    /// Ends the connection. Packets on their way are lost.
    pub(crate) fn cut(&self) {
        self.state().end = None;
    }

    pub(crate) fn set_up(&self, is_up: bool) {
        let mut state = self.state();
        state.is_up = is_up;
        state.end = None;
    }

    /// Lets the broker stand still; its connections look alive.
    pub(crate) fn freeze(&self, time: Duration) {
        self.state().frozen_until = Instant::now() + time;
    }

    /// Lets the broker acknowledge nothing for a while.
    pub(crate) fn mute(&self, time: Duration) {
        self.state().mute_until = Instant::now() + time;
    }

    pub(crate) fn set_longest_delay(&self, delay: Duration) {
        self.state().longest_delay = delay;
    }

    /// Accepts a connection; returns its number, its packets, and whether there is a session.
    fn accept(&self) -> (u64, mpsc::UnboundedReceiver<(Instant, Packet)>) {
        let mut state = self.state();
        let (to_daemon, packets) = mpsc::unbounded_channel();
        state.connections += 1;
        let number = state.connections;
        state.end = Some(BrokerEnd {
            number,
            to_daemon,
            last_arrival: Instant::now(),
        });
        let session_present = state.session.is_some();
        state.session.get_or_insert_default();
        state.send(Packet::ConnAck(ConnAck {
            session_present,
            code: ConnectReturnCode::Success,
            properties: None,
        }));
        state.send_again();
        state.send_queued();
        (number, packets)
    }

    fn is_current(&self, number: u64) -> bool {
        self.state()
            .end
            .as_ref()
            .is_some_and(|end| end.number == number)
    }

    /// Receives the packets of the daemon, each at its time, for ever.
    async fn receive(self, mut packets: mpsc::UnboundedReceiver<(Instant, Instant, u64, Packet)>) {
        while let Some((left, arrives, number, packet)) = packets.recv().await {
            sleep_until(arrives).await;
            loop {
                let frozen_until = self.state().frozen_until;
                if frozen_until <= Instant::now() {
                    break;
                }
                sleep_until(frozen_until).await;
            }
            if self.is_current(number) {
                self.state().take(left, packet);
            }
        }
    }
}

impl BrokerState {
    fn delay(&mut self) -> Duration {
        self.random
            .random_range(Duration::ZERO..=self.longest_delay)
    }

    /// Sends a packet to the daemon, behind all earlier ones.
    fn send(&mut self, packet: Packet) {
        let arrival = Instant::now().max(self.frozen_until) + self.delay();
        if let Some(end) = &mut self.end {
            end.last_arrival = end.last_arrival.max(arrival);
            // The receiver is gone where the daemon has ended.
            let _ = end.to_daemon.send((end.last_arrival, packet));
        }
    }

    /// Queues a message for the daemon if it has subscribed to the topic.
    fn route(&mut self, message: BrokerMessage) {
        if let Some(session) = &mut self.session
            && session
                .filters
                .iter()
                .any(|filter| matches(filter, &message.topic))
        {
            session.queued.push_back(message);
        }
    }

    fn send_publish(&mut self, pkid: u16, message: &BrokerMessage, dup: bool) {
        self.send(Packet::Publish(Publish {
            dup,
            qos: QoS::AtLeastOnce,
            retain: message.retain,
            topic: Bytes::copy_from_slice(message.topic.as_bytes()),
            pkid,
            payload: message.payload.clone(),
            properties: Some(PublishProperties::default()),
        }));
    }

    /// Sends the messages that were not acknowledged on an earlier connection.
    fn send_again(&mut self) {
        let Some(session) = &self.session else { return };
        let again: Vec<_> = session.in_flight.iter().cloned().collect();
        for (pkid, message) in again {
            self.send_publish(pkid, &message, true);
        }
    }

    /// Sends waiting messages, as far as the window of the daemon allows.
    fn send_queued(&mut self) {
        if self.end.is_none() {
            return;
        }
        while let Some(session) = &mut self.session
            && session.in_flight.len() < usize::from(RECEIVE_MAX)
            && let Some(message) = session.queued.pop_front()
        {
            session.last_pkid = session.last_pkid % u16::MAX + 1;
            let pkid = session.last_pkid;
            session.in_flight.push_back((pkid, message.clone()));
            self.send_publish(pkid, &message, false);
        }
    }

    /// Takes in a packet of the daemon.
    fn take(&mut self, left: Instant, packet: Packet) {
        match packet {
            Packet::Publish(publish) => {
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                if publish.retain {
                    self.retained.insert(topic.clone(), publish.payload.clone());
                }
                self.received.push(BrokerReceipt {
                    left,
                    topic,
                    payload: publish.payload,
                });
                if self.mute_until <= Instant::now() {
                    self.send(Packet::PubAck(PubAck {
                        pkid: publish.pkid,
                        reason: PubAckReason::Success,
                        properties: None,
                    }));
                }
            }
            Packet::PubAck(answer) => {
                if let Some(session) = &mut self.session {
                    session.in_flight.retain(|(pkid, _)| *pkid != answer.pkid);
                }
                self.send_queued();
            }
            Packet::Subscribe(subscribe) => self.subscribe(&subscribe),
            Packet::PingReq(_) => self.send(Packet::PingResp(PingResp)),
            Packet::Disconnect(_) => self.end = None,
            _ => {}
        }
    }

    fn subscribe(&mut self, subscribe: &Subscribe) {
        let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
        let return_codes = vec![granted; subscribe.filters.len()];
        let paths = subscribe.filters.iter().map(|filter| filter.path.clone());
        for path in paths {
            let retained: Vec<BrokerMessage> = self
                .retained
                .iter()
                .filter(|(topic, _)| matches(&path, topic))
                .map(|(topic, payload)| BrokerMessage {
                    topic: topic.clone(),
                    payload: payload.clone(),
                    retain: true,
                })
                .collect();
            let Some(session) = &mut self.session else {
                return;
            };
            if !session.filters.contains(&path) {
                session.filters.push(path);
            }
            session.queued.extend(retained);
        }
        self.send(Packet::SubAck(SubAck {
            pkid: subscribe.pkid,
            return_codes,
            properties: None,
        }));
        self.send_queued();
    }
}

/// Returns whether a topic matches a filter without `#`.
fn matches(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    let fits = filter.split('/').all(|level| {
        levels
            .next()
            .is_some_and(|other| level == "+" || level == other)
    });
    fits && levels.next().is_none()
}

/// The daemon's end of a connection.
struct DaemonEnd {
    number: u64,
    packets: mpsc::UnboundedReceiver<(Instant, Packet)>,
    /// A packet that has not arrived yet.
    next: Option<(Instant, Packet)>,
    last_arrival: Instant,
}

impl DaemonEnd {
    /// Waits for the next packet; `None` at the end of the connection. Cancel safe.
    async fn arrived(&mut self, broker: &SimulatedBroker) -> Option<Packet> {
        if self.next.is_none() {
            self.next = Some(self.packets.recv().await?);
        }
        let at = self.next.as_ref()?.0;
        sleep_until(at).await;
        let (_, packet) = self.next.take()?;
        broker.is_current(self.number).then_some(packet)
    }
}

/// The client below the poll loop.
pub(crate) struct SimulatedLink {
    broker: SimulatedBroker,
    state: MqttState,
    requests: Receiver<Request>,
    to_broker: ToBroker,
    end: Option<DaemonEnd>,
    keep_alive: Duration,
    ping_at: Instant,
    receiving: tokio::task::JoinHandle<()>,
}

impl Drop for SimulatedLink {
    fn drop(&mut self) {
        self.receiving.abort();
        if let Some(end) = &self.end
            && self.broker.is_current(end.number)
        {
            self.broker.cut();
        }
    }
}

/// Creates the three ends of a connection to a simulated broker.
pub(crate) fn connect_simulated(
    settings: &Settings,
    state_topics: Vec<String>,
    counters: Arc<Counters>,
    broker: SimulatedBroker,
) -> Result<(Connection<SimulatedLink>, Inbox, Outbox), SetupError> {
    let (sender, requests): (Sender<Request>, _) = flume::bounded(REQUESTS);
    let (to_broker, packets) = mpsc::unbounded_channel();
    let link = SimulatedLink {
        receiving: tokio::spawn(broker.clone().receive(packets)),
        broker,
        state: MqttState::new(INFLIGHT, true),
        requests,
        to_broker,
        end: None,
        keep_alive: settings.keep_alive,
        ping_at: Instant::now(),
    };
    let client = AsyncClient::from_senders(sender);
    connect_with(settings, state_topics, counters, client, link)
}

impl SimulatedLink {
    async fn connect(&mut self) -> Result<(), ConnectionError> {
        sleep(CONNECT_TIME).await;
        let (is_up, frozen_until) = {
            let state = self.broker.state();
            (state.is_up, state.frozen_until)
        };
        if !is_up {
            return Err(ConnectionError::Io(io::ErrorKind::ConnectionRefused.into()));
        }
        if frozen_until > Instant::now() {
            sleep_until(frozen_until.min(Instant::now() + CONNECT_TIMEOUT)).await;
        }
        let (number, packets) = self.broker.accept();
        self.ping_at = Instant::now() + self.keep_alive;
        self.end = Some(DaemonEnd {
            number,
            packets,
            next: None,
            last_arrival: Instant::now(),
        });
        Ok(())
    }

    /// Sends a packet to the broker, behind all earlier ones.
    fn send(&mut self, packet: Packet) {
        let delay = self.broker.state().delay();
        let Some(end) = &mut self.end else { return };
        let left = Instant::now();
        end.last_arrival = end.last_arrival.max(left + delay);
        let _ = self
            .to_broker
            .send((left, end.last_arrival, end.number, packet));
    }

    async fn next_event(&mut self) -> Result<Event, ConnectionError> {
        loop {
            if let Some(event) = self.state.events.pop_front() {
                return Ok(event);
            }
            let has_room = self.state.inflight() < INFLIGHT && self.state.collision.is_none();
            let Some(end) = &mut self.end else {
                return Err(StateError::ConnectionAborted.into());
            };
            let outgoing = tokio::select! {
                request = self.requests.recv_async(), if has_room => {
                    let request = request.map_err(|_| ConnectionError::RequestsDone)?;
                    self.state.handle_outgoing_packet(request)?
                }
                packet = end.arrived(&self.broker) => {
                    let packet = packet.ok_or(StateError::ConnectionAborted)?;
                    self.state.handle_incoming_packet(packet)?
                }
                () = sleep_until(self.ping_at) => {
                    self.ping_at = Instant::now() + self.keep_alive;
                    self.state.handle_outgoing_packet(Request::PingReq)?
                }
            };
            if let Some(packet) = outgoing {
                self.send(packet);
            }
        }
    }
}

impl MqttLink for SimulatedLink {
    async fn poll(&mut self) -> Result<Event, ConnectionError> {
        if self.end.is_none() {
            self.connect().await?;
        }
        self.next_event().await
    }

    fn keep_alive(&self) -> Duration {
        self.keep_alive
    }

    fn clear(&mut self) -> VecDeque<Event> {
        if let Some(end) = self.end.take()
            && self.broker.is_current(end.number)
        {
            self.broker.cut();
        }
        drop(self.requests.drain());
        let events = std::mem::take(&mut self.state.events);
        self.state = MqttState::new(INFLIGHT, true);
        events
    }
}
