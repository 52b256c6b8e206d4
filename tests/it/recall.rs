//! What was said before costs nothing: in memory, on disk, and while the same question is on its way.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sayso::command::phrase::Phrase;
use sayso::home::Home;
use sayso::home::action::{Action, Draft, Op};
use sayso::home::capability::{Property, Value};
use sayso::home::device::{Device, Kind};
use sayso::home::rights::{Rights, Rules};
use sayso::home::slug::Slug;
use sayso::interpret::RecallSettings;
use sayso::interpret::flight::Flight;
use sayso::interpret::recall::{Recall, SPEECH_TTL};
use sayso::store::drafts::{Drafts, Limits};

use crate::endpoint::{Endpoint, Script};
use crate::failover::{ask, asking, provider};

fn home(device: &str) -> Home {
    let slug = |text| Slug::new(text).unwrap();
    let rights = Rights { by_source: [("child".to_owned(), Rules::default())].into() };
    Home::new(Vec::new(), vec![Device::new(slug(device), Kind::new(slug("light")))], rights, "sayso").unwrap()
}

fn lamp_on() -> Draft {
    let on = Action { device: "lamp".into(), property: Property::Power, op: Op::Set, value: Some(Value::text("on")) };
    Draft { actions: vec![on], ..Draft::default() }
}

fn spoken(words: &str) -> Draft {
    Draft { speech: Some(words.to_owned()), ..Draft::default() }
}

fn in_memory(settings: &RecallSettings) -> Recall {
    Recall::new(settings, "scripted", None, Arc::default())
}

fn open(folder: &tempfile::TempDir) -> (sled::Db, Drafts) {
    let config = sled::Config::new().path(folder.path()).cache_capacity(1 << 20);
    // sled's lock may outlive the drop of its owner by a moment.
    let db = (0..100_000).find_map(|_| config.open().ok()).unwrap();
    let drafts = Drafts::open(&db, Limits { entries: 100, bytes: 1 << 20 }, SystemTime::now()).unwrap();
    (db, drafts)
}

#[test]
fn a_draft_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = RecallSettings::default();
    let phrase = Phrase::new("Lamp on!", Some("kitchen"), None);
    {
        let (db, drafts) = open(&folder);
        let recall = Recall::new(&settings, "scripted", Some(drafts), Arc::default());
        recall.keep(&recall.key(&phrase, &home("lamp"), "panel"), &lamp_on());
        db.flush().unwrap();
    }
    let (_db, drafts) = open(&folder);
    let recall = Recall::new(&settings, "scripted", Some(drafts), Arc::default());
    assert_eq!(recall.len(), (0, 1));
    let key = recall.key(&phrase, &home("lamp"), "panel");
    assert_eq!(recall.draft(&key), Some(lamp_on()));
    assert_eq!(recall.len(), (1, 1), "from now on in memory");
}

#[test]
fn whatever_changes_the_meaning_changes_the_key() {
    let recall = in_memory(&RecallSettings::default());
    let others = Recall::new(&RecallSettings::default(), "another model", None, Arc::default());
    let phrase = |text| Phrase::new(text, Some("kitchen"), Some("en"));
    let lamp = home("lamp");
    let key = recall.key(&phrase("lamp on"), &lamp, "panel");
    recall.keep(&key, &lamp_on());
    let same = [recall.key(&phrase("  LAMP on. "), &lamp, "panel"), recall.key(&phrase("lamp on"), &home("lamp"), "phone")];
    for key in same {
        assert_eq!(recall.draft(&key), Some(lamp_on()), "{key:?}");
    }
    let different = [
        recall.key(&phrase("lamp on?"), &lamp, "panel"),
        recall.key(&Phrase::new("lamp on", Some("hall"), Some("en")), &lamp, "panel"),
        recall.key(&Phrase::new("lamp on", Some("kitchen"), None), &lamp, "panel"),
        recall.key(&phrase("lamp on"), &home("other_lamp"), "panel"),
        recall.key(&phrase("lamp on"), &lamp, "child"),
        others.key(&phrase("lamp on"), &lamp, "panel"),
    ];
    for key in different {
        assert_eq!(recall.draft(&key), None, "{key:?}");
    }
}

#[test]
fn the_same_home_read_again_keeps_its_revision() {
    let read = || {
        let rights = Rights { by_source: (0..20).map(|n| (format!("panel_{n}"), Rules::default())).collect() };
        Home::new(Vec::new(), Vec::new(), rights, "sayso").unwrap().revision()
    };
    assert_eq!(read(), read());
}

#[test]
fn no_area_can_pass_for_another_part_of_the_key() {
    let recall = in_memory(&RecallSettings::default());
    let forged = Phrase::new("on", Some("kitchen\u{1f}en\u{1f}lamp"), None);
    let honest = Phrase::new("lamp\u{1f}on", Some("kitchen"), Some("en"));
    assert_ne!(recall.key(&forged, &home("lamp"), "panel"), recall.key(&honest, &home("lamp"), "panel"));
}

#[tokio::test(start_paused = true)]
async fn a_draft_is_good_for_its_time_and_words_for_ten_minutes() {
    let recall = in_memory(&RecallSettings { ttl: Duration::from_hours(1), ..RecallSettings::default() });
    let key = |text| recall.key(&Phrase::new(text, None, None), &home("lamp"), "panel");
    recall.keep(&key("lamp on"), &lamp_on());
    recall.keep(&key("why is the sky blue?"), &spoken("Because of the air."));
    tokio::time::advance(SPEECH_TTL.saturating_sub(Duration::from_secs(1))).await;
    assert!(recall.draft(&key("why is the sky blue?")).is_some());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(recall.draft(&key("why is the sky blue?")), None);
    assert!(recall.draft(&key("lamp on")).is_some());
    tokio::time::advance(Duration::from_mins(50)).await;
    assert_eq!(recall.draft(&key("lamp on")), None);
}

#[test]
fn what_asks_back_or_is_very_long_is_not_kept() {
    let recall = in_memory(&RecallSettings::default());
    let question = Draft { question: Some("Which lamp?".into()), ..Draft::default() };
    recall.keep(&recall.key(&Phrase::new("lamp on", None, None), &home("lamp"), "panel"), &question);
    recall.keep(&recall.key(&Phrase::new(&"lamp on ".repeat(200), None, None), &home("lamp"), "panel"), &lamp_on());
    assert!(recall.is_empty());
}

#[test]
fn memory_keeps_what_was_used_last() {
    let recall = in_memory(&RecallSettings { memory_entries: NonZeroUsize::new(3).unwrap(), ..RecallSettings::default() });
    let key = |n: usize| recall.key(&Phrase::new(&format!("lamp {n} on"), None, None), &home("lamp"), "panel");
    for n in 0..3 {
        recall.keep(&key(n), &lamp_on());
    }
    assert!(recall.draft(&key(0)).is_some());
    recall.keep(&key(3), &lamp_on());
    let there: Vec<bool> = (0..4).map(|n| recall.draft(&key(n)).is_some()).collect();
    assert_eq!(there, [true, false, true, true]);
    assert_eq!(recall.len().0, 3);
}

#[tokio::test]
async fn twenty_equal_questions_at_once_are_one_call() {
    let only = Endpoint::start([Script::turns_on("lamp").after(Duration::from_millis(50))]).await;
    let (asked, _) = asking(vec![provider("only", only.url())]);
    let (recall, flight) = (in_memory(&RecallSettings::default()), Flight::default());
    let key = recall.key(&Phrase::new("lamp on", None, None), &home("lamp"), "panel");
    let answers = futures_util::future::join_all((0..20).map(|_| flight.share(&key, || ask(&asked)))).await;
    assert_eq!(only.requests(), 1);
    assert!(answers.iter().all(|shared| shared.answer.as_ref().unwrap().draft == lamp_on()));
    assert_eq!(answers.iter().filter(|shared| !shared.joined).count(), 1);
}
