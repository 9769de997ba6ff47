//! What proves that a form of the pay page is one of ours, opened by whoever sends it. Pure.
//!
//! Nobody has a session there, and a captive browser may take no cookie. So the form carries a token under a key of this
//! process, for one line and for the network that the page was sent to: another site can fetch such a form for itself, and
//! not for its visitors. The token is also the address of the page that will follow the request (`payments::follow`), so
//! that a form that is sent twice asks once. A restart, an hour, or another network makes a form old: it is shown again.

use std::net::IpAddr;
use std::time::Duration;

use ring::hmac;
use tawi_shared::ids::hex;
use tawi_shared::{IdSource, LineId, UnixMillis};

use crate::payments::follow::FollowToken;
use crate::web::visit::is_same_secret;

/// How long a form may lie open.
const LASTS: Duration = Duration::from_secs(3_600);
/// The key's length, as long as what SHA-256 gives.
const KEY_BYTES: usize = 32;

/// The key of this process. Hidden in `Debug`, as ring has it.
#[derive(Clone, Debug)]
pub(super) struct FormKey(hmac::Key);

impl FormKey {
    /// Draws one.
    pub(super) fn random(ids: &IdSource) -> Self {
        let mut bytes = [0; KEY_BYTES];
        ids.fill(&mut bytes);
        Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    /// What a form carries.
    pub(super) fn seal(
        &self,
        token: &FollowToken,
        (line, network): (&LineId, IpAddr),
        now: UnixMillis,
    ) -> String {
        let proof = self.proof(token, (line, network), now);
        format!("{}.{}.{proof}", token.reveal(), now.0)
    }

    /// The token of a form that is ours and not old.
    pub(super) fn open(
        &self,
        sealed: &str,
        (line, network): (&LineId, IpAddr),
        now: UnixMillis,
    ) -> Option<FollowToken> {
        let mut parts = sealed.splitn(3, '.');
        let token = FollowToken::parse(parts.next()?)?;
        let sealed_at = UnixMillis(parts.next()?.parse().ok()?);
        let is_ours = is_same_secret(parts.next()?, &self.proof(&token, (line, network), sealed_at));
        (is_ours && sealed_at <= now && now.since(sealed_at) < LASTS).then_some(token)
    }

    fn proof(&self, token: &FollowToken, (line, network): (&LineId, IpAddr), at: UnixMillis) -> String {
        let text = format!("{} {} {line} {network}", token.reveal(), at.0);
        hex(hmac::sign(&self.0, text.as_bytes()).as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_taken_once_it_is_ours_from_there_for_that_line_and_not_old() {
        let ids = IdSource::seeded(1);
        let (key, token, line) = (FormKey::random(&ids), FollowToken::random(&ids), LineId::random(&ids));
        let here: IpAddr = "41.90.1.1".parse().unwrap();
        let sealed = key.seal(&token, (&line, here), UnixMillis(1_000));
        let check = |sealed: &str, scope: (&LineId, &str), now: i64, is_taken: bool| {
            let opened = key.open(sealed, (scope.0, scope.1.parse().unwrap()), UnixMillis(now));
            assert_eq!(opened, is_taken.then(|| token.clone()), "{sealed} {now}");
        };
        check(&sealed, (&line, "41.90.1.1"), 1_000, true);
        check(&sealed, (&line, "41.90.1.1"), 3_600_999, true);
        check(&sealed, (&line, "41.90.1.1"), 3_601_000, false);
        check(&sealed, (&line, "41.90.1.1"), 999, false);
        check(&sealed, (&line, "41.90.1.2"), 1_000, false);
        check(&sealed, (&LineId::random(&ids), "41.90.1.1"), 1_000, false);
        check(&sealed.replace(".1000.", ".2000."), (&line, "41.90.1.1"), 2_000, false);
        for other in ["", "..", &sealed.replace('.', ""), &format!("{sealed}0"), "x.1000.y"] {
            check(other, (&line, "41.90.1.1"), 1_000, false);
        }
        assert_eq!(
            FormKey::random(&ids).open(&sealed, (&line, here), UnixMillis(1_000)),
            None,
            "of another process"
        );
    }
}
