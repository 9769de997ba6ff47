//! A form with a file, as browsers send it: its parts, taken out of a request.
//!
//! The parts are parsed by the library. Here is what it leaves open: how many there may be, that text is UTF-8, that a form
//! which was cut off is none, and that a file which nobody chose is not an empty one. How large a body may be is said by its
//! route; who may post it, by `visit`.

use std::collections::BTreeMap;

use axum::extract::{FromRequest as _, Multipart, Request};
use axum::http::StatusCode;

/// Parts of one form: more than any form of ours has fields.
const PARTS: usize = 1_000;

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

/// Whether a body of this `Content-Type` is for [`read`].
#[must_use]
pub fn is_multipart(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("multipart/form-data")
}

/// Reads a form.
///
/// # Errors
/// The status to refuse it with: no form that a browser would send, or too large a one.
pub async fn read(request: Request) -> Result<Form, StatusCode> {
    let mut multipart = Multipart::from_request(request, &()).await.map_err(|refusal| refusal.status())?;
    let mut form = Form::default();
    for _ in 0..PARTS {
        let Some(part) = multipart.next_field().await.map_err(|error| error.status())? else {
            return Ok(form);
        };
        let name = part.name().ok_or(StatusCode::BAD_REQUEST)?.to_owned();
        let file = part.file_name().map(str::to_owned);
        let bytes = part.bytes().await.map_err(|error| error.status())?;
        match file {
            // No file was chosen.
            Some(file) if file.is_empty() && bytes.is_empty() => {}
            Some(file) => {
                form.files.insert(name, File { name: file, bytes: bytes.into() });
            }
            None => {
                let text = String::from_utf8(bytes.into()).map_err(|_| StatusCode::BAD_REQUEST)?;
                form.values.insert(name, text);
            }
        }
    }
    Err(StatusCode::BAD_REQUEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    use axum::body::Body;
    use axum::extract::DefaultBodyLimit;
    use axum::http::header::CONTENT_TYPE;

    const BODY: &str = "--xYz\r\nContent-Disposition: form-data; name=\"form_token\"\r\n\r\nabc\r\n\
        --xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"rows.csv\"\r\n\
        Content-Type: text/csv\r\n\r\nuser,plan\r\na,\"--xYz\"\r\n\r\n--xYz\r\n\
        content-disposition: form-data; name=\"none\"; filename=\"\"\r\n\r\n\r\n--xYz--\r\n";

    async fn form(boundary: &str, body: impl Into<Body>) -> Result<Form, StatusCode> {
        let kind = format!("multipart/form-data; boundary={boundary}");
        let mut request = Request::builder().header(CONTENT_TYPE, kind).body(body.into()).unwrap();
        DefaultBodyLimit::max(2_000).apply(&mut request);
        read(request).await
    }

    #[tokio::test]
    async fn fields_and_files_come_out_as_they_were_sent() {
        let read = form("xYz", BODY).await.unwrap();
        assert_eq!(read.values, BTreeMap::from([("form_token".to_owned(), "abc".to_owned())]));
        let file = &read.files["file"];
        assert_eq!((file.name.as_str(), read.files.len()), ("rows.csv", 1));
        assert_eq!(file.bytes, b"user,plan\r\na,\"--xYz\"\r\n");
        let bytes = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n".as_bytes();
        let bytes = [bytes, &[0xff, 0xfe, 0], b"\r\n--x--"].concat();
        assert_eq!(form("x", bytes).await.unwrap().files["f"].bytes, [0xff, 0xfe, 0]);
    }

    #[tokio::test]
    async fn what_is_cut_short_strange_or_too_large_is_refused_and_never_half_a_form() {
        let whole = BODY.len() - "--\r\n".len();
        for end in 0..whole {
            assert_eq!(
                form("xYz", BODY.as_bytes()[..end].to_vec()).await,
                Err(StatusCode::BAD_REQUEST),
                "{end}"
            );
        }
        for bad in [
            "--x\r\n\r\n\r\n--x--",
            "--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--",
            "--x\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--x--",
            "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\u{fffd}\r\n--y--",
            "--y--",
        ] {
            assert_eq!(form("x", bad).await, Err(StatusCode::BAD_REQUEST), "{bad}");
        }
        let latin = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nCaf\xe9\r\n--x--";
        assert_eq!(form("x", latin.to_vec()).await, Err(StatusCode::BAD_REQUEST));
        let large = format!(
            "{}{}\r\n--x--",
            "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n",
            "1".repeat(2_000)
        );
        assert_eq!(form("x", large).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[tokio::test]
    async fn no_form_has_a_thousand_parts() {
        let part = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
        let many = |parts: usize| {
            let request = Request::builder().header(CONTENT_TYPE, "multipart/form-data; boundary=x");
            read(request.body(Body::from(format!("{}--x--", part.repeat(parts)))).unwrap())
        };
        assert!(many(PARTS - 1).await.is_ok());
        assert_eq!(many(PARTS).await, Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn other_kinds_of_forms_are_left_to_others() {
        assert!(is_multipart("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\""));
        assert!(is_multipart("multipart/form-data"));
        assert!(!is_multipart("application/x-www-form-urlencoded"));
        assert!(!is_multipart(""));
    }
}
