//! Carries out a plan, in its order, with as few round trips as the order allows.
//!
//! Profiles first, then rows, then the sessions of those rows, then the rows that go. Within a step everything is sent
//! before the first answer is awaited. A refusal is the failure of its line and stops only that line; a lost
//! connection stops everything, because nobody knows what arrived: the next pass reads again and plans again. Nothing
//! here decides what to do (`plan.rs`) or whether it worked (`verify.rs`).

use std::collections::{BTreeMap, BTreeSet};

use routeros_api::value::{RouterId, Secret};
use routeros_api::{Client, Command, Error, Reply, TrapKind};
use tawi_shared::Gather as _;
use tokio::time::Instant;

use crate::reconcile::actual::{Actual, Family, Menus, cookie_row, host_row, session_row};
use crate::reconcile::pace::Written;
use crate::reconcile::plan::{LineChange, Plan, ProfileChange, RowChange, is_felt};
use crate::reconcile::read::{
    self, HOSTS, Needed, PIPELINE_DEPTH, host_prints, pipeline, session_prints, unavailable,
};

/// What became of the changes that were sent.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// Lines whose change the router refused, with its words.
    pub(crate) refused: BTreeMap<String, String>,
    /// Lines whose rows were not what the plan had read: they moved in between, and a second look will tell.
    pub(crate) overtaken: BTreeSet<String>,
    /// Lines whose sessions go on, because what they were to end for was acknowledged and is not there when read back.
    pub(crate) unkept: BTreeSet<String>,
    /// User names by which nobody is in any more, for whose sake.
    pub(crate) ended: BTreeMap<String, BTreeSet<String>>,
    /// Whether any refusal was for want of a policy: a login keeps the policies that it began with.
    pub(crate) lacks_policy: bool,
    /// What was read back in the same flight as the writes, where that could be.
    pub(crate) seen: Option<Actual>,
    /// What the router took for it, the looks in between included.
    pub(crate) written: Written,
}

/// Which lines still want their row or their profile written, by rows that were read back.
#[derive(Debug, Default)]
pub(crate) struct Unkept {
    /// Lines whose row is not as they want it, with what of it; empty where there is no such row.
    pub(crate) rows: BTreeMap<String, BTreeSet<&'static str>>,
    /// Profiles that are not as the state wants them.
    pub(crate) profiles: BTreeSet<(Family, String)>,
}

/// What is read back, and who says what of it is not as wanted.
pub(crate) struct ReadBack<'a> {
    /// The rows of the lines that the plan changes.
    pub(crate) needed: &'a BTreeMap<Family, Needed>,
    /// Plans again.
    pub(crate) judge: &'a (dyn Fn(&Actual) -> Unkept + Sync),
}

/// Applies the plan. Where it is nothing but rows to write, as for a payment, `read_back` is asked for right behind them
/// without waiting for their answers.
///
/// # Errors
/// When the connection is lost, and a write may then have been carried out or not; or when what was read back in the
/// same flight cannot be used.
pub(crate) async fn apply(
    client: &Client,
    plan: &Plan,
    template: &str,
    read_back: &ReadBack<'_>,
) -> Result<Applied, Error> {
    let mut applied = Applied::default();
    if is_one_flight(plan) {
        applied.seen = Some(write_and_read(client, &plan.lines, read_back.needed, &mut applied).await?);
        return Ok(applied);
    }
    let broken_profiles = apply_profiles(client, &plan.profiles, template, &mut applied).await?;
    let mut changes: Vec<&LineChange> = Vec::with_capacity(plan.lines.len());
    for change in &plan.lines {
        let broken = change
            .profile
            .as_ref()
            .and_then(|name| broken_profiles.get(&(change.table.family(), name.clone())));
        match broken {
            Some(reason) => {
                applied.refused.insert(change.line.clone(), reason.clone());
            }
            None => changes.push(change),
        }
    }
    let doubts: BTreeMap<&str, Doubt<'_>> = changes
        .iter()
        .filter_map(|change| Some((change.line.as_str(), Doubt::of(change, &plan.profiles)?)))
        .into_map();
    let (doomed, undone) = write_rows(client, &changes, &doubts, read_back, &mut applied).await?;
    end_sessions(client, &changes, doomed, undone, &mut applied).await?;
    remove_rows(client, &changes, &mut applied).await?;
    let unused = plan.unused_profiles.iter();
    let removals = unused
        .filter_map(|profile| Some((None, remove(profile.family.logins()?.profiles, &profile.id))))
        .collect();
    for reply in send(client, removals, &mut applied.written).await {
        // A profile that somebody began to use meanwhile stays; the next full check sees it.
        settle(reply)?;
    }
    Ok(applied)
}

/// Whether nothing of the plan must wait for the answer to another part of it.
fn is_one_flight(plan: &Plan) -> bool {
    let is_write =
        |change: &LineChange| change.kick.is_empty() && !matches!(change.row, RowChange::Remove { .. });
    let has_rows_only = plan.profiles.is_empty() && plan.unused_profiles.is_empty();
    has_rows_only && plan.lines.len() < PIPELINE_DEPTH && plan.lines.iter().all(is_write)
}

/// Writes the rows and reads them back. A router that carries commands out in another order than they came in shows
/// rows that are not yet as wanted; the caller then reads once more before it judges.
async fn write_and_read(
    client: &Client,
    changes: &[LineChange],
    read_back: &BTreeMap<Family, Needed>,
    applied: &mut Applied,
) -> Result<Actual, Error> {
    let mut sent: Vec<Sent<'_>> = changes.iter().flat_map(row_writes).collect();
    let written: Vec<Option<&str>> = sent.iter().map(|(line, _)| *line).collect();
    let (asked, prints) = read::Asked::of(read_back);
    sent.extend(prints.into_iter().map(|print| (None, print)));
    let mut replies = send(client, sent, &mut applied.written).await.into_iter();
    for (line, reply) in written.into_iter().zip(replies.by_ref()) {
        note_outcome(line.unwrap_or_default(), settle(reply)?, applied);
    }
    asked.answered(replies)
}

/// A command, and the line that it is for.
type Sent<'a> = (Option<&'a str>, Command);

/// Sends commands in this order without waiting between them. Every write to a router goes through here.
async fn send(client: &Client, sent: Vec<Sent<'_>>, written: &mut Written) -> Vec<Result<Reply, Error>> {
    let began = Instant::now();
    let writes = sent.iter().filter(|(_, command)| !command.is_read()).count();
    let named = sent.into_iter().map(|(line, command)| match line {
        Some(line) => command.about(line),
        None => command,
    });
    let replies = pipeline(client, named.collect()).await;
    written.writes = written.writes.saturating_add(writes);
    written.took = written.took.saturating_add(began.elapsed());
    replies
}

/// How a single write ended, short of a lost connection.
enum Outcome {
    Done,
    /// The row is there already, or gone already.
    Overtaken,
    Refused {
        reason: String,
        is_for_policy: bool,
    },
}

fn settle(reply: Result<Reply, Error>) -> Result<Outcome, Error> {
    match reply {
        Ok(_) => Ok(Outcome::Done),
        Err(error) if error.is_connection_lost() => Err(error),
        Err(error) => Ok(match error.trap_kind() {
            Some(TrapKind::NoSuchItem | TrapKind::AlreadyExists) => Outcome::Overtaken,
            kind => Outcome::Refused {
                reason: error.to_string(),
                is_for_policy: kind == Some(TrapKind::NotPermitted),
            },
        }),
    }
}

/// Writes profiles and gives those that the router refused.
async fn apply_profiles(
    client: &Client,
    changes: &[ProfileChange],
    template: &str,
    applied: &mut Applied,
) -> Result<BTreeMap<(Family, String), String>, Error> {
    let mut broken = BTreeMap::new();
    if changes.is_empty() {
        return Ok(broken);
    }
    let templates = find_templates(client, changes, template).await?;
    let (written, sent): (Vec<_>, Vec<_>) = changes
        .iter()
        .flat_map(|change| {
            profile_writes(change, &templates).into_iter().map(move |write| (change, (None, write)))
        })
        .unzip();
    for (change, reply) in written.into_iter().zip(send(client, sent, &mut applied.written).await) {
        if let Outcome::Refused { reason, is_for_policy } = settle(reply)? {
            applied.lacks_policy |= is_for_policy;
            let detail = format!("profile {}: {reason}", change.name);
            broken.insert((change.family, change.name.clone()), detail);
        }
    }
    Ok(broken)
}

/// The rows that new profiles start from: without addresses a PPP profile gives a client none.
async fn find_templates(
    client: &Client,
    changes: &[ProfileChange],
    template: &str,
) -> Result<BTreeMap<Family, RouterId>, Error> {
    let families: BTreeSet<Family> =
        changes.iter().filter(|change| change.id.is_none()).map(|change| change.family).into_set();
    let menus = families.into_iter().filter_map(|family| Some((family, family.logins()?)));
    let print = |(_, menus): &(Family, &'static Menus)| {
        let query = routeros_api::Query::equals("name", template);
        Command::new(format!("{}/print", menus.profiles)).proplist(&[".id"]).query(query)
    };
    let menus: Vec<_> = menus.collect();
    let replies = pipeline(client, menus.iter().map(print).collect()).await;
    let mut templates = BTreeMap::new();
    for ((family, _), reply) in menus.into_iter().zip(replies) {
        if let Some(id) = reply?.rows.first().and_then(routeros_api::Row::id) {
            templates.insert(family, id);
        }
    }
    Ok(templates)
}

fn profile_writes(change: &ProfileChange, templates: &BTreeMap<Family, RouterId>) -> Vec<Command> {
    let Some(menus) = change.family.logins() else { return Vec::new() };
    match &change.id {
        Some(id) => set_and_unset(menus.profiles, id, &change.values, None, &[]),
        None => {
            let mut command = Command::new(format!("{}/add", menus.profiles));
            if let Some(id) = templates.get(&change.family) {
                command = command.attribute("copy-from", id);
            }
            command = command.attribute("name", &change.name);
            vec![with_values(command, &change.values, None)]
        }
    }
}

/// One `set` for what has a value, and one `unset` for each property that must have none.
fn set_and_unset(
    path: &str,
    id: &RouterId,
    values: &[(&'static str, String)],
    password: Option<&Secret>,
    unset: &[&'static str],
) -> Vec<Command> {
    let mut commands = Vec::new();
    if !values.is_empty() || password.is_some() {
        commands.push(with_values(Command::new(format!("{path}/set")).id(id), values, password));
    }
    let unset = unset.iter();
    commands
        .extend(unset.map(|name| Command::new(format!("{path}/unset")).id(id).attribute("value-name", name)));
    commands
}

fn with_values(
    mut command: Command,
    values: &[(&'static str, String)],
    password: Option<&Secret>,
) -> Command {
    for (name, value) in values {
        command = command.attribute(name, value);
    }
    match password {
        Some(password) => command.attribute("password", password.expose()),
        None => command,
    }
}

/// What sessions end for, and what must be there when read back before they do: a router that acknowledges a change and
/// does not keep it would throw the same people out at every try. A row that is disabled is not waited for: whoever
/// must be off is ended either way.
#[derive(Clone, Copy)]
enum Doubt<'a> {
    /// What of the row is written with it.
    Row(&'a [&'static str]),
    /// Nothing but what its profile says.
    Profile(Family, &'a str),
}

impl<'a> Doubt<'a> {
    fn of(change: &'a LineChange, profiles: &[ProfileChange]) -> Option<Self> {
        let name = change.profile.as_deref().filter(|_| !change.kick.is_empty())?;
        if matches!(change.row, RowChange::Set(..)) && is_felt(&change.differs) {
            return Some(Self::Row(&change.differs));
        }
        let family = change.table.family();
        let is_its =
            |profile: &ProfileChange| profile.is_felt && profile.family == family && profile.name == name;
        profiles.iter().any(is_its).then_some(Self::Profile(family, name))
    }

    fn is_justified(self, line: &str, unkept: &Unkept) -> bool {
        match self {
            Self::Row(written) => unkept.rows.get(line).is_some_and(|lacking| {
                lacking.is_empty() || written.iter().any(|differs| lacking.contains(differs))
            }),
            Self::Profile(family, name) => unkept.profiles.contains(&(family, name.to_owned())),
        }
    }
}

/// Reads back what the doubts are about.
fn narrowed(
    needed: &BTreeMap<Family, Needed>,
    doubts: &BTreeMap<&str, Doubt<'_>>,
) -> BTreeMap<Family, Needed> {
    let mut narrowed = BTreeMap::new();
    for (family, needed) in needed {
        let mut of_family = Needed { profiles: needed.profiles.clone(), ..Needed::default() };
        let lines = needed.lines.iter().filter(|(line, _)| doubts.contains_key(line.as_str()));
        of_family.lines.extend(lines.map(|(line, name)| (line.clone(), name.clone())));
        if !of_family.lines.is_empty() {
            narrowed.insert(*family, of_family);
        }
    }
    narrowed
}

/// Sessions and cookies to end: for which changes, where and which. Two rows of ours may go by one name.
type Doomed = Vec<(Vec<usize>, &'static str, RouterId)>;

/// Changes that did not come to pass.
type Undone = BTreeSet<usize>;

/// Writes the rows, and right behind them, in the same round trip, asks for the sessions that have to end: as the
/// router works through one connection in order, a session that slipped in before its row was disabled is among them.
async fn write_rows(
    client: &Client,
    changes: &[&LineChange],
    doubts: &BTreeMap<&str, Doubt<'_>>,
    read_back: &ReadBack<'_>,
    applied: &mut Applied,
) -> Result<(Doomed, Undone), Error> {
    let mut sent: Vec<Sent<'_>> = Vec::new();
    let mut meaning = Vec::new();
    let mut kicked: BTreeMap<Family, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
    for (index, change) in changes.iter().enumerate() {
        for write in row_writes(change) {
            sent.push(write);
            meaning.push(Asked::Write(index));
        }
        let names = kicked.entry(change.table.family()).or_default();
        for name in &change.kick {
            names.entry(name).or_default().push(index);
        }
    }
    for (family, names) in &kicked {
        let names: Vec<&str> = names.keys().copied().collect();
        let Some(menus) = family.logins() else {
            for command in host_prints(&names) {
                sent.push((None, command));
                meaning.push(Asked::Hosts(*family));
            }
            continue;
        };
        for (command, is_cookie) in session_prints(menus, &names) {
            sent.push((None, command));
            meaning.push(if is_cookie {
                Asked::Cookies(*family, menus)
            } else {
                Asked::Sessions(*family, menus)
            });
        }
    }
    let needed = narrowed(read_back.needed, doubts);
    let (reading, prints) = read::Asked::of(&needed);
    sent.extend(prints.into_iter().map(|print| (None, print)));
    let mut replies = send(client, sent, &mut applied.written).await.into_iter();
    let (mut doomed, mut undone) = (Vec::new(), Undone::new());
    for (asked, reply) in meaning.into_iter().zip(replies.by_ref()) {
        let (family, path, rows) = match asked {
            Asked::Write(index) => {
                let outcome = settle(reply)?;
                if !matches!(outcome, Outcome::Done) {
                    undone.insert(index);
                }
                if let Some(change) = changes.get(index) {
                    note_outcome(&change.line, outcome, applied);
                }
                continue;
            }
            Asked::Sessions(family, menus) => {
                let rows = reply?.rows;
                let rows: Vec<_> = rows.iter().filter_map(|row| session_row(menus, row)).collect();
                (family, menus.sessions, rows)
            }
            // A router without a hotspot has nobody at its portal.
            Asked::Hosts(_) if reply.as_ref().is_err_and(|error| unavailable(error).is_some()) => continue,
            Asked::Hosts(family) => (family, HOSTS, reply?.rows.iter().filter_map(host_row).collect()),
            Asked::Cookies(family, menus) => {
                let rows = reply?.rows.iter().filter_map(cookie_row).collect();
                (family, menus.cookies.unwrap_or_default(), rows)
            }
        };
        for row in rows {
            let indices = row.user.and_then(|user| kicked.get(&family)?.get(user.as_str()).cloned());
            doomed.extend(indices.map(|indices| (indices, path, row.id)));
        }
    }
    let is_justified = |unkept: &Unkept| doubts.iter().any(|(line, doubt)| doubt.is_justified(line, unkept));
    let mut unkept = (read_back.judge)(&reading.answered(replies)?);
    if is_justified(&unkept) {
        // What was read behind the writes without waiting proves only what is right.
        let (reading, prints) = read::Asked::of(&needed);
        unkept = (read_back.judge)(&reading.answered(pipeline(client, prints).await)?);
    }
    let lines = doubts.iter().filter(|(line, doubt)| doubt.is_justified(line, &unkept));
    applied.unkept.extend(lines.map(|(line, _)| (*line).to_owned()));
    Ok((doomed, undone))
}

fn note_outcome(line: &str, outcome: Outcome, applied: &mut Applied) {
    match outcome {
        Outcome::Done => {}
        Outcome::Overtaken => {
            applied.overtaken.insert(line.to_owned());
        }
        Outcome::Refused { reason, is_for_policy } => {
            applied.lacks_policy |= is_for_policy;
            applied.refused.insert(line.to_owned(), reason);
        }
    }
}

enum Asked {
    /// One of the writes of a change.
    Write(usize),
    Sessions(Family, &'static Menus),
    Cookies(Family, &'static Menus),
    Hosts(Family),
}

/// The writes that come before sessions end; a row that goes and lets somebody in is only disabled for now.
fn row_writes(change: &LineChange) -> impl Iterator<Item = Sent<'_>> {
    let path = change.table.path();
    let commands = match &change.row {
        RowChange::Leave | RowChange::Remove { is_enabled: false, .. } => vec![],
        RowChange::Add(values) => {
            vec![with_values(Command::new(format!("{path}/add")), &values.plain, values.password.as_ref())]
        }
        RowChange::Set(id, values) => {
            set_and_unset(path, id, &values.plain, values.password.as_ref(), &values.unset)
        }
        RowChange::Drop(id) => vec![remove(path, id)],
        RowChange::Remove { id, is_enabled: true } => {
            vec![Command::new(format!("{path}/set")).id(id).attribute("disabled", "yes")]
        }
    };
    commands.into_iter().map(|command| (Some(change.line.as_str()), command))
}

/// Ends sessions of the rows that were written. Those of a row whose write was refused go on: the row still lets its
/// user in, and would again. What else of the line was refused is of no account: by another name nobody may stay in.
async fn end_sessions(
    client: &Client,
    changes: &[&LineChange],
    doomed: Doomed,
    mut undone: Undone,
    applied: &mut Applied,
) -> Result<(), Error> {
    let is_written = |index: &usize| {
        let line = changes.get(*index).map(|change| &change.line);
        line.is_some_and(|line| !undone.contains(index) && !applied.unkept.contains(line))
    };
    let doomed = doomed
        .into_iter()
        .filter_map(|(indices, path, id)| Some((indices.into_iter().find(&is_written)?, path, id)));
    // Cookies before sessions, or the device would be back before its cookie is gone.
    let (cookies, sessions): (Vec<_>, Vec<_>) = doomed.partition(|(_, path, _)| path.ends_with("cookie"));
    let ordered: Vec<(usize, &str, RouterId)> = cookies.into_iter().chain(sessions).collect();
    let line_of = |index: &usize| changes.get(*index).map(|change| change.line.as_str());
    let sent = ordered.iter().map(|(index, path, id)| (line_of(index), remove(path, id))).collect();
    for ((index, ..), reply) in ordered.iter().zip(send(client, sent, &mut applied.written).await) {
        // Gone already is as good as gone.
        if let (refused @ Outcome::Refused { .. }, Some(change)) = (settle(reply)?, changes.get(*index)) {
            note_outcome(&change.line, refused, applied);
            undone.insert(*index);
        }
    }
    for (index, change) in changes.iter().enumerate() {
        if !undone.contains(&index) && !applied.unkept.contains(&change.line) {
            let ended = applied.ended.entry(change.line.clone()).or_default();
            ended.extend(change.kick.iter().cloned());
        }
    }
    Ok(())
}

async fn remove_rows(client: &Client, changes: &[&LineChange], applied: &mut Applied) -> Result<(), Error> {
    let mut sent: Vec<Sent<'_>> = Vec::new();
    for change in changes {
        if let RowChange::Remove { id, .. } = &change.row
            && !applied.refused.contains_key(&change.line)
            && !applied.overtaken.contains(&change.line)
        {
            sent.push((Some(&change.line), remove(change.table.path(), id)));
        }
    }
    let lines: Vec<&str> = sent.iter().filter_map(|(line, _)| *line).collect();
    for (line, reply) in lines.into_iter().zip(send(client, sent, &mut applied.written).await) {
        // Gone already is as good as gone.
        if let refused @ Outcome::Refused { .. } = settle(reply)? {
            note_outcome(line, refused, applied);
        }
    }
    Ok(())
}

fn remove(path: &str, id: &RouterId) -> Command {
    Command::new(format!("{path}/remove")).id(id)
}
