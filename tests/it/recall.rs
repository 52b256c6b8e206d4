//! What was said before costs nothing: in memory, on disk, and while the same question is on its
//! way.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sayso::testing::binding::{Form, Port};
use sayso::testing::cache::disk::{DiskLimits, Drafts};
use sayso::testing::cache::settings::CacheSettings;
use sayso::testing::cache::{DraftCache, Key};
use sayso::testing::command::phrase::Phrase;
use sayso::testing::command::reply::Refusal;
use sayso::testing::home::Home;
use sayso::testing::home::device::{Device, Kind};
use sayso::testing::home::rights::{Rights, Rules};
use sayso::testing::pipeline::single_flight::SingleFlight;
use sayso::testing::prompt::{PromptFingerprint, rights_class};
use sayso::testing::store;
use sayso::testing::vocabulary::action::{Action, Draft, Op};
use sayso::testing::vocabulary::slug::Slug;
use sayso::testing::vocabulary::{Property, Value};

use crate::endpoint::{Endpoint, Script};
use crate::failover::{ask, asking, provider};

fn home(device: &str) -> Home {
    let slug = |text| Slug::new(text).unwrap();
    let rights = Rights {
        by_source: [("child".to_owned(), Rules::default())].into(),
        ..Rights::default()
    };
    Home::new(
        Vec::new(),
        vec![Device::new(slug(device), Kind::new(slug("light")))],
        rights,
        "sayso",
    )
    .unwrap()
}

fn lamp_on() -> Draft {
    let on = Action {
        device: "lamp".into(),
        property: Property::Power,
        op: Op::Set,
        value: Some(Value::text("on")),
    };
    Draft {
        actions: vec![on],
        ..Draft::default()
    }
}

fn spoken(words: &str) -> Draft {
    Draft {
        speech: Some(words.to_owned()),
        ..Draft::default()
    }
}

/// The key of a phrase, said by `source` in `home`.
fn key_of(recall: &DraftCache, phrase: &Phrase, home: &Home, source: &str) -> Key {
    recall.key(
        phrase,
        PromptFingerprint::of(home),
        rights_class(home.rights(), source),
    )
}

/// The draft kept; none where nothing is.
fn draft(recall: &DraftCache, key: &Key) -> Option<Draft> {
    recall.said(key).map(Result::unwrap)
}

/// How many are in memory, and on disk.
fn len(recall: &DraftCache) -> (usize, usize) {
    let tiers = recall.tiers();
    (tiers.memory.entries, tiers.disk.entries)
}

fn in_memory(settings: &CacheSettings) -> DraftCache {
    DraftCache::new(settings, vec!["scripted".to_owned()], None, Arc::default())
}

fn open(folder: &tempfile::TempDir) -> (store::Store, Drafts) {
    let store = store::open(&store::Settings::default(), &folder.path().join("store")).unwrap();
    let limits = DiskLimits {
        entries: 100,
        bytes: 1 << 20,
    };
    let drafts = Drafts::open(&store, limits, SystemTime::now()).unwrap();
    (store, drafts)
}

#[test]
fn a_draft_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = CacheSettings::default();
    let phrase = Phrase::new("Lamp on!", Some("kitchen"), None);
    {
        let (store, drafts) = open(&folder);
        let recall = DraftCache::new(
            &settings,
            vec!["scripted".to_owned()],
            Some(drafts),
            Arc::default(),
        );
        recall.keep(
            &key_of(&recall, &phrase, &home("lamp"), "panel"),
            "scripted",
            &lamp_on(),
            true,
        );
        store.sync().unwrap();
    }
    let (_store, drafts) = open(&folder);
    let recall = DraftCache::new(
        &settings,
        vec!["scripted".to_owned()],
        Some(drafts),
        Arc::default(),
    );
    assert_eq!(len(&recall), (0, 1));
    let key = key_of(&recall, &phrase, &home("lamp"), "panel");
    assert_eq!(draft(&recall, &key), Some(lamp_on()));
    assert_eq!(len(&recall), (1, 1), "from now on in memory");
}

#[test]
fn whatever_changes_the_meaning_changes_the_key() {
    let recall = in_memory(&CacheSettings::default());
    let phrase = |text| Phrase::new(text, Some("kitchen"), Some("en"));
    let lamp = home("lamp");
    let key = key_of(&recall, &phrase("lamp on"), &lamp, "panel");
    recall.keep(&key, "scripted", &lamp_on(), true);
    let same = [
        key_of(&recall, &phrase("  LAMP on. "), &lamp, "panel"),
        key_of(&recall, &phrase("lamp on"), &home("lamp"), "phone"),
    ];
    for key in same {
        assert_eq!(draft(&recall, &key), Some(lamp_on()), "{key:?}");
    }
    let different = [
        key_of(&recall, &phrase("lamp on?"), &lamp, "panel"),
        key_of(
            &recall,
            &Phrase::new("lamp on", Some("hall"), Some("en")),
            &lamp,
            "panel",
        ),
        key_of(
            &recall,
            &Phrase::new("lamp on", Some("kitchen"), None),
            &lamp,
            "panel",
        ),
        key_of(&recall, &phrase("lamp on"), &home("other_lamp"), "panel"),
        key_of(&recall, &phrase("lamp on"), &lamp, "child"),
    ];
    for key in different {
        assert_eq!(draft(&recall, &key), None, "{key:?}");
    }
}

#[test]
fn a_draft_is_good_while_its_model_is_asked_whoever_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let models = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let phrase = Phrase::new("lamp on", None, None);
    {
        let (store, drafts) = open(&folder);
        let recall = DraftCache::new(
            &CacheSettings::default(),
            models(&["a"]),
            Some(drafts),
            Arc::default(),
        );
        let key = key_of(&recall, &phrase, &home("lamp"), "panel");
        recall.keep(&key, "a", &lamp_on(), true);
        recall.only_of(models(&["b", "a"]));
        assert_eq!(
            draft(&recall, &key),
            Some(lamp_on()),
            "another was added before it"
        );
        recall.only_of(models(&["b"]));
        assert_eq!(draft(&recall, &key), None, "it was given up");
        recall.keep(&key, "a", &lamp_on(), true);
        assert_eq!(
            draft(&recall, &key),
            None,
            "it was asked before that, and answered after it"
        );
        assert_eq!(
            recall.trace(&key).unwrap()[0].unused,
            Some("the model that gave it is not configured any more")
        );
        store.sync().unwrap();
    }
    for (asked, expected) in [(&["b", "a"][..], Some(lamp_on())), (&["b"], None)] {
        let (_store, drafts) = open(&folder);
        let recall = DraftCache::new(
            &CacheSettings::default(),
            models(asked),
            Some(drafts),
            Arc::default(),
        );
        assert_eq!(
            draft(&recall, &key_of(&recall, &phrase, &home("lamp"), "panel")),
            expected,
            "asked after a restart: {asked:?}"
        );
    }
}

#[test]
fn the_same_home_read_again_keeps_its_revision() {
    let read = || {
        let rights = Rights {
            by_source: (0..20)
                .map(|n| (format!("panel_{n}"), Rules::default()))
                .collect(),
            ..Rights::default()
        };
        Home::new(Vec::new(), Vec::new(), rights, "sayso")
            .unwrap()
            .revision()
    };
    assert_eq!(read(), read());
}

#[test]
fn no_area_can_pass_for_another_part_of_the_key() {
    let recall = in_memory(&CacheSettings::default());
    let forged = Phrase::new("on", Some("kitchen\u{1f}en\u{1f}lamp"), None);
    let honest = Phrase::new("lamp\u{1f}on", Some("kitchen"), Some("en"));
    assert_ne!(
        key_of(&recall, &forged, &home("lamp"), "panel"),
        key_of(&recall, &honest, &home("lamp"), "panel")
    );
}

#[tokio::test(start_paused = true)]
async fn a_draft_is_good_for_its_time_and_words_for_ten_minutes() {
    let recall = in_memory(&CacheSettings {
        ttl: Duration::from_hours(1),
        ..CacheSettings::default()
    });
    let key = |text| {
        key_of(
            &recall,
            &Phrase::new(text, None, None),
            &home("lamp"),
            "panel",
        )
    };
    recall.keep(&key("lamp on"), "scripted", &lamp_on(), true);
    recall.keep(
        &key("why is the sky blue?"),
        "scripted",
        &spoken("Because of the air."),
        true,
    );
    recall.keep(
        &key("be so kind"),
        "scripted",
        &Draft {
            speech: Some("My pleasure!".into()),
            ..lamp_on()
        },
        true,
    );
    tokio::time::advance(Duration::from_secs(599)).await;
    assert!(draft(&recall, &key("why is the sky blue?")).is_some());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(draft(&recall, &key("why is the sky blue?")), None);
    assert!(
        draft(&recall, &key("lamp on")).is_some() && draft(&recall, &key("be so kind")).is_some()
    );
    tokio::time::advance(Duration::from_mins(50)).await;
    assert_eq!(draft(&recall, &key("lamp on")), None);
}

#[tokio::test(start_paused = true)]
async fn what_came_to_nothing_is_kept_for_a_minute_and_never_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, drafts) = open(&folder);
    let recall = DraftCache::new(
        &CacheSettings::default(),
        vec!["scripted".to_owned()],
        Some(drafts),
        Arc::default(),
    );
    let key = |text: &str| {
        key_of(
            &recall,
            &Phrase::new(text, None, None),
            &home("lamp"),
            "panel",
        )
    };
    let question = Draft {
        question: Some("Which lamp?".into()),
        ..Draft::default()
    };
    recall.keep(&key("it on"), "scripted", &question, true);
    recall.keep(&key("ghost on"), "scripted", &lamp_on(), false);
    recall.keep_refusal(&key("something rude"), &Refusal::Declined);
    recall.keep_refusal(
        &key("something slow"),
        &Refusal::NobodyAnswered {
            why: "away".into(),
            retry_after: None,
        },
    );
    recall.keep(&key(&"lamp on ".repeat(200)), "scripted", &lamp_on(), true);
    assert_eq!(len(&recall), (3, 0));
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(draft(&recall, &key("it on")), Some(question));
    assert_eq!(draft(&recall, &key("ghost on")), Some(lamp_on()));
    assert_eq!(
        recall.said(&key("something rude")),
        Some(Err(Refusal::Declined))
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    recall.sweep(PromptFingerprint::of(&home("lamp")));
    assert_eq!(len(&recall), (0, 0));
}

#[test]
fn memory_keeps_to_its_bytes() {
    let recall = in_memory(&CacheSettings {
        memory_bytes: 64 << 10,
        ..CacheSettings::default()
    });
    for n in 0..500 {
        recall.keep(
            &key_of(
                &recall,
                &Phrase::new(&format!("say {n}"), None, None),
                &home("lamp"),
                "panel",
            ),
            "scripted",
            &spoken(&"word ".repeat(200)),
            true,
        );
        assert!(recall.tiers().memory.bytes <= 64 << 10);
    }
    assert!(len(&recall).0 > 40, "{:?}", recall.tiers());
    let huge = key_of(
        &recall,
        &Phrase::new("everything", None, None),
        &home("lamp"),
        "panel",
    );
    recall.keep(&huge, "scripted", &spoken(&"x".repeat(65 << 10)), true);
    assert_eq!(draft(&recall, &huge), None);
}

#[tokio::test(start_paused = true)]
async fn drafts_of_homes_that_are_no_more_leave_the_disk_after_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, drafts) = open(&folder);
    let settings = CacheSettings {
        ttl: Duration::from_hours(24 * 365),
        ..CacheSettings::default()
    };
    let recall = DraftCache::new(
        &settings,
        vec!["scripted".to_owned()],
        Some(drafts),
        Arc::default(),
    );
    let phrase = Phrase::new("lamp on", None, None);
    let [before, now] = ["old_lamp", "lamp"].map(home);
    for home in [&before, &now] {
        recall.keep(
            &key_of(&recall, &phrase, home, "panel"),
            "scripted",
            &lamp_on(),
            true,
        );
    }
    recall.sweep(PromptFingerprint::of(&before));
    tokio::time::advance(Duration::from_hours(23)).await;
    recall.sweep(PromptFingerprint::of(&now));
    assert_eq!(len(&recall).1, 2, "it may come back within a day");
    tokio::time::advance(Duration::from_hours(2)).await;
    recall.sweep(PromptFingerprint::of(&now));
    assert_eq!(len(&recall).1, 1);
    assert_eq!(
        recall
            .trace(&key_of(&recall, &phrase, &now, "panel"))
            .unwrap()
            .iter()
            .filter(|trace| trace.tier == "disk")
            .count(),
        0,
        "in memory as well"
    );
    assert_eq!(
        draft(&recall, &key_of(&recall, &phrase, &now, "panel")),
        Some(lamp_on())
    );
}

/// Announcements change a home by the minute: each would leave its drafts behind.
#[tokio::test(start_paused = true)]
async fn a_home_that_changes_without_end_does_not_fill_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, drafts) = open(&folder);
    let settings = CacheSettings {
        ttl: Duration::from_hours(24 * 365),
        disk_entries: 100,
        ..CacheSettings::default()
    };
    let recall = DraftCache::new(
        &settings,
        vec!["scripted".to_owned()],
        Some(drafts),
        Arc::default(),
    );
    for n in 0..200 {
        let home = home(&format!("lamp_{n}"));
        recall.keep(
            &key_of(&recall, &Phrase::new("lamp on", None, None), &home, "panel"),
            "scripted",
            &lamp_on(),
            true,
        );
        recall.sweep(PromptFingerprint::of(&home));
        tokio::time::advance(Duration::from_hours(1)).await;
        assert!(
            len(&recall).1 <= 65,
            "{:?} after {n} h",
            recall.tiers().disk
        );
    }
}

#[test]
fn how_a_device_is_reached_and_how_it_stands_change_nothing() {
    let slug = |text| Slug::new(text).unwrap();
    let lamp = Device::new(slug("lamp"), Kind::new(slug("light")));
    let mut moved = lamp.clone();
    moved.capabilities[0].binding.state = vec![Port {
        topic: "elsewhere/lamp".into(),
        form: Form::Raw,
    }];
    let homes = [lamp, moved]
        .map(|lamp| Home::new(Vec::new(), vec![lamp], Rights::default(), "sayso").unwrap());
    assert_ne!(homes[0].revision(), homes[1].revision());
    assert_eq!(
        PromptFingerprint::of(&homes[0]),
        PromptFingerprint::of(&homes[1])
    );
}

#[test]
fn one_phrase_is_traced_and_forgotten_wherever_it_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, drafts) = open(&folder);
    let recall = DraftCache::new(
        &CacheSettings::default(),
        vec!["scripted".to_owned()],
        Some(drafts),
        Arc::default(),
    );
    let (lamp, phrase) = (home("lamp"), |area| Phrase::new("lamp on", area, None));
    let asked = key_of(&recall, &phrase(None), &lamp, "panel");
    recall.keep(&asked, "scripted", &lamp_on(), true);
    recall.keep(
        &key_of(&recall, &phrase(Some("hall")), &lamp, "panel"),
        "scripted",
        &lamp_on(),
        true,
    );
    recall.keep(
        &key_of(&recall, &phrase(None), &lamp, "child"),
        "scripted",
        &lamp_on(),
        true,
    );
    recall.keep(
        &key_of(&recall, &phrase(None), &home("other_lamp"), "panel"),
        "scripted",
        &lamp_on(),
        true,
    );
    recall.keep(
        &key_of(
            &recall,
            &Phrase::new("lamp off", None, None),
            &lamp,
            "panel",
        ),
        "scripted",
        &spoken("no"),
        true,
    );
    let traces = recall.trace(&asked).unwrap();
    let unused: Vec<_> = traces
        .iter()
        .map(|trace| {
            trace
                .unused
                .unwrap_or("used")
                .split(' ')
                .next_back()
                .unwrap()
        })
        .collect();
    assert_eq!(unused.len(), 4);
    assert_eq!(unused[0], "used");
    for why in ["one", "rights", "area"] {
        assert!(unused.contains(&why), "{traces:?}");
    }
    assert_eq!(recall.forget(Some(&phrase(None))).unwrap(), 4);
    assert_eq!(draft(&recall, &asked), None);
    assert_eq!(len(&recall), (1, 0));
    assert_eq!(recall.forget(None).unwrap(), 1);
    assert_eq!(len(&recall), (0, 0));
}

#[test]
fn memory_keeps_what_was_used_last() {
    let recall = in_memory(&CacheSettings {
        memory_entries: NonZeroUsize::new(3).unwrap(),
        ..CacheSettings::default()
    });
    let key = |n: usize| {
        key_of(
            &recall,
            &Phrase::new(&format!("lamp {n} on"), None, None),
            &home("lamp"),
            "panel",
        )
    };
    for n in 0..3 {
        recall.keep(&key(n), "scripted", &lamp_on(), true);
    }
    assert!(draft(&recall, &key(0)).is_some());
    recall.keep(&key(3), "scripted", &lamp_on(), true);
    let there: Vec<bool> = (0..4).map(|n| draft(&recall, &key(n)).is_some()).collect();
    assert_eq!(there, [true, false, true, true]);
    assert_eq!(len(&recall).0, 3);
}

#[tokio::test]
async fn twenty_equal_questions_at_once_are_one_call() {
    let only = Endpoint::start([Script::turns_on("lamp").after(Duration::from_millis(50))]).await;
    let (asked, _) = asking(vec![provider("only", only.url())]);
    let (recall, flight) = (
        in_memory(&CacheSettings::default()),
        SingleFlight::default(),
    );
    let key = key_of(
        &recall,
        &Phrase::new("lamp on", None, None),
        &home("lamp"),
        "panel",
    );
    let answers =
        futures_util::future::join_all((0..20).map(|_| flight.share(&key, || ask(&asked)))).await;
    assert_eq!(only.requests(), 1);
    assert!(
        answers
            .iter()
            .all(|shared| shared.answer.as_ref().unwrap().answer == lamp_on())
    );
    assert_eq!(answers.iter().filter(|shared| !shared.joined).count(), 1);
}
