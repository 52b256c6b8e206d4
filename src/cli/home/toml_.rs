//! A home file to begin with: every device and area that is known, under the identifier it has, for names to be changed and added.

use std::collections::BTreeSet;
use std::io::{self, Write};

use crate::home::device::Device;

use crate::cli::home::{GatheredHome, takes};

const HEAD: &str = "\
# The home as it was found. Devices that announce themselves need no line here: keep what you change, and delete the rest.
# Change names, aliases and areas freely; the identifier in [device.<identifier>] is what ties a table to its device.
# `risk = \"confirm\"` asks before every command, `risk = \"never\"` forbids them.
";

/// Writes it. What only the home file knows is left to that file: ways to devices are not repeated here.
pub(super) fn write(known: &GatheredHome, out: &mut impl Write) -> io::Result<()> {
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
    for device in home.devices() {
        if known.origins.contains_key(&device.id) {
            table(known, device, out)?;
        } else {
            writeln!(
                out,
                "# [device.{}] does not announce itself: take its table over from your home file\n",
                device.id
            )?;
        }
    }
    Ok(())
}

fn table(known: &GatheredHome, device: &Device, out: &mut impl Write) -> io::Result<()> {
    let can: Vec<String> = device
        .capabilities
        .iter()
        .map(|c| format!("{} ({})", c.property, takes(&c.takes, c.settable)))
        .collect();
    writeln!(out, "# from {}: {}", known.source(device), can.join("; "))?;
    writeln!(out, "[device.{}]", device.id)?;
    writeln!(out, "kind = {}", quoted(device.kind.as_str()))?;
    writeln!(out, "name = {}", quoted(&device.name))?;
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

/// The text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
