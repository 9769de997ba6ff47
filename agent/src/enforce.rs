//! How a line should be on its router right now.
//!
//! Pure: what the controller decided and the trusted time go in, open or off comes out. It never guesses: a service or
//! an access code of a newer controller is [`Unsupported`], and the line is left as it is. What follows on the router
//! is `reconcile/plan.rs`; whether the time may be trusted is `clock.rs`.

use tawi_shared::UnixMillis;
use tawi_shared::wire::{Access, LineV1, Service};
use thiserror::Error;

/// What a line may do at this instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effective {
    /// May use the network, with the profile that the line names.
    Open,
    /// May not.
    Off(OffReason),
}

/// Why a line is off. A person reads it; the guard treats the two differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffReason {
    /// Its time is over.
    Expired,
    /// The controller switched it off.
    SwitchedOff,
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
}

/// The service and the state that a line should have at `now`.
///
/// # Errors
/// [`Unsupported`] when this release does not know a code.
pub fn effective(line: &LineV1, now: UnixMillis) -> Result<(Service, Effective), Unsupported> {
    let is_known = |service: &Service| !matches!(service, Service::Static | Service::HotspotDevice);
    let service =
        Service::from_code(line.service).filter(is_known).ok_or(Unsupported::Service(line.service))?;
    let access = Access::from_code(line.access).ok_or(Unsupported::Access(line.access))?;
    let is_over = line.valid_until_ms.is_some_and(|until| now.0 >= until);
    let state = match access {
        Access::Off | Access::Suspended => Effective::Off(OffReason::SwitchedOff),
        Access::Open if is_over => Effective::Off(OffReason::Expired),
        Access::Open => Effective::Open,
    };
    Ok((service, state))
}

/// The first instant after `now` at which any of these lines changes by time alone.
#[must_use]
pub fn next_change<'a>(lines: impl IntoIterator<Item = &'a LineV1>, now: UnixMillis) -> Option<UnixMillis> {
    lines.into_iter().filter_map(|line| expiry_after(line, now)).min()
}

/// When this line expires, if that lies after `now` and it is open until then.
#[must_use]
pub fn expiry_after(line: &LineV1, now: UnixMillis) -> Option<UnixMillis> {
    let is_open = matches!(effective(line, now), Ok((_, Effective::Open)));
    line.valid_until_ms.map(UnixMillis).filter(|until| is_open && *until > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: u16 = 1;
    const OFF: u16 = 2;

    fn line(service: u16, access: u16, valid_until_ms: Option<i64>) -> LineV1 {
        LineV1 {
            line: "a".into(),
            router: "core".into(),
            service,
            username: "a".into(),
            password: "p".into(),
            profile: "home".into(),
            access,
            valid_until_ms,
            ..LineV1::default()
        }
    }

    #[test]
    fn a_line_is_open_until_its_last_instant_and_never_by_guess() {
        let check = |service, access, until, now, expected| {
            assert_eq!(effective(&line(service, access, until), UnixMillis(now)), expected);
        };
        check(1, OPEN, None, 5, Ok((Service::Pppoe, Effective::Open)));
        check(2, OPEN, Some(6), 5, Ok((Service::Hotspot, Effective::Open)));
        check(1, OPEN, Some(5), 5, Ok((Service::Pppoe, Effective::Off(OffReason::Expired))));
        check(1, OPEN, Some(4), 5, Ok((Service::Pppoe, Effective::Off(OffReason::Expired))));
        check(1, OFF, None, 5, Ok((Service::Pppoe, Effective::Off(OffReason::SwitchedOff))));
        check(1, OFF, Some(4), 5, Ok((Service::Pppoe, Effective::Off(OffReason::SwitchedOff))));
        check(99, OPEN, None, 5, Err(Unsupported::Service(99)));
        check(1, 99, None, 5, Err(Unsupported::Access(99)));
    }

    #[test]
    fn the_next_change_is_the_earliest_expiry_that_still_lies_ahead() {
        let check = |lines: &[LineV1], now, expected: Option<i64>| {
            assert_eq!(next_change(lines, UnixMillis(now)), expected.map(UnixMillis));
        };
        check(&[], 5, None);
        check(&[line(1, OPEN, Some(9)), line(1, OPEN, Some(7)), line(1, OPEN, None)], 5, Some(7));
        check(&[line(1, OPEN, Some(5)), line(1, OPEN, Some(9))], 5, Some(9));
        check(&[line(1, OFF, Some(7)), line(99, OPEN, Some(6))], 5, None);
    }
}
