//! `sayso doctor`: checks everything an operator can get wrong, in the order of dependence, and
//! shows a cure for each problem. It has a client id of its own, leaves no session behind, does not
//! open the store and sends nothing to devices.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value as Json;

use crate::config::{Config, ConfigLocation, Faults, Scope};
use crate::mqtt;
use crate::pair::NodeReport;

use crate::cli::arguments::FileArguments;
use crate::cli::exit::{Exit, Failure};
use crate::cli::plural::count;
use crate::cli::runtime;

mod acl;
mod broker;
mod disk;
mod files;
mod finding;
mod models;
mod pair;
mod probe;
mod redis;
mod route;
mod tls;
mod traffic;

use crate::cli::doctor::finding::{DoctorFinding, DoctorReport};

const EXAMPLES: &str = "\
Examples:
  sayso doctor
  sayso doctor --config /etc/sayso/sayso.toml --no-models
  sayso doctor --json | jq '.findings[] | select(.grade == \"fault\")'

Run it as root, or as a user who may read the keys. It uses a client id of its own and sends \
nothing to devices. The running \
daemon gets one empty command with the source `doctor` and refuses it, which shows that it \
receives and answers. Each provider \
gets one short request; --no-models omits that.

Exit codes: 0 no fault (there may be warnings), 1 at least one fault.";

/// Arguments of `sayso doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Doctor {
    #[command(flatten)]
    files: FileArguments,
    /// Send no request to providers
    #[arg(long)]
    no_models: bool,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// Runs all checks and prints the findings.
pub(super) fn doctor(arguments: &Doctor, out: &mut impl Write) -> Result<Exit, Failure> {
    let report = examine(&arguments.files, !arguments.no_models)?;
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

/// Runs all checks and returns the findings as JSON, without requests to providers.
pub(super) fn findings(files: &FileArguments) -> Result<Json, Failure> {
    Ok(examine(files, false)?.json())
}

/// Returns the first fault of the connection to a broker; `None` if a client can connect and log
/// in.
pub(super) async fn diagnose(settings: &mqtt::Settings) -> Option<impl Error + use<>> {
    broker::first_fault(settings).await
}

/// Returns the reports of the nodes of a pair, or `None` if the broker cannot be reached.
pub(super) async fn pair_nodes(settings: &mqtt::Settings) -> Option<Vec<NodeReport>> {
    let mut report = DoctorReport::default();
    let route = route::Route::resolve(settings, &mut report).await?;
    pair::nodes(&route).await.ok()
}

/// Returns the faults in the permissions of the config and its secrets, with their cures.
pub(super) fn file_faults(location: &ConfigLocation) -> Vec<String> {
    let mut report = DoctorReport::default();
    files::check(location, &mut report);
    report.fault_texts()
}

fn examine(files: &FileArguments, with_models: bool) -> Result<DoctorReport, Failure> {
    let location = files.location(Scope::Everything).of_the_service();
    let mut report = DoctorReport::default();
    files::check(&location, &mut report);
    if let Some(config) = config(&location, &mut report) {
        let held = disk::check(&config, &mut report);
        runtime::create()?.block_on(async {
            broker::check(&config, held, &mut report).await;
            redis::check(&config, &mut report).await;
            if with_models {
                models::check(&config, &mut report).await;
            }
        });
    }
    Ok(report)
}

/// Loads the config. If it has faults, at least the broker section is loaded.
fn config(location: &ConfigLocation, report: &mut DoctorReport) -> Option<Config> {
    let faults = match Config::load(location) {
        Ok(config) => {
            let path = |path: &Option<PathBuf>| {
                path.as_ref()
                    .map_or_else(|| "none".to_owned(), |path| path.display().to_string())
            };
            let files = &config.files;
            let devices = config.home.devices().len();
            let models = config.ask.providers.len();
            let found = format!(
                "config {}, home {}: {} declared, {}",
                path(&files.config),
                path(&files.home),
                count(devices, "device"),
                count(models, "provider")
            );
            report.ok("config", found);
            return Some(config);
        }
        Err(faults) => faults,
    };
    report_faults(&faults, report);
    let config = Config::load(&ConfigLocation {
        needs: Scope::Broker,
        ..location.clone()
    })
    .ok()?;
    report.warn(
        "config",
        "the other checks use the part of the config that can be read",
        "correct the faults above, then run this again",
    );
    Some(config)
}

fn report_faults(faults: &Faults, report: &mut DoctorReport) {
    for fault in faults.iter() {
        let todo = if fault.permission_denied {
            "run this as root, or let the user that runs sayso read that file"
        } else {
            "correct that line; `sayso check` checks the config only. The daemon does not start \
             until then"
        };
        report.add(DoctorFinding::fault("config", fault.to_string(), todo));
    }
}
