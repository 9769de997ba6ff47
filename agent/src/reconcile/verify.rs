//! Whether a change took hold.
//!
//! Pure. The rows of every line that was touched are read back and planned for again: a plan that wants nothing more is
//! the proof. What is left decides between looking once more, because the rows moved under us or a session came back,
//! and a failure. Routers do acknowledge what they then do not keep.

use tawi_shared::wire::FailureKind;

use crate::reconcile::plan::{LineChange, RowChange};

/// Reads, plans and writes of one pass. Enough for a session that slips in twice or a row that somebody else added
/// between our read and our write; whatever still moves then is tried again later, with back-off.
pub const ROUNDS: u32 = 3;

/// What a second look says of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it should be.
    Verified,
    /// Apply what is left.
    Again,
    /// It is not, and trying at once would not help.
    Failed(FailureKind, String),
}

/// Judges a line that was touched.
///
/// `refused` is what the router said no with; `was_overtaken` that its rows were not as read; `left` what the second
/// plan still wants; `is_profile_missing` that the profile it needs is not there; `round` counts the writes so far.
#[must_use]
pub fn judge(
    refused: Option<&str>,
    was_overtaken: bool,
    left: &[&LineChange],
    is_profile_missing: bool,
    round: u32,
) -> Verdict {
    if let (Some(reason), true) = (refused, !left.is_empty() || is_profile_missing) {
        return Verdict::Failed(FailureKind::Refused, reason.to_owned());
    }
    if is_profile_missing {
        return Verdict::Failed(
            FailureKind::NotApplied,
            "the profile that it needs is missing on the router".to_owned(),
        );
    }
    if left.is_empty() {
        return Verdict::Verified;
    }
    let only_sessions = left.iter().all(|change| change.row == RowChange::Leave);
    if (only_sessions || was_overtaken) && round < ROUNDS {
        return Verdict::Again;
    }
    let detail = if only_sessions {
        "its session is still up after it was ended".to_owned()
    } else {
        let differs: Vec<&str> = left.iter().flat_map(|change| change.differs.iter().copied()).collect();
        format!("its row does not keep {}", differs.join(", "))
    };
    Verdict::Failed(FailureKind::NotApplied, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::actual::Table;
    use crate::reconcile::plan::Values;

    fn left(row: RowChange) -> LineChange {
        LineChange {
            line: "a".into(),
            table: Table::Secrets,
            row,
            kick: vec![],
            cut: None,
            profile: None,
            differs: vec!["profile", "disabled"],
            revision: 1,
        }
    }

    #[test]
    fn nothing_left_is_the_only_proof() {
        let check = |refused, overtaken, left: &[&LineChange], profile, round, expected: Verdict| {
            assert_eq!(judge(refused, overtaken, left, profile, round), expected);
        };
        let row = left(RowChange::Add(Values::default()));
        let session = left(RowChange::Leave);
        let not_applied = |text: &str| Verdict::Failed(FailureKind::NotApplied, text.to_owned());
        let lost = "its row does not keep profile, disabled";
        check(None, false, &[], false, 1, Verdict::Verified);
        check(Some("no"), false, &[], false, 1, Verdict::Verified);
        check(Some("no"), false, &[&row], false, 1, Verdict::Failed(FailureKind::Refused, "no".into()));
        check(None, false, &[&row], false, 1, not_applied(lost));
        check(None, true, &[&row], false, 1, Verdict::Again);
        check(None, true, &[&row], false, ROUNDS, not_applied(lost));
        check(None, false, &[&session], false, 1, Verdict::Again);
        check(
            None,
            false,
            &[&session],
            false,
            ROUNDS,
            not_applied("its session is still up after it was ended"),
        );
        check(None, false, &[&session, &row], false, 1, not_applied(&format!("{lost}, profile, disabled")));
        check(None, false, &[], true, 1, not_applied("the profile that it needs is missing on the router"));
    }
}
