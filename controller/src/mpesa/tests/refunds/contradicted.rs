//! M-Pesa answers twice about one refund, and the second time something else.

use sqlx::Row as _;

use super::*;

/// The path and the body of a result.
struct Told {
    token: String,
    body: String,
}

/// A refund that ended with this code, and what M-Pesa told of it.
async fn ended(code: &str) -> (Shop, Refund, Told) {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    results(&shop, ResultFaults { code: Some(code.to_owned()), ..ResultFaults::default() });
    let refund = ask(&shop, &payment, Way::Payout, None).await;
    go(&shop).await;
    let query = "SELECT callback_token, body FROM callback_bodies WHERE kind = 'operator_result'";
    let mut read = shop.controller.database.read().await.unwrap();
    let row = sqlx::query(query).fetch_one(&mut *read).await.unwrap();
    let told = Told { token: row.get("callback_token"), body: row.get("body") };
    drop(read);
    (shop, refund, told)
}

/// The same answer once more, with another code.
async fn answer_again(shop: &Shop, told: &Told, code: &str) {
    let mut body: serde_json::Value = serde_json::from_str(&told.body).unwrap();
    body["Result"]["ResultCode"] = code.into();
    let url = format!("http://{}/callbacks/operator/{}/result", shop.address, told.token);
    let answer = reqwest::Client::new().post(url).body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    shop.take_in().await;
}

#[tokio::test]
async fn money_that_went_after_all_by_a_second_answer_is_booked_and_told_to_a_person() {
    let (shop, refund, told) = ended("1").await;
    assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Failed, (1_500, 0, 1_500, 0)));
    answer_again(&shop, &told, "0").await;
    assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
    assert!(matches!(for_review(&shop).await[..], [ReviewKind::Callback(_)]));
    answer_again(&shop, &told, "0").await;
    answer_again(&shop, &told, "1").await;
    assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
    assert_eq!(
        for_review(&shop).await.len(),
        2,
        "that it did not go is for a person, and the same once more for nobody"
    );
}

#[tokio::test]
async fn that_what_went_did_not_go_by_a_second_answer_is_told_to_a_person_and_booked_nowhere() {
    let (shop, refund, told) = ended("0").await;
    assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
    for code in ["2001", "77"] {
        answer_again(&shop, &told, code).await;
        assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
    }
    assert_eq!(for_review(&shop).await.len(), 2);
}
