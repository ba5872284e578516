/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI-X: message table, pending bits, masks. [PCI] "MSI-X Capability and Table Structures". */
#include <errno.h>
#include <string.h>

#include "device/pci.h"

enum {
    CAP_MSIX = 0x11,
    CAP_LEN = 12,
    CAP_CONTROL = 2,
    CAP_TABLE = 4,
    CAP_PBA = 8,
    ENTRY = 16,
    ENTRY_DATA = 8,
    ENTRY_CONTROL = 12,
    ENTRY_MASKED = 1
};
#define CONTROL_ENABLE        BIT(15)
#define CONTROL_FUNCTION_MASK BIT(14)

static uint16_t control(const struct pci_msix *m)
{
    return le16(m->fn->s.config + m->cap + CAP_CONTROL);
}

bool pci_msix_enabled(const struct pci_function *f)
{
    return f->msix && control(f->msix) & CONTROL_ENABLE;
}

static bool masked(const struct pci_msix *m, unsigned v)
{
    return control(m) & CONTROL_FUNCTION_MASK ||
           m->s.table[v * ENTRY + ENTRY_CONTROL] & ENTRY_MASKED;
}

static void send(struct pci_msix *m, unsigned v)
{
    const uint8_t *entry = m->s.table + v * ENTRY;
    m->wire.send(m->wire.ctx, le64(entry), le32(entry + ENTRY_DATA));
}

void pci_msix_notify(struct pci_function *f, unsigned v)
{
    struct pci_msix *m = f->msix;
    if (!pci_msix_enabled(f) || v >= m->vectors)
        return;
    if (masked(m, v))
        m->s.pending |= BIT(v);
    else
        send(m, v);
}

static void send_pending(struct pci_msix *m)
{
    if (!(control(m) & CONTROL_ENABLE))
        return;
    for (unsigned v = 0; v < m->vectors; v++) {
        if (m->s.pending & BIT(v) && !masked(m, v)) {
            m->s.pending &= ~BIT(v);
            send(m, v);
        }
    }
}

void pci_msix_control_written(struct pci_msix *m) { send_pending(m); }

void pci_msix_reset(struct pci_msix *m)
{
    memset(&m->s, 0, sizeof(m->s));
    for (unsigned v = 0; v < m->vectors; v++)
        m->s.table[v * ENTRY + ENTRY_CONTROL] = ENTRY_MASKED;
}

static enum device_result msix_access(struct device *dev, unsigned region, uint64_t offset,
                                      unsigned size, uint64_t *val, bool write)
{
    struct pci_msix *m = container_of(dev, struct pci_msix, dev);
    (void)region;
    if (range_ok(offset, size, m->vectors * ENTRY)) {
        uint8_t *p = m->s.table + offset;
        if (!write) {
            *val = le_get(p, size);
            return DEVICE_OK;
        }
        le_put(p, *val, size);
        /* Reserved bits of the control word stay 0. */
        p = m->s.table + ALIGN_DOWN(offset, ENTRY) + ENTRY_CONTROL;
        le32_put(p, le32(p) & ENTRY_MASKED);
        send_pending(m);
        return DEVICE_OK;
    }
    if (offset >= PCI_MSIX_PBA && range_ok(offset - PCI_MSIX_PBA, size, sizeof(m->s.pending))) {
        if (!write)
            *val = m->s.pending >> (8 * (offset - PCI_MSIX_PBA));
        return DEVICE_OK; /* read-only */
    }
    return DEVICE_UNMAPPED;
}

static const struct device_ops msix_ops = { .name = "msi-x", .access = msix_access };

int pci_add_msix(struct pci_function *f, struct pci_msix *m, unsigned bar, unsigned vectors,
                 const struct msi_wire *wire)
{
    unsigned cap = pci_add_capability(f, CAP_MSIX, CAP_LEN);
    if (!cap || !vectors || vectors > PCI_MSIX_MAX)
        return -ENOSPC;
    m->dev.ops = &msix_ops;
    m->fn = f;
    m->wire = *wire;
    m->vectors = vectors;
    m->cap = cap;
    le16_put(f->init + cap + CAP_CONTROL, (uint16_t)(vectors - 1));
    le16_put(f->mask + cap + CAP_CONTROL, CONTROL_ENABLE | CONTROL_FUNCTION_MASK);
    le32_put(f->init + cap + CAP_TABLE, bar);
    le32_put(f->init + cap + CAP_PBA, PCI_MSIX_PBA | bar);
    f->msix = m;
    pci_add_bar(f, bar, PCI_MSIX_WINDOW, false, false, &m->dev, 0);
    return 0;
}
