//! One place at the table for each site: who is connected now, and how to end it.
//!
//! A newer connection of a site takes the place of the older one, as an agent behind a changed route comes back long
//! before the old connection is known to be dead. It also means that a stolen certificate cannot fill the house.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::ids::SiteId;

/// Why a connection has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The same site came again.
    Replaced,
    /// Its certificate, or the site, was revoked.
    Revoked,
}

/// Everybody who is connected.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    taken: HashMap<SiteId, Taken>,
    next_number: u64,
}

#[derive(Debug)]
struct Taken {
    number: u64,
    certificate_sha256: String,
    is_heard: Arc<AtomicBool>,
    end: oneshot::Sender<Ended>,
}

/// A seat. Dropping it frees the place, unless somebody newer has it.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    site: SiteId,
    number: u64,
    is_heard: Arc<AtomicBool>,
}

impl Seat {
    /// To be set whenever something comes from the site.
    pub(super) fn is_heard(&self) -> &AtomicBool {
        &self.is_heard
    }
}

impl Seats {
    /// Takes the site's seat, and ends who has it.
    pub(super) fn take(&self, site: &SiteId, certificate_sha256: &str) -> (Seat, oneshot::Receiver<Ended>) {
        let (end, ended) = oneshot::channel();
        let mut table = self.lock();
        let number = table.next_number;
        table.next_number = number.wrapping_add(1);
        // Its CONNECT was heard.
        let is_heard = Arc::new(AtomicBool::new(true));
        let certificate_sha256 = certificate_sha256.to_owned();
        let taken = Taken { number, certificate_sha256, is_heard: Arc::clone(&is_heard), end };
        if let Some(older) = table.taken.insert(site.clone(), taken) {
            // It may have ended by itself a moment ago.
            let _ = older.end.send(Ended::Replaced);
        }
        (Seat { seats: self.clone(), site: site.clone(), number, is_heard }, ended)
    }

    /// Ends every connection whose certificate `is_revoked`.
    pub(super) fn end_revoked(&self, is_revoked: impl Fn(&str) -> bool) {
        let mut table = self.lock();
        let sites: Vec<SiteId> = table
            .taken
            .iter()
            .filter(|(_, taken)| is_revoked(&taken.certificate_sha256))
            .map(|(site, _)| site.clone())
            .collect();
        for taken in sites.iter().filter_map(|site| table.taken.remove(site)) {
            let _ = taken.end.send(Ended::Revoked);
        }
    }

    /// Who is connected.
    pub(super) fn sites(&self) -> Vec<SiteId> {
        self.lock().taken.keys().cloned().collect()
    }

    /// From whom something came since this was asked last. A connection alone is no sign of life.
    pub(super) fn heard(&self) -> Vec<SiteId> {
        let table = self.lock();
        let heard = table.taken.iter().filter(|(_, taken)| taken.is_heard.swap(false, Ordering::Relaxed));
        heard.map(|(site, _)| site.clone()).collect()
    }

    /// No code panics while it holds the lock, and the table is whole after each step.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.seats.lock();
        if table.taken.get(&self.site).is_some_and(|taken| taken.number == self.number) {
            table.taken.remove(&self.site);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_connection_takes_the_seat_and_the_older_one_leaves_it_alone() {
        let seats = Seats::default();
        let site = SiteId::parse("a").unwrap();
        let (old, mut old_ended) = seats.take(&site, "x");
        let (new, mut new_ended) = seats.take(&site, "x");
        assert_eq!(old_ended.try_recv(), Ok(Ended::Replaced));
        drop(old);
        assert_eq!(seats.sites(), [site]);
        assert!(new_ended.try_recv().is_err(), "it goes on");
        drop(new);
        assert!(seats.sites().is_empty());
    }

    #[test]
    fn a_site_that_says_nothing_is_not_heard_though_it_is_connected() {
        let seats = Seats::default();
        let site = SiteId::parse("a").unwrap();
        let (seat, _ended) = seats.take(&site, "x");
        assert_eq!(seats.heard(), std::slice::from_ref(&site), "it said who it is");
        assert!(seats.heard().is_empty());
        seat.is_heard().store(true, Ordering::Relaxed);
        assert_eq!(seats.heard(), [site]);
    }

    #[test]
    fn only_revoked_certificates_lose_their_seat() {
        let seats = Seats::default();
        let [a, b] = ["a", "b"].map(|id| SiteId::parse(id).unwrap());
        let (_a, mut a_ended) = seats.take(&a, "good");
        let (_b, mut b_ended) = seats.take(&b, "bad");
        seats.end_revoked(|sha256| sha256 == "bad");
        assert_eq!(b_ended.try_recv(), Ok(Ended::Revoked));
        assert!(a_ended.try_recv().is_err());
        assert_eq!(seats.sites(), [a]);
    }
}
