//! Claims about a node of a pair: what it knows after a start, a lost session and a snapshot.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::pair::{ObservedMessage, Pair, PairSettings};

const KEEP: Duration = Duration::from_mins(1);

fn node(name: &str) -> Arc<Pair> {
    let settings = PairSettings {
        node: name.to_owned(),
        beat_interval: Duration::from_secs(5),
    };
    let pair = Pair::new(&settings, "s", KEEP);
    pair.keep_records();
    pair
}

fn identity(n: u16) -> CommandIdentity {
    CommandIdentity::numbered("s/command/a", n, b"next track")
}

fn observe(pair: &Pair, topic: &str, payload: &[u8], identity: Option<&str>) {
    pair.receive(ObservedMessage {
        topic,
        payload,
        identity,
        correlation: None,
        is_retained: false,
    });
}

fn observe_mark(pair: &Pair, mark: &PairMark) {
    let payload = serde_json::to_vec(mark).unwrap();
    observe(pair, "s/pair/mark", &payload, None);
}

fn begin(pair: &Pair, n: u16) {
    let mark = PairMark::Begun {
        command: identity(n),
        devices: vec!["radio".to_owned()],
        plan: json!([n]),
    };
    observe_mark(pair, &mark);
}

fn answer(pair: &Pair, n: u16) {
    observe(pair, "s/reply/a", b"{}", Some(&identity(n).to_string()));
}

/// Ends a node and starts it again, `since` after the first of its records.
fn started_again(pair: &Pair, since: Duration) -> Arc<Pair> {
    let settings = PairSettings {
        node: pair.node.clone(),
        beat_interval: Duration::from_secs(5),
    };
    let records = pair.take_records().into_iter();
    let again = Pair::new(&settings, "s", KEEP);
    again.restore(since, records.map(|record| (since / 2, record)).collect());
    again.observer_up(true);
    again
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_started_again_knows_the_progress_that_it_had_seen() {
    let pair = node("a");
    pair.observer_up(true);
    for n in 0..300 {
        begin(&pair, n);
        answer(&pair, n);
    }
    begin(&pair, 300);
    let again = started_again(&pair, KEEP);
    assert!(
        !again.is_uninformed(),
        "nothing of the last minute is missing"
    );
    for n in 0..300 {
        let progress = again.progress(identity(n));
        assert!(matches!(
            progress,
            Progress::Answered { reply: Some(_), .. }
        ));
    }
    let newest = Progress::Begun {
        plan: json!([300]),
        overtaken: vec![],
    };
    assert_eq!(again.progress(identity(300)), newest);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_records_are_younger_than_commands_is_uninformed() {
    let pair = node("a");
    pair.observer_up(true);
    begin(&pair, 1);
    assert!(started_again(&pair, KEEP / 2).is_uninformed());
    let complete = |node: &str, part, is_last| PairMark::Snapshot {
        to: node.to_owned(),
        commands: Vec::new(),
        part,
        is_last,
        is_complete: true,
    };
    observe_mark(&pair, &complete("b", 0, true));
    assert!(started_again(&pair, KEEP / 2).is_uninformed(), "for b");
    observe_mark(&pair, &complete("a", 0, true));
    assert!(!started_again(&pair, KEEP / 2).is_uninformed());
}

#[tokio::test(start_paused = true)]
async fn records_of_a_lost_session_leave_a_node_uninformed() {
    let pair = node("a");
    pair.observer_up(true);
    begin(&pair, 1);
    pair.observer_up(false);
    let again = started_again(&pair, KEEP);
    assert!(again.is_uninformed());
    assert_eq!(again.progress(identity(1)), Progress::New);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_which_a_part_is_missing_is_not_complete() {
    let old = node("b");
    old.note_informed();
    for n in 0..3000 {
        begin(&old, n);
    }
    let parts = old.snapshot("a");
    assert!(parts.len() > 2, "{}", parts.len());
    for missing in 0..=parts.len() {
        let new = node("a");
        for (_, part) in parts.iter().enumerate().filter(|(n, _)| *n != missing) {
            observe_mark(&new, part);
        }
        assert_eq!(new.is_uninformed(), missing < parts.len(), "{missing}");
    }
}
