//! A refund that a person sends once more: what M-Pesa does not do then may have been done the first time.

use super::*;

#[tokio::test]
async fn what_is_refused_when_it_is_sent_again_is_not_called_failed() {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    results(&shop, ResultFaults { lost: true, ..ResultFaults::default() });
    let refund = ask(&shop, &payment, Way::Reversal, None).await;
    go(&shop).await;
    until_a_person_has_to_look(&shop, &refund).await;
    results(&shop, ResultFaults { code: Some("2001".to_owned()), ..ResultFaults::default() });
    decide(&shop, &refund, Decision::Again, "owner").await.unwrap();
    go(&shop).await;
    assert_eq!(state(&shop, &refund).await, State::Unknown, "the operator's password is wrong by now");
    assert_eq!(books(&shop).await.1, 1_500, "it is held until somebody knows");
}

#[tokio::test]
async fn what_is_to_be_sent_again_and_cannot_be_is_decided_by_a_person() {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    results(&shop, ResultFaults { lost: true, ..ResultFaults::default() });
    let refund = ask(&shop, &payment, Way::Reversal, None).await;
    go(&shop).await;
    until_a_person_has_to_look(&shop, &refund).await;
    decide(&shop, &refund, Decision::Again, "owner").await.unwrap();
    assert_eq!(state(&shop, &refund).await, State::Held);
    let withdrawn = decide(&shop, &refund, Decision::Withdraw, "owner").await;
    assert_eq!(withdrawn, Err(NotRefunded::NotNow(State::Held)), "it may have gone the first time");
    decide(&shop, &refund, Decision::WentThrough, "owner").await.unwrap();
    assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
}

/// Sends a refund whose result says that nothing was done, and which is stored and not taken in until a person may have it sent
/// once more.
async fn never_heard_of_in_time(shop: &Shop, payment: &PaymentId, way: Way) -> Refund {
    results(shop, ResultFaults { code: Some("2001".to_owned()), ..ResultFaults::default() });
    let refund = ask(shop, payment, way, None).await;
    send(shop).await;
    assert!(shop.handle().settled(Duration::from_secs(10)).await);
    // What M-Pesa is asked meanwhile it does not answer.
    results(shop, ResultFaults { lost: true, ..ResultFaults::default() });
    for _ in 0..8 {
        shop.controller.clock.advance(Duration::from_secs(4 * 3_600));
        send(shop).await;
    }
    refund
}

/// Sends a refund whose first result says that nothing was done and comes only when a person has it sent once more; then all
/// results are taken in.
async fn sent_twice_before_its_first_result(way: Way) -> (Shop, PaymentId, Refund) {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    let refund = never_heard_of_in_time(&shop, &payment, way).await;
    results(&shop, ResultFaults { code: Some("2001".to_owned()), ..ResultFaults::default() });
    decide(&shop, &refund, Decision::Again, "owner").await.unwrap();
    send(&shop).await;
    shop.settle().await;
    (shop, payment, refund)
}

#[tokio::test]
async fn a_payout_whose_name_m_pesa_took_before_ends_as_it_did_the_first_time() {
    let (shop, payment, refund) = sent_twice_before_its_first_result(Way::Payout).await;
    assert_eq!(state(&shop, &refund).await, State::Failed, "of the second time there is no result");
    assert_eq!((books(&shop).await, closed(&shop, &payment).await), ((1_500, 0, 1_500, 0), None));
}

#[tokio::test]
async fn a_refund_that_did_not_go_any_time_that_it_was_sent_is_back_with_its_owner() {
    let (shop, payment, refund) = sent_twice_before_its_first_result(Way::Reversal).await;
    assert_eq!(state(&shop, &refund).await, State::Failed, "M-Pesa did nothing both times");
    assert_eq!((books(&shop).await, closed(&shop, &payment).await), ((1_500, 0, 1_500, 0), None));
}

#[tokio::test]
async fn whoever_reads_it_in_the_portal_decides_before_m_pesa_was_asked_for_the_last_time() {
    for (decision, expected, held) in [
        (Decision::WentThrough, State::Done, (0, 0, 0, 0)),
        (Decision::DidNot, State::Failed, (1_500, 0, 1_500, 0)),
    ] {
        let shop = open().await;
        let payment = paid(&shop, None).await;
        results(&shop, ResultFaults { lost: true, ..ResultFaults::default() });
        faults(&shop, FaultsChange { html_next: Some(1), ..FaultsChange::default() });
        let refund = ask(&shop, &payment, Way::Reversal, None).await;
        go(&shop).await;
        let found = stands(&shop, &refund.id).await;
        assert!(found.state() == State::Unknown && !found.needs_a_person(), "{found:?}");
        let again = decide(&shop, &refund, Decision::Again, "owner").await;
        assert_eq!(again, Err(NotRefunded::NotNow(State::Unknown)), "it may still be done");
        decide(&shop, &refund, decision, "owner").await.unwrap();
        assert_eq!((state(&shop, &refund).await, books(&shop).await), (expected, held), "{decision:?}");
    }
}

#[tokio::test]
async fn what_did_not_go_the_first_time_is_over_when_the_second_is_turned_away_meanwhile() {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    let refund = never_heard_of_in_time(&shop, &payment, Way::Reversal).await;
    let turned_away = FaultsChange {
        slow_reply_ms: Some(1_500),
        no_product: Some(vec![Product::Reversal]),
        ..FaultsChange::default()
    };
    faults(&shop, turned_away);
    decide(&shop, &refund, Decision::Again, "owner").await.unwrap();
    let first_result = async {
        while state(&shop, &refund).await != State::Asking {
            tokio::task::yield_now().await;
        }
        shop.take_in().await;
        assert_eq!(state(&shop, &refund).await, State::Unknown, "the second may still be taken");
    };
    tokio::join!(send(&shop), first_result);
    assert_eq!(state(&shop, &refund).await, State::Failed);
    assert_eq!((books(&shop).await, closed(&shop, &payment).await), ((1_500, 0, 1_500, 0), None));
}
