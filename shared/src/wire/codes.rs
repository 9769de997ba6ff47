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
        /// `/ppp/secret` with service=l2tp.
        L2tp = 3 / "l2tp",
        /// `/ppp/secret` with service=pptp.
        Pptp = 4 / "pptp",
        /// `/ppp/secret` with service=ovpn.
        Openvpn = 5 / "openvpn",
        /// Nobody logs in: an address of the customer's own, with a `/queue/simple` and entries in address lists.
        Static = 6 / "static",
        /// As [`Self::Static`], behind a hotspot that lets the device pass by its MAC: `/ip/hotspot/ip-binding` besides.
        HotspotDevice = 7 / "hotspot-device",
    }
}

codes! {
    /// What the controller decided for a line; until when is a field beside it.
    Access {
        /// May use the network until `valid_until`.
        Open = 1 / "open",
        /// May not, whatever the time and whatever its plan says of suspension.
        Off = 2 / "off",
        /// Suspended, as its plan says.
        Suspended = 3 / "suspended",
    }
}

codes! {
    /// How a line is kept from full use.
    Restraint {
        /// It may not use the network.
        Off = 1 / "off",
        /// It reaches the pages on which its customer can pay, and nothing else.
        Walled = 2 / "walled",
        /// It goes on, slowly.
        Throttled = 3 / "throttled",
    }
}

codes! {
    /// Something to do once.
    CommandKind {
        /// Let the held plan go that the argument names.
        ReleaseHeld = 1 / "release held",
        /// End the sessions of a line.
        Kick = 2 / "kick",
        /// Make the router anew from the store, whatever the guard would say: it was replaced or reset.
        Rebuild = 3 / "rebuild",
        /// Tell of the rows that somebody else made.
        ListForeign = 4 / "list foreign rows",
        /// Take over the row that the argument names, for the line.
        Adopt = 5 / "adopt",
        /// Look at everything as the doctor at the site does; the answer is its JSON.
        Doctor = 6 / "doctor",
        /// Gather what helps to understand the site, without secrets; the answer is JSON.
        Diagnostics = 7 / "diagnostics",
        /// Log as much as the argument says until a restart, and for a day at most.
        SetLogLevel = 8 / "set log level",
        /// Tell every few seconds how the agent stands, for as many seconds as the argument says; each answer replaces the
        /// one before.
        Watch = 9 / "watch",
    }
}

impl CommandKind {
    /// Whether it is the agent itself that is asked, and no router.
    #[must_use]
    pub fn is_of_site(self) -> bool {
        matches!(self, Self::Doctor | Self::Diagnostics | Self::SetLogLevel | Self::Watch)
    }

    /// Whether something is told besides what became of it: an [`AnswerV1`](super::AnswerV1).
    #[must_use]
    pub fn has_answer(self) -> bool {
        matches!(self, Self::Doctor | Self::Diagnostics | Self::Watch)
    }
}

codes! {
    /// Where a command stands.
    CommandStatus {
        /// It was begun; whether it was done is not known.
        Executing = 1 / "executing",
        /// It was done.
        Succeeded = 2 / "succeeded",
        /// It was not done; the detail says why.
        Failed = 3 / "failed",
        /// It came too late and was not begun.
        Expired = 4 / "expired",
        /// It came, and it is not known whether it was begun; the detail says what it waits for.
        Waiting = 5 / "waiting",
    }
}

codes! {
    /// Settings of an agent that head office may set; their bounds are in `crate::settings`.
    Setting {
        /// What the agent may tell in an hour, in kilobytes of a thousand bytes; 0 for no bound.
        KilobytesAnHour = 1 / "kilobytes_an_hour",
        /// How often the totals of sessions that run are told.
        ReportSeconds = 2 / "report_seconds",
        /// How often a silent connection is tried.
        KeepAliveSeconds = 3 / "keep_alive_seconds",
        /// How much is logged: error, warn, info or debug.
        LogLevel = 4 / "log_level",
    }
}

codes! {
    /// What became of a write to a router.
    WriteStatus {
        /// The router took it.
        Done = 1 / "done",
        /// The router refused it.
        Refused = 2 / "refused",
        /// The connection was lost before the answer.
        Unknown = 3 / "unknown",
    }
}

codes! {
    /// What bytes on the line between a site and head office are for.
    LinePart {
        /// Opening connections, keeping them alive, and the headers of IP, TCP, TLS and MQTT around everything else.
        Link = 1 / "link",
        /// Hellos, answers and cursors.
        Talk = 2 / "answers",
        /// The desired state and commands.
        State = 3 / "state",
        /// Events.
        Events = 4 / "events",
        /// Session totals.
        Usage = 5 / "usage",
        /// Writes to routers.
        Log = 6 / "log",
        /// A release of the agent on its way.
        Upgrade = 7 / "upgrade",
        /// What head office asked to know: reports of the doctor, diagnostics, watches.
        Remote = 8 / "remote",
    }
}

codes! {
    /// How a site stands with the release that is wanted there.
    ReleaseStanding {
        /// It comes, part by part, as the line's budget allows.
        Downloading = 1 / "downloading",
        /// It is whole and is what was signed; the agent is about to start it.
        Starting = 2 / "about to start",
        /// It runs, and has to prove itself.
        Trial = 3 / "on trial",
        /// It runs, was welcomed by head office and has read its routers.
        Verified = 4 / "verified",
        /// It did not prove itself, and the one before runs again; the detail says why.
        RolledBack = 5 / "rolled back",
        /// The agent does not take it; the detail says why.
        Refused = 6 / "refused",
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
        /// A line used up what its quota allows.
        QuotaReached = 12 / "quota reached",
        /// Head office was silent for so long that lines were restrained as their plans say.
        OfflineRuleApplied = 13 / "offline rule applied",
        /// The clock is not trusted: nothing expires by it until it is.
        ClockDoubted = 14 / "clock doubted",
        /// The clock is trusted again.
        ClockTrusted = 15 / "clock trusted",
        /// A router was rebuilt from the store.
        RouterRebuilt = 16 / "router rebuilt",
        /// A row that somebody else made was taken over.
        RowAdopted = 17 / "row adopted",
        /// Somebody at the site let go what a guard held.
        LetGoAtSite = 18 / "let go at the site",
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
        /// The line has no row, and neither head office nor the agent knows a password for a new one.
        NoPassword = 8 / "its password is not known",
        /// The router is another board than before, and nothing is written to it until a person has it rebuilt.
        AnotherBoard = 9 / "another board answers than before",
    }
}

codes! {
    /// Why a router cannot be worked with. Head office knows the cure of each.
    RouterTrouble {
        /// No answer at all.
        NoAnswer = 1 / "nothing answers at its address",
        /// It is there, and the port is closed.
        ConnectionRefused = 2 / "it answers, and its API is closed",
        /// The agent's machine knows no way to it.
        NoRoute = 3 / "the agent's machine has no way to it",
        /// Its certificate has another fingerprint than the settings of the agent.
        PinMismatch = 4 / "its certificate is not the one that the agent expects",
        /// Any other end of a handshake.
        TlsFailed = 5 / "TLS does not come about",
        /// The user, the password or where the user may come from.
        LoginRefused = 6 / "it refuses the agent's login",
        /// It ends the connection before it looks at a password.
        HungUp = 7 / "it hangs up before the login",
        /// Something else listens on the port.
        NotTheApi = 8 / "another service answers on that port",
        /// A release of before 6.49.
        TooOld = 9 / "its RouterOS is too old",
        /// The group of the agent's user lacks a policy.
        NotPermitted = 10 / "the agent's user may not do enough there",
        /// Its device-mode forbids a feature.
        DeviceMode = 11 / "its device-mode forbids what is needed",
        /// It stopped in the middle of an answer.
        Overloaded = 12 / "it does not answer in time",
        /// Its serial number is not the one that it was: nothing is written to it.
        AnotherBoard = 13 / "another board answers than before",
        /// None of these.
        Other = 14 / "it cannot be worked with",
    }
}

codes! {
    /// Independent sequences on the way up: each has its own positions and its own cursor.
    Lane {
        /// Events.
        Event = 1 / "event",
        /// Session totals.
        Usage = 2 / "usage",
        /// Writes to routers, the API log. The first to be dropped and the last to be told.
        Log = 3 / "log",
    }
}
