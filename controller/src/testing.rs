//! What the controller's own tests share: a directory that vanishes.

use std::path::PathBuf;

use crate::ids::IdSource;

/// A fresh directory, removed when dropped.
#[derive(Debug)]
pub(crate) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tawi-{}", IdSource::system().hex(8)));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }

    pub(crate) fn database_url(&self) -> String {
        format!("sqlite://{}", self.path().join("tawi.db").display())
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // Left-over files of a failed test are no reason to fail another.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
