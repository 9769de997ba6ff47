//! Two devices that speak as one site, as a copied flash card makes them. Pure.
//!
//! The broker has one connection of a site, so that each throws the other off. A run of an agent names itself by a number of its
//! own, and one that ended never speaks again: where two runs take turns, two devices run.

use std::collections::HashMap;

use crate::ids::SiteId;

/// The runs of each site that spoke last.
#[derive(Debug, Default)]
pub(super) struct Twins(HashMap<SiteId, Runs>);

#[derive(Debug)]
struct Runs {
    newest: u64,
    before: Option<u64>,
    /// How often the one before the newest spoke again.
    turns: u32,
}

/// A hello may come late once, over another's.
const TURNS_THAT_TELL: u32 = 2;

impl Twins {
    /// Notes a hello of this run. How often two of the site took turns, when that is to be said: at first, and ever more rarely.
    pub(super) fn note(&mut self, site: &SiteId, run: u64) -> Option<u32> {
        let Some(runs) = self.0.get_mut(site) else {
            self.0.insert(site.clone(), Runs { newest: run, before: None, turns: 0 });
            return None;
        };
        if run == runs.newest {
            return None;
        }
        runs.turns = if runs.before == Some(run) { runs.turns.saturating_add(1) } else { 0 };
        runs.before = Some(std::mem::replace(&mut runs.newest, run));
        (runs.turns >= TURNS_THAT_TELL && runs.turns.is_power_of_two()).then_some(runs.turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_that_take_turns_are_two_devices_and_a_restart_is_none() {
        let site = SiteId::parse("nyeri-01").unwrap();
        let mut twins = Twins::default();
        let mut told =
            |runs: &[u64]| -> Vec<u32> { runs.iter().filter_map(|run| twins.note(&site, *run)).collect() };
        assert_eq!(
            told(&[1, 1, 2, 3, 3, 4]),
            [0_u32; 0],
            "each of these began when the one before had ended"
        );
        assert_eq!(told(&[3, 4, 4]), [2], "it came back, and so did the other");
        assert_eq!(told(&[3, 4, 3, 4, 3, 4]), [4, 8]);
        assert_eq!(told(&[5, 6, 5, 6]), [2], "a third one begins anew");
    }
}
