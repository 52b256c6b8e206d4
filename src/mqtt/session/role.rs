//! The use of a connection: the only one of its daemon, or one of the two of a node of a pair.

use std::sync::Arc;

use crate::pair::Pair;
use crate::store::progress_log::ProgressLog;

/// The use of a connection.
pub(in crate::mqtt) enum SessionRole {
    /// The only connection.
    Alone,
    /// The connection of a pair with the shared client id.
    Leader(Arc<Pair>),
    /// The connection of a node of a pair with an id of its own.
    Observer {
        /// State of the pair, which the received messages change.
        pair: Arc<Pair>,
        /// The progress of commands on disk.
        log: Option<ProgressLog>,
    },
}

impl SessionRole {
    /// Returns whether the status of the service is published on the connection.
    pub(super) fn has_status(&self) -> bool {
        !matches!(self, Self::Observer { .. })
    }

    /// Returns the pair, if the connection is that of its leader.
    pub(in crate::mqtt) fn leader(&self) -> Option<&Arc<Pair>> {
        match self {
            Self::Leader(pair) => Some(pair),
            Self::Alone | Self::Observer { .. } => None,
        }
    }
}
