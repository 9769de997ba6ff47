//! A running simulator: the sockets around a [`Router`], and their end.
//!
//! A port that is closed (reboot, fault, disabled service) is really closed: the listener goes, and the
//! same address is bound again later. An admin who changes the port of a service moves it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::debug;

use crate::api_session::serve;
use crate::clock::Clock;
use crate::preload::Ports;
use crate::router::Router;
use crate::settings::Settings;
use crate::tls::{Identity, TlsError};
use crate::trap::Trap;

/// A peer that does not finish its handshake in this time is dropped.
const LONGEST_HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait when an address that was given up is taken by another process for the moment.
const REBIND_PAUSE: Duration = Duration::from_millis(50);

/// Why the simulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address} for {purpose}; choose another address, or port 0 for a free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What for.
        purpose: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// No certificate.
    #[error("cannot offer TLS")]
    Tls(#[from] TlsError),
    /// The router refuses its own first configuration.
    #[error("the first configuration is refused")]
    Preload(#[source] Trap),
}

/// A running simulator; it ends when stopped or dropped.
pub struct Simulator {
    router: Router,
    api_address: SocketAddr,
    tls_address: Option<SocketAddr>,
    /// What `api-ssl` shows while it is set to no certificate that the router has signed.
    first_pin: Option<String>,
    control_address: Option<SocketAddr>,
    stop: watch::Sender<()>,
    tasks: JoinSet<()>,
}

impl Simulator {
    /// Starts a router. Its ports are open when this returns.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let (api, api_address) = listen(settings.listen, "the API").await?;
        let tls = match settings.tls_listen {
            Some(address) => {
                Some((listen(address, "the API over TLS").await?, Identity::generate("router.lan")?))
            }
            None => None,
        };
        let control = match settings.control {
            Some(address) => Some(listen(address, "the control port").await?),
            None => None,
        };
        let tls_address = tls.as_ref().map(|((_, address), _)| *address);
        let clock = Clock::start();
        let ports = Ports { api: api_address, tls: tls_address };
        let (stop, stopping) = watch::channel(());
        let router = Router::new(settings, ports, clock, stopping).map_err(StartError::Preload)?;

        let mut tasks = JoinSet::new();
        tasks.spawn(router.clone().keep_time());
        tasks.spawn(
            Port { router: router.clone(), service: "api", address: api_address, tls: None }.keep_open(api),
        );
        let mut first_pin = None;
        if let Some(((listener, address), identity)) = tls {
            first_pin = Some(identity.pin.clone());
            let port = Port { router: router.clone(), service: API_SSL, address, tls: Some(identity) };
            tasks.spawn(port.keep_open(listener));
        }
        let control_address = control.as_ref().map(|(_, address)| *address);
        if let Some((listener, _)) = control {
            tasks.spawn(crate::control::serve(listener, router.clone()));
        }
        Ok(Self { router, api_address, tls_address, first_pin, control_address, stop, tasks })
    }

    /// Where the plain API listens.
    #[must_use]
    pub fn api_address(&self) -> SocketAddr {
        self.api_address
    }

    /// Where the API over TLS listens.
    #[must_use]
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// SHA-256 of the DER of the certificate that `api-ssl` shows at present, in lower-case hex.
    #[must_use]
    pub fn tls_pin(&self) -> Option<String> {
        let signed = self.router.identity_of(API_SSL).map(|identity| identity.pin);
        self.first_pin.as_ref().map(|first| signed.unwrap_or_else(|| first.clone()))
    }

    /// Where the control port listens.
    #[must_use]
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control_address
    }

    /// The router itself: what the control port offers, in process.
    #[must_use]
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Closes every port and connection and waits for the ports to be free.
    pub async fn stop(self) {
        let Self { stop, mut tasks, .. } = self;
        drop(stop);
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
    }
}

async fn listen(address: SocketAddr, purpose: &'static str) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, purpose, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The API over TLS, as the router calls it.
const API_SSL: &str = "api-ssl";

/// A port of the API.
struct Port {
    router: Router,
    service: &'static str,
    address: SocketAddr,
    tls: Option<Identity>,
}

impl Port {
    async fn keep_open(mut self, first: TcpListener) {
        let mut listener = Some(first);
        let mut connections = JoinSet::new();
        let mut gate = self.router.gate();
        loop {
            gate.mark_unchanged();
            let port = match self.router.open_port(self.service) {
                Ok(port) => port,
                Err(closed_for) => {
                    listener = None;
                    let _changed_or_over = tokio::time::timeout(closed_for, gate.changed()).await;
                    continue;
                }
            };
            if port != self.address.port() {
                // An admin moved the service.
                self.address.set_port(port);
                listener = None;
            }
            let open = match listener.take() {
                Some(open) => open,
                None => match TcpListener::bind(self.address).await {
                    Ok(open) => open,
                    Err(error) => {
                        debug!(%error, address = %self.address, "the port is not free yet");
                        let _changed_or_over = tokio::time::timeout(REBIND_PAUSE, gate.changed()).await;
                        continue;
                    }
                },
            };
            tokio::select! {
                accepted = open.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let tls = self.tls.clone().map(|own| self.router.identity_of(self.service).unwrap_or(own));
                        connections.spawn(converse(self.router.clone(), self.service, tls, stream, peer));
                    }
                    Err(error) => debug!(%error, "accept failed"),
                },
                _ = gate.changed() => {}
                _ = connections.join_next(), if !connections.is_empty() => {}
            }
            listener = Some(open);
        }
    }
}

async fn converse(
    router: Router,
    service: &'static str,
    tls: Option<Identity>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    // A late segment costs a test 40 ms; real routers send at once as well.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot disable Nagle's algorithm");
    }
    router.while_stalled().await;
    let ended = match tls {
        None => serve(stream, router, service, peer.ip()).await,
        Some(identity) => {
            match tokio::time::timeout(LONGEST_HANDSHAKE, identity.acceptor.accept(stream)).await {
                Ok(Ok(stream)) => serve(stream, router, service, peer.ip()).await,
                Ok(Err(error)) => Err(error.into()),
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, %peer, "connection ended");
    }
}
