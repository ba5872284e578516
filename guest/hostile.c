/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and writes every port in every width, and all kinds of addresses; the monitor shrugs. */
#include "guest/lib/guest.h"

static void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port));
}
static uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

/* Whether a four-byte write at p reaches a port that ends or resets the machine. */
static bool ends(uint32_t p)
{
    static const uint16_t port[] = { 0x60, 0x64, 0x92, 0xf4, 0x604, 0x605, 0xcf9 };
    for (unsigned i = 0; i < sizeof(port) / sizeof(port[0]); i++)
        if (port[i] >= p && port[i] - p < 4)
            return true;
    return p >= 0xf4 && p < 0xf8;
}

static uint32_t seed = 12345;
static uint32_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static void ports(void)
{
    for (uint32_t p = 0; p < 0x10000; p++) {
        bool dense = p < 0x1000;
        if (!dense && p % 37)
            continue;
        inb((uint16_t)p);
        inl((uint16_t)p);
        if (ends(p))
            continue;
        outb((uint16_t)p, (uint8_t)rnd());
        outw((uint16_t)p, (uint16_t)rnd());
        outl((uint16_t)p, rnd());
    }
}

static void pci(void)
{
    for (unsigned i = 0; i < 4000; i++) {
        outl(0xcf8, 0x80000000 | (rnd() & 0xfffc));
        inl(0xcfc);
        if (i % 3)
            outl(0xcfc, rnd());
        else
            outb((uint16_t)(0xcfc + (rnd() & 3)), (uint8_t)rnd());
    }
}

static void memory(void)
{
    static const uint32_t base[] = { 0xa0000,    0xb8000,    0xbfff0,    0xc0000000, 0xc0001000,
                                     0xc0004000, 0xd0000000, 0xe0000000, 0xe0010000, 0xf0000000,
                                     0xfec00000, 0xfee01000, 0xfff00000, 0xfffffff0, 0x40000000 };
    for (unsigned i = 0; i < sizeof(base) / sizeof(base[0]); i++)
        for (unsigned k = 0; k < 200; k++) {
            volatile uint8_t *p = (volatile uint8_t *)(base[i] + (k < 16 ? k : rnd() & 0xfff));
            if (base[i] == 0xfffffff0)
                p = (volatile uint8_t *)(base[i] + (k & 7));
            (void)*p;
            (void)*(volatile uint32_t *)p;
            *p = (uint8_t)rnd();
            *(volatile uint16_t *)p = (uint16_t)rnd();
            *(volatile uint32_t *)p = rnd();
        }
}

static void restore_serial(void)
{
    outb(0x3fb, 3);
    outb(0x3fc, 0);
    outb(0x3f9, 0);
    outb(0x3fa, 7);
}

void guest_main(void)
{
    report("an unknown port reads all ones", inl(0x1230) == 0xffffffff);
    report("unknown memory reads all ones", *(volatile uint32_t *)0xd8000000 == 0xffffffff);
    ports();
    pci();
    memory();
    restore_serial();
    print("\n");
    report("still here", true);
    finish();
}
