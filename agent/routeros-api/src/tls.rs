//! TLS to `api-ssl`: who the router must prove to be.
//!
//! RouterOS speaks TLS up to 1.2, most often with a certificate that it signed itself and that names no
//! address. So there are two ways to trust: a certificate authority, or the SHA-256 of the certificate
//! itself. Everything else is refused, above all the anonymous Diffie–Hellman of a service without a
//! certificate, which encrypts for whoever answers.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsTrust {
    /// A certificate signed by one of these authorities (DER), for the name or address connected to.
    Authorities(Vec<CertificateDer<'static>>),
    /// Exactly this certificate, whatever it names and whoever signed it.
    Pin(Fingerprint),
}

impl TlsTrust {
    /// Reads authorities from PEM text; other blocks in it are skipped.
    ///
    /// # Errors
    /// [`TlsError::BadAuthority`] when there is no certificate in it, or one that cannot be read.
    pub fn ca_pem(pem: &[u8]) -> Result<Self, TlsError> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| TlsError::BadAuthority(error.to_string()))?;
        if certificates.is_empty() {
            return Err(TlsError::BadAuthority("there is no certificate in it".to_owned()));
        }
        Ok(Self::Authorities(certificates))
    }

    /// Takes one authority in DER.
    #[must_use]
    pub fn ca_der(der: impl Into<Vec<u8>>) -> Self {
        Self::Authorities(vec![CertificateDer::from(der.into())])
    }
}

/// The SHA-256 of a certificate in DER, as `/certificate print` shows it under `fingerprint`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a certificate in DER.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, der);
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits in either case, with or without `:` between the bytes.
    ///
    /// # Errors
    /// [`TlsError::BadFingerprint`] for anything else.
    pub fn parse(text: &str) -> Result<Self, TlsError> {
        let mut digits = text.trim().chars().filter(|digit| *digit != ':').map(|digit| digit.to_digit(16));
        let mut bytes = [0; 32];
        for byte in &mut bytes {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                return Err(TlsError::BadFingerprint);
            };
            *byte = u8::try_from(high << 4 | low).map_err(|_| TlsError::BadFingerprint)?;
        }
        if digits.next().is_some() { Err(TlsError::BadFingerprint) } else { Ok(Self(bytes)) }
    }

    /// Compares every byte whatever the earlier ones were, so that time tells nothing.
    fn is_same_as(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(&other.0).fold(0, |difference, (a, b)| difference | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Why there is no TLS session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No cipher in common. On RouterOS that nearly always means a service without a certificate, which
    /// offers anonymous Diffie–Hellman only.
    #[error(
        "the router offers no acceptable cipher: its api-ssl service most likely has `certificate=none`. \
         Cure: /certificate add name=api common-name=api; /certificate sign api; \
         /ip service set api-ssl certificate=api tls-version=only-1.2; then pin its fingerprint"
    )]
    NoCommonCipher,
    /// The router wants TLS 1.1 or older.
    #[error(
        "the router does not speak TLS 1.2. Cure: /ip service set api-ssl tls-version=only-1.2, or upgrade"
    )]
    TooOld,
    /// Another certificate than the pinned one. It may have been renewed, or someone is in between.
    #[error(
        "the router's certificate is not the pinned one: expected {expected}, found {found}. \
         Cure: if it was renewed on purpose, compare with /certificate print at the router and pin the new one"
    )]
    PinMismatch {
        /// What the options pin.
        expected: Fingerprint,
        /// What the router presented.
        found: Fingerprint,
    },
    /// The certificate does not lead to the authority, names another host, or is out of date.
    #[error(
        "the router's certificate is not acceptable: {0}. Certificates that a router signs itself are best pinned"
    )]
    Certificate(String),
    /// What answers is not TLS.
    #[error(
        "what answers does not speak TLS. Cure: use the port of api-ssl (8729) rather than the plain API port (8728)"
    )]
    NotTls,
    /// The connection ended during the handshake.
    #[error(
        "the router closed the connection during the handshake. Cure: check the address list of its api-ssl service"
    )]
    Closed,
    /// An authority could not be read.
    #[error("the certificate authority cannot be read: {0}")]
    BadAuthority(String),
    /// Not a SHA-256 in hexadecimal.
    #[error("a fingerprint is 64 hexadecimal digits (SHA-256), with or without colons")]
    BadFingerprint,
    /// The host cannot stand in a certificate.
    #[error("`{0}` is not a host name or an address")]
    BadServerName(String),
    /// Anything else, in the words of the TLS library.
    #[error("{0}")]
    Handshake(String),
}

/// Makes the TLS session. `host` is what a certificate from an authority must name.
pub(crate) async fn handshake<S>(stream: S, trust: &TlsTrust, host: &str) -> Result<TlsStream<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = client_config(trust)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::BadServerName(host.to_owned()))?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| explain(&error))
}

fn client_config(trust: &TlsTrust) -> Result<rustls::ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .map_err(|error| TlsError::Handshake(error.to_string()))?;
    let config = match trust {
        TlsTrust::Authorities(certificates) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates {
                roots.add(certificate.clone()).map_err(|error| TlsError::BadAuthority(error.to_string()))?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        TlsTrust::Pin(expected) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PinVerifier { expected: *expected, provider }))
            .with_no_client_auth(),
    };
    Ok(config)
}

/// Accepts one certificate by its fingerprint, and still demands proof of its private key.
#[derive(Debug)]
struct PinVerifier {
    expected: Fingerprint,
    provider: Arc<CryptoProvider>,
}

/// Travels through rustls as the cause of a refused certificate.
#[derive(Debug, thiserror::Error)]
#[error("fingerprint is {found}")]
struct OtherFingerprint {
    expected: Fingerprint,
    found: Fingerprint,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (expected, found) = (self.expected, Fingerprint::of(end_entity));
        if expected.is_same_as(&found) {
            return Ok(ServerCertVerified::assertion());
        }
        let cause = OtherError(Arc::new(OtherFingerprint { expected, found }));
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(cause)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn explain(error: &io::Error) -> TlsError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity,
        )) => TlsError::NoCommonCipher,
        Some(
            rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
            | rustls::Error::PeerIncompatible(_),
        ) => TlsError::TooOld,
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(cause))) => {
            match cause.0.downcast_ref::<OtherFingerprint>() {
                Some(other) => TlsError::PinMismatch { expected: other.expected, found: other.found },
                None => TlsError::Certificate(cause.to_string()),
            }
        }
        Some(rustls::Error::InvalidCertificate(cause)) => TlsError::Certificate(cause.to_string()),
        Some(rustls::Error::InvalidMessage(_)) => TlsError::NotTls,
        Some(other) => TlsError::Handshake(other.to_string()),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                TlsError::Closed
            }
            _ => TlsError::Handshake(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn fingerprints_are_read_as_routers_and_tools_print_them() {
        let fingerprint = Fingerprint::of(b"abc");
        let plain = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let colons: Vec<String> = plain
            .to_uppercase()
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8(pair.to_vec()).unwrap())
            .collect();
        assert_eq!(fingerprint.to_string(), plain);
        assert_eq!(Fingerprint::parse(plain), Ok(fingerprint));
        assert_eq!(Fingerprint::parse(&colons.join(":")), Ok(fingerprint));
        for text in
            ["", "ba78", plain.strip_prefix('b').unwrap(), &format!("{plain}0"), &plain.replace('b', "g")]
        {
            assert_eq!(Fingerprint::parse(text), Err(TlsError::BadFingerprint), "{text}");
        }
    }

    #[test]
    fn fingerprints_that_differ_in_one_bit_anywhere_differ() {
        let pinned = Fingerprint::of(b"abc");
        assert!(pinned.is_same_as(&pinned.clone()));
        for bit in 0..256 {
            let mut other = pinned;
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!pinned.is_same_as(&other), "bit {bit}");
        }
    }

    #[test]
    fn an_authority_file_without_a_certificate_is_refused() {
        for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(TlsTrust::ca_pem(pem.as_bytes()), Err(TlsError::BadAuthority(_))), "{pem}");
        }
    }

    /// What a peer that answers the hello with these bytes looks like to us.
    async fn answered_with(bytes: &'static [u8]) -> TlsError {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let peer = tokio::spawn(async move {
            let mut hello = [0; 1024];
            let read = theirs.read(&mut hello).await.unwrap();
            assert!(read > 5);
            theirs.write_all(bytes).await.unwrap();
        });
        let trust = TlsTrust::Pin(Fingerprint::of(b""));
        let error = handshake(ours, &trust, "192.0.2.1").await.unwrap_err();
        peer.await.unwrap();
        error
    }

    #[tokio::test]
    async fn a_service_without_a_certificate_is_refused_with_the_cure() {
        // A fatal alert, handshake_failure: what a server with only anonymous ciphers answers us.
        let error = answered_with(b"\x15\x03\x03\x00\x02\x02\x28").await;
        assert_eq!(error, TlsError::NoCommonCipher);
        assert!(
            error.to_string().contains("certificate=none") && error.to_string().contains("/ip service set")
        );
    }

    #[tokio::test]
    async fn an_old_version_a_plain_port_and_a_closed_door_are_told_apart() {
        assert_eq!(answered_with(b"\x15\x03\x01\x00\x02\x02\x46").await, TlsError::TooOld);
        assert_eq!(answered_with(b"\x0ASSH-2.0-x\r\n").await, TlsError::NotTls);
        assert_eq!(answered_with(b"").await, TlsError::Closed);
    }
}
