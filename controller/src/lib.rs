//! Tawi's controller: customers, plans, payments and policy for every site, and the dashboard of head office.
//!
//! Modules are domain nouns. In each, `mod.rs` has the nouns and public calls, `store.rs` all its SQL, `pages.rs` its
//! HTTP, and any other file a rule named after its decision. Pure decisions (`entitlements`, `mqtt::acl`, …) import no IO.

pub mod adoption;
mod attempts;
pub mod audit;
pub mod backhaul;
pub mod broker;
pub mod cli;
pub mod closing;
pub mod columns;
pub mod commands;
pub mod config;
pub mod crowd;
pub mod customers;
pub mod database;
pub mod desired;
pub mod entitlements;
pub mod held_plans;
pub mod ids;
pub mod jobs;
pub mod ledger;
pub mod live;
pub mod messages;
pub mod money;
pub mod mpesa;
pub mod mqtt;
pub mod overview;
pub mod pay;
pub mod payments;
pub mod pki;
pub mod plain;
pub mod plans;
pub mod qr;
pub mod quota;
pub mod releases;
pub mod router_writes;
pub mod shutdown;
pub mod site_settings;
pub mod sites;
pub mod staff;
pub mod state;
pub mod subscriptions;
pub mod top_ups;
pub mod turns;
pub mod usage;
pub mod users;
pub mod web;

#[cfg(test)]
mod testing;
