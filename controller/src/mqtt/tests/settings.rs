//! Settings over the link: told when they change, and with the hello of whoever is not known to have them.

use std::collections::BTreeMap;

use tawi_shared::wire::{PROTOCOL_NEWEST, Setting, SettingsStandingV1, SettingsV1};

use super::*;
use crate::audit::Actor;
use crate::ids::IdSource;
use crate::site_settings::{self, Changed, SiteSettings, Stand};

async fn settings(agent: &mut Agent) -> SettingsV1 {
    loop {
        match agent.heard().await {
            DownMessage::Settings(settings) => return settings,
            DownMessage::Cursor(_)
            | DownMessage::Cursors(_)
            | DownMessage::Welcome(_)
            | DownMessage::Spread(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn newer(connection: u64, boot_id: u64) -> HelloV1 {
    HelloV1 { boot_id, protocol_newest: PROTOCOL_NEWEST, ..hello(connection, 0, StateHash::default()) }
}

impl Link {
    async fn set(&self, setting: Setting, value: &str) -> u64 {
        let revision = self.set_elsewhere(setting, value).await;
        self.house.controller.live.ring_outbox();
        revision
    }

    /// As another process does, which rings no bell here.
    async fn set_elsewhere(&self, setting: Setting, value: &str) -> u64 {
        let controller = &self.house.controller;
        let mut write = controller.database.write().await.unwrap();
        let wanted = BTreeMap::from([(setting, Some(value.to_owned()))]);
        let (actor, now) = (Actor::CommandLine("test".into()), controller.clock.now());
        let of = (&IdSource::system(), now);
        let changed = site_settings::change(&mut write, &self.world.site, &wanted, &actor, of).await.unwrap();
        write.commit().await.unwrap();
        match changed {
            Changed::Changed(settings) => settings.revision,
            other => panic!("{other:?}"),
        }
    }

    async fn stands_so(&self, holds: impl Fn(&SiteSettings) -> bool) {
        let mut hints = self.house.controller.live.listen();
        let waited = timeout(PATIENCE, async {
            loop {
                let mut read = self.house.controller.database.read().await.unwrap();
                let known = site_settings::of_site(&mut read, &self.world.site).await.unwrap();
                drop(read);
                if holds(&known) {
                    return;
                }
                let _ = hints.recv().await;
            }
        });
        waited.await.expect("it never stands so");
    }
}

#[tokio::test]
async fn settings_are_told_at_once_and_again_only_to_whoever_may_not_have_them() {
    let link = Link::open().await;
    let mut agent = link.agent().await;
    agent.say(Up::Hello, &newer(1, 7), (EPOCH, 0)).await;
    link.site_becomes("online", |site| site.presence.is_online).await;
    let revision = link.set(Setting::KilobytesAnHour, "50").await;
    let told = settings(&mut agent).await;
    assert_eq!(told, SettingsV1 { revision, values: vec![(Setting::KilobytesAnHour.code(), "50".into())] });
    let refused = vec![(Setting::KilobytesAnHour.code(), "too little here".to_owned()), (99, "?".to_owned())];
    let standing = SettingsStandingV1 { revision, boot_id: 7, is_allowed: true, is_kept: true, refused };
    agent.say(Up::Ack, &standing, (EPOCH, 0)).await;
    let now = link.house.controller.clock.now();
    let refused = Stand::Refused("too little here");
    link.stands_so(|known| known.stand(Setting::KilobytesAnHour, now) == refused).await;

    // The same run has them: its hello brings none, and the next thing said on that topic is the next change.
    agent.say(Up::Hello, &newer(2, 7), (EPOCH, 0)).await;
    let revision = link.set(Setting::LogLevel, "debug").await;
    assert_eq!(settings(&mut agent).await.revision, revision);
    let standing =
        SettingsStandingV1 { revision, boot_id: 7, is_allowed: false, is_kept: true, refused: vec![] };
    agent.say(Up::Ack, &standing, (EPOCH, 0)).await;
    link.stands_so(|known| known.stand(Setting::LogLevel, now) == Stand::NotAllowed).await;
    // Another run may have lost them, or may take what the one before did not.
    agent.say(Up::Hello, &newer(3, 8), (EPOCH, 0)).await;
    assert_eq!(settings(&mut agent).await.revision, revision);
    link.close().await;
}

#[tokio::test]
async fn what_the_command_line_sets_is_told_within_a_second() {
    let link = Link::open().await;
    let mut agent = link.agent().await;
    agent.say(Up::Hello, &newer(1, 7), (EPOCH, 0)).await;
    link.site_becomes("online", |site| site.presence.is_online).await;
    // Three in a row, so that a machine that stalls for a second or two fails nothing, and one look in five seconds does.
    let three = async {
        for value in ["50", "60", "70"] {
            let revision = link.set_elsewhere(Setting::KilobytesAnHour, value).await;
            assert_eq!(settings(&mut agent).await.revision, revision);
        }
    };
    timeout(Duration::from_secs(8), three).await.expect("it is told late");
    link.close().await;
}

#[tokio::test]
async fn an_agent_of_an_older_release_is_never_told_settings() {
    let link = Link::open().await;
    let mut agent = link.greeted(hello(1, 0, StateHash::default())).await;
    link.site_becomes("online", |site| site.presence.is_online).await;
    link.set(Setting::KilobytesAnHour, "50").await;
    agent.say(Up::Hello, &hello(2, 0, StateHash::default()), (EPOCH, 0)).await;
    agent.say(Up::Event, &event(EventKind::PlanReleased, None), (EPOCH, 1)).await;
    // In order: were they told, they would come before this answer.
    loop {
        match agent.heard().await {
            DownMessage::Cursor(cursor) if cursor.lane == Lane::Event.code() && cursor.cursor == 1 => break,
            DownMessage::Cursor(_) => {}
            other => panic!("{other:?}"),
        }
    }
    link.close().await;
}
