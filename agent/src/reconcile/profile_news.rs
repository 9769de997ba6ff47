//! News of speed profiles: somebody changed, renamed or removed one.
//!
//! Compared with what is wanted before anything is asked of the router, so that the echo of our own writes costs
//! nothing. One that stood and does not stand any more brings the next full check on at once, which knows what becomes of
//! the lines and sessions that use it. A tool that fights over a profile does so three times an hour, as over a row of a
//! line; the full check sees the rest. Where the router offers no such listen, it sees everything.

use std::collections::BTreeMap;

use routeros_api::value::RouterId;
use routeros_api::{Change, Client, Error};
use tokio::time::Instant;

use crate::desired::DesiredState;
use crate::reconcile::Reconciler;
use crate::reconcile::actual::{Family, LoginRows, ProfileRow, profile_row};
use crate::reconcile::plan::{Plan, stands};
use crate::reconcile::read::{Needed, read_some};
use crate::reconcile::record::profile_keys;

impl Reconciler {
    /// Notes which profiles a change makes suspect, and which one no more.
    pub(super) fn take_profile_news(&mut self, state: &DesiredState, family: Family, change: &Change) {
        let hinted = |id: &RouterId| self.ledger.profile_hints.get(&(family, id.number())).cloned();
        let (row, hint) = match change {
            // The caller has a full check made.
            Change::Resync => return,
            Change::Removed(id) => (None, hinted(id)),
            Change::Row(row) => {
                let row = family.logins().and_then(|menus| profile_row(menus, row));
                let hint = row.as_ref().and_then(|row| hinted(&row.id));
                (row, hint)
            }
        };
        self.take_template_news(family, row.as_ref());
        let said = row.as_ref().and_then(|row| row.name.clone());
        let template = &self.settings.profile_template;
        for name in said.into_iter().chain(hint).filter(|name| name != template) {
            let suspect = (family, name);
            if self.is_off(state, family, &suspect.1, row.as_ref()) {
                self.suspect_profiles.insert(suspect);
            } else {
                self.suspect_profiles.remove(&suspect);
            }
        }
    }

    /// Ours have what their plans leave open from the template: one that somebody finishes late is followed at once.
    fn take_template_news(&mut self, family: Family, row: Option<&ProfileRow>) {
        let Some(row) = row.filter(|row| row.name.as_ref() == Some(&self.settings.profile_template)) else {
            return;
        };
        let given = |row: &ProfileRow| (row.pool.clone(), row.local_address.clone(), row.sharing.clone());
        if self.templates.get(&family).is_some_and(|known| given(known) != given(row)) {
            self.suspect_profiles.insert((family, self.settings.profile_template.clone()));
        }
    }

    /// Reads back profiles that were written for themselves, so that what becomes of them later is news.
    pub(super) async fn prove_profiles(
        &mut self,
        client: &Client,
        state: &DesiredState,
        planned: &Plan,
    ) -> Result<(), Error> {
        let mut needed: BTreeMap<Family, Needed> = BTreeMap::new();
        for change in &planned.profiles {
            let names = [change.name.clone(), self.settings.profile_template.clone()];
            needed.entry(change.family).or_default().profiles.extend(names);
        }
        let actual = read_some(client, &needed).await?;
        self.note_profiles(state, &actual);
        Ok(())
    }

    /// Whether a profile that stood as it is wanted does not stand any more, by what became of its row.
    fn is_off(&self, state: &DesiredState, family: Family, name: &str, row: Option<&ProfileRow>) -> bool {
        let row = row.filter(|row| row.name.as_deref() == Some(name));
        let template = self.templates.get(&family);
        let profiles = row.into_iter().chain(template).cloned().collect();
        let rows = LoginRows { profiles, ..LoginRows::default() };
        profile_keys(family, name).any(|key| {
            let wanted = state.profiles.get(&key).filter(|_| self.is_profile_good(state, key.0, name));
            wanted.is_some_and(|wanted| {
                let is_ours = row.is_some_and(|row| row.is_ours) || !self.is_hinted(family, name);
                !is_ours || !stands(family, &wanted.item, &rows, &self.settings.profile_template)
            })
        })
    }

    fn is_hinted(&self, family: Family, name: &str) -> bool {
        self.ledger.profile_hints.iter().any(|((of, _), hint)| *of == family && hint == name)
    }

    /// Has a full check made for profiles that are suspect.
    pub(super) fn check_for_profiles(&mut self, next_full_check: &mut Instant) {
        let now = self.origin.elapsed();
        for (family, name) in std::mem::take(&mut self.suspect_profiles) {
            // No id of a line has a space in it.
            let key = format!("profile {family:?} {name}");
            if self.ledger.may_repair_at_once(&key, now) {
                self.ledger.note_repair(&key, now);
                *next_full_check = Instant::now();
            }
        }
    }
}
