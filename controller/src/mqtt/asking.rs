//! Asks sites for a hello after each connection to a broker that is not inside the controller.
//!
//! Our own front door sends everybody away while nobody listens, so that their next word is a hello. With another broker
//! sites stay connected while the controller is away: what they said meanwhile is lost, and what they were to be told.
//! Each is asked to say once more where it stands, at a random time, so that they do not all come at once. Agents that do
//! not know the question find out by themselves: whoever tells something and gets no answer for 45 s connects anew, which a
//! quiet site does with its next report, within twenty minutes.

use std::time::Duration;

use tawi_shared::topics::Down;
use tawi_shared::wire;
use tokio::time::sleep;

use super::LinkError;
use super::connection::Pipe;
use super::spread::asked_for_hello;
use crate::shutdown::Stop;
use crate::sites;
use crate::state::Controller;

/// How often whoever has not said where it stands is asked again.
const AGAIN: Duration = Duration::from_secs(60);
/// How often in all. Who is away then says hello when it is back.
const TIMES: u32 = 5;

/// Runs until `stop`.
pub(super) async fn run(controller: Controller, pipe: Pipe, mut stop: Stop) {
    let mut connection = pipe.changes();
    let mut left = 0_u32;
    loop {
        tokio::select! {
            () = stop.requested() => return,
            changed = connection.changed() => {
                if changed.is_err() {
                    return;
                }
                left = if connection.borrow_and_update().is_some() { TIMES } else { 0 };
            }
            () = sleep(AGAIN), if left > 0 => {}
        }
        if left == 0 {
            continue;
        }
        if let Err(error) = ask(&controller, &pipe, left == TIMES).await {
            tracing::error!(%error, "sites are not asked where they stand; trying again in a minute");
        }
        left = left.saturating_sub(1);
    }
}

/// The first time everybody, since nobody may be noted as gone yet.
pub(super) async fn ask(controller: &Controller, pipe: &Pipe, is_first: bool) -> Result<(), LinkError> {
    let mut read = controller.database.read().await?;
    let sites = match is_first {
        true => sites::store::ids_of_admitted(&mut read).await?,
        false => sites::store::ids_of_offline(&mut read).await?,
    };
    drop(read);
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
