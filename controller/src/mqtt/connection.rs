//! One connection to the broker after another.
//!
//! rumqttc is used as a disposable pipe: client and event loop are thrown away after each disconnect, because requests
//! that it had accepted are dropped silently when a session is lost (rumqttc 0.25.1, `eventloop.rs`). The event loop is
//! polled by a task of its own that never waits for anything else, and polling is never cancelled to be resumed.
//! A broker that is not inside the controller is behind `line.rs`.

use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Packet, Publish, QoS,
    SubscribeReasonCode, Transport,
};
use tawi_shared::topics::{self, ALL_SITES_UP, Up};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::acl::CONTROLLER_USER;
use super::line::{LineError, Opened};
use crate::broker::{Attendance, BrokerAddress};
use crate::ids::{IdSource, SiteId};
use crate::shutdown::Stop;

/// Requests that wait for the event loop: publishes of snapshots and acknowledgements. It empties as fast as the
/// loopback takes it.
const REQUESTS_WAITING: usize = 1_024;
/// The largest packet, in bytes: four times the largest envelope. The crate's default is 10 KiB, and a larger packet
/// would end every connection that it is delivered to.
const PACKET_BYTES: usize = 256 * 1024;
/// The broker is on this machine or next to it, or far away and worth a ping.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const CONNECT_SECONDS: u64 = 10;
/// Pauses between attempts: from the first to the longest, doubling, each cut by up to half at random.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Something that a site said.
#[derive(Debug)]
pub(super) struct Arrival {
    /// Who: the broker checked that the topic is the speaker's own.
    pub(super) site: SiteId,
    /// The packet, to be acknowledged on the connection that brought it.
    pub(super) publish: Publish,
    client: AsyncClient,
}

impl Arrival {
    /// A packet that came by another way than a connection.
    pub(super) fn of(site: SiteId, publish: Publish, client: AsyncClient) -> Self {
        Self { site, publish, client }
    }

    /// Whether the broker wants no acknowledgement: who said it so is answered so, and says it again otherwise when no answer
    /// comes.
    pub(super) fn is_light(&self) -> bool {
        self.publish.qos == QoS::AtMostOnce
    }

    /// Tells the broker that it need not be delivered again. Call after the commit.
    pub(super) async fn acknowledge(self) {
        // The connection may be gone; then nobody waits for the acknowledgement.
        let _ = self.client.ack(&self.publish).await;
    }
}

/// What a connection hands over, in order.
#[derive(Debug)]
pub(super) enum Heard {
    /// It hears the sites from here on, and none is let in yet: whoever was shown as online is not.
    Nobody,
    /// A site spoke.
    Site(Arrival),
}

/// The way to the broker, while there is one. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Pipe(watch::Sender<Option<AsyncClient>>);

impl Default for Pipe {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Pipe {
    /// One that leads to whoever has the other end of `client`.
    pub(super) fn to(client: AsyncClient) -> Self {
        Self(watch::Sender::new(Some(client)))
    }

    /// Publishes with QoS 1; `false` when there is no connection now. `true` promises nothing: sites confirm what
    /// they stored.
    pub(super) async fn publish(&self, topic: String, payload: Vec<u8>) -> bool {
        self.publish_with(QoS::AtLeastOnce, topic, payload).await
    }

    /// The same at most once, for what is said again when it is missed.
    pub(super) async fn publish_lightly(&self, topic: String, payload: Vec<u8>) -> bool {
        self.publish_with(QoS::AtMostOnce, topic, payload).await
    }

    async fn publish_with(&self, qos: QoS, topic: String, payload: Vec<u8>) -> bool {
        let client = self.0.borrow().clone();
        match client {
            Some(client) => client.publish(topic, qos, false, payload).await.is_ok(),
            None => false,
        }
    }

    /// Whether there is a connection now.
    pub(super) fn is_open(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Returns when the connection came or went.
    pub(super) fn changes(&self) -> watch::Receiver<Option<AsyncClient>> {
        self.0.subscribe()
    }
}

/// Why a connection ended.
#[derive(Debug)]
enum Ended {
    Broken(ConnectionError),
    /// The broker does not let us hear the sites: its access rules are wrong.
    SubscriptionRefused,
    /// The intake has no room to hear that nobody is online, and whoever is not would be shown as online for ever.
    IntakeFull,
    /// The intake is gone.
    NobodyTakes,
}

/// Keeps a connection until `stop`.
pub(super) async fn keep(
    ids: &IdSource,
    address: &BrokerAddress,
    pipe: &Pipe,
    hand_over: mpsc::Sender<Heard>,
    mut stop: Stop,
) {
    let mut pause = FIRST_PAUSE;
    while !stop.is_requested() {
        let mut opened = pipe.changes();
        let line = tokio::select! {
            line = dial(address) => line,
            () = stop.requested() => break,
        };
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                tracing::warn!(%error, "the broker cannot be reached");
                pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                tokio::select! {
                    () = tokio::time::sleep(jittered(pause, ids)) => continue,
                    () = stop.requested() => break,
                }
            }
        };
        let mut polling = open(address, line.as_ref(), pipe.clone(), hand_over.clone());
        let ended = tokio::select! {
            ended = &mut polling => ended,
            () = stop.requested() => {
                polling.abort();
                // Wait until the socket is closed.
                let _ = polling.await;
                break;
            }
        };
        // The broker stops with the controller and may have heard of it first: what breaks then is no fault.
        if stop.is_requested() {
            break;
        }
        let was_open =
            opened.has_changed().is_ok_and(|changed| changed) && opened.borrow_and_update().is_some();
        close(pipe, &address.attendance);
        match ended {
            Ok(Ended::Broken(error)) => tell_broken(&error, line).await,
            Ok(Ended::SubscriptionRefused) => {
                tracing::error!(filter = ALL_SITES_UP, "the broker refuses the controller's subscription");
            }
            Ok(Ended::IntakeFull) => {
                tracing::warn!("the intake is full; connecting to the broker anew");
            }
            Ok(Ended::NobodyTakes) => {
                tracing::error!("the intake of the link has ended; restart the controller");
                break;
            }
            Err(error) => tracing::error!(%error, "polling the broker failed"),
        }
        pause = if was_open { FIRST_PAUSE } else { pause.saturating_mul(2).min(LONGEST_PAUSE) };
        tokio::select! {
            () = tokio::time::sleep(jittered(pause, ids)) => {}
            () = stop.requested() => break,
        }
    }
    close(pipe, &address.attendance);
}

fn close(pipe: &Pipe, attendance: &Attendance) {
    attendance.end();
    pipe.0.send_replace(None);
}

/// The line knows better than whoever spoke on it.
async fn tell_broken(error: &ConnectionError, line: Option<Opened>) {
    let cause = match line {
        Some(line) => line.why_it_ended().await,
        None => None,
    };
    match cause {
        Some(cause) => tracing::warn!(error = %cause, "the connection to the broker broke"),
        None => tracing::warn!(%error, "the connection to the broker broke"),
    }
}

/// The way to a broker that is not inside the controller and wants TLS.
async fn dial(address: &BrokerAddress) -> Result<Option<Opened>, LineError> {
    match &address.line {
        Some(line) => line.open().await.map(Some),
        None => Ok(None),
    }
}

fn is_last_word(topic: &str) -> bool {
    matches!(topics::parse_up(topic), Some((_, Up::Bye)))
}

fn jittered(pause: Duration, ids: &IdSource) -> Duration {
    let half = u64::try_from(pause.as_millis() / 2).unwrap_or(u64::MAX).max(1);
    pause.saturating_sub(Duration::from_millis(ids.number() % half))
}

fn open(
    address: &BrokerAddress,
    line: Option<&Opened>,
    pipe: Pipe,
    hand_over: mpsc::Sender<Heard>,
) -> JoinHandle<Ended> {
    let mut options = match line {
        Some(line) => {
            let mut options = MqttOptions::new(CONTROLLER_USER, line.socket.to_string_lossy(), 0);
            options.set_transport(Transport::Unix);
            options
        }
        None => MqttOptions::new(CONTROLLER_USER, address.host.as_str(), address.port),
    };
    options
        .set_credentials(address.user_name.as_str(), address.password.expose())
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_session(true)
        .set_manual_acks(true)
        .set_max_packet_size(PACKET_BYTES, PACKET_BYTES);
    let (client, mut events) = AsyncClient::new(options, REQUESTS_WAITING);
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(CONNECT_SECONDS);
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    let attendance = address.attendance.clone();
    tokio::spawn(poll(client, events, pipe, attendance, hand_over))
}

async fn poll(
    client: AsyncClient,
    mut events: EventLoop,
    pipe: Pipe,
    attendance: Attendance,
    hand_over: mpsc::Sender<Heard>,
) -> Ended {
    loop {
        let packet = match events.poll().await {
            Ok(Event::Incoming(packet)) => packet,
            Ok(Event::Outgoing(_)) => continue,
            Err(error) => return Ended::Broken(error),
        };
        match packet {
            // A refusal is an error of the poll. The queue is empty at this moment, so that there is room.
            Packet::ConnAck(_) => match client.try_subscribe(ALL_SITES_UP, QoS::AtLeastOnce) {
                Ok(()) => {}
                Err(_) => return Ended::SubscriptionRefused,
            },
            Packet::SubAck(answer) => {
                if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                    return Ended::SubscriptionRefused;
                }
                // In the queue before the first hello can be.
                match hand_over.try_send(Heard::Nobody) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Full(_)) => return Ended::IntakeFull,
                    Err(mpsc::error::TrySendError::Closed(_)) => return Ended::NobodyTakes,
                }
                pipe.0.send_replace(Some(client.clone()));
                attendance.begin();
                tracing::info!("the controller hears its sites");
            }
            Packet::Publish(publish) => match topics::parse_up(&publish.topic) {
                Some((site, _)) => {
                    let arrival = Arrival { site, publish, client: client.clone() };
                    match hand_over.try_send(Heard::Site(arrival)) {
                        Ok(()) | Err(mpsc::error::TrySendError::Full(Heard::Nobody)) => {}
                        // A last will is said once, and with another broker nobody else notices who is gone.
                        Err(mpsc::error::TrySendError::Full(Heard::Site(arrival)))
                            if is_last_word(&arrival.publish.topic) =>
                        {
                            return Ended::IntakeFull;
                        }
                        Err(mpsc::error::TrySendError::Full(Heard::Site(arrival))) => {
                            // Whoever said it says it again when no answer comes.
                            tracing::warn!(site.id = %arrival.site, "the intake is full; a message was dropped");
                            let _ = client.try_ack(&arrival.publish);
                        }
                        Err(mpsc::error::TrySendError::Closed(_)) => return Ended::NobodyTakes,
                    }
                }
                None => {
                    tracing::warn!(topic = %publish.topic, "a message came on a topic that is none of ours");
                    let _ = client.try_ack(&publish);
                }
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::broker::testing::{House, PATIENCE, settings};

    #[tokio::test]
    async fn a_connection_ends_when_the_intake_cannot_hear_that_nobody_is_online() {
        let house = House::open(settings()).await;
        let (hand_over, mut heard) = mpsc::channel(1);
        // What a connection before this one left.
        hand_over.try_send(Heard::Nobody).unwrap();
        let pipe = Pipe::default();
        let refused = open(&house.broker.address, None, pipe.clone(), hand_over.clone());
        assert!(matches!(timeout(PATIENCE, refused).await.unwrap().unwrap(), Ended::IntakeFull));
        assert!(!pipe.is_open(), "no site is let in");
        heard.recv().await.unwrap();
        let opened = open(&house.broker.address, None, pipe.clone(), hand_over.clone());
        assert!(matches!(timeout(PATIENCE, heard.recv()).await.unwrap(), Some(Heard::Nobody)));
        opened.abort();
        house.close().await;
    }
}
