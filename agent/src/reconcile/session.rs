//! One connection, from the first greeting to its end: when a pass is due, and over what.
//!
//! Waits for the state to move, for news of rows, for a line to expire, for a retry, for the full check, for a person.
//! News are compared with what is wanted before anything is asked of the router, so that the echo of our own writes
//! costs nothing. A listen that the router does not offer is done without: the full check sees the same, later.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use routeros_api::menu::{Clock, Resource};
use routeros_api::value::parse_number;
use routeros_api::{Change, Client, Command, Error, Listen, Row};
use tawi_shared::Gather as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::{EventKind, FailureKind};
use tokio::time::{Instant, sleep_until};

use crate::desired::DesiredState;
use crate::flow::{LineFailure, Report, StateReceiver};
use crate::reconcile::actual::{Actual, Family, LoginRows, Table, mark, user_row};
use crate::reconcile::fixed::{
    BINDING_PROPERTIES, ENTRY_PROPERTIES, FixedRows, QUEUE_PROPERTIES, binding_row, entry_row, made_by_hand,
    our_lists, queue_row,
};
use crate::reconcile::ledger::PasswordKnowledge;
use crate::reconcile::pass::{Basis, LINES_READ_BY_NAME, Reach};
use crate::reconcile::plan::{Scope, WantedLine, plan};
use crate::reconcile::read::read_everything;
use crate::reconcile::{End, Reconciler};

/// What is not listened to: secrets, and counters that move all the time.
const UNHEARD: &[&str] = &["password", "bytes-in", "bytes-out"];

/// The longest wait for an expiry. The trusted clock may be corrected meanwhile, and then the timer is wrong.
const LONGEST_EXPIRY_WAIT: Duration = Duration::from_secs(30);

/// The shortest wait. An expiry may be late by it; in return nothing that is due and cannot be done keeps a core busy.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);

/// News taken before a pass; more than the client holds for two listens (256 rows each), so that a payment never waits
/// behind a stream of them.
const NEWS_AT_ONCE: usize = 512;

/// How often in a row a full check makes way for a state that moves. Then it runs to its end: a stream of payments must
/// not keep the router unchecked.
const CHECKS_PUT_OFF: u32 = 3;

impl Reconciler {
    /// Serves a connection until it or the agent ends.
    pub(crate) async fn serve(&mut self, client: &Client, state: &mut StateReceiver) -> End {
        self.good_profiles.clear();
        self.shows_passwords.clear();
        self.backlog.clear();
        self.has_checked = false;
        self.lacks_policy = false;
        let mut listens = Listens::start(client).await;
        if let Err(error) = self.greet(client).await {
            return End::Lost(error);
        }
        let mut next_full_check = Instant::now();
        let mut releases_seen = self.settings.release.count();
        let (recheck, rebuild) = (self.settings.recheck.clone(), self.settings.rebuild.clone());
        let found = self.settings.found.clone();
        let mut ends_of_silence = self.settings.contact.ends_of_silence();
        let mut turns = self.clock.turns();
        loop {
            let current = Arc::clone(&state.borrow_and_update());
            if self.rebuilds_seen != rebuild.count() {
                self.rebuilds_seen = rebuild.count();
                self.begin_rebuild().await;
                next_full_check = Instant::now();
            }
            if self.take_found_memory().await {
                next_full_check = Instant::now();
            }
            if let Err(error) = self.take_waiting_news(&mut listens, &current, &mut next_full_check).await {
                return End::Lost(error);
            }
            self.check_for_profiles(&mut next_full_check);
            self.check_waiting_limits(&mut next_full_check);
            if self.lacks_policy && next_full_check <= Instant::now() {
                return End::LogInAgain;
            }
            if let Err(error) = self.work(client, &current, state, &mut next_full_check).await {
                return End::Lost(error);
            }
            self.report_found().await;
            // What is ordered may be about a line that came this moment.
            let newest = Arc::clone(&state.borrow());
            match self.obey(client, &newest, &mut next_full_check).await {
                Err(error) => return End::Lost(error),
                Ok(true) => continue,
                Ok(false) => {}
            }
            match state.has_changed() {
                Err(_) => return End::Stopped,
                Ok(true) => continue,
                Ok(false) => {}
            }
            let wake = self.next_wake(&current, next_full_check);
            tokio::select! {
                changed = state.changed() => if changed.is_err() { return End::Stopped },
                news = listens.next() => match news {
                    Ok((heard, change)) => self.take_news(&current, heard, change, &mut next_full_check),
                    Err(error) => return End::Lost(error),
                },
                () = sleep_until(wake) => {}
                () = recheck.changed() => {}
                () = rebuild.changed() => {}
                () = found.given() => {}
                () = self.settings.orders.changed() => {}
                () = ends_of_silence.next() => {}
                () = turns.next() => {}
                lost = client.closed() => return End::Lost(Error::Closed { cause: lost }),
                () = self.settings.release.changed() => {
                    if self.settings.release.count() != releases_seen {
                        releases_seen = self.settings.release.count();
                        // To another router than before nothing is written until it is rebuilt.
                        if !self.is_stranger {
                            self.let_go_here().await;
                            next_full_check = Instant::now();
                        }
                    }
                }
                () = self.reports.closed() => return End::Stopped,
            }
        }
    }

    /// Reads the release and the clock.
    async fn greet(&mut self, client: &Client) -> Result<(), Error> {
        let (resource, clock) = tokio::join!(client.single::<Resource>(), client.single::<Clock>());
        let resource = unless_trapped(resource)?;
        self.up_at_greeting =
            resource.as_ref().and_then(|resource| resource.uptime).map(|up| (up, Instant::now()));
        if let Some(version) = resource.and_then(|resource| resource.version) {
            // `7.18.2 (stable)`: the channel is no part of the release.
            let version = String::from_utf8_lossy(&version);
            self.release = version.split(' ').next().unwrap_or_default().to_owned();
        }
        self.judge_limits_of_release();
        if let Some(clock) = unless_trapped(clock)? {
            self.note_time_of(&clock);
        }
        self.recognise(client).await
    }

    /// Says that the router is there: it has answered all that was asked of it.
    async fn report_found(&mut self) {
        if self.away_since.take().is_none() {
            return;
        }
        self.report_status(true).await;
        if std::mem::take(&mut self.is_lost) {
            self.event(EventKind::RouterFound, None, "the router answers again".to_owned()).await;
        }
    }

    fn note_time_of(&self, clock: &Clock) {
        if let Some(seconds) = clock.unix_seconds() {
            // A connection does not outlive a restart.
            let up = self.up_at_greeting.map(|(up, at)| up.saturating_add(at.elapsed()));
            let time = UnixMillis(seconds.saturating_mul(1_000));
            self.clock.note_router_time(&self.settings.name, time, up);
        }
    }

    /// Runs the pass that is due most, and says where the router stands.
    async fn work(
        &mut self,
        client: &Client,
        current: &Arc<DesiredState>,
        state: &mut StateReceiver,
        next_full_check: &mut Instant,
    ) -> Result<(), Error> {
        // Before the controller has spoken, an empty state is ignorance and not an order to remove everything.
        if current.generation == 0 {
            return Ok(());
        }
        if self.ledger.trusted_generation == 0 {
            self.ledger.trusted_generation = self.settings.settled_generation.unwrap_or(current.generation);
        }
        let due = self.due_lines(current);
        let basis = self.basis(current);
        let is_few = !due.is_empty() && due.len() <= LINES_READ_BY_NAME;
        if self.has_checked && is_few {
            Box::pin(self.pass(client, basis, Reach::Lines(due), None)).await?;
        } else if !due.is_empty() || *next_full_check <= Instant::now() {
            let began = Instant::now();
            let Some(actual) = self.read_whole(client, state).await? else { return Ok(()) };
            Box::pin(self.pass(client, basis, Reach::Everything, Some(actual))).await?;
            self.has_checked = true;
            let router = self.settings.name.clone();
            self.report(Report::Checked { router, took: began.elapsed() }).await;
            *next_full_check = Instant::now() + self.settings.timings.full_check;
            if let Ok(clock) = client.single::<Clock>().await {
                self.note_time_of(&clock);
            }
        } else if self.is_portion_ready() {
            self.feel_pulse(client).await?;
            let most = self.pace.allowed(self.origin.elapsed()).max(1);
            Box::pin(self.pass(client, basis, Reach::Lines(self.backlog.portion(most)), None)).await?;
        }
        self.forget_speeds().await;
        if self.is_rebuilding && self.has_checked && self.backlog.is_empty() {
            let lines = self.lines(current).count();
            self.end_rebuild(lines).await;
        }
        if self.backlog.is_older_than(current.generation) {
            self.report_settled(current.generation, self.all_failures()).await;
        }
        Ok(())
    }

    fn is_portion_ready(&mut self) -> bool {
        let (now, waiting) = (self.origin.elapsed(), self.backlog.len());
        waiting > 0 && self.pace.ready_at(waiting, now) <= now
    }

    /// Asks the router how busy it is, before more is asked of it.
    async fn feel_pulse(&mut self, client: &Client) -> Result<(), Error> {
        let asked = Instant::now();
        let print = Command::new("/system/resource/print").proplist(&["cpu-load"]);
        let reply = unless_trapped(client.run(print).await)?;
        let row = reply.as_ref().and_then(|reply| reply.rows.first());
        let load = row.and_then(|row| row.parsed("cpu-load", parse_number).ok().flatten());
        self.pace.note(load, asked.elapsed(), self.origin.elapsed());
        Ok(())
    }

    /// Reads every row. On a weak router that takes seconds, so that a state that moves meanwhile goes first: `None`.
    async fn read_whole(
        &mut self,
        client: &Client,
        state: &mut StateReceiver,
    ) -> Result<Option<Actual>, Error> {
        let may_yield = self.has_checked && self.checks_put_off < CHECKS_PUT_OFF;
        let actual = tokio::select! {
            actual = Box::pin(read_everything(client)) => actual?,
            _ = state.changed(), if may_yield => {
                state.mark_changed();
                self.checks_put_off = self.checks_put_off.saturating_add(1);
                return Ok(None);
            }
        };
        self.checks_put_off = 0;
        Ok(Some(actual))
    }

    /// What is wrong, and what merely waits.
    fn all_failures(&self) -> Vec<LineFailure> {
        let mut failures = self.ledger.failures();
        let failing: BTreeSet<&str> = failures.iter().map(|failure| failure.line.as_str()).into_set();
        let waiting = self.backlog.lines().filter(|line| !failing.contains(line.as_str()));
        let waiting: Vec<LineFailure> = waiting
            .map(|line| LineFailure {
                line: line.clone(),
                kind: FailureKind::NotApplied,
                detail: "waits for its turn behind other changes".to_owned(),
            })
            .collect();
        failures.extend(waiting);
        failures
    }

    fn next_wake(&mut self, state: &DesiredState, next_full_check: Instant) -> Instant {
        if state.generation == 0 {
            return Instant::now() + self.settings.timings.full_check;
        }
        let basis = self.basis(state);
        let by_time = self.agenda.next(basis.reading.now, basis.reading.leap_in_doubt, basis.silence);
        let by_time = by_time.map(|wait| Instant::now() + wait.min(LONGEST_EXPIRY_WAIT));
        // What was silence before this run counts from that moment on, in one leap.
        let own_silence = self.settings.contact.strikes_anew_in().map(|wait| Instant::now() + wait);
        let retry = self.ledger.next_retry().map(|at| self.origin + at);
        let waiting = self.backlog.len();
        let portion = (waiting > 0).then(|| self.origin + self.pace.ready_at(waiting, self.origin.elapsed()));
        let next = [Some(next_full_check), by_time, own_silence, retry, portion].into_iter().flatten().min();
        next.unwrap_or(next_full_check).max(Instant::now() + SHORTEST_WAIT)
    }

    /// Takes the news that have come already, before a pass and not one by one between passes: the echoes of the last
    /// pass are then compared before the next one changes what they would be compared with.
    async fn take_waiting_news(
        &mut self,
        listens: &mut Listens,
        state: &DesiredState,
        next_full_check: &mut Instant,
    ) -> Result<(), Error> {
        for _ in 0..NEWS_AT_ONCE {
            let news = tokio::select! {
                biased;
                news = listens.next() => news?,
                () = std::future::ready(()) => return Ok(()),
            };
            self.take_news(state, news.0, news.1, next_full_check);
        }
        Ok(())
    }

    /// Marks a line as suspect when news of its row do not fit what is wanted.
    fn take_news(
        &mut self,
        state: &DesiredState,
        heard: Heard,
        change: Change,
        next_full_check: &mut Instant,
    ) {
        let now = self.origin.elapsed();
        let table = match heard {
            Heard::Rows(table) => table,
            Heard::Profiles(family) => {
                if change == Change::Resync {
                    *next_full_check = Instant::now();
                }
                return self.take_profile_news(state, family, &change);
            }
        };
        let line = match change {
            Change::Resync => {
                *next_full_check = Instant::now();
                None
            }
            Change::Removed(id) => self.ledger.row_hints.remove(&(table, id.number())),
            Change::Row(row) => self.line_off_its_row(state, table, &row),
        };
        let Some(line) = line.filter(|line| self.ledger.may_repair_at_once(line, now)) else { return };
        if let Some(entry) = self.ledger.entries.get_mut(&line).filter(|entry| entry.verified.is_some()) {
            entry.is_suspect = true;
            self.agenda.add(line);
        }
    }

    /// The line that this row belongs to, by its mark or by the id that it was last read with, if the row is not as
    /// the line wants it.
    fn line_off_its_row(&self, state: &DesiredState, table: Table, row: &Row) -> Option<String> {
        let marked = mark(row).filter(|mark| self.line(state, mark).is_some());
        let id = match marked {
            Some(marked) => marked,
            // Somebody took the mark away.
            None => self.ledger.row_hints.get(&(table, row.id()?.number()))?.clone(),
        };
        let line = self.line(state, &id)?;
        let basis = self.basis(state);
        let (service, wanted_state) = self.effective(basis, &line.item).ok()?;
        let family = Family::of(service);
        let mut actual = Actual::default();
        match family.logins() {
            Some(menus) if table.family() == family => {
                let rows =
                    LoginRows { users: user_row(menus, row).into_iter().collect(), ..LoginRows::default() };
                actual.logins.insert(family, rows);
            }
            // One row of several says little: a look at the others of this line is cheap, and an echo of our own write
            // is told apart by what was verified.
            _ => return self.is_news_of_fixed(basis, &id, table, row).then_some(id),
        }
        let wanted = WantedLine {
            line: &line.item,
            service,
            state: wanted_state,
            password: self.password_knowledge(line),
            owes_kick: &[],
            allowance: self.allowance(basis, &line.item),
            revision: line.revision,
        };
        let template = &self.settings.profile_template;
        let scope = Scope {
            wanted: vec![wanted],
            gone: vec![],
            profiles: &state.profiles,
            template,
            all_lines: None,
        };
        let planned = plan(&scope, &actual);
        (!planned.lines.is_empty() || !planned.failures.is_empty()).then_some(id)
    }

    /// Whether a row of a line where nobody logs in, or one in a menu where its line has none, is not as it should be.
    fn is_news_of_fixed(&self, basis: Basis<'_>, id: &str, table: Table, row: &Row) -> bool {
        let Some(line) = self.line(basis.state, id) else { return false };
        let Ok((service, state)) = self.effective(basis, &line.item) else { return false };
        if Family::of(service) != table.family() {
            return true;
        }
        let wanted = WantedLine {
            line: &line.item,
            service,
            state,
            password: PasswordKnowledge::Right,
            owes_kick: &[],
            allowance: None,
            revision: line.revision,
        };
        let template = &self.settings.profile_template;
        let profiles = &basis.state.profiles;
        let scope = Scope { wanted: vec![wanted], gone: vec![], profiles, template, all_lines: None };
        let mut rows = FixedRows::default();
        match table {
            Table::Queues => rows.queues.extend(queue_row(row)),
            Table::AddressLists => rows.entries.extend(entry_row(row)),
            Table::Bindings => rows.bindings.extend(binding_row(row)),
            Table::Secrets | Table::HotspotUsers => {}
        }
        let planned = plan(&scope, &Actual { fixed: Some(rows), ..Actual::default() });
        // The other rows of the line were not given, so that the plan would add them: only this table speaks.
        planned.lines.iter().any(|change| change.table == table)
    }
}

/// `None` when the router has no such menu or does not let us see it.
fn unless_trapped<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_connection_lost() => Err(error),
        Err(_) => Ok(None),
    }
}

/// What news are about.
#[derive(Clone, Copy)]
enum Heard {
    /// Rows of lines.
    Rows(Table),
    /// Speed profiles.
    Profiles(Family),
}

/// News of the rows of lines and of profiles.
struct Listens(Vec<(Heard, Listen)>);

impl Listens {
    async fn start(client: &Client) -> Self {
        let mut listens = Vec::new();
        for table in Table::ALL {
            let command = Command::new(format!("{}/listen", table.path()));
            let command = match table {
                Table::Queues => command.proplist(QUEUE_PROPERTIES).query(made_by_hand()),
                Table::AddressLists => {
                    let command = command.proplist(ENTRY_PROPERTIES);
                    match our_lists() {
                        Some(lists) => command.query(lists.and(made_by_hand())),
                        None => command,
                    }
                }
                Table::Bindings => command.proplist(BINDING_PROPERTIES),
                Table::Secrets | Table::HotspotUsers => {
                    let all = table.family().logins().map_or(&[][..], |menus| menus.user_properties);
                    let properties: Vec<&str> =
                        all.iter().copied().filter(|property| !UNHEARD.contains(property)).collect();
                    command.proplist(&properties)
                }
            };
            if let Ok(listen) = client.listen(command).await {
                listens.push((Heard::Rows(table), listen));
            }
        }
        for family in Family::LOGINS {
            let Some(menus) = family.logins() else { continue };
            let command = Command::new(format!("{}/listen", menus.profiles));
            if let Ok(listen) = client.listen(command.proplist(menus.profile_properties)).await {
                listens.push((Heard::Profiles(family), listen));
            }
        }
        Self(listens)
    }

    /// The next change of any; waits forever when no listen is left.
    async fn next(&mut self) -> Result<(Heard, Change), Error> {
        loop {
            let (index, news) = self.next_of_any().await;
            match news {
                Some(Ok(change)) => {
                    let heard = self.0.get(index).map_or(Heard::Rows(Table::Secrets), |(heard, _)| *heard);
                    return Ok((heard, change));
                }
                Some(Err(error)) if error.is_connection_lost() => return Err(error),
                // The router does not offer it, or ended it: the full check stands in.
                Some(Err(_)) | None => {
                    self.0.remove(index);
                }
            }
        }
    }

    async fn next_of_any(&mut self) -> (usize, Option<Result<Change, Error>>) {
        let mut waits: Vec<_> = self.0.iter_mut().map(|(_, listen)| Box::pin(listen.next())).collect();
        std::future::poll_fn(|context| {
            for (index, wait) in waits.iter_mut().enumerate() {
                if let std::task::Poll::Ready(news) = wait.as_mut().poll(context) {
                    return std::task::Poll::Ready((index, news));
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}
