//! The next certificate of the running agent.
//!
//! ```text
//! certificate in identity/ ──due, or head office lets us in no more──▶ POST /v1/renew ──▶ identity/ ──▶ next connection
//! ```
//!
//! It is asked for with the certificate that there is and for the key that there is, at a third of its life, so that two
//! thirds are left for a link that is down. Whoever was off for longer than that asks as well: head office knows the key
//! for 90 days more. Files that a person put somewhere are never touched; before they end the log says so.

use std::sync::Arc;
use std::time::Duration;

use tawi_shared::enrolment::{ALPN_HTTP, RENEW_PATH, RenewRequest};
use tawi_shared::{IdSource, UnixMillis};
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::answer::{Expected, Issued, judge};
use super::keeping::{KeepError, Next, Place, read_key};
use super::key::KeyError;
use super::trust::digest_of;
use super::{EnrolError, Question, json};
use crate::certificate::Certificate;
use crate::clock::TrustedClock;
use crate::config::{
    CONTROLLER_PORT, Config, ConfigError, ControllerAddress, ControllerConfig, FORMER_IDENTITY, IDENTITY,
    Identity, KEY_FILE, split_host_port,
};
use crate::link::ByteCounters;
use crate::link::dialer::{Line, Way};
use crate::link::tls::{TlsFileError, certificates, client_config, client_config_for};

/// How long after its end a certificate still gets the next one, as long as the key is the same.
pub const GRACE: Duration = Duration::from_secs(90 * 86_400);
/// A certificate that nobody renews by itself is told of so long before its end: a person has to carry a new one.
pub const NOTICE: Duration = Duration::from_secs(30 * 86_400);
/// How often that is said again.
const NOTICE_EVERY: Duration = Duration::from_secs(86_400);
/// Whoever is refused with a certificate that was renewed by then is refused for something else; or head office moved again, which
/// it is asked about no more often than it gives answers in a day.
const RENEWED: Duration = Duration::from_secs(6 * 3_600);

/// How often it is looked, and asked.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two looks at the certificate, which is a small file.
    pub look: Duration,
    /// Between two requests, a quarter more or less: head office is not to be asked by a thousand sites at once.
    pub ask: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { look: Duration::from_secs(60), ask: Duration::from_secs(3_600) }
    }
}

/// What renewal needs to know.
pub struct Renewal {
    /// The settings that the agent runs with.
    pub config: Config,
    /// By which a certificate is due.
    pub clock: TrustedClock,
    /// For jitter.
    pub ids: IdSource,
    /// What it takes of the metered line.
    pub bytes: Arc<ByteCounters>,
    /// Usually the default.
    pub pace: Pace,
}

/// Why there is no next certificate. The one that is there stays.
#[derive(Debug, Error)]
enum RenewError {
    #[error(
        "there is no identity of this site any more\n  cure: restart the agent: systemctl restart tawi-agent"
    )]
    NoIdentity,
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Files(#[from] TlsFileError),
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Ask(#[from] EnrolError),
}

/// The first instant at which the next one is asked for: at a third of its life, a tenth of that earlier or later, so that
/// sites that were enrolled on one day do not all come on another.
#[must_use]
pub fn due(not_before: UnixMillis, not_after: UnixMillis, random: u64) -> UnixMillis {
    let third = not_after.since(not_before) / 3;
    let jitter = third / 10;
    let spread = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(1);
    not_before.plus(third.saturating_sub(jitter)).plus(Duration::from_millis(random % spread))
}

/// The wait before another request: three to five quarters of `ask`.
fn pause(ask: Duration, random: u64) -> Duration {
    let quarter = ask / 4;
    let spread = u64::try_from(quarter.as_millis()).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(1);
    ask.saturating_sub(quarter).saturating_add(Duration::from_millis(random % spread))
}

/// Keeps the certificate young for as long as the agent runs, and hands each new one to `line`.
pub async fn run(renewal: Renewal, line: Line) {
    let is_enrolled = renewal.config.is_enrolled();
    let mut ask_at = Instant::now();
    let mut renewed_at: Option<Instant> = None;
    let mut in_use = read(&renewal.config.controller).map(|found| found.digest);
    loop {
        let found = read(&in_force(&renewal.config));
        if let Some(found) = found.as_ref().filter(|found| in_use.is_some_and(|used| used != found.digest))
            && is_enrolled
        {
            // A person enrolled this device anew beside us, perhaps because head office refused the last request.
            (in_use, renewed_at) = (Some(found.digest), Some(Instant::now()));
            take_up(&renewal, &line);
        } else if let Some(found) = found.filter(|_| Instant::now() >= ask_at) {
            if is_enrolled {
                let is_over = renewed_at.is_none_or(|at| at.elapsed() > RENEWED) && line.is_refused();
                if is_over || renewal.clock.certificate_time() >= found.due() {
                    // First, so that nothing that fails is tried at once again.
                    ask_at = Instant::now() + pause(renewal.pace.ask, renewal.ids.number());
                    if let Some(digest) = renew_and_say(&renewal, &line).await {
                        (in_use, renewed_at) = (Some(digest), Some(Instant::now()));
                    }
                }
            } else {
                warn_of_end(&found, renewal.clock.certificate_time());
                ask_at = Instant::now() + NOTICE_EVERY;
            }
        }
        sleep(renewal.pace.look).await;
    }
}

/// A certificate of ours, as far as it matters here.
struct Found {
    digest: [u8; 32],
    not_before: UnixMillis,
    not_after: UnixMillis,
}

impl Found {
    /// Its own digest is the random number, so that a restart does not draw another.
    fn due(&self) -> UnixMillis {
        let [a, b, c, d, e, f, g, h, ..] = self.digest;
        due(self.not_before, self.not_after, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

fn read(controller: &ControllerConfig) -> Option<Found> {
    let chain = certificates("certificate_file", &controller.certificate_file).ok()?;
    let own = chain.first()?;
    let read = Certificate::read(own)?;
    Some(Found { digest: digest_of(own), not_before: read.not_before, not_after: read.not_after })
}

fn warn_of_end(found: &Found, now: UnixMillis) {
    let left = found.not_after.since(now);
    if left <= NOTICE {
        let days = left.as_secs() / 86_400;
        warn!(
            certificate.days_left = days,
            "this site's certificate ends soon, and it came by hand: nobody renews it by itself; ask head office for tawi-controller site renew, or for a ticket for tawi-agent enrol"
        );
    }
}

async fn renew_and_say(renewal: &Renewal, line: &Line) -> Option<[u8; 32]> {
    match Box::pin(renew(&renewal.config, &renewal.clock, &renewal.bytes)).await {
        Ok(issued) => {
            let days = issued.not_after.since(issued.not_before).as_secs() / 86_400;
            info!(site.id = %renewal.config.site, certificate.days = days, "this site's certificate was renewed");
            take_up(renewal, line);
            read(&in_force(&renewal.config)).map(|found| found.digest)
        }
        Err(error) => {
            warn!(%error, "this site's certificate cannot be renewed yet; it is tried again within hours");
            None
        }
    }
}

fn take_up(renewal: &Renewal, line: &Line) {
    match client_config(&in_force(&renewal.config), renewal.clock.clone()) {
        Ok(tls) => line.renew(tls),
        Err(error) => warn!(%error, "the new certificate cannot be used; the one before is used on"),
    }
    follow(&renewal.config, line);
}

/// Head office may have said besides that MQTT is spoken elsewhere now. What the settings name themselves stays.
fn follow(config: &Config, line: &Line) {
    if config.controller.names_brokers {
        return;
    }
    let Ok(Some(identity)) = Identity::load(&config.state_directory) else { return };
    let read = |text: &String| {
        split_host_port(text, CONTROLLER_PORT).map(|(host, port)| ControllerAddress { host, port })
    };
    let brokers = identity.brokers.iter().filter_map(read).collect();
    line.move_to(ControllerConfig { brokers, ..config.controller.clone() }.mqtt_addresses());
}

/// Where the files are now: what was read from the identity before is in the one that took its place.
fn in_force(config: &Config) -> ControllerConfig {
    let mut controller = config.controller.clone();
    let (former, own) = (config.state_directory.join(FORMER_IDENTITY), config.state_directory.join(IDENTITY));
    for file in [&mut controller.ca_file, &mut controller.certificate_file, &mut controller.key_file] {
        if let Ok(name) = file.strip_prefix(&former)
            && own.join(name).exists()
        {
            *file = own.join(name);
        }
    }
    controller
}

/// Asks at each address until one answers, and keeps what is judged right.
async fn renew(
    config: &Config,
    clock: &TrustedClock,
    bytes: &Arc<ByteCounters>,
) -> Result<Issued, RenewError> {
    // Held while head office is asked, so that nobody makes another identity of it meanwhile.
    let place = Place::take(&config.state_directory)?;
    let identity = Identity::load(&config.state_directory)?.filter(|identity| identity.site == config.site);
    let identity = identity.ok_or(RenewError::NoIdentity)?;
    let key = read_key(&identity.file(KEY_FILE))?.ok_or(KeyError::Unusable)?;
    let controller = in_force(config);
    let authority = certificates("ca_file", &controller.ca_file)?;
    let authority = authority.first().map(|authority| digest_of(authority)).unwrap_or_default();
    let tls = client_config_for(ALPN_HTTP, &controller, clock.clone())?;
    let body = json(&RenewRequest { csr: key.request(&identity.site)? });
    let way = Way::of(&controller);
    let mut last = EnrolError::NoAddress;
    for address in &controller.addresses {
        let question = Question { address, way, tls: &tls, path: RENEW_PATH, body: &body };
        match Box::pin(question.ask(bytes)).await {
            Ok(answer) => {
                let public_key = key.public_key();
                let expected = Expected {
                    site: &identity.site,
                    public_key: &public_key,
                    authority,
                    addresses: &identity.addresses,
                };
                // Who may sign releases is said once, when a person enrols the device: a head office that was broken into must
                // not bring a key of its own with the next certificate.
                let mut issued = judge(&answer, &expected).map_err(EnrolError::from)?;
                issued.release_key.clone_from(&identity.release_key);
                place.keep(&Next { site: &identity.site, key: &key, issued: &issued })?;
                return Ok(issued);
            }
            Err(error) if error.is_of_this_address() => last = error,
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn it_is_asked_for_at_a_third_of_its_life_give_or_take_a_tenth_of_that() {
        let begin = UnixMillis(1_800_000_000_000);
        let end = begin.plus(DAY * 360);
        let (mut least, mut most) = (Duration::MAX, Duration::ZERO);
        let ids = IdSource::seeded(5);
        for _ in 0..5_000 {
            let at = due(begin, end, ids.number()).since(begin);
            (least, most) = (least.min(at), most.max(at));
        }
        assert!(least >= DAY * 108 && least < DAY * 109, "{least:?}");
        assert!(most <= DAY * 132 && most > DAY * 131, "{most:?}");
        // Nonsense makes nobody panic, and is due.
        assert_eq!(due(end, begin, 7), end);
        assert!(due(UnixMillis(i64::MIN), UnixMillis(i64::MAX), u64::MAX) <= UnixMillis(i64::MAX));
    }

    #[test]
    fn it_is_asked_for_hourly_and_never_by_all_sites_at_once() {
        let hour = Duration::from_secs(3_600);
        let ids = IdSource::seeded(6);
        let waits: Vec<_> = (0..2_000).map(|_| pause(hour, ids.number()).as_secs() / 60).collect();
        assert_eq!((waits.iter().min(), waits.iter().max()), (Some(&45), Some(&74)));
    }
}
