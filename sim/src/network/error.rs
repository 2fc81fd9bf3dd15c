//! What a network refuses.

use std::fmt;

use super::{FlowId, HostId, SegmentId};

/// Why something was not done; the network is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// The host was removed, or belongs to another network.
    UnknownHost(HostId),
    /// The segment was removed, or belongs to another network.
    UnknownSegment(SegmentId),
    /// The flow was closed, or belongs to another network.
    UnknownFlow(FlowId),
    /// A path or a flow must lead from one host to another.
    SameHost(HostId),
    /// A path crosses the segment twice.
    RepeatedSegment(SegmentId),
    /// Flows still begin or end at the host.
    HostInUse(HostId),
    /// A path still crosses the segment.
    SegmentInUse(SegmentId),
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownHost(_) => {
                "the network has no such host; it was removed or belongs to another network"
            }
            Self::UnknownSegment(_) => {
                "the network has no such segment; it was removed or belongs to another network"
            }
            Self::UnknownFlow(_) => {
                "the network has no such flow; it was closed or belongs to another network"
            }
            Self::SameHost(_) => "a path leads from a host to itself; name two hosts",
            Self::RepeatedSegment(_) => "a path crosses a segment twice; name each segment once",
            Self::HostInUse(_) => "flows still begin or end at the host; close them first",
            Self::SegmentInUse(_) => "a path still crosses the segment; change or remove the path first",
        })
    }
}

impl std::error::Error for NetworkError {}
