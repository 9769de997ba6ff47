//! What a reconciler must know of its router, and every interval and limit that it works under.
//!
//! Plain data with defaults; nothing here connects. `config.rs` fills it from the agent's file. `Debug` shows no
//! password, because the client's options do not.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use routeros_api::Options;
use tokio::sync::{Notify, RwLock};

use crate::contact::Contact;
use crate::desired::DesiredState;
use crate::reconcile::found::FoundMemory;
use crate::reconcile::guard::GuardLimits;
use crate::reconcile::memory::RouterMemory;
use crate::reconcile::orders::Orders;
use crate::reconcile::pace::PaceLimits;
use crate::usage::book::Quotas;
use crate::usage::counted::Counted;
use crate::usage::made::MadeRows;

/// Silence after which the router is asked for its name, unless the options say otherwise: listens may be silent for
/// hours, and a firewall between forgets a silent connection after minutes.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Listens on one connection: one for each menu with rows of lines, and those of usage beside them.
const LISTENS: usize = 16;

/// Memory for rows that were read and are not yet taken. All that this reads it takes as it comes, each reading beside the others, so
/// that nobody waits for room that another keeps; with the client's own choice a look at 500 sessions stands in memory in whole
/// rows, twice as large as what is kept of them.
const HELD_BYTES: usize = 128 * 1024;

/// Held, shared, while anything is written to a router. Whoever takes it alone knows that no write is under way.
pub type WriteGate = Arc<RwLock<()>>;

/// One router of the site.
#[derive(Clone, Debug)]
pub struct RouterSettings {
    /// Its name in the agent's configuration; lines refer to it.
    pub name: String,
    /// Address, transport, user and password.
    pub connect: Options,
    /// Intervals.
    pub timings: Timings,
    /// When the guard holds a plan.
    pub guard: GuardLimits,
    /// Lets a person release what the guard holds.
    pub release: GuardRelease,
    /// Has the router made anew from the store.
    pub rebuild: Rebuild,
    /// How fast many changes go to the router.
    pub pace: PaceLimits,
    /// What was remembered of the router before the restart.
    pub memory: RouterMemory,
    /// Whether flash could not be read: nobody knows yet whom the last hour cut off.
    pub is_past_unknown: bool,
    /// For how long it is known by now, from runs before.
    pub past_known: Duration,
    /// Where what flash remembers is handed over, when that can be read only later.
    pub found: FoundMemory,
    /// What people order of the router once.
    pub orders: Orders,
    /// Lines to decide about anew, because something that counts for them happened.
    pub recheck: Recheck,
    /// When head office was last heard.
    pub contact: Contact,
    /// The profile whose other properties (addresses, pool, DNS) a new profile of ours starts with, as
    /// `copy-from`; by name, and left out where the router has none of that name.
    pub profile_template: String,
    /// The newest generation that this router had settled before the restart, where the core keeps it. On a router that
    /// hides passwords, lines newer than it get theirs written once more. `None` trusts the rows that are there.
    pub settled_generation: Option<u64>,
    /// The last stored totals of sessions of this router that had not ended, so that a restart goes on with their keys.
    pub open_sessions: Vec<Counted>,
    /// Whether those are all. If not, a session that runs already is counted from its first reading on.
    pub are_sessions_known: bool,
    /// Lines whose rows are made, for whoever counts.
    pub made_rows: MadeRows,
    /// The lines whose sessions were looked at before the restart. What runs for others may be of a time when the line
    /// was not there.
    pub looked_at: Arc<DesiredState>,
    /// What lines moved in the running period of their quota: one book for the whole site.
    pub quotas: Quotas,
    /// Held while anything is written.
    pub writing: WriteGate,
}

impl RouterSettings {
    /// Settings with defaults for everything but who and where.
    #[must_use]
    pub fn new(name: impl Into<String>, mut connect: Options) -> Self {
        connect.keepalive.get_or_insert(KEEPALIVE);
        connect.listens = connect.listens.max(LISTENS);
        connect.held_bytes = connect.held_bytes.min(HELD_BYTES);
        Self {
            name: name.into(),
            connect,
            timings: Timings::default(),
            guard: GuardLimits::default(),
            release: GuardRelease::default(),
            rebuild: Rebuild::default(),
            pace: PaceLimits::default(),
            memory: RouterMemory::default(),
            is_past_unknown: false,
            past_known: Duration::ZERO,
            found: FoundMemory::default(),
            orders: Orders::default(),
            recheck: Recheck::default(),
            contact: Contact::default(),
            profile_template: "default".to_owned(),
            settled_generation: None,
            open_sessions: Vec::new(),
            are_sessions_known: true,
            made_rows: MadeRows::default(),
            looked_at: Arc::default(),
            quotas: Quotas::default(),
            writing: WriteGate::default(),
        }
    }
}

/// How often and how soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Between two full checks. Default 100 s: what a listen missed is put right within two minutes, the check itself
    /// and a busy router included. A print of 500 rows costs a small router less than a second of that.
    pub full_check: Duration,
    /// Between two samples of usage. Default 30 s: what an abrupt end of a session may lose.
    pub sample: Duration,
    /// A line where nobody logs in counts as offline after so long without traffic. Default 300 s: as long as a hotspot
    /// waits by default.
    pub idle: Duration,
    /// First and longest wait before a change that is not there when read back is tried again. Default 1 s and 60 s.
    pub retry: Backoff,
    /// First and longest wait before connecting anew. Default 1 s and 60 s.
    pub reconnect: Backoff,
    /// Wait after a refused login. Default 60 s: repeated attempts lock accounts.
    pub login_refused: Duration,
    /// How long a router may be away before head office hears of it. Default 10 s: a reboot of the agent's switch is
    /// no news.
    pub lost_after: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        let minute = Duration::from_secs(60);
        Self {
            full_check: Duration::from_secs(100),
            sample: Duration::from_secs(30),
            idle: Duration::from_secs(300),
            retry: Backoff { least: second, most: minute },
            reconnect: Backoff { least: second, most: minute },
            login_refused: minute,
            lost_after: Duration::from_secs(10),
        }
    }
}

/// Waits that double from `least` to `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling of the first wait.
    pub least: Duration,
    /// The ceiling of every later one.
    pub most: Duration,
}

impl Backoff {
    /// The wait before attempt `attempt` (0 for the first): anywhere between nothing and the ceiling, by `random`, so
    /// that routers lost together do not come back together.
    #[must_use]
    pub fn wait(self, attempt: u32, random: u64) -> Duration {
        let doubled = self.least.saturating_mul(2_u32.saturating_pow(attempt));
        let ceiling = u64::try_from(doubled.min(self.most).as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(random.checked_rem(ceiling.saturating_add(1)).unwrap_or(0))
    }
}

/// Releases what the guard of one router holds. Clones act on the same router.
#[derive(Clone, Debug, Default)]
pub struct GuardRelease {
    switch: Arc<Switch>,
    by: Arc<Mutex<String>>,
}

#[derive(Debug, Default)]
struct Switch {
    releases: AtomicU64,
    changed: Notify,
}

impl GuardRelease {
    /// Lets the cuts that are held at this moment go ahead, as this person at the device says. Later ones are judged anew.
    pub fn release(&self, by: &str) {
        by.clone_into(&mut self.by.lock().unwrap_or_else(PoisonError::into_inner));
        self.switch.releases.fetch_add(1, Ordering::SeqCst);
        self.switch.changed.notify_one();
    }

    pub(crate) fn count(&self) -> u64 {
        self.switch.releases.load(Ordering::SeqCst)
    }

    /// Who released last.
    pub(crate) fn by(&self) -> String {
        self.by.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn changed(&self) {
        self.switch.changed.notified().await;
    }
}

/// Has one router made anew from the store. Clones act on the same router.
#[derive(Clone, Debug, Default)]
pub struct Rebuild(Arc<Switch>);

impl Rebuild {
    /// Makes every row of the router as the store has it, whatever the guard would say: the router was replaced or
    /// reset, and a person says so. A router that is away is rebuilt when it answers.
    pub fn request(&self) {
        self.0.releases.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.releases.load(Ordering::SeqCst)
    }

    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }
}

/// Lines of one router to decide about anew at once: one that reached its quota, or was topped up. Clones act on the
/// same router. What waits is a set of lines, so that a router that is away for long does not gather more than that.
#[derive(Clone, Debug, Default)]
pub struct Recheck(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    lines: Mutex<BTreeSet<String>>,
    ended: Mutex<BTreeSet<String>>,
    samples: AtomicU64,
    changed: Notify,
}

impl Recheck {
    /// Decides about this line anew. One whose decision stays as it was costs nothing.
    pub fn line(&self, line: &str) {
        let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if !lines.contains(line) {
            lines.insert(line.to_owned());
        }
        drop(lines);
        self.0.changed.notify_one();
    }

    /// A whole sample is in the quota book, and what ended before it as far as that is known.
    pub fn sampled(&self) {
        if self.0.samples.fetch_add(1, Ordering::SeqCst) == 0 {
            // Limits wait for the first.
            self.0.changed.notify_one();
        }
    }

    pub(crate) fn samples(&self) -> u64 {
        self.0.samples.load(Ordering::SeqCst)
    }

    /// A session of this line ended, so that its limits on the router may be too large by now.
    pub fn session_ended(&self, line: &str) {
        let mut ended = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.insert(line.to_owned());
        drop(ended);
        self.0.changed.notify_one();
    }

    pub(crate) fn take_ended(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.0.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_ceiling_and_are_spread_over_all_of_it() {
        let backoff = Timings::default().reconnect;
        let check = |attempt, random, millis| {
            assert_eq!(backoff.wait(attempt, random), Duration::from_millis(millis), "{attempt}");
        };
        check(0, 1_000, 1_000);
        check(0, 1_001, 0);
        check(3, 8_000, 8_000);
        check(6, 60_000, 60_000);
        check(1_000, 60_000, 60_000);
        check(1_000, u64::MAX, u64::MAX % 60_001);
    }
}
