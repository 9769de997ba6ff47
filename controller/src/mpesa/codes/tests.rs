//! Answers as Daraja gives them, good and bad. Over real sockets it is `mpesa/tests/codes.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::NoCode;
use super::answer::{self, Wanted};
use crate::customers::account_number::AccountNumber;
use crate::money::Money;
use crate::mpesa::settings::Payee;
use crate::mpesa::stk::Shillings;

/// One pixel, as any program draws it.
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

fn wanted(shillings: i64) -> Wanted {
    let amount = Shillings::exactly(Money::from_shillings(shillings).unwrap()).unwrap();
    Wanted::new("An ISP", Payee::Paybill("174379"), &AccountNumber::from_serial(1).unwrap(), amount)
}

fn read(code: &str) -> Result<usize, NoCode> {
    let body = format!(
        r#"{{"ResponseCode":"AG_20191219_000043fdf61864fe9ff5","RequestID":"16738-27456357-1",
        "ResponseDescription":"QR Code Successfully Generated.","QRCode":"{code}"}}"#
    );
    answer::read(body.as_bytes()).map(|png| png.bytes().len())
}

#[test]
fn a_code_says_whom_to_pay_for_which_account_and_how_much() {
    let account = AccountNumber::from_serial(1).unwrap();
    let body = answer::body_of(&wanted(1_500));
    assert_eq!((&body["TrxCode"], &body["CPI"]), (&json!("PB"), &json!("174379")));
    assert_eq!(body["MerchantName"], "An ISP");
    assert_eq!((&body["RefNo"], &body["Amount"]), (&json!(account.as_str()), &json!(1_500)));
    let amount = Shillings::exactly(Money::from_cents(5_000)).unwrap();
    let till = answer::body_of(&Wanted::new("An ISP", Payee::Till("5551234"), &account, amount));
    assert_eq!(
        (&till["TrxCode"], &till["CPI"], &till["Amount"]),
        (&json!("BG"), &json!("5551234"), &json!(50))
    );
}

#[test]
fn only_a_whole_picture_of_sensible_size_is_shown() {
    assert_eq!(read(PIXEL), Ok(70));
    let png = STANDARD.decode(PIXEL).unwrap();
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut png = png.clone();
        change(&mut png);
        STANDARD.encode(png)
    };
    let check =
        |code: &str, why: &'static str| assert_eq!(read(code), Err(NoCode::NotAPicture(why)), "{why}");
    check("<script>", "it is not base64");
    check(&STANDARD.encode(b"<svg onload=alert(1)>"), "it is not a PNG");
    check(&STANDARD.encode([0xff, 0xd8, 0xff, 0xe0]), "it is not a PNG");
    check(&changed(|png| png.truncate(20)), "it is cut off");
    check(&changed(|png| png.truncate(60)), "it is cut off");
    check(&changed(|png| png.extend_from_slice(b"<?php")), "it is cut off");
    check(&changed(|png| png[12] = b'X'), "it is not a PNG");
    check(&changed(|png| png[16] = 0xff), "its measures are none of a code");
    check(&changed(|png| png[23] = 0), "its measures are none of a code");
    check(&"A".repeat(200_000), "it is larger than any");
    let refused = |body: &str| match answer::read(body.as_bytes()) {
        Err(NoCode::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(refused(r#"{"errorCode":"400.002.05","errorMessage":"Invalid CPI"}"#).contains("Invalid CPI"));
    assert!(refused("<html>").contains("not one of Daraja's"));
    assert!(refused(r#"{"fault":{"faultstring":"no apiproduct match found"}}"#).contains("apiproduct"));
}
