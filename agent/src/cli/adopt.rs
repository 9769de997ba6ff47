//! `tawi-agent adopt`: shows the rows of a router that somebody else made, whose they probably are, and takes those over
//! that are a line's own, once that is confirmed.
//!
//! It asks the running agent and nobody else, so that it works while head office is away; the lines must have come from
//! there before. Without `--confirm` nothing is touched.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use tawi_agent::adoption::{
    Proposal, Table, digest, propose, read_table, words_of_limits, words_of_passwords, words_of_sessions,
};
use tawi_agent::config::{Config, Environment};
use tawi_agent::status::{AdoptRow, ask_adopt, ask_rows};
use tawi_shared::counted;
use tawi_shared::wire::Service;
use tokio::runtime::Runtime;

use crate::{PROBLEM, bad_config, fail, not_answered, print, print_json};

/// The largest table that is read, in bytes: 5,000 rows.
const TABLE_BYTES: u64 = 1024 * 1024;

/// What `--help` shows.
pub const EXAMPLES: &str = "\
Examples:
  tawi-agent adopt --router core                     the rows of others, whose they probably are, and a digest of both
  tawi-agent adopt --router core --csv rows.csv      the same, where a table with the columns username and line says whose
  tawi-agent adopt --router core --confirm 1a2b3c4d  take over exactly what was shown with that digest
  tawi-agent adopt --router core --json | jq .rows   the same for programs

Only rows with the name and the service of a line can be taken over. Lines come from head office; passwords stay on the
router, for as long as head office wants the ones that it wants now. Sessions of lines that are paid for go on.

Exit codes:
  0   all is well, and what was confirmed was done
  1   the table has a fault, what is ready is not what was confirmed, the router
      cannot be worked with, or a row was not taken over
  2   wrong use
  69  the agent does not run or does not answer
  78  the settings are wrong";

/// What is taken over.
#[derive(Args)]
pub struct Arguments {
    /// The router's name in the settings
    #[arg(long)]
    router: String,
    /// A table with the columns username and line (id or name)
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Take over what was shown as ready, by the digest that was shown with it
    #[arg(long, value_name = "DIGEST")]
    confirm: Option<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// What was found and done.
#[derive(Default, Serialize)]
struct Answer {
    router: String,
    rows: Vec<Proposal>,
    /// How many of them can be taken over.
    ready: usize,
    /// Names exactly those; empty where there are none.
    digest: String,
    /// What is wrong with the table.
    faults: Vec<String>,
    /// Why nothing was done although it was confirmed, or nothing could be shown.
    refused: Option<String>,
    /// What became of those that were taken over.
    done: Vec<Outcome>,
}

/// What became of one row.
#[derive(Serialize)]
struct Outcome {
    username: String,
    is_done: bool,
    words: String,
}

/// Does what the options say.
pub fn show(path: &Path, environment: &Environment, runtime: &Runtime, options: &Arguments) -> ExitCode {
    let config = match Config::load(path, environment) {
        Ok(config) => config,
        Err(error) => return bad_config(&error),
    };
    // Whoever reads JSON reads why there is none of the rest.
    let tell = |why: String| {
        if options.json {
            print_json(&Answer { router: options.router.clone(), refused: Some(why), ..Answer::default() });
        }
    };
    let table = match options.csv.as_deref().map(table_of).transpose() {
        Ok(table) => table.unwrap_or_default(),
        Err(why) => {
            tell(why.clone());
            return fail(&why, PROBLEM);
        }
    };
    let socket = config.status_socket();
    let found = match runtime.block_on(ask_rows(&socket, &options.router)) {
        Ok(found) => found,
        Err(error) => {
            tell(error.to_string());
            return not_answered(&error);
        }
    };
    let mut rows = propose(&found.rows, &found.lines, &table.lines);
    rows.iter_mut().for_each(|proposal| proposal.note_any_service(&found.any_service));
    let mut answer = Answer {
        router: options.router.clone(),
        ready: rows.iter().filter(|proposal| proposal.is_ready()).count(),
        digest: digest(&rows),
        faults: table.faults_for(&found.rows, &found.lines),
        rows,
        ..Answer::default()
    };
    if !options.json {
        print(&answer.shown());
    }
    if let Some(confirmed) = &options.confirm {
        answer.refused = answer.objection(confirmed);
        if answer.refused.is_none() {
            answer.take_over(&socket, runtime, !options.json);
        }
    }
    if options.json {
        print_json(&answer);
    } else if let Some(why) = &answer.refused {
        return fail(why, PROBLEM);
    }
    let is_well = answer.faults.is_empty()
        && answer.refused.is_none()
        && answer.done.iter().all(|outcome| outcome.is_done);
    if is_well { ExitCode::SUCCESS } else { ExitCode::from(PROBLEM) }
}

impl Answer {
    /// What a person reads before anything is done.
    fn shown(&self) -> String {
        let mut text: String = self.rows.iter().map(line_of).collect();
        for fault in &self.faults {
            text += &format!("FAULT     {fault}\n");
        }
        let (rows, router) = (counted(self.rows.len(), "row"), &self.router);
        text += &format!("{rows} of others on {router}, {} ready\n", self.ready);
        if self.ready > 0 {
            text += &words_of_sessions(&self.rows);
            text += &words_of_passwords(&self.rows);
            text += &words_of_limits(&self.rows);
        }
        text += &match (self.ready, self.faults.len()) {
            (0, _) => String::new(),
            (_, 0) => format!("to take over exactly what is ready: --confirm {}\n", self.digest),
            (_, faults) => {
                format!(
                    "nothing is taken over while the table has {}: put it right first\n",
                    counted(faults, "fault")
                )
            }
        };
        text
    }

    /// Why what was confirmed is not done.
    fn objection(&self, confirmed: &str) -> Option<String> {
        if !self.faults.is_empty() {
            let faults = counted(self.faults.len(), "fault");
            return Some(format!("nothing was touched: the table has {faults}; put it right first"));
        }
        (self.digest != confirmed).then(|| {
            let cure = "run it without --confirm, and confirm what that shows";
            format!("nothing was touched: what is ready is not what was confirmed\n  cure: {cure}")
        })
    }

    fn take_over(&mut self, socket: &Path, runtime: &Runtime, is_shown: bool) {
        for proposal in self.rows.iter().filter(|proposal| proposal.is_ready()) {
            let Some((line, _)) = &proposal.line else { continue };
            let row = AdoptRow {
                router: self.router.clone(),
                line: line.line.clone(),
                service: proposal.service,
                username: proposal.username.clone(),
            };
            let asked = runtime.block_on(ask_adopt(socket, &row));
            let is_done = asked.is_ok();
            let words = asked.unwrap_or_else(|error| error.to_string());
            if is_shown {
                let word = if is_done { "done     " } else { "FAILED   " };
                print(&format!("{word} {}: {words}\n", proposal.username));
            }
            self.done.push(Outcome { username: proposal.username.clone(), is_done, words });
        }
    }
}

fn table_of(path: &Path) -> Result<Table, String> {
    let named = |why: String| format!("{}: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|error| named(error.to_string()))?.len();
    if size > TABLE_BYTES {
        return Err(named(format!("larger than {TABLE_BYTES} bytes; cut it into parts")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    read_table(&text).map_err(named)
}

fn line_of(proposal: &Proposal) -> String {
    let service = match proposal.is_any_service {
        true => "any",
        false => Service::from_code(proposal.service).map_or("?", Service::as_str),
    };
    let online = if proposal.is_online { ", online" } else { "" };
    let comment =
        if proposal.comment.is_empty() { String::new() } else { format!("  \"{}\"", proposal.comment) };
    let (word, line) = match (&proposal.line, proposal.obstacle.is_empty()) {
        (Some((line, why)), true) => ("ready    ", format!("line {} ({why})", line.line)),
        (Some((line, why)), false) => {
            ("not ready", format!("line {} ({why}); {}", line.line, proposal.obstacle))
        }
        (None, true) => (
            "nobody's ",
            "no line here is called so: one comes to the site once it is paid for, or by Take over at head office"
                .to_owned(),
        ),
        (None, false) => ("nobody's ", proposal.obstacle.clone()),
    };
    let changes: String = proposal.changes.iter().map(|change| format!("            {change}\n")).collect();
    format!("{word} {} ({service}{online}){comment}  {line}\n{changes}", proposal.username)
}
