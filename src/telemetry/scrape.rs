//! HTTP server for the metrics page, on loopback or a Unix socket. It answers one request per
//! connection; an HTTP library would add 150 KB to the program for this.

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

/// Maximum bytes of a request. Prometheus sends a few hundred.
const MAX_REQUEST_BYTES: usize = 4 << 10;

/// Time limit for one request: the client is on the same machine.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum number of connections served at the same time; further ones wait in the kernel.
const MAX_CONNECTIONS: usize = 4;

/// Address on which the page is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsAddress {
    /// A port on a loopback address.
    Port(SocketAddr),
    /// A socket file. Every user who can reach it can read the metrics.
    Socket(PathBuf),
}

/// An open listener that does not serve yet.
#[derive(Debug)]
pub enum Scrape {
    /// See [`MetricsAddress::Port`].
    Port(TcpListener),
    /// See [`MetricsAddress::Socket`].
    Socket(UnixListener),
}

impl Scrape {
    /// Opens the address.
    ///
    /// # Errors
    /// If the address is in use, or may not be opened.
    pub async fn open(address: &MetricsAddress) -> io::Result<Self> {
        match address {
            MetricsAddress::Port(port) => TcpListener::bind(port).await.map(Self::Port),
            MetricsAddress::Socket(path) => {
                // Only a socket left behind by an earlier process is removed. Any other file stays
                // and is an error.
                if fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
                    fs::remove_file(path)?;
                }
                let socket = UnixListener::bind(path)?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
                Ok(Self::Socket(socket))
            }
        }
    }

    /// Serves requests until the task is dropped.
    pub async fn serve(self, page: impl Fn() -> String + Send + Sync + 'static) {
        let (page, mut serving) = (Arc::new(page), JoinSet::new());
        loop {
            while serving.len() >= MAX_CONNECTIONS {
                serving.join_next().await;
            }
            let page = Arc::clone(&page);
            let accepted = match &self {
                Self::Port(port) => port.accept().await.map(|(stream, _)| {
                    drop(serving.spawn(answer_within_timeout(stream, page)));
                }),
                Self::Socket(socket) => socket.accept().await.map(|(stream, _)| {
                    drop(serving.spawn(answer_within_timeout(stream, page)));
                }),
            };
            if let Err(error) = accepted {
                debug!(%error, "cannot accept a metrics connection");
                sleep(REQUEST_TIMEOUT).await;
            }
            while serving.try_join_next().is_some() {}
        }
    }
}

async fn answer_within_timeout<S: AsyncRead + AsyncWrite + Unpin, P: Fn() -> String>(
    stream: S,
    page: Arc<P>,
) {
    if !matches!(
        timeout(REQUEST_TIMEOUT, answer(stream, &*page)).await,
        Ok(Ok(()))
    ) {
        debug!("metrics request not answered");
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    page: impl Fn() -> String,
) -> io::Result<()> {
    let mut request = Vec::with_capacity(512);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > MAX_REQUEST_BYTES || stream.read_buf(&mut request).await? == 0 {
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
            "only GET /metrics is supported\n".to_owned(),
        ),
    };
    let content_type = if status == "200 OK" {
        "text/plain; version=0.0.4; charset=utf-8"
    } else {
        "text/plain; charset=utf-8"
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: \
         close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
