//! What to do with a message's position in its lane. Pure.
//!
//! A lane is counted from 1 in each life of an agent's store, without holes; the cursor says up to where everything is
//! committed. An agent sends again from the cursor on after each hello, so that a hole heals by itself, with one
//! exception: when the database was restored from a backup, the agent has long forgotten what lies between.

/// What a position means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// The next one: take it, and move the cursor to it.
    Next,
    /// Taken before: say again how far we are.
    Repeated,
    /// Something before it is missing and will come again: do not take it, and say how far we are.
    Ahead,
    /// The first after a hello and beyond the cursor: nothing before it exists any more. Take it, and move the cursor
    /// to it.
    Resumed {
        /// How many positions are lost.
        lost: u64,
    },
    /// Positions begin at 1.
    Impossible,
}

/// Decides. `is_first` says that nothing of this lane came since the site's hello.
pub(super) fn position(seq: u64, cursor: u64, is_first: bool) -> Position {
    if seq == 0 {
        return Position::Impossible;
    }
    if seq <= cursor {
        return Position::Repeated;
    }
    match seq - cursor - 1 {
        0 => Position::Next,
        lost if is_first => Position::Resumed { lost },
        _ => Position::Ahead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_position_is_taken_once_and_in_order() {
        let check = |seq, cursor, is_first, expected| {
            assert_eq!(position(seq, cursor, is_first), expected, "{seq} after {cursor}, first: {is_first}");
        };
        check(1, 0, true, Position::Next);
        check(6, 5, false, Position::Next);
        check(5, 5, true, Position::Repeated);
        check(1, 5, false, Position::Repeated);
        check(7, 5, false, Position::Ahead);
        check(7, 5, true, Position::Resumed { lost: 1 });
        check(0, 0, true, Position::Impossible);
        check(u64::MAX, 0, true, Position::Resumed { lost: u64::MAX - 1 });
        check(u64::MAX, u64::MAX, false, Position::Repeated);
    }
}
