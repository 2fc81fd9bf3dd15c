//! How often a survey queries hosts, at libvirt's built-in test driver: every call is counted on its way there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use whimbrel_drive::hosts::{Ends, HostDriver as _, Inquiry, Survey as _};
use whimbrel_drive::uri::{HostUri, Origin};
use whimbrel_facts::Facts;

use crate::access::Access;
use crate::calls::{
    ConnectionCalls, Domain, EventSink, Listed, ListedInterface, StoragePool, Subscription, every_call,
};
use crate::threads::SystemThreads;
use crate::{Connection, Installed, Library, LibvirtError, LibvirtHosts, LibvirtSurvey, Version};

/// Guests of the test host.
const GUESTS: usize = 4;

/// Calls by host and name.
#[derive(Clone, Debug, Default)]
struct Counts(Arc<Mutex<BTreeMap<(String, &'static str), usize>>>);

impl Counts {
    fn count(&self, host: &str, call: &'static str) {
        *self.0.lock().unwrap().entry((host.to_owned(), call)).or_default() += 1;
    }

    fn of(&self, call: &str) -> Vec<usize> {
        let counts = self.0.lock().unwrap();
        counts.iter().filter(|((_, name), _)| *name == call).map(|(_, count)| *count).collect()
    }
}

/// The test driver, with every call to a connection counted. Each host is of its own file.
#[derive(Debug)]
struct Counting {
    files: BTreeMap<String, String>,
    counts: Counts,
}

#[derive(Debug)]
struct CountingConnection {
    connection: Connection,
    host: String,
    counts: Counts,
}

impl Library for Counting {
    fn open(&self, uri: &str) -> Result<Connection, LibvirtError> {
        let host = self.files.keys().find(|host| uri.contains(host.as_str())).unwrap().clone();
        self.counts.count(&host, "open");
        let connection = Installed.open(&self.files[&host])?;
        Ok(Arc::new(CountingConnection { connection, host, counts: self.counts.clone() }))
    }
}

macro_rules! counted {
    (
        $(#[$doc:meta])*
        ConnectionCalls by $real:ident {
            $( $(#[$about:meta])* $call:ident($($argument:ident: $kind:ty),*) -> $answer:ty, $function:literal; )*
        }
    ) => {
        impl ConnectionCalls for CountingConnection {
            $(
                fn $call(&self $(, $argument: $kind)*) -> Result<$answer, LibvirtError> {
                    self.counts.count(&self.host, stringify!($call));
                    self.connection.$call($($argument),*)
                }
            )*
        }
    };
    ( $(#[$doc:meta])* $other:ident by $real:ident { $($rest:tt)* } ) => {};
}

every_call!(counted);

fn file_of(name: &str, host: &str) -> PathBuf {
    std::env::temp_dir().join(format!("whimbrel-counted-{}-{name}-{host}.xml", std::process::id()))
}

/// Two hosts, the first with guests.
fn hosts(name: &str) -> (Access, Counts, [HostUri; 2]) {
    let file = |host: &str, guests: usize| {
        let guest = |at: usize| {
            format!(
                "<domain type='test'><name>g{at}</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db180{at}</uuid>\
                 <memory>8192</memory><os><type>hvm</type></os>\
                 <devices><disk type='file' device='disk'><source file='/srv/g{at}.img'/><target dev='vda' \
                 bus='virtio'/></disk></devices></domain>"
            )
        };
        let guests: String = (0..guests).map(guest).collect();
        let place = file_of(name, host);
        let pool = "<pool type='dir'><name>p</name><target><path>/srv</path></target></pool>";
        std::fs::write(&place, format!("<node>{guests}{pool}</node>")).unwrap();
        format!("test://{}", place.display())
    };
    let files = [("one", GUESTS), ("two", 0)].map(|(host, guests)| (host.to_owned(), file(host, guests)));
    let counts = Counts::default();
    let library = Counting { files: files.into(), counts: counts.clone() };
    let access = Access::new(Arc::new(library), Arc::new(SystemThreads::default()));
    let uri = |host: &str| HostUri::parse(&format!("qemu+tcp://{host}/system"), Origin::Operator).unwrap();
    (access, counts, ["one", "two"].map(uri))
}

fn inquiry(guest: &str, [source, destination]: &[HostUri; 2]) -> Inquiry {
    Inquiry {
        guest: guest.to_owned(),
        source: source.to_string(),
        destination: destination.to_string(),
        destination_xml: None,
        copy_disks: false,
        probe: false,
    }
}

#[test]
fn a_survey_queries_each_host_for_itself_once_and_finds_what_single_queries_find() {
    let (access, counts, uris) = hosts("once");
    let ends = Ends { source: uris[0].clone(), destination: uris[1].clone() };
    let mut survey = LibvirtSurvey::new(&access);
    let guests = survey.inventory(&ends.source).unwrap().guests;
    assert_eq!(guests.len(), GUESTS);
    let all: Vec<Facts> =
        guests.iter().map(|guest| survey.facts(&inquiry(&guest.name, &uris), &ends).unwrap()).collect();
    let asked: Vec<_> = counts.0.lock().unwrap().clone().into_iter().collect();
    for ((host, call), count) in &asked {
        // Where a guest of the same UUID or name is, and the test driver's pools by a path, are about one guest.
        let about_guests = ["lookup", "lookup_uuid"].contains(call);
        assert!(about_guests || *count == 1, "{call} at {host}: {count}");
    }
    for call in
        ["open", "hostname", "capabilities_xml", "pools", "networks", "node_devices", "domains", "pool_at"]
    {
        assert_eq!(counts.of(call), [1, 1], "{call}");
    }
    let hosts = LibvirtHosts::over(access);
    for (guest, facts) in guests.iter().zip(&all) {
        assert_eq!(hosts.facts(&inquiry(&guest.name, &uris), &ends).unwrap(), *facts);
    }
    assert!(counts.of("hostname").iter().all(|count| *count > GUESTS), "single queries are counted too");
    for host in ["one", "two"] {
        std::fs::remove_file(file_of("once", host)).unwrap();
    }
}

#[test]
fn a_host_that_does_not_answer_is_tried_once() {
    let (access, counts, uris) = hosts("gone");
    let ends = Ends { source: uris[0].clone(), destination: uris[1].clone() };
    std::fs::remove_file(file_of("gone", "two")).unwrap();
    let mut survey = LibvirtSurvey::new(&access);
    let errors =
        ["g0", "g1"].map(|guest| survey.facts(&inquiry(guest, &uris), &ends).unwrap_err().to_string());
    assert!(errors[0] == errors[1] && errors[0].contains("two"), "{errors:?}");
    assert_eq!(counts.of("open"), [1, 1]);
    std::fs::remove_file(file_of("gone", "one")).unwrap();
}
