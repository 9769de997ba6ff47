//! Asks a router all questions over one connection that the caller made and closes.
//!
//! It only reads, one command after the other: a router with a slow processor has customers to serve. What cannot be read
//! is an answer too; only a connection that is lost ends the visit.

use routeros_api::menu;
use routeros_api::value::parse_number;
use routeros_api::{Client, Command, Error, Row as ApiRow, TrapKind};
use tawi_shared::Clock;
use tawi_shared::Gather as _;

use super::facts::{Answer, COUNTED, Facts, Question, ROWS_AT_MOST, Row, questions};

/// Reads everything that checks look at.
pub(super) async fn router(client: &Client, clock: &Clock, facts: &mut Facts) -> Result<(), Error> {
    for question in questions(&facts.user) {
        let name = question.name;
        let answer = ask(client, question).await?;
        facts.answers.insert(name, answer);
    }
    facts.clock_ahead_seconds = ahead(client, clock).await?;
    facts.now_ms = clock.now().0;
    for (name, menu) in COUNTED {
        match client.run(Command::new(format!("{menu}/print")).flag("count-only")).await {
            Ok(reply) => {
                let count = reply.ret.and_then(|ret| parse_number(&ret).ok());
                facts.counts.extend(count.map(|count| (name, count)));
            }
            Err(error) => {
                facts.answers.insert(name, unanswered(error)?);
            }
        }
    }
    Ok(())
}

async fn ask(client: &Client, question: Question) -> Result<Answer, Error> {
    let mut command = Command::new(format!("{}/print", question.menu)).proplist(question.properties);
    if let Some(query) = question.query {
        command = command.query(query);
    }
    let mut stream = match client.rows(command).await {
        Ok(stream) => stream,
        Err(error) => return unanswered(error),
    };
    let mut rows = Vec::new();
    while let Some(row) = stream.next().await {
        match row {
            Ok(row) => rows.push(plain(&row)),
            Err(error) => return unanswered(error),
        }
        // Dropping the stream tells the router to stop.
        if rows.len() >= ROWS_AT_MOST {
            break;
        }
    }
    Ok(Answer::Rows(rows))
}

/// An answer that is none, unless the connection is lost.
fn unanswered(error: Error) -> Result<Answer, Error> {
    if error.is_connection_lost() {
        return Err(error);
    }
    Ok(match error.trap_kind() {
        Some(TrapKind::NoSuchCommand) => Answer::Absent,
        Some(TrapKind::NotPermitted) => Answer::Refused,
        _ => Answer::Failed(error.to_string()),
    })
}

fn plain(row: &ApiRow) -> Row {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    row.properties().map(|(name, value)| (text(&name), text(&value))).into_map()
}

/// How far the router's clock is ahead of ours, in seconds.
async fn ahead(client: &Client, clock: &Clock) -> Result<Option<i64>, Error> {
    match client.single::<menu::Clock>().await {
        Ok(theirs) => {
            let ours = clock.now().0 / 1_000;
            Ok(theirs.unix_seconds().map(|seconds| seconds.saturating_sub(ours)))
        }
        Err(error) => unanswered(error).map(|_| None),
    }
}
