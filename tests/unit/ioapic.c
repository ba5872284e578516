/* SPDX-License-Identifier: BSD-2-Clause */
/* I/O APIC, routing and MSI, against [82093AA] and [SDM] 3A "Message Signalled Interrupts". */
#include "tests/unit/chip.h"

enum { MASKED = 1 << 16, LEVEL = 1 << 15, REMOTE_IRR = 1 << 14, LOGICAL = 1 << 11 };

static void entry(struct chip *t, unsigned pin, uint8_t dest, uint32_t low)
{
    ioapic_out(t, 0x11 + 2 * pin, (uint32_t)dest << 24);
    ioapic_out(t, 0x10 + 2 * pin, low);
}
static void open_apics(struct chip *t, unsigned vcpus)
{
    chip_open(t, vcpus);
    out8(t, 0x21, 0xff);
    for (unsigned i = 0; i < vcpus; i++)
        apic_write(t, i, 0xf0, 0x1ff);
}
static void eoi(struct chip *t, unsigned vcpu) { apic_write(t, vcpu, 0xb0, 0); }

static void test_registers(void)
{
    struct chip t;

    chip_open(&t, 1);
    CHECK_EQ(ioapic_in(&t, 1), 0x170011);
    for (unsigned pin = 0; pin < 24; pin++)
        CHECK_EQ(ioapic_in(&t, 0x10 + 2 * pin), MASKED);
    ioapic_out(&t, 0, 0x5f123456);
    CHECK_EQ(ioapic_in(&t, 0), 0x0f000000);
    ioapic_out(&t, 0x12, 0xffffffff);
    CHECK_EQ(ioapic_in(&t, 0x12), 0x1afff); /* status and remote IRR are read-only */
    ioapic_out(&t, 0x13, 0xffffffff);
    CHECK_EQ(ioapic_in(&t, 0x13), 0xff000000);
    ioapic_out(&t, 0x40, 0x1234); /* behind the last entry */
    CHECK_EQ(ioapic_in(&t, 0x40), 0);
    uint8_t byte = 1;
    CHECK(irqchip_mmio(t.irqchip, 0, 0xfec00000, &byte, 1, true));
    CHECK_EQ(load(&t, 0, 0xfec00000), 1);
    uint64_t wide = 0;
    CHECK(irqchip_mmio(t.irqchip, 0, 0xfec00010, &wide, 8, false));
    CHECK_EQ(wide, 0x170011);
    CHECK(!irqchip_mmio(t.irqchip, 0, 0xfec01000, &wide, 4, false));
    chip_close(&t);
}

static void test_edge(void)
{
    struct chip t;

    open_apics(&t, 2);
    entry(&t, 4, 1, 0x34);
    line(&t, 4, 1);
    CHECK_EQ(pending(&t, 0), 0);
    CHECK_EQ(pending(&t, 1), IRQCHIP_INTR);
    CHECK_EQ(ack(&t, 1), 0x34);
    eoi(&t, 1);
    CHECK_EQ(pending(&t, 1), 0);
    line(&t, 4, 1); /* no edge */
    CHECK_EQ(pending(&t, 1), 0);
    line(&t, 4, 0);
    line(&t, 4, 1);
    CHECK_EQ(ack(&t, 1), 0x34);
    eoi(&t, 1);
    line(&t, 4, 0);
    entry(&t, 4, 1, 0x34 | MASKED); /* an edge under the mask is lost */
    line(&t, 4, 1);
    entry(&t, 4, 1, 0x34);
    CHECK_EQ(pending(&t, 1), 0);
    chip_close(&t);
}

static void test_level(void)
{
    struct chip t;

    open_apics(&t, 1);
    entry(&t, 11, 0, 0x51 | LEVEL);
    line(&t, 11, 1);
    CHECK_EQ(ioapic_in(&t, 0x10 + 22), 0x51 | LEVEL | REMOTE_IRR);
    CHECK_EQ(ack(&t, 0), 0x51);
    CHECK_EQ(apic_read(&t, 0, 0x1a0), 1 << 17); /* TMR */
    CHECK_EQ(pending(&t, 0), 0);
    eoi(&t, 0); /* still high: again */
    CHECK_EQ(ack(&t, 0), 0x51);
    line(&t, 11, 0);
    eoi(&t, 0);
    CHECK_EQ(pending(&t, 0), 0);
    CHECK_EQ(ioapic_in(&t, 0x10 + 22), 0x51 | LEVEL);

    /* Raised under the mask: comes when it is taken off. */
    entry(&t, 11, 0, 0x51 | LEVEL | MASKED);
    line(&t, 11, 1);
    CHECK_EQ(pending(&t, 0), 0);
    entry(&t, 11, 0, 0x51 | LEVEL);
    CHECK_EQ(ack(&t, 0), 0x51);
    /* Masked while in service: the EOI still clears remote IRR, but nothing comes. */
    entry(&t, 11, 0, 0x51 | LEVEL | MASKED);
    eoi(&t, 0);
    CHECK_EQ(pending(&t, 0), 0);
    CHECK_EQ(ioapic_in(&t, 0x10 + 22), 0x51 | LEVEL | MASKED);
    entry(&t, 11, 0, 0x51 | LEVEL);
    CHECK_EQ(ack(&t, 0), 0x51);
    /* A stuck remote IRR goes by way of the edge mode. */
    ioapic_out(&t, 0x10 + 22, 0x51 | MASKED);
    ioapic_out(&t, 0x10 + 22, 0x51 | MASKED | LEVEL);
    CHECK_EQ(ioapic_in(&t, 0x10 + 22), 0x51 | MASKED | LEVEL);
    chip_close(&t);
}

static void test_modes(void)
{
    struct chip t;

    open_apics(&t, 3);
    entry(&t, 5, 2, 0x400);
    pulse(&t, 5);
    CHECK_EQ(pending(&t, 2), IRQCHIP_NMI);
    entry(&t, 5, 1, 0x500);
    pulse(&t, 5);
    CHECK_EQ(pending(&t, 1), IRQCHIP_INIT);
    entry(&t, 5, 0, 0x200);
    pulse(&t, 5);
    CHECK_EQ(pending(&t, 0), IRQCHIP_SMI);
    entry(&t, 5, 0, 0x300); /* reserved */
    pulse(&t, 5);
    entry(&t, 5, 0, 0x008); /* no such vector */
    pulse(&t, 5);
    CHECK_EQ(pending(&t, 0), IRQCHIP_SMI);
    chip_close(&t);

    open_apics(&t, 3);
    entry(&t, 5, 0xff, 0x60);
    pulse(&t, 5); /* to all */
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(ack(&t, i), 0x60);
    entry(&t, 5, 9, 0x60);
    pulse(&t, 5); /* to nobody */
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(pending(&t, i), 0);
    /* Lowest priority, logical destination: the one with the lowest task priority, then in turn. */
    for (unsigned i = 0; i < 3; i++) {
        eoi(&t, i);
        apic_write(&t, i, 0xd0, 1u << (24 + i));
        apic_write(&t, i, 0x80, i == 1 ? 0x10 : 0x20);
    }
    entry(&t, 5, 7, 0x61 | 0x100 | LOGICAL);
    pulse(&t, 5);
    CHECK_EQ(ack(&t, 1), 0x61);
    CHECK_EQ(pending(&t, 0) | pending(&t, 2), 0);
    pulse(&t, 5); /* 1 is busy with 0x61 */
    pulse(&t, 5);
    CHECK_EQ(ack(&t, 0), 0x61);
    CHECK_EQ(ack(&t, 2), 0x61);
    chip_close(&t);

    /* ExtINT on pin 0: the PIC's output, while LINT0 is masked. */
    open_apics(&t, 2);
    pic_setup(&t, 1, 1);
    apic_write(&t, 0, 0x350, 0x10700);
    pulse(&t, 4);
    CHECK_EQ(pending(&t, 1), 0);
    entry(&t, 0, 1, 0x700);
    CHECK_EQ(pending(&t, 1), IRQCHIP_INTR);
    CHECK_EQ(pending(&t, 0), 0);
    CHECK_EQ(ack(&t, 1), 0x24);
    chip_close(&t);
}

static void test_routing(void)
{
    struct chip t;
    struct kvm_irq_routing *r = calloc(1, sizeof(*r) + 8 * sizeof(r->entries[0]));

    if (!r)
        exit(1);
    open_apics(&t, 1);
    pic_setup(&t, 1, 1);
    entry(&t, 2, 0, 0x42);
    pulse(&t, 0); /* by default to the PIC and to pin 2 */
    CHECK_EQ(ack(&t, 0), 0x20);
    CHECK_EQ(ack(&t, 0), 0x42);
    eoi(&t, 0);
    CHECK_EQ(irqchip_irq_line(t.irqchip, 4096, 1), -EINVAL);
    CHECK_EQ(irqchip_irq_line(t.irqchip, 4095, 1), 0); /* leads nowhere */

    /* Two GSIs share a pin; a third is an MSI. */
    r->nr = 3;
    for (unsigned i = 0; i < 2; i++) {
        r->entries[i].gsi = 30 + i;
        r->entries[i].type = KVM_IRQ_ROUTING_IRQCHIP;
        r->entries[i].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
        r->entries[i].u.irqchip.pin = 20;
    }
    r->entries[2].gsi = 40;
    r->entries[2].type = KVM_IRQ_ROUTING_MSI;
    r->entries[2].u.msi.address_lo = 0xfee00000;
    r->entries[2].u.msi.data = 0x77;
    CHECK_EQ(irqchip_set_routing(t.irqchip, r), 0);
    entry(&t, 20, 0, 0x60 | LEVEL);
    line(&t, 30, 1);
    line(&t, 31, 1);
    CHECK_EQ(ack(&t, 0), 0x60);
    line(&t, 30, 0);
    eoi(&t, 0);
    CHECK_EQ(ack(&t, 0), 0x60); /* 31 still holds it */
    line(&t, 31, 0);
    eoi(&t, 0);
    CHECK_EQ(pending(&t, 0), 0);
    line(&t, 40, 1);
    line(&t, 40, 0);
    CHECK_EQ(ack(&t, 0), 0x77);
    CHECK_EQ(pending(&t, 0), 0);
    eoi(&t, 0);
    pulse(&t, 4); /* no route any more */
    CHECK_EQ(pending(&t, 0), 0);

    /* A line that is up is up at its new pin too. */
    line(&t, 30, 1);
    CHECK_EQ(ack(&t, 0), 0x60);
    entry(&t, 21, 0, 0x71 | LEVEL);
    r->entries[0].u.irqchip.pin = 21;
    CHECK_EQ(irqchip_set_routing(t.irqchip, r), 0);
    CHECK_EQ(ack(&t, 0), 0x71);
    line(&t, 30, 0);
    eoi(&t, 0);
    eoi(&t, 0);
    CHECK_EQ(pending(&t, 0), 0);

    r->entries[0].u.irqchip.pin = 24;
    CHECK_EQ(irqchip_set_routing(t.irqchip, r), -EINVAL);
    r->entries[0].u.irqchip.irqchip = 3;
    r->entries[0].u.irqchip.pin = 0;
    CHECK_EQ(irqchip_set_routing(t.irqchip, r), -EINVAL);
    r->entries[0].type = KVM_IRQ_ROUTING_HV_SINT;
    CHECK_EQ(irqchip_set_routing(t.irqchip, r), -EINVAL);
    r->entries[0].type = KVM_IRQ_ROUTING_MSI;
    r->entries[0].gsi = 4096;
    CHECK_EQ(irqchip_set_routing(t.irqchip, r), -EINVAL);
    r->nr = 5000;
    CHECK_EQ(irqchip_set_routing(t.irqchip, r), -EINVAL);
    free(r);
    chip_close(&t);
}

static void test_msi(void)
{
    struct chip t;

    open_apics(&t, 3);
    CHECK_EQ(irqchip_msi(t.irqchip, 0xfee01000, 0x45), 1);
    CHECK_EQ(ack(&t, 1), 0x45);
    CHECK_EQ(irqchip_msi(t.irqchip, 0xfeeff000, 0x45), 3);
    CHECK_EQ(irqchip_msi(t.irqchip, 0xfee07000, 0x45), 0);
    CHECK_EQ(irqchip_msi(t.irqchip, 0xfed00000, 0x45), -EINVAL);
    CHECK_EQ(irqchip_msi(t.irqchip, 0x1fee00000, 0x45), -EINVAL);
    CHECK_EQ(irqchip_msi(t.irqchip, 0xfee02000, 0x400), 1);
    CHECK(pending(&t, 2) & IRQCHIP_NMI);
    chip_close(&t);

    open_apics(&t, 3);
    for (unsigned i = 0; i < 3; i++)
        apic_write(&t, i, 0xd0, 1u << (24 + i));
    /* Redirection hint with a logical destination: one of them. */
    CHECK_EQ(irqchip_msi(t.irqchip, 0xfee0600c, 0x45), 1);
    CHECK_EQ(!!pending(&t, 1) + !!pending(&t, 2), 1);
    CHECK_EQ(irqchip_msi(t.irqchip, 0xfee06004, 0x46), 2);
    chip_close(&t);
}

static void test_state(void)
{
    struct chip t, u;
    struct kvm_irqchip k = { .chip_id = KVM_IRQCHIP_IOAPIC };

    open_apics(&t, 1);
    entry(&t, 11, 0, 0x51 | LEVEL);
    entry(&t, 12, 0, 0x52 | LEVEL | MASKED);
    line(&t, 11, 1);
    line(&t, 12, 1);
    ioapic_out(&t, 0, 0x05000000);
    CHECK_EQ(irqchip_get(t.irqchip, &k), 0);
    CHECK_EQ(k.chip.ioapic.irr, 3 << 11);
    CHECK_EQ(k.chip.ioapic.redirtbl[11].fields.remote_irr, 1);
    CHECK_EQ(k.chip.ioapic.id, 5);

    open_apics(&u, 1);
    CHECK_EQ(irqchip_set(u.irqchip, &k), 0);
    CHECK_EQ(pending(&u, 0), 0); /* in service: that is in the LAPIC's state */
    CHECK_EQ(ioapic_in(&u, 0x10 + 22), 0x51 | LEVEL | REMOTE_IRR);
    CHECK_EQ(ioapic_in(&u, 0), 0x05000000);
    ioapic_out(&u, 0x10 + 24, 0x52 | LEVEL);
    CHECK_EQ(ack(&u, 0), 0x52);
    line(&u, 12, 0); /* the device says so after the restore */
    eoi(&u, 0);
    CHECK_EQ(pending(&u, 0), 0);
    k.chip.ioapic.base_address = 0x1000;
    CHECK_EQ(irqchip_set(u.irqchip, &k), -EINVAL);
    chip_close(&t);
    chip_close(&u);
}

int main(void)
{
    test_registers();
    test_edge();
    test_level();
    test_modes();
    test_routing();
    test_msi();
    test_state();
    return unit_done("ioapic");
}
