//! What to do with a message's position in its lane. Pure.
//!
//! A lane is counted from 1 in each life of an agent's store, without holes; the cursor says up to where everything is
//! committed. An agent sends again from the cursor on after each hello, so that a hole heals by itself, with one
//! exception: when the database was restored from a backup, the agent has long forgotten what lies between. A broker may
//! have lost it on the way as well: so only a hole that is the same after two hellos is one that nothing fills.

/// What a position means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// The next one: take it, and move the cursor to it.
    Next,
    /// Taken before: say again how far we are.
    Repeated,
    /// Something before it is missing and will come again: do not take it, and say how far we are.
    Ahead,
    /// The first after a hello and beyond the cursor, as after the hello before: nothing before it exists any more. Take it,
    /// and move the cursor to it.
    Resumed {
        /// How many positions are lost.
        lost: u64,
    },
    /// Positions begin at 1.
    Impossible,
}

/// A hole before the first message after a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    /// In which life of the store.
    pub(super) epoch: u32,
    /// The first position behind it.
    pub(super) behind: u64,
    /// Whether the site said hello since.
    pub(super) is_of_before: bool,
}

impl Hole {
    /// What is known once this was seen: of one hello the foremost, and nothing of another any more.
    pub(super) fn after(before: Option<Self>, epoch: u32, behind: u64) -> Self {
        let same = before.filter(|hole| !hole.is_of_before && hole.epoch == epoch);
        let behind = same.map_or(behind, |hole| hole.behind.min(behind));
        Self { epoch, behind, is_of_before: false }
    }
}

/// Decides. `proven` is the position behind a hole that was there after the hello before, too, as long as nothing of this lane
/// came since the newest hello.
pub(super) fn position(seq: u64, cursor: u64, proven: Option<u64>) -> Position {
    if seq == 0 {
        return Position::Impossible;
    }
    if seq <= cursor {
        return Position::Repeated;
    }
    match seq - cursor - 1 {
        0 => Position::Next,
        lost if proven == Some(seq) => Position::Resumed { lost },
        _ => Position::Ahead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_position_is_taken_once_and_in_order() {
        let check = |seq, cursor, proven, expected| {
            assert_eq!(position(seq, cursor, proven), expected, "{seq} after {cursor}, proven: {proven:?}");
        };
        check(1, 0, None, Position::Next);
        check(6, 5, Some(7), Position::Next);
        check(5, 5, Some(5), Position::Repeated);
        check(1, 5, None, Position::Repeated);
        check(7, 5, None, Position::Ahead);
        check(7, 5, Some(8), Position::Ahead);
        check(7, 5, Some(7), Position::Resumed { lost: 1 });
        check(0, 0, None, Position::Impossible);
        check(u64::MAX, 0, Some(u64::MAX), Position::Resumed { lost: u64::MAX - 1 });
        check(u64::MAX, u64::MAX, None, Position::Repeated);
    }

    #[test]
    fn of_a_hole_the_foremost_position_behind_it_counts_and_each_hello_looks_anew() {
        let first = Hole::after(None, 1, 9);
        assert_eq!(Hole::after(Some(first), 1, 7).behind, 7);
        assert_eq!(Hole::after(Some(first), 1, 12).behind, 9);
        assert_eq!(Hole::after(Some(first), 2, 12).behind, 12, "another life");
        let before = Hole { is_of_before: true, ..first };
        assert_eq!(Hole::after(Some(before), 1, 12), Hole { epoch: 1, behind: 12, is_of_before: false });
    }
}
