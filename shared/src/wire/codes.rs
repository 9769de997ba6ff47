//! Enumerations as they travel: `u16` codes, append only. An unknown code is `None`, never a guess.

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal / $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// All that this release knows.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code that travels.
            #[must_use]
            pub fn code(self) -> u16 {
                match self { $(Self::$variant => $code,)+ }
            }

            /// Reads a code; `None` for one from a newer release.
            #[must_use]
            pub fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            /// The word for logs, tables and pages.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Reads the word back.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|entry| entry.as_str() == text)
            }
        }
    };
}

codes! {
    /// How a line reaches the network.
    Service {
        /// `/ppp/secret` with service=pppoe.
        Pppoe = 1 / "pppoe",
        /// `/ip/hotspot/user`.
        Hotspot = 2 / "hotspot",
    }
}

codes! {
    /// What the controller decided for a line; until when is a field beside it.
    Access {
        /// May use the network until `valid_until`.
        Open = 1 / "open",
        /// May not, whatever the time.
        Off = 2 / "off",
    }
}

codes! {
    /// What an event is about.
    EventKind {
        /// The subscriber's session came up.
        LineOnline = 1 / "line online",
        /// The subscriber's session ended.
        LineOffline = 2 / "line offline",
        /// The agent took an expired line off the router.
        LineExpired = 3 / "line expired",
        /// A plan that would cut off too many lines waits for a person.
        PlanHeld = 4 / "plan held",
        /// The held plan was released, or is no longer needed.
        PlanReleased = 5 / "plan released",
        /// A router stopped answering.
        RouterLost = 6 / "router lost",
        /// A router answers again.
        RouterFound = 7 / "router found",
        /// The agent's store was damaged and started anew.
        StoreLost = 8 / "store lost",
        /// Somebody changed our rows on the router by hand, and the agent put them right.
        DriftRepaired = 9 / "drift repaired",
        /// The agent's disk takes no more writes.
        StoreFull = 10 / "store full",
        /// A snapshot of the controller does not have the hash that it names; the agent keeps what it has.
        StateDiffers = 11 / "state differs",
    }
}

codes! {
    /// Why a line is not on its router as it should be.
    FailureKind {
        /// The router cannot be reached.
        RouterUnreachable = 1 / "router unreachable",
        /// The router refused the change; the detail says why.
        Refused = 2 / "refused by the router",
        /// The change was acknowledged and is not there when read back.
        NotApplied = 3 / "not there when read back",
        /// A row with that name exists and is not ours.
        ForeignRow = 4 / "a foreign row has that name",
        /// The guard holds the change until a person releases it.
        Held = 5 / "held by the guard",
        /// This release of the agent does not know the service or the access code.
        Unsupported = 6 / "not supported by this agent",
        /// No router of that name is configured at the site.
        NoSuchRouter = 7 / "no such router at the site",
    }
}

codes! {
    /// Independent sequences on the way up: each has its own positions and its own cursor.
    Lane {
        /// Events.
        Event = 1 / "event",
        /// Session totals.
        Usage = 2 / "usage",
    }
}
