//! Counts what the lines of one router move, and tells when they come and go.
//!
//! Shares the reconciler's connection. A sample reads every session with its counters; the next is taken after a pause
//! that follows the router's load and the nearest quota, at the instant a period begins, and at once when a listen says
//! that somebody came or went, but never so often that it takes more than a tenth of the router's time. Sessions come and
//! go by whole samples alone, so that news that arrive late or twice change nothing; only the router's own log-out totals
//! end a session by themselves, and a hotspot's user has totals too. Pure parts: `join` (whose counters), `logout` (the router's last word), `tracker` and
//! `session` (how much), `quota` (how much of the period's allowance), `pace` (how often).

pub mod book;
pub mod counted;
#[cfg(test)]
mod histories;
pub mod join;
pub mod logout;
pub mod made;
mod news;
mod next_period;
pub mod pace;
pub mod quota;
mod read;
mod session;
#[cfg(test)]
mod tests;
pub mod tracker;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use routeros_api::{Client, Error};
use tawi_shared::Gather as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::{EventKind, LineV1, Service};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::clock::TrustedClock;
use crate::desired::DesiredState;
use crate::enforce::running_quota;
use crate::flow::{Event, Report, ReportSender, StateReceiver};
use crate::reconcile::actual::Family;
use crate::reconcile::plan::native::closing_quota;
use crate::reconcile::{Recheck, RouterSettings};
use book::Quotas;
use counted::Counted;
use logout::{AccountLine, Caught, Heard};
use made::MadeRows;
use news::{News, Told};
use next_period::NextPeriod;
use pace::{Observed, PAUSE_PER_SAMPLE, Refusals, time_left};
use quota::PeriodRecord;
use tracker::{Outcome, Owner, SampledAt, Tracker};

/// The shortest time between two samples that news trigger. A town whose power returns dials in within seconds.
const NEWS_PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether a period has begun: the trusted clock may be corrected meanwhile, and then the timer is
/// wrong.
const LOOK_FOR_PERIOD: Duration = Duration::from_secs(30);

/// The connection, while there is one.
pub(crate) type SharedClient = watch::Receiver<Option<Client>>;

/// The counting half of a router's task.
pub(crate) struct Counter {
    router: String,
    interval: Duration,
    reports: ReportSender,
    clock: TrustedClock,
    quotas: Quotas,
    recheck: Recheck,
    made: MadeRows,
    tracker: Tracker,
    origin: Instant,
    /// When the last whole sample was taken, by `origin`.
    sampled: Option<Duration>,
    heard: Heard,
    /// The state whose lines are known to the tracker.
    known: Arc<DesiredState>,
    /// Lines that came, and whose sessions were not looked at since.
    unseen_lines: BTreeSet<String>,
    /// The queues of the last whole sample on this connection: one that was not there began to count since.
    queues_seen: Option<BTreeSet<String>>,
}

/// Which lines may have used their quota up.
#[derive(Clone, Copy)]
enum Suspect {
    /// Any: a period, a quota or what head office told may be new.
    All,
    /// Those that moved something.
    Moved,
}

/// Why serving a connection ended.
enum End {
    Stopped,
    Disconnected,
}

impl Counter {
    /// Takes the open sessions out of the settings: they would be held for as long as the router is served.
    pub(crate) fn new(
        settings: &mut RouterSettings,
        reports: ReportSender,
        clock: TrustedClock,
        state: &Arc<DesiredState>,
    ) -> Self {
        let mut tracker = Tracker::new(&settings.name);
        tracker.idle_after(settings.timings.idle);
        tracker.resume(&std::mem::take(&mut settings.open_sessions));
        if !settings.are_sessions_known {
            tracker.doubt_running();
        }
        let mut counter = Self {
            router: settings.name.clone(),
            interval: settings.timings.sample,
            reports,
            clock,
            quotas: settings.quotas.clone(),
            recheck: settings.recheck.clone(),
            made: settings.made_rows.clone(),
            tracker,
            origin: Instant::now(),
            sampled: None,
            heard: Heard::default(),
            known: std::mem::take(&mut settings.looked_at),
            unseen_lines: BTreeSet::new(),
            queues_seen: None,
        };
        counter.note_lines(state);
        counter
    }

    /// Takes note of lines that came: what their users moved before is nobody's. Whether there are any.
    fn note_lines(&mut self, state: &Arc<DesiredState>) -> bool {
        if Arc::ptr_eq(&self.known, state) {
            return false;
        }
        let known = std::mem::replace(&mut self.known, Arc::clone(state));
        let new = lines_of(state, &self.router).filter(|line| known.is_news_of_sessions(line));
        let new: Vec<String> = new.map(|line| line.line.clone()).collect();
        let since = self.origin.elapsed();
        new.iter().for_each(|line| self.tracker.line_came(line, since));
        let is_here = |id: &str| state.lines.get(id).is_some_and(|line| line.item.router == self.router);
        self.tracker.keep_lines(is_here);
        self.unseen_lines.retain(|id| is_here(id));
        let has_come = !new.is_empty();
        self.unseen_lines.extend(new);
        has_come
    }

    /// Takes note of rows that were made, before anything is judged that may be of a session under one of them.
    fn note_made(&mut self) {
        for line in self.made.take() {
            self.tracker.row_made(&line, self.known.lines.contains_key(&line));
        }
    }

    /// Counts until the agent stops.
    pub(crate) async fn run(mut self, mut clients: SharedClient, state: StateReceiver) {
        loop {
            let client = clients.borrow_and_update().clone();
            if let Some(client) = client
                && matches!(self.serve(&client, &mut clients, &state).await, End::Stopped)
            {
                return;
            }
            if clients.wait_for(Option::is_some).await.is_err() {
                return;
            }
        }
    }

    async fn serve(&mut self, client: &Client, clients: &mut SharedClient, state: &StateReceiver) -> End {
        let current = Arc::clone(&state.borrow());
        self.note_lines(&current);
        let mut services = services_of(&current, &self.router);
        let mut news = self.listen(client, &services, state).await;
        let mut next_period = NextPeriod::of(state, &self.router, self.clock.now());
        let mut next_sample = Instant::now();
        let mut next_by_news = Instant::now();
        let (mut has_news, mut refusals) = (false, Refusals::default());
        let mut wakes = self.quotas.wakes();
        let mut states = state.clone();
        self.queues_seen = None;
        loop {
            let due = if has_news { next_sample.min(next_by_news) } else { next_sample };
            let begins = next_period.due(&self.router, self.clock.now());
            let due = begins.map_or(due, |begins| due.min(begins.max(next_by_news)));
            tokio::select! {
                () = sleep_until(due.min(Instant::now() + LOOK_FOR_PERIOD)) => {
                    let started = Instant::now();
                    if started < due {
                        continue;
                    }
                    let current = Arc::clone(&state.borrow());
                    self.note_lines(&current);
                    let wanted = services_of(&current, &self.router);
                    if wanted != services {
                        services = wanted;
                        news = self.listen(client, &services, state).await;
                    }
                    let (mut observed, asked_at) = (Observed::default(), self.clock.now());
                    match Box::pin(self.sample(client, &current)).await {
                        Ok(sampled) => {
                            observed = sampled;
                            refusals = Refusals::default();
                            next_period.take(&self.router, asked_at);
                        }
                        Err(error) if error.is_connection_lost() => return self.wait_for_another(clients).await,
                        Err(error) => {
                            if refusals.note(&error.to_string()) {
                                tracing::warn!(router.name = %self.router, %error, "samples of usage fail");
                            }
                        }
                    }
                    observed.took = started.elapsed();
                    let pause = started.elapsed().saturating_mul(PAUSE_PER_SAMPLE).max(NEWS_PAUSE);
                    let pause = pause.max(refusals.wait(self.interval));
                    next_by_news = Instant::now() + pause;
                    next_sample = started + pace::pause(self.interval, observed).max(pause);
                    has_news = false;
                }
                told = news.next(&mut self.heard) => match told {
                    Some(Told::CameOrWent) => has_news = true,
                    Some(Told::Logged(line)) => {
                        let current = Arc::clone(&state.borrow());
                        // Whose it is is judged by what is known of its line.
                        if self.note_lines(&current) {
                            next_sample = next_sample.min(Instant::now().max(next_by_news));
                        }
                        self.take_log_out(&line, &current).await;
                    }
                    Some(Told::Missed) => {
                        let caught = news.catch_up(client, &services, &mut self.heard).await;
                        if self.note_lines(&Arc::clone(&state.borrow())) {
                            next_sample = next_sample.min(Instant::now().max(next_by_news));
                        }
                        self.take_caught(&caught, state).await;
                    }
                    None => return self.wait_for_another(clients).await,
                },
                changed = clients.changed() => return match changed {
                    Ok(()) => End::Disconnected,
                    Err(_) => End::Stopped,
                },
                Ok(()) = states.changed() => {
                    // A session may begin and end before the next sample: its log is to be listened to by then. And what
                    // the session of a line that came has moved is nobody's up to the first look at it.
                    let current = Arc::clone(&states.borrow_and_update());
                    if self.note_lines(&current) | (services_of(&current, &self.router) != services) {
                        next_sample = next_sample.min(Instant::now().max(next_by_news));
                    }
                }
                Ok(()) = wakes.changed() => {
                    let current = Arc::clone(&state.borrow());
                    let with_quota = lines_of(&current, &self.router).filter(|line| !line.quotas.is_empty());
                    with_quota.for_each(|line| self.recheck.line(&line.line));
                }
                () = self.reports.closed() => return End::Stopped,
            }
        }
    }

    /// The connection is over; the reconciler notices too and makes another.
    async fn wait_for_another(&self, clients: &mut SharedClient) -> End {
        match clients.changed().await {
            Ok(()) => End::Disconnected,
            Err(_) => End::Stopped,
        }
    }

    /// Listens from here on, and takes what was logged while nobody did.
    async fn listen(&mut self, client: &Client, services: &BTreeSet<Service>, state: &StateReceiver) -> News {
        let news = News::start(client, services).await;
        let caught = news.catch_up(client, services, &mut self.heard).await;
        self.take_caught(&caught, state).await;
        news
    }

    /// Told as one: what is put down says that all of these lines were heard.
    async fn take_caught(&mut self, caught: &Caught, state: &StateReceiver) {
        let current = Arc::clone(&state.borrow());
        let at = self.sampled_at();
        self.note_made();
        self.tracker.note_heard(self.heard.by_service());
        let outcome = match caught {
            Caught::Whole(printed) => self.tracker.catch_up(at, printed),
            Caught::Missed(missed) => missed.iter().fold(Outcome::default(), |mut all, line| {
                let owner = owner_of(&current, &self.router, line, at.time);
                let Outcome { usage, events } = self.tracker.log_out(at, line.service, &line.word, owner);
                all.usage.extend(usage);
                all.events.extend(events);
                all
            }),
        };
        self.tell(at, outcome, Suspect::Moved, &current).await;
    }

    async fn take_log_out(&mut self, line: &AccountLine, state: &DesiredState) {
        let at = self.sampled_at();
        self.note_made();
        self.tracker.note_heard(self.heard.by_service());
        let owner = owner_of(state, &self.router, line, at.time);
        let outcome = self.tracker.log_out(at, line.service, &line.word, owner);
        self.tell(at, outcome, Suspect::Moved, state).await;
    }

    fn sampled_at(&self) -> SampledAt {
        SampledAt::moment(self.clock.now(), self.origin.elapsed())
    }

    async fn sample(&mut self, client: &Client, state: &DesiredState) -> Result<Observed, Error> {
        // Before the state is known, every session would be a stranger's and every known one would seem to have ended.
        if state.generation == 0 {
            return Ok(Observed::default());
        }
        self.expect(state);
        let router = self.router.clone();
        let lines: HashMap<(Service, &str), &LineV1> = lines_of(state, &router)
            .filter_map(|line| {
                let service = Service::from_code(line.service)?;
                let is_standing = session::is_standing(service);
                Some(((service, if is_standing { &line.line } else { &line.username }.as_str()), line))
            })
            .collect();
        let mut services = services_of(state, &self.router);
        services.extend(self.tracker.services());
        let asked = self.origin.elapsed();
        let read::Sample { sessions: seen, queues, cpu_percent } =
            read::read_sessions(client, &services, self.queues_seen.as_ref(), |line| {
                let has = |service| lines.contains_key(&(service, line));
                [Service::Static, Service::HotspotDevice].into_iter().find(|service| has(*service))
            })
            .await?;
        self.queues_seen = queues;
        self.note_made();
        let at = SampledAt { asked, ..self.sampled_at() };
        let owner_of = |service, user: &str| {
            let line = lines.get(&(service, user))?;
            let period_ms = running_quota(line, at.time).map_or(0, |quota| quota.from_ms);
            Some(Owner { line: &line.line, period_ms })
        };
        self.tracker.note_heard(self.heard.by_service());
        let outcome = self.tracker.sample(at, &seen, owner_of);
        drop(seen);
        let since_last = at.elapsed.saturating_sub(self.sampled.replace(at.elapsed).unwrap_or(at.elapsed));
        let nearest_quota = self.nearest_quota(&outcome, state, at.time, since_last);
        self.tell(at, outcome, Suspect::All, state).await;
        // Behind what was counted: a start between the two looks at them once more.
        if !self.unseen_lines.is_empty() {
            let lines = std::mem::take(&mut self.unseen_lines).into_iter().collect();
            let _ = self.reports.send(Report::LinesSeen { lines }).await;
        }
        // Whom the router has cut at its limit moved the last of it behind the last sample.
        if !services.contains(&Service::Hotspot) || self.settle(client, state).await? {
            self.recheck.sampled();
        }
        Ok(Observed { took: Duration::ZERO, cpu_percent, nearest_quota })
    }

    /// Whose the users of the hotspot are.
    fn expect(&mut self, state: &DesiredState) {
        let is_hotspot = |line: &&LineV1| Service::from_code(line.service) == Some(Service::Hotspot);
        let lines = lines_of(state, &self.router).filter(is_hotspot);
        self.tracker.expect_of(lines.map(|line| (line.username.as_str(), line.line.as_str())));
    }

    /// Counts what hotspot sessions moved up to their end, by the totals of their users; whether they could be read.
    async fn settle(&mut self, client: &Client, state: &DesiredState) -> Result<bool, Error> {
        let wanted = self.tracker.wanted_totals().clone();
        if wanted.is_empty() {
            return Ok(true);
        }
        let is_of = |user: &str, line: &str| self.tracker.line_of_total(user) == Some(line);
        let (totals, running) = match read::read_totals(client, &wanted, is_of).await {
            Ok(read) => read,
            Err(error) if error.is_connection_lost() => return Err(error),
            Err(error) => {
                // They are asked for again with the next sample.
                tracing::debug!(router.name = %self.router, %error, "the totals of hotspot users are not read");
                return Ok(false);
            }
        };
        let at = self.sampled_at();
        let outcome = self.tracker.settle(at, &totals, &running);
        self.tell(at, outcome, Suspect::Moved, state).await;
        Ok(true)
    }

    /// When the first of the lines that moved anything will have used its quota up; those that have do not count.
    fn nearest_quota(
        &self,
        outcome: &Outcome,
        state: &DesiredState,
        now: UnixMillis,
        since_last: Duration,
    ) -> Option<Duration> {
        let mut moved: BTreeMap<&str, u64> = BTreeMap::new();
        for counted in &outcome.usage {
            let bytes = moved.entry(&counted.total.line).or_default();
            *bytes = bytes.saturating_add(counted.grown_bytes);
        }
        let left = moved.into_iter().filter_map(|(line, bytes)| {
            let line = &state.lines.get(line)?.item;
            let quota = running_quota(line, now)?;
            // What this sample adds is not in the book yet.
            let used = self.quotas.used(line, now)?.saturating_add(bytes);
            let left_bytes = quota.bytes.checked_sub(used).filter(|left| *left > 0)?;
            time_left(left_bytes, bytes, since_last)
        });
        left.min()
    }

    /// Puts what was counted into the book, and reports it with what follows from it.
    async fn tell(&self, at: SampledAt, outcome: Outcome, suspect: Suspect, state: &DesiredState) {
        let Outcome { usage, mut events } = outcome;
        let suspects: Vec<&LineV1> = match suspect {
            Suspect::All => lines_of(state, &self.router).filter(|line| !line.quotas.is_empty()).collect(),
            Suspect::Moved => {
                let moved = usage.iter().filter_map(|counted| state.lines.get(&counted.total.line));
                moved.map(|line| &line.item).filter(|line| line.router == self.router).collect()
            }
        };
        let running = |line: &str| {
            let line = state.lines.get(line).map(|line| &line.item);
            line.and_then(|line| running_quota(line, at.time)).map_or(0, |quota| quota.from_ms)
        };
        let (mut periods, reached) = self.quotas.with(|book| {
            let periods = book.take(&usage, running);
            let with_quota = suspects.into_iter().filter_map(|line| {
                let quota = running_quota(line, at.time)?;
                Some((line, quota, book.newly_reached(&line.line, quota)?))
            });
            let reached: Vec<(String, u64, PeriodRecord)> =
                with_quota.map(|(line, quota, record)| (line.line.clone(), quota.bytes, record)).collect();
            (periods, reached)
        });
        // The reconciler is woken first: what is moved from here on is moved beyond the quota.
        reached.iter().for_each(|(line, ..)| self.recheck.line(line));
        self.tell_of_ends(&usage, at, state);
        for (line, bytes, record) in reached {
            events.push((EventKind::QuotaReached, line.clone(), format!("{bytes} bytes are used up")));
            periods.insert(line, record);
        }
        // Totals go first: whoever hears that a quota is used up is told of the bytes that did it.
        if !usage.is_empty() || !periods.is_empty() {
            let _ = self.reports.send(Report::Usage { sessions: usage, periods }).await;
        }
        for (kind, line, detail) in events {
            let router = Some(self.router.clone());
            let event = Event { at: at.time, kind, line: Some(line), router, detail };
            let _ = self.reports.send(Report::Event(event)).await;
        }
    }

    /// A limit of PPP is per session: what the one that ended has moved is off the next one's.
    fn tell_of_ends(&self, usage: &[Counted], at: SampledAt, state: &DesiredState) {
        for total in usage.iter().map(|counted| &counted.total).filter(|total| total.is_ended) {
            let line = state.lines.get(&total.line).map(|line| &line.item);
            let is_ppp = |line: &LineV1| Family::of_code(line.service) == Some(Family::Ppp);
            if line.is_some_and(|line| is_ppp(line) && closing_quota(line, at.time).is_some()) {
                self.recheck.session_ended(&total.line);
            }
        }
    }
}

/// Whose a line of the log is.
fn owner_of<'a>(
    state: &'a DesiredState,
    router: &'a str,
    said: &AccountLine,
    now: UnixMillis,
) -> Option<Owner<'a>> {
    let is_its = |line: &&LineV1| {
        line.username == said.word.user && Service::from_code(line.service) == Some(said.service)
    };
    let line = lines_of(state, router).find(is_its)?;
    let period_ms = running_quota(line, now).map_or(0, |quota| quota.from_ms);
    Some(Owner { line: &line.line, period_ms })
}

fn lines_of<'a>(state: &'a DesiredState, router: &'a str) -> impl Iterator<Item = &'a LineV1> {
    state.lines.values().map(|line| &line.item).filter(move |line| line.router == router)
}

fn services_of(state: &DesiredState, router: &str) -> BTreeSet<Service> {
    lines_of(state, router).filter_map(|line| Service::from_code(line.service)).into_set()
}
