//! Which board the agent works with at each router, for whoever looks while the agent is stopped.
//!
//! One small file in the state directory, beside the store, which one process at a time may open. It says what the store
//! says of the routers in the settings: the store's keeper writes it, `tawi-agent doctor` reads it, and nothing is decided
//! by it about a router. A file that cannot be read counts as none. It holds no secret.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::router_script_files::{FileError, Replacing, write_private};

/// The largest file that is read: 64 routers need a few KiB.
const FILE_BYTES: u64 = 64 * 1024;

/// Serial numbers by the router's name.
pub type Boards = BTreeMap<String, String>;

fn file_in(directory: &Path) -> PathBuf {
    directory.join("boards.json")
}

/// What the file says.
#[must_use]
pub fn load(directory: &Path) -> Boards {
    let read = || -> Option<Boards> {
        let mut text = String::new();
        let file = std::fs::File::open(file_in(directory)).ok()?;
        file.take(FILE_BYTES).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    };
    read().unwrap_or_default()
}

/// Writes it, whole or not at all.
///
/// # Errors
/// [`FileError`] when the directory takes no file.
pub fn keep(directory: &Path, boards: &Boards) -> Result<(), FileError> {
    let text = serde_json::to_string(boards).unwrap_or_default();
    write_private(&file_in(directory), &text, Replacing::Earlier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_there_again_and_damage_counts_as_nothing() {
        let directory = std::env::temp_dir().join(format!("tawi-boards-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        assert_eq!(load(&directory), Boards::new());
        let boards = Boards::from([("core".to_owned(), "H1".to_owned())]);
        keep(&directory, &boards).unwrap();
        assert_eq!(load(&directory), boards);
        std::fs::write(file_in(&directory), "{").unwrap();
        assert_eq!(load(&directory), Boards::new());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
