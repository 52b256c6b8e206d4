//! Tests of the registry: merging, names, groups, and devices that the operator declared.

use serde_json::{Value as Json, json};

use crate::discovery::registry::*;
use crate::discovery::{homeassistant, zigbee2mqtt};
use crate::home::Home;
use crate::home::capability::{Capability, Risk};
use crate::home::device::Kind;
use crate::home::permit::{Denied, PermitRequest};
use crate::home::rights::Rights;
use crate::home::state::State;
use crate::vocabulary::Property;
use crate::vocabulary::Value;
use crate::vocabulary::action::{Action, Draft, Op};
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::slug::Slug;
use crate::vocabulary::speech::english;

const IEEE: &str = "0x00158d0001a2b3c4";

fn announce(registry: &mut Registry, topic: &str, payload: &Json) -> RegistryChange {
    let bytes = payload.to_string();
    let message = match topic {
        "zigbee2mqtt/bridge/devices" => zigbee2mqtt::parse_devices("zigbee2mqtt", bytes.as_bytes()),
        "zigbee2mqtt/bridge/groups" => zigbee2mqtt::parse_groups("zigbee2mqtt", bytes.as_bytes()),
        _ => homeassistant::parse("homeassistant", topic, bytes.as_bytes()),
    };
    registry.update(topic, message.unwrap())
}

fn zigbee_lamp(registry: &mut Registry, name: &str) {
    let state = json!({"type": "binary", "name": "state", "property": "state", "access": 7, "value_on": "ON", "value_off": "OFF"});
    let exposes = json!([{"type": "light", "features": [state]}]);
    announce(
        registry,
        "zigbee2mqtt/bridge/devices",
        &json!([{"ieee_address": IEEE, "friendly_name": name, "definition": {"exposes": exposes}}]),
    );
}

fn switch(registry: &mut Registry, object: &str, name: &str) -> RegistryChange {
    let config = json!({"name": name, "cmd_t": format!("{object}/set"), "stat_t": format!("{object}/state")});
    announce(
        registry,
        &format!("homeassistant/switch/{object}/config"),
        &config,
    )
}

fn assembled(registry: &Registry) -> Vec<Device> {
    let AssembledHome { areas, devices, .. } = registry.assemble(Vec::new(), Vec::new());
    Home::with_announced(areas, devices.clone(), 0, Rights::default(), "sayso").unwrap();
    devices
}

fn names(devices: &[Device]) -> Vec<&str> {
    devices.iter().map(|d| d.name.as_str()).collect()
}

#[test]
fn parts_of_one_device_and_type_without_a_name_of_their_own_are_numbered() {
    let mut registry = Registry::new("sayso");
    let part = |kind: &str, property: &str| {
        let state = json!({"type": "binary", "name": "state", "property": property, "access": 7, "value_on": "ON", "value_off": "OFF"});
        json!({"type": kind, "features": [state]})
    };
    let exposes = json!([part("fan", "fan"), part("light", "a"), part("light", "b")]);
    announce(
        &mut registry,
        "zigbee2mqtt/bridge/devices",
        &json!([{"ieee_address": IEEE, "friendly_name": "Ceiling", "definition": {"exposes": exposes}}]),
    );
    let devices = assembled(&registry);
    assert_eq!(
        names(&devices),
        ["Ceiling", "Ceiling light", "Ceiling light 2"]
    );
}

#[test]
fn a_device_announced_twice_is_one_with_the_name_from_home_assistant() {
    let mut registry = Registry::new("sayso");
    zigbee_lamp(&mut registry, "lamp_17");
    let device =
        json!({"ids": [format!("zigbee2mqtt_{IEEE}")], "name": "Reading lamp", "sa": "Study"});
    let config =
        json!({"schema": "json", "name": null, "cmd_t": "zigbee2mqtt/lamp_17/set", "dev": device});
    announce(&mut registry, "homeassistant/light/lamp_17/config", &config);
    let AssembledHome { areas, devices, .. } = registry.assemble(Vec::new(), Vec::new());
    assert_eq!(names(&devices), ["Reading lamp"]);
    assert_eq!(areas[0].name, "Study");
    assert_eq!(devices[0].area.as_ref(), Some(&areas[0].id));
}

#[test]
fn an_origin_that_only_reads_a_device_does_not_hide_one_that_sets_it() {
    let mut registry = Registry::new("sayso");
    zigbee_lamp(&mut registry, "lamp_17");
    let device = json!({"ids": [format!("zigbee2mqtt_{IEEE}")], "name": "Reading lamp"});
    announce(
        &mut registry,
        "homeassistant/sensor/lamp_17/config",
        &json!({"dev_cla": "voltage", "stat_t": "zigbee2mqtt/lamp_17", "dev": device}),
    );
    let devices = assembled(&registry);
    assert_eq!(names(&devices), ["lamp 17"]);
    assert!(devices[0].capability(&Property::Power).is_some());
}

#[test]
fn the_same_announcement_again_changes_nothing() {
    let mut registry = Registry::new("sayso");
    assert!(switch(&mut registry, "a", "Pump").changed);
    assert!(!switch(&mut registry, "a", "Pump").changed);
    assert!(switch(&mut registry, "a", "Well pump").changed);
    assert_eq!(names(&assembled(&registry)), ["Well pump"]);
    let topic = "homeassistant/switch/a/config";
    assert!(registry.update(topic, Announcement::Removed).changed);
    assert!(!registry.update(topic, Announcement::Removed).changed);
    assert!(registry.is_empty());
}

#[test]
fn equal_names_are_kept_and_reported_and_identifiers_are_unique() {
    let mut registry = Registry::new("sayso");
    for object in ["c", "a", "b"] {
        switch(&mut registry, object, "Plug");
    }
    switch(&mut registry, "d", "插座");
    let home = registry.assemble(Vec::new(), Vec::new());
    assert_eq!(names(&home.devices), ["Plug", "Plug", "Plug", "插座"]);
    let ids: Vec<&str> = home.devices.iter().map(|d| d.id.as_str()).collect();
    assert_eq!(ids, ["plug", "plug_2", "plug_3", "switch"]);
    assert_eq!(home.conflicts.len(), 2, "{:?}", home.conflicts);
    let first = home.devices[0].capabilities[0].command_topics().next();
    assert_eq!(
        first.map(SharedStr::as_str),
        Some("c/set"),
        "the first announcement keeps the identifier"
    );
}

#[test]
fn a_later_announcement_of_a_name_takes_nothing_from_the_first() {
    let mut registry = Registry::new("sayso");
    let lock = |registry: &mut Registry, object: &str, unique: &str| {
        let config =
            json!({"name": "Front door", "uniq_id": unique, "cmd_t": format!("{object}/set")});
        announce(
            registry,
            &format!("homeassistant/lock/{object}/config"),
            &config,
        );
    };
    lock(&mut registry, "yale", "yale-1234");
    lock(&mut registry, "evil", "0");
    let devices = assembled(&registry);
    let topic = |id: &str| {
        let device = devices.iter().find(|d| d.id.as_str() == id).unwrap();
        device.capabilities[0]
            .command_topics()
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(topic("front_door"), "yale/set");
    assert_eq!(topic("front_door_2"), "evil/set");
    // An update of the first keeps its place.
    lock(&mut registry, "yale", "yale-1234");
    assert_eq!(topic("front_door"), "yale/set");
}

#[test]
fn devices_are_bounded_in_number_and_still_make_a_home() {
    let mut registry = Registry::new("sayso");
    for object in 0..MAX_DEVICES {
        assert_eq!(
            switch(
                &mut registry,
                &object.to_string(),
                &format!("Plug {object}")
            )
            .without_room,
            0
        );
    }
    assert_eq!(
        switch(&mut registry, "one_more", "Plug"),
        RegistryChange {
            changed: false,
            with_own_topic: 0,
            without_room: 1
        }
    );
    assert_eq!(registry.len(), MAX_DEVICES);
    assert_eq!(assembled(&registry).len(), MAX_DEVICES);
    // What is known may still change, and what is gone makes room.
    assert!(switch(&mut registry, "7", "Pump").changed);
    registry.update("homeassistant/switch/8/config", Announcement::Removed);
    assert_eq!(switch(&mut registry, "one_more", "Plug").without_room, 0);
}

#[test]
fn a_device_that_would_command_sayso_is_rejected() {
    let mut registry = Registry::new("sayso");
    assert_eq!(
        switch(&mut registry, "sayso/command", "Loop"),
        RegistryChange {
            changed: false,
            with_own_topic: 1,
            without_room: 0
        }
    );
    assert_eq!(switch(&mut registry, "saysoever", "Fine").with_own_topic, 0);
}

#[test]
fn a_group_can_do_what_its_members_can() {
    let mut registry = Registry::new("sayso");
    let groups = json!([{"id": 1, "friendly_name": "all", "members": [{"ieee_address": IEEE}]}]);
    announce(&mut registry, "zigbee2mqtt/bridge/groups", &groups);
    assert_eq!(
        assembled(&registry),
        [],
        "nobody knows what its member can do"
    );
    zigbee_lamp(&mut registry, "lamp_17");
    let devices = assembled(&registry);
    let group = devices.iter().find(|d| d.name == "all").unwrap();
    assert_eq!(
        group
            .capabilities
            .iter()
            .map(|c| c.property.name())
            .collect::<Vec<_>>(),
        ["power"]
    );
    assert_eq!(group.kind.as_str(), "light");
}

#[test]
fn a_group_the_operator_bound_learns_its_members_from_the_bridge() {
    let mut registry = Registry::new("sayso");
    let groups = json!([{"id": 1, "friendly_name": "all", "members": [{"ieee_address": IEEE}]}]);
    announce(&mut registry, "zigbee2mqtt/bridge/groups", &groups);
    zigbee_lamp(&mut registry, "lamp_17");
    let mut group = declared("downstairs", "light");
    for capability in &mut group.capabilities {
        let property = capability.property.clone();
        capability.binding = crate::binding::zigbee2mqtt("zigbee2mqtt", "all", &property, None);
    }
    let devices = registry.assemble(Vec::new(), vec![group]).devices;
    assert_eq!(names(&devices), ["downstairs", "lamp 17"]);
    assert_eq!(devices[0].members.ids, [IEEE]);
    assert!(devices[0].members.complete);
    assert!(devices[1].members.ids.is_empty());
}

#[test]
fn a_device_the_operator_bound_is_not_added_again() {
    let mut registry = Registry::new("sayso");
    switch(&mut registry, "pump", "Pump");
    let mut declared = assembled(&registry).remove(0);
    declared.name = "Garden well".to_owned();
    declared.id = Slug::new("garden_well").unwrap();
    let AssembledHome { devices, .. } = registry.assemble(Vec::new(), vec![declared]);
    assert_eq!(names(&devices), ["Garden well"]);
}

fn announce_gate(registry: &mut Registry) {
    let gate =
        json!({"name": "Gate", "dev_cla": "gate", "cmd_t": "gate/set", "stat_t": "gate/state"});
    announce(registry, "homeassistant/cover/gate/config", &gate);
}

fn declared(id: &str, kind: &str) -> Device {
    Device::new(Slug::new(id).unwrap(), Kind::new(Slug::new(kind).unwrap()))
}

#[test]
fn a_declared_device_without_binding_takes_over_the_announced_one() {
    let mut registry = Registry::new("sayso");
    switch(&mut registry, "pump/1", "Pump");
    let mut pump = declared("pump", "switch");
    pump.aliases = vec!["The big one".to_owned()];
    let devices = registry.assemble(Vec::new(), vec![pump]).devices;
    assert_eq!(devices.len(), 1);
    let power = devices[0].capability(&Property::Power).unwrap();
    let on = power.binding.encode(&Value::text("on")).unwrap();
    assert_eq!(on.topic, "pump/1/set");
    assert_eq!(devices[0].aliases, ["The big one"]);
}

#[test]
fn an_entrance_is_bound_to_an_announcement_only_if_the_operator_names_it() {
    let mut registry = Registry::new("sayso");
    announce_gate(&mut registry);
    let by_name = registry.assemble(Vec::new(), vec![declared("gate", "cover")]);
    assert_eq!(by_name.devices.len(), 2);
    assert!(
        by_name.devices[0]
            .capability(&Property::Position)
            .unwrap()
            .command_topics()
            .next()
            .is_none()
    );
    assert!(
        by_name.conflicts[0].contains("announced = \"homeassistant/cover/gate/config\""),
        "{:?}",
        by_name.conflicts
    );
    let mut gate = declared("drive", "cover");
    gate.announced = Some("homeassistant/cover/gate/config".to_owned());
    let named = registry.assemble(Vec::new(), vec![gate]).devices;
    assert_eq!(named.len(), 1);
    let position = named[0].capability(&Property::Position).unwrap();
    assert_eq!(
        position
            .binding
            .encode(&Value::Number(100.0))
            .unwrap()
            .topic,
        "gate/set"
    );
    assert_eq!(position.guard.opening, Risk::Confirm);
}

#[test]
fn a_device_whose_announcement_is_missing_is_refused_and_reported() {
    let lock_it = |registry: &Registry| {
        let mut lock = declared("cellar_lock", "lock");
        lock.announced = Some("homeassistant/lock/cellar/config".to_owned());
        let AssembledHome { devices, unmet, .. } = registry.assemble(Vec::new(), vec![lock]);
        let home = Home::new(Vec::new(), devices, Rights::default(), "sayso").unwrap();
        let action = Action {
            device: "cellar_lock".into(),
            property: Property::Lock,
            op: Op::Set,
            value: Some(Value::text("locked")),
        };
        let draft = Draft {
            actions: vec![action],
            ..Draft::default()
        };
        let request = PermitRequest {
            source: "panel",
            command: "1",
            confirmed: false,
            now: crate::clock::now(),
            speech: english(),
        };
        let permitted = home.permit(&draft, &State::default(), request);
        (permitted.map(|plan| plan.steps().len()), unmet)
    };
    let mut registry = Registry::new("sayso");
    let (missing, unmet) = lock_it(&registry);
    let denied = missing.unwrap_err();
    assert!(matches!(denied, Denied::NotAnnounced { .. }), "{denied}");
    assert!(
        unmet[0].contains("homeassistant/lock/cellar/config"),
        "{unmet:?}"
    );
    let topic = "homeassistant/lock/cellar/config";
    announce(
        &mut registry,
        topic,
        &json!({"name": "Cellar", "cmd_t": "c/set"}),
    );
    assert_eq!(lock_it(&registry), (Ok(1), Vec::new()));
    registry.update(topic, Announcement::Removed);
    assert!(lock_it(&registry).0.is_err());
}

#[test]
fn the_operators_risk_holds_over_the_announced_one() {
    let mut registry = Registry::new("sayso");
    announce_gate(&mut registry);
    let opening = |risks: &[(Option<Property>, Risk)]| {
        let mut gate = declared("gate", "cover");
        gate.announced = Some("homeassistant/cover/gate/config".to_owned());
        gate.risks = risks.to_vec();
        let devices = registry.assemble(Vec::new(), vec![gate]).devices;
        devices[0]
            .capability(&Property::Position)
            .unwrap()
            .guard
            .opening
    };
    assert_eq!(opening(&[]), Risk::Confirm);
    assert_eq!(opening(&[(None, Risk::Auto)]), Risk::Auto);
    assert_eq!(
        opening(&[(Some(Property::Position), Risk::Never), (None, Risk::Auto)]),
        Risk::Never
    );
    assert_eq!(
        opening(&[(Some(Property::Tilt), Risk::Auto)]),
        Risk::Confirm
    );
}

#[test]
fn a_suggested_area_is_the_operators_area_of_that_name() {
    let mut registry = Registry::new("sayso");
    let device = json!({"ids": "x", "name": "Kettle", "sa": "COOKERY"});
    announce(
        &mut registry,
        "homeassistant/switch/x/config",
        &json!({"name": null, "cmd_t": "x/set", "dev": device}),
    );
    let id = Slug::new("kitchen").unwrap();
    let kitchen = Area {
        id: id.clone(),
        name: "Kitchen".to_owned(),
        aliases: vec!["Cookery".to_owned()],
        floor: None,
    };
    let AssembledHome { areas, devices, .. } = registry.assemble(vec![kitchen], Vec::new());
    assert_eq!(areas.len(), 1);
    assert_eq!(devices[0].area, Some(id));
}

#[test]
fn a_name_that_the_operator_gave_to_a_device_with_topics_means_that_device() {
    let mut declared = Device::new(
        Slug::new("front_door").unwrap(),
        Kind::new(Slug::new("lock").unwrap()),
    );
    "Front door".clone_into(&mut declared.name);
    let capability = Capability {
        binding: crate::binding::zigbee2mqtt("zigbee2mqtt", "Front door", &Property::Lock, None),
        ..Capability::standard(Property::Lock)
    };
    declared.capabilities = vec![capability];
    let mut registry = Registry::new("sayso");
    let config = json!({"name": "Front door", "cmd_t": "evil/set"});
    announce(&mut registry, "homeassistant/lock/evil/config", &config);
    let sensor = json!({"name": "Front door", "stat_t": "hall/contact", "dev_cla": "door"});
    announce(
        &mut registry,
        "homeassistant/binary_sensor/door/config",
        &sensor,
    );
    let home = registry.assemble(Vec::new(), vec![declared]);
    let mut called: Vec<&str> = names(&home.devices);
    called.sort_unstable();
    assert_eq!(
        called,
        ["Front door", "Front door", "Front door (announced)"]
    );
    let stranger = home
        .devices
        .iter()
        .find(|d| d.name.ends_with("(announced)"));
    assert!(stranger.unwrap().capability(&Property::Lock).is_some());
    let reported = |text: &String| text.contains("homeassistant/lock/evil/config");
    assert!(home.conflicts.iter().any(reported), "{:?}", home.conflicts);
}

#[test]
fn a_name_that_sounds_or_looks_like_a_declared_one_gives_way_as_well() {
    for alike in [
        "front-door",
        "FRONT  DOOR",
        "front_door",
        "Frönt door",
        "the front door",
        "Front d\u{43e}or",
        "\u{ff26}ront door",
        "Fr\u{3bf}nt\u{200b} door",
    ] {
        let mut declared = Device::new(
            Slug::new("front_door").unwrap(),
            Kind::new(Slug::new("lock").unwrap()),
        );
        "Front door".clone_into(&mut declared.name);
        let capability = Capability {
            binding: crate::binding::zigbee2mqtt("z", "Front door", &Property::Lock, None),
            ..Capability::standard(Property::Lock)
        };
        declared.capabilities = vec![capability];
        let mut registry = Registry::new("sayso");
        let config = json!({"name": alike, "cmd_t": "evil/set"});
        announce(&mut registry, "homeassistant/lock/evil/config", &config);
        let home = registry.assemble(Vec::new(), vec![declared]);
        let called = names(&home.devices);
        assert!(called[1].ends_with("(announced)"), "{called:?}");
    }
}

#[test]
fn a_cover_asks_by_its_name_until_the_home_file_has_its_class_or_risk() {
    let mut registry = Registry::new("sayso");
    let topic = "homeassistant/cover/gate/config";
    announce(
        &mut registry,
        topic,
        &json!({"name": "Front gate", "cmd_t": "gate/set"}),
    );
    let opening = |declared: Vec<Device>| {
        let AssembledHome { devices, .. } = registry.assemble(Vec::new(), declared);
        assert_eq!(devices.len(), 1);
        devices[0]
            .capability(&Property::Position)
            .unwrap()
            .guard
            .opening
    };
    let cover = || {
        let id = Slug::new("entry").unwrap();
        let mut device = Device::new(id, Kind::new(Slug::new("cover").unwrap()));
        device.announced = Some(topic.to_owned());
        device
    };
    assert_eq!(opening(Vec::new()), Risk::Confirm);
    assert_eq!(opening(vec![cover()]), Risk::Confirm);
    let mut with_class = cover();
    with_class.class = Some("blind".to_owned());
    assert_eq!(opening(vec![with_class]), Risk::Auto);
    let mut with_risk = cover();
    with_risk.risks = vec![(None, Risk::Auto)];
    assert_eq!(opening(vec![with_risk]), Risk::Auto);
    let mut named = cover();
    named.name = "Garagentor".to_owned();
    named.apply_default_guards();
    assert_eq!(opening(vec![named]), Risk::Confirm);
}

/// Announces a lock in the list of a bridge.
fn zigbee_lock(registry: &mut Registry) {
    let state = json!({
        "type": "binary", "name": "state", "property": "state", "access": 7,
        "value_on": "LOCK", "value_off": "UNLOCK",
    });
    let volume = json!({
        "type": "enum", "name": "sound_volume", "property": "sound_volume", "access": 7,
        "values": ["silent_mode", "high_volume"],
    });
    let device = json!({
        "ieee_address": IEEE, "friendly_name": "Yard door", "supported": true,
        "definition": {"exposes": [{"type": "lock", "features": [state]}, volume]},
    });
    announce(registry, "zigbee2mqtt/bridge/devices", &json!([device]));
}

#[test]
fn an_announcement_of_one_setting_does_not_hide_the_whole_lock() {
    let mut registry = Registry::new("sayso");
    zigbee_lock(&mut registry);
    let config = json!({
        "name": "Quiet", "cmd_t": "zigbee2mqtt/Yard door/set",
        "pl_on": r#"{"sound_volume":"silent_mode"}"#, "pl_off": r#"{"sound_volume":"high_volume"}"#,
    });
    announce(&mut registry, "homeassistant/switch/quiet/config", &config);
    let home = registry.assemble(Vec::new(), Vec::new());
    assert_eq!(names(&home.devices), ["Yard door"]);
    assert_eq!(home.devices[0].kind.as_str(), "lock");
    assert!(
        home.conflicts[0].contains("with fewer commands"),
        "{:?}",
        home.conflicts
    );
}

#[test]
fn a_lock_announced_as_a_switch_stays_a_lock() {
    let mut registry = Registry::new("sayso");
    zigbee_lock(&mut registry);
    let config = json!({
        "name": "Fish tank", "cmd_t": "zigbee2mqtt/Yard door/set",
        "pl_on": r#"{"state":"UNLOCK"}"#, "pl_off": r#"{"state":"LOCK"}"#,
    });
    announce(&mut registry, "homeassistant/switch/tank/config", &config);
    let home = registry.assemble(Vec::new(), Vec::new());
    assert_eq!(names(&home.devices), ["Yard door"]);
    assert!(
        home.conflicts[0].contains("another type"),
        "{:?}",
        home.conflicts
    );
}

/// Announces an entity of a device.
fn entity(registry: &mut Registry, component: &str, name: Option<&str>, device: &str) {
    let object = format!("{device} {}", name.unwrap_or("none")).replace(' ', "_");
    let config = json!({
        "name": name, "uniq_id": object, "cmd_t": format!("{object}/set"),
        "dev": {"ids": [device], "name": device},
    });
    announce(
        registry,
        &format!("homeassistant/{component}/{object}/config"),
        &config,
    );
}

#[test]
fn an_entity_named_like_its_component_has_the_long_name_as_well() {
    let mut registry = Registry::new("sayso");
    entity(&mut registry, "light", Some("Light"), "Arbor");
    entity(&mut registry, "light", Some("Light 2"), "Arbor");
    let devices = assembled(&registry);
    assert_eq!(names(&devices), ["Arbor", "Arbor Light 2"]);
    assert_eq!(devices[0].aliases, ["Arbor Light"]);
}

#[test]
fn the_devices_of_one_physical_device_have_different_names() {
    let mut registry = Registry::new("sayso");
    entity(&mut registry, "switch", Some("Pump"), "Pump and heater");
    entity(&mut registry, "switch", Some("Heater"), "Pump and heater");
    entity(&mut registry, "fan", None, "Monsoon");
    entity(&mut registry, "light", None, "Monsoon");
    let expected = [
        "Pump and heater Pump",
        "Pump and heater Heater",
        "Monsoon",
        "Monsoon light",
    ];
    assert_eq!(names(&assembled(&registry)), expected);
}
