//! What the pages say, in which language, and around it.

use super::*;
use crate::subscriptions;
use crate::web::testing::answer;

#[tokio::test]
async fn a_wrong_digit_and_an_account_of_nobody_are_told_alike_and_the_number_comes_back() {
    let served = served().await;
    let mut browser = served.stranger();
    let right = served.world.customer.account_number.to_string();
    let (begin, end) = right.split_at(4);
    // One digit more, around the corner after nine.
    let wrong = right.chars().rev().collect::<String>();
    let (last, rest) = wrong.split_at(1);
    let last = (last.parse::<u32>().unwrap() + 1) % 10;
    let wrong = format!("{}{last}", rest.chars().rev().collect::<String>());
    let asked = browser.get("/pay").await;
    shows(&asked, &["Account number", "<form method=\"get\" action=\"/pay\">"]);
    assert_eq!(asked.status, 200);
    let mut check = async |typed: &str, said: &str| {
        for path in [format!("/pay?account={typed}"), format!("/pay/{typed}")] {
            let mut answer = browser.get(&path).await;
            if answer.status == 303 {
                answer = browser.get(answer.location()).await;
            }
            assert_eq!(answer.status, 404, "{path}");
            shows(&answer, &[said, "look for a", &format!("value=\"{typed}\"")]);
        }
    };
    check(&wrong, "That account number is not right").await;
    check("123", "An account number has eight digits").await;
    check("99999996", "").await;
    let spaced = format!("{begin}%20{end}");
    for path in [format!("/pay?account={spaced}"), format!("/pay/{spaced}"), format!("/pay/00{right}")] {
        let found = browser.get(&path).await;
        assert_eq!(
            (found.status, found.location()),
            (303, format!("/pay/{right}?lang=en").as_str()),
            "{path}"
        );
    }
    served.stop().await;
}

#[tokio::test]
async fn a_phone_that_is_none_comes_back_with_what_to_write() {
    let served = served().await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    let refused = send(&mut browser, &page, "0712 34\"><b>").await;
    assert_eq!(refused.status, 422);
    shows(
        &refused,
        &["Write a Kenyan mobile number like", "aria-invalid=\"true\"", "0712 34&#34;&#62;&#60;b&#62;"],
    );
    assert_eq!(prompts(&served), 0);
    served.stop().await;
}

#[tokio::test]
async fn pages_speak_swahili_to_whoever_asks_for_it_or_whose_browser_does() {
    let served = served().await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    let swahili = browser.get(&format!("{page}?lang=sw")).await;
    shows(
        &swahili,
        &["<html lang=\"sw\">", "Simu ya M-Pesa itakayolipa", "Bado haijalipiwa.", "siku 1", "?lang=en"],
    );
    assert!(!swahili.body.contains("Not paid"), "{}", swahili.body);
    let asked = reqwest::Client::new()
        .get(format!("{}{page}", served.base))
        .header("accept-language", "sw-KE,en;q=0.5");
    shows(&answer(asked).await, &["Simu ya M-Pesa itakayolipa"]);
    let follow = follow(&mut browser, &format!("{page}?lang=sw&line=1"), OTHER_PHONE).await;
    assert!(follow.ends_with("?lang=sw"), "{follow}");
    arrives(&served, &mut browser, &follow, "kituo chako hakipatikani").await;
    let wrong = browser.get("/pay/12?lang=sw").await;
    shows(&wrong, &["tafuta tarakimu"]);
    served.stop().await;
}

#[tokio::test]
async fn of_several_lines_one_is_chosen_and_its_form_pays_for_no_other() {
    let served = served().await;
    hear_of_paybill(&served).await;
    let second = add_line(&served, "line-2").await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    let choose = browser.get(&page).await;
    shows(&choose, &["Which line is it for?", "Line 1: Day", "Line 2: Day", "lang=en&#38;line=2"]);
    for nonsense in ["0", "3", "-1", "x", "99999999999999999999"] {
        shows(&browser.get(&format!("{page}?line={nonsense}")).await, &["Which line is it for?"]);
    }
    let form = token(&browser.get(&format!("{page}?line=1")).await);
    let wrong =
        browser.post_bare(&format!("{page}?line=2"), &[("form_token", &form), ("phone", OTHER_PHONE)]).await;
    assert_eq!((wrong.status, prompts(&served)), (403, 0));
    shows(
        &browser.get(&format!("{page}?line=2")).await,
        &["With several lines the money goes into the account"],
    );
    let follow = follow(&mut browser, &format!("{page}?line=2"), OTHER_PHONE).await;
    arrives(&served, &mut browser, &follow, "were received").await;
    let mut read = served.controller.database.read().await.unwrap();
    let paid = subscriptions::get(&mut read, &second).await.unwrap().unwrap();
    assert!(paid.paid_until.is_some());
    drop(read);
    served.stop().await;
}

#[tokio::test]
async fn pages_are_small_kept_by_no_cache_and_load_nothing_from_elsewhere() {
    let served = served().await;
    hear_of_paybill(&served).await;
    let mut browser = served.stranger();
    for path in ["/pay".to_owned(), page_of(&served), "/pay/12".to_owned()] {
        let shown = browser.get(&path).await;
        assert_eq!(shown.header("cache-control"), "no-store", "{path}");
        assert!(shown.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert_eq!(shown.header("set-cookie"), "", "{path}");
        assert!(shown.body.len() < 4_000, "{path}: {} bytes", shown.body.len());
        for elsewhere in ["http://", "https://", "<script", "style=\""] {
            let body = shown.body.replace("http://www.w3.org/2000/svg", "");
            assert!(!body.contains(elsewhere), "{path}: {body}");
        }
    }
    let style = browser.get("/assets/pay.css").await;
    assert!(style.status == 200 && style.body.len() < 5_000);
    served.stop().await;
}

#[tokio::test]
async fn a_page_that_fails_says_in_the_customers_words_that_nobody_is_to_pay_again() {
    let served = served().await;
    phone_that(&served, "254733000222", Behaviour::Ignore, NEVER);
    let mut browser = served.stranger();
    let path = page_of(&served);
    let followed = follow(&mut browser, &path, OTHER_PHONE).await;
    write(&served, "ALTER TABLE payment_intents RENAME TO payment_intents_away").await;
    for (path, english, swahili) in [
        (followed.as_str(), "do not pay again", "usilipe tena"),
        (followed.as_str(), "may be on the phone", "Huenda ombi liko kwenye simu"),
        (path.as_str(), "If you have paid already, do not pay again", "Kama umeshalipa, usilipe tena"),
    ] {
        for (lang, expected) in [("en", english), ("sw", swahili)] {
            let bare = path.split('?').next().unwrap();
            let page = reqwest::get(format!("{}{bare}?lang={lang}", served.base)).await.unwrap();
            assert_eq!(page.status(), 500);
            let page = page.text().await.unwrap();
            assert!(page.contains(expected) && page.contains("/assets/pay.css"), "{page}");
            assert!(!page.contains("controller"), "{page}");
        }
    }
    write(&served, "ALTER TABLE payment_intents_away RENAME TO payment_intents").await;
    assert_eq!(browser.get(&followed).await.status, 200);
    served.stop().await;
}
