//! The seeds of the fuzz targets, run by the very functions that the fuzzer calls.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/targets.rs"]
mod targets;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The names of what is in a folder of the fuzz crate.
fn names_in(folder: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(fuzz().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn run_seeds(target: &str, run: fn(&[u8])) {
    let seeds = names_in(&format!("seeds/{target}"));
    assert!(seeds.len() >= 9, "{target} has only {} seeds", seeds.len());
    for seed in seeds {
        let path = fuzz().join("seeds").join(target).join(&seed);
        // Says which one, if it panics.
        println!("{target}/{seed}");
        run(&std::fs::read(path).unwrap());
    }
}

#[test]
fn every_seed_of_the_decoder_passes() {
    run_seeds("decoder", targets::decoder);
}

#[test]
fn every_seed_of_the_values_passes() {
    run_seeds("values", targets::values);
}

#[test]
fn every_seed_of_the_rows_passes() {
    run_seeds("rows", targets::rows);
}

#[test]
fn every_seed_of_the_session_passes() {
    run_seeds("session", targets::session);
}

#[test]
fn every_fuzz_target_is_declared_has_seeds_and_calls_the_function_that_is_tested_here() {
    let tested = BTreeSet::from(["decoder", "rows", "session", "values"].map(str::to_owned));
    assert_eq!(names_in("seeds"), tested);
    let programs = tested.iter().map(|target| format!("{target}.rs")).collect::<BTreeSet<_>>();
    assert_eq!(names_in("fuzz_targets"), programs);
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for target in &tested {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
        let program = std::fs::read_to_string(fuzz().join(format!("fuzz_targets/{target}.rs"))).unwrap();
        assert!(program.contains(&format!("targets::{target}(data)")) && program.contains("../targets.rs"));
    }
}
