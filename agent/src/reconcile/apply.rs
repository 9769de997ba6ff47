//! Carries out a plan, in its order, with as few round trips as the order allows.
//!
//! Profiles first, then rows, then the sessions of those rows, then the rows that go. Within a step everything is sent
//! before the first answer is awaited. A refusal is the failure of its line and stops only that line; a lost
//! connection stops everything, because nobody knows what arrived: the next pass reads again and plans again. Nothing
//! here decides what to do (`plan.rs`) or whether it worked (`verify.rs`).

use std::collections::{BTreeMap, BTreeSet};

use routeros_api::value::RouterId;
use routeros_api::{Client, Command, Error, Reply, TrapKind};
use tawi_shared::wire::Service;

use crate::reconcile::actual::{Actual, cookie_row, menus, session_row};
use crate::reconcile::plan::{LineChange, Plan, ProfileChange, RowChange, Values};
use crate::reconcile::read::{self, Needed, PIPELINE_DEPTH, pipeline, session_prints};

/// What became of the changes that were sent.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// Lines whose change the router refused, with its words.
    pub(crate) refused: BTreeMap<String, String>,
    /// Lines whose rows were not what the plan had read: they moved in between, and a second look will tell.
    pub(crate) overtaken: BTreeSet<String>,
    /// Whether any refusal was for want of a policy: a login keeps the policies that it began with.
    pub(crate) lacks_policy: bool,
    /// What was read back in the same flight as the writes, where that could be.
    pub(crate) seen: Option<Actual>,
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
    read_back: &BTreeMap<Service, Needed>,
) -> Result<Applied, Error> {
    let mut applied = Applied::default();
    if is_one_flight(plan) {
        applied.seen = Some(write_and_read(client, &plan.lines, read_back, &mut applied).await?);
        return Ok(applied);
    }
    let broken_profiles = apply_profiles(client, &plan.profiles, template, &mut applied).await?;
    let mut changes: Vec<&LineChange> = Vec::with_capacity(plan.lines.len());
    for change in &plan.lines {
        let broken =
            change.profile.as_ref().and_then(|name| broken_profiles.get(&(change.service, name.clone())));
        match broken {
            Some(reason) => {
                applied.refused.insert(change.line.clone(), reason.clone());
            }
            None => changes.push(change),
        }
    }
    let sessions = write_rows(client, &changes, &mut applied).await?;
    end_sessions(client, &changes, sessions, &mut applied).await?;
    remove_rows(client, &changes, &mut applied).await?;
    let unused = plan.unused_profiles.iter();
    let removals = unused.map(|profile| remove(menus(profile.service).profiles, &profile.id)).collect();
    for reply in pipeline(client, removals).await {
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
    read_back: &BTreeMap<Service, Needed>,
    applied: &mut Applied,
) -> Result<Actual, Error> {
    let (written, mut commands): (Vec<_>, Vec<_>) = changes
        .iter()
        .filter_map(|change| Some((&change.line, row_command(change)?.about(&change.line))))
        .unzip();
    let (asked, prints) = read::Asked::of(read_back);
    commands.extend(prints);
    let mut replies = pipeline(client, commands).await.into_iter();
    for (line, reply) in written.into_iter().zip(replies.by_ref()) {
        note_outcome(line, settle(reply)?, applied);
    }
    asked.answered(replies)
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
) -> Result<BTreeMap<(Service, String), String>, Error> {
    let mut broken = BTreeMap::new();
    if changes.is_empty() {
        return Ok(broken);
    }
    let templates = find_templates(client, changes, template).await?;
    let commands = changes.iter().map(|change| profile_command(change, &templates)).collect();
    for (change, reply) in changes.iter().zip(pipeline(client, commands).await) {
        if let Outcome::Refused { reason, is_for_policy } = settle(reply)? {
            applied.lacks_policy |= is_for_policy;
            let detail = format!("profile {}: {reason}", change.name);
            broken.insert((change.service, change.name.clone()), detail);
        }
    }
    Ok(broken)
}

/// The rows that new profiles start from: without addresses a PPP profile gives a client none.
async fn find_templates(
    client: &Client,
    changes: &[ProfileChange],
    template: &str,
) -> Result<BTreeMap<Service, RouterId>, Error> {
    let services: BTreeSet<Service> =
        changes.iter().filter(|change| change.id.is_none()).map(|change| change.service).collect();
    let print = |service: &Service| {
        let query = routeros_api::Query::equals("name", template);
        Command::new(format!("{}/print", menus(*service).profiles)).proplist(&[".id"]).query(query)
    };
    let replies = pipeline(client, services.iter().map(print).collect()).await;
    let mut templates = BTreeMap::new();
    for (service, reply) in services.into_iter().zip(replies) {
        if let Some(id) = reply?.rows.first().and_then(routeros_api::Row::id) {
            templates.insert(service, id);
        }
    }
    Ok(templates)
}

fn profile_command(change: &ProfileChange, templates: &BTreeMap<Service, RouterId>) -> Command {
    let menu = menus(change.service);
    match &change.id {
        Some(id) => {
            Command::new(format!("{}/set", menu.profiles)).id(id).attribute("rate-limit", &change.rate_limit)
        }
        None => {
            let mut command = Command::new(format!("{}/add", menu.profiles));
            if let Some(id) = templates.get(&change.service) {
                command = command.attribute("copy-from", id);
            }
            let (property, mark) = menu.profile_mark;
            command
                .attribute("name", &change.name)
                .attribute("rate-limit", &change.rate_limit)
                .attribute(property, mark)
        }
    }
}

/// Sessions and cookies to end: for which change, where and which.
type Doomed = Vec<(usize, &'static str, RouterId)>;

/// Writes the rows, and right behind them, in the same round trip, asks for the sessions that have to end: as the
/// router works through one connection in order, a session that slipped in before its row was disabled is among them.
async fn write_rows(
    client: &Client,
    changes: &[&LineChange],
    applied: &mut Applied,
) -> Result<Doomed, Error> {
    let mut commands = Vec::new();
    let mut meaning = Vec::new();
    let mut kicked: BTreeMap<Service, BTreeMap<&str, usize>> = BTreeMap::new();
    for (index, change) in changes.iter().enumerate() {
        if let Some(command) = row_command(change) {
            commands.push(command.about(&change.line));
            meaning.push(Asked::Write(&change.line));
        }
        let names = kicked.entry(change.service).or_default();
        names.extend(change.kick.iter().map(|name| (name.as_str(), index)));
    }
    for (service, names) in &kicked {
        let names: Vec<&str> = names.keys().copied().collect();
        for (command, is_cookie) in session_prints(*service, &names) {
            commands.push(command);
            meaning.push(if is_cookie { Asked::Cookies(*service) } else { Asked::Sessions(*service) });
        }
    }
    let mut doomed = Vec::new();
    for (asked, reply) in meaning.into_iter().zip(pipeline(client, commands).await) {
        let (service, path, rows) = match asked {
            Asked::Write(line) => {
                note_outcome(line, settle(reply)?, applied);
                continue;
            }
            Asked::Sessions(service) => {
                let rows = reply?.rows;
                let rows: Vec<_> = rows.iter().filter_map(|row| session_row(service, row)).collect();
                (service, menus(service).sessions, rows)
            }
            Asked::Cookies(service) => {
                let rows = reply?.rows.iter().filter_map(cookie_row).collect();
                (service, menus(service).cookies.unwrap_or_default(), rows)
            }
        };
        for row in rows {
            let index = row.user.and_then(|user| kicked.get(&service)?.get(user.as_str()).copied());
            doomed.extend(index.map(|index| (index, path, row.id)));
        }
    }
    Ok(doomed)
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

enum Asked<'a> {
    Write(&'a str),
    Sessions(Service),
    Cookies(Service),
}

/// The write that comes before sessions end; a row that goes is only disabled for now.
fn row_command(change: &LineChange) -> Option<Command> {
    let menu = menus(change.service);
    match &change.row {
        RowChange::Leave | RowChange::Remove { is_enabled: false, .. } => None,
        RowChange::Add(values) => Some(with_values(Command::new(format!("{}/add", menu.users)), values)),
        RowChange::Set(id, values) => {
            Some(with_values(Command::new(format!("{}/set", menu.users)).id(id), values))
        }
        RowChange::Remove { id, is_enabled: true } => {
            Some(Command::new(format!("{}/set", menu.users)).id(id).attribute("disabled", "yes"))
        }
    }
}

fn with_values(mut command: Command, values: &Values) -> Command {
    for (name, value) in &values.plain {
        command = command.attribute(name, value);
    }
    match &values.password {
        Some(password) => command.attribute("password", password.expose()),
        None => command,
    }
}

/// Ends sessions of the rows that were written. Those of a row whose write was refused go on: the row still lets its
/// user in, and would again.
async fn end_sessions(
    client: &Client,
    changes: &[&LineChange],
    doomed: Doomed,
    applied: &mut Applied,
) -> Result<(), Error> {
    let is_written = |index: &usize| {
        let line = changes.get(*index).map(|change| &change.line);
        line.is_some_and(|line| !applied.refused.contains_key(line) && !applied.overtaken.contains(line))
    };
    let doomed: Doomed = doomed.into_iter().filter(|(index, ..)| is_written(index)).collect();
    // Cookies before sessions, or the device would be back before its cookie is gone.
    let (cookies, sessions): (Doomed, Doomed) =
        doomed.into_iter().partition(|(_, path, _)| path.ends_with("cookie"));
    let ordered: Doomed = cookies.into_iter().chain(sessions).collect();
    let line_of = |index: usize| changes.get(index).map_or("", |change| change.line.as_str());
    let commands = ordered.iter().map(|(index, path, id)| remove(path, id).about(line_of(*index))).collect();
    for ((index, ..), reply) in ordered.iter().zip(pipeline(client, commands).await) {
        // Gone already is as good as gone.
        if let (refused @ Outcome::Refused { .. }, Some(change)) = (settle(reply)?, changes.get(*index)) {
            note_outcome(&change.line, refused, applied);
        }
    }
    Ok(())
}

async fn remove_rows(client: &Client, changes: &[&LineChange], applied: &mut Applied) -> Result<(), Error> {
    let mut commands = Vec::new();
    let mut lines = Vec::new();
    for change in changes {
        if let RowChange::Remove { id, .. } = &change.row
            && !applied.refused.contains_key(&change.line)
            && !applied.overtaken.contains(&change.line)
        {
            commands.push(remove(menus(change.service).users, id).about(&change.line));
            lines.push(change.line.clone());
        }
    }
    for (line, reply) in lines.into_iter().zip(pipeline(client, commands).await) {
        // Gone already is as good as gone.
        if let refused @ Outcome::Refused { .. } = settle(reply)? {
            note_outcome(&line, refused, applied);
        }
    }
    Ok(())
}

fn remove(path: &str, id: &RouterId) -> Command {
    Command::new(format!("{path}/remove")).id(id)
}
