//! The days of the books on pages: the last of them at a glance, and one with each difference.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use tawi_shared::UnixMillis;

use super::counter::{self, Takings};
use super::{Close, Count, Covered, Day, Difference, Kind, LookedAt, Standing, close, proof, short_codes};
use crate::payments::Provider;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::display::{self, Badge, Moment};
use crate::web::error::PageError;
use crate::web::visit::{Frame, Section, Visit};

/// The word that stands for the day in an address that somebody keeps.
const TODAY: &str = "today";
/// Days on a page.
const DAYS: usize = 14;

#[derive(Template)]
#[template(path = "closing/days.html")]
struct DaysPage {
    frame: Frame,
    proof: ProofView,
    days: Vec<DayView>,
    earlier: String,
    has_many: bool,
    may_import: bool,
}

#[derive(Template)]
#[template(path = "closing/day.html")]
struct DayPage {
    frame: Frame,
    day: String,
    words: String,
    before: String,
    after: String,
    closes: Vec<CloseView>,
    counter: Vec<TakingsView>,
}

/// What the last proof found.
struct ProofView {
    badge: Badge,
    at: Option<Moment>,
    findings: Vec<String>,
}

struct DayView {
    day: String,
    words: String,
    short_code: String,
    payments: u64,
    amount: String,
    badge: Badge,
}

struct CloseView {
    short_code: String,
    badge: Badge,
    told: [ToldView; 3],
    charges: String,
    settlements: String,
    /// What the ledger's account moved.
    moved: String,
    /// What M-Pesa held, in sentences without a full stop.
    held: Vec<String>,
    differences: Vec<DifferenceView>,
    unlisted: u64,
    looked_at: Vec<LookedAtView>,
}

/// What one of the three says.
struct ToldView {
    who: &'static str,
    payments: u64,
    amount: String,
    covered: String,
}

struct DifferenceView {
    words: &'static str,
    payment: Option<String>,
    refund: Option<String>,
    /// Where an owner books it; empty where that is not possible.
    book: String,
    /// Whether nothing has a receipt number.
    has_no_receipt: bool,
    receipt: String,
    amount: String,
    at: String,
    detail: String,
}

/// What somebody looked at.
struct LookedAtView {
    what: &'static str,
    payment: Option<String>,
    receipt: String,
    amount: String,
    at: String,
    detail: String,
    settled_as: &'static str,
    by: String,
    looked_at: Option<Moment>,
}

/// What one person took at the counter.
struct TakingsView {
    by: String,
    means: &'static str,
    payments: u64,
    amount: String,
    in_ledger: String,
    agrees: bool,
    undone: String,
    holds: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct From {
    until: String,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new().route("/payments/days", get(days)).route("/payments/days/{day}", get(day))
}

impl ProofView {
    fn of(proof: Option<proof::Proof>, now: UnixMillis) -> Self {
        let Some(proof) = proof else {
            return Self { badge: Badge::idle("not proved yet"), at: None, findings: Vec::new() };
        };
        Self {
            badge: if proof.findings.is_empty() { Badge::good("proved") } else { Badge::bad("broken") },
            at: Some(Moment::of(proof.proved_at, now)),
            findings: proof.findings.iter().map(ToString::to_string).collect(),
        }
    }
}

fn badge(standing: Standing) -> Badge {
    match standing {
        Standing::UnderWay => Badge::info("under way"),
        Standing::Differs(total) => Badge::warn(display::counted(total, "difference")),
        Standing::WaitsForStatement => Badge::idle("waits for the statement"),
        Standing::Agrees => Badge::good("agrees"),
    }
}

impl CloseView {
    fn of(close: &Close, may_book: bool, now: UnixMillis) -> Self {
        let listed = u64::try_from(close.differences.len()).unwrap_or(u64::MAX);
        Self {
            short_code: close.short_code.clone(),
            badge: badge(close.standing(now)),
            told: [
                told("Booked", close.booked, "by M-Pesa’s own clock".to_owned()),
                told("Pull told of", close.by_pull, covered(close.pull, "Pull has told of none of this day")),
                told(
                    "The statement told of",
                    close.by_statement,
                    covered(close.statement, "no statement of this day was taken in"),
                ),
            ],
            charges: display::kes(close.charges),
            settlements: display::kes(close.settlements),
            moved: display::kes(close.moved),
            held: held(close),
            differences: close.differences.iter().map(|one| DifferenceView::of(one, may_book)).collect(),
            unlisted: close.differences_total.saturating_sub(listed),
            looked_at: close.looked_at.iter().map(|one| LookedAtView::of(one, now)).collect(),
        }
    }
}

/// What M-Pesa held by the statement, and what could not be compared with the ledger.
fn held(close: &Close) -> Vec<String> {
    let stated = close.stated.iter().map(|one| {
        format!(
            "by the statement M-Pesa held {} before {} and {} after {}",
            display::kes(one.opening),
            display::hour_minute(one.from),
            display::kes(one.closing),
            display::hour_minute(one.until)
        )
    });
    stated.chain(close.not_compared.iter().map(|why| format!("not compared: {why}"))).collect()
}

/// A name as pages say it: without what kind of name it is.
fn name(actor: &str) -> String {
    actor.split_once(':').map_or(actor, |(_, name)| name).to_owned()
}

impl LookedAtView {
    fn of(looked_at: &LookedAt, now: UnixMillis) -> Self {
        Self {
            what: match looked_at.kind {
                "evidence" => "what M-Pesa says",
                "pull_row" => "row of Pull",
                _ => "row of a statement",
            },
            payment: looked_at.payment.as_ref().map(ToString::to_string),
            receipt: looked_at.receipt.clone(),
            amount: looked_at.amount.map_or_else(|| "?".to_owned(), display::kes),
            at: display::hour_minute(looked_at.at),
            detail: looked_at.detail.clone(),
            settled_as: match looked_at.settled_as.as_str() {
                "expense" => "booked as an expense",
                "bank" => "booked as moved to or from the bank",
                "refund" => "a refund of ours",
                _ => "",
            },
            by: name(&looked_at.by),
            looked_at: Moment::maybe(looked_at.looked_at, now),
        }
    }
}

impl TakingsView {
    fn of(takings: &Takings) -> Self {
        Self {
            by: name(&takings.by),
            means: match takings.means {
                Provider::Bank => "bank",
                Provider::Cash | Provider::Mpesa => "cash",
            },
            payments: takings.payments,
            amount: display::kes(takings.amount),
            in_ledger: display::kes(takings.in_ledger),
            agrees: takings.agrees(),
            undone: if takings.undone.is_positive() { display::kes(takings.undone) } else { String::new() },
            holds: takings.holds.map(display::kes).unwrap_or_default(),
        }
    }
}

fn told(who: &'static str, count: Count, covered: String) -> ToldView {
    ToldView { who, payments: count.payments, amount: display::kes(count.amount), covered }
}

fn covered(covered: Covered, none: &str) -> String {
    match covered {
        Covered::Not => none.to_owned(),
        Covered::Partly(from, until) => {
            format!("all of it from {} to {}", display::hour_minute(from), display::hour_minute(until))
        }
        Covered::Whole => "all of the day".to_owned(),
    }
}

impl DifferenceView {
    fn of(difference: &Difference, may_book: bool) -> Self {
        let book = |digest: &String| format!("/payments/review/statement_row/{digest}/book");
        Self {
            words: difference.kind.words(),
            payment: difference.payment.as_ref().map(ToString::to_string),
            refund: difference.refund.as_ref().map(ToString::to_string),
            book: difference.row.as_ref().filter(|_| may_book).map(book).unwrap_or_default(),
            has_no_receipt: difference.kind == Kind::Balance,
            receipt: difference.receipt.clone(),
            amount: difference.amount.map_or_else(|| "?".to_owned(), display::kes),
            at: display::hour_minute(difference.at),
            detail: difference.detail.clone(),
        }
    }
}

async fn days(visit: Visit, State(web): State<Web>, Query(from): Query<From>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let today = Day::of(visit.now);
    let mut day = Day::parse(&from.until).unwrap_or(today).min(today);
    let mut reader = web.controller.database.read().await?;
    let codes = short_codes(&mut reader).await?;
    let mut days = Vec::new();
    for _ in 0..DAYS {
        for code in &codes {
            let close = close(&mut reader, day, code).await?;
            days.push(DayView {
                day: day.to_string(),
                words: display::day(day.start()),
                short_code: code.clone(),
                payments: close.booked.payments,
                amount: display::kes(close.booked.amount),
                badge: match close.standing(visit.now) {
                    Standing::WaitsForStatement if close.booked.payments == 0 => Badge::idle("no payments"),
                    standing => badge(standing),
                },
            });
        }
        day = day.before();
    }
    let page = DaysPage {
        frame: visit.frame("Daily close", Section::Payments),
        proof: ProofView::of(proof::last(&mut reader, visit.now).await?, visit.now),
        days,
        earlier: day.to_string(),
        has_many: codes.len() > 1,
        may_import: visit.may(Permission::ImportStatement),
    };
    visit.show(&page)
}

async fn day(visit: Visit, State(web): State<Web>, Path(day): Path<String>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let today = Day::of(visit.now);
    let day = if day == TODAY { Some(today) } else { Day::parse(&day).filter(|day| *day <= today) };
    let day = day.ok_or(PageError::NotFound)?;
    let mut reader = web.controller.database.read().await?;
    let mut closes = Vec::new();
    for code in short_codes(&mut reader).await? {
        let may_book = visit.may(Permission::BookByHand);
        closes.push(CloseView::of(&close(&mut reader, day, &code).await?, may_book, visit.now));
    }
    let counter = counter::of_day(&mut reader, day).await?;
    let after = Some(day.after()).filter(|after| *after <= today);
    let page = DayPage {
        frame: visit.frame("Daily close", Section::Payments),
        day: day.to_string(),
        words: display::day(day.start()),
        before: day.before().to_string(),
        after: after.map(|after| after.to_string()).unwrap_or_default(),
        closes,
        counter: counter.iter().map(TakingsView::of).collect(),
    };
    visit.show(&page)
}
