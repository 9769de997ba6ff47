//! The program `routeros-sim`: arguments, one line when ready, and signals around the library.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use routeros_sim::{HotspotCounting, Release, Settings, Simulator};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

const EXAMPLES: &str = "\
Examples:
  A router on the usual port, controlled over HTTP:
    routeros-sim --control 127.0.0.1:9080
  A RouterOS 7.9 with 3000 secrets that someone else made, 40 ms away:
    routeros-sim --release 7.9 --secrets 3000 --latency-ms 40
  Any free ports, for a script that reads the ready line:
    routeros-sim --listen 127.0.0.1:0 --tls-listen 127.0.0.1:0 --control 127.0.0.1:0
  A subscriber dials in:
    curl -d '{\"name\":\"cpe-1\",\"service\":\"pppoe\",\"username\":\"plot1\",\"password\":\"w\"}' http://127.0.0.1:9080/devices
  A house without a login behind a RouterOS 6 with a licence of level 4:
    routeros-sim --release 6.49.10 --license-level 4 --control 127.0.0.1:9080
    curl -d '{\"name\":\"house\",\"service\":\"ipoe\",\"address\":\"10.9.0.5\"}' http://127.0.0.1:9080/devices
  The board burns down and another one takes its place:
    curl -d '{\"down_ms\":3000}' http://127.0.0.1:9080/replace

When ready it prints one line: ready api=… [tls=… tls_pin=…] [control=…]
It serves until SIGINT or SIGTERM. Log level: --log debug.";

/// A simulated MikroTik router: the RouterOS API on real sockets, subscribers and faults on request.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Arguments {
    /// Where the plain API listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8728")]
    listen: SocketAddr,
    /// Where the API over TLS 1.2 listens, with a new self-signed certificate
    #[arg(long, value_name = "ADDR")]
    tls_listen: Option<SocketAddr>,
    /// Where the HTTP control port listens
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
    /// The RouterOS release to be, 6.43 or later
    #[arg(long, default_value = "7.18")]
    release: Release,
    /// The user in group full
    #[arg(long, default_value = "admin")]
    user: String,
    /// That user's password: of a simulated router, so no secret
    #[arg(long, value_name = "P", default_value = "")]
    password: String,
    /// PPP secrets of someone else that are there from the start
    #[arg(long, value_name = "N", default_value_t = 0)]
    secrets: usize,
    /// Milliseconds that every command is under way
    #[arg(long, value_name = "N", default_value_t = 0)]
    latency_ms: u64,
    /// The router's name; its serial number follows from it
    #[arg(long, value_name = "NAME", default_value = "MikroTik")]
    identity: String,
    /// The licence's level, which limits sessions: 0, 1, 3, 4, 5, or 6 for no limit
    #[arg(long, value_name = "LEVEL", default_value_t = 6)]
    license_level: u8,
    /// When counters of hotspot users move
    #[arg(long, value_name = "WHEN", default_value = "at-logout")]
    hotspot_counters: Counters,
    /// What to log on standard error, as a tracing filter
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Counters {
    /// When the session ends
    AtLogout,
    /// With the traffic
    Live,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("routeros-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&arguments.log).context("--log is no tracing filter")?)
        .with_writer(std::io::stderr)
        .init();
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let simulator = Simulator::start(Settings {
        listen: arguments.listen,
        tls_listen: arguments.tls_listen,
        control: arguments.control,
        release: arguments.release,
        user: arguments.user,
        password: arguments.password,
        foreign_secrets: arguments.secrets,
        latency_ms: arguments.latency_ms,
        identity: arguments.identity,
        license_level: arguments.license_level,
        hotspot_counting: match arguments.hotspot_counters {
            Counters::AtLogout => HotspotCounting::AtLogout,
            Counters::Live => HotspotCounting::Live,
        },
    })
    .await?;
    simulator.router().set_license_level(arguments.license_level)?;
    print_ready(&simulator).context("cannot write the ready line")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    simulator.stop().await;
    Ok(())
}

/// The one line that a script waits for.
fn print_ready(simulator: &Simulator) -> std::io::Result<()> {
    let mut line = format!("ready api={}", simulator.api_address());
    if let (Some(address), Some(pin)) = (simulator.tls_address(), simulator.tls_pin()) {
        line.push_str(&format!(" tls={address} tls_pin={pin}"));
    }
    if let Some(address) = simulator.control_address() {
        line.push_str(&format!(" control={address}"));
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
