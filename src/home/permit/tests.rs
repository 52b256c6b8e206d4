//! Tests of the permission gate: the drafts it admits and those it refuses.

use proptest::prelude::*;

use crate::binding::{Decoded, tasmota, zigbee2mqtt};
use crate::clock::now;
use crate::home::capability::{Capability, Guard};
use crate::home::device::{Device, Kind};
use crate::home::permit::*;
use crate::home::rights::{Rights, Rules, Selector};
use crate::home::state::Report;
use crate::vocabulary::Domain;
use crate::vocabulary::slug::Slug;
use crate::vocabulary::speech::english;

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

fn device(id: &str, kind: &str) -> Device {
    let mut device = Device::new(slug(id), Kind::new(slug(kind)));
    for capability in &mut device.capabilities {
        capability.binding = zigbee2mqtt("z", id, &capability.property, None);
    }
    device
}

fn home() -> Home {
    let mut plug = device("plug", "switch");
    plug.capabilities[0].binding = tasmota("plug", &Property::Power, None);
    let mut garage = device("garage", "cover");
    garage.class = Some("garage".into());
    garage.apply_default_guards();
    let mut heater = device("heater", "climate");
    heater.capabilities[0].domain = Domain::Number {
        min: 5.0,
        max: 30.0,
        step: Some(0.5),
        unit: "°C".into(),
    };
    let mut safe = device("safe", "lock");
    safe.capabilities[0].guard = Guard::all(Risk::Never);
    let pump = Device::new(slug("pump"), Kind::new(slug("switch")));
    let rules = Rules {
        allow: vec![],
        deny: vec![Selector::Kind(slug("lock"))],
    };
    let rights = Rights {
        by_source: [("panel".to_owned(), rules)].into(),
        ..Rights::default()
    };
    let devices = vec![
        device("lamp", "light"),
        device("front", "lock"),
        plug,
        garage,
        heater,
        safe,
        pump,
        device("tv", "media_player"),
    ];
    Home::new(vec![], devices, rights, "sayso").unwrap()
}

fn action(device: &str, property: &str, op: Op, value: Option<Value>) -> Action {
    Action {
        device: device.into(),
        property: property.into(),
        op,
        value,
    }
}

fn context<'a>() -> PermitRequest<'a> {
    PermitRequest {
        source: "cli",
        command: "c1",
        confirmed: false,
        now: now(),
        speech: english(),
    }
}

fn permit(actions: &[Action], state: &State, context: PermitRequest<'_>) -> Result<Plan, Denied> {
    home().permit(
        &Draft {
            actions: actions.to_vec(),
            ..Draft::default()
        },
        state,
        context,
    )
}

fn one(
    device: &str,
    property: &str,
    op: Op,
    value: impl Into<Option<Value>>,
) -> Result<Plan, Denied> {
    permit(
        &[action(device, property, op, value.into())],
        &State::default(),
        context(),
    )
}

fn report(state: &mut State, device: &str, property: Property, value: Value) {
    let report = Report {
        device: slug(device),
        property,
        decoded: Decoded::Value(value),
        expire_after: None,
        reverts: None,
    };
    state.report(report, now());
}

fn sent(plan: &Plan) -> Vec<(&str, &str)> {
    plan.steps()
        .iter()
        .map(|s| {
            (
                s.publication().topic.as_str(),
                s.publication().payload.as_str(),
            )
        })
        .collect()
}

#[test]
fn an_action_becomes_the_message_of_the_device() {
    assert_eq!(
        sent(&one("lamp", "power", Op::Set, Value::text("on")).unwrap()),
        [("z/lamp/set", r#"{"state":"ON"}"#)]
    );
    assert_eq!(
        sent(&one("garage", "position", Op::Set, Value::Number(0.0)).unwrap()),
        [("z/garage/set", r#"{"position":0}"#)]
    );
    assert_eq!(
        sent(&one("heater", "temperature", Op::Set, Value::Number(20.7)).unwrap()),
        [("z/heater/set", r#"{"occupied_heating_setpoint":20.5}"#)]
    );
    let own = one("pump", "power", Op::Set, Value::text("on")).unwrap();
    assert_eq!(
        sent(&own),
        [(
            "sayso/action/pump",
            r#"{"command":"c1","op":"set","property":"power","value":"on"}"#
        )]
    );
}

#[test]
fn an_action_that_cannot_be_done_is_refused() {
    assert!(matches!(
        one("ghost", "power", Op::Set, Value::text("on")),
        Err(Denied::UnknownDevice { .. })
    ));
    assert!(matches!(
        one("plug", "brightness", Op::Set, Value::Number(5.0)),
        Err(Denied::NotCapable { .. })
    ));
    assert!(matches!(
        one("plug", "power", Op::Increase, None),
        Err(Denied::NotCapable { .. })
    ));
    assert!(matches!(
        one("lamp", "brightness", Op::Set, None),
        Err(Denied::NotCapable { .. })
    ));
    for value in [-1.0, 101.0, f64::NAN, f64::INFINITY] {
        assert!(
            matches!(
                one("lamp", "brightness", Op::Set, Value::Number(value)),
                Err(Denied::OutOfRange { .. })
            ),
            "{value}"
        );
    }
    assert!(matches!(
        one("lamp", "power", Op::Set, Value::text("purple")),
        Err(Denied::OutOfRange { .. })
    ));
    assert!(matches!(
        permit(&[], &State::default(), context()),
        Err(Denied::Nothing)
    ));
}

/// Checks the values of small models, which write numbers as text, and options that look like
/// numbers as numbers.
#[test]
fn numbers_are_read_from_text_and_options_from_numbers() {
    let brightness = |value: &str| {
        one("lamp", "brightness", Op::Set, Value::text(value))
            .ok()
            .map(|plan| plan.steps()[0].target_value().cloned().unwrap())
    };
    for text in ["40", " 40 % ", "40%", "40.0"] {
        assert_eq!(brightness(text), Some(Value::Number(40.0)), "{text}");
    }
    for text in [
        "40 K", "forty", "", "%", "140", "-1", "inf", "NaN", "0x10", "4 0",
    ] {
        assert_eq!(brightness(text), None, "{text}");
    }
    let mut fan = device("fan", "fan");
    fan.capabilities[1] = Capability {
        domain: Domain::Choice(vec!["1".into(), "2".into()]),
        ..fan.capabilities[1].clone()
    };
    let home = Home::new(vec![], vec![fan], Rights::default(), "sayso").unwrap();
    let step = |n| Draft {
        actions: vec![action("fan", "speed", Op::Set, Some(Value::Number(n)))],
        ..Draft::default()
    };
    assert_eq!(
        home.permit(&step(2.0), &State::default(), context())
            .unwrap()
            .steps()[0]
            .target_value(),
        Some(&Value::text("2"))
    );
    assert!(
        home.permit(&step(3.0), &State::default(), context())
            .is_err()
    );
}

#[test]
fn one_refused_action_refuses_a_draft_of_named_devices() {
    let actions = [
        action("lamp", "power", Op::Set, Some(Value::text("on"))),
        action("ghost", "power", Op::Set, Some(Value::text("on"))),
    ];
    assert!(permit(&actions, &State::default(), context()).is_err());
}

#[test]
fn an_action_that_is_repeated_is_carried_out_once() {
    for one in [
        action("plug", "power", Op::Toggle, None),
        action("lamp", "brightness", Op::Set, Some(Value::Number(37.0))),
        action(
            "lamp",
            "brightness",
            Op::Increase,
            Some(Value::Number(10.0)),
        ),
        action("garage", "position", Op::Stop, None),
    ] {
        let mut state = State::default();
        report(
            &mut state,
            "lamp",
            Property::Brightness,
            Value::Number(50.0),
        );
        let once = permit(std::slice::from_ref(&one), &state, context()).unwrap();
        let other = action("lamp", "power", Op::Query, None);
        let repeated = [one.clone(), other.clone(), one.clone(), other, one.clone()];
        let plan = permit(&repeated, &state, context()).unwrap();
        assert_eq!(sent(&plan), sent(&once), "{one:?}");
        assert!(!sent(&once).is_empty(), "{one:?}");
    }
    let query = action("lamp", "power", Op::Query, None);
    let once = permit(std::slice::from_ref(&query), &State::default(), context()).unwrap();
    let twice = permit(&[query.clone(), query], &State::default(), context()).unwrap();
    assert_eq!(twice.speech(), once.speech());
}

#[test]
fn a_refusal_names_a_device_as_a_reply_does() {
    let denied = one("plug", "brightness", Op::Set, Value::Number(5.0)).unwrap_err();
    let sentence = denied.sentence(english());
    assert!(sentence.starts_with("The plug "), "{sentence}");
}

#[test]
fn two_values_for_one_property_are_a_contradiction() {
    let set = |word| action("lamp", "power", Op::Set, Some(Value::text(word)));
    assert!(matches!(
        permit(&[set("on"), set("off")], &State::default(), context()),
        Err(Denied::Contradiction { .. })
    ));
    assert!(permit(&[set("on"), set("on")], &State::default(), context()).is_ok());
}

#[test]
fn a_source_commands_only_what_its_rights_allow() {
    let lock = [action(
        "front",
        "lock",
        Op::Set,
        Some(Value::text("locked")),
    )];
    let lamp = [action("lamp", "power", Op::Set, Some(Value::text("on")))];
    let panel = PermitRequest {
        source: "panel",
        ..context()
    };
    assert!(matches!(
        permit(&lock, &State::default(), panel),
        Err(Denied::NotAllowed { .. })
    ));
    assert!(permit(&lamp, &State::default(), panel).is_ok());
    assert!(permit(&lock, &State::default(), context()).is_ok());
}

#[test]
fn opening_must_be_confirmed_and_closing_need_not() {
    let unlock = [action(
        "front",
        "lock",
        Op::Set,
        Some(Value::text("unlocked")),
    )];
    assert!(matches!(
        permit(&unlock, &State::default(), context()),
        Err(Denied::Unconfirmed { .. })
    ));
    assert!(
        permit(
            &unlock,
            &State::default(),
            PermitRequest {
                confirmed: true,
                ..context()
            }
        )
        .is_ok()
    );
    assert!(one("front", "lock", Op::Set, Value::text("locked")).is_ok());
    assert!(matches!(
        one("garage", "position", Op::Set, Value::Number(30.0)),
        Err(Denied::Unconfirmed { .. })
    ));
    assert!(one("garage", "position", Op::Stop, None).is_ok());
    assert!(one("garage", "position", Op::Set, Value::Number(0.0)).is_ok());
    let safe = [action("safe", "lock", Op::Set, Some(Value::text("locked")))];
    assert!(matches!(
        permit(
            &safe,
            &State::default(),
            PermitRequest {
                confirmed: true,
                ..context()
            }
        ),
        Err(Denied::Never { .. })
    ));
}

#[test]
fn toggles_and_relative_changes_become_absolute() {
    let (home, mut state) = (home(), State::default());
    report(&mut state, "lamp", Property::Power, Value::text("on"));
    report(
        &mut state,
        "lamp",
        Property::Brightness,
        Value::Number(90.0),
    );
    let plan = |device: &str, property: &str, op| {
        home.permit(
            &Draft {
                actions: vec![action(device, property, op, None)],
                ..Draft::default()
            },
            &state,
            context(),
        )
    };
    let toggle = plan("lamp", "power", Op::Toggle).unwrap();
    assert_eq!(toggle.steps()[0].target_value(), Some(&Value::text("off")));
    assert!(toggle.steps()[0].repeatable());
    assert_eq!(
        plan("lamp", "brightness", Op::Increase).unwrap().steps()[0].target_value(),
        Some(&Value::Number(100.0))
    );
    assert_eq!(
        plan("lamp", "brightness", Op::Decrease).unwrap().steps()[0].target_value(),
        Some(&Value::Number(70.0))
    );
}

#[test]
fn a_change_from_outside_the_range_leads_into_it() {
    let home = home();
    let change = |reported: f64, op| {
        let mut state = State::default();
        let degrees = Value::Number(reported);
        report(&mut state, "heater", Property::Temperature, degrees);
        let draft = Draft {
            actions: vec![action("heater", "temperature", op, None)],
            ..Draft::default()
        };
        let plan = home.permit(&draft, &state, context()).unwrap();
        let step = plan.steps().first();
        step.map(|step| step.target_value().cloned())
    };
    let to = |degrees: f64| Some(Some(Value::Number(degrees)));
    assert_eq!(change(99.0, Op::Decrease), to(30.0));
    assert_eq!(change(99.0, Op::Increase), None);
    assert_eq!(change(1.0, Op::Increase), to(5.0));
    assert_eq!(change(1.0, Op::Decrease), None);
}

#[test]
fn a_zigbee_lamp_that_is_off_is_switched_on_before_its_color_is_set() {
    let mut lamp = device("lamp", "light");
    let mut color = Capability::standard(Property::Color);
    color.binding = zigbee2mqtt("z", "lamp", &Property::Color, None);
    lamp.capabilities.push(color);
    let home = Home::new(Vec::new(), vec![lamp], Rights::default(), "sayso").unwrap();
    let sent = |power: &str| {
        let mut state = State::default();
        report(&mut state, "lamp", Property::Power, Value::text(power));
        let blue = Some(Value::text("blue"));
        let draft = Draft {
            actions: vec![action("lamp", "color", Op::Set, blue)],
            ..Draft::default()
        };
        let plan = home.permit(&draft, &state, context()).unwrap();
        let payloads = plan.steps().iter().map(|s| s.publication().payload.clone());
        payloads.collect::<Vec<_>>()
    };
    let color = r##"{"color":{"hex":"#0000ff"}}"##;
    assert_eq!(sent("on"), [color]);
    assert_eq!(sent("off"), [r#"{"state":"ON"}"#, color]);
}

#[test]
fn without_a_state_the_device_toggles_itself_and_nothing_is_guessed() {
    let plan = one("lamp", "power", Op::Toggle, None).unwrap();
    assert_eq!(sent(&plan), [("z/lamp/set", r#"{"state":"TOGGLE"}"#)]);
    assert!(!plan.steps()[0].repeatable());
    assert!(matches!(
        one("lamp", "brightness", Op::Increase, None),
        Err(Denied::StateUnknown { .. })
    ));
    assert!(matches!(
        one("front", "lock", Op::Toggle, None),
        Err(Denied::StateUnknown { .. })
    ));
    assert!(
        !one("tv", "playback", Op::Set, Value::text("next"))
            .unwrap()
            .steps()[0]
            .repeatable()
    );
}

#[test]
fn a_question_is_answered_from_state() {
    let (home, mut state) = (home(), State::default());
    let ask = |state: &State, value| {
        home.permit(
            &Draft {
                actions: vec![action("front", "lock", Op::Query, value)],
                ..Draft::default()
            },
            state,
            context(),
        )
        .unwrap()
    };
    assert_eq!(
        ask(&state, None).speech(),
        "I have no report from the front yet."
    );
    report(&mut state, "front", Property::Lock, Value::text("locked"));
    assert_eq!(ask(&state, None).speech(), "The front is locked.");
    assert_eq!(
        ask(&state, Some(Value::text("unlocked"))).speech(),
        "No, the front is locked."
    );
    assert!(ask(&state, None).steps().is_empty());
}

fn any_value() -> impl Strategy<Value = Option<Value>> {
    let words = prop::sample::select(vec![
        "on", "off", "locked", "unlocked", "red", "next", "heat", "", "🦊",
    ]);
    prop_oneof![
        Just(None),
        any::<bool>().prop_map(|b| Some(Value::Flag(b))),
        any::<f64>().prop_map(|n| Some(Value::Number(n))),
        (-10.0..120.0).prop_map(|n| Some(Value::Number(n))),
        words.prop_map(|w| Some(Value::text(w)))
    ]
}

fn any_action() -> impl Strategy<Value = Action> {
    let device = prop::sample::select(vec![
        "lamp", "front", "plug", "garage", "heater", "safe", "pump", "tv", "ghost", "../x", "",
    ]);
    let property = prop::sample::select(
        Property::standard()
            .chain(["flow".into()])
            .collect::<Vec<_>>(),
    );
    let op = prop::sample::select(vec![
        Op::Set,
        Op::Toggle,
        Op::Increase,
        Op::Decrease,
        Op::Stop,
        Op::Query,
    ]);
    (device, property, op, any_value()).prop_map(|(d, property, op, value)| Action {
        device: d.into(),
        property,
        op,
        value,
    })
}

proptest! {
    #[test]
    fn every_draft_leads_only_to_known_topics_and_values_in_range(actions in prop::collection::vec(any_action(), 0..4), known in prop::collection::vec((any_action(), 0.0..100.0), 0..6)) {
        let home = home();
        let mut state = State::default();
        for (about, number) in known {
            let value = about.value.unwrap_or(Value::Number(number));
            if let Ok(device) = Slug::new(&about.device) { report(&mut state, device.as_str(), about.property, value); }
        }
        let topics: Vec<String> = home.command_topics().collect();
        if let Ok(plan) = home.permit(&Draft { actions, ..Draft::default() }, &state, context()) {
            for step in plan.steps() {
                prop_assert!(topics.iter().any(|topic| step.publication().topic == *topic));
                prop_assert!(step.device().as_str() != "safe");
                let opens = step.target_value() == Some(&Value::text("unlocked"));
                prop_assert!(!opens, "unlocked without a confirmation");
                if let (Some(Value::Number(n)), Some(Domain::Number { min, max, .. })) = (step.target_value(), home.device(step.device().as_str()).and_then(|d| d.capability(&step.action().property)).map(|c| &c.domain)) {
                    prop_assert!(n >= min && n <= max);
                }
            }
        }
    }
}

/// Returns a home with a lamp of a hostile announcement: its "on" is the message that unlocks the
/// door.
fn home_with_a_hostile_lamp() -> Home {
    let rules = Rules {
        allow: vec![],
        deny: vec![Selector::Kind(slug("lock"))],
    };
    let rights = Rights {
        by_source: [("panel".to_owned(), rules)].into(),
        ..Rights::default()
    };
    let (mut door, mut lamp) = (device("front", "lock"), device("lamp", "light"));
    door.apply_default_guards();
    lamp.capabilities
        .retain(|capability| capability.property == Property::Power);
    lamp.capabilities[0].binding.command = None;
    lamp.capabilities[0].binding.fixed = vec![(
        Value::text("on"),
        Publication::new("z/front/set", r#"{"state":"UNLOCK"}"#),
    )];
    Home::new(vec![], vec![door, lamp], rights, "sayso").unwrap()
}

#[test]
fn a_message_that_opens_a_door_is_judged_as_such_under_any_name() {
    let draft = Draft {
        actions: vec![action("lamp", "power", Op::Set, Some(Value::text("on")))],
        ..Draft::default()
    };
    let try_as = |context: PermitRequest<'_>| {
        home_with_a_hostile_lamp().permit(&draft, &State::default(), context)
    };
    assert!(matches!(try_as(context()), Err(Denied::Unconfirmed { .. })));
    assert!(matches!(
        try_as(PermitRequest {
            source: "panel",
            ..context()
        }),
        Err(Denied::NotAllowed { .. })
    ));
    assert_eq!(
        try_as(PermitRequest {
            confirmed: true,
            ..context()
        })
        .unwrap()
        .steps()[0]
            .publication()
            .payload,
        r#"{"state":"UNLOCK"}"#
    );
}

/// Returns a thermostat with a heating and a cooling target, in this mode.
fn thermostat(modes: &[&str], mode: Option<&str>) -> (Home, State) {
    let mut device = device("thermostat", "climate");
    let template = device.capability(&Property::Temperature).unwrap().clone();
    for name in ["temperature_low", "temperature_high"] {
        let mut target = template.clone();
        target.property = name.into();
        target.binding = zigbee2mqtt("z", "thermostat", &target.property, Some(name));
        device.capabilities.push(target);
    }
    for capability in &mut device.capabilities {
        match capability.property {
            Property::Temperature => capability.binding = crate::binding::Binding::default(),
            Property::HvacMode => capability.domain = Domain::words(modes),
            _ => {}
        }
    }
    let home = Home::new(vec![], vec![device], Rights::default(), "sayso").unwrap();
    let mut state = State::default();
    if let Some(mode) = mode {
        report(
            &mut state,
            "thermostat",
            Property::HvacMode,
            Value::text(mode),
        );
    }
    (home, state)
}

#[test]
fn the_mode_of_a_thermostat_selects_its_target_temperature() {
    let all = ["off", "heat", "cool", "auto"];
    let set = |modes: &[&str], mode: Option<&str>| {
        let (home, state) = thermostat(modes, mode);
        let (op, value) = (Op::Set, Some(Value::Number(21.0)));
        let draft = Draft {
            actions: vec![action("thermostat", "temperature", op, value)],
            ..Draft::default()
        };
        let plan = home.permit(&draft, &state, context())?;
        let [step] = plan.steps() else {
            panic!("one step");
        };
        let property = step.action().property.name().to_owned();
        assert!(step.publication().payload.contains(&property));
        Ok::<_, Denied>(property)
    };
    assert_eq!(set(&all, Some("heat")).unwrap(), "temperature_low");
    assert_eq!(set(&all, Some("cool")).unwrap(), "temperature_high");
    // A device that cannot cool heats in every mode.
    let heater = ["off", "heat", "auto"];
    assert_eq!(set(&heater, Some("auto")).unwrap(), "temperature_low");
    for mode in [None, Some("off"), Some("auto")] {
        let denied = set(&all, mode).unwrap_err();
        assert!(matches!(denied, Denied::TwoTargets { .. }), "{mode:?}");
    }
}

#[test]
fn a_mode_set_in_the_same_draft_selects_the_target_temperature() {
    let (home, state) = thermostat(&["off", "heat", "cool"], Some("heat"));
    let draft = Draft {
        actions: vec![
            action(
                "thermostat",
                "hvac_mode",
                Op::Set,
                Some(Value::text("cool")),
            ),
            action(
                "thermostat",
                "temperature",
                Op::Set,
                Some(Value::Number(24.0)),
            ),
        ],
        ..Draft::default()
    };
    let plan = home.permit(&draft, &state, context()).unwrap();
    assert_eq!(plan.steps()[1].action().property.name(), "temperature_high");
}

#[test]
fn a_question_about_the_target_is_answered_with_the_one_that_counts() {
    let ask = |mode: Option<&str>| {
        let (home, mut state) = thermostat(&["off", "heat", "cool"], mode);
        for (name, degrees) in [("temperature_low", 19.0), ("temperature_high", 26.0)] {
            report(
                &mut state,
                "thermostat",
                name.into(),
                Value::Number(degrees),
            );
        }
        let draft = Draft {
            actions: vec![action("thermostat", "temperature", Op::Query, None)],
            ..Draft::default()
        };
        let plan = home.permit(&draft, &state, context()).unwrap();
        plan.into_speech()
    };
    let heating = ask(Some("heat"));
    assert!(
        heating.contains("19") && !heating.contains("26"),
        "{heating}"
    );
    let unknown = ask(None);
    assert!(
        unknown.contains("19") && unknown.contains("26"),
        "{unknown}"
    );
}

#[test]
fn a_risk_chosen_for_the_target_holds_for_the_selected_one() {
    let (mut home, state) = thermostat(&["off", "heat", "cool"], Some("cool"));
    let mut device = home.devices()[0].clone();
    device.risks = vec![(Some(Property::Temperature), Risk::Never)];
    device.apply_operator_risks();
    home = Home::new(vec![], vec![device], Rights::default(), "sayso").unwrap();
    let draft = Draft {
        actions: vec![action(
            "thermostat",
            "temperature",
            Op::Set,
            Some(Value::Number(24.0)),
        )],
        ..Draft::default()
    };
    let denied = home.permit(&draft, &state, context()).unwrap_err();
    assert!(matches!(denied, Denied::Never { .. }), "{denied}");
}

#[test]
fn a_switch_or_button_called_like_an_entrance_asks_first() {
    let named = |kind: &str, name: &str, risk: Option<Risk>| {
        let mut device = device("it", kind);
        device.name = name.to_owned();
        device.risks = risk.map(|risk| (None, risk)).into_iter().collect();
        device.apply_default_guards();
        device.apply_operator_risks();
        Home::new(vec![], vec![device], Rights::default(), "sayso").unwrap()
    };
    let asks = |home: &Home, property: &str, value: Option<Value>| {
        let draft = Draft {
            actions: vec![action("it", property, Op::Set, value)],
            ..Draft::default()
        };
        let result = home.permit(&draft, &State::default(), context());
        matches!(result, Err(Denied::Unconfirmed { .. }))
    };
    let on = || Some(Value::text("on"));
    let off = || Some(Value::text("off"));
    let gate = named("switch", "Garage door", None);
    assert!(asks(&gate, "power", on()) && !asks(&gate, "power", off()));
    let lock = named("switch", "Front door lock", None);
    assert!(asks(&lock, "power", on()) && asks(&lock, "power", off()));
    assert!(asks(&named("button", "Garage", None), "press", None));
    assert!(!asks(
        &named("button", "Garage", Some(Risk::Auto)),
        "press",
        None
    ));
    assert!(!asks(&named("switch", "Garage light", None), "power", on()));
    assert!(!asks(&named("light", "Garage door", None), "power", on()));
}
