//! What the router tells of itself: who comes and goes, and its log of accounts.
//!
//! The log is listened to, and read once after each connection: what was logged while nobody listened stands there
//! still. What of it was heard already decides `logout.rs`, and what a line means for a session `tracker.rs`. A listen
//! that the router ends or refuses is done without, as sampled totals stand in.

use std::collections::BTreeSet;

use routeros_api::{Change, Client, Command, Error, Listen, Query, Row};
use tawi_shared::wire::Service;

use super::join::PPP;
use super::logout::{AccountLine, Caught, Heard, account_line, topics};
use crate::reconcile::actual::text;
use crate::reconcile::read::read_rows;

/// What to read of the log.
const LOG_PROPERTIES: &[&str] = &["topics", "message"];

/// News of the router.
pub(super) enum Told {
    /// Somebody came or went.
    CameOrWent,
    /// It logged that somebody was logged out.
    Logged(AccountLine),
    /// Lines of the log were dropped on their way.
    Missed,
}

/// What is listened to.
pub(super) struct News {
    log: Option<Listen>,
    ppp: Option<Listen>,
    hotspot: Option<Listen>,
}

impl News {
    pub(super) async fn start(client: &Client, services: &BTreeSet<Service>) -> Self {
        let listen = |path: &str| Command::new(format!("{path}/listen"));
        let log = match account_query(services) {
            Some(query) => {
                let log = listen("/log").proplist(LOG_PROPERTIES).query(query);
                client.listen(log).await.ok()
            }
            None => None,
        };
        let ppp = match PPP.iter().any(|menus| services.contains(&menus.service)) {
            true => client.listen(listen("/ppp/active").proplist(&[".id"])).await.ok(),
            false => None,
        };
        let hotspot = match services.contains(&Service::Hotspot) {
            true => client.listen(listen("/ip/hotspot/active").proplist(&[".id"])).await.ok(),
            false => None,
        };
        Self { log, ppp, hotspot }
    }

    /// The lines of the log that were not heard. To be asked for after the listen began: a line that comes both ways
    /// counts once.
    pub(super) async fn catch_up(
        &self,
        client: &Client,
        services: &BTreeSet<Service>,
        heard: &mut Heard,
    ) -> Caught {
        let nothing = || Caught::Missed(Vec::new());
        let Some(query) = account_query(services) else { return nothing() };
        let print = Command::new("/log/print").proplist(LOG_PROPERTIES).query(query);
        let unheard = match read_rows(client, print, log_line).await {
            Ok(lines) => heard.catch_up(services, lines),
            // As long as the connection is lost, nothing is missed that the next one does not show.
            Err(error) if error.is_connection_lost() => return nothing(),
            Err(_) => {
                heard.lose();
                nothing()
            }
        };
        if self.log.is_none() {
            heard.lose();
        }
        unheard
    }

    /// Waits for news: `None` when the connection is over. The log goes first: it knows the final totals of a session
    /// whose row is about to be missed. When its listen ends, `heard` is lost.
    pub(super) async fn next(&mut self, heard: &mut Heard) -> Option<Told> {
        loop {
            let (slot, news) = tokio::select! {
                biased;
                news = next_of(&mut self.log) => (&mut self.log, news.map(|news| (news, true))),
                news = next_of(&mut self.ppp) => (&mut self.ppp, news.map(|news| (news, false))),
                news = next_of(&mut self.hotspot) => (&mut self.hotspot, news.map(|news| (news, false))),
            };
            match news {
                Some((Ok(Change::Row(row)), true)) => {
                    if let Some(line) = log_line(&row) {
                        heard.hear(&line);
                        return Some(Told::Logged(line));
                    }
                }
                Some((Ok(Change::Resync), true)) => return Some(Told::Missed),
                // A line makes room for others.
                Some((Ok(Change::Removed(_)), true)) => {}
                Some((Ok(_), false)) => return Some(Told::CameOrWent),
                Some((Err(error), _)) if error.is_connection_lost() => return None,
                Some((Err(_), is_log)) => {
                    *slot = None;
                    if is_log {
                        heard.lose();
                    }
                }
                None => {
                    *slot = None;
                    if self.log.is_none() {
                        heard.lose();
                    }
                }
            }
        }
    }
}

fn account_query(services: &BTreeSet<Service>) -> Option<Query> {
    let topics: Vec<String> =
        PPP.iter().filter(|menus| services.contains(&menus.service)).map(topics).collect();
    Query::any_of("topics", &topics)
}

fn log_line(row: &Row) -> Option<AccountLine> {
    account_line(&text(row, "topics")?, &text(row, "message")?)
}

async fn next_of(listen: &mut Option<Listen>) -> Option<Result<Change, Error>> {
    match listen {
        Some(listen) => listen.next().await,
        None => std::future::pending().await,
    }
}
