//! Why a router cannot be worked with, and what a person does about it.
//!
//! Pure: the agent's code in, two sentences out. The agent tells a code and never a text, so that nothing that a site says
//! stands on a page of head office; what it knows beyond the code, `tawi-agent doctor` says beside the router.

use tawi_shared::wire::RouterTrouble;

/// What is wrong with a router, and what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TroubleWords {
    /// What the agent sees.
    pub(crate) what: &'static str,
    /// What to do.
    pub(crate) cure: &'static str,
}

/// The words for a code; `None` for 0, a router without trouble.
pub(crate) fn trouble_of(code: u16) -> Option<TroubleWords> {
    if code == 0 {
        return None;
    }
    let Some(trouble) = RouterTrouble::from_code(code) else {
        return Some(TroubleWords {
            what: "it cannot be worked with, for a reason that this controller does not know",
            cure: "run tawi-agent doctor at the site, and upgrade the controller",
        });
    };
    Some(TroubleWords { what: trouble.as_str(), cure: cure_of(trouble) })
}

fn cure_of(trouble: RouterTrouble) -> &'static str {
    match trouble {
        RouterTrouble::NoAnswer => {
            "check its power and cable, its address in the agent's routers.toml, and that no firewall drops the port"
        }
        RouterTrouble::ConnectionRefused => {
            "enable the service on the router: /ip service set api-ssl disabled=no; then the port in routers.toml"
        }
        RouterTrouble::NoRoute => "check the cable and the addresses of the agent's machine: ip address",
        RouterTrouble::PinMismatch => {
            "if its certificate was made anew on purpose, set tls_pin in routers.toml to the new fingerprint; otherwise another machine answers in its place"
        }
        RouterTrouble::TlsFailed => {
            "give api-ssl a certificate of its own: paste the script of tawi-agent router-script"
        }
        RouterTrouble::LoginRefused => {
            "the user, its password or its address list is not what the router has: paste the script of tawi-agent router-script again"
        }
        RouterTrouble::HungUp => {
            "the address lists of /ip service and /user do not hold the agent's machine, or max-sessions is reached"
        }
        RouterTrouble::NotTheApi => "check port and transport in routers.toml: 8729 is tls, 8728 is plain",
        RouterTrouble::TooOld => "upgrade it to 6.49 or later: /system package update install",
        RouterTrouble::NotPermitted => {
            "its group needs the policies read, write and api: paste the script of tawi-agent router-script again"
        }
        RouterTrouble::DeviceMode => {
            "allow it on the router: /system device-mode update, and press its button within five minutes"
        }
        RouterTrouble::Overloaded => {
            "it is overloaded, or a firewall drops what belongs to connections: /system resource print"
        }
        RouterTrouble::AnotherBoard => {
            "nothing is written to it: rebuild it below if it was replaced, or correct its address in routers.toml"
        }
        RouterTrouble::Other => "run tawi-agent doctor at the site, and read the router's log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_has_words_and_a_cure_and_an_unknown_one_says_that_it_is() {
        assert_eq!(trouble_of(0), None);
        for trouble in RouterTrouble::ALL {
            let words = trouble_of(trouble.code()).unwrap();
            assert_eq!(words.what, trouble.as_str());
            assert!(words.cure.len() > 20, "{words:?}");
        }
        let unknown = trouble_of(u16::MAX).unwrap();
        assert!(unknown.what.contains("does not know") && unknown.cure.contains("doctor"), "{unknown:?}");
    }
}
