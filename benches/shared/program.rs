//! Programs as processes of their own, with the counters the kernel keeps for them; the broker is
//! one of them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::{TcpListener, TcpStream};

use crate::BenchError;

/// The program, and its path on Debian, which is not in every user's search path.
const MOSQUITTO: [&str; 2] = ["mosquitto", "/usr/sbin/mosquitto"];
/// The longest wait for the broker to listen.
const START: Duration = Duration::from_secs(10);
/// The unit of CPU time in `/proc`: a hundredth of a second on Linux.
const TICK: Duration = Duration::from_millis(10);
/// How often a program is asked whether it has ended by itself, and the time between: five seconds.
const ASKED: u32 = 500;
const PAUSE: Duration = Duration::from_millis(10);

/// The path of the sayso to measure: the argument after `--program`, or the program that was built
/// with the benchmark.
///
/// # Errors
///
/// If `--program` is the last argument.
pub(crate) fn sayso() -> Result<PathBuf, BenchError> {
    let mut arguments = std::env::args_os().skip_while(|argument| argument != "--program");
    match (arguments.next(), arguments.next()) {
        (None, _) => Ok(env!("CARGO_BIN_EXE_sayso-under-measure").into()),
        (_, Some(path)) => Ok(path.into()),
        _ => Err("`--program` needs a path".into()),
    }
}

/// A running program. It is terminated when it is dropped, and killed if it does not end: a program
/// that ends by itself writes its profile.
pub(crate) struct Program(Child);

impl Drop for Program {
    #[expect(clippy::disallowed_methods, reason = "a drop cannot wait otherwise")]
    fn drop(&mut self) {
        // Each of these fails only if the process has ended already.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        for _ in 0..ASKED {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Result<Self, BenchError> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map(Self)
            .map_err(|error| format!("cannot start {command:?}: {error}").into())
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// The CPU time used, in user and system mode.
    pub(crate) fn cpu(&self) -> Result<Duration, BenchError> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u32 = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse::<u32>)
            .sum::<Result<_, _>>()?;
        Ok(TICK * ticks)
    }

    /// The resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u32, BenchError> {
        self.status("VmRSS:")
    }

    /// A number in `/proc/<pid>/status`, such as that after `Threads:`.
    pub(crate) fn status(&self, field: &str) -> Result<u32, BenchError> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .ok_or_else(|| format!("no {field} the program has ended"))?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

/// Starts mosquitto on a free loopback port, without limits that would affect one program only. Its
/// configuration is in `folder`.
pub(crate) async fn mosquitto(folder: &Path) -> Result<(Program, u16), BenchError> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await?
        .local_addr()?
        .port();
    let file = folder.join("mosquitto.conf");
    let settings = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\nlog_type none\nsys_interval 0\n"
    );
    fs::write(&file, settings)?;
    let started = MOSQUITTO.iter().find_map(|name| {
        Program::start(
            Command::new(name)
                .arg("-c")
                .arg(&file)
                .stderr(Stdio::null()),
        )
        .ok()
    });
    let broker = started.ok_or("mosquitto is not installed: `apt-get install mosquitto`")?;
    let listening = async {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(START, listening)
        .await
        .map_err(|_| "mosquitto does not listen")?;
    Ok((broker, port))
}
