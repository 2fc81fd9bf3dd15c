/*
 * The recorder's guest: it writes to its memory in an exactly known pattern while its migration is recorded.
 *
 * Its arguments, `KEY=NUMBER` with spaces between them, are those of docs/recording.md. On the serial line it says,
 * all numbers hexadecimal:
 *
 *   i <pages filled> <tsc Hz>              once, at its first write
 *   r <writes> <tsc>                       ten times a second
 *   v <writes> <sum> <bad>                 after it has read a `v`: it writes no more, and has read every page
 *   e                                      instead of all this: there is an argument that it does not know
 *
 * Each page holds how often it was written. A page that a migration lost or brought in an older version makes the
 * sum of these counts differ from the writes; a torn one breaks its check word, and is bad. All counts go around at
 * 2^32. The guest must never write to its region in any other way.
 *
 * Pace. Bursts are due at fixed instants, `c` ticks from one to the next, and are written when they are due or as
 * soon after as the processor runs. A guest that was kept from running owes all that fell due meanwhile, however
 * long it was, and writes it at once: catching up is unlimited. Its counter stands still while it is stopped, so a
 * downtime or a pause leaves no debt. Without `c` there is no schedule and no debt: it writes as fast as it can.
 * When nothing is due it halts until the next timer interrupt, a millisecond at most.
 */

#include "processors.h"

#define REGION ((volatile uint32_t *)REGION_START)
#define PAGE_WORDS 1024
#define MAX_PHASES 8
#define REPORTS_PER_SECOND 10
#define BURSTS_A_TURN 64 /* so that reports go on while it catches up, or never halts */
#define NOT_GIVEN 0xffffffffu

/* Odd, so that it can be undone; a count of zero stays zero, as in a page that was never written. */
#define SCRAMBLE 0x9e3779b1u
#define UNSCRAMBLE 0x0e8b2f51u

static struct {
    uint32_t pattern, pages, burst, hot_pages, hot_share, filled_pages, move_bursts;
    uint32_t exponent, changed_bytes, noise, processors, on_ms, off_ms, phase_count;
    uint64_t ticks;
    struct {
        uint64_t at_ms, ticks; /* since the first write */
    } phases[MAX_PHASES];
} config = {.filled_pages = NOT_GIVEN, .exponent = 4, .changed_bytes = 8, .processors = 1};

static uint64_t tsc_hz, first_write;
static volatile uint32_t started, stopping;

/* All that a processor changes, its stack included; see processors.h. */
union own {
    struct {
        uint32_t which, first_page, pages, hot_pages; /* its share of the region */
        volatile uint32_t writes, stopped;
        uint32_t cursor, bursts_to_move, moved, phase;
        uint64_t random, ticks, next, active_end, next_report;
    };
    uint8_t page[OWN_PAGE];
};

static union own own_pages[MAX_PROCESSORS] __attribute__((aligned(OWN_PAGE)));

static uint64_t ms_in_ticks(uint64_t ms) { return ms * divide(tsc_hz, 1000); }

/* ---- the command line ---- */

static int parse_one(const char **text)
{
    static const struct {
        const char *key;
        uint32_t *value;
    } keys[] = {
        {"m=", &config.pattern},     {"w=", &config.pages},         {"n=", &config.burst},
        {"h=", &config.hot_pages},   {"q=", &config.hot_share},     {"f=", &config.filled_pages},
        {"p=", &config.move_bursts}, {"e=", &config.exponent},      {"x=", &config.changed_bytes},
        {"z=", &config.noise},       {"v=", &config.processors},    {"on=", &config.on_ms},
        {"off=", &config.off_ms},
    };
    if (takes(text, "c="))
        config.ticks = number(text);
    else if (takes(text, "then_ms=") && config.phase_count < MAX_PHASES)
        config.phases[config.phase_count++].at_ms = number(text);
    else if (takes(text, "then_c=") && config.phase_count)
        config.phases[config.phase_count - 1].ticks = number(text);
    else {
        for (uint32_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            if (takes(text, keys[i].key)) {
                *keys[i].value = (uint32_t)number(text);
                return **text == ' ' || !**text;
            }
        return 0;
    }
    return **text == ' ' || !**text;
}

/* QEMU puts the program's own name first. */
static int parse(const char *text)
{
    while (*text && *text != ' ')
        text++;
    for (;;) {
        while (*text == ' ')
            text++;
        if (!*text)
            return config.processors && config.processors <= MAX_PROCESSORS;
        if (!parse_one(&text))
            return 0;
    }
}

/* ---- the region ---- */

static void fill(void)
{
    uint32_t noise = 2654435761u;
    for (uint32_t i = 0; i < config.filled_pages; i++) {
        volatile uint32_t *page = REGION + i * PAGE_WORDS;
        forget_page(page);
        for (uint32_t word = 2; word < PAGE_WORDS; word++) {
            if (config.noise)
                noise = next_noise(noise);
            /* Otherwise one word again and again, another in each page, never zero: easy to compress. */
            page[word] = config.noise ? noise : check_word(i, 0);
        }
        page[0] = 0;
        page[1] = check_word(i, 0);
    }
}

static void write_page(union own *own, uint32_t i)
{
    volatile uint32_t *page = REGION + i * PAGE_WORDS;
    forget_page(page);
    forget_page(own);
    uint32_t count = page[0] * UNSCRAMBLE + 1, check = check_word(i, count);
    page[0] = count * SCRAMBLE;
    page[1] = check;
    for (uint32_t word = 2; word < config.changed_bytes >> 2; word++)
        page[word] = check + word * SCRAMBLE;
    own->writes++;
}

/* A page of `pages`, each as likely as the other. */
static uint32_t uniform(union own *own, uint32_t pages)
{
    return (uint32_t)((uint64_t)random32(&own->random) * pages >> 32);
}

static uint32_t choose(union own *own)
{
    switch (config.pattern) {
    case 1:
        return uniform(own, own->pages);
    case 2: {
        uint32_t page = own->cursor++;
        if (own->cursor == own->pages)
            own->cursor = 0;
        return page;
    }
    case 3:
        return uniform(own, (random32(&own->random) & 0xffff) < config.hot_share ? own->hot_pages : own->pages);
    default: {
        uint32_t u = random32(&own->random), place = u;
        for (uint32_t i = 1; i < config.exponent; i++)
            place = (uint32_t)((uint64_t)place * u >> 32);
        return (uint32_t)((uint64_t)place * own->pages >> 32);
    }
    }
}

static void burst(union own *own)
{
    for (uint32_t i = 0; i < config.burst; i++)
        write_page(own, own->first_page + own->moved + choose(own));
    if (config.move_bursts && --own->bursts_to_move == 0) {
        own->bursts_to_move = config.move_bursts;
        own->moved = own->moved ? 0 : config.pages;
    }
}

/* ---- pacing ---- */

/* The time of activity that `at` lies in, or the next one; gives `at`, or the start of that time. */
static uint64_t in_activity(union own *own, uint64_t at)
{
    if (!config.off_ms)
        return at;
    while (at >= own->active_end) {
        uint64_t start = own->active_end + ms_in_ticks(config.off_ms);
        own->active_end = start + ms_in_ticks(config.on_ms);
        if (at < start)
            return start;
    }
    return at;
}

/* A change of pace has its own first burst, at the instant of the change. */
static void change_pace(union own *own, uint64_t now)
{
    while (own->phase < config.phase_count) {
        uint64_t at = first_write + ms_in_ticks(config.phases[own->phase].at_ms);
        /* What was due before is written before. */
        if (now < at || (own->ticks && own->next < at))
            return;
        own->ticks = config.phases[own->phase++].ticks * config.processors;
        /* The next burst may have been far ahead, and with it the time of activity. */
        own->active_end = first_write + ms_in_ticks(config.on_ms);
        own->next = in_activity(own, at);
    }
}

/* Writes what is due, a turn's worth at most; whether there may be more. */
static int keep_pace(union own *own, uint64_t now)
{
    for (uint32_t turn = 0; turn < BURSTS_A_TURN; turn++) {
        change_pace(own, now);
        if (own->ticks) {
            if (own->next > now)
                return 0;
            burst(own);
            own->next = in_activity(own, own->next + own->ticks);
        } else {
            if (in_activity(own, now) > now)
                return 0;
            burst(own);
        }
    }
    return 1;
}

/* ---- what it says ---- */

static uint32_t all_writes(void)
{
    uint32_t writes = 0;
    for (uint32_t i = 0; i < config.processors; i++)
        writes += own_pages[i].writes;
    return writes;
}

static void report(union own *own, uint64_t now)
{
    put('r');
    put(' ');
    put_hex(all_writes(), ' ');
    put_hex(now, '\n');
    own->next_report += divide(tsc_hz, REPORTS_PER_SECOND);
    if (own->next_report <= now) /* a late guest must not report in a burst */
        own->next_report = now + divide(tsc_hz, REPORTS_PER_SECOND);
}

static int is_sound(volatile uint32_t *page, uint32_t i)
{
    uint32_t count = page[0] * UNSCRAMBLE, check = check_word(i, count), last = (config.changed_bytes >> 2) - 1;
    if (!count)
        return page[1] == (i < config.filled_pages ? check : 0);
    return page[1] == check && (last < 2 || page[last] == check + last * SCRAMBLE);
}

static void verify(void)
{
    uint32_t pages = config.pages * (config.move_bursts ? 2 : 1), sum = 0, bad = 0;
    if (pages < config.filled_pages)
        pages = config.filled_pages;
    for (uint32_t i = 0; i < pages; i++) {
        volatile uint32_t *page = REGION + i * PAGE_WORDS;
        sum += page[0] * UNSCRAMBLE;
        bad += !is_sound(page, i);
    }
    put('v');
    put(' ');
    put_hex(all_writes(), ' ');
    put_hex(sum, ' ');
    put_hex(bad, '\n');
}

/* The first processor's: asks all to stop writing, waits until they have, and looks at every page. */
static void stop_and_verify(union own *own)
{
    stopping = 1;
    own->stopped = 1;
    for (uint32_t i = 0; i < config.processors; i++)
        while (!own_pages[i].stopped)
            wait_for_interrupt();
    verify();
}

/* ---- the life of a processor ---- */

static void run(void *page)
{
    union own *own = page;
    while (!started)
        wait_for_interrupt();
    while (!stopping) {
        forget_page(own);
        uint64_t now = tsc();
        int busy = config.pattern && keep_pace(own, now);
        /* After what is due, so that the count is that of the moment. */
        if (own->which == 0 && now >= own->next_report) {
            report(own, now);
            if (received() == 'v')
                stop_and_verify(own);
        }
        if (!busy && !stopping)
            wait_for_interrupt();
    }
    own->stopped = 1;
    for (;;)
        wait_for_interrupt();
}

/* An equal share of the pages for each processor, and bursts in turn. */
static void share_out(void)
{
    config.move_bursts = divide(config.move_bursts + config.processors - 1, config.processors);
    for (uint32_t i = 0; i < config.processors; i++) {
        union own *own = &own_pages[i];
        own->which = i;
        own->pages = divide(config.pages, config.processors);
        own->first_page = i * own->pages;
        own->hot_pages = divide(config.hot_pages, config.processors);
        own->bursts_to_move = config.move_bursts;
        own->ticks = config.ticks * config.processors;
        own->next = first_write + i * config.ticks;
        own->next_report = first_write;
        own->active_end = first_write + ms_in_ticks(config.on_ms);
        own->random = (uint64_t)(i + 1) << 32 | 0x5851f42d;
        (void)random32(&own->random);
    }
}

void guest_main(const uint32_t *multiboot)
{
    start_serial();
    if (!(multiboot[0] & 4) || !parse((const char *)multiboot[4])) {
        put('e');
        put('\n');
        return;
    }
    if (config.filled_pages == NOT_GIVEN)
        config.filled_pages = config.pages;
    tsc_hz = measure_tsc_hz();
    fill();
    start_timer();
    wake_processors(config.processors, own_pages, run);
    put('i');
    put(' ');
    put_hex(config.filled_pages, ' ');
    put_hex(tsc_hz, '\n');
    first_write = tsc();
    share_out();
    started = 1;
    run_on_page(&own_pages[0], run);
}
