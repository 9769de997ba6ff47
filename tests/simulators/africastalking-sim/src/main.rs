//! The program around the simulator: reads its command line, prints one ready line, serves until told to end.
//!
//! Exit codes: 0 after SIGINT or SIGTERM, 1 when it cannot listen, 2 for a wrong command line. Logs go to standard error, the
//! ready line alone to standard output.

use std::io::Write;
use std::net::SocketAddr;

use africastalking_sim::{DEMO_API_KEY, DEMO_USERNAME, Settings, Simulator};
use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

const EXAMPLES: &str = "\
Examples:
  africastalking-sim
      The API on http://127.0.0.1:4020, control on http://127.0.0.1:4021, with user name sandbox and key demo-key.
  curl -s -X PUT http://127.0.0.1:4021/report-url -H 'content-type: application/json' \\
      -d '{\"url\":\"http://127.0.0.1:8080/callbacks/sms/SECRET\"}'
      Delivery reports go there; `tawi-controller sms doctor` says which.
  curl -s -X PUT http://127.0.0.1:4021/faults -H 'content-type: application/json' -d '{\"lose_answer_next\":1}'
      The next text is taken, and its answer is lost.

Ready line, on standard output:
  ready africastalking=http://127.0.0.1:4020 control=http://127.0.0.1:4021";

/// A simulated Africa's Talking, with delivery reports and misbehaviour on request.
#[derive(Debug, Parser)]
#[command(name = "africastalking-sim", after_help = EXAMPLES)]
struct Arguments {
    /// Where the API listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4020")]
    listen: SocketAddr,
    /// Where the control port listens. It has no password: keep it on loopback.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4021")]
    control: SocketAddr,
    /// The user name of the app.
    #[arg(long, value_name = "NAME", default_value = DEMO_USERNAME)]
    username: String,
    /// How much is logged: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: tracing::Level,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_max_level(arguments.log).with_writer(std::io::stderr).init();
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    if !arguments.control.ip().is_loopback() {
        tracing::warn!("the control port has no password and is not on loopback");
    }
    let settings = Settings {
        listen: arguments.listen,
        control: arguments.control,
        username: arguments.username,
        api_key: DEMO_API_KEY.to_owned(),
        report_url: None,
    };
    let simulator = Simulator::start(settings).await?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "ready africastalking={} control={}", simulator.base_url(), simulator.control_url())
        .and_then(|()| output.flush())
        .context("cannot print the ready line")?;
    drop(output);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
