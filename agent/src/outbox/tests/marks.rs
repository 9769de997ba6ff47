//! Records that a restart reads, in the shapes of this release and of those before.

use super::*;
use crate::clock::LeapInDoubt;
use crate::link::ledger::{KeptLine, LineMonth};

/// The bytes as they lie in stores at customers' sites. A release that knew of one period reads the running one as before,
/// and leaves the other alone.
#[test]
fn records_of_periods_are_read_as_releases_before_wrote_them_and_written_so_that_those_read_them() {
    const RUNNING: &str = "010000000d80d0dee8d96880e497d012010574a58864";
    const LAST: &str = "010000000880c0b5eec5684d0047547fb1";
    let told =
        PeriodCounted { period_ms: 1_798_761_600_000, ended_bytes: 5_000_000_000, told_bytes: Some(5) };
    let open = PeriodCounted { period_ms: 1_796_083_200_000, ended_bytes: 77, told_bytes: None };
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    let record = PeriodRecord { running: told, last: open };
    let periods = BTreeMap::from([("a".to_owned(), record)]);
    keeper.keep(Reported { periods, ..Reported::default() }, false, &Room::default(), &UsageDue::All);
    drop(keeper);
    let flash = directory.flash();
    let hex = |key: &[u8]| -> String {
        let bytes = flash.store.bytes(Place::Usage, key).unwrap().unwrap_or_default();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    assert_eq!((hex(b"qa").as_str(), hex(b"la").as_str()), (RUNNING, LAST));
    let mut changes = Changes::default();
    changes.remove(Place::Usage, b"la");
    flash.store.commit(&changes).unwrap();
    drop(flash);
    let (_, opening) = directory.open();
    let before = PeriodRecord { running: told, last: PeriodCounted::default() };
    assert_eq!(opening.book.periods, BTreeMap::from([("a".to_owned(), before)]), "one period alone");
}

/// Releases before kept when head office was heard, and neither what it stood behind nor its silence.
#[test]
fn marks_of_a_release_before_are_read() {
    let directory = Directory::new();
    drop(directory.open());
    let flash = directory.flash();
    let mut changes = Changes::default();
    changes.put(Place::Meta, b"clock", &UnixMillis(7_000)).unwrap();
    changes.put(Place::Meta, b"heard", &UnixMillis(4_000)).unwrap();
    flash.store.commit(&changes).unwrap();
    drop(flash);
    let (_, opening) = directory.open();
    let time = KeptTime { floor: UnixMillis(7_000), vouched: None, leap_in_doubt: None };
    assert_eq!(
        opening.marks,
        Marks {
            time,
            silence: Some(KeptSilence::unheeded(Duration::from_secs(3))),
            lived: None,
            ..Marks::default()
        }
    );
}

#[test]
fn marks_of_clock_and_routers_survive() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    let leap = LeapInDoubt { counted: UnixMillis(70), until: UnixMillis(77) };
    let time = KeptTime { floor: UnixMillis(77), vouched: Some(UnixMillis(66)), leap_in_doubt: Some(leap) };
    let mut marks = Marks {
        time,
        silence: Some(KeptSilence { whole: Duration::from_millis(55), struck: Duration::from_millis(33) }),
        lived: Some(Duration::from_millis(44)),
        line: KeptLine {
            running: LineMonth { month: 202_611, ..LineMonth::default() },
            ..KeptLine::default()
        },
    };
    keeper.put_marks(marks);
    let own_passwords = BTreeMap::from([("a".to_owned(), 7), ("b".to_owned(), 9)]);
    let cuts = |of: &[(&str, i64)]| {
        of.iter().map(|(line, at)| ((*line).to_owned(), Some(UnixMillis(*at)))).collect()
    };
    let mut memory = RouterMemory { serial: "HEX1".into(), own_passwords, ..RouterMemory::default() };
    memory.cuts = cuts(&[("a", 3), ("b", 4)]);
    keeper.put_memory("core", &memory).unwrap();
    memory.own_passwords = BTreeMap::from([("c".to_owned(), 11)]);
    memory.forgotten_passwords.insert("a".to_owned());
    // The hour of `a` is over, `b` was cut once more, and nobody knows when `c` was.
    memory.cuts = cuts(&[("b", 5)]);
    memory.cuts.insert("c".to_owned(), None);
    keeper.put_memory("core", &memory).unwrap();
    // What a line is forgotten by is its name; `b` was merely not named.
    memory.own_passwords.insert("b".to_owned(), 9);
    memory.forgotten_passwords.clear();
    keeper.put_settled("core", 9);
    keeper.sync();
    drop(keeper);
    let (mut keeper, opening) = directory.open();
    assert_eq!(opening.marks, marks);
    // A leap that is no longer in doubt leaves nothing behind.
    marks.time.leap_in_doubt = None;
    keeper.put_marks(marks);
    keeper.sync();
    drop(keeper);
    let (_, opening) = directory.open();
    assert_eq!(opening.marks, marks);
    assert_eq!(opening.settled, BTreeMap::from([("core".to_owned(), 9)]));
    assert_eq!(opening.memories, BTreeMap::from([("core".to_owned(), memory)]));
}
