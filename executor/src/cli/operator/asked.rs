//! Which migration is meant, in the options of `whimbrel migrate`, `check` and `facts collect`: the same words for all three,
//! so that what was checked is what is done.

#![expect(clippy::doc_markdown, reason = "these comments are the help's text")]

use std::path::{Path, PathBuf};

use clap::Args;
use whimbrel_core::{Spec, TransferOptions};
use whimbrel_drive::route::check_definition;

use super::CliError;
use super::args::AtTimeoutName;
use super::rule::args::Set;
use crate::cli::args::Simulated;
use whimbrel_drive::copying::DiskChoice;
use whimbrel_drive::hosts::Route;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option that is given or not")]
pub(in crate::cli) struct Asked {
    /// The guest's name.
    pub(super) domain: String,
    /// URI of the destination, for example qemu+ssh://beta/system; the source's daemon must reach it too. sim://beta is a
    /// simulated host.
    pub(super) dest: String,
    /// URI of the source.
    #[arg(long, value_name = "URI", default_value = "qemu:///system")]
    pub(super) source: String,
    /// Where the guest's memory is sent, for example tcp://192.0.2.12; without it to the destination's host name.
    #[arg(long, value_name = "URI")]
    pub(super) migrate_uri: Option<String>,
    /// Most MiB a second on the migration link.
    #[arg(long, value_name = "MIB_PER_S", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(super) bandwidth: Option<u64>,
    /// Longest pause in ms that the hand-over may be planned with.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=2_000_000))]
    pub(super) downtime: Option<u64>,
    /// Do something when the copy has taken this many seconds: see --at-timeout.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub(super) timeout: Option<u64>,
    /// What happens at the timeout. If that does not end the copy within as long again, it is cancelled.
    #[arg(long, value_enum, default_value_t, requires = "timeout")]
    pub(super) at_timeout: AtTimeoutName,
    /// Allow post-copy: the guest is moved before its memory, when it is asked for.
    #[arg(long)]
    pub(super) postcopy: bool,
    /// Slow the guest down when it dirties memory faster than it is copied.
    #[arg(long)]
    pub(super) auto_converge: bool,
    /// Send pages that were sent before as what changed in them.
    #[arg(long)]
    pub(super) xbzrle: bool,
    /// Send over this many connections at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub(super) parallel: Option<u8>,
    /// Copy disks along: those that are proven not to be shared, or the ones named by their targets (vda,vdb). A disk that
    /// both hosts share is never copied.
    #[arg(long, value_name = "DISKS", num_args = 0..=1, require_equals = true, value_delimiter = ',',
          default_missing_value = "")]
    pub(super) copy_disks: Option<Vec<String>>,
    /// Let the copy overwrite this file or block device of the destination; may be repeated. One that a guest there uses
    /// is never overwritten.
    #[arg(long = "overwrite-disk", value_name = "PATH", requires = "copy_disks")]
    pub(super) overwrite_disks: Vec<String>,
    /// Move the definition of a guest that is off.
    #[arg(long, conflicts_with_all = ["postcopy", "auto_converge", "xbzrle", "parallel", "copy_disks", "at_timeout"])]
    pub(super) offline: bool,
    /// Rules beside the shipped ones, and what the operator decided about them.
    #[command(flatten)]
    pub(super) rules: Set,
    /// Domain XML for the destination: other paths or networks of the host. The guest must see the same.
    #[arg(long, value_name = "FILE")]
    pub(super) xml: Option<PathBuf>,
    /// Overrule libvirt's doubts about shared storage. A rule refuses it unless the sharing is proved.
    #[arg(long = "unsafe", conflicts_with = "offline")]
    pub(super) allow_unsafe: bool,
    /// Do not prove shared storage by a file that is made on the source, looked for on the destination, and removed.
    #[arg(long)]
    pub(super) no_probe: bool,
    #[command(flatten)]
    pub(super) simulated: Simulated,
}

impl Asked {
    /// In which of the hypervisor's ways the guest is to be moved.
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

    /// Which disks are copied; without a name, those that are proven not to be shared.
    fn disks(&self) -> DiskChoice {
        let named = self.copy_disks.iter().flatten().filter(|target| !target.is_empty());
        DiskChoice { copied: named.cloned().collect(), overwritten: self.overwrite_disks.clone() }
    }

    /// The definition for the destination, if there is one.
    pub(super) fn destination_xml(&self) -> Result<Option<String>, CliError> {
        let Some(path) = &self.xml else { return Ok(None) };
        let text = read(path)?;
        check_definition(&text).map_err(|reason| CliError::Facts { path: path.clone(), reason })?;
        Ok(Some(text))
    }

    /// Which guest goes which way, with the definition that was read for the destination.
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

    /// The limits.
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
    std::fs::read_to_string(path).map_err(|source| CliError::Unreadable { path: path.into(), source })
}
