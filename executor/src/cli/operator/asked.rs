//! The options that describe a migration. `whimbrel migrate`, `check` and `facts collect` share them, so that the migration
//! that was checked is the one that is run.

#![expect(clippy::doc_markdown, reason = "these comments are the help's text")]

use std::path::{Path, PathBuf};

use clap::Args;
use whimbrel_core::{Spec, TransferOptions};
use whimbrel_drive::route::check_definition;

use super::args::{AtTimeoutName, heading};
use super::rule::args::Set;
use super::simulated::Simulated;
use super::{CliError, OperatorError, input};
use whimbrel_drive::copying::DiskChoice;
use whimbrel_drive::hosts::Route;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option that is given or not")]
pub(in crate::cli) struct Asked {
    /// Name of the guest.
    pub(super) domain: String,
    /// URI of the destination, for example qemu+ssh://beta/system; the source's daemon must reach it too. sim://beta is a
    /// simulated host.
    pub(super) dest: String,
    /// URI of the source.
    #[arg(long, value_name = "URI", default_value = "qemu:///system", help_heading = heading::MIGRATION)]
    pub(super) source: String,
    /// Address that receives the guest's memory, for example tcp://192.0.2.12; by default the destination's host name.
    #[arg(long, value_name = "URI", help_heading = heading::MIGRATION)]
    pub(super) migrate_uri: Option<String>,
    /// Maximum bandwidth of the migration, in MiB/s.
    #[arg(long, value_name = "MIB_PER_S", value_parser = clap::value_parser!(u64).range(1..=1_000_000),
          help_heading = heading::MIGRATION)]
    pub(super) bandwidth: Option<u64>,
    /// Maximum downtime, in ms.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=2_000_000),
          help_heading = heading::MIGRATION)]
    pub(super) downtime: Option<u64>,
    /// Allow post-copy: on request, the guest runs on the destination before all of its memory is there.
    #[arg(long, help_heading = heading::MIGRATION)]
    pub(super) postcopy: bool,
    /// Throttle the guest's CPUs when it dirties memory faster than it is copied.
    #[arg(long, help_heading = heading::MIGRATION)]
    pub(super) auto_converge: bool,
    /// Enable XBZRLE delta compression.
    #[arg(long, help_heading = heading::MIGRATION)]
    pub(super) xbzrle: bool,
    /// Number of parallel connections.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..), help_heading = heading::MIGRATION)]
    pub(super) parallel: Option<u8>,
    /// Migrate only the definition of a guest that is off.
    #[arg(long, conflicts_with_all = ["postcopy", "auto_converge", "xbzrle", "parallel", "copy_disks", "at_timeout"],
          help_heading = heading::MIGRATION)]
    pub(super) offline: bool,
    /// Domain XML for the destination, with other paths or networks of the host. The guest must see the same devices.
    #[arg(long, value_name = "FILE", help_heading = heading::MIGRATION)]
    pub(super) xml: Option<PathBuf>,
    /// Disks to copy: those named by their targets (vda,vdb), or, without a value, those proven not to be shared. A disk that
    /// both hosts share is never copied.
    #[arg(long, value_name = "DISKS", num_args = 0..=1, require_equals = true, value_delimiter = ',',
          default_missing_value = "", help_heading = heading::STORAGE)]
    pub(super) copy_disks: Option<Vec<String>>,
    /// File or block device of the destination that the copy may overwrite; may be repeated. One that a guest there uses is
    /// never overwritten.
    #[arg(long = "overwrite-disk", value_name = "PATH", requires = "copy_disks", help_heading = heading::STORAGE)]
    pub(super) overwrite_disks: Vec<String>,
    /// Override libvirt's check for unsafe storage. A rule refuses it unless the storage is proven to be shared.
    #[arg(long = "unsafe", conflicts_with = "offline", help_heading = heading::STORAGE)]
    pub(super) allow_unsafe: bool,
    /// Skip the probe for shared storage, which creates a file on the source, looks for it on the destination and removes it.
    #[arg(long, help_heading = heading::STORAGE)]
    pub(super) no_probe: bool,
    /// Time limit for pre-copy, in seconds; none by default. See --at-timeout.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=31_536_000),
          help_heading = heading::TIMEOUTS)]
    pub(super) timeout: Option<u64>,
    /// Action at the time limit. If the copy has not ended after the same time again, it is cancelled.
    #[arg(long, value_enum, default_value_t, requires = "timeout", help_heading = heading::TIMEOUTS)]
    pub(super) at_timeout: AtTimeoutName,
    #[command(flatten)]
    pub(super) rules: Set,
    #[command(flatten)]
    pub(super) simulated: Simulated,
}

impl Asked {
    /// The hypervisor's features that the migration uses.
    pub(super) fn transfer_options(&self) -> TransferOptions {
        TransferOptions {
            postcopy: self.postcopy || self.at_timeout == AtTimeoutName::Postcopy,
            auto_converge: self.auto_converge,
            xbzrle: self.xbzrle,
            parallel_connections: self.parallel,
            copy_disks: self.copy_disks.is_some(),
            offline: self.offline,
        }
    }

    /// The disks to copy; without a name, those that are proven not to be shared.
    fn disks(&self) -> DiskChoice {
        let named = self.copy_disks.iter().flatten().filter(|target| !target.is_empty());
        DiskChoice { copied: named.cloned().collect(), overwritten: self.overwrite_disks.clone() }
    }

    /// The definition for the destination, if one was given.
    pub(super) fn destination_xml(&self) -> Result<Option<String>, CliError> {
        let Some(path) = &self.xml else { return Ok(None) };
        let text = read(path)?;
        check_definition(&text).map_err(|reason| OperatorError::Facts { path: path.clone(), reason })?;
        Ok(Some(text))
    }

    /// The guest, its hosts and how they are reached, with the definition that was read for the destination.
    pub(super) fn route(&self, destination_xml: Option<String>) -> Route {
        Route {
            migrate_uri: self.migrate_uri.clone(),
            disks: self.disks(),
            no_probe: self.no_probe,
            destination_xml,
            allow_unsafe: self.allow_unsafe,
            ..Route::of(&self.spec())
        }
    }

    /// The migration as the core sees it, with its limits.
    pub(super) fn spec(&self) -> Spec {
        let mut spec = Spec::new(self.domain.as_str(), self.source.as_str(), self.dest.as_str());
        spec.downtime_limit_ms = self.downtime;
        spec.bandwidth_limit_bytes_per_second = self.bandwidth.map(|mib| mib << 20);
        spec.timeout_ms = self.timeout.map(|s| s.saturating_mul(1000));
        spec.at_timeout = self.at_timeout.into();
        spec.transfer = self.transfer_options();
        spec
    }
}

fn read(path: &Path) -> Result<String, CliError> {
    input::text(path)
}
