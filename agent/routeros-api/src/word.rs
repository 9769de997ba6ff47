//! What one word of a sentence says, and which words must never be shown.
//!
//! A word is bytes: RouterOS stores no character set, so nothing here decodes text. The module splits
//! words into a name and a value and decides which names carry secrets; it refuses to judge whether a
//! name exists, which is the router's business. Framing is next door in [`crate::wire`].

use std::fmt;

/// Parts of attribute names whose values are never shown in any `Debug` or log.
///
/// Chosen wide on purpose: `otp-secret`, `private-key`, `wpa2-pre-shared-key`, `passphrase` and the MD5
/// `response` of the old login are all caught. Hiding too much costs a debugging session; hiding too
/// little costs a customer's password.
const SENSITIVE_NAME_PARTS: [&[u8]; 5] = [b"password", b"passphrase", b"secret", b"response", b"key"];

/// Splits `=name=value` at its second `=`; the value may itself hold `=`, line breaks or NUL.
///
/// A word such as `=name` without a second `=` is an attribute with an empty value. Words of any other
/// kind give `None`.
#[must_use]
pub fn split_attribute(word: &[u8]) -> Option<(&[u8], &[u8])> {
    match word {
        [b'=', rest @ ..] => Some(split_at_equals(rest)),
        _ => None,
    }
}

/// Splits the API attribute `.name=value` (in practice only `.tag=…`).
#[must_use]
pub fn split_api_attribute(word: &[u8]) -> Option<(&[u8], &[u8])> {
    match word {
        [b'.', rest @ ..] => Some(split_at_equals(rest)),
        _ => None,
    }
}

fn split_at_equals(rest: &[u8]) -> (&[u8], &[u8]) {
    match rest.iter().position(|byte| *byte == b'=') {
        Some(at) => {
            (rest.get(..at).unwrap_or_default(), rest.get(at.saturating_add(1)..).unwrap_or_default())
        }
        None => (rest, &[]),
    }
}

/// Whether an attribute of this name carries a secret: a password, passphrase, secret, response or key.
#[must_use]
pub fn is_sensitive(name: &[u8]) -> bool {
    SENSITIVE_NAME_PARTS
        .iter()
        .any(|part| name.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part)))
}

/// A word as `Debug` may show it: bytes escaped, the value of a sensitive attribute or query replaced.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = match self.0 {
            // `?=name=x`, `?<name=x`, `?>name=x`, `?-name`; the plain `?name=x` is below.
            [b'?', b'=' | b'<' | b'>' | b'-', named @ ..] => Some(named),
            [b'=' | b'.' | b'?', named @ ..] => Some(named),
            _ => None,
        };
        if let Some(named) = named {
            let (name, _) = split_at_equals(named);
            if is_sensitive(name) {
                let shown = self.0.len().saturating_sub(named.len()).saturating_add(name.len());
                let prefix = self.0.get(..shown).unwrap_or_default();
                return write!(formatter, "\"{}=[redacted]\"", prefix.escape_ascii());
            }
        }
        write!(formatter, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(word: &[u8]) -> String {
        format!("{:?}", Shown(word))
    }

    #[test]
    fn an_attribute_is_split_at_its_second_equals_sign_only() {
        for (word, name, value) in [
            (&b"=name=value"[..], &b"name"[..], &b"value"[..]),
            (b"=comment=a=b=c", b"comment", b"a=b=c"),
            (b"=caller-id=", b"caller-id", b""),
            (b"=detail", b"detail", b""),
            (b"=comment=x\r\ny\0z", b"comment", b"x\r\ny\0z"),
            (b"=.id=*1A", b".id", b"*1A"),
            (b"=", b"", b""),
            (b"==", b"", b""),
        ] {
            assert_eq!(split_attribute(word), Some((name, value)));
        }
        for word in [&b""[..], b".tag=1", b"!re", b"?name=x", b"/login"] {
            assert_eq!(split_attribute(word), None);
        }
    }

    #[test]
    fn no_word_that_carries_a_secret_shows_its_value() {
        for word in [
            &b"=password=hunter2"[..],
            b"=Password=hunter2",
            b"=otp-secret=hunter2",
            b"=response=00hunter2",
            b"=private-key=hunter2",
            b"=wifi-passphrase=hunter2",
            b"?password=hunter2",
            b"?=password=hunter2",
            b"?<password=hunter2",
            b"?>password=hunter2",
        ] {
            let text = shown(word);
            assert!(!text.contains("hunter2") && text.contains("[redacted]"), "{text}");
        }
        assert_eq!(shown(b"=password=x"), "\"=password=[redacted]\"");
    }

    #[test]
    fn ordinary_words_show_their_bytes_escaped() {
        assert_eq!(shown(b"=comment=caf\xe9\r\n"), r#""=comment=caf\xe9\r\n""#);
        assert_eq!(shown(b"/ppp/secret/print"), "\"/ppp/secret/print\"");
        assert_eq!(shown(b"=keepalive-timeout=2m"), "\"=keepalive-timeout=2m\"");
    }
}
