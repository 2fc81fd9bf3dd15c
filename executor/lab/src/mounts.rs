//! The mounts that make a host's file system, as shell commands for its first process.
//!
//! A host shares the machine's system, or has a root of its own, which it sees read-only: `pivot_root` leaves nothing of
//! the machine's file system within its reach but the devices and the lab's folder. In both cases libvirt's folders and a
//! few files are its own. Its sysfs is its own too: a sysfs shows the network devices of the namespace that it was
//! mounted in, so with the machine's libvirt would list the machine's. Control groups stay the machine's: they hang below
//! the sysfs. It must never mount anything that the machine sees: all of this runs in a mount namespace of its own.

/// libvirt's folders.
const FOLDERS: &str = "etc/libvirt var/lib/libvirt var/cache/libvirt var/log/libvirt run/libvirt";
/// Files that each host has for itself.
const FILES: &str = "etc/hosts etc/nsswitch.conf etc/passwd etc/group etc/shadow";

/// The script. `$1` is the host's name, `$2` the folder with its own files, and `$3` its root, where it has one. `then` is
/// what follows.
pub(crate) fn script(own_root: bool, then: &str) -> String {
    let mounts = if own_root { with_root() } else { on_the_machine() };
    format!("set -e; hostname \"$1\"; ip link set lo up; {mounts} cd /; {then}")
}

fn on_the_machine() -> String {
    format!(
        "cd \"$2\"; for d in {FOLDERS}; do mkdir -p /$d; mount --bind $d /$d; done; \
         mkdir -p cgroup; [ ! -d /sys/fs/cgroup ] || mount --rbind /sys/fs/cgroup cgroup; \
         mount -t sysfs sysfs /sys; [ ! -d /sys/fs/cgroup ] || mount --move cgroup /sys/fs/cgroup; \
         for f in {FILES}; do mount --bind $f /$f; done; \
         [ ! -e /var/log/btmp ] || mount --bind var/log/btmp /var/log/btmp;"
    )
}

/// The guest's program and the sockets of its consoles are in the lab's folder, and have the same paths in the root.
fn with_root() -> String {
    format!(
        "mkdir -p \"$2/system\"; mount --bind \"$3\" \"$2/system\"; \
         mount -o remount,bind,ro \"$2/system\"; cd \"$2/system\"; \
         mount -t proc proc proc; mount --rbind /dev dev; mount -t sysfs sysfs sys; \
         [ ! -d sys/fs/cgroup ] || [ ! -d /sys/fs/cgroup ] || mount --rbind /sys/fs/cgroup sys/fs/cgroup; \
         for d in run tmp var/tmp; do mount -t tmpfs tmpfs $d; done; chmod 1777 tmp var/tmp; \
         lab=$(dirname \"$2\"); mkdir -p \"./$lab\" run/libvirt run/machine; mount --bind \"$lab\" \"./$lab\"; \
         for d in {FOLDERS}; do mount --bind \"$2/$d\" $d; done; \
         for f in {FILES}; do mount --bind \"$2/$f\" $f; done; \
         [ ! -e var/log/btmp ] || mount --bind \"$2/var/log/btmp\" var/log/btmp; \
         pivot_root . run/machine; cd /; umount --lazy /run/machine; rmdir /run/machine;"
    )
}
