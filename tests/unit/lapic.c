/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC, against [SDM] 3A "Advanced Programmable Interrupt Controller (APIC)". */
#include "tests/unit/chip.h"

enum {
    ID = 0x20,
    VERSION = 0x30,
    TPR = 0x80,
    PPR = 0xa0,
    EOI = 0xb0,
    LDR = 0xd0,
    DFR = 0xe0,
    SVR = 0xf0,
    ISR = 0x100,
    TMR = 0x180,
    IRR = 0x200,
    ESR = 0x280,
    ICR = 0x300,
    ICR2 = 0x310,
    LVTT = 0x320,
    LVT_PERF = 0x340,
    LINT0 = 0x350,
    LINT1 = 0x360,
    LVT_ERR = 0x370,
    TMICT = 0x380,
    TMCCT = 0x390,
    TDCR = 0x3e0,
    MASKED = 1 << 16,
    PERIODIC = 1 << 17,
    DEADLINE = 2 << 17,
    MSR_BASE = 0x1b,
    MSR_DEADLINE = 0x6e0,
    X2 = 0x800,
};

static void open_apics(struct chip *t, unsigned vcpus)
{
    chip_open(t, vcpus);
    for (unsigned i = 0; i < vcpus; i++)
        apic_write(t, i, SVR, 0x1ff);
}
static void ipi(struct chip *t, unsigned from, uint8_t dest, uint32_t low)
{
    apic_write(t, from, ICR2, (uint32_t)dest << 24);
    apic_write(t, from, ICR, low);
}
static void msi(struct chip *t, unsigned vcpu, uint8_t vector)
{
    CHECK_EQ(irqchip_msi(t->irqchip, 0xfee00000 | vcpu << 12, vector), 1);
}
static uint64_t rdmsr(struct chip *t, unsigned vcpu, uint32_t msr)
{
    uint64_t v = 0xbad;
    CHECK_EQ(irqchip_rdmsr(t->irqchip, vcpu, msr, &v), 0);
    return v;
}
static void wrmsr(struct chip *t, unsigned vcpu, uint32_t msr, uint64_t v)
{
    CHECK_EQ(irqchip_wrmsr(t->irqchip, vcpu, msr, v), 0);
}
static bool wrmsr_faults(struct chip *t, unsigned vcpu, uint32_t msr, uint64_t v)
{
    return irqchip_wrmsr(t->irqchip, vcpu, msr, v) < 0;
}
static bool rdmsr_faults(struct chip *t, unsigned vcpu, uint32_t msr)
{
    uint64_t v;
    return irqchip_rdmsr(t->irqchip, vcpu, msr, &v) < 0;
}
static void make_x2(struct chip *t, unsigned vcpu)
{
    wrmsr(t, vcpu, MSR_BASE, rdmsr(t, vcpu, MSR_BASE) | 0x400);
}

static void test_reset(void)
{
    struct chip t;

    chip_open(&t, 2);
    CHECK_EQ(irqchip_add_vcpu(t.irqchip, 1), -EEXIST);
    CHECK_EQ(irqchip_add_vcpu(t.irqchip, CHIP_VCPUS), -EINVAL);
    CHECK_EQ(apic_read(&t, 1, ID), 1 << 24);
    CHECK_EQ(apic_read(&t, 0, VERSION), 0x50014);
    CHECK_EQ(apic_read(&t, 0, SVR), 0xff);
    CHECK_EQ(apic_read(&t, 0, DFR), 0xffffffff);
    CHECK_EQ(apic_read(&t, 0, LINT0), 0x700); /* virtual wire on the boot processor */
    CHECK_EQ(apic_read(&t, 1, LINT0), MASKED);
    CHECK_EQ(apic_read(&t, 0, LVTT), MASKED);
    CHECK_EQ(rdmsr(&t, 0, MSR_BASE), 0xfee00900);
    CHECK_EQ(rdmsr(&t, 1, MSR_BASE), 0xfee00800);
    CHECK_EQ(irqchip_msi(t.irqchip, 0xfee00000, 0x40), 0); /* software-disabled */
    apic_write(&t, 0, LVTT, 0x40);
    CHECK_EQ(apic_read(&t, 0, LVTT), MASKED | 0x40); /* masked while disabled */
    apic_write(&t, 0, SVR, 0x1ff);
    apic_write(&t, 0, LVTT, 0xffffff40 & ~(3u << 17));
    CHECK_EQ(apic_read(&t, 0, LVTT), MASKED | 0x40);
    apic_write(&t, 0, LVTT, 0x40);
    CHECK_EQ(apic_read(&t, 0, LVTT), 0x40);
    apic_write(&t, 0, SVR, 0xff);
    CHECK_EQ(apic_read(&t, 0, LVTT), MASKED | 0x40);
    CHECK_EQ(apic_read(&t, 0, LINT0), MASKED | 0x700);
    /* A whole register or nothing. */
    uint64_t v = 0x40;
    CHECK(irqchip_mmio(t.irqchip, 0, 0xfee00080, &v, 1, true));
    CHECK(irqchip_mmio(t.irqchip, 0, 0xfee00084, &v, 4, true));
    CHECK_EQ(apic_read(&t, 0, TPR), 0);
    CHECK(irqchip_mmio(t.irqchip, 0, 0xfee00032, &v, 2, false));
    CHECK_EQ(v, 0x05);
    chip_close(&t);
}

static void test_priority(void)
{
    struct chip t;

    open_apics(&t, 1);
    msi(&t, 0, 0x41);
    msi(&t, 0, 0x61);
    msi(&t, 0, 0x45);
    CHECK_EQ(apic_read(&t, 0, IRR + 0x20), 1 << 1 | 1 << 5);
    CHECK_EQ(apic_read(&t, 0, IRR + 0x30), 1 << 1);
    CHECK_EQ(ack(&t, 0), 0x61);
    CHECK_EQ(apic_read(&t, 0, ISR + 0x30), 1 << 1);
    CHECK_EQ(apic_read(&t, 0, PPR), 0x60);
    CHECK_EQ(pending(&t, 0), 0);
    CHECK_EQ(ack(&t, 0), -1);
    msi(&t, 0, 0x6f); /* same class: waits */
    CHECK_EQ(pending(&t, 0), 0);
    msi(&t, 0, 0x70);
    CHECK_EQ(ack(&t, 0), 0x70);
    apic_write(&t, 0, EOI, 0);
    apic_write(&t, 0, EOI, 0);
    CHECK_EQ(ack(&t, 0), 0x6f);
    apic_write(&t, 0, EOI, 0);
    CHECK_EQ(ack(&t, 0), 0x45);
    CHECK_EQ(pending(&t, 0), 0);
    apic_write(&t, 0, EOI, 0);
    CHECK_EQ(ack(&t, 0), 0x41);
    apic_write(&t, 0, EOI, 0);
    apic_write(&t, 0, EOI, 0); /* nothing in service: nothing happens */
    CHECK_EQ(pending(&t, 0), 0);

    apic_write(&t, 0, TPR, 0x53);
    CHECK_EQ(apic_read(&t, 0, PPR), 0x53);
    CHECK_EQ(irqchip_cr8(t.irqchip, 0), 5);
    msi(&t, 0, 0x5f);
    CHECK_EQ(pending(&t, 0), 0);
    unsigned kicks = t.kicks[0];
    irqchip_set_cr8(t.irqchip, 0, 4);
    CHECK_EQ(apic_read(&t, 0, TPR), 0x40);
    CHECK_EQ(pending(&t, 0), IRQCHIP_INTR);
    CHECK(t.kicks[0] > kicks);
    apic_write(&t, 0, TPR, 0xf0);
    CHECK_EQ(ack(&t, 0), -1); /* went away */
    chip_close(&t);
}

static void test_ipi(void)
{
    struct chip t;

    open_apics(&t, 4);
    ipi(&t, 0, 2, 0x4041);
    CHECK_EQ(ack(&t, 2), 0x41);
    CHECK_EQ(pending(&t, 0) | pending(&t, 1) | pending(&t, 3), 0);
    CHECK_EQ(apic_read(&t, 0, ICR), 0x4041); /* never busy */
    apic_write(&t, 1, ICR, 0x44042);         /* self */
    CHECK_EQ(ack(&t, 1), 0x42);
    CHECK_EQ(pending(&t, 0) | pending(&t, 3), 0);
    apic_write(&t, 1, ICR, 0x84053); /* all */
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(ack(&t, i), 0x53);
    apic_write(&t, 1, ICR, 0xc4064); /* all but self */
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(ack(&t, i), i == 1 ? -1 : 0x64);
    ipi(&t, 3, 0xff, 0x4075);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(ack(&t, i), 0x75);

    ipi(&t, 0, 1, 0x4400);
    CHECK_EQ(pending(&t, 1), IRQCHIP_NMI);
    irqchip_take(t.irqchip, 1, IRQCHIP_NMI, NULL);
    CHECK_EQ(pending(&t, 1), 0);
    irqchip_nmi(t.irqchip, 1);
    CHECK_EQ(pending(&t, 1), IRQCHIP_NMI);

    /* Start-up as every system does it: INIT, de-assert, SIPI, SIPI. */
    ipi(&t, 0, 1, 0xc500);
    ipi(&t, 0, 1, 0x8500);
    CHECK_EQ(pending(&t, 1), IRQCHIP_NMI | IRQCHIP_INIT);
    ipi(&t, 0, 1, 0x4699);
    CHECK_EQ(pending(&t, 1), IRQCHIP_NMI | IRQCHIP_INIT | IRQCHIP_SIPI);
    uint8_t page = 0;
    irqchip_take(t.irqchip, 1, IRQCHIP_INIT, NULL);
    CHECK_EQ(pending(&t, 1), IRQCHIP_SIPI);
    CHECK_EQ(apic_read(&t, 1, SVR), 0xff);
    CHECK_EQ(apic_read(&t, 1, ISR + 0x60), 0);
    irqchip_take(t.irqchip, 1, IRQCHIP_SIPI, &page);
    CHECK_EQ(page, 0x99);
    CHECK_EQ(pending(&t, 1), 0);
    chip_close(&t);
}

static void test_logical(void)
{
    struct chip t;

    open_apics(&t, 4);
    for (unsigned i = 0; i < 4; i++)
        apic_write(&t, i, LDR, 1u << (24 + i));
    ipi(&t, 0, 0x06, 0x4841); /* flat */
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(ack(&t, i), i == 1 || i == 2 ? 0x41 : -1);
    /* Cluster: 0 and 1 in cluster 0, 2 and 3 in cluster 1. */
    for (unsigned i = 0; i < 4; i++) {
        apic_write(&t, i, DFR, 0);
        CHECK_EQ(apic_read(&t, i, DFR), 0x0fffffff);
        apic_write(&t, i, LDR, (i / 2 << 4 | 1u << i % 2) << 24);
    }
    ipi(&t, 0, 0x13, 0x4852);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(ack(&t, i), i >= 2 ? 0x52 : -1);
    ipi(&t, 0, 0x01, 0x4852);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(ack(&t, i), i == 0 ? 0x52 : -1);
    ipi(&t, 0, 0xff, 0x4863);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(ack(&t, i), 0x63);
    chip_close(&t);
}

static void test_timer(void)
{
    struct chip t;

    open_apics(&t, 1);
    CHECK_EQ(irqchip_deadline(t.irqchip, 0), UINT64_MAX);
    apic_write(&t, 0, TDCR, 0xb); /* by 1 */
    apic_write(&t, 0, LVTT, 0x40);
    apic_write(&t, 0, TMICT, 1000000);
    CHECK_EQ(irqchip_deadline(t.irqchip, 0), t.now + 1000000);
    CHECK_EQ(apic_read(&t, 0, TMCCT), 1000000);
    t.now += 400000;
    CHECK_EQ(apic_read(&t, 0, TMCCT), 600000);
    irqchip_tick(t.irqchip, 0);
    CHECK_EQ(pending(&t, 0), 0);
    t.now += 600000;
    irqchip_tick(t.irqchip, 0);
    CHECK_EQ(ack(&t, 0), 0x40);
    CHECK_EQ(apic_read(&t, 0, TMCCT), 0);
    CHECK_EQ(irqchip_deadline(t.irqchip, 0), UINT64_MAX);
    apic_write(&t, 0, EOI, 0);

    static const uint8_t divide[][2] = { { 0, 2 },  { 1, 4 },  { 2, 8 },    { 3, 16 },
                                         { 8, 32 }, { 9, 64 }, { 10, 128 }, { 11, 1 } };
    for (unsigned i = 0; i < ARRAY_LEN(divide); i++) {
        apic_write(&t, 0, TDCR, divide[i][0]);
        apic_write(&t, 0, TMICT, 100000);
        CHECK_EQ(irqchip_deadline(t.irqchip, 0), t.now + 100000u * divide[i][1]);
    }
    apic_write(&t, 0, TMICT, 0); /* stops */
    CHECK_EQ(irqchip_deadline(t.irqchip, 0), UINT64_MAX);

    apic_write(&t, 0, LVTT, PERIODIC | 0x50);
    apic_write(&t, 0, TDCR, 0x3); /* by 16 */
    apic_write(&t, 0, TMICT, 62500);
    uint64_t begin = t.now;
    for (unsigned i = 1; i <= 100; i++) {
        t.now = irqchip_deadline(t.irqchip, 0);
        CHECK_EQ(t.now, begin + i * 1000000ull);
        irqchip_tick(t.irqchip, 0);
        CHECK_EQ(ack(&t, 0), 0x50);
        apic_write(&t, 0, EOI, 0);
    }
    t.now += 5500000; /* missed ones are one */
    irqchip_tick(t.irqchip, 0);
    CHECK_EQ(ack(&t, 0), 0x50);
    apic_write(&t, 0, EOI, 0);
    CHECK_EQ(pending(&t, 0), 0);
    CHECK_EQ(irqchip_deadline(t.irqchip, 0), begin + 106 * 1000000ull);
    CHECK_EQ(apic_read(&t, 0, TMCCT), 31250);
    /* Masked: runs on unheard. */
    apic_write(&t, 0, LVTT, MASKED | PERIODIC | 0x50);
    CHECK_EQ(irqchip_deadline(t.irqchip, 0), UINT64_MAX);
    t.now += 10000000;
    apic_write(&t, 0, LVTT, PERIODIC | 0x50);
    irqchip_tick(t.irqchip, 0);
    CHECK_EQ(pending(&t, 0), 0);
    CHECK_EQ(irqchip_deadline(t.irqchip, 0), begin + 116 * 1000000ull);

    /* TSC deadline. */
    CHECK_EQ(rdmsr(&t, 0, MSR_DEADLINE), 0);
    wrmsr(&t, 0, MSR_DEADLINE, 5); /* ignored in the other modes */
    CHECK_EQ(rdmsr(&t, 0, MSR_DEADLINE), 0);
    apic_write(&t, 0, LVTT, DEADLINE | 0x60);
    CHECK_EQ(irqchip_deadline(t.irqchip, 0), UINT64_MAX);
    uint64_t tsc = (t.now + 12345) * CHIP_TSC_PER_NS;
    unsigned kicks = t.kicks[0];
    wrmsr(&t, 0, MSR_DEADLINE, tsc);
    CHECK(t.kicks[0] > kicks);
    CHECK_EQ(rdmsr(&t, 0, MSR_DEADLINE), tsc);
    CHECK_EQ(irqchip_deadline(t.irqchip, 0), t.now + 12345);
    CHECK_EQ(apic_read(&t, 0, TMCCT), 0);
    apic_write(&t, 0, TMICT, 1000); /* ignored */
    t.now += 12344;
    irqchip_tick(t.irqchip, 0);
    CHECK_EQ(pending(&t, 0), 0);
    t.now += 1;
    irqchip_tick(t.irqchip, 0);
    CHECK_EQ(ack(&t, 0), 0x60);
    CHECK_EQ(rdmsr(&t, 0, MSR_DEADLINE), 0);
    apic_write(&t, 0, EOI, 0);
    wrmsr(&t, 0, MSR_DEADLINE, 1); /* past: at once */
    CHECK(irqchip_deadline(t.irqchip, 0) <= t.now);
    irqchip_tick(t.irqchip, 0);
    CHECK_EQ(ack(&t, 0), 0x60);
    wrmsr(&t, 0, MSR_DEADLINE, ~0ull);
    wrmsr(&t, 0, MSR_DEADLINE, 0); /* disarms */
    CHECK_EQ(irqchip_deadline(t.irqchip, 0), UINT64_MAX);
    chip_close(&t);
}

static void test_errors(void)
{
    struct chip t;

    open_apics(&t, 2);
    apic_write(&t, 0, LVT_ERR, 0x30);
    ipi(&t, 0, 1, 0x4005); /* vectors below 16 cannot be sent */
    CHECK_EQ(ack(&t, 0), 0x30);
    CHECK_EQ(apic_read(&t, 0, ESR), 0); /* readable after a write */
    apic_write(&t, 0, ESR, 0);
    CHECK_EQ(apic_read(&t, 0, ESR), 1 << 5);
    apic_write(&t, 0, ESR, 0);
    CHECK_EQ(apic_read(&t, 0, ESR), 0);
    apic_write(&t, 0, EOI, 0);
    CHECK_EQ(irqchip_msi(t.irqchip, 0xfee00000, 0x0f), 0);
    apic_write(&t, 0, ESR, 0);
    CHECK_EQ(apic_read(&t, 0, ESR), 1 << 6);
    (void)apic_read(&t, 0, 0x3f0);
    (void)apic_read(&t, 0, 0x400);
    apic_write(&t, 0, 0x50, 0);
    apic_write(&t, 0, ESR, 0);
    CHECK_EQ(apic_read(&t, 0, ESR), 1 << 7);
    apic_write(&t, 0, LVT_ERR, 0x3); /* the error interrupt itself is wrong: no recursion */
    apic_write(&t, 0, 0x50, 0);
    apic_write(&t, 0, ESR, 0);
    CHECK_EQ(apic_read(&t, 0, ESR), 1 << 7 | 1 << 6);
    apic_write(&t, 0, VERSION, 0); /* read-only is no error */
    apic_write(&t, 0, ESR, 0);
    CHECK_EQ(apic_read(&t, 0, ESR), 0);
    chip_close(&t);
}

static void test_base(void)
{
    struct chip t;
    uint32_t v = 0;

    open_apics(&t, 2);
    wrmsr(&t, 0, MSR_BASE, 0xd0000900); /* moved, for this vCPU alone */
    CHECK(!irqchip_mmio(t.irqchip, 0, 0xfee00020, &v, 4, false));
    CHECK_EQ(load(&t, 0, 0xd0000030), 0x50014);
    CHECK_EQ(apic_read(&t, 1, ID), 1 << 24);
    CHECK(wrmsr_faults(&t, 0, MSR_BASE, 0xd0000901));
    CHECK(wrmsr_faults(&t, 0, MSR_BASE, 0xd0000b00));
    CHECK(wrmsr_faults(&t, 0, MSR_BASE, 0xd0000500)); /* x2 without enable */
    CHECK(wrmsr_faults(&t, 0, MSR_BASE, 1ull << 52 | 0x900));
    CHECK(rdmsr_faults(&t, 0, X2 + 2)); /* not in x2 mode */
    wrmsr(&t, 0, MSR_BASE, 0xfee00100); /* disabled */
    CHECK(!irqchip_mmio(t.irqchip, 0, 0xfee00020, &v, 4, false));
    CHECK_EQ(irqchip_msi(t.irqchip, 0xfee00000, 0x40), 0);
    CHECK(wrmsr_faults(&t, 0, MSR_BASE, 0xfee00d00)); /* not at once to x2 */
    pic_setup(&t, 1, 1);
    pulse(&t, 3);
    CHECK_EQ(ack(&t, 0), 0x23); /* LINT0 is INTR now */
    wrmsr(&t, 0, MSR_BASE, 0xfee00900);
    CHECK_EQ(apic_read(&t, 0, SVR), 0xff);
    make_x2(&t, 0);
    CHECK_EQ(rdmsr(&t, 0, MSR_BASE), 0xfee00d00);
    CHECK(!irqchip_mmio(t.irqchip, 0, 0xfee00020, &v, 4, false));
    CHECK(wrmsr_faults(&t, 0, MSR_BASE, 0xfee00900)); /* not back to xAPIC */
    wrmsr(&t, 0, MSR_BASE, 0xfee00100);
    CHECK_EQ(irqchip_set_apic_base(t.irqchip, 0, 0xfee00d00), 0); /* the caller may */
    CHECK_EQ(irqchip_set_apic_base(t.irqchip, 0, 0xfee00900), 0);
    CHECK_EQ(irqchip_set_apic_base(t.irqchip, 0, 0xfee00903), -EINVAL);
    wrmsr(&t, 1, MSR_BASE, 0xfee00900);
    CHECK_EQ(rdmsr(&t, 1, MSR_BASE), 0xfee00800); /* the boot processor flag is read-only */
    chip_close(&t);
}

static void test_x2(void)
{
    struct chip t;

    open_apics(&t, 4);
    for (unsigned i = 0; i < 3; i++)
        make_x2(&t, i);
    CHECK_EQ(rdmsr(&t, 2, X2 + 0x02), 2);
    CHECK_EQ(rdmsr(&t, 2, X2 + 0x0d), 4);
    CHECK_EQ(rdmsr(&t, 2, X2 + 0x03), 0x50014);
    CHECK_EQ(rdmsr(&t, 2, X2 + 0x0f), 0x1ff);
    static const uint8_t read_only[] = { 0x02, 0x03, 0x0a, 0x0d, 0x10, 0x18, 0x20, 0x39 };
    for (unsigned i = 0; i < sizeof(read_only); i++) {
        CHECK(!rdmsr_faults(&t, 0, X2 + read_only[i]));
        CHECK(wrmsr_faults(&t, 0, X2 + read_only[i], 0));
    }
    static const uint8_t absent[] = { 0x00, 0x04, 0x09, 0x0c, 0x0e, 0x29, 0x31, 0x3a, 0x40, 0xff };
    for (unsigned i = 0; i < sizeof(absent); i++) {
        CHECK(rdmsr_faults(&t, 0, X2 + absent[i]));
        CHECK(wrmsr_faults(&t, 0, X2 + absent[i], 0));
    }
    CHECK(rdmsr_faults(&t, 0, X2 + 0x0b));
    CHECK(rdmsr_faults(&t, 0, X2 + 0x3f));
    CHECK(wrmsr_faults(&t, 0, X2 + 0x0b, 1)); /* only 0 may be written */
    CHECK(wrmsr_faults(&t, 0, X2 + 0x28, 1));
    CHECK(wrmsr_faults(&t, 0, X2 + 0x08, 0x100)); /* reserved bits */
    CHECK(wrmsr_faults(&t, 0, X2 + 0x30, 1 << 12));
    CHECK(wrmsr_faults(&t, 0, X2 + 0x3f, 0x100));

    wrmsr(&t, 0, X2 + 0x30, 2ull << 32 | 0x4041);
    CHECK_EQ(ack(&t, 2), 0x41);
    CHECK_EQ(rdmsr(&t, 0, X2 + 0x30), 2ull << 32 | 0x4041);
    wrmsr(&t, 2, X2 + 0x0b, 0);
    wrmsr(&t, 0, X2 + 0x30, 6ull << 32 | 0x4842); /* logical: cluster 0, members 1 and 2 */
    CHECK_EQ(ack(&t, 1), 0x42);
    CHECK_EQ(ack(&t, 2), 0x42);
    CHECK_EQ(pending(&t, 0), 0);
    wrmsr(&t, 0, X2 + 0x30, 0x10006ull << 32 | 0x4853); /* cluster 1: nobody */
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(pending(&t, i), 0);
    wrmsr(&t, 0, X2 + 0x30, 0xffull << 32 | 0x4053); /* id 255, not a broadcast */
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(pending(&t, i), 0);
    wrmsr(&t, 0, X2 + 0x30, 0xffffffffull << 32 | 0x4053);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(ack(&t, i), 0x53);
    wrmsr(&t, 0, X2 + 0x0b, 0);
    wrmsr(&t, 0, X2 + 0x3f, 0x64); /* self IPI */
    CHECK_EQ(ack(&t, 0), 0x64);
    wrmsr(&t, 0, X2 + 0x08, 0x70);
    CHECK_EQ(irqchip_cr8(t.irqchip, 0), 7);

    /* INIT leaves the mode alone. */
    wrmsr(&t, 0, X2 + 0x30, 1ull << 32 | 0xc500);
    irqchip_take(t.irqchip, 1, IRQCHIP_INIT, NULL);
    CHECK_EQ(rdmsr(&t, 1, X2 + 0x02), 1);
    CHECK_EQ(rdmsr(&t, 1, X2 + 0x0f), 0xff);
    chip_close(&t);
}

static void test_state(void)
{
    struct chip t, u;
    struct kvm_lapic_state k;

    open_apics(&t, 2);
    msi(&t, 1, 0x41);
    msi(&t, 1, 0x61);
    CHECK_EQ(ack(&t, 1), 0x61);
    apic_write(&t, 1, LVTT, PERIODIC | 0x50);
    apic_write(&t, 1, TDCR, 0xb);
    apic_write(&t, 1, TMICT, 1000000);
    t.now += 300000;
    CHECK_EQ(irqchip_get_lapic(t.irqchip, 1, &k), 0);
    CHECK_EQ(le32(k.regs + ID), 1 << 24);
    CHECK_EQ(le32(k.regs + TMCCT), 700000);
    CHECK_EQ(le32(k.regs + PPR), 0x60);
    chip_open(&u, 2);
    u.now = 5000000;
    CHECK_EQ(irqchip_set_lapic(u.irqchip, 1, &k), 0);
    CHECK_EQ(pending(&u, 1), 0);
    apic_write(&u, 1, EOI, 0);
    CHECK_EQ(ack(&u, 1), 0x41);
    CHECK_EQ(irqchip_deadline(u.irqchip, 1), 5700000);
    u.now = 5700000;
    irqchip_tick(u.irqchip, 1);
    CHECK_EQ(irqchip_deadline(u.irqchip, 1), 6700000);

    make_x2(&t, 1);
    CHECK_EQ(irqchip_get_lapic(t.irqchip, 1, &k), 0);
    CHECK_EQ(le32(k.regs + ID), 1 << 24);
    CHECK_EQ(irqchip_set_lapic(t.irqchip, 1, &k), 0);
    k.regs[0x23] = 9;
    CHECK_EQ(irqchip_set_lapic(t.irqchip, 1, &k), -EINVAL);
    memset(&k, 0xff, sizeof(k)); /* garbage: bits that cannot be are dropped */
    CHECK_EQ(irqchip_set_lapic(u.irqchip, 1, &k), 0);
    CHECK_EQ(apic_read(&u, 1, LINT1), 0x1a7ff);
    CHECK_EQ(apic_read(&u, 1, IRR), 0xffff0000);
    CHECK_EQ(irqchip_get_lapic(u.irqchip, 3, &k), -EINVAL);
    chip_close(&t);
    chip_close(&u);
}

int main(void)
{
    test_reset();
    test_priority();
    test_ipi();
    test_logical();
    test_timer();
    test_errors();
    test_base();
    test_x2();
    test_state();
    return unit_done("lapic");
}
