//! `sayso doctor`: everything an operator can get wrong, looked at in the order in which it matters, each with what to do.
//! It disturbs nothing: it has a client id of its own, leaves no session behind, opens no store, and lets nothing out on a
//! device's topic.

mod acl;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::config::{Config, ConfigLocation, Faults, Scope};

use crate::cli::{Exit, Files, Stop};

mod broker;
mod disk;
mod files;
mod finding;
mod models;
mod tls;
mod traffic;
mod wire;

use crate::cli::doctor::finding::{Finding, Report};

/// How long any one answer of the broker is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  sayso doctor
  sayso doctor --config /etc/sayso/sayso.toml --no-models
  sayso doctor --json | jq '.findings[] | select(.grade == \"fault\")'

Run it as root, or as who may read the keys. It uses a client id of its own, and lets nothing out on a device's topic. The running \
daemon hears one empty command of the source `doctor`, which it refuses: that shows that it listens and answers. Each model is \
asked one short question; --no-models leaves that out.

Exit codes: 0 no fault (there may be warnings), 1 at least one fault.";

/// The arguments of `sayso doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Doctor {
    #[command(flatten)]
    files: Files,
    /// Ask no model
    #[arg(long)]
    no_models: bool,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// Looks at everything, and prints what was found.
pub(super) fn doctor(arguments: &Doctor, out: &mut impl Write) -> Result<Exit, Stop> {
    let place = arguments.files.place(Scope::Everything).of_the_service();
    let mut report = Report::default();
    files::look(&place, &mut report);
    if let Some(config) = config(&place, &mut report) {
        let held = disk::look(&config, &mut report);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Stop::new(Exit::Internal, error))?;
        runtime.block_on(async {
            broker::look(&config, held, &mut report).await;
            if !arguments.no_models {
                models::look(&config, &mut report).await;
            }
        });
    }
    if arguments.json {
        writeln!(out, "{}", report.json())?;
    } else {
        report.print(out)?;
    }
    Ok(if report.has_fault() {
        Exit::Failed
    } else {
        Exit::Done
    })
}

/// The config; where it is wrong, as much of it as leads to the broker.
fn config(place: &ConfigLocation, report: &mut Report) -> Option<Config> {
    let faults = match Config::load(place) {
        Ok(config) => {
            let path = |path: &Option<PathBuf>| {
                path.as_ref()
                    .map_or_else(|| "none".to_owned(), |path| path.display().to_string())
            };
            let (files, devices, models) = (
                &config.files,
                config.home.devices().len(),
                config.ask.providers.len(),
            );
            let found = format!(
                "config {}, home {}: {devices} devices declared, {models} models",
                path(&files.config),
                path(&files.home)
            );
            report.ok("config", found);
            return Some(config);
        }
        Err(faults) => faults,
    };
    tell(&faults, report);
    let config = Config::load(&ConfigLocation {
        needs: Scope::Broker,
        ..place.clone()
    })
    .ok()?;
    report.warn(
        "config",
        "the rest is looked at with what can be read of the config",
        "mend the faults above, then run this again",
    );
    Some(config)
}

fn tell(faults: &Faults, report: &mut Report) {
    for fault in faults.iter() {
        let todo = if fault.permission_denied {
            "run this as root, or let the user that runs sayso read that file"
        } else {
            "mend that line; `sayso check` reads the config alone. The daemon does not start before"
        };
        report.add(Finding::fault("config", fault.to_string(), todo));
    }
}
