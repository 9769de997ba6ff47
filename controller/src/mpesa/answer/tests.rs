//! Answers as published and as observed.

use super::*;

fn error(code: &str, message: &str) -> String {
    format!(r#"{{"requestId":"1-2-3","errorCode":"{code}","errorMessage":"{message}"}}"#)
}

fn fault(code: &str) -> String {
    format!(r#"{{"fault":{{"faultstring":"x","detail":{{"errorcode":"{code}"}}}}}}"#)
}

#[test]
fn an_acknowledgement_that_proves_that_nothing_was_taken_says_whether_another_try_may_be() {
    let check = |body: &str, is_for_now: bool| {
        let found = of_acknowledgement(body.as_bytes());
        let expected = match is_for_now {
            true => matches!(found, Acknowledgement::NotNow(_)),
            false => matches!(found, Acknowledgement::Refused(_)),
        };
        assert!(expected, "{body}: {found:?}");
    };
    for code in ["500.003.02", "500.003.03", "429.001.01", "404.001.03", "400.003.01", "401.003.01"] {
        check(&error(code, "x"), true);
    }
    check(&fault("policies.ratelimit.SpikeArrestViolation"), true);
    check(&fault("policies.ratelimit.QuotaViolation"), true);
    check(&fault("keymanagement.service.invalid_access_token"), true);
    for code in
        ["oauth.v2.InvalidAccessToken", "oauth.v2.invalid_access_token", "OAuth.V2.Invalid-Access-Token"]
    {
        check(&fault(code), true);
        check(&error(code, "x"), true);
    }
    check(&fault("oauth.v2.AccessTokenExpired"), true);
    check(r#"{"fault":{"faultstring":"Invalid Access Token"}}"#, true);
    assert!(!is_token_refused(br#"{"fault":{"faultstring":"Invalid ApiKey"}}"#));
    check(&error("400.002.02", "Bad Request - Invalid Amount"), false);
    check(&fault("policies.jsonthreatprotection.ExecutionFailed"), false);
}

#[test]
fn a_name_that_was_taken_before_is_neither_refused_nor_perhaps_taken_once_more() {
    let said = error("500.002.1001", "Duplicate OriginatorConversationID");
    let reason = Reason::new("500.002.1001", "Duplicate OriginatorConversationID");
    assert_eq!(of_acknowledgement(said.as_bytes()), Acknowledgement::TakenBefore(reason));
    let other = error("500.003.1001", "Internal Server Error");
    assert_eq!(of_acknowledgement(other.as_bytes()), Acknowledgement::Unknown);
}

#[test]
fn a_push_is_accepted_refused_or_unknown() {
    let check = |body: &str, expected: PushAnswer| assert_eq!(of_push(body.as_bytes()), expected, "{body}");
    let accepted = |merchant: Option<&str>| PushAnswer::Accepted {
        checkout: CheckoutId::parse("ws_CO_1").unwrap(),
        merchant_request_id: merchant.map(str::to_owned),
    };
    let refused = |code: &str, message: &str| PushAnswer::Refused(Refusal::Final(Reason::new(code, message)));
    let busy = |code: &str| PushAnswer::Refused(Refusal::Busy(Reason::new(code, "x")));
    check(
        r#"{"MerchantRequestID":"m","CheckoutRequestID":"ws_CO_1","ResponseCode":"0","ResponseDescription":"d","CustomerMessage":"c"}"#,
        accepted(Some("m")),
    );
    check(r#"{"CheckoutRequestID":"ws_CO_1","ResponseCode":0}"#, accepted(None));
    check(
        r#"{"CheckoutRequestID":"ws_CO_1","ResponseCode":"1","ResponseDescription":"d"}"#,
        refused("1", "d"),
    );
    check(
        &error("400.002.02", "Bad Request - Invalid Amount"),
        refused("400.002.02", "Bad Request - Invalid Amount"),
    );
    check(&error("404.001.01", "x"), refused("404.001.01", "x"));
    for code in TOKEN_CODES {
        check(&error(code, "x"), PushAnswer::Refused(Refusal::Token));
    }
    for code in ["500.003.02", "500.003.03", "429.001.01"] {
        check(&error(code, "x"), busy(code));
    }
    let lock = "Unable to lock subscriber, a transaction is already in process for the current subscriber";
    check(&error("500.001.1001", lock), refused("500.001.1001", lock));
    check(
        &error("500.001.1001", "[MerchantValidate] - Wrong credentials"),
        refused("500.001.1001", "[MerchantValidate] - Wrong credentials"),
    );
    for open in ["", "The transaction is being processed"] {
        check(&error("500.001.1001", open), PushAnswer::Unknown);
    }
    check(&fault("keymanagement.service.invalid_access_token"), PushAnswer::Refused(Refusal::Token));
    let product = "keymanagement.service.InvalidAPICallAsNoApiProductMatchFound";
    check(&fault(product), refused(product, "x"));
    check(&fault("oauth.v2.InvalidApiKey"), refused("oauth.v2.InvalidApiKey", "x"));
    for code in ["policies.ratelimit.SpikeArrestViolation", "policies.ratelimit.QuotaViolation"] {
        check(&fault(code), busy(code));
    }
    let unknown = [
        "",
        "<html></html>",
        "[]",
        "{}",
        r#"{"ResponseCode":"0"}"#,
        r#"{"CheckoutRequestID":"ws_CO_1"}"#,
        r#"{"CheckoutRequestID":"","ResponseCode":"0"}"#,
    ];
    for body in unknown {
        check(body, PushAnswer::Unknown);
    }
    check(&error("500.003.1001", "internal"), PushAnswer::Unknown);
}

#[test]
fn a_fault_that_may_come_after_forwarding_leaves_open_whether_the_phone_rings() {
    for code in [
        "messaging.adaptors.http.flow.GatewayTimeout",
        "messaging.adaptors.http.flow.UnexpectedEOFAtTarget",
        "messaging.adaptors.http.flow.ErrorResponseCode",
        "messaging.runtime.TARGET_READ_TIMEOUT",
        "flow.APITimedOut",
        "steps.javascript.ScriptExecutionFailed",
        "",
    ] {
        assert_eq!(of_push(fault(code).as_bytes()), PushAnswer::Unknown, "{code}");
        assert!(!is_token_refused(fault(code).as_bytes()), "{code}");
    }
    assert_eq!(of_push(br#"{"fault":{"faultstring":"Gateway Timeout"}}"#), PushAnswer::Unknown);
}

#[test]
fn a_query_says_nothing_unless_it_says_something() {
    let check = |body: &str, expected: QueryAnswer| assert_eq!(of_query(body.as_bytes()), expected, "{body}");
    let result = |code: &str| {
        format!(r#"{{"ResponseCode":"0","CheckoutRequestID":"x","ResultCode":{code},"ResultDesc":"d"}}"#)
    };
    check(&result("\"0\""), QueryAnswer::Paid);
    check(&result("0"), QueryAnswer::Paid);
    check(&result("\"1032\""), QueryAnswer::Failed(Reason::new("1032", "d")));
    check(&result("1037"), QueryAnswer::Failed(Reason::new("1037", "d")));
    check(&result("\"4999\""), QueryAnswer::NoAnswer);
    check(&result("4999"), QueryAnswer::NoAnswer);
    for message in ["", "The transaction is being processed", "The transaction does not Exist"] {
        check(&error("500.001.1001", message), QueryAnswer::NoAnswer);
    }
    check(&error("404.001.03", "Invalid Access Token"), QueryAnswer::Token);
    for body in ["", "{}", "<html></html>", r#"{"ResponseCode":"0"}"#] {
        check(body, QueryAnswer::NoAnswer);
    }
    check(&error("500.003.02", "x"), QueryAnswer::NoAnswer);
    check(&fault("product"), QueryAnswer::NoAnswer);
}

#[test]
fn a_tokens_life_is_a_number_or_a_string() {
    for life in ["3599", "\"3599\"", "3599.0", "\"3599.0\"", "\" 3599.00 \""] {
        let token = of_token(format!(r#"{{"access_token":"abc","expires_in":{life}}}"#).as_bytes()).unwrap();
        assert_eq!((token.access_token.as_str(), token.lives_seconds), ("abc", 3_599));
    }
    assert_eq!(of_token(br#"{"access_token":"abc"}"#).map(|token| token.lives_seconds), Ok(0));
    assert_eq!(
        of_token(error("400.008.01", "x").as_bytes()).map(|_| ()),
        Err(Reason::new("400.008.01", "x"))
    );
    for bad in [r#"{"access_token":""}"#, r#"{"access_token":"a b"}"#, "", "<html>"] {
        assert!(of_token(bad.as_bytes()).is_err(), "{bad}");
    }
}
