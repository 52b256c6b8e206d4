//! The connection to the broker, tested with real brokers, and with a scripted one for behaviour
//! that real ones do not show.

use std::sync::Arc;
use std::time::Duration;

use sayso::testing::mqtt::inbox::{InboundCommand, Inbox, Incoming};
use sayso::testing::mqtt::outbox::{OutboundMessage, Outbox};
use sayso::testing::mqtt::{Settings, connect};
use sayso::testing::telemetry::counters::Counters;
use tokio::task::JoinSet;
use tokio::time::timeout;

mod breaking;
mod real;
mod scripted;
mod tls;

pub(crate) use tls::certificates;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running connection of sayso and its ends.
struct Sayso {
    inbox: Inbox,
    outbox: Outbox,
    counters: Arc<Counters>,
    tasks: JoinSet<()>,
}

impl Sayso {
    fn start(settings: &Settings, state_topics: &[&str]) -> Self {
        let counters = Arc::new(Counters::default());
        let states = state_topics
            .iter()
            .map(|topic| (*topic).to_owned())
            .collect();
        let (connection, inbox, outbox) = connect(settings, states, Arc::clone(&counters)).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(connection.run());
        Self {
            inbox,
            outbox,
            counters,
            tasks,
        }
    }

    async fn next(&mut self) -> Incoming {
        timeout(PATIENCE, self.inbox.next())
            .await
            .expect("something is received")
            .expect("the connection goes on")
    }

    /// Waits until the subscriptions are acknowledged; returns whether the broker kept the session.
    async fn up(&mut self) -> bool {
        loop {
            if let Incoming::Up {
                session_present, ..
            } = self.next().await
            {
                return session_present;
            }
        }
    }

    /// Waits until the connection is lost; returns the cause.
    async fn down(&mut self) -> String {
        loop {
            if let Incoming::Down { why } = self.next().await {
                return why;
            }
        }
    }

    /// Returns the next command.
    async fn command(&mut self) -> Box<InboundCommand> {
        loop {
            if let Incoming::Command(command) = self.next().await {
                return command;
            }
        }
    }

    /// Returns topic and payload of the next state.
    async fn state(&mut self) -> (String, Vec<u8>) {
        loop {
            if let Incoming::State { topic, payload, .. } = self.next().await {
                return (topic, payload.to_vec());
            }
        }
    }

    fn count(&self, name: &str) -> u64 {
        self.counters
            .counts()
            .find(|count| count.health_key == name)
            .unwrap()
            .value
    }

    /// Closes the outbox and waits for the end of the poll loop.
    async fn close(mut self) {
        self.outbox.close(PATIENCE).await;
        timeout(PATIENCE, self.tasks.join_next())
            .await
            .expect("the poll loop ends")
            .unwrap()
            .unwrap();
    }
}

fn message(topic: &str, payload: &str) -> OutboundMessage {
    OutboundMessage::to(topic, payload.as_bytes().to_vec())
}

/// Runs one test against each broker.
macro_rules! on_every_broker {
    ($($name:ident)*) => { $(
        mod $name {
            use crate::broker::Broker;
            #[tokio::test]
            async fn embedded() {
                super::$name(Broker::embedded().await).await;
            }
            #[tokio::test]
            async fn mosquitto() {
                super::$name(Broker::mosquitto().await).await;
            }
        }
    )* };
}
use on_every_broker;
