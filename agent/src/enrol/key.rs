//! The key of this device, and the request that asks head office to certify it.
//!
//! The key is made here and never leaves: what travels is a PKCS#10 request (RFC 2986), which proves that whoever asks has
//! it. The request is written by hand, as it has four fields; the libraries that write them would be larger than all else
//! that enrolment needs. Where the key rests is `identity/`'s business.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use tawi_shared::SiteId;
use thiserror::Error;
use zeroize::Zeroizing;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The attributes of a request; ours has none, and the field must be there all the same.
const ATTRIBUTES: u8 = 0xa0;
/// 1.2.840.10045.2.1, a key on an elliptic curve.
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7, the curve P-256.
const P_256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 1.2.840.10045.4.3.2, ECDSA over SHA-256.
const ECDSA_SHA_256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// 2.5.4.3, the attribute that is called common name.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// Letters of a line of PEM (RFC 7468, section 2).
const PEM_LINE: usize = 64;

/// Why a key cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The system gives no random numbers.
    #[error(
        "no key can be made: the system gives no random numbers\n  cure: wait until it has started up, and try again"
    )]
    NoRandom,
    /// The file holds no key of ours.
    #[error(
        "the key is none of P-256 in PKCS#8 form\n  cure: enrol anew with a new ticket: tawi-agent enrol --new-key"
    )]
    Unusable,
}

/// A key on the curve P-256. Never shown.
pub struct AgentKey {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentKey(***)")
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "ring makes keys and signatures from its own source, and takes no numbers"
)]
fn random() -> SystemRandom {
    SystemRandom::new()
}

impl AgentKey {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`KeyError::NoRandom`].
    pub fn generate() -> Result<Self, KeyError> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random())
            .map_err(|_| KeyError::NoRandom)?;
        Self::from_pkcs8(made.as_ref())
    }

    /// Reads what [`AgentKey::to_pem`] wrote.
    ///
    /// # Errors
    /// [`KeyError::Unusable`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        match PrivateKeyDer::from_pem_slice(pem) {
            Ok(PrivateKeyDer::Pkcs8(key)) => Self::from_pkcs8(key.secret_pkcs8_der()),
            _ => Err(KeyError::Unusable),
        }
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let random = random();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &random)
            .map_err(|_| KeyError::Unusable)?;
        Ok(Self { pkcs8: Zeroizing::new(pkcs8.to_vec()), pair, random })
    }

    /// As it stands in its file.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem("PRIVATE KEY", &self.pkcs8))
    }

    /// Its public half, as a SubjectPublicKeyInfo in DER form (RFC 5480, section 2).
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        let algorithm = [tagged(OBJECT_IDENTIFIER, EC_PUBLIC_KEY), tagged(OBJECT_IDENTIFIER, P_256)].concat();
        let algorithm = tagged(SEQUENCE, &algorithm);
        tagged(SEQUENCE, &[algorithm, bits(self.pair.public_key().as_ref())].concat())
    }

    /// The request for a certificate, in PEM form. The subject is for people: head office goes by the token, or by the
    /// certificate that it is asked with.
    ///
    /// # Errors
    /// [`KeyError::NoRandom`].
    pub fn request(&self, site: &SiteId) -> Result<String, KeyError> {
        let name = [tagged(OBJECT_IDENTIFIER, COMMON_NAME), tagged(UTF8_STRING, site.as_str().as_bytes())];
        let subject = tagged(SEQUENCE, &tagged(SET, &tagged(SEQUENCE, &name.concat())));
        let version = tagged(INTEGER, &[0]);
        let content = [version, subject, self.public_key(), tagged(ATTRIBUTES, &[])].concat();
        let content = tagged(SEQUENCE, &content);
        let signature = self.pair.sign(&self.random, &content).map_err(|_| KeyError::NoRandom)?;
        let algorithm = tagged(SEQUENCE, &tagged(OBJECT_IDENTIFIER, ECDSA_SHA_256));
        let whole = [content, algorithm, bits(signature.as_ref())].concat();
        Ok(pem("CERTIFICATE REQUEST", &tagged(SEQUENCE, &whole)))
    }
}

/// An element of DER. Ours are shorter than 64 KiB, as a request has nothing that could be longer.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let mut element = match (high, low) {
        (0, 0..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    element.extend_from_slice(content);
    element
}

/// A string of bits without bits to spare.
fn bits(content: &[u8]) -> Vec<u8> {
    tagged(BIT_STRING, &[&[0], content].concat())
}

fn pem(label: &str, der: &[u8]) -> String {
    let letters = Zeroizing::new(STANDARD.encode(der));
    // Of its full size from the start: growing would leave pieces of a key behind in memory.
    let mut text = String::with_capacity(letters.len() + letters.len() / PEM_LINE + 2 * label.len() + 64);
    text += "-----BEGIN ";
    text += label;
    text += "-----\n";
    let mut rest = letters.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at_checked(PEM_LINE).unwrap_or((rest, ""));
        text += line;
        text += "\n";
        rest = behind;
    }
    text += "-----END ";
    text += label;
    text += "-----\n";
    text
}

#[cfg(test)]
mod tests {
    use rcgen::PublicKeyData as _;
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer as _;

    use super::*;

    fn der_of(text: &str) -> Vec<u8> {
        let (_, block) = x509_parser::pem::parse_x509_pem(text.as_bytes()).unwrap();
        assert_eq!(block.label, "CERTIFICATE REQUEST");
        block.contents
    }

    #[test]
    fn another_library_reads_the_request_and_finds_its_signature_right() {
        let key = AgentKey::generate().unwrap();
        let der = der_of(&key.request(&SiteId::parse("nyeri-01").unwrap()).unwrap());
        let (rest, request) = X509CertificationRequest::from_der(&der).unwrap();
        assert!(rest.is_empty());
        request.verify_signature().unwrap();
        let content = &request.certification_request_info;
        assert_eq!(content.subject.to_string(), "CN=nyeri-01");
        assert_eq!(content.subject_pki.raw, key.public_key());

        // One bit of the key's own name for itself, and the signature is none any more.
        let mut other = der.clone();
        let at = other.windows(8).position(|window| window == b"nyeri-01").unwrap();
        other[at] ^= 1;
        let (_, request) = X509CertificationRequest::from_der(&other).unwrap();
        assert!(request.verify_signature().is_err());
    }

    #[test]
    fn a_key_is_read_back_by_us_and_by_another_library_and_is_never_shown() {
        let key = AgentKey::generate().unwrap();
        let pem = key.to_pem();
        let again = AgentKey::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        let theirs = rcgen::KeyPair::from_pem(&pem).unwrap();
        assert_eq!(theirs.subject_public_key_info(), key.public_key());
        assert_eq!(format!("{key:?}"), "AgentKey(***)");
        assert_ne!(AgentKey::generate().unwrap().public_key(), key.public_key());
        assert!(pem.lines().all(|line| line.len() <= PEM_LINE), "{} lines", pem.lines().count());
    }

    #[test]
    fn what_is_no_key_of_ours_is_refused() {
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
        for pem in ["", "nonsense", &other, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
        {
            assert!(matches!(AgentKey::from_pem(pem.as_bytes()), Err(KeyError::Unusable)));
        }
    }

    #[test]
    fn lengths_take_the_fewest_bytes_that_hold_them() {
        let check = |length: usize, head: &[u8]| {
            let made = tagged(SEQUENCE, &vec![7; length]);
            assert_eq!((made.get(..head.len()).unwrap(), made.len()), (head, head.len() + length));
        };
        check(0, &[0x30, 0]);
        check(127, &[0x30, 127]);
        check(128, &[0x30, 0x81, 128]);
        check(255, &[0x30, 0x81, 255]);
        check(256, &[0x30, 0x82, 1, 0]);
    }
}
