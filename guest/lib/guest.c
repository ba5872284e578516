/* SPDX-License-Identifier: BSD-2-Clause */
/* What the small guests share: reporting, tables, traps, timer. */
#include "guest/lib/guest.h"

enum { COM1 = 0x3f8, EXIT_PORT = 0xf4, PIT0 = 0x40, PIT_COMMAND = 0x43, PIC1 = 0x20, PIC2 = 0xa0 };

static unsigned failed, reported;

static void put(char c)
{
    for (int i = 0; i < 100000 && !(inb(COM1 + 5) & 0x20); i++)
        ;
    outb(COM1, (uint8_t)c);
}

void print(const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            put('\r');
        put(*text);
    }
}

void print_hex(uint64_t v)
{
    print("0x");
    int shift = 60;
    while (shift && !(v >> shift & 15))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        put("0123456789abcdef"[v >> shift & 15]);
}

void report(const char *name, bool ok)
{
    reported++;
    failed += !ok;
    print(ok ? "ok " : "FAIL ");
    print(name);
    print("\n");
}

_Noreturn void finish(void)
{
    print(failed || !reported ? "guest: failed\n" : "guest: all passed\n");
    outl(EXIT_PORT, failed || !reported);
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* ---- tables ---- */

static uint64_t gdt[8];
#ifdef __x86_64__
static struct {
    uint64_t low, high;
} idt[256];
static uint8_t tss[104] __attribute__((aligned(16)));
#else
static uint64_t idt[256];
static uint8_t tss[104] __attribute__((aligned(16)));
#endif

struct __attribute__((packed)) table_pointer {
    uint16_t limit;
    uintptr_t base;
};

extern uint8_t trap_stubs[][16];
trap_fn *trap_handler[256];
_Noreturn void ring3_leave(uintptr_t value);
void trap(struct trap_frame *f);

void trap(struct trap_frame *f)
{
    if (f->vector == 0x81)
        ring3_leave(f->ax);
    if (trap_handler[f->vector & 0xff]) {
        trap_handler[f->vector & 0xff](f);
        return;
    }
    print("unexpected trap ");
    print_hex(f->vector);
    print(" error ");
    print_hex(f->error);
    print(" at ");
    print_hex(f->ip);
    print(" cr2 ");
    print_hex(READ_CR(2));
    print("\n");
    report("no unexpected trap", false);
    finish();
}

static void set_gate(unsigned vector, unsigned dpl)
{
    uintptr_t ip = (uintptr_t)trap_stubs[vector];
    uint64_t low = (ip & 0xffff) | (uint64_t)SEL_CODE0 << 16 |
                   (uint64_t)(0x8e00 | dpl << 13) << 32 | (uint64_t)(ip >> 16 & 0xffff) << 48;
#ifdef __x86_64__
    idt[vector].low = low;
    idt[vector].high = ip >> 32;
#else
    idt[vector] = low;
#endif
}

void gate_dpl3(unsigned vector) { set_gate(vector, 3); }

void tss_stack(uintptr_t top)
{
    __builtin_memcpy(tss + 4, &top, sizeof(top));
#ifndef __x86_64__
    uint32_t ss = SEL_DATA0;
    __builtin_memcpy(tss + 8, &ss, sizeof(ss));
#endif
}

void tables_init(void)
{
    static uint8_t trap_stack[8192] __attribute__((aligned(16)));
    const uint64_t code = sizeof(void *) == 8 ? 0x00af9b000000ffff : 0x00cf9b000000ffff;
    const uint64_t data = 0x00cf93000000ffff, ring3 = 0x0000600000000000;
    uintptr_t t = (uintptr_t)tss;
    gdt[1] = code;
    gdt[2] = data;
    gdt[3] = code | ring3;
    gdt[4] = data | ring3;
    gdt[5] = (sizeof(tss) - 1) | (uint64_t)(t & 0xffffff) << 16 | 0x0000890000000000 |
             (uint64_t)(t >> 24 & 0xff) << 56;
#ifdef __x86_64__
    gdt[6] = t >> 32;
#endif
    struct table_pointer gdtr = { sizeof(gdt) - 1, (uintptr_t)gdt };
    __asm__ volatile("lgdt %0" ::"m"(gdtr));
#ifdef __x86_64__
    __asm__ volatile("push %0; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:" ::"i"(SEL_CODE0)
                     : "rax", "memory");
#else
    __asm__ volatile("ljmp %0, $1f; 1:" ::"i"(SEL_CODE0) : "memory");
#endif
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss" ::"r"(SEL_DATA0) : "memory");
    for (unsigned i = 0; i < 256; i++)
        set_gate(i, 0);
    gate_dpl3(0x81);
    struct table_pointer idtr = { sizeof(idt) - 1, (uintptr_t)idt };
    __asm__ volatile("lidt %0" ::"m"(idtr));
    tss[102] = sizeof(tss); /* no I/O bitmap */
    tss_stack((uintptr_t)trap_stack + sizeof(trap_stack));
    __asm__ volatile("ltr %w0" ::"r"(SEL_TSS));
}

/* ---- timer ---- */

void pic_init(void)
{
    static const uint8_t sequence[][2] = {
        { PIC1, 0x11 },     { PIC2, 0x11 },     { PIC1 + 1, 0x20 }, { PIC2 + 1, 0x28 },
        { PIC1 + 1, 4 },    { PIC2 + 1, 2 },    { PIC1 + 1, 1 },    { PIC2 + 1, 1 },
        { PIC1 + 1, 0xff }, { PIC2 + 1, 0xff },
    };
    for (unsigned i = 0; i < sizeof(sequence) / 2; i++)
        outb(sequence[i][0], sequence[i][1]);
}

void pic_unmask(unsigned irq)
{
    uint16_t port = irq < 8 ? PIC1 + 1 : PIC2 + 1;
    outb(port, inb(port) & (uint8_t) ~(1u << (irq & 7)));
    if (irq >= 8)
        pic_unmask(2);
}

void pic_eoi(unsigned irq)
{
    if (irq >= 8)
        outb(PIC2, 0x20);
    outb(PIC1, 0x20);
}

void pit_periodic(unsigned hz)
{
    unsigned divisor = (1193182 + hz / 2) / hz;
    outb(PIT_COMMAND, 0x34); /* channel 0, both bytes, mode 2 */
    outb(PIT0, (uint8_t)divisor);
    outb(PIT0, (uint8_t)(divisor >> 8));
}

static uint8_t cmos(uint8_t index)
{
    outb(0x70, index);
    return inb(0x71);
}

uint32_t rtc_seconds(void)
{
    uint8_t s, m, h;
    do {
        while (cmos(10) & 0x80)
            ;
        s = cmos(0);
        m = cmos(2);
        h = cmos(4);
    } while (s != cmos(0));
    if (!(cmos(11) & 4)) { /* BCD */
        s = (uint8_t)((s >> 4) * 10 + (s & 15));
        m = (uint8_t)((m >> 4) * 10 + (m & 15));
        h = (uint8_t)((h >> 4) * 10 + (h & 15));
    }
    return h * 3600u + m * 60 + s;
}
