//! A host whose answers are kept, so that each is queried once however many guests are compared with it.
//!
//! An error is an answer too: what a host did not report for one guest, it has not reported for the next. Nothing may
//! be changed through it, so it has no call that changes something, but for the pools that a probe for shared storage
//! makes; those calls are never kept.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::calls::{ConnectionCalls, DomainCalls, PoolCalls, StorageVolume, VolumeCalls};
use crate::{
    Connection, Domain, JobStatistics, LibvirtError, Listed, ListedInterface, State, StoragePool, Version,
    XmlView, lock,
};

/// A connection whose answers are kept. Where `probes` is set, pools are looked up each time.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    connection: Connection,
    answers: Answers,
    probes: bool,
}

impl Remembered {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, answers: Answers::default(), probes: false }
    }

    /// The same host and answers, for a query with or without a probe for shared storage.
    pub(super) fn with_probes(&self, probes: bool) -> Connection {
        Arc::new(Self { probes, ..self.clone() })
    }
}

/// Answers by call and arguments.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<BTreeMap<String, Box<dyn Any + Send>>>>);

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answers").field(&lock(&self.0).len()).finish()
    }
}

impl Answers {
    /// The answer of the first time.
    ///
    /// # Panics
    /// When two calls of different answers have the same key.
    fn once<T: Clone + Send + 'static>(
        &self,
        key: String,
        query: impl FnOnce() -> Result<T, LibvirtError>,
    ) -> Result<T, LibvirtError> {
        // Without the lock: a query lasts as long as its host takes.
        let known =
            lock(&self.0).get(&key).map(|known| known.downcast_ref::<Result<T, LibvirtError>>().cloned());
        assert!(!matches!(known, Some(None)), "a call has one type of answer: {key}");
        known.flatten().unwrap_or_else(|| {
            let answer = query();
            lock(&self.0).insert(key, Box::new(answer.clone()));
            answer
        })
    }
}

/// Calls whose answers are kept as they are.
macro_rules! kept {
    ($inner:ident: $( $call:ident($($argument:ident: $kind:ty),*) -> $answer:ty; )*) => {
        $(
            fn $call(&self $(, $argument: $kind)*) -> Result<$answer, LibvirtError> {
                let key = format!(concat!(stringify!($call), "{:?}"), ($($argument,)*));
                self.answers.once(key, || self.$inner.$call($($argument),*))
            }
        )*
    };
}

impl ConnectionCalls for Remembered {
    kept! { connection:
        library_version() -> Version;
        hypervisor_version() -> Version;
        hostname() -> String;
        capabilities_xml() -> String;
        free_memory_bytes() -> u64;
        domain_capabilities_xml(emulator: &str, architecture: &str, machine: &str, accelerator: &str) -> String;
        compare_hypervisor_cpu(
            emulator: &str, architecture: &str, machine: &str, accelerator: &str, cpu_xml: &str
        ) -> i32;
        pools() -> Vec<Listed>;
        networks() -> Vec<Listed>;
        node_devices() -> Vec<String>;
        interfaces() -> Vec<ListedInterface>;
        secrets() -> Vec<String>;
        secret_usage(uuid: &str) -> String;
        network_filters() -> Vec<String>;
        free_pages(size_kib: u32) -> Vec<u64>;
        volume_bytes(path: &str) -> Option<u64>;
        volume_key(path: &str) -> Option<String>;
        volume_path(pool: &str, name: &str) -> Option<String>;
    }

    fn lookup(&self, name: &str) -> Result<Domain, LibvirtError> {
        self.answers.once(format!("lookup {name}"), || self.connection.lookup(name).map(guest)).map(boxed)
    }

    fn lookup_uuid(&self, uuid: &str) -> Result<Domain, LibvirtError> {
        let query = || self.connection.lookup_uuid(uuid).map(guest);
        self.answers.once(format!("lookup_uuid {uuid}"), query).map(boxed)
    }

    fn domains(&self) -> Result<Vec<Domain>, LibvirtError> {
        let query = || Ok(self.connection.domains()?.into_iter().map(guest).collect::<Vec<_>>());
        Ok(self.answers.once("domains".to_owned(), query)?.into_iter().map(boxed).collect())
    }

    fn pool_at(&self, directory: &str) -> Result<Option<StoragePool>, LibvirtError> {
        if self.probes {
            return self.connection.pool_at(directory);
        }
        let query = || Ok(self.connection.pool_at(directory)?.map(RememberedPool::new));
        let found = self.answers.once(format!("pool_at {directory}"), query)?;
        Ok(found.map(|pool| Box::new(pool) as StoragePool))
    }

    fn create_pool(&self, xml: &str) -> Result<StoragePool, LibvirtError> {
        assert!(self.probes, "only a probe makes a pool");
        self.connection.create_pool(xml)
    }
}

#[derive(Clone, Debug)]
struct RememberedDomain {
    domain: Arc<dyn DomainCalls>,
    answers: Answers,
}

fn guest(domain: Domain) -> RememberedDomain {
    RememberedDomain { domain: Arc::from(domain), answers: Answers::default() }
}

fn boxed(domain: RememberedDomain) -> Domain {
    Box::new(domain)
}

impl DomainCalls for RememberedDomain {
    kept! { domain:
        name() -> String;
        uuid() -> String;
        state() -> State;
        is_persistent() -> bool;
        xml(view: XmlView) -> String;
        job_statistics() -> Option<JobStatistics>;
        completed_job_statistics() -> Option<JobStatistics>;
        autostart() -> bool;
        has_managed_save() -> bool;
        block_job(disk: &str) -> &'static str;
        disk_bytes(disk: &str) -> u64;
        checkpoints() -> u32;
        snapshots() -> u32;
    }
}

#[derive(Clone, Debug)]
struct RememberedPool {
    pool: Arc<dyn PoolCalls>,
    answers: Answers,
}

impl RememberedPool {
    fn new(pool: StoragePool) -> Self {
        Self { pool: Arc::from(pool), answers: Answers::default() }
    }
}

impl PoolCalls for RememberedPool {
    kept! { pool:
        refresh() -> ();
        xml() -> String;
        volume_names(most: u16) -> Vec<String>;
    }

    fn volume(&self, name: &str) -> Result<Option<StorageVolume>, LibvirtError> {
        let kept = |volume: StorageVolume| RememberedVolume {
            volume: Arc::from(volume),
            answers: Answers::default(),
        };
        let query = || Ok(self.pool.volume(name)?.map(kept));
        let found = self.answers.once(format!("volume {name}"), query)?;
        Ok(found.map(|volume| Box::new(volume) as StorageVolume))
    }
}

#[derive(Clone, Debug)]
struct RememberedVolume {
    volume: Arc<dyn VolumeCalls>,
    answers: Answers,
}

impl VolumeCalls for RememberedVolume {
    kept! { volume:
        bytes() -> u64;
        path() -> String;
    }
}
