//! What is listened to: commands, requests of operators, and the state topics of devices. Asked for anew on every connection, because a broker
//! that lost the session does not always know that it did, and because it tells the retained states again.

use std::collections::{HashSet, VecDeque};

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Filter as Wanted, RetainForwardRule, SubAck, SubscribeReasonCode,
};
use tracing::error;

use crate::vocabulary::topic::Filter;

/// Filters in one packet; some brokers refuse long ones.
const IN_ONE: usize = 50;

/// What a topic is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SubscriptionKind {
    Command,
    Control,
    State,
    Neither,
}

/// The subscriptions, and how far the broker is with them.
#[derive(Debug)]
pub(super) struct Subscriptions {
    commands: Filter,
    controls: Filter,
    /// Most state topics have no wildcard, so a message costs one look-up.
    exact: HashSet<String>,
    wild: Vec<Filter>,
    /// Not yet handed to the client.
    wanted: VecDeque<Vec<Wanted>>,
    /// Not wanted any more; the client does not know yet.
    unwanted: Vec<String>,
    /// Handed to the client, not yet seen leaving.
    handed: VecDeque<Vec<String>>,
    /// Left under these packet ids.
    asked: Vec<(u16, Vec<String>)>,
}

impl Subscriptions {
    pub(super) fn new(commands: Filter, controls: Filter, states: Vec<Filter>) -> Self {
        let (exact, wild) = split(states);
        Self {
            commands,
            controls,
            exact,
            wild,
            wanted: VecDeque::new(),
            unwanted: Vec::new(),
            handed: VecDeque::new(),
            asked: Vec::new(),
        }
    }

    /// What a message on `topic` is to us.
    pub(super) fn kind(&self, topic: &str) -> SubscriptionKind {
        if self.commands.matches(topic) {
            SubscriptionKind::Command
        } else if self.controls.matches(topic) {
            SubscriptionKind::Control
        } else if self.exact.contains(topic) || self.wild.iter().any(|filter| filter.matches(topic))
        {
            SubscriptionKind::State
        } else {
            SubscriptionKind::Neither
        }
    }

    /// A connection begins: all is to be asked for.
    pub(super) fn begin(&mut self) {
        self.forget();
        let mut commands = Wanted::new(self.commands.as_str(), QoS::AtLeastOnce);
        // A retained command is dropped; asking for it once is enough to say so in the log.
        commands.retain_forward_rule = RetainForwardRule::OnNewSubscribe;
        let mut controls = Wanted::new(self.controls.as_str(), QoS::AtMostOnce);
        controls.retain_forward_rule = RetainForwardRule::Never;
        self.wanted.push_back(vec![commands, controls]);
        let states: Vec<String> = self
            .exact
            .iter()
            .cloned()
            .chain(self.wild.iter().map(|filter| filter.as_str().to_owned()))
            .collect();
        self.want(&states);
    }

    /// The connection is gone: nothing is asked for any more.
    pub(super) fn forget(&mut self) {
        self.wanted.clear();
        self.unwanted.clear();
        self.handed.clear();
        self.asked.clear();
    }

    /// Other state topics are to be followed from now on.
    pub(super) fn follow(&mut self, states: Vec<Filter>, connected: bool) {
        let (exact, wild) = split(states);
        if connected {
            let new = exact.difference(&self.exact).cloned().chain(
                wild.iter()
                    .filter(|f| !self.wild.contains(f))
                    .map(|f| f.as_str().to_owned()),
            );
            let new: Vec<String> = new.collect();
            self.want(&new);
            self.unwanted.extend(self.exact.difference(&exact).cloned());
            self.unwanted.extend(
                self.wild
                    .iter()
                    .filter(|f| !wild.contains(f))
                    .map(|f| f.as_str().to_owned()),
            );
        }
        (self.exact, self.wild) = (exact, wild);
    }

    fn want(&mut self, states: &[String]) {
        let one = |chunk: &[String]| {
            chunk
                .iter()
                .map(|state| Wanted::new(state.as_str(), QoS::AtMostOnce))
                .collect()
        };
        self.wanted.extend(states.chunks(IN_ONE).map(one));
    }

    /// Hands to the client what it takes now.
    pub(super) fn send(&mut self, client: &AsyncClient) {
        while let Some(name) = self.unwanted.last() {
            if client.try_unsubscribe(name.as_str()).is_err() {
                return;
            }
            self.unwanted.pop();
        }
        while let Some(filters) = self.wanted.front() {
            let names = filters.iter().map(|filter| filter.path.clone()).collect();
            if client.try_subscribe_many(filters.clone()).is_err() {
                return;
            }
            self.wanted.pop_front();
            self.handed.push_back(names);
        }
    }

    /// The next subscription left as packet `pkid`.
    pub(super) fn left(&mut self, pkid: u16) {
        if let Some(names) = self.handed.pop_front() {
            self.asked.push((pkid, names));
        }
    }

    /// The broker answered one.
    pub(super) fn answered(&mut self, answer: &SubAck) {
        let Some(at) = self.asked.iter().position(|(pkid, _)| *pkid == answer.pkid) else {
            return;
        };
        let (_, names) = self.asked.remove(at);
        for (name, code) in names.iter().zip(&answer.return_codes) {
            if !matches!(code, SubscribeReasonCode::Success(_)) {
                error!(filter = name, reason = ?code, "the broker refuses a subscription: allow it in the broker's access list");
            }
        }
    }

    /// True where the broker has answered all of them.
    pub(super) fn stand(&self) -> bool {
        self.wanted.is_empty() && self.handed.is_empty() && self.asked.is_empty()
    }
}

fn split(states: Vec<Filter>) -> (HashSet<String>, Vec<Filter>) {
    let (exact, wild) = states.into_iter().partition::<Vec<_>, _>(Filter::is_exact);
    (
        exact
            .iter()
            .map(|filter| filter.as_str().to_owned())
            .collect(),
        wild,
    )
}
