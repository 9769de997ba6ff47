//! The broker that agents meet: an embedded one on loopback, behind a front door of our own.
//!
//! ```text
//! agent ──TLS, certificate──▶ front_door ──CONNECT vouched for──▶ embedded broker (loopback) ◀── mqtt/, the controller
//! new device ──HTTPS, token──▶ front_door ──▶ enrolment.rs ──▶ sites/enrolment
//! ```
//!
//! The broker is a pipe: it keeps nothing, and is trusted with nothing but order. The front door knows who somebody
//! is (`admission.rs`, pure) and the broker asks `mqtt/acl.rs` (pure) what that somebody may say and hear. With another
//! broker (`external.rs`) the front door goes on for devices that want a certificate, and sends MQTT away; where the
//! controller itself goes is in [`BrokerAddress`], and who hears the sites in [`Attendance`].

pub mod admission;
mod allowance;
pub mod connect_packet;
mod embedded;
mod enrolment;
pub mod external;
mod front_door;
mod seats;
pub mod settings;
mod splice;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod turns;
mod waiting_room;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::server::ServerSessionMemoryCache;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::ids::IdSource;
use crate::mqtt::acl::CONTROLLER_USER;
use crate::mqtt::line::Line;
use crate::pki::{Pki, PkiError};
use crate::shutdown::Stop;
use crate::state::Controller;

pub use external::ExternalBroker;
pub(crate) use front_door::SEEN_PERIOD;
#[cfg(test)]
pub(crate) use front_door::note_seen;
pub use settings::{BrokerSettings, BrokerSettingsError, RawBroker};

/// Why the broker does not start.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// Agents cannot be heard at the address of the configuration.
    #[error(
        "[broker] {key}: \"{address}\" cannot be used; cure: end whatever listens there, choose another port, or let the controller open ports below 1024, as its packaged unit says"
    )]
    Listen {
        /// Which key names it.
        key: &'static str,
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The front door has no certificate.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The broker behind the front door does not come up.
    #[error("the embedded broker does not start: {0}")]
    Embedded(String),
}

/// Where and as whom the controller meets the broker.
#[derive(Clone, Debug)]
pub struct BrokerAddress {
    /// Host of the broker.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who the controller is there.
    pub user_name: String,
    /// And how it proves it; empty where its certificate does.
    pub password: Secret,
    /// The way there with TLS; `None` for plain TCP, which is spoken on this machine only.
    pub line: Option<Line>,
    /// Whether sites are connected there while the controller is not.
    pub is_external: bool,
    /// Told by the controller's client that it hears the sites.
    pub attendance: Attendance,
}

/// Whether the controller hears the sites. What a site says while nobody listens is lost, so that the front door lets
/// nobody in before, and sends everybody away when the hearing was interrupted: their next word is a hello again.
#[derive(Clone, Debug)]
pub struct Attendance(Arc<watch::Sender<u64>>);

impl Default for Attendance {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Attendance {
    /// The subscription stands.
    pub fn begin(&self) {
        // Odd while somebody listens.
        self.0.send_modify(|turn| *turn = turn.saturating_add(1) | 1);
    }

    /// The connection ended.
    pub fn end(&self) {
        self.0.send_if_modified(|turn| {
            let was_listening = *turn % 2 == 1;
            *turn = turn.saturating_add(u64::from(was_listening));
            was_listening
        });
    }

    /// Whether the sites are heard now.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        *self.0.borrow() % 2 == 1
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// A password that never shows itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A fresh one of 256 bits.
    fn random(ids: &IdSource) -> Self {
        Self(ids.hex(32))
    }

    /// The text, for the packet that carries it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `offered` is it. Digests are compared, so that the time taken tells nothing.
    fn is(&self, offered: &[u8]) -> bool {
        digest(&SHA256, self.0.as_bytes()).as_ref() == digest(&SHA256, offered).as_ref()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A broker that runs.
#[derive(Debug)]
pub struct RunningBroker {
    /// For `mqtt::run`.
    pub address: BrokerAddress,
    /// Where agents are heard.
    pub listening: SocketAddr,
    /// Where else, in the order of the settings.
    pub also_listening: Vec<SocketAddr>,
    tasks: JoinSet<()>,
    stop: Stop,
}

impl RunningBroker {
    /// Waits until all doors are shut, which they are soon after `stop`. Returns before `stop` only when a part has
    /// failed: nobody is let in then, and whoever calls must start it all anew.
    pub async fn finished(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the broker failed; restart the controller");
            }
            if !self.stop.is_requested() {
                self.address.attendance.end();
                // The other part is no good alone, and goes with `self`.
                return;
            }
        }
    }
}

/// Starts the front door, and the embedded broker behind it unless the settings name another. Agents are let in to the
/// embedded one as soon as the controller's own client hears them ([`Attendance`]).
///
/// # Errors
/// [`BrokerError`]; nothing is left running then.
pub async fn start(
    controller: &Controller,
    settings: &BrokerSettings,
    pki: &Pki,
    stop: Stop,
) -> Result<RunningBroker, BrokerError> {
    let mut tls = pki.door_tls(&settings.certificate_names(), &controller.clock)?;
    // Each site resumes its session when it comes back, which saves it 3 kB of certificates; one ticket each is enough.
    tls.mqtt.session_storage = ServerSessionMemoryCache::new(settings.connections);
    tls.mqtt.send_tls13_tickets = 1;
    let (first, listening) = listen("listen", settings.listen).await?;
    let (mut listeners, mut also_listening) = (vec![first], Vec::new());
    for address in &settings.also_listen {
        let (listener, address) = listen("also_listen", *address).await?;
        listeners.push(listener);
        also_listening.push(address);
    }
    let mut tasks = JoinSet::new();
    let (address, behind) = match &settings.external {
        Some(external) => (reach(controller, external, pki), None),
        None => {
            let (address, behind) = embed(controller, settings, stop.clone(), &mut tasks).await?;
            (address, Some(behind))
        }
    };
    let addresses =
        enrolment::Addresses { door: settings.advertised_addresses.clone(), brokers: settings.elsewhere() };
    let desk = enrolment::Desk::new(controller.clone(), pki.clone(), addresses);
    let door = front_door::FrontDoor::new(listeners, tls, desk, behind, controller.clone(), settings.clone());
    tasks.spawn(door.run(stop.clone()));
    for address in std::iter::once(&listening).chain(&also_listening) {
        match &settings.external {
            Some(external) => {
                tracing::info!(broker.listening = %address, broker.at = external.address(), "devices get certificates here; agents are heard at the broker of [broker] url");
            }
            None => tracing::info!(broker.listening = %address, "agents are heard"),
        }
    }
    Ok(RunningBroker { address, listening, also_listening, tasks, stop })
}

/// Another broker, and the way there.
fn reach(controller: &Controller, external: &ExternalBroker, pki: &Pki) -> BrokerAddress {
    let at = (external.host.as_str(), external.port);
    let line = || Line::new(at, pki.clone(), controller.clock.clone(), controller.ids.clone());
    BrokerAddress {
        host: external.host.clone(),
        port: external.port,
        user_name: CONTROLLER_USER.to_owned(),
        password: Secret::default(),
        line: external.is_tls.then(line),
        is_external: true,
        attendance: Attendance::default(),
    }
}

/// The embedded broker, and what the front door needs to let agents in to it.
async fn embed(
    controller: &Controller,
    settings: &BrokerSettings,
    stop: Stop,
    tasks: &mut JoinSet<()>,
) -> Result<(BrokerAddress, front_door::Behind), BrokerError> {
    let attendance = Attendance::default();
    let voucher = Secret::random(&controller.ids);
    let password = Secret::random(&controller.ids);
    let broker = embedded::start(settings, password.clone(), voucher.clone(), stop, tasks).await?;
    let behind = front_door::Behind { broker, voucher, attendance: attendance.watch() };
    let address = BrokerAddress {
        host: broker.ip().to_string(),
        port: broker.port(),
        user_name: CONTROLLER_USER.to_owned(),
        password,
        line: None,
        is_external: false,
        attendance,
    };
    Ok((address, behind))
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), BrokerError> {
    let failed = |source| BrokerError::Listen { key, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let listening = listener.local_addr().map_err(failed)?;
    Ok((listener, listening))
}
