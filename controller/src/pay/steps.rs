//! How to pay without a request to the phone: by Paybill, or at the till. Pure.

use super::words::{Language, Text};
use crate::customers::account_number::AccountNumber;
use crate::money::Money;
use crate::mpesa::settings::Payee;
use crate::web::display;

/// The steps, in the visitor's language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) heading: &'static str,
    pub(super) steps: Vec<String>,
    /// What else to know; empty for nothing.
    pub(super) hint: &'static str,
}

/// Makes them.
pub(super) fn steps(
    language: Language,
    payee: Payee<'_>,
    account: &AccountNumber,
    amount: Money,
    has_several_lines: bool,
) -> Steps {
    let value = |name: Text, value: &str| format!("{}: {value}", language.say(name));
    let amount = value(Text::StepAmount, &display::kes(amount));
    let say = |text: Text| language.say(text).to_owned();
    let (heading, middle, hint) = match payee {
        Payee::Paybill(number) => {
            let middle = vec![
                say(Text::StepPaybill),
                value(Text::StepBusiness, number),
                value(Text::AccountNumber, account.as_str()),
            ];
            let hint = if has_several_lines { language.say(Text::SeveralLines) } else { "" };
            (Text::StepsPaybill, middle, hint)
        }
        Payee::Till(number) => {
            let middle = vec![say(Text::StepTill), value(Text::StepTillNumber, number)];
            (Text::StepsTill, middle, language.say(Text::TillPhone))
        }
    };
    let steps = std::iter::once(say(Text::StepMenu)).chain(middle).chain([amount, say(Text::StepPin)]);
    Steps { heading: language.say(heading), steps: steps.collect(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paybill_takes_the_account_number_and_a_till_the_customers_own_phone() {
        let account = AccountNumber::from_serial(1).unwrap();
        let of =
            |payee, several| steps(Language::English, payee, &account, Money::from_cents(150_000), several);
        let paybill = of(Payee::Paybill("174379"), false);
        assert!(paybill.steps.contains(&format!("Account number: {account}")), "{paybill:?}");
        assert!(paybill.steps.contains(&"Business number: 174379".to_owned()), "{paybill:?}");
        assert!(paybill.steps.contains(&"Amount: KES 1,500.00".to_owned()), "{paybill:?}");
        assert_eq!(paybill.hint, "");
        assert!(of(Payee::Paybill("174379"), true).hint.contains("several lines"));
        let till = of(Payee::Till("5551234"), false);
        assert!(till.steps.contains(&"Till number: 5551234".to_owned()), "{till:?}");
        assert!(!till.steps.iter().any(|step| step.contains(account.as_str())), "{till:?}");
        assert!(till.hint.contains("phone"));
    }
}
