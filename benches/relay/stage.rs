//! The broker and the two programs.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::load::{AREAS, THINGS};
use crate::program::{self, Program, mosquitto};
use crate::{BenchError, bare};

/// The broker, and a folder for all files.
pub(crate) struct Stage {
    // Fields are dropped in this order: the broker ends before its folder is removed.
    _broker: Program,
    folder: tempfile::TempDir,
    port: u16,
}

impl Stage {
    /// Starts the broker.
    pub(crate) async fn new() -> Result<Self, BenchError> {
        let folder = tempfile::tempdir()?;
        let (broker, port) = mosquitto(folder.path()).await?;
        Ok(Self {
            _broker: broker,
            folder,
            port,
        })
    }

    /// The broker's port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts the relay: this program with another argument.
    pub(crate) fn relay(&self) -> Result<Program, BenchError> {
        Program::start(
            Command::new(std::env::current_exe()?)
                .arg(bare::ROLE)
                .arg(self.port.to_string()),
        )
    }

    /// Starts sayso as on a gateway: journal on disk, 60 devices.
    pub(crate) fn sayso(&self) -> Result<Program, BenchError> {
        let folder = self.folder.path();
        fs::write(folder.join("home.toml"), home())?;
        let file = folder.join("sayso.toml");
        fs::write(&file, settings(folder, self.port))?;
        Program::start(
            Command::new(program::sayso()?)
                .arg("run")
                .arg("--config")
                .arg(file),
        )
    }
}

fn settings(folder: &Path, port: u16) -> String {
    let store = folder.join("store");
    format!(
        "[mqtt]\nhost = \"127.0.0.1\"\nport = {port}\nclient_id = \"sayso-bench\"\n\n[store]\npath = '{}'\n\n[log]\nfilter = \"warn\"\n",
        store.display()
    )
}

fn home() -> String {
    let mut text = String::new();
    for area in AREAS {
        // Writing to a `String` does not fail.
        let _ = writeln!(text, "[area.{area}]");
        for (thing, kind) in THINGS {
            let id = format!("{area} {thing}").replace(' ', "_");
            let _ = writeln!(
                text,
                "[device.{id}]\nkind = \"{kind}\"\narea = \"{area}\"\ncan = [\"power\"]\nzigbee2mqtt = \"{area} {thing}\""
            );
        }
    }
    text
}
