//! Devices that want a certificate: one request over HTTPS on the port of MQTT, answered and gone.
//!
//! ```text
//! POST /v1/enrol {token, csr}   ──▶ sites::enrolment::redeem       nobody knows the device yet
//! POST /v1/renew {csr}          ──▶ sites::enrolment::renew        the connection shows the certificate that it has
//! ```
//!
//! Strangers reach this: how long a request takes, how large it is, how many there are at once and how often one address
//! comes are all bounded. A token is never logged. What is decided stands in `sites/enrolment/`; the words between the two
//! are the contract in `tawi_shared::enrolment`.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use tawi_shared::UnixMillis;
use tawi_shared::enrolment::{
    BODY_BYTES, ENROL_PATH, EnrolRefused, EnrolRequest, Enrolled, RENEW_PATH, RenewRequest,
};
use tawi_shared::release::ReleaseKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::attempts::Attempts;
use crate::crowd::network_of;
use crate::ids::SiteId;
use crate::pki::{self, BadRequest, DeviceKey, Pki};
use crate::sites::SiteError;
use crate::sites::enrolment::{self, Answer, Refusal};
use crate::state::Controller;

/// How long a request and its answer may take: a few kilobytes over a satellite link with losses.
const DEADLINE: Duration = Duration::from_secs(10);
/// What of a request is held at a time.
const HEAD_BYTES: usize = 16 * 1_024;
/// How long whoever is turned away may take to hear it, and how much of what they say meanwhile is read.
const TURNED_AWAY: Duration = Duration::from_secs(2);
const UNHEARD_BYTES: u64 = 32 * 1_024;
/// Devices that are answered at once. Each writes to the database, which payments wait for too.
const AT_ONCE: usize = 30;
/// How often one address may come, in [`WINDOW`]: a technician who tries again, and a few sites behind a carrier's NAT. Agents
/// that renew have months, and come again.
const PER_ADDRESS: u32 = 10;
/// How long a visit counts.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered.
const ADDRESSES: usize = 20_000;

/// What every device is told of where to go.
pub(super) struct Addresses {
    /// Where we are, unless its ticket says otherwise.
    pub(super) door: Vec<String>,
    /// Where it speaks MQTT, if not with us.
    pub(super) brokers: Vec<String>,
}

/// The desk at which devices are served.
pub(super) struct Desk {
    controller: Controller,
    pki: Pki,
    addresses: Addresses,
    places: Arc<Semaphore>,
    visits: Mutex<Attempts<IpAddr>>,
}

/// Who stands at the desk.
#[derive(Clone)]
struct Visitor {
    peer: SocketAddr,
    /// The site and the digest of the certificate that it proved to hold.
    holds: Option<(SiteId, String)>,
}

/// Why somebody is sent away.
#[derive(Debug, thiserror::Error)]
enum SentAway {
    #[error("there is nothing at this path; cure: POST {ENROL_PATH} or {RENEW_PATH}, as tawi-agent does")]
    NoSuchPath,
    #[error("only POST is answered here; cure: POST, as tawi-agent does")]
    NotPosted,
    #[error("the request is longer than {BODY_BYTES} bytes; cure: run tawi-agent enrol of this release")]
    TooLarge,
    #[error("the request cannot be read; cure: run tawi-agent enrol of the release of head office")]
    Unreadable,
    #[error("the request did not come whole; cure: try again when the link is better")]
    Interrupted,
    #[error("no certificate is shown; cure: ask head office for a ticket, and run tawi-agent enrol with it")]
    NoCertificate,
    #[error("{PER_ADDRESS} requests came from this address within a minute; cure: try again in a minute")]
    TooOften,
    #[error("too many devices come at once; cure: try again in a minute")]
    Busy,
    #[error(transparent)]
    BadRequest(#[from] BadRequest),
    #[error("{why}")]
    Refused { site: Option<SiteId>, why: Refusal },
    #[error("head office failed; cure: try again, and ask head office for its log if it goes on")]
    Failed(#[source] SiteError),
    #[error("head office failed; cure: try again, and ask head office for its log if it goes on")]
    Ended(#[source] tokio::task::JoinError),
}

impl SentAway {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NotPosted => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unreadable | Self::Interrupted => StatusCode::BAD_REQUEST,
            Self::BadRequest(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoCertificate => StatusCode::UNAUTHORIZED,
            Self::Refused { .. } => StatusCode::FORBIDDEN,
            Self::TooOften => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) | Self::Ended(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchPath => "not_found",
            Self::NotPosted => "method_not_allowed",
            Self::TooLarge => "too_large",
            Self::Unreadable => "bad_request",
            Self::Interrupted => "interrupted",
            Self::NoCertificate => "certificate_needed",
            Self::TooOften => "too_often",
            Self::Busy => "busy",
            Self::BadRequest(bad) => bad.code(),
            Self::Refused { why, .. } => why.code(),
            Self::Failed(_) | Self::Ended(_) => "failed",
        }
    }

    fn answer(&self) -> Response {
        let body = EnrolRefused { code: self.code().to_owned(), error: self.to_string() };
        let mut response = json(self.status(), &body);
        let headers = response.headers_mut();
        match self {
            Self::NotPosted => headers.insert(header::ALLOW, HeaderValue::from_static("POST")),
            Self::TooOften | Self::Busy => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"))
            }
            _ => None,
        };
        response
    }

    fn log(&self, peer: SocketAddr) {
        match self {
            Self::Refused { site: Some(site), why } => {
                tracing::warn!(site.id = %site, peer.address = %peer, reason = why.code(), "a device was refused a certificate");
            }
            Self::Refused { site: None, why } => {
                tracing::warn!(peer.address = %peer, reason = why.code(), "a device was refused a certificate");
            }
            Self::BadRequest(bad) => {
                tracing::warn!(peer.address = %peer, reason = bad.code(), "a device was refused a certificate");
            }
            Self::Failed(error) => {
                tracing::error!(peer.address = %peer, %error, "a device got no certificate");
            }
            Self::Ended(error) => {
                tracing::error!(peer.address = %peer, %error, "a device got no certificate");
            }
            // Strangers knock on every open port; that is no news.
            other => tracing::debug!(peer.address = %peer, reason = other.code(), "sent away from the desk"),
        }
    }
}

impl Desk {
    pub(super) fn new(controller: Controller, pki: Pki, addresses: Addresses) -> Self {
        Self {
            controller,
            pki,
            addresses,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            visits: Mutex::new(Attempts::new(WINDOW, ADDRESSES)),
        }
    }

    /// Answers one request, and hangs up. Whoever finds no place, or comes too often, is told so at once and unheard.
    pub(super) async fn serve(self: Arc<Self>, stream: TlsStream<TcpStream>, peer: SocketAddr) {
        let counted = self.count(peer, self.controller.clock.now());
        let place = match (counted, Arc::clone(&self.places).try_acquire_owned()) {
            (Ok(()), Ok(place)) => place,
            (Err(error), _) => return turn_away(stream, peer, &error).await,
            (Ok(()), Err(_)) => return turn_away(stream, peer, &SentAway::Busy).await,
        };
        let holds = identity(&stream);
        let visitor = Visitor { peer, holds };
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (desk, visitor) = (Arc::clone(&self), visitor.clone());
            async move {
                let answered = desk.answer(request, &visitor).await;
                Ok::<_, Infallible>(answered.unwrap_or_else(|error| {
                    error.log(visitor.peer);
                    error.answer()
                }))
            }
        });
        let mut protocol = http1::Builder::new();
        protocol.keep_alive(false).max_buf_size(HEAD_BYTES);
        protocol.timer(TokioTimer::new()).header_read_timeout(DEADLINE);
        let connection = protocol.serve_connection(TokioIo::new(stream), service).without_shutdown();
        match timeout(DEADLINE, connection).await {
            Ok(Ok(parts)) => {
                let mut stream = parts.io.into_inner();
                // Whoever does not take the farewell is gone anyway.
                let _ = timeout(DEADLINE, stream.shutdown()).await;
            }
            Ok(Err(error)) => tracing::debug!(peer.address = %peer, %error, "a device went away"),
            Err(_) => tracing::debug!(peer.address = %peer, "a device took too long"),
        }
        drop(place);
    }

    async fn answer(
        &self,
        request: hyper::Request<Incoming>,
        visitor: &Visitor,
    ) -> Result<Response, SentAway> {
        let path = request.uri().path();
        let is_enrolment = match path {
            ENROL_PATH => true,
            RENEW_PATH => false,
            _ => return Err(SentAway::NoSuchPath),
        };
        if request.method() != Method::POST {
            return Err(SentAway::NotPosted);
        }
        let answer = if is_enrolment {
            let EnrolRequest { token, csr } = read(request).await?;
            let key = DeviceKey::of_request(&csr)?;
            let (controller, pki) = (self.controller.clone(), self.pki.clone());
            on_its_own(async move { enrolment::redeem(&controller, &pki, &token, &key).await }).await?
        } else {
            let (site, sha256) = visitor.holds.clone().ok_or(SentAway::NoCertificate)?;
            let RenewRequest { csr } = read(request).await?;
            let key = DeviceKey::of_request(&csr)?;
            let (controller, pki) = (self.controller.clone(), self.pki.clone());
            on_its_own(async move { enrolment::renew(&controller, &pki, (&site, &sha256), &key).await })
                .await?
        };
        match answer {
            Answer::Refused { site, why } => Err(SentAway::Refused { site, why }),
            Answer::Certificate { site, certificate_pem, addresses, is_again } => {
                let done =
                    if is_enrolment { "a device became a site" } else { "a site renewed its certificate" };
                tracing::info!(site.id = %site, peer.address = %visitor.peer, is_again, "{done}");
                let addresses = if addresses.is_empty() { self.addresses.door.clone() } else { addresses };
                let enrolled = Enrolled {
                    // A site that renews has the key that it was enrolled with, and takes no other.
                    release_key: self
                        .controller
                        .releases
                        .key()
                        .filter(|_| is_enrolment)
                        .map(ReleaseKey::to_text),
                    site,
                    certificate: certificate_pem,
                    authority: self.pki.ca_pem().to_owned(),
                    addresses,
                    brokers: self.addresses.brokers.clone(),
                };
                Ok(json(StatusCode::OK, &enrolled))
            }
        }
    }

    fn count(&self, peer: SocketAddr, now: UnixMillis) -> Result<(), SentAway> {
        let network = network_of(peer.ip());
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        if visits.wait(&network, PER_ADDRESS, now).is_some() || !visits.has_room([&network], now) {
            return Err(SentAway::TooOften);
        }
        visits.count(network, now);
        Ok(())
    }
}

/// Says why before anything was heard, and hears a little, so that the answer is not lost with the connection.
async fn turn_away(mut stream: TlsStream<TcpStream>, peer: SocketAddr, error: &SentAway) {
    error.log(peer);
    let body = EnrolRefused { code: error.code().to_owned(), error: error.to_string() };
    let body = serde_json::to_string(&body).unwrap_or_default();
    let status = error.status();
    let answer = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncache-control: no-store\r\nretry-after: 60\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len()
    );
    let telling = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(UNHEARD_BYTES), &mut tokio::io::sink()).await
    };
    // Whoever does not take it is gone, or wants to hold us up.
    let _ = timeout(TURNED_AWAY, telling).await;
}

/// On a task of its own: a device that hangs up ends its handler wherever that stands, and a bell between the commit and that
/// end would never ring.
async fn on_its_own(
    work: impl Future<Output = Result<Answer, SiteError>> + Send + 'static,
) -> Result<Answer, SentAway> {
    tokio::spawn(work).await.map_err(SentAway::Ended)?.map_err(SentAway::Failed)
}

async fn read<T: DeserializeOwned>(request: hyper::Request<Incoming>) -> Result<T, SentAway> {
    let body = request.into_body();
    let most = u64::try_from(BODY_BYTES).unwrap_or(u64::MAX);
    if body.size_hint().lower() > most {
        return Err(SentAway::TooLarge);
    }
    let bytes = to_bytes(Body::new(body), BODY_BYTES).await.map_err(|error| {
        // What axum wraps says which of the two it was only in words; a link that broke gets no answer anyway.
        if error.to_string().contains("length limit") { SentAway::TooLarge } else { SentAway::Interrupted }
    })?;
    serde_json::from_slice(&bytes).map_err(|_| SentAway::Unreadable)
}

fn json(status: StatusCode, body: &impl serde::Serialize) -> Response {
    // These types have nothing in them that JSON lacks.
    let text = serde_json::to_string(body).unwrap_or_default();
    let kind = HeaderValue::from_static("application/json");
    let private = HeaderValue::from_static("no-store");
    (status, [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, private)], text).into_response()
}

/// The site and the digest of the certificate that the client proved to hold; `None` when it showed none.
pub(super) fn identity(stream: &TlsStream<TcpStream>) -> Option<(SiteId, String)> {
    let (_, session) = stream.get_ref();
    let certificate: &CertificateDer<'_> = session.peer_certificates()?.first()?;
    Some((pki::site_of(certificate)?, pki::sha256_of(certificate)))
}
