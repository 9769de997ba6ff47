//! What time it is, when the machine's clock may be wrong.
//!
//! A Raspberry Pi has no battery for its clock, a wrong NTP server moves a site to next year, and both would expire
//! every customer at once. [`ClockState`] is the pure decision: it believes a reading that two independent sources
//! share, carries time on by the monotonic clock while they disagree, and never goes backwards. [`TrustedClock`] is
//! the handle that reads the clocks. It refuses to set the machine's clock. Where the floor rests is `outbox/store.rs`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tawi_shared::{Clock, UnixMillis};
use tokio::time::Instant;

/// How far two sources may differ and still mean the same time. Subscriptions are sold by the hour at the finest, and
/// an NTP correction after a good start is seconds; a wrong year, month or time zone is more than this.
pub const TOLERANCE: Duration = Duration::from_secs(3_600);

/// How far ahead of the floor the machine's clock may be at start and be believed without a second source. An agent
/// that was off for longer than a billing month waits for the controller or a router to confirm the date.
/// The same holds ahead of the build date: a new agent has nothing to enforce before the controller speaks, and a far
/// year that it believed meanwhile would stay its floor. `link/tls.rs` sees to it that the controller can be heard.
pub const LONGEST_UNCONFIRMED_GAP: Duration = Duration::from_secs(35 * 86_400);

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

/// What the clock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The time to act on. Never before an earlier reading.
    pub now: UnixMillis,
    /// Whether the machine's clock or a confirmed source stands behind it. While `false`, time goes on from the last
    /// trusted instant by the monotonic clock.
    pub is_trusted: bool,
    /// How often time has leapt by more than [`TOLERANCE`], each time confirmed by a second source. What falls due in
    /// a leap is not what a waiting timer would have brought.
    pub leaps: u32,
}

/// A time heard from elsewhere, and when it was heard by the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Heard {
    time: UnixMillis,
    elapsed: Duration,
}

impl Heard {
    fn carried_to(self, elapsed: Duration) -> UnixMillis {
        self.time.plus(elapsed.saturating_sub(self.elapsed))
    }
}

/// The decision, as data: feed it readings, it answers with the time.
#[derive(Clone, Debug)]
pub struct ClockState {
    /// The last time given out, or the floor that was kept from the last run.
    last: UnixMillis,
    /// A trusted instant from which the monotonic clock carries on. It moves only when a second source confirms, so
    /// that many small jumps of the machine's clock count as the large one that they add up to.
    anchor: Option<Heard>,
    /// Whether a second source ever stood behind the anchor. A Pi without a battery starts from where it was switched
    /// off, so that its wall and monotonic clocks agree with each other and are both days late.
    is_anchor_confirmed: bool,
    /// Whether a reading was given out already.
    has_observed: bool,
    /// Where time is carried from until there is an anchor: the floor.
    start: Heard,
    controller: Option<Heard>,
    router: Option<Heard>,
    leaps: u32,
}

impl ClockState {
    /// A clock that starts at monotonic `elapsed` and will not show less than `floor`.
    #[must_use]
    pub fn new(floor: UnixMillis, elapsed: Duration) -> Self {
        Self {
            last: floor,
            anchor: None,
            is_anchor_confirmed: false,
            has_observed: false,
            start: Heard { time: floor, elapsed },
            controller: None,
            router: None,
            leaps: 0,
        }
    }

    /// Takes the controller's time. It came over a connection with both certificates checked.
    pub fn note_controller(&mut self, time: UnixMillis, elapsed: Duration) {
        self.controller = Some(Heard { time, elapsed });
    }

    /// Takes a router's time. It may confirm the machine's clock and is never followed alone: most routers have no
    /// battery for their clock either.
    pub fn note_router(&mut self, time: UnixMillis, elapsed: Duration) {
        self.router = Some(Heard { time, elapsed });
    }

    /// Decides what time it is. `elapsed` is the monotonic clock, from any origin that stays the same.
    pub fn observe(&mut self, system: UnixMillis, elapsed: Duration) -> Reading {
        let carried = self.anchor.unwrap_or(self.start).carried_to(elapsed);
        let controller = self.controller.map(|heard| heard.carried_to(elapsed));
        let router = self.router.map(|heard| heard.carried_to(elapsed));
        // Nothing confirms a time before the floor: a power cut takes the machine and the router back to 1970 together.
        let is_possible = |time: UnixMillis| time.plus(TOLERANCE) >= self.start.time;
        let is_confirmed = |time: UnixMillis| {
            is_possible(time)
                && (controller.is_some_and(|other| agree(time, other))
                    || router.is_some_and(|other| agree(time, other)))
        };
        let follows_itself = self.anchor.is_some() && agree(system, carried);
        let (chosen, is_trusted) = if is_confirmed(system) {
            self.settle(system, carried, elapsed);
            (system, true)
        } else if follows_itself && self.is_anchor_confirmed {
            (system, true)
        } else if let Some(controller) = controller.filter(|time| self.follows_controller(*time, carried)) {
            self.settle(controller, carried, elapsed);
            (controller, true)
        } else if follows_itself {
            (system, true)
        } else if self.anchor.is_none() && is_plausible_at_start(system, carried) {
            self.anchor = Some(Heard { time: system, elapsed });
            (system, true)
        } else {
            (carried, false)
        };
        self.has_observed = true;
        // An earlier reading may have been ahead by up to the tolerance; time then waits until the clocks catch up.
        self.last = self.last.max(chosen);
        Reading { now: self.last, is_trusted, leaps: self.leaps }
    }

    /// The least that a later run may show. A time that was not believed never raises it: a wrong year must not become
    /// the floor.
    #[must_use]
    pub fn floor(&self) -> UnixMillis {
        self.last
    }

    /// The controller is believed against the machine's clock when the monotonic clock agrees with it, or when nothing
    /// has confirmed a trusted instant yet and it is not before the floor. Against a confirmed instant that the
    /// monotonic clock carried on, it is one voice of three.
    fn follows_controller(&self, controller: UnixMillis, carried: UnixMillis) -> bool {
        agree(controller, carried) || (!self.is_anchor_confirmed && controller >= self.start.time)
    }

    /// Takes a time that two sources share, or that the controller alone gave where nothing better was known.
    fn settle(&mut self, time: UnixMillis, carried: UnixMillis, elapsed: Duration) {
        if self.has_observed && !agree(time, carried) {
            self.leaps = self.leaps.saturating_add(1);
        }
        self.anchor = Some(Heard { time, elapsed });
        self.is_anchor_confirmed = true;
    }
}

fn agree(one: UnixMillis, other: UnixMillis) -> bool {
    one.since(other).max(other.since(one)) <= TOLERANCE
}

fn is_plausible_at_start(system: UnixMillis, carried: UnixMillis) -> bool {
    system.plus(TOLERANCE) >= carried && system.since(carried) <= LONGEST_UNCONFIRMED_GAP
}

/// The agent's clock. Clones share one state.
#[derive(Clone, Debug)]
pub struct TrustedClock {
    clock: Clock,
    origin: Instant,
    state: Arc<Mutex<ClockState>>,
}

impl TrustedClock {
    /// Starts from the machine's clock and the floor that the store kept; the build date is a floor too.
    #[must_use]
    pub fn new(clock: Clock, floor: UnixMillis) -> Self {
        let state = ClockState::new(floor.max(build_date()), Duration::ZERO);
        Self { clock, origin: Instant::now(), state: Arc::new(Mutex::new(state)) }
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
        self.with_state(|state| state.observe(system, elapsed))
    }

    /// Takes the time that a message of the controller carried.
    pub fn note_controller_time(&self, time: UnixMillis) {
        let elapsed = self.origin.elapsed();
        self.with_state(|state| state.note_controller(time, elapsed));
    }

    /// Takes the time that a router showed, converted to UTC.
    pub fn note_router_time(&self, time: UnixMillis) {
        let elapsed = self.origin.elapsed();
        self.with_state(|state| state.note_router(time, elapsed));
    }

    /// The floor for the next run; the store keeps it.
    #[must_use]
    pub fn floor(&self) -> UnixMillis {
        self.with_state(|state| state.floor())
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut ClockState) -> T) -> T {
        // A panic elsewhere cannot leave the state half written: every change is one assignment.
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    /// The floor of every table; times below are relative to it.
    const FLOOR: i64 = 1_800_000_000_000;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// The machine shows floor + .0 at monotonic .1; expect floor + .2, trusted or not.
        See(i64, i64, i64, bool),
        Controller(i64, i64),
        Router(i64, i64),
    }
    use Step::{Controller, Router, See};

    fn check(name: &str, steps: &[Step]) -> ClockState {
        let mut state = ClockState::new(UnixMillis(FLOOR), Duration::ZERO);
        let mono = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap());
        for (index, step) in steps.iter().enumerate() {
            match *step {
                See(system, elapsed, now, is_trusted) => {
                    let reading = state.observe(UnixMillis(FLOOR + system), mono(elapsed));
                    assert_eq!(
                        (reading.now.0 - FLOOR, reading.is_trusted),
                        (now, is_trusted),
                        "{name}, step {index}"
                    );
                }
                Controller(time, elapsed) => state.note_controller(UnixMillis(FLOOR + time), mono(elapsed)),
                Router(time, elapsed) => state.note_router(UnixMillis(FLOOR + time), mono(elapsed)),
            }
        }
        state
    }

    #[test]
    fn a_good_clock_is_simply_believed() {
        check("steady", &[See(DAY, 0, DAY, true), See(DAY + 5_000, 5_000, DAY + 5_000, true)]);
        check("ntp corrects minutes", &[See(0, 0, 0, true), See(600_000, 1_000, 600_000, true)]);
        check(
            "slow by less than the tolerance",
            &[See(-60_000, 0, 0, true), See(1_000, 61_000, 1_000, true)],
        );
    }

    #[test]
    fn a_jump_that_nobody_confirms_does_not_move_time() {
        check(
            "a year ahead",
            &[
                See(0, 0, 0, true),
                See(365 * DAY, 1_000, 1_000, false),
                See(365 * DAY + 1, 60_000, 60_000, false),
            ],
        );
        check(
            "and back",
            &[See(0, 0, 0, true), See(9 * DAY, 1_000, 1_000, false), See(2_000, 2_000, 2_000, true)],
        );
        check("to 1970", &[See(0, 0, 0, true), See(-FLOOR, 10_000, 10_000, false)]);
    }

    #[test]
    fn many_small_jumps_count_as_one_large_one() {
        let half = HOUR / 2 + 60_000;
        check(
            "creeping",
            &[
                See(0, 0, 0, true),
                See(half, 1_000, half, true),
                See(2 * half, 2_000, half, false),
                See(3 * half, 3_000, half, false),
            ],
        );
    }

    #[test]
    fn a_second_source_confirms_a_jump() {
        let state = check(
            "controller",
            &[See(0, 0, 0, true), Controller(3 * DAY, 1_000), See(3 * DAY, 2_000, 3 * DAY, true)],
        );
        assert_eq!(state.leaps, 1);
        check("router", &[See(0, 0, 0, true), Router(3 * DAY, 1_000), See(3 * DAY, 2_000, 3 * DAY, true)]);
    }

    #[test]
    fn one_voice_of_three_is_not_followed() {
        check(
            "three opinions",
            &[
                Controller(0, 0),
                See(0, 0, 0, true),
                Controller(9 * DAY, 1_000),
                See(400 * DAY, 1_000, 1_000, false),
                See(2_000, 2_000, 2_000, true),
            ],
        );
        check(
            "a router alone",
            &[See(-FLOOR, 0, 0, false), Router(DAY, 0), See(-FLOOR, 1_000, 1_000, false)],
        );
    }

    #[test]
    fn the_controller_and_the_monotonic_clock_outvote_the_machine() {
        check(
            "wrong machine",
            &[See(0, 0, 0, true), Controller(1_000, 1_000), See(40 * DAY, 60_000, 60_000, true)],
        );
    }

    #[test]
    fn a_machine_that_wakes_in_1970_takes_the_controllers_time_as_soon_as_it_hears_it() {
        check(
            "no battery",
            &[
                See(-FLOOR, 0, 0, false),
                See(-FLOOR + 60_000, 60_000, 60_000, false),
                Controller(2 * DAY, 61_000),
                See(-FLOOR + 62_000, 62_000, 2 * DAY + 1_000, true),
            ],
        );
    }

    #[test]
    fn a_machine_that_wakes_in_a_far_year_is_not_believed_alone_and_does_not_raise_the_floor() {
        let state =
            check("battery gone", &[See(9_000 * DAY, 0, 0, false), See(9_000 * DAY, 5_000, 5_000, false)]);
        assert_eq!(state.floor(), UnixMillis(FLOOR + 5_000));
    }

    #[test]
    fn a_machine_that_woke_days_late_follows_the_controller_against_its_own_two_clocks() {
        let state = check(
            "saved at shutdown",
            &[See(0, 0, 0, true), Controller(3 * DAY, 5_000), See(6_000, 6_000, 3 * DAY + 1_000, true)],
        );
        assert_eq!(state.leaps, 1, "what falls due in it was not waited for");
    }

    #[test]
    fn time_never_goes_backwards() {
        check(
            "a clock set back by a confirmed correction",
            &[
                See(0, 0, 0, true),
                See(50 * 60_000, 1_000, 50 * 60_000, true),
                See(2_000, 2_000, 50 * 60_000, true),
            ],
        );
    }

    #[test]
    fn no_wrong_clock_expires_anybody() {
        const YEAR: i64 = 365 * DAY;
        check(
            "power cut, 1970, and a router that was off too",
            &[
                See(-FLOOR, 0, 0, false),
                Router(-FLOOR + 1_000, 1_000),
                See(-FLOOR + 60_000, 60_000, 60_000, false),
                // The router finds its time server, and the machine does.
                Router(DAY, 61_000),
                See(-FLOOR + 62_000, 62_000, 62_000, false),
                See(DAY + 2_000, 63_000, DAY + 2_000, true),
            ],
        );
        check(
            "a year ahead, router right",
            &[
                See(0, 0, 0, true),
                Router(1_000, 1_000),
                See(YEAR, 2_000, 2_000, false),
                See(YEAR + DAY, DAY, DAY, false),
            ],
        );
        check(
            "a year back, router right",
            &[
                See(0, 0, 0, true),
                Router(1_000, 1_000),
                See(-YEAR, 2_000, 2_000, false),
                See(3_000, 3_000, 3_000, true),
            ],
        );
        check(
            "a year back, router away, controller heard",
            &[
                See(0, 0, 0, true),
                See(-YEAR, 2_000, 2_000, false),
                Controller(3_000, 3_000),
                See(-YEAR, 4_000, 4_000, true),
            ],
        );
        check(
            "a wrong router beside a right machine",
            &[
                See(0, 0, 0, true),
                Router(YEAR, 1_000),
                See(2_000, 2_000, 2_000, true),
                Router(-FLOOR, 3_000),
                See(4_000, 4_000, 4_000, true),
            ],
        );
        check(
            "both wrong in different ways and nobody else heard",
            &[
                See(0, 0, 0, true),
                Router(YEAR, 1_000),
                See(2 * YEAR, 2_000, 2_000, false),
                See(2 * YEAR, DAY, DAY, false),
            ],
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_handle_goes_on_by_the_monotonic_clock_while_the_wall_clock_is_wrong() {
        let start = build_date().plus(Duration::from_secs(86_400));
        let hands = Clock::manual(start);
        let clock = TrustedClock::new(hands.clone(), start);
        assert_eq!(clock.now(), start);
        hands.advance(Duration::from_secs(90 * 86_400));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(
            clock.reading(),
            Reading { now: start.plus(Duration::from_secs(60)), is_trusted: false, leaps: 0 }
        );
        clock.note_controller_time(hands.now());
        assert!(clock.reading().is_trusted);
        assert_eq!((clock.now(), clock.floor()), (hands.now(), hands.now()));
    }
}
