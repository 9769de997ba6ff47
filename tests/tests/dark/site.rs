//! The heart of an agent with its flash, whose routers are played by the test and whose messages are carried by it.

use std::path::{Path, PathBuf};

use tawi_agent::flow::{Event, Report};
use tawi_agent::health::Status;
use tawi_agent::outbox::{Opening, Outbox, StoreError};
use tawi_agent::usage::counted::{Counted, Mark};
use tawi_shared::wire::{EventKind, SessionUsageV1};
use tawi_shared::{Clock, IdSource, SiteId, UnixMillis};
use tawi_tests::carried::{Heart, Life, ROUTER, Word};
use tawi_tests::money::site::SITE;

/// A try of the silent line with its answer.
const KEEP_ALIVE: usize = 24;

pub struct Site {
    directory: PathBuf,
    life: Life,
    heart: Heart,
    minutes: u64,
    settled: u64,
}

impl Site {
    pub async fn start(directory: &Path, clock: Clock, hourly_bytes: u64) -> Self {
        Self::begin(directory, Self::life(clock, hourly_bytes)).await
    }

    async fn begin(directory: &Path, life: Life) -> Self {
        let (outbox, opening) = loop {
            match Outbox::start(directory, life.ids.clone(), life.clock.clone()).await {
                // The thread of the one before ends a moment after it.
                Err(StoreError::Locked(_)) => std::thread::sleep(std::time::Duration::from_millis(1)),
                opened => break opened.unwrap(),
            }
        };
        Self::begin_on((outbox, opening), directory, life)
    }

    /// On a store that is open.
    pub fn on(store: (Outbox, Opening), directory: &Path, clock: Clock, hourly_bytes: u64) -> Self {
        Self::begin_on(store, directory, Self::life(clock, hourly_bytes))
    }

    fn life(clock: Clock, hourly_bytes: u64) -> Life {
        Life { site: SiteId::parse(SITE).unwrap(), clock, ids: IdSource::system(), hourly_bytes }
    }

    fn begin_on((outbox, opening): (Outbox, Opening), directory: &Path, life: Life) -> Self {
        let heart = Heart::start(&life, outbox, &opening);
        Self { directory: directory.to_owned(), life, heart, minutes: 0, settled: 0 }
    }

    /// The power fails, and comes back.
    pub async fn restart(self) -> Self {
        let Self { directory, life, heart, .. } = self;
        heart.kill().await;
        Self::begin(&directory, life).await
    }

    pub async fn stop(self) {
        self.heart.stop().await;
    }

    pub async fn connect(&mut self) {
        self.heart.connect().await.unwrap();
    }

    pub async fn cut(&mut self) {
        self.heart.cut("the radio is down").await.unwrap();
    }

    /// What sessions moved, with the events of those that came and went.
    pub async fn report(&self, totals: Vec<SessionUsageV1>) {
        for total in &totals {
            let event = |kind, at_ms| Event {
                at: UnixMillis(at_ms),
                kind,
                line: Some(total.line.clone()),
                router: Some(ROUTER.to_owned()),
                detail: "10.1.2.3".to_owned(),
            };
            if total.is_ended {
                let events = [
                    (EventKind::LineOnline, total.started_at_ms),
                    (EventKind::LineOffline, total.sampled_at_ms),
                ];
                for (kind, at) in events {
                    self.heart.report(Report::Event(event(kind, at))).await;
                }
            }
        }
        let counted = |total| Counted { total, mark: Mark::default(), grown_bytes: 0 };
        let sessions = totals.into_iter().map(counted).collect();
        self.heart.report(Report::Usage { sessions, periods: Default::default() }).await;
        self.status().await;
    }

    /// Its router does what it is told.
    pub async fn enforce(&mut self) {
        let generation = self.heart.state.borrow().generation;
        if generation > self.settled {
            self.settled = generation;
            let settled = Report::Settled { router: ROUTER.to_owned(), generation, failures: Vec::new() };
            self.heart.report(settled).await;
        }
        self.status().await;
    }

    /// How it stands, once it has done whatever there was to do.
    pub async fn status(&self) -> Status {
        self.heart.status().await.unwrap()
    }

    /// What it said since the last time: topic, envelope, and whether lightly.
    pub fn said(&mut self) -> Vec<Word> {
        self.heart.said()
    }

    pub async fn hear(&self, topic: &str, bytes: Vec<u8>) {
        self.heart.hear(topic, bytes).await;
    }

    /// A minute of the line: one try in four.
    pub fn keep_alive(&mut self) {
        self.minutes += 1;
        if self.minutes.is_multiple_of(4) {
            self.heart.counters.sent(KEEP_ALIVE);
            self.heart.counters.received(KEEP_ALIVE);
        }
    }

    pub fn carried(&self) -> u64 {
        self.heart.counters.carried()
    }
}
