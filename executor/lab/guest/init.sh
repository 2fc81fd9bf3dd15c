#!/bin/busybox sh
# The first program of the recorder's Linux guest: starts one workload, and then says once a second that it lives.
# It must never print anything else to the console once it is ready: every letter is work for the emulated machine.

b=/bin/busybox
$b mkdir -p /proc /sys /dev /tmp
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev 2>/dev/null
$b mount -t tmpfs tmp /tmp
$b ip link set lo up
export PATH=/usr/bin:/bin HOME=/tmp
cd /tmp

word() { $b sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline; }

# Writes of a random order to all of its memory, again and again.
stress() { stress-ng --quiet --vm 1 --vm-bytes "$1" --vm-keep --vm-method rand-set --timeout 0 >/dev/null 2>&1 & }

server() {
    # The server and its checker are one program, which looks at its name.
    $b ln -s /usr/bin/redis-check-rdb /tmp/redis-server
    /tmp/redis-server --save '' --appendonly no >/dev/null 2>&1 &
    $b sleep 2
}

# Values of 512 bytes under random ones of 100,000 keys.
set_keys() { redis-benchmark -t set -r 100000 -d 512 -c 4 -q "$@" >/dev/null 2>&1; }

sources() {
    for i in $($b seq 300); do
        echo "int f$i(int a, int b) { int i, s = 0; for (i = 0; i < a; i++) s += b * i + $i; return s; }"
    done >/tmp/source.c
}

case $(word workload) in
idle) ;;
stress-ng-vm-16m) stress 16M ;;
stress-ng-vm-64m) stress 64M ;;
redis) server; (while :; do set_keys -n 100000; done) & ;;
redis-bursts) server; (while :; do set_keys -n 1000; $b sleep 1; done) & ;;
compile) sources; (while :; do tcc -c source.c -o object.o; done) & ;;
*) echo "recorder: no such workload"; exec $b sleep 86400 ;;
esac

switcher
$b sleep 3
echo "recorder: ready"
while :; do
    $b sleep 1
    echo "recorder: alive"
done
