//! The access token of an app at Daraja: one owner for all clients, short codes and processes.
//!
//! ```text
//!   held in memory ──▶ in the database, of another process ──▶ fetched, by whoever takes the lease first
//! ```
//! Getting a token kills the one before it, so whoever needs one looks whether somebody has it, and those who come while it
//! is being fetched wait for that one fetch and share how it ended. In the database it is sealed with a key made of the
//! app's secret (`sealed`): a backup alone asks no phone for money. Where the database refuses, the token is fetched all the
//! same: then another process may lose its own, and gets one more.

mod sealed;
mod store;

use std::time::Duration;

use reqwest::header::HeaderValue;
use ring::digest::{SHA256, digest};
use tawi_shared::ids::hex;
use tawi_shared::{Clock, IdSource, UnixMillis};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use self::sealed::Seal;
use super::answer::TokenAnswer;
use super::evidence::Reason;
use super::settings::MpesaSettings;
use crate::database::{Connection, Database};

/// A token is replaced so long before it dies, so that none dies on the way.
const MARGIN: Duration = Duration::from_secs(60);
/// The longest life that is believed of a token of another process; Daraja's live an hour. A clock that was set back would
/// make it longer.
const LONGEST: Duration = Duration::from_secs(3_600);
/// How long a failure to get a token is the answer for everybody: those who queued behind it would each wait as long
/// again, and a person who tries once more has not read the message before that.
const FAILURE_KEPT: Duration = Duration::from_secs(2);
/// How long another process may take to fetch one before it is taken for dead: longer than any call lasts.
const LEASE: Duration = Duration::from_secs(35);
/// The pause between two looks whether it has it.
const LOOK: Duration = Duration::from_millis(100);

/// How an app's token stands, for whoever looks and asks for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenStanding {
    /// Some process has one.
    Held {
        /// When it was had from Daraja, where that is known.
        fetched_at: Option<UnixMillis>,
        /// Until when it is used.
        good_until: UnixMillis,
    },
    /// Some process is fetching one.
    IsComing,
    /// There is none: nobody has asked for anything lately.
    None,
    /// This process could have none when it last needed one.
    Refused(Reason),
}

/// What is known of the token in this process.
#[derive(Debug, Default)]
enum Held {
    /// Nothing.
    #[default]
    Nothing,
    /// The one in force.
    Token(HeldToken),
    /// It could not be had just now.
    Failed { reason: Reason, until: Instant },
}

#[derive(Clone)]
struct HeldToken {
    bearer: HeaderValue,
    good_until: Instant,
}

impl std::fmt::Debug for HeldToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeldToken(hidden)")
    }
}

/// What is found in the database.
enum Shared {
    /// A token that another process fetched.
    Found(HeldToken),
    /// Another process is fetching one.
    IsComing,
    /// It is ours to fetch.
    Ours,
}

/// The owner of an app's token in this process.
#[derive(Debug)]
pub(super) struct TokenOwner {
    database: Database,
    clock: Clock,
    ids: IdSource,
    /// Which app, in the database: neither its key nor its secret.
    app: String,
    /// Who we are among those that fetch.
    process: String,
    seal: Seal,
    held: Mutex<Held>,
}

impl TokenOwner {
    /// The owner of the token of these settings' app.
    pub(super) fn new(settings: &MpesaSettings, database: Database, clock: Clock, ids: IdSource) -> Self {
        let (base_url, key) = (&settings.base_url, &settings.consumer_key);
        Self {
            database,
            clock,
            app: hex(digest(&SHA256, format!("{base_url}\n{key}").as_bytes()).as_ref()),
            process: ids.hex(8),
            seal: Seal::of(settings.consumer_secret.reveal()),
            ids,
            held: Mutex::default(),
        }
    }

    /// Whether it is the owner of the token of these settings' app.
    pub(super) fn is_of(settings: &MpesaSettings, other: &MpesaSettings) -> bool {
        (&settings.base_url, &settings.consumer_key) == (&other.base_url, &other.consumer_key)
    }

    /// The token in force, or a new one, which `fetch` gets.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn bearer(
        &self,
        fetch: impl Future<Output = Result<TokenAnswer, Reason>> + Send,
    ) -> Result<HeaderValue, Reason> {
        let mut held = self.held.lock().await;
        match &*held {
            Held::Token(token) if token.good_until > Instant::now() => return Ok(token.bearer.clone()),
            Held::Failed { reason, until } if *until > Instant::now() => return Err(reason.clone()),
            Held::Nothing | Held::Token(_) | Held::Failed { .. } => {}
        }
        match self.shared_or_fetched(fetch).await {
            Ok(token) => {
                let bearer = token.bearer.clone();
                *held = Held::Token(token);
                Ok(bearer)
            }
            Err(reason) => {
                tracing::warn!(result.code = %reason.code, "M-Pesa gave no access token: {}", reason.description);
                *held = Held::Failed { reason: reason.clone(), until: after(FAILURE_KEPT) };
                Err(reason)
            }
        }
    }

    /// Forgets a token that was refused, unless somebody has replaced it already.
    pub(super) async fn forget(&self, refused: &HeaderValue) {
        let mut held = self.held.lock().await;
        if matches!(&*held, Held::Token(token) if token.bearer == *refused) {
            *held = Held::Nothing;
        }
        let forgotten = async {
            let mut transaction = self.database.write().await?;
            let row = store::find(&mut transaction, &self.app).await?;
            // Sealing is different each time, so that the row cannot be compared with what was refused.
            let is_it = row.is_some_and(|row| {
                self.seal.open(&row.sealed_token).and_then(|token| bearer_of(&token).ok()).as_ref()
                    == Some(refused)
            });
            if is_it {
                store::forget(&mut transaction, &self.app).await?;
            }
            transaction.commit().await
        };
        if let Err(error) = forgotten.await {
            tracing::warn!("a dead access token stays in the database: {error}");
        }
    }

    /// How the token stands. Asks Daraja nothing.
    pub(super) async fn standing(&self, connection: &mut Connection) -> Result<TokenStanding, sqlx::Error> {
        // Whoever holds the lock is fetching one.
        if let Ok(held) = self.held.try_lock()
            && let Held::Failed { reason, .. } = &*held
        {
            return Ok(TokenStanding::Refused(reason.clone()));
        }
        let now = self.clock.now();
        let Some(row) = store::find(connection, &self.app).await? else { return Ok(TokenStanding::None) };
        let is_held = !row.sealed_token.is_empty() && row.good_until > now;
        Ok(if is_held {
            TokenStanding::Held { fetched_at: row.fetched_at, good_until: row.good_until }
        } else if row.fetching_until > now {
            TokenStanding::IsComing
        } else {
            TokenStanding::None
        })
    }

    async fn shared_or_fetched(
        &self,
        fetch: impl Future<Output = Result<TokenAnswer, Reason>> + Send,
    ) -> Result<HeldToken, Reason> {
        loop {
            match self.look().await {
                Ok(Shared::Found(token)) => return Ok(token),
                Ok(Shared::IsComing) => sleep(LOOK).await,
                Ok(Shared::Ours) => break,
                Err(error) => {
                    tracing::warn!("the access token is not shared with other processes: {error}");
                    break;
                }
            }
        }
        let asked_at = Instant::now();
        let answer = fetch.await;
        if let Err(error) = self.share(answer.as_ref().ok()).await {
            tracing::warn!("the access token is not shared with other processes: {error}");
        }
        let answer = answer?;
        let bearer = bearer_of(&answer.access_token).map_err(|why| Reason::new("", why))?;
        let good_until = asked_at.checked_add(life_of(&answer)).unwrap_or(asked_at);
        Ok(HeldToken { bearer, good_until })
    }

    /// What another process has of it; where none has, the lease to fetch it is taken.
    async fn look(&self) -> Result<Shared, sqlx::Error> {
        let now = self.clock.now();
        let mut transaction = self.database.write().await?;
        if let Some(row) = store::find(&mut transaction, &self.app).await? {
            if let Some(token) = self.opened(&row, now) {
                return Ok(Shared::Found(token));
            }
            // A lease that ends later than any that is taken now is of a clock that was set back.
            let is_leased = row.fetching_until > now && row.fetching_until <= now.plus(LEASE);
            if is_leased && row.fetched_by != self.process {
                return Ok(Shared::IsComing);
            }
        }
        store::lease(&mut transaction, &self.app, &self.process, now.plus(LEASE)).await?;
        transaction.commit().await?;
        Ok(Shared::Ours)
    }

    fn opened(&self, row: &store::TokenRow, now: UnixMillis) -> Option<HeldToken> {
        let left = row.good_until.since(now);
        if left.is_zero() || left > LONGEST {
            return None;
        }
        let bearer = bearer_of(&self.seal.open(&row.sealed_token)?).ok()?;
        Some(HeldToken { bearer, good_until: after(left) })
    }

    /// Gives others what was fetched, or the lease back.
    async fn share(&self, answer: Option<&TokenAnswer>) -> Result<(), sqlx::Error> {
        let mut transaction = self.database.write().await?;
        match answer {
            Some(answer) => {
                let now = self.clock.now();
                let good_until = now.plus(life_of(answer));
                let sealed = self.seal.close(&answer.access_token, &self.ids);
                let times = (now, good_until);
                store::keep(&mut transaction, &self.app, (&sealed, times), &self.process).await?;
            }
            None => store::give_back(&mut transaction, &self.app, &self.process).await?,
        }
        transaction.commit().await
    }
}

fn life_of(answer: &TokenAnswer) -> Duration {
    Duration::from_secs(answer.lives_seconds).saturating_sub(MARGIN)
}

fn bearer_of(token: &str) -> Result<HeaderValue, &'static str> {
    let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| "the access token is not a header value")?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

fn after(span: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(span).unwrap_or(now)
}

#[cfg(test)]
mod tests;
