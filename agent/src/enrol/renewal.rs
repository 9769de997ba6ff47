//! When the running agent asks for its next certificate.
//!
//! Pure decisions here: instants and a random number in, a wait out.

use std::time::Duration;

use tawi_shared::UnixMillis;

/// How long after its end a certificate still gets the next one, as long as the key is the same.
pub const GRACE: Duration = Duration::from_secs(90 * 86_400);

/// The first instant at which the next one is asked for: at a third of its life, a tenth of that earlier or later, so that
/// sites that were enrolled on one day do not all come on another.
#[must_use]
pub fn due(not_before: UnixMillis, not_after: UnixMillis, random: u64) -> UnixMillis {
    let third = not_after.since(not_before) / 3;
    let jitter = third / 10;
    let spread = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(1);
    let shift = Duration::from_millis(random % spread);
    not_before.plus(third.saturating_sub(jitter)).plus(shift)
}
