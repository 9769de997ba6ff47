//! Why a router cannot be worked with, in a technician's words, and what to do about it.
//!
//! Pure: an error of the client in, two sentences out. A router that is away, one that refuses a password and one that is
//! another than it should be are three things to a person who stands beside it. Doctor, status and head office say the
//! same.

use std::error::Error as _;
use std::fmt;
use std::io::ErrorKind;

use routeros_api::{Error, LoginError, Operation, TlsError, TrapKind};
use tawi_shared::wire::{FailureKind, RouterTrouble, Service};

use crate::outbox::shortened;
use crate::reconcile::actual::Family;

/// What is wrong and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What head office is told of it.
    pub kind: RouterTrouble,
    /// Which part of the way fails: a stable word.
    pub part: &'static str,
    /// What was seen.
    pub why: String,
    /// What to do.
    pub cure: String,
}

/// The part that fails where another router answers than the one that is remembered. Such a one can be asked and is not
/// written to.
pub const BOARD: &str = "board";

/// What helps a line that is not on its router as it should be; empty where its own words say so.
#[must_use]
pub fn cure_of_failure(kind: FailureKind, service: Option<Service>, router: &str) -> String {
    let is_logged_in = service.is_none_or(|service| Family::of(service).logins().is_some());
    match kind {
        FailureKind::AnotherBoard => {
            format!("tawi-agent rebuild --router {router}, if it was replaced")
        }
        FailureKind::Held => format!("if it is right: tawi-agent release {router}"),
        // Rows where nobody logs in cannot be taken over, and are not listed.
        FailureKind::ForeignRow if !is_logged_in => {
            "remove what is in its place on the router (/queue simple print; /ip hotspot ip-binding print), or give \
             the line another address or device at head office"
                .to_owned()
        }
        FailureKind::ForeignRow => {
            format!(
                "take the row over (tawi-agent adopt --router {router}), or rename or remove it on the router"
            )
        }
        FailureKind::NoSuchRouter => {
            "name the router in the agent's settings, or correct the line's router at head office".to_owned()
        }
        FailureKind::Unsupported => "update the agent".to_owned(),
        FailureKind::Refused => {
            "correct what the router objects to; the next full check tries again".to_owned()
        }
        FailureKind::NotApplied => {
            format!(
                "it is tried again; if it stays, see who else writes there: tawi-agent log --router {router}"
            )
        }
        FailureKind::RouterUnreachable | FailureKind::NoPassword => String::new(),
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; cure: {}", self.why, self.cure)
    }
}

/// What people are told of a router that cannot be worked with: with what helps where one message holds both.
#[must_use]
pub fn why_lost(router: &str, trouble: Option<&Trouble>) -> String {
    let Some(trouble) = trouble else { return format!("router {router} does not answer") };
    let whole = format!("router {router}: {trouble}");
    if shortened(&whole).len() == whole.len() { whole } else { format!("router {router}: {}", trouble.why) }
}

/// What an error of the client means to whoever must cure it.
#[must_use]
pub fn trouble_of(error: &Error) -> Trouble {
    let (part, cure) = match error {
        Error::Connect { source, .. } => ("reach", cure_of_connect(source.kind())),
        Error::Timeout { operation: Operation::Connect, .. } => (
            "reach",
            "nothing answers at that address: check router.address, power and cable, and that no firewall drops the port: /ip firewall filter print",
        ),
        Error::Tls(tls) => ("tls", cure_of_tls(tls).unwrap_or(OWN_CERTIFICATE)),
        Error::Login(LoginError::Refused { message }) if is_about_policies(message) => (
            "policies",
            "the password is right, and the group of the agent's user lacks the policy api: /user print detail shows the group; then /user group set [find where name=\"…\"] policy=read,write,api",
        ),
        Error::Login(login) => ("login", cure_of_login(login)),
        Error::Trap(_) if error.trap_kind() == Some(TrapKind::NotPermitted) => (
            "policies",
            "give the user's group the policies read, write and api: paste the script of tawi-agent router-script again, or /user group print",
        ),
        Error::Trap(_) if error.trap_kind() == Some(TrapKind::DeviceMode) => (
            "device-mode",
            "allow it at the router: /system device-mode update, and press its button within five minutes",
        ),
        Error::Timeout { .. } => (
            "answers",
            "the router is overloaded, or a firewall drops what belongs to a connection: /system resource print; /ip firewall filter print",
        ),
        Error::Protocol(_) => {
            ("reach", "another service listens on that port: check router.address and router.transport")
        }
        _ => ("answers", "try again; if it stays, read the router's log: /log print"),
    };
    let (why, own_cure) = words_of(error);
    // Ours knows the settings; the client's own stands in where we have none.
    let is_ours_better = matches!(error, Error::Tls(tls) if cure_of_tls(tls).is_some());
    let cure = own_cure.filter(|_| !is_ours_better).unwrap_or_else(|| cure.to_owned());
    Trouble { kind: kind_of(error), part, why, cure }
}

/// Another board answers than the one that is remembered.
#[must_use]
pub fn another_board(serial: &str, before: &str) -> Trouble {
    Trouble {
        kind: RouterTrouble::AnotherBoard,
        part: BOARD,
        why: format!("another router answers: its serial number is {serial} and was {before}"),
        cure: "rebuild it if it was replaced, or correct its address in the agent's settings".to_owned(),
    }
}

fn kind_of(error: &Error) -> RouterTrouble {
    match error {
        Error::Connect { source, .. } => match source.kind() {
            ErrorKind::ConnectionRefused => RouterTrouble::ConnectionRefused,
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => RouterTrouble::NoRoute,
            _ => RouterTrouble::NoAnswer,
        },
        Error::Timeout { operation: Operation::Connect, .. } => RouterTrouble::NoAnswer,
        Error::Timeout { .. } => RouterTrouble::Overloaded,
        Error::Tls(TlsError::PinMismatch { .. }) => RouterTrouble::PinMismatch,
        Error::Tls(TlsError::Closed) | Error::Login(LoginError::ClosedByRouter) => RouterTrouble::HungUp,
        Error::Tls(TlsError::NotTls) | Error::Login(LoginError::NotTheApi(_)) | Error::Protocol(_) => {
            RouterTrouble::NotTheApi
        }
        Error::Tls(_) => RouterTrouble::TlsFailed,
        Error::Login(LoginError::LegacyRefused) => RouterTrouble::TooOld,
        Error::Login(LoginError::Refused { message }) if is_about_policies(message) => {
            RouterTrouble::NotPermitted
        }
        Error::Login(LoginError::Refused { .. }) => RouterTrouble::LoginRefused,
        Error::Trap(_) if error.trap_kind() == Some(TrapKind::NotPermitted) => RouterTrouble::NotPermitted,
        Error::Trap(_) if error.trap_kind() == Some(TrapKind::DeviceMode) => RouterTrouble::DeviceMode,
        _ => RouterTrouble::Other,
    }
}

/// Number 9 is a refusal for want of a policy. What a login without the policy `api` is told is not known of every
/// release, so that the cure of an ordinary refusal names it too.
fn is_about_policies(message: &str) -> bool {
    message.contains("(9)") || message.contains("permi")
}

fn cure_of_connect(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ConnectionRefused => {
            "the router answers, and nothing listens on that port: check the port in router.address, and enable the service: /ip service set api-ssl disabled=no (api in its place with transport = \"plain\")"
        }
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            "this machine has no way there: check router.address, the cable and this machine's addresses: ip address"
        }
        _ => {
            "check router.address, the cable, and that /ip service has api-ssl (or api) enabled for this machine's address"
        }
    }
}

/// What helps against most faults of TLS.
const OWN_CERTIFICATE: &str = "give api-ssl a certificate of its own: tawi-agent router-script prints how";

fn cure_of_tls(error: &TlsError) -> Option<&'static str> {
    match error {
        TlsError::PinMismatch { .. } => Some(
            "if the certificate was made anew on purpose, compare with /certificate print at the router and set router.tls_pin; otherwise another machine answers in the router's place",
        ),
        TlsError::NotTls => Some(
            "use the port of api-ssl (8729) in router.address, or transport = \"plain\" for a router beside the agent",
        ),
        TlsError::Closed => Some(
            "the address list of api-ssl does not hold this machine: /ip service print; or too many connections: max-sessions",
        ),
        _ => None,
    }
}

fn cure_of_login(error: &LoginError) -> &'static str {
    match error {
        LoginError::Refused { .. } => {
            "the password, the user's name, or its address list is not what the router has, or its group lacks the policy api: paste the script of tawi-agent router-script again, which sets the password of router.password_file; to look: /user print detail"
        }
        LoginError::LegacyRefused => "upgrade RouterOS to 6.49 or later: /system package update install",
        LoginError::ClosedByRouter => {
            "the router hung up before it looked at the password: its address lists do not hold this machine (/ip service print; /user print), or max-sessions is reached"
        }
        LoginError::NotTheApi(_) => {
            "check the port in router.address and router.transport: 8729 is tls, 8728 is plain"
        }
        _ => "try again; if it stays, read the router's log: /log print where topics~\"account\"",
    }
}

/// The error with its causes, and the cure that it names itself.
fn words_of(error: &Error) -> (String, Option<String>) {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    match text.split_once(" Cure: ") {
        Some((why, cure)) => (why.trim_end_matches('.').to_owned(), Some(cure.to_owned())),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use routeros_api::Fingerprint;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_row_in_the_way_is_taken_over_only_where_rows_are_listed() {
        let check = |service: Option<Service>, can_be_taken_over: bool| {
            let cure = cure_of_failure(FailureKind::ForeignRow, service, "core");
            assert_eq!(cure.contains("tawi-agent adopt"), can_be_taken_over, "{service:?}: {cure}");
            assert_eq!(cure.contains("/queue simple print"), !can_be_taken_over, "{service:?}: {cure}");
        };
        check(Some(Service::Pppoe), true);
        check(Some(Service::Hotspot), true);
        check(Some(Service::Static), false);
        check(Some(Service::HotspotDevice), false);
        check(None, true);
    }

    #[test]
    fn what_helps_is_said_whole_or_not_at_all() {
        let trouble = |cure: &str| Trouble {
            kind: RouterTrouble::LoginRefused,
            part: "login",
            why: "cannot log in".to_owned(),
            cure: cure.to_owned(),
        };
        let check = |cure: &str, expected: &str| assert_eq!(why_lost("core", Some(&trouble(cure))), expected);
        check("look", "router core: cannot log in; cure: look");
        check(&"paste the script ".repeat(20), "router core: cannot log in");
        assert_eq!(why_lost("core", None), "router core does not answer");
    }

    #[test]
    fn each_way_to_fail_names_its_part_and_its_own_cure() {
        let connect = |kind: ErrorKind| Error::Connect {
            address: "192.0.2.1:8729".to_owned(),
            source: Arc::new(kind.into()),
        };
        let refused = LoginError::Refused { message: "invalid user name or password (6)".to_owned() };
        let unpermitted = LoginError::Refused { message: "not enough permissions (9)".to_owned() };
        let (expected, found) = (Fingerprint::of(b"a"), Fingerprint::of(b"b"));
        use RouterTrouble as Kind;
        let timeout = |operation| Error::Timeout { operation, after: Duration::from_secs(5) };
        let cases: Vec<(Error, Kind, &str, &str)> = vec![
            (connect(ErrorKind::ConnectionRefused), Kind::ConnectionRefused, "reach", "api-ssl disabled=no"),
            (connect(ErrorKind::HostUnreachable), Kind::NoRoute, "reach", "ip address"),
            (connect(ErrorKind::TimedOut), Kind::NoAnswer, "reach", "router.address"),
            (timeout(Operation::Connect), Kind::NoAnswer, "reach", "nothing answers"),
            (Error::Tls(TlsError::PinMismatch { expected, found }), Kind::PinMismatch, "tls", "tls_pin"),
            (Error::Tls(TlsError::NoCommonCipher), Kind::TlsFailed, "tls", "/certificate add"),
            (Error::Tls(TlsError::Closed), Kind::HungUp, "tls", "max-sessions"),
            (Error::Tls(TlsError::NotTls), Kind::NotTheApi, "tls", "8729"),
            (Error::Login(refused), Kind::LoginRefused, "login", "router-script"),
            (Error::Login(unpermitted), Kind::NotPermitted, "policies", "lacks the policy api"),
            (Error::Login(LoginError::ClosedByRouter), Kind::HungUp, "login", "hung up before"),
            (Error::Login(LoginError::LegacyRefused), Kind::TooOld, "login", "6.49"),
            (timeout(Operation::Command), Kind::Overloaded, "answers", "overloaded"),
        ];
        for (error, kind, part, cure) in cases {
            let trouble = trouble_of(&error);
            assert_eq!((trouble.kind, trouble.part), (kind, part), "{error}");
            assert!(trouble.cure.contains(cure), "{error}: {}", trouble.cure);
            assert!(!trouble.why.is_empty() && !trouble.why.contains("Cure"), "{}", trouble.why);
        }
        for tls in [TlsError::PinMismatch { expected, found }, TlsError::Closed, TlsError::NotTls] {
            let Trouble { why, .. } = trouble_of(&Error::Tls(tls));
            for cure in ["compare", "address list", "plain API port"] {
                assert!(!why.contains(cure), "what helps is said once: {why}");
            }
        }
        let why = trouble_of(&Error::Tls(TlsError::PinMismatch { expected, found })).why;
        assert!(why.contains(&expected.to_string()) && why.contains(&found.to_string()), "{why}");
    }
}
