/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI: both configuration mechanisms, BAR sizing and moving, capabilities, INTx, MSI-X. */
#include "device/pci.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"

static struct pci_bus *bus;
static struct pci_function fn[2];
static struct pci_msix msix;
static struct device dummy;
static struct {
    uint64_t base, len;
    struct device *dev;
} window[8];
static int level[PCI_INTX], resets, sent;
static uint64_t sent_addr;
static uint32_t sent_data;

static int map(void *ctx, bool io, uint64_t base, uint64_t len, struct device *dev, unsigned region,
               const char *name)
{
    unsigned free_slot = 8;
    (void)ctx;
    (void)io;
    (void)region;
    (void)name;
    for (unsigned i = 0; i < 8; i++) {
        if (!window[i].dev)
            free_slot = i;
        else if (range_overlaps(base, len, window[i].base, window[i].len))
            return -EEXIST;
    }
    window[free_slot].base = base;
    window[free_slot].len = len;
    window[free_slot].dev = dev;
    return 0;
}

static void unmap(void *ctx, bool io, struct device *dev, unsigned region)
{
    (void)ctx;
    (void)io;
    (void)region;
    for (unsigned i = 0; i < 8; i++)
        if (window[i].dev == dev)
            window[i].dev = NULL;
}

static struct device *at(uint64_t addr)
{
    for (unsigned i = 0; i < 8; i++)
        if (window[i].dev && addr - window[i].base < window[i].len)
            return window[i].dev;
    return NULL;
}

static void irq(void *ctx, unsigned line, int l)
{
    (void)ctx;
    level[line] = l;
}
static void reset(void *ctx)
{
    (void)ctx;
    resets++;
}
static void send(void *ctx, uint64_t addr, uint32_t data)
{
    (void)ctx;
    sent++;
    sent_addr = addr;
    sent_data = data;
}

static uint64_t dev_access(struct device *d, unsigned region, uint64_t off, unsigned size,
                           uint64_t v, bool write)
{
    uint64_t val = write ? v : ~0ull;
    enum device_result r = d->ops->access(d, region, off, size, &val, write);
    return (r == DEVICE_OK ? val : ~0ull) & size_mask(size);
}

/* Through mechanism 1 and ECAM alternately: they must be the same. */
static uint64_t cfg(unsigned slot, unsigned reg, unsigned size)
{
    struct device *d = pci_device(bus);
    uint64_t a = dev_access(d, PCI_REGION_ECAM, (uint64_t)slot << 15 | reg, size, 0, false), b;
    dev_access(d, PCI_REGION_CONF1, 0, 4, 0x80000000u | slot << 11 | (reg & ~3u), true);
    b = dev_access(d, PCI_REGION_CONF1, 4 + (reg & 3), size, 0, false);
    CHECK_EQ(a, b);
    return a;
}
static void cfg_set(unsigned slot, unsigned reg, unsigned size, uint64_t v)
{
    dev_access(pci_device(bus), PCI_REGION_ECAM, (uint64_t)slot << 15 | reg, size, v, true);
}

static void test_config(void)
{
    struct device *d = pci_device(bus);
    CHECK_EQ(cfg(0, PCI_CLASS, 2), 0x0000);
    CHECK_EQ(cfg(0, PCI_REVISION, 4) >> 8, 0x060000);
    CHECK_EQ(cfg(1, PCI_VENDOR_ID, 4), 0x56781234);
    CHECK_EQ(cfg(1, PCI_DEVICE_ID + 1, 1), 0x56);
    CHECK_EQ(cfg(3, PCI_VENDOR_ID, 4), 0xffffffff);
    cfg_set(1, PCI_VENDOR_ID, 4, 0);
    CHECK_EQ(cfg(1, PCI_VENDOR_ID, 4), 0x56781234);
    cfg_set(1, PCI_INTERRUPT_LINE, 1, 11);
    CHECK_EQ(cfg(1, PCI_INTERRUPT_LINE, 2), 0x010b);
    /* Other buses, extended space, beyond. */
    CHECK_EQ(dev_access(d, PCI_REGION_ECAM, 1 << 20, 4, 0, false), 0xffffffff);
    CHECK_EQ(dev_access(d, PCI_REGION_ECAM, 1 << 15 | 0x100, 4, 0, false), 0);
    CHECK_EQ(dev_access(d, PCI_REGION_ECAM, 1 << 15 | 0xffe, 4, 0, false), 0xffffffff);
    CHECK_EQ(dev_access(d, PCI_REGION_ECAM, 1ull << 40, 4, 0, false), 0xffffffff);
    /* Linux's probe: a byte to 0xcfb does not touch the address; it reads back. */
    dev_access(d, PCI_REGION_CONF1, 3, 1, 1, true);
    dev_access(d, PCI_REGION_CONF1, 0, 4, 0x80000000, true);
    CHECK_EQ(dev_access(d, PCI_REGION_CONF1, 0, 4, 0, false), 0x80000000);
    dev_access(d, PCI_REGION_CONF1, 0, 4, 0, true); /* disabled: nobody answers */
    CHECK_EQ(dev_access(d, PCI_REGION_CONF1, 4, 4, 0, false), 0xffffffff);
    /* Reset control: 02h then 06h. */
    dev_access(d, PCI_REGION_CONF1, 1, 1, 2, true);
    CHECK_EQ(resets, 0);
    dev_access(d, PCI_REGION_CONF1, 1, 1, 6, true);
    CHECK_EQ(resets, 1);
    CHECK_EQ(dev_access(d, PCI_REGION_CONF1, 1, 1, 0, false), 6);
    dev_access(d, PCI_REGION_CONF1, 7, 2, 6, true);
    dev_access(d, PCI_REGION_CONF1, 4, 8, 6, true);
}

static void test_bars(void)
{
    /* Sizing. */
    cfg_set(1, PCI_BAR0, 4, 0xffffffff);
    CHECK_EQ(cfg(1, PCI_BAR0, 4), 0xffffc000);
    cfg_set(1, PCI_BAR0 + 8, 4, 0xffffffff);
    cfg_set(1, PCI_BAR0 + 12, 4, 0xffffffff);
    CHECK_EQ(cfg(1, PCI_BAR0 + 8, 4), 0x00000004);
    CHECK_EQ(cfg(1, PCI_BAR0 + 12, 4), 0xfffffffe); /* 8 GiB */
    cfg_set(1, PCI_BAR0 + 16, 4, 0xffffffff);
    CHECK_EQ(cfg(1, PCI_BAR0 + 16, 4), 0xffffffe1);
    cfg_set(1, PCI_COMMAND, 2, 3);
    CHECK(!at(0xffffc000)); /* the pattern is no address */
    cfg_set(1, PCI_COMMAND, 2, 0);
    /* Placing, decoding off and on, moving. */
    cfg_set(1, PCI_BAR0, 4, 0xc0000000);
    cfg_set(1, PCI_BAR0 + 8, 4, 0);
    cfg_set(1, PCI_BAR0 + 12, 4, 0x10);
    CHECK(!at(0xc0000000));
    cfg_set(1, PCI_COMMAND, 2, 2);
    CHECK(at(0xc0003fff) == &dummy);
    cfg_set(1, PCI_BAR0, 4, 0xc0100000);
    CHECK(!at(0xc0000000));
    CHECK(at(0xc0100000) == &dummy);
    cfg_set(1, PCI_COMMAND, 2, 0);
    CHECK(!at(0xc0100000));
    /* Two functions at one place: the second opens once the first has moved. */
    cfg_set(1, PCI_COMMAND, 2, 2);
    cfg_set(2, PCI_BAR0 + 4, 4, 0xc0100000);
    cfg_set(2, PCI_COMMAND, 2, 2);
    CHECK(at(0xc0100000) == &dummy);
    cfg_set(1, PCI_BAR0, 4, 0xc0200000);
    CHECK(at(0xc0100000) == &msix.dev);
    pci_device(bus)->ops->reset(pci_device(bus));
    CHECK(!at(0xc0100000) && !at(0xc0200000));
    CHECK_EQ(pci_assign(bus, 0xc0000000, 0xc0001000, 0xc000, 0xd000), -ENOSPC);
    CHECK_EQ(pci_assign(bus, 0xc0000000, 0x800000000, 0xc000, 0xd000), 0);
    CHECK(at(0xc0000000) == &dummy);
    CHECK_EQ(cfg(1, PCI_COMMAND, 2), 7);
    CHECK_EQ(cfg(1, PCI_INTERRUPT_LINE, 1), 21);
    CHECK_EQ(cfg(2, PCI_INTERRUPT_LINE, 1), 22);
}

static void test_intx(void)
{
    pci_set_intx(&fn[0], true);
    CHECK_EQ(level[1], 1);
    CHECK_EQ(cfg(1, PCI_STATUS, 2) & 8, 8);
    cfg_set(1, PCI_COMMAND, 2, 0x400);
    CHECK_EQ(level[1], 0);
    cfg_set(1, PCI_COMMAND, 2, 7);
    CHECK_EQ(level[1], 1);
    pci_set_intx(&fn[0], false);
    CHECK_EQ(level[1], 0);
    CHECK_EQ(cfg(1, PCI_STATUS, 2) & 8, 0);
}

static void test_msix(void)
{
    unsigned cap = (unsigned)cfg(2, PCI_CAPABILITIES, 1);
    struct device *d = &msix.dev;
    CHECK_EQ(cfg(2, cap, 1), 0x11);
    CHECK_EQ(cfg(2, cap + 1, 1), 0);
    CHECK_EQ(cfg(2, cap + 2, 2), 2);
    CHECK_EQ(cfg(2, cap + 4, 4), 1);
    CHECK_EQ(cfg(2, cap + 8, 4), 0x801);
    dev_access(d, 0, 16, 8, 0xfee01000, true);
    dev_access(d, 0, 24, 4, 0x41, true);
    pci_msix_notify(&fn[1], 1);
    CHECK_EQ(sent, 0); /* off: lost */
    cfg_set(2, cap + 2, 2, 0x8000);
    pci_msix_notify(&fn[1], 1);
    CHECK_EQ(sent, 0);
    CHECK_EQ(dev_access(d, 0, 0x800, 8, 0, false), 2); /* masked since reset: pending */
    dev_access(d, 0, 28, 4, 0xfffffffe, true);
    CHECK_EQ(sent, 1);
    CHECK_EQ(sent_addr, 0xfee01000);
    CHECK_EQ(sent_data, 0x41);
    CHECK_EQ(dev_access(d, 0, 28, 4, 0, false), 0);
    CHECK_EQ(dev_access(d, 0, 0x800, 8, 0, false), 0);
    cfg_set(2, cap + 2, 2, 0xc000);
    pci_msix_notify(&fn[1], 1);
    pci_msix_notify(&fn[1], 1);
    CHECK_EQ(sent, 1);
    cfg_set(2, cap + 2, 2, 0x8000);
    CHECK_EQ(sent, 2);
    pci_msix_notify(&fn[1], 3); /* there are three */
    CHECK_EQ(sent, 2);
    /* Accesses around the edges. */
    CHECK_EQ(dev_access(d, 0, 47, 2, 0, false), 0xffff);
    CHECK_EQ(dev_access(d, 0, 0x804, 8, 0, false), ~0ull);
    dev_access(d, 0, 0x800, 8, ~0ull, true);
    CHECK_EQ(dev_access(d, 0, 0x800, 8, 0, false), 0);
    dev_access(d, 0, 13, 8, ~0ull, true);
    dev_access(d, 0, 0x7ff, 2, ~0ull, true);
}

int main(void)
{
    struct pci_host host = { .map = map, .unmap = unmap, .reset = reset };
    struct msi_wire wire = { send, NULL };
    for (unsigned i = 0; i < PCI_INTX; i++) {
        host.intx[i] = (struct irq_wire){ irq, NULL, i, 0 };
        host.intx_line[i] = (uint8_t)(20 + i);
    }
    if (pci_create(&bus, &host))
        return 1;
    pci_function_init(&fn[0], "one", 0x1234, 0x5678, 0x020000, 3);
    pci_add_bar(&fn[0], 0, 0x4000, false, false, &dummy, 0);
    pci_add_bar(&fn[0], 2, GiB(8), false, true, &dummy, 1);
    pci_add_bar(&fn[0], 4, 32, true, false, &dummy, 2);
    pci_use_intx(&fn[0]);
    CHECK_EQ(pci_add(bus, &fn[0], 1, 0), 0);
    CHECK_EQ(pci_add(bus, &fn[0], 1, 0), -EEXIST);
    CHECK_EQ(pci_add(bus, &fn[0], 32, 0), -EINVAL);
    pci_function_init(&fn[1], "two", 0x1234, 0x5679, 0x020000, 3);
    CHECK_EQ(pci_add_msix(&fn[1], &msix, 1, 3, &wire), 0);
    pci_use_intx(&fn[1]);
    CHECK_EQ(pci_add(bus, &fn[1], 2, 0), 0);
    test_config();
    test_bars();
    test_intx();
    test_msix();
    pci_destroy(bus);
    return unit_done("pci");
}
