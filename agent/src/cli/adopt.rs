//! `tawi-agent adopt`: shows the rows of a router that somebody else made, whose they probably are, and takes those over
//! that are a line's own, once that is confirmed.
//!
//! It asks the running agent and nobody else, so that it works while head office is away; the lines must have come from
//! there before. Without `--confirm` nothing is touched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use tawi_agent::adoption::{Proposal, propose, read_table};
use tawi_agent::config::{Config, Environment};
use tawi_agent::status::{AdoptRow, ask_adopt, ask_rows};
use tawi_shared::wire::Service;
use tokio::runtime::Runtime;

use crate::{PROBLEM, bad_config, fail, not_answered, print};

/// The largest table that is read, in bytes: 5,000 rows.
const TABLE_BYTES: u64 = 1024 * 1024;

/// What `--help` shows.
pub const EXAMPLES: &str = "\
Examples:
  tawi-agent adopt --router core                 the rows of others, and whose they probably are
  tawi-agent adopt --router core --csv rows.csv  the same, where a table with the columns username and line says whose
  tawi-agent adopt --router core --confirm       take over those that are ready; nobody's session ends

Only rows with the name and the service of a line can be taken over. Lines come from head office; passwords stay on the
router.";

/// What is taken over.
#[derive(Args)]
pub struct Arguments {
    /// The router's name in the settings
    #[arg(long)]
    router: String,
    /// A table with the columns username and line (id or name)
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Take over what is shown as ready
    #[arg(long)]
    confirm: bool,
}

/// Does what the options say.
pub fn show(path: &Path, environment: &Environment, runtime: &Runtime, options: &Arguments) -> ExitCode {
    let config = match Config::load(path, environment) {
        Ok(config) => config,
        Err(error) => return bad_config(&error),
    };
    let table = match options.csv.as_deref().map(table_of).transpose() {
        Ok(table) => table.unwrap_or_default(),
        Err(why) => return fail(&why, PROBLEM),
    };
    let socket = config.status_socket();
    let found = match runtime.block_on(ask_rows(&socket, &options.router)) {
        Ok(found) => found,
        Err(error) => return not_answered(&error),
    };
    let proposals = propose(&found.rows, &found.lines, &table);
    proposals.iter().for_each(|proposal| print(&line_of(proposal)));
    let ready: Vec<&Proposal> = proposals.iter().filter(|proposal| proposal.is_ready()).collect();
    print(&format!("{} rows of others on {}, {} ready\n", proposals.len(), options.router, ready.len()));
    if !options.confirm {
        if !ready.is_empty() {
            print("nothing was touched; --confirm takes over those that are ready\n");
        }
        return ExitCode::SUCCESS;
    }
    let mut failed = 0_usize;
    for proposal in ready {
        let Some((line, _)) = &proposal.line else { continue };
        let row = AdoptRow {
            router: options.router.clone(),
            line: line.line.clone(),
            service: proposal.service,
            username: proposal.username.clone(),
        };
        match runtime.block_on(ask_adopt(&socket, &row)) {
            Ok(words) => print(&format!("done      {words}\n")),
            Err(error) => {
                failed += 1;
                print(&format!("FAILED    {}: {error}\n", proposal.username));
            }
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(PROBLEM) }
}

fn table_of(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let named = |why: String| format!("{}: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|error| named(error.to_string()))?.len();
    if size > TABLE_BYTES {
        return Err(named(format!("larger than {TABLE_BYTES} bytes; cut it into parts")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    read_table(&text).map_err(named)
}

fn line_of(proposal: &Proposal) -> String {
    let service = Service::from_code(proposal.service).map_or("?", Service::as_str);
    let online = if proposal.is_online { ", online" } else { "" };
    let comment =
        if proposal.comment.is_empty() { String::new() } else { format!("  \"{}\"", proposal.comment) };
    let (word, line) = match (&proposal.line, proposal.obstacle.is_empty()) {
        (Some((line, why)), true) => ("ready    ", format!("line {} ({why})", line.line)),
        (Some((line, why)), false) => {
            ("not ready", format!("line {} ({why}); {}", line.line, proposal.obstacle))
        }
        (None, true) => ("nobody's ", "no line is called so".to_owned()),
        (None, false) => ("nobody's ", proposal.obstacle.clone()),
    };
    format!("{word} {} ({service}{online}){comment}  {line}\n", proposal.username)
}
