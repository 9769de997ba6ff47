//! Whom the clock believes: one table for each rule of `decision.rs`, and what time does when machines, routers and head
//! office are wrong, late or silent. The handle over real clocks is tried in `agent/tests/link`.

mod doubt;
mod resumed;

use super::decision::LASTS;
use super::*;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// The floor of every table; times below are relative to it.
const FLOOR: i64 = 1_800_000_000_000;
/// [`LASTS`], in milliseconds.
const LAST: i64 = 600_000;
/// The build was some weeks before the floor.
const EARLIEST: i64 = FLOOR - 30 * DAY;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The machine shows floor + .0 at monotonic .1; expect floor + .2, trusted or not.
    See(i64, i64, i64, bool),
    Controller(i64, i64),
    Router(i64, i64),
    Tower(i64, i64),
    /// A router that shows floor + .0 and has been up for .1.
    Booted(i64, i64, i64),
}
use Step::{Booted, Controller, Router, See, Tower};

/// Head office stood behind all of the floor.
fn check(name: &str, steps: &[Step]) -> (ClockState, Reading) {
    check_after(name, 0, steps)
}

/// What head office last stood behind was floor + `vouched`.
fn check_after(name: &str, vouched: i64, steps: &[Step]) -> (ClockState, Reading) {
    let mut state = ClockState::new(UnixMillis(EARLIEST), kept(0, vouched), Duration::ZERO);
    let mono = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap());
    let mut last = None;
    for (index, step) in steps.iter().enumerate() {
        match *step {
            See(system, elapsed, now, is_trusted) => {
                let reading = state.observe(UnixMillis(FLOOR + system), mono(elapsed));
                let got = (reading.now.0 - FLOOR, reading.is_trusted);
                assert_eq!(got, (now, is_trusted), "{name}, step {index}: {:?}", reading.basis);
                last = Some(reading);
            }
            Controller(time, elapsed) => state.note_controller(UnixMillis(FLOOR + time), mono(elapsed)),
            Router(time, elapsed) => state.note_router("core", UnixMillis(FLOOR + time), None, mono(elapsed)),
            Tower(time, elapsed) => state.note_router("tower", UnixMillis(FLOOR + time), None, mono(elapsed)),
            Booted(time, up, elapsed) => {
                state.note_router("core", UnixMillis(FLOOR + time), Some(mono(up)), mono(elapsed));
            }
        }
    }
    (state, last.unwrap())
}

fn kept(floor: i64, vouched: i64) -> KeptTime {
    KeptTime {
        floor: UnixMillis(FLOOR + floor),
        vouched: Some(UnixMillis(FLOOR + vouched)),
        leap_in_doubt: None,
    }
}

/// The floor that the next run would begin from.
fn floor(state: &ClockState) -> UnixMillis {
    state.kept(Duration::ZERO).floor
}

#[test]
fn a_good_clock_is_simply_believed() {
    check("steady", &[See(0, 0, 0, true), See(5_000, 5_000, 5_000, true)]);
    check(
        "ntp corrects minutes",
        &[
            See(0, 0, 0, true),
            See(600_000, 1_000, 1_000, false),
            See(628_000, 29_000, 29_000, false),
            See(629_000, 30_000, 629_000, true),
        ],
    );
    check("slow by less than the tolerance", &[See(-60_000, 0, 0, true), See(1_000, 61_000, 1_000, true)]);
    check(
        "off for a night, and the router says the same",
        &[See(DAY, 0, 0, false), Router(DAY, 1_000), See(DAY + 1_000, 1_000, DAY + 1_000, true)],
    );
    check(
        "off for a night, and head office says the same",
        &[See(DAY, 0, 0, false), Controller(DAY, 1_000), See(DAY + 1_000, 1_000, DAY + 1_000, true)],
    );
}

#[test]
fn a_clock_far_ahead_of_the_floor_is_not_believed_alone() {
    check("two days", &[See(2 * DAY, 0, 0, false), See(2 * DAY + DAY, DAY, DAY, false)]);
    check("two hours", &[See(2 * HOUR, 0, 0, false), See(2 * HOUR, 5_000, 5_000, false)]);
    let (state, _) =
        check("battery gone", &[See(9_000 * DAY, 0, 0, false), See(9_000 * DAY, 5_000, 5_000, false)]);
    assert_eq!(floor(&state), UnixMillis(FLOOR + 5_000), "and does not raise the floor");
}

#[test]
fn at_start_nothing_is_believed_that_another_contradicts() {
    check(
        "the machine ahead, the router right",
        &[
            See(2 * DAY, 0, 0, false),
            Router(1_000, 1_000),
            See(2 * DAY + 2_000, 2_000, 2_000, false),
            See(2 * DAY + HOUR, HOUR, HOUR, false),
        ],
    );
    check(
        "the machine saved its time at the power cut, and the router has kept it",
        &[See(0, 0, 0, true), Router(DAY, 1_000), See(2_000, 2_000, 2_000, false)],
    );
    check(
        "the same, until the time server speaks",
        &[See(0, 0, 0, true), Router(DAY, 1_000), See(DAY + 2_000, 2_000, DAY + 2_000, true)],
    );
    check(
        "a router in 1970 is no witness",
        &[See(0, 0, 0, true), Router(-FLOOR, 1_000), See(2_000, 2_000, 2_000, true)],
    );
    check(
        "one router is wrong, the other and the machine are right",
        &[
            See(DAY, 0, 0, false),
            Router(9 * DAY, 500),
            Tower(DAY, 1_000),
            See(DAY + 2_000, 2_000, DAY + 2_000, true),
        ],
    );
    check(
        "the machine ahead, head office right, nobody else",
        &[
            See(2 * DAY, 0, 0, false),
            Controller(HOUR * 6, 15_000),
            See(2 * DAY, 16_000, 6 * HOUR + 1_000, true),
            // Set right, it agrees, and time was never at the wrong day.
            See(6 * HOUR + 2_000, 17_000, 6 * HOUR + 2_000, true),
        ],
    );
    check(
        "machine and router wrong the same way, head office right",
        &[
            See(4 * HOUR, 0, 0, false),
            Controller(5_000, 5_000),
            Router(4 * HOUR, 6_000),
            See(4 * HOUR, 10_000, 10_000, true),
        ],
    );
}

#[test]
fn what_head_office_sells_is_not_over_by_a_clock_that_is_minutes_ahead() {
    let minutes = 50 * 60_000;
    let (state, reading) = check(
        "fifty minutes ahead",
        &[
            See(minutes, 30_000, minutes, true),
            Controller(31_000, 31_000),
            See(minutes + 2_000, 32_000, 32_000, true),
        ],
    );
    assert_eq!((reading.taken_back, floor(&state)), (1, UnixMillis(FLOOR + 32_000)));
}

#[test]
fn of_two_that_agree_roughly_the_earlier_counts_while_head_office_is_away() {
    let minutes = 55 * 60_000;
    let (_, reading) = check(
        "the machine ahead, the router right",
        &[
            See(minutes, 0, 0, false),
            Router(1_000, 1_000),
            See(minutes + 2_000, 2_000, 2_000, true),
            See(minutes + HOUR, HOUR, HOUR, true),
        ],
    );
    assert_eq!(reading.basis, Basis::MachineAndRouter);
    check(
        "the same after a night, before anybody was believed",
        &[See(DAY + minutes, 0, 0, false), Router(DAY, 0), See(DAY + minutes, 1_000, DAY + 1_000, true)],
    );
    check(
        "the router ahead, the machine right",
        &[See(DAY, 0, 0, false), Router(DAY + minutes, 0), See(DAY + 1_000, 1_000, DAY + 1_000, true)],
    );
    check(
        "another router is right, and so is the machine",
        &[
            See(DAY, 0, 0, false),
            Router(DAY - minutes, 0),
            Tower(DAY, 0),
            See(DAY + 1_000, 1_000, DAY + 1_000, true),
        ],
    );
    check(
        "seconds apart",
        &[See(DAY, 0, 0, false), Router(DAY - 30_000, 0), See(DAY + 1_000, 1_000, DAY + 1_000, true)],
    );
}

#[test]
fn a_jump_that_nobody_confirms_does_not_move_time() {
    check(
        "a year ahead",
        &[See(0, 0, 0, true), See(YEAR, 1_000, 1_000, false), See(YEAR + 1, 60_000, 60_000, false)],
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
            See(half, 30_000, half, true),
            See(2 * half, 30_000, half, false),
            See(3 * half, 30_000, half, false),
        ],
    );
}

#[test]
fn a_second_source_confirms_a_jump() {
    let (_, reading) = check(
        "controller",
        &[See(0, 0, 0, true), Controller(3 * DAY, 1_000), See(3 * DAY, 2_000, 3 * DAY, true)],
    );
    assert_eq!((reading.leaps, reading.basis), (1, Basis::OfficeAndMachine));
    assert_eq!(reading.leapt_by, Duration::from_secs(3 * 86_400 - 2));
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
    check("a router alone", &[See(-FLOOR, 0, 0, false), Router(DAY, 0), See(-FLOOR, 1_000, 1_000, false)]);
}

#[test]
fn a_wrong_clock_of_head_office_expires_nobody() {
    check(
        "ahead, beside a machine that goes on from the floor",
        &[See(0, 0, 0, true), Controller(9 * DAY, 1_000), See(2_000, 2_000, 2_000, false)],
    );
    check(
        "ahead, beside a router that does",
        &[
            See(-FLOOR, 0, 0, false),
            Router(0, 0),
            Controller(9 * DAY, 1_000),
            See(-FLOOR, 2_000, 2_000, false),
        ],
    );
    check(
        "ahead, against machine and router",
        &[See(DAY, 0, 0, false), Router(DAY, 0), Controller(9 * DAY, 0), See(DAY, 1_000, DAY, true)],
    );
    check(
        "ahead within a run in which it was right",
        &[
            See(-FLOOR, 0, 0, false),
            Controller(DAY, 0),
            See(-FLOOR, 1_000, DAY + 1_000, true),
            Controller(YEAR, 1_000),
            See(-FLOOR, 2_000, DAY + 2_000, false),
        ],
    );
    let (_, reading) =
        check("in 1970", &[See(0, 0, 0, true), Controller(-FLOOR, 1_000), See(2_000, 2_000, 2_000, true)]);
    assert_eq!(reading.office, Some(UnixMillis(1_000)), "what it shows is told all the same");
}

#[test]
fn a_wrong_floor_is_taken_back() {
    let back = -4 * HOUR;
    let (state, reading) = check(
        "head office and the machine",
        &[See(back, 0, 0, false), Controller(back, 1_000), See(back + 2_000, 2_000, back + 2_000, true)],
    );
    assert_eq!(floor(&state), UnixMillis(FLOOR + back + 2_000));
    assert_eq!((reading.taken_back, reading.leaps), (1, 1));
    assert_eq!(reading.taken_back_by, Duration::from_secs(4 * 3_600 - 2));
    check(
        "head office and a router",
        &[
            See(DAY, 0, 0, false),
            Router(back, 0),
            Controller(back, 1_000),
            See(DAY, 2_000, back + 2_000 - 1_000, true),
        ],
    );
    check_after(
        "head office alone, of what it never stood behind",
        back - HOUR,
        &[See(-FLOOR, 0, 0, false), Controller(back, 1_000), See(-FLOOR, 2_000, back + 1_000, true)],
    );
    check(
        "head office alone, of what it stood behind, once it has said so for ten minutes",
        &[
            See(-FLOOR, 0, 0, false),
            Controller(back, 1_000),
            See(-FLOOR, 2_000, 2_000, false),
            Controller(back + LAST - 2_000, LAST - 1_000),
            See(-FLOOR, DAY, DAY, false),
            Controller(back + DAY, DAY + 1_000),
            See(-FLOOR, DAY + 2_000, back + DAY + 1_000, true),
        ],
    );
    check(
        "machine and router, while head office is away",
        &[See(back, 0, 0, false), Router(back, 1_000), See(back + 1_000, 1_000, back + 1_000, true)],
    );
    check("the machine alone does not", &[See(back, 0, 0, false), See(back + DAY, DAY, DAY, false)]);
    check(
        "nothing is before the build",
        &[
            See(-60 * DAY, 0, 0, false),
            Router(-60 * DAY, 0),
            Controller(-60 * DAY, 0),
            See(-60 * DAY, 1_000, 1_000, false),
        ],
    );
}

#[test]
fn a_wrong_time_is_taken_back_within_a_run_once_and_goes_on() {
    let (_, reading) = check(
        "machine and router were ahead together for a while",
        &[
            Router(4 * HOUR, 0),
            See(4 * HOUR, 0, 4 * HOUR, true),
            Controller(60_000, 60_000),
            See(4 * HOUR + 60_000, 60_000, 60_000, true),
            See(4 * HOUR + 61_000, 61_000, 61_000, true),
            Router(62_000, 62_000),
            See(62_000, 62_000, 62_000, true),
        ],
    );
    assert_eq!((reading.taken_back, reading.basis), (1, Basis::OfficeAndMachine));
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
    let (_, reading) = check(
        "no battery",
        &[
            See(-FLOOR, 0, 0, false),
            See(-FLOOR + 60_000, 60_000, 60_000, false),
            Controller(2 * DAY, 61_000),
            See(-FLOOR + 62_000, 62_000, 2 * DAY + 1_000, true),
        ],
    );
    assert_eq!(reading.leaps, 1, "what falls due in it was not waited for");
}

#[test]
fn a_machine_that_woke_days_late_waits_for_a_second_word_beside_head_offices() {
    check(
        "saved at shutdown",
        &[
            See(0, 0, 0, true),
            Controller(3 * DAY, 5_000),
            See(6_000, 6_000, 6_000, false),
            Router(3 * DAY + 2_000, 7_000),
            See(8_000, 8_000, 3 * DAY + 3_000, true),
        ],
    );
}

#[test]
fn head_office_that_lost_its_time_is_outvoted_by_machine_and_router() {
    let (_, reading) = check(
        "it comes back with the clock that it saved three days ago",
        &[
            Router(0, 0),
            Controller(0, 0),
            See(0, 0, 0, true),
            See(2 * DAY, 2 * DAY, 2 * DAY, true),
            Controller(0, 3 * DAY),
            See(3 * DAY, 3 * DAY, 3 * DAY, true),
            See(5 * DAY, 5 * DAY, 5 * DAY, true),
            Controller(6 * DAY, 6 * DAY),
            See(6 * DAY, 6 * DAY, 6 * DAY, true),
        ],
    );
    assert_eq!((reading.taken_back, reading.leaps, reading.basis), (0, 0, Basis::OfficeAndMachine));
    check(
        "the same after a restart of the site",
        &[
            See(0, 0, 0, true),
            Controller(-3 * DAY, 1_000),
            See(2_000, 2_000, 2_000, false),
            Router(30_000, 30_000),
            See(31_000, 31_000, 31_000, true),
            See(DAY, DAY, DAY, true),
        ],
    );
    check(
        "the same after days without power",
        &[
            Router(5 * DAY, 0),
            Controller(-2 * HOUR, 0),
            See(5 * DAY, 0, 5 * DAY, true),
            See(6 * DAY, DAY, 6 * DAY, true),
        ],
    );
    check(
        "beside nobody it must say so for ten minutes",
        &[
            Controller(0, 0),
            See(0, 0, 0, true),
            Controller(-3 * DAY, 1_000),
            See(DAY, DAY, DAY, true),
            // Its time server has spoken.
            Controller(DAY + 500, DAY + 500),
            See(DAY + 2_000, DAY + 2_000, DAY + 2_000, true),
        ],
    );
}

#[test]
fn what_leapt_without_head_office_is_taken_back_by_its_word() {
    check(
        "a router that is a year ahead has set the machine, and head office goes on from where it was",
        &[
            Router(YEAR, 0),
            See(YEAR, 0, YEAR, true),
            See(YEAR + HOUR, HOUR, YEAR + HOUR, true),
            Controller(HOUR, HOUR),
            See(YEAR + HOUR, HOUR, HOUR, true),
            See(YEAR + DAY, DAY, DAY, true),
        ],
    );
    check_after(
        "the same, restarted and after days without power",
        -20 * DAY,
        &[
            Router(0, 0),
            See(0, 0, 0, true),
            Controller(-17 * DAY, 1_000),
            See(2_000, 2_000, 2_000, true),
            See(HOUR, HOUR, HOUR, true),
            Controller(-17 * DAY + HOUR, HOUR + 1_000),
            See(HOUR + 2_000, HOUR + 2_000, -17 * DAY + HOUR + 1_000, true),
        ],
    );
    check_after(
        "while it waits, nobody leaps on without it",
        -20 * DAY,
        &[
            Router(0, 0),
            See(0, 0, 0, true),
            Controller(-17 * DAY, 1_000),
            Router(YEAR, 2_000),
            See(YEAR, 2_000, 2_000, false),
        ],
    );
}

#[test]
fn head_office_alone_does_not_walk_away_from_what_two_said() {
    let step = 50 * 60_000;
    check(
        "forward in small steps",
        &[
            Controller(0, 0),
            See(0, 0, 0, true),
            Controller(step, 60_000),
            See(-FLOOR, 60_000, step, true),
            Controller(2 * step, 120_000),
            See(-FLOOR, 120_000, step, false),
            Controller(3 * step, 180_000),
            See(-FLOOR, DAY, DAY, false),
        ],
    );
    check(
        "beside machine and router",
        &[
            Router(0, 0),
            Controller(0, 0),
            See(0, 0, 0, true),
            Controller(step, 60_000),
            See(60_000, 60_000, step, true),
            Controller(2 * step, 120_000),
            See(120_000, 120_000, step, true),
            See(DAY, DAY, DAY, true),
        ],
    );
}

#[test]
fn whom_nobody_else_ever_backed_may_correct_itself() {
    let (_, reading) = check(
        "three days late, then right, then a year ahead, then right",
        &[
            See(-FLOOR, 0, 0, false),
            Controller(DAY, 0),
            See(-FLOOR, 1_000, DAY + 1_000, true),
            Controller(4 * DAY, 2_000),
            See(-FLOOR, LAST, DAY + LAST, false),
            See(-FLOOR, HOUR - 1_000, DAY + HOUR - 1_000, false),
            Controller(4 * DAY + HOUR - 2_000, HOUR),
            See(-FLOOR, HOUR, 4 * DAY + HOUR - 2_000, true),
            Controller(YEAR, HOUR),
            See(-FLOOR, HOUR + 1_000, 4 * DAY + HOUR - 1_000, false),
            Controller(4 * DAY + HOUR, HOUR + 2_000),
            See(-FLOOR, HOUR + 3_000, 4 * DAY + HOUR + 1_000, true),
        ],
    );
    assert_eq!((reading.leaps, reading.taken_back), (2, 0));
}

#[test]
fn what_two_said_in_this_run_two_others_take_back_when_it_lasts() {
    let back = -4 * HOUR;
    check(
        "machine and router",
        &[
            Controller(0, 0),
            See(0, 0, 0, true),
            Controller(-FLOOR, 1_000),
            Router(back, 2_000),
            See(back + 2_000, 2_000, 2_000, false),
            See(back + HOUR, HOUR, HOUR, false),
            Router(back + HOUR + 1_000, HOUR + 1_000),
            See(back + HOUR + 3_000, HOUR + 3_000, back + HOUR + 3_000, true),
        ],
    );
}

#[test]
fn a_floor_that_is_read_late_counts_as_if_it_had_been_known_from_the_start() {
    let join = |steps: &dyn Fn(&mut ClockState)| {
        let mut state = ClockState::new(UnixMillis(EARLIEST), KeptTime::default(), Duration::ZERO);
        state.observe(UnixMillis(FLOOR + 60_000), Duration::ZERO);
        steps(&mut state);
        state.join(kept(0, -DAY), Duration::from_secs(60));
        let reading = state.observe(UnixMillis(FLOOR + 120_000), Duration::from_secs(120));
        let KeptTime { floor, vouched, .. } = state.kept(Duration::from_secs(120));
        (reading.now.0 - FLOOR, reading.is_trusted, floor.0 - FLOOR, vouched.unwrap().0 - FLOOR)
    };
    assert_eq!(join(&|_| {}), (120_000, true, 120_000, -DAY + 120_000), "nobody had said anything");
    let two = |state: &mut ClockState| {
        state.note_controller(UnixMillis(FLOOR - DAY), Duration::ZERO);
        state.note_router("core", UnixMillis(FLOOR - DAY), None, Duration::ZERO);
        state.observe(UnixMillis(FLOOR), Duration::from_secs(1));
    };
    assert_eq!(join(&two).0, -DAY + 120_000, "two had");
}

#[test]
fn without_a_second_word_time_waits_and_does_not_go_back() {
    check(
        "a machine that was set back",
        &[
            See(0, 0, 0, true),
            See(50 * 60_000, 31_000, 50 * 60_000, true),
            See(32_000, 32_000, 50 * 60_000, true),
        ],
    );
}

#[test]
fn no_wrong_clock_expires_anybody() {
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
        "a wrong router beside a machine that was confirmed",
        &[
            Controller(0, 0),
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

#[test]
fn a_router_that_speaks_twice_has_one_voice_and_names_do_not_fill_memory() {
    let mut state = ClockState::new(UnixMillis(EARLIEST), kept(0, 0), Duration::ZERO);
    for number in 0..1_000 {
        state.note_router(&format!("r{number}"), UnixMillis(FLOOR), None, Duration::ZERO);
        state.note_router("r0", UnixMillis(FLOOR + number), None, Duration::ZERO);
    }
    let voices = state.voices(UnixMillis(FLOOR), Duration::ZERO);
    assert_eq!(voices.len(), 65, "the machine and the routers");
    let newest = Voice { who: "router r0".into(), time: UnixMillis(FLOOR + 999) };
    assert!(voices.contains(&newest), "{voices:?}");
}

#[tokio::test(start_paused = true)]
async fn the_handle_goes_on_by_the_monotonic_clock_while_the_wall_clock_is_wrong() {
    let start = build_date().plus(Duration::from_secs(86_400));
    let hands = Clock::manual(start);
    let clock =
        TrustedClock::new(hands.clone(), KeptTime { floor: start, vouched: None, leap_in_doubt: None });
    let mut turns = clock.turns();
    assert_eq!(clock.now(), start);
    hands.advance(Duration::from_secs(90 * 86_400));
    tokio::time::advance(Duration::from_secs(60)).await;
    let reading = clock.reading();
    let expected = (start.plus(Duration::from_secs(60)), false, Basis::Carried);
    assert_eq!((reading.now, reading.is_trusted, reading.basis), expected);
    clock.note_controller_time(hands.now());
    turns.next().await;
    assert!(clock.reading().is_trusted);
    assert_eq!((clock.now(), clock.kept().floor), (hands.now(), hands.now()));
    clock.note_controller_time(start);
    clock.note_router_time("core", start, None);
    turns.next().await;
    assert_eq!((clock.now(), clock.kept().floor), (start, start));
}

#[test]
fn certificates_are_judged_by_this_machine_unless_its_year_is_far() {
    let start = build_date();
    let check = |shown: UnixMillis, expected: UnixMillis| {
        let clock = TrustedClock::new(
            Clock::manual(shown),
            KeptTime { floor: start, vouched: None, leap_in_doubt: None },
        );
        let judged = clock.certificate_time();
        assert!(
            judged.since(expected) < Duration::from_secs(60) && judged >= expected,
            "{shown:?}: {judged:?}"
        );
    };
    let month = start.plus(Duration::from_secs(30 * 86_400));
    check(month, month);
    check(start.plus(Duration::from_secs(36 * 86_400)), start);
    check(UnixMillis(0), start);
}
