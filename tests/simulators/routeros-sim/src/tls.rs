//! The certificates of `api-ssl`: the one that a simulator starts with, and those that `/certificate/sign` makes. All are
//! self-signed, as on most routers, and known by their fingerprints; keys are elliptic, which take no minute to make.

use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The certificate could not be used.
    #[error("cannot use the certificate")]
    Config(#[from] rustls::Error),
}

/// A certificate made for this run, with its key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) acceptor: TlsAcceptor,
    /// SHA-256 of the certificate's DER, in hex.
    pub(crate) pin: String,
}

impl Identity {
    /// A new key and certificate for a name. TLS 1.2 only, as RouterOS has it.
    pub(crate) fn generate(name: &str) -> Result<Self, TlsError> {
        let certified = rcgen::generate_simple_self_signed(vec![name.to_owned()])?;
        let certificate = certified.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let pin = hex(digest(&SHA256, &certificate).as_ref());
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), pin })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("pin", &self.pin).finish_non_exhaustive()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
