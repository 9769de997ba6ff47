//! Every page as people see it: on a phone and on a desk, light and dark, empty and full, before and after a mistake.
//! It fits, it can be read, its fields have labels and its charts have words; `faults.js` says what is looked for.
//!
//! `TAWI_PICTURES=some/directory cargo test -p tawi-tests --test browser` leaves a picture of each page there.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use daraja_sim::{Behaviour, PaybillOutcome, PaybillPayment, Phone};
use serde_json::{Value, json};
use tawi_tests::backhaul::Outage;
use tawi_tests::browser::Browser;
use tawi_tests::office::Office;
use tawi_tests::stories;
use tawi_tests::world::{Customer, ROUTER_NAME, World};

use super::desk::{self, finish, sign_in};
use super::routes;

/// A narrow phone, in CSS pixels.
const PHONE: (u32, u32) = (360, 1_400);
/// A desk.
const DESK: (u32, u32) = (1_280, 1_000);
/// What is wrong with the page that is shown.
const FAULTS: &str = include_str!("faults.js");
const WITHIN: Duration = Duration::from_secs(60);
const GIGABYTE: u64 = 1_000_000_000;
/// More than the agent's guard lets go at once.
const HELD: usize = 12;

#[expect(clippy::disallowed_methods, reason = "a developer's switch, not configuration")]
fn pictures() -> Option<PathBuf> {
    let directory = PathBuf::from(std::env::var_os("TAWI_PICTURES")?);
    std::fs::create_dir_all(&directory).unwrap();
    Some(directory)
}

/// Somebody who looks at pages, and what they found.
struct Looker<'a> {
    browser: &'a Browser,
    pictures: Option<PathBuf>,
    faults: Vec<String>,
    /// Paths of the pages that were opened.
    opened: Vec<String>,
}

impl<'a> Looker<'a> {
    fn new(browser: &'a Browser) -> Self {
        Self { browser, pictures: pictures(), faults: Vec::new(), opened: Vec::new() }
    }

    async fn open(&mut self, name: &str, path: &str) -> anyhow::Result<()> {
        self.browser.open(path).await?;
        self.opened.push(path.to_owned());
        self.look(name).await
    }

    /// Looks at the page that is shown, with all that is folded away.
    async fn look(&mut self, name: &str) -> anyhow::Result<()> {
        let browser = self.browser;
        for (screen, (width, height)) in [("phone", PHONE), ("desk", DESK)] {
            for (colours, is_dark) in [("light", false), ("dark", true)] {
                browser.look(width, height, is_dark).await?;
                browser
                    .value("document.querySelectorAll('details').forEach((fold) => fold.open = true)")
                    .await?;
                let widths =
                    browser.value("[window.innerWidth, document.documentElement.scrollWidth]").await?;
                ensure!(widths[0] == width, "{name}: the window is {widths}");
                let shown = format!("{name} ({screen}, {colours})");
                if widths[1].as_u64() > Some(u64::from(width)) {
                    self.faults.push(format!("{shown} scrolls sideways: {widths}"));
                }
                let ground = browser.value("getComputedStyle(document.body).backgroundColor").await?;
                let is_light = ground.as_str().is_some_and(|colour| colour.starts_with("rgb(2"));
                ensure!(is_light != is_dark, "{shown}: the ground is {ground}");
                let faults = browser.value(FAULTS).await?;
                let faults = faults.as_array().context("faults are a list")?;
                self.faults
                    .extend(faults.iter().filter_map(Value::as_str).map(|fault| format!("{shown}: {fault}")));
                if let Some(directory) = &self.pictures {
                    browser.picture(&directory.join(format!("{name}-{screen}-{colours}.png"))).await?;
                }
            }
        }
        browser.look(DESK.0, DESK.1, false).await
    }

    fn found(self) -> anyhow::Result<()> {
        ensure!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        Ok(())
    }
}

/// What is sold: a plan with everything that a plan can say, and top-ups for it.
async fn sell(world: &World) -> anyhow::Result<(String, String)> {
    let office = &world.office;
    let kind = json!({
        "service_name": "pppoe", "profile_name": "business-premium-50-with-burst",
        "download_bits_per_second": 50_000_000, "upload_bits_per_second": 20_000_000,
        "download_burst_bits_per_second": 80_000_000, "upload_burst_bits_per_second": 40_000_000,
        "download_threshold_bits_per_second": 30_000_000, "upload_threshold_bits_per_second": 15_000_000,
        "burst_seconds": 16, "priority": 2, "shared_users": 1,
    });
    let kind = office.create("/api/connection-types", &kind).await?;
    let slow = json!({
        "how": "throttled", "download_bits_per_second": 1_000_000, "upload_bits_per_second": 512_000,
    });
    let plan = json!({
        "name": "Business 50 for guest houses", "connection_type_id": kind, "price_cents": 450_000,
        "validity_seconds": 30 * 86_400, "data_quota_bytes": 50 * GIGABYTE, "after_quota": slow,
        "suspension": {"how": "walled"}, "offline": {"after_hours": 72, "then": slow},
        "description": "For guest houses and offices with up to thirty people, with support on the same day",
    });
    let plan = office.create("/api/plans", &plan).await?;
    let any = json!({"name": "1 GB more", "price_cents": 10_000, "bytes": GIGABYTE});
    office.create("/api/top-ups", &any).await?;
    let own =
        json!({"name": "Guest house 20 GB", "price_cents": 100_000, "bytes": 20 * GIGABYTE, "plan_id": plan});
    office.create("/api/top-ups", &own).await?;
    Ok((kind, plan))
}

/// Rows that somebody else made on the router, and that the agent has read for head office.
async fn foreign_rows(world: &World) -> anyhow::Result<()> {
    let router = world.site(0)?.router.router();
    for (name, comment) in
        [("kiosk17", "0722000111 kiosk by the road"), ("plot18", ""), ("old-mill", "Mill, paid until June")]
    {
        let secret = [
            ("name", name),
            ("password", "known to nobody at head office"),
            ("service", "pppoe"),
            ("profile", "default"),
            ("comment", comment),
        ];
        router.add_row("ppp/secret", &secret)?;
    }
    Ok(())
}

/// Twelve lines are put on hold while the site is away; its guard holds that back.
async fn held(world: &World, customers: &[Customer]) -> anyhow::Result<()> {
    let site = world.site(0)?;
    site.backhaul.cut(Outage::Reset);
    stories::wait_for_site(&world.office, &site.id, false).await?;
    for customer in customers {
        world.office.post(&format!("/api/subscriptions/{}/hold", customer.subscription), &json!({})).await?;
    }
    site.backhaul.mend();
    stories::wait_for_site(&world.office, &site.id, true).await
}

/// Somebody pays by Paybill, and types a phone number that nobody has as the account.
async fn nobodys(world: &World, payer: &Customer, amount: u32) -> anyhow::Result<String> {
    let (short_code, account) = ("174379".to_owned(), "0799 000 999".to_owned());
    let payment = PaybillPayment { short_code, amount, account };
    let outcome = world.daraja.handle().pay_by_paybill(&payer.phone, &payment).await?;
    let PaybillOutcome::Paid { receipt } = outcome else { bail!("Paybill: {outcome:?}") };
    let path = format!("/api/payments?receipt={receipt}");
    let booked = async |office: &Office| {
        let found = office.get(&path).await?;
        Ok(found["payments"][0]["id"].as_str().map(ToOwned::to_owned))
    };
    world.office.wait_for("the payment is booked", WITHIN, booked).await
}

/// Something that does not say what was paid comes to the address that only Safaricom knows; where it is read.
async fn strange(world: &World) -> anyhow::Result<String> {
    let registrations = world.daraja.handle().registrations();
    let (_, registration) = registrations.first_key_value().context("addresses are registered")?;
    let strange = json!({"TransactionType": "Pay Bill", "TransID": "TKR0000001", "BillRefNumber": "plot 7"});
    let url = registration.confirmation_url.as_str();
    reqwest::Client::new().post(url).json(&strange).send().await?.error_for_status()?;
    let listed = async |office: &Office| {
        let list = office.get("/api/payments/review").await?;
        let items = list["items"].as_array().context("a list")?;
        let found = items.iter().find(|item| item["kind"] == "callback");
        Ok(found.and_then(|item| Some(format!("/payments/review/callback/{}", item["id"].as_str()?))))
    };
    world.office.wait_for("it is on the list", WITHIN, listed).await
}

/// A statement tells of a withdrawal that no rule books; where an owner books it.
async fn unbooked(world: &World) -> anyhow::Result<String> {
    let csv = "Receipt No.,Completion Time,Details,Transaction Status,Paid In,Withdrawn,Balance\n\
               RKL51ZDR4H,2026-11-21 12:13:25,Business Payment,Completed,,-300.00,700.00\n";
    let statement = json!({"csv": csv, "short_code": "174379"});
    world.office.post("/api/payments/statements", &statement).await?;
    let list = world.office.get("/api/payments/review").await?;
    let items = list["items"].as_array().context("a list")?;
    let found = items.iter().find(|item| item["kind"] == "statement_row").context("it waits")?;
    Ok(format!("/payments/review/statement_row/{}/book", found["id"].as_str().context("an id")?))
}

/// A day of an ISP: who paid, who refused, who moved data, who has nothing yet.
struct Day {
    busy: Customer,
    refusing: Customer,
    empty: String,
    payment: String,
    nobodys: String,
    refund: String,
    strange: String,
    unbooked: String,
    kind: String,
    plan: String,
}

async fn day(world: &World) -> anyhow::Result<Day> {
    let office = &world.office;
    let (kind, plan) = sell(world).await?;
    let busy = desk::customer(world, &plan, 1).await?;
    let refusing = desk::customer(world, &plan, 2).await?;
    let home =
        world.add_plan("Home 10", routeros_sim::Service::Pppoe, "home-10", 10, 150_000, 30 * 86_400).await?;
    let mut many = Vec::new();
    for number in (3..).take(HELD) {
        many.push(desk::customer(world, &home, number).await?);
    }
    let refuses = Phone { behaviour: Behaviour::Refuse, ..Phone::default() };
    world.daraja.handle().set_phone(&refusing.phone, refuses)?;
    office.ask_for_payment(&refusing.subscription).await?;
    desk::all_come_online(world, &many).await?;
    desk::all_come_online(world, std::slice::from_ref(&busy)).await?;
    let router = world.site(0)?.router.router();
    router.wait_for(WITHIN, || router.move_traffic(&busy.device, 3 * GIGABYTE, 40 * GIGABYTE).ok()).await?;
    let usage = format!("/api/subscriptions/{}", busy.subscription);
    let counted = async |office: &Office| {
        let line = office.get(&usage).await?;
        Ok((line["period"]["used_bytes"].as_u64() >= Some(43 * GIGABYTE)).then_some(()))
    };
    office.wait_for("the bytes are counted", WITHIN, counted).await?;
    held(world, &many).await?;
    foreign_rows(world).await?;
    let payment = office.payments(1).await?.into_iter().next().context("a payment")?.id;
    world.command(&["--json", "mpesa", "register-urls"]).await?;
    let paid_back = nobodys(world, &refusing, 800).await?;
    let back = json!({"way": "reversal", "reason": "paid for somebody who has moved away since"});
    let refund = office.create(&format!("/api/payments/{paid_back}/refunds"), &back).await?;
    let nobodys = nobodys(world, &refusing, 700).await?;
    let strange = strange(world).await?;
    let unbooked = unbooked(world).await?;
    let long = "A guest house with a very long name beside the old railway station";
    let empty = office.create("/api/customers", &json!({"name": long, "phone": "0733000111"})).await?;
    Ok(Day { busy, refusing, empty, payment, nobodys, refund, strange, unbooked, kind, plan })
}

/// All pages with something on them.
fn full(day: &Day) -> Vec<(&'static str, String)> {
    let (busy, empty) = (&day.busy, &day.empty);
    vec![
        ("overview", "/".to_owned()),
        ("customers", "/customers".to_owned()),
        ("customers-none", "/customers?query=nobody".to_owned()),
        ("customer-new", "/customers/new".to_owned()),
        ("customer-busy", format!("/customers/{}", busy.customer)),
        ("customer-due", format!("/customers/{}", day.refusing.customer)),
        ("customer-empty", format!("/customers/{empty}")),
        ("wallet", format!("/customers/{}/wallet", busy.customer)),
        ("wallet-empty", format!("/customers/{empty}/wallet")),
        ("subscription-new", format!("/customers/{empty}/subscriptions/new")),
        ("subscription-edit", format!("/subscriptions/{}", busy.subscription)),
        ("payment-code", format!("/subscriptions/{}/code", busy.subscription)),
        ("payment", format!("/payments/{}", day.payment)),
        ("payment-nobodys", format!("/payments/{}", day.nobodys)),
        ("receipt", format!("/payments/{}/receipt", day.payment)),
        ("counter", format!("/customers/{}/counter", busy.customer)),
        ("counter-no-line", format!("/customers/{empty}/counter")),
        ("cash", "/cash".to_owned()),
        ("payments", "/payments".to_owned()),
        ("days", "/payments/days".to_owned()),
        ("day", "/payments/days/today".to_owned()),
        ("mpesa-health", "/mpesa/health".to_owned()),
        ("payments-none", "/payments?text=nothing".to_owned()),
        ("payments-complaint", "/payments?from=yesterday".to_owned()),
        ("assign", format!("/payments/{}/assign", day.nobodys)),
        ("assign-to", format!("/payments/{}/assign?customer={}", day.nobodys, busy.customer)),
        ("refunds", "/refunds".to_owned()),
        ("refund", format!("/refunds/{}", day.refund)),
        ("give-back", format!("/payments/{}/refund", day.payment)),
        ("correct", format!("/payments/{}/correct", day.payment)),
        ("correct-to", format!("/payments/{}/correct?customer={}", day.payment, day.refusing.customer)),
        ("review", "/payments/review".to_owned()),
        ("review-as-it-came", day.strange.clone()),
        ("review-book", day.unbooked.clone()),
        ("day-of-a-statement", "/payments/days/2026-11-21".to_owned()),
        ("statement", "/payments/statement".to_owned()),
        ("sites", "/sites".to_owned()),
        ("site-held", "/sites/nyeri-01".to_owned()),
        ("take-over", take_over()),
        ("upgrades", "/upgrades".to_owned()),
        ("plans", "/plans".to_owned()),
        ("plan", format!("/plans/{}", day.plan)),
        ("connection-type", format!("/connection-types/{}", day.kind)),
        ("router-writes", "/router-writes".to_owned()),
        ("router-writes-none", "/router-writes?text=nothing+has+these+words".to_owned()),
        ("router-writes-complaint", "/router-writes?from=yesterday".to_owned()),
        ("messages", "/messages".to_owned()),
        ("messages-none", "/messages?state=failed".to_owned()),
        ("messages-complaint", "/messages?from=yesterday".to_owned()),
        ("templates", "/messages/templates".to_owned()),
        ("template", "/messages/templates/site_offline/sw".to_owned()),
        ("not-there", "/nothing".to_owned()),
    ]
}

fn take_over() -> String {
    format!("/sites/nyeri-01/routers/{ROUTER_NAME}/take-over")
}

/// Sends what the form says, right or wrong, past what the browser itself would say.
async fn send(browser: &Browser, form: &str, fields: &[(&str, &str)], heading: &str) -> anyhow::Result<()> {
    let form = format!("form[action='{form}']");
    browser.value("document.querySelectorAll('details').forEach((fold) => fold.open = true)").await?;
    browser.value(&format!("document.querySelector(\"{form}\").noValidate = true")).await?;
    for (name, text) in fields {
        browser.fill(&format!("{form} [name='{name}']"), text).await?;
    }
    browser.click(&format!("{form} button:not([formaction])")).await?;
    browser.wait_for_text("main", heading).await
}

/// What forms say of mistakes.
async fn mistakes(looker: &mut Looker<'_>, day: &Day) -> anyhow::Result<()> {
    let browser = looker.browser;
    browser.open(&format!("/customers/{}", day.refusing.customer)).await?;
    let ask = format!("/subscriptions/{}/payment-requests", day.refusing.subscription);
    send(browser, &ask, &[("amount", "a lot")], "is not an amount").await?;
    looker.look("ask-complaint").await?;
    let assign = format!("/payments/{}/assign", day.nobodys);
    browser.open(&assign).await?;
    send(browser, &format!("{assign}/search"), &[("q", "nobody")], "Nobody is found").await?;
    looker.look("assign-none").await?;
    let payment = format!("/payments/{}", day.payment);
    browser.open(&format!("{payment}/correct")).await?;
    let rows = [("account_1", "12"), ("amount_1", "some")];
    send(browser, &format!("{payment}/split"), &rows, "is not an amount").await?;
    looker.look("correct-complaint").await?;
    browser.open(&format!("{payment}/refund")).await?;
    send(
        browser,
        &format!("{payment}/refund"),
        &[("amount", "5"), ("reason", "paid twice")],
        "all of it goes back",
    )
    .await?;
    looker.look("give-back-complaint").await?;
    let counter = format!("/customers/{}/counter", day.busy.customer);
    browser.open(&counter).await?;
    send(browser, &counter, &[("amount", "some")], "is not an amount").await?;
    looker.look("counter-complaint").await?;
    browser.open("/customers/new").await?;
    send(browser, "/customers", &[("name", "Kiosk"), ("phone", "12")], "phone").await?;
    looker.look("customer-complaint").await?;
    let template = "/messages/templates/site_offline/en";
    browser.open(template).await?;
    send(browser, template, &[("body", "Paid {password}")], "is not known here").await?;
    looker.look("template-complaint").await?;
    browser.open("/plans").await?;
    let plan = [("name", "Day"), ("price", "0"), ("validity", "a month"), ("quota", "much")];
    send(browser, "/plans", &plan, "What is sold").await?;
    looker.look("plans-complaint").await?;
    browser.open("/plans").await?;
    let kind = [("profile_name", "two words"), ("download", "fast"), ("upload", "5M"), ("priority", "9")];
    send(browser, "/connection-types", &kind, "What is sold").await?;
    looker.look("connection-types-complaint").await?;
    browser.open("/plans").await?;
    send(browser, "/top-ups", &[("name", "1 GB more"), ("price", "100"), ("data", "1GB")], "already").await?;
    looker.look("top-ups-complaint").await?;
    browser.open(&format!("/plans/{}", day.plan)).await?;
    let path = format!("/plans/{}", day.plan);
    send(browser, &path, &[("after_quota_download", "60M"), ("offline_hours", "0")], "Business").await?;
    looker.look("plan-complaint").await?;
    let path = format!("/connection-types/{}", day.kind);
    browser.open(&path).await?;
    send(browser, &path, &[("download_burst", "10M")], "business").await?;
    looker.look("connection-type-complaint").await?;
    let path = format!("/subscriptions/{}", day.busy.subscription);
    browser.open(&path).await?;
    send(browser, &path, &[("address", "10.0.0"), ("caller_id", "no device")], "Change subscription").await?;
    looker.look("subscription-edit-complaint").await
}

/// The sheet with rows, the preview of what was ticked, and what each says of mistakes.
async fn taking_over(looker: &mut Looker<'_>) -> anyhow::Result<()> {
    let browser = looker.browser;
    browser.open(&take_over()).await?;
    browser.click(&format!("form[action='{}/read'] button", take_over())).await?;
    browser.wait_for_text("#reading", "done").await?;
    looker.open("take-over-rows", &take_over()).await?;
    let table = "username,phone,plan\nkiosk17,0722000111,Home 10\nnobody,0700000000,Home 99";
    send(browser, &take_over(), &[("table", table)], "no row of this router").await?;
    looker.look("take-over-table").await?;
    browser.value("document.querySelectorAll('[name^=take-]').forEach((box) => box.checked = true)").await?;
    browser.click("#sheet button.primary").await?;
    browser.wait_for_text("h1", "Preview").await?;
    looker.look("take-over-complaint").await?;
    browser.open(&take_over()).await?;
    fill_row(browser, "kiosk17", "Kiosk by the road", "0722000111", "2027-01-31T23:59").await?;
    fill_row(browser, "plot18", "Plot 18", "0722000112", "2026-01-31T23:59").await?;
    browser.click("#sheet button.primary").await?;
    browser.wait_for_text("h1", "Preview").await?;
    looker.look("take-over-preview").await
}

/// What whoever pays sees, who is signed in nowhere: from the account number to what came of it.
async fn paying(looker: &mut Looker<'_>, world: &World, day: &Day) -> anyhow::Result<()> {
    let browser = looker.browser;
    looker.open("pay", "/pay").await?;
    browser.fill("#account", "12345678").await?;
    browser.click("button").await?;
    browser.wait_for_text("main", "look for a").await?;
    looker.look("pay-complaint").await?;
    let account = async |customer: &str| -> anyhow::Result<String> {
        let customer = world.office.get(&format!("/api/customers/{customer}")).await?;
        let number = customer["account_number"].as_str().context("an account number")?;
        Ok(format!("/pay/{number}"))
    };
    looker.open("pay-paid", &account(&day.busy.customer).await?).await?;
    let due = account(&day.refusing.customer).await?;
    looker.open("pay-line", &due).await?;
    looker.open("pay-code", &format!("{due}/code")).await?;
    looker.open("pay-line-swahili", &format!("{due}?lang=sw")).await?;
    browser.fill("#phone", "0712").await?;
    browser.click("form button").await?;
    browser.wait_for_text("main", "Andika nambari ya simu ya Kenya").await?;
    looker.look("pay-line-complaint").await?;
    browser.open(&due).await?;
    browser.fill("#phone", &day.refusing.phone).await?;
    browser.click("form button").await?;
    browser.wait_for_text("main", "cancelled on the phone").await?;
    let follow = browser.path().await?;
    looker.open("pay-refused", &follow).await?;
    claiming(looker, world, (day, &due)).await
}

/// Somebody whose payment went astray finds it by its receipt.
async fn claiming(looker: &mut Looker<'_>, world: &World, (day, due): (&Day, &str)) -> anyhow::Result<()> {
    let browser = looker.browser;
    let page = format!("{due}/receipt");
    looker.open("pay-claim", &page).await?;
    let claim = async |receipt: &str, text: &str| -> anyhow::Result<()> {
        browser.value("document.querySelector('form[method=post]').noValidate = true").await?;
        let shown = browser.text("main").await?;
        browser.fill("#receipt", receipt).await.with_context(|| format!("{text}: {shown}"))?;
        browser.fill("#phone", &day.refusing.phone).await?;
        browser.click("form[method=post] button").await?;
        browser.wait_for_text("main", text).await
    };
    claim("RGP6", "has ten letters and digits").await?;
    looker.look("pay-claim-complaint").await?;
    claim("RGP6CZDYG6", "Not heard of yet").await?;
    looker.look("pay-claim-nothing").await?;
    let astray = nobodys(world, &day.refusing, 900).await?;
    let astray = world.office.get(&format!("/api/payments/{astray}")).await?;
    let receipt = astray["receipt_number"].as_str().context("a receipt number")?;
    browser.open(&page).await?;
    claim(receipt, "were received").await?;
    looker.look("pay-claimed").await?;
    browser.open(&page).await?;
    claim(receipt, "on your account already").await?;
    looker.look("pay-claimed-before").await
}

/// Ticks a row of the sheet, and enters a new customer for it.
pub async fn fill_row(
    browser: &Browser,
    username: &str,
    name: &str,
    phone: &str,
    until: &str,
) -> anyhow::Result<()> {
    let number = format!(
        "[...document.querySelectorAll('[name^=row-]')].find((row) => row.value.endsWith(':{username}')).name.slice(4)"
    );
    let number = browser.value(&number).await?;
    let number = number.as_str().context("a row has a number")?;
    browser.click(&format!("[name=take-{number}]")).await?;
    // A field for times is typed into by parts, in an order that is the language's.
    browser.value(&format!("document.querySelector('[name=until-{number}]').value = '{until}'")).await?;
    browser
        .value(&format!("document.querySelector('[name=name-{number}]').closest('details').open = true"))
        .await?;
    browser.fill(&format!("[name=name-{number}]"), name).await?;
    browser.fill(&format!("[name=phone-{number}]"), phone).await?;
    browser.click(&format!("[name=plan-{number}] option:last-child")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_fits_a_phone_and_a_desk_light_and_dark() {
    let world = desk::world(&["nyeri-01"]).await;
    let password = desk::owner(&world).await;
    let browser = Browser::start(world.directory(), world.dashboard()).await.unwrap();
    let work = async {
        let day = day(&world).await?;
        let mut looker = Looker::new(&browser);
        looker.open("sign-in", "/sign-in").await?;
        sign_in(&browser, &password).await?;
        browser.open("/sites/nyeri-01").await?;
        browser.wait_for_text("#held", "core").await?;
        for (name, path) in full(&day) {
            looker.open(name, &path).await?;
        }
        mistakes(&mut looker, &day).await?;
        taking_over(&mut looker).await?;
        paying(&mut looker, &world, &day).await?;
        let pages = routes::pages()?;
        let opened: Vec<&str> = looker.opened.iter().map(String::as_str).collect();
        let missed = routes::without_example(&pages, &opened);
        ensure!(
            missed.is_empty(),
            "nobody looks at the pages {missed:?}: put an example of each into full()"
        );
        looker.found()
    };
    let outcome = work.await;
    finish(world, browser, outcome).await;
}

/// What a new owner sees first: nothing is there, and each page says what comes next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_with_nothing_on_them_say_what_comes_next() {
    let world = desk::world(&["nyeri-01"]).await;
    let password = desk::owner(&world).await;
    let browser = Browser::start(world.directory(), world.dashboard()).await.unwrap();
    let work = async {
        sign_in(&browser, &password).await?;
        let person = json!({"name": "Plot 1", "phone": "0733000111"});
        let customer = world.office.create("/api/customers", &person).await?;
        let mut looker = Looker::new(&browser);
        for (name, path, next) in [
            ("new-overview", "/".to_owned(), "Say what is sold"),
            ("new-plans", "/plans".to_owned(), "Add a connection type first"),
            ("new-subscription", format!("/customers/{customer}/subscriptions/new"), "Add a plan"),
            ("new-review", "/payments/review".to_owned(), "Nothing"),
            ("new-site", "/sites/nyeri-01".to_owned(), "core"),
            ("new-take-over", take_over(), "Read the rows"),
            ("new-router-writes", "/router-writes".to_owned(), "No write"),
            ("new-messages", "/messages".to_owned(), "No text yet"),
        ] {
            looker.open(name, &path).await?;
            browser.wait_for_text("main", next).await?;
        }
        looker.found()
    };
    let outcome = work.await;
    finish(world, browser, outcome).await;
}
