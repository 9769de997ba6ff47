//! The shapes that were published, and some that nobody should send.

use super::*;

/// A success with the given value of `Amount` and items after it.
fn success(amount: &str, rest: &str) -> String {
    format!(
        r#"{{"Body":{{"stkCallback":{{"MerchantRequestID":"8350-54907831-1","CheckoutRequestID":"ws_CO_1","ResultCode":0,
        "ResultDesc":"The service request is processed successfully.","CallbackMetadata":{{"Item":[
        {{"Name":"Amount","Value":{amount}}}{rest}]}}}}}}}}"#
    )
}

const RECEIPT: &str = r#",{"Name":"MpesaReceiptNumber","Value":"RGP6CZDYG6"}"#;

fn paid(body: &str) -> Receipt {
    match parse(body.as_bytes()).map(|evidence| evidence.outcome) {
        Ok(Outcome::Paid(receipt)) => receipt,
        other => panic!("{other:?} of {body}"),
    }
}

#[test]
fn a_success_is_read_by_name_with_and_without_a_balance() {
    let phone =
        r#",{"Name":"TransactionDate","Value":20230725013147},{"Name":"PhoneNumber","Value":254712345678}"#;
    for balance in [r#",{"Name":"Balance"}"#, "", r#",{"Name":"Balance","Value":null}"#] {
        let evidence = parse(success("1.00", &format!("{RECEIPT}{balance}{phone}")).as_bytes()).unwrap();
        let expected = Receipt {
            number: ReceiptNumber::parse("RGP6CZDYG6").unwrap(),
            amount: Money::from_cents(100),
            phone: Some(Msisdn::parse("254712345678").unwrap()),
        };
        assert_eq!(evidence.outcome, Outcome::Paid(expected));
        assert_eq!(evidence.checkout, CheckoutId::parse("ws_CO_1"));
        assert_eq!(evidence.merchant_request_id.as_deref(), Some("8350-54907831-1"));
    }
}

#[test]
fn amounts_are_read_from_their_digits_and_nothing_is_guessed() {
    let check = |amount: &str, cents: Option<i64>| {
        let body = success(amount, RECEIPT);
        match cents {
            Some(cents) => assert_eq!(paid(&body).amount, Money::from_cents(cents), "{amount}"),
            None => {
                assert_eq!(parse(body.as_bytes()), Err(NotUnderstood::Field("Amount")), "{amount}");
            }
        }
    };
    check("1", Some(100));
    check("1.0", Some(100));
    check("\"1500.50\"", Some(150_050));
    check("0.29", Some(29));
    check("90071992547409.93", Some(9_007_199_254_740_993));
    for bad in
        ["-500", "0", "0.00", "1e3", "1.5E2", "1.001", "null", "true", "{}", "\"\"", "\"1,500\"", "\"x\""]
    {
        check(bad, None);
    }
    check("99999999999999999999", None);
}

#[test]
fn a_receipt_is_compared_in_upper_case_and_without_spaces() {
    let receipt = paid(&success("1", r#",{"Name":"MpesaReceiptNumber","Value":" rgp6czdyg6 "}"#));
    assert_eq!(receipt.number.as_str(), "RGP6CZDYG6");
    assert_eq!(receipt.phone, None);
    let wrong = success("1", r#",{"Name":"MpesaReceiptNumber","Value":"RGP6;DROP"}"#);
    assert_eq!(parse(wrong.as_bytes()), Err(NotUnderstood::Field("MpesaReceiptNumber")));
}

#[test]
fn a_success_without_a_receipt_is_no_money() {
    for rest in ["", r#",{"Name":"MpesaReceiptNumber"}"#, r#",{"Name":"MpesaReceiptNumber","Value":""}"#] {
        let evidence = parse(success("1.00", rest).as_bytes()).unwrap();
        assert_eq!(evidence.outcome, Outcome::PaidWithoutReceipt);
    }
    let bare = r#"{"Body":{"stkCallback":{"CheckoutRequestID":"x","ResultCode":"0"}}}"#;
    assert_eq!(parse(bare.as_bytes()).unwrap().outcome, Outcome::PaidWithoutReceipt);
}

#[test]
fn a_failure_keeps_its_code_as_it_was_written() {
    let check = |code: &str, metadata: &str, expected: &str| {
        let body = format!(
            r#"{{"Body":{{"stkCallback":{{"MerchantRequestID":"m","CheckoutRequestID":"ws_CO_1","ResultCode":{code},"ResultDesc":"why"{metadata}}}}}}}"#
        );
        let outcome = parse(body.as_bytes()).unwrap().outcome;
        assert_eq!(outcome, Outcome::Failed(Reason::new(expected, "why")), "{body}");
    };
    check("1032", "", "1032");
    check("\"1037\"", r#","CallbackMetadata":null"#, "1037");
    check("\"SFC_IC0003\"", "", "SFC_IC0003");
    check("-1", "", "-1");
}

#[test]
fn the_one_item_that_there_is_may_stand_alone() {
    let body = |item: &str| {
        format!(r#"{{"Body":{{"stkCallback":{{"ResultCode":0,"CallbackMetadata":{{"Item":{item}}}}}}}}}"#)
    };
    let alone = body(r#"{"Name":"Amount","Value":1.00}"#);
    assert_eq!(parse(alone.as_bytes()).unwrap().outcome, Outcome::PaidWithoutReceipt);
    let alone = body(r#" {"Name":"MpesaReceiptNumber","Value":"RGP6CZDYG6"}"#);
    assert_eq!(parse(alone.as_bytes()), Err(NotUnderstood::Field("Amount")));
    assert_eq!(parse(body("\"x\"").as_bytes()), Err(NotUnderstood::Form));
}

#[test]
fn bytes_that_json_has_not_cost_no_more_than_the_text_they_stand_in() {
    let good = success("1.00", RECEIPT).replace("processed", "<here>");
    for strange in [&b"\xe9"[..], b"\xff\xfe", b"\n", b"\t", b"\x00", b"\x1b[2J", b"\\\"\n"] {
        let at = good.find("<here>").unwrap();
        let body = [&good.as_bytes()[..at], strange, &good.as_bytes()[at + 6..]].concat();
        assert_eq!(parse(&body).map(|told| told.outcome), parse(good.as_bytes()).map(|told| told.outcome));
    }
    let marked = [b"\xef\xbb\xbf", good.as_bytes()].concat();
    assert!(parse(&marked).is_ok(), "with the mark of a file of text before it");
    // Nothing is joined that stood apart: neither an amount nor a receipt is made of it.
    for strange in ["\n", "\u{0}", "\u{1b}"] {
        let amount = success(&format!("\"1{strange}00\""), RECEIPT);
        assert_eq!(parse(amount.as_bytes()), Err(NotUnderstood::Field("Amount")), "{strange:?}");
        let receipt = success("1", &RECEIPT.replace("RGP6", &format!("RGP{strange}6")));
        let refused = Err(NotUnderstood::Field("MpesaReceiptNumber"));
        assert_eq!(parse(receipt.as_bytes()), refused, "{strange:?}");
    }
}

proptest::proptest! {
    /// Whatever bytes take the place of some of a callback, it says the same money or none.
    #[test]
    fn no_bytes_make_another_payment_of_a_callback(
        at in 0_usize..400, junk in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..4),
    ) {
        let text = r#","X":{"ResultDesc":"The service request is processed successfully. Pay slowly."}"#;
        let good = success("1500.00", RECEIPT).replacen(r#","ResultCode""#, &format!(r#"{text},"ResultCode""#), 1);
        let within = good.find("Pay slowly").unwrap();
        let at = within + at % 10;
        let body = [&good.as_bytes()[..at], &junk, &good.as_bytes()[at..]].concat();
        if let Ok(Evidence { outcome: Outcome::Paid(receipt), .. }) = parse(&body) {
            proptest::prop_assert_eq!(receipt.amount, Money::from_cents(150_000));
            proptest::prop_assert_eq!(receipt.number.as_str(), "RGP6CZDYG6");
        }
        if !junk.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
            proptest::prop_assert!(parse(&body).is_ok(), "{:?}", junk);
        }
    }
}

#[test]
fn junk_is_refused_whole() {
    let check = |body: &[u8], expected: NotUnderstood| assert_eq!(parse(body), Err(expected), "{body:?}");
    let bodies: [&[u8]; 8] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"a=1&b=2",
        b"<html></html>",
        b"\xff\xfe",
        br#"{"Body":{"stkCallback":{"ResultCode":0,"CallbackMetadata":{"Item":"x"}}}}"#,
    ];
    for body in bodies {
        check(body, NotUnderstood::Form);
    }
    check(br#"{"Body":{"stkCallback":{}}}"#, NotUnderstood::Field("ResultCode"));
    check(br#"{"Body":{"stkCallback":{"ResultCode":null}}}"#, NotUnderstood::Field("ResultCode"));
    let spaces = br#"{"Body":{"stkCallback":{"ResultCode":1,"CheckoutRequestID":"a b"}}}"#;
    check(spaces, NotUnderstood::Field("CheckoutRequestID"));
}
