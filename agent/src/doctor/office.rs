//! Whether head office can be reached, and whether it is head office.
//!
//! It does not log in there: that would push the running agent off the line. So it tells a port that is closed, a
//! certificate that is wrong and one of ours that is refused apart, and leaves revocation to the agent's own connection.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::finding::Finding;
use crate::config::ControllerAddress;
use crate::health::Status;
use crate::link::ByteCounters;
use crate::link::dialer::{DialError, Way, dial_address, is_no_tls};

/// How long a refusal of our certificate may take: TLS 1.3 sends it after the handshake has ended for us.
const REFUSAL_WAIT: Duration = Duration::from_secs(2);
const CHECK: &str = "head office";

pub(super) async fn examine_controller(
    address: &ControllerAddress,
    way: Way<'_>,
    tls: &Arc<ClientConfig>,
    cure_of_identity: &str,
) -> Finding {
    let connector = TlsConnector::from(Arc::clone(tls));
    let bytes = Arc::new(ByteCounters::default());
    let mut dialed = match dial_address(address, way, &connector, &bytes).await {
        Ok(dialed) => dialed,
        Err(error) => {
            let cure = cure_of(&error);
            // It names the address itself.
            return Finding::bad(CHECK, error.to_string(), cure);
        }
    };
    // Whoever lets us in waits for us to speak; whoever refuses our certificate says so now.
    let mut byte = [0; 1];
    match timeout(REFUSAL_WAIT, dialed.stream.read(&mut byte)).await {
        Err(_) => Finding::good(CHECK, format!("{address} is reached, and its certificate is right")),
        Ok(Ok(count)) if count > 0 => Finding::bad(
            CHECK,
            format!("{address}: what answers speaks first, which the controller does not"),
            "correct controller.addresses: another service listens there",
        ),
        Ok(outcome) => Finding::bad(
            CHECK,
            format!(
                "{address}: it refused our certificate ({}): the site was revoked, or another device took it over with a newer ticket",
                outcome.err().map_or("it hung up".to_owned(), |error| error.to_string())
            ),
            cure_of_identity,
        ),
    }
}

fn cure_of(error: &DialError) -> String {
    match error {
        DialError::Connect { source, .. } => match source.kind() {
            std::io::ErrorKind::ConnectionRefused => "nothing listens there: check the port in controller.addresses, and that the controller runs",
            std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::HostUnreachable => "check this machine's default route: ip route",
            _ => "check the name in controller.addresses and this machine's DNS: getent hosts <name>",
        },
        DialError::Proxy { source, .. } => source.cure(),
        DialError::Tls { source, .. } if is_no_tls(source) => {
            "correct the port: the agents' is another than that of head office's pages (controller.addresses, or what head office's ticket named)"
        }
        DialError::Tls { source, .. } => {
            let text = source.to_string();
            if text.contains("UnknownIssuer") || text.contains("BadSignature") {
                "the CA file is not the one that signed the controller's certificate: copy ca.pem from a fresh bundle"
            } else if text.contains("not valid for name") || text.contains("NotValidForName") {
                "set controller.server_name to a name in the controller's certificate"
            } else if text.contains("Expired") || text.contains("expired") {
                "check this machine's clock: timedatectl; if it is right, restart the controller, which makes its certificate anew"
            } else {
                "check that the port is the controller's MQTT port, and that nothing between reads TLS"
            }
        }
        DialError::TooSlow { .. } => "a firewall on the way drops the port: allow it outwards, or try another address of the controller",
        DialError::BadName { .. } => "write controller.addresses with a host name or an address",
    }
    .to_owned()
}

/// What the running agent's own connection says, which alone knows whether this site was revoked.
pub(super) fn connection_of(status: &Status) -> Finding {
    let check = "connection";
    if status.controller.is_connected {
        return Finding::good(check, "the agent is connected, so this site's certificate is accepted");
    }
    let why = status.controller.last_problem.as_deref().unwrap_or("no connection was made yet");
    let (why, cure) = why.split_once("; cure: ").unwrap_or((
        why,
        "if head office is reached above and hangs up, the site was revoked, or another device took it over: ask head office for tawi-controller site renew, and run here: sudo tawi-agent enrol",
    ));
    Finding::bad(check, format!("the agent is not connected: {why}"), cure)
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::crypto::ring;

    use super::super::finding::Verdict;
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_not_reached_is_named_once() {
        // A port that was free a moment ago: nothing listens there.
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let address = ControllerAddress { host: "127.0.0.1".to_owned(), port };
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let finding =
            examine_controller(&address, Way { server_name: None, proxy: None }, &Arc::new(tls), "").await;
        assert_eq!(finding.verdict, Verdict::Bad);
        assert_eq!(finding.detail.matches(&address.to_string()).count(), 1, "{}", finding.detail);
        assert!(finding.cure.contains("nothing listens there"), "{}", finding.cure);
    }
}
