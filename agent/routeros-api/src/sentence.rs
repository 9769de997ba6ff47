//! What a sentence from the router means: a row, an end, a trap, a goodbye.
//!
//! Classification only. It accepts whatever a router may add later (an unknown `!word` is news, not an
//! error: the arrival of `!empty` in 7.18 broke clients that disagreed) and refuses a sentence that is no
//! reply at all. Whose reply it is, and when a command is over, is decided in [`crate::session`].

use std::fmt;

use bytes::Bytes;

use crate::trap::Trap;
use crate::value::{RouterId, ValueError};
use crate::wire::Sentence;
use crate::word::Shown;

/// One `!re` sentence: the properties of a row, as bytes.
///
/// RouterOS stores no character set (WinBox wrote Windows code pages), so values are bytes and stay so.
/// `Debug` never shows the value of a property whose name speaks of a password, secret, response or key.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Row(Sentence);

impl Row {
    /// The value as sent: `None` when the word was missing, `Some("")` when it was empty.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<Bytes> {
        self.0.attribute(name)
    }

    /// The value, where missing and empty are the same: v6 often sends unset properties as empty, v7
    /// leaves them out.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Bytes> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// The value read by a parser of [`crate::value`]: `Ok(None)` when unset.
    ///
    /// # Errors
    /// Whatever the parser refuses.
    pub fn parsed<T>(
        &self,
        name: &str,
        parse: impl Fn(&[u8]) -> Result<T, ValueError>,
    ) -> Result<Option<T>, ValueError> {
        self.get(name).map(|value| parse(&value)).transpose()
    }

    /// The row's `.id`, if it has one that is one.
    #[must_use]
    pub fn id(&self) -> Option<RouterId> {
        self.get(".id").and_then(|value| RouterId::parse(value).ok())
    }

    /// Whether a `listen` says with this row that the row is gone (`.dead=true`; the manual says `yes`).
    #[must_use]
    pub fn is_dead(&self) -> bool {
        matches!(self.get(".dead").as_deref(), Some(b"true" | b"yes"))
    }

    pub(crate) fn words(&self) -> &[Bytes] {
        &self.0.0
    }

    /// Every property in the order sent, repeats included.
    pub fn properties(&self) -> impl Iterator<Item = (Bytes, Bytes)> + '_ {
        self.0.attributes()
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.0.iter().map(|word| Shown(word))).finish()
    }
}

impl From<Sentence> for Row {
    /// Takes a whole `!re` sentence; useful to test code that reads rows.
    fn from(sentence: Sentence) -> Self {
        Self(sentence)
    }
}

/// What a sentence from the router says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `!re`
    Row(Row),
    /// `!done`, with what `=ret=` carried.
    Done(Option<Bytes>),
    /// `!trap`; its command is over at `!done` and not before.
    Trap(Trap),
    /// `!fatal`, with its bare reason word. Untagged; the router closes.
    Fatal(String),
    /// `!empty`, or a reply word of a later release: nothing to do.
    Nothing,
}

/// What came was a sentence, but not a reply: the peer does not speak this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAReply;

pub(crate) fn classify(sentence: Sentence) -> Result<Answer, NotAReply> {
    let answer = match sentence.first().map(AsRef::as_ref) {
        Some(b"!re") => Answer::Row(Row(sentence)),
        Some(b"!done") => Answer::Done(sentence.attribute("ret")),
        Some(b"!trap") => Answer::Trap(Trap::read(&sentence)),
        Some(b"!fatal") => Answer::Fatal(fatal_reason(&sentence)),
        Some([b'!', ..]) => Answer::Nothing,
        _ => return Err(NotAReply),
    };
    Ok(answer)
}

/// A reason is a bare word; some releases are said to send `=message=`.
fn fatal_reason(sentence: &Sentence) -> String {
    let bare = sentence.0.iter().skip(1).find(|word| !word.starts_with(b"=") && !word.starts_with(b"."));
    let reason = bare.cloned().or_else(|| sentence.attribute("message")).unwrap_or_default();
    crate::trap::readable(&reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(words: &[&'static [u8]]) -> Sentence {
        words.iter().copied().collect()
    }

    #[test]
    fn every_kind_of_reply_is_told_apart() {
        let row = sentence(&[b"!re", b"=name=a"]);
        assert_eq!(classify(row.clone()), Ok(Answer::Row(Row(row))));
        assert_eq!(classify(sentence(&[b"!done"])), Ok(Answer::Done(None)));
        assert_eq!(classify(sentence(&[b"!done", b"=ret=*1A"])), Ok(Answer::Done(Some(Bytes::from("*1A")))));
        assert_eq!(classify(sentence(&[b"!empty"])), Ok(Answer::Nothing));
        assert_eq!(classify(sentence(&[b"!progress", b"=x=1"])), Ok(Answer::Nothing));
        assert!(matches!(classify(sentence(&[b"!trap"])), Ok(Answer::Trap(_))));
        for words in [&[&b"HTTP/1.1 400 Bad Request"[..]][..], &[b"=ret=x"], &[b".tag=1"], &[]] {
            assert_eq!(classify(sentence(words)), Err(NotAReply));
        }
    }

    #[test]
    fn a_fatal_reason_is_a_bare_word() {
        for (words, reason) in [
            (&[&b"!fatal"[..], b"session terminated on request"][..], "session terminated on request"),
            (&[b"!fatal", b"=message=not logged in"], "not logged in"),
            (&[b"!fatal"], ""),
        ] {
            assert_eq!(classify(sentence(words)), Ok(Answer::Fatal(reason.to_owned())));
        }
    }

    #[test]
    fn unset_is_missing_or_empty() {
        let row =
            Row(sentence(&[b"!re", b"=.id=*1", b"=caller-id=", b"=comment=caf\xe9", b"=limit-bytes-in=x"]));
        assert_eq!(row.get("caller-id"), None);
        assert_eq!(row.raw("caller-id"), Some(Bytes::new()));
        assert_eq!(row.get("routes"), None);
        assert_eq!(row.get("comment").as_deref(), Some(&b"caf\xe9"[..]));
        assert_eq!(row.id(), RouterId::parse("*1").ok());
        assert_eq!(row.parsed("caller-id", crate::value::parse_number), Ok(None));
        assert!(row.parsed("limit-bytes-in", crate::value::parse_number).is_err());
    }

    #[test]
    fn a_row_is_dead_in_both_dialects() {
        for (word, is_dead) in
            [(&b"=.dead=true"[..], true), (b"=.dead=yes", true), (b"=.dead=no", false), (b"=dead=yes", false)]
        {
            assert_eq!(Row(sentence(&[b"!re", b"=.id=*3", word])).is_dead(), is_dead);
        }
    }
}
