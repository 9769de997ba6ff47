//! Five hundred worlds of the simulation of the link, small ones: `make soak` plays more of them.
//!
//! A world that fails names its seed; `target/debug/link --seed … --seeds 1` plays it alone.

use tawi_tests::link::{self, Played};
use tawi_tests::worlds::{Failed, play_all};

/// Worlds, always the same.
const SEEDS: u64 = 500;
/// Steps of each.
const STEPS: u64 = 150;

#[test]
fn five_hundred_worlds_of_lost_words_dead_disks_and_lies_end_as_head_office_wants_them() {
    let template = link::template().unwrap();
    let mut sum = Played::default();
    let add = |_, played| sum = std::mem::take(&mut sum).and(played);
    if let Err(Failed { seed, error }) =
        play_all((1, SEEDS), 0, |seed| link::play(&template, seed, STEPS), add)
    {
        panic!("seed {seed}: {error:#}\nagain: target/debug/link --seed {seed} --seeds 1 --steps {STEPS}");
    }
    assert!(sum.missing().is_empty(), "this never happened: {:?}", sum.missing());
    println!("{sum:#?}");
}

#[test]
fn a_seed_plays_the_same_each_time() {
    let template = link::template().unwrap();
    for seed in [4, 9] {
        let first = link::play(&template, seed, STEPS).unwrap();
        assert_eq!(first, link::play(&template, seed, STEPS).unwrap());
        assert!(first.messages > 0 && first.bytes > 0, "{first:?}");
    }
}
