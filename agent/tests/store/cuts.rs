//! The power goes while the agent writes: its calls to the system are recorded, and played to a disk that keeps only what was
//! synced, and any part of the rest. Each time the agent starts on what is left.
//!
//! It proves the order of our syncs, the engine's, and that of the directories, against any disk that honours a flush. It proves
//! nothing of a card that says "done" before it is, or that damages what it wrote long ago: what that does is in
//! `outbox/tests/damage.rs`.

use super::*;
use crate::recorder::{Action, Disk, Leaves, record};

/// Cuts that are tried.
const CUTS: usize = 300;
/// Rounds of writes before each of the two restarts and the copy, and after.
const ROUNDS: u64 = 14;

/// Runs in a process of its own, under strace: a life of a store from its first start on, with what is safe said as soon as
/// it is.
#[test]
#[ignore = "it is the life that the test below records"]
fn recorded() {
    let directory = PathBuf::from(std::io::stdin().lines().next().unwrap().unwrap());
    let say = |what: String| {
        // The harness may have begun a line of its own.
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{what}").and_then(|()| out.flush()).unwrap();
    };
    let mut number = 0;
    for life in 0..3 {
        let (mut keeper, opening) = open(&directory);
        let mut state = opening.state;
        say(format!("epoch {}", keeper.overview().epoch));
        for round in 0..ROUNDS {
            number += 1;
            state = next(&state);
            keeper.put_state(Arc::clone(&state)).unwrap();
            say(format!("state {}", state.generation));
            keeper.put_events(&[event(number)], false);
            keeper.put_usage(vec![ended(number).into()], false);
            assert_eq!(keeper.overview().health, StoreHealth::Well);
            say(format!("records {number}"));
            if round % 4 == 3 {
                let record = keeper.take(Lane::Event, 0, 3).pop().unwrap();
                say(format!("given {}", keeper.overview().events.last_seq));
                say(format!("forgetting {}", record.seq));
                keeper.forget(Lane::Event, keeper.overview().epoch, record.seq);
            }
            if life > 0 && round == ROUNDS / 2 {
                keeper.rewrite();
                assert_eq!(keeper.overview().health, StoreHealth::Well);
                say("copied".to_owned());
            }
        }
    }
}

/// What the agent had said when the power went.
#[derive(Clone, Debug, Default)]
struct Promised {
    epoch: Option<u32>,
    generation: u64,
    records: u64,
    given: u64,
    forgetting: u64,
    copies: u64,
}

impl Promised {
    fn hear(&mut self, line: &str) {
        self.copies += u64::from(line == "copied");
        let Some((what, number)) = line.split_once(' ') else { return };
        let number = number.parse::<u64>();
        match (what, number) {
            ("epoch", Ok(epoch)) => self.epoch = u32::try_from(epoch).ok(),
            ("state", Ok(generation)) => self.generation = generation,
            ("records", Ok(number)) => self.records = number,
            ("given", Ok(seq)) => self.given = seq,
            ("forgetting", Ok(seq)) => self.forgetting = seq,
            _ => {}
        }
    }

    /// The agent starts on what is left.
    fn is_kept(&self, directory: &Path, what: &str) {
        let (mut keeper, opening) = open(directory);
        let overview = keeper.overview();
        let what = format!("{what}: {self:?}: {overview:?}");
        assert_eq!(overview.health, StoreHealth::Well, "{what}");
        // Whatever nobody was told of may be gone with its store, if that is said.
        if self.epoch.is_some() {
            assert_eq!(opening.lost, None, "{what}");
            assert_eq!(Some(overview.epoch), self.epoch, "{what}");
        }
        assert!(opening.is_state_whole && overview.bad_records == 0, "{what}");
        let generation = opening.state.generation;
        assert!(generation >= self.generation, "{what}: {generation}");
        for held in opening.state.lines.values() {
            let until = u64::try_from(held.item.valid_until_ms.unwrap()).unwrap();
            assert!(until <= generation && until + LINES > generation, "{what}: half a state");
        }
        assert!(overview.events.last_seq >= self.given, "{what}: a position would be given twice");
        let sessions = drain(&mut keeper, Lane::Usage);
        let lost = (1..=self.records).find(|number| !sessions.contains(number));
        assert_eq!(lost, None, "{what}: the total of a session is lost");
        let events = drain(&mut keeper, Lane::Event);
        let missing = (1..=self.records).filter(|number| !events.contains(number)).count();
        assert!(u64::try_from(missing).unwrap() <= self.forgetting, "{what}: {missing} events are lost");
    }
}

fn played(root: &Path, actions: &[Action], until: usize) -> (Disk, Promised) {
    let (mut disk, mut promised) = (Disk::new(root), Promised::default());
    for action in actions.iter().take(until) {
        if let Some(line) = disk.take(action) {
            promised.hear(&line);
        }
    }
    (disk, promised)
}

#[test]
fn whatever_a_disk_that_honours_a_flush_loses_in_a_power_cut_nothing_that_was_promised_is_lost() {
    let directory = Directory::new("recorded");
    let root = directory.0.join("state");
    std::fs::create_dir(&root).unwrap();
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", "cuts::recorded", "--ignored", "--nocapture", "--test-threads=1"];
    let input = format!("{}\n", root.display());
    let actions = record(&program, &arguments, &input, &directory.0.join("strace"));
    let (_, all) = played(&root, &actions, usize::MAX);
    assert_eq!((all.records, all.copies), (3 * ROUNDS, 2), "the whole life was recorded");

    let chance = IdSource::seeded(23);
    let (mut lossy, mut with_past) = (0, 0);
    for cut in 0..CUTS {
        // A third of them early, where a store is made, which happens once in its life.
        let span = if cut % 3 == 0 { actions.len() / 6 } else { actions.len() };
        let at = usize::try_from(chance.number()).unwrap() % (span + 1);
        let leaves = [Leaves::Nothing, Leaves::First, Leaves::Some, Leaves::Some][cut % 4];
        let (disk, promised) = played(&root, &actions, at);
        let left = Directory::new("cut");
        disk.leave(leaves, &chance, &left.0);
        promised.is_kept(&left.0, &format!("cut {cut} after {at} of {} actions, {leaves:?}", actions.len()));
        lossy += usize::from(disk.waits());
        with_past += usize::from(promised.records > 0);
    }
    assert!(lossy > CUTS / 2 && with_past > CUTS / 2, "{lossy} cuts lost something, {with_past} had a past");
    println!(
        "{} actions recorded; {CUTS} cuts, of which {lossy} lost something, and nothing promised",
        actions.len()
    );
}
