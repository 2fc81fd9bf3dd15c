//! What libvirt offers of migration: flags, parameters, functions and statistics of its QEMU driver.
//!
//! Read through libvirt 11.2; of later versions the table says what was true then. A flag or parameter must be known
//! to both daemons, a function or a statistic to the one that is asked. Whether QEMU can do it is [`qemu`]'s matter.
//!
//! libvirt took nothing away in these versions. It has no parameter for QEMU's qatzip, qpl and uadk compression.
//!
//! [`qemu`]: super::qemu

use super::table::{Kind, Offer, Row, features};
use super::version::Version;

/// The newest version whose interface was read for this table.
pub const READ_THROUGH: Version = Version::new(11, 2, 0);

const API: &str = "libvirt 9.0.0, libvirt-api.xml";
const NEWS: &str = "libvirt 9.0.0, NEWS.rst";
const HEADER: &str = "libvirt, include/libvirt/libvirt-domain.h, \"Since\" tags";
const CRASH: &str = "libvirt, NEWS.rst of 11.4.0; seen on 11.3.0";
const GO_MODULE: &str = "libvirt-go-module, version checks generated from libvirt 11.2.0's API description";

#[rustfmt::skip]
features! {
    Live, Flag, "VIR_MIGRATE_LIVE", (0, 3, 2), API;
    Peer2Peer, Flag, "VIR_MIGRATE_PEER2PEER", (0, 7, 2), API;
    Tunnelled, Flag, "VIR_MIGRATE_TUNNELLED", (0, 7, 2), API;
    PersistDestination, Flag, "VIR_MIGRATE_PERSIST_DEST", (0, 7, 3), API;
    UndefineSource, Flag, "VIR_MIGRATE_UNDEFINE_SOURCE", (0, 7, 3), API;
    Paused, Flag, "VIR_MIGRATE_PAUSED", (0, 7, 5), API;
    Abort, Call, "virDomainAbortJob", (0, 7, 7), API;
    MaxDowntime, Call, "virDomainMigrateSetMaxDowntime", (0, 8, 0), API;
    NonSharedDisk, Flag, "VIR_MIGRATE_NON_SHARED_DISK", (0, 8, 2), API;
    NonSharedIncremental, Flag, "VIR_MIGRATE_NON_SHARED_INC", (0, 8, 2), API;
    MaxSpeed, Call, "virDomainMigrateSetMaxSpeed", (0, 9, 0), API;
    ChangeProtection, Flag, "VIR_MIGRATE_CHANGE_PROTECTION", (0, 9, 4), API;
    ReadMaxSpeed, Call, "virDomainMigrateGetMaxSpeed", (0, 9, 5), API;
    Unsafe, Flag, "VIR_MIGRATE_UNSAFE", (0, 9, 11), API;
    Offline, Flag, "VIR_MIGRATE_OFFLINE", (1, 0, 1), API;
    Compressed, Flag, "VIR_MIGRATE_COMPRESSED", (1, 0, 3), API;
    CompressionCache, Call, "virDomainMigrateSetCompressionCache", (1, 0, 3), API;
    JobStatistics, Call, "virDomainGetJobStats", (1, 0, 3), API;
    AbortOnError, Flag, "VIR_MIGRATE_ABORT_ON_ERROR", (1, 1, 0), API;
    TypedParameters, Call, "virDomainMigrateToURI3", (1, 1, 0), API;
    Uri, Parameter, "migrate_uri", (1, 1, 0), API;
    DestinationName, Parameter, "destination_name", (1, 1, 0), API;
    DestinationXml, Parameter, "destination_xml", (1, 1, 0), API;
    Bandwidth, Parameter, "bandwidth", (1, 1, 0), API;
    GraphicsUri, Parameter, "graphics_uri", (1, 1, 0), API;
    ListenAddress, Parameter, "listen_address", (1, 1, 4), API;
    AutoConverge, Flag, "VIR_MIGRATE_AUTO_CONVERGE", (1, 2, 3), API;
    RdmaPinAll, Flag, "VIR_MIGRATE_RDMA_PIN_ALL", (1, 2, 9), API;
    CompletedStatistics, Argument, "VIR_DOMAIN_JOB_STATS_COMPLETED", (1, 2, 9), API;
    SetupTime, Statistic, "setup_time", (1, 2, 9), API;
    NetTimes, Statistic, "downtime_net", (1, 2, 15), API;
    MigrateDisks, Parameter, "migrate_disks", (1, 2, 17), API;
    MemoryDirtyRate, Statistic, "memory_dirty_rate", (1, 3, 1), API;
    MemoryIteration, Statistic, "memory_iteration", (1, 3, 1), API;
    IterationEvent, Event, "VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION", (1, 3, 2), API;
    Postcopy, Flag, "VIR_MIGRATE_POSTCOPY", (1, 3, 3), API;
    StartPostcopy, Call, "virDomainMigrateStartPostCopy", (1, 3, 3), API;
    DisksPort, Parameter, "disks_port", (1, 3, 3), API;
    PausedPostcopyFailed, State, "VIR_DOMAIN_PAUSED_POSTCOPY_FAILED", (1, 3, 3), API;
    JobCompletedEvent, Event, "VIR_DOMAIN_EVENT_ID_JOB_COMPLETED", (1, 3, 3), API;
    PersistentXml, Parameter, "persistent_xml", (1, 3, 4), API;
    CompressionMethods, Parameter, "compression", (1, 3, 4), API;
    CompressionMtLevel, Parameter, "compression.mt.level", (1, 3, 4), API;
    CompressionMtThreads, Parameter, "compression.mt.threads", (1, 3, 4), API;
    CompressionMtDthreads, Parameter, "compression.mt.dthreads", (1, 3, 4), API;
    CompressionXbzrleCache, Parameter, "compression.xbzrle.cache", (1, 3, 4), API;
    AutoConvergeInitial, Parameter, "auto_converge.initial", (2, 0, 0), API;
    AutoConvergeIncrement, Parameter, "auto_converge.increment", (2, 0, 0), API;
    AutoConvergeThrottle, Statistic, "auto_converge_throttle", (2, 0, 0), API;
    Tls, Flag, "VIR_MIGRATE_TLS", (3, 2, 0), API;
    ReadMaxDowntime, Call, "virDomainMigrateGetMaxDowntime", (3, 7, 0), API;
    MemoryPageSize, Statistic, "memory_page_size", (3, 9, 0), API;
    PostcopyRequests, Statistic, "memory_postcopy_requests", (5, 0, 0), API;
    PostcopyBandwidth, Parameter, "bandwidth.postcopy", (5, 1, 0), API;
    MaxSpeedPostcopy, Argument, "VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY", (5, 1, 0), API;
    Parallel, Flag, "VIR_MIGRATE_PARALLEL", (5, 2, 0), API;
    ParallelConnections, Parameter, "parallel.connections", (5, 2, 0), API;
    TlsDestination, Parameter, "tls.destination", (6, 0, 0), API;
    KeepCompletedStatistics, Argument, "VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED", (6, 0, 0), API;
    JobSuccess, Statistic, "success", (6, 0, 0), API;
    JobErrorMessage, Statistic, "errmsg", (6, 3, 0), API;
    DisksUri, Parameter, "disks_uri", (6, 8, 0), API;
    UnixSockets, Behaviour, "migration over UNIX sockets", (6, 8, 0), NEWS;
    Messages, Call, "virDomainGetMessages", (7, 1, 0), API;
    CalculateDirtyRate, Call, "virDomainStartDirtyRateCalc", (7, 2, 0), API;
    DirtyRateStatistics, Argument, "VIR_DOMAIN_STATS_DIRTYRATE", (7, 2, 0), API;
    SynchronousDiskWrites, Flag, "VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES", (8, 0, 0), API;
    DirtyRateModes, Argument, "VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_RING", (8, 1, 0), API;
    TlsDestinationOfDisks, Behaviour, "tls.destination with non-shared storage", (8, 2, 0), NEWS;
    PostcopyResume, Flag, "VIR_MIGRATE_POSTCOPY_RESUME", (8, 5, 0), API;
    Zerocopy, Flag, "VIR_MIGRATE_ZEROCOPY", (8, 5, 0), API;
    AbortWithFlags, Call, "virDomainAbortJobFlags", (8, 5, 0), API;
    AbortPostcopy, Argument, "VIR_DOMAIN_ABORT_JOB_POSTCOPY", (8, 5, 0), API;
    RunningPostcopyFailed, State, "VIR_DOMAIN_RUNNING_POSTCOPY_FAILED", (8, 5, 0), API;
    CompressionZlibLevel, Parameter, "compression.zlib.level", (9, 4, 0), HEADER;
    CompressionZstdLevel, Parameter, "compression.zstd.level", (9, 4, 0), HEADER;
    VfioDataTransferred, Statistic, "vfio_data_transferred", (10, 6, 0), GO_MODULE;
    DetectZeroes, Parameter, "migrate_disks_detect_zeroes", (10, 9, 0), GO_MODULE;
    AvailSwitchoverBandwidth, Parameter, "bandwidth.avail.switchover", (11, 1, 0), GO_MODULE;
    ResumeCrashes, Behaviour, "resuming a failed post-copy ends the destination's daemon", (11, 2, 0), CRASH, until (11, 4, 0);
}
