//! The `[mqtt.tls]` table.

use rustls::pki_types::pem;

use crate::mqtt;
use crate::mqtt::tls::TlsError;

use crate::config::folders::Folders;
use crate::config::table::Table;

/// Message for a machine without any certificate authority.
const NO_AUTHORITIES: &str = "this machine trusts no certificate authority, so no broker \
    certificate can be verified: name the CA file of the broker here, or `apt install \
    ca-certificates`";

/// Reads the table; `None` if it does not exist.
pub(super) fn read(table: &Table<'_>, folders: &Folders<'_>) -> Option<mqtt::Tls> {
    let file = |key| {
        let name = table.text(key)?;
        let path = folders.existing(&name);
        if path.is_none() {
            match folders.permission_error(&name) {
                Some(error) => table.report_unreadable(key, &error),
                None => match folders.type_error(&name) {
                    Some(error) => table.report(key, error.to_string()),
                    None => table.reject(key, "a PEM file that exists"),
                },
            }
        }
        path
    };
    let ca = file("ca");
    let cert = file("cert");
    let key = file("key");
    match (table.has("cert"), table.has("key")) {
        (true, false) => table.report("cert", "a certificate needs its `key` as well"),
        (false, true) => table.report("key", "a key needs its `cert` as well"),
        _ => {}
    }
    let tls = mqtt::Tls {
        ca,
        client: cert.zip(key),
    };
    if folders.needs.has_broker_secrets() {
        for fault in mqtt::tls::faults(&tls) {
            report(table, fault);
        }
        if table.exists() && !table.has("ca") && !mqtt::tls::system_has_authorities() {
            table.report("ca", NO_AUTHORITIES);
        }
    }
    table.exists().then_some(tls)
}

/// Reports that a TLS file cannot be used, at the key that names it.
fn report(table: &Table<'_>, fault: TlsError) {
    match fault {
        TlsError::File {
            key,
            source: pem::Error::Io(error),
            ..
        } => {
            table.report_unreadable(key, &error);
        }
        TlsError::File {
            key: key @ "key",
            source: pem::Error::NoItemsFound,
            ..
        } => {
            table.reject(key, "a PEM file with an unencrypted private key");
        }
        TlsError::File {
            key,
            source: pem::Error::NoItemsFound,
            ..
        } => {
            table.reject(key, "a PEM file with a certificate");
        }
        TlsError::File { key, source, .. } => table.reject(key, format!("a PEM file: {source}")),
        TlsError::NoRoots { .. } => {
            table.reject(
                "ca",
                "a PEM file with the certificate of the broker's authority",
            );
        }
        TlsError::Authority { source, .. } => {
            table.reject("ca", format!("the certificate of an authority: {source}"));
        }
        TlsError::KeyMismatch { .. } => table.reject(
            "key",
            "the private key of the certificate in `cert`: this key belongs to another certificate",
        ),
        TlsError::Unusable(error) => {
            table.reject("cert", format!("a usable certificate and key: {error}"));
        }
    }
}
