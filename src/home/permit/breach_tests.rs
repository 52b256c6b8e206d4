//! Property test of the gate against a simulation of the ecosystems: random homes with groups,
//! nested groups, shared topics and hostile announcements; random sources, states and drafts. The
//! simulation decides by rules of its own which things a published message moves, and each of them
//! must be allowed to move that way.

use std::cell::Cell;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::binding::{Binding, Decoded, Form, Port, tasmota, zigbee2mqtt};
use crate::clock::now;
use crate::home::capability::{Capability, Guard, Risk};
use crate::home::device::{Device, Kind, Members};
use crate::home::permit::*;
use crate::home::rights::{Rights, Rules, Selector};
use crate::home::state::Report;
use crate::vocabulary::Domain;
use crate::vocabulary::slug::Slug;
use crate::vocabulary::speech::english;

/// A physical device, and the changes to it that the operator allows.
struct Thing {
    id: &'static str,
    kind: &'static str,
    /// The name and the IEEE address in `Zigbee2MQTT`, or the topic and the fallback topic in
    /// Tasmota.
    names: [&'static str; 2],
    policy: Policy,
}

#[derive(Clone, Copy, PartialEq)]
enum Policy {
    Free,
    OpeningConfirmed,
    Confirmed,
    Never,
}

const ZIGBEE: [Thing; 7] = [
    thing("lamp", "light", ["Lamp", "0x01"], Policy::Free),
    thing(
        "front_door",
        "lock",
        ["Front door", "0x05"],
        Policy::OpeningConfirmed,
    ),
    thing("oven", "switch", ["Oven", "0x06"], Policy::Never),
    thing(
        "garage",
        "cover",
        ["Garage", "0x07"],
        Policy::OpeningConfirmed,
    ),
    thing("heater", "switch", ["Heater", "0x08"], Policy::Confirmed),
    thing("blind", "cover", ["Blind", "0x09"], Policy::Free),
    thing("ceiling", "light", ["hall/Ceiling", "0x0a"], Policy::Free),
];

const TASMOTA: [Thing; 2] = [
    thing("plug", "switch", ["plug", "DVES_0000AA_fb"], Policy::Free),
    thing("pump", "switch", ["pump", "DVES_0000BB_fb"], Policy::Never),
];

const fn thing(
    id: &'static str,
    kind: &'static str,
    names: [&'static str; 2],
    policy: Policy,
) -> Thing {
    Thing {
        id,
        kind,
        names,
        policy,
    }
}

fn things() -> impl Iterator<Item = &'static Thing> {
    ZIGBEE.iter().chain(&TASMOTA)
}

/// One random home.
#[derive(Debug, Clone)]
struct World {
    /// Whether the bridge itself reported which device has which number.
    vouched: bool,
    /// The members of the two groups of the bridge, by position in [`ZIGBEE`].
    groups: [Vec<usize>; 2],
    /// Whether the members of each group are known.
    known: [bool; 2],
    /// Messages that the hostile devices send for "on", as positions in [`hostile_topics`] and
    /// [`PAYLOADS`].
    hostile: Vec<(usize, usize)>,
    denied: Vec<usize>,
    /// The position of the garage door: percent, age in seconds, and whether it was reported or
    /// only commanded.
    garage: Option<(u8, u16, bool)>,
    confirmed: bool,
}

const GROUPS: [(&str, &str); 2] = [("Group A", "21"), ("Group B", "22")];

const DENIALS: [&str; 7] = [
    "kind:lock",
    "kind:cover",
    "device:oven",
    "device:garage",
    "device:lamp",
    "device:plug",
    "property:power",
];

const PAYLOADS: [&str; 12] = [
    "ON",
    "OFF",
    "OPEN",
    "UNLOCK",
    r#"{"state":"ON"}"#,
    r#"{"state":"UNLOCK"}"#,
    r#"{"state":"LOCK"}"#,
    r#"{"position":100}"#,
    r#"{"position":0}"#,
    "Power on; Publish z/Front door/set UNLOCK",
    "POWER1 ON; publish2 cmnd/pump/POWER ON",
    "z/Oven/set ON",
];

/// Returns every spelling of a topic that reaches a device or a group.
fn hostile_topics() -> Vec<String> {
    let mut topics = Vec::new();
    let groups = GROUPS.iter().flat_map(|(name, number)| [*name, *number]);
    let names = ZIGBEE.iter().flat_map(|thing| thing.names);
    for name in names.chain(groups) {
        for form in [
            "set",
            "set/state",
            "left/set",
            "l1/set",
            "1/set/state",
            "get",
        ] {
            topics.push(format!("z/{name}/{form}"));
        }
    }
    for name in TASMOTA
        .iter()
        .flat_map(|t| t.names)
        .chain(["tasmotas", "x"])
    {
        for command in [
            "POWER",
            "Power0",
            "Backlog",
            "BACKLOG0",
            "Publish2",
            "TelePeriod",
        ] {
            topics.push(format!("cmnd/{name}/{command}"));
        }
    }
    topics.extend(["house/set", "outer/set", "own/lamp"].map(str::to_owned));
    topics
}

/// Returns the things that a message moves.
fn moved(world: &World, topic: &str, payload: &str) -> Vec<&'static Thing> {
    let members = |group: usize| world.groups[group].iter().map(|&n| &ZIGBEE[n]);
    if topic.starts_with("house/set") || topic.starts_with("outer/set") {
        return members(0).chain(members(1)).collect();
    }
    if let Some(rest) = topic.strip_prefix("cmnd/") {
        let (name, command) = rest.split_once('/').unwrap_or((rest, ""));
        let mut moved: Vec<&Thing> = TASMOTA
            .iter()
            .filter(|thing| thing.names.contains(&name) || name == "tasmotas")
            .collect();
        let known = !moved.is_empty();
        let command = command.to_lowercase();
        let commands: Vec<String> = if command.starts_with("backlog") {
            payload.split(';').map(|c| c.trim().to_owned()).collect()
        } else {
            vec![format!("{command} {payload}")]
        };
        for command in commands.iter().filter(|_| known) {
            let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
            if verb.to_lowercase().starts_with("publish")
                && let Some(at) = rest.rfind(' ')
            {
                moved.extend(self::moved(world, &rest[..at], &rest[at + 1..]));
            }
        }
        return moved;
    }
    let Some(rest) = topic.strip_prefix("z/") else {
        return Vec::new();
    };
    let Some((entity, _)) = rest.split_once("/set") else {
        return Vec::new();
    };
    let is = |name: &str| {
        entity == name
            || ["left", "l1", "1"]
                .iter()
                .any(|endpoint| entity == format!("{name}/{endpoint}"))
    };
    let mut moved: Vec<&Thing> = ZIGBEE
        .iter()
        .filter(|thing| thing.names.iter().any(|name| is(name)))
        .collect();
    for (group, (name, number)) in GROUPS.iter().enumerate() {
        if is(name) || is(number) {
            moved.extend(members(group));
        }
    }
    moved
}

/// Returns whether a payload certainly closes or locks.
fn closes(payload: &str) -> bool {
    matches!(
        payload,
        r#"{"state":"LOCK"}"# | r#"{"position":0}"# | r#"{"state":"STOP"}"# | "LOCK" | "CLOSE"
    )
}

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

fn bound(thing: &Thing) -> Device {
    let mut device = Device::new(slug(thing.id), Kind::new(slug(thing.kind)));
    for capability in &mut device.capabilities {
        let property = capability.property.clone();
        capability.binding = if TASMOTA.iter().any(|t| t.id == thing.id) {
            tasmota(thing.names[0], &property, None)
        } else {
            zigbee2mqtt("z", thing.names[0], &property, None)
        };
    }
    if thing.id == "garage" {
        device.class = Some("garage".to_owned());
    }
    device.apply_default_guards();
    let risk = match thing.policy {
        Policy::Never => Some(Risk::Never),
        Policy::Confirmed => Some(Risk::Confirm),
        Policy::Free | Policy::OpeningConfirmed => None,
    };
    if let Some(risk) = risk {
        for capability in &mut device.capabilities {
            capability.guard = Guard::all(risk);
        }
    }
    device
}

/// Returns a group with the abilities of a light and a cover.
fn group(id: &str, topic: &str, members: Members) -> Device {
    let mut device = Device::new(slug(id), Kind::new(slug("light")));
    device
        .capabilities
        .push(Capability::standard(Property::Position));
    for capability in &mut device.capabilities {
        capability.binding = zigbee2mqtt("x", "x", &capability.property, None);
        let command = capability.binding.command.as_mut().unwrap();
        command.topic = topic.into();
        capability.binding.stop = None;
        capability.binding.toggle = None;
    }
    device.members = members;
    device
}

impl World {
    fn home(&self) -> Home {
        let mut devices: Vec<Device> = things().map(bound).collect();
        if self.vouched {
            for (device, thing) in devices.iter_mut().zip(&ZIGBEE) {
                device.bridge_id = Some(thing.names[1].to_owned());
            }
        }
        for (n, (name, number)) in GROUPS.iter().enumerate() {
            let id = format!("group_{n}");
            let ids = self.groups[n].iter().map(|&m| ZIGBEE[m].id.to_owned());
            let members = Members {
                ids: if self.known[n] {
                    ids.collect()
                } else {
                    Vec::new()
                },
                complete: self.known[n],
            };
            let mut device = group(&id, &format!("z/{name}/set"), members);
            device.bridge_id = self.vouched.then(|| (*number).to_owned());
            devices.push(device);
        }
        let nested = |ids: &[&str]| Members {
            ids: ids.iter().map(|&id| id.to_owned()).collect(),
            complete: true,
        };
        devices.push(group("house", "house/set", nested(&["group_0", "group_1"])));
        // A group may name itself, directly or through another one.
        devices.push(group("outer", "outer/set", nested(&["house", "outer"])));
        let topics = hostile_topics();
        for (n, &(topic, payload)) in self.hostile.iter().enumerate() {
            devices.push(hostile(n, &topics[topic % topics.len()], PAYLOADS[payload]));
        }
        let rules = Rules {
            allow: Vec::new(),
            deny: self
                .denied
                .iter()
                .map(|&n| Selector::parse(DENIALS[n]).unwrap())
                .collect(),
        };
        let rights = Rights {
            by_source: [("guest".to_owned(), rules)].into(),
            ..Rights::default()
        };
        Home::new(Vec::new(), devices, rights, "sayso").unwrap()
    }

    fn state(&self, home: &Home) -> State {
        let mut state = State::default();
        let Some((percent, age, reported)) = self.garage else {
            return state;
        };
        let at = now()
            .checked_sub(Duration::from_secs(u64::from(age)))
            .unwrap_or_else(now);
        let value = Value::Number(f64::from(percent));
        if reported {
            let report = Report {
                device: slug("garage"),
                property: Property::Position,
                decoded: Decoded::Value(value),
                expire_after: None,
                reverts: None,
            };
            state.report(report, at);
        } else {
            home.assume(
                &mut state,
                &slug("garage"),
                (&Property::Position, value),
                at,
            );
        }
        state
    }
}

/// Returns a light of a hostile announcement, which sends any message for "on" and any value
/// elsewhere.
fn hostile(n: usize, topic: &str, payload: &str) -> Device {
    let mut device = Device::new(slug(&format!("hostile_{n}")), Kind::new(slug("light")));
    device.capabilities[0].binding = Binding {
        fixed: vec![(Value::text("on"), Publication::new(topic, payload))],
        stop: Some(Publication::new(topic, payload)),
        toggle: Some(Publication::new(topic, payload)),
        ..Binding::default()
    };
    device.capabilities[1].binding.command = Some(Port {
        topic: topic.into(),
        form: Form::Raw,
    });
    device.capabilities[1].domain = Domain::number(0.0, 100.0, "%");
    device
}

fn any_world() -> impl Strategy<Value = World> {
    let members = || prop::collection::vec(0..ZIGBEE.len(), 0..4);
    let topics = hostile_topics().len();
    (
        any::<bool>(),
        [members(), members()],
        any::<[bool; 2]>(),
        prop::collection::vec((0..topics, 0..PAYLOADS.len()), 0..4),
        prop::collection::vec(0..DENIALS.len(), 0..3),
        prop::option::of((0..=100_u8, 0..2000_u16, any::<bool>())),
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |(vouched, groups, known, hostile, denied, garage, confirmed)| World {
                vouched,
                groups,
                known,
                hostile,
                denied,
                garage,
                confirmed,
            },
        )
}

fn any_action() -> impl Strategy<Value = Action> {
    let devices: Vec<String> = things()
        .map(|thing| thing.id.to_owned())
        .chain(["group_0", "group_1", "house", "outer"].map(str::to_owned))
        .chain((0..4).map(|n| format!("hostile_{n}")))
        .collect();
    let changes = prop::sample::select(vec![
        ("power", Op::Set, Some(Value::text("on"))),
        ("power", Op::Set, Some(Value::text("off"))),
        ("power", Op::Toggle, None),
        ("power", Op::Stop, None),
        ("brightness", Op::Set, Some(Value::Number(50.0))),
        ("brightness", Op::Increase, None),
        ("position", Op::Set, Some(Value::Number(100.0))),
        ("position", Op::Set, Some(Value::Number(30.0))),
        ("position", Op::Set, Some(Value::Number(0.0))),
        ("position", Op::Decrease, None),
        ("position", Op::Toggle, None),
        ("position", Op::Stop, None),
        ("lock", Op::Set, Some(Value::text("unlocked"))),
        ("lock", Op::Set, Some(Value::text("locked"))),
        ("lock", Op::Toggle, None),
    ]);
    (prop::sample::select(devices), changes).prop_map(|(device, (property, op, value))| Action {
        device: device.into(),
        property: property.into(),
        op,
        value,
    })
}

/// Returns the rule that a published message breaks, if there is one.
fn breach(world: &World, home: &Home, source: &str, step: &Step) -> Option<String> {
    let publication = step.publication();
    for thing in moved(world, &publication.topic, &publication.payload) {
        let device = home.device(thing.id).unwrap();
        let may = device
            .capabilities
            .iter()
            .any(|c| home.rights().allow(source, device, &c.property));
        // A door that is certainly closing, or closes further than it was reported open a moment
        // ago.
        let reported = world
            .garage
            .filter(|(_, age, reported)| *reported && *age < 900)
            .map(|(percent, ..)| f64::from(percent));
        let lowers = thing.id == "garage"
            && reported.is_some_and(
                |from| matches!(step.target_value(), Some(Value::Number(to)) if *to < from),
            );
        let opens = !closes(&publication.payload) && !lowers;
        let allowed = match thing.policy {
            Policy::Free => true,
            Policy::OpeningConfirmed => world.confirmed || !opens,
            Policy::Confirmed => world.confirmed,
            Policy::Never => false,
        };
        if !may || !allowed {
            return Some(format!(
                "{source} moved {} by {} {}",
                thing.id, publication.topic, publication.payload
            ));
        }
    }
    None
}

#[test]
fn no_message_moves_a_device_that_may_not_be_moved_that_way() {
    const CASES: u32 = 3000;
    let (permitted, refused) = (Cell::new(0_u32), Cell::new(0_u32));
    let strategy = (
        any_world(),
        prop::collection::vec(any_action(), 1..4),
        prop::sample::select(vec!["owner", "guest"]),
        any::<bool>(),
    );
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&strategy, |(world, actions, source, collective)| {
        let home = world.home();
        let state = world.state(&home);
        let draft = Draft {
            actions,
            scope: if collective {
                TargetScope::Group
            } else {
                TargetScope::Named
            },
            ..Draft::default()
        };
        let context = PermitRequest {
            source,
            command: "c",
            confirmed: world.confirmed,
            now: now(),
            speech: english(),
        };
        let Ok(plan) = home.permit(&draft, &state, context) else {
            refused.set(refused.get() + 1);
            return Ok(());
        };
        permitted.set(permitted.get() + 1);
        for step in plan.steps() {
            if let Some(breach) = breach(&world, &home, source, step) {
                return Err(TestCaseError::fail(breach));
            }
        }
        Ok(())
    });
    println!(
        "{CASES} cases: {} plans permitted, {} drafts refused, breaches: {}",
        permitted.get(),
        refused.get(),
        u32::from(result.is_err())
    );
    assert!(result.is_ok(), "{}", result.unwrap_err());
    assert!(permitted.get() > CASES / 20, "the gate refuses everything");
}
