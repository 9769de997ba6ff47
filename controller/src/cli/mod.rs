//! The command line: `serve` and everything that an owner does once, at a shell of the controller's machine.
//!
//! Commands that write go through the same functions as the API and leave the same audit rows; they work while
//! `serve` runs, since SQLite lets one process write while others read. Secrets never stand on a command line, where
//! `ps` shows them. Exit codes: 0 done, 1 refused or failed, 2 wrong command line, 69 something needed cannot be had,
//! 78 bad settings.

pub mod arguments;
mod audit_log;
mod books;
mod broker_config;
mod catalogue;
mod data_directory;
mod mpesa;
mod mpesa_arguments;
mod mpesa_doctor;
mod mpesa_operator;
mod near;
mod office;
mod output;
mod release_arguments;
mod releases;
mod remote;
mod router_writes;
mod sales;
pub mod serve;
mod site_arguments;
mod site_settings;
mod sites;
mod sms;
pub mod units;

use std::process::ExitCode;

use clap::Parser as _;

use crate::audit::{self, Action, Actor};
use crate::config::{Config, ConfigError, Environment};
use crate::database::{Database, DatabaseError, Transaction};
use crate::releases::ReleaseRoom;
use crate::state::Controller;

use arguments::{Arguments, Command, ConfigCommand};
use output::Output;
use release_arguments::ReleaseCommand;

/// Refused, or failed.
const REFUSED: u8 = 1;
/// `EX_UNAVAILABLE` of sysexits(3): the database or a port cannot be had.
const UNAVAILABLE: u8 = 69;
/// `EX_CONFIG` of sysexits(3).
const BAD_CONFIG: u8 = 78;

/// Why a command was not done.
#[derive(Debug)]
pub enum Failure {
    /// Something stands against it that the person at the shell can change.
    Refused(String),
    /// Something needed cannot be had.
    Unavailable(anyhow::Error),
    /// Something failed.
    Failed(anyhow::Error),
    /// The settings cannot be used.
    Config(ConfigError),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Failure {
    fn refused(message: impl Into<String>) -> Self {
        Self::Refused(message.into())
    }

    fn report(self) -> ExitCode {
        let (code, text) = match self {
            Self::Refused(message) => (REFUSED, message),
            Self::Unavailable(error) => (UNAVAILABLE, format!("{error:#}")),
            Self::Failed(error) => (REFUSED, format!("{error:#}")),
            Self::Config(error) => (BAD_CONFIG, error.to_string()),
        };
        output::complain(&text);
        ExitCode::from(code)
    }
}

/// Reads the command line and does what it says.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return output::usage(&error),
    };
    let environment = Environment::read();
    match dispatch(arguments, &environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(arguments: Arguments, environment: &Environment) -> Result<(), Failure> {
    let Arguments { config: path, json, command } = arguments;
    let output = Output { is_json: json };
    // On the builder's machine there is neither a controller nor its settings.
    let command = match command {
        Command::Release { command: ReleaseCommand::NewKey { out } } => {
            return releases::new_key(&out, output);
        }
        Command::Release { command: ReleaseCommand::Sign(signing) } => {
            return releases::sign(&signing, output);
        }
        other => other,
    };
    let config = Config::load(&path, environment).map_err(Failure::Config)?;
    match command {
        Command::Serve => serve::serve(config, environment),
        Command::Config { command: ConfigCommand::Check } => {
            output.say("ok", &serde_json::json!({"ok": true, "config": path}))
        }
        other => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let shell_user = environment.shell_user.clone();
            runtime.block_on(async {
                let shell = Shell::open(config, shell_user, output).await?;
                let outcome = shell.run(other).await;
                shell.controller.database.close().await;
                outcome
            })
        }
    }
}

/// What a command holds.
struct Shell {
    config: Config,
    controller: Controller,
    actor: Actor,
    output: Output,
}

impl Shell {
    async fn open(config: Config, shell_user: String, output: Output) -> Result<Self, Failure> {
        let database = open_database(&config).await?;
        let releases = ReleaseRoom::new(&config.data_directory, config.release_key.clone());
        let controller = Controller { releases, ..Controller::new(database) };
        Ok(Self { config, controller, actor: Actor::CommandLine(shell_user), output })
    }

    async fn run(&self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Migrate => {
                self.output.say("the database is up to date", &serde_json::json!({"ok": true}))
            }
            Command::Site { command } => self.site(command).await,
            Command::Router { command } => self.router(command).await,
            Command::BrokerConfig(wanted) => self.broker_config(wanted).await,
            Command::Staff { command } => self.staff(command).await,
            Command::Token { command } => self.token(command).await,
            Command::Mpesa { command } => self.mpesa(command).await,
            Command::Sms { command } => self.sms(command).await,
            Command::Audit { command } => self.audit(command).await,
            Command::Books { command } => self.books(command).await,
            Command::ConnectionType { command } => self.connection_type(command).await,
            Command::Plan { command } => self.plan(command).await,
            Command::TopUp { command } => self.top_up(command).await,
            Command::Customer { command } => self.customer(command).await,
            Command::Subscription { command } => self.subscription(command).await,
            Command::Release { command } => self.release(command).await,
            Command::Upgrade { command } => self.upgrade(command).await,
            Command::Serve | Command::Config { .. } => {
                Err(Failure::refused("this command needs no database and is run before one is opened"))
            }
        }
    }

    /// Leaves the audit row of an act that committed by itself.
    async fn note(&self, act: (Action, &str, &str)) -> Result<(), Failure> {
        let transaction = self.controller.database.write().await?;
        self.commit(transaction, act).await
    }

    /// Leaves the audit row of one act and commits it.
    async fn commit(
        &self,
        mut transaction: Transaction,
        (action, subject, detail): (Action, &str, &str),
    ) -> Result<(), Failure> {
        let Controller { ids, clock, .. } = &self.controller;
        let act = (action, subject, detail);
        audit::record(&mut transaction, &self.actor, act, ids, clock.now()).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Opens the database, in a data directory of our own.
async fn open_database(config: &Config) -> Result<Database, Failure> {
    data_directory::prepare(&config.data_directory)?;
    let _turn = data_directory::turn(&config.data_directory).await?;
    Database::open(&config.database_url).await.map_err(|error| match error {
        DatabaseError::UnsupportedUrl(_) => Failure::Refused(error.to_string()),
        other => {
            // What went wrong first, and then what to look at.
            let cure = "is the data directory writable for this user, and the disk not full?";
            Failure::Unavailable(anyhow::anyhow!("{:#}\ncure: {cure}", anyhow::Error::new(other)))
        }
    })
}
