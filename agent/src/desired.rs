//! What the controller wants of this site, in memory: lines and profiles of one generation.
//!
//! Pure. Deltas and snapshots come in already decoded; what they may not do is refused as a value. Lower generations
//! change nothing. Entries are shared by `Arc`, so that a new state after a small delta costs one pointer a line. Where
//! the state rests on flash is `outbox/store.rs`; what it means for a router is `enforce.rs` and `reconcile/`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tawi_shared::state_hash::StateHash;
use tawi_shared::wire::{LineV1, ProfileV1, Service, StateDeltaV1};

use crate::reconcile::actual::Family;

/// A profile is known by service code and name.
pub type ProfileKey = (u16, String);

/// An item of the state, and the generation that brought it here; the reconciler looks only at what is newer than
/// what it has already verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revised<T> {
    /// The generation in which this agent learned of it.
    pub revision: u64,
    /// The item.
    pub item: T,
}

/// The whole desired state of a site.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DesiredState {
    /// 0 before the controller has said anything.
    pub generation: u64,
    /// Hash of all lines and profiles.
    pub hash: StateHash,
    /// By line id.
    pub lines: BTreeMap<String, Arc<Revised<LineV1>>>,
    /// By service and name.
    pub profiles: BTreeMap<ProfileKey, Arc<Revised<ProfileV1>>>,
    /// Routers that have yet to let go of a line (by router, then line id), and the generation that took it from them.
    /// Forgotten when they have, and at a snapshot, where rows with our mark and no line are seen by a full check
    /// instead.
    pub leaving: BTreeMap<(String, String), u64>,
}

impl fmt::Debug for DesiredState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DesiredState")
            .field("generation", &self.generation)
            .field("lines", &self.lines.len())
            .field("profiles", &self.profiles.len())
            .finish_non_exhaustive()
    }
}

/// What a delta or snapshot did.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// The state moved to a new generation.
    Moved(DesiredState),
    /// Older than or equal to what is held: nothing to do.
    AlreadyHeld,
    /// It starts from a generation that this agent has not reached: ask for what lies between by a new hello.
    Gap {
        /// Where the delta starts.
        from_generation: u64,
    },
    /// The hash after applying it differs from the controller's: ask for a snapshot by a hello with generation 0.
    HashDiffers,
}

impl DesiredState {
    /// How many lines of each service belong to a router.
    #[must_use]
    pub fn services_of(&self, router: &str) -> BTreeMap<String, u64> {
        let mut services = BTreeMap::new();
        for line in self.lines.values().map(|held| &held.item).filter(|line| line.router == router) {
            let name = Service::from_code(line.service).map_or("unknown", Service::as_str);
            let count: &mut u64 = services.entry(name.to_owned()).or_default();
            *count = count.saturating_add(1);
        }
        services
    }

    /// How many lines of a router get their address by what its own profile `default` (or the template's) says: those of PPP
    /// that have none of their own and no pool by their plan.
    #[must_use]
    pub fn lines_by_template(&self, router: &str) -> u64 {
        let is_by_template = |line: &&LineV1| {
            let key = (line.service, line.profile.clone());
            let has_pool = self.profiles.get(&key).is_some_and(|profile| !profile.item.pool.is_empty());
            Family::of_code(line.service) == Some(Family::Ppp) && line.address.is_empty() && !has_pool
        };
        let here = self.lines.values().map(|held| &held.item).filter(|line| line.router == router);
        u64::try_from(here.filter(is_by_template).count()).unwrap_or(u64::MAX)
    }

    /// Whether this state has no line of that id whose sessions are those of `line`: whatever of them runs already began
    /// when the line was not there, or was another's.
    #[must_use]
    pub fn is_news_of_sessions(&self, line: &LineV1) -> bool {
        let held = self.lines.get(&line.line).map(|held| &held.item);
        held.is_none_or(|held| {
            (&held.router, held.service, &held.username) != (&line.router, line.service, &line.username)
        })
    }

    /// Applies a delta to this state.
    #[must_use]
    pub fn take_delta(&self, delta: &StateDeltaV1) -> Taken {
        if delta.to_generation <= self.generation {
            return Taken::AlreadyHeld;
        }
        if delta.from_generation > self.generation {
            return Taken::Gap { from_generation: delta.from_generation };
        }
        let mut next = self.clone();
        next.generation = delta.to_generation;
        for profile in &delta.profiles {
            next.put_profile(profile.clone());
        }
        for line in &delta.lines {
            next.put_line(line.clone());
        }
        for id in &delta.removed_lines {
            next.drop_line(id);
        }
        for key in &delta.removed_profiles {
            if let Some(old) = next.profiles.remove(key) {
                next.hash.remove_profile(&old.item);
            }
        }
        if next.hash.to_bytes() == delta.state_hash { Taken::Moved(next) } else { Taken::HashDiffers }
    }

    /// Replaces the state by a whole one. The caller has joined the chunks. A snapshot of the generation that is
    /// already held replaces too when the hash differs: that is how damage heals. What it does not change is no news,
    /// and keeps its revision.
    #[must_use]
    pub fn take_snapshot(
        &self,
        generation: u64,
        hash: StateHash,
        lines: Vec<LineV1>,
        profiles: Vec<ProfileV1>,
    ) -> Taken {
        let same = generation == self.generation && hash == self.hash;
        if generation < self.generation || same {
            return Taken::AlreadyHeld;
        }
        let mut next = Self { generation, ..Self::default() };
        for profile in profiles {
            next.put_profile(profile);
        }
        for line in lines {
            next.put_line(line);
        }
        if next.hash != hash {
            return Taken::HashDiffers;
        }
        keep_unchanged(&mut next.lines, &self.lines);
        keep_unchanged(&mut next.profiles, &self.profiles);
        Taken::Moved(next)
    }

    /// Forgets the lines that their old routers have let go of.
    pub fn forget_leaving(&mut self, has_left: impl Fn(&str, u64) -> bool) {
        self.leaving.retain(|(router, _), generation| !has_left(router, *generation));
    }

    /// Puts a stored item back at start, with the revision it was stored under.
    pub fn restore_line(&mut self, line: LineV1, revision: u64) {
        self.hash.add_line(&line);
        self.lines.insert(line.line.clone(), Arc::new(Revised { revision, item: line }));
    }

    /// Puts a stored profile back at start.
    pub fn restore_profile(&mut self, profile: ProfileV1, revision: u64) {
        self.hash.add_profile(&profile);
        let key = (profile.service, profile.name.clone());
        self.profiles.insert(key, Arc::new(Revised { revision, item: profile }));
    }

    fn put_line(&mut self, line: LineV1) {
        if let Some(old) = self.lines.get(&line.line) {
            if old.item == line {
                return;
            }
            self.hash.remove_line(&old.item);
            if old.item.router != line.router {
                self.leaving.insert((old.item.router.clone(), line.line.clone()), self.generation);
            }
        }
        self.leaving.remove(&(line.router.clone(), line.line.clone()));
        self.restore_line(line, self.generation);
    }

    fn put_profile(&mut self, profile: ProfileV1) {
        if let Some(old) = self.profiles.get(&(profile.service, profile.name.clone())) {
            if old.item == profile {
                return;
            }
            self.hash.remove_profile(&old.item);
        }
        self.restore_profile(profile, self.generation);
    }

    fn drop_line(&mut self, id: &str) {
        if let Some(old) = self.lines.remove(id) {
            self.hash.remove_line(&old.item);
            self.leaving.insert((old.item.router.clone(), id.to_owned()), self.generation);
        }
    }
}

/// Puts the items that were held already back in the place of equal new ones: the reconciler and the store then see
/// that nothing happened to them.
fn keep_unchanged<K: Ord, T: PartialEq>(
    next: &mut BTreeMap<K, Arc<Revised<T>>>,
    held: &BTreeMap<K, Arc<Revised<T>>>,
) {
    for (key, new) in next {
        if let Some(old) = held.get(key).filter(|old| old.item == new.item) {
            *new = Arc::clone(old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tawi_shared::wire::{Access, Service};

    fn line(id: &str, until: i64) -> LineV1 {
        LineV1 {
            line: id.into(),
            router: "core".into(),
            service: Service::Pppoe.code(),
            username: id.into(),
            password: "p".into(),
            profile: "home".into(),
            access: Access::Open.code(),
            valid_until_ms: Some(until),
            ..LineV1::default()
        }
    }

    fn delta(from: u64, to: u64, lines: Vec<LineV1>, removed: &[&str], after: &[&LineV1]) -> StateDeltaV1 {
        StateDeltaV1 {
            from_generation: from,
            to_generation: to,
            state_hash: StateHash::of(after.iter().copied(), []).to_bytes(),
            lines,
            removed_lines: removed.iter().map(|id| (*id).to_owned()).collect(),
            profiles: vec![],
            removed_profiles: vec![],
        }
    }

    fn moved(taken: Taken) -> DesiredState {
        match taken {
            Taken::Moved(state) => state,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_delta_changes_only_what_it_names_and_marks_it_with_its_generation() {
        let first = moved(DesiredState::default().take_delta(&delta(
            0,
            1,
            vec![line("a", 1), line("b", 1)],
            &[],
            &[&line("a", 1), &line("b", 1)],
        )));
        let second =
            moved(first.take_delta(&delta(1, 2, vec![line("b", 9)], &[], &[&line("a", 1), &line("b", 9)])));
        assert_eq!(second.lines["a"].revision, 1);
        assert_eq!(second.lines["b"].revision, 2);
        let third = moved(second.take_delta(&delta(2, 3, vec![], &["a"], &[&line("b", 9)])));
        assert!(!third.lines.contains_key("a"));
        assert_eq!(third.leaving, BTreeMap::from([(("core".to_owned(), "a".to_owned()), 3)]));
    }

    #[test]
    fn a_router_that_lost_a_line_is_remembered_until_it_has_let_go_of_it() {
        let at = |router: &str| LineV1 { router: router.into(), ..line("a", 1) };
        let step = |state: &DesiredState, line: &LineV1| {
            let (from, to) = (state.generation, state.generation + 1);
            moved(state.take_delta(&delta(from, to, vec![line.clone()], &[], &[line])))
        };
        let first = step(&DesiredState::default(), &at("core"));
        assert!(first.leaving.is_empty());
        let mut second = step(&first, &at("tower"));
        assert_eq!(second.leaving, BTreeMap::from([(("core".to_owned(), "a".to_owned()), 2)]));
        let back = step(&second, &at("core"));
        assert_eq!(back.leaving, BTreeMap::from([(("tower".to_owned(), "a".to_owned()), 3)]));
        second.forget_leaving(|router, generation| router == "core" && generation > 2);
        assert_eq!(second.leaving.len(), 1);
        second.forget_leaving(|router, generation| router == "core" && generation <= 2);
        assert!(second.leaving.is_empty());
    }

    #[test]
    fn an_old_or_doubled_delta_changes_nothing() {
        let step = delta(0, 5, vec![line("a", 1)], &[], &[&line("a", 1)]);
        let state = moved(DesiredState::default().take_delta(&step));
        assert_eq!(state.take_delta(&step), Taken::AlreadyHeld);
    }

    #[test]
    fn a_delta_that_overlaps_what_is_held_is_taken() {
        let state = moved(DesiredState::default().take_delta(&delta(
            0,
            5,
            vec![line("a", 1)],
            &[],
            &[&line("a", 1)],
        )));
        let wide = delta(3, 7, vec![line("a", 1), line("b", 1)], &[], &[&line("a", 1), &line("b", 1)]);
        assert_eq!(moved(state.take_delta(&wide)).lines["a"].revision, 5, "an unchanged line is not new");
    }

    #[test]
    fn a_gap_and_a_wrong_hash_are_refused() {
        let state = DesiredState::default();
        assert_eq!(state.take_delta(&delta(3, 4, vec![], &[], &[])), Taken::Gap { from_generation: 3 });
        assert_eq!(state.take_delta(&delta(0, 1, vec![line("a", 1)], &[], &[])), Taken::HashDiffers);
    }

    #[test]
    fn a_snapshot_replaces_unless_it_is_older() {
        let state = moved(DesiredState::default().take_delta(&delta(
            0,
            5,
            vec![line("a", 1)],
            &[],
            &[&line("a", 1)],
        )));
        let hash = StateHash::of([&line("b", 1)], []);
        assert_eq!(state.take_snapshot(4, hash, vec![line("b", 1)], vec![]), Taken::AlreadyHeld);
        let replaced = moved(state.take_snapshot(6, hash, vec![line("b", 1)], vec![]));
        assert_eq!(replaced.lines.keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(replaced.take_snapshot(6, hash, vec![line("b", 1)], vec![]), Taken::AlreadyHeld);
    }

    #[test]
    fn what_a_snapshot_does_not_change_is_not_new() {
        let both = [line("a", 1), line("b", 1)];
        let step = delta(0, 5, both.to_vec(), &[], &[&both[0], &both[1]]);
        let state = moved(DesiredState::default().take_delta(&step));
        let after = [line("a", 1), line("b", 9)];
        let next = moved(state.take_snapshot(6, StateHash::of(&after, []), after.to_vec(), vec![]));
        assert!(Arc::ptr_eq(&next.lines["a"], &state.lines["a"]), "it is not even written to flash again");
        assert_eq!((next.lines["a"].revision, next.lines["b"].revision), (5, 6));
    }
}
