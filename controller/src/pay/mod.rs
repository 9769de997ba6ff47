//! The pay page: whoever knows an account number pays for its lines, without signing in.
//!
//! ```text
//!   /pay ──account number──▶ /pay/{account} ──phone──▶ payments::request ──▶ /pay/{account}/{token}, which follows it
//!                                  ├──▶ /pay/{account}/code, which an app scans
//!                                  └──▶ /pay/{account}/receipt ──receipt, phone──▶ suspense::claim
//! ```
//! Anybody may open it, so that it tells of an account only what a payer needs: plan, price, until when it is paid, the
//! first letters of the name. It never shows a phone number but the one that the visitor typed, masked. What is asked for
//! goes the way of every other request (`payments`); here are words (`words`, `story`), what is offered (`offer`), and
//! what keeps strangers from making phones ring (`throttle`, `form_key`).

mod ask;
mod broken;
mod claim;
mod code;
mod follow;
mod form_key;
mod masked;
mod offer;
mod pages;
mod steps;
mod story;
#[cfg(test)]
mod tests;
mod throttle;
mod visitor;
mod words;

use std::sync::{Arc, Mutex, PoisonError};

use tawi_shared::IdSource;

pub(crate) use broken::Customer;
use form_key::FormKey;
pub(crate) use pages::routes;
use throttle::Throttle;

/// What the pay page remembers between requests. Clones share it.
#[derive(Clone, Debug)]
pub struct Gate {
    throttle: Arc<Mutex<Throttle>>,
    key: FormKey,
}

impl Gate {
    /// With nobody counted, and a key of its own.
    #[must_use]
    pub fn new(ids: &IdSource) -> Self {
        Self { throttle: Arc::default(), key: FormKey::random(ids) }
    }

    fn with_throttle<T>(&self, act: impl FnOnce(&mut Throttle) -> T) -> T {
        act(&mut self.throttle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
