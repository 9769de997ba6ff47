//! The data directory: made for us alone, never written to as root when it belongs to the controller's own user, and
//! brought up to date by one program at a time.
//!
//! `sudo tawi-controller staff add …` would otherwise leave files of root beside the database, and the next start of
//! the service would find that it may not open them.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::Context as _;

use super::Failure;
use crate::users::{PASSWD, user_name};

const ROOT: u32 = 0;

/// Makes the directory if it is not there, and refuses to be root in a directory of another.
pub(super) fn prepare(directory: &Path) -> Result<(), Failure> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
        let cure = "make it for the controller's user, or name another";
        let what = format!("data_directory: {} cannot be made: {error}", directory.display());
        Failure::Unavailable(anyhow::anyhow!("{what}\n  cure: {cure}"))
    })?;
    // The owner of our own entry in /proc is our effective user. Where there is no /proc nothing is known, or refused.
    let Ok(own) = fs::metadata("/proc/self") else { return Ok(()) };
    let owner = fs::metadata(directory)?.uid();
    if !would_lock_out(own.uid(), owner) {
        return Ok(());
    }
    // Users that come from elsewhere than this file are named as sudo takes them.
    let passwd = fs::read_to_string(PASSWD).unwrap_or_default();
    let name = user_name(&passwd, owner).map_or_else(|| format!("'#{owner}'"), str::to_owned);
    let problem = format!("data_directory: {} belongs to {name}", directory.display());
    let reason = "files made by root would lock the controller out of it";
    Err(Failure::refused(format!("{problem}, and {reason}\n  cure: sudo -u {name} tawi-controller …")))
}

/// Waits until no other program brings the database up to date; the turn is over when the answer is dropped, or its
/// holder dies. SQLite alone does not keep `serve` and `staff add` apart on a first start: both would find that there
/// are no tables, and the second fails over those of the first. The lock is on the directory itself, so that no file
/// is left over.
pub(super) async fn turn(directory: &Path) -> Result<File, Failure> {
    let path = directory.to_path_buf();
    let locked = tokio::task::spawn_blocking(move || {
        let directory = File::open(path)?;
        directory.lock()?;
        Ok::<_, std::io::Error>(directory)
    });
    let locked = locked.await?.with_context(|| format!("data_directory: locking {}", directory.display()));
    locked.map_err(Failure::Unavailable)
}

/// What a controller that serves holds, so that other programs know that somebody hears the sites.
const SERVING_FILE: &str = "serving";

/// Says that we serve, until the answer is dropped or we die. Programs on other machines do not see it.
pub(super) fn serving(directory: &Path) -> Result<File, Failure> {
    let path = directory.join(SERVING_FILE);
    let hold = || {
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        // Somebody who looks holds it for a moment; who serves already is found by the address that both want.
        file.lock_shared()?;
        Ok::<_, std::io::Error>(file)
    };
    let held = hold().with_context(|| format!("data_directory: {}", path.display()));
    held.map_err(Failure::Unavailable)
}

/// Whether a controller serves from this directory; where that cannot be seen, one does.
pub(super) fn is_served(directory: &Path) -> bool {
    match File::open(directory.join(SERVING_FILE)) {
        Ok(file) => file.try_lock().is_err(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

fn would_lock_out(user: u32, owner: u32) -> bool {
    user == ROOT && owner != ROOT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_locks_out_others() {
        assert!(would_lock_out(0, 997));
        assert!(!would_lock_out(0, 0));
        assert!(!would_lock_out(997, 997));
        assert!(!would_lock_out(1_000, 997), "the system itself refuses that");
    }

    #[test]
    fn whether_somebody_serves_is_seen_from_outside() {
        let directory = crate::testing::TemporaryDirectory::new();
        assert!(!is_served(directory.path()));
        let held = serving(directory.path()).unwrap();
        assert!(is_served(directory.path()));
        drop(held);
        assert!(!is_served(directory.path()));
    }

    #[test]
    fn a_directory_is_made_for_its_owner_alone() {
        let parent = crate::testing::TemporaryDirectory::new();
        let directory = parent.path().join("a/b");
        prepare(&directory).unwrap();
        prepare(&directory).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
    }
}
