//! Getting in: refusals, silence, challenges, and ports where something else answers.

use super::*;

async fn login(options: &Options, script: impl AsyncFnOnce(Router)) -> Result<Client, Error> {
    let (ours, router) = pipe();
    let (client, ()) = tokio::join!(Client::over(ours, options), script(router));
    client
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_reported_in_the_routers_words() {
    let error = login(&options(), async |mut router| {
        router.receive().await;
        router.send(&["!trap", "=message=invalid user name or password (6)"]).await;
        router.send(&["!done"]).await;
    })
    .await
    .unwrap_err();
    assert_eq!(error.to_string(), "cannot log in to the router: invalid user name or password (6)");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_a_done_is_still_a_refusal() {
    for hangs_up in [true, false] {
        let error = login(&options(), async |mut router| {
            router.receive().await;
            router.send(&["!trap", "=message=cannot log in"]).await;
            if !hangs_up {
                assert!(router.receive_or_end().await.is_none(), "the client gives up");
            }
        })
        .await
        .unwrap_err();
        assert!(matches!(error, Error::Login(LoginError::Refused { message }) if message == "cannot log in"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_door_closed_at_once_names_address_lists_and_max_sessions() {
    let error = login(&options(), async |router| router.hang_up().await).await.unwrap_err();
    assert!(matches!(&error, Error::Login(LoginError::ClosedByRouter)), "{error:?}");
    assert!(error.to_string().contains("max-sessions"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_router_times_the_login_out() {
    let started = Instant::now();
    let error = login(&options(), async |mut router| {
        router.receive().await;
        assert!(router.receive_or_end().await.is_none(), "nothing is sent before the login is answered");
    })
    .await
    .unwrap_err();
    assert!(matches!(error, Error::Timeout { operation: Operation::Login, .. }));
    assert_eq!(started.elapsed(), Deadlines::default().login);
}

#[tokio::test(start_paused = true)]
async fn an_md5_challenge_is_answered_only_where_it_is_allowed() {
    let error = login(&options(), async |mut router| {
        router.receive().await;
        router.send(&["!done", "=ret=abc123"]).await;
        assert!(router.receive_or_end().await.is_none());
    })
    .await
    .unwrap_err();
    assert!(matches!(error, Error::Login(LoginError::LegacyRefused)));

    let client = login(&Options { legacy_login: true, ..options() }, async |mut router| {
        router.receive().await;
        router.send(&["!done", "=ret=abc123"]).await;
        let answer = router.receive().await;
        let response = answer.attribute("response").unwrap();
        assert_eq!((response.len(), &response[..2]), (34, &b"00"[..]));
        router.send(&["!done"]).await;
    })
    .await;
    assert!(client.is_ok());
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_api_are_not_taken_for_a_refused_login() {
    let error = login(&options(), async |mut router| {
        router.receive().await;
        router.send_bytes(b"\xff\xfd\x18").await.unwrap();
    })
    .await
    .unwrap_err();
    let expected = ProtocolError::Framing(WireError::ControlByte { byte: 0xFF });
    assert!(matches!(error, Error::Login(LoginError::NotTheApi(found)) if found == expected));
}

#[tokio::test(start_paused = true)]
async fn a_challenge_that_is_repeated_or_odd_ends_the_login_and_is_answered_once_at_most() {
    let legacy = Options { legacy_login: true, ..options() };
    let error = login(&legacy, async |mut router| {
        router.receive().await;
        router.send(&["!done", "=ret=abc123"]).await;
        router.receive().await;
        router.send(&["!done", "=ret=abc123"]).await;
        assert!(router.receive_or_end().await.is_none(), "no second answer");
    })
    .await
    .unwrap_err();
    assert!(matches!(error, Error::Login(LoginError::RepeatedChallenge)), "{error:?}");
    let error = login(&legacy, async |mut router| {
        router.receive().await;
        router.send(&["!done", "=ret=abc"]).await;
        assert!(router.receive_or_end().await.is_none(), "nothing is answered");
    })
    .await
    .unwrap_err();
    assert!(matches!(error, Error::Login(LoginError::BadChallenge)), "{error:?}");
}
