//! A form with a file, as browsers send it (RFC 7578). Pure: a bounded body in, its parts out.
//!
//! Only what browsers write is read: parts with a name, parted by the boundary that the header names. What else there may be
//! (nested parts, encodings of transfer) is refused, because no browser of ours sends it. How large a body may be is said
//! where it is received (`visit`).

use std::collections::BTreeMap;

use thiserror::Error;

/// Parts of one form: more than any form of ours has fields.
const PARTS: usize = 1_000;
/// RFC 2046 says so.
const BOUNDARY_CHARACTERS: usize = 70;

/// A file as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// What it is called where it came from; for words alone.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// A form, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Fields with text.
    pub values: BTreeMap<String, String>,
    /// Files that were chosen.
    pub files: BTreeMap<String, File>,
}

/// A body that no browser would send.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the form cannot be read")]
pub struct NotAForm;

/// The boundary in a `Content-Type`; `None` when it is another kind of body.
///
/// # Errors
/// When it is this kind and has none.
pub fn boundary(content_type: &str) -> Result<Option<&str>, NotAForm> {
    let (kind, rest) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Ok(None);
    }
    let parameters = rest.split(';').filter_map(|part| part.trim().split_once('='));
    let mut named = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"));
    let (_, boundary) = named.next().ok_or(NotAForm)?;
    let boundary = boundary.trim().trim_matches('"');
    let is_usable = !boundary.is_empty() && boundary.len() <= BOUNDARY_CHARACTERS;
    if is_usable { Ok(Some(boundary)) } else { Err(NotAForm) }
}

/// Reads a body.
///
/// # Errors
/// [`NotAForm`].
pub fn read(body: &[u8], boundary: &str) -> Result<Form, NotAForm> {
    let first = format!("--{boundary}");
    let between = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(first.as_bytes()).ok_or(NotAForm)?;
    let mut form = Form::default();
    for _ in 0..PARTS {
        if rest.starts_with(b"--") {
            return Ok(form);
        }
        let part = rest.strip_prefix(b"\r\n").ok_or(NotAForm)?;
        let (head, tail) = split(part, b"\r\n\r\n").ok_or(NotAForm)?;
        let (content, after) = split(tail, between.as_bytes()).ok_or(NotAForm)?;
        take(&mut form, head, content)?;
        rest = after;
    }
    Err(NotAForm)
}

fn split<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let found = bytes.windows(at.len()).position(|window| window == at)?;
    Some((bytes.get(..found)?, bytes.get(found.saturating_add(at.len())..)?))
}

fn take(form: &mut Form, head: &[u8], content: &[u8]) -> Result<(), NotAForm> {
    let head = std::str::from_utf8(head).map_err(|_| NotAForm)?;
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then(|| value.trim())
    });
    let disposition = disposition.ok_or(NotAForm)?;
    let name = parameter(disposition, "name").ok_or(NotAForm)?;
    match parameter(disposition, "filename") {
        // No file was chosen.
        Some(file) if file.is_empty() && content.is_empty() => {}
        Some(file) => {
            form.files.insert(name, File { name: file, bytes: content.to_vec() });
        }
        None => {
            let text = String::from_utf8(content.to_vec()).map_err(|_| NotAForm)?;
            form.values.insert(name, text);
        }
    }
    Ok(())
}

/// A quoted parameter. Browsers write a quote in it as `%22`.
fn parameter(disposition: &str, wanted: &str) -> Option<String> {
    let start = format!("; {wanted}=\"");
    let (_, rest) = disposition.split_once(start.as_str())?;
    Some(rest.split_once('"')?.0.replace("%22", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "--xYz\r\nContent-Disposition: form-data; name=\"form_token\"\r\n\r\nabc\r\n\
        --xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"my %22rows%22.csv\"\r\n\
        Content-Type: text/csv\r\n\r\nuser,plan\r\na,\"--xYz\"\r\n\r\n--xYz\r\n\
        content-disposition: form-data; name=\"none\"; filename=\"\"\r\n\r\n\r\n--xYz--\r\n";

    #[test]
    fn fields_and_files_come_out_as_they_were_sent() {
        let form = read(BODY.as_bytes(), "xYz").unwrap();
        assert_eq!(form.values, BTreeMap::from([("form_token".to_owned(), "abc".to_owned())]));
        let file = &form.files["file"];
        assert_eq!((file.name.as_str(), form.files.len()), ("my \"rows\".csv", 1));
        assert_eq!(file.bytes, b"user,plan\r\na,\"--xYz\"\r\n");
        let bytes = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n".as_bytes();
        let bytes = [bytes, &[0xff, 0xfe, 0], b"\r\n--x--"].concat();
        assert_eq!(read(&bytes, "x").unwrap().files["f"].bytes, [0xff, 0xfe, 0]);
    }

    #[test]
    fn what_is_cut_short_or_strange_is_refused_and_never_half_a_form() {
        let whole = BODY.len() - "--\r\n".len();
        for end in 0..whole {
            assert_eq!(read(&BODY.as_bytes()[..end], "xYz"), Err(NotAForm), "{end}");
        }
        for bad in [
            "--x\r\n\r\n\r\n--x--",
            "--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--",
            "--x\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--x--",
            "--y--",
        ] {
            assert_eq!(read(bad.as_bytes(), "x"), Err(NotAForm), "{bad}");
        }
        let part = "\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x";
        let many = format!("--x{}--", part.repeat(PARTS));
        assert_eq!(read(many.as_bytes(), "x"), Err(NotAForm));
    }

    #[test]
    fn the_boundary_is_what_the_header_says() {
        assert_eq!(boundary("multipart/form-data; boundary=----WebKit9"), Ok(Some("----WebKit9")));
        assert_eq!(boundary("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\""), Ok(Some("a b")));
        assert_eq!(boundary("application/x-www-form-urlencoded"), Ok(None));
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for bad in ["multipart/form-data", "multipart/form-data; boundary=", &long] {
            assert_eq!(boundary(bad), Err(NotAForm), "{bad}");
        }
    }
}
