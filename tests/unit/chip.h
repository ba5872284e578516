/* SPDX-License-Identifier: BSD-2-Clause */
/* An interrupt chip with a hand-turned clock, for the tests of its controllers. */
#ifndef TESTS_UNIT_CHIP_H
#define TESTS_UNIT_CHIP_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/irqchip/irqchip.h"
#include "tests/unit/unit.h"

enum { CHIP_VCPUS = 4, CHIP_TSC_PER_NS = 2 };

struct chip {
    struct irqchip *irqchip;
    uint64_t now;
    unsigned kicks[CHIP_VCPUS];
};

static uint64_t chip_now(void *ctx) { return ((struct chip *)ctx)->now; }
static uint64_t chip_tsc(void *ctx, unsigned vcpu)
{
    (void)vcpu;
    return ((struct chip *)ctx)->now * CHIP_TSC_PER_NS;
}
static uint64_t chip_tsc_to_ns(void *ctx, unsigned vcpu, uint64_t tsc)
{
    (void)ctx, (void)vcpu;
    return tsc / CHIP_TSC_PER_NS + (tsc % CHIP_TSC_PER_NS != 0);
}
static void chip_kick(void *ctx, unsigned vcpu) { ((struct chip *)ctx)->kicks[vcpu]++; }

static inline void chip_open(struct chip *t, unsigned vcpus)
{
    *t = (struct chip){ .now = 1000000 };
    struct irqchip_host host = { t, chip_now, chip_tsc, chip_tsc_to_ns, chip_kick };
    if (irqchip_create(&t->irqchip, &host, CHIP_VCPUS)) {
        puts("out of memory");
        exit(1);
    }
    for (unsigned i = 0; i < vcpus; i++)
        CHECK_EQ(irqchip_add_vcpu(t->irqchip, i), 0);
}

static inline void chip_close(struct chip *t) { irqchip_destroy(t->irqchip); }

static inline void out8(struct chip *t, uint16_t port, uint8_t v)
{
    CHECK(irqchip_pio(t->irqchip, 0, port, &v, 1, true));
}
static inline uint8_t in8(struct chip *t, uint16_t port)
{
    uint8_t v = 0;
    CHECK(irqchip_pio(t->irqchip, 0, port, &v, 1, false));
    return v;
}
static inline void line(struct chip *t, unsigned gsi, int level)
{
    CHECK_EQ(irqchip_irq_line(t->irqchip, gsi, level), 0);
}
static inline void pulse(struct chip *t, unsigned gsi)
{
    line(t, gsi, 1);
    line(t, gsi, 0);
}
static inline unsigned pending(struct chip *t, unsigned vcpu)
{
    return irqchip_pending(t->irqchip, vcpu);
}
static inline int ack(struct chip *t, unsigned vcpu) { return irqchip_ack(t->irqchip, vcpu); }

static inline void store(struct chip *t, unsigned vcpu, uint64_t gpa, uint32_t v)
{
    CHECK(irqchip_mmio(t->irqchip, vcpu, gpa, &v, 4, true));
}
static inline uint32_t load(struct chip *t, unsigned vcpu, uint64_t gpa)
{
    uint32_t v = 0xdeadbeef;
    CHECK(irqchip_mmio(t->irqchip, vcpu, gpa, &v, 4, false));
    return v;
}
/* LAPIC register by its offset in the page. */
static inline void apic_write(struct chip *t, unsigned vcpu, uint32_t reg, uint32_t v)
{
    store(t, vcpu, 0xfee00000 + reg, v);
}
static inline uint32_t apic_read(struct chip *t, unsigned vcpu, uint32_t reg)
{
    return load(t, vcpu, 0xfee00000 + reg);
}
static inline void ioapic_out(struct chip *t, uint32_t reg, uint32_t v)
{
    store(t, 0, 0xfec00000, reg);
    store(t, 0, 0xfec00010, v);
}
static inline uint32_t ioapic_in(struct chip *t, uint32_t reg)
{
    store(t, 0, 0xfec00000, reg);
    return load(t, 0, 0xfec00010);
}
/* Both controllers as PCs set them up: vectors 0x20 and 0x28, nothing masked. */
static inline void pic_setup(struct chip *t, uint8_t master_icw4, uint8_t slave_icw4)
{
    out8(t, 0x20, 0x11);
    out8(t, 0x21, 0x20);
    out8(t, 0x21, 0x04);
    out8(t, 0x21, master_icw4);
    out8(t, 0xa0, 0x11);
    out8(t, 0xa1, 0x28);
    out8(t, 0xa1, 0x02);
    out8(t, 0xa1, slave_icw4);
}

#endif
