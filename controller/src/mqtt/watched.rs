//! Asks sites for what waits there, while somebody looks at them.
//!
//! A site tells who came and went together, minutes later: each of them alone would be most of what it costs in a month.
//! Whoever opens the page of a line or a site wants to see how it is now, so that the site is asked. A page is read again at
//! each change, so that a site is asked no more often than [`AGAIN`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tawi_shared::topics::Down;
use tawi_shared::wire::{PROTOCOL_TOGETHER, TellNowV1, encode};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::connection::Pipe;
use crate::ids::SiteId;
use crate::live::Hint;
use crate::shutdown::Stop;
use crate::state::Controller;

/// How often a site is asked at the most.
const AGAIN: Duration = Duration::from_secs(30);

/// What is spoken with the sites that said hello on this connection to the broker.
#[derive(Clone, Debug, Default)]
pub(super) struct Spoken(Arc<Mutex<HashMap<SiteId, u16>>>);

impl Spoken {
    /// Sites said hello.
    pub(super) fn note(&self, spoken: &BTreeMap<SiteId, u16>) {
        if !spoken.is_empty() {
            let spoken = spoken.iter().map(|(site, protocol)| (site.clone(), *protocol));
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(spoken);
        }
    }

    /// Nobody is connected.
    pub(super) fn forget_all(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether a site speaks protocol 3 or newer.
    pub(super) fn together(&self, site: &SiteId) -> bool {
        let spoken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spoken.get(site).is_some_and(|protocol| *protocol >= PROTOCOL_TOGETHER)
    }
}

/// Runs until `stop`.
pub(super) async fn run(controller: Controller, pipe: Pipe, spoken: Spoken, mut stop: Stop) {
    let mut hints = controller.live.listen();
    let mut asked: HashMap<SiteId, Instant> = HashMap::new();
    loop {
        let hint = tokio::select! {
            () = stop.requested() => return,
            hint = hints.recv() => hint,
        };
        let site = match hint {
            Ok(Hint::Watched(site)) => site,
            // Who fell behind has missed somebody who looked: their page tells of it at the next change.
            Ok(_) | Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        let now = Instant::now();
        asked.retain(|_, at| now.duration_since(*at) < AGAIN);
        if asked.contains_key(&site) || !spoken.together(&site) {
            continue;
        }
        let question = TellNowV1 { controller_clock_ms: controller.clock.now().0 };
        // One number always fits an envelope. A question that is lost is asked again by whoever still looks.
        if let Ok(envelope) = encode(&question, 0, 0, 0)
            && pipe.publish_lightly(Down::Ack.topic(&site), envelope).await
        {
            asked.insert(site, now);
        }
    }
}
