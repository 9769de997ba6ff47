//! Money that goes back, over real sockets: whatever M-Pesa does, it goes once or is where it was.

use std::time::Duration;

use daraja_sim::{DEMO_OPERATOR_PASSWORD, FaultsChange, Product, Redelivery, ResultFaults};

use super::operator::set_up;
use super::shop::{Shop, success};
use crate::audit::Actor;
use crate::closing::proof;
use crate::entitlements::Status;
use crate::ids::{PaymentId, RefundId};
use crate::ledger::{self, Account};
use crate::money::Money;
use crate::mpesa::intake::{self, Round};
use crate::payments::corrections::{self, Closed, Corrected, NotCorrected, Part, Target};
use crate::payments::counter::{Clerk, Limits};
use crate::payments::refunds::{self, Decision, NotRefunded, Refund, State, Wanted, Way, send::send_due};
use crate::payments::{self, ReviewKind};
use crate::staff::{Login, Role};
use crate::subscriptions;

async fn open() -> Shop {
    let mut shop = Shop::open().await;
    set_up(&mut shop, DEMO_OPERATOR_PASSWORD, "");
    shop
}

fn staff(login: &str) -> Actor {
    Actor::Staff(Login::parse(login).unwrap())
}

fn shillings(shillings: i64) -> Money {
    Money::from_shillings(shillings).unwrap()
}

/// Pays so much by prompt, or one price, and gives the payment.
async fn paid(shop: &Shop, amount: Option<i64>) -> PaymentId {
    let intent = shop.pay(amount).await;
    let receipt = crate::mpesa::evidence::ReceiptNumber::parse(intent.receipt().unwrap()).unwrap();
    let mut read = shop.controller.database.read().await.unwrap();
    payments::payment_of_receipt(&mut read, &receipt).await.unwrap().unwrap().payment.id
}

fn faults(shop: &Shop, change: FaultsChange) {
    shop.handle().set_faults(&change).unwrap();
}

fn results(shop: &Shop, results: ResultFaults) {
    faults(shop, FaultsChange { results: Some(results), ..FaultsChange::default() });
}

async fn try_ask(
    shop: &Shop,
    (payment, way, amount): (&PaymentId, Way, Option<i64>),
    (by, role, limits): (&str, Role, Limits),
) -> Result<Refund, NotRefunded> {
    let wanted = Wanted {
        payment: payment.clone(),
        way,
        amount: amount.map(shillings),
        with_used: false,
        reason: "they asked".to_owned(),
        occasion: None,
    };
    let actor = staff(by);
    let asker = Clerk { actor: &actor, role, limits };
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let mut write = shop.controller.database.write().await.unwrap();
    match refunds::ask(&mut write, &wanted, asker, ids, now).await.unwrap() {
        Ok(begun) => {
            write.commit().await.unwrap();
            Ok(begun.refund)
        }
        Err(why) => {
            write.rollback().await.unwrap();
            Err(why)
        }
    }
}

async fn ask(shop: &Shop, payment: &PaymentId, way: Way, amount: Option<i64>) -> Refund {
    let owner = ("owner", Role::Owner, Limits::default());
    try_ask(shop, (payment, way, amount), owner).await.unwrap()
}

async fn decide(shop: &Shop, refund: &Refund, decision: Decision, by: &str) -> Result<Refund, NotRefunded> {
    let actor = staff(by);
    let asker = Clerk { actor: &actor, role: Role::Owner, limits: Limits::default() };
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let mut write = shop.controller.database.write().await.unwrap();
    let decided = refunds::decide(&mut write, (&refund.id, decision.into()), asker, ids, now).await.unwrap();
    write.commit().await.unwrap();
    decided.map(|begun| begun.refund)
}

/// Gives a payment to nobody.
async fn to_nobody(shop: &Shop, payment: &PaymentId) -> Result<Corrected, NotCorrected> {
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let mut write = shop.controller.database.write().await.unwrap();
    let (by, to) = (staff("anna"), Target::Suspense);
    let by = Clerk::owner(&by);
    let moved = corrections::move_payment(&mut write, (payment, &to), by, ids, now).await.unwrap();
    write.commit().await.unwrap();
    moved
}

async fn send(shop: &Shop) -> usize {
    send_due(&shop.controller, &shop.codes()).await.unwrap()
}

/// Sends what is due, and takes in whatever came of it.
async fn go(shop: &Shop) {
    send(shop).await;
    shop.settle().await;
}

async fn stands(shop: &Shop, id: &RefundId) -> Refund {
    let mut read = shop.controller.database.read().await.unwrap();
    refunds::get(&mut read, id).await.unwrap().unwrap().refund
}

async fn state(shop: &Shop, refund: &Refund) -> State {
    stands(shop, &refund.id).await.state()
}

/// Time passes until nothing is due any more of a refund that nobody knows of.
async fn until_a_person_has_to_look(shop: &Shop, refund: &Refund) {
    for _ in 0..8 {
        shop.controller.clock.advance(Duration::from_secs(4 * 3_600));
        go(shop).await;
    }
    let found = stands(shop, &refund.id).await;
    assert!(found.needs_a_person(), "{found:?}");
}

/// What lies at M-Pesa, is held, is in the wallet, and was earned, in shillings.
async fn books(shop: &Shop) -> (i64, i64, i64, i64) {
    let mut read = shop.controller.database.read().await.unwrap();
    let proof = proof::prove(&mut read, shop.controller.clock.now()).await.unwrap();
    assert_eq!(proof.findings, []);
    let mut balance =
        async |account: Account| ledger::balance_of(&mut read, &account).await.unwrap().cents() / 100;
    let clearing = balance(Account::MpesaClearing("174379".to_owned())).await;
    let held = -balance(Account::RefundsHeld).await;
    let wallet = -balance(Account::Wallet(shop.world.customer.id.clone())).await;
    (clearing, held, wallet, -balance(Account::Revenue).await)
}

async fn line(shop: &Shop) -> (Status, Option<i64>) {
    let mut read = shop.controller.database.read().await.unwrap();
    let line = subscriptions::get(&mut read, &shop.world.line).await.unwrap().unwrap();
    (line.status, line.paid_until.map(|until| until.0))
}

async fn closed(shop: &Shop, payment: &PaymentId) -> Option<Closed> {
    let mut read = shop.controller.database.read().await.unwrap();
    payments::payment(&mut read, payment).await.unwrap().unwrap().payment.closed
}

async fn for_review(shop: &Shop) -> Vec<ReviewKind> {
    let mut read = shop.controller.database.read().await.unwrap();
    let items = payments::for_review(&mut read, 20).await.unwrap();
    items.into_iter().map(|item| item.kind).collect()
}

#[tokio::test]
async fn a_whole_payment_is_held_from_the_ask_and_goes_back_with_all_that_it_bought() {
    for way in [Way::Reversal, Way::Payout] {
        let shop = open().await;
        let payment = paid(&shop, None).await;
        let refund = ask(&shop, &payment, way, None).await;
        assert_eq!(books(&shop).await, (1_500, 1_500, 0, 0), "held");
        assert_eq!(line(&shop).await, (Status::Draft, None));
        assert_eq!(closed(&shop, &payment).await, Some(Closed::Refunded));
        go(&shop).await;
        let done = stands(&shop, &refund.id).await;
        assert_eq!((done.state(), done.result_code.as_str()), (State::Done, "0"));
        assert_eq!(books(&shop).await, (0, 0, 0, 0));
        let (payouts, receipt) = (shop.handle().payouts(), done.result_receipt.clone());
        let row = shop.handle().payment(&done.receipt_number).unwrap();
        match way {
            Way::Reversal => assert!(row.is_reversed && payouts.is_empty()),
            Way::Payout => {
                assert!(!row.is_reversed);
                assert_eq!(payouts.len(), 1);
                assert_eq!(payouts[0].receipt.as_ref().unwrap().as_str(), receipt);
                assert_eq!(payouts[0].msisdn.as_str(), crate::payments::testing::PHONE);
            }
        }
        shop.controller.clock.advance(Duration::from_secs(86_400));
        assert_eq!(send(&shop).await, 0, "nothing is due any more");
        let again = try_ask(&shop, (&payment, way, None), ("owner", Role::Owner, Limits::default())).await;
        assert_eq!(again, Err(NotRefunded::Closed(Closed::Refunded)));
    }
}

#[tokio::test]
async fn a_part_is_paid_out_of_what_is_left_in_the_wallet_and_no_more() {
    let shop = open().await;
    let payment = paid(&shop, Some(200)).await;
    let owner = || ("owner", Role::Owner, Limits::default());
    let refused =
        async |way, amount| try_ask(&shop, (&payment, way, Some(amount)), owner()).await.unwrap_err();
    assert_eq!(refused(Way::Reversal, 50).await, NotRefunded::NotTheWhole(shillings(200)));
    assert_eq!(refused(Way::Payout, 9).await, NotRefunded::BadAmount);
    assert_eq!(refused(Way::Payout, 201).await, NotRefunded::Left(shillings(200)));
    ask(&shop, &payment, Way::Payout, Some(50)).await;
    assert_eq!(books(&shop).await, (200, 50, 150, 0));
    assert_eq!(refused(Way::Payout, 151).await, NotRefunded::Left(shillings(150)));
    assert_eq!(refused(Way::Payout, 200).await, NotRefunded::InRefund, "all of it, after a part");
    go(&shop).await;
    ask(&shop, &payment, Way::Payout, Some(150)).await;
    go(&shop).await;
    assert_eq!(books(&shop).await, (0, 0, 0, 0));
    assert_eq!(shop.handle().payouts().len(), 2);
    assert_eq!(refused(Way::Payout, 10).await, NotRefunded::Left(Money::ZERO));
    let moved = to_nobody(&shop, &payment).await;
    assert_eq!(moved.unwrap_err(), NotCorrected::InRefund);
}

#[tokio::test]
async fn a_part_that_is_asked_for_twice_on_one_occasion_is_paid_once() {
    let shop = open().await;
    let payment = paid(&shop, Some(200)).await;
    let wanted = |occasion: &str| Wanted {
        payment: payment.clone(),
        way: Way::Payout,
        amount: Some(shillings(50)),
        with_used: false,
        reason: "they asked".to_owned(),
        occasion: Some(occasion.to_owned()),
    };
    let actor = staff("owner");
    let asker = Clerk { actor: &actor, role: Role::Owner, limits: Limits::default() };
    let try_it = async |occasion: &str| {
        let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
        let mut write = shop.controller.database.write().await.unwrap();
        let asked = refunds::ask(&mut write, &wanted(occasion), asker, ids, now).await.unwrap();
        write.commit().await.unwrap();
        asked.map(|begun| begun.refund.id)
    };
    let first = try_it("a form").await.unwrap();
    assert_eq!(try_it("a form").await, Err(NotRefunded::AlreadyAsked(first.clone())));
    go(&shop).await;
    assert_eq!(try_it("a form").await, Err(NotRefunded::AlreadyAsked(first)), "done, and still the same");
    assert_eq!((shop.handle().payouts().len(), books(&shop).await), (1, (150, 0, 150, 0)));
    try_it("another form").await.unwrap();
    go(&shop).await;
    assert_eq!(shop.handle().payouts().len(), 2);
}

#[tokio::test]
async fn what_is_used_up_does_not_go_back() {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    shop.controller.clock.advance(Duration::from_secs(2 * 86_400));
    let before = books(&shop).await;
    for way in [Way::Reversal, Way::Payout] {
        let asked = try_ask(&shop, (&payment, way, None), ("owner", Role::Owner, Limits::default())).await;
        assert_eq!(asked, Err(NotRefunded::Left(Money::ZERO)));
    }
    assert_eq!(books(&shop).await, before);
}

#[tokio::test]
async fn of_a_running_period_what_is_left_goes_back_and_all_of_it_only_where_somebody_says_so() {
    let owner = || ("owner", Role::Owner, Limits::default());
    for with_used in [false, true] {
        let shop = open().await;
        let payment = paid(&shop, None).await;
        shop.controller.clock.advance(Duration::from_secs(43_200));
        let asked = try_ask(&shop, (&payment, Way::Reversal, None), owner()).await;
        // A few milliseconds beside the half of it.
        let Err(NotRefunded::Left(left)) = asked else { panic!("{asked:?}") };
        assert!((749..=750).contains(&(left.cents() / 100)) && left.cents() % 100 == 0, "{left:?}");
        let whole = (&payment, Way::Payout, Some(1_500));
        assert_eq!(try_ask(&shop, whole, owner()).await, Err(NotRefunded::Left(left)));
        let wanted = Wanted {
            payment: payment.clone(),
            way: if with_used { Way::Reversal } else { Way::Payout },
            amount: None,
            with_used,
            reason: "they asked".to_owned(),
            occasion: None,
        };
        let try_it = async |role: Role| {
            let actor = staff("anna");
            let asker = Clerk { actor: &actor, role, limits: Limits::default() };
            let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
            let limits = Limits { written_off_a_day: shillings(100), ..Limits::default() };
            let asker = Clerk { limits, ..asker };
            let mut write = shop.controller.database.write().await.unwrap();
            let asked = refunds::ask(&mut write, &wanted, asker, ids, now).await.unwrap();
            match asked {
                Ok(begun) => {
                    write.commit().await.unwrap();
                    Ok(begun.refund)
                }
                Err(why) => Err(why),
            }
        };
        let refund = if with_used {
            let over = NotRefunded::OverWriteOff { most: shillings(100), written_off: Money::ZERO };
            assert_eq!(try_it(Role::Operator).await, Err(over));
            try_it(Role::Owner).await.unwrap()
        } else {
            try_it(Role::Operator).await.unwrap()
        };
        assert_eq!(refund.amount, if with_used { shillings(1_500) } else { left });
        assert_eq!((line(&shop).await.0, refund.is_whole), (Status::Expired, true));
        go(&shop).await;
        assert_eq!(state(&shop, &refund).await, State::Done);
        let (clearing, held, wallet, earned) = books(&shop).await;
        assert_eq!((held, wallet), (0, 0));
        assert!((750..=751).contains(&earned), "{earned}");
        assert_eq!(clearing, if with_used { 0 } else { 1_500 - left.cents() / 100 });
    }
}

#[tokio::test]
async fn a_result_that_comes_twice_late_or_before_its_acknowledgement_counts_once() {
    let doubled = ResultFaults { copies: 3, together: true, ..ResultFaults::default() };
    let early = ResultFaults { before_reply: true, ..ResultFaults::default() };
    let text = ResultFaults { as_text: true, ..ResultFaults::default() };
    for fault in [doubled, early, text] {
        for way in [Way::Reversal, Way::Payout] {
            let shop = open().await;
            let payment = paid(&shop, None).await;
            results(&shop, fault.clone());
            let refund = ask(&shop, &payment, way, None).await;
            go(&shop).await;
            assert_eq!(state(&shop, &refund).await, State::Done, "{fault:?}");
            shop.handle().redeliver_money_result(Redelivery::default()).await.unwrap();
            shop.take_in().await;
            assert_eq!(books(&shop).await, (0, 0, 0, 0), "{fault:?}");
            assert_eq!(for_review(&shop).await, []);
        }
    }
}

#[tokio::test]
async fn an_answer_or_a_result_that_is_lost_is_asked_for_and_nothing_is_sent_twice() {
    for way in [Way::Reversal, Way::Payout] {
        for (loses_reply, loses_result) in [(true, false), (false, true), (true, true)] {
            let shop = open().await;
            let payment = paid(&shop, None).await;
            results(&shop, ResultFaults { lost: loses_result, ..ResultFaults::default() });
            faults(
                &shop,
                FaultsChange { lose_reply_next: Some(u32::from(loses_reply)), ..FaultsChange::default() },
            );
            let refund = ask(&shop, &payment, way, None).await;
            go(&shop).await;
            if loses_result {
                assert!(matches!(state(&shop, &refund).await, State::Asked | State::Unknown));
                assert_eq!(books(&shop).await.1, 1_500, "held while nobody knows");
                results(&shop, ResultFaults::default());
                for _ in 0..2 {
                    shop.controller.clock.advance(Duration::from_secs(301));
                    go(&shop).await;
                }
            }
            assert_eq!(state(&shop, &refund).await, State::Done, "{way:?} {loses_reply} {loses_result}");
            assert_eq!(books(&shop).await, (0, 0, 0, 0));
            assert_eq!(shop.handle().payouts().len(), usize::from(way == Way::Payout));
            // The result comes after all.
            shop.handle().redeliver_money_result(Redelivery::default()).await.unwrap();
            shop.take_in().await;
            assert_eq!((books(&shop).await, for_review(&shop).await), ((0, 0, 0, 0), vec![]));
        }
    }
}

#[tokio::test]
async fn what_never_arrived_is_shown_to_a_person_and_is_sent_again_only_by_one() {
    for way in [Way::Reversal, Way::Payout] {
        let shop = open().await;
        let payment = paid(&shop, None).await;
        // A page of HTML in front of Daraja: it may have got through, for all that is known.
        faults(&shop, FaultsChange { html_next: Some(1), ..FaultsChange::default() });
        let refund = ask(&shop, &payment, way, None).await;
        go(&shop).await;
        assert_eq!(state(&shop, &refund).await, State::Unknown);
        assert_eq!(
            decide(&shop, &refund, Decision::Again, "owner").await,
            Err(NotRefunded::NotNow(State::Unknown))
        );
        until_a_person_has_to_look(&shop, &refund).await;
        assert_eq!(for_review(&shop).await, [ReviewKind::Refund(refund.id.clone())]);
        assert_eq!(books(&shop).await, (1_500, 1_500, 0, 0));
        decide(&shop, &refund, Decision::Again, "owner").await.unwrap();
        go(&shop).await;
        assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
        assert_eq!(for_review(&shop).await, []);
    }
}

#[tokio::test]
async fn what_a_person_sends_again_although_it_went_through_goes_once() {
    for way in [Way::Reversal, Way::Payout] {
        let shop = open().await;
        let payment = paid(&shop, None).await;
        results(&shop, ResultFaults { lost: true, ..ResultFaults::default() });
        let refund = ask(&shop, &payment, way, None).await;
        go(&shop).await;
        until_a_person_has_to_look(&shop, &refund).await;
        results(&shop, ResultFaults::default());
        decide(&shop, &refund, Decision::Again, "owner").await.unwrap();
        go(&shop).await;
        shop.controller.clock.advance(Duration::from_secs(31));
        go(&shop).await;
        let done = stands(&shop, &refund.id).await;
        assert_eq!(done.state(), State::Done, "{done:?}");
        assert_eq!(shop.handle().payouts().len(), usize::from(way == Way::Payout));
        assert_eq!(books(&shop).await, (0, 0, 0, 0));
    }
}

#[tokio::test]
async fn what_m_pesa_does_not_do_is_back_where_it_was_and_can_be_asked_for_anew() {
    for (way, code) in
        [(Way::Reversal, "21"), (Way::Payout, "2040"), (Way::Payout, "TP40153"), (Way::Reversal, "2001")]
    {
        let shop = open().await;
        let payment = paid(&shop, None).await;
        results(&shop, ResultFaults { code: Some(code.to_owned()), ..ResultFaults::default() });
        let refund = ask(&shop, &payment, way, None).await;
        go(&shop).await;
        let failed = stands(&shop, &refund.id).await;
        assert_eq!((failed.state(), failed.result_code.as_str()), (State::Failed, code));
        assert_eq!(books(&shop).await, (1_500, 0, 1_500, 0), "in the wallet again");
        assert_eq!(closed(&shop, &payment).await, None);
        results(&shop, ResultFaults::default());
        let refund = ask(&shop, &payment, way, None).await;
        go(&shop).await;
        assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
    }
}

#[tokio::test]
async fn a_code_of_which_nobody_knows_whether_money_went_is_no_failure_and_stays_as_it_came() {
    for (way, code) in [(Way::Reversal, "SFC_IC0003"), (Way::Payout, "17")] {
        let shop = open().await;
        let payment = paid(&shop, None).await;
        results(&shop, ResultFaults { code: Some(code.to_owned()), ..ResultFaults::default() });
        let refund = ask(&shop, &payment, way, None).await;
        go(&shop).await;
        let unknown = stands(&shop, &refund.id).await;
        assert_eq!(unknown.state(), State::Unknown, "{way:?} {code:?}");
        assert_eq!(books(&shop).await, (1_500, 1_500, 0, 0), "held");
        results(&shop, ResultFaults::default());
        if way == Way::Reversal {
            // The receipt is completed still, which says nothing of its reversal, and four such answers change no word of it.
            until_a_person_has_to_look(&shop, &refund).await;
            let asked = stands(&shop, &refund.id).await;
            let said = |refund: &Refund| (refund.result_code.clone(), refund.result_description.clone());
            assert_eq!((asked.result_code.as_str(), said(&asked)), (code, said(&unknown)));
            assert_eq!(for_review(&shop).await, [ReviewKind::Refund(refund.id.clone())]);
        }
    }
}

#[tokio::test]
async fn what_went_after_all_is_not_taken_from_whoever_has_the_money_since() {
    for meanwhile in ["moved", "given back otherwise"] {
        let shop = open().await;
        let payment = paid(&shop, None).await;
        results(&shop, ResultFaults { lost: true, ..ResultFaults::default() });
        let refund = ask(&shop, &payment, Way::Payout, None).await;
        go(&shop).await;
        until_a_person_has_to_look(&shop, &refund).await;
        decide(&shop, &refund, Decision::DidNot, "owner").await.unwrap();
        if meanwhile == "moved" {
            to_nobody(&shop, &payment).await.unwrap();
        } else {
            ask(&shop, &payment, Way::Reversal, None).await;
        }
        let before = books(&shop).await;
        shop.handle().redeliver_money_result(Redelivery::default()).await.unwrap();
        shop.take_in().await;
        assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Failed, before), "{meanwhile}");
        let mut read = shop.controller.database.read().await.unwrap();
        let items = payments::for_review(&mut read, 20).await.unwrap();
        let told = items.iter().find(|item| matches!(item.kind, ReviewKind::Callback(_))).unwrap();
        let names = [refund.receipt_number.as_str(), "KES 1,500", "nothing is booked"];
        assert!(names.into_iter().all(|name| told.reason.contains(name)), "{}", told.reason);
    }
}

#[tokio::test]
async fn money_that_came_to_another_short_code_does_not_go_out_of_this_one() {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    let refund = ask(&shop, &payment, Way::Reversal, None).await;
    shop.execute("UPDATE refunds SET short_code = '600966'").await;
    go(&shop).await;
    let held = stands(&shop, &refund.id).await;
    let words = &held.result_description;
    assert_eq!(held.state(), State::Held);
    assert!(words.contains("600966") && words.contains("174379"), "{words}");
    shop.execute("UPDATE refunds SET short_code = '174379'").await;
    results(&shop, ResultFaults { lost: true, ..ResultFaults::default() });
    shop.controller.clock.advance(Duration::from_secs(61));
    go(&shop).await;
    assert_eq!(state(&shop, &refund).await, State::Asked);
    // What was sent before the change cannot be looked up after it: a person has to.
    shop.execute("UPDATE refunds SET short_code = '600966'").await;
    results(&shop, ResultFaults::default());
    until_a_person_has_to_look(&shop, &refund).await;
}

#[tokio::test]
async fn one_refund_that_cannot_be_sent_keeps_no_other_back() {
    let shop = open().await;
    let first = paid(&shop, None).await;
    let stuck = ask(&shop, &first, Way::Reversal, None).await;
    shop.wait_two_minutes();
    let second = paid(&shop, Some(100)).await;
    let behind = ask(&shop, &second, Way::Reversal, None).await;
    shop.execute(
        "CREATE TRIGGER stuck BEFORE UPDATE ON refunds WHEN OLD.amount_cents = 150000 \
         BEGIN SELECT RAISE(ABORT, 'stuck'); END",
    )
    .await;
    go(&shop).await;
    assert_eq!((state(&shop, &stuck).await, state(&shop, &behind).await), (State::Held, State::Done));
    shop.execute("DROP TRIGGER stuck").await;
    go(&shop).await;
    assert_eq!((state(&shop, &stuck).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
}

#[tokio::test]
async fn whoever_gets_money_back_is_told_once_it_is_there() {
    let shop = open().await;
    shop.execute(
        "INSERT INTO message_policy (singleton, is_on, language, quiet_from, quiet_until, a_day, days_kept, updated_at, \
                                     report_token) VALUES (1, 1, 'en', 0, 0, 9, 90, 0, 'a')",
    )
    .await;
    let payment = paid(&shop, None).await;
    let refund = ask(&shop, &payment, Way::Reversal, None).await;
    let told = async || {
        let mut read = shop.controller.database.read().await.unwrap();
        let sql = "SELECT body FROM messages WHERE occasion = 'refunded'";
        sqlx::query_scalar::<_, String>(sql).fetch_all(&mut *read).await.unwrap()
    };
    assert!(told().await.is_empty(), "held is not given back");
    go(&shop).await;
    shop.handle().redeliver_money_result(Redelivery::default()).await.unwrap();
    shop.take_in().await;
    let told = told().await;
    assert!(told.len() == 1 && told[0].contains(&refund.receipt_number), "{told:?}");
}

#[tokio::test]
async fn an_empty_account_and_a_receipt_that_m_pesa_does_not_know_move_nothing() {
    let shop = open().await;
    let asked = shop.unanswered().await;
    shop.deliver_to(&asked, success(&asked, "RKL51ZDR4F", "1500.00")).await;
    shop.take_in().await;
    let receipt = crate::mpesa::evidence::ReceiptNumber::parse("RKL51ZDR4F").unwrap();
    let mut read = shop.controller.database.read().await.unwrap();
    let payment = payments::payment_of_receipt(&mut read, &receipt).await.unwrap().unwrap().payment.id;
    drop(read);
    for (way, code) in [(Way::Payout, "1"), (Way::Reversal, "R000002")] {
        let refund = ask(&shop, &payment, way, None).await;
        send(&shop).await;
        let handle = shop.handle();
        let found = handle.wait_for(super::shop::DEADLINE, |handle| {
            (handle.state().results_sent > u64::from(way == Way::Reversal)).then_some(())
        });
        found.await.unwrap();
        shop.take_in().await;
        let failed = stands(&shop, &refund.id).await;
        assert_eq!((failed.state(), failed.result_code.as_str()), (State::Failed, code));
        assert_eq!(books(&shop).await, (1_500, 0, 1_500, 0));
    }
}

#[tokio::test]
async fn a_time_out_in_the_queue_is_no_failure() {
    for is_done in [true, false] {
        let shop = open().await;
        let payment = paid(&shop, None).await;
        results(&shop, ResultFaults { queue_time_out: true, undone: !is_done, ..ResultFaults::default() });
        let refund = ask(&shop, &payment, Way::Payout, None).await;
        go(&shop).await;
        assert_eq!((state(&shop, &refund).await, books(&shop).await.1), (State::Unknown, 1_500));
        results(&shop, ResultFaults::default());
        if is_done {
            shop.controller.clock.advance(Duration::from_secs(31));
            go(&shop).await;
            assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
        } else {
            until_a_person_has_to_look(&shop, &refund).await;
            decide(&shop, &refund, Decision::DidNot, "owner").await.unwrap();
            assert_eq!(
                (state(&shop, &refund).await, books(&shop).await),
                (State::Failed, (1_500, 0, 1_500, 0))
            );
        }
    }
}

#[tokio::test]
async fn a_result_that_contradicts_what_was_taken_to_be_known_is_told_to_a_person_and_money_that_went_is_booked()
 {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    results(&shop, ResultFaults { lost: true, ..ResultFaults::default() });
    let refund = ask(&shop, &payment, Way::Payout, None).await;
    go(&shop).await;
    until_a_person_has_to_look(&shop, &refund).await;
    decide(&shop, &refund, Decision::DidNot, "owner").await.unwrap();
    assert_eq!(books(&shop).await, (1_500, 0, 1_500, 0));
    shop.handle().redeliver_money_result(Redelivery::default()).await.unwrap();
    shop.take_in().await;
    assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
    assert!(matches!(for_review(&shop).await[..], [ReviewKind::Callback(_)]));
    // The other way round nothing is booked.
    shop.wait_two_minutes();
    results(&shop, ResultFaults::default());
    let payment = paid(&shop, Some(100)).await;
    let fails = ResultFaults { lost: true, code: Some("2001".to_owned()), ..ResultFaults::default() };
    results(&shop, fails);
    let refund = ask(&shop, &payment, Way::Payout, None).await;
    go(&shop).await;
    until_a_person_has_to_look(&shop, &refund).await;
    decide(&shop, &refund, Decision::WentThrough, "owner").await.unwrap();
    assert_eq!(books(&shop).await, (0, 0, 0, 0));
    shop.handle().redeliver_money_result(Redelivery::default()).await.unwrap();
    shop.take_in().await;
    assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
    assert_eq!(for_review(&shop).await.len(), 2);
}

#[tokio::test]
async fn what_reached_nobody_waits_and_is_sent_once() {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    faults(&shop, FaultsChange { busy_next: Some(1), quota_next: Some(1), ..FaultsChange::default() });
    let refund = ask(&shop, &payment, Way::Reversal, None).await;
    for _ in 0..2 {
        go(&shop).await;
        assert_eq!(state(&shop, &refund).await, State::Held);
        let gone = decide(&shop, &refund, Decision::WentThrough, "owner").await;
        assert_eq!(gone, Err(NotRefunded::NotNow(State::Held)), "it is sent again in a minute");
        assert_eq!(send(&shop).await, 0, "not at once");
        shop.controller.clock.advance(Duration::from_secs(61));
    }
    go(&shop).await;
    assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
}

#[tokio::test]
async fn without_an_operator_it_stays_held_until_there_is_one_or_it_is_withdrawn() {
    let mut shop = Shop::open().await;
    let payment = paid(&shop, None).await;
    let refund = ask(&shop, &payment, Way::Reversal, None).await;
    go(&shop).await;
    let held = stands(&shop, &refund.id).await;
    assert!(held.state() == State::Held && held.result_description.contains("initiator_name"), "{held:?}");
    decide(&shop, &refund, Decision::Withdraw, "owner").await.unwrap();
    assert_eq!(books(&shop).await, (1_500, 0, 0, 1_500));
    set_up(&mut shop, DEMO_OPERATOR_PASSWORD, "");
    let refund = ask(&shop, &payment, Way::Reversal, None).await;
    go(&shop).await;
    assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
}

#[tokio::test]
async fn without_an_operator_what_was_given_back_in_the_portal_is_said_to_have_gone() {
    let shop = Shop::open().await;
    let payment = paid(&shop, None).await;
    let refund = ask(&shop, &payment, Way::Reversal, None).await;
    let early = decide(&shop, &refund, Decision::WentThrough, "owner").await;
    assert_eq!(early, Err(NotRefunded::NotNow(State::Held)), "it may still be sent");
    go(&shop).await;
    decide(&shop, &refund, Decision::WentThrough, "owner").await.unwrap();
    assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
    assert_eq!(closed(&shop, &payment).await, Some(Closed::Refunded));
}

#[tokio::test]
async fn whoever_is_killed_between_two_steps_finds_the_money_held_and_goes_on() {
    for way in [Way::Reversal, Way::Payout] {
        for killed in ["after the ask", "after it was noted", "after it was sent", "after the result came"] {
            let mut shop = open().await;
            let payment = paid(&shop, None).await;
            let refund = ask(&shop, &payment, way, None).await;
            match killed {
                "after the ask" => {}
                "after it was noted" => {
                    shop.execute("UPDATE refunds SET state = 'asking', next_at = next_at + 120000").await;
                }
                "after it was sent" => {
                    send(&shop).await;
                    assert!(shop.handle().settled(super::shop::DEADLINE).await);
                    // What was noted of the answer is lost, and so is the result.
                    shop.execute("UPDATE refunds SET state = 'asking'").await;
                    shop.execute("UPDATE operator_requests SET state = 'asking', conversation_id = NULL")
                        .await;
                    shop.execute("DELETE FROM callback_bodies WHERE kind = 'operator_result'").await;
                }
                _ => {
                    send(&shop).await;
                    assert!(shop.handle().settled(super::shop::DEADLINE).await);
                }
            }
            shop.restart().await;
            set_up(&mut shop, DEMO_OPERATOR_PASSWORD, "");
            assert_eq!(books(&shop).await, (1_500, 1_500, 0, 0), "{killed}");
            while intake::take_in_some(&shop.controller, &mut Round::of_fresh()).await.unwrap() > 0 {}
            for _ in 0..3 {
                go(&shop).await;
                shop.controller.clock.advance(Duration::from_secs(301));
            }
            if killed == "after it was noted" {
                // It was never sent, which nobody can know: a person looks, and sends it.
                until_a_person_has_to_look(&shop, &refund).await;
                assert_eq!(books(&shop).await, (1_500, 1_500, 0, 0));
                decide(&shop, &refund, Decision::Again, "owner").await.unwrap();
                go(&shop).await;
            }
            assert_eq!(state(&shop, &refund).await, State::Done, "{way:?} {killed}");
            assert_eq!(books(&shop).await, (0, 0, 0, 0), "{way:?} {killed}");
            assert_eq!(shop.handle().payouts().len(), usize::from(way == Way::Payout));
        }
    }
}

#[tokio::test]
async fn an_operator_gives_back_up_to_a_limit_and_a_second_person_agrees_where_the_settings_say_so() {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    let limits = Limits { refunded_a_day: shillings(1_499), ..Limits::default() };
    let wanted = (&payment, Way::Reversal, None);
    let over = NotRefunded::OverLimit { most: shillings(1_499), given: Money::ZERO };
    assert_eq!(try_ask(&shop, wanted, ("anna", Role::Operator, limits)).await, Err(over));
    let limits = Limits { refunds_need_two: true, ..Limits::default() };
    let refund = try_ask(&shop, wanted, ("anna", Role::Operator, limits)).await.unwrap();
    assert_eq!((refund.state(), books(&shop).await), (State::Waiting, (1_500, 1_500, 0, 0)));
    shop.controller.clock.advance(Duration::from_secs(3_600));
    assert_eq!(send(&shop).await, 0);
    assert_eq!(decide(&shop, &refund, Decision::Approve, "anna").await, Err(NotRefunded::SamePerson));
    let approved = decide(&shop, &refund, Decision::Approve, "brian").await.unwrap();
    assert_eq!(approved.approved_by, "staff:brian");
    go(&shop).await;
    assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
    let late = decide(&shop, &refund, Decision::Withdraw, "brian").await;
    assert_eq!(late, Err(NotRefunded::NotNow(State::Done)));
}

mod again;
mod contradicted;
mod limits;
mod nobodys;
mod parts;
mod receipts;
mod used;
mod withdrawn;
