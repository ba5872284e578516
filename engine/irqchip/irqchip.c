/* SPDX-License-Identifier: BSD-2-Clause */
/* The shell of the interrupt chip: its lock, address decoding, and what a vCPU asks for. */
#include "engine/irqchip/irqchip.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/irqchip/model.h"

enum { TIMER_GSI = 0 };
enum { LAPIC_PAGE = 0x1000, LAPIC_DEFAULT_BASE = 0xfee00000 };
/* While no controller passes the timer on, this much of it is kept: a guest masks it for the length
 * of a handler and loses nothing; one that turned it off is not flooded later. */
enum { UNHEARD_MS = 50 };

void irqchip_kick(struct irqchip *c, const struct lapic *l) { c->host.kick(c->host.ctx, l->vcpu); }

static struct lapic *lapic_of(struct irqchip *c, unsigned vcpu)
{
    return vcpu < c->vcpus && c->lapic[vcpu].present ? &c->lapic[vcpu] : NULL;
}

static bool takes_pic(const struct irqchip *c, const struct lapic *l)
{
    return lapic_takes_pic(l) || ioapic_extint(c, l);
}

void irqchip_pic_changed(struct irqchip *c, bool was)
{
    if (!c->pic.output || was)
        return;
    for (unsigned i = 0; i < c->vcpus; i++) {
        struct lapic *l = &c->lapic[i];
        if (!l->present)
            continue;
        if (takes_pic(c, l))
            irqchip_kick(c, l);
        else
            lapic_local(c, l, APIC_LVT_LINT0); /* the pin as NMI or fixed interrupt */
    }
}

/* ---- the timer's ticks ---- */

/* True while the last tick has not been acknowledged to its end, so that another would be lost. */
static bool tick_in_flight(struct irqchip *c)
{
    const struct pic_chip *s = &c->pic.chip[0];
    bool heard = false;

    for (unsigned v = 0; v < c->vcpus && !(s->imr & 1); v++)
        heard |= c->lapic[v].present && takes_pic(c, &c->lapic[v]);
    if (heard && (s->irr | s->isr) & 1)
        return true;
    for (unsigned i = c->routing.first[TIMER_GSI]; i; i = c->routing.entry[i - 1].next) {
        const struct route *e = &c->routing.entry[i - 1];
        if (e->kind != ROUTE_IOAPIC || c->ioapic.entry[e->pin] & IOAPIC_MASKED)
            continue;
        heard = true;
        for (unsigned v = 0; v < c->vcpus; v++)
            if (lapic_has(&c->lapic[v], (uint8_t)c->ioapic.entry[e->pin]))
                return true;
    }
    if (heard)
        return false;
    pit_limit(&c->pit, (uint64_t)PIT_HZ * UNHEARD_MS / 1000);
    return s->irr & 1;
}

static void timer_deliver(struct irqchip *c)
{
    if (!c->pit.backlog || tick_in_flight(c))
        return;
    c->pit.backlog--;
    (void)routing_line(c, TIMER_GSI, SOURCE_PIT, true);
    (void)routing_line(c, TIMER_GSI, SOURCE_PIT, false);
}

static void timer_run(struct irqchip *c)
{
    if (!c->pit.present)
        return;
    pit_run(&c->pit, pit_ticks(irqchip_now(c)));
    timer_deliver(c);
}

static void lock(struct irqchip *c) { pthread_mutex_lock(&c->lock); }

/* Every call may have ended the tick under way. */
static void unlock(struct irqchip *c)
{
    timer_deliver(c);
    pthread_mutex_unlock(&c->lock);
}

/* ---- life ---- */

int irqchip_create(struct irqchip **out, const struct irqchip_host *host, unsigned max_vcpus)
{
    if (!max_vcpus || max_vcpus > 255) /* xAPIC ids, 255 is broadcast */
        return -EINVAL;
    struct irqchip *c = calloc(1, sizeof(*c) + max_vcpus * sizeof(c->lapic[0]));
    if (!c)
        return -ENOMEM;
    int err = pthread_mutex_init(&c->lock, NULL);
    if (err) {
        free(c);
        return -err;
    }
    c->host = *host;
    c->vcpus = max_vcpus;
    pic_reset(&c->pic);
    ioapic_reset(c);
    routing_reset(&c->routing);
    *out = c;
    return 0;
}

void irqchip_destroy(struct irqchip *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c);
}

int irqchip_add_vcpu(struct irqchip *c, unsigned vcpu)
{
    int err = 0;

    lock(c);
    if (vcpu >= c->vcpus)
        err = -EINVAL;
    else if (c->lapic[vcpu].present)
        err = -EEXIST;
    else {
        struct lapic *l = &c->lapic[vcpu];
        l->vcpu = vcpu;
        l->present = true;
        l->base = LAPIC_DEFAULT_BASE | APICBASE_ENABLED | (vcpu ? 0 : APICBASE_BSP);
        lapic_reset(l);
    }
    unlock(c);
    return err;
}

int irqchip_create_pit(struct irqchip *c, bool speaker)
{
    int err = 0;

    lock(c);
    if (c->pit.present) {
        err = -EEXIST;
    } else {
        c->pit.present = true;
        c->pit.speaker = speaker;
        pit_reset(&c->pit, pit_ticks(irqchip_now(c)));
    }
    unlock(c);
    return err;
}

/* ---- in ---- */

int irqchip_set_routing(struct irqchip *c, const struct kvm_irq_routing *r)
{
    lock(c);
    int err = routing_set(c, r);
    unlock(c);
    return err;
}

int irqchip_irq_line(struct irqchip *c, uint32_t gsi, int level)
{
    lock(c);
    int err = routing_line(c, gsi, SOURCE_USER, level);
    unlock(c);
    return err;
}

int irqchip_msi(struct irqchip *c, uint64_t addr, uint32_t data)
{
    lock(c);
    int n = apic_bus_msi(c, addr, data);
    unlock(c);
    return n;
}

void irqchip_nmi(struct irqchip *c, unsigned vcpu)
{
    lock(c);
    struct lapic *l = lapic_of(c, vcpu);
    if (l) {
        l->nmi = true;
        irqchip_kick(c, l);
    }
    unlock(c);
}

/* A register of 32 bits every 16 bytes; other accesses read 0 or are ignored, as on KVM. */
bool irqchip_mmio(struct irqchip *c, unsigned vcpu, uint64_t gpa, void *data, unsigned len,
                  bool write)
{
    bool mine = true;
    uint32_t v = 0;

    lock(c);
    struct lapic *l = lapic_of(c, vcpu);
    uint64_t lapic = l ? ALIGN_DOWN(l->base, LAPIC_PAGE) : 0;
    bool whole = len == 4 || (len == 8 && !write);
    if (write && whole)
        v = le32(data);
    if (l && lapic_enabled(l) && !lapic_is_x2(l) && gpa >= lapic && gpa - lapic < LAPIC_PAGE) {
        uint32_t offset = (uint32_t)(gpa - lapic);
        if (write && whole)
            lapic_write(c, l, offset, v);
        else if (!write && (offset & 15) + len <= 4)
            v = lapic_read(c, l, offset & ~15u) >> (offset & 3) * 8;
    } else if (gpa >= ioapic_base && gpa - ioapic_base < ioapic_size) {
        uint32_t offset = (uint32_t)(gpa - ioapic_base);
        if (write && (len == 4 || (len == 1 && offset == 0)))
            ioapic_write(c, offset, len == 4 ? v : *(uint8_t *)data);
        else if (!write && (offset & 15) + len <= 8)
            v = ioapic_read(c, offset & ~15u) >> (offset & 3) * 8;
    } else {
        mine = false;
    }
    if (mine && !write)
        le_put(data, v, MIN(len, 8));
    unlock(c);
    return mine;
}

static bool pio_byte(struct irqchip *c, uint16_t port, uint8_t *data, bool write)
{
    if (pic_owns(port)) {
        bool was = c->pic.output;
        if (write)
            pic_write(&c->pic, port, *data);
        else
            *data = pic_read(&c->pic, port);
        irqchip_pic_changed(c, was);
        return true;
    }
    if (!pit_owns(&c->pit, port))
        return false;
    uint64_t now = pit_ticks(irqchip_now(c));
    if (!write) {
        *data = pit_read(&c->pit, port, now);
        return true;
    }
    uint64_t was = pit_next(&c->pit);
    pit_write(&c->pit, port, *data, now);
    if (pit_next(&c->pit) != was && c->lapic[0].present)
        irqchip_kick(c, &c->lapic[0]); /* its thread runs the timer */
    return true;
}

bool irqchip_pio(struct irqchip *c, unsigned vcpu, uint16_t port, void *data, unsigned len,
                 bool write)
{
    uint8_t *byte = data;
    bool mine = false;

    (void)vcpu;
    lock(c);
    /* A wider access is one to each of the ports it covers. */
    if (pic_owns(port) || pit_owns(&c->pit, port)) {
        mine = true;
        for (unsigned i = 0; i < len; i++)
            if (!pio_byte(c, (uint16_t)(port + i), &byte[i], write) && !write)
                byte[i] = 0xff;
    }
    unlock(c);
    return mine;
}

int irqchip_rdmsr(struct irqchip *c, unsigned vcpu, uint32_t msr, uint64_t *val)
{
    lock(c);
    struct lapic *l = lapic_of(c, vcpu);
    int err = l ? lapic_rdmsr(c, l, msr, val) : -1;
    unlock(c);
    return err;
}

int irqchip_wrmsr(struct irqchip *c, unsigned vcpu, uint32_t msr, uint64_t val)
{
    lock(c);
    struct lapic *l = lapic_of(c, vcpu);
    int err = l ? lapic_wrmsr(c, l, msr, val) : -1;
    unlock(c);
    return err;
}

int irqchip_set_apic_base(struct irqchip *c, unsigned vcpu, uint64_t base)
{
    lock(c);
    struct lapic *l = lapic_of(c, vcpu);
    int err = l && !lapic_set_base(l, base, true) ? 0 : -EINVAL;
    unlock(c);
    return err;
}

uint64_t irqchip_cr8(struct irqchip *c, unsigned vcpu)
{
    lock(c);
    struct lapic *l = lapic_of(c, vcpu);
    uint64_t v = l ? l->reg[APIC_TPR] >> 4 : 0;
    unlock(c);
    return v;
}

void irqchip_set_cr8(struct irqchip *c, unsigned vcpu, uint64_t cr8)
{
    lock(c);
    struct lapic *l = lapic_of(c, vcpu);
    if (l) {
        l->reg[APIC_TPR] = (uint32_t)(cr8 & 15) << 4;
        if (lapic_pending(l) >= 0)
            irqchip_kick(c, l);
    }
    unlock(c);
}

/* ---- out ---- */

unsigned irqchip_pending(struct irqchip *c, unsigned vcpu)
{
    unsigned events = 0;

    lock(c);
    struct lapic *l = lapic_of(c, vcpu);
    if (l) {
        events = (l->nmi ? IRQCHIP_NMI : 0) | (l->init ? IRQCHIP_INIT : 0) |
                 (l->sipi ? IRQCHIP_SIPI : 0) | (l->smi ? IRQCHIP_SMI : 0);
        if ((c->pic.output && takes_pic(c, l)) || lapic_pending(l) >= 0)
            events |= IRQCHIP_INTR;
    }
    unlock(c);
    return events;
}

int irqchip_ack(struct irqchip *c, unsigned vcpu)
{
    int vector = -1;

    lock(c);
    struct lapic *l = lapic_of(c, vcpu);
    if (l && c->pic.output && takes_pic(c, l)) {
        vector = pic_ack(&c->pic);
        irqchip_pic_changed(c, false); /* INT falls and rises again if there is more */
    } else if (l) {
        vector = lapic_ack(l);
    }
    unlock(c);
    return vector;
}

void irqchip_take(struct irqchip *c, unsigned vcpu, unsigned events, uint8_t *sipi_vector)
{
    lock(c);
    struct lapic *l = lapic_of(c, vcpu);
    if (l && events & IRQCHIP_NMI)
        l->nmi = false;
    if (l && events & IRQCHIP_SMI)
        l->smi = false;
    if (l && events & IRQCHIP_INIT && l->init) {
        bool sipi = l->sipi; /* came after the INIT */
        lapic_reset(l);
        l->sipi = sipi;
    }
    if (l && events & IRQCHIP_SIPI) {
        l->sipi = false;
        if (sipi_vector)
            *sipi_vector = l->sipi_vector;
    }
    unlock(c);
}

/* ---- time ---- */

void irqchip_tick(struct irqchip *c, unsigned vcpu)
{
    lock(c);
    struct lapic *l = lapic_of(c, vcpu);
    if (l)
        apic_timer_run(c, l);
    if (vcpu == 0)
        timer_run(c);
    unlock(c);
}

uint64_t irqchip_deadline(struct irqchip *c, unsigned vcpu)
{
    uint64_t at = NEVER;

    lock(c);
    struct lapic *l = lapic_of(c, vcpu);
    if (l)
        at = apic_timer_next(c, l);
    uint64_t rise = vcpu == 0 ? pit_next(&c->pit) : NEVER;
    if (rise != NEVER)
        at = MIN(at, pit_ns(rise));
    unlock(c);
    return at;
}

/* ---- state ---- */

int irqchip_get(struct irqchip *c, struct kvm_irqchip *k)
{
    int err = 0;

    lock(c);
    switch (k->chip_id) {
    case KVM_IRQCHIP_PIC_MASTER:
    case KVM_IRQCHIP_PIC_SLAVE: pic_get(&c->pic, k->chip_id, &k->chip.pic); break;
    case KVM_IRQCHIP_IOAPIC: ioapic_get(c, &k->chip.ioapic); break;
    default: err = -EINVAL;
    }
    unlock(c);
    return err;
}

int irqchip_set(struct irqchip *c, const struct kvm_irqchip *k)
{
    int err = -EINVAL;

    lock(c);
    switch (k->chip_id) {
    case KVM_IRQCHIP_PIC_MASTER:
    case KVM_IRQCHIP_PIC_SLAVE: {
        bool was = c->pic.output;
        err = pic_set(&c->pic, k->chip_id, &k->chip.pic);
        irqchip_pic_changed(c, was);
        break;
    }
    case KVM_IRQCHIP_IOAPIC: err = ioapic_set(c, &k->chip.ioapic); break;
    }
    unlock(c);
    return err;
}

int irqchip_get_pit(struct irqchip *c, struct kvm_pit_state2 *k)
{
    lock(c);
    int err = c->pit.present ? 0 : -ENXIO;
    if (!err)
        pit_get(&c->pit, k, pit_ticks(irqchip_now(c)));
    unlock(c);
    return err;
}

int irqchip_set_pit(struct irqchip *c, const struct kvm_pit_state2 *k)
{
    lock(c);
    int err = c->pit.present ? pit_set(&c->pit, k, pit_ticks(irqchip_now(c))) : -ENXIO;
    if (!err && c->lapic[0].present)
        irqchip_kick(c, &c->lapic[0]);
    unlock(c);
    return err;
}

int irqchip_get_lapic(struct irqchip *c, unsigned vcpu, struct kvm_lapic_state *k)
{
    lock(c);
    struct lapic *l = lapic_of(c, vcpu);
    if (l)
        lapic_get(c, l, k);
    unlock(c);
    return l ? 0 : -EINVAL;
}

int irqchip_set_lapic(struct irqchip *c, unsigned vcpu, const struct kvm_lapic_state *k)
{
    lock(c);
    struct lapic *l = lapic_of(c, vcpu);
    int err = l ? lapic_set(c, l, k) : -EINVAL;
    unlock(c);
    return err;
}
