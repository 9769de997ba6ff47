//! What another broker has to be told, as files: listener, access rules, and what they do not cover. Pure.
//!
//! mosquitto is what the end-to-end tests run against; the words for the others are those of their manuals, and say so.
//! What each promises of somebody who is revoked stands in its head, because that is where an operator reads it.

use crate::ids::SiteId;

use super::{ExternalBroker, acl_lines};

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Eclipse Mosquitto 2.0.
    Mosquitto,
    /// EMQX 5.
    Emqx,
    /// VerneMQ 2.
    Vernemq,
    /// NATS server 2.
    Nats,
}

/// The authority's certificate.
pub const CA_FILE: &str = "ca.pem";
/// The broker's certificate.
pub const CERTIFICATE_FILE: &str = "broker.pem";
/// Its key.
pub const KEY_FILE: &str = "broker.key";
/// Who must not be let in.
pub const LIST_FILE: &str = "revoked.crl";

/// What the files are about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Where the broker is.
    pub broker: &'a ExternalBroker,
    /// Where the files lie at the broker.
    pub directory: &'a str,
    /// Agents connected at once.
    pub connections: usize,
    /// All sites, for a broker that wants each of them named.
    pub sites: &'a [SiteId],
}

/// The files, with their names.
#[must_use]
pub fn files(kind: Kind, about: &About<'_>) -> Vec<(&'static str, String)> {
    match kind {
        Kind::Mosquitto => vec![("tawi.conf", mosquitto(about)), ("tawi.acl", mosquitto_acl())],
        Kind::Emqx => vec![("tawi.conf", emqx(about)), ("tawi.acl", emqx_acl())],
        Kind::Vernemq => {
            vec![
                ("tawi.conf", vernemq(about)),
                ("tawi.acl", acl_lines::vernemq()),
                ("tawi.lua", LUA.to_owned()),
            ]
        }
        Kind::Nats => vec![("tawi.conf", nats(about))],
    }
}

/// What holds with every broker that is not inside the controller.
const PROMISES: &str = "\
# What holds of a site that is shut out (tawi-controller site revoke):
#   at once, whatever this broker does: the controller believes nothing that it says, answers nothing, and sends it neither state
#   nor commands.";

/// Where everybody is heard: on this machine only where the controller's URL says so.
fn bind(about: &About<'_>) -> &'static str {
    if about.broker.is_for_this_machine() { "127.0.0.1" } else { "0.0.0.0" }
}

fn mosquitto(about: &About<'_>) -> String {
    let About { broker, directory, connections, .. } = about;
    // Without an address it listens on IPv6 too.
    let at = if broker.is_for_this_machine() {
        format!("{} 127.0.0.1", broker.port)
    } else {
        broker.port.to_string()
    };
    // The controller beside its agents, and those that are just being replaced.
    let connections = connections.saturating_add(64);
    format!(
        "# Eclipse Mosquitto 2.0 for Tawi. Written by: tawi-controller broker-config mosquitto
#
# Everybody shows a certificate of this controller's authority, and is who it names; what may be said and heard is in tawi.acl.
{PROMISES}
#   after a new {LIST_FILE} and `systemctl reload mosquitto`: its next connection is refused. What is open stays open until it
#   ends; `systemctl restart mosquitto` ends it.
# A device that was replaced by a new ticket (site renew) is the same site to the controller. Only {LIST_FILE} keeps the old one
# out: until this broker has read it, whichever of the two connected last speaks for the site.
# The list:
#   sudo -u tawi-controller tawi-controller broker-config mosquitto --crl - \\
#     | sudo install -m 0644 /dev/stdin {directory}/{LIST_FILE} && sudo systemctl reload mosquitto
#
# Here: the directory with its files belongs to mosquitto's user, which reads them again at a reload.
#   install --directory --owner mosquitto --mode 0700 {directory}
#   and once the files are in it: chown mosquitto {directory}/*
#   ln --symbolic {directory}/tawi.conf /etc/mosquitto/conf.d/tawi.conf
listener {at}
cafile {directory}/{CA_FILE}
certfile {directory}/{CERTIFICATE_FILE}
keyfile {directory}/{KEY_FILE}
crlfile {directory}/{LIST_FILE}
require_certificate true
use_identity_as_username true
# So that no site can put another out by taking its client id.
use_username_as_clientid true
max_connections {connections}
max_qos 1

allow_anonymous false
acl_file {directory}/tawi.acl

# Nothing is kept: what was not heard is told again.
persistence false
retain_available false
persistent_client_expiration 1h
max_keepalive 300
max_packet_size 262144
max_inflight_messages 64
max_queued_messages 20000
max_queued_bytes 16777216
set_tcp_nodelay true
sys_interval 0
"
    )
}

fn mosquitto_acl() -> String {
    format!(
        "# Who may say and hear what. mosquitto takes every subscription and looks here at each message that it would deliver.\n{}",
        acl_lines::mosquitto()
    )
}

/// What is said of the brokers that the tests do not run.
fn unproven(name: &str) -> String {
    format!(
        "# {name} for Tawi. Written by: tawi-controller broker-config
#
# NOT PROVEN: these are the words of its manual. The tests of this release run against Eclipse Mosquitto 2.0.11 only. Try it with
# one site first: it must hear its own topics and no other, and be refused with another's certificate."
    )
}

fn emqx(about: &About<'_>) -> String {
    let About { broker, directory, connections, .. } = about;
    let (head, bind, port) = (unproven("EMQX 5"), bind(about), broker.port);
    let connections = connections.saturating_add(64);
    format!(
        "{head}
{PROMISES}
#   its connection here: EMQX reads lists of revoked certificates only where the certificates say where (a distribution point), and
#   Tawi's do not. Ban the site and end its connection by hand, and lift the ban before it gets a new ticket:
#     emqx ctl clients kick SITE
#     POST /api/v5/banned {{\"as\": \"username\", \"who\": \"SITE\"}}
# A device that was replaced by a new ticket (site renew) is the same site here and to the controller: NOTHING keeps the old one
# out until its certificate ends, which is a year at the most. Where devices are stolen, use mosquitto or the broker inside.
#
# From EMQX 5.9 on a cluster needs a licence of its vendor; one node does not.
# Here: put this into emqx.conf, or include it there.
listeners.ssl.default {{
  bind = \"{bind}:{port}\"
  max_connections = {connections}
  ssl_options {{
    cacertfile = \"{directory}/{CA_FILE}\"
    certfile = \"{directory}/{CERTIFICATE_FILE}\"
    keyfile = \"{directory}/{KEY_FILE}\"
    verify = verify_peer
    fail_if_no_peer_cert = true
    versions = [\"tlsv1.3\", \"tlsv1.2\"]
  }}
}}
listeners.tcp.default.enable = false
listeners.ws.default.enable = false
listeners.wss.default.enable = false
mqtt {{
  peer_cert_as_username = cn
  # So that no site can put another out by taking its client id.
  peer_cert_as_clientid = cn
  max_qos_allowed = 1
  max_packet_size = 256KB
  max_inflight = 64
  max_mqueue_len = 20000
  retain_available = false
  shared_subscription = false
  session_expiry_interval = 0s
}}
retainer.enable = false
authorization {{
  no_match = deny
  deny_action = disconnect
  cache.enable = true
  sources = [{{type = file, enable = true, path = \"{directory}/tawi.acl\"}}]
}}
"
    )
}

fn emqx_acl() -> String {
    format!("%% Who may say and hear what. The name is that of the certificate.\n{}", acl_lines::emqx())
}

fn vernemq(about: &About<'_>) -> String {
    let About { broker, directory, connections, .. } = about;
    let (head, bind, port) = (unproven("VerneMQ 2"), bind(about), broker.port);
    let connections = connections.saturating_add(64);
    format!(
        "{head}
{PROMISES}
#   within a minute of a new {LIST_FILE} (crl_refresh_interval): its next connection is refused. What is open stays open until it
#   ends: `vmq-admin session disconnect client-id=SITE`.
# A device that was replaced by a new ticket (site renew) is the same site to the controller. Only {LIST_FILE} keeps the old one
# out: until this broker has read it, whichever of the two connected last speaks for the site.
#   sudo -u tawi-controller tawi-controller broker-config vernemq --crl - \\
#     | sudo install -m 0644 /dev/stdin {directory}/{LIST_FILE}
#
# VerneMQ's packages are under its vendor's EULA. Here: add this to vernemq.conf.
allow_anonymous = off
plugins.vmq_passwd = off
# Sites show a certificate and no password: tawi.lua lets in whoever has one.
plugins.vmq_diversity = on
vmq_diversity.tawi.file = {directory}/tawi.lua
plugins.vmq_acl = on
vmq_acl.acl_file = {directory}/tawi.acl

listener.ssl.tawi = {bind}:{port}
listener.ssl.tawi.max_connections = {connections}
listener.ssl.tawi.cafile = {directory}/{CA_FILE}
listener.ssl.tawi.certfile = {directory}/{CERTIFICATE_FILE}
listener.ssl.tawi.keyfile = {directory}/{KEY_FILE}
listener.ssl.tawi.crlfile = {directory}/{LIST_FILE}
listener.ssl.tawi.require_certificate = on
listener.ssl.tawi.use_identity_as_username = on
crl_refresh_interval = 1m

max_message_size = 262144
max_inflight_messages = 64
max_online_messages = 20000
max_offline_messages = 0
persistent_client_expiration = 1h
allow_register_during_netsplit = on
"
    )
}

/// The name is that of the certificate by then. The client id must be it too, so that no site can put another out.
const LUA: &str = "\
-- Lets in whoever shows a certificate; the listener has looked at it, and its name is the user's.
function auth_on_register(reg)
    return reg.username ~= nil and reg.client_id == reg.username
end

hooks = { auth_on_register = auth_on_register }
";

fn nats(about: &About<'_>) -> String {
    let About { broker, directory, connections, sites } = about;
    let (head, bind, port) = (unproven("NATS server 2"), bind(about), broker.port);
    let connections = connections.saturating_add(64);
    let users = acl_lines::nats_users(sites);
    format!(
        "{head}
{PROMISES}
#   after this file was printed again, without the site, and `nats-server --signal reload`: NATS ends its connection and refuses the
#   next. Every new site needs that too: NATS has no rule that holds for all sites, so that each is named here.
# A device that was replaced by a new ticket (site renew) is the same site here and to the controller: NOTHING keeps the old one
# out until its certificate ends, which is a year at the most. Nor does NATS bind the client id to the certificate: a site can put
# another out by taking its id, though neither speak for it nor hear it. Where devices are stolen, use mosquitto or the broker
# inside.
server_name: \"tawi\"
jetstream {{ store_dir: \"{directory}/jetstream\" }}
max_payload: 262144
max_connections: {connections}
mqtt {{
  listen: \"{bind}:{port}\"
  max_ack_pending: 64
  tls {{
    ca_file: \"{directory}/{CA_FILE}\"
    cert_file: \"{directory}/{CERTIFICATE_FILE}\"
    key_file: \"{directory}/{KEY_FILE}\"
    verify_and_map: true
  }}
}}
authorization {{
  users: [
{users}  ]
}}
"
    )
}

#[cfg(test)]
mod tests;
