/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC of one vCPU: registers of xAPIC and x2APIC, priorities, base MSR.
 * [SDM] 3A "Advanced Programmable Interrupt Controller (APIC)".
 */
#include "engine/irqchip/model.h"

#include <errno.h>

enum { MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800, MSR_X2APIC_END = 0x900 };
/* Integrated APIC with six LVT entries; EOI broadcast cannot be suppressed, as in KVM when the I/O
 * APIC is under the waist too. */
enum { VERSION = 0x14 | 5 << 16 };
static const uint64_t base_address_bits = BITS(51, 12);

/* Bits that software can set. */
static const uint32_t writable[APIC_REGS] = {
    [APIC_ID] = 0xff000000,       [APIC_TPR] = 0xff,
    [APIC_LDR] = 0xff000000,      [APIC_DFR] = 0xf0000000,
    [APIC_SVR] = 0x3ff,           [APIC_ICR] = 0xccfff,
    [APIC_ICR2] = 0xff000000,     [APIC_LVT_TIMER] = 0x700ff,
    [APIC_LVT_THERMAL] = 0x107ff, [APIC_LVT_PERF] = 0x107ff,
    [APIC_LVT_LINT0] = 0x1a7ff,   [APIC_LVT_LINT1] = 0x1a7ff,
    [APIC_LVT_ERROR] = 0x100ff,   [APIC_TIMER_INITIAL] = 0xffffffff,
    [APIC_TIMER_DIVIDE] = 0xb,    [APIC_SELF_IPI] = 0xff,
};

static bool is_lvt(unsigned r) { return r >= APIC_LVT_TIMER && r <= APIC_LVT_ERROR; }

static bool is_readable(unsigned r)
{
    return r == APIC_ID || r == APIC_VERSION || (r >= APIC_TPR && r <= APIC_PPR) ||
           (r >= APIC_LDR && r <= APIC_ESR) || r == APIC_ICR || r == APIC_ICR2 || is_lvt(r) ||
           r == APIC_TIMER_INITIAL || r == APIC_TIMER_CURRENT || r == APIC_TIMER_DIVIDE;
}

static void vector_set(uint32_t *set, uint8_t v) { set[v / 32] |= 1u << v % 32; }
static void vector_clear(uint32_t *set, uint8_t v) { set[v / 32] &= ~(1u << v % 32); }
static bool vector_test(const uint32_t *set, uint8_t v) { return set[v / 32] >> v % 32 & 1; }

static int vector_highest(const uint32_t *set)
{
    for (int i = 7; i >= 0; i--)
        if (set[i])
            return i * 32 + 31 - __builtin_clz(set[i]);
    return -1;
}

void lapic_reset(struct lapic *l)
{
    for (unsigned i = 0; i < APIC_REGS; i++)
        l->reg[i] = 0;
    l->reg[APIC_ID] = l->vcpu << 24;
    l->reg[APIC_VERSION] = VERSION;
    l->reg[APIC_DFR] = 0xffffffff;
    l->reg[APIC_SVR] = 0xff;
    for (unsigned i = APIC_LVT_TIMER; i <= APIC_LVT_ERROR; i++)
        l->reg[i] = LVT_MASKED;
    if (l->vcpu == 0)
        /* DEVIATES: virtual-wire mode, which firmware sets up on the boot processor: guests that
         * know only the PIC work without firmware. KVM does the same. */
        l->reg[APIC_LVT_LINT0] = APIC_EXTINT << 8;
    l->errors = 0;
    l->expiry = NEVER;
    l->tsc_deadline = 0;
    l->nmi = l->init = l->sipi = l->smi = false;
}

/* ---- priorities: [SDM] 3A "Interrupt Acceptance for Fixed Interrupts", "Task and Processor
 * Priorities" ---- */

uint8_t lapic_ppr(const struct lapic *l)
{
    int isr = vector_highest(&l->reg[APIC_ISR]);
    uint8_t tpr = (uint8_t)l->reg[APIC_TPR], serving = isr < 0 ? 0 : (uint8_t)isr;

    return tpr >> 4 >= serving >> 4 ? tpr : serving & 0xf0;
}

int lapic_pending(const struct lapic *l)
{
    if (!lapic_enabled(l))
        return -1;
    int v = vector_highest(&l->reg[APIC_IRR]);
    return v >= 0 && v >> 4 > lapic_ppr(l) >> 4 ? v : -1;
}

int lapic_ack(struct lapic *l)
{
    int v = lapic_pending(l);

    if (v < 0)
        return -1;
    vector_clear(&l->reg[APIC_IRR], (uint8_t)v);
    vector_set(&l->reg[APIC_ISR], (uint8_t)v);
    return v;
}

bool lapic_has(const struct lapic *l, uint8_t vector)
{
    return lapic_enabled(l) &&
           (vector_test(&l->reg[APIC_IRR], vector) || vector_test(&l->reg[APIC_ISR], vector));
}

bool lapic_takes_pic(const struct lapic *l)
{
    uint32_t lint0 = l->reg[APIC_LVT_LINT0];

    if (!l->present)
        return false;
    if (!lapic_enabled(l)) /* [SDM] 3A "LINT[0:1] pins": INTR and NMI when the APIC is disabled */
        return l->vcpu == 0;
    return !(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == APIC_EXTINT;
}

static void kick_if_pending(struct irqchip *c, struct lapic *l)
{
    if (lapic_pending(l) >= 0)
        irqchip_kick(c, l);
}

void lapic_request(struct irqchip *c, struct lapic *l, uint8_t vector, bool level)
{
    vector_set(&l->reg[APIC_IRR], vector);
    if (level)
        vector_set(&l->reg[APIC_TMR], vector);
    else
        vector_clear(&l->reg[APIC_TMR], vector);
    kick_if_pending(c, l);
}

void lapic_error(struct irqchip *c, struct lapic *l, uint32_t bits)
{
    l->errors |= bits;
    lapic_local(c, l, APIC_LVT_ERROR);
}

void lapic_local(struct irqchip *c, struct lapic *l, unsigned lvt)
{
    uint32_t entry = l->reg[lvt];
    bool with_mode = lvt != APIC_LVT_TIMER && lvt != APIC_LVT_ERROR;

    if (!lapic_enabled(l) || entry & LVT_MASKED)
        return;
    switch (with_mode ? (enum apic_mode)(entry >> 8 & 7) : APIC_FIXED) {
    case APIC_FIXED:
        if ((uint8_t)entry >= 16)
            lapic_request(c, l, (uint8_t)entry, false);
        else if (lvt == APIC_LVT_ERROR)
            l->errors |= ESR_RECEIVE_VECTOR; /* no error interrupt about the error interrupt */
        else
            lapic_error(c, l, ESR_RECEIVE_VECTOR);
        break;
    case APIC_NMI:
        l->nmi = true;
        irqchip_kick(c, l);
        break;
    case APIC_SMI:
        l->smi = true;
        irqchip_kick(c, l);
        break;
    case APIC_INIT:
        l->init = true;
        irqchip_kick(c, l);
        break;
    default: break; /* ExtINT: lapic_takes_pic() */
    }
}

/* ---- registers ---- */

static void end_of_interrupt(struct irqchip *c, struct lapic *l)
{
    int v = vector_highest(&l->reg[APIC_ISR]);

    if (v < 0)
        return;
    vector_clear(&l->reg[APIC_ISR], (uint8_t)v);
    if (vector_test(&l->reg[APIC_TMR], (uint8_t)v))
        ioapic_eoi(c, (uint8_t)v);
    kick_if_pending(c, l);
}

static void set_spurious(struct irqchip *c, struct lapic *l, uint32_t v)
{
    l->reg[APIC_SVR] = v;
    if (v & SVR_ENABLED)
        return;
    /* [SDM] 3A "Local APIC State After It Has Been Software Disabled" */
    for (unsigned i = APIC_LVT_THERMAL; i <= APIC_LVT_ERROR; i++)
        l->reg[i] |= LVT_MASKED;
    apic_timer_set_lvt(c, l, l->reg[APIC_LVT_TIMER] | LVT_MASKED);
}

static void set_lvt(struct irqchip *c, struct lapic *l, unsigned r, uint32_t v)
{
    if (!(l->reg[APIC_SVR] & SVR_ENABLED))
        v |= LVT_MASKED;
    if (r == APIC_LVT_TIMER) {
        apic_timer_set_lvt(c, l, v);
        return;
    }
    l->reg[r] = v;
    if (r == APIC_LVT_LINT0 && c->pic.output && lapic_takes_pic(l))
        irqchip_kick(c, l);
}

static uint32_t x2_ldr(const struct lapic *l) { return l->vcpu >> 4 << 16 | 1u << (l->vcpu & 15); }

static uint32_t read_register(struct irqchip *c, struct lapic *l, unsigned r)
{
    switch (r) {
    case APIC_ID: return lapic_is_x2(l) ? l->vcpu : l->reg[APIC_ID];
    case APIC_LDR: return lapic_is_x2(l) ? x2_ldr(l) : l->reg[APIC_LDR];
    case APIC_APR: return 0; /* not on processors since the Pentium 4 */
    case APIC_PPR: return lapic_ppr(l);
    case APIC_TIMER_CURRENT: return apic_timer_current(c, l);
    default: return l->reg[r];
    }
}

/* v has only bits that can be set. */
static void write_register(struct irqchip *c, struct lapic *l, unsigned r, uint32_t v)
{
    switch (r) {
    case APIC_TPR:
        l->reg[r] = v;
        kick_if_pending(c, l);
        break;
    case APIC_EOI: end_of_interrupt(c, l); break;
    case APIC_DFR: l->reg[r] = v | 0x0fffffff; break;
    case APIC_SVR: set_spurious(c, l, v); break;
    case APIC_ESR: /* [SDM] 3A "Error Handling": a write makes the errors since the last readable */
        l->reg[r] = l->errors;
        l->errors = 0;
        break;
    case APIC_ICR:
        l->reg[r] = v;
        apic_bus_icr(c, l, (uint64_t)l->reg[APIC_ICR2] << 32 | v, false);
        break;
    case APIC_TIMER_INITIAL: apic_timer_set_initial(c, l, v); break;
    case APIC_TIMER_DIVIDE: apic_timer_set_divide(c, l, v); break;
    default:
        if (is_lvt(r))
            set_lvt(c, l, r, v);
        else
            l->reg[r] = v;
        break;
    }
}

uint32_t lapic_read(struct irqchip *c, struct lapic *l, uint32_t offset)
{
    unsigned r = offset >> 4;

    if (offset & 15)
        return 0;
    if (r >= APIC_REGS || !is_readable(r)) {
        if (r != APIC_RRD && r != APIC_EOI)
            lapic_error(c, l, ESR_REGISTER);
        return 0;
    }
    return read_register(c, l, r);
}

void lapic_write(struct irqchip *c, struct lapic *l, uint32_t offset, uint32_t v)
{
    unsigned r = offset >> 4;

    if (offset & 15)
        return;
    if (r < APIC_REGS && r != APIC_SELF_IPI && (writable[r] || r == APIC_EOI || r == APIC_ESR))
        write_register(c, l, r, v & writable[r]);
    else if (r >= APIC_REGS || !is_readable(r))
        lapic_error(c, l, ESR_REGISTER);
}

/* ---- MSRs ---- */

/* [SDM] 3A "x2APIC Register Address Space" */
static int x2_read(struct irqchip *c, struct lapic *l, unsigned r, uint64_t *v)
{
    if (r >= APIC_REGS || !is_readable(r) || r == APIC_APR || r == APIC_DFR || r == APIC_ICR2)
        return -1;
    *v = read_register(c, l, r);
    if (r == APIC_ICR)
        *v |= (uint64_t)l->reg[APIC_ICR2] << 32;
    return 0;
}

static int x2_write(struct irqchip *c, struct lapic *l, unsigned r, uint64_t v)
{
    if (r >= APIC_REGS)
        return -1;
    switch (r) {
    case APIC_ID:
    case APIC_LDR:
    case APIC_DFR:
    case APIC_ICR2: return -1;
    case APIC_EOI:
    case APIC_ESR:
        if (v)
            return -1;
        break;
    case APIC_ICR:
        if ((uint32_t)v & ~writable[r])
            return -1;
        l->reg[APIC_ICR] = (uint32_t)v;
        l->reg[APIC_ICR2] = (uint32_t)(v >> 32);
        apic_bus_icr(c, l, v, true);
        return 0;
    case APIC_SELF_IPI:
        if (v & ~(uint64_t)writable[r])
            return -1;
        apic_bus_icr(c, l, 1 << 18 | v, true); /* shorthand "self", fixed, edge */
        return 0;
    default:
        if (!writable[r] || v & ~(uint64_t)writable[r])
            return -1;
    }
    write_register(c, l, r, (uint32_t)v);
    return 0;
}

int lapic_set_base(struct lapic *l, uint64_t base, bool host)
{
    uint64_t mode = APICBASE_X2 | APICBASE_ENABLED, was = l->base & mode, new = base &mode;

    if (base & ~(base_address_bits | mode | APICBASE_BSP) || new == APICBASE_X2)
        return -1;
    /* [SDM] 3A "x2APIC States": x2 only from xAPIC, out of it only to disabled */
    if (!host && ((was == mode && new == APICBASE_ENABLED) || (!was && new == mode)))
        return -1;
    l->base = (base & ~(uint64_t)APICBASE_BSP) | (l->vcpu == 0 ? APICBASE_BSP : 0);
    if (was && !new) { /* [SDM] 3A "Enabling or Disabling the Local APIC": as after power-up */
        bool nmi = l->nmi;
        lapic_reset(l);
        l->nmi = nmi;
    }
    return 0;
}

int lapic_rdmsr(struct irqchip *c, struct lapic *l, uint32_t msr, uint64_t *v)
{
    if (msr == MSR_APIC_BASE)
        *v = l->base;
    else if (msr == MSR_TSC_DEADLINE) {
        apic_timer_run(c, l);
        *v = l->tsc_deadline;
    } else if (msr >= MSR_X2APIC && msr < MSR_X2APIC_END && lapic_is_x2(l))
        return x2_read(c, l, msr - MSR_X2APIC, v);
    else
        return -1;
    return 0;
}

int lapic_wrmsr(struct irqchip *c, struct lapic *l, uint32_t msr, uint64_t v)
{
    if (msr == MSR_APIC_BASE)
        return lapic_set_base(l, v, false);
    if (msr == MSR_TSC_DEADLINE) {
        apic_timer_set_tsc(c, l, v);
        return 0;
    }
    if (msr >= MSR_X2APIC && msr < MSR_X2APIC_END && lapic_is_x2(l))
        return x2_write(c, l, msr - MSR_X2APIC, v);
    return -1;
}

/* ---- snapshot: the layout of the xAPIC page, id in bits 31..24 in either mode ---- */

void lapic_get(struct irqchip *c, struct lapic *l, struct kvm_lapic_state *k)
{
    *k = (struct kvm_lapic_state){ 0 };
    apic_timer_run(c, l);
    for (unsigned i = 0; i < APIC_REGS; i++)
        le32_put(k->regs + i * 16, l->reg[i]);
    le32_put(k->regs + APIC_PPR * 16, lapic_ppr(l));
    le32_put(k->regs + APIC_TIMER_CURRENT * 16, apic_timer_current(c, l));
    if (lapic_is_x2(l)) {
        le32_put(k->regs + APIC_ID * 16, l->vcpu << 24);
        le32_put(k->regs + APIC_LDR * 16, x2_ldr(l));
    }
}

int lapic_set(struct irqchip *c, struct lapic *l, const struct kvm_lapic_state *k)
{
    uint32_t reg[APIC_REGS];

    for (unsigned i = 0; i < APIC_REGS; i++)
        reg[i] = le32(k->regs + i * 16);
    if (lapic_is_x2(l) && reg[APIC_ID] >> 24 != (l->vcpu & 0xff))
        return -EINVAL;
    for (unsigned i = 0; i < APIC_REGS; i++) {
        bool vectors = i >= APIC_ISR && i < APIC_ESR;
        if (vectors || i == APIC_ESR || (lapic_is_x2(l) && i == APIC_ICR2))
            l->reg[i] = reg[i];
        else if (i != APIC_VERSION)
            l->reg[i] = reg[i] & writable[i];
        if (i >= APIC_ISR && i < APIC_ESR && i % 8 == 0)
            l->reg[i] &= 0xffff0000; /* vectors below 16 do not exist */
    }
    l->reg[APIC_DFR] |= 0x0fffffff;
    l->errors = 0;
    l->init = l->sipi = l->smi = false; /* of the time before; NMI is the caller's to set */
    apic_timer_resume(c, l, reg[APIC_TIMER_CURRENT]);
    kick_if_pending(c, l);
    return 0;
}
