//! A model server on loopback that answers at once, or fails as configured. It counts the calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering::Relaxed};
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::BenchError;

/// The status of a successful answer.
pub(crate) const GOOD: u16 = 200;
/// Stands for no answer at all: the request is received, and the connection stays open.
pub(crate) const HANGS: u16 = 0;

/// A running server, which ends with the process.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) port: u16,
    status: Arc<AtomicU16>,
    calls: Arc<AtomicU32>,
}

impl Fake {
    /// Starts the server on a thread of its own, so that other work does not delay it.
    pub(crate) fn start() -> Result<Self, BenchError> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (status, calls) = (Arc::new(AtomicU16::new(GOOD)), Arc::<AtomicU32>::default());
        let (its_status, its_calls) = (Arc::clone(&status), Arc::clone(&calls));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::spawn(move || runtime.block_on(serve(listener, its_status, its_calls)));
        Ok(Self {
            port,
            status,
            calls,
        })
    }

    /// Answers with this status from now on; [`HANGS`] is no answer.
    pub(crate) fn turn(&self, status: u16) {
        self.status.store(status, Relaxed);
        self.calls.store(0, Relaxed);
    }

    /// Calls since the status was last changed.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }
}

async fn serve(
    listener: std::net::TcpListener,
    status: Arc<AtomicU16>,
    calls: Arc<AtomicU32>,
) -> Result<(), BenchError> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        while connections.try_join_next().is_some() {}
        let (status, calls) = (Arc::clone(&status), Arc::clone(&calls));
        connections.spawn(async move { drop(converse(stream, &status, &calls).await) });
    }
}

async fn converse(
    mut stream: TcpStream,
    status: &AtomicU16,
    calls: &AtomicU32,
) -> Result<(), BenchError> {
    let mut bytes = Vec::with_capacity(32 << 10);
    loop {
        bytes.clear();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let head = std::str::from_utf8(&bytes[..end])?.to_ascii_lowercase();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .ok_or("no length")?
            .trim()
            .parse()?;
        while bytes.len() < end + length {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        calls.fetch_add(1, Relaxed);
        let status = status.load(Relaxed);
        if status == HANGS {
            std::future::pending::<()>().await;
        }
        let body = if status == GOOD {
            answer(std::str::from_utf8(&bytes[end..])?)
        } else {
            r#"{"error":{"message":"as told","type":"x","code":"x"}}"#.to_owned()
        };
        let answer = format!(
            "HTTP/1.1 {status} As Told\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// The answer that turns on the device named by `zap <device>`.
fn answer(request: &str) -> String {
    let device = request
        .rsplit_once("zap ")
        .and_then(|(_, rest)| rest.split(' ').next())
        .unwrap_or_default();
    let draft = format!(
        r#"{{\"actions\":[{{\"device\":\"{device}\",\"op\":\"set\",\"property\":\"power\",\"value\":\"on\"}}],\"question\":null,\"speech\":null}}"#
    );
    format!(
        r#"{{"choices":[{{"index":0,"message":{{"role":"assistant","content":"{draft}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120}}}}"#
    )
}
