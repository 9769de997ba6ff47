//! Changes of desired state that share one generation a site: however many lines and profiles a transaction changes, each
//! site that is concerned takes one number, one hash and one outbox row.
//!
//! Nothing is compared or decided here but whether a profile differs from what was told; the facts are the callers'.

use std::collections::{BTreeMap, BTreeSet};

use tawi_shared::UnixMillis;
use tawi_shared::wire::{LineV1, ProfileV1};

use super::{DesiredError, LineFacts, SiteState, store};
use crate::database::{Connection, Together};
use crate::ids::{ConnectionTypeId, SiteId};

/// What a transaction has changed so far.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Sites that took a generation, with the hash as it will be.
    sites: BTreeMap<SiteId, SiteState>,
    /// Profiles that were looked at already: lines of one plan need the same.
    seen: BTreeSet<(SiteId, u16, String)>,
    /// Lines that are not written yet. Nothing here reads one that it wrote.
    lines: Together,
}

impl Batch {
    /// The site's next generation, taken when it is first asked for.
    async fn site(
        &mut self,
        connection: &mut Connection,
        site: &SiteId,
    ) -> Result<&mut SiteState, DesiredError> {
        if !self.sites.contains_key(site) {
            let state = store::next_generation(connection, site).await?;
            self.sites.insert(site.clone(), state);
        }
        self.sites.get_mut(site).ok_or(DesiredError::Database(sqlx::Error::RowNotFound))
    }

    pub(super) async fn put_line(
        &mut self,
        connection: &mut Connection,
        site: &SiteId,
        told: Option<&LineV1>,
        wanted: &LineV1,
    ) -> Result<(), DesiredError> {
        let state = self.site(connection, site).await?;
        if let Some(old) = told {
            state.hash.remove_line(old);
        }
        state.hash.add_line(wanted);
        let generation = state.generation;
        store::add_line(&mut self.lines, site, wanted, generation)?;
        self.lines.execute_when_full(connection).await?;
        Ok(())
    }

    /// Takes the line away from every site but its own: a subscription that moved must not stay open where it was. Gives how
    /// it was told at its own.
    pub(super) async fn keep_only_at_its_site<'f>(
        &mut self,
        connection: &mut Connection,
        facts: &'f LineFacts,
    ) -> Result<Option<&'f LineV1>, DesiredError> {
        let mut here = None;
        for (where_told, told) in &facts.told {
            if *where_told == facts.site {
                here = Some(told);
                continue;
            }
            let state = self.site(connection, where_told).await?;
            state.hash.remove_line(told);
            let generation = state.generation;
            store::remove_line(connection, where_told, &facts.line, generation).await?;
        }
        Ok(here)
    }

    /// Puts a profile where it is not as it should be.
    pub(super) async fn put_profile(
        &mut self,
        connection: &mut Connection,
        site: &SiteId,
        kind: &ConnectionTypeId,
        wanted: &ProfileV1,
    ) -> Result<(), DesiredError> {
        if !self.seen.insert((site.clone(), wanted.service, wanted.name.clone())) {
            return Ok(());
        }
        let told = store::profile_at(connection, site, wanted).await?;
        self.set_profile(connection, site, kind, told.as_ref(), wanted).await
    }

    /// The same where it is known what was told.
    pub(super) async fn set_profile(
        &mut self,
        connection: &mut Connection,
        site: &SiteId,
        kind: &ConnectionTypeId,
        told: Option<&ProfileV1>,
        wanted: &ProfileV1,
    ) -> Result<(), DesiredError> {
        if told == Some(wanted) {
            return Ok(());
        }
        let state = self.site(connection, site).await?;
        if let Some(old) = told {
            state.hash.remove_profile(old);
        }
        state.hash.add_profile(wanted);
        let generation = state.generation;
        store::put_profile(connection, site, kind, wanted, generation).await
    }

    /// Takes a profile away that no line needs any more.
    pub(super) async fn remove_profile(
        &mut self,
        connection: &mut Connection,
        site: &SiteId,
        told: &ProfileV1,
    ) -> Result<(), DesiredError> {
        let state = self.site(connection, site).await?;
        state.hash.remove_profile(told);
        let generation = state.generation;
        store::remove_profile(connection, site, told, generation).await
    }

    /// Saves the hashes and queues the sites; answers which, with their generation.
    pub(super) async fn close(
        mut self,
        connection: &mut Connection,
        now: UnixMillis,
    ) -> Result<Vec<(SiteId, u64)>, DesiredError> {
        let mut told = Vec::with_capacity(self.sites.len());
        for (site, state) in self.sites {
            store::add_hash_and_queue(&mut self.lines, &site, state, now);
            self.lines.execute_when_full(connection).await?;
            told.push((site, state.generation));
        }
        self.lines.execute(connection).await?;
        Ok(told)
    }
}
