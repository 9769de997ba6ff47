//! Somebody paid at a till, is not online, and has nothing but M-Pesa's message.

use daraja_sim::{MsisdnForm, PaybillOutcome, PaybillPayment, Settings, ShortCode, Simulator};
use serde_json::{Value, json};
use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::*;
use crate::audit::Actor;
use crate::entitlements::Status;
use crate::ids::{PaymentId, RefundId};
use crate::ledger::{self, Account};
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::payments;
use crate::payments::counter::Clerk;
use crate::payments::refunds::{self, Decision, Wanted, Way};

const TILL: &str = "5551234";
const NOTHING: &str = "Not heard of yet: do not pay again";
const FITTING: &str = "0733 000 222";

/// A controller, and a till of M-Pesa's that confirms to it.
struct Till {
    served: Served,
    simulator: Simulator,
}

impl Till {
    async fn open(msisdn_form: MsisdnForm) -> Self {
        let served = served().await;
        hear_of_paybill(&served).await;
        write(&served, &format!("UPDATE c2b_addresses SET till_number = '{TILL}'")).await;
        let till_number = Some(ShortCode::parse(TILL).unwrap());
        let settings = Settings { till_number, msisdn_form, ..Settings::default() };
        let simulator = Simulator::start(settings).await.unwrap();
        register(&simulator, &served.base).await;
        Self { served, simulator }
    }

    /// Pays at the till, and waits until the payment lies in suspense; gives its receipt.
    async fn paid(&self, shillings: u32) -> String {
        let payment =
            PaybillPayment { short_code: TILL.to_owned(), amount: shillings, account: String::new() };
        let outcome = self.simulator.handle().pay_by_paybill(OTHER_PHONE, &payment).await.unwrap();
        let PaybillOutcome::Paid { receipt } = outcome else { panic!("{outcome:?}") };
        let number = ReceiptNumber::parse(receipt.as_str()).unwrap();
        // No page is told of what nobody owns: each look is a read of the database.
        let booked = async {
            while !self.is_booked(&number).await {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, booked).await.expect("the payment is not booked");
        number.as_str().to_owned()
    }

    async fn is_booked(&self, number: &ReceiptNumber) -> bool {
        let mut read = self.served.controller.database.read().await.unwrap();
        payments::payment_of_receipt(&mut read, number).await.unwrap().is_some()
    }

    fn page(&self) -> String {
        format!("{}/receipt", page_of(&self.served))
    }

    async fn claim(&self, browser: &mut Browser, receipt: &str, phone: &str) -> Answer {
        self.claim_at(browser, &self.page(), receipt, phone).await
    }

    async fn claim_at(&self, browser: &mut Browser, page: &str, receipt: &str, phone: &str) -> Answer {
        let form = token(&browser.get(page).await);
        browser.post_bare(page, &[("form_token", &form), ("receipt", receipt), ("phone", phone)]).await
    }

    /// What lies in suspense and what was earned, in shillings, and how the line stands.
    async fn books(&self) -> (i64, i64, Status, Option<UnixMillis>) {
        let mut read = self.served.controller.database.read().await.unwrap();
        assert_eq!(ledger::trial_balance(&mut read).await.unwrap(), Money::ZERO);
        let suspense = ledger::balance_of(&mut read, &Account::Suspense).await.unwrap();
        let revenue = ledger::balance_of(&mut read, &Account::Revenue).await.unwrap();
        let line = subscriptions::get(&mut read, &self.served.world.line).await.unwrap().unwrap();
        (-suspense.cents() / 100, -revenue.cents() / 100, line.status, line.paid_until)
    }

    async fn texts(&self, sql: &'static str) -> Vec<String> {
        let mut read = self.served.controller.database.read().await.unwrap();
        let rows = sqlx::query(sql).fetch_all(&mut *read).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// Tells the till's side where its confirmations go, as `mpesa register-urls` does.
async fn register(simulator: &Simulator, base: &str) {
    let (client, daraja) = (reqwest::Client::new(), simulator.base_url().to_string());
    let asked = client
        .get(format!("{daraja}/oauth/v1/generate?grant_type=client_credentials"))
        .basic_auth(daraja_sim::DEMO_CONSUMER_KEY, Some(daraja_sim::DEMO_CONSUMER_SECRET));
    let token: Value = asked.send().await.unwrap().json().await.unwrap();
    let ours = format!("{base}/callbacks/c2b/{}", "c".repeat(32));
    let body = json!({
        "ShortCode": TILL, "ResponseType": "Completed",
        "ConfirmationURL": format!("{ours}/confirmation"), "ValidationURL": format!("{ours}/validation"),
    });
    let told = client
        .post(format!("{daraja}/mpesa/c2b/v2/registerurl"))
        .bearer_auth(token["access_token"].as_str().unwrap())
        .json(&body);
    assert_eq!(told.send().await.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn a_payment_at_the_till_is_claimed_by_its_receipt_and_the_line_comes_on() {
    for form in [MsisdnForm::Masked, MsisdnForm::Hashed, MsisdnForm::Plain] {
        let till = Till::open(form).await;
        let receipt = till.paid(1_500).await;
        assert_eq!(till.books().await, (1_500, 0, Status::Draft, None), "{form:?}");
        let desired = "SELECT line FROM desired_lines";
        let before = till.texts(desired).await;
        let mut browser = till.served.stranger();
        shows(
            &browser.get(&page_of(&till.served)).await,
            &["Paid already, and not online?", "/receipt?lang=en"],
        );
        let (first, last) = receipt.split_at(4);
        let spelt = format!(" {} {last}", first.to_lowercase());
        let told = till.claim(&mut browser, &spelt, FITTING).await;
        assert_eq!(told.status, 200, "{form:?}: {}", told.body);
        shows(&told, &["KES 1,500.00 were received", &receipt, "paid until 22/09/2026", "do not pay again"]);
        let (suspense, revenue, status, until) = till.books().await;
        assert_eq!((suspense, revenue, status), (0, 1_500, Status::Active), "{form:?}");
        assert!(until.is_some());
        // The site is told: what its routers should hold has changed.
        assert_ne!(till.texts(desired).await, before, "{form:?}");
        assert_eq!(
            till.texts("SELECT actor || ' ' || action FROM audit_log").await,
            ["customer:claim at the pay page payment.assigned"]
        );
        let again = till.claim(&mut browser, &receipt, FITTING).await;
        assert_eq!(again.status, 200, "{}", again.body);
        shows(&again, &["It is on your account already", "paid until 22/09/2026"]);
        assert_eq!(till.books().await, (0, 1_500, Status::Active, until), "once");
        // What went back to whoever paid it is on nobody's account.
        write(&till.served, "UPDATE payments SET closed = 'refunded'").await;
        let gone = till.claim(&mut browser, &receipt, FITTING).await;
        assert_eq!(gone.status, 404, "{}", gone.body);
        shows(&gone, &[NOTHING]);
        till.served.stop().await;
    }
}

/// What is said, without what differs from one look to another.
fn said(answer: &Answer) -> String {
    let (_, rest) = answer.body.split_once("role=\"alert\"").unwrap_or_else(|| panic!("{}", answer.body));
    rest.split_once("</div>").unwrap().0.to_owned()
}

#[tokio::test]
async fn nobody_learns_of_other_peoples_payments() {
    let till = Till::open(MsisdnForm::Masked).await;
    let (of_another, by_another, by_hand) =
        (till.paid(1_500).await, till.paid(1_400).await, till.paid(1_300).await);
    let mut browser = till.served.stranger();
    // The first is claimed on its owner's account; the page is then another customer's.
    assert_eq!(till.claim(&mut browser, &of_another, FITTING).await.status, 200);
    write(
        &till.served,
        &format!(
            "UPDATE payments SET no_owner = 'taken_back', is_by_hand = 1 WHERE receipt_number = '{by_hand}'"
        ),
    )
    .await;
    let other = add_customer(&till.served).await;
    let before = till.books().await;
    let unheard = till.claim_at(&mut browser, &other, "RGP6CZDYG6", FITTING).await;
    assert_eq!(unheard.status, 404);
    shows(&unheard, &[NOTHING, "can take some minutes", "Compare the receipt number"]);
    for (what, receipt, phone) in [
        ("another's", &of_another, FITTING),
        ("another phone", &by_another, "0733000223"),
        ("for a person to decide", &by_hand, FITTING),
    ] {
        let answer = till.claim_at(&mut browser, &other, receipt, phone).await;
        assert_eq!((answer.status, said(&answer)), (404, said(&unheard)), "{what}");
    }
    let on_own = till.claim(&mut browser, &of_another, "0733000223").await;
    assert_eq!(said(&on_own), said(&unheard), "another phone, although it is this account's");
    assert_eq!(till.books().await, before);
    till.served.stop().await;
}

/// The page of another customer with a line.
async fn add_customer(served: &Served) -> String {
    let line = add_line(served, "line-2").await;
    let number = crate::customers::account_number::AccountNumber::from_serial(77).unwrap();
    write(
        served,
        &format!(
            "INSERT INTO customers (id, account_number, name, phone, phone_sha256, created_at) \
             SELECT 'c0ffee', '{number}', 'Bakery', phone, phone_sha256, created_at FROM customers; \
             UPDATE subscriptions SET customer_id = 'c0ffee' WHERE id = '{line}'"
        ),
    )
    .await;
    format!("/pay/{number}/receipt")
}

#[tokio::test]
async fn a_payer_of_whom_nothing_is_told_is_nobody_that_a_phone_could_fit() {
    let till = Till::open(MsisdnForm::Masked).await;
    let receipt = till.paid(1_500).await;
    write(&till.served, "UPDATE payments SET phone = ''").await;
    let answer = till.claim(&mut till.served.stranger(), &receipt, FITTING).await;
    assert_eq!(answer.status, 404);
    assert_eq!(till.books().await.0, 1_500);
    till.served.stop().await;
}

#[tokio::test]
async fn what_is_typed_wrong_is_said_in_both_languages_and_kept_to_be_corrected() {
    let till = Till::open(MsisdnForm::Masked).await;
    let mut browser = till.served.stranger();
    let bad = till.claim(&mut browser, "RGP6CZDY<", "12").await;
    assert_eq!(bad.status, 422);
    shows(
        &bad,
        &["has ten letters and digits", "value=\"RGP6CZDY&#60;\"", "value=\"12\"", "aria-invalid=\"true\""],
    );
    let page = till.page();
    let swahili = format!("{page}?lang=sw");
    shows(&till.claim_at(&mut browser, &swahili, "X", "12").await, &["ina herufi na tarakimu kumi"]);
    let unheard = till.claim_at(&mut browser, &swahili, "RGP6CZDYG6", FITTING).await;
    shows(&unheard, &["Bado haijasikika: usilipe tena", "value=\"RGP6CZDYG6\""]);
    let receipt = till.paid(1_500).await;
    for form in ["", "made-up"] {
        let fields = [("form_token", form), ("receipt", &receipt), ("phone", FITTING)];
        assert_eq!(browser.post_bare(&page, &fields).await.status, 403, "{form}");
    }
    assert_eq!(till.books().await.0, 1_500, "no claim without a form of ours");
    till.served.stop().await;
}

#[tokio::test]
async fn who_tries_too_often_is_told_when_to_come_again() {
    let till = Till::open(MsisdnForm::Masked).await;
    let receipt = till.paid(1_500).await;
    let mut browser = till.served.stranger();
    for number in 0..6 {
        let answer = till.claim(&mut browser, &format!("RGP6CZDYG{number}"), FITTING).await;
        assert_eq!(answer.status, 404, "{}", answer.body);
    }
    let refused = till.claim(&mut browser, &receipt, FITTING).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "900"));
    shows(&refused, &["15 minutes", "message to your internet provider"]);
    till.served.controller.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(till.claim(&mut browser, &receipt, FITTING).await.status, 200);
    till.served.stop().await;
}

/// Somebody of the staff gives the only payment back.
async fn give_back(till: &Till) -> RefundId {
    let controller = &till.served.controller;
    let mut write = controller.database.write().await.unwrap();
    let id: String = sqlx::query("SELECT id FROM payments").fetch_one(&mut *write).await.unwrap().get(0);
    let wanted = Wanted {
        payment: PaymentId::parse(&id).unwrap(),
        way: Way::Reversal,
        amount: None,
        with_used: false,
        reason: "paid by mistake".to_owned(),
        occasion: None,
    };
    let owner = Actor::CommandLine("owner".to_owned());
    let (ids, now) = (&controller.ids, controller.clock.now());
    let begun = refunds::ask(&mut write, &wanted, Clerk::owner(&owner), ids, now).await.unwrap().unwrap();
    write.commit().await.unwrap();
    begun.refund.id
}

#[tokio::test]
async fn whoever_paid_is_told_that_it_goes_back_and_finds_what_did_not_go() {
    let till = Till::open(MsisdnForm::Masked).await;
    let receipt = till.paid(1_500).await;
    let refund = give_back(&till).await;
    let mut browser = till.served.stranger();
    let other = "0733000223";
    for (state, words) in [
        ("held", "It is being given back"),
        ("asked", "It is being given back"),
        ("unknown", "not known yet whether it went back"),
        ("done", "It was given back"),
    ] {
        write(&till.served, &format!("UPDATE refunds SET state = '{state}'")).await;
        let told = till.claim(&mut browser, &receipt, FITTING).await;
        assert_eq!(told.status, 409, "{state}: {}", told.body);
        shows(&told, &[words]);
        shows(&till.claim(&mut browser, &receipt, other).await, &[NOTHING]);
        till.served.controller.clock.advance(Duration::from_secs(15 * 60));
    }
    write(&till.served, "UPDATE refunds SET state = 'held'").await;
    let controller = &till.served.controller;
    let mut transaction = controller.database.write().await.unwrap();
    let owner = Actor::CommandLine("owner".to_owned());
    let what = (&refund, Decision::Withdraw.into());
    let (ids, now) = (&controller.ids, controller.clock.now());
    refunds::decide(&mut transaction, what, Clerk::owner(&owner), ids, now).await.unwrap().unwrap();
    transaction.commit().await.unwrap();
    let found = till.claim(&mut browser, &receipt, FITTING).await;
    assert_eq!(found.status, 200, "{}", found.body);
    assert_eq!(till.books().await.0, 0, "it lies in suspense no more");
    till.served.stop().await;
}
