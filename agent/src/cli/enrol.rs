//! `tawi-agent enrol`: a ticket of head office in, an identity in the state directory out.
//!
//! The ticket comes from a file or from standard input and never from the command line, which every user of the machine
//! can read. It may be run again with the same ticket whenever its end was not seen. A device that is another site already
//! stays that one unless somebody says otherwise.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use tawi_agent::api_log::files::shown;
use tawi_agent::clock::{KeptTime, TrustedClock};
use tawi_agent::config::{Config, ConfigError, Environment, Identity, KEY_FILE, Named};
use tawi_agent::enrol::answer::Issued;
use tawi_agent::enrol::keeping::{KeepError, Next, Place, read_key};
use tawi_agent::enrol::key::AgentKey;
use tawi_agent::enrol::{EnrolError, enrol, ticket_in};
use tawi_agent::outbox::owner::{OwnerError, forget_owner, owner_of};
use tawi_agent::rights::cure_of;
use tawi_agent::status::ask_status;
use tawi_shared::enrolment::{BadTicket, TICKET_CHARACTERS, Ticket};
use tawi_shared::{Clock, SiteId};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use super::{USAGE, note};
use crate::{BAD_CONFIG, CANNOT_CREATE, PROBLEM, TRY_LATER, UNAVAILABLE, fail, print};

/// A ticket with the words that head office puts around it.
const INPUT_BYTES: usize = 16 * 1_024;
/// Stores of one former site that are kept aside: a device changes sites a few times in its life.
const ASIDES: u32 = 1_000;

/// What `--help` shows.
pub const EXAMPLES: &str = "\
Examples:
  echo tawi1.… | sudo tawi-agent enrol       the line that `tawi-controller site add` shows
  sudo tawi-agent enrol                      asks for it
  sudo tawi-agent enrol --file nyeri-01.ticket
                                             a file, which is overwritten and removed once it is used up
  sudo tawi-agent enrol --replace            make a device of another site out of this one

If the answer was lost, run it again with the same ticket: that harms nothing.

Exit codes:
  0   this device is the site of the ticket
  1   head office refuses, or this device is another site already
  2   wrong use, or no ticket
  69  head office is not reached, or its answer was lost
  73  the identity cannot be written
  75  another enrolment or renewal is at work
  78  the settings are wrong";

/// How to enrol.
#[derive(Args)]
pub struct Arguments {
    /// Read the ticket from this file, and remove it afterwards; left out, from standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Even if this device is another site already; what it has not told of that one yet is put aside
    #[arg(long)]
    replace: bool,
    /// With a new key, even if the device has one for this site
    #[arg(long)]
    new_key: bool,
}

/// Why this device is not the site of the ticket.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Ticket(#[from] BadTicket),
    #[error(
        "{0}: the ticket cannot be read: {1}\n  cure: name the file that head office made, or paste the ticket into: sudo tawi-agent enrol"
    )]
    Input(String, io::Error),
    #[error(
        "this device is {0}, and the ticket is for {1}\n  cure: if it shall become {1}, stop the agent and add --replace; {0} is without an agent then"
    )]
    AnotherSite(SiteId, SiteId),
    #[error(
        "agent.toml names site = \"{0}\", and the ticket is for {1}\n  cure: take site out of agent.toml, or ask head office for a ticket of {0}"
    )]
    NamedOtherwise(SiteId, SiteId),
    #[error(
        "the agent goes by {}, which agent.toml names or which lies beside it, and head office would take what it issues for this ticket alone\n  cure: take ca_file, certificate_file and key_file out of agent.toml, or move agent.pem, agent.key and ca.pem beside it away; then run this again with the same ticket", .0.display()
    )]
    ByHand(PathBuf),
    #[error("the agent of {0} runs\n  cure: systemctl stop tawi-agent; then run this again")]
    Running(SiteId),
    #[error("what {site} has not told yet cannot be put aside: {source}\n  cure: {}", cure_of(source))]
    Aside {
        site: SiteId,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Owner(#[from] OwnerError),
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error(transparent)]
    Enrol(#[from] EnrolError),
}

impl Problem {
    fn code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::NamedOtherwise(..) | Self::ByHand(_) => BAD_CONFIG,
            Self::Ticket(_) | Self::Input(..) => USAGE,
            Self::AnotherSite(..) | Self::Running(_) => PROBLEM,
            Self::Enrol(EnrolError::Refused { .. } | EnrolError::Bad(_) | EnrolError::Key(_)) => PROBLEM,
            Self::Enrol(_) => UNAVAILABLE,
            Self::Keep(KeepError::Busy(_)) => TRY_LATER,
            Self::Keep(_) | Self::Aside { .. } | Self::Owner(_) => CANNOT_CREATE,
        }
    }
}

pub fn show(path: &Path, environment: &Environment, runtime: &Runtime, arguments: &Arguments) -> ExitCode {
    match become_site(path, environment, runtime, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem.to_string(), problem.code()),
    }
}

fn become_site(
    path: &Path,
    environment: &Environment,
    runtime: &Runtime,
    arguments: &Arguments,
) -> Result<(), Problem> {
    let named = Named::load(path, environment)?;
    let state_directory = &named.state_directory;
    let ticket = read_ticket(arguments.file.as_deref())?;
    if let Some(site) = named.site.as_ref().filter(|site| **site != ticket.site) {
        return Err(Problem::NamedOtherwise(site.clone(), ticket.site));
    }
    // The certificate of those files would be revoked, and the agent would go on with it.
    if let Some(file) = &named.by_hand {
        return Err(Problem::ByHand(file.clone()));
    }
    let place = Place::take(state_directory)?;
    // One that cannot be read is replaced: that is what the error of everything else says to do.
    let former = Identity::load(state_directory).ok().flatten();
    let former_site = former.as_ref().map(|former| former.site.clone());
    let is_another = |site: &SiteId| *site != ticket.site;
    // The store knows best whose it is: an identity can be damaged, or beside settings that name another site.
    let stranger = owner_of(state_directory)?.or_else(|| former_site.clone()).filter(is_another);
    let another = former_site.filter(is_another).or_else(|| stranger.clone());
    let is_running = runtime.block_on(ask_status(&state_directory.join("status.sock"))).is_ok();
    if let Some(another) = &another {
        if !arguments.replace {
            return Err(Problem::AnotherSite(another.clone(), ticket.site));
        }
        if is_running {
            return Err(Problem::Running(another.clone()));
        }
    }
    let key =
        key_for(&place, former.as_ref().filter(|former| !is_another(&former.site) && !arguments.new_key))?;
    note(&format!("making this device {}", ticket.site));
    let clock = TrustedClock::new(Clock::system(), KeptTime::default());
    let issued = runtime.block_on(Box::pin(enrol(&ticket, &key, clock, named.proxy.as_ref(), note)))?;
    if let Some(stranger) = stranger {
        put_aside(state_directory, &stranger).map_err(|source| Problem::Aside { site: stranger, source })?;
    }
    place.keep(&Next { site: &ticket.site, key: &key, issued: &issued })?;
    if let Some(file) = &arguments.file
        && let Err(error) = wipe(file)
    {
        let file = file.display();
        note(&format!("{file}: it is used up and cannot be removed: {error}\n  cure: shred -u {file}"));
    }
    print(&what_comes_next(path, environment, &named, &ticket.site, &issued, is_running));
    Ok(())
}

/// The key of a try whose answer was lost, or the one that this site has, or a new one, which is on flash before anybody
/// hears of it.
fn key_for(place: &Place, former: Option<&Identity>) -> Result<AgentKey, Problem> {
    if let Some(key) = place.pending_key()? {
        return Ok(key);
    }
    if let Some(former) = former
        && let Some(key) = read_key(&former.file(KEY_FILE))?
    {
        return Ok(key);
    }
    let key = AgentKey::generate().map_err(KeepError::from)?;
    place.keep_pending(&key)?;
    Ok(key)
}

fn read_ticket(file: Option<&Path>) -> Result<Ticket, Problem> {
    let text = match file {
        Some(file) => OpenOptions::new()
            .read(true)
            .open(file)
            .and_then(read_all)
            .map_err(|error| Problem::Input(file.display().to_string(), error))?,
        None if io::stdin().is_terminal() => return ask_for_ticket(),
        None => read_all(io::stdin().lock())
            .map_err(|error| Problem::Input("standard input".to_owned(), error))?,
    };
    Ok(ticket_in(&text)?)
}

fn read_all(from: impl io::Read) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(INPUT_BYTES));
    let limit = u64::try_from(INPUT_BYTES).unwrap_or(u64::MAX);
    from.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

/// From a terminal, which may break a long line: an empty line ends it.
fn ask_for_ticket() -> Result<Ticket, Problem> {
    note("paste the ticket that head office shows (it begins with tawi1.), and press Enter:");
    let mut text = Zeroizing::new(String::with_capacity(INPUT_BYTES));
    loop {
        let before = text.len();
        let read = io::stdin().lock().read_line(&mut text);
        read.map_err(|error| Problem::Input("standard input".to_owned(), error))?;
        let is_over = text.get(before..).is_none_or(|line| line.trim().is_empty());
        match ticket_in(&text) {
            Err(BadTicket::Damaged) if !is_over && text.len() < TICKET_CHARACTERS => {
                note("more of it, or an empty line if that was all:");
            }
            outcome => return Ok(outcome?),
        }
    }
}

/// Overwrites a file and removes it, with the link that leads to it. What flash keeps of it below is worth nothing: the token is
/// used up. What is no file keeps none, and names that the system gives, such as `/dev/stdin`, are not ours to take away, nor
/// what was led into them.
fn wipe(file: &Path) -> io::Result<()> {
    let is_of_system = ["/dev", "/proc"].iter().any(|place| file.starts_with(place));
    if is_of_system || !std::fs::metadata(file)?.is_file() {
        return Ok(());
    }
    let target = std::fs::canonicalize(file)?;
    let mut open = OpenOptions::new().write(true).open(&target)?;
    let length = usize::try_from(open.metadata()?.len()).unwrap_or(INPUT_BYTES).min(INPUT_BYTES);
    open.write_all(&vec![b'0'; length])?;
    open.sync_all()?;
    std::fs::remove_file(&target)?;
    match std::fs::symlink_metadata(file) {
        Ok(left) if left.is_symlink() => std::fs::remove_file(file),
        _ => Ok(()),
    }
}

/// The store of the former site: its lines are not this one's, and what it has not told is not for this one's office. What
/// was put aside before stays: only a person knows whether somebody still wants it.
fn put_aside(state_directory: &Path, former: &SiteId) -> io::Result<()> {
    for name in ["store", "store.new", "store.old"] {
        let path = state_directory.join(name);
        if path.symlink_metadata().is_ok() {
            std::fs::rename(&path, free_name(state_directory, &format!("{name}.of-{former}"))?)?;
        }
    }
    // On flash before anything says that the next store is another's.
    File::open(state_directory)?.sync_all()?;
    forget_owner(state_directory)
}

/// This name, or the next with a number that nothing has yet.
fn free_name(directory: &Path, name: &str) -> io::Result<PathBuf> {
    let numbered = (2..=ASIDES).map(|number| format!("{name}-{number}"));
    for name in iter::once(name.to_owned()).chain(numbered) {
        let path = directory.join(name);
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("{ASIDES} of {name} are there; keep them elsewhere"),
    ))
}

fn what_comes_next(
    path: &Path,
    environment: &Environment,
    named: &Named,
    site: &SiteId,
    issued: &Issued,
    is_running: bool,
) -> String {
    let until = shown(issued.not_after);
    let mut text =
        format!("This device is {site}. Its certificate is good until {until}; the agent renews it.\n");
    let mut next = Vec::new();
    match Config::load(path, environment) {
        Ok(config) => {
            if named.has_addresses {
                text += "agent.toml names where head office is, and that wins over the ticket.\n";
            }
            if config.routers.is_empty() {
                next.push("sudo tawi-agent router add core 192.168.88.1");
            }
        }
        Err(error) => text += &format!("BUT the settings are not right yet: {error}\n"),
    }
    next.push(if is_running {
        "sudo systemctl restart tawi-agent"
    } else {
        "sudo systemctl enable --now tawi-agent"
    });
    next.push("sudo tawi-agent doctor");
    text + "Next:\n  " + &next.join("\n  ") + "\n"
}
