//! The agent under another version: the same library, with a mark and a time to prove itself of a test's choice. For tests of
//! upgrades, whose releases are scripts that put this program in their own place.
//!
//! Names in the environment say which agent it is; what is on the command line stays what the service manager wrote there.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tawi_agent::config::Environment;
use tawi_agent::serve::serve;
use tawi_agent::upgrade::Build;

#[expect(
    clippy::disallowed_methods,
    reason = "the tests that start it have no other way to say which agent it is"
)]
fn named(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn main() -> ExitCode {
    let mut build = Build::of(&named("TAWI_TEST_MARK").unwrap_or_default());
    if let Some(seconds) = named("TAWI_TEST_PROVE_SECONDS").and_then(|text| text.parse().ok()) {
        build.prove_within = Duration::from_secs(seconds);
    }
    let after = |name: &str| std::env::args_os().skip_while(|word| word != name).nth(1).map(PathBuf::from);
    let config = named("TAWI_TEST_CONFIG").map(PathBuf::from).or_else(|| after("--config"));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let outcome = serve(&config.unwrap_or_default(), &Environment::read(), &runtime, build, None);
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("another-agent: {}", failure.words);
            ExitCode::from(failure.code)
        }
    }
}
