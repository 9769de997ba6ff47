//! The way of a payment, for programs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Trace;
use crate::web::api::at_ms;

/// The way of a payment to the router. Null: not yet.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TraceBody {
    /// At which site.
    pub site_id: String,
    /// With which generation of the site's desired state.
    pub generation: u64,
    /// The callback came in, or Pull told of the payment.
    pub callback_received_at_ms: i64,
    /// The ledger, the new paid-until and the site's next generation were committed.
    pub booked_at_ms: i64,
    /// It was sent to the site.
    pub published_at_ms: Option<i64>,
    /// It was safe on the agent's flash.
    pub stored_at_ms: Option<i64>,
    /// The router was read back and is as it should be.
    pub verified_at_ms: Option<i64>,
    /// The customer's session came up.
    pub online_at_ms: Option<i64>,
    /// Why it is not on the router; empty when it is, or not yet known.
    pub failure: String,
    /// How much later what it bought began, because the site was away.
    pub deferred_ms: u64,
    /// From the callback to the last step so far.
    pub total_ms: u64,
}

impl From<&Trace> for TraceBody {
    fn from(trace: &Trace) -> Self {
        let last = [trace.online_at, trace.verified_at, trace.stored_at, trace.published_at]
            .into_iter()
            .flatten()
            .next()
            .unwrap_or(trace.booked_at);
        let total = last.since(trace.callback_received_at);
        Self {
            site_id: trace.site.to_string(),
            generation: trace.generation,
            callback_received_at_ms: at_ms(trace.callback_received_at),
            booked_at_ms: at_ms(trace.booked_at),
            published_at_ms: trace.published_at.map(at_ms),
            stored_at_ms: trace.stored_at.map(at_ms),
            verified_at_ms: trace.verified_at.map(at_ms),
            online_at_ms: trace.online_at.map(at_ms),
            failure: trace.failure.clone(),
            deferred_ms: u64::try_from(trace.deferred.as_millis()).unwrap_or(u64::MAX),
            total_ms: u64::try_from(total.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
