/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages between APICs: destinations, delivery, interrupt command register, MSI. [SDM] 3A
 * "Determining IPI Destination", "Delivering Interrupts". */
#include "engine/irqchip/model.h"

#include <errno.h>

enum { ICR_LOGICAL = 1 << 11, ICR_ASSERT = 1 << 14, ICR_LEVEL = 1 << 15 };
enum icr_shorthand { TO_DEST, TO_SELF, TO_ALL, TO_OTHERS };
enum { MSI_REDIRECTION_HINT = 1 << 3, MSI_LOGICAL = 1 << 2, MSI_LEVEL = 1 << 15 };
enum { DFR_FLAT = 15, DFR_CLUSTER = 0 };

static bool match_logical(const struct lapic *l, uint32_t dest)
{
    if (lapic_is_x2(l))
        return dest >> 16 == l->vcpu >> 4 && dest & 1u << (l->vcpu & 15);

    uint32_t ldr = l->reg[APIC_LDR] >> 24;
    if (dest > 0xff)
        return false;
    switch (l->reg[APIC_DFR] >> 28) {
    case DFR_FLAT: return ldr & dest;
    case DFR_CLUSTER: return ldr >> 4 == dest >> 4 && ldr & dest & 15;
    default: return false;
    }
}

bool apic_bus_match(const struct lapic *l, const struct apic_message *m)
{
    if (!lapic_enabled(l))
        return false;
    if (m->dest == (m->wide ? UINT32_MAX : 0xff))
        return true;
    if (m->logical)
        return match_logical(l, m->dest);
    return m->dest == (lapic_is_x2(l) ? l->vcpu : l->reg[APIC_ID] >> 24);
}

/* True if the LAPIC takes the message. */
static bool accept(struct irqchip *c, struct lapic *l, const struct apic_message *m)
{
    switch (m->mode) {
    case APIC_FIXED:
    case APIC_LOWEST:
        if (!(l->reg[APIC_SVR] & SVR_ENABLED))
            return false;
        if (m->vector < 16) {
            lapic_error(c, l, ESR_RECEIVE_VECTOR);
            return false;
        }
        lapic_request(c, l, m->vector, m->level);
        return true;
    case APIC_SMI: l->smi = true; break;
    case APIC_NMI: l->nmi = true; break;
    case APIC_INIT:
        l->init = true;
        l->sipi = false;
        break;
    case APIC_SIPI:
        l->sipi = true;
        l->sipi_vector = m->vector;
        break;
    default: return false; /* ExtINT: see ioapic_extint(); reserved */
    }
    irqchip_kick(c, l);
    return true;
}

/* [SDM] 3A "Lowest Priority Delivery Mode"; among equals in turn. */
static struct lapic *lowest(struct irqchip *c, const struct apic_message *m)
{
    struct lapic *best = NULL;

    for (unsigned i = 1; i <= c->vcpus; i++) {
        struct lapic *l = &c->lapic[(c->last_lowest + i) % c->vcpus];
        if (apic_bus_match(l, m) && l->reg[APIC_SVR] & SVR_ENABLED &&
            (!best || lapic_ppr(l) < lapic_ppr(best)))
            best = l;
    }
    if (best)
        c->last_lowest = best->vcpu;
    return best;
}

int apic_bus_send(struct irqchip *c, const struct apic_message *m)
{
    int taken = 0;

    if (m->lowest) {
        struct lapic *l = lowest(c, m);
        return l && accept(c, l, m);
    }
    for (unsigned i = 0; i < c->vcpus; i++)
        if (apic_bus_match(&c->lapic[i], m))
            taken += accept(c, &c->lapic[i], m);
    return taken;
}

void apic_bus_icr(struct irqchip *c, struct lapic *from, uint64_t icr, bool wide)
{
    enum apic_mode mode = (enum apic_mode)bits_get(icr, 10, 8);
    struct apic_message m = {
        .dest = wide ? (uint32_t)(icr >> 32) : (uint32_t)(icr >> 56),
        .wide = wide,
        .logical = icr & ICR_LOGICAL,
        .lowest = mode == APIC_LOWEST,
        .mode = mode,
        .vector = (uint8_t)icr,
    };

    if (!lapic_enabled(from))
        return;
    if (mode <= APIC_LOWEST && m.vector < 16) {
        lapic_error(c, from, ESR_SEND_VECTOR);
        return;
    }
    if (mode == APIC_INIT && icr & ICR_LEVEL && !(icr & ICR_ASSERT))
        return; /* INIT level de-assert: without effect since the Pentium 4 */

    switch ((enum icr_shorthand)bits_get(icr, 19, 18)) {
    case TO_DEST: (void)apic_bus_send(c, &m); break;
    case TO_SELF: (void)accept(c, from, &m); break;
    case TO_ALL:
    case TO_OTHERS:
        for (unsigned i = 0; i < c->vcpus; i++)
            if (lapic_enabled(&c->lapic[i]) &&
                (bits_get(icr, 19, 18) == TO_ALL || &c->lapic[i] != from))
                (void)accept(c, &c->lapic[i], &m);
        break;
    }
}

int apic_bus_msi(struct irqchip *c, uint64_t addr, uint32_t data)
{
    enum apic_mode mode = (enum apic_mode)bits_get(data, 10, 8);
    struct apic_message m = {
        .dest = (uint32_t)bits_get(addr, 19, 12),
        .logical = addr & MSI_LOGICAL,
        .lowest = mode == APIC_LOWEST ||
                  (mode == APIC_FIXED && addr & MSI_REDIRECTION_HINT && addr & MSI_LOGICAL),
        .level = data & MSI_LEVEL && mode <= APIC_LOWEST,
        .mode = mode,
        .vector = (uint8_t)data,
    };

    if (addr >> 20 != 0xfee)
        return -EINVAL;
    return apic_bus_send(c, &m);
}
