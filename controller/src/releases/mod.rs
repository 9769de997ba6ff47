//! Releases of the agent: kept here as they were signed, and brought to the sites in waves.
//!
//! ```text
//! builder: release sign ──FILE.release──▶ release add ─▶ releases/<sha> in the data directory, and a row
//! staff:   upgrade start VERSION ─▶ waves.rs: who, and when the next ─▶ sites are told what is wanted, and fetch it
//! ```
//!
//! Nothing here can sign: the key is on the builder's machine, and sites take only what it signed. `waves.rs` is pure; `store.rs`
//! is all SQL; `files.rs` the directory; `rollout.rs` what staff, sites and the clock do to a rollout; `words.rs` how a site
//! stands, as people say it. What travels is `mqtt/releases.rs`.

pub mod api;
pub mod files;
pub(crate) mod pages;
pub mod rollout;
pub mod store;
#[cfg(test)]
pub(crate) mod tests;
pub mod waves;
pub(crate) mod words;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tawi_shared::UnixMillis;
use tawi_shared::release::{Manifest, ReleaseKey, Sha256, Signed};
use tawi_shared::wire::{PROTOCOL_RELEASES, ReleaseStanding};

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
    /// Since when it stands as it does, or when its last wave began.
    pub changed_at: UnixMillis,
}

/// How the reason begins where staff stopped a rollout. What stops one by itself begins with how many sites failed.
const BY_STAFF: &str = "by ";

impl Rollout {
    /// Whether it stopped without anybody saying so.
    #[must_use]
    pub fn has_stopped_itself(&self) -> bool {
        self.standing == Standing::Stopped && !self.why.starts_with(BY_STAFF)
    }
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
    /// When it last said something new, such as how much more of the file it has.
    pub progress_at: UnixMillis,
    /// Of which file it speaks.
    pub file: Option<Sha256>,
    /// The newest contract that its agent speaks; `None` while nobody knows.
    pub protocol: Option<u16>,
    /// When it was last heard of.
    pub last_seen_at: Option<UnixMillis>,
    /// What may be told on its line in an hour, in bytes; 0 without a bound, `None` before its agent said so.
    pub hourly_bytes: Option<u64>,
}

impl RolloutSite {
    /// Whether its agent knows nothing of releases, so that it cannot be told.
    #[must_use]
    pub fn is_too_old(&self) -> bool {
        self.standing.is_none() && self.protocol.is_some_and(|protocol| protocol < PROTOCOL_RELEASES)
    }
}
