//! What else a customer may type as account, on the customer's page.

use crate::audit;
use crate::staff::Role;
use crate::web::testing::Served;

#[tokio::test]
async fn an_invoices_number_is_entered_and_taken_away_and_who_may_not_is_not_offered_it() {
    let served = Served::start().await;
    let mut owner = served.browser(Role::Owner).await;
    let page = format!("/customers/{}", served.world.customer.id);
    let add = format!("{page}/references");
    assert!(owner.get(&page).await.body.contains("Nothing but the account number"));
    owner.post(&add, &[("reference", "Mama Njeri")]).await;
    assert!(owner.get(&page).await.body.contains("Nothing was entered: it needs a digit"));
    owner.post(&add, &[("reference", "INV-2026/0012")]).await;
    let shown = owner.get(&page).await.body;
    assert!(shown.contains("Payments to INV-2026/0012 are this customer’s from now on."), "{shown}");
    let viewer = served.browser(Role::Viewer).await.get(&page).await.body;
    assert!(viewer.contains("INV-2026/0012") && !viewer.contains("Take away"), "{viewer}");
    owner.post(&format!("{add}/remove"), &[("reference", "INV20260012")]).await;
    let shown = owner.get(&page).await.body;
    assert!(
        shown.contains("It is taken away") && shown.contains("Nothing but the account number"),
        "{shown}"
    );
    let mut read = served.controller.database.read().await.unwrap();
    let rows = audit::store::latest(&mut read, 20).await.unwrap();
    let done: Vec<&str> = rows.iter().map(|row| row.action.as_str()).collect();
    assert!(done.contains(&"reference.added") && done.contains(&"reference.removed"), "{done:?}");
    drop(read);
    served.stop().await;
}
