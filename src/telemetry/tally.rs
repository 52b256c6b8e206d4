//! The counters, one method per event: a stage says what happened, in one line. No labels with ids.

use crate::telemetry::answers::OutcomeCounts;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($(#[doc = $doc:literal] $name:ident),* $(,)?) => {
        /// Counts of what happened since start. Shared by reference; each count is its own atomic.
        #[derive(Debug, Default)]
        pub struct Tally {
            $($name: AtomicU64,)*
            /// How commands were answered.
            pub answers: OutcomeCounts,
        }

        impl Tally {
            $(#[doc = $doc] pub fn $name(&self) { self.$name.fetch_add(1, Relaxed); })*

            /// Every count with its name and what it says, in the order of the source.
            pub fn counts(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), $doc.trim(), self.$name.load(Relaxed))),*].into_iter()
            }
        }
    };
}

counters! {
    /// A command was taken in.
    heard,
    /// A payload on a command topic was no command.
    malformed,
    /// A retained message on a command topic was dropped.
    dropped_retained,
    /// A command was heard again and answered as before.
    duplicate,
    /// The queue was full.
    busy,
    /// Understood without a model.
    understood_locally,
    /// Understood from what was kept.
    recalled,
    /// Not among what was kept.
    not_recalled,
    /// A source was over its quota.
    over_quota,
    /// A question went to a model.
    asked,
    /// A command joined a question already on its way.
    shared_a_question,
    /// A call was tried again at the same provider.
    retried,
    /// A call moved on to the next provider.
    failed_over,
    /// The store could not be read or written.
    store_fault,
    /// An answer of a model could not be used.
    misread,
    /// The gate said no.
    denied,
    /// An action was left undone because a newer command for the device had gone out.
    superseded,
    /// A command's time ran out.
    late,
    /// An action was delivered to the broker.
    acted,
    /// A reply was handed to the broker.
    replied,
    /// A reply was dropped because too many messages waited for the broker.
    reply_lost,
    /// The broker connection was lost.
    disconnected,
    /// A message from a device told its state.
    state_heard,
    /// A message from a device was dropped because too many waited.
    state_dropped,
}
