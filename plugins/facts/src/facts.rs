//! All that is known before the start.

use alloc::vec::Vec;

use crate::domain::Domain;
use crate::host::Host;
use crate::request::Request;
use crate::scalar::Attribute;
use crate::storage::DiskStorage;

cases! {
    /// When a rule is evaluated.
    #[derive(Default)]
    Phase {
        /// While a migration is planned, before it is requested.
        Plan = "plan",
        /// Right before the start. Every collector gives facts of this phase.
        #[default]
        Preflight = "preflight",
        /// The memory is copied and the guest still runs on the source. No collector gives facts of this phase.
        BeforeSwitchover = "before-switchover",
        /// The guest runs on the destination. No collector gives facts of this phase.
        AfterCompletion = "after-completion",
    }
}

record! {
    /// The argument of a pack's `check`. A pack receives the groups that it needs ([`FactGroup`](crate::FactGroup));
    /// the others are empty.
    Facts {
        /// The phase that these facts are of; `preflight` from every collector.
        phase: Phase,
        /// The operator's options for this migration. None: unknown.
        request: Option<Request>,
        /// The guest as the source has it. None: unknown.
        guest: Option<Domain>,
        /// What the guest becomes on the destination, by the operator's domain XML (`--xml`); its state is unknown.
        /// None: no such definition was given, the guest keeps its own.
        target: Option<Domain>,
        /// The host that the guest is on. None: unknown.
        source: Option<Host>,
        /// The host that the guest is to run on. None: unknown.
        destination: Option<Host>,
        /// One entry for each disk that is not an empty drive, and for each layer below. None: not collected.
        storage: Option<Vec<DiskStorage>>,
        /// Facts without a field of their own, sorted by path, such as `guest/leases`. What the definitions say beyond the
        /// fields of [`Domain`] is below `guest/xml/` and `target/xml/`. Empty: none is known.
        attributes: Vec<Attribute>,
    }
}
