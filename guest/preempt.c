/* SPDX-License-Identifier: BSD-2-Clause */
/* Preemptive tasks: the timer takes the processor away from tasks that never yield and keep their
 * registers busy. */
#include "guest/lib/guest.h"

enum { TASKS = 3, SWITCHES = 60 };

static uint8_t stacks[TASKS][4096] __attribute__((aligned(16)));
static struct trap_frame context[TASKS];
static volatile unsigned current, switches;
static volatile uint32_t progress[TASKS], broken;

/* Counts with registers whose relation must never break, however often it is interrupted. */
static void spin(unsigned me)
{
    uint32_t a = 0, b = 0, c = me * 1000;
    while (switches < SWITCHES) {
        __asm__ volatile("inc %0; add $3, %1; inc %2" : "+r"(a), "+r"(b), "+r"(c)::"cc");
        if (b != a * 3 || c != a + me * 1000)
            broken++;
        progress[me] = a;
    }
    for (;;)
        __asm__ volatile("int $0x81" ::"a"(1));
}

static void task0(void) { spin(0); }
static void task1(void) { spin(1); }
static void task2(void) { spin(2); }

static void on_tick(struct trap_frame *f)
{
    pic_eoi(0);
    if ((f->cs & 3) != 3)
        return;
    context[current] = *f;
    current = (current + 1) % TASKS;
    *f = context[current];
    switches++;
}

void guest_main(void)
{
    static void (*const entry[TASKS])(void) = { task0, task1, task2 };
    tables_init();
    print("preemptive tasks\n");
    pic_init();
    trap_handler[0x20] = on_tick;
    for (unsigned i = 0; i < TASKS; i++) {
        context[i].ip = (uintptr_t)entry[i];
        context[i].cs = SEL_CODE3;
        context[i].flags = 0x202;
        context[i].sp = (uintptr_t)stacks[i] + sizeof(stacks[i]) - 16;
        context[i].ss = SEL_DATA3;
    }
    pit_periodic(200);
    pic_unmask(0);
    sti();
    ring3_run(task0, (uintptr_t)stacks[0] + sizeof(stacks[0]) - 16);
    cli();
    report("every task got on", progress[0] && progress[1] && progress[2]);
    report("no register was lost", !broken);
    report("the timer switched", switches >= SWITCHES);
}
