//! Delivery reports: forms that are sent to the address of the app, some time after each text.
//!
//! The real one repeats a report that is not answered with 200; how often is not published, and this one does not.

use std::sync::Arc;
use std::time::Duration;

use crate::gateway::{Gateway, ReportFaults, Text};

/// The longest delay.
const DELAY_MOST: Duration = Duration::from_secs(3_600);
/// Copies of one report, at most.
const COPIES_MOST: u32 = 100;
/// Safaricom, as the API writes it.
const NETWORK_CODE: &str = "63902";

/// Sends the reports of a text as the faults say, without waiting for them.
pub(crate) fn set_out(gateway: &Arc<Gateway>, text: &Text, faults: &ReportFaults) {
    for copy in 0..faults.copies.min(COPIES_MOST) {
        let (on_its_way, gateway) = (gateway.sets_out(), Arc::clone(gateway));
        let (id, to, faults) = (text.id.clone(), text.to.clone(), faults.clone());
        tokio::spawn(async move {
            let _on_its_way = on_its_way;
            tokio::time::sleep(Duration::from_millis(faults.delay_ms).min(DELAY_MOST)).await;
            if let Err(error) = deliver(&gateway, &id, &to, &faults, copy).await {
                tracing::warn!("a report was not delivered: {error}");
            }
        });
    }
}

/// Delivers one report; gives the status that answered.
pub(crate) async fn deliver(
    gateway: &Gateway,
    id: &str,
    to: &str,
    faults: &ReportFaults,
    copy: u32,
) -> Result<u16, String> {
    let url = gateway.report_url().ok_or("no address for reports is set")?;
    let retries = copy.to_string();
    let mut form = vec![
        ("id", id),
        ("status", &faults.status),
        ("phoneNumber", to),
        ("networkCode", NETWORK_CODE),
        ("retryCount", &retries),
    ];
    if matches!(faults.status.as_str(), "Failed" | "Rejected") {
        form.push(("failureReason", &faults.failure_reason));
    }
    let answered = gateway.http.post(url).form(&form).send().await;
    answered.map(|response| response.status().as_u16()).map_err(|error| error.without_url().to_string())
}
