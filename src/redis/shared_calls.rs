//! Calls that are reserved and settled for all nodes together.
//!
//! It does not know providers: a call names its limits, and the verdict of the script in Redis
//! comes back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::redis::connection::RedisFault;
use crate::redis::limits::{self, Settlement, SharedCall, SharedVerdict};
use crate::redis::{Redis, offline};

/// Pause between two looks whether all ended calls are reported.
const FLUSH_POLL: Duration = Duration::from_millis(5);

impl Redis {
    /// Returns the number of a new call.
    pub fn next_call(&self) -> u64 {
        self.newest_call.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Reserves a call at a provider for all nodes.
    ///
    /// # Errors
    /// When Redis did not decide; the reservation may have been made all the same.
    pub async fn acquire(&self, call: &SharedCall<'_>) -> Result<SharedVerdict, RedisFault> {
        let connection = self.link.connection().ok_or_else(offline)?;
        let mut arguments = vec![self.call_id(call.call), self.link.settings.node.clone()];
        arguments.extend(limits::arguments(call, self.link.settings.nodes));
        let keys = self.limit_keys(call.provider);
        let reply = async {
            let reply = connection.run(&self.acquire, &keys, &arguments).await?;
            limits::verdict(&reply)
        };
        let verdict = self.counted(reply).await?;
        self.note_nodes(verdict.nodes);
        Ok(verdict)
    }

    /// Reports the end of a call in the background.
    pub fn settle(&self, settlement: Settlement) {
        // Where the queue is full, the reservation stays charged until its lease ends: a limit is
        // never exceeded.
        self.unreported.fetch_add(1, Ordering::Relaxed);
        if self.settlements.try_send(settlement).is_err() {
            self.unreported.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Waits until the ended calls are reported, at most `longest`; not at all while Redis is not
    /// available.
    pub async fn flush(&self, longest: Duration) {
        let reported = async {
            while self.is_online() && self.unreported.load(Ordering::Relaxed) > 0 {
                sleep(FLUSH_POLL).await;
            }
        };
        let _ = timeout(longest, reported).await;
    }

    pub(super) fn call_id(&self, call: u64) -> String {
        format!("{}.{call}", self.owner())
    }

    /// Returns the keys of the scripts for one provider.
    pub(super) fn limit_keys(&self, provider: &str) -> [String; 8] {
        [
            format!("w:{provider}"),
            format!("f:{provider}"),
            format!("c:{provider}"),
            "n".to_owned(),
            format!("day:provider:{provider}"),
            format!("month:provider:{provider}"),
            "day:all".to_owned(),
            "month:all".to_owned(),
        ]
        .map(|name| self.key(&name))
    }
}
