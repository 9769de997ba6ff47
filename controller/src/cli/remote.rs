//! `site doctor`, `site diagnostics`, `site log-level` and `site watch`: asks a site's agent, and waits for its answer.
//!
//! The command is queued with its audit row as from a page; the running controller sends it. What comes is read from the
//! database, so that this works beside the controller and not instead of it.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tawi_shared::wire::CommandKind;
use tokio::time::{Instant, sleep};

use super::site_arguments::Wait;
use super::{Failure, Shell, data_directory};
use crate::commands::remote::{DoctorReport, Watched, new_command};
use crate::commands::{self, Command, Ordered, Standing, answers};
use crate::ids::{CommandId, SiteId};
use crate::sites;
use crate::web::display;

/// How often the database is asked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Shell {
    pub(super) async fn doctor_of_site(&self, id: SiteId, wait: Wait) -> Result<(), Failure> {
        let command = self.ask(id, CommandKind::Doctor, String::new()).await?;
        let text = self.answer_of(&command, wait, |_| {}).await?;
        let value: Value = serde_json::from_str(&text)?;
        let Some(report) = DoctorReport::read(&text) else {
            return self.output.say(&text, &value);
        };
        let (mut words, mut group) = (String::new(), "");
        for finding in &report.findings {
            if group != finding.group {
                let _ = writeln!(words, "{}", finding.group);
                group = &finding.group;
            }
            let _ = writeln!(words, "  {:<8} {}: {}", finding.verdict, finding.check, finding.detail);
            if !finding.cure.is_empty() {
                let _ = writeln!(words, "           cure: {}", finding.cure);
            }
        }
        let _ = write!(words, "\n{} good, {} doubtful, {} bad", report.good, report.doubtful, report.bad);
        self.output.say(&words, &value)?;
        match report.bad {
            0 => Ok(()),
            _ => Err(Failure::refused("something is bad at that site; the cures stand above")),
        }
    }

    pub(super) async fn diagnostics_of_site(&self, id: SiteId, wait: Wait) -> Result<(), Failure> {
        let command = self.ask(id, CommandKind::Diagnostics, String::new()).await?;
        let text = self.answer_of(&command, wait, |_| {}).await?;
        let value: Value = serde_json::from_str(&text)?;
        self.output.say(&text, &value)
    }

    pub(super) async fn set_log_level(&self, id: SiteId, level: String, wait: Wait) -> Result<(), Failure> {
        let command = self.ask(id, CommandKind::SetLogLevel, level).await?;
        let done = self.end_of(&command, (wait, Duration::ZERO), &mut |_| {}).await?;
        self.output.say(&done.detail, &json!({"id": done.id.as_str(), "detail": done.detail}))
    }

    pub(super) async fn watch_site(&self, id: SiteId, seconds: u32, wait: Wait) -> Result<(), Failure> {
        let command = self.ask(id.clone(), CommandKind::Watch, seconds.to_string()).await?;
        let (mut last, lasts) = (String::new(), Duration::from_secs(u64::from(seconds)));
        let mut show = |text: &str| {
            if text == last {
                return;
            }
            text.clone_into(&mut last);
            let Some(seen) = Watched::read(text) else { return };
            let at = display::clock_time(self.controller.clock.now());
            let words = [vec![format!("{at}  {}", seen.summary)], seen.problems].concat().join("\n  ");
            let value = serde_json::from_str::<Value>(text).unwrap_or_default();
            // Whoever reads no more is told no more; the site goes on for a while.
            let _ = self.output.say(&words, &value);
        };
        self.end_of(&command, (wait, lasts), &mut show).await?;
        match last.is_empty() {
            false => Ok(()),
            true => Err(Failure::Refused(format!(
                "site {id} was watched, and told nothing: its line may carry no more within this hour\n  cure: watch it later, or let it tell more: tawi-controller site set {id} kilobytes_an_hour=N"
            ))),
        }
    }

    async fn ask(&self, site: SiteId, kind: CommandKind, argument: String) -> Result<Command, Failure> {
        self.can_be_asked(&site).await?;
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let mut transaction = self.controller.database.write().await?;
        let new = new_command(site.clone(), kind, argument);
        match commands::order(&mut transaction, new, &self.actor, ids, now).await? {
            Ordered::Queued { command, is_site_online } => {
                transaction.commit().await?;
                let away =
                    if is_site_online { "" } else { "; the site is away, and is told when it is back" };
                self.output.tell(&format!("asked site {site}{away}"));
                Ok(command)
            }
            Ordered::SiteRevoked => {
                Err(Failure::Refused(format!("site {site} is revoked: tawi-controller site renew {site}")))
            }
            Ordered::NoSuchRouter | Ordered::NothingHeld | Ordered::HeldChanged => {
                Err(Failure::Refused(format!("there is no site {site}: tawi-controller site list")))
            }
        }
    }

    /// Refuses at once what nobody could answer, however long one waits.
    async fn can_be_asked(&self, site: &SiteId) -> Result<(), Failure> {
        let known = sites::get(&mut *self.controller.database.read().await?, site).await?;
        let Some(known) = known else { return Err(self.no_such_site(site).await?) };
        if !data_directory::is_served(&self.config.data_directory) {
            return Err(Failure::Refused(nothing_came(site, false, false, false)));
        }
        // Whoever is shut out is told so below.
        if known.presence.changed_at.is_none() && known.revoked_at.is_none() {
            return Err(Failure::Refused(format!(
                "site {site} has not started yet: there is nobody to ask\n  cure: make its device the site: tawi-agent enrol there, with the ticket of tawi-controller site renew {site}"
            )));
        }
        Ok(())
    }

    async fn answer_of(
        &self,
        command: &Command,
        wait: Wait,
        mut show: impl FnMut(&str),
    ) -> Result<String, Failure> {
        self.end_of(command, (wait, Duration::ZERO), &mut show).await?;
        let answer = answers::of(&mut *self.controller.database.read().await?, &command.id).await?;
        answer.ok_or_else(|| Failure::refused("the answer was lost when the agent restarted; ask again"))
    }

    /// Waits until a command is done; shows what comes of its answer meanwhile. What it `lasts` from its beginning on is no
    /// waiting.
    async fn end_of(
        &self,
        command: &Command,
        (wait, lasts): (Wait, Duration),
        show: &mut impl FnMut(&str),
    ) -> Result<Command, Failure> {
        let patience = Duration::from_secs(u64::from(wait.timeout));
        let mut until = Instant::now() + patience;
        let (mut standing, mut has_begun) = (Standing::Queued, false);
        loop {
            let now = self.look(&command.id).await?;
            let (Some(now), answer) = now else {
                return Err(Failure::refused("the command is gone from the database; ask again"));
            };
            let is_answered = answer.is_some() || now.standing == Standing::Executing;
            if is_answered && !std::mem::replace(&mut has_begun, true) && !lasts.is_zero() {
                until = Instant::now() + lasts + patience;
            }
            if let Some(text) = answer {
                show(&text);
            }
            if now.standing != standing {
                standing = now.standing;
                self.output.tell(standing.as_str());
            }
            match standing {
                Standing::Succeeded => return Ok(now),
                Standing::Failed | Standing::Expired => return Err(Failure::Refused(now.detail)),
                Standing::Queued | Standing::Executing if until <= Instant::now() => {
                    return Err(Failure::Refused(self.why_nothing_came(&now).await?));
                }
                Standing::Queued | Standing::Executing => sleep(LOOK_EVERY).await,
            }
        }
    }

    /// For whoever waits no longer.
    async fn why_nothing_came(&self, command: &Command) -> Result<String, Failure> {
        let site = &command.site;
        let known = sites::get(&mut *self.controller.database.read().await?, site).await?;
        let is_up = known.is_some_and(|site| site.presence.is_online);
        let is_served = data_directory::is_served(&self.config.data_directory);
        let has_begun = command.standing == Standing::Executing;
        Ok(nothing_came(site, is_served, is_up, has_begun))
    }

    async fn look(&self, id: &CommandId) -> Result<(Option<Command>, Option<String>), Failure> {
        let mut reader = self.controller.database.read().await?;
        let command = commands::get(&mut reader, id.as_str()).await?;
        Ok((command, answers::of(&mut reader, id).await?))
    }
}

/// Why a site's answer has not come, as far as head office can tell, and what to do.
fn nothing_came(site: &SiteId, is_served: bool, is_up: bool, has_begun: bool) -> String {
    let (why, cure) = match (is_served, is_up) {
        (false, _) if has_begun => (
            format!("site {site} has begun, and no controller serves from this data_directory to hear its answer"),
            "systemctl start tawi-controller; the answer comes with the site's next connection, to its page".to_owned(),
        ),
        (false, _) => (
            "no controller serves from this data_directory, so that nobody asked the site".to_owned(),
            "systemctl start tawi-controller, then ask again".to_owned(),
        ),
        (true, false) if has_begun => (
            format!("site {site} had begun when its connection broke; what it found comes once it is back"),
            format!("read it on the site's page then, or ask again once tawi-controller site list says that {site} is up"),
        ),
        (true, false) => (
            format!("site {site} is away; it is asked when it is back within 15 minutes"),
            format!("ask again once tawi-controller site list says that {site} is up"),
        ),
        (true, true) => (
            format!(
                "site {site} is connected, and its answer is not here whole: where kilobytes_an_hour bounds its line, an answer waits for what the line may carry"
            ),
            "it goes on, and what comes stands on the site's page; or wait longer for the next one: --timeout 900"
                .to_owned(),
        ),
    };
    format!("{why}\n  cure: {cure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_no_longer_is_told_whose_fault_it_is() {
        let site = SiteId::parse("nyeri-01").unwrap();
        let words = |is_served, is_up| nothing_came(&site, is_served, is_up, false);
        let begun = |is_served, is_up| nothing_came(&site, is_served, is_up, true);
        assert!(words(false, true).contains("systemctl start tawi-controller"));
        assert!(words(true, false).contains("nyeri-01 is away"));
        assert!(words(true, true).contains("is connected") && words(true, true).contains("--timeout 900"));
        // Nobody who was asked already is said to be asked when it is back.
        assert!(begun(true, false).contains("had begun when its connection broke"));
        assert!(begun(false, true).contains("has begun") && !begun(false, true).contains("nobody asked"));
        assert_eq!(begun(true, true), words(true, true));
    }
}
