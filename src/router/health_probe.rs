//! Looks after a server of one's own that went away: asks it a question that costs nothing until it is back, so that no command
//! pays for finding out, neither that it still is away nor that it is there again. While all is well nothing is asked.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tracing::{debug, info};

use crate::clock::now;
use crate::router::Router;
use crate::router::upstream::Upstream;

/// The first look comes so long after the breaker opened, each further one twice as long after the one before.
const FIRST: Duration = Duration::from_secs(2);

/// The longest time between two looks.
const LONGEST: Duration = Duration::from_mins(1);

impl Router {
    /// Looks out for as long as it is polled.
    pub async fn look_out(&self) {
        join_all(
            self.lanes
                .iter()
                .filter(|lane| lane.settings.probe)
                .map(|lane| lane.look_out()),
        )
        .await;
        std::future::pending::<()>().await;
    }
}

impl Upstream {
    async fn look_out(&self) {
        let mut standing = self.standing.subscribe();
        // How often its breaker had opened when the last look was taken.
        let mut seen = None;
        loop {
            let opened = self.record().breaker.opened();
            if opened.is_none() || opened == seen {
                // The sender lives in self, so this cannot fail.
                let _ = standing.changed().await;
                continue;
            }
            self.until_back().await;
            seen = opened;
        }
    }

    /// Looks while the breaker is open. A server that is there at the first look is not away but ill: of that a free question
    /// tells nothing, and the breaker's own time holds.
    async fn until_back(&self) {
        let (mut pause, mut was_away) = (FIRST, false);
        loop {
            sleep(pause).await;
            if self.record().breaker.opened().is_none() {
                return;
            }
            let there = self.endpoint.is_there().await;
            debug!(
                provider = &*self.name,
                there, was_away, "looked after a provider that keeps failing"
            );
            if there {
                if was_away {
                    self.record().breaker.is_back(now());
                    info!(
                        provider = &*self.name,
                        "provider is there again, the next command tries it"
                    );
                    self.standing.send_replace(());
                }
                return;
            }
            was_away = true;
            pause = (pause * 2).min(LONGEST);
            // Until the next look has told: twice the time, for the look itself takes some.
            self.record().breaker.is_away(now() + 2 * pause);
        }
    }
}
