//! Tests of the journal on a real store in a temporary folder: duplicates, restarts, damage and
//! failures of the disk.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs;
use std::path::Path;

use tokio::time;

use crate::command::Redelivery;
use crate::command::reply::{ActionIssue, Outcome, RefusalCode};
use crate::store::journal::wal::WalNote;
use crate::store::journal::*;
use crate::store::spending::{Spending, Spent};
use crate::store::{Settings, open};
use crate::vocabulary::Property;
use crate::vocabulary::action::{Action, Op};

const KEEP: Duration = Duration::from_mins(1);

fn received(payload: &str, id: Option<&str>) -> Received {
    Received {
        topic: "sayso/command/cli".into(),
        payload: payload.into(),
        response_topic: None,
        correlation: None,
        id: id.map(str::to_owned),
        packet: None,
        identity: None,
        is_dated: false,
        until: u64::MAX / 2,
    }
}

/// Returns a command without an id, in a packet with this identifier.
fn received_in(text: &str, packet: u16) -> Received {
    Received {
        packet: Some(packet),
        ..received(text, None)
    }
}

fn reply() -> Reply {
    Reply {
        id: "1".into(),
        text: "x".into(),
        outcome: Outcome::Done,
        actions: vec![],
        speech: String::new(),
        via: crate::command::reply::Via::Local,
        ms: 1.0,
        why: None,
        retry_after: None,
        scheduled: None,
    }
}

fn new(entry: &JournalEntry) -> Seq {
    if let JournalEntry::New(seq) = entry {
        *seq
    } else {
        panic!("not new: {entry:?}")
    }
}

#[test]
fn the_same_id_is_a_duplicate_and_has_the_same_answer() {
    let journal = Journal::in_memory(KEEP);
    let seq = new(&journal.receive(received("on", Some("a")), 1, Redelivery::No));
    assert_eq!(
        journal.receive(received("on", Some("a")), 1, Redelivery::No),
        JournalEntry::Pending
    );
    journal.record_reply(seq, &reply());
    assert_eq!(
        journal.receive(received("on", Some("a")), 1, Redelivery::No),
        JournalEntry::Answered(Box::new(reply()))
    );
    new(&journal.receive(received("on", Some("b")), 1, Redelivery::No));
}

#[test]
fn equal_payloads_without_an_id_are_duplicates_only_across_a_reconnect() {
    let journal = Journal::in_memory(KEEP);
    new(&journal.receive(received("next track", None), 1, Redelivery::No));
    new(&journal.receive(received("next track", None), 1, Redelivery::Certain));
    assert_eq!(
        journal.receive(received("next track", None), 2, Redelivery::Certain),
        JournalEntry::Pending
    );
    new(&journal.receive(received("next track", None), 2, Redelivery::No));
}

#[tokio::test]
async fn a_redelivery_of_an_earlier_run_is_recognised_by_its_packet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (journal, _) = open_in(&path);
    let in_packet = |packet| received_in("on", packet);
    let seq = new(&journal.receive(in_packet(5), 1, Redelivery::No));
    journal.record_reply(seq, &reply());
    journal.record_reply_ack(seq);
    journal.sync().await;
    drop(journal);
    let (journal, _) = open_in(&path);
    new(&journal.receive(in_packet(6), 1, Redelivery::Marked));
    assert!(matches!(
        journal.receive(in_packet(5), 1, Redelivery::Marked),
        JournalEntry::Answered(_)
    ));
    new(&journal.receive(in_packet(5), 2, Redelivery::No));
}

#[tokio::test]
async fn after_a_lost_session_an_equal_identifier_is_no_redelivery_for_later_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (journal, _) = open_in(&path);
    let in_packet = |text| received_in(text, 5);
    let in_new_packet = |text| received_in(text, 1);
    for text in ["on", "off"] {
        let seq = new(&journal.receive(in_packet(text), 1, Redelivery::No));
        journal.record_reply(seq, &reply());
        journal.record_reply_ack(seq);
    }
    journal.session_lost(2);
    // One that came on the new connection may be sent again.
    new(&journal.receive(in_new_packet("dim"), 2, Redelivery::No));
    journal.sync().await;
    drop(journal);
    let (journal, _) = open_in(&path);
    new(&journal.receive(in_packet("on"), 1, Redelivery::Possible));
    new(&journal.receive(in_packet("off"), 1, Redelivery::Marked));
    assert_eq!(
        journal.receive(in_new_packet("dim"), 1, Redelivery::Marked),
        JournalEntry::Pending
    );
}

#[tokio::test]
async fn a_packet_identifier_in_use_again_is_no_redelivery_of_the_command_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (journal, _) = open_in(&path);
    let in_first_packet = |text| received_in(text, 1);
    for text in ["on", "off"] {
        new(&journal.receive(in_first_packet(text), 1, Redelivery::No));
    }
    journal.sync().await;
    drop(journal);
    let (journal, _) = open_in(&path);
    new(&journal.receive(in_first_packet("on"), 1, Redelivery::Marked));
    assert_eq!(
        journal.receive(in_first_packet("off"), 1, Redelivery::Marked),
        JournalEntry::Pending
    );
}

#[test]
fn two_equal_ones_of_an_earlier_connection_stand_for_two_and_not_for_a_third() {
    let journal = Journal::in_memory(KEEP);
    new(&journal.receive(received("next track", None), 1, Redelivery::No));
    new(&journal.receive(received("next track", None), 1, Redelivery::No));
    assert_eq!(
        journal.receive(received("next track", None), 2, Redelivery::Certain),
        JournalEntry::Pending
    );
    assert_eq!(
        journal.receive(received("next track", None), 2, Redelivery::Certain),
        JournalEntry::Pending
    );
    new(&journal.receive(received("next track", None), 2, Redelivery::Certain));
}

#[test]
fn a_client_that_was_told_to_come_back_is_served_when_it_does() {
    let journal = Journal::in_memory(KEEP);
    let seq = new(&journal.receive(received("on", Some("a")), 1, Redelivery::No));
    let busy = Reply {
        retry_after: Some(1.0),
        scheduled: None,
        why: Some(RefusalCode::Busy),
        ..reply()
    };
    journal.record_reply(seq, &busy);
    assert!(
        matches!(
            journal.receive(received("on", Some("a")), 2, Redelivery::No),
            JournalEntry::Answered(_)
        ),
        "the reply is not delivered yet"
    );
    journal.record_reply_ack(seq);
    assert_eq!(
        journal.receive(received("on", Some("a")), 2, Redelivery::Certain),
        JournalEntry::Answered(Box::new(busy)),
        "the broker sends it again"
    );
    let again = new(&journal.receive(received("on", Some("a")), 2, Redelivery::No));
    journal.record_reply(again, &reply());
    assert_eq!(
        journal.receive(received("on", Some("a")), 2, Redelivery::No),
        JournalEntry::Answered(Box::new(reply()))
    );
}

#[tokio::test(start_paused = true)]
async fn a_dated_command_that_was_put_off_gets_no_more_time_when_it_comes_back() {
    let busy = Reply {
        retry_after: Some(1.0),
        why: Some(RefusalCode::NobodyAnswered),
        ..reply()
    };
    let ttl = Duration::from_secs(3);
    for is_dated in [true, false] {
        for is_pair in [true, false] {
            let journal = Journal::in_memory(KEEP);
            let receive = |until| {
                let command = Received {
                    is_dated,
                    until,
                    identity: Some("a".to_owned()),
                    ..received("on", Some("a"))
                };
                if is_pair {
                    journal.receive_in_pair(command, Redelivery::Possible)
                } else {
                    journal.receive(command, 1, Redelivery::No)
                }
            };
            for waited in [0, 2, 4] {
                let seq = new(&receive(journal.moment(ttl)));
                let first = ttl.saturating_sub(Duration::from_secs(waited));
                let left = if is_dated { first } else { ttl };
                assert_eq!(journal.remaining(seq), Some(left), "{is_dated} {is_pair}");
                journal.record_reply(seq, &busy);
                journal.record_reply_ack(seq);
                time::advance(Duration::from_secs(2)).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_is_forgotten_after_its_time_once_its_reply_is_delivered() {
    let journal = Journal::in_memory(KEEP);
    let hurried = |id| Received {
        packet: None,
        until: journal.moment(Duration::from_secs(1)),
        ..received("next", Some(id))
    };
    let (acked, unacked) = (
        new(&journal.receive(hurried("a"), 1, Redelivery::No)),
        new(&journal.receive(hurried("b"), 1, Redelivery::No)),
    );
    journal.record_reply(acked, &reply());
    journal.record_reply_ack(acked);
    journal.record_reply(unacked, &reply());
    time::advance(Duration::from_secs(59)).await;
    assert!(
        matches!(
            journal.receive(hurried("a"), 1, Redelivery::No),
            JournalEntry::Answered(_)
        ),
        "the broker may send it again as long as it keeps our session"
    );
    time::advance(Duration::from_secs(7)).await;
    new(&journal.receive(hurried("a"), 1, Redelivery::No));
    assert!(
        matches!(
            journal.receive(hurried("b"), 1, Redelivery::No),
            JournalEntry::Answered(_)
        ),
        "its reply is not delivered"
    );
}

fn set(device: &str, op: Op) -> Action {
    Action {
        device: device.into(),
        property: Property::Power,
        op,
        value: None,
    }
}

/// Returns a reply of which only the action on the lamp was published.
fn reply_about_three_devices() -> Reply {
    let actions = [
        ("lamp", Op::Toggle, None),
        ("fan", Op::Set, Some(RefusalCode::Superseded)),
        ("door", Op::Query, None),
    ];
    let actions = actions.map(|(device, op, why)| crate::command::reply::ActionReport {
        why: why.map(ActionIssue::Code),
        ..set(device, op).into()
    });
    Reply {
        actions: actions.into(),
        ..reply()
    }
}

#[tokio::test]
async fn the_next_run_finds_unfinished_commands_and_unsent_replies() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(open(&Settings::default(), &folder.path().join("store")).unwrap());
    let (journal, recovered) = Journal::open(Some(open()), KEEP).unwrap();
    assert!(recovered.unfinished.is_empty());
    let id = |id| Received {
        packet: None,
        until: journal.moment(KEEP),
        ..received("on", Some(id))
    };
    let [done, unsent, sent] =
        ["a", "b", "c"].map(|name| new(&journal.receive(id(name), 1, Redelivery::No)));
    let sending = PlannedPublish {
        action: set("tv", Op::Set),
        repeatable: false,
        ..sending()
    };
    journal.record_plan(sent, vec![sending.clone()]);
    let reply = reply_about_three_devices();
    journal.record_reply(done, &reply);
    journal.record_reply_ack(done);
    journal.record_reply(unsent, &reply);
    journal.close().await;
    drop(journal);
    let (journal, recovered) = Journal::open(Some(open()), KEEP).unwrap();
    let [unfinished] = &recovered.unfinished[..] else {
        panic!("{recovered:?}")
    };
    assert_eq!(
        (unfinished.seq, unfinished.crashes, &unfinished.sending),
        (sent, 1, &Some(vec![sending]))
    );
    assert!(
        unfinished.left > KEEP / 2 && unfinished.left <= KEEP,
        "{:?}",
        unfinished.left
    );
    assert_eq!(
        recovered.unsent.iter().map(|u| u.seq).collect::<Vec<_>>(),
        [unsent]
    );
    assert_eq!(
        recovered.commanded,
        [
            ("lamp".to_owned(), done),
            ("lamp".to_owned(), unsent),
            ("tv".to_owned(), sent)
        ]
    );
    assert_eq!(
        journal.receive(received("on", Some("a")), 1, Redelivery::No),
        JournalEntry::Answered(Box::new(reply))
    );
    assert!(
        new(&journal.receive(received("on", Some("d")), 1, Redelivery::No)).number()
            > sent.number()
    );
    journal.close().await;
    drop(journal);
    let (_, recovered) = Journal::open(Some(open()), KEEP).unwrap();
    assert_eq!(recovered.unfinished[0].crashes, 1, "it was not in progress");
}

#[tokio::test]
async fn synced_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&Settings::default(), &folder.path().join("store")).unwrap());
    let (journal, _) = Journal::open(Some(store), KEEP).unwrap();
    new(&journal.receive(received("on", None), 1, Redelivery::No));
    tokio::select! {
        () = journal.keep_synced() => unreachable!("it never ends"),
        () = journal.wait_until_synced() => {}
    }
    assert!(journal.is_safe());
}

#[tokio::test(start_paused = true)]
async fn changes_within_a_moment_cost_one_sync() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&Settings::default(), &folder.path().join("store")).unwrap());
    let (journal, _) = Journal::open(Some(store), KEEP).unwrap();
    tokio::select! {
        () = journal.keep_synced() => unreachable!("it never ends"),
        () = async {
            for name in ["a", "b", "c"] {
                let seq = new(&journal.receive(received("on", Some(name)), 1, Redelivery::No));
                // The one that syncs gathers already.
                tokio::task::yield_now().await;
                journal.record_reply(seq, &reply());
                time::sleep(Duration::from_secs(1)).await;
            }
        } => {}
    }
    assert_eq!(journal.lock().syncs, 3);
}

/// Receives a command, answers it, and has the reply delivered.
async fn finish(journal: &Journal, command: Received) -> Seq {
    finish_with(journal, command, &reply()).await
}

/// Finishes a command with this reply.
async fn finish_with(journal: &Journal, command: Received, reply: &Reply) -> Seq {
    let seq = new(&journal.receive(command, 1, Redelivery::No));
    journal.record_reply(seq, reply);
    journal.hand_to_kernel().await;
    journal.record_reply_ack(seq);
    seq
}

#[tokio::test(start_paused = true)]
async fn a_finished_command_costs_no_sync_and_is_known_to_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(folder.path());
    tokio::select! {
        () = journal.keep_synced() => unreachable!("it never ends"),
        () = async {
            for name in ["a", "b", "c"] {
                let seq = finish(&journal, received("on", Some(name))).await;
                let changes = journal.changes();
                assert!(journal.is_kept(Some(seq), changes));
                assert!(!journal.is_kept(None, changes));
                time::sleep(Duration::from_secs(1)).await;
                assert!(journal.is_kept(None, changes));
            }
        } => {}
    }
    // The clocks are written once in each run.
    assert_eq!(journal.lock().syncs, 1);
    drop(journal);
    let (journal, recovered) = open_in(folder.path());
    assert!(recovered.unfinished.is_empty() && recovered.unsent.is_empty());
    for name in ["a", "b", "c"] {
        let again = journal.receive(received("on", Some(name)), 1, Redelivery::No);
        assert!(matches!(again, JournalEntry::Answered(_)), "{again:?}");
    }
}

/// Has commands in progress all the time, each for 5 ms.
async fn keep_in_progress(journal: &Journal, count: usize) {
    let mut in_progress = VecDeque::new();
    for n in 0..count {
        let command = received("on", Some(&n.to_string()));
        in_progress.push_back(new(&journal.receive(command, 1, Redelivery::No)));
        if in_progress.len() < 64 {
            continue;
        }
        let seq = in_progress.pop_front().unwrap();
        journal.record_reply(seq, &reply());
        journal
            .wait_until_record_persisted(seq, Durability::Kernel)
            .await;
        journal.record_reply_ack(seq);
        if n % 64 == 0 {
            time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_quick_commands_costs_no_sync() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(folder.path());
    tokio::select! {
        () = journal.keep_synced() => unreachable!("it never ends"),
        () = keep_in_progress(&journal, 16_000) => {}
    }
    // The clocks are written once in each run.
    assert_eq!(journal.lock().syncs, 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_command_in_a_flood_is_on_disk_within_twice_the_usual_time() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(folder.path());
    tokio::select! {
        () = journal.keep_synced() => unreachable!("it never ends"),
        () = keep_in_progress(&journal, 100_000) => unreachable!("it takes longer"),
        () = async {
            time::sleep(Duration::from_millis(50)).await;
            let slow = new(&journal.receive(received("ask", Some("slow")), 1, Redelivery::No));
            let began = time::Instant::now();
            journal.wait_until_kept(Some(slow), journal.changes(), true).await;
            assert!(began.elapsed() < Duration::from_millis(450), "{:?}", began.elapsed());
            assert!(!journal.lock().unwritten.contains(&slow.number()));
        } => {}
    }
}

/// Finishes a command that sets a device.
async fn finish_setting_lamp(journal: &Journal, command: Received) -> Seq {
    let reply = Reply {
        actions: vec![set("lamp", Op::Set).into()],
        ..reply()
    };
    finish_with(journal, command, &reply).await
}

#[tokio::test]
async fn a_finished_command_is_on_disk_where_the_disk_has_an_older_one_unfinished() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(folder.path());
    new(&journal.receive(received("on", Some("older")), 1, Redelivery::No));
    let before = finish_setting_lamp(&journal, received("off", Some("newer"))).await;
    let changes = journal.changes();
    assert!(!journal.lock().unwritten.contains(&before.number()));
    assert!(!journal.is_kept(Some(before), changes));
    journal.sync().await;
    assert!(journal.lock().known[&before.number()].is_written);
    let after = finish_setting_lamp(&journal, received("off", Some("newest"))).await;
    assert!(journal.lock().unwritten.contains(&after.number()));
}

#[tokio::test]
async fn commands_that_finish_in_any_order_need_no_sync() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(folder.path());
    let older = new(&journal.receive(received("on", Some("older")), 1, Redelivery::No));
    let newer = finish_setting_lamp(&journal, received("off", Some("newer"))).await;
    let changes = journal.changes();
    assert!(!journal.is_kept(Some(newer), changes));
    journal.record_reply(older, &reply());
    journal.hand_to_kernel().await;
    journal.record_reply_ack(older);
    assert!(journal.is_kept(Some(older), changes) && journal.is_kept(Some(newer), changes));
    assert_eq!(journal.lock().syncs, 0);
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_command_does_not_hold_back_many_others_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(folder.path());
    tokio::select! {
        () = journal.keep_synced() => unreachable!("it never ends"),
        () = async {
            let began = time::Instant::now();
            new(&journal.receive(received("ask", Some("slow")), 1, Redelivery::No));
            let mut last = None;
            for name in 0..20 {
                last = Some(finish(&journal, received("on", Some(&name.to_string()))).await);
                time::sleep(Duration::from_millis(1)).await;
            }
            journal.wait_until_kept(last, journal.changes(), true).await;
            assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
        } => {}
    }
}

#[tokio::test]
async fn the_log_stays_small_and_the_disk_has_what_it_drops() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(folder.path());
    let text = "x".repeat(1000);
    for n in 0..8000 {
        finish(&journal, received(&text, Some(&n.to_string()))).await;
        if n % 200 == 0 {
            journal.sync().await;
        }
    }
    journal.sync().await;
    for name in ["tail.0", "tail.1"] {
        let bytes = fs::metadata(folder.path().join(name)).unwrap().len();
        assert!(bytes < 9 << 20, "{name}: {bytes}");
    }
    let remembered = journal.counts().0;
    drop(journal);
    let (journal, recovered) = open_in(folder.path());
    assert_eq!(recovered.unreadable, 0);
    assert!(recovered.unfinished.is_empty() && recovered.unsent.is_empty());
    assert!(
        journal.counts().0 >= remembered.min(1000),
        "{:?}",
        journal.counts()
    );
    let again = journal.receive(received(&text, Some("7999")), 1, Redelivery::No);
    assert!(matches!(again, JournalEntry::Answered(_)), "{again:?}");
}

#[tokio::test]
async fn the_payload_of_a_long_command_is_not_written_with_its_reply() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(folder.path());
    let command = || received(&"x".repeat(16 << 10), Some("long"));
    let seq = new(&journal.receive(command(), 1, Redelivery::No));
    journal.record_reply(seq, &reply());
    journal.hand_to_kernel().await;
    let bytes = fs::metadata(folder.path().join("tail.0")).unwrap().len();
    assert!(bytes < 1000, "{bytes}");
    drop(journal);
    let (journal, recovered) = open_in(folder.path());
    assert_eq!(recovered.unsent.len(), 1);
    let again = journal.receive(command(), 1, Redelivery::No);
    assert_eq!(again, JournalEntry::Answered(Box::new(reply())));
}

#[tokio::test]
async fn a_finished_command_is_the_same_for_later_runs_without_its_payload() {
    let folder = tempfile::tempdir().unwrap();
    let correlated = |data: &[u8]| Received {
        correlation: Some(data.to_vec()),
        ..received("on", None)
    };
    let commands = || {
        [
            received("on", Some("a")),
            correlated(b"b"),
            received_in("off", 7),
        ]
    };
    {
        let (journal, _) = open_in(folder.path());
        for command in commands() {
            finish(&journal, command).await;
        }
        journal.hand_to_kernel().await;
    }
    for other in ["b", "c"] {
        let (journal, _) = open_in(folder.path());
        for command in commands() {
            let again = journal.receive(command, 1, Redelivery::Marked);
            assert_eq!(again, JournalEntry::Answered(Box::new(reply())));
        }
        new(&journal.receive(received("on", Some(other)), 1, Redelivery::No));
        {
            let index = journal.lock();
            let finished = index.known.values().filter(|known| known.is_finished());
            let payloads: Vec<_> = finished
                .map(|known| known.stored().received.payload.len())
                .collect();
            assert_eq!(payloads, [0; 3]);
        }
        // The next run finds it on disk.
        journal.close().await;
    }
}

#[test]
fn a_record_written_by_the_version_before_is_read() {
    let text = br#"{"received":{"topic":"sayso/command/cli","payload":"on","id":"a","until":9},
        "heard":3,"answer":{"id":"a","text":"on","outcome":"done","actions":[],"speech":"",
        "via":"local","ms":1.0},"told":true}"#;
    let record = JournalRecord::read(text).unwrap();
    assert_eq!(
        record.keys(),
        JournalRecord::new(received("on", Some("a")), 0).keys()
    );
    assert!(record.reply_acked && record.reply().is_some());
    let mut written = Vec::new();
    record.write_to(&mut written).unwrap();
    assert_eq!(JournalRecord::read(&written), Some(record));
}

#[test]
fn the_devices_of_a_command_are_its_own_until_a_later_one_commands_them() {
    let journal = Journal::in_memory(KEEP);
    let answered = |id: &str, devices: &[&str]| {
        let reply = Reply {
            actions: devices
                .iter()
                .map(|device| set(device, Op::Set).into())
                .collect(),
            ..reply()
        };
        let seq = new(&journal.receive(received("on", Some(id)), 1, Redelivery::No));
        journal.record_reply(seq, &reply);
        journal.record_reply_ack(seq);
        seq.number()
    };
    let first = answered("a", &["lamp", "lamp", "door"]);
    let second = answered("b", &["lamp"]);
    let newest_of = |number| journal.lock().known[&number].newest_of;
    assert_eq!((newest_of(first), newest_of(second)), (1, 1));
    let third = answered("c", &["lamp", "door"]);
    assert_eq!([first, second, third].map(newest_of), [0, 0, 2]);
}

/// Forgets everything that can be forgotten, and syncs.
async fn forget_all(journal: &Journal) {
    journal.lock().forget_old(u64::MAX);
    assert_eq!(journal.counts().0, 0);
    journal.sync().await;
}

#[tokio::test]
async fn a_command_that_a_later_run_finished_does_not_come_back_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(folder.path());
    let answered = new(&journal.receive(received("on", Some("a")), 1, Redelivery::No));
    journal.record_reply(answered, &reply());
    let planned = new(&journal.receive(received("off", Some("b")), 1, Redelivery::No));
    journal.record_plan(planned, vec![sending()]);
    journal.hand_to_kernel().await;
    drop(journal);
    let (journal, recovered) = open_in(folder.path());
    assert_eq!((recovered.unsent.len(), recovered.unfinished.len()), (1, 1));
    journal.record_reply_ack(answered);
    journal.record_reply(planned, &reply());
    journal.record_reply_ack(planned);
    journal.sync().await;
    forget_all(&journal).await;
    drop(journal);
    let (journal, recovered) = open_in(folder.path());
    assert!(recovered.unsent.is_empty() && recovered.unfinished.is_empty());
    let next = new(&journal.receive(received("on", Some("c")), 1, Redelivery::No));
    assert!(next > planned, "a number is not used again");
}

#[tokio::test]
async fn a_finished_command_is_kept_by_the_broker_until_the_disk_has_the_end_of_older_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(folder.path());
    let older = new(&journal.receive(received("on", Some("older")), 1, Redelivery::No));
    journal.sync().await;
    journal.record_reply(older, &reply());
    let newer = finish(&journal, received("off", Some("newer"))).await;
    let changes = journal.changes();
    assert!(!journal.is_kept(Some(newer), changes));
    journal.sync().await;
    assert!(journal.is_kept(Some(newer), changes));
}

#[tokio::test]
async fn what_others_write_is_synced_with_finished_commands_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(folder.path());
    journal.sync().await;
    let syncs = journal.lock().syncs;
    finish(&journal, received("on", Some("a"))).await;
    journal.sync().await;
    assert_eq!(journal.lock().syncs, syncs);
    let spending = Spending::open(&journal.store().unwrap()).unwrap();
    spending.write("provider", Spent::default()).unwrap();
    finish(&journal, received("on", Some("b"))).await;
    journal.sync().await;
    assert_eq!(journal.lock().syncs, syncs + 1);
}

#[tokio::test]
async fn a_forgotten_command_does_not_come_back_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(folder.path());
    let command = of_a_pair("on", "it");
    new(&journal.receive_in_pair(command.clone(), Redelivery::No));
    journal.hand_to_kernel().await;
    journal.set_aside();
    let seq = new(&journal.receive_in_pair(command, Redelivery::Certain));
    journal.hand_to_kernel().await;
    drop(journal);
    let (_, recovered) = open_in(folder.path());
    let marks: Vec<Seq> = recovered.unfinished.iter().map(|one| one.seq).collect();
    assert_eq!(marks, [seq]);
}

fn sending() -> PlannedPublish {
    let action = Action {
        device: "lamp".into(),
        property: Property::Power,
        op: Op::Set,
        value: None,
    };
    PlannedPublish {
        action,
        becomes: None,
        topic: "lamp/set".into(),
        payload: "ON".into(),
        repeatable: true,
    }
}

/// Records two commands, the second with a planned message, hands them to the kernel, and ends this
/// run without a sync.
async fn cut_short(folder: &Path) -> (Seq, Seq) {
    let (journal, _) = Journal::open(
        Some(Arc::new(open(&Settings::default(), folder).unwrap())),
        KEEP,
    )
    .unwrap();
    let first = new(&journal.receive(received("off", Some("a")), 1, Redelivery::No));
    let second = new(&journal.receive(received("on", Some("b")), 1, Redelivery::No));
    journal.record_plan(second, vec![sending()]);
    journal.hand_to_kernel().await;
    (first, second)
}

#[tokio::test]
async fn records_handed_to_the_kernel_survive_the_process_with_all_before_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (first, second) = cut_short(&path).await;
    let store = Arc::new(open(&Settings::default(), &path).unwrap());
    let (journal, recovered) = Journal::open(Some(Arc::clone(&store)), KEEP).unwrap();
    let unfinished: Vec<_> = recovered
        .unfinished
        .iter()
        .map(|one| (one.seq, one.sending.clone()))
        .collect();
    assert_eq!(unfinished, [(first, None), (second, Some(vec![sending()]))]);
    assert_eq!(
        journal.receive(received("on", Some("b")), 1, Redelivery::Certain),
        JournalEntry::Pending
    );
    journal.record_reply(second, &reply());
    journal.hand_to_kernel().await;
    journal.close().await;
    assert!(
        ["tail.0", "tail.1"]
            .iter()
            .any(|name| fs::metadata(path.join(name)).unwrap().len() == 0),
        "records on disk are removed"
    );
    drop((journal, store));
    let (_, recovered) = Journal::open(
        Some(Arc::new(open(&Settings::default(), &path).unwrap())),
        KEEP,
    )
    .unwrap();
    assert_eq!(
        recovered
            .unfinished
            .iter()
            .map(|one| one.seq)
            .collect::<Vec<_>>(),
        [first]
    );
    assert_eq!(
        recovered
            .unsent
            .iter()
            .map(|one| one.seq)
            .collect::<Vec<_>>(),
        [second]
    );
}

#[tokio::test]
async fn a_cut_last_line_is_ignored_and_does_not_spoil_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let unfinished = |recovered: Recovered| {
        recovered
            .unfinished
            .iter()
            .map(|one| one.seq)
            .collect::<Vec<_>>()
    };
    cut_short(&path).await;
    let tail = path.join("tail.0");
    let whole = fs::read(&tail).unwrap();
    fs::write(&tail, &whole[..20]).unwrap();
    let (journal, recovered) = Journal::open(
        Some(Arc::new(open(&Settings::default(), &path).unwrap())),
        KEEP,
    )
    .unwrap();
    assert_eq!(unfinished(recovered), []);
    let next = new(&journal.receive(received("off", Some("c")), 1, Redelivery::No));
    journal.hand_to_kernel().await;
    drop(journal);
    let (_, recovered) = Journal::open(
        Some(Arc::new(open(&Settings::default(), &path).unwrap())),
        KEEP,
    )
    .unwrap();
    assert_eq!(unfinished(recovered), [next]);
}

#[tokio::test]
async fn a_damaged_line_is_counted_and_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (_, second) = cut_short(&path).await;
    let tail = path.join("tail.0");
    let text = fs::read_to_string(&tail).unwrap();
    fs::write(&tail, text.replacen("off", "on ", 1)).unwrap();
    let (_, recovered) = Journal::open(
        Some(Arc::new(open(&Settings::default(), &path).unwrap())),
        KEEP,
    )
    .unwrap();
    assert_eq!(
        recovered
            .unfinished
            .iter()
            .map(|one| one.seq)
            .collect::<Vec<_>>(),
        [second]
    );
    assert_eq!(recovered.unreadable, 1);
}

#[test]
fn the_same_id_with_another_payload_is_another_command() {
    let journal = Journal::in_memory(KEEP);
    let on = new(&journal.receive(received("on", Some("1")), 1, Redelivery::No));
    journal.record_reply(on, &reply());
    new(&journal.receive(received("off", Some("1")), 1, Redelivery::No));
    let with = |payload: &str| Received {
        correlation: Some(b"constant".to_vec()),
        ..received(payload, None)
    };
    new(&journal.receive(with("on"), 1, Redelivery::No));
    new(&journal.receive(with("off"), 1, Redelivery::No));
    assert_eq!(
        journal.receive(with("on"), 1, Redelivery::No),
        JournalEntry::Pending
    );
}

/// Answers this many commands of a source called `flood`, each longer than the part that is kept.
fn flood(journal: &Journal, commands: usize) {
    for n in 0..commands {
        let command = Received {
            topic: "sayso/command/flood".into(),
            ..received(&"x".repeat(1100), Some(&n.to_string()))
        };
        answer(journal, command, &reply());
    }
}

fn answer(journal: &Journal, command: Received, reply: &Reply) {
    let seq = new(&journal.receive(command, 1, Redelivery::No));
    journal.record_reply(seq, reply);
    journal.record_reply_ack(seq);
}

#[test]
fn a_flood_does_not_displace_what_is_remembered_of_other_sources() {
    let journal = Journal::in_memory(KEEP);
    let command = || received("next track", Some("1"));
    answer(&journal, command(), &reply());
    flood(&journal, 20_000);
    assert_eq!(
        journal.receive(command(), 1, Redelivery::No),
        JournalEntry::Answered(Box::new(reply()))
    );
}

#[tokio::test]
async fn after_a_flood_and_a_crash_it_is_known_which_command_a_device_received_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (journal, _) = open_in(&path);
    let older = new(&journal.receive(received("lights", Some("1")), 1, Redelivery::No));
    let done = Reply {
        actions: vec![set("lamp", Op::Set).into()],
        ..reply()
    };
    let flooding = Received {
        topic: "sayso/command/flood".into(),
        ..received("on", Some("2"))
    };
    answer(&journal, flooding, &done);
    flood(&journal, 20_000);
    journal.close().await;
    drop(journal);
    let (_, recovered) = open_in(&path);
    let unfinished: Vec<_> = recovered.unfinished.iter().map(|one| one.seq).collect();
    assert_eq!(unfinished, [older]);
    assert!(
        recovered
            .commanded
            .iter()
            .any(|(device, newer)| device == "lamp" && *newer > older)
    );
}

#[tokio::test]
async fn a_long_command_is_recognised_after_a_restart_although_its_text_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (journal, _) = open_in(&path);
    let command = |id| received(&"x".repeat(8 << 10), Some(id));
    answer(&journal, command("1"), &reply());
    journal.close().await;
    drop(journal);
    let (journal, _) = open_in(&path);
    assert_eq!(
        journal.receive(command("1"), 1, Redelivery::No),
        JournalEntry::Answered(Box::new(reply()))
    );
    new(&journal.receive(command("2"), 1, Redelivery::No));
}

#[test]
fn the_journal_is_bounded_in_bytes() {
    let journal = Journal::in_memory(KEEP);
    let long = "x".repeat(16 << 10);
    flood(&journal, 20_000);
    let (remembered, _) = journal.counts();
    assert!((5000..20_000).contains(&remembered), "{remembered}");
    assert!(remembered * 224 <= 5 << 19, "{remembered}");
    assert!(journal.has_room());
    for n in 2000..2600 {
        journal.receive(received(&long, Some(&n.to_string())), 1, Redelivery::No);
    }
    assert!(!journal.has_room(), "unanswered commands are not forgotten");
}

/// Opens the journal in `folder`; returns it with the data of an earlier run.
fn open_in(folder: &Path) -> (Journal, Recovered) {
    let store = open(&Settings::default(), folder).unwrap();
    Journal::open(Some(Arc::new(store)), KEEP).unwrap()
}

#[tokio::test]
async fn a_new_run_takes_an_equal_command_for_a_redelivery_only_if_it_was_not_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (journal, _) = open_in(&path);
    let mut marks = ["on", "off"]
        .map(|text| new(&journal.receive(received(text, None), 1, Redelivery::No)))
        .into_iter();
    let acknowledged = marks.next().unwrap();
    for seq in [acknowledged, marks.next().unwrap()] {
        journal.record_reply(seq, &reply());
        journal.record_reply_ack(seq);
    }
    journal.note_ack_sent(acknowledged);
    journal.close().await;
    drop(journal);
    let (journal, _) = open_in(&path);
    new(&journal.receive(received("on", None), 1, Redelivery::Possible));
    assert!(matches!(
        journal.receive(received("on", None), 2, Redelivery::Marked),
        JournalEntry::Answered(_)
    ));
    assert!(matches!(
        journal.receive(received("off", None), 1, Redelivery::Possible),
        JournalEntry::Answered(_)
    ));
}

#[tokio::test]
async fn opening_drops_commands_whose_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = || Some(Arc::new(open(&Settings::default(), &path).unwrap()));
    let (journal, _) = Journal::open(store(), Duration::ZERO).unwrap();
    for id in ["old", "new"] {
        let until = match id {
            "old" => 0,
            _ => journal.moment(KEEP),
        };
        let command = Received {
            packet: None,
            until,
            ..received("on", Some(id))
        };
        let seq = new(&journal.receive(command, 1, Redelivery::No));
        journal.record_reply(seq, &reply());
        journal.record_reply_ack(seq);
    }
    // The reception time of both is recorded as now: with no time to keep, only the grace of 5 s
    // remains.
    journal.lock().known.values_mut().for_each(|known| {
        let received_at = known.received_at_mut();
        *received_at = received_at.saturating_sub(60_000);
    });
    journal.close().await;
    drop(journal);
    let (journal, _) = Journal::open(store(), Duration::ZERO).unwrap();
    assert_eq!(journal.counts().0, 1);
}

#[tokio::test]
async fn only_the_command_whose_code_ran_is_taken_for_the_cause_of_crashes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (journal, _) = open_in(&path);
    let command = |id| Received {
        packet: None,
        until: journal.moment(KEEP),
        ..received("on", Some(id))
    };
    let innocent = new(&journal.receive(command("innocent"), 1, Redelivery::No));
    let culprit = new(&journal.receive(command("culprit"), 1, Redelivery::No));
    journal.close().await;
    drop(journal);
    for crashes in 1..=MAX_CRASHES {
        let (journal, recovered) = open_in(&path);
        let counted: Vec<_> = recovered
            .unfinished
            .iter()
            .map(|one| (one.seq, one.crashes))
            .collect();
        assert_eq!(counted, [(innocent, 1), (culprit, crashes)]);
        let journal = Arc::new(journal);
        let harmless = Arc::clone(&journal).attribute(innocent, async {});
        harmless.await;
        // The run ends while the code of this command runs.
        journal.mark_running(Some(culprit));
        journal.sync().await;
    }
}

#[tokio::test]
async fn records_of_a_store_that_could_only_be_opened_later_are_recovered_behind_no_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (journal, _) = open_in(&path);
    let command = Received {
        packet: None,
        until: journal.moment(KEEP),
        ..received("on", Some("old"))
    };
    let old = new(&journal.receive(command, 1, Redelivery::No));
    journal.close().await;
    drop(journal);
    let journal = Journal::waiting(Settings::default(), path.clone(), KEEP);
    let newer = new(&journal.receive(received("off", Some("newer")), 1, Redelivery::No));
    journal.reopen().await;
    let recovered = journal.recovered_late().await;
    let [unfinished] = &recovered.unfinished[..] else {
        panic!("{recovered:?}")
    };
    assert_eq!(unfinished.seq, old);
    assert!(old < newer && unfinished.left > KEEP / 2 && unfinished.left <= KEEP);
    assert!(journal.is_safe());
    drop(journal);
    let (_, recovered) = open_in(&path);
    let marks: Vec<_> = recovered.unfinished.iter().map(|one| one.seq).collect();
    assert_eq!(marks, [old, newer]);
}

#[test]
fn a_line_cut_by_a_full_disk_does_not_spoil_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (mut wal, _) = Wal::open(folder.path(), None).unwrap();
    wal.append([(1, record("first"))].into_iter(), &[]).unwrap();
    wal.tear();
    wal.append([(2, record("second"))].into_iter(), &[])
        .unwrap();
    let (_, remainder) = Wal::open(folder.path(), None).unwrap();
    assert_eq!(remainder.records.into_keys().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(remainder.unreadable, 1);
}

fn record(payload: &str) -> Cow<'static, JournalRecord> {
    Cow::Owned(JournalRecord::new(received(payload, None), 0))
}

#[test]
fn of_two_states_in_two_files_the_one_in_the_newer_file_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (mut wal, _) = Wal::open(folder.path(), Some("boot")).unwrap();
    wal.append([(1, record("first"))].into_iter(), &[]).unwrap();
    for number in 2..200 {
        wal.append([(number, record("other"))].into_iter(), &[])
            .unwrap();
    }
    wal.turn(Some(1));
    wal.append([(1, record("second"))].into_iter(), &[(2, WalNote::Gone)])
        .unwrap();
    drop(wal);
    let (_, remainder) = Wal::open(folder.path(), Some("boot")).unwrap();
    assert_eq!(remainder.records[&1], *record("second"));
    assert!(!remainder.records.contains_key(&2) && remainder.gone.contains(&2));
    let (_, remainder) = Wal::open(folder.path(), Some("next boot")).unwrap();
    assert!(remainder.records.is_empty() && remainder.unreadable == 0);
}

#[tokio::test]
async fn a_store_is_opened_again_while_others_keep_its_trees() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (journal, _) = open_in(&path);
    let kept = journal.store().unwrap().tree("kept").unwrap();
    kept.get().unwrap().insert("k", "v").unwrap();
    new(&journal.receive(received("on", Some("a")), 1, Redelivery::No));
    journal.health.send_replace(Health::Failing);
    journal.reopen().await;
    assert!(journal.is_safe(), "the store is open again");
    assert!(kept.get().is_none(), "the old tree is released");
    let tree = journal.store().unwrap().tree("kept").unwrap();
    let value = tree.get().unwrap().get("k").unwrap();
    assert_eq!(value.as_deref(), Some(b"v".as_slice()));
}

#[tokio::test(start_paused = true)]
async fn many_commands_of_an_earlier_run_do_not_wait_for_each_other_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (journal, _) = open_in(&path);
    for n in 0..50 {
        let received = Received {
            packet: None,
            until: journal.moment(KEEP),
            ..received("a question", Some(&n.to_string()))
        };
        new(&journal.receive(received, 1, Redelivery::No));
    }
    journal.hand_to_kernel().await;
    drop(journal);
    let (journal, recovered) = open_in(&path);
    let (journal, begun) = (Arc::new(journal), Arc::new(Mutex::new(0)));
    let mut commands = tokio::task::JoinSet::new();
    for unfinished in &recovered.unfinished {
        let begun = Arc::clone(&begun);
        let at_a_model = async move {
            *begun.lock() += 1;
            std::future::pending::<()>().await;
        };
        commands.spawn(Arc::clone(&journal).attribute(unfinished.seq, at_a_model));
    }
    time::sleep(Duration::from_secs(5)).await;
    assert_eq!(*begun.lock(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_is_never_woken_is_ended_by_another_flush_and_the_store_works_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (journal, _) = open_in(&path);
    let journal = Arc::new(journal);
    let mut health = journal.health();
    let syncing = Arc::clone(&journal);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { syncing.keep_synced().await });
    simulated_disk::lose_wake_up();
    new(&journal.receive(received("on", Some("a")), 1, Redelivery::No));
    for state in [Health::Failing, Health::Safe] {
        let reached = health.wait_for(|now| *now == state);
        timeout(Duration::from_mins(1), reached)
            .await
            .expect("the store works again")
            .unwrap();
    }
    journal.wait_until_synced().await;
    drop(tasks);
}

/// Checks a store that never closes. A page too large for sled's log, whose own file cannot be
/// written, is a place in the log that is never completed, and everything that flushes the store
/// waits for ever.
#[tokio::test]
async fn a_store_that_never_closes_is_left_behind_and_works_again_with_all_commands() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (journal, _) = open_in(&path);
    let long = "on ".repeat(5000);
    let ids: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    for id in &ids {
        new(&journal.receive(received(&long, Some(id)), 1, Redelivery::No));
    }
    fs::remove_dir_all(path.join("blobs")).unwrap();
    journal.sync().await;
    assert_eq!(*journal.health().borrow(), Health::Failing);
    fs::create_dir(path.join("blobs")).unwrap();
    timeout(Duration::from_mins(1), journal.reopen())
        .await
        .expect("the store is opened again, whatever its predecessor waits for");
    assert_eq!(*journal.health().borrow(), Health::Safe);
    assert_eq!(*journal.left_behind.lock(), 1);
    drop(journal);
    let (journal, recovered) = open_in(&path);
    assert_eq!(recovered.unfinished.len(), ids.len());
    for id in &ids {
        let entry = journal.receive(received(&long, Some(id)), 1, Redelivery::No);
        assert_eq!(entry, JournalEntry::Pending);
    }
}

#[tokio::test]
async fn others_have_their_turn_between_two_commands_of_an_earlier_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (journal, _) = open_in(&path);
    for name in ["a", "b", "c", "d", "e"] {
        new(&journal.receive(received("on", Some(name)), 1, Redelivery::No));
    }
    journal.sync().await;
    drop(journal);
    let (journal, recovered) = open_in(&path);
    let journal = Arc::new(journal);
    let turns = Arc::new(Mutex::new(String::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for unfinished in recovered.unfinished {
        let (journal, turns) = (Arc::clone(&journal), Arc::clone(&turns));
        tasks.spawn(async move {
            journal.persist_if_suspect(unfinished.seq).await;
            turns.lock().push('c');
        });
    }
    let mut others = tokio::task::JoinSet::new();
    let seen = Arc::clone(&turns);
    others.spawn(async move {
        loop {
            seen.lock().push('o');
            tokio::task::yield_now().await;
        }
    });
    tokio::task::yield_now().await;
    journal.sync().await;
    while tasks.join_next().await.is_some() {}
    let turns = turns.lock();
    assert_eq!(turns.matches('c').count(), 5, "{turns}");
    assert!(!turns.contains("cc"), "{turns}");
}

fn of_a_pair(payload: &str, identity: &str) -> Received {
    Received {
        identity: Some(identity.to_owned()),
        ..received(payload, None)
    }
}

#[tokio::test]
async fn a_begun_command_of_a_pair_is_known_by_its_identity_to_later_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    {
        let (journal, _) = open_in(&path);
        let receive = |identity| journal.receive_in_pair(of_a_pair("on", identity), Redelivery::No);
        let [begun, unsent, done] = ["begun", "unsent", "done"].map(|name| new(&receive(name)));
        journal.record_plan(begun, vec![sending()]);
        journal.record_reply(unsent, &reply());
        journal.record_reply(done, &reply());
        journal.record_reply_ack(done);
        journal.hand_to_kernel().await;
    }
    // It ends twice before the broker has sent anything again.
    for _ in 0..2 {
        let (journal, recovered) = open_in(&path);
        assert_eq!(recovered.unfinished.len(), 1);
        journal.set_earlier_aside();
        let known: Vec<_> = journal
            .identified()
            .into_iter()
            .map(|one| (one.identity, one.sending.is_some(), one.reply.is_some()))
            .collect();
        let expected = [
            ("begun", true, false),
            ("unsent", false, false),
            ("done", false, true),
        ];
        assert_eq!(known, expected.map(|(name, a, b)| (name.to_owned(), a, b)));
        journal.hand_to_kernel().await;
    }
    let (journal, _) = open_in(&path);
    journal.set_earlier_aside();
    let again = |identity| journal.receive_in_pair(of_a_pair("on", identity), Redelivery::Certain);
    assert!(matches!(again("unsent"), JournalEntry::Answered(_)));
    let begun = new(&again("begun"));
    assert!(journal.crashes(begun) > 0, "the crash is counted for it");
    assert_eq!(again("begun"), JournalEntry::Pending);
    let fresh = journal.receive_in_pair(of_a_pair("on", "done"), Redelivery::No);
    assert!(
        matches!(fresh, JournalEntry::New(_)),
        "a packet identifier is used again"
    );
}

#[tokio::test]
async fn commands_of_a_pair_that_were_set_aside_are_taken_back_or_forgotten() {
    time::pause();
    let journal = Journal::in_memory(KEEP);
    let until = journal.moment(KEEP);
    let command = |name: &str| Received {
        until,
        ..of_a_pair(&"x".repeat(1000), name)
    };
    let receive = |name: &str| new(&journal.receive_in_pair(command(name), Redelivery::No));
    let answered = receive("answered");
    receive("open");
    journal.record_reply(answered, &reply());
    assert_eq!(journal.set_aside(), 2);
    let taken = journal.take_back();
    assert_eq!((taken.unfinished.len(), taken.unsent.len()), (1, 1));
    assert!(taken.unfinished[0].left > KEEP / 2);
    assert_eq!(journal.set_aside(), 2);
    time::advance(KEEP * 2).await;
    receive("later");
    assert_eq!(journal.counts().0, 1, "nothing is kept for ever");
}
