//! Two hundred worlds of the simulation of money, small ones: `make bench-money` plays large ones.
//!
//! A world that fails names its seed; `target/debug/money --seed … --seeds 1 --steps …` plays it alone.

use tawi_tests::money;
use tawi_tests::worlds::{Failed, play_all};

/// Worlds, always the same.
const SEEDS: u64 = 200;
/// Steps of each: enough for a payment to be asked for, told, moved, given back and healed.
const STEPS: u64 = 60;

#[test]
fn two_hundred_worlds_of_losses_lies_and_corrections_leave_every_shilling_where_it_belongs() {
    let template = money::template().unwrap();
    let played = play_all((1, SEEDS), 0, |seed| money::play(&template, seed, STEPS), |_, _| ());
    if let Err(Failed { seed, error }) = played {
        panic!("seed {seed}: {error:#}\nagain: target/debug/money --seed {seed} --seeds 1 --steps {STEPS}");
    }
}
