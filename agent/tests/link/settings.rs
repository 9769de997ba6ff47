//! Settings that head office sets, over the line: in force while the agent runs, kept on flash, refused by name.

use super::*;

use tawi_shared::wire::{Setting, SettingsStandingV1, SettingsV1};

fn settings(revision: u64, values: &[(Setting, &str)]) -> SettingsV1 {
    let values = values.iter().map(|(setting, value)| (setting.code(), (*value).to_owned()));
    SettingsV1 { revision, values: values.collect() }
}

/// What the agent says of them.
async fn standing(office: &mut Office) -> SettingsStandingV1 {
    office
        .hear_until(|(_, _, message)| match message {
            UpMessage::SettingsStanding(standing) => Some(standing.clone()),
            _ => None,
        })
        .await
}

/// What stands of one, and whether by the word of head office.
fn of(status: &Status, setting: Setting) -> (String, bool) {
    let of = status.settings.settings.iter().find(|known| known.name == setting.as_str()).unwrap();
    (of.value.clone(), of.is_from_office)
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_in_force_at_once_and_after_a_restart_without_head_office() {
    let directory = Directory::new("settings");
    let mut office = Office::start(SITE).await;
    let config = office.config(&directory.0);
    let agent = Agent::start(&config, &["core"]).await;
    let (epoch, hello) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    assert_eq!(of(&agent.status().await, Setting::KilobytesAnHour), ("0".into(), false));

    let wanted = [
        (Setting::KilobytesAnHour, "50"),
        (Setting::ReportSeconds, "1800"),
        (Setting::KeepAliveSeconds, "90"),
        (Setting::LogLevel, "loud"),
    ];
    office.say(Down::Command, &settings(3, &wanted)).await;
    let told = standing(&mut office).await;
    assert_eq!((told.revision, told.boot_id, told.is_allowed, told.is_kept), (3, hello.boot_id, true, true));
    let refused: Vec<u16> = told.refused.iter().map(|(code, _)| *code).collect();
    assert_eq!(refused, [Setting::LogLevel.code()]);
    assert!(told.refused[0].1.contains("use error, warn, info or debug"), "{told:?}");
    let status = agent.status().await;
    assert_eq!(of(&status, Setting::KilobytesAnHour), ("50".into(), true));
    assert_eq!(of(&status, Setting::ReportSeconds), ("1800".into(), true));
    assert_eq!(of(&status, Setting::LogLevel), ("debug".into(), false), "the device's own stands");
    assert_eq!(status.controller.line.hourly_bytes, 50_000, "the budget goes by it");
    // The keep-alive of this connection was agreed on; the next one has the new one.
    assert_eq!(status.controller.line.keep_alive_seconds, 120);
    office.cut();
    office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    until_down(&agent, true).await;
    assert_eq!(agent.status().await.controller.line.keep_alive_seconds, 90);
    agent.kill().await;

    // Nobody answers now: what was set is on flash.
    let mut alone = config.clone();
    alone.controller.addresses[0].port = 1;
    let agent = Agent::start(&alone, &["core"]).await;
    let status = agent.status().await;
    assert_eq!((status.settings.revision, status.controller.line.hourly_bytes), (3, 50_000));
    assert_eq!(of(&status, Setting::KeepAliveSeconds), ("90".into(), true));
    agent.stop().await;

    // Taken back, the device's own stand again.
    let agent = Agent::start(&config, &["core"]).await;
    office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    office.say(Down::Command, &settings(4, &[])).await;
    assert_eq!(standing(&mut office).await.revision, 4);
    let status = agent.status().await;
    assert_eq!(of(&status, Setting::KilobytesAnHour), ("0".into(), false));
    assert_eq!(status.controller.line.hourly_bytes, 0);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_takes_nothing_from_head_office_says_so_and_keeps_none_of_it() {
    let directory = Directory::new("settings");
    let mut office = Office::start(SITE).await;
    let mut config = office.config(&directory.0);
    config.controller.takes_settings = false;
    let agent = Agent::start(&config, &["core"]).await;
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    office.say(Down::Command, &settings(1, &[(Setting::KilobytesAnHour, "50")])).await;
    let told = standing(&mut office).await;
    assert_eq!((told.revision, told.is_allowed, told.refused.len()), (1, false, 0));
    let status = agent.status().await;
    assert_eq!(of(&status, Setting::KilobytesAnHour), ("0".into(), false));
    assert!(
        status.settings.refusals()[0].contains("settings_from_head_office = false"),
        "{:?}",
        status.settings
    );
    agent.stop().await;
    config.controller.takes_settings = true;
    config.controller.addresses[0].port = 1;
    let agent = Agent::start(&config, &["core"]).await;
    assert_eq!(agent.status().await.settings.revision, 0, "it was not kept");
    agent.stop().await;
}
