//! Release files in the data directory: one file for each, named by its hash, as it is sent.
//!
//! A file is whole and what its manifest says before it gets its name. Parts are read from where they are, so that serving one
//! costs as much memory as it has bytes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use tawi_shared::release::{BadRelease, FILE_HEAD_BYTES, Manifest, PART_BYTES, ReleaseKey, Sha256, Signed};
use thiserror::Error;

/// Copied and hashed in such pieces.
const PIECE: usize = 64 * 1024;

/// Why a release file is not taken.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is none, or nobody's.
    #[error("{}: {source}", path.display())]
    Bad {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: BadRelease,
    },
    /// What follows the manifest is not what it says.
    #[error("{}: it is damaged: what follows the manifest is not what was signed", .0.display())]
    Damaged(PathBuf),
}

impl FileError {
    /// What a person does about it.
    #[must_use]
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Disk { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "name the file that tawi-controller release sign made"
            }
            Self::Disk { .. } => {
                "make it readable for the controller's user, and look whether the disk is full"
            }
            Self::Bad { source: BadRelease::Stranger, .. } => {
                "sign it with the key whose public half is release_key under [upgrade] in controller.toml; if another key is to be \
                 trusted from now on, write that there"
            }
            Self::Bad { source: BadRelease::Manifest | BadRelease::TooLarge, .. } => {
                "sign it with this version of tawi-controller, or upgrade the controller first"
            }
            Self::Bad { source: BadRelease::NoFile, .. } => {
                "name the file that tawi-controller release sign made, copied whole"
            }
            Self::Damaged(_) => "copy it again from the builder's machine",
        }
    }
}

/// Copies what a release file holds into the directory, if `key` signed it and it is whole.
///
/// # Errors
/// [`FileError`].
pub fn take(path: &Path, directory: &Path, key: &ReleaseKey) -> Result<(Signed, Manifest), FileError> {
    let disk = |source| FileError::Disk { path: path.to_path_buf(), source };
    let bad = |source| FileError::Bad { path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(disk)?;
    let mut head = Vec::with_capacity(FILE_HEAD_BYTES);
    let most = u64::try_from(FILE_HEAD_BYTES).unwrap_or(u64::MAX);
    Read::by_ref(&mut file).take(most).read_to_end(&mut head).map_err(disk)?;
    let (signed, head_bytes) = Signed::read_file_head(&head).map_err(bad)?;
    let manifest = signed.verified(std::slice::from_ref(key)).map_err(bad)?;
    file.seek(SeekFrom::Start(u64::try_from(head_bytes).unwrap_or(0))).map_err(disk)?;
    let kept = |source| FileError::Disk { path: directory.to_path_buf(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(kept)?;
    let beside = directory.join("release.new");
    let (bytes, sha256) = copy(file, &beside, manifest.file_bytes).map_err(kept)?;
    if (bytes, sha256) != (manifest.file_bytes, manifest.file_sha256) {
        let _ = fs::remove_file(&beside);
        return Err(FileError::Damaged(path.to_path_buf()));
    }
    fs::rename(&beside, directory.join(sha256.to_string())).map_err(kept)?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(kept)?;
    Ok((signed, manifest))
}

/// Copies at most one byte more than there should be.
fn copy(from: File, to: &Path, expected: u64) -> io::Result<(u64, Sha256)> {
    let mut from = from.take(expected.saturating_add(1));
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let (mut hash, mut bytes, mut piece) = (Context::new(&SHA256), 0_u64, vec![0; PIECE]);
    loop {
        let read = from.read(&mut piece)?;
        let Some(some) = piece.get(..read).filter(|some| !some.is_empty()) else { break };
        hash.update(some);
        out.write_all(some)?;
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    out.sync_all()?;
    Ok((bytes, Sha256::from_digest(&hash.finish())))
}

/// Reads a part of a file; less than was asked for at its end, and nothing beyond.
///
/// # Errors
/// When there is no such file, or the disk refuses.
pub fn part(directory: &Path, file: Sha256, offset: u64, length: u32) -> io::Result<Vec<u8>> {
    let file = File::open(directory.join(file.to_string()))?;
    let left = file.metadata()?.len().saturating_sub(offset);
    let length = u64::from(length.min(PART_BYTES)).min(left);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// Removes a file; one that is not there is removed already.
///
/// # Errors
/// Why the system refuses.
pub fn remove(directory: &Path, file: Sha256) -> io::Result<()> {
    match fs::remove_file(directory.join(file.to_string())) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
