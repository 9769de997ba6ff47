//! What can be looked at on this machine: the files of secrets, the operator's password and certificate, our own address.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use reqwest::Url;
use tawi_shared::UnixMillis;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::{Finding, Verdict, verdicts};
use crate::mpesa::settings::MpesaSettings;
use crate::mpesa::store;
use crate::sites;
use crate::state::Controller;

/// How long the name of our own address may take to be resolved.
const RESOLVE: Duration = Duration::from_secs(10);
/// What the group may do with a file.
const GROUP: u32 = 0o070;
/// How far back callbacks that were turned away are told of: what is older was cured, or is no matter.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(7 * 86_400);
/// Of how many addresses: Safaricom has a dozen.
const TURNED_AWAY_SHOWN: u32 = 12;
const CALLBACK: &str = "callback address";

/// Whether the sites whose lines it asks are sites.
pub(super) async fn sites(controller: &Controller, settings: &MpesaSettings) -> Vec<Finding> {
    let step = "sites";
    let mut findings = Vec::new();
    for site in settings.sites() {
        let known = async { sites::get(&mut *controller.database.read().await?, site).await };
        findings.push(match known.await {
            Ok(Some(_)) => Finding::ok(step, format!("lines at {site} are asked from here")),
            Ok(None) => Finding::new(
                step,
                Verdict::Bad,
                format!("there is no site {site}, so that no line is asked from here because of it"),
                "write it under [mpesa] sites as tawi-controller site list shows it",
            ),
            Err(error) => {
                Finding::new(step, Verdict::Doubt, error.to_string(), "look at the controller's log")
            }
        });
    }
    findings
}

/// Whether callbacks are turned away that may be Safaricom's: where the settings turn strangers away at all.
pub(super) async fn senders(controller: &Controller, settings: &MpesaSettings) -> Vec<Finding> {
    let step = "callback senders";
    if !settings.refuses_strangers {
        return Vec::new();
    }
    let since = controller.clock.now().minus(TURNED_AWAY_WITHIN);
    let turned_away = async {
        store::turned_away_since(&mut *controller.database.read().await?, since, TURNED_AWAY_SHOWN).await
    };
    let turned_away = match turned_away.await {
        Ok(turned_away) => turned_away,
        Err(error) => {
            return vec![Finding::new(
                step,
                Verdict::Doubt,
                error.to_string(),
                "look at the controller's log",
            )];
        }
    };
    if turned_away.is_empty() {
        return vec![Finding::ok(step, "none was turned away in the last seven days")];
    }
    turned_away.iter().map(|(source, at)| verdicts::turned_away(source, *at)).collect()
}

/// Whether the secrets are ours alone. That everybody can read one is refused by the settings.
pub(super) fn secrets(settings: &MpesaSettings) -> Vec<Finding> {
    let step = "secrets";
    let look = |file: &crate::mpesa::settings::SecretFile| {
        let (key, path) = (file.key, file.path.display());
        match std::fs::metadata(&file.path) {
            Ok(data) if data.mode() & GROUP == 0 => Finding::ok(step, format!("{key}: {path} is ours alone")),
            Ok(_) => Finding::new(
                step,
                Verdict::Doubt,
                format!("{key}: the group of {path} may use it too"),
                format!("chmod 0600 {path}, unless that group is the controller's own"),
            ),
            Err(error) => Finding::new(
                step,
                Verdict::Bad,
                format!("{key}: {path}: {error}"),
                "put the file back, and let the controller's user own it",
            ),
        }
    };
    settings.secret_files.iter().map(look).collect()
}

/// Password and certificate of the API operator, as far as they can be judged unasked.
pub(super) fn operator(settings: &MpesaSettings, now: UnixMillis) -> Vec<Finding> {
    let Some(operator) = settings.operator() else { return Vec::new() };
    let strange = operator.strange_characters();
    let password = if strange.is_empty() {
        Finding::ok("operator's password", "it has only characters that Safaricom takes")
    } else {
        Finding::new(
            "operator's password",
            Verdict::Doubt,
            format!("it has characters that Safaricom is known not to take: {strange}"),
            "set one with letters, digits and # & % $ alone in Safaricom's organisation portal",
        )
    };
    vec![password, verdicts::certificate(operator.key(), &settings.base_url, now)]
}

/// Whether Safaricom could reach our own address. That it does is not seen from here.
pub(in crate::mpesa) async fn callback_url(settings: &MpesaSettings) -> Finding {
    let url = &settings.callback_base_url;
    let bad = |found: String, cure: &str| Finding::new(CALLBACK, Verdict::Bad, found, cure);
    let Some((parsed, host)) =
        Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned).map(|host| (url, host)))
    else {
        return bad(format!("{url} is no address"), "correct callback_base_url");
    };
    if let Some(service) = verdicts::blocked_service(&host) {
        let found = format!("{url} is at {service}, which Safaricom refuses");
        return bad(found, "use a host name of your own");
    }
    if parsed.scheme() != "https" {
        return bad(
            format!("{url} is not https, and Safaricom calls nothing else"),
            "put a proxy with a certificate before the controller, and write https:// in callback_base_url",
        );
    }
    let port = parsed.port_or_known_default().unwrap_or(443);
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let found: Vec<IpAddr> = match timeout(RESOLVE, lookup_host((bare.as_str(), port))).await {
        Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
        Ok(Err(error)) => {
            return bad(format!("{host} cannot be resolved: {error}"), "add it to the DNS of your domain");
        }
        Err(_) => return bad(format!("{host} was not resolved in time"), "look at this machine's DNS"),
    };
    if let Some(private) = found.iter().find(|address| !verdicts::is_public(**address)) {
        return bad(
            format!("{host} is {private}, which nobody reaches from the internet"),
            "point the name at your public address",
        );
    }
    Finding::ok(
        CALLBACK,
        format!(
            "{url} is https, public and without blocked words. That Safaricom reaches it cannot be proved from here: open \
             {url}/health with a phone on mobile data (where only /callbacks/ is passed on, {url}/callbacks/ must answer 404)"
        ),
    )
}
