//! The options of the components that have no file of their own. Data only.

use crate::discovery::homeassistant::option_support::{
    CODE, DISPLAY, EXTRA, HISTORY, OPTIMISTIC, RESET, Support, YES,
};

pub(super) const ALARM: &[(&str, Support)] = &[
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

pub(super) const BINARY_SENSOR: &[(&str, Support)] = &[
    ("device_class", YES),
    ("expire_after", YES),
    ("force_update", HISTORY),
    ("off_delay", YES),
    ("payload_off", YES),
    ("payload_on", YES),
    ("state_topic", YES),
    ("value_template", YES),
];

pub(super) const BUTTON: &[(&str, Support)] = &[
    ("command_template", YES),
    ("command_topic", YES),
    ("device_class", YES),
    ("payload_press", YES),
];

pub(super) const COVER: &[(&str, Support)] = &[
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

pub(super) const LAWN_MOWER: &[(&str, Support)] = &[
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

pub(super) const LOCK: &[(&str, Support)] = &[
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

pub(super) const NUMBER: &[(&str, Support)] = &[
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

pub(super) const SCENE: &[(&str, Support)] = &[("command_topic", YES), ("payload_on", YES)];

pub(super) const SELECT: &[(&str, Support)] = &[
    ("command_template", YES),
    ("command_topic", YES),
    ("optimistic", OPTIMISTIC),
    ("options", YES),
    ("state_topic", YES),
    ("value_template", YES),
];

pub(super) const SENSOR: &[(&str, Support)] = &[
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

pub(super) const SIREN: &[(&str, Support)] = &[
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

pub(super) const SWITCH: &[(&str, Support)] = &[
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

pub(super) const VACUUM: &[(&str, Support)] = &[
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

pub(super) const VALVE: &[(&str, Support)] = &[
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
