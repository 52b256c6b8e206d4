//! Unique secrets, the real program with everything it logs, every way things go well and wrong:
//! and then everything it wrote, anywhere, is searched for them, also in part and in disguise.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::broker::Broker;
use crate::daemon::{Daemon, Place};
use crate::endpoint::{Endpoint, Script};
use crate::listener::Listener;
use crate::scene::{HOME, PATIENCE};

/// The secrets, each with characters that JSON, URLs and shells write in another way.
const PASSWORD: &str = "pw/Vq7+Zr2&Xm9=\"Lk4 Tn8%Wd3";
const KEYS: [&str; 3] = [
    "sk-refused/Hy6+Bt1&Qz8=Jf5Gs0",
    "sk-troubled/Nc3+Vp9&Rm2=Xd7Kw4",
    "sk-answers/Ea8+Uy5&Lo1=Ib6Ch2",
];

/// So many characters of a secret in a row are a leak.
const WINDOW: usize = 12;

fn percent(text: &str, upper: bool) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(b).to_string()
        }
        b if upper => format!("%{b:02X}"),
        b => format!("%{b:02x}"),
    };
    text.bytes().map(byte).collect()
}

fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let groups = bytes.chunks(3).filter(|three| three.len() == 3);
    groups
        .flat_map(|t| {
            [
                t[0] >> 2,
                (t[0] & 3) << 4 | t[1] >> 4,
                (t[1] & 15) << 2 | t[2] >> 6,
                t[2] & 63,
            ]
        })
        .map(|six| char::from(alphabet[usize::from(six)]))
        .collect()
}

/// What a secret looks like, wherever it stands, and however it is written; of each, every stretch
/// of [`WINDOW`] characters.
fn looks(secret: &str) -> Vec<String> {
    let plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let url = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let hex = secret
        .bytes()
        .map(|b| format!("{b:02x}"))
        .collect::<Vec<_>>()
        .concat();
    let json = json!(secret).to_string().trim_matches('"').to_owned();
    let mut forms = vec![
        secret.to_owned(),
        json,
        percent(secret, true),
        percent(secret, false),
        secret.replace(' ', "+"),
        hex.to_uppercase(),
        hex,
    ];
    // In base64 it depends on what stands before it.
    forms.extend((0..3).flat_map(|skip| {
        [
            base64(&secret.as_bytes()[skip..], plain),
            base64(&secret.as_bytes()[skip..], url),
        ]
    }));
    let windows = forms.iter().flat_map(|form| {
        form.as_bytes()
            .windows(WINDOW)
            .map(|w| String::from_utf8(w.to_vec()).unwrap())
    });
    windows.collect()
}

/// Everything that was written, by where.
#[derive(Default)]
struct Written(Vec<(String, Vec<u8>)>);

impl Written {
    fn add(&mut self, place: impl Into<String>, what: impl Into<Vec<u8>>) {
        self.0.push((place.into(), what.into()));
    }

    /// What a tool says, on both ways out.
    async fn tool(&mut self, place: &Place, arguments: &[&str]) {
        let mut command = place.sayso();
        command
            .env("RUST_LOG", "trace")
            .args(arguments)
            .arg("--config")
            .arg(place.config());
        let output = tokio::process::Command::from(command)
            .output()
            .await
            .unwrap();
        assert!(
            !output.stdout.is_empty() || !output.stderr.is_empty(),
            "{arguments:?} says nothing"
        );
        self.add(
            format!("sayso {}", arguments.join(" ")),
            [output.stdout, output.stderr].concat(),
        );
    }

    fn folder(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().unwrap().is_dir() {
                self.folder(&entry.path());
            } else {
                self.add(
                    entry.path().display().to_string(),
                    fs::read(entry.path()).unwrap(),
                );
            }
        }
    }

    fn hits(&self, secrets: &[(&str, String)]) -> Vec<String> {
        let mut hits = Vec::new();
        for (name, secret) in secrets {
            let looks = looks(secret);
            for (place, what) in &self.0 {
                let text = String::from_utf8_lossy(what);
                if let Some(found) = looks.iter().find(|look| text.contains(look.as_str())) {
                    let at = text.find(found.as_str()).unwrap_or_default();
                    let around: String = text[..at]
                        .chars()
                        .rev()
                        .take(80)
                        .collect::<Vec<_>>()
                        .into_iter()
                        .rev()
                        .chain(text[at..].chars().take(40))
                        .collect();
                    hits.push(format!("{name} in {place}: ..{around}.."));
                }
            }
        }
        hits
    }
}

fn openssl(folder: &Path, line: &str) {
    let done = Command::new("openssl")
        .args(line.split(' '))
        .current_dir(folder)
        .output()
        .expect("openssl is needed for the tests: apt-get install openssl");
    assert!(
        done.status.success(),
        "openssl {line}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// An authority, a certificate for the broker, and one for us.
fn certificates(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        folder,
        &format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"),
    );
    fs::write(folder.join("server.ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    fs::write(folder.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    for name in ["server", "client"] {
        openssl(
            folder,
            &format!("req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"),
        );
        openssl(
            folder,
            &format!(
                "x509 -req -days 2 -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile {name}.ext -out {name}.pem"
            ),
        );
    }
}

/// mosquitto with TLS, certificates of both sides and a login; and one port of its own for the
/// witness.
async fn broker(folder: &Path, witness: u16) -> Broker {
    certificates(folder);
    let path = folder.display().to_string();
    let passwords = folder.join("passwords");
    for (flags, name, password) in [
        (&["-c", "-b"][..], "sayso", PASSWORD),
        (&["-b"], "witness", "seen"),
    ] {
        assert!(
            Command::new("mosquitto_passwd")
                .args(flags)
                .arg(&passwords)
                .args([name, password])
                .status()
                .unwrap()
                .success()
        );
    }
    let tls = format!(
        "cafile {path}/ca.pem\ncertfile {path}/server.pem\nkeyfile {path}/server.key\nrequire_certificate true\n"
    );
    Broker::mosquitto_with(|_| format!("{tls}allow_anonymous false\npassword_file {path}/passwords\nlistener {witness} 127.0.0.1\n")).await
}

/// Providers that say the key back, whatever else they say.
async fn tellers() -> [Endpoint; 3] {
    let told = |key: &str, code: &str| {
        json!({"error": {"message": format!("Incorrect API key provided: {key}. Authorization: Bearer {key}"), "type": code, "code": code}}).to_string()
    };
    let refused = Endpoint::start([
        Script::status(401, told(KEYS[0], "invalid_api_key")).header("x-your-key", KEYS[0])
    ])
    .await;
    let troubled = Endpoint::start([
        Script::status(500, told(KEYS[1], "server_error")),
        Script::status(400, format!("no JSON: {}", KEYS[1])),
        Script::status(429, told(KEYS[1], "rate_limit")),
    ])
    .await;
    let answers = Endpoint::start([
        Script::turns_on("kitchen_light"),
        Script::says(&format!("not JSON, but {}", KEYS[2])),
        Script::status(403, told(KEYS[2], "forbidden")),
    ])
    .await;
    [refused, troubled, answers]
}

fn place(port: u16, tellers: &[Endpoint; 3], tls: &Path) -> Place {
    let tls = tls.display();
    let config = format!(
        "[mqtt]\nhost = \"127.0.0.1\"\nport = {port}\nusername = \"sayso\"\npassword_file = \"password\"\n[mqtt.tls]\nca = \"{tls}/ca.pem\"\n\
         cert = \"{tls}/client.pem\"\nkey = \"{tls}/client.key\"\n[store]\npath = \"store\"\n"
    );
    let provider = |(n, teller): (usize, &Endpoint)| {
        format!(
            "\n[[provider]]\nmodel = \"m\"\nname = \"p{n}\"\nbase_url = \"{}\"\nkey_file = \"key{n}\"\n",
            teller.url()
        )
    };
    let providers: Vec<String> = tellers.iter().enumerate().map(provider).collect();
    let config = config + &providers.concat();
    let place = Place::new(&config, HOME);
    let secret = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    secret("password", PASSWORD);
    (0..3).for_each(|n| secret(&format!("key{n}"), KEYS[n]));
    place
}

/// The program, telling everything, and free to write a core.
fn loud(place: &Place) -> Daemon {
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            "ulimit -c unlimited; exec \"$0\" \"$@\"",
            crate::PROGRAM,
        ])
        .current_dir(place.path());
    shell
        .env_remove("SAYSO_CONFIG")
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "full");
    Daemon::start_as(place, shell)
}

/// The same program with a journal of ours in the place of systemd's; nothing where we may not make
/// a namespace for it.
fn into_a_journal(place: &Place, written: &mut Written) -> Option<()> {
    let folder = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(folder.path().join("socket")).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(1500)))
        .unwrap();
    let config = place.path().join("journal.toml");
    fs::write(
        &config,
        format!(
            "{}[log]\njournald = true\n",
            fs::read_to_string(place.config()).unwrap()
        ),
    )
    .unwrap();
    let inside = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && mount --bind \"$1\" /run/systemd/journal && exec \"$2\" run --config \"$3\"";
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", inside, "sh"])
        .arg(folder.path())
        .arg(crate::PROGRAM)
        .arg(&config);
    let mut child = command
        .env("RUST_LOG", "trace")
        .env_remove("SAYSO_CONFIG")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let (mut fields, mut buffer) = (Vec::new(), vec![0; 1 << 18]);
    while let Ok(length) = socket.recv(&mut buffer) {
        fields.extend_from_slice(&buffer[..length]);
    }
    let _ = child.kill();
    let _ = child.wait();
    if fields.is_empty() {
        println!("skipped the journal: no mount namespace here");
        return None;
    }
    written.add("the journal's fields", fields);
    Some(())
}

/// Everything that can be said to a daemon, and go wrong there.
async fn serves(place: &Place, broker: &mut Broker, witness: &mut Listener, written: &mut Written) {
    let mut daemon = loud(place);
    daemon.says("connected to the broker", PATIENCE).await;
    let said = [
        "turn on the kitchen light",
        "a poem about a lamp please",
        "another poem about a door",
        "a third poem about rain",
        "unlock the front door",
        "yes",
        "{broken",
    ];
    for (n, text) in said.iter().enumerate() {
        let payload = if text.starts_with('{') {
            (*text).to_owned()
        } else {
            json!({"text": text, "id": format!("{n}"), "ttl": "10s"}).to_string()
        };
        witness
            .publish(&format!("sayso/command/s{n}"), payload)
            .await;
        assert!(
            witness
                .wait_for(|m| m.topic == format!("sayso/reply/s{n}"), PATIENCE)
                .await
                .is_some(),
            "{text}\n{}",
            daemon.log()
        );
    }
    for file in ["environ", "cmdline", "status"] {
        written.add(
            format!("/proc/../{file}"),
            fs::read(format!("/proc/{}/{file}", daemon.id())).unwrap_or_default(),
        );
    }
    let tools = [
        &["check"][..],
        &["doctor"],
        &["doctor", "--json"],
        &["providers"],
        &["providers", "--json"],
        &["say", "turn off the kitchen light"],
        &["try", "a poem"],
    ];
    for tool in tools {
        written.tool(place, tool).await;
    }
    broker.restart().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    daemon.signal("ABRT");
    daemon.ended(PATIENCE).await;
    written.add("the log", daemon.log());
    let cores = fs::read_dir(place.path())
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("core"))
        .count();
    assert_eq!(cores, 0, "no core is dumped");
}

/// With the wrong password the broker lets nobody in.
async fn is_locked_out(place: &Place, written: &mut Written) {
    fs::write(place.path().join("password"), format!("{PASSWORD}-wrong")).unwrap();
    let daemon = loud(place);
    daemon.says("refuses the login", PATIENCE).await;
    written.add("the log of one locked out", daemon.log());
    for tool in [&["doctor", "--no-models"][..], &["say", "hello"]] {
        written.tool(place, tool).await;
    }
    fs::write(place.path().join("password"), PASSWORD).unwrap();
}

/// A key in the config itself must not be repeated when that is refused.
async fn has_keys_in_the_wrong_place(written: &mut Written) {
    let mqtt = format!("[mqtt]\npassword = '{PASSWORD}'\n");
    let provider = format!(
        "[[provider]]\nname = \"p\"\nkey = '{0}'\nkey_file = '{0}'\nheaders = {{ authorization = '{0}' }}\n",
        KEYS[0]
    );
    let misplaced = Place::new(&(mqtt + &provider), HOME);
    for tool in [&["check"][..], &["doctor"], &["run"], &["providers"]] {
        written.tool(&misplaced, tool).await;
    }
}

/// The secrets by name; of the TLS key what is in the middle.
fn secrets(tls: &Path) -> Vec<(&'static str, String)> {
    let pem = fs::read_to_string(tls.join("client.key")).unwrap();
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let keys = ["key of p0", "key of p1", "key of p2"]
        .into_iter()
        .zip(KEYS.map(str::to_owned));
    [
        ("the broker's password", PASSWORD.to_owned()),
        ("our TLS key", body[40..140].to_owned()),
    ]
    .into_iter()
    .chain(keys)
    .collect()
}

#[test]
fn the_search_finds_what_is_there() {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut planted = Written::default();
    planted.add(
        "a header",
        format!(
            "Authorization: Basic {}",
            base64(format!("xxuser:{PASSWORD}").as_bytes(), alphabet)
        ),
    );
    planted.add("a URL", percent(KEYS[1], true));
    planted.add("a mask", format!("{}****", &KEYS[2][..WINDOW]));
    let secrets = [
        ("password", PASSWORD.to_owned()),
        ("one", KEYS[1].to_owned()),
        ("two", KEYS[2].to_owned()),
    ];
    assert_eq!(planted.hits(&secrets).len(), 3);
}

#[tokio::test]
async fn no_secret_is_written_anywhere() {
    let tls = tempfile::tempdir().unwrap();
    let witness_port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut broker = broker(tls.path(), witness_port).await;
    let tellers = tellers().await;
    let place = place(broker.port(), &tellers, tls.path());
    let mut written = Written::default();
    let mut witness = Listener::connect_as(witness_port, "witness", "seen");
    witness.subscribe("#").await;
    serves(&place, &mut broker, &mut witness, &mut written).await;
    assert!(
        tellers.iter().all(|teller| teller.requests() > 0),
        "every provider was asked"
    );
    is_locked_out(&place, &mut written).await;
    has_keys_in_the_wrong_place(&mut written).await;
    into_a_journal(&place, &mut written);
    written.folder(&place.path().join("store"));
    for message in witness.heard().await {
        written.add(format!("mqtt {}", message.topic), message.payload.to_vec());
    }
    let secrets = secrets(tls.path());
    let bytes: usize = written.0.iter().map(|(_, what)| what.len()).sum();
    let hits = written.hits(&secrets);
    println!(
        "secrets: {} of them in {} places, {bytes} bytes searched, {} hits",
        secrets.len(),
        written.0.len(),
        hits.len()
    );
    assert_eq!(hits, Vec::<String>::new());
}
