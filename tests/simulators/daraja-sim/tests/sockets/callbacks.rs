//! How often, when and whether a callback comes.

use daraja_sim::{CallbackFaults, ConfirmationFaults, Phone, PromptState, Redelivery};

use crate::merchant::{Merchant, PHONE, send};

fn phone(callback: CallbackFaults) -> Phone {
    Phone { callback, ..Phone::default() }
}

#[tokio::test]
async fn copies_of_a_callback_are_the_same_bytes() {
    for together in [false, true] {
        let merchant = Merchant::start().await;
        let token = merchant.token().await;
        let faults = CallbackFaults { copies: 3, together, ..CallbackFaults::default() };
        merchant.handle().set_phone(PHONE, phone(faults)).unwrap();
        merchant.push(&token).await;
        merchant.settled().await;
        let received = merchant.listener.received();
        assert_eq!(received.len(), 3);
        assert!(received.iter().all(|one| one.body == received[0].body));
        assert_eq!(merchant.handle().payments(0, 10)[0].callback_status, [200, 200, 200]);
        assert_eq!(merchant.handle().state().callbacks_sent, 3);
    }
}

#[tokio::test]
async fn a_lost_callback_is_never_sent_though_the_money_moved() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let faults = CallbackFaults { lost: true, ..CallbackFaults::default() };
    merchant.handle().set_phone(PHONE, phone(faults)).unwrap();
    let id = merchant.push(&token).await;
    merchant.settled().await;
    assert!(merchant.listener.received().is_empty());
    assert_eq!(merchant.handle().payments(0, 10).len(), 1);
    assert_eq!(merchant.query(&token, &id).await.1["ResultCode"], "0");
}

#[tokio::test]
async fn a_reply_does_not_wait_for_the_callback() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    merchant.listener.hold();
    let id = merchant.push(&token).await;
    merchant.listener.wait_for(1).await;
    assert!(merchant.handle().prompt(&id).unwrap().callback_status.is_empty());
    merchant.listener.release();
    merchant.settled().await;
    assert_eq!(merchant.handle().prompt(&id).unwrap().callback_status, [200]);
}

#[tokio::test]
async fn a_callback_before_the_reply_is_answered_before_the_reply_comes() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let faults = CallbackFaults { before_reply: true, ..CallbackFaults::default() };
    merchant.handle().set_phone(PHONE, phone(faults)).unwrap();
    merchant.listener.hold();
    let request = merchant.push_call(&token, &merchant.push_body());
    let reply = tokio::spawn(send(request));
    let callback = merchant.listener.wait_for(1).await.remove(0).stk();
    assert!(!reply.is_finished());
    merchant.listener.release();
    let (status, body) = reply.await.unwrap();
    assert_eq!((status, &body["CheckoutRequestID"]), (200, &callback["CheckoutRequestID"]));
    assert_eq!(merchant.handle().payments(0, 1)[0].callback_status, [200]);
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_the_money() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let faults = CallbackFaults { before_reply: true, ..CallbackFaults::default() };
    merchant.handle().set_phone(PHONE, phone(faults)).unwrap();
    merchant.listener.hold();
    let reply = tokio::spawn(send(merchant.push_call(&token, &merchant.push_body())));
    merchant.listener.wait_for(1).await;
    reply.abort();
    assert!(reply.await.unwrap_err().is_cancelled());
    merchant.listener.release();
    merchant.settled().await;
    assert_eq!(merchant.handle().payments(0, 1)[0].callback_status, [200]);
}

#[tokio::test]
async fn a_listener_that_fails_is_not_called_again_and_its_status_is_kept() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    for (number, status) in [(1, 503), (2, 307)] {
        merchant.listener.answer_with(status, "");
        let id = merchant.push(&token).await;
        merchant.settled().await;
        assert_eq!(merchant.listener.received_at("c/1").len(), number);
        assert_eq!(merchant.handle().prompt(&id).unwrap().callback_status, [status]);
    }
    assert_eq!(merchant.listener.received().len(), 2);
    let state = merchant.handle().state();
    assert_eq!((state.callbacks_sent, state.callbacks_failed), (2, 2));
}

#[tokio::test]
async fn a_listener_that_is_gone_is_noted_as_0() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    // Bound and dropped: nobody listens on this port any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut body = merchant.push_body();
    body["CallBackURL"] = format!("http://{gone}/c").into();
    assert_eq!(send(merchant.push_call(&token, &body)).await.0, 200);
    merchant.settled().await;
    assert_eq!(merchant.handle().payments(0, 1)[0].callback_status, [0]);
}

#[tokio::test]
async fn a_redelivery_is_byte_identical() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    let id = merchant.push(&token).await;
    merchant.settled().await;
    let statuses = merchant.handle().redeliver_callback(&id, Redelivery { copies: 3, together: false }).await;
    assert_eq!(statuses.unwrap(), [200, 200, 200]);
    let received = merchant.listener.received();
    assert_eq!(received.len(), 4);
    assert!(received.iter().all(|one| one.body == received[0].body && one.path == "/c/1"));
    assert_eq!(merchant.handle().payments(0, 1)[0].callback_status, [200; 4]);
}

#[tokio::test]
async fn a_delayed_callback_is_overtaken_by_its_c2b_twin() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    assert_eq!(merchant.register(&token, "v2", "Completed").await.0, 200);
    // The callback would come in an hour; the twin proves that it does not wait for it.
    let faults = CallbackFaults { delay_ms: 3_600_000, ..CallbackFaults::default() };
    merchant.handle().set_phone(PHONE, phone(faults)).unwrap();
    let id = merchant.push(&token).await;
    let received = merchant.listener.wait_for(1).await.remove(0);
    assert_eq!(received.path, "/k");
    assert!(matches!(merchant.handle().prompt(&id).unwrap().state, PromptState::Paid { .. }));
    merchant.simulator.stop().await;
}

#[tokio::test]
async fn confirmations_are_doubled_and_lost_on_their_own() {
    let merchant = Merchant::start().await;
    let token = merchant.token().await;
    assert_eq!(merchant.register(&token, "v2", "Completed").await.0, 200);
    let doubled = ConfirmationFaults { copies: 2, ..ConfirmationFaults::default() };
    merchant.handle().set_phone(PHONE, Phone { confirmation: doubled, ..Phone::default() }).unwrap();
    merchant.push(&token).await;
    merchant.settled().await;
    let copies = merchant.listener.received_at("k");
    assert_eq!((copies.len(), merchant.listener.received_at("c/1").len()), (2, 1));
    assert_eq!(copies[0].body, copies[1].body);
    assert_eq!(merchant.handle().payments(0, 1)[0].confirmation_status, [200, 200]);
}
