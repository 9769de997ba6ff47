//! Pictures that the M-Pesa app scans to pay an account: Safaricom's Dynamic QR.
//!
//! ```text
//!   payee, account, amount ──▶ held in memory? ──▶ Daraja ──▶ answer (a PNG, or nothing) ──▶ held
//! ```
//! Safaricom draws the code; what is in it is its own. It is asked for each account and amount once a day, by one at a time,
//! and for none of a short code for a minute after it failed: whoever has no code pays by Paybill. What is asked and what comes back is
//! `answer`, which is pure. A code is no payment: what is paid with it is told of like any other (`c2b`, `pull`).

pub mod answer;
pub(crate) mod api;
pub mod line;
pub(crate) mod pages;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
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
/// How long a short code is not asked about after a failure, for whichever account: what is wrong with one is wrong with all,
/// and strangers must not spend the quota of the prompts.
const FAILURE_HELD_FOR: Duration = Duration::from_secs(60);
/// Codes that are held, and their bytes together: one has 16 KiB or so.
const HELD_MOST: usize = 512;
const HELD_BYTES: usize = 8 * 1024 * 1024;
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
    code: Png,
    until: UnixMillis,
}

/// What is held, and until when a short code is not asked about at all.
#[derive(Debug, Default)]
struct Memory {
    codes: HashMap<Key, Held>,
    failures: HashMap<String, (NoCode, UnixMillis)>,
}

/// The codes that are held. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Codes {
    memory: Arc<std::sync::Mutex<Memory>>,
    /// Held over the question: one at a time, so that a crowd at the pay page does not spend the app's quota.
    asking: Arc<Mutex<()>>,
}

impl Codes {
    /// The code, held or new.
    ///
    /// # Errors
    /// [`NoCode`].
    pub async fn code(&self, daraja: &Daraja, wanted: Wanted, clock: &Clock) -> Result<Png, NoCode> {
        let key = Key { short_code: daraja.settings().short_code().to_owned(), wanted };
        let known = || self.with_memory(|memory| memory.known(&key, clock.now()));
        if let Some(known) = known() {
            return known;
        }
        let Ok(_turn) = timeout(WITHIN, self.asking.lock()).await else {
            return Err(NoCode::NoAnswer("too many ask at once".to_owned()));
        };
        // Whoever was before in the line may have asked the same.
        if let Some(known) = known() {
            return known;
        }
        let code = ask(daraja, &key.wanted).await;
        if let Err(why) = &code {
            tracing::warn!("no code to scan: {why}");
        }
        self.with_memory(|memory| memory.note(key, code.clone(), clock.now()));
        code
    }

    fn with_memory<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        look(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Memory {
    fn known(&self, key: &Key, now: UnixMillis) -> Option<Result<Png, NoCode>> {
        if let Some(held) = self.codes.get(key).filter(|held| held.until > now) {
            return Some(Ok(held.code.clone()));
        }
        let failure = self.failures.get(&key.short_code).filter(|(_, until)| *until > now);
        failure.map(|(why, _)| Err(why.clone()))
    }

    fn note(&mut self, key: Key, code: Result<Png, NoCode>, now: UnixMillis) {
        let code = match code {
            Ok(code) => code,
            Err(why) => {
                self.failures.insert(key.short_code, (why, now.plus(FAILURE_HELD_FOR)));
                return;
            }
        };
        self.failures.remove(&key.short_code);
        self.codes.retain(|_, held| held.until > now);
        let mut bytes =
            self.codes.values().fold(code.bytes().len(), |sum, held| sum + held.code.bytes().len());
        while bytes > HELD_BYTES || self.codes.len() >= HELD_MOST {
            // Whichever ends first is the oldest.
            let first = self.codes.iter().min_by_key(|(_, held)| held.until).map(|(key, _)| key.clone());
            let Some(gone) = first.and_then(|first| self.codes.remove(&first)) else { break };
            bytes -= gone.code.bytes().len();
        }
        self.codes.insert(key, Held { code, until: now.plus(HELD_FOR) });
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
