//! Who may only have been switched off and have gone on from there, and how long head office must say otherwise.

use super::*;

#[test]
fn ten_minutes_are_two_words_that_are_ten_minutes_apart() {
    let lead = |name, last, is_followed: bool| {
        let now = if is_followed { 5 * HOUR + DAY - 1_000 } else { DAY };
        check(
            name,
            &[
                See(0, 0, 0, true),
                Controller(5 * HOUR, 1_000),
                See(2_000, 2_000, 2_000, false),
                Controller(5 * HOUR + last - 1_000, last),
                See(DAY, DAY, now, is_followed),
            ],
        );
    };
    lead("head office, twice within ten minutes", LAST + 1_000, false);
    lead("head office, once more after them", LAST + 2_000, true);
    let back = |name, last, is_followed: bool| {
        let now = if is_followed { DAY - 4 * HOUR } else { DAY };
        check(
            name,
            &[
                Controller(0, 0),
                See(0, 0, 0, true),
                Controller(-FLOOR, 1_000),
                Router(-4 * HOUR + 2_000, 2_000),
                See(-4 * HOUR + 2_000, 2_000, 2_000, false),
                Router(-4 * HOUR + last, last),
                See(-4 * HOUR + DAY, DAY, now, is_followed),
            ],
        );
    };
    back("a router that was heard twice within them", LAST + 1_000, false);
    back("a router that is still heard after them", LAST + 2_000, true);
}

#[test]
fn machine_and_router_that_were_switched_off_together_do_not_outvote_head_office_for_good() {
    let minute = 60_000;
    let (_, reading) = check(
        "off for three days, and no time server",
        &[
            See(0, 0, 0, true),
            Booted(5_000, minute, 5_000),
            See(6_000, 6_000, 6_000, true),
            Controller(3 * DAY, 7_000),
            See(8_000, 8_000, 8_000, false),
            Booted(HOUR, HOUR, HOUR),
            See(HOUR, HOUR, HOUR, false),
            Controller(3 * DAY + HOUR - 7_000, HOUR),
            See(HOUR + 1_000, HOUR + 1_000, 3 * DAY + HOUR - 6_000, true),
            Booted(DAY, DAY, DAY),
            See(DAY, DAY, 4 * DAY - 7_000, true),
            // The router's time server has spoken.
            Booted(5 * DAY - 7_000, 2 * DAY, 2 * DAY),
            See(2 * DAY, 2 * DAY, 5 * DAY - 7_000, true),
        ],
    );
    assert_eq!((reading.leaps, reading.taken_back, reading.basis), (1, 0, Basis::OfficeAndRouter));
    check(
        "ninety minutes, within which it is close to what they say",
        &[
            See(0, 0, 0, true),
            Booted(1_000, minute, 1_000),
            Controller(90 * minute, 2_000),
            See(3_000, 3_000, 3_000, false),
            Controller(90 * minute + LAST + minute, LAST + minute + 2_000),
            See(LAST + 2 * minute, LAST + 2 * minute, 90 * minute + LAST + 2 * minute - 2_000, true),
            See(DAY, DAY, DAY + 90 * minute - 2_000, true),
        ],
    );
    check(
        "a router that was never off knows the time",
        &[
            See(0, 0, 0, true),
            Booted(1_000, 9 * DAY, 1_000),
            Controller(3 * DAY, 2_000),
            See(3_000, 3_000, 3_000, true),
            Controller(3 * DAY + HOUR, HOUR),
            See(HOUR, HOUR, HOUR, true),
        ],
    );
    check(
        "so do two of which one was never off",
        &[
            See(0, 0, 0, true),
            Booted(1_000, minute, 1_000),
            Tower(1_000, 1_000),
            Controller(3 * DAY, 2_000),
            Controller(3 * DAY + HOUR, HOUR),
            See(HOUR, HOUR, HOUR, true),
        ],
    );
    check(
        "a router alone that was off is a weak one too",
        &[
            See(-FLOOR, 0, 0, false),
            Booted(1_000, minute, 1_000),
            Controller(3 * DAY, 2_000),
            See(-FLOOR, 3_000, 3_000, false),
            Controller(3 * DAY + HOUR - 2_000, HOUR),
            See(-FLOOR, HOUR, 3 * DAY + HOUR - 2_000, true),
        ],
    );
    check(
        "head office that comes back with an old clock is outvoted all the same",
        &[
            See(0, 0, 0, true),
            Booted(1_000, minute, 1_000),
            Controller(-3 * DAY, 2_000),
            Controller(-3 * DAY + HOUR, HOUR),
            See(HOUR, HOUR, HOUR, true),
            Controller(-3 * DAY + DAY, DAY),
            See(DAY, DAY, DAY, true),
        ],
    );
}

#[test]
fn a_machine_that_only_goes_on_from_where_it_was_switched_off_does_not_outvote_head_office_for_good() {
    assert_eq!(LASTS.as_millis(), u128::try_from(LAST).unwrap());
    let (_, reading) = check(
        "off for five hours, and no time server",
        &[
            See(0, 0, 0, true),
            Controller(5 * HOUR, 1_000),
            See(2_000, 2_000, 2_000, false),
            See(LAST, LAST, LAST, false),
            See(DAY - HOUR, DAY - HOUR, DAY - HOUR, false),
            Controller(DAY + 5 * HOUR, DAY),
            See(DAY + 2_000, DAY + 2_000, DAY + 5 * HOUR + 2_000, true),
            See(2 * DAY, 2 * DAY, 2 * DAY + 5 * HOUR, true),
        ],
    );
    assert_eq!((reading.leaps, reading.basis), (1, Basis::Office));
    check(
        "a router that knows the time says less",
        &[
            See(0, 0, 0, true),
            Router(0, 0),
            Controller(9 * DAY, 1_000),
            See(-FLOOR, DAY, DAY, false),
            See(2 * DAY, 2 * DAY, 2 * DAY, true),
        ],
    );
    check(
        "so does a machine that has its time from elsewhere",
        &[See(2 * DAY, 0, 0, false), Controller(9 * DAY, 1_000), See(3 * DAY, DAY, DAY, false)],
    );
    check(
        "who changes its mind begins anew",
        &[
            See(0, 0, 0, true),
            Controller(5 * HOUR, 1_000),
            See(LAST - 60_000, LAST - 60_000, LAST - 60_000, false),
            Controller(9 * HOUR, LAST - 30_000),
            See(LAST + 2_000, LAST + 2_000, LAST + 2_000, false),
        ],
    );
}
