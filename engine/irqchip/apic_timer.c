/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The timer of a local APIC: one-shot, periodic, TSC-deadline. [SDM] 3A "APIC Timer".
 *
 * Its bus clock is 1 GHz as in KVM, so a count times the divisor is nanoseconds.
 */
#include "engine/irqchip/model.h"

/* A shorter period would leave the guest no time between two interrupts. */
enum { SHORTEST_PERIOD_NS = 20000 };

static unsigned shift(const struct lapic *l)
{
    uint32_t d = l->reg[APIC_TIMER_DIVIDE];

    return ((d & 3) + (d >> 1 & 4) + 1) & 7;
}

static uint32_t mode(const struct lapic *l) { return l->reg[APIC_LVT_TIMER] & LVT_TIMER_MODE; }

static uint64_t period(const struct lapic *l)
{
    uint64_t ns = (uint64_t)l->reg[APIC_TIMER_INITIAL] << shift(l);

    return mode(l) == LVT_PERIODIC ? MAX(ns, SHORTEST_PERIOD_NS) : ns;
}

/* Follows changes of the guest's TSC and of its relation to the clock. */
static void refresh(struct irqchip *c, struct lapic *l)
{
    if (mode(l) == LVT_TSC_DEADLINE)
        l->expiry =
            l->tsc_deadline ? c->host.tsc_to_ns(c->host.ctx, l->vcpu, l->tsc_deadline) : NEVER;
}

void apic_timer_run(struct irqchip *c, struct lapic *l)
{
    refresh(c, l);
    if (l->expiry == NEVER)
        return;
    uint64_t now = irqchip_now(c);
    if (now < l->expiry)
        return;
    if (mode(l) == LVT_PERIODIC) { /* ends missed are one interrupt, as for the real IRR */
        uint64_t p = period(l);
        l->expiry += ((now - l->expiry) / p + 1) * p;
    } else {
        l->expiry = NEVER;
        l->tsc_deadline = 0;
    }
    lapic_local(c, l, APIC_LVT_TIMER);
}

static void start(struct irqchip *c, struct lapic *l, uint64_t ns)
{
    uint64_t was = l->expiry;

    l->expiry = irqchip_now(c) + ns;
    if (l->expiry < was)
        irqchip_kick(c, l);
}

void apic_timer_set_initial(struct irqchip *c, struct lapic *l, uint32_t v)
{
    apic_timer_run(c, l);
    if (mode(l) == LVT_TSC_DEADLINE)
        return;
    l->reg[APIC_TIMER_INITIAL] = v;
    l->expiry = NEVER;
    if (v)
        start(c, l, period(l));
}

void apic_timer_set_divide(struct irqchip *c, struct lapic *l, uint32_t v)
{
    uint32_t left = apic_timer_current(c, l);

    l->reg[APIC_TIMER_DIVIDE] = v;
    if (l->expiry != NEVER && mode(l) != LVT_TSC_DEADLINE) {
        l->expiry = NEVER;
        start(c, l, (uint64_t)left << shift(l));
    }
}

void apic_timer_set_lvt(struct irqchip *c, struct lapic *l, uint32_t v)
{
    uint32_t was = mode(l);

    apic_timer_run(c, l); /* what ended under the old entry */
    if ((v & LVT_TIMER_MODE) == LVT_TIMER_MODE)
        v &= ~(uint32_t)LVT_TIMER_MODE; /* reserved */
    l->reg[APIC_LVT_TIMER] = v;
    if (was != mode(l) && (was == LVT_TSC_DEADLINE || mode(l) == LVT_TSC_DEADLINE)) {
        l->expiry = NEVER; /* [SDM] "transitioning ... disarms the timer" */
        l->tsc_deadline = 0;
        l->reg[APIC_TIMER_INITIAL] = 0;
    }
    if (l->expiry != NEVER && !(v & LVT_MASKED))
        irqchip_kick(c, l); /* its end counts from now on */
}

void apic_timer_set_tsc(struct irqchip *c, struct lapic *l, uint64_t tsc)
{
    apic_timer_run(c, l);
    if (mode(l) != LVT_TSC_DEADLINE)
        return;
    l->tsc_deadline = tsc;
    refresh(c, l);
    if (tsc)
        irqchip_kick(c, l);
}

uint32_t apic_timer_current(struct irqchip *c, struct lapic *l)
{
    apic_timer_run(c, l);
    if (l->expiry == NEVER || mode(l) == LVT_TSC_DEADLINE)
        return 0;
    uint64_t now = irqchip_now(c), left = l->expiry > now ? l->expiry - now : 0;
    left = (left + BIT(shift(l)) - 1) >> shift(l);
    return (uint32_t)MIN(left, l->reg[APIC_TIMER_INITIAL]);
}

void apic_timer_resume(struct irqchip *c, struct lapic *l, uint32_t current)
{
    if (mode(l) == LVT_TIMER_MODE)
        l->reg[APIC_LVT_TIMER] &= ~(uint32_t)LVT_TIMER_MODE;
    if (mode(l) == LVT_TSC_DEADLINE) {
        refresh(c, l);
        return;
    }
    l->expiry = NEVER;
    l->tsc_deadline = 0;
    if (l->reg[APIC_TIMER_INITIAL] && current)
        start(c, l, (uint64_t)MIN(current, l->reg[APIC_TIMER_INITIAL]) << shift(l));
}

uint64_t apic_timer_next(struct irqchip *c, struct lapic *l)
{
    refresh(c, l);
    return l->reg[APIC_LVT_TIMER] & LVT_MASKED ? NEVER : l->expiry;
}
