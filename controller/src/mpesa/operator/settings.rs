//! The keys of `[mpesa]` that an API operator needs: as written, then valid by construction.
//!
//! All three or none. The password comes out of a file of its own and is hidden in `Debug`; the certificate is public. A
//! password with characters that Safaricom does not take is no reason not to start: `doctor` warns of it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::credential::{NotACertificate, OperatorKey};
use crate::mpesa::settings::{MpesaSettingsError, Secret, secret};

/// The key of the password's file.
pub(in crate::mpesa) const PASSWORD_KEY: &str = "initiator_password_file";
/// The longest name of an operator that is taken; the portal's own limit is not published.
const NAME_BYTES: usize = 64;
/// The largest certificate that is read; Safaricom's have less than 3 KiB.
const CERTIFICATE_BYTES: u64 = 64 * 1024;
/// The special characters that Safaricom takes in an operator's password.
const SPECIAL: &str = "#&%$";

/// The names of the keys that are an operator's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    name: &'static str,
    pub(in crate::mpesa) password_file: &'static str,
}

/// Of whoever asks on behalf of a short code.
pub(in crate::mpesa) const KEYS: Keys = Keys { name: "initiator_name", password_file: PASSWORD_KEY };
/// Of whoever pays phones on behalf of another short code.
pub(in crate::mpesa) const PAYOUT_KEYS: Keys =
    Keys { name: "payout_initiator_name", password_file: "payout_initiator_password_file" };

/// The keys as written.
#[derive(Clone, Copy, Debug)]
pub(in crate::mpesa) struct RawOperator<'a> {
    pub(in crate::mpesa) keys: Keys,
    pub(in crate::mpesa) name: Option<&'a str>,
    pub(in crate::mpesa) password_file: Option<&'a Path>,
    pub(in crate::mpesa) certificate_file: Option<&'a Path>,
}

/// Who asks Safaricom on our behalf, and the key that its password is encrypted to.
#[derive(Clone, Debug)]
pub struct OperatorSettings {
    name: String,
    password: Secret,
    key: OperatorKey,
}

/// Why the keys cannot be used; each names the key and what to write.
#[derive(Debug, Error)]
pub enum OperatorSettingsError {
    /// Some of the keys are there, and not all.
    #[error(
        "[mpesa] {missing}: an API operator needs {}, {} and certificate_file: write all three, or none",
        keys.name, keys.password_file
    )]
    Missing {
        /// Which is not there.
        missing: &'static str,
        /// Whose.
        keys: Keys,
    },
    /// The name is not one.
    #[error("[mpesa] {0}: copy the user name of the API operator from Safaricom's organisation portal")]
    Name(&'static str),
    /// There is an operator for a short code that is not said.
    #[error("[mpesa] payout_short_code: write out of which short code {} pays", PAYOUT_KEYS.name)]
    NoPayout,
    /// The certificate cannot be read.
    #[error("[mpesa] certificate_file: reading {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate cannot be used.
    #[error(
        "[mpesa] certificate_file: {path}: {source}: download Safaricom's certificate of the same environment from the \
         Daraja portal, as .cer or PEM"
    )]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NotACertificate,
    },
    /// The password does not fit into the key.
    #[error("[mpesa] {0}: the password is longer than the certificate's key can encrypt")]
    TooLong(&'static str),
}

/// Checks the keys and reads the files; `None` when there is no operator.
///
/// # Errors
/// [`MpesaSettingsError`] names the key and the cure.
pub(in crate::mpesa) fn check(
    raw: &RawOperator<'_>,
    directory: &Path,
) -> Result<Option<OperatorSettings>, MpesaSettingsError> {
    let keys = raw.keys;
    let missing = |missing| Err(OperatorSettingsError::Missing { missing, keys }.into());
    let (name, password_file, certificate_file) = match (raw.name, raw.password_file, raw.certificate_file) {
        (None, None, None) => return Ok(None),
        (Some(name), Some(password_file), Some(certificate_file)) => {
            (name.trim(), password_file, certificate_file)
        }
        (None, _, _) => return missing(keys.name),
        (_, None, _) => return missing(keys.password_file),
        (_, _, None) => return missing("certificate_file"),
    };
    if name.is_empty() || name.len() > NAME_BYTES || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(OperatorSettingsError::Name(keys.name).into());
    }
    let password = secret(keys.password_file, directory, password_file)?;
    let path = directory.join(certificate_file);
    let file =
        read_bounded(&path).map_err(|source| OperatorSettingsError::Read { path: path.clone(), source })?;
    let key =
        OperatorKey::read(&file).map_err(|source| OperatorSettingsError::Certificate { path, source })?;
    if !key.has_room_for(password.reveal().as_bytes()) {
        return Err(OperatorSettingsError::TooLong(keys.password_file).into());
    }
    Ok(Some(OperatorSettings { name: name.to_owned(), password, key }))
}

/// A file, no further than a certificate reaches: what is cut is none.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(CERTIFICATE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl OperatorSettings {
    /// The operator's user name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether both sign in alike. Two organisations may have operators of the same name.
    #[must_use]
    pub fn signs_in_like(&self, other: &Self) -> bool {
        self.name == other.name && self.password.reveal() == other.password.reveal()
    }

    /// The password, to be encrypted.
    pub(super) fn password(&self) -> &Secret {
        &self.password
    }

    /// The key of Safaricom's certificate.
    pub(in crate::mpesa) fn key(&self) -> &OperatorKey {
        &self.key
    }

    /// Characters of the password that Safaricom is known not to take: it says "initiator information is invalid" then.
    pub(in crate::mpesa) fn strange_characters(&self) -> String {
        let is_strange = |c: &char| !c.is_ascii_alphanumeric() && !SPECIAL.contains(*c);
        let mut strange: Vec<char> = self.password.reveal().chars().filter(is_strange).collect();
        strange.sort_unstable();
        strange.dedup();
        strange.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TemporaryDirectory;

    const PEM: &[u8] =
        include_bytes!("../../../../tests/simulators/daraja-sim/data/operator_certificate.pem");
    const DER: &[u8] = include_bytes!("data/test_certificate.cer");

    fn checked(
        name: Option<&str>,
        password: Option<&str>,
        certificate: Option<&[u8]>,
    ) -> Result<Option<OperatorSettings>, String> {
        let directory = TemporaryDirectory::new();
        if let Some(password) = password {
            directory.write_secret("password", password);
        }
        if let Some(certificate) = certificate {
            std::fs::write(directory.path().join("certificate"), certificate).unwrap();
        }
        let raw = RawOperator {
            keys: KEYS,
            name,
            password_file: password.map(|_| Path::new("password")),
            certificate_file: certificate.map(|_| Path::new("certificate")),
        };
        check(&raw, directory.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_operator_is_three_keys_or_none_and_its_password_is_hidden() {
        assert!(checked(None, None, None).unwrap().is_none());
        for certificate in [PEM, DER] {
            let operator = checked(Some(" api-op "), Some("Hush#1\r\n"), Some(certificate)).unwrap().unwrap();
            assert_eq!((operator.name(), operator.password().reveal()), ("api-op", "Hush#1"));
            let shown = format!("{operator:?}");
            assert!(!shown.contains("Hush#1") && shown.contains("2048 bits"), "{shown}");
        }
    }

    #[test]
    fn each_mistake_names_its_key_and_the_cure() {
        fn refused(name: Option<&str>, password: Option<&str>, file: Option<&[u8]>, words: [&str; 2]) {
            let error = checked(name, password, file).unwrap_err();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
        let (name, password) = (Some("api-op"), Some("hush"));
        refused(None, password, Some(PEM), ["initiator_name", "all three"]);
        refused(name, None, Some(PEM), ["initiator_password_file", "all three"]);
        refused(name, password, None, ["certificate_file", "all three"]);
        refused(Some(""), password, Some(PEM), ["initiator_name", "portal"]);
        refused(Some("two words"), password, Some(PEM), ["initiator_name", "portal"]);
        refused(name, Some("a\nb"), Some(PEM), ["initiator_password_file", "one line"]);
        let long = "x".repeat(246);
        refused(name, Some(long.as_str()), Some(PEM), ["initiator_password_file", "longer"]);
        refused(name, password, Some(b"junk"), ["certificate_file", "no X.509 certificate"]);
        refused(
            name,
            password,
            Some(include_bytes!("data/test_small.pem")),
            ["certificate_file", "1024 bits, and 2048 to 4096"],
        );
        refused(name, password, Some(include_bytes!("data/test_ec.pem")), ["certificate_file", "no RSA key"]);
    }

    #[test]
    fn characters_that_safaricom_does_not_take_are_found_and_taken() {
        let strange = |password: &str| {
            checked(Some("api-op"), Some(password), Some(PEM)).unwrap().unwrap().strange_characters()
        };
        assert_eq!(strange("Safe#House%9&$"), "");
        assert_eq!(strange("Saf.e@House(9)@"), "().@");
    }
}
