//! Releases for tests, and a shelf whose power is cut.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tawi_shared::IdSource;
use tawi_shared::release::{Manifest, Sha256, Signed, SigningKey};

use super::*;

/// Steps that are left; none is counted while it is negative.
#[derive(Clone, Debug)]
pub struct Power(Arc<AtomicI64>);

impl Default for Power {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(-1)))
    }
}

impl Power {
    pub fn is_cut(&self) -> bool {
        match self.0.load(Ordering::SeqCst) {
            0 => true,
            left => {
                self.0.store(if left < 0 { left } else { left - 1 }, Ordering::SeqCst);
                false
            }
        }
    }
}

pub fn gone() -> io::Error {
    io::Error::other("the power is gone")
}

impl Shelf {
    /// From now on so many steps are left.
    pub fn cut_after(&self, steps: i64) {
        self.power.0.store(steps, Ordering::SeqCst);
    }
}

/// A state directory, gone at the end.
pub struct Place(pub PathBuf);

impl Place {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tawi-releases-{}", IdSource::system().hex(6)));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32]).unwrap()
}

pub fn manifest_of(version: &str, program: &[u8], file: &[u8]) -> Manifest {
    let size = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap();
    let mark = crate::upgrade::Build::this().mark;
    Manifest {
        version: version.parse().unwrap(),
        target: mark.target,
        binary_bytes: size(program),
        binary_sha256: Sha256::of(program),
        file_bytes: size(file),
        file_sha256: Sha256::of(file),
        created_at_ms: 1,
        oldest_version: "0.0.1".parse().unwrap(),
        store_format: mark.store_format,
        protocol_oldest: mark.protocol_oldest,
        protocol_newest: mark.protocol_newest,
        allow_downgrade: false,
    }
}

/// A program, its file and its manifest.
pub fn release(version: &str, program: &[u8]) -> (Signed, Manifest, Vec<u8>) {
    let file = miniz_oxide::deflate::compress_to_vec(program, 6);
    let manifest = manifest_of(version, program, &file);
    (key().sign(&manifest), manifest, file)
}

pub fn kept_of(manifest: &Manifest, asked: u64) -> Kept {
    Kept::new(&key().sign(manifest), asked, None)
}
