//! Through a proxy to head office: `CONNECT` (RFC 9110, section 9.3.6), and then the proxy carries bytes and nothing else.
//!
//! TLS is spoken with head office itself, through the proxy, and proves both ends: a proxy can cut the line and cannot read it.
//! What it wants to know of us (user and password) it gets in the clear, as every client of a plain HTTP proxy sends it.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use crate::config::{ControllerAddress, Proxy};

/// The longest head of an answer.
const HEAD_BYTES: usize = 4 * 1_024;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// Characters of what a proxy says for people that are shown.
const WORDS: usize = 80;

/// Why a proxy does not lead to head office.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// It is not there, or went away.
    #[error("{0}")]
    Broken(#[from] io::Error),
    /// It wants to know who we are, or does not know us.
    #[error("it wants user and password (407)")]
    Credentials,
    /// It says no.
    #[error("it refuses ({status} {words})")]
    Refused {
        /// Such as 403.
        status: u16,
        /// What it says of it.
        words: String,
    },
    /// It is no proxy.
    #[error("what answers is no HTTP proxy")]
    NotHttp,
}

impl ProxyError {
    /// What to do about it.
    #[must_use]
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Broken(_) => "check controller.proxy, and that this machine reaches the proxy",
            Self::Credentials => {
                "put user:password into a file of mode 0600, and name it in controller.proxy_credentials_file"
            }
            Self::Refused { status: 403 | 405, .. } => {
                "ask whoever runs the proxy to allow CONNECT to head office; many allow port 443 alone, where head office may listen too (also_listen)"
            }
            Self::Refused { .. } => "see that the proxy reaches head office: its name, port and DNS",
            Self::NotHttp => "correct controller.proxy: another service listens there",
        }
    }
}

/// Asks the proxy at the other end of `stream` for a way to `target`. Afterwards the stream is one to there.
pub(super) async fn pass_through<S>(
    stream: &mut S,
    target: &ControllerAddress,
    proxy: &Proxy,
) -> Result<(), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&request(target, proxy)).await?;
    stream.flush().await?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 512];
    loop {
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
        if is_open(&bytes)? {
            return Ok(());
        }
    }
}

/// In one piece, and wiped: a password may stand in it.
fn request(target: &ControllerAddress, proxy: &Proxy) -> Zeroizing<Vec<u8>> {
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    let encoded = proxy.credentials.as_ref().map(|known| Zeroizing::new(STANDARD.encode(known.reveal())));
    // Of its full size from the start: growing would leave pieces of a password behind.
    let length = head.len().saturating_add(encoded.as_ref().map_or(0, |text| text.len())).saturating_add(64);
    let mut text = Zeroizing::new(String::with_capacity(length));
    text.push_str(&head);
    if let Some(encoded) = &encoded {
        text.push_str("Proxy-Authorization: Basic ");
        text.push_str(encoded);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    Zeroizing::new(text.as_bytes().to_vec())
}

/// Whether the proxy has opened the way; `false` while its answer is not whole.
fn is_open(bytes: &[u8]) -> Result<bool, ProxyError> {
    if !bytes.iter().zip(b"HTTP/1.").all(|(byte, wanted)| byte == wanted) {
        return Err(ProxyError::NotHttp);
    }
    let Some(end) = bytes.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD) else {
        return if bytes.len() > HEAD_BYTES { Err(ProxyError::NotHttp) } else { Ok(false) };
    };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
    let mut line = head.lines().next().unwrap_or_default().splitn(3, ' ').skip(1);
    let status = line.next().and_then(|text| text.parse::<u16>().ok()).ok_or(ProxyError::NotHttp)?;
    match status {
        // Head office says nothing before we do: what came behind the head is the proxy's own.
        200..=299 if bytes.len() > end.saturating_add(END_OF_HEAD.len()) => Err(ProxyError::NotHttp),
        200..=299 => Ok(true),
        407 => Err(ProxyError::Credentials),
        status => {
            let words = line.next().unwrap_or_default();
            let words = words.chars().filter(|letter| !letter.is_control()).take(WORDS).collect();
            Err(ProxyError::Refused { status, words })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn address(host: &str, port: u16) -> ControllerAddress {
        ControllerAddress { host: host.into(), port }
    }

    #[test]
    fn it_is_asked_for_the_way_and_shown_the_password_and_the_password_shows_nowhere_else() {
        let mut proxy = Proxy { address: address("proxy", 3_128), credentials: None };
        let asked = request(&address("2001:db8::1", 443), &proxy);
        let expected = "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n";
        assert_eq!(std::str::from_utf8(&asked).unwrap(), expected);
        // The example of RFC 7617, section 2.
        proxy.credentials = Some(Secret::new("Aladdin:open sesame"));
        let asked = request(&address("isp.example", 8_883), &proxy);
        let asked = std::str::from_utf8(&asked).unwrap();
        assert!(
            asked.ends_with("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"),
            "{asked}"
        );
        assert!(!format!("{proxy:?} {proxy}").contains("sesame"));
    }

    #[test]
    fn what_a_proxy_may_answer() {
        let check = |answer: &str, expected: Result<bool, &str>| {
            let read = is_open(answer.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(
                read.as_ref().map_err(String::as_str),
                expected.as_ref().map_err(|text| *text),
                "{answer:?}"
            );
        };
        check("", Ok(false));
        check("HTTP/1.1 200 OK\r\nVia: x\r\n", Ok(false));
        check("HTTP/1.0 200 Connection established\r\n\r\n", Ok(true));
        check("HTTP/1.1 204\r\n\r\n", Ok(true));
        check("HTTP/1.1 200 OK\r\n\r\n<html>", Err("what answers is no HTTP proxy"));
        check("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", Err("it wants user and password (407)"));
        check("HTTP/1.1 403 Not \u{1b}[31mhere\r\n\r\n", Err("it refuses (403 Not [31mhere)"));
        check("HTTP/1.1 99999 x\r\n\r\n", Err("what answers is no HTTP proxy"));
        check("SSH-2.0-OpenSSH", Err("what answers is no HTTP proxy"));
        check(
            &format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(1_000)),
            Err("what answers is no HTTP proxy"),
        );
    }
}
