//! Claims that hold for any bytes, one for each input that comes from outside. The fuzzer searches
//! for bytes that violate one; `tests/it/corpus.rs` checks earlier findings and other inputs in
//! every test run.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use sayso::testing::binding::template::Template;
use sayso::testing::command::phrase::Phrase;
use sayso::testing::command::reply::Reply;
use sayso::testing::discovery::Settings as Ears;
use sayso::testing::discovery::finder::Finder;
use sayso::testing::grammar::{LocalGrammar, Settings as Readings};
use sayso::testing::home::Home;
use sayso::testing::home::capability::Capability;
use sayso::testing::home::device::{Area, Device, Kind};
use sayso::testing::home::permit::{MOST_ACTIONS, PermitRequest};
use sayso::testing::home::rights::Rights;
use sayso::testing::home::state::State;
use sayso::testing::store::journal::JournalRecord;
use sayso::testing::vocabulary::action::{Action, Draft, Op};
use sayso::testing::vocabulary::slug::Slug;
use sayso::testing::vocabulary::{Domain, Value};
use sayso::testing::wire;
use sayso::testing::wire::{DeviceTopics, Inbound, WireRules};
use serde_json::{Value as Json, json};

/// Announcements as a broker would deliver them: topic, line feed, payload, with a NUL between two
/// of them. They result in a home in which every device is commanded on topics of its own only.
pub(crate) fn discovery(data: &[u8]) {
    let messages: Vec<(&str, &[u8])> = data.split(|byte| *byte == 0).filter_map(message).collect();
    hear_and_command(&messages);
}

fn message(data: &[u8]) -> Option<(&str, &[u8])> {
    let end = data.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&data[..end]).ok()?, &data[end + 1..]))
}

/// One device of a `Zigbee2MQTT` bridge, by its exposes.
pub(crate) fn exposes(data: &[u8]) {
    let listed = match serde_json::from_slice::<Json>(data) {
        Ok(exposes) => json!([{"ieee_address": "0x01", "friendly_name": "Thing", "definition": {"exposes": exposes}}]).to_string().into_bytes(),
        Err(_) => data.to_vec(),
    };
    hear_and_command(&[
        ("zigbee2mqtt/bridge/devices", &listed),
        ("zigbee2mqtt/Thing", data),
    ]);
}

fn hear_and_command(messages: &[(&str, &[u8])]) {
    let start = now();
    let mut finder = Finder::new(Ears::default(), Arc::clone(&HOME), "sayso");
    for (topic, payload) in messages.iter().filter(|(topic, _)| finder_listens(topic)) {
        finder.receive(topic, payload, start);
    }
    let home = finder
        .build()
        .expect("announced devices never conflict")
        .home;
    for topic in home.command_topics() {
        let own = topic
            .strip_prefix("sayso/")
            .is_none_or(|rest| rest.starts_with("action/"));
        assert!(
            own && !topic.starts_with('$') && !topic.contains(['+', '#', '\0']),
            "{topic:?}"
        );
    }
    for device in home.devices() {
        let names = device.aliases.iter().chain([&device.name]);
        assert!(
            names
                .clone()
                .all(|name| name.chars().count() <= 80 && !name.chars().any(char::is_control)),
            "{device:?}"
        );
        for capability in device.capabilities.iter().filter(|c| c.settable) {
            for value in values(&capability.domain) {
                command(&home, device, capability, value);
            }
        }
    }
    for (topic, payload) in messages {
        home.observe(topic, payload);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "no test's time is paused here, and the fuzzer needs no tokio"
)]
fn now() -> Instant {
    Instant::now()
}

fn finder_listens(topic: &str) -> bool {
    Ears::default().matches(topic)
}

fn values(takes: &Domain) -> Vec<Option<Value>> {
    match takes {
        Domain::Choice(words) => words.iter().map(|word| Some(Value::text(word))).collect(),
        Domain::Number { min, max, .. } => [*min, f64::midpoint(*min, *max), *max]
            .map(|n| Some(Value::Number(n)))
            .to_vec(),
        Domain::Color => vec![Some(Value::text("orange"))],
        Domain::Boolean => vec![Some(Value::Flag(true))],
        Domain::Trigger => vec![None],
    }
}

fn command(home: &Home, device: &Device, capability: &Capability, value: Option<Value>) {
    let action = Action {
        device: device.id.as_str().into(),
        property: capability.property.clone(),
        op: Op::Set,
        value,
    };
    permit(
        home,
        &Draft {
            actions: vec![action],
            ..Draft::default()
        },
    );
}

fn permit(home: &Home, draft: &Draft) {
    let speech = LOCAL.speech(&Phrase::new("", None, None));
    let asker = PermitRequest {
        source: "fuzz",
        command: "1",
        confirmed: true,
        now: now(),
        speech,
    };
    if let Err(denied) = home.permit(draft, &State::default(), asker) {
        assert!(!denied.sentence(speech).is_empty());
    }
}

/// A template, line feed, and the payload it is rendered with: rendering ends soon, with a text of
/// bounded length.
pub(crate) fn template(data: &[u8]) {
    let Some((text, payload)) = message(data) else {
        return;
    };
    let Ok(template) = Template::parse(text) else {
        return;
    };
    let value = serde_json::from_slice(payload)
        .unwrap_or_else(|_| Json::String(String::from_utf8_lossy(payload).into_owned()));
    for filled in [template.render(&value), template.render_command(&value)]
        .into_iter()
        .flatten()
    {
        assert!(
            filled.len() <= data.len() + (1 << 20),
            "{} bytes came of {}",
            filled.len(),
            data.len()
        );
    }
}

/// A phrase in a home: the reading is deterministic, names only existing devices, and either asks
/// or acts.
pub(crate) fn phrase(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for area in [None, Some("kitchen")] {
        let phrase = Phrase::new(text, area, None);
        let draft = LOCAL.draft(&phrase, &HOME);
        assert_eq!(draft, LOCAL.draft(&phrase, &HOME));
        LOCAL.confirmation(&phrase);
        let Some(draft) = draft else { continue };
        assert!(
            draft.question.is_none() || draft.actions.is_empty(),
            "{draft:?}"
        );
        assert!(
            draft.actions.len() <= MOST_ACTIONS,
            "{} actions",
            draft.actions.len()
        );
        for action in &draft.actions {
            let device = HOME.device(&action.device).expect("a device that is there");
            assert!(device.capability(&action.property).is_some(), "{action:?}");
        }
        permit(&HOME, &draft);
    }
}

/// A message on a command topic: topic, response topic and payload, a line each. It is decoded or
/// rejected, and its reply goes to a topic below a permitted prefix.
pub(crate) fn decode(data: &[u8]) {
    let Some((topic, rest)) = message(data) else {
        return;
    };
    let Some((response_topic, payload)) = message(rest) else {
        return;
    };
    let rules = WireRules {
        prefix: "sayso".to_owned(),
        reply_prefixes: vec!["panel/".to_owned()],
        devices: DeviceTopics::default(),
        ttl: Duration::from_mins(1),
    };
    let letter = Inbound {
        topic,
        payload,
        response_topic: (!response_topic.is_empty()).then_some(response_topic),
        correlation: Some(payload),
        expiry: None,
        hops: 0,
        heard_at: now(),
        wall_clock: Some(std::time::UNIX_EPOCH + Duration::from_hours(500_000)),
    };
    let (reply_to, id) = match wire::decode(&letter, &rules) {
        Ok(command) => {
            assert!(
                command.deadline <= command.received_at + wire::MAX_TTL
                    && !command.text.trim().is_empty()
            );
            (command.reply_to, command.id)
        }
        Err(rejected) => {
            assert!(rejected.text.len() <= wire::MAX_PAYLOAD);
            (rejected.reply_to, rejected.id)
        }
    };
    assert!(!id.is_empty());
    assert!(
        reply_to.topic.starts_with("sayso/reply/") || reply_to.topic.starts_with("panel/"),
        "{}",
        reply_to.topic
    );
    assert!(
        !reply_to.topic.contains(['+', '#', '\0']) || !reply_to.topic.starts_with("panel/"),
        "{}",
        reply_to.topic
    );
}

/// A record of the journal, possibly from a damaged disk: it is decoded or rejected, and a decoded
/// record stays the same when it is written and read again.
pub(crate) fn record(data: &[u8]) {
    let Some(record) = JournalRecord::read(data) else {
        return;
    };
    let written = |record: &JournalRecord| {
        let mut text = Vec::new();
        record.write_to(&mut text).expect("JSON can hold a record");
        text
    };
    let again = JournalRecord::read(&written(&record)).expect("what was written can be read");
    let [was, is] = [&record, &again]
        .map(|record| serde_json::from_slice(&written(record)).expect("a record is JSON"));
    assert!(same(&was, &is), "{was} became {is}");
    let devices = |record: &JournalRecord| {
        let reply = record.reply();
        let devices = reply.iter().flat_map(Reply::commanded_devices);
        devices.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(devices(&again), devices(&record));
}

/// Compares with a tolerance, because `serde_json` parses numbers fast and not to the last bit.
fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(a), Json::Number(b)) if a.is_f64() && b.is_f64() => {
            let [a, b] = [a, b].map(|number| number.as_f64().unwrap_or_default());
            (a - b).abs() <= a.abs() * 4.0 * f64::EPSILON
        }
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => one == other,
    }
}

static LOCAL: LazyLock<LocalGrammar> = LazyLock::new(|| {
    LocalGrammar::new(&Readings::default()).expect("the built-in languages are sound")
});

/// A small home with a device of every type.
static HOME: LazyLock<Arc<Home>> = LazyLock::new(|| {
    let slug = |text: &str| Slug::new(text).expect("a slug");
    let area = |id: &str, name: &str, floor: &str| Area {
        id: slug(id),
        name: name.to_owned(),
        aliases: Vec::new(),
        floor: Some(floor.to_owned()),
    };
    let kinds = [
        ("kitchen_light", "light", "kitchen"),
        ("bedside_lamp", "light", "bedroom"),
        ("blinds", "cover", "bedroom"),
        ("front_door", "lock", "kitchen"),
        ("thermostat", "climate", "kitchen"),
        ("ceiling_fan", "fan", "bedroom"),
        ("radio", "media_player", "kitchen"),
        ("robot", "vacuum", "kitchen"),
        ("film_night", "scene", "bedroom"),
        ("coffee_machine", "switch", "kitchen"),
    ];
    let device = |(id, kind, area): (&str, &str, &str)| Device {
        area: Some(slug(area)),
        ..Device::new(slug(id), Kind::new(slug(kind)))
    };
    let mut devices: Vec<Device> = kinds.into_iter().map(device).collect();
    for property in ["color", "color_temp"] {
        devices[1]
            .capabilities
            .push(Capability::standard(property.into()));
    }
    let areas = vec![
        area("kitchen", "Kitchen", "downstairs"),
        area("bedroom", "Bedroom", "upstairs"),
    ];
    Arc::new(Home::new(areas, devices, Rights::default(), "sayso").expect("nothing clashes"))
});
