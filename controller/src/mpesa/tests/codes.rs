//! Codes to scan, as the simulated Daraja draws them over a real socket.

use std::time::Duration;

use daraja_sim::{CodeManner, FaultsChange, Product};

use super::shop::Shop;
use crate::customers::account_number::AccountNumber;
use crate::money::Money;
use crate::mpesa::codes::Codes;
use crate::mpesa::codes::answer::Wanted;
use crate::mpesa::settings::Payee;
use crate::mpesa::stk::Shillings;

fn wanted(shillings: i64) -> Wanted {
    let amount = Shillings::exactly(Money::from_shillings(shillings).unwrap()).unwrap();
    Wanted::new("An ISP", Payee::Paybill("174379"), &AccountNumber::from_serial(1).unwrap(), amount)
}

#[tokio::test]
async fn a_code_is_asked_for_once_a_day_and_a_failure_for_a_minute() {
    let shop = Shop::open().await;
    let (codes, clock) = (Codes::default(), &shop.controller.clock);
    let drawn = || shop.handle().state().codes;
    let first = codes.code(&shop.daraja, wanted(1_500), clock).await.unwrap();
    assert_eq!(codes.code(&shop.daraja, wanted(1_500), clock).await.unwrap(), first);
    assert_eq!(drawn(), 1);
    let other = codes.code(&shop.daraja, wanted(1_000), clock).await.unwrap();
    assert!(other != first, "another amount is another code");
    clock.advance(Duration::from_secs(24 * 3_600));
    codes.code(&shop.daraja, wanted(1_500), clock).await.unwrap();
    assert_eq!(drawn(), 3);
    let without = FaultsChange { no_product: Some(vec![Product::DynamicQr]), ..FaultsChange::default() };
    shop.handle().set_faults(&without).unwrap();
    let refused = codes.code(&shop.daraja, wanted(20), clock).await.unwrap_err();
    assert!(refused.to_string().contains("apiproduct"), "{refused}");
    shop.handle().clear_faults();
    for amount in [20, 21] {
        let again = codes.code(&shop.daraja, wanted(amount), clock).await;
        assert_eq!(again, Err(refused.clone()), "nothing is asked again at once");
    }
    codes.code(&shop.daraja, wanted(1_500), clock).await.unwrap();
    clock.advance(Duration::from_secs(61));
    codes.code(&shop.daraja, wanted(20), clock).await.unwrap();
}

#[tokio::test]
async fn whatever_a_daraja_that_misbehaves_sends_is_no_code() {
    let shop = Shop::open().await;
    let codes = Codes::default();
    for (number, (manner, why)) in [
        (CodeManner::Jpeg, "not a PNG"),
        (CodeManner::NotBase64, "not base64"),
        (CodeManner::CutOff, "cut off"),
        (CodeManner::Huge, "larger than any"),
        (CodeManner::Missing, "gives no code"),
    ]
    .into_iter()
    .enumerate()
    {
        let change = FaultsChange { codes: Some(manner), ..FaultsChange::default() };
        shop.handle().set_faults(&change).unwrap();
        let amount = i64::try_from(number).unwrap() + 1;
        let found = codes.code(&shop.daraja, wanted(amount), &shop.controller.clock).await.unwrap_err();
        assert!(found.to_string().contains(why), "{manner:?}: {found}");
        shop.controller.clock.advance(Duration::from_secs(61));
    }
}
