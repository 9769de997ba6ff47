//! What is asked of the router: a path, attributes and queries.
//!
//! A [`Command`] is only words; sending it is [`crate::Client`]'s. It decides one thing: whether losing
//! the connection after sending leaves the router's state in doubt ([`Command::is_read`]). Queries are a
//! stack machine on the router, so a [`Query`] is built such that it always leaves exactly one value.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::word::Shown;

/// Last parts of a path that change nothing. Everything else counts as a write: taking a write for a
/// read would hide an ambiguous outcome, the reverse only costs one read-back.
const READ_VERBS: [&str; 6] = ["print", "getall", "listen", "monitor", "monitor-traffic", "find"];

/// One command, ready to be sent any number of times.
///
/// ```
/// use routeros_api::{Command, Query};
/// let command = Command::new("/ppp/secret/print")
///     .proplist(&[".id", "name", "profile"])
///     .query(Query::equals("service", "pppoe").and(Query::equals("disabled", "false")));
/// assert!(command.is_read());
/// ```
#[derive(Clone)]
pub struct Command {
    words: Vec<Bytes>,
    is_read: bool,
    idle: Option<Duration>,
    subject: Option<Arc<str>>,
}

impl Command {
    /// A command by its full path, such as `/ppp/secret/add`.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        let path: String = path.into();
        let verb = path.rsplit('/').next().unwrap_or_default();
        let is_read = READ_VERBS.contains(&verb);
        Self { words: vec![Bytes::from(path)], is_read, idle: None, subject: None }
    }

    /// Adds `=name=value`. The value is bytes and needs no escaping; empty unsets most text properties.
    #[must_use]
    pub fn attribute(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.words.push(attribute_word(name.as_ref(), value.as_ref()));
        self
    }

    /// Adds an argument that has no value, such as `=count-only=` or `=once=`.
    #[must_use]
    pub fn flag(self, name: impl AsRef<[u8]>) -> Self {
        self.attribute(name, b"")
    }

    /// Adds `=.id=`: the row that the command is about.
    #[must_use]
    pub fn id(self, id: &crate::value::RouterId) -> Self {
        self.attribute(".id", id)
    }

    /// Asks for these properties only. Strongly recommended on every print: without it the router works
    /// out all of them, the slow ones too. One that a row lacks is unset.
    #[must_use]
    pub fn proplist(self, names: &[&str]) -> Self {
        self.attribute(".proplist", names.join(","))
    }

    /// Adds a query. Only `print`, `getall` and `listen` take one; several are all required.
    #[must_use]
    pub fn query(mut self, query: Query) -> Self {
        self.words.extend(query.0);
        self
    }

    /// Declares that this command changes nothing, where its path does not say so (`/ping`).
    #[must_use]
    pub fn reads_only(mut self) -> Self {
        self.is_read = true;
        self
    }

    /// Waits this long between bytes of the answer instead of [`crate::Deadlines::command_idle`].
    #[must_use]
    pub fn idle_deadline(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Notes whom or what the command is about, for the [`crate::Witness`]. It is not sent.
    #[must_use]
    pub fn about(mut self, subject: &str) -> Self {
        self.subject = Some(Arc::from(subject));
        self
    }

    /// What [`Command::about`] noted.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The path, such as `/ppp/secret/add`.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.words.first().map(AsRef::as_ref).unwrap_or_default()
    }

    /// Whether sending it twice, or not knowing if it arrived, is harmless.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.is_read
    }

    /// The words in the order they are sent, without a tag.
    #[must_use]
    pub fn words(&self) -> &[Bytes] {
        &self.words
    }

    pub(crate) fn idle(&self) -> Option<Duration> {
        self.idle
    }

    pub(crate) fn attribute_words(mut self, words: &[Bytes]) -> Self {
        self.words.extend_from_slice(words);
        self
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.words.iter().map(|word| Shown(word))).finish()
    }
}

pub(crate) fn attribute_word(name: &[u8], value: &[u8]) -> Bytes {
    Bytes::from([b"=", name, b"=", value].concat())
}

/// A condition on rows, tested by the router against values *as it prints them*: `true`, not `yes`.
///
/// There are no patterns. Compare only properties that are in the proplist or cheap to compute.
#[derive(Clone, PartialEq, Eq)]
pub struct Query(Vec<Bytes>);

impl Query {
    /// Rows whose property is exactly this.
    #[must_use]
    pub fn equals(name: &str, value: impl AsRef<[u8]>) -> Self {
        Self::compare("?", name, value.as_ref())
    }

    /// Rows whose property is less than this.
    #[must_use]
    pub fn less(name: &str, value: impl AsRef<[u8]>) -> Self {
        Self::compare("?<", name, value.as_ref())
    }

    /// Rows whose property is greater than this; greater than empty is "not empty".
    #[must_use]
    pub fn greater(name: &str, value: impl AsRef<[u8]>) -> Self {
        Self::compare("?>", name, value.as_ref())
    }

    /// Rows that have the property at all.
    #[must_use]
    pub fn has(name: &str) -> Self {
        Self(vec![Bytes::from(format!("?{name}"))])
    }

    /// Rows that lack the property.
    #[must_use]
    pub fn lacks(name: &str) -> Self {
        Self(vec![Bytes::from(format!("?-{name}"))])
    }

    /// Rows whose property is any of these: n terms and n−1 `?#|`. `None` for no values, because a
    /// query without words would match every row.
    #[must_use]
    pub fn any_of<V: AsRef<[u8]>>(name: &str, values: &[V]) -> Option<Self> {
        let mut words: Vec<Bytes> = Vec::with_capacity(values.len().saturating_mul(2));
        for value in values {
            words.extend(Self::equals(name, value).0);
        }
        words.extend((1..values.len()).map(|_| Bytes::from_static(b"?#|")));
        (!words.is_empty()).then_some(Self(words))
    }

    /// Both must hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.combine(other, b"?#&")
    }

    /// At least one must hold.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.combine(other, b"?#|")
    }

    /// Must not hold.
    #[must_use]
    pub fn negate(mut self) -> Self {
        self.0.push(Bytes::from_static(b"?#!"));
        self
    }

    /// The words in the order they are sent.
    #[must_use]
    pub fn words(&self) -> &[Bytes] {
        &self.0
    }

    fn compare(operator: &str, name: &str, value: &[u8]) -> Self {
        Self(vec![Bytes::from([operator.as_bytes(), name.as_bytes(), b"=", value].concat())])
    }

    fn combine(mut self, other: Self, operator: &'static [u8]) -> Self {
        self.0.extend(other.0);
        self.0.push(Bytes::from_static(operator));
        self
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|word| Shown(word))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(query: &Query) -> Vec<&str> {
        query.words().iter().map(|word| std::str::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn only_paths_known_to_change_nothing_are_reads() {
        for (path, is_read) in [
            ("/ppp/secret/print", true),
            ("/ppp/active/listen", true),
            ("/interface/monitor-traffic", true),
            ("/ppp/secret/add", false),
            ("/ppp/secret/set", false),
            ("/ppp/active/remove", false),
            ("/system/reboot", false),
            ("/ping", false),
            ("print", true),
        ] {
            assert_eq!(Command::new(path).is_read(), is_read, "{path}");
        }
        assert!(Command::new("/ping").reads_only().is_read());
    }

    #[test]
    fn a_command_is_its_path_then_its_attributes_and_queries() {
        let command = Command::new("/ppp/secret/print")
            .proplist(&[".id", "name"])
            .flag("count-only")
            .query(Query::equals("name", "a=b"));
        assert_eq!(
            command.words(),
            [&b"/ppp/secret/print"[..], b"=.proplist=.id,name", b"=count-only=", b"?name=a=b"]
        );
        assert_eq!(command.path(), b"/ppp/secret/print");
    }

    #[test]
    fn an_or_of_n_names_is_n_terms_and_one_operator_less() {
        assert_eq!(Query::any_of::<&str>("name", &[]), None);
        assert_eq!(words(&Query::any_of("name", &["a"]).unwrap()), ["?name=a"]);
        assert_eq!(
            words(&Query::any_of("name", &["a", "b", "c"]).unwrap()),
            ["?name=a", "?name=b", "?name=c", "?#|", "?#|"]
        );
    }

    #[test]
    fn combined_queries_always_leave_one_value_on_the_stack() {
        let query = Query::any_of("name", &["a", "b"])
            .unwrap()
            .and(Query::has("comment"))
            .or(Query::lacks("x").negate());
        assert_eq!(words(&query), ["?name=a", "?name=b", "?#|", "?comment", "?#&", "?-x", "?#!", "?#|"]);
        assert_eq!(words(&Query::greater("comment", "")), ["?>comment="]);
        assert_eq!(words(&Query::less("uptime", "1m")), ["?<uptime=1m"]);
    }

    #[test]
    fn no_password_shows_in_a_command_or_a_query() {
        let command = Command::new("/ppp/secret/add")
            .attribute("name", "plot1")
            .attribute("password", "hunter2")
            .query(Query::equals("password", "hunter2"));
        let shown = format!("{command:?} {:?}", Query::equals("password", "hunter2"));
        assert!(!shown.contains("hunter2") && shown.contains("=name=plot1"), "{shown}");
    }
}
