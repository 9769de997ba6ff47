//! What the doctor saw of each router when it last came: its serial number, and how worn its flash was.
//!
//! One small file in the agent's state directory. A file that cannot be read counts as none, and one that cannot be
//! written is no finding: the doctor may be run by a user who may only look. It holds no secret.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::router_script_files::{Replacing, write_private};

/// The largest file that is read: 64 routers need a few KiB.
const FILE_BYTES: u64 = 64 * 1024;

/// One router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Its serial number.
    #[serde(default)]
    pub(super) serial: Option<String>,
    /// Flash sectors that it had written, and when, in milliseconds since 1970.
    #[serde(default)]
    pub(super) sectors: Option<(u64, i64)>,
    /// The same of the visit before that.
    #[serde(default)]
    pub(super) sectors_before: Option<(u64, i64)>,
}

/// All routers, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    routers: BTreeMap<String, Seen>,
}

fn file_in(directory: &Path) -> PathBuf {
    directory.join("doctor.json")
}

impl Memory {
    pub(super) fn load(directory: &Path) -> Self {
        let read = || -> Option<Self> {
            let mut text = String::new();
            let file = std::fs::File::open(file_in(directory)).ok()?;
            file.take(FILE_BYTES).read_to_string(&mut text).ok()?;
            serde_json::from_str(&text).ok()
        };
        read().unwrap_or_default()
    }

    pub(super) fn of(&self, router: &str) -> Option<&Seen> {
        self.routers.get(router)
    }

    pub(super) fn note(&mut self, router: &str, seen: Seen) {
        self.routers.insert(router.to_owned(), seen);
    }

    /// Writes it down where that can be done.
    pub(super) fn keep(&self, directory: &Path) {
        if let Ok(text) = serde_json::to_string(self) {
            let _ = write_private(&file_in(directory), &text, Replacing::Earlier);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_there_again_and_damage_counts_as_nothing() {
        let directory = std::env::temp_dir().join(format!("tawi-doctor-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut memory = Memory::load(&directory);
        assert_eq!(memory, Memory::default());
        memory.note("core", Seen { serial: Some("H1".into()), sectors: Some((7, 9)), sectors_before: None });
        memory.keep(&directory);
        assert_eq!(Memory::load(&directory), memory);
        std::fs::write(file_in(&directory), "{").unwrap();
        assert_eq!(Memory::load(&directory), Memory::default());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
