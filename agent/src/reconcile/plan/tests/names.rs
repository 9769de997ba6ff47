//! Names that pass from one row of ours to another, through the same `check`.

use tawi_shared::wire::{LineV1, ProfileV1, Service};

use super::fixed::{addressed, binding, entry, queue};
use super::*;
use crate::reconcile::fixed::{BindingRow, EntryRow, QueueRow};

/// Our row of a line, under the name of another one.
fn row_named(number: u64, line_id: &str, name: &str) -> UserRow {
    UserRow { name: Some(name.into()), ..row(number, line_id) }
}

fn check_waits(case: &Case, expected: &[&str], waits: &[&str]) {
    let plan = case.plan();
    assert_eq!(words(&plan), expected);
    let said = plan.waits.iter().map(|wait| {
        let when = if wait.is_for_next_round { "after" } else { "behind" };
        format!("{} {when} {}", wait.line, wait.holder)
    });
    assert_eq!(said.collect::<Vec<_>>(), waits);
}

#[test]
fn a_name_of_a_row_that_goes_is_had_in_the_next_round() {
    check_waits(
        &Case::of(&[line("a")], &[row_named(1, "gone", "user-a")]),
        &["close and remove gone *1 kick user-a cut Removed"],
        &["a after gone"],
    );
    // A copy that somebody made of another line's row.
    check_waits(
        &Case::of(&[line("a"), line("b")], &[row(1, "b"), row_named(2, "b", "user-a")]),
        &["close and remove b *2 kick user-a cut Removed"],
        &["a after b"],
    );
    // Whoever is off wants no name.
    check_waits(
        &Case::of(&[off("a")], &[row_named(1, "gone", "user-a")]),
        &["close and remove gone *1 kick user-a cut Removed"],
        &[],
    );
}

#[test]
fn a_chain_of_names_moves_in_one_flight() {
    check_waits(
        &Case::of(
            &[line("a"), line("b"), line("c")],
            &[row_named(1, "a", "old"), row_named(2, "b", "user-a"), row_named(3, "c", "user-b")],
        ),
        &[
            "set b *2: name=tawi-moving-b disabled=yes",
            "set c *3: name=tawi-moving-c disabled=yes",
            "set a *1: name=user-a kick old",
            "set b *2: name=user-b disabled=no kick user-a",
            "set c *3: name=user-c disabled=no kick user-b",
        ],
        &["a behind b", "b behind c"],
    );
}

#[test]
fn two_lines_swap_names_in_one_flight_and_a_cut_one_is_ended_by_the_next() {
    let lines = [line("a"), line("b")];
    check_waits(
        &Case::of(&lines, &[row_named(1, "a", "user-b"), row_named(2, "b", "user-a")]),
        &[
            "set a *1: name=tawi-moving-a disabled=yes",
            "set b *2: name=tawi-moving-b disabled=yes",
            "set a *1: name=user-a disabled=no kick user-b",
            "set b *2: name=user-b disabled=no kick user-a",
        ],
        &["a behind b", "b behind a"],
    );
    let between = disabled(row_named(1, "a", &name_between("a")));
    check_waits(
        &Case::of(&lines, &[between.clone(), row_named(2, "b", "user-a")]),
        &[
            "set b *2: name=tawi-moving-b disabled=yes",
            "set a *1: name=user-a disabled=no",
            "set b *2: name=user-b disabled=no kick user-a",
        ],
        &["a behind b"],
    );
    check_waits(&Case::of(&lines, &[between, row(2, "b")]), &["set a *1: name=user-a disabled=no"], &[]);
}

#[test]
fn a_row_that_lets_nobody_in_leaves_a_name_that_somebody_wants() {
    let has = |row: UserRow| Case::of(&[line("a"), off("b")], &[row]);
    check_waits(
        &has(disabled(row_named(1, "b", "user-a"))),
        &[
            "set b *1: name=user-b",
            "add a: name=user-a profile=home service=pppoe disabled=no comment=tawi:a password",
        ],
        &["a behind b"],
    );
    check_waits(
        &has(row_named(1, "b", "user-a")),
        &[
            "set b *1: disabled=yes name=user-b kick user-a+user-b cut Restrained(SwitchedOff)",
            "add a: name=user-a profile=home service=pppoe disabled=no comment=tawi:a password",
        ],
        &["a behind b"],
    );
    let own = row_named(2, "a", "user-b");
    check_waits(
        &Case::of(&[line("a"), off("b")], &[disabled(row_named(1, "b", "user-a")), own]),
        &["set b *1: name=tawi-moving-b", "set a *2: name=user-a kick user-b"],
        &["a behind b"],
    );
}

#[test]
fn whoever_waits_for_a_row_that_goes_leaves_its_own_name_to_others_at_once() {
    check_waits(
        &Case::of(
            &[line("a"), line("b")],
            &[row_named(1, "a", "user-b"), row_named(2, "gone", "user-a"), row_named(3, "b", "old")],
        ),
        &[
            "set a *1: name=tawi-moving-a disabled=yes kick user-b",
            "set b *3: name=user-b kick old",
            "close and remove gone *2 kick user-a cut Removed",
        ],
        &["a after gone", "b behind a"],
    );
}

#[test]
fn a_name_is_not_taken_from_whoever_cannot_have_his_own() {
    let taken = foreign_row(9, "user-b");
    check_waits(
        &Case::of(
            &[line("a"), line("b"), line("c")],
            &[taken, row_named(2, "b", "user-a"), row_named(3, "a", "user-c")],
        ),
        &[
            "fail a a foreign row has that name",
            "fail b a foreign row has that name",
            "fail c a foreign row has that name",
        ],
        &[],
    );
}

#[test]
fn a_holder_that_was_not_looked_at_is_named() {
    let plan =
        Case::of(&[line("a")], &[row_named(1, "b", "user-a")]).with(|case| case.is_whole = false).plan();
    assert_eq!(words(&plan), ["fail a a foreign row has that name"]);
    let named = plan.holders_elsewhere.into_iter().collect::<Vec<_>>();
    assert_eq!(named, [((Family::Ppp, "b".to_owned()), "user-a".to_owned())]);
}

/// Lines in these rows, of which one owes the end of sessions that go by `old`.
fn owing(lines: &[LineV1], rows: &[UserRow]) -> Case {
    Case::of(lines, rows).with(|case| {
        case.is_whole = false;
        case.owes_kick = vec!["old".to_owned()];
        case.rows.sessions = vec![session(9, "old")];
    })
}

#[test]
fn sessions_by_a_name_that_was_left_end_whoever_of_ours_has_it_and_never_those_of_others() {
    let moved = disabled(row_named(1, "a", &name_between("a")));
    let other = row_named(2, "b", "old");
    check(&owing(&[off("a")], &[moved.clone(), other.clone()]), &["leave a kick old+tawi-moving-a+user-a"]);
    check(&owing(&[line("a")], &[row(1, "a"), other.clone()]), &["leave a kick old"]);
    let theirs = foreign_row(2, "old");
    check(&owing(&[off("a")], &[moved, theirs.clone()]), &[]);
    check(&owing(&[line("a")], &[row(1, "a"), theirs.clone()]), &[]);
    let gone = |rows: &[UserRow]| {
        owing(&[], rows).with(|case| case.gone = vec![("a".to_owned(), "user-a".to_owned())])
    };
    check(&gone(&[row(1, "a"), other.clone()]), &["close and remove a *1 kick user-a+old cut Removed"]);
    check(&gone(&[other]), &["leave a kick old+user-a"]);
    check(&gone(&[row(1, "a"), theirs.clone()]), &["close and remove a *1 kick user-a cut Removed"]);
    check(&gone(&[theirs]), &[]);
}

#[test]
fn whoever_steps_aside_and_waits_ends_what_it_owed_before() {
    check_waits(
        &Case::of(
            &[line("a"), line("b")],
            &[row_named(1, "a", "user-b"), row_named(2, "gone", "user-a"), row(3, "x")],
        )
        .with(|case| case.owes_kick = vec!["old".to_owned()]),
        &[
            "set a *1: name=tawi-moving-a disabled=yes kick old+user-b",
            "add b: name=user-b profile=home service=pppoe disabled=no comment=tawi:b password kick old",
            "close and remove gone *2 kick user-a cut Removed",
            "close and remove x *3 kick user-x cut Removed",
        ],
        &["a after gone", "b behind a"],
    );
}

#[test]
fn a_row_between_two_names_has_its_own_and_its_profile_by_a_write_that_asks_for_nothing_else() {
    let addressed = |id: &str| LineV1 { address: "10.0.0.7".into(), ..line(id) };
    check_waits(
        &Case::of(&[addressed("a"), line("b")], &[row_named(1, "a", "user-b"), row_named(2, "b", "user-a")]),
        &[
            "set a *1: name=tawi-moving-a disabled=yes",
            "set b *2: name=tawi-moving-b disabled=yes",
            "set a *1: name=user-a disabled=no kick user-b",
            "set a *1: remote-address=10.0.0.7",
            "set b *2: name=user-b disabled=no kick user-a",
        ],
        &["a behind b", "b behind a"],
    );
    let between = || disabled(row_named(1, "a", &name_between("a")));
    check(
        &Case::of(&[addressed("a")], &[UserRow { profile: Some("slow".into()), ..between() }]),
        &["set a *1: name=user-a profile=home disabled=no", "set a *1: remote-address=10.0.0.7"],
    );
    check(
        &Case::of(&[line("a")], &[between()]).with(|case| case.knowledge = PasswordKnowledge::Stale),
        &["set a *1: name=user-a disabled=no", "set a *1: password"],
    );
    // Whoever is restrained is not let in at full speed for an instant.
    let slow = LineV1 { address: "10.0.0.7".into(), ..suspended("a", Restraint::Throttled, "slow") };
    check(
        &with_slow(&[slow], &[between()]),
        &["set a *1: name=user-a profile=slow disabled=no", "set a *1: remote-address=10.0.0.7"],
    );
}

fn fixed_case(lines: &[LineV1], fixed: FixedRows) -> Case {
    Case::of(lines, &[]).with(|case| {
        for service in [Service::Static, Service::HotspotDevice] {
            case.profiles.push(ProfileV1 { service: service.code(), ..profile("home", 20_000_000) });
        }
        case.fixed = fixed;
    })
}

fn at(line_id: &str, service: Service, host: u8) -> LineV1 {
    LineV1 {
        address: format!("10.0.0.{host}"),
        caller_id: format!("02:00:00:00:00:{host:02}"),
        ..addressed(line_id, service)
    }
}

fn queue_named(number: u64, line_id: &str, name: &str, host: u8) -> QueueRow {
    QueueRow { name: Some(name.into()), target: Some(format!("10.0.0.{host}")), ..queue(number, line_id) }
}

#[test]
fn queues_swap_names_and_hold_their_customers_back_all_the_while() {
    let lines = [at("a", Service::Static, 1), at("b", Service::Static, 2)];
    let queues = vec![queue_named(1, "a", "user-b", 1), queue_named(2, "b", "user-a", 2)];
    check_waits(
        &fixed_case(&lines, FixedRows { queues, ..FixedRows::default() }),
        &[
            "set a *1: name=tawi-moving-a",
            "set b *2: name=tawi-moving-b",
            "set a *1: name=user-a",
            "set b *2: name=user-b",
        ],
        &["a behind b", "b behind a"],
    );
}

#[test]
fn an_address_or_device_of_a_line_that_goes_is_had_in_the_same_flight() {
    let off = LineV1 { access: Access::Off.code(), ..at("a", Service::HotspotDevice, 7) };
    let entries = vec![EntryRow { address: Some("10.0.0.7".into()), ..entry(1, "tawi-off", Some("gone")) }];
    let bindings =
        vec![BindingRow { mac: Some("02:00:00:00:00:07".into()), ..binding(2, "blocked", Some("gone")) }];
    check_waits(
        &fixed_case(&[off], FixedRows { entries, bindings, ..FixedRows::default() }),
        &[
            "drop gone /ip/hotspot/ip-binding *2 kick 02:00:00:00:00:07",
            "drop gone /ip/firewall/address-list *1",
            "add a: mac-address=02:00:00:00:00:07 address=10.0.0.7 type=blocked comment=tawi:a kick 02:00:00:00:00:07",
            "add a: list=tawi-off address=10.0.0.7 comment=tawi:a",
        ],
        &["a behind gone", "a behind gone"],
    );
}

#[test]
fn two_devices_that_change_places_take_their_bindings_and_entries_along() {
    let lines = [("a", 2), ("b", 1)]
        .map(|(id, host)| LineV1 { access: Access::Off.code(), ..at(id, Service::HotspotDevice, host) });
    let bound = |number, line_id: &str, host: u8| BindingRow {
        mac: Some(format!("02:00:00:00:00:{host:02}")),
        address: Some(format!("10.0.0.{host}")),
        ..binding(number, "blocked", Some(line_id))
    };
    let held = |number, line_id: &str, host: u8| EntryRow {
        address: Some(format!("10.0.0.{host}")),
        ..entry(number, "tawi-off", Some(line_id))
    };
    check_waits(
        &fixed_case(
            &lines,
            FixedRows {
                entries: vec![held(1, "a", 1), held(2, "b", 2)],
                bindings: vec![bound(3, "a", 1), bound(4, "b", 2)],
                ..FixedRows::default()
            },
        ),
        &[
            "drop a /ip/hotspot/ip-binding *3 kick 02:00:00:00:00:01",
            "drop a /ip/firewall/address-list *1",
            "drop b /ip/hotspot/ip-binding *4 kick 02:00:00:00:00:02",
            "drop b /ip/firewall/address-list *2",
            "add a: mac-address=02:00:00:00:00:02 address=10.0.0.2 type=blocked comment=tawi:a kick 02:00:00:00:00:02",
            "add a: list=tawi-off address=10.0.0.2 comment=tawi:a",
            "add b: mac-address=02:00:00:00:00:01 address=10.0.0.1 type=blocked comment=tawi:b kick 02:00:00:00:00:01",
            "add b: list=tawi-off address=10.0.0.1 comment=tawi:b",
        ],
        &["a behind b", "a behind b", "b behind a", "b behind a"],
    );
}
