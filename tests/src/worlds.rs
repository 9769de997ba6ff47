//! Plays worlds that are each made from a seed, one to a processor, until all were played or one has failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A seed that failed, and why.
#[derive(Debug)]
pub struct Failed {
    /// Which.
    pub seed: u64,
    /// Why.
    pub error: anyhow::Error,
}

/// Plays `seeds` of them from `first` on, `beside` each other; 0 for one to a processor. `add` takes what was played, and its
/// number.
///
/// # Errors
/// The first that failed.
pub fn play_all<T: Send>(
    (first, seeds): (u64, u64),
    beside: usize,
    play: impl Fn(u64) -> anyhow::Result<T> + Sync,
    add: impl FnMut(u64, T) + Send,
) -> Result<(), Failed> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let beside = if beside == 0 { processors } else { beside };
    let (next, failed, add) = (AtomicU64::new(0), Mutex::new(None), Mutex::new(add));
    let has_failed = || failed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    std::thread::scope(|threads| {
        for _ in 0..beside {
            threads.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= seeds || has_failed() {
                        return;
                    }
                    let seed = first.wrapping_add(number);
                    match play(seed) {
                        Ok(played) => add.lock().unwrap_or_else(PoisonError::into_inner)(number, played),
                        Err(error) => {
                            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                            failed.get_or_insert(Failed { seed, error });
                        }
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failed) => Err(failed),
        None => Ok(()),
    }
}
