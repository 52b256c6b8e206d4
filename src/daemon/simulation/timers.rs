//! The process ends before each single write of a timer's record, and starts again: every
//! occurrence is carried out once or reported, and a command that is processed again sets no second
//! timer.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::time::{Instant, sleep_until};

use crate::clock::now;
use crate::command::Command;
use crate::command::reply::Outcome;
use crate::config::{Config, ConfigLocation};
use crate::daemon::assembly;
use crate::delivery::Delivery;
use crate::pipeline::{OutboundAction, Pipeline, PublishFn};
use crate::store::journal::Journal;
use crate::store::journal::simulated_disk::{DiskBehaviour, copied, simulate_disk};
use crate::store::timer_kill::SimulatedKill;
use crate::store::timers::TimerRecords;
use crate::store::{Settings, open};
use crate::telemetry::counters::Counters;

const CONFIG: &str = r#"
home = "home.toml"
[mqtt]
host = "127.0.0.1"
[store]
path = "store"
[discovery]
homeassistant = "homeassistant"
zigbee2mqtt = []
tasmota = false
"#;

const HOME: &str = r#"
[home]
time_zone = "UTC"
[device.lamp]
kind = "light"
can = ["power"]
[device.pump]
kind = "switch"
can = ["power"]
"#;

const MINUTE: Duration = Duration::from_mins(1);

/// One thing that happens from outside.
#[derive(Debug, Clone, Copy)]
enum Input {
    /// A command, with the number it has in the journal.
    Say(u64, &'static str),
    /// A report of a device.
    Report(&'static str, &'static str),
}

/// Everything that is seen from outside, of all runs.
#[derive(Debug, Default)]
struct Seen {
    /// The payloads of each device.
    published: Vec<(String, String)>,
    events: Vec<Json>,
    /// The commands with a reply.
    answered: BTreeSet<u64>,
}

impl Seen {
    fn of(&self, device: &str) -> Vec<&str> {
        let published = self.published.iter();
        let of_device = published.filter(|(name, _)| name == device);
        of_device.map(|(_, payload)| payload.as_str()).collect()
    }

    /// Returns the due times of the events of a type.
    fn dues(&self, is_it: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let events = self.events.iter();
        let chosen = events.filter(|event| is_it(event["event"].as_str().unwrap()));
        chosen.map(|event| event["due"].to_string()).collect()
    }

    fn skipped(&self) -> u64 {
        let counted: BTreeSet<(String, u64)> = self
            .events
            .iter()
            .map(|event| {
                (
                    event["due"].to_string(),
                    event["skipped"].as_u64().unwrap_or(0),
                )
            })
            .collect();
        counted.iter().map(|(_, skipped)| skipped).sum()
    }
}

/// One run of the program.
struct Run {
    pipeline: Pipeline,
    kill: Arc<SimulatedKill>,
    /// The disk at the end of the process.
    image: Arc<Mutex<Option<TempDir>>>,
    seen: Arc<Mutex<Seen>>,
}

impl Run {
    /// Starts on this folder; ends before the write with this number.
    fn start(folder: &Path, seen: &Arc<Mutex<Seen>>, last_write: Option<usize>) -> Self {
        let config = Config::load(&ConfigLocation::at(folder.join("sayso.toml"))).unwrap();
        let store = Arc::new(open(&Settings::default(), &folder.join("store")).unwrap());
        let kill = Arc::clone(&store.timer_kill);
        let image = Arc::new(Mutex::new(None));
        if let Some(write) = last_write {
            let (store, image) = (Arc::downgrade(&store), Arc::clone(&image));
            let keep_image = move || {
                let store = store.upgrade().unwrap();
                store.db.flush().unwrap();
                *image.lock() = Some(copied(&store.path));
            };
            kill.plan(write, Box::new(keep_image));
        }
        let (journal, _) = Journal::open(Some(store), MINUTE).unwrap();
        // What timers do has a number after those of the commands.
        for _ in 0..8 {
            journal.next_number();
        }
        let publish: PublishFn = {
            let (kill, seen) = (Arc::clone(&kill), Arc::clone(seen));
            Box::new(move |outbound: OutboundAction| {
                if !kill.has_happened() {
                    let message = (outbound.device.to_string(), outbound.publication.payload);
                    seen.lock().published.push(message);
                }
                Delivery::ended(Ok(()))
            })
        };
        let counters = Arc::new(Counters::default());
        let built = assembly::pipeline(&config, None, Arc::new(journal), counters, publish);
        let pipeline = built.unwrap();
        pipeline.start_timers();
        Self {
            pipeline,
            kill,
            image,
            seen: Arc::clone(seen),
        }
    }

    fn is_killed(&self) -> bool {
        self.kill.has_happened()
    }

    async fn take(&self, input: Input) {
        match input {
            Input::Say(seq, text) => self.say(seq, text).await,
            Input::Report(device, payload) => {
                let topic = format!("sayso/state/{device}");
                self.pipeline.observe(&topic, payload.as_bytes());
            }
        }
    }

    /// Processes a command with this number in the journal.
    async fn say(&self, seq: u64, text: &str) {
        let mut command = Command::for_test("wall", text);
        command.id = seq.to_string().into();
        command.seq = seq;
        command.deadline = now() + MINUTE;
        let reply = self.pipeline.answer(&command, None).await;
        let outcome = reply.outcome;
        assert!(
            matches!(outcome, Outcome::Done | Outcome::Answered),
            "{text}: {reply:?}"
        );
        if !self.is_killed() {
            self.seen.lock().answered.insert(seq);
        }
    }

    /// Fires the timers that become due until this moment, as the task of the daemon does.
    async fn pass(&self, until: Instant) {
        loop {
            tokio::select! {
                biased;
                () = self.pipeline.until_due(None) => {}
                () = sleep_until(until) => return,
            }
            self.pipeline.write_due_timers().await;
            for (timer, late) in self.pipeline.take_due() {
                let Some(event) = self.pipeline.fire(timer, late).await else {
                    continue;
                };
                if !self.is_killed() {
                    self.seen.lock().events.push(event.payload);
                }
                self.pipeline.forget_timer(event.id).await;
            }
        }
    }
}

/// Inputs, each with its time in minutes.
type Story = &'static [(u64, Input)];

fn house() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sayso.toml"), CONFIG).unwrap();
    fs::write(folder.path().join("home.toml"), HOME).unwrap();
    folder
}

/// Lives through a story of `minutes`, and ends the process once, before the write with the number
/// `last_write`. Returns `None` if there was no such write.
async fn live(story: Story, minutes: u64, last_write: usize) -> Option<Seen> {
    crate::clock::simulate_clocks();
    let start = Instant::now();
    let at = |minute: u64| start + MINUTE * u32::try_from(minute).unwrap();
    let folder = house();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut begun = 0;
    let first = Run::start(folder.path(), &seen, Some(last_write));
    let whole = async {
        for (minute, input) in story {
            first.pass(at(*minute)).await;
            begun += 1;
            first.take(*input).await;
        }
        first.pass(at(minutes)).await;
    };
    tokio::select! {
        biased;
        () = first.kill.killed.notified() => {}
        () = whole => return None,
    }
    let image = first.image.lock().take().unwrap();
    drop(first);
    let folder = house();
    fs::rename(image.path(), folder.path().join("store")).unwrap();
    let second = Run::start(folder.path(), &seen, None);
    for (_, input) in &story[..begun] {
        let is_open = match input {
            Input::Say(seq, _) => !seen.lock().answered.contains(seq),
            Input::Report(..) => false,
        };
        if is_open {
            second.take(*input).await;
        }
    }
    for (minute, input) in &story[begun..] {
        second.pass(at(*minute)).await;
        second.take(*input).await;
    }
    second.pass(at(minutes)).await;
    drop(second);
    let seen = std::mem::take(&mut *seen.lock());
    Some(seen)
}

/// Lives through a story once for each write, and lets `check` look at each of them.
fn before_each_write(story: Story, minutes: u64, check: impl Fn(usize, &Seen)) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    let mut writes = 0;
    while let Some(seen) = runtime.block_on(live(story, minutes, writes)) {
        check(writes, &seen);
        writes += 1;
    }
    assert!(writes > 1, "only {writes} writes");
    runtime.shutdown_timeout(Duration::from_secs(5));
}

#[test]
fn each_occurrence_of_a_repeated_command_is_carried_out_once_or_reported() {
    const STORY: Story = &[(0, Input::Say(1, "toggle the pump every hour"))];
    before_each_write(STORY, 3 * 60 + 30, |write, seen| {
        let all = seen.dues(|_| true);
        assert_eq!(all.len() as u64 + seen.skipped(), 3, "{write}: {seen:?}");
        let toggled = seen.of("pump").len();
        let done = seen.dues(|event| event == "fired" || event == "late").len();
        assert!(toggled == done || toggled == done + 1, "{write}: {seen:?}");
        assert!(toggled <= 3, "{write}: {seen:?}");
    });
}

#[test]
fn a_plain_timer_is_set_once() {
    const STORY: Story = &[(0, Input::Say(1, "set a timer for ten minutes"))];
    before_each_write(STORY, 30, |write, seen| {
        let timers: BTreeSet<String> = seen.events.iter().map(|e| e["timer"].to_string()).collect();
        assert_eq!(timers.len(), 1, "{write}: {seen:?}");
    });
}

#[test]
fn a_command_that_replaces_its_timer_leaves_one() {
    const STORY: Story = &[
        (0, Input::Say(1, "toggle the pump in 20 minutes")),
        (10, Input::Say(2, "toggle the pump in 20 minutes")),
    ];
    before_each_write(STORY, 60, |write, seen| {
        let toggled = seen.of("pump").len();
        let dues = seen.dues(|_| true);
        assert!(toggled <= 1 && dues.len() == 1, "{write}: {seen:?}");
    });
}

#[test]
fn for_ten_minutes_ends_also_when_the_process_ended_meanwhile() {
    const STORY: Story = &[(0, Input::Say(1, "turn on the lamp for ten minutes"))];
    before_each_write(STORY, 30, |write, seen| {
        let published = seen.of("lamp");
        let is_off = published
            .last()
            .is_some_and(|last| last.contains(r#""off""#));
        assert!(is_off, "{write}: {seen:?}");
        let off = published
            .iter()
            .filter(|payload| payload.contains(r#""off""#));
        let ons = published.len() - off.count();
        assert!((1..=2).contains(&ons), "{write}: {seen:?}");
    });
}

#[test]
fn a_cancelled_timer_does_not_fire() {
    const STORY: Story = &[
        (0, Input::Say(1, "toggle the pump in 20 minutes")),
        (5, Input::Say(2, "cancel the pump timer")),
    ];
    before_each_write(STORY, 60, |write, seen| {
        assert!(seen.published.is_empty(), "{write}: {seen:?}");
    });
}

const DOOR_STORY: Story = &[
    (0, Input::Report("pump", r#"{"power":"off"}"#)),
    (
        0,
        Input::Say(
            1,
            "turn on the lamp for ten minutes whenever the pump turns on",
        ),
    ),
    (5, Input::Report("pump", r#"{"power":"on"}"#)),
    (8, Input::Report("pump", r#"{"power":"off"}"#)),
    (10, Input::Report("pump", r#"{"power":"on"}"#)),
];

#[test]
fn for_ten_minutes_at_each_change_ends_whenever_the_process_ended() {
    before_each_write(DOOR_STORY, 40, |write, seen| {
        let published = seen.of("lamp");
        let is_off = published
            .last()
            .is_none_or(|last| last.contains(r#""off""#));
        assert!(is_off, "{write}: {seen:?}");
        let ons = published
            .iter()
            .filter(|one| one.contains(r#""on""#))
            .count();
        assert!(ons <= 3, "{write}: {seen:?}");
    });
}

/// Lives through a story without an end of the process; returns how the lamp was switched, with the
/// minutes.
fn switched(story: Story, minutes: u64) -> Vec<(u64, &'static str)> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut found = Vec::new();
    runtime.block_on(async {
        crate::clock::simulate_clocks();
        let start = Instant::now();
        let folder = house();
        let run = Run::start(folder.path(), &seen, None);
        let mut inputs = story.iter().peekable();
        for minute in 0..minutes {
            while let Some((_, input)) = inputs.next_if(|(at, _)| *at == minute) {
                run.take(*input).await;
            }
            let next = start + MINUTE * u32::try_from(minute + 1).unwrap();
            run.pass(next - Duration::from_millis(1)).await;
            let published = std::mem::take(&mut seen.lock().published);
            let of_lamp = published.iter().filter(|(name, _)| name == "lamp");
            let switched = of_lamp.map(|(_, payload)| {
                let is_on = payload.contains(r#""on""#);
                (minute, if is_on { "on" } else { "off" })
            });
            found.extend(switched);
            run.pass(next).await;
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    found
}

#[test]
fn for_ten_minutes_begins_anew_with_the_next_change() {
    assert_eq!(
        switched(DOOR_STORY, 40),
        [(5, "on"), (10, "on"), (20, "off")]
    );
}

#[test]
fn a_command_of_somebody_else_ends_for_ten_minutes_when_something_happens() {
    const STORY: Story = &[
        (0, Input::Report("pump", r#"{"power":"off"}"#)),
        (
            0,
            Input::Say(1, "turn on the lamp for ten minutes when the pump turns on"),
        ),
        (5, Input::Report("pump", r#"{"power":"on"}"#)),
        (7, Input::Say(20, "turn on the lamp")),
    ];
    assert_eq!(switched(STORY, 40), [(5, "on"), (7, "on")]);
}

#[test]
fn a_command_for_later_may_end_after_a_while() {
    const STORY: Story = &[(
        0,
        Input::Say(1, "in five minutes turn on the lamp for an hour"),
    )];
    assert_eq!(switched(STORY, 90), [(5, "on"), (65, "off")]);
}

/// Delays each write of timers by this time from now on.
fn slow_down_disk(delay: Duration) {
    simulate_disk(DiskBehaviour {
        delay,
        is_full: false,
    });
}

/// Sets timers, and lets the disk hang when they are due: they hardly wait for it, nor do commands.
/// The timers fire again after an end of the process in that time, and are written once the disk
/// answers.
async fn live_with_a_disk_that_hangs() {
    crate::clock::simulate_clocks();
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let folder = house();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let first = Run::start(folder.path(), &seen, None);
    first.say(1, "toggle the lamp in ten minutes").await;
    first.say(2, "set a timer for ten minutes").await;
    first.say(3, "turn on the pump in eleven minutes").await;
    let store = first.pipeline.services().journal.store().unwrap();
    store.db.flush().unwrap();
    let image = copied(folder.path());
    slow_down_disk(Duration::from_hours(1));
    first.pass(at(599)).await;
    assert!(seen.lock().events.is_empty());
    first.pass(at(603)).await;
    assert_eq!(Instant::now(), at(603));
    assert_eq!(seen.lock().of("lamp").len(), 1, "{seen:?}");
    assert_eq!(seen.lock().events.len(), 2, "{seen:?}");
    // The disk is known to hang by now.
    first.pass(at(661)).await;
    assert_eq!(Instant::now(), at(661));
    assert_eq!(seen.lock().of("pump").len(), 1, "{seen:?}");
    first.say(20, "set a timer for one hour").await;
    first.say(21, "turn on the lamp for ten minutes").await;
    assert_eq!(Instant::now(), at(661));
    slow_down_disk(Duration::ZERO);
    first.pass(at(7200)).await;
    first.pipeline.write_timers().await;
    let records = TimerRecords::open(&store).unwrap().all().unwrap();
    assert!(records.is_empty(), "{} records", records.len());
    drop((first, store));
    let before = seen.lock().events.len();
    let second = Run::start(image.path(), &seen, None);
    second.pass(at(7300)).await;
    assert_eq!(seen.lock().events.len(), before + 3, "{seen:?}");
}

#[test]
fn a_timer_that_is_due_hardly_waits_for_a_disk_that_hangs() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(live_with_a_disk_that_hangs());
    runtime.shutdown_timeout(Duration::from_secs(5));
}
