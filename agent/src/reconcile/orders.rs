//! What a person orders of a router once: letting held cuts go, ending a line's sessions, making everything anew, naming
//! the rows of others, taking one of them over.
//!
//! Orders wait in a short queue while the router is away, and are carried out between two passes, one after the other.
//! Each is answered exactly once. Whether one may be carried out at all is not decided here (`crate::commands`); what a
//! row should look like is the plan's business alone, so that a row taken over is what the next pass wants it to be.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use routeros_api::value::RouterId;
use routeros_api::{Client, Command, Error, Reply};
use tawi_shared::Gather as _;
use tawi_shared::wire::{EventKind, LineV1, Service};
use tawi_shared::{UnixMillis, counted};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::adoption::StateLine;
use crate::desired::DesiredState;
use crate::flow::{Done, Report};
use crate::reconcile::Reconciler;
use crate::reconcile::actual::{Actual, Family, Table, UserRow, mark_of};
use crate::reconcile::apply::{ReadBack, Unkept, apply};
use crate::reconcile::foreign;
use crate::reconcile::held::digest_of;
use crate::reconcile::memory::password_digest;
use crate::reconcile::pass::{Basis, Reach};
use crate::reconcile::plan::{LineChange, Plan, RowChange, Values, plan, profile_for};
use crate::reconcile::read::{pipeline, session_prints};

/// What is said of a row that was taken over for a line that has a password at head office.
const OTHER_PASSWORD: &str = "it keeps the router's password, and a router that is reset gets head office's: enter the device's own \
     on the line's page";

/// What is said of a row that was taken over with another speed or address than its sessions may run with.
const OLD_SESSION: &str = "a session that runs goes on with the speed and address it has until it dials in again: end the line's \
     sessions for it to have the new ones at once";

/// Orders that wait for one router. Head office's own are paced; a person at the device gives one at a time.
const WAITING: usize = 64;

/// Something to do once.
#[derive(Debug)]
pub struct Order {
    /// What.
    pub what: What,
    /// Not to be begun after this.
    pub not_after: UnixMillis,
    /// Who hears what became of it.
    pub answer: Answer,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Let the cuts go that are held, if they are exactly those of this digest.
    LetGo {
        /// See [`digest_of`].
        digest: String,
    },
    /// End the sessions of a line; it may come back at once.
    EndSessions {
        /// Line id.
        line: String,
    },
    /// Make every row anew, whatever the guard would say.
    Rebuild,
    /// Name the rows that somebody else made.
    ListForeign,
    /// Make the row of this name the line's own, without ending its session.
    Adopt {
        /// Line id.
        line: String,
        /// Where the row is.
        service: Service,
        /// Its name there.
        username: String,
    },
}

/// Who hears what became of an order.
#[derive(Debug)]
pub enum Answer {
    /// Head office, by the id of its command.
    HeadOffice(String),
    /// Somebody at the device, who waits.
    Here(oneshot::Sender<Done>),
}

/// The orders of one router. Clones are the same queue.
#[derive(Clone, Debug, Default)]
pub struct Orders(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<VecDeque<Order>>,
    changed: Notify,
}

impl Orders {
    /// Gives an order.
    ///
    /// # Errors
    /// The order itself, when too many wait.
    pub fn give(&self, order: Order) -> Result<(), Order> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING {
            return Err(order);
        }
        waiting.push_back(order);
        drop(waiting);
        self.0.changed.notify_one();
        Ok(())
    }

    /// Takes the oldest order that waits.
    #[must_use]
    pub fn take(&self) -> Option<Order> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }
}

impl Reconciler {
    /// Carries out the orders that wait; whether there were any, after which the router is looked at again.
    pub(crate) async fn obey(
        &mut self,
        client: &Client,
        state: &DesiredState,
        next_full_check: &mut Instant,
    ) -> Result<bool, Error> {
        let mut has_obeyed = false;
        for _ in 0..WAITING {
            let Some(order) = self.settings.orders.take() else { break };
            if matches!(&order.answer, Answer::Here(answer) if answer.is_closed()) {
                // Whoever gave it was told that it was taken back.
                continue;
            }
            has_obeyed = true;
            if order.not_after < self.clock.now() {
                self.answer(order.answer, Done::expired("it waited too long for its router")).await;
                continue;
            }
            let outcome = Box::pin(self.carry_out(client, state, &order.what, next_full_check)).await;
            let (done, lost) = match outcome {
                Ok(done) => (done, None),
                Err(error) if error.is_connection_lost() => {
                    let words = "the connection to the router was lost; whether it was done is not known";
                    (Done::failed(words), Some(error))
                }
                Err(error) => (Done::failed(error.to_string()), None),
            };
            self.answer(order.answer, done).await;
            if let Some(error) = lost {
                return Err(error);
            }
        }
        Ok(has_obeyed)
    }

    async fn answer(&self, answer: Answer, done: Done) {
        match answer {
            Answer::HeadOffice(id) => {
                let router = self.settings.name.clone();
                self.report(Report::Ordered { router, id, done }).await;
            }
            // Whoever waited may be gone.
            Answer::Here(answer) => drop(answer.send(done)),
        }
    }

    async fn carry_out(
        &mut self,
        client: &Client,
        state: &DesiredState,
        what: &What,
        next_full_check: &mut Instant,
    ) -> Result<Done, Error> {
        if self.is_stranger && *what != What::Rebuild {
            return Ok(Done::failed(
                "another router answers than the one that is remembered; rebuild it first",
            ));
        }
        match what {
            What::LetGo { digest } => Ok(self.let_go(digest, next_full_check)),
            What::EndSessions { line } => self.end_sessions_of(client, state, line).await,
            What::Rebuild => {
                if state.generation == 0 {
                    return Ok(Done::failed("this site has no state yet from which it could be rebuilt"));
                }
                self.settings.rebuild.request();
                Ok(Done::succeeded("every row is looked at, and made anew where it is missing"))
            }
            What::ListForeign => {
                let found = foreign::list(client).await?;
                Ok(Done { lines: self.lines_as_they_are(state), ..found })
            }
            What::Adopt { line, service, username } => {
                self.adopt(client, state, (line, *service, username)).await
            }
        }
    }

    /// The lines of this router as they should be now.
    fn lines_as_they_are(&self, state: &DesiredState) -> Vec<StateLine> {
        let basis = self.basis(state);
        let as_it_is = |line: &LineV1| {
            let now = self.effective(basis, line).ok();
            let profile = match now {
                Some((service, state)) => profile_for(service, state, line).unwrap_or_default(),
                None => &line.profile,
            };
            StateLine {
                line: line.line.clone(),
                service: line.service,
                username: line.username.clone(),
                address: line.address.clone(),
                caller_id: line.caller_id.clone(),
                profile: profile.to_owned(),
                restraint: now.and_then(|(_, state)| state.words()).unwrap_or_default(),
                has_password: !line.password.is_empty(),
            }
        };
        self.lines(state).map(|line| as_it_is(&line.item)).collect()
    }

    /// Releases what is held, if it is what the person saw.
    fn let_go(&mut self, digest: &str, next_full_check: &mut Instant) -> Done {
        let held: BTreeSet<String> = self.ledger.held_lines().into_iter().into_set();
        if held.is_empty() {
            return Done::failed("nothing is held here");
        }
        if digest_of(&held) != digest {
            return Done::failed("what is held has changed; look again");
        }
        let count = held.len();
        self.released = held;
        *next_full_check = Instant::now();
        Done::succeeded(format!("{} let go", counted(count, "line")))
    }

    async fn end_sessions_of(
        &mut self,
        client: &Client,
        state: &DesiredState,
        line: &str,
    ) -> Result<Done, Error> {
        let Some(wanted) = self.line(state, line) else {
            return Ok(Done::failed("this router has no such line"));
        };
        let (Some(service), username) =
            (Service::from_code(wanted.item.service), wanted.item.username.clone())
        else {
            return Ok(Done::failed("this agent does not know the line's service"));
        };
        let Some(menu) = Family::of(service).logins() else {
            return Ok(Done::failed("nobody logs in on that line"));
        };
        let actual = self
            .read(client, self.basis(state), &Reach::Lines(std::iter::once(line.to_owned()).into_set()), &[])
            .await?;
        let rows =
            actual.logins.get(&Family::of(service)).map(|rows| rows.users.as_slice()).unwrap_or_default();
        let is_other = |row: &UserRow| is_named(row, &username) && row.mark.as_deref() != Some(line);
        if rows.iter().any(is_other) {
            return Ok(Done::failed(
                "a row that is not the line's has its name: the sessions are not its own",
            ));
        }
        let prints = session_prints(menu, &[username.as_str()]);
        let (commands, are_cookies): (Vec<_>, Vec<_>) = prints.into_iter().unzip();
        let mut cookies = Vec::new();
        let mut sessions = Vec::new();
        for (is_cookie, reply) in are_cookies.into_iter().zip(pipeline(client, commands).await) {
            let path = if is_cookie { menu.cookies.unwrap_or_default() } else { menu.sessions };
            let ids = reply?.rows.into_iter().filter_map(|row| row.id());
            let removals = ids.map(|id| Command::new(format!("{path}/remove")).id(&id).about(line));
            if is_cookie { cookies.extend(removals) } else { sessions.extend(removals) }
        }
        let count = sessions.len();
        // Cookies before sessions, or the device would be back before its cookie is gone.
        cookies.extend(sessions);
        for reply in pipeline(client, cookies).await {
            gone(reply)?;
        }
        Ok(Done::succeeded(match count {
            0 => "it had no session".to_owned(),
            1 => "its session was ended".to_owned(),
            count => format!("its {count} sessions were ended"),
        }))
    }

    /// Makes a row of somebody else the line's own: our mark and all that the line wants of it, in one `set`. No session
    /// is ended for it, so that a customer who is online stays so; what the next session finds is the line's. The password
    /// stays that of the row, which the customer's device has, for as long as head office wants the one that it wants now.
    ///
    /// Of a line that may not do all it pays for only the mark is written here. The next pass restrains it like any other
    /// line of ours, with the end of its sessions, and asks the guard before.
    async fn adopt(
        &mut self,
        client: &Client,
        state: &DesiredState,
        (line, service, username): (&str, Service, &str),
    ) -> Result<Done, Error> {
        let Some(wanted) = self.line(state, line) else {
            return Ok(Done::failed("this router has no such line"));
        };
        let is_same = wanted.item.username == username && wanted.item.service == service.code();
        if !is_same {
            return Ok(Done::failed("the line has another name or service than the row"));
        }
        let family = Family::of(service);
        if family.logins().is_none() {
            return Ok(Done::failed("nobody logs in on that line: there is no row to take over"));
        }
        let lines = std::iter::once(line.to_owned()).into_set();
        let basis = self.basis(state);
        let mut actual = self.read(client, basis, &Reach::Lines(lines), &[]).await?;
        let rows = actual.logins.entry(family).or_default();
        if rows.users.iter().any(|row| row.mark.as_deref() == Some(line)) {
            return Ok(Done::succeeded("the row is the line's own already"));
        }
        let mut named = rows.users.iter_mut().filter(|row| is_named(row, username));
        let (Some(row), None) = (named.next(), named.next()) else {
            return Ok(Done::failed("the router has no row of that name"));
        };
        if let Some(other) = &row.mark {
            return Ok(Done::failed(format!("the row belongs to line {other}")));
        }
        row.mark = Some(line.to_owned());
        let id = row.id.clone();
        // Whoever dials in has the password of the row; the one of head office, if it has one, nobody was told.
        let digest = (!wanted.item.password.is_empty()).then(|| password_digest(&wanted.item));
        let before = self.memory.note_own_password(line, digest);
        if digest.is_some() {
            // In a power cut it would be forgotten, and the next look would write the one of head office.
            if !self.keep_memory().await {
                self.put_own_password_back(line, before).await;
                return Ok(Done::failed("the agent's disk takes nothing; nothing was done"));
            }
        }
        // After an error whether it was done is not known; if not, the row that is made for the line forgets it.
        let (done, is_ours) =
            Box::pin(self.mark_row(client, basis, &actual, (line, username, family, id))).await?;
        if !is_ours {
            self.put_own_password_back(line, before).await;
        } else if digest.is_some() {
            let words = format!("{}; {OTHER_PASSWORD}", done.detail);
            return Ok(Done { detail: words, ..done });
        }
        Ok(done)
    }

    async fn put_own_password_back(&mut self, line: &str, before: Option<u64>) {
        self.memory.note_own_password(line, before);
        self.report_memory().await;
    }

    /// Writes our mark, and what the line wants of the row; whether the row bears the mark when it is read back.
    async fn mark_row(
        &mut self,
        client: &Client,
        basis: Basis<'_>,
        actual: &Actual,
        (line, username, family, id): (&str, &str, Family, RouterId),
    ) -> Result<(Done, bool), Error> {
        let lines = std::iter::once(line.to_owned()).into_set();
        let mut planned = plan(&self.scope(basis, &lines, false, &[]), actual);
        if let Some(failure) = planned.failures.first() {
            return Ok((Done::failed(failure.detail.clone()), false));
        }
        let restraint = self.restraint_of(basis, line);
        if restraint.is_some() {
            planned = Plan::default();
        }
        // Sessions of others would go on at the speed that it had. The next full check puts it right.
        if let Some(profile) = planned.profiles.iter().find(|profile| profile.is_felt) {
            let words = format!("profile {} is about to change on the router; try again", profile.name);
            return Ok((Done::failed(words), false));
        }
        let is_felt = planned.lines.iter().any(|change| !change.kick.is_empty());
        let Some(menu) = family.logins() else {
            return Ok((Done::failed("nobody logs in on that line: there is no row to take over"), false));
        };
        let planned = with_mark(planned, line, menu.table, id);
        let template = self.settings.profile_template.clone();
        let read_back = ReadBack { needed: &BTreeMap::new(), judge: &|_| Unkept::default() };
        let applied = {
            let _writing = self.settings.writing.read().await;
            Box::pin(apply(client, &planned, &template, &read_back)).await?
        };
        self.lacks_policy |= applied.lacks_policy;
        let after = self.read(client, basis, &Reach::Lines(lines), &[]).await?;
        let is_ours = after.logins.get(&family).is_some_and(|rows| {
            rows.users.iter().any(|row| row.mark.as_deref() == Some(line) && is_named(row, username))
        });
        let refused = applied.refused.get(line);
        if !is_ours {
            let words = refused.map_or("the row does not bear our mark when it is read back", String::as_str);
            return Ok((Done::failed(words), false));
        }
        let is_usable = actual.logins.get(&family).is_some_and(|rows| {
            rows.users.iter().any(|row| row.mark.as_deref() == Some(line) && row.is_disabled != Some(true))
        });
        if is_usable {
            // Until the next full check counts them.
            self.usable_lines = self.usable_lines.saturating_add(1);
        }
        let entry = self.ledger.entry(line);
        entry.is_suspect = true;
        // While the row was somebody else's nothing of the line's was cut by what was verified, and the guard must count it.
        entry.verified = None;
        entry.reopened = None;
        self.agenda.add(line.to_owned());
        let mut words = format!("{username} was taken over");
        if let Some(restraint) = restraint {
            words += &format!("; {restraint}, as far as the guard lets it");
        }
        self.event(EventKind::RowAdopted, Some(line), words.clone()).await;
        if is_felt {
            words += &format!("; {OLD_SESSION}");
        }
        if let Some(why) = refused {
            // It took several writes, and the mark was in one that the router took.
            words += &format!(", but not all that its line wants: {why}");
        }
        Ok((Done::succeeded(words), true))
    }

    /// What a line may not do now, in words; `None` where it may do all that it pays for.
    fn restraint_of(&self, basis: Basis<'_>, line: &str) -> Option<String> {
        let (_, state) = self.effective(basis, &self.line(basis.state, line)?.item).ok()?;
        state.words()
    }
}

fn is_named(row: &UserRow, username: &str) -> bool {
    row.name.as_deref() == Some(username)
}

/// The plan for a row that is treated as ours, with the mark that makes it so, and without ending a session.
fn with_mark(mut planned: Plan, line: &str, table: Table, id: RouterId) -> Plan {
    let mark = ("comment", mark_of(line));
    planned.lines.retain(|change| change.line == line && change.table == table);
    planned.unused_profiles.clear();
    match planned.lines.first_mut() {
        Some(change) => {
            change.kick.clear();
            change.cut = None;
            match &mut change.row {
                RowChange::Set(_, values) => values.plain.push(mark),
                other => *other = RowChange::Set(id, Values { plain: vec![mark], ..Values::default() }),
            }
        }
        None => planned.lines.push(LineChange {
            line: line.to_owned(),
            table,
            row: RowChange::Set(id, Values { plain: vec![mark], ..Values::default() }),
            kick: Vec::new(),
            cut: None,
            profile: None,
            differs: Vec::new(),
            revision: 0,
        }),
    }
    planned
}

/// Gone already is as good as gone.
fn gone(reply: Result<Reply, Error>) -> Result<(), Error> {
    match reply {
        Err(error) if error.trap_kind() == Some(routeros_api::TrapKind::NoSuchItem) => Ok(()),
        other => other.map(drop),
    }
}
