//! STK push and query: every field, every refusal, every kind of phone.

use std::time::Duration;

use daraja_sim::{Behaviour, FaultsChange, Phone, PromptState, QueryManner, ResultCode, Settings, ShortCode};
use serde_json::{Value, json};

use crate::merchant::{DEADLINE, Merchant, PHONE, error_of, send};

fn phone(behaviour: Behaviour) -> Phone {
    Phone { behaviour, ..Phone::default() }
}

#[tokio::test]
async fn an_accepted_push_is_answered_in_the_published_shape() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let (status, body) = send(merchant.push_call(&token, &merchant.push_body())).await;
    assert_eq!(status, 200);
    let members: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        members,
        ["CheckoutRequestID", "CustomerMessage", "MerchantRequestID", "ResponseCode", "ResponseDescription"]
    );
    assert_eq!(body["ResponseCode"], "0");
    let id = body["CheckoutRequestID"].as_str().unwrap();
    assert!(id.starts_with("ws_CO_") && id.ends_with("712345678"), "{id}");
    assert_eq!(id.len(), "ws_CO_ddMMyyyyHHmmssSSS712345678".len());
}

#[tokio::test]
async fn each_validation_error_is_refused_over_the_wire_and_sends_no_prompt() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let loopback_with = |word: &str| json!(merchant.listener.at(&format!("c/{word}")));
    for (field, wrong) in [
        ("BusinessShortCode", json!("12")),
        ("Password", json!("")),
        ("Timestamp", json!("2026-03-01 12:00")),
        ("TransactionType", json!("CustomerPaybill")),
        ("Amount", json!(0)),
        ("Amount", json!(250_001)),
        ("Amount", json!(1.5)),
        ("PartyA", json!("0712345678")),
        ("PartyB", json!("x")),
        ("PhoneNumber", json!("254212345678")),
        ("CallBackURL", json!("http://pay.example.co.ke/c")),
        ("CallBackURL", loopback_with("mpesa")),
        ("CallBackURL", loopback_with("M-Pesa")),
        ("CallBackURL", loopback_with("Safaricom")),
        ("CallBackURL", loopback_with("a.exe")),
        ("CallBackURL", loopback_with("exec")),
        ("CallBackURL", loopback_with("cmd")),
        ("CallBackURL", loopback_with("mySQL")),
        ("CallBackURL", loopback_with("?a=Query")),
        ("AccountReference", json!("")),
        ("AccountReference", json!("1234567890123")),
        ("TransactionDesc", json!("12345678901234")),
    ] {
        let mut body = merchant.push_body();
        body[field] = wrong.clone();
        let answer = send(merchant.push_call(&token, &body)).await;
        assert_eq!(error_of(&answer), (400, "400.002.02"), "{field} = {wrong}");
        assert_eq!(answer.1["errorMessage"], format!("Bad Request - Invalid {field}"));
    }
    assert!(merchant.handle().prompts(0, 10).is_empty());
    assert_eq!(merchant.handle().state().pushes_refused, 22);
}

#[tokio::test]
async fn a_wrong_content_type_is_refused_as_a_wrong_short_code() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let path = merchant.url("/mpesa/stkpush/v1/processrequest");
    let plain = merchant.client.post(&path).bearer_auth(&token).body(merchant.push_body().to_string());
    let answer = send(plain).await;
    assert_eq!(error_of(&answer), (400, "400.002.02"));
    assert_eq!(answer.1["errorMessage"], "Bad Request - Invalid BusinessShortCode");
}

#[tokio::test]
async fn bodies_that_are_no_json_or_too_large_are_wrong_payloads() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    for body in ["{".to_owned(), "x".repeat(100 * 1024)] {
        let request = merchant.client.post(merchant.url("/mpesa/stkpush/v1/processrequest"));
        let request = request.bearer_auth(&token).header("content-type", "application/json").body(body);
        assert_eq!(error_of(&send(request).await), (400, "400.002.05"));
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_stranger_share_a_code_but_not_a_text() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let mut body = merchant.push_body();
    body["Timestamp"] = json!("20260301120001");
    let answer = send(merchant.push_call(&token, &body)).await;
    assert_eq!(error_of(&answer), (500, "500.001.1001"));
    assert_eq!(answer.1["errorMessage"], "[MerchantValidate] - Wrong credentials");
    body["BusinessShortCode"] = json!(600_999);
    let answer = send(merchant.push_call(&token, &body)).await;
    assert_eq!(answer.1["errorMessage"], "Merchant does not exist");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_in_darajas_words() {
    let merchant = Merchant::start().await;
    let path = send(merchant.client.post(merchant.url("/mpesa/stkpush/v2/processrequest"))).await;
    assert_eq!(error_of(&path), (404, "404.001.01"));
    let method = send(merchant.client.get(merchant.url("/mpesa/stkpush/v1/processrequest"))).await;
    assert_eq!(error_of(&method), (405, "405.001"));
}

#[tokio::test]
async fn a_phone_that_pays_moves_money_and_calls_back_with_metadata() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let id = merchant.push(&token).await;
    let received = merchant.listener.wait_for(1).await.remove(0);
    merchant.settled().await;
    let payment = merchant.handle().payments(0, 10).remove(0);
    assert_eq!(received.headers["content-type"], "application/json;charset=UTF-8");
    assert_eq!(received.headers["businessshortcode"], "174379");
    let callback = received.stk();
    assert_eq!(callback["CheckoutRequestID"], id);
    assert_eq!(callback["ResultCode"], 0);
    let items = callback["CallbackMetadata"]["Item"].as_array().unwrap();
    assert_eq!(items[0], json!({"Name": "Amount", "Value": 100.0}));
    assert_eq!(items[1], json!({"Name": "MpesaReceiptNumber", "Value": payment.receipt.as_str()}));
    assert_eq!(items[2], json!({"Name": "Balance"}));
    assert_eq!(items[3]["Value"].as_u64().unwrap().to_string().len(), 14);
    assert_eq!(items[4], json!({"Name": "PhoneNumber", "Value": 254_712_345_678_u64}));
    assert_eq!(payment.checkout_request_id.unwrap().as_str(), id);
    assert_eq!((payment.amount.shillings(), payment.account_reference.as_str()), (100, "12345674.ab"));
    assert_eq!((payment.callback_status, payment.confirmation_status), (vec![200], vec![]));
}

#[tokio::test]
async fn phones_that_do_not_pay_call_back_with_their_code_and_no_metadata() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let fails = Phone { result_code: Some("SFC_IC0003".to_owned()), ..phone(Behaviour::Fail) };
    for (number, (phone, code)) in [
        (phone(Behaviour::Refuse), json!(1032)),
        (phone(Behaviour::Ignore), json!(1037)),
        (phone(Behaviour::WrongPin), json!(2001)),
        (phone(Behaviour::Insufficient), json!(1)),
        (Phone { balance_cents: Some(9_999), ..phone(Behaviour::Pay) }, json!(1)),
        (fails, json!("SFC_IC0003")),
    ]
    .into_iter()
    .enumerate()
    {
        merchant.handle().set_phone(PHONE, phone).unwrap();
        let id = merchant.push(&token).await;
        let callback = merchant.listener.wait_for(number + 1).await.remove(number).stk();
        assert_eq!((&callback["ResultCode"], &callback["CheckoutRequestID"]), (&code, &json!(id)));
        assert!(callback.get("CallbackMetadata").is_none());
    }
    assert!(merchant.handle().payments(0, 10).is_empty());
}

#[tokio::test]
async fn a_counted_wallet_empties_by_what_is_paid() {
    let merchant = Merchant::with(Settings { rule_17: false, ..Settings::default() }).await;
    let token = merchant.token().await;
    let wallet = Phone { balance_cents: Some(15_000), ..phone(Behaviour::Pay) };
    merchant.handle().set_phone(PHONE, wallet).unwrap();
    for expected in [json!(0), json!(1)] {
        merchant.push(&token).await;
        merchant.settled().await;
        assert_eq!(merchant.listener.received().last().unwrap().stk()["ResultCode"], expected);
    }
    assert_eq!(merchant.handle().phone(PHONE).unwrap().balance_cents, Some(5_000));
}

#[tokio::test]
async fn a_late_success_follows_the_1037_or_the_1032_under_the_same_id() {
    for (behaviour, code) in [(Behaviour::Ignore, 1037), (Behaviour::Refuse, 1032)] {
        let merchant = Merchant::start().await;
        let token = merchant.token().await;
        let late = Phone { late_success_ms: Some(1), ..phone(behaviour) };
        merchant.handle().set_phone(PHONE, late).unwrap();
        let id = merchant.push(&token).await;
        let received = merchant.listener.wait_for(2).await;
        merchant.settled().await;
        let codes: Vec<_> = received.iter().map(|one| one.stk()["ResultCode"].clone()).collect();
        assert_eq!(codes, [json!(code), json!(0)]);
        assert!(received.iter().all(|one| one.stk()["CheckoutRequestID"] == id.as_str()));
        assert!(matches!(merchant.handle().prompt(&id).unwrap().state, PromptState::Paid { .. }));
        assert_eq!(merchant.query(&token, &id).await.1["ResultCode"], "0");
    }
}

#[tokio::test]
async fn a_query_takes_turns_between_4999_and_500_001_1001_while_the_customer_thinks() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    merchant.handle().set_phone(PHONE, Phone { delay_ms: 3_600_000, ..Phone::default() }).unwrap();
    let id = merchant.push(&token).await;
    let text = |answer: &Value| answer["errorMessage"].as_str().map(str::to_owned);
    for (status, with_text) in [(500, "The transaction is being processed"), (500, ""), (200, "")] {
        let still = merchant.query(&token, &id).await;
        assert_eq!((still.0, &still.1["ResultCode"]), (200, &json!("4999")));
        let unsure = merchant.query(&token, &id).await;
        assert_eq!(error_of(&unsure), (status, "500.001.1001"));
        assert_eq!(text(&unsure.1).as_deref(), Some(with_text));
    }
    assert_eq!(merchant.handle().state().prompts_waiting, 1);
    merchant.simulator.stop().await;
}

#[tokio::test]
async fn a_query_gives_the_code_afterwards_but_never_a_receipt() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let paid = merchant.push(&token).await;
    merchant.settled().await;
    merchant.handle().set_phone(PHONE, phone(Behaviour::Ignore)).unwrap();
    let ignored = merchant.push(&token).await;
    merchant.settled().await;
    let (status, body) = merchant.query(&token, &paid).await;
    assert_eq!((status, &body["ResultCode"]), (200, &json!("0")));
    let receipt = merchant.handle().payments(0, 1)[0].receipt.to_string();
    assert!(!body.to_string().contains(&receipt));
    let (_, body) = merchant.query(&token, &ignored).await;
    assert_eq!(body["ResultCode"], "1037");
    assert_ne!(body["ResultDesc"], merchant.listener.received()[1].stk()["ResultDesc"]);
}

#[tokio::test]
async fn a_query_can_be_made_to_contradict_the_callback() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let id = merchant.push(&token).await;
    merchant.settled().await;
    let manner = |query| FaultsChange { query: Some(query), ..FaultsChange::default() };
    merchant.handle().set_faults(&manner(QueryManner::SaysFailed)).unwrap();
    assert_eq!(merchant.query(&token, &id).await.1["ResultCode"], "1037");
    merchant.handle().set_faults(&manner(QueryManner::NeverKnows)).unwrap();
    assert_eq!(merchant.query(&token, &id).await.1["ResultCode"], "4999");
}

#[tokio::test]
async fn a_query_for_a_strange_id_is_not_told_from_one_in_flight_by_its_code() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let answer = merchant.query(&token, "ws_CO_01032026120000000712345678").await;
    assert_eq!(error_of(&answer), (500, "500.001.1001"));
    assert_eq!(answer.1["errorMessage"], "The transaction does not Exist");
}

#[tokio::test]
async fn rule_17_stops_a_repeat_within_two_minutes_unless_switched_off() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let code_of = async |count: usize| {
        merchant.push(&token).await;
        merchant.settled().await;
        merchant.listener.wait_for(count).await[count - 1].stk()["ResultCode"].clone()
    };
    assert_eq!(code_of(1).await, 0);
    assert_eq!(code_of(2).await, 17);
    merchant.handle().advance_clock(Duration::from_secs(120)).unwrap();
    assert_eq!(code_of(3).await, 0);
    merchant.handle().set_faults(&FaultsChange { rule_17: Some(false), ..FaultsChange::default() }).unwrap();
    assert_eq!(code_of(4).await, 0);
    assert_eq!(merchant.handle().payments(0, 10).len(), 3);
}

#[tokio::test]
async fn another_amount_or_a_refused_prompt_is_no_repeat() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    merchant.handle().set_phone(PHONE, phone(Behaviour::Refuse)).unwrap();
    merchant.push(&token).await;
    merchant.settled().await;
    merchant.handle().set_phone(PHONE, phone(Behaviour::Pay)).unwrap();
    merchant.push(&token).await;
    merchant.settled().await;
    let mut other_amount = merchant.push_body();
    other_amount["Amount"] = json!(101);
    assert_eq!(send(merchant.push_call(&token, &other_amount)).await.0, 200);
    merchant.settled().await;
    assert_eq!(merchant.handle().payments(0, 10).len(), 2);
}

#[tokio::test]
async fn a_party_b_that_does_not_fit_ends_in_the_codes_of_a_wrong_configuration() {
    let till = ShortCode::parse("5123456").unwrap();
    let merchant = Merchant::with(Settings { till_number: Some(till), ..Settings::default() }).await;
    let token = merchant.token().await;
    for (number, (kind, party_b, code)) in [
        ("CustomerPayBillOnline", "600999", json!(2028)),
        ("CustomerBuyGoodsOnline", "174379", json!("SFC_IC0003")),
        ("CustomerBuyGoodsOnline", "5123456", json!(0)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = merchant.push_body();
        body["TransactionType"] = json!(kind);
        body["PartyB"] = json!(party_b);
        assert_eq!(send(merchant.push_call(&token, &body)).await.0, 200);
        let callback = merchant.listener.wait_for(number + 1).await.remove(number).stk();
        assert_eq!(callback["ResultCode"], code, "{kind} {party_b}");
    }
}

#[tokio::test]
async fn pushes_in_the_same_millisecond_have_ids_of_their_own() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    merchant.handle().set_phone(PHONE, phone(Behaviour::Refuse)).unwrap();
    let pushes = (0..40).map(|_| {
        let request = merchant.push_call(&token, &merchant.push_body());
        tokio::spawn(async move { send(request).await.1["CheckoutRequestID"].as_str().unwrap().to_owned() })
    });
    let mut ids = std::collections::HashSet::new();
    for push in pushes.collect::<Vec<_>>() {
        assert!(ids.insert(push.await.unwrap()));
    }
    let handle = merchant.handle();
    let declined = handle.wait_for(DEADLINE, |handle| {
        let prompts = handle.prompts(0, 100);
        let cancelled = |state: &PromptState| {
            matches!(state, PromptState::Declined { result_code: ResultCode::CancelledByUser, .. })
        };
        (prompts.len() == 40 && prompts.iter().all(|prompt| cancelled(&prompt.state))).then_some(())
    });
    assert!(declined.await.is_some());
    assert_eq!(handle.state().prompts_waiting, 0);
}
