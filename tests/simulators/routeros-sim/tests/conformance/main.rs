//! The simulator over real sockets, spoken to in raw words: the client library has no part in this.
//!
//! Every test starts a router of its own on free loopback ports and waits for events, never for time.

#[cfg(test)]
mod box_and_power;
#[cfg(test)]
mod client;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod control;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hotspot;
#[cfg(test)]
mod login;
#[cfg(test)]
mod program;
#[cfg(test)]
mod reach;
#[cfg(test)]
mod services;
#[cfg(test)]
mod subscribers;
#[cfg(test)]
mod tags;
#[cfg(test)]
mod tls;
