/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From global system interrupts to controller pins and MSIs, as KVM_SET_GSI_ROUTING.
 *
 * A GSI is up while any of its sources holds it up; a pin is up while any GSI routed to it is.
 */
#include "engine/irqchip/model.h"

#include <errno.h>
#include <string.h>

static void pin_update(struct irqchip *c, const struct route *e)
{
    if (e->kind == ROUTE_PIC) {
        bool was = c->pic.output;
        pic_set_line(&c->pic, e->pin, c->routing.pic_high[e->pin]);
        irqchip_pic_changed(c, was);
    } else {
        ioapic_set_line(c, e->pin, c->routing.ioapic_high[e->pin]);
    }
}

static uint16_t *pin_count(struct routing *r, const struct route *e)
{
    return e->kind == ROUTE_PIC ? &r->pic_high[e->pin] : &r->ioapic_high[e->pin];
}

int routing_line(struct irqchip *c, uint32_t gsi, enum routing_source source, bool level)
{
    struct routing *r = &c->routing;

    if (gsi >= ROUTING_GSIS)
        return -EINVAL;
    bool was = r->level[gsi];
    uint8_t bit = (uint8_t)BIT(source);
    r->level[gsi] = level ? r->level[gsi] | bit : r->level[gsi] & (uint8_t)~bit;
    bool is = r->level[gsi];

    for (unsigned i = r->first[gsi]; i; i = r->entry[i - 1].next) {
        const struct route *e = &r->entry[i - 1];
        if (e->kind == ROUTE_MSI) {
            if (level)
                (void)apic_bus_msi(c, e->addr, e->data);
            continue;
        }
        uint16_t *high = pin_count(r, e);
        *high = (uint16_t)(*high + is - was);
        pin_update(c, e); /* even without a change: restored state may differ from the wires */
    }
    return 0;
}

static void add(struct routing *r, uint32_t gsi, struct route e)
{
    e.next = r->first[gsi];
    r->entry[r->count++] = e;
    r->first[gsi] = (uint16_t)r->count;
}

static void clear(struct routing *r)
{
    memset(r->first, 0, sizeof(r->first));
    memset(r->pic_high, 0, sizeof(r->pic_high));
    memset(r->ioapic_high, 0, sizeof(r->ioapic_high));
    r->count = 0;
}

/* GSI n is pin n of both controllers, and the timer is on pin 2 of the I/O APIC too, where PCs have
 * it: with this default, boards with and without the MADT override for IRQ 0 both work. */
void routing_reset(struct routing *r)
{
    clear(r);
    for (unsigned i = 0; i < IRQCHIP_PINS; i++) {
        add(r, i, (struct route){ .kind = ROUTE_IOAPIC, .pin = (uint8_t)i });
        if (i < 16)
            add(r, i, (struct route){ .kind = ROUTE_PIC, .pin = (uint8_t)i });
    }
    add(r, 0, (struct route){ .kind = ROUTE_IOAPIC, .pin = 2 });
}

static bool convert(const struct kvm_irq_routing_entry *k, struct route *e)
{
    *e = (struct route){ 0 };
    if (k->gsi >= ROUTING_GSIS)
        return false;
    if (k->type == KVM_IRQ_ROUTING_MSI) {
        if (k->flags & ~(uint32_t)KVM_MSI_VALID_DEVID)
            return false;
        e->kind = ROUTE_MSI;
        e->addr = (uint64_t)k->u.msi.address_hi << 32 | k->u.msi.address_lo;
        e->data = k->u.msi.data;
        return true;
    }
    if (k->type != KVM_IRQ_ROUTING_IRQCHIP || k->flags)
        return false;
    uint32_t pin = k->u.irqchip.pin, chip = k->u.irqchip.irqchip;
    if (chip == KVM_IRQCHIP_IOAPIC) {
        e->kind = ROUTE_IOAPIC;
        e->pin = (uint8_t)pin;
        return pin < IRQCHIP_PINS;
    }
    e->kind = ROUTE_PIC;
    e->pin = (uint8_t)(pin + (chip == KVM_IRQCHIP_PIC_SLAVE ? 8 : 0));
    return chip <= KVM_IRQCHIP_PIC_SLAVE && pin < 8;
}

int routing_set(struct irqchip *c, const struct kvm_irq_routing *k)
{
    struct routing *r = &c->routing;
    struct route e;

    if (k->flags || k->nr > ROUTING_ENTRIES)
        return -EINVAL;
    for (uint32_t i = 0; i < k->nr; i++)
        if (!convert(&k->entries[i], &e))
            return -EINVAL;
    clear(r);
    for (uint32_t i = 0; i < k->nr; i++) {
        (void)convert(&k->entries[i], &e);
        add(r, k->entries[i].gsi, e);
        if (e.kind != ROUTE_MSI && r->level[k->entries[i].gsi])
            ++*pin_count(r, &e);
    }
    for (uint8_t i = 0; i < IRQCHIP_PINS; i++) {
        if (i < 16)
            pin_update(c, &(struct route){ .kind = ROUTE_PIC, .pin = i });
        pin_update(c, &(struct route){ .kind = ROUTE_IOAPIC, .pin = i });
    }
    return 0;
}
