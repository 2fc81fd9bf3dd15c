//! What the network is made of: hosts with their cards, shared segments, paths, and capacities that change.
//!
//! Everything that carries bytes is a pipe: each card is two, each segment is one. Only a pipe's capacity and the flows
//! that cross it matter for rates. Nothing here works out a rate; it only notes which pipes a change touched.

use super::{Capacity, HostId, Line, Network, NetworkError, Path, SegmentId};
use crate::random::Random;
use crate::slab::Key;

/// A host's card; both directions are full at the same time (full duplex).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NetworkCard {
    /// What the host can send.
    pub transmit: Capacity,
    /// What the host can take in.
    pub receive: Capacity,
}

/// Something that flows share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// A card's sending side.
    Transmit(HostId),
    /// A card's receiving side.
    Receive(HostId),
    /// A shared segment.
    Segment(SegmentId),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Host {
    transmit: Key,
    receive: Key,
}

#[derive(Debug, Clone)]
pub(super) struct Pipe {
    capacity: Capacity,
    pub(super) bytes_per_second: u64,
    /// The flows that cross it, in no particular order.
    pub(super) flows: Vec<Key>,
}

impl Network {
    /// Adds a host. It has the network's line to and from every other host until it gets paths of its own.
    pub fn add_host(&mut self, card: NetworkCard) -> HostId {
        let (transmit, receive) = (self.add_pipe(card.transmit), self.add_pipe(card.receive));
        HostId(self.hosts.insert(Host { transmit, receive }))
    }

    /// Removes a host and the paths from and to it.
    ///
    /// # Errors
    ///
    /// [`NetworkError::UnknownHost`], or [`NetworkError::HostInUse`] while flows begin or end there.
    pub fn remove_host(&mut self, host: HostId) -> Result<(), NetworkError> {
        let Host { transmit, receive } = *self.host(host)?;
        if [transmit, receive].iter().any(|pipe| self.is_crossed(*pipe)) {
            return Err(NetworkError::HostInUse(host));
        }
        self.hosts.remove(host.0);
        self.remove_pipe(transmit);
        self.remove_pipe(receive);
        self.paths.retain(|(from, to), _| *from != host && *to != host);
        Ok(())
    }

    /// Adds a segment that paths may share.
    pub fn add_segment(&mut self, capacity: Capacity) -> SegmentId {
        let pipe = self.add_pipe(capacity);
        SegmentId(self.segments.insert(pipe))
    }

    /// Removes a segment.
    ///
    /// # Errors
    ///
    /// [`NetworkError::UnknownSegment`], or [`NetworkError::SegmentInUse`] while a path crosses it.
    pub fn remove_segment(&mut self, segment: SegmentId) -> Result<(), NetworkError> {
        let pipe = self.segment(segment)?;
        if self.paths.values().any(|path| path.segments.contains(&segment)) {
            return Err(NetworkError::SegmentInUse(segment));
        }
        self.segments.remove(segment.0);
        self.remove_pipe(pipe);
        Ok(())
    }

    /// Gives one direction between two hosts a path of its own. Flows that are open there take the new path, and those
    /// of the other direction feel its delay.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] unless the hosts are two and known, and each segment is known and named once.
    pub fn set_path(&mut self, from: HostId, to: HostId, path: Path) -> Result<(), NetworkError> {
        self.two_hosts(from, to)?;
        for (index, segment) in path.segments.iter().enumerate() {
            self.segment(*segment)?;
            if path.segments.iter().take(index).any(|earlier| earlier == segment) {
                return Err(NetworkError::RepeatedSegment(*segment));
            }
        }
        self.paths.insert((from, to), path);
        self.reroute(from, to)
    }

    /// Gives one direction between two hosts the network's line again.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] unless the hosts are two and known.
    pub fn remove_path(&mut self, from: HostId, to: HostId) -> Result<(), NetworkError> {
        self.two_hosts(from, to)?;
        self.paths.remove(&(from, to));
        self.reroute(from, to)
    }

    /// The line from one host to another.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] unless the hosts are two and known.
    pub fn line(&self, from: HostId, to: HostId) -> Result<Line, NetworkError> {
        self.two_hosts(from, to)?;
        Ok(self.paths.get(&(from, to)).map_or(self.line, |path| path.line))
    }

    /// How long a message from one host to another takes; see [`Line::delay_ns`].
    ///
    /// # Errors
    ///
    /// [`NetworkError`] unless the hosts are two and known.
    pub fn delay_ns(&self, from: HostId, to: HostId, random: &mut Random) -> Result<u64, NetworkError> {
        Ok(self.line(from, to)?.delay_ns(random))
    }

    /// Whether nothing gets from one host to the other now, since something on the way has an outage.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] unless the hosts are two and known.
    pub fn is_cut(&self, from: HostId, to: HostId) -> Result<bool, NetworkError> {
        let way = self.way(from, to)?;
        Ok(way.iter().any(|pipe| self.pipes.get(*pipe).is_none_or(|pipe| pipe.bytes_per_second == 0)))
    }

    /// What the way from one host to another would carry now without other flows, in bytes a second.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] unless the hosts are two and known.
    pub fn way_bytes_per_second(&self, from: HostId, to: HostId) -> Result<u64, NetworkError> {
        let way = self.way(from, to)?;
        let pipes = way.iter().map(|pipe| self.pipes.get(*pipe).map_or(0, |pipe| pipe.bytes_per_second));
        Ok(pipes.min().unwrap_or(0))
    }

    /// Replaces a capacity; its times are the simulation's, and its value for the present instant holds at once.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] if the network has no such resource.
    pub fn set_capacity(&mut self, resource: Resource, capacity: Capacity) -> Result<(), NetworkError> {
        let key = self.pipe(resource)?;
        if let Some(pipe) = self.pipes.get_mut(key) {
            let old = std::mem::replace(&mut pipe.capacity, capacity);
            self.forget_change(key, &old);
            self.bring_up_to_date(key);
        }
        Ok(())
    }

    /// Bytes a second that a resource carries now.
    ///
    /// # Errors
    ///
    /// [`NetworkError`] if the network has no such resource.
    pub fn capacity(&self, resource: Resource) -> Result<u64, NetworkError> {
        let key = self.pipe(resource)?;
        Ok(self.pipes.get(key).map_or(0, |pipe| pipe.bytes_per_second))
    }

    /// The present instant.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// The first instant after the present one at which a capacity changes by itself.
    #[must_use]
    pub fn next_change_at(&self) -> Option<u64> {
        self.due.first().map(|(at_ns, _)| *at_ns)
    }

    /// Moves on to an instant, with all changes of capacities until then; [`settle`](Self::settle) gives their effect.
    /// Time does not run backwards: an earlier instant changes nothing.
    pub fn advance_to(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
        while let Some((_, key)) = self.due.first().copied().filter(|(at_ns, _)| *at_ns <= self.now_ns) {
            self.due.pop_first();
            self.bring_up_to_date(key);
        }
    }

    /// The pipes from one host to the other, each once.
    pub(super) fn way(&self, from: HostId, to: HostId) -> Result<Vec<Key>, NetworkError> {
        self.two_hosts(from, to)?;
        let segments = self.paths.get(&(from, to)).into_iter().flat_map(|path| &path.segments);
        let mut way = vec![self.host(from)?.transmit, self.host(to)?.receive];
        for segment in segments {
            way.push(self.segment(*segment)?);
        }
        Ok(way)
    }

    /// The flows that leave a host.
    pub(super) fn leaving(&self, host: HostId) -> Result<&[Key], NetworkError> {
        let pipe = self.pipes.get(self.host(host)?.transmit);
        Ok(pipe.map_or(&[], |pipe| pipe.flows.as_slice()))
    }

    pub(super) fn pipe(&self, resource: Resource) -> Result<Key, NetworkError> {
        match resource {
            Resource::Transmit(host) => Ok(self.host(host)?.transmit),
            Resource::Receive(host) => Ok(self.host(host)?.receive),
            Resource::Segment(segment) => self.segment(segment),
        }
    }

    fn two_hosts(&self, from: HostId, to: HostId) -> Result<(), NetworkError> {
        self.host(from)?;
        self.host(to)?;
        if from == to { Err(NetworkError::SameHost(from)) } else { Ok(()) }
    }

    fn host(&self, host: HostId) -> Result<&Host, NetworkError> {
        self.hosts.get(host.0).ok_or(NetworkError::UnknownHost(host))
    }

    fn segment(&self, segment: SegmentId) -> Result<Key, NetworkError> {
        self.segments.get(segment.0).copied().ok_or(NetworkError::UnknownSegment(segment))
    }

    fn add_pipe(&mut self, capacity: Capacity) -> Key {
        let key = self.pipes.insert(Pipe { capacity, bytes_per_second: 0, flows: Vec::new() });
        self.bring_up_to_date(key);
        key
    }

    fn remove_pipe(&mut self, key: Key) {
        if let Some(pipe) = self.pipes.remove(key) {
            self.forget_change(key, &pipe.capacity);
        }
    }

    fn forget_change(&mut self, key: Key, capacity: &Capacity) {
        if let Some(at_ns) = capacity.next_change_after(self.now_ns) {
            self.due.remove(&(at_ns, key));
        }
    }

    fn is_crossed(&self, pipe: Key) -> bool {
        self.pipes.get(pipe).is_some_and(|pipe| !pipe.flows.is_empty())
    }

    /// Gives a pipe its capacity of the present instant, and notes when the next one holds.
    fn bring_up_to_date(&mut self, key: Key) {
        let Some(pipe) = self.pipes.get_mut(key) else { return };
        self.due.extend(pipe.capacity.next_change_after(self.now_ns).map(|at_ns| (at_ns, key)));
        let bytes_per_second = pipe.capacity.at(self.now_ns);
        if std::mem::replace(&mut pipe.bytes_per_second, bytes_per_second) != bytes_per_second {
            self.touched.push(key);
        }
    }
}
