//! `money`: the simulation of money for as long as somebody has patience, printed as JSON.
//!
//! Worlds of their own, each made from a seed, are played beside each other, one to a processor. Each is the real controller on
//! the real store; `tawi_tests::money` says what it goes through and what must hold. The first that fails ends it, with the
//! command that plays it alone.

use anyhow::{Context as _, bail};
use clap::Parser;
use serde::Serialize;
use tawi_tests::money::{self, Played};
use tawi_tests::worlds::{Failed, play_all};
use tokio::time::Instant;

/// Plays payments in random order with losses and lies, and checks the books against others that are kept apart.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  make bench-money                       a million steps\n  \
                        make bench-money STEPS=50000           fewer\n  \
                        money --seed 7 --seeds 1 --steps 500   one world, as a failure names it")]
struct Arguments {
    /// Steps in all.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// The seed of the first world; the others follow it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Worlds that share the steps.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Worlds that are played beside each other; 0 for one to a processor.
    #[arg(long, default_value_t = 0)]
    beside: usize,
}

#[derive(Debug, Serialize)]
struct Measured {
    #[serde(flatten)]
    played: Played,
    worlds: u64,
    first_seed: u64,
    seconds: f64,
    steps_per_second: u64,
    /// Differences between the books and those kept apart: a simulation with one does not come so far.
    differences: u64,
}

/// Steps in which everything happens that there is.
const ALL_KINDS_IN: u64 = 200_000;

/// Worlds between two words of progress.
const TOLD_EVERY: u64 = 10;

fn main() -> anyhow::Result<()> {
    let Arguments { steps, seed, seeds, beside } = Arguments::parse();
    let each = steps.div_ceil(seeds);
    let template = money::template().context("making the first world")?;
    let began = Instant::now();
    let mut played = Played::default();
    let outcome = play_all(
        (seed, seeds),
        beside,
        |seed| money::play(&template, seed, each),
        |number, one| {
            played = std::mem::take(&mut played).and(one);
            if number.is_multiple_of(TOLD_EVERY) {
                eprintln!("· {} steps after {} s", played.steps, began.elapsed().as_secs());
            }
        },
    );
    if let Err(Failed { seed, error }) = outcome {
        bail!("seed {seed}: {error:#}\nto see it again: money --seed {seed} --seeds 1 --steps {each}");
    }
    let missing = played.missing();
    if played.steps >= ALL_KINDS_IN && !missing.is_empty() {
        bail!("nothing differs, and this never happened in {} steps: {}", played.steps, missing.join(", "));
    }
    let seconds = began.elapsed().as_secs_f64();
    let steps_per_second =
        played.steps.saturating_mul(1_000) / u64::try_from(began.elapsed().as_millis())?.max(1);
    let measured =
        Measured { played, worlds: seeds, first_seed: seed, seconds, steps_per_second, differences: 0 };
    println!("{}", serde_json::to_string_pretty(&measured)?);
    Ok(())
}
