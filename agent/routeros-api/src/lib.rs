//! An asynchronous client of the MikroTik RouterOS API.

pub mod wire;
pub mod word;
