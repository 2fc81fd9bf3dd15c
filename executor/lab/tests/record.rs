//! The recorder, for real: short runs of both drivers, whose lines hang together and can be read by those who use them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests stand outside the tests themselves"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use whimbrel_lab::record::{Emulator, Outcome, Plan, Request, record};
use whimbrel_verify::fidelity;

const PLAN: &str = r#"
[quiet]
wait_s = 1

[[case]]
name = "short"
guest = "m=1 w=4096 n=1 c=2000000 f=8192"
ram_mib = 128
bandwidth_mib_per_second = 60
downtime_limit_ms = 50
repeats = 2

[[case]]
name = "never"
guest = "m=2 w=4096 n=8 v=2"
ram_mib = 128
bandwidth_mib_per_second = 16
downtime_limit_ms = 20
timeout_s = 1
repeats = 1

[[case]]
name = "libvirt"
driver = "libvirt"
guest = "m=1 w=4096 n=1 c=2000000"
ram_mib = 128
bandwidth_mib_per_second = 60
repeats = 1
"#;

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn list<'a>(row: &'a Value, field: &str) -> &'a [Value] {
    row[field].as_array().unwrap()
}

/// What must hold for every migration by pre-copy, whatever the machine was doing meanwhile.
fn hangs_together(row: &Value) {
    let syncs = list(row, "sync_list");
    if row["status"] == "completed" {
        assert_eq!(u64::try_from(syncs.len()).ok(), row["syncs"].as_u64(), "{row}");
        let sent: u64 = list(row, "windows").iter().map(|window| window[1].as_u64().unwrap()).sum();
        assert!(sent <= row["transferred"].as_u64().unwrap(), "{row}");
    }
    assert_eq!(
        (syncs.len(), syncs.len()),
        (list(row, "sync_pages").len(), list(row, "sync_remaining").len())
    );
    let times: Vec<f64> = syncs.iter().map(|sync| sync[0].as_f64().unwrap()).collect();
    assert!(times[0] == 0.0 && times.is_sorted(), "{times:?}");
    let last = times.last().unwrap() * 1000.0;
    assert!(last <= row["total_ms"].as_f64().unwrap() + 5.0, "{row}");
    assert_eq!(row["guest_witness"], true, "{row}");
    assert!(row["tsc_hz"].as_u64().unwrap() > 100_000_000);
    assert!((0.0..=1.0).contains(&row["busy"].as_f64().unwrap()));
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn what_is_recorded_hangs_together_and_is_recorded_once() {
    let out = Scratch(std::env::temp_dir().join(format!("recorder-{}.jsonl", std::process::id())));
    let _ = fs::remove_file(&out.0);
    let plan = Plan::parse(PLAN, Path::new("plan.toml")).unwrap();
    let request = Request {
        only: &[],
        repeats: None,
        out: &out.0,
        emulator: &Emulator::Installed,
        linux: None,
        quiet_wait_at_most: None,
    };
    let mut lines = Vec::new();
    let outcome = record(&plan, &request, &mut |line| lines.push(line.to_owned())).unwrap();
    let without_times = Outcome { waited: Duration::ZERO, ..outcome };
    assert_eq!(without_times, Outcome { recorded: 4, ..Outcome::default() }, "{lines:#?}");

    let text = fs::read_to_string(&out.0).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    rows.iter().for_each(hangs_together);
    let of = |name: &str| rows.iter().filter(|row| row["name"] == name).collect::<Vec<_>>();
    for row in of("short") {
        assert_eq!((&row["status"], &row["driver"]), (&"completed".into(), &"qemu".into()));
        assert!(
            row["normal"].as_u64().unwrap() >= 8192 && row["remaining"] == 0,
            "all filled pages were sent"
        );
        let asked = row["tsc_hz"].as_f64().unwrap() / 2e6;
        assert!((row["rate"].as_f64().unwrap() / asked - 1.0).abs() < 0.1, "{row}");
        assert_eq!(list(row, "vmstop").len(), 1);
    }
    let never = of("never")[0];
    assert_eq!((&never["status"], &never["down_ms"]), (&"timeout".into(), &Value::Null), "{never}");
    let libvirt = of("libvirt")[0];
    assert!(libvirt["libvirt"].is_string() && libvirt["status"] == "completed", "{libvirt}");

    let short: Vec<&str> = text.lines().filter(|line| line.contains(r#""name":"short""#)).collect();
    let cases = fidelity::read(&short.join("\n")).unwrap();
    assert_eq!((cases.len(), cases[0].repeats.len()), (1, 2));

    let again = record(&plan, &request, &mut |_| ()).unwrap();
    assert_eq!(again, Outcome { skipped: 4, ..Outcome::default() });
    let owner = format!("{}-", std::process::id());
    let left = fs::read_dir("/run/whimbrel-lab").into_iter().flatten().flatten();
    assert_eq!(left.filter(|entry| entry.file_name().to_string_lossy().starts_with(&owner)).count(), 0);
}
