//! The page of metrics: what a scrape gets, and that nobody else is harmed by who asks badly.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sayso::testing::telemetry::metrics::METRICS;
use serde_json::Value;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::endpoint::{Endpoint, Script};
use crate::scene::{PATIENCE, Scene};

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// What the server says to `request` until it closes.
async fn answer(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer
}

fn has(page: &str, line: &str) {
    assert!(
        page.lines().any(|l| l == line),
        "`{line}` is not in\n{page}"
    );
}

/// Prometheus's own checker, where it is installed, as tests/run does.
fn lint(page: &str) {
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    else {
        println!("skipped: promtool is not installed (Debian's package prometheus)");
        return;
    };
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let said = promtool.wait_with_output().unwrap();
    assert!(
        said.status.success() && said.stderr.is_empty(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
}

#[tokio::test]
async fn a_scrape_tells_commands_by_who_understood_them_and_promtool_finds_no_fault() {
    let (port, model) = (
        free_port().await,
        Endpoint::start(vec![Script::error(401, "invalid_api_key")]).await,
    );
    let mut stage = Scene::new()
        .endpoint(&model)
        .with(&format!("[metrics]\nlisten = \"127.0.0.1:{port}\""))
        .start()
        .await;
    assert_eq!(
        stage.say("turn on the kitchen light").await["outcome"],
        "done"
    );
    assert_eq!(
        stage.say("a little water for the roses").await["outcome"],
        "failed"
    );
    let answer = answer(port, GET).await;
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 OK") && head.contains("text/plain; version=0.0.4"),
        "{head}"
    );
    for line in [
        "sayso_broker_connected 1",
        "sayso_home_devices 5",
        "sayso_commands_received_total 2",
        "sayso_commands_total{via=\"local\",outcome=\"done\"} 1",
        "sayso_commands_total{via=\"none\",outcome=\"failed\"} 1",
        "sayso_command_duration_seconds_count{via=\"local\"} 1",
        "sayso_provider_up{provider=\"model1\"} 0",
        "sayso_provider_failures_total{provider=\"model1\"} 1",
        "sayso_retry_budget_used 0",
        "sayso_retry_budget_limit 30",
        "sayso_spend_today_dollars 0",
    ] {
        has(page, line);
    }
    // Those of Redis and of a pair are absent without them.
    let elsewhere = ["sayso_redis_", "sayso_pair_", "sayso_node_"];
    for metric in METRICS {
        if !elsewhere.iter().any(|begin| metric.name.starts_with(begin)) {
            has(
                page,
                &format!("# TYPE {} {}", metric.name, metric.sample_type.name()),
            );
        }
    }
    assert!(!page.contains("sk-test"));
    lint(page);
}

#[tokio::test]
async fn commands_leave_no_task_behind() {
    let (port, model) = (
        free_port().await,
        Endpoint::start(vec![
            Script::error(500, "server_error"),
            Script::turns_on("kitchen_light"),
        ])
        .await,
    );
    let settings = format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n[limits]\nburst = 100");
    let mut stage = Scene::new().endpoint(&model).with(&settings).start().await;
    let tasks = async || {
        let page = answer(port, GET).await;
        page.lines()
            .find_map(|line| line.strip_prefix("sayso_tasks "))
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    // The connection to the model stays, and is a task too.
    stage.say("a little water for the roses").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let at_rest = tasks().await;
    for n in 0..20 {
        assert_eq!(
            stage.say(&format!("zap the kitchen light nr {n}")).await["via"],
            "model1"
        );
    }
    let begun = tokio::time::Instant::now();
    while tasks().await > at_rest {
        assert!(
            begun.elapsed() < PATIENCE,
            "{} tasks in place of {at_rest}",
            tasks().await
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn health_has_the_same_counts() {
    let mut stage = Scene::new().start().await;
    stage.say("turn on the kitchen light").await;
    // Health is published when the home changes.
    let home = stage.place.path().join("home.toml");
    fs::write(
        &home,
        format!("{}[device.other]\nkind = \"light\"\n", crate::scene::HOME),
    )
    .unwrap();
    stage.daemon.signal("HUP");
    let health = stage
        .listener
        .wait_for(
            |m| m.topic == "sayso/health" && m.json()["home"]["devices"] == 6,
            PATIENCE,
        )
        .await
        .unwrap()
        .json();
    assert_eq!(
        health["answers"]["local"]["outcomes"]["done"], 1,
        "{health}"
    );
    assert_eq!(health["counts"]["heard"], 1, "{health}");
    assert_eq!(
        health["retries"],
        serde_json::json!({"spent": 0, "most": 30}),
        "{health}"
    );
    assert_eq!(
        health["spent"],
        serde_json::json!({"today": 0.0, "this_month": 0.0}),
        "{health}"
    );
}

#[tokio::test]
async fn who_asks_badly_gets_no_more_than_a_word_and_holds_up_nobody() {
    let port = free_port().await;
    let mut stage = Scene::new()
        .with(&format!("[metrics]\nlisten = \"127.0.0.1:{port}\""))
        .start()
        .await;
    assert!(
        answer(port, "GET / HTTP/1.1\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 404")
    );
    assert!(
        answer(port, "POST /metrics HTTP/1.1\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 405")
    );
    assert_eq!(
        answer(port, &"x".repeat(8 << 10)).await,
        "",
        "too long to be a scrape"
    );
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    assert_eq!(
        stage.say("turn on the kitchen light").await["outcome"],
        "done"
    );
    drop(silent.split_off(4));
    let late = tokio::time::timeout(Duration::from_secs(10), answer(port, GET)).await;
    assert!(
        late.expect("the silent ones are sent away")
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn a_socket_serves_as_well_and_a_taken_port_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics");
    let mut stage = Scene::new()
        .with(&format!("[metrics]\nlisten = \"unix:{}\"", path.display()))
        .start()
        .await;
    let mut page = String::new();
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    stream.read_to_string(&mut page).await.unwrap();
    has(&page, "sayso_broker_connected 1");
    stage.daemon.signal("KILL");
    stage.daemon.ended(PATIENCE).await;
    // What the killed one left behind is no obstacle.
    stage.daemon = crate::daemon::Daemon::start(&stage.place);
    stage.daemon.says("connected to the broker", PATIENCE).await;
    UnixStream::connect(&path).await.unwrap();

    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = format!("[metrics]\nlisten = \"{}\"", taken.local_addr().unwrap());
    let mut stage = Scene::new().with(&listen).start().await;
    stage.daemon.says("metrics are not served", PATIENCE).await;
    assert_eq!(
        stage.say("turn on the kitchen light").await["outcome"],
        "done"
    );
}

#[test]
fn the_shipped_alerts_are_raised_when_they_should_be() {
    let rules = Path::new(crate::REPOSITORY).join("deploy/prometheus/sayso.rules.test.yml");
    let Ok(done) = Command::new("promtool")
        .args(["test", "rules"])
        .arg(rules)
        .output()
    else {
        println!("skipped: promtool is not installed (Debian's package prometheus)");
        return;
    };
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

/// A real Prometheus that scrapes one daemon every half second.
struct Prometheus {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    async fn start(scraped: u16) -> Option<Self> {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port().await);
        let config = folder.path().join("prometheus.yml");
        let scrape = format!(
            "{{job_name: sayso, scrape_interval: 500ms, scrape_timeout: 500ms, static_configs: [{{targets: ['127.0.0.1:{scraped}']}}]}}"
        );
        fs::write(&config, format!("scrape_configs: [{scrape}]\n")).unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ));
        command
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Some(Self {
            child: command.spawn().ok()?,
            port,
            _folder: folder,
        })
    }

    /// What it answers to a query.
    async fn query(&self, expression: &str) -> Value {
        let encoded = expression
            .bytes()
            .fold(String::new(), |text, byte| text + &format!("%{byte:02X}"));
        let answer = answer(
            self.port,
            &format!("GET /api/v1/query?query={encoded} HTTP/1.0\r\n\r\n"),
        )
        .await;
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn prometheus_answers_everything_the_dashboard_asks() {
    let dashboard: Value =
        serde_json::from_str(include_str!("../../deploy/prometheus/sayso.dashboard.json")).unwrap();
    let targets: Vec<&Value> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .collect();
    assert!(targets.len() > 20);
    let (port, model) = (
        free_port().await,
        Endpoint::start(vec![Script::error(401, "invalid_api_key")]).await,
    );
    let mut stage = Scene::new()
        .endpoint(&model)
        .with(&format!(
            "[metrics]\nlisten = \"127.0.0.1:{port}\"\n[pair]\nnode = \"a\""
        ))
        .start()
        .await;
    stage
        .daemon
        .says("leading, serving commands", PATIENCE)
        .await;
    let Some(prometheus) = Prometheus::start(port).await else {
        println!("skipped: prometheus is not installed (Debian's package prometheus)");
        return;
    };
    let begun = tokio::time::Instant::now();
    let listens = async {
        while TcpStream::connect(("127.0.0.1", prometheus.port))
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, listens)
        .await
        .expect("prometheus listens");
    // Commands of several outcomes, for as long as it takes until every panel has something to
    // show.
    for target in targets {
        let asked = target["expr"]
            .as_str()
            .unwrap()
            .replace("$instance", ".*")
            .replace("$__rate_interval", "10s");
        loop {
            stage.say("turn on the kitchen light").await;
            stage.say("a little water for the roses").await;
            let answer = prometheus.query(&asked).await;
            assert_eq!(answer["status"], "success", "{asked}: {answer}");
            if answer["data"]["result"]
                .as_array()
                .is_some_and(|series| !series.is_empty())
            {
                break;
            }
            assert!(
                begun.elapsed() < PATIENCE * 2,
                "nothing to show for {asked}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
