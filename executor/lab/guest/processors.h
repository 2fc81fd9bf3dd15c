/*
 * More than one processor: waking the others, and a page for each of them.
 *
 * It must never let two processors write to one page of their own state: each has its stack and its counters in one
 * page, so that one dropped translation (see forget_page) is enough for all of it.
 */

#ifndef PROCESSORS_H
#define PROCESSORS_H

#include "machine.h"

#define MAX_PROCESSORS 8
#define OWN_PAGE 4096

/* Goes on in `run(page)` with the stack at the end of the page, and never returns. */
_Noreturn void run_on_page(void *page, void (*run)(void *page));

/* Wakes the processors 1 to `count` - 1, each of which goes on in `run` with its page of `pages`, interrupted 1000
   times a second. */
void wake_processors(uint32_t count, void *pages, void (*run)(void *page));

#endif
