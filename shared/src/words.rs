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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_said_as_one() {
        let check = |count: u64, text: &str| assert_eq!(counted(count, "router"), text);
        check(0, "0 routers");
        check(1, "1 router");
        check(2, "2 routers");
        assert_eq!(counted(-1_i64, "line"), format!("{} lines", u64::MAX));
    }
}
