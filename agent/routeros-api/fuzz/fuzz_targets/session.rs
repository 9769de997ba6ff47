//! A router that says anything. What is tried is in [`targets`], which the tests run with the seeds.

#![no_main]

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::session(data));
