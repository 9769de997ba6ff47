//! Where delivery reports arrive. They are not signed: the path is the proof, 128 random bits that only Africa's Talking was told.
//!
//! What a report changes is committed before it is answered with 200. One that changes nothing, because it came before, because
//! nobody knows its text or because it settles nothing, costs a look into an index and no write. A report may be faster than
//! the note of the answer that named its text: it is kept as long as any text is being handed over, and read with that note.

use std::sync::Arc;

use axum::Form;
use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use tokio::sync::Semaphore;

use super::report::{End, RawReport, Report};
use crate::messages::state::Event;
use crate::messages::store;
use crate::state::Controller;
use crate::web::visit::is_same_secret;

/// The largest body that is taken. Reports have some 150 bytes.
const BODY_BYTES: usize = 4 * 1024;
/// Reports that are taken in at once; who comes beyond that is asked to come again.
const AT_ONCE: usize = 32;

#[derive(Clone)]
struct Desk {
    controller: Controller,
    places: Arc<Semaphore>,
}

/// The route of reports.
pub fn routes(controller: Controller) -> Router {
    let desk = Desk { controller, places: Arc::new(Semaphore::new(AT_ONCE)) };
    Router::new()
        .route("/callbacks/sms/{token}", post(take))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(desk)
}

async fn take(
    State(desk): State<Desk>,
    Path(token): Path<String>,
    form: Result<Form<RawReport>, FormRejection>,
) -> StatusCode {
    let Ok(_place) = desk.places.try_acquire() else { return StatusCode::SERVICE_UNAVAILABLE };
    let known = async {
        let mut reader = desk.controller.database.read().await?;
        store::report_token(&mut reader).await
    };
    match known.await {
        Ok(Some(known)) if is_same_secret(&known, &token) => {}
        Ok(_) => return StatusCode::NOT_FOUND,
        Err(error) => return failed(&error),
    }
    let report = match form {
        Ok(Form(raw)) => raw.read(),
        Err(refused) => {
            tracing::warn!("a delivery report cannot be read: {}", refused.status());
            return refused.status();
        }
    };
    let Some(report) = report else { return StatusCode::OK };
    match take_in(&desk.controller, &report).await {
        Ok(()) => StatusCode::OK,
        Err(error) => failed(&error),
    }
}

fn failed(error: &sqlx::Error) -> StatusCode {
    tracing::error!("a delivery report cannot be taken in: {error}");
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn take_in(controller: &Controller, report: &Report) -> Result<(), sqlx::Error> {
    let now = controller.clock.now();
    {
        let mut reader = controller.database.read().await?;
        // In this order: an answer may be written down in between, and then the text is known by its name.
        let is_any_sending = store::is_any_sending(&mut reader).await?;
        let known = store::by_provider_id(&mut reader, &report.provider_id).await?;
        let changes = match known {
            Some(message) => message.course.apply(event(report), now).is_ok(),
            None => is_any_sending,
        };
        if !changes {
            return Ok(());
        }
    }
    let mut transaction = controller.database.write().await?;
    match store::by_provider_id(&mut transaction, &report.provider_id).await? {
        Some(message) => {
            if let Ok(course) = message.course.apply(event(report), now) {
                store::set_course(&mut transaction, &message.id, &course, now).await?;
            }
        }
        None => store::keep_report(&mut transaction, report, now).await?,
    }
    transaction.commit().await
}

/// What a report means for its text.
pub(in crate::messages) fn event(report: &Report) -> Event {
    match &report.end {
        End::Arrived => Event::Arrived,
        End::Lost(reason) => Event::Lost(format!("Africa's Talking: {reason}")),
    }
}
