//! Disruptions, and the response of each end: `world::parting` without time.

use super::model::{Here, Host, Model, Returned, SourceEnd, Stage, There};
use super::scope::Scope;

/// A disruption of hosts, daemons, QEMUs or the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disruption {
    /// The source's daemon dies.
    SourceDaemon,
    /// The destination's daemon dies.
    DestinationDaemon,
    /// The source loses its power.
    SourceHost,
    /// The destination loses its power.
    DestinationHost,
    /// The guest's process on the source dies.
    SourceGuest,
    /// The guest's process on the destination dies.
    DestinationGuest,
    /// The link is cut.
    Link,
    /// The copy fails on its own.
    Copy,
    /// The connection of the migrate call's caller breaks.
    Connection,
    /// The guest wakes up from its sleep in post-copy.
    Wakeup,
    /// The guest stops on the source: an I/O error, or a pause by another client.
    SourceStops,
    /// The guest stops on the destination.
    DestinationStops,
    /// Another client resumes the guest on the source.
    SourceResumed,
    /// Another client resumes the guest on the destination.
    DestinationResumed,
    /// Another client starts the guest on the source from its disks: an operator, or high availability.
    SourceStarted,
    /// Another client starts the guest on the destination from its disks.
    DestinationStarted,
    /// Another client begins to migrate the guest to the destination.
    MigratedAway,
    /// Another client migrates the guest from the destination back to the source.
    MigratedBack,
}

/// A repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repair {
    /// The source, its daemon included, is there again.
    Source,
    /// The destination is.
    Destination,
    /// The link is.
    Link,
}

impl Disruption {
    pub(crate) const ALL: [Self; 18] = [
        Self::SourceDaemon,
        Self::DestinationDaemon,
        Self::SourceHost,
        Self::DestinationHost,
        Self::SourceGuest,
        Self::DestinationGuest,
        Self::Link,
        Self::Copy,
        Self::Connection,
        Self::Wakeup,
        Self::SourceStops,
        Self::DestinationStops,
        Self::SourceResumed,
        Self::DestinationResumed,
        Self::SourceStarted,
        Self::DestinationStarted,
        Self::MigratedAway,
        Self::MigratedBack,
    ];
}

impl Repair {
    pub(crate) const ALL: [Self; 3] = [Self::Source, Self::Destination, Self::Link];
}

impl Model {
    /// Applies a disruption, if it is possible.
    pub(crate) fn disrupt(
        &self,
        what: Disruption,
        scope: &Scope,
        returned: &mut Option<Returned>,
    ) -> Option<Self> {
        let mut next = *self;
        let can = match what {
            Disruption::SourceDaemon => next.source_daemon_dies(returned),
            Disruption::DestinationDaemon => next.destination_daemon_dies(returned),
            Disruption::SourceHost => scope.host_losses && next.source_is_lost(returned),
            Disruption::DestinationHost => scope.host_losses && next.destination_is_lost(),
            Disruption::SourceGuest => next.source_guest_dies(returned),
            Disruption::DestinationGuest => next.destination_guest_dies(returned),
            Disruption::Link => !std::mem::replace(&mut next.link_is_cut, true),
            Disruption::Copy => next.copy_fails(returned),
            Disruption::Connection => {
                let waits = next.has_caller;
                next.return_call(Some(Returned::Lost), returned);
                waits
            }
            Disruption::Wakeup => scope.others && next.wakes_up(),
            Disruption::SourceStops => scope.others && next.source_guest_stops(),
            Disruption::DestinationStops => scope.others && next.destination_guest_stops(),
            Disruption::SourceResumed => scope.others && next.source_guest_is_resumed(),
            Disruption::DestinationResumed => scope.others && next.destination_guest_is_resumed(),
            Disruption::SourceStarted => scope.others && next.source_guest_is_started(),
            Disruption::MigratedAway => scope.others && next.is_migrated_away(scope),
            Disruption::MigratedBack => scope.others && next.is_migrated_back(scope),
            Disruption::DestinationStarted => scope.others && next.destination_guest_is_started(),
        };
        can.then_some(next)
    }

    /// Repairs what is broken, if it is.
    pub(crate) fn repair(&self, what: Repair, returned: &mut Option<Returned>) -> Option<Self> {
        let mut next = *self;
        match what {
            Repair::Source if self.source != Host::Up => next.source_is_back(returned),
            Repair::Destination if self.destination != Host::Up => next.destination_is_back(returned),
            Repair::Link if self.link_is_cut => next.link_is_cut = false,
            Repair::Source | Repair::Destination | Repair::Link => return None,
        }
        Some(next)
    }

    pub(super) fn source_loses_destination(&mut self, returned: &mut Option<Returned>) {
        if !self.is_driven() {
            return;
        }
        match self.stage {
            Stage::Preparing | Stage::Prepared | Stage::Copying | Stage::Stopping => self.give_up(returned),
            Stage::FinishAsked | Stage::Starting | Stage::Started => {
                self.let_source_go_on();
                self.return_call(Some(Returned::Failed), returned);
                self.leave(returned);
            }
            Stage::Postcopy => {
                self.return_call(Some(Returned::Failed), returned);
                // The two QEMUs hold on to each other for longer, and the destination says nothing of it.
                if self.here == Here::Half {
                    self.here = Here::HalfCut;
                }
            }
            Stage::PostcopyArrived => {
                self.return_call(Some(Returned::Failed), returned);
                if !self.is_joined() && self.here == Here::Half {
                    self.here = Here::HalfCut;
                }
            }
            Stage::Confirming | Stage::None => {}
        }
    }

    pub(super) fn destination_loses_source(&mut self, returned: &mut Option<Returned>) {
        if !self.is_followed() {
            return;
        }
        match self.stage {
            Stage::Preparing | Stage::Prepared | Stage::Copying | Stage::Stopping => {
                self.end_incoming(returned);
            }
            // A finish message in flight still arrives when only its sender died.
            Stage::FinishAsked if !self.is_joined() => self.end_incoming(returned),
            // Their stream breaks later than the daemons part.
            Stage::Postcopy if !self.is_joined() && (self.here == Here::HalfCut || !self.is_driven()) => {
                self.cut_halves();
            }
            Stage::FinishAsked
            | Stage::Starting
            | Stage::Started
            | Stage::Confirming
            | Stage::Postcopy
            | Stage::PostcopyArrived
            | Stage::None => {}
        }
    }

    fn source_daemon_dies(&mut self, returned: &mut Option<Returned>) -> bool {
        if self.source != Host::Up {
            return false;
        }
        self.source = Host::Daemonless;
        self.return_call(Some(Returned::Lost), returned);
        if self.stage != Stage::None && self.source_end == SourceEnd::Drives {
            self.source_end = SourceEnd::Died;
        }
        if self.is_joined() {
            self.destination_loses_source(returned);
        }
        true
    }

    fn destination_daemon_dies(&mut self, returned: &mut Option<Returned>) -> bool {
        if self.destination != Host::Up {
            return false;
        }
        self.destination = Host::Daemonless;
        self.takes_part = false;
        if self.is_joined() {
            self.source_loses_destination(returned);
        }
        true
    }

    fn source_is_lost(&mut self, returned: &mut Option<Returned>) -> bool {
        if self.source == Host::Down {
            return false;
        }
        self.source = Host::Down;
        self.died_here |= self.here != Here::Gone;
        self.here = Here::Gone;
        self.return_call(Some(Returned::Lost), returned);
        match self.stage {
            Stage::None => {}
            Stage::Postcopy => {
                self.cut_halves();
                self.end(None, returned);
            }
            // The destination notices by its silence, except for a finish that it has received.
            Stage::Starting => self.leave(returned),
            Stage::Preparing | Stage::Prepared | Stage::Copying | Stage::Stopping | Stage::FinishAsked => {
                if self.is_followed() && self.there == There::Incoming {
                    self.there = There::Nothing;
                }
                self.end(None, returned);
            }
            Stage::Started | Stage::Confirming | Stage::PostcopyArrived => self.end(None, returned),
        }
        true
    }

    fn destination_is_lost(&mut self) -> bool {
        if self.destination == Host::Down {
            return false;
        }
        self.destination = Host::Down;
        self.takes_part = false;
        self.died_there |= self.there != There::Nothing;
        self.there = There::Nothing;
        true
    }

    fn source_guest_dies(&mut self, returned: &mut Option<Returned>) -> bool {
        if self.here == Here::Gone {
            return false;
        }
        self.here = Here::Gone;
        self.died_here = true;
        match self.stage {
            Stage::Preparing | Stage::Prepared | Stage::Copying | Stage::Stopping => self.give_up(returned),
            Stage::Postcopy => {
                self.cut_halves();
                self.end(Some(Returned::Failed), returned);
            }
            // Nothing of the guest is needed here any more.
            Stage::PostcopyArrived if self.is_driven() => self.end(Some(Returned::Failed), returned),
            Stage::None
            | Stage::FinishAsked
            | Stage::Starting
            | Stage::Started
            | Stage::Confirming
            | Stage::PostcopyArrived => {}
        }
        true
    }

    fn destination_guest_dies(&mut self, returned: &mut Option<Returned>) -> bool {
        if self.there == There::Nothing {
            return false;
        }
        self.there = There::Nothing;
        self.died_there = true;
        if !self.is_joined() {
            return true;
        }
        match self.stage {
            // QEMU reports the broken stream to a daemon that follows it, and resumes the guest on its own.
            Stage::Copying | Stage::Stopping => self.give_up(returned),
            Stage::Preparing | Stage::Prepared | Stage::FinishAsked | Stage::Starting if self.is_driven() => {
                self.give_up(returned);
            }
            Stage::Postcopy => {
                self.cut_halves();
                self.return_call(Some(Returned::Failed), returned);
            }
            Stage::Preparing
            | Stage::Prepared
            | Stage::FinishAsked
            | Stage::Starting
            | Stage::Started
            | Stage::Confirming
            | Stage::PostcopyArrived
            | Stage::None => {}
        }
        true
    }

    fn copy_fails(&mut self, returned: &mut Option<Returned>) -> bool {
        let can = matches!(self.stage, Stage::Preparing | Stage::Prepared | Stage::Copying | Stage::Stopping)
            && self.is_driven();
        if can {
            self.give_up(returned);
        }
        can
    }

    fn source_is_back(&mut self, returned: &mut Option<Returned>) {
        self.source = Host::Up;
        if self.source_end != SourceEnd::Died || self.stage == Stage::None {
            return;
        }
        match self.stage {
            Stage::Preparing | Stage::Prepared | Stage::Copying | Stage::Stopping => self.give_up(returned),
            // Whether the guest was started over there is not known: it is left as it is.
            Stage::FinishAsked | Stage::Starting | Stage::Started => self.leave(returned),
            Stage::Postcopy | Stage::PostcopyArrived => self.source_end = SourceEnd::Drives,
            Stage::Confirming => {
                self.source_end = SourceEnd::Drives;
                self.here = Here::Gone;
                self.defined_here &= !self.defined_there;
                self.end(None, returned);
            }
            Stage::None => {}
        }
    }

    fn destination_is_back(&mut self, returned: &mut Option<Returned>) {
        self.destination = Host::Up;
        if self.there == There::Incoming && !self.takes_part {
            self.end_incoming(returned);
        }
        if self.stage == Stage::Starting && self.source_end == SourceEnd::Through {
            self.end(None, returned);
        }
    }

    /// The source has come to its end of it; the destination may still start the guest.
    fn leave(&mut self, returned: &mut Option<Returned>) {
        self.source_end = SourceEnd::Through;
        if self.stage != Stage::Starting || !self.is_followed() {
            self.end(None, returned);
        }
    }

    /// The destination's copy ends; a stream to it breaks.
    fn end_incoming(&mut self, returned: &mut Option<Returned>) {
        if self.there == There::Incoming {
            self.there = There::Nothing;
            if self.is_joined() && matches!(self.stage, Stage::Copying | Stage::Stopping) {
                self.give_up(returned);
            }
        }
    }

    fn cut_halves(&mut self) {
        if self.here == Here::Half {
            self.here = Here::HalfCut;
        }
        if self.there == There::Half {
            self.there = There::HalfCut;
        }
    }
}
