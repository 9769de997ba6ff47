//! What an API operator asks: balance and transaction status, with results that come, double, time out or never come.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use daraja_sim::{
    DEMO_OPERATOR_NAME, DEMO_OPERATOR_PASSWORD, FaultsChange, PaybillPayment, Product, ResultFaults,
};
use num_bigint::BigUint;
use serde_json::{Value, json};

use crate::listener::Received;
use crate::merchant::{Answer, Merchant, PHONE, error_of, send};

const BALANCE: &str = "/mpesa/accountbalance/v1/query";
const STATUS: &str = "/mpesa/transactionstatus/v1/query";

/// PKCS#1 v1.5 to the public half of the test key, with padding that is always the same: enough for a simulator.
fn credential(password: &str) -> String {
    let key = include_str!("../../data/operator_test_key.txt");
    let modulus = key.lines().find_map(|line| line.strip_prefix("modulus ")).unwrap();
    let modulus = BigUint::parse_bytes(modulus.as_bytes(), 16).unwrap();
    let padding = vec![7; 256 - 3 - password.len()];
    let block = [&[0, 2], padding.as_slice(), &[0], password.as_bytes()].concat();
    let number = BigUint::from_bytes_be(&block).modpow(&BigUint::from(65_537_u32), &modulus).to_bytes_be();
    let mut encrypted = vec![0; 256 - number.len()];
    encrypted.extend(number);
    STANDARD.encode(encrypted)
}

async fn ask(merchant: &Merchant, token: &str, path: &str, password: &str, receipt: &str) -> Answer {
    let mut body = json!({
        "Initiator": DEMO_OPERATOR_NAME, "SecurityCredential": credential(password), "PartyA": "174379",
        "IdentifierType": "4", "Remarks": "Test", "Occasion": "",
        "ResultURL": merchant.listener.at("r"), "QueueTimeOutURL": merchant.listener.at("q"),
    });
    if path == BALANCE {
        body["CommandID"] = json!("AccountBalance");
    } else {
        body["CommandID"] = json!("TransactionStatusQuery");
        body["TransactionID"] = json!(receipt);
    }
    send(merchant.call(token, path, &body)).await
}

async fn balance(merchant: &Merchant, token: &str, password: &str) -> Answer {
    ask(merchant, token, BALANCE, password, "").await
}

fn results(merchant: &Merchant, change: ResultFaults) {
    let change = FaultsChange { results: Some(change), ..FaultsChange::default() };
    merchant.handle().set_faults(&change).unwrap();
}

/// Every body that came to a path, in order.
async fn heard(merchant: &Merchant, path: &str) -> Vec<Value> {
    merchant.settled().await;
    bodies(merchant, path)
}

fn bodies(merchant: &Merchant, path: &str) -> Vec<Value> {
    merchant.listener.received_at(path).iter().map(Received::json).collect()
}

#[tokio::test]
async fn a_balance_is_acknowledged_and_follows_on_the_result_url() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let paybill =
        PaybillPayment { short_code: "174379".to_owned(), amount: 25, account: "12345674".to_owned() };
    merchant.handle().pay_by_paybill(PHONE, &paybill).await.unwrap();
    let (status, acknowledgement) = balance(&merchant, &token, DEMO_OPERATOR_PASSWORD).await;
    assert_eq!((status, &acknowledgement["ResponseCode"]), (200, &json!("0")));
    assert!(acknowledgement["ConversationID"].as_str().unwrap().starts_with("AG_"));
    let result = &heard(&merchant, "r").await[0]["Result"];
    assert_eq!(result["ConversationID"], acknowledgement["ConversationID"]);
    assert_eq!(result["ResultCode"], json!(0));
    let accounts = result["ResultParameters"]["ResultParameter"][0]["Value"].as_str().unwrap();
    assert!(accounts.contains("Utility Account|KES|25.00|25.00|0.00|0.00&"), "{accounts}");
}

#[tokio::test]
async fn a_receipt_is_told_of_and_an_unknown_one_has_a_code_that_is_a_word() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let paybill =
        PaybillPayment { short_code: "174379".to_owned(), amount: 25, account: "12345674".to_owned() };
    merchant.handle().pay_by_paybill(PHONE, &paybill).await.unwrap();
    let receipt = merchant.handle().payments(0, 1)[0].receipt.to_string();
    ask(&merchant, &token, STATUS, DEMO_OPERATOR_PASSWORD, &receipt).await;
    let known = heard(&merchant, "r").await.remove(0);
    let items = known["Result"]["ResultParameters"]["ResultParameter"].as_array().unwrap();
    assert!(items.contains(&json!({"Key": "ReceiptNo", "Value": receipt})));
    assert!(items.contains(&json!({"Key": "TransactionStatus", "Value": "Completed"})));
    ask(&merchant, &token, STATUS, DEMO_OPERATOR_PASSWORD, "NOSUCH0001").await;
    let unknown = &heard(&merchant, "r").await[1]["Result"];
    assert_eq!(unknown["ResultCode"], "R000002");
    assert!(unknown.get("ResultParameters").is_none());
}

#[tokio::test]
async fn wrong_passwords_end_in_2001_and_lock_the_operator() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    for _ in 0..5 {
        assert_eq!(balance(&merchant, &token, "wrong").await.0, 200);
    }
    balance(&merchant, &token, DEMO_OPERATOR_PASSWORD).await;
    let mut codes: Vec<_> =
        heard(&merchant, "r").await.iter().map(|body| body["Result"]["ResultCode"].clone()).collect();
    codes.sort_by_key(Value::to_string);
    assert_eq!(codes, [json!(2001), json!(2001), json!(2001), json!(2001), json!(2001), json!(8006)]);
    let unlock = FaultsChange { unlock_operator: true, ..FaultsChange::default() };
    merchant.handle().set_faults(&unlock).unwrap();
    balance(&merchant, &token, DEMO_OPERATOR_PASSWORD).await;
    assert_eq!(heard(&merchant, "r").await[6]["Result"]["ResultCode"], json!(0));
}

#[tokio::test]
async fn results_double_come_first_time_out_in_the_queue_or_never_come() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    results(&merchant, ResultFaults { copies: 2, as_text: true, ..ResultFaults::default() });
    balance(&merchant, &token, DEMO_OPERATOR_PASSWORD).await;
    let twice = heard(&merchant, "r").await;
    assert_eq!((twice.len(), &twice[0]), (2, &twice[1]));
    assert_eq!(twice[0]["Result"]["ResultCode"], "0");
    results(&merchant, ResultFaults { before_reply: true, ..ResultFaults::default() });
    balance(&merchant, &token, DEMO_OPERATOR_PASSWORD).await;
    assert_eq!(bodies(&merchant, "r").len(), 3, "it was there before the acknowledgement");
    results(&merchant, ResultFaults { queue_time_out: true, ..ResultFaults::default() });
    let (_, acknowledgement) = balance(&merchant, &token, DEMO_OPERATOR_PASSWORD).await;
    let timed_out = &heard(&merchant, "q").await[0]["Result"];
    assert_eq!(timed_out["ConversationID"], acknowledgement["ConversationID"]);
    results(&merchant, ResultFaults { lost: true, ..ResultFaults::default() });
    assert_eq!(balance(&merchant, &token, DEMO_OPERATOR_PASSWORD).await.0, 200);
    assert_eq!(heard(&merchant, "r").await.len(), 3);
    let state = merchant.handle().state();
    assert_eq!((state.operator_requests, state.results_sent, state.results_failed), (4, 4, 0));
}

#[tokio::test]
async fn a_credential_that_is_none_and_a_missing_product_are_refused_at_once() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let body = json!({
        "Initiator": DEMO_OPERATOR_NAME, "SecurityCredential": "in the clear", "CommandID": "AccountBalance",
        "PartyA": "174379", "IdentifierType": "4", "Remarks": "Test",
        "ResultURL": merchant.listener.at("r"), "QueueTimeOutURL": merchant.listener.at("q"),
    });
    let answer = send(merchant.call(&token, BALANCE, &body)).await;
    assert_eq!(error_of(&answer), (400, "400.002.02"));
    let change = FaultsChange { no_product: Some(vec![Product::AccountBalance]), ..FaultsChange::default() };
    merchant.handle().set_faults(&change).unwrap();
    let (status, body) = balance(&merchant, &token, DEMO_OPERATOR_PASSWORD).await;
    assert_eq!(status, 401);
    assert!(body["fault"]["faultstring"].is_string());
}

const REVERSAL: &str = "/mpesa/reversal/v1/request";
const PAYOUT: &str = "/mpesa/b2c/v3/paymentrequest";

async fn give_back(merchant: &Merchant, token: &str, receipt: &str, amount: u32) -> Answer {
    let body = json!({
        "Initiator": DEMO_OPERATOR_NAME, "SecurityCredential": credential(DEMO_OPERATOR_PASSWORD),
        "CommandID": "TransactionReversal", "TransactionID": receipt, "Amount": amount, "ReceiverParty": "174379",
        "RecieverIdentifierType": "11", "Remarks": "Refund", "Occasion": "",
        "ResultURL": merchant.listener.at("r"), "QueueTimeOutURL": merchant.listener.at("q"),
    });
    send(merchant.call(token, REVERSAL, &body)).await
}

async fn pay_out(merchant: &Merchant, token: &str, name: &str, amount: u32) -> Answer {
    let body = json!({
        "OriginatorConversationID": name, "InitiatorName": DEMO_OPERATOR_NAME,
        "SecurityCredential": credential(DEMO_OPERATOR_PASSWORD), "CommandID": "BusinessPayment", "Amount": amount,
        "PartyA": "174379", "PartyB": PHONE, "Remarks": "Refund", "Occassion": "",
        "ResultURL": merchant.listener.at("r"), "QueueTimeOutURL": merchant.listener.at("q"),
    });
    send(merchant.call(token, PAYOUT, &body)).await
}

async fn paybill(merchant: &Merchant, amount: u32) -> String {
    let payment = PaybillPayment { short_code: "174379".to_owned(), amount, account: "12345674".to_owned() };
    let outcome = merchant.handle().pay_by_paybill(PHONE, &payment).await.unwrap();
    let daraja_sim::PaybillOutcome::Paid { receipt } = outcome else { panic!("{outcome:?}") };
    receipt.to_string()
}

fn codes(results: &[Value]) -> Vec<Value> {
    results.iter().map(|result| result["Result"]["ResultCode"].clone()).collect()
}

#[tokio::test]
async fn a_payment_is_reversed_once_and_whole_and_only_while_the_money_is_there() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let receipt = paybill(&merchant, 25).await;
    for (receipt, amount) in [("NOSUCH0001", 25), (&receipt, 24), (&receipt, 25), (&receipt, 25)] {
        let (status, acknowledgement) = give_back(&merchant, &token, receipt, amount).await;
        assert_eq!((status, &acknowledgement["ResponseCode"]), (200, &json!("0")));
        merchant.settled().await;
    }
    let results = heard(&merchant, "r").await;
    assert_eq!(codes(&results), [json!("R000002"), json!(25), json!(0), json!("R000001")]);
    assert!(merchant.handle().payment(&receipt).unwrap().is_reversed);
}

#[tokio::test]
async fn a_phone_is_paid_once_under_one_name_and_the_name_says_what_became_of_it() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    paybill(&merchant, 30).await;
    let (_, acknowledgement) = pay_out(&merchant, &token, "ours-1", 20).await;
    assert_eq!(acknowledgement["OriginatorConversationID"], json!("ours-1"));
    merchant.settled().await;
    let answer = pay_out(&merchant, &token, "ours-1", 20).await;
    assert_eq!(error_of(&answer), (500, "500.002.1001"));
    pay_out(&merchant, &token, "ours-2", 20).await;
    let results = heard(&merchant, "r").await;
    assert_eq!(codes(&results), [json!(0), json!(1)], "the second is more than is there");
    let receipt = merchant.handle().payouts()[0].receipt.clone().unwrap().to_string();
    assert_eq!(results[0]["Result"]["TransactionID"], json!(receipt));
    merchant.handle().redeliver_money_result(daraja_sim::Redelivery::default()).await.unwrap();
    assert_eq!(heard(&merchant, "r").await.len(), 3);
    let mut body = json!({
        "Initiator": DEMO_OPERATOR_NAME, "SecurityCredential": credential(DEMO_OPERATOR_PASSWORD),
        "CommandID": "TransactionStatusQuery", "PartyA": "174379", "IdentifierType": "4", "Remarks": "Test",
        "ResultURL": merchant.listener.at("s"), "QueueTimeOutURL": merchant.listener.at("q"),
    });
    for (name, status) in
        [("ours-1", json!("Completed")), ("ours-2", json!("Failed")), ("ours-3", json!(null))]
    {
        body["OriginalConversationID"] = json!(name);
        send(merchant.call(&token, STATUS, &body)).await;
        let told = heard(&merchant, "s").await;
        let list = told.last().unwrap()["Result"]["ResultParameters"]["ResultParameter"].clone();
        let found =
            list.as_array().and_then(|list| list.iter().find(|item| item["Key"] == "TransactionStatus"));
        assert_eq!(found.map_or(json!(null), |item| item["Value"].clone()), status, "{name}");
    }
}
