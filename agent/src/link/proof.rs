//! What proves this site to head office; and how a site is served whose proof is damaged.
//!
//! ```text
//! start ──proof is whole────────────────────────────────▶ renewal and link
//!   └────damaged──▶ said, and looked at again and again ──whole──┘
//! ```
//!
//! A worn card or a power cut must not take enforcement with it: routers and store are served all the same, and head office is
//! dialled once a person has enrolled this device anew. A device that never was a site does not get here (`run.rs`).

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tawi_shared::IdSource;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{error, info};

use super::dialer::{BindError, Dialer};
use super::tls::{TlsFileError, client_config};
use super::{ByteCounters, FromLink, LinkSender, LinkSettings};
use crate::clock::TrustedClock;
use crate::config::{Config, ConfigError};
use crate::enrol::renewal::{self, Pace, Renewal};
use crate::outbox::Outbox;

/// Between two looks at a damaged identity: a person who has just enrolled the device looks at the status next.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why nothing proves this site to head office.
#[derive(Debug, Error)]
pub enum ProofError {
    /// The identity does not say who and where.
    #[error(transparent)]
    Identity(#[from] ConfigError),
    /// A key or certificate.
    #[error(transparent)]
    Files(#[from] TlsFileError),
    /// The door to it cannot be opened.
    #[error(transparent)]
    Door(#[from] BindError),
}

/// With what head office is dialled: settings that are whole, and what is shown there.
///
/// # Errors
/// [`ProofError`].
pub fn proof(config: &Config, clock: TrustedClock) -> Result<(Config, Arc<ClientConfig>), ProofError> {
    let config = config.mended()?;
    let tls = client_config(&config.controller, clock)?;
    Ok((config, tls))
}

/// The way to head office, for as long as the agent runs.
pub struct Carrier {
    /// The settings that the agent runs with.
    pub config: Config,
    /// Time, for certificates.
    pub clock: TrustedClock,
    /// For jitter.
    pub ids: IdSource,
    /// What counts the line's bytes.
    pub bytes: Arc<ByteCounters>,
    /// Where connections get their numbers.
    pub outbox: Outbox,
    /// Of each connection.
    pub settings: LinkSettings,
    /// Who hears what head office says.
    pub core: LinkSender,
}

impl Carrier {
    /// The door to head office, with settings that are whole.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn open(&self) -> Result<(Config, Dialer), ProofError> {
        let (config, tls) = proof(&self.config, self.clock.clone())?;
        let bytes = Arc::clone(&self.bytes);
        let dialer = Dialer::bind(&config.runtime_directory, &config.controller, tls, bytes)?;
        Ok((config, dialer))
    }

    /// Keeps the line up and the certificate young; `opened` is what [`Carrier::open`] said.
    pub async fn run(self, opened: Result<(Config, Dialer), ProofError>) {
        let (config, dialer) = match opened {
            Ok(opened) => opened,
            Err(why) => self.wait(why).await,
        };
        let Self { clock, ids, bytes, outbox, settings, core, .. } = self;
        let renewal = Renewal { config, clock, ids: ids.clone(), bytes, pace: Pace::default() };
        let mut renewing = JoinSet::new();
        renewing.spawn(Box::pin(renewal::run(renewal, dialer.line())));
        super::run(settings, dialer, outbox, ids, core).await;
    }

    /// Says what is wrong, and waits until it is not any more.
    async fn wait(&self, mut why: ProofError) -> (Config, Dialer) {
        let words = self.words(&why);
        error!(link.why = words, "this site is served without head office: nothing proves it there");
        loop {
            // A core that is gone ends this too.
            let _ = self.core.send(FromLink::Failed { why: self.words(&why) }).await;
            sleep(LOOK_EVERY).await;
            match self.open() {
                Ok(opened) => {
                    info!(site.id = %self.config.site, "the identity of this site is whole again");
                    return opened;
                }
                Err(error) => why = error,
            }
        }
    }

    /// For people: what is wrong, and what helps.
    fn words(&self, why: &ProofError) -> String {
        let whole = why.to_string();
        let problem = whole.split_once("\n  cure: ").map_or(whole.as_str(), |(problem, _)| problem);
        format!("nothing proves this site there: {problem}; cure: {}", self.config.cure_of_identity())
    }
}
