//! What can be said on the command line about sites and their routers. The texts are what `--help` shows.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tawi_shared::SiteId;

use super::units;

/// About sites.
#[derive(Debug, Subcommand)]
pub enum SiteCommand {
    /// Add a site, and make the ticket by which a device there becomes it
    #[command(after_help = "Examples:
  tawi-controller site add nyeri-01 --name \"Nyeri town\"
  tawi-controller site add nyeri-01 --name \"Nyeri town\" --bundle nyeri-01.ticket
  tawi-controller site add nyeri-01 --name \"Nyeri town\" --offline-bundle ./nyeri-01
The ticket is good once, within 24 hours; a new one: tawi-controller site renew. Where nothing but MQTT passes, --offline-bundle
makes the key here instead: bring the directory to the site, then delete it.")]
    Add {
        /// Its id: a-z, 0-9 and dashes, such as nyeri-01
        id: SiteId,
        /// Its name
        #[arg(long)]
        name: String,
        /// How.
        #[command(flatten)]
        way: SiteWay,
    },
    /// List all sites, and whether each is up
    #[command(after_help = "Examples:
  tawi-controller site list
  tawi-controller site list --json | jq -r '.[] | select(.is_online == false) | .id'
up: its agent is connected. up, no router: and has reached no router yet. down: it was there once. not started: it never was.
not known: no controller hears the sites.")]
    List,
    /// Make a new ticket for a site: its device broke, was stolen or flashed anew, or the site was revoked
    #[command(after_help = "Examples:
  tawi-controller site renew nyeri-01
  tawi-controller site renew nyeri-01 --offline-bundle ./nyeri-01-again
What the site's device has is good until another one comes with the ticket, and is refused from then on; with --offline-bundle it
is refused at once. A device was stolen? Run tawi-controller site revoke first: the ticket brings the site back.")]
    Renew {
        /// Which site
        id: SiteId,
        /// How.
        #[command(flatten)]
        way: SiteWay,
    },
    /// Have the doctor look at a site: at its machine, its way to head office and its routers. It changes nothing
    #[command(after_help = "Examples:
  tawi-controller site doctor nyeri-01
  tawi-controller site doctor nyeri-01 --json | jq '.findings[] | select(.verdict != \"good\")'
It ends with 1 when something is bad.")]
    Doctor {
        /// Which site
        id: SiteId,
        /// How long to wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Fetch what helps to understand a site: how it stands, its settings without secrets, its machine, its last log lines
    #[command(after_help = "Examples:
  tawi-controller site diagnostics nyeri-01 > nyeri-01.json
  tawi-controller site diagnostics nyeri-01 | jq -r '.log[]'")]
    Diagnostics {
        /// Which site
        id: SiteId,
        /// How long to wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Have a site log more or less, until its agent restarts and for a day at most
    #[command(after_help = "Examples:
  tawi-controller site log-level nyeri-01 debug
  tawi-controller site log-level nyeri-01 info --timeout 60")]
    LogLevel {
        /// Which site
        id: SiteId,
        /// How much
        #[arg(value_parser = crate::commands::remote::LEVELS)]
        level: String,
        /// How long to wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Watch how a site's agent stands, live
    #[command(after_help = "Examples:
  tawi-controller site watch nyeri-01
  tawi-controller site watch nyeri-01 --seconds 300")]
    Watch {
        /// Which site
        id: SiteId,
        /// How long, 5 to 300
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(5..=300))]
        seconds: u32,
        /// How long to wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Show what head office set of a site's settings, and what the site took of it
    #[command(after_help = "Examples:
  tawi-controller site settings nyeri-01
  tawi-controller site settings nyeri-01 --json | jq '.settings[] | select(.standing != \"applied\")'")]
    Settings {
        /// Which site
        id: SiteId,
    },
    /// Set settings of sites from here, in place of what their agent.toml says; they last
    #[command(after_help = "Examples:
  tawi-controller site set nyeri-01 kilobytes_an_hour=50 report_seconds=1800
  tawi-controller site set --all log_level=info
Settings are kilobytes_an_hour, report_seconds, keep_alive_seconds and log_level. A site that is away is told when it is back; a
keep-alive is in force from a site's next connection on. agent.toml may say settings_from_head_office = false.")]
    Set {
        /// Sites, and settings as NAME=VALUE
        #[arg(required = true, value_name = "SITE|NAME=VALUE")]
        words: Vec<String>,
        /// Every site that is not revoked
        #[arg(long)]
        all: bool,
    },
    /// Take settings back, so that what the site's agent.toml says stands again
    #[command(after_help = "Examples:
  tawi-controller site unset nyeri-01 kilobytes_an_hour
  tawi-controller site unset --all log_level")]
    Unset {
        /// Sites, and names of settings
        #[arg(required = true, value_name = "SITE|NAME")]
        words: Vec<String>,
        /// Every site that is not revoked
        #[arg(long)]
        all: bool,
    },
    /// Shut a site out, until it is renewed
    #[command(after_help = "Example:
  tawi-controller site revoke nyeri-01
Nothing is sold there any more, until the site is brought back: tawi-controller site renew")]
    Revoke {
        /// Which site
        id: SiteId,
    },
}

/// How long to wait for an answer.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Wait {
    /// Seconds until it is given up to wait; the site may still answer within 15 minutes
    #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u32).range(1..=900))]
    pub timeout: u32,
}

/// How a device is made a site.
#[derive(Debug, clap::Args)]
pub struct SiteWay {
    /// A file that is made for the ticket, to be sent to the technician
    #[arg(long, value_name = "FILE", conflicts_with = "offline_bundle")]
    pub bundle: Option<PathBuf>,
    /// A directory that is made for settings, key and certificate: for a site where nothing but MQTT passes
    #[arg(long, value_name = "DIRECTORY")]
    pub offline_bundle: Option<PathBuf>,
    /// Where the site reaches this controller, several with commas; the advertised_address of the settings if not given
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub address: Vec<String>,
    /// Show no QR code
    #[arg(long)]
    pub no_qr: bool,
}

/// About routers.
#[derive(Debug, Subcommand)]
pub enum RouterCommand {
    /// Add a router to a site
    #[command(after_help = "Example:\n  tawi-controller router add --site nyeri-01 --name core")]
    Add {
        /// At which site
        #[arg(long)]
        site: SiteId,
        /// The name that the agent's own settings use
        #[arg(long)]
        name: String,
    },
    /// List the routers of all sites, and whether each is reached by its agent
    #[command(after_help = "Examples:
  tawi-controller router list
  tawi-controller router list --site nyeri-01
  tawi-controller router list --json | jq -r '.[] | select(.is_reachable == false) | .id'
Shown are site, name, whether it is reached, its release, since when that is so, and its id. not known: its site is away, and what
it said last, which --json has, may not hold.")]
    List {
        /// At one site
        #[arg(long)]
        site: Option<SiteId>,
    },
    /// What agents wrote to routers, newest first; passwords are not in it
    #[command(after_help = "Examples:
  tawi-controller router writes --site nyeri-01 --since 2h
  tawi-controller router writes --line plot17 --since 30d --status refused --json
Times are East Africa Time and end in EAT, as in `tawi-agent log` and on the pages; with --json they are UTC.")]
    Writes(WritesArguments),
}

/// Which writes to list.
#[derive(Debug, Args)]
pub struct WritesArguments {
    /// At one site
    #[arg(long)]
    pub site: Option<SiteId>,
    /// On one router, by name
    #[arg(long)]
    pub router: Option<String>,
    /// For one line, by id or name on the router
    #[arg(long)]
    pub line: Option<String>,
    /// With this in the command, such as secret/set
    #[arg(long, value_name = "TEXT")]
    pub operation: Option<String>,
    /// That ended so: done, refused or unknown
    #[arg(long)]
    pub status: Option<String>,
    /// With this in the parameters or in the router's words
    #[arg(long)]
    pub text: Option<String>,
    /// How far back, such as 30d, 24h or 90m
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = units::validity)]
    pub since: Duration,
    /// How many, 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
}
