//! `sayso doctor` on set-ups that are really broken, one way each: it must name that cause, and no
//! other.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, join_all};
use serde_json::Value as Json;

use crate::broker::Broker;
use crate::daemon::{Daemon, Place};
use crate::endpoint::{Endpoint, Script};
use crate::listener::Listener;
use crate::scene::{HOME, PATIENCE};

mod certificates;

pub(crate) const OFF: &str =
    "[discovery]\nhomeassistant = \"\"\nzigbee2mqtt = []\ntasmota = false\n";

/// What the tight access list of a real gateway has for sayso, but for what a scene leaves out.
const RIGHTS: [&str; 11] = [
    "topic read sayso/command/+",
    "topic write sayso/reply/#",
    "topic write sayso/status",
    "topic write sayso/health",
    "topic write sayso/control/+/answer",
    "topic write sayso/dead",
    "topic write sayso/action/+",
    "topic write zigbee2mqtt/+/set",
    "topic read zigbee2mqtt/#",
    "topic read $SYS/broker/version",
    "topic read sayso/reply/doctor",
];

/// A set-up, with what the doctor should say of it.
struct Case {
    name: &'static str,
    /// The grade, the check and words of the finding.
    cause: (&'static str, &'static str, &'static str),
    report: Json,
}

impl Case {
    fn new(
        name: &'static str,
        cause: (&'static str, &'static str, &'static str),
        report: Json,
    ) -> Self {
        Self {
            name,
            cause,
            report,
        }
    }

    fn of(&self, grade: &str) -> Vec<&Json> {
        self.report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["grade"] == grade)
            .collect()
    }

    fn named(&self) -> Option<&Json> {
        let (grade, check, words) = self.cause;
        self.of(grade).into_iter().find(|finding| {
            finding["check"] == check && finding["found"].as_str().unwrap().contains(words)
        })
    }

    /// True where the cause is named, with what to do, and nothing else is called a fault.
    fn is_right(&self) -> bool {
        let faults = self.of("fault").len();
        let alone = if self.cause.0 == "fault" {
            faults == 1
        } else {
            faults == 0
        };
        alone
            && self
                .named()
                .is_some_and(|finding| finding["do"].as_str().is_some_and(|todo| !todo.is_empty()))
    }
}

/// Asks the doctor about a place.
pub(crate) async fn doctor(place: &Place, more: &[&str]) -> Json {
    let mut command = place.sayso();
    command
        .args(["doctor", "--json", "--config"])
        .arg(place.config())
        .args(more);
    let output = tokio::time::timeout(
        PATIENCE * 2,
        tokio::process::Command::from(command).output(),
    )
    .await
    .expect("the doctor ends")
    .unwrap();
    let report: Json = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| unreachable!("{}", String::from_utf8_lossy(&output.stderr)));
    let fault = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .any(|finding| finding["grade"] == "fault");
    assert_eq!(output.status.code(), Some(i32::from(fault)), "{report}");
    report
}

fn mqtt(port: u16) -> String {
    format!("[mqtt]\nhost = \"127.0.0.1\"\nport = {port}\n")
}

fn place(mqtt: &str, more: &str) -> Place {
    Place::new(
        &format!("{mqtt}[store]\npath = \"store\"\n{OFF}{more}"),
        HOME,
    )
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

async fn plain(more: &str) -> (Broker, Place) {
    let broker = Broker::forgetful_mosquitto().await;
    let place = place(&mqtt(broker.port()), more);
    (broker, place)
}

/// mosquitto that knows one login, `sayso` with `secret`, and this access list.
async fn guarded(rights: &[&str]) -> Broker {
    with_access_list(&format!("user sayso\n{}\n", rights.join("\n"))).await
}

/// mosquitto with the logins `sayso`, `kiosk`, `operator` and `witness`, all with `secret`, and
/// this access list; the witness may all.
pub(crate) async fn with_access_list(acl: &str) -> Broker {
    let acl = format!("{acl}\nuser witness\ntopic readwrite #\n");
    Broker::mosquitto_with(|folder| {
        let path = folder.path();
        fs::write(path.join("acl"), acl).unwrap();
        for (flags, name) in [
            (&["-c", "-b"][..], "sayso"),
            (&["-b"], "kiosk"),
            (&["-b"], "witness"),
            (&["-b"], "operator"),
        ] {
            assert!(
                Command::new("mosquitto_passwd")
                    .args(flags)
                    .arg(path.join("passwords"))
                    .args([name, "secret"])
                    .status()
                    .unwrap()
                    .success()
            );
        }
        format!(
            "allow_anonymous false\npassword_file {0}/passwords\nacl_file {0}/acl\n",
            path.display()
        )
    })
    .await
}

pub(crate) fn with_login(broker: &Broker, password: Option<&str>) -> Place {
    let login = "username = \"sayso\"\npassword_file = \"password\"\n";
    let place = place(
        &format!(
            "{}{}",
            mqtt(broker.port()),
            if password.is_some() { login } else { "" }
        ),
        "",
    );
    if let Some(password) = password {
        fs::write(place.path().join("password"), password).unwrap();
        chmod(&place.path().join("password"), 0o600);
    }
    place
}

/// What the doctor says where the access list lacks `without`, and has `with` instead.
async fn without_right(without: &str, with: &[&str]) -> Json {
    let rights: Vec<&str> = RIGHTS
        .iter()
        .copied()
        .filter(|right| *right != without)
        .chain(with.iter().copied())
        .collect();
    assert!(rights.len() == RIGHTS.len() - 1 + with.len());
    let broker = guarded(&rights).await;
    doctor(&with_login(&broker, Some("secret")), &[]).await
}

/// What the doctor says of a broker with this certificate, trusting `ca`.
async fn with_certificate(names: &str, days: [&str; 2], tls: &str, more: &str) -> Json {
    let folder = tempfile::tempdir().unwrap();
    certificates::authorities(folder.path());
    certificates::server(folder.path(), names, days[0], days[1]);
    let path = folder.path().display();
    let files = format!(
        "cafile {path}/ca.pem\ncertfile {path}/server.pem\nkeyfile {path}/server.key\n{more}"
    );
    let broker = Broker::mosquitto_with(|_| files).await;
    let place = place(
        &mqtt(broker.port()),
        &tls.replace("FOLDER", &path.to_string()),
    );
    doctor(&place, &[]).await
}

const GOOD: [&str; 2] = ["20200101000000Z", "20990101000000Z"];
const TRUSTING: &str = "[mqtt.tls]\nca = \"FOLDER/ca.pem\"\n";

async fn certificates_of_all_kinds() -> Vec<Case> {
    let ours = "IP:127.0.0.1";
    let own = "[mqtt.tls]\nca = \"FOLDER/ca.pem\"\ncert = \"FOLDER/other.pem\"\nkey = \"FOLDER/other.key\"\n";
    vec![
        Case::new(
            "certificate of an unknown authority",
            ("fault", "tls", "an authority that is not trusted"),
            with_certificate(ours, GOOD, "[mqtt.tls]\nca = \"FOLDER/other.pem\"\n", "").await,
        ),
        Case::new(
            "certificate that ran out",
            ("fault", "tls", "expired on 2021-01-01"),
            with_certificate(ours, ["20200101000000Z", "20210101000000Z"], TRUSTING, "").await,
        ),
        Case::new(
            "certificate of tomorrow, or a slow clock",
            ("fault", "tls", "not valid yet before 2098-01-01"),
            with_certificate(ours, ["20980101000000Z", GOOD[1]], TRUSTING, "").await,
        ),
        Case::new(
            "certificate for another name",
            ("fault", "tls", "it is for broker.lan"),
            with_certificate("DNS:broker.lan", GOOD, TRUSTING, "").await,
        ),
        Case::new(
            "broker wants a certificate of ours",
            ("fault", "tls", "requires a client certificate"),
            with_certificate(ours, GOOD, TRUSTING, "require_certificate true\n").await,
        ),
        Case::new(
            "our certificate is not trusted",
            ("fault", "tls", "does not trust the client certificate"),
            with_certificate(ours, GOOD, own, "require_certificate true\n").await,
        ),
        Case::new(
            "no [mqtt.tls] at a TLS port",
            ("fault", "tls", "expects TLS, which is not configured"),
            with_certificate(ours, GOOD, "", "").await,
        ),
        Case::new(
            "certificate ends in days",
            ("warning", "tls", "within 14 days"),
            with_certificate(ours, [GOOD[0], &soon()], TRUSTING, "").await,
        ),
    ]
}

/// Five days from now, as openssl writes it.
fn soon() -> String {
    let done = Command::new("date")
        .args(["-u", "-d", "+5 days", "+%Y%m%d%H%M%SZ"])
        .output()
        .unwrap();
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

async fn wrong_files() -> Vec<Case> {
    let (broker, writable) = plain("").await;
    chmod(&writable.config(), 0o666);
    let typo = Place::new("[mqtt]\nhots = \"x\"\n", HOME);
    let readable = with_login(&broker, Some("secret"));
    chmod(&readable.path().join("password"), 0o644);
    let absent = place(
        &format!(
            "{}username = \"sayso\"\npassword_file = \"absent\"\n",
            mqtt(broker.port())
        ),
        "",
    );
    let aside = place(&mqtt(broker.port()), "");
    fs::create_dir(aside.path().join("store.broken-1795000000")).unwrap();
    vec![
        Case::new(
            "config that anybody may write",
            ("fault", "config", "every user may write it"),
            doctor(&writable, &[]).await,
        ),
        Case::new(
            "a typing slip in the config",
            ("fault", "config", "did you mean `host`"),
            doctor(&typo, &[]).await,
        ),
        Case::new(
            "password that anybody can read",
            ("fault", "secrets", "can read"),
            doctor(&readable, &[]).await,
        ),
        Case::new(
            "password file that is not there",
            ("fault", "config", "no such file"),
            doctor(&absent, &[]).await,
        ),
        Case::new(
            "store that was put aside",
            ("warning", "store", "moved aside"),
            doctor(&aside, &[]).await,
        ),
    ]
}

async fn no_way_to_the_broker() -> Vec<Case> {
    let (mut broker, gone) = plain("").await;
    let tls = place(&mqtt(broker.port()), "[mqtt.tls]\n");
    let to_plain = doctor(&tls, &[]).await;
    broker.stop().await;
    let nowhere = place("[mqtt]\nhost = \"broker.invalid\"\n", "");
    let model = Endpoint::start([Script::status(200, "{}")]).await;
    let web = place(
        &mqtt(
            model
                .url()
                .rsplit(':')
                .next()
                .unwrap()
                .trim_end_matches("/v1")
                .parse()
                .unwrap(),
        ),
        "",
    );
    vec![
        Case::new(
            "[mqtt.tls] at a plain port",
            ("fault", "tls", "uses MQTT without TLS"),
            to_plain,
        ),
        Case::new(
            "broker that is not running",
            ("fault", "broker", "nobody listens at"),
            doctor(&gone, &[]).await,
        ),
        Case::new(
            "name of the broker that is not there",
            ("fault", "dns", "broker.invalid"),
            doctor(&nowhere, &[]).await,
        ),
        Case::new(
            "a web server in place of the broker",
            ("fault", "broker", "127.0.0.1"),
            doctor(&web, &[]).await,
        ),
    ]
}

async fn no_right() -> Vec<Case> {
    let broker = guarded(&RIGHTS).await;
    let own = "topic write sayso/command/doctor";
    vec![
        Case::new(
            "wrong password",
            ("fault", "login", "rejects the password of `sayso`"),
            doctor(&with_login(&broker, Some("wrong")), &[]).await,
        ),
        Case::new(
            "no login where one is wanted",
            ("fault", "login", "accepts no client without user name"),
            doctor(&with_login(&broker, None), &[]).await,
        ),
        Case::new(
            "may not read commands",
            ("fault", "acl", "delivers nothing"),
            without_right("topic read sayso/command/+", &[own]).await,
        ),
        Case::new(
            "may not publish replies",
            (
                "fault",
                "acl",
                "does not allow sayso to publish to `sayso/reply/doctor`",
            ),
            without_right(
                "topic write sayso/reply/#",
                &[
                    "topic write sayso/reply/doctor/stream",
                    "topic write sayso/reply/doctor/event",
                ],
            )
            .await,
        ),
        Case::new(
            "may not publish the pieces of long answers",
            (
                "fault",
                "acl",
                "does not allow sayso to publish to `sayso/reply/doctor/stream`",
            ),
            without_right(
                "topic write sayso/reply/#",
                &[
                    "topic write sayso/reply/+",
                    "topic write sayso/reply/doctor/event",
                ],
            )
            .await,
        ),
        Case::new(
            "may not answer operators",
            (
                "fault",
                "acl",
                "does not allow sayso to publish to `sayso/control/doctor/answer`",
            ),
            without_right("topic write sayso/control/+/answer", &[]).await,
        ),
        Case::new(
            "may not tell what is given up",
            (
                "fault",
                "acl",
                "does not allow sayso to publish to `sayso/dead`",
            ),
            without_right("topic write sayso/dead", &[]).await,
        ),
        Case::new(
            "may not publish its status",
            (
                "fault",
                "acl",
                "does not allow sayso to publish to `sayso/status`",
            ),
            without_right("topic write sayso/status", &[]).await,
        ),
        Case::new(
            "may not command one device",
            (
                "fault",
                "acl",
                "does not allow sayso to publish to `zigbee2mqtt/Kitchen light/set`",
            ),
            without_right(
                "topic write zigbee2mqtt/+/set",
                &[
                    "topic write zigbee2mqtt/Bedroom blind/set",
                    "topic write zigbee2mqtt/Front door/set",
                ],
            )
            .await,
        ),
    ]
}

async fn wrong_traffic() -> Vec<Case> {
    let (broker, retained) = plain("").await;
    Listener::connect(broker.port())
        .publish_retained("sayso/command/kiosk", "lights on")
        .await;
    let forgetful = Broker::mosquitto_with(|_| "retain_available false\n".to_owned()).await;
    let (empty_broker, _) = plain("").await;
    let empty = Place::new(
        &format!("{}[store]\npath = \"store\"\n", mqtt(empty_broker.port())),
        "",
    );
    let bridge = Broker::forgetful_mosquitto().await;
    let names = r#"[{"friendly_name": "Kitchen lamp"}, {"friendly_name": "Bedroom blind"}, {"friendly_name": "Front door"}]"#;
    Listener::connect(bridge.port())
        .publish_retained("zigbee2mqtt/bridge/devices", names)
        .await;
    let misnamed = Place::new(
        &format!("{}[store]\npath = \"store\"\n", mqtt(bridge.port())),
        HOME,
    );
    vec![
        Case::new(
            "retained command lying about",
            ("warning", "retained", "sayso/command/kiosk"),
            doctor(&retained, &[]).await,
        ),
        Case::new(
            "broker without retained messages",
            ("fault", "broker", "keeps no retained messages"),
            doctor(&place(&mqtt(forgetful.port()), ""), &[]).await,
        ),
        Case::new(
            "no device at all",
            ("fault", "discovery", "no device at all"),
            doctor(&empty, &[]).await,
        ),
        Case::new(
            "a friendly name that Zigbee2MQTT does not have",
            ("warning", "discovery", "has no device `Kitchen light`"),
            doctor(&misnamed, &[]).await,
        ),
    ]
}

async fn wrong_models() -> Vec<Case> {
    let refusing = Endpoint::start([Script::error(401, "invalid_api_key")]).await;
    let entry = |url: &str| {
        format!(
            "[[provider]]\nname = \"hosted\"\nbase_url = \"{url}\"\nmodel = \"m\"\nkey_file = \"key\"\n"
        )
    };
    let (broker, wrong_key) = plain(&entry(&refusing.url())).await;
    let nobody = place(&mqtt(broker.port()), &entry("http://127.0.0.1:9/v1"));
    let foolish = Endpoint::start([Script::says("I would rather not.")]).await;
    let useless = place(&mqtt(broker.port()), &entry(&foolish.url()));
    for place in [&wrong_key, &nobody, &useless] {
        fs::write(place.path().join("key"), "sk-wrong").unwrap();
        chmod(&place.path().join("key"), 0o600);
    }
    vec![
        Case::new(
            "wrong key at a provider",
            ("fault", "models", "hosted: "),
            doctor(&wrong_key, &[]).await,
        ),
        Case::new(
            "model server that is not running",
            ("fault", "models", "nothing listens at 127.0.0.1:9"),
            doctor(&nobody, &[]).await,
        ),
        Case::new(
            "model whose answers are of no use",
            ("fault", "models", "cannot be used"),
            doctor(&useless, &[]).await,
        ),
    ]
}

/// A small disk of its own; `None` where we may not mount one.
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir(folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(folder)
            .output()
            .unwrap();
        if !mounted.status.success() {
            println!(
                "skipped the disks: {}",
                String::from_utf8_lossy(&mounted.stderr).trim()
            );
        }
        mounted.status.success().then(|| Self(folder.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

async fn wrong_disks() -> Vec<Case> {
    let (broker, full) = plain("").await;
    let nowhere = Place::new(
        &format!("{}[store]\npath = \"/proc\"\n{OFF}", mqtt(broker.port())),
        HOME,
    );
    let nowhere = Case::new(
        "store in no folder of a disk",
        ("fault", "disk", "nothing can be written in `/proc`"),
        doctor(&nowhere, &[]).await,
    );
    let read_only = place(&mqtt(broker.port()), "");
    let (Some(first), Some(second)) = (
        Disk::mount(&full.path().join("store")),
        Disk::mount(&read_only.path().join("store")),
    ) else {
        return vec![nowhere];
    };
    fs::write(first.0.join("filler"), vec![1_u8; 7 << 20]).unwrap();
    assert!(
        Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(&second.0)
            .status()
            .unwrap()
            .success()
    );
    vec![
        nowhere,
        Case::new(
            "full disk",
            ("fault", "disk", "is full"),
            doctor(&full, &[]).await,
        ),
        Case::new(
            "disk gone read-only",
            ("fault", "disk", "is read-only"),
            doctor(&read_only, &[]).await,
        ),
    ]
}

async fn wrong_daemons() -> Vec<Case> {
    let (_broker, hung) = plain("").await;
    let daemon = Daemon::start(&hung);
    daemon.says("connected to the broker", PATIENCE).await;
    daemon.signal("STOP");
    let hangs = doctor(&hung, &[]).await;
    daemon.signal("KILL");

    let (broker, one) = plain("").await;
    let other = place(&mqtt(broker.port()), "");
    let first = Daemon::start(&one);
    first.says("connected to the broker", PATIENCE).await;
    let second = Daemon::start(&other);
    second.says("connected to the broker", PATIENCE).await;
    let twins = doctor(&one, &[]).await;
    drop((first, second));

    let (_still, stopped) = plain("").await;
    let mut daemon = Daemon::start(&stopped);
    daemon.says("connected to the broker", PATIENCE).await;
    daemon.signal("TERM");
    daemon.ended(PATIENCE).await;
    vec![
        Case::new(
            "daemon that hangs",
            (
                "fault",
                "daemon",
                "is online, but the daemon does not answer",
            ),
            hangs,
        ),
        Case::new(
            "two daemons with one client id",
            ("fault", "client_id", "connects and disconnects repeatedly"),
            twins,
        ),
        Case::new(
            "daemon that is not running",
            ("warning", "daemon", "is not running"),
            doctor(&stopped, &[]).await,
        ),
    ]
}

fn table(cases: &[Case]) {
    println!("{:50} {:10} {:5} cause named", "set-up", "check", "right");
    for case in cases {
        let found = case
            .named()
            .map_or("—", |finding| finding["found"].as_str().unwrap());
        let right = if case.is_right() { "yes" } else { "NO" };
        println!(
            "{:50} {:10} {right:5} {}",
            case.name,
            case.cause.1,
            found.chars().take(150).collect::<String>()
        );
    }
}

#[tokio::test]
async fn each_broken_set_up_is_told_by_its_cause() {
    let groups: Vec<LocalBoxFuture<'_, Vec<Case>>> = vec![
        Box::pin(wrong_files()),
        Box::pin(no_way_to_the_broker()),
        Box::pin(certificates_of_all_kinds()),
        Box::pin(no_right()),
        Box::pin(wrong_traffic()),
        Box::pin(wrong_models()),
        Box::pin(wrong_disks()),
        Box::pin(wrong_daemons()),
    ];
    let cases: Vec<Case> = join_all(groups).await.into_iter().flatten().collect();
    table(&cases);
    let right = cases.iter().filter(|case| case.is_right()).count();
    println!("doctor: {right} of {} set-ups named rightly", cases.len());
    for case in cases.iter().filter(|case| !case.is_right()) {
        println!("\n{}:\n{:#}", case.name, case.report["findings"]);
    }
    assert!(cases.len() >= 30 && right == cases.len());
}

#[tokio::test]
async fn a_sound_set_up_is_called_sound_and_nothing_is_disturbed() {
    let broker = guarded(&RIGHTS).await;
    let place = with_login(&broker, Some("secret"));
    let daemon = Daemon::start(&place);
    daemon.says("connected to the broker", PATIENCE).await;
    let mut witness = Listener::connect_as(broker.port(), "witness", "secret");
    witness.subscribe("#").await;
    witness.heard().await;
    let report = doctor(&place, &[]).await;
    assert_eq!(report["counts"]["fault"], 0, "{report:#}");
    assert!(
        report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|finding| finding["found"]
                .as_str()
                .unwrap()
                .contains("tested without delivery")),
        "{report:#}"
    );
    tokio::time::sleep(Duration::from_millis(500)).await;
    let heard = witness.heard().await;
    let strange: Vec<String> = heard
        .iter()
        .map(|m| m.topic.clone())
        .filter(|topic| {
            !topic.starts_with("listener/")
                && !["sayso/status", "sayso/health"].contains(&topic.as_str())
        })
        .collect();
    assert_eq!(
        strange,
        ["sayso/reply/doctor"],
        "one offer to ourselves is let out, and nothing else"
    );
    assert!(
        heard
            .iter()
            .filter(|m| m.topic == "sayso/status")
            .all(|m| m.text() == "online"),
        "the daemon stayed connected"
    );
    assert_eq!(daemon.log().matches("connected to the broker").count(), 1);
}

/// Where we may say a command, the daemon answers the empty one, and does nothing.
#[tokio::test]
async fn a_running_daemon_is_heard_to_answer() {
    let (broker, place) = plain("").await;
    let daemon = Daemon::start(&place);
    daemon.says("connected to the broker", PATIENCE).await;
    let mut witness = Listener::connect(broker.port());
    witness.subscribe("#").await;
    let report = doctor(&place, &[]).await;
    assert_eq!(report["counts"]["fault"], 0, "{report:#}");
    assert_eq!(report["counts"]["warning"], 0, "{report:#}");
    let topics: Vec<String> = witness
        .heard()
        .await
        .into_iter()
        .map(|m| m.topic)
        .filter(|t| !t.starts_with("listener/"))
        .filter(|t| !["sayso/health", "sayso/status", "sayso/timers"].contains(&t.as_str()))
        .collect();
    assert_eq!(
        topics,
        [
            "sayso/command/doctor",
            "sayso/reply/doctor",
            "sayso/reply/doctor"
        ],
        "the command, its answer, and our own offer to ourselves"
    );
}

#[tokio::test]
async fn people_read_lines_with_what_to_do() {
    let place = place("[mqtt]\nhost = \"127.0.0.1\"\nport = 9\n", "");
    let mut command = place.sayso();
    command.args(["doctor", "--config"]).arg(place.config());
    let output = tokio::process::Command::from(command)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("FAULT    broker      nobody listens at 127.0.0.1:9\n                     → start the broker"), "{text}");
    assert!(text.ends_with("1 fault\n"), "{text}");
}
