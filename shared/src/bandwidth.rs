//! A speed limit in bits per second.
//!
//! Plans speak of download and upload as the customer sees them; the router's own order (rx is the customer's
//! upload) belongs to `routeros-api` and the agent's `reconcile` alone.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bits per second, decimal: 10 Mbit/s is 10,000,000. Zero means "no limit".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bandwidth {
    bits_per_second: u64,
}

impl Bandwidth {
    /// No limit.
    pub const UNLIMITED: Self = Self { bits_per_second: 0 };

    /// A limit of so many bits per second; zero for none.
    #[must_use]
    pub fn from_bits_per_second(bits_per_second: u64) -> Self {
        Self { bits_per_second }
    }

    /// The limit in bits per second; zero for none.
    #[must_use]
    pub fn bits_per_second(self) -> u64 {
        self.bits_per_second
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_unlimited(self) -> bool {
        self.bits_per_second == 0
    }
}

impl fmt::Display for Bandwidth {
    /// As staff say it: `10 Mbit/s`, `512 kbit/s`, `unlimited`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits_per_second {
            0 => f.write_str("unlimited"),
            bits if bits % 1_000_000_000 == 0 => write!(f, "{} Gbit/s", bits / 1_000_000_000),
            bits if bits % 1_000_000 == 0 => write!(f, "{} Mbit/s", bits / 1_000_000),
            bits if bits % 1_000 == 0 => write!(f, "{} kbit/s", bits / 1_000),
            bits => write!(f, "{bits} bit/s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_read_as_staff_say_them() {
        let check = |bits, text: &str| assert_eq!(Bandwidth::from_bits_per_second(bits).to_string(), text);
        check(0, "unlimited");
        check(10_000_000, "10 Mbit/s");
        check(512_000, "512 kbit/s");
        check(2_000_000_000, "2 Gbit/s");
        check(1_500_000, "1500 kbit/s");
        check(123, "123 bit/s");
    }
}
