//! Starting and stopping: two listeners, one for the API and one for control.
//!
//! A simulator that is dropped stops listening and sends no report any more.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::connection::{Cut, CuttableListener};
use crate::gateway::{Gateway, Handle};
use crate::{api, control};

/// The user name that a simulator accepts unless told otherwise: that of every sandbox.
pub const DEMO_USERNAME: &str = "sandbox";
/// The API key that a simulator accepts unless told otherwise.
pub const DEMO_API_KEY: &str = "demo-key";

/// What a simulator is started with.
#[derive(Clone)]
pub struct Settings {
    /// Where the API listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the control port listens.
    pub control: SocketAddr,
    /// The user name of the app.
    pub username: String,
    /// Its key.
    pub api_key: String,
    /// Where delivery reports go, as it is entered on the real one's pages; `None` for nowhere.
    pub report_url: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: free,
            control: free,
            username: DEMO_USERNAME.to_owned(),
            api_key: DEMO_API_KEY.to_owned(),
            report_url: None,
        }
    }
}

impl fmt::Debug for Settings {
    /// Without the key, and without the address of reports, which is a secret of whoever hears them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// A simulator that could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Reports cannot be sent.
    #[error("cannot prepare to send reports")]
    Reports(#[source] reqwest::Error),
}

/// A running simulator.
#[derive(Debug)]
pub struct Simulator {
    gateway: Arc<Gateway>,
    api: SocketAddr,
    control: SocketAddr,
    /// Dropping it ends them.
    _servers: JoinSet<()>,
}

impl Simulator {
    /// Starts listening. Returns once both ports accept connections.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let (api_listener, api) = listen(settings.listen).await?;
        let (control_listener, control) = listen(settings.control).await?;
        let gateway = Arc::new(Gateway::new(settings).map_err(StartError::Reports)?);
        let service = api::routes(Arc::clone(&gateway)).into_make_service_with_connect_info::<Cut>();
        let control_routes = control::routes(Handle::new(Arc::clone(&gateway)));
        let mut servers = JoinSet::new();
        servers.spawn(async move { report(axum::serve(CuttableListener::new(api_listener), service).await) });
        servers.spawn(async move { report(axum::serve(control_listener, control_routes).await) });
        Ok(Self { gateway, api, control, _servers: servers })
    }

    /// `http://127.0.0.1:PORT`, where the API is.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// `http://127.0.0.1:PORT`, where the control port is.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// The controls.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.gateway))
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let refused = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

fn report(ended: io::Result<()>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a listener ended");
    }
}
