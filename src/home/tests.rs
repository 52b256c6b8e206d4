//! Tests of observed states: reports and their expiry, implied values, wildcards, and the states
//! that are kept from one snapshot of the home to the next.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::binding::{Binding, Form, Port, Reversion, tasmota, zigbee2mqtt};
use crate::clock::now;
use crate::home::device::Kind;
use crate::home::state::{Known, Observation};

fn slug(id: &str) -> Slug {
    Slug::new(id).unwrap()
}

fn device(id: &str, kind: &str, binding: Binding) -> Device {
    let mut device = Device::new(slug(id), Kind::new(slug(kind)));
    device.capabilities[0].binding = binding;
    device
}

fn home(devices: Vec<Device>) -> Home {
    Home::new(Vec::new(), devices, Rights::default(), "sayso").unwrap()
}

fn observed(home: &Home, state: &mut State, topic: &str, payload: &str) {
    for report in home.observe(topic, payload.as_bytes()) {
        state.report(report, now());
    }
}

fn known(state: &State, id: &str, property: &Property) -> Option<Known> {
    state
        .get(&slug(id), property)
        .map(|seen| seen.known.clone())
}

fn reported(word: &str) -> Known {
    Known::Reported(Value::text(word))
}

#[test]
fn state_is_carried_over_by_topic_and_not_by_identifier() {
    let at = |topic: &str| tasmota(topic, &Property::Power, None);
    let plug = |id, binding| device(id, "switch", binding);
    let old = home(vec![
        plug("plug", at("a")),
        plug("plug_2", at("b")),
        plug("own", Binding::default()),
        plug("gone", at("c")),
    ]);
    let new = home(vec![
        plug("plug", at("b")),
        plug("heater", at("a")),
        plug("own", Binding::default()),
        plug("new", at("d")),
    ]);
    let mut state = State::default();
    for (id, value) in [
        ("plug", "on"),
        ("plug_2", "off"),
        ("own", "on"),
        ("gone", "on"),
    ] {
        let report = Report {
            device: slug(id),
            property: Property::Power,
            decoded: Decoded::Value(Value::text(value)),
            expire_after: None,
            reverts: None,
        };
        state.report(report, now());
    }
    let carried = new.carry_over(&old, &state);
    let of = |id: &str| known(&carried, id, &Property::Power);
    assert_eq!(
        (of("plug"), of("heater")),
        (Some(reported("off")), Some(reported("on")))
    );
    assert_eq!((of("own"), of("new")), (Some(reported("on")), None));
    assert_eq!((of("plug_2"), of("gone")), (None, None));
}

#[test]
fn a_level_outside_its_range_is_the_end_of_the_range() {
    let zigbee = |id: &str, kind: &str, property: Property| {
        device(id, kind, zigbee2mqtt("zigbee2mqtt", id, &property, None))
    };
    let home = home(vec![
        zigbee("gate", "cover", Property::Position),
        zigbee("stove", "climate", Property::Temperature),
    ]);
    let mut state = State::default();
    for (reported, is) in [("101", 100.0), ("-20", 0.0), ("40", 40.0)] {
        let message = format!(r#"{{"position":{reported}}}"#);
        observed(&home, &mut state, "zigbee2mqtt/gate", &message);
        let position = known(&state, "gate", &Property::Position);
        assert_eq!(position, Some(Known::Reported(Value::Number(is))));
    }
    // A temperature beyond the range is what the device says it is.
    let message = r#"{"occupied_heating_setpoint":99}"#;
    observed(&home, &mut state, "zigbee2mqtt/stove", message);
    let target = known(&state, "stove", &Property::Temperature);
    assert_eq!(target, Some(Known::Reported(Value::Number(99.0))));
}

#[test]
fn an_unrecognized_payload_makes_a_property_unknown() {
    let lock = zigbee2mqtt("zigbee2mqtt", "Gate", &Property::Lock, None);
    let home = home(vec![device("gate", "lock", lock)]);
    let mut state = State::default();
    let topic = "zigbee2mqtt/Gate";
    for payload in ["JAMMED", "UNLOCKING", "unknown", "unavailable", "None", "7"] {
        observed(&home, &mut state, topic, r#"{"state":"LOCK"}"#);
        assert_eq!(
            known(&state, "gate", &Property::Lock),
            Some(reported("locked"))
        );
        let message = format!(r#"{{"state":"{payload}"}}"#);
        observed(&home, &mut state, topic, &message);
        let now = known(&state, "gate", &Property::Lock);
        assert_eq!(now, Some(Known::Unrecognized(payload.to_owned())));
    }
    observed(&home, &mut state, topic, r#"{"state":null}"#);
    assert!(matches!(
        known(&state, "gate", &Property::Lock),
        Some(Known::Unrecognized(_))
    ));
    // A message about something else leaves it alone.
    observed(&home, &mut state, topic, r#"{"state":"LOCK"}"#);
    observed(&home, &mut state, topic, r#"{"battery":7}"#);
    assert_eq!(
        known(&state, "gate", &Property::Lock),
        Some(reported("locked"))
    );
}

#[test]
fn a_report_expires_when_the_device_says_so() {
    let mut binding = tasmota("plug", &Property::Power, None);
    binding.expire_after = Some(Duration::from_secs(2));
    let home = home(vec![device("plug", "switch", binding)]);
    let mut state = State::default();
    observed(&home, &mut state, "stat/plug/RESULT", r#"{"POWER":"ON"}"#);
    let at = |seconds| now() + Duration::from_secs(seconds);
    let current = |when| {
        state
            .current(&slug("plug"), &Property::Power, when)
            .is_some()
    };
    assert!(current(at(1)));
    assert!(!current(at(3)));
}

#[test]
fn an_implied_value_holds_only_where_none_is_known() {
    let mut state = State::default();
    let mut report = |decoded: Decoded| {
        let report = Report {
            device: slug("blind"),
            property: Property::Position,
            decoded,
            expire_after: None,
            reverts: None,
        };
        state.report(report, now());
        known(&state, "blind", &Property::Position)
    };
    let number = |n: f64| Some(Known::Reported(Value::Number(n)));
    let open = || Decoded::Implied(Value::Number(100.0));
    assert_eq!(report(open()), number(100.0));
    assert_eq!(report(Decoded::Value(Value::Number(40.0))), number(40.0));
    assert_eq!(report(open()), number(40.0));
    report(Decoded::Unrecognized("opening".to_owned()));
    assert_eq!(report(open()), number(100.0));
}

#[test]
fn a_commanded_level_and_power_agree() {
    let lamp = Device::new(slug("lamp"), Kind::new(slug("light")));
    let home = home(vec![lamp]);
    let lamp = &home.devices()[0];
    let mut state = State::default();
    let commanded = |word: &str| Some(Known::Commanded(Value::text(word)));
    state.assume(lamp, &Property::Power, Value::text("off"), now());
    assert!(state.is_off(lamp, now()));
    state.assume(lamp, &Property::Brightness, Value::Number(50.0), now());
    assert_eq!(known(&state, "lamp", &Property::Power), commanded("on"));
    assert!(!state.is_off(lamp, now()));
    state.assume(lamp, &Property::Brightness, Value::Number(0.0), now());
    assert_eq!(known(&state, "lamp", &Property::Power), commanded("off"));
    state.assume(lamp, &Property::Power, Value::text("on"), now());
    assert_eq!(known(&state, "lamp", &Property::Brightness), None);
    assert!(!state.is_off(lamp, now()));
}

#[test]
fn a_state_topic_with_wildcards_receives_what_it_matches() {
    let at = |topic: &str| Binding {
        state: vec![Port {
            topic: topic.into(),
            form: Form::Raw,
        }],
        ..tasmota("unused", &Property::Power, None)
    };
    let home = home(vec![
        device("beacon", "switch", at("+/+/BTtoMQTT/A4C1")),
        device("plug", "switch", at("home/gw/BTtoMQTT/A4C1")),
    ]);
    let reporting = |topic: &str| -> Vec<String> {
        let reports = home.observe(topic, b"ON");
        reports.iter().map(|r| r.device.to_string()).collect()
    };
    assert_eq!(reporting("home/gw2/BTtoMQTT/A4C1"), ["beacon"]);
    assert_eq!(reporting("home/gw/BTtoMQTT/A4C1"), ["beacon", "plug"]);
    assert!(reporting("home/gw/BTtoMQTT/B5").is_empty());
    assert!(
        reporting("sayso/gw/BTtoMQTT/A4C1").is_empty(),
        "sayso's own topics report no states"
    );
    assert!(home.has_state_topic("home/any/BTtoMQTT/A4C1"));
}

#[test]
fn a_sensor_that_only_reports_on_is_off_after_its_delay() {
    let mut binding = tasmota("hall", &Property::Power, None);
    binding.reverts = Some(Arc::new(Reversion {
        from: Value::text("on"),
        to: Value::text("off"),
        after: Duration::from_secs(5),
    }));
    binding.expire_after = Some(Duration::from_mins(1));
    let home = home(vec![device("hall", "switch", binding)]);
    let mut state = State::default();
    observed(&home, &mut state, "stat/hall/RESULT", r#"{"POWER":"ON"}"#);
    let at = |seconds| now() + Duration::from_secs(seconds);
    let current = |when| {
        let seen = state.current(&slug("hall"), &Property::Power, when);
        seen.and_then(Observation::reported).cloned()
    };
    assert_eq!(current(at(4)), Some(Value::text("on")));
    assert_eq!(current(at(6)), Some(Value::text("off")));
    assert_eq!(current(at(61)), None);
    // A new report begins the delay anew, and "off" has none.
    observed(&home, &mut state, "stat/hall/RESULT", r#"{"POWER":"OFF"}"#);
    let seen = state.current(&slug("hall"), &Property::Power, at(6));
    assert_eq!(seen.and_then(Observation::value), Some(&Value::text("off")));
}
