//! What systemd hears: ready, alive, stopping, and one line of how it goes.
//!
//! Without systemd every call does nothing. Alive is said from the heart of the agent alone, so that the watchdog ends
//! a process whose heart hangs; a store or a router that hangs is no reason to.

use sd_notify::NotifyState;
use tracing::debug;

/// The agent is at work.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The agent lives, and how it goes.
pub fn alive(summary: &str) {
    tell(&[NotifyState::Watchdog, NotifyState::Status(summary)]);
}

/// The agent was asked to stop.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "the service manager does not listen");
    }
}
