//! What answers of Africa's Talking mean. Pure.
//!
//! A text has four ends there: taken (100 to 102), refused for good (the number), not now (our account: key, sender, money),
//! and nobody knows (the gateway behind it, an answer that is none). What is not known is never taken for refused: a text
//! about money would be sent twice.

use serde::Deserialize;
use serde_json::Value;

use crate::messages::sender::Answer;
use crate::plain::line_of;

/// The longest words of theirs that are kept, in characters.
const WORDS: usize = 120;
/// The longest id that is kept, in characters; theirs have about 40.
const ID_CHARACTERS: usize = 80;

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "SMSMessageData")]
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "Message", default)]
    message: String,
    #[serde(rename = "Recipients", default)]
    recipients: Vec<Recipient>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipient {
    #[serde(default)]
    status_code: Value,
    #[serde(default)]
    status: String,
    #[serde(default)]
    cost: Value,
    #[serde(default)]
    message_id: Value,
}

/// The answer to one text to one number.
#[must_use]
pub fn of_message(status: u16, body: &[u8]) -> Answer {
    match status {
        200..=299 => of_envelope(body),
        401 | 403 => Answer::NotNow(refused_key()),
        // Somebody in between gave up waiting, or may have passed it on all the same.
        408 | 425 | 499 => ill(format!("Africa's Talking failed: {}", words(status, body))),
        // Anything else below 500 was turned down before anything was sent.
        400..=499 => Answer::NotNow(format!("Africa's Talking refused the request: {}", words(status, body))),
        _ => ill(format!("Africa's Talking failed: {}", words(status, body))),
    }
}

fn of_envelope(body: &[u8]) -> Answer {
    let Ok(Envelope { data }) = serde_json::from_slice(body) else {
        return ill("Africa's Talking gave an answer that is none".to_owned());
    };
    let Some(recipient) = data.recipients.first() else {
        // `InvalidSenderId`, and whatever else concerns all texts alike.
        return Answer::NotNow(format!("Africa's Talking sent nothing: {}", line_of(&data.message, WORDS)));
    };
    let provider_id = text(&recipient.message_id)
        .map(|id| line_of(&id, ID_CHARACTERS))
        .filter(|id| !id.is_empty() && !id.eq_ignore_ascii_case("none"));
    let code = code_of(&recipient.status_code);
    let said = || format!("{} {}", code.unwrap_or_default(), line_of(&recipient.status, WORDS));
    match code {
        Some(100..=102) => {
            let cost = text(&recipient.cost).map(|cost| line_of(&cost, WORDS)).unwrap_or_default();
            Answer::Taken { provider_id, cost }
        }
        Some(402 | 405) => Answer::NotNow(format!("Africa's Talking sent nothing: {}", said())),
        Some(403 | 404 | 406 | 407 | 409 | 502) => {
            Answer::Refused(format!("Africa's Talking sent nothing: {}", said()))
        }
        Some(500 | 501) => {
            Answer::Unknown { reason: format!("Africa's Talking: {}", said()), provider_id, is_ill: true }
        }
        // 401, `RiskHold`, may be let go later; what else there is nobody has published.
        Some(_) | None => {
            Answer::Unknown { reason: format!("Africa's Talking: {}", said()), provider_id, is_ill: false }
        }
    }
}

/// The answer to the question for the account: what is left in it.
///
/// # Errors
/// Why it is not known, for a person.
pub fn of_user(status: u16, body: &[u8]) -> Result<String, String> {
    match status {
        200..=299 => {}
        401 | 403 => return Err(refused_key()),
        _ => return Err(format!("Africa's Talking failed: {}", words(status, body))),
    }
    let balance = serde_json::from_slice::<Value>(body).ok().and_then(|answer| {
        let balance = answer.get("UserData")?.get("balance")?;
        text(balance)
    });
    balance.map(|balance| line_of(&balance, WORDS)).ok_or_else(|| "the answer names no balance".to_owned())
}

fn refused_key() -> String {
    "Africa's Talking does not take the user name with this API key".to_owned()
}

fn ill(reason: String) -> Answer {
    Answer::Unknown { reason, provider_id: None, is_ill: true }
}

/// What somebody can read of an answer that is no JSON of theirs: the status, and a few words of plain text.
fn words(status: u16, body: &[u8]) -> String {
    let said = std::str::from_utf8(body).unwrap_or_default().trim();
    if said.is_empty() || said.starts_with(['<', '{']) {
        return format!("HTTP {status}");
    }
    format!("HTTP {status}, {}", line_of(said, WORDS))
}

fn code_of(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(code: &str, id: &str) -> Vec<u8> {
        format!(
            r#"{{"SMSMessageData":{{"Message":"Sent to 1/1 Total Cost: KES 0.8000","Recipients":[{{"statusCode":{code},
            "number":"+254712345678","status":"As said","cost":"KES 0.8000","messageId":"{id}"}}]}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn an_answer_says_whether_a_text_left_and_a_doubt_is_never_a_no() {
        let check = |status: u16, body: &[u8], expected: &str| {
            let found = match of_message(status, body) {
                Answer::Taken { provider_id, cost } => format!("taken {provider_id:?} {cost}"),
                Answer::Refused(why) => format!("refused {why}"),
                Answer::NotNow(why) => format!("not now {why}"),
                Answer::Unknown { reason, is_ill, .. } => format!("unknown {is_ill} {reason}"),
            };
            assert!(found.contains(expected), "{status}: {found}");
        };
        check(201, &recipient("101", "ATXid_1"), "taken Some(\"ATXid_1\") KES 0.8000");
        check(200, &recipient("\"100\"", "ATXid_1"), "taken");
        check(201, &recipient("102", "None"), "taken None");
        for code in ["403", "404", "406", "407", "409", "502"] {
            check(201, &recipient(code, "None"), &format!("refused Africa's Talking sent nothing: {code}"));
        }
        for code in ["402", "405"] {
            check(201, &recipient(code, "None"), "not now Africa's Talking sent nothing");
        }
        for code in ["500", "501"] {
            check(201, &recipient(code, "None"), "unknown true");
        }
        for code in ["401", "999", "null", "[]"] {
            check(201, &recipient(code, "None"), "unknown false");
        }
        let no_sender = br#"{"SMSMessageData":{"Message":"InvalidSenderId","Recipients":[]}}"#;
        check(201, no_sender, "not now Africa's Talking sent nothing: InvalidSenderId");
        check(401, b"The supplied authentication is invalid", "not now Africa's Talking does not take");
        check(400, b"<html>", "not now Africa's Talking refused the request: HTTP 400");
        check(500, b"Try later", "unknown true Africa's Talking failed: HTTP 500, Try later");
        check(429, b"", "not now");
        // A gateway in between gave up waiting, or had passed it on: the text may have left.
        for status in [408, 425, 499] {
            check(status, b"", "unknown true Africa's Talking failed: HTTP 4");
        }
        check(302, b"", "unknown true");
        check(201, b"", "unknown true Africa's Talking gave an answer that is none");
        check(201, b"{\"SMSMessageData\":7}", "unknown true");
    }

    #[test]
    fn a_balance_is_read_as_it_is_written() {
        let body = br#"{"UserData":{"balance":"KES 1785.5000"}}"#;
        assert_eq!(of_user(200, body), Ok("KES 1785.5000".to_owned()));
        assert!(of_user(401, b"").unwrap_err().contains("API key"));
        assert!(of_user(200, b"{}").unwrap_err().contains("no balance"));
    }
}
