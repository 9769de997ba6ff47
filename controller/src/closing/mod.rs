//! The daily close: what is booked of a day, and what Pull and the portal's statement tell of it.
//!
//! ```text
//!   booked ─────────┐
//!   Pull ───────────┼─▶ one receipt, three words ─▶ each difference, by name
//!   statement ──────┘
//! ```
//! Receipts are compared one by one, by M-Pesa's own clock, because equal sums hide two mistakes. A source is only asked
//! about spans of which it told everything (`told`). Nothing here books or corrects: whoever looks is led to the payment. The
//! books themselves are proved by `proof`, every night.

pub(crate) mod api;
pub mod day;
pub(crate) mod pages;
pub mod proof;
mod store;
pub mod told;

use std::time::Duration;

use tawi_shared::UnixMillis;

pub use day::Day;
pub use told::{ToldBy, ToldSpan};

use crate::database::Connection;
use crate::ids::PaymentId;
use crate::money::Money;

/// Differences of one kind that are listed; beyond it they are counted.
pub const LISTED: u32 = 100;
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
    /// M-Pesa's receipt number; empty where none is understood.
    pub receipt: String,
    /// How much; `None` where nobody knows. Below zero went out.
    pub amount: Option<Money>,
    /// When, by M-Pesa's clock.
    pub at: UnixMillis,
    /// What is said of it; empty where the kind says all.
    pub detail: String,
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
    /// What does not fit, [`LISTED`] of each kind.
    pub differences: Vec<Difference>,
    /// How many there are.
    pub differences_total: u64,
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

/// Whose days there are: every short code that money came to.
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
    ] {
        total = total.saturating_add(found.total);
        differences.extend(found.listed);
    }
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
        differences,
        differences_total: total,
    })
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
