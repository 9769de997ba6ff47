//! What a menu has, put together from a listen and the prints beside it. Pure.
//!
//! ```text
//!            begin_print               end_print: differences from what was known
//!  (empty) ─────────────► printing ─────────────────────────────► current ──┐ told: applied at once
//!                            ▲ told: kept until the end                     │
//!                            └──────────── begin_print ◄────────────────────┘
//! ```
//!
//! While a print runs, whatever the listen says of a row outweighs what the print says of it: whether the print saw
//! the row before or after the change cannot be told, and a later change would be told again. What was known before
//! is compared by the caller's key and never by `.id`, which means nothing on another connection.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::sentence::Row;
use crate::value::RouterId;

/// How the menu differs from what was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A row that was not there.
    Added(Row),
    /// A row of the same key with other values.
    Changed {
        /// As it was.
        before: Row,
        /// As it is.
        after: Row,
    },
    /// A row that is not there any more.
    Removed(Row),
}

/// The rows of a menu as far as one knows.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// What is compared.
    properties: Vec<&'static str>,
    /// What makes a row the same row as before.
    key: Vec<&'static str>,
    /// By the number of `.id`, of the connection that told.
    rows: BTreeMap<u64, Row>,
    print: Option<Print>,
}

/// A print under way.
#[derive(Debug, Clone, Default)]
struct Print {
    printed: BTreeMap<u64, Row>,
    /// `None` for a row that is gone.
    told: BTreeMap<u64, Option<Row>>,
}

impl Snapshot {
    /// Knows nothing. `.id` is never compared.
    pub(super) fn new(properties: &[&'static str], key: &[&'static str]) -> Self {
        let properties = properties.iter().copied().filter(|name| *name != ".id").collect();
        Self { properties, key: key.to_vec(), rows: BTreeMap::new(), print: None }
    }

    /// The rows as known last; while a print runs, as before it.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Rows held, in any state.
    pub(super) fn len(&self) -> usize {
        let under_way =
            self.print.as_ref().map_or(0, |print| print.printed.len().saturating_add(print.told.len()));
        self.rows.len().saturating_add(under_way)
    }

    /// A print begins; what the listen tells from here on counts.
    pub(super) fn begin_print(&mut self) {
        self.print = Some(Print::default());
    }

    /// The print has this row.
    pub(super) fn printed(&mut self, id: &RouterId, row: Row) {
        if let Some(print) = &mut self.print {
            print.printed.insert(id.number(), row);
        }
    }

    /// The listen says that a row is so now.
    pub(super) fn told(&mut self, id: &RouterId, row: Row) -> Vec<Difference> {
        if let Some(print) = &mut self.print {
            print.told.insert(id.number(), Some(row));
            return Vec::new();
        }
        match self.rows.insert(id.number(), row.clone()) {
            None => vec![Difference::Added(row)],
            Some(before) if self.content_of(&before) == self.content_of(&row) => Vec::new(),
            Some(before) if self.key_of(&before) == self.key_of(&row) => {
                vec![Difference::Changed { before, after: row }]
            }
            // The id has gone to another row, and the end of the first was not told.
            Some(before) => vec![Difference::Removed(before), Difference::Added(row)],
        }
    }

    /// The listen says that a row is gone.
    pub(super) fn told_removed(&mut self, id: &RouterId) -> Vec<Difference> {
        if let Some(print) = &mut self.print {
            print.told.insert(id.number(), None);
            return Vec::new();
        }
        self.rows.remove(&id.number()).map(Difference::Removed).into_iter().collect()
    }

    /// The print is complete: what is different from before it. Removals first, so that whoever keeps rows by key
    /// does not lose a new one for an old one.
    pub(super) fn end_print(&mut self) -> Vec<Difference> {
        let Some(Print { printed: mut now, told }) = self.print.take() else { return Vec::new() };
        for (id, row) in told {
            match row {
                Some(row) => now.insert(id, row),
                None => now.remove(&id),
            };
        }
        let before = std::mem::replace(&mut self.rows, now);
        self.differences(before.into_values())
    }

    fn differences(&self, before: impl Iterator<Item = Row>) -> Vec<Difference> {
        let mut by_key: BTreeMap<_, (Vec<Row>, Vec<Row>)> = BTreeMap::new();
        for row in before {
            by_key.entry(self.key_of(&row)).or_default().0.push(row);
        }
        for row in self.rows.values() {
            by_key.entry(self.key_of(row)).or_default().1.push(row.clone());
        }
        let (mut removed, mut changed, mut added) = (Vec::new(), Vec::new(), Vec::new());
        for (mut old, mut new) in by_key.into_values() {
            // Several rows of one key: those that are as they were first, the others in the order of their ids.
            old.retain(|before| {
                let same = new.iter().position(|after| self.content_of(after) == self.content_of(before));
                same.map(|at| new.remove(at)).is_none()
            });
            let pairs = old.len().min(new.len());
            removed.extend(old.split_off(pairs).into_iter().map(Difference::Removed));
            added.extend(new.split_off(pairs).into_iter().map(Difference::Added));
            let both = old.into_iter().zip(new);
            changed.extend(both.map(|(before, after)| Difference::Changed { before, after }));
        }
        removed.into_iter().chain(changed).chain(added).collect()
    }

    /// Unset, missing and empty are the same, as they are elsewhere.
    fn key_of(&self, row: &Row) -> Vec<Option<Bytes>> {
        self.key.iter().map(|name| row.get(name)).collect()
    }

    fn content_of(&self, row: &Row) -> Vec<Option<Bytes>> {
        self.properties.iter().map(|name| row.get(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Sentence;

    fn snapshot() -> Snapshot {
        Snapshot::new(&[".id", "name", "profile"], &["name"])
    }

    fn id(text: &str) -> RouterId {
        RouterId::parse(text.to_owned()).unwrap()
    }

    /// `*1 plot1 10M`: a row's id, name and profile.
    fn row(text: &str) -> (RouterId, Row) {
        let mut parts = text.split(' ');
        let mut next = || parts.next().unwrap();
        let words = [
            "!re".to_owned(),
            format!("=.id={}", next()),
            format!("=name={}", next()),
            format!("=profile={}", next()),
        ];
        let row = Row::from(words.into_iter().collect::<Sentence>());
        (row.id().unwrap(), row)
    }

    /// `+plot1 10M`, `-plot1 10M`, `plot1 10M>20M`.
    fn shown(differences: &[Difference]) -> Vec<String> {
        let show = |row: &Row| {
            let text = |name| String::from_utf8(row.get(name).unwrap_or_default().to_vec()).unwrap();
            format!("{} {}", text("name"), text("profile"))
        };
        let shown = differences.iter().map(|difference| match difference {
            Difference::Added(row) => format!("+{}", show(row)),
            Difference::Removed(row) => format!("-{}", show(row)),
            Difference::Changed { before, after } => format!("{}>{}", show(before), show(after)),
        });
        shown.collect()
    }

    /// Plays a print: `told` stands for what the listen says meanwhile, `-*1` for a removal.
    fn print(snapshot: &mut Snapshot, printed: &[&str], told: &[&str]) -> Vec<String> {
        snapshot.begin_print();
        for text in printed {
            let (id, row) = row(text);
            snapshot.printed(&id, row);
        }
        for text in told {
            assert_eq!(tell(snapshot, text), [""; 0], "nothing is said before the print is complete");
        }
        shown(&snapshot.end_print())
    }

    fn tell(snapshot: &mut Snapshot, text: &str) -> Vec<String> {
        match text.strip_prefix('-') {
            Some(gone) => shown(&snapshot.told_removed(&id(gone))),
            None => {
                let (id, row) = row(text);
                shown(&snapshot.told(&id, row))
            }
        }
    }

    #[test]
    fn of_a_row_that_changes_between_listen_and_print_the_listen_has_the_last_word() {
        // Whether its own words come before the row is printed or after it.
        for is_told_first in [true, false] {
            let mut snapshot = snapshot();
            snapshot.begin_print();
            let (id, printed) = row("*1 plot1 10M");
            if is_told_first {
                tell(&mut snapshot, "*1 plot1 20M");
                snapshot.printed(&id, printed);
            } else {
                snapshot.printed(&id, printed);
                tell(&mut snapshot, "*1 plot1 20M");
            }
            assert_eq!(shown(&snapshot.end_print()), ["+plot1 20M"]);
        }
        let mut snapshot = snapshot();
        let told = ["*1 plot1 20M", "*1 plot1 30M"];
        assert_eq!(print(&mut snapshot, &["*1 plot1 10M"], &told), ["+plot1 30M"], "the last of several");
    }

    #[test]
    fn a_row_removed_between_listen_and_print_is_not_there() {
        let mut snapshot = snapshot();
        assert_eq!(print(&mut snapshot, &["*1 plot1 10M", "*2 plot2 10M"], &["-*1"]), ["+plot2 10M"]);
        assert_eq!(
            print(&mut snapshot, &["*2 plot2 10M"], &["-*2", "*2 plot3 5M"]),
            ["-plot2 10M", "+plot3 5M"]
        );
        assert_eq!(print(&mut snapshot, &[], &["*4 plot4 5M", "-*4", "-*9"]), ["-plot3 5M"]);
    }

    #[test]
    fn a_row_added_between_listen_and_print_is_there_whether_printed_or_not() {
        for printed in [&["*1 plot1 10M"][..], &[]] {
            assert_eq!(print(&mut snapshot(), printed, &["*1 plot1 10M"]), ["+plot1 10M"]);
        }
    }

    #[test]
    fn after_the_print_each_word_of_the_listen_is_a_difference_or_nothing() {
        let mut snapshot = snapshot();
        print(&mut snapshot, &["*1 plot1 10M"], &[]);
        for (told, expected) in [
            ("*1 plot1 10M", &[][..]),
            ("*1 plot1 20M", &["plot1 10M>plot1 20M"]),
            ("*2 plot2 5M", &["+plot2 5M"]),
            ("-*2", &["-plot2 5M"]),
            ("-*2", &[]),
            ("*1 plot9 20M", &["-plot1 20M", "+plot9 20M"]),
        ] {
            assert_eq!(tell(&mut snapshot, told), expected, "{told}");
        }
        assert_eq!(snapshot.rows().count(), 1);
    }

    #[test]
    fn on_another_connection_only_what_differs_is_told_though_every_id_is_another() {
        let mut snapshot = snapshot();
        print(&mut snapshot, &["*1 plot1 10M", "*2 plot2 10M", "*3 plot3 10M"], &[]);
        let again = ["*1 plot2 10M", "*2 plot1 10M", "*3 plot3 10M"];
        assert_eq!(print(&mut snapshot, &again, &[]), [""; 0], "ids that changed places are no difference");
        let after = ["*A1 plot1 20M", "*A2 plot2 10M", "*A3 plot4 10M"];
        assert_eq!(print(&mut snapshot, &after, &[]), ["-plot3 10M", "plot1 10M>plot1 20M", "+plot4 10M"]);
    }

    #[test]
    fn rows_that_share_a_key_are_matched_by_content_first() {
        let mut snapshot = snapshot();
        print(&mut snapshot, &["*1 plot1 10M", "*2 plot1 20M", "*3 plot1 30M"], &[]);
        let now = ["*9 plot1 30M", "*8 plot1 5M"];
        assert_eq!(print(&mut snapshot, &now, &[]), ["-plot1 20M", "plot1 10M>plot1 5M"]);
    }

    #[test]
    fn unset_and_empty_are_no_difference_and_what_was_not_asked_for_is_not_compared() {
        let mut snapshot = Snapshot::new(&["name", "comment"], &["name"]);
        for words in [
            &["!re", "=.id=*1", "=name=a", "=comment=", "=uptime=1s"][..],
            &["!re", "=.id=*1", "=name=a", "=uptime=2s"],
        ] {
            let row = Row::from(words.iter().copied().collect::<Sentence>());
            snapshot.begin_print();
            snapshot.printed(&id("*1"), row);
            let differences = snapshot.end_print();
            assert_eq!(differences.len(), usize::from(words.len() == 5), "{differences:?}");
        }
    }

    #[test]
    fn a_print_that_is_begun_anew_forgets_the_first_and_what_was_told_beside_it() {
        let mut snapshot = snapshot();
        snapshot.begin_print();
        let (id, printed) = row("*1 plot1 10M");
        snapshot.printed(&id, printed);
        tell(&mut snapshot, "*2 plot2 10M");
        assert_eq!(print(&mut snapshot, &["*3 plot3 10M"], &[]), ["+plot3 10M"]);
        assert_eq!(snapshot.len(), 1);
    }
}
