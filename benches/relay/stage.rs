//! The broker and the two programs, as processes of their own, with what the kernel counts of them.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::load::{AREAS, THINGS};
use crate::{Fault, bare};

/// Where Debian puts it, which is not in everybody's path.
const MOSQUITTO: [&str; 2] = ["mosquitto", "/usr/sbin/mosquitto"];
/// How long the broker may take to listen.
const START: Duration = Duration::from_secs(10);
/// Linux counts processor time in hundredths of a second for every program, whatever its own clock is.
const TICK: Duration = Duration::from_millis(10);

/// A running program; it is killed when it is dropped.
pub(crate) struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    fn start(command: &mut Command) -> Result<Self, Fault> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().map(Self).map_err(|error| format!("cannot start {command:?}: {error}").into())
    }

    /// The processor time it has used, in user and system mode.
    pub(crate) fn cpu(&self) -> Result<Duration, Fault> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u32 = after_name.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<_, _>>()?;
        Ok(TICK * ticks)
    }

    /// The memory it has in RAM, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u32, Fault> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS: the program has ended")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

/// The broker, and a folder for everything.
pub(crate) struct Stage {
    // Dropped in this order: the broker ends before its folder goes.
    _broker: Program,
    folder: tempfile::TempDir,
    port: u16,
}

impl Stage {
    /// Starts mosquitto on a free loopback port, without limits that would touch one side only.
    pub(crate) async fn new() -> Result<Self, Fault> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?.port();
        let file = folder.path().join("mosquitto.conf");
        let settings = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\nlog_type none\nsys_interval 0\n"
        );
        fs::write(&file, settings)?;
        let started = MOSQUITTO.iter().find_map(|name| Program::start(Command::new(name).arg("-c").arg(&file).stderr(Stdio::null())).ok());
        let broker = started.ok_or("mosquitto is not installed: `apt-get install mosquitto`")?;
        let listening = async {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(START, listening).await.map_err(|_| "mosquitto does not listen")?;
        Ok(Self { _broker: broker, folder, port })
    }

    /// The broker's port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts the relay: this binary, in its other role.
    pub(crate) fn relay(&self) -> Result<Program, Fault> {
        Program::start(Command::new(std::env::current_exe()?).arg(bare::ROLE).arg(self.port.to_string()))
    }

    /// Starts sayso as it would run on a gateway: journal on disk, 60 devices.
    pub(crate) fn sayso(&self) -> Result<Program, Fault> {
        let folder = self.folder.path();
        fs::write(folder.join("home.toml"), home())?;
        let file = folder.join("sayso.toml");
        fs::write(&file, settings(folder, self.port))?;
        Program::start(Command::new(env!("CARGO_BIN_EXE_sayso")).arg("run").arg("--config").arg(file))
    }
}

fn settings(folder: &Path, port: u16) -> String {
    let store = folder.join("store");
    format!("[mqtt]\nhost = \"127.0.0.1\"\nport = {port}\nclient_id = \"sayso-bench\"\n\n[store]\npath = '{}'\n\n[log]\nfilter = \"warn\"\n", store.display())
}

fn home() -> String {
    let mut text = String::new();
    for area in AREAS {
        // Writing to a string does not fail.
        let _ = writeln!(text, "[area.{area}]");
        for (thing, kind) in THINGS {
            let id = format!("{area} {thing}").replace(' ', "_");
            let _ = writeln!(text, "[device.{id}]\nkind = \"{kind}\"\narea = \"{area}\"\ncan = [\"power\"]\nzigbee2mqtt = \"{area} {thing}\"");
        }
    }
    text
}
