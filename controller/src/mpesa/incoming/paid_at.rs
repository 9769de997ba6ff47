//! When a payment was made, as Safaricom writes it in one form or another. Pure.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use tawi_shared::UnixMillis;

use crate::mpesa::nairobi::EAST_AFRICA;

/// When it was paid. Times of Pull end in `Z` and are most probably Nairobi's all the same: nobody has published a
/// proof, so both readings are kept where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mpesa) struct PaidAt {
    /// Read as Nairobi time, or by its own offset.
    pub(in crate::mpesa) probably: UnixMillis,
    /// Read as UTC, when it ends in `Z`.
    pub(in crate::mpesa) perhaps: Option<UnixMillis>,
}

impl PaidAt {
    /// Reads a time in the forms that were seen: ISO with `T` or a space, with and without fractions, `Z` and offsets; the
    /// fourteen digits of callbacks; the day first, as the portal's statements have it. A date that could be read both ways
    /// has its day first: no export of the portal has the month there. Seconds may be missing, as where a table program saved it.
    pub(in crate::mpesa) fn read(text: &str) -> Option<Self> {
        let text = text.split_whitespace().collect::<Vec<&str>>().join(" ");
        let text = text.as_str();
        let local = text.strip_suffix(['Z', 'z']);
        let civil = civil(local.unwrap_or(text));
        let at = |offset: Offset| {
            let instant = TimeZone::fixed(offset).to_timestamp(civil?).ok()?;
            Some(UnixMillis(instant.as_millisecond()))
        };
        if local.is_some() {
            return Some(Self { probably: at(EAST_AFRICA)?, perhaps: at(Offset::UTC) });
        }
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Some(Self { probably: UnixMillis(instant.as_millisecond()), perhaps: None });
        }
        Some(Self { probably: at(EAST_AFRICA)?, perhaps: None })
    }
}

/// Whether a date makes sense with the month first alone: then its neighbours that make sense both ways have it first too.
pub(in crate::mpesa) fn is_month_first(text: &str) -> bool {
    let day = text.split_whitespace().next().unwrap_or_default();
    let mut parts = day.split(['/', '-', '.']);
    let mut number = || parts.next().and_then(|part| part.parse::<u8>().ok());
    matches!((number(), number()), (Some(1..=12), Some(13..=31)))
}

/// Before it M-Pesa took no payments: a year of two digits is none.
const FIRST_YEAR: i16 = 2007;

fn civil(text: &str) -> Option<DateTime> {
    const FORMS: [&str; 9] = [
        "%Y%m%d%H%M%S",
        "%d-%m-%Y %H:%M:%S",
        "%d.%m.%Y %H:%M:%S",
        "%d/%m/%Y %H:%M:%S",
        "%d-%m-%Y %H:%M",
        "%d.%m.%Y %H:%M",
        "%d/%m/%Y %H:%M",
        "%Y/%m/%d %H:%M:%S",
        "%Y/%m/%d %H:%M",
    ];
    let by_form = || FORMS.iter().find_map(|form| DateTime::strptime(form, text).ok());
    // Fourteen digits first: an ISO reader could take them for something else.
    let found = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        by_form()
    } else {
        text.parse().ok().or_else(by_form)
    };
    found.filter(|at| at.year() >= FIRST_YEAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_nairobis_in_every_form_that_was_seen() {
        let noon = UnixMillis(1_795_252_405_000);
        for text in [
            "2026-11-21T12:13:25",
            "2026-11-21 12:13:25",
            "2026-11-21T12:13:25.000Z",
            "20261121121325",
            "21-11-2026 12:13:25",
            "21.11.2026 12:13:25",
            "2026-11-21T12:13:25+03:00",
            "2026-11-21T09:13:25+00:00",
            "2026-11-21T12:13:25z",
        ] {
            assert_eq!(PaidAt::read(text).map(|at| at.probably), Some(noon), "{text}");
        }
        let whole_minute = UnixMillis(1_795_252_380_000);
        for text in [
            "2026-11-21 12:13",
            "2026-11-21T12:13",
            "21-11-2026 12:13",
            "21.11.2026 12:13",
            "21/11/2026 12:13",
            "21/11/2026 12:13:00",
            "2026/11/21 12:13",
            " 21/11/2026  12:13 ",
        ] {
            assert_eq!(PaidAt::read(text).map(|at| at.probably), Some(whole_minute), "{text}");
        }
        // The day comes first, also where both could.
        let early = PaidAt::read("03/02/2026 08:05").unwrap().probably;
        for text in ["2026-02-03 08:05:00", "3/2/2026 8:05"] {
            assert_eq!(PaidAt::read(text).unwrap().probably, early, "{text}");
        }
        for bad in
            ["11/21/2026 12:13", "11/21/2026 12:13:25", "21/11/26 12:13", "21/11/2026 12:13 PM", "21 Nov"]
        {
            assert_eq!(PaidAt::read(bad), None, "{bad}");
        }
        for bad in ["", "Z", "2026", "20261121", "2026-13-21T12:13:25", "99999999999999", "12:13:25"] {
            assert_eq!(PaidAt::read(bad), None, "{bad}");
        }
    }
}
