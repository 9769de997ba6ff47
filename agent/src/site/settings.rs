//! Settings of head office: to flash, into force, and back what became of them.
//!
//! What they are is `crate::tuning`. They take effect while the agent runs: the budget and the cadence at once, the keep-alive
//! with the next connection, because MQTT agrees on it at the beginning of one.

use tawi_shared::wire::SettingsV1;
use tracing::{info, warn};

use super::Site;
use crate::tuning::FromOffice;

impl Site {
    /// Takes what head office set, and says what became of it.
    pub(super) async fn take_settings(&mut self, told: SettingsV1) {
        let told = FromOffice::from(told);
        let mut is_kept = true;
        // What this device does not take has no place on its flash, and neither has what it took before: they would come into
        // force with a change of its own file.
        let put = if self.tools.tuning.is_allowed() { told.clone() } else { FromOffice::default() };
        let put = self.tools.outbox.call(move |keeper| keeper.put_settings(put)).await;
        if let Err(error) = put.and_then(|put| put) {
            warn!(%error, "settings of head office hold until a restart: they are not on flash");
            is_kept = false;
        }
        self.tune(told);
        let standing = self.tools.tuning.to_wire(self.boot_id, is_kept);
        self.with_talk(|talk| talk.settings(&standing));
    }

    /// Settings that were on flash after all, where head office has not spoken since the start.
    pub(super) fn join_settings(&mut self, found: &FromOffice) {
        if found.revision > self.tools.tuning.revision() {
            self.tune(found.clone());
        }
    }

    fn tune(&mut self, told: FromOffice) {
        let revision = told.revision;
        let has_changed = self.tools.tuning.take(told);
        let refused = self.tools.tuning.to_wire(0, true).refused;
        for (code, why) in &refused {
            warn!(settings.code = code, settings.why = why, "a setting of head office is not taken");
        }
        info!(
            settings.revision = revision,
            settings.has_changed = has_changed,
            "head office has set settings"
        );
        if has_changed {
            let stands = self.tools.tuning.now();
            self.line.set_hourly(stands.hourly_bytes, self.started.elapsed());
            self.cadence.set_every(stands.report);
        }
    }
}
