//! What the doctor makes of what was found: answers, clocks, addresses, certificates. Pure.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jiff::fmt::rfc2822;
use tawi_shared::UnixMillis;

use super::{Finding, Verdict};
use crate::mpesa::fields::{self, text_or_empty};
use crate::mpesa::nairobi;
use crate::mpesa::operator::credential::{KeyOf, OperatorKey};
use crate::plain::line_of;

/// Public tunnels and request bins that Safaricom refuses. Source: its C2B pages.
const BLOCKED_SERVICES: [&str; 3] = ["ngrok", "mockbin", "requestbin"];
/// How far our clock may be off before somebody should look, and before times in what is signed are refused.
const CLOCK_DOUBT: Duration = Duration::from_secs(30);
const CLOCK_BAD: Duration = Duration::from_secs(300);
/// How much of an answer is shown.
const SHOWN_CHARACTERS: usize = 200;

const STK: &str = "M-Pesa Express";

/// The name of a public tunnel in a host.
pub(super) fn blocked_service(host: &str) -> Option<&'static str> {
    BLOCKED_SERVICES.into_iter().find(|service| host.contains(service))
}

/// Whether an address can be one that the internet reaches.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let is_carriers = first == 100 && (64..128).contains(&second);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_documentation()
                || v4.is_multicast()
                || v4 == Ipv4Addr::BROADCAST
                || is_carriers)
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_public(IpAddr::V4(v4)),
            None => {
                !(v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
                    || v6.is_multicast())
            }
        },
    }
}

/// What it means that callbacks from an address were turned away, the last of them at this time.
pub(super) fn turned_away(source: &str, at: UnixMillis) -> Finding {
    let step = "callback senders";
    let when = nairobi::written(at, "%Y-%m-%d %H:%M");
    if source.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback()) {
        return Finding::new(
            step,
            Verdict::Bad,
            format!(
                "callbacks were turned away, the last on {when}: they came from this machine itself, so that nobody knows who \
                 sent them, and refuse_unknown_sources is on"
            ),
            "let the proxy before the controller write X-Forwarded-For (nginx: proxy_set_header X-Forwarded-For \
             $remote_addr), or leave refuse_unknown_sources out; Pull fetches what they told of",
        );
    }
    Finding::new(
        step,
        Verdict::Doubt,
        format!("callbacks from {source} were turned away, the last on {when}"),
        "should it be Safaricom's, add it to known_sources; should it be your own proxy's, let that write X-Forwarded-For, and \
         name it in [server] trusted_proxies",
    )
}

/// What a certificate is good for at this address.
pub(super) fn certificate(key: &OperatorKey, base_url: &str, now: UnixMillis) -> Finding {
    let step = "operator's certificate";
    let is_sandbox = base_url.starts_with("https://sandbox.safaricom.co.ke");
    let is_production = base_url.starts_with("https://api.safaricom.co.ke");
    let whose = key.subject();
    let other = match key.is_of() {
        KeyOf::Sandbox if is_production => Some("the sandbox's"),
        KeyOf::Production if is_sandbox => Some("the production's"),
        KeyOf::Sandbox | KeyOf::Production | KeyOf::Unknown => None,
    };
    if let Some(other) = other {
        return Finding::new(
            step,
            Verdict::Bad,
            format!("it is {other} ({whose}), and base_url is {base_url}"),
            "download the certificate of the same environment from the Daraja portal",
        );
    }
    let ended = nairobi::written(key.ends_at(), "%Y-%m-%d");
    match (key.is_of(), key.ends_at() < now) {
        (KeyOf::Unknown, true) => Finding::new(
            step,
            Verdict::Doubt,
            format!("it ended on {ended} ({whose}), and its key is none that is known of Safaricom"),
            "download it anew from the Daraja portal",
        ),
        (KeyOf::Unknown, false) => Finding::ok(
            step,
            format!("it is good until {ended} ({whose}); whose it is shows in the answer to the operator"),
        ),
        (KeyOf::Sandbox | KeyOf::Production, is_over) => {
            let over = if is_over {
                format!(" (it ended on {ended}, and only its key counts)")
            } else {
                String::new()
            };
            Finding::ok(step, format!("its key is Safaricom's own{over}"))
        }
    }
}

/// What Daraja's clock says of ours.
pub(super) fn clock(date: Option<&str>, now: UnixMillis) -> Finding {
    let step = "clock";
    let theirs =
        date.and_then(|date| rfc2822::parse(date).ok()).map(|at| UnixMillis(at.timestamp().as_millisecond()));
    let Some(theirs) = theirs else {
        return Finding::new(
            step,
            Verdict::Doubt,
            "Safaricom's answer does not say what time it is",
            "compare this machine's clock yourself (timedatectl)",
        );
    };
    let off = if theirs > now { theirs.since(now) } else { now.since(theirs) };
    let way = if theirs > now { "behind" } else { "ahead of" };
    let found = format!("this machine is {} s {way} Safaricom's clock", off.as_secs());
    let cure = "let this machine follow a time server (timedatectl set-ntp true)";
    if off >= CLOCK_BAD {
        Finding::new(step, Verdict::Bad, found, cure)
    } else if off >= CLOCK_DOUBT {
        Finding::new(step, Verdict::Doubt, found, cure)
    } else {
        Finding::ok(step, found)
    }
}

/// What the answer to a question about a prompt that never was says of product, short code and passkey.
pub(super) fn stk(answer: &[u8]) -> Finding {
    let Some(told) = fields::of(answer) else {
        return Finding::new(STK, Verdict::Doubt, "the answer is not one of Daraja's", "try again later");
    };
    let fault = fields::object(&told, "fault").unwrap_or_default();
    let fault = text_or_empty(&fault, "faultstring");
    let code = text_or_empty(&told, "errorcode");
    let message = if fault.is_empty() { text_or_empty(&told, "errormessage") } else { fault.clone() };
    let lowered = message.to_ascii_lowercase();
    let shown = line_of(format!("{code} {message}").trim(), SHOWN_CHARACTERS);
    let bad = |cure: &str| Finding::new(STK, Verdict::Bad, format!("Safaricom answers: {shown}"), cure);
    if lowered.contains("apiproduct") {
        return bad(
            "add the product \"M-Pesa Express\" to the app in the Daraja portal; it takes up to an hour to count",
        );
    }
    if lowered.contains("wrong credentials") {
        return bad(
            "the passkey is not this short code's: copy it anew from Safaricom's go-live mail into passkey_file",
        );
    }
    if lowered.contains("merchant does not exist") || lowered.contains("businessshortcode") {
        return bad(
            "correct short_code: it is none that this app may prompt for. Of a paybill it is the paybill's own number; of a till it \
             is the head-office number of the go-live, and the till itself is till_number",
        );
    }
    let is_known = lowered.contains("transaction") || !text_or_empty(&told, "resultcode").is_empty();
    if is_known {
        return Finding::ok(STK, "product, short code and passkey are taken; nobody was asked for money");
    }
    if code.starts_with('4') {
        return bad("compare short_code, passkey_file and numbers_as with the Daraja portal");
    }
    Finding::new(
        STK,
        Verdict::Doubt,
        format!("Safaricom gives no clear answer: {shown}"),
        "try again in a few minutes; some short codes have no query: then set query = false",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_nobody_reaches_are_known() {
        let check =
            |address: &str, expected| assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        for public in ["196.201.214.200", "8.8.8.8", "100.128.0.1", "2c0f:fe38::1", "::ffff:8.8.8.8"] {
            check(public, true);
        }
        for private in [
            "10.0.0.1",
            "192.168.88.1",
            "172.16.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "0.0.0.0",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.2.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            check(private, false);
        }
        assert_eq!(
            (blocked_service("a.ngrok.io"), blocked_service("pay.isp.example")),
            (Some("ngrok"), None)
        );
    }

    #[test]
    fn clocks_are_compared_to_the_second_and_judged_in_steps() {
        // Thu, 26 Nov 2026 12:00:00 GMT.
        let noon = 1_795_694_400_000;
        let check = |date: Option<&str>, now: i64, expected: Verdict, words: &str| {
            let found = clock(date, UnixMillis(now));
            assert_eq!(found.verdict, expected, "{found:?}");
            assert!(found.found.contains(words), "{found:?}");
        };
        let date = Some("Thu, 26 Nov 2026 12:00:00 GMT");
        check(date, noon, Verdict::Ok, " 0 s");
        check(date, noon + 29_000, Verdict::Ok, "29 s ahead of");
        check(date, noon - 30_000, Verdict::Doubt, "30 s behind");
        check(date, noon - 3 * 3_600_000, Verdict::Bad, "10800 s behind");
        check(Some("yesterday"), noon, Verdict::Doubt, "does not say");
        check(None, noon, Verdict::Doubt, "does not say");
    }

    #[test]
    fn an_answer_about_a_prompt_that_never_was_tells_of_product_and_passkey() {
        let check = |answer: &str, expected: Verdict, words: &str| {
            let found = stk(answer.as_bytes());
            assert_eq!(found.verdict, expected, "{answer}: {found:?}");
            assert!(format!("{} {}", found.found, found.cure).contains(words), "{found:?}");
        };
        let error = |code: &str, message: &str| {
            format!(r#"{{"requestId":"1","errorCode":"{code}","errorMessage":"{message}"}}"#)
        };
        check(&error("500.001.1001", "The transaction does not Exist"), Verdict::Ok, "passkey are taken");
        check(&error("500.001.1001", "The transaction is being processed"), Verdict::Ok, "nobody was asked");
        check(r#"{"ResponseCode":"0","ResultCode":"1032"}"#, Verdict::Ok, "nobody was asked");
        check(&error("500.001.1001", "[MerchantValidate] - Wrong credentials"), Verdict::Bad, "passkey_file");
        check(&error("500.001.1001", "Merchant does not exist"), Verdict::Bad, "short_code");
        check(
            &error("400.002.02", "Bad Request - Invalid BusinessShortCode"),
            Verdict::Bad,
            "correct short_code",
        );
        check(&error("400.002.02", "Bad Request - Invalid Timestamp"), Verdict::Bad, "400.002.02");
        check(&error("500.001.1001", ""), Verdict::Doubt, "500.001.1001");
        check(&error("500.003.02", "System is busy"), Verdict::Doubt, "few minutes");
        check(
            r#"{"fault":{"faultstring":"Invalid API call as no apiproduct match found","detail":{}}}"#,
            Verdict::Bad,
            "M-Pesa Express",
        );
        check("<html>", Verdict::Doubt, "not one of Daraja's");
    }
}
