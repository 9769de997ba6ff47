//! A gateway that is slow, busy, lost for words or gone.

use daraja_sim::{FaultsChange, Product};

use crate::merchant::{Merchant, error_of, send};

#[tokio::test]
async fn a_busy_gateway_refuses_the_next_calls_and_then_recovers() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let change = FaultsChange { busy_next: Some(2), quota_next: Some(1), ..FaultsChange::default() };
    merchant.handle().set_faults(&change).unwrap();
    for code in ["500.003.02", "500.003.02", "500.003.03"] {
        let answer = send(merchant.push_call(&token, &merchant.push_body())).await;
        assert_eq!(error_of(&answer), (500, code));
    }
    merchant.push(&token).await;
    assert_eq!(merchant.handle().prompts(0, 10).len(), 1);
}

#[tokio::test]
async fn a_page_of_html_comes_where_json_should_be() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    merchant.handle().set_faults(&FaultsChange { html_next: Some(1), ..FaultsChange::default() }).unwrap();
    let response = merchant.push_call(&token, &merchant.push_body()).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.text().await.unwrap().starts_with("<html>"));
}

#[tokio::test]
async fn a_busy_oauth_does_not_use_up_the_other_faults() {
    let merchant = Merchant::start().await;
    let change = FaultsChange { oauth_busy_next: Some(1), busy_next: Some(1), ..FaultsChange::default() };
    merchant.handle().set_faults(&change).unwrap();
    let refused =
        send(merchant.oauth("client_credentials").basic_auth("demo-key", Some("demo-secret"))).await;
    assert_eq!(error_of(&refused), (500, "500.003.02"));
    merchant.token().await;
    assert_eq!(merchant.handle().faults().busy_next, 1);
}

#[tokio::test]
async fn a_lost_reply_closes_the_connection_but_the_customer_still_pays() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    merchant
        .handle()
        .set_faults(&FaultsChange { lose_reply_next: Some(1), ..FaultsChange::default() })
        .unwrap();
    // A refused push uses up nothing: there is no accepted answer to lose.
    let mut wrong = merchant.push_body();
    wrong["Amount"] = 0.into();
    assert_eq!(send(merchant.push_call(&token, &wrong)).await.0, 400);
    let lost = merchant.push_call(&token, &merchant.push_body()).send().await;
    assert!(lost.is_err(), "{lost:?}");
    merchant.settled().await;
    assert_eq!(merchant.listener.received().len(), 1);
    assert_eq!(merchant.handle().payments(0, 10).len(), 1);
    assert_eq!(merchant.handle().state().pushes, 1);
    // The next call, on a new connection, is served.
    let mut next = merchant.push_body();
    next["Amount"] = 5.into();
    assert_eq!(send(merchant.push_call(&token, &next)).await.0, 200);
}

#[tokio::test]
async fn a_gateway_that_gives_up_waiting_answers_with_a_fault_and_the_customer_still_pays() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    merchant
        .handle()
        .set_faults(&FaultsChange { time_out_next: Some(1), ..FaultsChange::default() })
        .unwrap();
    let (status, body) = send(merchant.push_call(&token, &merchant.push_body())).await;
    assert_eq!(status, 504);
    assert_eq!(body["fault"]["detail"]["errorcode"], "messaging.adaptors.http.flow.GatewayTimeout");
    merchant.settled().await;
    assert_eq!(merchant.handle().payments(0, 10).len(), 1);
}

#[tokio::test]
async fn a_slow_reply_comes_behind_its_own_callback() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    merchant
        .handle()
        .set_faults(&FaultsChange { slow_reply_ms: Some(3_600_000), ..FaultsChange::default() })
        .unwrap();
    let reply = tokio::spawn(merchant.push_call(&token, &merchant.push_body()).send());
    merchant.listener.wait_for(1).await;
    assert!(!reply.is_finished());
    reply.abort();
    merchant.simulator.stop().await;
}

#[tokio::test]
async fn a_product_that_the_app_lacks_ends_in_an_apigee_fault() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let change = FaultsChange { no_product: Some(vec![Product::C2bV2]), ..FaultsChange::default() };
    merchant.handle().set_faults(&change).unwrap();
    let (status, body) = merchant.register(&token, "v2", "Completed").await;
    assert_eq!(status, 401);
    assert_eq!(body["fault"]["faultstring"], "Invalid API call as no apiproduct match found");
    assert_eq!(merchant.register(&token, "v1", "Completed").await.0, 200);
}

#[tokio::test]
async fn stopping_ends_thinking_phones_and_frees_the_ports() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let thinks = daraja_sim::Phone { delay_ms: 3_600_000, ..daraja_sim::Phone::default() };
    merchant.handle().set_default_phone(thinks).unwrap();
    merchant.push(&token).await;
    let (handle, url) = (merchant.handle(), merchant.url("/"));
    assert_eq!(handle.state().in_flight, 1);
    merchant.simulator.stop().await;
    assert_eq!(handle.state().in_flight, 0);
    assert!(merchant.client.get(url).send().await.unwrap_err().is_connect());
}
