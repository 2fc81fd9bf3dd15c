//! The calls of the driver, made through libvirt: each is the function of the same name of the handle.
//!
//! It adds nothing: a difference between the trait and the handle must not exist.

use super::{
    Connection as InstalledConnection, Domain as InstalledDomain, StoragePool as InstalledPool,
    StorageVolume as InstalledVolume,
};
use crate::calls::{
    ConnectionCalls, Description, Domain, DomainCalls, EventSink, Listed, ListedInterface, PoolCalls,
    StoragePool, StorageVolume, Subscription, VolumeCalls, XmlView, every_call,
};
use crate::dirty_rate::DirtyRateReport;
use crate::error::LibvirtError;
use crate::parameters::MigrateParameters;
use crate::state::State;
use crate::statistics::JobStatistics;
use crate::versions::Version;

macro_rules! forwarded {
    (
        $(#[$doc:meta])*
        $name:ident by $real:ident {
            $( $(#[$about:meta])* $call:ident($($argument:ident: $kind:ty),*) -> $answer:ty, $function:literal; )*
        }
    ) => {
        impl $name for $real {
            $(
                fn $call(&self $(, $argument: $kind)*) -> Result<$answer, LibvirtError> {
                    // The function of the handle itself: it comes before the one of the trait.
                    <$real>::$call(self $(, $argument)*)
                }
            )*
        }
    };
}

every_call!(forwarded);
