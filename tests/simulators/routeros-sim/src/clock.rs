//! The simulator's two clocks: a monotonic one for uptimes and a wall clock for dates.
//!
//! Both move with tokio's clock, so a test that pauses time moves the whole router. The real wall
//! clock is read once, when the simulator starts; rules take a [`Moment`] and read no clock.

use tokio::time::Instant;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Milliseconds since the simulator started; never jumps.
    pub monotonic_ms: u64,
    /// Milliseconds since 1970, UTC, as this router believes.
    pub unix_ms: i64,
}

/// The source of [`Moment`]s.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    origin_unix_ms: i64,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now(), origin_unix_ms: wall_unix_ms() }
    }

    /// Both clocks now; the router's wall clock is wrong by `shift_ms`.
    #[must_use]
    pub(crate) fn now(&self, shift_ms: i64) -> Moment {
        let elapsed_ms = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let elapsed_signed = i64::try_from(elapsed_ms).unwrap_or(i64::MAX);
        Moment {
            monotonic_ms: elapsed_ms,
            unix_ms: self.origin_unix_ms.saturating_add(elapsed_signed).saturating_add(shift_ms),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the simulator stands outside the product and anchors its own wall clock once, here"
)]
fn wall_unix_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}
