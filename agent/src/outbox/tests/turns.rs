//! Records that were noted by a wrong clock, and are told by the right one.

use super::*;
use crate::api_log::Write;

#[test]
fn what_waits_from_the_time_of_a_wrong_clock_is_told_by_the_right_one_and_says_so() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    let base = |ms: i64, is_sure: bool| TimeBase { ms, is_sure };
    let day = 86_400_000;
    keeper.note_base(base(0, true));
    keeper.put_events(&(0..17).map(|number| event(&number.to_string())).collect::<Vec<_>>(), true);
    keeper.note_base(base(day, false));
    keeper.put_events(&[Event { at: UnixMillis(day + 6), ..event("ahead") }], true);
    let write = Write {
        at_ms: day + 7,
        router: "core".into(),
        operation: "/ppp/secret/set".into(),
        parameters: String::new(),
        line: None,
        name: None,
        status: "done".into(),
        detail: String::new(),
    };
    keeper.put_writes(&[write], UnixMillis(day + 7));
    keeper.note_base(base(10, true));
    keeper.put_events(&[Event { at: UnixMillis(18), ..event("after") }], true);
    let epoch = keeper.overview().epoch;
    keeper.forget(Lane::Event, epoch, 16);
    let told: Vec<(i64, String)> = keeper
        .take(Lane::Event, 16, 16)
        .iter()
        .map(|record| match UpMessage::decode(&record.bytes).unwrap().1 {
            UpMessage::Event(event) => (event.at_ms, event.detail),
            other => panic!("{other:?}"),
        })
        .collect();
    let words = " (time set right: the site's clock was 1 d ahead)";
    let expected = [(5, "16".to_owned()), (16, format!("ahead{words}")), (18, "after".to_owned())];
    assert_eq!(told, expected);
    match UpMessage::decode(&keeper.take(Lane::Log, 0, 16)[0].bytes).unwrap().1 {
        UpMessage::RouterWrites(batch) => {
            assert_eq!((batch.writes[0].at_ms, batch.writes[0].detail.as_str()), (17, words));
        }
        other => panic!("{other:?}"),
    }
}
