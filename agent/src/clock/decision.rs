//! Whom to believe about the time.
//!
//! Pure: readings in, the time out. The rules, first that fits first; "agree" is [`TOLERANCE`], and nobody is heard who
//! is before the build date:
//!
//! 1. Head office and another agree: theirs, forward or back. Periods are sold by head office's clock, so that within the
//!    tolerance it is the one that counts.
//! 2. Head office alone is at or before the time that was carried on: its own. What is not over there is over nowhere; so
//!    a wrong floor locks nobody out, and going back expires nobody.
//! 3. This machine and a router agree: theirs, forward or back, and never later than what head office says.
//! 4. Head office alone is ahead: believed by a run that has nothing better, when nobody who may be right says less.
//!    A wrong clock there therefore expires nobody where a machine or a router is right.
//! 5. This machine alone: where it goes on from the floor or from what was believed, and no router contradicts.
//! 6. Nobody: time goes on from the floor or the last believed instant by the monotonic clock, and is not trusted.

use std::collections::BTreeMap;
use std::time::Duration;

use tawi_shared::UnixMillis;

/// How far two sources may differ and still mean the same time: what a machine without a time server drifts in a season,
/// and less than a wrong time zone, month or year.
pub const TOLERANCE: Duration = Duration::from_secs(3_600);

/// How far this machine may be off head office and be followed all the same. A time server keeps it within a second; what
/// is further off would eat up a period of ten minutes.
const SKEW: Duration = Duration::from_secs(60);

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
    /// How often time was taken back.
    pub taken_back: u32,
    /// By how much the last time.
    pub taken_back_by: Duration,
    /// What head office's clock shows, believed or not; `None` until it was heard.
    pub office: Option<UnixMillis>,
}

/// What somebody says about the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// Who, in words.
    pub who: String,
    /// What that one says it is now.
    pub time: UnixMillis,
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

/// The decision, as data: feed it readings, it answers with the time.
#[derive(Clone, Debug)]
pub struct ClockState {
    /// Nothing can be before it.
    earliest: UnixMillis,
    /// The last time given out, or the floor that was kept from the last run.
    last: UnixMillis,
    /// A trusted instant from which the monotonic clock carries on. It moves only when a second source confirms, so
    /// that many small jumps of the machine's clock count as the large one that they add up to.
    anchor: Option<Heard>,
    /// Whether more than this machine ever stood behind the anchor. A Pi without a battery starts from where it was
    /// switched off, so that its wall and monotonic clocks agree with each other and are both days late.
    is_anchor_confirmed: bool,
    /// Whether a reading was given out already.
    has_observed: bool,
    /// Where time is carried from until there is an anchor: the floor.
    start: Heard,
    controller: Option<Heard>,
    routers: BTreeMap<String, Heard>,
    leaps: u32,
    taken_back: u32,
    taken_back_by: Duration,
}

impl ClockState {
    /// A clock that starts at monotonic `elapsed` from `floor`; nothing is believed that is before `earliest`.
    #[must_use]
    pub fn new(earliest: UnixMillis, floor: UnixMillis, elapsed: Duration) -> Self {
        let floor = floor.max(earliest);
        Self {
            earliest,
            last: floor,
            anchor: None,
            is_anchor_confirmed: false,
            has_observed: false,
            start: Heard { time: floor, elapsed },
            controller: None,
            routers: BTreeMap::new(),
            leaps: 0,
            taken_back: 0,
            taken_back_by: Duration::ZERO,
        }
    }

    /// Takes the controller's time. It came over a connection with both certificates checked.
    pub fn note_controller(&mut self, time: UnixMillis, elapsed: Duration) {
        self.controller = Some(Heard { time, elapsed });
    }

    /// Takes a router's time. It may confirm another and is never followed alone: most routers have no battery for their
    /// clock either.
    pub fn note_router(&mut self, router: &str, time: UnixMillis, elapsed: Duration) {
        if self.routers.contains_key(router) || self.routers.len() < ROUTERS_HEARD {
            self.routers.insert(router.to_owned(), Heard { time, elapsed });
        }
    }

    /// Decides what time it is. `elapsed` is the monotonic clock, from any origin that stays the same.
    pub fn observe(&mut self, system: UnixMillis, elapsed: Duration) -> Reading {
        let (time, basis) = self.decide(system, elapsed);
        let is_first = self.anchor.is_none();
        match basis {
            Basis::Carried => {}
            Basis::Machine if is_first => self.anchor = Some(Heard { time, elapsed }),
            Basis::Machine => {}
            Basis::OfficeAndMachine | Basis::OfficeAndRouter | Basis::Office | Basis::MachineAndRouter => {
                self.settle(time, elapsed);
            }
        }
        self.has_observed = true;
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
            taken_back: self.taken_back,
            taken_back_by: self.taken_back_by,
            office: self.controller.map(|heard| heard.carried_to(elapsed)),
        }
    }

    /// The least that a later run may show, unless it is taken back. A time that was not believed never raises it: a
    /// wrong year must not become the floor.
    #[must_use]
    pub fn floor(&self) -> UnixMillis {
        self.last
    }

    /// What everybody says who was heard.
    #[must_use]
    pub fn voices(&self, system: UnixMillis, elapsed: Duration) -> Vec<Voice> {
        let voice = |who: String, heard: &Heard| Voice { who, time: heard.carried_to(elapsed) };
        let machine = Voice { who: "this machine".to_owned(), time: system };
        let office = self.controller.iter().map(|heard| voice("head office".to_owned(), heard));
        let routers = self.routers.iter().map(|(name, heard)| voice(format!("router {name}"), heard));
        std::iter::once(machine).chain(office).chain(routers).collect()
    }

    fn decide(&self, system: UnixMillis, elapsed: Duration) -> (UnixMillis, Basis) {
        let carried = self.carried_to(elapsed);
        let possible = |time: &UnixMillis| time.plus(TOLERANCE) >= self.earliest;
        let machine = Some(system).filter(possible);
        let office = self.controller.map(|heard| heard.carried_to(elapsed)).filter(possible);
        let routers = self.routers.values().map(|heard| heard.carried_to(elapsed));
        let routers: Vec<UnixMillis> = routers.filter(possible).collect();
        let is_shown_by_router = |time: UnixMillis| routers.iter().any(|router| agree(*router, time));
        let pair = machine.filter(|machine| is_shown_by_router(*machine));
        if let Some(office) = office {
            if let Some(machine) = machine.filter(|machine| agree(*machine, office)) {
                let is_close = apart(machine, office) <= SKEW;
                return (if is_close { machine } else { office }, Basis::OfficeAndMachine);
            }
            if is_shown_by_router(office) {
                return (office, Basis::OfficeAndRouter);
            }
            if office <= carried.plus(TOLERANCE) || pair.is_some_and(|pair| pair > office) {
                return (office, Basis::Office);
            }
        }
        if let Some(pair) = pair {
            return (pair, Basis::MachineAndRouter);
        }
        // Whoever is far behind what was believed has lost its time, and is no witness.
        let is_witness = |time: &UnixMillis| time.plus(TOLERANCE) >= carried;
        if let Some(office) = office.filter(|_| !self.is_anchor_confirmed) {
            let says_less = |time: &UnixMillis| is_witness(time) && *time < office;
            if !machine.iter().chain(&routers).any(says_less) {
                return (office, Basis::Office);
            }
        }
        let is_contradicted = office.is_some() || routers.iter().any(is_witness);
        match machine.filter(|machine| agree(*machine, carried)) {
            Some(machine) if self.is_anchor_confirmed || !is_contradicted => (machine, Basis::Machine),
            _ => (carried, Basis::Carried),
        }
    }

    fn carried_to(&self, elapsed: Duration) -> UnixMillis {
        self.anchor.unwrap_or(self.start).carried_to(elapsed)
    }

    /// Takes a time that more than this machine stands behind.
    fn settle(&mut self, time: UnixMillis, elapsed: Duration) {
        if self.has_observed && !agree(time, self.carried_to(elapsed)) {
            self.leaps = self.leaps.saturating_add(1);
        }
        self.anchor = Some(Heard { time, elapsed });
        self.is_anchor_confirmed = true;
    }
}

fn agree(one: UnixMillis, other: UnixMillis) -> bool {
    apart(one, other) <= TOLERANCE
}

fn apart(one: UnixMillis, other: UnixMillis) -> Duration {
    one.since(other).max(other.since(one))
}
