//! What a power cut, a factory reset and another board in its place leave: changes of [`State`] alone.
//!
//! After a boot the clock stands in 1970 unless the NTP client is enabled, rows that live in memory are gone, and
//! their ids start over, so that an `.id` that was read before means something else. What was on flash stays. What
//! ends a session otherwise is [`crate::sessions`].

use super::State;
use crate::clock::Moment;
use crate::journal;
use crate::preload::{self, Contents};
use crate::trap::Trap;
use crate::values::Value;

const NTP: &str = "system/ntp/client";
/// What belongs to the board and not to its configuration.
const FACTS_OF_THE_BOARD: &[(&str, &str)] = &[
    ("system/license", "nlevel"),
    ("system/device-mode", "mode"),
    ("system/device-mode", "container"),
    ("system/device-mode", "hotspot"),
    ("system/device-mode", "fetch"),
    ("system/device-mode", "scheduler"),
    ("system/device-mode", "pptp"),
    ("system/device-mode", "l2tp"),
    ("system/resource", "write-sect-total"),
    ("system/resource", "free-hdd-space"),
    ("system/resource", "bad-blocks"),
];

/// How a router loses its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    /// `/system/reset-configuration`: the same board.
    Configuration {
        /// Whether users and groups stay.
        keep_users: bool,
    },
    /// Another board of the same model: another serial number and licence.
    Board,
}

impl State {
    /// The power goes now and is back after `down_ms`.
    pub(crate) fn reboot(&mut self, down_ms: u64, now: Moment) {
        self.lose_power(now);
        self.engine.forget_memory();
        let at_boot = self.boot(down_ms, now);
        let line = "router was rebooted without proper shutdown";
        journal::write(&mut self.engine, "system,error,critical", line, at_boot);
        self.engine.take_changes();
    }

    /// Everything configured goes, and the router boots.
    pub(crate) fn reset(&mut self, how: Reset, down_ms: u64, now: Moment) -> Result<(), Trap> {
        let contents = match how {
            Reset::Configuration { keep_users } => {
                Contents::Factory { users_of: keep_users.then_some(&self.engine) }
            }
            Reset::Board => Contents::Factory { users_of: None },
        };
        let board = match how {
            Reset::Configuration { .. } => self.board,
            Reset::Board => self.board.saturating_add(1),
        };
        let mut engine = preload::furnished(&self.settings, self.ports, board, contents, now)?;
        if let Reset::Configuration { .. } = how {
            engine.keep_facts_of(&self.engine, FACTS_OF_THE_BOARD);
            engine.keep_packages_of(&self.engine);
        }
        self.lose_power(now);
        self.engine = engine;
        self.board = board;
        // Bindings went with the configuration; nobody is in who could be dropped.
        let _nobody = self.sessions.follow_bindings(&mut self.engine, now);
        let at_boot = self.boot(down_ms, now);
        journal::write(&mut self.engine, "system,info", "router was reset to its defaults", at_boot);
        self.engine.take_changes();
        Ok(())
    }

    fn lose_power(&mut self, now: Moment) {
        for device in self.sessions.lose_power(&mut self.engine, now) {
            self.drop_device(&device);
        }
        self.listeners.clear();
        // Their rows in `/user/active` are gone, and nobody is left to log them out.
        self.connections.values_mut().for_each(|connection| connection.user = None);
    }

    /// Starts uptime and clock anew; both clocks at the moment of the boot.
    fn boot(&mut self, down_ms: u64, now: Moment) -> Moment {
        let right_now_ms = now.unix_ms.saturating_sub(self.clock_shift_ms());
        let right_ms = right_now_ms.saturating_add(i64::try_from(down_ms).unwrap_or(i64::MAX));
        self.booted_ms = now.monotonic_ms.saturating_add(down_ms);
        self.busy_until_ms = 0;
        let boot = self.booted_ms;
        if let Some(id) = self.engine.single("system/resource") {
            self.engine.measure("system/resource", id, "uptime", |value| *value = Value::Since(boot));
            self.engine
                .measure("system/resource", id, "write-sect-since-reboot", |value| *value = Value::Count(0));
        }
        let knows_the_time = self.engine.single_text(NTP, "enabled") == b"true";
        self.clock_offset_ms = if knows_the_time { 0 } else { right_ms.saturating_neg() };
        Moment { monotonic_ms: boot, unix_ms: right_ms.saturating_add(self.clock_shift_ms()) }
    }

    /// By how much the router's wall clock is wrong: since its last boot, or as a fault.
    pub(crate) fn clock_shift_ms(&self) -> i64 {
        self.faults.clock_shift_ms.saturating_add(self.clock_offset_ms)
    }

    /// The NTP client puts the clock right once it is enabled.
    pub(super) fn synchronise(&mut self) {
        if self.engine.single_text(NTP, "enabled") == b"true" {
            self.clock_offset_ms = 0;
        }
    }

    /// Sets the clock to what `/system/clock/set` says, until the NTP client knows better.
    pub(super) fn set_clock(&mut self, wanted_unix_ms: i64, now: Moment) {
        let change_ms = wanted_unix_ms.saturating_sub(now.unix_ms);
        self.clock_offset_ms = self.clock_offset_ms.saturating_add(change_ms);
        self.synchronise();
    }
}
