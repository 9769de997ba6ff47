//! What stands in a result: the envelope that all requests of an API operator share. Pure: bytes in, words out.
//!
//! Codes come as numbers, strings and words, parameters as a list or as a lone object, values or whole parts are missing,
//! keys come twice and spelt in several ways: all is taken, and kept as it came. What the words mean is `told`.

use serde_json::value::RawValue;

use crate::mpesa::evidence::{ID_CHARACTERS, NotUnderstood, Reason};
use crate::mpesa::fields::{self, Fields};
use crate::plain::line_of;

/// Parameters that are kept; today's results have 13 at most.
const PARAMETERS_MOST: usize = 64;
/// The longest name of a parameter that is kept.
const KEY_CHARACTERS: usize = 64;
/// The longest value that is kept: the balance of some forty accounts.
const VALUE_CHARACTERS: usize = 4_000;

/// What a result says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResultTold {
    /// How it ended; `0` is well.
    pub(super) reason: Reason,
    /// Safaricom's id of the request.
    pub(super) originator: Option<String>,
    /// Safaricom's id of what it did.
    pub(super) conversation: Option<String>,
    /// What else it says.
    pub(super) parameters: Parameters,
}

/// Names with their values, in their order; a name may come twice, and without a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(pub(super) Vec<(String, Option<String>)>);

impl Parameters {
    /// The first value under any of these names, which are in lower case and have neither spaces nor signs.
    pub(super) fn first(&self, names: &[&str]) -> Option<&str> {
        self.all(names).first().copied()
    }

    /// Every value under any of these names.
    pub(super) fn all(&self, names: &[&str]) -> Vec<&str> {
        let named = self.0.iter().filter(|(key, _)| names.contains(&plain(key).as_str()));
        named.filter_map(|(_, value)| value.as_deref()).collect()
    }
}

/// Reads a result.
///
/// # Errors
/// [`NotUnderstood`]: then nothing of it may be acted on.
pub(super) fn parse(body: &[u8]) -> Result<ResultTold, NotUnderstood> {
    let body = fields::readable(body);
    let envelope = fields::of(&body).ok_or(NotUnderstood::Form)?;
    let result = match fields::object(&envelope, "result") {
        Some(result) => result,
        None if envelope.contains_key("resultcode") => envelope,
        None => return Err(NotUnderstood::Form),
    };
    let code = fields::text(&result, "resultcode").ok_or(NotUnderstood::Field("ResultCode"))?;
    let id = |names: [&str; 2]| {
        let found = names.into_iter().find_map(|name| fields::text(&result, name));
        found.map(|id| line_of(&id, ID_CHARACTERS))
    };
    Ok(ResultTold {
        reason: Reason::new(&code, &fields::text_or_empty(&result, "resultdesc")),
        originator: id(["originatorconversationid", "originatorcoversationid"]),
        conversation: id(["conversationid", "coversationid"]),
        parameters: parameters(&result),
    })
}

fn parameters(result: &Fields<'_>) -> Parameters {
    let Some(holder) = result.get("resultparameters").copied() else { return Parameters::default() };
    let within = fields::of(holder.get().as_bytes());
    let list = within.as_ref().and_then(|within| within.get("resultparameter").copied()).unwrap_or(holder);
    let parameter = |item: &RawValue| {
        let item = fields::of(item.get().as_bytes())?;
        let key = line_of(&fields::text(&item, "key")?, KEY_CHARACTERS);
        let value = fields::text(&item, "value").map(|value| line_of(&value, VALUE_CHARACTERS));
        Some((key, value))
    };
    let items = serde_json::from_str::<Vec<&RawValue>>(list.get()).unwrap_or_else(|_| vec![list]);
    Parameters(items.into_iter().filter_map(parameter).take(PARAMETERS_MOST).collect())
}

/// A name as it is compared: letters and digits alone, in lower case.
fn plain(key: &str) -> String {
    key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(told: &ResultTold) -> Vec<(&str, Option<&str>)> {
        told.parameters.0.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect()
    }

    #[test]
    fn a_result_is_read_in_every_dress_that_was_seen() {
        let check =
            |body: &str, code: &str, conversation: Option<&str>, expected: &[(&str, Option<&str>)]| {
                let told = parse(body.as_bytes()).unwrap();
                assert_eq!(
                    (told.reason.code.as_str(), told.conversation.as_deref()),
                    (code, conversation),
                    "{body}"
                );
                assert_eq!(list(&told), expected, "{body}");
            };
        let lone = r#"{"Key":"A","Value":"x"}"#;
        let whole = |code: &str, parameters: &str| {
            format!(
                r#"{{"Result":{{"ResultCode":{code},"ConversationID":"AG_1","ResultParameters":{parameters}}}}}"#
            )
        };
        let within = |list: &str| format!(r#"{{"ResultParameter":{list}}}"#);
        check(&whole("0", &within(&format!("[{lone}]"))), "0", Some("AG_1"), &[("A", Some("x"))]);
        check(&whole("\"0\"", &within(lone)), "0", Some("AG_1"), &[("A", Some("x"))]);
        check(&whole("\"SFC_IC0003\"", "null"), "SFC_IC0003", Some("AG_1"), &[]);
        check(&whole("-1", &format!("[{lone}]")), "-1", Some("AG_1"), &[("A", Some("x"))]);
        let odd =
            r#"[{"Key":"A"},{"Key":"A","Value":1.50},{"Value":"no name"},7,{"key":"B b","VALUE":null}]"#;
        check(
            &whole("2001", &within(odd)),
            "2001",
            Some("AG_1"),
            &[("A", None), ("A", Some("1.50")), ("B b", None)],
        );
        check(r#"{"ResultCode":"17","ResultDesc":"d"}"#, "17", None, &[]);
        check(r#"{"result":{"RESULTCODE":1,"resultcode":2}}"#, "2", None, &[]);
    }

    #[test]
    fn what_is_no_result_is_refused_whole() {
        let check = |body: &[u8], why| assert_eq!(parse(body), Err(why));
        for body in ["", "{", "[]", "7", "{}", r#"{"Result":"ok"}"#, r#"{"Body":{"ResultCode":0}}"#] {
            check(body.as_bytes(), NotUnderstood::Form);
        }
        check(br#"{"Result":{}}"#, NotUnderstood::Field("ResultCode"));
        check(br#"{"Result":{"ResultCode":{"a":1}}}"#, NotUnderstood::Field("ResultCode"));
        check(&[0xff, 0xfe], NotUnderstood::Form);
    }

    #[test]
    fn what_is_kept_has_bounds() {
        let item = format!(r#"{{"Key":"{}","Value":"{}"}}"#, "k".repeat(500), "v".repeat(9_000));
        let items = vec![item; 300].join(",");
        let body =
            format!(r#"{{"Result":{{"ResultCode":0,"ResultParameters":{{"ResultParameter":[{items}]}}}}}}"#);
        let told = parse(body.as_bytes()).unwrap();
        assert_eq!(told.parameters.0.len(), PARAMETERS_MOST);
        let (key, value) = &told.parameters.0[0];
        assert_eq!((key.len(), value.as_ref().map(String::len)), (KEY_CHARACTERS, Some(VALUE_CHARACTERS)));
    }

    #[test]
    fn names_are_found_however_they_are_spelt() {
        let value = |text: &str| Some(text.to_owned());
        let parameters = Parameters(vec![
            ("Conversation ID".to_owned(), value("AG")),
            ("Debit_Party-Name".to_owned(), None),
            ("DebitPartyName".to_owned(), value("one")),
            ("DebitPartyName".to_owned(), value("two")),
        ]);
        assert_eq!(parameters.first(&["conversationid"]), Some("AG"));
        assert_eq!(parameters.all(&["debitpartyname"]), ["one", "two"]);
        assert_eq!(parameters.first(&["receiptno"]), None);
    }
}
