/* See processors.h. Registers and sequence: Intel, "Software Developer's Manual", volume 3, chapter 11. */

#include "processors.h"

#define APIC 0xfee00000u
#define APIC_SPURIOUS 0x0f0
#define APIC_COMMAND 0x300
#define APIC_TIMER 0x320
#define APIC_TIMER_COUNT 0x380
#define APIC_TIMER_DIVISOR 0x3e0
#define ALL_OTHERS 0x000c0000u
#define ORDER_INIT 0x4500u
#define ORDER_START 0x4600u
#define TRAMPOLINE 0x7000u /* a page below 1 MiB that neither firmware nor loader needs any more */
#define TIMER_VECTOR 33
#define APIC_HZ 1000000000u /* QEMU's, whose timer counts nanoseconds */
#define TIMER_HZ 1000

extern const uint8_t trampoline_start[], trampoline_end[];
extern void processor_interrupt(void);

/* What a processor that starts finds its place by; see processors.S. */
volatile uint32_t processors_awake;
static uint8_t *own_pages;
static void (*run_processor)(void *page);

static void apic_write(uint32_t at, uint32_t value) { *(volatile uint32_t *)(APIC + at) = value; }

void wake_processors(uint32_t count, void *pages, void (*run)(void *page))
{
    own_pages = pages;
    run_processor = run;
    processors_awake = 1;
    handle_interrupt(TIMER_VECTOR, processor_interrupt);
    if (count < 2)
        return;
    volatile uint8_t *to = (volatile uint8_t *)TRAMPOLINE;
    for (uint32_t i = 0; trampoline_start + i < trampoline_end; i++)
        to[i] = trampoline_start[i];
    apic_write(APIC_COMMAND, ALL_OTHERS | ORDER_INIT);
    for (uint32_t ms = 0; ms < 10; ms++)
        wait_for_interrupt();
    apic_write(APIC_COMMAND, ALL_OTHERS | ORDER_START | TRAMPOLINE >> 12);
    while (processors_awake < count)
        wait_for_interrupt();
}

/* Where processors.S goes on, on a small stack of its own that nothing else uses at that time. */
_Noreturn void processor_main(uint32_t which)
{
    load_interrupts();
    apic_write(APIC_SPURIOUS, 0x1ff); /* on */
    apic_write(APIC_TIMER_DIVISOR, 0xb); /* by one */
    apic_write(APIC_TIMER, 0x20000 | TIMER_VECTOR); /* again and again */
    apic_write(APIC_TIMER_COUNT, APIC_HZ / TIMER_HZ);
    __asm__ volatile("sti");
    run_on_page(own_pages + which * OWN_PAGE, run_processor);
}
