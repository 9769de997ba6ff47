//! What flows between the parts of the agent. No part knows another; each knows these types.
//!
//! ```text
//! link ──Inbound──> core ──watch<DesiredState>──> one reconciler per router ──Report──> core ──> outbox ──> link
//! ```
//!
//! The state goes down by a `watch`: whoever is slow sees the newest and never a queue. Reports come up by one
//! bounded channel, whose sender waits: a report is never dropped, and the reconciler has no deadline of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::wire::{CommandStatus, EventKind, FailureKind, ForeignRowV1};
use tokio::sync::{mpsc, watch};

use crate::adoption::StateLine;
use crate::desired::DesiredState;
use crate::reconcile::held::Held;
use crate::reconcile::memory::RouterMemory;
use crate::trouble::Trouble;
use crate::upgrade::News;
use crate::usage::counted::Counted;
use crate::usage::quota::PeriodRecord;

/// Reports that wait for the core. A full check of 2,000 lines makes a handful of them, so this is deep enough for every router
/// of a site to report at once without waiting.
pub const REPORTS_WAITING: usize = 256;

/// The newest desired state.
pub type StateReceiver = watch::Receiver<Arc<DesiredState>>;
/// Where the core puts it.
pub type StateSender = watch::Sender<Arc<DesiredState>>;
/// Where reconcilers put what they saw and did.
pub type ReportSender = mpsc::Sender<Report>;
/// Where the core takes it.
pub type ReportReceiver = mpsc::Receiver<Report>;

/// What a reconciler tells the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Every line of this router is as `generation` wants it, read back, except the failures. Sent once per pass that
    /// moved the generation or changed the failures.
    Settled {
        /// Router name.
        router: String,
        /// The generation that the pass worked on.
        generation: u64,
        /// Lines that are not as they should be.
        failures: Vec<LineFailure>,
    },
    /// New totals of sessions that moved.
    Usage {
        /// Absolute totals.
        sessions: Vec<Counted>,
        /// What the ended sessions of lines moved in the running period; goes to flash in one commit with the totals.
        periods: BTreeMap<String, PeriodRecord>,
    },
    /// The sessions of these lines were looked at since they came.
    LinesSeen {
        /// Line ids.
        lines: Vec<String>,
    },
    /// What must be known of a router after a restart, whole.
    Remember {
        /// Router name.
        router: String,
        /// What.
        memory: RouterMemory,
        /// Who waits until it is on flash, if anybody does.
        receipt: Option<Receipt>,
    },
    /// Something happened.
    Event(Event),
    /// What the guard of a router holds; sent when that changes, and once after each start.
    Held {
        /// Router name.
        router: String,
        /// The lines.
        held: Held,
    },
    /// What became of a command of head office.
    Ordered {
        /// Router name.
        router: String,
        /// Which command.
        id: String,
        /// What became of it.
        done: Done,
    },
    /// What a command of head office asked to know of the agent itself.
    Answer {
        /// Which command.
        id: String,
        /// JSON without secrets.
        text: String,
        /// Whether it must arrive; otherwise the next one replaces it.
        is_whole: bool,
    },
    /// What comes of work on a release.
    Upgrade(News),
    /// Every row of a router was looked at and judged.
    Checked {
        /// Router name.
        router: String,
        /// From the first question to the last answer.
        took: Duration,
    },
    /// The router answered or stopped answering, or its release was read.
    RouterStatus {
        /// Router name.
        router: String,
        /// Whether it answers.
        is_reachable: bool,
        /// Its RouterOS release, where known.
        release: Option<String>,
    },
    /// Why a router cannot be worked with changed; `None` when it can again.
    RouterTrouble {
        /// Router name.
        router: String,
        /// What is wrong, and the cure.
        trouble: Option<Trouble>,
    },
}

/// Tells whoever waits whether something is on flash. Dropped without a word, it says no.
#[derive(Clone, Debug)]
pub struct Receipt(mpsc::Sender<bool>);

impl Receipt {
    /// One, and where its word comes.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<bool>) {
        let (sender, word) = mpsc::channel(1);
        (Self(sender), word)
    }

    /// Says it. The first word counts, and whoever waited may be gone.
    pub fn say(&self, is_kept: bool) {
        let _ = self.0.try_send(is_kept);
    }
}

impl PartialEq for Receipt {
    fn eq(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }
}

impl Eq for Receipt {}

/// What became of something that was ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Whether it was done.
    pub status: CommandStatus,
    /// For a person; without secrets.
    pub detail: String,
    /// What was found, where that was asked for.
    pub rows: Vec<ForeignRowV1>,
    /// Beside that, the lines that it may belong to; for whoever asks at the device.
    pub lines: Vec<StateLine>,
    /// The names of those whose service is `any`: a row as it travels has one service, and is told as PPPoE.
    pub any_service: BTreeSet<String>,
}

impl Done {
    /// It was done.
    #[must_use]
    pub fn succeeded(detail: impl Into<String>) -> Self {
        Self {
            status: CommandStatus::Succeeded,
            detail: detail.into(),
            rows: Vec::new(),
            lines: Vec::new(),
            any_service: BTreeSet::new(),
        }
    }

    /// It was not done, or nobody knows.
    #[must_use]
    pub fn failed(detail: impl Into<String>) -> Self {
        Self { status: CommandStatus::Failed, ..Self::succeeded(detail) }
    }

    /// It came too late.
    #[must_use]
    pub fn expired(detail: impl Into<String>) -> Self {
        Self { status: CommandStatus::Expired, ..Self::succeeded(detail) }
    }
}

/// A line that is not on its router as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFailure {
    /// Line id.
    pub line: String,
    /// Why.
    pub kind: FailureKind,
    /// For a person; without secrets.
    pub detail: String,
}

/// Something that head office wants to know at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: UnixMillis,
    /// What.
    pub kind: EventKind,
    /// Line id, where it concerns one.
    pub line: Option<String>,
    /// Router name, where it concerns one.
    pub router: Option<String>,
    /// For a person; without secrets.
    pub detail: String,
}
