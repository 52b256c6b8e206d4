//! Of 150 real Zigbee models: everything that can be set has a property, or stands on the list of
//! what is left out, with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Map, Value as Json};

use crate::discovery::{folder, home_with};
use crate::obeys::everything;

/// Features left out by their name, or its beginning where it ends in `*`, with the reason.
const LEFT_OUT: [(&str, &[&str]); 6] = [
    (
        "it is a text, a list or a week's plan, and no property takes one",
        &[
            "schedule*",
            "workdays_schedule",
            "holiday_start_stop",
            "gradient",
            "effect_color",
            "name",
            "sw*",
            "zone_*",
        ],
    ),
    (
        "sayso neither knows nor sends codes",
        &["pin_code", "device_password_preset"],
    ),
    (
        "it is set once, by whoever installs the device, and does harm when said by mistake",
        &[
            "factory_reset*",
            "calibration*",
            "local_temperature_calibration",
            "forced_recalibration",
            "manual_forced_recalibration",
            "automatic_calibrations",
            "motor_*",
            "device_*",
            "transmit_power",
            "reset_*",
            "border",
            "set_upper_limit",
            "level_config",
            "color_temp_startup",
            "min_brightness",
            "max_brightness",
            "cover_mode",
            "running_state",
        ],
    ),
    (
        "its parts are sent together, and none is a property",
        &["inching_control_set", "squawk"],
    ),
    (
        "of two targets the device obeys the first",
        &["current_heating_setpoint"],
    ),
    (
        "its values are numbers that only its manual explains",
        &["trv_mode"],
    ),
];

/// Every settable feature outside composites, with the group it stands in.
fn settable<'a>(exposes: &'a Json, group: &'a Json, into: &mut Vec<(&'a Json, &'a Json)>) {
    for expose in exposes.as_array().into_iter().flatten() {
        match expose["features"].as_array() {
            Some(_) if expose["type"] != "composite" => settable(&expose["features"], expose, into),
            _ if expose["access"]
                .as_u64()
                .is_some_and(|access| access & 2 != 0) =>
            {
                into.push((expose, group));
            }
            _ => {}
        }
    }
}

fn left_out(feature: &Json, group: &Json) -> Option<&'static str> {
    let name = feature["name"].as_str().unwrap_or_default();
    let has = |other: &str| {
        group["features"]
            .as_array()
            .is_some_and(|all| all.iter().any(|f| f["name"] == other))
    };
    if group["type"] == "cover" && name == "state" && has("position") {
        return Some("a cover with a position is opened and closed by it");
    }
    if feature["value_min"].is_number() && feature["value_min"] == feature["value_max"] {
        return Some("its range is one number");
    }
    if feature["category"] == "config" || group["category"] == "config" {
        return Some("the device's own definition calls it configuration");
    }
    let is = |pattern: &&&str| {
        pattern
            .strip_suffix('*')
            .map_or(**pattern == name, |start| name.starts_with(start))
    };
    LEFT_OUT
        .iter()
        .find(|(_, names)| names.iter().any(|pattern| is(&pattern)))
        .map(|(why, _)| *why)
}

#[test]
fn everything_settable_has_a_property_or_a_reason() {
    let (mut with, mut without, mut missing) = (
        BTreeMap::new(),
        BTreeMap::<&str, BTreeSet<String>>::new(),
        Vec::new(),
    );
    for line in fs::read_to_string(folder().join("exposes.ndjson"))
        .unwrap()
        .lines()
    {
        let model: Json = serde_json::from_str(line).unwrap();
        let home = home_with(&model);
        let sent = everything(&home)
            .into_iter()
            .flat_map(|sent| serde_json::from_str::<Map<String, Json>>(&sent.payload).unwrap());
        let keys: BTreeSet<String> = sent.map(|(key, _)| key).collect();
        let mut all = Vec::new();
        settable(&model["exposes"], &Json::Null, &mut all);
        for (feature, group) in all {
            let (name, key) = (
                feature["name"].as_str().unwrap_or_default(),
                feature["property"].as_str().unwrap_or_default(),
            );
            match (keys.contains(key), left_out(feature, group)) {
                (true, _) => *with.entry(name.to_owned()).or_insert(0) += 1,
                (false, Some(why)) => drop(without.entry(why).or_default().insert(name.to_owned())),
                (false, None) => missing.push(format!(
                    "{}: {} {name} of {}",
                    model["model"], feature["type"], group["type"]
                )),
            }
        }
    }
    for (why, names) in &without {
        println!("left out, because {why}: {names:?}");
    }
    println!(
        "{} settable features of 150 models have a property ({} names)",
        with.values().sum::<usize>(),
        with.len()
    );
    assert!(
        missing.is_empty(),
        "neither a property nor a reason: {missing:#?}"
    );
    assert!(with.values().sum::<usize>() > 500);
}
