//! What time it is, when the machine's clock may be wrong: the handle that reads the clocks.
//!
//! A Raspberry Pi has no battery for its clock, a wrong time server moves a site to next year, and either would expire
//! every customer at once. Who is believed is decided in `decision.rs`, in which this machine, the routers and head
//! office are heard; here they are asked and listened to. It refuses to set the machine's clock. Where the floor rests
//! is `outbox/store.rs`; who tells of doubts and of time that was taken back is `site/clock.rs`.

mod decision;
mod doubt;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tawi_shared::{Clock, UnixMillis};
use tokio::sync::watch;
use tokio::time::Instant;

pub use decision::{Basis, ClockState, KeptTime, Reading, SKEW, TOLERANCE, Voice};
pub use doubt::{LeapInDoubt, has_come};

/// How far this machine's clock may be ahead of the time that is acted on and still judge certificates. Within it a
/// certificate that is over is refused from the first connection on; a far year would refuse every one of them, and head
/// office could never be heard.
pub const CERTIFICATE_GAP: Duration = Duration::from_secs(35 * 86_400);

/// No machine that runs this release can be before it: 2026-11-01T00:00:00Z, unless the build names its own date.
const RELEASE_DATE: UnixMillis = UnixMillis(1_793_491_200_000);

/// When this program was built, as far as the build said so (`SOURCE_DATE_EPOCH`, seconds), and never before the
/// release date.
#[must_use]
pub fn build_date() -> UnixMillis {
    let seconds = option_env!("SOURCE_DATE_EPOCH").and_then(|text| text.parse::<i64>().ok());
    let stated = seconds.map_or(RELEASE_DATE, |seconds| UnixMillis(seconds.saturating_mul(1_000)));
    stated.max(RELEASE_DATE)
}

/// The agent's clock. Clones share one state.
#[derive(Clone, Debug)]
pub struct TrustedClock {
    clock: Clock,
    origin: Instant,
    state: Arc<Mutex<ClockState>>,
    /// How often time has leapt and was taken back, and whether a leap is in doubt; for those who wait for an instant.
    turns: watch::Sender<Turned>,
}

impl TrustedClock {
    /// Starts from the machine's clock and what the store kept; the build date is a floor too, and one that nobody takes
    /// back.
    #[must_use]
    pub fn new(clock: Clock, kept: KeptTime) -> Self {
        let state = ClockState::new(build_date(), kept, Duration::ZERO);
        Self {
            clock,
            origin: Instant::now(),
            state: Arc::new(Mutex::new(state)),
            turns: watch::Sender::new(Turned::default()),
        }
    }

    /// The time to act on.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.reading().now
    }

    /// The time to act on, and whether anything stands behind it.
    #[must_use]
    pub fn reading(&self) -> Reading {
        let system = self.clock.now();
        let elapsed = self.origin.elapsed();
        let reading = self.with_state(|state| state.observe(system, elapsed));
        let turns = (reading.leaps, reading.taken_back, reading.leap_in_doubt.is_some());
        self.turns.send_if_modified(|seen| std::mem::replace(seen, turns) != turns);
        reading
    }

    /// The time by which certificates are judged. Nobody is expired by it, so that this machine's clock counts before a
    /// second source confirms it.
    #[must_use]
    pub fn certificate_time(&self) -> UnixMillis {
        let (now, system) = (self.now(), self.clock.now());
        if system.since(now) <= CERTIFICATE_GAP { now.max(system) } else { now }
    }

    /// What everybody says who was heard, for people.
    #[must_use]
    pub fn voices(&self) -> Vec<Voice> {
        let system = self.clock.now();
        let elapsed = self.origin.elapsed();
        self.with_state(|state| state.voices(system, elapsed))
    }

    /// Takes the time that a message of the controller carried.
    pub fn note_controller_time(&self, time: UnixMillis) {
        let elapsed = self.origin.elapsed();
        self.with_state(|state| state.note_controller(time, elapsed));
        // Whoever waits for an instant hears at once what this changes.
        let _ = self.reading();
    }

    /// Takes the time that a router showed, converted to UTC, and how long it has been up.
    pub fn note_router_time(&self, router: &str, time: UnixMillis, up: Option<Duration>) {
        let elapsed = self.origin.elapsed();
        self.with_state(|state| state.note_router(router, time, up, elapsed));
        let _ = self.reading();
    }

    /// What the next run must know; the store keeps it.
    #[must_use]
    pub fn kept(&self) -> KeptTime {
        let elapsed = self.origin.elapsed();
        self.with_state(|state| state.kept(elapsed))
    }

    /// Goes on from what the store kept, where it opened only now.
    pub fn join(&self, kept: KeptTime) {
        let elapsed = self.origin.elapsed();
        self.with_state(|state| state.join(kept, elapsed));
        // Whoever waits for an instant hears at once what this changes.
        let _ = self.reading();
    }

    /// Tells when time has leapt or was taken back, and when a leap is no longer in doubt.
    pub(crate) fn turns(&self) -> Turns {
        Turns(self.turns.subscribe())
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut ClockState) -> T) -> T {
        // A panic elsewhere cannot leave the state half written: no change of it can panic between two assignments.
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Turned = (u32, u32, bool);

/// See [`TrustedClock::turns`].
#[derive(Debug)]
pub(crate) struct Turns(watch::Receiver<Turned>);

impl Turns {
    /// Waits for the next one; for ever when nobody can say so any more.
    pub(crate) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
