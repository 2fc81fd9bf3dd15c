//! Max-min fair rates by progressive filling: all flows rise together, and each stops at its own limit or where a
//! resource on its way is full.
//!
//! The method is that of Bertsekas and Gallager, "Data Networks", 2nd edition, 1992, section 6.5.2, in whole bytes a
//! second. A resource's share is what is left of its capacity divided by its rising flows, rounded down. In each round
//! * the flows whose limit is no more than the smallest share stop at their limit, the smallest limits first;
//! * if there are none, the flows of *all* resources with the smallest share stop at that share.
//!
//! Shares never fall on the way, so that the rounds are well defined, and nothing depends on the order in which flows
//! or resources were added. What rounding leaves of a full resource is less than a byte a second for each of its flows.
//!
//! With F flows, R resources and C crossings of flows and resources, one filling costs O(C log R + F log F).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// One network, or a part of it that shares nothing with the rest, being filled. Used again to spare allocations.
#[derive(Debug, Clone, Default)]
pub(super) struct MaxMin {
    resources: Vec<Resource>,
    /// How many of the resources are in use; the others keep their lists for the next time.
    used: usize,
    flows: Vec<Flow>,
    /// For each flow, one after the other, the resources that it crosses.
    crossings: Vec<usize>,
    /// The flows with limits, in the order of these.
    by_limit: Vec<(u64, usize)>,
    /// Resources with a share that is no more than their real one.
    by_share: BinaryHeap<Reverse<(u64, usize)>>,
    full: Vec<usize>,
}

#[derive(Debug, Clone, Default)]
struct Resource {
    left: u64,
    rising: u64,
    flows: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Flow {
    rate: Option<u64>,
    first_crossing: usize,
    crossings: usize,
}

impl MaxMin {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.flows.clear();
        self.crossings.clear();
        self.by_limit.clear();
    }

    /// Adds a resource and gives its number.
    pub(super) fn add_resource(&mut self, bytes_per_second: u64) -> usize {
        if self.used == self.resources.len() {
            self.resources.push(Resource::default());
        }
        let number = self.used;
        if let Some(resource) = self.resources.get_mut(number) {
            resource.left = bytes_per_second;
            resource.rising = 0;
            resource.flows.clear();
        }
        self.used += 1;
        number
    }

    /// Adds a flow that crosses these resources, at least one and each once, and gives its number.
    pub(super) fn add_flow(&mut self, limit: u64, crosses: impl Iterator<Item = usize>) -> usize {
        let (number, first_crossing) = (self.flows.len(), self.crossings.len());
        for crossed in crosses {
            if let Some(resource) = self.resources.get_mut(crossed) {
                resource.rising += 1;
                resource.flows.push(number);
            }
            self.crossings.push(crossed);
        }
        let crossings = self.crossings.len() - first_crossing;
        self.flows.push(Flow { rate: None, first_crossing, crossings });
        if limit < u64::MAX {
            self.by_limit.push((limit, number));
        }
        number
    }

    /// Gives every flow its rate.
    pub(super) fn fill(&mut self) {
        self.by_limit.sort_unstable();
        let shares = self.resources.iter().take(self.used).enumerate();
        let shares = shares.filter_map(|(number, resource)| Some(Reverse((resource.share()?, number))));
        let mut heap = std::mem::take(&mut self.by_share).into_vec();
        heap.clear();
        heap.extend(shares);
        self.by_share = heap.into();
        let mut next = 0;
        while let Some(share) = self.smallest_share() {
            match self.by_limit.get(next).copied() {
                Some((limit, flow)) if limit <= share => {
                    self.stop(flow, limit);
                    next += 1;
                }
                _ => self.stop_at_full(share),
            }
        }
    }

    /// A flow's rate; zero for a number that was not given, and before the filling.
    pub(super) fn rate(&self, flow: usize) -> u64 {
        self.flows.get(flow).and_then(|flow| flow.rate).unwrap_or(0)
    }

    /// Brings the top of the heap up to date: a share may have grown since it was noted, but never shrunk.
    fn smallest_share(&mut self) -> Option<u64> {
        loop {
            let mut top = self.by_share.peek_mut()?;
            let Reverse((noted, number)) = *top;
            match self.resources.get(number).and_then(Resource::share) {
                Some(share) if share == noted => return Some(share),
                Some(share) => *top = Reverse((share, number)),
                None => {
                    PeekMut::pop(top);
                }
            }
        }
    }

    /// Stops the flows of every resource with this share, which is the smallest. All such resources are found before
    /// any flow stops, since stopping flows may raise the others' shares.
    fn stop_at_full(&mut self, share: u64) {
        let mut full = std::mem::take(&mut self.full);
        while self.smallest_share() == Some(share) {
            full.extend(self.by_share.pop().map(|Reverse((_, number))| number));
        }
        for number in full.drain(..) {
            let flows = self.resources.get_mut(number).map(|resource| std::mem::take(&mut resource.flows));
            let flows = flows.unwrap_or_default();
            for flow in &flows {
                self.stop(*flow, share);
            }
            if let Some(resource) = self.resources.get_mut(number) {
                resource.flows = flows;
            }
        }
        self.full = full;
    }

    /// Lets a flow have its rate, unless it has one already.
    fn stop(&mut self, flow: usize, rate: u64) {
        let Some(flow) = self.flows.get_mut(flow).filter(|flow| flow.rate.is_none()) else { return };
        flow.rate = Some(rate);
        for crossed in self.crossings.iter().skip(flow.first_crossing).take(flow.crossings) {
            if let Some(resource) = self.resources.get_mut(*crossed) {
                // The rate is no more than the share, so that neither can run below zero.
                resource.left -= rate;
                resource.rising -= 1;
            }
        }
    }
}

impl Resource {
    /// What each rising flow may have; none without such flows.
    fn share(&self) -> Option<u64> {
        self.left.checked_div(self.rising)
    }
}
