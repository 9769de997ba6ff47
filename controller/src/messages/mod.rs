//! Texts to customers (SMS): what they are told about their money and their line.
//!
//! A text is written in the transaction of its cause, under a key that its cause can have once (`about`), and leaves later by a
//! channel (`sender`): so neither a crash nor a callback that comes twice sends anything twice, as far as a provider's lost
//! answer can be told from a lost text (`state`). Nothing here decides over money or access, and no number and no words of a
//! text ever stand in the log.

pub mod about;
pub mod addresses;
pub mod africas_talking;
pub mod api;
pub mod doctor;
pub mod expiry;
pub mod occasion;
pub mod pages;
pub mod quiet;
pub mod search;
pub mod segments;
pub mod sender;
pub mod settings;
pub mod state;
pub mod store;
pub mod template;
#[cfg(test)]
mod tests;
pub mod words;

use std::time::Duration;

use tawi_shared::UnixMillis;

use crate::customers::phone::Msisdn;
use crate::database::Connection;
use crate::ids::{CustomerId, IdSource, LineId, MessageId};
use occasion::Occasion;
use quiet::QuietHours;
use settings::SmsSettings;
use state::Course;
use template::Template;
use words::Language;

/// Random bytes in the address of delivery reports: nobody guesses 128 bits.
const REPORT_TOKEN_BYTES: usize = 16;
/// How long a report waits for the text that it is of.
const EARLY_REPORT_KEPT: Duration = Duration::from_secs(3_600);

/// A text.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its place in the order of all: the time first.
    pub id: MessageId,
    /// Who is told; `None` for a test.
    pub customer: Option<CustomerId>,
    /// About which line.
    pub subscription: Option<LineId>,
    /// To which number.
    pub phone: Msisdn,
    /// In which language.
    pub language: Language,
    /// The words.
    pub body: String,
    /// SMS that it is.
    pub segments: u32,
    /// Where it stands.
    pub course: Course,
    /// Until when it is news.
    pub not_after: UnixMillis,
    /// When it came up.
    pub queued_at: UnixMillis,
    /// When it was begun last.
    pub attempted_at: Option<UnixMillis>,
    /// When it was settled.
    pub settled_at: Option<UnixMillis>,
}

impl std::fmt::Debug for Message {
    /// Without the words, which are the customer's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message").field("id", &self.id).field("course", &self.course).finish_non_exhaustive()
    }
}

/// What of the settings every process that books something has to know. A row of the database, so that a command line
/// that books a statement queues the same texts as the program that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What a customer reads who chose nothing.
    pub language: Language,
    /// When nothing is sent that can wait.
    pub quiet: QuietHours,
    /// Texts that one customer gets in one of Nairobi's days, at most.
    pub a_day: u32,
    /// How long texts are kept, with their numbers: they are personal data.
    pub days_kept: u32,
}

/// A text.
///
/// # Errors
/// When the database refuses.
pub async fn get(connection: &mut Connection, id: &MessageId) -> Result<Option<Message>, sqlx::Error> {
    store::by_id(connection, id).await
}

/// Takes the settings over at the start. Without any, nothing is queued from then on, and what waits is dropped.
///
/// # Errors
/// When the database refuses.
pub async fn take_over(
    connection: &mut Connection,
    settings: Option<&SmsSettings>,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let new_token = ids.hex(REPORT_TOKEN_BYTES);
    store::set_policy(connection, settings.map(SmsSettings::policy).as_ref(), &new_token, now).await?;
    if settings.is_none() {
        store::drop_all(connection, "texts were switched off", now).await?;
    }
    Ok(())
}

/// Forgets at most `limit` texts that are older than the settings say; says how many.
///
/// # Errors
/// When the database refuses.
pub async fn forget(connection: &mut Connection, now: UnixMillis, limit: u32) -> Result<u64, sqlx::Error> {
    let Some(days) = store::days_kept(connection).await? else { return Ok(0) };
    store::forget_reports(connection, now.minus(EARLY_REPORT_KEPT)).await?;
    let kept = Duration::from_secs(u64::from(days).saturating_mul(86_400));
    store::forget(connection, now.minus(kept), limit).await
}

/// The language that a customer chose; `None` for the usual one.
///
/// # Errors
/// When the database refuses.
pub async fn language_of(
    connection: &mut Connection,
    customer: &CustomerId,
) -> Result<Option<Language>, sqlx::Error> {
    store::language_of(connection, customer).await
}

/// The template of an occasion in a language: what staff wrote, or else what Tawi comes with.
///
/// # Errors
/// When the database refuses.
pub async fn template(
    connection: &mut Connection,
    occasion: Occasion,
    language: Language,
) -> Result<Template, sqlx::Error> {
    let written = store::template(connection, occasion, language).await?;
    // What an older release took and this one does not is not sent as it stands.
    let written = written.and_then(|text| Template::parse(&text, occasion).ok());
    Ok(written.unwrap_or_else(|| Template::default_of(occasion, language)))
}
