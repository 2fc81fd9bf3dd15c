//! Rates after changes: only what hangs together with a change is worked out again.
//!
//! A change touches pipes; the flows on them cross other pipes, on which there are other flows. All that is reached so,
//! the connected component, is computed again; outside of it no rate can have changed, since nothing is shared.
//!
//! Settling costs O(C log P + F log F) for the F flows, P pipes and C crossings of the components that were touched
//! since the last rebalance, once for all changes together; the rest of the network costs nothing. Where everything
//! hangs together, as in a fleet of hosts that all send to each other, that is the whole network.

use super::{FlowId, Network, flows::OpenFlow, max_min::MaxMin, topology::Pipe};
use crate::slab::{Key, Slab};

/// A flow's new rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RateChange {
    /// Which one.
    pub flow: FlowId,
    /// What it has from now on.
    pub bytes_per_second: u64,
}

/// The connected component that is being gathered. Used again to spare allocations.
#[derive(Debug, Clone, Default)]
pub(super) struct Component {
    /// Distinguishes this gathering's marks from those of earlier ones.
    round: u64,
    /// By slot: in which round a pipe was reached last, and its number there.
    pipe_marks: Vec<(u64, usize)>,
    /// By slot: in which round a flow was reached last.
    flow_marks: Vec<u64>,
    pipes: Vec<Key>,
    /// In the order of their numbers.
    flows: Vec<Key>,
}

impl Network {
    /// Gives all flows their max-min fair rates and returns those with another rate than before, in the order of
    /// their names.
    ///
    /// No resource carries more than its capacity and no flow has more than its limit. A flow that has less than its
    /// limit crosses a resource that is full, up to less than a byte a second for each of its flows, and on which no
    /// flow has more.
    pub fn settle(&mut self) -> Vec<RateChange> {
        self.component.gather(&mut self.touched, &self.pipes, &self.flows, &mut self.max_min);
        self.max_min.fill();
        let mut changes = Vec::new();
        for (number, key) in self.component.flows.iter().enumerate() {
            let Some(open) = self.flows.get_mut(*key) else { continue };
            let bytes_per_second = self.max_min.rate(number);
            self.rates_worked_out += 1;
            if std::mem::replace(&mut open.rate_bytes_per_second, bytes_per_second) != bytes_per_second {
                changes.push(RateChange { flow: FlowId(*key), bytes_per_second });
            }
        }
        changes.sort_unstable();
        changes
    }

    /// How many rates were worked out since the network was made, whether they changed or not: what rebalancing cost.
    #[must_use]
    pub fn rates_worked_out(&self) -> u64 {
        self.rates_worked_out
    }
}

impl Component {
    /// Follows flows and pipes from those that were touched, and puts all of them into `max_min`.
    fn gather(
        &mut self,
        touched: &mut Vec<Key>,
        pipes: &Slab<Pipe>,
        flows: &Slab<OpenFlow>,
        max_min: &mut MaxMin,
    ) {
        self.round += 1;
        self.pipe_marks.resize(pipes.slots(), (0, 0));
        self.flow_marks.resize(flows.slots(), 0);
        self.pipes.clear();
        self.flows.clear();
        max_min.clear();
        for key in touched.drain(..) {
            self.reach(key, pipes, max_min);
        }
        let mut next = 0;
        while let Some(pipe) = self.pipes.get(next).and_then(|key| pipes.get(*key)) {
            next += 1;
            for key in &pipe.flows {
                let Some(mark) = self.flow_marks.get_mut(key.slot) else { continue };
                let Some(open) = flows.get(*key) else { continue };
                if std::mem::replace(mark, self.round) == self.round {
                    continue;
                }
                self.flows.push(*key);
                for crossed in &open.way {
                    self.reach(*crossed, pipes, max_min);
                }
                let numbers = open.way.iter().filter_map(|crossed| self.pipe_marks.get(crossed.slot));
                max_min.add_flow(open.limit_bytes_per_second, numbers.map(|(_, number)| *number));
            }
        }
    }

    /// Notes a pipe, if it is still there and was not noted before.
    fn reach(&mut self, key: Key, pipes: &Slab<Pipe>, max_min: &mut MaxMin) {
        let Some(pipe) = pipes.get(key) else { return };
        let Some(mark) = self.pipe_marks.get_mut(key.slot) else { return };
        if mark.0 != self.round {
            *mark = (self.round, max_min.add_resource(pipe.bytes_per_second));
            self.pipes.push(key);
        }
    }
}
