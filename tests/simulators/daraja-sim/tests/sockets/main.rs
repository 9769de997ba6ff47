//! The simulator over real sockets: a merchant that listens and calls, and the promises it relies on.
//!
//! Every test starts a simulator and a listener of its own on free loopback ports.

#[cfg(test)]
mod c2b;
#[cfg(test)]
mod callbacks;
#[cfg(test)]
mod control;
#[cfg(test)]
mod gateway_faults;
#[cfg(test)]
mod listener;
#[cfg(test)]
mod merchant;
#[cfg(test)]
mod oauth;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod program;
#[cfg(test)]
mod pull;
#[cfg(test)]
mod secure_listener;
#[cfg(test)]
mod stk;
