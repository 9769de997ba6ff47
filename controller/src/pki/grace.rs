//! Who may come to be renewed: a certificate of ours, also one that ended a short while ago.
//!
//! TLS itself proves that the old key is there. Whether the certificate was revoked is for the database to say, and not
//! asked here.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How long after its end a certificate is still good to get the next one: a site that was shut for a term, and too short for
/// a device that somebody forgot in a drawer.
pub const GRACE: Duration = Duration::from_secs(90 * 86_400);

/// Asks another one, about a moment at which the certificate was good.
#[derive(Debug)]
pub(super) struct WithGrace(pub(super) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for WithGrace {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.verify_client_cert(end_entity, intermediates, judged_at(end_entity, now))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Now, or the last second of a certificate that ended within [`GRACE`].
fn judged_at(certificate: &CertificateDer<'_>, now: UnixTime) -> UnixTime {
    let end = X509Certificate::from_der(certificate)
        .ok()
        .and_then(|(_rest, parsed)| u64::try_from(parsed.validity().not_after.timestamp()).ok());
    match end {
        Some(end) if end < now.as_secs() && now.as_secs() - end <= GRACE.as_secs() => {
            UnixTime::since_unix_epoch(Duration::from_secs(end))
        }
        _ => now,
    }
}
