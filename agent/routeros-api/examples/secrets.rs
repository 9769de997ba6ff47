//! Prints the PPP secrets of a router in a table, without their passwords.
//!
//! The router's own password comes from a file, never from the command line or the environment, where
//! other processes could read it.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use clap::Parser;
use routeros_api::menu::PppSecret;
use routeros_api::{Client, Fingerprint, Options, Secret, TlsTrust, Transport};

const EXAMPLES: &str = "\
Examples:
  secrets 192.168.88.1 --user api --password-file /etc/router-password --tls-pin 3f:a1:…
  secrets router.example --password-file password --tls-ca ca.pem
  secrets 127.0.0.1:8728          # plain TCP, user admin, no password: a fresh router or a simulator";

/// Prints the PPP secrets of a router in a table.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
struct Arguments {
    /// Host or address, with a port if it is not 8728 (plain) or 8729 (TLS)
    address: String,
    /// The router's user
    #[arg(long, default_value = "admin")]
    user: String,
    /// File that holds the password; a line break at its end is not part of it
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Use TLS and believe only the certificate with this SHA-256 (64 hexadecimal digits)
    #[arg(long, value_name = "SHA256", conflicts_with = "tls_ca")]
    tls_pin: Option<String>,
    /// Use TLS and believe certificates signed by this authority (PEM file)
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match print_secrets(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("secrets: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn print_secrets(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let transport = match (&arguments.tls_pin, &arguments.tls_ca) {
        (Some(pin), _) => Transport::Tls(TlsTrust::Pin(Fingerprint::parse(pin)?)),
        (None, Some(file)) => Transport::Tls(TlsTrust::ca_pem(&read(file)?)?),
        (None, None) => Transport::Plain,
    };
    let password = match &arguments.password_file {
        Some(file) => password_in(&read(file)?),
        None => Secret::default(),
    };
    let client =
        Client::connect(Options::new(arguments.address, transport, arguments.user, password)).await?;
    let secrets = client.menu::<PppSecret>().print().await?;
    match std::io::stdout().write_all(table(&secrets).as_bytes()) {
        // `| head` has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn read(file: &PathBuf) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

fn password_in(file: &[u8]) -> Secret {
    let line = file.strip_suffix(b"\n").unwrap_or(file);
    Secret::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

const HEADINGS: [&str; 6] = ["NAME", "SERVICE", "PROFILE", "ADDRESS", "STATE", "COMMENT"];

fn table(secrets: &[PppSecret]) -> String {
    let rows: Vec<[String; 6]> = secrets.iter().map(cells).collect();
    let headings = HEADINGS.map(str::to_owned);
    let mut widths = headings.clone().map(|cell| cell.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String; 6]| {
        let padded: Vec<String> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    std::iter::once(&headings).chain(&rows).map(line).collect()
}

fn cells(secret: &PppSecret) -> [String; 6] {
    let state = match secret.disabled {
        Some(true) => "disabled",
        Some(false) => "enabled",
        None => "",
    };
    [
        shown(&secret.name),
        shown(&secret.service),
        shown(&secret.profile),
        shown(&secret.remote_address),
        state.to_owned(),
        shown(&secret.comment),
    ]
}

/// Bytes for people: control characters would break the table, other character sets cannot be known.
fn shown(value: &Option<Bytes>) -> String {
    let text = String::from_utf8_lossy(value.as_deref().unwrap_or_default());
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
