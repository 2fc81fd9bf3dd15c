//! The switch that joins both hosts and the operator, the faults of the path between the hosts, and the guests' network.
//!
//! The guests' network is apart from it, as in most data centres: each host has a bridge whose port leads to the other
//! host's bridge, over a second switch.
//!
//! The switch lives in a namespace of its own. Cutting the link isolates the hosts' two ports from each
//! other: the switch drops what one sends to the other, address resolution included, while either still
//! talks to the operator and no host sees its own link go down. That is how a broken path looks to
//! libvirt and QEMU, which learn of it by silence alone. It must never cut the operator off: then a
//! test could not tell a host that is gone from one that it cannot reach. A host without power is silent to all.

use std::ops::RangeInclusive;

use crate::namespaces::enter;
use crate::{LabError, shell};

/// The bridge of each host that guests' cards can be put on. Its port is the host's `eth1`, and it has no address.
pub const GUEST_BRIDGE: &str = "br0";

/// Where a daemon listens.
const DAEMON_PORT: u16 = 16509;

/// The ports of the switch, for faults.
#[derive(Debug)]
pub(crate) struct Network {
    switch: u32,
    hosts: [Port; 2],
}

/// A member of the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    pub(crate) name: &'static str,
    pub(crate) address: &'static str,
    /// A process inside its network namespace.
    pub(crate) inside: u32,
}

impl Network {
    /// Wires all members to a bridge in the namespace of process `switch`.
    pub(crate) fn wire(switch: u32, hosts: [Port; 2], operator: Port) -> Result<Self, LabError> {
        let network = Self { switch, hosts };
        network.on_switch("ip", "link add name switch type bridge")?;
        network.on_switch("ip", "link set dev switch up")?;
        network.on_switch("ip", "link add name guests type bridge")?;
        network.on_switch("ip", "link set dev guests up")?;
        for port in hosts.into_iter().chain([operator]) {
            let (name, inside) = (port.name, port.inside);
            network.on_switch(
                "ip",
                &format!("link add name to-{name} type veth peer name eth0 netns {inside}"),
            )?;
            network.on_switch("ip", &format!("link set dev to-{name} master switch up"))?;
            port.run("ip", &format!("link set dev eth0 address {}", port.hardware_address()))?;
            port.run("ip", &format!("address add {}/24 dev eth0", port.address))?;
            port.run("ip", "link set dev eth0 up")?;
        }
        for port in hosts {
            network.wire_guests(port)?;
        }
        let [alpha, beta] = hosts;
        for (port, peer) in [(alpha, beta), (beta, alpha)] {
            // Hosts of a routed network never learn that a neighbour is gone: they hear nothing, and no more.
            let neighbour = format!("lladdr {} dev eth0 nud permanent", peer.hardware_address());
            port.run("ip", &format!("neighbour replace {} {neighbour}", peer.address))?;
        }
        Ok(network)
    }

    pub(crate) fn set_cut(&self, cut: bool) -> Result<(), LabError> {
        let isolated = if cut { "on" } else { "off" };
        for port in &self.hosts {
            self.on_switch("bridge", &format!("link set dev to-{} isolated {isolated}", port.name))?;
        }
        Ok(())
    }

    /// Takes a host off the network altogether, the operator included, as a loss of its power does; or puts it back.
    pub(crate) fn set_silent(&self, host: &str, silent: bool) -> Result<(), LabError> {
        let state = if silent { "down" } else { "up" };
        for link in ["to", "guests"] {
            self.on_switch("ip", &format!("link set dev {link}-{host} {state}"))?;
        }
        Ok(())
    }

    /// Limits what each host sends to the other; `None` takes the limit away.
    pub(crate) fn shape(&self, bits_per_second: Option<u64>) -> Result<(), LabError> {
        let [alpha, beta] = self.hosts;
        for (port, peer) in [(alpha, beta), (beta, alpha)] {
            // Starting from nothing makes the call repeatable. There may be nothing to delete.
            let _ = port.run("tc", "qdisc delete dev eth0 root");
            let Some(rate) = bits_per_second else { continue };
            // Traffic that no class claims, such as that with the operator, is not limited.
            port.run("tc", "qdisc add dev eth0 root handle 1: htb")?;
            port.run(
                "tc",
                &format!("class add dev eth0 parent 1: classid 1:1 htb rate {rate}bit burst 64k"),
            )?;
            let to_peer = format!("u32 match ip dst {}/32 flowid 1:1", peer.address);
            port.run("tc", &format!("filter add dev eth0 parent 1: protocol ip {to_peer}"))?;
        }
        Ok(())
    }

    /// Loses what the second host's daemon sends to the first host, or no longer; what is sent to that daemon arrives.
    pub(crate) fn lose_answers(&self, lose: bool) -> Result<(), LabError> {
        let [alpha, beta] = self.hosts;
        // As for `shape`, whose limit of this direction goes too.
        let _ = beta.run("tc", "qdisc delete dev eth0 root");
        if !lose {
            return Ok(());
        }
        beta.run("tc", "qdisc add dev eth0 root handle 1: htb")?;
        beta.run("tc", "class add dev eth0 parent 1: classid 1:2 htb rate 1mbit")?;
        beta.run("tc", "qdisc add dev eth0 parent 1:2 blackhole")?;
        let answers = format!("u32 match ip sport {DAEMON_PORT} 0xffff match ip dst {}/32", alpha.address);
        beta.run("tc", &format!("filter add dev eth0 parent 1: protocol ip {answers} flowid 1:2"))
    }

    /// Breaks the connections from a host to these ports, for both ends.
    pub(crate) fn break_connections(&self, from: &str, to: &RangeInclusive<u16>) -> Result<(), LabError> {
        let (least, most) = (to.start(), to.end());
        let Some(port) = self.hosts.iter().find(|port| port.address == from) else { return Ok(()) };
        port.run("ss", &format!("--tcp --kill state connected dport >= :{least} and dport <= :{most}"))
    }

    /// Gives a host its bridge, with a port to the guests' switch.
    fn wire_guests(&self, port: Port) -> Result<(), LabError> {
        let (name, inside) = (port.name, port.inside);
        let ends = format!("link add name guests-{name} type veth peer name eth1 netns {inside}");
        self.on_switch("ip", &ends)?;
        self.on_switch("ip", &format!("link set dev guests-{name} master guests up"))?;
        port.run("ip", &format!("link add name {GUEST_BRIDGE} type bridge"))?;
        port.run("ip", &format!("link set dev eth1 master {GUEST_BRIDGE} up"))?;
        port.run("ip", &format!("link set dev {GUEST_BRIDGE} up"))
    }

    fn on_switch(&self, program: &str, arguments: &str) -> Result<(), LabError> {
        run_in(self.switch, program, arguments)
    }
}

impl Port {
    /// Of its own, after the last number of its address.
    fn hardware_address(&self) -> String {
        let number = self.address.rsplit('.').next().unwrap_or_default();
        format!("02:00:00:4d:00:{number}")
    }

    fn run(&self, program: &str, arguments: &str) -> Result<(), LabError> {
        run_in(self.inside, program, arguments)
    }
}

fn run_in(inside: u32, program: &str, arguments: &str) -> Result<(), LabError> {
    shell::run(enter(inside, false, program).args(arguments.split(' '))).map(drop)
}
