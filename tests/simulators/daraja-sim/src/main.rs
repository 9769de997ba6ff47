//! The program around the simulator: reads its command line, prints one ready line, serves until told to end.
//!
//! Exit codes: 0 after SIGINT or SIGTERM, 1 when it cannot listen, 2 for a wrong command line, 78 for a
//! secret or certificate file that cannot be used. Logs go to standard error, the ready line alone to
//! standard output.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use daraja_sim::{
    DEMO_CONSUMER_KEY, DEMO_CONSUMER_SECRET, DEMO_OPERATOR_NAME, DEMO_OPERATOR_PASSWORD, DEMO_PASSKEY,
    ExpiresInForm, Secret, Settings, ShortCode, Simulator,
};
use tokio::signal::unix::{SignalKind, signal};

/// sysexits.h: a configuration that cannot be used.
const EXIT_CONFIG: u8 = 78;

const EXAMPLES: &str = "\
Examples:
  daraja-sim
      Daraja on http://127.0.0.1:4010, control on http://127.0.0.1:4011, with key demo-key,
      secret demo-secret, short code 174379 and passkey demo-passkey.
  daraja-sim --listen 127.0.0.1:0 --control 127.0.0.1:0
      On free ports; the ready line says which.
  daraja-sim --short-code 600966 --short-code 174379 --passkey-file passkey.txt --no-rule-17
      Two paybills, for a load test.
  curl -s -X PUT http://127.0.0.1:4011/phones/0712345678 -d '{\"behaviour\":\"refuse\",\"delay_ms\":2000}'
      A customer who presses cancel after two seconds.

Ready line, on standard output:
  ready daraja=http://127.0.0.1:4010 control=http://127.0.0.1:4011";

/// A simulated Daraja, Safaricom's M-Pesa API, with phones and misbehaviour on request.
#[derive(Debug, Parser)]
#[command(name = "daraja-sim", after_help = EXAMPLES)]
struct Arguments {
    /// Where Daraja listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4010")]
    listen: SocketAddr,
    /// Where the control port listens. It has no password: keep it on loopback.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4011")]
    control: SocketAddr,
    /// The consumer key of the OAuth call.
    #[arg(long, value_name = "KEY", default_value = DEMO_CONSUMER_KEY)]
    consumer_key: String,
    /// A file with the consumer secret [default secret: demo-secret].
    #[arg(long, value_name = "FILE")]
    consumer_secret_file: Option<PathBuf>,
    /// A paybill of the merchant; may be given several times.
    #[arg(long, value_name = "DIGITS", default_value = "174379", value_parser = ShortCode::parse)]
    short_code: Vec<ShortCode>,
    /// The merchant's till, for CustomerBuyGoodsOnline. Its head office is the last short code that registered addresses.
    #[arg(long, value_name = "DIGITS", value_parser = ShortCode::parse)]
    till: Option<ShortCode>,
    /// A file with the passkey of the short codes [default passkey: demo-passkey].
    #[arg(long, value_name = "FILE")]
    passkey_file: Option<PathBuf>,
    /// The user name of the merchant's API operator.
    #[arg(long, value_name = "NAME", default_value = DEMO_OPERATOR_NAME)]
    initiator_name: String,
    /// A file with its password [default password: Demo#Operator1], which clients encrypt to the certificate
    /// data/operator_certificate.pem of this crate.
    #[arg(long, value_name = "FILE")]
    initiator_password_file: Option<PathBuf>,
    /// A file with certificates (PEM) that https callback listeners may be signed by.
    #[arg(long, value_name = "FILE")]
    callback_roots_file: Option<PathBuf>,
    /// How long a token lives.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    token_lifetime_seconds: u64,
    /// How expires_in is written.
    #[arg(long, value_name = "FORM", default_value = "text")]
    expires_in: ExpiresIn,
    /// Let the same phone pay the same amount again within two minutes.
    #[arg(long)]
    no_rule_17: bool,
    /// Never ask the registered validation URL, as before Safaricom switches validation on.
    #[arg(long)]
    no_validation: bool,
    /// Refuse STK timestamps that are not Nairobi time.
    #[arg(long)]
    nairobi_timestamps_only: bool,
    /// Where receipts and ids come from; without it, each start has others.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How much is logged: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: tracing::Level,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ExpiresIn {
    Text,
    Number,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_max_level(arguments.log).with_writer(std::io::stderr).init();
    let settings = match settings(&arguments) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("daraja-sim: {error:#}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match serve(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("daraja-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn settings(arguments: &Arguments) -> anyhow::Result<Settings> {
    let consumer_secret = read_secret(arguments.consumer_secret_file.as_deref(), DEMO_CONSUMER_SECRET)?;
    let passkey = read_secret(arguments.passkey_file.as_deref(), DEMO_PASSKEY)?;
    let operator_password =
        read_secret(arguments.initiator_password_file.as_deref(), DEMO_OPERATOR_PASSWORD)?;
    let callback_roots_pem = arguments
        .callback_roots_file
        .as_deref()
        .map(|file| std::fs::read(file).with_context(|| format!("cannot read {}", file.display())))
        .transpose()?;
    Ok(Settings {
        listen: arguments.listen,
        control: arguments.control,
        consumer_key: arguments.consumer_key.clone(),
        consumer_secret,
        short_codes: arguments.short_code.clone(),
        till_number: arguments.till.clone(),
        passkey,
        operator_name: arguments.initiator_name.clone(),
        operator_password,
        token_lifetime: Duration::from_secs(arguments.token_lifetime_seconds),
        expires_in: match arguments.expires_in {
            ExpiresIn::Text => ExpiresInForm::Text,
            ExpiresIn::Number => ExpiresInForm::Number,
        },
        rule_17: !arguments.no_rule_17,
        validation: !arguments.no_validation,
        timestamp_must_be_nairobi: arguments.nairobi_timestamps_only,
        callback_roots_pem,
        // A restarted simulator must not issue the receipts of the last run again: whoever keeps them
        // would rightly take them for repeats.
        seed: arguments.seed.unwrap_or_else(Settings::fresh_seed),
        ..Settings::default()
    })
}

fn read_secret(file: Option<&Path>, usual: &str) -> anyhow::Result<Secret> {
    let Some(file) = file else { return Ok(Secret::new(usual)) };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let secret = text.trim();
    if secret.is_empty() {
        bail!("{} is empty", file.display());
    }
    Ok(Secret::new(secret))
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    if !settings.control.ip().is_loopback() {
        tracing::warn!("the control port has no password and is not on loopback");
    }
    let simulator = Simulator::start(settings).await?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "ready daraja={} control={}", simulator.base_url(), simulator.control_url())
        .and_then(|()| output.flush())
        .context("cannot print the ready line")?;
    drop(output);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    simulator.stop().await;
    Ok(())
}
