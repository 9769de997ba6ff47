//! Signing in: throttle, then password, then session, and nothing told to whoever fails but that they failed.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{Login, Member, Password, SecretToken, StaffError, Throttle, Verdict, open_session, store};
use crate::audit::{self, Action, Actor};
use crate::state::Controller;

/// Passwords checked at the same time. Each takes 19 MiB and a core; a flood queues here instead of taking both cores.
const CHECKS_AT_ONCE: usize = 2;

/// The door. Clones share its memory of failures.
#[derive(Clone, Debug)]
pub struct SignIn {
    controller: Controller,
    session_lasts: Duration,
    throttle: Arc<Mutex<Throttle>>,
    checks: Arc<Semaphore>,
}

/// What somebody typed, and from where.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// The login, as typed.
    pub login: &'a str,
    /// The password, as typed.
    pub password: &'a str,
    /// Where the request came from.
    pub address: IpAddr,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignInOutcome {
    /// Welcome.
    SignedIn(Member, SecretToken),
    /// The login or the password is wrong; which, nobody says.
    Refused,
    /// Too many wrong ones: try again after so long.
    Wait(Duration),
}

impl SignIn {
    /// A door whose sessions last so long.
    #[must_use]
    pub fn new(controller: Controller, session_lasts: Duration) -> Self {
        Self {
            controller,
            session_lasts,
            throttle: Arc::default(),
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
        }
    }

    /// How long a session lasts.
    #[must_use]
    pub fn session_lasts(&self) -> Duration {
        self.session_lasts
    }

    /// Tries to sign somebody in.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn attempt(&self, attempt: Attempt<'_>) -> Result<SignInOutcome, StaffError> {
        // What cannot be a login or a password is refused before any work: it tells nothing of who exists.
        let (Ok(login), Ok(password)) = (Login::parse(attempt.login), Password::typed(attempt.password))
        else {
            return Ok(SignInOutcome::Refused);
        };
        let now = self.controller.clock.now();
        let verdict = self.with_throttle(|throttle| throttle.attempt(&login, attempt.address, now));
        if let Verdict::Wait(wait) = verdict {
            tracing::warn!(staff.login = %login, source.address = %attempt.address, "sign-in is throttled");
            return Ok(SignInOutcome::Wait(wait));
        }
        let mut reader = self.controller.database.read().await?;
        let known = store::member_by_login(&mut reader, &login).await?;
        drop(reader);
        let (member, hash) = known.unzip();
        let permit = self.checks.acquire().await;
        let is_right = password.matches(hash).await?;
        drop(permit);
        let (true, Some(member)) = (is_right, member) else {
            tracing::warn!(staff.login = %login, source.address = %attempt.address, "sign-in was refused");
            return Ok(SignInOutcome::Refused);
        };
        self.with_throttle(|throttle| {
            throttle.succeeded(&login, attempt.address, self.controller.clock.now());
        });
        let token = self.open(&member).await?;
        tracing::info!(staff.login = %member.login, "signed in");
        Ok(SignInOutcome::SignedIn(member, token))
    }

    async fn open(&self, member: &Member) -> Result<SecretToken, StaffError> {
        let Controller { database, clock, ids, .. } = &self.controller;
        let now = clock.now();
        let mut transaction = database.write().await?;
        let token = open_session(&mut transaction, member, self.session_lasts, ids, now).await?;
        let actor = Actor::Staff(member.login.clone());
        let act = (Action::SignedIn, member.id.as_str(), "");
        audit::record(&mut transaction, &actor, act, ids, now).await?;
        transaction.commit().await?;
        Ok(token)
    }

    fn with_throttle<T>(&self, act: impl FnOnce(&mut Throttle) -> T) -> T {
        // A panic elsewhere cannot leave the counts half-written in a way that matters.
        act(&mut self.throttle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
