//! Of which span of time nothing has told what was paid. Pure.
//!
//! Pull reaches back two days: a controller that was down for longer never learns from it what was paid before. Only the
//! portal's statement knows that. It tells from its first row to its last, which may leave an edge of days on which nobody
//! paid; an edge that is short is not asked for again.

use std::time::Duration;

use tawi_shared::UnixMillis;

/// How long a span may be at the edge of a statement without being missed.
const EDGE: Duration = Duration::from_secs(24 * 3_600);

/// A span between two instants.
pub(super) type Span = (UnixMillis, UnixMillis);

/// The newest span between two of which Pull told, and of which no statement tells; `None` where there is none.
pub(super) fn newest(pull: &[Span], statements: &[Span]) -> Option<Span> {
    let mut pull = pull.to_vec();
    pull.sort_unstable();
    let mut told_until: Option<UnixMillis> = None;
    let mut newest = None;
    for (from, until) in pull {
        if let Some(before) = told_until
            && from > before
            && let Some(left) = left_of((before, from), statements)
        {
            newest = Some(left);
        }
        told_until = Some(told_until.map_or(until, |before| before.max(until)));
    }
    newest
}

/// The longest part of a span that no statement covers, where it is missed.
fn left_of((from, until): Span, statements: &[Span]) -> Option<Span> {
    let mut within: Vec<Span> =
        statements.iter().copied().filter(|(start, end)| *start < until && *end > from).collect();
    if within.is_empty() {
        return Some((from, until));
    }
    within.sort_unstable();
    let mut longest: Option<Span> = None;
    let mut told_until = from;
    for (start, end) in within.into_iter().chain([(until, until)]) {
        let left = start.since(told_until);
        if left > EDGE && longest.is_none_or(|(start, end)| end.since(start) < left) {
            longest = Some((told_until, start));
        }
        told_until = told_until.max(end);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_spans_of_pull_and_in_no_statement_is_unheard() {
        let hours = |(from, until): (i64, i64)| (UnixMillis(from * 3_600_000), UnixMillis(until * 3_600_000));
        let check = |pull: &[(i64, i64)], statements: &[(i64, i64)], expected: Option<(i64, i64)>| {
            let of = |spans: &[(i64, i64)]| spans.iter().map(|span| hours(*span)).collect::<Vec<_>>();
            let found = newest(&of(pull), &of(statements));
            assert_eq!(found, expected.map(hours), "{pull:?} {statements:?}");
        };
        check(&[], &[], None);
        check(&[(0, 100)], &[], None);
        check(&[(0, 100), (90, 200)], &[], None);
        check(&[(150, 200), (0, 100)], &[], Some((100, 150)));
        check(&[(0, 300), (100, 120), (290, 400)], &[], None);
        check(&[(0, 100), (101, 200)], &[], Some((100, 101)));
        check(&[(0, 10), (20, 30), (40, 50)], &[], Some((30, 40)));
        // A statement of it cures it, also where nobody paid on its first day and its last.
        check(&[(0, 100), (200, 300)], &[(90, 210)], None);
        check(&[(0, 100), (200, 300)], &[(120, 180)], None);
        check(&[(0, 100), (200, 300)], &[(100, 140), (150, 190)], None);
        check(&[(0, 100), (200, 300)], &[(100, 150)], Some((150, 200)));
        check(&[(0, 100), (200, 300)], &[(0, 99), (201, 300)], Some((100, 200)));
        check(&[(0, 10), (20, 30), (40, 50)], &[(30, 40)], Some((10, 20)));
    }
}
