//! The connection to head office, again and again.
//!
//! ```text
//! core ⇄ session (rumqttc, one pair a connection) ⇄ our own socket ⇄ dialer (TLS) ⇄ controller
//! ```
//!
//! Whatever rumqttc accepted may be lost when a connection ends, so that nothing is ever believed to be told before
//! the controller's own word for it: the core keeps the outbox until a cursor comes. A connection is disposable;
//! after each end everything is built anew, and the next dial waits for a random time that grows with failures. What
//! is said and when is the core's business; `window`, `backoff`, `budget` and `ledger` are the pure parts.

pub mod backoff;
pub mod budget;
pub mod counters;
pub mod dialer;
pub mod keep_alive;
pub mod ledger;
pub mod order;
pub mod proof;
pub mod proxy;
pub mod session;
pub mod tls;
pub mod window;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tawi_shared::{IdSource, SiteId};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::config::ControllerAddress;
use crate::outbox::Outbox;
use crate::tuning::Tuned;
use backoff::Backoff;
pub use counters::ByteCounters;
use dialer::{Dialed, Dialer, Who};
use keep_alive::KeepAlive;
pub use session::{Connection, Delivery, Lost};
use tls::is_certificate_refused;

/// Messages from the link that wait for the core. A snapshot of a large site is a dozen of them, and the core takes
/// one in milliseconds; whoever fills this queue has a core that hangs, and the connection is dropped.
pub const INBOUND_WAITING: usize = 1_024;
/// Bytes of messages that wait for the core: a large site's snapshot several times over.
pub const INBOUND_BYTES: u64 = 4 * 1024 * 1024;
/// From the CONNECT to the SUBACK. Satellite and 3G links need most of it.
pub const SUBSCRIBE_DEADLINE: Duration = Duration::from_secs(30);
/// How long what was written last may take to leave through the dialer.
const DRAIN_DEADLINE: Duration = Duration::from_secs(2);

/// What the link tells the core.
#[derive(Debug)]
pub enum FromLink {
    /// Connected and subscribed: say hello.
    Up(Connection),
    /// The controller said something. Only between `Up` and `Down` of the same connection.
    Said(Delivery),
    /// The connection ended.
    Down {
        /// Which.
        connection_epoch: u64,
        /// Why, for the log and the status page.
        why: String,
    },
    /// The controller could not be reached, or refused.
    Failed {
        /// Why, with the address.
        why: String,
    },
}

/// Where the link puts what it hears.
pub type LinkSender = mpsc::Sender<FromLink>;

/// What the link needs to know.
pub struct LinkSettings {
    /// Whose topics.
    pub site: SiteId,
    /// How often a silent line is tried is among what stands.
    pub tuned: watch::Receiver<Tuned>,
    /// And this how that is learned where the settings leave it open.
    pub keep_alive: keep_alive::Bounds,
    /// The first pause before another try.
    pub reconnect_base: Duration,
}

/// Why one try came to nothing.
#[derive(Debug, Error)]
enum TryError {
    #[error(transparent)]
    Dial(#[from] dialer::DialError),
    #[error("the disk does not answer, so that the connection has no number")]
    NoNumber,
    #[error("the controller did not accept the subscription within {} s", SUBSCRIBE_DEADLINE.as_secs())]
    NotSubscribed,
    #[error(
        "head office hung up before it let us in ({0}); where that goes on, ask there whether this site was revoked, or another device took it over"
    )]
    HungUp(String),
    #[error(
        "{who} refuses this device{why}: the site was revoked, or another device took it over with a newer ticket{or}; cure: at head office: tawi-controller site renew {site}; then here, with its ticket: sudo tawi-agent enrol"
    )]
    Refused { who: String, why: String, or: &'static str, site: SiteId },
}

impl TryError {
    /// Whether head office said that it does not take our certificate. One that cannot say who comes in, because its database
    /// does not answer, says something else: all sites would ask it for new ones.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// A refusal in words for whoever has to find out which of its causes it is. `alert`: what TLS says of it, if that did.
    fn refused(site: &SiteId, (address, who): (&ControllerAddress, Who), alert: Option<&io::Error>) -> Self {
        Self::Refused {
            who: if who == Who::Office { "head office".to_owned() } else { format!("the broker {address}") },
            why: alert.map_or_else(String::new, |alert| format!(" ({alert})")),
            // One that the settings name may be anybody's, who knows none of our sites.
            or: match who {
                Who::NamedBroker => {
                    ", or that is not head office's broker: see broker_addresses in agent.toml"
                }
                Who::Office | Who::Broker => "",
            },
            site: site.clone(),
        }
    }
}

/// Keeps a connection to head office for as long as the core listens.
pub async fn run(
    settings: LinkSettings,
    mut dialer: Dialer,
    outbox: Outbox,
    ids: IdSource,
    core: LinkSender,
) {
    let mut backoff = Backoff::new(settings.reconnect_base);
    let mut keep_alive = KeepAlive::new(settings.tuned.borrow().keep_alive, settings.keep_alive);
    loop {
        keep_alive.set(settings.tuned.borrow().keep_alive);
        match connect_once(&settings, &mut keep_alive, &mut dialer, &outbox, &core).await {
            Ok(ended) => {
                if ended.was_good {
                    backoff.spread(ended.return_within.unwrap_or_default());
                    backoff.reset();
                } else if let Some(within) = ended.return_within {
                    backoff.unspoken(within);
                } else {
                    // Somebody took the subscription, and head office never answered: it may listen elsewhere.
                    dialer.pass_over();
                }
            }
            Err(error) => {
                // A link that is down in between takes nothing back.
                if error.is_refusal() {
                    dialer.line().note(true);
                }
                if core.send(FromLink::Failed { why: error.to_string() }).await.is_err() {
                    return;
                }
            }
        }
        if core.is_closed() {
            return;
        }
        sleep(backoff.next(ids.number())).await;
    }
}

/// One connection from dial to end.
async fn connect_once(
    settings: &LinkSettings,
    keep_alive: &mut KeepAlive,
    dialer: &mut Dialer,
    outbox: &Outbox,
    core: &LinkSender,
) -> Result<session::Ended, TryError> {
    let Dialed { stream, address } = match dialer.dial().await {
        Err(dialer::DialError::Tls { address, source }) if is_certificate_refused(&source) => {
            let who = dialer.who(&address);
            return Err(TryError::refused(&settings.site, (&address, who), Some(&source)));
        }
        dialed => dialed?,
    };
    let asked = address.clone();
    // Only now, because the number costs a write to flash.
    let connection_epoch =
        outbox.call(crate::outbox::Keeper::next_connection_epoch).await.map_err(|_| TryError::NoNumber)?;
    let splice = dialer.splice(stream);
    let begun = Instant::now();
    let number = (connection_epoch, keep_alive.interval());
    let counters = dialer.counters();
    counters.note_keep_alive(keep_alive.interval());
    let mut session = session::start(settings, dialer.socket(), number, address, (counters, core.clone()));
    let subscribed = timeout(SUBSCRIBE_DEADLINE, session.subscribed()).await;
    if subscribed.is_err() {
        session.stop();
    }
    if matches!(subscribed, Ok(true)) {
        dialer.line().note(false);
    } else {
        dialer.pass_over();
    }
    let ended = session.ended().await;
    let lived = begun.elapsed();
    // What the session wrote last (a farewell) is still on its way through the splice; and when the line broke, only
    // the splice knows how: a refused certificate, for one, shows after the handshake.
    let line_error = timeout(DRAIN_DEADLINE, splice.ended()).await.ok().flatten();
    let was_forgotten =
        ended.was_silent || (ended.was_tried && line_error.as_ref().is_some_and(is_forgotten));
    keep_alive.ended(lived, was_forgotten);
    let alert = line_error.as_ref().filter(|error| is_certificate_refused(error));
    let refused = (ended.was_refused || alert.is_some())
        .then(|| TryError::refused(&settings.site, (&asked, dialer.who(&asked)), alert));
    let why = line_error.map_or_else(|| ended.why.clone(), |line_error| why_the_line_ended(&line_error));
    match subscribed {
        Ok(true) => {
            // A core that is gone needs no telling.
            let _ = core.send(FromLink::Down { connection_epoch, why }).await;
            Ok(ended)
        }
        Ok(false) => Err(refused.unwrap_or(TryError::HungUp(why))),
        Err(_) => Err(TryError::NotSubscribed),
    }
}

/// Whether a line that was tried after a silence ended as one does that somebody on the way has forgotten: with a word that
/// there is no such connection, or without any.
fn is_forgotten(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut};
    matches!(error.kind(), ConnectionReset | BrokenPipe | TimedOut)
}

/// In words for a technician: the TLS library's own for a missing farewell speak of the protocol.
fn why_the_line_ended(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the line ended without a farewell".to_owned(),
        _ => error.to_string(),
    }
}

/// A share in the bytes that wait for the core; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    waiting: Arc<AtomicU64>,
    bytes: u64,
}

impl Share {
    /// `None` when too much waits already.
    fn take(waiting: &Arc<AtomicU64>, bytes: u64) -> Option<Self> {
        let before = waiting.fetch_add(bytes, Ordering::Relaxed);
        let share = Self { waiting: Arc::clone(waiting), bytes };
        (before.saturating_add(bytes) <= INBOUND_BYTES).then_some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_the_core_is_bounded_in_bytes_and_given_back() {
        let waiting = Arc::new(AtomicU64::new(0));
        let first = Share::take(&waiting, INBOUND_BYTES - 10).unwrap();
        let second = Share::take(&waiting, 10).unwrap();
        assert!(Share::take(&waiting, 1).is_none());
        drop(second);
        assert!(Share::take(&waiting, 10).is_some());
        drop(first);
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }
}
