use std::fs;

use crate::command::Redelivery;
use crate::command::reply::{ActionIssue, Outcome, RefusalCode};
use crate::store::journal::*;
use crate::store::{Settings, open};
use crate::vocabulary::Property;
use crate::vocabulary::action::{Action, Op};

const KEEP: Duration = Duration::from_mins(1);

fn heard(payload: &str, id: Option<&str>) -> Received {
    Received {
        topic: "sayso/command/cli".into(),
        payload: payload.into(),
        response_topic: None,
        correlation: None,
        id: id.map(str::to_owned),
        until: u64::MAX / 2,
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
    }
}

fn new(entry: &JournalEntry) -> Seq {
    if let JournalEntry::New(mark) = entry {
        *mark
    } else {
        panic!("not new: {entry:?}")
    }
}

#[test]
fn the_same_id_is_a_duplicate_and_has_the_same_answer() {
    let journal = Journal::in_memory(KEEP);
    let mark = new(&journal.receive(heard("on", Some("a")), 1, Redelivery::No));
    assert_eq!(
        journal.receive(heard("on", Some("a")), 1, Redelivery::No),
        JournalEntry::Pending
    );
    journal.answered(mark, &reply());
    assert_eq!(
        journal.receive(heard("on", Some("a")), 1, Redelivery::No),
        JournalEntry::Answered(Box::new(reply()))
    );
    new(&journal.receive(heard("on", Some("b")), 1, Redelivery::No));
}

#[test]
fn equal_payloads_without_an_id_are_duplicates_only_across_a_reconnect() {
    let journal = Journal::in_memory(KEEP);
    new(&journal.receive(heard("next track", None), 1, Redelivery::No));
    new(&journal.receive(heard("next track", None), 1, Redelivery::Certain));
    assert_eq!(
        journal.receive(heard("next track", None), 2, Redelivery::Certain),
        JournalEntry::Pending
    );
    new(&journal.receive(heard("next track", None), 2, Redelivery::No));
}

#[test]
fn two_equal_ones_of_an_earlier_connection_stand_for_two_and_not_for_a_third() {
    let journal = Journal::in_memory(KEEP);
    new(&journal.receive(heard("next track", None), 1, Redelivery::No));
    new(&journal.receive(heard("next track", None), 1, Redelivery::No));
    assert_eq!(
        journal.receive(heard("next track", None), 2, Redelivery::Certain),
        JournalEntry::Pending
    );
    assert_eq!(
        journal.receive(heard("next track", None), 2, Redelivery::Certain),
        JournalEntry::Pending
    );
    new(&journal.receive(heard("next track", None), 2, Redelivery::Certain));
}

#[test]
fn who_was_told_to_come_again_is_new_when_he_does() {
    let journal = Journal::in_memory(KEEP);
    let mark = new(&journal.receive(heard("on", Some("a")), 1, Redelivery::No));
    let busy = Reply {
        retry_after: Some(1.0),
        why: Some(RefusalCode::Busy),
        ..reply()
    };
    journal.answered(mark, &busy);
    assert!(
        matches!(
            journal.receive(heard("on", Some("a")), 2, Redelivery::No),
            JournalEntry::Answered(_)
        ),
        "he has not heard it yet"
    );
    journal.told(mark);
    assert_eq!(
        journal.receive(heard("on", Some("a")), 2, Redelivery::Certain),
        JournalEntry::Answered(Box::new(busy)),
        "the broker sends it again"
    );
    let again = new(&journal.receive(heard("on", Some("a")), 2, Redelivery::No));
    journal.answered(again, &reply());
    assert_eq!(
        journal.receive(heard("on", Some("a")), 2, Redelivery::No),
        JournalEntry::Answered(Box::new(reply()))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_past_its_time_is_forgotten_once_it_is_told() {
    let journal = Journal::in_memory(KEEP);
    let hurried = |id| Received {
        until: journal.moment(Duration::from_secs(1)),
        ..heard("next", Some(id))
    };
    let (told, untold) = (
        new(&journal.receive(hurried("a"), 1, Redelivery::No)),
        new(&journal.receive(hurried("b"), 1, Redelivery::No)),
    );
    journal.answered(told, &reply());
    journal.told(told);
    journal.answered(untold, &reply());
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
        "its speaker may not have heard it"
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

#[tokio::test]
async fn a_later_life_finds_what_has_no_answer_and_what_was_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(open(&Settings::default(), &folder.path().join("store")).unwrap());
    let (journal, heritage) = Journal::open(Some(open()), KEEP).unwrap();
    assert!(heritage.unfinished.is_empty());
    let id = |id| Received {
        until: journal.moment(KEEP),
        ..heard("on", Some(id))
    };
    let [done, untold, sent] =
        ["a", "b", "c"].map(|name| new(&journal.receive(id(name), 1, Redelivery::No)));
    let sending = PlannedPublish {
        action: set("tv", Op::Set),
        becomes: None,
        topic: "t".into(),
        payload: "p".into(),
        repeatable: false,
    };
    journal.sending(sent, vec![sending.clone()]);
    let mut reply = reply();
    reply.actions = [
        ("lamp", Op::Toggle, None),
        ("fan", Op::Set, Some(RefusalCode::Superseded)),
        ("door", Op::Query, None),
    ]
    .map(|(device, op, why)| crate::command::reply::ActionReport {
        why: why.map(ActionIssue::Code),
        ..set(device, op).into()
    })
    .into();
    journal.answered(done, &reply);
    journal.told(done);
    journal.answered(untold, &reply);
    journal.close().await;
    drop(journal);
    let (journal, heritage) = Journal::open(Some(open()), KEEP).unwrap();
    let [unfinished] = &heritage.unfinished[..] else {
        panic!("{heritage:?}")
    };
    assert_eq!(
        (unfinished.mark, unfinished.deaths, &unfinished.sending),
        (sent, 1, &Some(vec![sending]))
    );
    assert!(
        unfinished.left > KEEP / 2 && unfinished.left <= KEEP,
        "{:?}",
        unfinished.left
    );
    assert_eq!(
        heritage.untold.iter().map(|u| u.mark).collect::<Vec<_>>(),
        [untold]
    );
    assert_eq!(
        heritage.heard,
        [
            ("lamp".to_owned(), done),
            ("lamp".to_owned(), untold),
            ("tv".to_owned(), sent)
        ]
    );
    assert_eq!(
        journal.receive(heard("on", Some("a")), 1, Redelivery::No),
        JournalEntry::Answered(Box::new(reply))
    );
    assert!(new(&journal.receive(heard("on", Some("d")), 1, Redelivery::No)).turn() > sent.turn());
    journal.close().await;
    drop(journal);
    let (_, heritage) = Journal::open(Some(open()), KEEP).unwrap();
    assert_eq!(heritage.unfinished[0].deaths, 2);
}

#[tokio::test]
async fn synced_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&Settings::default(), &folder.path().join("store")).unwrap());
    let (journal, _) = Journal::open(Some(store), KEEP).unwrap();
    new(&journal.receive(heard("on", None), 1, Redelivery::No));
    tokio::select! {
        () = journal.keep_synced() => unreachable!("it never ends"),
        () = journal.synced() => {}
    }
    assert!(journal.is_safe());
}

#[tokio::test(start_paused = true)]
async fn what_is_done_within_a_moment_costs_one_sync() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&Settings::default(), &folder.path().join("store")).unwrap());
    let (journal, _) = Journal::open(Some(store), KEEP).unwrap();
    tokio::select! {
        () = journal.keep_synced() => unreachable!("it never ends"),
        () = async {
            for name in ["a", "b", "c"] {
                let mark = new(&journal.receive(heard("on", Some(name)), 1, Redelivery::No));
                // The one that syncs gathers already.
                tokio::task::yield_now().await;
                journal.answered(mark, &reply());
                journal.told(mark);
                time::sleep(Duration::from_secs(1)).await;
            }
        } => {}
    }
    assert_eq!(journal.lock().syncs, 3);
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

/// Two commands, the second about to be sent and given to the kernel; then this life ends without a sync.
async fn cut_short(folder: &Path) -> (Seq, Seq) {
    let (journal, _) = Journal::open(
        Some(Arc::new(open(&Settings::default(), folder).unwrap())),
        KEEP,
    )
    .unwrap();
    let first = new(&journal.receive(heard("off", Some("a")), 1, Redelivery::No));
    let second = new(&journal.receive(heard("on", Some("b")), 1, Redelivery::No));
    journal.sending(second, vec![sending()]);
    journal.outlives().await;
    (first, second)
}

#[tokio::test]
async fn what_the_kernel_has_is_taken_up_in_the_next_life_with_all_that_was_heard_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (first, second) = cut_short(&path).await;
    let store = Arc::new(open(&Settings::default(), &path).unwrap());
    let (journal, heritage) = Journal::open(Some(Arc::clone(&store)), KEEP).unwrap();
    let unfinished: Vec<_> = heritage
        .unfinished
        .iter()
        .map(|one| (one.mark, one.sending.clone()))
        .collect();
    assert_eq!(unfinished, [(first, None), (second, Some(vec![sending()]))]);
    assert_eq!(
        journal.receive(heard("on", Some("b")), 1, Redelivery::Certain),
        JournalEntry::Pending
    );
    journal.answered(second, &reply());
    journal.outlives().await;
    journal.close().await;
    assert!(
        ["tail.0", "tail.1"]
            .iter()
            .any(|name| fs::metadata(path.join(name)).unwrap().len() == 0),
        "what is on disk is let go of"
    );
    drop((journal, store));
    let (_, heritage) = Journal::open(
        Some(Arc::new(open(&Settings::default(), &path).unwrap())),
        KEEP,
    )
    .unwrap();
    assert_eq!(
        heritage
            .unfinished
            .iter()
            .map(|one| one.mark)
            .collect::<Vec<_>>(),
        [first]
    );
    assert_eq!(
        heritage
            .untold
            .iter()
            .map(|one| one.mark)
            .collect::<Vec<_>>(),
        [second]
    );
}

#[tokio::test]
async fn a_cut_last_line_is_passed_over_and_does_not_take_the_next_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let unfinished = |heritage: Recovered| {
        heritage
            .unfinished
            .iter()
            .map(|one| one.mark)
            .collect::<Vec<_>>()
    };
    cut_short(&path).await;
    let tail = path.join("tail.0");
    let whole = fs::read(&tail).unwrap();
    fs::write(&tail, &whole[..20]).unwrap();
    let (journal, heritage) = Journal::open(
        Some(Arc::new(open(&Settings::default(), &path).unwrap())),
        KEEP,
    )
    .unwrap();
    assert_eq!(unfinished(heritage), []);
    let next = new(&journal.receive(heard("off", Some("c")), 1, Redelivery::No));
    journal.outlives().await;
    drop(journal);
    let (_, heritage) = Journal::open(
        Some(Arc::new(open(&Settings::default(), &path).unwrap())),
        KEEP,
    )
    .unwrap();
    assert_eq!(unfinished(heritage), [next]);
}

#[tokio::test]
async fn a_line_of_the_tail_that_is_not_as_it_was_written_is_counted_and_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (_, second) = cut_short(&path).await;
    let tail = path.join("tail.0");
    let text = fs::read_to_string(&tail).unwrap();
    fs::write(&tail, text.replacen("off", "on ", 1)).unwrap();
    let (_, heritage) = Journal::open(
        Some(Arc::new(open(&Settings::default(), &path).unwrap())),
        KEEP,
    )
    .unwrap();
    assert_eq!(
        heritage
            .unfinished
            .iter()
            .map(|one| one.mark)
            .collect::<Vec<_>>(),
        [second]
    );
    assert_eq!(heritage.unreadable, 1);
}
