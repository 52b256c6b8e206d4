//! Subscriptions: commands, operators' requests, and the state topics of devices.
//!
//! They are requested again on every connection: a broker that lost the session does not always
//! know that it did, and it sends the retained states again. A filter that makes the broker end the
//! connection is found and left out.

use std::collections::{HashMap, HashSet, VecDeque};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Filter as Request, RetainForwardRule, SubAck, SubscribeReasonCode,
};
use tracing::error;

use crate::mqtt::requests::RequestSender;
use crate::vocabulary::topic::Filter;

/// The most filters in one packet; some brokers refuse long packets.
const MAX_FILTERS: usize = 50;

/// More than the header, packet id and properties of a SUBSCRIBE take, in bytes.
const HEADER: usize = 16;

/// Bytes of a filter in addition to its text: two for its length, one for the options.
const FILTER_OVERHEAD: usize = 3;

/// Connections that may end right after a SUBSCRIBE with a filter before the filter is requested
/// alone; if the connection ends then as well, the filter is left out.
const MAX_LOSSES: u8 = 2;

/// The use of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SubscriptionKind {
    Command,
    Control,
    State,
    /// A message between the nodes of a pair, or a reply that its observer follows.
    Pair,
    Neither,
}

/// The subscriptions, and how far the broker has accepted them.
#[derive(Debug)]
pub(super) struct Subscriptions {
    /// sayso's own topics, before the states of devices.
    own: Vec<(Filter, SubscriptionKind)>,
    /// State topics without a wildcard; most are, so that a message costs one look-up.
    exact: HashSet<String>,
    wild: Vec<Filter>,
    /// Packets not yet handed to the client.
    queued: VecDeque<Vec<Request>>,
    /// Filters to unsubscribe from, not yet handed to the client.
    unwanted: Vec<String>,
    /// Filters of packets handed to the client and not yet seen leaving.
    handed: VecDeque<Vec<String>>,
    /// Filters of packets that left, by packet id.
    sent: Vec<(u16, Vec<String>)>,
    /// Number of connections that ended right after a SUBSCRIBE with this filter.
    losses: HashMap<String, u8>,
    /// The largest packet the broker accepts, in bytes.
    max_packet: usize,
}

impl Subscriptions {
    pub(super) fn new(own: Vec<(Filter, SubscriptionKind)>, states: Vec<Filter>) -> Self {
        let (exact, wild) = split(states);
        Self {
            own,
            exact,
            wild,
            queued: VecDeque::new(),
            unwanted: Vec::new(),
            handed: VecDeque::new(),
            sent: Vec::new(),
            losses: HashMap::new(),
            max_packet: usize::MAX,
        }
    }

    /// Returns the use of a message on `topic`.
    pub(super) fn kind(&self, topic: &str) -> SubscriptionKind {
        let is_state =
            || self.exact.contains(topic) || self.wild.iter().any(|filter| filter.matches(topic));
        let own = self.own.iter().find(|(filter, _)| filter.matches(topic));
        match own {
            Some((_, kind)) => *kind,
            None if is_state() => SubscriptionKind::State,
            None => SubscriptionKind::Neither,
        }
    }

    /// Requests everything: a connection begins, with a broker that accepts packets of `max_packet`
    /// bytes.
    pub(super) fn begin(&mut self, max_packet: usize) {
        self.clear();
        self.max_packet = max_packet;
        let own = self.own.iter();
        self.queued
            .push_back(own.map(|(filter, kind)| request(filter, *kind)).collect());
        let wild = self.wild.iter().map(|filter| filter.as_str().to_owned());
        // Sorted, because the order of the retained announcements decides about equal names.
        let mut states: Vec<String> = self.exact.iter().cloned().collect();
        states.sort_unstable();
        states.extend(wild);
        self.queue(states);
    }

    /// Forgets all requests: the connection is gone. `is_suspect` says that it ended right after
    /// the last of them left.
    pub(super) fn end(&mut self, is_suspect: bool) {
        if is_suspect {
            let own: Vec<&str> = self.own.iter().map(|(filter, _)| filter.as_str()).collect();
            let unanswered = self.sent.iter().flat_map(|(_, filters)| filters);
            for filter in unanswered.filter(|filter| !own.contains(&filter.as_str())) {
                let losses = self.losses.entry(filter.clone()).or_default();
                *losses += 1;
                if *losses == MAX_LOSSES + 1 {
                    error!(
                        filter,
                        "the broker ends the connection over this subscription: it is left out"
                    );
                }
            }
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.queued.clear();
        self.unwanted.clear();
        self.handed.clear();
        self.sent.clear();
    }

    /// Replaces the state topics.
    pub(super) fn follow(&mut self, states: Vec<Filter>, is_connected: bool) {
        let (exact, wild) = split(states);
        let name = |filter: &Filter| filter.as_str().to_owned();
        if is_connected {
            let new_wild = wild.iter().filter(|filter| !self.wild.contains(filter));
            let new_exact = exact.difference(&self.exact).cloned();
            self.queue(new_exact.chain(new_wild.map(name)).collect());
            let old_wild = self.wild.iter().filter(|filter| !wild.contains(filter));
            let old_exact = self.exact.difference(&exact).cloned();
            self.unwanted.extend(old_exact.chain(old_wild.map(name)));
        }
        self.exact = exact;
        self.wild = wild;
        let Self {
            losses,
            exact,
            wild,
            ..
        } = self;
        losses.retain(|filter, _| {
            exact.contains(filter) || wild.iter().any(|known| known.as_str() == filter)
        });
    }

    /// Queues packets that request these state topics: suspects alone, the others as many as fit.
    fn queue(&mut self, states: Vec<String>) {
        let mut packet = Vec::new();
        let mut packet_bytes = HEADER;
        for state in states {
            let losses = self.losses.get(&state).copied().unwrap_or_default();
            let bytes = state.len() + FILTER_OVERHEAD;
            if losses > MAX_LOSSES {
                continue;
            }
            if HEADER + bytes > self.max_packet {
                error!(
                    filter = state,
                    "the filter is larger than the broker accepts: it is left out"
                );
                continue;
            }
            let mut request = Request::new(state, QoS::AtMostOnce);
            // A device may report on the topic it is commanded on. What sayso sends there itself
            // is no report.
            request.nolocal = true;
            if losses == MAX_LOSSES {
                self.queued.push_back(vec![request]);
                continue;
            }
            if packet.len() == MAX_FILTERS || packet_bytes + bytes > self.max_packet {
                self.queued.push_back(std::mem::take(&mut packet));
                packet_bytes = HEADER;
            }
            packet_bytes += bytes;
            packet.push(request);
        }
        if !packet.is_empty() {
            self.queued.push_back(packet);
        }
    }

    /// Hands packets to the client, as many as it accepts.
    pub(super) fn send(&mut self, client: &RequestSender) {
        while let Some(name) = self.unwanted.last() {
            if !client.unsubscribe(name) {
                return;
            }
            self.unwanted.pop();
        }
        while let Some(filters) = self.queued.front() {
            // After a loss one packet at a time, so that the next loss shows which one it was.
            let is_cautious = !self.losses.is_empty();
            if is_cautious && !(self.handed.is_empty() && self.sent.is_empty()) {
                return;
            }
            let names = filters.iter().map(|filter| filter.path.clone()).collect();
            if !client.subscribe(filters.clone()) {
                return;
            }
            self.queued.pop_front();
            self.handed.push_back(names);
        }
    }

    /// Records that the next packet left with id `pkid`.
    pub(super) fn departed(&mut self, pkid: u16) {
        if let Some(names) = self.handed.pop_front() {
            self.sent.push((pkid, names));
        }
    }

    /// Records the broker's answer to one packet.
    pub(super) fn acked(&mut self, answer: &SubAck) {
        let Some(at) = self.sent.iter().position(|(pkid, _)| *pkid == answer.pkid) else {
            return;
        };
        let (_, names) = self.sent.remove(at);
        for (name, code) in names.iter().zip(&answer.return_codes) {
            self.losses.remove(name);
            if !matches!(code, SubscribeReasonCode::Success(_)) {
                error!(filter = name, reason = ?code, "the broker refuses a subscription: allow it \
                    in the broker's access list");
            }
        }
    }

    /// Returns whether the broker has answered all requests.
    pub(super) fn is_complete(&self) -> bool {
        self.queued.is_empty() && self.handed.is_empty() && self.sent.is_empty()
    }
}

/// Returns the request of one of sayso's own topics.
fn request(filter: &Filter, kind: SubscriptionKind) -> Request {
    let mut request = Request::new(filter.as_str(), QoS::AtLeastOnce);
    match kind {
        // A retained command is dropped; receiving it once is enough to log it.
        SubscriptionKind::Command => {
            request.retain_forward_rule = RetainForwardRule::OnNewSubscribe;
        }
        SubscriptionKind::Control => {
            request.qos = QoS::AtMostOnce;
            request.retain_forward_rule = RetainForwardRule::Never;
        }
        SubscriptionKind::State | SubscriptionKind::Pair | SubscriptionKind::Neither => {}
    }
    request
}

/// Splits filters into those without and those with wildcards.
fn split(filters: Vec<Filter>) -> (HashSet<String>, Vec<Filter>) {
    let (exact, wild): (Vec<_>, Vec<_>) = filters.into_iter().partition(Filter::is_exact);
    let exact = exact.iter().map(|filter| filter.as_str().to_owned());
    (exact.collect(), wild)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscriptions(states: &[&str]) -> Subscriptions {
        let filter = |text: &str| Filter::new(text).unwrap();
        let states = states.iter().map(|state| filter(state)).collect();
        let own = vec![
            (filter("s/command/+"), SubscriptionKind::Command),
            (filter("s/control/+"), SubscriptionKind::Control),
        ];
        Subscriptions::new(own, states)
    }

    /// Returns the filters of every packet that a connection begins with, except the first packet,
    /// which has sayso's own topics.
    fn packets(subscriptions: &mut Subscriptions, max_packet: usize) -> Vec<Vec<String>> {
        subscriptions.begin(max_packet);
        let packets = subscriptions.queued.iter().skip(1);
        packets
            .map(|packet| packet.iter().map(|filter| filter.path.clone()).collect())
            .collect()
    }

    #[test]
    fn packets_are_no_larger_than_the_broker_accepts() {
        let topics: Vec<String> = (0..120).map(|n| format!("zigbee2mqtt/{n:060}")).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let mut subscriptions = subscriptions(&topics);
        assert_eq!(packets(&mut subscriptions, usize::MAX).len(), 3);
        let small = packets(&mut subscriptions, 2000);
        let bytes = |packet: &Vec<String>| packet.iter().map(|name| name.len() + 3).sum::<usize>();
        assert!(small.iter().all(|packet| bytes(packet) + HEADER <= 2000));
        assert_eq!(small.iter().map(Vec::len).sum::<usize>(), 120);
        assert!(packets(&mut subscriptions, 60).is_empty(), "none fits");
    }

    #[test]
    fn a_filter_that_ends_the_connection_is_found_and_left_out() {
        let mut subscriptions = subscriptions(&["good", "bad", "fine"]);
        for loss in 0..=MAX_LOSSES {
            let packets = packets(&mut subscriptions, usize::MAX);
            let packet = packets
                .iter()
                .find(|packet| packet.contains(&"bad".to_owned()));
            let packet = packet.expect("it is still requested").clone();
            assert_eq!(packet.len() == 1, loss == MAX_LOSSES);
            subscriptions.sent.push((7, packet));
            subscriptions.end(true);
        }
        // The others were in the same packets twice, and are answered when they are alone.
        let packets = packets(&mut subscriptions, usize::MAX);
        assert_eq!(packets.len(), 2);
        assert!(packets.iter().all(|packet| packet[0] != "bad"));
    }

    #[test]
    fn a_connection_that_ends_for_another_reason_is_not_held_against_a_filter() {
        let mut subscriptions = subscriptions(&["lamp"]);
        for _ in 0..9 {
            let packet = packets(&mut subscriptions, usize::MAX).remove(0);
            subscriptions.sent.push((7, packet));
            subscriptions.end(false);
        }
        assert_eq!(packets(&mut subscriptions, usize::MAX), [["lamp"]]);
    }
}
