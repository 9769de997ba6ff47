//! What each message of a site means for the database, within the caller's transaction.
//!
//! A site is believed about itself only: lines, routers and sessions that are not its own are passed over. Whatever
//! must happen outside the database is left in [`Effects`].

use std::net::IpAddr;
use std::time::Duration;

use tawi_shared::envelope::FLAG_HISTORICAL;
use tawi_shared::ids::check_id;
use tawi_shared::state_hash::StateHash;
use tawi_shared::topics::Down;
use tawi_shared::wire::{
    self, AppliedV1, ByeV1, CommandKind, EventKind, EventV1, FailureKind, HelloV1, Lane, LineFailureV1,
    LineUsageBeforeV1, PROTOCOL_NEWEST, PROTOCOL_OLDEST, PROTOCOL_SHORT_TOTALS, RouterStatusV1, SpreadV1,
    StoredV1, UpMessage, UsageBatchV1, UsageBeforeV1, UsageTotalsV1,
};
use tawi_shared::{LET_GO_BY_OFFICE, UnixMillis};

use super::answers;
use super::budget::Spent;
use super::intake::{Effects, Greeting, Memory, Said};
use super::positions::{Position, position};
use super::{LinkError, releases, store};
use crate::audit::{self, Action, Actor};
use crate::commands;
use crate::database::Connection;
use crate::desired::{self, Delta, Held, Missing, SiteState};
use crate::ids::{LineId, SiteId};
use crate::live::Hint;
use crate::payments::{deferred_start, traces};
use crate::plain::line_of;
use crate::quota::{self, LineUsage};
use crate::sites::store::RouterNote;
use crate::sites::{self, AddedRouter};
use crate::state::Controller;
use crate::usage;

/// Routers that a site may bring by itself. The largest site that is known has nine.
const ROUTERS: usize = 64;
/// The longest release that is kept, in characters.
const RELEASE_CHARACTERS: usize = 40;
/// The longest text for people that is kept, in characters; the contract says 200 bytes.
const DETAIL_CHARACTERS: usize = 200;

/// Within how many seconds an agent comes back whose contract nobody here speaks: one of the two has to be updated first.
const UNKNOWN_RETURNS_WITHIN: u16 = 3_600;

/// The longest that an agent keeps an event.
const WAITED_MOST: Duration = Duration::from_secs(45 * 86_400);

/// Takes one message.
pub(super) async fn take(
    connection: &mut Connection,
    controller: &Controller,
    memory: &mut Memory,
    said: &Said,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    let site = &said.site;
    let Some(state) = desired::store::state_of(connection, site).await? else {
        tracing::warn!(site.id = %site, "a site that is not in the database speaks");
        return Ok(());
    };
    // Whatever the broker thinks of it: nothing of it is believed, and nothing is answered.
    if store::is_shut_out(connection, site).await? {
        // Its last word comes of its being ended.
        if !matches!(said.message, UpMessage::Bye(_)) {
            memory.note_shut_out(site);
        }
        return Ok(());
    }
    match &said.message {
        UpMessage::Hello(hello) => {
            let greeting = Greeting::of(hello);
            if effects.is_late(memory, site, greeting) {
                tracing::debug!(site.id = %site, "a hello of an older connection came late");
                return Ok(());
            }
            effects.hellos.insert(site.clone(), greeting);
            if take_hello(connection, controller, said, hello, state, now, effects).await? {
                // What began only now is told at once.
                let state = desired::store::state_of(connection, site).await?.unwrap_or(state);
                let hash = StateHash::from_bytes(hello.state_hash);
                let held = Held { generation: hello.stored_generation, hash };
                tell(connection, memory, site, held, state, now, effects).await?;
                effects.greeted.insert(site.clone(), (said.header.store_epoch, now));
                answers::tell_commands(connection, site, effects).await?;
                let is_ahead = hello.stored_generation > state.generation;
                answers::tell_settings(connection, said, hello, is_ahead, effects).await?;
                let protocol = hello.protocol_newest.min(PROTOCOL_NEWEST);
                releases::tell(connection, site, protocol, effects).await?;
            }
            return Ok(());
        }
        UpMessage::Bye(bye) => return take_bye(connection, site, bye, now, effects).await,
        _ => note_alive(connection, site, now, effects).await?,
    }
    match &said.message {
        UpMessage::Stored(stored) => take_stored(connection, site, stored, state, now, effects).await,
        UpMessage::Applied(applied) => {
            take_applied(connection, memory, said, applied, state, now, effects).await
        }
        UpMessage::Usage(batch) => take_usage(connection, memory, said, batch, now, effects).await,
        UpMessage::UsageTotals(totals) => take_totals(connection, memory, said, totals, now, effects).await,
        UpMessage::Event(event) => {
            take_event(connection, controller, memory, said, event, now, effects).await
        }
        UpMessage::RouterWrites(batch) => {
            answers::take_writes(connection, memory, said, batch, now, effects).await
        }
        UpMessage::CommandResult(result) => {
            answers::take_result(connection, site, result, now, effects).await
        }
        UpMessage::ForeignRows(rows) => {
            answers::take_foreign_rows(connection, site, rows, now, effects).await
        }
        UpMessage::Answer(answer) => answers::take_answer(connection, site, answer, now, effects).await,
        UpMessage::SettingsStanding(standing) => {
            answers::take_settings(connection, site, standing, said.header.store_epoch, now, effects).await
        }
        UpMessage::HeldPlan(plan) => answers::take_held(connection, site, plan, effects).await,
        UpMessage::Line(report) => answers::take_line(connection, site, report, now, effects).await,
        UpMessage::PartWanted(wanted) => releases::take_part_wanted(connection, site, wanted, effects).await,
        UpMessage::Release(standing) => {
            releases::take_standing(connection, site, standing, (&controller.ids, now), effects).await
        }
        // Taken apart before it comes here.
        UpMessage::Events(_) | UpMessage::Hello(_) | UpMessage::Bye(_) => Ok(()),
    }
}

/// Any word is a sign of life, also of a site that was taken for dead.
async fn note_alive(
    connection: &mut Connection,
    site: &SiteId,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    let was_online = store::agent(connection, site).await?.is_some_and(|agent| agent.is_online);
    store::said_something(connection, site, now).await?;
    if !was_online {
        desired::store::queue_what_it_lacks(connection, site, now).await?;
        effects.has_outbox = true;
        effects.hints.push(Hint::Site(site.clone()));
    }
    Ok(())
}

/// Answers whether the agent speaks a contract that we know.
async fn take_hello(
    connection: &mut Connection,
    controller: &Controller,
    said: &Said,
    hello: &HelloV1,
    state: SiteState,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<bool, LinkError> {
    let site = &said.site;
    let mut known = hello.clone();
    known.agent_version = line_of(&hello.agent_version, RELEASE_CHARACTERS);
    let life = store::store_epoch(connection, site).await?;
    if life.is_some_and(|life| life != said.header.store_epoch) {
        commands::store_was_lost(connection, site, now).await?;
    }
    store::said_hello(connection, site, (&known, said.header.store_epoch), now).await?;
    take_routers(connection, controller, site, &hello.routers, now).await?;
    let named = hello.routers.iter().map(|router| router.name.as_str());
    sites::store::forget_others(connection, site, named, now).await?;
    effects.hints.push(Hint::Site(site.clone()));
    tracing::info!(
        site.id = %site, agent.version = %known.agent_version, generation.stored = hello.stored_generation,
        generation.newest = state.generation, "a site said hello"
    );
    if hello.protocol_oldest > PROTOCOL_NEWEST || hello.protocol_newest < PROTOCOL_OLDEST {
        tracing::error!(
            site.id = %site, oldest = hello.protocol_oldest, newest = hello.protocol_newest,
            "the agent speaks no contract that this release knows; update the older of the two"
        );
        // It comes again for as long as nobody answers it, on a line that is paid by the byte. A newer one understands this.
        let rarely = SpreadV1 { return_within_seconds: UNKNOWN_RETURNS_WITHIN, hello_within_seconds: 0 };
        effects.send(site, Down::Ack, &rarely)?;
        return Ok(false);
    }
    let protocol = hello.protocol_newest.min(PROTOCOL_NEWEST);
    effects.spoken.insert(site.clone(), protocol);
    // One that speaks nothing newer would not know the word.
    if protocol >= PROTOCOL_SHORT_TOTALS {
        effects.welcomes.insert(site.clone(), protocol);
    }
    for lane in [Lane::Event, Lane::Usage, Lane::Log] {
        let epoch = said.header.store_epoch;
        let cursor = store::cursor(connection, site, lane.code(), epoch).await?;
        effects.cursors.insert((site.clone(), lane.code()), (epoch, cursor));
        effects.await_first(site, lane);
    }
    // One that is ahead of us tells nothing of what it has of ours.
    let stored = if hello.stored_generation <= state.generation { hello.stored_generation } else { 0 };
    let applied = if hello.applied_generation <= state.generation { hello.applied_generation } else { 0 };
    let begun = deferred_start::site_is_back(connection, site, stored.max(applied), now).await?;
    effects.begun(begun);
    if stored > 0 {
        // A Stored may have been lost with the connection before.
        let customers = traces::stored(connection, site, stored, now).await?;
        effects.hints.extend(customers.into_iter().map(Hint::Payment));
    }
    Ok(true)
}

/// Tells a site the whole that it asked for too soon, or whatever else it lacks by now.
pub(super) async fn tell_owed(
    connection: &mut Connection,
    memory: &mut Memory,
    site: &SiteId,
    held: Held,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    let Some(state) = desired::store::state_of(connection, site).await? else { return Ok(()) };
    if store::is_shut_out(connection, site).await? {
        return Ok(());
    }
    tell(connection, memory, site, held, state, now, effects).await
}

/// Queues what a site lacks that holds `held`.
async fn tell(
    connection: &mut Connection,
    memory: &mut Memory,
    site: &SiteId,
    held: Held,
    state: SiteState,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    memory.forget_owed(site);
    let missing = desired::missing(held, state);
    let from = match missing {
        Missing::Nothing => return Ok(()),
        Missing::Since(from) => Some(from),
        Missing::Whole | Missing::WholeAbove(_) => None,
    };
    if from.is_none() && !memory.may_tell_whole(site, held) {
        return Ok(());
    }
    if let Missing::WholeAbove(held) = missing {
        tracing::warn!(
            site.id = %site, generation.held = held,
            "the site is ahead of the database, which was probably restored from a backup; it is sent everything"
        );
        desired::overtake(connection, site, held, now).await?;
    }
    let mut messages = Vec::new();
    let told = state_messages(connection, site, from, &mut messages).await?;
    // A change that does not fit one message has become the whole.
    if from.is_some() && messages.len() > 1 && !memory.may_tell_whole(site, held) {
        return Ok(());
    }
    effects.messages.append(&mut messages);
    if let Some(generation) = told {
        let customers = traces::published(connection, site, generation, now).await?;
        effects.hints.extend(customers.into_iter().map(Hint::Payment));
    }
    Ok(())
}

/// Lines of a delta that are looked up one by one; of more the whole site is.
const LINES_ALONE: usize = 64;

/// What a site has to know besides, when lines are told to it that have a quota: they may have moved there. `store_epoch`
/// is the life of its store that spoke last.
pub(super) async fn usage_of_told(
    connection: &mut Connection,
    site: &SiteId,
    from: u64,
    now: UnixMillis,
    messages: &mut Vec<(String, Vec<u8>)>,
) -> Result<(), LinkError> {
    let Some(store_epoch) = store::store_epoch(connection, site).await? else { return Ok(()) };
    let lines = desired::lines_with_quota_since(connection, site, from, LINES_ALONE + 1).await?;
    let narrowed = (lines.len() <= LINES_ALONE).then_some(lines.as_slice());
    if narrowed.is_some_and(<[LineId]>::is_empty) {
        return Ok(());
    }
    usage_before(connection, (site, store_epoch), narrowed, now, messages).await
}

/// The messages that bring a site from generation `from` to the newest, or the whole when that is `None` or does not
/// fit one message. Answers with the generation that they lead to; `None` when there is no such site.
pub(super) async fn state_messages(
    connection: &mut Connection,
    site: &SiteId,
    from: Option<u64>,
    messages: &mut Vec<(String, Vec<u8>)>,
) -> Result<Option<u64>, LinkError> {
    let mut effects = Effects::default();
    let mut generation = None;
    if let Some(from) = from {
        match desired::delta(connection, site, from).await? {
            Delta::Fits(delta) => {
                effects.send(site, Down::State, &delta)?;
                generation = Some(delta.to_generation);
            }
            Delta::NoSuchSite => return Ok(None),
            Delta::TooLarge => {}
        }
    }
    if generation.is_none() {
        for part in desired::snapshot(connection, site).await? {
            effects.send(site, Down::State, &part)?;
            generation = Some(part.generation);
        }
    }
    messages.append(&mut effects.messages);
    Ok(generation)
}

/// The messages that tell a site what its lines moved in their running periods elsewhere: at other sites, and in earlier
/// lives of its store. Of all lines, or of these. It is said with each hello, and changes nothing when it is heard twice.
pub(super) async fn usage_before(
    connection: &mut Connection,
    (site, store_epoch): (&SiteId, u32),
    lines: Option<&[LineId]>,
    now: UnixMillis,
    messages: &mut Vec<(String, Vec<u8>)>,
) -> Result<(), LinkError> {
    let mut found = Vec::new();
    match lines {
        None => found = quota::used_elsewhere(connection, (site, store_epoch), None, now).await?,
        Some(lines) => {
            for line in lines {
                let used = quota::used_elsewhere(connection, (site, store_epoch), Some(line), now).await?;
                found.extend(used);
            }
        }
    }
    let told = |used: LineUsage| LineUsageBeforeV1 {
        line: used.line.to_string(),
        period_started_ms: used.period_started_at.0,
        bytes: used.bytes,
    };
    let (mut effects, mut chunk, mut filled) = (Effects::default(), Vec::new(), 0_usize);
    for item in found.into_iter().map(told) {
        let bytes = wire::item_bytes(&item);
        if filled.saturating_add(bytes) > desired::MESSAGE_BYTES {
            effects.send(
                site,
                Down::State,
                &UsageBeforeV1 { store_epoch, lines: std::mem::take(&mut chunk) },
            )?;
            filled = 0;
        }
        filled = filled.saturating_add(bytes);
        chunk.push(item);
    }
    if !chunk.is_empty() {
        effects.send(site, Down::State, &UsageBeforeV1 { store_epoch, lines: chunk })?;
    }
    messages.append(&mut effects.messages);
    Ok(())
}

/// Notes what the agent says of its routers. One that head office does not know yet is added: its name in the agent's
/// configuration is all that there is to know.
async fn take_routers(
    connection: &mut Connection,
    controller: &Controller,
    site: &SiteId,
    routers: &[RouterStatusV1],
    now: UnixMillis,
) -> Result<(), LinkError> {
    for router in routers.iter().take(ROUTERS) {
        if check_id(&router.name).is_err() {
            tracing::warn!(site.id = %site, "a router with a name that cannot be taken was reported");
            continue;
        }
        let release = line_of(&router.release, RELEASE_CHARACTERS);
        let note = RouterNote {
            name: &router.name,
            is_reachable: router.is_reachable,
            release: &release,
            trouble: Some(router.trouble),
        };
        if note_router(connection, site, note, now).await? {
            continue;
        }
        if sites::routers_of(connection, site).await?.len() >= ROUTERS {
            tracing::warn!(site.id = %site, "the site reports more routers than are believed");
            return Ok(());
        }
        match sites::add_router(connection, site, &router.name, &controller.ids, now).await? {
            AddedRouter::Added(added) => {
                tracing::info!(site.id = %site, router.name = %added.name, "a router appeared");
                note_router(connection, site, note, now).await?;
            }
            AddedRouter::AlreadyThere(_)
            | AddedRouter::NoSuchSite
            | AddedRouter::SiteRevoked
            | AddedRouter::BadName => {}
        }
    }
    Ok(())
}

/// What an event says of a router: no more than whether it answers.
fn by_event(name: &str, is_reachable: bool) -> RouterNote<'_> {
    RouterNote { name, is_reachable, release: "", trouble: None }
}

async fn note_router(
    connection: &mut Connection,
    site: &SiteId,
    note: RouterNote<'_>,
    now: UnixMillis,
) -> Result<bool, LinkError> {
    Ok(sites::store::note_router(connection, site, note, now).await?)
}

async fn take_bye(
    connection: &mut Connection,
    site: &SiteId,
    bye: &ByeV1,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    let Some(agent) = store::agent(connection, site).await? else { return Ok(()) };
    if bye.connection_epoch < agent.connection_epoch {
        tracing::debug!(site.id = %site, "a farewell of an older connection came late");
        return Ok(());
    }
    if store::went_offline(connection, site, now).await? {
        tracing::info!(site.id = %site, "a site went offline");
        effects.hints.push(Hint::Site(site.clone()));
    }
    Ok(())
}

async fn take_stored(
    connection: &mut Connection,
    site: &SiteId,
    stored: &StoredV1,
    state: SiteState,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    if stored.generation > state.generation {
        tracing::warn!(site.id = %site, generation = stored.generation, "a site stored what it was never told");
        return Ok(());
    }
    if store::raise_stored(connection, site, stored.generation).await? {
        let customers = traces::stored(connection, site, stored.generation, now).await?;
        effects.begun(deferred_start::heard(connection, site, stored.generation, now).await?);
        effects.hints.extend(customers.into_iter().map(Hint::Payment));
        effects.hints.push(Hint::Site(site.clone()));
    }
    Ok(())
}

async fn take_applied(
    connection: &mut Connection,
    memory: &mut Memory,
    said: &Said,
    applied: &AppliedV1,
    state: SiteState,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    let site = &said.site;
    if applied.generation > state.generation {
        tracing::warn!(site.id = %site, generation = applied.generation, "a site applied what it was never told");
        return Ok(());
    }
    if applied.generation == state.generation && applied.state_hash != state.hash.to_bytes() {
        tracing::warn!(site.id = %site, generation = applied.generation, "a site applied something else than it was told");
        let held = Held { generation: applied.generation, hash: StateHash::from_bytes(applied.state_hash) };
        return tell(connection, memory, site, held, state, now, effects).await;
    }
    store::set_applied(connection, site, applied.generation, applied.failures_total, now).await?;
    // A site whose disk takes nothing enforces all the same.
    effects.begun(deferred_start::heard(connection, site, applied.generation, now).await?);
    effects.hints.push(Hint::Site(site.clone()));
    let failed: Vec<(LineId, String)> = applied.failures.iter().filter_map(read_failure).collect();
    let listed = u32::try_from(applied.failures.len()).unwrap_or(u32::MAX);
    let is_complete = applied.failures_total <= listed;
    show_failures(connection, site, &failed, is_complete, effects).await?;
    if is_complete {
        let customers = traces::verified(connection, site, applied.generation, &failed, now).await?;
        effects.hints.extend(customers.into_iter().map(Hint::Payment));
    } else {
        // Lines that are not listed may have failed as well, so that none is taken for verified.
        tracing::warn!(
            site.id = %site, failures = applied.failures_total, listed, "more lines failed than one report can list"
        );
    }
    Ok(())
}

/// Shows which lines are not on their routers as they should be, and, when the list is complete, that the others are.
async fn show_failures(
    connection: &mut Connection,
    site: &SiteId,
    failed: &[(LineId, String)],
    is_complete: bool,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    let shown = store::failed_lines(connection, site).await?;
    for (line, failure) in failed {
        let is_shown = shown.iter().any(|(known, text)| known == line && text == failure);
        if !is_shown && store::set_failure(connection, site, line, failure).await? {
            effects.hints.push(Hint::Line(line.clone()));
        }
    }
    if !is_complete {
        return Ok(());
    }
    for (line, _) in shown {
        let is_well = !failed.iter().any(|(known, _)| *known == line);
        if is_well && store::set_failure(connection, site, &line, "").await? {
            effects.hints.push(Hint::Line(line));
        }
    }
    Ok(())
}

async fn take_usage(
    connection: &mut Connection,
    memory: &mut Memory,
    said: &Said,
    batch: &UsageBatchV1,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    if !advance(connection, memory, said, Lane::Usage, effects).await? {
        return Ok(());
    }
    let site = &said.site;
    let (mut unbelieved, mut refused) = (0_u32, None);
    for session in &batch.sessions {
        let may_add = || match memory.sessions.spend(site, now) {
            Spent::Yes => true,
            Spent::No(count) => {
                if count.is_power_of_two() {
                    refused = Some(count);
                }
                false
            }
        };
        let teller = (site, said.header.store_epoch);
        match usage::take(connection, teller, session, now, may_add).await? {
            // The customer may be online again with another; who came online was told with the event.
            usage::Taken::Recorded if session.address.is_empty() || session.is_ended => {}
            usage::Taken::Recorded => {
                let address = line_of(&session.address, usage::ADDRESS_BYTES);
                let has_moved = session.upload_bytes > 0 || session.download_bytes > 0;
                store::set_last_address(connection, site, (&session.line, &address), has_moved).await?;
            }
            usage::Taken::ForeignLine | usage::Taken::Unbelievable => {
                unbelieved = unbelieved.saturating_add(1);
            }
            usage::Taken::TooMany => {}
        }
    }
    if unbelieved > 0 {
        tracing::warn!(
            site.id = %site, sessions = unbelieved,
            "sessions of lines that are none of the site's, or that cannot be, were passed over"
        );
    }
    if let Some(count) = refused {
        tracing::warn!(site.id = %site, count, "the site begins more sessions than are kept");
    }
    // One for all lines: a report has hundreds, and pages that show usage listen to the site too.
    effects.hints.push(Hint::Site(site.clone()));
    Ok(())
}

/// Running totals by short names. An unknown one is passed over: its session is named again.
async fn take_totals(
    connection: &mut Connection,
    memory: &mut Memory,
    said: &Said,
    message: &UsageTotalsV1,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    if !advance(connection, memory, said, Lane::Usage, effects).await? {
        return Ok(());
    }
    let site = &said.site;
    let mut unknown = 0_u32;
    for total in &message.totals {
        let teller = (site, said.header.store_epoch);
        let taken = usage::take_running(connection, teller, (total, message.sampled_at_ms), now).await?;
        unknown = unknown.saturating_add(u32::from(taken != Some(usage::Taken::Recorded)));
    }
    if unknown > 0 {
        tracing::info!(site.id = %site, sessions = unknown, "totals of sessions that are not known here wait for their names");
    }
    effects.hints.push(Hint::Site(site.clone()));
    Ok(())
}

async fn take_event(
    connection: &mut Connection,
    controller: &Controller,
    memory: &mut Memory,
    said: &Said,
    event: &EventV1,
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    if !advance(connection, memory, said, Lane::Event, effects).await? {
        return Ok(());
    }
    let site = &said.site;
    let line = match event.line.as_deref().map(LineId::parse) {
        Some(Ok(line)) if usage::store::is_line_of(connection, site, line.as_str()).await? => Some(line),
        _ => None,
    };
    let router = event.router.clone().filter(|name| check_id(name).is_ok());
    let kind = EventKind::from_code(event.kind);
    let mut detail = line_of(&event.detail, DETAIL_CHARACTERS);
    if let (Some(EventKind::PlanReleased), Some(router)) = (kind, &router) {
        detail = with_whose_order(connection, site, router, detail).await?;
    }
    let kept = EventV1 { detail, router, ..event.clone() };
    let position = (said.header.store_epoch, said.header.seq);
    match memory.events.spend(site, now) {
        Spent::Yes => {
            if !sites::store::insert_event(connection, site, position, &kept, line.as_ref(), now).await? {
                return Ok(());
            }
            if kind == Some(EventKind::LetGoAtSite) {
                let told = format!("{}: {}", kept.router.as_deref().unwrap_or("?"), kept.detail);
                let act = (Action::HeldLetGo, site.as_str(), told.as_str());
                audit::record(connection, &Actor::Site(site.clone()), act, &controller.ids, now).await?;
            }
        }
        Spent::No(count) => {
            if count.is_power_of_two() {
                tracing::warn!(site.id = %site, count, "the site reports more events than are kept");
            }
        }
    }
    effects.hints.push(Hint::Site(site.clone()));
    match (kind, line, kept.router) {
        (Some(kind @ (EventKind::LineOnline | EventKind::LineOffline)), Some(line), _) => {
            let is_online = kind == EventKind::LineOnline;
            // What was noted without a connection comes behind what is fresh, and is told as history then.
            let is_history = said.header.flags & FLAG_HISTORICAL != 0;
            // It may have waited there; a clock that is wrong makes it no older than anything waits, and never of tomorrow.
            let at = UnixMillis(event.at_ms).clamp(now.minus(WAITED_MOST), now);
            let is_new = store::set_line_online(connection, site, &line, (is_online, is_history), at).await?;
            if is_new {
                effects.hints.push(Hint::Line(line.clone()));
            }
            if is_online && (is_new || !is_history) && kept.detail.parse::<IpAddr>().is_ok() {
                store::set_last_address(connection, site, (line.as_str(), &kept.detail), true).await?;
            }
            // Whoever came before they paid did not come because of that.
            let came_at = if is_history { at } else { now };
            if is_online && let Some(customer) = traces::online(connection, &line, came_at).await? {
                effects.hints.push(Hint::Payment(customer));
            }
        }
        (Some(EventKind::RouterLost), _, Some(router)) => {
            note_router(connection, site, by_event(&router, false), now).await?;
        }
        (Some(EventKind::RouterFound), _, Some(router)) => {
            note_router(connection, site, by_event(&router, true), now).await?;
        }
        (Some(EventKind::StoreLost | EventKind::StoreFull | EventKind::PlanHeld), _, _) => {
            let what = kind.map_or("", EventKind::as_str);
            tracing::warn!(site.id = %site, event.kind = what, "a site needs a person: what it says of that is on its page");
        }
        _ => {}
    }
    Ok(())
}

/// What a site says of lines that head office let go, with whose order that was: the site does not know.
async fn with_whose_order(
    connection: &mut Connection,
    site: &SiteId,
    router: &str,
    detail: String,
) -> Result<String, LinkError> {
    if !detail.contains(LET_GO_BY_OFFICE) {
        return Ok(detail);
    }
    let order = commands::latest_of_kind(connection, site, CommandKind::ReleaseHeld, router).await?;
    Ok(match order {
        Some(order) => detail.replacen(LET_GO_BY_OFFICE, &format!("{LET_GO_BY_OFFICE} ({})", order.actor), 1),
        None => detail,
    })
}

/// Whether the message is to be taken; moves the lane's cursor then, and has the site told where it stands in any case.
pub(super) async fn advance(
    connection: &mut Connection,
    memory: &Memory,
    said: &Said,
    lane: Lane,
    effects: &mut Effects,
) -> Result<bool, LinkError> {
    let (site, epoch, seq) = (&said.site, said.header.store_epoch, said.header.seq);
    let cursor = store::cursor(connection, site, lane.code(), epoch).await?;
    // Positions begin at 1, so that a life with a cursor has a larger one.
    let is_new_life = cursor == 0;
    let is_first = effects.is_first(memory, site, lane);
    // A light word before it may have been lost on the way, and is said again: only one with acknowledgements can say that
    // nothing before it exists any more.
    let can_resume = is_first && !said.is_light;
    let proven = can_resume.then(|| effects.proven_hole(memory, site, lane, epoch)).flatten();
    let decided = position(seq, cursor, proven);
    let (is_taken, cursor) = match decided {
        Position::Next => (true, seq),
        Position::Resumed { lost } => {
            tracing::warn!(site.id = %site, lane = lane.as_str(), lost, "records of a site are gone for good");
            (true, seq)
        }
        Position::Repeated | Position::Ahead => (false, cursor),
        Position::Impossible => {
            tracing::warn!(site.id = %site, lane = lane.as_str(), "a record without a position was passed over");
            return Ok(false);
        }
    };
    if is_taken {
        if is_new_life {
            store::forget_other_lives(connection, site, lane.code(), epoch).await?;
        }
        store::set_cursor(connection, site, lane.code(), epoch, seq).await?;
    }
    if is_first && decided != Position::Ahead {
        effects.first_came(site, lane);
    } else if can_resume
        && effects.first_lacks(memory, site, lane, (epoch, seq))
        && effects.can_be_asked(memory, site)
    {
        // After another hello the site tells everything again that it has, from the cursor on. One that does not know the
        // question is not answered, and comes back by itself.
        let question = SpreadV1 { return_within_seconds: 0, hello_within_seconds: 1 };
        effects.send(site, Down::Ack, &question)?;
    }
    effects.cursors.insert((site.clone(), lane.code()), (epoch, cursor));
    Ok(is_taken)
}

fn read_failure(failure: &LineFailureV1) -> Option<(LineId, String)> {
    let line = LineId::parse(&failure.line).ok()?;
    let kind = FailureKind::from_code(failure.kind)
        .map_or("a failure that this release does not know", FailureKind::as_str);
    let detail = line_of(&failure.detail, DETAIL_CHARACTERS);
    let text = if detail.is_empty() { kind.to_owned() } else { format!("{kind}: {detail}") };
    Some((line, text))
}
