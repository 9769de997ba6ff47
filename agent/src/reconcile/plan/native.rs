//! The router's own limits as the second line of a quota: what cuts a line when the agent is not there to do it.
//!
//! Pure. A hotspot user has one limit over all of its sessions: what its row has counted, and its session, and what
//! remains. That sum stays the same while bytes are moved, so that a quota costs one write a period and one a top-up. A
//! limit of PPP is per session and direction: each direction gets what remains, written with the row, when a period or a
//! top-up makes it too small, and at most once after a session that ended, if it has become too large by then; a session
//! that moved little costs none.
//! A [`margin`] of a sixty-fourth of the quota, 1 MiB at least, is on top, so that the agent's own cut comes first and
//! the bytes of the last sample do not shut out anybody too early. A hotspot line without an agent gets three margins
//! too much at the most, and beside these what it moved since the last sample when the limit was written; after the router
//! lost its counters a quarter of the quota, until that shows. A PPP session moves in each direction no more than was left
//! when the one before it ended, and four margins. Sessions keep the limit that they began with: nobody is kicked for a new one. A throttled line has no limit,
//! because a router knows no other answer to one than to cut. That a router keeps a limit at all is judged by
//! `reconcile/limits.rs`.

use routeros_api::value::UpDown;
use tawi_shared::UnixMillis;
use tawi_shared::wire::{LineV1, QuotaV1, Restraint};

use crate::enforce::{Effective, running_quota};
use crate::reconcile::actual::{Family, Limits};

/// What differs when a limit is kept up with its quota: not drift, nobody touched the row.
pub(crate) const UPKEEP: &str = "quota limit";

/// The least margin: what a weak line moves between two looks at it.
const LEAST_MARGIN: u64 = 1 << 20;

/// What a line may still move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The whole quota, in bytes.
    pub quota: u64,
    /// What remains of it; never 0, because such a line is not open.
    pub left: u64,
    /// What is known of the limit on the router.
    pub standing_for: StandingFor,
    /// What the row had counted at a look since which nobody was logged in and samples were taken: then every byte that
    /// the row has counted has reached the book, or never will.
    pub rested_at: Option<u64>,
    /// Whether the same sessions are there since a look after which samples were taken: then nothing that has ended is still
    /// on its way to the row or to the book.
    pub is_steady: bool,
    /// Whether a session of the line ended since they were looked at.
    pub has_ended: bool,
    /// The largest limit that this router keeps.
    pub ceiling: u64,
    /// Whether a sample of this run is in the book. Before, what was moved while no agent ran seems to remain: a limit by
    /// which the router has just cut would be raised by it.
    pub is_counted: bool,
}

/// For what the limit on the router was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandingFor {
    /// This period and this quota: verified.
    This,
    /// Another period or another quota: verified.
    Other,
    /// The agent has just started.
    Unknown,
}

/// The quota that a router can cut by: the running one, where using it up closes the line.
#[must_use]
pub fn closing_quota(line: &LineV1, now: UnixMillis) -> Option<&QuotaV1> {
    let closes =
        matches!(Restraint::from_code(line.after_quota.how), Some(Restraint::Off | Restraint::Walled));
    let logs_in = Family::of_code(line.service).is_some_and(|family| family.logins().is_some());
    running_quota(line, now).filter(|_| closes && logs_in)
}

impl Allowance {
    /// What this quota leaves to a line in this state; `None` where nothing of it is to be on the router.
    #[must_use]
    pub fn of(quota: &QuotaV1, used: u64, state: Effective) -> Option<Self> {
        let left = quota.bytes.checked_sub(used).filter(|left| *left > 0 && state.is_online())?;
        Some(Self {
            quota: quota.bytes,
            left,
            standing_for: StandingFor::Unknown,
            rested_at: None,
            is_steady: false,
            has_ended: false,
            ceiling: u64::MAX,
            is_counted: true,
        })
    }

    fn margin(&self) -> u64 {
        margin(self.quota)
    }

    /// What a limit may be off by while nothing says that it is wrong: the bytes since the last sample seem to belong to
    /// it.
    fn doubt(&self) -> u64 {
        (self.quota / 4).max(times(self.margin(), 2))
    }
}

/// See the module.
#[must_use]
pub fn margin(quota: u64) -> u64 {
    (quota / 64).max(LEAST_MARGIN)
}

fn times(bytes: u64, factor: u64) -> u64 {
    bytes.saturating_mul(factor)
}

/// Whether a limit is kept up with its quota, so that it moves without anybody's hand.
pub(super) fn is_kept_up(family: Family, name: &str, allowance: Option<&Allowance>) -> bool {
    allowance.is_some() && (family == Family::Ppp || name == "limit-bytes-total")
}

/// What a row has, as far as limits go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// `None` where they cannot be read: then they are left.
    pub(super) limits: Option<Limits>,
    /// What the row of a hotspot user has counted; `None` where it does not say.
    pub(super) counted: Option<u64>,
    /// What the sessions of a hotspot user have moved.
    pub(super) session: u64,
    /// Whether the row is written anyway.
    pub(super) is_written: bool,
    /// Whether it is only being made, so that nobody was cut by its limit.
    pub(super) is_new: bool,
}

/// The limits to write: upload and download for PPP, both together for a hotspot; empty where they stand. A limit of a
/// hotspot user for one direction or for time is none of ours and shuts a customer out who has paid: it goes.
pub(super) fn writes(
    family: Family,
    allowance: Option<&Allowance>,
    standing: Standing,
) -> Vec<(&'static str, u64)> {
    let Some(limits) = standing.limits else { return Vec::new() };
    let waits = !standing.is_new && allowance.is_some_and(|allowance| !allowance.is_counted);
    match family {
        Family::Ppp if waits => Vec::new(),
        Family::Ppp => {
            let has = UpDown { upload: limits.upload, download: limits.download };
            let wants = per_session(allowance, has, standing.is_written);
            let wants = wants.map(|bytes| [("limit-bytes-in", bytes), ("limit-bytes-out", bytes)]);
            wants.map(Vec::from).unwrap_or_default()
        }
        Family::Hotspot => {
            let wants = over_all_sessions(allowance, limits.total, standing.counted, standing.session);
            let total = wants.filter(|_| !waits).map(|bytes| ("limit-bytes-total", bytes));
            let others = [
                ("limit-bytes-in", limits.upload),
                ("limit-bytes-out", limits.download),
                ("limit-uptime", limits.uptime),
            ];
            let set = others.into_iter().filter(|(_, has)| *has != 0);
            total.into_iter().chain(set.map(|(name, _)| (name, 0))).collect()
        }
        Family::Fixed => Vec::new(),
    }
}

fn over_all_sessions(
    allowance: Option<&Allowance>,
    has: u64,
    counted: Option<u64>,
    session: u64,
) -> Option<u64> {
    let none = (has != 0).then_some(0);
    let Some(allowance) = allowance else { return none };
    let counted = counted?;
    // Routers differ in whether a row counts its running session: the right limit is between these two.
    let least = counted.saturating_add(allowance.left);
    let most = least.saturating_add(session);
    let margin = allowance.margin();
    // While sessions run, the book may be a moment ahead of the row.
    let wants = most.saturating_add(if allowance.is_steady { times(margin, 3) } else { margin });
    if wants > allowance.ceiling {
        return none;
    }
    let (is_idle, doubt) = (session == 0, allowance.doubt());
    let is_far_below = has.saturating_add(doubt) < least;
    let is_above = |slack: u64| has > most.saturating_add(slack);
    let is_wrong = match allowance.standing_for {
        StandingFor::Other => has < least || is_above(times(margin, 2)),
        // A top-up may have come while no agent ran.
        StandingFor::Unknown => {
            let is_shut_out = is_idle && has <= counted && allowance.left > times(margin, 2);
            is_far_below || is_shut_out || is_above(if is_idle { times(margin, 2) } else { doubt })
        }
        // What was moved since the last sample seems to remain: only once that is over can the limit be judged. It is
        // wrong then if somebody set the counters of the row back, or they were lost with the router's power. Whoever is
        // online again at once would never be seen at rest: much too high shows while the same sessions run, too.
        StandingFor::This => {
            let is_rested = is_idle && allowance.rested_at == Some(counted);
            let is_lost = allowance.is_steady && is_above(doubt);
            is_lost || (is_rested && (is_far_below || is_above(times(margin, 2))))
        }
    };
    (has == 0 || is_wrong).then_some(wants)
}

fn per_session(allowance: Option<&Allowance>, has: UpDown<u64>, is_written: bool) -> Option<u64> {
    let none = (has != UpDown::both(0)).then_some(0);
    let Some(allowance) = allowance else { return none };
    let margin = allowance.margin();
    let wants = allowance.left.saturating_add(times(margin, 2));
    if wants > allowance.ceiling {
        return none;
    }
    let least = allowance.left.saturating_add(margin);
    let most = if allowance.has_ended { allowance.left } else { allowance.quota };
    let most = most.saturating_add(times(margin, 4));
    let fits = |limit: u64| (least..=most).contains(&limit);
    let stands = fits(has.upload) && fits(has.download);
    (!stands || (is_written && has != UpDown::both(wants))).then_some(wants)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enforce::Reason;
    use tawi_shared::wire::{RestraintV1, Service};

    const MIB: u64 = 1 << 20;
    /// A quota whose margin is 10 MiB.
    const QUOTA: u64 = 640 * MIB;

    fn left(mib: u64) -> Allowance {
        let quota = QuotaV1 { from_ms: 1, bytes: QUOTA };
        Allowance::of(&quota, QUOTA - mib * MIB, Effective::Open).unwrap()
    }

    #[test]
    fn only_a_quota_that_closes_its_line_is_for_the_router() {
        let check = |service: Service, how: Option<Restraint>, now, expected: bool| {
            let after_quota = RestraintV1 { how: how.map_or(77, Restraint::code), profile: String::new() };
            let quotas = vec![QuotaV1 { from_ms: 5, bytes: 9 }];
            let line = LineV1 { service: service.code(), after_quota, quotas, ..LineV1::default() };
            assert_eq!(
                closing_quota(&line, UnixMillis(now)).is_some(),
                expected,
                "{service:?} {how:?} {now}"
            );
        };
        check(Service::Hotspot, Some(Restraint::Off), 5, true);
        check(Service::Hotspot, Some(Restraint::Walled), 5, true);
        check(Service::Hotspot, Some(Restraint::Throttled), 5, false);
        check(Service::Hotspot, Some(Restraint::Off), 4, false);
        check(Service::Hotspot, None, 5, false);
        check(Service::L2tp, Some(Restraint::Off), 5, true);
        check(Service::Static, Some(Restraint::Off), 5, false);
    }

    #[test]
    fn nothing_remains_of_a_quota_that_is_used_up_or_of_a_closed_line() {
        let of =
            |used, state| Allowance::of(&QuotaV1 { from_ms: 1, bytes: 9 }, used, state).map(|of| of.left);
        assert_eq!(of(4, Effective::Open), Some(5));
        assert_eq!(of(4, Effective::Throttled(Reason::OfflineRule)), Some(5));
        assert_eq!(of(9, Effective::Open), None);
        assert_eq!(of(4, Effective::Walled(Reason::Expired)), None);
        assert_eq!(of(4, Effective::Off(Reason::Expired)), None);
    }

    #[test]
    fn a_hotspot_limit_is_what_was_counted_and_what_remains_and_stays_while_bytes_are_moved() {
        let check = |allowance: Option<Allowance>, has, counted, session, expected: Option<u64>| {
            let is = over_all_sessions(allowance.as_ref(), has * MIB, Some(counted * MIB), session * MIB);
            assert_eq!(is, expected.map(|mib| mib * MIB), "{allowance:?} {has} {counted} {session}");
        };
        // A new row, and one that another period has filled.
        check(Some(left(640)), 0, 0, 0, Some(650));
        check(Some(left(640)), 0, 900, 0, Some(1_550));
        check(Some(left(640)), 0, 900, 30, Some(1_580));
        // Bytes move: in the row, in the session, in both; counted before they are sampled or after.
        check(Some(left(640)), 650, 0, 0, None);
        check(Some(left(440)), 650, 200, 0, None);
        check(Some(left(440)), 650, 0, 200, None);
        check(Some(left(440)), 650, 200, 200, None);
        check(Some(left(540)), 650, 200, 200, None);
        check(Some(left(1)), 650, 639, 0, None);
        // Another period, and a top-up: raised whatever the amount.
        let other = |mib| Some(Allowance { standing_for: StandingFor::Other, ..left(mib) });
        check(other(640), 650, 635, 0, Some(1_285));
        check(other(12), 650, 639, 0, Some(661));
        check(other(11), 650, 639, 0, None);
        // A top-up that no agent saw, once the router lets nobody in any more.
        check(Some(left(100)), 650, 650, 0, Some(760));
        check(Some(left(20)), 650, 650, 0, None);
        // The counters of the row were set back.
        check(Some(left(340)), 650, 0, 0, Some(350));
        check(Some(left(340)), 650, 0, 20, Some(370));
        // The agent cannot know that they were while the session runs, unless by much.
        check(Some(left(540)), 650, 0, 10, None);
        // A limit that was verified stands while bytes are moved and not yet sampled, whatever that looks like, and when
        // the router has cut by it before the agent knew.
        let this = |mib| Allowance { standing_for: StandingFor::This, ..left(mib) };
        check(Some(this(640)), 650, 300, 300, None);
        check(Some(this(640)), 650, 650, 0, None);
        check(Some(this(340)), 650, 0, 0, None);
        let rested = |mib, at: u64| Some(Allowance { rested_at: Some(at * MIB), ..this(mib) });
        check(rested(340, 0), 650, 0, 0, Some(350));
        check(rested(340, 0), 650, 0, 1, None);
        check(rested(340, 1), 650, 0, 0, None);
        check(rested(340, 300), 450, 300, 0, Some(650));
        check(rested(340, 300), 650, 300, 0, None);
        // Nobody comes to rest after the router lost its power; what is off by less waits for that.
        let steady = |mib| Some(Allowance { is_steady: true, ..this(mib) });
        check(steady(340), 650, 0, 20, Some(390));
        check(steady(340), 390, 0, 20, None);
        check(steady(340), 650, 150, 20, None);
        check(steady(440), 650, 200, 200, None);
        check(steady(440), 650, 0, 200, None);
        check(steady(340), 450, 300, 0, None);
        // No limit where there is no quota, and none above what the router keeps.
        check(None, 0, 7, 7, None);
        check(None, 1, 7, 7, Some(0));
        let small = Some(Allowance { ceiling: 600 * MIB, ..left(640) });
        check(small, 0, 0, 0, None);
        check(small, 9, 0, 0, Some(0));
        assert_eq!(over_all_sessions(Some(&left(9)), 0, None, 0), None, "a row that does not say");
    }

    #[test]
    fn a_ppp_limit_never_cuts_what_is_left_and_is_lowered_once_a_session_ended() {
        let check = |allowance: Option<Allowance>, has: (u64, u64), is_written, expected: Option<u64>| {
            let has = UpDown { upload: has.0 * MIB, download: has.1 * MIB };
            let is = per_session(allowance.as_ref(), has, is_written);
            assert_eq!(is, expected.map(|mib| mib * MIB), "{allowance:?} {has:?} {is_written}");
        };
        check(Some(left(640)), (0, 0), true, Some(660));
        check(Some(left(640)), (0, 0), false, Some(660));
        check(Some(left(640)), (660, 660), true, None);
        // While a session moves bytes, and nothing else happens.
        check(Some(left(1)), (660, 660), false, None);
        check(Some(left(300)), (660, 660), true, Some(320));
        let ended = |mib| Some(Allowance { has_ended: true, ..left(mib) });
        check(ended(640), (660, 660), false, None);
        check(ended(621), (660, 660), false, None);
        check(ended(300), (660, 660), false, Some(320));
        check(ended(300), (320, 320), false, None);
        // A period, a top-up, somebody's hand.
        check(Some(left(640)), (320, 320), false, Some(660));
        check(Some(left(311)), (320, 320), false, Some(331));
        check(Some(left(310)), (320, 320), false, None);
        check(Some(left(300)), (320, 0), false, Some(320));
        check(Some(left(300)), (900, 320), false, Some(320));
        check(None, (0, 0), true, None);
        check(None, (5, 0), false, Some(0));
        check(Some(Allowance { ceiling: 600 * MIB, ..left(640) }), (5, 5), false, Some(0));
    }

    #[test]
    fn limits_that_cannot_be_read_are_left() {
        let standing = Standing { is_written: true, ..Standing::default() };
        assert_eq!(writes(Family::Ppp, Some(&left(9)), standing), []);
        assert_eq!(writes(Family::Hotspot, None, standing), []);
        let readable = Standing { limits: Some(Limits::default()), counted: Some(0), ..standing };
        assert_eq!(writes(Family::Hotspot, Some(&left(30)), readable), [("limit-bytes-total", 40 * MIB)]);
    }

    /// The row has moved up to its limit while no agent ran, and the book does not know.
    #[test]
    fn no_limit_of_a_row_that_stands_is_touched_before_a_sample_of_this_run_is_counted() {
        let limits = Limits { total: 650 * MIB, ..Limits::default() };
        let cut = Standing { limits: Some(limits), counted: Some(650 * MIB), ..Standing::default() };
        let stale = Allowance { is_counted: false, ..left(300) };
        let check = |family, standing, expected: &[(&'static str, u64)]| {
            assert_eq!(writes(family, Some(&stale), standing), expected, "{family:?} {standing:?}");
        };
        for standing in [cut, Standing { is_written: true, ..cut }] {
            check(Family::Hotspot, standing, &[]);
            let of_session = Limits { upload: 90 * MIB, download: 90 * MIB, ..Limits::default() };
            check(Family::Ppp, Standing { limits: Some(of_session), ..standing }, &[]);
        }
        let mixed = Standing { limits: Some(Limits { uptime: 250, ..limits }), ..cut };
        check(Family::Hotspot, mixed, &[("limit-uptime", 0)]);
        assert_eq!(
            writes(Family::Hotspot, Some(&left(300)), cut),
            [("limit-bytes-total", 960 * MIB)],
            "a top-up that no agent saw"
        );
        let made = Standing { limits: Some(Limits::default()), counted: Some(0), ..Standing::default() };
        let made = Standing { is_new: true, is_written: true, ..made };
        check(Family::Hotspot, made, &[("limit-bytes-total", 310 * MIB)]);
    }

    #[test]
    fn limits_of_a_hotspot_user_that_are_none_of_ours_go() {
        let limits = Limits { upload: 1, download: 2, total: 40 * MIB, uptime: 250 };
        let standing = Standing { limits: Some(limits), counted: Some(0), ..Standing::default() };
        let others = [("limit-bytes-in", 0), ("limit-bytes-out", 0), ("limit-uptime", 0)];
        assert_eq!(writes(Family::Hotspot, Some(&left(30)), standing), others);
        let total = ("limit-bytes-total", 0);
        assert_eq!(writes(Family::Hotspot, None, standing), [&[total][..], &others].concat());
    }
}
