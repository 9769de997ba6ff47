//! Whatever one wrong clock does, and how a wrong time heals: random histories of machine, router and head office.
//!
//! Each is made from its number alone, which is named where one fails. The rules one by one are tables in `tests.rs`.

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const START: i64 = 1_800_000_000_000;
const HISTORIES: u64 = 3_000;

/// A generator that a number makes (splitmix64).
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: i64) -> i64 {
        i64::try_from(self.throw() % u64::try_from(end).unwrap()).unwrap()
    }

    /// How far a wrong clock is off: minutes, hours, days, a year, 1970; or as far as before and a little more.
    fn lie(&mut self, before: i64) -> i64 {
        let far = match self.below(6) {
            0 => self.below(HOUR),
            1 => self.below(DAY),
            2 => self.below(40 * DAY),
            3 => 365 * DAY,
            4 => return -START,
            _ => return before + self.below(2 * HOUR) - HOUR,
        };
        if self.below(2) == 0 { far } else { -far }
    }

    fn jitter(&mut self) -> i64 {
        self.below(40_000) - 20_000
    }
}

/// A site, its three clocks, and the truth.
struct World {
    state: ClockState,
    dice: Dice,
    passed: i64,
    /// For how long the router had been up.
    up: Duration,
    reading: Option<Reading>,
}

#[derive(Clone, Copy, Default)]
struct Offsets {
    machine: i64,
    router: i64,
    office: i64,
}

impl World {
    fn new(number: u64, floor: i64) -> Self {
        let kept = KeptTime { floor: UnixMillis(START + floor), vouched: None, leap_in_doubt: None };
        let state = ClockState::new(UnixMillis(START - 400 * DAY), kept, Duration::ZERO);
        Self { state, dice: Dice(number), passed: 0, up: 9 * TOLERANCE, reading: None }
    }

    /// So much later everybody speaks, so far off.
    fn speak(&mut self, later: i64, off: Offsets) {
        self.passed += later;
        let elapsed = Duration::from_millis(u64::try_from(self.passed).unwrap());
        let time = |off: i64| UnixMillis(START + self.passed + off);
        self.state.note_router("core", time(off.router), Some(self.up + elapsed), elapsed);
        self.state.note_controller(time(off.office), elapsed);
        self.reading = Some(self.state.observe(time(off.machine), elapsed));
    }

    /// How far the time is ahead of the truth.
    fn ahead(&self) -> i64 {
        self.reading.unwrap().now.0 - START - self.passed
    }

    fn honest(&mut self) -> Offsets {
        Offsets { machine: self.dice.jitter(), router: self.dice.jitter(), office: self.dice.jitter() }
    }

    /// A while in which everybody may say anything.
    fn lie_all(&mut self) {
        let mut off = Offsets::default();
        for _ in 0..self.dice.below(30) {
            match self.dice.below(4) {
                0 => off.machine = self.dice.lie(off.machine),
                1 => off.router = self.dice.lie(off.router),
                2 => off.office = self.dice.lie(off.office),
                _ => off = Offsets { router: off.machine, ..off },
            }
            let later = self.dice.below(HOUR);
            self.speak(later, off);
        }
    }
}

const SLACK: i64 = 2 * MINUTE;

#[test]
fn one_wrong_clock_of_three_never_moves_the_time() {
    for number in 0..HISTORIES {
        let mut world = World::new(number, 0);
        let liar = world.dice.below(3);
        let off = world.honest();
        world.speak(0, off);
        let mut lie = 0;
        for step in 0..40 {
            if world.dice.below(3) == 0 {
                lie = world.dice.lie(lie);
            }
            let mut off = world.honest();
            *[&mut off.machine, &mut off.router, &mut off.office][usize::try_from(liar).unwrap()] = lie;
            let later = world.dice.below(3 * HOUR);
            world.speak(later, off);
            let ahead = world.ahead();
            assert!(
                ahead.abs() <= HOUR + SLACK,
                "history {number}, liar {liar}, step {step}: {} s off by {} s",
                lie / 1_000,
                ahead / 1_000
            );
        }
    }
}

#[test]
fn a_wrong_time_heals_at_once_when_head_office_and_another_are_right() {
    for number in 0..HISTORIES {
        let floor = Dice(!number).lie(0).max(-90 * DAY);
        let mut world = World::new(number, floor);
        world.lie_all();
        let mut off = world.honest();
        match world.dice.below(3) {
            0 => off.machine = world.dice.lie(0),
            1 => off.router = world.dice.lie(0),
            _ => {}
        }
        world.speak(1_000, off);
        assert!(world.ahead().abs() <= SLACK, "history {number}: off by {} s", world.ahead() / 1_000);
    }
}

#[test]
fn nobody_is_off_for_longer_than_minutes_while_head_office_alone_knows_the_time() {
    for number in 0..HISTORIES {
        let floor = Dice(!number).lie(0).max(-90 * DAY);
        let mut world = World::new(number, floor);
        world.lie_all();
        // The machine has lost its time, and whatever a router says goes on.
        let router = world.dice.lie(0);
        let alone = Offsets { machine: -START, router, office: 0 };
        world.speak(1_000, alone);
        for _ in 0..12 {
            world.speak(MINUTE, alone);
        }
        assert!(world.ahead() <= HOUR + SLACK, "history {number}: ahead by {} s", world.ahead() / 1_000);
    }
}
