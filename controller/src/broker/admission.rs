//! Whether a client that stands at the front door may come in. Pure: its certificate's site and its CONNECT in, the
//! CONNECT that the broker is to see out.
//!
//! What the database knows (is the certificate or the site revoked?) is asked beside this, by `front_door.rs`.

use tawi_shared::KEEP_ALIVE_LONGEST;
use tawi_shared::topics::{self, Up};
use thiserror::Error;

use super::connect_packet::{ConnectPacket, Will};
use crate::ids::SiteId;

/// Why a client is sent away.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The user name is not the site of the certificate.
    #[error("the user name is not the site that the certificate names")]
    OtherUser,
    /// The client id could belong to another site.
    #[error("the client id is not the site's")]
    OtherClient,
    /// The last will would speak for somebody else, or say something else than farewell.
    #[error("the last will is not a farewell of this site")]
    OtherWill,
    /// The connection would be kept for ever after its end.
    #[error("the keep-alive is not between 1 and {} seconds", KEEP_ALIVE_LONGEST.as_secs())]
    KeepAlive,
}

impl NotAdmitted {
    /// The return code that tells the client so (MQTT 3.1.1, table 3.1): 2 identifier rejected, 5 not authorised.
    #[must_use]
    pub fn return_code(&self) -> u8 {
        match self {
            Self::OtherClient => 2,
            Self::OtherUser | Self::OtherWill | Self::KeepAlive => 5,
        }
    }
}

/// Decides. The packet that comes back always asks for a clean session: guarantees live in the application, and a
/// broker that queues for absent sites only spends memory.
///
/// # Errors
/// [`NotAdmitted`] says why not.
pub fn admit(packet: ConnectPacket, site: &SiteId) -> Result<ConnectPacket, NotAdmitted> {
    if packet.user_name.as_deref() != Some(site.as_str()) {
        return Err(NotAdmitted::OtherUser);
    }
    if !is_client_of(&packet.client_id, site) {
        return Err(NotAdmitted::OtherClient);
    }
    if packet.will.as_ref().is_some_and(|will| !is_farewell(will, site)) {
        return Err(NotAdmitted::OtherWill);
    }
    if packet.keep_alive_seconds == 0 || u64::from(packet.keep_alive_seconds) > KEEP_ALIVE_LONGEST.as_secs() {
        return Err(NotAdmitted::KeepAlive);
    }
    Ok(ConnectPacket { is_clean_session: true, ..packet })
}

/// The site id itself, or the site id and a dot before anything else. A bare prefix would not do: `a` must not take
/// over the session of `ab`.
fn is_client_of(client_id: &str, site: &SiteId) -> bool {
    match client_id.strip_prefix(site.as_str()) {
        Some(rest) => rest.is_empty() || rest.starts_with('.'),
        None => false,
    }
}

fn is_farewell(will: &Will, site: &SiteId) -> bool {
    topics::parse_up(&will.topic).is_some_and(|(speaker, said)| speaker == *site && said == Up::Bye)
        && !will.is_retained
        && will.quality_of_service <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> ConnectPacket {
        ConnectPacket {
            client_id: "a".into(),
            user_name: Some("a".into()),
            will: Some(Will {
                topic: "v1/a/up/bye".into(),
                payload: vec![],
                quality_of_service: 1,
                is_retained: false,
            }),
            is_clean_session: false,
            keep_alive_seconds: 120,
        }
    }

    fn check(change: impl FnOnce(&mut ConnectPacket), expected: Result<(), NotAdmitted>) {
        let mut packet = packet();
        change(&mut packet);
        let shown = format!("{packet:?}");
        assert_eq!(admit(packet, &SiteId::parse("a").unwrap()).map(|_| ()), expected, "{shown}");
    }

    fn with_will(topic: &str) -> impl FnOnce(&mut ConnectPacket) {
        let topic = topic.to_owned();
        move |packet| packet.will.as_mut().unwrap().topic = topic
    }

    #[test]
    fn a_client_is_who_its_certificate_says() {
        check(|_| (), Ok(()));
        check(|packet| packet.will = None, Ok(()));
        check(|packet| packet.client_id = "a.second".into(), Ok(()));
        check(|packet| packet.user_name = Some("b".into()), Err(NotAdmitted::OtherUser));
        check(|packet| packet.user_name = Some("$controller".into()), Err(NotAdmitted::OtherUser));
        check(|packet| packet.user_name = None, Err(NotAdmitted::OtherUser));
        for client_id in ["", "b", "ab", "a-b", "$controller", ".a"] {
            check(|packet| packet.client_id = client_id.into(), Err(NotAdmitted::OtherClient));
        }
    }

    #[test]
    fn a_last_will_is_a_farewell_of_the_site_itself() {
        for topic in
            ["v1/b/up/bye", "v1/a/up/hello", "v1/a/down/state", "v1/a/up/bye/x", "v1/+/up/bye", "x", ""]
        {
            check(with_will(topic), Err(NotAdmitted::OtherWill));
        }
        check(|packet| packet.will.as_mut().unwrap().is_retained = true, Err(NotAdmitted::OtherWill));
        check(|packet| packet.will.as_mut().unwrap().quality_of_service = 2, Err(NotAdmitted::OtherWill));
    }

    #[test]
    fn a_connection_that_would_never_end_is_refused() {
        check(|packet| packet.keep_alive_seconds = 0, Err(NotAdmitted::KeepAlive));
        check(|packet| packet.keep_alive_seconds = 301, Err(NotAdmitted::KeepAlive));
        check(|packet| packet.keep_alive_seconds = 300, Ok(()));
    }

    #[test]
    fn the_broker_is_never_asked_to_remember_a_session() {
        assert!(admit(packet(), &SiteId::parse("a").unwrap()).unwrap().is_clean_session);
    }
}
