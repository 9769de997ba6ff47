//! Held plans as pages show them: how many would lose access, who, and why.

use tawi_shared::UnixMillis;

use super::{HeldLine, HeldPlan};
use crate::database::Connection;
use crate::entitlements::Status;
use crate::web::display::Moment;

/// Lines that a page lists; the rest is counted.
const LISTED: u32 = 200;

/// A held plan.
#[derive(Clone, Debug)]
pub(crate) struct HeldView {
    pub(crate) site_id: String,
    pub(crate) site_name: String,
    pub(crate) router: String,
    pub(crate) digest: String,
    pub(crate) total: u32,
    pub(crate) sentence: String,
    pub(crate) since: Moment,
    pub(crate) lines: Vec<HeldLineView>,
    pub(crate) more: u32,
}

/// One of its lines.
#[derive(Clone, Debug)]
pub(crate) struct HeldLineView {
    pub(crate) customer: Option<(String, String)>,
    pub(crate) name: String,
    pub(crate) why: String,
}

impl HeldView {
    /// Without its lines.
    pub(crate) fn of(plan: &HeldPlan, now: UnixMillis) -> Self {
        let (total, working) = (plan.lines_total, plan.lines_working);
        Self {
            site_id: plan.site.to_string(),
            site_name: plan.site_name.clone(),
            router: plan.router.clone(),
            digest: plan.digest.clone(),
            total,
            sentence: tawi_shared::held_words(total, working),
            since: Moment::of(plan.at, now),
            lines: Vec::new(),
            more: total,
        }
    }

    /// With its lines.
    pub(crate) async fn whole(
        connection: &mut Connection,
        plan: &HeldPlan,
        now: UnixMillis,
    ) -> Result<Self, sqlx::Error> {
        let lines = super::lines_of(connection, plan, LISTED).await?;
        let listed = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        Ok(Self {
            lines: lines.iter().map(|line| line_view(line, now)).collect(),
            more: plan.lines_total.saturating_sub(listed),
            ..Self::of(plan, now)
        })
    }
}

fn line_view(held: &HeldLine, now: UnixMillis) -> HeldLineView {
    let Some(known) = &held.known else {
        let why = "no line of this site any more: it is to be taken off the router".to_owned();
        return HeldLineView { customer: None, name: held.line.to_string(), why };
    };
    let until = known.paid_until.map(|until| Moment::of(until, now).full);
    let why = match (known.status, until) {
        (Status::Suspended, _) => "on hold by staff".to_owned(),
        (Status::Draft, _) => "never paid".to_owned(),
        (Status::Active | Status::Expired, Some(until)) if known.paid_until <= Some(now) => {
            format!("paid until {until}")
        }
        _ => "its data is used up, or something else on its router is to change".to_owned(),
    };
    let customer = Some((known.customer.to_string(), known.customer_name.clone()));
    HeldLineView { customer, name: known.username.clone(), why }
}
