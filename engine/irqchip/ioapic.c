/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O APIC, 24 pins, version 0x11 (no EOI register) as in KVM. [82093AA] */
#include "engine/irqchip/model.h"

#include <errno.h>

enum { SELECT = 0x00, WINDOW = 0x10 };
enum { REG_ID, REG_VERSION, REG_ARBITRATION, REG_ENTRIES = 0x10 };
enum { VERSION = 0x11 | (IRQCHIP_PINS - 1) << 16, ID_MASK = 0x0f000000 };
static const uint64_t entry_readonly = IOAPIC_STATUS | IOAPIC_REMOTE_IRR;
static const uint64_t entry_bits = BITS(63, 56) | BITS(16, 0);

static struct apic_message message_of(uint64_t e)
{
    enum apic_mode mode = (enum apic_mode)bits_get(e, 10, 8);

    return (struct apic_message){
        .dest = (uint32_t)(e >> 56),
        .logical = e & IOAPIC_LOGICAL,
        .lowest = mode == APIC_LOWEST,
        /* [82093AA] NMI, INIT and SMI are edge-triggered whatever the entry says */
        .level = (e & IOAPIC_LEVEL) && mode <= APIC_LOWEST,
        .mode = mode,
        .vector = (uint8_t)e,
    };
}

static void service(struct irqchip *c, unsigned pin)
{
    uint64_t *e = &c->ioapic.entry[pin];

    if (*e & IOAPIC_MASKED)
        return;
    struct apic_message m = message_of(*e);
    if (m.level && *e & IOAPIC_REMOTE_IRR)
        return;
    if (apic_bus_send(c, &m) > 0 && m.level)
        *e |= IOAPIC_REMOTE_IRR;
}

static bool is_level(uint64_t e) { return e & IOAPIC_LEVEL; }

void ioapic_reset(struct irqchip *c)
{
    c->ioapic = (struct ioapic){ .line = c->ioapic.line };
    for (unsigned i = 0; i < IRQCHIP_PINS; i++)
        c->ioapic.entry[i] = IOAPIC_MASKED;
}

void ioapic_set_line(struct irqchip *c, unsigned pin, bool level)
{
    bool was = c->ioapic.line & BIT(pin);

    c->ioapic.line =
        level ? c->ioapic.line | (uint32_t)BIT(pin) : c->ioapic.line & (uint32_t)~BIT(pin);
    if (level && (!was || is_level(c->ioapic.entry[pin])))
        service(c, pin);
}

void ioapic_eoi(struct irqchip *c, uint8_t vector)
{
    for (unsigned i = 0; i < IRQCHIP_PINS; i++) {
        uint64_t *e = &c->ioapic.entry[i];
        if ((uint8_t)*e != vector || !is_level(*e) || !(*e & IOAPIC_REMOTE_IRR))
            continue;
        *e &= ~(uint64_t)IOAPIC_REMOTE_IRR;
        if (c->ioapic.line & BIT(i))
            service(c, i);
    }
}

bool ioapic_extint(const struct irqchip *c, const struct lapic *l)
{
    uint64_t e = c->ioapic.entry[0];
    struct apic_message m = message_of(e);

    return !(e & IOAPIC_MASKED) && m.mode == APIC_EXTINT && apic_bus_match(l, &m);
}

static uint32_t read_register(const struct ioapic *io)
{
    unsigned n = (io->select - REG_ENTRIES) / 2;

    switch (io->select) {
    case REG_ID:
    case REG_ARBITRATION: return io->id;
    case REG_VERSION: return VERSION;
    }
    if (io->select < REG_ENTRIES || n >= IRQCHIP_PINS)
        return 0;
    return (uint32_t)(io->select & 1 ? io->entry[n] >> 32 : io->entry[n]);
}

static void write_entry(struct irqchip *c, unsigned n, bool high, uint32_t v)
{
    uint64_t *e = &c->ioapic.entry[n];
    uint64_t new = high ? (uint32_t)*e | (uint64_t)v << 32 : (*e & ~(uint64_t)UINT32_MAX) | v;

    *e = (new &entry_bits & ~entry_readonly) | (*e & entry_readonly);
    if (!is_level(*e)) /* how systems without an EOI register clear a stuck one */
        *e &= ~(uint64_t)IOAPIC_REMOTE_IRR;
    else if (c->ioapic.line & BIT(n))
        service(c, n);
}

uint32_t ioapic_read(struct irqchip *c, uint32_t offset)
{
    switch (offset) {
    case SELECT: return c->ioapic.select;
    case WINDOW: return read_register(&c->ioapic);
    default: return 0;
    }
}

void ioapic_write(struct irqchip *c, uint32_t offset, uint32_t v)
{
    struct ioapic *io = &c->ioapic;
    unsigned n = (io->select - REG_ENTRIES) / 2;

    if (offset == SELECT)
        io->select = v & 0xff;
    else if (offset != WINDOW)
        return;
    else if (io->select == REG_ID)
        io->id = v & ID_MASK;
    else if (io->select >= REG_ENTRIES && n < IRQCHIP_PINS)
        write_entry(c, n, io->select & 1, v);
}

void ioapic_get(const struct irqchip *c, struct kvm_ioapic_state *k)
{
    *k = (struct kvm_ioapic_state){
        .base_address = ioapic_base,
        .ioregsel = c->ioapic.select,
        .id = c->ioapic.id >> 24,
    };
    for (unsigned i = 0; i < IRQCHIP_PINS; i++) {
        k->redirtbl[i].bits = c->ioapic.entry[i];
        if (is_level(c->ioapic.entry[i])) /* an edge was sent when it came, or is lost */
            k->irr |= c->ioapic.line & (uint32_t)BIT(i);
    }
}

int ioapic_set(struct irqchip *c, const struct kvm_ioapic_state *k)
{
    if (k->base_address != ioapic_base || k->ioregsel > 0xff)
        return -EINVAL;
    c->ioapic.select = k->ioregsel;
    c->ioapic.id = k->id << 24 & ID_MASK;
    for (unsigned i = 0; i < IRQCHIP_PINS; i++) {
        uint64_t e = k->redirtbl[i].bits & entry_bits & ~(uint64_t)IOAPIC_STATUS;
        c->ioapic.entry[i] = is_level(e) ? e : e & ~(uint64_t)IOAPIC_REMOTE_IRR;
    }
    c->ioapic.line |= k->irr & (uint32_t)BITS(IRQCHIP_PINS - 1, 0);
    for (unsigned i = 0; i < IRQCHIP_PINS; i++)
        if (k->irr & BIT(i))
            service(c, i);
    return 0;
}
