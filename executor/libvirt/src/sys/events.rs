//! Subscriptions to events, and the callbacks behind them.
//!
//! libvirt calls back on its event thread. A callback copies what it is lent and hands it to the subscriber's closure, which should do nothing but put it into a
//! channel: while it runs, no other event and no keep-alive is handled.

use super::sinks::{Place, contain, find};
use super::{Connection, Domain, check, typed};
use crate::calls;
use crate::error::LibvirtError;
use crate::event::{DomainEvent, Lifecycle};
use crate::statistics::JobStatistics;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::mem;
use std::ptr;
use std::sync::Arc;
use virt_sys::{virConnectPtr, virDomainPtr, virTypedParameterPtr};

/// Callbacks that are registered until this is dropped; from then on the closure gets no new event. Dropping
/// asks the daemon, so it may block as any call does, and must not be done inside a callback.
#[must_use = "events end when the subscription is dropped"]
pub(crate) struct Subscription {
    connection: Connection,
    registered: Vec<c_int>,
    // Dropped after the callbacks have been taken back, because fields are dropped after `drop`.
    _place: Place,
}

impl calls::Subscribed for Subscription {}

impl fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Subscription")
            .field("callbacks", &self.registered.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for id in &self.registered {
            // A failure means that the connection is dead or has reported its end; the place in the table ends in
            // any case.
            // SAFETY: the connection is open as long as `self`, and the id is one of its registrations.
            unsafe { virt_sys::virConnectDomainEventDeregisterAny(self.connection.raw(), *id) };
        }
    }
}

impl Connection {
    /// Hands events of one domain, or of all, to `sink`, in libvirt's order: life cycle, passes of a
    /// migration, ended jobs. libvirt allows one subscription to each domain, and one to all, on a
    /// connection.
    ///
    /// # Errors
    /// `InvalidArgument` when there is such a subscription already, or whatever else libvirt reports when it
    /// does not deliver even the life cycle. Kinds of event that the driver or the daemon does not know are
    /// left out: events are only hints.
    pub(crate) fn listen(
        &self,
        domain: Option<&Domain>,
        sink: calls::EventSink,
    ) -> Result<Subscription, LibvirtError> {
        let place = Place::new(Arc::from(sink));
        let mut registered = vec![self.register(domain, Callback::Lifecycle(on_lifecycle), &place)?];
        for callback in [Callback::Iteration(on_iteration), Callback::JobCompleted(on_job_completed)] {
            registered.extend(self.register(domain, callback, &place).ok());
        }
        Ok(Subscription { connection: self.clone(), registered, _place: place })
    }

    /// The events of the domain with this uuid.
    ///
    /// # Errors
    /// As for [`Self::listen`], or `NoDomain`.
    pub(crate) fn subscribe(
        &self,
        uuid: &str,
        sink: calls::EventSink,
    ) -> Result<calls::Subscription, LibvirtError> {
        let domain = self.find_uuid(uuid)?;
        Ok(Box::new(self.listen(Some(&domain), sink)?))
    }

    fn register(
        &self,
        domain: Option<&Domain>,
        callback: Callback,
        place: &Place,
    ) -> Result<c_int, LibvirtError> {
        let (id, function) = callback.generic();
        let domain = domain.map_or(ptr::null_mut(), Domain::raw);
        // SAFETY: handles are valid as long as `self` and `domain`; the function is the one that this event
        // id calls for, and takes any number as `opaque`.
        let result = unsafe {
            virt_sys::virConnectDomainEventRegisterAny(
                self.raw(),
                domain,
                id,
                Some(function),
                place.opaque(),
                None,
            )
        };
        check("virConnectDomainEventRegisterAny", result)
    }
}

type GenericFn = unsafe extern "C" fn(virConnectPtr, virDomainPtr, *mut c_void);
type LifecycleFn = unsafe extern "C" fn(virConnectPtr, virDomainPtr, c_int, c_int, *mut c_void) -> c_int;
type IterationFn = unsafe extern "C" fn(virConnectPtr, virDomainPtr, c_int, *mut c_void);
type JobCompletedFn =
    unsafe extern "C" fn(virConnectPtr, virDomainPtr, virTypedParameterPtr, c_int, *mut c_void);

/// A function together with the event that has its signature, so that the two cannot be mixed up.
enum Callback {
    Lifecycle(LifecycleFn),
    Iteration(IterationFn),
    JobCompleted(JobCompletedFn),
}

impl Callback {
    /// The event id, and the function in the one type that libvirt's registration takes.
    fn generic(self) -> (c_int, GenericFn) {
        let (id, function) = match self {
            Self::Lifecycle(function) => {
                // SAFETY: between function pointers; libvirt calls it with the signature that this event id
                // stands for.
                let function = unsafe { mem::transmute::<LifecycleFn, GenericFn>(function) };
                (virt_sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, function)
            }
            Self::Iteration(function) => {
                // SAFETY: as above.
                let function = unsafe { mem::transmute::<IterationFn, GenericFn>(function) };
                (virt_sys::VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, function)
            }
            Self::JobCompleted(function) => {
                // SAFETY: as above.
                let function = unsafe { mem::transmute::<JobCompletedFn, GenericFn>(function) };
                (virt_sys::VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, function)
            }
        };
        (c_int::try_from(id).unwrap_or(c_int::MAX), function)
    }
}

unsafe extern "C" fn on_lifecycle(
    _connection: virConnectPtr,
    _domain: virDomainPtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    deliver(opaque, || DomainEvent::Lifecycle(Lifecycle::from_numbers(event, detail)));
    0
}

unsafe extern "C" fn on_iteration(
    _connection: virConnectPtr,
    _domain: virDomainPtr,
    iteration: c_int,
    opaque: *mut c_void,
) {
    deliver(opaque, || DomainEvent::MigrationIteration(iteration));
}

unsafe extern "C" fn on_job_completed(
    _connection: virConnectPtr,
    _domain: virDomainPtr,
    parameters: virTypedParameterPtr,
    count: c_int,
    opaque: *mut c_void,
) {
    deliver(opaque, || {
        // SAFETY: libvirt lends this many entries for the time of the call, and frees them itself.
        let parameters = unsafe { typed::read(parameters, count) };
        DomainEvent::JobCompleted(Box::new(JobStatistics::from_parameters(None, parameters)))
    });
}

/// Hands an event on. What libvirt lends is copied by `event`, within the call.
fn deliver(opaque: *mut c_void, event: impl FnOnce() -> DomainEvent) {
    contain(|| {
        if let Some(sink) = find(opaque) {
            sink(event());
        }
    });
}
