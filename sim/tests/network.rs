//! The network between hosts: by hand, against two slower ways of working rates out, and under random changes.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;
use whimbrel_sim::network::{
    Capacity, Flow, FlowId, HostId, Line, Loss, Network, NetworkCard, NetworkError, Path, Resource,
    SegmentId, Step, Tcp,
};
use whimbrel_sim::random::Random;

const ANY: u64 = u64::MAX;

fn card(transmit: u64, receive: u64) -> NetworkCard {
    NetworkCard { transmit: Capacity::constant(transmit), receive: Capacity::constant(receive) }
}

fn flow(from: HostId, to: HostId, demand_bytes_per_second: u64) -> Flow {
    Flow { from, to, demand_bytes_per_second, tcp: None }
}

fn rates(network: &Network, flows: &[FlowId]) -> Vec<u64> {
    flows.iter().map(|flow| network.rate(*flow).unwrap()).collect()
}

/// What a rate depends on: every resource's capacity; every flow's limit and the resources that it crosses.
type Shares = (BTreeMap<Resource, u64>, Vec<(u64, Vec<Resource>)>);

/// Filling as the book has it: all rates rise by one byte a second at a time.
fn byte_by_byte((capacities, flows): &Shares) -> Vec<u64> {
    let mut rates = vec![0; flows.len()];
    let mut rising: BTreeSet<usize> = (0..flows.len()).collect();
    while !rising.is_empty() {
        rising.retain(|flow| rates[*flow] < flows[*flow].0);
        let crosses = |flow: usize, resource: &Resource| flows[flow].1.contains(resource);
        let is_full = |resource: &Resource| {
            let used: u64 = (0..flows.len()).filter(|f| crosses(*f, resource)).map(|f| rates[f]).sum();
            let rising = rising.iter().filter(|flow| crosses(**flow, resource)).count();
            capacities[resource] - used < u64::try_from(rising).unwrap()
        };
        let full: BTreeSet<Resource> =
            capacities.keys().filter(|resource| is_full(resource)).copied().collect();
        rising.retain(|flow| flows[*flow].1.iter().all(|resource| !full.contains(resource)));
        for flow in &rising {
            rates[*flow] += 1;
        }
    }
    rates
}

/// The same by division, looking through everything in every round.
fn by_rounds((capacities, flows): &Shares) -> Vec<u64> {
    let mut rates: Vec<Option<u64>> = vec![None; flows.len()];
    loop {
        let share = |resource: &Resource| {
            let here = || (0..flows.len()).filter(|flow| flows[*flow].1.contains(resource));
            let used: u64 = here().filter_map(|flow| rates[flow]).sum();
            let rising = here().filter(|flow| rates[*flow].is_none()).count();
            (capacities[resource] - used).checked_div(u64::try_from(rising).unwrap())
        };
        let shares: BTreeMap<Resource, u64> =
            capacities.keys().filter_map(|resource| Some((*resource, share(resource)?))).collect();
        let Some(smallest) = shares.values().min().copied() else { break };
        let rising: Vec<usize> = (0..flows.len()).filter(|flow| rates[*flow].is_none()).collect();
        if rising.iter().any(|flow| flows[*flow].0 <= smallest) {
            for flow in rising.into_iter().filter(|flow| flows[*flow].0 <= smallest) {
                rates[flow] = Some(flows[flow].0);
            }
            continue;
        }
        for flow in rising {
            if flows[flow].1.iter().any(|resource| shares.get(resource) == Some(&smallest)) {
                rates[flow] = Some(smallest);
            }
        }
    }
    rates.into_iter().map(|rate| rate.unwrap()).collect()
}

/// The definition: nothing is overloaded, no flow exceeds its demand, and a flow below its demand crosses a full
/// resource on which no flow has more. Whole bytes leave less than one for each flow there.
fn check_fair((capacities, flows): &Shares, rates: &[u64]) {
    let load = |resource: &Resource| {
        let here = flows.iter().zip(rates).filter(|((_, crossed), _)| crossed.contains(resource));
        here.fold((0_u128, 0_u128, 0), |(sum, count, most), (_, rate)| {
            (sum + u128::from(*rate), count + 1, most.max(*rate))
        })
    };
    for (resource, capacity) in capacities {
        assert!(load(resource).0 <= u128::from(*capacity), "{resource:?} is overloaded");
    }
    for ((limit, crossed), rate) in flows.iter().zip(rates) {
        assert!(rate <= limit, "{rate} of {limit}");
        let holds_up = |resource: &Resource| {
            let (sum, count, most) = load(resource);
            u128::from(capacities[resource]) - sum < count && most == *rate
        };
        assert!(rate == limit || crossed.iter().any(holds_up), "nothing holds {rate} of {limit} up");
    }
}

#[test]
fn flows_from_one_host_share_its_card() {
    let mut network = Network::new(Line::default());
    let hosts: Vec<HostId> = (0..4).map(|_| network.add_host(card(100, 1000))).collect();
    let flows: Vec<FlowId> = (1..4).map(|to| network.open(flow(hosts[0], hosts[to], ANY)).unwrap()).collect();
    assert_eq!(rates(&network, &flows), [0, 0, 0]);
    let changes = network.settle();
    assert_eq!(changes.iter().map(|change| change.flow).collect::<Vec<_>>(), flows);
    // A byte a second is left over, since three equal flows cannot have it.
    assert_eq!(rates(&network, &flows), [33, 33, 33]);
    assert_eq!(network.load(Resource::Transmit(hosts[0])), Ok(99));
    network.set_demand(flows[1], 10).unwrap();
    let told: Vec<(FlowId, u64)> =
        network.settle().iter().map(|change| (change.flow, change.bytes_per_second)).collect();
    assert_eq!(told, [(flows[0], 45), (flows[1], 10), (flows[2], 45)]);
    network.close(flows[0]).unwrap();
    assert_eq!(network.settle().len(), 1);
    assert_eq!((network.rate(flows[0]), rates(&network, &flows[1..])), (None, vec![10, 90]));
    assert!(network.settle().is_empty());
}

/// The book's kind of example: a long flow over two lines, and a short one on each.
#[test]
fn a_flow_over_two_segments_has_the_smaller_share() {
    let mut network = Network::new(Line::default());
    let hosts: Vec<HostId> = (0..3).map(|_| network.add_host(card(1000, 1000))).collect();
    let wide = network.add_segment(Capacity::constant(100));
    let narrow = network.add_segment(Capacity::constant(40));
    let path = |segments: &[SegmentId]| Path { line: Line::default(), segments: segments.to_vec() };
    network.set_path(hosts[0], hosts[1], path(&[wide])).unwrap();
    network.set_path(hosts[0], hosts[2], path(&[wide, narrow])).unwrap();
    network.set_path(hosts[1], hosts[2], path(&[narrow])).unwrap();
    let flows: Vec<FlowId> = [(0, 1), (0, 2), (1, 2)]
        .map(|(from, to)| network.open(flow(hosts[from], hosts[to], ANY)).unwrap())
        .to_vec();
    network.settle();
    assert_eq!(rates(&network, &flows), [80, 20, 20]);
    // The other way round there is no segment, and the long flow moves to a path without one.
    network.remove_path(hosts[0], hosts[2]).unwrap();
    network.settle();
    assert_eq!(rates(&network, &flows), [100, 900, 40]);
    assert_eq!(network.remove_segment(wide), Err(NetworkError::SegmentInUse(wide)));
    network.remove_path(hosts[0], hosts[1]).unwrap();
    // A path goes with either of its hosts.
    let gone = network.add_host(card(1, 1));
    network.set_path(gone, hosts[0], path(&[wide])).unwrap();
    network.set_path(hosts[0], gone, path(&[wide])).unwrap();
    network.remove_host(gone).unwrap();
    assert_eq!(network.remove_segment(wide), Ok(()));
    assert_eq!(network.capacity(Resource::Segment(wide)), Err(NetworkError::UnknownSegment(wide)));
    network.settle();
    assert_eq!(rates(&network, &flows), [500, 500, 40]);
}

#[test]
fn an_outage_stops_what_crosses_it_and_nothing_else() {
    let mut network = Network::new(Line::default());
    let hosts: Vec<HostId> = (0..3).map(|_| network.add_host(card(100, 100))).collect();
    let uplink = network.add_segment(Capacity::constant(60).with_outage(1_000, 2_000));
    let over = Path { line: Line::default(), segments: vec![uplink] };
    network.set_path(hosts[0], hosts[1], over).unwrap();
    let flows = [(0, 1), (0, 2)].map(|(from, to)| network.open(flow(hosts[from], hosts[to], ANY)).unwrap());
    network.settle();
    assert_eq!(rates(&network, &flows), [50, 50]);
    assert_eq!(network.next_change_at(), Some(1_000));
    network.advance_to(999);
    assert!(network.settle().is_empty());
    network.advance_to(1_000);
    assert_eq!(network.settle().len(), 2);
    assert_eq!(rates(&network, &flows), [0, 100]);
    assert_eq!(network.is_cut(hosts[0], hosts[1]), Ok(true));
    assert_eq!(network.is_cut(hosts[1], hosts[0]), Ok(false));
    // Time does not run backwards.
    network.advance_to(500);
    assert_eq!((network.now_ns(), network.next_change_at()), (1_000, Some(2_000)));
    network.advance_to(5_000);
    network.settle();
    assert_eq!(rates(&network, &flows), [50, 50]);
    assert_eq!(network.next_change_at(), None);
}

#[test]
fn a_trace_is_followed_and_may_be_replaced() {
    let steps: Vec<Step> = [(0, 50), (10, 20), (20, 80), (30, 5)]
        .map(|(at_ns, bytes_per_second)| Step { at_ns, bytes_per_second })
        .to_vec();
    let trace = Capacity::from_trace(&steps).unwrap();
    let mut network = Network::new(Line::default());
    let from = network.add_host(NetworkCard { transmit: trace, receive: Capacity::constant(0) });
    let to = network.add_host(card(0, 1000));
    let only = network.open(flow(from, to, 60)).unwrap();
    let mut seen = Vec::new();
    network.settle();
    while let Some(at_ns) = network.next_change_at().filter(|at_ns| *at_ns < 30) {
        seen.push((network.now_ns(), network.rate(only).unwrap()));
        network.advance_to(at_ns);
        network.settle();
    }
    seen.push((network.now_ns(), network.rate(only).unwrap()));
    assert_eq!(seen, [(0, 50), (10, 20), (20, 60)]);
    network.set_capacity(Resource::Transmit(from), Capacity::constant(7).with_outage(40, 50)).unwrap();
    assert_eq!(network.next_change_at(), Some(40));
    network.settle();
    assert_eq!(network.rate(only), Some(7));
    // A host that comes while time has passed has what its trace says for now.
    let late = network.add_host(card(0, 0));
    let trace = Capacity::from_trace(&steps).unwrap();
    network.set_capacity(Resource::Receive(late), trace).unwrap();
    assert_eq!(network.capacity(Resource::Receive(late)), Ok(80));
    assert_eq!(network.next_change_at(), Some(30));
    network.remove_host(late).unwrap();
    assert_eq!(network.next_change_at(), Some(40));
}

#[test]
fn distance_and_loss_bound_a_connection() {
    let lossy = |per_million| Line {
        latency_ns: 10_000_000,
        jitter_ns: 0,
        loss: Loss::per_million(per_million).unwrap(),
    };
    let mut network = Network::new(lossy(0));
    let hosts: Vec<HostId> = (0..2).map(|_| network.add_host(card(1 << 30, 1 << 30))).collect();
    let tcp = Some(Tcp { window_bytes: 1 << 20, segment_bytes: 1448 });
    let one = network.open(Flow { tcp, ..flow(hosts[0], hosts[1], ANY) }).unwrap();
    network.settle();
    // A mebibyte in each 20 ms.
    assert_eq!(network.rate(one), Some((1 << 20) * 50));
    assert_eq!(network.line(hosts[0], hosts[1]), Ok(lossy(0)));
    // A longer way back slows it down although no byte of it goes there.
    let back = Path { line: Line { latency_ns: 30_000_000, ..lossy(0) }, segments: vec![] };
    network.set_path(hosts[1], hosts[0], back).unwrap();
    network.settle();
    assert_eq!(network.rate(one), Some((1 << 20) * 25));
    // 1448 / 0.04 s × √(3/2p) with p = 1/1000 is 36,200 × 38.72983: 1,402,019.97 bytes a second.
    network.set_path(hosts[0], hosts[1], Path { line: lossy(1000), segments: vec![] }).unwrap();
    network.settle();
    assert_eq!((network.rate(one), network.limit(one)), (Some(1_402_019), Some(1_402_019)));
    network.set_demand(one, 1000).unwrap();
    network.settle();
    assert_eq!((network.rate(one), network.limit(one)), (Some(1000), Some(1000)));
    let delay = |from, to| network.delay_ns(hosts[from], hosts[to], &mut Random::from_seed(1));
    assert_eq!((delay(0, 1), delay(1, 0)), (Ok(10_000_000), Ok(30_000_000)));
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut network = Network::new(Line::default());
    let (one, two) = (network.add_host(card(10, 10)), network.add_host(card(10, 10)));
    let gone = network.add_host(card(10, 10));
    network.remove_host(gone).unwrap();
    let segment = network.add_segment(Capacity::constant(1));
    let open = network.open(flow(one, two, ANY)).unwrap();
    network.settle();
    let twice = Path { line: Line::default(), segments: vec![segment, segment] };
    let refusals = [
        (network.open(flow(one, one, 1)).map(|_| ()), NetworkError::SameHost(one)),
        (network.open(flow(one, gone, 1)).map(|_| ()), NetworkError::UnknownHost(gone)),
        (network.remove_host(gone), NetworkError::UnknownHost(gone)),
        (network.remove_host(two), NetworkError::HostInUse(two)),
        (network.set_path(one, two, twice), NetworkError::RepeatedSegment(segment)),
        (network.set_path(one, one, Path::default()), NetworkError::SameHost(one)),
        (network.line(gone, one).map(|_| ()), NetworkError::UnknownHost(gone)),
        (network.is_cut(one, one).map(|_| ()), NetworkError::SameHost(one)),
    ];
    for (result, error) in refusals {
        assert_eq!(result, Err(error));
        assert!(error.to_string().starts_with(char::is_lowercase));
    }
    assert!(network.settle().is_empty());
    assert_eq!(network.rate(open), Some(10));
    network.close(open).unwrap();
    assert_eq!(network.close(open), Err(NetworkError::UnknownFlow(open)));
    assert_eq!(network.set_demand(open, 1), Err(NetworkError::UnknownFlow(open)));
    assert_eq!(network.remove_host(two), Ok(()));
}

/// Fifty pairs of hosts: a change at one of them costs that pair's flows, not the others'.
#[test]
fn only_what_hangs_together_is_worked_out_again() {
    let mut network = Network::new(Line::default());
    let hosts: Vec<HostId> = (0..100).map(|_| network.add_host(card(90, 90))).collect();
    let mut flows = Vec::new();
    for pair in hosts.chunks(2) {
        for _ in 0..3 {
            flows.push(network.open(flow(pair[0], pair[1], ANY)).unwrap());
        }
    }
    assert_eq!(network.settle().len(), 150);
    assert_eq!(network.rates_worked_out(), 150);
    network.set_demand(flows[30], 5).unwrap();
    assert_eq!(network.settle().len(), 3);
    assert_eq!(network.rates_worked_out(), 153);
    // One flow between two pairs ties them together, until it is closed; several changes are settled at once.
    let tie = network.open(flow(hosts[0], hosts[3], ANY)).unwrap();
    network.settle();
    assert_eq!(network.rates_worked_out(), 160);
    network.close(tie).unwrap();
    network.set_demand(flows[0], 1).unwrap();
    network.set_demand(flows[3], 1).unwrap();
    network.settle();
    assert_eq!(network.rates_worked_out(), 166);
    network.settle();
    assert_eq!(network.rates_worked_out(), 166);
}

/// A fleet in which everything hangs together, changed and settled again and again.
#[test]
fn a_fleet_is_settled_again_and_again() {
    let times = if cfg!(debug_assertions) { 5_000_u32 } else { 100_000 };
    let mut random = Random::from_seed(1);
    let mut draw = |bound: usize| usize::try_from(random.below(u64::try_from(bound).unwrap())).unwrap();
    let mut network = Network::new(Line::default());
    let hosts: Vec<HostId> = (0..100).map(|_| network.add_host(card(1_250_000_000, 1_250_000_000))).collect();
    let mut shares: Shares = (BTreeMap::new(), Vec::new());
    for host in &hosts {
        shares.0.insert(Resource::Transmit(*host), 1_250_000_000);
        shares.0.insert(Resource::Receive(*host), 1_250_000_000);
    }
    let mut flows = Vec::new();
    for time in 0..400 + times {
        let from = draw(100);
        let to = (from + 1 + draw(99)) % 100;
        let limit = [ANY, 200_000_000][draw(2)];
        let place = if time < 400 { flows.len() } else { draw(400) };
        let crossed = vec![Resource::Transmit(hosts[from]), Resource::Receive(hosts[to])];
        let opened = network.open(flow(hosts[from], hosts[to], limit)).unwrap();
        if place < flows.len() {
            network.close(flows[place]).unwrap();
            (flows[place], shares.1[place]) = (opened, (limit, crossed));
        } else {
            flows.push(opened);
            shares.1.push((limit, crossed));
        }
        network.settle();
    }
    let found = rates(&network, &flows);
    assert_eq!(found, by_rounds(&shares));
    check_fair(&shares, &found);
}

/// A small network that is changed at random, and what the changes should have made of it.
struct Model {
    network: Network,
    now_ns: u64,
    hosts: Vec<HostId>,
    segments: Vec<SegmentId>,
    capacities: BTreeMap<Resource, Capacity>,
    paths: BTreeMap<(HostId, HostId), Vec<SegmentId>>,
    flows: BTreeMap<FlowId, (u64, HostId, HostId)>,
    known: BTreeMap<FlowId, u64>,
}

#[derive(Clone, Debug)]
enum Change {
    AddHost(Capacity, Capacity),
    RemoveHost(Index),
    SetPath(Index, Index, Vec<Index>),
    RemovePath(Index, Index),
    SetCapacity(Index, Capacity),
    Open(Index, Index, u64),
    SetDemand(Index, u64),
    Close(Index),
    Advance(u64),
    Settle,
}

fn any_capacity(most: u64) -> impl Strategy<Value = Capacity> {
    let value = || prop_oneof![1 => Just(0), 6 => 0..=most, 1 => Just(most)];
    (value(), prop::collection::vec((1..20_u64, value()), 0..3)).prop_map(|(first, rest)| {
        let (mut steps, mut at_ns) = (vec![Step { at_ns: 0, bytes_per_second: first }], 0);
        for (later_ns, bytes_per_second) in rest {
            at_ns += later_ns;
            steps.push(Step { at_ns, bytes_per_second });
        }
        Capacity::from_trace(&steps).unwrap()
    })
}

fn any_change(most: u64) -> impl Strategy<Value = Change> {
    let index = || any::<Index>();
    let demand = || prop_oneof![1 => Just(0), 3 => 0..=most, 3 => Just(ANY)];
    let segments = prop::collection::vec(index(), 0..3);
    prop_oneof![
        1 => (any_capacity(most), any_capacity(most)).prop_map(|(out, into)| Change::AddHost(out, into)),
        1 => index().prop_map(Change::RemoveHost),
        2 => (index(), index(), segments).prop_map(|(from, to, over)| Change::SetPath(from, to, over)),
        1 => (index(), index()).prop_map(|(from, to)| Change::RemovePath(from, to)),
        2 => (index(), any_capacity(most)).prop_map(|(which, capacity)| Change::SetCapacity(which, capacity)),
        8 => (index(), index(), demand()).prop_map(|(from, to, demand)| Change::Open(from, to, demand)),
        2 => (index(), demand()).prop_map(|(which, demand)| Change::SetDemand(which, demand)),
        2 => index().prop_map(Change::Close),
        1 => (0..10_u64).prop_map(Change::Advance),
        3 => Just(Change::Settle),
    ]
}

impl Model {
    fn new(segments: Vec<Capacity>, hosts: Vec<(Capacity, Capacity)>) -> Self {
        let mut network = Network::new(Line::default());
        let capacities = segments.into_iter().map(|capacity| {
            let segment = network.add_segment(capacity.clone());
            (Resource::Segment(segment), capacity)
        });
        let capacities: BTreeMap<Resource, Capacity> = capacities.collect();
        let segment = |resource: &Resource| match resource {
            Resource::Segment(segment) => Some(*segment),
            _ => None,
        };
        let mut model = Self {
            now_ns: 0,
            hosts: Vec::new(),
            segments: capacities.keys().filter_map(segment).collect(),
            capacities,
            paths: BTreeMap::new(),
            flows: BTreeMap::new(),
            known: BTreeMap::new(),
            network,
        };
        for (transmit, receive) in hosts {
            model.add_host(transmit, receive);
        }
        model
    }

    fn two(&self, from: Index, to: Index) -> Option<(HostId, HostId)> {
        let hosts = (!self.hosts.is_empty()).then(|| (*from.get(&self.hosts), *to.get(&self.hosts)))?;
        (hosts.0 != hosts.1).then_some(hosts)
    }

    fn some_flow(&self, which: Index) -> Option<FlowId> {
        let flows: Vec<FlowId> = self.flows.keys().copied().collect();
        (!flows.is_empty()).then(|| *which.get(&flows))
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::AddHost(transmit, receive) => self.add_host(transmit, receive),
            Change::RemoveHost(which) => self.remove_host(which),
            Change::SetPath(from, to, over) => {
                let Some((from, to)) = self.two(from, to) else { return };
                let over: BTreeSet<SegmentId> = over.iter().map(|which| *which.get(&self.segments)).collect();
                let segments: Vec<SegmentId> = over.into_iter().collect();
                let path = Path { line: Line::default(), segments: segments.clone() };
                self.network.set_path(from, to, path).unwrap();
                self.paths.insert((from, to), segments);
            }
            Change::RemovePath(from, to) => {
                let Some((from, to)) = self.two(from, to) else { return };
                self.network.remove_path(from, to).unwrap();
                self.paths.remove(&(from, to));
            }
            Change::SetCapacity(which, capacity) => {
                let resources: Vec<Resource> = self.capacities.keys().copied().collect();
                let resource = *which.get(&resources);
                self.network.set_capacity(resource, capacity.clone()).unwrap();
                self.capacities.insert(resource, capacity);
            }
            Change::Open(from, to, demand) => {
                let Some((from, to)) = self.two(from, to) else { return };
                let opened = self.network.open(flow(from, to, demand)).unwrap();
                self.flows.insert(opened, (demand, from, to));
                self.known.insert(opened, 0);
            }
            Change::SetDemand(which, demand) => {
                let Some(which) = self.some_flow(which) else { return };
                self.network.set_demand(which, demand).unwrap();
                self.flows.get_mut(&which).unwrap().0 = demand;
            }
            Change::Close(which) => {
                let Some(which) = self.some_flow(which) else { return };
                self.network.close(which).unwrap();
                self.flows.remove(&which);
                self.known.remove(&which);
            }
            Change::Advance(by_ns) => {
                self.now_ns += by_ns;
                self.network.advance_to(self.now_ns);
            }
            Change::Settle => self.settle(),
        }
    }

    fn add_host(&mut self, transmit: Capacity, receive: Capacity) {
        let card = NetworkCard { transmit: transmit.clone(), receive: receive.clone() };
        let host = self.network.add_host(card);
        self.hosts.push(host);
        self.capacities.insert(Resource::Transmit(host), transmit);
        self.capacities.insert(Resource::Receive(host), receive);
    }

    fn remove_host(&mut self, which: Index) {
        if self.hosts.is_empty() {
            return;
        }
        let host = *which.get(&self.hosts);
        let in_use = self.flows.values().any(|(_, from, to)| *from == host || *to == host);
        assert_eq!(
            self.network.remove_host(host),
            if in_use { Err(NetworkError::HostInUse(host)) } else { Ok(()) }
        );
        if !in_use {
            self.hosts.retain(|other| *other != host);
            self.paths.retain(|(from, to), _| *from != host && *to != host);
            self.capacities.remove(&Resource::Transmit(host));
            self.capacities.remove(&Resource::Receive(host));
        }
    }

    fn shares(&self) -> Shares {
        let crossed = |from: &HostId, to: &HostId| {
            let segments = self.paths.get(&(*from, *to)).into_iter().flatten();
            let segments = segments.map(|segment| Resource::Segment(*segment));
            [Resource::Transmit(*from), Resource::Receive(*to)].into_iter().chain(segments).collect()
        };
        let capacities = self.capacities.iter().map(|(resource, all)| (*resource, all.at(self.now_ns)));
        let flows = self.flows.values().map(|(limit, from, to)| (*limit, crossed(from, to)));
        (capacities.collect(), flows.collect())
    }

    /// The reported changes, and nothing else, lead to the correct rates.
    fn settle(&mut self) {
        for change in self.network.settle() {
            let before = self.known.insert(change.flow, change.bytes_per_second);
            assert!(before.is_some_and(|before| before != change.bytes_per_second));
        }
        let shares = self.shares();
        let found: Vec<u64> = self.known.values().copied().collect();
        let flows: Vec<FlowId> = self.flows.keys().copied().collect();
        assert_eq!(found, rates(&self.network, &flows));
        check_fair(&shares, &found);
        assert_eq!(found, by_rounds(&shares));
        if shares.0.values().all(|capacity| *capacity <= 100) {
            assert_eq!(found, byte_by_byte(&shares));
        }
        for resource in self.capacities.keys() {
            assert_eq!(self.network.capacity(*resource), Ok(shares.0[resource]));
        }
        let next = self.capacities.values().filter_map(|all| all.next_change_after(self.now_ns)).min();
        assert_eq!(self.network.next_change_at(), next);
    }
}

/// Segments and hosts to begin with, and what happens to them.
fn changed(most: u64) -> impl Strategy<Value = (Vec<Capacity>, Vec<(Capacity, Capacity)>, Vec<Change>)> {
    let segments = prop::collection::vec(any_capacity(most), 1..4);
    let hosts = prop::collection::vec((any_capacity(most), any_capacity(most)), 2..6);
    (segments, hosts, prop::collection::vec(any_change(most), 0..60))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    /// With a few bytes a second, where rounding is most of what there is, and with the largest numbers that there are.
    #[test]
    fn rates_are_always_as_the_book_says((segments, hosts, changes) in prop_oneof![changed(30), changed(ANY)]) {
        let mut model = Model::new(segments, hosts);
        changes.into_iter().chain([Change::Settle]).for_each(|change| model.apply(change));
    }

    /// The same flows opened in another order, settled in between or at once, have the same rates.
    #[test]
    fn the_order_of_opening_decides_nothing(
        capacities in prop::collection::vec(0..200_u64, 12),
        wanted in prop::collection::vec((0..6_usize, 1..6_usize, prop_oneof![Just(ANY), 0..60_u64]), 1..25),
        seed in any::<u64>(),
    ) {
        let opened = |order: &[usize], settle_each: bool| {
            let mut network = Network::new(Line::default());
            let hosts: Vec<HostId> = capacities.chunks(2).map(|both| network.add_host(card(both[0], both[1]))).collect();
            let mut flows = BTreeMap::new();
            for index in order {
                let (from, step, demand) = wanted[*index];
                flows.insert(*index, network.open(flow(hosts[from], hosts[(from + step) % 6], demand)).unwrap());
                if settle_each {
                    network.settle();
                }
            }
            network.settle();
            rates(&network, &flows.into_values().collect::<Vec<_>>())
        };
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        let in_order = opened(&order, false);
        let mut random = Random::from_seed(seed);
        order.sort_by_cached_key(|_| random.next_u64());
        prop_assert_eq!(&in_order, &opened(&order, true));
        prop_assert_eq!(&in_order, &opened(&order, false));
    }
}
