//! Tawi's agent: makes the MikroTik routers of one site agree with what the controller decided, alone if need be.
//!
//! Pure decisions (`desired`, `enforce`, `reconcile::plan`, `reconcile::guard`) stand apart from the shell that talks to
//! flash (`outbox::store`), to the controller (`link`) and to routers (`reconcile`). `flow` has the types between them.

pub mod adoption;
pub mod api_log;
pub mod boards;
pub mod certificate;
pub mod clock;
pub mod commands;
pub mod config;
pub mod contact;
pub mod desired;
pub mod doctor;
pub mod enforce;
pub mod enrol;
pub mod flow;
pub mod health;
pub mod link;
pub mod outbox;
pub mod own_log;
pub mod reconcile;
pub mod remote;
pub mod rights;
pub mod router_script;
pub mod router_script_files;
pub mod routers_file;
pub mod run;
pub mod serve;
pub mod service;
pub mod site;
pub mod status;
pub mod trouble;
pub mod tuning;
pub mod upgrade;
pub mod usage;
