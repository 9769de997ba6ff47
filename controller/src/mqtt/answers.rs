//! What sites say of writes to their routers, of commands and of what their guards hold; and the commands they are told.
//!
//! As in `reports.rs`, a site is believed about itself only, and nothing here answers before the commit.

use tawi_shared::UnixMillis;
use tawi_shared::topics::Down;
use tawi_shared::wire::{
    self, AnswerV1, CommandKind, CommandResultV1, ForeignRowsV1, HeldPlanV1, HelloV1, Lane, LineReportV1,
    PROTOCOL_TOGETHER, RouterWritesV1, SettingsStandingV1, SettingsV1,
};

use super::LinkError;
use super::budget::Spent;
use super::intake::{Effects, Memory, Said};
use super::reports::advance;
use crate::commands::{Command, RESULT_WITHIN};
use crate::database::Connection;
use crate::ids::{LineId, SiteId};
use crate::live::Hint;
use crate::{backhaul, commands, held_plans, router_writes, site_settings, sites, usage};

/// Keeps the writes of one batch of the API log.
pub(super) async fn take_writes(
    connection: &mut Connection,
    memory: &mut Memory,
    said: &Said,
    batch: &RouterWritesV1,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    if !advance(connection, memory, said, Lane::Log, effects).await? {
        return Ok(());
    }
    let (site, epoch, seq) = (&said.site, said.header.store_epoch, said.header.seq);
    for (position, write) in batch.writes.iter().enumerate() {
        if let Spent::No(count) = memory.writes.spend(site, now) {
            if count.is_power_of_two() {
                tracing::warn!(site.id = %site, count, "the site writes more to its routers than is kept");
            }
            continue;
        }
        let line = match write.line.as_deref().map(LineId::parse) {
            Some(Ok(line)) if usage::store::is_line_of(connection, site, line.as_str()).await? => Some(line),
            _ => None,
        };
        let place = (epoch, seq, position);
        router_writes::keep(connection, site, place, write, line.as_ref(), now).await?;
    }
    Ok(())
}

/// Notes what the line of a site carried.
pub(super) async fn take_line(
    connection: &mut Connection,
    site: &SiteId,
    report: &LineReportV1,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    backhaul::note(connection, site, report, now).await?;
    effects.hints.push(Hint::Site(site.clone()));
    Ok(())
}

/// Notes what became of a command.
pub(super) async fn take_result(
    connection: &mut Connection,
    site: &SiteId,
    result: &CommandResultV1,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    let Some(command) = commands::take_result(connection, site, result, now).await? else { return Ok(()) };
    tracing::info!(
        site.id = %site, command.id = %command.id, command.standing = command.standing.as_str(),
        "a site says what became of a command"
    );
    effects.hints.push(Hint::Site(site.clone()));
    effects.hints.extend(command.line.clone().map(Hint::Line));
    if !command.standing.is_open() {
        // Others may have waited behind it.
        effects.has_outbox = true;
    }
    Ok(())
}

/// Notes what the guard of a router holds.
pub(super) async fn take_held(
    connection: &mut Connection,
    site: &SiteId,
    plan: &HeldPlanV1,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    if sites::find_router(connection, site, &plan.router).await?.is_none() {
        tracing::warn!(site.id = %site, "a guard of a router that is not known holds something");
        return Ok(());
    }
    held_plans::take(connection, site, plan).await?;
    effects.hints.push(Hint::Site(site.clone()));
    Ok(())
}

/// Takes rows that a site was asked for, of that router. An agent says first that it has read them and then names them,
/// some at a time: for a while the command may be over.
pub(super) async fn take_foreign_rows(
    connection: &mut Connection,
    site: &SiteId,
    rows: &ForeignRowsV1,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    let asked = commands::get(connection, &rows.command).await?;
    let is_asked = asked.is_some_and(|command| {
        command.site == *site
            && command.kind == Some(CommandKind::ListForeign)
            && command.router == rows.router
            && (command.standing.is_open() || command.standing_at >= now.minus(RESULT_WITHIN))
    });
    if !is_asked {
        tracing::warn!(site.id = %site, "a site names rows that it was not asked for");
        return Ok(());
    }
    crate::adoption::take_rows(connection, site, rows).await?;
    effects.hints.push(Hint::Site(site.clone()));
    Ok(())
}

/// Keeps a part of what a site was asked to know.
pub(super) async fn take_answer(
    connection: &mut Connection,
    site: &SiteId,
    answer: &AnswerV1,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    if commands::answers::take(connection, site, answer, now).await? {
        effects.hints.push(Hint::Site(site.clone()));
    } else {
        tracing::warn!(site.id = %site, "a site answers what it was not asked, or what cannot be kept");
    }
    Ok(())
}

/// Tells a site the commands that it has not answered.
pub(super) async fn tell_commands(
    connection: &mut Connection,
    site: &SiteId,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    for command in commands::open_of(connection, site).await? {
        effects.messages.push(command_message(site, &command)?);
    }
    Ok(())
}

/// Tells a site that says hello the settings of which it is not known that this run of its agent has them. One that speaks nothing
/// newer would not know the word.
pub(super) async fn tell_settings(
    connection: &mut Connection,
    said: &Said,
    hello: &HelloV1,
    is_ahead: bool,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    if hello.protocol_newest < PROTOCOL_TOGETHER {
        return Ok(());
    }
    let run = site_settings::run_of(hello.boot_id, said.header.store_epoch);
    if let Some(settings) = site_settings::owed(connection, &said.site, (&run, is_ahead)).await? {
        effects.send(&said.site, Down::Command, &settings)?;
    }
    Ok(())
}

/// Notes what a site took of its settings.
pub(super) async fn take_settings(
    connection: &mut Connection,
    site: &SiteId,
    standing: &SettingsStandingV1,
    store_epoch: u32,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    site_settings::take(connection, site, standing, store_epoch, now).await?;
    let (revision, refused) = (standing.revision, standing.refused.len());
    tracing::info!(site.id = %site, settings.revision = revision, settings.refused = refused, "a site says what it took of its settings");
    effects.hints.push(Hint::Site(site.clone()));
    Ok(())
}

/// Topic and envelope of settings.
pub(super) fn settings_message(site: &SiteId, settings: &SettingsV1) -> Result<(String, Vec<u8>), LinkError> {
    let envelope = wire::encode(settings, 0, 0, 0)
        .map_err(|source| LinkError::Encoding { site: site.clone(), source })?;
    Ok((Down::Command.topic(site), envelope))
}

/// Topic and envelope of a command.
pub(super) fn command_message(site: &SiteId, command: &Command) -> Result<(String, Vec<u8>), LinkError> {
    let envelope = wire::encode(&command.to_wire(), 0, 0, 0)
        .map_err(|source| LinkError::Encoding { site: site.clone(), source })?;
    Ok((Down::Command.topic(site), envelope))
}
