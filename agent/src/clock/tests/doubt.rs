//! A leap of time that head office has not stood behind: who raises the doubt, who ends it, and what a restart knows of it.

use super::*;

/// The floor is where a power cut of a day and two hours began, as far as this machine and a router say.
#[test]
fn a_leap_on_the_word_of_machine_and_router_is_in_doubt_until_head_office_speaks_or_as_much_has_passed() {
    const LEAP: i64 = 26 * HOUR;
    let said = |name: &str, steps: &[Step]| {
        let mut all = vec![Router(LEAP, 0), See(LEAP, 0, LEAP, true)];
        all.extend_from_slice(steps);
        let (state, reading) = check(name, &all);
        let kept = state.kept(Duration::ZERO).leap_in_doubt;
        (reading.leap_in_doubt.map(|leap| (leap.counted.0 - FLOOR, leap.until.0 - FLOOR)), kept.is_some())
    };
    assert_eq!(said("just now", &[]), (Some((0, LEAP)), true));
    assert_eq!(said("an hour", &[See(LEAP + HOUR, HOUR, LEAP + HOUR, true)]), (Some((HOUR, LEAP)), true));
    assert_eq!(said("as long", &[See(2 * LEAP, LEAP, 2 * LEAP, true)]).0, None);
    let office = [Controller(LEAP + 60_000, 60_000), See(LEAP + 60_000, 60_000, LEAP + 60_000, true)];
    assert_eq!(said("head office says so too", &office), (None, false));
    let back = [Controller(60_000, 60_000), See(LEAP + 60_000, 60_000, 60_000, true)];
    assert_eq!(said("head office takes it back", &back), (None, false));
    let two = [Router(2 * LEAP, HOUR), See(2 * LEAP, HOUR, 2 * LEAP, true)];
    assert_eq!(said("once more", &two), (Some((HOUR, 2 * LEAP)), true));
    let minutes = |minutes: i64| minutes * 60_000;
    let (_, reading) =
        check("ten minutes", &[Router(minutes(10), 0), See(minutes(10), 0, minutes(10), true)]);
    assert_eq!(reading.leap_in_doubt, None, "the floor is that old");
    let leap = |of: &Reading| of.leap_in_doubt.map(|leap| (leap.counted.0 - FLOOR, leap.until.0 - FLOOR));
    let (_, reading) = check("an hour", &[Router(HOUR, 0), See(HOUR, 0, HOUR, true)]);
    assert_eq!(leap(&reading), Some((0, HOUR)));
    let alone = [See(0, 0, 0, true), See(minutes(50), 31_000, minutes(50), true)];
    let (_, reading) = check("a machine alone", &alone);
    assert_eq!(leap(&reading), Some((31_000, minutes(50))));
    let creeping: Vec<Step> = (0..3)
        .flat_map(|step| {
            [Router(minutes(step * 9), step), See(minutes(step * 9), step, minutes(step * 9), true)]
        })
        .collect();
    let (_, reading) = check("nine minutes twice", &creeping);
    assert_eq!(leap(&reading), Some((2, minutes(18))));
    let (_, reading) =
        check("head office", &[Router(LEAP, 0), Controller(LEAP, 0), See(LEAP, 0, LEAP, true)]);
    assert_eq!(reading.leap_in_doubt, None);
}

/// The agent is started again in the middle, or its store opens late.
#[test]
fn a_leap_in_doubt_outlives_the_run() {
    let at = |time: i64| UnixMillis(FLOOR + time);
    let leap = LeapInDoubt { counted: at(HOUR), until: at(DAY) };
    let laid = KeptTime { leap_in_doubt: Some(leap), ..kept(DAY, 0) };
    let (start, later) = (Duration::ZERO, Duration::from_secs(60));
    let see = |state: &mut ClockState| state.observe(at(DAY + 60_000), later).leap_in_doubt;
    let mut state = ClockState::new(UnixMillis(EARLIEST), laid, start);
    assert_eq!(see(&mut state), Some(LeapInDoubt { counted: at(HOUR + 60_000), ..leap }));
    for has_spoken in [false, true] {
        let mut state = ClockState::new(UnixMillis(EARLIEST), KeptTime::default(), start);
        if has_spoken {
            state.note_router("core", at(DAY), None, start);
            let from_the_build = state.observe(at(DAY), start).leap_in_doubt;
            assert_eq!(from_the_build, Some(LeapInDoubt { counted: UnixMillis(EARLIEST), until: at(DAY) }));
        }
        state.join(laid, later);
        assert_eq!(see(&mut state), Some(LeapInDoubt { counted: at(HOUR + 60_000), ..leap }), "{has_spoken}");
    }
    let mut state = ClockState::new(UnixMillis(EARLIEST), KeptTime::default(), start);
    state.note_controller(at(DAY), start);
    state.observe(at(DAY), start);
    state.join(laid, later);
    assert_eq!(see(&mut state), None, "head office had spoken before the store opened");
}
