//! `site` and `router`.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _, stdout};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::site_arguments::{RouterCommand, SiteCommand, SiteWay};
use super::{Failure, Shell, data_directory};
use crate::audit::{self, Action};
use crate::database::Transaction;
use crate::ids::SiteId;
use crate::pki::Pki;
use crate::qr::Qr;
use crate::sites::api::{RouterBody, SiteBody};
use crate::sites::enrolment::{self, AddedSite, NewTicket, Ticketed, Tickets};
use crate::sites::{self, Added, AddedRouter, NewSite};
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
            SiteCommand::Revoke { id } => {
                if !sites::revoke(&self.controller, &id).await? {
                    let problem = format!("there is no site {id}, or it is revoked already");
                    return Err(Failure::refused(format!("{problem}: tawi-controller site list")));
                }
                self.note((Action::SiteRevoked, id.as_str(), "")).await?;
                let back = format!("tawi-controller site renew {id}");
                let words = format!("site {id} is shut out; to bring it back: {back}");
                self.output.say(&words, &json!({"id": id}))
            }
        }
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
            Ticketed::NoSuchSite => Err(Failure::Refused(no_such_site(id))),
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
        let shows_qr = !way.no_qr && !self.output.is_json && stdout().is_terminal();
        if let Some(qr) = shows_qr.then(|| Qr::of(ticket.expose())).flatten() {
            let _ = write!(words, "\n{}", qr.to_terminal());
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

    async fn list_sites(&self) -> Result<(), Failure> {
        let sites = sites::list(&mut *self.controller.database.read().await?).await?;
        // What was last heard says nothing while nobody hears.
        let is_heard = data_directory::is_served(&self.config.data_directory);
        if !is_heard && sites.iter().any(|site| site.presence.is_online) {
            self.output.tell("note: no controller serves from this data_directory, so that nobody knows which sites are up; start it: systemctl start tawi-controller");
        }
        let lines: Vec<String> = sites
            .iter()
            .map(|site| {
                let state = match (site.revoked_at, site.presence.is_online, site.presence.changed_at) {
                    (Some(_), ..) => "revoked",
                    (None, true, _) if is_heard => "up",
                    (None, true, _) => "not known",
                    (None, false, Some(_)) => "down",
                    (None, false, None) => "not started",
                };
                format!("{:<20} {state:<12} {}", site.id.as_str(), site.name)
            })
            .collect();
        let words = if lines.is_empty() {
            "there are no sites yet: tawi-controller site add --help".to_owned()
        } else {
            lines.join("\n")
        };
        self.output.say(&words, &sites.iter().map(SiteBody::from).collect::<Vec<_>>())
    }

    pub(super) async fn router(&self, command: RouterCommand) -> Result<(), Failure> {
        let (site, name) = match command {
            RouterCommand::Add { site, name } => (site, name),
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
            AddedRouter::NoSuchSite => {
                return Err(Failure::refused(format!("there is no site {site}: tawi-controller site list")));
            }
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

/// Where the bundle was written, or why it was not.
fn written(id: &SiteId, added: Added) -> Result<PathBuf, Failure> {
    let problem = match added {
        Added::Added(bundle) => return Ok(bundle.directory),
        Added::AlreadyThere => already_there(id),
        Added::NoSuchSite => no_such_site(id),
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

fn no_such_site(id: &SiteId) -> String {
    format!("there is no site {id}: tawi-controller site list")
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
