//! What sites answer to commands that ask to know something: kept in the parts in which it comes, and read as a whole.
//!
//! A site answers only what it was asked itself, while that is open or was so within the hour, and only so many parts of so
//! many bytes. An answer is JSON of the agent's making: it is data, and never believed to be anything else.

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::wire::{ANSWER_PART_BYTES, ANSWER_PARTS, AnswerV1, CommandKind};

use super::{Command, RESULT_WITHIN, store};
use crate::database::Connection;
use crate::ids::{CommandId, SiteId};

/// How long answers are kept: they are as large as a megabyte, and old ones help nobody.
pub const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Takes a part of an answer; `false` when the site was not asked, or when it cannot be kept.
///
/// # Errors
/// When the database refuses.
pub async fn take(
    connection: &mut Connection,
    site: &SiteId,
    answer: &AnswerV1,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let parts = usize::from(answer.parts);
    let fits = (1..=ANSWER_PARTS).contains(&parts)
        && answer.part < answer.parts
        && answer.bytes.len() <= ANSWER_PART_BYTES
        && !answer.bytes.contains(&0);
    let (true, Ok(text)) = (fits, std::str::from_utf8(&answer.bytes)) else { return Ok(false) };
    let Some(command) = super::get(connection, &answer.command).await? else { return Ok(false) };
    let is_asked = command.site == *site
        && command.kind.is_some_and(CommandKind::has_answer)
        && (command.standing.is_open() || command.standing_at >= now.minus(RESULT_WITHIN));
    if is_asked {
        store::put_answer(connection, &command.id, (answer.part, answer.parts), text, now).await?;
    }
    Ok(is_asked)
}

/// An answer, if it came whole.
///
/// # Errors
/// When the database refuses.
pub async fn of(connection: &mut Connection, id: &CommandId) -> Result<Option<String>, sqlx::Error> {
    let parts = store::answer_parts(connection, id).await?;
    let is_whole = parts.first().is_some_and(|(of, _)| usize::from(*of) == parts.len());
    Ok(is_whole.then(|| parts.into_iter().map(|(_, text)| text).collect()))
}

/// The name under which a browser saves an answer.
#[must_use]
pub fn disposition(command: &Command) -> String {
    let kind = command.kind.map_or("answer", CommandKind::as_str);
    format!("attachment; filename=\"{}-{kind}-{}.json\"", command.site, command.created_at.0)
}
