//! Running totals by short names: who is told so, and what they take.

use super::*;

/// A large site's sessions, as they are named.
const SESSIONS: u64 = 200;

fn names() -> Vec<String> {
    (0..SESSIONS).map(|number| format!("core/pppoe/8100{number:04x}/1790000{number:03}")).collect()
}

fn put(keeper: &mut Keeper, bytes: u64) {
    let running = |name: &String| {
        let mut counted = total(name, bytes, false);
        counted.total.line = "0123456789abcdef0123".into();
        counted.total.sampled_at_ms = 1_790_000_000_123;
        counted
    };
    keeper.put_usage(names().iter().map(running).collect(), false);
}

/// What is told after a position: how many sessions in full, how many by their short names, and in how many bytes.
fn told(keeper: &mut Keeper, after: u64) -> (usize, usize, usize) {
    let mut told = (0, 0, 0);
    for record in keeper.take(Lane::Usage, after, 16) {
        told.2 += record.bytes.len();
        match UpMessage::decode(&record.bytes).unwrap().1 {
            UpMessage::Usage(batch) => told.0 += batch.sessions.len(),
            UpMessage::UsageTotals(totals) => told.1 += totals.totals.len(),
            other => panic!("{other:?}"),
        }
    }
    told
}

fn commit(keeper: &mut Keeper) -> u64 {
    let Overview { epoch, usage, .. } = keeper.overview();
    keeper.forget(Lane::Usage, epoch, usage.last_seq);
    usage.last_seq
}

#[test]
fn what_was_named_and_committed_is_told_in_a_fifth_of_the_bytes() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    keeper.speak(2);
    put(&mut keeper, 1_000_000_000);
    let (named, short, in_full) = told(&mut keeper, 0);
    assert_eq!((named, short), (200, 0));
    // Named, and head office has not said that it has it.
    put(&mut keeper, 1_000_001_000);
    let before = keeper.overview().usage.last_seq;
    assert_eq!(told(&mut keeper, before).0, 200);
    let before = commit(&mut keeper);
    put(&mut keeper, 1_000_002_000);
    let (named, short, bytes) = told(&mut keeper, before);
    assert_eq!((named, short), (0, 200));
    assert_eq!(keeper.overview().usage.last_seq, before + 1, "in one message");
    assert!(bytes <= 200 * 16 && bytes * 5 < in_full, "{bytes} bytes, and {in_full} in full");
    // Whoever is over is told in full, for good.
    let before = commit(&mut keeper);
    keeper.put_usage(vec![total(&names()[0], 1_000_003_000, true)], false);
    assert_eq!(totals(&keeper.take(Lane::Usage, before, 16)), [(names()[0].clone(), 1_000_003_000)]);
}

#[test]
fn a_restart_another_life_and_an_older_head_office_hear_names() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    keeper.speak(2);
    put(&mut keeper, 1);
    told(&mut keeper, 0);
    let before = commit(&mut keeper);
    put(&mut keeper, 2);
    assert_eq!(told(&mut keeper, before).1, 200);
    // Sealed for one that knows it, and asked for by one that does not: the position is kept, and says nothing.
    keeper.speak(1);
    let record = keeper.take(Lane::Usage, before, 16).remove(0);
    assert_eq!(record.seq, before + 1);
    assert!(
        matches!(UpMessage::decode(&record.bytes).unwrap().1, UpMessage::Usage(batch) if batch.sessions.is_empty())
    );
    put(&mut keeper, 3);
    assert_eq!(told(&mut keeper, before + 1).0, 200);
    keeper.speak(2);
    assert_eq!(told(&mut keeper, before).1, 200, "it is on flash as it was");
    let before = commit(&mut keeper);
    drop(keeper);
    let (mut keeper, _) = directory.open();
    keeper.speak(2);
    put(&mut keeper, 4);
    assert_eq!(told(&mut keeper, before).0, 200, "after a restart each is named once");
    commit(&mut keeper);
    // A cursor of positions that were never given: another life begins.
    let Overview { epoch, usage, .. } = keeper.overview();
    keeper.forget(Lane::Usage, epoch, usage.last_seq + 1);
    assert_ne!(keeper.overview().epoch, epoch);
    put(&mut keeper, 5);
    assert_eq!(told(&mut keeper, 0).0, 200);
}
