//! The measurement of a dirty rate by the shipped driver: what it reports, how long it takes, and what it leaves.

use whimbrel_drive::hosts::{Ends, HostDriver as _, HostsError, Inquiry};
use whimbrel_drive::uri::{HostUri, Origin};
use whimbrel_sim::kit::TestGuest;
use whimbrel_sim::world::VirtualMachine;

use super::run::{Process, uri};
use super::{Fake, MS};

fn asked(guest: &str) -> (Inquiry, Ends) {
    let read = |host| HostUri::parse(&uri(host), Origin::Operator).unwrap();
    let inquiry = Inquiry {
        guest: guest.to_owned(),
        source: uri("alpha"),
        destination: uri("beta"),
        destination_xml: None,
        copy_disks: false,
        probe: false,
    };
    (inquiry, Ends { source: read("alpha"), destination: read("beta") })
}

#[test]
fn the_dirty_rate_of_a_running_guest_is_reported_after_the_interval() {
    let fake = Fake::new(21);
    let machine: VirtualMachine = TestGuest::new("web", 1024).writing(800, 25_600).into();
    fake.add_guest(fake.host("alpha"), machine);
    let process = Process::new(&fake);
    let (inquiry, ends) = asked("web");
    let rates = [1, 5].map(|seconds| {
        let from_ns = fake.now_ns();
        let rate = process.hosts.dirty_rate(&inquiry, &ends, seconds).unwrap();
        let took_ms = (fake.now_ns() - from_ns) / MS;
        let interval_ms = u64::from(seconds) * 1_000;
        assert!((interval_ms..interval_ms + 1_000).contains(&took_ms), "{took_ms} ms for {seconds} s");
        assert_eq!(rate.interval_ms, interval_ms);
        rate.bytes_per_second >> 20
    });
    // 100 MiB/s over 800 MiB: 94 in the first second, 74 a second over five.
    let [short, long] = rates;
    assert!((80..=105).contains(&short) && (62..=86).contains(&long) && long < short, "{rates:?}");
    fake.end();
}

#[test]
fn a_rate_that_cannot_be_measured_is_an_error_and_never_zero() {
    let fake = Fake::new(22);
    // QEMU takes no sample of so little memory.
    let machine: VirtualMachine = TestGuest::new("small", 64).writing(32, 25_600).into();
    fake.add_guest(fake.host("alpha"), machine);
    let process = Process::new(&fake);
    let reason = |guest: &str| {
        let (inquiry, ends) = asked(guest);
        let from_ns = fake.now_ns();
        let refused = process.hosts.dirty_rate(&inquiry, &ends, 1).unwrap_err();
        assert!((fake.now_ns() - from_ns) / MS < 15_000, "it is bounded");
        let HostsError::Refused { uri, reason } = refused else { panic!("{refused:?}") };
        assert!(uri.contains("alpha"), "{uri}");
        reason
    };
    assert!(reason("small").contains("no dirty rate over 1 s"), "{}", reason("small"));
    assert!(reason("absent").contains("Domain not found"), "{}", reason("absent"));
    fake.end();
}
