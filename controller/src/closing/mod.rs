//! The daily close: what is booked of a day, and what Pull and the portal's statement tell of it.
//!
//! ```text
//!   booked ─────────┐
//!   Pull ───────────┼─▶ one receipt, three words ─▶ each difference, by name
//!   statement ──────┘
//!   ledger's account ──▶ what it moved, beside what M-Pesa held before and after
//!   the counter ───────▶ what each person took, beside the account of it
//! ```
//! Receipts are compared one by one, by M-Pesa's own clock, because equal sums hide two mistakes. A source is only asked
//! about spans of which it told everything (`told`). What somebody looked at stays, with who and when, and is a difference for
//! as long as its money is booked nowhere. Nothing here books or corrects: whoever looks is led to where that is done. The
//! books themselves are proved by `proof`, every night.

pub(crate) mod api;
pub mod balance;
pub mod counter;
pub mod day;
pub(crate) mod pages;
pub mod proof;
mod store;
pub mod told;

use std::time::Duration;

use tawi_shared::UnixMillis;

pub use balance::StatedBalance;
pub use day::Day;
pub use told::{ToldBy, ToldSpan};

use crate::database::Connection;
use crate::ids::{PaymentId, RefundId};
use crate::money::Money;
use crate::mpesa::operator;
use crate::web::display;

/// The least time.
const TICK: Duration = Duration::from_millis(1);
/// Differences of one kind that are listed; beyond it they are counted.
pub const LISTED: u32 = 100;
/// Balances of a day that M-Pesa was asked for and that are looked at: people ask a few times.
const ASKED_MOST: u32 = 20;
/// How long after its end a day is still under way: Pull tells a quarter of an hour late.
const SETTLES: Duration = Duration::from_secs(30 * 60);

/// So many payments, and what they are together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub payments: u64,
    /// Together.
    pub amount: Money,
}

/// How much of a day a source has told everything of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// None of it.
    Not,
    /// From one instant to another.
    Partly(UnixMillis, UnixMillis),
    /// All of it.
    Whole,
}

impl Covered {
    fn of(span: Option<(UnixMillis, UnixMillis)>, day: Day) -> Self {
        match span {
            None => Self::Not,
            Some((from, until)) if from <= day.start() && until >= day.end() => Self::Whole,
            Some((from, until)) => Self::Partly(from, until),
        }
    }
}

/// What does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is booked, and Pull told of everything around it and not of this.
    NotInPull,
    /// The same of the statement.
    NotInStatement,
    /// A source says something else of it than is booked.
    Disputed,
    /// The statement has it, and no rule books it.
    NotBooked,
    /// It is booked, and nobody knows whose it is.
    Nobodys,
    /// A refund is booked as gone, and the statement told of everything around it and not of this.
    RefundNotInStatement,
    /// Somebody looked at it, and its money is booked nowhere.
    LookedAtNotBooked,
    /// Pull told of something that is not understood.
    NotUnderstood,
    /// The ledger's account moved by something else than what M-Pesa holds.
    Balance,
}

impl Kind {
    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotInPull => "not_in_pull",
            Self::NotInStatement => "not_in_statement",
            Self::Disputed => "disputed",
            Self::NotBooked => "not_booked",
            Self::Nobodys => "nobodys",
            Self::RefundNotInStatement => "refund_not_in_statement",
            Self::LookedAtNotBooked => "looked_at_not_booked",
            Self::NotUnderstood => "not_understood",
            Self::Balance => "balance",
        }
    }

    /// What it is, for people, and what to do.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NotInPull => "booked, and Pull does not know it: look the receipt up in the portal",
            Self::NotInStatement => "booked, and not in the statement: look the receipt up in the portal",
            Self::Disputed => "a source says what a person has to look at",
            Self::NotBooked => "in the statement, and not booked",
            Self::Nobodys => "nobody’s yet",
            Self::RefundNotInStatement => {
                "booked as given back, and not in the statement: look the receipt up in the portal"
            }
            Self::LookedAtNotBooked => "looked at, and not in the books yet: an owner has to book it",
            Self::NotUnderstood => "Pull told of something that is not understood",
            Self::Balance => "the ledger’s account moved otherwise than what M-Pesa holds",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What does not fit.
    pub kind: Kind,
    /// The payment, where it is booked.
    pub payment: Option<PaymentId>,
    /// The refund, where it is one.
    pub refund: Option<RefundId>,
    /// The row of a statement that an owner can book, by its SHA-256.
    pub row: Option<String>,
    /// M-Pesa's receipt number; empty where none is understood.
    pub receipt: String,
    /// How much; `None` where nobody knows. Below zero went out.
    pub amount: Option<Money>,
    /// When, by M-Pesa's clock.
    pub at: UnixMillis,
    /// What is said of it; empty where the kind says all.
    pub detail: String,
}

/// Something of a day that waited for a person, and that one has looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookedAt {
    /// What it is, as the list of what is to be checked has it: `evidence`, `pull_row` or `statement_row`.
    pub kind: &'static str,
    /// The payment, where it is about one.
    pub payment: Option<PaymentId>,
    /// M-Pesa's receipt number; empty where none is understood.
    pub receipt: String,
    /// How much; `None` where nobody knows. Below zero went out.
    pub amount: Option<Money>,
    /// When, by M-Pesa's clock.
    pub at: UnixMillis,
    /// Why it waited.
    pub detail: String,
    /// What its money was booked as since; empty for nothing.
    pub settled_as: String,
    /// Who looked at it; empty where that is not known any more.
    pub by: String,
    /// When.
    pub looked_at: Option<UnixMillis>,
}

/// A day of a short code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Which day.
    pub day: Day,
    /// Whose.
    pub short_code: String,
    /// What is booked.
    pub booked: Count,
    /// What Pull told of it.
    pub by_pull: Count,
    /// What the statement told of it.
    pub by_statement: Count,
    /// How much of the day Pull has told of.
    pub pull: Covered,
    /// How much of it the statement has.
    pub statement: Covered,
    /// What M-Pesa took for its service, as far as a statement told.
    pub charges: Money,
    /// What it sent to the bank, as far as a statement told.
    pub settlements: Money,
    /// What the ledger's account of the short code moved, by M-Pesa's own clock.
    pub moved: Money,
    /// What M-Pesa held before and after the day, or the parts of it that statements have, the earliest first.
    pub stated: Vec<StatedBalance>,
    /// What of the ledger's account could not be compared, and why.
    pub not_compared: Vec<String>,
    /// What does not fit, [`LISTED`] of each kind.
    pub differences: Vec<Difference>,
    /// How many there are.
    pub differences_total: u64,
    /// What people looked at, [`LISTED`] of each kind.
    pub looked_at: Vec<LookedAt>,
}

/// How a day stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not over, or its last minutes may still be told of.
    UnderWay,
    /// So much does not fit.
    Differs(u64),
    /// What was told fits; the statement has not told of all of it.
    WaitsForStatement,
    /// Everything fits.
    Agrees,
}

impl Close {
    /// How it stands.
    #[must_use]
    pub fn standing(&self, now: UnixMillis) -> Standing {
        match self.differences_total {
            0 if now < self.day.end().plus(SETTLES) => Standing::UnderWay,
            0 if self.statement == Covered::Whole => Standing::Agrees,
            0 => Standing::WaitsForStatement,
            total => Standing::Differs(total),
        }
    }
}

/// Whose days there are: every short code that money came to, or of which Pull or a statement told.
///
/// # Errors
/// When the database refuses.
pub async fn short_codes(connection: &mut Connection) -> Result<Vec<String>, sqlx::Error> {
    store::short_codes(connection).await
}

/// Compares a day.
///
/// # Errors
/// When the database refuses.
pub async fn close(connection: &mut Connection, day: Day, short_code: &str) -> Result<Close, sqlx::Error> {
    let (booked, by_pull, by_statement) = store::counts(connection, day, short_code).await?;
    let pull = told_within(connection, (ToldBy::Pull, short_code), day).await?;
    let statement = told_within(connection, (ToldBy::Statement, short_code), day).await?;
    let (charges, settlements) = store::outgoings(connection, day, short_code).await?;
    let mut differences = Vec::new();
    let mut total = 0_u64;
    for (kind, by, span) in
        [(Kind::NotInPull, ToldBy::Pull, pull), (Kind::NotInStatement, ToldBy::Statement, statement)]
    {
        let Some(span) = span else { continue };
        total = total.saturating_add(store::untold_count(connection, short_code, span, by).await?);
        differences.extend(store::untold(connection, short_code, span, (by, kind)).await?);
    }
    for found in [
        store::disputed(connection, day, short_code).await?,
        store::not_booked(connection, day, short_code).await?,
        store::nobodys(connection, day, short_code).await?,
        store::looked_at_not_booked(connection, day, short_code).await?,
        store::not_understood(connection, day, short_code).await?,
    ] {
        total = total.saturating_add(found.total);
        differences.extend(found.listed);
    }
    if let Some(span) = statement {
        let found = store::refunds_untold(connection, short_code, span).await?;
        total = total.saturating_add(found.total);
        differences.extend(found.listed);
    }
    let stated = store::stated_balances(connection, short_code, day).await?;
    let mut not_compared = Vec::new();
    let mut apart = of_statement(connection, (day, short_code), &stated, &mut not_compared).await?;
    apart.extend(of_balances(connection, (day, short_code), &mut not_compared).await?);
    total = total.saturating_add(u64::try_from(apart.len()).unwrap_or(u64::MAX));
    differences.extend(apart);
    Ok(Close {
        day,
        short_code: short_code.to_owned(),
        booked,
        by_pull,
        by_statement,
        pull: Covered::of(pull, day),
        statement: Covered::of(statement, day),
        charges,
        settlements,
        moved: store::ledger_moved(connection, short_code, (day.start(), day.last())).await?,
        stated,
        not_compared,
        differences,
        differences_total: total,
        looked_at: store::looked_at(connection, day, short_code).await?,
    })
}

/// Where the ledger's account moved otherwise than the statement of the day.
async fn of_statement(
    connection: &mut Connection,
    (day, short_code): (Day, &str),
    stated: &[StatedBalance],
    not_compared: &mut Vec<String>,
) -> Result<Vec<Difference>, sqlx::Error> {
    let mut apart = Vec::new();
    for one in stated {
        let (from, until) = (display::hour_minute(one.from), display::hour_minute(one.until));
        let Some(told) = one.moved() else {
            not_compared.push("the balances of the statement are beyond what can be counted".to_owned());
            continue;
        };
        let moved = store::ledger_moved(connection, short_code, (one.from, one.until)).await?;
        if moved == told {
            continue;
        }
        let within = match one.within {
            Money::ZERO => String::new(),
            within => format!(", of which KES {within} by another account of the short code"),
        };
        let detail = format!(
            "by the statement from KES {} to KES {} between {from} and {until}{within}; the ledger moved KES {moved}",
            one.opening, one.closing
        );
        apart.push(Difference::of_balance(told.checked_sub(moved), one.until, detail));
    }
    match stated {
        [] => not_compared.push("no statement of this day says what M-Pesa held".to_owned()),
        [whole] if whole.is_of_day(day) => {}
        parts => {
            let spans: Vec<String> = parts
                .iter()
                .map(|one| {
                    format!("{} to {}", display::hour_minute(one.from), display::hour_minute(one.until))
                })
                .collect();
            not_compared.push(format!(
                "of the rest of the day no statement says what M-Pesa held: they have {}",
                spans.join(", ")
            ));
        }
    }
    Ok(apart)
}

/// Where the ledger's account moved otherwise than the balances that M-Pesa told when it was asked: each is compared with the
/// one before, where a statement tells of the charges and of the money to the bank in between.
async fn of_balances(
    connection: &mut Connection,
    (day, short_code): (Day, &str),
    not_compared: &mut Vec<String>,
) -> Result<Vec<Difference>, sqlx::Error> {
    let mut apart = Vec::new();
    let asked = operator::balances_until(connection, short_code, day.end(), ASKED_MOST).await?;
    for pair in asked.windows(2) {
        let [later, before] = pair else { continue };
        if later.at < day.start() {
            break;
        }
        let when = format!(
            "M-Pesa was asked for the balance at {} and before that on {}",
            display::hour_minute(later.at),
            display::numeric(before.at)
        );
        let (Some(had), Some(has)) = (before.held, later.held) else {
            not_compared.push(format!("{when}: a figure of its answers is not understood"));
            continue;
        };
        let spans = store::told_spans(connection, (ToldBy::Statement, short_code), (before.at, later.at));
        if !spans.await?.iter().any(|span| span.from <= before.at && span.until >= later.at) {
            not_compared.push(format!(
                "{when}: no statement tells of the charges and of the money to the bank in between"
            ));
            continue;
        }
        let told = has.checked_sub(had);
        let Some(moved) = moved_otherwise(connection, short_code, (before.at, later.at), told).await? else {
            continue;
        };
        let detail = format!("{when}, and it went from KES {had} to KES {has}; the ledger moved KES {moved}");
        let apart_by = told.and_then(|told| told.checked_sub(moved));
        apart.push(Difference::of_balance(apart_by, later.at, detail));
    }
    match asked.first() {
        Some(only) if asked.len() == 1 && only.at >= day.start() => not_compared.push(format!(
            "M-Pesa was asked for the balance at {}, and never before",
            display::hour_minute(only.at)
        )),
        _ => {}
    }
    Ok(apart)
}

/// What the ledger moved between two answers, where that is not what they told. M-Pesa tells of payments by the second: one in the
/// second of an answer is in its balance or is not.
async fn moved_otherwise(
    connection: &mut Connection,
    short_code: &str,
    (before, later): (UnixMillis, UnixMillis),
    told: Option<Money>,
) -> Result<Option<Money>, sqlx::Error> {
    let second_of = |at: UnixMillis| UnixMillis(at.0 - at.0.rem_euclid(1_000));
    let moved = store::ledger_moved(connection, short_code, (before.plus(TICK), later)).await?;
    for from in [before.plus(TICK), second_of(before)] {
        for until in [later, second_of(later).minus(TICK)] {
            if told == Some(store::ledger_moved(connection, short_code, (from, until)).await?) {
                return Ok(None);
            }
        }
    }
    Ok(Some(moved))
}

impl Difference {
    fn of_balance(amount: Option<Money>, at: UnixMillis, detail: String) -> Self {
        let (kind, receipt) = (Kind::Balance, String::new());
        Self { kind, payment: None, refund: None, row: None, receipt, amount, at, detail }
    }
}

/// The span of a day of which a source has told everything: the longest, where there are several.
async fn told_within(
    connection: &mut Connection,
    of: (ToldBy, &str),
    day: Day,
) -> Result<Option<(UnixMillis, UnixMillis)>, sqlx::Error> {
    let spans = store::told_spans(connection, of, (day.start(), day.end())).await?;
    let within = spans.into_iter().filter_map(|span| span.within(day.start(), day.end()));
    Ok(within.max_by_key(|(from, until)| until.since(*from)))
}

/// Notes that a source has told of everything in a span.
///
/// # Errors
/// When the database refuses.
pub async fn note_told(
    connection: &mut Connection,
    of: (ToldBy, &str),
    span: ToldSpan,
) -> Result<(), sqlx::Error> {
    let mut joined = span;
    let near = (told::reach_before(span.from), told::reach_after(span.until));
    for other in store::told_spans(connection, of, near).await? {
        if let Some(both) = joined.joined(other) {
            joined = both;
            store::remove_told(connection, of, other.from).await?;
        }
    }
    store::insert_told(connection, of, joined).await
}

/// Notes what a statement says of balances. One that lies within another tells nothing new.
///
/// # Errors
/// When the database refuses.
pub async fn note_balances(
    connection: &mut Connection,
    short_code: &str,
    balances: &[StatedBalance],
) -> Result<(), sqlx::Error> {
    for balance in balances {
        let near = store::stated_between(connection, short_code, (balance.from, balance.until)).await?;
        if near.iter().any(|other| other.has(balance) && !balance.has(other)) {
            continue;
        }
        for other in near.iter().filter(|other| balance.has(other)) {
            store::remove_stated(connection, short_code, other).await?;
        }
        store::insert_stated(connection, short_code, balance).await?;
    }
    Ok(())
}
