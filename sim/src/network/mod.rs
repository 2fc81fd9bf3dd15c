//! The network between many hosts: who may send how fast to whom, in whole bytes a second.
//!
//! Hosts have a network card each; paths between them may share segments, such as the uplink of a switch or a line to
//! another town. Whatever moves many bytes is a flow, and the flows that meet anywhere share what is there max-min
//! fairly, as long-lived TCP connections roughly do ([`Network::settle`]). Messages that are too small to matter
//! take their line's delay ([`Line::delay_ns`]). A capacity may change with time ([`Capacity`]), down to zero.
//!
//! A simulator moves the network to an instant ([`Network::advance_to`]), changes what it wants, and settles. From then
//! until [`Network::next_change_at`] all rates are constant.
//!
//! It must never read a clock, draw from anything but the seed it is given, use floating point, or let the order in
//! which things were added decide anything.

mod capacity;
mod error;
mod flows;
mod line;
mod max_min;
mod rebalance;
mod tcp;
mod topology;

pub use capacity::{Capacity, Step, TraceError};
pub use error::NetworkError;
pub use flows::Flow;
pub use line::{Line, Loss, Path};
pub use rebalance::RateChange;
pub use tcp::{Tcp, loss_bound_bytes_per_second, window_bound_bytes_per_second};
pub use topology::{NetworkCard, Resource};

use std::collections::{BTreeMap, BTreeSet};

use flows::OpenFlow;
use max_min::MaxMin;
use rebalance::Component;
use topology::{Host, Pipe};

use crate::slab::{Key, Slab};

/// Names a host, for as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(Key);

/// Names a shared segment, for as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(Key);

/// Names a flow, for as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(Key);

/// Hosts, the paths between them, and the flows on those.
#[derive(Debug, Clone)]
pub struct Network {
    now_ns: u64,
    /// Between hosts that have no path of their own.
    line: Line,
    hosts: Slab<Host>,
    /// Each segment's pipe.
    segments: Slab<Key>,
    paths: BTreeMap<(HostId, HostId), Path>,
    pipes: Slab<Pipe>,
    flows: Slab<OpenFlow>,
    /// When which pipe's capacity changes next.
    due: BTreeSet<(u64, Key)>,
    /// Pipes whose flows may have other rates than those that were settled.
    touched: Vec<Key>,
    component: Component,
    max_min: MaxMin,
    rates_worked_out: u64,
}

impl Network {
    /// A network without hosts, at the instant zero. Hosts that get no path of their own have `line` between them, in
    /// both directions and without shared segments.
    #[must_use]
    pub fn new(line: Line) -> Self {
        Self {
            now_ns: 0,
            line,
            hosts: Slab::new(),
            segments: Slab::new(),
            paths: BTreeMap::new(),
            pipes: Slab::new(),
            flows: Slab::new(),
            due: BTreeSet::new(),
            touched: Vec::new(),
            component: Component::default(),
            max_min: MaxMin::default(),
            rates_worked_out: 0,
        }
    }
}
