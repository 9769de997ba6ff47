//! The mark in each program of the agent, which says what it is: whoever signs one reads it, and cannot call it anything else.
//!
//! ```text
//! tawi-agent-release/<version>/<target>/<store format>/<oldest protocol>-<newest>;
//! ```

use super::Version;

/// How a mark begins.
pub const MARK_BEGIN: &str = concat!("tawi-agent", "-release/");
/// The longest name of a target, and the longest mark.
pub(super) const TARGET_BYTES: usize = 40;
const MARK_BYTES: usize = 160;

/// What a program says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which version it is.
    pub version: Version,
    /// What it runs on.
    pub target: String,
    /// The shape in which it leaves its store.
    pub store_format: u32,
    /// The oldest contract that it speaks.
    pub protocol_oldest: u16,
    /// The newest.
    pub protocol_newest: u16,
}

/// Whether a name has only letters that every file name and table takes.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
}

impl Mark {
    /// Reads a mark; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(MARK_BEGIN)?.strip_suffix(';')?;
        let mut words = rest.split('/');
        let mut next = || words.next();
        let (version, target, store_format, protocols) = (next()?, next()?, next()?, next()?);
        if next().is_some() || target.is_empty() || target.len() > TARGET_BYTES || !is_plain(target) {
            return None;
        }
        let (oldest, newest) = protocols.split_once('-')?;
        Some(Self {
            version: version.parse().ok()?,
            target: target.to_owned(),
            store_format: store_format.parse().ok()?,
            protocol_oldest: oldest.parse().ok()?,
            protocol_newest: newest.parse().ok()?,
        })
    }

    /// The last one in a program.
    #[must_use]
    pub fn find(program: &[u8]) -> Option<Self> {
        let begin = MARK_BEGIN.as_bytes();
        let mut end = program.len();
        loop {
            let head = program.get(..end)?;
            let at = head.windows(begin.len()).rposition(|window| window == begin)?;
            let found = program.get(at..)?;
            let found = found.get(..found.len().min(MARK_BYTES))?;
            let closes = found.iter().position(|byte| *byte == b';');
            let text = closes.and_then(|closes| found.get(..=closes));
            let mark = text.and_then(|text| std::str::from_utf8(text).ok()).and_then(Self::parse);
            if mark.is_some() {
                return mark;
            }
            end = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_what_it_is() {
        let text = format!("{MARK_BEGIN}0.2.0-rc.1/aarch64-linux-gnu/1/1-3;");
        let mark = Mark::parse(&text).unwrap();
        assert_eq!(
            (mark.version.to_string().as_str(), mark.target.as_str()),
            ("0.2.0-rc.1", "aarch64-linux-gnu")
        );
        assert_eq!((mark.store_format, mark.protocol_oldest, mark.protocol_newest), (1, 1, 3));
        let program =
            [b"\x7fELF".as_slice(), text.as_bytes(), b"\0", MARK_BEGIN.as_bytes(), b"\xff"].concat();
        assert_eq!(Mark::find(&program), Some(mark));
        for none in [b"".as_slice(), b"\x7fELF", MARK_BEGIN.as_bytes(), &program[..20]] {
            assert_eq!(Mark::find(none), None);
        }
        for bad in [
            "0.2/a/1/1-3;",
            "0.2.0/A/1/1-3;",
            "0.2.0/a/x/1-3;",
            "0.2.0/a/1/3;",
            "0.2.0/a/1/1-3/;",
            "0.2.0/a/1/1-3",
        ] {
            assert_eq!(Mark::parse(&format!("{MARK_BEGIN}{bad}")), None, "{bad}");
        }
    }
}
