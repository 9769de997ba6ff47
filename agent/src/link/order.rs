//! Which of the controller's addresses is dialled next. Pure: times are counted from the agent's start.
//!
//! They are in the order of preference: a cheap line before a dear one, head office before its spare. Whichever worked is
//! tried first the next time, since one that is gone costs ten seconds at each reconnection; and each hour the first ones are
//! given the chance again.

use std::time::Duration;

/// How long a later address is kept to.
const BACK_AFTER: Duration = Duration::from_secs(3_600);

/// Where the turn is.
#[derive(Clone, Debug)]
pub struct Order {
    count: usize,
    next: usize,
    /// When all were last tried from the first on.
    begun: Option<Duration>,
}

impl Order {
    /// Of so many addresses.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { count: count.max(1), next: 0, begun: None }
    }

    /// Whose turn it is.
    pub fn next(&mut self, now: Duration) -> usize {
        if self.begun.is_none_or(|begun| now.saturating_sub(begun) >= BACK_AFTER) {
            self.next = 0;
        }
        if self.next == 0 {
            self.begun = Some(now);
        }
        self.next
    }

    /// How it went. What worked is tried first the next time.
    pub fn tried(&mut self, turn: usize, has_worked: bool) {
        self.next = if has_worked { turn } else { turn.wrapping_add(1) % self.count };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_works_is_kept_to_for_an_hour_and_then_those_before_it_are_tried_again() {
        let mut order = Order::new(3);
        let mut turns = |minute: u64, works: usize| {
            let turn = order.next(Duration::from_secs(60 * minute));
            order.tried(turn, turn == works);
            turn
        };
        assert_eq!([turns(0, 1), turns(1, 1), turns(2, 1), turns(30, 1)], [0, 1, 1, 1]);
        assert_eq!([turns(60, 1), turns(61, 1), turns(62, 1)], [0, 1, 1], "an hour later");
        // The one that worked is gone: on to the last, and round.
        assert_eq!([turns(63, 9), turns(64, 9), turns(65, 9), turns(66, 9)], [1, 2, 0, 1]);
        assert_eq!(
            [turns(67, 2), turns(68, 2), turns(124, 2), turns(125, 2), turns(126, 0)],
            [2, 2, 2, 0, 1]
        );
    }
}
