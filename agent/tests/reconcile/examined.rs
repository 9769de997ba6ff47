//! The doctor on simulated routers, over real sockets: what it finds of a sound one, and of one thing wrong at a time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use routeros_api::Fingerprint;
use routeros_sim::{FaultsChange, FlashChange, PackageState};
use tawi_agent::config::{Config, Environment};
use tawi_agent::doctor::{Finding, Verdict, examine};
use tawi_agent::flow::Report;
use tawi_agent::outbox::Keeper;
use tawi_agent::reconcile::memory::RouterMemory;
use tawi_shared::{Clock, IdSource};

use crate::prepared::{PASSWORD, admin, answer_names, as_agent, setup};
use crate::site::Site;

/// A directory of a test with the settings of its site.
struct Settings(PathBuf);

impl Settings {
    fn new(address: std::net::SocketAddr, pin: &str, password: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("tawi-examined-{}-{number}", std::process::id()));
        std::fs::create_dir_all(directory.join("state")).unwrap();
        let state = directory.join("state");
        let text = format!(
            "site = \"nyeri-01\"\nstate_directory = \"{}\"\n[controller]\naddresses = [\"127.0.0.1:1\"]\n[[router]]\nname = \"core\"\naddress = \"{address}\"\nuser = \"tawi\"\npassword = \"{password}\"\ntls_pin = \"{pin}\"\n",
            state.display()
        );
        let path = directory.join("agent.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Self(directory)
    }

    /// The same site with the address of another router.
    fn point_to(&self, site: &Site, old: &Site) {
        let path = self.0.join("agent.toml");
        let (new_address, old_address) = (site.sim.tls_address().unwrap(), old.sim.tls_address().unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace(&old_address.to_string(), &new_address.to_string());
        std::fs::write(&path, text.replace(&old.sim.tls_pin().unwrap(), &site.sim.tls_pin().unwrap()))
            .unwrap();
    }

    fn of(site: &Site) -> Self {
        Self::new(site.sim.tls_address().unwrap(), &site.sim.tls_pin().unwrap(), PASSWORD)
    }

    /// The doctor was here so long ago.
    fn visited_earlier(&self, span_ms: i64) {
        let path = self.0.join("state/doctor.json");
        let mut seen: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let at = &mut seen["routers"]["core"]["sectors"][1];
        *at = (at.as_i64().unwrap() - span_ms).into();
        std::fs::write(&path, seen.to_string()).unwrap();
    }

    /// What the doctor says of the router.
    async fn examine(&self, accepts: bool) -> Vec<Finding> {
        let config = Config::load(&self.0.join("agent.toml"), &Environment::default()).unwrap();
        let report = Box::pin(examine(&config, Clock::system(), accepts, |_| {})).await;
        assert_eq!(report.good + report.doubtful + report.bad, report.findings.len());
        report.findings.into_iter().filter(|finding| finding.group == "router core").collect()
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A router that the script prepared, without an agent.
async fn site(release: &str) -> Site {
    site_called("tower", release).await
}

async fn site_called(identity: &str, release: &str) -> Site {
    let prepare = |router: &mut routeros_sim::Settings| {
        router.release = release.parse().unwrap();
        router.identity = identity.to_owned();
        router.tls_listen = Some("127.0.0.1:0".parse().unwrap());
    };
    let mut site = Site::start_with(prepare, |_| {}).await;
    site.stop();
    answer_names(&site, true);
    admin(&site).await.paste(&setup(release).script(PASSWORD)).await;
    site
}

fn check(findings: &[Finding], name: &str, verdict: Verdict, says: &str) {
    let fits = |finding: &&Finding| {
        finding.check == name && finding.verdict == verdict && finding.detail.contains(says)
    };
    assert!(findings.iter().any(|finding| fits(&finding)), "{name} should be {verdict:?}: {findings:#?}");
    assert!(
        findings.iter().all(|finding| (finding.verdict == Verdict::Good) == finding.cure.is_empty()),
        "{findings:#?}"
    );
}

#[tokio::test]
async fn a_prepared_router_is_not_bad_and_is_left_as_it_was() {
    for release in ["6.49.10", "7.12", "7.18", "7.24"] {
        let site = site(release).await;
        let before = site.router.summary();
        let findings = Settings::of(&site).examine(false).await;
        let after = site.router.summary();
        let bad: Vec<_> = findings.iter().filter(|finding| finding.verdict == Verdict::Bad).collect();
        assert!(bad.is_empty(), "{release}: {bad:#?}");
        for name in ["policies", "api service", "walled garden", "account log", "pools", "fasttrack", "clock"]
        {
            check(&findings, name, Verdict::Good, "");
        }
        assert_eq!(after.writes_total, before.writes_total, "{release}: it writes nothing");
        assert_eq!(after.logins_total, before.logins_total + 1, "{release}: it logs in once");
        assert!(
            after.commands_total - before.commands_total <= 28,
            "{release}: {} commands",
            after.commands_total - before.commands_total
        );
    }
}

#[tokio::test]
async fn each_way_to_be_kept_out_is_told_from_the_others() {
    let site = site("7.18").await;
    let (address, pin) = (site.sim.tls_address().unwrap(), site.sim.tls_pin().unwrap());
    let other = Fingerprint::of(b"another").to_string();
    let findings = Settings::new(address, &other, PASSWORD).examine(false).await;
    check(&findings, "tls", Verdict::Bad, &other);
    check(&findings, "tls", Verdict::Bad, &pin);
    let findings = Settings::new(address, &pin, "not-the-password").examine(false).await;
    check(&findings, "login", Verdict::Bad, "invalid user name or password");
    assert!(findings[0].cure.contains("router-script"), "{findings:?}");
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let findings = Settings::new(closed, &pin, PASSWORD).examine(false).await;
    check(&findings, "reach", Verdict::Bad, "cannot connect");
    // A service for another address takes the connection and hangs up.
    let service = site.row("ip/service", "api-ssl").unwrap();
    site.router.set_row("ip/service", &service[".id"], &[("address", "10.9.9.9/32")]).unwrap();
    let findings = Settings::of(&site).examine(false).await;
    check(&findings, "login", Verdict::Bad, "closed the connection before");
}

#[tokio::test]
async fn one_thing_wrong_at_a_time_is_found() {
    let site = site("7.18").await;
    let settings = Settings::of(&site);
    let rule = [("chain", "forward"), ("action", "fasttrack-connection")];
    let id = site.router.add_row("ip/firewall/filter", &rule).unwrap();
    check(&settings.examine(false).await, "fasttrack", Verdict::Doubtful, "established traffic");
    site.router.remove_row("ip/firewall/filter", &id).unwrap();

    answer_names(&site, false);
    check(&settings.examine(false).await, "walled garden", Verdict::Doubtful, "no questions for names");
    answer_names(&site, true);
    for (menu, says) in [("ip/firewall/nat", "led nowhere"), ("ip/firewall/filter", "chain input")] {
        let is_of_names = |row: &&crate::site::Shown| {
            row.get("comment").is_some_and(|comment| comment.starts_with("tawi-setup names "))
        };
        let id = site.rows(menu).iter().find(is_of_names).unwrap()[".id"].clone();
        site.router.set_row(menu, &id, &[("disabled", "yes")]).unwrap();
        check(&settings.examine(false).await, "walled garden", Verdict::Doubtful, says);
        site.router.set_row(menu, &id, &[("disabled", "no")]).unwrap();
    }
    check(&settings.examine(false).await, "walled garden", Verdict::Good, "are there");

    site.router.set_device_mode("hotspot", false).unwrap();
    check(&settings.examine(false).await, "device-mode", Verdict::Doubtful, "forbids hotspot");
    site.router.set_device_mode("hotspot", true).unwrap();

    site.router.set_license_level(3).unwrap();
    for number in 0..201 {
        let name = format!("customer-{number}");
        site.router.add_row("ppp/secret", &[("name", name.as_str()), ("service", "pppoe")]).unwrap();
    }
    check(&settings.examine(false).await, "licence", Verdict::Bad, "lets 200 sessions");

    let group = site.row("user/group", "tawi").unwrap();
    site.router.set_row("user/group", &group[".id"], &[("policy", "read,api,!write,ssh")]).unwrap();
    check(&settings.examine(false).await, "policies", Verdict::Bad, "lacks write");

    for action in site.rows("system/logging").iter().filter(|row| row["action"] == "tawiacct") {
        site.router.remove_row("system/logging", &action[".id"]).unwrap();
    }
    check(&settings.examine(false).await, "account log", Verdict::Doubtful, "");
}

#[tokio::test]
async fn a_lack_of_packages_and_of_flash_is_found_on_a_router() {
    for release in ["6.49.10", "7.18"] {
        let site = site(release).await;
        let settings = Settings::of(&site);
        check(&settings.examine(false).await, "packages", Verdict::Good, "");
        let flash = |free: u64, bad: f64| FlashChange {
            free_hdd_space: Some(free),
            bad_blocks: Some(bad),
            ..FlashChange::default()
        };
        site.router.set_flash(flash(1_500_000, 0.4)).unwrap();
        let findings = settings.examine(false).await;
        check(&findings, "flash", Verdict::Doubtful, "1464 KiB");
        check(&findings, "flash wear", Verdict::Doubtful, "0.4 %");
        site.router.set_flash(flash(100_000, 7.0)).unwrap();
        let findings = settings.examine(false).await;
        check(&findings, "flash", Verdict::Bad, "may not be saved");
        check(&findings, "flash wear", Verdict::Bad, "7 %");
        site.router.set_flash(flash(90_000_000, 0.0)).unwrap();
        settings.visited_earlier(5_400_000);
        site.router
            .set_flash(FlashChange { write_sect_total: Some(90_000), ..FlashChange::default() })
            .unwrap();
        // Whoever looks twice is told twice.
        for _ in 0..2 {
            check(&settings.examine(false).await, "flash wear", Verdict::Doubtful, "sectors a day");
        }
        if release.starts_with('7') {
            continue;
        }
        site.router
            .set_packages(&[("ppp", PackageState::Missing), ("hotspot", PackageState::Disabled)])
            .unwrap();
        let findings = settings.examine(false).await;
        check(&findings, "packages", Verdict::Doubtful, "package ppp");
        check(&findings, "packages", Verdict::Doubtful, "package hotspot");
        assert!(findings.iter().all(|finding| finding.check != "reads"), "{findings:#?}");
    }
}

#[tokio::test]
async fn a_release_newer_than_any_that_was_tried_is_doubtful() {
    for release in ["7.30", "8.1"] {
        let site = Site::start_with(
            |router| {
                router.release = release.parse().unwrap();
                router.tls_listen = Some("127.0.0.1:0".parse().unwrap());
            },
            |_| {},
        )
        .await;
        site.router.add_row("user", &[("name", "tawi"), ("group", "full"), ("password", PASSWORD)]).unwrap();
        check(&Settings::of(&site).examine(false).await, "release", Verdict::Doubtful, "which is 7.24");
    }
}

#[tokio::test]
async fn a_router_that_answers_badly_is_judged_by_what_it_did_answer() {
    let site = site("7.18").await;
    let settings = Settings::of(&site);
    let two_minutes = FaultsChange { clock_shift_ms: Some(-120_000), ..FaultsChange::default() };
    site.router.set_faults(two_minutes).unwrap();
    check(&settings.examine(false).await, "clock", Verdict::Doubtful, "s behind");
    site.router.clear_faults();
    let trapped = FaultsChange { trap_prints_menu: Some("ip/pool".to_owned()), ..FaultsChange::default() };
    site.router.set_faults(trapped).unwrap();
    let findings = settings.examine(false).await;
    check(&findings, "reads", Verdict::Doubtful, "pools could not be read");
    check(&findings, "policies", Verdict::Good, "");
    assert!(findings.iter().all(|finding| finding.check != "pools"), "what was not read is not judged");
    site.router.clear_faults();
    let cut_off = FaultsChange { drop_after_bytes: Some(2_000), ..FaultsChange::default() };
    site.router.set_faults(cut_off).unwrap();
    check(&settings.examine(false).await, "answers", Verdict::Bad, "closed");
}

#[tokio::test]
async fn a_router_in_anothers_place_is_told_of_until_it_is_accepted() {
    let first = site("7.18").await;
    let settings = Settings::of(&first);
    check(&settings.examine(false).await, "identity", Verdict::Good, "serial number");
    check(&settings.examine(false).await, "identity", Verdict::Good, "as before");
    let before = first.router.summary().serial_number;
    let second = site_called("elsewhere", "7.18").await;
    settings.point_to(&second, &first);
    for _ in 0..2 {
        check(&settings.examine(false).await, "identity", Verdict::Bad, &before);
    }
    check(&settings.examine(true).await, "identity", Verdict::Good, "serial number");
    check(&settings.examine(false).await, "identity", Verdict::Good, "as before");
}

/// The doctor asks the agent's own memory, whether the agent runs or not.
#[tokio::test]
async fn the_router_that_the_agent_was_told_to_rebuild_is_the_right_one_and_no_other_is() {
    let first = site("7.18").await;
    let settings = Settings::of(&first);
    check(&settings.examine(false).await, "identity", Verdict::Good, "serial number");
    let work_with = |serial: &str| {
        let (mut keeper, _) = Keeper::open(&settings.0.join("state"), IdSource::system(), Clock::system());
        let memory = RouterMemory { serial: serial.to_owned(), ..RouterMemory::default() };
        keeper.put_memory("core", &memory).unwrap();
    };
    let before = first.router.summary().serial_number;
    work_with(&before);
    let second = site_called("elsewhere", "7.18").await;
    settings.point_to(&second, &first);
    check(&settings.examine(false).await, "identity", Verdict::Bad, &before);
    check(&settings.examine(true).await, "identity", Verdict::Doubtful, &before);
    check(&settings.examine(false).await, "identity", Verdict::Bad, &before);
    work_with(&second.router.summary().serial_number);
    check(&settings.examine(false).await, "identity", Verdict::Good, "works with");
    // The old one is put back, and nobody says so.
    settings.point_to(&first, &second);
    let after = second.router.summary().serial_number;
    check(&settings.examine(false).await, "identity", Verdict::Bad, &after);
}

#[tokio::test]
async fn the_agent_says_why_it_cannot_work_with_a_router() {
    let mut site =
        Site::start_with(|router| router.tls_listen = Some("127.0.0.1:0".parse().unwrap()), |_| {}).await;
    let wrong = as_agent(&site, "not-the-password");
    site.restart(|settings| settings.connect = wrong).await;
    let is_trouble = |report: &Report| match report {
        Report::RouterTrouble { trouble: Some(trouble), .. } => Some(trouble.clone()),
        _ => None,
    };
    let trouble = site.until("why it is kept out", is_trouble).await;
    assert_eq!(trouble.part, "login");
    assert!(
        trouble.why.contains("invalid user name or password") && trouble.cure.contains("password_file"),
        "{trouble}"
    );
}
