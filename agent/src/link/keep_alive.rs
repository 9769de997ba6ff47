//! How often a silent connection is tried: seldom enough for a metered line, often enough for whatever forgets it. Pure.
//!
//! A try is 256 bytes on the line at the most, so that one each minute is 11 MB a month, and one each five minutes is 2.2. A
//! carrier's address translation that forgets the connection sooner shows as a try without an answer: then it is tried more
//! often, and from there less often again as long as connections hold. Learned from connection to connection; a restart begins
//! anew.

use std::time::Duration;

use tawi_shared::KEEP_ALIVE_LONGEST;

/// The shortest.
const LEAST: Duration = Duration::from_secs(60);
/// Of the first connection.
const FIRST: Duration = Duration::from_secs(240);
/// By how much it grows after a connection that held.
const STEP: Duration = Duration::from_secs(60);
/// How many tries a connection must have outlived to have held.
const HELD: u32 = 6;

/// What was learned.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    is_fixed: bool,
    now: Duration,
    /// It grows up to here. Less than what was forgotten before; that is tried again after many connections that held.
    most: Duration,
}

impl KeepAlive {
    /// As the settings have it, or to be learned.
    #[must_use]
    pub fn new(fixed: Option<Duration>) -> Self {
        let now = fixed.unwrap_or(FIRST);
        Self { is_fixed: fixed.is_some(), now, most: KEEP_ALIVE_LONGEST }
    }

    /// Other settings: what was learned is given up for them, and learned anew when they leave it open again.
    pub fn set(&mut self, fixed: Option<Duration>) {
        if fixed.is_some() || self.is_fixed {
            *self = Self::new(fixed);
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
        if was_silent {
            self.most = self.now.saturating_sub(STEP).max(LEAST);
            self.now = (self.now / 2).max(LEAST);
        } else if lived >= self.now.saturating_mul(HELD) {
            self.now = self.now.saturating_add(STEP).min(self.most);
            self.most = self.most.saturating_add(STEP / 6).min(KEEP_ALIVE_LONGEST);
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
        let mut learned = KeepAlive::new(None);
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
        let mut learned = KeepAlive::new(None);
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
        let mut learned = KeepAlive::new(None);
        learned.ended(Duration::from_secs(1_439), false);
        assert_eq!(seconds(&learned), 240);
        learned.ended(HOUR, true);
        learned.set(None);
        assert_eq!(seconds(&learned), 120, "settings that leave it open leave what was learned");
        learned.set(Some(Duration::from_secs(90)));
        assert_eq!(seconds(&learned), 90);
        learned.set(None);
        assert_eq!(seconds(&learned), 240);
        let mut fixed = KeepAlive::new(Some(Duration::from_secs(20)));
        for was_silent in [true, false] {
            fixed.ended(HOUR, was_silent);
            assert_eq!(seconds(&fixed), 20);
        }
    }
}
