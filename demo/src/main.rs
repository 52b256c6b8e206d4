//! The whole of sayso on one machine, with nothing to install: an MQTT broker, a simulated house, two scripted
//! stand-ins for a model, the daemon itself, and a prompt.
//!
//! `cargo demo [-- --port N] [--log FILTER]`. Without a terminal on standard input it plays a
//! fixed scene and ends with 0, or with 1 and what went wrong. Everything between these parts goes over MQTT and HTTP
//! on loopback, as it would in a house.

use std::error::Error;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use tokio::task::JoinSet;

mod announce;
mod broker;
mod daemon;
mod house;
mod line;
mod prompt;
mod scene;
mod show;
mod speaker;
mod stand_in;

use speaker::Speaker;
use stand_in::StandIn;

/// What may go wrong in a demo: it is said, and that is the end.
type Fault = Box<dyn Error + Send + Sync>;

/// sayso with a broker, a simulated house and scripted models, in one process on loopback.
#[derive(Parser)]
struct Options {
    /// The loopback port of the demo's broker; 0 takes any free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// What sayso logs to standard error, in the form of `RUST_LOG`, such as `sayso=info`.
    #[arg(long, default_value = "off")]
    log: String,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(wrong) if wrong.is_empty() => ExitCode::SUCCESS,
        Ok(wrong) => {
            for fault in wrong {
                complain(&fault);
            }
            ExitCode::FAILURE
        }
        Err(fault) => {
            complain(&fault.to_string());
            ExitCode::FAILURE
        }
    }
}

fn complain(fault: &str) {
    // Standard output, so that it stands where the scene stopped. Where that is closed, the exit code says it.
    let _ = show::line(&format!("went wrong: {fault}"));
}

fn run(options: &Options) -> Result<Vec<String>, Fault> {
    sayso::telemetry::log::start(&sayso::telemetry::log::Settings {
        filter: options.log.clone(),
        journald: false,
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(demonstrate(options));
    runtime.shutdown_background(); // a read of the terminal may still be waiting for a line
    outcome
}

async fn demonstrate(options: &Options) -> Result<Vec<String>, Fault> {
    let mut tasks = JoinSet::new();
    let folder = tempfile::tempdir()?;
    let port = broker::start(options.port, &mut tasks).await?;
    house::start(port, &mut tasks).await?;
    let models = [
        StandIn::start("stand-in-a", &mut tasks).await?,
        StandIn::start("stand-in-b", &mut tasks).await?,
    ];
    let mut speaker = Speaker::start(port, &mut tasks).await?;
    let daemon = daemon::start(folder.path(), port, &models)?;
    if let Err(fault) = speaker.online().await {
        return Err(daemon.stop().err().unwrap_or(fault));
    }
    welcome(port)?;
    let wrong = if io::stdin().is_terminal() {
        prompt::run(&mut speaker, &models, &daemon).await?;
        Vec::new()
    } else {
        scene::play(&mut speaker, &models).await?
    };
    tokio::task::spawn_blocking(|| daemon.stop()).await??;
    if !io::stdin().is_terminal() && wrong.is_empty() {
        show::line("All of it went as it should.")?;
    }
    Ok(wrong)
}

fn welcome(port: u16) -> io::Result<()> {
    show::line(&format!(
        "sayso is listening, with a simulated house of {} devices and two scripted stand-ins for a model.
Its broker is at 127.0.0.1:{port} for any MQTT client, while this runs:
  mosquitto_sub -p {port} -v -t '#'
  mosquitto_pub -p {port} -t sayso/command/demo -m \"turn on the hall light\"
  sayso say --port {port} \"turn off the hall light\"
  sayso home --port {port}
",
        house::gadgets().len()
    ))
}
