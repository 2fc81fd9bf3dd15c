//! What QEMU offers of migration through its monitor (QMP), and what it does otherwise from some version on.
//!
//! Read through QEMU 10.2, with what 11.0 and 11.1 change in the migration loop and in its states; of later versions the
//! table says what was true then. A capability must be known to both ends. Compression methods are there only if the
//! build has their library.
//!
//! Three of the documentation's "since" tags are too early; their lines say so.

use std::num::NonZeroU64;

use super::table::{Kind, Offer, Row, features};
use super::version::Version;
use crate::qemu::{Behaviour, Completion, DeviceState, ExpectedDowntime, Iterations, SyncRule};

/// The newest version whose interface was read for this table.
pub const READ_THROUGH: Version = Version::new(10, 2, 0);

const QAPI: &str = "QEMU, qapi/migration.json, \"since\" tags as of 11.0's development";
const REMOVED: &str = "QEMU, qapi/migration.json as of 8.2; docs/about/deprecated.rst, removed-features.rst";
const SET_COMMANDS: &str =
    "QEMU, qapi/migration.json as of 5.2; docs/about/deprecated.rst, removed-features.rst";
const BANDWIDTH: &str = "QEMU, commit 7590a2ae091f of September 2020 (5.1.0 is of August, 5.2.0 of December)";
const MULTIFD_TLS: &str =
    "QEMU, migration pull request of 25 September 2020 (5.1.0 is of August, 5.2.0 of December)";
const MODES: &str =
    "QEMU, qapi/migration.json, DirtyRateMeasureMode; the argument's tag says 6.1, but 6.1.0 lacks it";
const THREADS: &str =
    "QEMU, pull request of 6 February 2023; the tag says 7.2, but 7.2.22 lacks it; removed-features.rst";
const CHANNELS: &str = "QEMU, commit 967f2de5c9ec, in v8.2.0-rc0; its types' tags say 8.1";
const ZERO_PAGES: &str = "QEMU, qapi/migration.json, @zero-page-detection; hw/core/machine.c, hw_compat_8_2";
const PERIODIC: &str = "QEMU, commit 52ac968ab28b of October 2024, in the pull request for 9.2's soft freeze";
const VFIO_EVENT: &str = "libvirt, commit f38c2c3729bc, differences of QEMU 9.1's schema";
const COMPLETION: &str = "QEMU, commit 7aaa1fc072 of 2025, rewrite of the completion's detection, in 10.1";
const MULTIFD_POSTCOPY: &str =
    "QEMU, commit e274188612 of 2025, in 10.1; 10.0's migration/options.c refuses it";
const POSTCOPY_DEVICE: &str = "QEMU, commit 7b842fe354 of 2025, in 10.2";
const FAILING: &str = "QEMU, patch 20260209132303 of February 2026, in 11.0";
const DOWNTIME_VIOLATION: &str = "QEMU, commit 455a6167f254, in the pull request of 5 May 2026 for 11.1";
const ONE_PENDING: &str =
    "QEMU, commit a94a867ee86c, in the pull request of 5 May 2026 for 11.1; seen on 11.1.3";
const COUNTER: &str = "QEMU, commit 9519d3667a02, in the pull request of 5 May 2026 for 11.1; seen on 11.1.3";
const ON_DEMAND: &str = "QEMU, commit dd4fe8844b52, in the pull request of 5 May 2026 for 11.1";
const SYSTEM_WIDE: &str = "QEMU, commit 468e507485c2, in the pull request of 5 May 2026 for 11.1";

#[rustfmt::skip]
features! {
    SetSpeed, Call, "migrate_set_speed", (0, 14, 0), SET_COMMANDS, deprecated (2, 8, 0), until (6, 0, 0);
    SetDowntime, Call, "migrate_set_downtime", (0, 14, 0), SET_COMMANDS, deprecated (2, 8, 0), until (6, 0, 0);
    Xbzrle, Capability, "xbzrle", (1, 2, 0), QAPI;
    ZeroBlocks, Capability, "zero-blocks", (1, 6, 0), REMOVED, deprecated (9, 2, 0), until (11, 0, 0);
    AutoConverge, Capability, "auto-converge", (1, 6, 0), QAPI;
    RdmaPinAll, Capability, "rdma-pin-all", (2, 0, 0), QAPI;
    Events, Capability, "events", (2, 4, 0), QAPI;
    MigrationEvent, Event, "MIGRATION", (2, 4, 0), QAPI;
    Compress, Capability, "compress", (2, 4, 0), REMOVED, deprecated (8, 2, 0), until (9, 1, 0);
    CompressLevel, Parameter, "compress-level", (2, 4, 0), REMOVED, deprecated (8, 2, 0), until (9, 1, 0);
    CompressThreads, Parameter, "compress-threads", (2, 4, 0), REMOVED, deprecated (8, 2, 0), until (9, 1, 0);
    DecompressThreads, Parameter, "decompress-threads", (2, 4, 0), REMOVED, deprecated (8, 2, 0), until (9, 1, 0);
    StartPostcopy, Call, "migrate-start-postcopy", (2, 5, 0), QAPI;
    PostcopyRam, Capability, "postcopy-ram", (2, 6, 0), QAPI;
    PassEvent, Event, "MIGRATION_PASS", (2, 6, 0), QAPI;
    CpuThrottleInitial, Parameter, "cpu-throttle-initial", (2, 7, 0), QAPI;
    CpuThrottleIncrement, Parameter, "cpu-throttle-increment", (2, 7, 0), QAPI;
    TlsCredentials, Parameter, "tls-creds", (2, 7, 0), QAPI;
    TlsHostname, Parameter, "tls-hostname", (2, 7, 0), QAPI;
    MaxBandwidth, Parameter, "max-bandwidth", (2, 8, 0), QAPI;
    DowntimeLimit, Parameter, "downtime-limit", (2, 8, 0), QAPI;
    ReleaseRam, Capability, "release-ram", (2, 9, 0), QAPI;
    ReturnPath, Capability, "return-path", (2, 10, 0), QAPI;
    BlockMigration, Capability, "block", (2, 10, 0), REMOVED, deprecated (8, 2, 0), until (9, 1, 0);
    BlockIncremental, Parameter, "block-incremental", (2, 10, 0), REMOVED, deprecated (8, 2, 0), until (9, 1, 0);
    PauseBeforeSwitchover, Capability, "pause-before-switchover", (2, 11, 0), QAPI;
    Continue, Call, "migrate-continue", (2, 11, 0), QAPI;
    XbzrleCacheSize, Parameter, "xbzrle-cache-size", (2, 11, 0), QAPI;
    DirtyBitmaps, Capability, "dirty-bitmaps", (2, 12, 0), QAPI;
    PostcopyBlocktime, Capability, "postcopy-blocktime", (3, 0, 0), QAPI;
    LateBlockActivate, Capability, "late-block-activate", (3, 0, 0), QAPI;
    MaxPostcopyBandwidth, Parameter, "max-postcopy-bandwidth", (3, 0, 0), QAPI;
    PostcopyPause, Call, "migrate-pause", (3, 0, 0), QAPI;
    PostcopyRecover, Call, "migrate-recover", (3, 0, 0), QAPI;
    MaxCpuThrottle, Parameter, "max-cpu-throttle", (3, 1, 0), QAPI;
    CompressWaitThread, Parameter, "compress-wait-thread", (3, 1, 0), REMOVED, deprecated (8, 2, 0), until (9, 1, 0);
    Multifd, Capability, "multifd", (4, 0, 0), QAPI;
    MultifdChannels, Parameter, "multifd-channels", (4, 0, 0), QAPI;
    TlsAuthorisation, Parameter, "tls-authz", (4, 0, 0), QAPI;
    AnnounceInitial, Parameter, "announce-initial", (4, 0, 0), QAPI;
    AnnounceMax, Parameter, "announce-max", (4, 0, 0), QAPI;
    AnnounceRounds, Parameter, "announce-rounds", (4, 0, 0), QAPI;
    AnnounceStep, Parameter, "announce-step", (4, 0, 0), QAPI;
    PagesPerSecond, Statistic, "pages-per-second", (4, 0, 0), QAPI;
    ValidateUuid, Capability, "validate-uuid", (4, 2, 0), QAPI;
    WaitUnplug, State, "wait-unplug", (4, 2, 0), QAPI;
    MultifdCompression, Parameter, "multifd-compression", (5, 0, 0), QAPI;
    MultifdZlib, Value, "multifd-compression=zlib", (5, 0, 0), QAPI;
    MultifdZlibLevel, Parameter, "multifd-zlib-level", (5, 0, 0), QAPI;
    MultifdZstd, Value, "multifd-compression=zstd", (5, 0, 0), QAPI;
    MultifdZstdLevel, Parameter, "multifd-zstd-level", (5, 0, 0), QAPI;
    ThrottleTriggerThreshold, Parameter, "throttle-trigger-threshold", (5, 0, 0), QAPI;
    CpuThrottleTailslow, Parameter, "cpu-throttle-tailslow", (5, 1, 0), QAPI;
    XbzrleEncodingRate, Statistic, "encoding-rate", (5, 1, 0), QAPI;
    BlockBitmapMapping, Parameter, "block-bitmap-mapping", (5, 2, 0), QAPI;
    CalculateDirtyRate, Call, "calc-dirty-rate", (5, 2, 0), QAPI;
    VfioStatistics, Statistic, "vfio", (5, 2, 0), QAPI;
    MultifdTls, Behaviour, "multifd over TLS", (5, 2, 0), MULTIFD_TLS;
    FasterByDefault, Behaviour, "max-bandwidth of 128 MiB/s, not 32, by default", (5, 2, 0), BANDWIDTH;
    BackgroundSnapshot, Capability, "background-snapshot", (6, 0, 0), QAPI;
    BlockedReasons, Statistic, "blocked-reasons", (6, 0, 0), QAPI;
    DirtyRateSamplePages, Argument, "calc-dirty-rate sample-pages", (6, 1, 0), QAPI;
    DirtyRateModes, Argument, "calc-dirty-rate mode", (6, 2, 0), MODES;
    BytesByPhase, Statistic, "precopy-bytes", (7, 0, 0), QAPI;
    ZeroCopySend, Capability, "zero-copy-send", (7, 1, 0), QAPI;
    PostcopyPreempt, Capability, "postcopy-preempt", (7, 1, 0), QAPI;
    MissedZeroCopy, Statistic, "dirty-sync-missed-zero-copy", (7, 1, 0), QAPI;
    SetVcpuDirtyLimit, Call, "set-vcpu-dirty-limit", (7, 1, 0), QAPI;
    MigrationThreads, Call, "query-migrationthreads", (8, 0, 0), THREADS, deprecated (9, 2, 0), until (11, 0, 0);
    SwitchoverAck, Capability, "switchover-ack", (8, 1, 0), QAPI;
    DirtyLimit, Capability, "dirty-limit", (8, 1, 0), QAPI;
    VcpuDirtyLimit, Parameter, "vcpu-dirty-limit", (8, 1, 0), QAPI;
    DirtyLimitThrottleTime, Statistic, "dirty-limit-throttle-time-per-round", (8, 1, 0), QAPI;
    AvailSwitchoverBandwidth, Parameter, "avail-switchover-bandwidth", (8, 2, 0), QAPI;
    Mode, Parameter, "mode", (8, 2, 0), QAPI;
    CprReboot, Value, "mode=cpr-reboot", (8, 2, 0), QAPI;
    Channels, Argument, "migrate channels", (8, 2, 0), CHANNELS;
    FileUri, Value, "migrate channels transport=file", (8, 2, 0), QAPI;
    DirtyRateTimeUnit, Argument, "calc-dirty-rate calc-time-unit", (8, 2, 0), QAPI;
    MappedRam, Capability, "mapped-ram", (9, 0, 0), QAPI;
    ZeroPageDetection, Parameter, "zero-page-detection", (9, 0, 0), QAPI;
    ZeroPagesByMultifd, Behaviour, "zero-page-detection=multifd from machine types of 9.0 on", (9, 0, 0), ZERO_PAGES;
    DirectIo, Parameter, "direct-io", (9, 1, 0), QAPI;
    MultifdQpl, Value, "multifd-compression=qpl", (9, 1, 0), QAPI;
    MultifdUadk, Value, "multifd-compression=uadk", (9, 1, 0), QAPI;
    PostcopyRecoverSetup, State, "postcopy-recover-setup", (9, 1, 0), QAPI;
    ExitOnError, Argument, "migrate-incoming exit-on-error", (9, 1, 0), QAPI;
    VfioEvent, Event, "VFIO_MIGRATION", (9, 1, 0), VFIO_EVENT;
    MultifdQatzip, Value, "multifd-compression=qatzip", (9, 2, 0), QAPI;
    MultifdQatzipLevel, Parameter, "multifd-qatzip-level", (9, 2, 0), QAPI;
    PeriodicSync, Behaviour, "auto-converge syncs the dirty bitmap after 5 s", (9, 2, 0), PERIODIC;
    CprTransfer, Value, "mode=cpr-transfer", (10, 0, 0), QAPI;
    DeviceAlways, Behaviour, "status device in every migration", (10, 0, 0), QAPI;
    AtThreshold, Behaviour, "a copy completes when the threshold itself remains", (10, 1, 0), COMPLETION;
    PostcopyFirst, Behaviour, "a requested switch to post-copy comes before completion", (10, 1, 0), COMPLETION;
    MultifdWithPostcopy, Behaviour, "multifd and postcopy-ram in one migration", (10, 1, 0), MULTIFD_POSTCOPY;
    CprExec, Value, "mode=cpr-exec", (10, 2, 0), QAPI;
    CprExecCommand, Parameter, "cpr-exec-command", (10, 2, 0), QAPI;
    PostcopyDevice, State, "postcopy-device", (10, 2, 0), POSTCOPY_DEVICE;
    Failing, State, "failing", (11, 0, 0), FAILING;
    SyncAtThreshold, Behaviour, "the bitmap is read when the threshold itself remains", (11, 1, 0), DOWNTIME_VIOLATION;
    SyncEachBurst, Behaviour, "with postcopy-ram the bitmap is read before every burst", (11, 1, 0), ONE_PENDING;
    LoopIterations, Behaviour, "only the loop's own syncs are counted and announced", (11, 1, 0), COUNTER;
    DowntimeOnQuery, Behaviour, "the expected downtime is computed when it is queried", (11, 1, 0), ON_DEMAND;
    RemainingOfAll, Statistic, "remaining", (11, 1, 0), SYSTEM_WIDE;
}

/// What [`Feature::MaxBandwidth`] is unless it is set, in bytes a second.
#[must_use]
pub fn default_max_bandwidth_bytes_per_second(version: Version) -> u64 {
    if offers(version, Feature::FasterByDefault).is_offered() { 128 << 20 } else { 32 << 20 }
}

/// How the loop of a version behaves where versions differ.
#[must_use]
pub fn behaviour(version: Version) -> Behaviour {
    let has = |feature| offers(version, feature).is_offered();
    Behaviour {
        completion: if has(Feature::AtThreshold) {
            Completion::AtThreshold
        } else {
            Completion::BelowThreshold
        },
        sync: if has(Feature::SyncEachBurst) {
            SyncRule::AtThresholdOrAllPostcopiable
        } else {
            SyncRule::BelowThreshold
        },
        iterations: if has(Feature::LoopIterations) { Iterations::OfTheLoop } else { Iterations::EverySync },
        expected_downtime: if has(Feature::DowntimeOnQuery) {
            ExpectedDowntime::OnQuery
        } else {
            ExpectedDowntime::AtWindows
        },
        device: if has(Feature::DeviceAlways) { DeviceState::Always } else { DeviceState::AfterWaiting },
        postcopy_device: has(Feature::PostcopyDevice),
        failing: has(Feature::Failing),
        remaining_of_all: has(Feature::RemainingOfAll),
    }
}

/// Machine types from this version on let channels wait for each other once a round only (`hw_compat_8_0`).
pub const FLUSHES_ONCE_A_ROUND: Version = Version::new(8, 1, 0);

/// After how long without a sync auto-converge forces one, in a version that does ([`Feature::PeriodicSync`]).
#[must_use]
pub fn periodic_sync_ns(version: Version) -> Option<NonZeroU64> {
    offers(version, Feature::PeriodicSync).is_offered().then_some(PERIODIC_SYNC_NS)
}

/// `CPU_THROTTLE_DIRTY_SYNC_TIMESLICE_MS`, 5 s (QEMU, migration/cpu-throttle.c as of 10.0).
const PERIODIC_SYNC_NS: NonZeroU64 = NonZeroU64::new(5_000_000_000).unwrap();
