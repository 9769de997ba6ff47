//! Asks sites for what waits there, while somebody looks at them.
//!
//! A site tells who came and went together, minutes later: each of them alone would be most of what it costs in a month.
//! Whoever opens the page of a line or a site wants to see how it is now, so that the site is asked. A page is read again at
//! each change, so that a site is asked no more often than [`AGAIN`]; whoever looks sooner has it asked then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tawi_shared::topics::Down;
use tawi_shared::wire::{PROTOCOL_TOGETHER, TellNowV1, encode};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};

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

    /// A site is shut out.
    pub(super) fn forget(&self, site: &SiteId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(site);
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
    // Looked at again too soon: asked once the time has come.
    let mut owed: BTreeSet<SiteId> = BTreeSet::new();
    loop {
        let looked_at = tokio::select! {
            () = stop.requested() => return,
            site = soonest(&owed, &asked) => Some(site),
            hint = hints.recv() => match hint {
                Ok(Hint::Watched(site)) => Some(site),
                Ok(Hint::Revoked(site)) => {
                    spoken.forget(&site);
                    None
                }
                // Who fell behind has missed somebody who looked: their page tells of it at the next change.
                Ok(_) | Err(RecvError::Lagged(_)) => None,
                Err(RecvError::Closed) => return,
            },
        };
        let Some(site) = looked_at else { continue };
        let now = Instant::now();
        asked.retain(|_, at| now.duration_since(*at) < AGAIN);
        if asked.contains_key(&site) {
            owed.insert(site);
            continue;
        }
        owed.remove(&site);
        if !spoken.together(&site) {
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

/// Waits for the first of those that are owed a question.
async fn soonest(owed: &BTreeSet<SiteId>, asked: &HashMap<SiteId, Instant>) -> SiteId {
    let due = |site: &SiteId| asked.get(site).map(|at| *at + AGAIN);
    match owed.iter().map(|site| (due(site), site)).min() {
        Some((at, site)) => {
            if let Some(at) = at {
                sleep_until(at).await;
            }
            site.clone()
        }
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_looked_at_again_too_soon_is_asked_once_the_time_has_come() {
        let [first, second] = ["a", "b"].map(|site| SiteId::parse(site).unwrap());
        let mut asked = HashMap::from([(second.clone(), Instant::now())]);
        advance(Duration::from_secs(10)).await;
        asked.insert(first.clone(), Instant::now());
        let nobody = timeout(Duration::from_secs(3_600), soonest(&BTreeSet::new(), &asked)).await;
        assert!(nobody.is_err(), "nobody is owed anything");
        asked.values_mut().for_each(|at| *at += Duration::from_secs(3_600));
        let owed = BTreeSet::from([first, second.clone()]);
        let started = Instant::now();
        assert_eq!(soonest(&owed, &asked).await, second);
        assert_eq!(started.elapsed().as_secs(), 20);
    }
}
