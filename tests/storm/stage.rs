//! The programs on stage: mosquitto, sayso, and the disk the store lies on.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Debian's mosquitto on a port of its own.
pub(crate) struct Broker {
    pub(crate) port: u16,
    folder: PathBuf,
    child: Option<Child>,
}

impl Broker {
    pub(crate) async fn start(folder: &Path) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let folder = folder.join("broker");
        fs::create_dir(&folder).unwrap();
        // `user root`: started as root it would give up the right to write its own folder.
        let settings = format!(
            "user root\nlog_dest none\nlistener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\npersistence true\nautosave_interval 0\npersistence_location {}/\n",
            folder.display()
        );
        fs::write(folder.join("mosquitto.conf"), settings).unwrap();
        let mut broker = Self {
            port,
            folder,
            child: None,
        };
        broker.up().await;
        broker
    }

    /// Ends it; without `keep` everything it knew is gone.
    pub(crate) async fn down(&mut self, keep: bool) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        signal(&child, if keep { "TERM" } else { "KILL" }).await;
        timeout(PATIENCE, child.wait())
            .await
            .expect("mosquitto ends")
            .unwrap();
        if !keep {
            let _ = fs::remove_file(self.folder.join("mosquitto.db"));
        }
    }

    /// Stops it for this time as a machine that is out of memory does: its connections look alive.
    pub(crate) async fn freeze(&self, time: Duration) {
        if let Some(child) = &self.child {
            signal(child, "STOP").await;
            sleep(time).await;
            signal(child, "CONT").await;
        }
    }

    pub(crate) async fn up(&mut self) {
        let mut command = Command::new("mosquitto");
        command
            .env(
                "PATH",
                "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/bin",
            )
            .arg("-c")
            .arg(self.folder.join("mosquitto.conf"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        self.child = Some(
            command
                .spawn()
                .expect("mosquitto is needed: apt-get install mosquitto"),
        );
        let listens = async {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
                .await
                .is_err()
            {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, listens).await.expect("mosquitto listens");
    }
}

/// The real program.
pub(crate) struct Daemon {
    program: PathBuf,
    folder: PathBuf,
    child: Child,
}

impl Daemon {
    pub(crate) fn start(program: &Path, folder: &Path) -> Self {
        let child = spawn(program, folder);
        Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            child,
        }
    }

    pub(crate) async fn kill(&mut self) {
        signal(&self.child, "KILL").await;
        self.child.wait().await.unwrap();
    }

    /// Tells it to stop, as systemd would.
    pub(crate) async fn stop(&mut self) {
        signal(&self.child, "TERM").await;
        timeout(PATIENCE, self.child.wait())
            .await
            .expect("sayso stops")
            .unwrap();
    }

    /// Stops it for this time as a machine that is out of memory does: its connections look alive.
    pub(crate) async fn freeze(&self, time: Duration) {
        signal(&self.child, "STOP").await;
        sleep(time).await;
        signal(&self.child, "CONT").await;
    }

    pub(crate) fn start_again(&mut self) {
        self.child = spawn(&self.program, &self.folder);
    }

    /// Returns whether it last reported that its store fails.
    pub(crate) fn store_fails(&self) -> bool {
        let log = fs::read_to_string(self.folder.join("daemon.log")).unwrap_or_default();
        let last = |words: &str| log.rfind(words);
        last("the store takes nothing") > last("the store works again").max(last("INFO starting"))
    }

    /// Returns the peak of its resident memory in MiB.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let peak = status.lines().find(|line| line.starts_with("VmHWM"))?;
        let kib: u64 = peak.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib >> 10)
    }

    /// Returns whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

fn spawn(program: &Path, folder: &Path) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("daemon.log"))
        .unwrap();
    let mut command = Command::new(program);
    command
        .args(["run", "--config"])
        .arg(folder.join("sayso.toml"))
        .current_dir(folder);
    let library = folder.join(HOLD_LIBRARY);
    if library.exists() {
        command
            .env("LD_PRELOAD", library)
            .env("HOLD", folder.join(HOLD))
            .env("CLOCK", folder.join(CLOCK));
    }
    command
        .env_remove("SAYSO_CONFIG")
        .env_remove("NOTIFY_SOCKET")
        .env(
            "RUST_LOG",
            "warn,sayso=info,sayso::testing::daemon=debug,sayso::testing::mqtt=debug",
        )
        .env("NO_COLOR", "1");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn signal(child: &Child, name: &str) {
    // It may have ended by itself a moment ago.
    if let Some(id) = child.id() {
        let _ = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(id.to_string())
            .stderr(Stdio::null())
            .status()
            .await;
    }
}

/// Stands between the program and the C library. While the file `HOLD` exists, no sync ends; with a
/// number in it, each takes as many milliseconds longer. `CLOCK` holds the seconds by which the
/// wall clock is wrong.
const HOLD_SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static long number_in(const char *file, long otherwise) {
    char text[32];
    int handle = file ? open(file, O_RDONLY) : -1;
    if (handle < 0) return otherwise;
    ssize_t length = read(handle, text, sizeof text - 1);
    close(handle);
    text[length > 0 ? length : 0] = 0;
    return strtol(text, 0, 10);
}
static void hold(void) {
    const char *file = getenv("HOLD");
    long delay = number_in(file, -1);
    if (delay > 0) usleep(delay * 1000);
    else while (number_in(file, -1) == 0) usleep(5000);
}
int fdatasync(int file) {
    hold();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}
int fsync(int file) {
    hold();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}
int clock_gettime(clockid_t clock, struct timespec *result) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, result);
    int error = errno;
    if (!failed && clock == CLOCK_REALTIME)
        result->tv_sec += number_in(getenv("CLOCK"), 0);
    errno = error;
    return failed;
}
"#;

/// File names of the library, of the file that holds syncs, and of the one that moves the clock.
const HOLD_LIBRARY: &str = "hold.so";
const HOLD: &str = "hold";
const CLOCK: &str = "clock";

/// Compiles the library that holds syncs into `folder`; returns whether there is a C compiler.
pub(crate) async fn compile_hold(folder: &Path) -> bool {
    let source = folder.join("hold.c");
    fs::write(&source, HOLD_SOURCE).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&folder.join(HOLD_LIBRARY), &source])
        .arg("-ldl")
        .stderr(Stdio::null())
        .status()
        .await;
    compiled.is_ok_and(|status| status.success())
}

/// Lets the program of this folder see a wall clock that is wrong by so many seconds.
pub(crate) fn set_clock_wrong(folder: &Path, seconds: i64) {
    fs::write(folder.join(CLOCK), seconds.to_string()).unwrap();
}

/// The disk the store lies on: a small one of its own where this user may mount one, so that it can
/// be filled.
pub(crate) struct Disk {
    folder: PathBuf,
    mounted: bool,
}

impl Disk {
    pub(crate) async fn new(folder: &Path) -> Self {
        let folder = folder.join("disk");
        fs::create_dir(&folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"])
            .arg(&folder)
            .stderr(Stdio::null())
            .status()
            .await;
        Self {
            folder,
            mounted: mounted.is_ok_and(|status| status.success()),
        }
    }

    pub(crate) fn can_be_filled(&self) -> bool {
        self.mounted
    }

    /// Fills the rest of it.
    pub(crate) fn fill(&self) {
        let _ = fs::write(self.folder.join("hog"), vec![1; 33 << 20]);
    }

    /// Lets no sync end until [`Disk::release`].
    pub(crate) fn hold(&self) {
        fs::write(self.folder.with_file_name(HOLD), "").unwrap();
    }

    /// Lets each sync take so much longer until [`Disk::release`].
    pub(crate) fn slow_down(&self, by: Duration) {
        let file = self.folder.with_file_name(HOLD);
        fs::write(file, by.as_millis().to_string()).unwrap();
    }

    /// Lets the program see a wall clock that is wrong by so many seconds.
    pub(crate) fn set_clock_wrong(&self, seconds: i64) {
        if let Some(folder) = self.folder.parent() {
            set_clock_wrong(folder, seconds);
        }
    }

    pub(crate) fn release(&self) {
        let _ = fs::remove_file(self.folder.with_file_name(HOLD));
    }

    pub(crate) fn free(&self) {
        let _ = fs::remove_file(self.folder.join("hog"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            let _ = std::process::Command::new("umount")
                .arg("-l")
                .arg(&self.folder)
                .status();
        }
    }
}
