//! Makes one router agree with the desired state, and keeps it so.
//!
//! ```text
//! state ─┐                       ┌─> plan ─> guard ─┐
//! listen ┼─> what is due ─> read ┤                  ├─> apply ─> read back ─> plan again: empty, or a failure
//! timers ┘                       └──────<───────────┘
//! ```
//!
//! One task and one connection a router. Pure decisions are in `plan`, `guard`, `verify` and `ledger`; `read` and
//! `apply` talk to the router. A pass takes every line that is due at its start; what comes due meanwhile is the next
//! pass, at once. Invariants: rows without our mark are never written; ids are used only in the pass that read them; no
//! write is sent twice without reading in between; nothing is written before the controller has spoken. Usage shares
//! the connection and is next door in `crate::usage`.

pub mod actual;
mod agenda;
mod apply;
mod backlog;
mod circumstances;
pub mod fixed;
mod foreign;
pub mod found;
pub mod guard;
pub mod held;
mod holding;
mod ledger;
mod limits;
pub mod memory;
mod misplaced;
pub mod orders;
pub mod pace;
mod pass;
pub mod plan;
mod profile_kicks;
mod profile_news;
pub(crate) mod read;
mod record;
mod session;
mod settings;
mod verify;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use routeros_api::{Client, Error, LoginError};
use tawi_shared::Gather as _;
use tawi_shared::IdSource;
use tawi_shared::wire::{EventKind, FailureKind, ProfileV1};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock::TrustedClock;
use crate::desired::{DesiredState, ProfileKey, Revised};
use crate::flow::{Event, LineFailure, Report, ReportSender, StateReceiver};
use crate::trouble::{Trouble, trouble_of, why_lost};
use crate::usage;

use actual::{Family, ProfileRow};
use agenda::Agenda;
use backlog::Backlog;
use guard::CutHistory;
use ledger::Ledger;
use memory::RouterMemory;
use pace::Pace;
use profile_kicks::ProfileKicks;
pub use settings::{Backoff, GuardRelease, Rebuild, Recheck, RouterSettings, Timings, WriteGate};

/// Starts the reconciler of one router, and with it the counting of usage there. It ends when the state's sender or
/// the receiver of the reports is gone; aborting it is safe at any point, because every write is made such that a
/// later pass can tell whether it happened.
pub fn spawn(
    settings: RouterSettings,
    state: StateReceiver,
    reports: ReportSender,
    clock: TrustedClock,
) -> JoinHandle<()> {
    tokio::spawn(Reconciler::new(settings, reports, clock).run(state))
}

/// Why a connection is no longer served.
pub(crate) enum End {
    /// The agent stops.
    Stopped,
    /// Connect anew.
    Lost(Error),
    /// The router refused something for want of a policy. Somebody may have given it meanwhile, and only a new login
    /// has it.
    LogInAgain,
}

/// The task's own memory.
pub(crate) struct Reconciler {
    settings: RouterSettings,
    reports: ReportSender,
    clock: TrustedClock,
    ids: IdSource,
    origin: Instant,
    ledger: Ledger,
    history: CutHistory,
    /// Lines whose held cuts a person let go.
    released: BTreeSet<String>,
    /// What was let go and not yet told of.
    let_go: Option<holding::LetGo>,
    /// Profiles that stand on the router as this revision wants them.
    good_profiles: BTreeMap<ProfileKey, Arc<Revised<ProfileV1>>>,
    /// Since when sessions were ended for profiles.
    profile_kicks: ProfileKicks,
    /// Profiles that news say are not as wanted.
    suspect_profiles: BTreeSet<(Family, String)>,
    /// The profiles that new ones start from, as last read.
    templates: BTreeMap<Family, ProfileRow>,
    /// PPP profiles of the state by which nobody gets an address, as last read.
    without_addresses: BTreeSet<String>,
    /// Lines whose device is at another address than theirs, with what is said of each.
    misplaced: BTreeMap<String, String>,
    /// Families whose rows show their passwords on this connection.
    shows_passwords: BTreeSet<Family>,
    /// Our rows that let somebody in, by the last full check.
    usable_lines: usize,
    /// Changes that wait for their turn.
    backlog: Backlog,
    /// Whether this connection has had a full check.
    has_checked: bool,
    /// Whether the router's user was refused something for want of a policy, on this connection.
    lacks_policy: bool,
    /// How often in a row a full check made way for the state.
    checks_put_off: u32,
    /// Drift that was put right and not yet told.
    drift: Vec<(String, String)>,
    /// Why the guard holds what it holds; `None` while it holds nothing.
    held_because: Option<guard::Because>,
    /// Lines to decide about.
    agenda: Agenda,
    /// How fast many changes go to the router.
    pace: Pace,
    /// What must be known after a restart.
    memory: RouterMemory,
    /// Whether flash still has changes of speed that are not in it any more.
    are_speeds_forgotten: bool,
    /// Whether nobody knows yet whom the agent cut off before it was started.
    is_past_unknown: bool,
    /// Until when nothing waits for flash, by the monotonic clock.
    flash_doubted_until: Duration,
    /// Sessions that were to be ended before the restart are still to be found.
    is_resuming: bool,
    /// The number of the router that answers; empty until it was read.
    serial_now: String,
    /// Another router answers than the one that is remembered.
    is_stranger: bool,
    /// A person has the router made anew.
    is_rebuilding: bool,
    /// How many such orders were followed.
    rebuilds_seen: u64,
    /// Lines that the last passes restrained because head office is silent.
    offline_rule_applied: usize,
    /// The digest of what was last told to be held, and of how many working lines; `None` before the first word.
    told_held: Option<(String, usize)>,
    /// How many lines the last event about them named; 0 where none did.
    held_in_event: usize,
    /// How many worked then.
    working_in_event: usize,
    /// What was last said of a generation.
    settled: Option<(u64, Vec<LineFailure>)>,
    /// Since when the router is away; `None` while it answers. A router that lets us in and then does not answer is away.
    away_since: Option<Instant>,
    /// How long the router had been up when the connection was made, and when that was.
    up_at_greeting: Option<(Duration, Instant)>,
    /// Whether head office was told that it is.
    is_lost: bool,
    /// Why the last try to connect failed; `None` while connected, and before the first.
    trouble: Option<Trouble>,
    release: String,
    /// The largest limit of bytes that the router keeps.
    limit_ceiling: u64,
    /// Whether limits were left alone because nothing was counted yet in this run.
    do_limits_wait: bool,
}

impl Reconciler {
    fn new(settings: RouterSettings, reports: ReportSender, clock: TrustedClock) -> Self {
        let origin = Instant::now();
        let (pace, memory) = (Pace::new(settings.pace), settings.memory.clone());
        let mut history = CutHistory::default();
        history.restore(&memory.cuts);
        Self {
            agenda: Agenda::default(),
            pace,
            is_resuming: !memory.speeds.is_empty(),
            are_speeds_forgotten: false,
            is_past_unknown: settings.is_past_unknown,
            memory,
            flash_doubted_until: Duration::ZERO,
            serial_now: String::new(),
            is_stranger: false,
            is_rebuilding: false,
            rebuilds_seen: 0,
            offline_rule_applied: 0,
            settings,
            reports,
            clock,
            ids: IdSource::system(),
            origin,
            ledger: Ledger::default(),
            history,
            released: BTreeSet::new(),
            let_go: None,
            good_profiles: BTreeMap::new(),
            profile_kicks: ProfileKicks::default(),
            suspect_profiles: BTreeSet::new(),
            templates: BTreeMap::new(),
            without_addresses: BTreeSet::new(),
            misplaced: BTreeMap::new(),
            shows_passwords: BTreeSet::new(),
            usable_lines: 0,
            backlog: Backlog::default(),
            has_checked: false,
            lacks_policy: false,
            checks_put_off: 0,
            drift: Vec::new(),
            held_because: None,
            told_held: None,
            held_in_event: 0,
            working_in_event: 0,
            settled: None,
            away_since: Some(origin),
            up_at_greeting: None,
            is_lost: false,
            trouble: None,
            release: String::new(),
            limit_ceiling: u64::MAX,
            do_limits_wait: false,
        }
    }

    async fn run(mut self, mut state: StateReceiver) {
        let (clients, shared_client) = watch::channel(None);
        let mut counting = JoinSet::new();
        let usage = usage::Counter::new(
            &mut self.settings,
            self.reports.clone(),
            self.clock.clone(),
            &state.borrow(),
        );
        counting.spawn(usage.run(shared_client, state.clone()));
        let mut attempt: u32 = 0;
        while let Some(client) = self.connect(&mut state, attempt).await {
            let _ = clients.send(Some(client.clone()));
            let started = self.origin.elapsed();
            let end = Box::pin(self.serve(&client, &mut state)).await;
            let _ = clients.send(None);
            client.close();
            self.ledger.forget_connection();
            match end {
                End::Stopped => return,
                End::LogInAgain => {
                    tracing::info!(router.name = %self.settings.name, "logging in again, as the router's user lacks a policy");
                }
                End::Lost(error) => {
                    tracing::warn!(router.name = %self.settings.name, %error, "the connection to the router ended");
                }
            }
            self.away_since.get_or_insert_with(Instant::now);
            // A connection that never lived long counts as a failed attempt, or a router that drops every connection
            // would be logged in to without a pause.
            let lived = self.origin.elapsed().saturating_sub(started);
            attempt =
                if lived > self.settings.timings.reconnect.most { 0 } else { attempt.saturating_add(1) };
        }
    }

    /// Connects, however long that takes. `None` when the agent stops.
    async fn connect(&mut self, state: &mut StateReceiver, first_attempt: u32) -> Option<Client> {
        let mut attempt = first_attempt;
        let mut wait = match attempt {
            0 => Duration::ZERO,
            attempt => self.settings.timings.reconnect.wait(attempt.saturating_sub(1), self.ids.number()),
        };
        loop {
            let error = match self.connect_after(wait, state).await? {
                Ok(client) => {
                    self.report_trouble(None).await;
                    return Some(client);
                }
                Err(error) => error,
            };
            tracing::warn!(router.name = %self.settings.name, %error, "cannot reach the router");
            self.report_trouble(Some(trouble_of(&error))).await;
            wait = match error {
                Error::Login(LoginError::Refused { .. } | LoginError::LegacyRefused) => {
                    self.settings.timings.login_refused
                }
                _ => self.settings.timings.reconnect.wait(attempt, self.ids.number()),
            };
            attempt = attempt.saturating_add(1);
        }
    }

    /// One attempt. Meanwhile the state may move, and head office hears when the router has been away for too long.
    async fn connect_after(
        &mut self,
        wait: Duration,
        state: &mut StateReceiver,
    ) -> Option<Result<Client, Error>> {
        let options = self.settings.connect.clone();
        let mut attempt = Box::pin(async move {
            sleep(wait).await;
            Client::connect(options).await
        });
        let lost_at = self.away_since.unwrap_or(self.origin) + self.settings.timings.lost_after;
        loop {
            tokio::select! {
                result = &mut attempt => return Some(result),
                changed = state.changed() => {
                    changed.ok()?;
                    let current = Arc::clone(&state.borrow_and_update());
                    if self.is_lost {
                        self.report_unreachable(&current).await;
                    }
                }
                () = sleep_until(lost_at), if !self.is_lost => {
                    self.is_lost = true;
                    self.report_status(false).await;
                    self.event(EventKind::RouterLost, None, self.why_unreachable()).await;
                    let current = Arc::clone(&state.borrow_and_update());
                    self.report_unreachable(&current).await;
                }
                () = self.reports.closed() => return None,
            }
        }
    }

    /// Everything that waits for this router fails until it is back.
    async fn report_unreachable(&mut self, state: &Arc<DesiredState>) {
        if state.generation == 0 {
            return;
        }
        let mut failures = self.ledger.failures();
        let failing: BTreeSet<String> = failures.iter().map(|failure| failure.line.clone()).into_set();
        for line in self.due_lines(state).difference(&failing) {
            let detail = self.why_unreachable();
            failures.push(LineFailure { line: line.clone(), kind: FailureKind::RouterUnreachable, detail });
        }
        self.report_settled(state.generation, failures).await;
    }

    /// What people are told of a router that cannot be worked with.
    fn why_unreachable(&self) -> String {
        why_lost(&self.settings.name, self.trouble.as_ref())
    }

    /// Says why the router cannot be worked with, unless that was said already.
    pub(crate) async fn report_trouble(&mut self, trouble: Option<Trouble>) {
        if self.trouble == trouble {
            return;
        }
        self.trouble.clone_from(&trouble);
        self.report(Report::RouterTrouble { router: self.settings.name.clone(), trouble }).await;
    }

    /// Lines whose decision was not yet acted upon, or that are suspect, or whose retry is due.
    fn due_lines(&mut self, state: &Arc<DesiredState>) -> BTreeSet<String> {
        let basis = self.basis(state);
        self.agenda.take_state(&self.settings.name, state);
        self.agenda.take_time(basis.reading.now, basis.reading.leap_in_doubt, basis.silence);
        let mut lines = self.agenda.take();
        lines.extend(self.settings.recheck.take());
        lines.extend(self.ended_lines(pass::LINES_READ_BY_NAME / 2));
        let retries = self.ledger.retries.iter().filter(|(_, (at, _))| *at <= basis.mono);
        lines.extend(retries.map(|(line, _)| line.clone()));
        lines.retain(|id| self.is_due(basis, id));
        lines.iter().for_each(|id| self.agenda.add(id.clone()));
        lines
    }

    fn is_due(&self, basis: pass::Basis<'_>, id: &str) -> bool {
        let entry = self.ledger.entries.get(id);
        let is_retry_due = self.ledger.retries.get(id).is_some_and(|(at, _)| *at <= basis.mono);
        let Some(wanted) = self.decision(basis, id) else {
            return entry
                .is_some_and(|entry| entry.place.is_some() && (!entry.has_tried_removal || is_retry_due));
        };
        entry.is_none_or(|entry| {
            let is_new = !entry.decision.as_ref().is_some_and(|last| wanted.is_same(last));
            let is_other_quota =
                entry.limits_tried != limits::quota_key(&wanted.line.item, basis.reading.now);
            entry.is_suspect || is_retry_due || is_new || is_other_quota || entry.has_ended
        })
    }

    /// Says where this router stands, unless that was said already.
    async fn report_settled(&mut self, generation: u64, failures: Vec<LineFailure>) {
        let said = (generation, failures);
        if self.settled.as_ref() == Some(&said) {
            return;
        }
        let report =
            Report::Settled { router: self.settings.name.clone(), generation, failures: said.1.clone() };
        self.settled = Some(said);
        self.report(report).await;
    }

    async fn report_status(&self, is_reachable: bool) {
        let release = Some(self.release.clone()).filter(|release| !release.is_empty());
        let router = self.settings.name.clone();
        self.report(Report::RouterStatus { router, is_reachable, release }).await;
    }

    async fn event(&self, kind: EventKind, line: Option<&str>, detail: String) {
        let event = Event {
            at: self.clock.now(),
            kind,
            line: line.map(str::to_owned),
            router: Some(self.settings.name.clone()),
            detail,
        };
        self.report(Report::Event(event)).await;
    }

    /// Waits for room. A receiver that is gone ends the task at its next wait.
    async fn report(&self, report: Report) {
        let _ = self.reports.send(report).await;
    }
}
