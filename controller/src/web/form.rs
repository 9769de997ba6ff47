//! A posted form: its fields as text, and what was wrong with them.
//!
//! A form is checked by the noun that it is for. What it refuses comes back on the same page, with what was typed and
//! the reason beside the field.

use std::collections::BTreeMap;
use std::fmt;

use crate::customers::Invalid;

/// The name of the field with the session's token.
pub const TOKEN_FIELD: &str = "form_token";

/// The fields of a form, as typed; and complaints by field.
#[derive(Clone, Default)]
pub struct Fields {
    values: BTreeMap<String, String>,
    complaints: BTreeMap<&'static str, String>,
}

impl fmt::Debug for Fields {
    /// Without what was typed: passwords and phone numbers are among it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields")
            .field("names", &self.values.keys())
            .field("complaints", &self.complaints)
            .finish_non_exhaustive()
    }
}

impl Fields {
    /// The fields of a request.
    #[must_use]
    pub fn new(values: BTreeMap<String, String>) -> Self {
        Self { values, complaints: BTreeMap::new() }
    }

    /// Fields filled in beforehand.
    #[must_use]
    pub fn with(values: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self::new(values.iter().map(own).collect())
    }

    /// What was typed; empty for a field that is not there. Blanks around it are left out.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |value| value.trim())
    }

    /// Exactly what was typed, for passwords.
    #[must_use]
    pub fn exact(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// Fills a field in.
    pub fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// Whether this is the chosen one of a list.
    #[must_use]
    pub fn is(&self, name: &str, value: &str) -> bool {
        self.value(name) == value
    }

    /// Says what is wrong with a field.
    pub fn complain(&mut self, field: &'static str, reason: impl Into<String>) {
        self.complaints.entry(field).or_insert_with(|| reason.into());
    }

    /// Says what a noun found wrong.
    pub fn complain_of(&mut self, invalid: Invalid) {
        self.complain(invalid.field, invalid.reason);
    }

    /// Reads a field; a refusal becomes a complaint.
    pub fn read<T, E: std::fmt::Display>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match read(self.value(field)) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.complain(field, reason.to_string());
                None
            }
        }
    }

    /// What is wrong with a field; empty for nothing.
    #[must_use]
    pub fn complaint(&self, field: &str) -> &str {
        self.complaints.get(field).map_or("", String::as_str)
    }

    /// Whether anything is wrong.
    #[must_use]
    pub fn has_complaints(&self) -> bool {
        !self.complaints.is_empty()
    }

    /// Complaints about fields that the page does not have, for the top of the form.
    #[must_use]
    pub fn other_complaints(&self, shown: &[&str]) -> Vec<&str> {
        let is_other = |(field, _): &(&&'static str, &String)| !shown.contains(*field);
        self.complaints.iter().filter(is_other).map(|(_, reason)| reason.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_printed_without_what_was_typed() {
        let mut fields = Fields::with(&[("password", "hunter22")]);
        fields.complain("password", "use more characters");
        let printed = format!("{fields:?}");
        assert!(printed.contains("password") && printed.contains("use more"), "{printed}");
        assert!(!printed.contains("hunter22"), "{printed}");
    }
}
