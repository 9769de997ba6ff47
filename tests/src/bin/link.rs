//! `link`: the simulation of the link for as long as somebody has patience, printed as JSON.
//!
//! `tawi_tests::link` says what it goes through and what must hold. The first world that fails ends it, with the command that
//! plays it alone.

use anyhow::bail;
use clap::Parser;
use serde::Serialize;
use tawi_tests::link::{self, Played};
use tawi_tests::worlds::{Failed, play_all};
use tokio::time::Instant;

/// Plays head office and twenty sites with lines that lose, double and reorder, and disks, power and clocks that fail.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  make soak SEEDS=100000       a night\n  \
                        make soak SEED=7 SEEDS=1     one world, as a failure names it\n  \
                        link --seed 7 --seeds 1 --steps 150 --tell-of site-04\n                               \
                        what was said to and by one site")]
struct Arguments {
    /// The seed of the first world; the others follow it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Worlds.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Steps of each.
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Write what this site says and hears to standard error, such as site-04
    #[arg(long, value_name = "SITE")]
    tell_of: Option<String>,
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
    /// Worlds in which something did not hold: a simulation with one does not come so far.
    failures: u64,
}

/// Worlds in which everything happens that there is.
const ALL_KINDS_IN: u64 = 500;
/// Worlds between two words of progress.
const TOLD_EVERY: u64 = 250;

fn main() -> anyhow::Result<()> {
    let Arguments { seed, seeds, steps, tell_of, beside } = Arguments::parse();
    let template = link::template()?;
    let began = Instant::now();
    let mut sum = Played::default();
    let played = play_all(
        (seed, seeds),
        beside,
        |seed| link::play_and_tell(&template, seed, steps, tell_of.as_deref()),
        |number, played| {
            sum = std::mem::take(&mut sum).and(played);
            if number > 0 && number.is_multiple_of(TOLD_EVERY) {
                eprintln!("· {number} of {seeds} worlds after {} s", began.elapsed().as_secs());
            }
        },
    );
    if let Err(Failed { seed, error }) = played {
        bail!("seed {seed}: {error:#}\nto see it again: link --seed {seed} --seeds 1 --steps {steps}");
    }
    let missing = sum.missing();
    if seeds >= ALL_KINDS_IN && !missing.is_empty() {
        bail!("everything holds, and this never happened in {seeds} worlds: {}", missing.join(", "));
    }
    let seconds = began.elapsed().as_secs_f64();
    let measured = Measured { played: sum, worlds: seeds, first_seed: seed, seconds, failures: 0 };
    println!("{}", serde_json::to_string_pretty(&measured)?);
    Ok(())
}
