//! The members of what Safaricom writes in JSON, by name. Pure.
//!
//! Names come in mixed case and with spaces, values as strings or numbers, and both differ between products and years:
//! all are taken. A number is read from its digits as they were sent, never through a float.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The largest body that is mended: no answer that is read is larger.
const MENDED_BYTES: usize = 512 * 1024;

/// An object's members by their names in lower case without spaces: `Response Status` is `responsestatus`.
pub(super) type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The members of an object; `None` for anything else.
pub(super) fn of(object: &[u8]) -> Option<Fields<'_>> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(object).ok()?;
    let plain = |name: String| name.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    Some(members.into_iter().map(|(name, value)| (plain(name), value)).collect())
}

/// A body that can be read: as it came, or, where it is no JSON as it came, a copy in which a space stands for each control
/// character within a string, and a replacement character for what is no UTF-8: both are in names that M-Pesa hands on, and
/// cost a payment otherwise. Nothing that stood apart is joined by it.
pub(super) fn readable(body: &[u8]) -> Cow<'_, [u8]> {
    if body.len() > MENDED_BYTES || serde_json::from_slice::<&RawValue>(body).is_ok() {
        return Cow::Borrowed(body);
    }
    let text = String::from_utf8_lossy(body);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let (mut is_string, mut is_escaped) = (false, false);
    let mended: String = text
        .chars()
        .map(|letter| {
            let is_within = is_string;
            if letter == '"' && !is_escaped {
                is_string = !is_string;
            }
            is_escaped = is_within && letter == '\\' && !is_escaped;
            if is_within && letter.is_ascii_control() { ' ' } else { letter }
        })
        .collect();
    Cow::Owned(mended.into_bytes())
}

/// The members of a member that is an object itself.
pub(super) fn object<'a>(fields: &Fields<'a>, name: &str) -> Option<Fields<'a>> {
    let value: &'a RawValue = fields.get(name)?;
    of(value.get().as_bytes())
}

/// A string's content or a number's digits as they were sent; `None` for anything else and for nothing.
pub(super) fn text(fields: &Fields<'_>, name: &str) -> Option<String> {
    let raw = fields.get(name)?.get().trim();
    let text = if raw.starts_with('"') {
        serde_json::from_str::<String>(raw).ok()?
    } else if raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        raw.to_owned()
    } else {
        return None;
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The same, and nothing where there is nothing.
pub(super) fn text_or_empty(fields: &Fields<'_>, name: &str) -> String {
    text(fields, name).unwrap_or_default()
}
