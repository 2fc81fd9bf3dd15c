//! The seam between the driver and libvirt: every call that the driver makes, as a trait for each kind of handle.
//!
//! `sys` implements them by libvirt's C interface, and tests by a fake in this process, so that the shipped driver runs
//! on both. An implementation answers as libvirt does, one call for one call: it never waits for anything but its host,
//! and it never decides. A call without an implementation answers as libvirt does of a hypervisor driver without the
//! function: [`ErrorCode::NoSupport`].

use std::fmt::Debug;
use std::sync::Arc;

use crate::dirty_rate::DirtyRateReport;
use crate::documents;
use crate::error::{ErrorCode, LibvirtError};
use crate::event::DomainEvent;
use crate::parameters::MigrateParameters;
use crate::state::State;
use crate::statistics::JobStatistics;
use crate::versions::Version;

/// A thing of a host as XML, and whether it is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its definition.
    pub(crate) xml: String,
    /// Whether it can be used now.
    pub(crate) is_active: bool,
}

/// A network device of the interface driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedInterface {
    /// Its name, such as `br0`.
    pub(crate) name: String,
    /// Its XML; none where libvirt could not tell it, as of VLANs that are not named after their device.
    pub(crate) xml: Option<String>,
    /// Whether it is up. Devices whose state the kernel does not know are not.
    pub(crate) is_active: bool,
}

/// Which description of a domain is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Description {
    /// The live one of a domain that runs, the stored one of a domain that is off.
    Current,
    /// The live one.
    Live,
    /// The stored one, which the next start uses.
    Stored,
}

/// Which description of a domain is wanted. Passwords are never included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum XmlView {
    /// As it runs now, or its definition when it does not run.
    Current,
    /// The stored definition: what the next start would use.
    Inactive,
}

/// A connection to a host's daemon. Clones share it.
pub(crate) type Connection = Arc<dyn ConnectionCalls>;
/// A guest on the host of the connection that found it. It keeps that connection open.
pub(crate) type Domain = Box<dyn DomainCalls>;
/// A storage pool that is active.
pub(crate) type StoragePool = Box<dyn PoolCalls>;
/// A file in a pool.
pub(crate) type StorageVolume = Box<dyn VolumeCalls>;
/// Events arrive until it is dropped, which may block as any call does.
pub(crate) type Subscription = Box<dyn Subscribed>;
/// Receives events, on a thread of the library: it must only pass them on.
pub(crate) type EventSink = Box<dyn Fn(DomainEvent) + Send + Sync>;

/// What keeps a subscription alive.
pub(crate) trait Subscribed: Debug + Send {}

/// The library: the one way to a connection.
pub(crate) trait Library: Debug + Send + Sync {
    /// Opens a connection. Blocks for as long as the host takes, which may be for ever.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    fn open(&self, uri: &str) -> Result<Connection, LibvirtError>;
}

/// libvirt's answer where a hypervisor driver does not have the function.
fn unsupported(call: &'static str) -> LibvirtError {
    let message = format!("this function is not supported by the connection driver: {call}");
    LibvirtError { call, code: ErrorCode::NoSupport, domain: 0, message }
}

/// Every call, for a macro that makes something of the list: the traits here, and their implementations in `sys`. `by` is the
/// handle of `sys` whose own functions have the same names.
macro_rules! every_call {
    ($make:ident) => {
        $make! {
            /// Calls to a host's daemon.
            ConnectionCalls by InstalledConnection {
                /// Requests a sign of life after each `interval_s` seconds of silence; closed after `count` unanswered ones.
                set_keep_alive(interval_s: u16, count: u16) -> bool, "virConnectSetKeepAlive";
                /// Whether it is still open. The daemon is not queried.
                is_alive() -> bool, "virConnectIsAlive";
                /// The version of libvirt on the other side.
                library_version() -> Version, "virConnectGetLibVersion";
                /// The version of the hypervisor there.
                hypervisor_version() -> Version, "virConnectGetVersion";
                /// The host name as the daemon has it.
                hostname() -> String, "virConnectGetHostname";
                /// The host's capabilities as XML.
                capabilities_xml() -> String, "virConnectGetCapabilities";
                /// Free memory of the host in bytes.
                free_memory_bytes() -> u64, "virNodeGetFreeMemory";
                /// The guest of this name.
                lookup(name: &str) -> Domain, "virDomainLookupByName";
                /// The guest of this UUID.
                lookup_uuid(uuid: &str) -> Domain, "virDomainLookupByUUIDString";
                /// All guests, running or only defined.
                domains() -> Vec<Domain>, "virConnectListAllDomains";
                /// Passes on the events of the guest with this UUID.
                subscribe(uuid: &str, sink: EventSink) -> Subscription, "virConnectDomainEventRegisterAny";
                /// What guests of this kind can have there, as XML.
                domain_capabilities_xml(emulator: &str, architecture: &str, machine: &str, accelerator: &str) -> String,
                    "virConnectGetDomainCapabilities";
                /// libvirt's comparison of a CPU with what the host can give: 0 incompatible, 1 identical, 2 more.
                compare_hypervisor_cpu(
                    emulator: &str, architecture: &str, machine: &str, accelerator: &str, cpu_xml: &str
                ) -> i32, "virConnectCompareHypervisorCPU";
                /// All storage pools.
                pools() -> Vec<Listed>, "virConnectListAllStoragePools";
                /// All virtual networks.
                networks() -> Vec<Listed>, "virConnectListAllNetworks";
                /// All devices of the host, as XML.
                node_devices() -> Vec<String>, "virConnectListAllNodeDevices";
                /// All network devices of the interface driver.
                interfaces() -> Vec<ListedInterface>, "virConnectListAllInterfaces";
                /// UUIDs of all secrets.
                secrets() -> Vec<String>, "virConnectListSecrets";
                /// The usage by which definitions can name this secret; empty where it has none.
                secret_usage(uuid: &str) -> String, "virSecretGetUsageID";
                /// Names of all network filters.
                network_filters() -> Vec<String>, "virConnectListAllNWFilters";
                /// Free pages of one size on each memory node, by the nodes' numbers from 0.
                free_pages(size_kib: u32) -> Vec<u64>, "virNodeGetFreePages";
                /// The active pool of a directory.
                pool_at(directory: &str) -> Option<StoragePool>, "virStoragePoolLookupByTargetPath";
                /// Starts a pool that is forgotten when it is stopped.
                create_pool(xml: &str) -> StoragePool, "virStoragePoolCreateXML";
                /// The size in bytes of the storage at a path, where a pool knows it.
                volume_bytes(path: &str) -> Option<u64>, "virStorageVolLookupByPath";
                /// What its pool knows the storage at a path by.
                volume_key(path: &str) -> Option<String>, "virStorageVolLookupByPath";
                /// The path of a volume that is named by its pool and its name.
                volume_path(pool: &str, name: &str) -> Option<String>, "virStoragePoolLookupByName";
            }
        }

        $make! {
            /// Calls about one guest on one host. A handle outlives its guest: calls then fail with `NoDomain`.
            DomainCalls by InstalledDomain {
                /// Its name on this host.
                name() -> String, "virDomainGetName";
                /// Its UUID, in lower case with hyphens.
                uuid() -> String, "virDomainGetUUIDString";
                /// Its state, and the reason.
                state() -> State, "virDomainGetState";
                /// Whether a definition is stored that outlives its process.
                is_persistent() -> bool, "virDomainIsPersistent";
                /// Its description.
                xml(view: XmlView) -> String, "virDomainGetXMLDesc";
                /// Migrates it peer to peer, and returns when that has ended.
                migrate_p2p(destination_uri: &str, parameters: &MigrateParameters) -> (), "virDomainMigrateToURI3";
                /// Switches a running migration to post-copy.
                start_postcopy() -> (), "virDomainMigrateStartPostCopy";
                /// Statistics of the job that runs.
                job_statistics() -> Option<JobStatistics>, "virDomainGetJobStats";
                /// Statistics of the last job that ended well; they are kept.
                completed_job_statistics() -> Option<JobStatistics>, "virDomainGetJobStats";
                /// Starts to measure its dirty rate over this many seconds, and returns at once.
                start_dirty_rate(seconds: u16) -> (), "virDomainStartDirtyRateCalc";
                /// The state of the last measurement of its dirty rate.
                dirty_rate() -> DirtyRateReport, "virDomainListGetStats";
                /// Requests the end of the running job.
                abort_job() -> (), "virDomainAbortJob";
                /// Sets the downtime limit in ms.
                set_max_downtime_ms(downtime_ms: u64) -> (), "virDomainMigrateSetMaxDowntime";
                /// The downtime limit in ms.
                max_downtime_ms() -> u64, "virDomainMigrateGetMaxDowntime";
                /// Sets the bandwidth limit in MiB/s.
                set_max_speed_mib_per_s(mib_per_s: u64) -> (), "virDomainMigrateSetMaxSpeed";
                /// The bandwidth limit in MiB/s.
                max_speed_mib_per_s() -> u64, "virDomainMigrateGetMaxSpeed";
                /// Stops its processors.
                suspend() -> (), "virDomainSuspend";
                /// Lets its processors continue.
                resume() -> (), "virDomainResume";
                /// Ends its process.
                destroy() -> (), "virDomainDestroy";
                /// Removes its stored definition; firmware variables and TPM state stay.
                undefine() -> (), "virDomainUndefineFlags";
                /// Whether it starts with its host.
                autostart() -> bool, "virDomainGetAutostart";
                /// Whether a saved state waits for its next start.
                has_managed_save() -> bool, "virDomainHasManagedSaveImage";
                /// The block job that works on a disk; empty when there is none.
                block_job(disk: &str) -> &'static str, "virDomainGetBlockJobInfo";
                /// The size of a disk in bytes, as the guest sees it.
                disk_bytes(disk: &str) -> u64, "virDomainGetBlockInfo";
                /// How many checkpoints it has.
                checkpoints() -> u32, "virDomainListAllCheckpoints";
                /// How many snapshots it has.
                snapshots() -> u32, "virDomainSnapshotNum";
                /// The element of this namespace in its metadata.
                metadata(namespace: &str, of: Description) -> Option<String>, "virDomainGetMetadata";
                /// Stores this element in the namespace; without one, removes it.
                set_metadata(namespace: &str, prefix: &str, element: Option<&str>, of: Description) -> (),
                    "virDomainSetMetadata";
            }
        }

        $make! {
            /// Calls about a storage pool.
            PoolCalls by InstalledPool {
                /// Looks through it again.
                refresh() -> (), "virStoragePoolRefresh";
                /// Its definition, with the room that is left.
                xml() -> String, "virStoragePoolGetXMLDesc";
                /// A file in it.
                volume(name: &str) -> Option<StorageVolume>, "virStorageVolLookupByName";
                /// Names of the files in it, so many at most.
                volume_names(most: u16) -> Vec<String>, "virStoragePoolListVolumes";
                /// Makes a file in it.
                create_volume(xml: &str) -> StorageVolume, "virStorageVolCreateXML";
                /// Stops it.
                stop() -> (), "virStoragePoolDestroy";
            }
        }

        $make! {
            /// Calls about a file in a pool.
            VolumeCalls by InstalledVolume {
                /// Its size in bytes, as a guest sees it.
                bytes() -> u64, "virStorageVolGetInfo";
                /// Its path on the host.
                path() -> String, "virStorageVolGetPath";
                /// Removes it.
                delete() -> (), "virStorageVolDelete";
            }
        }
    };
}

/// A trait of calls.
macro_rules! traits {
    (
        $(#[$doc:meta])*
        $name:ident by $real:ident {
            $( $(#[$about:meta])* $call:ident($($argument:ident: $kind:ty),*) -> $answer:ty, $function:literal; )*
        }
    ) => {
        $(#[$doc])*
        pub(crate) trait $name: Debug + Send + Sync {
            $(
                $(#[$about])*
                ///
                /// # Errors
                /// Whatever libvirt reports.
                fn $call(&self $(, $argument: $kind)*) -> Result<$answer, LibvirtError> {
                    $( let _ = $argument; )*
                    Err(unsupported($function))
                }
            )*
        }
    };
}

every_call!(traits);
pub(crate) use every_call;

/// What is put together from several calls.
impl dyn ConnectionCalls {
    /// The host's UUID in lower case, which libvirt refuses to migrate between two connections with; none where the
    /// capabilities name none.
    ///
    /// # Errors
    /// Whatever libvirt reports, or [`ErrorCode::XmlError`] when the capabilities cannot be read.
    pub(crate) fn host_uuid(&self) -> Result<Option<String>, LibvirtError> {
        let uuid = documents::host(&self.capabilities_xml()?)?.uuid;
        Ok(Some(uuid).filter(|uuid| !uuid.is_empty()))
    }

    /// Names and states of all guests. One that vanishes meanwhile is left out.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn domain_states(&self) -> Result<Vec<(String, State)>, LibvirtError> {
        let mut states = Vec::new();
        for domain in self.domains()? {
            match domain.state() {
                Ok(state) => states.push((domain.name()?, state)),
                Err(error) if error.code == ErrorCode::NoDomain => {}
                Err(error) => return Err(error),
            }
        }
        Ok(states)
    }

    /// The pool of the directory that a file is in, looked through again, and the file's name.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn pool_of<'p>(&self, path: &'p str) -> Result<Option<(StoragePool, &'p str)>, LibvirtError> {
        let parts = path.rsplit_once('/').filter(|(directory, _)| !directory.is_empty());
        let Some((directory, name)) = parts else { return Ok(None) };
        let Some(pool) = self.pool_at(directory)? else { return Ok(None) };
        pool.refresh()?;
        Ok(Some((pool, name)))
    }
}
