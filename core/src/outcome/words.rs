//! An outcome in words: what a line or a description repeats of it. Nothing is concluded here.

use core::fmt;

use super::{Advice, Cause, Ending, GuestLocation, Leftover, Recovery};

impl fmt::Display for GuestLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untouched => "on the source, untouched",
            Self::SourceRunning => "running on the source",
            Self::SourcePaused => "paused on the source",
            Self::DestinationRunning => "running on the destination",
            Self::SourceOff => "off, on the source",
            Self::DestinationOff => "off, on the destination",
            Self::DestinationPostcopy => {
                "on the destination, cut off from memory that is still on the source"
            }
            Self::DestinationIncomplete => "on the destination, with a part of its memory lost",
            Self::LeftBehind => "lost: what is left on the source is older than what it did since",
            Self::DestinationPaused => "paused on the destination",
            Self::BothRunning => "running on BOTH hosts",
            Self::Nowhere => "in neither host's memory",
            Self::Unknown => "not known to be on either host",
        })
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::InDoubt => "in doubt",
            Self::ArrivedStopped => "arrived, but not running",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OperatorCancelled => "an operator asked for the end",
            Self::TimedOut => "pre-copy lasted longer than the timeout allows",
            Self::RulesRefused => "a rule stands against it",
            Self::FactsMissing => "the guest or a host could not be asked",
            Self::SettingsUnreadable => "the guest's settings could not be read, so nothing was changed",
            Self::SettingRefused => "a setting could not be changed",
            Self::CopyFailed => "the hypervisor gave up the copy",
            Self::ReplyLost => "the reply to the migrate call was lost",
            Self::PostcopyLost => "post-copy lost its connection, and could not be resumed",
            Self::GuestStopped => "the guest stopped after it had been moved to the destination",
            Self::DriverRestarted => {
                "the driver stopped before the copy began, and a restart begins no migration"
            }
        })
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DowntimeLimit => f.write_str("the downtime limit"),
            Self::BandwidthLimit => f.write_str("the bandwidth limit"),
            Self::Paused => f.write_str("the guest, which was stopped"),
            Self::Disks => f.write_str("the disks that were made on the destination"),
            Self::Definition(side) => write!(f, "the guest's definition on the {side}"),
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing needs to be done",
            Self::MendThenRetry => "mend what is named above, then migrate again",
            Self::Retry => "migrate again when the hosts can reach each other",
            Self::AllowMore => {
                "the guest dirties memory faster than the link carries it: allow more bandwidth or downtime, or try at a quieter hour"
            }
            Self::LookAtBothHosts => {
                "look at the guest on both hosts first; resume, start or destroy nothing until one copy is known to be dead"
            }
            Self::ResumePostcopy => {
                "end neither copy: the guest needs both; let the migration go on when the hosts can reach each other"
            }
            Self::StartAnew => {
                "end what is left of the guest, then start it anew from its disks: a part of its memory is lost"
            }
            Self::ResumeGuest => {
                "find out why the guest is paused (`virsh domstate --reason`; after an I/O error `virsh domblkerror`), then resume it where it is (`virsh resume`)"
            }
            Self::FindOut => {
                "find out whether the guest ended or somebody took it to a third host, and start it only when no host runs it"
            }
        })
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DowntimeLimitRestored => f.write_str("the downtime limit was put back"),
            Self::BandwidthLimitRestored => f.write_str("the bandwidth limit was put back"),
            Self::Resumed(side) => write!(f, "the guest was resumed on the {side}"),
            Self::Destroyed(side) => write!(f, "the copy left on the {side} was removed"),
            Self::Undefined(side) => write!(f, "the definition left on the {side} was dropped"),
            Self::DisksRemoved => f.write_str("the disks made on the destination were removed"),
            Self::PostcopyResumed => f.write_str("post-copy was resumed"),
        }
    }
}
