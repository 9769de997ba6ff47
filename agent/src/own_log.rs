//! What the agent logs: how much, which can be changed while it runs, and the last lines of it, kept for whoever asks.
//!
//! There is one log of a process, and so this is the one place with statics. Lines are kept as they were written, within
//! named limits; nothing is logged because of it. Who changes the level is `remote`.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Lines that are kept.
pub const LINES: usize = 500;
/// Bytes that are kept, whatever the lines are: small beside the memory of the smallest board.
pub const BYTES: usize = 128 * 1024;
/// The most of one line.
const LINE_BYTES: usize = 1_024;

/// The levels, by their place.
const LEVELS: [LevelFilter; 6] = [
    LevelFilter::OFF,
    LevelFilter::ERROR,
    LevelFilter::WARN,
    LevelFilter::INFO,
    LevelFilter::DEBUG,
    LevelFilter::TRACE,
];

static LEVEL: AtomicU8 = AtomicU8::new(3);
static KEPT: Mutex<Ring> = Mutex::new(Ring { lines: VecDeque::new(), bytes: 0 });

/// How much is logged now.
#[must_use]
pub fn level() -> LevelFilter {
    LEVELS.get(usize::from(LEVEL.load(Ordering::Relaxed))).copied().unwrap_or(LevelFilter::INFO)
}

/// Logs as much from now on.
pub fn set_level(level: LevelFilter) {
    let place = LEVELS.iter().position(|known| *known == level).and_then(|place| u8::try_from(place).ok());
    LEVEL.store(place.unwrap_or(3), Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// Lets through what is within the level.
#[derive(Clone, Copy, Debug)]
pub struct Dial;

impl<S: Subscriber> Layer<S> for Dial {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if *metadata.level() <= level() { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= level()
    }
}

/// Writes to standard error, and keeps the last lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept;

/// What `tracing_subscriber` writes to.
#[must_use]
pub fn writer() -> Kept {
    Kept
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).keep(bytes);
        io::stderr().write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The last lines, oldest first.
#[must_use]
pub fn last_lines() -> Vec<String> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Ring {
    fn keep(&mut self, bytes: &[u8]) {
        for line in String::from_utf8_lossy(bytes).lines() {
            let mut end = line.len().min(LINE_BYTES);
            while !line.is_char_boundary(end) {
                end = end.saturating_sub(1);
            }
            let line = line.get(..end).unwrap_or_default().to_owned();
            self.bytes = self.bytes.saturating_add(line.len());
            self.lines.push_back(line);
            while self.lines.len() > LINES || self.bytes > BYTES {
                let Some(old) = self.lines.pop_front() else { break };
                self.bytes = self.bytes.saturating_sub(old.len());
            }
        }
    }
}

/// There is one level of a process: whoever tries it in a test does so alone.
#[cfg(test)]
pub(crate) static TRIED: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn the_last_lines_are_kept_within_lines_and_bytes() {
        let mut ring = Ring::default();
        for number in 0..2_000 {
            ring.keep(format!("line {number}\n").as_bytes());
        }
        assert_eq!((ring.lines.len(), ring.lines[LINES - 1].as_str()), (LINES, "line 1999"));
        for _ in 0..2_000 {
            ring.keep("ü".repeat(3_000).as_bytes());
        }
        ring.keep(b"\xff\xfe");
        assert!(ring.bytes <= BYTES && ring.lines.len() <= LINES);
        assert_eq!(ring.bytes, ring.lines.iter().map(String::len).sum::<usize>());
        assert!(ring.lines.iter().all(|line| line.len() <= LINE_BYTES));
    }

    #[test]
    fn how_much_is_logged_changes_while_it_runs() {
        let _alone = TRIED.blocking_lock();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_writer(writer)
            .finish()
            .with(Dial);
        let said = |words: &str| last_lines().iter().any(|line| line.contains(words));
        tracing::subscriber::with_default(subscriber, || {
            let say = |words: &str| tracing::debug!(own_log.words = words, "a test speaks");
            say("before-debug");
            set_level(LevelFilter::DEBUG);
            say("while-debug");
            set_level(LevelFilter::WARN);
            say("after-debug");
            set_level(LevelFilter::INFO);
        });
        assert_eq!([said("before-debug"), said("while-debug"), said("after-debug")], [false, true, false]);
    }
}
