/* SPDX-License-Identifier: BSD-2-Clause */
/* Paging, 32-bit two-level: faults and their error codes, INVLPG, CR3 reload, WP, user pages, 4 MiB
 * pages, A and D. */
#include "guest/lib/guest.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80 };

static uint32_t dir[1024] __attribute__((aligned(4096)));
static uint32_t table[1024] __attribute__((aligned(4096)));
static uint32_t page1[1024] __attribute__((aligned(4096))),
    page2[1024] __attribute__((aligned(4096)));

/* The window where the test maps things: linear 0x40000000 + 4 KiB each. */
#define WINDOW ((volatile uint32_t *)0x40000000)

static volatile unsigned faults;
static volatile uint32_t error, address;

static void on_fault(struct trap_frame *f)
{
    faults++;
    error = f->error;
    address = READ_CR(2);
    f->ip = f->bx; /* where to go on */
}

/* Loads or stores through p; true if it faulted. */
static bool try_load(volatile uint32_t *p, uint32_t *v)
{
    unsigned before = faults;
    uint32_t out = 0;
    __asm__ volatile("mov $1f, %%ebx; mov (%1), %0; 1:" : "=&r"(out) : "r"(p) : "ebx", "memory");
    *v = out;
    return faults != before;
}
static bool try_store(volatile uint32_t *p, uint32_t v)
{
    unsigned before = faults;
    __asm__ volatile("mov $1f, %%ebx; mov %1, (%0); 1:" ::"r"(p), "r"(v) : "ebx", "memory");
    return faults != before;
}
static void invlpg(volatile void *p) { __asm__ volatile("invlpg (%0)" ::"r"(p) : "memory"); }

static void user_store(void)
{
    __asm__ volatile("mov $1f, %%ebx; movl $7, 0x40000000; 1: mov $5, %%eax; int $0x81" ::
                         : "eax", "ebx", "memory");
    __builtin_unreachable();
}

void guest_main(void)
{
    static uint8_t stack[4096] __attribute__((aligned(16)));
    uint32_t v;
    tables_init();
    trap_handler[14] = on_fault;
    print("paging\n");
    WRITE_CR(4, READ_CR(4) | 0x10); /* PSE */
    dir[0] = 0 | P | W | U | PS;    /* the first 4 MiB as they are */
    dir[0x40000000u >> 22] = (uint32_t)(uintptr_t)table | P | W | U;
    page1[0] = 0x11111111;
    page2[0] = 0x22222222;
    table[0] = (uint32_t)(uintptr_t)page1 | P | W;
    WRITE_CR(3, dir);
    WRITE_CR(0, READ_CR(0) | 0x80010000u); /* PG, WP */

    report("mapped page reads", !try_load(WINDOW, &v) && v == 0x11111111);
    report("accessed set, dirty clear", (table[0] & (A | D)) == A && (dir[256] & A));
    report("mapped page writes", !try_store(WINDOW + 1, 1) && page1[1] == 1);
    report("dirty set by the write", (table[0] & D) != 0);
    report("unmapped page faults",
           try_load(WINDOW + 1024, &v) && error == 0 && address == 0x40001000);
    report("write to unmapped page",
           try_store(WINDOW + 1025, 1) && error == W && address == 0x40001004);

    table[0] = (uint32_t)(uintptr_t)page2 | P | W;
    invlpg(WINDOW);
    report("invlpg makes a new frame seen", !try_load(WINDOW, &v) && v == 0x22222222);
    table[0] = (uint32_t)(uintptr_t)page1 | P | W;
    WRITE_CR(3, dir);
    report("so does a CR3 reload", !try_load(WINDOW, &v) && v == 0x11111111);

    table[0] = (uint32_t)(uintptr_t)page1 | P;
    invlpg(WINDOW);
    report("read-only page reads", !try_load(WINDOW, &v));
    report("write to it faults under WP", try_store(WINDOW, 1) && error == (P | W));
    WRITE_CR(0, READ_CR(0) & ~0x10000u);
    report("and not without WP", !try_store(WINDOW, 0x11111111));
    WRITE_CR(0, READ_CR(0) | 0x10000u);
    report("supervisor writes fault again with WP", try_store(WINDOW, 1));

    report("ring 3 on a supervisor page",
           ring3_run(user_store, (uintptr_t)stack + 4096) == 5 && error == (P | W | U));
    table[0] = (uint32_t)(uintptr_t)page1 | P | W | U;
    invlpg(WINDOW);
    unsigned before = faults;
    report("ring 3 on a user page", ring3_run(user_store, (uintptr_t)stack + 4096) == 5 &&
                                        faults == before && page1[0] == 7);

    /* An access across two pages, the second missing: nothing is written. */
    page1[1023] = 0x55555555;
    volatile uint32_t *cross = (volatile uint32_t *)0x40000ffe;
    report("page-crossing write faults at the second page",
           try_store(cross, 0) && address == 0x40001000 && page1[1023] == 0x55555555);
    table[1] = (uint32_t)(uintptr_t)page2 | P | W;
    report("and succeeds once it is there", !try_store(cross, 0xaabbccdd) &&
                                                page1[1023] == 0xccdd5555 &&
                                                (page2[0] & 0xffff) == 0xaabb);
    WRITE_CR(0, READ_CR(0) & ~0x80000000u);
}
