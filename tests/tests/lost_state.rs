//! What a site kept is gone, in part or whole, while its agent is away and while it runs: it starts, says so where it can know,
//! is fed again by head office to the same state, and what its customers moved is counted once.
//!
//! All of it gone while the agent is away, which nobody can tell from a new site, is in `link.rs`.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use routeros_sim::{DeviceState, Service};
use serde_json::Value;
use tawi_agent::outbox::Keeper;
use tawi_shared::state_hash::StateHash;
use tawi_shared::{Clock, IdSource};
use tawi_tests::office::Office;
use tawi_tests::stories::{self, Cast};
use tawi_tests::world::{Customer, NewCustomer, Plan, Timing, World};

const WITHIN: Duration = Duration::from_secs(90);
/// More prints than three samples and the checks between them take.
const PRINTS_OF_A_LOOK: u64 = 40;

struct Isp {
    world: World,
    cast: Cast,
    customers: Vec<Customer>,
}

impl Isp {
    async fn open(name: &str) -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(format!("tawi-{name}-{}", IdSource::system().hex(4)));
        let timing = Some(Timing { sample_seconds: 1, full_check_seconds: 10, idle_seconds: 300 });
        let plan = Plan { sites: vec!["nyeri-01".into()], rule_17: false, timing, ..Plan::default() };
        let world = World::start(&directory, &plan, &mut |step| eprintln!("· {step}")).await?;
        let cast = stories::cast(&world).await?;
        let mut isp = Self { world, cast, customers: Vec::new() };
        isp.sells().await?;
        isp.sells().await?;
        isp.is_looked_at().await?;
        Ok(isp)
    }

    /// One more customer, who pays; online when the agent is there.
    async fn sells(&mut self) -> anyhow::Result<()> {
        let number = u32::try_from(self.customers.len())?;
        let plan = &self.cast.home;
        let new = NewCustomer { number, site: 0, plan, service: Service::Pppoe, redial_ms: Some(250) };
        let customer = self.world.add_customer(&new).await?;
        stories::pay(&self.world.office, &customer).await?;
        self.customers.push(customer);
        Ok(())
    }

    fn state(&self) -> anyhow::Result<PathBuf> {
        Ok(self.world.site(0)?.directory().join("state"))
    }

    /// Everybody is online, and the agent has read what they moved since.
    async fn is_looked_at(&self) -> anyhow::Result<()> {
        let router = self.world.site(0)?.router.router();
        for customer in &self.customers {
            router.wait_for_device(&customer.device, DeviceState::Online, WITHIN).await?;
        }
        let looks = router.summary().prints_total + PRINTS_OF_A_LOOK;
        router.wait_for(WITHIN, || (router.summary().prints_total >= looks).then_some(())).await?;
        Ok(())
    }

    fn moves(&self, bytes: u64) -> anyhow::Result<()> {
        let router = self.world.site(0)?.router.router();
        self.customers.iter().take(2).try_for_each(|customer| {
            router.move_traffic(&customer.device, bytes / 10, bytes).map(drop).context("online")
        })
    }

    /// Head office counts exactly so many bytes to each of the first two, and stays with that.
    async fn is_billed(&self, expected: u64) -> anyhow::Result<()> {
        for customer in self.customers.iter().take(2) {
            let path = format!("/api/subscriptions/{}", customer.subscription);
            let counted = async |office: &Office| {
                let line = office.get(&path).await?;
                let bytes = line.get("download_bytes").and_then(Value::as_u64).context("bytes")?;
                ensure!(bytes >= expected, "{bytes} of {expected}");
                Ok(Some(bytes))
            };
            let counted =
                self.world.office.wait_for("head office counts what moved", WITHIN, counted).await?;
            ensure!(counted == expected, "{counted} of {expected}: nothing is counted twice");
        }
        Ok(())
    }

    /// The newest state is stored and on the router.
    async fn is_fed(&self) -> anyhow::Result<u64> {
        let path = format!("/api/sites/{}", self.world.site(0)?.id);
        let fed = async |office: &Office| {
            let site = office.get(&path).await?;
            let number = |name: &str| site.get(name).and_then(Value::as_u64);
            let newest = number("generation");
            ensure!(
                number("stored_generation") == newest && number("applied_generation") == newest,
                "{site}"
            );
            Ok(newest)
        };
        self.world.office.wait_for("the site has its state", WITHIN, fed).await
    }

    async fn is_said(&self, what: &str) -> anyhow::Result<()> {
        let path = format!("/api/sites/{}/events", self.world.site(0)?.id);
        let said = async |office: &Office| {
            let answer = office.get(&path).await?;
            let events = answer.get("events").and_then(Value::as_array).context("events")?;
            let mut details = events.iter().filter_map(|event| event.get("detail")?.as_str());
            ensure!(details.any(|detail| detail.contains(what)), "{answer}");
            Ok(Some(()))
        };
        self.world.office.wait_for("head office hears what was lost", WITHIN, said).await
    }

    /// The generation and the hash of the state on flash, while the agent is away.
    fn kept(&self) -> anyhow::Result<(u64, StateHash)> {
        let (keeper, _) = Keeper::open(&self.state()?, IdSource::system(), Clock::system());
        let overview = keeper.overview();
        Ok((overview.stored_generation, overview.stored_hash))
    }

    async fn closes(self) -> anyhow::Result<()> {
        self.world.command(&["--json", "books", "prove"]).await?;
        self.world.stop().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_is_said_and_fed_again_and_only_what_moved_meanwhile_is_missing() {
    let mut isp = Isp::open("gone").await.unwrap();
    isp.moves(50_000_000).unwrap();
    isp.is_billed(50_000_000).await.unwrap();
    isp.is_fed().await.unwrap();
    isp.world.kill_agent(0).await.unwrap();
    let kept = isp.kept().unwrap();
    std::fs::remove_dir_all(isp.state().unwrap().join("store")).unwrap();
    // Nobody reads this: the agent that could have told it from what was told before has lost what that was.
    isp.moves(3_000_000).unwrap();
    isp.world.start_agent(0).await.unwrap();
    isp.is_said("the store is gone").await.unwrap();
    isp.is_fed().await.unwrap();
    isp.is_looked_at().await.unwrap();
    isp.moves(7_000_000).unwrap();
    isp.is_billed(57_000_000).await.unwrap();
    isp.world.kill_agent(0).await.unwrap();
    assert_eq!(isp.kept().unwrap(), kept, "the same state by its hash");
    isp.closes().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_damaged_is_said_and_fed_again_and_counts_on() {
    let mut isp = Isp::open("damaged").await.unwrap();
    isp.moves(50_000_000).unwrap();
    isp.is_billed(50_000_000).await.unwrap();
    isp.is_fed().await.unwrap();
    isp.world.kill_agent(0).await.unwrap();
    let kept = isp.kept().unwrap();
    // As a card that moved the wrong pages: every file is there, and says nothing.
    let mut folders = vec![isp.state().unwrap().join("store")];
    let mut overwritten = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let length = usize::try_from(path.metadata().unwrap().len()).unwrap();
                std::fs::write(&path, vec![0xa5; length]).unwrap();
                overwritten += length;
            }
        }
    }
    assert!(overwritten > 0);
    isp.world.start_agent(0).await.unwrap();
    isp.is_said("damaged").await.unwrap();
    isp.is_fed().await.unwrap();
    isp.is_looked_at().await.unwrap();
    isp.moves(7_000_000).unwrap();
    isp.is_billed(57_000_000).await.unwrap();
    isp.world.kill_agent(0).await.unwrap();
    assert_eq!(isp.kept().unwrap(), kept, "the same state by its hash");
    isp.closes().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_may_go_while_the_agent_runs_and_nothing_is_missing() {
    let mut isp = Isp::open("running").await.unwrap();
    isp.moves(50_000_000).unwrap();
    isp.is_billed(50_000_000).await.unwrap();
    let state = isp.state().unwrap();
    // The agent may put a file there meanwhile.
    while std::fs::remove_dir_all(&state).is_err_and(|error| error.kind() != ErrorKind::NotFound) {}
    isp.moves(3_000_000).unwrap();
    // Whoever pays now is on the new store as well.
    isp.sells().await.unwrap();
    isp.is_said("gone with everything in it").await.unwrap();
    let generation = isp.is_fed().await.unwrap();
    isp.is_looked_at().await.unwrap();
    isp.is_billed(53_000_000).await.unwrap();
    // What it began anew is whole: the next start goes on from it, and reads what moved meanwhile.
    isp.world.kill_agent(0).await.unwrap();
    isp.moves(4_000_000).unwrap();
    isp.world.start_agent(0).await.unwrap();
    isp.is_looked_at().await.unwrap();
    isp.is_billed(57_000_000).await.unwrap();
    assert_eq!(isp.is_fed().await.unwrap(), generation);
    isp.closes().await.unwrap();
}
