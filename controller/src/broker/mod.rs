//! The broker that agents meet: an embedded one on loopback, behind a front door of our own.
//!
//! ```text
//! agent ──TLS, certificate──▶ front_door ──CONNECT vouched for──▶ embedded broker (loopback) ◀── mqtt/, the controller
//! new device ──HTTPS, token──▶ front_door ──▶ enrolment.rs ──▶ sites/enrolment
//! ```
//!
//! The broker is a pipe: it keeps nothing, and is trusted with nothing but order. The front door knows who somebody
//! is (`admission.rs`, pure) and the broker asks `mqtt/acl.rs` (pure) what that somebody may say and hear. To use
//! another broker is to answer [`start`] with another [`BrokerAddress`]; nothing else of the controller knows which
//! one it is.

pub mod admission;
mod allowance;
pub mod connect_packet;
mod embedded;
mod enrolment;
mod front_door;
mod seats;
pub mod settings;
mod splice;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
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
use crate::pki::{Pki, PkiError};
use crate::shutdown::Stop;
use crate::state::Controller;

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
    /// Its port, plain TCP.
    pub port: u16,
    /// Who the controller is there.
    pub user_name: String,
    /// And how it proves it.
    pub password: Secret,
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
#[derive(Clone, PartialEq, Eq)]
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

/// Starts the embedded broker and the front door before it. Agents are let in as soon as the controller's own client
/// hears them ([`Attendance`]).
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
    let attendance = Attendance::default();
    let voucher = Secret::random(&controller.ids);
    let password = Secret::random(&controller.ids);
    let mut tasks = JoinSet::new();
    let embedded =
        embedded::start(settings, password.clone(), voucher.clone(), stop.clone(), &mut tasks).await?;
    let door = front_door::FrontDoor::new(
        listeners,
        tls,
        enrolment::Desk::new(controller.clone(), pki.clone(), settings.advertised_addresses.clone()),
        front_door::Behind { broker: embedded, voucher, attendance: attendance.watch() },
        controller.clone(),
        settings.clone(),
    );
    tasks.spawn(door.run(stop.clone()));
    for address in std::iter::once(&listening).chain(&also_listening) {
        tracing::info!(broker.listening = %address, "agents are heard");
    }
    Ok(RunningBroker {
        address: BrokerAddress {
            host: embedded.ip().to_string(),
            port: embedded.port(),
            user_name: crate::mqtt::acl::CONTROLLER_USER.to_owned(),
            password,
            attendance,
        },
        listening,
        also_listening,
        tasks,
        stop,
    })
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), BrokerError> {
    let failed = |source| BrokerError::Listen { key, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let listening = listener.local_addr().map_err(failed)?;
    Ok((listener, listening))
}
