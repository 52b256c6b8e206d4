//! Why there was no answer, in words that tell what to do: what the resolver, the kernel and TLS said, read from the chain of
//! causes of one failed call.

use std::error::Error;
use std::io::{self, ErrorKind};

use reqwest::Url;
use rustls::{CertificateError, Error as TlsError};

/// What happened, and what mends it where that is known; else the causes, without the address, which is known and may be long.
pub(super) fn why(error: &reqwest::Error) -> String {
    let at = error.url().map_or_else(|| "the server".to_owned(), server);
    let mut causes = causes(error);
    if error.is_connect() && error.is_timeout() {
        return format!(
            "no connection to {at} in time: is it on, and does a firewall stand between?"
        );
    }
    let told = causes.find_map(|cause| {
        if let Some(tls) = cause.downcast_ref::<TlsError>() {
            return Some(handshake(tls, &at));
        }
        let system = cause.downcast_ref::<io::Error>();
        system
            .and_then(|cause| connection(cause.kind(), &at))
            .or_else(|| resolver(&cause.to_string(), &at))
    });
    told.unwrap_or_else(|| reasons(error))
}

/// `models.example`, with its port where it is not the usual one.
fn server(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An error and all below it. What an [`io::Error`] wraps is not among its sources: it stands for it.
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
            format!("nobody listens at {at}: start the server there, or mend `base_url`")
        }
        ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown | ErrorKind::HostUnreachable => {
            format!("no route to {at}: is this machine on the network?")
        }
        _ => return None,
    };
    Some(what)
}

/// The resolver has no error type of its own; these are its words in every C library.
fn resolver(words: &str, at: &str) -> Option<String> {
    if !words.contains("failed to lookup address information") {
        return None;
    }
    // "Try again" is musl's word for what glibc calls a temporary failure.
    let no_resolver = ["Temporary failure", "Try again"]
        .iter()
        .any(|said| words.contains(said));
    Some(if no_resolver {
        format!(
            "the name {at} cannot be looked up now: is this machine on the network, and is its DNS server right?"
        )
    } else {
        format!("there is no {at}: mend `base_url`, or this machine's DNS")
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
            "the certificate of {at} is not valid today: this machine's clock is wrong (`timedatectl` shows it), or theirs has run out"
        ),
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => {
            format!(
                "the certificate of {at} comes from an authority this machine does not know: install `ca-certificates`, or add theirs to it"
            )
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            format!(
                "the certificate shown is not for {at}: mend `base_url`, or what stands between us and it"
            )
        }
        TlsError::InvalidMessage(_) => {
            format!("{at} does not speak TLS: write `base_url` with http://, or mend its port")
        }
        other => format!("no TLS with {at}: {other}"),
    }
}

/// The chain of causes.
fn reasons(error: &reqwest::Error) -> String {
    let mut words: Vec<String> = causes(error).skip(1).map(ToString::to_string).collect();
    words.dedup();
    let told = if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    std::iter::once(told.to_owned())
        .chain(words)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_io_error_wraps_is_among_the_causes() {
        let expired = TlsError::InvalidCertificate(CertificateError::Expired);
        let error = io::Error::other(io::Error::new(ErrorKind::InvalidData, expired.clone()));
        let found = causes(&error)
            .find_map(|cause| cause.downcast_ref::<TlsError>())
            .unwrap();
        assert_eq!(*found, expired);
        assert!(handshake(found, "models.example").contains("clock is wrong"));
    }

    #[test]
    fn a_resolver_out_of_reach_is_told_from_a_name_that_is_not() {
        let absent = resolver(
            "failed to lookup address information: Name or service not known",
            "models.example",
        )
        .unwrap();
        assert!(absent.contains("there is no models.example"), "{absent}");
        let away = resolver(
            "failed to lookup address information: Temporary failure in name resolution",
            "models.example",
        )
        .unwrap();
        assert!(away.contains("on the network"), "{away}");
        assert_eq!(resolver("connection reset by peer", "models.example"), None);
    }
}
