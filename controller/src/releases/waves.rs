//! Who gets a version when, and when that stops. Pure: sites and what they said in, a decision out.
//!
//! A wave is a share of the sites, at least one more than the wave before; the first are chosen among those that are connected,
//! spread by a hash, so that it is not always the same ones. The next begins when every site of those before that is connected or
//! has begun is verified, and the time to watch them is over. In the first wave one failure is enough to stop, later more than 2 %.
//! A site whose agent is too old to be told holds nobody up.

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::release::Sha256;
use tawi_shared::wire::ReleaseStanding;

use super::RolloutSite;
use crate::ids::SiteId;

/// The share of sites that may fail before everything stops, in per cent.
const FAILING_PERCENT: usize = 2;
/// An agent goes back by itself within a quarter of an hour: one on trial that is silent for longer may not run at all.
const LOST_AFTER: Duration = Duration::from_secs(3_600);
/// A site that went dark while it was downloading is not waited for any longer.
const DARK_AFTER: Duration = Duration::from_secs(3 * 86_400);
/// The most waves.
pub const WAVES: usize = 8;

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: some are on their way, or are watched.
    Wait,
    /// The wave of this number begins.
    Next(usize),
    /// It ends here, and why.
    Stop(String),
    /// Every site runs it.
    Done,
}

/// Whether these shares are waves: growing, and all in the end.
#[must_use]
pub fn are_waves(percents: &[u8]) -> bool {
    let grows = percents.windows(2).all(|pair| matches!(pair, [one, next] if one < next));
    grows
        && percents.len() <= WAVES
        && percents.first().is_some_and(|first| *first > 0)
        && percents.last() == Some(&100)
}

/// Which wave each site is of. `salt` is another for each rollout.
#[must_use]
pub fn assign(sites: Vec<(SiteId, bool)>, percents: &[u8], salt: u64) -> Vec<(SiteId, usize)> {
    let mut ordered: Vec<_> = sites
        .into_iter()
        .map(|(site, is_online)| (!is_online, Sha256::of(format!("{salt}/{site}").as_bytes()), site))
        .collect();
    ordered.sort();
    let total = ordered.len();
    let mut ends: Vec<usize> = Vec::with_capacity(percents.len());
    for percent in percents {
        let share = total.saturating_mul(usize::from(*percent)).div_ceil(100);
        let least = ends.last().copied().unwrap_or_default().saturating_add(1);
        ends.push(share.max(least).min(total));
    }
    let wave_of =
        |at: usize| ends.iter().position(|end| at < *end).unwrap_or(percents.len().saturating_sub(1));
    ordered.into_iter().enumerate().map(|(at, (.., site))| (site, wave_of(at))).collect()
}

/// What to do in wave `wave` of `waves`, which began then and is watched so long.
#[must_use]
pub fn decide(
    sites: &[RolloutSite],
    (wave, waves): (usize, usize),
    (began_at, soak): (UnixMillis, Duration),
    now: UnixMillis,
) -> Decision {
    let told: Vec<_> = sites.iter().filter(|site| site.wave <= wave && !site.is_too_old()).collect();
    let is_lost = |site: &RolloutSite| is_on_trial(site) && now.since(site.changed_at) >= LOST_AFTER;
    let has_failed = |site: &&&RolloutSite| {
        matches!(site.standing, Some(ReleaseStanding::RolledBack | ReleaseStanding::Refused)) || is_lost(site)
    };
    let failed: Vec<_> = told.iter().filter(has_failed).collect();
    let too_many = failed.len().saturating_mul(100) > told.len().saturating_mul(FAILING_PERCENT);
    if let Some(first) = failed.first()
        && (wave == 0 || too_many)
    {
        let standing = first.standing.map_or("", ReleaseStanding::as_str);
        let detail = if is_lost(first) { "nothing was heard of it since" } else { &first.detail };
        let words =
            format!("{} of {} sites failed; {} {standing}: {detail}", failed.len(), told.len(), first.site);
        return Decision::Stop(words);
    }
    let is_verified = |site: &&RolloutSite| site.standing == Some(ReleaseStanding::Verified);
    let is_last = wave.saturating_add(1) >= waves;
    if is_last {
        // Those that failed, few enough to go on, are left to staff.
        let is_settled = |site: &&RolloutSite| is_verified(site) || has_failed(&site);
        return if told.iter().all(is_settled) { Decision::Done } else { Decision::Wait };
    }
    // Whoever has begun is waited for, there or not: a controller that was restarted takes all sites for dark at first.
    let is_open = |site: &&RolloutSite| {
        let is_under_way = site.standing.is_some() && now.since(site.changed_at) < DARK_AFTER;
        (site.is_online || is_under_way) && !is_verified(site) && !has_failed(&site)
    };
    let verified = told.iter().filter(|site| is_verified(site));
    let last = verified.map(|site| site.changed_at).max();
    // A wave of which nobody was there proves nothing: it waits for the first.
    let watched_since = match last {
        Some(last) if !told.iter().any(is_open) => last.max(began_at),
        None if told.is_empty() => began_at,
        _ => return Decision::Wait,
    };
    if now.since(watched_since) >= soak { Decision::Next(wave.saturating_add(1)) } else { Decision::Wait }
}

fn is_on_trial(site: &RolloutSite) -> bool {
    matches!(site.standing, Some(ReleaseStanding::Starting | ReleaseStanding::Trial))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn id(at: usize) -> SiteId {
        SiteId::parse(&format!("site-{at:03}")).unwrap()
    }

    fn site(at: usize, wave: usize, is_online: bool, standing: Option<ReleaseStanding>) -> RolloutSite {
        let changed_at = UnixMillis(1_000);
        RolloutSite {
            site: id(at),
            wave,
            is_online,
            standing,
            have_bytes: 0,
            detail: "why".into(),
            changed_at,
            progress_at: changed_at,
            file: None,
            protocol: None,
            last_seen_at: None,
            hourly_bytes: None,
        }
    }

    #[test]
    fn waves_are_shares_that_grow_and_the_first_sites_are_connected() {
        let check = |total: usize, percents: &[u8], expected: &[usize]| {
            let sites: Vec<_> = (0..total).map(|at| (id(at), at % 2 == 0)).collect();
            let assigned = assign(sites, percents, 7);
            let counts: Vec<_> = (0..percents.len())
                .map(|wave| assigned.iter().filter(|(_, of)| *of == wave).count())
                .collect();
            assert_eq!(counts, expected, "{total} {percents:?}");
        };
        check(200, &[1, 10, 100], &[2, 18, 180]);
        check(10, &[1, 10, 100], &[1, 1, 8]);
        check(2, &[1, 10, 100], &[1, 1, 0]);
        check(1, &[1, 10, 100], &[1, 0, 0]);
        check(0, &[1, 10, 100], &[0, 0, 0]);
        check(5, &[100], &[5]);
        let sites: Vec<_> = (0..40).map(|at| (id(at), at == 33)).collect();
        for salt in 0..20 {
            assert_eq!(assign(sites.clone(), &[1, 100], salt)[0].0, id(33));
        }
        for bad in [&[][..], &[0, 100], &[10, 10, 100], &[10, 50], &[50, 10, 100]] {
            assert!(!are_waves(bad), "{bad:?}");
        }
        assert!(are_waves(&[1, 10, 100]) && are_waves(&[100]));
    }

    #[test]
    fn the_next_wave_waits_for_those_before_and_one_failure_of_the_first_stops_all() {
        use ReleaseStanding::{Downloading, Refused, RolledBack, Trial, Verified};
        let check = |sites: &[RolloutSite], wave, minutes: u64, expected: Decision| {
            let now = UnixMillis(1_000).plus(Duration::from_secs(60 * minutes));
            let decided = decide(sites, (wave, 2), (UnixMillis(0), HOUR), now);
            match (&decided, &expected) {
                (Decision::Stop(why), Decision::Stop(words)) => {
                    assert!(why.contains(words.as_str()), "{why}");
                }
                _ => assert_eq!(decided, expected),
            }
        };
        let rest = || site(9, 1, true, None);
        let first = |standing| vec![site(1, 0, true, standing), rest()];
        check(&first(None), 0, 600, Decision::Wait);
        check(&first(Some(Downloading)), 0, 600, Decision::Wait);
        check(&first(Some(Trial)), 0, 59, Decision::Wait);
        check(&first(Some(Trial)), 0, 60, Decision::Stop("site-001 on trial: nothing was heard".into()));
        check(&first(Some(Verified)), 0, 59, Decision::Wait);
        check(&first(Some(Verified)), 0, 60, Decision::Next(1));
        check(&first(Some(RolledBack)), 0, 0, Decision::Stop("site-001 rolled back: why".into()));
        check(&first(Some(Refused)), 0, 0, Decision::Stop("1 of 1 sites failed".into()));
        // One that is dark holds nobody up, unless nobody else was there.
        let mut dark = first(Some(Verified));
        dark.push(site(2, 0, false, None));
        check(&dark, 0, 60, Decision::Next(1));
        check(&[site(1, 0, false, None), rest()], 0, 600, Decision::Wait);
        // But one that went dark on its way is waited for, as all are dark when the controller was restarted.
        let mut under_way = first(Some(Verified));
        under_way.push(site(2, 0, false, Some(Downloading)));
        check(&under_way, 0, 60, Decision::Wait);
        check(&under_way, 0, 3 * 24 * 60, Decision::Next(1));
        // One whose agent is too old holds nobody up, and proves nothing.
        let old = |wave| RolloutSite { protocol: Some(2), ..site(3, wave, true, None) };
        let mut with_old = first(Some(Verified));
        with_old.push(old(0));
        check(&with_old, 0, 59, Decision::Wait);
        check(&with_old, 0, 60, Decision::Next(1));
        check(&[old(0), rest()], 0, 60, Decision::Next(1));
        check(&[site(1, 0, true, Some(Verified)), old(1)], 1, 0, Decision::Done);
        // Later, few may fail.
        let many = |failed: usize, verified: usize| -> Vec<_> {
            (0..failed + verified)
                .map(|at| site(at, 1, true, Some(if at < failed { RolledBack } else { Verified })))
                .collect()
        };
        check(&many(2, 98), 1, 0, Decision::Done);
        check(&many(3, 97), 1, 0, Decision::Stop("3 of 100".into()));
        let mut last = many(0, 3);
        last.push(site(50, 1, false, None));
        check(&last, 1, 600, Decision::Wait);
    }

    proptest! {
        #[test]
        fn no_site_is_told_before_those_of_the_wave_before_are_well(
            total in 1_usize..60, said in prop::collection::vec((0_usize..60, 0_usize..5), 0..120), seed in any::<u64>(),
        ) {
            use ReleaseStanding::{Downloading, Refused, RolledBack, Trial, Verified};
            let percents = [5, 30, 100];
            let assigned = assign((0..total).map(|at| (id(at), true)).collect(), &percents, seed);
            let mut sites: Vec<_> = assigned.iter().map(|(site_id, wave)| {
                RolloutSite { site: site_id.clone(), ..site(0, *wave, true, None) }
            }).collect();
            let (mut wave, mut now, mut ended) = (0, UnixMillis(0), false);
            for (at, standing) in said {
                now = now.plus(HOUR * 2);
                let at = at % total;
                if ended || sites[at].wave > wave { continue; }
                sites[at].standing = Some([Downloading, Trial, Verified, RolledBack, Refused][standing]);
                sites[at].changed_at = now;
                match decide(&sites, (wave, 3), (UnixMillis(0), HOUR), now.plus(HOUR * 2)) {
                    Decision::Next(next) => {
                        prop_assert_eq!(next, wave + 1);
                        let told: Vec<_> = sites.iter().filter(|site| site.wave <= wave).collect();
                        let bad = told.iter().filter(|site| site.standing != Some(Verified)).count();
                        prop_assert!(bad * 100 <= told.len() * 2, "{bad} of {}", told.len());
                        wave = next;
                    }
                    Decision::Stop(_) | Decision::Done => ended = true,
                    Decision::Wait => {}
                }
            }
        }
    }
}
