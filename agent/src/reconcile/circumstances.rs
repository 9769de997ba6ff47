//! What counts for a line besides itself, gathered for the decision in `enforce.rs`.
//!
//! The one place of the reconciler where the quota book and the silence of head office come in. It decides nothing and
//! asks the router nothing.

use tawi_shared::UnixMillis;
use tawi_shared::wire::{LineV1, Service};

use crate::clock::Reading;
use crate::enforce::{self, Circumstances, Effective, Unsupported};
use crate::reconcile::Reconciler;
use crate::reconcile::pass::Basis;

impl Reconciler {
    /// What this pass works on, taken at this moment.
    pub(crate) fn basis<'a>(&self, state: &'a crate::desired::DesiredState) -> Basis<'a> {
        let reading = self.clock.reading();
        let silence = self.settings.contact.silence();
        let is_counted = self.settings.recheck.samples() > 0;
        Basis { state, reading, mono: self.origin.elapsed(), silence, is_counted }
    }

    /// How this line should be.
    pub(crate) fn effective(
        &self,
        basis: Basis<'_>,
        line: &LineV1,
    ) -> Result<(Service, Effective), Unsupported> {
        enforce::effective(line, &self.circumstances(basis, line))
    }

    pub(crate) fn circumstances(&self, basis: Basis<'_>, line: &LineV1) -> Circumstances {
        let Reading { now, leap_in_doubt, .. } = basis.reading;
        Circumstances { now, used: self.bytes_used(line, now), silence: basis.silence, leap_in_doubt }
    }

    /// What the line moved in its running period.
    fn bytes_used(&self, line: &LineV1, now: UnixMillis) -> Option<u64> {
        self.settings.quotas.used(line, now)
    }
}
