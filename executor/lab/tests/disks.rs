//! Copies of disks between hosts with storage of their own, for real: what is copied, what is never overwritten, and what is
//! removed again.

#![cfg(test)]

use std::path::{Path, PathBuf};

use whimbrel_lab::testing::LONG;
use whimbrel_lab::{Guest, GuestDisk, GuestSpec, ImageFormat, Lab, LabOptions, STORAGE, testing};

/// A lab with a pool on each host, and a guest on alpha with these disks.
fn lab_with(disks: Vec<GuestDisk>, lab: Lab) -> (Lab, Guest) {
    let spec = GuestSpec { memory_mib: 128, region_mib: 32, disks, ..GuestSpec::default() };
    let guest = lab.start_guest(&spec).unwrap();
    (lab, guest)
}

fn lab() -> Lab {
    let lab = Lab::build(&LabOptions::default()).unwrap();
    for host in [lab.alpha(), lab.beta()] {
        host.create_pool().unwrap();
    }
    lab
}

/// `whimbrel migrate guest` from alpha to beta, with these options more.
fn migrate(lab: &Lab, more: &[&str]) -> (i32, String) {
    let journal = lab.folder().join("disks.journal");
    let _ = std::fs::remove_file(&journal);
    let options = [&["--journal", journal.to_str().unwrap()], more].concat();
    let (code, output) = testing::run(lab, "guest", (lab.alpha(), lab.beta()), &["migrate"], &options);
    println!("migrate {more:?}: {code:?}\n{output}");
    (code.unwrap_or(-1), output)
}

fn image(lab: &Lab, name: &str, format: ImageFormat) -> GuestDisk {
    GuestDisk::new(lab.alpha().create_image(name, format, 16, 1).unwrap(), format)
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn disks_of_each_format_are_copied_and_a_shared_one_is_left_out() {
    let lab = lab();
    // Both hosts see this folder of the machine. Not in memory: QEMU opens the disk without the host's cache.
    let folder = PathBuf::from(format!("/var/tmp/whimbrel-disks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let shared = folder.join("shared.raw");
    std::fs::write(&shared, vec![7_u8; 4 << 20]).unwrap();
    let shared_disk = GuestDisk { cache: "none", ..GuestDisk::new(&shared, ImageFormat::Raw) };
    let disks =
        vec![image(&lab, "a.raw", ImageFormat::Raw), image(&lab, "b.qcow2", ImageFormat::Qcow2), shared_disk];
    let [raw, qcow2] = ["a.raw", "b.qcow2"].map(|name| Path::new(STORAGE).join(name));
    let digest = lab.alpha().disk_digest(&raw, ImageFormat::Raw).unwrap();
    let (lab, guest) = lab_with(disks, lab);
    // To name the shared one is refused: it would be copied onto itself.
    let (code, output) = migrate(&lab, &["--copy-disks=vda,vdb,vdc"]);
    assert_eq!((code, output.contains("storage.copy-of-shared")), (3, true));
    assert!(!lab.beta().has_file(&raw), "nothing was begun");
    // Without a probe nothing is known, and nothing begins.
    let (code, output) = migrate(&lab, &["--copy-disks", "--no-probe"]);
    assert_eq!((code, output.contains("storage.copy-unproven")), (3, true));
    let (code, _) = migrate(&lab, &["--copy-disks", "--unsafe"]);
    assert_eq!(code, 0);
    guest.wait_until(LONG, |now| now.owner == Some(1)).unwrap();
    assert_eq!(lab.beta().disk_digest(&raw, ImageFormat::Raw).unwrap(), digest);
    assert_eq!(lab.beta().disk_digest(&qcow2, ImageFormat::Qcow2).unwrap(), digest);
    assert_eq!(std::fs::read(&shared).unwrap(), vec![7_u8; 4 << 20]);
    lab.remove().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_file_there_is_overwritten_only_if_that_is_allowed_and_no_guest_uses_it() {
    let lab = lab();
    let disks = vec![image(&lab, "a.raw", ImageFormat::Raw), image(&lab, "b.qcow2", ImageFormat::Qcow2)];
    let (lab, guest) = lab_with(disks, lab);
    let raw = lab.beta().create_image("a.raw", ImageFormat::Raw, 16, 9).unwrap();
    let qcow2 = lab.beta().create_image("b.qcow2", ImageFormat::Qcow2, 16, 9).unwrap();
    let there = || [&raw, &qcow2].map(|path| lab.beta().file_digest(path).unwrap());
    let before = there();
    let allow = |path: &Path| format!("--overwrite-disk={}", path.display());
    let both = [allow(&raw), allow(&qcow2)];
    for more in [vec!["--copy-disks"], vec!["--copy-disks", both[0].as_str()]] {
        let (code, output) = migrate(&lab, &more);
        assert_eq!((code, output.contains("storage.overwrite")), (3, true), "{more:?}");
        assert_eq!(there(), before, "{more:?}");
    }
    // A rule can be weighed down; the driver looks again.
    let policy = lab.folder().join("policy.toml");
    std::fs::write(&policy, "[rule.\"storage.overwrite\"]\nseverity = \"warn\"\n").unwrap();
    let (code, output) = migrate(&lab, &["--copy-disks", "--rule-settings", &policy.to_string_lossy()]);
    assert_eq!((code, output.contains("would overwrite")), (3, true));
    assert_eq!(there(), before);
    // A guest there that is off uses one of them: whatever is allowed, it stays.
    let other = GuestSpec {
        name: "other".to_owned(),
        memory_mib: 128,
        region_mib: 32,
        disks: vec![GuestDisk::new(&raw, ImageFormat::Raw)],
        ..GuestSpec::default()
    };
    lab.define_guest_on(lab.beta(), &other).unwrap();
    let allowed = ["--copy-disks", both[0].as_str(), both[1].as_str()];
    let (code, output) = migrate(&lab, &allowed);
    assert_eq!((code, output.contains("other")), (3, true));
    assert_eq!(there(), before);
    lab.beta().virsh(&["undefine", "other"]).unwrap();
    let (code, _) = migrate(&lab, &allowed);
    assert_eq!(code, 0);
    guest.wait_until(LONG, |now| now.owner == Some(1)).unwrap();
    let expected = lab.alpha().disk_digest(&raw, ImageFormat::Raw).unwrap();
    assert_eq!(lab.beta().disk_digest(&raw, ImageFormat::Raw).unwrap(), expected);
    assert_eq!(lab.beta().disk_digest(&qcow2, ImageFormat::Qcow2).unwrap(), expected);
    lab.remove().unwrap();
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_rollback_removes_its_own_file_alone() {
    let lab = lab();
    let disks = vec![image(&lab, "a.raw", ImageFormat::Raw), image(&lab, "b.raw", ImageFormat::Raw)];
    let (lab, _guest) = lab_with(disks, lab);
    let own = Path::new(STORAGE).join("a.raw");
    let foreign = lab.beta().create_image("b.raw", ImageFormat::Raw, 16, 9).unwrap();
    let overwrite = format!("--overwrite-disk={}", foreign.display());
    // The copy of disks cannot end in this time, so the migration is cancelled.
    let slow = ["--copy-disks", overwrite.as_str(), "--bandwidth", "1", "--timeout", "2"];
    let (code, output) = migrate(&lab, &slow);
    assert_eq!(code, 3);
    assert!(output.contains("the disks created on") && output.contains("were removed"));
    assert!(!lab.beta().has_file(&own) && lab.beta().has_file(&foreign));
    assert_eq!(
        lab.alpha().domain_state("guest").unwrap().map(|state| state.starts_with("running")),
        Some(true)
    );
    // Without a pool no file can be created there: nothing begins.
    lab.beta().virsh(&["pool-destroy", "images"]).unwrap();
    let (code, output) = migrate(&lab, &["--copy-disks", overwrite.as_str()]);
    assert_eq!((code, output.contains("storage.copy-target")), (3, true));
    lab.remove().unwrap();
}
