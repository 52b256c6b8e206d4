//! Serving the page of metrics to who asks for it: on loopback or a Unix socket, one short answer for each connection. So little
//! of HTTP that no library is worth its weight.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::debug;

/// Who asks sends some hundred bytes.
const LONGEST_REQUEST: usize = 4 << 10;

/// Nobody needs longer on one machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// Connections at once; one more waits in the kernel.
const MOST_AT_ONCE: usize = 4;

/// Where the page is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A port of loopback.
    Port(SocketAddr),
    /// A socket file, which whoever may reach may read.
    Socket(PathBuf),
}

/// Opened, and not yet serving.
#[derive(Debug)]
pub enum Scrape {
    /// See [`Address::Port`].
    Port(TcpListener),
    /// See [`Address::Socket`].
    Socket(UnixListener),
}

impl Scrape {
    /// Opens the address.
    ///
    /// # Errors
    /// When it is taken, or may not be opened.
    pub async fn open(address: &Address) -> io::Result<Self> {
        match address {
            Address::Port(port) => TcpListener::bind(port).await.map(Self::Port),
            Address::Socket(path) => {
                // What an earlier life left behind; anything else that stands there stays, and is in the way.
                if fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
                    fs::remove_file(path)?;
                }
                let socket = UnixListener::bind(path)?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
                Ok(Self::Socket(socket))
            }
        }
    }

    /// Serves for ever.
    pub async fn serve(self, page: impl Fn() -> String + Send + Sync + 'static) {
        let (page, mut serving) = (Arc::new(page), JoinSet::new());
        loop {
            while serving.len() >= MOST_AT_ONCE {
                serving.join_next().await;
            }
            let page = Arc::clone(&page);
            let accepted = match &self {
                Self::Port(port) => port
                    .accept()
                    .await
                    .map(|(stream, _)| drop(serving.spawn(answer_in_time(stream, page)))),
                Self::Socket(socket) => socket
                    .accept()
                    .await
                    .map(|(stream, _)| drop(serving.spawn(answer_in_time(stream, page)))),
            };
            if let Err(error) = accepted {
                debug!(%error, "a scrape could not be accepted");
                sleep(PATIENCE).await;
            }
            while serving.try_join_next().is_some() {}
        }
    }
}

async fn answer_in_time<S: AsyncRead + AsyncWrite + Unpin, P: Fn() -> String>(
    stream: S,
    page: Arc<P>,
) {
    if !matches!(timeout(PATIENCE, answer(stream, &*page)).await, Ok(Ok(()))) {
        debug!("a scrape was left unanswered");
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    page: impl Fn() -> String,
) -> io::Result<()> {
    let mut request = Vec::with_capacity(512);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > LONGEST_REQUEST || stream.read_buf(&mut request).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let line = request
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let (status, body) = match line.split(|byte| *byte == b' ').collect::<Vec<_>>()[..] {
        [b"GET", b"/metrics", ..] => ("200 OK", page()),
        [b"GET", ..] => ("404 Not Found", "metrics are at /metrics\n".to_owned()),
        _ => (
            "405 Method Not Allowed",
            "GET /metrics is all there is\n".to_owned(),
        ),
    };
    let kind = if status == "200 OK" {
        "text/plain; version=0.0.4; charset=utf-8"
    } else {
        "text/plain; charset=utf-8"
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
