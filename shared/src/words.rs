//! Words for people that agents and head office say alike. Pure.
//!
//! English alone, as all that staff read. How amounts, times and sizes are said on pages is the controller's
//! `web/display.rs`.

/// So many of something, by its name for one: `1 router`, `2 routers`.
#[must_use]
pub fn counted(count: impl TryInto<u64>, one: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {one}{plural}")
}

/// What a guard holds, in the words of the agent's status, of its event and of head office's pages: whoever compares them
/// must find one sentence.
#[must_use]
pub fn held_words(lines: impl TryInto<u64>, working: impl TryInto<u64>) -> String {
    let lines = lines.try_into().unwrap_or(u64::MAX);
    format!("{lines} of {} would lose access; waits for a person", counted(working, "working line"))
}

/// How the agent's event ends that tells of lines which head office let go: by whose order is known there alone, and is added
/// behind it.
pub const LET_GO_BY_OFFICE: &str = "let go by head office";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_said_as_one() {
        let check = |count: u64, text: &str| assert_eq!(counted(count, "router"), text);
        check(0, "0 routers");
        check(1, "1 router");
        assert_eq!(held_words(1_u32, 1_u32), "1 of 1 working line would lose access; waits for a person");
        check(2, "2 routers");
        assert_eq!(counted(-1_i64, "line"), format!("{} lines", u64::MAX));
    }
}
