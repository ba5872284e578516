/* SPDX-License-Identifier: BSD-2-Clause */
/* Nullkernel B: 1000 timer interrupts through the 8259A, held against the wall clock. */
#include "guest/lib/guest.h"

static volatile unsigned ticks;

static void on_tick(struct trap_frame *f)
{
    (void)f;
    ticks++;
    pic_eoi(0);
}

/* Seconds pass: waits for the next change of the real-time clock's second. */
static uint32_t next_second(void)
{
    uint32_t s = rtc_seconds(), t;
    while ((t = rtc_seconds()) == s)
        __asm__ volatile("sti; nop; hlt; cli");
    return t;
}

void guest_main(void)
{
    tables_init();
    print("nullkernel B\n");
    pic_init();
    trap_handler[0x20] = on_tick;
    pit_periodic(100);
    pic_unmask(0);

    /* From one change of second to another ten later: 1000 ticks, 1 % either way. */
    uint32_t start = next_second();
    ticks = 0;
    while ((rtc_seconds() + 86400 - start) % 86400 < 10)
        sti_hlt();
    unsigned n = ticks;
    print("ticks in 10 s: ");
    print_hex(n);
    print("\n");
    report("1000 ticks in 10 s, within 1 %", n >= 990 && n <= 1010);

    unsigned before = ticks;
    for (volatile unsigned i = 0; i < 100000; i++)
        ;
    report("no interrupt while IF is clear", ticks == before);
    sti_hlt();
    report("the one held back arrives", ticks > before);
}
