//! Rows that somebody else made, taken over on pages.

use sqlx::Row as _;
use tawi_shared::wire::{CommandKind, CommandStatus, ForeignRowV1, ForeignRowsV1, Service};

use crate::database::Together;
use crate::staff::Role;
use crate::web::display;
use crate::web::testing::{Answer, Browser, START, Served};
use crate::{adoption, commands, desired, subscriptions};

impl Served {
    /// The line of the world is paid for, so that its site is told of it.
    async fn pay_for_the_line(&self) {
        let mut write = self.controller.database.write().await.unwrap();
        let paid = (&self.world.line, START.plus(commands::LASTS));
        let together = Together::default();
        subscriptions::activate(&mut write, together, paid, START).await.unwrap();
        write.commit().await.unwrap();
    }

    /// What the audit log says of tables for adoption.
    async fn told_of_tables(&self) -> Vec<(String, String)> {
        let mut read = self.controller.database.read().await.unwrap();
        let query =
            "SELECT action, detail FROM audit_log WHERE action LIKE 'adoption_table.%' ORDER BY rowid";
        let rows = sqlx::query(query).fetch_all(&mut *read).await.unwrap();
        rows.iter().map(|row| (row.try_get(0).unwrap(), row.try_get(1).unwrap())).collect()
    }

    /// The plan of the world's line has a wall, so that its site is told of the line before anybody pays.
    async fn wall_in(&self) {
        self.execute("UPDATE plans SET suspension = 'walled'").await;
        let mut write = self.controller.database.write().await.unwrap();
        desired::refresh_line(&mut write, &self.world.line, START).await.unwrap();
        write.commit().await.unwrap();
    }
}

fn row(username: &str, comment: &str) -> ForeignRowV1 {
    ForeignRowV1 {
        service: Service::Pppoe.code(),
        username: username.into(),
        comment: comment.into(),
        profile: "old".into(),
        rate_limit: String::new(),
        is_disabled: false,
        is_online: true,
        address: String::new(),
        caller_id: String::new(),
    }
}

/// Rows are read by order, and the site names these.
async fn read_rows(served: &Served, browser: &mut Browser, rows: Vec<ForeignRowV1>) {
    let answer = browser.post("/sites/nyeri-01/routers/core/take-over/read", &[]).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    let command = served.newest_command().await.unwrap();
    assert_eq!(command.kind, Some(CommandKind::ListForeign));
    let rows =
        ForeignRowsV1 { command: command.id.to_string(), chunk: 0, chunks: 1, router: "core".into(), rows };
    let mut write = served.controller.database.write().await.unwrap();
    adoption::take_rows(&mut write, &served.world.site, &rows).await.unwrap();
    write.commit().await.unwrap();
    served.answer(CommandStatus::Succeeded, "2 rows").await;
}

/// What the preview would send on, as a browser has it.
pub(super) fn hidden(body: &str) -> Vec<(String, String)> {
    let inputs = body.split("<input type=\"hidden\" name=\"").skip(1);
    let field = |part: &str| {
        let (name, rest) = part.split_once("\" value=\"")?;
        Some((name.to_owned(), rest.split_once('"')?.0.to_owned()))
    };
    inputs.filter_map(field).filter(|(name, _)| name != "form_token").collect()
}

/// Confirms what a preview shows.
async fn confirm(browser: &mut Browser, preview: &str) -> Answer {
    let fields = hidden(preview);
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post("/sites/nyeri-01/routers/core/take-over/confirm", &fields).await
}

#[tokio::test]
async fn rows_are_taken_over_after_a_preview_and_nothing_before() {
    let served = Served::start().await;
    let mut operator = served.browser(Role::Operator).await;
    let to = "/sites/nyeri-01/routers/core/take-over";
    let phone = served.world.customer.phone.digits().to_owned();
    read_rows(&served, &mut operator, vec![row("plot17", &format!("+{phone}")), row("kiosk", "<i>")]).await;
    let sheet = operator.get(to).await.body;
    for wanted in ["plot17", "phone in the comment", &served.world.customer.name, "&#60;i&#62;"] {
        assert!(sheet.contains(wanted), "{wanted}: {sheet}");
    }
    let table = "user,name,phone,plan,until\nkiosk,New Kiosk,0722000111,Nothing,2026-12-01\n";
    let filled = operator.post(to, &[("table", table)]).await.body;
    assert!(
        filled.contains("value=\"New Kiosk\"") && filled.contains("there is no plan Nothing"),
        "{filled}"
    );

    let plan = served.world.plan.id.to_string();
    let account = served.world.customer.account_number.to_string();
    let typed = [
        ("take-0", "yes"),
        ("row-0", "1:kiosk"),
        ("customer-0", ""),
        ("name-0", "New Kiosk"),
        ("phone-0", "0722000111"),
        ("plan-0", plan.as_str()),
        ("until-0", "2026-10-21T16:13"),
        ("take-1", "yes"),
        ("row-1", "1:plot17"),
        ("customer-1", account.as_str()),
        ("plan-1", plan.as_str()),
        ("until-1", "2026-09-01T10:00"),
    ];
    let preview = operator.post(&format!("{to}/preview"), &typed).await;
    assert_eq!(preview.status, 200, "{}", preview.body);
    assert!(preview.body.contains("Not paid for any more: 1."), "{}", preview.body);
    let before = served.count("SELECT COUNT(*) FROM subscriptions").await;
    assert_eq!(before, 1, "a preview enters nothing");
    let fields = hidden(&preview.body);
    let send = |fields: &[(String, String)]| -> Vec<(String, String)> { fields.to_vec() };
    let mut changed = send(&fields);
    changed
        .iter_mut()
        .filter(|(name, _)| name == "until-1")
        .for_each(|(_, value)| *value = "2027-01-01T10:00".into());
    for (fields, status) in [(changed, 422), (send(&fields), 303), (send(&fields), 422)] {
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = operator.post(&format!("{to}/confirm"), &fields).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    assert_eq!(served.count("SELECT COUNT(*) FROM subscriptions").await, 3);
    assert_eq!(served.count("SELECT COUNT(*) FROM customers").await, 2);
    assert_eq!(served.count("SELECT COUNT(*) FROM subscriptions WHERE password = ''").await, 2);
    assert_eq!(served.count("SELECT COUNT(*) FROM commands WHERE kind = 5 AND standing = 'queued'").await, 2);
    assert_eq!(served.count("SELECT COUNT(*) FROM audit_log WHERE action = 'rows.taken_over'").await, 1);
    let mut read = served.controller.database.read().await.unwrap();
    let parts = desired::snapshot(&mut read, &served.world.site).await.unwrap();
    let lines: Vec<_> = parts.iter().flat_map(|part| &part.lines).collect();
    let of_plot = lines.iter().find(|line| line.username == "plot17").unwrap();
    assert_eq!((of_plot.password.as_str(), lines.len()), ("", 2));
    drop(read);
    assert!(
        operator.get(to).await.body.contains("With the name of a line that this site was told of: 2 rows")
    );
    let again = operator.post(&format!("{to}/again"), &[]).await;
    assert_eq!(again.status, 303);
    assert_eq!(served.count("SELECT COUNT(*) FROM commands WHERE kind = 5").await, 2, "both are still open");
    // One is done, and stands in the list of what was read all the same; the other did not come about.
    served
        .execute("UPDATE commands SET standing = 'succeeded' WHERE id = (SELECT MIN(id) FROM commands WHERE kind = 5)")
        .await;
    served.execute("UPDATE commands SET standing = 'failed' WHERE kind = 5 AND standing = 'queued'").await;
    operator.post(&format!("{to}/again"), &[]).await;
    assert_eq!(served.count("SELECT COUNT(*) FROM commands WHERE kind = 5").await, 3, "only that one");
    assert!(operator.get(to).await.body.contains("Ordered to be taken over: 1 row."));
    served.stop().await;
}

#[tokio::test]
async fn one_table_fills_in_every_page_and_what_is_ticked_on_a_page_is_taken_over() {
    let served = Served::start().await;
    let mut operator = served.browser(Role::Operator).await;
    let to = "/sites/nyeri-01/routers/core/take-over";
    let names: Vec<String> = (0..203).map(|number| format!("row{number:03}")).collect();
    read_rows(&served, &mut operator, names.iter().map(|name| row(name, "")).collect()).await;
    let plan = &served.world.plan.name;
    let rows = names.iter().enumerate();
    let rows = rows.map(|(at, name)| format!("{name},Customer {at},07220{at:05},{plan},2026-12-01\n"));
    let table = format!("user,name,phone,plan,until\n{}", rows.collect::<String>());
    let first = operator.post_file(to, table.as_bytes()).await.body;
    let count = |body: &str, text: &str| body.matches(text).count();
    assert_eq!((count(&first, "value=\"yes\" checked"), first.contains("page 1 of 3")), (100, true));
    assert!(first.contains("Of 203 rows the table says all of 203"), "{first}");
    let last = operator.get(&format!("{to}?page=3")).await.body;
    assert_eq!(count(&last, "value=\"yes\" checked"), 3, "{last}");
    assert!(last.contains("row202") && last.contains("?page=2") && !last.contains("?page=4"), "{last}");
    // What is too long to be shown stays when the form comes back without it; beyond the last page is the last.
    assert_eq!(count(&operator.post(to, &[("table", "")]).await.body, "value=\"yes\" checked"), 100);
    assert!(operator.get(&format!("{to}?page=99")).await.body.contains("page 3 of 3"));

    let take_over = async |operator: &mut Browser, page: &str| {
        let sheet = operator.get(&format!("{to}?page={page}")).await.body;
        let (_, form) = sheet.split_once("id=\"sheet\"").unwrap();
        let mut fields = hidden(form);
        for number in 0..count(form, "value=\"yes\" checked") {
            fields.push((format!("take-{number}"), "yes".into()));
            let value = |field: &str| {
                let (_, rest) = form.split_once(&format!("name=\"{field}-{number}\" value=\"")).unwrap();
                rest.split('"').next().unwrap().to_owned()
            };
            for field in ["name", "phone", "until"] {
                fields.push((format!("{field}-{number}"), value(field)));
            }
            fields.push((format!("plan-{number}"), served.world.plan.id.to_string()));
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let preview = operator.post(&format!("{to}/preview"), &fields).await;
        assert_eq!(preview.status, 200, "{}", preview.body);
        let done = confirm(operator, &preview.body).await;
        assert_eq!(done.status, 303, "{}", done.body);
        done.location().to_owned()
    };
    assert_eq!(take_over(&mut operator, "2").await, format!("{to}?page=2"));
    assert_eq!(served.count("SELECT COUNT(*) FROM subscriptions WHERE username LIKE 'row1%'").await, 100);
    assert_eq!(served.count("SELECT COUNT(*) FROM subscriptions").await, 101);
    assert_eq!(served.count("SELECT COUNT(*) FROM adoption_tables").await, 1, "some rows are left");
    let rest = operator.get(&format!("{to}?page=2")).await.body;
    assert!(rest.contains("page 2 of 2") && rest.contains("row200"), "{rest}");
    take_over(&mut operator, "1").await;
    take_over(&mut operator, "1").await;
    assert_eq!(served.count("SELECT COUNT(*) FROM subscriptions").await, 204);
    assert_eq!(served.count("SELECT COUNT(*) FROM adoption_tables").await, 0, "nobody needs it any more");
    let told = served.told_of_tables().await;
    let actions: Vec<&str> = told.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["adoption_table.kept", "adoption_table.forgotten"]);
    served.stop().await;
}

#[tokio::test]
async fn a_table_is_forgotten_on_request() {
    let served = Served::start().await;
    let mut operator = served.browser(Role::Operator).await;
    let to = "/sites/nyeri-01/routers/core/take-over";
    read_rows(&served, &mut operator, vec![row("kiosk", "")]).await;
    let table = "user,name,phone\nkiosk,New Kiosk,0722000111\n";
    assert!(operator.post(to, &[("table", table)]).await.body.contains("value=\"New Kiosk\""));
    assert!(operator.get(to).await.body.contains("value=\"New Kiosk\""), "it is kept");
    let other = table.replace("New", "Other");
    assert!(operator.post(to, &[("table", &other)]).await.body.contains("value=\"Other Kiosk\""));
    for _ in 0..2 {
        let forgotten = operator.post(to, &[("table", table), ("forget", "yes")]).await.body;
        assert!(!forgotten.contains("New Kiosk") && !forgotten.contains("Forget this table"), "{forgotten}");
    }
    assert_eq!(served.count("SELECT COUNT(*) FROM adoption_tables").await, 0);
    let told = served.told_of_tables().await;
    let expected = [
        ("adoption_table.kept", "1 row for router core"),
        ("adoption_table.replaced", "1 row for router core"),
        ("adoption_table.forgotten", "for router core"),
    ];
    assert_eq!(told, expected.map(|(action, detail)| (action.to_owned(), detail.to_owned())));
    served.stop().await;
}

#[tokio::test]
async fn a_table_that_nobody_needs_is_not_shown_after_fourteen_days_and_can_be_forgotten_before() {
    let served = Served::start().await;
    let mut operator = served.browser(Role::Operator).await;
    let to = "/sites/nyeri-01/routers/core/take-over";
    read_rows(&served, &mut operator, vec![row("kiosk", "")]).await;
    operator.post(to, &[("table", "user,name,phone\nkiosk,New Kiosk,0722000111\n")]).await;
    let days = async |days: u64| {
        served.controller.clock.advance(std::time::Duration::from_secs(days * 86_400));
        served.browser(Role::Operator).await.get(to).await.body
    };
    assert!(days(13).await.contains("value=\"New Kiosk\""));
    // The rows became lines by another way.
    served.pay_for_the_line().await;
    served.execute("UPDATE foreign_rows SET username = (SELECT username FROM subscriptions)").await;
    let shown = days(0).await;
    assert!(shown.contains("No row of somebody else") && shown.contains("Forget this table"), "{shown}");
    served.execute("UPDATE foreign_rows SET username = 'kiosk'").await;
    let shown = days(2).await;
    assert!(shown.contains("kiosk") && !shown.contains("New Kiosk"), "{shown}");
    assert!(!shown.contains("Forget this table"), "{shown}");
    served.stop().await;
}

#[tokio::test]
async fn a_text_that_cannot_be_read_as_a_table_is_shown_again_and_not_kept() {
    let served = Served::start().await;
    let mut operator = served.browser(Role::Operator).await;
    let to = "/sites/nyeri-01/routers/core/take-over";
    read_rows(&served, &mut operator, vec![row("kiosk", "")]).await;
    let kept = "SELECT COUNT(*) FROM adoption_tables";
    for text in ["Dear Wanjiru, 0722000111", "user,name\nkiosk,\"New"] {
        let shown = operator.post(to, &[("table", text)]).await.body;
        assert!(shown.contains("<ul class=\"note bad\"><li>"), "{shown}");
        assert!(shown.contains(text.split(['\n', '"']).next().unwrap()), "{shown}");
        assert_eq!(served.count(kept).await, 0, "{text}");
    }
    let table = "user,name,phone\nkiosk,New Kiosk,0722000111\n";
    operator.post(to, &[("table", table)]).await;
    let shown = operator.post(to, &[("table", "Dear Wanjiru")]).await.body;
    assert!(shown.contains("Dear Wanjiru") && shown.contains("value=\"New Kiosk\""), "{shown}");
    assert!(operator.get(to).await.body.contains("value=\"New Kiosk\""), "the one before is kept");
    // It can be read, and nothing of it is of use.
    for faulty in
        ["user,account,plan\nkiosk,123,Gold\n", "user,name,phone\nattic,Attic,0722000222\n", "user\nkiosk\n"]
    {
        let shown = operator.post(to, &[("table", faulty)]).await.body;
        assert!(shown.contains("the table that was kept stays"), "{shown}");
        assert!(operator.get(to).await.body.contains("value=\"New Kiosk\""), "{faulty}");
    }
    assert_eq!(served.told_of_tables().await.len(), 1);
    served.stop().await;
}

#[tokio::test]
async fn lines_whose_row_has_another_password_are_named_before_it_is_taken_over() {
    let served = Served::start().await;
    let mut operator = served.browser(Role::Operator).await;
    let to = "/sites/nyeri-01/routers/core/take-over";
    let line = served.text("SELECT username FROM subscriptions").await;
    served.pay_for_the_line().await;
    read_rows(&served, &mut operator, vec![row(&line, ""), row("kiosk", "")]).await;
    let shown = operator.get(to).await.body;
    assert!(shown.contains(&format!("Head office has passwords of its own for {line}.")), "{shown}");
    served.execute("UPDATE subscriptions SET password = ''").await;
    assert!(!operator.get(to).await.body.contains("passwords of its own"));
    served.stop().await;
}

#[tokio::test]
async fn a_viewer_takes_nothing_over() {
    let served = Served::start().await;
    let mut viewer = served.browser(Role::Viewer).await;
    let to = "/sites/nyeri-01/routers/core/take-over";
    assert_eq!(viewer.get(to).await.status, 403);
    for step in ["", "/read", "/again", "/preview", "/confirm"] {
        assert_eq!(viewer.post(&format!("{to}{step}"), &[]).await.status, 403, "{step}");
    }
    let mut operator = served.browser(Role::Operator).await;
    let nothing = operator.post(&format!("{to}/preview"), &[]).await;
    assert_eq!((nothing.status, nothing.location()), (303, to));
    assert_eq!(operator.get("/sites/nyeri-01/routers/attic/take-over").await.status, 404);
    served.stop().await;
}

#[tokio::test]
async fn a_table_is_chosen_as_a_file_and_what_is_wrong_with_it_is_said_by_its_line() {
    let served = Served::start().await;
    let mut operator = served.browser(Role::Operator).await;
    let to = "/sites/nyeri-01/routers/core/take-over";
    read_rows(&served, &mut operator, vec![row("kiosk", "")]).await;
    let table =
        "\u{feff}user,name,phone,plan\r\nkiosk,\"New, Kiosk\",0722000111,Day\r\nattic,,,\r\nkiosk,,,Gold\r\n";
    let filled = operator.post_file(to, table.as_bytes()).await;
    assert_eq!(filled.status, 200);
    for said in [
        "line 3: attic is no row of this router",
        "line 4: kiosk: there is no plan Gold",
        "line 4: kiosk stands here for the second time",
        "kiosk,&#34;New, Kiosk&#34;,0722000111,Day",
    ] {
        assert!(filled.body.contains(said), "{said}: {}", filled.body);
    }
    let once = operator.post_file(to, table.split("attic").next().unwrap().as_bytes()).await.body;
    assert!(once.contains("value=\"New, Kiosk\"") && !once.contains("note bad"), "{once}");
    // As long as a form takes, each character of it five in the page: read, and not shown again.
    let long = format!(
        "user,name,phone\r\nkiosk,New Kiosk,0722000111\r\n{}",
        format!("\"{}\"\r\n", "\"\"".repeat(200)).repeat(4_900)
    );
    let long = operator.post_file(to, long.as_bytes()).await;
    assert!(long.status == 200 && long.body.contains("value=\"New Kiosk\""), "{}", long.status);
    assert!(long.body.contains("too long to be shown here"), "{}", long.body.len());
    assert!(long.body.len() < 64 * 1024, "{}", long.body.len());
    let latin = operator.post_file(to, b"user,name\nkiosk,Caf\xe9\n").await.body;
    assert!(latin.contains("line 2: this is not UTF-8"), "{latin}");
    let large = operator.post_file(to, &vec![b'x'; 2 * 1024 * 1024 + 1]).await;
    assert!(large.status == 413 && large.body.contains("2 MiB"), "{} {}", large.status, large.body);
    let mut stranger = served.stranger();
    assert_eq!(stranger.post_file(to, table.as_bytes()).await.status, 303, "to the door");
    operator.form_token = "another".to_owned();
    assert_eq!(operator.post_file(to, table.as_bytes()).await.status, 403, "a form of another site");
    served.stop().await;
}

#[tokio::test]
async fn a_line_that_was_entered_under_another_name_takes_the_rows_and_nothing_before_it_is_confirmed() {
    let served = Served::start().await;
    let program = served.program(Role::Operator).await;
    let mut operator = served.browser(Role::Operator).await;
    let (to, world) = ("/sites/nyeri-01/routers/core/take-over", &served.world);
    let new = serde_json::json!({"customer_id": world.customer.id, "plan_id": world.plan.id,
        "router_id": world.router, "username": "acc-1", "password": "of-nobody", "address": "10.9.0.1"});
    let line = program.post("/api/subscriptions", &new).await.json()["id"].as_str().unwrap().to_owned();
    // The other line of that customer has a row of its own.
    served.pay_for_the_line().await;
    let account = world.customer.account_number.to_string();
    read_rows(&served, &mut operator, vec![row("plot17", &account)]).await;
    let sheet = operator.get(to).await.body;
    assert!(sheet.contains("name=\"line-0\" value=\"acc-1\""), "{sheet}");
    let typed = |line: &'static str| {
        [("take-0", "yes"), ("row-0", "1:plot17"), ("line-0", line), ("until-0", "2026-10-21T16:13")]
    };
    let refused = operator.post(&format!("{to}/preview"), &typed("line-1")).await;
    assert!(refused.status == 422 && refused.body.contains("has a row of its own"), "{}", refused.body);
    let preview = operator.post(&format!("{to}/preview"), &typed("acc-1")).await;
    assert!(preview.body.contains("the line acc-1 takes this name"), "{}", preview.body);
    let before = program.read(&format!("/api/subscriptions/{line}")).await;
    assert_eq!((&before["username"], &before["status"]), (&"acc-1".into(), &"draft".into()));
    assert_eq!(confirm(&mut operator, &preview.body).await.status, 303);
    let after = program.read(&format!("/api/subscriptions/{line}")).await;
    assert_eq!((&after["username"], &after["status"]), (&"plot17".into(), &"active".into()));
    assert!(after["address"].is_null(), "what the row has not, the line has not: {after}");
    let told = "SELECT COUNT(*) FROM commands WHERE kind = 5 AND argument = 'plot17' AND line_id IS NOT NULL";
    assert_eq!(served.count(told).await, 1);
    let mut read = served.controller.database.read().await.unwrap();
    let parts = desired::snapshot(&mut read, &world.site).await.unwrap();
    let of_plot = parts.iter().flat_map(|part| &part.lines).find(|told| told.line == line).unwrap();
    assert_eq!(
        (of_plot.username.as_str(), of_plot.password.as_str()),
        ("plot17", ""),
        "the password is the row's"
    );
    drop(read);
    assert_eq!(served.count("SELECT COUNT(*) FROM subscriptions").await, 2);
    served.stop().await;
}

#[tokio::test]
async fn a_line_that_was_entered_under_the_rows_own_name_takes_it_with_the_time_of_the_table() {
    let served = Served::start().await;
    let program = served.program(Role::Operator).await;
    let mut operator = served.browser(Role::Operator).await;
    let (to, world) = ("/sites/nyeri-01/routers/core/take-over", &served.world);
    let new = serde_json::json!({"customer_id": world.customer.id, "plan_id": world.plan.id,
        "router_id": world.router, "username": "plot17", "password": "of-nobody", "address": "10.9.0.1"});
    let line = program.post("/api/subscriptions", &new).await.json()["id"].as_str().unwrap().to_owned();
    read_rows(&served, &mut operator, vec![row("plot17", ""), row("kiosk", "")]).await;
    assert_eq!(operator.post(&format!("{to}/again"), &[]).await.status, 303);
    let orders = "SELECT COUNT(*) FROM commands WHERE kind = 5";
    assert_eq!(served.count(orders).await, 0, "the site has no line to which it could give the row");
    let sheet = operator.post(to, &[("table", "user,until\nplot17,2026-10-21\n")]).await.body;
    assert!(sheet.contains("name=\"until-1\" value=\"2026-10-21T23:59\""), "{sheet}");
    assert!(sheet.contains("has the line of this name"), "{sheet}");
    let account = world.customer.account_number.to_string();
    let plan = world.plan.id.to_string();
    let typed = [
        ("take-1", "yes"),
        ("row-1", "1:plot17"),
        ("customer-1", account.as_str()),
        ("line-1", "plot17"),
        ("given-line-1", "plot17"),
        ("plan-1", plan.as_str()),
        ("given-plan-1", plan.as_str()),
        ("until-1", "2026-10-21T23:59"),
    ];
    let preview = operator.post(&format!("{to}/preview"), &typed).await;
    assert!(preview.status == 200 && preview.body.contains("the line of this name"), "{}", preview.body);
    assert!(preview.body.contains("Entered for it: 0 lines"), "{}", preview.body);
    for change in
        ["address becomes 10.9.0.1", "profile old becomes", "the one that head office has for this line"]
    {
        assert!(preview.body.contains(change), "{change}: {}", preview.body);
    }
    assert_eq!(confirm(&mut operator, &preview.body).await.status, 303);
    let after = program.read(&format!("/api/subscriptions/{line}")).await;
    assert_eq!((&after["username"], &after["status"]), (&"plot17".into(), &"active".into()));
    let until = display::local("2026-10-21T23:59").unwrap();
    assert_eq!(after["paid_until_ms"].as_i64(), Some(until.0), "{after}");
    assert_eq!(after["address"].as_str(), Some("10.9.0.1"), "what was entered with the line stays: {after}");
    assert_eq!(
        served.text("SELECT password FROM subscriptions WHERE username = 'plot17'").await,
        "of-nobody"
    );
    assert_eq!(served.count(orders).await, 1);
    let sheet = operator.post(to, &[("table", "user,until\nplot17,2026-11-21\nkiosk,\n")]).await.body;
    assert!(sheet.contains("plot17 is not used: its line was paid for before"), "{sheet}");
    let sheet =
        operator.post(to, &[("table", "user,until\nplot17,2026-10-21\nkiosk,2026-12-01\n")]).await.body;
    assert!(!sheet.contains("is not used"), "what was used is not complained of: {sheet}");
    served.stop().await;
}

/// A plan with a wall is told of before anybody pays, and its line can have no row while somebody else's has its name.
#[tokio::test]
async fn a_line_that_is_walled_in_from_the_beginning_takes_the_row_of_its_name_with_the_time_of_the_table() {
    let served = Served::start().await;
    let mut operator = served.browser(Role::Operator).await;
    let to = "/sites/nyeri-01/routers/core/take-over";
    let name = served.text("SELECT username FROM subscriptions").await;
    served.wall_in().await;
    let told = "SELECT COUNT(*) FROM desired_lines WHERE is_removed = 0";
    assert_eq!(served.count(told).await, 1, "the site knows the line that nobody has paid for");
    let key = format!("1:{name}");
    read_rows(&served, &mut operator, vec![row(&name, "")]).await;
    assert_eq!(operator.post(&format!("{to}/again"), &[]).await.status, 303);
    let orders = "SELECT COUNT(*) FROM commands WHERE kind = 5";
    assert_eq!(served.count(orders).await, 0, "nobody has seen what that would do");
    let table = format!("user,until\n{name},2026-10-21\n");
    let sheet = operator.post(to, &[("table", &table)]).await.body;
    assert!(sheet.contains("name=\"until-0\" value=\"2026-10-21T23:59\""), "{sheet}");
    let typed = [("take-0", "yes"), ("row-0", key.as_str()), ("until-0", "2026-10-21T23:59")];
    let preview = operator.post(&format!("{to}/preview"), &typed).await;
    assert_eq!(confirm(&mut operator, &preview.body).await.status, 303, "{}", preview.body);
    assert_eq!(served.count(orders).await, 1);
    assert_eq!(served.count("SELECT COUNT(*) FROM subscriptions WHERE paid_until IS NOT NULL").await, 1);
    served.stop().await;
}

/// What was paid for when it was shown may be over when it is confirmed.
#[tokio::test]
async fn whoever_is_over_by_the_time_of_the_confirmation_is_shown_first() {
    let served = Served::start().await;
    let mut operator = served.browser(Role::Operator).await;
    let to = "/sites/nyeri-01/routers/core/take-over";
    read_rows(&served, &mut operator, vec![row("plot17", "")]).await;
    let (plan, account) =
        (served.world.plan.id.to_string(), served.world.customer.account_number.to_string());
    let until = display::local_field(START.plus(std::time::Duration::from_secs(300)));
    let typed = [
        ("take-0", "yes"),
        ("row-0", "1:plot17"),
        ("customer-0", account.as_str()),
        ("plan-0", plan.as_str()),
        ("until-0", until.as_str()),
    ];
    let preview = operator.post(&format!("{to}/preview"), &typed).await;
    assert!(!preview.body.contains("Not paid for any more"), "{}", preview.body);
    served.controller.clock.advance(std::time::Duration::from_secs(301));
    let answer = confirm(&mut operator, &preview.body).await;
    assert!(answer.status == 422 && answer.body.contains("Not paid for any more: 1"), "{}", answer.body);
    served.stop().await;
}

#[tokio::test]
async fn a_row_of_another_service_is_no_row_of_the_line_of_its_name_and_a_guests_own_limits_are_said_to_go() {
    let served = Served::start().await;
    let mut operator = served.browser(Role::Operator).await;
    let to = "/sites/nyeri-01/routers/core/take-over";
    served.pay_for_the_line().await;
    let name = served.text("SELECT username FROM subscriptions").await;
    let guest = |name: &str| ForeignRowV1 { service: Service::Hotspot.code(), ..row(name, "") };
    read_rows(&served, &mut operator, vec![guest(&name), guest("guest")]).await;
    let before = served.count("SELECT COUNT(*) FROM commands").await;
    operator.post(&format!("{to}/again"), &[]).await;
    assert_eq!(served.count("SELECT COUNT(*) FROM commands").await, before, "its agent could not take it");

    served.execute("UPDATE connection_types SET service_name = 'hotspot', family = 'hotspot'").await;
    let key = format!("{}:guest", Service::Hotspot.code());
    let typed = [
        ("take-0", "yes"),
        ("row-0", key.as_str()),
        ("customer-0", served.world.customer.account_number.as_str()),
        ("plan-0", served.world.plan.id.as_str()),
        ("until-0", "2026-12-21T16:13"),
    ];
    let preview = operator.post(&format!("{to}/preview"), &typed).await;
    let words = "Limits of time and data that 1 hotspot user had on the router go";
    assert!(preview.status == 200 && preview.body.contains(words), "{}", preview.body);
    served.stop().await;
}
