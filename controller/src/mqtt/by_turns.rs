//! The link by turns, for a simulation whose every step follows from a seed: nothing runs by itself.
//!
//! What each part does when its time comes is done here when somebody says so, and is done when the call returns; intake, publisher
//! and noting are those of `run`. Left out is `watched`,
//! because nobody looks; `asking`, which another broker needs, asks when it is told to. A controller that dies is one of these
//! that is dropped: what it had not committed, and whatever it only remembered, is gone.

use rumqttc::{AsyncClient, EventLoop, MqttOptions, Publish, QoS};
use tokio::sync::mpsc;

use super::by_hand::{Word, words_of};
use super::connection::{Arrival, Heard, Pipe};
use super::published::{self, Published};
use super::{asking, intake, publisher, watched};
use crate::ids::SiteId;
use crate::state::Controller;

/// Messages that wait for the carrier: what a turn says at most.
const WAITING: usize = 16_384;

/// Something that a site says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// Who: the broker checks that the topic is the speaker's own.
    pub site: SiteId,
    /// Where.
    pub topic: String,
    /// The envelope.
    pub bytes: Vec<u8>,
    /// Whether it wants no acknowledgement of the broker.
    pub is_light: bool,
}

/// Head office's end.
pub struct ByTurns {
    controller: Controller,
    intake: intake::Memory,
    publisher: publisher::Memory,
    way: (Pipe, watched::Spoken),
    client: AsyncClient,
    waiting: EventLoop,
    hand_over: mpsc::Sender<Published>,
    handed_over: mpsc::Receiver<Published>,
}

impl ByTurns {
    /// Head office begins to listen: whoever was online is not.
    pub async fn open(controller: Controller) -> Self {
        let (client, waiting) = AsyncClient::new(MqttOptions::new("by-turns", "127.0.0.1", 1), WAITING);
        let (hand_over, handed_over) = mpsc::channel(published::WAITING);
        let spoken = watched::Spoken::default();
        let mut link = Self {
            controller,
            intake: intake::Memory::knowing(spoken.clone()),
            publisher: publisher::Memory::default(),
            way: (Pipe::to(client.clone()), spoken),
            client,
            waiting,
            hand_over,
            handed_over,
        };
        link.take(&[Heard::Nobody]).await;
        link
    }

    /// Sites say something, all of which comes together.
    pub async fn hear(&mut self, spoken: Vec<Spoken>) {
        let heard = |spoken: Spoken| {
            let qos = if spoken.is_light { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            let publish = Publish::new(spoken.topic, qos, spoken.bytes);
            Heard::Site(Arrival::of(spoken.site, publish, self.client.clone()))
        };
        let batch: Vec<Heard> = spoken.into_iter().map(heard).collect();
        self.take(&batch).await;
    }

    async fn take(&mut self, batch: &[Heard]) {
        intake::take_heard(&self.controller, &mut self.intake, batch, &self.way.0).await;
    }

    /// Tells sites what changed; on a tick also those that have not said that they have it, and those that asked too soon.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn publish(&mut self, is_tick: bool) -> anyhow::Result<()> {
        if is_tick {
            intake::tell_owed(&self.controller, &mut self.intake, &self.way.0).await;
        }
        publisher::pass(&self.controller, &self.way, &mut self.publisher, &self.hand_over, is_tick).await?;
        let mut batch = Vec::new();
        while let Ok(published) = self.handed_over.try_recv() {
            batch.push(published);
        }
        published::note(&self.controller, &batch).await?;
        Ok(())
    }

    /// Tells sites what changed and notes nothing of it: what one does that dies in between, and is dropped after this.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn publish_unnoted(&mut self) -> anyhow::Result<()> {
        publisher::pass(&self.controller, &self.way, &mut self.publisher, &self.hand_over, false).await?;
        Ok(())
    }

    /// Asks everybody, or those that have not said anything yet, where they stand: after a start beside a broker that went on
    /// without head office.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn ask(&mut self, is_first: bool) -> anyhow::Result<()> {
        Ok(asking::ask(&self.controller, &self.way.0, is_first).await?)
    }

    /// What was said since the last time, in order.
    pub fn said(&mut self) -> Vec<Word> {
        words_of(&mut self.waiting)
    }
}
