//! The whole table, every state against every event.

use super::*;

fn reason(code: &str) -> Reason {
    Reason::new(code, "text")
}

fn receipt(text: &str) -> ReceiptNumber {
    ReceiptNumber::parse(text).unwrap()
}

fn checkout() -> Option<CheckoutId> {
    CheckoutId::parse("ws_CO_1")
}

fn intent(state: State) -> Intent {
    Intent {
        id: IntentId::parse("i").unwrap(),
        subscription: LineId::parse("l").unwrap(),
        top_up: None,
        customer: CustomerId::parse("c").unwrap(),
        short_code: "174379".to_owned(),
        phone: Msisdn::parse("0712345678").unwrap(),
        amount: Money::from_cents(100),
        promised: None,
        callback_token: CallbackToken::random(&IdSource::seeded(1)),
        state,
        checkout: None,
        merchant_request_id: None,
        next_query_at: None,
        queries_sent: 0,
        requested_by: "test".to_owned(),
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
    }
}

fn states() -> Vec<State> {
    vec![
        State::Created,
        State::Submitting,
        State::Prompted,
        State::SubmitUnknown,
        State::PaidUnreceipted,
        State::Paid(receipt("R1")),
        State::Declined(reason("1037")),
        State::Expired,
        State::Review(reason("31337")),
    ]
}

fn events() -> Vec<(&'static str, Event)> {
    vec![
        ("submit", Event::Submit),
        ("accepted", Event::Accepted { checkout: checkout().unwrap(), merchant_request_id: None }),
        ("not sent", Event::NotSent(reason("400.002.02"))),
        ("reply lost", Event::ReplyLost),
        ("paid R1", Event::Paid { receipt: receipt("R1"), checkout: checkout() }),
        ("paid R2", Event::Paid { receipt: receipt("R2"), checkout: checkout() }),
        ("unreceipted", Event::PaidWithoutReceipt { checkout: checkout() }),
        ("failed 1032", Event::Failed { reason: reason("1032"), checkout: checkout() }),
        ("failed 4999", Event::Failed { reason: reason("4999"), checkout: checkout() }),
        ("failed 777", Event::Failed { reason: reason("777"), checkout: checkout() }),
        ("query paid", Event::QueryPaid),
        ("query 1032", Event::QueryFailed(reason("1032"))),
        ("query 777", Event::QueryFailed(reason("777"))),
        ("queried", Event::Queried),
        ("time up", Event::TimeUp),
        ("receipt gone", Event::ReceiptGone { is_said_paid: false }),
        ("its gone", Event::ReceiptGone { is_said_paid: true }),
    ]
}

/// One row an event, one column a state, in the order of `states()`. `=` stays, `!` is refused.
const TABLE: &str = "
              created    submitting prompted   s_unknown  unreceipt  paid       declined   expired    review
submit        submitting !          !          !          !          !          !          !          !
accepted      !          prompted   =          prompted   =          =          =          =          =
not sent      !          declined   !          declined   !          !          !          !          !
reply lost    !          s_unknown  =          =          =          =          =          =          =
paid R1       paid       paid       paid       paid       paid       =          paid       paid       paid
paid R2       paid       paid       paid       paid       paid       !          paid       paid       paid
unreceipted   !          unreceipt  unreceipt  unreceipt  =          =          unreceipt  unreceipt  unreceipt
failed 1032   !          declined   declined   declined   review     !          declined   declined   declined
failed 4999   !          =          =          =          review     !          =          =          =
failed 777    !          review     review     review     review     !          review     review     review
query paid    !          !          unreceipt  unreceipt  =          =          unreceipt  unreceipt  unreceipt
query 1032    !          !          declined   =          =          =          =          =          =
query 777     !          !          review     =          =          =          =          =          =
queried       !          !          =          =          =          =          =          =          =
time up       !          s_unknown  expired    expired    =          =          =          =          =
receipt gone  =          =          =          =          =          prompted   =          =          =
its gone      =          =          =          =          =          unreceipt  =          =          =
";

fn short(state: &State) -> &'static str {
    match state.as_str() {
        "submit_unknown" => "s_unknown",
        "paid_unreceipted" => "unreceipt",
        other => other,
    }
}

#[test]
fn every_event_leads_from_every_state_to_where_the_table_says() {
    let rows: Vec<&str> = TABLE.trim_matches('\n').lines().skip(1).collect();
    let events = events();
    assert_eq!(rows.len(), events.len());
    for (row, (name, event)) in rows.into_iter().zip(events) {
        let (title, cells) = row.split_at(13);
        assert_eq!(title.trim(), name);
        let cells: Vec<&str> = cells.split_whitespace().collect();
        assert_eq!(cells.len(), states().len(), "{name}");
        for (cell, state) in cells.into_iter().zip(states()) {
            let before = state.clone();
            let after = intent(state).apply(event.clone(), UnixMillis(1));
            let found = match &after {
                Ok(after) if after.state == before => "=",
                Ok(after) => short(&after.state),
                Err(_) => "!",
            };
            assert_eq!(found, cell, "{name} in {}", before.as_str());
        }
    }
}

#[test]
fn nothing_but_the_loss_of_its_receipt_leads_out_of_paid_and_nothing_changes_it() {
    for (name, event) in events().into_iter().filter(|(_, event)| !matches!(event, Event::ReceiptGone { .. }))
    {
        let paid = State::Paid(receipt("R1"));
        if let Ok(after) = intent(paid.clone()).apply(event, UnixMillis(1)) {
            assert_eq!(after.state, paid, "{name}");
            assert_eq!(after.next_query_at, None, "{name}");
        }
    }
}

#[test]
fn only_a_receipt_makes_paid() {
    for (name, event) in events() {
        for state in states() {
            let was_paid = matches!(state, State::Paid(_));
            let is_paid = intent(state)
                .apply(event.clone(), UnixMillis(1))
                .is_ok_and(|after| after.receipt().is_some());
            assert!(!is_paid || was_paid || matches!(event, Event::Paid { .. }), "{name}");
        }
    }
}

#[test]
fn a_callback_about_another_prompt_is_refused_and_the_first_id_is_kept() {
    let accepted =
        Event::Accepted { checkout: checkout().unwrap(), merchant_request_id: Some("m".to_owned()) };
    let prompted = intent(State::Submitting).apply(accepted.clone(), UnixMillis(1)).unwrap();
    assert_eq!((prompted.checkout.clone(), prompted.merchant_request_id.as_deref()), (checkout(), Some("m")));
    let told = |checkout| Event::Paid { receipt: receipt("R1"), checkout };
    let other = CheckoutId::parse("ws_CO_2");
    for wrong in [other.clone(), None] {
        assert_eq!(prompted.clone().apply(told(wrong), UnixMillis(2)), Err(Refused::AnotherCheckout));
    }
    assert!(prompted.apply(told(checkout()), UnixMillis(2)).is_ok());
    // The callback came first; the reply must speak of the same prompt.
    let paid = intent(State::Submitting).apply(told(other), UnixMillis(2)).unwrap();
    assert_eq!(paid.apply(accepted, UnixMillis(3)), Err(Refused::AnotherCheckout));
}

#[test]
fn something_is_always_due_while_nothing_is_final() {
    let due = |intent: &Intent| intent.next_query_at.map(|at| at.0 / 1_000);
    let now = UnixMillis(0);
    let submitting = intent(State::Created).apply(Event::Submit, now).unwrap();
    assert_eq!(due(&submitting), Some(120));
    assert_eq!(due(&submitting.clone().apply(Event::TimeUp, now).unwrap()), Some(1_860));
    let accepted = Event::Accepted { checkout: checkout().unwrap(), merchant_request_id: None };
    let mut prompted = submitting.apply(accepted, now).unwrap();
    for expected in [20, 35, 60, 90, 180, 600, 1_800, 1_860] {
        assert_eq!(due(&prompted), Some(expected));
        let at = prompted.next_query_at.unwrap();
        prompted = prompted.apply(Event::Queried, at).unwrap();
    }
    assert!(poll::is_over(prompted.queries_sent));
    let expired = prompted.apply(Event::TimeUp, now).unwrap();
    assert_eq!((expired.state.as_str(), due(&expired)), ("expired", None));
}

#[test]
fn states_survive_the_database() {
    for state in states() {
        let reason = match &state {
            State::Declined(reason) | State::Review(reason) => reason.clone(),
            _ => reason(""),
        };
        let number = match &state {
            State::Paid(number) => Some(number.as_str()),
            _ => None,
        };
        assert_eq!(State::from_stored(state.as_str(), number, reason), Ok(state));
    }
    assert!(State::from_stored("paid", None, reason("")).is_err());
    assert!(State::from_stored("lost", None, reason("")).is_err());
}

#[test]
fn tokens_are_exactly_32_lower_case_hex_characters_and_hidden() {
    let token = CallbackToken::random(&IdSource::system());
    assert_eq!(CallbackToken::parse(token.reveal()), Some(token.clone()));
    assert_eq!(format!("{token:?}"), "CallbackToken(hidden)");
    let bad = ["", &"a".repeat(31), &"a".repeat(33), &"A".repeat(32), &"g".repeat(32), &"é".repeat(16)];
    for bad in bad {
        assert_eq!(CallbackToken::parse(bad), None, "{bad}");
    }
}
