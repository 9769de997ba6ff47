//! One connection's life with rumqttc 0.25: a client and its event loop, used once and thrown away.
//!
//! ```text
//! CONNECT (will = bye) ─> CONNACK ─> SUBSCRIBE down/# ─> SUBACK ─> Up to the core ─> deliveries … ─> end
//! ```
//!
//! Its event loop is polled by one task that does nothing else: polling is not safe to cancel, and publishing from the
//! polling task locks up when the channel is full. After any error the pair is dropped, because what it kept of an old
//! connection would be lost silently or block the new one. Deliveries are acknowledged by the core, by hand.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions,
    Outgoing, Packet, Publish, QoS, StateError, SubscribeReasonCode, Transport,
};
use tawi_shared::SiteId;
use tawi_shared::topics::{Up, down_filter, parse_down};
use tawi_shared::wire::{ByeV1, LinePart, encode};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::{ByteCounters, FromLink, LinkSender, LinkSettings, Share};
use crate::config::ControllerAddress;

/// The largest packet in either direction. An envelope is at most 64 KiB, and a broker may add to a topic.
const PACKET_BYTES: usize = 256 * 1024;
/// Requests that wait for the event loop: the window, its acks, and what is said at once.
const REQUESTS: usize = 128;
/// Publishes that the broker has not acknowledged. Well above the window, so that packet ids never come round to one
/// that is still in use.
const IN_FLIGHT: u16 = 64;
/// TCP, TLS and CONNACK as rumqttc sees them: only the CONNACK, since the line is already up.
const CONNACK_SECONDS: u64 = 30;
/// How long a farewell may take.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(4);

/// The connection is gone, or so slow that it will be.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the connection to the controller is gone")]
pub struct Lost;

/// What the core found out on a connection, for whoever makes the next one.
#[derive(Debug, Default)]
struct Wishes {
    /// Head office answered.
    is_good: AtomicBool,
    /// Within how many seconds to come back; 0: it has not said.
    return_within: AtomicU16,
}

/// The core's end of a connection. Dropping it ends the connection.
#[derive(Debug)]
pub struct Connection {
    client: AsyncClient,
    site: SiteId,
    /// Its number; higher than that of every earlier one.
    pub connection_epoch: u64,
    /// Which address answered.
    pub address: ControllerAddress,
    wishes: Arc<Wishes>,
    counters: Arc<ByteCounters>,
    /// Dropped with this value, which tells the link.
    _hold: mpsc::Sender<()>,
    /// Answers when the last byte has left the machine.
    drained: oneshot::Receiver<()>,
}

impl Connection {
    /// One whose messages somebody else carries: whoever has the other end of `client`; and what is closed once the core gives
    /// it up. For a simulation; `run` makes its own.
    #[must_use]
    pub fn by_hand(
        client: AsyncClient,
        site: SiteId,
        number: (u64, ControllerAddress),
        counters: Arc<ByteCounters>,
    ) -> (Self, mpsc::Receiver<()>) {
        let (connection_epoch, address) = number;
        let (hold, held) = mpsc::channel(1);
        let connection = Self {
            client,
            site,
            connection_epoch,
            address,
            wishes: Arc::default(),
            counters,
            _hold: hold,
            drained: oneshot::channel().1,
        };
        (connection, held)
    }

    /// Says something, at least once, if the connection lives. Never waits.
    ///
    /// # Errors
    /// [`Lost`]: drop the connection.
    pub fn say(&self, up: Up, bytes: Vec<u8>) -> Result<(), Lost> {
        self.publish((up, part_of(up)), QoS::AtLeastOnce, bytes)
    }

    /// Tells what head office asked to know; lightly where the next one replaces it. Never waits.
    ///
    /// # Errors
    /// [`Lost`]: drop the connection.
    pub fn answer(&self, bytes: Vec<u8>, is_light: bool) -> Result<(), Lost> {
        let qos = if is_light { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        self.publish((Up::Ack, LinePart::Remote), qos, bytes)
    }

    /// Says something that is answered by head office itself, at most once. Never waits.
    ///
    /// # Errors
    /// [`Lost`]: drop the connection.
    pub fn say_lightly(&self, up: Up, bytes: Vec<u8>) -> Result<(), Lost> {
        self.publish((up, part_of(up)), QoS::AtMostOnce, bytes)
    }

    fn publish(&self, (up, part): (Up, LinePart), qos: QoS, bytes: Vec<u8>) -> Result<(), Lost> {
        let topic = up.topic(&self.site);
        self.counters.said(part, &bytes, bytes.len().saturating_add(topic.len()));
        self.client.try_publish(topic, qos, false, bytes).map_err(|_| Lost)
    }

    /// Tells the broker that a delivery was dealt with.
    ///
    /// # Errors
    /// [`Lost`]: drop the connection.
    pub fn ack(&self, delivery: &Delivery) -> Result<(), Lost> {
        self.client.try_ack(&delivery.publish).map_err(|_| Lost)
    }

    /// The controller answered our hello: the next dial need not wait long.
    pub fn mark_good(&self) {
        self.wishes.is_good.store(true, Ordering::Relaxed);
    }

    /// Head office asks that the next connection begins at any time within so many seconds after the end of this one.
    pub fn return_within(&self, seconds: u16) {
        self.wishes.return_within.store(seconds, Ordering::Relaxed);
    }

    /// Says bye and ends the connection, waiting for a moment until that is on its way.
    pub async fn farewell(self) {
        let bye = ByeV1 { connection_epoch: self.connection_epoch };
        let is_said = encode(&bye, 0, 0, 0).is_ok_and(|bytes| self.say(Up::Bye, bytes).is_ok());
        if is_said && self.client.try_disconnect().is_ok() {
            let _ = tokio::time::timeout(FAREWELL_DEADLINE, self.drained).await;
        }
    }
}

/// What is said on a topic for, where nothing else is known of it.
fn part_of(up: Up) -> LinePart {
    match up {
        Up::Hello | Up::Ack | Up::Bye => LinePart::Talk,
        Up::Usage => LinePart::Usage,
        Up::Event => LinePart::Events,
        Up::Log => LinePart::Log,
    }
}

/// Something that the controller said, not yet acknowledged.
#[derive(Debug)]
pub struct Delivery {
    publish: Publish,
    _share: Share,
}

impl Delivery {
    /// One that came by another way than a connection.
    #[must_use]
    pub fn by_hand(topic: &str, bytes: Vec<u8>) -> Self {
        let share = Share { waiting: Arc::default(), bytes: 0 };
        Self { publish: Publish::new(topic, QoS::AtLeastOnce, bytes), _share: share }
    }

    /// The bytes, unread.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.publish.payload
    }

    /// The topic, for the log.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.publish.topic
    }
}

/// The link's end of a connection.
pub(super) struct Session {
    task: JoinSet<End>,
    subscribed: oneshot::Receiver<()>,
    /// Ends when the core drops its connection.
    held: mpsc::Receiver<()>,
    wishes: Arc<Wishes>,
    drained: oneshot::Sender<()>,
}

/// How a session ended.
pub(super) struct Ended {
    pub(super) why: String,
    /// Whether the controller answered the hello.
    pub(super) was_good: bool,
    /// Within how many seconds to come back, if head office has said.
    pub(super) return_within: Option<Duration>,
    /// Whether a try of the silent line had no answer.
    pub(super) was_silent: bool,
    /// Whether one was under way when it ended.
    pub(super) was_tried: bool,
    /// Whether head office said that we may not come in, which is not what it says when it cannot tell.
    pub(super) was_refused: bool,
    /// To be dropped when the last byte has left the machine: a farewell waits for it.
    pub(super) _drained: oneshot::Sender<()>,
}

/// What the polling task ends with.
struct End {
    why: String,
    was_silent: bool,
    was_tried: bool,
    was_refused: bool,
    /// What the core never had. Were it dropped with the task, it would look as if the core had ended the connection.
    unopened: Option<Connection>,
}

impl End {
    fn said(why: impl Into<String>) -> Self {
        Self { why: why.into(), was_silent: false, was_tried: false, was_refused: false, unopened: None }
    }
}

/// Starts the pair on our own socket; the connection has a number, and is tried so often while it is silent.
pub(super) fn start(
    settings: &LinkSettings,
    socket: &Path,
    (connection_epoch, keep_alive): (u64, Duration),
    address: ControllerAddress,
    (counters, core): (Arc<ByteCounters>, LinkSender),
) -> Session {
    let (client, event_loop) = pair(settings, socket, connection_epoch, keep_alive);
    let (hold, held) = mpsc::channel(1);
    let (subscribed_sender, subscribed) = oneshot::channel();
    let (drained_sender, drained) = oneshot::channel();
    let wishes = Arc::<Wishes>::default();
    let connection = Connection {
        client: client.clone(),
        site: settings.site.clone(),
        connection_epoch,
        address,
        wishes: Arc::clone(&wishes),
        counters: Arc::clone(&counters),
        _hold: hold,
        drained,
    };
    let polling = Polling {
        client,
        filter: down_filter(&settings.site),
        core,
        counters,
        waiting: Arc::new(AtomicU64::new(0)),
        opening: Some((connection, subscribed_sender)),
        is_tried: false,
    };
    let mut task = JoinSet::new();
    task.spawn(polling.run(event_loop));
    Session { task, subscribed, held, wishes, drained: drained_sender }
}

fn pair(
    settings: &LinkSettings,
    socket: &Path,
    connection_epoch: u64,
    keep_alive: Duration,
) -> (AsyncClient, EventLoop) {
    let site = settings.site.as_str();
    let mut options = MqttOptions::new(site, socket.to_string_lossy(), 0);
    options.set_transport(Transport::Unix);
    options.set_credentials(site, "");
    options.set_clean_session(true);
    options.set_keep_alive(keep_alive);
    options.set_manual_acks(true);
    options.set_max_packet_size(PACKET_BYTES, PACKET_BYTES);
    options.set_inflight(IN_FLIGHT);
    // A will that cannot be encoded would be a will that says nothing; the controller then learns of the end from the
    // next hello.
    if let Ok(bye) = encode(&ByeV1 { connection_epoch }, 0, 0, 0) {
        options.set_last_will(LastWill::new(Up::Bye.topic(&settings.site), bye, QoS::AtLeastOnce, false));
    }
    let (client, mut event_loop) = AsyncClient::new(options, REQUESTS);
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(CONNACK_SECONDS);
    event_loop.set_network_options(network);
    (client, event_loop)
}

impl Session {
    /// Whether the controller accepted the subscription; `false` when the connection ended before.
    pub(super) async fn subscribed(&mut self) -> bool {
        (&mut self.subscribed).await.is_ok()
    }

    /// Ends the pair at once.
    pub(super) fn stop(&mut self) {
        self.task.abort_all();
    }

    /// Waits for the end: of the line, or of the core's patience.
    pub(super) async fn ended(mut self) -> Ended {
        let End { why, was_silent, was_tried, was_refused, unopened: _unopened } = tokio::select! {
            ended = self.task.join_next() => match ended {
                Some(Ok(end)) => end,
                Some(Err(_)) | None => End::said("the session was stopped"),
            },
            // Nothing is ever sent on it: it ends when the core drops the connection. The loop itself is not
            // cancelled in the middle: the whole pair is dropped.
            _ = self.held.recv() => End::said("the agent ended it"),
        };
        let was_good = self.wishes.is_good.load(Ordering::Relaxed);
        let return_within = match self.wishes.return_within.load(Ordering::Relaxed) {
            0 => None,
            seconds => Some(Duration::from_secs(seconds.into())),
        };
        Ended { why, was_good, return_within, was_silent, was_tried, was_refused, _drained: self.drained }
    }
}

/// What the polling task knows.
struct Polling {
    client: AsyncClient,
    filter: String,
    core: LinkSender,
    counters: Arc<ByteCounters>,
    waiting: Arc<AtomicU64>,
    /// Until the subscription is accepted.
    opening: Option<(Connection, oneshot::Sender<()>)>,
    /// Whether the silent line was tried and nothing came since.
    is_tried: bool,
}

impl Polling {
    /// Polls until the connection ends, and says why.
    async fn run(mut self, event_loop: EventLoop) -> End {
        let end = self.poll(event_loop).await;
        let unopened = self.opening.take().map(|(connection, _)| connection);
        End { unopened, was_tried: self.is_tried, ..end }
    }

    async fn poll(&mut self, mut event_loop: EventLoop) -> End {
        loop {
            let event = match event_loop.poll().await {
                Ok(event) => event,
                Err(error) => {
                    let was_silent = matches!(error, ConnectionError::MqttState(StateError::AwaitPingResp));
                    let was_refused =
                        matches!(error, ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized));
                    return End { was_silent, was_refused, ..End::said(error.to_string()) };
                }
            };
            match &event {
                Event::Outgoing(Outgoing::PingReq) => self.is_tried = true,
                Event::Incoming(_) => self.is_tried = false,
                Event::Outgoing(_) => {}
            }
            let outcome = match event {
                Event::Incoming(Packet::ConnAck(_)) => self.subscribe(),
                Event::Incoming(Packet::SubAck(ack)) => self.open(&ack.return_codes),
                Event::Incoming(Packet::Publish(publish)) => self.deliver(publish),
                Event::Outgoing(Outgoing::Disconnect) => Err("the agent said bye".to_owned()),
                _ => Ok(()),
            };
            if let Err(why) = outcome {
                return End::said(why);
            }
        }
    }

    fn subscribe(&self) -> Result<(), String> {
        // The channel is empty: nothing was said before.
        self.client
            .try_subscribe(&self.filter, QoS::AtLeastOnce)
            .map_err(|_| "the subscription could not be sent".to_owned())
    }

    fn open(&mut self, codes: &[SubscribeReasonCode]) -> Result<(), String> {
        let is_accepted = !codes.is_empty()
            && codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(QoS::AtLeastOnce)));
        if !is_accepted {
            return Err(format!("the broker refused the subscription to {}", self.filter));
        }
        let Some((connection, subscribed)) = self.opening.take() else { return Ok(()) };
        self.core.try_send(FromLink::Up(connection)).map_err(|_| OVERRUN.to_owned())?;
        let _ = subscribed.send(());
        Ok(())
    }

    fn deliver(&self, publish: Publish) -> Result<(), String> {
        let what = parse_down(&publish.topic).map(|(_, what)| what);
        let bytes = publish.payload.len().saturating_add(publish.topic.len());
        self.counters.heard(what, &publish.payload, bytes);
        let bytes = u64::try_from(publish.payload.len()).unwrap_or(u64::MAX);
        let share = Share::take(&self.waiting, bytes).ok_or_else(|| OVERRUN.to_owned())?;
        let delivery = Delivery { publish, _share: share };
        self.core.try_send(FromLink::Said(delivery)).map_err(|_| OVERRUN.to_owned())
    }
}

const OVERRUN: &str = "the agent cannot take messages as fast as they come";
