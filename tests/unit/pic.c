/* SPDX-License-Identifier: BSD-2-Clause */
/* The two 8259A, against the data sheet. */
#include "engine/irqchip/model.h"
#include "tests/unit/chip.h"

static void test_order(void)
{
    struct chip t;

    chip_open(&t, 1);
    CHECK_EQ(pending(&t, 0), 0);
    pic_setup(&t, 1, 1);
    CHECK_EQ(in8(&t, 0x21), 0);
    CHECK_EQ(ack(&t, 0), -1);

    pulse(&t, 5);
    CHECK(t.kicks[0] > 0);
    CHECK_EQ(pending(&t, 0), IRQCHIP_INTR);
    pulse(&t, 3);
    CHECK_EQ(in8(&t, 0x20), 0x28); /* IRR */
    CHECK_EQ(ack(&t, 0), 0x23);    /* the lower number first */
    CHECK_EQ(pending(&t, 0), 0);   /* 5 waits for 3 */
    pulse(&t, 1);
    CHECK_EQ(ack(&t, 0), 0x21); /* 1 interrupts 3 */
    out8(&t, 0x20, 0x0b);       /* read ISR */
    CHECK_EQ(in8(&t, 0x20), 0x0a);
    out8(&t, 0x20, 0x20); /* non-specific EOI ends 1 */
    CHECK_EQ(in8(&t, 0x20), 0x08);
    CHECK_EQ(pending(&t, 0), 0);
    out8(&t, 0x20, 0x63); /* specific EOI ends 3 */
    CHECK_EQ(in8(&t, 0x20), 0);
    CHECK_EQ(ack(&t, 0), 0x25);
    out8(&t, 0x20, 0x20);

    /* The slave's inputs rank between 1 and 3. */
    pulse(&t, 3);
    pulse(&t, 12);
    pulse(&t, 9);
    CHECK_EQ(ack(&t, 0), 0x29);
    out8(&t, 0x20, 0x0b);
    CHECK_EQ(in8(&t, 0x20), 0x04);
    CHECK_EQ(pending(&t, 0), 0);
    out8(&t, 0xa0, 0x20);
    CHECK_EQ(pending(&t, 0), 0); /* the cascade input is still in service */
    out8(&t, 0x20, 0x20);
    CHECK_EQ(ack(&t, 0), 0x2c);
    out8(&t, 0xa0, 0x20);
    out8(&t, 0x20, 0x20);
    CHECK_EQ(ack(&t, 0), 0x23);
    out8(&t, 0x20, 0x20);
    CHECK_EQ(pending(&t, 0), 0);
    chip_close(&t);
}

static void test_edge_level(void)
{
    struct chip t;

    chip_open(&t, 1);
    pic_setup(&t, 1, 1);
    line(&t, 5, 1);
    CHECK_EQ(ack(&t, 0), 0x25);
    out8(&t, 0x20, 0x20);
    CHECK_EQ(pending(&t, 0), 0); /* one edge, one interrupt */
    line(&t, 5, 1);
    CHECK_EQ(pending(&t, 0), 0);
    line(&t, 5, 0);

    out8(&t, 0x4d0, 0xff);
    out8(&t, 0x4d1, 0xff);
    CHECK_EQ(in8(&t, 0x4d0), 0xf8); /* timer, keyboard, cascade are edges always */
    CHECK_EQ(in8(&t, 0x4d1), 0xde); /* RTC and FPU */
    line(&t, 5, 1);
    CHECK_EQ(ack(&t, 0), 0x25);
    out8(&t, 0x20, 0x20);
    CHECK_EQ(ack(&t, 0), 0x25); /* still high */
    line(&t, 5, 0);
    out8(&t, 0x20, 0x20);
    CHECK_EQ(pending(&t, 0), 0);
    line(&t, 6, 1);
    line(&t, 6, 0);
    CHECK_EQ(pending(&t, 0), 0); /* a level that went away is gone */
    line(&t, 11, 1);
    CHECK_EQ(ack(&t, 0), 0x2b);
    line(&t, 11, 0);
    out8(&t, 0xa0, 0x20);
    out8(&t, 0x20, 0x20);
    CHECK_EQ(pending(&t, 0), 0);
    chip_close(&t);
}

static void test_masks(void)
{
    struct chip t;

    chip_open(&t, 1);
    pic_setup(&t, 1, 1);
    out8(&t, 0x21, 0x08);
    pulse(&t, 3);
    CHECK_EQ(pending(&t, 0), 0);
    pulse(&t, 6);
    CHECK_EQ(ack(&t, 0), 0x26);
    out8(&t, 0x21, 0x00);
    CHECK_EQ(ack(&t, 0), 0x23); /* kept while masked */

    /* Special mask mode: what is masked in service no longer blocks those below. */
    pulse(&t, 7);
    CHECK_EQ(pending(&t, 0), 0);
    out8(&t, 0x20, 0x68);
    out8(&t, 0x21, 0x48); /* 3 and 6 are in service */
    CHECK_EQ(ack(&t, 0), 0x27);
    out8(&t, 0x20, 0x20); /* ends 7, not the masked 3 and 6 */
    out8(&t, 0x20, 0x0b);
    CHECK_EQ(in8(&t, 0x20), 0x48);
    out8(&t, 0x20, 0x48); /* special mask mode off */
    out8(&t, 0x21, 0x00);
    pulse(&t, 7);
    CHECK_EQ(pending(&t, 0), 0);
    out8(&t, 0x20, 0x63);
    out8(&t, 0x20, 0x66);
    CHECK_EQ(ack(&t, 0), 0x27);
    chip_close(&t);
}

static void test_rotation(void)
{
    struct chip t;

    chip_open(&t, 1);
    pic_setup(&t, 1, 1);
    out8(&t, 0x20, 0xc3); /* set priority: 3 is lowest, 4 highest */
    pulse(&t, 3);
    pulse(&t, 4);
    pulse(&t, 0);
    CHECK_EQ(ack(&t, 0), 0x24);
    out8(&t, 0x20, 0xa0); /* rotate on EOI: 4 becomes the lowest */
    CHECK_EQ(ack(&t, 0), 0x20);
    out8(&t, 0x20, 0xe0); /* rotate on specific EOI 0 */
    CHECK_EQ(ack(&t, 0), 0x23);
    pulse(&t, 0);
    CHECK_EQ(pending(&t, 0), 0); /* 1 is highest, 0 lowest */
    pulse(&t, 1);
    CHECK_EQ(ack(&t, 0), 0x21);
    chip_close(&t);
}

static void test_auto_eoi(void)
{
    struct chip t;

    chip_open(&t, 1);
    pic_setup(&t, 3, 3);
    pulse(&t, 4);
    CHECK_EQ(ack(&t, 0), 0x24);
    out8(&t, 0x20, 0x0b);
    CHECK_EQ(in8(&t, 0x20), 0);
    pulse(&t, 4);
    pulse(&t, 5);
    CHECK_EQ(ack(&t, 0), 0x24);
    CHECK_EQ(ack(&t, 0), 0x25);
    out8(&t, 0x20, 0x80); /* rotate in automatic EOI mode */
    pulse(&t, 4);
    CHECK_EQ(ack(&t, 0), 0x24);
    pulse(&t, 4);
    pulse(&t, 5);
    CHECK_EQ(ack(&t, 0), 0x25);
    CHECK_EQ(ack(&t, 0), 0x24);
    chip_close(&t);
}

static void test_nested(void)
{
    struct chip t;

    chip_open(&t, 1);
    pic_setup(&t, 0x11, 1); /* special fully nested: the slave can interrupt itself */
    pulse(&t, 12);
    CHECK_EQ(ack(&t, 0), 0x2c);
    pulse(&t, 8);
    CHECK_EQ(ack(&t, 0), 0x28);
    pulse(&t, 13);
    CHECK_EQ(pending(&t, 0), 0);
    chip_close(&t);
}

static void test_poll(void)
{
    struct chip t;

    chip_open(&t, 1);
    pic_setup(&t, 1, 1);
    out8(&t, 0x20, 0x0c);
    CHECK_EQ(in8(&t, 0x20), 0x00);
    pulse(&t, 5);
    out8(&t, 0x20, 0x0c);
    CHECK_EQ(in8(&t, 0x20), 0x85);
    CHECK_EQ(pending(&t, 0), 0); /* acknowledged by the poll */
    out8(&t, 0x20, 0x0b);
    CHECK_EQ(in8(&t, 0x20), 0x20);
    out8(&t, 0x20, 0x20);
    pulse(&t, 9);
    out8(&t, 0xa0, 0x0c);
    CHECK_EQ(in8(&t, 0xa1), 0x81); /* either port */
    CHECK_EQ(pending(&t, 0), 0);
    chip_close(&t);
}

static void test_spurious(void)
{
    struct pic p;

    pic_reset(&p);
    pic_write(&p, 0x20, 0x11);
    pic_write(&p, 0x21, 0x20);
    pic_write(&p, 0x21, 0x04);
    pic_write(&p, 0x21, 0x01);
    pic_write(&p, 0xa0, 0x11);
    pic_write(&p, 0xa1, 0x28);
    pic_write(&p, 0xa1, 0x02);
    pic_write(&p, 0xa1, 0x01);
    CHECK_EQ(pic_ack(&p), 0x27); /* nothing there: 7, not in service */
    CHECK_EQ(p.chip[0].isr, 0);
    pic_write(&p, 0x4d1, 0x04);
    pic_set_line(&p, 10, true);
    CHECK(p.output);
    pic_set_line(&p, 10, false);
    CHECK_EQ(pic_ack(&p), 0x2f); /* the cascade is acknowledged, the slave has nothing */
    CHECK_EQ(p.chip[0].isr, 4);
    CHECK_EQ(p.chip[1].isr, 0);
}

static void test_initialisation(void)
{
    struct chip t;

    chip_open(&t, 1);
    pic_setup(&t, 1, 1);
    out8(&t, 0x21, 0xff);
    pulse(&t, 4);
    out8(&t, 0x20, 0x10); /* ICW1 without ICW4 */
    out8(&t, 0x21, 0x47); /* the low bits are not the vector's */
    out8(&t, 0x21, 0x04);
    CHECK_EQ(in8(&t, 0x21), 0); /* IMR cleared */
    CHECK_EQ(in8(&t, 0x20), 0); /* edges forgotten, IRR selected */
    pulse(&t, 4);
    CHECK_EQ(ack(&t, 0), 0x44);
    out8(&t, 0x20, 0x12); /* single: no ICW3 either */
    out8(&t, 0x21, 0x50);
    out8(&t, 0x21, 0xaa);
    CHECK_EQ(in8(&t, 0x21), 0xaa);
    chip_close(&t);
}

static void test_wiring(void)
{
    struct chip t;

    chip_open(&t, 2);
    pic_setup(&t, 1, 1);
    pulse(&t, 4);
    CHECK_EQ(pending(&t, 0), IRQCHIP_INTR);
    CHECK_EQ(pending(&t, 1), 0);       /* LINT0 of the others is masked */
    apic_write(&t, 0, 0x350, 0x10700); /* and of the first */
    CHECK_EQ(pending(&t, 0), 0);
    apic_write(&t, 1, 0xf0, 0x1ff);
    apic_write(&t, 1, 0x350, 0x700);
    CHECK_EQ(pending(&t, 1), IRQCHIP_INTR);
    CHECK_EQ(ack(&t, 0), -1);
    CHECK_EQ(ack(&t, 1), 0x24);
    out8(&t, 0x20, 0x20);
    apic_write(&t, 1, 0x350, 0x400); /* LINT0 as NMI */
    pulse(&t, 4);
    CHECK_EQ(pending(&t, 1), IRQCHIP_NMI);

    uint16_t word = 0;
    CHECK(irqchip_pio(t.irqchip, 0, 0x20, &word, 2, false));
    CHECK_EQ(word, 0x10); /* IRR in the low byte, IMR in the high one */
    CHECK(!irqchip_pio(t.irqchip, 0, 0x22, &word, 1, false));
    CHECK(!irqchip_pio(t.irqchip, 0, 0x40, &word, 1, false)); /* no PIT yet */
    chip_close(&t);
}

static void test_state(void)
{
    struct chip t, u;
    struct kvm_irqchip k = { .chip_id = 0 };

    chip_open(&t, 1);
    chip_open(&u, 1);
    pic_setup(&t, 1, 1);
    pulse(&t, 3);
    CHECK_EQ(ack(&t, 0), 0x23);
    pulse(&t, 9);
    for (unsigned i = 0; i < 2; i++) {
        k.chip_id = i;
        CHECK_EQ(irqchip_get(t.irqchip, &k), 0);
        CHECK_EQ(irqchip_set(u.irqchip, &k), 0);
    }
    CHECK_EQ(ack(&u, 0), 0x29); /* ranks before the 3 in service */
    k.chip.pic.init_state = 9;
    CHECK_EQ(irqchip_set(u.irqchip, &k), -EINVAL);
    k.chip_id = 7;
    CHECK_EQ(irqchip_get(u.irqchip, &k), -EINVAL);
    chip_close(&t);
    chip_close(&u);
}

int main(void)
{
    test_order();
    test_edge_level();
    test_masks();
    test_rotation();
    test_auto_eoi();
    test_nested();
    test_poll();
    test_spurious();
    test_initialisation();
    test_wiring();
    test_state();
    return unit_done("pic");
}
