//! Certificates of every kind of wrong, made by openssl.

use std::path::Path;
use std::process::Command;

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

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// Makes an authority in `ca.pem`, and a second one nobody knows in `other.pem`.
pub(super) fn authorities(folder: &Path) {
    for name in ["ca", "other"] {
        openssl(
            folder,
            &format!(
                "req -x509 {KEY} -days 30 -subj /CN=authority-{name} -keyout {name}.key -out {name}.pem"
            ),
        );
    }
    let config = "[ca]\ndefault_ca = d\n[d]\ndatabase = index.txt\nnew_certs_dir = .\nserial = serial\ndefault_md = sha256\npolicy = p\n\
                  email_in_dn = no\nunique_subject = no\nrand_serial = yes\n[p]\ncommonName = supplied\n";
    std::fs::write(folder.join("ca.cnf"), config).unwrap();
    std::fs::write(folder.join("index.txt"), "").unwrap();
}

/// Makes `server.pem`, for these names, valid from and until these moments (`20260101000000Z`).
pub(super) fn server(folder: &Path, names: &str, from: &str, until: &str) {
    std::fs::write(
        folder.join("server.ext"),
        format!("subjectAltName={names}\n"),
    )
    .unwrap();
    openssl(
        folder,
        &format!("req {KEY} -subj /CN=server -keyout server.key -out server.csr"),
    );
    let days = format!("-startdate {from} -enddate {until}");
    openssl(
        folder,
        &format!(
            "ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in server.csr -out server.pem -extfile server.ext {days}"
        ),
    );
}
