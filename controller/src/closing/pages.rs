//! The days of the books on pages: the last of them at a glance, and one with each difference.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use tawi_shared::UnixMillis;

use super::{Close, Count, Covered, Day, Difference, Standing, close, proof, short_codes};
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
    differences: Vec<DifferenceView>,
    unlisted: u64,
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
    receipt: String,
    amount: String,
    at: String,
    detail: String,
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
    fn of(close: &Close, now: UnixMillis) -> Self {
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
            differences: close.differences.iter().map(DifferenceView::of).collect(),
            unlisted: close.differences_total.saturating_sub(listed),
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
    fn of(difference: &Difference) -> Self {
        Self {
            words: difference.kind.words(),
            payment: difference.payment.as_ref().map(ToString::to_string),
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
        closes.push(CloseView::of(&close(&mut reader, day, &code).await?, visit.now));
    }
    let after = Some(day.after()).filter(|after| *after <= today);
    let page = DayPage {
        frame: visit.frame("Daily close", Section::Payments),
        day: day.to_string(),
        words: display::day(day.start()),
        before: day.before().to_string(),
        after: after.map(|after| after.to_string()).unwrap_or_default(),
        closes,
    };
    visit.show(&page)
}
