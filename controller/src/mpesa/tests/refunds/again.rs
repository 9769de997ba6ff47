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
