//! Correcting a payment and giving it back as staff do it: through pages, with one button for each thing.

use reqwest::StatusCode;

use crate::audit;
use crate::money::Money;
use crate::staff::Role;
use crate::web::testing::{Browser, Program, Served};

/// Takes cash for the customer's line, and gives the address of its page.
async fn take(browser: &mut Browser, served: &Served, amount: &str, occasion: &str) -> String {
    let customer = &served.world.customer.id;
    let occasion = format!("{occasion:0<32}");
    let fields = [
        ("amount", amount),
        ("means", "cash"),
        ("occasion", occasion.as_str()),
        ("subscription", served.world.line.as_str()),
    ];
    browser.post(&format!("/customers/{customer}/counter"), &fields).await.location().to_owned()
}

async fn neighbour(program: &Program) -> (String, String) {
    let body = serde_json::json!({"name": "Next Door", "phone": "0722000111"});
    let answer = program.post("/api/customers", &body).await.json();
    let text = |field: &str| answer[field].as_str().unwrap().to_owned();
    (text("id"), text("account_number"))
}

#[tokio::test]
async fn a_payment_is_looked_up_moved_shared_out_and_undone_by_buttons() {
    let served = Served::start().await;
    let (other, account) = neighbour(&served.program(Role::Owner).await).await;
    let mut owner = served.browser(Role::Owner).await;
    let page = take(&mut owner, &served, "1500", "a1").await;
    let correct = format!("{page}/correct");
    assert!(owner.get(&page).await.body.contains(&format!("href=\"{correct}\"")));
    let shown = owner.get(&correct).await.body;
    assert!(shown.contains("Day, line-1") && shown.contains("KES 1,500.00 is left of it"), "{shown}");
    let found = owner.post(&format!("{correct}/search"), &[("q", &account)]).await.body;
    assert!(found.contains("Next Door"), "{found}");
    let chosen = owner.get(&format!("{correct}?customer={other}")).await.body;
    assert!(chosen.contains("Move KES 1,500.00 to Next Door"), "{chosen}");
    let to = [("customer", other.as_str()), ("subscription", "wallet")];
    assert_eq!(owner.post(&format!("{page}/move"), &to).await.location(), page);
    let shown = owner.get(&page).await.body;
    assert!(shown.contains("It is theirs now. Taken back: Day, line-1."), "{shown}");
    let audited = async |action: &str| {
        let mut read = served.controller.database.read().await.unwrap();
        let rows = audit::store::latest(&mut read, 20).await.unwrap();
        rows.into_iter().find(|row| row.action == action).unwrap().detail
    };
    let from = served.world.customer.id.to_string();
    assert_eq!(audited("payment.moved").await, format!("Receipt 1, KES 1,500.00, from {from} to {other}"));
    assert!(shown.contains("Next Door"), "{shown}");
    let own = served.world.customer.account_number.to_string();
    let split = format!("{page}/split");
    let rows = |first: &'static str| {
        [
            ("account_1", own.clone()),
            ("amount_1", first.to_owned()),
            ("account_2", account.clone()),
            ("amount_2", "1000".to_owned()),
        ]
    };
    for (first, complaint) in [("1", "together the parts are KES 1,001.00"), ("much", "is not an amount")] {
        let fields = rows(first);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = owner.post(&split, &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.body.contains(complaint), "{}", answer.body);
    }
    let fields = rows("500");
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    owner.post(&split, &fields).await;
    let shown = owner.get(&page).await.body;
    assert!(
        shown.contains("shared out") && shown.contains("Part 2") && !shown.contains("do not pay again"),
        "{shown}"
    );
    let parts = format!("Receipt 1, KES 1,500.00, from {other} to KES 500.00: {from}, KES 1,000.00: {other}");
    assert_eq!(audited("payment.split").await, parts);
    assert_eq!(owner.get(&correct).await.location(), page, "there is nothing to correct any more");
    let page = take(&mut owner, &served, "200", "b2").await;
    owner.post(&format!("{page}/undo"), &[]).await;
    let shown = owner.get(&page).await.body;
    assert!(shown.contains("It is undone") && shown.contains("never paid"), "{shown}");
    let receipt = owner.get(&format!("{page}/receipt")).await.body;
    assert!(receipt.contains("Void: the payment was booked by mistake"), "{receipt}");
    assert!(audited("payment.undone").await.ends_with(&format!("KES 200.00, from {from} to nobody")));
    served.stop().await;
}

#[tokio::test]
async fn whoever_holds_the_cash_does_not_undo_and_whoever_looks_corrects_nothing() {
    let served = Served::start().await;
    let mut operator = served.browser(Role::Operator).await;
    let page = take(&mut operator, &served, "200", "a1").await;
    assert!(!operator.get(&format!("{page}/correct")).await.body.contains("It was never paid"));
    assert_eq!(operator.post(&format!("{page}/undo"), &[]).await.status, StatusCode::FORBIDDEN);
    let mut viewer = served.browser(Role::Viewer).await;
    assert!(!viewer.get(&page).await.body.contains("/correct"));
    assert_eq!(viewer.get(&format!("{page}/correct")).await.status, StatusCode::FORBIDDEN);
    for what in ["move", "split", "undo", "correct/search"] {
        assert_eq!(viewer.post(&format!("{page}/{what}"), &[]).await.status, StatusCode::FORBIDDEN, "{what}");
    }
    served.stop().await;
}

#[tokio::test]
async fn what_is_owed_stands_on_the_customers_page_and_is_written_off_there() {
    let served = Served::start().await;
    let customer = served.world.customer.id.to_string();
    let page = format!("/customers/{customer}");
    let mut operator = served.browser(Role::Operator).await;
    assert!(!operator.get(&page).await.body.contains("Owes"));
    served.empty_wallet(&customer, Money::from_cents(100_100)).await;
    let shown = operator.get(&page).await.body;
    assert!(shown.contains("Owes KES 1,001.00") && shown.contains("Write off KES 1,001.00"), "{shown}");
    let off = format!("{page}/write-off");
    operator.post(&off, &[("amount_cents", "100100")]).await;
    assert!(operator.get(&page).await.body.contains("you may write off KES 1,000.00 a day"));
    let mut owner = served.browser(Role::Owner).await;
    owner.post(&off, &[("amount_cents", "100100")]).await;
    let shown = owner.get(&page).await.body;
    assert!(shown.contains("KES 1,001.00 is written off") && !shown.contains("Owes"), "{shown}");
    owner.post(&off, &[("amount_cents", "100100")]).await;
    assert!(owner.get(&page).await.body.contains("Nothing was written off: KES 0.00 is owed now"));
    served.stop().await;
}

#[tokio::test]
async fn a_payment_goes_back_through_a_form_a_list_and_a_page_that_says_how_it_stands() {
    let served = Served::start().await;
    let mut owner = served.browser(Role::Owner).await;
    let customer = &served.world.customer.id;
    let mut write = served.controller.database.write().await.unwrap();
    let paid = format!(
        "INSERT INTO payments (id, provider, receipt_number, amount_cents, short_code, customer_id, received_at, booked_at) \
             VALUES ('p1', 'mpesa', 'RKL51ZDR4F', 150000, '174379', '{customer}', 1, 1); \
         INSERT INTO receipts VALUES (1, 'p1', 1);"
    );
    sqlx::Executor::execute(&mut *write, sqlx::raw_sql(sqlx::AssertSqlSafe(paid))).await.unwrap();
    write.commit().await.unwrap();
    served.fill_wallet().await;
    assert!(owner.get("/payments/p1").await.body.contains("/payments/p1/refund"));
    let form = owner.get("/payments/p1/refund").await.body;
    assert!(form.contains("M-Pesa undoes the payment") && !form.contains("Pay the phone"), "{form}");
    let (_, rest) = form.split_once("name=\"occasion\" value=\"").unwrap();
    let occasion = rest.split_once('"').unwrap().0.to_owned();
    assert!(!owner.get("/payments/p1/refund").await.body.contains(&occasion), "each form has its own");
    let ask = async |owner: &mut Browser, way: &str, amount: &str, reason: &str| {
        let fields = [("way", way), ("amount", amount), ("reason", reason), ("occasion", &occasion)];
        owner.post("/payments/p1/refund", &fields).await
    };
    for (way, amount, reason, complaint) in [
        ("reversal", "", "", "say why"),
        ("reversal", "much", "twice", "is not an amount"),
        ("reversal", "5", "twice", "all of it goes back"),
        ("payout", "", "twice", "hides whose phone paid"),
    ] {
        let answer = ask(&mut owner, way, amount, reason).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.body.contains(complaint), "{complaint}: {}", answer.body);
    }
    assert!(owner.get("/refunds").await.body.contains("Nothing was given back yet"));
    let page = ask(&mut owner, "reversal", "", "paid twice").await.location().to_owned();
    assert_eq!(
        ask(&mut owner, "reversal", "", "paid twice").await.location(),
        page,
        "sent twice, asked once"
    );
    let shown = owner.get(&page).await.body;
    assert!(shown.contains("to be sent") && shown.contains("paid twice"), "{shown}");
    assert!(owner.get("/payments/p1").await.body.contains(&page), "the payment names its refund");
    assert!(owner.get("/refunds?state=held").await.body.contains(&page));
    assert!(owner.get("/refunds?state=done").await.body.contains("None stands so"));
    let mut viewer = served.browser(Role::Viewer).await;
    assert!(!viewer.get(&page).await.body.contains("Do not give it back"));
    assert_eq!(viewer.post(&format!("{page}/withdraw"), &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(viewer.get("/payments/p1/refund").await.status, StatusCode::FORBIDDEN);
    owner.post(&format!("{page}/withdraw"), &[]).await;
    let shown = owner.get(&page).await.body;
    assert!(shown.contains("It was not to be") && !shown.contains("Do not give it back"), "{shown}");
    owner.post(&format!("{page}/withdraw"), &[]).await;
    assert!(owner.get(&page).await.body.contains("Nothing was done: it has gone on meanwhile"));
    served.stop().await;
}

#[tokio::test]
async fn an_operator_moves_and_shares_out_no_more_than_the_limit_of_a_day() {
    let served = Served::start().await;
    let (other, _) = neighbour(&served.program(Role::Owner).await).await;
    let mut owner = served.browser(Role::Owner).await;
    let page = take(&mut owner, &served, "60000", "a1").await;
    let mut operator = served.browser(Role::Operator).await;
    let to = [("customer", other.as_str()), ("subscription", "wallet")];
    assert_eq!(operator.post(&format!("{page}/move"), &to).await.location(), page);
    let shown = operator.get(&page).await.body;
    assert!(
        shown.contains("Nothing was done: you may assign, move and share out KES 50,000.00 a day"),
        "{shown}"
    );
    let program = served.program(Role::Operator).await;
    let half = |customer: &str| serde_json::json!({"customer_id": customer, "amount_cents": 3_000_000});
    let own = served.world.customer.id.to_string();
    for (path, body) in [
        ("move", serde_json::json!({"customer_id": other})),
        ("split", serde_json::json!({"parts": [half(&other), half(&own)]})),
    ] {
        let answer = program.post(&format!("/api{page}/{path}"), &body).await;
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(answer.json()["error"]["code"], "over_limit", "{path}");
    }
    assert_eq!(owner.post(&format!("{page}/move"), &to).await.location(), page);
    assert!(owner.get(&page).await.body.contains("It is theirs now."));
    served.stop().await;
}

#[tokio::test]
async fn an_owner_books_a_row_that_no_rule_knows_by_its_form_and_nobody_else_does() {
    let served = Served::start().await;
    let csv = "Receipt No.,Completion Time,Details,Transaction Status,Paid In,Withdrawn,Balance,Balance Confirmed\n\
               RKL51ZDR4H,2026-09-20 12:13:25,Something new,Completed,,-3.00,4.00,true\n";
    let program = served.program(Role::Owner).await;
    let body = serde_json::json!({"csv": csv, "short_code": "174379"});
    assert_eq!(program.post("/api/payments/statements", &body).await.json()["for_review"], 1);
    let closes = program.read("/api/daily-closes/2026-09-20").await;
    let found = closes["closes"][0]["differences"].as_array().unwrap();
    let digest = found.iter().find_map(|one| one["statement_row"].as_str()).unwrap();
    let form = format!("/payments/review/statement_row/{digest}/book");
    let mut operator = served.browser(Role::Operator).await;
    assert_eq!(operator.get(&form).await.status, StatusCode::FORBIDDEN);
    let drawn = [("what", "bank"), ("note", "drawn by the owner")];
    assert_eq!(operator.post(&form, &drawn).await.status, StatusCode::FORBIDDEN);
    let mut owner = served.browser(Role::Owner).await;
    let shown = owner.get(&form).await.body;
    assert!(shown.contains("KES 3.00") && shown.contains("RKL51ZDR4H"), "{shown}");
    for (fields, complaint) in [
        ([("what", "lunch"), ("note", "x")], "say what it was"),
        ([("what", "bank"), ("note", " ")], "write 1 to 200 characters"),
    ] {
        let answer = owner.post(&form, &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.body.contains(complaint), "{}", answer.body);
    }
    assert_eq!(owner.post(&form, &drawn).await.location(), "/payments/days/2026-09-20");
    let day = owner.get("/payments/days/2026-09-20").await.body;
    assert!(day.contains("It is booked.") && day.contains("bank"), "{day}");
    assert_eq!(owner.post(&form, &drawn).await.location(), "/payments/review", "once");
    let closes = program.read("/api/daily-closes/2026-09-20").await;
    assert_eq!(closes["closes"][0]["ledger_moved_cents"], -300, "{closes}");
    served.stop().await;
}
