//! What can be said on the command line about releases and how they reach the sites. The texts are what `--help` shows.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tawi_shared::SiteId;

use super::units;

/// About releases.
#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Make the key that signs releases: on the builder's machine, and never on head office's server
    #[command(after_help = "Examples:
  tawi-controller release new-key --out ~/tawi-keys
It needs no settings and no database. Whoever has the private key can run programs at every site that trusts it: keep it on a machine
that is not reached from outside, and a copy in a drawer. What it prints goes to head office's controller.toml and to the sites.")]
    NewKey {
        /// The directory for both halves; what is there is never overwritten
        #[arg(long, value_name = "DIRECTORY")]
        out: PathBuf,
    },
    /// Sign a program of the agent: on the builder's machine
    #[command(after_help = "Examples:
  cargo build --release -p tawi-agent --target aarch64-unknown-linux-gnu
  tawi-controller release sign --key ~/tawi-keys/release.key \\
    --binary target/aarch64-unknown-linux-gnu/release/tawi-agent --out tawi-agent-0.2.0-aarch64.release
Version, kind of machine and form of the store are read from the program itself. It needs no settings and no database.")]
    Sign(SignArguments),
    /// Take a signed release into head office
    #[command(after_help = "Examples:
  tawi-controller release add tawi-agent-0.2.0-aarch64.release
It has to be signed by the key in [upgrade] release_key of controller.toml, and whole.")]
    Add {
        /// What release sign made
        file: PathBuf,
    },
    /// List the releases that are here, the newest version first
    #[command(after_help = "Examples:
  tawi-controller release list
  tawi-controller release list --json | jq -r '.[].manifest.version'")]
    List,
    /// Remove a version, for all kinds of machines
    #[command(after_help = "Example:
  tawi-controller release remove 0.2.0
Sites that run it keep it. One that goes out to sites now is removed after: tawi-controller upgrade stop")]
    Remove {
        /// Which version
        #[arg(value_name = "VERSION")]
        release: String,
    },
}

/// How to sign.
#[derive(Debug, Args)]
pub struct SignArguments {
    /// The private key that release new-key made
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The program, as it was built
    #[arg(long, value_name = "FILE")]
    pub binary: PathBuf,
    /// Where the release goes; a file that is there is not overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The oldest version that may go to it at once
    #[arg(long, value_name = "VERSION", default_value = "0.1.0")]
    pub oldest_version: String,
    /// Let newer versions go back to it
    #[arg(long)]
    pub allow_downgrade: bool,
}

/// About bringing them to the sites.
#[derive(Debug, Subcommand)]
pub enum UpgradeCommand {
    /// Bring a version to the sites
    #[command(after_help = "Examples:
  tawi-controller upgrade start 0.2.0
  tawi-controller upgrade start 0.2.0 --waves 1,10,100 --soak 24h
  tawi-controller upgrade start 0.2.0 --sites nyeri-01,thika-02 --waves 100
A wave is a share of the sites in per cent, the first one or more that are connected. The next begins when every site of those before
that is connected runs the version, and has for as long as --soak. One failure in the first wave, or more than 2 % later, stops it.
Sites go back by themselves; starting again has those that failed try anew.")]
    Start {
        /// Which version
        #[arg(value_name = "VERSION")]
        release: String,
        /// Shares of the sites in per cent, growing to 100
        #[arg(long, value_delimiter = ',', default_value = "1,10,100")]
        waves: Vec<u8>,
        /// How long each wave is watched, such as 24h
        #[arg(long, value_parser = units::validity, default_value = "24h")]
        soak: Duration,
        /// These sites alone
        #[arg(long, value_delimiter = ',')]
        sites: Option<Vec<SiteId>>,
    },
    /// Show how the newest one stands
    #[command(after_help = "Examples:
  tawi-controller upgrade status
  tawi-controller upgrade status --json | jq '.sites[] | select(.standing == \"rolled back\")'")]
    Status,
    /// Begin no further wave; sites that were told go on
    #[command(after_help = "Example:
  tawi-controller upgrade pause
It goes on with: tawi-controller upgrade resume")]
    Pause,
    /// Go on
    #[command(after_help = "Example:\n  tawi-controller upgrade resume")]
    Resume,
    /// End it: sites that run the version keep it, the others stay as they are
    #[command(after_help = "Example:
  tawi-controller upgrade stop
One that was stopped does not go on; tawi-controller upgrade start begins it anew.")]
    Stop,
}
