//! What is tried with bytes of any kind: by the fuzzer on nightly, and with the seeds by every `make test` on stable.
//!
//! One function a target, none of which may panic, hang or hold more than its limits, and each of which asserts what
//! must hold of any input. Nothing here knows where the bytes come from.

#![cfg_attr(not(test), expect(dead_code, reason = "each fuzz target uses one of them"))]

use std::time::Duration;

use bytes::Bytes;
use routeros_api::menu::{
    Clock, HotspotActive, HotspotUser, HotspotUserProfile, Interface, LogLine, PppActive, PppProfile,
    PppSecret, Resource, TypedRow, Version,
};
use routeros_api::value::{
    DateDialect, RateLimit, RouterId, parse_bool, parse_date_time, parse_duration, parse_log_time,
    parse_number, parse_pair, parse_rate, parse_rate_pair, parse_timeout, print_bool, print_duration,
    print_duration_as_clock, print_pair, print_rate, print_rate_pair, print_timeout,
};
use routeros_api::wire::{Decoder, Limits, Sentence, WireError, encode_sentence};
use routeros_api::{Client, Command, Error, Options, Row, Secret, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Small, so that inputs of a few hundred bytes reach them.
const LIMITS: Limits = Limits { word_bytes: 512, words: 32, sentence_bytes: 2048 };
/// A length prefix has at most so many bytes.
const PREFIX_BYTES: usize = 5;

/// The first byte says how the others are cut into pieces; the sentences must not depend on it.
pub fn decoder(data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else { return };
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(decode(bytes, usize::from(*size).max(1)), whole, "chunks change what is read");
    let mut again = Vec::new();
    for sentence in &whole.0 {
        assert!(!sentence.0.is_empty() && sentence.0.len() <= LIMITS.words);
        let size = again.len();
        encode_sentence(&sentence.0, &mut again).expect("what was read can be sent");
        assert!(again.len() - size <= LIMITS.sentence_bytes + 1);
        assert!(format!("{sentence:?}").len() <= 8 * LIMITS.sentence_bytes, "what is shown is bounded");
    }
    assert_eq!(decode(&again, again.len().max(1)), (whole.0, None), "what is sent again reads the same");
}

fn decode(bytes: &[u8], chunk: usize) -> (Vec<Sentence>, Option<WireError>) {
    let mut decoder = Decoder::new(LIMITS);
    let mut sentences = Vec::new();
    for piece in bytes.chunks(chunk) {
        decoder.feed(piece);
        loop {
            match decoder.poll() {
                Ok(Some(sentence)) => sentences.push(sentence),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(
                        (decoder.poll(), decoder.pending_bytes()),
                        (Err(error), 0),
                        "poisoned for good"
                    );
                    return (sentences, Some(error));
                }
            }
        }
        assert!(decoder.pending_bytes() <= LIMITS.sentence_bytes + PREFIX_BYTES);
    }
    (sentences, None)
}

/// Each line is tried as a value of every kind; whatever is one prints as something that reads the same.
pub fn values(data: &[u8]) {
    for value in data.split(|byte| *byte == b'\n') {
        if let Ok(duration) = parse_duration(value) {
            assert_eq!(parse_duration(print_duration(duration).as_bytes()), Ok(duration));
            assert_eq!(parse_duration(print_duration_as_clock(duration).as_bytes()), Ok(duration));
        }
        if let Ok(timeout) = parse_timeout(value) {
            assert_eq!(parse_timeout(print_timeout(timeout, "none").as_bytes()), Ok(timeout));
        }
        if let Ok(moment) = parse_date_time(value) {
            for dialect in [DateDialect::NamedMonths, DateDialect::Iso] {
                assert_eq!(parse_date_time(moment.print(dialect).as_bytes()), Ok(moment));
            }
        }
        if let Ok(time) = parse_log_time(value) {
            let now = parse_date_time(b"2026-01-01 00:00:00").expect("a date");
            let _ = time.resolve(now);
            for dialect in [DateDialect::NamedMonths, DateDialect::Iso] {
                assert_eq!(parse_log_time(time.print(dialect).as_bytes()), Ok(time));
            }
        }
        if let Ok(rate) = parse_rate(value) {
            assert_eq!(parse_rate(print_rate(rate).as_bytes()), Ok(rate));
        }
        if let Ok(pair) = parse_rate_pair(value) {
            assert_eq!(parse_rate_pair(print_rate_pair(pair).as_bytes()), Ok(pair));
        }
        if let Ok(pair) = parse_pair(value) {
            assert_eq!(parse_pair(print_pair(pair).as_bytes()), Ok(pair));
        }
        if let Ok(limit) = RateLimit::parse(value) {
            assert_eq!(RateLimit::parse(limit.to_string().as_bytes()), Ok(limit));
        }
        if let Ok(flag) = parse_bool(value) {
            assert_eq!(parse_bool(print_bool(flag).as_bytes()), Ok(flag));
        }
        if let Ok(number) = parse_number(value) {
            assert_eq!(parse_number(number.to_string().as_bytes()), Ok(number));
        }
        if let Ok(id) = RouterId::parse(value.to_vec()) {
            assert_eq!(RouterId::parse(id.to_string()).map(|id| id.number()), Ok(id.number()));
        }
        let _ = Version::parse(value);
    }
}

/// Sentences as rows of every typed menu; nothing that a name marks as secret is shown.
pub fn rows(data: &[u8]) {
    for sentence in decode(data, data.len().max(1)).0 {
        let row = Row::from(sentence.clone());
        let _ = (PppSecret::read(&row), PppProfile::read(&row), PppActive::read(&row), Interface::read(&row));
        let _ = (HotspotUser::read(&row), HotspotUserProfile::read(&row), HotspotActive::read(&row));
        let _ =
            (Resource::read(&row), LogLine::read(&row), Clock::read(&row).map(|clock| clock.unix_seconds()));
        let _ = (row.id(), row.is_dead());
        let hidden = "a-value-that-is-hidden-by-its-name";
        if data.windows(hidden.len()).any(|window| window == hidden.as_bytes()) {
            // It stands there under another name, which the fuzzer finds out within a minute.
            continue;
        }
        let words = sentence.0.into_iter().chain([Bytes::from(format!("=password={hidden}"))]);
        let shown = format!("{:?}", Row::from(words.collect::<Sentence>()));
        assert!(!shown.contains(hidden));
    }
}

/// The bytes are all that a router says after the login, to a read, a write and a listen; then it hangs up. Every
/// call ends, at once, and what became of the write is told.
pub fn session(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (ours, mut router) = tokio::io::duplex(64 * 1024);
        let mut options = Options::new("192.0.2.1", Transport::Plain, "api", Secret::new("w"));
        options.limits = LIMITS;
        let (client, ()) = tokio::join!(Client::over(ours, &options), let_in(&mut router));
        let client = client.expect("let in");
        let read = tokio::spawn(run(client.clone(), "/ppp/active/print"));
        let write = tokio::spawn(run(client.clone(), "/ppp/secret/add"));
        let mut listen = client.listen(Command::new("/ppp/active/listen")).await.expect("a place");
        let mut heard = [0; 1024];
        // All three are sent in one go, or in several; what they are does not matter here.
        while tokio::time::timeout(Duration::from_millis(1), router.read(&mut heard)).await.is_ok() {}
        let _ = router.write_all(data).await;
        drop(router);
        while let Some(Ok(_)) = listen.next().await {}
        let _ = read.await.expect("no panic");
        match write.await.expect("no panic") {
            Ok(reply) => assert!(reply.rows.len() <= data.len()),
            Err(Error::Trap(traps)) => assert!(traps.to_string().len() <= data.len() * 3 + 64),
            Err(error) => assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}"),
        }
        client.closed().await;
    });
}

async fn run(client: Client, path: &str) -> Result<routeros_api::Reply, Error> {
    client.run(Command::new(path)).await
}

async fn let_in(router: &mut DuplexStream) {
    let mut login = [0; 64];
    let _ = router.read(&mut login).await;
    let _ = router.write_all(b"\x05!done\x00").await;
}
