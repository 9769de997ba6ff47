//! The number that makes a random test, so that a failure can be repeated: `TAWI_SEED=7 cargo test …`.

use tawi_shared::IdSource;

/// What the environment says, or a new one.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a developer's switch, not configuration")]
pub fn seed() -> u64 {
    std::env::var("TAWI_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| IdSource::system().number() % 1_000_000)
}
