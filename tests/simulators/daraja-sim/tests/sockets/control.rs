//! The control port, over HTTP.

use serde_json::{Value, json};

use crate::merchant::{Answer, Merchant, PHONE, send};

async fn get(merchant: &Merchant, path: &str) -> Answer {
    send(merchant.client.get(merchant.control_url(path))).await
}

async fn post(merchant: &Merchant, path: &str, body: &Value) -> Answer {
    send(merchant.client.post(merchant.control_url(path)).body(body.to_string())).await
}

async fn put(merchant: &Merchant, path: &str, body: &Value) -> Answer {
    send(merchant.client.put(merchant.control_url(path)).body(body.to_string())).await
}

#[tokio::test]
async fn phones_are_described_listed_and_forgotten() {
    let merchant = Merchant::start().await;
    let (status, phone) = put(&merchant, "/phones/0712345678", &json!({"behaviour": "wrong_pin"})).await;
    assert_eq!((status, &phone["behaviour"]), (200, &json!("wrong_pin")));
    assert_eq!(phone["callback"]["copies"], 1);
    put(&merchant, "/phones/default", &json!({"behaviour": "refuse", "callback": {"lost": true}})).await;
    let (_, list) = get(&merchant, "/phones").await;
    assert_eq!(list["default"]["behaviour"], "refuse");
    assert_eq!(list["phones"][PHONE]["behaviour"], "wrong_pin");
    let (_, page) = get(&merchant, &format!("/phones?after={PHONE}&limit=5")).await;
    assert_eq!(page["phones"], json!({}));
    let forget = || merchant.client.delete(merchant.control_url("/phones/0712345678"));
    assert_eq!(send(forget()).await.0, 204);
    assert_eq!(send(forget()).await.0, 404);
    assert_eq!(get(&merchant, "/phones/0712345678").await.1["behaviour"], "refuse");
}

#[tokio::test]
async fn a_paybill_payment_is_made_and_listed() {
    let merchant = Merchant::start().await;
    let body = json!({"short_code": "174379", "amount": 50, "account": "12345674"});
    let (status, paid) = post(&merchant, "/phones/0712345678/paybill", &body).await;
    assert_eq!((status, &paid["outcome"]), (200, &json!("paid")));
    let (_, list) = get(&merchant, "/payments?after=0").await;
    let row = &list[0];
    assert_eq!(row["receipt"], paid["receipt"]);
    let members: Vec<_> = row.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        members,
        [
            "account_reference",
            "amount",
            "at_ms",
            "callback_status",
            "checkout_request_id",
            "confirmation_status",
            "is_reversed",
            "msisdn",
            "receipt",
            "seq",
            "short_code"
        ]
    );
    assert_eq!((&row["seq"], &row["msisdn"], &row["amount"]), (&json!(1), &json!(PHONE), &json!(50)));
    assert_eq!(get(&merchant, "/payments?after=1").await.1, json!([]));
    let path = format!("/payments/{}", paid["receipt"].as_str().unwrap());
    assert_eq!(get(&merchant, &path).await.1, *row);
}

#[tokio::test]
async fn prompts_are_listed_with_their_state_and_redelivered() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let id = merchant.push(&token).await;
    merchant.settled().await;
    let (_, list) = get(&merchant, "/prompts").await;
    assert_eq!((&list[0]["checkout_request_id"], &list[0]["state"]), (&json!(id), &json!("paid")));
    let (status, answer) = post(&merchant, &format!("/prompts/{id}/redeliver"), &json!({"copies": 3})).await;
    assert_eq!((status, &answer["callback_status"]), (200, &json!([200, 200, 200])));
    let received = merchant.listener.received();
    assert_eq!(received.len(), 4);
    assert!(received.iter().all(|one| one.body == received[0].body));
    let once = send(merchant.client.post(merchant.control_url(&format!("/prompts/{id}/redeliver")))).await;
    assert_eq!(once.1["callback_status"], json!([200]));
    assert_eq!(get(&merchant, &format!("/prompts/{id}")).await.1["callback_status"], json!(vec![200; 5]));
}

#[tokio::test]
async fn faults_clock_registrations_and_state_answer() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let (_, faults) = post(&merchant, "/faults", &json!({"busy_next": 2, "rule_17": false})).await;
    assert_eq!((&faults["busy_next"], &faults["rule_17"]), (&json!(2), &json!(false)));
    post(&merchant, "/faults", &json!({"busy_next": 0})).await;
    assert_eq!(get(&merchant, "/faults").await.1["rule_17"], false);
    let (_, calm) = send(merchant.client.delete(merchant.control_url("/faults"))).await;
    assert_eq!((&calm["busy_next"], &calm["rule_17"]), (&json!(0), &json!(true)));
    assert_eq!(post(&merchant, "/clock", &json!({"advance_ms": 3_600_000})).await.0, 204);
    assert_ne!(send(merchant.push_call(&token, &merchant.push_body())).await.0, 200);
    let token = merchant.token().await;
    merchant.register(&token, "v2", "Completed").await;
    assert_eq!(get(&merchant, "/registrations").await.1["174379"]["version"], "v2");
    let forget = || merchant.client.delete(merchant.control_url("/registrations/174379"));
    assert_eq!(send(forget()).await.0, 204);
    let (_, state) = get(&merchant, "/state").await;
    assert_eq!((&state["tokens_issued"], &state["pushes_refused"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn a_statement_comes_in_each_width() {
    let merchant = Merchant::start().await;
    let body = json!({"short_code": "174379", "amount": 1500, "account": "12345674"});
    post(&merchant, "/phones/0712345678/paybill", &body).await;
    for (columns, last) in [(8, "Balance Confirmed"), (9, "Balance Confirmed"), (13, "A/C No.")] {
        let path = merchant.control_url(&format!("/statement.csv?short_code=174379&columns={columns}"));
        let text = merchant.client.get(path).send().await.unwrap().text().await.unwrap();
        let header = text.lines().find(|line| line.starts_with("Receipt No.")).unwrap();
        assert_eq!(header.split(',').count(), columns);
        assert!(header.ends_with(last));
        assert!(text.contains("\"1,500.00\""));
    }
}

#[tokio::test]
async fn mistakes_are_named() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let thinks = json!({"delay_ms": 3_600_000});
    put(&merchant, "/phones/0712345678", &thinks).await;
    let waiting = merchant.push(&token).await;
    let phone = "/phones/0712345678";
    for (answer, status, words) in [
        (put(&merchant, "/phones/12", &json!({})).await, 400, "msisdn is not a phone number"),
        (put(&merchant, phone, &json!({"behavior": "pay"})).await, 400, "unknown field `behavior`"),
        (put(&merchant, phone, &json!({"behaviour": "dance"})).await, 400, "unknown variant `dance`"),
        (put(&merchant, phone, &json!({"late_success_ms": 5})).await, 400, "goes with behaviour"),
        (
            put(&merchant, phone, &json!({"callback": {"copies": 51}})).await,
            400,
            "callback.copies is 1 to 50",
        ),
        (put(&merchant, phone, &json!({"first_name": "x".repeat(20_000)})).await, 413, "length limit"),
        (post(&merchant, "/faults", &json!({"slow_reply_ms": 3_600_001})).await, 400, "too long"),
        (post(&merchant, "/prompts/none/redeliver", &json!({})).await, 404, "no such prompt"),
        (
            post(&merchant, &format!("/prompts/{waiting}/redeliver"), &json!({})).await,
            409,
            "to send again yet",
        ),
        (get(&merchant, "/payments?after=x").await, 400, "invalid digit"),
        (get(&merchant, "/payments/NONE").await, 404, "no such payment"),
        (get(&merchant, "/nothing").await, 404, "no such path"),
        (post(&merchant, "/state", &json!({})).await, 405, "another method"),
    ] {
        assert_eq!(answer.0, status, "{answer:?}");
        assert!(answer.1["error"].as_str().unwrap().contains(words), "{answer:?} lacks {words}");
    }
    for (short_code, amount, account, words) in [
        ("600999", 50, "1", "not one that this simulator"),
        ("x", 50, "1", "short_code is not"),
        ("174379", 0, "1", "amount is not"),
        ("174379", 50, "", "account is"),
        ("174379", 50, "123456789012345678901", "account is"),
    ] {
        let body = json!({"short_code": short_code, "amount": amount, "account": account});
        let (status, answer) = post(&merchant, "/phones/0712345678/paybill", &body).await;
        assert_eq!(status, 400);
        assert!(answer["error"].as_str().unwrap().contains(words), "{answer}");
    }
    merchant.simulator.stop().await;
}
