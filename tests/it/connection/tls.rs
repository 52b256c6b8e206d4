//! TLS against mosquitto, with certificates made for the test.

use std::path::Path;
use std::process::Command;

use sayso::testing::mqtt::{Settings, SetupError, Tls, connect};
use tempfile::TempDir;

use super::Sayso;
use crate::broker::Broker;

/// Makes an authority, and a certificate of it for the broker and for a client.
pub(crate) fn certificates(folder: &Path) {
    let openssl = |line: &str| {
        let done = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "openssl {line}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!(
        "req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"
    ));
    std::fs::write(
        folder.join("server.ext"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1\n",
    )
    .unwrap();
    std::fs::write(folder.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    for name in ["server", "client"] {
        openssl(&format!(
            "req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        openssl(&format!(
            "x509 -req -days 2 -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile {name}.ext -out {name}.pem"
        ));
    }
}

fn openssl_is_there() -> bool {
    let there = Command::new("openssl").arg("version").output().is_ok();
    if !there {
        println!("skipped: there is no openssl to make certificates with");
    }
    there
}

async fn broker(lines: &str) -> (Broker, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = folder.path().display();
    let files = format!(
        "cafile {path}/ca.pem\ncertfile {path}/server.pem\nkeyfile {path}/server.key\n{lines}"
    );
    (Broker::mosquitto_with(|_| files).await, folder)
}

fn with(broker: &Broker, tls: Tls) -> Settings {
    Settings {
        tls: Some(tls),
        ..broker.settings()
    }
}

#[tokio::test]
async fn a_broker_of_a_trusted_authority_is_trusted_and_no_other() {
    if !openssl_is_there() {
        return;
    }
    let (broker, folder) = broker("").await;
    let trusting = Tls {
        ca: Some(folder.path().join("ca.pem")),
        client: None,
    };
    Sayso::start(&with(&broker, trusting.clone()), &[])
        .up()
        .await;
    let by_name = Settings {
        host: "localhost".to_owned(),
        ..with(&broker, trusting)
    };
    Sayso::start(&by_name, &[]).up().await;
    let other = tempfile::tempdir().unwrap();
    certificates(other.path());
    let distrusting = Tls {
        ca: Some(other.path().join("ca.pem")),
        client: None,
    };
    let why = Sayso::start(&with(&broker, distrusting), &[]).down().await;
    assert!(why.contains("certificate"), "{why}");
}

#[tokio::test]
async fn a_broker_that_wants_a_certificate_gets_ours() {
    if !openssl_is_there() {
        return;
    }
    let (broker, folder) = broker("require_certificate true\n").await;
    let file = |name: &str| folder.path().join(name);
    let known = Tls {
        ca: Some(file("ca.pem")),
        client: Some((file("client.pem"), file("client.key"))),
    };
    Sayso::start(&with(&broker, known), &[]).up().await;
    let unknown = Tls {
        ca: Some(file("ca.pem")),
        client: None,
    };
    Sayso::start(&with(&broker, unknown), &[]).down().await;
}

#[test]
fn files_that_are_missing_or_empty_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for ca in [folder.path().join("absent.pem"), empty] {
        let settings = Settings {
            tls: Some(Tls {
                ca: Some(ca.clone()),
                client: None,
            }),
            ..Settings::default()
        };
        let error = connect(&settings, Vec::new(), std::sync::Arc::default())
            .err()
            .unwrap();
        let SetupError::Tls(cause) = &error else {
            panic!("{error:?}")
        };
        assert!(
            cause.to_string().contains(&ca.display().to_string()),
            "{cause}"
        );
    }
}
