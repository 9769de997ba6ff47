//! The controller's own typed ids. Those that travel to agents are in `tawi_shared::ids`.

macro_rules! ids {
    ($($module:ident: $(#[$doc:meta])* $name:ident;)+) => {
        $(mod $module {
            tawi_shared::text_id! { $(#[$doc])* $name }
        }
        pub use $module::$name;)+
    };
}

ids! {
    customer: /** A customer. */ CustomerId;
    router: /** A router of a site. */ RouterId;
    connection_type: /** A connection type. */ ConnectionTypeId;
    plan: /** A plan. */ PlanId;
    top_up: /** A top-up. */ TopUpId;
    intent: /** A request for payment sent to a phone. */ IntentId;
    payment: /** A receipt. */ PaymentId;
    refund: /** Money that goes back to whoever paid it. */ RefundId;
    entry: /** A ledger entry. */ EntryId;
    callback: /** A stored callback body. */ CallbackId;
    staff: /** A member of staff. */ StaffId;
    command: /** Something that a site is to do once. */ CommandId;
    operator_request: /** Something that an API operator asked of Safaricom. */ OperatorRequestId;
    audit: /** An entry of the audit log. */ AuditId;
    message: /** A text to a customer. */ MessageId;
}

pub use tawi_shared::{IdSource, LineId, SiteId};
