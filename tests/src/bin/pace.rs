//! `pace`: our client beside librouteros, in one run against one simulator, printed as JSON.
//!
//! Ours, built as the agent ships it, and the released Python client are processes of their own that take the time in
//! themselves; they take turns, and of each the middle one of several rounds counts. How busy the simulator was is
//! printed beside each: where that is near 100 %, it is the simulator that was measured.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tawi_tests::interop::run_script;
use tawi_tests::process::Program;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

const SECRETS: usize = 10_000;
const CHANGES: usize = 1_000;
/// Odd, so that there is a middle one.
const ROUNDS: usize = 5;
/// Far above what any of them needs, so that a slow machine is not a failure.
const ROUND_WITHIN: Duration = Duration::from_secs(120);
/// What both ask for: the properties of our typed row, so that the router sends the same bytes.
const PROPLIST: &[&str] = <routeros_api::menu::PppSecret as routeros_api::menu::TypedRow>::PROPERTIES;

/// What a client printed.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Round {
    done: usize,
    seconds: f64,
    #[serde(skip)]
    simulator_seconds: f64,
    #[serde(skip)]
    process_seconds: f64,
}

/// The middle round of one client.
#[derive(Debug, Serialize)]
struct Pace {
    per_second: u64,
    seconds: f64,
    /// Of the whole life of the client's process, so too low for one that starts slowly.
    simulator_busy_percent: u64,
}

#[derive(Debug, Serialize)]
struct Print {
    rows: usize,
    ours: Pace,
    librouteros: Pace,
    ratio: f64,
    /// A client that reads the bytes and makes nothing of them: nobody can be faster against this simulator.
    bytes_alone: Pace,
}

#[derive(Debug, Serialize)]
struct Changes {
    changes: usize,
    /// Each when the one before is answered, as librouteros does it.
    ours_one_by_one: Pace,
    librouteros_one_by_one: Pace,
    ratio_one_by_one: f64,
    /// Sixteen under way: what tags are for. librouteros has none.
    ours_sixteen_at_a_time: Pace,
    ratio_sixteen_to_one: f64,
}

#[derive(Debug, Serialize)]
struct Measured {
    print_of_secrets: Print,
    changes_of_profile: Changes,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let mut rounds: [Vec<Round>; 6] = Default::default();
    for round in 1..=ROUNDS {
        eprintln!("· round {round} of {ROUNDS}");
        let [print, python_print, bytes, changes, python_changes, at_once] = &mut rounds;
        print.push(bench.ours("print", SECRETS).await?);
        python_print.push(bench.librouteros("print", SECRETS).await?);
        bytes.push(bench.ours("bytes", SECRETS).await?);
        changes.push(bench.ours("changes", CHANGES).await?);
        python_changes.push(bench.librouteros("changes", CHANGES).await?);
        at_once.push(bench.ours("changes-at-once", CHANGES).await?);
    }
    let [print, python_print, bytes, changes, python_changes, at_once] = rounds.map(middle);
    let ratio = |ours: Round, theirs: Round| hundredths(theirs.seconds / ours.seconds);
    let measured = Measured {
        print_of_secrets: Print {
            rows: SECRETS,
            ours: pace(print),
            librouteros: pace(python_print),
            ratio: ratio(print, python_print),
            bytes_alone: pace(bytes),
        },
        changes_of_profile: Changes {
            changes: CHANGES,
            ours_one_by_one: pace(changes),
            librouteros_one_by_one: pace(python_changes),
            ratio_one_by_one: ratio(changes, python_changes),
            ours_sixteen_at_a_time: pace(at_once),
            ratio_sixteen_to_one: ratio(at_once, python_changes),
        },
    };
    println!("{}", serde_json::to_string_pretty(&measured)?);
    bench.simulator.stop().await
}

struct Bench {
    simulator: Program,
    ours: PathBuf,
    address: String,
}

impl Bench {
    async fn start() -> anyhow::Result<Self> {
        let release = release_folder()?;
        let secrets = SECRETS.to_string();
        let arguments = ["--listen", "127.0.0.1:0", "--secrets", &secrets];
        let simulator =
            Program::start(&release.join("routeros-sim"), "pace", &std::env::temp_dir(), &arguments, "ready")
                .await?;
        let address = simulator.ready_value("api")?.to_owned();
        Ok(Self { simulator, ours: release.join("examples/pace"), address })
    }

    async fn ours(&self, what: &str, expected: usize) -> anyhow::Result<Round> {
        let count = CHANGES.to_string();
        let running = async {
            let output = Command::new(&self.ours)
                .args([&self.address, what, "--count", &count])
                .kill_on_drop(true)
                .output();
            let output = timeout(ROUND_WITHIN, output).await??;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Ok(String::from_utf8(output.stdout)?)
        };
        self.round(running, expected).await
    }

    async fn librouteros(&self, what: &str, expected: usize) -> anyhow::Result<Round> {
        let port = self.address.rsplit(':').next().context("an address has a port")?;
        let arguments = [port, what, &PROPLIST.join(","), &CHANGES.to_string()].map(ToString::to_string);
        self.round(run_script("pace_librouteros.py", &arguments, ROUND_WITHIN), expected).await
    }

    async fn round(
        &self,
        running: impl Future<Output = anyhow::Result<String>>,
        expected: usize,
    ) -> anyhow::Result<Round> {
        let (processor, begun) = (self.processor_seconds()?, Instant::now());
        let mut round: Round = serde_json::from_str(&running.await?)?;
        ensure!(round.done == expected, "{} done instead of {expected}", round.done);
        round.simulator_seconds = self.processor_seconds()? - processor;
        round.process_seconds = begun.elapsed().as_secs_f64();
        Ok(round)
    }

    /// Processor time that the simulator has had so far.
    fn processor_seconds(&self) -> anyhow::Result<f64> {
        let id = self.simulator.id().context("the simulator has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // Behind the name, which may hold anything: state is field 3, utime and stime are 14 and 15.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks = fields.map(str::parse::<u32>).sum::<Result<u32, _>>()?;
        Ok(f64::from(ticks) / TICKS_PER_SECOND)
    }
}

/// The unit of /proc on every Linux of the last twenty years.
const TICKS_PER_SECOND: f64 = 100.0;

fn middle(mut rounds: Vec<Round>) -> Round {
    rounds.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
    rounds.swap_remove(rounds.len() / 2)
}

fn pace(round: Round) -> Pace {
    let done = f64::from(u32::try_from(round.done).unwrap_or(u32::MAX));
    Pace {
        per_second: whole(done / round.seconds),
        seconds: (round.seconds * 10_000.0).round() / 10_000.0,
        simulator_busy_percent: whole(100.0 * round.simulator_seconds / round.process_seconds),
    }
}

fn hundredths(ratio: f64) -> f64 {
    (ratio * 100.0).round() / 100.0
}

#[expect(clippy::as_conversions, reason = "a positive figure for people; `as` saturates")]
fn whole(figure: f64) -> u64 {
    figure.round() as u64
}

/// This program is in `<target>/debug`; the release builds are beside that.
fn release_folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("asking for this program's own path")?;
    let target = own.parent().and_then(Path::parent).context("this program is not in a target directory")?;
    let release = target.join("release");
    for program in ["routeros-sim", "examples/pace"] {
        ensure!(release.join(program).is_file(), "run `make bench`: it builds the release programs first");
    }
    Ok(release)
}
