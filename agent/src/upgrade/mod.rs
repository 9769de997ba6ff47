//! Releases of the agent from head office: judged, downloaded, tried, and gone back from.
//!
//! ```text
//! wanted ─ judge ─▶ refused, with words
//!            └──▶ parts, as the line's budget allows ─▶ hash ─▶ inflate ─▶ hash ─▶ on trial ─▶ stop in order, exec
//! launch: what is installed by the package looks at `releases/` at each start, and puts a release in its own place
//!   on trial: at most 3 starts, counted on flash before each ─▶ proven in 15 minutes: verified
//!                                                            └─▶ else: the one before runs again, and says why
//!   verified, and ends 3 times soon after its start ─▶ the one before runs again
//! ```
//!
//! Head office says what it wants, and cannot make it: an agent runs what one of its own keys signed, and looks at the signature
//! and the hash again at each start. `ledger` and `judge` are pure; `shelf` is the directory, `books` all that is done with
//! it, `launch` the start, `worker` keeps slow flash away from the heart of the agent. When a part is asked for is
//! `site/upgrade.rs`'s business.

pub mod books;
pub mod build;
pub mod judge;
pub mod launch;
pub mod ledger;
pub mod shelf;
pub mod starts;
pub mod worker;

use std::time::Duration;

use tawi_shared::release::{ReleaseKey, Sha256, Signed};
use tawi_shared::wire::{ReleaseStanding, ReleaseStandingV1};

pub use build::Build;

/// How long a release on trial has to be welcomed by head office and to read the routers.
pub const PROVE_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Errands that wait for the worker: a part, and what is said besides.
pub const ERRANDS_WAITING: usize = 16;

/// Whose releases are taken.
#[derive(Clone, Debug, Default)]
pub struct UpgradeConfig {
    /// Whether any is, from head office.
    pub is_enabled: bool,
    /// Who may have signed it. Empty: nobody.
    pub keys: Vec<ReleaseKey>,
}

/// What the heart of the agent has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Head office wants this release, signed for each kind of machine; none: nothing is wanted.
    Want {
        /// Which telling.
        asked: u64,
        /// What was signed.
        releases: Vec<Signed>,
    },
    /// A part came.
    Part {
        /// Of which file.
        file: Sha256,
        /// From which byte.
        offset: u64,
        /// What. Empty: head office does not have it.
        bytes: Vec<u8>,
    },
    /// What is whole is started, once the agent has stopped in order; these routers answer the one that runs.
    Start(Vec<String>),
    /// What is on trial was welcomed and has read its routers.
    Proven,
    /// It was not, or has not.
    Failed(String),
    /// What runs has stayed.
    Settled,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// How the site stands with what is wanted; `None`: nothing is wanted.
    Standing(Option<Standing>),
    /// From where the next part is wanted; `None`: none is.
    Due(Option<Due>),
    /// A release is whole and can be started.
    Ready,
    /// What runs is on trial, and the one before could read these routers.
    Trial(Vec<String>),
    /// The agent is to stop in order and start over: another release than this one is to run.
    Switch,
}

/// The next part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Of which file.
    pub file: Sha256,
    /// From which byte.
    pub offset: u64,
    /// How many bytes are missing.
    pub left: u64,
}

/// How the site stands with the release that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which telling it answers.
    pub asked: u64,
    /// Which version; empty where the manifest cannot be read.
    pub version: String,
    /// Its file.
    pub file: Sha256,
    /// How large that is.
    pub file_bytes: u64,
    /// How much of it is here.
    pub have_bytes: u64,
    /// Where it stands.
    pub standing: ReleaseStanding,
    /// Why, for a person.
    pub detail: String,
}

impl Standing {
    /// As it travels.
    #[must_use]
    pub fn to_wire(&self, at_ms: i64) -> ReleaseStandingV1 {
        ReleaseStandingV1 {
            asked: self.asked,
            file_sha256: self.file.0,
            standing: self.standing.code(),
            have_bytes: self.have_bytes,
            at_ms,
            detail: crate::outbox::shortened(&self.detail).to_owned(),
        }
    }
}
