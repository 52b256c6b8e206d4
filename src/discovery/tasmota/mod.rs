//! Tasmota's native discovery: one message on `tasmota/discovery/<mac>/config` describes all
//! relays, lights, shutters and the fan of one device. This module reads the message and its
//! topics; `outputs` turns the outputs into capabilities. Sources: Tasmota's documentation of
//! discovery, commands and `SetOption`s, and `HATasmota`, November 2026.

use serde::Deserialize;
use serde_json::Value as Json;

use crate::binding::{Form, Port};
use crate::home::availability::{Availability, AvailabilityMode};
use crate::home::capability::Capability;
use crate::home::device::{Device, Kind};
use crate::vocabulary::slug::Slug;

use crate::discovery::announcement::{AnnouncedDevice, Announcement, InvalidAnnouncement, Origin};
use crate::discovery::capabilities;
use crate::discovery::names;

mod outputs;

/// Topic below which all Tasmota devices announce themselves.
pub const PREFIX: &str = "tasmota/discovery";

/// Longest announcement accepted, in bytes. Real ones have under 1,500.
const MAX_BYTES: usize = 64 * 1024;

/// Largest number of outputs of one device. Tasmota itself has at most 32 relays.
const MAX_OUTPUTS: usize = 32;

/// Placeholders of a full topic.
const PLACEHOLDERS: [&str; 4] = ["%prefix%", "%topic%", "%hostname%", "%id%"];

/// The discovery message, under Tasmota's own short keys.
#[derive(Debug, Deserialize)]
struct DeviceConfig {
    /// MAC address without separators.
    mac: String,
    /// Topic.
    t: String,
    /// Full topic with placeholders.
    ft: String,
    /// Prefixes of commands, answers and telemetry.
    tp: [String; 3],
    /// Host name.
    #[serde(default)]
    hn: String,
    /// Device name.
    #[serde(default)]
    dn: Option<String>,
    /// Payload of the last will topic while the device is connected.
    #[serde(default)]
    onln: Option<String>,
    /// Payload of the last will topic after the connection was lost.
    #[serde(default)]
    ofln: Option<String>,
    /// Friendly names of the outputs.
    #[serde(default, rename = "fn")]
    names: Vec<Option<String>>,
    /// Type of each output.
    #[serde(default, rename = "rl")]
    outputs: Vec<u8>,
    /// Words for off and on in states.
    #[serde(default)]
    state: Vec<String>,
    /// Values of `SetOption`s by number.
    #[serde(default, rename = "so")]
    set_options: serde_json::Map<String, Json>,
    /// Number of light channels: 1 white, 2 two whites, 3 colour, 4 colour and white, 5 colour and
    /// two whites.
    #[serde(default, rename = "lt_st")]
    channels: u8,
    /// 0 where colour and white are two separate lights.
    #[serde(default = "linked", rename = "lk")]
    linked: u8,
    /// 1 for a fan controller.
    #[serde(default, rename = "if")]
    fan: u8,
    /// 1 for a dimmer behind a Tuya microcontroller.
    #[serde(default, rename = "ty")]
    tuya: u8,
    /// Options of each shutter; bit 0 is an inverted one.
    #[serde(default, rename = "sho")]
    shutter_options: Vec<u32>,
    /// Lowest and highest tilt angle of each shutter and the duration of a full turn, 0 for a
    /// shutter without tilt.
    #[serde(default, rename = "sht")]
    shutter_tilts: Vec<[f64; 3]>,
}

fn linked() -> u8 {
    1
}

/// One of the three prefixes of a device's topics.
#[derive(Debug, Clone, Copy)]
enum TopicPrefix {
    Command = 0,
    Answer = 1,
    Telemetry = 2,
}

/// Reads a message below [`PREFIX`].
///
/// # Errors
/// If the payload is no announcement, or its topics cannot be used.
pub fn parse(topic: &str, payload: &[u8]) -> Result<Announcement, InvalidAnnouncement> {
    let below = topic
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_prefix('/'));
    match below.and_then(|rest| rest.split_once('/')) {
        Some((_, "config")) => {}
        Some((_, "sensors")) => return Ok(Announcement::Ignored("sensors are not read")),
        _ => return Ok(Announcement::Ignored("not a discovery topic")),
    }
    if payload.trim_ascii().is_empty() {
        return Ok(Announcement::Removed);
    }
    if payload.len() > MAX_BYTES {
        return Err(InvalidAnnouncement::TooLong {
            found: payload.len(),
            most: MAX_BYTES,
        });
    }
    let config: DeviceConfig =
        serde_json::from_slice(payload).map_err(|e| InvalidAnnouncement::NotJson(e.to_string()))?;
    for prefix in [
        TopicPrefix::Command,
        TopicPrefix::Answer,
        TopicPrefix::Telemetry,
    ] {
        config.check_topic(prefix)?;
    }
    let devices = config.devices();
    Ok(if devices.is_empty() {
        Announcement::Ignored("no relay, light or shutter")
    } else {
        Announcement::Announced(devices)
    })
}

impl DeviceConfig {
    /// Returns the device's topic with one of the prefixes, without a slash at its end. As in
    /// Tasmota, a full topic without `%prefix%` ends with it, and doubled slashes become one.
    fn topic(&self, prefix: TopicPrefix) -> String {
        let mut full = self.ft.replace('#', "");
        if !full.contains("%prefix%") {
            full.push_str("/%prefix%");
        }
        let id_start = self.mac.char_indices().rev().nth(5).map_or(0, |(at, _)| at);
        let values = [
            self.tp[prefix as usize].as_str(),
            self.t.as_str(),
            self.hn.as_str(),
            &self.mac[id_start..],
        ];
        for (placeholder, value) in PLACEHOLDERS.iter().zip(values) {
            full = full.replace(placeholder, value);
        }
        while full.contains("//") {
            full = full.replace("//", "/");
        }
        full.trim_end_matches('/').to_owned()
    }

    /// Checks the topic that results from the device's template `ft`.
    ///
    /// # Errors
    /// If the topic cannot be published to, or has a placeholder that is not known or has no value.
    fn check_topic(&self, prefix: TopicPrefix) -> Result<(), InvalidAnnouncement> {
        let topic = self.topic(prefix);
        let unnamed = self.ft.contains("%hostname%") && self.hn.is_empty();
        let unknown = topic.split('%').count() > 2;
        if unnamed || unknown || !names::is_topic(&topic) {
            return Err(InvalidAnnouncement::BadTopic {
                key: "ft".to_owned(),
            });
        }
        Ok(())
    }

    /// Returns the value of a `SetOption`, 0 where it is not announced.
    fn set_option(&self, number: &str) -> f64 {
        let value = self.set_options.get(number).and_then(Json::as_f64);
        value.unwrap_or(0.0)
    }

    fn has_set_option(&self, number: &str) -> bool {
        self.set_option(number) != 0.0
    }

    fn device_name(&self) -> Option<String> {
        self.dn.as_deref().and_then(names::clean)
    }

    /// Returns the friendly name of an output, or the device's name with the output's number.
    fn output_name(&self, index: usize) -> Option<String> {
        let own = self.names.get(index).and_then(Option::as_deref);
        if let Some(name) = own.and_then(names::clean) {
            return Some(name);
        }
        let device = self.device_name()?;
        Some(if index == 0 {
            device
        } else {
            format!("{device} {}", index + 1)
        })
    }

    fn announced(
        &self,
        name: Option<String>,
        kind: &str,
        capabilities: Vec<Capability>,
    ) -> Option<AnnouncedDevice> {
        let name = name.or_else(|| names::clean(&self.t))?;
        let kind = Slug::new(kind).ok()?;
        let id = names::slug(&name).unwrap_or_else(|| kind.clone());
        let mut device = Device {
            name,
            capabilities,
            availability: self.availability(),
            ..Device::new(id, Kind::new(kind))
        };
        device.apply_default_guards();
        Some(AnnouncedDevice {
            device,
            origin: Origin::Tasmota,
            unique: names::address(&self.mac),
            physical_name: self.device_name(),
            suggested_area: None,
            limitations: Vec::new(),
        })
    }

    /// Returns the availability that the device reports on `LWT`, where the broker publishes its
    /// last will.
    fn availability(&self) -> Availability {
        let word =
            |text: &Option<String>, default: &str| Json::from(text.as_deref().unwrap_or(default));
        let last_will = Port {
            topic: format!("{}/LWT", self.topic(TopicPrefix::Telemetry)).into(),
            form: Form::Raw,
        };
        let words = [word(&self.onln, "Online"), word(&self.ofln, "Offline")];
        capabilities::availability(vec![(vec![last_will], words)], AvailabilityMode::All)
    }
}
