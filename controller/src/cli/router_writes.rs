//! `router writes`: the API log at a shell. Read-only.

use super::site_arguments::WritesArguments;
use super::{Failure, Shell};
use crate::router_writes::api::RouterWriteBody;
use crate::router_writes::search::Asked;
use crate::router_writes::{self, RouterWrite};
use crate::sites;
use crate::web::display;

impl Shell {
    pub(super) async fn router_writes(&self, wanted: WritesArguments) -> Result<(), Failure> {
        let now = self.controller.clock.now();
        let asked = Asked {
            site: wanted.site.map(|site| site.to_string()).unwrap_or_default(),
            router: wanted.router.unwrap_or_default(),
            line: wanted.line.unwrap_or_default(),
            operation: wanted.operation.unwrap_or_default(),
            status: wanted.status.unwrap_or_default(),
            text: wanted.text.unwrap_or_default(),
            ..Asked::default()
        };
        let search = asked
            .read(now)
            .map_err(|unreadable| Failure::refused(format!("--{}: {}", unreadable.field, unreadable.reason)))?
            .between(Some(now.minus(wanted.since)), None, now);
        let mut reader = self.controller.database.read().await?;
        let writes = router_writes::find(&mut reader, &search, wanted.limit).await?;
        let line = |write: &RouterWrite| {
            let doubt =
                if sites::is_time_doubtful(write.at, write.received_at) { " (time doubtful)" } else { "" };
            let at = format!("{}{doubt}", display::with_zone(write.at));
            let status = write.status.map_or("?", |status| status.as_str());
            let detail =
                if write.detail.is_empty() { String::new() } else { format!("  ({})", write.detail) };
            format!(
                "{at}  {status:<8} {}/{}  {} {}{detail}",
                write.site, write.router, write.operation, write.parameters
            )
        };
        let words = if writes.is_empty() {
            "nothing was written in that time that fits".to_owned()
        } else {
            writes.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        self.output.say(&words, &writes.iter().map(RouterWriteBody::from).collect::<Vec<_>>())
    }
}
