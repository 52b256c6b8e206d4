//! The whole of sayso on one machine, with nothing to install: an MQTT broker, a simulated house,
//! two scripted models, the daemon itself, and a prompt.
//!
//! `cargo demo [--port N] [--log FILTER]`. Lines are typed, or come from a pipe, one sentence each.
//! Where standard input is no terminal and has no line, it plays a fixed scene and exits with 0, or
//! with 1 if a result differs from the expected one. All parts communicate over MQTT and HTTP on
//! loopback, as they would in a house.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use tokio::task::JoinSet;

mod announce;
mod broker;
mod client;
mod connection;
mod daemon;
mod editor;
mod house;
mod input;
mod output;
mod prompt;
mod reason;
mod scene;
mod scripted_model;

use client::Client;
use editor::Editor;
use reason::LocalReading;
use scripted_model::ScriptedModel;

/// Any error ends the demo, so its type does not matter.
type DemoError = Box<dyn Error + Send + Sync>;

/// sayso with a broker, a simulated house and scripted models, in one process on loopback.
#[derive(Parser)]
#[command(name = "cargo demo")]
struct Options {
    /// The loopback port of the demo's broker; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The log of sayso on standard error, in the form of `RUST_LOG`, such as `sayso=info`
    #[arg(long, default_value = "off")]
    log: String,
}

fn main() -> ExitCode {
    let differences = match run(&Options::parse()) {
        Ok(differences) => differences,
        Err(error) => vec![error.to_string()],
    };
    for difference in &differences {
        // Standard output may be closed; the exit code reports the failure in any case.
        let _ = output::line(&format!("failed: {difference}"));
    }
    if differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(options: &Options) -> Result<Vec<String>, DemoError> {
    sayso::testing::telemetry::log::start(&sayso::testing::telemetry::log::Settings {
        filter: options.log.clone(),
        ..Default::default()
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(demonstrate(options))
}

/// Starts all parts, then the prompt or the scene. Returns the differences from the scene's
/// expected results.
async fn demonstrate(options: &Options) -> Result<Vec<String>, DemoError> {
    let mut tasks = JoinSet::new();
    let folder = tempfile::tempdir()?;
    let port = broker::start(options.port, &mut tasks).await?;
    house::start(port, &mut tasks).await?;
    let models = [
        ScriptedModel::start(scene::FIRST, &mut tasks).await?,
        ScriptedModel::start(scene::SECOND, &mut tasks).await?,
    ];
    let mut client = Client::start(port, &mut tasks).await?;
    let daemon = daemon::start(folder.path(), port, &models)?;
    let reading = LocalReading::new(&folder.path().join("sayso.toml"))?;
    if let Err(error) = client.wait_until_online().await {
        return Err(daemon.stop().err().unwrap_or(error));
    }
    greet(port)?;
    let mut editor = Editor::start()?;
    let has_lines = editor.has_lines().await;
    let differences = if has_lines {
        prompt::run(editor, &mut client, &models, &daemon, &reading).await?;
        Vec::new()
    } else {
        scene::play(&mut client, &models, &reading).await?
    };
    tokio::task::spawn_blocking(|| daemon.stop()).await??;
    if !has_lines && differences.is_empty() {
        output::line("All results are as expected.")?;
    }
    Ok(differences)
}

fn greet(port: u16) -> io::Result<()> {
    let devices = house::gadgets().len();
    output::line(&format!(
        "sayso is running, with a simulated house of {devices} devices and two scripted models.
Its broker is at 127.0.0.1:{port}. From another terminal, in this folder:
  cargo run -- say --port {port} \"turn on the hall light\"
  cargo run -- home --port {port}
"
    ))
}
