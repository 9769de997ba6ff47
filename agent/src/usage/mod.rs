//! Counts what the lines of one router move, and tells when they come and go.
//!
//! Shares the reconciler's connection. A sample reads every session with its counters; it is taken at fixed intervals,
//! and at once when a listen says that somebody came or went, but never so often that it takes more than a tenth of the
//! router's time. All state goes through whole samples, so that news that arrive late or twice change nothing. Pure
//! parts: `join` (whose counters) and `tracker` (how much).

pub mod join;
pub mod tracker;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use routeros_api::{Client, Command, Error, Listen, Query, Reply};
use tawi_shared::wire::Service;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::clock::TrustedClock;
use crate::desired::DesiredState;
use crate::flow::{Event, Report, ReportSender, StateReceiver};
use crate::reconcile::RouterSettings;
use join::{HOTSPOT_PROPERTIES, INTERFACE_PROPERTIES, PPP_PROPERTIES, TUNNEL_PROPERTIES};
use tracker::{SampledAt, SeenSession, Tracker};

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
    pub(crate) fn new(settings: &RouterSettings, reports: ReportSender, clock: TrustedClock) -> Self {
        let mut tracker = Tracker::new(&settings.name);
        tracker.resume(&settings.open_sessions);
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
        let mut sessions = News::start(client).await;
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
                is_alive = sessions.next() => match is_alive {
                    true => has_news = true,
                    false => return self.wait_for_another(clients).await,
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

    async fn sample(&mut self, client: &Client, state: &DesiredState) -> Result<(), Error> {
        // Before the state is known, every session would be a stranger's and every known one would seem to have ended.
        if state.generation == 0 {
            return Ok(());
        }
        let seen = read_sessions(client).await?;
        let lines = lines_by_user(state, &self.router);
        let at = SampledAt { time: self.clock.now(), elapsed: self.origin.elapsed() };
        let line_of = |service, user: &str| lines.get(&(service, user)).map(|line| (*line).to_owned());
        let outcome = self.tracker.sample(at, &seen, line_of);
        for (kind, line, address) in outcome.events {
            let router = Some(self.router.clone());
            let event = Event { at: at.time, kind, line: Some(line), router, detail: address };
            let _ = self.reports.send(Report::Event(event)).await;
        }
        if !outcome.usage.is_empty() {
            let _ = self.reports.send(Report::Usage { sessions: outcome.usage }).await;
        }
        Ok(())
    }
}

/// Everybody who is logged in, with counters where the menus have them.
async fn read_sessions(client: &Client) -> Result<Vec<SeenSession>, Error> {
    let print = |path: &str, properties: &[&str]| Command::new(format!("{path}/print")).proplist(properties);
    let started = Instant::now();
    // In this order on the wire: see `join`. Each is asked for before the one before it is answered, and taken as
    // it comes.
    let tunnels_only = Query::equals("type", "pppoe-in");
    let (interfaces, tunnels, active, hotspot) = tokio::join!(
        biased;
        client.run(print("/interface", INTERFACE_PROPERTIES).query(tunnels_only)),
        client.run(print("/interface/pppoe-server", TUNNEL_PROPERTIES)),
        client.run(print("/ppp/active", PPP_PROPERTIES)),
        client.run(print("/ip/hotspot/active", HOTSPOT_PROPERTIES)),
    );
    let (interfaces, tunnels, active) = (rows(interfaces)?, rows(tunnels)?, rows(active)?);
    let mut sessions = join::join_pppoe(&interfaces, &tunnels, &active, started.elapsed());
    sessions.extend(join::read_hotspot(&rows(hotspot)?));
    Ok(sessions)
}

/// No rows from a menu that the router lacks or hides.
fn rows(reply: Result<Reply, Error>) -> Result<Vec<routeros_api::Row>, Error> {
    match reply {
        Ok(reply) => Ok(reply.rows),
        Err(error) if error.trap_kind().is_some() => Ok(Vec::new()),
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

/// News that somebody came or went.
struct News {
    ppp: Option<Listen>,
    hotspot: Option<Listen>,
}

impl News {
    async fn start(client: &Client) -> Self {
        let listen = |path: &str| Command::new(format!("{path}/listen")).proplist(&[".id"]);
        Self {
            ppp: client.listen(listen("/ppp/active")).await.ok(),
            hotspot: client.listen(listen("/ip/hotspot/active")).await.ok(),
        }
    }

    /// Waits for news: `false` when the connection is over. A listen that the router ends is done without.
    async fn next(&mut self) -> bool {
        loop {
            let (slot, news) = tokio::select! {
                news = next_of(&mut self.ppp) => (&mut self.ppp, news),
                news = next_of(&mut self.hotspot) => (&mut self.hotspot, news),
            };
            match news {
                Some(Ok(_)) => return true,
                Some(Err(error)) if error.is_connection_lost() => return false,
                Some(Err(_)) | None => *slot = None,
            }
        }
    }
}

async fn next_of(listen: &mut Option<Listen>) -> Option<Result<routeros_api::Change, Error>> {
    match listen {
        Some(listen) => listen.next().await,
        None => std::future::pending().await,
    }
}
