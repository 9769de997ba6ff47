//! The agent's store on a disk in memory: the power goes at each action of its life, torn and not; the disk is full, refuses,
//! forgets, or is another. What the same does to files is in the places that `engine/conformance.rs` names.

use super::*;

const SEEDS: u64 = 8;

fn opened(disk: &Disk) -> (Keeper, Opening) {
    Keeper::on_disk(disk, IdSource::seeded(3), Clock::manual(UnixMillis(1_000)))
}

/// What an agent was told is safe, and what it holds after.
#[derive(Debug, Default)]
struct Told {
    generation: u64,
    events: usize,
    sessions: u64,
    seqs: u64,
}

/// A short life: states, events, totals, records with positions, and cursors. It stops where the power does.
fn live(disk: &Disk) -> Told {
    let mut told = Told::default();
    let cuts = disk.work().cuts;
    let (mut keeper, opening) = opened(disk);
    let mut state = opening.state;
    for round in 1..=6_u64 {
        state = moved(&state, &[line("a", i64::try_from(round).unwrap()), line("b", 1)], &[], &[profile()]);
        if keeper.put_state(Arc::clone(&state)).is_ok() {
            told.generation = state.generation;
        }
        keeper.put_events(&[event(&format!("event {round}"))], false);
        if keeper.overview().health == StoreHealth::Well {
            told.events += 1;
        }
        // What runs is safe with the next sync only; what is over at once.
        keeper.put_usage(
            vec![total("core/open", round, false), total(&format!("core/{round}"), 10, true)],
            false,
        );
        if keeper.overview().health == StoreHealth::Well {
            told.sessions = round;
        }
        let records = keeper.take(Lane::Event, 0, 16);
        told.seqs = records.last().map_or(told.seqs, |record| record.seq);
        if disk.work().cuts > cuts {
            break;
        }
    }
    told
}

#[test]
fn wherever_the_power_goes_what_was_acknowledged_is_there_and_nothing_is_half_there() {
    let whole = Disk::new(0);
    live(&whole);
    let actions = whole.work().commits + whole.work().syncs;
    assert!(actions > 30, "{actions} actions prove little");
    let mut torn_ones = 0;
    for (seed, at) in (0..SEEDS).flat_map(|seed| (0..actions).map(move |at| (seed, at))) {
        let is_tearing = seed % 2 == 1;
        let disk = Disk::new(seed);
        disk.cut_power_after(at, is_tearing);
        let told = live(&disk);
        assert_eq!(disk.work().cuts, 1, "seed {seed}: no cut at action {at}");
        let what = format!("seed {seed}, action {at}, torn {is_tearing}: {told:?}");
        let (mut keeper, opening) = opened(&disk);
        assert_eq!(opening.lost, None, "{what}");
        let (last_seq, events) =
            (keeper.overview().events.last_seq, details(&keeper.take(Lane::Event, 0, 16)));
        let sessions = totals(&keeper.take(Lane::Usage, 0, 16));
        let is_torn = keeper.overview().bad_records > 0;
        torn_ones += u64::from(is_torn);
        assert!(is_tearing || (opening.is_state_whole && !is_torn), "{what}: {:?}", keeper.overview());
        // A torn write of a state leaves none, which is asked for anew; never a wrong one.
        if opening.is_state_whole {
            assert!(opening.state.generation >= told.generation, "{what}: {}", opening.state.generation);
            let until = opening.state.lines.get("a").map_or(0, |held| held.item.valid_until_ms.unwrap());
            assert_eq!(until, i64::try_from(opening.state.generation).unwrap(), "{what}");
        } else {
            assert_eq!(opening.state.generation, 0, "{what}");
        }
        if !is_torn {
            assert!(last_seq >= told.seqs, "{what}: a position is given twice");
            let over = sessions.iter().filter(|(session, _)| session != "core/open").count();
            assert!(u64::try_from(over).unwrap() >= told.sessions, "{what}: {sessions:?}");
            assert!(events.len() >= told.events, "{what}: {events:?}");
            assert!(
                events.iter().zip(1..).all(|(event, number)| *event == format!("event {number}")),
                "{what}: {events:?}"
            );
        }
        // It goes on from there.
        assert_ne!(opened(&disk).0.overview().epoch, 0, "{what}");
    }
    assert!(torn_ones > 0, "nothing was torn, so that this proves nothing of it");
}

#[test]
fn the_same_seed_plays_the_same_life() {
    let play = |seed| {
        let disk = Disk::new(seed);
        disk.cut_power_after(11, true);
        live(&disk);
        let (keeper, opening) = opened(&disk);
        (opening.state.generation, keeper.overview(), disk.work())
    };
    assert_eq!(play(5), play(5));
}

#[test]
fn whoever_lived_before_the_cut_writes_nothing_after_it() {
    let disk = Disk::new(1);
    let (mut keeper, opening) = opened(&disk);
    let first = moved(&opening.state, &[line("a", 1)], &[], &[]);
    keeper.put_state(Arc::clone(&first)).unwrap();
    disk.cut_power();
    let later = moved(&first, &[line("a", 2)], &[], &[]);
    assert!(matches!(keeper.put_state(later), Err(StoreError::Unwritable { .. })));
    keeper.recover();
    assert!(matches!(keeper.overview().health, StoreHealth::Unwell { .. }));
    assert_eq!(opened(&disk).1.state.generation, 1);
    // Least of all when it is dropped.
    drop(keeper);
    assert_eq!(opened(&disk).1.state.generation, 1);
}

/// The disk takes nothing: said, kept in memory, and put down when it takes something again.
fn goes_on_in_memory(
    disk: &Disk,
    begin: impl Fn(&Disk),
    end: impl Fn(&Disk),
    is_right: fn(&StoreError) -> bool,
) {
    let (mut keeper, opening) = opened(disk);
    let first = moved(&opening.state, &[line("a", 1)], &[], &[]);
    keeper.put_state(Arc::clone(&first)).unwrap();
    let life = keeper.overview().epoch;
    begin(disk);
    let second = moved(&first, &[line("a", 2)], &[], &[]);
    let refused = keeper.put_state(Arc::clone(&second)).unwrap_err();
    assert!(is_right(&refused), "{refused}");
    keeper.put_events(&[event("meanwhile")], true);
    keeper.put_usage(vec![total("core/1", 7, true)], true);
    keeper.recover();
    let overview = keeper.overview();
    assert!(matches!(overview.health, StoreHealth::Unwell { .. }) && overview.in_memory >= 2, "{overview:?}");
    assert_eq!(overview.stored_generation, 1, "not told as stored");
    end(disk);
    keeper.recover();
    let overview = keeper.overview();
    assert_eq!((&overview.health, overview.in_memory), (&StoreHealth::Well, 0));
    assert_eq!((overview.epoch, overview.stored_generation), (life, 2), "the same life goes on");
    drop(keeper);
    disk.cut_power();
    let (mut keeper, opening) = opened(disk);
    assert_eq!((opening.lost, opening.state.generation), (None, 2));
    assert_eq!(totals(&keeper.take(Lane::Usage, 0, 16)), [("core/1".to_owned(), 7)]);
    let told = details(&keeper.take(Lane::Event, 0, 16));
    assert!(told.len() == 2 && told.iter().any(|detail| detail == "meanwhile"), "{told:?}");
}

#[test]
fn a_full_disk_loses_nothing_and_is_taken_up_again() {
    let is_full = |error: &StoreError| matches!(error, StoreError::NearlyFull { .. });
    goes_on_in_memory(&Disk::new(1), |disk| disk.fill(RESERVE_BYTES - 1), Disk::make_room, is_full);
}

#[test]
fn a_disk_that_refuses_is_not_damage_and_is_taken_up_again() {
    let is_refused = |error: &StoreError| matches!(error, StoreError::Unwritable { .. });
    goes_on_in_memory(&Disk::new(1), |disk| disk.refuse(true), |disk| disk.refuse(false), is_refused);
}

#[test]
fn a_disk_that_ends_within_a_commit_takes_none_of_it() {
    let disk = Disk::new(1);
    let (mut keeper, opening) = opened(&disk);
    let first = moved(&opening.state, &[line("a", 1)], &[], &[]);
    keeper.put_state(Arc::clone(&first)).unwrap();
    let before = disk.work();
    disk.fill(RESERVE_BYTES);
    // More than is left: nothing of it is there.
    let lines: Vec<_> = (0..20_000).map(|number| line(&format!("{number:0>100}"), 1)).collect();
    let refused = keeper.put_state(moved(&first, &lines, &[], &[])).unwrap_err();
    assert!(matches!(refused, StoreError::Full { .. }), "{refused}");
    assert_eq!(disk.work().commits, before.commits);
    disk.cut_power();
    assert_eq!(opened(&disk).1.state.lines, first.lines);
}

#[test]
fn flipped_bits_are_found_and_never_read_as_something_else() {
    let mut found = 0;
    for seed in 0..40 {
        let disk = Disk::new(seed);
        let told = live(&disk);
        assert!(disk.flip_bits(1 + seed % 4) > 0);
        let (mut keeper, opening) = opened(&disk);
        if opening.is_state_whole {
            assert_eq!(opening.state.generation, told.generation, "seed {seed}");
        }
        for detail in details(&keeper.take(Lane::Event, 0, 16)) {
            assert!(detail.starts_with("event ") || detail.contains("damaged"), "seed {seed}: {detail}");
        }
        let total = opening.open_sessions.first().map(|open| open.total.upload_bytes);
        assert!(total.is_none_or(|total| total == told.sessions), "seed {seed}: {total:?}");
        found += u64::from(keeper.overview().bad_records > 0);
    }
    assert!(found > 5, "{found}");
}

#[test]
fn a_disk_that_does_not_open_and_one_that_was_exchanged_begin_a_new_life() {
    let disk = Disk::new(1);
    let told = live(&disk);
    let life = opened(&disk).0.overview().epoch;
    disk.spoil();
    let (mut keeper, opening) = Keeper::on_disk(&disk, IdSource::seeded(9), Clock::manual(UnixMillis(5)));
    assert!(opening.lost.is_some() && !opening.are_sessions_known && told.generation > 0);
    assert_ne!(keeper.overview().epoch, life);
    let (_, message) = UpMessage::decode(&keeper.take(Lane::Event, 0, 16)[0].bytes).unwrap();
    assert!(matches!(message, UpMessage::Event(event) if event.kind == EventKind::StoreLost.code()));
    drop(keeper);
    disk.wipe();
    let (keeper, opening) = Keeper::on_disk(&disk, IdSource::seeded(10), Clock::manual(UnixMillis(5)));
    assert_eq!((opening.lost, opening.state.generation, opening.are_sessions_known), (None, 0, false));
    assert_eq!(keeper.overview().health, StoreHealth::Well);
}

#[tokio::test]
async fn an_outbox_without_a_thread_has_done_a_call_when_it_answers() {
    let disk = Disk::new(1);
    let (outbox, opening) = Outbox::inline(&disk, IdSource::seeded(1), Clock::manual(UnixMillis(1_000)));
    let state = moved(&opening.state, &[line("a", 1)], &[], &[]);
    let mut call = std::pin::pin!(outbox.call(move |keeper| keeper.put_state(state)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let answer = std::future::Future::poll(call.as_mut(), &mut context);
    assert_eq!(answer, std::task::Poll::Ready(Ok(Ok(()))), "nothing is waited for");
    assert_eq!(outbox.clone().call(|keeper| keeper.overview().stored_generation).await, Ok(1));
    assert!(disk.work().syncs > 0);
}
