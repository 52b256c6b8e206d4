//! Causes of failed TLS handshakes: clock, validity, host name, authority and client certificate.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error as TlsError};

use crate::cli::doctor::finding::DoctorFinding;

/// Remaining validity below which a certificate is reported.
pub(super) const SOON: Duration = Duration::from_hours(14 * 24);

/// Time of this version (24 November 2026). A clock before it was never set, as on a gateway
/// without a battery.
const BUILT: u64 = 1_795_478_400;

/// Time provider that is ahead of the clock, to check the validity at a later time.
#[derive(Debug)]
pub(super) struct CertificateTimes(pub(super) Duration);

impl TimeProvider for CertificateTimes {
    fn current_time(&self) -> Option<UnixTime> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(now + self.0))
    }
}

/// Returns the TLS configuration with a clock that is ahead.
pub(super) fn ahead(config: &ClientConfig, by: Duration) -> ClientConfig {
    let mut then = config.clone();
    then.time_provider = Arc::new(CertificateTimes(by));
    then
}

/// Returns a message if the clock of this machine cannot be right.
pub(super) fn clock() -> Option<String> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    (now < BUILT).then(|| {
        format!(
            "the clock of this machine shows {}: it was never set",
            date(now)
        )
    })
}

/// Cure for a wrong clock.
pub(super) const SET_CLOCK: &str =
    "`timedatectl` shows it; `timedatectl set-ntp true` sets it from the network";

/// Returns the TLS error inside an error of the connection.
pub(super) fn within(error: &io::Error) -> Option<&TlsError> {
    let mut next: Option<&(dyn Error + 'static)> =
        error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<TlsError>() {
            return Some(found);
        }
        next = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|inner| inner as &(dyn Error + 'static))
            .or_else(|| error.source());
    }
    None
}

/// Returns true if the server sent a certificate, valid or not, so it uses TLS.
pub(super) fn shows_certificate(error: &TlsError) -> bool {
    matches!(
        error,
        TlsError::InvalidCertificate(_) | TlsError::AlertReceived(_)
    )
}

/// Returns the finding for a failed handshake with `host`.
pub(super) fn finding(error: &TlsError, host: &str) -> DoctorFinding {
    let fault = |found: String, todo: String| DoctorFinding::fault("tls", found, todo);
    match error {
        TlsError::InvalidCertificate(certificate) => untrusted(certificate, host),
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure,
        ) => fault(
            format!("{host} requires a client certificate"),
            "set `mqtt.tls.cert` and `mqtt.tls.key`".to_owned(),
        ),
        TlsError::AlertReceived(AlertDescription::CertificateExpired) => fault(
            format!("{host} reports that the client certificate has expired"),
            "renew the certificate in `mqtt.tls.cert`, or set the broker's clock".to_owned(),
        ),
        TlsError::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown),
        ) => {
            let todo = "use a certificate in `mqtt.tls.cert` that is signed by an authority the \
                broker trusts (mosquitto: `cafile`)"
                .to_owned();
            fault(
                format!("{host} does not trust the client certificate ({alert:?})"),
                todo,
            )
        }
        TlsError::InvalidMessage(_) => fault(
            format!("{host} does not use TLS on this port"),
            "use its TLS port (usually 8883) in `mqtt.port`, or remove [mqtt.tls]".to_owned(),
        ),
        other => fault(
            format!("the TLS handshake with {host} failed: {other}"),
            "compare with `openssl s_client -connect HOST:PORT`".to_owned(),
        ),
    }
}

fn untrusted(certificate: &CertificateError, host: &str) -> DoctorFinding {
    let (found, todo) = match certificate {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            expired(certificate, host)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let from = if let CertificateError::NotValidYetContext { not_before, .. } = certificate
            {
                format!(" before {}", date(not_before.as_secs()))
            } else {
                String::new()
            };
            let todo = format!(
                "if today is not {}, this machine's clock is wrong: {SET_CLOCK}; otherwise wait, \
                 or create a new certificate",
                today()
            );
            (
                format!("the certificate of {host} is not valid yet{from}"),
                todo,
            )
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names =
                if let CertificateError::NotValidForNameContext { presented, .. } = certificate {
                    format!("; it is for {}", bare(presented))
                } else {
                    String::new()
                };
            let todo = "use one of its names in `mqtt.host`, or create a certificate with this \
                name in its subjectAltName"
                .to_owned();
            (
                format!("the certificate of the broker is not valid for {host}{names}"),
                todo,
            )
        }
        CertificateError::UnknownIssuer => {
            let todo = "set `mqtt.tls.ca` to the file of that authority; without it only the \
                authorities of the system are trusted"
                .to_owned();
            (
                format!(
                    "the certificate of {host} is signed by an authority that is not trusted here"
                ),
                todo,
            )
        }
        other => (
            format!("the certificate of {host} cannot be used: {other}"),
            "create a new one: X.509 version 3, with subjectAltName".to_owned(),
        ),
    };
    DoctorFinding::fault("tls", found, todo)
}

/// Returns the finding about an expired certificate, and the remedy.
fn expired(certificate: &CertificateError, host: &str) -> (String, String) {
    let since = if let CertificateError::ExpiredContext { not_after, .. } = certificate {
        format!(" on {}", date(not_after.as_secs()))
    } else {
        String::new()
    };
    let todo = format!(
        "renew it on the broker; if today is not {}, this machine's clock is wrong: \
         {SET_CLOCK}",
        today()
    );
    (format!("the certificate of {host} expired{since}"), todo)
}

/// Returns the names without their types: `DnsName("broker.lan")` → `broker.lan`.
fn bare(presented: &[String]) -> String {
    let name = |text: &String| {
        text.split_once('(')
            .map_or(text.as_str(), |(_, rest)| rest)
            .trim_matches(['(', ')', '"'])
            .to_owned()
    };
    presented.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn today() -> String {
    date(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs(),
    )
}

/// Returns the date of a Unix time in UTC: `2026-11-24`.
fn date(unix: u64) -> String {
    let seconds = i64::try_from(unix).unwrap_or(i64::MAX);
    let timestamp = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    timestamp.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_formatted_as_iso_8601() {
        for (unix, day) in [
            (0, "1970-01-01"),
            (BUILT, "2026-11-24"),
            (951_782_400, "2000-02-29"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(unix), day);
        }
    }
}
