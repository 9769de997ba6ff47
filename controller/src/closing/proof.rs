//! The proof of the books: what must hold of every entry, receipt and purchase, asked of all of them every night.
//!
//! The tables refuse most of it by constraint; a proof finds what a constraint cannot say, what a disk has damaged, and
//! what somebody changed past us. It only reads, and repairs nothing: a finding names what is broken, and that a person has
//! to look before anything else is booked by hand.

use std::fmt;
use std::time::Duration;

use tawi_shared::UnixMillis;
use tokio::time::Instant;

use super::day::Day;
use super::store;
use crate::database::Connection;
use crate::state::Controller;

/// The hour of Nairobi's night from which on it is done: nobody pays then.
const AFTER: Duration = Duration::from_secs(2 * 3_600);
/// When a proof that did not come is told: a night was missed.
const LATE: Duration = Duration::from_secs(36 * 3_600);
/// For how long proofs are kept.
const KEPT: Duration = Duration::from_secs(400 * 86_400);

/// Something that does not hold, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding(pub(super) String);

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a proof found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// In which night.
    pub day: Day,
    /// When it was done.
    pub proved_at: UnixMillis,
    /// How long it took.
    pub took: Duration,
    /// What does not hold; empty where everything does.
    pub findings: Vec<Finding>,
}

/// A question whose answer is how much breaks it, and what that means.
struct Question {
    sql: &'static str,
    /// Behind the number.
    broken: &'static str,
}

const QUESTIONS: [Question; 13] = [
    Question {
        sql: "SELECT COALESCE(SUM(amount_cents), 0) AS broken FROM ledger_postings",
        broken: "cents is the sum of all postings, and it must be 0",
    },
    Question {
        sql: "SELECT COUNT(*) AS broken FROM \
              (SELECT entry_id FROM ledger_postings GROUP BY entry_id HAVING SUM(amount_cents) <> 0) unbalanced",
        broken: "entries of the ledger do not sum to zero",
    },
    Question {
        sql: "SELECT COUNT(*) AS broken FROM ledger_postings p \
              WHERE NOT EXISTS (SELECT 1 FROM ledger_entries e WHERE e.id = p.entry_id)",
        broken: "postings belong to no entry",
    },
    Question {
        sql: "SELECT COUNT(*) AS broken FROM payments p WHERE p.part_of IS NULL AND NOT EXISTS \
              (SELECT 1 FROM ledger_entries e WHERE e.cause_kind = 'payment' AND e.cause_id = p.id)",
        broken: "payments have no entry in the ledger",
    },
    Question {
        sql: "SELECT COUNT(*) AS broken FROM payments p JOIN ledger_entries e \
                ON e.cause_kind = 'payment' AND e.cause_id = p.id \
              WHERE p.part_of IS NULL AND p.amount_cents <> \
              (SELECT COALESCE(SUM(q.amount_cents), 0) FROM ledger_postings q \
               WHERE q.entry_id = e.id AND q.amount_cents > 0)",
        broken: "payments stand in the ledger with another amount",
    },
    Question {
        sql: "SELECT COALESCE(SUM(q.amount_cents), 0) AS broken FROM ledger_accounts a \
              JOIN ledger_postings q ON q.account_id = a.id JOIN ledger_entries e ON e.id = q.entry_id \
              WHERE a.kind = 'mpesa_clearing' AND e.cause_kind NOT IN \
              ('payment', 'mpesa_charge', 'mpesa_settlement', 'refund_paid', 'statement_row', 'statement_row_taken_back')",
        broken: "cents lie on accounts of M-Pesa that nothing brought there or took away",
    },
    Question {
        sql: "SELECT COUNT(*) AS broken FROM ledger_entries e WHERE e.cause_kind = 'payment' AND NOT EXISTS \
              (SELECT 1 FROM payments p WHERE p.id = e.cause_id)",
        broken: "entries of the ledger tell of payments that there are not",
    },
    Question {
        sql: "SELECT COUNT(*) AS broken FROM ledger_entries e \
              WHERE NOT EXISTS (SELECT 1 FROM ledger_postings p WHERE p.entry_id = e.id)",
        broken: "entries of the ledger have no postings",
    },
    Question {
        sql: "SELECT COUNT(*) AS broken FROM payments p \
              WHERE NOT EXISTS (SELECT 1 FROM receipts r WHERE r.payment_id = p.id)",
        broken: "payments have no receipt of ours",
    },
    Question {
        sql: "SELECT COALESCE(MAX(serial), 0) - COUNT(*) AS broken FROM receipts",
        broken: "of our receipts are missing or too many",
    },
    Question {
        sql: "SELECT COALESCE((SELECT SUM(amount_cents) FROM ledger_postings WHERE account_id = 'refunds_held'), 0) + \
                     COALESCE((SELECT SUM(amount_cents) FROM refunds WHERE state IN \
                     ('waiting', 'held', 'asking', 'asked', 'unknown')), 0) AS broken",
        broken: "cents lie between what is held for refunds and the refunds that are under way",
    },
    Question {
        sql: "SELECT COALESCE((SELECT SUM(amount_cents) FROM ledger_postings WHERE account_id = 'suspense'), 0) + \
                     COALESCE((SELECT SUM(amount_cents) FROM payments WHERE customer_id IS NULL AND closed = ''), 0) \
                     AS broken",
        broken: "cents lie between the account of suspense and the payments that are nobody's",
    },
    Question {
        sql: "SELECT COUNT(*) AS broken FROM purchases b WHERE NOT EXISTS \
              (SELECT 1 FROM ledger_entries e WHERE e.cause_kind = b.cause_kind AND e.cause_id = b.cause_id)",
        broken: "purchases have no entry in the ledger",
    },
];

/// Asks everything.
///
/// # Errors
/// When the database refuses.
pub async fn prove(connection: &mut Connection, now: UnixMillis) -> Result<Proof, sqlx::Error> {
    let began = Instant::now();
    let mut findings = Vec::new();
    for Question { sql, broken } in QUESTIONS {
        match store::breaks(&mut *connection, sql).await? {
            0 => {}
            count => findings.push(Finding(format!("{count} {broken}"))),
        }
    }
    Ok(Proof { day: Day::of(now), proved_at: now, took: began.elapsed(), findings })
}

/// What the last proof found; `None` before the first. One that a clock ahead of time has left behind is none.
///
/// # Errors
/// When the database refuses.
pub async fn last(connection: &mut Connection, now: UnixMillis) -> Result<Option<Proof>, sqlx::Error> {
    store::last_proof(connection, Day::of(now)).await
}

/// What a person has to know of the last proof: what does not hold, or that there was none for too long.
#[must_use]
pub fn alarms(last: Option<&Proof>, now: UnixMillis) -> Vec<String> {
    let Some(proof) = last else { return Vec::new() };
    let mut alarms: Vec<String> = proof.findings.iter().map(ToString::to_string).collect();
    if now.since(proof.proved_at) > LATE {
        alarms.push(format!("the last proof is of {}: see the controller's log", proof.day));
    }
    alarms
}

/// Whether this night's proof is still to be done.
fn is_due(last: Option<Day>, now: UnixMillis) -> bool {
    let today = Day::of(now);
    last.is_none_or(|last| last < today && now >= today.start().plus(AFTER))
}

/// Proves the books once a night, and tells where they do not hold.
///
/// # Errors
/// When the database refuses.
pub async fn prove_nightly(controller: &Controller) -> Result<(), sqlx::Error> {
    let now = controller.clock.now();
    let proof = {
        let mut reader = controller.database.read().await?;
        let before = last(&mut reader, now).await?;
        if !is_due(before.map(|proof| proof.day), now) {
            return Ok(());
        }
        prove(&mut reader, now).await?
    };
    match proof.findings.as_slice() {
        [] => tracing::info!(took_ms = proof.took.as_millis(), "the books are proved"),
        findings => {
            for finding in findings {
                tracing::error!("the books do not prove: {finding}");
            }
        }
    }
    let mut transaction = controller.database.write().await?;
    store::keep_proof(&mut transaction, &proof).await?;
    store::forget_proofs(&mut transaction, Day::of(now.minus(KEPT))).await?;
    transaction.commit().await
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_proof_is_due_once_a_night_and_at_the_first_start() {
        let day = Day::parse("2026-11-26").unwrap();
        let at = |hours: u64| day.start().plus(Duration::from_secs(hours * 3_600));
        let check = |last: Option<Day>, hours, expected| assert_eq!(is_due(last, at(hours)), expected);
        check(None, 12, true);
        check(Some(day), 12, false);
        check(Some(day.before()), 1, false);
        check(Some(day.before()), 2, true);
        check(Some(day.before().before()), 23, true);
    }
}
