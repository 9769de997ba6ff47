//! What the agent of a site with 200 subscribers writes to its disk while all is well.
//!
//! The agent is a process with its own settings, and its routers are looked at as often as anywhere. What it writes is
//! what Linux counts for it: whole pages that went to the disk, for the store, the API log and its own log. What a file system and a
//! card make of a page is not in it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tawi_tests::world::{Plan, World};
use tokio::time::{Instant, sleep};

use crate::line::{SUBSCRIBERS, move_all, settle};
use crate::{directory, say};

/// Two sessions of each of them in a day.
const TURN_EVERY: Duration = Duration::from_secs(216);
const MOVES_EVERY: Duration = Duration::from_secs(10);
/// What a beginning costs is over.
const SETTLED_AFTER: Duration = Duration::from_secs(60);
const DAY_SECONDS: u64 = 86_400;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Worn {
    subscribers: u32,
    seconds: u64,
    turns: u64,
    written_bytes: u64,
    written_bytes_a_day: u64,
}

/// Watches an agent for so long.
pub(crate) async fn flash(minutes: u64) -> anyhow::Result<Worn> {
    let plan = Plan { sites: vec!["nyeri-01".into()], rule_17: false, timing: None, ..Plan::default() };
    let world = World::start(&directory(), &plan, &mut say).await?;
    let customers = settle(&world).await?;
    sleep(SETTLED_AFTER).await;
    say(&format!("{minutes} minutes in which they move traffic"));
    let written = || world.agent(0).context("the agent runs")?.written_bytes();
    let (began, before) = (Instant::now(), written()?);
    let (end, mut turn, mut turns) = (began + Duration::from_secs(60 * minutes), began + TURN_EVERY, 0);
    while Instant::now() < end {
        // Who dials again just then has nothing to move, and those behind move with the next ones.
        let _ = move_all(&world, &customers);
        if Instant::now() >= turn {
            end_a_session(&world)?;
            turn += TURN_EVERY;
            turns += 1;
        }
        sleep(MOVES_EVERY).await;
    }
    let (seconds, written_bytes) = (began.elapsed().as_secs(), written()? - before);
    world.stop().await?;
    ensure!(
        written_bytes > 0,
        "nothing was counted: are temporary files in memory here? set TMPDIR to a disk"
    );
    let written_bytes_a_day = written_bytes.saturating_mul(DAY_SECONDS) / seconds;
    Ok(Worn { subscribers: SUBSCRIBERS, seconds, turns, written_bytes, written_bytes_a_day })
}

/// The router ends a session, and its device dials again.
fn end_a_session(world: &World) -> anyhow::Result<()> {
    let router = world.site(0)?.router.router();
    let rows = router.rows("ppp/active").map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let row = rows.first().context("somebody is online")?;
    let id = row.iter().find(|(name, _)| *name == ".id").context("a session has an id")?;
    let id = String::from_utf8(id.1.clone())?;
    router.remove_row("ppp/active", &id).map_err(|error| anyhow::anyhow!("{error:?}"))
}
