//! The API log at the site: one file a day in the state directory, one JSON object a line.
//!
//! ```text
//! api-log/2026-11-26.jsonl     by the agent's clock, in UTC
//! ```
//!
//! It is the least of what the disk holds: it stops growing first when space runs short. Its oldest days go where that gives
//! the space back, and all of it before anything else is at risk; a disk that something else fills costs it nothing more. Lines are appended in batches and not synced: a power cut takes the last seconds and may
//! tear the last line, which readers pass over. Reading needs no agent. What a line holds is `record.rs`'s business.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tawi_shared::{UnixMillis, ZONE, ZONE_AHEAD_OF_UTC};

use super::record::Write;
use crate::outbox::free_bytes;

/// For how long it is kept at the site.
pub const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// What all days may take together, in bytes: thirty days of a site of 2,000 lines that each cost four writes of 250
/// bytes a day, which is the busiest site that is known.
pub const FILES_BYTES: u64 = 64 * 1024 * 1024;
/// What one day may take, so that two programs fighting over a row do not push out a whole month: a quarter of it.
pub const DAY_BYTES: u64 = FILES_BYTES / 4;
/// Free space below which it takes none: four times what the store itself keeps back.
pub const FREE_BYTES: u64 = 16 * 1024 * 1024;
/// Free space below which the store is at risk, so that all of the log gives way.
const RISK_BYTES: u64 = FREE_BYTES / 4;
/// The longest line that is read, in bytes; the longest that is written has less than half of it.
const LINE_BYTES: u64 = 4 * 1024;

const DIRECTORY: &str = "api-log";
const ENDING: &str = ".jsonl";

/// The directory of the log.
#[derive(Clone, Debug)]
pub struct Files {
    directory: PathBuf,
}

impl Files {
    /// The log within a state directory. Nothing is made yet.
    #[must_use]
    pub fn within(state_directory: &Path) -> Self {
        Self { directory: state_directory.join(DIRECTORY) }
    }

    /// Appends writes to the file of the day; answers how many were left out because a bound was reached.
    ///
    /// # Errors
    /// What the system said. The writes may then be there, in part or not at all.
    pub fn append(&self, writes: &[Write], now: UnixMillis) -> io::Result<usize> {
        if writes.is_empty() {
            return Ok(0);
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        if !self.make_room(now)? {
            return Ok(writes.len());
        }
        let path = self.directory.join(format!("{}{ENDING}", day_of(now)));
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&path)?;
        let mut size = file.metadata()?.len();
        // A power cut may have torn the last line; the next one stays whole.
        let is_torn = size > 0 && !ends_line(&mut file)?;
        let mut text = if is_torn { "\n".to_owned() } else { String::new() };
        let mut left_out = 0;
        for write in writes {
            let Ok(line) = serde_json::to_string(write) else { continue };
            let bytes = u64::try_from(line.len()).unwrap_or(u64::MAX).saturating_add(1);
            if size.saturating_add(bytes) > DAY_BYTES {
                left_out += 1;
                continue;
            }
            size = size.saturating_add(bytes);
            text.push_str(&line);
            text.push('\n');
        }
        if left_out < writes.len() {
            file.write_all(text.as_bytes())?;
        }
        Ok(left_out)
    }

    /// Removes days that are older than [`KEPT`], and puts days that are still to come, as a wrong clock made them, behind
    /// what today has: they are in the order in which they were written then, and go with it. `now` only while the clock is
    /// trusted.
    ///
    /// # Errors
    /// What the system said.
    pub fn forget_old(&self, now: UnixMillis) -> io::Result<()> {
        let oldest = day_of(now.minus(KEPT));
        let today = day_of(now);
        for day in self.days()? {
            if day < oldest {
                self.remove(&day)?;
            } else if day > today {
                self.put_behind(&day, &today)?;
            }
        }
        Ok(())
    }

    fn put_behind(&self, day: &str, today: &str) -> io::Result<()> {
        let path = self.path_of(today);
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&path)?;
        if file.metadata()?.len() > 0 && !ends_line(&mut file)? {
            file.write_all(b"\n")?;
        }
        let (held, more) = (file.metadata()?.len(), std::fs::metadata(self.path_of(day))?.len());
        // What has no room today stays where it is, and has some tomorrow.
        if held.saturating_add(more) > DAY_BYTES {
            return Ok(());
        }
        // A power cut in between leaves both, and some writes are shown twice; a full disk leaves what was there.
        if let Err(error) = io::copy(&mut File::open(self.path_of(day))?, &mut file) {
            file.set_len(held)?;
            return Err(error);
        }
        self.remove(day)
    }

    /// Removes the oldest days where that leaves room; whether there is some.
    ///
    /// # Errors
    /// What the system said.
    pub fn make_room(&self, now: UnixMillis) -> io::Result<bool> {
        let days = self.days()?;
        let sizes = days.iter().map(|day| Ok(fs::metadata(self.path_of(day))?.len()));
        let sizes = sizes.collect::<io::Result<Vec<_>>>()?;
        let has_today = days.last().is_some_and(|newest| *newest >= day_of(now));
        let room = Room::of(free_bytes(&self.directory)?, &sizes, has_today);
        days.iter().take(room.days_to_go).try_for_each(|day| self.remove(day))?;
        Ok(room.is_there)
    }

    /// Reads the writes of all days from `since` on, oldest first, and hands each to `show` until it says `false`. Lines
    /// that cannot be read are counted and passed over.
    ///
    /// # Errors
    /// What the system said; no directory is no writes.
    pub fn read(&self, since: UnixMillis, mut show: impl FnMut(Write) -> bool) -> io::Result<u64> {
        let first = day_of(since);
        let mut unread = 0;
        for day in self.days()?.into_iter().filter(|day| *day >= first) {
            let file = match File::open(self.path_of(&day)) {
                // Its day was over while we read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let mut lines = Lines(BufReader::new(file));
            while let Some(line) = lines.next()? {
                match serde_json::from_slice::<Write>(&line) {
                    Ok(write) if write.at_ms < since.0 => {}
                    Ok(write) => {
                        if !show(write) {
                            return Ok(unread);
                        }
                    }
                    Err(_) => unread += 1,
                }
            }
        }
        Ok(unread)
    }

    /// The days that there are, oldest first.
    fn days(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut days = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let day = name.to_str().and_then(|name| name.strip_suffix(ENDING));
            days.extend(day.filter(|day| day.len() == 10).map(str::to_owned));
        }
        days.sort();
        Ok(days)
    }

    fn remove(&self, day: &str) -> io::Result<()> {
        match fs::remove_file(self.path_of(day)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn path_of(&self, day: &str) -> PathBuf {
        self.directory.join(format!("{day}{ENDING}"))
    }
}

/// What is done about the days for want of room. Pure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    /// So many of the oldest go.
    days_to_go: usize,
    /// Whether there is room for more after that.
    is_there: bool,
}

impl Room {
    /// With so much space free and days of these sizes, the oldest first, of which the last may be today.
    fn of(free: u64, days: &[u64], has_today: bool) -> Self {
        let fold = |days: &[u64]| days.iter().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        let without = |count: usize| fold(days.get(count..).unwrap_or_default());
        let all = fold(days);
        let left = |count: usize| free.saturating_add(all.saturating_sub(without(count)));
        let fewest = |is_enough: &dyn Fn(usize) -> bool| (0..=days.len()).find(|count| is_enough(*count));
        let has_space = |count: usize| left(count) >= FREE_BYTES && without(count) <= FILES_BYTES;
        // Today stays where somebody else fills the disk: without it the log says that nothing was written.
        let before_today = days.len().saturating_sub(usize::from(has_today));
        match fewest(&has_space).filter(|count| *count <= before_today) {
            Some(days_to_go) => Self { days_to_go, is_there: true },
            None => {
                let is_safe = |count: usize| left(count) >= RISK_BYTES && without(count) <= FILES_BYTES;
                Self { days_to_go: fewest(&is_safe).unwrap_or(days.len()), is_there: false }
            }
        }
    }
}

/// Whole lines of a file, without those that are longer than any of ours.
struct Lines(BufReader<File>);

impl Lines {
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        if (&mut self.0).take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.pop_if(|byte| *byte == b'\n').is_some() {
            return Ok(Some(line));
        }
        // Too long or torn: the rest of it goes, and what is left cannot be read.
        loop {
            let mut rest = Vec::new();
            let count = (&mut self.0).take(LINE_BYTES).read_until(b'\n', &mut rest)?;
            if count == 0 || rest.last() == Some(&b'\n') {
                return Ok(Some(Vec::new()));
            }
        }
    }
}

fn ends_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The day of an instant in UTC, such as `2026-11-26`.
#[must_use]
pub fn day_of(at: UnixMillis) -> String {
    let (year, month, day) = civil(at.0.div_euclid(86_400_000));
    format!("{year:04}-{month:02}-{day:02}")
}

/// An instant as people read it, with its zone: `2026-11-26 04:25:44 EAT`. Head office writes it the same way.
#[must_use]
pub fn shown(at: UnixMillis) -> String {
    let local = at.plus(ZONE_AHEAD_OF_UTC);
    let seconds = local.0.div_euclid(1_000).rem_euclid(86_400);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{} {hours:02}:{minutes:02}:{:02} {ZONE}", day_of(local), seconds % 60)
}

/// Year, month and day of a number of days since 1970, by the Gregorian calendar: eras of 400 years that begin in March.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tawi_shared::IdSource;

    struct Place(PathBuf);

    impl Place {
        fn new() -> (Self, Files) {
            let path = std::env::temp_dir().join(format!("tawi-api-log-{}", IdSource::system().hex(4)));
            let files = Files::within(&path);
            (Self(path), files)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn write(at: UnixMillis, parameters: &str) -> Write {
        Write {
            at_ms: at.0,
            router: "core".into(),
            operation: "/ppp/secret/set".into(),
            parameters: parameters.into(),
            line: None,
            name: None,
            status: "done".into(),
            detail: String::new(),
        }
    }

    fn read(files: &Files, since: UnixMillis) -> (Vec<String>, u64) {
        let mut found = Vec::new();
        let unread = files.read(since, |write| {
            found.push(write.parameters);
            true
        });
        (found, unread.unwrap())
    }

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: UnixMillis = UnixMillis(1_795_656_344_000);

    #[test]
    fn times_are_shown_as_the_calendar_has_them_with_their_zone() {
        let check = |seconds: i64, expected: &str| {
            assert_eq!(shown(UnixMillis(seconds * 1_000)), expected);
        };
        check(0, "1970-01-01 03:00:00 EAT");
        check(951_771_600, "2000-02-29 00:00:00 EAT");
        check(1_709_240_399, "2024-02-29 23:59:59 EAT");
        check(1_735_689_599, "2025-01-01 02:59:59 EAT");
        check(-10_801, "1969-12-31 23:59:59 EAT");
    }

    #[test]
    fn a_line_that_a_power_cut_tore_costs_itself_alone() {
        let (_place, files) = Place::new();
        assert_eq!(files.append(&[write(NOW, "a"), write(NOW, "b")], NOW).unwrap(), 0);
        let path = files.path_of(&day_of(NOW));
        let whole = fs::read(&path).unwrap();
        for kept in 1..whole.len() {
            fs::write(&path, &whole[..kept]).unwrap();
            files.append(&[write(NOW, "c")], NOW).unwrap();
            let (found, unread) = read(&files, UnixMillis(0));
            assert_eq!(found.last().map(String::as_str), Some("c"), "{kept}");
            assert!(found.len() + usize::try_from(unread).unwrap() <= 3 && unread <= 1, "{kept}: {found:?}");
        }
        fs::write(&path, [&b"{}\n"[..], &vec![b'x'; 10_000], b"\n", &whole].concat()).unwrap();
        assert_eq!(read(&files, UnixMillis(0)), (vec!["a".into(), "b".into()], 2));
    }

    #[test]
    fn days_older_than_thirty_go_and_readers_begin_where_they_ask() {
        let (_place, files) = Place::new();
        for days in [40, 31, 30, 1, 0] {
            let at = NOW.minus(DAY * days);
            files.append(&[write(at, &days.to_string())], at).unwrap();
        }
        assert_eq!(read(&files, NOW.minus(DAY)).0, ["1", "0"]);
        files.forget_old(NOW).unwrap();
        assert_eq!(read(&files, UnixMillis(0)).0, ["30", "1", "0"]);
    }

    #[test]
    fn days_of_a_clock_that_was_ahead_stand_behind_today_in_the_order_of_writing_and_go_with_it() {
        let (_place, files) = Place::new();
        let (ahead, later) = (NOW.plus(DAY * 400), NOW.plus(Duration::from_secs(60)));
        files.append(&[write(NOW, "a")], NOW).unwrap();
        files.append(&[write(ahead, "b"), write(ahead, "c")], ahead).unwrap();
        files.forget_old(later).unwrap();
        files.append(&[write(later, "d")], later).unwrap();
        assert_eq!(read(&files, UnixMillis(0)).0, ["a", "b", "c", "d"]);
        files.forget_old(NOW.plus(DAY * 31)).unwrap();
        assert!(read(&files, UnixMillis(0)).0.is_empty());
    }

    #[test]
    fn a_day_of_a_clock_that_was_ahead_takes_no_room_from_what_is_still_to_be_written_today() {
        let (_place, files) = Place::new();
        let (ahead, tomorrow) = (NOW.plus(DAY * 400), NOW.plus(DAY));
        files.append(&[write(NOW, "a")], NOW).unwrap();
        let full = File::options().create(true).append(true).open(files.path_of(&day_of(ahead))).unwrap();
        full.set_len(DAY_BYTES).unwrap();
        files.forget_old(NOW).unwrap();
        assert_eq!(files.append(&[write(NOW, "b")], NOW).unwrap(), 0, "it is written");
        files.forget_old(tomorrow).unwrap();
        assert_eq!(files.days().unwrap(), [day_of(NOW), day_of(tomorrow)]);
    }

    #[test]
    fn days_go_for_space_where_that_gives_it_back_or_the_store_is_at_risk() {
        const MIB: u64 = 1024 * 1024;
        let check = |free: u64, days: &[u64], expected: (usize, bool)| {
            let days: Vec<u64> = days.iter().map(|size| size * MIB).collect();
            let found = Room::of(free * MIB, &days, !days.is_empty());
            assert_eq!((found.days_to_go, found.is_there), expected, "{free} {days:?}");
        };
        check(100, &[], (0, true));
        check(100, &[1, 1], (0, true));
        // The bound of all days.
        check(100, &[16, 16, 16, 16], (0, true));
        check(100, &[16, 16, 16, 16, 1], (1, true));
        // Space that the oldest days give back.
        check(10, &[4, 4, 4], (2, true));
        check(6, &[12, 1], (1, true));
        // Space that something else took.
        check(10, &[1, 1], (0, false));
        check(10, &[6], (0, false));
        check(10, &[], (0, false));
        // Space that the store needs.
        check(3, &[1, 1], (1, false));
        check(0, &[1, 1], (2, false));
        check(0, &[2, 2, 2], (2, false));
        check(0, &[], (0, false));
        // Days of before, when nothing was written today yet.
        let room = Room::of(10 * MIB, &[4 * MIB, 4 * MIB], false);
        assert_eq!((room.days_to_go, room.is_there), (2, true));
    }

    #[test]
    fn a_day_stops_at_its_bound_and_the_oldest_days_make_room() {
        let (_place, files) = Place::new();
        files.append(&[write(NOW, "a")], NOW).unwrap();
        let full = |days: u32| {
            let file = File::create(files.path_of(&day_of(NOW.minus(DAY * days)))).unwrap();
            file.set_len(DAY_BYTES).unwrap();
        };
        full(0);
        assert_eq!(files.append(&[write(NOW, "a")], NOW).unwrap(), 1);
        (1..5).for_each(full);
        assert!(files.make_room(NOW).unwrap());
        assert_eq!(files.days().unwrap().len(), 4);
        assert_eq!(files.days().unwrap().last(), Some(&day_of(NOW)));
    }
}
