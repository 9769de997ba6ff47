//! Who is told that what is paid for ends soon: each line once for each distance, found by an index.
//!
//! ```text
//!   now ── half an hour ──── end of today ──── in a day ──────────────── in three days ──▶ paid until
//!            └──── "today" ────┘└─ "in a day" ─┘└──────── "in three days" ────┘
//! ```
//!
//! A place is kept for each distance: up to which end of a period it was looked. It moves on with time and in the transaction
//! of its texts, so that a run reads the lines that came due since the last one and no other. After an outage, or where texts
//! were just switched on, a line is told the nearest of the three alone. What a text says then is `about`.

use std::time::Duration;

use tawi_shared::UnixMillis;

use super::occasion::Occasion;
use super::{about, store};
use crate::database::Connection;
use crate::web::display;

/// How long before the end of a period "today" is the last time.
const LAST_MINUTES: Duration = Duration::from_secs(30 * 60);
const DAY: Duration = Duration::from_secs(86_400);

/// The distances.
pub const ALL: [Occasion; 3] = [Occasion::EndsInThreeDays, Occasion::EndsInOneDay, Occasion::EndsToday];

/// Which ends of periods a distance speaks of now: after the first, up to the second. Pure.
fn window(occasion: Occasion, now: UnixMillis) -> (UnixMillis, UnixMillis) {
    let today_ends = display::midnight(now).plus(DAY);
    match occasion {
        Occasion::EndsInThreeDays => (now.plus(DAY), now.plus(DAY * 3)),
        Occasion::EndsInOneDay => (today_ends, now.plus(DAY)),
        _ => (now.plus(LAST_MINUTES), today_ends),
    }
}

/// Writes the texts of at most `limit` lines of one distance; says how many lines came due.
///
/// # Errors
/// When the database refuses.
pub async fn tell_some(
    connection: &mut Connection,
    occasion: Occasion,
    now: UnixMillis,
    limit: u32,
) -> Result<u32, sqlx::Error> {
    if store::policy(connection).await?.is_none() {
        return Ok(0);
    }
    let (nearest, farthest) = window(occasion, now);
    let kept = store::place(connection, occasion).await?;
    let place = kept.filter(|(until, _)| *until >= nearest).unwrap_or((nearest, String::new()));
    let due = store::ending(connection, &place, farthest, limit).await?;
    let lines: Vec<_> = due.iter().map(|(line, _)| line.clone()).collect();
    about::ends(connection, occasion, &lines, now).await?;
    let count = u32::try_from(due.len()).unwrap_or(u32::MAX);
    let reached = match due.last() {
        Some((line, until)) if count >= limit => (*until, line.to_string()),
        // Ids are lower-case: nothing that ends at that very time sorts behind this.
        _ => (farthest, "~".to_owned()),
    };
    if reached > place {
        store::set_place(connection, occasion, &reached).await?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distances_touch_and_do_not_overlap() {
        for hour in 0..24_i64 {
            // 2026-11-25 in Nairobi.
            let now = UnixMillis(1_795_554_000_000 + hour * 3_600_000);
            let [far, near, today] = ALL.map(|occasion| window(occasion, now));
            assert_eq!((far.0, near.0), (near.1, today.1), "{hour}");
            assert!(today.0 > now && far.1 == now.plus(DAY * 3), "{hour}");
        }
    }
}
