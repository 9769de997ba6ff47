//! The statement of the organisation portal as the simulation of money has it: all that moved so far, the latest first. Pure.

use super::safaricom::{Movement, Out, Receipt, SHORT_CODE, Truth, Why, nairobi};

/// How wide an export is, and whether it says what the short code had after each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Eight, nine or thirteen columns.
    pub columns: usize,
    /// Whether the column of balances is filled.
    pub has_balances: bool,
}

/// All of them.
pub const FORMS: [Form; 4] = [
    Form { columns: 8, has_balances: true },
    Form { columns: 9, has_balances: true },
    Form { columns: 13, has_balances: true },
    Form { columns: 13, has_balances: false },
];

const HEADINGS: [&str; 13] = [
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

/// The statement over everything so far.
#[must_use]
pub fn write(truth: &Truth, form: Form) -> String {
    let mut balance = 0;
    let mut lines = Vec::with_capacity(truth.movements.len());
    for movement in &truth.movements {
        let cells = match movement {
            Movement::In(index) => truth.receipts.get(*index).map(|receipt| {
                balance += receipt.shillings * 100;
                paid_in(receipt)
            }),
            Movement::Out(index) => truth.outs.get(*index).map(|out| {
                balance -= out.cents;
                withdrawn(out)
            }),
        };
        let Some(mut cells) = cells else { continue };
        if let Some(cell) = cells.get_mut(7).filter(|_| form.has_balances) {
            *cell = amount(balance);
        }
        lines.push(line(&cells, form));
    }
    lines.reverse();
    let headings = line(&HEADINGS.map(str::to_owned), form);
    format!("Organization Name:,Njia\nShort Code:,{SHORT_CODE}\n\n{headings}{}", lines.concat())
}

/// Of the narrow forms, the narrowest lacks when a transaction was begun, and both lack what stands at the end.
fn line(cells: &[String; 13], form: Form) -> String {
    let is_kept = |column: &usize| match form.columns {
        8 => *column < 9 && *column != 2,
        9 => *column < 9,
        _ => true,
    };
    let kept = cells.iter().enumerate().filter(|(column, _)| is_kept(column));
    let kept: Vec<String> =
        kept.map(|(_, cell)| if cell.contains(',') { format!("\"{cell}\"") } else { cell.clone() }).collect();
    format!("{}\n", kept.join(","))
}

fn paid_in(receipt: &Receipt) -> [String; 13] {
    let at = nairobi(receipt.at, "%Y-%m-%d %H:%M:%S");
    let end = receipt.phone.len().saturating_sub(3);
    let phone = format!("2547****{}", receipt.phone.get(end..).unwrap_or_default());
    let account = &receipt.account;
    let (details, reason) = match (receipt.is_till, receipt.prompt) {
        (true, _) => (format!("Merchant Payment from {phone}"), "Merchant Payment"),
        (false, Some(_)) => (format!("Pay Bill Online from {phone} Acc. {account}"), "Pay Bill Online"),
        (false, None) => (format!("Pay Bill from {phone} Acc. {account}"), "Pay Bill"),
    };
    let (paid_in, none) = (amount(receipt.shillings * 100), String::new());
    row(&receipt.number, &at, (&details, reason), (paid_in, none), (format!("{phone} - NAME"), "", account))
}

fn withdrawn(out: &Out) -> [String; 13] {
    let at = nairobi(out.at, "%Y-%m-%d %H:%M:%S");
    let about = &out.about;
    let end = about.len().saturating_sub(3);
    let phone = format!("2547****{}", about.get(end..).unwrap_or_default());
    let (details, reason, other, linked) = match out.why {
        Why::Charge => (about.clone(), about.as_str(), String::new(), ""),
        Why::Settlement => {
            ("Organization Withdrawal of Funds to Bank".to_owned(), "Withdrawal of Funds", String::new(), "")
        }
        Why::Reversal => {
            (format!("Pay Bill Reversal of {about}"), "Pay Bill Reversal", String::new(), about.as_str())
        }
        Why::Payout => {
            (format!("Business Payment to {phone}"), "Business Payment", format!("{phone} - NAME"), "")
        }
    };
    let amounts = (String::new(), format!("-{}", amount(out.cents)));
    row(&out.number, &at, (&details, reason), amounts, (other, linked, ""))
}

fn row(
    number: &str,
    at: &str,
    (details, reason): (&str, &str),
    (paid_in, withdrawn): (String, String),
    (other, linked, account): (String, &str, &str),
) -> [String; 13] {
    let text = str::to_owned;
    [
        text(number),
        text(at),
        text(at),
        text(details),
        text("Completed"),
        paid_in,
        withdrawn,
        String::new(),
        text("true"),
        text(reason),
        other,
        text(linked),
        text(account),
    ]
}

/// Cents as the portal writes them: `1,500.00`.
fn amount(cents: i64) -> String {
    let (sign, cents) = if cents < 0 { ("-", -cents) } else { ("", cents) };
    let (shillings, cents) = (cents / 100, cents % 100);
    if shillings < 1_000 {
        return format!("{sign}{shillings}.{cents:02}");
    }
    match shillings / 1_000 {
        thousands if thousands < 1_000 => format!("{sign}{thousands},{:03}.{cents:02}", shillings % 1_000),
        thousands => {
            format!(
                "{sign}{},{:03},{:03}.{cents:02}",
                thousands / 1_000,
                thousands % 1_000,
                shillings % 1_000
            )
        }
    }
}
