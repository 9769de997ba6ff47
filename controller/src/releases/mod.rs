//! Releases of the agent: kept here as they were signed, and brought to the sites in waves.
//!
//! ```text
//! builder: release sign ──FILE.release──▶ release add ─▶ releases/<sha> in the data directory, and a row
//! staff:   upgrade start VERSION ─▶ waves.rs: who, and when the next ─▶ sites are told what is wanted, and fetch it
//! ```
//!
//! Nothing here can sign: the key is on the builder's machine, and sites take only what it signed. `waves.rs` is pure; `store.rs`
//! is all SQL; `files.rs` the directory; `rollout.rs` what staff, sites and the clock do to a rollout. What travels is
//! `mqtt/releases.rs`.

pub mod files;
pub mod rollout;
pub mod store;
#[cfg(test)]
mod tests;
pub mod waves;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tawi_shared::UnixMillis;
use tawi_shared::release::{Manifest, ReleaseKey, Sha256, Signed};
use tawi_shared::wire::ReleaseStanding;

use crate::ids::SiteId;

/// Where release files are, and who may have signed them.
#[derive(Clone, Debug, Default)]
pub struct ReleaseRoom(Arc<Room>);

#[derive(Debug, Default)]
struct Room {
    /// `None` where nobody said: nothing is served.
    directory: Option<PathBuf>,
    key: Option<ReleaseKey>,
}

impl ReleaseRoom {
    /// In this data directory.
    #[must_use]
    pub fn new(data_directory: &Path, key: Option<ReleaseKey>) -> Self {
        Self(Arc::new(Room { directory: Some(data_directory.join("releases")), key }))
    }

    /// Where the files are.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        self.0.directory.as_deref()
    }

    /// Who signs, as the settings say.
    #[must_use]
    pub fn key(&self) -> Option<&ReleaseKey> {
        self.0.key.as_ref()
    }
}

/// A release that is kept here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// What was signed.
    pub signed: Signed,
    /// What that says.
    pub manifest: Manifest,
    /// Since when it is here.
    pub added_at: UnixMillis,
}

impl Release {
    /// Its file.
    #[must_use]
    pub fn file(&self) -> Sha256 {
        self.manifest.file_sha256
    }
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It goes on by itself.
    Running,
    /// No further wave begins; sites that were told go on.
    Paused,
    /// It ended before its end.
    Stopped,
    /// Every site runs the version.
    Done,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Running, Self::Paused, Self::Stopped, Self::Done];

    /// The word in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Done => "done",
        }
    }

    /// Reads it back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == text)
    }

    /// Whether sites are told of it.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// How a version goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// From 1; sites are told it.
    pub number: u64,
    /// Which version.
    pub version: String,
    /// Per cent of the sites.
    pub waves: Vec<u8>,
    /// How long a wave is watched after its last site was verified.
    pub soak: std::time::Duration,
    /// Where it stands.
    pub standing: Standing,
    /// Why it stopped.
    pub why: String,
    /// Which wave, from 0.
    pub wave: usize,
    /// Since when.
    pub wave_began_at: UnixMillis,
    /// Who started it.
    pub started_by: String,
    /// When.
    pub started_at: UnixMillis,
}

/// One site of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutSite {
    /// Which.
    pub site: SiteId,
    /// In which wave, from 0.
    pub wave: usize,
    /// Whether it is connected.
    pub is_online: bool,
    /// How it stands by its own word; `None` while it said nothing.
    pub standing: Option<ReleaseStanding>,
    /// How much of the file it has.
    pub have_bytes: u64,
    /// Why, where it failed.
    pub detail: String,
    /// Since when it stands so.
    pub changed_at: UnixMillis,
}
