//! A month of a site with 200 subscribers on a metered line, played minute by minute: what the line carries of it, and for what.
//!
//! What each message takes besides its bytes is computed: MQTT, a record of TLS, segments with the headers of TCP and IP, and the empty
//! ones that answer them. What messages take on a real socket is measured by `make bench-line`.

use std::collections::BTreeMap;

use tawi_agent::outbox::{Disk, Outbox};
use tawi_shared::IdSource;
use tawi_tests::carried::Word;

use super::*;

const SUBSCRIBERS: usize = 200;
const DAYS: u32 = 30;
/// What is played of it, if the environment does not say; the month is so many times that.
const PLAYED_DAYS: u32 = 10;
const BAD_DAYS: u32 = 3;
/// `make bench-line` plays the whole month.
const PLAYED_IN_FULL: &str = "TAWI_WHOLE_MONTH";
const MINUTE: Duration = Duration::from_secs(60);
/// Running totals are read so often here.
const SAMPLED_EVERY: u32 = 10;
/// What is promised for a link that holds, and for one that is lost fifty times a day.
const GOOD_MONTH_BYTES: u64 = 15_000_000;
const BAD_MONTH_BYTES: u64 = 25_000_000;
const CUT_EVERY: u32 = 24 * 60 / 50;
/// What a connection takes that comes back with its session of TLS, before anybody says hello: three segments and their answers open and
/// end TCP, the handshake is 1.3 kB both ways, and CONNECT with its answer a quarter of one.
const RECONNECT: u64 = 2_400;
/// What TLS 1.3 puts around a packet, the most of it in one segment, and the headers of TCP, with its times, and IP.
const RECORD: usize = 22;
const SEGMENT: u64 = 1_400;
const HEADERS: u64 = 52;
const PUBACK: usize = 4;

/// What the line carried.
#[derive(Debug, Default)]
struct Line {
    bytes: u64,
    messages: u64,
    /// Messages and their bytes by the last part of their topic, without what is around them.
    by_topic: BTreeMap<String, (u64, usize)>,
}

impl Line {
    /// What the agent says at once goes into one record of TLS: its MQTT writes all of it before its dialer reads.
    fn flight(&mut self, words: &[Word]) {
        let mut bytes = 0;
        for (topic, payload, is_light) in words {
            bytes += self.message(topic, payload.len(), *is_light);
        }
        if bytes > 0 {
            self.packet(bytes);
            words.iter().filter(|(.., is_light)| !is_light).for_each(|_| self.packet(PUBACK));
            self.bytes += HEADERS;
        }
    }

    /// A word of head office, which goes alone.
    fn word(&mut self, topic: &str, payload: &[u8]) {
        let bytes = self.message(topic, payload.len(), false);
        self.asked_and_answered(bytes, PUBACK);
    }

    /// A message, as MQTT packs it: its bytes.
    fn message(&mut self, topic: &str, payload: usize, is_light: bool) -> usize {
        let bytes = topic.len() + payload + if is_light { 4 } else { 6 };
        let lane = topic.rsplit('/').next().unwrap_or_default().to_owned();
        let so_far = self.by_topic.entry(lane).or_default();
        *so_far = (so_far.0 + 1, so_far.1 + bytes);
        self.messages += 1;
        bytes
    }

    /// The answer is there before TCP would send one of its own, and is answered by that.
    fn asked_and_answered(&mut self, question: usize, answer: usize) {
        self.packet(question);
        self.packet(answer);
        self.bytes += HEADERS;
    }

    /// A packet of MQTT, in a record of TLS, in segments; each but the last is answered by an empty one.
    fn packet(&mut self, bytes: usize) {
        let record = u64::try_from(bytes + RECORD).unwrap();
        self.bytes += record + (record.div_ceil(SEGMENT) * 2 - 1) * HEADERS;
    }
}

/// Carries what both say until neither says more, and weighs it.
async fn exchange_weighed(site: &mut Site, office: &mut Office, line: &mut Line) {
    site.status().await;
    loop {
        let words = site.said();
        let was_silent = words.is_empty();
        let mut is_answered = false;
        line.flight(&words);
        for (topic, bytes, is_light) in words {
            is_answered |= office.hear(&topic, bytes, is_light).await;
        }
        let answers = office.said(is_answered).await;
        if was_silent && answers.is_empty() {
            break;
        }
        for word in answers {
            line.word(&word.topic, &word.bytes);
            site.hear(&word.topic, word.bytes).await;
        }
        site.enforce().await;
    }
}

async fn month(days: u32, cut_every: Option<u32>) -> (Line, String) {
    let directory = scratch();
    let mut office = Office::open(&directory, SUBSCRIBERS).await;
    let _still = office::hold_time();
    let customers = Customers { lines: office.lines.clone() };
    let begun = Instant::now();
    office.pass(SESSION).await;
    let store = Outbox::inline(&Disk::new(1), IdSource::seeded(2), office.clock.clone());
    let mut site = Site::on(store, &directory, office.clock.clone(), HOURLY);
    let mut line = Line::default();
    site.connect().await;
    exchange_weighed(&mut site, &mut office, &mut line).await;
    let mut last = begun.elapsed();
    // Whoever is new costs once; a month is what comes after.
    site.report(customers.pass(last, last)).await;
    for _ in 0..60 {
        office.pass(MINUTE).await;
        exchange_weighed(&mut site, &mut office, &mut line).await;
    }
    line = Line::default();
    let minutes = days * 24 * 60;
    // Each pays once in thirty days.
    let pay_every = DAYS * 24 * 60 / u32::try_from(SUBSCRIBERS).unwrap();
    for minute in 1..=minutes {
        office.pass(MINUTE).await;
        if cut_every.is_some_and(|every| minute.is_multiple_of(every)) {
            site.cut().await;
            site.connect().await;
            line.bytes += RECONNECT;
        }
        if minute.is_multiple_of(SAMPLED_EVERY) {
            let now = begun.elapsed();
            site.report(customers.pass(last, now)).await;
            last = now;
        }
        if minute.is_multiple_of(pay_every) {
            let payer = usize::try_from(minute / pay_every).unwrap() % SUBSCRIBERS;
            office.pay(&customers.lines[payer]).await;
        }
        if minute.is_multiple_of(4) {
            site.keep_alive();
            // PINGREQ and PINGRESP.
            line.asked_and_answered(2, 2);
        }
        exchange_weighed(&mut site, &mut office, &mut line).await;
    }
    let parts = site.status().await.controller.line.said();
    site.stop().await;
    let _ = std::fs::remove_dir_all(&directory);
    (line, parts)
}

#[tokio::test]
async fn a_month_of_200_subscribers_stays_within_15_megabytes() {
    let days = if std::env::var_os(PLAYED_IN_FULL).is_some() { DAYS } else { PLAYED_DAYS };
    let (line, parts) = month(days, None).await;
    let bytes = line.bytes * u64::from(DAYS / days);
    println!("{SUBSCRIBERS} subscribers, {days} days played: {bytes} bytes a month; {line:?}\n{parts}");
    assert!(line.messages > 4_000, "{line:?} is no month");
    assert!(bytes <= GOOD_MONTH_BYTES, "{bytes} bytes");
}

#[tokio::test]
async fn a_month_with_50_reconnects_a_day_stays_within_25_megabytes() {
    let (line, parts) = month(BAD_DAYS, Some(CUT_EVERY)).await;
    let bytes = line.bytes * u64::from(DAYS / BAD_DAYS);
    println!("with 50 reconnects a day, {BAD_DAYS} days of it: {bytes} bytes a month; {line:?}\n{parts}");
    assert!(line.messages > 1_000, "{line:?} is no month");
    assert!(bytes <= BAD_MONTH_BYTES, "{bytes} bytes");
}
