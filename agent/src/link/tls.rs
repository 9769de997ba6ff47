//! What proves us to head office and head office to us: certificates from files, one provider, our own clock.
//!
//! Only the CA file is believed: neither the system's certificates nor anything built in. Time comes from the trusted
//! clock, because a board that boots in 1970 would refuse every certificate; and as that clock may be late until head
//! office confirms the date, a certificate is refused for being over and never for having begun just now. Sessions are
//! resumed across connections, which saves a metered line some kilobytes each time.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tawi_shared::enrolment::ALPN_MQTT;
use thiserror::Error;

use crate::clock::TrustedClock;
use crate::config::ControllerConfig;

/// Servers whose sessions are remembered: the addresses of one controller.
const SESSIONS: usize = 8;

/// Why the certificates cannot be used.
#[derive(Debug, Error)]
pub enum TlsFileError {
    /// A file cannot be read.
    #[error("controller.{key}: {}: {source}\n  cure: ask head office for a ticket (tawi-controller site renew), and run here: sudo tawi-agent enrol; or copy the file from the bundle that it made for this site", path.display())]
    Unreadable {
        /// The key in the settings.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("controller.{key}: {}: {problem}\n  cure: ask head office for a ticket (tawi-controller site renew), and run here: sudo tawi-agent enrol; or copy the file from the bundle that it made for this site", path.display())]
    Unusable {
        /// The key in the settings.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// The client's side of every connection to head office for MQTT.
///
/// # Errors
/// [`TlsFileError`] names the key and the file.
pub fn client_config(
    controller: &ControllerConfig,
    clock: TrustedClock,
) -> Result<Arc<ClientConfig>, TlsFileError> {
    client_config_for(ALPN_MQTT, controller, clock)
}

/// The same for what is said in another protocol.
///
/// # Errors
/// [`TlsFileError`] names the key and the file.
pub fn client_config_for(
    protocol: &[u8],
    controller: &ControllerConfig,
    clock: TrustedClock,
) -> Result<Arc<ClientConfig>, TlsFileError> {
    let unusable =
        |key, path: &Path, problem: String| TlsFileError::Unusable { key, path: path.into(), problem };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca_file", &controller.ca_file)? {
        roots
            .add(certificate)
            .map_err(|error| unusable("ca_file", &controller.ca_file, error.to_string()))?;
    }
    let chain = certificates("certificate_file", &controller.certificate_file)?;
    let bytes = read("key_file", &controller.key_file)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| unusable("key_file", &controller.key_file, pem_problem(&error)))?;
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| unusable("ca_file", &controller.ca_file, error.to_string()))?;
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(OurTime(clock)))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| unusable("ca_file", &controller.ca_file, error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(BegunByNow(verifier)))
        .with_client_auth_cert(chain, key)
        .map_err(|error| unusable("key_file", &controller.key_file, error.to_string()))?;
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    // A controller of before there was enrolment names none, and then none is agreed on.
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

/// Whether the other side says by an alert that it does not take our certificate (RFC 8446, section 6.2). With TLS 1.3 that
/// comes after the handshake, with what is read first.
#[must_use]
pub fn is_certificate_refused(error: &io::Error) -> bool {
    use rustls::AlertDescription as Alert;
    let said = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::AlertReceived(alert)) = said else { return false };
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::CertificateRequired
            // What rustls says of one that a namesake of its authority signed.
            | Alert::DecryptError
    )
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// [`TlsFileError`] names the key and the file.
pub fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let unusable = |problem| TlsFileError::Unusable { key, path: path.into(), problem };
    let bytes = read(key, path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(pem_problem(&error)))?;
    if found.is_empty() { Err(unusable("it holds no certificate".to_owned())) } else { Ok(found) }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsFileError> {
    std::fs::read(path).map_err(|source| TlsFileError::Unreadable { key, path: path.into(), source })
}

/// What is wrong with a PEM file, without a piece of it: it may be a key.
fn pem_problem(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "it holds nothing of that kind".to_owned(),
        pem::Error::MissingSectionEnd { .. } => "it is cut short".to_owned(),
        _ => "it is not a PEM file".to_owned(),
    }
}

/// The trusted clock, as rustls asks for it.
pub(crate) struct OurTime(pub(crate) TrustedClock);

impl fmt::Debug for OurTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OurTime")
    }
}

impl TimeProvider for OurTime {
    fn current_time(&self) -> Option<UnixTime> {
        let now = u64::try_from(self.0.certificate_time().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(now)))
    }
}

/// Checks a certificate as rustls does, and takes one that is not valid yet as of its first moment.
///
/// Our clock is a lower bound while nothing confirms it: a site that was off stands where it was last known to be. Head office makes its
/// certificate anew at each start, so that it may well begin after that; were it refused, the date could never be heard
/// from head office, which says it over this very connection. Somebody who holds the CA's key could do worse than to
/// date a certificate ahead.
#[derive(Debug)]
pub(crate) struct BegunByNow(pub(crate) Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for BegunByNow {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verify =
            |at| self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at);
        match verify(now) {
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
                not_before,
                ..
            })) => verify(not_before),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription as Alert;

    use super::*;

    #[test]
    fn only_what_an_alert_says_of_our_certificate_counts_against_it() {
        let of = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let alert = |alert| of(rustls::Error::AlertReceived(alert));
        let check =
            |error: &io::Error, expected| assert_eq!(is_certificate_refused(error), expected, "{error}");
        for said in [
            Alert::CertificateExpired,
            Alert::CertificateRevoked,
            Alert::CertificateUnknown,
            Alert::CertificateRequired,
            Alert::BadCertificate,
            Alert::UnknownCA,
            Alert::AccessDenied,
            Alert::DecryptError,
        ] {
            check(&alert(said), true);
        }
        // A head office in trouble, one of another release, something on the way, and one that we do not believe ourselves.
        for said in
            [Alert::InternalError, Alert::HandshakeFailure, Alert::NoApplicationProtocol, Alert::CloseNotify]
        {
            check(&alert(said), false);
        }
        check(&of(rustls::Error::InvalidCertificate(CertificateError::Expired)), false);
        check(&io::ErrorKind::ConnectionReset.into(), false);
        check(&io::ErrorKind::UnexpectedEof.into(), false);
    }
}
