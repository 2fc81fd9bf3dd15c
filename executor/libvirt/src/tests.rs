//! The layer against libvirt's built-in test driver, which needs no daemon.
//!
//! `test:///default` is one host for the whole process, so whatever changes its domain holds `ALONE`.

use super::sys::{Connection, Installed};
use super::{
    DomainEvent, ErrorCode, Library as _, Lifecycle, MigrateFlags, MigrateParameters, PausedReason, Resumed,
    State, Suspended, Version, XmlView,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::Duration;

const DEFAULT: &str = "test:///default";
/// Far more than any of this takes; only a hang reaches it.
const PATIENCE: Duration = Duration::from_mins(1);

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn open() -> Connection {
    Connection::open(DEFAULT).unwrap()
}

/// Waits for the life cycle event.
fn wait_for(events: &mpsc::Receiver<DomainEvent>, wanted: Lifecycle) {
    let wanted = DomainEvent::Lifecycle(wanted);
    while events.recv_timeout(PATIENCE).expect("the event did not come") != wanted {}
}

#[test]
fn a_connection_tells_about_its_host() {
    let connection = open();
    assert!(connection.is_alive().unwrap());
    assert!(connection.library_version().unwrap() >= Version::new(8, 5, 0));
    assert!(connection.hypervisor_version().unwrap() >= Version::new(0, 0, 1));
    assert!(!connection.hostname().unwrap().is_empty());
    assert!(connection.capabilities_xml().unwrap().starts_with("<capabilities>"));
    // The test driver's host has neither a uuid nor keep-alives: both must come back as errors or answers,
    // not crash.
    let _ = Installed.open(DEFAULT).unwrap().host_uuid();
    let _ = connection.set_keep_alive(5, 3);
}

#[test]
fn domains_are_found_by_name_and_uuid_and_listed() {
    let _alone = alone();
    let connection = open();
    let domain = connection.lookup("test").unwrap();
    assert_eq!(domain.name().unwrap(), "test");
    let uuid = domain.uuid().unwrap();
    assert_eq!(uuid.len(), 36);
    assert_eq!(connection.lookup_uuid(&uuid).unwrap().name().unwrap(), "test");
    assert!(domain.is_persistent().unwrap());
    assert!(matches!(domain.state().unwrap(), State::Running(_)));
    let states = Installed.open(DEFAULT).unwrap().domain_states().unwrap();
    assert!(states.iter().any(|(name, state)| name == "test" && state.is_active()), "{states:?}");
    for view in [XmlView::Current, XmlView::Inactive] {
        assert!(domain.xml(view).unwrap().contains("<name>test</name>"));
    }
}

#[test]
fn an_unknown_domain_is_no_domain() {
    let error = open().lookup("no-such-guest").unwrap_err();
    assert_eq!(error.code, ErrorCode::NoDomain);
    assert_eq!(error.call, "virDomainLookupByName");
    assert!(error.to_string().contains("`virDomainLookupByName` failed with NoDomain"), "{error}");
}

#[test]
fn a_nul_is_refused_wherever_it_hides() {
    let connection = open();
    let domain = connection.lookup("test").unwrap();
    let parameters =
        MigrateParameters { migrate_uri: Some("tcp://\0".to_owned()), ..MigrateParameters::default() };
    let refusals = [
        Installed.open("test:///\0default").unwrap_err(),
        connection.lookup("te\0st").unwrap_err(),
        connection.lookup_uuid("\0").unwrap_err(),
        domain.migrate_p2p("qemu+tcp://a\0b/system", &MigrateParameters::default()).unwrap_err(),
        domain.migrate_p2p(DEFAULT, &parameters).unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.code, ErrorCode::InvalidArgument);
        assert!(refusal.message.contains("NUL"), "{refusal}");
    }
}

#[test]
fn a_refused_connection_is_an_error() {
    let error = Connection::open("qemu+tcp://127.0.0.1:1/system").unwrap_err();
    assert_eq!(error.code, ErrorCode::SystemError);
    assert!(error.message.contains("127.0.0.1"), "{error}");
    let error = Connection::open("nonsense:///x").unwrap_err();
    assert_eq!(error.call, "virConnectOpen");
}

#[test]
fn no_job_means_no_statistics() {
    let connection = open();
    let domain = connection.lookup("test").unwrap();
    for statistics in [domain.job_statistics(), domain.completed_job_statistics()] {
        match statistics {
            Ok(statistics) => assert_eq!(statistics, None),
            Err(error) => assert_eq!(error.code, ErrorCode::NoSupport, "{error}"),
        }
    }
}

#[test]
fn what_the_driver_cannot_do_is_said() {
    let connection = open();
    let domain = connection.lookup("test").unwrap();
    let parameters = MigrateParameters {
        flags: MigrateFlags::LIVE,
        migrate_uri: Some("tcp://192.0.2.12".to_owned()),
        ..MigrateParameters::default()
    };
    let error = domain.migrate_p2p("test:///default", &parameters).unwrap_err();
    assert_eq!(error.call, "virDomainMigrateToURI3");
    assert!(matches!(error.code, ErrorCode::NoSupport | ErrorCode::ArgumentUnsupported), "{error}");
    let unsupported = [
        domain.abort_job(),
        domain.start_postcopy(),
        domain.set_max_downtime_ms(300),
        domain.set_max_speed_mib_per_s(10),
        domain.max_downtime_ms().map(drop),
        domain.max_speed_mib_per_s().map(drop),
    ];
    for result in unsupported {
        assert_eq!(result.unwrap_err().code, ErrorCode::NoSupport);
    }
}

#[test]
fn suspending_and_resuming_is_seen_and_told() {
    let _alone = alone();
    let connection = open();
    let domain = connection.lookup("test").unwrap();
    let (sender, events) = mpsc::channel();
    let subscription = connection
        .subscribe(&domain.uuid().unwrap(), Box::new(move |event| drop(sender.send(event))))
        .unwrap();

    domain.suspend().unwrap();
    assert_eq!(domain.state().unwrap(), State::Paused(PausedReason::User));
    wait_for(&events, Lifecycle::Suspended(Suspended::Paused));

    domain.resume().unwrap();
    assert!(matches!(domain.state().unwrap(), State::Running(_)));
    wait_for(&events, Lifecycle::Resumed(Resumed::Unpaused));

    drop(subscription);
    // The closure, and with it the only sender, has gone with the subscription.
    domain.suspend().unwrap();
    domain.resume().unwrap();
    assert_eq!(events.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_panicking_subscriber_harms_nobody() {
    let _alone = alone();
    // Two connections: libvirt takes a callback only once for each connection and domain.
    let (connection, other) = (open(), open());
    let domain = connection.lookup("test").unwrap();
    let called = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&called);
    let bad = connection.listen(
        None,
        Box::new(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            panic!("a subscriber that panics on purpose");
        }),
    );
    let (sender, events) = mpsc::channel();
    let _good = other.listen(None, Box::new(move |event| drop(sender.send(event)))).unwrap();
    domain.suspend().unwrap();
    domain.resume().unwrap();
    wait_for(&events, Lifecycle::Resumed(Resumed::Unpaused));
    drop(bad);
    assert!(called.load(Ordering::SeqCst) >= 1);
}

#[test]
fn an_error_belongs_to_the_thread_that_made_the_call() {
    let connection = open();
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let connection = connection.clone();
            thread::spawn(move || {
                for _ in 0..50 {
                    if number % 2 == 0 {
                        assert_eq!(connection.lookup("no-such-guest").unwrap_err().code, ErrorCode::NoDomain);
                    } else {
                        let error = connection.lookup_uuid("not a uuid").unwrap_err();
                        assert_eq!(
                            (error.code, error.call),
                            (ErrorCode::InvalidArgument, "virDomainLookupByUUIDString")
                        );
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_domain_outlives_the_connection_that_found_it() {
    let _alone = alone();
    let domain = open().lookup("test").unwrap();
    assert_eq!(domain.name().unwrap(), "test");
    assert!(domain.state().unwrap().is_active());
}

#[test]
fn a_domain_that_was_removed_is_no_domain() {
    let _alone = alone();
    // A host of its own is made for each connection to a file, so that the default host keeps its domain.
    let file = std::env::temp_dir().join(format!("whimbrel-test-host-{}.xml", std::process::id()));
    let xml = "<node><domain type='test'><name>gone</name><memory>8192</memory><os><type>hvm</type></os></domain></node>";
    std::fs::write(&file, xml).unwrap();
    let connection = Connection::open(&format!("test://{}", file.display()));
    std::fs::remove_file(&file).unwrap();
    let domain = connection.unwrap().lookup("gone").unwrap();
    domain.destroy().unwrap();
    assert!(!domain.state().unwrap().is_active());
    domain.undefine().unwrap();
    assert_eq!(domain.state().unwrap_err().code, ErrorCode::NoDomain);
}

#[test]
fn a_second_subscription_to_the_same_is_refused_and_the_first_goes_on() {
    let _alone = alone();
    let connection = open();
    let domain = connection.lookup("test").unwrap();
    let (sender, events) = mpsc::channel();
    let _first = connection
        .subscribe(&domain.uuid().unwrap(), Box::new(move |event| drop(sender.send(event))))
        .unwrap();
    let token = Arc::new(());
    let kept = Arc::clone(&token);
    let error = connection
        .subscribe(&domain.uuid().unwrap(), Box::new(move |_| drop(Arc::clone(&kept))))
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    assert_eq!(Arc::strong_count(&token), 1, "a refused closure is dropped");
    domain.suspend().unwrap();
    domain.resume().unwrap();
    wait_for(&events, Lifecycle::Resumed(Resumed::Unpaused));
}
