//! Tells sites what changed, as soon as it is committed.
//!
//! Woken by the bell (`Live::ring_outbox`), by a new connection, every second because another process, such as the command
//! line, rings no bell here, and every 5 s as a second line: a message may have been lost. A row leaves the outbox when its
//! generation was published; that a site has it is known only when it says so, and a site that is online and does not is told
//! again, ever more rarely. A site that is offline needs no row: its hello brings what it lacks, or whoever finds that it was
//! there all the time queues it again. Nothing here waits for the writer: what was published is handed to `published`, and its
//! row is passed over until that has taken it out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::time::Duration;

use sqlx::Connection as _;
use tawi_shared::UnixMillis;
use tawi_shared::topics::Down;
use tawi_shared::wire::{SpreadV1, encode};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::connection::Pipe;
use super::published::{self, Published};
use super::store::{self, Behind};
use super::watched::Spoken;
use super::{LinkError, answers, releases, reports};
use crate::ids::{CommandId, SiteId};
use crate::shutdown::Stop;
use crate::state::Controller;
use crate::{commands, database, desired, site_settings};

/// How often what other processes wrote is looked for: four small questions to the database.
const GLANCE: Duration = Duration::from_secs(1);
/// The second line.
const PERIOD: Duration = Duration::from_secs(5);
/// How long a site has to say that it stored what it was told; doubles with each time it is told again.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_PATIENCE: Duration = Duration::from_secs(300);
/// How long a site has to say that its routers are at what it stored before it is asked; doubles with each time. A router that
/// is away for days is a reason to say nothing.
const FIRST_APPLIED_PATIENCE: Duration = Duration::from_secs(60);
const LONGEST_APPLIED_PATIENCE: Duration = Duration::from_secs(6 * 3_600);
/// Within how many seconds whoever is asked says where it stands.
const HELLO_WITHIN_SECONDS: u16 = 5;
/// How long a site has to say what became of a command, or of its settings, before it is told again; doubles with each time. It
/// does each command once, and hears of all of this with each hello besides: an answer may take an hour on a metered line, and
/// an agent of an older release does not know what settings are.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);
const LONGEST_COMMAND_PATIENCE: Duration = Duration::from_secs(600);

/// When a site was last told, and what.
#[derive(Clone, Copy, Debug)]
struct Told {
    generation: u64,
    at: Instant,
    patience: Duration,
}

/// What the publisher remembers of each site. It never holds more than there are sites.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Of those that have not said that they stored it.
    told: HashMap<SiteId, Told>,
    /// Of those that have not said that their routers are at it.
    asked: HashMap<SiteId, Told>,
    /// Up to where the row is about to be taken out, or was.
    handed_over: HashMap<SiteId, u64>,
    /// When each open command was last told: it is told again while its site says nothing of it.
    commands: HashMap<CommandId, Told>,
    /// When each site was last told of which rollout, while it says nothing of it.
    releases: HashMap<SiteId, (u64, Instant)>,
    /// Which settings each site was last told of which it has not spoken, and when.
    settings: HashMap<SiteId, Told>,
}

/// Runs until `stop`, and then until what was published is noted.
pub(super) async fn run(controller: Controller, pipe: Pipe, spoken: Spoken, mut stop: Stop) {
    let (hand_over, handed_over) = mpsc::channel(published::WAITING);
    let noting = tokio::spawn(published::run(controller.clone(), handed_over));
    let mut memory = Memory::default();
    let way = (pipe.clone(), spoken);
    let mut connection = pipe.changes();
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut glances = tokio::time::interval(GLANCE);
    glances.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_said = None;
    loop {
        let is_tick = tokio::select! {
            () = stop.requested() => break,
            () = controller.live.outbox_rung() => false,
            Ok(()) = connection.changed() => false,
            _ = ticks.tick() => true,
            _ = glances.tick() => false,
        };
        if !pipe.is_open() {
            continue;
        }
        if let Err(error) = pass(&controller, &way, &mut memory, &hand_over, is_tick).await {
            // Each look meets a database that is away; it is said once in a while.
            let is_said = last_said.is_none_or(|last: Instant| last.elapsed() >= PERIOD);
            if is_said {
                last_said = Some(Instant::now());
                tracing::error!(%error, "sites could not be told what changed; trying again");
            }
        }
    }
    drop(hand_over);
    if let Err(error) = noting.await {
        tracing::error!(%error, "noting what was published failed; those sites are told again after the start");
    }
}

/// Tells sites what is due; `is_tick` also those that were told and have not said that they have it.
pub(super) async fn pass(
    controller: &Controller,
    (pipe, spoken): &(Pipe, Spoken),
    memory: &mut Memory,
    hand_over: &mpsc::Sender<Published>,
    is_tick: bool,
) -> Result<(), LinkError> {
    let mut connection = controller.database.read_first().await?;
    let queued = store::outbox(&mut connection).await?;
    let mut due: BTreeMap<SiteId, Behind> = queued
        .into_iter()
        .filter(|behind| memory.handed_over.get(&behind.site).is_none_or(|done| *done < behind.generation))
        .map(|behind| (behind.site.clone(), behind))
        .collect();
    if is_tick {
        let silent = store::behind(&mut connection).await?;
        let now = Instant::now();
        keep_only(&mut memory.told, silent.iter().map(|behind| &behind.site));
        for behind in silent {
            if is_due(&mut memory.told, &behind, FIRST_PATIENCE, now) {
                tracing::info!(site.id = %behind.site, generation = behind.generation, "a site is told again");
                due.entry(behind.site.clone()).or_insert(behind);
            }
        }
        ask_where_they_stand(&mut connection, (pipe, spoken), memory).await?;
    }
    for Behind { site, generation, is_online } in due.into_values() {
        if !is_online {
            // Not remembered as handed over: the same generation is queued again when the site is heard after all.
            let published = Published { site, generation, told_at: None };
            // Whoever notes it ends after us. Should it not, the row stays, and is seen by the next pass.
            let _ = hand_over.send(published).await;
            continue;
        }
        let mut messages = Vec::new();
        let now = controller.clock.now();
        let newest = match read_state(&mut connection, &site, now, &mut messages).await {
            Ok(newest) => newest,
            Err(LinkError::Database(error)) => return Err(error.into()),
            Err(error) => {
                // One site whose state cannot be told keeps no other waiting; its row stays and is tried again.
                tracing::error!(site.id = %site, %error, "a site cannot be told what changed");
                continue;
            }
        };
        let Some(generation) = newest else { continue };
        let is_told = !messages.is_empty();
        for (topic, envelope) in messages {
            if !pipe.publish(topic, envelope).await {
                // All sites connect anew after this, and say what they lack.
                return Ok(());
            }
        }
        let told_at = is_told.then(|| controller.clock.now());
        if is_told {
            note_told(&mut memory.told, &site, generation, (FIRST_PATIENCE, LONGEST_PATIENCE));
        }
        memory.hand_over(hand_over, Published { site, generation, told_at }).await;
    }
    tell_settings(&mut connection, (pipe, spoken), memory).await?;
    // After the states: a row that is taken over needs its line.
    tell_commands(&mut connection, pipe, memory).await?;
    releases::tell_connected(&mut connection, (pipe, spoken), &mut memory.releases).await
}

/// Tells sites that are connected their settings, where they have not spoken of the newest.
async fn tell_settings(
    connection: &mut database::Connection,
    (pipe, spoken): (&Pipe, &Spoken),
    memory: &mut Memory,
) -> Result<(), LinkError> {
    let now = Instant::now();
    let silent = site_settings::store::sites_to_tell(connection).await?;
    keep_only(&mut memory.settings, silent.iter().map(|(site, _)| site));
    for (site, revision) in silent {
        if is_patient(&memory.settings, &site, revision, now) || !spoken.together(&site) {
            continue;
        }
        let settings = site_settings::of_site(connection, &site).await?;
        let (topic, envelope) = answers::settings_message(&site, &settings.to_wire())?;
        if !pipe.publish(topic, envelope).await {
            return Ok(());
        }
        let patience = (COMMAND_PATIENCE, LONGEST_COMMAND_PATIENCE);
        note_told(&mut memory.settings, &site, settings.revision, patience);
    }
    Ok(())
}

/// Asks sites whose routers should be at what they stored, and which have not said so: their word may have been lost.
async fn ask_where_they_stand(
    connection: &mut database::Connection,
    (pipe, spoken): (&Pipe, &Spoken),
    memory: &mut Memory,
) -> Result<(), LinkError> {
    let silent = store::unapplied(connection).await?;
    keep_only(&mut memory.asked, silent.iter().map(|behind| &behind.site));
    let now = Instant::now();
    for behind in silent {
        if !is_due(&mut memory.asked, &behind, FIRST_APPLIED_PATIENCE, now) || !spoken.together(&behind.site)
        {
            continue;
        }
        let question = SpreadV1 { return_within_seconds: 0, hello_within_seconds: HELLO_WITHIN_SECONDS };
        // Two numbers always fit an envelope. A question that is lost is asked again.
        if let Ok(envelope) = encode(&question, 0, 0, 0)
            && pipe.publish_lightly(Down::Ack.topic(&behind.site), envelope).await
        {
            tracing::info!(site.id = %behind.site, generation = behind.generation, "a site is asked where it stands");
            let patience = (FIRST_APPLIED_PATIENCE, LONGEST_APPLIED_PATIENCE);
            note_told(&mut memory.asked, &behind.site, behind.generation, patience);
        }
    }
    Ok(())
}

/// Tells sites that are connected the commands that they have not answered.
async fn tell_commands(
    connection: &mut database::Connection,
    pipe: &Pipe,
    memory: &mut Memory,
) -> Result<(), LinkError> {
    let now = Instant::now();
    let mut open = HashSet::new();
    for site in commands::store::sites_to_tell(connection).await? {
        for command in commands::open_of(connection, &site).await? {
            open.insert(command.id.clone());
            if is_patient(&memory.commands, &command.id, 0, now) {
                continue;
            }
            let (topic, envelope) = answers::command_message(&site, &command)?;
            if !pipe.publish(topic, envelope).await {
                return Ok(());
            }
            let patience = (COMMAND_PATIENCE, LONGEST_COMMAND_PATIENCE);
            note_told(&mut memory.commands, &command.id, 0, patience);
        }
    }
    memory.commands.retain(|id, _| open.contains(id));
    Ok(())
}

impl Memory {
    async fn hand_over(&mut self, hand_over: &mpsc::Sender<Published>, published: Published) {
        let (site, generation) = (published.site.clone(), published.generation);
        // Whoever notes it ends after us. Should it not, the row stays, and each pass tells the site again.
        if hand_over.send(published).await.is_ok() {
            self.handed_over.insert(site, generation);
        }
    }
}

/// Reads what a site lacks in one consistent view: generation, hash and lines of the same moment. Answers with the
/// newest generation, and without messages when the site has said that it holds it.
async fn read_state(
    connection: &mut database::Connection,
    site: &SiteId,
    now: UnixMillis,
    messages: &mut Vec<(String, Vec<u8>)>,
) -> Result<Option<u64>, LinkError> {
    let mut view = connection.begin().await?;
    let stored = store::agent(&mut view, site).await?.map(|agent| agent.stored_generation);
    let newest = desired::store::state_of(&mut view, site).await?.map(|state| state.generation);
    if stored < newest {
        reports::state_messages(&mut view, site, stored, messages).await?;
        reports::usage_of_told(&mut view, site, stored.unwrap_or(0), now, messages).await?;
    }
    view.rollback().await?;
    Ok(newest)
}

/// Whether a site that is behind has had its time. One that is met for the first time gets it now: its hello may have
/// been answered this instant.
fn is_due(told: &mut HashMap<SiteId, Told>, behind: &Behind, first: Duration, now: Instant) -> bool {
    let fresh = Told { generation: behind.generation, at: now, patience: first };
    let last = told.entry(behind.site.clone()).or_insert(fresh);
    now.duration_since(last.at) >= last.patience
}

/// Forgets what was told to anybody else.
fn keep_only<'a>(told: &mut HashMap<SiteId, Told>, sites: impl Iterator<Item = &'a SiteId>) {
    let sites: HashSet<&SiteId> = sites.collect();
    told.retain(|site, _| sites.contains(site));
}

/// Whether it was told already, and has its time still.
fn is_patient<Key: Eq + Hash>(told: &HashMap<Key, Told>, whom: &Key, generation: u64, now: Instant) -> bool {
    told.get(whom)
        .is_some_and(|told| told.generation == generation && now.duration_since(told.at) < told.patience)
}

fn note_told<Key: Eq + Hash + Clone>(
    told: &mut HashMap<Key, Told>,
    whom: &Key,
    generation: u64,
    (first, longest): (Duration, Duration),
) {
    let now = Instant::now();
    let patience = match told.get(whom) {
        Some(last) if last.generation == generation => last.patience.saturating_mul(2).min(longest),
        _ => first,
    };
    told.insert(whom.clone(), Told { generation, at: now, patience });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_site_that_says_nothing_is_told_again_and_ever_more_rarely() {
        let mut told = HashMap::new();
        let behind = Behind { site: SiteId::parse("a").unwrap(), generation: 3, is_online: true };
        assert!(!is_due(&mut told, &behind, FIRST_PATIENCE, Instant::now()), "its hello was just answered");
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let start = Instant::now();
            while !is_due(&mut told, &behind, FIRST_PATIENCE, Instant::now()) {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            pauses.push(start.elapsed().as_secs());
            note_told(&mut told, &behind.site, behind.generation, (FIRST_PATIENCE, LONGEST_PATIENCE));
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
        note_told(&mut told, &behind.site, 4, (FIRST_PATIENCE, LONGEST_PATIENCE));
        assert_eq!(told[&behind.site].patience, FIRST_PATIENCE, "a newer generation starts anew");
    }
}
