//! The size of the store over many commands.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sayso::testing::command::Redelivery;
use sayso::testing::command::reply::{Outcome, Reply, Via};
use sayso::testing::store::journal::{Journal, JournalEntry, Received};
use sayso::testing::store::{Settings, open};

use crate::{BenchError, say};

/// The number of commands, of commands per sync, and of commands between two outputs.
const COMMANDS: u32 = 1_000_000;
const AT_ONCE: u32 = 64;
const TOLD: u32 = 100_000;

pub(crate) async fn grow() -> Result<(), BenchError> {
    let folder = tempfile::Builder::new()
        .prefix("journal-growth-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = folder.path().join("store");
    let (journal, _) = Journal::open(
        Some(Arc::new(open(&Settings::default(), &path)?)),
        Duration::from_mins(1),
    )?;
    let mut largest = 0;
    for n in 1..=COMMANDS {
        command(&journal, n);
        if n % AT_ONCE == 0 {
            journal.close().await;
        }
        if n % TOLD == 0 {
            let bytes = size(&path)?;
            largest = largest.max(bytes);
            say(&format!(
                "after {n:>9} commands: {:>7.1} MiB, {} remembered",
                mib(bytes),
                journal.counts().0
            ));
        }
    }
    drop(journal);
    say(&format!(
        "largest {:.1} MiB, after the end {:.1} MiB",
        mib(largest),
        mib(size(&path)?)
    ));
    Ok(())
}

/// The path from receipt to the acknowledged reply.
fn command(journal: &Journal, n: u32) {
    let text = format!("turn on the kitchen light, number {n}");
    let received = Received {
        topic: "sayso/command/panel".into(),
        payload: text.clone().into_bytes(),
        response_topic: Some("sayso/reply/panel".into()),
        correlation: None,
        id: Some(n.to_string()),
        packet: None,
        identity: None,
        is_dated: false,
        until: journal.moment(Duration::from_mins(1)),
    };
    let JournalEntry::New(seq) = journal.receive(received, 1, Redelivery::No) else {
        return;
    };
    let (id, speech, via) = (n.to_string(), "Kitchen light: on.".into(), Via::Local);
    let reply = Reply {
        id: id.into(),
        text: text.into(),
        outcome: Outcome::Done,
        actions: Vec::new(),
        speech,
        via,
        ms: 0.3,
        why: None,
        retry_after: None,
        scheduled: None,
    };
    journal.record_reply(seq, &reply);
    journal.record_reply_ack(seq);
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn size(path: &Path) -> Result<u64, BenchError> {
    fs::read_dir(path)?
        .map(|entry| Ok(entry?.metadata()?.len()))
        .sum()
}
