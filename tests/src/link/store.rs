//! What a site's store is seen to do, from outside: how much waits on its disk, what it says that it dropped, and what state it
//! holds. What must hold of it at any time is judged here, and told by `checks.rs`.

use tawi_agent::outbox::{Disk, Opening, Overview, StoreHealth};

use crate::carried::Heart;

/// What was seen, and what was wrong of it.
#[derive(Debug, Default)]
pub struct Watched {
    /// The most that may wait on its disk, where that is little.
    pub bound: Option<u64>,
    /// The first thing that did not hold.
    pub wrong: Option<String>,
    /// Totals of sessions that were said to be dropped, by all agents of the site together.
    pub dropped_totals: u64,
    /// What this agent said that it dropped: records, and totals among them.
    dropped: (u64, u64),
    /// The generation that this agent enforces.
    held: u64,
    /// The newest that was said to be safe.
    safe: u64,
    /// Whether the disk had a store on it, takes records, and has more of them than may wait since before this agent; and whether
    /// records wait in memory.
    has_begun: bool,
    is_well: bool,
    is_in_memory: bool,
    is_over: bool,
}

impl Watched {
    /// An agent begins with what is there; whether less of it may be there than was safe.
    pub fn begin(&mut self, opening: &Opening, may_be_less: bool, happened: &mut Vec<&'static str>) {
        (self.dropped, self.is_well, self.is_in_memory, self.is_over) = ((0, 0), false, false, true);
        self.held = opening.state.generation;
        // One whose disk takes nothing begins without it, and finds it later.
        if opening.epoch == 0 {
            happened.push("an agent begins without its disk");
            return;
        }
        if opening.lost.is_some() {
            happened.push("a damaged store is put aside");
        } else if self.has_begun && opening.is_new {
            happened.push("a store is gone");
        } else if self.has_begun && !opening.is_state_whole {
            happened.push("a damaged state is found");
        }
        if self.held < self.safe && !may_be_less {
            self.fails(format!("generation {} was safe, and {} is there", self.safe, self.held));
        }
        (self.safe, self.has_begun) = (self.held, true);
    }

    /// Looks at it between two things that the agent does.
    pub async fn look(&mut self, heart: &Heart, disk: &Disk, happened: &mut Vec<&'static str>) {
        let Ok(overview) = heart.outbox.call(|keeper| keeper.overview()).await else { return };
        let held = heart.state.borrow().generation;
        if held < self.held {
            self.fails(format!("it held generation {}, and holds {held}", self.held));
        }
        self.held = held;
        self.safe = self.safe.max(overview.stored_generation);
        let is_well = overview.health == StoreHealth::Well;
        let was_well = std::mem::replace(&mut self.is_well, is_well);
        self.look_at_drops(&overview, is_well && !was_well, happened);
        if let Some(bound) = self.bound {
            self.look_at_bytes(bound, &overview, disk);
        }
        let is_in_memory = overview.in_memory > 0;
        if is_in_memory != self.is_in_memory {
            self.is_in_memory = is_in_memory;
            happened.push(if is_in_memory { "records wait in memory" } else { "they are put down" });
        }
    }

    /// The log goes first, then events, and totals last.
    fn look_at_drops(&mut self, overview: &Overview, has_recovered: bool, happened: &mut Vec<&'static str>) {
        let (records, totals) = (overview.dropped_records, overview.dropped_totals);
        let (more, more_totals) = (records - self.dropped.0, totals - self.dropped.1);
        self.dropped = (records, totals);
        self.dropped_totals += more_totals;
        if more > more_totals {
            happened.push("records are dropped for others");
        }
        if more_totals > 0 {
            happened.push("totals are dropped, and nothing else is left");
            let (log, events) = (overview.log.pending, overview.events.pending);
            // What a store takes that is well again comes first, and what was noted meanwhile behind it.
            if log + events > 0 && !has_recovered {
                self.fails(format!("totals were dropped before {log} of the log and {events} events"));
            }
        }
    }

    /// What has no position is within the bound, once an agent has put something down: what its disk takes with one commit is
    /// dropped with the next, and the power may go between them. What has a position is at most sixteen records of each lane,
    /// and never dropped.
    fn look_at_bytes(&mut self, bound: u64, overview: &Overview, disk: &Disk) {
        let (pending, sealed) = disk.waiting_bytes();
        self.is_over &= pending > bound;
        if overview.health != StoreHealth::Well {
            return;
        }
        if pending > bound && !self.is_over {
            self.fails(format!("{pending} bytes wait on its disk, and {bound} may"));
        }
        let counted: u64 =
            [overview.events, overview.usage, overview.log].iter().map(|lane| lane.bytes).sum();
        if counted != pending + sealed {
            self.fails(format!("it counts {counted} bytes, and {} wait on its disk", pending + sealed));
        }
    }

    fn fails(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }
}
