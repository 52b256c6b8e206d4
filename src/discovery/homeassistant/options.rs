//! Every option that Home Assistant documents for the MQTT components sayso uses, with the way in
//! which sayso supports it.
//!
//! This is the only list of options. The parsers are tested against it (each supported option is
//! read), the table in `docs/discovery.md` is compared with it, and the limitations of an entity
//! are derived from it. Source: Home Assistant's documentation of the MQTT integrations, November
//! 2026.

use crate::discovery::announcement::Limitation;
use crate::discovery::capabilities::TOO_MANY_OPTIONS;
use crate::discovery::homeassistant::climate_options::{CLIMATE, FAN, HUMIDIFIER, WATER_HEATER};
use crate::discovery::homeassistant::component_options::{
    ALARM, BINARY_SENSOR, BUTTON, COVER, LAWN_MOWER, LOCK, NUMBER, SCENE, SELECT, SENSOR, SIREN,
    SWITCH, VACUUM, VALVE,
};
use crate::discovery::homeassistant::config::EntityConfig;
use crate::discovery::homeassistant::light_options::{LIGHT_BASIC, LIGHT_JSON, LIGHT_TEMPLATE};
use crate::discovery::homeassistant::option_support::{
    ComponentOptions, DISPLAY, Support, YES, of, rejected,
};

/// Options of every entity.
pub const COMMON: &[(&str, Support)] = &[
    ("availability", YES),
    ("availability_mode", YES),
    ("availability_template", YES),
    ("availability_topic", YES),
    ("default_entity_id", DISPLAY),
    ("device", YES),
    ("enabled_by_default", YES),
    (
        "encoding",
        rejected(
            &["utf-8", "utf8", ""],
            "is not UTF-8, the only encoding sayso reads",
        ),
    ),
    ("entity_category", YES),
    ("entity_picture", DISPLAY),
    ("group", YES),
    ("icon", DISPLAY),
    (
        "json_attributes_template",
        Support::Immaterial("attributes have no unit or range; sensors announce readings"),
    ),
    (
        "json_attributes_topic",
        Support::Immaterial("attributes have no unit or range; sensors announce readings"),
    ),
    ("migrate_discovery", YES),
    ("name", YES),
    ("object_id", YES),
    ("origin", DISPLAY),
    ("payload_available", YES),
    ("payload_not_available", YES),
    ("platform", YES),
    (
        "qos",
        rejected(
            &["0", "1"],
            "is more than the QoS 1 that sayso sends commands with",
        ),
    ),
    (
        "retain",
        rejected(
            &["false"],
            "is not carried out: a retained command would be repeated whenever the device \
             reconnects",
        ),
    ),
    ("unique_id", YES),
];

/// Options of each component.
pub const COMPONENTS: &[ComponentOptions] = &[
    of("alarm_control_panel", ALARM),
    of("binary_sensor", BINARY_SENSOR),
    of("button", BUTTON),
    of("climate", CLIMATE),
    of("cover", COVER),
    of("fan", FAN),
    of("humidifier", HUMIDIFIER),
    of("lawn_mower", LAWN_MOWER),
    ComponentOptions {
        component: "light",
        schema: "basic",
        options: LIGHT_BASIC,
    },
    ComponentOptions {
        component: "light",
        schema: "json",
        options: LIGHT_JSON,
    },
    ComponentOptions {
        component: "light",
        schema: "template",
        options: LIGHT_TEMPLATE,
    },
    of("lock", LOCK),
    of("number", NUMBER),
    of("scene", SCENE),
    of("select", SELECT),
    of("sensor", SENSOR),
    of("siren", SIREN),
    of("switch", SWITCH),
    of("vacuum", VACUUM),
    of("valve", VALVE),
    of("water_heater", WATER_HEATER),
];

/// Components of Home Assistant's MQTT integration that are no devices for sayso, with the reason.
pub const UNUSED_COMPONENTS: &[(&str, &str)] = &[
    ("camera", "it publishes pictures"),
    ("date", "no property takes a date"),
    ("datetime", "no property takes a date and time"),
    (
        "device_automation",
        "it reports events that are over when they arrive",
    ),
    (
        "device_tracker",
        "it reports where a person is, not a state of the home",
    ),
    ("event", "it reports events that are over when they arrive"),
    ("image", "it publishes pictures"),
    ("notify", "no property takes free text"),
    ("tag", "it reports events that are over when they arrive"),
    ("text", "no property takes free text"),
    ("time", "no property takes a time"),
    ("update", "firmware is not updated by a sentence"),
];

/// Returns the options of an entity, by its component and the schema of a light.
pub(super) fn options_of(component: &str, schema: &str) -> Option<&'static ComponentOptions> {
    let mut of_component = COMPONENTS.iter().filter(|c| c.component == component);
    let wanted = of_component.clone().find(|c| c.schema == schema);
    wanted.or_else(|| of_component.next())
}

/// Returns the options announced that sayso does not carry out.
pub(super) fn limitations(component: &str, config: &EntityConfig) -> Vec<Limitation> {
    let schema = config.text("schema").unwrap_or_default();
    let own = options_of(component, &schema).map_or(&[][..], |c| c.options);
    let mut limitations = Vec::new();
    for (option, support) in COMMON.iter().chain(own) {
        let Support::Rejected { unless, reason } = *support else {
            continue;
        };
        let Some(value) = config.text(option) else {
            continue;
        };
        if !unless.contains(&value.to_ascii_lowercase().as_str()) {
            limitations.push(Limitation { option, reason });
        }
    }
    let lists = own.iter().map(|(option, _)| *option);
    limitations.extend(
        lists
            .filter(|option| config.has_long_list(option))
            .map(|option| Limitation {
                option,
                reason: TOO_MANY_OPTIONS,
            }),
    );
    limitations
}
