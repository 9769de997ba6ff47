//! Asks the router for the rows that a pass is about.
//!
//! Either everything (a full check) or the rows of a few lines, by mark or name, in as few round trips as the protocol
//! allows: all prints of one reading are sent before the first answer is awaited. Nothing here decides; `actual.rs` has
//! the types. A menu that the router lacks or hides is remembered as unavailable, and the rest goes on.

use std::collections::{BTreeMap, BTreeSet};

use routeros_api::{Client, Command, Error, Query, REPLY_ROWS, Reply, Row, RowStream, TrapKind};
use tawi_shared::wire::Service;

use crate::reconcile::actual::{
    Actual, ServiceRows, cookie_row, mark_of, menus, profile_row, session_row, user_row,
};

/// Lines asked for in one print: two conditions each. The router's own limit on words is not documented, so a
/// sentence stays at a few kilobytes.
const LINES_PER_PRINT: usize = 32;

/// Commands sent before the first is answered: the client's own limit, so that none waits inside it while rows of
/// another wait to be taken.
pub(crate) const PIPELINE_DEPTH: usize = 16;

/// Which rows of one service a pass needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needed {
    /// Lines by id, with the user name that each should have.
    pub(crate) lines: BTreeMap<String, String>,
    /// Profiles by name.
    pub(crate) profiles: BTreeSet<String>,
    /// User names whose sessions and cookies matter.
    pub(crate) sessions: BTreeSet<String>,
}

/// Reads every row of every service.
pub(crate) async fn read_everything(client: &Client) -> Result<Actual, Error> {
    let (pppoe, hotspot) = tokio::join!(
        Box::pin(read_service(client, Service::Pppoe)),
        Box::pin(read_service(client, Service::Hotspot))
    );
    Ok(Actual { services: BTreeMap::from([(Service::Pppoe, pppoe?), (Service::Hotspot, hotspot?)]) })
}

async fn read_service(client: &Client, service: Service) -> Result<ServiceRows, Error> {
    let menu = menus(service);
    let print = |path: &str, properties: &[&str]| Command::new(format!("{path}/print")).proplist(properties);
    let cookies = async {
        match menu.cookies {
            Some(path) => read_rows(client, print(path, COOKIE_PROPERTIES), cookie_row).await,
            None => Ok(Vec::new()),
        }
    };
    let (users, profiles, sessions, cookies) = tokio::join!(
        read_rows(client, print(menu.users, menu.user_properties), user_row),
        read_rows(client, print(menu.profiles, menu.profile_properties), |row| profile_row(service, row)),
        read_rows(client, print(menu.sessions, menu.session_properties), |row| session_row(service, row)),
        cookies
    );
    let mut unavailable = None;
    Ok(ServiceRows {
        users: there(users, &mut unavailable)?,
        profiles: there(profiles, &mut unavailable)?,
        sessions: there(sessions, &mut unavailable)?,
        cookies: there(cookies, &mut unavailable)?,
        has_profiles: true,
        shows_passwords: false,
        unavailable,
    })
}

/// Runs a print and turns each row into what is kept of it as it comes: whole rows of a large menu would be most of
/// the agent's memory.
pub(crate) async fn read_rows<T>(
    client: &Client,
    print: Command,
    convert: impl Fn(&Row) -> Option<T>,
) -> Result<Vec<T>, Error> {
    let mut stream = client.rows(print).await?;
    let (mut kept, mut taken) = (Vec::new(), 0_usize);
    while let Some(row) = stream.next().await {
        if taken >= REPLY_ROWS {
            return Err(Error::ReplyTooLarge { limit: REPLY_ROWS });
        }
        taken += 1;
        kept.extend(convert(&row?));
    }
    Ok(kept)
}

/// No rows, and the reason noted, from a menu that the router lacks or hides.
fn there<T>(read: Result<Vec<T>, Error>, reason: &mut Option<String>) -> Result<Vec<T>, Error> {
    match read {
        Ok(rows) => Ok(rows),
        Err(error) => match unavailable(&error) {
            Some(why) => {
                *reason = Some(why);
                Ok(Vec::new())
            }
            None => Err(error),
        },
    }
}

/// Reads the rows of some lines. Services that nothing is needed of stay out of the answer.
pub(crate) async fn read_some(client: &Client, needed: &BTreeMap<Service, Needed>) -> Result<Actual, Error> {
    let (asked, commands) = Asked::of(needed);
    asked.answered(pipeline(client, commands).await)
}

/// The prints of one reading of some lines, and what their answers will mean.
pub(crate) struct Asked {
    actual: Actual,
    parts: Vec<(Service, Part)>,
}

impl Asked {
    /// The prints, to be sent in this order.
    pub(crate) fn of(needed: &BTreeMap<Service, Needed>) -> (Self, Vec<Command>) {
        let (mut asked, mut commands) = (Self { actual: Actual::default(), parts: Vec::new() }, Vec::new());
        for (service, needed) in needed {
            let has_profiles = !needed.profiles.is_empty();
            asked.actual.services.insert(*service, ServiceRows { has_profiles, ..ServiceRows::default() });
            for (part, command) in prints(*service, needed) {
                asked.parts.push((*service, part));
                commands.push(command);
            }
        }
        (asked, commands)
    }

    /// The rows, from the answers in the same order.
    ///
    /// # Errors
    /// As [`read_some`].
    pub(crate) fn answered(
        mut self,
        replies: impl IntoIterator<Item = Result<Reply, Error>>,
    ) -> Result<Actual, Error> {
        for ((service, part), reply) in self.parts.into_iter().zip(replies) {
            if let Some(rows) = self.actual.services.get_mut(&service) {
                take(rows, service, part, reply)?;
            }
        }
        Ok(self.actual)
    }
}

const COOKIE_PROPERTIES: &[&str] = &[".id", "user"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Users,
    Profiles,
    Sessions,
    Cookies,
}

fn prints(service: Service, needed: &Needed) -> Vec<(Part, Command)> {
    let menu = menus(service);
    let mut prints = Vec::new();
    let lines: Vec<_> = needed.lines.iter().collect();
    for chunk in lines.chunks(LINES_PER_PRINT) {
        let names: Vec<&str> = chunk.iter().map(|(_, name)| name.as_str()).collect();
        let marks: Vec<String> = chunk.iter().map(|(line, _)| mark_of(line)).collect();
        let by_name = Query::any_of("name", &names);
        let by_mark = Query::any_of("comment", &marks);
        if let Some(query) = by_name.zip(by_mark).map(|(name, mark)| name.or(mark)) {
            let command = Command::new(format!("{}/print", menu.users)).proplist(menu.user_properties);
            prints.push((Part::Users, command.query(query)));
        }
    }
    let profiles: Vec<&String> = needed.profiles.iter().collect();
    for chunk in profiles.chunks(LINES_PER_PRINT) {
        if let Some(query) = Query::any_of("name", chunk) {
            let command = Command::new(format!("{}/print", menu.profiles)).proplist(menu.profile_properties);
            prints.push((Part::Profiles, command.query(query)));
        }
    }
    let names: Vec<&String> = needed.sessions.iter().collect();
    for (command, is_cookie) in session_prints(service, &names) {
        prints.push((if is_cookie { Part::Cookies } else { Part::Sessions }, command));
    }
    prints
}

/// Prints of the sessions, and of the cookies (`true`), of these users.
pub(crate) fn session_prints<N: AsRef<str>>(service: Service, names: &[N]) -> Vec<(Command, bool)> {
    let menu = menus(service);
    let mut prints = Vec::new();
    for chunk in names.chunks(LINES_PER_PRINT) {
        let names: Vec<&str> = chunk.iter().map(AsRef::as_ref).collect();
        if let Some(query) = Query::any_of(menu.session_user, &names) {
            let command = Command::new(format!("{}/print", menu.sessions)).proplist(menu.session_properties);
            prints.push((command.query(query), false));
        }
        if let Some((path, query)) = menu.cookies.zip(Query::any_of("user", &names)) {
            let command = Command::new(format!("{path}/print")).proplist(COOKIE_PROPERTIES);
            prints.push((command.query(query), true));
        }
    }
    prints
}

fn take(
    rows: &mut ServiceRows,
    service: Service,
    part: Part,
    reply: Result<Reply, Error>,
) -> Result<(), Error> {
    let reply = there(reply.map(|reply| reply.rows), &mut rows.unavailable)?;
    let each = reply.iter();
    match part {
        Part::Users => rows.users.extend(each.filter_map(user_row)),
        Part::Profiles => rows.profiles.extend(each.filter_map(|row: &Row| profile_row(service, row))),
        Part::Sessions => rows.sessions.extend(each.filter_map(|row| session_row(service, row))),
        Part::Cookies => rows.cookies.extend(each.filter_map(cookie_row)),
    }
    Ok(())
}

/// The router's words, when it has no such menu or does not let us see it. Any other trap says nothing about the rows.
pub(crate) fn unavailable(error: &Error) -> Option<String> {
    let is_menu = matches!(
        error.trap_kind(),
        Some(TrapKind::NoSuchCommand | TrapKind::NotPermitted | TrapKind::DeviceMode)
    );
    is_menu.then(|| error.to_string())
}

/// Sends commands in this order without waiting between them, and gives their answers in the same order.
///
/// For small answers only: rows of a later command are held while an earlier one is awaited.
pub(crate) async fn pipeline(client: &Client, commands: Vec<Command>) -> Vec<Result<Reply, Error>> {
    let mut replies = Vec::with_capacity(commands.len());
    let mut sent = std::collections::VecDeque::with_capacity(PIPELINE_DEPTH);
    for command in commands {
        if sent.len() >= PIPELINE_DEPTH
            && let Some(first) = sent.pop_front()
        {
            replies.push(collect(first).await);
        }
        sent.push_back(client.rows(command).await);
    }
    for stream in sent {
        replies.push(collect(stream).await);
    }
    replies
}

async fn collect(stream: Result<RowStream, Error>) -> Result<Reply, Error> {
    let mut stream = stream?;
    let mut rows = Vec::new();
    while let Some(row) = stream.next().await {
        rows.push(row?);
    }
    Ok(Reply { rows, ret: stream.ret() })
}
