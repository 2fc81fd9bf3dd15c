/*
 * For the recorder's Linux guest: makes every processor switch tasks 1000 times a second.
 *
 * QEMU 7.2, emulating, loses writes to pages whose translation has been buffered since before a dirty-bitmap sync
 * (see machine.h). A switch to a task with a memory of its own empties the buffer, so with this no write goes unseen
 * for longer than a millisecond. It must never use a library or memory of its own: it is to cost nothing but switches.
 */

#define PROCESSORS_MAX 8
#define SYS_NANOSLEEP 35
#define SYS_FORK 57
#define SYS_EXIT 60
#define SYS_SCHED_SETAFFINITY 203

static long call(long number, long one, long two, long three)
{
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(one), "S"(two), "d"(three)
                     : "rcx", "r11", "memory");
    return result;
}

_Noreturn void _start(void)
{
    for (unsigned long processor = 0; processor < PROCESSORS_MAX; processor++) {
        if (call(SYS_FORK, 0, 0, 0) != 0)
            continue;
        unsigned long mask = 1ul << processor;
        if (call(SYS_SCHED_SETAFFINITY, 0, sizeof mask, (long)&mask) < 0)
            call(SYS_EXIT, 0, 0, 0); /* there is no such processor */
        for (;;) {
            long pause[2] = {0, 1000000};
            call(SYS_NANOSLEEP, (long)pause, 0, 0);
        }
    }
    call(SYS_EXIT, 0, 0, 0);
    __builtin_unreachable();
}
