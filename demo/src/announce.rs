//! The announcements of the simulated house: the device list of a `Zigbee2MQTT` bridge, Tasmota's
//! messages, and entities by Home Assistant's discovery. The kitchen light is announced twice, as
//! real bridges do, and is one device.

use serde_json::{Value as Json, json};

/// All announcements: topic and payload.
pub(crate) fn all() -> Vec<(String, Json)> {
    let mut all = vec![("zigbee2mqtt/bridge/devices".to_owned(), zigbee())];
    all.extend([
        tasmota("coffee", "Coffee machine", 1),
        tasmota("garden", "Garden lights", 2),
    ]);
    all.extend(
        home_assistant()
            .into_iter()
            .map(|(path, payload)| (format!("homeassistant/{path}/config"), payload)),
    );
    all
}

/// The device list of a `Zigbee2MQTT` bridge.
fn zigbee() -> Json {
    let switched = json!({"type": "binary", "name": "state", "property": "state", "access": 7, "value_on": "ON", "value_off": "OFF", "value_toggle": "TOGGLE"});
    let number = |name: &str, min: i32, max: i32, unit: &str| json!({"type": "numeric", "name": name, "property": name, "access": 7, "value_min": min, "value_max": max, "unit": unit});
    let brightness = number("brightness", 0, 254, "");
    let color_temp = number("color_temp", 153, 500, "mired");
    let color = json!({"type": "composite", "name": "color_xy", "property": "color", "access": 7, "features": []});
    let blinds = json!([
        {"type": "enum", "name": "state", "property": "state", "access": 3, "values": ["OPEN", "CLOSE", "STOP"]},
        number("position", 0, 100, "%")
    ]);
    let bolt = json!([{"type": "binary", "name": "state", "property": "state", "access": 7, "value_on": "LOCK", "value_off": "UNLOCK"}]);
    let modes = json!({"type": "enum", "name": "system_mode", "property": "system_mode", "access": 7, "values": ["off", "heat", "auto"]});
    let measured = json!({"type": "numeric", "name": "local_temperature", "property": "local_temperature", "access": 1, "unit": "°C"});
    let climate = json!([
        number("occupied_heating_setpoint", 5, 30, "°C"),
        modes,
        measured
    ]);
    let fan = json!([switched, number("speed", 0, 254, "")]);
    let plain = json!([switched, brightness]);
    let devices = [
        (
            "Kitchen light",
            "light",
            json!([switched, brightness, color_temp]),
        ),
        ("Living room light", "light", plain.clone()),
        ("Bedroom light", "light", plain.clone()),
        ("Hall light", "light", plain),
        (
            "Sofa lamp",
            "light",
            json!([switched, brightness, color_temp, color]),
        ),
        ("Living room blinds", "cover", blinds.clone()),
        ("Bedroom blinds", "cover", blinds),
        ("Front door", "lock", bolt),
        ("Thermostat", "climate", climate),
        ("Bathroom fan", "fan", fan),
    ];
    let listed = (1..).zip(devices).map(|(n, (name, kind, features))| {
        json!({
            "ieee_address": format!("0x00158d00000000{n:02x}"), "friendly_name": name, "type": "Router", "supported": true,
            "definition": {"exposes": [{"type": kind, "features": features}]}
        })
    });
    listed.collect()
}

/// One Tasmota device; `relay` is 1 for a switch, 2 for a light.
fn tasmota(topic: &str, name: &str, relay: u8) -> (String, Json) {
    let mac = format!("DC4F220000{relay:02X}");
    let announced = json!({
        "dn": name, "fn": [name], "mac": mac, "t": topic, "ft": "%prefix%/%topic%/", "tp": ["cmnd", "stat", "tele"],
        "rl": [relay], "lt_st": relay - 1, "state": ["OFF", "ON", "TOGGLE", "HOLD"], "ofln": "Offline", "onln": "Online", "so": {"4": 0}, "ver": 1
    });
    (format!("tasmota/discovery/{mac}/config"), announced)
}

/// Entities by Home Assistant's discovery.
fn home_assistant() -> Vec<(&'static str, Json)> {
    let kitchen = json!({
        "schema": "json", "name": null, "~": "zigbee2mqtt/Kitchen light", "cmd_t": "~/set", "stat_t": "~", "brightness": true,
        "supported_color_modes": ["color_temp"], "min_mireds": 153, "max_mireds": 500,
        "dev": {"ids": ["zigbee2mqtt_0x00158d0000000001"], "name": "Kitchen light", "sa": "Kitchen"}
    });
    let tv = json!({
        "dev": {"ids": ["tv-1"], "name": "TV", "sa": "Living room"}, "o": {"name": "demo"}, "state_topic": "living/tv",
        "cmps": {
            "power": {"p": "switch", "name": null, "cmd_t": "living/tv/power/set", "val_tpl": "{{ value_json.power }}", "pl_on": "on", "pl_off": "off"},
            "volume": {"p": "number", "name": "Volume", "cmd_t": "living/tv/volume/set", "val_tpl": "{{ value_json.volume }}", "min": 0, "max": 100, "unit_of_meas": "%"},
            "mute": {"p": "switch", "name": "Mute", "cmd_t": "living/tv/mute/set", "val_tpl": "{{ value_json.mute }}", "pl_on": "on", "pl_off": "off"},
            "playback": {
                "p": "select", "name": "Playback", "cmd_t": "living/tv/playback/set", "val_tpl": "{{ value_json.playback }}",
                "options": ["playing", "paused", "stopped", "next", "previous"]
            }
        }
    });
    let vacuum = json!({
        "name": "Vacuum", "cmd_t": "valetudo/robot/operation/set", "stat_t": "valetudo/robot/status", "sup_feat": ["start", "pause", "stop", "return_home"],
        "pl_strt": "START", "pl_paus": "PAUSE", "pl_stop": "STOP", "pl_ret": "HOME", "dev": {"ids": ["robot-1"], "name": "Vacuum", "sa": "Hall"}
    });
    let garage = json!({
        "name": "Garage door", "dev_cla": "garage", "set_pos_t": "garage/door/set", "pos_t": "garage/door",
        "dev": {"ids": ["garage-1"], "name": "Garage door", "sa": "Garage"}
    });
    let pump = json!({
        "dev": {"ids": ["pump-1"], "name": "Workshop pump", "sa": "Workshop"}, "o": {"name": "demo"}, "state_topic": "workshop/pump",
        "cmps": {
            "power": {"p": "switch", "name": null, "cmd_t": "workshop/pump/power/set", "val_tpl": "{{ value_json.power }}", "pl_on": "on", "pl_off": "off"},
            "flow": {
                "p": "number", "name": "Flow", "cmd_t": "workshop/pump/flow/set", "val_tpl": "{{ value_json.flow }}", "min": 0, "max": 40, "step": 0.5,
                "unit_of_meas": "l/min"
            }
        }
    });
    vec![
        ("light/kitchen", kitchen),
        ("device/tv", tv),
        ("vacuum/robot", vacuum),
        ("cover/garage", garage),
        ("device/pump", pump),
    ]
}
