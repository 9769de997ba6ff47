//! One command as the words of a sentence say it: path, arguments, queries, tag.
//!
//! Refuses nothing but a sentence without a command; whether the command exists is for
//! [`crate::engine`].

use std::fmt;

/// A command.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Request {
    /// The menu, without the first slash: `ppp/secret`.
    pub menu: String,
    /// The last segment: `print`.
    pub command: String,
    /// `=name=value` words in order; the last of two with one name counts.
    pub arguments: Vec<(Vec<u8>, Vec<u8>)>,
    /// `?…` words in order, without the question mark.
    pub queries: Vec<Vec<u8>>,
    /// The value of `.tag`; empty is the same as absent.
    pub tag: Vec<u8>,
}

/// Argument values may be passwords, so only names are shown.
impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.arguments.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
        formatter
            .debug_struct("Request")
            .field("menu", &self.menu)
            .field("command", &self.command)
            .field("arguments", &names)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// Reads the words of a sentence; `None` when there is no word at all.
    pub(crate) fn from_words<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Option<Self> {
        let mut words = words.into_iter();
        let mut request = Self::for_path(&String::from_utf8_lossy(words.next()?.as_ref()));
        for word in words {
            let word = word.as_ref();
            if let Some(query) = word.strip_prefix(b"?") {
                request.queries.push(query.to_vec());
            } else if let Some(rest) = word.strip_prefix(b"=") {
                let (name, value) = split_at_equals(rest);
                request.arguments.push((name.to_vec(), value.to_vec()));
            } else if let Some(tag) = word.strip_prefix(b".tag=") {
                request.tag = tag.to_vec();
            }
        }
        Some(request)
    }

    /// A command without arguments.
    #[must_use]
    pub(crate) fn for_path(path: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (menu, command) = path.rsplit_once('/').unwrap_or(("", path));
        Self { menu: menu.to_owned(), command: command.to_owned(), ..Self::default() }
    }

    /// The same command with one argument more.
    #[must_use]
    pub(crate) fn with(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.arguments.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// The value of an argument.
    #[must_use]
    pub(crate) fn argument(&self, name: &str) -> Option<&[u8]> {
        self.arguments.iter().rev().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value.as_slice())
    }
}

/// Splits `name=value` at its first `=`; without one the value is empty.
#[must_use]
pub(crate) fn split_at_equals(word: &[u8]) -> (&[u8], &[u8]) {
    match word.iter().position(|byte| *byte == b'=') {
        Some(at) => {
            let (name, rest) = word.split_at(at);
            (name, rest.strip_prefix(b"=").unwrap_or(rest))
        }
        None => (word, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_by_their_first_byte_and_split_at_the_second_equals_sign() {
        let words = [
            "/ppp/secret/print",
            "=comment=a=b=",
            "=detail",
            "?disabled=false",
            ".tag=9",
            "=.proplist=name",
            "=comment=last",
            "#",
        ];
        let request = Request::from_words(words).unwrap();
        assert_eq!((request.menu.as_str(), request.command.as_str()), ("ppp/secret", "print"));
        assert_eq!(request.argument("comment"), Some(&b"last"[..]));
        assert_eq!(request.arguments.first().unwrap().1, b"a=b=");
        assert_eq!(request.argument("detail"), Some(&b""[..]));
        assert_eq!(request.argument(".proplist"), Some(&b"name"[..]));
        assert_eq!(request.queries, [b"disabled=false".to_vec()]);
        assert_eq!(request.tag, b"9");
    }

    #[test]
    fn passwords_never_reach_debug_output() {
        let request = Request::for_path("/login").with("password", "hunter2");
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
