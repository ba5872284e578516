/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses that wrap at 4 GiB, one by one and among others with the same base. 32-bit. */
#include "guest/lib/guest.h"

static volatile uint32_t *const low = (uint32_t *)0x1000;

static uint32_t one(uint32_t ebx)
{
    uint32_t v;
    __asm__ volatile("mov 0x1020(%1), %0" : "=r"(v) : "b"(ebx) : "memory");
    return v;
}

/* A check for [ebx], then ebx wraps and a constant leads back. */
static uint32_t grouped(uint32_t ebx)
{
    uint32_t v;
    __asm__ volatile("mov (%1), %0; add (%1), %0; sub $0x2000, %1; mov 0x2000(%1), %0;"
                     "movl $0x1234, 0x2004(%1); add 0x2000(%1), %0; add 0x2004(%1), %0"
                     : "=&r"(v), "+b"(ebx)::"memory");
    return v;
}

static uint32_t upwards(uint32_t ebx)
{
    uint32_t v;
    __asm__ volatile(
        "mov -0x1000(%1), %0; add $0x2000, %1; mov -0x3000(%1), %0; add -0x2ffc(%1), %0"
        : "=&r"(v), "+b"(ebx)::"memory");
    return v;
}

static uint32_t stack(uint32_t esp)
{
    uint32_t v;
    __asm__ volatile("xchg %%esp, %1; push $5; sub $0x4000, %%esp; lea 0x4000(%%esp), %%esp; pop "
                     "%0; xchg %%esp, %1"
                     : "=&r"(v), "+b"(esp)::"memory");
    return v;
}

void guest_main(void)
{
    unsigned good = 0;
    low[0] = 7;
    low[1] = 9;
    for (unsigned i = 0; i < 1000; i++)
        good += one(0xffffffe0) == 7;
    report("a constant leads across 4 GiB", good == 1000);
    good = 0;
    for (unsigned i = 0; i < 1000; i++)
        good += grouped(0x1000) == 7 + 7 + 0x1234 && low[1] == 0x1234;
    report("one of several with the same base", good == 1000);
    good = 0;
    for (unsigned i = 0; i < 1000; i++)
        good += upwards(0x2000) == 7 + 0x1234;
    report("and back", good == 1000);
    good = 0;
    for (unsigned i = 0; i < 1000; i++)
        good += stack(0x2000) == 5;
    report("a stack", good == 1000);
}
