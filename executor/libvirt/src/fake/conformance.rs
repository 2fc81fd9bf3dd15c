//! The fake against libvirt itself: the same calls give the same answers at libvirt's built-in test driver, as far as
//! that has them. It has no migrations.

use whimbrel_sim::kit::TestGuest;

use super::Fake;
use super::run::Process;
use crate::{Connection, Description, ErrorCode, Installed, Library as _, LibvirtError, State};

const NAMESPACE: &str = "https://whimbrel.dev/xmlns/owner/1";

fn shown<T: std::fmt::Debug>(result: Result<T, LibvirtError>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        // Its words differ between drivers.
        Err(error) => format!("{} {:?}", error.call, error.code),
    }
}

/// Which state, without the reason that only one of the two has.
fn state(result: Result<State, LibvirtError>) -> String {
    shown(result.map(|state| match state {
        State::Running(_) => "running".to_owned(),
        other => format!("{other:?}"),
    }))
}

/// What a client sees of a guest called `web` that it takes through its states, and what it is refused.
fn course(connection: &Connection) -> Vec<String> {
    let mut seen = vec![
        shown(connection.is_alive()),
        shown(connection.lookup("none").map(drop)),
        shown(connection.lookup_uuid("00000000-0000-4000-8000-000000000000").map(drop)),
    ];
    let web = connection.lookup("web").unwrap();
    seen.extend([state(web.state()), shown(web.name()), shown(web.is_persistent())]);
    for element in [Some("<owner id='a'/>"), None] {
        seen.push(shown(web.set_metadata(NAMESPACE, "whimbrel", element, Description::Current)));
        seen.push(shown(web.metadata(NAMESPACE, Description::Current).map(|found| found.is_some())));
    }
    seen.extend([shown(web.suspend()), state(web.state()), shown(web.resume()), state(web.state())]);
    seen.extend([shown(web.destroy()), state(web.state())]);
    // To resume or suspend it now is refused by each driver with a code of its own.
    seen.extend([shown(web.destroy()), state(web.state())]);
    seen.extend([shown(web.undefine()), state(web.state()), shown(web.is_persistent())]);
    seen.push(shown(connection.lookup("web").map(drop)));
    seen
}

#[test]
fn it_answers_as_libvirts_own_test_driver_does() {
    let fake = Fake::new(1);
    fake.add_guest(fake.host("alpha"), TestGuest::new("web", 256));
    let process = Process::new(&fake);
    let ours = course(&process.access.library.open("qemu+tcp://alpha/system").unwrap());

    let file = std::env::temp_dir().join(format!("whimbrel-conformance-{}.xml", std::process::id()));
    let xml = "<node><domain type='test'><name>web</name><memory>8192</memory><os><type>hvm</type></os></domain></node>";
    std::fs::write(&file, xml).unwrap();
    let connection = Installed.open(&format!("test://{}", file.display()));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(ours, course(&connection.unwrap()));
}

#[test]
fn a_call_that_it_does_not_have_is_unsupported_and_never_an_answer() {
    let fake = Fake::new(1);
    let process = Process::new(&fake);
    let connection = process.access.library.open("qemu+tcp://alpha/system").unwrap();
    let error = connection.networks().unwrap_err();
    assert_eq!((error.call, error.code), ("virConnectListAllNetworks", ErrorCode::NoSupport));
}
