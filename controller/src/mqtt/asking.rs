//! Asks sites for a hello after each connection to a broker that is not inside the controller.
//!
//! Our own front door sends everybody away while nobody listens, so that their next word is a hello. With another broker
//! sites stay connected while the controller is away: what they said meanwhile is lost, and what they were to be told.
//! Each is asked to say once more where it stands, at a random time, so that they do not all come at once. Agents that do
//! not know the question, and sites that it does not reach, find out by themselves: an agent that gets no answer for
//! 45 s connects anew.

use tawi_shared::topics::Down;
use tawi_shared::wire;

use super::LinkError;
use super::connection::Pipe;
use super::spread::asked_for_hello;
use crate::shutdown::Stop;
use crate::sites;
use crate::state::Controller;

/// Runs until `stop`.
pub(super) async fn run(controller: Controller, pipe: Pipe, mut stop: Stop) {
    let mut connection = pipe.changes();
    loop {
        tokio::select! {
            () = stop.requested() => return,
            changed = connection.changed() => if changed.is_err() { return },
        }
        let is_open = connection.borrow_and_update().is_some();
        if is_open && let Err(error) = ask(&controller, &pipe).await {
            tracing::error!(%error, "sites are not asked where they stand; each finds out by itself within a minute");
        }
    }
}

async fn ask(controller: &Controller, pipe: &Pipe) -> Result<(), LinkError> {
    let sites = sites::store::ids_of_admitted(&mut *controller.database.read().await?).await?;
    let question = asked_for_hello(u64::try_from(sites.len()).unwrap_or(u64::MAX));
    // Two numbers always fit an envelope.
    let Ok(envelope) = wire::encode(&question, 0, 0, 0) else { return Ok(()) };
    for site in sites {
        if !pipe.publish(Down::Ack.topic(&site), envelope.clone()).await {
            // The next connection asks again.
            return Ok(());
        }
    }
    Ok(())
}
