//! The link without a broker: somebody else carries what sites and head office say, for whoever moves the clock by hand.
//!
//! ```text
//! hear(site, topic, bytes) ─▶ intake ─▶ database          publisher, watched ─▶ said() ─▶ the carrier
//! ```
//!
//! The parts behind it are those of `run`, and nothing of them is left out; only the connection is. A carrier may lose, repeat
//! and reorder what it carries. Acknowledgements of the broker are its own matter.

use rumqttc::{AsyncClient, EventLoop, MqttOptions, Publish, QoS, Request};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connection::{Arrival, Heard, Pipe};
use super::{ARRIVALS_WAITING, intake, publisher, watched};
use crate::ids::SiteId;
use crate::shutdown::Stop;
use crate::state::Controller;

/// Messages that wait for the carrier; whoever says more waits until they are fetched.
const WAITING: usize = 4_096;

/// Head office's end.
pub struct ByHand {
    hand_over: mpsc::Sender<Heard>,
    client: AsyncClient,
    waiting: EventLoop,
    _parts: JoinSet<()>,
}

/// A message of head office.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Whose, and what it is.
    pub topic: String,
    /// The envelope.
    pub bytes: Vec<u8>,
}

impl ByHand {
    /// Head office begins to listen, and nobody is connected.
    #[must_use]
    pub fn open(controller: &Controller, stop: &Stop) -> Self {
        let (client, waiting) = AsyncClient::new(MqttOptions::new("by-hand", "127.0.0.1", 1), WAITING);
        let (hand_over, heard) = mpsc::channel(ARRIVALS_WAITING);
        let pipe = Pipe::to(client.clone());
        let spoken = watched::Spoken::default();
        let mut parts = JoinSet::new();
        parts.spawn(intake::run(controller.clone(), heard, pipe.clone(), spoken.clone()));
        parts.spawn(watched::run(controller.clone(), pipe.clone(), spoken.clone(), stop.clone()));
        parts.spawn(publisher::run(controller.clone(), pipe, spoken, stop.clone()));
        Self { hand_over, client, waiting, _parts: parts }
    }

    /// The connection to the broker was made: whoever was online is not.
    pub async fn nobody_is_there(&self) {
        // The intake ends with this value.
        let _ = self.hand_over.send(Heard::Nobody).await;
    }

    /// A site said something; `is_light` where it wants no acknowledgement of the broker.
    pub async fn hear(&self, site: &SiteId, topic: &str, bytes: Vec<u8>, is_light: bool) {
        let qos = if is_light { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let arrival = Arrival::of(site.clone(), Publish::new(topic, qos, bytes), self.client.clone());
        let _ = self.hand_over.send(Heard::Site(arrival)).await;
    }

    /// What was said since the last time, in order.
    pub fn said(&mut self) -> Vec<Word> {
        words_of(&mut self.waiting)
    }
}

/// What waits for whoever carries it.
pub(super) fn words_of(waiting: &mut EventLoop) -> Vec<Word> {
    waiting.clean();
    let word = |request| match request {
        Request::Publish(publish) => Some(Word { topic: publish.topic, bytes: publish.payload.to_vec() }),
        _ => None,
    };
    waiting.pending.drain(..).filter_map(word).collect()
}
