//! The page on two real hosts, in a real browser.

use std::path::PathBuf;

use whimbrel_lab::testing::LONG;
use whimbrel_lab::{GuestSpec, Lab, LabOptions};

use crate::harness::Service;

#[test]
#[ignore = "needs root, libvirt and a browser; run with cargo xtask test"]
fn a_guest_is_migrated_between_real_hosts_in_the_page() {
    let page = std::env::var_os("WHIMBREL_PAGE")
        .expect("WHIMBREL_PAGE names the page's tests; run cargo xtask test");
    let page = PathBuf::from(page);
    let lab = Lab::build(&LabOptions::default()).unwrap();
    lab.enter_operator().unwrap();
    let spec = GuestSpec { name: "wren".to_owned(), writes_per_second: 1_000, ..GuestSpec::default() };
    let guest = lab.start_guest(&spec).unwrap();
    let (from, to) = (lab.alpha().uri(), lab.beta().uri());
    let service = Service::start(&lab, lab.operator_command("setpriv"), 1, &["--host", &from, "--host", &to]);
    let mut node = lab.operator_command("node");
    node.current_dir(&page).arg("hosts.mjs").arg(page.join("pictures"));
    let status = node.args([&service.address, "wren", &to]).status().unwrap();
    assert!(status.success(), "the page's test failed: {status}");
    assert_eq!(lab.beta().domain_state("wren").unwrap().as_deref(), Some("running (migrated)"));
    let now = guest.snapshot();
    let seen = guest.wait_for_scan_after(&now, LONG).unwrap();
    assert_eq!((seen.bad, seen.lost, seen.two_copies_ran()), (0, 0, false), "{seen:?}");
    drop(service);
    lab.remove().unwrap();
}
