//! Counts what the lines of one router move, and tells when they come and go.
//!
//! Shares the reconciler's connection. A sample reads every session with its counters; it is taken at fixed intervals,
//! and at once when a listen says that somebody came or went, but never so often that it takes more than a tenth of the
//! router's time. Sessions come and go by whole samples alone, so that news that arrive late or twice change nothing; only the
//! router's own log-out totals end a session by themselves. Pure parts: `join` (whose counters), `logout` (the router's
//! last word) and `tracker` (how much).

pub mod join;
pub mod logout;
pub mod tracker;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use routeros_api::{Change, Client, Command, Error, Listen, Query, Row};
use tawi_shared::wire::Service;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::clock::TrustedClock;
use crate::desired::DesiredState;
use crate::flow::{Event, Report, ReportSender, StateReceiver};
use crate::reconcile::RouterSettings;
use crate::reconcile::actual::text;
use crate::reconcile::read::{read_rows, unavailable};
use join::{HOTSPOT_PROPERTIES, INTERFACE_PROPERTIES, PPP_PROPERTIES, TUNNEL_PROPERTIES};
use logout::{TOPICS, parse_log_out};
use tracker::{Outcome, SampledAt, SeenSession, Tracker};

/// The shortest time between two samples that news trigger. A town whose power returns dials in within seconds.
const NEWS_PAUSE: Duration = Duration::from_secs(1);
/// A sample may take this share of the router's time: one part in ten.
const PAUSE_PER_SAMPLE: u32 = 10;

/// The connection, while there is one.
pub(crate) type SharedClient = watch::Receiver<Option<Client>>;

/// The counting half of a router's task.
pub(crate) struct Counter {
    router: String,
    interval: Duration,
    reports: ReportSender,
    clock: TrustedClock,
    tracker: Tracker,
    origin: Instant,
}

/// Why serving a connection ended.
enum End {
    Stopped,
    Disconnected,
}

impl Counter {
    /// Takes the open sessions out of the settings: they would be held for as long as the router is served.
    pub(crate) fn new(settings: &mut RouterSettings, reports: ReportSender, clock: TrustedClock) -> Self {
        let mut tracker = Tracker::new(&settings.name);
        tracker.resume(&std::mem::take(&mut settings.open_sessions));
        if !settings.are_sessions_known {
            tracker.doubt_running();
        }
        Self {
            router: settings.name.clone(),
            interval: settings.timings.sample,
            reports,
            clock,
            tracker,
            origin: Instant::now(),
        }
    }

    /// Counts until the agent stops.
    pub(crate) async fn run(mut self, mut clients: SharedClient, state: StateReceiver) {
        loop {
            let client = clients.borrow_and_update().clone();
            if let Some(client) = client
                && matches!(self.serve(&client, &mut clients, &state).await, End::Stopped)
            {
                return;
            }
            if clients.wait_for(Option::is_some).await.is_err() {
                return;
            }
        }
    }

    async fn serve(&mut self, client: &Client, clients: &mut SharedClient, state: &StateReceiver) -> End {
        let mut news = News::start(client).await;
        let mut next_sample = Instant::now();
        let mut next_by_news = Instant::now();
        let mut has_news = false;
        loop {
            let due = if has_news { next_sample.min(next_by_news) } else { next_sample };
            tokio::select! {
                () = sleep_until(due) => {
                    let started = Instant::now();
                    let current = Arc::clone(&state.borrow());
                    match Box::pin(self.sample(client, &current)).await {
                        Ok(()) => {}
                        Err(error) if error.is_connection_lost() => return self.wait_for_another(clients).await,
                        Err(error) => {
                            tracing::warn!(router.name = %self.router, %error, "a sample of usage failed");
                        }
                    }
                    let pause = started.elapsed().saturating_mul(PAUSE_PER_SAMPLE).max(NEWS_PAUSE);
                    next_by_news = Instant::now() + pause;
                    next_sample = started + self.interval.max(pause);
                    has_news = false;
                }
                news = news.next() => match news {
                    Some(Told::CameOrWent) => has_news = true,
                    Some(Told::Logged(row)) => self.take_log_line(&row).await,
                    None => return self.wait_for_another(clients).await,
                },
                changed = clients.changed() => return match changed {
                    Ok(()) => End::Disconnected,
                    Err(_) => End::Stopped,
                },
                () = self.reports.closed() => return End::Stopped,
            }
        }
    }

    /// The connection is over; the reconciler notices too and makes another.
    async fn wait_for_another(&self, clients: &mut SharedClient) -> End {
        match clients.changed().await {
            Ok(()) => End::Disconnected,
            Err(_) => End::Stopped,
        }
    }

    async fn take_log_line(&mut self, row: &Row) {
        let Some(word) = text(row, "message").and_then(|message| parse_log_out(&message)) else { return };
        let at = self.sampled_at();
        let outcome = self.tracker.log_out(at, &word);
        self.tell(at, outcome).await;
    }

    fn sampled_at(&self) -> SampledAt {
        SampledAt { time: self.clock.now(), elapsed: self.origin.elapsed() }
    }

    async fn sample(&mut self, client: &Client, state: &DesiredState) -> Result<(), Error> {
        // Before the state is known, every session would be a stranger's and every known one would seem to have ended.
        if state.generation == 0 {
            return Ok(());
        }
        let seen = read_sessions(client).await?;
        let lines = lines_by_user(state, &self.router);
        let at = self.sampled_at();
        let line_of = |service, user: &str| lines.get(&(service, user)).map(|line| (*line).to_owned());
        let outcome = self.tracker.sample(at, &seen, line_of);
        self.tell(at, outcome).await;
        Ok(())
    }

    async fn tell(&self, at: SampledAt, outcome: Outcome) {
        for (kind, line, address) in outcome.events {
            let router = Some(self.router.clone());
            let event = Event { at: at.time, kind, line: Some(line), router, detail: address };
            let _ = self.reports.send(Report::Event(event)).await;
        }
        if !outcome.usage.is_empty() {
            let _ = self.reports.send(Report::Usage { sessions: outcome.usage }).await;
        }
    }
}

/// Everybody who is logged in, with counters where the menus have them.
async fn read_sessions(client: &Client) -> Result<Vec<SeenSession>, Error> {
    let print = |path: &str, properties: &[&str]| Command::new(format!("{path}/print")).proplist(properties);
    let started = Instant::now();
    // In this order on the wire: see `join`. Each is asked for before the one before it is answered, and taken as
    // it comes.
    let tunnels_only = Query::equals("type", "pppoe-in");
    let (counters, tunnels, active, hotspot) = tokio::join!(
        biased;
        read_rows(client, print("/interface", INTERFACE_PROPERTIES).query(tunnels_only), join::counters_row),
        read_rows(client, print("/interface/pppoe-server", TUNNEL_PROPERTIES), join::tunnel_row),
        read_rows(client, print("/ppp/active", PPP_PROPERTIES), join::pppoe_row),
        read_rows(client, print("/ip/hotspot/active", HOTSPOT_PROPERTIES), join::hotspot_row),
    );
    let (counters, tunnels, active) = (there(counters)?, there(tunnels)?, there(active)?);
    let mut sessions = join::join_pppoe(counters, tunnels, active, started.elapsed());
    sessions.extend(there(hotspot)?);
    Ok(sessions)
}

/// No rows from a menu that the router lacks or hides. After any other trap nobody knows who is logged in, and the sample
/// is none: it would end every session.
fn there<T>(read: Result<Vec<T>, Error>) -> Result<Vec<T>, Error> {
    match read {
        Ok(rows) => Ok(rows),
        Err(error) if unavailable(&error).is_some() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn lines_by_user<'a>(state: &'a DesiredState, router: &str) -> HashMap<(Service, &'a str), &'a str> {
    let lines = state.lines.values().map(|line| &line.item).filter(|line| line.router == router);
    let key = |line: &'a tawi_shared::wire::LineV1| {
        let service = Service::from_code(line.service)?;
        Some(((service, line.username.as_str()), line.line.as_str()))
    };
    lines.filter_map(key).collect()
}

/// What the router tells of itself.
enum Told {
    /// Somebody came or went.
    CameOrWent,
    /// It logged something about an account.
    Logged(Row),
}

/// What is listened to. A listen that the router ends or refuses is done without.
struct News {
    log: Option<Listen>,
    ppp: Option<Listen>,
    hotspot: Option<Listen>,
}

impl News {
    async fn start(client: &Client) -> Self {
        let listen = |path: &str| Command::new(format!("{path}/listen"));
        let log = listen("/log").proplist(&["message"]).query(Query::equals("topics", TOPICS));
        Self {
            log: client.listen(log).await.ok(),
            ppp: client.listen(listen("/ppp/active").proplist(&[".id"])).await.ok(),
            hotspot: client.listen(listen("/ip/hotspot/active").proplist(&[".id"])).await.ok(),
        }
    }

    /// Waits for news: `None` when the connection is over. The log goes first: it knows the final totals of a session
    /// whose row is about to be missed.
    async fn next(&mut self) -> Option<Told> {
        loop {
            let (slot, news) = tokio::select! {
                biased;
                news = next_of(&mut self.log) => (&mut self.log, news.map(|news| (news, true))),
                news = next_of(&mut self.ppp) => (&mut self.ppp, news.map(|news| (news, false))),
                news = next_of(&mut self.hotspot) => (&mut self.hotspot, news.map(|news| (news, false))),
            };
            match news {
                Some((Ok(Change::Row(row)), true)) => return Some(Told::Logged(row)),
                // Lines that make room in the log, or were dropped: sampled totals stand in.
                Some((Ok(_), true)) => {}
                Some((Ok(_), false)) => return Some(Told::CameOrWent),
                Some((Err(error), _)) if error.is_connection_lost() => return None,
                Some((Err(_), _)) | None => *slot = None,
            }
        }
    }
}

async fn next_of(listen: &mut Option<Listen>) -> Option<Result<Change, Error>> {
    match listen {
        Some(listen) => listen.next().await,
        None => std::future::pending().await,
    }
}
