//! How long to wait until the next sample of usage.
//!
//! Pure. Three things count: the configured pause, how busy the router is, and how soon a line may have used up its
//! quota. Near a quota samples come closer, so that what is moved beyond it stays small; a busy router is asked less
//! often whatever the quotas say, because a router that stalls serves nobody. Taking the sample is the module's.

use std::time::Duration;

/// The shortest pause, unless a shorter one is configured.
pub const LEAST: Duration = Duration::from_secs(10);
/// The longest pause, unless a longer one is configured.
pub const MOST: Duration = Duration::from_secs(60);
/// A sample may take this share of the router's time: one part in ten.
pub const PAUSE_PER_SAMPLE: u32 = 10;
/// A processor that is busier than this, in per cent, is asked half as often …
const BUSY_PERCENT: u64 = 60;
/// … and above this as seldom as can be. Routers drop packets from about here on.
const STRAINED_PERCENT: u64 = 85;

/// What the last sample showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// How long it took.
    pub took: Duration,
    /// The router's `cpu-load`; `None` where it does not say.
    pub cpu_percent: Option<u64>,
    /// When the first line will have used up its quota at the pace of the last sample; `None` where none is near.
    pub nearest_quota: Option<Duration>,
}

/// The pause between the starts of two samples. `usual` is the configured one: 30 s unless the file says otherwise.
#[must_use]
pub fn pause(usual: Duration, observed: Observed) -> Duration {
    let (least, most) = (LEAST.min(usual), MOST.max(usual));
    let cpu_percent = observed.cpu_percent.unwrap_or(0);
    let by_load = if cpu_percent > STRAINED_PERCENT {
        most
    } else if cpu_percent > BUSY_PERCENT {
        usual.saturating_mul(2).min(most)
    } else {
        usual
    };
    let by_quota = match observed.nearest_quota {
        Some(left) if cpu_percent <= STRAINED_PERCENT => left.clamp(least, by_load),
        _ => by_load,
    };
    // Never more than its share of the router's time, and then the bound gives way too.
    by_quota.max(observed.took.saturating_mul(PAUSE_PER_SAMPLE))
}

/// When `left_bytes` are used up at the pace of the last sample; `None` where nothing moved.
#[must_use]
pub fn time_left(left_bytes: u64, moved_bytes: u64, within: Duration) -> Option<Duration> {
    let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let left =
        u128::from(left_bytes).saturating_mul(u128::from(millis)).checked_div(u128::from(moved_bytes))?;
    Some(Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX)))
}

/// Samples that a router refuses in a row. News, and a period that has begun, ask for the next one at once; what was just
/// refused would be refused again.
#[derive(Debug, Default)]
pub struct Refusals {
    count: u32,
    cause: String,
}

impl Refusals {
    /// Notes one; whether its cause is another than before, and worth a word.
    pub fn note(&mut self, cause: &str) -> bool {
        self.count = self.count.saturating_add(1);
        let is_news = self.cause != cause;
        cause.clone_into(&mut self.cause);
        is_news
    }

    /// How long to wait after them: a second, doubled each time, up to the ordinary pause.
    #[must_use]
    pub fn wait(&self, interval: Duration) -> Duration {
        let doubled = |count: u32| Duration::from_secs(1).saturating_mul(1_u32 << count.min(16));
        self.count.checked_sub(1).map_or(Duration::ZERO, |count| doubled(count).min(interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_pause_follows_the_load_and_the_nearest_quota_within_its_bounds() {
        let check = |usual, took_ms, cpu_percent, nearest: Option<u64>, expected| {
            let observed = Observed {
                took: Duration::from_millis(took_ms),
                cpu_percent,
                nearest_quota: nearest.map(seconds),
            };
            assert_eq!(pause(seconds(usual), observed), seconds(expected), "{observed:?}");
        };
        check(30, 100, None, None, 30);
        check(30, 100, Some(60), None, 30);
        check(30, 100, Some(61), None, 60);
        check(20, 100, Some(61), None, 40);
        check(20, 100, Some(86), None, 60);
        // A quota that is near.
        check(30, 100, Some(5), Some(3_600), 30);
        check(30, 100, Some(5), Some(17), 17);
        check(30, 100, Some(5), Some(0), 10);
        check(30, 100, Some(70), Some(45), 45);
        check(30, 100, Some(90), Some(0), 60);
        // A sample that takes long.
        check(30, 2_000, Some(5), Some(0), 20);
        check(30, 9_000, Some(5), None, 90);
        // Whoever configured more or less than the bounds has it.
        check(5, 100, None, Some(0), 5);
        check(300, 100, None, None, 300);
        check(300, 100, Some(90), None, 300);
        check(300, 100, None, Some(0), 10);
    }

    #[test]
    fn what_is_left_is_measured_by_what_was_moved() {
        assert_eq!(time_left(100, 50, seconds(10)), Some(seconds(20)));
        assert_eq!(time_left(0, 50, seconds(10)), Some(seconds(0)));
        assert_eq!(time_left(100, 0, seconds(10)), None);
        assert_eq!(time_left(u64::MAX, 1, seconds(10)), Some(Duration::from_millis(u64::MAX)));
    }

    #[test]
    fn a_sample_that_is_refused_again_waits_ever_longer_and_each_cause_is_said_once() {
        let (mut refusals, interval) = (Refusals::default(), Duration::from_secs(30));
        assert_eq!(refusals.wait(interval), Duration::ZERO);
        let said: Vec<(bool, u64)> = ["a", "a", "a", "b", "b", "a", "a"]
            .iter()
            .map(|cause| (refusals.note(cause), refusals.wait(interval).as_secs()))
            .collect();
        let expected = [(true, 1), (false, 2), (false, 4), (true, 8), (false, 16), (true, 30), (false, 30)];
        assert_eq!(said, expected);
        for _ in 0..100 {
            refusals.note("a");
        }
        assert_eq!(refusals.wait(interval), interval);
    }
}
