//! Requests of which M-Pesa says that they are paid, and whose receipt comes to them by a person or not at all.

use std::time::Duration;

use daraja_sim::{CallbackFaults, Phone};
use tawi_shared::Clock;

use super::disputed::for_review;
use super::pulling::{only_payment, suspense};
use super::shop::Shop;
use super::short_codes::{TILL, prompt, two};
use crate::audit::Actor;
use crate::customers::phone::Msisdn;
use crate::mpesa::c2b::{ResponseType, register};
use crate::mpesa::intent::Intent;
use crate::mpesa::query;
use crate::payments::suspense::claim::{Claim, Claimed, claim};
use crate::payments::suspense::{Assignment, assign};
use crate::payments::testing::PHONE;
use crate::shutdown::Shutdown;

/// A prompt of a till that is paid: its callback is lost, the query says paid, and the confirmation hides who paid.
async fn paid_at_a_till() -> (Shop, Intent) {
    let (shop, codes) = two(("600100", TILL, "sites = [\"nyeri-01\"]")).await;
    shop.controller.clock.set(Clock::system().now());
    let daraja = codes.of("600100").unwrap();
    register(&shop.controller, daraja, ResponseType::Completed).await.unwrap();
    let callback = CallbackFaults { lost: true, ..CallbackFaults::default() };
    shop.phone(Phone { callback, ..Phone::default() });
    let intent = prompt(&shop, &codes).await;
    shop.settle().await;
    // While M-Pesa is asked it seems to be of another hour: else a rule would give it to the only request that it can be of.
    shop.execute("UPDATE payments SET received_at = received_at - 3600000, moved_at = moved_at - 3600000")
        .await;
    shop.controller.clock.advance(Duration::from_secs(20));
    query::ask_about_due(&shop.controller, &codes, &Shutdown::default().stop()).await.unwrap();
    assert_eq!(shop.intent(&intent).await.state.as_str(), "paid_unreceipted");
    assert_eq!(suspense(&shop).await, 150_000, "its payer is hidden, and a till has no account");
    shop.execute("UPDATE payments SET received_at = received_at + 3600000, moved_at = moved_at + 3600000")
        .await;
    (shop, intent)
}

#[tokio::test]
async fn a_person_who_gives_a_payment_to_its_customer_ends_the_request_that_waits_for_it() {
    for is_claimed in [false, true] {
        let (shop, intent) = paid_at_a_till().await;
        // Nothing but a statement told of it, days later, and it takes somebody a while to get to it.
        shop.execute("UPDATE payments SET received_at = received_at + 100000000").await;
        shop.controller.clock.advance(Duration::from_secs(3 * 86_400));
        let payment = only_payment(&shop).await;
        let (customer, line) = (shop.world.customer.id.clone(), shop.world.line.clone());
        let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
        let mut write = shop.controller.database.write().await.unwrap();
        if is_claimed {
            let (receipt, phone) = (payment.receipt_number.parse().unwrap(), Msisdn::parse(PHONE).unwrap());
            let wanted = Claim { receipt, phone, customer, line };
            let claimed = claim(&mut write, &wanted, ids, now).await.unwrap();
            assert!(matches!(claimed, Claimed::Given(_)), "{claimed:?}");
        } else {
            let by = Actor::CommandLine("clerk".to_owned());
            let wanted = Assignment { payment: payment.id.clone(), customer, subscription: Some(line) };
            let given = assign(&mut write, &wanted, &by, ids, now).await.unwrap().unwrap();
            assert!(given.has_bought);
        }
        write.commit().await.unwrap();
        let paid = shop.intent(&intent).await;
        assert_eq!(paid.receipt(), Some(payment.receipt_number.as_str()), "{is_claimed}: {:?}", paid.state);
        assert_eq!(only_payment(&shop).await.intent, Some(intent.id), "{is_claimed}");
        assert_eq!(for_review(&shop).await, [], "{is_claimed}");
        assert_eq!(suspense(&shop).await, 0);
        let mut read = shop.controller.database.read().await.unwrap();
        let wallet = crate::ledger::wallet_of(&mut read, &shop.world.customer.id).await.unwrap();
        assert_eq!(wallet, crate::money::Money::ZERO, "it bought one period, once");
    }
}

#[tokio::test]
async fn a_payment_of_another_time_or_amount_that_a_person_gives_ends_no_request() {
    for change in [
        "UPDATE payments SET received_at = received_at + 3600000, moved_at = moved_at + 3600000",
        "UPDATE payments SET short_code = '174379'",
        "UPDATE payment_intents SET amount_cents = amount_cents + 100",
    ] {
        let (shop, intent) = paid_at_a_till().await;
        shop.execute(change).await;
        let payment = only_payment(&shop).await;
        let by = Actor::CommandLine("clerk".to_owned());
        let customer = shop.world.customer.id.clone();
        let wanted = Assignment { payment: payment.id, customer, subscription: None };
        let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
        let mut write = shop.controller.database.write().await.unwrap();
        assign(&mut write, &wanted, &by, ids, now).await.unwrap().unwrap();
        write.commit().await.unwrap();
        assert_eq!(shop.intent(&intent).await.state.as_str(), "paid_unreceipted", "{change}");
    }
}
