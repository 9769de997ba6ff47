//! All payments on a page: a search, and what fits it.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::{Asked, Standing, place_of};
use crate::payments::pages::PaymentView;
use crate::payments::{PaymentRow, Provider, find};
use crate::sites;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::error::{PageError, percent_encoded};
use crate::web::visit::{Frame, Section, Visit};

/// Payments on one page.
const PAGE_ROWS: u32 = 50;

/// A word to choose, as it is sent and as it is shown.
type Choice = (&'static str, &'static str);

#[derive(Template)]
#[template(path = "payments/list.html")]
struct ListPage {
    frame: Frame,
    asked: Asked,
    complaint: String,
    providers: [Choice; 3],
    standings: Vec<Choice>,
    payments: Vec<PaymentView>,
    older: Option<String>,
    is_narrowed: bool,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new().route("/payments", get(list))
}

async fn list(
    visit: Visit,
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let mut reader = web.controller.database.read().await?;
    let (rows, complaint) = match asked.read() {
        Ok(search) => (find(&mut reader, &search, PAGE_ROWS).await?, String::new()),
        Err(unreadable) => (Vec::new(), format!("{}: {}", unreadable.field, unreadable.reason)),
    };
    let sites = sites::list(&mut reader).await?;
    drop(reader);
    let view = |row: &PaymentRow| {
        let site = row.trace.as_ref().and_then(|trace| sites.iter().find(|site| site.id == trace.site));
        PaymentView::of(row, site, visit.now)
    };
    let is_narrowed = narrowing(&asked).next().is_some();
    let is_full = u32::try_from(rows.len()).unwrap_or(u32::MAX) >= PAGE_ROWS;
    let older = rows.last().filter(|_| is_full).map(|last| href(&asked, &place_of(last)));
    let status = if complaint.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = ListPage {
        frame: visit.frame("Payments", Section::Payments),
        complaint,
        providers: [
            (Provider::Mpesa.as_str(), "M-Pesa"),
            (Provider::Cash.as_str(), "Cash"),
            (Provider::Bank.as_str(), "Bank transfer"),
        ],
        standings: Standing::ALL.iter().map(|standing| (standing.as_str(), standing.words())).collect(),
        payments: rows.iter().map(view).collect(),
        older,
        is_narrowed,
        asked,
    };
    visit.show_as(status, &page)
}

fn narrowing(asked: &Asked) -> impl Iterator<Item = (&'static str, &str)> {
    let fields = [
        ("text", asked.text.as_str()),
        ("provider", &asked.provider),
        ("standing", &asked.standing),
        ("from", &asked.from),
        ("until", &asked.until),
    ];
    fields.into_iter().filter(|(_, value)| !value.trim().is_empty())
}

fn href(asked: &Asked, before: &str) -> String {
    let fields = narrowing(asked).chain([("before", before)]);
    let query: Vec<String> =
        fields.map(|(name, value)| format!("{name}={}", percent_encoded(value.trim()))).collect();
    format!("/payments?{}", query.join("&"))
}
