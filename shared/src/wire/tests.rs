//! Golden vectors: what was once released decodes for ever to the same meaning.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;

use super::*;

fn line() -> LineV1 {
    LineV1 {
        line: "0a1b2c".into(),
        router: "core".into(),
        service: Service::Pppoe.code(),
        username: "007".into(),
        password: "s3cret".into(),
        profile: "home-10".into(),
        access: Access::Open.code(),
        valid_until_ms: Some(1_790_000_000_000),
        suspension: RestraintV1 { how: Restraint::Walled.code(), profile: "walled".into() },
        caller_id: "02:00:00:00:00:07".into(),
        address: "10.0.0.2".into(),
        quotas: vec![QuotaV1 { from_ms: 1_780_000_000_000, bytes: 50_000_000_000 }],
        after_quota: RestraintV1 { how: Restraint::Throttled.code(), profile: "slow".into() },
        offline: Some(OfflineRuleV1 {
            after_hours: 72,
            then: RestraintV1 { how: Restraint::Off.code(), profile: String::new() },
        }),
    }
}

fn profile() -> ProfileV1 {
    ProfileV1 {
        name: "home-10".into(),
        service: Service::Pppoe.code(),
        download_bits_per_second: 10_000_000,
        upload_bits_per_second: 5_000_000,
        download_burst_bits_per_second: 0,
        upload_burst_bits_per_second: 8_000_000,
        download_threshold_bits_per_second: 0,
        upload_threshold_bits_per_second: 4_000_000,
        burst_seconds: 16,
        priority: 8,
        shared_users: 2,
        pool: "clients".into(),
        local_address: "10.0.0.1".into(),
        address_list: "tawi-walled".into(),
    }
}

fn write() -> RouterWriteV1 {
    RouterWriteV1 {
        at_ms: 1,
        router: "core".into(),
        operation: "/ppp/secret/set".into(),
        parameters: ".id=*1 password=***".into(),
        line: Some("0a1b2c".into()),
        status: WriteStatus::Done.code(),
        detail: String::new(),
    }
}

fn foreign_rows() -> ForeignRowsV1 {
    let row = ForeignRowV1 {
        service: Service::Hotspot.code(),
        username: "plot 7".into(),
        comment: "roof".into(),
        profile: "old-10M".into(),
        rate_limit: "5M/10M".into(),
        is_disabled: false,
        is_online: true,
        address: "10.0.0.2".into(),
        caller_id: "02:00:00:00:00:07".into(),
    };
    ForeignRowsV1 { command: "c0ffee".into(), chunk: 0, chunks: 1, router: "core".into(), rows: vec![row] }
}

/// Compares with the frozen file. A missing file is an error: a new message is frozen on purpose, by running once
/// with `TAWI_FREEZE_GOLDEN=1` and committing the file.
#[expect(clippy::disallowed_methods, reason = "a developer's switch, not configuration")]
fn check<B: Body + Debug + PartialEq>(name: &str, body: &B) {
    let bytes = encode(body, 0, 7, 300).unwrap();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.hex"));
    let meaning = path.with_extension("json");
    if std::env::var("TAWI_FREEZE_GOLDEN").is_ok() && !path.exists() {
        std::fs::write(&path, crate::ids::hex(&bytes) + "\n").unwrap();
        std::fs::write(&meaning, serde_json::to_string_pretty(body).unwrap() + "\n").unwrap();
    }
    let frozen = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(frozen.trim(), crate::ids::hex(&bytes), "{name} no longer encodes as it was released");
    let (header, content) = envelope::open(&bytes).unwrap();
    assert_eq!((header.message_type, header.store_epoch, header.seq), (B::TYPE, 7, 300));
    assert_eq!(&decode_body::<B>(content).unwrap(), body);
    let told: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&meaning).unwrap()).unwrap();
    assert_eq!(told, serde_json::to_value(body).unwrap(), "{name} no longer means what it meant");
}

#[test]
fn released_messages_never_change() {
    check(
        "hello-v1",
        &HelloV1 {
            boot_id: 1,
            connection_epoch: 2,
            protocol_oldest: 1,
            protocol_newest: 1,
            stored_generation: 41,
            applied_generation: 40,
            state_hash: [9; 16],
            clock_ms: 1_790_000_000_123,
            is_clock_trusted: true,
            agent_version: "0.1.0".into(),
            routers: vec![RouterStatusV1 {
                name: "core".into(),
                is_reachable: true,
                release: "7.18".into(),
                trouble: RouterTrouble::PinMismatch.code(),
            }],
        },
    );
    check("stored-v1", &StoredV1 { generation: 41, stored_at_ms: 5 });
    let failure =
        LineFailureV1 { line: "0a1b2c".into(), kind: FailureKind::ForeignRow.code(), detail: "x".into() };
    check(
        "applied-v1",
        &AppliedV1 {
            generation: 41,
            state_hash: [1; 16],
            applied_at_ms: -6,
            failures: vec![failure],
            failures_total: 1,
        },
    );
    let session = SessionUsageV1 {
        line: "0a1b2c".into(),
        session: "core:81000001:5".into(),
        started_at_ms: 5,
        sampled_at_ms: 6,
        upload_bytes: 1 << 33,
        download_bytes: u64::MAX,
        is_ended: true,
        address: "10.0.0.2".into(),
        period_started_ms: 4,
    };
    let running = RunningTotalV1 {
        session: short_name(&session.session),
        seconds_before: 40,
        upload_bytes: 1 << 33,
        download_bytes: 7,
    };
    check("usage-totals-v1", &UsageTotalsV1 { sampled_at_ms: 1_790_000_000_123, totals: vec![running] });
    check("usage-batch-v1", &UsageBatchV1 { sessions: vec![session] });
    check("welcome-v1", &WelcomeV1 { protocol: 2 });
    let cursors =
        CursorsV1 { store_epoch: 7, controller_clock_ms: 1_790_000_000_123, cursors: vec![(1, 9), (2, 300)] };
    check("cursors-v1", &cursors);
    check("spread-v1", &SpreadV1 { return_within_seconds: 18, hello_within_seconds: 300 });
    check("tell-now-v1", &TellNowV1 { controller_clock_ms: 1_790_000_000_123 });
    check(
        "event-v1",
        &EventV1 {
            at_ms: 1,
            kind: EventKind::LineExpired.code(),
            line: Some("0a1b2c".into()),
            router: None,
            detail: String::new(),
        },
    );
    let alone = |at_ms: i64, kind: EventKind| EventV1 {
        at_ms,
        kind: kind.code(),
        line: Some("0a1b2c".into()),
        router: Some("core".into()),
        detail: "10.0.0.2".into(),
    };
    let came =
        BatchedEventV1 { is_historical: false, event: alone(1_790_000_000_123, EventKind::LineOnline) };
    let went =
        BatchedEventV1 { is_historical: true, event: alone(1_790_000_000_023, EventKind::LineOffline) };
    check("event-batch-v1", &EventBatchV1 { events: vec![went, came] });
    let parts = vec![(LinePart::Link.code(), 900_000, 700_000), (LinePart::Usage.code(), 5_000_000, 0)];
    let carried = LineReportV1 {
        at_ms: 1_790_000_000_456,
        hourly_bytes: 100_000,
        keep_alive_seconds: 240,
        backlog_records: 12_000,
        months: vec![
            LineMonthV1 { month: 202_611, parts },
            LineMonthV1 { month: 202_610, parts: Vec::new() },
        ],
    };
    check("line-report-v1", &carried);
    check("bye-v1", &ByeV1 { connection_epoch: 2 });
    check("router-writes-v1", &RouterWritesV1 { writes: vec![write()] });
    check("foreign-rows-v1", &foreign_rows());
    let bytes = br#"{"good":1}"#.to_vec();
    check("answer-v1", &AnswerV1 { command: "c0ffee".into(), part: 0, parts: 1, bytes });
    let values = vec![(Setting::KilobytesAnHour.code(), "50".into()), (99, "x".into())];
    check("settings-v1", &SettingsV1 { revision: 300, values });
    let refused = vec![(99, "this agent does not know that setting; update it".into())];
    let standing =
        SettingsStandingV1 { revision: 300, boot_id: 1 << 40, is_allowed: true, is_kept: false, refused };
    check("settings-standing-v1", &standing);
    let result = CommandResultV1 {
        id: "c0ffee".into(),
        status: CommandStatus::Failed.code(),
        at_ms: 8,
        detail: "no such row".into(),
    };
    check("command-result-v1", &result);
    let held = HeldPlanV1 {
        router: "core".into(),
        digest: "12ab".into(),
        lines_total: 40,
        lines_working: 100,
        lines: vec!["0a1b2c".into()],
        at_ms: 9,
    };
    check("held-plan-v1", &held);
    let command = CommandV1 {
        id: "c0ffee".into(),
        kind: CommandKind::Adopt.code(),
        not_after_ms: 1_790_000_000_000,
        router: "core".into(),
        line: "0a1b2c".into(),
        argument: "007".into(),
        service: Service::Pppoe.code(),
    };
    check("command-v1", &command);
    let before = LineUsageBeforeV1 { line: "0a1b2c".into(), period_started_ms: 3, bytes: 1 << 40 };
    check("usage-before-v1", &UsageBeforeV1 { store_epoch: 7, lines: vec![before] });
    check(
        "state-snapshot-v1",
        &StateSnapshotV1 {
            generation: 41,
            state_hash: [3; 16],
            chunk: 0,
            chunks: 1,
            lines: vec![line()],
            profiles: vec![profile()],
        },
    );
    check(
        "state-delta-v1",
        &StateDeltaV1 {
            from_generation: 40,
            to_generation: 41,
            state_hash: [3; 16],
            lines: vec![line()],
            removed_lines: vec!["ffff".into()],
            profiles: vec![profile()],
            removed_profiles: vec![(Service::Hotspot.code(), "old".into())],
        },
    );
    let cursor = CursorV1 {
        lane: Lane::Usage.code(),
        store_epoch: 7,
        cursor: 900,
        controller_clock_ms: 1_790_000_000_000,
    };
    check("cursor-v1", &cursor);
}

#[test]
fn released_messages_about_releases_never_change() {
    let (file_sha256, manifest) = ([7; 32], br#"{"version":"0.2.0"}"#.to_vec());
    check(
        "wanted-release-v1",
        &WantedReleaseV1 { asked: 3, releases: vec![SignedReleaseV1 { manifest, signature: vec![5; 64] }] },
    );
    check("release-part-wanted-v1", &ReleasePartWantedV1 { file_sha256, offset: 2_000_000, length: 16_384 });
    check("release-part-v1", &ReleasePartV1 { file_sha256, offset: 2_000_000, bytes: vec![1, 2, 3] });
    let standing = ReleaseStandingV1 {
        asked: 3,
        file_sha256,
        standing: ReleaseStanding::RolledBack.code(),
        have_bytes: 2_700_000,
        at_ms: 1_790_000_000_000,
        detail: "it was started 3 times and said nothing".into(),
    };
    check("release-standing-v1", &standing);
}

#[test]
fn every_kind_of_message_is_frozen_once() {
    let stated = include_str!("messages.rs").lines().filter_map(|line| line.strip_prefix("body! { 0x"));
    let stated: BTreeSet<u16> =
        stated.map(|rest| u16::from_str_radix(rest.trim_end_matches(','), 16).unwrap()).collect();
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut frozen = BTreeSet::new();
    for entry in std::fs::read_dir(golden).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "hex") {
            let digits = std::fs::read_to_string(&path).unwrap();
            let pairs = digits.trim().as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            let bytes: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
            let header = envelope::open(&bytes).unwrap().0;
            assert!(frozen.insert(header.message_type), "{} is frozen twice", path.display());
        }
    }
    assert!(!stated.is_empty());
    assert_eq!(frozen, stated);
}

#[test]
fn a_message_of_the_wrong_direction_is_refused() {
    let bytes = encode(&ByeV1 { connection_epoch: 1 }, 0, 1, 0).unwrap();
    assert!(matches!(DownMessage::decode(&bytes), Err(WireError::UnknownType(6))));
    assert!(UpMessage::decode(&bytes).is_ok());
}

#[test]
fn left_over_bytes_are_refused() {
    let mut body = postcard::to_stdvec(&ByeV1 { connection_epoch: 1 }).unwrap();
    body.push(0);
    assert!(matches!(decode_body::<ByeV1>(&body), Err(WireError::LeftOver { count: 1, .. })));
}

#[test]
fn a_list_that_claims_to_be_endless_is_refused_without_memory() {
    // A usage batch that claims 2^60 sessions and brings none.
    let body = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    assert!(matches!(decode_body::<UsageBatchV1>(&body), Err(WireError::Body { .. })));
}

#[test]
fn debug_output_never_shows_a_password_or_a_user_name() {
    let shown = format!("{:?}", line());
    assert!(!shown.contains("s3cret") && !shown.contains("007"), "{shown}");
}

#[test]
fn codes_and_words_read_back() {
    for service in Service::ALL {
        assert_eq!(Service::from_code(service.code()), Some(*service));
        assert_eq!(Service::parse(service.as_str()), Some(*service));
    }
    assert_eq!(Service::from_code(999), None);
}
