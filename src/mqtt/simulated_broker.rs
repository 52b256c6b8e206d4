//! A broker and the connections of daemons to it in memory, under virtual time: packets take their
//! time, are lost with a connection, and are sent again on the next one. A client that connects
//! with an id that is in use ends the connection of the other. The client below the poll loop is
//! rumqttc's own state of a connection; only its socket is missing.
#![expect(
    clippy::disallowed_methods,
    reason = "a history bounds its queues, and its task ends with the link, which aborts it"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, LastWill, Packet, PingResp, PubAck, PubAckReason, Publish,
    PublishProperties, SubAck, Subscribe, SubscribeReasonCode,
};
use rumqttc::v5::{ConnectionError, Event, MqttOptions, MqttState, Request, StateError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::mqtt::connection::Connection;
use crate::mqtt::inbox::Inbox;
use crate::mqtt::link::{INFLIGHT, MqttLink, forget};
use crate::mqtt::outbox::Outbox;
use crate::mqtt::requests::RequestSender;
use crate::mqtt::{
    PairConnections, RECEIVE_MAX, REQUESTS, Settings, SetupError, connect_pair_over, connect_with,
    options,
};
use crate::pair::Pair;
use crate::store::progress_log::ProgressLog;
use crate::telemetry::counters::Counters;

/// Time the broker takes to refuse a connection, or to accept one.
const CONNECT_TIME: Duration = Duration::from_millis(5);

/// Duration of an attempt to reach a frozen broker.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A message of the daemon as the broker received it.
#[derive(Debug, Clone)]
pub(crate) struct BrokerReceipt {
    /// Time at which the daemon handed it to the connection.
    pub(crate) left: Instant,
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
}

/// A message that the broker keeps for a client.
#[derive(Debug, Clone, Default)]
struct BrokerMessage {
    topic: String,
    payload: Bytes,
    retain: bool,
    properties: PublishProperties,
}

/// The state that the broker keeps for a client over its connections.
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
    /// The daemon that has the other end.
    daemon: usize,
    will: Option<LastWill>,
    /// Whether packets are lost in both directions.
    is_abandoned: bool,
    to_daemon: mpsc::UnboundedSender<(Instant, Packet)>,
    /// Time at which the last packet to the daemon arrives there.
    last_arrival: Instant,
}

/// A client id: its session, and its connection.
#[derive(Debug, Default)]
struct BrokerClient {
    session: Option<BrokerSession>,
    end: Option<BrokerEnd>,
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
    clients: BTreeMap<String, BrokerClient>,
    /// The network of these daemons is gone.
    abandoned: BTreeSet<usize>,
    /// Connections that have ended without their daemon noticing it.
    unnoticed: Vec<BrokerEnd>,
    connections: u64,
    retained: BTreeMap<String, Bytes>,
    received: Vec<BrokerReceipt>,
}

/// A broker in memory; its clones are handles of the same broker.
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
            clients: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            unnoticed: Vec::new(),
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
        let message = BrokerMessage {
            topic: topic.to_owned(),
            payload: payload.into(),
            retain,
            ..BrokerMessage::default()
        };
        self.state().distribute(message);
    }

    /// Takes the messages of the daemons received since the last call.
    pub(crate) fn take_received(&self) -> Vec<BrokerReceipt> {
        std::mem::take(&mut self.state().received)
    }

    /// Ends the connections of a daemon. Packets on their way are lost.
    pub(crate) fn cut(&self, daemon: usize) {
        let mut state = self.state();
        state.abandoned.remove(&daemon);
        state.close(|end| end.daemon == daemon);
        state.unnoticed.retain(|end| end.daemon != daemon);
    }

    /// Loses all packets of a daemon, in both directions, until it is cut; its connections look
    /// alive.
    pub(crate) fn abandon(&self, daemon: usize) {
        let mut state = self.state();
        state.abandoned.insert(daemon);
        let ends = state.clients.values_mut();
        for end in ends.filter_map(|client| client.end.as_mut()) {
            end.is_abandoned |= end.daemon == daemon;
        }
    }

    pub(crate) fn set_up(&self, is_up: bool) {
        let mut state = self.state();
        state.is_up = is_up;
        for client in state.clients.values_mut() {
            client.end = None;
        }
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

    /// Accepts a connection; returns its number, and its packets.
    fn accept(
        &self,
        (id, daemon): (&str, usize),
        will: Option<LastWill>,
    ) -> (u64, mpsc::UnboundedReceiver<(Instant, Packet)>) {
        let mut state = self.state();
        let (to_daemon, packets) = mpsc::unbounded_channel();
        state.connections += 1;
        let number = state.connections;
        let before = state.clients.entry(id.to_owned()).or_default().end.take();
        if let Some(before) = before {
            state.note_end(before);
        }
        let client = state.clients.entry(id.to_owned()).or_default();
        client.end = Some(BrokerEnd {
            number,
            daemon,
            will,
            is_abandoned: false,
            to_daemon,
            last_arrival: Instant::now(),
        });
        let session_present = client.session.is_some();
        client.session.get_or_insert_default();
        let answer = ConnAck {
            session_present,
            code: ConnectReturnCode::Success,
            properties: None,
        };
        state.send(id, Packet::ConnAck(answer));
        state.send_again(id);
        state.send_queued(id);
        (number, packets)
    }

    /// Returns whether the network of this daemon is gone.
    fn is_abandoned(&self, daemon: usize) -> bool {
        self.state().abandoned.contains(&daemon)
    }

    fn is_current(&self, number: u64) -> bool {
        self.state().client_of(number).is_some()
    }

    /// Closes a connection for the daemon, of which the broker learns nothing if the network is
    /// gone.
    fn close(&self, number: u64) {
        self.state()
            .close(|end| end.number == number && !end.is_abandoned);
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
            let mut state = self.state();
            if let Some(id) = state.client_of(number) {
                state.take(&id, left, packet);
            }
        }
    }
}

impl BrokerState {
    fn delay(&mut self) -> Duration {
        self.random
            .random_range(Duration::ZERO..=self.longest_delay)
    }

    /// Returns the client id of a connection that exists and reaches the broker.
    fn client_of(&self, number: u64) -> Option<String> {
        let is_it = |end: &BrokerEnd| end.number == number && !end.is_abandoned;
        let mut clients = self.clients.iter();
        let (id, _) = clients.find(|(_, client)| client.end.as_ref().is_some_and(is_it))?;
        Some(id.clone())
    }

    /// Ends connections, and publishes their last wills.
    fn close(&mut self, is_meant: impl Fn(&BrokerEnd) -> bool) {
        let ends = self.clients.values_mut();
        let closed: Vec<BrokerEnd> = ends
            .filter_map(|client| client.end.take_if(|end| is_meant(end)))
            .collect();
        for end in closed {
            self.note_end(end);
        }
    }

    /// Publishes the last will of a connection that has ended. The daemon does not notice the end
    /// while its network is gone.
    fn note_end(&mut self, mut end: BrokerEnd) {
        self.publish_will(end.will.take());
        if end.is_abandoned {
            self.unnoticed.push(end);
        }
    }

    fn publish_will(&mut self, will: Option<LastWill>) {
        if let Some(will) = will {
            self.distribute(BrokerMessage {
                topic: String::from_utf8_lossy(&will.topic).into_owned(),
                payload: will.message,
                retain: will.retain,
                ..BrokerMessage::default()
            });
        }
    }

    /// Sends a packet to a client, behind all earlier ones.
    fn send(&mut self, id: &str, packet: Packet) {
        let arrival = Instant::now().max(self.frozen_until) + self.delay();
        let end = self.clients.get_mut(id).and_then(|one| one.end.as_mut());
        if let Some(end) = end.filter(|end| !end.is_abandoned) {
            end.last_arrival = end.last_arrival.max(arrival);
            // The receiver is gone where the daemon has ended.
            let _ = end.to_daemon.send((end.last_arrival, packet));
        }
    }

    /// Keeps a message if it is to be retained, and sends it to each client that has subscribed to
    /// its topic.
    fn distribute(&mut self, message: BrokerMessage) {
        if message.retain && message.payload.is_empty() {
            self.retained.remove(&message.topic);
        } else if message.retain {
            let topic = message.topic.clone();
            self.retained.insert(topic, message.payload.clone());
        }
        let message = BrokerMessage {
            retain: false,
            ..message
        };
        let ids: Vec<String> = self.clients.keys().cloned().collect();
        for id in ids {
            let client = self.clients.get_mut(&id);
            let Some(session) = client.and_then(|client| client.session.as_mut()) else {
                continue;
            };
            let mut filters = session.filters.iter();
            if filters.any(|filter| matches(filter, &message.topic)) {
                session.queued.push_back(message.clone());
                self.send_queued(&id);
            }
        }
    }

    fn send_publish(&mut self, id: &str, (pkid, message): (u16, &BrokerMessage), dup: bool) {
        let publish = Publish {
            dup,
            qos: QoS::AtLeastOnce,
            retain: message.retain,
            topic: Bytes::copy_from_slice(message.topic.as_bytes()),
            pkid,
            payload: message.payload.clone(),
            properties: Some(message.properties.clone()),
        };
        self.send(id, Packet::Publish(publish));
    }

    /// Sends the messages that were not acknowledged on an earlier connection.
    fn send_again(&mut self, id: &str) {
        let Some(session) = self.clients[id].session.as_ref() else {
            return;
        };
        let again: Vec<_> = session.in_flight.iter().cloned().collect();
        for (pkid, message) in again {
            self.send_publish(id, (pkid, &message), true);
        }
    }

    /// Sends waiting messages, as far as the window of the client allows.
    fn send_queued(&mut self, id: &str) {
        while let Some(BrokerClient {
            session: Some(session),
            end: Some(_),
        }) = self.clients.get_mut(id)
            && session.in_flight.len() < usize::from(RECEIVE_MAX)
            && let Some(message) = session.queued.pop_front()
        {
            session.last_pkid = session.last_pkid % u16::MAX + 1;
            let pkid = session.last_pkid;
            session.in_flight.push_back((pkid, message.clone()));
            self.send_publish(id, (pkid, &message), false);
        }
    }

    /// Takes in a packet of a client.
    fn take(&mut self, id: &str, left: Instant, packet: Packet) {
        match packet {
            Packet::Publish(publish) => self.receive(id, left, publish),
            Packet::PubAck(answer) => {
                let client = self.clients.get_mut(id);
                if let Some(session) = client.and_then(|client| client.session.as_mut()) {
                    session.in_flight.retain(|(pkid, _)| *pkid != answer.pkid);
                }
                self.send_queued(id);
            }
            Packet::Subscribe(subscribe) => self.subscribe(id, &subscribe),
            Packet::PingReq(_) => self.send(id, Packet::PingResp(PingResp)),
            Packet::Disconnect(_) => {
                // The last will of a client that disconnects is not published.
                if let Some(client) = self.clients.get_mut(id) {
                    client.end = None;
                }
            }
            _ => {}
        }
    }

    fn receive(&mut self, id: &str, left: Instant, publish: Publish) {
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        self.received.push(BrokerReceipt {
            left,
            topic: topic.clone(),
            payload: publish.payload.clone(),
        });
        self.distribute(BrokerMessage {
            topic,
            payload: publish.payload,
            retain: publish.retain,
            properties: publish.properties.unwrap_or_default(),
        });
        if publish.qos == QoS::AtLeastOnce && self.mute_until <= Instant::now() {
            let answer = PubAck {
                pkid: publish.pkid,
                reason: PubAckReason::Success,
                properties: None,
            };
            self.send(id, Packet::PubAck(answer));
        }
    }

    fn subscribe(&mut self, id: &str, subscribe: &Subscribe) {
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
                    ..BrokerMessage::default()
                })
                .collect();
            let client = self.clients.get_mut(id);
            let Some(session) = client.and_then(|client| client.session.as_mut()) else {
                return;
            };
            if !session.filters.contains(&path) {
                session.filters.push(path);
            }
            session.queued.extend(retained);
        }
        let answer = SubAck {
            pkid: subscribe.pkid,
            return_codes,
            properties: None,
        };
        self.send(id, Packet::SubAck(answer));
        self.send_queued(id);
    }
}

/// Returns whether a topic matches a filter.
fn matches(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for level in filter.split('/') {
        if level == "#" {
            return true;
        }
        if !levels
            .next()
            .is_some_and(|other| level == "+" || level == other)
        {
            return false;
        }
    }
    levels.next().is_none()
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
    async fn arrived(&mut self, broker: &SimulatedBroker, daemon: usize) -> Option<Packet> {
        loop {
            if self.next.is_none() {
                self.next = Some(self.packets.recv().await?);
            }
            let at = self.next.as_ref()?.0;
            sleep_until(at).await;
            let (_, packet) = self.next.take()?;
            if !broker.is_abandoned(daemon) {
                return broker.is_current(self.number).then_some(packet);
            }
        }
    }
}

/// The client below the poll loop.
pub(crate) struct SimulatedLink {
    broker: SimulatedBroker,
    /// The number of the daemon, and the options of its connections.
    daemon: usize,
    options: MqttOptions,
    state: MqttState,
    requests: mpsc::Receiver<Request>,
    to_broker: ToBroker,
    end: Option<DaemonEnd>,
    keep_alive: Duration,
    ping_at: Instant,
    receiving: tokio::task::JoinHandle<()>,
}

impl Drop for SimulatedLink {
    fn drop(&mut self) {
        self.receiving.abort();
        if let Some(end) = &self.end {
            self.broker.close(end.number);
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
    let (client, link) = simulated_link(options(settings)?, broker, 0);
    connect_with(settings, state_topics, counters, client, link)
}

/// Creates the connections of a node of a pair to a simulated broker; `daemon` is its number there.
pub(crate) fn connect_pair_simulated(
    settings: &Settings,
    pair: &Arc<Pair>,
    log_and_topics: (Option<ProgressLog>, Vec<String>),
    counters: &Arc<Counters>,
    (broker, daemon): (SimulatedBroker, usize),
) -> Result<PairConnections<SimulatedLink>, SetupError> {
    let link = |options| simulated_link(options, broker.clone(), daemon);
    connect_pair_over(settings, pair, log_and_topics, counters, link)
}

fn simulated_link(
    options: MqttOptions,
    broker: SimulatedBroker,
    daemon: usize,
) -> (RequestSender, SimulatedLink) {
    let (sender, requests) = RequestSender::with_capacity(REQUESTS);
    let (to_broker, packets) = mpsc::unbounded_channel();
    let link = SimulatedLink {
        receiving: tokio::spawn(broker.clone().receive(packets)),
        broker,
        daemon,
        state: MqttState::new(INFLIGHT, true),
        requests,
        to_broker,
        end: None,
        keep_alive: options.keep_alive(),
        options,
        ping_at: Instant::now(),
    };
    (sender, link)
}

impl SimulatedLink {
    async fn connect(&mut self) -> Result<(), ConnectionError> {
        sleep(CONNECT_TIME).await;
        let (is_up, frozen_until) = {
            let state = self.broker.state();
            (state.is_up, state.frozen_until)
        };
        if self.broker.is_abandoned(self.daemon) {
            sleep(CONNECT_TIMEOUT).await;
            return Err(ConnectionError::Io(io::ErrorKind::TimedOut.into()));
        }
        if !is_up {
            return Err(ConnectionError::Io(io::ErrorKind::ConnectionRefused.into()));
        }
        if frozen_until > Instant::now() {
            sleep_until(frozen_until.min(Instant::now() + CONNECT_TIMEOUT)).await;
        }
        let (id, will) = (self.options.client_id(), self.options.last_will());
        let (number, packets) = self.broker.accept((&id, self.daemon), will);
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
                request = self.requests.recv(), if has_room => {
                    let request = request.ok_or(ConnectionError::RequestsDone)?;
                    self.state.handle_outgoing_packet(request)?
                }
                packet = end.arrived(&self.broker, self.daemon) => {
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

    fn next_ready(&mut self) -> Option<Event> {
        self.state.events.pop_front()
    }

    fn keep_alive(&self) -> Duration {
        self.keep_alive
    }

    fn clear(&mut self) -> VecDeque<Event> {
        if let Some(end) = self.end.take() {
            self.broker.close(end.number);
        }
        forget(&mut self.requests);
        let events = std::mem::take(&mut self.state.events);
        self.state = MqttState::new(INFLIGHT, true);
        events
    }
}
