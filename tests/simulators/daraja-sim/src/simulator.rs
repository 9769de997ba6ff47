//! Starting and stopping: two listeners, one for Daraja and one for control, and an orderly end.
//!
//! Nothing runs after `stop` has returned. A simulator that is dropped instead ends soon after.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::callbacks::Postman;
use crate::connection::{Cut, CuttableListener};
use crate::gateway::Gateway;
use crate::handle::Handle;
use crate::phones::PhoneRefused;
use crate::refusals::Refusal;
use crate::settings::Settings;
use crate::{c2b, codes, control, faults, oauth, operator, pull, stk};

/// The largest request body of Daraja. Real ones stay under 1 kB.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long open requests may take to end when the simulator stops.
const GRACE: Duration = Duration::from_secs(2);

/// A simulator that could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address that cannot be listened on.
    #[error("cannot listen on {address} for {purpose}")]
    Listen {
        /// What the address is for.
        purpose: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No short code, so nobody to pay.
    #[error("at least one short code is needed")]
    NoShortCode,
    /// A default phone that makes no sense.
    #[error("the default phone makes no sense")]
    DefaultPhone(#[source] PhoneRefused),
    /// Extra root certificates that cannot be read.
    #[error("cannot prepare to call listeners")]
    Postman(#[source] reqwest::Error),
}

/// A running simulator.
#[derive(Debug)]
pub struct Simulator {
    gateway: Arc<Gateway>,
    daraja: SocketAddr,
    control: SocketAddr,
    servers: Vec<JoinHandle<()>>,
}

impl Simulator {
    /// Starts listening. Returns once both ports accept connections.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        if settings.short_codes.is_empty() {
            return Err(StartError::NoShortCode);
        }
        settings.default_phone.check().map_err(StartError::DefaultPhone)?;
        let postman = Postman::new(settings.callback_roots_pem.as_deref()).map_err(StartError::Postman)?;
        let (daraja_listener, daraja) = listen("Daraja", settings.listen).await?;
        let (control_listener, control) = listen("control", settings.control).await?;
        let gateway = Arc::new(Gateway::new(settings, postman));
        let daraja_service = daraja_routes(&gateway).into_make_service_with_connect_info::<Cut>();
        let daraja_server = axum::serve(CuttableListener::new(daraja_listener), daraja_service)
            .with_graceful_shutdown(until_stopping(&gateway));
        let control_server =
            axum::serve(control_listener, control::routes(Handle::new(Arc::clone(&gateway))))
                .with_graceful_shutdown(until_stopping(&gateway));
        let servers = vec![
            tokio::spawn(async move { report(daraja_server.await) }),
            tokio::spawn(async move { report(control_server.await) }),
        ];
        Ok(Self { gateway, daraja, control, servers })
    }

    /// `http://127.0.0.1:PORT`, where Daraja is.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.daraja)
    }

    /// `http://127.0.0.1:PORT`, where the control port is.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// The controls.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.gateway))
    }

    /// Stops listening, ends what is under way, and returns when nothing runs any more.
    pub async fn stop(mut self) {
        self.gateway.begin_stop();
        for mut server in std::mem::take(&mut self.servers) {
            if tokio::time::timeout(GRACE, &mut server).await.is_err() {
                server.abort();
            }
        }
        self.gateway.end_errands().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.gateway.begin_stop();
    }
}

fn daraja_routes(gateway: &Arc<Gateway>) -> Router {
    let refuse_path = |gateway: Arc<Gateway>| async move { gateway.refuse(&Refusal::no_such_resource()) };
    let refuse_method = |gateway: Arc<Gateway>| async move { gateway.refuse(&Refusal::method()) };
    let (for_path, for_method) = (Arc::clone(gateway), Arc::clone(gateway));
    Router::new()
        .route("/oauth/v1/generate", get(oauth::generate))
        .route("/mpesa/stkpush/v1/processrequest", post(stk::push))
        .route("/mpesa/stkpushquery/v1/query", post(stk::query))
        .route("/mpesa/c2b/v1/registerurl", post(c2b::register_v1))
        .route("/mpesa/c2b/v2/registerurl", post(c2b::register_v2))
        .route("/mpesa/c2b/v1/simulate", post(c2b::simulate))
        .route("/mpesa/c2b/v2/simulate", post(c2b::simulate))
        .route("/mpesa/accountbalance/v1/query", post(operator::balance))
        .route("/mpesa/transactionstatus/v1/query", post(operator::status))
        .route("/mpesa/reversal/v1/request", post(operator::reversal))
        .route("/mpesa/b2c/v3/paymentrequest", post(operator::payout))
        .route("/mpesa/qrcode/v1/generate", post(codes::generate))
        .route("/pulltransactions/v1/register", post(pull::register))
        .route("/pulltransactions/v1/query", post(pull::query))
        .fallback(move || refuse_path(Arc::clone(&for_path)))
        .method_not_allowed_fallback(move || refuse_method(Arc::clone(&for_method)))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(gateway), faults::weather))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::clone(gateway))
}

async fn listen(purpose: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let refused = |source| StartError::Listen { purpose, address, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

fn until_stopping(gateway: &Arc<Gateway>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let gateway = Arc::clone(gateway);
    Box::pin(async move { gateway.until_stopping().await })
}

fn report(ended: io::Result<()>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a listener ended");
    }
}
