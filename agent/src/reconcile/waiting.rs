//! Lines whose name, address or device a row of another line of ours still has.
//!
//! A pass over a few lines brings the holders in, so that one plan says who gives way to whom; a line that can have its
//! name only after sessions ended has it in the next round of the same pass. Whoever waits for a change that is not made
//! now (the guard holds it, or it waits for its turn) waits with it. What the order is, is `plan/names.rs`.

use std::collections::{BTreeMap, BTreeSet};

use routeros_api::{Client, Error};
use tawi_shared::Gather as _;
use tawi_shared::wire::{FailureKind, LineV1};

use crate::flow::LineFailure;
use crate::reconcile::Reconciler;
use crate::reconcile::actual::{Actual, Family};
use crate::reconcile::pass::{Basis, Reach, Stray, Touched};
use crate::reconcile::plan::{Plan, plan};

/// Holders of holders that are read link by link; a longer chain takes one look at everything.
const LINKS_READ_SINGLY: usize = 4;

impl Reconciler {
    /// With lines where nobody logs in come those of the state that share an address or a device with them, or could not
    /// have theirs because of them: which of these has it cannot be judged by one alone.
    pub(super) fn with_sharers(&self, basis: Basis<'_>, reach: Reach) -> Reach {
        let Reach::Lines(mut lines) = reach else { return reach };
        let place = |line: &LineV1| {
            let is_fixed = Family::of_code(line.service) == Some(Family::Fixed);
            is_fixed.then(|| (line.address.clone(), line.caller_id.to_ascii_uppercase()))
        };
        let is_fixed =
            |id: &String| self.line(basis.state, id).is_some_and(|line| place(&line.item).is_some());
        let blocked = self.ledger.blocked.iter();
        let freed = blocked.filter(|(line, holder)| lines.contains(*holder) && is_fixed(line));
        let freed: Vec<String> = freed.map(|(line, _)| line.clone()).collect();
        lines.extend(freed);
        let places = lines.iter().filter_map(|id| place(&self.line(basis.state, id)?.item));
        let (addresses, macs): (BTreeSet<String>, BTreeSet<String>) = places.unzip();
        if addresses.is_empty() {
            return Reach::Lines(lines);
        }
        let is_shared = |(address, mac): (String, String)| {
            addresses.contains(&address) || (!mac.is_empty() && macs.contains(&mac))
        };
        let sharers = self.lines(basis.state).filter(|line| place(&line.item).is_some_and(is_shared));
        lines.extend(sharers.map(|line| line.item.line.clone()));
        Reach::Lines(lines)
    }

    /// Reads the rows of holders too, until everybody whose row must give way is there.
    pub(super) async fn bring_in_holders(
        &mut self,
        client: &Client,
        basis: Basis<'_>,
        mut lines: BTreeSet<String>,
        mut actual: Actual,
    ) -> Result<(Reach, Vec<Stray>, Actual), Error> {
        let mut strays = Vec::new();
        for _ in 0..LINKS_READ_SINGLY {
            let elsewhere = plan(&self.scope(basis, &lines, false, &strays), &actual).holders_elsewhere;
            let known = lines.len();
            for ((family, line), username) in elsewhere {
                self.bring_in(basis, Stray { line, family, username }, &mut lines, &mut strays);
            }
            if lines.len() == known {
                return Ok((Reach::Lines(lines), strays, actual));
            }
            actual = self.read(client, basis, &Reach::Lines(lines.clone()), &strays).await?;
        }
        let actual = self.read(client, basis, &Reach::Everything, &[]).await?;
        Ok((Reach::Everything, Vec::new(), actual))
    }

    fn bring_in(
        &self,
        basis: Basis<'_>,
        holder: Stray,
        lines: &mut BTreeSet<String>,
        strays: &mut Vec<Stray>,
    ) {
        // What the guard holds is judged with all that it holds, or it would go one by one.
        if self.ledger.is_left(&holder.line) {
            return;
        }
        let wanted = self.line(basis.state, &holder.line).map(|line| Family::of_code(line.item.service));
        let is_stray = match wanted {
            None => true,
            // Its service is of a newer release, and so may its row be.
            Some(None) => return,
            Some(Some(wanted)) => wanted != holder.family,
        };
        if lines.insert(holder.line.clone()) && is_stray {
            strays.push(holder);
        }
    }

    /// Takes those out of the plan who wait for a change that is not in it. Whose holder waits for its turn waits for it
    /// too; the others fail until the name is free.
    pub(super) fn drop_waiters(
        &mut self,
        basis: Basis<'_>,
        planned: &mut Plan,
        touched: &mut BTreeMap<String, Touched>,
    ) {
        let is_left = |line: &String| self.ledger.is_left(line);
        planned.waits.retain(|wait| !self.backlog.contains(&wait.line) && !is_left(&wait.line));
        loop {
            let changing: BTreeSet<&str> = planned.lines.iter().map(|change| change.line.as_str()).into_set();
            let in_vain = planned.waits.iter().find(|wait| !changing.contains(wait.holder.as_str()));
            let Some(wait) = in_vain.cloned() else { return };
            planned.waits.retain(|other| other.line != wait.line);
            planned.lines.retain(|change| change.line != wait.line);
            touched.remove(&wait.line);
            if self.backlog.contains(&wait.holder) {
                let revision = self.line(basis.state, &wait.line).map_or(0, |line| line.revision);
                self.backlog.add(&wait.line, revision);
            } else {
                let detail =
                    format!("the row of line {} still has its name or address on the router", wait.holder);
                let failure = LineFailure { line: wait.line.clone(), kind: FailureKind::NotApplied, detail };
                self.note_failure(failure.clone());
                self.ledger.blocked.insert(wait.line.clone(), wait.holder.clone());
                planned.failures.push(failure);
                planned.blocked.push((wait.line, wait.holder));
            }
        }
    }

    /// Lines that failed for want of what another line has are looked at in the next pass, now that this one changed
    /// rows of that line and did not look at them.
    pub(super) fn wake_blocked(
        &mut self,
        basis: Basis<'_>,
        looked_at: &BTreeSet<String>,
        changed: &BTreeSet<String>,
    ) {
        let blocked = self.ledger.blocked.iter();
        let free = blocked.filter(|(line, holder)| changed.contains(*holder) && !looked_at.contains(*line));
        for line in free.map(|(line, _)| line.clone()).collect::<Vec<_>>() {
            self.ledger.retries.insert(line, (basis.mono, 0));
        }
    }
}
