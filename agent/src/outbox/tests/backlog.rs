//! A site that was cut off: what is fresh is told before all that waited, and of that as much as the line's budget allows.

use super::*;
use tawi_shared::wire::{RouterWriteV1, WriteStatus};

use super::super::records::event_to_wire;
use crate::link::budget::Allowance;
use crate::link::window::Window;

/// Sessions that ended while the site was cut off: some eighty fit one record.
const ENDED: usize = 200;

fn cut_off(keeper: &mut Keeper) {
    let ended = (0..ENDED).map(|number| total(&format!("core/{number:04}"), 7, true)).collect();
    keeper.put_usage(ended, true);
    let came = |number: u32| Event { line: None, ..event(&format!("came {number}")) };
    let backlog = (0..40).map(came).collect();
    let events = vec![Event { kind: EventKind::RouterLost, ..event("router lost") }];
    keeper.keep(
        Reported { events, backlog, ..Reported::default() },
        true,
        &Room::default(),
        &UsageDue::Nothing,
    );
}

/// What is told at once, and then confirmed: details of events, ended and running sessions.
fn told(keeper: &mut Keeper, due: &UsageDue, backlog_bytes: u64) -> (Vec<String>, usize, usize) {
    let Overview { epoch, events, usage, .. } = keeper.overview();
    let mut window = Window::default();
    window.hello(Duration::ZERO);
    window.cursor(Lane::Event, events.last_seq - events.sealed);
    window.cursor(Lane::Usage, usage.last_seq - usage.sealed);
    let room = window.room(true, true, true).within(Allowance { fresh: true, backlog_bytes, answers: true });
    let mut told = (Vec::new(), 0, 0);
    for (next, records) in keeper.keep(Reported::default(), false, &room, due) {
        for record in records {
            match UpMessage::decode(&record.bytes).unwrap().1 {
                UpMessage::Event(event) => told.0.push(event.detail),
                UpMessage::Usage(batch) => {
                    let ended = batch.sessions.iter().filter(|session| session.is_ended).count();
                    told.1 += ended;
                    told.2 += batch.sessions.len() - ended;
                }
                other => panic!("{other:?}"),
            }
            keeper.forget(next.lane, epoch, record.seq);
        }
    }
    told
}

#[test]
fn what_is_fresh_goes_first_and_the_backlog_as_far_as_the_budget_goes() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    cut_off(&mut keeper);
    keeper.put_usage(vec![total("core/now", 9, false)], true);
    let sizes = |keeper: &Keeper| {
        let Overview { events, usage, .. } = keeper.overview();
        (events.pending, events.backlog, usage.pending, usage.backlog)
    };
    let all = u64::try_from(ENDED).unwrap();
    assert_eq!(sizes(&keeper), (40, 40, all + 1, all));
    // A restart finds it as it was.
    drop(keeper);
    let (mut keeper, _) = directory.open();
    assert_eq!(sizes(&keeper), (40, 40, all + 1, all));
    assert_eq!(told(&mut keeper, &UsageDue::All, 0), (vec!["router lost".to_owned()], 0, 1));
    assert_eq!(sizes(&keeper), (40, 40, all, all));
    // One record at least where anything is allowed; who came and went waits for whatever was used.
    let (events, some, _) = told(&mut keeper, &UsageDue::Nothing, 1);
    assert!(events.is_empty() && (20..100).contains(&some), "{events:?} {some}");
    // What is fresh does not wait behind it, and neither does the end of a session.
    keeper.put_events(&[event("fresh")], false);
    keeper.put_usage(vec![total("core/now", 10, true)], false);
    assert_eq!(told(&mut keeper, &UsageDue::All, 0), (vec!["fresh".to_owned()], 1, 0));
    let mut left = ENDED - some;
    while left > 0 {
        let (events, some, _) = told(&mut keeper, &UsageDue::Nothing, 4_000);
        assert!(some > 0, "{left} are left");
        left -= some;
        assert!(events.is_empty() || left == 0, "{left} are left, and {events:?}");
    }
    assert_eq!(sizes(&keeper).3, 0);
    let mut came = Vec::new();
    while sizes(&keeper).1 > 0 {
        let (events, ..) = told(&mut keeper, &UsageDue::Nothing, 500);
        assert!((1..=5).contains(&events.len()), "{events:?}");
        came.extend(events);
    }
    assert_eq!(came, (0..40).map(|number| format!("came {number}")).collect::<Vec<_>>());
    assert_eq!(sizes(&keeper), (0, 0, 0, 0));
}

#[test]
fn the_log_waits_for_the_backlog_and_for_the_budget() {
    let directory = Directory::new();
    let mut flash = directory.flash();
    let write = RouterWriteV1 {
        at_ms: 1,
        router: "core".into(),
        operation: "/ppp/secret/set".into(),
        parameters: String::new(),
        line: None,
        status: WriteStatus::Done.code(),
        detail: String::new(),
    };
    flash.put_writes(vec![write]).unwrap();
    let came = Event { line: None, ..event("came") };
    flash.put_backlog(vec![event_to_wire(&came)]).unwrap();
    let mut logs = |bytes| flash.take(Lane::Log, 0, 9, (&UsageDue::Nothing, bytes)).unwrap().len();
    assert_eq!((logs(0), logs(u64::MAX)), (0, 0));
    assert_eq!(flash.take(Lane::Event, 0, 9, (&UsageDue::Nothing, 1)).unwrap().len(), 1);
    let mut logs = |bytes| flash.take(Lane::Log, 0, 9, (&UsageDue::Nothing, bytes)).unwrap().len();
    assert_eq!((logs(0), logs(1)), (0, 1));
}

#[test]
fn how_a_line_stands_is_told_before_how_it_came_to_that() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    let of = |line: &str, detail: &str| Event { line: Some(line.into()), ..event(detail) };
    let put = |keeper: &mut Keeper, backlog| {
        let reported = Reported { backlog, ..Reported::default() };
        keeper.keep(reported, true, &Room::default(), &UsageDue::Nothing);
    };
    put(&mut keeper, vec![of("a", "a 1"), of("b", "b 1"), of("a", "a 2")]);
    put(&mut keeper, vec![of("a", "a 3")]);
    drop(keeper);
    let (mut keeper, _) = directory.open();
    let sizes = |keeper: &Keeper| (keeper.overview().events.pending, keeper.overview().events.backlog);
    assert_eq!(sizes(&keeper), (4, 2));
    put(&mut keeper, vec![of("b", "b 2")]);
    assert_eq!(sizes(&keeper), (5, 3));
    keeper.put_events(&[event("fresh")], false);
    assert_eq!(told(&mut keeper, &UsageDue::Nothing, 0).0, ["fresh", "a 3", "b 2"]);
    assert_eq!(told(&mut keeper, &UsageDue::Nothing, u64::MAX).0, ["a 1", "b 1", "a 2"]);
    assert_eq!(sizes(&keeper), (0, 0));
}
