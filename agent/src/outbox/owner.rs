//! Whose store this is: the site's name in the file `site` of the state directory.
//!
//! Records in the store name no site, and the identity beside it can be damaged or replaced. Without this file what one site
//! used would be told as another's. The agent writes it at its first start, and enrolment takes it away with the store. It
//! decides nothing: `run.rs` and `cli/enrol.rs` say what a stranger's store means.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tawi_shared::SiteId;
use thiserror::Error;

use super::directory::sync_directory;
use crate::rights::cure_of;

/// The file in the state directory.
const SITE: &str = "site";
/// The longest name with its line end, several times over.
const FILE_BYTES: u64 = 1_024;

/// Why nobody can say whose store it is, or why it is not ours.
#[derive(Debug, Error)]
pub enum OwnerError {
    /// It is another site's.
    #[error(
        "{}: what is kept there is {kept}'s, and the settings are those of {site}\n  cure: correct site in agent.toml; or, if this device is {site} from now on, tawi-agent enrol --replace with a ticket of {site}, or, with a bundle, move store and site out of that directory", directory.display()
    )]
    Another {
        /// The state directory.
        directory: PathBuf,
        /// Whose it is.
        kept: SiteId,
        /// Who we are.
        site: SiteId,
    },
    /// The file cannot be read.
    #[error(
        "{}: it does not say whose store is beside it: {source}\n  cure: {}", path.display(), cure_of(source)
    )]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What stands in it is not what the agent wrote.
    #[error(
        "{}: it is damaged, and does not say whose store is beside it\n  cure: write the name of the site into it whose store that is: echo nyeri-01 | sudo tee {}", .0.display(), .0.display()
    )]
    Damaged(PathBuf),
}

/// Whose store is in this state directory; `None` where no agent that knows of the file ran yet. A name without its line end
/// is not what the agent wrote: whatever word a damaged file begins with is no site.
///
/// # Errors
/// [`OwnerError::Unreadable`] and [`OwnerError::Damaged`].
pub fn owner_of(state_directory: &Path) -> Result<Option<SiteId>, OwnerError> {
    let path = state_directory.join(SITE);
    let unreadable = |source| OwnerError::Unreadable { path: path.clone(), source };
    let length = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(unreadable)?.len(),
    };
    let bytes = if length > FILE_BYTES { Vec::new() } else { fs::read(&path).map_err(unreadable)? };
    let name = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let site = name.and_then(|name| SiteId::parse(name).ok());
    site.map(Some).ok_or(OwnerError::Damaged(path))
}

/// Refuses a store of another site.
///
/// # Errors
/// [`OwnerError`].
pub fn check_owner(state_directory: &Path, site: &SiteId) -> Result<(), OwnerError> {
    match owner_of(state_directory)? {
        Some(kept) if kept != *site => {
            Err(OwnerError::Another { directory: state_directory.to_path_buf(), kept, site: site.clone() })
        }
        _ => Ok(()),
    }
}

/// Writes whose store it is, where nothing says so yet: whole or not at all.
///
/// # Errors
/// Why the system refuses.
pub fn note_owner(state_directory: &Path, site: &SiteId) -> io::Result<()> {
    let path = state_directory.join(SITE);
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let beside = state_directory.join(format!("{SITE}.part"));
    let mut file = File::create(&beside)?;
    writeln!(file, "{site}")?;
    file.sync_all()?;
    fs::rename(&beside, &path)?;
    sync_directory(state_directory)
}

/// Forgets whose store it was, once that is elsewhere.
///
/// # Errors
/// Why the system refuses.
pub fn forget_owner(state_directory: &Path) -> io::Result<()> {
    match fs::remove_file(state_directory.join(SITE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_directory(state_directory),
    }
}

#[cfg(test)]
mod tests {
    use tawi_shared::IdSource;

    use super::*;

    #[test]
    fn a_store_is_of_the_site_that_was_there_first_until_it_is_elsewhere() {
        let directory = std::env::temp_dir().join(format!("tawi-owner-{}", IdSource::system().hex(6)));
        fs::create_dir(&directory).unwrap();
        let [nyeri, thika] = ["nyeri-01", "thika-02"].map(|name| SiteId::parse(name).unwrap());
        assert_eq!(owner_of(&directory).unwrap(), None);
        check_owner(&directory, &nyeri).unwrap();
        // What a power cut left of an earlier try is in nobody's way.
        fs::write(directory.join("site.part"), "thi").unwrap();
        note_owner(&directory, &nyeri).unwrap();
        note_owner(&directory, &thika).unwrap();
        assert_eq!(owner_of(&directory).unwrap(), Some(nyeri.clone()));
        check_owner(&directory, &nyeri).unwrap();
        let refused = check_owner(&directory, &thika).unwrap_err();
        assert!(matches!(&refused, OwnerError::Another { kept, .. } if *kept == nyeri));
        assert!(refused.to_string().contains("cure: "), "{refused}");
        forget_owner(&directory).unwrap();
        forget_owner(&directory).unwrap();
        check_owner(&directory, &thika).unwrap();
        for damaged in [&b""[..], b"two names\n", b"garbage", b"\xff\xfe\n", &[b'x'; 2_000]] {
            fs::write(directory.join("site"), damaged).unwrap();
            let error = owner_of(&directory).unwrap_err();
            assert!(matches!(error, OwnerError::Damaged(_)), "{error}");
            assert!(error.to_string().contains("| sudo tee "), "{error}");
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
