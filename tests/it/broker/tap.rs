//! A proxy between sayso and its broker that can cut the connection, or mute one direction.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;

/// State of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Whole,
    /// Packets of the broker do not arrive.
    Muted,
    /// Nothing arrives in either direction, and the broker receives pings instead.
    Abandoned,
    /// Every connection is closed, also new ones.
    Cut,
}

/// A PINGREQ (MQTT 5, section 3.12).
const PINGREQ: [u8; 2] = [0xc0, 0];

/// The interval of the pings for an abandoned broker.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// The proxy.
pub(crate) struct Tap {
    port: u16,
    mode: Arc<watch::Sender<Mode>>,
    _connections: JoinSet<()>,
}

impl Tap {
    /// Starts a proxy to the broker at `broker`.
    pub(crate) async fn to(broker: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(watch::Sender::new(Mode::Whole));
        let mut connections = JoinSet::new();
        connections.spawn(serve(listener, broker, Arc::clone(&mode)));
        Self {
            port,
            mode,
            _connections: connections,
        }
    }

    /// Returns the port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Closes every connection, and each new one.
    pub(crate) fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Holds packets of the broker back, and lets those to it pass.
    pub(crate) fn mute(&self) {
        self.mode.send_replace(Mode::Muted);
    }

    /// Lets nothing pass, and keeps the broker from noticing it.
    pub(crate) fn abandon(&self) {
        self.mode.send_replace(Mode::Abandoned);
    }

    /// Lets everything pass again.
    pub(crate) fn mend(&self) {
        self.mode.send_replace(Mode::Whole);
    }
}

async fn serve(listener: TcpListener, broker: u16, mode: Arc<watch::Sender<Mode>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if *mode.borrow() == Mode::Cut {
            continue;
        }
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)).await else {
            continue;
        };
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let mut mode = mode.subscribe();
        let mut ends = mode.clone();
        connections.spawn(async move {
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::select! {
                () = carry_up(from_client, to_server, mode.clone()) => {}
                () = carry_down(from_server, to_client, &mut mode) => {}
                _ = ends.wait_for(|mode| *mode == Mode::Cut) => {}
            }
        });
    }
}

/// Carries the packets to the broker.
async fn carry_up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut pings = interval(PING_INTERVAL);
    loop {
        let is_abandoned = || *mode.borrow() == Mode::Abandoned;
        let piece = tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(n @ 1..) if is_abandoned() => &buffer[n..n],
                Ok(n @ 1..) => &buffer[..n],
                _ => return,
            },
            _ = pings.tick() => if is_abandoned() { &PINGREQ[..] } else { &[] },
        };
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
}

/// Carries the packets of the broker.
async fn carry_down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mode: &mut watch::Receiver<Mode>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let passes = |mode: &Mode| !matches!(mode, Mode::Muted | Mode::Abandoned);
        if mode.wait_for(passes).await.is_err() || to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
