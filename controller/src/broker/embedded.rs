//! The broker behind the front door: mqtt5 on a loopback port, with nothing on disk.
//!
//! Everybody needs a password that was made at this start: the controller's own, or the voucher that the front door
//! puts into the CONNECT of a site whose certificate it has seen. A program on this machine that finds the port is
//! therefore nobody. What somebody may say and hear is `mqtt/acl.rs`.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::config::{BrokerConfig, StorageConfig};
use mqtt5::broker::{AuthProvider, AuthResult, MqttBroker};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use tokio::task::JoinSet;

use super::settings::BrokerSettings;
use super::{BrokerError, Secret};
use crate::mqtt::acl::{self, Principal};
use crate::shutdown::Stop;

/// The largest packet, in bytes: four times the largest envelope. The crate's own limit is 256 MiB.
const PACKET_BYTES: usize = 256 * 1024;
/// Messages that wait for one client inside the broker. The controller takes thousands a second and an agent is told
/// a handful; whoever is further behind is told anew by a hello. The crate's own limit is 10,000.
const CHANNEL_MESSAGES: usize = 2_000;
/// What waits beyond that for a client that reads slowly, in messages and bytes.
const QUEUED_MESSAGES: usize = 2_000;
const QUEUED_BYTES: usize = 16 * 1024 * 1024;
/// Subscriptions of one client: an agent needs one.
const SUBSCRIPTIONS: usize = 8;
/// No limit: the broker (mqtt5 0.49.0) acknowledges a message of MQTT 3.1.1 that it drops for it, and counts the
/// controller too, which tells every site at once after a start. Sites are slowed by the front door, see `allowance.rs`.
const MESSAGES_PER_SECOND: u32 = 0;
/// Connections beyond the agents': the controller's own, and those that are just being replaced.
const SPARE_CONNECTIONS: usize = 64;
/// How long the broker may take to accept connections.
const READY: Duration = Duration::from_secs(10);

/// Starts the broker as one of `tasks`, where it ends after `stop`, and returns where it listens.
pub(super) async fn start(
    settings: &BrokerSettings,
    controller_password: Secret,
    voucher: Secret,
    mut stop: Stop,
    tasks: &mut JoinSet<()>,
) -> Result<SocketAddr, BrokerError> {
    let failed = |error: mqtt5::MqttError| BrokerError::Embedded(error.to_string());
    let mut broker = MqttBroker::with_config(config(settings))
        .await
        .map_err(failed)?
        .with_auth_provider(Arc::new(Gate { controller_password, voucher }));
    let address = broker
        .local_addr()
        .filter(|address| address.ip().is_loopback())
        .ok_or_else(|| BrokerError::Embedded("it does not listen on loopback".to_owned()))?;
    let mut ready = broker.ready_receiver();
    let shutdown = broker.shutdown_handle();
    let task = tasks.spawn(async move {
        let mut running = Box::pin(broker.run());
        tokio::select! {
            ended = &mut running => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the embedded broker failed; restart the controller");
                }
                return;
            }
            () = stop.requested() => shutdown.shutdown(),
        }
        if let Err(error) = running.await {
            tracing::warn!(%error, "the embedded broker did not stop cleanly");
        }
    });
    match tokio::time::timeout(READY, ready.wait_for(|is_ready| *is_ready)).await {
        Ok(Ok(_)) => Ok(address),
        Ok(Err(_)) => Err(BrokerError::Embedded("it ended at once".to_owned())),
        Err(_) => {
            task.abort();
            Err(BrokerError::Embedded("it was not ready within 10 s".to_owned()))
        }
    }
}

fn config(settings: &BrokerSettings) -> BrokerConfig {
    let storage = StorageConfig::new()
        .with_persistence(false)
        .with_max_queued_messages_per_client(QUEUED_MESSAGES)
        .with_max_queued_bytes_per_client(QUEUED_BYTES);
    let mut config = BrokerConfig::new()
        .with_bind_address(([127, 0, 0, 1], 0))
        .with_max_clients(settings.connections.saturating_add(SPARE_CONNECTIONS))
        .with_session_expiry(Duration::ZERO)
        .with_max_packet_size(PACKET_BYTES)
        .with_client_channel_capacity(CHANNEL_MESSAGES)
        .with_max_subscriptions_per_client(SUBSCRIPTIONS)
        .with_maximum_qos(1)
        .with_retain_available(false)
        // The above refuses retained wills only (mqtt5 0.49.0); nothing that is published shall stay either.
        .with_max_retained_messages(1)
        .with_max_retained_message_size(1)
        .with_storage(storage);
    config.max_message_rate_per_client = MESSAGES_PER_SECOND;
    config.sys_topics_enabled = false;
    // The crate builds a provider of its own first and refuses to without files or this; `Gate` replaces it before
    // anything listens, and lets nobody in without a password.
    config.auth_config.allow_anonymous = true;
    config
}

/// Who may come in, and what they may do.
struct Gate {
    controller_password: Secret,
    voucher: Secret,
}

impl Gate {
    /// The principal whose CONNECT this is; `None` for anybody else.
    fn principal(&self, connect: &ConnectPacket) -> Option<Principal> {
        let principal = Principal::of_user(connect.username.as_deref()?)?;
        let offered = connect.password.as_deref()?;
        let expected = match principal {
            Principal::Controller => &self.controller_password,
            Principal::Site(_) => &self.voucher,
        };
        expected.is(offered).then_some(principal)
    }
}

fn principal_of(user_id: Option<&str>) -> Option<Principal> {
    Principal::of_user(user_id?)
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for Gate {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _client_addr: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        let answer = match self.principal(connect) {
            Some(_) => AuthResult::success_with_user(connect.username.clone().unwrap_or_default()),
            None => AuthResult::fail(ReasonCode::NotAuthorized),
        };
        Box::pin(std::future::ready(Ok(answer)))
    }

    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        let is_allowed = principal_of(user_id).is_some_and(|principal| acl::may_publish(&principal, topic));
        Box::pin(std::future::ready(is_allowed))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        topic_filter: &'a str,
    ) -> Answer<'a, bool> {
        let is_allowed =
            principal_of(user_id).is_some_and(|principal| acl::may_subscribe(&principal, topic_filter));
        Box::pin(std::future::ready(is_allowed))
    }
}
