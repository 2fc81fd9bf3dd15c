//! All that is known before the start.

use alloc::vec::Vec;

use crate::domain::Domain;
use crate::host::Host;
use crate::request::Request;
use crate::scalar::Attribute;
use crate::storage::DiskStorage;

cases! {
    /// When a rule is asked.
    #[derive(Default)]
    Phase {
        /// Plan.
        Plan = "plan",
        /// Preflight.
        #[default]
        Preflight = "preflight",
        /// Before switchover.
        BeforeSwitchover = "before-switchover",
        /// After completion.
        AfterCompletion = "after-completion",
    }
}

record! {
    /// Facts.
    Facts {
        /// Phase.
        phase: Phase,
        /// Request.
        request: Option<Request>,
        /// Guest.
        guest: Option<Domain>,
        /// What the guest becomes there, where the operator gave a definition for the destination.
        target: Option<Domain>,
        /// Source.
        source: Option<Host>,
        /// Destination.
        destination: Option<Host>,
        /// Storage.
        storage: Option<Vec<DiskStorage>>,
        /// Attributes.
        attributes: Vec<Attribute>,
    }
}
