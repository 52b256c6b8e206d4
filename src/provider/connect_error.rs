//! Explains why a connection failed, with the remedy, from the errors of the resolver, the
//! kernel and TLS in the chain of causes of one failed call.

use std::error::Error;
use std::io::{self, ErrorKind};

use reqwest::Url;
use rustls::{CertificateError, Error as TlsError};

/// Returns the cause and the remedy, where that is known; otherwise the causes, without
/// the address, which is known and may be long.
pub(super) fn why(error: &reqwest::Error) -> String {
    let at = error.url().map_or_else(|| "the server".to_owned(), server);
    let mut causes = causes(error);
    if error.is_connect() && error.is_timeout() {
        return format!(
            "no connection to {at} in time: is it switched on, and is a firewall in between?"
        );
    }
    let explained = causes.find_map(|cause| {
        if let Some(tls) = cause.downcast_ref::<TlsError>() {
            return Some(handshake(tls, &at));
        }
        let system = cause.downcast_ref::<io::Error>();
        system
            .and_then(|cause| connection(cause.kind(), &at))
            .or_else(|| resolver(&cause.to_string(), &at))
    });
    explained.unwrap_or_else(|| reasons(error))
}

/// Returns the host, with its port where it is not the usual one.
fn server(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Returns an error and all errors below it. An [`io::Error`] stands for the error it wraps, which
/// is not among its sources.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}

fn connection(kind: ErrorKind, at: &str) -> Option<String> {
    let what = match kind {
        ErrorKind::ConnectionRefused => {
            format!("nothing listens at {at}: start the server there, or correct `base_url`")
        }
        ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown | ErrorKind::HostUnreachable => {
            format!("no route to {at}: is this machine on the network?")
        }
        _ => return None,
    };
    Some(what)
}

/// Recognises errors of the resolver, which has no error type, by the words of all C libraries.
fn resolver(words: &str, at: &str) -> Option<String> {
    if !words.contains("failed to lookup address information") {
        return None;
    }
    // musl says "Try again" where glibc says "Temporary failure".
    let no_resolver = ["Temporary failure", "Try again"]
        .iter()
        .any(|phrase| words.contains(phrase));
    Some(if no_resolver {
        format!(
            "the name {at} cannot be looked up now: is this machine on the network, and is its DNS \
             server right?"
        )
    } else {
        format!("there is no host {at}: correct `base_url`, or this machine's DNS")
    })
}

fn handshake(error: &TlsError, at: &str) -> String {
    match error {
        TlsError::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => format!(
            "the certificate of {at} is not valid today: this machine's clock is wrong (see \
             `timedatectl`), or the certificate has expired"
        ),
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => {
            format!(
                "the certificate of {at} comes from an authority this machine does not know: \
                 install `ca-certificates`, or add that authority"
            )
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            format!(
                "the certificate is for another host than {at}: correct `base_url`, or the proxy \
                 in between"
            )
        }
        TlsError::InvalidMessage(_) => {
            format!("{at} does not speak TLS: write `base_url` with http://, or correct its port")
        }
        other => format!("no TLS with {at}: {other}"),
    }
}

/// Returns the chain of causes.
fn reasons(error: &reqwest::Error) -> String {
    let mut words: Vec<String> = causes(error).skip(1).map(ToString::to_string).collect();
    words.dedup();
    let summary = if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    std::iter::once(summary.to_owned())
        .chain(words)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_wrapped_by_an_io_error_is_among_the_causes() {
        let expired = TlsError::InvalidCertificate(CertificateError::Expired);
        let error = io::Error::other(io::Error::new(ErrorKind::InvalidData, expired.clone()));
        let found = causes(&error)
            .find_map(|cause| cause.downcast_ref::<TlsError>())
            .unwrap();
        assert_eq!(*found, expired);
        assert!(handshake(found, "models.example").contains("clock is wrong"));
    }

    #[test]
    fn an_unreachable_resolver_differs_from_an_unknown_name() {
        let absent = resolver(
            "failed to lookup address information: Name or service not known",
            "models.example",
        )
        .unwrap();
        assert!(
            absent.contains("there is no host models.example"),
            "{absent}"
        );
        let away = resolver(
            "failed to lookup address information: Temporary failure in name resolution",
            "models.example",
        )
        .unwrap();
        assert!(away.contains("on the network"), "{away}");
        assert_eq!(resolver("connection reset by peer", "models.example"), None);
    }
}
