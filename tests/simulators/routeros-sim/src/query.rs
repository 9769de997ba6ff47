//! The `?` words of print: a stack machine over the printed properties of a row.
//!
//! Follows the manual's API page: tests push, `?#` words operate, and what is left is ANDed. There are
//! no regular expressions. Values compare with what the row would *print*, so `?disabled=no` finds
//! nothing.

use std::cmp::Ordering;

use crate::printing::parse_duration;
use crate::request::split_at_equals;

/// The most `?` words of one command; the widest real filter has a few dozen.
const MOST_WORDS: usize = 4096;

/// A readable set of `?` words.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Query(Vec<Word>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Has(Vec<u8>),
    Lacks(Vec<u8>),
    Compares(Vec<u8>, Ordering, Vec<u8>),
    Operate(Vec<Step>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Not,
    And,
    Or,
    CopyTop,
    CopyAt(usize),
    KeepOnly(usize),
}

/// Why `?` words are not a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// An operation that does not exist, or takes more than there is.
    #[error("malformed query ?{0}")]
    Malformed(String),
    /// More words than the simulator holds.
    #[error("too many query words")]
    TooLong,
}

impl Query {
    /// Reads the words, each without its question mark, and checks that no operation lacks operands.
    ///
    /// # Errors
    /// [`QueryError`], which the router would answer with a trap.
    pub(crate) fn parse(words: &[Vec<u8>]) -> Result<Self, QueryError> {
        if words.len() > MOST_WORDS {
            return Err(QueryError::TooLong);
        }
        let mut parsed = Vec::with_capacity(words.len());
        let mut depth: usize = 0;
        for word in words {
            let malformed = || QueryError::Malformed(String::from_utf8_lossy(word).into_owned());
            let read = Word::parse(word).ok_or_else(malformed)?;
            depth = match &read {
                Word::Operate(steps) => steps.iter().try_fold(depth, |depth, step| step.depth_after(depth)),
                _ => depth.checked_add(1),
            }
            .ok_or_else(malformed)?;
            parsed.push(read);
        }
        Ok(Self(parsed))
    }

    /// The values of `property` of which every row that passes has one, when the words say so: `name=x` among words
    /// that are ANDed, or `name=x`, `name=y` … joined by `#|` alone. An unset property equals the empty text, so that
    /// says nothing.
    pub(crate) fn only(&self, property: &[u8]) -> Option<Vec<&[u8]>> {
        let equal = |word| match word {
            &Word::Compares(ref name, Ordering::Equal, ref value)
                if name == property && !value.is_empty() =>
            {
                Some(value.as_slice())
            }
            _ => None,
        };
        let first_operation = self.0.iter().position(|word| matches!(word, Word::Operate(_)));
        let Some(at) = first_operation else { return Some(vec![self.0.iter().find_map(equal)?]) };
        let (tests, operations) = self.0.split_at(at);
        let values: Option<Vec<&[u8]>> = tests.iter().map(equal).collect();
        let mut ors: usize = 0;
        for operation in operations {
            let Word::Operate(steps) = operation else { return None };
            if steps.iter().any(|step| *step != Step::Or) {
                return None;
            }
            ors = ors.saturating_add(steps.len());
        }
        values.filter(|values| values.len() == ors.saturating_add(1))
    }

    /// Whether a row passes; `property` prints one of its properties. Words of one property mostly follow each other, as
    /// in a search for many names, so that the one that was printed last is kept.
    pub(crate) fn accepts(&self, property: impl Fn(&[u8]) -> Option<Vec<u8>>) -> bool {
        let mut stack = Vec::new();
        let mut last: Option<(&[u8], Option<Vec<u8>>)> = None;
        for word in &self.0 {
            let name = match word {
                Word::Operate(steps) => {
                    steps.iter().for_each(|step| step.run(&mut stack));
                    continue;
                }
                Word::Has(name) | Word::Lacks(name) | Word::Compares(name, ..) => name.as_slice(),
            };
            let (_, held) = match last.take() {
                Some(printed) if printed.0 == name => last.insert(printed),
                _ => last.insert((name, property(name))),
            };
            stack.push(word.is_true_of(held.as_deref()));
        }
        stack.into_iter().all(|value| value)
    }
}

impl Word {
    /// Whether a test holds of what the row prints; an unset property compares as empty text.
    fn is_true_of(&self, held: Option<&[u8]>) -> bool {
        match self {
            Self::Has(_) => held.is_some(),
            Self::Lacks(_) => held.is_none(),
            // Only equal bytes are equal, which most words ask for.
            Self::Compares(_, Ordering::Equal, value) => held.unwrap_or_default() == value,
            Self::Compares(_, wanted, value) => compare(held.unwrap_or_default(), value) == Some(*wanted),
            Self::Operate(_) => false,
        }
    }

    fn parse(word: &[u8]) -> Option<Self> {
        let compares = |rest: &[u8], ordering| {
            let (name, value) = split_at_equals(rest);
            Self::Compares(name.to_vec(), ordering, value.to_vec())
        };
        Some(match word.split_first()? {
            (b'#', operations) => Self::Operate(parse_steps(operations)?),
            (b'-', name) => Self::Lacks(name.to_vec()),
            (b'=', rest) => compares(rest, Ordering::Equal),
            (b'<', rest) => compares(rest, Ordering::Less),
            (b'>', rest) => compares(rest, Ordering::Greater),
            _ if word.contains(&b'=') => compares(word, Ordering::Equal),
            _ => Self::Has(word.to_vec()),
        })
    }
}

fn parse_steps(operations: &[u8]) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = operations;
    while let Some((first, tail)) = rest.split_first() {
        if first.is_ascii_digit() {
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (digits, after) = rest.split_at(length);
            let index = std::str::from_utf8(digits).ok()?.parse().ok()?;
            steps.push(if after.is_empty() { Step::KeepOnly(index) } else { Step::CopyAt(index) });
            // A dot right after an index does nothing.
            rest = after.strip_prefix(b".").unwrap_or(after);
            continue;
        }
        steps.push(match first {
            b'!' => Step::Not,
            b'&' => Step::And,
            b'|' => Step::Or,
            b'.' => Step::CopyTop,
            _ => return None,
        });
        rest = tail;
    }
    Some(steps)
}

impl Step {
    fn depth_after(self, depth: usize) -> Option<usize> {
        match self {
            Self::Not => (depth >= 1).then_some(depth),
            Self::And | Self::Or => (depth >= 2).then(|| depth - 1),
            Self::CopyTop => (depth >= 1).then(|| depth + 1),
            Self::CopyAt(index) => (index < depth && depth < MOST_WORDS).then(|| depth + 1),
            Self::KeepOnly(index) => (index < depth).then_some(1),
        }
    }

    fn run(self, stack: &mut Vec<bool>) {
        let at = |stack: &[bool], index: usize| stack.iter().rev().nth(index).copied().unwrap_or(false);
        match self {
            Self::Not => {
                let top = stack.pop().unwrap_or(false);
                stack.push(!top);
            }
            Self::And | Self::Or => {
                let (right, left) = (stack.pop().unwrap_or(false), stack.pop().unwrap_or(false));
                stack.push(if self == Self::And { left && right } else { left || right });
            }
            Self::CopyTop => stack.push(at(stack, 0)),
            Self::CopyAt(index) => stack.push(at(stack, index)),
            Self::KeepOnly(index) => {
                let kept = at(stack, index);
                stack.clear();
                stack.push(kept);
            }
        }
    }
}

/// Numbers compare as numbers, durations as durations, the rest as bytes. Equality is of the printed
/// bytes alone, so `60s` and `1m` are neither equal nor ordered.
fn compare(held: &[u8], wanted: &[u8]) -> Option<Ordering> {
    if held == wanted {
        return Some(Ordering::Equal);
    }
    let unequal = |ordering: Ordering| Some(ordering).filter(|ordering| ordering.is_ne());
    if let (Ok(held), Ok(wanted)) = (std::str::from_utf8(held), std::str::from_utf8(wanted)) {
        if let (Ok(held), Ok(wanted)) = (held.parse::<u64>(), wanted.parse::<u64>()) {
            return unequal(held.cmp(&wanted));
        }
        if let (Some(held), Some(wanted)) = (parse_duration(held), parse_duration(wanted)) {
            return unequal(held.cmp(&wanted));
        }
    }
    Some(held.cmp(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &[(&str, &str)] = &[
        ("name", "plot1"),
        ("disabled", "false"),
        ("profile", "gold"),
        ("limit-bytes-in", "9"),
        ("uptime", "1h2m"),
        ("routes", ""),
    ];

    fn check(words: &[&str], expected: bool) {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let property = |name: &[u8]| {
            ROW.iter().find(|(key, _)| key.as_bytes() == name).map(|(_, value)| value.as_bytes().to_vec())
        };
        assert_eq!(Query::parse(&words).unwrap().accepts(property), expected, "{words:?}");
    }

    #[test]
    fn a_query_is_a_stack_machine_over_what_the_row_prints() {
        check(&[], true);
        check(&["name"], true);
        check(&["comment"], false);
        check(&["-comment"], true);
        check(&["name=plot1"], true);
        check(&["=name=plot1"], true);
        check(&["disabled=no"], false);
        check(&["disabled=false", "profile=gold"], true);
        check(&["disabled=false", "profile=silver"], false);
        check(&["name=plot2", "name=plot1", "#|"], true);
        check(&["name=plot2", "name=plot3", "name=plot1", "#|", "#|"], true);
        check(&["name=plot2", "#!"], true);
        check(&["name=plot1", "name=plot2", "#!&"], true);
        check(&["name=plot1", "name=plot2", "#0"], false);
        check(&["name=plot1", "name=plot2", "#1"], true);
        check(&["name=plot1", "#.&"], true);
        check(&["name=plot1", "name=plot2", "#1.|&"], true);
        check(&[">limit-bytes-in=10"], false);
        check(&["<limit-bytes-in=10"], true);
        check(&[">uptime=59m"], true);
        check(&[">comment="], false);
        check(&[">name="], true);
        check(&["comment="], true);
    }

    #[test]
    fn a_query_tells_which_rows_alone_can_pass() {
        let check = |words: &[&str], expected: Option<&[&str]>| {
            let bytes: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
            let query = Query::parse(&bytes).unwrap();
            let expected = expected.map(|names| names.iter().map(|name| name.as_bytes()).collect::<Vec<_>>());
            assert_eq!(query.only(b"name"), expected, "{words:?}");
        };
        check(&[], None);
        check(&["name=a"], Some(&["a"]));
        check(&["disabled=false", "=name=a"], Some(&["a"]));
        check(&["name=a", "name=b", "#|"], Some(&["a", "b"]));
        check(&["name=a", "name=b", "name=c", "#||"], Some(&["a", "b", "c"]));
        check(&["name=a", "name=b", "name=c", "#|"], None);
        check(&["name=a", "disabled=false", "#|"], None);
        check(&["name=a", "#!"], None);
        check(&["name=a", "name=b", "#|", "disabled=false"], None);
        check(&["name="], None);
        check(&[">name=a"], None);
    }

    #[test]
    fn an_operation_without_operands_is_malformed() {
        for words in [vec!["#|"], vec!["name", "#&"], vec!["name", "#3"], vec!["name", "#~"], vec![""]] {
            let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
            assert!(Query::parse(&words).is_err(), "{words:?}");
        }
    }
}
