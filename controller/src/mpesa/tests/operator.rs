//! What an API operator asks, over real sockets: the balance, and what became of a receipt.

use std::time::Duration;

use daraja_sim::{
    DEMO_OPERATOR_PASSWORD, FaultsChange, OPERATOR_CERTIFICATE_PEM, PaybillOutcome, PaybillPayment, Product,
    ResultFaults,
};

use super::shop::{Books, Shop};
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::operator::{self, NotAsked, OperatorRequest, Question, State};
use crate::payments::testing::PHONE;

/// Lines of the section, with a password in its file.
pub(super) fn set_up(shop: &mut Shop, password: &str, more: &str) {
    shop.directory.write_secret("operator-password", password);
    std::fs::write(shop.directory.path().join("certificate.cer"), OPERATOR_CERTIFICATE_PEM).unwrap();
    shop.with_settings(&format!(
        "initiator_name = \"demo-operator\"\ninitiator_password_file = \"operator-password\"\n\
         certificate_file = \"certificate.cer\"\n{more}"
    ));
}

async fn open() -> Shop {
    let mut shop = Shop::open().await;
    set_up(&mut shop, DEMO_OPERATOR_PASSWORD, "");
    shop
}

async fn ask(shop: &Shop, question: Question) -> OperatorRequest {
    operator::ask(&shop.controller, &shop.daraja, question, "cli:tester").await.unwrap()
}

/// How a request stands now.
async fn stands(shop: &Shop, request: OperatorRequest) -> OperatorRequest {
    operator::wait(&shop.controller, request, Duration::from_millis(1)).await.unwrap()
}

/// Asks, and takes in whatever came of it.
async fn ended(shop: &Shop, question: Question) -> OperatorRequest {
    let request = ask(shop, question).await;
    shop.settle().await;
    stands(shop, request).await
}

fn results(shop: &Shop, results: ResultFaults) {
    let change = FaultsChange { results: Some(results), ..FaultsChange::default() };
    shop.handle().set_faults(&change).unwrap();
}

fn code(request: &OperatorRequest) -> &str {
    request.state.reason().map_or("", |reason| reason.code.as_str())
}

async fn pay_by_paybill(shop: &Shop) -> ReceiptNumber {
    let payment =
        PaybillPayment { short_code: "174379".to_owned(), amount: 250, account: "12345674".to_owned() };
    match shop.handle().pay_by_paybill(PHONE, &payment).await.unwrap() {
        PaybillOutcome::Paid { receipt } => ReceiptNumber::parse(receipt.as_str()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_balance_is_asked_for_and_the_result_is_stored_answered_and_read() {
    let shop = open().await;
    pay_by_paybill(&shop).await;
    let request = ask(&shop, Question::Balance).await;
    assert!(matches!(request.state, State::Accepted | State::Answered(_)), "{:?}", request.state);
    shop.settle().await;
    let request = stands(&shop, request).await;
    assert_eq!((code(&request), request.operator.as_str()), ("0", "demo-operator"));
    assert!(request.conversation_id.as_deref().unwrap().starts_with("AG_"));
    let accounts = request.balance().unwrap().accounts;
    let utility = accounts.iter().find(|account| account.name == "Utility Account").unwrap();
    assert_eq!(utility.available, Money::from_shillings(250));
    let charges = accounts.iter().find(|account| account.name == "Charges Paid Account").unwrap();
    assert_eq!(charges.current, Some(Money::from_cents(-154_050)));
    assert_eq!(shop.outcomes().await, ["noted: answered"]);
    assert_eq!(shop.handle().state().results_failed, 0);
    assert_eq!(shop.books().await, Books::EMPTY, "looking moves nothing");
}

#[tokio::test]
async fn a_receipt_is_told_of_as_mpesa_knows_it_and_an_unknown_one_keeps_its_code() {
    let shop = open().await;
    let receipt = pay_by_paybill(&shop).await;
    let request = ended(&shop, Question::Status(receipt.clone())).await;
    let transaction = request.transaction().unwrap();
    assert_eq!((transaction.receipt, transaction.status.as_deref()), (Some(receipt), Some("Completed")));
    assert_eq!(transaction.amount, Money::from_shillings(250));
    assert!(transaction.payer.unwrap().starts_with("254712345678"));
    let nobodys = ReceiptNumber::parse("NOSUCH0001").unwrap();
    let request = ended(&shop, Question::Status(nobodys)).await;
    assert_eq!((code(&request), request.transaction()), ("R000002", None));
    results(&shop, ResultFaults { code: Some("TP40153".to_owned()), ..ResultFaults::default() });
    let request = ended(&shop, Question::Balance).await;
    assert_eq!((code(&request), request.balance()), ("TP40153", None));
}

#[tokio::test]
async fn results_that_come_twice_first_or_as_text_are_one_result() {
    let shop = open().await;
    results(&shop, ResultFaults { copies: 3, together: true, ..ResultFaults::default() });
    assert_eq!(code(&ended(&shop, Question::Balance).await), "0");
    let mut outcomes = shop.outcomes().await;
    outcomes.sort();
    assert_eq!(outcomes, ["booked before", "booked before", "noted: answered"]);
    results(&shop, ResultFaults { before_reply: true, as_text: true, ..ResultFaults::default() });
    let request = ask(&shop, Question::Balance).await;
    assert_eq!(request.state, State::Accepted, "the result is stored and not taken in yet");
    shop.take_in().await;
    assert_eq!(code(&stands(&shop, request).await), "0");
}

#[tokio::test]
async fn a_result_that_is_taken_in_before_the_acknowledgement_stays() {
    let shop = open().await;
    results(&shop, ResultFaults { before_reply: true, ..ResultFaults::default() });
    let slow = FaultsChange { slow_reply_ms: Some(300), ..FaultsChange::default() };
    shop.handle().set_faults(&slow).unwrap();
    let taking_in = async {
        let handle = shop.handle();
        let sent =
            handle.wait_for(super::shop::DEADLINE, |handle| (handle.state().results_sent == 1).then_some(()));
        sent.await.unwrap();
        shop.take_in().await;
    };
    let (request, ()) = tokio::join!(ask(&shop, Question::Balance), taking_in);
    assert_eq!(code(&request), "0");
    assert!(request.conversation_id.is_some() && request.balance().is_some());
}

#[tokio::test]
async fn what_nobody_knows_is_not_called_failed() {
    let shop = open().await;
    results(&shop, ResultFaults { queue_time_out: true, ..ResultFaults::default() });
    let request = ended(&shop, Question::Balance).await;
    assert_eq!(request.state, State::QueueTimedOut);
    results(&shop, ResultFaults { lost: true, ..ResultFaults::default() });
    let request = ended(&shop, Question::Balance).await;
    assert_eq!(request.state, State::Accepted);
    results(&shop, ResultFaults::default());
    for change in [
        FaultsChange { lose_reply_next: Some(1), ..FaultsChange::default() },
        FaultsChange { time_out_next: Some(1), ..FaultsChange::default() },
    ] {
        shop.handle().set_faults(&change).unwrap();
        let request = ask(&shop, Question::Balance).await;
        assert_eq!(request.state, State::ReplyLost, "{change:?}");
        shop.settle().await;
        let request = stands(&shop, request).await;
        assert_eq!(code(&request), "0", "the result comes all the same");
    }
}

#[tokio::test]
async fn a_result_is_kept_when_the_controller_stops_before_it_is_taken_in() {
    let mut shop = open().await;
    let request = ask(&shop, Question::Balance).await;
    assert!(shop.handle().settled(super::shop::DEADLINE).await);
    shop.restart().await;
    shop.take_in().await;
    assert_eq!(code(&stands(&shop, request).await), "0");
}

#[tokio::test]
async fn a_wrong_password_is_told_by_code_and_a_locked_operator_by_another() {
    let mut shop = open().await;
    set_up(&mut shop, "Wrong#1", "");
    for _ in 0..5 {
        assert_eq!(code(&ended(&shop, Question::Balance).await), "2001");
    }
    set_up(&mut shop, DEMO_OPERATOR_PASSWORD, "");
    assert_eq!(code(&ended(&shop, Question::Balance).await), "8006");
}

#[tokio::test]
async fn without_an_operator_nothing_is_asked_and_a_missing_product_is_a_refusal() {
    let shop = Shop::open().await;
    let refused = operator::ask(&shop.controller, &shop.daraja, Question::Balance, "cli:tester").await;
    assert!(matches!(refused, Err(NotAsked::NoOperator)));
    let shop = open().await;
    let change = FaultsChange { no_product: Some(vec![Product::AccountBalance]), ..FaultsChange::default() };
    shop.handle().set_faults(&change).unwrap();
    let request = ask(&shop, Question::Balance).await;
    assert!(matches!(&request.state, State::Refused(reason) if reason.description.contains("apiproduct")));
    assert_eq!(shop.handle().state().operator_requests, 0);
}

#[tokio::test]
async fn a_path_that_nobody_was_told_is_404_and_junk_on_a_known_one_is_kept_for_a_person() {
    let shop = open().await;
    results(&shop, ResultFaults { lost: true, ..ResultFaults::default() });
    let request = ask(&shop, Question::Balance).await;
    let post = async |token: &str, what: &str, body: &str| {
        let url = format!("http://{}/callbacks/operator/{token}/{what}", shop.address);
        reqwest::Client::new().post(url).body(body.to_owned()).send().await.unwrap().status().as_u16()
    };
    let strange = super::shop::strange_token(&shop.controller);
    assert_eq!(post(&strange, "result", "{}").await, 404);
    assert_eq!(post("query", "result", "{}").await, 404);
    assert_eq!(shop.stored_callbacks().await, 0);
    let token = request.callback_token.reveal().to_owned();
    assert_eq!(post(&token, "result", "<html>").await, 200);
    let another = r#"{"Result":{"ResultCode":0,"ConversationID":"AG_of_another"}}"#;
    assert_eq!(post(&token, "result", another).await, 200);
    shop.take_in().await;
    let expected = [
        "not understood: not in the form of a callback",
        "review: the result belongs to another conversation with M-Pesa",
    ];
    assert_eq!(shop.outcomes().await, expected);
    assert_eq!(stands(&shop, request).await.state, State::Accepted);
}
