//! Whom to believe about the time.
//!
//! Pure: readings in, the time out. "Agree" is [`TOLERANCE`]; nobody is heard who is before the build date. Beside the
//! voices stands what was counted on by the monotonic clock: from the floor at first, then from an anchor, and apart from
//! it from what head office last stood behind (`vouched`). The rules, first that fits first:
//!
//! 1. Head office and another agree: theirs, forward or back, at once. Periods are sold by head office's clock, so that
//!    within the tolerance it is the one that counts.
//! 2. Head office alone: where it agrees with what was counted, unless two others do; where it is behind that, and ahead
//!    of it, as [`ClockState::may_office_take_back`] and [`ClockState::may_office_lead`] say.
//! 3. This machine and a router agree: theirs, never beyond a head office that does not contradict itself; back from what
//!    two have stood behind in this run only when it lasts. Where they are further apart than a minute the earlier counts:
//!    the other would eat up what is paid for. Two that may have been switched off together where the floor is count as
//!    this machine alone, and give way to a head office that lasts.
//! 4. This machine alone: where it goes on from what was counted, and nobody contradicts. Where two have not spoken yet,
//!    whatever is further off than a minute waits for [`PATIENCE`], in which routers are heard.
//! 5. Nobody: what was counted, and it is not trusted.
//!
//! A move forward by rule 3 or 4 stays in doubt until head office stands behind the time; see `doubt.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use tawi_shared::UnixMillis;

use super::doubt::{DOUBTED_BEYOND, LeapInDoubt};

/// How far two sources may differ and still mean the same time: what a machine without a time server drifts in a season,
/// and less than a wrong time zone, month or year.
pub const TOLERANCE: Duration = Duration::from_secs(3_600);

/// How far this machine may be off head office and be followed all the same. A time server keeps it within a second; what
/// is further off would eat up a period of ten minutes.
pub const SKEW: Duration = Duration::from_secs(60);

/// How far machine and router may be off a time that has followed head office, and go on from it all the same: it may be
/// off itself by the tolerance.
const FOLLOWED: Duration = Duration::from_secs(2 * 3_600);

/// For how long somebody must say the same, heard at its begin and at its end, to be followed where others or the past
/// speak against it. A machine that was just started is set right by its time server within two or three minutes.
pub(super) const LASTS: Duration = Duration::from_secs(600);

/// How long after a start this machine alone moves time by no more than [`SKEW`]: a router answers within seconds, a slow
/// one after a power cut is still booting. Who waits is closed a little later, and nobody too early.
const PATIENCE: Duration = Duration::from_secs(30);

/// Routers that are remembered: more than any site has, so that names cannot fill memory.
const ROUTERS_HEARD: usize = 64;

/// Who stands behind the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Head office and this machine agree.
    OfficeAndMachine,
    /// Head office and a router agree.
    OfficeAndRouter,
    /// Head office, and nobody beside it.
    Office,
    /// This machine and a router agree.
    MachineAndRouter,
    /// This machine goes on from what was last known.
    Machine,
    /// Nobody: the monotonic clock carries on.
    Carried,
}

impl Basis {
    /// In words, for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OfficeAndMachine => "head office and this machine's clock agree",
            Self::OfficeAndRouter => "head office and a router agree",
            Self::Office => "head office says so",
            Self::MachineAndRouter => "this machine's clock and a router agree",
            Self::Machine => "this machine's clock goes on from what was last known",
            Self::Carried => "counted on from the last time that was known",
        }
    }

    /// How much later the time may have been that is taken back on this word; less only waits. `None`: never.
    fn takes_back_beyond(self) -> Option<Duration> {
        match self {
            Self::OfficeAndMachine | Self::OfficeAndRouter | Self::Office => Some(SKEW),
            Self::MachineAndRouter => Some(TOLERANCE),
            Self::Machine | Self::Carried => None,
        }
    }
}

/// What the clock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The time to act on. Before an earlier reading only where `taken_back` has grown.
    pub now: UnixMillis,
    /// Whether somebody stands behind it. While `false`, time goes on from the last trusted instant by the monotonic
    /// clock.
    pub is_trusted: bool,
    /// Who.
    pub basis: Basis,
    /// How often time has leapt by more than [`TOLERANCE`], forward or back. What falls due in a leap is not what a
    /// waiting timer would have brought.
    pub leaps: u32,
    /// By how much it was forward the last time; zero where it was back.
    pub leapt_by: Duration,
    /// How often time was taken back.
    pub taken_back: u32,
    /// By how much the last time.
    pub taken_back_by: Duration,
    /// What head office's clock shows, believed or not; `None` until it was heard.
    pub office: Option<UnixMillis>,
    /// The leap that only this machine and a router stand behind.
    pub leap_in_doubt: Option<LeapInDoubt>,
}

/// What somebody says about the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// Who, in words.
    pub who: String,
    /// What that one says it is now.
    pub time: UnixMillis,
}

/// What a restart must know of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptTime {
    /// The latest time that was given out and not taken back.
    pub floor: UnixMillis,
    /// What of it head office stood behind; `None` where nobody noted it, and then all of it.
    pub vouched: Option<UnixMillis>,
    /// The leap that was in doubt.
    pub leap_in_doubt: Option<LeapInDoubt>,
}

/// A time heard from elsewhere, and when it was heard by the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Heard {
    time: UnixMillis,
    elapsed: Duration,
}

impl Heard {
    fn carried_to(self, elapsed: Duration) -> UnixMillis {
        self.time.plus(elapsed.saturating_sub(self.elapsed))
    }
}

/// What somebody says who contradicts what was counted.
#[derive(Clone, Copy, Debug)]
struct Claim {
    /// What was said first, and when.
    first: Heard,
    /// When the same was last heard. One word that is counted on is a single reading, however long ago it was.
    last: Duration,
}

impl Claim {
    fn has_lasted(&self) -> bool {
        self.last.saturating_sub(self.first.elapsed) >= LASTS
    }
}

/// Who stands behind the anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Backing {
    /// Nobody in this run: it is the floor.
    Floor,
    /// This machine. A Pi without a battery starts from where it was switched off, so that its wall and monotonic clocks
    /// agree with each other and are both days late.
    Machine,
    /// Head office alone.
    Office,
    /// Two of them.
    Two,
}

/// A router's time, and for how long it had counted it then without a break; `None` where it did not say.
#[derive(Clone, Copy, Debug)]
struct RouterHeard {
    heard: Heard,
    up: Option<Duration>,
}

/// Somebody beside head office who says something.
#[derive(Clone, Copy, Debug)]
struct Witness {
    time: UnixMillis,
    /// Whether it may only have been switched off where the floor is and have gone on from there. Against head office it
    /// is a weak one then, and so are two that were switched off together.
    may_have_resumed: bool,
}

/// What is said at one moment, as far as it can be true.
struct Said {
    carried: UnixMillis,
    machine: Option<Witness>,
    office: Option<UnixMillis>,
    routers: Vec<Witness>,
}

impl Said {
    fn is_shown_by_machine(&self, time: UnixMillis) -> bool {
        self.machine.is_some_and(|machine| agree(machine.time, time))
    }

    fn is_shown_by_router(&self, time: UnixMillis) -> bool {
        self.routers.iter().any(|router| agree(router.time, time))
    }

    /// The time of this machine and of the router that is nearest to it, where the two agree.
    fn pair(&self) -> Option<Witness> {
        let Witness { time: machine, may_have_resumed } = self.machine?;
        let agreeing = || self.routers.iter().filter(|router| agree(router.time, machine));
        let nearest = agreeing().map(|router| router.time).min_by_key(|router| apart(*router, machine))?;
        let is_close = apart(nearest, machine) <= SKEW;
        Some(Witness {
            time: if is_close { machine } else { machine.min(nearest) },
            may_have_resumed: may_have_resumed && agreeing().all(|router| router.may_have_resumed),
        })
    }

    /// Likewise, of two that were not switched off together.
    fn strong_pair(&self) -> Option<UnixMillis> {
        self.pair().filter(|pair| !pair.may_have_resumed).map(|pair| pair.time)
    }

    /// Head office's, where nobody else says so.
    fn office_alone(&self) -> Option<UnixMillis> {
        self.office.filter(|office| !self.is_shown_by_router(*office) && !self.is_shown_by_machine(*office))
    }
}

/// The decision, as data: feed it readings, it answers with the time.
#[derive(Clone, Debug)]
pub struct ClockState {
    /// Nothing can be before it.
    earliest: UnixMillis,
    /// The last time given out, or the floor that was kept from the last run.
    last: UnixMillis,
    /// From where the monotonic clock carries on: the floor, then a trusted instant. It moves only when a second source
    /// confirms or time leaps, so that many small jumps of one clock count as the large one that they add up to.
    anchor: Heard,
    backing: Backing,
    /// Whether a reading was given out already.
    has_observed: bool,
    /// The floor.
    start: Heard,
    /// What head office last stood behind, also in a run before. It does not go with a leap of others.
    vouched: Heard,
    /// What head office says, where it contradicts alone.
    office_claim: Option<Claim>,
    /// Likewise machine and router.
    pair_claim: Option<Claim>,
    controller: Option<Heard>,
    routers: BTreeMap<String, RouterHeard>,
    leaps: u32,
    leapt_by: Duration,
    taken_back: u32,
    taken_back_by: Duration,
    /// From where moves forward are measured that head office has not stood behind: small ones add up.
    steady: Heard,
    /// The leap that is in doubt, and when it was looked at.
    leap_in_doubt: Option<(LeapInDoubt, Duration)>,
}

impl ClockState {
    /// A clock that starts at monotonic `elapsed` from what was kept; nothing is believed that is before `earliest`.
    #[must_use]
    pub fn new(earliest: UnixMillis, kept: KeptTime, elapsed: Duration) -> Self {
        let floor = kept.floor.max(earliest);
        let start = Heard { time: floor, elapsed };
        let vouched = kept.vouched.map_or(floor, |vouched| vouched.clamp(earliest, floor));
        Self {
            earliest,
            last: floor,
            anchor: start,
            backing: Backing::Floor,
            has_observed: false,
            start,
            vouched: Heard { time: vouched, elapsed },
            office_claim: None,
            pair_claim: None,
            controller: None,
            routers: BTreeMap::new(),
            leaps: 0,
            leapt_by: Duration::ZERO,
            taken_back: 0,
            taken_back_by: Duration::ZERO,
            steady: start,
            leap_in_doubt: kept.leap_in_doubt.map(|leap| (leap, elapsed)),
        }
    }

    /// Goes on from what a run before had kept, where that could be read only now. It counts as if it had been known from
    /// the start; what two have said since stands.
    pub fn join(&mut self, kept: KeptTime, elapsed: Duration) {
        let found = Self::new(self.earliest, kept, self.start.elapsed);
        if self.vouched.elapsed <= self.start.elapsed {
            self.vouched = found.vouched;
            self.join_doubt(&found, elapsed);
        }
        if found.start.time <= self.start.time {
            return;
        }
        self.start = found.start;
        let (time, carried) = (self.start.carried_to(elapsed), self.anchor.carried_to(elapsed));
        if self.backing == Backing::Two || time <= carried {
            return;
        }
        (self.anchor, self.backing) = (self.start, Backing::Floor);
        self.steady = self.start;
        self.last = self.last.max(time);
        if !agree(time, carried) {
            self.leaps = self.leaps.saturating_add(1);
            self.leapt_by = time.since(carried);
        }
    }

    /// Takes the controller's time. It came over a connection with both certificates checked.
    pub fn note_controller(&mut self, time: UnixMillis, elapsed: Duration) {
        self.controller = Some(Heard { time, elapsed });
    }

    /// Takes a router's time, and how long it has been up. It may confirm another and is never followed alone: most routers
    /// have no battery for their clock either.
    pub fn note_router(&mut self, router: &str, time: UnixMillis, up: Option<Duration>, elapsed: Duration) {
        if self.routers.contains_key(router) || self.routers.len() < ROUTERS_HEARD {
            self.routers.insert(router.to_owned(), RouterHeard { heard: Heard { time, elapsed }, up });
        }
    }

    /// Decides what time it is. `elapsed` is the monotonic clock, from any origin that stays the same.
    pub fn observe(&mut self, system: UnixMillis, elapsed: Duration) -> Reading {
        let said = self.said(system, elapsed);
        let contradicts = |time: &UnixMillis| !agree(*time, said.carried);
        let (office, pair) =
            (said.office_alone().filter(contradicts), said.pair().map(|pair| pair.time).filter(contradicts));
        let office_heard = self.controller.map(|heard| heard.elapsed);
        // The machine is read now; what is heard of a pair is its router.
        let pair_heard = pair.and_then(|pair| {
            let heard = self.routers.values().map(|router| router.heard);
            heard.filter(|heard| agree(heard.carried_to(elapsed), pair)).map(|heard| heard.elapsed).max()
        });
        self.office_claim = claim(self.office_claim, office, office_heard, elapsed);
        self.pair_claim = claim(self.pair_claim, pair, pair_heard, elapsed);
        let (time, basis) = self.decide(&said, elapsed);
        self.settle(time, basis, said.carried, elapsed);
        let ahead = self.last.since(time);
        if basis.takes_back_beyond().is_some_and(|most| ahead > most) {
            self.taken_back = self.taken_back.saturating_add(1);
            self.taken_back_by = ahead;
            self.last = time;
        }
        // Time waits for a clock that is late by less.
        self.last = self.last.max(time);
        Reading {
            now: self.last,
            is_trusted: basis != Basis::Carried,
            basis,
            leaps: self.leaps,
            leapt_by: self.leapt_by,
            taken_back: self.taken_back,
            taken_back_by: self.taken_back_by,
            office: self.controller.map(|heard| heard.carried_to(elapsed)),
            leap_in_doubt: self.doubted_at(elapsed),
        }
    }

    /// What a later run must know: the least that it may show, unless that is taken back, and what head office stood
    /// behind. A time that was not believed never raises it: a wrong year must not become the floor.
    #[must_use]
    pub fn kept(&self, elapsed: Duration) -> KeptTime {
        let vouched = self.vouched.carried_to(elapsed).min(self.last);
        KeptTime { floor: self.last, vouched: Some(vouched), leap_in_doubt: self.doubted_at(elapsed) }
    }

    /// What everybody says who was heard.
    #[must_use]
    pub fn voices(&self, system: UnixMillis, elapsed: Duration) -> Vec<Voice> {
        let voice = |who: String, heard: &Heard| Voice { who, time: heard.carried_to(elapsed) };
        let machine = Voice { who: "this machine".to_owned(), time: system };
        let office = self.controller.iter().map(|heard| voice("head office".to_owned(), heard));
        let routers =
            self.routers.iter().map(|(name, router)| voice(format!("router {name}"), &router.heard));
        std::iter::once(machine).chain(office).chain(routers).collect()
    }

    fn doubted_at(&self, elapsed: Duration) -> Option<LeapInDoubt> {
        let (leap, seen) = self.leap_in_doubt?;
        leap.carried_by(elapsed.saturating_sub(seen))
    }

    /// The doubt once time stands here without head office.
    fn doubted_after(&mut self, time: UnixMillis, elapsed: Duration) -> Option<LeapInDoubt> {
        let (before, steady) = (self.doubted_at(elapsed), self.steady.carried_to(elapsed));
        if apart(time, steady) <= DOUBTED_BEYOND {
            return before;
        }
        self.steady = Heard { time, elapsed };
        LeapInDoubt::extended(before, steady, time)
    }

    /// A leap that began before the store was read began from what lay there.
    fn join_doubt(&mut self, found: &Self, elapsed: Duration) {
        let kept = found.doubted_at(elapsed);
        let begun = kept.map_or(found.start.carried_to(elapsed), |leap| leap.counted);
        let doubted = match self.doubted_at(elapsed) {
            Some(leap) => LeapInDoubt::extended(None, begun.max(leap.counted), leap.until),
            None => kept,
        };
        self.leap_in_doubt = doubted.map(|leap| (leap, elapsed));
    }

    fn said(&self, system: UnixMillis, elapsed: Duration) -> Said {
        let possible = |time: &UnixMillis| time.plus(TOLERANCE) >= self.earliest;
        let goes_on = |time: UnixMillis| agree(time, self.start.carried_to(elapsed));
        let routers = self.routers.values().map(|router| {
            let time = router.heard.carried_to(elapsed);
            // One that began to count well before the floor was kept knows how long this machine was off.
            let is_young = |up: Duration| router.heard.time.minus(up).plus(TOLERANCE) >= self.start.time;
            Witness { time, may_have_resumed: goes_on(time) && router.up.is_some_and(is_young) }
        });
        let machine = Witness { time: system, may_have_resumed: goes_on(system) };
        Said {
            carried: self.anchor.carried_to(elapsed),
            machine: Some(machine).filter(|machine| possible(&machine.time)),
            office: self.controller.map(|heard| heard.carried_to(elapsed)).filter(possible),
            routers: routers.filter(|router| possible(&router.time)).collect(),
        }
    }

    fn decide(&self, said: &Said, elapsed: Duration) -> (UnixMillis, Basis) {
        let (carried, pair) = (said.carried, said.strong_pair());
        if let Some(office) = said.office {
            if let Some(machine) =
                said.machine.map(|machine| machine.time).filter(|time| agree(*time, office))
            {
                let is_close = apart(machine, office) <= SKEW;
                return (if is_close { machine } else { office }, Basis::OfficeAndMachine);
            }
            if said.is_shown_by_router(office) {
                return (office, Basis::OfficeAndRouter);
            }
            let is_followed = match agree(office, carried) {
                // Unless two that agree go on from there too.
                true => pair.is_none_or(|pair| apart(pair, carried) > FOLLOWED),
                false if office < carried => self.may_office_take_back(office, said, elapsed),
                false => self.may_office_lead(office, said),
            };
            if is_followed {
                return (office, Basis::Office);
            }
        }
        if let Some(pair) = pair.filter(|pair| self.is_pair_followed(*pair, said, elapsed)) {
            return (pair, Basis::MachineAndRouter);
        }
        let is_unopposed = said.office.is_none_or(|office| office < carried) || self.backing == Backing::Two;
        let weak_pair = said.pair().filter(|pair| pair.may_have_resumed && agree(pair.time, carried));
        if let Some(pair) = weak_pair.filter(|_| is_unopposed) {
            return (pair.time, Basis::Machine);
        }
        let is_contradicted =
            said.office.is_some() || said.routers.iter().any(|router| router.time.plus(TOLERANCE) >= carried);
        let is_early = elapsed.saturating_sub(self.start.elapsed) < PATIENCE;
        let reach = if is_early && self.backing != Backing::Two { SKEW } else { TOLERANCE };
        match said.machine.filter(|machine| apart(machine.time, carried) <= reach) {
            Some(Witness { time: machine, .. }) if self.backing == Backing::Two || !is_contradicted => {
                (machine, Basis::Machine)
            }
            _ => (carried, Basis::Carried),
        }
    }

    /// Whether head office, alone, takes time back. Machine and router that go on from where it last stood outvote it; and
    /// where it says less than that, it has lost its time, and any two outvote it that have not. Where it goes on from
    /// there, others have leapt without it, and it is right at once. Else it must last where two have stood behind the
    /// time in this run, or where it contradicts itself; a floor alone is no witness.
    fn may_office_take_back(&self, office: UnixMillis, said: &Said, elapsed: Duration) -> bool {
        let vouched = self.vouched.carried_to(elapsed);
        let is_astray = self.is_office_astray(office, elapsed);
        let outvotes = |pair: UnixMillis| {
            apart(pair, vouched) <= FOLLOWED || (is_astray && pair.plus(FOLLOWED) >= vouched)
        };
        if said.pair().is_some_and(|pair| outvotes(pair.time)) {
            return false;
        }
        let is_at_once = agree(office, vouched) || (!is_astray && self.backing != Backing::Two);
        is_at_once || has_lasted(self.office_claim)
    }

    /// Whether head office, alone, leads time forward: never against machine and router that agree on less, nor from where
    /// two have stood in this run. A machine or a router that says less is right, unless it is far behind what was counted
    /// and has lost its time. Those that merely go on from the floor may have resumed from there, each or together: head
    /// office need only last.
    fn may_office_lead(&self, office: UnixMillis, said: &Said) -> bool {
        if let Some(pair) = said.strong_pair() {
            return pair > office;
        }
        let says_less =
            |witness: &&Witness| witness.time.plus(TOLERANCE) >= said.carried && witness.time < office;
        let mut who_say_less = said.machine.iter().chain(&said.routers).filter(says_less);
        let is_at_once = who_say_less.clone().next().is_none() && self.backing < Backing::Office;
        let is_known_better = who_say_less.any(|witness| !witness.may_have_resumed);
        self.backing != Backing::Two && !is_known_better && (is_at_once || has_lasted(self.office_claim))
    }

    fn is_pair_followed(&self, pair: UnixMillis, said: &Said, elapsed: Duration) -> bool {
        if agree(pair, said.carried) {
            return true;
        }
        if pair < said.carried {
            return self.backing != Backing::Two || has_lasted(self.pair_claim);
        }
        // A router that is a year ahead and gives this machine its time makes a pair too.
        said.office.is_none_or(|office| office > pair || self.is_office_astray(office, elapsed))
    }

    /// Whether head office says less than what it stood behind.
    fn is_office_astray(&self, office: UnixMillis, elapsed: Duration) -> bool {
        office.plus(TOLERANCE) < self.vouched.carried_to(elapsed)
    }

    /// Moves the anchor, as far as who stands behind the time allows.
    fn settle(&mut self, time: UnixMillis, basis: Basis, carried: UnixMillis, elapsed: Duration) {
        let is_leap = !agree(time, carried);
        let backing = match basis {
            Basis::Carried => None,
            Basis::Machine => (self.backing == Backing::Floor).then_some(Backing::Machine),
            Basis::Office => (is_leap || self.backing < Backing::Office).then_some(Backing::Office),
            Basis::OfficeAndMachine | Basis::OfficeAndRouter | Basis::MachineAndRouter => Some(Backing::Two),
        };
        if let Some(backing) = backing {
            (self.anchor, self.backing) = (Heard { time, elapsed }, backing);
        }
        let doubted = match basis {
            Basis::OfficeAndMachine | Basis::OfficeAndRouter | Basis::Office => {
                self.vouched = Heard { time, elapsed };
                self.steady = self.vouched;
                None
            }
            Basis::MachineAndRouter | Basis::Machine | Basis::Carried => self.doubted_after(time, elapsed),
        };
        self.leap_in_doubt = doubted.map(|leap| (leap, elapsed));
        if is_leap && self.has_observed {
            self.leaps = self.leaps.saturating_add(1);
            self.leapt_by = time.since(carried);
        }
        self.has_observed = true;
    }
}

/// Goes on with what was claimed before where `said` is the same; one that says something else begins anew. It was last
/// `heard` then.
fn claim(
    before: Option<Claim>,
    said: Option<UnixMillis>,
    heard: Option<Duration>,
    elapsed: Duration,
) -> Option<Claim> {
    let (time, last) = (said?, heard?);
    let is_same = |before: &Claim| agree(before.first.carried_to(elapsed), time);
    let first = before.filter(is_same).map_or(Heard { time, elapsed }, |before| before.first);
    Some(Claim { first, last })
}

fn has_lasted(claim: Option<Claim>) -> bool {
    claim.is_some_and(|claim| claim.has_lasted())
}

fn agree(one: UnixMillis, other: UnixMillis) -> bool {
    apart(one, other) <= TOLERANCE
}

fn apart(one: UnixMillis, other: UnixMillis) -> Duration {
    one.since(other).max(other.since(one))
}
