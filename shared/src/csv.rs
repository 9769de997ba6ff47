//! Tables of plain text as spreadsheets write them. Pure.
//!
//! Fields are parted by commas, semicolons or tabs, whichever the first line has most of; a field in quotes may hold any of
//! them, a line break, and a quote by doubling it (RFC 4180). What a column means is the reader's business, and so is what
//! stands in it.

use thiserror::Error;

/// Rows that are read; a sheet has one for each line of the largest router that is known, twice over.
pub const ROWS: usize = 5_000;
/// Fields of one row.
const FIELDS: usize = 64;
/// The longest field, in bytes.
const FIELD_BYTES: usize = 1_024;

/// One row, and the line of the text on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// From 1.
    pub line: usize,
    /// As written, without the quotes and without blanks around.
    pub fields: Vec<String>,
}

/// Why a text is no table.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CsvError {
    /// A quote has no end.
    #[error("line {0}: a quote begins here and does not end")]
    OpenQuote(usize),
    /// Too much of something.
    #[error(
        "line {0}: more than can be read: at most {ROWS} rows, {FIELDS} columns and {FIELD_BYTES} bytes a field"
    )]
    TooLarge(usize),
}

/// Reads a table. Rows without any text are left out.
///
/// # Errors
/// [`CsvError`] names the line.
pub fn read(text: &str) -> Result<Vec<Row>, CsvError> {
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    read_parted(text, separator(first))
}

/// What parts the fields of a table, by its first line.
#[must_use]
pub fn separator(first: &str) -> char {
    let count = |separator: char| first.matches(separator).count();
    // Of as many, the later: whoever parts by semicolons does so because commas stand in the fields.
    let found = ['\t', ',', ';'].into_iter().filter(|separator| count(*separator) > 0);
    found.max_by_key(|separator| count(*separator)).unwrap_or(',')
}

/// Reads a table, or a part of one, whose fields this letter parts.
///
/// # Errors
/// [`CsvError`] names the line, from 1.
pub fn read_parted(text: &str, separator: char) -> Result<Vec<Row>, CsvError> {
    let mut rows = Vec::new();
    let mut row = Row { line: 1, fields: Vec::new() };
    let (mut field, mut line, mut quote) = (String::new(), 1_usize, None);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if field.len() > FIELD_BYTES || row.fields.len() >= FIELDS || rows.len() > ROWS {
            return Err(CsvError::TooLarge(line));
        }
        line = line.saturating_add(usize::from(letter == '\n'));
        match letter {
            '"' if quote.is_some() && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quote.is_some() => quote = None,
            '"' if field.trim().is_empty() => {
                field.clear();
                quote = Some(line);
            }
            '\n' if quote.is_none() => {
                row.fields.push(std::mem::take(&mut field).trim().to_owned());
                rows.push(std::mem::replace(&mut row, Row { line, fields: Vec::new() }));
            }
            other if other == separator && quote.is_none() => {
                row.fields.push(std::mem::take(&mut field).trim().to_owned());
            }
            other => field.push(other),
        }
    }
    if let Some(begun) = quote {
        return Err(CsvError::OpenQuote(begun));
    }
    row.fields.push(field.trim().to_owned());
    rows.push(row);
    rows.retain(|row| row.fields.iter().any(|field| !field.is_empty()));
    if rows.len() > ROWS { Err(CsvError::TooLarge(line)) } else { Ok(rows) }
}

/// A heading as it is compared: letters and digits alone, small.
#[must_use]
pub fn heading(text: &str) -> String {
    text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_every_spreadsheet_are_read() {
        let check = |text: &str, expected: &[(usize, &[&str])]| {
            let rows = read(text).unwrap();
            let rows: Vec<(usize, Vec<&str>)> =
                rows.iter().map(|row| (row.line, row.fields.iter().map(String::as_str).collect())).collect();
            let expected: Vec<_> = expected.iter().map(|(line, fields)| (*line, fields.to_vec())).collect();
            assert_eq!(rows, expected, "{text:?}");
        };
        check("a,b\r\n1, 2 \r\n", &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("\u{feff}a;b,c\n1;2", &[(1, &["a", "b,c"]), (2, &["1", "2"])]);
        check(
            "a\tb\n\n\"x\ny\"\t\"say \"\"hi\"\"\"\nlast",
            &[(1, &["a", "b"]), (3, &["x\ny", "say \"hi\""]), (5, &["last"])],
        );
        check("", &[]);
        check("one", &[(1, &["one"])]);
        check("a,,\n,,\n", &[(1, &["a", "", ""])]);
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_line() {
        assert_eq!(read("a,b\n1,\"2\n3"), Err(CsvError::OpenQuote(2)));
        assert_eq!(read(&"x\n".repeat(ROWS + 1)), Err(CsvError::TooLarge(ROWS + 2)));
        assert!(matches!(read(&"x".repeat(FIELD_BYTES * 2)), Err(CsvError::TooLarge(1))));
        assert!(matches!(read(&",".repeat(FIELDS * 2)), Err(CsvError::TooLarge(1))));
    }

    #[test]
    fn headings_are_compared_by_what_is_said() {
        for text in ["Paid until", "paid_until", "PAID-UNTIL "] {
            assert_eq!(heading(text), "paiduntil");
        }
    }
}
