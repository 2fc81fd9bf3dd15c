//! What can be known of a guest before it is migrated: how fast it dirties how much of its memory.
//!
//! It is measured on the running guest, twice: by QEMU's own sampling, which an operator has everywhere, and by
//! looking at every page, which only the recorder can.

use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::RecordError;
use super::endpoint::Endpoint;
use super::memory::GuestMemory;
use crate::LabError;

/// Pages that QEMU samples of each GiB: the most that it takes, one in sixteen.
const SAMPLED_A_GIB: u64 = 16_384;
/// When all pages are read, in seconds since the first read.
const LOOKS_S: [u64; 4] = [1, 2, 4, 8];
/// How much longer than asked a measurement may take.
const LATE: Duration = Duration::from_secs(30);

/// The measurements.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Profile {
    /// Seconds that QEMU was asked to sample over, and the MiB a second that it found dirtied.
    sampled: Vec<(u64, u64)>,
    /// Pages that QEMU samples of each GiB.
    sampled_pages_per_gib: u64,
    /// Seconds from the first look, and the pages whose content was another one then.
    counted: Vec<(f64, usize)>,
    /// Pages that held something other than zeros, at the last look.
    nonzero_pages: usize,
}

/// Measures for half a minute or so.
pub(super) fn measure(
    source: &mut Endpoint,
    memory_mib: u64,
    sample_s: &[u64],
) -> Result<Profile, RecordError> {
    let sampled =
        sample_s.iter().map(|&s| Ok((s, sample(source, s)?))).collect::<Result<_, RecordError>>()?;
    let memory = GuestMemory::of(source.pid, memory_mib)?;
    let first = memory.look()?;
    let (mut counted, mut nonzero_pages) = (Vec::new(), first.nonzero_pages());
    for s in LOOKS_S {
        let due = first.at + Duration::from_secs(s);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let look = memory.look()?;
        let since = look.at.saturating_duration_since(first.at);
        counted.push(((since.as_secs_f64() * 1000.0).round() / 1000.0, look.changed_since(&first)));
        nonzero_pages = look.nonzero_pages();
    }
    Ok(Profile { sampled, sampled_pages_per_gib: SAMPLED_A_GIB, counted, nonzero_pages })
}

/// MiB a second that QEMU finds dirtied over so many seconds.
fn sample(source: &mut Endpoint, seconds: u64) -> Result<u64, RecordError> {
    let asked = json!({"calc-time": seconds, "sample-pages": SAMPLED_A_GIB, "mode": "page-sampling"});
    source.qmp.execute("calc-dirty-rate", &asked)?;
    let allowed = Duration::from_secs(seconds) + LATE;
    let deadline = Instant::now() + allowed;
    thread::sleep(Duration::from_secs(seconds));
    loop {
        let found = source.qmp.execute("query-dirty-rate", &json!({}))?;
        if found.get("status").and_then(Value::as_str) == Some("measured") {
            let rate =
                found.get("dirty-rate").and_then(Value::as_i64).and_then(|rate| u64::try_from(rate).ok());
            return rate.ok_or_else(|| RecordError::Answer(format!("the dirty rate: {found}")));
        }
        if Instant::now() > deadline {
            return Err(
                LabError::Timeout { what: "QEMU's sampling of the dirty rate".into(), allowed }.into()
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
}
