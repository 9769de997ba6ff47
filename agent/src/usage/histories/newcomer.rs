//! A line of `histories.rs` that comes while its user may be online: a row of somebody else that is taken over. What he
//! moved before is nobody's. How much of what he moves after may be missing is not bounded here: `tracker/newcomers.rs` is
//! tried for that.

use super::*;

/// Its place among [`USERS`].
pub(super) const NEWCOMER: usize = 4;
/// Its line.
pub(super) const LINE: &str = "line-t";

impl World {
    pub(super) fn has_come(&self, line: &str) -> bool {
        self.lines.iter().any(|known| known.line == line)
    }

    /// It comes on flash in one commit with the line that it was not looked at.
    pub(super) fn take_over(&mut self) {
        if self.has_come(LINE) || self.shut.is_some() {
            return;
        }
        let quotas = self.lines.first().map(|line| line.quotas.clone()).unwrap_or_default();
        self.lines.push(LineV1 { line: LINE.into(), quotas, ..LineV1::default() });
        self.flash.is_unseen = true;
        self.sync();
        self.tracker.line_came(LINE, self.at().elapsed);
    }

    /// After a start: whether it was looked at is what flash says, and without flash it comes anew.
    pub(super) fn come_again(&mut self, is_state_lost: bool) {
        if self.has_come(LINE) && (is_state_lost || self.flash.is_unseen) {
            self.flash.is_unseen = true;
            self.tracker.line_came(LINE, Duration::ZERO);
        }
    }
}
