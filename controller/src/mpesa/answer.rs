//! What Daraja's answers mean, decided by the body alone. Pure.
//!
//! The HTTP status decides nothing: error codes arrive with 200, refusals with 500, and pages of HTML with anything.
//! A push has three ends: accepted, refused (certainly no prompt) and unknown (perhaps a prompt: never sent again).

use std::fmt;

use super::evidence::{CheckoutId, ID_CHARACTERS, Reason};
use super::fields::{self, Fields, text_or_empty};
use crate::plain::line_of;

/// Codes of a token that Daraja does not take, any more or at all. The request did nothing.
const TOKEN_CODES: [&str; 4] = ["404.001.03", "400.003.01", "401.002.01", "401.003.01"];
/// Codes of a gateway that did not pass the request on: too much at once, or today.
pub(super) const BUSY_CODES: [&str; 2] = ["500.003.02", "500.003.03"];
/// Where the gateway's faults come from that it finds before it passes a request on. Any other fault, such as
/// `messaging.adaptors.http.flow.GatewayTimeout` or an unexpected end of the answer, may come after that.
const FAULTS_BEFORE: [&str; 3] = ["keymanagement.", "oauth.", "policies."];
/// Words of the gateway's faults for too much at once or today, as in `policies.ratelimit.SpikeArrestViolation`.
pub(super) const FAULTS_BUSY: [&str; 2] = ["spikearrest", "quota"];
/// "Overloaded", and three other things, told apart by the text alone.
pub(in crate::mpesa) const OVERLOADED: &str = "500.001.1001";
/// Texts of [`OVERLOADED`] that say that nothing was started, because the short code or its passkey is wrong.
pub(super) const WRONG_SHORT_CODE: [&str; 2] = ["merchant does not exist", "wrong credentials"];
/// The same, because the phone has another transaction under way.
pub(super) const PHONE_BUSY: &str = "unable to lock subscriber";
/// A payment to a phone whose name Daraja has taken before: what became of that one counts, and this one is none.
const TAKEN_BEFORE: &str = "500.002.1001";
/// "Still being processed", as the query writes it.
const STILL_PROCESSING: &str = "4999";

/// Why Daraja did not take a request. In all cases it did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The token is dead: get another and try once more.
    Token,
    /// Too much at once: try again after a pause.
    Busy(Reason),
    /// It would refuse the same request again.
    Final(Reason),
}

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushAnswer {
    /// A prompt is on its way to the phone.
    Accepted {
        /// Safaricom's id of it.
        checkout: CheckoutId,
        /// Safaricom's other id of it.
        merchant_request_id: Option<String>,
    },
    /// No prompt was sent.
    Refused(Refusal),
    /// A prompt may have been sent.
    Unknown,
}

/// What a query says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryAnswer {
    /// Paid. There is no receipt in it.
    Paid,
    /// Ended without money, as far as the query knows.
    Failed(Reason),
    /// The token is dead.
    Token,
    /// Anything else: still processing, overloaded, unreadable.
    NoAnswer,
}

/// What became of something that an API operator asked: its result, if there will be one, comes later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// Daraja took it.
    Accepted {
        /// Safaricom's id of the request.
        originator: Option<String>,
        /// Safaricom's id of what it does for it.
        conversation: Option<String>,
    },
    /// Daraja did nothing, and would not another time.
    Refused(Reason),
    /// Daraja did nothing for now: it has too much to do, or does not take the token.
    NotNow(Reason),
    /// Daraja did nothing, since it took the same by the same name before.
    TakenBefore(Reason),
    /// It may have been taken.
    Unknown,
}

/// A token and how long it lives.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenAnswer {
    /// The token.
    pub access_token: String,
    /// Its life in seconds.
    pub lives_seconds: u64,
}

impl fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenAnswer(hidden, {} s)", self.lives_seconds)
    }
}

/// Reads the answer to a push.
#[must_use]
pub fn of_push(body: &[u8]) -> PushAnswer {
    let Some(answer) = fields::of(body) else {
        return PushAnswer::Unknown;
    };
    if let Some(refusal) = refusal(&answer) {
        return refusal.map_or(PushAnswer::Unknown, PushAnswer::Refused);
    }
    let code = text_or_empty(&answer, "responsecode");
    match CheckoutId::parse(&text_or_empty(&answer, "checkoutrequestid")) {
        Some(checkout) if code == "0" => {
            let merchant_request_id =
                fields::text(&answer, "merchantrequestid").map(|id| line_of(&id, ID_CHARACTERS));
            PushAnswer::Accepted { checkout, merchant_request_id }
        }
        _ if code.is_empty() || code == "0" => PushAnswer::Unknown,
        _ => {
            let description = text_or_empty(&answer, "responsedescription");
            PushAnswer::Refused(Refusal::Final(Reason::new(&code, &description)))
        }
    }
}

/// Reads the answer to a query. In doubt it says nothing: the callback decides.
#[must_use]
pub fn of_query(body: &[u8]) -> QueryAnswer {
    let Some(answer) = fields::of(body) else {
        return QueryAnswer::NoAnswer;
    };
    match refusal(&answer) {
        Some(Some(Refusal::Token)) => return QueryAnswer::Token,
        Some(_) => return QueryAnswer::NoAnswer,
        None => {}
    }
    match text_or_empty(&answer, "resultcode").as_str() {
        "0" => QueryAnswer::Paid,
        "" | STILL_PROCESSING | OVERLOADED => QueryAnswer::NoAnswer,
        code => QueryAnswer::Failed(Reason::new(code, &text_or_empty(&answer, "resultdesc"))),
    }
}

/// Reads the answer to something that an API operator asked.
#[must_use]
pub fn of_acknowledgement(body: &[u8]) -> Acknowledgement {
    let Some(answer) = fields::of(body) else {
        return Acknowledgement::Unknown;
    };
    match refusal(&answer) {
        Some(Some(Refusal::Final(reason))) => return Acknowledgement::Refused(reason),
        Some(Some(Refusal::Busy(reason))) => return Acknowledgement::NotNow(reason),
        Some(Some(Refusal::Token)) => {
            return Acknowledgement::NotNow(Reason::new("", "M-Pesa does not take the access token"));
        }
        Some(None) if text_or_empty(&answer, "errorcode") == TAKEN_BEFORE => {
            let message = text_or_empty(&answer, "errormessage");
            return Acknowledgement::TakenBefore(Reason::new(TAKEN_BEFORE, &message));
        }
        Some(None) => return Acknowledgement::Unknown,
        None => {}
    }
    let id = |names: [&str; 2]| {
        let found = names.into_iter().find_map(|name| fields::text(&answer, name));
        found.map(|id| line_of(&id, ID_CHARACTERS))
    };
    match text_or_empty(&answer, "responsecode").as_str() {
        "0" => Acknowledgement::Accepted {
            originator: id(["originatorconversationid", "originatorcoversationid"]),
            conversation: id(["conversationid", "coversationid"]),
        },
        "" => Acknowledgement::Unknown,
        code => Acknowledgement::Refused(Reason::new(code, &text_or_empty(&answer, "responsedescription"))),
    }
}

/// Whether an answer, to whatever it is, says that the token is dead.
#[must_use]
pub fn is_token_refused(body: &[u8]) -> bool {
    fields::of(body).is_some_and(|answer| matches!(refusal(&answer), Some(Some(Refusal::Token))))
}

/// Reads the answer to a request for a token; `expires_in` comes as a number and as a string.
///
/// # Errors
/// What Daraja said instead, for the operator's log.
pub fn of_token(body: &[u8]) -> Result<TokenAnswer, Reason> {
    let Some(answer) = fields::of(body) else {
        return Err(Reason::new("", "not an answer of Daraja"));
    };
    let access_token = text_or_empty(&answer, "access_token");
    if !access_token.is_empty() && access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        // Without a life that can be read, it is used once.
        let lives_seconds = seconds(&text_or_empty(&answer, "expires_in")).unwrap_or(0);
        return Ok(TokenAnswer { access_token, lives_seconds });
    }
    Err(Reason::new(&text_or_empty(&answer, "errorcode"), &text_or_empty(&answer, "errormessage")))
}

/// Whole seconds, of which a fraction is left out: `3599`, and `3599.0` as some gateways write it.
fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    fraction.bytes().all(|byte| byte.is_ascii_digit()).then_some(whole)?.parse().ok()
}

/// A refusal, if the answer is an error: `Some(None)` is an error that leaves open whether anything was done.
fn refusal(answer: &Fields<'_>) -> Option<Option<Refusal>> {
    if answer.get("fault").is_some_and(|fault| fault.get() != "null") {
        let fault = fields::object(answer, "fault").unwrap_or_default();
        let detail = fields::object(&fault, "detail").unwrap_or_default();
        let code = text_or_empty(&detail, "errorcode");
        let reason = Reason::new(&code, &text_or_empty(&fault, "faultstring"));
        if code.is_empty() && is_of_token(&reason.description) {
            return Some(Some(Refusal::Token));
        }
        return Some(refusal_of_fault(&code, reason));
    }
    let code = text_or_empty(answer, "errorcode");
    if code.is_empty() {
        return None;
    }
    let message = text_or_empty(answer, "errormessage");
    let reason = Reason::new(&code, &message);
    let lowered = message.to_ascii_lowercase();
    Some(if TOKEN_CODES.contains(&code.as_str()) || is_of_token(&code) {
        Some(Refusal::Token)
    } else if BUSY_CODES.contains(&code.as_str()) || code.starts_with("429.") {
        Some(Refusal::Busy(reason))
    } else if code == OVERLOADED {
        let is_told = |text: &&str| lowered.contains(*text);
        let is_started = !is_told(&PHONE_BUSY) && !WRONG_SHORT_CODE.iter().any(is_told);
        (!is_started).then_some(Refusal::Final(reason))
    } else if code.starts_with('4') {
        Some(Refusal::Final(reason))
    } else {
        None
    })
}

/// Whether the gateway says that it does not take the token, in any spelling: `oauth.v2.InvalidAccessToken`,
/// `keymanagement.service.invalid_access_token`, "Access Token expired". It looks at that before it passes anything on.
fn is_of_token(words: &str) -> bool {
    let plain: String =
        words.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    plain.contains("invalidaccesstoken") || plain.contains("accesstokenexpired")
}

/// What a fault of the gateway proves: `None` when the request may have been passed on before.
fn refusal_of_fault(code: &str, reason: Reason) -> Option<Refusal> {
    let lowered = code.to_ascii_lowercase();
    if !FAULTS_BEFORE.iter().any(|origin| lowered.starts_with(origin)) {
        return None;
    }
    let is_token = is_of_token(code);
    let is_busy = lowered.starts_with("policies.") && FAULTS_BUSY.iter().any(|word| lowered.contains(word));
    Some(match (is_token, is_busy) {
        (true, _) => Refusal::Token,
        (false, true) => Refusal::Busy(reason),
        (false, false) => Refusal::Final(reason),
    })
}

#[cfg(test)]
mod tests;
