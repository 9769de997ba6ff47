//! C2B: registration, validation, confirmation and its twin of an STK payment.

use std::time::Duration;

use daraja_sim::{
    MsisdnForm, PaybillOutcome, PaybillPayment, Phone, Receipt, Redelivery, Settings, ShortCode,
};
use serde_json::json;

use crate::merchant::{Merchant, PHONE, error_of, send};

fn paybill(account: &str) -> PaybillPayment {
    PaybillPayment { short_code: "174379".to_owned(), amount: 25, account: account.to_owned() }
}

async fn pays(merchant: &Merchant, account: &str) -> Receipt {
    match merchant.handle().pay_by_paybill(PHONE, &paybill(account)).await.unwrap() {
        PaybillOutcome::Paid { receipt } => receipt,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn urls_are_registered_once_and_never_again() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let (status, body) = merchant.register(&token, "v2", "Completed").await;
    assert_eq!((status, &body["ResponseCode"]), (200, &json!("0")));
    assert!(body["OriginatorCoversationID"].is_string());
    let again = merchant.register(&token, "v2", "Completed").await;
    assert_eq!(error_of(&again), (500, "500.003.1001"));
    assert_eq!(again.1["errorMessage"], "Urls are already registered.");
    merchant.handle().forget_registration("174379").unwrap();
    assert_eq!(merchant.register(&token, "v1", "Cancelled").await.0, 200);
}

#[tokio::test]
async fn wrong_registrations_are_refused() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    for (field, wrong) in [
        ("ShortCode", json!("600999")),
        ("ResponseType", json!("completed")),
        ("ConfirmationURL", json!(merchant.listener.at("sql"))),
        ("ValidationURL", json!("http://pay.example.co.ke/v")),
    ] {
        let mut body = json!({
            "ShortCode": "174379", "ResponseType": "Completed",
            "ConfirmationURL": merchant.listener.at("k"), "ValidationURL": merchant.listener.at("v"),
        });
        body[field] = wrong;
        let answer = send(merchant.call(&token, "/mpesa/c2b/v2/registerurl", &body)).await;
        assert_eq!(error_of(&answer), (400, "400.003.02"), "{field}");
    }
    assert!(merchant.handle().registrations().is_empty());
}

#[tokio::test]
async fn a_dead_token_is_refused_with_the_code_of_c2b() {
    let merchant = Merchant::start().await;
    let answer = merchant.register("dead", "v2", "Completed").await;
    assert_eq!(error_of(&answer), (401, "401.003.01"));
}

#[tokio::test]
async fn at_the_till_nobody_types_an_account() {
    let till_number = Some(ShortCode::parse("5551234").unwrap());
    let merchant = Merchant::with(Settings { till_number, ..Settings::default() }).await;
    let token = merchant.token().await;
    let body = json!({
        "ShortCode": "5551234", "ResponseType": "Completed",
        "ConfirmationURL": merchant.listener.at("k"), "ValidationURL": merchant.listener.at("v"),
    });
    assert_eq!(send(merchant.call(&token, "/mpesa/c2b/v2/registerurl", &body)).await.0, 200);
    let at_till = |account: &str| PaybillPayment { short_code: "5551234".to_owned(), ..paybill(account) };
    assert!(merchant.handle().pay_by_paybill(PHONE, &at_till("12345674")).await.is_err());
    let paid = merchant.handle().pay_by_paybill(PHONE, &at_till("")).await.unwrap();
    assert!(matches!(paid, PaybillOutcome::Paid { .. }), "{paid:?}");
    merchant.settled().await;
    let told = merchant.listener.received_at("k")[0].json();
    assert_eq!((&told["TransactionType"], &told["BillRefNumber"]), (&json!("Buy Goods"), &json!("")));
    assert!(merchant.handle().pay_by_paybill(PHONE, &paybill("")).await.is_err(), "a paybill asks for one");
}

#[tokio::test]
async fn a_paybill_payment_is_validated_and_then_confirmed_under_one_id() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    merchant.register(&token, "v2", "Completed").await;
    let accepts = "{\"ResultCode\":\"0\",\"ResultDesc\":\"Accepted\",\"ThirdPartyTransID\":\"check-7\"}";
    merchant.listener.answer_with(200, accepts);
    merchant.handle().set_phone(PHONE, Phone { first_name: "NAME".to_owned(), ..Phone::default() }).unwrap();
    let receipt = pays(&merchant, "12345674").await;
    merchant.settled().await;
    let (validation, confirmation) = (merchant.listener.received_at("v"), merchant.listener.received_at("k"));
    let (asked, told) = (validation[0].json(), confirmation[0].json());
    for body in [&asked, &told] {
        assert!(body.as_object().unwrap().values().all(serde_json::Value::is_string), "{body}");
        assert_eq!(body["TransID"], receipt.as_str());
        assert_eq!(body["TransactionType"], "Pay Bill");
        assert_eq!(body["TransAmount"], "25.00");
        assert_eq!(body["BillRefNumber"], "12345674");
        assert_eq!(body["MSISDN"], "2547 ***** 678");
        assert_eq!(body["FirstName"], "NAME");
        assert_eq!(body.as_object().unwrap().len(), 13);
    }
    assert_eq!((&asked["OrgAccountBalance"], &told["OrgAccountBalance"]), (&json!(""), &json!("25.00")));
    assert_eq!((&asked["ThirdPartyTransID"], &told["ThirdPartyTransID"]), (&json!(""), &json!("check-7")));
    let payment = merchant.handle().payment(receipt.as_str()).unwrap();
    assert_eq!((payment.callback_status, payment.confirmation_status), (vec![], vec![200]));
    assert!(payment.checkout_request_id.is_none());
}

#[tokio::test]
async fn version_1_hashes_the_payers_number_and_settings_can_show_it() {
    for (form, expected_length) in [(MsisdnForm::ByVersion, 64), (MsisdnForm::Plain, 12)] {
        let merchant = Merchant::with(Settings { msisdn_form: form, ..Settings::default() }).await;
        let token = merchant.token().await;
        merchant.register(&token, "v1", "Completed").await;
        pays(&merchant, "12345674").await;
        merchant.settled().await;
        let told = merchant.listener.received_at("k")[0].json();
        assert_eq!(told["MSISDN"].as_str().unwrap().len(), expected_length);
    }
}

#[tokio::test]
async fn a_rejected_validation_moves_no_money() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    merchant.register(&token, "v2", "Completed").await;
    merchant.listener.answer_with(200, "{\"ResultCode\":\"C2B00012\",\"ResultDesc\":\"Rejected\"}");
    let outcome = merchant.handle().pay_by_paybill(PHONE, &paybill("99999999")).await.unwrap();
    assert_eq!(outcome, PaybillOutcome::Rejected { result_code: "C2B00012".to_owned() });
    merchant.settled().await;
    assert!(merchant.handle().payments(0, 10).is_empty());
    assert!(merchant.listener.received_at("k").is_empty());
}

#[tokio::test]
async fn a_silent_validation_leaves_it_to_the_response_type() {
    for (response_type, payments) in [("Completed", 1), ("Cancelled", 0)] {
        let settings = Settings { validation_timeout: Duration::from_millis(50), ..Settings::default() };
        let merchant = Merchant::with(settings).await;
        let token = merchant.token().await;
        merchant.register(&token, "v2", response_type).await;
        merchant.listener.hold();
        let outcome = merchant.handle().pay_by_paybill(PHONE, &paybill("12345674")).await.unwrap();
        assert_eq!(outcome == PaybillOutcome::Cancelled, payments == 0);
        merchant.listener.release();
        merchant.settled().await;
        assert_eq!(merchant.handle().payments(0, 10).len(), payments);
        assert_eq!(merchant.listener.received_at("k").len(), payments);
    }
}

#[tokio::test]
async fn nobody_is_asked_when_validation_is_off() {
    let merchant = Merchant::with(Settings { validation: false, ..Settings::default() }).await;
    let token = merchant.token().await;
    merchant.register(&token, "v2", "Cancelled").await;
    pays(&merchant, "any account").await;
    merchant.settled().await;
    assert!(merchant.listener.received_at("v").is_empty());
    assert_eq!(merchant.listener.received_at("k").len(), 1);
}

#[tokio::test]
async fn a_paybill_payment_without_registered_urls_moves_money_in_silence() {
    let merchant = Merchant::start().await;
    pays(&merchant, "12345674").await;
    merchant.settled().await;
    assert!(merchant.listener.received().is_empty());
    assert_eq!(merchant.handle().payments(0, 10).len(), 1);
}

#[tokio::test]
async fn an_stk_payment_has_a_c2b_twin_with_the_same_receipt() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    merchant.register(&token, "v2", "Completed").await;
    merchant.push(&token).await;
    merchant.settled().await;
    assert_eq!(merchant.listener.received().len(), 2);
    let callback = merchant.listener.received_at("c/1")[0].stk();
    let twin = merchant.listener.received_at("k")[0].json();
    assert_eq!(callback["CallbackMetadata"]["Item"][1]["Value"], twin["TransID"]);
    assert_eq!(
        callback["CallbackMetadata"]["Item"][3]["Value"].to_string(),
        twin["TransTime"].as_str().unwrap()
    );
    assert_eq!((&twin["BillRefNumber"], &twin["TransAmount"]), (&json!("12345674.ab"), &json!("100.00")));
    let payments = merchant.handle().payments(0, 10);
    assert_eq!(payments.len(), 1);
    assert_eq!((&payments[0].callback_status, &payments[0].confirmation_status), (&vec![200], &vec![200]));
}

#[tokio::test]
async fn a_confirmation_is_redelivered_byte_for_byte() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    merchant.register(&token, "v2", "Completed").await;
    let receipt = pays(&merchant, "12345674").await;
    merchant.settled().await;
    let redelivery = Redelivery { copies: 2, together: true };
    let statuses = merchant.handle().redeliver_confirmation(receipt.as_str(), redelivery).await.unwrap();
    assert_eq!(statuses, [200, 200]);
    let received = merchant.listener.received_at("k");
    assert_eq!(received.len(), 3);
    assert!(received.iter().all(|one| one.body == received[0].body));
}

#[tokio::test]
async fn the_sandboxs_simulate_call_pays_like_a_phone() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    merchant.register(&token, "v2", "Completed").await;
    let body = json!({
        "ShortCode": 174_379, "CommandID": "CustomerPayBillOnline", "Amount": "25",
        "Msisdn": PHONE, "BillRefNumber": "12345674",
    });
    let (status, answer) = send(merchant.call(&token, "/mpesa/c2b/v2/simulate", &body)).await;
    assert_eq!((status, &answer["ResponseCode"]), (200, &json!("0")));
    assert!(answer["OriginatorCoversationID"].is_string());
    merchant.settled().await;
    assert_eq!(merchant.listener.received_at("k")[0].json()["BillRefNumber"], "12345674");
    let mut wrong = body.clone();
    wrong["Msisdn"] = json!("0712345678");
    let refused = send(merchant.call(&token, "/mpesa/c2b/v2/simulate", &wrong)).await;
    assert_eq!(error_of(&refused), (400, "400.003.02"));
}

#[tokio::test]
async fn an_empty_wallet_pays_no_paybill() {
    let merchant = Merchant::start().await;
    merchant.handle().set_phone(PHONE, Phone { balance_cents: Some(2_499), ..Phone::default() }).unwrap();
    let outcome = merchant.handle().pay_by_paybill(PHONE, &paybill("12345674")).await.unwrap();
    assert_eq!(outcome, PaybillOutcome::Insufficient);
    assert!(merchant.handle().payments(0, 10).is_empty());
    merchant.handle().set_phone(PHONE, Phone { balance_cents: Some(2_600), ..Phone::default() }).unwrap();
    pays(&merchant, "12345674").await;
    assert_eq!(merchant.handle().phone(PHONE).unwrap().balance_cents, Some(100));
}
