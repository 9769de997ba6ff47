//! All SQL of texts.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::about::key_of;
use super::addresses::{Addresses, Number};
use super::africas_talking::report::{End, Report};
use super::occasion::Occasion;
use super::quiet::{ClockTime, QuietHours};
use super::search::Search;
use super::state::{Course, State};
use super::words::Language;
use super::{Message, Policy};
use crate::columns;
use crate::customers::phone::Msisdn;
use crate::database::{Connection, Row, Together};
use crate::entitlements::Status;
use crate::ids::{CustomerId, LineId, MessageId, PaymentId, SiteId};
use crate::money::Money;

/// Reports that are kept for texts whose answers were not written down yet. A second's texts are fifty at most.
const EARLY_REPORTS: i64 = 1_000;

/// The columns that [`read`] reads, with what follows `FROM messages m`.
macro_rules! messages {
    ($rest:literal) => {
        concat!(
            "SELECT m.id, m.customer_id, m.subscription_id, m.occasion, m.phone, m.language, m.body, m.segments, ",
            "m.state, m.reason, m.provider_id, m.cost, m.attempts, m.next_attempt_at, m.not_after, m.queued_at, ",
            "m.attempted_at, m.settled_at FROM messages m ",
            $rest
        )
    };
}

/// Who is told.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) account_number: String,
    pub(super) phone: Msisdn,
    pub(super) language: Option<Language>,
    /// Texts that came up today, but for those that were dropped.
    pub(super) today: u32,
}

/// What a text may say of a line.
#[derive(Clone, Debug)]
pub(super) struct LineFacts {
    pub(super) id: LineId,
    pub(super) customer: CustomerId,
    pub(super) status: Status,
    pub(super) paid_until: Option<UnixMillis>,
    /// When what its site has not heard of was to begin.
    pub(super) waits_since: Option<UnixMillis>,
    /// Until when it is, or was, open on trust.
    pub(super) grace_until: Option<UnixMillis>,
    pub(super) renews: bool,
    pub(super) plan_name: String,
    pub(super) price: Money,
    pub(super) validity_seconds: u64,
    pub(super) site: SiteId,
    pub(super) site_name: String,
    pub(super) is_site_online: bool,
    /// When that changed last.
    pub(super) site_changed_at: Option<UnixMillis>,
}

/// What a text may say of a payment.
#[derive(Debug)]
pub(super) struct Paid {
    pub(super) customer: CustomerId,
    pub(super) line: Option<LineId>,
    pub(super) amount: Money,
    pub(super) receipt: String,
    pub(super) has_bought: bool,
    /// When it was paid, by M-Pesa's own clock where that is known.
    pub(super) paid_at: UnixMillis,
    pub(super) booked_at: UnixMillis,
    /// Whether any text told of it.
    pub(super) is_told: bool,
    /// Whose it is, who may be unreadable where nobody is told.
    pub(super) person: Result<Person, sqlx::Error>,
}

/// The settings in force; `None` where texts are not set up.
pub(super) async fn policy(connection: &mut Connection) -> Result<Option<Policy>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT language, quiet_from, quiet_until, a_day, days_kept FROM message_policy WHERE singleton = 1 AND is_on = 1",
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| read_policy(&row, "language")).transpose()
}

fn read_policy(row: &Row, language: &str) -> Result<Policy, sqlx::Error> {
    Ok(Policy {
        language: columns::parsed(row, language)?,
        quiet: QuietHours {
            from: ClockTime::from_minutes(columns::unsigned(row, "quiet_from")?),
            until: ClockTime::from_minutes(columns::unsigned(row, "quiet_until")?),
        },
        a_day: columns::unsigned(row, "a_day")?,
        days_kept: columns::unsigned(row, "days_kept")?,
    })
}

pub(super) async fn set_policy(
    connection: &mut Connection,
    policy: Option<&Policy>,
    new_token: &str,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let Some(policy) = policy else {
        let off = "UPDATE message_policy SET is_on = 0, updated_at = $1 WHERE singleton = 1";
        sqlx::query(off).bind(now.0).execute(connection).await?;
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO message_policy (singleton, is_on, language, quiet_from, quiet_until, a_day, days_kept, \
                                     updated_at, report_token) \
         VALUES (1, 1, $1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (singleton) DO UPDATE SET is_on = 1, language = excluded.language, \
             quiet_from = excluded.quiet_from, quiet_until = excluded.quiet_until, a_day = excluded.a_day, \
             days_kept = excluded.days_kept, updated_at = excluded.updated_at",
    )
    .bind(policy.language.as_str())
    .bind(i64::from(policy.quiet.from.minutes()))
    .bind(i64::from(policy.quiet.until.minutes()))
    .bind(i64::from(policy.a_day))
    .bind(i64::from(policy.days_kept))
    .bind(now.0)
    .bind(new_token)
    .execute(connection)
    .await?;
    Ok(())
}

/// The address under which the pages are reached.
pub(super) const PUBLIC_URL: &str = "public_url";
/// Where customers of all sites pay to that have no short code of their own.
pub(super) const PAYEE: &str = "payee";

/// Where customers of a site pay to.
pub(super) fn payee_of(site: &SiteId) -> String {
    format!("{PAYEE}:{site}")
}

/// Replaces what is known of where customers pay.
pub(super) async fn set_addresses(
    connection: &mut Connection,
    all: &[(String, String)],
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM message_addresses").execute(&mut *connection).await?;
    for (name, value) in all {
        sqlx::query("INSERT INTO message_addresses (name, value) VALUES ($1, $2)")
            .bind(name.as_str())
            .bind(value.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Where customers of a site pay, or those of a site that has no short code of its own.
pub(super) async fn addresses(
    connection: &mut Connection,
    site: Option<&SiteId>,
) -> Result<Addresses, sqlx::Error> {
    let of_site = site.map_or_else(|| PAYEE.to_owned(), payee_of);
    let rows = sqlx::query("SELECT name, value FROM message_addresses WHERE name IN ($1, $2, $3)")
        .bind(PUBLIC_URL)
        .bind(PAYEE)
        .bind(of_site.as_str())
        .fetch_all(connection)
        .await?;
    let mut found = Addresses::default();
    let mut own = None;
    for row in &rows {
        let (name, value): (String, String) = (row.try_get("name")?, row.try_get("value")?);
        if name == PUBLIC_URL {
            found.public_url = Some(value);
        } else if name == PAYEE {
            found.payee = Number::parse(&value);
        } else {
            own = Number::parse(&value);
        }
    }
    found.payee = own.or(found.payee);
    Ok(found)
}

pub(super) async fn template(
    connection: &mut Connection,
    occasion: Occasion,
    language: Language,
) -> Result<Option<String>, sqlx::Error> {
    let row = sqlx::query("SELECT body FROM message_templates WHERE occasion = $1 AND language = $2")
        .bind(occasion.as_str())
        .bind(language.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| row.try_get("body")).transpose()
}

pub(super) async fn person(
    connection: &mut Connection,
    customer: &CustomerId,
    midnight: UnixMillis,
) -> Result<Option<Person>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT name, account_number, phone, language, \
                (SELECT COUNT(*) FROM messages WHERE customer_id = $1 AND id >= $2 AND state <> 'dropped') AS today \
         FROM customers WHERE id = $1",
    )
    .bind(customer.as_str())
    .bind(key_of(midnight))
    .fetch_optional(connection)
    .await?;
    row.map(|row| read_person(&row)).transpose()
}

fn read_person(row: &Row) -> Result<Person, sqlx::Error> {
    Ok(Person {
        name: row.try_get("name")?,
        account_number: row.try_get("account_number")?,
        phone: columns::parsed(row, "phone")?,
        language: columns::parsed_or_none(row, "language")?,
        today: columns::unsigned(row, "today")?,
    })
}

pub(super) async fn line(
    connection: &mut Connection,
    line: &LineId,
) -> Result<Option<LineFacts>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT s.id, s.customer_id, s.status, s.paid_until, s.grace_until, s.renews, \
                (SELECT MIN(q.started_at) FROM quota_periods q \
                 WHERE q.line_id = s.id AND q.waits_for_generation IS NOT NULL) AS waits_since, p.name AS plan_name, p.price_cents, \
                p.validity_seconds, site.id AS site_id, site.name AS site_name, site.is_online, site.online_changed_at \
         FROM subscriptions s JOIN plans p ON p.id = s.plan_id JOIN routers r ON r.id = s.router_id \
         JOIN sites site ON site.id = r.site_id WHERE s.id = $1",
    )
    .bind(line.as_str())
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(LineFacts {
            id: columns::parsed(&row, "id")?,
            customer: columns::parsed(&row, "customer_id")?,
            status: columns::word(&row, "status", Status::parse)?,
            paid_until: columns::instant_or_none(&row, "paid_until")?,
            waits_since: columns::instant_or_none(&row, "waits_since")?,
            grace_until: columns::instant_or_none(&row, "grace_until")?,
            renews: columns::truth(&row, "renews")?,
            plan_name: row.try_get("plan_name")?,
            price: columns::money(&row, "price_cents")?,
            validity_seconds: columns::unsigned(&row, "validity_seconds")?,
            site: columns::parsed(&row, "site_id")?,
            site_name: row.try_get("site_name")?,
            is_site_online: columns::truth(&row, "is_online")?,
            site_changed_at: columns::instant_or_none(&row, "online_changed_at")?,
        })
    })
    .transpose()
}

/// A payment that is somebody's, and whether a text told of it on one of these occasions, with the settings in force; `None`
/// also where texts are not set up. One question, since every booking asks it.
pub(super) async fn payment(
    connection: &mut Connection,
    mut before: Together,
    payment: &PaymentId,
    [first, second, third]: [Occasion; 3],
    midnight: UnixMillis,
) -> Result<Option<(Policy, Paid)>, sqlx::Error> {
    before.add(
        "SELECT p.customer_id, p.subscription_id, p.amount_cents, p.unspent, \
                CASE WHEN p.provider = 'mpesa' THEN p.receipt_number \
                     ELSE (SELECT CAST(r.serial AS TEXT) FROM receipts r WHERE r.payment_id = p.id) END AS receipt, \
                COALESCE(p.moved_at, p.received_at) AS paid_at, p.booked_at, \
                (SELECT COUNT(*) FROM messages m WHERE m.customer_id = p.customer_id AND m.cause = $1 \
                 AND m.occasion IN ($2, $3, $4)) AS is_told, \
                c.name, c.account_number, c.phone, c.language, \
                (SELECT COUNT(*) FROM messages m \
                 WHERE m.customer_id = p.customer_id AND m.id >= $5 AND m.state <> 'dropped') AS today, \
                y.language AS our_language, y.quiet_from, y.quiet_until, y.a_day, y.days_kept \
         FROM message_policy y JOIN payments p ON p.id = $1 JOIN customers c ON c.id = p.customer_id \
         WHERE y.singleton = 1 AND y.is_on = 1",
    )
    .bind(payment.as_str())
    .bind(first.as_str())
    .bind(second.as_str())
    .bind(third.as_str())
    .bind(key_of(midnight));
    before
        .fetch(connection)
        .await?
        .last_row()?
        .map(|row| {
            let line: Option<LineId> = columns::parsed_or_none(&row, "subscription_id")?;
            let unspent: String = row.try_get("unspent")?;
            let paid = Paid {
                customer: columns::parsed(&row, "customer_id")?,
                has_bought: line.is_some() && unspent.is_empty(),
                line,
                amount: columns::money(&row, "amount_cents")?,
                // M-Pesa's own, or else the number of ours.
                receipt: row.try_get::<Option<String>, _>("receipt")?.unwrap_or_default(),
                paid_at: columns::instant(&row, "paid_at")?,
                booked_at: columns::instant(&row, "booked_at")?,
                is_told: columns::truth(&row, "is_told")?,
                person: read_person(&row),
            };
            Ok((read_policy(&row, "our_language")?, paid))
        })
        .transpose()
}

/// Whether the period that a payment bought opened a line that was off: it runs, and nothing before it does. Found by the payment,
/// which the expressions leave as the only way.
pub(super) async fn has_opened(
    connection: &mut Connection,
    (payment, line): (&PaymentId, &LineId),
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let sql = "SELECT COUNT(*) AS found FROM purchases \
               WHERE payment_id = $1 AND line_id || '' = $2 AND what = 'period' AND taken_back_at IS NULL \
                 AND period_started_at + 0 <= $3 AND COALESCE(paid_until_before, 0) <= $3";
    let query = sqlx::query(sql).bind(payment.as_str()).bind(line.as_str()).bind(now.0);
    columns::truth(&query.fetch_one(connection).await?, "found")
}

pub(super) async fn is_told(
    connection: &mut Connection,
    customer: &CustomerId,
    occasion: Occasion,
    cause: &str,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT 1 AS found FROM messages WHERE customer_id = $1 AND occasion = $2 AND cause = $3",
    )
    .bind(customer.as_str())
    .bind(occasion.as_str())
    .bind(cause)
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

/// Once for a customer, an occasion and a cause. Beside the cause stands the end of what is paid for, where the text is
/// wrong once that is another.
pub(super) async fn insert(
    connection: &mut Connection,
    message: &Message,
    (cause, paid_until): (&str, Option<UnixMillis>),
) -> Result<(), sqlx::Error> {
    let course = &message.course;
    sqlx::query(
        "INSERT INTO messages (id, customer_id, subscription_id, occasion, cause, phone, language, body, segments, \
                               state, reason, next_attempt_at, can_wait, not_after, paid_until, queued_at, settled_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
         ON CONFLICT DO NOTHING",
    )
    .bind(message.id.as_str())
    .bind(message.customer.as_ref().map(CustomerId::as_str))
    .bind(message.subscription.as_ref().map(LineId::as_str))
    .bind(course.occasion.as_str())
    .bind(cause)
    .bind(message.phone.digits())
    .bind(message.language.as_str())
    .bind(message.body.as_str())
    .bind(i64::from(message.segments))
    .bind(course.state.as_str())
    .bind(course.reason.as_str())
    .bind(course.next_attempt_at.map(|at| at.0))
    .bind(i64::from(!course.occasion.is_answer()))
    .bind(message.not_after.0)
    .bind(paid_until.map(|at| at.0))
    .bind(message.queued_at.0)
    .bind(message.settled_at.map(|at| at.0))
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether anything waits whose time has come.
pub(super) async fn is_any_due(connection: &mut Connection, now: UnixMillis) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT 1 AS found FROM messages WHERE state = 'queued' AND can_wait IN (0, 1) AND next_attempt_at <= $1 LIMIT 1",
    )
    .bind(now.0)
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

/// What is due, answers before everything that can wait, and those that waited longest first.
pub(super) async fn due(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<Message>, sqlx::Error> {
    let mut found = Vec::new();
    for can_wait in [0_i64, 1] {
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if left == 0 {
            break;
        }
        let rows = sqlx::query(messages!(
            "WHERE m.state = 'queued' AND m.can_wait = $1 AND m.next_attempt_at <= $2 \
             ORDER BY m.next_attempt_at, m.id LIMIT $3"
        ))
        .bind(can_wait)
        .bind(now.0)
        .bind(i64::from(left))
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            found.push(read(row)?);
        }
    }
    Ok(found)
}

/// Whether a text that speaks of the end of what is paid for still does: nobody has paid since, and nobody holds the line.
pub(super) async fn is_still_true(connection: &mut Connection, id: &MessageId) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT 1 AS found FROM messages m JOIN subscriptions s ON s.id = m.subscription_id \
         WHERE m.id = $1 AND s.paid_until = m.paid_until AND s.status IN ('active', 'expired')",
    )
    .bind(id.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

/// What a process that ended left half done.
pub(super) async fn sending(connection: &mut Connection, limit: u32) -> Result<Vec<Message>, sqlx::Error> {
    let rows = sqlx::query(messages!("WHERE m.state = 'sending' ORDER BY m.id LIMIT $1"))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// Writes down where a text stands now.
pub(super) async fn set_course(
    connection: &mut Connection,
    id: &MessageId,
    course: &Course,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let begun_at = (course.state == State::Sending).then_some(now.0);
    let settled_at = match course.state {
        State::Delivered | State::Failed | State::Dropped | State::Unknown => Some(now.0),
        State::Queued | State::Sending | State::Sent => None,
    };
    sqlx::query(
        "UPDATE messages SET state = $2, reason = $3, provider_id = $4, cost = $5, attempts = $6, \
                             next_attempt_at = $7, attempted_at = COALESCE($8, attempted_at), settled_at = $9 \
         WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(course.state.as_str())
    .bind(course.reason.as_str())
    .bind(course.provider_id.as_deref())
    .bind(course.cost.as_str())
    .bind(i64::from(course.attempts))
    .bind(course.next_attempt_at.map(|at| at.0))
    .bind(begun_at)
    .bind(settled_at)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn by_id(
    connection: &mut Connection,
    id: &MessageId,
) -> Result<Option<Message>, sqlx::Error> {
    let row = sqlx::query(messages!("WHERE m.id = $1")).bind(id.as_str()).fetch_optional(connection).await?;
    row.map(|row| read(&row)).transpose()
}

pub(super) async fn by_provider_id(
    connection: &mut Connection,
    provider_id: &str,
) -> Result<Option<Message>, sqlx::Error> {
    let row = sqlx::query(messages!("WHERE m.provider_id = $1 ORDER BY m.id DESC LIMIT 1"))
        .bind(provider_id)
        .fetch_optional(connection)
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// Whether any text is being handed over, so that its name may be known to its provider alone.
pub(super) async fn is_any_sending(connection: &mut Connection) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT 1 AS found FROM messages WHERE state = 'sending' LIMIT 1")
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// The secret in the address of delivery reports.
pub(super) async fn report_token(connection: &mut Connection) -> Result<Option<String>, sqlx::Error> {
    let row = sqlx::query("SELECT report_token FROM message_policy WHERE singleton = 1 AND is_on = 1")
        .fetch_optional(connection)
        .await?;
    row.map(|row| row.try_get("report_token")).transpose()
}

/// Keeps a report that came before its text was known by that name. The first word counts.
pub(super) async fn keep_report(
    connection: &mut Connection,
    report: &Report,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let (has_arrived, reason) = match &report.end {
        End::Arrived => (1_i64, ""),
        End::Lost(reason) => (0, reason.as_str()),
    };
    sqlx::query(
        "INSERT INTO message_reports (provider_id, has_arrived, reason, received_at) \
         SELECT $1, $2, $3, $4 WHERE (SELECT COUNT(*) FROM message_reports) < $5 ON CONFLICT DO NOTHING",
    )
    .bind(report.provider_id.as_str())
    .bind(has_arrived)
    .bind(reason)
    .bind(now.0)
    .bind(EARLY_REPORTS)
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes the report that came early for a text.
pub(super) async fn take_report(
    connection: &mut Connection,
    provider_id: &str,
) -> Result<Option<Report>, sqlx::Error> {
    let row = sqlx::query(
        "DELETE FROM message_reports WHERE provider_id = $1 RETURNING provider_id, has_arrived, reason",
    )
    .bind(provider_id)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let end = match columns::truth(&row, "has_arrived")? {
            true => End::Arrived,
            false => End::Lost(row.try_get("reason")?),
        };
        Ok(Report { provider_id: row.try_get("provider_id")?, end })
    })
    .transpose()
}

/// Forgets reports that came early for no text: an answer is written down within a minute.
pub(super) async fn forget_reports(
    connection: &mut Connection,
    before: UnixMillis,
) -> Result<(), sqlx::Error> {
    let old = "DELETE FROM message_reports WHERE received_at < $1";
    sqlx::query(old).bind(before.0).execute(connection).await?;
    Ok(())
}

/// Drops all that waits.
pub(super) async fn drop_all(
    connection: &mut Connection,
    reason: &str,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE messages SET state = 'dropped', reason = $1, settled_at = $2, next_attempt_at = NULL \
         WHERE state = 'queued'",
    )
    .bind(reason)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// How long texts are kept, in days, whether any are sent now or not; `None` where none ever were.
pub(super) async fn days_kept(connection: &mut Connection) -> Result<Option<u32>, sqlx::Error> {
    let row = sqlx::query("SELECT days_kept FROM message_policy WHERE singleton = 1")
        .fetch_optional(connection)
        .await?;
    row.map(|row| columns::unsigned(&row, "days_kept")).transpose()
}

/// Forgets at most `limit` texts that came up before `before`; says how many.
pub(super) async fn forget(
    connection: &mut Connection,
    before: UnixMillis,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let done =
        sqlx::query("DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE id < $1 LIMIT $2)")
            .bind(key_of(before))
            .bind(i64::from(limit))
            .execute(connection)
            .await?;
    Ok(done.rows_affected())
}

fn read(row: &Row) -> Result<Message, sqlx::Error> {
    Ok(Message {
        id: columns::parsed(row, "id")?,
        customer: columns::parsed_or_none(row, "customer_id")?,
        subscription: columns::parsed_or_none(row, "subscription_id")?,
        phone: columns::parsed(row, "phone")?,
        language: columns::parsed(row, "language")?,
        body: row.try_get("body")?,
        segments: columns::unsigned(row, "segments")?,
        course: Course {
            occasion: columns::word(row, "occasion", Occasion::parse)?,
            state: columns::word(row, "state", State::parse)?,
            attempts: columns::unsigned(row, "attempts")?,
            next_attempt_at: columns::instant_or_none(row, "next_attempt_at")?,
            provider_id: row.try_get("provider_id")?,
            cost: row.try_get("cost")?,
            reason: row.try_get("reason")?,
        },
        not_after: columns::instant(row, "not_after")?,
        queued_at: columns::instant(row, "queued_at")?,
        attempted_at: columns::instant_or_none(row, "attempted_at")?,
        settled_at: columns::instant_or_none(row, "settled_at")?,
    })
}

/// Up to which end of a period, and which line of it, a distance was told.
pub(super) async fn place(
    connection: &mut Connection,
    occasion: Occasion,
) -> Result<Option<(UnixMillis, String)>, sqlx::Error> {
    let row = sqlx::query("SELECT paid_until, line_id FROM message_places WHERE occasion = $1")
        .bind(occasion.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok((columns::instant(&row, "paid_until")?, row.try_get("line_id")?))).transpose()
}

pub(super) async fn set_place(
    connection: &mut Connection,
    occasion: Occasion,
    (paid_until, line): &(UnixMillis, String),
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO message_places (occasion, paid_until, line_id) VALUES ($1, $2, $3) \
         ON CONFLICT (occasion) DO UPDATE SET paid_until = excluded.paid_until, line_id = excluded.line_id",
    )
    .bind(occasion.as_str())
    .bind(paid_until.0)
    .bind(line)
    .execute(connection)
    .await?;
    Ok(())
}

/// Active lines whose period ends behind a place and by `farthest`, those that end first before the others.
pub(super) async fn ending(
    connection: &mut Connection,
    (paid_until, line): &(UnixMillis, String),
    farthest: UnixMillis,
    limit: u32,
) -> Result<Vec<(LineId, UnixMillis)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, paid_until FROM subscriptions \
         WHERE status = 'active' AND paid_until >= $1 AND paid_until <= $2 AND (paid_until > $1 OR id > $3) \
         ORDER BY paid_until, id LIMIT $4",
    )
    .bind(paid_until.0)
    .bind(farthest.0)
    .bind(line)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((columns::parsed(row, "id")?, columns::instant(row, "paid_until")?))).collect()
}

/// Only the conditions that are asked for are written, so that each finds its index. The values are bound.
pub(super) async fn find(
    connection: &mut Connection,
    search: &Search,
    limit: u32,
) -> Result<Vec<Message>, sqlx::Error> {
    let mut conditions = vec!["m.id >= $1".to_owned(), "m.id < $2".to_owned()];
    let mut values = vec![search.from_key.clone(), search.before_key.clone()];
    let wanted = [
        ("customer_id", search.customer.as_ref().map(ToString::to_string)),
        ("phone", search.phone.as_ref().map(|phone| phone.digits().to_owned())),
        ("occasion", search.occasion.map(|occasion| occasion.as_str().to_owned())),
        ("state", search.state.map(|state| state.as_str().to_owned())),
    ];
    for (column, value) in wanted {
        if let Some(value) = value {
            values.push(value);
            conditions.push(format!("m.{column} = ${}", values.len()));
        }
    }
    let query =
        format!("{}WHERE {} ORDER BY m.id DESC LIMIT {limit}", messages!(""), conditions.join(" AND "));
    let mut asked = sqlx::query(sqlx::AssertSqlSafe(query));
    for value in values {
        asked = asked.bind(value);
    }
    let rows = asked.fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// How many texts came up since then, by where they stand.
pub(super) async fn counts_since(
    connection: &mut Connection,
    since: UnixMillis,
) -> Result<Vec<(State, u64)>, sqlx::Error> {
    let rows = sqlx::query("SELECT state, COUNT(*) AS n FROM messages WHERE id >= $1 GROUP BY state")
        .bind(key_of(since))
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| Ok((columns::word(row, "state", State::parse)?, columns::unsigned(row, "n")?)))
        .collect()
}

/// Why the newest of the texts that were tried and wait again could not be sent; `None` where none does.
pub(super) async fn last_not_sent(connection: &mut Connection) -> Result<Option<String>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT reason FROM messages WHERE state = 'queued' AND attempts > 0 ORDER BY id DESC LIMIT 1",
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| row.try_get("reason")).transpose()
}

pub(super) async fn set_template(
    connection: &mut Connection,
    (occasion, language): (Occasion, Language),
    body: &str,
    by: &str,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO message_templates (occasion, language, body, changed_at, changed_by) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (occasion, language) DO UPDATE SET body = excluded.body, changed_at = excluded.changed_at, \
             changed_by = excluded.changed_by",
    )
    .bind(occasion.as_str())
    .bind(language.as_str())
    .bind(body)
    .bind(now.0)
    .bind(by)
    .execute(connection)
    .await?;
    Ok(())
}

/// What staff wrote is forgotten, and Tawi's own words are used again.
pub(super) async fn delete_template(
    connection: &mut Connection,
    (occasion, language): (Occasion, Language),
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM message_templates WHERE occasion = $1 AND language = $2")
        .bind(occasion.as_str())
        .bind(language.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// The language of a customer; `None` where there is none such.
pub(super) async fn language_of(
    connection: &mut Connection,
    customer: &CustomerId,
) -> Result<Option<Language>, sqlx::Error> {
    let row = sqlx::query("SELECT language FROM customers WHERE id = $1")
        .bind(customer.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| columns::parsed_or_none(&row, "language")).transpose()?.flatten())
}

pub(super) async fn set_language(
    connection: &mut Connection,
    customer: &CustomerId,
    language: Option<Language>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("UPDATE customers SET language = $2 WHERE id = $1")
        .bind(customer.as_str())
        .bind(language.map(Language::as_str))
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}
