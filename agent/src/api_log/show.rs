//! `tawi-agent log`: reads the API log at the site, whether the agent runs or not.
//!
//! It reads the files alone, so that it works while head office, the routers and the agent are down. Whoever calls it has an
//! agent that runs put down first what it holds in memory (`status::ask_log`). What is in a line is `record.rs`'s business.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use tawi_shared::UnixMillis;

use super::files::{Files, shown};
use super::record::Write;

/// How often a reader that follows looks for more.
pub const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// What somebody wants to see.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this router alone.
    pub router: Option<String>,
    /// About this line alone: its id, or a name that it has or had on a router.
    pub line: Option<String>,
    /// Lines that had this name, which most writes do not say: see [`Wanted::with_lines`].
    pub ids: BTreeSet<String>,
    /// From then on.
    pub since: UnixMillis,
    /// As JSON, one object a line.
    pub is_json: bool,
}

impl Wanted {
    /// What is said when nothing fits.
    #[must_use]
    pub fn said_of_nothing(&self) -> String {
        let about = self.line.as_ref().map(|line| format!(" about line {line}")).unwrap_or_default();
        let to = self.router.as_ref().map_or_else(|| "a router".to_owned(), |name| format!("router {name}"));
        format!(
            "nothing was written to {to}{about} since {}; --since 7d looks further back",
            shown(self.since)
        )
    }

    /// Looks through all that is kept for the lines that had the name that is asked for.
    ///
    /// # Errors
    /// What the system said.
    pub fn with_lines(mut self, state_directory: &Path) -> io::Result<Self> {
        let Some(name) = self.line.clone() else { return Ok(self) };
        Files::within(state_directory).read(UnixMillis(i64::MIN), |write| {
            if write.is_about(&name) {
                self.ids.extend(write.line);
            }
            true
        })?;
        Ok(self)
    }

    fn fits(&self, write: &Write) -> bool {
        let is_of = |line: &String| {
            write.is_about(line) || write.line.as_ref().is_some_and(|id| self.ids.contains(id))
        };
        self.router.as_ref().is_none_or(|router| *router == write.router)
            && self.line.as_ref().is_none_or(is_of)
    }
}

/// Reads what there is from `wanted.since` on, and prints what fits. `seen` is how many of it were read before, for
/// whoever reads again; answers how many there are, and how many lines could not be read.
///
/// # Errors
/// What the system said.
pub fn print_from(
    state_directory: &Path,
    wanted: &Wanted,
    seen: u64,
    mut print: impl FnMut(&str) -> bool,
) -> io::Result<(u64, u64)> {
    let mut count = 0_u64;
    let unread = Files::within(state_directory).read(wanted.since, |write| {
        count = count.saturating_add(1);
        if count <= seen || !wanted.fits(&write) {
            return true;
        }
        let text = if wanted.is_json { json_of(&write) } else { line_of(&write) };
        print(&text)
    })?;
    Ok((count, unread))
}

fn json_of(write: &Write) -> String {
    format!("{}\n", serde_json::to_string(write).unwrap_or_default())
}

/// One write as a person reads it.
fn line_of(write: &Write) -> String {
    let name = write.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let line = write.line.as_ref().map(|line| format!("  line {line}{name}")).unwrap_or_default();
    let detail = if write.detail.is_empty() { String::new() } else { format!("  ({})", write.detail) };
    format!(
        "{}  {:<8} {}  {} {}{line}{detail}\n",
        shown(UnixMillis(write.at_ms)),
        write.status,
        write.router,
        write.operation,
        write.parameters,
    )
}

/// Reads `90m`, `2h` or `7d`.
///
/// # Errors
/// How to write it.
pub fn parse_ago(text: &str) -> Result<Duration, String> {
    let unit = text.chars().last().unwrap_or(' ');
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => 0,
    };
    let number = text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
    let total = number.and_then(|number| number.checked_mul(seconds)).filter(|total| *total > 0);
    total.map(Duration::from_secs).ok_or_else(|| "write 90m, 2h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_in_one_unit() {
        assert_eq!(parse_ago("90m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_ago("7d"), Ok(Duration::from_secs(604_800)));
        for bad in ["", "m", "0h", "2", "2w", "-1h", "99999999999999999999d", "é"] {
            assert!(parse_ago(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reader_sees_what_it_asked_for_and_what_came_since() {
        let directory =
            std::env::temp_dir().join(format!("tawi-log-show-{}", tawi_shared::IdSource::system().hex(4)));
        let files = Files::within(&directory);
        let write = |at: i64, router: &str, line: &str| Write {
            at_ms: at,
            router: router.into(),
            operation: "/ppp/secret/set".into(),
            parameters: "disabled=no".into(),
            line: Some(line.into()),
            name: None,
            status: "done".into(),
            detail: String::new(),
        };
        files.append(&[write(1, "core", "a"), write(2, "roof", "b")], UnixMillis(2)).unwrap();
        let wanted = Wanted { router: Some("roof".into()), ..Wanted::default() };
        let mut printed = Vec::new();
        let mut keep = |text: &str| {
            printed.push(text.to_owned());
            true
        };
        let (seen, _) = print_from(&directory, &wanted, 0, &mut keep).unwrap();
        files.append(&[write(3, "roof", "c")], UnixMillis(3)).unwrap();
        let (seen, unread) = print_from(&directory, &wanted, seen, &mut keep).unwrap();
        assert_eq!((seen, unread), (3, 0));
        assert_eq!(printed.len(), 2, "{printed:?}");
        assert!(printed[0].contains("line b") && printed[1].contains("line c"), "{printed:?}");
        // A name is said when a row is made and when it gets another; all other writes say the line alone.
        let made = Write { parameters: "name=plot17 comment=tawi:c".into(), ..write(4, "core", "c") };
        files.append(&[made, write(5, "core", "c"), write(6, "core", "a")], UnixMillis(6)).unwrap();
        let wanted = Wanted { line: Some("plot17".into()), ..Wanted::default() };
        let wanted = wanted.with_lines(&directory).unwrap();
        let mut printed = Vec::new();
        print_from(&directory, &wanted, 0, |text| {
            printed.push(text.to_owned());
            true
        })
        .unwrap();
        assert_eq!(printed.len(), 3, "{printed:?}");
        assert!(printed.iter().all(|text| text.contains("line c")), "{printed:?}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
