//! `site` and `router`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::arguments::{RouterCommand, SiteCommand};
use super::{Failure, Shell};
use crate::audit::Action;
use crate::ids::SiteId;
use crate::pki::Pki;
use crate::sites::api::{RouterBody, SiteBody};
use crate::sites::{self, Added, AddedRouter, NewSite};

/// Where the certificate authority is, in the data directory.
pub(super) const PKI_DIRECTORY: &str = "pki";

impl Shell {
    pub(super) async fn site(&self, command: SiteCommand) -> Result<(), Failure> {
        match command {
            SiteCommand::List => self.list_sites().await,
            SiteCommand::Add { id, name, bundle, address } => {
                let address = self.address(address);
                let new = NewSite { id: id.clone(), name: name.clone() };
                let added = sites::add(&self.controller, &self.pki()?, new, &bundle, &address).await?;
                let bundle = written(&id, added)?;
                self.note((Action::SiteAdded, id.as_str(), &name)).await?;
                self.say_bundle("added", &id, &bundle, &address)
            }
            SiteCommand::Renew { id, bundle, address } => {
                let address = self.address(address);
                let added = sites::renew(&self.controller, &self.pki()?, &id, &bundle, &address).await?;
                let bundle = written(&id, added)?;
                self.note((Action::SiteRenewed, id.as_str(), "")).await?;
                self.say_bundle("renewed", &id, &bundle, &address)
            }
            SiteCommand::Revoke { id } => {
                if !sites::revoke(&self.controller, &id).await? {
                    let problem = format!("there is no site {id}, or it is revoked already");
                    return Err(Failure::refused(format!("{problem}: tawi-controller site list")));
                }
                self.note((Action::SiteRevoked, id.as_str(), "")).await?;
                let back = format!("tawi-controller site renew {id} --bundle DIRECTORY");
                let words = format!("site {id} is shut out; to bring it back: {back}");
                self.output.say(&words, &json!({"id": id}))
            }
        }
    }

    fn address(&self, given: Option<String>) -> String {
        given.unwrap_or_else(|| self.config.broker.advertised_address.clone())
    }

    fn pki(&self) -> Result<Pki, Failure> {
        let directory = self.config.data_directory.join(PKI_DIRECTORY);
        Ok(Pki::open_or_create(&directory, self.controller.clock.now())?)
    }

    fn say_bundle(&self, done: &str, id: &SiteId, bundle: &Path, address: &str) -> Result<(), Failure> {
        let directory = bundle.display().to_string();
        let words = format!(
            "site {id} {done}; bring {directory} to its agent, which reaches this controller at {address}, and delete \
             it here"
        );
        self.output.say(&words, &json!({"id": id, "bundle": directory, "address": address}))
    }

    async fn list_sites(&self) -> Result<(), Failure> {
        let sites = sites::list(&mut *self.controller.database.read().await?).await?;
        let lines: Vec<String> = sites
            .iter()
            .map(|site| {
                let state = match (site.revoked_at, site.presence.is_online) {
                    (Some(_), _) => "revoked",
                    (None, true) => "up",
                    (None, false) => "down",
                };
                format!("{:<20} {state:<8} {}", site.id.as_str(), site.name)
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
                let cure = format!("tawi-controller site renew {site} --bundle DIRECTORY");
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
        Added::AlreadyThere => format!("there is a site {id} already: tawi-controller site renew"),
        Added::NoSuchSite => format!("there is no site {id}: tawi-controller site list"),
        Added::DirectoryTaken(path) => {
            format!("--bundle: {} is there already; name a new directory", path.display())
        }
        Added::BadAddress(address) => format!("--address: {address:?} is not host:port"),
        Added::BadName => "--name: enter a name of at most 80 characters on one line".to_owned(),
    };
    Err(Failure::Refused(problem))
}
