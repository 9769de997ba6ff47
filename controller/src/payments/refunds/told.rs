//! What the answers of M-Pesa say of a refund. Pure.

use super::Way;
use super::state::Event;
use crate::mpesa::operator::{OperatorRequest, Question, State as Asked};

/// M-Pesa's word for a receipt that was reversed before: the money is back with whoever paid it.
const ALREADY_REVERSED: &str = "R000001";
/// Codes with which M-Pesa says that it moved nothing, in lower case: no money, a limit, an account or a phone that cannot take
/// it, an operator who may not, a receipt that it does not know. With any other one the money may have gone.
const DID_NOT: [&str; 13] =
    ["1", "2", "3", "4", "8", "11", "21", "25", "2001", "2006", "2040", "8006", "r000002"];
/// How the codes of M-Pesa's gateway begin that turn an operator away before anything is done.
const TURNED_AWAY: &str = "tp";

/// What the answer of M-Pesa says of a refund; `None` where it says nothing.
pub(super) fn told_by(request: &OperatorRequest, way: Way) -> Option<Event> {
    let reason = match &request.state {
        Asked::QueueTimedOut => {
            // Nobody knows, which is what a question about it leaves behind as well.
            return matches!(request.question, Question::Reversal(_) | Question::Payout(_))
                .then_some(Event::TimedOut);
        }
        Asked::Answered(reason) => reason,
        Asked::Asking | Asked::Accepted | Asked::Refused(_) | Asked::ReplyLost => return None,
    };
    match &request.question {
        Question::Payout(_) if reason.code == ALREADY_REVERSED => Some(Event::Unclear),
        Question::Reversal(_) | Question::Payout(_) if is_gone_code(&reason.code) => Some(Event::WentThrough),
        Question::Reversal(_) | Question::Payout(_) if is_final(&reason.code) => Some(Event::DidNot),
        Question::Reversal(_) | Question::Payout(_) => Some(Event::Unclear),
        Question::RefundStatus(_) => status_of(way, request.transaction()?.status.as_deref()?),
        Question::Balance | Question::Status(_) => None,
    }
}

/// Whether a code says that the money is with whoever paid it.
pub(super) fn is_gone_code(code: &str) -> bool {
    code == "0" || code == ALREADY_REVERSED
}

/// Whether a code says for certain that nothing was moved.
fn is_final(code: &str) -> bool {
    let code = code.to_ascii_lowercase();
    DID_NOT.contains(&code.as_str()) || code.starts_with(TURNED_AWAY)
}

/// Whether all of them do.
pub(super) fn is_each_final(codes: &[Option<String>]) -> bool {
    codes.iter().all(|code| code.as_deref().is_some_and(is_final))
}

/// What the state of a transaction says. That a receipt which was to be reversed is completed says nothing: its reversal may
/// be under way. Which words Safaricom has for the rest is not published.
fn status_of(way: Way, status: &str) -> Option<Event> {
    let status = status.to_ascii_lowercase();
    let is = |words: &[&str]| words.iter().any(|word| status.starts_with(word));
    match way {
        Way::Reversal => is(&["revers"]).then_some(Event::WentThrough),
        Way::Payout if is(&["complet"]) => Some(Event::WentThrough),
        Way::Payout => is(&["fail", "cancel", "declin", "expir", "revers"]).then_some(Event::DidNot),
    }
}
