//! The command line of the agent.
//!
//! Reads the settings, sets up logging and the one crypto provider, and hands over to `run`, `status` or `doctor`.
//! Exit codes are those of sysexits.h where there is one; `--help` lists them.

mod cli;

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tawi_agent::api_log::files::FREE_BYTES;
use tawi_agent::api_log::show::{FOLLOW_EVERY, Wanted, parse_ago, print_from};
use tawi_agent::config::{Config, ConfigError, DEFAULT_PATH, Environment};
use tawi_agent::doctor;
use tawi_agent::health::{CURE_OF_SPACE, RouterStatus, Status, spoken};
use tawi_agent::outbox::free_bytes;
use tawi_agent::rights::cure_of;
use tawi_agent::serve::{BAD_CONFIG, CANNOT_CREATE, PROBLEM, TRY_LATER, serve};
use tawi_agent::status::{AskError, ask_log, ask_rebuild, ask_release, ask_status};
use tawi_agent::trouble::BOARD;
use tawi_agent::upgrade::Build;
use tawi_shared::{Clock, UnixMillis, counted};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// EX_UNAVAILABLE: the agent does not run, or does not answer.
const UNAVAILABLE: u8 = 69;

/// One heap for all threads; large pieces are mapped by themselves and given back, and so is the end of the heap. Small
/// pieces are joined as soon as they are free (no lists of them, whether for each thread or for all): a site's prints leave
/// many, and what lies between them could not be given back.
const ONE_HEAP: [(&str, &str); 5] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "65536"),
    ("MALLOC_TRIM_THRESHOLD_", "65536"),
    ("MALLOC_TOP_PAD_", "16384"),
    ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"),
];

const EXAMPLES: &str = "\
Examples:
  echo tawi1.… | sudo tawi-agent enrol           make this device the site of head office's ticket
  sudo tawi-agent router add core 192.168.88.1   prepare a router and serve it
  tawi-agent doctor                              look at everything, with a cure for what is wrong
  tawi-agent status                              how the running agent stands
  tawi-agent status --json | jq .state           the same for programs
  tawi-agent pin 192.168.88.1                    the fingerprint to put into router.tls_pin
  tawi-agent router-script --router core --release 7.18 --router-address 192.168.88.1 --pppoe ether2
                                                 the script that prepares a router; --help lists its options
  tawi-agent release core                        let cuts go ahead that the guard of router core holds
  tawi-agent log --since 2h --line plot17        what was written to routers for a line, whether the agent runs or not
  tawi-agent rebuild --router core               make everything anew on a router that was replaced or reset
  tawi-agent run --config ./agent.toml           run in the foreground

Exit codes:
  0   all is well
  1   a problem was found
  2   wrong use
  69  the agent does not run or does not answer
  73  the state directory or a socket cannot be made
  75  another agent runs on the same state directory
  78  the settings are wrong; the message names the key and the cure";

const RUN_EXAMPLES: &str = "\
Examples:
  sudo systemctl enable --now tawi-agent   as a service, which is the usual way
  tawi-agent run --config ./agent.toml     in the foreground

Exit codes:
  0   it was asked to end
  1   it cannot go on
  73  the state directory or a socket cannot be made
  75  another agent runs on the same state directory
  78  the settings are wrong; the message names the key and the cure";

const STATUS_EXAMPLES: &str = "\
Examples:
  sudo tawi-agent status
  sudo tawi-agent status --json | jq .routers
  sudo tawi-agent status || echo look at it

Exit codes:
  0   all is well
  1   a problem was found
  2   wrong use
  69  the agent does not run or does not answer
  78  the settings are wrong";

const PIN_EXAMPLES: &str = "\
Examples:
  tawi-agent pin 192.168.88.1
  tawi-agent pin 192.168.88.1:8730

Exit codes:
  0   the fingerprint was printed
  2   wrong use
  69  the router shows no certificate";

const REBUILD_EXAMPLES: &str = "\
Examples:
  sudo tawi-agent rebuild --router core   after core was replaced or reset

Exit codes:
  0   it was done, or there was nothing to do
  1   it was not done; what stands in the way is said
  2   wrong use
  69  the agent does not run or does not answer
  78  the settings are wrong";

const RELEASE_EXAMPLES: &str = "\
Examples:
  sudo tawi-agent status         says how many lines the guard holds, and where
  sudo tawi-agent release core   lets go ahead what it holds on core

Exit codes:
  0   it was done, or there was nothing to do
  1   it was not done; what stands in the way is said
  2   wrong use
  69  the agent does not run or does not answer
  78  the settings are wrong";

const ROUTER_EXAMPLES: &str = "\
Examples:
  sudo tawi-agent router add core 192.168.88.1 --release 7.18 --pppoe ether2
  tawi-agent router add --help   all that a router can be prepared for";

const LOG_EXAMPLES: &str = "\
Times are East Africa Time and end in EAT, as in `tawi-controller router writes`
and on the pages of head office; with --json, at_ms is milliseconds since 1970 in
UTC.

Examples:
  sudo tawi-agent log --since 2h --line plot17
  sudo tawi-agent log --router core --follow

Exit codes:
  0   the log was read, whether anything fits or not
  1   the log cannot be read
  2   wrong use
  78  the settings are wrong";

/// Makes the MikroTik routers of one site agree with what head office decided, alone if need be.
#[derive(Parser)]
#[command(name = "tawi-agent", version, after_help = EXAMPLES)]
struct Arguments {
    /// The settings.
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the site until SIGTERM or SIGINT.
    #[command(after_help = RUN_EXAMPLES)]
    Run,
    /// Make this device a site, with a ticket of head office.
    ///
    /// The device makes its own key, which never leaves it, and gets a certificate for it. The ticket is read from standard
    /// input or a file, is good once, and names where head office is and how to know it.
    #[command(after_help = cli::enrol::EXAMPLES)]
    Enrol(cli::enrol::Arguments),
    /// Ask the running agent how it stands.
    #[command(after_help = STATUS_EXAMPLES)]
    Status {
        /// Answer in JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look at settings, files, disk, head office and routers; say what is wrong and what to do.
    #[command(after_help = cli::doctor::EXAMPLES)]
    Doctor(cli::doctor::Arguments),
    /// Print the fingerprint of the certificate that a router shows on its api-ssl port.
    #[command(after_help = PIN_EXAMPLES)]
    Pin {
        /// The router: an address or a name, with a port if it is not 8729.
        address: String,
    },
    /// Show rows of a router that somebody else made, and take over those that are a line's own.
    #[command(after_help = cli::adopt::EXAMPLES)]
    Adopt(cli::adopt::Arguments),
    /// Make every row of a router anew, whatever its guard would say: it was replaced or reset.
    #[command(after_help = REBUILD_EXAMPLES)]
    Rebuild {
        /// The router's name in the settings.
        #[arg(long)]
        router: String,
    },
    /// Show what was written to routers, from the last thirty days; the agent need not run.
    ///
    /// An agent that runs is asked to put down what it still holds in memory. One that was cut off takes the last seconds
    /// with it.
    #[command(after_help = LOG_EXAMPLES)]
    Log {
        /// Of this router alone.
        #[arg(long)]
        router: Option<String>,
        /// About this line alone: its id, or a name that it had on the router; while the agent runs also the one that it has.
        #[arg(long)]
        line: Option<String>,
        /// How far back, such as 90m, 2h or 7d.
        #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = parse_ago)]
        since: Duration,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
        /// Go on showing what comes.
        #[arg(long)]
        follow: bool,
    },
    /// Add a router to this site.
    #[command(after_help = ROUTER_EXAMPLES)]
    Router {
        #[command(subcommand)]
        command: cli::router_add::Command,
    },
    /// Print the script that prepares a router for the agent: paste it into the router's terminal.
    ///
    /// It makes a user with the least rights, api-ssl with a certificate of its own, the log of accounts and the walled
    /// garden; it may be pasted again, and leaves alone what it did not make. The password is written to the file that
    /// routers.toml names, and stands in the script: keep both to yourself.
    #[command(after_help = cli::router_script::EXAMPLES)]
    RouterScript(Box<cli::router_script::Arguments>),
    /// Let the cuts go ahead that the guard of a router holds at this moment.
    #[command(after_help = RELEASE_EXAMPLES)]
    Release {
        /// The router's name in the settings.
        router: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let environment = Environment::read();
    let is_running = matches!(arguments.command, Command::Run);
    let failed_start = (is_running && !environment.is_allocator_set).then(start_over_with_one_heap);
    // Before anything else can open a TLS connection. A second install would be refused, which harms nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime cannot be started: {error}"), PROBLEM),
    };
    // std gives SIGPIPE its default back before it tries to put a program in this one's place, and leaves it at that: a
    // closed pipe would end the agent. Heard, the signal harms nothing; the listener is held for as long as we live.
    let _pipes = failed_start.is_some().then(|| {
        let _entered = runtime.enter();
        signal(SignalKind::pipe())
    });
    let outcome = match arguments.command {
        Command::Run => serve_site(&arguments.config, &environment, &runtime, failed_start.as_ref()),
        Command::Enrol(options) => cli::enrol::show(&arguments.config, &environment, &runtime, &options),
        Command::Status { json } => show_status(&arguments.config, &environment, &runtime, json),
        Command::Doctor(options) => cli::doctor::show(&arguments.config, &environment, &runtime, &options),
        Command::Pin { address } => show_pin(&address, &runtime),
        Command::Log { router, line, since, json, follow } => {
            let since = Clock::system().now().minus(since);
            let wanted = Wanted { router, line, since, is_json: json, ..Wanted::default() };
            show_log(&arguments.config, &environment, &runtime, wanted, follow)
        }
        Command::Router { command } => {
            cli::router_add::show(&arguments.config, &environment, &runtime, command)
        }
        Command::RouterScript(options) => {
            cli::router_script::show(&arguments.config, &environment, &runtime, &options)
        }
        Command::Adopt(options) => cli::adopt::show(&arguments.config, &environment, &runtime, &options),
        Command::Rebuild { router } => rebuild(&arguments.config, &environment, &runtime, &router),
        Command::Release { router } => release(&arguments.config, &environment, &runtime, &router),
    };
    // A thread that hangs in a name look-up must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Puts this program in its own place with other settings of glibc's allocator, which reads them before `main`. Left
/// alone it makes a heap for each thread and keeps back up to a few MiB in each, which is more than the agent needs at
/// all. Returns only where this cannot be done, and says why: the agent works as well then and holds more.
fn start_over_with_one_heap() -> std::io::Error {
    match std::env::current_exe() {
        Ok(program) => std::process::Command::new(program)
            .args(std::env::args_os().skip(1))
            .envs(ONE_HEAP.iter().copied())
            .exec(),
        Err(error) => error,
    }
}

/// `failed_start` says why this program could not start over.
fn serve_site(
    path: &Path,
    environment: &Environment,
    runtime: &Runtime,
    failed_start: Option<&std::io::Error>,
) -> ExitCode {
    match serve(path, environment, runtime, Build::this(), failed_start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure.words, failure.code),
    }
}

fn show_status(path: &Path, environment: &Environment, runtime: &Runtime, json: bool) -> ExitCode {
    let config = match Config::load(path, environment) {
        Ok(config) => config,
        Err(error) => return bad_config(&error),
    };
    let status = match runtime.block_on(ask_status(&config.status_socket())) {
        Ok(status) => status,
        Err(error) => return not_answered(&error),
    };
    let problems = status.problems();
    if json {
        print_json(&status);
    } else {
        print(&describe(&status, &problems));
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(PROBLEM) }
}

fn show_pin(address: &str, runtime: &Runtime) -> ExitCode {
    match runtime.block_on(Box::pin(doctor::pin_of(address))) {
        Ok(fingerprint) => {
            print(&format!(
                "tls_pin = \"{fingerprint}\"\n# Compare it with the router's own word before you trust it: /certificate print detail\n"
            ));
            ExitCode::SUCCESS
        }
        Err(why) => fail(&format!("{address} shows no certificate: {why}"), UNAVAILABLE),
    }
}

fn rebuild(path: &Path, environment: &Environment, runtime: &Runtime, router: &str) -> ExitCode {
    let config = match Config::load(path, environment) {
        Ok(config) => config,
        Err(error) => return bad_config(&error),
    };
    match runtime.block_on(ask_rebuild(&config.status_socket(), router)) {
        Ok(words) => {
            print(&format!("{router}: {words}\n"));
            ExitCode::SUCCESS
        }
        Err(error) => not_answered(&error),
    }
}

fn show_log(
    path: &Path,
    environment: &Environment,
    runtime: &Runtime,
    wanted: Wanted,
    is_followed: bool,
) -> ExitCode {
    let config = match Config::load(path, environment) {
        Ok(config) => config,
        Err(error) => return bad_config(&error),
    };
    let not_read = |error: std::io::Error| {
        let cure = cure_of(&error);
        let place = config.state_directory.display();
        fail(&format!("the log in {place} cannot be read: {error}\n  cure: {cure}"), PROBLEM)
    };
    // The agent puts it down every few seconds to spare the flash, and now for whoever reads. One that is not asked, or
    // does not run, keeps nobody from the files.
    let socket = config.status_socket();
    let have_it_put_down = |name: Option<&str>| runtime.block_on(ask_log(&socket, name));
    let mut wanted = wanted;
    match have_it_put_down(wanted.line.as_deref()) {
        Ok(lines) => wanted.ids.extend(lines),
        Err(AskError::NotRunning(_)) => {}
        Err(error) => {
            let _ = writeln!(
                std::io::stderr(),
                "tawi-agent: what was written in the last seconds may be missing: {error}"
            );
        }
    }
    let wanted = match wanted.with_lines(&config.state_directory) {
        Ok(wanted) => wanted,
        Err(error) => return not_read(error),
    };
    let (mut seen, mut has_shown) = (0, false);
    loop {
        let mut is_read = true;
        let printed = print_from(&config.state_directory, &wanted, seen, |text| {
            has_shown = true;
            is_read = std::io::stdout().write_all(text.as_bytes()).is_ok();
            is_read
        });
        match printed {
            Ok((count, unread)) => {
                if unread > 0 && seen == 0 {
                    let _ =
                        writeln!(std::io::stderr(), "tawi-agent: {unread} lines of the log cannot be read");
                }
                seen = count;
            }
            Err(error) => return not_read(error),
        }
        // Whoever pipes us into `head` is content with less.
        if !is_followed || !is_read {
            if !has_shown {
                let _ = writeln!(std::io::stderr(), "tawi-agent: {}", wanted.said_of_nothing());
            }
            if free_bytes(&config.state_directory).is_ok_and(|free| free < FREE_BYTES) {
                let _ = writeln!(
                    std::io::stderr(),
                    "tawi-agent: the disk is nearly full, and writes are left out of this log\n  cure: {CURE_OF_SPACE}"
                );
            }
            return ExitCode::SUCCESS;
        }
        runtime.block_on(tokio::time::sleep(FOLLOW_EVERY));
        // Whether it still runs is not what whoever follows asks.
        let _ = have_it_put_down(None);
    }
}

fn release(path: &Path, environment: &Environment, runtime: &Runtime, router: &str) -> ExitCode {
    let config = match Config::load(path, environment) {
        Ok(config) => config,
        Err(error) => return bad_config(&error),
    };
    match runtime.block_on(ask_release(&config.status_socket(), router, &environment.shell_user)) {
        Ok(0) => {
            print(&format!("nothing is held on {router}; nothing was let go\n"));
            ExitCode::SUCCESS
        }
        Ok(held) => {
            print(&format!("{} held on {router} may go ahead\n", counted(held, "line")));
            ExitCode::SUCCESS
        }
        Err(error) => not_answered(&error),
    }
}

/// The status for people.
fn describe(status: &Status, problems: &[String]) -> String {
    let now = UnixMillis(status.clock.now_ms);
    let mut text = format!(
        "site        {} (agent {}, up {}, {} MiB of memory)\n",
        status.site,
        status.version,
        spoken(UnixMillis(status.started_at_ms), now),
        status.rss_bytes / 1024 / 1024,
    );
    text += &match (&status.controller.address, status.controller.connected_since_ms) {
        (Some(address), Some(since)) => {
            format!("head office {address}, connected for {}\n", spoken(UnixMillis(since), now))
        }
        _ => "head office not connected\n".to_owned(),
    };
    text += &status.upgrade.said();
    text += &status.controller.line.said();
    let settings = &status.settings;
    let lines = [settings.said()].into_iter().filter(|said| !said.is_empty()).chain(settings.refusals());
    lines.for_each(|line| text += &format!("settings    {line}\n"));
    text += &format!(
        "state       generation {} in force, {} on flash, {} on the routers{}; {}, {}\n",
        status.state.generation,
        status.state.stored_generation,
        status.state.applied_generation,
        but_for(status),
        counted(status.state.lines, "line"),
        counted(status.state.profiles, "profile"),
    );
    if let Some(since) = status.state.offline_rule_since_ms {
        text += &format!(
            "silence     {} closed or slowed down for {}, as their plans say while head office is not heard\n",
            counted(status.state.offline_rule_lines, "line"),
            spoken(UnixMillis(since), now),
        );
    }
    for router in &status.routers {
        let answer = match (router.is_reachable, &router.problem) {
            (_, Some(_)) => "cannot be worked with, see below",
            (true, None) => "answers",
            (false, None) => "does not answer",
        };
        let release =
            if router.release.is_empty() { String::new() } else { format!(", RouterOS {}", router.release) };
        let settled = if router.problem_part.as_deref() == Some(BOARD) {
            "another board than before, nothing is written to it until it is rebuilt".to_owned()
        } else {
            format!("generation {} settled", router.settled_generation)
        };
        text += &format!(
            "router      {} {answer}{release}; {settled}, {} failing{}\n",
            router.name,
            counted(router.failing_lines, "line"),
            looked_at(router, now),
        );
    }
    let (events, usage) = (&status.outbox.events, &status.outbox.usage);
    text += &format!(
        "outbox      {} waiting, {} not told yet, {} unconfirmed; {} KiB on flash\n",
        counted(events.pending, "event"),
        counted(usage.pending, "session total"),
        counted(events.sealed.saturating_add(usage.sealed), "record"),
        status.store.disk_bytes / 1024,
    );
    if let Some(lost) = &status.store.lost {
        text += &format!("lost        {lost}\n");
    }
    for problem in problems {
        text += &format!("PROBLEM     {problem}\n");
    }
    text
}

/// Lines that are not on the routers as that generation wants them; those that a guard holds are among them.
fn but_for(status: &Status) -> String {
    if status.state.failing_lines == 0 {
        return String::new();
    }
    let held = status.routers.iter().fold(0_u64, |sum, router| sum.saturating_add(router.held_lines));
    let held = if held == 0 { String::new() } else { format!(", {held} of them held by a guard") };
    format!(" but for {}{held}", counted(status.state.failing_lines, "line"))
}

/// When the router was last looked at as a whole, and how long that took.
fn looked_at(router: &RouterStatus, now: UnixMillis) -> String {
    let checked = router.full_check_at_ms.zip(router.full_check_took_ms);
    checked.map_or_else(String::new, |(at, took)| {
        format!("; all rows looked at {} ago, in {took} ms", spoken(UnixMillis(at), now))
    })
}

fn bad_config(error: &ConfigError) -> ExitCode {
    fail(&error.to_string(), BAD_CONFIG)
}

fn not_answered(error: &AskError) -> ExitCode {
    let code = if matches!(error, AskError::Refused(_)) { PROBLEM } else { UNAVAILABLE };
    fail(&error.to_string(), code)
}

fn fail(message: &str, code: u8) -> ExitCode {
    // Nobody may be reading: that changes nothing about the exit code.
    let _ = writeln!(std::io::stderr(), "tawi-agent: {message}");
    ExitCode::from(code)
}

/// Whoever pipes us into `head` is content with less.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn print_json<T: serde::Serialize>(value: &T) {
    print(&serde_json::to_string_pretty(value).unwrap_or_default());
    print("\n");
}
