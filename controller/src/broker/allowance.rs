//! How much a site may say in a while. Pure: bytes and `now` in, a pause out.
//!
//! The broker's own limit answers a message that it drops as if it had taken it, and counts the controller's messages
//! too; so the limit stands here, in front of it, and who says too much is slowed instead: its bytes wait, its socket
//! fills, and it writes no faster than it is read. Packets are counted beside bytes, because a small message costs the
//! database as much as a large one. The bytes move in `splice.rs`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::ids::SiteId;

/// What a packet costs beside its bytes.
const PACKET_COST: u64 = 1_024;
/// What may be said at once: 16 envelopes of the largest size, which is all that an agent has outstanding, or a
/// thousand small packets.
const BURST: u64 = 1_024 * 1_024;
/// What may be said in a second after that: 256 small packets, a tenth of what the intake commits. An agent with a full
/// outbox has said a day's reports within a minute.
const A_SECOND: u64 = 256 * 1_024;

/// What one site has left.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: u64,
    at: Instant,
}

/// What each site has left. A site that comes anew goes on with what it had, so that nothing is won by coming often.
/// Holds one entry for each site that ever came.
#[derive(Debug, Default)]
pub(super) struct Allowances(Mutex<HashMap<SiteId, Allowance>>);

impl Allowances {
    /// Takes `cost` from what the site has left, and says how long it must wait before its bytes may move on.
    pub(super) fn spend(&self, site: &SiteId, cost: u64, now: Instant) -> Duration {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !sites.contains_key(site) {
            sites.insert(site.clone(), Allowance { left: BURST, at: now });
        }
        sites.get_mut(site).map_or(Duration::ZERO, |allowance| allowance.spend(cost, now))
    }
}

impl Allowance {
    fn spend(&mut self, cost: u64, now: Instant) -> Duration {
        // `at` lies ahead while a debt is waited for.
        let passed = now.saturating_duration_since(self.at);
        let earned = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).saturating_mul(A_SECOND) / 1_000;
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(BURST);
            self.at = now;
        }
        let debt = cost.saturating_sub(self.left);
        self.left = self.left.saturating_sub(cost);
        if debt > 0 {
            let pause = Duration::from_millis(debt.saturating_mul(1_000) / A_SECOND + 1);
            self.at = self.at.max(now).checked_add(pause).unwrap_or(now);
        }
        self.at.saturating_duration_since(now)
    }
}

/// Where a stream of MQTT packets stands: each is a kind, a length of up to four bytes, and so many bytes more.
#[derive(Debug)]
pub(super) enum Packets {
    /// The next byte begins a packet.
    Between,
    /// Within the length: what it is so far, and how many bits of it are read.
    Length(u64, u32),
    /// So many bytes until the next packet.
    Within(u64),
}

impl Packets {
    /// Reads on over `bytes`, and says what they cost.
    pub(super) fn cost(&mut self, bytes: &[u8]) -> u64 {
        let mut begun: u64 = 0;
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            (*self, rest) = match *self {
                Self::Between => {
                    begun = begun.saturating_add(1);
                    (Self::Length(0, 0), after)
                }
                Self::Length(sofar, bits) => {
                    let length = sofar | (u64::from(byte & 0x7f) << bits);
                    // The broker hangs up on a longer one.
                    let is_whole = byte & 0x80 == 0 || bits >= 21;
                    match (is_whole, length) {
                        (false, _) => (Self::Length(length, bits + 7), after),
                        (true, 0) => (Self::Between, after),
                        (true, _) => (Self::Within(length), after),
                    }
                }
                Self::Within(missing) => {
                    let here = missing.min(u64::try_from(rest.len()).unwrap_or(u64::MAX));
                    let after = rest.get(usize::try_from(here).unwrap_or(usize::MAX)..).unwrap_or_default();
                    (if here == missing { Self::Between } else { Self::Within(missing - here) }, after)
                }
            };
        }
        let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        begun.saturating_mul(PACKET_COST).saturating_add(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(id: &str) -> SiteId {
        SiteId::parse(id).unwrap()
    }

    #[test]
    fn what_is_beyond_the_burst_waits_its_time_and_a_quiet_site_has_its_burst_again() {
        let allowances = Allowances::default();
        let start = tokio::time::Instant::now().into_std();
        let check = |after: Duration, cost: u64, expected: Duration| {
            let found = allowances.spend(&site("a"), cost, start + after);
            let late = found.saturating_sub(expected);
            assert!(found >= expected && late <= Duration::from_millis(5), "{found:?} for {expected:?}");
        };
        let second = Duration::from_secs(1);
        check(Duration::ZERO, BURST, Duration::ZERO);
        check(Duration::ZERO, A_SECOND, second);
        check(Duration::ZERO, A_SECOND, second * 2);
        check(second * 2, A_SECOND / 2, second / 2);
        check(second * 60, BURST, Duration::ZERO);
        check(second * 60, A_SECOND, second);
    }

    #[test]
    fn one_site_spends_nothing_of_another() {
        let allowances = Allowances::default();
        let now = tokio::time::Instant::now().into_std();
        assert!(allowances.spend(&site("a"), BURST * 10, now) > Duration::from_secs(30));
        assert_eq!(allowances.spend(&site("b"), BURST, now), Duration::ZERO);
    }

    #[test]
    fn packets_are_counted_however_their_bytes_arrive() {
        let mut stream = vec![0xc0, 0];
        stream.extend([0x30, 0x81, 0x01]);
        stream.extend([7; 129]);
        stream.extend([0x30, 3, 1, 2, 3, 0xc0, 0]);
        let expected = 4 * PACKET_COST + u64::try_from(stream.len()).unwrap();
        for size in [1, 2, 3, 5, 100, stream.len()] {
            let mut packets = Packets::Between;
            let cost: u64 = stream.chunks(size).map(|chunk| packets.cost(chunk)).sum();
            assert_eq!(cost, expected, "in pieces of {size}");
            assert!(matches!(packets, Packets::Between));
        }
    }
}
