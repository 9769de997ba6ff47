//! Device-mode: what the box itself does not allow, whatever a user's policies are.
//!
//! A hotspot server or a schedule is written and stays inactive; a container, and the L2TP and PPTP servers, are
//! refused. The first is what the manual says; that the second group is refused at the write, and that an inactive
//! schedule says `inactive=true`, is inferred.

use super::Engine;
use crate::request::Request;
use crate::store::ItemId;
use crate::tables::{Menu, Verb};
use crate::trap::Trap;
use crate::values::Value;

const MODE: &str = "system/device-mode";
const INACTIVE: &str = "inactivated, not allowed by device-mode";
/// Menus whose rows are kept and do nothing, and the feature that they need.
const INACTIVATED: [(&str, &str); 2] = [("ip/hotspot", "hotspot"), ("system/scheduler", "scheduler")];

impl Engine {
    /// Whether the box allows a feature. What device-mode does not name, and releases without it, allow all.
    #[must_use]
    pub(crate) fn device_mode_allows(&self, feature: &str) -> bool {
        self.single_text(MODE, feature) != b"false"
    }

    pub(super) fn refuse_by_device_mode(
        &self,
        menu: &Menu,
        verb: Verb,
        request: &Request,
    ) -> Result<(), Trap> {
        let enables = matches!(request.argument("enabled"), Some(b"yes" | b"true"));
        let feature = match (menu.path, verb) {
            ("container", Verb::Add) => "container",
            ("interface/l2tp-server/server", Verb::Set) if enables => "l2tp",
            ("interface/pptp-server/server", Verb::Set) if enables => "pptp",
            _ => return Ok(()),
        };
        if self.device_mode_allows(feature) { Ok(()) } else { Err(Trap::not_in_device_mode()) }
    }

    /// Marks what is kept and does nothing, and takes the mark off again.
    pub(crate) fn mark_inactive(&mut self) {
        for (menu, feature) in INACTIVATED {
            let is_inactive = !self.device_mode_allows(feature);
            let ids: Vec<ItemId> =
                self.table(menu).into_iter().flat_map(|table| table.iter().map(|(id, _)| id)).collect();
            for id in ids {
                if self.is_set(menu, id, "inactive") == is_inactive {
                    continue;
                }
                self.put(menu, id, "inactive", Some(Value::flag(is_inactive)));
                if menu == "ip/hotspot" {
                    self.put(menu, id, "comment", is_inactive.then(|| Value::text(INACTIVE)));
                }
            }
        }
    }
}
