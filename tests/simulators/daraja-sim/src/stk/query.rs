//! What the STK query says: never a receipt, sometimes nothing, and on request the wrong thing.
//!
//! While the customer thinks, `4999` and `500.001.1001` take turns, and the latter comes in its three
//! observed dresses: with text, without, and with HTTP 200. A query never changes a prompt, it only counts.

use axum::http::StatusCode;

use crate::faults::QueryManner;
use crate::prompts::{Prompt, PromptState};
use crate::refusals::Refusal;
use crate::stk::callback::{PAID_TEXT, ResultCode};

/// An answer of the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum QueryAnswer {
    /// HTTP 200 with a result code.
    Result { code: String, description: String },
    /// An error body.
    Refused(Refusal),
}

impl QueryAnswer {
    /// What an id that nobody knows gets: the same code as one that is in flight.
    pub(crate) fn unknown() -> Self {
        Self::Refused(Refusal::overloaded("The transaction does not Exist"))
    }

    fn result(code: &str, description: &str) -> Self {
        Self::Result { code: code.to_owned(), description: description.to_owned() }
    }
}

/// Answers a query about a prompt, in the manner that is in force.
pub(crate) fn answer(prompt: &mut Prompt, manner: QueryManner) -> QueryAnswer {
    match (&prompt.state, manner) {
        (PromptState::Waiting, _) | (_, QueryManner::NeverKnows) => {
            let poll = prompt.polls_while_waiting;
            prompt.polls_while_waiting = poll.wrapping_add(1);
            in_flight(poll)
        }
        (PromptState::Paid { .. }, QueryManner::SaysFailed) => {
            QueryAnswer::result(ResultCode::NoAnswer.as_str(), ResultCode::NoAnswer.query_text())
        }
        (PromptState::Paid { .. }, QueryManner::Truthful) => QueryAnswer::result("0", PAID_TEXT),
        (PromptState::Declined { result_code, .. }, _) => {
            QueryAnswer::result(result_code.as_str(), result_code.query_text())
        }
    }
}

fn in_flight(poll: u32) -> QueryAnswer {
    if poll.is_multiple_of(2) {
        return QueryAnswer::result("4999", "The transaction is still under processing");
    }
    let with_text = Refusal::overloaded("The transaction is being processed");
    QueryAnswer::Refused(match (poll / 2) % 3 {
        0 => with_text,
        1 => Refusal::overloaded(""),
        _ => Refusal { status: StatusCode::OK, message: String::new(), ..with_text },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_flight_takes_turns_between_its_four_faces() {
        let face = |poll| match in_flight(poll) {
            QueryAnswer::Result { code, .. } => code,
            QueryAnswer::Refused(refusal) => {
                format!("{} {} {}", refusal.status.as_u16(), refusal.code, refusal.message)
            }
        };
        let faces: Vec<_> = (0..7).map(face).collect();
        assert_eq!(
            faces,
            [
                "4999",
                "500 500.001.1001 The transaction is being processed",
                "4999",
                "500 500.001.1001 ",
                "4999",
                "200 500.001.1001 ",
                "4999",
            ]
        );
    }
}
