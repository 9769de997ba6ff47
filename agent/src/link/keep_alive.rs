//! How often a silent connection is tried: seldom enough for a metered line, often enough for whatever forgets it. Pure.
//!
//! A try is 256 bytes on the line at the most, so that one each minute is 11 MB a month, and one each five minutes is 2.2. A
//! carrier's address translation that forgets the connection sooner shows as a try without an answer: then it is tried more
//! often, and from there less often again as long as connections hold. Learned from connection to connection; a restart begins
//! anew.

use std::time::Duration;

use tawi_shared::KEEP_ALIVE_LONGEST;

/// How many tries a connection must have outlived to have held.
const HELD: u32 = 6;

/// Between which bounds it is learned, and how.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The shortest.
    pub least: Duration,
    /// Of the first connection.
    pub first: Duration,
    /// By how much it grows after a connection that held.
    pub step: Duration,
    /// The longest.
    pub most: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            least: Duration::from_secs(60),
            first: Duration::from_secs(240),
            step: Duration::from_secs(60),
            most: KEEP_ALIVE_LONGEST,
        }
    }
}

/// What was learned.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    bounds: Bounds,
    is_fixed: bool,
    now: Duration,
    /// It grows up to here. Less than what was forgotten before; that is tried again after many connections that held.
    most: Duration,
}

impl KeepAlive {
    /// As the settings have it, or to be learned.
    #[must_use]
    pub fn new(fixed: Option<Duration>, bounds: Bounds) -> Self {
        let now = fixed.unwrap_or(bounds.first);
        Self { bounds, is_fixed: fixed.is_some(), now, most: bounds.most }
    }

    /// Other settings: what was learned is given up for them, and learned anew when they leave it open again.
    pub fn set(&mut self, fixed: Option<Duration>) {
        if fixed.is_some() || self.is_fixed {
            *self = Self::new(fixed, self.bounds);
        }
    }

    /// For the next connection.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.now
    }

    /// A connection ended after so long, and whether by a try without an answer.
    pub fn ended(&mut self, lived: Duration, was_silent: bool) {
        if self.is_fixed {
            return;
        }
        let Bounds { least, step, most, .. } = self.bounds;
        if was_silent {
            self.most = self.now.saturating_sub(step).max(least);
            self.now = (self.now / 2).max(least);
        } else if lived >= self.now.saturating_mul(HELD) {
            self.now = self.now.saturating_add(step).min(self.most);
            self.most = self.most.saturating_add(step / 6).min(most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn seconds(keep_alive: &KeepAlive) -> u64 {
        keep_alive.interval().as_secs()
    }

    #[test]
    fn it_grows_with_connections_that_hold_and_shrinks_with_one_that_is_forgotten() {
        let mut learned = KeepAlive::new(None, Bounds::default());
        let mut seen = vec![seconds(&learned)];
        for _ in 0..3 {
            learned.ended(HOUR, false);
            seen.push(seconds(&learned));
        }
        assert_eq!(seen, [240, 300, 300, 300]);
        for expected in [150, 75, 60, 60] {
            learned.ended(HOUR, true);
            assert_eq!(seconds(&learned), expected);
        }
    }

    #[test]
    fn what_was_forgotten_is_not_tried_again_at_once_and_some_day_it_is() {
        let mut learned = KeepAlive::new(None, Bounds::default());
        learned.ended(HOUR, true);
        let mut seen = Vec::new();
        for _ in 0..30 {
            learned.ended(HOUR, false);
            seen.push(seconds(&learned));
        }
        assert!(seen.is_sorted() && seen[..5].iter().all(|seconds| *seconds < 240), "{seen:?}");
        assert_eq!(seen.last(), Some(&300));
    }

    #[test]
    fn a_short_connection_says_nothing_and_the_settings_are_kept_to() {
        let mut learned = KeepAlive::new(None, Bounds::default());
        learned.ended(Duration::from_secs(1_439), false);
        assert_eq!(seconds(&learned), 240);
        learned.ended(HOUR, true);
        learned.set(None);
        assert_eq!(seconds(&learned), 120, "settings that leave it open leave what was learned");
        learned.set(Some(Duration::from_secs(90)));
        assert_eq!(seconds(&learned), 90);
        learned.set(None);
        assert_eq!(seconds(&learned), 240);
        let mut fixed = KeepAlive::new(Some(Duration::from_secs(20)), Bounds::default());
        for was_silent in [true, false] {
            fixed.ended(HOUR, was_silent);
            assert_eq!(seconds(&fixed), 20);
        }
    }
}
