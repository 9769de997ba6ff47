//! What rests on flash: the desired state, and what waits to be told to head office.
//!
//! ```text
//! core ──call──> [store thread: Keeper ──> Store ──> Engine ──> sled]
//!                        └─ while flash takes nothing: the same records, bounded, in memory
//! ```
//!
//! All blocking happens on one thread of its own, so that a slow card never holds up a router. `engine/sled.rs`
//! is the only file that knows sled; `keeper.rs` decides what happens when it fails; `directory.rs` is about files. A
//! simulation has no thread and an engine in memory: [`Outbox::inline`].
//!
//! What is dropped when the bounds are reached: the API log first, which the site keeps in files too, and of which no
//! more is taken here than an eighth of the whole. Then events, oldest first, because they tell a story and the state
//! that they tell of is reported again anyway. Session totals go last, because bills and quotas stand on them; they
//! hardly grow, as a newer total of a session replaces the older one that still waits.

mod bases;
mod commands;
mod directory;
mod engine;
mod flash;
mod former;
mod framing;
mod keeper;
mod lanes;
pub mod owner;
mod records;
mod short_names;
mod store;
#[cfg(test)]
mod tests;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tawi_shared::Gather as _;
use tawi_shared::state_hash::StateHash;
use tawi_shared::wire::Lane;
use tawi_shared::{Clock, IdSource, UnixMillis};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::clock::KeptTime;
use crate::commands::Kept;
use crate::contact::KeptSilence;
use crate::desired::DesiredState;
use crate::flow::Event;
use crate::link::ledger::KeptLine;
use crate::reconcile::found::Remembered;
use crate::reconcile::memory::RouterMemory;
use crate::tuning::FromOffice;
use crate::usage::counted::Counted;
use crate::usage::quota::{BookRecords, PeriodRecord};

pub use bases::TimeBase;
pub use directory::{StateLock, can_write, free_bytes};
pub use engine::memory::{Disk, Work};
pub use keeper::Keeper;
pub use records::shortened;

/// Records of one lane that are sealed and not yet forgotten. The link never has more in flight.
pub const SEALED_RECORDS: u64 = 16;
/// The most that waits on flash, over all lanes, in bytes of records.
pub const WAITING_BYTES: u64 = 64 * 1024 * 1024;
/// The API log may take one part in so many of it.
pub const WAITING_LOG_SHARE: u64 = 8;
/// The longest that an event or the API log waits. A total of a session that head office has not waits on.
pub const WAITING_AGE: Duration = Duration::from_secs(45 * 86_400);
/// Free space below which nothing ordinary is written, in bytes: the engine must never meet the end of the disk in
/// the middle of a segment of 256 KiB, and it writes several while it tidies up.
pub const RESERVE_BYTES: u64 = 4 * 1024 * 1024;
/// Free space below which not even forgetting and the alarm about the full disk are written.
pub const URGENT_RESERVE_BYTES: u64 = 1024 * 1024;
/// The engine's file may be so many times larger than what lives in it, plus [`REWRITE_SLACK_BYTES`].
pub const REWRITE_FACTOR: u64 = 8;
/// See [`REWRITE_FACTOR`].
pub const REWRITE_SLACK_BYTES: u64 = 32 * 1024 * 1024;
/// Calls that wait for the store's thread. The core makes one at a time; the rest is what reporters bring while the
/// disk hangs, and is done when it answers again.
const CALLS_WAITING: usize = 64;
/// How long a call may take before the store counts as hung. The slowest card that was measured needed two seconds.
pub const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// Why something is not on flash.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// Little space is left, and the rest is kept back; the store itself is as well as before.
    #[error("the disk of {} is nearly full: {free_bytes} bytes are free and {needed_bytes} are needed", directory.display())]
    NearlyFull {
        /// The state directory.
        directory: PathBuf,
        /// What is free.
        free_bytes: u64,
        /// What would be enough.
        needed_bytes: u64,
    },
    /// The system took no more in the middle of writing: a full disk, a quota or a limit.
    #[error("the disk of {} takes no more: {detail}", directory.display())]
    Full {
        /// The state directory.
        directory: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The operating system refused, and it is not damage: permissions, a read-only disk, a lock.
    #[error("{operation} in {}: {detail}", directory.display())]
    Unwritable {
        /// What was tried.
        operation: &'static str,
        /// The state directory.
        directory: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The engine failed, or panicked.
    #[error("{operation}: {detail}")]
    Engine {
        /// What was tried.
        operation: &'static str,
        /// What the engine said.
        detail: String,
    },
    /// The disk did not answer within [`CALL_DEADLINE`].
    #[error("the disk does not answer")]
    Hung,
    /// Another agent uses the same state directory.
    #[error("another agent is running on {}; stop it first", .0.display())]
    Locked(PathBuf),
}

impl StoreError {
    /// For people, to whom the engine's own words say nothing; those stand in the log.
    #[must_use]
    pub fn said(&self) -> String {
        match self {
            Self::Engine { .. } => {
                "the store cannot be read or written; it is opened anew within minutes, and begun anew where it is damaged"
                    .to_owned()
            }
            error => error.to_string(),
        }
    }
}

/// How the store fares, for the log, the status page and the watchdog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreHealth {
    /// Everything is on flash.
    #[default]
    Well,
    /// New records are kept in memory only; what is on flash is safe.
    Unwell {
        /// Since when.
        since: UnixMillis,
        /// Why.
        error: StoreError,
    },
}

/// What waits in one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneSizes {
    /// Records without a position: events, or sessions with a newer total than was told.
    pub pending: u64,
    /// Those of them that were noted while the site was cut off and are over: they leave the way to what is fresh.
    pub backlog: u64,
    /// Records with a position that the controller has not confirmed.
    pub sealed: u64,
    /// Their bytes on flash, before the engine's own overhead.
    pub bytes: u64,
    /// The newest position that was given out; 0 for none.
    pub last_seq: u64,
}

/// What the store holds, in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The store's present life; 0 while it never opened.
    pub epoch: u32,
    /// The generation that is safe on flash.
    pub stored_generation: u64,
    /// The hash of that state.
    pub stored_hash: StateHash,
    /// Events.
    pub events: LaneSizes,
    /// Session totals.
    pub usage: LaneSizes,
    /// The API log, in batches.
    pub log: LaneSizes,
    /// Records that wait in memory because flash takes none.
    pub in_memory: u64,
    /// Damaged records that were skipped since the start.
    pub bad_records: u64,
    /// Records that were dropped since the start because a bound was reached.
    pub dropped_records: u64,
    /// Of those, totals of sessions: what they moved since they were last told is told by nobody any more.
    pub dropped_totals: u64,
    /// The engine's files, in bytes.
    pub disk_bytes: u64,
    /// How it fares.
    pub health: StoreHealth,
    /// What the API log at the site lacks.
    pub left_out: LeftOut,
    /// What was lost with a store that was begun anew since the start, in words.
    pub lost: Option<String>,
}

/// Writes to routers that the API log at the site left out since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// How many.
    pub writes: u64,
    /// Whether the last ones were.
    pub is_now: bool,
}

impl Overview {
    /// The figures of one lane.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> LaneSizes {
        match lane {
            Lane::Event => self.events,
            Lane::Usage => self.usage,
            Lane::Log => self.log,
        }
    }
}

/// A record with its position, ready to be sent: the same bytes each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRecord {
    /// Its position in the lane.
    pub seq: u64,
    /// The envelope.
    pub bytes: Vec<u8>,
}

/// What reconcilers reported and is to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// What happened.
    pub events: Vec<Event>,
    /// Who came and went while the site was cut off: told after everything that is fresh.
    pub backlog: Vec<Event>,
    /// Absolute totals.
    pub usage: Vec<Counted>,
    /// What the ended sessions of lines moved in the running period: belongs to these totals.
    pub periods: BTreeMap<String, PeriodRecord>,
    /// The newest generation that each of these routers settled.
    pub settled: Vec<(String, u64)>,
    /// Lines whose sessions were looked at since they came.
    pub seen_lines: Vec<String>,
}

impl Reported {
    /// Whether there is nothing to keep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let has_no_usage = self.usage.is_empty() && self.periods.is_empty() && self.seen_lines.is_empty();
        has_no_usage && self.events.is_empty() && self.backlog.is_empty() && self.settled.is_empty()
    }
}

/// What a cursor of the controller did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgot {
    /// So many records are no longer kept.
    Records(u64),
    /// It speaks of another life of the store.
    ForeignEpoch,
    /// It is beyond what this store ever gave out: flash went back in time, or was copied. A new epoch has begun, and
    /// a new hello must tell of it.
    NewEpoch,
}

/// A store that was damaged and had to begin anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where the damaged one lies, for whoever wants to look.
    pub moved_to: PathBuf,
    /// What was wrong with it.
    pub why: String,
}

/// What was found when the store was opened.
#[derive(Debug, Default)]
pub struct Opening {
    /// The desired state, as far as it could be read.
    pub state: Arc<DesiredState>,
    /// Whether that is all of it: its hash is the one that was stored with it. If not, the agent enforces what it has
    /// and asks for a snapshot.
    pub is_state_whole: bool,
    /// Set when the last store was damaged.
    pub lost: Option<Lost>,
    /// Whether nothing was ever kept in it: the first start of a site, or everything is gone.
    pub is_new: bool,
    /// Totals of sessions that were not over, for the reconcilers to go on from.
    pub open_sessions: Vec<Counted>,
    /// Whether those are all: `false` when the store is new, was damaged or does not open. An agent that was put on new
    /// flash cannot be told from a new one, so that neither knows what head office was told of running sessions.
    pub are_sessions_known: bool,
    /// The newest generation that each router had settled.
    pub settled: BTreeMap<String, u64>,
    /// The lines on flash whose sessions were looked at since they came.
    pub looked_at: Arc<DesiredState>,
    /// The store's present life; 0 while it does not open.
    pub epoch: u32,
    /// What was counted for quotas.
    pub book: BookRecords,
    /// What is remembered of each router.
    pub memories: BTreeMap<String, RouterMemory>,
    /// Commands of head office that were begun, and what became of them.
    pub commands: Vec<Kept>,
    /// What it says of time.
    pub marks: Marks,
    /// What head office set of the agent's settings.
    pub settings: FromOffice,
}

/// What a restart must know of time and of the line. All of it is counted by the agent itself, and only while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// What the clock goes on from.
    pub time: KeptTime,
    /// For how long head office was not heard, give or take a few minutes; `None` where nobody counted.
    pub silence: Option<KeptSilence>,
    /// The age of a store that was begun anew because the one before was damaged; else `None`.
    pub lived: Option<Duration>,
    /// What the line carried.
    pub line: KeptLine,
}

impl Opening {
    /// Takes out the open sessions of a router; and whether those are all that head office may know. A router without
    /// any may never have been sampled since the store was lost: an agent that is started twice must not forget that
    /// it remembers nothing. Where there were none indeed, that leaves out what moved while the agent was away.
    pub fn take_sessions_of(&mut self, router: &str) -> (Vec<Counted>, bool) {
        let prefix = format!("{router}/");
        let found = std::mem::take(&mut self.open_sessions).into_iter();
        let (of_router, of_others): (Vec<_>, _) =
            found.partition(|session| session.total.session.starts_with(&prefix));
        self.open_sessions = of_others;
        let are_known = self.are_sessions_known && !of_router.is_empty();
        (of_router, are_known)
    }
}

/// What a store held that could not be opened at the start, for those who run already.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FoundLate {
    /// The desired state; of generation 0 when there was none, or not all of it.
    pub state: Arc<DesiredState>,
    /// What is remembered of each router.
    pub memories: BTreeMap<String, Remembered>,
    /// Commands of head office that were begun, and what became of them.
    pub commands: Vec<Kept>,
    /// What it says of time.
    pub marks: Marks,
    /// What head office set of the agent's settings.
    pub settings: FromOffice,
    /// Whether that is not all, because the store was damaged and had to begin anew.
    pub is_lost: bool,
}

impl FoundLate {
    fn of(opening: &Opening) -> Self {
        let routers: BTreeSet<&String> = opening.memories.keys().chain(opening.settled.keys()).into_set();
        let remembered = |router: &String| Remembered {
            memory: opening.memories.get(router).cloned().unwrap_or_default(),
            settled: opening.settled.get(router).copied(),
            lived: opening.marks.lived,
        };
        let memories = routers.into_iter().map(|router| (router.clone(), remembered(router))).into_map();
        Self {
            state: Arc::clone(&opening.state),
            memories,
            commands: opening.commands.clone(),
            marks: opening.marks,
            settings: opening.settings.clone(),
            is_lost: opening.lost.is_some(),
        }
    }

    fn has_begun(&self, command: &str) -> bool {
        self.commands.iter().any(|kept| kept.id == command)
    }
}

type Job = Box<dyn FnOnce(&mut Keeper) + Send>;

/// Who does jobs.
#[derive(Clone)]
enum Worker {
    /// The store's thread, one after the other.
    Thread(mpsc::Sender<Job>),
    /// Whoever hands them in, at once.
    Caller(Arc<Mutex<Keeper>>),
}

impl Worker {
    /// Whether the job was taken.
    fn take(&self, job: Job) -> bool {
        match self {
            Self::Thread(jobs) => jobs.try_send(job).is_ok(),
            Self::Caller(keeper) => {
                job(&mut keeper.lock().unwrap_or_else(PoisonError::into_inner));
                true
            }
        }
    }
}

/// The handle by which the runtime speaks to the store's thread.
#[derive(Clone)]
pub struct Outbox {
    worker: Worker,
    /// Set while a call has not come back in time: then nobody waits for the next ones.
    is_hung: Arc<AtomicBool>,
}

impl Outbox {
    /// Locks the state directory, starts the thread and opens the store on it. A store that cannot be opened now does
    /// not stop the agent: the keeper goes on in memory and tries again.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another agent runs, [`StoreError::Unwritable`] when the directory cannot be made.
    pub async fn start(directory: &Path, ids: IdSource, clock: Clock) -> Result<(Self, Opening), StoreError> {
        let lock = StateLock::take(directory)?;
        let (jobs, mut waiting) = mpsc::channel::<Job>(CALLS_WAITING);
        let (answer, opened) = oneshot::channel();
        let directory = directory.to_path_buf();
        let unwritable = |detail: String| StoreError::Unwritable {
            operation: "start the store's thread",
            directory: directory.clone(),
            detail,
        };
        let thread_directory = directory.clone();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                let _lock = lock;
                let (mut keeper, opening) = Keeper::open(&thread_directory, ids, clock);
                if answer.send(opening).is_err() {
                    return;
                }
                while let Some(job) = waiting.blocking_recv() {
                    job(&mut keeper);
                }
            })
            .map_err(|error| unwritable(error.to_string()))?;
        let opening = opened.await.map_err(|_| unwritable("it ended at once".to_owned()))?;
        Ok((Self { worker: Worker::Thread(jobs), is_hung: Arc::default() }, opening))
    }

    /// A store on a disk in memory, without a thread: a call is done when it is made. For a simulation, which ends an
    /// agent by dropping whatever has its outbox, and begins the next on the same disk.
    #[must_use]
    pub fn inline(disk: &Disk, ids: IdSource, clock: Clock) -> (Self, Opening) {
        let (keeper, opening) = Keeper::on_disk(disk, ids, clock);
        let worker = Worker::Caller(Arc::new(Mutex::new(keeper)));
        (Self { worker, is_hung: Arc::default() }, opening)
    }

    /// Does `work` on the store's thread. The core awaits each call before the next, so order is kept.
    ///
    /// # Errors
    /// [`StoreError::Hung`] when the disk does not answer in time. The work may still be done later.
    pub async fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Keeper) -> R + Send + 'static,
    ) -> Result<R, StoreError> {
        let (answer, answered) = oneshot::channel();
        let is_hung = Arc::clone(&self.is_hung);
        let job: Job = Box::new(move |keeper| {
            let result = work(keeper);
            is_hung.store(false, Ordering::Relaxed);
            // Whoever asked may have given up waiting.
            let _ = answer.send(result);
        });
        if !self.worker.take(job) || self.is_hung.load(Ordering::Relaxed) {
            return Err(StoreError::Hung);
        }
        match tokio::time::timeout(CALL_DEADLINE, answered).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(StoreError::Hung),
            Err(_) => {
                self.is_hung.store(true, Ordering::Relaxed);
                Err(StoreError::Hung)
            }
        }
    }
}
