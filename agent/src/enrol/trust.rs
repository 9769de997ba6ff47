//! Whom a new device shows its token: whoever holds the key of the authority that the ticket pins, and nobody else.
//!
//! A new device has no certificate of head office yet, only the digest of one. The front door shows its own certificate
//! and the authority's; if that one has the digest, it alone is believed, and then everything is checked as always: the
//! signature, the name, and the end. A stranger hears the start of a handshake and no byte of the request.

use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring as provider, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tawi_shared::enrolment::ALPN_HTTP;

use crate::clock::TrustedClock;
use crate::link::tls::{BegunByNow, OurTime};

/// The SHA-256 of a certificate in DER form.
#[must_use]
pub fn digest_of(certificate: &[u8]) -> [u8; 32] {
    digest(&SHA256, certificate).as_ref().try_into().unwrap_or_default()
}

/// The client's side of an enrolment: nothing of ours is shown, and only the pinned authority is believed.
///
/// # Errors
/// The TLS library's, where it takes none of our protocols.
pub fn pinned_config(authority: [u8; 32], clock: TrustedClock) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider: Arc<CryptoProvider> = Arc::new(provider::default_provider());
    let verifier = PinnedAuthority { authority, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(OurTime(clock)))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_HTTP.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Whether a handshake ended because the pinned authority was not shown.
#[must_use]
pub fn is_another_authority(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) => {
            other.0.is::<AnotherAuthority>()
        }
        _ => false,
    }
}

/// Travels through rustls as the cause of a refused certificate.
#[derive(Debug)]
struct AnotherAuthority;

impl fmt::Display for AnotherAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its authority is not the one of the ticket")
    }
}

impl std::error::Error for AnotherAuthority {}

#[derive(Debug)]
struct PinnedAuthority {
    authority: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let another = || CertificateError::Other(OtherError(Arc::new(AnotherAuthority)));
        let authority = std::iter::once(end_entity)
            .chain(intermediates)
            .find(|certificate| digest_of(certificate) == self.authority)
            .ok_or_else(another)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?;
        BegunByNow(verifier).verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
