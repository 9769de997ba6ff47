//! How much one person may agree to in a day.

use super::*;

async fn agrees(shop: &Shop, refund: &Refund, limits: Limits) -> Result<State, NotRefunded> {
    let actor = staff("brian");
    let asker = Clerk { actor: &actor, role: Role::Operator, limits };
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let mut write = shop.controller.database.write().await.unwrap();
    let what = (&refund.id, Decision::Approve.into());
    let decided = refunds::decide(&mut write, what, asker, ids, now).await.unwrap();
    write.commit().await.unwrap();
    decided.map(|begun| begun.refund.state())
}

#[tokio::test]
async fn who_agrees_to_refunds_of_others_agrees_to_so_much_a_day_however_many_they_are() {
    let shop = open().await;
    let limits = Limits { refunds_need_two: true, refunded_a_day: shillings(2_000), ..Limits::default() };
    let mut asked = Vec::new();
    for asker in ["anna", "carol"] {
        let payment = paid(&shop, None).await;
        let wanted = (&payment, Way::Reversal, None);
        asked.push(try_ask(&shop, wanted, (asker, Role::Operator, limits)).await.unwrap());
        shop.wait_two_minutes();
    }
    assert_eq!(agrees(&shop, &asked[0], limits).await, Ok(State::Held));
    let over = NotRefunded::OverLimit { most: shillings(2_000), given: shillings(1_500) };
    assert_eq!(agrees(&shop, &asked[1], limits).await, Err(over));
    shop.controller.clock.advance(Duration::from_secs(86_400));
    assert_eq!(agrees(&shop, &asked[1], limits).await, Ok(State::Held), "another day");
}
