//! An outcome in words, for lines and descriptions. Nothing is concluded here.

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
            Self::OperatorCancelled => "cancelled by operator",
            Self::TimedOut => "pre-copy exceeded its time limit",
            Self::RulesRefused => "a validation rule failed",
            Self::FactsMissing => "the guest or a host could not be queried",
            Self::SettingsUnreadable => "the guest's settings could not be read, so nothing was changed",
            Self::SettingRefused => "a setting could not be changed",
            Self::CopyFailed => "the hypervisor aborted the copy",
            Self::ReplyLost => "the reply to the migrate call was lost",
            Self::PostcopyLost => "post-copy lost its connection and could not be resumed",
            Self::GuestStopped => "the guest stopped after it was moved to the destination",
            Self::DriverRestarted => {
                "the driver stopped before the copy started, and a restarted driver starts no migration"
            }
        })
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DowntimeLimit => f.write_str("the downtime limit"),
            Self::BandwidthLimit => f.write_str("the bandwidth limit"),
            Self::Paused => f.write_str("the guest, which was paused"),
            Self::Disks => f.write_str("the disks that were created on the destination"),
            Self::Definition(side) => write!(f, "the guest's definition on the {side}"),
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing needs to be done",
            Self::MendThenRetry => "correct the cause that is given above, and retry",
            Self::Retry => "retry when the hosts can reach each other",
            Self::AllowMore => {
                "the guest dirties memory faster than the link transfers it: allow more bandwidth or downtime, or retry when the guest is less busy"
            }
            Self::LookAtBothHosts => {
                "check the guest on both hosts first; do not resume, start or destroy anything until one copy is known to be dead"
            }
            Self::ResumePostcopy => {
                "destroy neither copy: the guest needs both; resume the migration when the hosts can reach each other"
            }
            Self::StartAnew => {
                "destroy what is left of the guest, then cold-boot it from its disks: a part of its memory is lost"
            }
            Self::ResumeGuest => {
                "find out why the guest is paused (`virsh domstate --reason`; after an I/O error `virsh domblkerror`), then resume it where it is (`virsh resume`)"
            }
            Self::FindOut => {
                "find out whether the guest was shut down or another operator moved it to a third host, and start it only when no host runs it"
            }
        })
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DowntimeLimitRestored => f.write_str("the downtime limit was restored"),
            Self::BandwidthLimitRestored => f.write_str("the bandwidth limit was restored"),
            Self::Resumed(side) => write!(f, "the guest was resumed on the {side}"),
            Self::Destroyed(side) => write!(f, "the copy left on the {side} was removed"),
            Self::Undefined(side) => write!(f, "the definition left on the {side} was removed"),
            Self::DisksRemoved => f.write_str("the disks created on the destination were removed"),
            Self::PostcopyResumed => f.write_str("post-copy was resumed"),
        }
    }
}
