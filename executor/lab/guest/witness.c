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

#include "machine.h"

#define REGION ((volatile struct page *)REGION_START)
#define MAX_PHASES 16
#define SCAN_SLICE 256  /* pages a turn, so that pacing and ticks go on during a scan */
#define WRITE_SLICE 512 /* writes a turn, for the same reason when it catches up */
#define TICKS_PER_SECOND 200

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

/* ---- the command line ---- */

static void parse(const char *text)
{
    while (*text) {
        if (takes(&text, "pages="))
            config.pages = (uint32_t)number(&text);
        else if (takes(&text, "rate="))
            config.writes_per_s = (uint32_t)number(&text);
        else if (takes(&text, "seed="))
            config.seed = (uint32_t)number(&text);
        else if (takes(&text, "phase=") && config.phase_count < MAX_PHASES) {
            struct phase *phase = &config.phases[config.phase_count++];
            phase->length_ms = (uint32_t)number(&text);
            if (*text == ':')
                text++;
            phase->writes_per_s = (uint32_t)number(&text);
        }
        while (*text && *text != ' ')
            text++;
        while (*text == ' ')
            text++;
    }
}

/* ---- the witness ---- */

static void fill(void)
{
    uint32_t noise = config.seed * 2654435761u | 1u;
    for (uint32_t i = 0; i < config.pages; i++) {
        volatile struct page *page = &REGION[i];
        forget_page(page);
        for (uint32_t word = 0; word < sizeof page->filler / sizeof page->filler[0]; word++) {
            noise = next_noise(noise);
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

static uint64_t random_state;

static void write_one(void)
{
    uint32_t index = (uint32_t)((uint64_t)random32(&random_state) * config.pages >> 32);
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
            wait_for_interrupt();
    }
}

void guest_main(const uint32_t *multiboot)
{
    start_serial();
    if (multiboot[0] & 4)
        parse((const char *)multiboot[4]);
    random_state = (uint64_t)config.seed << 32 | 0x5851f42d;
    (void)random32(&random_state);
    tsc_hz = measure_tsc_hz();
    fill();
    put('i');
    put(' ');
    put_hex(config.pages, ' ');
    put_hex(divide(tsc_hz, 1000), '\n');
    start_timer();
    run();
}
