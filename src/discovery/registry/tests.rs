use serde_json::{Value as Json, json};

use crate::discovery::registry::*;
use crate::discovery::{homeassistant, zigbee2mqtt};
use crate::home::Home;
use crate::home::rights::Rights;
use crate::vocabulary::Value;

const IEEE: &str = "0x00158d0001a2b3c4";

fn announce(registry: &mut Registry, topic: &str, payload: &Json) -> RetainedAnnouncement {
    let bytes = payload.to_string();
    let message = match topic {
        "zigbee2mqtt/bridge/devices" => zigbee2mqtt::devices("zigbee2mqtt", bytes.as_bytes()),
        "zigbee2mqtt/bridge/groups" => zigbee2mqtt::groups("zigbee2mqtt", bytes.as_bytes()),
        _ => homeassistant::read("homeassistant", topic, bytes.as_bytes()),
    };
    registry.hear(topic, message.unwrap())
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

fn switch(registry: &mut Registry, object: &str, name: &str) -> RetainedAnnouncement {
    let config = json!({"name": name, "cmd_t": format!("{object}/set"), "stat_t": format!("{object}/state")});
    announce(
        registry,
        &format!("homeassistant/switch/{object}/config"),
        &config,
    )
}

fn furnished(registry: &Registry) -> Vec<Device> {
    let AssembledHome { areas, devices, .. } = registry.furnish(Vec::new(), Vec::new());
    Home::new(areas, devices.clone(), Rights::default(), "sayso").unwrap();
    devices
}

fn names(devices: &[Device]) -> Vec<&str> {
    devices.iter().map(|d| d.name.as_str()).collect()
}

#[test]
fn a_device_announced_twice_is_one_and_home_assistants_name_wins() {
    let mut registry = Registry::new("sayso");
    zigbee_lamp(&mut registry, "lamp_17");
    let device =
        json!({"ids": [format!("zigbee2mqtt_{IEEE}")], "name": "Reading lamp", "sa": "Study"});
    let config =
        json!({"schema": "json", "name": null, "cmd_t": "zigbee2mqtt/lamp_17/set", "dev": device});
    announce(&mut registry, "homeassistant/light/lamp_17/config", &config);
    let AssembledHome { areas, devices, .. } = registry.furnish(Vec::new(), Vec::new());
    assert_eq!(names(&devices), ["Reading lamp"]);
    assert_eq!(areas[0].name, "Study");
    assert_eq!(devices[0].area.as_ref(), Some(&areas[0].id));
}

#[test]
fn who_only_reads_a_device_does_not_hide_who_can_set_it() {
    let mut registry = Registry::new("sayso");
    zigbee_lamp(&mut registry, "lamp_17");
    let device = json!({"ids": [format!("zigbee2mqtt_{IEEE}")], "name": "Reading lamp"});
    announce(
        &mut registry,
        "homeassistant/sensor/lamp_17/config",
        &json!({"dev_cla": "voltage", "stat_t": "zigbee2mqtt/lamp_17", "dev": device}),
    );
    let devices = furnished(&registry);
    assert_eq!(names(&devices), ["lamp 17"]);
    assert!(devices[0].capability(&Property::Power).is_some());
}

#[test]
fn the_same_announcement_again_changes_nothing() {
    let mut registry = Registry::new("sayso");
    assert!(switch(&mut registry, "a", "Pump").changed);
    assert!(!switch(&mut registry, "a", "Pump").changed);
    assert!(switch(&mut registry, "a", "Well pump").changed);
    assert_eq!(names(&furnished(&registry)), ["Well pump"]);
    let topic = "homeassistant/switch/a/config";
    assert!(registry.hear(topic, Message::Removed).changed);
    assert!(!registry.hear(topic, Message::Removed).changed);
    assert!(registry.is_empty());
}

#[test]
fn names_and_identifiers_are_made_unique() {
    let mut registry = Registry::new("sayso");
    for object in ["a", "b", "c"] {
        switch(&mut registry, object, "Plug");
    }
    switch(&mut registry, "d", "插座");
    let devices = furnished(&registry);
    assert_eq!(names(&devices), ["Plug", "Plug 2", "Plug 3", "插座"]);
    let ids: Vec<&str> = devices.iter().map(|d| d.id.as_str()).collect();
    assert_eq!(ids, ["plug", "plug_2", "plug_3", "switch"]);
}

#[test]
fn what_is_kept_is_bounded_and_still_furnishes_a_home() {
    let mut registry = Registry::new("sayso");
    for object in 0..MOST {
        assert_eq!(
            switch(&mut registry, &object.to_string(), "Plug").refused,
            0
        );
    }
    assert_eq!(
        switch(&mut registry, "one_more", "Plug"),
        RetainedAnnouncement {
            changed: false,
            refused: 1
        }
    );
    assert_eq!(registry.len(), MOST);
    assert_eq!(furnished(&registry).len(), MOST);
    // What is known may still change, and what is gone makes room.
    assert!(switch(&mut registry, "7", "Pump").changed);
    registry.hear("homeassistant/switch/8/config", Message::Removed);
    assert_eq!(switch(&mut registry, "one_more", "Plug").refused, 0);
}

#[test]
fn a_device_that_would_command_us_is_refused() {
    let mut registry = Registry::new("sayso");
    assert_eq!(
        switch(&mut registry, "sayso/command", "Loop"),
        RetainedAnnouncement {
            changed: false,
            refused: 1
        }
    );
    assert_eq!(switch(&mut registry, "saysoever", "Fine").refused, 0);
}

#[test]
fn a_group_can_do_what_its_members_can() {
    let mut registry = Registry::new("sayso");
    let groups = json!([{"id": 1, "friendly_name": "all", "members": [{"ieee_address": IEEE}]}]);
    announce(&mut registry, "zigbee2mqtt/bridge/groups", &groups);
    assert_eq!(
        furnished(&registry),
        [],
        "nobody knows what its member can do"
    );
    zigbee_lamp(&mut registry, "lamp_17");
    let devices = furnished(&registry);
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
fn what_the_operator_binds_is_not_announced_again() {
    let mut registry = Registry::new("sayso");
    switch(&mut registry, "pump", "Pump");
    let mut declared = furnished(&registry).remove(0);
    declared.name = "Garden well".to_owned();
    declared.id = Slug::new("garden_well").unwrap();
    let AssembledHome { devices, .. } = registry.furnish(Vec::new(), vec![declared]);
    assert_eq!(names(&devices), ["Garden well"]);
}

#[test]
fn a_declared_device_without_binding_takes_over_the_announced_one() {
    let mut registry = Registry::new("sayso");
    let gate =
        json!({"name": "Gate", "dev_cla": "gate", "cmd_t": "gate/set", "stat_t": "gate/state"});
    announce(&mut registry, "homeassistant/cover/gate/config", &gate);
    let mut declared = Device::new(
        Slug::new("gate").unwrap(),
        Kind::new(Slug::new("cover").unwrap()),
    );
    declared.aliases = vec!["The big one".to_owned()];
    let AssembledHome { devices, .. } = registry.furnish(Vec::new(), vec![declared]);
    assert_eq!(devices.len(), 1);
    let position = devices[0].capability(&Property::Position).unwrap();
    assert_eq!(
        position
            .binding
            .encode(&Value::Number(100.0))
            .unwrap()
            .topic,
        "gate/set"
    );
    assert_eq!(
        position.guard.opening,
        Risk::Confirm,
        "it is a gate, whatever was declared"
    );
    assert_eq!(devices[0].aliases, ["The big one"]);
}

#[test]
fn the_operators_word_on_risk_wins_over_what_is_announced() {
    let mut registry = Registry::new("sayso");
    let gate =
        json!({"name": "Gate", "dev_cla": "gate", "cmd_t": "gate/set", "stat_t": "gate/state"});
    announce(&mut registry, "homeassistant/cover/gate/config", &gate);
    let opening = |risks: &[(Option<Property>, Risk)]| {
        let mut declared = Device::new(
            Slug::new("gate").unwrap(),
            Kind::new(Slug::new("cover").unwrap()),
        );
        declared.risks = risks.to_vec();
        let AssembledHome { devices, .. } = registry.furnish(Vec::new(), vec![declared]);
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
fn a_suggested_area_is_the_operators_where_one_is_called_so() {
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
    let AssembledHome { areas, devices, .. } = registry.furnish(vec![kitchen], Vec::new());
    assert_eq!(areas.len(), 1);
    assert_eq!(devices[0].area, Some(id));
}
