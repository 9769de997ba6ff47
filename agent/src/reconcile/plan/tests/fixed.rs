//! Lines where nobody logs in, through the same `check`.

use std::collections::BTreeMap;
use std::time::Duration;

use routeros_api::value::UpDown;
use tawi_shared::wire::{Access, LineV1, ProfileV1, Restraint, RestraintV1, Service};

use super::super::{GoneLine, Scope, plan};
use super::{Case, check, id, line, profile, words};
use crate::reconcile::actual::{Actual, Family};
use crate::reconcile::fixed::{BindingRow, EntryRow, FixedRows, QueueRow, Shape};

pub(super) fn addressed(id: &str, service: Service) -> LineV1 {
    LineV1 {
        service: service.code(),
        address: "10.0.0.7".into(),
        caller_id: "02:00:00:00:00:AF".into(),
        ..line(id)
    }
}

pub(super) fn queue(number: u64, line_id: &str) -> QueueRow {
    let shape = Shape {
        limit: UpDown { upload: 5_000_000, download: 20_000_000 },
        burst: UpDown::both(0),
        threshold: UpDown::both(0),
        time: UpDown::both(Duration::ZERO),
        priority: UpDown::both(8),
    };
    QueueRow {
        id: id(number),
        name: Some(format!("user-{line_id}")),
        mark: Some(line_id.into()),
        target: Some("10.0.0.7".into()),
        is_disabled: Some(false),
        shape: Some(shape),
    }
}

pub(super) fn entry(number: u64, list: &str, mark: Option<&str>) -> EntryRow {
    EntryRow {
        id: id(number),
        list: Some(list.into()),
        address: Some("10.0.0.7".into()),
        mark: mark.map(str::to_owned),
        is_disabled: Some(false),
    }
}

pub(super) fn binding(number: u64, kind: &str, mark: Option<&str>) -> BindingRow {
    BindingRow {
        id: id(number),
        mac: Some("02:00:00:00:00:AF".into()),
        address: Some("10.0.0.7".into()),
        kind: Some(kind.into()),
        mark: mark.map(str::to_owned),
        is_disabled: Some(false),
    }
}

fn check_fixed(line: LineV1, fixed: FixedRows, expected: &[&str]) {
    check_several(&[line], fixed, expected);
}

fn check_several(lines: &[LineV1], fixed: FixedRows, expected: &[&str]) {
    let case = Case::of(lines, &[]).with(|case| {
        for service in [Service::Static, Service::HotspotDevice] {
            for (name, download) in [("home", 20_000_000), ("slow", 1_000_000)] {
                case.profiles.push(ProfileV1 { service: service.code(), ..profile(name, download) });
            }
        }
        case.fixed = fixed;
    });
    check(&case, expected);
}

#[test]
fn a_line_with_an_address_has_its_queue_and_in_restraint_an_entry_in_a_list() {
    let open = || addressed("a", Service::Static);
    let suspend = |how, profile: &str| {
        let suspension = RestraintV1 { how: Restraint::code(how), profile: profile.into() };
        LineV1 { access: Access::Suspended.code(), suspension, ..open() }
    };
    let rows = |queues: &[QueueRow], entries: &[EntryRow]| FixedRows {
        queues: queues.to_vec(),
        entries: entries.to_vec(),
        ..FixedRows::default()
    };
    let walled = || entry(2, "tawi-walled", Some("a"));
    check_fixed(open(), rows(&[queue(1, "a")], &[]), &[]);
    check_fixed(
        open(),
        rows(&[], &[]),
        &[
            "add a: name=user-a target=10.0.0.7/32 max-limit=5000000/20000000 burst-limit=0/0 burst-threshold=0/0 \
           burst-time=0s/0s priority=8/8 comment=tawi:a",
        ],
    );
    check_fixed(
        suspend(Restraint::Throttled, "slow"),
        rows(&[queue(1, "a")], &[]),
        &["set a *1: max-limit=5000000/1000000"],
    );
    check_fixed(
        suspend(Restraint::Walled, "slow"),
        rows(&[queue(1, "a")], &[]),
        &[
            "set a *1: max-limit=5000000/1000000",
            "add a: list=tawi-walled address=10.0.0.7 comment=tawi:a cut Restrained(Suspended)",
        ],
    );
    check_fixed(
        suspend(Restraint::Off, ""),
        rows(&[queue(1, "a")], &[walled()]),
        &["add a: list=tawi-off address=10.0.0.7 comment=tawi:a", "drop a /ip/firewall/address-list *2"],
    );
    check_fixed(suspend(Restraint::Off, ""), rows(&[], &[entry(2, "tawi-off", Some("a"))]), &[]);
    let never_on = LineV1 { access: Access::Off.code(), ..open() };
    check_fixed(never_on.clone(), rows(&[], &[]), &["add a: list=tawi-off address=10.0.0.7 comment=tawi:a"]);
    check_fixed(
        never_on,
        rows(&[queue(1, "a")], &[]),
        &["add a: list=tawi-off address=10.0.0.7 comment=tawi:a cut Restrained(SwitchedOff)"],
    );
    check_fixed(open(), rows(&[queue(1, "a")], &[walled()]), &["drop a /ip/firewall/address-list *2"]);
    let moved = QueueRow { target: Some("10.0.0.8".into()), is_disabled: Some(true), ..queue(1, "a") };
    check_fixed(open(), rows(&[moved], &[]), &["set a *1: target=10.0.0.7/32 disabled=no"]);
    check_fixed(open(), rows(&[queue(1, "a"), queue(9, "a")], &[]), &["drop a /queue/simple *9"]);
}

#[test]
fn a_device_behind_a_hotspot_is_let_by_or_blocked() {
    let open = || addressed("a", Service::HotspotDevice);
    let rows = |bindings: &[BindingRow]| FixedRows {
        queues: vec![queue(1, "a")],
        bindings: bindings.to_vec(),
        ..FixedRows::default()
    };
    check_fixed(open(), rows(&[binding(3, "bypassed", Some("a"))]), &[]);
    check_fixed(
        open(),
        rows(&[]),
        &[
            "add a: mac-address=02:00:00:00:00:AF address=10.0.0.7 type=bypassed comment=tawi:a kick 02:00:00:00:00:AF",
        ],
    );
    check_fixed(
        open(),
        rows(&[binding(3, "blocked", Some("a"))]),
        &["set a *3: type=bypassed kick 02:00:00:00:00:AF"],
    );
    check_fixed(
        LineV1 { access: Access::Off.code(), ..open() },
        rows(&[binding(3, "bypassed", Some("a"))]),
        &[
            "set a *3: type=blocked kick 02:00:00:00:00:AF cut Restrained(SwitchedOff)",
            "add a: list=tawi-off address=10.0.0.7 comment=tawi:a cut Restrained(SwitchedOff)",
        ],
    );
    check_fixed(
        addressed("a", Service::Static),
        rows(&[binding(3, "bypassed", Some("a"))]),
        &["drop a /ip/hotspot/ip-binding *3 kick 02:00:00:00:00:AF"],
    );
}

/// The connection was lost when the binding was written and the hotspot had not seen the device anew yet.
#[test]
fn a_device_that_the_hotspot_must_still_see_anew_is_not_forgotten() {
    let mac = "02:00:00:00:00:AF";
    let check_owed = |line: LineV1, owed: &[&str], bindings: &[BindingRow], expected: &[&str]| {
        let case = Case::of(std::slice::from_ref(&line), &[]).with(|case| {
            case.profiles.push(ProfileV1 { service: line.service, ..profile("home", 20_000_000) });
            case.fixed = FixedRows {
                queues: vec![queue(1, "a")],
                bindings: bindings.to_vec(),
                ..FixedRows::default()
            };
            case.owes_kick = owed.iter().map(|mac| (*mac).to_owned()).collect();
        });
        check(&case, expected);
    };
    let open = || addressed("a", Service::HotspotDevice);
    let bypassed = || binding(3, "bypassed", Some("a"));
    check_owed(open(), &[mac], &[bypassed()], &["leave a kick 02:00:00:00:00:AF"]);
    check_owed(open(), &["user-a"], &[bypassed()], &[]);
    let old = "02:00:00:00:00:01";
    let moved = BindingRow { mac: Some(old.into()), ..bypassed() };
    check_owed(
        open(),
        &[old, mac],
        &[moved],
        &["set a *3: mac-address=02:00:00:00:00:AF kick 02:00:00:00:00:01+02:00:00:00:00:AF"],
    );
    check_owed(
        open(),
        &["02:00:00:00:00:02"],
        &[binding(3, "blocked", Some("a"))],
        &["set a *3: type=bypassed kick 02:00:00:00:00:AF", "leave a kick 02:00:00:00:00:02"],
    );
    // One that another line has by now is that line's business.
    let theirs = BindingRow { mac: Some(old.into()), ..binding(4, "bypassed", None) };
    check_owed(open(), &[old], &[bypassed(), theirs], &[]);
    check_owed(addressed("a", Service::Static), &[mac], &[], &["leave a kick 02:00:00:00:00:AF"]);

    let gone = |bindings: &[BindingRow], expected: &[&str]| {
        let owes_kick = [mac.to_owned()];
        let (profiles, family) = (BTreeMap::new(), Family::Fixed);
        let gone = GoneLine { line: "a", family, username: "user-a", owes_kick: &owes_kick };
        let scope = Scope {
            wanted: vec![],
            gone: vec![gone],
            profiles: &profiles,
            template: "default",
            all_lines: None,
        };
        let fixed = Some(FixedRows { bindings: bindings.to_vec(), ..FixedRows::default() });
        assert_eq!(words(&plan(&scope, &Actual { logins: BTreeMap::new(), fixed })), expected);
    };
    gone(&[bypassed()], &["drop a /ip/hotspot/ip-binding *3 kick 02:00:00:00:00:AF cut Removed"]);
    gone(&[], &["leave a kick 02:00:00:00:00:AF"]);
}

/// A customer left, and another one has the address, the name or the device by now.
#[test]
fn a_line_that_is_off_keeps_nothing_from_one_that_is_on() {
    let off = |id: &str, service| LineV1 { access: Access::Off.code(), ..addressed(id, service) };
    let on = |id: &str, service| addressed(id, service);
    let is_closed = entry(2, "tawi-off", Some("a"));
    let lines = [off("a", Service::Static), on("b", Service::Static)];
    check_several(
        &lines,
        FixedRows { queues: vec![queue(1, "b")], entries: vec![is_closed.clone()], ..FixedRows::default() },
        &["drop a /ip/firewall/address-list *2", "fail a a foreign row has that name"],
    );
    check_several(
        &lines,
        FixedRows { queues: vec![queue(1, "b")], ..FixedRows::default() },
        &["fail a a foreign row has that name"],
    );
    // Of two that are off one is kept out for both.
    let both = [off("a", Service::Static), off("b", Service::Static)];
    let rows = FixedRows { entries: vec![is_closed.clone()], ..FixedRows::default() };
    check_several(&both, rows, &["fail b a foreign row has that name"]);
    // Two that are on: a person has to say whose it is.
    let both = [on("a", Service::Static), on("b", Service::Static)];
    let rows = FixedRows { queues: vec![queue(1, "a")], ..FixedRows::default() };
    check_several(&both, rows, &["fail b a foreign row has that name"]);

    let named = LineV1 { address: "10.0.0.8".into(), username: "user-a".into(), ..on("b", Service::Static) };
    let rows =
        FixedRows { queues: vec![queue(1, "a")], entries: vec![is_closed.clone()], ..FixedRows::default() };
    check_several(
        &[off("a", Service::Static), named],
        rows,
        &[
            "set a *1: name=tawi-moving-a",
            "add b: name=user-a target=10.0.0.8/32 max-limit=5000000/20000000 burst-limit=0/0 burst-threshold=0/0 \
             burst-time=0s/0s priority=8/8 comment=tawi:b",
        ],
    );

    let device = LineV1 { address: "10.0.0.8".into(), ..on("b", Service::HotspotDevice) };
    let rows = FixedRows {
        queues: vec![QueueRow { target: Some("10.0.0.8".into()), ..queue(1, "b") }],
        entries: vec![is_closed],
        bindings: vec![binding(3, "blocked", Some("a"))],
        ..FixedRows::default()
    };
    check_several(
        &[off("a", Service::HotspotDevice), device],
        rows,
        &[
            "drop a /ip/hotspot/ip-binding *3 kick 02:00:00:00:00:AF",
            "add b: mac-address=02:00:00:00:00:AF address=10.0.0.8 type=bypassed comment=tawi:b kick 02:00:00:00:00:AF",
            "fail a a foreign row has that name",
        ],
    );
}

#[test]
fn somebody_elses_queue_entry_or_binding_is_a_failure_and_never_a_change() {
    let fail = &["fail a a foreign row has that name"];
    let device = || addressed("a", Service::HotspotDevice);
    let foreign_queue = QueueRow { mark: None, ..queue(1, "a") };
    check_fixed(device(), FixedRows { queues: vec![foreign_queue], ..FixedRows::default() }, fail);
    let entries = vec![entry(2, "tawi-off", None)];
    check_fixed(device(), FixedRows { entries, ..FixedRows::default() }, fail);
    let bindings = vec![binding(3, "bypassed", None)];
    check_fixed(device(), FixedRows { bindings, ..FixedRows::default() }, fail);
}

#[test]
fn an_address_that_no_customer_can_have_is_refused_before_the_router_takes_it_for_a_name() {
    for bad in ["", "203.0.113.1-254", "10.0.0.7/24", "plot1"] {
        let line = LineV1 { address: bad.into(), ..addressed("a", Service::Static) };
        check_fixed(line, FixedRows::default(), &["fail a refused by the router"]);
    }
    let line = LineV1 { caller_id: "phone".into(), ..addressed("a", Service::HotspotDevice) };
    check_fixed(line, FixedRows::default(), &["fail a refused by the router"]);
}

#[test]
fn queues_entries_and_bindings_of_lines_that_are_no_more_go() {
    let fixed = FixedRows {
        queues: vec![queue(1, "gone"), QueueRow { mark: None, ..queue(5, "x") }],
        entries: vec![entry(2, "tawi-off", Some("gone")), entry(6, "tawi-off", None)],
        bindings: vec![binding(3, "bypassed", Some("gone")), binding(7, "bypassed", None)],
        ..FixedRows::default()
    };
    let case = Case::of(&[], &[]).with(|case| case.fixed = fixed);
    check(
        &case,
        &[
            "drop gone /ip/firewall/address-list *2",
            "drop gone /queue/simple *1 cut Removed",
            "drop gone /ip/hotspot/ip-binding *3 kick 02:00:00:00:00:AF cut Removed",
        ],
    );
}
