//! Stands in for `payments::traces` until that is there.
use crate::database::Connection;
use crate::ids::{CustomerId, LineId, SiteId};
use tawi_shared::UnixMillis;
#[derive(Debug, thiserror::Error)]
#[error("none")]
pub struct TraceError;
pub async fn published(
    _c: &mut Connection,
    _s: &SiteId,
    _g: u64,
    _n: UnixMillis,
) -> Result<Vec<CustomerId>, TraceError> {
    Ok(vec![])
}
pub async fn stored(
    _c: &mut Connection,
    _s: &SiteId,
    _g: u64,
    _n: UnixMillis,
) -> Result<Vec<CustomerId>, TraceError> {
    Ok(vec![])
}
pub async fn verified(
    _c: &mut Connection,
    _s: &SiteId,
    _g: u64,
    _f: &[(LineId, String)],
    _n: UnixMillis,
) -> Result<Vec<CustomerId>, TraceError> {
    Ok(vec![])
}
pub async fn online(
    _c: &mut Connection,
    _l: &LineId,
    _n: UnixMillis,
) -> Result<Option<CustomerId>, TraceError> {
    Ok(None)
}
