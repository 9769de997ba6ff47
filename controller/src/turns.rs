//! One turn of each worker, for whoever moves the clock by hand: a simulation of years in minutes.
//!
//! `serve` runs the workers by the machine's clock, and each for itself. A simulation runs none of them: it says when each
//! has its turn, so that what happens follows from a seed alone. Nothing is decided here, and nothing is left out: a turn is
//! what the worker does when its time comes, or when a site says its word.

use anyhow::Context as _;

use crate::ids::SiteId;
use crate::jobs;
use crate::mpesa::intake::{self, Round};
use crate::mpesa::pull::sweep::Sweeper;
use crate::mpesa::{ShortCodes, query};
use crate::payments::refunds::send;
use crate::payments::{deferred_start, traces};
use crate::shutdown::Shutdown;
use crate::state::Controller;

/// The workers that have to do with money.
#[derive(Debug)]
pub struct Turns {
    controller: Controller,
    short_codes: ShortCodes,
    sweepers: Vec<Sweeper>,
    shutdown: Shutdown,
}

impl Turns {
    /// Of a controller that was just started. Pull has its turn for each short code of which the settings have it.
    #[must_use]
    pub fn new(controller: Controller, short_codes: ShortCodes) -> Self {
        let sweepers = short_codes.all().filter_map(|daraja| {
            let settings = daraja.settings().pull()?.clone();
            Some(Sweeper::new(controller.clone(), daraja.clone(), settings))
        });
        let sweepers = sweepers.collect();
        Self { controller, short_codes, sweepers, shutdown: Shutdown::default() }
    }

    /// Takes in every callback that was stored, and each of those that failed before once more.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn take_in(&self) -> anyhow::Result<()> {
        for round in [Round::of_failed(), Round::of_fresh()] {
            let mut round = round.untimed();
            while intake::take_in_some(&self.controller, &mut round).await.context("taking callbacks in")? > 0
            {
            }
        }
        Ok(())
    }

    /// Asks M-Pesa about the requests that nothing was heard of for long enough, and gives up those that it is time for.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn ask(&self) -> anyhow::Result<()> {
        let stop = self.shutdown.stop();
        query::ask_about_due(&self.controller, &self.short_codes, &stop)
            .await
            .context("asking about requests")
    }

    /// Sweeps Pull once, of every short code.
    ///
    /// # Errors
    /// When M-Pesa gives no answer, or the database refuses.
    pub async fn sweep(&mut self) -> anyhow::Result<()> {
        for sweeper in &mut self.sweepers {
            sweeper.sweep(&mut self.shutdown.stop()).await.context("sweeping Pull")?;
        }
        Ok(())
    }

    /// A site has stored everything up to a generation.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn site_stored(&self, site: &SiteId, generation: u64) -> anyhow::Result<()> {
        let now = self.controller.clock.now();
        let mut transaction = self.controller.database.write().await?;
        traces::stored(&mut transaction, site, generation, now).await?;
        deferred_start::heard(&mut transaction, site, generation, now).await?;
        Ok(transaction.commit().await?)
    }

    /// A site that was away says hello, and has stored everything up to a generation.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn site_is_back(&self, site: &SiteId, stored_generation: u64) -> anyhow::Result<()> {
        let now = self.controller.clock.now();
        let mut transaction = self.controller.database.write().await?;
        deferred_start::site_is_back(&mut transaction, site, stored_generation, now).await?;
        traces::stored(&mut transaction, site, stored_generation, now).await?;
        Ok(transaction.commit().await?)
    }

    /// Sends the refunds that are due, and asks about those that nobody knows of.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn send_refunds(&self) -> anyhow::Result<usize> {
        send::send_due(&self.controller, &self.short_codes).await.context("sending refunds")
    }

    /// Does what has to be done now and then: lines that end, lines that go on from their wallets, the nightly proof.
    ///
    /// # Errors
    /// When one of the jobs fails.
    pub async fn do_jobs(&self) -> anyhow::Result<()> {
        jobs::once(&self.controller, &self.shutdown.stop()).await
    }
}
