//! Pictures that the M-Pesa app scans to pay an account: Safaricom's Dynamic QR.
//!
//! ```text
//!   payee, account, amount ──▶ held in memory? ──▶ Daraja ──▶ answer (a PNG, or nothing) ──▶ held
//! ```
//! Safaricom draws the code; what is in it is its own. It is asked for each account and amount once a day, by one at a time,
//! and not again for a minute after it failed: whoever has no code pays by Paybill. What is asked and what comes back is
//! `answer`, which is pure. A code is no payment: what is paid with it is told of like any other (`c2b`, `pull`).

pub mod answer;
pub(crate) mod api;
pub mod line;
pub(crate) mod pages;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tawi_shared::{Clock, UnixMillis};
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::answer::{Png, Wanted};
use super::client::Daraja;

const PATH: &str = "/mpesa/qrcode/v1/generate";
/// How long a code is held: what it says stays true, and a day bounds how long a picture that Safaricom would draw otherwise
/// by now is shown.
const HELD_FOR: Duration = Duration::from_secs(24 * 3_600);
/// How long nothing is asked after a failure.
const FAILURE_HELD_FOR: Duration = Duration::from_secs(60);
/// Codes that are held: with 16 KiB each, as they are, 8 MiB.
const HELD_MOST: usize = 512;
/// How long somebody waits for one.
const WITHIN: Duration = Duration::from_secs(8);

/// Why there is no code. Whoever wanted one pays by Paybill.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoCode {
    /// Daraja gave no answer in time.
    #[error("Safaricom does not answer: {0}")]
    NoAnswer(String),
    /// Daraja refused.
    #[error("Safaricom gives no code: {0}")]
    Refused(String),
    /// What came is no picture that may be shown.
    #[error("Safaricom's code cannot be shown: {0}")]
    NotAPicture(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    short_code: String,
    wanted: Wanted,
}

#[derive(Debug)]
struct Held {
    code: Result<Png, NoCode>,
    until: UnixMillis,
}

/// The codes that are held. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Codes {
    held: Arc<Mutex<HashMap<Key, Held>>>,
}

impl Codes {
    /// The code, held or new.
    ///
    /// # Errors
    /// [`NoCode`].
    pub async fn code(&self, daraja: &Daraja, wanted: Wanted, clock: &Clock) -> Result<Png, NoCode> {
        let settings = daraja.settings();
        let key = Key { short_code: settings.short_code().to_owned(), wanted };
        // Held over the question: one at a time, so that a crowd at the pay page does not spend the app's quota.
        let Ok(mut held) = timeout(WITHIN, self.held.lock()).await else {
            return Err(NoCode::NoAnswer("too many ask at once".to_owned()));
        };
        let now = clock.now();
        if let Some(found) = held.get(&key).filter(|found| found.until > now) {
            return found.code.clone();
        }
        let code = ask(daraja, &key.wanted).await;
        if let Err(why) = &code {
            tracing::warn!("no code to scan: {why}");
        }
        let lasts = if code.is_ok() { HELD_FOR } else { FAILURE_HELD_FOR };
        held.retain(|_, held| held.until > now);
        if held.len() >= HELD_MOST {
            // Whichever ends first: it is the oldest, or a failure.
            let first = held.iter().min_by_key(|(_, held)| held.until).map(|(key, _)| key.clone());
            first.and_then(|first| held.remove(&first));
        }
        held.insert(key, Held { code: code.clone(), until: now.plus(lasts) });
        code
    }
}

async fn ask(daraja: &Daraja, wanted: &Wanted) -> Result<Png, NoCode> {
    let body = answer::body_of(wanted);
    match timeout(WITHIN, daraja.ask(PATH, &body)).await {
        Ok(Ok(answered)) => answer::read(&answered),
        Ok(Err(reason)) => Err(NoCode::NoAnswer(reason.description)),
        Err(_) => Err(NoCode::NoAnswer(format!("not within {} s", WITHIN.as_secs()))),
    }
}
