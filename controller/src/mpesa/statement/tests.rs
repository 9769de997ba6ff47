//! Exports in every form that was seen, and files that are none.

use tawi_shared::UnixMillis;

use super::file::File;
use super::row::{Out, OutKind, Row, What, Why};
use super::summary::{Balances, Tally};
use super::*;
use crate::money::Money;
use crate::mpesa::incoming::{Incoming, PaidAt, TransactionKind};

const WIDE: &str = "Receipt No.,Completion Time,Initiation Time,Details,Transaction Status,Paid In,Withdrawn,Balance,\
    Balance Confirmed,Reason Type,Other Party Info,Linked Transaction ID,A/C No.";
const NARROW: &str =
    "Receipt No.,Completion Time,Details,Transaction Status,Paid In,Withdrawn,Balance,Balance Confirmed";

fn rows_of(text: &str) -> Vec<Row> {
    File::read(text.as_bytes()).unwrap().rows().collect()
}

/// The row that this line is below the widest headings.
fn wide(line: &str) -> Row {
    let mut rows = rows_of(&format!("{WIDE}\n{line}\n"));
    assert_eq!(rows.len(), 1, "{line}");
    rows.remove(0)
}

fn payment(row: &Row) -> &Incoming {
    match &row.what {
        What::Payment(payment) => payment,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_payment_reads_the_same_in_every_form() {
    let forms = [
        format!(
            "{WIDE}\nRKL51ZDR4F,2026-11-21 12:13:25,2026-11-21 12:13:20,Pay Bill from 2547****678 - JANE DOE \
             Acc. 10000014,Completed,\"1,500.00\",,\"12,000.50\",true,Pay Bill,2547****678 - JANE DOE,,10000014"
        ),
        format!(
            "\u{feff}Organization Name:,Njia Networks\r\nShort Code: 174379\r\nTime Period:,\"From 1, to 30\"\r\n\r\n\
             {NARROW}\r\n rkl51zdr4f ,21-11-2026 12:13:25,Pay Bill Online from 2547****678 - JANE DOE Acc. \
             10000014,Completed,1500.00,,12000.50,true\r\n"
        ),
        format!(
            "{}\nRKL51ZDR4F;21-11-2026 12:13:25;Pay Bill from 2547****678 Acc. 10000014;completed;1,500.00;0.00;12,000.50;\
             true",
            NARROW.replace(',', ";")
        ),
    ];
    for text in forms {
        let rows = rows_of(&text);
        assert_eq!(rows.len(), 1, "{text}");
        let read = payment(&rows[0]);
        assert_eq!(read.receipt.as_str(), "RKL51ZDR4F");
        assert_eq!(
            (read.amount, read.reference.as_str()),
            (Money::from_cents(150_000), "10000014"),
            "{text}"
        );
        assert_eq!((read.payer.kept(), read.kind), ("2547****678", TransactionKind::Known), "{text}");
        let at = Some(PaidAt { probably: UnixMillis(1_795_252_405_000), perhaps: None });
        assert_eq!(read.paid_at, at, "{text}");
        let movement = rows[0].movement.unwrap();
        assert_eq!((movement.amount, movement.balance), (read.amount, Some(Money::from_cents(1_200_050))));
    }
}

#[test]
fn what_is_said_before_the_headings_names_the_short_code() {
    let check = |preamble: &str, expected: Option<&str>| {
        let text = format!("{preamble}\n{WIDE}\n");
        assert_eq!(File::read(text.as_bytes()).unwrap().short_code.as_deref(), expected, "{preamble}");
    };
    check("Short Code:,174379", Some("174379"));
    check("Organization Short Code,174379 - Njia", Some("174379"));
    check("\"Short Code: 174379\",,", Some("174379"));
    check("Short Code:,174379\n\nShortCode;174379", Some("174379"));
    check("Organization Name:,Njia 600000", None);
    check("Short Code:,", None);
    let two = format!("Short Code:,174379\nShort Code:,600000\n{WIDE}\n");
    let refused = File::read(two.as_bytes()).unwrap_err();
    assert_eq!(refused, NotAStatement::ShortCodes("174379".to_owned(), "600000".to_owned()));
}

#[test]
fn kinds_are_told_by_reason_and_details_and_never_by_what_a_customer_typed() {
    let row = |details: &str, paid_in: &str, withdrawn: &str, reason: &str| {
        wide(&format!(
            "RKL51ZDR4F,2026-11-21 12:13:25,,{details},Completed,{paid_in},{withdrawn},1.00,true,{reason},,,"
        ))
    };
    let paid = |details: &str, reason: &str| row(details, "10.00", "", reason);
    for (details, reason) in [
        ("Pay Bill from 2547****678 Acc. reversal charge", "Pay Bill"),
        ("Pay Bill Online from 2547****678 - BANK FEE Acc. 1", ""),
        ("Merchant Payment from 2547****678 - JANE", "Merchant Payment"),
        ("Pay Utility from 2547****678 Acc. 1", "Pay Utility"),
        ("Customer Payment to Small Business from 2547****678", ""),
    ] {
        assert_eq!(payment(&paid(details, reason)).amount, Money::from_cents(1_000), "{details}");
    }
    for (details, reason, why) in [
        ("Pay Bill Reversal of RKL", "", Why::Reversal),
        ("Reversal from 2547****678", "Pay Bill Reversal", Why::Reversal),
        ("Pay Bill Charge", "", Why::Kind),
        ("Promotion Payment to you", "Promotion", Why::Kind),
        ("", "", Why::Kind),
    ] {
        assert_eq!(paid(details, reason).what, What::ForPerson(why), "{details}");
    }
    let gone = |details: &str, reason: &str| row(details, "", "-23.00", reason).what;
    let out = |kind, details: &str| {
        let receipt = crate::mpesa::evidence::ReceiptNumber::parse("RKL51ZDR4F").unwrap();
        What::Out(Out { kind, receipt, details: details.to_owned(), amount: Money::from_cents(2_300) })
    };
    for (kind, details, reason) in [
        (OutKind::Charge, "Pay Bill Charge", ""),
        (OutKind::Charge, "Pay Bill Charge", "Pay Bill Charge"),
        (OutKind::Charge, "Merchant to Bank Transfer Fee", ""),
        (OutKind::Settlement, "Organization Settle to Bank 0123", ""),
        (OutKind::Settlement, "Organization Settlement", "Organization Settlement"),
        (OutKind::Settlement, "Withdrawal to Bank", ""),
    ] {
        assert_eq!(gone(details, reason), out(kind, details), "{details}");
    }
    assert_eq!(gone("Transfer from Utility Account to Working Account", ""), What::Within);
    assert_eq!(paid("Utility to Working", "").what, What::Within);
    for (details, why) in [
        ("Business Payment to 2547****678 - BANK", Why::Kind),
        ("Pay Bill to 222111 - Bank of Towns", Why::Kind),
        ("Coffee", Why::Kind),
        ("Pay Bill Reversal", Why::Reversal),
    ] {
        assert_eq!(gone(details, ""), What::ForPerson(why), "{details}");
    }
}

#[test]
fn a_row_that_is_not_understood_is_kept_with_its_line_and_costs_no_other() {
    let good =
        "RKL51ZDR4F,2026-11-21 12:13:25,,Pay Bill from 2547****678 Acc. 1,Completed,10.00,,1.00,true,,,,";
    let check = |bad: &str, why: Why| {
        let rows = rows_of(&format!("{WIDE}\n{good}\n{bad}\n\n,,,,,,,,,,,,\n{good}"));
        assert_eq!(rows.len(), 3, "{bad}");
        assert!(why.is_unread() && rows[1].movement.is_none(), "{bad}");
        assert_eq!((rows[1].line, &rows[1].what), (3, &What::ForPerson(why)), "{bad}");
        assert_eq!(rows[1].text, bad);
        payment(&rows[0]);
        payment(&rows[2]);
    };
    let with = |from: &str, to: &str| good.replace(from, to);
    check(&with("RKL51ZDR4F", "not a receipt!"), Why::Receipt);
    check(&with("RKL51ZDR4F", ""), Why::Receipt);
    check(&with("10.00", "ten"), Why::Amount("Paid In"));
    check(&with("10.00,,", "10.00,x,"), Why::Amount("Withdrawn"));
    check(&with("10.00,", "-10.00,"), Why::Amount("Paid In"));
    check(&with("10.00,,", "10.00,-5.00,"), Why::BothWays);
    check(&with("Completed", ""), Why::NoStatus);
    check(&with("Pay Bill from", "\"Pay Bill from"), Why::NoRow);
    check(&with("Pay Bill from", &"x".repeat(1_500)), Why::NoRow);
    check(&with("10.00,,1.00", "1,510.00,,1.00"), Why::Width { has: 14, named: 13 });
    check(&with("10.00,,1.00", "1,000.00,,1.00"), Why::Width { has: 14, named: 13 });
    check("Total,10.00", Why::Width { has: 2, named: 13 });
    check("<html><body>Sign in</body></html>", Why::Width { has: 1, named: 13 });
}

#[test]
fn rows_that_move_no_money_and_repeated_headings_are_no_work_for_anybody() {
    let line =
        "RKL51ZDR4F,2026-11-21 12:13:25,,Pay Bill from 2547****678 Acc. 1,Declined,10.00,,1.00,true,,,,";
    assert_eq!(wide(line).what, What::NotCompleted);
    assert_eq!(wide(&line.replace("Declined", "Completed").replace("10.00", "0.00")).what, What::NoMoney);
    assert_eq!(rows_of(&format!("{WIDE}\n{line}\n{WIDE}\n{line}\n")).len(), 2);
}

#[test]
fn cells_that_a_spreadsheet_would_calculate_are_kept_as_text() {
    let row = wide(
        "RKL51ZDR4F,2026-11-21 12:13:25,,Pay Bill from 2547****678 Acc. =1+1,Completed,10.00,,1.00,true,,\
         =cmd|'/c calc'!A1,,=HYPERLINK(1)",
    );
    let read = payment(&row);
    assert_eq!((read.reference.as_str(), read.payer.kept()), ("=HYPERLINK(1)", "=cmd|'/c calc'!A1"));
    assert_eq!(read.amount, Money::from_cents(1_000));
}

#[test]
fn letters_that_are_no_utf_8_cost_a_name_and_no_money() {
    let mut bytes =
        format!("{WIDE}\nRKL51ZDR4F,21/11/2026 12:13,,Pay Bill from 2547****678 - JOS").into_bytes();
    bytes.push(0xc9);
    bytes.extend(b" Acc. 10000014,Completed,10.00,,1.00,true,,,,");
    let file = File::read(&bytes).unwrap();
    let rows: Vec<Row> = file.rows().collect();
    let read = payment(&rows[0]);
    assert_eq!((read.reference.as_str(), read.payer.kept()), ("10000014", "2547****678"));
}

#[test]
fn what_is_no_statement_is_refused_with_a_cure() {
    let check = |bytes: &[u8], expected: &str| {
        let refused = File::read(bytes).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    };
    check(b"", "no line names the columns");
    check(b"<!DOCTYPE html>\n<html>Sign in, please</html>", "no line names the columns");
    check(&[0, 159, 146, 150, 10, 0, 255], "no line names the columns");
    check(b"a,b\n1,2\n", "no line names the columns");
    check(b"PK\x03\x04rest", "a spreadsheet");
    check(b"%PDF-1.7", "a PDF");
    check(&[0xff, 0xfe, b'R', 0], "UTF-16");
    check(
        WIDE.replace("Transaction Status", "Colour").as_bytes(),
        "line 1: no column is called Transaction Status",
    );
    check(format!("{}{WIDE}", "x\n".repeat(100)).as_bytes(), "no line names the columns");
    check(format!("{WIDE}\n{}", "\n".repeat(200_001)).as_bytes(), "more than 200000 lines");
    let endless = vec![b','; usize::try_from(FILE_BYTES).unwrap()];
    check(&endless, "no line names the columns");
    check(&[endless.as_slice(), b","].concat(), "more than 64 MiB");
}

#[test]
fn balances_add_up_or_rows_are_missing() {
    let row = |time: &str, paid: &str, withdrawn: &str, balance: &str| {
        format!("RKL51ZDR4F,{time},,Pay Bill,Completed,{paid},{withdrawn},{balance},true,,,,")
    };
    let tally = |rows: &[String]| {
        let mut tally = Tally::default();
        rows_of(&format!("{WIDE}\n{}", rows.join("\n"))).iter().for_each(|row| tally.take(row));
        tally
    };
    let rows = [
        row("2026-11-21 12:13:27", "", "-5.00", "25.00"),
        row("2026-11-21 12:13:26", "20.00", "", "30.00"),
        row("2026-11-21 12:13:25", "7.00", "", "10.00"),
    ];
    let balances = |opening, closing, adds_up| {
        Some(Balances { opening: Money::from_cents(opening), closing: Money::from_cents(closing), adds_up })
    };
    assert_eq!(tally(&rows).balances(), balances(300, 2_500, true));
    assert!(tally(&rows).is_latest_first());
    let mut turned = rows.clone();
    turned.reverse();
    assert!(!tally(&turned).is_latest_first());
    assert_eq!(tally(&turned).balances(), balances(300, 2_500, true));
    let missing = [rows[0].clone(), rows[2].clone()];
    assert_eq!(tally(&missing).balances(), balances(300, 2_500, false));
    assert_eq!(tally(&[row("2026-11-21 12:13:25", "20.00", "", "")]).balances(), None);
    assert_eq!(tally(&[]).balances(), None);
    assert_eq!(
        tally(&[row("2026-11-21 12:13:25", "20.00", "", "-30.00")]).balances(),
        balances(-5_000, -3_000, true)
    );
}

#[test]
fn a_file_for_somebody_else_is_refused_with_the_cure() {
    let of = |file, asked| short_code_of(file, asked, &[]);
    assert_eq!(of(None, Some("174379")), Ok("174379".to_owned()));
    assert_eq!(of(Some("174379"), Some("174379")), Ok("174379".to_owned()));
    assert!(matches!(of(Some("174379"), Some("600000")), Err(NotOurs::AnotherThanAsked { .. })));
    assert!(matches!(of(Some("174379"), None), Err(NotOurs::Unknown)));
    for bad in ["", "1234", "12345678", "12a45"] {
        assert!(matches!(of(None, Some(bad)), Err(NotOurs::NoShortCode(_))), "{bad}");
    }
}

#[test]
fn a_row_is_printed_without_who_paid() {
    let row = wide(
        "RKL51ZDR4F,2026-11-21 12:13:25,,Pay Bill from 2547****678 - JANE Acc. Njeri,Completed,10.00,,1.00,true,,,,",
    );
    let printed = format!("{row:?}");
    assert!(printed.contains("RKL51ZDR4F"), "{printed}");
    assert!(["2547", "JANE", "Njeri"].iter().all(|part| !printed.contains(part)), "{printed}");
}
