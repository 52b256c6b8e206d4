//! Service notifications to systemd with the `sd_notify` protocol: one datagram to `$NOTIFY_SOCKET`
//! for each message. Without systemd the calls do nothing.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Connection to systemd, if the process is a service.
#[derive(Debug, Default)]
pub struct Notify {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// Connects to the socket named by `$NOTIFY_SOCKET`: a path, or an abstract name after `@`.
    pub fn new(address: Option<&str>) -> Self {
        let address = address.filter(|address| !address.is_empty());
        Self {
            // Without the socket systemd reports that the service did not start; there is nobody
            // else to inform.
            socket: address.and_then(|address| connect(address).ok()),
            watchdog: None,
        }
    }

    /// Returns the connection with the watchdog timeout of the service (`$WATCHDOG_USEC`).
    #[must_use]
    pub fn with_watchdog(self, period: Option<Duration>) -> Self {
        Self {
            watchdog: period,
            ..self
        }
    }

    /// Returns the interval for keep-alive messages: half of the timeout, or `None` without a
    /// watchdog.
    pub fn watchdog_every(&self) -> Option<Duration> {
        self.watchdog.map(|period| period / 2)
    }

    /// Reports that the daemon is subscribed and serves commands.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// Reports a status line for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// Reports that a reload begins; [`ready`](Self::ready) reports its end. `Type=notify-reload`
    /// requires the time.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// Sends a keep-alive message to the watchdog.
    pub fn watchdog(&self) {
        self.send("WATCHDOG=1");
    }

    /// Reports that the daemon is stopping.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // A full or closed socket is no reason to stop serving.
            let _ = socket.send(message.as_bytes());
        }
    }
}

/// Connects to a socket by path, or by abstract name after `@`.
fn connect(address: &str) -> io::Result<UnixDatagram> {
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_and_stopping_are_sent_to_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::new(path.to_str());
        let mut received = [0; 64];
        notify.ready("serving");
        let n = systemd.recv(&mut received).unwrap();
        assert_eq!(&received[..n], b"READY=1\nSTATUS=serving");
        notify.stopping();
        let n = systemd.recv(&mut received).unwrap();
        assert_eq!(&received[..n], b"STOPPING=1");
        // Without a socket the call does nothing.
        Notify::new(None).ready("serving");
    }
}
