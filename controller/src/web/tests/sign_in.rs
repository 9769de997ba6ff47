//! Signing in, forms of strangers, and signing out, as a browser does it.

use crate::staff::Role;
use crate::web::testing::{Browser, SESSION, Served};

const PASSWORD: &str = "a long password";

/// Opens the form and posts it, as a person would.
async fn sign_in(
    browser: &mut Browser,
    login: &str,
    password: &str,
    next: &str,
) -> crate::web::testing::Answer {
    let form = browser.get("/sign-in").await;
    assert_eq!(form.status, 200);
    let token = browser.cookies["tawi_form"].clone();
    assert!(form.body.contains(&token), "the form carries what the cookie repeats");
    let fields = [("login", login), ("password", password), ("next", next), ("form_token", &token)];
    browser.post_bare("/sign-in", &fields).await
}

#[tokio::test]
async fn somebody_signs_in_looks_around_and_signs_out() {
    let served = Served::start().await;
    served.add_staff("cashier", Role::Operator).await;
    let mut browser = served.stranger();
    let sent_away = browser.get("/live?x=1").await;
    assert_eq!((sent_away.status, sent_away.location()), (303, "/sign-in?next=/live%3Fx%3D1"));
    let welcome = sign_in(&mut browser, "Cashier", PASSWORD, "/customers").await;
    assert_eq!((welcome.status, welcome.location()), (303, "/customers"));
    assert!(!browser.cookies.contains_key("tawi_form"), "the form's cookie is gone");
    let token = browser.cookies["tawi_session"].clone();
    assert_eq!(token.len(), 64);

    let stranger = browser.post_bare("/sign-out", &[("form_token", "guess")]).await;
    assert_eq!(stranger.status, 403, "another site's form signs nobody out");
    browser.form_token = form_token_of(&served, &token).await;
    let out = browser.post("/sign-out", &[]).await;
    assert_eq!((out.status, out.location()), (303, "/sign-in"));
    browser.cookies.insert("tawi_session".to_owned(), token);
    assert_eq!(browser.get("/live").await.status, 303, "the session is over at this end too");
    served.stop().await;
}

async fn form_token_of(served: &Served, token: &str) -> String {
    let mut reader = served.controller.database.read().await.unwrap();
    let token = crate::staff::SecretToken::received(token);
    let now = served.controller.clock.now();
    crate::staff::session(&mut reader, &token, now).await.unwrap().unwrap().form_token
}

#[tokio::test]
async fn the_form_of_the_first_tab_works_after_a_second_was_opened() {
    let served = Served::start().await;
    served.add_staff("cashier", Role::Operator).await;
    let mut browser = served.stranger();
    browser.get("/sign-in").await;
    let token = browser.cookies["tawi_form"].clone();
    browser.get("/sign-in?next=/sites").await;
    let fields = [("login", "cashier"), ("password", PASSWORD), ("next", "/"), ("form_token", &token)];
    assert_eq!(browser.post_bare("/sign-in", &fields).await.status, 303);
    browser.cookies.insert("tawi_form".to_owned(), "short".to_owned());
    browser.get("/sign-in").await;
    assert_ne!(browser.cookies["tawi_form"], "short", "a token that is not ours is replaced");
    served.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_without_saying_which_part_is_wrong() {
    let served = Served::start().await;
    served.add_staff("cashier", Role::Operator).await;
    let mut browser = served.stranger();
    let wrong = sign_in(&mut browser, "cashier", "wrong", "/").await;
    let nobody = sign_in(&mut browser, "nobody", PASSWORD, "/").await;
    assert_eq!((wrong.status, nobody.status), (422, 422));
    let said = |answer: &crate::web::testing::Answer| answer.body.contains("do not belong together");
    assert!(said(&wrong) && said(&nobody));
    assert!(!browser.cookies.contains_key("tawi_session"));
    assert!(!wrong.body.contains("wrong\""), "the password does not come back");
    served.stop().await;
}

#[tokio::test]
async fn the_sixth_try_waits_even_with_the_right_password() {
    let served = Served::start().await;
    served.add_staff("cashier", Role::Operator).await;
    let mut browser = served.stranger();
    for _ in 0..5 {
        assert_eq!(sign_in(&mut browser, "cashier", "wrong", "/").await.status, 422);
    }
    let throttled = sign_in(&mut browser, "cashier", PASSWORD, "/").await;
    assert_eq!(throttled.status, 429);
    assert!(throttled.header("retry-after").parse::<u64>().unwrap() > 60);
    served.controller.clock.advance(std::time::Duration::from_secs(15 * 60));
    assert_eq!(sign_in(&mut browser, "cashier", PASSWORD, "/").await.status, 303);
    served.stop().await;
}

#[tokio::test]
async fn a_sign_in_form_of_another_site_is_refused() {
    let served = Served::start().await;
    served.add_staff("cashier", Role::Operator).await;
    let mut browser = served.stranger();
    let fields = [("login", "cashier"), ("password", PASSWORD), ("form_token", "")];
    assert_eq!(browser.post_bare("/sign-in", &fields).await.status, 403);
    browser.get("/sign-in").await;
    let fields = [("login", "cashier"), ("password", PASSWORD), ("form_token", "guess")];
    assert_eq!(browser.post_bare("/sign-in", &fields).await.status, 403);
    assert!(!browser.cookies.contains_key("tawi_session"));
    served.stop().await;
}

#[tokio::test]
async fn a_sign_in_leads_to_our_own_pages_only() {
    let served = Served::start().await;
    served.add_staff("cashier", Role::Operator).await;
    for elsewhere in ["//evil.example/", "https://evil.example/", "/\\evil.example"] {
        let mut browser = served.stranger();
        let welcome = sign_in(&mut browser, "cashier", PASSWORD, elsewhere).await;
        assert_eq!((welcome.status, welcome.location()), (303, "/"), "{elsewhere}");
    }
    served.stop().await;
}

#[tokio::test]
async fn a_session_ends_with_its_hours_and_with_its_member() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Viewer).await;
    served.controller.clock.advance(SESSION);
    assert_eq!(browser.get("/live").await.status, 303);
    crate::web::housekeeping::tidy(&served.controller).await.unwrap();

    let mut browser = served.browser(Role::Viewer).await;
    let mut write = served.controller.database.write().await.unwrap();
    sqlx::query("UPDATE staff SET disabled_at = 1").execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(browser.get("/live").await.status, 303);
    served.stop().await;
}

#[tokio::test]
async fn a_controller_without_staff_says_how_to_add_the_first() {
    let served = Served::start().await;
    let page = served.stranger().get("/sign-in").await;
    assert!(page.body.contains("tawi-controller staff add"), "{}", page.body);
    served.stop().await;
}
