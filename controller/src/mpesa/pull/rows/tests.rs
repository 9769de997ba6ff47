//! Answers in every form that was seen, and in some that were not.

use tawi_shared::UnixMillis;

use super::*;

fn answer(rows: &str) -> String {
    format!(r#"{{"ResponseRefID":"r","ResponseCode":"1000","ResponseMessage":"Success","Response":{rows}}}"#)
}

fn page_of(rows: &str) -> Page {
    of_query(answer(rows).as_bytes()).unwrap()
}

const ROW: &str = r#"{"transactionId":"RKL51ZDR4F","trxDate":"2026-11-21T12:13:25Z","msisdn":254712345678,
    "sender":"MPESA","transactiontype":"c2b-pay-bill-debit","billreference":"10000014","amount":"1500.00",
    "organizationname":"Daraja"}"#;

#[test]
fn a_row_is_read_from_a_list_within_a_list() {
    let page = page_of(&format!("[[{ROW}]]"));
    let row = &page.rows[0];
    assert_eq!(row.receipt.as_str(), "RKL51ZDR4F");
    assert_eq!(row.amount, Money::from_cents(150_000));
    assert_eq!((row.reference.as_str(), row.kind), ("10000014", TransactionKind::Known));
    assert_eq!(row.payer.kept(), "254712345678");
    // 12:13:25 in Nairobi is 09:13:25 UTC.
    let (probably, perhaps) = (UnixMillis(1_795_252_405_000), Some(UnixMillis(1_795_263_205_000)));
    assert_eq!(row.paid_at, Some(PaidAt { probably, perhaps }));
    assert_eq!((page.len(), page.bad.len()), (1, 0));
}

#[test]
fn lists_come_flat_nested_split_and_empty() {
    for (rows, count) in [
        (format!("[{ROW}]"), 1),
        (format!("[[{ROW}],[{ROW},{ROW}]]"), 3),
        ("[[]]".to_owned(), 0),
        ("[]".to_owned(), 0),
        ("null".to_owned(), 0),
        ("\"\"".to_owned(), 0),
    ] {
        assert_eq!(page_of(&rows).rows.len(), count, "{rows}");
    }
    let without = br#"{"ResponseCode":1000}"#;
    assert_eq!(of_query(without), Ok(Page::default()));
}

#[test]
fn values_come_as_strings_and_numbers_and_names_in_any_case() {
    let row = r#"[[{"TransactionID":" rkl51zdr4f ","TrxDate":20261121121325,"MSISDN":"2547 ***** 678",
        "TransactionType":"C2B-Buy-Goods-Debit","BillReference":null,"Amount":1500}]]"#;
    let page = page_of(row);
    let row = &page.rows[0];
    assert_eq!((row.receipt.as_str(), row.amount), ("RKL51ZDR4F", Money::from_cents(150_000)));
    assert_eq!((row.reference.as_str(), row.kind), ("", TransactionKind::Known));
    assert_eq!((row.payer.kept(), row.payer.number()), ("2547 ***** 678", None));
    assert_eq!(row.paid_at, Some(PaidAt { probably: UnixMillis(1_795_252_405_000), perhaps: None }));
}

#[test]
fn a_row_that_is_not_understood_is_kept_as_it_came_and_spoils_nothing() {
    let check = |from: &str, to: &str| {
        let bad = ROW.replace(from, to);
        assert_ne!(bad, ROW);
        let page = page_of(&format!("[[{bad},{ROW}]]"));
        assert_eq!((page.rows.len(), page.len(), page.bad), (1, 2, vec![bad]), "{to}");
    };
    check("RKL51ZDR4F", "");
    check("RKL51ZDR4F", "RKL5 1ZDR4F");
    check("\"1500.00\"", "\"\"");
    check("\"1500.00\"", "0");
    check("\"1500.00\"", "-1500");
    check("\"1500.00\"", "1.5e3");
    check("\"1500.00\"", "\"1500.001\"");
    check("\"1500.00\"", "99999999999999999999");
    for odd in ["1", "null", "\"row\"", "{}"] {
        assert_eq!(page_of(&format!("[[{odd},{ROW}]]")).len(), 2, "{odd}");
        assert_eq!(page_of(&format!("[{odd},{ROW}]")).rows.len(), 1, "{odd}");
    }
}

#[test]
fn a_time_that_is_not_understood_does_not_cost_the_row() {
    for time in ["yesterday", "", "Sat Nov 21 12:13:25 EAT 2026"] {
        let page = page_of(&format!("[[{}]]", ROW.replace("2026-11-21T12:13:25Z", time)));
        assert_eq!((page.rows.len(), page.bad.len()), (1, 0), "{time}");
        assert_eq!(page.rows[0].paid_at, None, "{time}");
        assert_eq!(page.rows[0].amount, Money::from_cents(150_000), "{time}");
    }
}

#[test]
fn a_success_without_a_list_is_no_page() {
    for odd in [ROW, "{}", "\"[]\"", "7", "true"] {
        assert_eq!(of_query(answer(odd).as_bytes()), Err(NoPage::NotAList), "{odd}");
    }
}

#[test]
fn nothing_found_is_an_empty_page_and_a_refusal_is_not() {
    let nothing = br#"{"ResponseRefID":"r","ResponseCode":"1001","ResponseMessage":"No transactions found"}"#;
    assert_eq!(of_query(nothing), Ok(Page::default()));
    let refused = br#"{"requestId":"r","errorCode":"500.003.02","errorMessage":"System is busy"}"#;
    assert_eq!(of_query(refused), Err(NoPage::Refused(Reason::new("500.003.02", "System is busy"))));
    let fault = br#"{"fault":{"faultstring":"Spike arrest","detail":{"errorcode":"policies.SpikeArrest"}}}"#;
    assert_eq!(of_query(fault), Err(NoPage::Refused(Reason::new("", "Spike arrest"))));
    let bodies: [&[u8]; 6] = [b"", b"<html>", b"[]", b"{}", b"{\"ResponseCode\":", b"\xff"];
    for body in bodies {
        assert_eq!(of_query(body), Err(NoPage::NotUnderstood), "{body:?}");
    }
}

#[test]
fn registered_and_registered_before_are_both_yes() {
    for yes in [
        r#"{"ResponseRefID":"r","ResponseStatus":"1000","ShortCode":"174379"}"#,
        r#"{"Response Status":"1001","ResponseDescription":"ShortCode already registered"}"#,
        r#"{"ResponseCode":1001}"#,
    ] {
        assert_eq!(of_registration(yes.as_bytes()), Ok(()), "{yes}");
    }
    let no = br#"{"ResponseStatus":"1002","ResponseDescription":"no"}"#;
    assert_eq!(of_registration(no), Err(NoPage::Refused(Reason::new("1002", "no"))));
    assert_eq!(of_registration(b"<html>"), Err(NoPage::NotUnderstood));
}
