//! How far a payment has come on its way from money to packets, and whom to tell about it. Pure.
//!
//! The trace has the instants (`traces`); what a page makes of the answer is `pages`.

use std::time::Duration;

use tawi_shared::UnixMillis;

use super::traces::Trace;
use crate::sites::Site;

/// Where a payment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It bought no period: the money is in the wallet, or nobody's yet.
    BoughtNothing,
    /// The customer's session came up so long after the callback.
    Online(Duration),
    /// The router had the line open so long after the callback; the device may dial in.
    OnRouter(Duration),
    /// The site said why the line is not on its router.
    Failed(String),
    /// The site is not connected; since when, if it ever was.
    SiteOffline(Option<UnixMillis>),
    /// The site is shut out: it will not be told.
    SiteRevoked,
    /// The site is told next.
    ToBeSent,
    /// Sent to the site, which has not confirmed.
    Sent,
    /// On the site's disk, not yet read back from the router.
    Stored,
}

/// Decides. What the site said goes before what is known of its link: a line that the router refuses is not helped
/// by a better backhaul.
#[must_use]
pub fn progress(trace: Option<&Trace>, site: Option<&Site>) -> Progress {
    let Some(trace) = trace else { return Progress::BoughtNothing };
    let start = trace.callback_received_at;
    if let Some(at) = trace.online_at {
        return Progress::Online(at.since(start));
    }
    if let Some(at) = trace.verified_at {
        return Progress::OnRouter(at.since(start));
    }
    if !trace.failure.is_empty() {
        return Progress::Failed(trace.failure.clone());
    }
    match (site, trace.published_at, trace.stored_at) {
        (Some(site), ..) if site.revoked_at.is_some() => Progress::SiteRevoked,
        (Some(site), ..) if !site.presence.is_online => Progress::SiteOffline(site.presence.changed_at),
        (_, _, Some(_)) => Progress::Stored,
        (_, Some(_), None) => Progress::Sent,
        (_, None, None) => Progress::ToBeSent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{LineId, PaymentId, SiteId};
    use crate::sites::Presence;

    fn site(presence: Presence) -> Site {
        Site {
            id: SiteId::parse("s").unwrap(),
            name: "S".to_owned(),
            created_at: UnixMillis(0),
            revoked_at: None,
            presence,
            agent_version: String::new(),
            generation: 1,
            stored_generation: 0,
            applied_generation: 0,
            applied_at: None,
            failures_total: 0,
        }
    }

    fn trace(steps: [Option<i64>; 4], failure: &str) -> Trace {
        let [published, stored, verified, online] = steps.map(|at| at.map(UnixMillis));
        Trace {
            payment: PaymentId::parse("p").unwrap(),
            subscription: LineId::parse("l").unwrap(),
            site: SiteId::parse("s").unwrap(),
            generation: 1,
            callback_received_at: UnixMillis(1_000),
            booked_at: UnixMillis(1_001),
            published_at: published,
            stored_at: stored,
            verified_at: verified,
            online_at: online,
            failure: failure.to_owned(),
            deferred: Duration::ZERO,
        }
    }

    #[test]
    fn a_payment_stands_where_its_last_step_put_it() {
        let up = site(Presence { is_online: true, ..Presence::default() });
        let down = site(Presence { changed_at: Some(UnixMillis(5)), ..Presence::default() });
        let revoked = Site { revoked_at: Some(UnixMillis(6)), ..down.clone() };
        let check = |steps, failure: &str, site: &Site, expected: Progress| {
            assert_eq!(progress(Some(&trace(steps, failure)), Some(site)), expected);
        };
        let took = Duration::from_millis;
        check([None; 4], "", &up, Progress::ToBeSent);
        check([Some(2), None, None, None], "", &up, Progress::Sent);
        check([Some(2), Some(3), None, None], "", &up, Progress::Stored);
        check([Some(2), Some(3), None, None], "", &down, Progress::SiteOffline(Some(UnixMillis(5))));
        check([None; 4], "", &revoked, Progress::SiteRevoked);
        check([Some(2), Some(3), Some(1_087), None], "", &revoked, Progress::OnRouter(took(87)));
        check([Some(2), Some(3), None, None], "refused", &down, Progress::Failed("refused".to_owned()));
        check([Some(2), Some(3), Some(1_087), None], "", &down, Progress::OnRouter(took(87)));
        check([Some(2), Some(3), Some(1_087), Some(1_100)], "", &up, Progress::Online(took(100)));
        assert_eq!(progress(None, None), Progress::BoughtNothing);
        assert_eq!(progress(Some(&trace([None; 4], "")), None), Progress::ToBeSent);
    }
}
