//! What goes back to a phone goes out of a short code of its own where the settings name one.

use daraja_sim::{DEMO_OPERATOR_PASSWORD, PaybillPayment, ShortCode, Simulator};

use super::operator::set_up;
use super::pulling::only_payment;
use super::shop::Shop;
use crate::audit::Actor;
use crate::ledger::{self, Account};
use crate::money::Money;
use crate::payments::counter::{Clerk, Limits};
use crate::payments::refunds::{self, Refund, State, Wanted, Way, send::send_due};
use crate::payments::testing::PHONE;
use crate::staff::{Login, Role};

const KEYS: &str = "payout_short_code = \"600300\"\npayout_initiator_name = \"demo-operator\"\n\
                    payout_initiator_password_file = \"payout-password\"\n";

/// A shop that collects with an operator whose password is wrong, and pays phones with one whose password is right.
async fn open() -> Shop {
    let mut shop = Shop::open().await;
    let codes = ["174379", "600300"].map(|code| ShortCode::parse(code).unwrap()).to_vec();
    let settings = daraja_sim::Settings { short_codes: codes, ..daraja_sim::Settings::default() };
    shop.simulator = Simulator::start(settings).await.unwrap();
    shop.directory.write_secret("payout-password", DEMO_OPERATOR_PASSWORD);
    set_up(&mut shop, "wrong", KEYS);
    shop
}

async fn ask(shop: &Shop, way: Way) -> Refund {
    let wanted = Wanted {
        payment: only_payment(shop).await.id,
        way,
        amount: None,
        with_used: true,
        reason: "they asked".to_owned(),
        occasion: None,
    };
    let actor = Actor::Staff(Login::parse("owner").unwrap());
    let asker = Clerk { actor: &actor, role: Role::Owner, limits: Limits::default() };
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let mut write = shop.controller.database.write().await.unwrap();
    let begun = refunds::ask(&mut write, &wanted, asker, ids, now).await.unwrap().unwrap();
    write.commit().await.unwrap();
    begun.refund
}

async fn stands(shop: &Shop, refund: &Refund) -> Refund {
    let mut read = shop.controller.database.read().await.unwrap();
    refunds::get(&mut read, &refund.id).await.unwrap().unwrap().refund
}

async fn clearing(shop: &Shop, short_code: &str) -> i64 {
    let mut read = shop.controller.database.read().await.unwrap();
    assert_eq!(ledger::trial_balance(&mut read).await.unwrap(), Money::ZERO);
    ledger::balance_of(&mut read, &Account::MpesaClearing(short_code.to_owned())).await.unwrap().cents()
}

#[tokio::test]
async fn a_phone_is_paid_out_of_the_short_code_for_that_by_its_own_operator() {
    let shop = open().await;
    shop.pay(None).await;
    // Somebody put money on the short code that pays.
    let float =
        PaybillPayment { short_code: "600300".to_owned(), amount: 2_000, account: "float".to_owned() };
    shop.handle().pay_by_paybill(PHONE, &float).await.unwrap();
    let refund = ask(&shop, Way::Payout).await;
    send_due(&shop.controller, &shop.codes()).await.unwrap();
    shop.settle().await;
    let done = stands(&shop, &refund).await;
    assert_eq!((done.state(), done.short_code.as_str()), (State::Done, "600300"), "{done:?}");
    let payouts = shop.handle().payouts();
    assert_eq!((payouts.len(), payouts[0].short_code.as_str()), (1, "600300"));
    assert!(payouts[0].receipt.is_some());
    // What the short code that collects holds is as much as before.
    assert_eq!((clearing(&shop, "174379").await, clearing(&shop, "600300").await), (150_000, -150_000));
}

#[tokio::test]
async fn a_reversal_goes_back_out_of_what_collected() {
    let shop = open().await;
    shop.pay(None).await;
    let refund = ask(&shop, Way::Reversal).await;
    send_due(&shop.controller, &shop.codes()).await.unwrap();
    shop.settle().await;
    let stands = stands(&shop, &refund).await;
    assert_eq!(stands.short_code, "174379");
    assert_ne!(stands.state(), State::Done, "its operator's password is wrong");
    assert_eq!(clearing(&shop, "600300").await, 0);
}
