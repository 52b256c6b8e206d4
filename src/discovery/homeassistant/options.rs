//! Every option that Home Assistant documents for the MQTT components sayso uses, with the way in
//! which sayso supports it.
//!
//! This is the only list of options. The parsers are tested against it (each supported option is
//! read), the table in `docs/discovery.md` is compared with it, and the limitations of an entity
//! are derived from it. Source: Home Assistant's documentation of the MQTT integrations, November
//! 2026.

use crate::discovery::announcement::Limitation;
use crate::discovery::capabilities::TOO_MANY_OPTIONS;
use crate::discovery::homeassistant::config::EntityConfig;

/// Treatment of one option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Carried out as Home Assistant documents it.
    Supported,
    /// Changes nothing about commands, states or answers, with the reason.
    Immaterial(&'static str),
    /// Not carried out unless it has one of these values. The entity is used without it, and the
    /// reason is reported.
    Rejected {
        /// Values that ask for nothing sayso does not do.
        unless: &'static [&'static str],
        /// Reason, as the end of a sentence.
        reason: &'static str,
    },
}

/// Options of one component, or of one schema of a component.
#[derive(Debug, Clone, Copy)]
pub struct ComponentOptions {
    /// Component, as it stands in the discovery topic.
    pub component: &'static str,
    /// Schema of a light, empty for other components.
    pub schema: &'static str,
    /// Options in addition to [`COMMON`].
    pub options: &'static [(&'static str, Support)],
}

const YES: Support = Support::Supported;
const DISPLAY: Support = Support::Immaterial("only changes how Home Assistant shows the entity");
const OPTIMISTIC: Support = Support::Immaterial(
    "a commanded value always counts as not confirmed until the device reports it",
);
const HISTORY: Support =
    Support::Immaterial("only changes how Home Assistant records or shows past values");
const EXTRA: Support = Support::Immaterial("adds an argument to a command that sayso never gives");
const RESET: Support =
    Support::Immaterial("a payload that is no value of the property makes it unknown in any case");
const RANGE_GIVEN: Support =
    Support::Immaterial("only the start value of an entity without a state topic");

const fn rejected(unless: &'static [&'static str], reason: &'static str) -> Support {
    Support::Rejected { unless, reason }
}

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

const fn of(
    component: &'static str,
    options: &'static [(&'static str, Support)],
) -> ComponentOptions {
    ComponentOptions {
        component,
        schema: "",
        options,
    }
}

const CODE: Support = rejected(
    &[],
    "asks for a code with each command, and sayso knows none; the state can be asked",
);

const ALARM: &[(&str, Support)] = &[
    ("code", CODE),
    ("code_arm_required", YES),
    ("code_disarm_required", YES),
    ("code_trigger_required", EXTRA),
    ("command_template", YES),
    ("command_topic", YES),
    ("payload_arm_away", YES),
    ("payload_arm_custom_bypass", YES),
    ("payload_arm_home", YES),
    ("payload_arm_night", YES),
    ("payload_arm_vacation", YES),
    ("payload_disarm", YES),
    (
        "payload_trigger",
        Support::Immaterial("sayso sets off no alarm"),
    ),
    ("state_topic", YES),
    ("supported_features", YES),
    ("value_template", YES),
];

const BINARY_SENSOR: &[(&str, Support)] = &[
    ("device_class", YES),
    ("expire_after", YES),
    ("force_update", HISTORY),
    ("off_delay", YES),
    ("payload_off", YES),
    ("payload_on", YES),
    ("state_topic", YES),
    ("value_template", YES),
];

const BUTTON: &[(&str, Support)] = &[
    ("command_template", YES),
    ("command_topic", YES),
    ("device_class", YES),
    ("payload_press", YES),
];

const CLIMATE: &[(&str, Support)] = &[
    ("action_template", YES),
    ("action_topic", YES),
    ("current_humidity_template", YES),
    ("current_humidity_topic", YES),
    ("current_temperature_template", YES),
    ("current_temperature_topic", YES),
    ("fan_mode_command_template", YES),
    ("fan_mode_command_topic", YES),
    ("fan_mode_state_template", YES),
    ("fan_mode_state_topic", YES),
    ("fan_modes", YES),
    ("initial", RANGE_GIVEN),
    ("max_humidity", YES),
    ("max_temp", YES),
    ("min_humidity", YES),
    ("min_temp", YES),
    ("mode_command_template", YES),
    ("mode_command_topic", YES),
    ("mode_state_template", YES),
    ("mode_state_topic", YES),
    ("modes", YES),
    ("optimistic", OPTIMISTIC),
    ("payload_off", YES),
    ("payload_on", YES),
    ("power_command_template", YES),
    ("power_command_topic", YES),
    ("precision", DISPLAY),
    ("preset_mode_command_template", YES),
    ("preset_mode_command_topic", YES),
    ("preset_mode_state_topic", YES),
    ("preset_mode_value_template", YES),
    ("preset_modes", YES),
    ("swing_horizontal_mode_command_template", YES),
    ("swing_horizontal_mode_command_topic", YES),
    ("swing_horizontal_mode_state_template", YES),
    ("swing_horizontal_mode_state_topic", YES),
    ("swing_horizontal_modes", YES),
    ("swing_mode_command_template", YES),
    ("swing_mode_command_topic", YES),
    ("swing_mode_state_template", YES),
    ("swing_mode_state_topic", YES),
    ("swing_modes", YES),
    ("target_humidity_command_template", YES),
    ("target_humidity_command_topic", YES),
    ("target_humidity_state_template", YES),
    ("target_humidity_state_topic", YES),
    ("temp_step", YES),
    ("temperature_command_template", YES),
    ("temperature_command_topic", YES),
    ("temperature_high_command_template", YES),
    ("temperature_high_command_topic", YES),
    ("temperature_high_state_template", YES),
    ("temperature_high_state_topic", YES),
    ("temperature_low_command_template", YES),
    ("temperature_low_command_topic", YES),
    ("temperature_low_state_template", YES),
    ("temperature_low_state_topic", YES),
    ("temperature_state_template", YES),
    ("temperature_state_topic", YES),
    ("temperature_unit", YES),
    ("value_template", YES),
];

const COVER: &[(&str, Support)] = &[
    ("command_topic", YES),
    ("device_class", YES),
    ("optimistic", OPTIMISTIC),
    ("payload_close", YES),
    ("payload_open", YES),
    ("payload_stop", YES),
    ("payload_stop_tilt", YES),
    ("position_closed", YES),
    ("position_open", YES),
    ("position_template", YES),
    ("position_topic", YES),
    ("set_position_template", YES),
    ("set_position_topic", YES),
    ("state_closed", YES),
    ("state_closing", YES),
    ("state_open", YES),
    ("state_opening", YES),
    ("state_stopped", YES),
    ("state_topic", YES),
    ("tilt_closed_value", YES),
    ("tilt_command_template", YES),
    ("tilt_command_topic", YES),
    ("tilt_max", YES),
    ("tilt_min", YES),
    ("tilt_opened_value", YES),
    ("tilt_optimistic", OPTIMISTIC),
    ("tilt_status_template", YES),
    ("tilt_status_topic", YES),
    ("value_template", YES),
];

const FAN: &[(&str, Support)] = &[
    ("command_template", YES),
    ("command_topic", YES),
    ("direction_command_template", YES),
    ("direction_command_topic", YES),
    ("direction_state_topic", YES),
    ("direction_value_template", YES),
    ("optimistic", OPTIMISTIC),
    ("oscillation_command_template", YES),
    ("oscillation_command_topic", YES),
    ("oscillation_state_topic", YES),
    ("oscillation_value_template", YES),
    ("payload_off", YES),
    ("payload_on", YES),
    ("payload_oscillation_off", YES),
    ("payload_oscillation_on", YES),
    ("payload_reset_percentage", RESET),
    ("payload_reset_preset_mode", RESET),
    ("percentage_command_template", YES),
    ("percentage_command_topic", YES),
    ("percentage_state_topic", YES),
    ("percentage_value_template", YES),
    ("preset_mode_command_template", YES),
    ("preset_mode_command_topic", YES),
    ("preset_mode_state_topic", YES),
    ("preset_mode_value_template", YES),
    ("preset_modes", YES),
    ("speed_range_max", YES),
    ("speed_range_min", YES),
    ("state_topic", YES),
    ("state_value_template", YES),
];

const HUMIDIFIER: &[(&str, Support)] = &[
    ("action_template", YES),
    ("action_topic", YES),
    ("command_template", YES),
    ("command_topic", YES),
    ("current_humidity_template", YES),
    ("current_humidity_topic", YES),
    ("device_class", YES),
    ("max_humidity", YES),
    ("min_humidity", YES),
    ("mode_command_template", YES),
    ("mode_command_topic", YES),
    ("mode_state_template", YES),
    ("mode_state_topic", YES),
    ("modes", YES),
    ("optimistic", OPTIMISTIC),
    ("payload_off", YES),
    ("payload_on", YES),
    ("payload_reset_humidity", RESET),
    ("payload_reset_mode", RESET),
    ("state_topic", YES),
    ("state_value_template", YES),
    ("target_humidity_command_template", YES),
    ("target_humidity_command_topic", YES),
    ("target_humidity_state_template", YES),
    ("target_humidity_state_topic", YES),
];

const LAWN_MOWER: &[(&str, Support)] = &[
    ("activity_state_topic", YES),
    ("activity_value_template", YES),
    ("dock_command_template", YES),
    ("dock_command_topic", YES),
    ("optimistic", OPTIMISTIC),
    ("pause_command_template", YES),
    ("pause_command_topic", YES),
    ("start_mowing_command_template", YES),
    ("start_mowing_command_topic", YES),
];

const COLOR_MODE: Support =
    Support::Immaterial("the color that is reported is used, whatever mode it is reported with");

const LIGHT_BASIC: &[(&str, Support)] = &[
    ("brightness_command_template", YES),
    ("brightness_command_topic", YES),
    ("brightness_scale", YES),
    ("brightness_state_topic", YES),
    ("brightness_value_template", YES),
    ("color_mode_state_topic", COLOR_MODE),
    ("color_mode_value_template", COLOR_MODE),
    ("color_temp_command_template", YES),
    ("color_temp_command_topic", YES),
    ("color_temp_kelvin", YES),
    ("color_temp_state_topic", YES),
    ("color_temp_value_template", YES),
    ("command_topic", YES),
    ("effect_command_template", YES),
    ("effect_command_topic", YES),
    ("effect_list", YES),
    ("effect_state_topic", YES),
    ("effect_value_template", YES),
    ("hs_command_template", YES),
    ("hs_command_topic", YES),
    ("hs_state_topic", YES),
    ("hs_value_template", YES),
    ("max_kelvin", YES),
    ("max_mireds", YES),
    ("min_kelvin", YES),
    ("min_mireds", YES),
    ("on_command_type", YES),
    ("optimistic", OPTIMISTIC),
    ("payload_off", YES),
    ("payload_on", YES),
    ("rgb_command_template", YES),
    ("rgb_command_topic", YES),
    ("rgb_state_topic", YES),
    ("rgb_value_template", YES),
    ("rgbw_command_template", YES),
    ("rgbw_command_topic", YES),
    ("rgbw_state_topic", YES),
    ("rgbw_value_template", YES),
    ("rgbww_command_template", YES),
    ("rgbww_command_topic", YES),
    ("rgbww_state_topic", YES),
    ("rgbww_value_template", YES),
    ("schema", YES),
    ("state_topic", YES),
    ("state_value_template", YES),
    ("white_command_topic", YES),
    ("white_scale", YES),
    ("xy_command_template", YES),
    ("xy_command_topic", YES),
    ("xy_state_topic", YES),
    ("xy_value_template", YES),
];

const LIGHT_JSON: &[(&str, Support)] = &[
    ("brightness", YES),
    ("brightness_scale", YES),
    ("color_mode", COLOR_MODE),
    ("color_temp", YES),
    ("color_temp_kelvin", YES),
    ("command_topic", YES),
    ("effect", YES),
    ("effect_list", YES),
    ("flash", EXTRA),
    ("flash_time_long", EXTRA),
    ("flash_time_short", EXTRA),
    ("hs", YES),
    ("max_kelvin", YES),
    ("max_mireds", YES),
    ("min_kelvin", YES),
    ("min_mireds", YES),
    ("optimistic", OPTIMISTIC),
    ("rgb", YES),
    ("schema", YES),
    ("state_topic", YES),
    ("supported_color_modes", YES),
    ("transition", EXTRA),
    ("white_scale", YES),
    ("xy", YES),
];

const LIGHT_TEMPLATE: &[(&str, Support)] = &[
    ("blue_template", YES),
    ("brightness_template", YES),
    ("color_temp_kelvin", YES),
    ("color_temp_template", YES),
    ("command_off_template", YES),
    ("command_on_template", YES),
    ("command_topic", YES),
    ("effect_list", YES),
    ("effect_template", YES),
    ("green_template", YES),
    ("max_kelvin", YES),
    ("max_mireds", YES),
    ("min_kelvin", YES),
    ("min_mireds", YES),
    ("optimistic", OPTIMISTIC),
    ("red_template", YES),
    ("schema", YES),
    ("state_template", YES),
    ("state_topic", YES),
];

const LOCK: &[(&str, Support)] = &[
    ("code_format", CODE),
    ("command_template", YES),
    ("command_topic", YES),
    ("optimistic", OPTIMISTIC),
    ("payload_lock", YES),
    (
        "payload_open",
        Support::Immaterial("sayso locks and unlocks, and never opens a latch"),
    ),
    ("payload_reset", RESET),
    ("payload_unlock", YES),
    ("state_jammed", YES),
    ("state_locked", YES),
    ("state_locking", YES),
    ("state_topic", YES),
    ("state_unlocked", YES),
    ("state_unlocking", YES),
    ("value_template", YES),
];

const NUMBER: &[(&str, Support)] = &[
    ("command_template", YES),
    ("command_topic", YES),
    ("device_class", YES),
    ("max", YES),
    ("min", YES),
    ("mode", DISPLAY),
    ("optimistic", OPTIMISTIC),
    ("payload_reset", RESET),
    ("state_topic", YES),
    ("step", YES),
    ("unit_of_measurement", YES),
    ("value_template", YES),
];

const SCENE: &[(&str, Support)] = &[("command_topic", YES), ("payload_on", YES)];

const SELECT: &[(&str, Support)] = &[
    ("command_template", YES),
    ("command_topic", YES),
    ("optimistic", OPTIMISTIC),
    ("options", YES),
    ("state_topic", YES),
    ("value_template", YES),
];

const SENSOR: &[(&str, Support)] = &[
    ("device_class", YES),
    ("expire_after", YES),
    ("force_update", HISTORY),
    ("last_reset_value_template", HISTORY),
    ("options", YES),
    ("state_class", HISTORY),
    ("state_topic", YES),
    ("suggested_display_precision", DISPLAY),
    ("unit_of_measurement", YES),
    ("value_template", YES),
];

const SIREN: &[(&str, Support)] = &[
    ("available_tones", EXTRA),
    ("command_off_template", YES),
    ("command_template", YES),
    ("command_topic", YES),
    ("optimistic", OPTIMISTIC),
    ("payload_off", YES),
    ("payload_on", YES),
    ("state_off", YES),
    ("state_on", YES),
    ("state_topic", YES),
    ("state_value_template", YES),
    ("support_duration", EXTRA),
    ("support_volume_set", EXTRA),
];

const SWITCH: &[(&str, Support)] = &[
    ("command_template", YES),
    ("command_topic", YES),
    ("device_class", YES),
    ("optimistic", OPTIMISTIC),
    ("payload_off", YES),
    ("payload_on", YES),
    ("state_off", YES),
    ("state_on", YES),
    ("state_topic", YES),
    ("value_template", YES),
];

const VACUUM: &[(&str, Support)] = &[
    ("command_topic", YES),
    ("fan_speed_list", YES),
    (
        "payload_clean_spot",
        Support::Immaterial("no word of the vocabulary stands for cleaning one spot"),
    ),
    ("payload_locate", YES),
    ("payload_pause", YES),
    ("payload_return_to_base", YES),
    ("payload_start", YES),
    ("payload_stop", YES),
    (
        "send_command_topic",
        Support::Immaterial("takes commands of the manufacturer, which no property stands for"),
    ),
    ("set_fan_speed_topic", YES),
    ("state_topic", YES),
    ("supported_features", YES),
];

const VALVE: &[(&str, Support)] = &[
    ("command_template", YES),
    ("command_topic", YES),
    ("device_class", YES),
    ("optimistic", OPTIMISTIC),
    ("payload_close", YES),
    ("payload_open", YES),
    ("payload_stop", YES),
    ("position_closed", YES),
    ("position_open", YES),
    ("reports_position", YES),
    ("state_closed", YES),
    ("state_closing", YES),
    ("state_open", YES),
    ("state_opening", YES),
    ("state_topic", YES),
    ("value_template", YES),
];

const WATER_HEATER: &[(&str, Support)] = &[
    ("current_temperature_template", YES),
    ("current_temperature_topic", YES),
    ("initial", RANGE_GIVEN),
    ("max_temp", YES),
    ("min_temp", YES),
    ("mode_command_template", YES),
    ("mode_command_topic", YES),
    ("mode_state_template", YES),
    ("mode_state_topic", YES),
    ("modes", YES),
    ("optimistic", OPTIMISTIC),
    ("payload_off", YES),
    ("payload_on", YES),
    ("power_command_template", YES),
    ("power_command_topic", YES),
    ("precision", DISPLAY),
    ("temperature_command_template", YES),
    ("temperature_command_topic", YES),
    ("temperature_state_template", YES),
    ("temperature_state_topic", YES),
    ("temperature_unit", YES),
    ("value_template", YES),
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
