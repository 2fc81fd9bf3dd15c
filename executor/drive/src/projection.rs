//! The facts of the machine, taken from the facts that rules judge: hosts are queried once, and both are about one moment.
//!
//! A fact that the machine requires is never made up: where it is unknown, the facts are missing.

use whimbrel_core::{Facts, Failure, Fault, GuestFacts, HostFacts, Side};
use whimbrel_facts::{Domain, Facts as Collected, Host};

use crate::route::Route;
use crate::running::guest_run;

/// The machine's part of the facts. `disks_to_make` are the paths that the migration would create on the destination.
///
/// # Errors
/// When something is unknown that the machine needs; the failure is that of the host that did not report it.
pub fn machine_facts(
    collected: &Collected,
    route: &Route,
    disks_to_make: Vec<String>,
) -> Result<Box<Facts>, Failure> {
    let known = collected.guest.as_ref().zip(collected.source.as_ref()).zip(collected.destination.as_ref());
    let Some(((guest, source), destination)) = known else {
        return Err(unknown(Side::Source, "the guest and both hosts"));
    };
    let mut there = host(destination, &route.destination);
    let namesakes = destination.namesakes.as_ref();
    let namesakes = namesakes.ok_or_else(|| unknown(Side::Destination, "whether it has the guest"))?;
    there.has_guest = namesakes.first().map(|found| guest_run(found.state));
    Ok(Box::new(Facts {
        guest: guest_facts(guest, route)?,
        source: host(source, &route.source),
        destination: there,
        disks_to_make,
    }))
}

fn guest_facts(guest: &Domain, route: &Route) -> Result<GuestFacts, Failure> {
    Ok(GuestFacts {
        name: route.guest.clone(),
        uuid: guest.uuid.clone(),
        run: guest_run(guest.state),
        persistent: guest
            .persistent
            .ok_or_else(|| unknown(Side::Source, "whether the guest is persistent"))?,
        memory_bytes: guest.memory_kib.saturating_mul(1024),
        job_active: guest
            .job
            .as_ref()
            .map(|job| !job.is_empty())
            .ok_or_else(|| unknown(Side::Source, "whether a job works on the guest"))?,
    })
}

fn host(collected: &Host, uri: &str) -> HostFacts {
    HostFacts {
        uri: uri.to_owned(),
        hostname: collected.name.clone(),
        host_uuid: collected.uuid.clone(),
        hypervisor: collected.hypervisor.clone(),
        architecture: collected.architecture.clone(),
        library_version: collected.library_version,
        hypervisor_version: collected.hypervisor_version,
        free_memory_bytes: collected.free_memory_kib.map(|kib| kib.saturating_mul(1024)),
        has_guest: None,
    }
}

fn unknown(side: Side, what: &str) -> Failure {
    Failure::new(Fault::unreachable(side), format!("the {side} does not report {what}"))
}

#[cfg(test)]
mod tests {
    use whimbrel_core::{GuestRun, Spec};
    use whimbrel_facts::{Domain, Facts as Collected, Host, Namesake, RunState};

    use super::{Route, machine_facts};

    fn collected() -> Collected {
        let host = |name: &str, free_memory_kib| Host {
            name: name.to_owned(),
            namesakes: Some(Vec::new()),
            free_memory_kib: Some(free_memory_kib),
            ..Host::default()
        };
        Collected {
            guest: Some(Domain {
                uuid: "a".to_owned(),
                state: RunState::Running,
                persistent: Some(true),
                memory_kib: 2048,
                job: Some(String::new()),
                ..Domain::default()
            }),
            source: Some(host("alpha", 10)),
            destination: Some(host("beta", 20)),
            ..Collected::default()
        }
    }

    fn route() -> Route {
        Route::of(&Spec::new("web", "test://alpha", "test://beta"))
    }

    #[test]
    fn each_host_and_the_guest_keep_what_is_theirs_in_bytes() {
        let facts = machine_facts(&collected(), &route(), vec!["/srv/a".to_owned()]).unwrap();
        assert_eq!((facts.guest.memory_bytes, facts.guest.job_active), (2 << 20, false));
        assert_eq!(
            (facts.source.hostname.as_str(), facts.source.free_memory_bytes),
            ("alpha", Some(10 << 10))
        );
        assert_eq!(
            (facts.destination.hostname.as_str(), facts.destination.uri.as_str()),
            ("beta", "test://beta")
        );
        assert_eq!((facts.source.has_guest, facts.destination.has_guest), (None, None));
        assert_eq!(facts.disks_to_make, ["/srv/a"]);
    }

    #[test]
    fn a_guest_of_the_name_is_sought_on_the_destination() {
        let mut there = collected();
        let namesake = Namesake { state: RunState::Off, ..Namesake::default() };
        there.destination.as_mut().unwrap().namesakes = Some(vec![namesake]);
        let facts = machine_facts(&there, &route(), Vec::new()).unwrap();
        assert_eq!(facts.destination.has_guest, Some(GuestRun::NotRunning));
        let mut here = collected();
        here.source.as_mut().unwrap().namesakes = Some(vec![Namesake::default()]);
        assert_eq!(machine_facts(&here, &route(), Vec::new()).unwrap().destination.has_guest, None);
    }

    #[test]
    fn what_is_unknown_is_missing_and_never_made_up() {
        let changes: [fn(&mut Collected); 6] = [
            |facts| facts.guest = None,
            |facts| facts.source = None,
            |facts| facts.destination = None,
            |facts| facts.guest.as_mut().unwrap().persistent = None,
            |facts| facts.guest.as_mut().unwrap().job = None,
            |facts| facts.destination.as_mut().unwrap().namesakes = None,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut facts = collected();
            change(&mut facts);
            assert!(machine_facts(&facts, &route(), Vec::new()).is_err(), "{number}");
        }
    }
}
