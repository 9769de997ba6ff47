//! The request of a device for a certificate (PKCS#10): the key that it made and keeps, with proof that it has it.
//!
//! Only the key is taken from it. What the request wishes to be called, and for what, is not read: that is for head office
//! to say. Pure.

use rcgen::{CertificateSigningRequestParams, PublicKey, PublicKeyData as _};
use ring::digest::{SHA256, digest};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use tawi_shared::ids::hex;
use thiserror::Error;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The public key of a device that proved to hold the other half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKey {
    pub(super) public_key: PublicKey,
    sha256: String,
}

/// Why no certificate can be made for a request.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadRequest {
    /// It is none.
    #[error(
        "the request for a certificate cannot be read; cure: run tawi-agent enrol again, of this release or a newer one"
    )]
    Unreadable,
    /// We have one kind of key, so that one kind has to be kept safe.
    #[error("the key of the request is not ECDSA P-256; cure: let tawi-agent enrol make the key")]
    WrongKey,
    /// Whoever sent it does not have the key.
    #[error("the request is not signed by its own key; cure: run tawi-agent enrol again")]
    WrongSignature,
}

impl BadRequest {
    /// The word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "csr_unreadable",
            Self::WrongKey => "csr_key",
            Self::WrongSignature => "csr_signature",
        }
    }
}

impl DeviceKey {
    /// Takes the key out of a request in PEM form, once it is proved.
    ///
    /// # Errors
    /// [`BadRequest`], whose words are for the technician.
    pub fn of_request(pem: &str) -> Result<Self, BadRequest> {
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| BadRequest::Unreadable)?;
        let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| BadRequest::Unreadable)?;
        if !rest.is_empty() {
            return Err(BadRequest::Unreadable);
        }
        // Before the signature: whoever brings another kind is told so, and not that it is signed wrongly.
        if !is_p256(&request.certification_request_info.subject_pki) {
            return Err(BadRequest::WrongKey);
        }
        let read = CertificateSigningRequestParams::from_der(&der).map_err(|error| match error {
            rcgen::Error::InvalidCertificationRequestSignature => BadRequest::WrongSignature,
            rcgen::Error::UnsupportedSignatureAlgorithm => BadRequest::WrongKey,
            _ => BadRequest::Unreadable,
        })?;
        // The kind is read from the signature there: SHA-384 by a key of P-256 would be written down as P-384.
        if read.public_key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256 {
            return Err(BadRequest::WrongKey);
        }
        let sha256 = hex(digest(&SHA256, read.public_key.der_bytes()).as_ref());
        Ok(Self { public_key: read.public_key, sha256 })
    }

    /// SHA-256 of the public key in lower-case hex: whether it is the same device again.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

fn is_p256(key: &SubjectPublicKeyInfo<'_>) -> bool {
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve.is_some_and(|curve| curve == OID_EC_P256)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};
    use rustls_pki_types::pem::PemObject as _;

    use super::*;

    fn request_by(key: &KeyPair) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "somebody else");
        params.serialize_request(key).unwrap().pem().unwrap()
    }

    #[test]
    fn the_key_of_a_request_is_known_again() {
        let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let read = |key: &KeyPair| DeviceKey::of_request(&request_by(key)).unwrap();
        assert_eq!(read(&one).sha256(), read(&one).sha256());
        assert_ne!(read(&one).sha256(), read(&other).sha256());
    }

    #[test]
    fn what_is_no_good_request_is_refused_with_a_cure() {
        let check = |pem: &str, why: BadRequest| {
            assert_eq!(DeviceKey::of_request(pem), Err(why), "{pem}");
            assert!(why.to_string().contains("cure: "));
        };
        check("", BadRequest::Unreadable);
        check("nonsense", BadRequest::Unreadable);
        let key = KeyPair::generate().unwrap();
        check(&key.serialize_pem(), BadRequest::Unreadable);
        let good = request_by(&key);
        check(good.split_at(good.len() / 2).0, BadRequest::Unreadable);
        for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            check(&request_by(&KeyPair::generate_for(algorithm).unwrap()), BadRequest::WrongKey);
        }
        check(RSA, BadRequest::WrongKey);
        let der = CertificateSigningRequestDer::from_pem_slice(good.as_bytes()).unwrap();
        let mut bytes = der.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        check(&pem_of(&bytes), BadRequest::WrongSignature);
        bytes[last] ^= 1;
        bytes.push(0);
        check(&pem_of(&bytes), BadRequest::Unreadable);
    }

    fn pem_of(der: &[u8]) -> String {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")
    }

    /// `openssl req -new -newkey rsa:2048 -nodes -subj /CN=nyeri-01`.
    const RSA: &str = "\
-----BEGIN CERTIFICATE REQUEST-----
MIICWDCCAUACAQAwEzERMA8GA1UEAwwIbnllcmktMDEwggEiMA0GCSqGSIb3DQEB
AQUAA4IBDwAwggEKAoIBAQC2fACnT/kJmseCb+z3nnAglpHDnV61jfLWn327DMe2
6q1pT8QMtN5HFRKmLGblacsAYtuK0PON8UgDsJ3X16DaIj9PA4rG6alIo3w46F5s
8M8Mn4h+MzxMSg7bdIm7Sd8jkrGteCcL52z6FnsxoXFhK/w9bBME7FUUM+h3ndRo
joR7sz6AXtWreqchggcLRiQEGtYALeUJGIkztab2ze34iNUD8U+BFrk1NaK79rda
l85Gp1zwIlJiRrHsHvlGTl49844EST7yInA/Fp/HrkE4Vk2Sdx6cMusS8zq5KkNV
25vFG+CW1ej6fc4FwxsT8DAeVKfbmxYOlKt4D7EwTXphAgMBAAGgADANBgkqhkiG
9w0BAQsFAAOCAQEALx0woxT8HTXU8plv4/ZGHLz+HXwX4xw1rUNh1B2uFacjXW5x
oBEYR5wUw+nw4kRPQB26vjvuOq4RsmatxuvyD0ECIe105jzZftgbkP3/xvxwRMIk
NV2u94KuByt6oLC4w1j/oRfD8yIuW39p4P2lO2w6+VTO+XZuvBVqloywFoew2+xh
H+2rWjmqCspUI+iHYZTB+olm9lPhpDYspCfr2HKcSGKj/B7+QIkP1AkS9/nTsY3l
dkLEMQ7HQwLW9ESc+5mEmY+4apIo4VzPwsZlhbzOuQ+2Zlzw6WMEqNBUXbyG3KNC
4Gqp1Tymx/0XXdDvLP3f33gOXrK45yQ4PXtywA==
-----END CERTIFICATE REQUEST-----
";

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = DeviceKey::of_request(&pem_of(&bytes));
        }
    }
}
