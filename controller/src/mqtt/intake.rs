//! Takes in what sites say: everything that waits in one transaction, in the order in which it came.
//!
//! What is to be sent or told because of a message is collected in [`Effects`] and happens after the commit. When a
//! batch fails, each of its messages is tried alone, so that one that cannot be taken spoils no other. A message that
//! still fails is given up: its sender was not answered, and says it again.
//!
//! The whole state of a site is dear to read and to send, and a hello is cheap to say: a site that asks for it again
//! too soon is told it a little later.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::envelope::{FLAG_HISTORICAL, Header};
use tawi_shared::topics::Down;
use tawi_shared::wire::{
    self, BatchedEventV1, Body, CursorV1, CursorsV1, EVENTS_TOGETHER, HelloV1, Lane, PROTOCOL_TOGETHER,
    ReleasePartWantedV1, SpreadV1, UpMessage, WelcomeV1,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::budget::{Budgets, EVENTS, SESSIONS, WRITES};
use super::connection::{Arrival, Heard, Pipe};
use super::positions::Hole;
use super::spread::spread_of;
use super::twins::Twins;
use super::watched::Spoken;
use super::{LinkError, releases, reports};
use crate::desired::Held;
use crate::ids::{LineId, SiteId};
use crate::live::Hint;
use crate::sites;
use crate::state::Controller;

/// Messages that share a transaction. Enough to make the commit cheap for a crowd, few enough that the last of them
/// is not kept waiting: 64 take about 20 ms.
const BATCH: usize = 64;
/// What comes within this shares a transaction, and one answer for each site.
const GATHER: Duration = Duration::from_millis(1);
/// How long the database gets to recover before a message is tried for the last time.
const LAST_TRY_PAUSE: Duration = Duration::from_secs(1);

/// Between two tellings of the whole state to one site: an agent asks no sooner for a better one.
const WHOLE_AGAIN: Duration = Duration::from_secs(2);

/// A message that could be read.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) site: SiteId,
    pub(super) header: Header,
    pub(super) message: UpMessage,
    /// Whether it came without the broker's acknowledgement, and is answered so.
    pub(super) is_light: bool,
}

/// What has to happen once the transaction is committed.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Topic and envelope, in order.
    pub(super) messages: Vec<(String, Vec<u8>)>,
    /// What is spoken with sites that said hello. Sent before anything else: whatever they tell next is in it.
    pub(super) welcomes: BTreeMap<SiteId, u16>,
    /// The same of all of them, also of those that know no welcome.
    pub(super) spoken: BTreeMap<SiteId, u16>,
    /// Sites that said something which is answered with the broker's acknowledgement.
    pub(super) heavy: HashSet<SiteId>,
    /// How far each lane is now. Sent once a batch, before the messages.
    pub(super) cursors: BTreeMap<(SiteId, u16), (u32, u64)>,
    /// Who must look again.
    pub(super) hints: Vec<Hint>,
    /// Sites that said hello, with the life of their store and when: they are told what their lines moved elsewhere. That reads
    /// all sessions of all their running periods, and must not keep the writer.
    pub(super) greeted: BTreeMap<SiteId, (u32, UnixMillis)>,
    /// The publisher has something to do.
    pub(super) has_outbox: bool,
    /// Parts of releases that sites ask for; the last one of each.
    pub(super) parts: BTreeMap<SiteId, ReleasePartWantedV1>,
    /// The hellos that were taken, the last one of each.
    pub(super) hellos: BTreeMap<SiteId, Greeting>,
    /// What became of lanes that hellos restarted, in order.
    resumptions: Vec<(SiteId, u16, Resumption)>,
}

/// Which run of an agent said hello, and on which of its connections: within a run their numbers only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    boot_id: u64,
    connection_epoch: u64,
}

impl Greeting {
    pub(super) fn of(hello: &HelloV1) -> Self {
        Self { boot_id: hello.boot_id, connection_epoch: hello.connection_epoch }
    }

    /// Whether it was said before the other. Of two runs nobody can tell: a clock may have been set back between them, and the
    /// store be lost.
    fn is_before(self, other: Self) -> bool {
        self.boot_id == other.boot_id && self.connection_epoch < other.connection_epoch
    }
}

/// How a lane goes on after a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resumption {
    /// Its first message is awaited.
    Awaited,
    /// It came.
    Came,
    /// It lacks what is before it: which life of the store, and its position.
    Lacks(u32, u64),
}

/// What the intake remembers between batches.
#[derive(Debug)]
pub(super) struct Memory {
    /// The lanes of which nothing came since their site's hello.
    awaited: HashSet<(SiteId, u16)>,
    /// Holes before the first message of a lane.
    holes: HashMap<(SiteId, u16), Hole>,
    /// The newest hello of each site.
    hellos: HashMap<SiteId, Greeting>,
    /// Sites that two devices speak as.
    twins: Twins,
    /// When each site was last told the whole.
    wholes: HashMap<SiteId, Instant>,
    /// Who asked for the whole too soon, and what they hold.
    owed: BTreeMap<SiteId, Held>,
    /// What each site may add to its events.
    pub(super) events: Budgets,
    /// And to its sessions.
    pub(super) sessions: Budgets,
    /// And to the API log.
    pub(super) writes: Budgets,
    /// How many parts of releases were given of late.
    pub(super) parts: releases::Pace,
    /// What is spoken with each site.
    spoken: Spoken,
    /// Bad messages by site, so that a broken agent does not fill the log.
    bad: HashMap<SiteId, u64>,
    /// Messages of sites that are shut out, so that one that goes on does not either.
    shut_out: HashMap<SiteId, u64>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            awaited: HashSet::new(),
            holes: HashMap::new(),
            hellos: HashMap::new(),
            twins: Twins::default(),
            wholes: HashMap::new(),
            owed: BTreeMap::new(),
            events: Budgets::new(EVENTS),
            sessions: Budgets::new(SESSIONS),
            writes: Budgets::new(WRITES),
            parts: releases::Pace::default(),
            spoken: Spoken::default(),
            bad: HashMap::new(),
            shut_out: HashMap::new(),
        }
    }
}

impl Effects {
    /// Queues a message for a site.
    pub(super) fn send<B: Body>(&mut self, site: &SiteId, topic: Down, body: &B) -> Result<(), LinkError> {
        let envelope = wire::encode(body, 0, 0, 0)
            .map_err(|source| LinkError::Encoding { site: site.clone(), source })?;
        self.messages.push((topic.topic(site), envelope));
        Ok(())
    }

    /// Paid time of these lines begins now: their sites must be told, and pages look again.
    pub(super) fn begun(&mut self, lines: Vec<LineId>) {
        self.has_outbox |= !lines.is_empty();
        self.hints.extend(lines.into_iter().map(Hint::Line));
    }

    /// Notes that a hello restarted a lane.
    pub(super) fn await_first(&mut self, site: &SiteId, lane: Lane) {
        self.resumptions.push((site.clone(), lane.code(), Resumption::Awaited));
    }

    /// Notes that the first message after it came.
    pub(super) fn first_came(&mut self, site: &SiteId, lane: Lane) {
        self.resumptions.push((site.clone(), lane.code(), Resumption::Came));
    }

    /// Notes that something is missing before the first message, at this position of this life; whether that is news.
    pub(super) fn first_lacks(
        &mut self,
        memory: &Memory,
        site: &SiteId,
        lane: Lane,
        (epoch, seq): (u32, u64),
    ) -> bool {
        let key = (site.clone(), lane.code());
        let is_of_now = |hole: &Hole| !hole.is_of_before && hole.epoch == epoch;
        let is_known = memory.holes.get(&key).is_some_and(is_of_now)
            || self.latest(site, lane, |what| matches!(what, Resumption::Lacks(..))).is_some();
        self.resumptions.push((key.0, key.1, Resumption::Lacks(epoch, seq)));
        !is_known
    }

    /// Whether a site has said hello on a later connection than this one: then this is not how it stands.
    pub(super) fn is_late(&self, memory: &Memory, site: &SiteId, greeting: Greeting) -> bool {
        let newest = self.hellos.get(site).or_else(|| memory.hellos.get(site));
        newest.is_some_and(|newest| greeting.is_before(*newest))
    }

    /// Whether an agent knows the question for another hello.
    pub(super) fn can_be_asked(&self, memory: &Memory, site: &SiteId) -> bool {
        let newest = self.spoken.get(site).map(|protocol| *protocol >= PROTOCOL_TOGETHER);
        newest.unwrap_or_else(|| memory.spoken.together(site))
    }

    /// Whether nothing of the lane came since the site's hello.
    pub(super) fn is_first(&self, memory: &Memory, site: &SiteId, lane: Lane) -> bool {
        match self.latest(site, lane, |what| !matches!(what, Resumption::Lacks(..))) {
            Some(what) => what == Resumption::Awaited,
            None => memory.awaited.contains(&(site.clone(), lane.code())),
        }
    }

    /// The position behind a hole of the lane that was there after the hello before this one, too.
    pub(super) fn proven_hole(&self, memory: &Memory, site: &SiteId, lane: Lane, epoch: u32) -> Option<u64> {
        let hole = memory.holes.get(&(site.clone(), lane.code())).filter(|hole| hole.epoch == epoch)?;
        let is_greeted = || self.latest(site, lane, |what| what == Resumption::Awaited).is_some();
        (hole.is_of_before || is_greeted()).then_some(hole.behind)
    }

    fn latest(&self, site: &SiteId, lane: Lane, is: impl Fn(Resumption) -> bool) -> Option<Resumption> {
        let mut latest = self.resumptions.iter().rev();
        let found = latest.find(|(of, code, what)| of == site && *code == lane.code() && is(*what));
        found.map(|(_, _, what)| *what)
    }
}

/// Runs until what is heard ends.
pub(super) async fn run(
    controller: Controller,
    mut heard: mpsc::Receiver<Heard>,
    pipe: Pipe,
    spoken: Spoken,
) {
    let mut memory = Memory::knowing(spoken);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let due = memory.next_owed();
        let count = tokio::select! {
            count = heard.recv_many(&mut batch, BATCH) => count,
            () = until(due) => {
                tell_owed(&controller, &mut memory, &pipe).await;
                continue;
            }
        };
        if count == 0 {
            return;
        }
        gather(&mut heard, &mut batch).await;
        take_heard(&controller, &mut memory, &batch, &pipe).await;
        for one in batch.drain(..) {
            if let Heard::Site(arrival) = one {
                arrival.acknowledge().await;
            }
        }
    }
}

/// Takes what was heard, in its order.
pub(super) async fn take_heard(controller: &Controller, memory: &mut Memory, batch: &[Heard], pipe: &Pipe) {
    let mut said = Vec::with_capacity(batch.len());
    for one in batch {
        match one {
            Heard::Site(arrival) => said.extend(memory.read(arrival)),
            Heard::Nobody => {
                take_all(controller, memory, &said, pipe).await;
                said.clear();
                memory.spoken.forget_all();
                note_nobody(controller).await;
            }
        }
    }
    take_all(controller, memory, &said, pipe).await;
}

/// Events that came in one message are no more in a transaction than others.
async fn take_all(controller: &Controller, memory: &mut Memory, said: &[Said], pipe: &Pipe) {
    for some in said.chunks(BATCH) {
        take(controller, memory, some, pipe).await;
    }
}

/// What a site says at once comes message by message, and is to be answered at once.
async fn gather(heard: &mut mpsc::Receiver<Heard>, batch: &mut Vec<Heard>) {
    if batch.len() < BATCH {
        tokio::time::sleep(GATHER).await;
        while batch.len() < BATCH
            && let Ok(next) = heard.try_recv()
        {
            batch.push(next);
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

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Tells the whole to those who asked for it too soon, once it is time.
pub(super) async fn tell_owed(controller: &Controller, memory: &mut Memory, pipe: &Pipe) {
    for (site, held) in memory.take_owed(Instant::now()) {
        match commit_owed(controller, memory, &site, held).await {
            Ok(effects) => finish(controller, memory, effects, pipe).await,
            Err(error) => {
                tracing::error!(site.id = %site, %error, "a site could not be told its state; its next hello asks again");
            }
        }
    }
}

async fn commit_owed(
    controller: &Controller,
    memory: &mut Memory,
    site: &SiteId,
    held: Held,
) -> Result<Effects, LinkError> {
    let now = controller.clock.now();
    let mut effects = Effects::default();
    let mut transaction = controller.database.write().await?;
    reports::tell_owed(&mut transaction, memory, site, held, now, &mut effects).await?;
    transaction.commit().await?;
    Ok(effects)
}

impl Memory {
    /// One that tells others what is spoken with whom.
    pub(super) fn knowing(spoken: Spoken) -> Self {
        Self { spoken, ..Self::default() }
    }

    /// Whether a site that holds `held` may be told the whole now. If not, it is owed it.
    pub(super) fn may_tell_whole(&mut self, site: &SiteId, held: Held) -> bool {
        let now = Instant::now();
        if self.wholes.get(site).is_some_and(|last| now.duration_since(*last) < WHOLE_AGAIN) {
            self.owed.insert(site.clone(), held);
            return false;
        }
        self.wholes.insert(site.clone(), now);
        true
    }

    /// A site that is shut out spoke: it is told nothing more.
    pub(super) fn note_shut_out(&mut self, site: &SiteId) {
        self.forget_owed(site);
        self.spoken.forget(site);
        let count = self.shut_out.entry(site.clone()).or_default();
        *count = count.saturating_add(1);
        if count.is_power_of_two() {
            tracing::warn!(site.id = %site, count, "a site that is shut out speaks, and is not heard; where the broker is not inside the controller, give it the new list of revoked certificates and end that connection there");
        }
    }

    /// A newer word of the site decides what it needs.
    pub(super) fn forget_owed(&mut self, site: &SiteId) {
        self.owed.remove(site);
    }

    fn next_owed(&self) -> Option<Instant> {
        let last = self.owed.keys().filter_map(|site| self.wholes.get(site)).min()?;
        last.checked_add(WHOLE_AGAIN)
    }

    fn take_owed(&mut self, now: Instant) -> Vec<(SiteId, Held)> {
        let wholes = &self.wholes;
        let is_due =
            |site: &SiteId| wholes.get(site).is_none_or(|last| now.duration_since(*last) >= WHOLE_AGAIN);
        self.owed.extract_if(.., |site, _| is_due(site)).collect()
    }

    /// Opens the envelope; several for one message of several events. Bad bytes are counted and forgotten: they stay bad
    /// however often they come.
    fn read(&mut self, arrival: &Arrival) -> Vec<Said> {
        let opened = UpMessage::decode(&arrival.publish.payload).map_err(|error| error.to_string());
        match opened.and_then(|(header, message)| unpacked(header, message)) {
            Ok(messages) => {
                let is_light = arrival.is_light();
                let said = |(header, message)| Said { site: arrival.site.clone(), header, message, is_light };
                messages.into_iter().map(said).collect()
            }
            Err(error) => {
                let count = self.bad.entry(arrival.site.clone()).or_default();
                *count = count.saturating_add(1);
                if count.is_power_of_two() {
                    tracing::warn!(site.id = %arrival.site, %error, count, "a message cannot be read");
                }
                Vec::new()
            }
        }
    }

    fn learn(&mut self, effects: &Effects) {
        for (site, greeting) in &effects.hellos {
            if let Some(turns) = self.twins.note(site, greeting.boot_id) {
                tracing::error!(
                    site.id = %site, turns,
                    "two devices speak as this site and throw each other off: one was copied from the other; switch one off, or shut out \
                     both and make one of them the site (tawi-controller site renew)"
                );
            }
            self.hellos.insert(site.clone(), *greeting);
        }
        for (site, lane, what) in &effects.resumptions {
            let key = (site.clone(), *lane);
            match *what {
                Resumption::Awaited => {
                    self.holes.entry(key.clone()).and_modify(|hole| hole.is_of_before = true);
                    self.awaited.insert(key);
                }
                Resumption::Came => {
                    self.holes.remove(&key);
                    self.awaited.remove(&key);
                }
                Resumption::Lacks(epoch, seq) => {
                    let before = self.holes.get(&key).copied();
                    self.holes.insert(key, Hole::after(before, epoch, seq));
                }
            }
        }
    }
}

/// Events that were told together, each with its own position; any other message as it is.
fn unpacked(header: Header, message: UpMessage) -> Result<Vec<(Header, UpMessage)>, String> {
    let UpMessage::Events(batch) = message else { return Ok(vec![(header, message)]) };
    if batch.events.len() > EVENTS_TOGETHER {
        return Err(format!(
            "{} events are told together, and at most {EVENTS_TOGETHER} are",
            batch.events.len()
        ));
    }
    let alone = |(index, one): (u64, BatchedEventV1)| {
        let flags = if one.is_historical { FLAG_HISTORICAL } else { 0 };
        let seq = header.seq.saturating_add(index);
        (Header { seq, flags, ..header }, UpMessage::Event(one.event))
    };
    Ok((0..).zip(batch.events).map(alone).collect())
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

async fn commit(controller: &Controller, memory: &mut Memory, said: &[Said]) -> Result<Effects, LinkError> {
    let outcome = try_to_commit(controller, memory, said).await;
    memory.events.settle(outcome.is_ok());
    memory.sessions.settle(outcome.is_ok());
    memory.writes.settle(outcome.is_ok());
    outcome
}

async fn try_to_commit(
    controller: &Controller,
    memory: &mut Memory,
    said: &[Said],
) -> Result<Effects, LinkError> {
    let now = controller.clock.now();
    let mut effects = Effects::default();
    let mut transaction = controller.database.write().await?;
    for (index, one) in said.iter().enumerate() {
        if is_superseded(one, said.iter().skip(index.saturating_add(1))) {
            continue;
        }
        if !one.is_light {
            effects.heavy.insert(one.site.clone());
        }
        Box::pin(reports::take(&mut transaction, controller, memory, one, now, &mut effects)).await?;
    }
    transaction.commit().await?;
    Ok(effects)
}

/// Whether a hello is followed by another of the same site that was not said before it, and so says all that it says.
fn is_superseded<'a>(one: &Said, mut later: impl Iterator<Item = &'a Said>) -> bool {
    let greeting = |said: &Said| match &said.message {
        UpMessage::Hello(hello) => Some(Greeting::of(hello)),
        _ => None,
    };
    let is_newer = |other: &Said, own| greeting(other).is_some_and(|other| !other.is_before(own));
    greeting(one).is_some_and(|own| later.any(|other| other.site == one.site && is_newer(other, own)))
}

/// Adds what sites that said hello have to know of usage elsewhere, read beside the writer. A site that is told nothing
/// counts by itself, and asks again with its next hello.
pub(super) async fn tell_usage(controller: &Controller, effects: &mut Effects) {
    for (site, (store_epoch, now)) in std::mem::take(&mut effects.greeted) {
        if let Err(error) = usage_elsewhere(controller, (&site, store_epoch), now, effects).await {
            tracing::error!(site.id = %site, %error, "a site could not be told what its lines moved elsewhere");
        }
    }
}

async fn usage_elsewhere(
    controller: &Controller,
    teller: (&SiteId, u32),
    now: UnixMillis,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    let mut read = controller.database.read().await?;
    reports::usage_before(&mut read, teller, None, now, &mut effects.messages).await
}

/// How far each lane is now: topic, envelope, and whether it goes without the broker's acknowledgement. One message for each
/// site that knows such.
fn cursors(effects: &Effects, spoken: &Spoken, now: UnixMillis) -> Vec<(String, Vec<u8>, bool)> {
    let mut of_sites: BTreeMap<(&SiteId, u32), Vec<(u16, u64)>> = BTreeMap::new();
    for ((site, lane), (store_epoch, cursor)) in &effects.cursors {
        of_sites.entry((site, *store_epoch)).or_default().push((*lane, *cursor));
    }
    let mut messages = Vec::new();
    for ((site, store_epoch), cursors) in of_sites {
        let controller_clock_ms = now.0;
        let envelopes: Vec<_> = if cursors.len() > 1 && spoken.together(site) {
            vec![wire::encode(&CursorsV1 { store_epoch, controller_clock_ms, cursors }, 0, 0, 0)]
        } else {
            let alone = |(lane, cursor)| CursorV1 { lane, store_epoch, cursor, controller_clock_ms };
            cursors.into_iter().map(|cursor| wire::encode(&alone(cursor), 0, 0, 0)).collect()
        };
        let is_light = !effects.heavy.contains(site);
        // A few numbers always fit an envelope.
        let sent = envelopes.into_iter().flatten();
        messages.extend(sent.map(|envelope| (Down::Ack.topic(site), envelope, is_light)));
    }
    messages
}

/// How many there are decides how soon each may come back.
async fn spread(controller: &Controller, now: UnixMillis) -> Option<SpreadV1> {
    let counted = async {
        let mut read = controller.database.read().await?;
        Ok::<_, LinkError>(sites::store::count_certified(&mut read, now).await?)
    };
    match counted.await {
        Ok(sites) => spread_of(sites),
        Err(error) => {
            tracing::warn!(%error, "sites are not told how soon they may come back");
            None
        }
    }
}

async fn finish(controller: &Controller, memory: &mut Memory, mut effects: Effects, pipe: &Pipe) {
    memory.learn(&effects);
    memory.spoken.note(&effects.spoken);
    tell_usage(controller, &mut effects).await;
    let now = controller.clock.now();
    let cursors = cursors(&effects, &memory.spoken, now);
    let spread = if effects.welcomes.is_empty() { None } else { spread(controller, now).await };
    // A few numbers always fit an envelope.
    let welcomes = effects.welcomes.iter().flat_map(|(site, protocol)| {
        let welcome = wire::encode(&WelcomeV1 { protocol: *protocol }, 0, 0, 0).ok();
        let spread = spread.as_ref().filter(|_| *protocol >= PROTOCOL_TOGETHER);
        let spread = spread.and_then(|spread| wire::encode(spread, 0, 0, 0).ok());
        welcome.into_iter().chain(spread).map(|envelope| (Down::Ack.topic(site), envelope, false))
    });
    let messages = effects.messages.iter().cloned().map(|(topic, envelope)| (topic, envelope, false));
    for (topic, envelope, is_light) in welcomes.chain(cursors).chain(messages) {
        let is_sent = match is_light {
            true => pipe.publish_lightly(topic, envelope).await,
            false => pipe.publish(topic, envelope).await,
        };
        if !is_sent {
            // The connection is gone, and with it every site's: they will come back and say hello.
            tracing::debug!("answers were dropped with the connection");
            break;
        }
    }
    releases::serve(&controller.releases, memory, &mut effects, pipe).await;
    let mut told: HashSet<&Hint> = HashSet::new();
    for hint in &effects.hints {
        if told.insert(hint) {
            controller.live.tell(hint.clone());
        }
    }
    if effects.has_outbox {
        controller.live.ring_outbox();
    }
}
