//! On which occasions a customer is sent a text, and what holds for each. Pure.
//!
//! An occasion says which facts its text may name, whether it is about money, whether it answers what the customer does just
//! now, and for how long it is news. The words themselves are `words`; what happens to a text is `state`.

use std::time::Duration;

/// Something that a customer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Occasion {
    /// A payment came, and bought what it was for.
    PaymentReceived,
    /// A payment came, and lies in the wallet.
    PaymentInWallet,
    /// A payment came and bought a period, and the line's site is not connected now.
    SiteOffline,
    /// The line of a payment is open on its router again, as the site read back.
    Connected,
    /// What is paid for ends within three days.
    EndsInThreeDays,
    /// What is paid for ends within a day.
    EndsInOneDay,
    /// What is paid for ends today.
    EndsToday,
    /// What was paid for has ended, and the line is suspended.
    Suspended,
    /// Staff hold the line, paid or not.
    OnHold,
    /// Money was sent back.
    Refunded,
    /// Staff try whether texts arrive.
    Test,
}

/// A fact that a text may name, in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placeholder {
    /// The customer's name.
    Name,
    /// Their account number.
    Account,
    /// The plan of the line.
    Plan,
    /// The name of its site.
    Site,
    /// What was paid, or sent back.
    Amount,
    /// The receipt of the payment.
    Receipt,
    /// What is in the wallet.
    Balance,
    /// What has to be paid for the next period.
    ToPay,
    /// When what is paid for ends, by Nairobi's clock.
    Until,
    /// Where it is paid by hand: the Paybill with the account number, or the till, which takes none.
    PayBill,
    /// The page on which it is paid.
    PayLink,
}

impl Placeholder {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Name,
        Self::Account,
        Self::Plan,
        Self::Site,
        Self::Amount,
        Self::Receipt,
        Self::Balance,
        Self::ToPay,
        Self::Until,
        Self::PayBill,
        Self::PayLink,
    ];

    /// As it is written between the braces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Account => "account",
            Self::Plan => "plan",
            Self::Site => "site",
            Self::Amount => "amount",
            Self::Receipt => "receipt",
            Self::Balance => "balance",
            Self::ToPay => "to_pay",
            Self::Until => "until",
            Self::PayBill => "paybill",
            Self::PayLink => "pay_link",
        }
    }

    /// Reads it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|placeholder| placeholder.as_str() == text)
    }

    /// The longest value that is filled in, in characters: of a plan or a site with a longer name the beginning is enough. An address
    /// of which the end is missing leads nowhere.
    #[must_use]
    pub fn characters_most(self) -> usize {
        match self {
            Self::PayLink => 200,
            _ => 40,
        }
    }

    /// What a preview shows in its place: as long as it mostly is.
    #[must_use]
    pub fn example(self) -> &'static str {
        match self {
            Self::Name => "Corner Shop",
            Self::Account => "10000016",
            Self::Plan => "Home 10",
            Self::Site => "Nyeri town",
            Self::Amount | Self::ToPay => "1,500.00",
            Self::Receipt => "TKQ1A2B3C4",
            Self::Balance => "250.00",
            Self::Until => "29/11/2026 14:05",
            Self::PayBill => "Paybill 174379, account 10000016",
            Self::PayLink => "https://isp.example/pay/10000016",
        }
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

impl Occasion {
    /// All of them, in the order of a customer's month.
    pub const ALL: [Self; 11] = [
        Self::PaymentReceived,
        Self::PaymentInWallet,
        Self::SiteOffline,
        Self::Connected,
        Self::EndsInThreeDays,
        Self::EndsInOneDay,
        Self::EndsToday,
        Self::Suspended,
        Self::OnHold,
        Self::Refunded,
        Self::Test,
    ];

    /// The word in the database and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PaymentReceived => "payment_received",
            Self::PaymentInWallet => "payment_in_wallet",
            Self::SiteOffline => "site_offline",
            Self::Connected => "connected",
            Self::EndsInThreeDays => "ends_in_3_days",
            Self::EndsInOneDay => "ends_in_1_day",
            Self::EndsToday => "ends_today",
            Self::Suspended => "suspended",
            Self::OnHold => "on_hold",
            Self::Refunded => "refunded",
            Self::Test => "test",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|occasion| occasion.as_str() == text)
    }

    /// As pages say it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::PaymentReceived => "Payment received",
            Self::PaymentInWallet => "Payment in the wallet",
            Self::SiteOffline => "Site offline at payment",
            Self::Connected => "Connected",
            Self::EndsInThreeDays => "Ends in 3 days",
            Self::EndsInOneDay => "Ends in 1 day",
            Self::EndsToday => "Ends today",
            Self::Suspended => "Suspended",
            Self::OnHold => "On hold",
            Self::Refunded => "Refund",
            Self::Test => "Test",
        }
    }

    /// When it is told, as pages say it.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::PaymentReceived => "A payment came and bought what it was for.",
            Self::PaymentInWallet => "A payment came and bought nothing yet: it lies in the wallet.",
            Self::SiteOffline => {
                "Instead of \"Payment received\", where the line opens only once its site is connected again."
            }
            Self::Connected => {
                "The site read back that a line which was off is open again after a payment. Not for lines that go on."
            }
            Self::EndsInThreeDays => "Periods of a week or longer, unless the wallet pays for the next one.",
            Self::EndsInOneDay => "Periods of three days or longer, unless the wallet pays for the next one.",
            Self::EndsToday => "In the morning, for periods of two days or longer.",
            Self::Suspended => "What was paid for has ended. For periods of a day or longer.",
            Self::OnHold => "Staff hold the line.",
            Self::Refunded => "Money was sent back.",
            Self::Test => "Staff try whether texts arrive.",
        }
    }

    /// Which facts its text may name.
    #[must_use]
    pub fn placeholders(self) -> &'static [Placeholder] {
        use Placeholder::{
            Account, Amount, Balance, Name, PayBill, PayLink, Plan, Receipt, Site, ToPay, Until,
        };
        match self {
            Self::PaymentReceived => &[Name, Account, Plan, Site, Amount, Receipt, Balance, Until],
            // Until when it lasts nobody knows before the site is back.
            Self::SiteOffline => &[Name, Account, Plan, Site, Amount, Receipt, Balance],
            Self::PaymentInWallet => &[Name, Account, Amount, Receipt, Balance],
            Self::Connected => &[Name, Account, Plan, Site, Until],
            Self::EndsInThreeDays | Self::EndsInOneDay | Self::EndsToday | Self::Suspended => {
                &[Name, Account, Plan, Site, Balance, ToPay, Until, PayBill, PayLink]
            }
            Self::OnHold => &[Name, Account, Plan, Site],
            Self::Refunded => &[Name, Account, Amount, Receipt, Balance],
            Self::Test => &[],
        }
    }

    /// Whether it is about money: whoever is told twice that money came believes that twice as much is there.
    #[must_use]
    pub fn is_money(self) -> bool {
        match self {
            Self::PaymentReceived | Self::PaymentInWallet | Self::SiteOffline | Self::Refunded => true,
            Self::Connected
            | Self::EndsInThreeDays
            | Self::EndsInOneDay
            | Self::EndsToday
            | Self::Suspended
            | Self::OnHold
            | Self::Test => false,
        }
    }

    /// Whether it answers what somebody does just now, and so goes out at any hour and before everything else.
    #[must_use]
    pub fn is_answer(self) -> bool {
        self.is_money() || matches!(self, Self::Connected | Self::Test)
    }

    /// Whether it speaks of the end of what is paid for, and is wrong once that is another.
    #[must_use]
    pub fn is_about_end(self) -> bool {
        matches!(self, Self::EndsInThreeDays | Self::EndsInOneDay | Self::EndsToday | Self::Suspended)
    }

    /// How long it is news. A text that waited longer is dropped. Those about the end of what is paid for end with their
    /// own truth: see `ending`.
    #[must_use]
    pub fn is_news_for(self) -> Duration {
        match self {
            Self::PaymentReceived | Self::PaymentInWallet | Self::Refunded | Self::EndsInThreeDays => DAY,
            Self::SiteOffline | Self::EndsToday | Self::OnHold => 12 * HOUR,
            Self::EndsInOneDay => 18 * HOUR,
            Self::Suspended => DAY,
            Self::Connected => 2 * HOUR,
            Self::Test => HOUR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for occasion in Occasion::ALL {
            assert_eq!(Occasion::parse(occasion.as_str()), Some(occasion));
        }
        for placeholder in Placeholder::ALL {
            assert_eq!(Placeholder::parse(placeholder.as_str()), Some(placeholder));
        }
        assert_eq!((Occasion::parse("birthday"), Placeholder::parse("password")), (None, None));
    }
}
