//! Callbacks of several payments, doubled and in any order, with restarts of the intake in between: the books always
//! come out as if each receipt had been told of once.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::shop::{Books, Shop, success};
use crate::entitlements::Status;
use crate::ids::IntentId;
use crate::mpesa::evidence::CheckoutId;
use crate::mpesa::intake;
use crate::mpesa::intake::Round;
use crate::mpesa::intent::{CallbackToken, Intent, State};

/// Requests that are open at once.
const REQUESTS: usize = 4;

/// What arrives next.
#[derive(Clone, Debug)]
enum Arrival {
    /// The callback of a request, whatever was said of it before.
    Paid(usize),
    /// "Cancelled" on the path of a request.
    Cancelled(usize),
    /// The receipt of one request on the path of another.
    Crossed(usize, usize),
    /// Everything stored so far is taken in.
    TakeIn,
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let request = 0..REQUESTS;
    let arrival = prop_oneof![
        4 => request.clone().prop_map(Arrival::Paid),
        1 => request.clone().prop_map(Arrival::Cancelled),
        1 => (request.clone(), request).prop_map(|(from, to)| Arrival::Crossed(from, to)),
        2 => Just(Arrival::TakeIn),
    ];
    proptest::collection::vec(arrival, 1..16)
}

/// Shillings that request `number` asks for: two of them buy a period alone, the others only together.
fn shillings(number: usize) -> i64 {
    [1_500, 500, 2_000, 1_000][number]
}

#[test]
fn any_order_and_any_doubling_gives_the_same_books() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Each case opens a database of its own, which costs some 50 ms.
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&arrivals(), |arrivals| {
            runtime.block_on(check(&arrivals));
            Ok(())
        })
        .unwrap();
}

async fn check(arrivals: &[Arrival]) {
    let shop = Shop::open().await;
    let intents = open_requests(&shop).await;
    let mut first_told = Vec::new();
    for arrival in arrivals {
        match arrival {
            Arrival::Paid(number) => {
                let intent = &intents[*number];
                shop.deliver_to(intent, told(intent, *number)).await;
                if !first_told.contains(number) {
                    first_told.push(*number);
                }
            }
            Arrival::Cancelled(number) => {
                let intent = &intents[*number];
                let body = told(intent, *number).replace("\"ResultCode\":0", "\"ResultCode\":1032");
                shop.deliver_to(intent, body).await;
            }
            Arrival::Crossed(from, to) if from != to => {
                shop.deliver_to(&intents[*to], told(&intents[*from], *from)).await;
            }
            Arrival::Crossed(..) => {}
            Arrival::TakeIn => {
                intake::take_in_some(&shop.controller, &mut Round::of_fresh()).await.unwrap();
            }
        }
        shop.books().await;
    }
    shop.take_in().await;
    assert_eq!(money(&shop.books().await), expected(&first_told), "{arrivals:?}");
}

fn told(intent: &Intent, number: usize) -> String {
    success(intent, &format!("R{number}"), &format!("{}.00", shillings(number)))
}

/// Clearing, wallet, revenue, payments, days.
type Sums = (i64, i64, i64, u64, Option<i64>);

fn money(books: &Books) -> Sums {
    assert_eq!(books.status == Status::Active, books.paid_days.is_some());
    (books.clearing, books.wallet, books.revenue, books.payments, books.paid_days)
}

/// Each receipt once, in the order in which it was first told of; one period at most for each.
fn expected(first_told: &[usize]) -> Sums {
    let (mut wallet, mut days) = (0, 0);
    for number in first_told {
        wallet += shillings(*number) * 100;
        if wallet >= 150_000 {
            wallet -= 150_000;
            days += 1;
        }
    }
    let clearing = first_told.iter().map(|number| shillings(*number) * 100).sum();
    (clearing, wallet, days * 150_000, u64::try_from(first_told.len()).unwrap(), (days > 0).then_some(days))
}

async fn open_requests(shop: &Shop) -> Vec<Intent> {
    let template = shop.unanswered().await;
    let mut intents = Vec::new();
    for number in 0..REQUESTS {
        let intent = Intent {
            id: IntentId::random(&shop.controller.ids),
            callback_token: CallbackToken::random(&shop.controller.ids),
            amount: crate::money::Money::from_shillings(shillings(number)).unwrap(),
            promised: None,
            state: State::Prompted,
            checkout: CheckoutId::parse(&format!("ws_CO_shuffled_{number}")),
            ..template.clone()
        };
        shop.store_intent(&intent).await;
        intents.push(intent);
    }
    intents
}
