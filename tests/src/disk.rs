//! What one durable write costs on this disk: half of every time of a payment is made of it.

use std::io::Write as _;
use std::path::Path;

use tokio::time::Instant;

/// Durable writes that are averaged.
const WRITES: u32 = 100;
/// A page of a database.
const PAGE: [u8; 4_096] = [0; 4_096];

/// Milliseconds of one write that is synchronised, as an average, in a file that is made at `path` and removed.
///
/// # Errors
/// When the file cannot be written.
pub fn fsync_ms(path: &Path) -> anyhow::Result<f64> {
    let mut file = std::fs::File::create(path)?;
    let started = Instant::now();
    for _ in 0..WRITES {
        file.write_all(&PAGE)?;
        file.sync_all()?;
    }
    let took = started.elapsed().as_secs_f64() * 1_000.0 / f64::from(WRITES);
    std::fs::remove_file(path)?;
    Ok(took)
}
