//! Asks the router for the rows that a pass is about.
//!
//! Either everything (a full check) or the rows of a few lines, by mark or name, in as few round trips as the protocol
//! allows: all prints of one reading are sent before the first answer is awaited. Nothing here decides; `actual.rs` has
//! the types. A menu that the router lacks or hides is remembered as unavailable, and the rest goes on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use routeros_api::{Client, Command, Error, Query, REPLY_ROWS, Reply, Row, RowStream, TrapKind};

use crate::reconcile::actual::{
    Actual, Family, LoginRows, Menus, Table, cookie_row, mark_of, profile_row, session_row, user_row,
};
use crate::reconcile::fixed::{
    BINDING_PROPERTIES, ENTRY_PROPERTIES, FixedRows, QUEUE_PROPERTIES, binding_row, entry_row, made_by_hand,
    our_lists, queue_row,
};

/// Lines asked for in one print: two conditions each. The router's own limit on words is not documented, so a
/// sentence stays at a few kilobytes.
const LINES_PER_PRINT: usize = 32;

/// Commands sent before the first is answered: the client's own limit. Beside other readings of the same client one may wait
/// inside it all the same; what comes for those before is taken meanwhile.
pub(crate) const PIPELINE_DEPTH: usize = 16;

/// Which rows of one family a pass needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needed {
    /// Lines by id, with the user name that each should have.
    pub(crate) lines: BTreeMap<String, String>,
    /// Profiles by name.
    pub(crate) profiles: BTreeSet<String>,
    /// User names whose sessions and cookies matter.
    pub(crate) sessions: BTreeSet<String>,
    /// Those of them that may be anybody's by now: their rows matter too.
    pub(crate) owed: BTreeSet<String>,
    /// Addresses whose entries matter, where nobody logs in.
    pub(crate) addresses: BTreeSet<String>,
    /// Devices whose bindings matter, where nobody logs in; empty: none matters.
    pub(crate) macs: BTreeSet<String>,
}

impl Needed {
    /// Sessions by these names are still to be ended for a line of this name.
    pub(crate) fn owe(&mut self, username: &str, names: &[String]) {
        self.owed.extend(names.iter().filter(|name| *name != username).cloned());
        self.sessions.extend(names.iter().cloned());
    }
}

/// Reads every row of every family.
pub(crate) async fn read_everything(client: &Client) -> Result<Actual, Error> {
    let logins = |family: Family| async move {
        match family.logins() {
            Some(menus) => read_logins(client, menus).await,
            None => Ok(LoginRows::default()),
        }
    };
    let (ppp, hotspot, fixed) = tokio::join!(
        Box::pin(logins(Family::Ppp)),
        Box::pin(logins(Family::Hotspot)),
        Box::pin(read_fixed(client))
    );
    let logins = BTreeMap::from([(Family::Ppp, ppp?), (Family::Hotspot, hotspot?)]);
    Ok(Actual { logins, fixed: Some(fixed?) })
}

fn print_of(path: &str, properties: &[&str]) -> Command {
    Command::new(format!("{path}/print")).proplist(properties)
}

async fn read_logins(client: &Client, menus: &'static Menus) -> Result<LoginRows, Error> {
    let cookies = async {
        match menus.cookies {
            Some(path) => read_rows(client, print_of(path, COOKIE_PROPERTIES), cookie_row).await,
            None => Ok(Vec::new()),
        }
    };
    let (users, profiles, sessions, cookies) = tokio::join!(
        read_rows(client, print_of(menus.users, menus.user_properties), |row| user_row(menus, row)),
        read_rows(client, print_of(menus.profiles, menus.profile_properties), |row| profile_row(menus, row)),
        read_rows(client, print_of(menus.sessions, menus.session_properties), |row| session_row(menus, row)),
        cookies
    );
    let mut unavailable = None;
    Ok(LoginRows {
        users: there(users, &mut unavailable)?,
        profiles: there(profiles, &mut unavailable)?,
        sessions: there(sessions, &mut unavailable)?,
        cookies: there(cookies, &mut unavailable)?,
        has_profiles: true,
        shows_passwords: false,
        unavailable,
    })
}

async fn read_fixed(client: &Client) -> Result<FixedRows, Error> {
    let print = |table: Table, properties: &[&str], query: Option<Query>| {
        let print = print_of(table.path(), properties);
        match query {
            Some(query) => print.query(query),
            None => print,
        }
    };
    let lists = our_lists().map(|lists| lists.and(made_by_hand()));
    let (queues, entries, bindings) = tokio::join!(
        read_rows(client, print(Table::Queues, QUEUE_PROPERTIES, Some(made_by_hand())), queue_row),
        read_rows(client, print(Table::AddressLists, ENTRY_PROPERTIES, lists), entry_row),
        read_rows(client, print(Table::Bindings, BINDING_PROPERTIES, None), binding_row),
    );
    let (mut unavailable, mut no_bindings) = (None, None);
    Ok(FixedRows {
        queues: there(queues, &mut unavailable)?,
        entries: there(entries, &mut unavailable)?,
        bindings: there(bindings, &mut no_bindings)?,
        unavailable,
        no_bindings,
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

/// Reads the rows of some lines. Families that nothing is needed of stay out of the answer.
pub(crate) async fn read_some(client: &Client, needed: &BTreeMap<Family, Needed>) -> Result<Actual, Error> {
    let (asked, commands) = Asked::of(needed);
    asked.answered(pipeline(client, commands).await)
}

/// The prints of one reading of some lines, and what their answers will mean.
pub(crate) struct Asked {
    actual: Actual,
    parts: Vec<Part>,
}

impl Asked {
    /// The prints, to be sent in this order.
    pub(crate) fn of(needed: &BTreeMap<Family, Needed>) -> (Self, Vec<Command>) {
        let (mut asked, mut prints) = (Self { actual: Actual::default(), parts: Vec::new() }, Vec::new());
        for (family, needed) in needed {
            match family.logins() {
                Some(menus) => {
                    let has_profiles = !needed.profiles.is_empty();
                    let rows = LoginRows { has_profiles, ..LoginRows::default() };
                    asked.actual.logins.insert(*family, rows);
                    login_prints(*family, menus, needed, &mut prints);
                }
                None => {
                    asked.actual.fixed = Some(FixedRows::default());
                    fixed_prints(needed, &mut prints);
                }
            }
        }
        let (parts, commands) = prints.into_iter().unzip();
        asked.parts = parts;
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
        for (part, reply) in std::mem::take(&mut self.parts).into_iter().zip(replies) {
            self.take(part, reply)?;
        }
        for rows in self.actual.logins.values_mut() {
            // Two prints may have found the same row: one by its mark, one by its name.
            let mut known = BTreeSet::new();
            rows.users.retain(|row| known.insert(row.id.number()));
        }
        if let Some(fixed) = &mut self.actual.fixed {
            fixed.drop_doubles();
        }
        Ok(self.actual)
    }

    fn take(&mut self, part: Part, reply: Result<Reply, Error>) -> Result<(), Error> {
        let reply = reply.map(|reply| reply.rows);
        match part {
            Part::Logins(family, menus, of) => {
                let Some(rows) = self.actual.logins.get_mut(&family) else { return Ok(()) };
                let reply = there(reply, &mut rows.unavailable)?;
                let each = reply.iter();
                match of {
                    Of::Users => rows.users.extend(each.filter_map(|row| user_row(menus, row))),
                    Of::Profiles => rows.profiles.extend(each.filter_map(|row| profile_row(menus, row))),
                    Of::Sessions => rows.sessions.extend(each.filter_map(|row| session_row(menus, row))),
                    Of::Cookies => rows.cookies.extend(each.filter_map(cookie_row)),
                }
            }
            Part::Fixed(table) => {
                let Some(rows) = &mut self.actual.fixed else { return Ok(()) };
                let reason = match table {
                    Table::Bindings => &mut rows.no_bindings,
                    _ => &mut rows.unavailable,
                };
                let reply = there(reply, reason)?;
                let each = reply.iter();
                match table {
                    Table::Queues => rows.queues.extend(each.filter_map(queue_row)),
                    Table::AddressLists => rows.entries.extend(each.filter_map(entry_row)),
                    Table::Bindings => rows.bindings.extend(each.filter_map(binding_row)),
                    Table::Secrets | Table::HotspotUsers => {}
                }
            }
        }
        Ok(())
    }
}

/// Devices that a hotspot sees, logged in or not.
pub(crate) const HOSTS: &str = "/ip/hotspot/host";
const HOST_PROPERTIES: &[&str] = &[".id", "mac-address"];
const PLACE_PROPERTIES: &[&str] = &["mac-address", "address", "bypassed"];
const COOKIE_PROPERTIES: &[&str] = &[".id", "user"];

#[derive(Clone, Copy)]
enum Part {
    Logins(Family, &'static Menus, Of),
    Fixed(Table),
}

#[derive(Clone, Copy)]
enum Of {
    Users,
    Profiles,
    Sessions,
    Cookies,
}

fn login_prints(family: Family, menus: &'static Menus, needed: &Needed, prints: &mut Vec<(Part, Command)>) {
    let lines: Vec<_> = needed.lines.iter().collect();
    for chunk in lines.chunks(LINES_PER_PRINT) {
        let names: Vec<&str> = chunk.iter().map(|(_, name)| name.as_str()).collect();
        let marks: Vec<String> = chunk.iter().map(|(line, _)| mark_of(line)).collect();
        let by_name = Query::any_of("name", &names);
        let by_mark = Query::any_of("comment", &marks);
        if let Some(query) = by_name.zip(by_mark).map(|(name, mark)| name.or(mark)) {
            let print = print_of(menus.users, menus.user_properties).query(query);
            prints.push((Part::Logins(family, menus, Of::Users), print));
        }
    }
    let owed: Vec<&String> = needed.owed.iter().collect();
    for chunk in owed.chunks(LINES_PER_PRINT) {
        if let Some(query) = Query::any_of("name", chunk) {
            let print = print_of(menus.users, menus.user_properties).query(query);
            prints.push((Part::Logins(family, menus, Of::Users), print));
        }
    }
    let profiles: Vec<&String> = needed.profiles.iter().collect();
    for chunk in profiles.chunks(LINES_PER_PRINT) {
        if let Some(query) = Query::any_of("name", chunk) {
            let print = print_of(menus.profiles, menus.profile_properties).query(query);
            prints.push((Part::Logins(family, menus, Of::Profiles), print));
        }
    }
    let names: Vec<&String> = needed.sessions.iter().collect();
    for (command, is_cookie) in session_prints(menus, &names) {
        let of = if is_cookie { Of::Cookies } else { Of::Sessions };
        prints.push((Part::Logins(family, menus, of), command));
    }
}

/// Rows by mark, and by what another row must not hold already.
fn fixed_prints(needed: &Needed, prints: &mut Vec<(Part, Command)>) {
    let lines: Vec<_> = needed.lines.iter().collect();
    for chunk in lines.chunks(LINES_PER_PRINT) {
        let names: Vec<&str> = chunk.iter().map(|(_, name)| name.as_str()).collect();
        let marks: Vec<String> = chunk.iter().map(|(line, _)| mark_of(line)).collect();
        let Some(by_mark) = Query::any_of("comment", &marks) else { continue };
        if let Some(by_name) = Query::any_of("name", &names) {
            let query = by_name.or(by_mark.clone()).and(made_by_hand());
            prints.push((
                Part::Fixed(Table::Queues),
                print_of(Table::Queues.path(), QUEUE_PROPERTIES).query(query),
            ));
        }
        if let Some(lists) = our_lists() {
            let query = by_mark.clone().and(lists).and(made_by_hand());
            let print = print_of(Table::AddressLists.path(), ENTRY_PROPERTIES).query(query);
            prints.push((Part::Fixed(Table::AddressLists), print));
        }
        let print = print_of(Table::Bindings.path(), BINDING_PROPERTIES).query(by_mark);
        prints.push((Part::Fixed(Table::Bindings), print));
    }
    let addresses: Vec<&String> = needed.addresses.iter().collect();
    for chunk in addresses.chunks(LINES_PER_PRINT) {
        let others = Query::any_of("address", chunk).zip(our_lists());
        if let Some(query) = others.map(|(addresses, lists)| addresses.and(lists)) {
            let print =
                print_of(Table::AddressLists.path(), ENTRY_PROPERTIES).query(query.and(made_by_hand()));
            prints.push((Part::Fixed(Table::AddressLists), print));
        }
    }
    let macs: Vec<&String> = needed.macs.iter().collect();
    for chunk in macs.chunks(LINES_PER_PRINT) {
        if let Some(query) = Query::any_of("mac-address", chunk) {
            let print = print_of(Table::Bindings.path(), BINDING_PROPERTIES).query(query);
            prints.push((Part::Fixed(Table::Bindings), print));
        }
    }
}

/// Prints of the sessions, and of the cookies (`true`), of these users.
pub(crate) fn session_prints<N: AsRef<str>>(menus: &Menus, names: &[N]) -> Vec<(Command, bool)> {
    let mut prints = Vec::new();
    for chunk in names.chunks(LINES_PER_PRINT) {
        let names: Vec<&str> = chunk.iter().map(AsRef::as_ref).collect();
        if let Some(query) = Query::any_of(menus.session_user, &names) {
            prints.push((print_of(menus.sessions, menus.session_properties).query(query), false));
        }
        if let Some((path, query)) = menus.cookies.zip(Query::any_of("user", &names)) {
            prints.push((print_of(path, COOKIE_PROPERTIES).query(query), true));
        }
    }
    prints
}

/// Prints of what the hotspot has of these devices, in the menu of [`HOSTS`].
pub(crate) fn host_prints<N: AsRef<str>>(macs: &[N]) -> Vec<Command> {
    prints_of_hosts(macs, HOST_PROPERTIES)
}

/// Prints of where the hotspot sees these devices.
pub(crate) fn place_prints<N: AsRef<str>>(macs: &[N]) -> Vec<Command> {
    prints_of_hosts(macs, PLACE_PROPERTIES)
}

fn prints_of_hosts<N: AsRef<str>>(macs: &[N], properties: &[&str]) -> Vec<Command> {
    let queries = macs.chunks(LINES_PER_PRINT).filter_map(|chunk| {
        let macs: Vec<&str> = chunk.iter().map(AsRef::as_ref).collect();
        Query::any_of("mac-address", &macs)
    });
    queries.map(|query| print_of(HOSTS, properties).query(query)).collect()
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
/// For small answers only: all their rows are kept.
pub(crate) async fn pipeline(client: &Client, commands: Vec<Command>) -> Vec<Result<Reply, Error>> {
    let mut replies = Vec::with_capacity(commands.len());
    let mut answers = Answers::with_capacity(PIPELINE_DEPTH);
    for command in commands {
        if answers.len() >= PIPELINE_DEPTH {
            replies.extend(first_of(&mut answers).await);
        }
        let stream = beside(&mut answers, pin!(client.rows(command))).await;
        answers.push_back(Answer::Coming(Box::pin(collect(stream))));
    }
    while let Some(reply) = first_of(&mut answers).await {
        replies.push(reply);
    }
    replies
}

/// Of commands that were sent, in their order.
type Answers = VecDeque<Answer>;

/// One of several answers that come beside each other.
enum Answer {
    Coming(Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>),
    There(Result<Reply, Error>),
}

/// Waits for what was asked first.
async fn first_of(answers: &mut Answers) -> Option<Result<Reply, Error>> {
    poll_fn(|context| {
        take_what_came(answers, context);
        match answers.front() {
            Some(Answer::Coming(_)) => Poll::Pending,
            Some(Answer::There(_)) | None => Poll::Ready(()),
        }
    })
    .await;
    match answers.pop_front()? {
        Answer::There(reply) => Some(reply),
        Answer::Coming(_) => None,
    }
}

/// Waits for something else, and takes what comes meanwhile.
async fn beside<T>(answers: &mut Answers, mut other: Pin<&mut impl Future<Output = T>>) -> T {
    poll_fn(|context| {
        take_what_came(answers, context);
        other.as_mut().poll(context)
    })
    .await
}

/// Rows that nobody takes are in the way of those that are waited for.
fn take_what_came(answers: &mut Answers, context: &mut Context<'_>) {
    for answer in answers {
        if let Answer::Coming(reply) = answer
            && let Poll::Ready(reply) = reply.as_mut().poll(context)
        {
            *answer = Answer::There(reply);
        }
    }
}

async fn collect(stream: Result<RowStream, Error>) -> Result<Reply, Error> {
    let mut stream = stream?;
    let mut rows = Vec::new();
    while let Some(row) = stream.next().await {
        rows.push(row?);
    }
    Ok(Reply { rows, ret: stream.ret() })
}

#[cfg(test)]
mod tests {
    use routeros_api::wire::Sentence;

    use super::*;

    #[test]
    fn whose_a_name_is_by_now_is_asked_where_sessions_by_it_are_still_to_end() {
        let mut needed = Needed::default();
        needed.lines.insert("a".into(), "new".into());
        needed.owe("new", &["old".into(), "new".into()]);
        let (asked, prints) = Asked::of(&BTreeMap::from([(Family::Ppp, needed)]));
        let is_about_old = |print: &&Command| print.words().iter().any(|word| word.ends_with(b"=old"));
        let menus: Vec<&[u8]> = prints.iter().filter(is_about_old).map(Command::path).collect();
        assert_eq!(menus, [b"/ppp/secret/print".as_slice(), b"/ppp/active/print"]);
        // The row bears the mark of the line and has the old name still: both prints find it.
        let found = |path: &[u8]| match path {
            b"/ppp/secret/print" => {
                let words = ["!re", "=.id=*1", "=name=old", "=comment=tawi:a"];
                vec![Row::from(words.into_iter().collect::<Sentence>())]
            }
            _ => vec![],
        };
        let replies = prints.iter().map(|print| Ok(Reply { rows: found(print.path()), ..Reply::default() }));
        let actual = asked.answered(replies).unwrap();
        assert_eq!(actual.logins[&Family::Ppp].users.len(), 1);
    }
}
