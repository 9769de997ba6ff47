//! `tawi-agent router add`: from a router that knows nothing of the agent to one that the agent serves, in one command and
//! a paste.
//!
//! It prints the script of `router_script.rs`, waits until the router lets the agent's user in, pins the certificate that it
//! shows, and only then writes it into routers.toml: settings with half a router would keep the agent from starting. It may
//! be run again at any time. Address and password stay on this device.

use std::io::{self, IsTerminal as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use routeros_api::Fingerprint;
use tawi_agent::config::{Config, Environment, Named, ROUTERS_FILE, outline_of};
use tawi_agent::doctor::{Verdict, examine_only, prove};
use tawi_agent::enrol::keeping::owner_for;
use tawi_agent::routers_file::{ProvenRouter, RoutersFileError, put as put_router};
use tawi_agent::status::ask_status;
use tawi_shared::Clock;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

use super::doctor::line_of;
use super::router_script::{Prepared, Problem as ScriptProblem, Purpose, Router, prepare, put};
use super::{USAGE, note};
use crate::{BAD_CONFIG, CANNOT_CREATE, PROBLEM, UNAVAILABLE, fail};

/// A person has to find the router's terminal and paste; whoever needs longer runs it again.
const PATIENCE_MINUTES: u64 = 10;
/// A try that comes too early is a line in the router's log.
const TRY_EVERY: Duration = Duration::from_secs(5);
/// 128 and the number of the signal, as a shell says it.
const INTERRUPTED: u8 = 130;
const USUAL_PORT: u16 = 8729;

/// What `--help` shows.
pub const EXAMPLES: &str = "\
Examples:
  sudo tawi-agent router add core 192.168.88.1 --release 7.18 --pppoe ether2
  sudo tawi-agent router add core 192.168.88.1            asks for the release: the router, or else you
  sudo tawi-agent router add core 192.168.88.2 --again    it has another address, certificate or board

Paste what it prints into the router's terminal while it waits. The password stands in it: keep it to yourself. If it is
interrupted, the same command goes on; the script may be pasted twice.

Exit codes:
  0    the agent is let in, and routers.toml names the router
  1    it is let in, and something about the router is bad
  2    an option is wrong
  69   the router did not let it in, or does not tell its release
  73   a file cannot be written
  78   the settings are wrong
  130  interrupted";

/// What is done to the list of routers.
#[derive(Subcommand)]
pub enum Command {
    /// Prepare a router for the agent, and add it to routers.toml.
    ///
    /// It prints the script to paste into the router's terminal, waits until the router lets the agent in, pins its
    /// certificate, writes routers.toml, and looks at the router as `tawi-agent doctor` does.
    #[command(after_help = EXAMPLES)]
    Add(Box<Arguments>),
}

/// Which router, and how it is added.
#[derive(Args)]
pub struct Arguments {
    /// The router's name at head office
    name: String,
    /// Its address in the site's own network
    #[arg(value_parser = parse_router_address)]
    address: Ipv4Addr,
    /// The port of api-ssl, if not 8729
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Although routers.toml names it already: correct what stands there
    #[arg(long)]
    again: bool,
    /// Do not wait: print the script and end; the same command without this goes on
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    purpose: Purpose,
}

/// Why the router is not added.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Script(#[from] ScriptProblem),
    #[error(transparent)]
    File(#[from] RoutersFileError),
    #[error(
        "{0} is a router of this site already\n  cure: look at it with tawi-agent doctor; to correct it add --again"
    )]
    Known(String),
    #[error("{0} stands in agent.toml\n  cure: correct it there, or move its table to routers.toml")]
    Elsewhere(String),
    #[error(
        "{address} did not let the agent in within {PATIENCE_MINUTES} minutes: {why}\n  cure: paste the script into the router's terminal and read what it prints; then run the same command again"
    )]
    NotLetIn { address: String, why: String },
    #[error(
        "interrupted; nothing was added\n  cure: run the same command again: the password stays, and the script may be pasted twice"
    )]
    Interrupted,
}

impl Problem {
    fn code(&self) -> u8 {
        match self {
            Self::Script(problem) => problem.code(),
            Self::File(RoutersFileError::Write { .. }) => CANNOT_CREATE,
            Self::File(RoutersFileError::Read(_)) | Self::Elsewhere(_) => BAD_CONFIG,
            Self::Known(_) => USAGE,
            Self::NotLetIn { .. } => UNAVAILABLE,
            Self::Interrupted => INTERRUPTED,
        }
    }
}

pub fn show(path: &Path, environment: &Environment, runtime: &Runtime, command: Command) -> ExitCode {
    let Command::Add(mut arguments) = command;
    match add(path, environment, runtime, &mut arguments) {
        Ok(code) => code,
        Err(problem) => fail(&problem.to_string(), problem.code()),
    }
}

fn add(
    path: &Path,
    environment: &Environment,
    runtime: &Runtime,
    arguments: &mut Arguments,
) -> Result<ExitCode, Problem> {
    let (directory, outline) = outline_of(path, environment, &arguments.name).map_err(ScriptProblem::from)?;
    let routers = directory.join(ROUTERS_FILE);
    if outline.is_some() && !arguments.again {
        return Err(Problem::Known(arguments.name.clone()));
    }
    if arguments.purpose.release.is_none() && outline.is_none() {
        arguments.purpose.release = ask_for_release();
    }
    let (address, port) = (Some(arguments.address), arguments.port);
    let router = Router { name: &arguments.name, address, port, is_believed: true };
    let prepared = prepare(path, environment, runtime, &router, &arguments.purpose)?;
    if prepared.outline.is_some() && !is_named_in(&routers, &arguments.name) {
        return Err(Problem::Elsewhere(arguments.name.clone()));
    }
    let (file, password) = prepared.password(path, &arguments.name)?;
    let named = Named::load(path, environment).map_err(ScriptProblem::from)?;
    let owner = owner_for(&named.state_directory);
    give(&file, owner)?;
    put(&arguments.purpose, &prepared.setup.script(password.reveal()))?;
    note("paste all of it into the router's terminal; the last line that it prints there is its pin");
    if arguments.no_wait {
        let typed: Vec<String> =
            std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        let again = command_again(&typed, arguments.purpose.release.as_deref(), owner.is_some());
        note(&format!("then, to pin its certificate and write routers.toml:\n  {again}"));
        return Ok(ExitCode::SUCCESS);
    }
    let address = format!("{}:{}", prepared.setup.router, prepared.setup.port);
    let waiting = wait_for(&address, prepared.setup.user.as_str(), password.reveal());
    let pin = runtime.block_on(Box::pin(waiting))?;
    note(&format!(
        "{address} lets the agent in; compare the pin with what the script printed:\n  tls_pin = \"{pin}\""
    ));
    put_router(&routers, &proven(arguments, &prepared, &file, pin), owner)?;
    note(&format!("wrote {}", routers.display()));
    Ok(look_at(path, environment, runtime, &arguments.name))
}

/// What was typed, but that it waits this time, and with the release that was asked for meanwhile.
fn command_again(typed: &[String], release: Option<&str>, is_root: bool) -> String {
    let mut words: Vec<String> = if is_root { vec!["sudo".to_owned()] } else { Vec::new() };
    words.push("tawi-agent".to_owned());
    words.extend(typed.iter().filter(|word| *word != "--no-wait").map(|word| quoted(word)));
    let is_named = |word: &String| word == "--release" || word.starts_with("--release=");
    if let Some(release) = release.filter(|_| !typed.iter().any(is_named)) {
        words.extend(["--release".to_owned(), quoted(release)]);
    }
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn proven<'r>(
    arguments: &'r Arguments,
    prepared: &'r Prepared,
    password_file: &Path,
    pin: Fingerprint,
) -> ProvenRouter<'r> {
    let (router, port) = (prepared.setup.router, prepared.setup.port);
    ProvenRouter {
        name: &arguments.name,
        address: if port == USUAL_PORT { router.to_string() } else { format!("{router}:{port}") },
        user: prepared.setup.user.as_str(),
        // A password in the table itself stays there.
        password_file: Some(prepared.shown(password_file)).filter(|_| !prepared.holds_password()),
        pin,
    }
}

fn parse_router_address(text: &str) -> Result<Ipv4Addr, String> {
    let wrong = "it is no IPv4 address\n  cure: give one without a port, such as 192.168.88.1; a port of api-ssl that is not 8729 goes into --port";
    text.parse().map_err(|_| wrong.to_owned())
}

/// The script is made for one release, and a router that the agent cannot log in to yet does not tell it.
fn ask_for_release() -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    note("which release of RouterOS does it run? (/system resource print shows it, such as 7.18)");
    let mut text = String::new();
    io::stdin().read_line(&mut text).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn is_named_in(routers: &Path, name: &str) -> bool {
    let text = std::fs::read_to_string(routers).unwrap_or_default();
    tawi_agent::routers_file::is_named(&text, name)
}

/// Root writes the password; the agent reads it.
fn give(file: &PathBuf, owner: Option<(u32, u32)>) -> Result<(), Problem> {
    let Some((user, group)) = owner else { return Ok(()) };
    // One that stands in the table itself has no file.
    match std::os::unix::fs::lchown(file, Some(user), Some(group)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(RoutersFileError::Write { path: file.clone(), source }.into())
        }
        _ => Ok(()),
    }
}

/// Tries until the router lets the agent's user in. What stands in the way is said once for each reason.
async fn wait_for(address: &str, user: &str, password: &str) -> Result<Fingerprint, Problem> {
    let until = Instant::now() + Duration::from_secs(60 * PATIENCE_MINUTES);
    let mut said = String::new();
    note(&format!("waiting for {address}, up to {PATIENCE_MINUTES} minutes; Ctrl-C ends it"));
    let trying = async {
        loop {
            match Box::pin(prove(address, user, password)).await {
                Ok(pin) => return Ok(pin),
                Err(why) if Instant::now() >= until => {
                    return Err(Problem::NotLetIn { address: address.to_owned(), why });
                }
                Err(why) if why == said => {}
                Err(why) => {
                    note(&format!("not yet: {why}"));
                    said = why;
                }
            }
            sleep(TRY_EVERY).await;
        }
    };
    tokio::select! {
        outcome = trying => outcome,
        _ = tokio::signal::ctrl_c() => Err(Problem::Interrupted),
    }
}

/// What the doctor says of it alone, and what comes next.
fn look_at(path: &Path, environment: &Environment, runtime: &Runtime, name: &str) -> ExitCode {
    let config = match Config::load(path, environment) {
        Ok(config) => config,
        Err(error) => {
            note(&format!("the router is added, and the settings are not right yet: {error}"));
            return ExitCode::SUCCESS;
        }
    };
    let Some(router) = config.routers.iter().find(|router| router.name == name) else {
        return ExitCode::SUCCESS;
    };
    let findings = runtime.block_on(Box::pin(examine_only(&config, router, Clock::system())));
    let is_coloured = io::stderr().is_terminal() && !environment.is_colour_unwanted;
    let shown: String = findings.iter().map(|finding| line_of(finding, is_coloured)).collect();
    note(&format!("router {name}\n{shown}"));
    let is_running = runtime.block_on(ask_status(&config.status_socket())).is_ok();
    note(if is_running {
        "next: sudo systemctl restart tawi-agent"
    } else {
        "next: sudo systemctl enable --now tawi-agent"
    });
    let is_bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
    if is_bad { ExitCode::from(PROBLEM) } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_goes_on_is_the_one_that_was_typed_but_waits() {
        let check = |typed: &str, release: Option<&str>, is_root: bool, expected: &str| {
            let typed: Vec<String> = typed.split('|').map(str::to_owned).collect();
            assert_eq!(command_again(&typed, release, is_root), expected);
        };
        let typed = "router|add|core|192.168.88.1|--no-wait|--release|7.18|--pppoe|ether 2";
        let again = "sudo tawi-agent router add core 192.168.88.1 --release 7.18 --pppoe 'ether 2'";
        check(typed, Some("7.18"), true, again);
        let typed = "--config|./agent.toml|router|add|core|192.168.88.1|--no-wait";
        let again = "tawi-agent --config ./agent.toml router add core 192.168.88.1 --release 7.18";
        check(typed, Some("7.18"), false, again);
        check(
            "router|add|core|10.0.0.1|--release=7|--no-wait",
            Some("7"),
            false,
            "tawi-agent router add core 10.0.0.1 --release=7",
        );
        check("router|add|a'b|--no-wait", None, false, "tawi-agent router add 'a'\\''b'");
    }
}
