//! A template of a text: words with facts in braces, checked when it is saved. Pure.
//!
//! A template names only facts that its occasion has, so that filling it in cannot fail. Values are cut to a length and made
//! plain on the way in: no name of a customer makes a text twice as dear.

use std::fmt::Write as _;

use thiserror::Error;

use super::occasion::{Occasion, Placeholder};
use super::segments::{self, Counted};
use super::words::{Language, default_text};

/// The longest template, in characters.
pub const CHARACTERS: usize = 480;
/// The most SMS that the example of a template may be: each is paid for, for every customer.
pub const SEGMENTS: u32 = 3;

/// How much of a name that is no fact is said back.
const NAME_CHARACTERS: usize = 40;

/// A template that can be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Words(String),
    Fact(Placeholder),
}

/// Why a text is no template, for whoever wrote it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoTemplate {
    /// Nothing stands in braces by that name, or not on this occasion.
    #[error("{{{name}}} is not known here: use {known}")]
    Unknown {
        /// What was written.
        name: String,
        /// What may be.
        known: String,
    },
    /// A brace has no partner.
    #[error("a brace is open or left over: facts are written as {{account}}, and other braces not at all")]
    Brace,
    /// It is too long to write down.
    #[error("use at most {CHARACTERS} characters")]
    TooLong,
    /// It is too many SMS.
    #[error("with its facts this is {segments} SMS: use at most {SEGMENTS}. {hint}")]
    TooManySegments {
        /// So many.
        segments: u32,
        /// What may help.
        hint: &'static str,
    },
    /// The settings do not say what it names.
    #[error("{0}")]
    NotSetUp(&'static str),
    /// It has control characters.
    #[error("write it without control characters")]
    Control,
}

/// Facts to fill in.
#[derive(Clone, Debug, Default)]
pub struct Facts(Vec<(Placeholder, String)>);

impl Facts {
    /// Adds one.
    #[must_use]
    pub fn with(mut self, placeholder: Placeholder, value: impl Into<String>) -> Self {
        self.0.push((placeholder, value.into()));
        self
    }

    /// What a preview shows.
    #[must_use]
    pub fn examples() -> Self {
        Self(Placeholder::ALL.into_iter().map(|one| (one, one.example().to_owned())).collect())
    }

    fn value(&self, placeholder: Placeholder) -> &str {
        let found = self.0.iter().find(|(known, _)| *known == placeholder);
        found.map_or("", |(_, value)| value.as_str())
    }
}

impl Template {
    /// Reads and checks what staff wrote. An empty text is one too: nothing is sent then.
    ///
    /// # Errors
    /// [`NoTemplate`] says what to change.
    pub fn parse(text: &str, occasion: Occasion) -> Result<Self, NoTemplate> {
        let text = segments::plain_signs(text.trim()).replace("\r\n", "\n");
        if text.chars().count() > CHARACTERS {
            return Err(NoTemplate::TooLong);
        }
        if text.chars().any(|character| character.is_control() && character != '\n') {
            return Err(NoTemplate::Control);
        }
        let template = Self { parts: parts(&text, occasion)?, text };
        let counted = template.example();
        if counted.segments > SEGMENTS {
            let hint = match counted.alphabet {
                segments::Alphabet::Gsm7 => "",
                segments::Alphabet::Ucs2 => {
                    "A character that is not in the GSM alphabet makes it more than twice as many."
                }
            };
            return Err(NoTemplate::TooManySegments { segments: counted.segments, hint });
        }
        Ok(template)
    }

    /// The one that Tawi comes with.
    #[must_use]
    pub fn default_of(occasion: Occasion, language: Language) -> Self {
        let text = default_text(occasion, language);
        // Every one is read in a test; words alone would be the next best.
        Self::parse(text, occasion)
            .unwrap_or_else(|_| Self { text: text.to_owned(), parts: vec![Part::Words(text.to_owned())] })
    }

    /// Whether it names a fact.
    #[must_use]
    pub fn names(&self, placeholder: Placeholder) -> bool {
        self.parts.contains(&Part::Fact(placeholder))
    }

    /// As staff wrote it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether nothing is to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text with its facts.
    #[must_use]
    pub fn fill(&self, facts: &Facts) -> String {
        let mut text = String::with_capacity(self.text.len());
        for part in &self.parts {
            match part {
                Part::Words(words) => text.push_str(words),
                Part::Fact(placeholder) => {
                    let value = facts.value(*placeholder);
                    let plain = segments::plain_signs(value);
                    let most = placeholder.characters_most();
                    text.extend(plain.chars().filter(|one| !one.is_control()).take(most));
                }
            }
        }
        text
    }

    /// How many SMS it mostly is.
    #[must_use]
    pub fn example(&self) -> Counted {
        segments::count(&self.fill(&Facts::examples()))
    }
}

fn parts(text: &str, occasion: Occasion) -> Result<Vec<Part>, NoTemplate> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((words, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').ok_or(NoTemplate::Brace)?;
        if words.contains('}') || name.contains('{') {
            return Err(NoTemplate::Brace);
        }
        let known = occasion.placeholders();
        let placeholder = Placeholder::parse(name.trim()).filter(|one| known.contains(one));
        let placeholder = placeholder.ok_or_else(|| NoTemplate::Unknown {
            name: name.trim().chars().take(NAME_CHARACTERS).collect(),
            known: list(known),
        })?;
        parts.push(Part::Words(words.to_owned()));
        parts.push(Part::Fact(placeholder));
        rest = after;
    }
    if rest.contains('}') {
        return Err(NoTemplate::Brace);
    }
    parts.push(Part::Words(rest.to_owned()));
    Ok(parts)
}

/// `{account}, {until}`, or that there is none.
#[must_use]
pub fn list(placeholders: &[Placeholder]) -> String {
    if placeholders.is_empty() {
        return "no facts".to_owned();
    }
    let mut list = String::new();
    for placeholder in placeholders {
        let comma = if list.is_empty() { "" } else { ", " };
        let _ = write!(list, "{comma}{{{}}}", placeholder.as_str());
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_that_tawi_comes_with_is_a_template_of_at_most_two_sms() {
        for occasion in Occasion::ALL {
            for language in Language::ALL {
                let text = default_text(occasion, language);
                let template = Template::parse(text, occasion).unwrap();
                assert_eq!(template, Template::default_of(occasion, language));
                let counted = template.example();
                assert_eq!(counted.alphabet, segments::Alphabet::Gsm7, "{text}");
                assert!(counted.segments <= 2, "{} {language}: {counted:?}", occasion.as_str());
                let filled = template.fill(&Facts::examples());
                assert!(!filled.contains(['{', '}']), "{filled}");
            }
        }
    }

    #[test]
    fn a_template_names_only_what_its_occasion_knows() {
        let check = |text: &str, expected: &str| {
            let refused = Template::parse(text, Occasion::OnHold).unwrap_err().to_string();
            assert!(refused.contains(expected), "{text}: {refused}");
        };
        check("Hi {nmae}", "{nmae} is not known here: use {name}, {account}, {plan}, {site}");
        check("Paid {amount}", "{amount} is not known here");
        check("{password}", "{password} is not known");
        check("Hi {name", "a brace is open");
        check("Hi name}", "a brace is open");
        check("Hi {{name}}", "a brace is open");
        check("Hi }{name}", "a brace is open");
        check(&"a".repeat(481), "at most 480");
        check(&"a".repeat(460), "this is 4 SMS");
        check(&"ń".repeat(202), "not in the GSM alphabet");
        check("a\u{7}b", "control");
    }

    #[test]
    fn values_cannot_break_out_of_their_place() {
        let template = Template::parse(" Hi { name }, {account}. ", Occasion::OnHold).unwrap();
        let facts = Facts::default()
            .with(Placeholder::Name, "Njoki’s\n{account}")
            .with(Placeholder::Account, "10000016");
        assert_eq!(template.fill(&facts), "Hi Njoki's{account}, 10000016.");
        let long = Facts::default().with(Placeholder::Name, "x".repeat(5_000));
        assert!(template.fill(&long).len() < 60);
        assert!(Template::parse("  ", Occasion::OnHold).unwrap().is_empty());
    }
}
