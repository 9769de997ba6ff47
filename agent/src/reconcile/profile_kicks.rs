//! Since when sessions were last ended for what a profile says. Pure.
//!
//! Another tool that rewrites a profile every few minutes must not cost all its customers their sessions every few
//! minutes. A profile that head office changed is always another matter. Kept in memory: a restart starts anew.

use std::collections::BTreeMap;
use std::time::Duration;

use tawi_shared::wire::ProfileV1;

use crate::reconcile::actual::Family;

/// How long nobody is thrown out again for the same profile.
const REST: Duration = Duration::from_secs(3_600);

/// By profile: when, and for which.
#[derive(Debug, Default)]
pub(crate) struct ProfileKicks(BTreeMap<(Family, String), (Duration, ProfileV1)>);

impl ProfileKicks {
    /// Sessions end because this was written.
    pub(crate) fn note(&mut self, family: Family, name: &str, wanted: &ProfileV1, now: Duration) {
        self.0.retain(|_, (at, _)| now.saturating_sub(*at) < REST);
        self.0.insert((family, name.to_owned()), (now, wanted.clone()));
    }

    /// What was noted at this moment did not come to pass.
    pub(crate) fn forget(&mut self, family: Family, name: &str, now: Duration) {
        self.0.retain(|(of, known), (at, _)| *of != family || known != name || *at != now);
    }

    /// Whether sessions were ended for exactly this within the last hour.
    pub(crate) fn is_recent(
        &self,
        family: Family,
        name: &str,
        wanted: Option<&ProfileV1>,
        now: Duration,
    ) -> bool {
        let last = self.0.get(&(family, name.to_owned()));
        last.zip(wanted).is_some_and(|((at, of), wanted)| of == wanted && now.saturating_sub(*at) < REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_profile_costs_sessions_once_an_hour_and_a_new_one_at_once() {
        let profile = |download| ProfileV1 { download_bits_per_second: download, ..ProfileV1::default() };
        let at = Duration::from_secs;
        let mut kicks = ProfileKicks::default();
        let check = |kicks: &ProfileKicks, wanted: &ProfileV1, now, expected| {
            assert_eq!(kicks.is_recent(Family::Ppp, "home", Some(wanted), at(now)), expected, "{now}");
        };
        check(&kicks, &profile(1), 0, false);
        kicks.note(Family::Ppp, "home", &profile(1), at(10));
        check(&kicks, &profile(1), 130, true);
        check(&kicks, &profile(2), 130, false);
        check(&kicks, &profile(1), 3_610, false);
        kicks.forget(Family::Ppp, "home", at(130));
        check(&kicks, &profile(1), 130, true);
        kicks.forget(Family::Ppp, "home", at(10));
        check(&kicks, &profile(1), 130, false);
    }
}
