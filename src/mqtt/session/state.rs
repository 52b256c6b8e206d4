//! The fields of the session, which its other modules read and change: phase, queues, and
//! everything that is kept from one connection to the next.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::command::ReplyTo;
use crate::command::reply::Reply;

use crate::mqtt::inbox::{AckToken, InboxSender};
use crate::mqtt::inflight::{PendingAcks, Redeliverable, UnackedPublishes};
use crate::mqtt::outbox::Outbox;
use crate::mqtt::outbox_queues::QueuedMessage;
use crate::mqtt::requests::RequestSender;
use crate::mqtt::session::client_faults::ClientFault;
use crate::mqtt::session::role::SessionRole;
use crate::mqtt::subscriptions::Subscriptions;
use crate::telemetry::log_limit::LogLimit;
use crate::wire::WireRules;

/// State of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not connected.
    Down,
    /// Connected; the subscriptions are not acknowledged yet.
    Subscribing,
    /// In use.
    Open,
    /// `offline` is in flight.
    Farewell,
    /// DISCONNECT is handed to the client.
    Leaving,
    /// DISCONNECT has left.
    Gone,
}

/// State of the connection to the broker, over all its connections.
pub(in crate::mqtt) struct Session {
    pub(super) role: SessionRole,
    pub(super) client: RequestSender,
    pub(super) rules: WireRules,
    pub(super) subscriptions: Subscriptions,
    pub(super) outbox: Outbox,
    pub(super) inbox: Arc<InboxSender>,
    pub(super) unacked: UnackedPublishes<QueuedMessage>,
    pub(super) acks: PendingAcks,
    pub(super) phase: Phase,
    /// Number of the connection; 0 before the first.
    pub(super) connection: u64,
    /// Time of the last received packet.
    pub(super) last_packet: Instant,
    /// Time at which this connection began.
    pub(super) began: Instant,
    /// Whether the broker kept the session of the connection before this one.
    pub(super) resumed: bool,
    /// Whether the broker has kept the session since before this process began: only then can it
    /// send again commands that an earlier process received.
    pub(super) continues_earlier_run: bool,
    /// Whether the wall clock was set, and when that was looked up.
    pub(super) clock_set: Option<(Instant, bool)>,
    /// Whether the broker accepts messages with the retain flag.
    pub(super) retains: bool,
    /// The largest packet the broker accepts, in bytes.
    pub(super) max_packet: usize,
    /// Rejections that found no room in the outbox yet.
    pub(super) rejections: VecDeque<(Reply, ReplyTo, AckToken)>,
    /// Commands of earlier connections that the broker may send again, by packet identifier. Of two
    /// with the same one the broker has the acknowledgement of the first.
    pub(super) redeliverable: HashMap<u16, Redeliverable>,
    /// The cause of the loss as last reported; `None` while connected.
    pub(super) reported_cause: Option<String>,
    /// Times at which the broker closed connections in use for no known reason, since one was last
    /// refused.
    pub(super) unexplained: VecDeque<Instant>,
    /// Faults of clients that are logged with a limit.
    pub(super) client_faults: LogLimit<ClientFault>,
}
