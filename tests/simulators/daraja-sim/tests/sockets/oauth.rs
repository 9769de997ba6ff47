//! Tokens: one lives, the one before is dead.

use std::time::Duration;

use daraja_sim::{ExpiresInForm, FaultsChange, Settings, TokenError};
use serde_json::json;

use crate::merchant::{Merchant, error_of, send};

#[tokio::test]
async fn a_new_token_kills_the_previous_one() {
    let merchant = Merchant::start().await;
    let first = merchant.token().await;
    merchant.push(&first).await;
    let second = merchant.token().await;
    let refused = send(merchant.push_call(&first, &merchant.push_body())).await;
    assert_eq!(error_of(&refused), (404, "404.001.03"));
    merchant.push(&second).await;
    assert_eq!(merchant.handle().state().tokens_issued, 2);
}

#[tokio::test]
async fn a_token_dies_when_its_time_is_over() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    merchant.handle().advance_clock(Duration::from_secs(3500)).unwrap();
    assert_eq!(send(merchant.push_call(&token, &merchant.push_body())).await.0, 200);
    merchant.handle().advance_clock(Duration::from_secs(100)).unwrap();
    let refused = send(merchant.push_call(&token, &merchant.push_body())).await;
    assert_eq!(error_of(&refused), (404, "404.001.03"));
}

#[tokio::test]
async fn a_token_dies_on_request_and_is_refused_with_the_chosen_code() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    for (error, expected) in [
        (TokenError::NotFound, (404, "404.001.03")),
        (TokenError::BadRequest, (400, "400.003.01")),
        (TokenError::Unauthorized, (401, "401.002.01")),
        (TokenError::UnauthorizedC2b, (401, "401.003.01")),
    ] {
        let change = FaultsChange { expire_token: true, token_error: Some(error), ..FaultsChange::default() };
        merchant.handle().set_faults(&change).unwrap();
        let refused = send(merchant.push_call(&token, &merchant.push_body())).await;
        assert_eq!(error_of(&refused), expected);
    }
}

#[tokio::test]
async fn expires_in_comes_as_text_or_as_number() {
    for (form, expected) in [(ExpiresInForm::Text, json!("3599")), (ExpiresInForm::Number, json!(3599))] {
        let merchant = Merchant::with(Settings { expires_in: form, ..Settings::default() }).await;
        let request = merchant.oauth("client_credentials").basic_auth("demo-key", Some("demo-secret"));
        let (status, body) = send(request).await;
        assert_eq!((status, &body["expires_in"]), (200, &expected));
        assert_eq!(body["access_token"].as_str().unwrap().len(), 28);
    }
}

#[tokio::test]
async fn wrong_credentials_and_wrong_grant_types_are_refused() {
    let merchant = Merchant::start().await;
    let wrong_secret = send(merchant.oauth("client_credentials").basic_auth("demo-key", Some("guess"))).await;
    assert_eq!(error_of(&wrong_secret), (400, "400.008.01"));
    let no_header = send(merchant.oauth("client_credentials")).await;
    assert_eq!(error_of(&no_header), (400, "400.008.01"));
    let bearer = send(merchant.oauth("client_credentials").bearer_auth("x")).await;
    assert_eq!(error_of(&bearer), (400, "400.008.01"));
    let wrong_grant = send(merchant.oauth("password").basic_auth("demo-key", Some("demo-secret"))).await;
    assert_eq!(error_of(&wrong_grant), (400, "400.008.02"));
    assert_eq!(merchant.handle().state().tokens_issued, 0);
}

#[tokio::test]
async fn a_call_without_a_token_is_told_so() {
    let merchant = Merchant::start().await;
    let request =
        merchant.client.post(merchant.url("/mpesa/stkpush/v1/processrequest")).json(&merchant.push_body());
    assert_eq!(error_of(&send(request).await), (404, "404.001.04"));
}
