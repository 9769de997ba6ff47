//! The client against a scripted router: what may go wrong on a connection, one sentence per test.

#![cfg(test)]

mod back_pressure;
mod cancelling;
mod commands;
mod edge_cases;
mod endings;
mod following;
mod listening;
mod login;
mod menus;
mod scripted_router;
mod secrecy;
mod seeds;
mod witness;

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use routeros_api::menu::{HotspotUser, HotspotUserDraft, Identity, PppSecret, PppSecretDraft};
use routeros_api::value::RouterId;
use routeros_api::wire::{Limits, WireError};
use routeros_api::{
    Change, Client, Command, Deadlines, Error, LoginError, Lost, Operation, Options, ProtocolError,
    REPLY_ROWS, TrapKind,
};
use scripted_router::{Router, connected, options, pipe};
use tokio::time::Instant;

fn print() -> Command {
    Command::new("/ppp/active/print")
}

fn add() -> Command {
    Command::new("/ppp/secret/add").attribute("name", "plot1")
}

/// Starts a command in a task of its own.
fn spawn(client: &Client, command: Command) -> tokio::task::JoinHandle<Result<routeros_api::Reply, Error>> {
    let client = client.clone();
    tokio::spawn(async move { client.run(command).await })
}
