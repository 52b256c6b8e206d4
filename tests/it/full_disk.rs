//! A disk that fills and has room again: the store works again at once, whatever is in progress,
//! and nothing that happened meanwhile is forgotten at the next start.

use std::path::Path;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::endpoint::{Endpoint, Script};
use crate::scene::{PATIENCE, Scene, Stage};

/// A file system of its own, so small that it is soon full.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts it; `None` where this user may not.
    pub(crate) fn mount(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder.path())
            .output();
        let is_mounted = mounted.is_ok_and(|done| done.status.success());
        if !is_mounted {
            println!("skipped: this user may not mount a tmpfs");
        }
        is_mounted.then_some(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Gives the room that is left to another file.
    pub(crate) fn fill(&self) {
        // Writing ends where the room does.
        let _ = std::fs::write(self.path().join("hog"), vec![1; 17 << 20]);
    }

    fn free(&self) {
        std::fs::remove_file(self.path().join("hog")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.path())
            .status();
    }
}

/// Starts the program with its store on the disk.
async fn stage_on(disk: &SmallDisk) -> Stage {
    let path = disk.path().join("store");
    let store = format!("[store]\npath = '{}'", path.display());
    Scene::new().without_store().with(&store).start().await
}

async fn set_timer(stage: &mut Stage, text: &str) {
    let reply = stage.say(text).await;
    assert!(reply["scheduled"]["id"].is_string(), "{reply}");
}

/// Sends commands until the store has failed.
async fn until_store_fails(stage: &mut Stage) {
    for n in 0..2000 {
        let switched = if n % 2 == 0 { "on" } else { "off" };
        let reply = stage
            .say(&format!("turn {switched} the kitchen light"))
            .await;
        assert_eq!(reply["outcome"], "done", "{n}: {}", stage.daemon.log());
        if stage.daemon.log().contains("takes nothing") {
            return;
        }
    }
    panic!("the disk never filled: {}", stage.daemon.log());
}

async fn question_in_progress(stage: &mut Stage, model: &Endpoint) {
    stage.send("a little water for the roses").await;
    let end = tokio::time::Instant::now() + PATIENCE;
    while model.requests() < 1 {
        assert!(tokio::time::Instant::now() < end, "no request to the model");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_store_works_again_while_a_question_of_before_is_still_at_a_model() {
    let Some(disk) = SmallDisk::mount("size=16m") else {
        return;
    };
    let model = Endpoint::start(vec![Script::hang_before_headers()]).await;
    let mut stage = Scene::new()
        .without_store()
        .endpoint(&model)
        .with(&format!(
            "[store]\npath = '{}'\n[ask]\ndeadline = \"60s\"",
            disk.path().join("store").display()
        ))
        .start()
        .await;
    question_in_progress(&mut stage, &model).await;
    disk.fill();
    until_store_fails(&mut stage).await;
    disk.free();
    stage.daemon.says("the store works again", PATIENCE).await;
    let log = stage.daemon.log();
    assert!(!log.contains("another sayso uses the store"), "{log}");
}

#[tokio::test]
async fn timers_of_the_time_without_a_store_survive_and_cancelled_ones_do_not_return() {
    let Some(disk) = SmallDisk::mount("size=16m") else {
        return;
    };
    let mut stage = stage_on(&disk).await;
    set_timer(&mut stage, "turn off the kitchen light in one hour").await;
    disk.fill();
    until_store_fails(&mut stage).await;
    let cancelled = stage.say("cancel all timers").await;
    assert_eq!(cancelled["outcome"], "answered", "{cancelled}");
    set_timer(&mut stage, "set a pasta timer for two hours").await;
    disk.free();
    stage.daemon.says("the store works again", PATIENCE).await;
    // The reply to a timer waits until all timers are written.
    for text in [
        "set a tea timer for three hours",
        "set an egg timer for four hours",
    ] {
        set_timer(&mut stage, text).await;
    }
    stage.daemon.signal("KILL");
    stage.daemon.ended(PATIENCE).await;
    stage.daemon = Daemon::start(&stage.place);
    stage.daemon.says("connected to the broker", PATIENCE).await;
    let list = stage.say("list my timers").await;
    let speech = list["speech"].as_str().unwrap_or_default().to_lowercase();
    let has = |word: &str| speech.contains(word);
    assert!(has("pasta") && has("tea") && has("egg"), "{list}");
    assert!(!has("kitchen"), "a cancelled timer is back: {list}");
}

#[tokio::test]
async fn a_store_that_is_opened_on_a_full_disk_keeps_its_timers() {
    let Some(disk) = SmallDisk::mount("size=8m") else {
        return;
    };
    let mut stage = stage_on(&disk).await;
    set_timer(
        &mut stage,
        "turn off the kitchen light every day at seven am",
    )
    .await;
    stage.daemon.signal("TERM");
    stage.daemon.ended(PATIENCE).await;
    disk.fill();
    stage.daemon = Daemon::start(&stage.place);
    stage.daemon.says("connected to the broker", PATIENCE).await;
    let unread = stage.say("list my timers").await;
    let speech = unread["speech"].as_str().unwrap_or_default();
    assert!(speech.contains("cannot read the timers"), "{unread}");
    disk.free();
    stage.daemon.says("the store works again", PATIENCE).await;
    let list = stage.say("list my timers").await;
    let speech = list["speech"].as_str().unwrap_or_default();
    assert!(speech.contains("kitchen light"), "{list}");
    let entries = std::fs::read_dir(disk.path()).unwrap();
    let names = entries.flatten().map(|entry| entry.file_name());
    let broken = names.filter(|name| name.to_string_lossy().contains("broken"));
    assert_eq!(broken.count(), 0, "{}", stage.daemon.log());
}

#[tokio::test]
async fn a_timer_that_is_cancelled_on_a_full_disk_does_not_return() {
    let Some(disk) = SmallDisk::mount("size=8m") else {
        return;
    };
    let mut stage = stage_on(&disk).await;
    set_timer(
        &mut stage,
        "turn off the kitchen light every day at seven am",
    )
    .await;
    disk.fill();
    stage.say("cancel all timers").await;
    disk.free();
    // Nothing else happens to timers. Either their write fails, or the store as a whole.
    let works_again = ["the changed timers are written", "the store works again"];
    let end = tokio::time::Instant::now() + PATIENCE;
    let mut log = stage.daemon.log();
    while !works_again.iter().any(|line| log.contains(line)) {
        assert!(tokio::time::Instant::now() < end, "{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        log = stage.daemon.log();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.daemon.signal("KILL");
    stage.daemon.ended(PATIENCE).await;
    stage.daemon = Daemon::start(&stage.place);
    stage.daemon.says("connected to the broker", PATIENCE).await;
    let list = stage.say("list my timers").await;
    assert_eq!(list["speech"], "Nothing is scheduled.", "{list}");
}
