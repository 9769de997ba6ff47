//! `tawi-agent doctor`: what was found, for people and for programs.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use tawi_agent::config::{Config, Environment};
use tawi_agent::doctor::{Finding, Report, Verdict, examine, unsettled};
use tawi_shared::Clock;
use tokio::runtime::Runtime;

use crate::{PROBLEM, bad_config, print, print_json};

/// Nothing is bad, something is doubtful, and `--strict` was asked for.
const DOUBTFUL: u8 = 3;

/// What `--help` shows.
pub const EXAMPLES: &str = "\
It changes nothing, logs in to each router once, and may run beside the agent, which it asks
what is sold at each router.

Examples:
  tawi-agent doctor
  tawi-agent doctor --json | jq '.findings[] | select(.verdict != \"good\")'
  tawi-agent doctor --strict || echo look at it
  tawi-agent doctor --accept-routers         after a router was replaced on purpose

Exit codes:
  0   nothing is bad; with --strict, everything is good
  1   something is bad
  2   wrong use
  3   with --strict: nothing is bad, and something is doubtful
  78  the settings are wrong; with --json that is the only finding";

/// How to look.
#[derive(Args)]
pub struct Arguments {
    /// Answer in JSON: keys and names of checks are only ever added
    #[arg(long)]
    json: bool,
    /// End with 3 when something is doubtful
    #[arg(long)]
    strict: bool,
    /// Routers that are others than before are the right ones from now on
    #[arg(long)]
    accept_routers: bool,
}

pub fn show(path: &Path, environment: &Environment, runtime: &Runtime, arguments: &Arguments) -> ExitCode {
    let config = match Config::load(path, environment) {
        Ok(config) => config,
        Err(error) => {
            if arguments.json {
                print_json(&unsettled(&error));
            }
            return bad_config(&error);
        }
    };
    let is_coloured = std::io::stdout().is_terminal() && !environment.is_colour_unwanted;
    let mut group = String::new();
    let show = |finding: &Finding| {
        if arguments.json {
            return;
        }
        if group != finding.group {
            let blank = if group.is_empty() { "" } else { "\n" };
            print(&format!("{blank}{}\n", finding.group));
            group.clone_from(&finding.group);
        }
        print(&line_of(finding, is_coloured));
    };
    let examining = examine(&config, Clock::system(), arguments.accept_routers, show);
    let report = runtime.block_on(Box::pin(examining));
    if arguments.json {
        print_json(&report);
    } else {
        print(&format!("\n{} good, {} doubtful, {} bad\n", report.good, report.doubtful, report.bad));
    }
    code_of(&report, arguments.strict)
}

fn code_of(report: &Report, is_strict: bool) -> ExitCode {
    match report.verdict {
        Verdict::Bad => ExitCode::from(PROBLEM),
        Verdict::Doubtful if is_strict => ExitCode::from(DOUBTFUL),
        _ => ExitCode::SUCCESS,
    }
}

/// A finding for people.
pub fn line_of(finding: &Finding, is_coloured: bool) -> String {
    let (word, colour) = match finding.verdict {
        Verdict::Good => ("good    ", "32"),
        Verdict::Doubtful => ("doubtful", "33"),
        Verdict::Bad => ("BAD     ", "31"),
    };
    let word = if is_coloured { format!("\x1b[{colour}m{word}\x1b[0m") } else { word.to_owned() };
    let cure =
        if finding.cure.is_empty() { String::new() } else { format!("\n           cure: {}", finding.cure) };
    format!("  {word} {}: {}{cure}\n", finding.check, finding.detail)
}
