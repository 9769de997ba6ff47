//! How the agent is linked: smaller, on flash and in memory.
//!
//! Relocations are packed (`DT_RELR`): unpacked they are 140 KB that the loader reads at each start and that stay in memory. glibc knows
//! them from 2.36 on (Debian 12), musl from 1.2.4 on.

#[expect(clippy::disallowed_methods, reason = "Cargo speaks to a build script by its environment")]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let said = |name: &str| std::env::var(name).unwrap_or_default();
    if said("CARGO_CFG_TARGET_OS") == "linux" && said("PROFILE") == "release" {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
