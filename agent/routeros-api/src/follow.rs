//! A menu that is followed: what it has, and what becomes different, across lost listens and lost connections.
//!
//! ```text
//!  resume(client) ─► listen ─► print beside it ─► settled ─► differences as they are told
//!                      ▲             ▲                          │ told too fast, or a removal
//!                      │             └──────────────────────────┤ of who knows what
//!                      └────────────────────────────────────────┘ the router ended the listen
//! ```
//!
//! A listen has no first snapshot, so it starts before the print and both are merged ([`snapshot`]). It refuses to
//! connect: when the connection is lost the caller makes another and resumes, and is told only what is different from
//! what it knew. Counters that move make no rows; see [`Client::listen`].

mod snapshot;

use std::collections::VecDeque;

use crate::client::{Change, Client, Listen, REPLY_ROWS, RowStream};
use crate::command::Command;
use crate::error::{Error, Lost};
use crate::sentence::Row;
use crate::trap::TrapKind;

use snapshot::Snapshot;

pub use snapshot::Difference;

/// Beginnings in a row that come to nothing before the caller hears of it: someone cancels our listens, or rows
/// change faster than they can be read. Each of them costs the router a print.
const FRUITLESS_BEGINNINGS: usize = 5;

/// What following a menu has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Something is not as it was known.
    Difference(Difference),
    /// All that is known is as the router has it: after the first print, and after every later one.
    Settled,
}

/// Follows one menu.
///
/// ```no_run
/// # async fn example(connect: impl AsyncFn() -> routeros_api::Client) -> Result<(), routeros_api::Error> {
/// use routeros_api::{Difference, Follow, News};
/// let mut sessions = Follow::new("/ppp/active", &["name", "address", "session-id"], &["name", "session-id"]);
/// loop {
///     sessions.resume(connect().await);
///     let error = loop {
///         match sessions.next().await {
///             Ok(News::Difference(Difference::Added(row))) => println!("{:?} is there", row.get("name")),
///             Ok(News::Difference(Difference::Removed(row))) => println!("{:?} is gone", row.get("name")),
///             Ok(_) => {}
///             Err(error) => break error,
///         }
///     };
///     if !error.is_connection_lost() {
///         return Err(error);
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Follow {
    menu: &'static str,
    proplist: Vec<&'static str>,
    snapshot: Snapshot,
    stage: Stage,
    ready: VecDeque<News>,
    fruitless: usize,
}

#[derive(Debug)]
enum Stage {
    /// There is no connection.
    Apart,
    /// The listen is to be started.
    Fresh(Client),
    /// Listening; the print is to be started.
    Listening(Client, Listen),
    Printing(Client, Listen, RowStream),
    Following(Client, Listen),
}

/// What was waited for.
enum Step {
    Listen(Result<Listen, Error>),
    Print(Result<RowStream, Error>),
    Printed(Option<Result<Row, Error>>),
    Told(Option<Result<Change, Error>>),
}

impl Follow {
    /// Will follow `menu`, such as `/ppp/active`, by these properties. Those named by `key` make a row the same row
    /// as one known before; where they do not tell rows apart, rows are matched by all their properties.
    ///
    /// Ask for no properties that move by themselves, such as `uptime`: every print would show them changed.
    #[must_use]
    pub fn new(menu: &'static str, properties: &[&'static str], key: &[&'static str]) -> Self {
        let mut proplist = vec![".id"];
        for name in properties.iter().chain(key) {
            if !proplist.contains(name) {
                proplist.push(name);
            }
        }
        let snapshot = Snapshot::new(&proplist, key);
        Self { menu, proplist, snapshot, stage: Stage::Apart, ready: VecDeque::new(), fruitless: 0 }
    }

    /// Goes on through this connection, from what is known.
    pub fn resume(&mut self, client: Client) {
        self.fruitless = 0;
        self.stage = Stage::Fresh(client);
    }

    /// Prints the menu once more, beside the same listen: a menu should be, from time to time, because `listen` may
    /// not work everywhere.
    pub fn print_again(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Apart) {
            Stage::Following(client, listen) | Stage::Printing(client, listen, _) => {
                Stage::Listening(client, listen)
            }
            other => other,
        };
    }

    /// The rows as far as is known; across a lost connection, as they were.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.snapshot.rows()
    }

    /// What is new next. Safe to drop and call again.
    ///
    /// # Errors
    /// Any [`Error`]. If it says that the connection is lost, [`Follow::resume`] with another; otherwise the next call
    /// begins anew on this one, and how soon is the caller's decision. [`Error::UnexpectedReply`] when beginning comes
    /// to nothing again and again. [`Error::Closed`] before the first resume.
    pub async fn next(&mut self) -> Result<News, Error> {
        loop {
            if let Some(news) = self.ready.pop_front() {
                return Ok(news);
            }
            let step = match &mut self.stage {
                Stage::Apart => return Err(Error::Closed { cause: Lost::ClosedHere }),
                Stage::Fresh(client) => {
                    Step::Listen(client.listen(ask(self.menu, "listen", &self.proplist)).await)
                }
                Stage::Listening(client, _) => {
                    Step::Print(client.rows(ask(self.menu, "print", &self.proplist)).await)
                }
                Stage::Printing(_, listen, print) => tokio::select! {
                    biased;
                    told = listen.next() => Step::Told(told),
                    row = print.next() => Step::Printed(row),
                },
                Stage::Following(_, listen) => Step::Told(listen.next().await),
            };
            if let Err(error) = self.apply(step) {
                self.begin_anew(error.is_connection_lost());
                return Err(error);
            }
        }
    }

    fn apply(&mut self, step: Step) -> Result<(), Error> {
        match (step, std::mem::replace(&mut self.stage, Stage::Apart)) {
            (Step::Listen(listen), Stage::Fresh(client)) => {
                // In place before an error can leave through `?`.
                self.stage = Stage::Fresh(client.clone());
                self.stage = Stage::Listening(client, listen?);
            }
            (Step::Print(print), Stage::Listening(client, listen)) => {
                self.stage = Stage::Fresh(client.clone());
                self.snapshot.begin_print();
                self.stage = Stage::Printing(client, listen, print?);
            }
            (Step::Printed(Some(row)), stage) => {
                self.stage = stage;
                let row = row?;
                let problem = "a row without an .id";
                let id = row.id().ok_or(Error::UnexpectedReply { menu: self.menu, problem })?;
                self.snapshot.printed(&id, row);
                self.check_size()?;
            }
            (Step::Printed(None), Stage::Printing(client, listen, _)) => {
                self.stage = Stage::Following(client, listen);
                let differences = self.snapshot.end_print();
                self.ready.extend(differences.into_iter().map(News::Difference));
                self.ready.push_back(News::Settled);
            }
            (Step::Told(told), stage) => {
                self.stage = stage;
                self.hear(told)?;
            }
            (_, stage) => self.stage = stage,
        }
        Ok(())
    }

    fn hear(&mut self, told: Option<Result<Change, Error>>) -> Result<(), Error> {
        let differences = match told {
            Some(Ok(Change::Row(row))) => match row.id() {
                Some(id) => self.snapshot.told(&id, row),
                // It changed, and what it is cannot be told.
                None => return self.print_anew(),
            },
            Some(Ok(Change::Removed(id))) => self.snapshot.told_removed(&id),
            Some(Ok(Change::Resync)) => return self.print_anew(),
            Some(Err(error)) if error.trap_kind() != Some(TrapKind::Interrupted) => return Err(error),
            // Over by itself, or cancelled by somebody at the router.
            Some(Err(_)) | None => {
                self.count_fruitless("its listen ends again and again")?;
                self.begin_anew(false);
                return Ok(());
            }
        };
        if matches!(self.stage, Stage::Following(..)) {
            self.fruitless = 0;
        }
        self.ready.extend(differences.into_iter().map(News::Difference));
        self.check_size()
    }

    fn print_anew(&mut self) -> Result<(), Error> {
        if matches!(self.stage, Stage::Printing(..)) {
            self.count_fruitless("it changes faster than it can be read")?;
        }
        self.print_again();
        Ok(())
    }

    fn count_fruitless(&mut self, problem: &'static str) -> Result<(), Error> {
        self.fruitless = self.fruitless.saturating_add(1);
        if self.fruitless < FRUITLESS_BEGINNINGS {
            return Ok(());
        }
        self.fruitless = 0;
        Err(Error::UnexpectedReply { menu: self.menu, problem })
    }

    /// Drops listen and print, which cancels them.
    fn begin_anew(&mut self, is_lost: bool) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Apart) {
            _ if is_lost => Stage::Apart,
            Stage::Apart => Stage::Apart,
            Stage::Fresh(client)
            | Stage::Listening(client, _)
            | Stage::Printing(client, ..)
            | Stage::Following(client, _) => Stage::Fresh(client),
        };
    }

    /// As for every reply that is kept in memory; while a print runs, old and new rows are there.
    fn check_size(&self) -> Result<(), Error> {
        if self.snapshot.len() > REPLY_ROWS.saturating_mul(2) {
            return Err(Error::ReplyTooLarge { limit: REPLY_ROWS });
        }
        Ok(())
    }
}

fn ask(menu: &str, verb: &str, proplist: &[&str]) -> Command {
    Command::new(format!("{menu}/{verb}")).proplist(proplist)
}
