//! `audit`: who changed what, and when. Read-only; entries are written by the acts that they tell of.

use serde_json::json;

use super::arguments::AuditCommand;
use super::{Failure, Shell};
use crate::audit::{self, Entry};
use crate::web::display;

impl Shell {
    pub(super) async fn audit(&self, command: AuditCommand) -> Result<(), Failure> {
        let AuditCommand::List { limit } = command;
        let entries = audit::store::latest(&mut *self.controller.database.read().await?, limit).await?;
        let now = self.controller.clock.now();
        let line = |entry: &Entry| {
            let at = display::Moment::of(entry.at, now).full;
            let words = format!(
                "{at:<20}  {:<20} {:<22} {} {}",
                entry.actor, entry.action, entry.subject, entry.detail
            );
            words.trim_end().to_owned()
        };
        let words = if entries.is_empty() {
            "nothing was changed yet".to_owned()
        } else {
            entries.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        let value = |entry: &Entry| {
            json!({
                "at_ms": entry.at.0, "actor": entry.actor, "action": entry.action, "subject": entry.subject,
                "detail": entry.detail,
            })
        };
        self.output.say(&words, &entries.iter().map(value).collect::<Vec<_>>())
    }
}
