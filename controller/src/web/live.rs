//! Live updates: one server-sent event for each hint that something changed. A hint says what, never how it is now;
//! whoever hears it reads the page or the resource again.
//!
//! A stream outlives the request that opened it, so whoever listens is looked up again while it lasts.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;

use super::Web;
use super::cookies::Cookie;
use super::visit::Visit;
use crate::crowd::{Crowd, Present};
use crate::live::Hint;
use crate::staff::{self, SecretToken};

/// A comment so often, that proxies and our own standstill limit let a quiet stream live.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events that a slow reader may leave unread in its own queue before hints wait in the shared one.
const UNREAD: usize = 64;
/// Streams of one session or token at once. A browser opens six connections to one host.
const STREAMS: usize = 8;
/// How long somebody who was signed out may still hear that something changes.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// All streams that are open.
#[derive(Clone, Debug)]
pub struct Streams {
    crowd: Crowd<String>,
    /// How often those who listen are looked up again.
    pub look_again: Duration,
}

impl Default for Streams {
    fn default() -> Self {
        Self { crowd: Crowd::default(), look_again: LOOK_AGAIN }
    }
}

/// Who listens.
#[derive(Clone, Debug)]
pub enum Listener {
    /// A page, by its session.
    Page(SecretToken),
    /// A program, by its token.
    Program(SecretToken),
}

impl Listener {
    fn key(&self) -> String {
        match self {
            Self::Page(token) | Self::Program(token) => token.sha256(),
        }
    }

    /// Whether it may still listen. While the database does not answer, nobody may.
    async fn is_welcome(&self, web: &Web) -> bool {
        let Ok(mut reader) = web.controller.database.read().await else { return false };
        match self {
            Self::Page(token) => {
                let session = staff::session(&mut reader, token, web.controller.clock.now()).await;
                session.is_ok_and(|session| session.is_some())
            }
            Self::Program(token) => {
                staff::token_holder(&mut reader, token).await.is_ok_and(|holder| holder.is_some())
            }
        }
    }
}

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/live", get(live))
}

/// The stream for pages.
async fn live(_visit: Visit, State(web): State<Web>, headers: HeaderMap) -> Response {
    let token = Cookie::Session.read(&headers, web.is_https).unwrap_or_default();
    let listener = Listener::Page(SecretToken::received(token));
    // The page works without it, and its script tries again.
    stream(&web, listener)
        .unwrap_or_else(|| (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "60")]).into_response())
}

/// The stream of hints, from now on, until the program ends or the listener leaves or is no longer welcome. `None` when
/// the listener has as many streams as it may.
#[must_use]
pub fn stream(web: &Web, listener: Listener) -> Option<Response> {
    let place = web.streams.crowd.enter(listener.key(), STREAMS)?;
    let (sender, receiver) = mpsc::channel(UNREAD);
    tokio::spawn(tell(web.clone(), listener, place, sender));
    let events = Sse::new(ReceiverStream::new(receiver));
    Some(events.keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

async fn tell(
    web: Web,
    listener: Listener,
    _place: Present<String>,
    sender: mpsc::Sender<Result<Event, Infallible>>,
) {
    let mut hints = web.controller.live.listen();
    let mut stop = web.stop.clone();
    let mut looks = interval(web.streams.look_again);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // At once, so that the browser knows that it is connected.
    let mut next = Some(Event::default().event("ready").data("{}"));
    loop {
        if let Some(event) = next.take()
            && sender.send(Ok(event)).await.is_err()
        {
            return;
        }
        tokio::select! {
            () = stop.requested() => return,
            () = sender.closed() => return,
            _ = looks.tick() => {
                if !listener.is_welcome(&web).await {
                    return;
                }
            }
            hint = hints.recv() => match hint {
                Ok(hint) => next = event(&hint),
                Err(RecvError::Lagged(_)) => next = Some(Event::default().event("resync").data("{}")),
                Err(RecvError::Closed) => return,
            },
        }
    }
}

fn event(hint: &Hint) -> Option<Event> {
    let (name, id) = match hint {
        Hint::Payment(customer) => ("payment", customer.as_str()),
        Hint::Intent(customer) => ("intent", customer.as_str()),
        Hint::Line(line) => ("line", line.as_str()),
        Hint::Site(site) => ("site", site.as_str()),
        // Told as a change of its site; and nothing changed because somebody looks.
        Hint::Revoked(_) | Hint::Watched(_) => return None,
    };
    // Ids have only letters, digits and dashes: nothing to escape.
    Some(Event::default().event(name).data(format!("{{\"id\":\"{id}\"}}")))
}
