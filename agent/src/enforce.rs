//! How a line should be on its router right now.
//!
//! Pure: what the controller decided and the circumstances go in, and how far the line may use the network comes out.
//! Whoever is switched off is off; whoever is suspended is as the plan says; only for the others do the quota and the
//! silence of head office count, and of those two the stricter. It never guesses: a service, an access code or a
//! restraint of a newer controller is [`Unsupported`], and the line is left as it is. What follows on the router is
//! `reconcile/plan.rs`; whether the time may be trusted is `clock.rs`.

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::wire::{Access, LineV1, OfflineRuleV1, QuotaV1, Restraint, RestraintV1, Service};
use thiserror::Error;

use crate::clock::{LeapInDoubt, has_come};

/// What counts besides the line itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The trusted time.
    pub now: UnixMillis,
    /// Bytes that the line moved in its running period, upload and download together. `None` where that is not known;
    /// nobody is restrained for what is not known.
    pub used: Option<u64>,
    /// For how long head office was not heard.
    pub silence: Duration,
    /// A leap of time that nobody's end counts by yet.
    pub leap_in_doubt: Option<LeapInDoubt>,
}

/// What a line may do at this instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effective {
    /// May use the network, with the profile that the line names.
    Open,
    /// Goes on slowly.
    Throttled(Reason),
    /// Reaches the pages on which its customer can pay, and nothing else.
    Walled(Reason),
    /// May not use the network.
    Off(Reason),
}

/// Why a line may not do all that it pays for. A person reads it; the guard treats them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its time is over.
    Expired,
    /// Staff suspended it.
    Suspended,
    /// The controller switched it off.
    SwitchedOff,
    /// It moved what its quota allows.
    QuotaReached,
    /// Head office has been silent for as long as its plan says.
    OfflineRule,
}

impl Reason {
    /// For a person.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Expired => "its time is over",
            Self::Suspended => "it is suspended or was never paid for",
            Self::SwitchedOff => "it is switched off at head office",
            Self::QuotaReached => "its data is used up",
            Self::OfflineRule => "head office is silent for longer than its plan allows",
        }
    }
}

/// A code of a newer contract. The line keeps whatever it has until this agent is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unsupported {
    /// See [`Service`].
    #[error("this agent does not know service {0}")]
    Service(u16),
    /// See [`Access`].
    #[error("this agent does not know access {0}")]
    Access(u16),
    /// See [`Restraint`].
    #[error("this agent does not know restraint {0}")]
    Restraint(u16),
}

impl Effective {
    /// Why it is not open.
    #[must_use]
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Open => None,
            Self::Throttled(reason) | Self::Walled(reason) | Self::Off(reason) => Some(reason),
        }
    }

    /// What it should not do and why, for a person; `None` while it is open. Whether it is so by now, a guard may decide.
    #[must_use]
    pub fn words(self) -> Option<String> {
        let effect = match self {
            Self::Open => return None,
            Self::Throttled(_) => "it is to go on slowly",
            Self::Walled(_) => "it is to reach the pay page only",
            Self::Off(_) => "it is to be off",
        };
        Some(format!("{}: {effect}", self.reason()?.words()))
    }

    /// Whether its customer reaches the network at large.
    #[must_use]
    pub fn is_online(self) -> bool {
        matches!(self, Self::Open | Self::Throttled(_))
    }

    /// Name of the profile that the line uses while this lasts; `None` while it is off. It may be empty or unknown,
    /// and then the line fails.
    #[must_use]
    pub fn profile(self, line: &LineV1) -> Option<&str> {
        match self {
            Self::Open => Some(&line.profile),
            Self::Throttled(reason) | Self::Walled(reason) => Some(restraint_of(line, reason)),
            Self::Off(_) => None,
        }
    }

    /// How strict it is; the greater wins.
    fn strictness(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Throttled(_) => 1,
            Self::Walled(_) => 2,
            Self::Off(_) => 3,
        }
    }
}

fn restraint_of(line: &LineV1, reason: Reason) -> &str {
    match reason {
        Reason::Expired | Reason::Suspended => &line.suspension.profile,
        Reason::QuotaReached => &line.after_quota.profile,
        Reason::OfflineRule => line.offline.as_ref().map_or("", |rule| &rule.then.profile),
        Reason::SwitchedOff => "",
    }
}

/// The service and the state that a line should have under these circumstances.
///
/// # Errors
/// [`Unsupported`] when this release does not know a code that counts now.
pub fn effective(line: &LineV1, circumstances: &Circumstances) -> Result<(Service, Effective), Unsupported> {
    let service = Service::from_code(line.service).ok_or(Unsupported::Service(line.service))?;
    let access = Access::from_code(line.access).ok_or(Unsupported::Access(line.access))?;
    let has_come = |due: UnixMillis| has_come(due, circumstances.now, circumstances.leap_in_doubt);
    let is_over = line.valid_until_ms.map(UnixMillis).is_some_and(has_come);
    let state = match access {
        Access::Off => Effective::Off(Reason::SwitchedOff),
        Access::Suspended => suspended(line, Reason::Suspended)?,
        Access::Open if is_over => suspended(line, Reason::Expired)?,
        Access::Open => {
            let by_quota = after_quota(line, circumstances)?;
            let by_silence = offline(line, circumstances)?;
            if by_silence.strictness() > by_quota.strictness() { by_silence } else { by_quota }
        }
    };
    Ok((service, state))
}

/// A line that says nothing of what suspension means for it is off while it is suspended.
fn suspended(line: &LineV1, reason: Reason) -> Result<Effective, Unsupported> {
    if line.suspension == RestraintV1::default() {
        return Ok(Effective::Off(reason));
    }
    restrained(&line.suspension, reason)
}

fn after_quota(line: &LineV1, circumstances: &Circumstances) -> Result<Effective, Unsupported> {
    let allowed = running_quota(line, circumstances.now).map(|quota| quota.bytes);
    let is_reached = allowed.zip(circumstances.used).is_some_and(|(allowed, used)| used >= allowed);
    if is_reached { restrained(&line.after_quota, Reason::QuotaReached) } else { Ok(Effective::Open) }
}

fn offline(line: &LineV1, circumstances: &Circumstances) -> Result<Effective, Unsupported> {
    match line.offline.as_ref().filter(|rule| circumstances.silence >= patience(rule)) {
        Some(rule) => restrained(&rule.then, Reason::OfflineRule),
        None => Ok(Effective::Open),
    }
}

fn restrained(restraint: &RestraintV1, reason: Reason) -> Result<Effective, Unsupported> {
    match Restraint::from_code(restraint.how).ok_or(Unsupported::Restraint(restraint.how))? {
        Restraint::Off => Ok(Effective::Off(reason)),
        Restraint::Walled => Ok(Effective::Walled(reason)),
        Restraint::Throttled => Ok(Effective::Throttled(reason)),
    }
}

/// How long head office may be silent before the rule applies.
#[must_use]
pub fn patience(rule: &OfflineRuleV1) -> Duration {
    Duration::from_secs(u64::from(rule.after_hours).saturating_mul(3_600))
}

/// The quota of the period that runs at `now`; `None` before the first and where there is none.
#[must_use]
pub fn running_quota(line: &LineV1, now: UnixMillis) -> Option<&QuotaV1> {
    line.quotas.iter().filter(|quota| quota.from_ms <= now.0).max_by_key(|quota| quota.from_ms)
}

/// Every instant at which time alone may change this line: its end, and the beginnings of its periods.
pub fn instants(line: &LineV1) -> impl Iterator<Item = UnixMillis> {
    let end = line.valid_until_ms.map(UnixMillis);
    line.quotas.iter().map(|quota| UnixMillis(quota.from_ms)).chain(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const NOW: i64 = 5;

    fn restraint(how: Restraint) -> RestraintV1 {
        RestraintV1 { how: how.code(), profile: how.as_str().into() }
    }

    fn line() -> LineV1 {
        LineV1 {
            line: "a".into(),
            router: "core".into(),
            service: Service::Pppoe.code(),
            username: "a".into(),
            password: "p".into(),
            profile: "home".into(),
            access: Access::Open.code(),
            suspension: restraint(Restraint::Off),
            ..LineV1::default()
        }
    }

    fn with(change: impl FnOnce(&mut LineV1)) -> LineV1 {
        let mut line = line();
        change(&mut line);
        line
    }

    fn limited(line: &mut LineV1, then: Restraint) {
        line.quotas = vec![QuotaV1 { from_ms: 1, bytes: 100 }];
        line.after_quota = restraint(then);
    }

    fn ruled(line: &mut LineV1, then: Restraint) {
        line.offline = Some(OfflineRuleV1 { after_hours: 2, then: restraint(then) });
    }

    fn at(now: i64, used: Option<u64>, silence: Duration) -> Circumstances {
        Circumstances { now: UnixMillis(now), used, silence, leap_in_doubt: None }
    }

    fn state(line: &LineV1, circumstances: Circumstances) -> Result<Effective, Unsupported> {
        effective(line, &circumstances).map(|(_, state)| state)
    }

    #[test]
    fn a_line_is_open_until_its_last_instant_and_never_by_guess() {
        let check = |service, access, until, now, expected| {
            let line = LineV1 { service, access, valid_until_ms: until, ..line() };
            assert_eq!(effective(&line, &at(now, None, Duration::ZERO)), expected);
        };
        let (open, off, suspended) = (1, 2, 3);
        check(1, open, None, NOW, Ok((Service::Pppoe, Effective::Open)));
        check(2, open, Some(6), NOW, Ok((Service::Hotspot, Effective::Open)));
        check(7, open, Some(6), NOW, Ok((Service::HotspotDevice, Effective::Open)));
        check(1, open, Some(5), NOW, Ok((Service::Pppoe, Effective::Off(Reason::Expired))));
        check(1, open, Some(4), NOW, Ok((Service::Pppoe, Effective::Off(Reason::Expired))));
        check(1, off, None, NOW, Ok((Service::Pppoe, Effective::Off(Reason::SwitchedOff))));
        check(1, off, Some(4), NOW, Ok((Service::Pppoe, Effective::Off(Reason::SwitchedOff))));
        check(1, suspended, Some(9), NOW, Ok((Service::Pppoe, Effective::Off(Reason::Suspended))));
        check(99, open, None, NOW, Err(Unsupported::Service(99)));
        check(1, 99, None, NOW, Err(Unsupported::Access(99)));
    }

    #[test]
    fn whose_time_ends_within_a_leap_in_doubt_goes_on_and_nobody_else() {
        let leap = LeapInDoubt { counted: UnixMillis(2), until: UnixMillis(NOW) };
        let check = |until, access: Access, expected| {
            let line = LineV1 { valid_until_ms: Some(until), access: access.code(), ..line() };
            let doubted = Circumstances { leap_in_doubt: Some(leap), ..at(NOW, None, Duration::ZERO) };
            assert_eq!(state(&line, doubted), Ok(expected), "until {until}");
        };
        check(3, Access::Open, Effective::Open);
        check(NOW, Access::Open, Effective::Open);
        check(2, Access::Open, Effective::Off(Reason::Expired));
        check(3, Access::Suspended, Effective::Off(Reason::Suspended));
    }

    #[test]
    fn suspension_is_what_the_plan_says_and_off_where_it_says_nothing() {
        let check = |suspension: RestraintV1, expected| {
            let line = with(|line| {
                line.access = Access::Suspended.code();
                line.suspension = suspension;
            });
            assert_eq!(state(&line, at(NOW, None, Duration::ZERO)), expected);
        };
        let reason = Reason::Suspended;
        check(restraint(Restraint::Throttled), Ok(Effective::Throttled(reason)));
        check(restraint(Restraint::Walled), Ok(Effective::Walled(reason)));
        check(restraint(Restraint::Off), Ok(Effective::Off(reason)));
        check(RestraintV1::default(), Ok(Effective::Off(reason)));
        check(RestraintV1 { how: 9, profile: String::new() }, Err(Unsupported::Restraint(9)));
        check(RestraintV1 { how: 0, profile: "slow".into() }, Err(Unsupported::Restraint(0)));
    }

    #[test]
    fn a_quota_restrains_whoever_is_known_to_have_reached_it() {
        let check = |quotas: &[(i64, u64)], now, used, expected| {
            let line = with(|line| {
                limited(line, Restraint::Walled);
                line.quotas = quotas
                    .iter()
                    .map(|(from_ms, bytes)| QuotaV1 { from_ms: *from_ms, bytes: *bytes })
                    .collect();
            });
            assert_eq!(state(&line, at(now, used, Duration::ZERO)), Ok(expected));
        };
        let walled = Effective::Walled(Reason::QuotaReached);
        check(&[(1, 100)], NOW, Some(99), Effective::Open);
        check(&[(1, 100)], NOW, Some(100), walled);
        check(&[(1, 100)], NOW, None, Effective::Open);
        check(&[(1, 0)], NOW, Some(0), walled);
        check(&[], NOW, Some(u64::MAX), Effective::Open);
        check(&[(6, 100)], NOW, Some(100), Effective::Open);
        check(&[(1, 100), (5, 200)], NOW, Some(100), Effective::Open);
        check(&[(1, 100), (5, 200)], 4, Some(100), walled);
    }

    #[test]
    fn silence_restrains_once_patience_is_over_and_of_two_restraints_the_stricter_wins() {
        let check = |quota: Option<Restraint>, rule: Restraint, silence, expected| {
            let line = with(|line| {
                ruled(line, rule);
                quota.into_iter().for_each(|then| limited(line, then));
            });
            assert_eq!(state(&line, at(NOW, Some(100), silence)), Ok(expected));
        };
        use Restraint::{Off, Throttled, Walled};
        let almost = (2 * HOUR).saturating_sub(Duration::from_millis(1));
        check(None, Off, almost, Effective::Open);
        check(None, Off, 2 * HOUR, Effective::Off(Reason::OfflineRule));
        check(None, Throttled, 3 * HOUR, Effective::Throttled(Reason::OfflineRule));
        check(Some(Throttled), Walled, 2 * HOUR, Effective::Walled(Reason::OfflineRule));
        check(Some(Off), Walled, 2 * HOUR, Effective::Off(Reason::QuotaReached));
        check(Some(Walled), Walled, 2 * HOUR, Effective::Walled(Reason::QuotaReached));
        check(Some(Throttled), Off, almost, Effective::Throttled(Reason::QuotaReached));
    }

    #[test]
    fn suspension_goes_before_quota_and_silence_and_off_before_all() {
        let restrained_thrice = with(|line| {
            limited(line, Restraint::Off);
            ruled(line, Restraint::Off);
            line.suspension = restraint(Restraint::Throttled);
            line.valid_until_ms = Some(NOW);
        });
        let circumstances = at(NOW, Some(100), 9 * HOUR);
        assert_eq!(state(&restrained_thrice, circumstances), Ok(Effective::Throttled(Reason::Expired)));
        let off = LineV1 { access: Access::Off.code(), ..restrained_thrice };
        assert_eq!(state(&off, circumstances), Ok(Effective::Off(Reason::SwitchedOff)));
    }

    #[test]
    fn a_code_that_does_not_count_yet_does_no_harm() {
        let line = with(|line| {
            limited(line, Restraint::Off);
            line.after_quota.how = 77;
        });
        assert_eq!(state(&line, at(NOW, Some(99), Duration::ZERO)), Ok(Effective::Open));
        assert_eq!(state(&line, at(NOW, Some(100), Duration::ZERO)), Err(Unsupported::Restraint(77)));
    }

    #[test]
    fn each_state_names_the_profile_that_goes_with_it() {
        let line = with(|line| {
            line.suspension.profile = "suspended".into();
            line.after_quota.profile = "used-up".into();
            ruled(line, Restraint::Throttled);
        });
        let check = |state: Effective, expected| assert_eq!(state.profile(&line), expected, "{state:?}");
        check(Effective::Open, Some("home"));
        check(Effective::Throttled(Reason::Expired), Some("suspended"));
        check(Effective::Walled(Reason::Suspended), Some("suspended"));
        check(Effective::Walled(Reason::QuotaReached), Some("used-up"));
        check(Effective::Throttled(Reason::OfflineRule), Some("throttled"));
        check(Effective::Off(Reason::Expired), None);
    }
}
