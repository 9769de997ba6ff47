//! What must hold after any step, and once everything is mended.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use sqlx::Row as _;
use tawi_controller::desired;

use super::{SimSite, World};

/// What a site says of commands that are not its own.
pub const LIE: &str = "a lie";

/// What was seen the last time, so that nothing goes back.
#[derive(Debug, Default)]
pub struct Seen {
    /// Booked bytes by session.
    booked: BTreeMap<String, u64>,
    /// What each site has stored and applied.
    generations: BTreeMap<String, (i64, i64)>,
}

impl World {
    /// What must hold at any time.
    ///
    /// # Errors
    /// When it does not.
    pub(super) async fn look(&mut self) -> anyhow::Result<()> {
        self.look_at_usage().await?;
        self.look_at_generations().await?;
        self.look_at_commands().await?;
        for site in &self.sites {
            let twice = site.carried_out.iter().find(|(_, times)| **times > 1);
            // A disk that loses single records of what it promised forgets what was begun, and nobody can tell. Where all is lost,
            // head office gives up what may have been begun.
            if let Some((id, times)) = twice.filter(|_| !site.may_repeat) {
                bail!("{}: command {id} was carried out {times} times", site.id());
            }
        }
        Ok(())
    }

    /// Nothing is booked that was not moved, nothing goes back, and nothing is another's.
    async fn look_at_usage(&mut self) -> anyhow::Result<()> {
        let mut read = self.controller.database.read().await?;
        let query = "SELECT site_id, session_key, line_id, upload_bytes, download_bytes FROM usage_sessions";
        let rows = sqlx::query(query).fetch_all(&mut *read).await?;
        drop(read);
        for row in rows {
            let (site, key, line): (&str, &str, &str) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let (up, booked) = (row.try_get::<i64, _>(3)?, u64::try_from(row.try_get::<i64, _>(4)?)?);
            let owner = self.sites.iter().find(|one| one.id().as_str() == site).context("a site of ours")?;
            let session = owner.sessions.iter().find(|session| session.key == key);
            let session = session.with_context(|| format!("{site}: nobody had the session {key}"))?;
            ensure!(session.line == line, "{key}: booked on line {line}, and it is of {}", session.line);
            ensure!(
                up == 0 && booked <= session.told,
                "{key}: {booked} bytes are booked of {}",
                session.told
            );
            let before = self.seen.booked.insert(key.to_owned(), booked).unwrap_or(0);
            ensure!(before <= booked, "{key}: {before} bytes were booked, and now {booked}");
        }
        Ok(())
    }

    /// Nobody carries out what another was commanded, and nobody's word on it is believed.
    async fn look_at_commands(&mut self) -> anyhow::Result<()> {
        let mut read = self.controller.database.read().await?;
        let rows =
            sqlx::query("SELECT id, site_id, standing, detail FROM commands").fetch_all(&mut *read).await?;
        drop(read);
        for row in rows {
            let (id, site): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
            let (standing, detail): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
            ensure!(detail != LIE, "{site}: command {id} is {standing} by the word of another");
            let mut others = self.sites.iter().filter(|other| other.id().as_str() != site);
            let other = others.find(|other| other.carried_out.contains_key(id));
            ensure!(other.is_none(), "{site}: command {id} was carried out by {:?}", other.map(SimSite::id));
        }
        Ok(())
    }

    /// What a site has stored and applied never goes back, and is never ahead of head office.
    pub(super) async fn look_at_generations(&mut self) -> anyhow::Result<()> {
        let mut read = self.controller.database.read().await?;
        let query = "SELECT id, generation, stored_generation, applied_generation FROM sites";
        let rows = sqlx::query(query).fetch_all(&mut *read).await?;
        drop(read);
        for row in rows {
            let id: &str = row.try_get(0)?;
            let Some(site) = self.sites.iter_mut().find(|site| site.id().as_str() == id) else { continue };
            let (newest, stored, applied): (i64, i64, i64) =
                (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            ensure!(
                stored <= newest && applied <= newest,
                "{id}: stored {stored}, applied {applied} of {newest}"
            );
            let before = self.seen.generations.insert(id.to_owned(), (stored, applied)).unwrap_or_default();
            if site.may_go_back || site.was_robbed {
                // From when on head office has heard what is there, nothing of that goes back.
                site.may_go_back &= !site.connection.1;
                continue;
            }
            // What a disk did not take is on the routers all the same, and a restart knows nothing of it.
            ensure!(
                before.0 <= stored && before.1.min(before.0) <= applied,
                "{id}: (stored, applied) was {before:?} and is {:?}",
                (stored, applied)
            );
            if let Some(heart) = &site.heart {
                let held = i64::try_from(heart.state.borrow().generation)?;
                ensure!(stored <= held, "{id}: it has said that {stored} is stored, and holds {held}");
            }
        }
        Ok(())
    }

    /// Whether every site is as head office wants it and has told everything.
    ///
    /// # Errors
    /// When the database refuses.
    pub(super) async fn is_quiet(&mut self) -> anyhow::Result<bool> {
        Ok(self.restless().await?.is_none())
    }

    /// # Errors
    /// What is not as it should be.
    pub(super) async fn is_quiet_and_why(&mut self) -> anyhow::Result<()> {
        match self.restless().await? {
            Some(why) => bail!("it does not come to rest: {why}"),
            None => Ok(()),
        }
    }

    async fn restless(&mut self) -> anyhow::Result<Option<String>> {
        for index in 0..self.sites.len() {
            let Some(site) = self.sites.get(index) else { break };
            let id = site.id().clone();
            let Some(heart) = &site.heart else { return Ok(Some(format!("{id} has no agent"))) };
            let Some(status) = heart.status().await else { return Ok(Some(format!("{id}: no heart beats"))) };
            let mut read = self.controller.database.read().await?;
            let wanted = desired::store::state_of(&mut read, &id).await?.context("a site")?;
            let held = sqlx::query("SELECT applied_generation, is_online FROM sites WHERE id = $1");
            let held = held.bind(id.as_str()).fetch_one(&mut *read).await?;
            let (applied, online): (i64, i64) = (held.try_get(0)?, held.try_get(1)?);
            drop(read);
            let state = heart.state.borrow().clone();
            let lanes = [&status.outbox.events, &status.outbox.usage, &status.outbox.log];
            let waiting: u64 = lanes.iter().map(|lane| lane.pending + lane.sealed).sum();
            let why = if site.is_stuck {
                "its line is silent, and nobody has found out".to_owned()
            } else if !status.store.is_well {
                format!("its store is not well: {:?}", status.store.problem)
            } else if (state.generation, state.hash) != (wanted.generation, wanted.hash) {
                format!("it holds {} of {}", state.generation, wanted.generation)
            } else if u64::try_from(applied)? != wanted.generation {
                format!("{applied} of {} is known to be applied", wanted.generation)
            } else if waiting > 0 || status.outbox.in_memory > 0 {
                format!("{waiting} records wait: {:?}", status.outbox)
            } else if online != 1 {
                "it is not shown as online".to_owned()
            } else {
                continue;
            };
            return Ok(Some(format!("{id}: {why}")));
        }
        let mut read = self.controller.database.read().await?;
        let open = "SELECT site_id, id, standing FROM commands WHERE standing IN ('queued', 'executing')";
        let open = sqlx::query(open).fetch_optional(&mut *read).await?;
        open.map(|row| {
            let (site, id, standing): (&str, &str, &str) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            Ok(format!("{site}: command {id} is {standing} still"))
        })
        .transpose()
    }

    /// What must hold once everything is mended: every byte is booked once, and no command is left open.
    ///
    /// # Errors
    /// When it does not.
    pub(super) async fn judge(&mut self) -> anyhow::Result<()> {
        for site in &self.sites {
            let mut lacking = 0;
            for session in &site.sessions {
                let booked = self.seen.booked.get(&session.key).copied().unwrap_or(0);
                lacking += u64::from(booked != session.moved);
                // As many may lack something as totals were said to be dropped.
                let may_lack = lacking <= site.watched.dropped_totals && booked < session.moved;
                ensure!(
                    booked == session.moved || may_lack,
                    "{booked} bytes are booked of {session:?} of {}, which dropped {} totals",
                    site.id(),
                    site.watched.dropped_totals
                );
                self.played.sessions += u64::from(booked == session.moved);
                self.played.bytes += booked;
            }
        }
        let mut read = self.controller.database.read().await?;
        let days = sqlx::query(
            "SELECT CAST(COALESCE(SUM(upload_bytes + download_bytes), 0) AS BIGINT) FROM usage_days",
        );
        let days: i64 = days.fetch_one(&mut *read).await?.try_get(0)?;
        let booked = self.played.bytes;
        ensure!(u64::try_from(days)? == booked, "the sums of days have {days} of {booked} bytes");
        Ok(())
    }
}
