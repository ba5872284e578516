/* SPDX-License-Identifier: BSD-2-Clause */
/* Cooperative tasks: three stacks that yield to one another by a software interrupt. */
#include "guest/lib/guest.h"

enum { TASKS = 3, ROUNDS = 1000 };

static uint8_t stacks[TASKS][4096] __attribute__((aligned(16)));
static struct trap_frame context[TASKS], main_context;
static unsigned current, finished, counts[TASKS];
static uint32_t order; /* a checksum of the sequence of turns */

static void yield(void) { __asm__ volatile("int $0x82" ::: "memory"); }

static void task(void)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned me = current;
        counts[me]++;
        order = order * 31 + me;
        yield();
        if (current != me)
            order = 0xdead; /* came back as another task */
    }
    finished++;
    for (;;)
        yield();
}

/* All tasks run in ring 3 so that a frame holds the whole context. */
static void on_yield(struct trap_frame *f)
{
    context[current] = *f;
    current = (current + 1) % TASKS;
    if (finished == TASKS)
        *f = main_context;
    else
        *f = context[current];
}

static void leave(void) { __asm__ volatile("int $0x81" ::"a"(1)); }

void guest_main(void)
{
    tables_init();
    print("cooperative tasks\n");
    trap_handler[0x82] = on_yield;
    gate_dpl3(0x82);
    for (unsigned i = 0; i < TASKS; i++) {
        context[i].ip = (uintptr_t)task;
        context[i].cs = SEL_CODE3;
        context[i].flags = 2;
        context[i].sp = (uintptr_t)stacks[i] + sizeof(stacks[i]);
        context[i].ss = SEL_DATA3;
    }
    main_context = context[0];
    main_context.ip = (uintptr_t)leave;
    uint32_t want = 0;
    for (unsigned i = 0; i < ROUNDS * TASKS; i++)
        want = want * 31 + i % TASKS;
    ring3_run(task, (uintptr_t)stacks[0] + sizeof(stacks[0]));
    report("each task had its turns",
           counts[0] == ROUNDS && counts[1] == ROUNDS && counts[2] == ROUNDS);
    report("in order", order == want);
}
