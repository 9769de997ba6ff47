//! Rates, and the `rate-limit` string of PPP and hotspot profiles.
//!
//! Grammar, from the manual: `rx[/tx] [rx-burst[/tx-burst] [rx-threshold[/tx-threshold]
//! [rx-time[/tx-time] [priority [rx-min[/tx-min]]]]]]`, where `rx` is the client's *upload*. A missing
//! `tx` is `rx`, a missing threshold the rate, a missing time one second. Comparing two strings is
//! comparing two [`RateLimit`]s: `10M/10M` and `10000k` are the same limit.

use std::fmt;

use super::{UpDown, ValueError, parse_duration, parse_number};

const RATE_ERROR: ValueError = ValueError { expected: "a rate such as 512k or 10M" };
const LIMIT_ERROR: ValueError =
    ValueError { expected: "a rate limit such as 5M/20M 8M/30M 4M/16M 16/16 8 1M/4M" };

/// A profile's rate limit. The empty string (no limit) is not one: it is the caller's `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Bits per second; 0 is unlimited in that direction.
    pub bits_per_second: UpDown<u64>,
    /// More, for a while. `None` for none, which RouterOS also writes as `0/0`.
    pub burst: Option<Burst>,
    /// 1 (first) to 8 (last, and the default).
    pub priority: u8,
    /// Guaranteed bits per second.
    pub minimum_bits_per_second: Option<UpDown<u64>>,
}

/// How far and for how long a client may exceed its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// Bits per second while bursting.
    pub bits_per_second: UpDown<u64>,
    /// Average below which a burst is allowed, in bits per second.
    pub threshold_bits_per_second: UpDown<u64>,
    /// Seconds over which the average is taken.
    pub seconds: UpDown<u64>,
}

/// The priority that a queue has when none is given.
const LOWEST_PRIORITY: u8 = 8;

impl RateLimit {
    /// A plain limit: no burst, lowest priority, nothing guaranteed.
    #[must_use]
    pub fn plain(bits_per_second: UpDown<u64>) -> Self {
        Self { bits_per_second, burst: None, priority: LOWEST_PRIORITY, minimum_bits_per_second: None }
    }

    /// Reads the `rate-limit` of a profile, or of a hotspot user profile; the grammar is the same.
    ///
    /// # Errors
    /// For the empty value and whatever the grammar does not allow.
    ///
    /// ```
    /// use routeros_api::value::{RateLimit, UpDown};
    /// let limit = RateLimit::parse(b"5M/20M").unwrap();
    /// assert_eq!(limit, RateLimit::plain(UpDown { upload: 5_000_000, download: 20_000_000 }));
    /// assert_eq!(limit.to_string(), "5M/20M");
    /// ```
    pub fn parse(value: &[u8]) -> Result<Self, ValueError> {
        let mut fields = value.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
        let rate = read_pair(fields.next().ok_or(LIMIT_ERROR)?, parse_rate)?;
        let burst_rate = fields.next().map(|field| read_pair(field, parse_rate)).transpose()?;
        let threshold = fields.next().map(|field| read_pair(field, parse_rate)).transpose()?;
        let time = fields.next().map(|field| read_pair(field, parse_seconds)).transpose()?;
        let priority = fields.next().map(read_priority).transpose()?.unwrap_or(LOWEST_PRIORITY);
        let minimum = fields.next().map(|field| read_pair(field, parse_rate)).transpose()?;
        if fields.next().is_some() {
            return Err(LIMIT_ERROR);
        }
        let burst = burst_rate.filter(|burst| *burst != UpDown::both(0)).map(|bits_per_second| Burst {
            bits_per_second,
            threshold_bits_per_second: threshold.unwrap_or(rate),
            seconds: time.unwrap_or(UpDown::both(1)),
        });
        let minimum = minimum.filter(|minimum| *minimum != UpDown::both(0));
        Ok(Self { bits_per_second: rate, burst, priority, minimum_bits_per_second: minimum })
    }
}

impl fmt::Display for RateLimit {
    /// The shortest string that says all of it. Fields before a later one are filled: no burst is `0/0`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", print_pair(self.bits_per_second))?;
        let with_tail = self.priority != LOWEST_PRIORITY || self.minimum_bits_per_second.is_some();
        match self.burst {
            Some(burst) => write!(
                formatter,
                " {} {} {}",
                print_pair(burst.bits_per_second),
                print_pair(burst.threshold_bits_per_second),
                burst.seconds
            )?,
            None if with_tail => formatter.write_str(" 0/0 0/0 0/0")?,
            None => {}
        }
        if with_tail {
            write!(formatter, " {}", self.priority)?;
        }
        match self.minimum_bits_per_second {
            Some(minimum) => write!(formatter, " {}", print_pair(minimum)),
            None => Ok(()),
        }
    }
}

fn print_pair(pair: UpDown<u64>) -> UpDown<String> {
    UpDown { upload: print_rate(pair.upload), download: print_rate(pair.download) }
}

/// `a/b`, or `a` for both.
fn read_pair<T: Copy>(
    field: &[u8],
    read: impl Fn(&[u8]) -> Result<T, ValueError>,
) -> Result<UpDown<T>, ValueError> {
    if !field.contains(&b'/') {
        return read(field).map(UpDown::both).map_err(|_| LIMIT_ERROR);
    }
    let (upload, download) = super::split_pair(field).ok_or(LIMIT_ERROR)?;
    Ok(UpDown {
        upload: read(upload).map_err(|_| LIMIT_ERROR)?,
        download: read(download).map_err(|_| LIMIT_ERROR)?,
    })
}

fn read_priority(field: &[u8]) -> Result<u8, ValueError> {
    match parse_number(field).ok().and_then(|priority| u8::try_from(priority).ok()) {
        Some(priority @ 1..=LOWEST_PRIORITY) => Ok(priority),
        _ => Err(LIMIT_ERROR),
    }
}

/// Bursts are timed in whole seconds: `16`, or `16s` where a release prints it as a duration.
fn parse_seconds(field: &[u8]) -> Result<u64, ValueError> {
    let duration = parse_duration(field)?;
    if duration.subsec_nanos() == 0 { Ok(duration.as_secs()) } else { Err(LIMIT_ERROR) }
}

/// Reads bits per second: digits, with an optional `k`, `M` or `G` (powers of 1000) and up to nine
/// decimals before it.
///
/// # Errors
/// For anything else, and for a fraction of a bit.
pub fn parse_rate(value: &[u8]) -> Result<u64, ValueError> {
    let (number, unit): (&[u8], u64) = match value {
        [number @ .., b'k' | b'K'] => (number, 1_000),
        [number @ .., b'm' | b'M'] => (number, 1_000_000),
        [number @ .., b'g' | b'G'] => (number, 1_000_000_000),
        number => (number, 1),
    };
    let mut halves = number.splitn(2, |byte| *byte == b'.');
    let whole = parse_number(halves.next().unwrap_or_default()).map_err(|_| RATE_ERROR)?;
    let whole = whole.checked_mul(unit).ok_or(RATE_ERROR)?;
    let Some(decimals) = halves.next() else { return Ok(whole) };
    let places = u32::try_from(decimals.len()).ok().filter(|places| *places <= 9).ok_or(RATE_ERROR)?;
    let scaled = parse_number(decimals).map_err(|_| RATE_ERROR)?.checked_mul(unit).ok_or(RATE_ERROR)?;
    let divisor = 10_u64.pow(places);
    if scaled % divisor != 0 {
        return Err(RATE_ERROR);
    }
    whole.checked_add(scaled / divisor).ok_or(RATE_ERROR)
}

/// Prints bits per second in the shortest exact form. Never with `G`, which older releases do not read.
#[must_use]
pub fn print_rate(bits_per_second: u64) -> String {
    match bits_per_second {
        0 => "0".to_owned(),
        rate if rate % 1_000_000 == 0 => format!("{}M", rate / 1_000_000),
        rate if rate % 1_000 == 0 => format!("{}k", rate / 1_000),
        rate => rate.to_string(),
    }
}

/// Reads `upload/download` in bits per second, as the `max-limit`, `limit-at` and `rate` of a queue: `25000000/25M`.
///
/// # Errors
/// When either half is missing or no rate.
pub fn parse_rate_pair(value: &[u8]) -> Result<UpDown<u64>, ValueError> {
    let error = ValueError { expected: "a pair of rates (upload/download)" };
    let (upload, download) = super::split_pair(value).ok_or(error)?;
    Ok(UpDown {
        upload: parse_rate(upload).map_err(|_| error)?,
        download: parse_rate(download).map_err(|_| error)?,
    })
}

/// Prints `upload/download` in bits per second: `25M/25M`. What [`parse_rate_pair`] reads back.
#[must_use]
pub fn print_rate_pair(pair: UpDown<u64>) -> String {
    print_pair(pair).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn megabits(upload: u64, download: u64) -> UpDown<u64> {
        UpDown { upload: upload * 1_000_000, download: download * 1_000_000 }
    }

    #[test]
    fn rates_are_read_with_their_suffix_and_printed_without_loss() {
        for (text, bits) in [
            ("0", 0),
            ("25000000", 25_000_000),
            ("512k", 512_000),
            ("10M", 10_000_000),
            ("1.5M", 1_500_000),
            ("1G", 1_000_000_000),
            ("2.048M", 2_048_000),
        ] {
            assert_eq!(parse_rate(text.as_bytes()), Ok(bits), "{text}");
        }
        for text in ["", "k", "1.2345k", "-1M", "1Mi", "1,5M", "1.M", "99999999999999999999", "1 M"] {
            assert!(parse_rate(text.as_bytes()).is_err(), "{text}");
        }
        for (bits, text) in
            [(0, "0"), (1_500_000, "1500k"), (20_000_000, "20M"), (1_000_000_000, "1000M"), (1_234, "1234")]
        {
            assert_eq!(print_rate(bits), text);
        }
    }

    #[test]
    fn a_rate_limit_is_read_field_by_field_with_its_defaults() {
        let full = RateLimit {
            bits_per_second: megabits(5, 20),
            burst: Some(Burst {
                bits_per_second: megabits(8, 30),
                threshold_bits_per_second: megabits(4, 16),
                seconds: UpDown::both(16),
            }),
            priority: 8,
            minimum_bits_per_second: Some(megabits(1, 4)),
        };
        let defaulted = RateLimit {
            bits_per_second: megabits(5, 5),
            burst: Some(Burst {
                bits_per_second: megabits(8, 8),
                threshold_bits_per_second: megabits(5, 5),
                seconds: UpDown::both(1),
            }),
            ..RateLimit::plain(megabits(5, 5))
        };
        for (text, expected) in [
            ("5M/20M 8M/30M 4M/16M 16/16 8 1M/4M", full),
            ("5M/20M 8M/30M 4M/16M 16s/16s 8 1M/4M", full),
            ("10M", RateLimit::plain(megabits(10, 10))),
            ("10M/10M", RateLimit::plain(megabits(10, 10))),
            ("10000k/10000000", RateLimit::plain(megabits(10, 10))),
            ("5M 8M", defaulted),
            ("2M/4M 0/0 0/0 0/0 8", RateLimit::plain(megabits(2, 4))),
            ("2M/4M 0/0 0/0 0/0 1 0/0", RateLimit { priority: 1, ..RateLimit::plain(megabits(2, 4)) }),
        ] {
            assert_eq!(RateLimit::parse(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_rate_limit_is_refused() {
        for text in
            ["", " ", "fast", "10M/", "10M/1/1", "10M 8M 8M 1 0", "10M 8M 8M 1 9", "1M 1M 1M 1 1 1M 1M"]
        {
            assert!(RateLimit::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_limit_prints_as_the_manual_writes_it() {
        for text in
            ["5M/20M 8M/30M 4M/16M 16/16 8 1M/4M", "5M/20M", "512k/2M 0/0 0/0 0/0 3", "1M/2M 2M/4M 1M/2M 8/8"]
        {
            assert_eq!(RateLimit::parse(text.as_bytes()).unwrap().to_string(), text);
        }
    }

    fn pairs() -> impl Strategy<Value = UpDown<u64>> {
        (1_u64..5_000_000_000, 1_u64..5_000_000_000)
            .prop_map(|(upload, download)| UpDown { upload, download })
    }

    #[test]
    fn a_queues_limits_are_a_pair_of_rates_with_and_without_units() {
        for text in ["25000000/5000000", "25M/5M", "25M/5000k"] {
            assert_eq!(parse_rate_pair(text.as_bytes()), Ok(megabits(25, 5)), "{text}");
        }
        assert_eq!(print_rate_pair(megabits(25, 5)), "25M/5M");
        for text in ["", "25M", "25M/", "/25M", "1/2/3", "a/b"] {
            assert!(parse_rate_pair(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_rate_reads_back_the_same(bits in any::<u64>()) {
            prop_assert_eq!(parse_rate(print_rate(bits).as_bytes()), Ok(bits));
            let pair = UpDown { upload: bits, download: bits / 3 };
            prop_assert_eq!(parse_rate_pair(print_rate_pair(pair).as_bytes()), Ok(pair));
        }

        #[test]
        fn no_bytes_make_the_parsers_of_rates_panic(value in prop::collection::vec(prop::sample::select(b"0123456789kMG/. s\xff".to_vec()), 0..40)) {
            if let Ok(limit) = RateLimit::parse(&value) {
                prop_assert_eq!(RateLimit::parse(limit.to_string().as_bytes()), Ok(limit));
            }
            let _ = (parse_rate(&value), parse_rate_pair(&value));
        }

        #[test]
        fn a_printed_rate_limit_reads_back_the_same(
            rate in pairs(), burst in prop::option::of((pairs(), pairs(), pairs())),
            priority in 1_u8..=8, minimum in prop::option::of(pairs()),
        ) {
            let burst = burst.map(|(bits_per_second, threshold_bits_per_second, seconds)| Burst {
                bits_per_second, threshold_bits_per_second, seconds,
            });
            let limit = RateLimit { bits_per_second: rate, burst, priority, minimum_bits_per_second: minimum };
            prop_assert_eq!(RateLimit::parse(limit.to_string().as_bytes()), Ok(limit));
        }
    }
}
