//! Taking a statement in on a page: choose the file, try it or take it in, read what came of it.

use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use tokio::time::timeout;

use super::{ImportError, Order, Summary, import};
use crate::audit::Actor;
use crate::mpesa::ShortCodes;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::error::PageError;
use crate::web::visit::{FILE_FORM_BYTES, Frame, Note, PostedFile, Section, Visit};

/// How long a page waits: less than a request may take at all. What was begun goes on.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const PATH: &str = "/payments/statement";

#[derive(Template)]
#[template(path = "payments/statement.html")]
struct StatementPage {
    frame: Frame,
    /// Why nothing was done; empty for none.
    complaint: String,
    /// What came of it; empty before.
    lines: Vec<(&'static str, String)>,
    is_dry_run: bool,
    needs_a_person: bool,
    /// To choose from, where there are several.
    short_codes: Vec<String>,
}

impl StatementPage {
    fn new(visit: &Visit, web: &Web) -> Self {
        let codes = web.short_codes.as_ref().map(ShortCodes::settings).unwrap_or_default();
        let has_several = codes.len() > 1;
        Self {
            frame: visit.frame("Statement of M-Pesa", Section::Overview),
            complaint: String::new(),
            lines: Vec::new(),
            is_dry_run: false,
            needs_a_person: false,
            short_codes: codes
                .iter()
                .filter(|_| has_several)
                .map(|one| one.short_code().to_owned())
                .collect(),
        }
    }
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/payments/statement", get(show).post(take))
        .layer(DefaultBodyLimit::max(FILE_FORM_BYTES))
}

async fn show(State(web): State<Web>, visit: Visit) -> Result<Response, PageError> {
    visit.require(Permission::ImportStatement)?;
    visit.show(&StatementPage::new(&visit, &web))
}

async fn take(State(web): State<Web>, posted: PostedFile) -> Result<Response, PageError> {
    let PostedFile { visit, fields, file } = posted;
    visit.require(Permission::ImportStatement)?;
    let refuse = |complaint: String| {
        let page = StatementPage { complaint, ..StatementPage::new(&visit, &web) };
        visit.show_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
    };
    let Some(file) = file else {
        return refuse("Choose the file that the portal exported.".to_owned());
    };
    let is_dry_run = fields.value("is_dry_run") == "yes";
    let short_code = fields.value("short_code").to_owned();
    let accepts_gaps = fields.value("accepts_gaps") == "yes";
    // On a task of its own: what was begun goes on when the browser goes away.
    let taking =
        tokio::spawn(taken(web.clone(), (file.bytes, short_code), (is_dry_run, accepts_gaps), visit.actor()));
    let Ok(outcome) = timeout(ANSWER_WITHIN, taking).await else {
        let words = "It is still being taken in, and goes on by itself. What came of it will stand in the audit log; \
                     taking the file in again does no harm.";
        return Ok(visit.go(PATH, &Note::bad(words)));
    };
    match outcome? {
        Ok(summary) => visit.show(&StatementPage {
            lines: summary.lines(),
            is_dry_run,
            needs_a_person: summary.needs_a_person(),
            ..StatementPage::new(&visit, &web)
        }),
        Err(error) if error.is_of_file() => refuse(format!("Nothing was taken in: {error}.")),
        Err(error) => Err(error.into()),
    }
}

async fn taken(
    web: Web,
    (bytes, short_code): (Vec<u8>, String),
    (is_dry_run, accepts_gaps): (bool, bool),
    actor: Actor,
) -> Result<Summary, ImportError> {
    let ours = web.short_codes.as_ref().map(ShortCodes::settings).unwrap_or_default();
    let short_code = Some(short_code.trim()).filter(|said| !said.is_empty());
    let order =
        Order { short_code, ours: &ours, is_dry_run, accepts_gaps, pause: Duration::ZERO, actor: &actor };
    import(&web.controller, &bytes, order, |_, _| {}).await
}
