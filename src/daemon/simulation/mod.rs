//! Seeded histories of the whole daemon under virtual time: the real event loop, pipeline, session
//! and journal, between a simulated broker, a simulated disk and a simulated model. The connection
//! is cut, the broker stands still, restarts and acknowledges nothing, the disk is slow and full,
//! the program is killed and the power fails; each command still has its one reply, in time and in
//! order.
//!
//! In others two nodes of a pair have one broker, and take over from each other.
//!
//! `SAYSO_HISTORIES` sets the number of histories, `SAYSO_SEED` the first seed. A seed decides
//! everything that happens to the daemon; the order in which it runs its tasks differs from run to
//! run.

mod clients;
mod house;
mod ledger;
mod pair;
mod timers;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use crate::daemon::simulation::house::SimulatedHouse;
use crate::daemon::simulation::ledger::SimulatedLedger;
use crate::daemon::simulation::pair::SimulatedPair;

/// Histories of an ordinary test run.
const HISTORIES: u64 = 3;

/// Figures of all histories.
#[derive(Debug, Default)]
struct Figures {
    commands: usize,
    /// Messages that devices received.
    actions: usize,
    faults: BTreeMap<&'static str, usize>,
    /// The seed and the fault.
    findings: Vec<(u64, String)>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "only the test reads these variables"
)]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs one history, and notes its figures.
fn history(seed: u64, figures: &mut Figures, live: impl AsyncFnOnce(u64) -> SimulatedLedger) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    let local = tokio::task::LocalSet::new();
    let ledger = local.block_on(&runtime, live(seed));
    // Old runs of the daemon may still be closing their stores.
    drop(local);
    runtime.shutdown_timeout(Duration::from_secs(5));
    figures.commands += ledger.sent.len();
    figures.actions += ledger.received.len();
    for (fault, times) in &ledger.faults {
        *figures.faults.entry(fault).or_default() += times;
    }
    figures
        .findings
        .extend(ledger.findings().into_iter().map(|finding| (seed, finding)));
}

fn print(line: &str) {
    writeln!(std::io::stdout(), "{line}").unwrap();
}

/// Runs histories, and prints their figures and findings.
fn histories(live: impl AsyncFn(u64) -> SimulatedLedger) {
    let first = number("SAYSO_SEED").unwrap_or(1);
    let histories = number("SAYSO_HISTORIES").unwrap_or(HISTORIES);
    let mut figures = Figures::default();
    for seed in first..first + histories {
        history(seed, &mut figures, &live);
    }
    let Figures {
        commands,
        actions,
        faults,
        findings,
    } = figures;
    print(&format!(
        "{histories} histories, seeds from {first}, {commands} commands, {actions} messages to \
         devices, {} findings",
        findings.len()
    ));
    for (fault, times) in &faults {
        print(&format!("{times:>9}  {fault}"));
    }
    for (seed, finding) in &findings {
        print(&format!("seed {seed}: {finding}"));
    }
    assert!(findings.is_empty(), "{} findings", findings.len());
    assert!(commands > 0 && actions > 0 && faults.len() > 5);
}

#[test]
fn every_command_has_one_reply_whatever_happens() {
    histories(async |seed| {
        let mut house = SimulatedHouse::start(seed);
        house.live().await;
        house.end().await
    });
}

#[test]
fn every_command_has_one_reply_whatever_happens_to_a_pair() {
    histories(async |seed| {
        let mut house = SimulatedPair::start(seed);
        house.live().await;
        house.end().await
    });
}
