//! The profiles that a connection type makes on routers: the open one, and one for each way of restraining a line. Pure.
//!
//! Their names follow from the connection type's, so that both ends and a person at the router know what each is for,
//! and nobody can enter one that is made here. When they reach a site is `desired`.

use tawi_shared::Bandwidth;
use tawi_shared::wire::{ProfileV1, Service};

use super::restraint::Restraint;
use super::{ConnectionType, Plan};

/// The address list of walled-in clients, as `tawi-agent router-script` sets its walls up.
const WALLED_LIST: &str = "tawi-walled";
const WALLED: &str = "-walled";
const SLOW: &str = "-slow-";

/// Services whose profiles are one list on a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `/ppp/profile`.
    Ppp,
    /// `/ip/hotspot/user/profile`.
    Hotspot,
    /// Nothing on the router: what a queue is set to.
    Static,
}

impl Family {
    /// Which one a service belongs to.
    #[must_use]
    pub fn of(service: Service) -> Self {
        match service {
            Service::Pppoe | Service::L2tp | Service::Pptp | Service::Openvpn => Self::Ppp,
            Service::Hotspot => Self::Hotspot,
            Service::Static | Service::HotspotDevice => Self::Static,
        }
    }

    /// How its lines take another speed, whatever brings it: a change of the connection type or plan, data that is used up,
    /// a top-up. It is the agent that does so, at the pace of its routers.
    #[must_use]
    pub fn at_another_speed(self) -> &'static str {
        match self {
            Self::Ppp => {
                "sessions are ended and devices dial in again: a few seconds offline for each, at most 20 a second on \
                 one router"
            }
            Self::Hotspot => {
                "sessions are ended, at most 20 a second on one router, and devices log in again by their cookie; \
                 without one they see the log-in page"
            }
            Self::Static => "the queue changes without a drop",
        }
    }

    /// The word in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ppp => "ppp",
            Self::Hotspot => "hotspot",
            Self::Static => "static",
        }
    }
}

/// Whether a name is one that is made here.
#[must_use]
pub fn is_derived(name: &str) -> bool {
    name.ends_with(WALLED) || name.contains(SLOW)
}

/// The name of the profile that restrains lines of a service whose open one has this name; `None` where none is needed: a
/// hotspot shows whoever is not logged in its own page, with a walled garden of its own, and whoever is walled in is not.
#[must_use]
pub fn name(service: Service, open: &str, restraint: Restraint) -> Option<String> {
    match restraint {
        Restraint::Off => None,
        Restraint::Walled if Family::of(service) == Family::Hotspot => None,
        Restraint::Walled => Some(format!("{open}{WALLED}")),
        Restraint::Throttled { download, upload } => {
            Some(format!("{open}{SLOW}{}-{}", short(download), short(upload)))
        }
    }
}

/// `1M`, `512k`, `1500k`, `123`: no two rates have the same.
fn short(rate: Bandwidth) -> String {
    match rate.bits_per_second() {
        bits if bits > 0 && bits % 1_000_000 == 0 => format!("{}M", bits / 1_000_000),
        bits if bits > 0 && bits % 1_000 == 0 => format!("{}k", bits / 1_000),
        bits => bits.to_string(),
    }
}

/// The profile of a line in full use.
#[must_use]
pub fn open(kind: &ConnectionType) -> ProfileV1 {
    let profile = &kind.profile;
    ProfileV1 {
        name: kind.profile_name.clone(),
        service: kind.service.code(),
        download_bits_per_second: profile.download.bits_per_second(),
        upload_bits_per_second: profile.upload.bits_per_second(),
        download_burst_bits_per_second: profile.download_burst.bits_per_second(),
        upload_burst_bits_per_second: profile.upload_burst.bits_per_second(),
        download_threshold_bits_per_second: profile.download_threshold.bits_per_second(),
        upload_threshold_bits_per_second: profile.upload_threshold.bits_per_second(),
        burst_seconds: profile.burst_seconds,
        priority: profile.priority,
        shared_users: profile.shared_users,
        pool: profile.pool.clone(),
        local_address: profile.local_address.clone(),
        address_list: String::new(),
    }
}

/// The profile of a line that is restrained so; `None` where it needs none. Pool and addresses are the open one's, so
/// that a session can change between the two.
#[must_use]
pub fn restrained(kind: &ConnectionType, restraint: Restraint) -> Option<ProfileV1> {
    let name = name(kind.service, &kind.profile_name, restraint)?;
    let open = open(kind);
    match restraint {
        Restraint::Off => None,
        Restraint::Walled => Some(ProfileV1 { name, address_list: WALLED_LIST.to_owned(), ..open }),
        Restraint::Throttled { download, upload } => Some(ProfileV1 {
            name,
            download_bits_per_second: download.bits_per_second(),
            upload_bits_per_second: upload.bits_per_second(),
            download_burst_bits_per_second: 0,
            upload_burst_bits_per_second: 0,
            download_threshold_bits_per_second: 0,
            upload_threshold_bits_per_second: 0,
            burst_seconds: 0,
            ..open
        }),
    }
}

/// All profiles that a line of a plan can come to need, the open one first, each once.
#[must_use]
pub fn of_plan(plan: &Plan) -> Vec<ProfileV1> {
    let kind = &plan.connection_type;
    let mut profiles = vec![open(kind)];
    let restraints = [plan.terms.suspension, plan.terms.after_quota]
        .into_iter()
        .chain(plan.terms.offline.map(|rule| rule.then));
    for profile in restraints.filter_map(|restraint| restrained(kind, restraint)) {
        if !profiles.contains(&profile) {
            profiles.push(profile);
        }
    }
    profiles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans::tests::{home_plan, mbit};

    #[test]
    fn names_follow_from_the_open_one_and_cannot_be_entered() {
        let slow = |download, upload| Restraint::Throttled {
            download: Bandwidth::from_bits_per_second(download),
            upload: Bandwidth::from_bits_per_second(upload),
        };
        let check_of = |service, restraint, expected: Option<&str>| {
            let made = name(service, "home-10", restraint);
            assert_eq!(made.as_deref(), expected);
            assert!(made.is_none_or(|name| is_derived(&name)));
        };
        let check = |restraint, expected| check_of(Service::Pppoe, restraint, expected);
        check(Restraint::Off, None);
        check(Restraint::Walled, Some("home-10-walled"));
        check_of(Service::Static, Restraint::Walled, Some("home-10-walled"));
        check_of(Service::Hotspot, Restraint::Walled, None);
        check_of(Service::Hotspot, slow(1_000_000, 512_000), Some("home-10-slow-1M-512k"));
        check(slow(1_000_000, 512_000), Some("home-10-slow-1M-512k"));
        check(slow(1_500_000, 64_001), Some("home-10-slow-1500k-64001"));
        assert!(!is_derived("home-10") && !is_derived("slow-10"));
    }

    #[test]
    fn a_plan_has_each_profile_that_it_may_need_once() {
        let mut plan = home_plan();
        plan.connection_type.profile.pool = "homes".to_owned();
        let names = |plan: &Plan| of_plan(plan).into_iter().map(|profile| profile.name).collect::<Vec<_>>();
        assert_eq!(names(&plan), ["home-10"]);
        let slow = Restraint::Throttled { download: mbit(1), upload: mbit(1) };
        (plan.terms.suspension, plan.terms.after_quota) = (Restraint::Walled, slow);
        plan.terms.offline = Some(super::super::OfflineRule { after_hours: 48, then: slow });
        assert_eq!(names(&plan), ["home-10", "home-10-walled", "home-10-slow-1M-1M"]);
        let profiles = of_plan(&plan);
        assert_eq!(profiles[1].address_list, "tawi-walled");
        assert_eq!(profiles[1].download_bits_per_second, profiles[0].download_bits_per_second);
        assert_eq!(
            (profiles[2].download_bits_per_second, profiles[2].download_burst_bits_per_second),
            (1_000_000, 0)
        );
        assert!(
            profiles.iter().all(|profile| profile.pool == "homes" && profile.service == profiles[0].service)
        );
        // Whoever is walled in at a hotspot is logged in by no profile.
        plan.connection_type.service = Service::Hotspot;
        assert_eq!(names(&plan), ["home-10", "home-10-slow-1M-1M"]);
    }
}
