//! A store that is shut while the agent starts and opens later.

use super::*;
use crate::reconcile::memory::SpeedChange;

#[test]
fn a_store_that_opens_late_is_joined_with_what_was_kept_without_it() {
    const P: i64 = 7;
    let directory = Directory::new();
    let of_period = |session: &str, bytes, is_ended| {
        let mut counted = total(session, bytes, is_ended);
        counted.total.period_started_ms = P;
        counted
    };
    let reported = |usage: Vec<Counted>, ended_bytes| {
        let running = PeriodCounted { period_ms: P, ended_bytes, told_bytes: None };
        let record = PeriodRecord { running, last: PeriodCounted::default() };
        Reported { usage, periods: BTreeMap::from([("a".to_owned(), record)]), ..Reported::default() }
    };
    let before =
        |bytes| BTreeMap::from([("a".to_owned(), CountedBefore { period_ms: P, bytes, own_bytes: 0 })]);
    let keep = |keeper: &mut Keeper, reported| keeper.keep(reported, false, &Room::default(), &UsageDue::All);
    let (mut keeper, opening) = directory.open();
    let epoch = opening.epoch;
    keep(&mut keeper, reported(vec![of_period("core/1", 5, false), of_period("core/2", 30, true)], 30));
    keeper.put_befores(before(100));
    drop(keeper);

    // Somebody else holds the files.
    let held = directory.flash();
    let (mut keeper, opening) = directory.open();
    assert_eq!((opening.epoch, keeper.found_book().is_some()), (0, false));
    let mut book = QuotaBook::default();
    let mut count = |keeper: &mut Keeper, session: &str, bytes, ended_bytes| {
        let over = Counted { grown_bytes: bytes, ..of_period(session, bytes, true) };
        let periods = book.take(std::slice::from_ref(&over), |_| P);
        assert_eq!(periods["a"].running.ended_bytes, ended_bytes);
        keep(keeper, reported(vec![over], ended_bytes));
        book.clone()
    };
    count(&mut keeper, "core/3", 10, 10);
    // What it is told then is all that head office knows, of this store and of others.
    keeper.put_befores(before(120));
    keeper.recover();
    assert!(keeper.found_book().is_none(), "it is still shut");
    drop(held);
    keeper.recover();
    let mut joined = count(&mut keeper, "core/4", 2, 12);
    joined.join(&keeper.found_book().expect("it is open"));
    assert_eq!(joined.used("a", P), 100 + 30 + 10 + 12);
    drop(keeper);

    let (_, opening) = directory.open();
    assert_eq!((opening.epoch, opening.open_sessions.len()), (epoch, 0), "core/1 is over");
    let again = QuotaBook::load(epoch, &opening.book, &opening.open_sessions);
    assert_eq!(again.used("a", P), 100 + 30 + 10 + 12, "after a restart");
}

/// The store is shut while the agent starts; what it remembers is not taken for forgotten, and is handed over.
#[test]
fn a_store_that_opens_late_loses_nothing_that_it_remembers_of_a_router() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    let own_passwords = BTreeMap::from([("a".to_owned(), 7), ("b".to_owned(), 9)]);
    let speed = |line: &str| SpeedChange {
        service: 1,
        profile: String::new(),
        line: line.to_owned(),
        at_ms: 1,
        names: vec![line.to_owned()],
    };
    let before = RouterMemory {
        serial: "HEX1".into(),
        own_passwords,
        speeds: vec![speed("a")],
        ..RouterMemory::default()
    };
    keeper.put_memory("core", &before).unwrap();
    keeper.put_settled("core", 9);
    let lived = Some(Duration::from_secs(60));
    keeper.put_marks(Marks { lived, ..Marks::default() });
    let begun = Kept {
        id: "k1".into(),
        not_after_ms: 99,
        status: tawi_shared::wire::CommandStatus::Executing.code(),
        at_ms: 1,
        detail: String::new(),
    };
    keeper.put_commands(std::slice::from_ref(&begun)).unwrap();
    drop(keeper);

    let held = directory.flash();
    let (mut keeper, opening) = directory.open();
    assert!(opening.memories.is_empty() && opening.commands.is_empty());
    let mut memory = RouterMemory { serial: "HEX1".into(), ..RouterMemory::default() };
    assert!(keeper.put_memory("core", &memory).is_err());
    drop(held);
    keeper.recover();
    // The reconciler speaks before it hears of anything, of a row that was taken over meanwhile.
    memory.own_passwords.insert("c".to_owned(), 11);
    memory.speeds = vec![speed("c")];
    keeper.put_memory("core", &memory).unwrap();
    let late = keeper.found_late().expect("it is open");
    let remembered = Remembered { memory: before, settled: Some(9), lived };
    assert_eq!(late.memories, BTreeMap::from([("core".to_owned(), remembered)]));
    assert_eq!(late.commands, std::slice::from_ref(&begun));
    assert!(keeper.put_commands(std::slice::from_ref(&begun)).is_err(), "it would be begun twice");
    let done = Kept { status: tawi_shared::wire::CommandStatus::Failed.code(), ..begun.clone() };
    assert!(keeper.put_commands(&[done]).is_err(), "nobody knows what became of it");
    memory.forgotten_passwords.insert("b".to_owned());
    keeper.put_memory("core", &memory).unwrap();
    drop(keeper);
    let (mut keeper, opening) = directory.open();
    let kept = BTreeMap::from([("a".to_owned(), 7), ("c".to_owned(), 11)]);
    assert_eq!(opening.memories["core"].own_passwords, kept);
    assert_eq!(opening.memories["core"].speeds, [speed("a"), speed("c")], "a power cut came before it heard");
    assert_eq!(opening.commands, [begun]);
    // Whoever has heard of it decides what is still owed.
    keeper.put_memory("core", &RouterMemory { is_joined: true, ..memory }).unwrap();
    drop(keeper);
    assert_eq!(directory.open().1.memories["core"].speeds, [speed("c")]);
}

#[test]
fn a_store_that_opens_late_brings_its_marks_of_time() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    let time = KeptTime { floor: UnixMillis(77), vouched: Some(UnixMillis(66)), leap_in_doubt: None };
    let marks = Marks {
        time,
        silence: Some(KeptSilence::unheeded(Duration::from_secs(9))),
        lived: None,
        ..Marks::default()
    };
    keeper.put_marks(marks);
    drop(keeper);
    let held = directory.flash();
    let (mut keeper, opening) = directory.open();
    assert_eq!(opening.marks, Marks::default());
    drop(held);
    keeper.recover();
    assert_eq!(keeper.found_late().unwrap().marks, marks);
}
