//! A day of the books: Nairobi's, by M-Pesa's own clock. Pure.

use std::fmt;
use std::time::Duration;

use tawi_shared::UnixMillis;

use crate::web::display;

const DAY: Duration = Duration::from_secs(86_400);

/// A day, by its midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(UnixMillis);

impl Day {
    /// The day of an instant.
    #[must_use]
    pub fn of(at: UnixMillis) -> Self {
        Self(display::midnight(at))
    }

    /// Reads `2026-11-26`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_date = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        display::local(&format!("{text}T00:00")).filter(|_| is_date).map(Self)
    }

    /// Its first instant.
    #[must_use]
    pub fn start(self) -> UnixMillis {
        self.0
    }

    /// The first instant after it: there is no summer time.
    #[must_use]
    pub fn end(self) -> UnixMillis {
        self.0.plus(DAY)
    }

    /// Its last instant, in milliseconds.
    #[must_use]
    pub fn last(self) -> UnixMillis {
        self.end().minus(Duration::from_millis(1))
    }

    /// The day before.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.minus(DAY))
    }

    /// The day after.
    #[must_use]
    pub fn after(self) -> Self {
        Self(self.end())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = display::local_field(self.0);
        f.write_str(field.split_once('T').map_or(field.as_str(), |(day, _)| day))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_nairobis_and_is_written_as_it_is_read() {
        let day = Day::parse("2026-11-26").unwrap();
        assert_eq!(day.start().0, 1_795_640_400_000);
        assert_eq!((day.to_string(), day.before().to_string()), ("2026-11-26".into(), "2026-11-25".into()));
        assert_eq!(day.before().after(), day);
        for at in [day.start(), day.end().minus(Duration::from_millis(1))] {
            assert_eq!(Day::of(at), day);
        }
        assert_eq!(Day::of(day.end()), day.after());
        for bad in ["", "26-11-2026", "2026-13-01", "2026-11-26T00:00", "2026-1-1", "yesterday"] {
            assert_eq!(Day::parse(bad), None, "{bad}");
        }
    }
}
