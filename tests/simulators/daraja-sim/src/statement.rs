//! The organisation portal's statement as CSV, in the three widths that importers meet.
//!
//! Pure: money in and out goes in, text comes out. Latest first, thousands separators inside quotes, a preamble before the
//! header. The published header has 13 columns; which columns the narrow exports leave out is not
//! published: here the 9-column form ends behind `Balance Confirmed` and the 8-column form lacks
//! `Initiation Time` as well.

use std::cmp::Reverse;

use crate::c2b::notification::{MsisdnForm, hidden};
use crate::c2b::registration::ApiVersion;
use crate::clock::{self, UnixMillis};
use crate::identifiers::ShortCode;
use crate::payments::{Payment, Payments, Why, Withdrawal};
use crate::stk::validation::TransactionKind;

const HEADER: [&str; 13] = [
    "Receipt No.",
    "Completion Time",
    "Initiation Time",
    "Details",
    "Transaction Status",
    "Paid In",
    "Withdrawn",
    "Balance",
    "Balance Confirmed",
    "Reason Type",
    "Other Party Info",
    "Linked Transaction ID",
    "A/C No.",
];

/// How wide an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementForm {
    /// Eight columns.
    Eight,
    /// Nine columns.
    Nine,
    /// All thirteen columns.
    Thirteen,
}

impl StatementForm {
    /// The form with this many columns.
    pub fn of_width(columns: u32) -> Option<Self> {
        match columns {
            8 => Some(Self::Eight),
            9 => Some(Self::Nine),
            13 => Some(Self::Thirteen),
            _ => None,
        }
    }

    fn keeps(self, column: usize) -> bool {
        match self {
            Self::Eight => column < 9 && column != 2,
            Self::Nine => column < 9,
            Self::Thirteen => true,
        }
    }
}

/// Writes the statement of one short code. Charges and money to the bank are not simulated.
pub(crate) fn write(
    short_code: &ShortCode,
    payments: &Payments,
    form: StatementForm,
    now: UnixMillis,
) -> String {
    let mut text = format!(
        "Organization Name:,Daraja Simulator\nShort Code:,{short_code}\nReport Date:,{}\n\n",
        clock::spaced(now)
    );
    push_line(&mut text, &HEADER.map(str::to_owned), form);
    let paid = payments.rows().filter(|row| row.short_code == *short_code);
    let gone = payments.withdrawals().filter(|row| row.short_code == *short_code);
    let mut rows: Vec<(u64, [String; 13])> = paid.map(|row| (row.order, paid_in(row))).collect();
    rows.extend(gone.map(|row| (row.order, withdrawn(row))));
    rows.sort_unstable_by_key(|(order, _)| Reverse(*order));
    for (_, cells) in &rows {
        push_line(&mut text, cells, form);
    }
    text
}

fn withdrawn(row: &Withdrawal) -> [String; 13] {
    let time = clock::spaced(row.at_ms);
    let (details, reason, other, linked) = match &row.why {
        Why::Reversal(receipt) => {
            (format!("Pay Bill Reversal of {receipt}"), "Pay Bill Reversal", String::new(), receipt.as_str())
        }
        Why::Payout(phone) => {
            let phone = hidden(phone, MsisdnForm::MaskedTight, ApiVersion::V2);
            (format!("Business Payment to {phone}"), "Business Payment", phone, "")
        }
    };
    [
        row.receipt.clone(),
        time.clone(),
        time,
        details,
        "Completed".to_owned(),
        String::new(),
        format!("-{}", grouped(row.amount.cents())),
        grouped(row.balance_after_cents),
        "true".to_owned(),
        reason.to_owned(),
        other,
        linked.to_owned(),
        String::new(),
    ]
}

fn paid_in(payment: &Payment) -> [String; 13] {
    let time = clock::spaced(payment.at_ms);
    let phone = hidden(&payment.msisdn, MsisdnForm::MaskedTight, ApiVersion::V2);
    let account = &payment.account_reference;
    let (details, reason) = match payment.kind {
        TransactionKind::PayBill if payment.checkout_request_id.is_some() => {
            (format!("Pay Bill Online from {phone} Acc. {account}"), "Pay Bill Online")
        }
        TransactionKind::PayBill => (format!("Pay Bill from {phone} Acc. {account}"), "Pay Bill"),
        TransactionKind::BuyGoods => (format!("Merchant Payment from {phone}"), "Merchant Payment"),
    };
    [
        payment.receipt.to_string(),
        time.clone(),
        time,
        details,
        "Completed".to_owned(),
        grouped(payment.amount.cents()),
        String::new(),
        grouped(payment.balance_after_cents),
        "true".to_owned(),
        reason.to_owned(),
        format!("{phone} - {}", payment.first_name),
        String::new(),
        account.clone(),
    ]
}

/// `1234567` cents as `12,345.67`.
fn grouped(cents: u64) -> String {
    let digits = (cents / 100).to_string();
    let mut shillings = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            shillings.push(',');
        }
        shillings.push(digit);
    }
    format!("{shillings}.{:02}", cents % 100)
}

fn push_line(text: &mut String, cells: &[String; 13], form: StatementForm) {
    let kept: Vec<String> = cells
        .iter()
        .enumerate()
        .filter(|(column, _)| form.keeps(*column))
        .map(|(_, cell)| quoted(cell))
        .collect();
    text.push_str(&kept.join(","));
    text.push('\n');
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identifiers::{AmountKes, Msisdn};
    use crate::payments::{NewPayment, Payments};
    use crate::receipts::ReceiptBook;

    fn statement(form: StatementForm) -> String {
        let mut payments = Payments::new();
        let mut book = ReceiptBook::new(1);
        for (amount, account) in [(1500, "12345674"), (20, "a,\"b")] {
            payments.record(NewPayment {
                receipt: book.tear_off(),
                msisdn: Msisdn::parse("254712345678").unwrap(),
                amount: AmountKes::new(amount).unwrap(),
                short_code: ShortCode::sandbox(),
                account_reference: account.to_owned(),
                checkout_request_id: None,
                first_name: String::new(),
                kind: TransactionKind::PayBill,
                at: UnixMillis(1_690_237_907_089),
            });
        }
        let gone = (ShortCode::sandbox(), AmountKes::new(20).unwrap());
        let why = Why::Payout(Msisdn::parse("254712345678").unwrap());
        assert!(payments.withdraw((&gone.0, gone.1), ("SGP1", why), UnixMillis(1_690_237_907_089)));
        write(&ShortCode::sandbox(), &payments, form, UnixMillis(1_690_237_907_089))
    }

    #[test]
    fn the_widest_form_lists_the_latest_first_with_grouped_money() {
        let text = statement(StatementForm::Thirteen);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[4], HEADER.join(","));
        assert!(
            lines[5].starts_with("SGP1,") && lines[5].contains(",,-20.00,\"1,500.00\",true,"),
            "{}",
            lines[5]
        );
        assert!(lines[6].contains(",20.00,,\"1,520.00\",true,Pay Bill,"), "{}", lines[6]);
        assert!(lines[6].ends_with(",\"a,\"\"b\""), "{}", lines[6]);
        assert!(lines[7].contains(",\"1,500.00\",,\"1,500.00\","), "{}", lines[7]);
    }

    #[test]
    fn narrow_forms_have_as_many_columns_as_they_say() {
        for (form, width) in [(StatementForm::Eight, 8), (StatementForm::Nine, 9)] {
            let text = statement(form);
            assert_eq!(text.lines().nth(4).unwrap().split(',').count(), width);
        }
    }

    #[test]
    fn money_is_grouped_by_thousands() {
        for (cents, text) in
            [(0, "0.00"), (99_999, "999.99"), (100_000, "1,000.00"), (123_456_789, "1,234,567.89")]
        {
            assert_eq!(grouped(cents), text);
        }
    }
}
