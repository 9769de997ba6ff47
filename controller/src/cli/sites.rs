//! `site` and `router`.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _, stdout};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::termios::tcgetwinsize;
use serde_json::json;

use super::near::no_such_site;
use super::site_arguments::{RouterCommand, SiteCommand, SiteWay};
use super::{Failure, Shell, data_directory};
use crate::audit::{self, Action};
use crate::database::Transaction;
use crate::ids::SiteId;
use crate::pki::Pki;
use crate::qr::Qr;
use crate::sites::api::{RouterBody, SiteBody};
use crate::sites::enrolment::{self, AddedSite, NewTicket, Ticketed, Tickets};
use crate::sites::{self, Added, AddedRouter, NewSite, Router, Site};
use crate::web::api::at_ms;
use crate::web::display;

/// Where the certificate authority is, in the data directory.
pub(super) const PKI_DIRECTORY: &str = "pki";

impl Shell {
    pub(super) async fn site(&self, command: SiteCommand) -> Result<(), Failure> {
        match command {
            SiteCommand::List => self.list_sites().await,
            SiteCommand::Add { id, name, way } => match &way.offline_bundle {
                None => self.add_with_ticket(&id, name, &way).await,
                Some(bundle) => {
                    let addresses = self.addresses(&way);
                    let new = NewSite { id: id.clone(), name: name.clone() };
                    let added = sites::add(&self.controller, &self.pki()?, new, bundle, &addresses).await?;
                    let bundle = written(&id, added)?;
                    self.note((Action::SiteAdded, id.as_str(), &name)).await?;
                    self.say_bundle("added", &id, &bundle, &addresses)
                }
            },
            SiteCommand::Renew { id, way } => match &way.offline_bundle {
                None => self.make_ticket(&id, &way).await,
                Some(bundle) => {
                    let addresses = self.addresses(&way);
                    let added = sites::renew(&self.controller, &self.pki()?, &id, bundle, &addresses).await?;
                    let bundle = written(&id, added)?;
                    self.note((Action::SiteRenewed, id.as_str(), "")).await?;
                    self.say_bundle("renewed", &id, &bundle, &addresses)
                }
            },
            SiteCommand::Doctor { id, wait } => self.doctor_of_site(id, wait).await,
            SiteCommand::Diagnostics { id, wait } => self.diagnostics_of_site(id, wait).await,
            SiteCommand::LogLevel { id, level, wait } => self.set_log_level(id, level, wait).await,
            SiteCommand::Watch { id, seconds, wait } => self.watch_site(id, seconds, wait).await,
            SiteCommand::Settings { id } => self.settings_of_site(id).await,
            SiteCommand::Set { words, all } => self.set_of_sites(&words, all).await,
            SiteCommand::Unset { words, all } => self.unset_of_sites(&words, all).await,
            SiteCommand::Revoke { id } => self.revoke_site(&id).await,
        }
    }

    async fn revoke_site(&self, id: &SiteId) -> Result<(), Failure> {
        let back = format!("tawi-controller site renew {id}");
        let by = (&self.controller.ids, self.controller.clock.now());
        let mut transaction = self.controller.database.write().await?;
        let is_done = sites::revoke(&mut transaction, id, &self.actor, by).await?;
        transaction.commit().await?;
        if !is_done {
            let known = sites::get(&mut *self.controller.database.read().await?, id).await?;
            let Some(known) = known else { return Err(self.no_such_site(id).await?) };
            let since = known.revoked_at.map(|at| format!(", since {}", display::with_zone(at)));
            let since = since.unwrap_or_default();
            let words = format!("site {id} is revoked already{since}; to bring it back: {back}");
            return Err(Failure::Refused(words));
        }
        let mut words = format!("site {id} is shut out; to bring it back: {back}");
        if self.config.broker.external.is_some() {
            words += "\nits open connection, and its certificate until its broker knows better, are that broker's to end: \
                      tawi-controller broker-config --help says how";
        }
        self.output.say(&words, &json!({"id": id}))
    }

    /// What is said where there is no such site: one may have been mistyped.
    pub(super) async fn no_such_site(&self, id: &SiteId) -> Result<Failure, Failure> {
        let known = sites::list(&mut *self.controller.database.read().await?).await?;
        Ok(Failure::Refused(no_such_site(id, known.iter().map(|site| &site.id))))
    }

    async fn add_with_ticket(&self, id: &SiteId, name: String, way: &SiteWay) -> Result<(), Failure> {
        let tickets = self.tickets(way)?;
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let mut transaction = self.controller.database.write().await?;
        let new = NewSite { id: id.clone(), name: name.clone() };
        let added = enrolment::add(&mut transaction, &tickets, new, &self.actor, (ids, now)).await?;
        let ticket = match added {
            AddedSite::Added(ticket) => ticket,
            AddedSite::AlreadyThere => return Err(Failure::Refused(already_there(id))),
            AddedSite::BadName => return Err(Failure::refused(BAD_NAME)),
        };
        let act = (Action::SiteAdded, id.as_str(), name.as_str());
        audit::record(&mut transaction, &self.actor, act, ids, now).await?;
        self.hand_out("added", ticket, way, transaction).await
    }

    async fn make_ticket(&self, id: &SiteId, way: &SiteWay) -> Result<(), Failure> {
        let tickets = self.tickets(way)?;
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let mut transaction = self.controller.database.write().await?;
        match enrolment::make_ticket(&mut transaction, &tickets, id, &self.actor, (ids, now)).await? {
            Ticketed::Made(ticket) => self.hand_out("has a new ticket", ticket, way, transaction).await,
            Ticketed::NoSuchSite => Err(self.no_such_site(id).await?),
        }
    }

    /// Writes the file if one is wanted, commits, and shows the ticket, in this order: what is shown is good.
    async fn hand_out(
        &self,
        done: &str,
        ticket: NewTicket,
        way: &SiteWay,
        transaction: Transaction,
    ) -> Result<(), Failure> {
        let (id, until) = (&ticket.site, display::with_zone(ticket.expires_at));
        if let Some(path) = &way.bundle {
            write_ticket(path, &ticket.file(&until))?;
        }
        if let Err(failure) = self.commit(transaction, (Action::SiteTokenMade, id.as_str(), "")).await {
            if let Some(path) = &way.bundle {
                // A ticket that no database knows would only confuse whoever finds it.
                let _ = std::fs::remove_file(path);
            }
            return Err(failure);
        }
        let addresses = ticket.addresses.join(", ");
        let mut words = format!(
            "site {id} {done}; the ticket is good once, until {until}, and says that this controller is at {addresses}\n"
        );
        let is_wanted = !way.no_qr && !self.output.is_json;
        if let Some(qr) = is_wanted.then(|| Qr::of(ticket.expose())).flatten() {
            match picture(&qr, Screen::of_standard_output(), id) {
                Ok(picture) => words += &format!("\n{picture}"),
                Err(why) => self.output.tell(&why),
            }
        }
        let _ = write!(
            words,
            "\nAt the site, where tawi-agent is installed, paste this line:\n\n{}\n",
            ticket.line_to_paste()
        );
        if let Some(path) = &way.bundle {
            let _ = write!(words, "\nThe ticket is in {} too: delete it when it is used\n", path.display());
        }
        let value = json!({
            "id": id,
            "ticket": ticket.expose(),
            "expires_at_ms": at_ms(ticket.expires_at),
            "addresses": ticket.addresses,
            "bundle": way.bundle.as_ref().map(|path| path.display().to_string()),
        });
        self.output.say(words.trim_end(), &value)
    }

    fn tickets(&self, way: &SiteWay) -> Result<Tickets, Failure> {
        let tickets = Tickets::new(&self.pki()?, &self.config.broker);
        if way.address.is_empty() {
            return Ok(tickets);
        }
        tickets.at(way.address.clone()).map_err(|bad| Failure::Refused(format!("--address: {bad}")))
    }

    fn addresses(&self, way: &SiteWay) -> Vec<String> {
        if way.address.is_empty() {
            // Nobody renews what a person carries: it goes where MQTT is, and never to the door.
            self.config.broker.mqtt_addresses().to_vec()
        } else {
            way.address.clone()
        }
    }

    pub(super) fn pki(&self) -> Result<Pki, Failure> {
        let directory = self.config.data_directory.join(PKI_DIRECTORY);
        Ok(Pki::open_or_create(&directory, self.controller.clock.now())?)
    }

    fn say_bundle(
        &self,
        done: &str,
        id: &SiteId,
        bundle: &Path,
        addresses: &[String],
    ) -> Result<(), Failure> {
        let directory = bundle.display().to_string();
        let words = format!(
            "site {id} {done}; bring {directory} to its agent, which reaches this controller at {}, and delete \
             it here",
            addresses.join(", ")
        );
        self.output.say(&words, &json!({"id": id, "offline_bundle": directory, "addresses": addresses}))
    }

    /// Whether a controller hears the sites: what was last heard says nothing while none does. Whoever is shown that one is
    /// online is told so.
    pub(super) fn hears_sites(&self, is_any_online: bool) -> bool {
        let is_heard = data_directory::is_served(&self.config.data_directory);
        if !is_heard && is_any_online {
            self.output.tell("note: no controller serves from this data_directory, so that nobody knows which sites are up; start it: systemctl start tawi-controller");
        }
        is_heard
    }

    async fn list_sites(&self) -> Result<(), Failure> {
        let mut reader = self.controller.database.read().await?;
        let mut sites = sites::list(&mut reader).await?;
        // By what stands first on each line.
        sites.sort_by(|one, other| one.id.cmp(&other.id));
        let routers = sites::all_routers(&mut reader).await?;
        let served: HashSet<&SiteId> =
            routers.iter().filter(|router| router.was_reached()).map(|router| &router.site).collect();
        let is_heard = self.hears_sites(sites.iter().any(|site| site.presence.is_online));
        let state = |site: &Site| state_of(site, is_heard, served.contains(&site.id));
        let line = |site: &Site| format!("{:<20} {:<14} {}", site.id.as_str(), state(site), site.name);
        let mut lines: Vec<String> = sites.iter().map(line).collect();
        if lines.is_empty() {
            lines.push("there are no sites yet: tawi-controller site add --help".to_owned());
        }
        let idle = sites.iter().find(|site| state(site) == NO_ROUTER);
        self.output.say(&lines.join("\n"), &sites.iter().map(SiteBody::from).collect::<Vec<_>>())?;
        if let Some(site) = idle.filter(|_| !self.output.is_json) {
            let id = &site.id;
            self.output.tell(&format!(
                "note: the agent of {id} is connected and has reached no router yet; at the site: sudo tawi-agent router add core \
                 192.168.88.1, with the router's own name and address; or tawi-agent doctor, where it has one"
            ));
        }
        Ok(())
    }

    async fn list_routers(&self, site: Option<SiteId>) -> Result<(), Failure> {
        let mut reader = self.controller.database.read().await?;
        let sites = sites::list(&mut reader).await?;
        if let Some(missing) = site.as_ref().filter(|id| !sites.iter().any(|site| site.id == **id)) {
            return Err(Failure::Refused(no_such_site(missing, sites.iter().map(|site| &site.id))));
        }
        let mut routers = sites::all_routers(&mut reader).await?;
        routers.retain(|router| site.as_ref().is_none_or(|id| router.site == *id));
        let is_heard = self.hears_sites(sites.iter().any(|site| site.presence.is_online));
        let online: HashSet<&SiteId> =
            sites.iter().filter(|site| is_heard && site.presence.is_online).map(|site| &site.id).collect();
        let shown: Vec<String> =
            routers.iter().map(|router| router_words(router, online.contains(&router.site))).collect();
        let none = "there are no routers yet; those that an agent serves appear by themselves, and at the site it is told of one \
                    by: sudo tawi-agent router add";
        let words = if shown.is_empty() { none.to_owned() } else { shown.join("\n") };
        self.output.say(&words, &routers.iter().map(RouterBody::from).collect::<Vec<_>>())
    }

    pub(super) async fn router(&self, command: RouterCommand) -> Result<(), Failure> {
        let (site, name) = match command {
            RouterCommand::Add { site, name } => (site, name),
            RouterCommand::List { site } => return self.list_routers(site).await,
            RouterCommand::Writes(wanted) => return self.router_writes(wanted).await,
        };
        let mut transaction = self.controller.database.write().await?;
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let router = match sites::add_router(&mut transaction, &site, &name, ids, now).await? {
            AddedRouter::Added(router) => {
                self.commit(transaction, (Action::RouterAdded, router.id.as_str(), &router.name)).await?;
                router
            }
            AddedRouter::AlreadyThere(router) => router,
            AddedRouter::NoSuchSite => return Err(self.no_such_site(&site).await?),
            AddedRouter::SiteRevoked => {
                let cure = format!("tawi-controller site renew {site}");
                return Err(Failure::refused(format!("site {site} is revoked; to bring it back: {cure}")));
            }
            AddedRouter::BadName => {
                return Err(Failure::refused("--name: use the name in the agent's settings"));
            }
        };
        self.output.say(&format!("router {name} of site {site} is there"), &RouterBody::from(&router))
    }
}

/// A site whose agent has no router to work with.
const NO_ROUTER: &str = "up, no router";

fn state_of(site: &Site, is_heard: bool, is_served: bool) -> &'static str {
    match (site.revoked_at, site.presence.is_online, site.presence.changed_at) {
        (Some(_), ..) => "revoked",
        (None, true, _) if !is_heard => "not known",
        (None, true, _) if is_served => "up",
        (None, true, _) => NO_ROUTER,
        (None, false, Some(_)) => "down",
        (None, false, None) => "not started",
    }
}

/// A router on a line, and below it what is wrong with it. What a site last said of it is not known to hold while it is away.
fn router_words(router: &Router, is_site_online: bool) -> String {
    let state = match router.is_reachable {
        _ if !router.was_reached() => "never reached",
        _ if !is_site_online => "not known",
        true => "reachable",
        false => "not reachable",
    };
    let release = if router.release.is_empty() { "-" } else { router.release.as_str() };
    let since = router.reachable_changed_at.filter(|_| is_site_online && router.was_reached());
    let since = since.map_or_else(|| "-".to_owned(), display::with_zone);
    let mut words = format!(
        "{:<20} {:<16} {state:<14} {release:<10} {since:<24} {}",
        router.site.as_str(),
        router.name,
        router.id.as_str()
    );
    let body = RouterBody::from(router);
    if let (true, Some(trouble), Some(cure)) =
        (is_site_online || !router.was_reached(), body.trouble, body.cure)
    {
        let _ = write!(words, "\n  {trouble}\n  cure: {cure}");
    }
    words
}

/// What standard output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Screen {
    /// A file or a pipe.
    None,
    /// A terminal of so many columns; 0 where it does not say.
    Columns(u16),
}

impl Screen {
    fn of_standard_output() -> Self {
        if !stdout().is_terminal() {
            return Self::None;
        }
        Self::Columns(tcgetwinsize(stdout()).map_or(0, |size| size.ws_col))
    }
}

/// The code, or why it is not shown: one whose lines are broken is read by no camera.
fn picture(qr: &Qr, screen: Screen, id: &SiteId) -> Result<String, String> {
    match screen {
        Screen::None => Err("the QR code is shown on a terminal only".to_owned()),
        Screen::Columns(columns) if columns > 0 && usize::from(columns) < qr.columns() => Err(format!(
            "the QR code is left out: it is {} columns wide, and this terminal {columns}; make it wider, and: tawi-controller site \
             renew {id}",
            qr.columns()
        )),
        Screen::Columns(_) => Ok(qr.to_terminal()),
    }
}

/// Where the bundle was written, or why it was not.
fn written(id: &SiteId, added: Added) -> Result<PathBuf, Failure> {
    let problem = match added {
        Added::Added(bundle) => return Ok(bundle.directory),
        Added::AlreadyThere => already_there(id),
        Added::NoSuchSite => no_such_site(id, std::iter::empty()),
        Added::DirectoryTaken(path) => {
            format!("--offline-bundle: {} is there already; name a new directory", path.display())
        }
        Added::BadAddress(address) => bad_address(&address),
        Added::BadName => BAD_NAME.to_owned(),
    };
    Err(Failure::Refused(problem))
}

const BAD_NAME: &str = "--name: enter a name of at most 80 characters on one line";

fn already_there(id: &SiteId) -> String {
    format!("there is a site {id} already; for a new ticket: tawi-controller site renew {id}")
}

fn bad_address(address: &str) -> String {
    format!("--address: {address:?} is not one to eight of host:port, with commas between")
}

/// A new file for its owner alone. Nothing is overwritten.
fn write_ticket(path: &Path, text: &str) -> Result<(), Failure> {
    let shown = path.display();
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::Refused(format!("--bundle: {shown} is there already; name a new file"))
        }
        _ => Failure::Refused(format!(
            "--bundle: creating {shown}: {error}; name a file in a directory of yours"
        )),
    })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        // Half a ticket is none.
        let _ = std::fs::remove_file(path);
        Failure::Refused(format!("--bundle: writing {shown}: {error}; is the disk full?"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RouterId;
    use crate::sites::Presence;
    use tawi_shared::{IdSource, UnixMillis};

    fn site(is_online: bool, changed_at: Option<UnixMillis>) -> Site {
        Site {
            id: SiteId::parse("nyeri-01").unwrap(),
            name: "Nyeri".to_owned(),
            created_at: UnixMillis(1),
            revoked_at: None,
            presence: Presence { is_online, changed_at, last_seen_at: changed_at },
            agent_version: String::new(),
            generation: 0,
            stored_generation: 0,
            applied_generation: 0,
            applied_at: None,
            failures_total: 0,
        }
    }

    fn router(is_reachable: bool, release: &str, trouble: u16) -> Router {
        Router {
            id: RouterId::random(&IdSource::system()),
            site: SiteId::parse("nyeri-01").unwrap(),
            name: "core".to_owned(),
            is_reachable,
            reachable_changed_at: Some(UnixMillis(1_795_555_800_000)),
            release: release.to_owned(),
            trouble,
        }
    }

    #[test]
    fn a_site_is_up_only_where_its_agent_has_reached_a_router() {
        let at = Some(UnixMillis(1));
        assert_eq!(state_of(&site(true, at), true, true), "up");
        assert_eq!(state_of(&site(true, at), true, false), "up, no router");
        assert_eq!(state_of(&site(true, at), false, false), "not known");
        assert_eq!(state_of(&site(false, at), true, true), "down");
        assert_eq!(state_of(&site(false, None), true, false), "not started");
        assert_eq!(state_of(&Site { revoked_at: at, ..site(false, at) }, true, true), "revoked");
        assert!(router(false, "7.18", 0).was_reached() && router(true, "", 0).was_reached());
        assert!(!router(false, "", 0).was_reached());
    }

    #[test]
    fn a_router_stands_as_its_site_says_while_that_is_heard() {
        let check = |router: &Router, is_site_online, state: &str| {
            let words = router_words(router, is_site_online);
            assert!(words.contains(&format!(" {state} ")), "{words}");
            assert!(words.contains(router.id.as_str()), "{words}");
            words
        };
        assert!(check(&router(true, "7.18", 0), true, "reachable").contains("7.18       2026-"));
        assert!(check(&router(false, "7.18", 1), true, "not reachable").contains("\n  cure: "));
        check(&router(true, "7.18", 0), false, "not known");
        check(&router(false, "", 0), true, "never reached");
    }

    #[test]
    fn a_code_is_shown_where_it_is_whole_and_otherwise_said_to_be_missing() {
        let (qr, id) = (Qr::of("tawi1.x").unwrap(), SiteId::parse("nyeri-01").unwrap());
        let columns = u16::try_from(qr.columns()).unwrap();
        let widest =
            qr.to_terminal().lines().map(|line| line.chars().filter(|c| " █▀▄".contains(*c)).count()).max();
        assert_eq!(widest, Some(qr.columns()));
        for screen in [Screen::Columns(0), Screen::Columns(columns), Screen::Columns(200)] {
            assert_eq!(picture(&qr, screen, &id), Ok(qr.to_terminal()));
        }
        let narrow = picture(&qr, Screen::Columns(columns - 1), &id).unwrap_err();
        assert!(
            narrow.contains(&format!("{columns} columns")) && narrow.ends_with("site renew nyeri-01"),
            "{narrow}"
        );
        assert!(picture(&qr, Screen::None, &id).unwrap_err().contains("on a terminal only"));
    }
}
