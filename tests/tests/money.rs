//! Two hundred worlds of the simulation of money, small ones: `make bench-money` plays large ones.
//!
//! A world that fails names its seed; `target/debug/money --seed … --seeds 1 --steps …` plays it alone.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tawi_tests::money;

/// Worlds, always the same.
const SEEDS: u64 = 200;
/// Steps of each: enough for a payment to be asked for, told, moved, given back and healed.
const STEPS: u64 = 60;

#[test]
fn two_hundred_worlds_of_losses_lies_and_corrections_leave_every_shilling_where_it_belongs() {
    let template = money::template().unwrap();
    let next = AtomicU64::new(1);
    let failed = Mutex::new(Vec::new());
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|threads| {
        for _ in 0..processors {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > SEEDS || !failed.lock().unwrap().is_empty() {
                        return;
                    }
                    if let Err(error) = money::play(&template, seed, STEPS) {
                        let again = format!("target/debug/money --seed {seed} --seeds 1 --steps {STEPS}");
                        failed.lock().unwrap().push(format!("seed {seed}: {error:#}\nagain: {again}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
