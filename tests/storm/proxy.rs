//! The connection between the program and the broker: it can be cut, also in the middle of a
//! packet, lose everything in one direction while it looks alive, or lose only the
//! acknowledgements.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// A fault of the connections that exist now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Both directions end at once.
    Both,
    /// The next piece from the program is torn: a part of it arrives, then both ends are closed.
    TornUp,
    /// The same from the broker.
    TornDown,
    /// The program's packets are lost; it all ends after this time.
    DumbFor(Duration),
    /// The broker's packets are lost; it all ends after this time.
    DeafFor(Duration),
    /// The broker's PUBACKs are lost, and nothing else.
    NoAcks,
}

/// The proxy.
pub(crate) struct Proxy {
    port: u16,
    cut: watch::Sender<Option<(u64, Cut)>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(broker: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = watch::Sender::new(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, broker, cut.clone()));
        Self {
            port,
            cut,
            _tasks: tasks,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn cut(&self, how: Cut) {
        self.cut
            .send_modify(|last| *last = Some((last.map_or(0, |(n, _)| n) + 1, how)));
    }
}

async fn accept(listener: TcpListener, broker: u16, cut: watch::Sender<Option<(u64, Cut)>>) {
    let mut wires = JoinSet::new();
    while let Ok((program, _)) = listener.accept().await {
        while wires.try_join_next().is_some() {}
        let cut = cut.subscribe();
        wires.spawn(async move {
            // Where there is no broker, the program's connection ends here as it would there.
            if let Ok(broker) =
                TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, broker))).await
            {
                wire(program, broker, cut).await;
            }
        });
    }
}

async fn wire(program: TcpStream, broker: TcpStream, mut cut: watch::Receiver<Option<(u64, Cut)>>) {
    let _ = (program.set_nodelay(true), broker.set_nodelay(true));
    let (from_program, to_program) = program.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let (up, down) = (
        Arc::new(AtomicU16::new(PASS)),
        Arc::new(AtomicU16::new(PASS)),
    );
    let mut ways = JoinSet::new();
    ways.spawn(way(from_program, to_broker, Arc::clone(&up)));
    ways.spawn(way(from_broker, to_program, Arc::clone(&down)));
    cut.mark_unchanged();
    loop {
        tokio::select! {
            _ = ways.join_next() => return,
            changed = cut.changed() => {
                let how = *cut.borrow_and_update();
                match how {
                    _ if changed.is_err() => return,
                    None => {}
                    Some((_, Cut::Both)) => return,
                    Some((_, Cut::TornUp)) => up.store(TEAR, Ordering::Relaxed),
                    Some((_, Cut::TornDown)) => down.store(TEAR, Ordering::Relaxed),
                    Some((_, Cut::NoAcks)) => down.store(NO_ACKS, Ordering::Relaxed),
                    Some((_, Cut::DumbFor(time))) => {
                        up.store(SWALLOW, Ordering::Relaxed);
                        sleep(time).await;
                        return;
                    }
                    Some((_, Cut::DeafFor(time))) => {
                        down.store(SWALLOW, Ordering::Relaxed);
                        sleep(time).await;
                        return;
                    }
                }
            }
        }
    }
}

const PASS: u16 = 0;
const TEAR: u16 = 1;
const SWALLOW: u16 = 2;
const NO_ACKS: u16 = 3;

/// The type of a PUBACK, in the first byte of a packet.
const PUBACK: u8 = 0x40;

async fn way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mode: Arc<AtomicU16>) {
    let mut piece = vec![0; 16 << 10];
    let mut packets = Vec::new();
    while let Ok(n @ 1..) = from.read(&mut piece).await {
        packets.extend_from_slice(&piece[..n]);
        let mode = mode.load(Ordering::Relaxed);
        let mut whole = Vec::new();
        while let Some(length) = packet_length(&packets) {
            let packet: Vec<u8> = packets.drain(..length).collect();
            if mode != NO_ACKS || packet[0] & 0xf0 != PUBACK {
                whole.extend(packet);
            }
        }
        let kept = match mode {
            SWALLOW => continue,
            TEAR => whole.len() / 2,
            _ => whole.len(),
        };
        if to.write_all(&whole[..kept]).await.is_err() || mode == TEAR {
            return;
        }
    }
}

/// Returns the length of the first packet, if all of it is there.
fn packet_length(bytes: &[u8]) -> Option<usize> {
    let mut remaining = 0;
    for (i, byte) in bytes.iter().skip(1).take(4).enumerate() {
        remaining |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            let length = 2 + i + remaining;
            return (bytes.len() >= length).then_some(length);
        }
    }
    None
}
