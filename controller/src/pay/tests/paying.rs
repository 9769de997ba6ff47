//! Who pays, and what the page says until the line is on.

use daraja_sim::{Behaviour, FaultsChange};
use sqlx::Row as _;

use super::*;
use crate::subscriptions;

async fn audited(served: &Served) -> Vec<(String, String)> {
    let mut read = served.controller.database.read().await.unwrap();
    let rows = sqlx::query("SELECT actor, action FROM audit_log ORDER BY at, id")
        .fetch_all(&mut *read)
        .await
        .unwrap();
    rows.iter().map(|row| (row.get("actor"), row.get("action"))).collect()
}

async fn paid_until(served: &Served) -> Option<tawi_shared::UnixMillis> {
    let mut read = served.controller.database.read().await.unwrap();
    subscriptions::get(&mut read, &served.world.line).await.unwrap().unwrap().paid_until
}

#[tokio::test]
async fn somebody_pays_from_any_phone_and_follows_it_until_the_line_is_on() {
    let served = served().await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    shows(
        &browser.get(&page).await,
        &["Not paid for yet", "KES 1,500.00", "1 day", "M-Pesa phone that pays"],
    );
    let follow = follow(&mut browser, &page, OTHER_PHONE).await;
    let paid = arrives(&served, &mut browser, &follow, "your site is offline").await;
    shows(&paid, &["KES 1,500.00 were received, receipt", "do not pay again", "paid until 22/09/2026"]);
    assert!(paid_until(&served).await.is_some());
    let audited = audited(&served).await;
    assert_eq!(audited, [("customer:pay page".to_owned(), "payment.requested".to_owned())]);

    write(&served, "UPDATE sites SET is_online = 1").await;
    shows(&browser.get(&follow).await, &["the line is being opened", "http-equiv=\"refresh\""]);
    write(&served, "UPDATE payment_traces SET failure = 'the profile is missing'").await;
    let fails = browser.get(&follow).await;
    shows(&fails, &["could not be opened", "do not pay again"]);
    assert!(!fails.body.contains("profile"), "what a router says is for staff");
    write(&served, "UPDATE payment_traces SET failure = '', verified_at = callback_received_at + 90").await;
    shows(&browser.get(&follow).await, &["Paid, the line is open", "off and on"]);
    write(&served, "UPDATE payment_traces SET online_at = callback_received_at + 900").await;
    let connected = browser.get(&follow).await;
    shows(&connected, &["Paid and connected"]);
    assert!(!connected.body.contains("http-equiv"), "it is over");
    shows(&browser.get(&page).await, &["Paid until 22/09/2026", "24 hours left"]);
    served.stop().await;
}

#[tokio::test]
async fn a_phone_that_does_not_pay_is_told_as_it_is_and_may_try_again() {
    let served = served().await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    let cases = [
        (Behaviour::Refuse, "The request was cancelled on the phone.", false),
        (Behaviour::Ignore, "The phone did not answer", true),
        (Behaviour::Insufficient, "too little money in M-Pesa", false),
        (Behaviour::WrongPin, "The M-Pesa PIN was wrong.", false),
    ];
    for (number, (behaviour, said, warns)) in (0..).zip(cases) {
        let phone = format!("073300022{number}");
        phone_that(&served, &phone, behaviour, 0);
        let follow = follow(&mut browser, &page, &phone).await;
        let told = arrives(&served, &mut browser, &follow, said).await;
        shows(&told, &["Not paid", "Back to the payment"]);
        assert_eq!(told.body.contains("do not pay again"), warns, "{}", told.body);
    }
    assert_eq!((prompts(&served), paid_until(&served).await), (4, None));
    served.stop().await;
}

#[tokio::test]
async fn a_prompt_on_a_phone_locks_the_button_for_two_minutes_and_shows_no_other_way_to_pay() {
    let served = served().await;
    hear_of_paybill(&served).await;
    phone_that(&served, OTHER_PHONE, Behaviour::Ignore, NEVER);
    let (mut browser, page) = (served.stranger(), page_of(&served));
    shows(&browser.get(&page).await, &["Pay by Paybill instead", "Business number: 174379"]);
    let follow = follow(&mut browser, &page, OTHER_PHONE).await;
    let asked = browser.get(&follow).await;
    shows(
        &asked,
        &["Look at the phone", "2547•••••222", "Do not pay twice", "http-equiv=\"refresh\" content=\"3\""],
    );
    assert!(!asked.body.contains("Paybill") && !asked.body.contains("Back to"), "{}", asked.body);
    served.controller.clock.advance(Duration::from_secs(30));
    let locked = browser.get(&page).await;
    shows(&locked, &["do not pay twice", "in 90 seconds", "http-equiv=\"refresh\" content=\"91\""]);
    assert!(!locked.body.contains("<form") && !locked.body.contains("Paybill"), "{}", locked.body);
    served.controller.clock.advance(Duration::from_secs(90));
    let free = browser.get(&page).await;
    shows(&free, &["<form", "Paybill"]);
    served.stop().await;
}

#[tokio::test]
async fn an_answer_that_was_lost_is_not_known_and_nobody_is_told_to_pay_again() {
    let served = served().await;
    hear_of_paybill(&served).await;
    phone_that(&served, OTHER_PHONE, Behaviour::Ignore, NEVER);
    let lost = FaultsChange { lose_reply_next: Some(1), ..FaultsChange::default() };
    served.simulator.as_ref().unwrap().handle().set_faults(&lost).unwrap();
    let (mut browser, page) = (served.stranger(), page_of(&served));
    let follow = follow(&mut browser, &page, OTHER_PHONE).await;
    let told = browser.get(&follow).await;
    shows(&told, &["It is not known yet: do not pay again", "may be on 2547•••••222"]);
    assert!(!told.body.contains("Back to") && !told.body.contains("Paybill"), "{}", told.body);
    assert!(!browser.get(&page).await.body.contains("<form"));
    served.stop().await;
}

#[tokio::test]
async fn every_state_of_a_request_is_told_on_the_page_that_follows_it() {
    let served = served().await;
    phone_that(&served, OTHER_PHONE, Behaviour::Ignore, NEVER);
    let (mut browser, page) = (served.stranger(), page_of(&served));
    let follow = follow(&mut browser, &page, OTHER_PHONE).await;
    let mut check = async |state: &str, said: &str| {
        write(&served, &format!("UPDATE payment_intents SET state = '{state}', result_code = '31337'")).await;
        shows(&browser.get(&follow).await, &[said]);
    };
    check("created", "Sending the request").await;
    check("submitting", "Sending the request").await;
    check("prompted", "Look at the phone").await;
    check("submit_unknown", "It is not known yet: do not pay again").await;
    check("paid_unreceipted", "the receipt is on its way: do not pay again").await;
    check("review", "It is not clear: do not pay again").await;
    check("expired", "do not pay again: it is credited when it is reported").await;
    check("declined", "Not paid").await;
    served.stop().await;
}

#[tokio::test]
async fn while_m_pesa_is_away_the_paybill_comes_first_and_only_where_it_is_heard_of() {
    let mut served = served().await;
    served.simulator.take().unwrap().stop().await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    let follow = follow(&mut browser, &page, OTHER_PHONE).await;
    let away = browser.get(&follow).await;
    shows(&away, &["M-Pesa takes no requests just now, and nothing is on the phone."]);
    assert!(!away.body.contains("Paybill"), "money that nobody hears of is money lost: {}", away.body);
    hear_of_paybill(&served).await;
    let account = served.world.customer.account_number.to_string();
    let (business, number) = ("Business number: 174379", format!("Account number: {account}"));
    shows(
        &browser.get(&follow).await,
        &["<details class=\"steps\" open>", business, &number, "Amount: KES 1,500.00"],
    );
    served.stop().await;
}

#[tokio::test]
async fn a_gateway_that_is_busy_is_told_as_such() {
    let served = served().await;
    let busy = FaultsChange { busy_next: Some(3), ..FaultsChange::default() };
    served.simulator.as_ref().unwrap().handle().set_faults(&busy).unwrap();
    let (mut browser, page) = (served.stranger(), page_of(&served));
    let follow = follow(&mut browser, &page, OTHER_PHONE).await;
    arrives(&served, &mut browser, &follow, "M-Pesa takes no requests just now").await;
    assert_eq!(prompts(&served), 0);
    served.stop().await;
}

#[tokio::test]
async fn without_m_pesa_the_page_says_so() {
    let served = Served::start().await;
    let page = served.stranger().get(&page_of(&served)).await;
    shows(&page, &["Requests to a phone cannot be sent here"]);
    assert!(page.status == 200 && !page.body.contains("<form"), "{}", page.body);
    served.stop().await;
}

#[tokio::test]
async fn a_wallet_that_covers_the_price_connects_at_once_and_asks_no_phone() {
    let served = served().await;
    served.fill_wallet().await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    let offered = browser.get(&page).await;
    shows(&offered, &["no phone is asked", "Connect now"]);
    assert!(!offered.body.contains("name=\"phone\""), "{}", offered.body);
    let follow = follow(&mut browser, &page, "").await;
    shows(&browser.get(&follow).await, &["your site is offline", "Paid from the money in the account"]);
    write(&served, "UPDATE sites SET is_online = 1").await;
    shows(&browser.get(&follow).await, &["paid until 22/09/2026", "off and on"]);
    assert_eq!(prompts(&served), 0);
    let audited = audited(&served).await;
    assert_eq!(audited, [("customer:pay page".to_owned(), "period.bought".to_owned())]);
    served.stop().await;
}

/// Anybody can open the page, and the money is the customer's.
#[tokio::test]
async fn nobody_spends_a_wallet_on_a_line_that_is_paid_for() {
    let served = served().await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    let form = token(&browser.get(&page).await);
    served.fill_wallet().await;
    served.fill_wallet().await;
    let first = follow(&mut browser, &page, "").await;
    assert!(first.starts_with(&page));
    let until = paid_until(&served).await;
    wait_two_minutes(&served);
    let covered = browser.get(&page).await;
    shows(&covered, &["nothing is to be paid now"]);
    assert!(!covered.body.contains("<form"), "{}", covered.body);
    let sent = browser.post_bare(&page, &[("form_token", &form), ("phone", OTHER_PHONE)]).await;
    assert_eq!((sent.status, paid_until(&served).await), (409, until));
    served.stop().await;
}

#[tokio::test]
async fn what_is_in_the_account_is_taken_off() {
    let served = served().await;
    served.fill_wallet().await;
    write(&served, "UPDATE plans SET price_cents = 200000").await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    shows(&browser.get(&page).await, &["KES 2,000.00", "<strong>KES 500.00</strong>", "is taken off"]);
    let follow = follow(&mut browser, &page, OTHER_PHONE).await;
    arrives(&served, &mut browser, &follow, "KES 500.00 were received").await;
    served.stop().await;
}

#[tokio::test]
async fn a_line_on_hold_and_one_at_a_revoked_site_are_not_paid_for() {
    let served = served().await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    let form = token(&browser.get(&page).await);
    for (sql, said) in [
        ("UPDATE subscriptions SET status = 'suspended'", "This line is on hold"),
        (
            "UPDATE subscriptions SET status = 'draft'; UPDATE sites SET revoked_at = 1",
            "cannot be paid for here",
        ),
    ] {
        write(&served, sql).await;
        let held = browser.get(&page).await;
        shows(&held, &[said]);
        assert!(!held.body.contains("<form"), "{}", held.body);
        let sent = browser.post_bare(&page, &[("form_token", &form), ("phone", OTHER_PHONE)]).await;
        assert!(sent.status == 409 && sent.body.contains(said), "{}", sent.body);
    }
    assert_eq!(prompts(&served), 0);
    served.stop().await;
}
