//! The forms of plans, connection types and top-ups: what was typed, read; and what is there, written back. Pure.

use tawi_shared::Bandwidth;
use tawi_shared::wire::Service;

use super::{NewConnectionType, NewPlan, OfflineRule, Profile, Restraint, Terms};
use crate::cli::units;
use crate::ids::{ConnectionTypeId, PlanId};
use crate::money::Money;
use crate::top_ups::NewTopUp;
use crate::web::display;
use crate::web::form::Fields;

pub(super) fn read_plan(fields: &mut Fields) -> Option<NewPlan> {
    let connection_type = fields.read("connection_type", |text| {
        ConnectionTypeId::parse(text).map_err(|_| "choose a connection type of the list")
    });
    let terms = read_terms(fields);
    Some(NewPlan { name: fields.value("name").to_owned(), connection_type: connection_type?, terms: terms? })
}

pub(super) fn read_terms(fields: &mut Fields) -> Option<Terms> {
    let price = fields.read("price", Money::parse);
    let validity = fields.read("validity", units::validity);
    let quota =
        fields.read("quota", |text| if text.is_empty() { Ok(None) } else { units::data(text).map(Some) });
    let after_quota = restraint(fields, ["after_quota", "after_quota_download", "after_quota_upload"]);
    let suspension = restraint(fields, ["suspension", "suspension_download", "suspension_upload"]);
    let offline = offline(fields);
    Some(Terms {
        price: price?,
        validity: validity?,
        data_quota_bytes: quota?,
        suspension: suspension?,
        after_quota: after_quota?,
        offline: offline?,
        description: fields.value("description").to_owned(),
    })
}

/// Its rates count only where it is slow: what stands in them otherwise is left from before.
fn restraint(fields: &mut Fields, [name, down, up]: [&'static str; 3]) -> Option<Restraint> {
    let word = match fields.value(name) {
        "" => "off".to_owned(),
        word => word.to_owned(),
    };
    let none = Bandwidth::UNLIMITED;
    let (download, upload) = if word == "throttled" {
        (fields.read(down, units::bandwidth), fields.read(up, units::bandwidth))
    } else {
        (Some(none), Some(none))
    };
    let read = fields.read(name, |_| Restraint::of(&word, none, none).ok_or("choose one of the list"));
    match (read?, download?, upload?) {
        (Restraint::Throttled { .. }, download, upload) => Some(Restraint::Throttled { download, upload }),
        (other, ..) => Some(other),
    }
}

fn offline(fields: &mut Fields) -> Option<Option<OfflineRule>> {
    if matches!(fields.value("offline"), "" | "keep") {
        return Some(None);
    }
    let after_hours = fields
        .read("offline_hours", |text| text.parse::<u32>().map_err(|_| "enter after how many whole hours"));
    let then = restraint(fields, ["offline", "offline_download", "offline_upload"]);
    Some(Some(OfflineRule { after_hours: after_hours?, then: then? }))
}

pub(super) fn read_type(fields: &mut Fields) -> Option<NewConnectionType> {
    let service = fields.read("service", |text| Service::parse(text).ok_or("choose a service of the list"));
    let profile = read_profile(fields);
    Some(NewConnectionType {
        service: service?,
        profile_name: fields.value("profile_name").to_owned(),
        profile: profile?,
    })
}

pub(super) fn read_profile(fields: &mut Fields) -> Option<Profile> {
    let download = fields.read("download", units::bandwidth);
    let upload = fields.read("upload", units::bandwidth);
    let maybe = |text: &str| if text.is_empty() { Ok(Bandwidth::UNLIMITED) } else { units::bandwidth(text) };
    let download_burst = fields.read("download_burst", maybe);
    let upload_burst = fields.read("upload_burst", maybe);
    let download_threshold = fields.read("download_threshold", maybe);
    let upload_threshold = fields.read("upload_threshold", maybe);
    let burst_seconds = fields.read("burst_seconds", number);
    let priority = fields.read("priority", number);
    let shared_users = fields.read("shared_users", number);
    Some(Profile {
        download: download?,
        upload: upload?,
        download_burst: download_burst?,
        upload_burst: upload_burst?,
        download_threshold: download_threshold?,
        upload_threshold: upload_threshold?,
        burst_seconds: burst_seconds?,
        priority: u16::try_from(priority?).unwrap_or(u16::MAX),
        shared_users: shared_users?,
        pool: fields.value("pool").to_owned(),
        local_address: fields.value("local_address").to_owned(),
    })
}

/// A whole number; nothing is 0.
fn number(text: &str) -> Result<u32, &'static str> {
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| "enter a whole number, or nothing") }
}

pub(super) fn read_top_up(fields: &mut Fields) -> Option<NewTopUp> {
    let plan = fields.read("plan", |text| {
        let parsed = || PlanId::parse(text).map_err(|_| "choose a plan of the list");
        if text.is_empty() { Ok(None) } else { parsed().map(Some) }
    });
    let price = fields.read("price", Money::parse);
    let bytes = fields.read("data", units::data);
    Some(NewTopUp { name: fields.value("name").to_owned(), plan: plan?, price: price?, bytes: bytes? })
}

/// The hidden field that says what the form showed when it was opened.
pub(super) const SEEN: &str = "seen";

/// Complains when what is there now is not what the form showed: it would undo what somebody else has changed meanwhile.
/// The next time the form is sent, its sender has read what it is now.
pub(super) fn is_still(fields: &mut Fields, seen: &str, now_in_words: &str) -> bool {
    if fields.is(SEEN, seen) {
        return true;
    }
    fields.set(SEEN, seen);
    fields.complain(
        SEEN,
        format!(
            "It was changed after this form was opened, and nothing was done now. It says: {now_in_words}. To set it to \
             what stands here, send the form again."
        ),
    );
    false
}

/// The form of a plan as it is.
pub(super) fn terms_fields(terms: &Terms) -> Fields {
    let slow = |restraint: Restraint| {
        let (download, upload) = restraint.rates();
        [given(download), given(upload)]
    };
    let (after, suspended) = (slow(terms.after_quota), slow(terms.suspension));
    let alone = slow(terms.offline.map_or(Restraint::Off, |rule| rule.then));
    let [after_down, after_up] = &after;
    let [suspended_down, suspended_up] = &suspended;
    let [alone_down, alone_up] = &alone;
    Fields::with(&[
        (SEEN, &terms.seen()),
        ("price", &terms.price.to_string()),
        ("validity", &display::validity(terms.validity)),
        ("quota", &terms.data_quota_bytes.map(units::data_text).unwrap_or_default()),
        ("description", &terms.description),
        ("after_quota", terms.after_quota.word()),
        ("after_quota_download", after_down),
        ("after_quota_upload", after_up),
        ("suspension", terms.suspension.word()),
        ("suspension_download", suspended_down),
        ("suspension_upload", suspended_up),
        ("offline", terms.offline.map_or("keep", |rule| rule.then.word())),
        ("offline_hours", &terms.offline.map(|rule| rule.after_hours.to_string()).unwrap_or_default()),
        ("offline_download", alone_down),
        ("offline_upload", alone_up),
    ])
}

/// The form of a connection type as it is.
pub(super) fn profile_fields(profile: &Profile) -> Fields {
    let count = |number: u32| if number == 0 { String::new() } else { number.to_string() };
    Fields::with(&[
        (SEEN, &profile.seen()),
        ("download", &units::bandwidth_text(profile.download)),
        ("upload", &units::bandwidth_text(profile.upload)),
        ("download_burst", &given(profile.download_burst)),
        ("upload_burst", &given(profile.upload_burst)),
        ("download_threshold", &given(profile.download_threshold)),
        ("upload_threshold", &given(profile.upload_threshold)),
        ("burst_seconds", &count(profile.burst_seconds)),
        ("priority", &count(u32::from(profile.priority))),
        ("shared_users", &count(profile.shared_users)),
        ("pool", &profile.pool),
        ("local_address", &profile.local_address),
    ])
}

/// A rate; nothing for none.
fn given(rate: Bandwidth) -> String {
    if rate.is_unlimited() { String::new() } else { rate.to_string() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_form_shows_of_a_plan_or_a_connection_type_is_read_back_from_it() {
        let rate = Bandwidth::from_bits_per_second;
        let slow = Restraint::Throttled { download: rate(1_500_000), upload: rate(64_000) };
        for (suspension, offline) in [
            (Restraint::Walled, None),
            (slow, Some(OfflineRule { after_hours: 72, then: slow })),
            (Restraint::Off, Some(OfflineRule { after_hours: 1, then: Restraint::Off })),
        ] {
            let terms = Terms {
                price: Money::from_cents(150_050),
                validity: Duration::from_secs(90_061),
                data_quota_bytes: Some(50_000_000_001),
                suspension,
                after_quota: slow,
                offline,
                description: "for homes".to_owned(),
            };
            assert_eq!(read_terms(&mut terms_fields(&terms)), Some(terms));
        }
        let profile = Profile {
            download: rate(10_000_000),
            upload: rate(5_000_000),
            download_burst: rate(20_000_000),
            download_threshold: rate(8_000_000),
            burst_seconds: 16,
            priority: 3,
            pool: "homes".to_owned(),
            ..Profile::default()
        };
        assert_eq!(read_profile(&mut profile_fields(&profile)), Some(profile));
    }

    #[test]
    fn rates_that_are_missing_are_asked_for_where_they_count() {
        let check = |given: &[(&str, &str)], expected: &str| {
            let mut fields = Fields::with(given);
            assert_eq!(
                restraint(&mut fields, ["suspension", "suspension_download", "suspension_upload"]),
                None
            );
            assert!(!fields.complaint(expected).is_empty(), "{given:?}");
        };
        check(&[("suspension", "throttled"), ("suspension_upload", "1M")], "suspension_download");
        check(&[("suspension", "throttled"), ("suspension_download", "1M")], "suspension_upload");
        check(&[("suspension", "walled in")], "suspension");
    }
}
