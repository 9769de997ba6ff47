//! How the agent is linked: smaller, on flash and in memory.
//!
//! Relocations are packed (`DT_RELR`): 140 KB that the loader would read at each start, and that stayed in memory. A glibc from 2.36 on
//! (Debian 12) knows them, and musl from 1.2.4 on. Functions whose code is the same become one, where the linker can tell that nobody
//! compares their addresses.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    if of("CARGO_CFG_TARGET_OS") == "linux" && of("PROFILE") == "release" {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
