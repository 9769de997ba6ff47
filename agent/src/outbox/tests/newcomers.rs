//! Which lines a start finds whose sessions were not looked at since they came.

use super::*;

fn looked_at(opening: &Opening) -> Vec<&str> {
    opening.looked_at.lines.keys().map(String::as_str).collect()
}

fn seen(lines: &[&str]) -> Reported {
    Reported { seen_lines: lines.iter().map(|line| (*line).to_owned()).collect(), ..Reported::default() }
}

#[test]
fn a_start_knows_which_lines_were_not_looked_at_since_they_came() {
    let directory = Directory::new();
    let (mut keeper, opening) = directory.open();
    let first = moved(&opening.state, &[line("a", 1), line("b", 1), line("c", 1)], &[], &[profile()]);
    keeper.put_state(Arc::clone(&first)).unwrap();
    drop(keeper);
    let (mut keeper, opening) = directory.open();
    assert_eq!((opening.state.lines.len(), looked_at(&opening)), (3, vec![]));
    keeper.keep(seen(&["a", "b", "nobody"]), false, &Room::default(), &UsageDue::All);
    drop(keeper);

    let (mut keeper, opening) = directory.open();
    assert_eq!(looked_at(&opening), ["a", "b"]);
    // A payment is no news of sessions; another name, another service and another router are.
    let named = |id: &str, change: fn(&mut LineV1)| {
        let mut line = line(id, 2);
        change(&mut line);
        line
    };
    let second =
        moved(&opening.state, &[line("a", 2), named("b", |line| line.username = "other".into())], &[], &[]);
    keeper.put_state(Arc::clone(&second)).unwrap();
    drop(keeper);
    let (mut keeper, opening) = directory.open();
    assert_eq!(looked_at(&opening), ["a"]);
    keeper.keep(seen(&["b", "c"]), false, &Room::default(), &UsageDue::All);
    let third = moved(
        &opening.state,
        &[
            named("a", |line| line.router = "edge".into()),
            named("b", |line| {
                line.username = "other".into();
                line.service = Service::Hotspot.code();
            }),
        ],
        &["c"],
        &[],
    );
    keeper.put_state(Arc::clone(&third)).unwrap();
    drop(keeper);
    // One that went is forgotten, and is new when it comes back.
    let (mut keeper, opening) = directory.open();
    assert_eq!((opening.state.lines.len(), looked_at(&opening)), (2, vec![]));
    keeper.keep(seen(&["a", "b"]), false, &Room::default(), &UsageDue::All);
    keeper.put_state(moved(&opening.state, &[line("c", 3)], &[], &[])).unwrap();
    drop(keeper);
    let (_, opening) = directory.open();
    assert_eq!(looked_at(&opening), ["a", "b"]);
}
