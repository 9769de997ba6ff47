//! The core's part in the API log: what was written to routers goes to flash, and to head office when nothing else waits.
//!
//! What is in it is `crate::api_log`; a power cut takes what was not put down yet.

use tracing::warn;

use super::{Site, Talk};
use crate::outbox::Keeper;

impl Site {
    /// Puts the API log down, and tells of it when nothing else is to be said.
    pub(super) async fn put_log_down(&mut self) {
        let (writes, lost) = self.tools.log.take();
        if lost > 0 {
            warn!(writes = lost, "the API log could not keep up; these writes are not in it");
        }
        if !writes.is_empty() {
            let now = self.tools.clock.now();
            let base = self.time_base();
            let put = move |keeper: &mut Keeper| {
                keeper.note_base(base);
                keeper.put_writes(&writes, now);
            };
            if self.tools.outbox.call(put).await.is_err() {
                warn!("the disk does not answer; writes are missing in the API log");
            }
            self.with_talk(Talk::log_waits);
        }
        self.pump().await;
    }
}
