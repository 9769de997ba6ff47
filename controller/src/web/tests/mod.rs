//! The HTTP half over real sockets and a real SQLite file.

mod adoption;
mod contract;
mod corrections;
mod orders;
mod pages;
mod references;
mod requests;
mod schema;
mod sign_in;
mod texts;
mod tickets;
mod upgrades;
mod writes;
