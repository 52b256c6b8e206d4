//! Real brokers to test against: one inside the test process, and mosquitto as a child process.
//! Both can be stopped and started again on the same port.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use mqtt5::broker::config::{StorageBackend, StorageConfig};
use mqtt5::broker::{BrokerConfig, MqttBroker};
use sayso::testing::mqtt::Settings;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

mod probe;
mod script;
mod tap;

pub(crate) use probe::Probe;
pub(crate) use script::Script;
pub(crate) use tap::Tap;

/// How long a broker may take to come or go, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A broker on a port of its own, on loopback. It ends with the value.
pub(crate) struct Broker {
    port: u16,
    kind: Kind,
}

enum Kind {
    /// The `mqtt5` crate's. It runs on threads of its own, so that a test's paused time is not its
    /// time. Keeps nothing over a restart.
    Embedded(Option<Runtime>),
    /// Debian's mosquitto.
    Mosquitto {
        folder: TempDir,
        child: Option<Child>,
    },
}

impl Broker {
    /// A broker inside this process; it forgets everything when stopped.
    pub(crate) async fn embedded() -> Self {
        let mut broker = Self {
            port: 0,
            kind: Kind::Embedded(None),
        };
        broker.start().await;
        broker
    }

    /// mosquitto, which keeps sessions and retained messages over a restart.
    pub(crate) async fn mosquitto() -> Self {
        Self::mosquitto_with(|_| "persistence true\nautosave_interval 0\n".to_owned()).await
    }

    /// mosquitto, which forgets everything when stopped.
    pub(crate) async fn forgetful_mosquitto() -> Self {
        Self::mosquitto_with(|_| "persistence false\n".to_owned()).await
    }

    /// mosquitto with more lines in its configuration; they may name files of the folder given.
    pub(crate) async fn mosquitto_with(lines: impl FnOnce(&TempDir) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let path = folder.path().display();
        // `user root`: started as root it would give up the right to write its own folder.
        let own = format!(
            "user root\nlog_dest none\nlistener {port} 127.0.0.1\nallow_anonymous true\npersistence_location {path}/\n"
        );
        std::fs::write(folder.path().join("mosquitto.conf"), own + &lines(&folder)).unwrap();
        let mut broker = Self {
            port,
            kind: Kind::Mosquitto {
                folder,
                child: None,
            },
        };
        broker.start().await;
        broker
    }

    /// Returns the port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Settings of a sayso that uses it.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: self.port,
            keep_alive: Duration::from_secs(5),
            ..Settings::default()
        }
    }

    /// Stops the broker. mosquitto saves its state.
    pub(crate) async fn stop(&mut self) {
        match &mut self.kind {
            Kind::Embedded(runtime) => runtime
                .take()
                .into_iter()
                .for_each(Runtime::shutdown_background),
            Kind::Mosquitto { child, .. } => {
                if let Some(mut child) = child.take() {
                    let id = child.id().expect("it runs").to_string();
                    assert!(
                        Command::new("kill")
                            .args(["-TERM", &id])
                            .status()
                            .await
                            .unwrap()
                            .success()
                    );
                    timeout(PATIENCE, child.wait())
                        .await
                        .expect("mosquitto ends")
                        .unwrap();
                }
            }
        }
    }

    /// Starts it again on the same port.
    pub(crate) async fn start(&mut self) {
        match &mut self.kind {
            Kind::Embedded(runtime) => {
                let (started, port) = embedded(self.port).await;
                *runtime = Some(started);
                self.port = port;
            }
            Kind::Mosquitto { folder, child } => {
                let config = folder.path().join("mosquitto.conf");
                let mut command = Command::new("mosquitto");
                // Debian puts it where only root looks.
                command
                    .env(
                        "PATH",
                        "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/bin",
                    )
                    .arg("-c")
                    .arg(config);
                command
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .kill_on_drop(true);
                *child = Some(
                    command
                        .spawn()
                        .expect("mosquitto is needed for the tests: apt-get install mosquitto"),
                );
                timeout(PATIENCE, until_it_listens(self.port))
                    .await
                    .expect("mosquitto listens");
            }
        }
    }

    /// Ends it and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Kind::Embedded(runtime) = &mut self.kind {
            runtime
                .take()
                .into_iter()
                .for_each(Runtime::shutdown_background);
        }
    }
}

async fn embedded(port: u16) -> (Runtime, u16) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let storage = StorageConfig::default().with_backend(StorageBackend::Memory);
    let config = BrokerConfig::default()
        .with_bind_address(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .with_storage(storage);
    let (tell, told) = tokio::sync::oneshot::channel();
    runtime.spawn(async move {
        let mut broker = bound(config).await;
        let mut ready = broker.ready_receiver();
        let port = broker.local_addr().unwrap().port();
        let announce = async {
            ready.wait_for(|ready| *ready).await.unwrap();
            tell.send(port).unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            end = broker.run() => end.unwrap(),
            () = announce => {}
        }
    });
    let port = timeout(PATIENCE, told)
        .await
        .expect("the embedded broker starts")
        .unwrap();
    (runtime, port)
}

/// The port of a broker that was just stopped may be taken for a moment longer.
async fn bound(config: BrokerConfig) -> MqttBroker {
    loop {
        match MqttBroker::with_config(config.clone()).await {
            Ok(broker) => return broker,
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn until_it_listens(port: u16) {
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .is_err()
    {
        sleep(Duration::from_millis(10)).await;
    }
}
