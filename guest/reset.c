/* SPDX-License-Identifier: BSD-2-Clause */
/* Resets the machine in each way there is; what must survive does, what must not does not. Run it
 * without --no-reboot. */
#include "guest/lib/guest.h"

enum { STAGE = 0x50 /* a byte of CMOS RAM, which a reset keeps */, STAGES = 4 };

static unsigned fresh = 5; /* loaded again each time */

static uint8_t cmos(uint8_t index)
{
    outb(0x70, index);
    return inb(0x71);
}

static void set_cmos(uint8_t index, uint8_t v)
{
    outb(0x70, index);
    outb(0x71, v);
}

static void check_reset_state(void)
{
    report("kernel loaded again", fresh == 5);
    fresh++;
    report("protected mode, no paging", (READ_CR(0) & 0x80000001) == 1);
    report("no CR4 features", (READ_CR(4) & 0x20) == 0);
    report("serial port: no interrupts, no loopback", !inb(0x3f9) && !(inb(0x3fc) & 0x10));
    report("keyboard controller: nothing waits", !(inb(0x64) & 1));
    report("PM1 enable is clear", !inb(0x602) && !inb(0x603));
    report("POST code is clear", !inb(0x80));
}

static void leave_traces(void)
{
    outb(0x3f9, 0x0f);
    outb(0x3fc, 0x18);
    outb(0x64, 0x20); /* an answer nobody takes */
    outb(0x603, 0x01);
    outb(0x80, 0x77);
    outb(0x21, 0x00);
    WRITE_CR(4, READ_CR(4) | 0x20);
}

void guest_main(void)
{
    uint8_t stage = cmos(STAGE);
    print("reset, stage ");
    print_hex(stage);
    print("\n");
    check_reset_state();
    if (stage >= STAGES)
        finish();
    set_cmos(STAGE, (uint8_t)(stage + 1));
    leave_traces();
    switch (stage) {
    case 0: outb(0x64, 0xfe); break;
    case 1: outb(0x92, inb(0x92) | 1); break;
    case 2:
        outb(0xcf9, 0x02);
        outb(0xcf9, 0x06);
        break;
    case 3:
        outb(0x64, 0xd1);
        outb(0x60, 0x02);
        break;
    }
    for (;;)
        __asm__ volatile("hlt"); /* it may take a moment */
}
