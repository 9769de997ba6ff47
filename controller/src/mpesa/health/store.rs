//! All SQL of how short codes do: what is read of many tables, and what is kept for it alone.

use std::time::Duration;

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::judgement::outcome_of;
use super::own_faults::{self, OwnFaults};
use super::unheard::Span;
use super::{DoctorSaid, DoctorStep, LastSweep, Prompts, Registration, StatementTold, SweepOutcome, Waiting};
use crate::closing::ToldBy;
use crate::columns;
use crate::database::Connection;
use crate::money::Money;
use crate::mpesa::answer::OVERLOADED;

/// Prompts whose callbacks are looked for: what a busy hour has.
const NEWEST_PROMPTS: i64 = 200;
/// Spans of a source that are looked at: they grow together, and one more is an outage.
const SPANS_MOST: i64 = 200;
/// How far back.
const PROMPTS_WITHIN: Duration = Duration::from_secs(7 * 86_400);
/// The state of one that was refused.
const DECLINED: &str = "declined";
/// States in which a prompt is on the phone, or on its way there.
const OPEN: [&str; 3] = ["created", "submitting", "prompted"];

/// How a sweep ended, with what it found.
pub(in crate::mpesa) struct Ended<'a> {
    pub(in crate::mpesa) outcome: SweepOutcome,
    pub(in crate::mpesa) told: usize,
    pub(in crate::mpesa) booked: usize,
    pub(in crate::mpesa) detail: &'a str,
}

/// Notes how a sweep of Pull ended.
pub(in crate::mpesa) async fn note_sweep(
    connection: &mut Connection,
    short_code: &str,
    ended: Ended<'_>,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let whole_at = (ended.outcome == SweepOutcome::Whole).then_some(now.0);
    sqlx::query(
        "INSERT INTO pull_sweeps (short_code, swept_at, outcome, told, booked, detail, streak, since_at, whole_at) \
         VALUES ($1, $2, $3, $4, $5, $6, 1, $2, $7) \
         ON CONFLICT (short_code) DO UPDATE SET swept_at = $2, told = $4, booked = $5, detail = $6, \
             streak = CASE WHEN pull_sweeps.outcome = $3 THEN pull_sweeps.streak + 1 ELSE 1 END, \
             since_at = CASE WHEN pull_sweeps.outcome = $3 THEN pull_sweeps.since_at ELSE $2 END, \
             outcome = $3, whole_at = COALESCE($7, pull_sweeps.whole_at)",
    )
    .bind(short_code)
    .bind(now.0)
    .bind(ended.outcome.as_str())
    .bind(count(ended.told))
    .bind(count(ended.booked))
    .bind(ended.detail)
    .bind(whole_at)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn sweep(
    connection: &mut Connection,
    short_code: &str,
) -> Result<Option<LastSweep>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT swept_at, outcome, told, booked, detail, streak, since_at, whole_at FROM pull_sweeps \
         WHERE short_code = $1",
    )
    .bind(short_code)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(LastSweep {
            at: columns::instant(&row, "swept_at")?,
            outcome: columns::word(&row, "outcome", SweepOutcome::parse)?,
            told: columns::unsigned(&row, "told")?,
            booked: columns::unsigned(&row, "booked")?,
            detail: row.try_get("detail")?,
            streak: columns::unsigned(&row, "streak")?,
            since: columns::instant(&row, "since_at")?,
            whole_at: columns::instant_or_none(&row, "whole_at")?,
        })
    })
    .transpose()
}

pub(super) async fn keep_doctor(
    connection: &mut Connection,
    short_code: &str,
    steps: &[DoctorStep],
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let findings = serde_json::to_string(steps).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    sqlx::query(
        "INSERT INTO doctor_findings (short_code, examined_at, findings) VALUES ($1, $2, $3) \
         ON CONFLICT (short_code) DO UPDATE SET examined_at = $2, findings = $3",
    )
    .bind(short_code)
    .bind(now.0)
    .bind(findings)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn doctor(
    connection: &mut Connection,
    short_code: &str,
) -> Result<Option<DoctorSaid>, sqlx::Error> {
    let row = sqlx::query("SELECT examined_at, findings FROM doctor_findings WHERE short_code = $1")
        .bind(short_code)
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        let findings: String = row.try_get("findings")?;
        let steps = serde_json::from_str(&findings).map_err(|error| sqlx::Error::ColumnDecode {
            index: "findings".to_owned(),
            source: Box::new(error),
        })?;
        Ok(DoctorSaid { at: columns::instant(&row, "examined_at")?, steps })
    })
    .transpose()
}

pub(super) async fn registration(
    connection: &mut Connection,
    short_code: &str,
    base_url: &str,
) -> Result<Option<Registration>, sqlx::Error> {
    let row = sqlx::query("SELECT base_url, registered_at FROM c2b_addresses WHERE short_code = $1")
        .bind(short_code)
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        let told: String = row.try_get("base_url")?;
        let at = columns::instant_or_none(&row, "registered_at")?;
        Ok(Registration { at, is_here: told == base_url })
    })
    .transpose()
}

pub(super) async fn confirmation_at(
    connection: &mut Connection,
    short_code: &str,
) -> Result<Option<UnixMillis>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT MAX(received_at) AS newest FROM callback_bodies \
         WHERE callback_token = (SELECT callback_token FROM c2b_addresses WHERE short_code = $1)",
    )
    .bind(short_code)
    .fetch_one(connection)
    .await?;
    columns::instant_or_none(&row, "newest")
}

pub(super) async fn callback_at(
    connection: &mut Connection,
    short_code: &str,
    now: UnixMillis,
) -> Result<Option<UnixMillis>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT MAX(received_at) AS newest FROM callback_bodies WHERE callback_token IN \
             (SELECT callback_token FROM payment_intents WHERE short_code = $1 AND created_at > $2 \
              ORDER BY created_at DESC LIMIT $3)",
    )
    .bind(short_code)
    .bind(now.minus(PROMPTS_WITHIN).0)
    .bind(NEWEST_PROMPTS)
    .fetch_one(connection)
    .await?;
    columns::instant_or_none(&row, "newest")
}

/// What the prompts since an instant tell.
pub(super) struct PromptsTold {
    pub(super) prompts: Prompts,
    /// Since when the oldest of those that are open is.
    pub(super) oldest_open: Option<UnixMillis>,
    pub(super) own_faults: Option<OwnFaults>,
}

/// The prompts since an instant by what became of them.
pub(super) async fn prompts_since(
    connection: &mut Connection,
    short_code: &str,
    since: UnixMillis,
) -> Result<PromptsTold, sqlx::Error> {
    // Of one code the words tell what it means; those of the others differ without a meaning.
    let rows = sqlx::query(
        "SELECT state, code, words, COUNT(*) AS count, MIN(created_at) AS oldest, MAX(updated_at) AS newest \
         FROM (SELECT state, COALESCE(result_code, '') AS code, created_at, updated_at, \
                      CASE WHEN result_code = $3 THEN COALESCE(result_description, '') ELSE '' END AS words \
               FROM payment_intents WHERE short_code = $1 AND created_at > $2) i \
         GROUP BY state, code, words",
    )
    .bind(short_code)
    .bind(since.0)
    .bind(OVERLOADED)
    .fetch_all(connection)
    .await?;
    let (mut prompts, mut oldest_open) = (Prompts::default(), None::<UnixMillis>);
    let mut own_faults = None::<OwnFaults>;
    for row in rows {
        let (state, code): (String, String) = (row.try_get("state")?, row.try_get("code")?);
        let words: String = row.try_get("words")?;
        let count: u64 = columns::unsigned(&row, "count")?;
        let part = outcome_of(&mut prompts, &state, (&code, &words));
        *part = part.saturating_add(count);
        if OPEN.contains(&state.as_str()) {
            let oldest = columns::instant(&row, "oldest")?;
            oldest_open = Some(oldest_open.map_or(oldest, |known| known.min(oldest)));
        }
        if let Some(fault) = own_faults::of(&code, &words).filter(|_| state == DECLINED) {
            let newest = columns::instant(&row, "newest")?;
            let before = own_faults.map_or(0, |known| known.count);
            let known = own_faults.filter(|known| known.newest > newest);
            let found = known.unwrap_or(OwnFaults { fault, count, newest });
            own_faults = Some(OwnFaults { count: before.saturating_add(count), ..found });
        }
    }
    Ok(PromptsTold { prompts, oldest_open, own_faults })
}

/// Payments since an instant of which Pull told, and neither a callback nor a confirmation: of prompts, and of all where
/// Safaricom took an address for the others.
pub(super) async fn pulled_alone(
    connection: &mut Connection,
    short_code: &str,
    since: UnixMillis,
    is_registered: bool,
) -> Result<Waiting, sqlx::Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS count, MIN(p.received_at) AS oldest FROM payments p \
         WHERE p.received_at > $2 AND p.short_code = $1 AND p.provider = 'mpesa' AND p.part_of IS NULL \
           AND (p.intent_id IS NOT NULL OR $3 = 1) \
           AND EXISTS (SELECT 1 FROM payment_evidence e WHERE e.payment_id = p.id AND e.source = 'pull') \
           AND NOT EXISTS (SELECT 1 FROM payment_evidence e WHERE e.payment_id = p.id \
                                                          AND e.source IN ('stk callback', 'c2b confirmation'))",
    )
    .bind(short_code)
    .bind(since.0)
    .bind(i64::from(is_registered))
    .fetch_one(connection)
    .await?;
    Ok(Waiting {
        count: columns::unsigned(&row, "count")?,
        oldest: columns::instant_or_none(&row, "oldest")?,
    })
}

pub(super) async fn suspense(connection: &mut Connection, short_code: &str) -> Result<Waiting, sqlx::Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS count, MIN(received_at) AS oldest FROM payments \
         WHERE customer_id IS NULL AND closed = '' AND short_code = $1",
    )
    .bind(short_code)
    .fetch_one(connection)
    .await?;
    Ok(Waiting {
        count: columns::unsigned(&row, "count")?,
        oldest: columns::instant_or_none(&row, "oldest")?,
    })
}

/// Callbacks that are stored and not taken in, of any short code.
pub(super) async fn untaken(connection: &mut Connection) -> Result<Waiting, sqlx::Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS count, MIN(received_at) AS oldest FROM callback_bodies WHERE processed_at IS NULL",
    )
    .fetch_one(connection)
    .await?;
    Ok(Waiting {
        count: columns::unsigned(&row, "count")?,
        oldest: columns::instant_or_none(&row, "oldest")?,
    })
}

/// The spans of which a source told everything and that end behind an instant, at most so many, the newest.
pub(super) async fn told_since(
    connection: &mut Connection,
    (by, short_code): (ToldBy, &str),
    since: UnixMillis,
) -> Result<Vec<Span>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT from_at, until_at FROM told_spans WHERE source = $1 AND short_code = $2 AND until_at >= $3 \
         ORDER BY from_at DESC LIMIT $4",
    )
    .bind(by.as_str())
    .bind(short_code)
    .bind(since.0)
    .bind(SPANS_MOST)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((columns::instant(row, "from_at")?, columns::instant(row, "until_at")?)))
        .collect()
}

pub(super) async fn statement(
    connection: &mut Connection,
    short_code: &str,
) -> Result<Option<StatementTold>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT until_at, closing_cents FROM told_spans WHERE source = 'statement' AND short_code = $1 \
         ORDER BY until_at DESC LIMIT 1",
    )
    .bind(short_code)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let closing: Option<i64> = row.try_get("closing_cents")?;
        Ok(StatementTold {
            until: columns::instant(&row, "until_at")?,
            closing: closing.map(Money::from_cents),
        })
    })
    .transpose()
}
