/*
 * The lab's guest: it dirties its memory in an exactly known pattern, and bears witness.
 *
 * After filling a region with data it writes to uniformly drawn pages at a rate paced by the
 * time-stamp counter, scans the whole region about every second, and reports on the serial line:
 *
 *   i <pages> <tsc kHz>                    once, when the region is filled
 *   t <seq> <writes> <scans> <bad>         every 5 ms of guest time; all numbers hexadecimal
 *
 * A page that a migration lost, tore or brought in an older version changes the sum of the pages'
 * counts or breaks a check word, in this scan and in all later ones: `bad` never goes down.
 * The guest must never touch the region in any other way, and must never reset a counter: a report
 * that starts again from one means that the guest was started twice.
 */

#include <stdint.h>

#define REGION ((volatile struct page *)0x1000000) /* 16 MiB: above firmware, kernel, command line */
#define MAX_PHASES 16
#define SCAN_SLICE 256  /* pages a turn, so that pacing and ticks go on during a scan */
#define WRITE_SLICE 512 /* writes a turn, for the same reason when it catches up */
#define TICKS_PER_SECOND 200
#define TIMER_HZ 1000
#define PIT_HZ 1193182

struct page {
    uint32_t index;
    uint32_t count;
    uint32_t check;
    uint32_t filler[1020];
    uint32_t tail; /* the check word again, at the page's far end, so that half a page shows */
};

struct phase {
    uint32_t length_ms;
    uint32_t writes_per_s;
};

static struct {
    uint32_t pages, writes_per_s, seed, phase_count;
    struct phase phases[MAX_PHASES];
} config = {.seed = 1};

static uint64_t tsc_hz;
static uint64_t total_writes;
static uint64_t bad;
static uint32_t scans;

/* ---- the machine ---- */

static inline void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint64_t tsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/*
 * QEMU 7.2, emulating, does not tell its translation buffer that a migration has cleared the dirty
 * bitmap: later writes to a page whose translation is still buffered are not seen, and are lost.
 * Systems that switch tasks flush the buffer all the time and rarely meet this; this guest would
 * always. So it drops the translation of every page that it writes, and all of them every turn.
 */
static inline void forget_page(volatile void *page) { __asm__ volatile("invlpg (%0)" ::"r"(page) : "memory"); }

static inline void forget_all_pages(void)
{
    uint32_t control;
    /* Without paging there is no page table to load again; a change of write protection flushes too. */
    __asm__ volatile("mov %%cr0, %0; xor $0x10000, %0; mov %0, %%cr0" : "=r"(control)::"memory");
}

/* Divides by 32-bit long division: there is no compiler run-time library to do it. */
static uint64_t divide(uint64_t dividend, uint32_t divisor)
{
    uint32_t high = (uint32_t)(dividend >> 32), low = (uint32_t)dividend;
    uint32_t quotient_high = high / divisor, quotient_low, rest = high % divisor;
    __asm__("divl %4" : "=a"(quotient_low), "=d"(rest) : "0"(low), "1"(rest), "r"(divisor));
    return (uint64_t)quotient_high << 32 | quotient_low;
}

/* One reading of timer channel 2 with the counter's value beside it. A reading that was interrupted
   on the host took long; the tightest of many is good to a few microseconds. */
struct reading {
    uint64_t at, width;
    uint32_t count;
};

static struct reading read_timer(void)
{
    struct reading reading;
    uint64_t before = tsc();
    out8(0x43, 0x80); /* latch channel 2 */
    reading.count = in8(0x42);
    reading.count |= (uint32_t)in8(0x42) << 8;
    reading.width = tsc() - before;
    reading.at = before + (reading.width >> 1);
    return reading;
}

static struct reading tightest_until(uint32_t count)
{
    struct reading best = read_timer(), next = best;
    while (next.count > count) {
        next = read_timer();
        if (next.width < best.width && next.count > count)
            best = next;
    }
    return best;
}

/* The frequency of the time-stamp counter, by the timer, which counts down from 65535 in 55 ms. */
static uint64_t measure_tsc_hz(void)
{
    out8(0x61, (uint8_t)((in8(0x61) & ~2u) | 1u)); /* gate on, speaker off */
    out8(0x43, 0xb0);                              /* channel 2, both bytes, mode 0 */
    out8(0x42, 0xff);
    out8(0x42, 0xff);
    struct reading first = tightest_until(60000);
    (void)tightest_until(8000);
    struct reading last = tightest_until(3000);
    uint32_t counted = first.count - last.count;
    return divide((last.at - first.at) * PIT_HZ, counted);
}

static void put(char c)
{
    while (!(in8(0x3fd) & 0x20))
        ;
    out8(0x3f8, (uint8_t)c);
}

static void put_hex(uint64_t value, char end)
{
    int shift = 60;
    while (shift > 0 && !(value >> shift))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        put("0123456789abcdef"[(value >> shift) & 15]);
    put(end);
}

extern void timer_interrupt(void);

static uint64_t interrupts[33];

/* A periodic timer interrupt, so that the guest can halt when it has nothing to do: a guest that
   spins would take a processor from the migration that is being watched. */
static void start_timer(void)
{
    static struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) pointer;
    uint32_t handler = (uint32_t)timer_interrupt;
    interrupts[32] = (uint64_t)(handler >> 16) << 48 | (uint64_t)0x8e00 << 32 | 0x08u << 16 | (handler & 0xffff);
    pointer.limit = sizeof interrupts - 1;
    pointer.base = (uint32_t)interrupts;
    __asm__ volatile("lidt %0" ::"m"(pointer));

    out8(0x20, 0x11); /* first interrupt controller: vectors from 32, everything masked but the timer */
    out8(0x21, 32);
    out8(0x21, 4);
    out8(0x21, 1);
    out8(0x21, 0xfe);
    out8(0xa1, 0xff);

    uint32_t divisor = PIT_HZ / TIMER_HZ;
    out8(0x43, 0x34); /* channel 0, both bytes, rate generator */
    out8(0x40, (uint8_t)divisor);
    out8(0x40, (uint8_t)(divisor >> 8));
    __asm__ volatile("sti");
}

/* ---- the command line ---- */

static uint32_t number(const char **text)
{
    uint32_t value = 0;
    while (**text >= '0' && **text <= '9')
        value = value * 10 + (uint32_t)(*(*text)++ - '0');
    return value;
}

static int takes(const char **text, const char *key)
{
    const char *at = *text;
    while (*key)
        if (*at++ != *key++)
            return 0;
    *text = at;
    return 1;
}

static void parse(const char *text)
{
    while (*text) {
        if (takes(&text, "pages="))
            config.pages = number(&text);
        else if (takes(&text, "rate="))
            config.writes_per_s = number(&text);
        else if (takes(&text, "seed="))
            config.seed = number(&text);
        else if (takes(&text, "phase=") && config.phase_count < MAX_PHASES) {
            struct phase *phase = &config.phases[config.phase_count++];
            phase->length_ms = number(&text);
            if (*text == ':')
                text++;
            phase->writes_per_s = number(&text);
        }
        while (*text && *text != ' ')
            text++;
        while (*text == ' ')
            text++;
    }
}

/* ---- the witness ---- */

/* A bijective mix of index and count, never the value that a page of zeros holds. */
static uint32_t check_word(uint32_t index, uint32_t count)
{
    uint32_t word = index * 0x9e3779b1u ^ (count + 0x7f4a7c15u) * 0x85ebca6bu;
    word ^= word >> 15;
    return word * 0x2c1b3c6du | 1u;
}

static void fill(void)
{
    uint32_t noise = config.seed * 2654435761u | 1u;
    for (uint32_t i = 0; i < config.pages; i++) {
        volatile struct page *page = &REGION[i];
        forget_page(page);
        for (uint32_t word = 0; word < sizeof page->filler / sizeof page->filler[0]; word++) {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            page->filler[word] = noise;
        }
        page->index = i;
        page->count = 0;
        page->check = page->tail = check_word(i, 0);
    }
}

/* The scan goes through the region in slices while writes go on. A write behind the cursor is no
   longer in the sum, so it is counted apart: at the end, sum + behind is exactly the total. */
static struct {
    uint32_t cursor;
    uint64_t sum, behind;
    int active;
} scan;

static void scan_slice(void)
{
    for (uint32_t turn = 0; turn < SCAN_SLICE && scan.cursor < config.pages; turn++, scan.cursor++) {
        volatile struct page *page = &REGION[scan.cursor];
        uint32_t count = page->count, check = check_word(scan.cursor, count);
        if (page->index != scan.cursor || page->check != check || page->tail != check)
            bad++;
        scan.sum += count;
    }
    if (scan.cursor == config.pages) {
        if (scan.sum + scan.behind != total_writes)
            bad++;
        scans++;
        scan.active = 0;
    }
}

/* A permuted congruential generator (M. O'Neill, "PCG", 2014): 64 bits of state, 32 of output. */
static uint64_t random_state;

static uint32_t random32(void)
{
    uint64_t old = random_state;
    random_state = old * 6364136223846793005u + 1442695040888963407u;
    uint32_t mixed = (uint32_t)((old >> 18 ^ old) >> 27), turn = (uint32_t)(old >> 59);
    return mixed >> turn | mixed << (-turn & 31);
}

static void write_one(void)
{
    uint32_t index = (uint32_t)((uint64_t)random32() * config.pages >> 32);
    volatile struct page *page = &REGION[index];
    forget_page(page);
    uint32_t count = page->count + 1;
    page->count = count;
    page->check = page->tail = check_word(index, count);
    total_writes++;
    if (scan.active && index < scan.cursor)
        scan.behind++;
}

/* ---- pacing ---- */

static struct {
    uint64_t last, rest, due, phase_end;
    uint32_t phase;
} pace;

static uint64_t phase_ticks(uint32_t phase) { return divide(tsc_hz, 1000) * config.phases[phase].length_ms; }

/* Adds what fell due since the last call. The rest is carried exactly, so the long-run rate is the
   asked one; a guest that was denied time owes its writes and catches up. */
static void accrue(uint64_t until, uint32_t writes_per_s)
{
    while (pace.last < until) {
        uint64_t step = until - pace.last;
        if (step > 0x40000000)
            step = 0x40000000;
        pace.last += step;
        for (pace.rest += step * writes_per_s; pace.rest >= tsc_hz; pace.rest -= tsc_hz)
            pace.due++;
    }
}

static void keep_pace(uint64_t now)
{
    while (config.phase_count && now >= pace.phase_end) {
        accrue(pace.phase_end, config.phases[pace.phase].writes_per_s);
        pace.phase = pace.phase + 1 == config.phase_count ? 0 : pace.phase + 1;
        pace.phase_end += phase_ticks(pace.phase);
    }
    accrue(now, config.phase_count ? config.phases[pace.phase].writes_per_s : config.writes_per_s);
}

static void tick(uint32_t sequence)
{
    put('t');
    put(' ');
    put_hex(sequence, ' ');
    put_hex(total_writes, ' ');
    put_hex(scans, ' ');
    put_hex(bad, '\n');
}

static void run(void)
{
    uint64_t now = tsc(), tick_length = divide(tsc_hz, TICKS_PER_SECOND), next_tick = now, next_scan = now + tsc_hz;
    uint32_t sequence = 0;
    pace.last = now;
    pace.phase_end = now + (config.phase_count ? phase_ticks(0) : 0);
    for (;;) {
        forget_all_pages();
        now = tsc();
        if (now >= next_tick) {
            tick(++sequence);
            next_tick += tick_length;
            if (next_tick <= now) /* a late guest must not report in a burst */
                next_tick = now + tick_length;
        }
        if (config.pages)
            keep_pace(now);
        for (uint32_t turn = 0; turn < WRITE_SLICE && pace.due; turn++, pace.due--)
            write_one();
        if (!scan.active && now >= next_scan) {
            scan.cursor = 0;
            scan.sum = scan.behind = 0;
            scan.active = 1;
            next_scan = now + tsc_hz;
        }
        if (scan.active)
            scan_slice();
        else if (!pace.due)
            __asm__ volatile("hlt");
    }
}

void guest_main(const uint32_t *multiboot)
{
    out8(0x3f9, 0); /* serial line: polled, 8 bits, no parity */
    out8(0x3fb, 3);
    if (multiboot[0] & 4)
        parse((const char *)multiboot[4]);
    random_state = (uint64_t)config.seed << 32 | 0x5851f42d;
    (void)random32();
    tsc_hz = measure_tsc_hz();
    fill();
    put('i');
    put(' ');
    put_hex(config.pages, ' ');
    put_hex(divide(tsc_hz, 1000), '\n');
    start_timer();
    run();
}
