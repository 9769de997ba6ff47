//! The code to scan at the pay page: shown where Safaricom gives one, and the steps where it does not.

use daraja_sim::{CodeManner, FaultsChange, Product};

use super::*;

#[tokio::test]
async fn a_code_is_shown_with_amount_and_account_and_its_picture_is_a_png() {
    let served = served().await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    assert!(!browser.get(&page).await.body.contains("/code"), "nobody would hear of what is paid with it");
    hear_of_paybill(&served).await;
    shows(&browser.get(&page).await, &[&format!("{page}/code?lang=en"), "A code to scan"]);
    let shown = browser.get(&format!("{page}/code")).await;
    let account = served.world.customer.account_number.to_string();
    shows(&shown, &["Scan to pay", "KES 1,500.00", &account, "code.png", "Pay by Paybill instead"]);
    assert!(!shown.body.contains("<details class=\"steps\" open"), "{}", shown.body);
    let picture = browser.get(&format!("{page}/code.png")).await;
    assert_eq!((picture.status, picture.header("content-type")), (200, "image/png"));
    assert_eq!(served.simulator.as_ref().unwrap().handle().state().codes, 1, "page and picture ask once");
    served.stop().await;
}

#[tokio::test]
async fn where_safaricom_gives_no_code_the_steps_of_the_paybill_stand_open() {
    let served = served().await;
    hear_of_paybill(&served).await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    let handle = served.simulator.as_ref().unwrap().handle();
    for change in [
        FaultsChange { no_product: Some(vec![Product::DynamicQr]), ..FaultsChange::default() },
        FaultsChange { codes: Some(CodeManner::Jpeg), ..FaultsChange::default() },
    ] {
        handle.clear_faults();
        handle.set_faults(&change).unwrap();
        served.controller.clock.advance(Duration::from_secs(61));
        let shown = browser.get(&format!("{page}/code")).await;
        assert_eq!(shown.status, 200);
        shows(&shown, &["There is no code now", "<details class=\"steps\" open", "Business number: 174379"]);
        assert!(!shown.body.contains("code.png"), "{}", shown.body);
        assert_eq!(browser.get(&format!("{page}/code.png")).await.status, 404);
    }
    served.stop().await;
}

#[tokio::test]
async fn whoever_looks_at_codes_too_often_has_the_steps_of_the_paybill() {
    let served = served().await;
    hear_of_paybill(&served).await;
    let (mut browser, page) = (served.stranger(), page_of(&served));
    for _ in 0..24 {
        assert_eq!(browser.get(&format!("{page}/code")).await.status, 200);
    }
    let steps = browser.get(&format!("{page}/code")).await;
    assert_eq!(steps.status, 200, "{}", steps.body);
    shows(&steps, &["There is no code now", "Business number: 174379"]);
    let stopped = browser.get(&format!("{page}/code.png")).await;
    assert_eq!((stopped.status, stopped.header("retry-after")), (429, "900"), "{}", stopped.body);
    assert_eq!(served.simulator.as_ref().unwrap().handle().state().codes, 1);
    served.stop().await;
}
