//! Telling systemd how we are: `READY=1`, `STATUS=`, `WATCHDOG=1`, `STOPPING=1`, by the `sd_notify` protocol
//! (a datagram to `$NOTIFY_SOCKET`). Without systemd every call is nothing.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The line to systemd, if there is one.
#[derive(Debug, Default)]
pub struct Notify {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// Opens the line named by `$NOTIFY_SOCKET`: a path, or an abstract name after `@`.
    pub fn new(address: Option<&str>) -> Self {
        let socket = address.filter(|a| !a.is_empty()).and_then(|address| {
            let socket = UnixDatagram::unbound().ok()?;
            let to = match address.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name).ok()?,
                None => SocketAddr::from_pathname(address).ok()?,
            };
            socket.connect_addr(&to).ok()?;
            socket.set_nonblocking(true).ok()?;
            Some(socket)
        });
        Self {
            socket,
            watchdog: None,
        }
    }

    /// The same, with the longest silence systemd bears (`$WATCHDOG_USEC`).
    #[must_use]
    pub fn with_watchdog(self, period: Option<Duration>) -> Self {
        Self {
            watchdog: period,
            ..self
        }
    }

    /// How often to say that we live: half of what systemd bears; `None` where it does not listen for it.
    pub fn watchdog_every(&self) -> Option<Duration> {
        self.watchdog.map(|period| period / 2)
    }

    /// Serving: subscribed and able to answer.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// What we are doing, for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// Reading the config anew; [`ready`](Self::ready) ends it. The moment is what `Type=notify-reload` asks for.
    pub fn reloading(&self) {
        let moment = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = moment.tv_sec * 1_000_000 + moment.tv_nsec / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// Alive.
    pub fn watchdog(&self) {
        self.send("WATCHDOG=1");
    }

    /// On the way out.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // A full or vanished socket is systemd's trouble, and no reason to stop serving.
            let _ = socket.send(message.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_hears_ready_and_stopping() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::new(path.to_str());
        let mut heard = [0; 64];
        notify.ready("serving");
        let n = systemd.recv(&mut heard).unwrap();
        assert_eq!(&heard[..n], b"READY=1\nSTATUS=serving");
        notify.stopping();
        let n = systemd.recv(&mut heard).unwrap();
        assert_eq!(&heard[..n], b"STOPPING=1");
        Notify::new(None).ready("nobody listens");
    }
}
