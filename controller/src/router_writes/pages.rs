//! The API log on a page: a search, and what fits it, newest first.

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use tawi_shared::UnixMillis;
use tawi_shared::wire::WriteStatus;

use super::search::Asked;
use super::{PAGE_ROWS, RouterWrite};
use crate::sites;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::display::{Badge, Moment};
use crate::web::error::{PageError, percent_encoded};
use crate::web::visit::{Frame, Section, Visit};

struct WriteView {
    at: Moment,
    clock: String,
    site: String,
    is_time_doubtful: bool,
    router: String,
    operation: String,
    parameters: String,
    customer: Option<(String, String)>,
    line: String,
    status: Badge,
    detail: String,
}

fn write_view(write: &RouterWrite, now: UnixMillis) -> WriteView {
    let status = match write.status {
        Some(WriteStatus::Done) => Badge::good("done"),
        Some(WriteStatus::Refused) => Badge::bad("refused"),
        Some(WriteStatus::Unknown) => Badge::warn("unknown"),
        None => Badge::idle("of a newer agent"),
    };
    let at = Moment::of(write.at, now);
    WriteView {
        is_time_doubtful: sites::is_time_doubtful(write.at, write.received_at),
        clock: at.full.clone(),
        at,
        site: write.site.to_string(),
        router: write.router.clone(),
        operation: write.operation.clone(),
        parameters: write.parameters.clone(),
        customer: write.customer.as_ref().map(|(id, name)| (id.to_string(), name.clone())),
        line: write.line.as_ref().map(ToString::to_string).unwrap_or_default(),
        status,
        detail: write.detail.clone(),
    }
}

#[derive(Template)]
#[template(path = "router_writes/list.html")]
struct ListPage {
    frame: Frame,
    asked: Asked,
    complaint: String,
    sites: Vec<(String, String)>,
    statuses: Vec<&'static str>,
    writes: Vec<WriteView>,
    older: Option<String>,
    is_narrowed: bool,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new().route("/router-writes", get(list))
}

async fn list(
    visit: Visit,
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let mut reader = web.controller.database.read().await?;
    let sites = sites::list(&mut reader).await?;
    let (writes, complaint) = match asked.read(visit.now) {
        Ok(search) => (super::find(&mut reader, &search, PAGE_ROWS).await?, String::new()),
        Err(unreadable) => (Vec::new(), format!("{}: {}", unreadable.field, unreadable.reason)),
    };
    drop(reader);
    let is_full = u32::try_from(writes.len()).unwrap_or(u32::MAX) >= PAGE_ROWS;
    let older = writes.last().filter(|_| is_full).map(|last| href(&asked, &last.id));
    let is_narrowed = narrowing(&asked).next().is_some();
    let status = if complaint.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = ListPage {
        frame: visit.frame("Writes to routers", Section::Sites),
        complaint,
        sites: sites.into_iter().map(|site| (site.id.to_string(), site.name)).collect(),
        statuses: WriteStatus::ALL.iter().map(|status| status.as_str()).collect(),
        writes: writes.iter().map(|write| write_view(write, visit.now)).collect(),
        older,
        is_narrowed,
        asked,
    };
    visit.show_as(status, &page)
}

fn narrowing(asked: &Asked) -> impl Iterator<Item = (&'static str, &str)> {
    let fields = [
        ("site", asked.site.as_str()),
        ("router", &asked.router),
        ("line", &asked.line),
        ("customer", &asked.customer),
        ("operation", &asked.operation),
        ("status", &asked.status),
        ("from", &asked.from),
        ("until", &asked.until),
        ("text", &asked.text),
    ];
    fields.into_iter().filter(|(_, value)| !value.trim().is_empty())
}

fn href(asked: &Asked, before: &str) -> String {
    let fields = narrowing(asked).chain([("before", before)]);
    let query: Vec<String> =
        fields.map(|(name, value)| format!("{name}={}", percent_encoded(value.trim()))).collect();
    format!("/router-writes?{}", query.join("&"))
}
