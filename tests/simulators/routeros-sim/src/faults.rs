//! How the router misbehaves on request.
//!
//! A value only; who looks at it says so in its own header. A change names what it changes and leaves
//! the rest.

use serde::{Deserialize, Serialize};

use crate::request::Request;

/// The longest latency that can be asked for; beyond it a stall says the same.
const LONGEST_MS: u64 = 600_000;

/// The misbehaviour in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Milliseconds that every command takes on its way, beside those of others.
    pub latency_ms: u64,
    /// Connections are accepted and commands swallowed, and nothing is answered.
    pub stall: bool,
    /// The ports refuse new connections.
    pub refuse_connections: bool,
    /// After this many more bytes the connection that sends them is cut, mid-sentence; zero is never.
    pub drop_after_bytes: u64,
    /// This many further writes are acknowledged and not done.
    pub ignore_writes: u64,
    /// Every write to this menu is acknowledged and not done; empty is no menu.
    pub ignore_writes_menu: String,
    /// Every write that gives this property a value, or takes it away, is refused; empty is none.
    pub refuse_argument: String,
    /// Every write to this menu is refused; empty is no menu.
    pub refuse_writes_menu: String,
    /// Milliseconds that every command keeps the processor from all others.
    pub serial_ms: u64,
    /// Milliseconds that every write keeps the processor besides: a board that takes so many writes a second.
    pub write_ms: u64,
    /// Milliseconds by which the router's wall clock is wrong.
    pub clock_shift_ms: i64,
    /// Percent that `/system/resource` shows as `cpu-load`; zero is what it really is.
    pub cpu_load: u64,
    /// Listens stay open and tell nothing.
    pub silent_listens: bool,
    /// Limits of bytes are kept in 32 bits: what is above is lost.
    pub narrow_limits: bool,
    /// This many further prints are answered with a trap.
    pub trap_prints: u64,
    /// Every print of this menu is answered with a trap; empty is no menu.
    pub trap_prints_menu: String,
}

/// A change of [`Faults`]: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultsChange {
    /// See [`Faults::latency_ms`].
    pub latency_ms: Option<u64>,
    /// See [`Faults::stall`].
    pub stall: Option<bool>,
    /// See [`Faults::refuse_connections`].
    pub refuse_connections: Option<bool>,
    /// See [`Faults::drop_after_bytes`].
    pub drop_after_bytes: Option<u64>,
    /// See [`Faults::ignore_writes`].
    pub ignore_writes: Option<u64>,
    /// See [`Faults::ignore_writes_menu`].
    pub ignore_writes_menu: Option<String>,
    /// See [`Faults::refuse_argument`].
    pub refuse_argument: Option<String>,
    /// See [`Faults::refuse_writes_menu`].
    pub refuse_writes_menu: Option<String>,
    /// See [`Faults::serial_ms`].
    pub serial_ms: Option<u64>,
    /// See [`Faults::write_ms`].
    pub write_ms: Option<u64>,
    /// See [`Faults::clock_shift_ms`].
    pub clock_shift_ms: Option<i64>,
    /// See [`Faults::cpu_load`].
    pub cpu_load: Option<u64>,
    /// See [`Faults::silent_listens`].
    pub silent_listens: Option<bool>,
    /// See [`Faults::narrow_limits`].
    pub narrow_limits: Option<bool>,
    /// See [`Faults::trap_prints`].
    pub trap_prints: Option<u64>,
    /// See [`Faults::trap_prints_menu`].
    pub trap_prints_menu: Option<String>,
}

/// Why a change of faults is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultsError {
    /// Longer than anyone waits.
    #[error("{name} is at most {LONGEST_MS} ms; use \"stall\": true for a router that never answers")]
    TooLong {
        /// The field.
        name: &'static str,
    },
    /// More than all of the processor.
    #[error("cpu_load is a percentage, so at most 100; 0 shows the true load")]
    TooBusy,
    /// Not a menu of the router.
    #[error("there is no menu `{0}`; name one like ppp/secret, or \"\" for none")]
    NoSuchMenu(String),
}

impl Faults {
    /// These faults with a change made.
    ///
    /// # Errors
    /// [`FaultsError`] names the field and the cure.
    pub fn changed(mut self, change: FaultsChange) -> Result<Self, FaultsError> {
        for (name, value) in [
            ("latency_ms", change.latency_ms),
            ("serial_ms", change.serial_ms),
            ("write_ms", change.write_ms),
        ] {
            if value.is_some_and(|ms| ms > LONGEST_MS) {
                return Err(FaultsError::TooLong { name });
            }
        }
        if change.cpu_load.is_some_and(|percent| percent > 100) {
            return Err(FaultsError::TooBusy);
        }
        let menus = [
            (change.ignore_writes_menu, &mut self.ignore_writes_menu),
            (change.refuse_writes_menu, &mut self.refuse_writes_menu),
            (change.trap_prints_menu, &mut self.trap_prints_menu),
        ];
        for (wanted, held) in menus {
            let Some(menu) = wanted.map(|menu| menu.trim_matches('/').to_owned()) else { continue };
            if !menu.is_empty() && !crate::tables::menus().any(|known| known.path == menu) {
                return Err(FaultsError::NoSuchMenu(menu));
            }
            *held = menu;
        }
        self.refuse_argument = change.refuse_argument.unwrap_or(self.refuse_argument);
        self.latency_ms = change.latency_ms.unwrap_or(self.latency_ms);
        self.stall = change.stall.unwrap_or(self.stall);
        self.refuse_connections = change.refuse_connections.unwrap_or(self.refuse_connections);
        self.drop_after_bytes = change.drop_after_bytes.unwrap_or(self.drop_after_bytes);
        self.ignore_writes = change.ignore_writes.unwrap_or(self.ignore_writes);
        self.serial_ms = change.serial_ms.unwrap_or(self.serial_ms);
        self.write_ms = change.write_ms.unwrap_or(self.write_ms);
        self.clock_shift_ms = change.clock_shift_ms.unwrap_or(self.clock_shift_ms);
        self.cpu_load = change.cpu_load.unwrap_or(self.cpu_load);
        self.silent_listens = change.silent_listens.unwrap_or(self.silent_listens);
        self.narrow_limits = change.narrow_limits.unwrap_or(self.narrow_limits);
        self.trap_prints = change.trap_prints.unwrap_or(self.trap_prints);
        Ok(self)
    }

    /// Whether a print of `menu` is answered with a trap; takes one of the counted ones.
    pub fn traps_print(&mut self, menu: &str) -> bool {
        if !self.trap_prints_menu.is_empty() && self.trap_prints_menu == menu {
            return true;
        }
        let traps = self.trap_prints > 0;
        self.trap_prints = self.trap_prints.saturating_sub(1);
        traps
    }

    /// The words of a write as a router understands them that keeps limits of bytes in 32 bits.
    pub(crate) fn narrowed(&self, request: &Request) -> Option<Request> {
        let is_limit = |name: &[u8]| self.narrow_limits && name.starts_with(b"limit-bytes-");
        let mut narrowed = request.clone();
        let mut is_narrowed = false;
        for (_, value) in narrowed.arguments.iter_mut().filter(|(name, _)| is_limit(name)) {
            let Some(bytes) = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok())
            else {
                continue;
            };
            *value = (bytes & u64::from(u32::MAX)).to_string().into_bytes();
            is_narrowed = true;
        }
        is_narrowed.then_some(narrowed)
    }

    /// Why a write is refused: for its menu, or for one of its arguments.
    pub(crate) fn refuses(&self, request: &Request) -> Option<String> {
        if !self.refuse_writes_menu.is_empty() && self.refuse_writes_menu == request.menu {
            return Some(format!("failure: {} cannot be changed", request.menu));
        }
        let refused = self.refuse_argument.as_bytes();
        let is_it = |(name, value): &(Vec<u8>, Vec<u8>)| {
            name == refused || (name == b"value-name" && value == refused)
        };
        let is_refused = !refused.is_empty() && request.arguments.iter().any(is_it);
        is_refused.then(|| format!("failure: invalid value of {}", self.refuse_argument))
    }

    /// Whether a write to `menu` is only acknowledged; takes one of the counted ones.
    pub fn swallows_write(&mut self, menu: &str) -> bool {
        if !self.ignore_writes_menu.is_empty() && self.ignore_writes_menu == menu {
            return true;
        }
        let swallows = self.ignore_writes > 0;
        self.ignore_writes = self.ignore_writes.saturating_sub(1);
        swallows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let slow =
            Faults::default().changed(FaultsChange { latency_ms: Some(40), ..FaultsChange::default() });
        let both =
            slow.unwrap().changed(FaultsChange { stall: Some(true), ..FaultsChange::default() }).unwrap();
        assert_eq!((both.latency_ms, both.stall), (40, true));
    }

    #[test]
    fn a_change_that_makes_no_sense_is_refused() {
        let long = FaultsChange { serial_ms: Some(LONGEST_MS + 1), ..FaultsChange::default() };
        assert!(Faults::default().changed(long).is_err());
        let menu = FaultsChange { ignore_writes_menu: Some("ppp/sekret".into()), ..FaultsChange::default() };
        assert!(Faults::default().changed(menu).is_err());
    }

    #[test]
    fn a_limit_that_is_narrowed_loses_what_is_above_32_bits_and_nothing_else_is_touched() {
        let word = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let check = |narrow_limits, arguments: &[(&str, &str)], expected: Option<&[(&str, &str)]>| {
            let words =
                |of: &[(&str, &str)]| of.iter().map(|(name, value)| word(name, value)).collect::<Vec<_>>();
            let request = Request { arguments: words(arguments), ..Request::default() };
            let faults = Faults { narrow_limits, ..Faults::default() };
            assert_eq!(faults.narrowed(&request).map(|request| request.arguments), expected.map(words));
        };
        check(
            true,
            &[("name", "4294967297"), ("limit-bytes-in", "4294967297")],
            Some(&[("name", "4294967297"), ("limit-bytes-in", "1")]),
        );
        check(true, &[("limit-bytes-total", "4294967295")], Some(&[("limit-bytes-total", "4294967295")]));
        check(true, &[("limit-bytes-out", "x")], None);
        check(true, &[("name", "4294967297")], None);
        check(false, &[("limit-bytes-in", "4294967297")], None);
    }

    #[test]
    fn counted_writes_run_out_and_a_menu_does_not() {
        let mut faults = Faults { ignore_writes: 1, ..Faults::default() };
        assert!(faults.swallows_write("ppp/secret"));
        assert!(!faults.swallows_write("ppp/secret"));
        faults.ignore_writes_menu = "ppp/secret".into();
        assert!(faults.swallows_write("ppp/secret") && faults.swallows_write("ppp/secret"));
        assert!(!faults.swallows_write("ip/pool"));
    }
}
