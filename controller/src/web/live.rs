//! Live updates: one server-sent event for each hint that something changed. A hint says what, never how it is now;
//! whoever hears it reads the page or the resource again.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::Web;
use super::visit::Visit;
use crate::live::Hint;

/// A comment so often, that proxies and our own standstill limit let a quiet stream live.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events that a slow reader may leave unread in its own queue before hints wait in the shared one.
const UNREAD: usize = 64;

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/live", get(live))
}

/// The stream for pages.
async fn live(_visit: Visit, State(web): State<Web>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    stream(&web)
}

/// The stream of hints, from now on, until the program ends or the listener leaves.
pub fn stream(web: &Web) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let mut hints = web.controller.live.listen();
    let mut stop = web.stop.clone();
    let (sender, receiver) = mpsc::channel(UNREAD);
    tokio::spawn(async move {
        // At once, so that the browser knows that it is connected.
        let mut next = Event::default().event("ready").data("{}");
        while sender.send(Ok(next)).await.is_ok() {
            next = tokio::select! {
                () = stop.requested() => break,
                () = sender.closed() => break,
                hint = hints.recv() => match hint {
                    Ok(hint) => event(&hint),
                    Err(RecvError::Lagged(_)) => Event::default().event("resync").data("{}"),
                    Err(RecvError::Closed) => break,
                },
            };
        }
    });
    Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

fn event(hint: &Hint) -> Event {
    let (name, id) = match hint {
        Hint::Payment(customer) => ("payment", customer.as_str()),
        Hint::Intent(customer) => ("intent", customer.as_str()),
        Hint::Line(line) => ("line", line.as_str()),
        Hint::Site(site) => ("site", site.as_str()),
    };
    // Ids have only letters, digits and dashes: nothing to escape.
    Event::default().event(name).data(format!("{{\"id\":\"{id}\"}}"))
}
