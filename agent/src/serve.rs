//! `tawi-agent run`: settings, logging, the release that is to run, and what the end means for whoever started it.
//!
//! Here and not beside the command line, so that a program with another version is the same agent. What runs is `run.rs`; which
//! release that is, `upgrade::launch`.

use std::fmt;
use std::io::IsTerminal as _;
use std::path::Path;

use tawi_shared::Clock;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Config, Environment, Launching};
use crate::outbox::StoreError;
use crate::own_log;
use crate::run::{StartError, run};
use crate::site::Ending;
use crate::upgrade::starts::Starts;
use crate::upgrade::{Build, launch};

/// Something is wrong, and was said.
pub const PROBLEM: u8 = 1;
/// EX_CANTCREAT: the state directory or a socket cannot be made.
pub const CANNOT_CREATE: u8 = 73;
/// EX_TEMPFAIL: another agent has the state directory.
pub const TRY_LATER: u8 = 75;
/// EX_CONFIG: the settings are wrong.
pub const BAD_CONFIG: u8 = 78;

/// Why the agent does not run, and the exit code for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For people.
    pub words: String,
    /// As in sysexits.h.
    pub code: u8,
}

impl Failure {
    fn new(error: impl fmt::Display, code: u8) -> Self {
        Self { words: error.to_string(), code }
    }
}

/// Serves the site until it is asked to stop. What the package installed puts a release in its own place first, if one is to run.
/// `failed_start` says why this program could not start over with one heap.
///
/// # Errors
/// [`Failure`].
pub fn serve(
    path: &Path,
    environment: &Environment,
    runtime: &Runtime,
    build: Build,
    failed_start: Option<&std::io::Error>,
) -> Result<(), Failure> {
    // The service manager does not start anybody again whose settings are wrong. A release that reads them otherwise than what is
    // installed, which has read them, is started again: it is gone back from.
    let is_own_fault = environment.release.is_some() && !environment.is_unread;
    let bad_config = if is_own_fault { PROBLEM } else { BAD_CONFIG };
    let config = Config::load(path, environment);
    // A release may read what is installed cannot: whether there is one is looked at first.
    let launching = config
        .as_ref()
        .map_or_else(|_| Launching::guessed(path, environment), |config| Some(Launching::of(config)));
    own_log::set_level(config.as_ref().map_or(LevelFilter::INFO, |config| config.log_level));
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(std::io::stderr().is_terminal() && !environment.is_colour_unwanted)
        .with_writer(own_log::writer)
        .finish()
        .with(own_log::Dial)
        .init();
    if let Some(error) = failed_start {
        tracing::warn!(%error, "cannot start over with one heap; the agent works as well and holds more memory");
    }
    let failed_launch = match environment.release {
        None => launching.as_ref().and_then(|launching| launch::launch(launching, &build, &Clock::system())),
        Some(_) => None,
    };
    let starts = launching.map(|launching| Starts::of(&launching.runtime_directory));
    if let Some(error) = &failed_launch {
        tracing::error!(%error, "a release of head office cannot be started; what is installed runs");
    }
    // As where starting over failed (`main.rs`): a closed pipe must not end an agent that tried to become another program.
    let _pipes = failed_launch.is_some().then(|| {
        let _entered = runtime.enter();
        signal(SignalKind::pipe())
    });
    let config = config.map_err(|error| {
        // Nobody can read them: the release has not ended by its own fault.
        starts.as_ref().filter(|_| !is_own_fault).inspect(|starts| starts.forget());
        Failure::new(error, bad_config)
    })?;
    match runtime.block_on(Box::pin(run(config, build, environment.release))) {
        Ok(Ending::Asked) => {
            starts.inspect(Starts::forget);
            Ok(())
        }
        Ok(Ending::Switch) => {
            starts.inspect(Starts::forget);
            let error = launch::start_over(environment.installed.as_deref());
            let words = format!("another release is to run, and this program cannot start over: {error}");
            // Whoever started this one starts it again.
            Err(Failure { words, code: TRY_LATER })
        }
        Err(error) => {
            let code = code_of(&error, bad_config);
            Err(Failure::new(error, code))
        }
    }
}

fn code_of(error: &StartError, bad_config: u8) -> u8 {
    match error {
        StartError::Proof(_) | StartError::RouterCa { .. } | StartError::Owner(_) => bad_config,
        StartError::Store(StoreError::Locked(_)) => TRY_LATER,
        StartError::Store(_) | StartError::Socket(_) => CANNOT_CREATE,
        StartError::Signals(_) => PROBLEM,
    }
}
