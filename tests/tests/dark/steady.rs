//! What the agent asks of its flash while all is well: how often it commits and syncs, second by second.
//!
//! The store is on a disk in memory that counts, because a file does not say how often it was synced. How many bytes real files take is
//! measured by `make bench-flash`.

use tawi_agent::outbox::{Disk, Outbox};
use tawi_shared::IdSource;

use super::*;

const SUBSCRIBERS: usize = 200;
/// As the agent's settings are where nobody changes them.
const SAMPLED_EVERY: u64 = 30;
const SECOND: Duration = Duration::from_secs(1);
/// How long it is looked at, in seconds: three reports of all that runs.
const LOOKED_AT: u64 = 3_600;

#[tokio::test]
async fn a_site_with_200_subscribers_syncs_at_most_once_a_second_and_commits_as_seldom_on_the_average() {
    let directory = scratch();
    let mut office = Office::open(&directory, SUBSCRIBERS).await;
    let _still = office::hold_time();
    let customers = Customers { lines: office.lines.clone() };
    let begun = Instant::now();
    // By then everybody is online.
    office.pass(SESSION).await;
    let disk = Disk::new(1);
    let store = Outbox::inline(&disk, IdSource::seeded(2), office.clock.clone());
    let mut site = Site::on(store, &directory, office.clock.clone(), HOURLY);
    site.connect().await;
    exchange(&mut site, &mut office).await;
    site.report(customers.pass(SESSION, begun.elapsed())).await;
    // What a beginning costs is over when everybody was told of once, with what waited behind the others.
    let mut last = begun.elapsed();
    for second in 0..1_800 {
        office.pass(SECOND).await;
        if second % SAMPLED_EVERY == 0 {
            let now = begun.elapsed();
            site.report(customers.pass(last, now)).await;
            last = now;
        }
        exchange(&mut site, &mut office).await;
    }

    let (before, began) = (disk.work(), begun.elapsed());
    let (mut most_commits, mut most_syncs, mut more_than_one) = (0, 0, 0);
    let mut of_second = before;
    for second in 0..LOOKED_AT {
        office.pass(SECOND).await;
        if second % SAMPLED_EVERY == 0 {
            let now = begun.elapsed();
            site.report(customers.pass(last, now)).await;
            last = now;
        }
        exchange(&mut site, &mut office).await;
        let now = disk.work();
        most_commits = most_commits.max(now.commits - of_second.commits);
        more_than_one += u64::from(now.commits - of_second.commits > 1);
        most_syncs = most_syncs.max(now.syncs - of_second.syncs);
        of_second = now;
    }
    let seconds = (begun.elapsed() - began).as_secs();
    let work = disk.work();
    let (commits, syncs) = (work.commits - before.commits, work.syncs - before.syncs);
    let bytes_a_day = (work.bytes_written - before.bytes_written) * 86_400 / seconds;
    println!(
        "{SUBSCRIBERS} subscribers, {seconds} s: {commits} commits and {syncs} syncs, at most {most_commits} and {most_syncs} in one \
         second, more than one commit in {more_than_one}; keys and values of {bytes_a_day} bytes a day"
    );
    assert!(commits > 100, "{commits} commits are no steady state");
    assert!(commits <= seconds, "{commits} commits in {seconds} s");
    assert!(most_syncs <= 1, "{most_syncs} syncs in one second");
    site.stop().await;
    let _ = std::fs::remove_dir_all(&directory);
}
