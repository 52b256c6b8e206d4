//! Free probes of providers that are not available, so that no command pays for finding out whether
//! they are back. While a provider is available, nothing is sent.

use std::time::Duration;

use tokio::time::{sleep, sleep_until};
use tracing::{debug, info};

use crate::backoff::Backoff;
use crate::clock::now;
use crate::provider::ProviderError;
use crate::provider::http::Presence;
use crate::router::upstream::Upstream;

/// Pause between the opening of the breaker and the first probe; it doubles after each probe.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// The longest pause between two probes.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Probes a provider whenever its breaker is open, it is disabled, or it denied a call. Never
/// returns.
pub(super) async fn watch(upstream: &Upstream) {
    let mut state_changes = upstream.state_changes.subscribe();
    // The opening of the breaker that was probed last.
    let mut probed = None;
    loop {
        let opened = upstream.breaker_opened();
        if upstream.disabled_until().is_some() {
            probe_disabled(upstream).await;
        } else if let Some(error) = upstream.take_doubt() {
            probe_denied(upstream, &error).await;
        } else if opened.is_some() && opened != probed {
            probe_until_back(upstream).await;
            probed = opened;
        } else {
            // The sender lives in the upstream, so this cannot fail.
            let _ = state_changes.changed().await;
        }
    }
}

/// Disables a provider that denied a call if it denies a free probe too: then it was not the text
/// of that call.
async fn probe_denied(upstream: &Upstream, error: &ProviderError) {
    let presence = upstream.endpoint.presence().await;
    debug!(
        provider = &*upstream.name,
        ?presence,
        "probed a provider that denied a call"
    );
    if presence == Presence::Denied {
        upstream.confirm_doubt(error);
    }
}

/// Waits for the next try of a disabled provider and probes it. Where the probe shows no more than
/// that the server responds, the next command tries it.
async fn probe_disabled(upstream: &Upstream) {
    let mut state_changes = upstream.state_changes.subscribe();
    let Some(until) = upstream.disabled_until() else {
        return;
    };
    if until <= now() {
        // The next command tries it.
        let _ = state_changes.changed().await;
        return;
    }
    tokio::select! {
        () = sleep_until(until.into()) => {}
        // It was enabled or disabled anew meanwhile.
        _ = state_changes.changed() => return,
    }
    let presence = upstream.endpoint.presence().await;
    debug!(
        provider = &*upstream.name,
        ?presence,
        "probed a disabled provider"
    );
    match presence {
        Presence::Ready => upstream.enable(),
        Presence::Denied => upstream.keep_disabled(),
        Presence::Responds | Presence::Away => {}
    }
}

/// Probes while the breaker is open. A server that responds to the first probe is not away but in
/// trouble, which a free probe cannot see; then the breaker's own time counts.
async fn probe_until_back(upstream: &Upstream) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut pause = backoff.next_delay();
    let mut was_away = false;
    loop {
        sleep(pause).await;
        if upstream.breaker_opened().is_none() {
            return;
        }
        let presence = upstream.endpoint.presence().await;
        debug!(
            provider = &*upstream.name,
            ?presence,
            "probed a failing provider"
        );
        if presence != Presence::Away {
            if was_away {
                info!(
                    provider = &*upstream.name,
                    "provider responds again, the next command tries it"
                );
                upstream.note_back();
            }
            return;
        }
        was_away = true;
        pause = backoff.next_delay();
        // Until the next probe has ended, which takes some time itself.
        upstream.note_away(now() + 2 * pause);
    }
}
