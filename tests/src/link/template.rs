//! Head office with twenty sites, made once; every world begins with a copy.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tawi_controller::database::Database;
use tawi_controller::pki::Pki;
use tawi_controller::sites::{self, NewSite};
use tawi_controller::state::Controller;
use tawi_shared::{Clock, IdSource, SiteId};

use super::{BEGIN, LINES, SITES};
use crate::carried::ROUTER;
use crate::money::house::House;
use crate::money::safaricom::Safaricom;
use crate::money::{self, scratch};
use crate::office::id_of;

/// A site of the template.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Which.
    pub site: SiteId,
    /// Its lines, by id.
    pub lines: Vec<String>,
}

/// A database with sites, routers, customers and lines that were paid for.
#[derive(Debug)]
pub struct Template {
    directory: PathBuf,
    /// Who there is.
    pub sites: Vec<Planned>,
}

impl Template {
    /// Makes it.
    ///
    /// # Errors
    /// When the controller refuses anything.
    pub async fn make() -> anyhow::Result<Self> {
        let directory = scratch();
        let money = money::Template::make(&directory.join("first")).await?;
        let clock = Clock::manual(BEGIN);
        let safaricom = Safaricom::start(clock.clone()).await?;
        let house = money.copy(0, clock, safaricom.address).await?;
        let pki = Pki::open_or_create(&directory.join("pki"), BEGIN)?;
        let plans = house.get("/api/plans").await?;
        let plan = id_of(plans.pointer("/plans/0").context("a plan")?)?;
        let mut planned = Vec::new();
        for number in 0..SITES {
            let site = SiteId::parse(&format!("site-{number:02}"))?;
            let new = NewSite { id: site.clone(), name: String::new() };
            let bundle = directory.join(site.as_str());
            sites::add(&house.controller, &pki, new, &bundle, &["127.0.0.1:8883".to_owned()]).await?;
            let router = json!({"site_id": site.as_str(), "name": ROUTER});
            let router = post(&house, "/api/routers", &router).await?;
            let mut lines = Vec::new();
            for line in 0..LINES {
                lines.push(add_line(&house, (&plan, &id_of(&router)?), number * LINES + line).await?);
            }
            planned.push(Planned { site, lines });
        }
        house.keep(&directory.join("template.db")).await?;
        Ok(Self { directory, sites: planned })
    }

    /// A copy of it that runs, and where it lies.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn copy(&self, seed: u64, clock: Clock) -> anyhow::Result<(Controller, PathBuf)> {
        let path = self.directory.join(format!("{seed}-{}.db", IdSource::system().hex(4)));
        std::fs::copy(self.directory.join("template.db"), &path)?;
        Ok((open(&path, clock, IdSource::seeded(!seed)).await?, path))
    }
}

/// A controller over a database that lies there.
///
/// # Errors
/// When it does not start.
pub async fn open(path: &Path, clock: Clock, ids: IdSource) -> anyhow::Result<Controller> {
    let database = Database::open(&format!("sqlite://{}", path.display())).await?;
    Ok(Controller { clock, ids, ..Controller::new(database) })
}

impl Drop for Template {
    fn drop(&mut self) {
        // A world that failed is made again by its seed.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn post(house: &House, path: &str, body: &Value) -> anyhow::Result<Value> {
    let (status, answer) = house.post(path, body).await?;
    ensure!(status < 300, "{path}: {status}: {answer}");
    Ok(answer)
}

async fn add_line(house: &House, (plan, router): (&str, &str), number: usize) -> anyhow::Result<String> {
    let new = json!({"name": format!("House {number}"), "phone": format!("25471{number:07}")});
    let customer = id_of(&post(house, "/api/customers", &new).await?)?;
    let new = json!({
        "customer_id": customer, "plan_id": plan, "router_id": router,
        "username": format!("house{number}"), "password": "secret99",
    });
    let line = id_of(&post(house, "/api/subscriptions", &new).await?)?;
    // What nobody ever paid for is no line of the site.
    let paid = json!({
        "means": "cash", "amount_cents": 150_000, "is_another": true, "subscription_id": line,
    });
    post(house, &format!("/api/customers/{customer}/counter-payments"), &paid).await?;
    Ok(line)
}
