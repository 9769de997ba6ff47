//! What was read of a router, as plain data, and what is asked of it.
//!
//! Pure. Every question reads, names the properties that it wants, and has an end: the doctor must not weigh on a router
//! that serves two thousand customers. Who asks is `read.rs`; what the answers mean is `checks/`.

use std::collections::BTreeMap;

use routeros_api::Query;

use super::memory::Seen;
use crate::health::Walled;
use crate::reconcile::fixed::made_by_hand;
use crate::router_script::{OFF_LIST, PAY_LIST, WALLED_LIST};

/// Rows of one menu that are looked at. Profiles are the longest list, and a site has a few dozen.
pub(super) const ROWS_AT_MOST: usize = 500;

/// One row.
pub(super) type Row = BTreeMap<String, String>;

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The rows, at most [`ROWS_AT_MOST`].
    Rows(Vec<Row>),
    /// The menu is not there: a package is missing, or the release has no such menu.
    Absent,
    /// Our user may not read it.
    Refused,
    /// In the router's words.
    Failed(String),
}

/// What was read of one router.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Its name in the settings.
    pub(super) router: String,
    /// Our user there.
    pub(super) user: String,
    /// By the question's name.
    pub(super) answers: BTreeMap<&'static str, Answer>,
    /// How many rows a menu has, where only that was asked.
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// The router's clock less this machine's, in seconds.
    pub(super) clock_ahead_seconds: Option<i64>,
    /// Lines by service, as the running agent knows them; `None` when it does not run.
    pub(super) lines: Option<BTreeMap<String, u64>>,
    /// Lines that get their address by the profile that ours are made from; `None` when nobody knows.
    pub(super) lines_by_template: Option<u64>,
    /// Lines that the router's firewall alone bars while they are walled in; `None` when nobody knows.
    pub(super) walled: Option<Walled>,
    /// What would have to be for it to be known how many lines need something; empty where that is known.
    pub(super) lines_known: &'static str,
    /// The serial number of the router that the agent works with; `None` when it has worked with none by this name.
    pub(super) board: Option<String>,
    /// Whether whoever asks says that another router is the right one from now on.
    pub(super) is_accepted: bool,
    /// What was seen when the doctor last came.
    pub(super) seen: Option<Seen>,
    /// When, by this machine's clock, in milliseconds.
    pub(super) now_ms: i64,
}

impl Facts {
    /// The rows of an answer; none where there was no answer.
    pub(super) fn rows(&self, question: &str) -> &[Row] {
        match self.answers.get(question) {
            Some(Answer::Rows(rows)) => rows,
            _ => &[],
        }
    }

    /// The only row of a menu that has one.
    pub(super) fn row(&self, question: &str) -> Option<&Row> {
        self.rows(question).first()
    }

    /// A property of it, unless it is unset or empty.
    pub(super) fn value(&self, question: &str, property: &str) -> Option<&str> {
        text(self.row(question)?, property)
    }

    pub(super) fn number(&self, question: &str, property: &str) -> Option<u64> {
        self.value(question, property)?.parse().ok()
    }

    pub(super) fn was_read(&self, question: &str) -> bool {
        matches!(self.answers.get(question), Some(Answer::Rows(_)))
    }

    pub(super) fn is_absent(&self, question: &str) -> bool {
        self.answers.get(question) == Some(&Answer::Absent)
    }

    /// Lines of these services; `None` when nobody knows.
    pub(super) fn lines_of(&self, services: &[&str]) -> Option<u64> {
        let lines = self.lines.as_ref()?;
        Some(
            services
                .iter()
                .filter_map(|service| lines.get(*service))
                .fold(0, |sum, lines| sum.saturating_add(*lines)),
        )
    }

    /// The release as numbers.
    pub(super) fn release(&self) -> Option<(u16, u16)> {
        let version =
            routeros_api::menu::Version::parse(self.value("resource", "version")?.as_bytes()).ok()?;
        Some((version.major, version.minor))
    }

    /// What tells this router from another: its serial number, or the id of its licence.
    pub(super) fn serial(&self) -> Option<&str> {
        self.value("routerboard", "serial-number")
            .or_else(|| self.value("license", "system-id"))
            .or_else(|| self.value("license", "software-id"))
    }
}

/// A property, unless it is unset or empty.
pub(super) fn text<'r>(row: &'r Row, property: &str) -> Option<&'r str> {
    row.get(property).map(String::as_str).filter(|value| !value.is_empty())
}

/// A flag that says yes.
pub(super) fn is_set(row: &Row, property: &str) -> bool {
    matches!(text(row, property), Some("true" | "yes"))
}

/// Something to read.
pub(super) struct Question {
    pub(super) name: &'static str,
    pub(super) menu: &'static str,
    pub(super) properties: &'static [&'static str],
    pub(super) query: Option<Query>,
}

/// What is asked of every router, in this order.
pub(super) fn questions(user: &str) -> Vec<Question> {
    let ask = |name, menu, properties| Question { name, menu, properties, query: None };
    let of_walls = Query::equals("action", "fasttrack-connection")
        .or(Query::equals("jump-target", WALLED_LIST))
        .or(Query::equals("jump-target", OFF_LIST))
        .or(Query::equals("chain", WALLED_LIST))
        .or(Query::equals("chain", OFF_LIST))
        .or(Query::equals("src-address-list", WALLED_LIST));
    vec![
        ask("resource", "/system/resource", RESOURCE),
        ask("identity", "/system/identity", &["name"]),
        ask("routerboard", "/system/routerboard", &["serial-number", "model"]),
        ask("license", "/system/license", &["nlevel", "level", "software-id", "system-id"]),
        ask("ntp", "/system/ntp/client", &["enabled", "status"]),
        ask("device-mode", "/system/device-mode", &["mode", "hotspot", "pptp", "l2tp"]),
        ask("packages", "/system/package", &["name", "disabled"]),
        Question {
            query: Some(Query::equals("name", user)),
            ..ask("user", "/user", &["name", "group", "address"])
        },
        ask("groups", "/user/group", &["name", "policy"]),
        Question {
            query: Some(Query::equals("name", "api").or(Query::equals("name", "api-ssl"))),
            ..ask("services", "/ip/service", SERVICE)
        },
        Question { query: Some(of_walls), ..ask("rules", "/ip/firewall/filter", RULE) },
        Question {
            query: Some(Query::equals("src-address-list", WALLED_LIST)),
            ..ask("nat", "/ip/firewall/nat", RULE)
        },
        Question {
            query: Some(Query::equals("list", PAY_LIST)),
            ..ask("pay-list", "/ip/firewall/address-list", &["address", "disabled"])
        },
        ask("dns", "/ip/dns", &["allow-remote-requests"]),
        ask("logging", "/system/logging", &["topics", "action", "disabled"]),
        ask("pools", "/ip/pool", &["name"]),
        ask("ppp-profiles", "/ppp/profile", &["name", "comment", "local-address", "remote-address"]),
        ask("pppoe-servers", "/interface/pppoe-server/server", &["interface", "disabled"]),
        ask("l2tp-server", "/interface/l2tp-server/server", &["enabled"]),
        ask("pptp-server", "/interface/pptp-server/server", &["enabled"]),
        ask("ovpn-server", "/interface/ovpn-server/server", &["enabled", "disabled"]),
        ask("hotspots", "/ip/hotspot", &["name", "interface", "address-pool", "disabled", "invalid"]),
        ask("hotspot-profiles", "/ip/hotspot/user/profile", &["name", "address-pool"]),
        // The queues of sessions stand there too, one for each.
        Question { query: Some(made_by_hand()), ..ask("queues", "/queue/simple", QUEUE) },
        ask("bindings", "/ip/hotspot/ip-binding", BINDING),
    ]
}

/// Menus of which only the length is asked, which also proves that our user may read them.
pub(super) const COUNTED: [(&str, &str); 2] =
    [("secrets", "/ppp/secret"), ("hotspot-users", "/ip/hotspot/user")];

const QUEUE: &[&str] = &["name", "target", "dst", "packet-marks", "comment", "disabled", "invalid"];
const BINDING: &[&str] = &["mac-address", "address", "type", "comment", "disabled"];
const RESOURCE: &[&str] = &[
    "version",
    "board-name",
    "free-hdd-space",
    "write-sect-total",
    "write-sect-since-reboot",
    "bad-blocks",
    "uptime",
];
const SERVICE: &[&str] = &[
    "name",
    "disabled",
    "address",
    "available-from",
    "certificate",
    "max-sessions",
    "dynamic",
    "connection",
];
const RULE: &[&str] = &[
    "chain",
    "action",
    "jump-target",
    "disabled",
    "src-address-list",
    "dst-address-list",
    "connection-mark",
    "packet-mark",
    "in-interface",
    "in-interface-list",
    "out-interface",
    "out-interface-list",
    "src-address",
    "dst-address",
    "dst-address-type",
    "protocol",
    "dst-port",
];
