//! What people are told of a store that was lost: what is gone by kinds, as far as that is known. The engine's own words, which say
//! nothing to them, stand in the log alone.

use tawi_shared::counted;

use super::super::{LaneSizes, Overview};

/// What is gone with a store that was damaged. `held`: what it held when it was last open, where that was in this run.
pub(super) fn said(held: Option<&Overview>) -> String {
    let begun = "the store was damaged and begun anew";
    let again = "head office sends the state again";
    let Some(held) = held else {
        return format!(
            "{begun}: lost are events, totals of sessions and writes to routers that head office was not told yet; {again}"
        );
    };
    let of = |sizes: LaneSizes| sizes.pending.saturating_add(sizes.sealed);
    let (events, totals, writes) = (of(held.events), of(held.usage), of(held.log));
    let lost = [(events, "event"), (totals, "session total"), (writes, "batch of writes")];
    let lost: Vec<_> = lost
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| match noun {
            "batch of writes" if count > 1 => format!("{count} batches of writes"),
            noun => counted(count, noun),
        })
        .collect();
    if lost.is_empty() {
        return format!("{begun}: head office had been told all that was in it; {again}");
    }
    format!("{begun}: lost are up to {} that head office had not confirmed; {again}", lost.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::shortened;

    #[test]
    fn what_is_lost_is_told_by_kinds_and_fits_into_an_event() {
        let sizes = |pending| LaneSizes { pending, sealed: 1, ..LaneSizes::default() };
        let held = Overview { events: sizes(11), usage: sizes(0), log: sizes(2), ..Overview::default() };
        let most = sizes(999_999);
        let full = Overview { events: most, usage: most, log: most, ..Overview::default() };
        let check = |held: Option<&Overview>, words: &str| {
            let said = said(held);
            assert!(said.contains(words) && said.contains("damaged"), "{said}");
            assert_eq!(shortened(&said), said, "it is told whole");
        };
        check(None, "lost are events, totals of sessions and writes to routers");
        check(Some(&held), "up to 12 events, 1 session total, 3 batches of writes that head office had not");
        check(Some(&Overview::default()), "had been told all");
        check(Some(&full), "events");
    }
}
