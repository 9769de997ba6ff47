//! Whose phone paid, where the first source that tells of a payment hides the number.

use super::c2b::registered;
use super::disputed::{call_back, confirm, payment};
use crate::customers::phone::Msisdn;

#[tokio::test]
async fn the_phone_that_paid_is_known_by_the_prompts_callback_although_a_confirmation_came_first() {
    for is_matched in [true, false] {
        let (shop, token) = registered().await;
        let intent = shop.unanswered().await;
        if !is_matched {
            // What came could be for either of two prompts, and is nobody's prompt's until one of them says so.
            shop.controller.clock.advance(std::time::Duration::from_secs(3_600));
        }
        confirm(&shop, &token, "RAA1", "1500.00").await;
        assert_eq!(payment(&shop, "RAA1").await.phone, None, "a hash says nobody's number");
        call_back(&shop, &intent, "RAA1", "1500.00").await;
        let phone = payment(&shop, "RAA1").await.phone;
        assert_eq!(
            phone.as_ref().map(Msisdn::digits),
            Some(shop.world.customer.phone.digits()),
            "{is_matched}"
        );
    }
}
