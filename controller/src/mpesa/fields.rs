//! The members of what Safaricom writes in JSON, by name. Pure.
//!
//! Names come in mixed case and with spaces, values as strings or numbers, and both differ between products and years:
//! all are taken. A number is read from its digits as they were sent, never through a float.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// An object's members by their names in lower case without spaces: `Response Status` is `responsestatus`.
pub(super) type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The members of an object; `None` for anything else.
pub(super) fn of(object: &[u8]) -> Option<Fields<'_>> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(object).ok()?;
    let plain = |name: String| name.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    Some(members.into_iter().map(|(name, value)| (plain(name), value)).collect())
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
