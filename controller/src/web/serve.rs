//! Serves the routes until the end is asked for, and then lets open requests finish.

use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;

use super::door::{Door, Peer};
use crate::shutdown::Stop;

/// How long open requests may go on after the end was asked for. systemd waits 90 s; nobody posts for 10.
const FAREWELL: Duration = Duration::from_secs(10);

/// Serves until `stop`.
///
/// # Errors
/// When the listener is lost.
pub async fn serve(listener: TcpListener, routes: Router, stop: Stop) -> std::io::Result<()> {
    let (mut asked, mut farewell) = (stop.clone(), stop);
    let server = axum::serve(Door::new(listener), routes.into_make_service_with_connect_info::<Peer>())
        .with_graceful_shutdown(async move { asked.requested().await });
    let too_long = async move {
        farewell.requested().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        outcome = async { server.await } => outcome,
        () = too_long => {
            tracing::warn!("requests were still open {FAREWELL:?} after the end was asked for; they are cut off");
            Ok(())
        }
    }
}
