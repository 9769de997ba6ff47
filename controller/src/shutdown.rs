//! How the controller's tasks learn that they should stop.
//!
//! One [`Shutdown`] is held by whoever started the tasks; each task holds a [`Stop`] and waits for it beside its work.
//! Nothing is killed: a task finishes what it has begun and returns. A `Shutdown` that is dropped stops everything
//! too, so that a task cannot outlive the one who could stop it.

use tokio::sync::watch;

/// Tells every task to stop.
#[derive(Debug)]
pub struct Shutdown(watch::Sender<bool>);

/// Waits for the end. Clones wait for the same.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Shutdown {
    /// What a task waits on.
    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop(self.0.subscribe())
    }

    /// Tells every task to stop. Safe to call twice.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Returns once the end has begun. Cancel safe, and returns at once ever after.
    pub async fn requested(&mut self) {
        // An error means that the sender is gone, which is an end too.
        let _ = self.0.wait_for(|is_over| *is_over).await;
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_hears_of_the_end_before_and_after_it_listens() {
        let shutdown = Shutdown::default();
        let mut early = shutdown.stop();
        assert!(!early.is_requested());
        shutdown.begin();
        early.requested().await;
        let mut late = shutdown.stop();
        late.requested().await;
        assert!(late.is_requested());
    }

    #[tokio::test]
    async fn a_dropped_shutdown_stops_its_tasks() {
        let shutdown = Shutdown::default();
        let mut stop = shutdown.stop();
        drop(shutdown);
        stop.requested().await;
        assert!(stop.is_requested());
    }
}
