/*
 * The machine below the lab's guests: serial line, time-stamp counter, timer, and what an emulating
 * QEMU needs to see every write. There is no operating system and no paging.
 *
 * It must never know what a guest is for: each main brings its own command line and its own words.
 */

#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>

#define REGION_START 0x1000000u /* 16 MiB: above firmware, kernel, command line */

/* ---- small enough to be part of their callers ---- */

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

static inline void wait_for_interrupt(void) { __asm__ volatile("hlt"); }

/*
 * QEMU 7.2, emulating, does not tell its translation buffer that a migration has cleared the dirty
 * bitmap: later writes to a page whose translation is still buffered are not seen, and are lost.
 * Systems that switch tasks flush the buffer all the time and rarely meet this; these guests would
 * always. So they drop the translation of every page that they write.
 */
static inline void forget_page(volatile void *page) { __asm__ volatile("invlpg (%0)" ::"r"(page) : "memory"); }

static inline void forget_all_pages(void)
{
    uint32_t control;
    /* Without paging there is no page table to load again; a change of write protection flushes too. */
    __asm__ volatile("mov %%cr0, %0; xor $0x10000, %0; mov %0, %%cr0" : "=r"(control)::"memory");
}

/* A permuted congruential generator (M. O'Neill, "PCG", 2014): 64 bits of state, 32 of output. */
static inline uint32_t random32(uint64_t *state)
{
    uint64_t old = *state;
    *state = old * 6364136223846793005u + 1442695040888963407u;
    uint32_t mixed = (uint32_t)((old >> 18 ^ old) >> 27), turn = (uint32_t)(old >> 59);
    return mixed >> turn | mixed << (-turn & 31);
}

/* A word of noise after another (G. Marsaglia, "Xorshift RNGs", 2003); never zero if it did not begin so. */
static inline uint32_t next_noise(uint32_t noise)
{
    noise ^= noise << 13;
    noise ^= noise >> 17;
    return noise ^ noise << 5;
}

/* A bijective mix of index and count, never the value that a page of zeros holds. */
static inline uint32_t check_word(uint32_t index, uint32_t count)
{
    uint32_t word = index * 0x9e3779b1u ^ (count + 0x7f4a7c15u) * 0x85ebca6bu;
    word ^= word >> 15;
    return word * 0x2c1b3c6du | 1u;
}

/* Divides by 32-bit long division: there is no compiler run-time library to do it. */
uint64_t divide(uint64_t dividend, uint32_t divisor);

/* ---- the serial line ---- */

void start_serial(void);
void put(char c);
void put_hex(uint64_t value, char end);
/* A byte that has come in, or -1. */
int received(void);

/* ---- time ---- */

/* The frequency of the time-stamp counter; takes 110 ms, or longer while the guest is kept from running. */
uint64_t measure_tsc_hz(void);

/* A periodic timer interrupt, 1000 a second, so that a guest can halt when it has nothing to do: a guest that
   spins would take a processor from the migration that is being watched. */
void start_timer(void);

/* What an interrupt calls; it saves what it changes, and returns with iret. Vectors up to 33. */
void handle_interrupt(uint32_t vector, void (*handler)(void));
/* Loads the table of handlers into this processor. */
void load_interrupts(void);

/* ---- the command line ---- */

uint64_t number(const char **text);
/* Whether the text goes on with the key; if so, it is skipped. */
int takes(const char **text, const char *key);

#endif
