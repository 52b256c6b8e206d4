//! A home file to start with: all known devices and areas with their identifiers, for names to be
//! changed and added.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, Write};

use crate::home::device::Device;
use crate::vocabulary::slug::Slug;

use crate::cli::home::accepted_values::accepted_values;
use crate::cli::home::gather::GatheredHome;

const HEAD: &str = "\
# The home as it was found. Announced devices need no table here: keep what you change and delete \
the rest.
# Names, aliases and areas can be changed; the identifier in [device.<identifier>] connects a \
table with its device.
# `risk = \"confirm\"` asks before every command, `risk = \"never\"` forbids all commands.
";

/// Writes the file. Devices that only the home file declares are not repeated.
pub(in crate::cli) fn write(known: &GatheredHome, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{HEAD}")?;
    let home = &known.home;
    let floors: BTreeSet<&str> = home
        .areas()
        .iter()
        .filter_map(|area| area.floor.as_deref())
        .collect();
    for area in home.areas() {
        writeln!(out, "[area.{}]", area.id)?;
        writeln!(out, "name = {}", quoted(&area.name))?;
        aliases(&area.aliases, out)?;
        if let Some(floor) = area.floor.as_deref().filter(|floor| floors.contains(floor)) {
            writeln!(out, "floor = {}", quoted(floor))?;
        }
        writeln!(out)?;
    }
    let mut taken = TakenNames::default();
    for device in home.devices() {
        let name = taken.add(device);
        if known.origins.contains_key(&device.id) {
            table(known, device, &name, out)?;
        } else {
            writeln!(
                out,
                "# [device.{}] does not announce itself: copy its table from your home file\n",
                device.id
            )?;
        }
    }
    Ok(())
}

/// Names of the devices in each area, in lower case. A home file in which two are equal is refused.
#[derive(Default)]
struct TakenNames<'a>(HashSet<(Option<&'a Slug>, String)>);

impl<'a> TakenNames<'a> {
    /// Returns the name of the device, with a number behind it if an earlier device has it.
    fn add(&mut self, device: &'a Device) -> String {
        let area = device.area.as_ref();
        let mut name = device.name.clone();
        let mut number = 1;
        while !self.0.insert((area, name.to_lowercase())) {
            number += 1;
            name = format!("{} {number}", device.name);
        }
        for alias in &device.aliases {
            self.0.insert((area, alias.to_lowercase()));
        }
        name
    }
}

fn table(
    known: &GatheredHome,
    device: &Device,
    name: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    let can: Vec<String> = device
        .capabilities
        .iter()
        .map(|c| {
            format!(
                "{} ({})",
                c.property,
                accepted_values(&c.domain, c.settable)
            )
        })
        .collect();
    writeln!(out, "# from {}: {}", known.source(device), can.join("; "))?;
    writeln!(out, "[device.{}]", device.id)?;
    writeln!(out, "kind = {}", quoted(device.kind.as_str()))?;
    writeln!(out, "name = {}", quoted(name))?;
    let bound = device.announced.as_ref();
    if let Some(source) = bound.or_else(|| known.bindings.get(&device.id)) {
        writeln!(out, "announced = {}", quoted(source))?;
    }
    aliases(&device.aliases, out)?;
    if let Some(area) = &device.area {
        writeln!(out, "area = {}", quoted(area.as_str()))?;
    }
    writeln!(out)
}

fn aliases(names: &[String], out: &mut impl Write) -> io::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    writeln!(out, "aliases = [{}]", names.join(", "))
}

/// Returns the text as a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
