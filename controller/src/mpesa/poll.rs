//! When Daraja is asked about a prompt that nothing was heard of. Pure.
//!
//! A callback usually lands 10 to 30 s after the push; Safaricom drops it for good when it cannot deliver it. So a
//! prompt is asked about at +20, +35, +60 and +90 s, +3, +10 and +30 min, and then given up, though still payable.

use std::time::Duration;

use tawi_shared::UnixMillis;

/// When queries are due, counted from the request.
const SCHEDULE: [Duration; 7] = [
    Duration::from_secs(20),
    Duration::from_secs(35),
    Duration::from_secs(60),
    Duration::from_secs(90),
    Duration::from_secs(3 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
];
/// From the last query to giving up: long enough for its answer.
const LAST_WORD: Duration = Duration::from_secs(60);
/// The least time between two queries about one prompt, when some are overdue.
const GAP: Duration = Duration::from_secs(10);

/// Whether all queries have been sent.
#[must_use]
pub fn is_over(queries_sent: u32) -> bool {
    usize::try_from(queries_sent).is_ok_and(|sent| sent >= SCHEDULE.len())
}

/// When the next query is due, or, after the last, when to give up. Never within 10 s of `now` if it is overdue, so
/// that a controller that was down does not ask everything at once.
#[must_use]
pub fn next_step_at(requested_at: UnixMillis, queries_sent: u32, now: UnixMillis) -> UnixMillis {
    let sent = usize::try_from(queries_sent).unwrap_or(usize::MAX);
    match SCHEDULE.get(sent) {
        None => gives_up_at(requested_at).max(now.plus(GAP)),
        Some(offset) if requested_at.plus(*offset) > now => requested_at.plus(*offset),
        Some(_) => now.plus(GAP),
    }
}

/// When nothing more is asked.
#[must_use]
pub fn gives_up_at(requested_at: UnixMillis) -> UnixMillis {
    let last = SCHEDULE.last().copied().unwrap_or_default();
    requested_at.plus(last).plus(LAST_WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> UnixMillis {
        UnixMillis(seconds * 1_000)
    }

    #[test]
    fn queries_follow_the_schedule_and_then_end() {
        let requested = seconds(1_000);
        let mut now = requested;
        let mut asked = Vec::new();
        let mut sent = 0;
        while !is_over(sent) {
            now = next_step_at(requested, sent, now);
            asked.push((now.0 - requested.0) / 1_000);
            sent += 1;
        }
        assert_eq!(asked, [20, 35, 60, 90, 180, 600, 1_800]);
        assert_eq!(next_step_at(requested, sent, now), seconds(1_000 + 1_860));
        assert_eq!(gives_up_at(requested), seconds(1_000 + 1_860));
    }

    #[test]
    fn overdue_queries_keep_their_distance() {
        let requested = seconds(0);
        assert_eq!(next_step_at(requested, 1, seconds(500)), seconds(510));
        assert_eq!(next_step_at(requested, 7, seconds(5_000)), seconds(5_010));
        assert_eq!(next_step_at(requested, u32::MAX, seconds(0)), seconds(1_860));
    }
}
