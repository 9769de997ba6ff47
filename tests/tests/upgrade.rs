//! Upgrades of the agent with all programs in place: signed, brought by the real controller over real sockets, started by the
//! installed agent, and gone back from. A release is a script that becomes the agent's library under another version; what is
//! signed, sent, hashed and started is the script.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tawi_agent::config::{Config, Environment};
use tawi_agent::upgrade::Build;
use tawi_shared::IdSource;
use tawi_shared::release::ReleaseKey;
use tawi_tests::backhaul::Outage;
use tawi_tests::office::Office;
use tawi_tests::process::path_of;
use tawi_tests::world::{Plan, Timing, World};
use tokio::time::{Instant, sleep};

const SITE: &str = "nyeri-01";
const WITHIN: Duration = Duration::from_secs(120);

struct Isp {
    world: World,
    keys: PathBuf,
}

impl Isp {
    async fn open(name: &str, more_of_agent: &str) -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(format!("tawi-{name}-{}", IdSource::system().hex(4)));
        let timing = Some(Timing { sample_seconds: 1, full_check_seconds: 10, idle_seconds: 300 });
        let plan = Plan { sites: vec![SITE.into()], rule_17: false, timing, ..Plan::default() };
        let mut world = World::start(&directory, &plan, &mut |_| ()).await?;
        let keys = directory.join("keys");
        let made = world.command(&["release", "new-key", "--out", text(&keys), "--json"]).await?;
        let key = made.get("release_key").and_then(Value::as_str).context("a key")?;
        append(&directory.join("controller.toml"), &format!("[upgrade]\nrelease_key = \"{key}\"\n"))?;
        let settings = world.site(0)?.directory().join("agent.toml");
        append(&settings, &format!("[upgrade]\nrelease_keys = [\"{key}\"]\n{more_of_agent}"))?;
        world.kill_agent(0).await?;
        world.start_agent(0).await?;
        let isp = Self { world, keys };
        isp.runs(&Build::this().mark.version.to_string()).await?;
        Ok(isp)
    }

    /// Signs a release whose program says `lines` and becomes the agent in the end, and takes it in.
    async fn release(&self, version: &str, lines: &str) -> anyhow::Result<()> {
        let mark = format!("tawi-agent-release/{version}/{}/1/1-3;", Build::this().mark.target);
        let agent = path_of("another_agent")?;
        let program = self.world.directory().join(format!("agent-{version}"));
        let script = format!(
            "#!/bin/sh\n# {mark}\nunset TAWI_TEST_CONFIG\nexport TAWI_TEST_PROVE_SECONDS=30\nexport TAWI_TEST_MARK='{mark}'\n{lines}\nexec {} \"$@\"\n",
            agent.display()
        );
        std::fs::write(&program, script)?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        let (key, out) =
            (self.keys.join("release.key"), self.world.directory().join(format!("{version}.release")));
        self.world
            .command(&[
                "release",
                "sign",
                "--key",
                text(&key),
                "--binary",
                text(&program),
                "--out",
                text(&out),
                "--json",
            ])
            .await?;
        self.world.command(&["release", "add", text(&out), "--json"]).await?;
        Ok(())
    }

    async fn start(&self, version: &str) -> anyhow::Result<()> {
        self.world
            .command(&["upgrade", "start", version, "--waves", "100", "--soak", "1s", "--json"])
            .await?;
        Ok(())
    }

    async fn status(&self) -> anyhow::Result<Value> {
        self.world.command(&["upgrade", "status", "--json"]).await
    }

    /// The rollout stands so, and its site so.
    async fn stands(&self, rollout: &str, site: &str) -> anyhow::Result<Value> {
        let until = Instant::now() + WITHIN;
        loop {
            let status = self.status().await?;
            let of_site = status.pointer("/sites/0/standing").and_then(Value::as_str).unwrap_or_default();
            if status.get("standing") == Some(&json!(rollout)) && of_site == site {
                return Ok(status);
            }
            ensure!(Instant::now() < until, "not {rollout}, {site}: {status}\n{}", self.log());
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Head office hears this version from the site.
    async fn runs(&self, version: &str) -> anyhow::Result<()> {
        let look = async |office: &Office| {
            let site = office.get(&format!("/api/sites/{SITE}")).await?;
            let is_it = site.get("agent_version") == Some(&json!(version))
                && site.get("is_online") == Some(&json!(true));
            ensure!(is_it, "{site}");
            Ok(Some(()))
        };
        self.world.office.wait_for("the site runs the version", WITHIN, look).await
    }

    async fn audited(&self) -> String {
        self.world
            .command(&["audit", "list", "--limit", "200", "--json"])
            .await
            .unwrap_or_default()
            .to_string()
    }

    /// What the agent has on its disk of a release that is not whole.
    fn fetched_bytes(&self) -> u64 {
        let site = self.world.site(0).map(|site| site.directory().join("state/releases"));
        let entries = site.into_iter().flat_map(std::fs::read_dir).flatten().flatten();
        let parts = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "part"));
        parts.filter_map(|entry| Some(entry.metadata().ok()?.len())).max().unwrap_or(0)
    }

    fn log(&self) -> String {
        self.world.agent(0).map(tawi_tests::process::Program::log_end).unwrap_or_default()
    }

    /// As a service manager does it: the agent ended by itself and is started again.
    async fn is_started_again(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + WITHIN;
        while self.world.ensure_running().is_ok() {
            ensure!(Instant::now() < until, "the agent goes on\n{}", self.log());
            sleep(Duration::from_millis(50)).await;
        }
        // It is gone already, and is only forgotten by this.
        let _ = self.world.kill_agent(0).await;
        self.world.start_agent(0).await
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn append(path: &Path, more: &str) -> anyhow::Result<()> {
    let before = std::fs::read_to_string(path)?;
    Ok(std::fs::write(path, format!("{before}\n{more}"))?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_release_is_verified_and_one_that_crashes_or_is_not_welcomed_is_gone_back_from() {
    let mut isp = Isp::open("upgrade", "").await.unwrap();
    let ends = isp.world.directory().join("0.2.0-ends");
    isp.release("0.2.0", &format!("[ -e '{}' ] && exit 3", ends.display())).await.unwrap();
    isp.start("0.2.0").await.unwrap();
    isp.stands("done", "verified").await.unwrap();
    isp.runs("0.2.0").await.unwrap();
    // For how long nobody enforced, by the agent's own log.
    let log = isp.world.site(0).unwrap().directory().join(format!("agent-{SITE}.log"));
    let log = std::fs::read_to_string(log).unwrap();
    let steps = ["the agent stops", "a release of head office is started", "the agent is at work"];
    log.lines()
        .filter(|line| steps.iter().any(|step| line.contains(step)))
        .for_each(|line| println!("{line}"));
    // A restart finds it, without a word of head office.
    isp.world.kill_agent(0).await.unwrap();
    isp.world.start_agent(0).await.unwrap();
    isp.runs("0.2.0").await.unwrap();

    // It ends before it can say anything: three starts, and the one before runs.
    isp.release("0.3.0", "exit 3").await.unwrap();
    isp.start("0.3.0").await.unwrap();
    for _ in 0..3 {
        isp.is_started_again().await.unwrap();
    }
    let status = isp.stands("stopped", "rolled back").await.unwrap();
    let why = status.get("why").and_then(Value::as_str).unwrap_or_default();
    assert!(why.contains("3 times"), "{why}");
    isp.runs("0.2.0").await.unwrap();

    // It runs and reaches nobody.
    let directory = isp.world.site(0).unwrap().directory().to_path_buf();
    let (own, lost) = (directory.join("agent.toml"), directory.join("lost.toml"));
    let elsewhere = std::fs::read_to_string(&own).unwrap();
    let address = isp.world.site(0).unwrap().backhaul.address().to_string();
    std::fs::write(&lost, elsewhere.replace(&address, "127.0.0.1:1")).unwrap();
    let lines = format!("export TAWI_TEST_PROVE_SECONDS=3 TAWI_TEST_CONFIG='{}'", lost.display());
    isp.release("0.4.0", &lines).await.unwrap();
    isp.start("0.4.0").await.unwrap();
    let status = isp.stands("stopped", "rolled back").await.unwrap();
    assert!(
        status.get("why").and_then(Value::as_str).unwrap_or_default().contains("did not welcome it"),
        "{status}"
    );
    isp.runs("0.2.0").await.unwrap();

    // What had proven itself ends soon after each start from now on: what is installed runs after three.
    let starts = isp.world.site(0).unwrap().directory().join("state/run/starts");
    let until = Instant::now() + WITHIN;
    while starts.exists() {
        assert!(Instant::now() < until, "it has not settled\n{}", isp.log());
        sleep(Duration::from_millis(50)).await;
    }
    std::fs::write(&ends, "").unwrap();
    isp.world.kill_agent(0).await.unwrap();
    isp.world.start_agent(0).await.unwrap();
    for _ in 0..3 {
        isp.is_started_again().await.unwrap();
    }
    isp.runs(&Build::this().mark.version.to_string()).await.unwrap();
    // It could not say so itself; what runs now says it, although nobody asks about that rollout any more.
    let until = Instant::now() + WITHIN;
    while !isp.audited().await.contains("soon after its start") {
        assert!(Instant::now() < until, "head office does not hear why\n{}", isp.log());
        sleep(Duration::from_millis(200)).await;
    }

    // What each of them was is in the audit log.
    let log = isp.audited().await;
    for action in [
        "release.added",
        "rollout.started",
        "site.upgraded",
        "site.rolled_back",
        "rollout.stopped",
        "rollout.done",
    ] {
        assert!(log.contains(action), "{action}: {log}");
    }
    isp.world.ensure_running().unwrap();

    // A site whose settings are carried there trusts the same key.
    let bundle = isp.world.directory().join("thika-01");
    let add = ["site", "add", "thika-01", "--name", "Thika", "--offline-bundle", text(&bundle), "--json"];
    isp.world.command(&add).await.unwrap();
    let config = Config::load(&bundle.join("agent.toml"), &Environment::default()).unwrap();
    let public = std::fs::read_to_string(isp.keys.join("release.pub")).unwrap();
    let trusted: Vec<String> = config.upgrade.keys.iter().map(ReleaseKey::to_text).collect();
    assert_eq!(trusted, [public.trim()]);
    isp.world.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_is_cut_and_an_agent_that_is_killed_go_on_at_the_byte_where_they_stood() {
    let mut isp = Isp::open("upgrade-cut", "").await.unwrap();
    // 8 MB that do not become smaller than half.
    let padding = IdSource::system().hex(4_000_000);
    isp.release("0.2.0", &format!("# {padding}")).await.unwrap();
    let listed = isp.world.command(&["release", "list", "--json"]).await.unwrap();
    let file_bytes = listed.pointer("/0/manifest/file_bytes").and_then(Value::as_u64).unwrap();
    let before = isp.world.site(0).unwrap().backhaul.bytes();
    isp.start("0.2.0").await.unwrap();
    let until = Instant::now() + WITHIN;
    while isp.fetched_bytes() < file_bytes / 4 {
        assert!(Instant::now() < until, "{} of {file_bytes}\n{}", isp.fetched_bytes(), isp.log());
        sleep(Duration::from_millis(20)).await;
    }
    isp.world.site(0).unwrap().backhaul.cut(Outage::Reset);
    let at_cut = isp.fetched_bytes();
    isp.world.kill_agent(0).await.unwrap();
    let kept = {
        let directory = isp.world.site(0).unwrap().directory().join("state/releases");
        std::fs::read_dir(directory)
            .unwrap()
            .flatten()
            .filter_map(|entry| Some(entry.metadata().ok()?.len()))
            .max()
            .unwrap()
    };
    assert!(kept >= at_cut && kept < file_bytes, "{kept} of {file_bytes} at {at_cut}");
    isp.world.site(0).unwrap().backhaul.mend();
    isp.world.start_agent(0).await.unwrap();
    isp.stands("done", "verified").await.unwrap();
    isp.runs("0.2.0").await.unwrap();
    let carried = isp.world.site(0).unwrap().backhaul.bytes().saturating_sub(before);
    println!("{file_bytes} bytes of release, cut and killed at {at_cut}: the line carried {carried}");
    // Had it begun anew, a quarter would have come twice.
    assert!(carried < file_bytes + file_bytes / 6, "{carried} for {file_bytes}");
    isp.world.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_metered_line_a_release_comes_within_the_budget_of_the_hour() {
    const HOURLY: u64 = 600_000;
    const SECONDS: u64 = 30;
    /// A fifth of the hour's bytes may go at once, and the others come evenly (`link/budget.rs`).
    const PURSE: u64 = HOURLY / 5;
    const EARNED: u64 = (HOURLY - PURSE) * SECONDS / 3_600;
    /// What may not wait for the purse: what is wanted, how it stands at each tenth, and what the site has to say besides.
    const SLACK: u64 = 8_000;
    let isp = Isp::open("upgrade-budget", "").await.unwrap();
    let padding = IdSource::system().hex(1_500_000);
    isp.release("0.2.0", &format!("# {padding}")).await.unwrap();
    isp.world.command(&["site", "set", SITE, "kilobytes_an_hour=600", "--json"]).await.unwrap();
    let is_in_force = async |office: &Office| {
        let settings = office.get(&format!("/api/sites/{SITE}/settings")).await?;
        ensure!(settings.to_string().contains("\"applied\""), "{settings}");
        Ok(Some(()))
    };
    isp.world.office.wait_for("the setting is in force", WITHIN, is_in_force).await.unwrap();
    let before = isp.world.site(0).unwrap().backhaul.carried();
    isp.start("0.2.0").await.unwrap();
    sleep(Duration::from_secs(SECONDS)).await;
    let carried = isp.world.site(0).unwrap().backhaul.carried().less(before).on_the_line();
    let fetched = isp.fetched_bytes();
    println!("{fetched} bytes of the release and {carried} on the line in half a minute");
    assert!(fetched > 0, "nothing comes\n{}", isp.log());
    let most = PURSE + EARNED + SLACK;
    assert!(carried < most, "{carried} within half a minute, of {most} at {HOURLY} an hour");
    // And without the bound it is there at once.
    isp.world.command(&["site", "unset", SITE, "kilobytes_an_hour", "--json"]).await.unwrap();
    isp.stands("done", "verified").await.unwrap();
    isp.world.stop().await.unwrap();
}
