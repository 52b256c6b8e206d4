//! Seeded histories of the whole daemon under virtual time: the real event loop, pipeline, session
//! and journal, between a simulated broker, a simulated disk and a simulated model. The connection
//! is cut, the broker stands still, restarts and acknowledges nothing, the disk is slow and full,
//! the program is killed and the power fails; each command still has its one reply, in time and in
//! order.
//!
//! In others two nodes of a pair have one broker, and take over from each other.
//!
//! `SAYSO_HISTORIES` sets the number of histories, `SAYSO_SEED` the first seed, and `SAYSO_TRACE=1`
//! prints the messages and faults of each history, with the time in virtual seconds. A seed decides
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
use crate::daemon::simulation::ledger::{PUT_OFF, SimulatedLedger};
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

/// Prints an event, if the trace is turned on.
fn trace(line: impl FnOnce() -> String) {
    if number("SAYSO_TRACE").is_some() {
        let now = crate::clock::uptime().as_secs_f64();
        print(&format!("{now:.3} {}", line()));
    }
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

/// Runs the history of each of the first seeds, none of which may have a finding; returns the
/// figures of all.
fn without_findings(seeds: u64, live: impl AsyncFn(u64) -> SimulatedLedger) -> Figures {
    let mut figures = Figures::default();
    for seed in 1..=seeds {
        history(seed, &mut figures, &live);
    }
    assert!(figures.findings.is_empty(), "{figures:?}");
    figures
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
fn a_command_behind_one_of_an_earlier_run_is_not_overtaken_by_it_after_a_crash() {
    let figures = without_findings(1, async |seed| {
        let mut house = SimulatedHouse::start(seed);
        house.live_through_two_crashes().await;
        house.end().await
    });
    assert_eq!((figures.commands, figures.faults["kill -9"]), (2, 2));
    assert!(figures.actions >= 2, "{figures:?}");
}

#[test]
fn a_command_that_comes_back_behind_its_time_is_not_done_although_the_clock_was_set_back() {
    let figures = without_findings(3, async |seed| {
        let mut house = SimulatedHouse::start(seed);
        house.live_through_a_clock_set_back().await;
        let ledger = house.end().await;
        let ends: Vec<&str> = ledger.sent[0]
            .answers
            .iter()
            .map(|(_, end)| &**end)
            .collect();
        assert_eq!(ends, [PUT_OFF, "late"]);
        ledger
    });
    assert_eq!(figures.actions, 0, "{figures:?}");
}

#[test]
fn a_command_that_is_late_after_a_power_cut_is_not_followed_by_an_older_one() {
    without_findings(3, async |seed| {
        let mut house = SimulatedHouse::start(seed);
        house.live_through_a_power_cut().await;
        let ledger = house.end().await;
        let commands: Vec<usize> = ledger.received.iter().map(|one| one.n).collect();
        assert_eq!(commands, [0, 1], "{ledger:?}");
        let ends = ledger.sent.iter().flat_map(|sent| &sent.answers);
        let ends: Vec<&str> = ends.map(|(_, end)| &**end).collect();
        assert_eq!(ends, ["superseded", "uncertain"]);
        ledger
    });
}

#[test]
fn a_command_that_was_done_and_waits_for_the_disk_too_long_after_a_crash_is_uncertain() {
    without_findings(3, async |seed| {
        let mut house = SimulatedHouse::start(seed);
        house.live_through_a_wait_for_the_disk().await;
        let ledger = house.end().await;
        assert_eq!(ledger.received.len(), 1, "{ledger:?}");
        let ends = ledger.sent[0].answers.iter().map(|(_, end)| &**end);
        assert_eq!(ends.collect::<Vec<_>>(), ["uncertain"], "{ledger:?}");
        ledger
    });
}

#[test]
fn a_duplicate_gets_no_reply_that_a_crash_could_still_change() {
    without_findings(1, async |seed| {
        let mut house = SimulatedHouse::start(seed);
        assert_eq!(house.live_through_a_repetition().await, 0);
        let ledger = house.end().await;
        assert!(!ledger.sent[0].answers.is_empty());
        ledger
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

#[test]
fn what_a_leader_publishes_again_from_its_journal_is_known_to_the_other_node() {
    let figures = without_findings(3, async |seed| {
        let mut house = SimulatedPair::start(seed);
        house.live_through_two_takeovers().await;
        house.end().await
    });
    assert!(figures.actions > figures.commands, "{figures:?}");
}
