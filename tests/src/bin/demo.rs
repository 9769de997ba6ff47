//! `demo`: a whole ISP on this machine. Alone it goes on until Ctrl-C; with `--once` it plays the fixed story and exits.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use tawi_shared::IdSource;
use tawi_tests::life::Life;
use tawi_tests::stories;
use tawi_tests::world::{Plan, World};
use tokio::signal::unix::{SignalKind, signal};

/// Run a whole ISP on this machine: controller, three sites with agents and simulated routers, a simulated Daraja.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  \
        demo                          go on until Ctrl-C; the dashboard's address and sign-in are printed\n  \
        demo --once                   play the fixed story; exit 1 if a part fails\n  \
        demo --once --json            the same, with JSON on standard output\n  \
        demo --once --payments 50     the same with fewer payments in part 5"
)]
struct Arguments {
    /// Play the fixed story and exit
    #[arg(long)]
    once: bool,
    /// Print the story's result as JSON
    #[arg(long, requires = "once")]
    json: bool,
    /// Payments in part 5 of the story
    #[arg(long, default_value_t = 200, requires = "once")]
    payments: u32,
    /// Customers of the living demo
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=900))]
    customers: u32,
    /// Milliseconds that each router command takes
    #[arg(long, default_value_t = 5)]
    latency_ms: u64,
    /// Repeat a life: who pays, refuses and is cut off when comes from this number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep configuration, databases and logs in this directory instead of removing them
    #[arg(long, value_name = "DIRECTORY")]
    keep: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let is_kept = arguments.keep.is_some();
    let directory = arguments
        .keep
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("tawi-demo-{}", IdSource::system().hex(4))));
    let plan = Plan { router_latency_ms: arguments.latency_ms, rule_17: !arguments.once, ..Plan::default() };
    let mut say = progress;
    let mut world = World::start(&directory, &plan, &mut say).await?;
    if is_kept {
        world.keep_directory();
    }
    let outcome = tokio::select! {
        outcome = act(&arguments, &mut world) => outcome,
        interrupted = asked_to_end() => {
            interrupted.context("listening for Ctrl-C")?;
            progress("stopping");
            // A story that was interrupted has proven nothing; a life ends when it is told to.
            Ok(!arguments.once)
        }
    };
    if outcome.is_err() {
        world.keep_directory();
        eprintln!("demo: configuration and logs are left in {}", world.directory().display());
    }
    let stopped = world.stop().await;
    outcome.and_then(|passed| stopped.map(|()| passed))
}

/// Ctrl-C, or the polite end that a script or a closing session sends.
async fn asked_to_end() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

async fn act(arguments: &Arguments, world: &mut World) -> anyhow::Result<bool> {
    if arguments.once {
        let report = stories::play(world, arguments.payments, &mut progress).await?;
        if !report.passed {
            world.keep_directory();
            eprintln!("demo: configuration and logs are left in {}", world.directory().display());
        }
        if arguments.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        }
        return Ok(report.passed);
    }
    let mut life = Life::begin(world, arguments.customers, arguments.seed, &mut progress).await?;
    let password = sign_in(world).await?;
    println!(
        "\n  Dashboard  {}\n  Sign in    owner / {password}\n\n  Ctrl-C ends everything.\n",
        world.dashboard()
    );
    loop {
        world.ensure_running()?;
        life.step(world, &mut progress).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn sign_in(world: &World) -> anyhow::Result<String> {
    let answer = world.command(&["staff", "add", "owner", "--role", "owner", "--json"]).await?;
    let password = answer.get("password").and_then(serde_json::Value::as_str);
    Ok(password.context("staff add prints a generated password")?.to_owned())
}

/// Progress goes to standard error, so that standard output holds only the result.
fn progress(step: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("\u{1b}[2m·\u{1b}[0m {step}");
    } else {
        eprintln!("· {step}");
    }
}
