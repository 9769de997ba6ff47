//! The `SecurityCredential` of an API operator: its password, encrypted to the key of Safaricom's certificate.
//!
//! RSA with PKCS#1 v1.5 padding (RFC 8017, 7.2.1), since Safaricom takes nothing else. Only the certificate's key counts:
//! the sandbox's certificate ended in 2016 and is in use, so its dates are for `doctor` to speak of. This encrypts and
//! nothing else: it neither signs nor decrypts. Whose password it is stands in `settings`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use num_bigint::BigUint;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use tawi_shared::UnixMillis;
use tawi_shared::ids::hex;
use thiserror::Error;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::plain::line_of;

/// Keys that are taken, in bits: Safaricom's have 2048, less is broken, and more than 4096 nobody uses.
const BITS: std::ops::RangeInclusive<u64> = 2_048..=4_096;
/// The longest public exponent, in bits: 65537 has 17. A long one would cost as much as a private key.
const EXPONENT_BITS: u64 = 33;
/// What the padding takes at least: three fixed bytes and eight random ones.
const PADDING_BYTES: usize = 11;
/// Draws from the random source before it is given up; one in 256 bytes is zero and drawn anew, so that two are enough.
const DRAWS: usize = 16;
/// How much is kept of whom a certificate was made out to.
const SUBJECT_CHARACTERS: usize = 200;

/// The SHA-256 of the moduli of Safaricom's two keys, in hex, as public clients of Daraja carry the certificates.
const SANDBOX_KEY: &str = "d39e819f22a5ae7fb451598fbbcd0bd05a03ca0099c755e28da60bd580582467";
const PRODUCTION_KEY: &str = "1f5e06762aeb8ffded412f26145eea7b4037f866cdadec4791c0ac2d0eba2b81";

/// A certificate's key, with what is worth telling of the certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct OperatorKey {
    modulus: BigUint,
    exponent: BigUint,
    /// Bytes of the modulus, and of everything that is encrypted.
    bytes: usize,
    subject: String,
    ends_at: UnixMillis,
}

/// Whose key it is, as far as the key itself is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mpesa) enum KeyOf {
    /// Of `sandbox.safaricom.co.ke`.
    Sandbox,
    /// Of `api.safaricom.co.ke`.
    Production,
    /// One that this release has not seen: Safaricom may have changed it.
    Unknown,
}

/// Why a file is no certificate that can be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NotACertificate {
    /// Not in either form.
    #[error("it is no X.509 certificate, neither in PEM nor in DER")]
    Form,
    /// Another kind of key.
    #[error("its key is no RSA key")]
    NotRsa,
    /// Too small or too large.
    #[error("its key has {0} bits, and {least} to {most} are taken", least = BITS.start(), most = BITS.end())]
    Size(u64),
    /// A key that nothing can be encrypted to.
    #[error("its key is damaged")]
    Damaged,
}

/// Why a password was not encrypted.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NotEncrypted {
    /// It does not fit into the key.
    #[error("the operator's password is too long for the key of the certificate")]
    TooLong,
    /// The machine gave no random bytes.
    #[error("the machine's random source does not answer")]
    Random,
}

impl OperatorKey {
    /// Reads a certificate in PEM or DER.
    ///
    /// # Errors
    /// [`NotACertificate`].
    pub(super) fn read(file: &[u8]) -> Result<Self, NotACertificate> {
        let text = file.trim_ascii();
        let pem;
        let der = if text.starts_with(b"-----BEGIN") {
            pem = parse_x509_pem(text).map_err(|_| NotACertificate::Form)?.1;
            pem.contents.as_slice()
        } else {
            file
        };
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| NotACertificate::Form)?;
        let key = match certificate.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => key,
            Ok(_) => return Err(NotACertificate::NotRsa),
            Err(_) => return Err(NotACertificate::Damaged),
        };
        let modulus = BigUint::from_bytes_be(key.modulus);
        let exponent = BigUint::from_bytes_be(key.exponent);
        if !BITS.contains(&modulus.bits()) {
            return Err(NotACertificate::Size(modulus.bits()));
        }
        let is_usable = modulus.bit(0) && exponent.bit(0) && (2..=EXPONENT_BITS).contains(&exponent.bits());
        let bytes = usize::try_from(modulus.bits().div_ceil(8)).map_err(|_| NotACertificate::Damaged)?;
        let seconds = certificate.validity().not_after.timestamp();
        is_usable
            .then(|| Self {
                modulus,
                exponent,
                bytes,
                subject: line_of(&certificate.subject().to_string(), SUBJECT_CHARACTERS),
                ends_at: UnixMillis(seconds.saturating_mul(1_000)),
            })
            .ok_or(NotACertificate::Damaged)
    }

    /// Encrypts a password; each time to another text, any of which does.
    ///
    /// # Errors
    /// [`NotEncrypted`].
    pub(super) fn encrypt(&self, password: &[u8]) -> Result<String, NotEncrypted> {
        if !self.has_room_for(password) {
            return Err(NotEncrypted::TooLong);
        }
        let length = self.bytes.saturating_sub(password.len()).saturating_sub(3);
        let padding = non_zero_bytes(length)?;
        let block = [&[0, 2], padding.as_slice(), &[0], password].concat();
        // The exponent is public and short. How long this takes tells at most of the padded block, and only somebody on
        // this machine.
        let number = BigUint::from_bytes_be(&block).modpow(&self.exponent, &self.modulus).to_bytes_be();
        let mut encrypted = vec![0; self.bytes.saturating_sub(number.len())];
        encrypted.extend_from_slice(&number);
        Ok(STANDARD.encode(encrypted))
    }

    /// Whether a password fits in.
    pub(super) fn has_room_for(&self, password: &[u8]) -> bool {
        password.len().saturating_add(PADDING_BYTES) <= self.bytes
    }

    /// Whose key it is.
    pub(in crate::mpesa) fn is_of(&self) -> KeyOf {
        match hex(digest(&SHA256, &self.modulus.to_bytes_be()).as_ref()).as_str() {
            SANDBOX_KEY => KeyOf::Sandbox,
            PRODUCTION_KEY => KeyOf::Production,
            _ => KeyOf::Unknown,
        }
    }

    /// Whom the certificate was made out to.
    pub(in crate::mpesa) fn subject(&self) -> &str {
        &self.subject
    }

    /// Until when the certificate says that it is good.
    pub(in crate::mpesa) fn ends_at(&self) -> UnixMillis {
        self.ends_at
    }
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorKey({} bits, {:?})", self.modulus.bits(), self.subject)
    }
}

/// Random bytes without a zero, which would end the padding.
#[expect(clippy::disallowed_methods, reason = "this is no id: what hides a password never comes from a seed")]
fn non_zero_bytes(length: usize) -> Result<Vec<u8>, NotEncrypted> {
    let random = SystemRandom::new();
    let mut padding = Vec::with_capacity(length);
    let mut drawn = vec![0; length];
    for _ in 0..DRAWS {
        random.fill(&mut drawn).map_err(|_| NotEncrypted::Random)?;
        padding.extend(drawn.iter().copied().filter(|byte| *byte != 0));
        if padding.len() >= length {
            padding.truncate(length);
            return Ok(padding);
        }
    }
    Err(NotEncrypted::Random)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DER: &[u8] = include_bytes!("data/test_certificate.cer");
    const KEY: &str = include_str!("../../../../tests/simulators/daraja-sim/data/operator_test_key.txt");

    fn number(name: &str) -> BigUint {
        let line = KEY.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        BigUint::parse_bytes(line.trim().as_bytes(), 16).unwrap()
    }

    /// What the private key makes of it: the block with its padding.
    fn decrypted(credential: &str) -> Vec<u8> {
        let encrypted = STANDARD.decode(credential).unwrap();
        assert_eq!(encrypted.len(), 256);
        let number =
            BigUint::from_bytes_be(&encrypted).modpow(&number("private_exponent"), &number("modulus"));
        number.to_bytes_be()
    }

    #[test]
    fn who_holds_the_private_key_reads_the_password_and_nobody_sees_the_same_text_twice() {
        let key = OperatorKey::read(DER).unwrap();
        for password in ["a", "Safe#House%9&$", &"x".repeat(245)] {
            let credential = key.encrypt(password.as_bytes()).unwrap();
            assert_ne!(credential, key.encrypt(password.as_bytes()).unwrap());
            let block = decrypted(&credential);
            // The first byte is zero, and no number begins with one.
            assert_eq!((block.len(), block[0]), (255, 2));
            let end = block.iter().position(|byte| *byte == 0).unwrap();
            assert!(end >= 9, "at least eight random bytes");
            assert_eq!(&block[end + 1..], password.as_bytes());
        }
        let too_long = key.encrypt(&[b'x'; 246]);
        assert_eq!(too_long, Err(NotEncrypted::TooLong));
    }

    #[test]
    fn both_forms_of_a_certificate_give_the_same_key() {
        let pem = include_bytes!("../../../../tests/simulators/daraja-sim/data/operator_certificate.pem");
        let key = OperatorKey::read(DER).unwrap();
        assert_eq!(OperatorKey::read(pem).unwrap(), key);
        let with_windows_ends = String::from_utf8_lossy(pem).replace('\n', "\r\n");
        assert_eq!(OperatorKey::read(with_windows_ends.as_bytes()).unwrap(), key);
        assert_eq!((key.is_of(), key.bytes), (KeyOf::Unknown, 256));
        assert!(key.subject().contains("for tests only") && key.ends_at() > UnixMillis(0));
        assert!(!format!("{key:?}").contains(&number("modulus").to_string()));
    }

    #[test]
    fn what_is_no_certificate_is_refused_by_name() {
        let check = |file: &[u8], expected| assert_eq!(OperatorKey::read(file), Err(expected));
        check(b"", NotACertificate::Form);
        check(b"hush-hush", NotACertificate::Form);
        check(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", NotACertificate::Form);
        check(&DER[..400], NotACertificate::Form);
        check(include_bytes!("data/test_small.pem"), NotACertificate::Size(1_024));
        check(include_bytes!("data/test_ec.pem"), NotACertificate::NotRsa);
    }

    #[test]
    fn padding_has_no_zero_in_it() {
        assert_eq!(non_zero_bytes(0), Ok(Vec::new()));
        let bytes = non_zero_bytes(10_000).unwrap();
        assert!(bytes.len() == 10_000 && !bytes.contains(&0));
    }
}
