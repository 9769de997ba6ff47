//! Takes in what sites say: everything that waits in one transaction, in the order in which it came.
//!
//! What is to be sent or told because of a message is collected in [`Effects`] and happens after the commit. When a
//! batch fails, each of its messages is tried alone, so that one that cannot be taken spoils no other. A message that
//! still fails is given up: its sender was not answered, and says it again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use tawi_shared::envelope::Header;
use tawi_shared::topics::{Down, Up};
use tawi_shared::wire::{self, Body, CursorV1, Lane, UpMessage};
use tokio::sync::mpsc;

use super::connection::{Arrival, Heard, Pipe};
use super::{LinkError, reports};
use crate::ids::SiteId;
use crate::live::Hint;
use crate::sites;
use crate::state::Controller;

/// Messages that share a transaction. Enough to make the commit cheap for a crowd, few enough that the last of them
/// is not kept waiting: 64 take about 20 ms.
const BATCH: usize = 64;
/// How long the database gets to recover before a message is tried for the last time.
const LAST_TRY_PAUSE: Duration = Duration::from_secs(1);

/// A message that could be read.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) site: SiteId,
    pub(super) header: Header,
    pub(super) message: UpMessage,
}

/// What has to happen once the transaction is committed.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Topic and envelope, in order.
    pub(super) messages: Vec<(String, Vec<u8>)>,
    /// How far each lane is now. Sent once a batch, before the messages.
    pub(super) cursors: BTreeMap<(SiteId, u16), (u32, u64)>,
    /// Who must look again.
    pub(super) hints: Vec<Hint>,
    /// The publisher has something to do.
    pub(super) has_outbox: bool,
    /// Lanes that a hello restarted (`true`) or whose first message came (`false`), in order.
    resumptions: Vec<(SiteId, u16, bool)>,
}

/// What the intake remembers between batches: the lanes of which nothing came since their site's hello.
#[derive(Debug, Default)]
pub(super) struct Memory {
    awaited: HashSet<(SiteId, u16)>,
    /// Bad messages by site, so that a broken agent does not fill the log.
    bad: HashMap<SiteId, u64>,
}

impl Effects {
    /// Queues a message for a site.
    pub(super) fn send<B: Body>(&mut self, site: &SiteId, topic: Down, body: &B) -> Result<(), LinkError> {
        let envelope = wire::encode(body, 0, 0, 0)
            .map_err(|source| LinkError::Encoding { site: site.clone(), source })?;
        self.messages.push((topic.topic(site), envelope));
        Ok(())
    }

    /// Notes that a hello restarted a lane, or that the first message after it came.
    pub(super) fn await_first(&mut self, site: &SiteId, lane: Lane, is_awaited: bool) {
        self.resumptions.push((site.clone(), lane.code(), is_awaited));
    }

    /// Whether nothing of the lane came since the site's hello.
    pub(super) fn is_first(&self, memory: &Memory, site: &SiteId, lane: Lane) -> bool {
        let latest = self.resumptions.iter().rev().find(|(of, code, _)| of == site && *code == lane.code());
        match latest {
            Some((_, _, is_awaited)) => *is_awaited,
            None => memory.awaited.contains(&(site.clone(), lane.code())),
        }
    }
}

/// Runs until what is heard ends.
pub(super) async fn run(controller: Controller, mut heard: mpsc::Receiver<Heard>, pipe: Pipe) {
    let mut memory = Memory::default();
    let mut batch = Vec::with_capacity(BATCH);
    while heard.recv_many(&mut batch, BATCH).await > 0 {
        let mut said = Vec::with_capacity(batch.len());
        for one in &batch {
            match one {
                Heard::Site(arrival) => said.extend(memory.read(arrival)),
                Heard::Nobody => {
                    take(&controller, &mut memory, &said, &pipe).await;
                    said.clear();
                    note_nobody(&controller).await;
                }
            }
        }
        take(&controller, &mut memory, &said, &pipe).await;
        for one in batch.drain(..) {
            if let Heard::Site(arrival) = one {
                arrival.acknowledge().await;
            }
        }
    }
}

/// Shows every site as offline. After a restart, or a connection to the broker that broke, none is connected, and the
/// farewell of one that died meanwhile was heard by nobody; a hello brings each of the others back.
async fn note_nobody(controller: &Controller) {
    match offline(controller).await {
        Ok(sites) => sites.into_iter().for_each(|site| controller.live.tell(Hint::Site(site))),
        // Presence is shown wrongly for minutes then, until it is judged by silence.
        Err(error) => tracing::error!(%error, "sites cannot be shown as offline"),
    }
}

async fn offline(controller: &Controller) -> Result<Vec<SiteId>, LinkError> {
    let mut transaction = controller.database.write().await?;
    let sites = sites::store::mark_all_offline(&mut transaction, controller.clock.now()).await?;
    transaction.commit().await?;
    Ok(sites)
}

impl Memory {
    /// Opens the envelope. Bad bytes are counted and forgotten: they stay bad however often they come.
    fn read(&mut self, arrival: &Arrival) -> Option<Said> {
        if arrival.topic == Up::Log {
            // No release has log messages yet; a newer agent's are not ours to judge.
            return None;
        }
        match UpMessage::decode(&arrival.publish.payload) {
            Ok((header, message)) => Some(Said { site: arrival.site.clone(), header, message }),
            Err(error) => {
                let count = self.bad.entry(arrival.site.clone()).or_default();
                *count = count.saturating_add(1);
                if count.is_power_of_two() {
                    tracing::warn!(site.id = %arrival.site, %error, count, "a message cannot be read");
                }
                None
            }
        }
    }

    fn learn(&mut self, effects: &Effects) {
        for (site, lane, is_awaited) in &effects.resumptions {
            let key = (site.clone(), *lane);
            if *is_awaited {
                self.awaited.insert(key);
            } else {
                self.awaited.remove(&key);
            }
        }
    }
}

async fn take(controller: &Controller, memory: &mut Memory, said: &[Said], pipe: &Pipe) {
    if said.is_empty() {
        return;
    }
    match commit(controller, memory, said).await {
        Ok(effects) => finish(controller, memory, effects, pipe).await,
        Err(error) if said.len() > 1 => {
            tracing::warn!(%error, messages = said.len(), "messages could not be taken together; taking each alone");
            for one in said {
                take_alone(controller, memory, one, pipe).await;
            }
        }
        Err(_) => {
            for one in said {
                take_alone(controller, memory, one, pipe).await;
            }
        }
    }
}

async fn take_alone(controller: &Controller, memory: &mut Memory, one: &Said, pipe: &Pipe) {
    let alone = std::slice::from_ref(one);
    let mut outcome = commit(controller, memory, alone).await;
    if outcome.is_err() {
        tokio::time::sleep(LAST_TRY_PAUSE).await;
        outcome = commit(controller, memory, alone).await;
    }
    match outcome {
        Ok(effects) => finish(controller, memory, effects, pipe).await,
        Err(error) => {
            tracing::error!(
                site.id = %one.site, message.r#type = one.header.message_type, %error,
                "a message could not be taken; its site will say it again"
            );
        }
    }
}

async fn commit(controller: &Controller, memory: &Memory, said: &[Said]) -> Result<Effects, LinkError> {
    let now = controller.clock.now();
    let mut effects = Effects::default();
    let mut transaction = controller.database.write().await?;
    for one in said {
        Box::pin(reports::take(&mut transaction, controller, memory, one, now, &mut effects)).await?;
    }
    transaction.commit().await?;
    Ok(effects)
}

async fn finish(controller: &Controller, memory: &mut Memory, effects: Effects, pipe: &Pipe) {
    memory.learn(&effects);
    let now = controller.clock.now();
    let cursors = effects.cursors.iter().filter_map(|((site, lane), (store_epoch, cursor))| {
        let body =
            CursorV1 { lane: *lane, store_epoch: *store_epoch, cursor: *cursor, controller_clock_ms: now.0 };
        // Four numbers always fit an envelope.
        wire::encode(&body, 0, 0, 0).ok().map(|envelope| (Down::Ack.topic(site), envelope))
    });
    for (topic, envelope) in cursors.chain(effects.messages.iter().cloned()) {
        if !pipe.publish(topic, envelope).await {
            // The connection is gone, and with it every site's: they will come back and say hello.
            tracing::debug!("answers were dropped with the connection");
            break;
        }
    }
    let mut told: Vec<&Hint> = Vec::new();
    for hint in &effects.hints {
        if !told.contains(&hint) {
            told.push(hint);
            controller.live.tell(hint.clone());
        }
    }
    if effects.has_outbox {
        controller.live.ring_outbox();
    }
}
