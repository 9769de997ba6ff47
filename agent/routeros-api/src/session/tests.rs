//! The session against sentences that a router may send, in any order.

use super::*;
use crate::trap::TrapKind;
use crate::wire::WireError;

type Name = &'static str;

const IDLE: Duration = Duration::from_secs(30);
const DRAIN: Duration = Duration::from_secs(5);

struct Bench {
    session: Session<Name>,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { session: Session::new(IDLE, DRAIN), now: tokio::time::Instant::now().into_std() }
    }

    fn submit(&mut self, tag: Tag, waiter: Name, path: &str) {
        let words = self.session.submit(tag, waiter, &Command::new(path), path.ends_with("listen"), self.now);
        assert_eq!(words.last().unwrap(), format!(".tag={tag}").as_bytes());
    }

    fn receive(&mut self, words: &[&'static str]) -> Event<Name> {
        self.session.receive(words.iter().copied().collect(), self.now).unwrap()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn end(self, lost: &Lost) -> Vec<(Name, String)> {
        let mut errors: Vec<_> = self
            .session
            .end(lost, self.now)
            .into_iter()
            .map(|(waiter, error)| (waiter, error.to_string()))
            .collect();
        errors.sort_unstable();
        errors
    }
}

fn row_of(event: &Event<Name>, expected: Tag) -> Option<Bytes> {
    match event {
        Event::Row(tag, row) if *tag == expected => row.get("name"),
        other => panic!("not a row of {expected}: {other:?}"),
    }
}

#[test]
fn interleaved_replies_go_to_their_own_commands() {
    let mut bench = Bench::new();
    bench.submit(1, "secrets", "/ppp/secret/print");
    bench.submit(2, "add", "/ppp/secret/add");
    assert_eq!(row_of(&bench.receive(&["!re", "=name=a", ".tag=1"]), 1).as_deref(), Some(&b"a"[..]));
    assert_eq!(
        bench.receive(&["!done", "=ret=*1A", ".tag=2"]),
        Event::Finished("add", Ok(Some(Bytes::from("*1A"))))
    );
    // The tag may stand anywhere in the sentence.
    assert_eq!(row_of(&bench.receive(&["!re", ".tag=1", "=name=b"]), 1).as_deref(), Some(&b"b"[..]));
    assert_eq!(bench.receive(&["!done", ".tag=1"]), Event::Finished("secrets", Ok(None)));
}

#[test]
fn a_trap_ends_nothing_until_its_done_and_several_are_kept() {
    let mut bench = Bench::new();
    bench.submit(1, "set", "/ppp/secret/set");
    assert_eq!(bench.receive(&["!trap", "=category=1", "=message=invalid value", ".tag=1"]), Event::Nothing);
    assert_eq!(bench.receive(&["!trap", "=message=no such item", ".tag=1"]), Event::Nothing);
    assert!(bench.session.waiter(1).is_some(), "the command is still in flight");
    let Event::Finished("set", Err(traps)) = bench.receive(&["!done", ".tag=1"]) else {
        panic!("not finished")
    };
    assert_eq!(traps.first().kind, TrapKind::InvalidValue);
    assert!(traps.any(TrapKind::NoSuchItem));
}

#[test]
fn an_empty_notice_never_ends_a_command() {
    let mut bench = Bench::new();
    for (tag, between) in [(1, &[][..]), (2, &["!empty"]), (3, &["!empty", "!empty"])] {
        bench.submit(tag, "print", "/ppp/active/print");
        for notice in between {
            let sentence = [Bytes::from(*notice), tag_word(tag)].into_iter().collect();
            assert_eq!(bench.session.receive(sentence, bench.now).unwrap(), Event::Nothing);
        }
        let done = [Bytes::from("!done"), tag_word(tag)].into_iter().collect();
        assert_eq!(bench.session.receive(done, bench.now).unwrap(), Event::Finished("print", Ok(None)));
    }
    bench.submit(4, "print", "/ppp/active/print");
    assert_eq!(bench.receive(&["!empty", ".tag=4"]), Event::Nothing);
    assert!(row_of(&bench.receive(&["!re", "=name=a", ".tag=4"]), 4).is_some());
}

#[test]
fn replies_with_an_unknown_a_late_or_no_tag_are_dropped() {
    let mut bench = Bench::new();
    bench.submit(1, "print", "/ppp/active/print");
    for words in [
        &["!re", "=name=a", ".tag=99"][..],
        &["!done", ".tag=99"],
        &["!trap", "=message=x"],
        &["!re", "=name=a"],
        &["!done"],
        &["!done", ".tag="],
        &["!done", ".tag=x"],
        &["!done", ".tag=-1"],
    ] {
        assert_eq!(bench.receive(words), Event::Nothing, "{words:?}");
    }
    assert!(bench.session.waiter(1).is_some());
    assert_eq!(bench.receive(&["!done", ".tag=1"]), Event::Finished("print", Ok(None)));
    assert_eq!(bench.receive(&["!done", ".tag=1"]), Event::Nothing, "a second done is late");
}

#[test]
fn tags_that_come_round_do_not_meet_a_listen_that_lives_nor_a_command_that_drains() {
    let mut bench = Bench::new();
    assert_eq!(bench.session.next_tag(), 1);
    bench.submit(1, "listen", "/ppp/active/listen");
    bench.submit(2, "print", "/log/print");
    bench.session.cancel(2, 3, bench.now).unwrap();
    bench.session.last_tag = Tag::MAX - 1;
    assert_eq!(bench.session.next_tag(), Tag::MAX);
    assert_eq!(bench.session.next_tag(), 4, "past zero, the listen, the drained and its cancel");
    // The drained command ends, and its tag is free again.
    bench.receive(&["!done", ".tag=2"]);
    bench.session.last_tag = Tag::MAX;
    assert_eq!(bench.session.next_tag(), 2);
    assert!(row_of(&bench.receive(&["!re", "=name=a", ".tag=1"]), 1).is_some(), "the listen is the listen");
}

#[test]
fn a_cancelled_command_is_drained_whichever_done_comes_first() {
    for order in [["!done .tag=1", "!done .tag=2"], ["!done .tag=2", "!done .tag=1"]] {
        let mut bench = Bench::new();
        bench.submit(1, "print", "/log/print");
        let words = bench.session.cancel(1, 2, bench.now).unwrap();
        assert_eq!(words, [&b"/cancel"[..], b"=tag=1", b".tag=2"]);
        // Rows may still come after the cancel was sent.
        assert_eq!(bench.receive(&["!re", "=name=late", ".tag=1"]), Event::Nothing);
        assert_eq!(
            bench.receive(&["!trap", "=category=2", "=message=interrupted", ".tag=1"]),
            Event::Nothing
        );
        for sentence in order {
            assert!(bench.session.next_deadline().is_some(), "both ends are awaited");
            let words: Sentence = sentence.split(' ').collect();
            assert_eq!(bench.session.receive(words, bench.now).unwrap(), Event::Nothing);
        }
        assert_eq!(bench.session.next_deadline(), None);
    }
}

#[test]
fn cancelling_what_is_over_or_already_cancelled_sends_nothing() {
    let mut bench = Bench::new();
    bench.submit(1, "print", "/log/print");
    bench.receive(&["!done", ".tag=1"]);
    assert_eq!(bench.session.cancel(1, 2, bench.now), None);
    bench.submit(3, "print", "/log/print");
    assert!(bench.session.cancel(3, 4, bench.now).is_some());
    assert_eq!(bench.session.cancel(3, 5, bench.now), None);
    // The command finished just as it was cancelled: the router traps the cancel, and that is that.
    bench.receive(&["!done", ".tag=3"]);
    assert_eq!(bench.receive(&["!trap", "=message=no such command", ".tag=4"]), Event::Nothing);
    assert_eq!(bench.receive(&["!done", ".tag=4"]), Event::Nothing);
    assert_eq!(bench.session.next_deadline(), None);
}

#[test]
fn a_cancel_that_is_not_answered_in_time_ends_the_connection() {
    let mut bench = Bench::new();
    bench.submit(1, "listen", "/ppp/active/listen");
    bench.session.cancel(1, 2, bench.now).unwrap();
    bench.receive(&["!done", ".tag=2"]);
    bench.pass(DRAIN - Duration::from_millis(1));
    assert!(bench.session.overdue(bench.now).is_none());
    bench.pass(Duration::from_millis(1));
    assert!(matches!(bench.session.overdue(bench.now), Some(Lost::CancelUnanswered(DRAIN))));
}

#[test]
fn silence_is_counted_from_the_last_reply_of_that_command() {
    let mut bench = Bench::new();
    bench.submit(1, "slow", "/log/print");
    bench.submit(2, "listen", "/ppp/active/listen");
    bench.pass(IDLE - Duration::from_secs(1));
    bench.receive(&["!re", "=name=a", ".tag=1"]);
    bench.pass(IDLE - Duration::from_secs(1));
    bench.receive(&["!re", "=name=b", ".tag=2"]);
    assert!(bench.session.overdue(bench.now).is_none());
    bench.pass(Duration::from_secs(1));
    assert!(matches!(bench.session.overdue(bench.now), Some(Lost::TimedOut(IDLE))));
    bench.session.forgive_silence(bench.now);
    assert!(bench.session.overdue(bench.now).is_none(), "silence of our own making does not count");
    assert_eq!(bench.session.next_deadline(), Some(bench.now + IDLE));
}

#[test]
fn a_listen_may_be_silent_for_days_and_a_command_may_set_its_own_deadline() {
    let mut bench = Bench::new();
    bench.submit(1, "listen", "/ppp/active/listen");
    assert_eq!(bench.session.next_deadline(), None);
    let patient = Command::new("/ip/route/print").idle_deadline(Duration::from_secs(90));
    bench.session.submit(2, "routes", &patient, false, bench.now);
    assert_eq!(bench.session.next_deadline(), Some(bench.now + Duration::from_secs(90)));
}

#[test]
fn a_fatal_ends_every_command_and_only_writes_are_left_in_doubt() {
    let mut bench = Bench::new();
    bench.submit(1, "print", "/ppp/secret/print");
    bench.submit(2, "set", "/ppp/secret/set");
    bench.submit(3, "cancelled", "/ppp/secret/add");
    bench.session.cancel(3, 4, bench.now);
    let fatal = ["!fatal", "session terminated on request"].into_iter().collect();
    let lost = bench.session.receive(fatal, bench.now).unwrap_err();
    assert_eq!(
        bench.end(&lost),
        [
            ("print", "the router ended the session: session terminated on request".to_owned()),
            ("set", "the outcome of the command is unknown: the router ended the session: session terminated on request".to_owned()),
        ]
    );
}

#[test]
fn only_the_late_command_is_told_of_a_timeout() {
    let mut bench = Bench::new();
    bench.submit(1, "late", "/log/print");
    bench.submit(2, "write", "/ppp/secret/set");
    bench.pass(IDLE);
    bench.submit(3, "fresh", "/log/print");
    let lost = bench.session.overdue(bench.now).unwrap();
    let errors = bench.session.end(&lost, bench.now);
    let of = |name| errors.iter().find(|(waiter, _)| *waiter == name).map(|(_, error)| error).unwrap();
    assert!(matches!(of("late"), Error::Timeout { operation: Operation::Command, after: IDLE }));
    assert!(matches!(of("fresh"), Error::Closed { cause: Lost::TimedOut(_) }));
    assert!(matches!(of("write"), Error::OutcomeUnknown { cause: Lost::TimedOut(_) }));
}

#[test]
fn what_is_no_reply_ends_the_session() {
    let mut bench = Bench::new();
    bench.submit(1, "print", "/log/print");
    let lost = bench.session.receive(["HTTP/1.1 400"].into_iter().collect(), bench.now).unwrap_err();
    let errors = bench.session.end(&lost, bench.now);
    assert!(matches!(errors[0].1, Error::Protocol(ProtocolError::NotAReply)));
    let broken = Lost::Protocol(WireError::ControlByte { byte: 0xFF }.into());
    assert!(matches!(error_after(&broken, true, false), Error::Protocol(ProtocolError::Framing(_))));
    assert!(matches!(error_after(&broken, false, false), Error::OutcomeUnknown { .. }));
}

#[test]
fn the_manuals_simultaneous_commands_come_out_right() {
    // The example of the API manual: a listen, a print, a cancel and their interleaved replies.
    let mut bench = Bench::new();
    bench.submit(2, "listen", "/interface/listen");
    bench.submit(3, "set", "/interface/set");
    assert_eq!(bench.receive(&["!done", ".tag=3"]), Event::Finished("set", Ok(None)));
    assert!(row_of(&bench.receive(&["!re", "=.id=*1", "=name=ether1", ".tag=2"]), 2).is_some());
    bench.submit(4, "print", "/interface/print");
    assert!(row_of(&bench.receive(&["!re", "=.id=*1", "=name=ether1", ".tag=4"]), 4).is_some());
    assert_eq!(bench.receive(&["!done", ".tag=4"]), Event::Finished("print", Ok(None)));
    let words = bench.session.cancel(2, 7, bench.now).unwrap();
    assert_eq!(words, [&b"/cancel"[..], b"=tag=2", b".tag=7"]);
    assert_eq!(bench.receive(&["!trap", "=category=2", "=message=interrupted", ".tag=2"]), Event::Nothing);
    assert_eq!(bench.receive(&["!done", ".tag=7"]), Event::Nothing);
    assert_eq!(bench.receive(&["!done", ".tag=2"]), Event::Nothing);
}
