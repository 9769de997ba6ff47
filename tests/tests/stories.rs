//! The five parts of the story as one end-to-end test over real processes and sockets. It prints how long payments took;
//! whether that keeps the promise is for `make bench` to say, on a machine that does nothing else.

use std::path::PathBuf;

use tawi_shared::IdSource;
use tawi_tests::stories;
use tawi_tests::world::{Plan, World};

fn directory() -> PathBuf {
    std::env::temp_dir().join(format!("tawi-stories-{}", IdSource::system().hex(4)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_becomes_packets_in_every_part_of_the_story() {
    let plan = Plan { rule_17: false, ..Plan::default() };
    let mut say = |step: &str| eprintln!("· {step}");
    let mut world = World::start(&directory(), &plan, &mut say).await.unwrap();
    let report = stories::play(&mut world, 200, &mut say).await.unwrap();
    let text = serde_json::to_string_pretty(&report).unwrap();
    if !report.passed {
        world.keep_directory();
    }
    let stopped = world.stop().await;
    assert!(report.passed, "{text}");
    stopped.unwrap();
    println!("{text}");
    assert_eq!(report.callback_to_verified_ms.count, 200);
}
