//! What head office asks of a site's agent itself, by the command line and with real programs on both ends: the doctor,
//! diagnostics, the level of the log, a watch; with the site away, and with an agent that loses its power in the middle.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tawi_shared::IdSource;
use tawi_tests::backhaul::Outage;
use tawi_tests::process::{self, path_of};
use tawi_tests::stories;
use tawi_tests::world::{Plan, World};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const SITE: &str = "nyeri-01";
/// Far above what any answer needs.
const WITHIN: Duration = Duration::from_secs(120);

/// How a command at head office ended.
struct Said {
    code: i32,
    out: String,
    err: String,
}

fn start(world: &World, arguments: &[&str]) -> anyhow::Result<Child> {
    let mut command = Command::new(path_of("tawi-controller")?);
    command.args(arguments).arg("--config").arg(world.directory().join("controller.toml"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command.spawn()?)
}

async fn ask(world: &World, arguments: &[&str]) -> anyhow::Result<Said> {
    let output = timeout(2 * WITHIN, start(world, arguments)?.wait_with_output()).await;
    let output = output.with_context(|| format!("{arguments:?} does not end"))??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let code = output.status.code().context("it was ended by a signal")?;
    Ok(Said { code, out: text(output.stdout), err: text(output.stderr) })
}

/// What the agent logged.
fn log_of(world: &World) -> anyhow::Result<String> {
    let path: PathBuf = world.site(0)?.directory().join(format!("agent-{SITE}.log"));
    Ok(std::fs::read_to_string(path)?)
}

async fn the_doctor_and_diagnostics(world: &World) -> anyhow::Result<()> {
    let words = ask(world, &["site", "doctor", SITE]).await?;
    ensure!(words.err.contains("asked site nyeri-01\n"), "{}", words.err);
    ensure!(words.out.contains("router core\n"), "{}", words.out);
    let told = ask(world, &["site", "doctor", SITE, "--json"]).await?;
    let report: Value = serde_json::from_str(&told.out)?;
    let count = |verdict: &str| report.get(verdict).and_then(Value::as_u64).context("a count");
    let (good, bad) = (count("good")?, count("bad")?);
    ensure!(good > 5 && words.code == i32::from(bad > 0) && told.code == words.code, "{}", words.out);
    let findings = report.get("findings").and_then(Value::as_array).context("findings")?;
    for finding in findings.iter().filter_map(|finding| finding.get("check")?.as_str()) {
        ensure!(words.out.contains(finding), "{finding} is not told: {}", words.out);
    }

    let gathered = ask(world, &["site", "diagnostics", SITE]).await?;
    ensure!(gathered.code == 0, "{}", gathered.err);
    let bundle: Value = serde_json::from_str(&gathered.out)?;
    ensure!(bundle.pointer("/settings/site") == Some(&SITE.into()), "{}", gathered.out);
    ensure!(bundle.pointer("/settings/routers/0/name") == Some(&"core".into()), "{}", gathered.out);
    let log = bundle.get("log").and_then(Value::as_array).context("lines of the log")?;
    ensure!(!log.is_empty(), "no line of the log is told");
    let secret = std::fs::read_to_string(world.site(0)?.directory().join("router.password"))?;
    ensure!(
        !gathered.out.contains(secret.trim()) && !gathered.out.contains("PRIVATE KEY"),
        "a secret is told"
    );
    Ok(())
}

async fn the_level_of_the_log(world: &mut World) -> anyhow::Result<()> {
    ensure!(!log_of(world)?.contains("DEBUG"), "it logs as little as its settings say");
    let set = ask(world, &["site", "log-level", SITE, "debug"]).await?;
    ensure!(
        set.code == 0 && set.out.contains("the log is at debug until a restart"),
        "{}{}",
        set.out,
        set.err
    );
    world
        .office
        .wait_for("the agent logs more", WITHIN, async |_| Ok(log_of(world)?.contains("DEBUG").then_some(())))
        .await?;
    // A restart takes it back.
    world.kill_agent(0).await?;
    stories::wait_for_site(&world.office, SITE, false).await?;
    let before = log_of(world)?.len();
    world.start_agent(0).await?;
    stories::wait_for_site(&world.office, SITE, true).await?;
    let since = log_of(world)?.split_off(before);
    ensure!(since.contains("the agent is at work") && !since.contains("DEBUG"), "{since}");
    let unknown = ask(world, &["site", "log-level", SITE, "loud"]).await?;
    ensure!(unknown.code == 2, "{}", unknown.err);
    Ok(())
}

/// It goes on after the agent lost its power, because to watch twice is to watch.
async fn a_watch_with_a_restart_in_the_middle(world: &mut World) -> anyhow::Result<()> {
    let mut watching = start(world, &["site", "watch", SITE, "--seconds", "12"])?;
    let mut lines = BufReader::new(watching.stdout.take().context("standard output")?).lines();
    let first = timeout(WITHIN, lines.next_line()).await??.context("a line")?;
    let is_summary = |line: &str| {
        line.split_once("  ").is_some_and(|(at, said)| at.len() == 12 && said.starts_with("connected"))
    };
    ensure!(is_summary(&first), "{first}");
    world.kill_agent(0).await?;
    stories::wait_for_site(&world.office, SITE, false).await?;
    world.start_agent(0).await?;
    let rest = async {
        let mut seen = 0;
        while let Some(line) = lines.next_line().await? {
            seen += usize::from(is_summary(&line));
        }
        Ok::<_, anyhow::Error>(seen)
    };
    let seen = timeout(2 * WITHIN, rest).await.context("the watch does not end")??;
    let status = timeout(WITHIN, watching.wait()).await??;
    let mut said = String::new();
    watching.stderr.take().context("standard error")?.read_to_string(&mut said).await?;
    ensure!(status.success() && seen > 0, "{status}, {seen} times after the restart: {said}");
    ensure!(said.contains("executing") && said.contains("succeeded"), "{said}");
    Ok(())
}

async fn a_site_that_is_away(world: &World) -> anyhow::Result<()> {
    let site = world.site(0)?;
    site.backhaul.cut(Outage::Reset);
    stories::wait_for_site(&world.office, SITE, false).await?;
    let away = ask(world, &["site", "doctor", SITE, "--timeout", "2"]).await?;
    ensure!(away.code == 1 && away.out.is_empty(), "{}: {}", away.code, away.out);
    ensure!(away.err.contains("the site is away, and is told when it is back"), "{}", away.err);
    ensure!(away.err.contains("site nyeri-01 is away; it is asked when it is back"), "{}", away.err);
    // The order stands, and what it brings is at head office.
    site.backhaul.mend();
    let answer = async |office: &tawi_tests::office::Office| {
        let list = office.get(&format!("/api/commands?site={SITE}&limit=1")).await?;
        let id = list.pointer("/commands/0/id").and_then(Value::as_str).context("a command")?.to_owned();
        let answer = office.get(&format!("/api/commands/{id}/answer")).await?;
        Ok(answer.pointer("/answer/findings/0").map(|_| ()))
    };
    world.office.wait_for("the doctor's report of a site that was away", WITHIN, answer).await?;
    let nowhere = ask(world, &["site", "diagnostics", "nowhere-09"]).await?;
    ensure!(nowhere.code == 1 && nowhere.err.contains("there is no site nowhere-09"), "{}", nowhere.err);
    Ok(())
}

/// Set from here they are in force while the agent runs, and after a restart; and the device shows whose they are.
async fn settings(world: &mut World) -> anyhow::Result<()> {
    let bad = ask(world, &["site", "set", SITE, "kilobytes_an_hour=5"]).await?;
    ensure!(bad.code == 1 && bad.err.contains("use 10 to 10000000, or 0 for no bound"), "{}", bad.err);
    let unknown = ask(world, &["site", "set", SITE, "addresses=elsewhere"]).await?;
    ensure!(unknown.code == 1 && unknown.err.contains("there is no setting"), "{}", unknown.err);
    let before = log_of(world)?.len();
    let set = ask(world, &["site", "set", SITE, "kilobytes_an_hour=5000", "log_level=debug"]).await?;
    ensure!(
        set.code == 0 && set.out.contains("site nyeri-01 is connected and is being told"),
        "{}{}",
        set.out,
        set.err
    );
    in_force(world, 2).await?;
    let logs_more = async |_: &tawi_tests::office::Office| {
        Ok(log_of(world)?.split_off(before).contains("DEBUG").then_some(()))
    };
    world.office.wait_for("the agent logs more", WITHIN, logs_more).await?;
    world.kill_agent(0).await?;
    world.start_agent(0).await?;
    let status = async |_: &tawi_tests::office::Office| {
        let config = world.site(0)?.directory().join("agent.toml").display().to_string();
        Ok(process::run("tawi-agent", &["status", "--config", &config]).await.ok())
    };
    let said = world.office.wait_for("the agent says how it stands", WITHIN, status).await?;
    ensure!(said.contains("by head office: kilobytes_an_hour 5000, log_level debug"), "{said}");
    ensure!(said.contains("by agent.toml: report_seconds 1, keep_alive_seconds learned"), "{said}");
    let all = ask(world, &["site", "unset", "--all", "kilobytes_an_hour", "log_level"]).await?;
    ensure!(all.code == 0, "{}", all.err);
    in_force(world, 0).await
}

/// Waits until the site has said that it took so many values, and all that there are.
async fn in_force(world: &World, count: usize) -> anyhow::Result<()> {
    let look = async |_: &tawi_tests::office::Office| {
        let shown: Value =
            serde_json::from_str(&ask(world, &["site", "settings", SITE, "--json"]).await?.out)?;
        let settings = shown.get("settings").and_then(Value::as_array).context("settings")?;
        let are_applied = settings.iter().all(|one| one.get("standing") == Some(&"applied".into()));
        let is_heard = ["is_heard", "is_kept"].iter().all(|name| shown.get(*name) == Some(&true.into()));
        Ok((settings.len() == count && are_applied && is_heard).then_some(()))
    };
    world.office.wait_for("the settings are in force", WITHIN, look).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_is_asked_for_its_doctor_its_diagnostics_its_log_and_to_be_watched() {
    let directory = std::env::temp_dir().join(format!("tawi-remote-hands-{}", IdSource::system().hex(4)));
    let plan = Plan { sites: vec![SITE.to_owned()], rule_17: false, ..Plan::default() };
    let mut world = World::start(&directory, &plan, &mut |step| eprintln!("· {step}")).await.unwrap();
    let outcome = async {
        stories::wait_for_site(&world.office, SITE, true).await?;
        the_doctor_and_diagnostics(&world).await?;
        the_level_of_the_log(&mut world).await?;
        settings(&mut world).await?;
        a_watch_with_a_restart_in_the_middle(&mut world).await?;
        a_site_that_is_away(&world).await
    }
    .await;
    if outcome.is_err() {
        world.keep_directory();
    }
    let stopped = world.stop().await;
    outcome.unwrap();
    stopped.unwrap();
}
