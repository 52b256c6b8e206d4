//! `sayso home`: all known devices, their source, their properties and an example command for each
//! property.

use std::io::Write;

use clap::Args;
use serde_json::{Value as Json, json};

use crate::grammar::LocalGrammar;
use crate::home::capability::{Capability, Risk};
use crate::home::device::{Area, Device};
use crate::home::state::Observation;
use crate::vocabulary::Domain;

use crate::cli::broker::BrokerOptions;
use crate::cli::exit::{Exit, Failure};
use crate::cli::home::accepted_values::accepted_values;
use crate::cli::home::example::Examples;
use crate::cli::home::gather::GatheredHome;

mod accepted_values;
mod example;
pub(super) mod gather;
pub(super) mod home_file;

const EXAMPLES: &str = "\
Examples:
  sayso home
  sayso home kitchen \"desk lamp\"
  sayso home --json | jq -r '.devices[].properties[].say // empty'
  sayso home --toml > home.toml     # a home file to start with: change names, aliases and areas

Announcements on the broker (Home Assistant discovery, Zigbee2MQTT, Tasmota) are collected for a \
few seconds and merged with \
home.toml, as the daemon does. Nothing is published, and the daemon need not run.

Exit codes: 0 done, 1 the announced devices conflict with home.toml, 75 no broker, 77 a file may \
not be read, \
78 the config is wrong.";

/// Arguments of `sayso home`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HomeArguments {
    /// Names or identifiers of devices and areas to show [default: all]
    names: Vec<String>,
    #[command(flatten)]
    broker: BrokerOptions,
    /// Print the home as JSON, with topics
    #[arg(long, conflicts_with = "toml")]
    json: bool,
    /// Print a home file to start with
    #[arg(long, conflicts_with = "names")]
    toml: bool,
}

/// Collects the announcements and prints the home.
pub(super) fn home(arguments: &HomeArguments, out: &mut impl Write) -> Result<Exit, Failure> {
    let config = arguments.broker.config(true)?;
    let local =
        LocalGrammar::new(&config.local).map_err(|error| Failure::new(Exit::Config, error))?;
    let known = gather::gather(&config, arguments.broker.timeout)?;
    if arguments.toml {
        home_file::write(&known, out)?;
        return Ok(Exit::Done);
    }
    let shown: Vec<&Device> = known
        .home
        .devices()
        .iter()
        .filter(|device| arguments.is_selected(&known, device))
        .collect();
    let unknown = arguments.unknown_names(&known);
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.iter().map(|name| format!("`{name}`")).collect();
        let reason = format!(
            "no device and no area is called {}: `sayso home` shows all",
            names.join(" or ")
        );
        return Err(Failure::new(Exit::Failed, reason));
    }
    let examples = Examples {
        local: &local,
        home: &known.home,
    };
    if arguments.json {
        let devices: Vec<Json> = shown
            .iter()
            .map(|device| as_json(&known, device, &examples))
            .collect();
        let complaints: Vec<Json> = known
            .problems
            .iter()
            .map(|problem| json!({"topic": problem.topic, "why": problem.text}))
            .collect();
        writeln!(
            out,
            "{:#}",
            json!({"devices": devices, "unusable": complaints})
        )?;
    } else {
        print(&known, &shown, &examples, out)?;
    }
    Ok(Exit::Done)
}

impl HomeArguments {
    fn is_selected(&self, known: &GatheredHome, device: &Device) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| is_called(known, device, name))
    }

    /// Returns the names that no device and no area has.
    fn unknown_names(&self, known: &GatheredHome) -> Vec<&str> {
        let (devices, areas) = (known.home.devices(), known.home.areas());
        let is_unknown = |name: &&String| {
            !devices.iter().any(|device| is_called(known, device, name))
                && !areas.iter().any(|area| is_area(area, name))
        };
        let unknown = self.names.iter().filter(is_unknown);
        unknown.map(String::as_str).collect()
    }
}

/// Returns whether a name is one of a device, of its kind or of its area.
fn is_called(known: &GatheredHome, device: &Device, name: &str) -> bool {
    let area = device.area.as_ref().and_then(|id| known.home.area(id));
    is_same(device.id.as_str(), name)
        || is_same(&device.name, name)
        || device.aliases.iter().any(|alias| is_same(alias, name))
        || is_same(device.kind.as_str(), name)
        || area.is_some_and(|area| is_area(area, name))
}

fn is_area(area: &Area, name: &str) -> bool {
    is_same(area.id.as_str(), name)
        || is_same(&area.name, name)
        || area.aliases.iter().any(|alias| is_same(alias, name))
}

fn is_same(known: &str, name: &str) -> bool {
    known.to_lowercase() == name.to_lowercase()
}

fn print(
    known: &GatheredHome,
    shown: &[&Device],
    examples: &Examples<'_>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut areas: Vec<_> = known.home.areas().iter().map(Some).collect();
    areas.push(None);
    for area in areas {
        let mut here: Vec<&&Device> = shown
            .iter()
            .filter(|device| device.area.as_ref() == area.map(|a| &a.id))
            .collect();
        if here.is_empty() {
            continue;
        }
        here.sort_by_cached_key(|device| device.name.to_lowercase());
        let floor = area
            .and_then(|a| a.floor.as_deref())
            .map_or_else(String::new, |floor| format!(", {floor}"));
        writeln!(
            out,
            "{}{floor}",
            area.map_or("In no area", |a| a.name.as_str())
        )?;
        for device in here {
            writeln!(
                out,
                "  {}  ({}, {}; from {})",
                device.name,
                device.id,
                device.kind,
                known.source(device)
            )?;
            if !device.aliases.is_empty() {
                writeln!(out, "      also {}", device.aliases.join(", "))?;
            }
            for capability in &device.capabilities {
                writeln!(out, "      {}", line(known, device, capability, examples))?;
            }
        }
        writeln!(out)?;
    }
    for problem in &known.problems {
        if problem.topic.is_empty() {
            writeln!(out, "Not clear: {}", problem.text)?;
        } else if problem.in_part {
            writeln!(out, "Used in part: {}: {}", problem.topic, problem.text)?;
        } else {
            writeln!(out, "Not usable: {}: {}", problem.topic, problem.text)?;
        }
    }
    writeln!(out, "{}", known.summary())?;
    Ok(())
}

/// Returns the line of a property: `brightness   0 to 100 %, now 40   "set the desk lamp to 40
/// percent"`.
fn line(
    known: &GatheredHome,
    device: &Device,
    capability: &Capability,
    examples: &Examples<'_>,
) -> String {
    let now = known
        .state
        .get(&device.id, &capability.property)
        .and_then(Observation::value)
        .map_or_else(String::new, |value| format!(", now {value}"));
    let risk = match capability.guard.opening.max(capability.guard.otherwise) {
        _ if !capability.settable => "",
        Risk::Auto => "",
        Risk::Confirm => ", asks for confirmation",
        Risk::Never => ", not allowed",
    };
    let read = if capability.settable {
        ""
    } else {
        " (read only)"
    };
    let values = format!(
        "{}{read}{risk}{now}",
        accepted_values(&capability.domain, capability.settable)
    );
    let said = examples.example(device, capability).map_or_else(
        || "(only understood by a model)".to_owned(),
        |text| format!("\"{text}\""),
    );
    format!("{:<16} {:<44} {said}", capability.property.name(), values)
}

fn as_json(known: &GatheredHome, device: &Device, examples: &Examples<'_>) -> Json {
    let area = device.area.as_ref().and_then(|id| known.home.area(id));
    let property = |capability: &Capability| {
        let link = &capability.binding;
        let mut command_topics: Vec<&str> = link
            .command
            .iter()
            .map(|port| port.topic.as_str())
            .collect();
        command_topics.extend(link.fixed.iter().map(|(_, message)| message.topic.as_str()));
        command_topics.dedup();
        let range = match &capability.domain {
            Domain::Number {
                min,
                max,
                step,
                unit,
            } if capability.settable => json!({"min": min, "max": max, "step": step, "unit": unit}),
            Domain::Number { unit, .. } => json!({"unit": unit}),
            Domain::Choice(words) => json!({"options": words}),
            Domain::Color => json!("color"),
            Domain::Boolean => json!("boolean"),
            Domain::Trigger => json!("trigger"),
        };
        json!({
            "property": capability.property,
            "settable": capability.settable,
            "takes": range,
            "risk": capability.guard.opening.max(capability.guard.otherwise),
            "value": known.state.get(&device.id, &capability.property).and_then(Observation::value),
            "say": examples.example(device, capability),
            "command_topics": command_topics,
            "state_topics": link.state_ports().map(|port| &port.topic).collect::<Vec<_>>(),
        })
    };
    json!({
        "id": device.id,
        "name": device.name,
        "aliases": device.aliases,
        "area": device.area,
        "floor": area.and_then(|area| area.floor.as_ref()),
        "kind": device.kind.as_str(),
        "class": device.class,
        "from": known.source(device),
        "properties": device.capabilities.iter().map(property).collect::<Vec<_>>(),
    })
}
