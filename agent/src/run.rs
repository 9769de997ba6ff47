//! Puts the parts of the running agent together, starts them and waits for the end.
//!
//! Reconcilers start from what is on flash, before head office is dialled: a site that boots without its backhaul
//! enforces at once. Nothing is decided here. What each failure to start means for the exit code is `main.rs`'s
//! business.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use routeros_api::{Options, TlsTrust, Transport};
use tawi_shared::Gather as _;
use tawi_shared::release::Sha256;
use tawi_shared::{Clock, IdSource};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{info, warn};

use crate::api_log::ApiLog;
use crate::clock::{KeptTime, TrustedClock};
use crate::config::{Config, RouterConfig, RouterTransport};
use crate::contact::Contact;
use crate::flow::REPORTS_WAITING;
use crate::link::dialer::{BindError, bind_private};
use crate::link::proof::{Carrier, ProofError, proof};
use crate::link::{self, ByteCounters, INBOUND_WAITING, LinkSettings};
use crate::outbox::owner::{OwnerError, check_owner, note_owner};
use crate::outbox::{Opening, Outbox, StoreError};
use crate::own_log;
use crate::reconcile::found::FoundMemory;
use crate::reconcile::guard::GuardLimits;
use crate::reconcile::orders::Orders;
use crate::reconcile::{self, RouterSettings, WriteGate};
use crate::remote::{self, Hands};
use crate::service;
use crate::site::{Ending, Ends, Site, Tools, UpgradeTools};
use crate::status::{self, Doors};
use crate::tuning::{Tuned, Tuning};
use crate::upgrade::books::Books;
use crate::upgrade::shelf::Shelf;
use crate::upgrade::starts::Starts;
use crate::upgrade::{self, Build};
use crate::usage::book::Quotas;
use crate::usage::quota::QuotaBook;

/// Why the agent cannot start. Each names what to do.
#[derive(Debug, Error)]
pub enum StartError {
    /// Nothing proves this device to head office, and it never was a site.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The CA of a router.
    #[error("router.tls_ca_file of {router:?}: {}: {problem}\n  cure: name a PEM file with the CA of that router", path.display())]
    RouterCa {
        /// Which router.
        router: String,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The state directory.
    #[error("state_directory: {0}\n  cure: let the agent's user own it, and run one agent only")]
    Store(#[from] StoreError),
    /// What the state directory keeps is another site's.
    #[error("state_directory: {0}")]
    Owner(#[from] OwnerError),
    /// A socket.
    #[error(transparent)]
    Socket(#[from] BindError),
    /// Signals cannot be heard.
    #[error("signals cannot be heard: {0}")]
    Signals(#[from] std::io::Error),
}

/// Runs the agent until SIGTERM, SIGINT, or a release that is to take its place. `release` is which one it is itself, if it is none
/// of the package's.
///
/// # Errors
/// [`StartError`] says why it did not start; a started agent only ends when it is asked to.
pub async fn run(config: Config, build: Build, release: Option<Sha256>) -> Result<Ending, StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop_sender, stop) = oneshot::channel();
    let mut watching = JoinSet::new();
    watching.spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        service::stopping();
        // The agent may have ended already.
        let _ = stop_sender.send(());
    });
    Box::pin(run_until((config, build, release), stop, Clock::system(), IdSource::system())).await
}

/// Runs the agent until `stop`, with a clock and random numbers of the caller's choice.
///
/// # Errors
/// [`StartError`] says why it did not start.
pub async fn run_until(
    (config, build, release): (Config, Build, Option<Sha256>),
    stop: oneshot::Receiver<()>,
    clock: Clock,
    ids: IdSource,
) -> Result<Ending, StartError> {
    // Before anything is left in the state directory that a site would have.
    if !config.was_a_site() {
        proof(&config, TrustedClock::new(clock.clone(), KeptTime::default()))?;
    }
    match check_owner(&config.state_directory, &config.site) {
        // A file that cannot be read proves nothing, and a site whose disk is in trouble is served as well.
        Err(error @ (OwnerError::Unreadable { .. } | OwnerError::Damaged(_))) => {
            warn!(%error, "nothing says whose store this is");
        }
        verdict => verdict?,
    }
    let (outbox, mut opening) = Outbox::start(&config.state_directory, ids.clone(), clock.clone()).await?;
    let served = config.routers.iter().map(|router| router.name.clone()).into_set();
    if let Err(error) = note_owner(&config.state_directory, &config.site) {
        warn!(%error, "whose store this is cannot be written down yet; it is tried again at the next start");
    }
    // A disk that does not answer has the agent go on without: the file is for whoever looks while it is stopped.
    let _ = outbox.call(move |keeper| keeper.serve(served)).await;
    let trusted = TrustedClock::new(clock.clone(), opening.marks.time);
    let contact = Contact::remembered(opening.marks.silence.unwrap_or_default());
    let bytes = Arc::new(ByteCounters::default());
    let status_listener = bind_private(&config.status_socket())?;

    let book = QuotaBook::load(opening.epoch, &std::mem::take(&mut opening.book), &opening.open_sessions);
    let quotas = Quotas::new(book);
    let (state_sender, state) = watch::channel(Arc::clone(&opening.state));
    let (report_sender, reports) = mpsc::channel(REPORTS_WAITING);
    let (link_sender, inbound) = mpsc::channel(INBOUND_WAITING);
    let (question_sender, questions) = mpsc::channel(status::QUESTIONS);
    let (errands, asked) = mpsc::channel(remote::WAITING);
    let (upgrade_errands, upgrade_asked) = mpsc::channel(upgrade::ERRANDS_WAITING);
    let writing = WriteGate::default();

    let own = Tuned::of(&config);
    let tuning = Tuning::new(own, config.controller.takes_settings, std::mem::take(&mut opening.settings));
    own_log::set_level(tuning.now().log_level);
    let tuned = tuning.watch();
    let carrier = Carrier {
        config: config.clone(),
        clock: trusted.clone(),
        ids: ids.clone(),
        bytes: Arc::clone(&bytes),
        outbox: outbox.clone(),
        settings: LinkSettings {
            site: config.site.clone(),
            tuned: tuned.clone(),
            keep_alive: link::keep_alive::Bounds::default(),
            reconnect_base: config.controller.reconnect_base,
        },
        core: link_sender,
    };
    let opened = match carrier.open() {
        Err(ProofError::Door(error)) => return Err(error.into()),
        opened => opened,
    };

    let log = ApiLog::default();
    let orders: BTreeMap<String, Orders> =
        config.routers.iter().map(|router| (router.name.clone(), Orders::default())).into_map();
    let memories: BTreeMap<String, FoundMemory> =
        config.routers.iter().map(|router| (router.name.clone(), FoundMemory::default())).into_map();
    // Before the reconcilers are spawned: their first look at the state is what was on flash.
    let site = Site::new(
        Tools {
            site: config.site.clone(),
            clock: trusted.clone(),
            contact: contact.clone(),
            ids: ids.clone(),
            outbox: outbox.clone(),
            state: state_sender,
            quotas: quotas.clone(),
            tuning,
            bytes,
            log: log.clone(),
            orders: orders.clone(),
            memories: memories.clone(),
            routers: config.routers.iter().map(|router| router.name.clone()).collect(),
            errands,
            upgrade: UpgradeTools {
                errands: upgrade_errands,
                prove_within: build.prove_within,
                version: build.mark.version.to_string(),
                is_release: release.is_some(),
            },
        },
        &opening,
    );
    // Everything in here ends with this function.
    let (mut tasks, mut reconcilers) = (JoinSet::new(), Reconcilers::default());
    let mut releases = BTreeMap::new();
    for router in &config.routers {
        let mut settings = router_settings(&config, router, &mut opening)?;
        settings.contact = contact.clone();
        settings.writing = Arc::clone(&writing);
        settings.connect.witness = Some(log.witness(&router.name, trusted.clone(), state.clone()));
        settings.quotas = quotas.clone();
        settings.orders = orders.get(&router.name).cloned().unwrap_or_default();
        settings.found = memories.get(&router.name).cloned().unwrap_or_default();
        releases.insert(router.name.clone(), settings.release.clone());
        reconcilers.0.push(reconcile::spawn(settings, state.clone(), report_sender.clone(), trusted.clone()));
    }
    let hands = Hands {
        config: Arc::new(config.clone()),
        clock,
        questions: question_sender.clone(),
        reports: report_sender,
        tuned: tuned.clone(),
        turn: Arc::default(),
    };
    let shelf = Shelf::of(&config.state_directory);
    let upgrade_config = config.upgrade.clone();
    let starts = Starts::of(&config.runtime_directory);
    let opened_at = hands.clock.now();
    let open = move || Books::open(shelf, (upgrade_config, build, release), starts, opened_at);
    let (upgrade_clock, upgrade_reports) = (hands.clock.clone(), hands.reports.clone());
    tasks.spawn(upgrade::worker::run(open, upgrade_clock, upgrade_asked, upgrade_reports, writing));
    // What was found on flash has been handed on, and would be held for as long as the agent runs.
    drop(opening);
    tasks.spawn(Box::pin(carrier.run(opened)));
    let doors = Doors { releases, orders, state, clock: trusted, questions: question_sender };
    tasks.spawn(status::serve(status_listener, doors));
    tasks.spawn(Box::pin(remote::run(hands, asked)));
    service::ready();
    info!(site.id = %config.site, site.routers = config.routers.len(), "started");
    let ending = Box::pin(site.run(Ends { inbound, reports, questions, stop })).await;
    let _ = std::fs::remove_file(config.status_socket());
    Ok(ending)
}

/// The reconcilers' tasks. They end with it: every write of theirs may be cut off at any point.
#[derive(Default)]
struct Reconcilers(Vec<JoinHandle<()>>);

impl Drop for Reconcilers {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// What the reconciler of one router must know. Its open sessions are taken out of what was found.
fn router_settings(
    config: &Config,
    router: &RouterConfig,
    opening: &mut Opening,
) -> Result<RouterSettings, StartError> {
    let mut settings = RouterSettings::new(&router.name, router_options(router)?);
    settings.timings.full_check = config.enforce.full_check;
    settings.timings.sample = config.enforce.sample;
    settings.timings.idle = config.enforce.idle;
    settings.guard = GuardLimits {
        percent: config.enforce.guard_percent,
        lines: usize::try_from(config.enforce.guard_lines).unwrap_or(usize::MAX),
        ..settings.guard
    };
    settings.settled_generation = opening.settled.get(&router.name).copied();
    settings.is_past_unknown = opening.epoch == 0 || opening.marks.lived.is_some();
    settings.looked_at = Arc::clone(&opening.looked_at);
    settings.past_known = opening.marks.lived.unwrap_or_default();
    settings.memory = opening.memories.remove(&router.name).unwrap_or_default();
    (settings.open_sessions, settings.are_sessions_known) = opening.take_sessions_of(&router.name);
    Ok(settings)
}

/// How to connect to a router. The doctor connects the same way.
///
/// # Errors
/// [`StartError::RouterCa`].
pub fn router_options(router: &RouterConfig) -> Result<Options, StartError> {
    let bad_ca = |path: &PathBuf, problem: String| StartError::RouterCa {
        router: router.name.clone(),
        path: path.clone(),
        problem,
    };
    let transport = match &router.transport {
        RouterTransport::Plain => Transport::Plain,
        RouterTransport::PinnedTls { fingerprint } => Transport::Tls(TlsTrust::Pin(*fingerprint)),
        RouterTransport::CaTls { ca_file } => {
            let pem = std::fs::read(ca_file).map_err(|error| bad_ca(ca_file, error.to_string()))?;
            Transport::Tls(TlsTrust::ca_pem(&pem).map_err(|error| bad_ca(ca_file, error.to_string()))?)
        }
    };
    let address = if router.host.contains(':') {
        format!("[{}]:{}", router.host, router.port)
    } else {
        format!("{}:{}", router.host, router.port)
    };
    let password = routeros_api::Secret::new(router.password.reveal().as_bytes().to_vec());
    Ok(Options::new(address, transport, &router.user, password))
}
