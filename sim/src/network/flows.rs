//! Flows: opened, given another demand, closed, and queried for their rate.

use super::{FlowId, HostId, Network, NetworkError, Resource, Tcp};
use crate::slab::Key;

/// A stream of bytes that is to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Who sends.
    pub from: HostId,
    /// Who receives.
    pub to: HostId,
    /// What the sender would send if it could; `u64::MAX` is as much as there is.
    pub demand_bytes_per_second: u64,
    /// Bounds it further by what its one TCP connection can do on its path. Several connections are several flows,
    /// since each of them takes a share.
    pub tcp: Option<Tcp>,
}

#[derive(Debug, Clone)]
pub(super) struct OpenFlow {
    flow: Flow,
    /// The smaller of its demand and its connection's bound.
    pub(super) limit_bytes_per_second: u64,
    /// The pipes that it crosses, each once.
    pub(super) way: Vec<Key>,
    /// As it was settled last.
    pub(super) rate_bytes_per_second: u64,
}

impl Network {
    /// Opens a flow. It has no rate until the network is settled.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] unless the hosts are two and known.
    pub fn open(&mut self, flow: Flow) -> Result<FlowId, NetworkError> {
        let way = self.way(flow.from, flow.to)?;
        let limit_bytes_per_second = self.limit_of(&flow)?;
        let open = OpenFlow { flow, limit_bytes_per_second, way, rate_bytes_per_second: 0 };
        let key = self.flows.insert(open);
        self.join(key);
        Ok(FlowId(key))
    }

    /// Gives a flow another demand.
    ///
    /// # Errors
    ///
    /// [`NetworkError::UnknownFlow`] if it is not open.
    pub fn set_demand(&mut self, flow: FlowId, bytes_per_second: u64) -> Result<(), NetworkError> {
        let open = self.flows.get_mut(flow.0).ok_or(NetworkError::UnknownFlow(flow))?;
        open.flow.demand_bytes_per_second = bytes_per_second;
        let wanted = open.flow;
        self.set_limit(flow.0, self.limit_of(&wanted)?);
        Ok(())
    }

    /// Closes a flow, whose name means nothing from here on.
    ///
    /// # Errors
    ///
    /// [`NetworkError::UnknownFlow`] if it is not open.
    pub fn close(&mut self, flow: FlowId) -> Result<(), NetworkError> {
        self.leave(flow.0);
        self.flows.remove(flow.0).map(|_| ()).ok_or(NetworkError::UnknownFlow(flow))
    }

    /// Bytes a second of a flow as they were settled last; none if it is not open.
    #[must_use]
    pub fn rate(&self, flow: FlowId) -> Option<u64> {
        self.flows.get(flow.0).map(|open| open.rate_bytes_per_second)
    }

    /// What a flow would have if it were alone: the smaller of its demand and its connection's bound, in bytes a
    /// second.
    #[must_use]
    pub fn limit(&self, flow: FlowId) -> Option<u64> {
        self.flows.get(flow.0).map(|open| open.limit_bytes_per_second)
    }

    /// The sum of the settled rates of the flows that cross a resource, in bytes a second.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] if the network has no such resource.
    pub fn load(&self, resource: Resource) -> Result<u64, NetworkError> {
        let pipe = self.pipes.get(self.pipe(resource)?);
        let flows = pipe.into_iter().flat_map(|pipe| &pipe.flows);
        Ok(flows.filter_map(|key| self.rate(FlowId(*key))).fold(0, u64::saturating_add))
    }

    /// Takes the flows from one host to another, and what delays mean for those of the other direction, up to a change
    /// of the path there.
    pub(super) fn reroute(&mut self, from: HostId, to: HostId) -> Result<(), NetworkError> {
        for (there, back) in [(from, to), (to, from)] {
            let way = self.way(there, back)?;
            let leaving: Vec<Key> = self.leaving(there)?.to_vec();
            for key in leaving {
                let wanted = self.flows.get(key).map(|open| open.flow).filter(|flow| flow.to == back);
                let Some(wanted) = wanted else { continue };
                self.take_way(key, &way);
                self.set_limit(key, self.limit_of(&wanted)?);
            }
        }
        Ok(())
    }

    fn limit_of(&self, flow: &Flow) -> Result<u64, NetworkError> {
        let (there, back) = (self.line(flow.from, flow.to)?, self.line(flow.to, flow.from)?);
        let bound = flow.tcp.map_or(u64::MAX, |tcp| tcp.bound_bytes_per_second(&there, &back));
        Ok(bound.min(flow.demand_bytes_per_second))
    }

    fn set_limit(&mut self, key: Key, bytes_per_second: u64) {
        let Some(open) = self.flows.get_mut(key) else { return };
        if std::mem::replace(&mut open.limit_bytes_per_second, bytes_per_second) != bytes_per_second {
            self.touched.extend(open.way.first());
        }
    }

    fn take_way(&mut self, key: Key, way: &[Key]) {
        if self.flows.get(key).is_none_or(|open| open.way == way) {
            return;
        }
        self.leave(key);
        if let Some(open) = self.flows.get_mut(key) {
            open.way = way.to_vec();
        }
        self.join(key);
    }

    /// Enters a flow at the pipes on its way.
    fn join(&mut self, key: Key) {
        let Some(open) = self.flows.get(key) else { return };
        self.touched.extend(open.way.first());
        for pipe in &open.way {
            if let Some(pipe) = self.pipes.get_mut(*pipe) {
                pipe.flows.push(key);
            }
        }
    }

    /// Strikes a flow out at the pipes on its way; what it leaves there is the others'.
    fn leave(&mut self, key: Key) {
        let Some(open) = self.flows.get(key) else { return };
        for pipe in &open.way {
            self.touched.push(*pipe);
            let Some(pipe) = self.pipes.get_mut(*pipe) else { continue };
            if let Some(place) = pipe.flows.iter().position(|flow| *flow == key) {
                pipe.flows.swap_remove(place);
            }
        }
    }
}
