//! Where Safaricom's callbacks arrive: stored first, answered second, understood later (`intake`).
//!
//! Callbacks are not signed. The path is the proof: 128 random bits that only Safaricom was told, of one prompt, of one
//! request of an API operator or of one short code. A path that nobody was told is answered 404 and leaves no trace, unless
//! nobody can say now whether it is one; on a known one everything is kept, junk too. Safaricom delivers a callback once, rarely more often, and drops it for good on any answer but 200.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use tawi_shared::UnixMillis;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::c2b;
use super::c2b::validation::Verdict;
use super::intent::CallbackToken;
use super::operator;
use super::short_codes::ShortCodes;
use super::store::{self, CallbackKind, StoredCallback};
use crate::customers::CustomerError;
use crate::database::Together;
use crate::ids::CallbackId;
use crate::state::Controller;

/// The largest body that is taken. Safaricom's have less than 1 KiB.
const BODY_BYTES: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// How long Safaricom may wait for an answer to a question before a payment: it waits some 8 s, and then does what the
/// registration says.
const VALIDATION_DEADLINE: Duration = Duration::from_secs(3);
/// Bodies that wait for the disk before callers wait too: at most 64 MiB.
const WAITING: usize = 1_024;
/// Bodies that share one commit. A commit costs one write to the disk, however many bodies it carries.
const TOGETHER: usize = 128;
/// How long bodies are tried to be stored: longer than any lock that was seen, and about as long as somebody waits for an
/// answer. The writer itself is waited for up to 15 s each time.
const PATIENCE: Duration = Duration::from_secs(20);
/// The pause before they are tried again.
const PAUSE: Duration = Duration::from_millis(200);
/// How often it is kept that somebody was turned away: often enough for the doctor, and no work for whoever tries to be heard.
const NOTED_EVERY: Duration = Duration::from_secs(60);
/// The address that the registration of Pull names. Nothing is known to be told there, and whoever tries it is answered.
pub(super) const PULL_PATH: &str = "/callbacks/pull";
/// What Safaricom wants to hear.
const ACCEPTED: &str = r#"{"ResultCode":0,"ResultDesc":"Accepted"}"#;

/// A body on its way to the disk.
struct Letter {
    callback: StoredCallback,
    source: Option<IpAddr>,
    is_stored: oneshot::Sender<bool>,
}

#[derive(Clone)]
struct Desk {
    controller: Controller,
    known_sources: Arc<[IpAddr]>,
    /// Whether whoever is not among them is turned away.
    refuses_strangers: bool,
    /// Whether Safaricom comes to an address of https, and so through a proxy.
    is_reached_from_outside: bool,
    /// Whether it was said that nobody knows from where callbacks come.
    has_warned: Arc<AtomicBool>,
    /// When it was kept last that somebody was turned away.
    noted_at: Arc<AtomicI64>,
    letters: mpsc::Sender<Letter>,
    /// How many have arrived: what arrived within one millisecond is taken in in this order.
    arrivals: Arc<AtomicU32>,
}

/// The routes of callbacks. Must be called on the runtime: it starts the task that stores bodies, which ends when the
/// router is dropped. The source address is stored when the server
/// gives it as connect info.
pub fn callback_router(controller: Controller, short_codes: &ShortCodes) -> Router {
    let (letters, arriving) = mpsc::channel(WAITING);
    tokio::spawn(store_letters(controller.clone(), arriving));
    let desk = Desk {
        controller,
        known_sources: short_codes.known_sources().into(),
        refuses_strangers: short_codes.refuses_strangers(),
        is_reached_from_outside: short_codes.are_reached_from_outside(),
        has_warned: Arc::default(),
        noted_at: Arc::default(),
        letters,
        arrivals: Arc::default(),
    };
    Router::new()
        .route("/callbacks/stk/{token}", post(stk))
        .route("/callbacks/c2b/{token}/confirmation", post(confirmation))
        .route("/callbacks/c2b/{token}/validation", post(validation))
        .route("/callbacks/operator/{token}/result", post(operator_result))
        .route("/callbacks/operator/{token}/timeout", post(operator_time_out))
        // As `PULL_PATH` has it: what is routed stands as text, where it is looked for.
        .route("/callbacks/pull", post(async || StatusCode::OK))
        .with_state(desk)
}

type Peer = Option<Extension<ConnectInfo<SocketAddr>>>;

async fn stk(State(desk): State<Desk>, Path(token): Path<String>, peer: Peer, request: Request) -> Response {
    receive(&desk, CallbackKind::Stk, &token, peer, request).await
}

async fn confirmation(
    State(desk): State<Desk>,
    Path(token): Path<String>,
    peer: Peer,
    request: Request,
) -> Response {
    receive(&desk, CallbackKind::Confirmation, &token, peer, request).await
}

async fn operator_result(
    State(desk): State<Desk>,
    Path(token): Path<String>,
    peer: Peer,
    request: Request,
) -> Response {
    receive(&desk, CallbackKind::OperatorResult, &token, peer, request).await
}

async fn operator_time_out(
    State(desk): State<Desk>,
    Path(token): Path<String>,
    peer: Peer,
    request: Request,
) -> Response {
    receive(&desk, CallbackKind::OperatorTimeOut, &token, peer, request).await
}

/// Answers a question before a payment. Nothing is stored: no money has moved.
async fn validation(
    State(desk): State<Desk>,
    Path(token): Path<String>,
    peer: Peer,
    request: Request,
) -> Response {
    let Some(token) = CallbackToken::parse(&token) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // Whoever waits for a reader longer than Safaricom waits for an answer lets good payments be refused.
    let deadline = tokio::time::Instant::now() + VALIDATION_DEADLINE;
    let known = is_known(&desk.controller, CallbackKind::Confirmation, &token);
    match tokio::time::timeout_at(deadline, known).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => return StatusCode::NOT_FOUND.into_response(),
        Ok(Err(error)) => tracing::error!("a question before a payment could not be looked up: {error}"),
        Err(_) => tracing::error!("a question before a payment could not be looked up in time"),
    }
    // A question moves no money, and unanswered it may refuse everybody's: behind a proxy that names nobody it is answered.
    let source = peer.map(|Extension(ConnectInfo(address))| address.ip());
    let stranger = source.filter(|address| !address.to_canonical().is_loopback());
    if desk.turns_away(stranger).is_some() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let answer = async {
        let body = read_body(request.into_body()).await?;
        let verdict = judge(&desk.controller, &token, &body).await.unwrap_or_else(|error| {
            tracing::error!("a payment cannot be judged before it is made, and may go on: {error}");
            Some(Verdict::Accepted)
        });
        verdict.ok_or(StatusCode::NOT_FOUND)
    };
    match tokio::time::timeout_at(deadline, answer).await {
        Ok(Ok(verdict)) => verdict.answer().into_response(),
        Ok(Err(status)) => status.into_response(),
        Err(_) => Verdict::Accepted.answer().into_response(),
    }
}

/// `None` when the address is nobody's.
async fn judge(
    controller: &Controller,
    token: &CallbackToken,
    body: &[u8],
) -> Result<Option<Verdict>, CustomerError> {
    let mut connection = controller.database.read_first().await?;
    match c2b::store::payee_of(&mut connection, token).await? {
        Some(_) => Ok(Some(c2b::validation::judge(&mut connection, body).await?)),
        None => Ok(None),
    }
}

async fn receive(desk: &Desk, kind: CallbackKind, token: &str, peer: Peer, request: Request) -> Response {
    // Before anything that takes time: the wait for the database and for the body are part of what a customer waits.
    let received_at = desk.controller.clock.now();
    let Some(token) = CallbackToken::parse(token) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match is_known(&desk.controller, kind, &token).await {
        Ok(true) => {}
        Ok(false) => return StatusCode::NOT_FOUND.into_response(),
        // Safaricom tells once. A stranger's body, should it be one, is found out when it is taken in.
        Err(error) => tracing::error!("a callback could not be looked up, and is stored unseen: {error}"),
    }
    // Behind a proxy this is the sender all the same: `web::shield` sees to it.
    let source = peer.map(|Extension(ConnectInfo(address))| address.ip());
    if let Some(stranger) = desk.turns_away(source) {
        desk.note_turned_away(stranger, received_at).await;
        return StatusCode::FORBIDDEN.into_response();
    }
    let body = match read_body(request.into_body()).await {
        Ok(body) => body,
        Err(status) => return status.into_response(),
    };
    let callback = StoredCallback { id: desk.next_id(), kind, token, body, received_at, payee: None };
    let (is_stored, stored) = oneshot::channel();
    let _arriving = desk.controller.live.callback_arrives();
    if desk.letters.send(Letter { callback, source, is_stored }).await.is_ok() && stored.await == Ok(true) {
        return ([(header::CONTENT_TYPE, "application/json")], ACCEPTED).into_response();
    }
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

async fn is_known(
    controller: &Controller,
    kind: CallbackKind,
    token: &CallbackToken,
) -> Result<bool, sqlx::Error> {
    let mut connection = controller.database.read_first().await?;
    match kind {
        CallbackKind::Stk => store::is_token_known(&mut connection, token).await,
        CallbackKind::Confirmation => Ok(c2b::store::payee_of(&mut connection, token).await?.is_some()),
        CallbackKind::OperatorResult | CallbackKind::OperatorTimeOut => {
            operator::store::is_token_known(&mut connection, token).await
        }
    }
}

async fn read_body(body: Body) -> Result<Vec<u8>, StatusCode> {
    match tokio::time::timeout(BODY_DEADLINE, to_bytes(body, BODY_BYTES)).await {
        Ok(Ok(body)) => Ok(body.into()),
        Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

impl Desk {
    /// An id that sorts by arrival within one run of the process, and is like no other of any run.
    fn next_id(&self) -> CallbackId {
        let arrival = self.arrivals.fetch_add(1, Ordering::Relaxed);
        let random = CallbackId::random(&self.controller.ids);
        CallbackId::parse(&format!("{arrival:08x}{random}")).unwrap_or(random)
    }

    /// Safaricom's addresses change, so a stranger is only mentioned unless the settings say otherwise: what it reports is
    /// compared with Pull and with the statement all the same. `None` for whoever is heard. This machine itself is a stranger
    /// too: behind a proxy that does not say for whom it speaks, everybody seems to be here.
    fn turns_away(&self, source: Option<IpAddr>) -> Option<IpAddr> {
        // An IPv4 address that reaches an IPv6 socket is that address all the same.
        let address = source?.to_canonical();
        if self.known_sources.is_empty() || self.known_sources.contains(&address) {
            return None;
        }
        match (self.refuses_strangers, address.is_loopback()) {
            (true, true) => tracing::error!(
                "a callback was turned away: it came from this machine itself, so that nobody knows who sent it, and \
                 [mpesa] refuse_unknown_sources is on. Let the proxy before the controller write X-Forwarded-For (nginx: \
                 proxy_set_header X-Forwarded-For $remote_addr). Pull fetches what it told of"
            ),
            (true, false) => tracing::error!(
                source.address = %address,
                "a callback was turned away: its address is not in [mpesa] known_sources, and refuse_unknown_sources is on. \
                 Should it be Safaricom's, add it; should it be your own proxy's, let that write X-Forwarded-For, and name it \
                 in [server] trusted_proxies. Pull fetches what it told of"
            ),
            (false, true) => {
                if self.is_reached_from_outside && !self.has_warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "callbacks come from this machine itself, so that nobody compares where they come from with \
                         Safaricom's list: let the proxy before the controller write X-Forwarded-For"
                    );
                }
            }
            (false, false) => tracing::warn!(
                source.address = %address,
                "a callback came from an address that is not on Safaricom's list"
            ),
        }
        self.refuses_strangers.then_some(address)
    }

    /// Keeps for the doctor that somebody was turned away. The writer is asked for it once a minute at most.
    async fn note_turned_away(&self, source: IpAddr, now: UnixMillis) {
        let last = self.noted_at.swap(now.0, Ordering::Relaxed);
        if now.since(UnixMillis(last)) < NOTED_EVERY {
            self.noted_at.store(last, Ordering::Relaxed);
            return;
        }
        let noted = async {
            let mut transaction = self.controller.database.write().await?;
            store::note_turned_away(&mut transaction, &source.to_string(), now).await?;
            transaction.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!("that a callback was turned away could not be kept for the doctor: {error}");
        }
    }
}

/// Stores what has arrived, as much as there is in one commit, and tells each sender.
async fn store_letters(controller: Controller, mut arriving: mpsc::Receiver<Letter>) {
    let mut letters = Vec::with_capacity(TOGETHER);
    while arriving.recv_many(&mut letters, TOGETHER).await > 0 {
        let is_stored = store_in_time(&controller, &mut letters, &mut arriving).await;
        for letter in letters.drain(..) {
            // A sender that hung up is answered by nobody; its body is stored all the same.
            let _ = letter.is_stored.send(is_stored);
        }
        controller.live.ring_callbacks();
    }
}

/// Tries until it succeeds or nobody waits for the answer any more: the writer may be held by another process, and what is
/// refused now is told by nobody again.
async fn store_in_time(
    controller: &Controller,
    letters: &mut Vec<Letter>,
    arriving: &mut mpsc::Receiver<Letter>,
) -> bool {
    let patience_ends = Instant::now() + PATIENCE;
    loop {
        let Err(error) = store_all(controller, letters, arriving).await else { return true };
        let count = letters.len();
        if Instant::now() >= patience_ends {
            tracing::error!(
                callbacks.count = count,
                "callbacks could not be stored and are lost unless Safaricom sends them again: {error}"
            );
            return false;
        }
        tracing::warn!(callbacks.count = count, "callbacks wait to be stored: {error}");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn store_all(
    controller: &Controller,
    letters: &mut Vec<Letter>,
    arriving: &mut mpsc::Receiver<Letter>,
) -> Result<(), sqlx::Error> {
    let mut transaction = controller.database.write().await?;
    // What came while the writer was waited for goes along: it would wait for it as long again.
    while letters.len() < TOGETHER
        && let Ok(letter) = arriving.try_recv()
    {
        letters.push(letter);
    }
    let mut together = Together::default();
    for letter in letters.iter() {
        let source = letter.source.map(|address| address.to_string()).unwrap_or_default();
        store::add_callback(&mut together, &letter.callback, &source);
        together.execute_when_full(&mut transaction).await?;
    }
    together.execute(&mut transaction).await?;
    transaction.commit().await
}
