//! Files and environments that are not as a user expects: a full disk, an endless device, no home.

#![cfg(test)]

mod folder;

#[cfg(feature = "service")]
use std::fs;
use std::fs::File;
use std::process::{Output, Stdio};

use folder::Folder;

#[cfg(feature = "service")]
const DOMAIN: &str = "<domain type='kvm'><name>web</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>\
                      <memory unit='MiB'>1024</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>\
                      <devices/></domain>";

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A document that a full disk cut short must not look like a success.
#[test]
fn a_full_disk_is_an_error_of_every_verb() {
    let folder = Folder::new("full");
    let light = [["simulate", "--list"].as_slice(), &["policy", "list"]];
    #[cfg(not(feature = "service"))]
    let all = light;
    #[cfg(feature = "service")]
    let all = {
        fs::write(folder.0.join("domain.xml"), DOMAIN).unwrap();
        let service = [
            ["rule", "lock"].as_slice(),
            &["rule", "schema"],
            &["rule", "list"],
            &["rule", "explain", "storage.lease"],
            &["facts", "from-xml", "--domain", "domain.xml"],
            &["facts", "collect", "web", "sim://beta", "--source", "sim://alpha"],
            &["check", "web", "sim://beta", "--source", "sim://alpha"],
            &["check", "web", "sim://beta", "--source", "sim://alpha", "--format", "json"],
            &["check", "--all-guests", "sim://alpha", "--to", "sim://beta"],
        ];
        light.into_iter().chain(service)
    };
    for arguments in all {
        let full = Stdio::from(File::create("/dev/full").unwrap());
        let output = folder.whimbrel(arguments).stdout(full).output().unwrap();
        let message = message(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(
            message.contains("standard output") && message.contains("No space"),
            "{arguments:?}: {message}"
        );
    }
}

/// A reader that has seen enough is no error.
#[test]
fn a_closed_pipe_is_no_error() {
    let folder = Folder::new("pipe");
    let mut child = folder.whimbrel(&["simulate", "--list"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_endless_device_is_refused_and_not_read() {
    let folder = Folder::new("zero");
    let light = [["replay", "/dev/zero"].as_slice(), &["simulate", "/dev/zero"]];
    #[cfg(not(feature = "service"))]
    let all = light;
    #[cfg(feature = "service")]
    let all = light.into_iter().chain([
        ["facts", "from-xml", "--domain", "/dev/zero"].as_slice(),
        &["facts", "from-journal", "/dev/zero"],
        &["rule", "check", "--facts", "/dev/zero"],
        &["rule", "inspect", "/dev/zero"],
    ]);
    for arguments in all {
        let output = folder.whimbrel(arguments).output().unwrap();
        let message = message(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains("it is a device"), "{arguments:?}: {message}");
    }
}

/// State in the current folder would not be found again from another one.
#[cfg(feature = "service")]
#[test]
fn without_a_home_nothing_is_kept_and_nothing_is_done() {
    let folder = Folder::new("home");
    for (home, state) in [(None, None), (Some(""), None), (Some("relative"), Some("relative"))] {
        let mut command = folder.whimbrel(&[
            "migrate",
            "web",
            "sim://beta",
            "--source",
            "sim://alpha",
            "--sim-speed",
            "1000",
        ]);
        command.env_remove("HOME");
        command.envs(home.map(|home| ("HOME", home)));
        command.envs(state.map(|state| ("XDG_STATE_HOME", state)));
        let output = command.output().unwrap();
        let message = message(&output);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("HOME") && message.contains("--journal"), "{message}");
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "{home:?}");
    }
}

/// Where a guest is that no host was found to have is not known.
#[cfg(feature = "service")]
#[test]
fn a_guest_that_does_not_exist_is_on_no_host() {
    let folder = Folder::new("none");
    let arguments = ["migrate", "nosuch", "sim://beta", "--source", "sim://alpha", "--sim-speed", "1000"];
    let output = folder.whimbrel(&arguments).output().unwrap();
    let text = message(&output) + &String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("no guest `nosuch`; running there: `build`, `database`, `idle`, `web`"), "{text}");
    assert!(!text.contains("`nosuch` is on alpha"), "{text}");
    assert!(text.contains("nothing was done"), "{text}");
}

/// A token grants access to each of its readers.
#[cfg(feature = "service")]
#[test]
fn a_token_file_that_others_can_read_is_used_with_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new("token");
    let token = folder.0.join("token");
    fs::write(&token, "secret").unwrap();
    for (mode, is_warned) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
        fs::set_permissions(&token, fs::Permissions::from_mode(mode)).unwrap();
        let arguments = ["list", "--service", "http://127.0.0.1:1", "--token-file", "token"];
        let output = folder.whimbrel(&arguments).output().unwrap();
        assert_eq!(message(&output).contains("chmod 600 token"), is_warned, "{mode:o}: {}", message(&output));
    }
}
