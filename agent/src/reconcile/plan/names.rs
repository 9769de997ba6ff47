//! Names that rows of ours hold and other lines want: who gives way, in which order, and who cannot.
//!
//! Pure. A name belongs to the line that the state gives it to. A row of ours that still has it gives way: one that goes
//! is taken away first, one that stays leaves the name for one that nobody can want, bears its mark all the while, and
//! lets nobody in until it has its own. So chains and swaps come out right, and a router that loses its agent on the way
//! has rows that the next plan finds by their marks. Rows of others give way to nobody (`plan.rs` makes that a failure).
//! Sending the changes of one round in this order is `apply.rs`; what becomes of whoever waits is `reconcile::waiting`.

use std::collections::BTreeMap;

use routeros_api::value::RouterId;

use super::Wait;
use crate::reconcile::actual::Table;

/// The name of a row of this line while it has no other.
#[must_use]
pub fn name_between(line: &str) -> String {
    format!("tawi-moving-{line}")
}

/// What becomes of a row that holds what another line wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// It goes once the sessions of its user ended: whoever wants its name has it in the next round.
    GoesAfterSessions,
    /// It goes at once, so that its name is free for what is sent behind.
    GoesAtOnce,
    /// It stays and has another name by what is sent behind.
    GivesWay,
    /// It keeps the name.
    Stays,
    /// Its line was not looked at.
    Elsewhere,
}

/// A line wants what a row of another one holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) line: &'a str,
    pub(super) holder: &'a str,
    pub(super) row: (Table, &'a RouterId),
    pub(super) outlook: Outlook,
}

/// All claims of one family, weighed.
#[derive(Debug, Default)]
pub(super) struct Claims<'a> {
    claims: Vec<Claim<'a>>,
    /// Lines that cannot have what they want, by who keeps it from them.
    blocked: BTreeMap<&'a str, &'a str>,
}

impl<'a> Claims<'a> {
    /// Weighs them. Whoever cannot have its own name gives none away.
    pub(super) fn of(claims: Vec<Claim<'a>>) -> Self {
        let mut blocked: BTreeMap<&str, &str> = BTreeMap::new();
        loop {
            let stays = |claim: &Claim<'_>| match claim.outlook {
                Outlook::Stays | Outlook::Elsewhere => true,
                Outlook::GivesWay => blocked.contains_key(claim.holder),
                Outlook::GoesAfterSessions | Outlook::GoesAtOnce => false,
            };
            let new = claims.iter().filter(|claim| stays(claim) && !blocked.contains_key(claim.line));
            let new: Vec<(&str, &str)> = new.map(|claim| (claim.line, claim.holder)).collect();
            // Each turn blocks a line or is the last.
            if new.is_empty() {
                return Self { claims, blocked };
            }
            blocked.extend(new);
        }
    }

    /// Who keeps from this line what it wants.
    pub(super) fn blocked_by(&self, line: &str) -> Option<&'a str> {
        self.blocked.get(line).copied()
    }

    /// Whose rows this line waits for.
    pub(super) fn waits_of(&self, line: &str) -> Vec<Wait> {
        let own = self.claims.iter().filter(|claim| claim.line == line);
        let waits = own.map(|claim| Wait {
            line: claim.line.to_owned(),
            holder: claim.holder.to_owned(),
            is_for_next_round: claim.outlook == Outlook::GoesAfterSessions,
        });
        waits.collect()
    }

    /// Whether somebody who can have it wants what this row holds.
    pub(super) fn is_claimed(&self, table: Table, id: &RouterId) -> bool {
        let mut claims = self.claims.iter().filter(|claim| !self.blocked.contains_key(claim.line));
        claims.any(|claim| claim.row == (table, id))
    }

    /// Lines that were not looked at, with the one that wants what they hold.
    pub(super) fn elsewhere(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'_, 'a> {
        let elsewhere = self.claims.iter().filter(|claim| claim.outlook == Outlook::Elsewhere);
        elsewhere.map(|claim| (claim.holder, claim.line))
    }
}
