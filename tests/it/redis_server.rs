//! A real redis-server in a temporary folder, with faults on request.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sayso::testing::redis::settings::RedisSettings;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::scene::PATIENCE;

/// A running redis-server that keeps nothing on disk, unless it is made to.
pub(crate) struct RedisServer {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl RedisServer {
    pub(crate) async fn start() -> Self {
        for _ in 0..20 {
            // The port is free for a moment only; where another program takes it, the next one is
            // tried.
            let port = free_port();
            let folder = tempfile::tempdir().unwrap();
            let child = spawn(folder.path(), port);
            let mut server = Self {
                child,
                folder,
                port,
            };
            if server.is_up().await {
                return server;
            }
        }
        panic!("redis-server does not start; tests/run installs it");
    }

    /// Waits until it answers; false where its process has ended.
    async fn is_up(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.try_cli(&["ping"]).as_deref() == Some("PONG") {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Settings of a node that never takes a loaded machine for a fault.
    pub(crate) fn settings(&self, node: &str, nodes: u32) -> RedisSettings {
        RedisSettings {
            url: self.url(),
            password: None,
            authority: None,
            site: "house".to_owned(),
            node: node.to_owned(),
            nodes,
            timeout: PATIENCE,
        }
    }

    fn try_cli(&self, words: &[&str]) -> Option<String> {
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(words)
            .stderr(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        output.status.success().then(|| text.trim().to_owned())
    }

    /// Runs a command and returns its response as text.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        self.try_cli(words).unwrap()
    }

    /// Returns a number in a hash; zero where there is none.
    pub(crate) fn number(&self, key: &str, field: &str) -> u64 {
        self.cli(&["hget", key, field]).parse().unwrap_or_default()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(sent.success(), "could not send {name}");
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Starts it again at the same port, with what it saved.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        let end = Instant::now() + PATIENCE;
        loop {
            self.child = spawn(self.folder.path(), self.port);
            if self.is_up().await {
                return;
            }
            assert!(Instant::now() < end, "redis-server does not start again");
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn spawn(folder: &Path, port: u16) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server, which tests/run installs")
}
