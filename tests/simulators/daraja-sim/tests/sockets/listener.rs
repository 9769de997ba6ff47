//! The merchant's listener: keeps what it receives, answers what it is told to, and can be held.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::watch;

use crate::merchant::DEADLINE;

/// One notification as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// `Body.stkCallback`.
    pub(crate) fn stk(&self) -> Value {
        self.json()["Body"]["stkCallback"].clone()
    }
}

#[derive(Debug)]
struct Shared {
    received: watch::Sender<Vec<Received>>,
    /// While true, notifications are kept but not answered.
    held: watch::Sender<bool>,
    answer: Mutex<(u16, String)>,
}

/// A listener on a free port; it lives as long as the test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    url: String,
    shared: Arc<Shared>,
}

impl Listener {
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared {
            received: watch::Sender::new(Vec::new()),
            held: watch::Sender::new(false),
            answer: Mutex::new((200, "{\"ResultCode\":\"0\",\"ResultDesc\":\"Accepted\"}".to_owned())),
        });
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let routes = Router::new().fallback(receive).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(socket, routes).await });
        Self { url, shared }
    }

    /// A URL of this listener.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.url)
    }

    pub(crate) fn answer_with(&self, status: u16, body: &str) {
        *self.shared.answer.lock().unwrap() = (status, body.to_owned());
    }

    pub(crate) fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// All that came so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.borrow().clone()
    }

    /// What came so far on one path.
    pub(crate) fn received_at(&self, path: &str) -> Vec<Received> {
        let path = format!("/{path}");
        self.received().into_iter().filter(|received| received.path == path).collect()
    }

    /// Waits until so many have come in all, and returns them.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut watch = self.shared.received.subscribe();
        let enough = watch.wait_for(|received| received.len() >= count);
        tokio::time::timeout(DEADLINE, enough).await.expect("a notification in time").unwrap().clone()
    }
}

async fn receive(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    shared.received.send_modify(|received| received.push(Received { path, headers, body }));
    let mut held = shared.held.subscribe();
    held.wait_for(|held| !held).await.unwrap();
    let (status, body) = shared.answer.lock().unwrap().clone();
    // Only a redirect is followed anywhere; on other answers the header means nothing.
    (StatusCode::from_u16(status).unwrap(), [(LOCATION, "/elsewhere")], body).into_response()
}
