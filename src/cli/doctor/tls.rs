//! Why TLS does not come about, told apart: the clock, the certificate's days, its name, who signed it, ours.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error as TlsError};

use crate::cli::doctor::finding::Finding;

/// A certificate that ends within this is told in time.
pub(super) const SOON: Duration = Duration::from_hours(14 * 24);

/// A clock before this (24 November 2026) was never set: a gateway without a battery starts in the past.
const BUILT: u64 = 1_795_478_400;

/// A clock that is ahead, to see what will have ended by then.
#[derive(Debug)]
pub(super) struct CertificateTimes(pub(super) Duration);

impl TimeProvider for CertificateTimes {
    fn current_time(&self) -> Option<UnixTime> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(now + self.0))
    }
}

/// The same, on another day.
pub(super) fn ahead(config: &ClientConfig, by: Duration) -> ClientConfig {
    let mut then = config.clone();
    then.time_provider = Arc::new(CertificateTimes(by));
    then
}

/// The clock of this machine where it cannot be right.
pub(super) fn clock() -> Option<String> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    (now < BUILT).then(|| {
        format!(
            "the clock of this machine says {}: it was never set",
            date(now)
        )
    })
}

/// What to do about a clock.
pub(super) const SET_CLOCK: &str =
    "`timedatectl` shows it; `timedatectl set-ntp true` keeps it right where there is a network";

/// What rustls said inside an error of the connection.
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

/// True where a certificate was shown, whatever is wrong with it: the server speaks TLS.
pub(super) fn shows_certificate(error: &TlsError) -> bool {
    matches!(
        error,
        TlsError::InvalidCertificate(_) | TlsError::AlertReceived(_)
    )
}

/// The finding for a handshake that failed at `host`.
pub(super) fn finding(error: &TlsError, host: &str) -> Finding {
    let fault = |found: String, todo: String| Finding::fault("tls", found, todo);
    match error {
        TlsError::InvalidCertificate(certificate) => untrusted(certificate, host),
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure,
        ) => fault(
            format!("{host} wants a certificate of ours"),
            "name it with `mqtt.tls.cert` and `mqtt.tls.key`".to_owned(),
        ),
        TlsError::AlertReceived(AlertDescription::CertificateExpired) => fault(
            format!("{host} says that our own certificate has run out"),
            "renew the certificate in `mqtt.tls.cert`, or set the broker's clock".to_owned(),
        ),
        TlsError::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown),
        ) => {
            let todo = "have `mqtt.tls.cert` signed by the authority the broker trusts (mosquitto: `cafile`)".to_owned();
            fault(
                format!("{host} does not trust our own certificate ({alert:?})"),
                todo,
            )
        }
        TlsError::InvalidMessage(_) => fault(
            format!("{host} does not speak TLS at this port"),
            "use its TLS port (usually 8883) in `mqtt.port`, or leave [mqtt.tls] out".to_owned(),
        ),
        other => fault(
            format!("no TLS with {host}: {other}"),
            "compare with `openssl s_client -connect HOST:PORT`".to_owned(),
        ),
    }
}

fn untrusted(certificate: &CertificateError, host: &str) -> Finding {
    let (found, todo) = match certificate {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let since = if let CertificateError::ExpiredContext { not_after, .. } = certificate {
                format!(" on {}", date(not_after.as_secs()))
            } else {
                String::new()
            };
            let todo = format!(
                "renew it on the broker; if today is not {}, this machine's clock is wrong: {SET_CLOCK}",
                today()
            );
            (format!("the certificate of {host} ran out{since}"), todo)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let from = if let CertificateError::NotValidYetContext { not_before, .. } = certificate
            {
                format!(" before {}", date(not_before.as_secs()))
            } else {
                String::new()
            };
            let todo = format!(
                "if today is not {}, this machine's clock is wrong: {SET_CLOCK}; else wait, or make the certificate anew",
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
            let todo = "write one of its names into `mqtt.host`, or make a certificate with this one among its subjectAltNames".to_owned();
            (
                format!("the certificate shown is not for {host}{names}"),
                todo,
            )
        }
        CertificateError::UnknownIssuer => {
            let todo = "name the file of that authority in `mqtt.tls.ca`; without it only the system's authorities are trusted".to_owned();
            (
                format!(
                    "the certificate of {host} is signed by an authority that is not trusted here"
                ),
                todo,
            )
        }
        other => (
            format!("the certificate of {host} cannot be used: {other}"),
            "make it anew: X.509 version 3, with subjectAltName".to_owned(),
        ),
    };
    Finding::fault("tls", found, todo)
}

/// `DnsName("broker.lan")` → `broker.lan`.
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

/// `2026-11-24`. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn date(unix: u64) -> String {
    let days = unix / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let rest = day - (365 * year + year / 4 - year / 100);
    let month = (5 * rest + 2) / 153;
    let (day, month) = (
        rest - (153 * month + 2) / 5 + 1,
        if month < 10 { month + 3 } else { month - 9 },
    );
    format!(
        "{:04}-{month:02}-{day:02}",
        year + era * 400 + u64::from(month <= 2)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_people_read_it() {
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
