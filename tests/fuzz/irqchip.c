/* SPDX-License-Identifier: BSD-2-Clause */
/* Random accesses, events and states at the interrupt chip: its invariants hold. */
#include <stdlib.h>
#include <string.h>

#include "engine/irqchip/model.h"

enum { VCPUS = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *p;
    size_t left;
    uint64_t now;
};

static uint64_t take(struct input *in, unsigned n)
{
    uint64_t v = 0;

    n = (unsigned)MIN(n, in->left);
    memcpy(&v, in->p, n);
    in->p += n;
    in->left -= n;
    return v;
}

static uint64_t now_ns(void *ctx) { return ((struct input *)ctx)->now; }
static uint64_t guest_tsc(void *ctx, unsigned v) { return (void)v, ((struct input *)ctx)->now * 2; }
static uint64_t tsc_to_ns(void *ctx, unsigned v, uint64_t tsc)
{
    (void)ctx, (void)v;
    return tsc / 2;
}
static void kick(void *ctx, unsigned v)
{
    (void)ctx;
    if (v >= VCPUS)
        abort();
}

#define require(ok) ((ok) ? (void)0 : abort())

static void check(struct irqchip *c, const struct input *in)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct pic_chip *s = &c->pic.chip[i];
        require(s->top < 8 && s->init <= 3 && !(s->elcr & (i ? 0x21 : 0x07)));
    }
    for (unsigned i = 0; i < 3; i++) {
        const struct pit_channel *s = &c->pit.ch[i];
        require(s->mode <= 5 && s->reg <= 65536 && (!s->counting || s->count));
    }
    for (unsigned i = 0; i < IRQCHIP_PINS; i++) {
        uint64_t e = c->ioapic.entry[i];
        require((e & IOAPIC_LEVEL) || !(e & IOAPIC_REMOTE_IRR));
    }
    for (unsigned i = 0; i < VCPUS; i++) {
        const struct lapic *l = &c->lapic[i];
        require(!(l->reg[APIC_IRR] & 0xffff) && !(l->reg[APIC_ISR] & 0xffff));
        require((l->base & (APICBASE_X2 | APICBASE_ENABLED)) != APICBASE_X2);
        unsigned p = irqchip_pending(c, i);
        require((p & ~31u) == 0);
        irqchip_tick(c, i);
        require(irqchip_deadline(c, i) > in->now);
    }
}

static void set_state(struct irqchip *c, struct input *in, unsigned what, unsigned vcpu)
{
    union {
        struct kvm_irqchip chip;
        struct kvm_pit_state2 pit;
        struct kvm_lapic_state lapic;
    } u;
    int err;

    memset(&u, 0, sizeof(u));
    /* From what is there, with a few bytes changed: random bytes alone would all be refused. */
    u.chip.chip_id = what & 3;
    err = what < 4   ? irqchip_get(c, &u.chip)
          : what < 6 ? irqchip_get_pit(c, &u.pit)
                     : irqchip_get_lapic(c, vcpu, &u.lapic);
    for (unsigned i = 0; i < 4; i++) {
        size_t at = take(in, 2) % sizeof(u);
        ((uint8_t *)&u)[at] = (uint8_t)take(in, 1);
    }
    err |= what < 4   ? irqchip_set(c, &u.chip)
           : what < 6 ? irqchip_set_pit(c, &u.pit)
                      : irqchip_set_lapic(c, vcpu, &u.lapic);
    (void)err;
}

static void step(struct irqchip *c, struct input *in)
{
    static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1,
                                      0x40, 0x41, 0x42, 0x43, 0x61 };
    uint8_t op = (uint8_t)take(in, 1);
    unsigned vcpu = op >> 6 & 3;
    uint8_t buf[8] = { 0 };
    uint64_t v;

    switch (op & 15) {
    case 0:
    case 1:
        buf[0] = (uint8_t)take(in, 1);
        (void)irqchip_pio(c, vcpu, ports[take(in, 1) % ARRAY_LEN(ports)], buf, op & 16 ? 2 : 1,
                          op & 1);
        break;
    case 2:
    case 3: {
        static const uint8_t lens[] = { 4, 4, 8, 1 };
        v = (op & 32 ? 0xfec00000 : 0xfee00000) + take(in, 2) % 0x1001;
        if (op & 16)
            v = ALIGN_DOWN(v, 16);
        uint64_t val = take(in, 4);
        memcpy(buf, &val, 8);
        (void)irqchip_mmio(c, vcpu, v, buf, lens[take(in, 1) & 3], op & 1);
        break;
    }
    case 4: /* program a redirection entry */
        v = take(in, 1) % 24 * 2 + 0x10;
        (void)irqchip_mmio(c, 0, 0xfec00000, &v, 4, true);
        v = take(in, 4);
        (void)irqchip_mmio(c, 0, 0xfec00010, &v, 4, true);
        break;
    case 5: (void)!irqchip_irq_line(c, (uint32_t)take(in, 1) & 31, op & 16); break;
    case 6: (void)!irqchip_msi(c, 0xfee00000 | take(in, 2) << 4, (uint32_t)take(in, 2)); break;
    case 7: (void)!irqchip_wrmsr(c, vcpu, 0x800 + (uint32_t)take(in, 1), take(in, 8)); break;
    case 8: (void)!irqchip_rdmsr(c, vcpu, 0x800 + (uint32_t)take(in, 1), &v); break;
    case 9: {
        static const uint64_t bases[] = { 0xfee00900, 0xfee00d00, 0xfee00100, 0xd0000900 };
        if (op & 16)
            (void)!irqchip_wrmsr(c, vcpu, 0x1b, bases[take(in, 1) & 3]);
        else
            (void)!irqchip_set_apic_base(c, vcpu, take(in, 8));
        break;
    }
    case 10: (void)!irqchip_wrmsr(c, vcpu, 0x6e0, in->now * 2 + take(in, 4)); break;
    case 11: in->now += take(in, op & 16 ? 5 : 3); break;
    case 12: {
        unsigned before = irqchip_pending(c, vcpu);
        int vec = irqchip_ack(c, vcpu);
        require(vec >= -1 && vec <= 255 && (vec < 0 || before & IRQCHIP_INTR));
        require(vec >= 0 || !(before & IRQCHIP_INTR));
        break;
    }
    case 13: irqchip_take(c, vcpu, (unsigned)take(in, 1), buf); break;
    case 14: irqchip_set_cr8(c, vcpu, take(in, 1)); break;
    case 15:
        if (op & 16)
            set_state(c, in, (unsigned)take(in, 1) & 7, vcpu);
        else
            irqchip_nmi(c, vcpu);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size, 1000000 };
    struct irqchip_host host = { &in, now_ns, guest_tsc, tsc_to_ns, kick };
    struct irqchip *c;

    if (irqchip_create(&c, &host, VCPUS))
        return 0;
    for (unsigned i = 0; i < VCPUS; i++)
        require(irqchip_add_vcpu(c, i) == 0);
    require(irqchip_create_pit(c, true) == 0);
    while (in.left) {
        step(c, &in);
        check(c, &in);
    }
    irqchip_destroy(c);
    return 0;
}
