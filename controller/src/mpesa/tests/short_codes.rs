//! Several short codes: each line is asked from its site's, and everything about that money goes through the same one.

use std::net::SocketAddr;
use std::time::Duration;

use daraja_sim::{CallbackFaults, ConfirmationFaults, Phone, Redelivery, ShortCode, Simulator};
use tawi_shared::Clock;

use super::shop::{DEADLINE, Shop};
use crate::customers::phone::Msisdn;
use crate::ids::SiteId;
use crate::money::Money;
use crate::mpesa::settings::{Payee, check_all};
use crate::mpesa::stk::Shillings;
use crate::mpesa::{MpesaSettings, RawMpesa, ShortCodes, c2b, callback_router, query};
use crate::payments::testing::PHONE;
use crate::payments::{self, RequestPayment, Requested};
use crate::shutdown::Shutdown;

pub(super) const TILL: &str = "buy_goods\"\ntill_number = \"600200";

/// A section of the settings for each: the number, the kind of payment, and more lines.
pub(super) fn settings(shop: &Shop, sections: &[(&str, &str, &str)]) -> Result<Vec<MpesaSettings>, String> {
    let section = |(short_code, kind, more): &(&str, &str, &str)| -> RawMpesa {
        let text = format!(
            "base_url = \"{}\"\nshort_code = \"{short_code}\"\ntransaction_type = \"{kind}\"\n\
             consumer_key = \"demo-key\"\nconsumer_secret_file = \"secret\"\npasskey_file = \"passkey\"\n\
             callback_base_url = \"http://{}\"\n{more}\n",
            shop.simulator.base_url(),
            shop.address,
        );
        toml::from_str(&text).unwrap()
    };
    check_all(sections.iter().map(section).collect(), shop.directory.path())
        .map_err(|error| error.to_string())
}

/// A shop whose Safaricom has two short codes, and our settings of both.
pub(super) async fn two(second: (&str, &str, &str)) -> (Shop, ShortCodes) {
    let mut shop = Shop::open().await;
    let codes = ["174379", "600100"].map(|code| ShortCode::parse(code).unwrap()).to_vec();
    let till_number = Some(ShortCode::parse("600200").unwrap());
    shop.simulator = Simulator::start(daraja_sim::Settings {
        short_codes: codes,
        till_number,
        ..daraja_sim::Settings::default()
    })
    .await
    .unwrap();
    let all = settings(&shop, &[("174379", "pay_bill", ""), second]).unwrap();
    let codes = ShortCodes::new(all, &shop.controller).unwrap().unwrap();
    (shop, codes)
}

pub(super) async fn prompt(shop: &Shop, codes: &ShortCodes) -> crate::mpesa::intent::Intent {
    let wanted = RequestPayment {
        subscription: shop.world.line.clone(),
        top_up: None,
        phone: None,
        amount: None,
        leaves_wallet: false,
        requested_by: crate::audit::Actor::Token("test".to_owned()),
    };
    match payments::request(&shop.controller, codes, wanted).await.unwrap() {
        Requested::Prompted(intent) => intent,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_line_is_asked_from_its_sites_short_code_and_followed_up_through_it() {
    let (shop, codes) = two(("600100", "pay_bill", "sites = [\"nyeri-01\"]")).await;
    let callback = CallbackFaults { lost: true, ..CallbackFaults::default() };
    shop.phone(Phone { callback, ..Phone::default() });
    let intent = prompt(&shop, &codes).await;
    assert_eq!(intent.short_code, "600100");
    assert_eq!(shop.handle().prompts(0, 9)[0].short_code.as_str(), "600100");
    assert!(shop.handle().settled(DEADLINE).await);
    // Daraja answers a query only to the short code that asked.
    shop.controller.clock.advance(Duration::from_secs(60));
    query::ask_about_due(&shop.controller, &codes, &Shutdown::default().stop()).await.unwrap();
    assert_eq!(shop.intent(&intent).await.state.as_str(), "paid_unreceipted");
    // A short code that left the settings is asked no more; its callback is heard until the request is given up.
    let (shop, codes) = two(("600100", "pay_bill", "sites = [\"nyeri-01\"]")).await;
    shop.phone(Phone { behaviour: daraja_sim::Behaviour::Ignore, delay_ms: 3_600_000, ..Phone::default() });
    let intent = prompt(&shop, &codes).await;
    let alone = settings(&shop, &[("174379", "pay_bill", "")]).unwrap();
    let alone = ShortCodes::new(alone, &shop.controller).unwrap().unwrap();
    shop.controller.clock.advance(Duration::from_secs(60));
    query::ask_about_due(&shop.controller, &alone, &Shutdown::default().stop()).await.unwrap();
    assert_eq!((shop.intent(&intent).await.state.as_str(), shop.handle().state().queries), ("prompted", 0));
    // A site that no section names is asked from the first.
    let (shop, codes) = two(("600100", "pay_bill", "sites = [\"elsewhere\"]")).await;
    assert_eq!(prompt(&shop, &codes).await.short_code, "174379");
    let other = SiteId::parse("elsewhere").unwrap();
    assert_eq!(codes.of_site(&other).settings().short_code(), "600100");
}

#[tokio::test]
async fn a_till_of_a_site_is_booked_under_its_head_office_and_found_by_both_numbers() {
    let (shop, codes) = two(("600100", TILL, "sites = [\"nyeri-01\"]")).await;
    let intent = prompt(&shop, &codes).await;
    let told = &shop.handle().prompts(0, 9)[0];
    assert_eq!((told.short_code.as_str(), told.party_b.as_str()), ("600100", "600200"));
    assert_eq!(intent.short_code, "600100");
    for number in ["600100", "600200"] {
        assert_eq!(codes.of(number).unwrap().settings().short_code(), "600100");
    }
    assert!(codes.of("600300").is_none());
}

#[tokio::test]
async fn what_the_sandbox_simulates_at_a_till_is_told_to_its_head_office() {
    let (shop, codes) = two(("600100", TILL, "sites = [\"nyeri-01\"]")).await;
    let till = codes.of("600200").unwrap();
    c2b::note_tills(&shop.controller, &codes.settings()).await.unwrap();
    c2b::register(&shop.controller, till, c2b::ResponseType::Completed).await.unwrap();
    let amount = Shillings::exactly(Money::from_cents(150_000)).unwrap();
    let phone = Msisdn::parse(PHONE).unwrap();
    c2b::simulate(till, amount, &phone, "").await.unwrap();
    shop.settle().await;
    let mut read = shop.controller.database.read().await.unwrap();
    let booked = payments::recent_payments(&mut read, 9).await.unwrap();
    drop(read);
    let booked: Vec<_> =
        booked.iter().map(|row| (row.payment.short_code.as_str(), row.payment.amount)).collect();
    assert_eq!(booked, [("600100", Money::from_cents(150_000))]);
    let refused = c2b::simulate(till, amount, &phone, "10000012").await.unwrap_err();
    assert!(refused.to_string().contains("a till without one"), "{refused}");
}

#[tokio::test]
async fn one_head_office_has_several_tills_and_prompts_name_the_first() {
    let (shop, token) = super::c2b::registered().await;
    let tills = "buy_goods\"\ntill_numbers = [\"600200\", \"600201\"]\nmerchant_name = \"Njia";
    let codes = ShortCodes::new(settings(&shop, &[("174379", tills, "")]).unwrap(), &shop.controller)
        .unwrap()
        .unwrap();
    c2b::note_tills(&shop.controller, &codes.settings()).await.unwrap();
    for number in ["174379", "600200", "600201"] {
        assert_eq!(codes.of(number).unwrap().settings().short_code(), "174379");
    }
    assert_eq!(codes.payee(&shop.world.site), Payee::Till("600200"));
    let account = super::c2b::account(&shop);
    for (receipt, number) in [("RAA1", "600200"), ("RAA2", "600201"), ("RAA3", "174379")] {
        let told = super::c2b::confirmation(receipt, "1500.00", number, &account);
        super::c2b::deliver(&shop, &token, told).await;
        assert_eq!(shop.outcomes().await.pop().as_deref(), Some("booked"), "{number}");
    }
    let strange = super::c2b::confirmation("RAA4", "1500.00", "600202", &account);
    super::c2b::deliver(&shop, &token, strange).await;
    assert!(shop.outcomes().await.pop().unwrap().contains("another short code"));
    let books = shop.books().await;
    assert_eq!((books.payments, books.clearing), (3, 450_000), "all under the head office");
    let error = settings(&shop, &[("174379", tills, ""), ("600201", "pay_bill", "")]).unwrap_err();
    assert!(error.contains("600201"), "{error}");
}

#[tokio::test]
async fn a_till_prompt_that_safaricom_says_is_paid_has_the_payment_of_the_phone_behind_the_mask_whichever_comes_first()
 {
    for is_confirmed_first in [true, false] {
        let (shop, codes) = two(("600100", TILL, "sites = [\"nyeri-01\"]")).await;
        shop.controller.clock.set(Clock::system().now());
        let till = codes.of("600200").unwrap();
        c2b::register(&shop.controller, till, c2b::ResponseType::Completed).await.unwrap();
        c2b::note_tills(&shop.controller, &codes.settings()).await.unwrap();
        let callback = CallbackFaults { lost: true, ..CallbackFaults::default() };
        let confirmation = ConfirmationFaults { lost: !is_confirmed_first, ..ConfirmationFaults::default() };
        shop.phone(Phone { callback, confirmation, ..Phone::default() });
        let intent = prompt(&shop, &codes).await;
        shop.settle().await;
        if is_confirmed_first {
            assert_eq!(shop.outcomes().await, ["booked"]);
            assert_eq!(shop.intent(&intent).await.state.as_str(), "prompted", "a mask alone proves nothing");
            assert_eq!(super::pulling::suspense(&shop).await, 150_000);
        }
        shop.controller.clock.advance(Duration::from_secs(60));
        query::ask_about_due(&shop.controller, &codes, &Shutdown::default().stop()).await.unwrap();
        if !is_confirmed_first {
            assert_eq!(shop.intent(&intent).await.state.as_str(), "paid_unreceipted");
            let receipt = shop.handle().payments(0, 9)[0].receipt.to_string();
            let again = Redelivery { copies: 1, together: false };
            shop.handle().redeliver_confirmation(&receipt, again).await.unwrap();
            shop.settle().await;
        }
        let paid = shop.intent(&intent).await;
        let payment = super::pulling::only_payment(&shop).await;
        assert_eq!(payment.phone, None, "the mask");
        assert_eq!(
            (paid.state.as_str(), paid.receipt()),
            ("paid", Some(payment.receipt_number.as_str())),
            "{is_confirmed_first}"
        );
        assert_eq!((payment.intent, super::pulling::suspense(&shop).await), (Some(intent.id), 0));
    }
}

#[tokio::test]
async fn short_codes_of_one_app_share_its_token() {
    let (shop, codes) = two(("600100", "pay_bill", "")).await;
    for daraja in codes.all() {
        daraja.prove_token().await.unwrap();
    }
    assert_eq!(shop.handle().state().tokens_issued, 1);
}

#[tokio::test]
async fn sections_that_do_not_fit_together_are_refused() {
    let shop = Shop::open().await;
    let check = |sections: &[(&str, &str, &str)], words: &str| {
        let error = settings(&shop, sections).unwrap_err();
        assert!(error.contains(words), "{error}");
    };
    check(&[("174379", "pay_bill", ""), ("174379", "pay_bill", "")], "174379");
    check(&[("174379", "pay_bill", ""), ("600200", "pay_bill", ""), ("600100", TILL, "")], "600200");
    let nyeri = "sites = [\"nyeri-01\"]";
    check(&[("174379", "pay_bill", nyeri), ("600100", "pay_bill", nyeri)], "nyeri-01");
    check(&[("174379", "pay_bill", "sites = [\"Nyeri 1\"]")], "no site's id");
    check(
        &[("174379", "pay_bill", "known_sources = []\nrefuse_unknown_sources = true")],
        "nobody is unknown",
    );
    let (any, some) = ("known_sources = []", "refuse_unknown_sources = true");
    check(&[("174379", "pay_bill", any), ("600100", "pay_bill", some)], "nobody is unknown");
    let many: Vec<String> = (0..33).map(|number| (600_000 + number).to_string()).collect();
    let many: Vec<_> = many.iter().map(|code| (code.as_str(), "pay_bill", "")).collect();
    check(&many, "more than 32");
}

#[tokio::test]
async fn a_stranger_is_turned_away_where_the_settings_say_so_and_otherwise_heard() {
    let shop = Shop::open().await;
    let check = async |more: &str, from: &str, expected: u16| {
        let all = settings(&shop, &[("174379", "pay_bill", more)]).unwrap();
        let codes = ShortCodes::new(all, &shop.controller).unwrap().unwrap();
        let intent = shop.prompt(None).await;
        let from: SocketAddr = format!("{from}:443").parse().unwrap();
        let token = intent.callback_token.reveal();
        let request = axum::http::Request::post(format!("/callbacks/stk/{token}"))
            .extension(axum::extract::ConnectInfo(from))
            .body(axum::body::Body::from("{}"))
            .unwrap();
        let routes = callback_router(shop.controller.clone(), &codes);
        let response = tower::ServiceExt::oneshot(routes, request).await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{more} {from}");
        shop.controller.clock.advance(Duration::from_secs(600));
    };
    check("", "41.90.1.1", 200).await;
    check("refuse_unknown_sources = true", "41.90.1.1", 403).await;
    check("refuse_unknown_sources = true", "196.201.214.200", 200).await;
    // Behind a proxy that names nobody, everybody seems to be here.
    check("refuse_unknown_sources = true", "127.0.0.1", 403).await;
    check("refuse_unknown_sources = true", "[::ffff:127.0.0.1]", 403).await;
    check("refuse_unknown_sources = true\nknown_sources = [\"127.0.0.1\"]", "127.0.0.1", 200).await;
    check("", "127.0.0.1", 200).await;
    check("refuse_unknown_sources = true", "[::ffff:196.201.214.200]", 200).await;
    check("refuse_unknown_sources = true", "[::ffff:41.90.1.1]", 403).await;
    check("refuse_unknown_sources = true\nknown_sources = [\"41.90.1.1\"]", "41.90.1.1", 200).await;
    // Whoever was turned away is kept for the doctor, each address once.
    let mut read = shop.controller.database.read().await.unwrap();
    let since = crate::mpesa::store::turned_away_since(&mut read, tawi_shared::UnixMillis(0), 9).await;
    let sources: Vec<String> = since.unwrap().into_iter().map(|(source, _)| source).collect();
    assert_eq!(sources, ["41.90.1.1", "127.0.0.1"]);
}

#[tokio::test]
async fn a_question_before_a_payment_is_answered_also_where_nobody_knows_who_asks() {
    let (shop, token) = super::c2b::registered().await;
    let all = settings(&shop, &[("174379", "pay_bill", "refuse_unknown_sources = true")]).unwrap();
    let codes = ShortCodes::new(all, &shop.controller).unwrap().unwrap();
    let account = super::c2b::account(&shop);
    for (part, from, expected) in [
        ("validation", "127.0.0.1", 200),
        ("validation", "41.90.1.1", 403),
        ("confirmation", "127.0.0.1", 403),
        ("confirmation", "196.201.214.200", 200),
    ] {
        let from: SocketAddr = format!("{from}:443").parse().unwrap();
        let body = super::c2b::confirmation("RAC1", "500.00", "174379", &account);
        let request = axum::http::Request::post(format!("/callbacks/c2b/{}/{part}", token.reveal()))
            .extension(axum::extract::ConnectInfo(from))
            .body(axum::body::Body::from(body))
            .unwrap();
        let routes = callback_router(shop.controller.clone(), &codes);
        let response = tower::ServiceExt::oneshot(routes, request).await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{part} {from}");
    }
}

#[tokio::test]
async fn texts_are_told_at_the_start_where_customers_pay_and_forget_what_the_settings_have_no_more() {
    let mut shop = Shop::open().await;
    let told = async |shop: &Shop, public_url: Option<&str>, is_set_up: bool| {
        let codes = shop.codes();
        let mut write = shop.controller.database.write().await.unwrap();
        let codes = is_set_up.then_some(&codes);
        crate::messages::addresses::take_over(&mut write, public_url, codes).await.unwrap();
        let rows = sqlx::query("SELECT name || ' = ' || value AS told FROM message_addresses ORDER BY name");
        let rows = rows.fetch_all(&mut *write).await.unwrap();
        write.commit().await.unwrap();
        rows.iter().map(|row| sqlx::Row::get::<String, _>(row, "told")).collect::<Vec<_>>()
    };
    shop.with_settings("sites = [\"nyeri-01\"]");
    let expected =
        ["payee = paybill 174379", "payee:nyeri-01 = paybill 174379", "public_url = https://isp.example"];
    assert_eq!(told(&shop, Some("https://isp.example"), true).await, expected);
    assert_eq!(told(&shop, None, false).await, Vec::<String>::new());
}
