//! Who runs a command, and what their group lets them do.

use crate::engine::Engine;
use crate::store::ItemId;
use crate::values::granted_policies;

/// The user behind a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    /// The user's name.
    pub name: String,
    granted: Vec<&'static str>,
    /// The row of the user, whose group is asked again at every command.
    row: Option<ItemId>,
}

impl Actor {
    /// One who may do everything: the simulator itself, and the foreign admin of the control port.
    #[must_use]
    pub(crate) fn foreign_admin() -> Self {
        Self { name: "foreign-admin".to_owned(), granted: crate::tables::every_policy().collect(), row: None }
    }

    /// The user with this name and password, if login over the API is allowed from `address`.
    #[must_use]
    pub(crate) fn authenticate(
        engine: &Engine,
        name: &[u8],
        password: &[u8],
        address: std::net::IpAddr,
    ) -> Option<Self> {
        let id = engine.find("user", name)?;
        let text = |property: &str| engine.text("user", id, property).unwrap_or_default();
        let is_right = text("password") == password && text("disabled") != b"true";
        if !is_right || !allows_address(&text("address"), address) {
            return None;
        }
        let granted = granted_to(engine, id);
        let name = String::from_utf8_lossy(name).into_owned();
        granted.contains(&"api").then_some(Self { name, granted, row: Some(id) })
    }

    /// The same user with what their group grants now; nothing, once the user is gone or disabled. That a change
    /// reaches connections that are open is inferred: it is the stricter reading.
    #[must_use]
    pub(crate) fn as_of_now(&self, engine: &Engine) -> Self {
        let granted = match self.row {
            None => self.granted.clone(),
            Some(row) if engine.is_set("user", row, "disabled") => Vec::new(),
            Some(row) => granted_to(engine, row),
        };
        Self { granted, ..self.clone() }
    }

    /// Whether the group grants the policy.
    #[must_use]
    pub(crate) fn may(&self, policy: &str) -> bool {
        self.granted.contains(&policy)
    }
}

fn granted_to(engine: &Engine, user: ItemId) -> Vec<&'static str> {
    let group = engine.referenced("user", user, "group");
    let policy = group.and_then(|group| engine.text("user/group", group, "policy"));
    policy.map(|policy| granted_policies(&policy).collect()).unwrap_or_default()
}

/// Whether a comma list of addresses and prefixes, empty for anyone, contains `address`.
#[must_use]
pub(crate) fn allows_address(list: &[u8], address: std::net::IpAddr) -> bool {
    let list = String::from_utf8_lossy(list);
    let std::net::IpAddr::V4(address) = address.to_canonical() else { return list.is_empty() };
    let contains = |entry: &str| {
        crate::values::parse_ranges(entry)
            .is_some_and(|ranges| ranges.iter().any(|(first, last)| (*first..=*last).contains(&address)))
    };
    list.is_empty() || list.split(',').any(contains)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_address_list_allows_everyone_and_a_prefix_only_its_hosts() {
        let host = "172.17.0.2".parse().unwrap();
        assert!(allows_address(b"", host));
        assert!(allows_address(b"10.0.0.1,172.17.0.0/24", host));
        assert!(!allows_address(b"10.0.0.1", host));
        assert!(!allows_address(b"nonsense", host));
    }
}
