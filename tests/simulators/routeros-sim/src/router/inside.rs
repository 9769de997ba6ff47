//! What the tasks of the simulator ask of the router: device tasks, API connections, ports, the ticker.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::Router;
use crate::devices::Dialed;
use crate::engine::Answer;
use crate::policies::Actor;
use crate::request::Request;
use crate::state::{ConnectionId, Pushed, State};
use crate::trap::Trap;

/// How often sessions, cookies and address-list entries are checked for their end.
const TICK: Duration = Duration::from_millis(100);
/// How long a closed port waits at most before it looks whether it may open; changes wake it earlier.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

impl Router {
    pub(crate) fn stopping(&self) -> watch::Receiver<()> {
        self.shared.stopping.clone()
    }

    pub(crate) fn cuts(&self) -> watch::Receiver<u64> {
        self.shared.cut.subscribe()
    }

    pub(crate) fn gate(&self) -> watch::Receiver<u64> {
        self.shared.gate.subscribe()
    }

    /// The port on which a service is open now; if it is not, how long to wait at most before looking again.
    pub(crate) fn open_port(&self, service: &'static str) -> Result<u16, Duration> {
        let state = self.lock();
        let now = self.shared.clock.now(0);
        if state.is_down(now) {
            return Err(Duration::from_millis(state.booted_ms.saturating_sub(now.monotonic_ms)));
        }
        let id = state.engine.find("ip/service", service.as_bytes()).ok_or(LOOK_AGAIN)?;
        if state.engine.is_set("ip/service", id, "disabled") || state.faults.refuse_connections {
            return Err(LOOK_AGAIN);
        }
        let port = state.engine.text("ip/service", id, "port").unwrap_or_default();
        std::str::from_utf8(&port).ok().and_then(|port| port.parse().ok()).ok_or(LOOK_AGAIN)
    }

    pub(crate) fn dial(&self, name: &str, serial: u64) -> Dialed {
        self.change(|state, now| {
            let is_same = |state: &State| state.devices.get(name).is_some_and(|(own, _)| *own == serial);
            if !is_same(state) {
                return Dialed::Gone;
            }
            state.dial(name, now);
            match state.devices.get(name) {
                Some((_, device)) if device.session.is_some() => Dialed::In(Arc::clone(&device.wake)),
                Some((_, device)) => Dialed::Refused(Arc::clone(&device.wake), device.redial),
                None => Dialed::Gone,
            }
        })
    }

    pub(crate) fn redial_of(&self, name: &str) -> Duration {
        self.lock().devices.get(name).map_or(Duration::ZERO, |(_, device)| device.redial)
    }

    pub(crate) fn open(&self, service: &'static str, peer: IpAddr) -> Option<ConnectionId> {
        self.change(|state, _| state.open(service, peer))
    }

    pub(crate) fn close(&self, id: ConnectionId) {
        self.change(|state, now| state.close(id, now));
    }

    pub(crate) fn log_in(&self, id: ConnectionId, request: &Request) -> Result<Actor, Trap> {
        self.change(|state, now| state.log_in(id, request, now))
    }

    /// Runs a command that came over the API.
    pub(crate) fn execute(
        &self,
        id: ConnectionId,
        request: &Request,
        actor: &Actor,
        pushes: &mpsc::Sender<Pushed>,
    ) -> Result<Answer, Trap> {
        let answer = self.change(|state, now| {
            state.statistics.commands = state.statistics.commands.saturating_add(1);
            let answer = state.execute(request, actor, now)?;
            if request.command == "listen" {
                state.listen(id, request, actor, pushes.clone())?;
            }
            Ok(answer)
        });
        if request.menu == "ip/service" {
            self.note_gate();
        }
        answer
    }

    pub(crate) fn stop_listening(&self, id: ConnectionId, tag: &[u8]) -> bool {
        self.lock().stop_listening(id, tag)
    }

    pub(crate) fn listening_tags(&self, id: ConnectionId) -> Vec<Vec<u8>> {
        self.lock().listening_tags(id)
    }

    pub(crate) fn is_cut_off(&self, id: ConnectionId) -> bool {
        self.lock().is_cut_off(id)
    }

    /// Whether the connection must stand still.
    pub(crate) fn is_stalled(&self) -> bool {
        self.lock().faults.stall
    }

    /// Waits while connections must stand still; their handshakes stand still with them.
    pub(crate) async fn while_stalled(&self) {
        let mut gate = self.gate();
        while self.is_stalled() && gate.changed().await.is_ok() {}
    }

    pub(crate) fn says_empty(&self) -> bool {
        self.lock().engine.release().says_empty()
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.lock().faults.latency_ms)
    }

    /// Takes the processor for one command that has waited for its turn so long; how long until it will have run.
    pub(crate) fn reserve_processor(&self, request: &Request, waited: Duration) -> Duration {
        let mut state = self.lock();
        let now = self.shared.clock.now(0);
        let end_ms = state.reserve_processor(request, now, waited);
        Duration::from_millis(end_ms.saturating_sub(now.monotonic_ms))
    }

    /// How many of `wanted` bytes may be sent before the armed cut.
    pub(crate) fn may_send(&self, wanted: usize) -> usize {
        match self.lock().faults.drop_after_bytes {
            0 => wanted,
            left => wanted.min(usize::try_from(left).unwrap_or(usize::MAX)),
        }
    }

    /// Counts bytes sent towards the armed cut; whether this connection is the one that is cut.
    pub(crate) fn sent(&self, bytes: usize) -> bool {
        let mut state = self.lock();
        let left = state.faults.drop_after_bytes;
        if left == 0 {
            return false;
        }
        let rest = left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        state.faults.drop_after_bytes = rest;
        rest == 0
    }

    /// Ends what time ends, until the simulator stops.
    pub(crate) async fn keep_time(self) {
        let mut stopping = self.stopping();
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.change(State::tick),
                _ = stopping.changed() => return,
            }
        }
    }
}
