//! TLS configuration of the client, from the operator's PEM files.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// TLS of the connection to the broker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// PEM file of the authority that signed the broker's certificate; without it the system's
    /// authorities count.
    pub ca: Option<PathBuf>,
    /// PEM files of sayso's own certificate chain and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A TLS configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not a PEM file with the expected content.
    #[error("cannot read `{}`", file.display())]
    File {
        /// The key of `mqtt.tls` that names the file.
        key: &'static str,
        /// Its path.
        file: PathBuf,
        /// The cause.
        source: pem::Error,
    },
    /// There is no certificate authority.
    #[error("there is no certificate in {place}: name the broker's authority in `mqtt.tls.ca`")]
    NoRoots {
        /// The place that was searched.
        place: String,
    },
    /// The file holds no certificate of an authority.
    #[error("cannot use the certificate in `{}` as an authority", file.display())]
    Authority {
        /// Its path.
        file: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// The certificate and the key do not belong together.
    #[error("the key in `{}` does not belong to the certificate", key.display())]
    KeyMismatch {
        /// Path of the key.
        key: PathBuf,
    },
    /// rustls accepts neither the certificate nor the key, or only one of them.
    #[error("cannot use the certificates")]
    Unusable(#[from] rustls::Error),
}

/// Creates the TLS configuration of the client.
///
/// # Errors
/// When a file cannot be read, holds no certificate or key, or the files do not belong together.
pub fn client_config(tls: &Tls) -> Result<ClientConfig, TlsError> {
    config_with(roots(tls.ca.as_ref())?, tls.client.as_ref())
}

/// Returns whether this machine has certificate authorities, for a broker whose authority is not
/// configured.
pub fn system_has_authorities() -> bool {
    roots(None).is_ok()
}

/// Returns every fault of the configured files; the system's own authorities are not checked.
pub fn faults(tls: &Tls) -> Vec<TlsError> {
    let authority = tls.ca.as_ref().and_then(|file| roots(Some(file)).err());
    let own = tls
        .client
        .as_ref()
        .and_then(|pair| config_with(RootCertStore::empty(), Some(pair)).err());
    authority.into_iter().chain(own).collect()
}

fn config_with(
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
            rustls::Error::InconsistentKeys(_) => TlsError::KeyMismatch { key: key.clone() },
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
        // The system's store often has a certificate that rustls does not accept; the others can be
        // used.
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
