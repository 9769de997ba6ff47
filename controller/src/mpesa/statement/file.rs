//! The file that the organisation portal exports: bytes in, rows out. Pure.
//!
//! Lines before the headings say whose statement it is; where the headings stand differs, so they are found by what they
//! say. One line is one row: a quote that does not end costs that line alone, and a field with a line break, which no
//! export was seen to have, is kept for a person in two halves. What a row means is `row`.

use tawi_shared::csv;
use thiserror::Error;

use super::row::{self, Row};

/// The largest file. A year of 1,000 payments a day has about 70 MB in the widest form; it can be exported by the month.
pub const FILE_BYTES: u64 = 64 << 20;
/// Rows of one file: half a year of 1,000 payments a day.
const ROWS: usize = 200_000;
/// Lines among which the headings are looked for; the longest preamble that was seen has seven.
const PREAMBLE_LINES: usize = 100;
/// Digits of a short code.
const SHORT_CODE_DIGITS: std::ops::RangeInclusive<usize> = 5..=7;

/// Why a file is no statement that can be used. Nothing of it is taken in.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotAStatement {
    /// Another kind of file.
    #[error(
        "this is {0}: export the statement as CSV in Safaricom's organisation portal, or save it as CSV (UTF-8)"
    )]
    AnotherFormat(&'static str),
    /// No line names the columns.
    #[error(
        "no line names the columns Receipt No. and Paid In: is it the statement of Safaricom's organisation portal, \
         exported as CSV?"
    )]
    NoHeadings,
    /// A column is not there without which nothing can be booked.
    #[error("line {line}: no column is called {column}: export the statement with all its columns")]
    NoColumn {
        /// Where the headings stand.
        line: usize,
        /// What is missing.
        column: &'static str,
    },
    /// It names several short codes before the rows.
    #[error("it names the short codes {0} and {1}: export the statement of one")]
    ShortCodes(String, String),
    /// More bytes than are read.
    #[error("it has more than {} MiB: export a shorter span", FILE_BYTES >> 20)]
    TooLarge,
    /// More rows than are read.
    #[error("it has more than {ROWS} lines: export a shorter span")]
    TooManyRows,
}

/// Which column is what, by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) receipt: usize,
    pub(super) completed_at: usize,
    pub(super) details: usize,
    pub(super) status: usize,
    pub(super) paid_in: usize,
    pub(super) withdrawn: usize,
    /// The others are in some forms only.
    pub(super) balance: Option<usize>,
    pub(super) reason: Option<usize>,
    pub(super) other_party: Option<usize>,
    pub(super) account: Option<usize>,
    pub(super) linked: Option<usize>,
    /// How many there are, with those that are not used.
    pub(super) width: usize,
}

/// A statement whose headings were found.
#[derive(Clone, Debug)]
pub struct File<'a> {
    /// Whose it is, where it says so.
    pub short_code: Option<String>,
    columns: Columns,
    separator: char,
    /// What stands below the headings, with the number of its line.
    lines: Vec<(usize, &'a [u8])>,
}

impl<'a> File<'a> {
    /// Finds the headings, and what is said before them.
    ///
    /// # Errors
    /// [`NotAStatement`] says what to do about it.
    pub fn read(bytes: &'a [u8]) -> Result<Self, NotAStatement> {
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES {
            return Err(NotAStatement::TooLarge);
        }
        if let Some(format) = another_format(bytes) {
            return Err(NotAStatement::AnotherFormat(format));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut lines = bytes.split(|byte| *byte == b'\n').zip(1_usize..).map(|(text, line)| (line, text));
        let mut short_code: Option<String> = None;
        let headings = lines.by_ref().take(PREAMBLE_LINES).find_map(|(line, text)| {
            let text = String::from_utf8_lossy(text);
            let separator = csv::separator(&text);
            let fields = fields_of(&text, separator)?;
            let names: Vec<String> = fields.iter().map(|field| csv::heading(field)).collect();
            let has = |wanted: fn(&str) -> bool| names.iter().any(|name| wanted(name));
            if has(is_receipt) && has(is_paid_in) {
                return Some(Ok((columns(&names, line), separator)));
            }
            let said = short_code_in(&fields)?;
            match short_code.replace(said.clone()) {
                Some(before) if before != said => Some(Err(NotAStatement::ShortCodes(before, said))),
                _ => None,
            }
        });
        let (columns, separator) = headings.ok_or(NotAStatement::NoHeadings)??;
        let lines: Vec<_> = lines.take(ROWS.saturating_add(1)).collect();
        if lines.len() > ROWS {
            return Err(NotAStatement::TooManyRows);
        }
        Ok(Self { short_code, columns: columns?, separator, lines })
    }

    /// How many lines stand below the headings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether nothing stands below the headings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The rows in the order of the file. Lines without text are none, and neither are headings that are repeated.
    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = Row> {
        self.lines.iter().filter_map(|(line, text)| {
            let text = String::from_utf8_lossy(text);
            let text = text.trim_end_matches('\r');
            if text.chars().all(|letter| letter.is_whitespace() || letter == self.separator) {
                return None;
            }
            let fields = fields_of(text, self.separator);
            let is_repeated = |fields: &Vec<String>| {
                let name = |at: usize| fields.get(at).map(|field| csv::heading(field)).unwrap_or_default();
                is_receipt(&name(self.columns.receipt)) && is_paid_in(&name(self.columns.paid_in))
            };
            if fields.as_ref().is_some_and(is_repeated) {
                return None;
            }
            Some(row::read(*line, text, fields.as_deref(), &self.columns))
        })
    }
}

/// The fields of one line; `None` when it is no row of a table.
fn fields_of(line: &str, separator: char) -> Option<Vec<String>> {
    let rows = csv::read_parted(line, separator).ok()?;
    rows.into_iter().next().map(|row| row.fields)
}

/// What a file is that is no text as we read it.
fn another_format(bytes: &[u8]) -> Option<&'static str> {
    let begins = |with: &[u8]| bytes.starts_with(with);
    if begins(b"PK\x03\x04") || begins(&[0xd0, 0xcf, 0x11, 0xe0]) {
        Some("a spreadsheet")
    } else if begins(b"%PDF") {
        Some("a PDF")
    } else if begins(&[0xff, 0xfe]) || begins(&[0xfe, 0xff]) {
        Some("text in UTF-16")
    } else {
        None
    }
}

fn is_receipt(name: &str) -> bool {
    matches!(name, "receiptno" | "receiptnumber" | "receipt")
}

fn is_paid_in(name: &str) -> bool {
    name == "paidin"
}

fn columns(names: &[String], line: usize) -> Result<Columns, NotAStatement> {
    let find = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
    let need = |wanted: &[&str], column| find(wanted).ok_or(NotAStatement::NoColumn { line, column });
    Ok(Columns {
        receipt: need(&["receiptno", "receiptnumber", "receipt"], "Receipt No.")?,
        completed_at: need(&["completiontime"], "Completion Time")?,
        details: need(&["details"], "Details")?,
        status: need(&["transactionstatus", "status"], "Transaction Status")?,
        paid_in: need(&["paidin"], "Paid In")?,
        withdrawn: need(&["withdrawn"], "Withdrawn")?,
        balance: find(&["balance"]),
        reason: find(&["reasontype"]),
        other_party: find(&["otherpartyinfo"]),
        account: find(&["acno", "accountno", "accountnumber"]),
        linked: find(&["linkedtransactionid"]),
        width: names.len(),
    })
}

/// `Short Code:,174379`, `Short Code: 174379` and the like.
fn short_code_in(fields: &[String]) -> Option<String> {
    let (label, rest) = fields.split_first()?;
    if !csv::heading(label).contains("shortcode") {
        return None;
    }
    let texts = std::iter::once(label).chain(rest);
    texts
        .flat_map(|text| text.split(|letter: char| !letter.is_ascii_digit()))
        .find(|digits| SHORT_CODE_DIGITS.contains(&digits.len()))
        .map(str::to_owned)
}
