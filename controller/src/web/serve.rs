//! Serves the routes until the end is asked for, and then lets open requests finish.
//!
//! axum's own loop has no clock: it waits for ever for the head of a request, and for the next request of a connection
//! that is kept open. So hyper is driven from here, with both limited.

use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::door::{Door, Peer};
use super::proxies::Proxies;
use crate::shutdown::Stop;

/// How long open requests may go on after the end was asked for. systemd waits 45 s; nobody posts for 10.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long the head of a request may take, from the moment that the connection has nothing else to do: a browser on a
/// poor line needs three, and one that will send another within this time saves a handshake.
pub(super) const HEAD: Duration = Duration::from_secs(20);

/// Serves until `stop`.
///
/// # Errors
/// None yet; the signature leaves room for a listener that is lost.
pub async fn serve(
    listener: TcpListener,
    proxies: Proxies,
    routes: Router,
    stop: Stop,
) -> std::io::Result<()> {
    serve_behind(Door::new(listener, proxies), routes, stop).await;
    Ok(())
}

pub(super) async fn serve_behind(mut door: Door, routes: Router, mut stop: Stop) {
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let open = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.requested() => break,
            Some(_) = tasks.join_next() => continue,
            accepted = door.accept() => accepted,
        };
        let routes = routes.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(Peer(peer)));
            routes.clone().oneshot(request)
        });
        let connection = open.watch(protocol.serve_connection(TokioIo::new(stream), service));
        tasks.spawn(async move {
            // Whoever goes away in the middle is no news.
            if let Err(error) = connection.await {
                tracing::debug!(peer.address = %peer, %error, "a connection ended early");
            }
        });
    }
    drop(door);
    if timeout(FAREWELL, open.shutdown()).await.is_err() {
        tracing::warn!("requests were still open {FAREWELL:?} after the end was asked for; they are cut off");
    }
    tasks.shutdown().await;
}
