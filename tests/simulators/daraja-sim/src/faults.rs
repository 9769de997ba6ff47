//! What goes wrong at the gateway, for every caller: slowness, refusals, lost answers, dead tokens.
//!
//! Faults are counted ("the next three"), so that a test knows when the weather clears. Faults of a
//! single customer's callbacks are in `phones.rs`. `weather` is the layer through which every call to
//! Daraja passes; it refuses before anything was processed, as a real gateway does.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::codes::CodeManner;
use crate::gateway::Gateway;
use crate::phones::{MAX_COPIES, MAX_DELAY_MS};
use crate::refusals::{self, Refusal};
use crate::settings::Settings;

/// What the STK query says about payments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryManner {
    /// What happened.
    #[default]
    Truthful,
    /// That paid pushes failed with 1037, as the sandbox's query did in March 2026.
    SaysFailed,
    /// That it is still being processed, for ever.
    NeverKnows,
}

/// Which of the published codes a dead token is refused with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenError {
    /// HTTP 404, `404.001.03`.
    #[serde(rename = "404.001.03")]
    NotFound,
    /// HTTP 400, `400.003.01`.
    #[serde(rename = "400.003.01")]
    BadRequest,
    /// HTTP 401, `401.002.01`.
    #[serde(rename = "401.002.01")]
    Unauthorized,
    /// HTTP 401, `401.003.01`.
    #[serde(rename = "401.003.01")]
    UnauthorizedC2b,
}

/// A product that can be missing on the app; calls to it then end in an Apigee fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// `/mpesa/stkpush/…`
    StkPush,
    /// `/mpesa/stkpushquery/…`
    StkQuery,
    /// `/mpesa/c2b/v1/…`
    C2bV1,
    /// `/mpesa/c2b/v2/…`
    C2bV2,
    /// `/pulltransactions/…`
    Pull,
    /// `/mpesa/accountbalance/…`
    AccountBalance,
    /// `/mpesa/transactionstatus/…`
    TransactionStatus,
    /// `/mpesa/reversal/…`
    Reversal,
    /// `/mpesa/b2c/…`
    B2c,
    /// `/mpesa/qrcode/…`
    DynamicQr,
}

impl Product {
    fn of(path: &str) -> Option<Self> {
        [
            ("/mpesa/stkpush/", Self::StkPush),
            ("/mpesa/stkpushquery/", Self::StkQuery),
            ("/mpesa/c2b/v1/", Self::C2bV1),
            ("/mpesa/c2b/v2/", Self::C2bV2),
            ("/pulltransactions/", Self::Pull),
            ("/mpesa/accountbalance/", Self::AccountBalance),
            ("/mpesa/transactionstatus/", Self::TransactionStatus),
            ("/mpesa/reversal/", Self::Reversal),
            ("/mpesa/b2c/", Self::B2c),
            ("/mpesa/qrcode/", Self::DynamicQr),
        ]
        .into_iter()
        .find_map(|(prefix, product)| path.starts_with(prefix).then_some(product))
    }
}

/// What becomes of the results of what an API operator asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResultFaults {
    /// How often each is sent.
    pub copies: u32,
    /// All copies at the same moment instead of one after the other.
    pub together: bool,
    /// How long each takes, in milliseconds; at most an hour.
    pub delay_ms: u64,
    /// None is sent at all.
    pub lost: bool,
    /// Each is delivered before its request is acknowledged.
    pub before_reply: bool,
    /// None is sent; the `QueueTimeOutURL` hears of each instead.
    pub queue_time_out: bool,
    /// Codes come as text where they mostly come as numbers.
    pub as_text: bool,
    /// Each has this code, whatever was asked, and no money moves.
    pub code: Option<String>,
    /// No money moves, whatever the result would have said: with `queue_time_out` or `lost`, nobody is told.
    pub undone: bool,
}

impl Default for ResultFaults {
    fn default() -> Self {
        Self {
            copies: 1,
            together: false,
            delay_ms: 0,
            lost: false,
            before_reply: false,
            queue_time_out: false,
            as_text: false,
            code: None,
            undone: false,
        }
    }
}

/// The faults in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Every answer of Daraja is held back this long, after the work was done.
    pub slow_reply_ms: u64,
    /// How many of the next calls (OAuth excepted) end in HTTP 500 `500.003.02`, unprocessed.
    pub busy_next: u32,
    /// The same with `500.003.03`, quota.
    pub quota_next: u32,
    /// The same with HTTP 503 and a page of HTML.
    pub html_next: u32,
    /// How many of the next OAuth calls end in HTTP 500 `500.003.02`.
    pub oauth_busy_next: u32,
    /// How many of the next accepted pushes, or requests of the API operator, get no answer: the connection closes, the
    /// prompt, or the result, goes out.
    pub lose_reply_next: u32,
    /// How many of them the gateway gives up waiting for: an Apigee fault, and the prompt, or the result, goes out.
    pub time_out_next: u32,
    /// What the STK query says.
    pub query: QueryManner,
    /// The code for dead tokens; `null`: `404.001.03` for STK, `401.003.01` for C2B, `400.003.01` for Pull.
    pub token_error: Option<TokenError>,
    /// Products that the app does not have.
    pub no_product: Vec<Product>,
    /// Whether a repeat within two minutes ends in 17.
    pub rule_17: bool,
    /// What becomes of an API operator's results.
    pub results: ResultFaults,
    /// What is wrong with the codes that are drawn.
    pub codes: CodeManner,
}

/// A change of the faults in force; what is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultsChange {
    /// See [`Faults::slow_reply_ms`]; at most an hour.
    pub slow_reply_ms: Option<u64>,
    /// See [`Faults::busy_next`].
    pub busy_next: Option<u32>,
    /// See [`Faults::quota_next`].
    pub quota_next: Option<u32>,
    /// See [`Faults::html_next`].
    pub html_next: Option<u32>,
    /// See [`Faults::oauth_busy_next`].
    pub oauth_busy_next: Option<u32>,
    /// See [`Faults::lose_reply_next`].
    pub lose_reply_next: Option<u32>,
    /// See [`Faults::time_out_next`].
    pub time_out_next: Option<u32>,
    /// See [`Faults::query`].
    pub query: Option<QueryManner>,
    /// See [`Faults::token_error`]. Back to `null` only with all other faults.
    pub token_error: Option<TokenError>,
    /// See [`Faults::no_product`].
    pub no_product: Option<Vec<Product>>,
    /// See [`Faults::rule_17`].
    pub rule_17: Option<bool>,
    /// See [`Faults::results`]; all of it at once.
    pub results: Option<ResultFaults>,
    /// See [`Faults::codes`].
    pub codes: Option<CodeManner>,
    /// Unlocks the API operator now, once.
    pub unlock_operator: bool,
    /// Kills the current token now, once.
    pub expire_token: bool,
}

impl FaultsChange {
    /// The first member beyond its limit.
    pub(crate) fn out_of_bounds(&self) -> Option<&'static str> {
        if self.slow_reply_ms.unwrap_or_default() > MAX_DELAY_MS {
            return Some("slow_reply_ms");
        }
        let results = self.results.as_ref()?;
        let is_bounded = results.delay_ms <= MAX_DELAY_MS && (1..=MAX_COPIES).contains(&results.copies);
        (!is_bounded).then_some("results")
    }
}

/// A refusal before anything was processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Early {
    Busy,
    Quota,
    Html,
    NoProduct,
}

impl Faults {
    /// No faults at all, and Daraja's rules as at the start.
    pub(crate) fn calm(settings: &Settings) -> Self {
        Self { rule_17: settings.rule_17, ..Self::default() }
    }

    /// Takes over what the change names.
    pub(crate) fn apply(&mut self, change: &FaultsChange) {
        fn set<T: Clone>(fault: &mut T, wanted: Option<&T>) {
            if let Some(wanted) = wanted {
                *fault = wanted.clone();
            }
        }
        set(&mut self.slow_reply_ms, change.slow_reply_ms.as_ref());
        set(&mut self.busy_next, change.busy_next.as_ref());
        set(&mut self.quota_next, change.quota_next.as_ref());
        set(&mut self.html_next, change.html_next.as_ref());
        set(&mut self.oauth_busy_next, change.oauth_busy_next.as_ref());
        set(&mut self.lose_reply_next, change.lose_reply_next.as_ref());
        set(&mut self.time_out_next, change.time_out_next.as_ref());
        set(&mut self.query, change.query.as_ref());
        set(&mut self.no_product, change.no_product.as_ref());
        set(&mut self.rule_17, change.rule_17.as_ref());
        set(&mut self.results, change.results.as_ref());
        set(&mut self.codes, change.codes.as_ref());
        if change.token_error.is_some() {
            self.token_error = change.token_error;
        }
    }

    /// Uses up one lost answer, if one is due.
    pub(crate) fn lose_this_reply(&mut self) -> bool {
        take_one(&mut self.lose_reply_next)
    }

    /// Uses up one time-out after forwarding, if one is due.
    pub(crate) fn time_out_this_reply(&mut self) -> bool {
        take_one(&mut self.time_out_next)
    }

    fn meet(&mut self, path: &str) -> Option<Early> {
        if path.starts_with("/oauth/") {
            return take_one(&mut self.oauth_busy_next).then_some(Early::Busy);
        }
        if Product::of(path).is_some_and(|product| self.no_product.contains(&product)) {
            return Some(Early::NoProduct);
        }
        if take_one(&mut self.busy_next) {
            return Some(Early::Busy);
        }
        if take_one(&mut self.quota_next) {
            return Some(Early::Quota);
        }
        take_one(&mut self.html_next).then_some(Early::Html)
    }
}

fn take_one(count: &mut u32) -> bool {
    let due = *count > 0;
    *count = count.saturating_sub(1);
    due
}

/// The layer around every call to Daraja.
pub(crate) async fn weather(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let (early, slow_reply_ms) =
        gateway.change(|state| (state.faults.meet(request.uri().path()), state.faults.slow_reply_ms));
    let response = match early {
        Some(Early::Busy) => gateway.refuse(&Refusal::busy()),
        Some(Early::Quota) => gateway.refuse(&Refusal::quota()),
        Some(Early::Html) => refusals::html_page(),
        Some(Early::NoProduct) => refusals::no_product_match(),
        None => next.run(request).await,
    };
    gateway.hold_back(slow_reply_ms).await;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_faults_run_out() {
        let mut faults = Faults { busy_next: 2, html_next: 1, ..Faults::default() };
        let push = "/mpesa/stkpush/v1/processrequest";
        assert_eq!(faults.meet(push), Some(Early::Busy));
        assert_eq!(faults.meet("/oauth/v1/generate"), None);
        assert_eq!(faults.meet(push), Some(Early::Busy));
        assert_eq!(faults.meet(push), Some(Early::Html));
        assert_eq!(faults.meet(push), None);
    }

    #[test]
    fn a_change_leaves_alone_what_it_does_not_name() {
        let mut faults = Faults { busy_next: 2, rule_17: true, ..Faults::default() };
        faults.apply(&FaultsChange { slow_reply_ms: Some(5), ..FaultsChange::default() });
        assert_eq!(faults, Faults { busy_next: 2, rule_17: true, slow_reply_ms: 5, ..Faults::default() });
    }

    #[test]
    fn a_missing_product_is_known_by_its_path() {
        let mut faults = Faults { no_product: vec![Product::C2bV2], ..Faults::default() };
        assert_eq!(faults.meet("/mpesa/c2b/v2/registerurl"), Some(Early::NoProduct));
        assert_eq!(faults.meet("/mpesa/c2b/v1/registerurl"), None);
    }
}
