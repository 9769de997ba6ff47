//! What a release of the agent is: the manifest that is signed, the signature, the file that holds both, and versions.
//!
//! ```text
//! builder's machine: binary ──deflate──▶ manifest (what and for whom) ──ed25519──▶ FILE.release
//! head office:       keeps it and serves its parts; it has no key and can make none
//! agent:             trusts the keys that it was given, reads the manifest as it was signed, and nothing else
//! ```
//!
//! The manifest travels and is kept as the very bytes that were signed, so that nobody has to write it the same way twice; it
//! is JSON, whose unknown fields are a later release's. Pure: no socket, no file. Whether an agent takes a release is the
//! agent's `upgrade/judge.rs`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

mod mark;
mod version;

pub use mark::{MARK_BEGIN, Mark};
pub use version::Version;

/// The most bytes of a manifest; ours has some 600.
pub const MANIFEST_BYTES: usize = 4 * 1_024;
/// The largest program, in bytes: ten times ours.
pub const BINARY_BYTES: u64 = 64 * 1_024 * 1_024;
/// The same compressed.
pub const FILE_BYTES: u64 = 32 * 1_024 * 1_024;
/// The most bytes of one part; an envelope has 64 KiB, and a metered line is not to be blocked for long.
pub const PART_BYTES: u32 = 16 * 1_024;
/// The least of one but the last: less would be around more than in it, in messages and on flash.
pub const PART_LEAST: u32 = 512;
/// Bytes of an ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;
/// How a public key begins as text.
pub const KEY_FORM: &str = "tawikey1.";
/// What is signed begins with this, so that no signature over anything else is one over a manifest.
const SIGNED_PREFIX: &[u8] = b"tawi agent release manifest 1\n";
/// How a release file begins.
const FILE_MAGIC: &[u8] = b"tawi-release-1\n";
/// Bytes of the manifest's length in a release file.
const LENGTH_BYTES: usize = 4;

/// SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_digest(&digest(&SHA256, bytes))
    }

    /// What a running digest ended with.
    #[must_use]
    pub fn from_digest(digest: &ring::digest::Digest) -> Self {
        let mut hash = [0; 32];
        hash.iter_mut().zip(digest.as_ref()).for_each(|(slot, byte)| *slot = *byte);
        Self(hash)
    }

    /// From 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut hash = [0; 32];
        for (slot, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            if pair.bytes().any(|digit| digit.is_ascii_uppercase() || digit == b'+') {
                return None;
            }
            *slot = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::ids::hex(&self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Sha256> for String {
    fn from(hash: Sha256) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for Sha256 {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a SHA-256 is 64 hexadecimal digits")
    }
}

/// What a release is, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Which version it is.
    pub version: Version,
    /// What it runs on, such as `aarch64-linux-gnu`.
    pub target: String,
    /// Size of the program, in bytes.
    pub binary_bytes: u64,
    /// Its hash.
    pub binary_sha256: Sha256,
    /// Size of what is sent (deflate, RFC 1951), in bytes.
    pub file_bytes: u64,
    /// Its hash.
    pub file_sha256: Sha256,
    /// When it was signed, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// The oldest version that may go to it at once.
    pub oldest_version: Version,
    /// The shape in which it leaves its store: who cannot read that could not go back.
    pub store_format: u32,
    /// The oldest contract that it speaks.
    pub protocol_oldest: u16,
    /// The newest.
    pub protocol_newest: u16,
    /// Whether a newer version may go back to it.
    #[serde(default)]
    pub allow_downgrade: bool,
}

/// A manifest as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// JSON.
    pub manifest: Vec<u8>,
    /// Ed25519, of the manifest's bytes behind a prefix of their own.
    pub signature: Vec<u8>,
}

/// Why a release is not one that may be used.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadRelease {
    /// No key of ours signed it.
    #[error("it is signed by none of the keys that are trusted here")]
    Stranger,
    /// What was signed is no manifest that this release understands.
    #[error("its manifest cannot be read; it may be of a later form")]
    Manifest,
    /// It is larger than any release may be.
    #[error("it is larger than a release may be")]
    TooLarge,
    /// The file is no release file, or is cut short.
    #[error("it is no release file, or its end is missing; copy the whole file again")]
    NoFile,
}

impl Signed {
    /// Reads the manifest if one of `keys` signed it.
    ///
    /// # Errors
    /// [`BadRelease`].
    pub fn verified(&self, keys: &[ReleaseKey]) -> Result<Manifest, BadRelease> {
        if !keys.iter().any(|key| key.has_signed(self)) {
            return Err(BadRelease::Stranger);
        }
        self.unverified()
    }

    /// Reads the manifest, whoever signed it: for tables, and where no key is known.
    ///
    /// # Errors
    /// [`BadRelease::Manifest`] or [`BadRelease::TooLarge`].
    pub fn unverified(&self) -> Result<Manifest, BadRelease> {
        if self.manifest.len() > MANIFEST_BYTES {
            return Err(BadRelease::TooLarge);
        }
        let manifest: Manifest = serde_json::from_slice(&self.manifest).map_err(|_| BadRelease::Manifest)?;
        let is_named = !manifest.target.is_empty() && manifest.target.len() <= mark::TARGET_BYTES;
        if !is_named || !mark::is_plain(&manifest.target) {
            return Err(BadRelease::Manifest);
        }
        let is_sized = (1..=BINARY_BYTES).contains(&manifest.binary_bytes)
            && (1..=FILE_BYTES).contains(&manifest.file_bytes);
        if is_sized { Ok(manifest) } else { Err(BadRelease::TooLarge) }
    }

    /// What stands before the compressed program in a release file.
    #[must_use]
    pub fn file_head(&self) -> Vec<u8> {
        let length = u32::try_from(self.manifest.len()).unwrap_or(u32::MAX).to_be_bytes();
        [FILE_MAGIC, &length, &self.manifest, &self.signature].concat()
    }

    /// Reads the head of a release file from its first bytes, [`FILE_HEAD_BYTES`] of them or as many as there are; with how long
    /// the head is.
    ///
    /// # Errors
    /// [`BadRelease::NoFile`] or [`BadRelease::TooLarge`].
    pub fn read_file_head(bytes: &[u8]) -> Result<(Self, usize), BadRelease> {
        let rest = bytes.strip_prefix(FILE_MAGIC).ok_or(BadRelease::NoFile)?;
        let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>().ok_or(BadRelease::NoFile)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| BadRelease::TooLarge)?;
        if length > MANIFEST_BYTES {
            return Err(BadRelease::TooLarge);
        }
        let (manifest, rest) = rest.split_at_checked(length).ok_or(BadRelease::NoFile)?;
        let signature = rest.get(..SIGNATURE_BYTES).ok_or(BadRelease::NoFile)?;
        let signed = Self { manifest: manifest.to_vec(), signature: signature.to_vec() };
        let head = FILE_MAGIC.len() + LENGTH_BYTES + length + SIGNATURE_BYTES;
        Ok((signed, head))
    }
}

/// The longest head of a release file.
pub const FILE_HEAD_BYTES: usize = FILE_MAGIC.len() + LENGTH_BYTES + MANIFEST_BYTES + SIGNATURE_BYTES;

/// Who may sign releases: a public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseKey([u8; 32]);

impl ReleaseKey {
    /// As it stands in settings.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{KEY_FORM}{}", URL_SAFE_NO_PAD.encode(self.0))
    }

    /// From settings; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.trim().strip_prefix(KEY_FORM)?;
        // More would be decoded only to be refused.
        if word.len() > 64 {
            return None;
        }
        URL_SAFE_NO_PAD.decode(word).ok()?.try_into().ok().map(Self)
    }

    fn has_signed(&self, signed: &Signed) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, &self.0);
        key.verify(&to_be_signed(&signed.manifest), &signed.signature).is_ok()
    }
}

impl From<ReleaseKey> for String {
    fn from(key: ReleaseKey) -> Self {
        key.to_text()
    }
}

impl TryFrom<String> for ReleaseKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a release key begins with tawikey1. and has 43 letters behind that")
    }
}

/// What signs releases. It belongs to a builder's machine and never to a server.
pub struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

impl SigningKey {
    /// From 32 random bytes; `None` where the library makes none of them.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// The half that everybody may know.
    #[must_use]
    pub fn public(&self) -> ReleaseKey {
        let mut key = [0; 32];
        key.iter_mut().zip(self.0.public_key().as_ref()).for_each(|(slot, byte)| *slot = *byte);
        ReleaseKey(key)
    }

    /// Signs a manifest.
    #[must_use]
    pub fn sign(&self, manifest: &Manifest) -> Signed {
        // It has neither maps with odd keys nor numbers that JSON lacks.
        let manifest = serde_json::to_vec(manifest).unwrap_or_default();
        let signature = self.0.sign(&to_be_signed(&manifest)).as_ref().to_vec();
        Signed { manifest, signature }
    }
}

fn to_be_signed(manifest: &[u8]) -> Vec<u8> {
    [SIGNED_PREFIX, manifest].concat()
}

#[cfg(test)]
mod tests;
