#!/bin/busybox sh
# The init process of the recorder's Linux guest: starts one workload, and then reports once a second that it is alive.
# It must never print anything else to the console once it is ready: every character is work for the emulated machine.

b=/bin/busybox
$b mkdir -p /proc /sys /dev /tmp
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev 2>/dev/null
$b mount -t tmpfs tmp /tmp
$b ip link set lo up
export PATH=/usr/bin:/bin HOME=/tmp
cd /tmp

word() { $b sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline; }

# Repeated writes in random order to all of its memory.
stress() { stress-ng --quiet --vm 1 --vm-bytes "$1" --vm-keep --vm-method rand-set --timeout 0 >/dev/null 2>&1 & }

server() {
    # The server and its checker are one program, which decides by its name.
    $b ln -s /usr/bin/redis-check-rdb /tmp/redis-server
    /tmp/redis-server --save '' --appendonly no >/dev/null 2>&1 &
    $b sleep 2
}

# Twelve random digits in the middle of a value of 4 KB, under a random one of 20,000 keys. The benchmark's own
# writes would replace bytes by the same bytes.
change_values() {
    redis-benchmark -r 20000 -c 4 -q "$@" SETRANGE key:__rand_int__ 4000 __rand_int__ >/dev/null 2>&1
}

sources() {
    for i in $($b seq 300); do
        echo "int f$i(int a, int b) { int i, s = 0; for (i = 0; i < a; i++) s += b * i + $i; return s; }"
    done >/tmp/source.c
}

case $(word workload) in
idle) ;;
stress-ng-vm-16m) stress 16M ;;
stress-ng-vm-64m) stress 64M ;;
redis) server; (while :; do change_values -n 100000; done) & ;;
redis-bursts) server; (change_values -n 20000; while :; do change_values -n 1000; $b sleep 1; done) & ;;
compile) sources; for i in 1 2; do (while :; do tcc -c source.c -o object$i.o; done) & done ;;
*) echo "recorder: no such workload"; exec $b sleep 86400 ;;
esac

switcher
$b sleep 3
echo "recorder: ready"
while :; do
    $b sleep 1
    echo "recorder: alive"
done
