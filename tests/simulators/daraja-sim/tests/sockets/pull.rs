//! Pull Transactions: registration, windows and pages.

use std::time::Duration;

use daraja_sim::PaybillPayment;
use serde_json::{Value, json};

use crate::merchant::{Answer, Merchant, PHONE, error_of, send};

async fn register(merchant: &Merchant, token: &str) -> Answer {
    let body = json!({
        "ShortCode": "174379", "RequestType": "Pull", "NominatedNumber": "254722000000",
        "CallBackURL": merchant.listener.at("p"),
    });
    send(merchant.call(token, "/pulltransactions/v1/register", &body)).await
}

async fn query(merchant: &Merchant, token: &str, offset: Value) -> Answer {
    let body = json!({
        "ShortCode": "174379", "StartDate": "2020-01-01 00:00:00", "EndDate": "2199-12-31 23:59:59",
        "OffSetValue": offset,
    });
    send(merchant.call(token, "/pulltransactions/v1/query", &body)).await
}

async fn pay(merchant: &Merchant, account: &str) {
    let paybill = PaybillPayment { short_code: "174379".to_owned(), amount: 25, account: account.to_owned() };
    merchant.handle().pay_by_paybill(PHONE, &paybill).await.unwrap();
}

#[tokio::test]
async fn an_unregistered_short_code_looks_exactly_like_an_empty_window() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    pay(&merchant, "12345674").await;
    assert_eq!(query(&merchant, &token, json!("0")).await.1["ResponseCode"], "1001");
    assert_eq!(register(&merchant, &token).await.1["ResponseStatus"], "1000");
    assert_eq!(register(&merchant, &token).await.1["ResponseStatus"], "1001");
    assert_eq!(query(&merchant, &token, json!("0")).await.1["ResponseCode"], "1000");
}

#[tokio::test]
async fn rows_come_in_a_list_inside_a_list() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    register(&merchant, &token).await;
    pay(&merchant, "12345674").await;
    let (_, body) = query(&merchant, &token, json!(0)).await;
    let row = &body["Response"][0][0];
    assert_eq!(row["transactionId"], merchant.handle().payments(0, 1)[0].receipt.as_str());
    assert_eq!((&row["billreference"], &row["amount"]), (&json!("12345674"), &json!("25.00")));
    assert_eq!((&row["transactiontype"], &row["sender"]), (&json!("c2b-pay-bill-debit"), &json!("MPESA")));
    assert!(row["trxDate"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn pages_have_a_hundred_rows() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    register(&merchant, &token).await;
    for number in 0..101 {
        pay(&merchant, &format!("account {number}")).await;
    }
    let count = |answer: Answer| answer.1["Response"][0].as_array().map(Vec::len);
    assert_eq!(count(query(&merchant, &token, json!("0")).await), Some(100));
    assert_eq!(count(query(&merchant, &token, json!("100")).await), Some(1));
    assert_eq!(count(query(&merchant, &token, json!("200")).await), None);
}

#[tokio::test]
async fn after_48_hours_a_payment_is_out_of_reach() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    register(&merchant, &token).await;
    pay(&merchant, "12345674").await;
    merchant.handle().advance_clock(Duration::from_secs(48 * 3600 + 60)).unwrap();
    let token = merchant.token().await;
    assert_eq!(query(&merchant, &token, json!("0")).await.1["ResponseCode"], "1001");
}

#[tokio::test]
async fn wrong_windows_and_dead_tokens_are_refused() {
    let merchant = Merchant::start().await;
    assert_eq!(error_of(&query(&merchant, "dead", json!("0")).await), (400, "400.003.01"));
    let token = merchant.token().await;
    assert_eq!(error_of(&query(&merchant, &token, json!("x")).await), (400, "400.003.02"));
}
