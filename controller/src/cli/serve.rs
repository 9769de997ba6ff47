//! `serve`: starts everything in order, says that it is ready, and ends it in order.
//!
//! ```text
//!  database ─▶ certificate authority ─▶ broker ─▶ link to the sites ─▶ M-Pesa and other workers ─▶ pages ─▶ ready
//! ```
//!
//! A worker that ends before it was asked to is a fault: everything stops, and systemd starts it afresh.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::sites::PKI_DIRECTORY;
use super::{Failure, data_directory, open_database};
use crate::config::{Config, Environment, LogFormat};
use crate::messages::sender::Channel;
use crate::messages::settings::ChannelSettings;
use crate::mpesa::ShortCodes;
use crate::payments::refunds::send::run_refunds;
use crate::pki::Pki;
use crate::releases::ReleaseRoom;
use crate::shutdown::{Shutdown, Stop};
use crate::sites::enrolment::Tickets;
use crate::state::Controller;
use crate::web::{self, Proxies, Web};
use crate::{broker, jobs, messages, mpesa, mqtt};

/// Two cores are what a controller has; more threads would only take turns.
const WORKERS: usize = 2;
/// How long the parts may take to end. systemd waits 45 s before it kills.
const FAREWELL: Duration = Duration::from_secs(20);
/// How often the state line of `systemctl status` and the watchdog are fed, when systemd asks for no watchdog.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long the database may take to answer a heartbeat.
const HEARTBEAT_PATIENCE: Duration = Duration::from_secs(10);

/// Runs the controller until a signal ends it.
///
/// # Errors
/// When a part does not start, or ends by itself.
pub fn serve(config: Config, environment: &Environment) -> Result<(), Failure> {
    log_to_standard_error(&config, environment);
    // The first caller decides for the whole process; nobody was before us.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let watchdog = environment.watchdog;
    let outcome = runtime.block_on(run(config, watchdog));
    // Whatever still runs on threads for blocking work has nothing left to say.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn run(config: Config, watchdog: Option<Duration>) -> Result<(), Failure> {
    // Before anything else, so that a signal during the start ends it in order too.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = Shutdown::default();
    let mut parts = start(config, &shutdown.stop()).await?;
    announce(&parts)?;

    let beat = heartbeat(parts.controller.clone(), watchdog, shutdown.stop());
    let mut outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        ended = parts.workers.join_next() => Err(fault(ended)),
        () = beat => Ok(()),
    };
    notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    tracing::info!("stopping");
    shutdown.begin();
    if timeout(FAREWELL, parts.end()).await.is_err() {
        tracing::warn!("not everything ended within {FAREWELL:?}");
        outcome = outcome.and(Err(Failure::Failed(anyhow::anyhow!("a part did not end in time"))));
    }
    outcome
}

/// What runs.
struct Parts {
    /// Says to other programs that we are there.
    _serving: File,
    controller: Controller,
    http: SocketAddr,
    mqtt: SocketAddr,
    workers: JoinSet<(&'static str, anyhow::Result<()>)>,
}

impl Parts {
    async fn end(mut self) {
        while let Some(ended) = self.workers.join_next().await {
            if let Ok((name, Err(error))) = ended {
                tracing::error!(
                    worker = name,
                    error = format!("{error:#}"),
                    "a worker failed on its way out"
                );
            }
        }
        self.controller.database.close().await;
    }
}

async fn start(config: Config, stop: &Stop) -> Result<Parts, Failure> {
    let releases = ReleaseRoom::new(&config.data_directory, config.release_key.clone());
    let controller = Controller { releases, ..Controller::new(open_database(&config).await?) };
    let serving = data_directory::serving(&config.data_directory)?;
    let now = controller.clock.now();
    let pki = Pki::open_or_create(&config.data_directory.join(PKI_DIRECTORY), now)
        .context("opening the certificate authority")
        .map_err(Failure::Unavailable)?;
    let broker = broker::start(&controller, &config.broker, &pki, stop.clone())
        .await
        .map_err(|error| Failure::Unavailable(error.into()))?;

    let mut workers = JoinSet::new();
    let (listening, address) = (broker.listening, broker.address.clone());
    let attendance = address.attendance.clone();
    workers.spawn(named("broker", broker.finished()));
    let link = mqtt::run(controller.clone(), address, stop.clone());
    workers.spawn(named("link to the sites", link));
    let silence = config.broker.external.is_none().then_some(jobs::SILENCE);
    workers.spawn(named("jobs", jobs::run(controller.clone(), silence, stop.clone())));
    workers.spawn(named("housekeeping", web::housekeeping::run(controller.clone(), stop.clone())));

    let mut transaction = controller.database.write().await?;
    messages::take_over(&mut transaction, config.sms.as_ref(), &controller.ids, now).await?;
    transaction.commit().await?;
    if let Some(settings) = &config.sms {
        let channel = Channel::new(&settings.channel).context("setting up texts")?;
        let sending = messages::sender::run(controller.clone(), settings.clone(), channel, stop.clone());
        workers.spawn(named("texts to customers", sending));
    }

    let mut web = Web::new(controller.clone(), config.session_lasts, stop.clone());
    web.is_https = config.is_https();
    web.public_url.clone_from(&config.public_url);
    web.counter = config.counter;
    web.proxies = Proxies::new(config.trusted_proxies);
    web.broker = Some((listening, attendance));
    web.tickets = Some(Tickets::new(&pki, &config.broker));
    let mut callbacks = Router::new();
    if let Some(sms) = &config.sms
        && let ChannelSettings::AfricasTalking(_) = sms.channel
    {
        callbacks = callbacks.merge(messages::africas_talking::callback::routes(controller.clone()));
    }
    let short_codes = ShortCodes::new(config.mpesa, &controller).context("setting up M-Pesa")?;
    tell_texts(&controller, config.public_url.as_deref(), short_codes.as_ref()).await?;
    if let Some(short_codes) = short_codes {
        let tills = mpesa::c2b::note_tills(&controller, &short_codes.settings()).await;
        tills.context("noting the tills of the settings")?;
        callbacks = callbacks.merge(mpesa::callback_router(controller.clone(), &short_codes));
        let stored = mpesa::run_callbacks(controller.clone(), stop.clone());
        workers.spawn(named("M-Pesa callbacks", on_own_thread(stored)));
        let asking = mpesa::run_queries(controller.clone(), short_codes.clone(), stop.clone());
        workers.spawn(named("M-Pesa queries", asking));
        for daraja in short_codes.all() {
            let fetching = mpesa::run_pull(controller.clone(), daraja.clone(), stop.clone());
            workers.spawn(named("M-Pesa Pull", fetching));
        }
        let refunding = run_refunds(controller.clone(), short_codes.clone(), stop.clone());
        workers.spawn(named("M-Pesa refunds", refunding));
        web.short_codes = Some(short_codes);
    }

    let unavailable = |error: std::io::Error| {
        let key = format!("[server] listen = \"{}\" cannot be used", config.listen);
        Failure::Unavailable(anyhow::Error::new(error).context(key))
    };
    let listener = TcpListener::bind(config.listen).await.map_err(unavailable)?;
    let http = listener.local_addr()?;
    let proxies = web.proxies.clone();
    let (routes, http_stop) = (web::router(web, Some(callbacks)), stop.clone());
    workers.spawn(async move {
        let outcome = web::serve(listener, proxies, routes, http_stop).await;
        ("pages", outcome.map_err(anyhow::Error::from))
    });
    Ok(Parts { _serving: serving, controller, http, mqtt: listening, workers })
}

/// Tells whoever writes texts where customers pay.
async fn tell_texts(
    controller: &Controller,
    public_url: Option<&str>,
    short_codes: Option<&ShortCodes>,
) -> Result<(), Failure> {
    let mut transaction = controller.database.write().await?;
    messages::addresses::take_over(&mut transaction, public_url, short_codes).await?;
    transaction.commit().await?;
    Ok(())
}

async fn named(name: &'static str, work: impl Future<Output = ()>) -> (&'static str, anyhow::Result<()>) {
    work.await;
    (name, Ok(()))
}

/// Work that waits for the database at every step. On a thread of its own it is woken at once; a worker of the runtime that
/// has nothing else to do sleeps in the poll of all sockets, and waking that costs as much as a statement.
async fn on_own_thread(work: impl Future<Output = ()> + Send + 'static) {
    let runtime = tokio::runtime::Handle::current();
    if let Err(error) = tokio::task::spawn_blocking(move || runtime.block_on(work)).await
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

type Ended = Option<Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>>;

fn fault(ended: Ended) -> Failure {
    let error = match ended {
        Some(Ok((name, Ok(())))) => anyhow::anyhow!("{name}: ended though nobody asked it to"),
        Some(Ok((name, Err(error)))) => error.context(name),
        Some(Err(error)) => anyhow::Error::new(error).context("a worker failed"),
        None => anyhow::anyhow!("there are no workers"),
    };
    tracing::error!(error = format!("{error:#}"), "a worker ended; the controller stops");
    Failure::Failed(error)
}

/// Says that everything is up: to whoever reads standard output, and to systemd.
fn announce(parts: &Parts) -> Result<(), Failure> {
    let (http, mqtt) = (parts.http, parts.mqtt);
    tracing::info!(%http, %mqtt, version = env!("CARGO_PKG_VERSION"), "ready");
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "ready http=http://{http} mqtt={mqtt}")?;
    stdout.flush()?;
    let status = format!("serving http://{http}, agents at {mqtt}");
    notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
    Ok(())
}

/// Feeds systemd's watchdog for as long as the database answers. Ends with `stop`.
async fn heartbeat(controller: Controller, watchdog: Option<Duration>, mut stop: Stop) {
    let period = watchdog.map_or(HEARTBEAT, |limit| limit / 2).max(Duration::from_millis(100));
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.requested() => return,
            _ = ticks.tick() => {}
        }
        let look = async {
            let mut reader = controller.database.read().await.ok()?;
            crate::staff::has_members(&mut reader).await.ok()
        };
        match timeout(HEARTBEAT_PATIENCE.min(period), look).await {
            Ok(Some(_)) => notify(&[NotifyState::Watchdog]),
            Ok(None) | Err(_) => tracing::error!("the database does not answer"),
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

/// Ours at the level of the settings; of the libraries only what went wrong, since they tell of every connection.
fn filter(level: LevelFilter) -> EnvFilter {
    let theirs = level.min(LevelFilter::WARN);
    EnvFilter::new(format!("{theirs},tawi_controller={level},tawi_shared={level}"))
}

fn log_to_standard_error(config: &Config, environment: &Environment) {
    let is_coloured = std::io::stderr().is_terminal() && !environment.is_colour_unwanted;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(config.log_level))
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured);
    // A second subscriber in the same process is a test's business.
    let _ = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
