//! Which speed profiles must be written, and what a line can expect of the one that it names.
//!
//! Pure. A profile is ours by its mark; a foreign one of the same name is used when it is as the state wants it, and
//! never written. Services of one family share the router's menu: two profiles of one name that differ are a failure of
//! every line that uses either, because each pass would undo the other's. Queues have no profile on the router; what
//! becomes of theirs is `fixed.rs`.

use std::collections::{BTreeMap, BTreeSet};

use routeros_api::value::{Burst, RateLimit, RouterId, UpDown};
use tawi_shared::Gather as _;
use tawi_shared::wire::{ProfileV1, Service};

use super::{ProfileChange, Scope, UnusedProfile};
use crate::desired::ProfileKey;
use crate::reconcile::actual::{Actual, Family, LoginRows, Menus, ProfileRow};

/// Seconds over which RouterOS averages a client's rate to allow a burst, where the plan says none. RouterOS's default
/// of one second ends a burst before a page has loaded; sixteen is the manual's own example.
const BURST_SECONDS: u64 = 16;
/// The priority of a queue that is served last, and RouterOS's default.
const LAST: u8 = 8;

/// What a line can expect of the profile that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stands, or will be added.
    Stands,
    /// What a running session took over from it is about to change, which the session would not notice.
    Changing,
    /// A foreign row has the name and is not as the state wants it.
    Foreign,
    /// The state has two of this name in one family, and they differ.
    Twofold,
    /// The state does not define it.
    Unknown,
}

/// What is to be expected of each profile that this pass needs.
pub(super) struct Verdicts<'a>(BTreeMap<(Service, &'a str), Verdict>);

impl<'a> Verdicts<'a> {
    /// Judges the profiles that this pass needs, and adds what must change to `changes`. A full check needs all of the
    /// state, so that the first customer of a new plan does not wait for its profile.
    pub(super) fn of(scope: &Scope<'a>, actual: &Actual, changes: &mut Vec<ProfileChange>) -> Self {
        let named = scope.wanted.iter().filter_map(|wanted| {
            Some((wanted.service, super::profile_for(wanted.service, wanted.state, wanted.line)?))
        });
        let all = scope.profiles.keys().filter(|_| scope.all_lines.is_some());
        let all =
            all.filter_map(|(code, name)| Service::from_code(*code).map(|service| (service, name.as_str())));
        let needed: BTreeSet<(Service, &'a str)> = named.chain(all).into_set();
        let twofold = twofold(scope.profiles.iter().map(|(key, profile)| (key, &profile.item)));
        let mut written = BTreeSet::new();
        let mut verdicts = BTreeMap::new();
        for (service, name) in needed {
            let family = Family::of(service);
            let wanted = scope.profiles.get(&(service.code(), name.to_owned()));
            let rows = actual.logins.get(&family).filter(|rows| rows.unavailable.is_none());
            let verdict = match (wanted, rows, family.logins()) {
                (None, ..) => Verdict::Unknown,
                _ if twofold.contains(&(family, name)) => Verdict::Twofold,
                (Some(wanted), Some(rows), Some(menus)) if rows.has_profiles => {
                    let (verdict, change) = judge(menus, family, &wanted.item, rows, scope.template);
                    changes.extend(change.filter(|_| written.insert((family, name))));
                    verdict
                }
                _ => Verdict::Stands,
            };
            verdicts.insert((service, name), verdict);
        }
        Self(verdicts)
    }

    pub(super) fn of_line(&self, service: Service, name: &str) -> Verdict {
        self.0.get(&(service, name)).copied().unwrap_or(Verdict::Unknown)
    }
}

/// Names that stand for two things in one menu of the router.
fn twofold<'a>(
    profiles: impl Iterator<Item = (&'a ProfileKey, &'a ProfileV1)>,
) -> BTreeSet<(Family, &'a str)> {
    let mut first: BTreeMap<(Family, &str), &ProfileV1> = BTreeMap::new();
    let mut twofold = BTreeSet::new();
    for (key, profile) in profiles {
        let Some(family) = Family::of_code(key.0).filter(|family| family.logins().is_some()) else {
            continue;
        };
        let of_first = *first.entry((family, key.1.as_str())).or_insert(profile);
        if (ProfileV1 { service: 0, ..of_first.clone() }) != (ProfileV1 { service: 0, ..profile.clone() }) {
            twofold.insert((family, key.1.as_str()));
        }
    }
    twofold
}

fn judge(
    menus: &Menus,
    family: Family,
    wanted: &ProfileV1,
    rows: &LoginRows,
    template: &str,
) -> (Verdict, Option<ProfileChange>) {
    let named = |name: &str| rows.profiles.iter().find(|row| row.name.as_deref() == Some(name));
    let Some(row) = named(&wanted.name) else {
        let mut values = vec![("rate-limit", rate_limit_text(wanted))];
        values.extend(explicit(menus, wanted).into_iter().map(|(name, value, _)| (name, value)));
        let (property, mark) = menus.profile_mark;
        values.push((property, mark.to_owned()));
        return (Verdict::Stands, Some(change(family, wanted, None, values, false)));
    };
    let differs = differences(menus, wanted, row, named(template));
    if differs.is_empty() {
        return (Verdict::Stands, None);
    }
    if !row.is_ours {
        return (Verdict::Foreign, None);
    }
    let is_felt = differs.is_felt;
    let change = change(family, wanted, Some(row.id.clone()), differs.values, is_felt);
    (if is_felt { Verdict::Changing } else { Verdict::Stands }, Some(change))
}

fn change(
    family: Family,
    wanted: &ProfileV1,
    id: Option<RouterId>,
    values: Vec<(&'static str, String)>,
    is_felt: bool,
) -> ProfileChange {
    ProfileChange { family, name: wanted.name.clone(), id, values, is_felt }
}

/// Whether a profile is on the router as it is wanted.
#[must_use]
pub fn stands(family: Family, wanted: &ProfileV1, rows: &LoginRows, template: &str) -> bool {
    let named = |name: &str| rows.profiles.iter().find(|row| row.name.as_deref() == Some(name));
    family
        .logins()
        .zip(named(&wanted.name))
        .is_some_and(|(menus, row)| differences(menus, wanted, row, named(template)).is_empty())
}

/// PPP profiles of the state by which nobody gets an address, as they are or will be on the router. A line may have one of
/// its own. That of the router itself is not judged: a row may have one that is not read.
pub fn without_addresses<'a>(
    profiles: impl Iterator<Item = &'a ProfileV1>,
    rows: &LoginRows,
    template: &str,
) -> BTreeSet<String> {
    let named = |name: &str| rows.profiles.iter().find(|row| row.name.as_deref() == Some(name));
    // The remains of a pool that was deleted begin with an asterisk.
    let gives = |row: &ProfileRow| row.pool.as_deref().is_some_and(|pool| !pool.starts_with('*'));
    let is_lacking = |wanted: &&ProfileV1| {
        let own = named(&wanted.name);
        let follows = own.is_none_or(|row| row.is_ours);
        wanted.pool.is_empty()
            && !own.is_some_and(gives)
            && !named(template).filter(|_| follows).is_some_and(gives)
    };
    let of_ppp = profiles.filter(|wanted| Family::of_code(wanted.service) == Some(Family::Ppp));
    of_ppp.filter(is_lacking).map(|wanted| wanted.name.clone()).into_set()
}

#[derive(Default)]
struct Differences {
    values: Vec<(&'static str, String)>,
    /// Whether sessions that run were made with something else.
    is_felt: bool,
}

impl Differences {
    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// What the plan says of itself, with the value that the row has it as. Empty and 0 say nothing.
fn explicit(menus: &Menus, wanted: &ProfileV1) -> Vec<(&'static str, String, Asked)> {
    let mut explicit = Vec::new();
    if !wanted.pool.is_empty() {
        explicit.push((menus.pool, wanted.pool.clone(), Asked::Pool));
    }
    if let Some(property) = menus.local_address.filter(|_| !wanted.local_address.is_empty()) {
        explicit.push((property, wanted.local_address.clone(), Asked::LocalAddress));
    }
    if !wanted.address_list.is_empty() {
        explicit.push(("address-list", wanted.address_list.clone(), Asked::AddressList));
    }
    if wanted.shared_users > 0 {
        let value = match (menus.sharing, wanted.shared_users) {
            // PPP knows once and any number of times.
            ("only-one", 1) => "yes".to_owned(),
            ("only-one", _) => "no".to_owned(),
            (_, users) => users.to_string(),
        };
        explicit.push((menus.sharing, value, Asked::Sharing));
    }
    explicit
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Pool,
    LocalAddress,
    AddressList,
    Sharing,
}

impl Asked {
    fn of(self, row: &ProfileRow) -> Option<&str> {
        match self {
            Self::Pool => row.pool.as_deref(),
            Self::LocalAddress => row.local_address.as_deref(),
            Self::AddressList => row.address_list.as_deref(),
            Self::Sharing => row.sharing.as_deref(),
        }
    }
}

fn differences(
    menus: &Menus,
    wanted: &ProfileV1,
    row: &ProfileRow,
    template: Option<&ProfileRow>,
) -> Differences {
    let mut differs = Differences::default();
    if row.limit != Some(rate_limit_of(wanted)) {
        differs.values.push(("rate-limit", rate_limit_text(wanted)));
        differs.is_felt = true;
    }
    let explicit = explicit(menus, wanted);
    for (name, value, asked) in &explicit {
        if asked.of(row) != Some(value) {
            differs.values.push((name, value.clone()));
            differs.is_felt |= *asked == Asked::AddressList;
        }
    }
    if !row.is_ours {
        return differs;
    }
    let is_silent = |asked: Asked| !explicit.iter().any(|(.., said)| *said == asked);
    if is_silent(Asked::AddressList) && row.address_list.is_some() {
        differs.values.push(("address-list", String::new()));
        differs.is_felt = true;
    }
    // What the plan leaves open is as the profile has it that new ones are made from. One that says nothing takes nothing
    // away: without addresses in its profile nobody can dial in, and whoever emptied the template saw no line of ours.
    let Some(template) = template else { return differs };
    let from_template = [
        (Some(menus.pool), Asked::Pool),
        (menus.local_address, Asked::LocalAddress),
        (Some(menus.sharing), Asked::Sharing),
    ];
    for (name, asked) in from_template {
        let Some(name) = name.filter(|_| is_silent(asked) && asked.of(row) != asked.of(template)) else {
            continue;
        };
        match asked.of(template) {
            // The remains of a pool that was deleted.
            Some(dangling) if dangling.starts_with('*') => {}
            Some(value) => differs.values.push((name, value.to_owned())),
            // Without a pool a hotspot leaves devices the address that they have, which is how most hotspots are.
            None if name == "address-pool" => differs.values.push((name, "none".to_owned())),
            None => {}
        }
    }
    differs
}

fn rate_limit_text(profile: &ProfileV1) -> String {
    rate_limit_of(profile).map(|limit| limit.to_string()).unwrap_or_default()
}

/// Profiles of ours that the state does not know and no row uses.
pub(super) fn unused(family: Family, rows: &LoginRows, scope: &Scope<'_>, unused: &mut Vec<UnusedProfile>) {
    let used: BTreeSet<&str> = rows.users.iter().filter_map(|row| row.profile.as_deref()).into_set();
    let known: BTreeSet<&str> = scope
        .profiles
        .keys()
        .filter(|(code, _)| Family::of_code(*code).is_none_or(|of| of == family))
        .map(|(_, name)| name.as_str())
        .into_set();
    for row in rows.profiles.iter().filter(|row| row.is_ours) {
        let Some(name) = row.name.as_deref() else { continue };
        if !known.contains(name) && !used.contains(name) {
            unused.push(UnusedProfile { family, id: row.id.clone() });
        }
    }
}

/// The router's rate limit of a profile, upload first; `None` for no limit at all. A burst that is not above the rate
/// of its direction is none.
#[must_use]
pub fn rate_limit_of(profile: &ProfileV1) -> Option<RateLimit> {
    let rate = UpDown { upload: profile.upload_bits_per_second, download: profile.download_bits_per_second };
    if rate == UpDown::both(0) {
        return None;
    }
    let mut limit = RateLimit::plain(rate);
    limit.priority = u8::try_from(profile.priority).ok().filter(|of| (1..=LAST).contains(of)).unwrap_or(LAST);
    let is_burst = |burst: u64, rate: u64| rate > 0 && burst > rate;
    let upload_bursts = is_burst(profile.upload_burst_bits_per_second, rate.upload);
    let download_bursts = is_burst(profile.download_burst_bits_per_second, rate.download);
    if upload_bursts || download_bursts {
        let (upload_burst, download_burst) =
            (profile.upload_burst_bits_per_second, profile.download_burst_bits_per_second);
        let threshold = |said: u64, rate: u64| if said == 0 { rate } else { said };
        limit.burst = Some(Burst {
            bits_per_second: UpDown {
                upload: if upload_bursts { upload_burst } else { rate.upload },
                download: if download_bursts { download_burst } else { rate.download },
            },
            threshold_bits_per_second: UpDown {
                upload: threshold(profile.upload_threshold_bits_per_second, rate.upload),
                download: threshold(profile.download_threshold_bits_per_second, rate.download),
            },
            seconds: UpDown::both(match profile.burst_seconds {
                0 => BURST_SECONDS,
                seconds => u64::from(seconds),
            }),
        });
    }
    Some(limit)
}
