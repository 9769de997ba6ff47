//! `site` and `router`.

use serde_json::json;

use super::arguments::{RouterCommand, SiteCommand};
use super::{Failure, Shell};
use crate::audit::Action;
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
                let address = address.unwrap_or_else(|| self.config.broker.advertised_address.clone());
                let now = self.controller.clock.now();
                let pki = Pki::open_or_create(&self.config.data_directory.join(PKI_DIRECTORY), now)?;
                let new = NewSite { id: id.clone(), name: name.clone() };
                let written = match sites::add(&self.controller, &pki, new, &bundle, &address).await? {
                    Added::Added(written) => written,
                    Added::AlreadyThere | Added::NoSuchSite => {
                        return Err(Failure::refused(format!(
                            "there is a site {id} already, or it was revoked"
                        )));
                    }
                    Added::DirectoryTaken(path) => {
                        let problem = format!("--bundle: {} is there already", path.display());
                        return Err(Failure::refused(format!("{problem}; name a new directory")));
                    }
                    Added::BadAddress(address) => {
                        return Err(Failure::refused(format!("--address: {address:?} is not host:port")));
                    }
                    Added::BadName => {
                        return Err(Failure::refused(
                            "--name: enter a name of at most 80 characters on one line",
                        ));
                    }
                };
                let transaction = self.controller.database.write().await?;
                self.commit(transaction, (Action::SiteAdded, id.as_str(), &name)).await?;
                let directory = written.directory.display().to_string();
                let words = format!(
                    "site {id} added; bring {directory} to its agent, which reaches this controller at {address}, and \
                     delete it here"
                );
                self.output.say(&words, &json!({"id": id, "name": name, "bundle": directory}))
            }
        }
    }

    async fn list_sites(&self) -> Result<(), Failure> {
        let sites = sites::list(&mut *self.controller.database.read().await?).await?;
        let lines: Vec<String> = sites
            .iter()
            .map(|site| {
                let state = if site.presence.is_online { "up" } else { "down" };
                format!("{:<20} {:<5} {}", site.id, state, site.name)
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
        let RouterCommand::Add { site, name } = command;
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
            AddedRouter::BadName => {
                return Err(Failure::refused("--name: use the name in the agent's settings"));
            }
        };
        self.output.say(&format!("router {name} of site {site} is there"), &RouterBody::from(&router))
    }
}
