//! The site of all lines: it stores what it is told when it is there, and in some worlds it is away for a while.
//!
//! What it lets in is counted beside what was bought: paid time that nobody could use is time that a customer lost.

use std::collections::BTreeMap;

use anyhow::Context as _;
use tawi_controller::ids::{LineId, SiteId};
use tawi_controller::{desired, subscriptions};

use super::Simulation;
use super::house::House;

/// As it is called.
pub const SITE: &str = "nyeri-01";
/// It leaves at one step of so many, and returns at one of so many.
const LEAVES: u64 = 40;
const RETURNS: u64 = 12;

/// What the site knows.
#[derive(Clone, Debug)]
pub struct Site {
    /// Whether it ever leaves.
    pub wanders: bool,
    is_there: bool,
    /// The newest generation that it has stored.
    stored: u64,
    /// Until when it has each line paid, and for how long each was by now, in milliseconds.
    told: BTreeMap<String, i64>,
    had: BTreeMap<String, i64>,
    counted_until: i64,
}

impl Site {
    /// Of a world's seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self {
            wanders: (seed / 4) % 3 == 2,
            is_there: true,
            stored: 0,
            told: BTreeMap::new(),
            had: BTreeMap::new(),
            counted_until: 0,
        }
    }

    /// For how long it had a line paid by now, in milliseconds.
    #[must_use]
    pub fn had(&self, line: &str) -> i64 {
        self.had.get(line).copied().unwrap_or(0)
    }

    /// Time passed.
    fn count(&mut self, now: i64) {
        for (line, until) in &self.told {
            let more = now.min(*until) - self.counted_until.min(*until);
            *self.had.entry(line.clone()).or_default() += more;
        }
        self.counted_until = now;
    }

    /// It stores everything that there is.
    async fn store(&mut self, house: &House, lines: &[&str]) -> anyhow::Result<()> {
        let site = SiteId::parse(SITE)?;
        loop {
            let mut read = house.controller.database.read().await?;
            let state = desired::store::state_of(&mut read, &site).await?.context("a site")?;
            if state.generation == self.stored {
                return Ok(());
            }
            self.stored = state.generation;
            for line in lines {
                let paid = subscriptions::get(&mut read, &LineId::parse(line)?).await?.context("a line")?;
                self.told.insert((*line).to_owned(), paid.paid_until.map_or(0, |until| until.0));
            }
            drop(read);
            house.turns.site_stored(&site, self.stored).await?;
        }
    }
}

impl Simulation<'_> {
    /// What the site does after a step.
    ///
    /// # Errors
    /// When the controller fails.
    pub(super) async fn site_hears(&mut self) -> anyhow::Result<()> {
        if self.site.wanders {
            let chance = if self.site.is_there { LEAVES } else { RETURNS };
            if self.is_ending || self.below(chance) == 0 {
                self.site_turns().await?;
            }
        }
        let lines: Vec<&str> =
            self.template.payers.iter().flat_map(|payer| payer.lines.iter().map(String::as_str)).collect();
        let house = self.house.as_ref().context("the controller did not come back")?;
        self.site.count(self.clock.now().0);
        if self.site.is_there {
            self.site.store(house, &lines).await?;
        }
        Ok(())
    }

    /// It leaves, or returns; at the end it returns and stays.
    async fn site_turns(&mut self) -> anyhow::Result<()> {
        if self.site.is_there {
            if !self.is_ending {
                self.site.is_there = false;
                self.count("sites that left");
            }
            return Ok(());
        }
        let site = SiteId::parse(SITE)?;
        self.house()?.turns.site_is_back(&site, self.site.stored).await?;
        self.site.is_there = true;
        self.count("sites that came back");
        Ok(())
    }
}
