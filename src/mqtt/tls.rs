//! The client's side of TLS, from the operator's PEM files.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::mqtt::Tls;

/// TLS cannot be set up from what is in the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is no PEM file of that kind.
    #[error("cannot read `{}`", file.display())]
    File {
        /// The key of `mqtt.tls` that names it.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// There is nobody to trust.
    #[error("there is no certificate in {place}: name the broker's authority in `mqtt.tls.ca`")]
    NoRoots {
        /// Where it was looked for.
        place: String,
    },
    /// What is in the file is no certificate to trust others by.
    #[error("cannot trust by what is in `{}`", file.display())]
    Authority {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// Our certificate and our key are not of one pair.
    #[error("the key in `{}` is not that of the certificate", key.display())]
    Apart {
        /// The file of the key.
        key: PathBuf,
    },
    /// rustls takes the certificate, the key or both not.
    #[error("cannot use the certificates")]
    Unusable(#[from] rustls::Error),
}

/// Builds the client's side of TLS.
///
/// # Errors
/// When a file cannot be read, has nothing in it, or does not fit together.
pub fn client_config(tls: &Tls) -> Result<ClientConfig, TlsError> {
    trusting(roots(tls.ca.as_ref())?, tls.client.as_ref())
}

/// True where this machine has an authority to trust, for a broker whose own is not named.
pub fn system_has_authorities() -> bool {
    roots(None).is_ok()
}

/// What of the files that are named would be refused: all of it, and nothing of the system's own store.
pub fn faults(tls: &Tls) -> Vec<TlsError> {
    let authority = tls.ca.as_ref().and_then(|file| roots(Some(file)).err());
    let own = tls
        .client
        .as_ref()
        .and_then(|pair| trusting(RootCertStore::empty(), Some(pair)).err());
    authority.into_iter().chain(own).collect()
}

fn trusting(
    roots: RootCertStore,
    pair: Option<&(PathBuf, PathBuf)>,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some((cert, key)) = pair else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("cert", cert)?;
    if chain.is_empty() {
        return Err(TlsError::File {
            key: "cert",
            file: cert.clone(),
            source: pem::Error::NoItemsFound,
        });
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::File {
        key: "key",
        file: key.clone(),
        source,
    })?;
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Apart { key: key.clone() },
            error => TlsError::Unusable(error),
        })
}

fn roots(ca: Option<&PathBuf>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let place = if let Some(file) = ca {
        for certificate in certificates("ca", file)? {
            roots
                .add(certificate)
                .map_err(|source| TlsError::Authority {
                    file: file.clone(),
                    source,
                })?;
        }
        format!("`{}`", file.display())
    } else {
        // The system's store often has one that rustls does not take; the others are good all the same.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        "the system's store".to_owned()
    };
    if roots.is_empty() {
        Err(TlsError::NoRoots { place })
    } else {
        Ok(roots)
    }
}

fn certificates(
    key: &'static str,
    file: &PathBuf,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let broken = |source| TlsError::File {
        key,
        file: file.clone(),
        source,
    };
    CertificateDer::pem_file_iter(file)
        .map_err(broken)?
        .collect::<Result<_, _>>()
        .map_err(broken)
}
