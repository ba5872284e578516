/* SPDX-License-Identifier: BSD-2-Clause */
/* A little driver for virtio tests: guest memory, a PCI bus, rings built by hand, BAR accesses. */
#ifndef TESTS_UNIT_VIRTIO_RIG_H
#define TESTS_UNIT_VIRTIO_RIG_H

#include <stdlib.h>
#include <string.h>

#include "device/virtio/pci.h"

enum {
    RIG_RAM = 1 << 20,
    RIG_SIZE = 8, /* entries of each queue */
    RIG_DATA = 0x40000
};
static uint8_t *rig_ram;
static struct pci_bus *rig_bus;
static struct pci_function *rig_fn;
static struct device *rig_window, *rig_table; /* BAR 0, BAR 1 */
static unsigned rig_messages[PCI_MSIX_MAX], rig_written;
static int rig_intx;

static inline uint64_t rig_desc(unsigned q) { return 0x1000 + q * 0x4000u; }
static inline uint64_t rig_avail(unsigned q) { return 0x2000 + q * 0x4000u; }
static inline uint64_t rig_used(unsigned q) { return 0x3000 + q * 0x4000u; }

static void *rig_map(void *ctx, uint64_t gpa, uint64_t len, bool write)
{
    (void)ctx;
    (void)write;
    return range_ok(gpa, len, RIG_RAM) ? rig_ram + gpa : NULL;
}
static void rig_note(void *ctx, uint64_t gpa, uint64_t len)
{
    (void)ctx;
    if (!range_ok(gpa, len, RIG_RAM))
        abort();
    rig_written++;
}
static const struct guest_memory rig_mem = { rig_map, rig_note, NULL };

static int rig_bar(void *ctx, bool io, uint64_t base, uint64_t len, struct device *dev,
                   unsigned region, const char *name)
{
    (void)ctx;
    (void)io;
    (void)base;
    (void)region;
    (void)name;
    if (len > 0x1000)
        rig_window = dev;
    else
        rig_table = dev;
    return 0;
}
static void rig_unbar(void *ctx, bool io, struct device *dev, unsigned region)
{
    (void)ctx;
    (void)io;
    (void)dev;
    (void)region;
}
static void rig_irq(void *ctx, unsigned line, int level)
{
    (void)ctx;
    (void)line;
    rig_intx = level;
}
static void rig_msi(void *ctx, uint64_t addr, uint32_t data)
{
    (void)ctx;
    (void)addr;
    rig_messages[data % PCI_MSIX_MAX]++;
}

static inline uint64_t rig_get(unsigned off, unsigned size)
{
    uint64_t v = ~0ull;
    rig_window->ops->access(rig_window, 0, off, size, &v, false);
    return v & size_mask(size);
}
static inline void rig_set(unsigned off, unsigned size, uint64_t v)
{
    rig_window->ops->access(rig_window, 0, off, size, &v, true);
}
static inline uint64_t rig_config(unsigned reg, unsigned size)
{
    struct device *d = pci_device(rig_bus);
    uint64_t v = ~0ull;
    d->ops->access(d, PCI_REGION_ECAM, 2 << 15 | reg, size, &v, false);
    return v & size_mask(size);
}
static inline void rig_set_config(unsigned reg, unsigned size, uint64_t v)
{
    struct device *d = pci_device(rig_bus);
    d->ops->access(d, PCI_REGION_ECAM, 2 << 15 | reg, size, &v, true);
}

/* Puts a device on the bus and decodes its BARs. False: no memory. */
static inline bool rig_open(struct virtio_device *dev)
{
    struct pci_host host = { .map = rig_bar, .unmap = rig_unbar };
    const struct virtio_pci_config c = { &rig_mem, { rig_msi, NULL } };
    for (unsigned i = 0; i < PCI_INTX; i++)
        host.intx[i].set = rig_irq;
    if (!rig_ram && !(rig_ram = aligned_alloc(4096, RIG_RAM)))
        return false;
    memset(rig_ram, 0, RIG_RAM);
    memset(rig_messages, 0, sizeof(rig_messages));
    return !pci_create(&rig_bus, &host) && !virtio_pci_create(&rig_fn, dev, &c) &&
           !pci_add(rig_bus, rig_fn, 2, 0) &&
           !pci_assign(rig_bus, 0xc0000000, 0xd0000000, 0xc000, 0xd000);
}
static inline void rig_close(void) { pci_destroy(rig_bus); }

/* Reset to FEATURES_OK with the features given (VERSION_1 is added). Returns the status. */
static inline unsigned rig_features(uint64_t features)
{
    features |= VIRTIO_F_VERSION_1;
    rig_set(20, 1, 0);
    rig_set(20, 1, 1);
    rig_set(20, 1, 3);
    rig_set(8, 4, 0);
    rig_set(12, 4, (uint32_t)features);
    rig_set(8, 4, 1);
    rig_set(12, 4, features >> 32);
    rig_set(20, 1, 11);
    return (unsigned)rig_get(20, 1);
}
static inline void rig_queue(unsigned q)
{
    memset(rig_ram + rig_desc(q), 0, 0x3000);
    rig_set(22, 2, q);
    rig_set(24, 2, RIG_SIZE);
    rig_set(26, 2, q + 1);
    rig_set(32, 4, rig_desc(q));
    rig_set(36, 4, 0);
    rig_set(40, 8, rig_avail(q));
    rig_set(48, 8, rig_used(q));
    rig_set(28, 2, 1);
}
/* MSI-X on, vector v sends data v, config vector 0. */
static inline void rig_vectors(unsigned n)
{
    for (unsigned v = 0; v < n; v++) {
        uint64_t addr = 0xfee00000, data = v;
        rig_table->ops->access(rig_table, 0, v * 16, 8, &addr, true);
        rig_table->ops->access(rig_table, 0, v * 16 + 8, 8, &data, true);
    }
    rig_set_config(rig_fn->msix->cap + 2, 2, 0x8000);
    rig_set(16, 2, 0);
}
static inline void rig_desc_put(uint64_t table, unsigned i, uint64_t addr, uint32_t len,
                                uint16_t flags, uint16_t next)
{
    uint8_t *d = rig_ram + table + i * 16;
    le64_put(d, addr);
    le32_put(d + 8, len);
    le16_put(d + 12, flags);
    le16_put(d + 14, next);
}
/* Makes a descriptor available; the driver then notifies. */
static inline void rig_offer(unsigned q, uint16_t head)
{
    uint8_t *a = rig_ram + rig_avail(q);
    uint16_t idx = le16(a + 2);
    le16_put(a + 4 + 2 * (idx % RIG_SIZE), head);
    le16_put(a + 2, (uint16_t)(idx + 1));
}
static inline void rig_kick(unsigned q) { rig_set(0x3000 + 4 * q, 2, q); }
static inline uint16_t rig_used_idx(unsigned q) { return le16(rig_ram + rig_used(q) + 2); }
static inline uint32_t rig_used_len(unsigned q, unsigned i)
{
    return le32(rig_ram + rig_used(q) + 4 + 8 * (i % RIG_SIZE) + 4);
}
/* Everything up to DRIVER_OK. */
static inline bool rig_start(struct virtio_device *dev, uint64_t features, unsigned queues)
{
    if (!rig_open(dev) || !(rig_features(features) & VIRTIO_FEATURES_OK))
        return false;
    rig_vectors(queues + 1);
    for (unsigned q = 0; q < queues; q++)
        rig_queue(q);
    rig_set(20, 1, 15);
    return rig_get(20, 1) == 15;
}

#endif
