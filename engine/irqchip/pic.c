/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two cascaded 8259A interrupt controllers with the PIIX edge/level registers. [8259A], [PIIX3].
 *
 * An edge stays requested after its line has fallen, until it is acknowledged: devices under the
 * waist pulse their lines, as they do on KVM.
 */
#include "engine/irqchip/model.h"

#include <errno.h>

enum { PIC_READY, PIC_INIT_ICW2, PIC_INIT_ICW3, PIC_INIT_ICW4 };
enum { MASTER, SLAVE, CASCADE = 2 };
enum { /* ICW1, OCW2 and OCW3 share the even port */
       ICW1 = BIT(4),
       ICW1_SINGLE = BIT(1),
       ICW1_ICW4 = BIT(0),
       OCW3 = BIT(3),
       OCW3_SMM_WRITE = BIT(6),
       OCW3_SMM = BIT(5),
       OCW3_POLL = BIT(2),
       OCW3_READ = BIT(1),
       OCW3_ISR = BIT(0),
       ICW4_AEOI = BIT(1),
       ICW4_NESTED = BIT(4),
};
/* Inputs that may be level-triggered: not timer, keyboard, cascade, RTC and FPU. [PIIX3] "ELCR" */
static const uint8_t elcr_mask[2] = { 0xf8, 0xde };

/* Number of the input with the highest priority in `bits`, or -1. */
static int first_by_priority(const struct pic_chip *s, uint8_t bits)
{
    for (unsigned i = 0; i < 8; i++)
        if (bits & BIT((s->top + i) & 7))
            return (s->top + i) & 7;
    return -1;
}

static unsigned rank(const struct pic_chip *s, int irq)
{
    return irq < 0 ? 8 : (unsigned)(irq - s->top) & 7;
}

/* The input that asks for service, or -1. */
static int requested(const struct pic *p, unsigned chip)
{
    const struct pic_chip *s = &p->chip[chip];
    uint8_t serving = s->isr;

    if (s->special_mask)
        serving &= (uint8_t)~s->imr;
    if (s->nested && chip == MASTER)
        serving &= (uint8_t)~BIT(CASCADE);
    int irq = first_by_priority(s, s->irr & (uint8_t)~s->imr);
    return rank(s, irq) < rank(s, first_by_priority(s, serving)) ? irq : -1;
}

static void update(struct pic *p)
{
    if (requested(p, SLAVE) >= 0)
        p->chip[MASTER].irr |= BIT(CASCADE);
    p->output = requested(p, MASTER) >= 0;
}

static void chip_reset(struct pic_chip *s)
{
    *s = (struct pic_chip){ .elcr = s->elcr, .line = s->line, .irr = s->line & s->elcr };
}

void pic_reset(struct pic *p) { *p = (struct pic){ 0 }; }

void pic_set_line(struct pic *p, unsigned irq, bool level)
{
    struct pic_chip *s = &p->chip[irq >> 3 & 1];
    uint8_t bit = (uint8_t)BIT(irq & 7);

    if (irq == CASCADE)
        return; /* not an input of the board */
    if (s->elcr & bit) {
        s->irr = level ? s->irr | bit : s->irr & (uint8_t)~bit;
    } else if (level && !(s->line & bit)) {
        s->irr |= bit;
    }
    s->line = level ? s->line | bit : s->line & (uint8_t)~bit;
    update(p);
}

static void end_of_interrupt(struct pic_chip *s, int irq, bool rotate)
{
    if (irq < 0)
        return;
    s->isr &= (uint8_t)~BIT(irq);
    if (rotate)
        s->top = (uint8_t)(irq + 1) & 7;
}

/* Highest in service, as a non-specific EOI sees it: masked ones are skipped in special mask mode.
 */
static int serving(const struct pic_chip *s)
{
    return first_by_priority(s, s->special_mask ? s->isr & (uint8_t)~s->imr : s->isr);
}

static void acknowledge(struct pic_chip *s, int irq)
{
    uint8_t bit = (uint8_t)BIT(irq);

    if (!(s->elcr & bit))
        s->irr &= (uint8_t)~bit;
    if (!s->auto_eoi)
        s->isr |= bit;
    else if (s->rotate_aeoi)
        s->top = (uint8_t)(irq + 1) & 7;
}

uint8_t pic_ack(struct pic *p)
{
    int irq = requested(p, MASTER);
    struct pic_chip *s = &p->chip[MASTER];

    if (irq >= 0)
        acknowledge(s, irq);
    if (irq == CASCADE) {
        s = &p->chip[SLAVE];
        irq = requested(p, SLAVE);
        if (irq >= 0)
            acknowledge(s, irq);
    }
    if (irq < 0)
        irq = 7; /* [8259A] "the 8259A will issue an interrupt level 7", not marked in service */
    update(p);
    return s->base + (uint8_t)irq;
}

bool pic_owns(uint16_t port) { return (port & 0xff7e) == 0x20 || (port & 0xfffe) == 0x4d0; }

/* [8259A] "Poll command": the next read acknowledges. */
static uint8_t poll(struct pic *p, unsigned chip)
{
    struct pic_chip *s = &p->chip[chip];
    int irq = requested(p, chip);

    s->poll = false;
    if (irq < 0)
        return 0;
    acknowledge(s, irq);
    if (chip == SLAVE)
        p->chip[MASTER].irr &= (uint8_t)~BIT(CASCADE); /* its INT fell; update() raises it anew */
    return (uint8_t)(0x80 | irq);
}

uint8_t pic_read(struct pic *p, uint16_t port)
{
    if ((port & 0xfffe) == 0x4d0)
        return p->chip[port & 1].elcr;
    unsigned chip = port >> 7 & 1;
    struct pic_chip *s = &p->chip[chip];
    if (s->poll) {
        uint8_t v = poll(p, chip);
        update(p);
        return v;
    }
    return port & 1 ? s->imr : s->read_isr ? s->isr : s->irr;
}

static void command(struct pic_chip *s, uint8_t v)
{
    int irq = v & 7;

    switch (v >> 5) { /* [8259A] OCW2: R, SL, EOI */
    case 0: s->rotate_aeoi = false; break;
    case 1: end_of_interrupt(s, serving(s), false); break;
    case 2: break;
    case 3: end_of_interrupt(s, irq, false); break;
    case 4: s->rotate_aeoi = true; break;
    case 5: end_of_interrupt(s, serving(s), true); break;
    case 6: s->top = (uint8_t)(irq + 1) & 7; break;
    case 7: end_of_interrupt(s, irq, true); break;
    }
}

static void write_even(struct pic_chip *s, uint8_t v)
{
    if (v & ICW1) { /* LTIM is without effect: [PIIX3] the ELCR decides */
        chip_reset(s);
        s->init = PIC_INIT_ICW2;
        s->wants_icw4 = v & ICW1_ICW4;
        s->single = v & ICW1_SINGLE;
    } else if (v & OCW3) {
        if (v & OCW3_POLL)
            s->poll = true;
        else if (v & OCW3_READ)
            s->read_isr = v & OCW3_ISR;
        if (v & OCW3_SMM_WRITE)
            s->special_mask = v & OCW3_SMM;
    } else {
        command(s, v);
    }
}

static void write_odd(struct pic_chip *s, uint8_t v)
{
    switch (s->init) {
    case PIC_READY: s->imr = v; break;
    case PIC_INIT_ICW2:
        s->base = v & 0xf8;
        s->init = !s->single ? PIC_INIT_ICW3 : s->wants_icw4 ? PIC_INIT_ICW4 : PIC_READY;
        break;
    case PIC_INIT_ICW3: /* the board's wiring is fixed */
        s->init = s->wants_icw4 ? PIC_INIT_ICW4 : PIC_READY;
        break;
    case PIC_INIT_ICW4:
        s->auto_eoi = v & ICW4_AEOI;
        s->nested = v & ICW4_NESTED;
        s->init = PIC_READY;
        break;
    }
}

void pic_write(struct pic *p, uint16_t port, uint8_t v)
{
    struct pic_chip *s = &p->chip[port >> 7 & 1];

    if ((port & 0xfffe) == 0x4d0) {
        s = &p->chip[port & 1];
        s->elcr = v & elcr_mask[port & 1];
        s->irr = (s->irr & (uint8_t)~s->elcr) | (s->line & s->elcr);
    } else if (port & 1) {
        write_odd(s, v);
    } else {
        write_even(s, v);
    }
    update(p);
}

void pic_get(const struct pic *p, unsigned chip, struct kvm_pic_state *k)
{
    const struct pic_chip *s = &p->chip[chip];

    *k = (struct kvm_pic_state){
        .last_irr = s->line,
        .irr = s->irr,
        .imr = s->imr,
        .isr = s->isr,
        .priority_add = s->top,
        .irq_base = s->base,
        .read_reg_select = s->read_isr,
        .poll = s->poll,
        .special_mask = s->special_mask,
        .init_state = s->init,
        .auto_eoi = s->auto_eoi,
        .rotate_on_auto_eoi = s->rotate_aeoi,
        .special_fully_nested_mode = s->nested,
        .init4 = (uint8_t)(s->wants_icw4 | s->single << 1),
        .elcr = s->elcr,
        .elcr_mask = elcr_mask[chip],
    };
}

int pic_set(struct pic *p, unsigned chip, const struct kvm_pic_state *k)
{
    if (k->priority_add > 7 || k->init_state > PIC_INIT_ICW4 || k->irq_base & 7)
        return -EINVAL;
    p->chip[chip] = (struct pic_chip){
        .line = k->last_irr,
        .irr = k->irr,
        .imr = k->imr,
        .isr = k->isr,
        .elcr = k->elcr & elcr_mask[chip],
        .top = k->priority_add,
        .base = k->irq_base,
        .read_isr = k->read_reg_select,
        .poll = k->poll,
        .special_mask = k->special_mask,
        .auto_eoi = k->auto_eoi,
        .rotate_aeoi = k->rotate_on_auto_eoi,
        .nested = k->special_fully_nested_mode,
        .init = k->init_state,
        .wants_icw4 = k->init4 & 1,
        .single = k->init4 & 2,
    };
    update(p);
    return 0;
}
