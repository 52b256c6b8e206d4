//! The parts of the benchmark: a broker, a model server, and the program with a journal on disk or
//! without.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::BenchError;
use crate::program::{self, Program};

/// A broker and a model server on free ports, and a folder for the store.
pub(crate) struct Stage {
    pub(crate) port: u16,
    model: u16,
    folder: tempfile::TempDir,
    _broker: Program,
    _beside: JoinSet<()>,
}

impl Stage {
    pub(crate) async fn open() -> Result<Self, BenchError> {
        let folder = tempfile::Builder::new()
            .prefix("journal-bench-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await?
            .local_addr()?
            .port();
        let broker = mosquitto(folder.path(), port)?;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .is_err()
        {
            sleep(Duration::from_millis(10)).await;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let model_port = listener.local_addr()?.port();
        let mut beside = JoinSet::new();
        beside.spawn(model(listener));
        Ok(Self {
            port,
            model: model_port,
            folder,
            _broker: broker,
            _beside: beside,
        })
    }

    /// Starts the program; `prefix` is its name and the first level of its topics.
    pub(crate) fn sayso(&self, prefix: &str, journal: bool) -> Result<Program, BenchError> {
        sayso(self.folder.path(), prefix, self.port, self.model, journal)
    }
}

/// The bytes written to the disk for a program, by the kernel's count.
pub(crate) fn written(program: &Program) -> Result<u64, BenchError> {
    let counts = fs::read_to_string(format!("/proc/{}/io", program.id()))?;
    let line = counts
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))
        .ok_or("the kernel does not count what is written")?;
    Ok(line.trim().parse()?)
}

/// The broker has its default window of unacknowledged messages: the journal fills it.
fn mosquitto(folder: &Path, port: u16) -> Result<Program, BenchError> {
    let file = folder.join("mosquitto.conf");
    fs::write(
        &file,
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nset_tcp_nodelay true\nlog_type none\n"
        ),
    )?;
    let start = |name: &str| {
        Program::start(
            Command::new(name)
                .arg("-c")
                .arg(&file)
                .stderr(Stdio::null()),
        )
    };
    start("mosquitto")
        .or_else(|_| start("/usr/sbin/mosquitto"))
        .map_err(|_| "mosquitto is not installed: `apt-get install mosquitto`".into())
}

fn sayso(
    folder: &Path,
    prefix: &str,
    port: u16,
    model: u16,
    journal: bool,
) -> Result<Program, BenchError> {
    let folder: PathBuf = folder.join(prefix);
    fs::create_dir(&folder)?;
    let store = if journal {
        "[store]\npath = \"store\"\n"
    } else {
        ""
    };
    let provider = format!(
        "[[provider]]\nname = \"m\"\napi = \"openai\"\nbase_url = \"http://127.0.0.1:{model}/v1\"\nmodel = \"scripted\"\n"
    );
    let mqtt = format!(
        "[mqtt]\nhost = \"127.0.0.1\"\nport = {port}\nclient_id = \"{prefix}\"\nprefix = \"{prefix}\"\n"
    );
    fs::write(
        folder.join("sayso.toml"),
        format!("home = \"home.toml\"\n{mqtt}{store}{provider}"),
    )?;
    fs::write(
        folder.join("home.toml"),
        "[device.lamp]\nkind = \"light\"\n",
    )?;
    let mut command = Command::new(program::sayso()?);
    command
        .args(["run", "--config"])
        .arg(folder.join("sayso.toml"))
        .env("RUST_LOG", "warn")
        .env_remove("STATE_DIRECTORY");
    Program::start(&mut command)
}

/// A model server that always turns the lamp on.
async fn model(listener: TcpListener) {
    let action = json!({"device": "lamp", "property": "power", "op": "set", "value": "on"});
    let said = json!({"actions": [action], "speech": null, "question": null}).to_string();
    let body = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}).to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut read = vec![0; 1 << 20];
        let mut had = 0;
        // The request is complete when nothing more arrives for a moment.
        while let Ok(Ok(n @ 1..)) =
            tokio::time::timeout(Duration::from_millis(100), stream.read(&mut read)).await
        {
            had += n;
        }
        if had > 0 {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }
}
