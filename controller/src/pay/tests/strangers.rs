//! What somebody can and cannot do who knows an account number, or guesses one.

use daraja_sim::Behaviour;
use reqwest::Client;

use super::*;
use crate::customers::account_number::AccountNumber;
use crate::web::testing::answer;

/// A form as a browser at this address sends it, with what else it says.
async fn send_from(served: &Served, from: &str, path: &str, form: &str, more: &[(&str, &str)]) -> Answer {
    let mut request = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut request =
        std::mem::take(&mut request).post(format!("{}{path}", served.base)).header("x-forwarded-for", from);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    answer(request.form(&[("form_token", form), ("phone", OTHER_PHONE)])).await
}

async fn page_from(served: &Served, from: &str, path: &str) -> Answer {
    answer(Client::new().get(format!("{}{path}", served.base)).header("x-forwarded-for", from)).await
}

#[tokio::test]
async fn a_form_that_is_sent_twice_at_once_asks_once_and_leads_both_to_the_same_page() {
    let served = served().await;
    phone_that(&served, OTHER_PHONE, Behaviour::Ignore, NEVER);
    let page = page_of(&served);
    let (mut one, mut other) = (served.stranger(), served.stranger());
    let form = token(&one.get(&page).await);
    let fields = [("form_token", form.as_str()), ("phone", OTHER_PHONE)];
    let (first, second) = tokio::join!(one.post_bare(&page, &fields), other.post_bare(&page, &fields));
    assert_eq!((first.status, second.status), (303, 303));
    assert_eq!(first.location(), second.location());
    assert!(first.location().starts_with(&format!("{page}/")), "{}", first.location());
    assert_eq!(prompts(&served), 1);
    served.stop().await;
}

#[tokio::test]
async fn two_people_who_pay_for_one_line_at_once_make_one_prompt_and_follow_only_their_own() {
    let served = served().await;
    phone_that(&served, OTHER_PHONE, Behaviour::Ignore, NEVER);
    phone_that(&served, "0733000333", Behaviour::Ignore, NEVER);
    let page = page_of(&served);
    let (mut one, mut other) = (served.stranger(), served.stranger());
    // Both have the form before either sends it.
    let (of_one, of_other) = (token(&one.get(&page).await), token(&other.get(&page).await));
    let fields = |token, phone| [("form_token", token), ("phone", phone)];
    let (first, second) = (fields(of_one.as_str(), OTHER_PHONE), fields(of_other.as_str(), "0733000333"));
    let (first, second) = tokio::join!(one.post_bare(&page, &first), other.post_bare(&page, &second));
    let mut followed =
        [&first, &second].into_iter().filter(|answer| answer.location().starts_with(&format!("{page}/")));
    assert!(
        followed.next().is_some() && followed.next().is_none(),
        "{} {}",
        first.location(),
        second.location()
    );
    assert_eq!(prompts(&served), 1);
    shows(&other.get(&page).await, &["A request for this line is open"]);
    served.stop().await;
}

#[tokio::test]
async fn a_phone_that_is_being_asked_for_another_line_is_left_alone() {
    let served = served().await;
    phone_that(&served, OTHER_PHONE, Behaviour::Ignore, NEVER);
    add_line(&served, "line-2").await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    follow(&mut browser, &format!("{page}?line=1"), OTHER_PHONE).await;
    let refused = send(&mut browser, &format!("{page}?line=2"), OTHER_PHONE).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    shows(&refused, &["that phone has another request open", "value=\"0733000222\""]);
    assert_eq!(prompts(&served), 1);
    served.stop().await;
}

#[tokio::test]
async fn the_page_of_an_account_tells_nothing_of_its_customer_but_first_letters() {
    let served = served().await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    let follow = follow(&mut browser, &page, OTHER_PHONE).await;
    arrives(&served, &mut browser, &follow, "were received").await;
    for path in [&page, &follow, &page.replace("/pay/", "/pay/0")] {
        let shown = browser.get(path).await;
        let national = OWN_PHONE.strip_prefix("254").unwrap();
        for secret in [
            "Corner",
            "Shop",
            national,
            "799 888",
            "799•",
            "888777",
            "line-1",
            "Nyeri",
            "nyeri",
            "core",
            "733000222",
        ] {
            assert!(!shown.body.contains(secret), "{secret} is in {}", shown.body);
        }
        assert!(!shown.body.contains(served.world.line.as_str()), "{}", shown.body);
    }
    shows(&browser.get(&page).await, &["C••• S•••"]);
    let mut read = served.controller.database.read().await.unwrap();
    let row =
        sqlx::query("SELECT id, callback_token FROM payment_intents").fetch_one(&mut *read).await.unwrap();
    let ids: [String; 2] = [sqlx::Row::get(&row, "id"), sqlx::Row::get(&row, "callback_token")];
    assert!(!ids.iter().any(|id| follow.contains(id.as_str())), "{follow}");
    drop(read);
    served.stop().await;
}

#[tokio::test]
async fn whoever_has_no_token_follows_nothing() {
    let served = served().await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    let follow = follow(&mut browser, &page, OTHER_PHONE).await;
    let (path, _) = follow.split_once('?').unwrap();
    let (_, token) = path.rsplit_once('/').unwrap();
    let other = AccountNumber::from_serial(1_000).unwrap();
    let sql = format!(
        "INSERT INTO customers (id, account_number, name, phone, created_at) \
         SELECT 'c2', '{other}', name, phone, 1 FROM customers"
    );
    write(&served, &sql).await;
    assert_eq!(browser.get(&format!("/pay/{other}")).await.status, 200);
    for path in [format!("{page}/{}", "0".repeat(32)), format!("{page}/x"), format!("/pay/{other}/{token}")] {
        let answer = browser.get(&path).await;
        // A form's token is made by chance, and any three digits may stand in it.
        let (before, token) = answer.body.split_once("name=\"form_token\"").unwrap_or((&answer.body, ""));
        let shown = format!("{before}{}", token.split_once('>').map_or("", |(_, after)| after));
        assert!(!shown.contains("received") && !shown.contains("733"), "{path}: {shown}");
    }
    assert_eq!(browser.get(&format!("{page}/{}", "0".repeat(32))).await.status, 404);
    served.stop().await;
}

#[tokio::test]
async fn a_form_that_is_not_ours_from_there_and_fresh_sends_nothing_and_is_shown_anew() {
    let served = served().await;
    let page = page_of(&served);
    let form = token(&page_from(&served, "41.90.1.1", &page).await);
    let check = async |from: &str, form: &str, more: &[(&str, &str)]| {
        let answer = send_from(&served, from, &page, form, more).await;
        assert_eq!(answer.status, 403, "{}", answer.body);
        shows(&answer, &["Nothing was sent", "name=\"form_token\""]);
        assert_eq!(prompts(&served), 0);
        token(&answer)
    };
    check("41.90.1.1", "", &[]).await;
    check("41.90.1.1", &form.replace('.', "0"), &[]).await;
    check("41.90.1.2", &form, &[]).await;
    check("41.90.1.1", &form, &[("sec-fetch-site", "cross-site")]).await;
    served.controller.clock.advance(Duration::from_secs(3_600));
    let fresh = check("41.90.1.1", &form, &[]).await;
    let sent = send_from(&served, "41.90.1.1", &page, &fresh, &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(sent.status, 303, "{}", sent.body);
    let large = Client::new().post(format!("{}{page}", served.base)).body("x".repeat(5_000));
    let large = answer(large.header("content-type", "application/x-www-form-urlencoded")).await;
    assert_eq!(large.status, 403, "nothing of it is read");
    served.stop().await;
}

#[tokio::test]
async fn a_phone_rings_so_often_and_the_page_says_when_again() {
    let served = served().await;
    phone_that(&served, OTHER_PHONE, Behaviour::Refuse, 0);
    let (mut browser, page) = (served.stranger(), page_of(&served));
    for _ in 0..4 {
        let follow = follow(&mut browser, &page, OTHER_PHONE).await;
        arrives(&served, &mut browser, &follow, "was cancelled").await;
        wait_two_minutes(&served);
    }
    let refused = send(&mut browser, &page, OTHER_PHONE).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "416"), "{}", refused.body);
    shows(&refused, &["Too many requests", "Nothing was sent. Try again in 7 minutes."]);
    assert_eq!(prompts(&served), 4);
    let other = follow(&mut browser, &page, "0733000444").await;
    arrives(&served, &mut browser, &other, "were received").await;
    served.controller.clock.advance(Duration::from_secs(416));
    let again = send(&mut browser, &page, OTHER_PHONE).await;
    assert_eq!(again.status, 303, "{}", again.body);
    served.stop().await;
}

#[tokio::test]
async fn account_numbers_are_guessed_only_so_often() {
    let served = served().await;
    let wrong = |serial: u32| format!("/pay/{}", AccountNumber::from_serial(1_000 + serial).unwrap());
    for serial in 0..60 {
        let missed = page_from(&served, "41.90.1.1", &wrong(serial)).await;
        assert_eq!(missed.status, 404);
    }
    let stopped = page_from(&served, "41.90.1.1", &wrong(60)).await;
    assert_eq!((stopped.status, stopped.header("retry-after")), (429, "900"));
    assert_eq!(
        page_from(&served, "41.90.1.1", &page_of(&served)).await.status,
        429,
        "also for those that there are"
    );
    assert_eq!(page_from(&served, "41.90.1.2", &page_of(&served)).await.status, 200, "and nobody else");
    served.controller.clock.advance(Duration::from_secs(900));
    assert_eq!(page_from(&served, "41.90.1.1", &page_of(&served)).await.status, 200);
    served.stop().await;
}
