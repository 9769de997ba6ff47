//! Callbacks that are doubled, forged, damaged or interrupted.

use std::time::Duration;

use daraja_sim::{Behaviour, Phone};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::shop::{Books, DEADLINE, Shop, strange_token, success};
use crate::live::Hint;
use crate::mpesa::intake::Round;
use crate::mpesa::{intake, run_callbacks};
use crate::payments;
use crate::shutdown::Shutdown;

#[tokio::test]
async fn junk_is_kept_for_a_person_and_disturbs_nothing() {
    let shop = Shop::open().await;
    let intent = shop.unanswered().await;
    for junk in ["", "<html></html>", "a=1&b=2", "{\"Body\":{}}", "\u{0}"] {
        let (status, answer) = shop.deliver_to(&intent, junk).await;
        assert_eq!((status, answer.as_str()), (200, r#"{"ResultCode":0,"ResultDesc":"Accepted"}"#), "{junk}");
    }
    shop.deliver_to(&intent, vec![0xff, 0xfe]).await;
    shop.deliver_to(&intent, success(&intent, "RGP6CZDYG6", "1500.00")).await;
    shop.take_in().await;
    assert_eq!(shop.books().await, Books::PAID_ONCE);
    let outcomes = shop.outcomes().await;
    assert_eq!(outcomes.len(), 7);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.starts_with("not understood:")).count(), 6);
    let mut read = shop.controller.database.read().await.unwrap();
    let items = payments::for_review(&mut read, 99).await.unwrap();
    assert_eq!(items.len(), 6);
    assert!(items.iter().all(|item| matches!(item.kind, payments::ReviewKind::Callback(_))));
    assert!(items.iter().all(|item| item.customer.as_ref() == Some(&intent.customer)));
}

#[tokio::test]
async fn a_path_that_nobody_was_told_leaves_no_trace() {
    let shop = Shop::open().await;
    let intent = shop.unanswered().await;
    let known = intent.callback_token.reveal().to_owned();
    let strangers =
        [strange_token(&shop.controller), known.to_uppercase() + "A", known.chars().skip(1).collect()];
    for token in strangers.iter().map(String::as_str).chain(["x", "%00", "..%2f.."]) {
        let (status, _) = shop.deliver(token, success(&intent, "RGP6CZDYG6", "1500.00")).await;
        assert_eq!(status, 404, "{token}");
    }
    let url = format!("http://{}/callbacks/stk/{known}", shop.address);
    assert_eq!(reqwest::get(url).await.unwrap().status().as_u16(), 405);
    assert_eq!(shop.stored_callbacks().await, 0);
    assert_eq!(shop.books().await, Books::EMPTY);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_unread() {
    let shop = Shop::open().await;
    let intent = shop.unanswered().await;
    assert_eq!(shop.deliver_to(&intent, vec![b' '; 64 * 1024 + 1]).await.0, 413);
    assert_eq!(shop.stored_callbacks().await, 0);
    assert_eq!(shop.deliver_to(&intent, vec![b' '; 64 * 1024]).await.0, 200);
    assert_eq!(shop.stored_callbacks().await, 1);
}

#[tokio::test]
async fn a_callback_that_cannot_be_stored_at_once_waits_until_it_can() {
    let shop = Shop::open().await;
    let intent = shop.unanswered().await;
    shop.execute("ALTER TABLE callback_bodies RENAME TO callback_bodies_away").await;
    let delivering = shop.deliver_to(&intent, success(&intent, "RGP6CZDYG6", "1500"));
    tokio::pin!(delivering);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut delivering).await;
    assert!(early.is_err(), "Safaricom tells once, and has to wait: {early:?}");
    shop.execute("ALTER TABLE callback_bodies_away RENAME TO callback_bodies").await;
    assert_eq!(delivering.await.0, 200);
    shop.take_in().await;
    assert_eq!(shop.books().await, Books::PAID_ONCE);
}

#[tokio::test]
async fn a_callback_whose_path_cannot_be_looked_up_is_stored_all_the_same() {
    let shop = Shop::open().await;
    let intent = shop.unanswered().await;
    shop.execute("ALTER TABLE payment_intents RENAME TO payment_intents_away").await;
    assert_eq!(shop.deliver_to(&intent, success(&intent, "RGP6CZDYG6", "1500")).await.0, 200);
    shop.execute("ALTER TABLE payment_intents_away RENAME TO payment_intents").await;
    shop.take_in().await;
    assert_eq!(shop.books().await, Books::PAID_ONCE);
}

#[tokio::test]
async fn a_forged_callback_moves_no_money() {
    let shop = Shop::open().await;
    let intent = shop.unanswered().await;
    let mut other = intent.clone();
    other.checkout = crate::mpesa::evidence::CheckoutId::parse("ws_CO_forged");
    let forged = [
        success(&other, "RGP6CZDYG6", "250000.00"),
        success(&intent, "RGP6CZDYG6", "-500"),
        success(&intent, "RGP6CZDYG6", "0"),
        success(&intent, "RGP6CZDYG6", "1e6"),
        success(&intent, "RGP6-CZDYG6", "1500"),
        success(&intent, "", "1500"),
    ];
    for body in &forged {
        shop.deliver_to(&intent, body.clone()).await;
        shop.take_in().await;
        assert_eq!(shop.books().await, Books::EMPTY, "{body}");
    }
}

#[tokio::test]
async fn a_payment_from_another_phone_than_the_one_asked_is_booked_and_shown_to_a_person() {
    let another = ("\"254799999999\"", "review: booked; another phone paid than the one that was asked");
    let hash = format!("\"{}\"", "7".repeat(64));
    for (payer, outcome) in [
        another,
        ("254712345678", "booked"),
        ("\"2547 ***** 999\"", "booked"),
        ("\"25479****999\"", "booked"),
        (hash.as_str(), "booked"),
        ("null", "booked"),
    ] {
        let shop = Shop::open().await;
        let intent = shop.unanswered().await;
        let body = success(&intent, "RGP6CZDYG6", "1500.00");
        let body = body.replace("\"Value\":254712345678", &format!("\"Value\":{payer}"));
        shop.deliver_to(&intent, body).await;
        shop.take_in().await;
        assert_eq!(shop.books().await, Books::PAID_ONCE, "{payer}");
        assert_eq!(shop.outcomes().await, [outcome], "{payer}");
        let mut read = shop.controller.database.read().await.unwrap();
        let listed = payments::for_review(&mut read, 9).await.unwrap().len();
        assert_eq!(listed, usize::from(outcome != "booked"), "{payer}");
    }
}

#[tokio::test]
async fn one_receipt_is_one_payment_whatever_else_is_said_of_it() {
    let shop = Shop::open().await;
    let first = shop.unanswered().await;
    let (one, two) = tokio::join!(
        shop.deliver_to(&first, success(&first, "RGP6CZDYG6", "1500")),
        shop.deliver_to(&first, success(&first, " rgp6czdyg6 ", "1500.00")),
    );
    assert_eq!((one.0, two.0), (200, 200));
    shop.take_in().await;
    assert_eq!(shop.books().await, Books { evidence: 2, ..Books::PAID_ONCE });

    // The same receipt with another amount, another receipt for the same prompt, a failure after the money.
    shop.deliver_to(&first, success(&first, "RGP6CZDYG6", "9000")).await;
    shop.deliver_to(&first, success(&first, "RGP6CZDYG7", "1500")).await;
    let failed = success(&first, "x", "1").replace("\"ResultCode\":0", "\"ResultCode\":1032");
    shop.deliver_to(&first, failed).await;
    // And the same receipt on another request's path.
    shop.wait_two_minutes();
    let second = shop.unanswered().await;
    shop.deliver_to(&second, success(&second, "RGP6CZDYG6", "1500")).await;
    shop.take_in().await;
    assert_eq!(shop.books().await, Books { evidence: 4, ..Books::PAID_ONCE });
    let mut reviews: Vec<_> = shop.outcomes().await;
    reviews.retain(|outcome| outcome.starts_with("review:"));
    reviews.sort();
    assert_eq!(
        reviews,
        [
            "review: the receipt is booked for another request",
            "review: the receipt is booked with 1,500.00, and this says 9,000.00",
            "review: the request is paid with another receipt",
            "review: the request is paid, and this says otherwise",
        ]
    );
    assert_eq!(shop.intent(&second).await.state.as_str(), "prompted");
}

#[tokio::test]
async fn a_prompt_of_another_request_is_not_booked_here() {
    let shop = Shop::open().await;
    let first = shop.unanswered().await;
    // This one's own id is not known: its reply was lost.
    let mut second = first.clone();
    second.id = crate::ids::IntentId::random(&shop.controller.ids);
    second.callback_token = crate::mpesa::intent::CallbackToken::random(&shop.controller.ids);
    second.checkout = None;
    second.state = crate::mpesa::intent::State::SubmitUnknown;
    shop.store_intent(&second).await;
    shop.deliver_to(&second, success(&first, "RGP6CZDYG6", "1500")).await;
    shop.take_in().await;
    assert_eq!(shop.books().await, Books::EMPTY);
    assert_eq!(shop.outcomes().await, ["review: the prompt belongs to another request"]);
}

#[tokio::test]
async fn an_answer_that_nobody_has_seen_goes_to_a_person_and_a_receipt_still_counts() {
    let shop = Shop::open().await;
    let fail =
        Phone { behaviour: Behaviour::Fail, result_code: Some("31337".to_owned()), ..Phone::default() };
    shop.phone(fail);
    let intent = shop.pay(None).await;
    assert_eq!((intent.state.as_str(), intent.result().map(|(code, _)| code)), ("review", Some("31337")));
    shop.deliver_to(&intent, success(&intent, "RGP6CZDYG6", "1500")).await;
    shop.settle().await;
    assert_eq!(shop.books().await, Books::PAID_ONCE);
}

#[tokio::test]
async fn what_was_acknowledged_before_a_crash_is_booked_after_it() {
    let mut shop = Shop::open().await;
    // No worker runs: the body is stored and answered, and then the process is gone.
    let intent = shop.prompt(None).await;
    assert!(shop.handle().settled(DEADLINE).await);
    assert_eq!((shop.stored_callbacks().await, shop.books().await), (1, Books::EMPTY));
    shop.restart().await;
    let mut hints = shop.controller.live.listen();
    let shutdown = Shutdown::default();
    let working = tokio::spawn(run_callbacks(shop.controller.clone(), shutdown.stop()));
    let booked = async { while hints.recv().await.unwrap() != Hint::Line(shop.world.line.clone()) {} };
    tokio::time::timeout(DEADLINE, booked).await.expect("nobody rang, and it is booked all the same");
    shutdown.begin();
    working.await.unwrap();
    assert_eq!(shop.books().await, Books::PAID_ONCE);
    assert!(shop.intent(&intent).await.receipt().is_some());
}

#[tokio::test]
async fn a_crash_while_booking_books_nothing_and_the_next_try_books_all() {
    let shop = Shop::open().await;
    shop.prompt(None).await;
    assert!(shop.handle().settled(DEADLINE).await);
    // The last statement of the booking fails, after the money was posted.
    shop.execute("ALTER TABLE payment_traces RENAME TO payment_traces_away").await;
    intake::take_in_some(&shop.controller, &mut Round::of_fresh()).await.unwrap();
    shop.execute("ALTER TABLE payment_traces_away RENAME TO payment_traces").await;
    assert_eq!(shop.books().await, Books::EMPTY);
    assert!(shop.outcomes().await[0].starts_with("failed:"), "{:?}", shop.outcomes().await);
    assert_eq!(intake::take_in_some(&shop.controller, &mut Round::of_failed()).await.unwrap(), 1);
    assert_eq!(shop.books().await, Books::PAID_ONCE);
    assert_eq!(shop.outcomes().await, ["booked"]);
}

#[tokio::test]
async fn a_poisoned_callback_holds_nobody_up() {
    let shop = Shop::open().await;
    let poisoned = shop.unanswered().await;
    shop.deliver_to(&poisoned, success(&poisoned, "RPOISON000", "1500")).await;
    shop.execute("UPDATE payment_intents SET phone = 'damaged'").await;
    shop.wait_two_minutes();
    let healthy = shop.unanswered().await;
    shop.deliver_to(&healthy, success(&healthy, "RGP6CZDYG6", "1500")).await;
    shop.take_in().await;
    assert_eq!(shop.books().await.payments, 1);
    assert_eq!(
        intake::take_in_some(&shop.controller, &mut Round::of_fresh()).await.unwrap(),
        0,
        "it is not tried again at once"
    );
    shop.execute("UPDATE payment_intents SET phone = '254712345678'").await;
    assert_eq!(intake::take_in_some(&shop.controller, &mut Round::of_failed()).await.unwrap(), 1);
    assert_eq!((shop.books().await.payments, shop.books().await.paid_days), (2, Some(2)));
}

#[tokio::test]
async fn callbacks_that_always_fail_do_not_keep_a_later_one_from_its_turn() {
    let shop = Shop::open().await;
    let poisoned = shop.unanswered().await;
    for number in 0..35 {
        shop.deliver_to(&poisoned, success(&poisoned, &format!("RPOISON{number:03}"), "1500")).await;
    }
    shop.wait_two_minutes();
    let healthy = shop.unanswered().await;
    shop.deliver_to(&healthy, success(&healthy, "RGP6CZDYG6", "1500")).await;
    shop.execute("UPDATE payment_intents SET phone = 'damaged'").await;
    shop.take_in().await;
    assert_eq!(shop.books().await.payments, 0);
    // The newest is mended, and the others are not.
    shop.execute(
        "UPDATE payment_intents SET phone = '254712345678' \
         WHERE created_at = (SELECT MAX(created_at) FROM payment_intents)",
    )
    .await;
    let mut round = Round::of_failed();
    let mut turns = 0;
    loop {
        match intake::take_in_some(&shop.controller, &mut round).await.unwrap() {
            0 => break,
            count => turns += count,
        }
    }
    assert_eq!(turns, 36, "each has one turn in a round");
    assert_eq!(shop.books().await.payments, 1);
}

#[tokio::test]
async fn a_callback_counts_from_its_first_line_and_not_from_its_last_byte() {
    let shop = Shop::open().await;
    let intent = shop.unanswered().await;
    let body = success(&intent, "RGP6CZDYG6", "1500");
    let mut stream = tokio::net::TcpStream::connect(shop.address).await.unwrap();
    let head = format!(
        "POST /callbacks/stk/{} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        intent.callback_token.reveal(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // Sent when the body is first read: the request is known by then.
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    let came_at = shop.controller.clock.now();
    shop.controller.clock.advance(Duration::from_secs(9));
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    shop.take_in().await;
    let mut read = shop.controller.database.read().await.unwrap();
    let row = payments::recent_payments(&mut read, 9).await.unwrap().remove(0);
    assert_eq!(row.payment.received_at, came_at);
}
