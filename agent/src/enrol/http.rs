//! One question over HTTP/1.1 (RFC 9112), and its answer.
//!
//! Enrolment says two requests in the life of a site, each alone on its connection. So this is all of HTTP that is needed:
//! one POST, one answer of bounded size, whose length is named or ends with the connection. It follows nothing, keeps
//! nothing, and takes no answer in pieces, which our front door does not send. TLS is its caller's business.

use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use zeroize::Zeroizing;

use tawi_shared::enrolment::BODY_BYTES;

/// From the first byte of the request to the last of the answer. A certificate is made in milliseconds; satellite and 3G
/// links need the rest.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// The longest head of an answer: ours have five lines.
const HEAD_BYTES: usize = 8 * 1_024;
const CHUNK_BYTES: usize = 4 * 1_024;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The connection broke.
    #[error("the connection broke before the answer was there: {0}")]
    Broken(#[from] std::io::Error),
    /// It ended too early.
    #[error("the connection ended before the answer was whole")]
    Cut,
    /// Nothing, or not all, within [`ANSWER_DEADLINE`].
    #[error("there was no whole answer within {} s", ANSWER_DEADLINE.as_secs())]
    TooSlow,
    /// It is longer than any answer of ours.
    #[error("the answer is longer than {} bytes", HEAD_BYTES + BODY_BYTES)]
    TooLong,
    /// It is not HTTP as our front door speaks it.
    #[error("what answers does not speak HTTP as head office does")]
    NotHttp,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// What it carries.
    pub body: Vec<u8>,
}

/// Posts JSON and waits for the answer.
///
/// # Errors
/// [`HttpError`]. Whether the request was heard is not known then.
pub async fn post<S>(stream: &mut S, host: &str, path: &str, body: &[u8]) -> Result<Answer, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let asking = async {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tawi-agent/{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nAccept: application/json\r\nConnection: close\r\n\r\n",
            env!("CARGO_PKG_VERSION"),
            body.len(),
        );
        // In one piece, since each would be a TLS record of its own; wiped, since a token stands in it.
        let mut request = Zeroizing::new(Vec::with_capacity(head.len() + body.len()));
        request.extend_from_slice(head.as_bytes());
        request.extend_from_slice(body);
        stream.write_all(&request).await?;
        stream.flush().await?;
        read_answer(stream).await
    };
    timeout(ANSWER_DEADLINE, Box::pin(asking)).await.unwrap_or(Err(HttpError::TooSlow))
}

async fn read_answer<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Answer, HttpError> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let is_over = match stream.read(&mut chunk).await {
            Ok(count) => {
                bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
                count == 0
            }
            // An end without TLS's farewell: whoever cuts a line could make a shorter answer of it.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(HttpError::Cut),
            Err(error) => return Err(error.into()),
        };
        if let Some(answer) = whole(&bytes, is_over)? {
            return Ok(answer);
        }
    }
}

/// The answer, once it is whole. `is_over`: nothing more comes.
fn whole(bytes: &[u8], is_over: bool) -> Result<Option<Answer>, HttpError> {
    // What does not begin like an answer is not waited for.
    let start = b"HTTP/1.";
    if !bytes.iter().zip(start).all(|(byte, wanted)| byte == wanted) {
        return Err(HttpError::NotHttp);
    }
    let Some(end) = bytes.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD) else {
        return match (bytes.len() > HEAD_BYTES, is_over) {
            (true, _) => Err(HttpError::TooLong),
            (false, true) => Err(HttpError::Cut),
            (false, false) => Ok(None),
        };
    };
    let (head, behind) = bytes.split_at(end);
    let head = std::str::from_utf8(head).map_err(|_| HttpError::NotHttp)?;
    let body = behind.get(END_OF_HEAD.len()..).unwrap_or_default();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(status_of).ok_or(HttpError::NotHttp)?;
    let mut length = None;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(HttpError::NotHttp)?;
        if name.eq_ignore_ascii_case("content-length") {
            let found: usize = value.trim().parse().map_err(|_| HttpError::NotHttp)?;
            if length.replace(found).is_some_and(|before| before != found) {
                return Err(HttpError::NotHttp);
            }
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(HttpError::NotHttp);
        }
    }
    if body.len() > BODY_BYTES || length.is_some_and(|length| length > BODY_BYTES) || head.len() > HEAD_BYTES
    {
        return Err(HttpError::TooLong);
    }
    match length {
        Some(length) => match body.get(..length) {
            Some(body) => Ok(Some(Answer { status, body: body.to_vec() })),
            None if is_over => Err(HttpError::Cut),
            None => Ok(None),
        },
        None if is_over => Ok(Some(Answer { status, body: body.to_vec() })),
        None => Ok(None),
    }
}

fn status_of(line: &str) -> Option<u16> {
    let mut words = line.split(' ');
    let version = words.next()?;
    let status = words.next().filter(|status| status.len() == 3)?.parse().ok()?;
    // An interim answer (1xx) is only sent to who asked for one.
    (version.starts_with("HTTP/1.") && (200..600).contains(&status)).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_when_it_is_whole_and_not_before() {
        let named = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        for end in 0..named.len() {
            assert!(matches!(whole(named.get(..end).unwrap(), false), Ok(None)), "{end}");
            let cut = whole(named.get(..end).unwrap(), true);
            assert!(matches!(cut, Err(HttpError::Cut)), "{end}: {cut:?}");
        }
        let expected = Answer { status: 200, body: b"{}".to_vec() };
        assert_eq!(whole(named, false).unwrap(), Some(expected));

        let unnamed = b"HTTP/1.0 409 Conflict\r\nServer: x\r\n\r\n{\"a\":1}";
        assert!(matches!(whole(unnamed, false), Ok(None)));
        let expected = Answer { status: 409, body: b"{\"a\":1}".to_vec() };
        assert_eq!(whole(unnamed, true).unwrap(), Some(expected));
    }

    #[test]
    fn what_is_no_answer_of_ours_is_refused() {
        let check = |bytes: &[u8], is_it: fn(&HttpError) -> bool| {
            let refused = whole(bytes, false).unwrap_err();
            assert!(is_it(&refused), "{}: {refused}", String::from_utf8_lossy(bytes));
        };
        let not_http: fn(&HttpError) -> bool = |error| matches!(error, HttpError::NotHttp);
        let too_long: fn(&HttpError) -> bool = |error| matches!(error, HttpError::TooLong);
        check(b"SSH-2.0-x", not_http);
        check(b"\x20\x02\0\0", not_http);
        check(b"HTTP/2 200 OK\r\n\r\n", not_http);
        check(b"HTTP/1.1 abc OK\r\n\r\n", not_http);
        check(b"HTTP/1.1 100 Continue\r\n\r\n", not_http);
        check(b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", not_http);
        check(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", not_http);
        check(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", not_http);
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", not_http);
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", too_long);
        check(&[b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'x'; 2 * HEAD_BYTES]].concat(), too_long);
        check(&[b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'x'; BODY_BYTES + 1]].concat(), too_long);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_is_waited_for_half_a_minute() {
        let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let slow = async {
            let mut bytes = vec![0; 4096];
            let _ = theirs.read(&mut bytes).await;
            for letter in b"HTTP/1.1 200 OK\r\n".iter().cycle() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let _ = theirs.write_all(&[*letter]).await;
            }
        };
        tokio::select! {
            answer = post(&mut ours, "isp.example", "/v1/enrol", b"{}") => {
                assert!(matches!(answer, Err(HttpError::TooSlow)), "{answer:?}");
            }
            () = slow => panic!("it ends before it is given up"),
        }
    }
}
