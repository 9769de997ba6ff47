//! What may be told next, and what is still unanswered. Pure: times are counted from the start of the connection.
//!
//! A lane is silent until the controller's first cursor of this connection says where it stands. After that at most
//! [`WINDOW`] records are unanswered over all lanes, and usage leaves some of it to events, so that a backlog of
//! totals never stands before "customer online". The log is told while the others have nothing to say and nothing
//! unanswered. Hello and acks are not counted here: they are said at once.
//!
//! Few records at a time are told lightly: the cursor answers them, and the broker's own acknowledgements, one in each
//! direction, would be a third of what a report takes on the line. A light word can be lost on the way, and overtaken by one
//! that is not: so they are never mixed while any is unanswered. What is not answered soon is told once more and with
//! acknowledgements, and so is everything after it.

use std::collections::VecDeque;
use std::time::Duration;

use tawi_shared::wire::Lane;

use super::budget::Allowance;

/// Records that may be unanswered. Far below what rumqttc has in flight, so that its packet ids never collide.
pub const WINDOW: usize = 16;
/// What of it usage may take.
pub const USAGE_WINDOW: usize = 12;
/// What of it the log may take.
pub const LOG_WINDOW: usize = 4;
/// Records that are told lightly at a time: the events and the totals of a few sessions. A crowd that comes back with backlogs is
/// not, and fills no queue on the way.
pub const LIGHT_WINDOW: usize = 6;
/// How long what was told lightly may stay unanswered.
pub const LIGHT_DEADLINE: Duration = Duration::from_secs(15);
/// A connection on which something stays unanswered for so long is dead, or its controller is.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(45);

#[derive(Clone, Debug, Default)]
struct LaneWindow {
    /// Whether the controller has said in this connection where it stands.
    is_heard: bool,
    /// The highest position that was told or confirmed.
    told: u64,
    /// What is unanswered: position and time.
    unanswered: VecDeque<(u64, Duration)>,
}

/// What is unanswered on one connection.
#[derive(Clone, Debug, Default)]
pub struct Window {
    event: LaneWindow,
    usage: LaneWindow,
    log: LaneWindow,
    hello_at: Option<Duration>,
    /// Whether what is unanswered was told lightly.
    is_light: bool,
    /// Something was not answered in time: nothing is light any more.
    is_doubted: bool,
}

/// What to tell next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Of which lane.
    pub lane: Lane,
    /// Records with positions after this one.
    pub after: u64,
    /// At most so many.
    pub limit: u64,
}

/// What may be told now, over all lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// The lanes in which anything may wait: events before usage, and the log alone.
    lanes: Vec<Next>,
    /// At most so many records of all together.
    free: u64,
    /// Of the backlog and of the log at most so many bytes, give or take a record.
    backlog_bytes: u64,
}

impl Room {
    /// Whether nothing may be told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Of the backlog and of the log at most so many bytes.
    #[must_use]
    pub fn backlog_bytes(&self) -> u64 {
        self.backlog_bytes
    }

    /// As far as the line's budget goes: events wait for nobody.
    #[must_use]
    pub fn within(mut self, allowance: Allowance) -> Self {
        self.lanes.retain(|next| match next.lane {
            Lane::Event => true,
            Lane::Usage => allowance.fresh,
            Lane::Log => allowance.backlog_bytes > 0,
        });
        self.backlog_bytes = allowance.backlog_bytes;
        self
    }

    /// Takes records of each lane, as many as there is room for; with what was asked of each.
    ///
    /// # Errors
    /// The first of `take`.
    pub fn fill<T, E>(
        &self,
        mut take: impl FnMut(Next) -> Result<Vec<T>, E>,
    ) -> Result<Vec<(Next, Vec<T>)>, E> {
        let mut taken = Vec::with_capacity(self.lanes.len());
        let mut free = self.free;
        for lane in &self.lanes {
            let next = Next { limit: lane.limit.min(free), ..*lane };
            if next.limit == 0 {
                break;
            }
            let records = take(next)?;
            free = free.saturating_sub(u64::try_from(records.len()).unwrap_or(u64::MAX));
            taken.push((next, records));
        }
        Ok(taken)
    }
}

impl Window {
    /// Hello was said, or said again: lanes wait for their cursors, and nothing counts as told.
    pub fn hello(&mut self, now: Duration) {
        *self = Self { hello_at: Some(now), is_doubted: self.is_doubted, ..Self::default() };
    }

    /// What may be told next, given in which lanes anything may wait.
    #[must_use]
    pub fn room(&self, events_wait: bool, usage_waits: bool, log_waits: bool) -> Room {
        let busy = self.event.unanswered.len().saturating_add(self.usage.unanswered.len());
        let unanswered = self.unanswered();
        let most = if self.is_light && unanswered > 0 { LIGHT_WINDOW } else { WINDOW };
        let free = most.saturating_sub(unanswered);
        let usage_free = free.min(USAGE_WINDOW.saturating_sub(self.usage.unanswered.len()));
        let ask = |lane, window: &LaneWindow, limit: usize| Next {
            lane,
            after: window.told,
            limit: u64::try_from(limit).unwrap_or(0),
        };
        let mut lanes = Vec::new();
        if events_wait && self.event.is_heard && free > 0 {
            lanes.push(ask(Lane::Event, &self.event, free));
        }
        if usage_waits && self.usage.is_heard && usage_free > 0 {
            lanes.push(ask(Lane::Usage, &self.usage, usage_free));
        }
        let is_idle = busy == 0 && !events_wait && !usage_waits;
        let log_free = free.min(LOG_WINDOW.saturating_sub(self.log.unanswered.len()));
        if log_waits && is_idle && self.log.is_heard && log_free > 0 {
            lanes.push(ask(Lane::Log, &self.log, log_free));
        }
        Room { lanes, free: u64::try_from(free).unwrap_or(0), backlog_bytes: u64::MAX }
    }

    /// So many records are told next; whether they are told lightly.
    pub fn begin(&mut self, records: usize) -> bool {
        if self.unanswered() == 0 {
            self.is_light = !self.is_doubted && records <= LIGHT_WINDOW;
        }
        self.is_light
    }

    /// Whether something light went unanswered for too long. It counts as not told from here on, and nothing is light any more.
    pub fn doubts(&mut self, now: Duration) -> bool {
        let is_late = |at: Duration| now.saturating_sub(at) > LIGHT_DEADLINE;
        if self.is_doubted || !self.is_light || !self.oldest_told().is_some_and(is_late) {
            return false;
        }
        self.is_doubted = true;
        for lane in [&mut self.event, &mut self.usage, &mut self.log] {
            if let Some((first, _)) = lane.unanswered.front() {
                lane.told = first.saturating_sub(1);
                lane.unanswered.clear();
            }
        }
        true
    }

    /// A record was told.
    pub fn told(&mut self, lane: Lane, seq: u64, now: Duration) {
        let window = self.lane(lane);
        window.told = window.told.max(seq);
        window.unanswered.push_back((seq, now));
    }

    /// The controller has committed all positions up to `cursor`.
    pub fn cursor(&mut self, lane: Lane, cursor: u64) {
        let window = self.lane(lane);
        window.is_heard = true;
        window.told = window.told.max(cursor);
        window.unanswered.retain(|(seq, _)| *seq > cursor);
        if self.event.is_heard && self.usage.is_heard {
            self.hello_at = None;
        }
    }

    /// Whether the controller has answered the hello for the lanes that matter.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.event.is_heard && self.usage.is_heard
    }

    /// How many records are unanswered.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        [&self.event, &self.usage, &self.log].iter().map(|lane| lane.unanswered.len()).sum()
    }

    /// Whether something has been unanswered for too long.
    #[must_use]
    pub fn is_overdue(&self, now: Duration) -> bool {
        let oldest = self.oldest_told().into_iter().chain(self.hello_at).min();
        oldest.is_some_and(|at| now.saturating_sub(at) > ANSWER_DEADLINE)
    }

    /// When the oldest record was told that is unanswered.
    fn oldest_told(&self) -> Option<Duration> {
        let oldest = |window: &LaneWindow| window.unanswered.front().map(|(_, at)| *at);
        [&self.event, &self.usage, &self.log].into_iter().filter_map(oldest).min()
    }

    fn lane(&mut self, lane: Lane) -> &mut LaneWindow {
        match lane {
            Lane::Event => &mut self.event,
            Lane::Usage => &mut self.usage,
            Lane::Log => &mut self.log,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    enum Step {
        Hello,
        Tell(Lane, u64),
        Cursor(Lane, u64),
    }
    use Lane::{Event, Log, Usage};
    use Step::{Cursor, Hello, Tell};

    fn after(steps: &[Step]) -> Window {
        let mut window = Window::default();
        for step in steps {
            match step {
                Hello => window.hello(NOW),
                Tell(lane, seq) => window.told(*lane, *seq, NOW),
                Cursor(lane, seq) => window.cursor(*lane, *seq),
            }
        }
        window
    }

    #[test]
    fn what_is_told_next() {
        let check = |steps: &[Step], waits: (bool, bool), expected: &[(Lane, u64, u64)]| {
            let room = after(steps).room(waits.0, waits.1, false);
            let lanes: Vec<_> = room.lanes.iter().map(|next| (next.lane, next.after, next.limit)).collect();
            assert_eq!(lanes, expected);
        };
        check(&[Hello], (true, true), &[]);
        check(&[Hello, Cursor(Usage, 0)], (true, true), &[(Usage, 0, 12)]);
        let both = [Hello, Cursor(Usage, 7), Cursor(Event, 3)];
        check(&both, (true, true), &[(Event, 3, 16), (Usage, 7, 12)]);
        check(&both, (false, true), &[(Usage, 7, 12)]);
        check(&both, (false, false), &[]);
        let mut full: Vec<Step> = vec![Hello, Cursor(Usage, 0), Cursor(Event, 0)];
        full.extend((1..=12).map(|seq| Tell(Usage, seq)));
        check(&full, (false, true), &[]);
        check(&full, (true, true), &[(Event, 0, 4)]);
        full.extend((1..=4).map(|seq| Tell(Event, seq)));
        check(&full, (true, true), &[]);
        full.push(Cursor(Usage, 5));
        check(&full, (true, true), &[(Event, 4, 5), (Usage, 12, 5)]);
        check(&full, (false, true), &[(Usage, 12, 5)]);
        full.push(Hello);
        check(&full, (true, true), &[]);
    }

    #[test]
    fn little_is_told_lightly_and_never_mixed_with_what_is_not() {
        let mut window = after(&[Hello, Cursor(Usage, 4), Cursor(Event, 7)]);
        let limit = |window: &Window| {
            let room = window.room(true, true, false);
            (room.free, room.lanes.first().map(|next| next.limit))
        };
        assert_eq!(limit(&window), (16, Some(16)));
        assert!(window.begin(1));
        window.told(Event, 8, NOW);
        assert_eq!(limit(&window), (5, Some(5)), "more waits until it is answered");
        assert!(window.begin(5));
        (5..10).for_each(|seq| window.told(Usage, seq, NOW));
        assert_eq!(limit(&window), (0, None));
        window.cursor(Event, 8);
        window.cursor(Usage, 9);
        assert_eq!(limit(&window), (16, Some(16)));
        assert!(!window.begin(7), "a backlog is acknowledged");
        window.told(Event, 9, NOW);
        assert!(!window.begin(1), "and what comes behind it");
        assert_eq!(limit(&window), (15, Some(15)));
    }

    #[test]
    fn what_is_not_answered_soon_is_told_again_with_acknowledgements() {
        let late = NOW + LIGHT_DEADLINE + Duration::from_millis(1);
        let mut window = after(&[Hello, Cursor(Usage, 4), Cursor(Event, 7)]);
        assert!(window.begin(2));
        window.told(Event, 8, NOW);
        window.told(Usage, 5, NOW);
        window.cursor(Event, 8);
        assert!(!window.doubts(NOW + LIGHT_DEADLINE));
        assert!(window.doubts(late));
        assert!(!window.doubts(late), "once");
        assert_eq!(window.unanswered(), 0);
        let room = window.room(true, true, false);
        let after: Vec<_> = room.lanes.iter().map(|next| (next.lane, next.after, next.limit)).collect();
        assert_eq!(after, [(Event, 8, 16), (Usage, 4, 12)]);
        // Told again, and in silence still: the connection is dead.
        assert!(!window.begin(1));
        window.told(Usage, 5, late);
        assert!(!window.is_overdue(late + ANSWER_DEADLINE));
        assert!(window.is_overdue(late + ANSWER_DEADLINE + Duration::from_millis(1)));
        window.cursor(Usage, 6);
        assert!(!window.begin(1), "this connection loses words");
        window.hello(late);
        assert!(!window.begin(1));
    }

    #[test]
    fn both_lanes_together_never_exceed_the_window_and_events_go_first() {
        let room = after(&[Hello, Cursor(Usage, 0), Cursor(Event, 0)]).room(true, true, false);
        let check = |events_waiting: usize, usage_waiting: usize, expected: &[(Lane, u64, usize)]| {
            let take = |next: Next| {
                let waiting = if next.lane == Event { events_waiting } else { usage_waiting };
                Ok::<_, ()>(vec![(); waiting.min(usize::try_from(next.limit).unwrap())])
            };
            let taken = room.fill(take).unwrap();
            let taken: Vec<_> =
                taken.iter().map(|(next, records)| (next.lane, next.limit, records.len())).collect();
            assert_eq!(taken, expected);
        };
        check(0, 99, &[(Event, 16, 0), (Usage, 12, 12)]);
        check(2, 99, &[(Event, 16, 2), (Usage, 12, 12)]);
        check(9, 99, &[(Event, 16, 9), (Usage, 7, 7)]);
        check(99, 99, &[(Event, 16, 16)]);
    }

    #[test]
    fn the_log_is_told_while_nothing_else_waits() {
        let check = |steps: Vec<Step>, waits: (bool, bool), expected: &[(Lane, u64, u64)]| {
            let heard = [Hello, Cursor(Event, 0), Cursor(Usage, 0), Cursor(Log, 5)];
            let steps: Vec<Step> = heard.into_iter().chain(steps).collect();
            let room = after(&steps).room(waits.0, waits.1, true);
            let lanes: Vec<_> = room.lanes.iter().map(|next| (next.lane, next.after, next.limit)).collect();
            assert_eq!(lanes, expected);
        };
        check(vec![], (false, false), &[(Log, 5, 4)]);
        check(vec![], (true, false), &[(Event, 0, 16)]);
        check(vec![], (false, true), &[(Usage, 0, 12)]);
        check(vec![Tell(Event, 1)], (false, false), &[]);
        check(vec![Tell(Event, 1), Cursor(Event, 1)], (false, false), &[(Log, 5, 4)]);
        let told = || (6..=9).map(|seq| Tell(Log, seq)).collect::<Vec<_>>();
        check(told(), (false, false), &[]);
        check(told(), (true, true), &[(Event, 0, 12), (Usage, 0, 12)]);
        check(told().into_iter().chain([Cursor(Log, 8)]).collect(), (false, false), &[(Log, 9, 3)]);
    }

    #[test]
    fn a_silent_controller_is_noticed_after_45_seconds() {
        let late = NOW + ANSWER_DEADLINE + Duration::from_millis(1);
        assert!(after(&[Hello]).is_overdue(late));
        assert!(!after(&[Hello]).is_overdue(NOW + ANSWER_DEADLINE));
        assert!(after(&[Hello, Cursor(Event, 0)]).is_overdue(late), "both lanes must be answered");
        let answered = [Hello, Cursor(Event, 0), Cursor(Usage, 0)];
        assert!(!after(&answered).is_overdue(late) && after(&answered).is_answered());
        let mut told: Vec<Step> = answered.into();
        told.push(Tell(Event, 1));
        assert!(after(&told).is_overdue(late));
        told.push(Cursor(Event, 1));
        assert!(!after(&told).is_overdue(late));
    }
}
