/* SPDX-License-Identifier: BSD-2-Clause */
/* Modern PCI transport. [VIRTIO] 4.1.4 "Virtio Structure PCI Capabilities". */
#include "device/virtio/pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/state.h"

enum {
    VENDOR = 0x1af4,
    DEVICE_BASE = 0x1040,
    REVISION = 1,
    CAP_VENDOR = 0x09,
    /* BAR 0: the structures; BAR 1: MSI-X */
    WINDOW = 0x4000,
    COMMON = 0x0000,
    COMMON_LEN = 64,
    ISR = 0x1000,
    DEVICE = 0x2000,
    NOTIFY = 0x3000,
    NOTIFY_MULTIPLIER = 4,
    ISR_QUEUE = 1,
    ISR_CONFIG = 2
};

/* Structure types and layout of their capabilities. */
enum {
    CFG_COMMON = 1,
    CFG_NOTIFY = 2,
    CFG_ISR = 3,
    CFG_DEVICE = 4,
    CFG_PCI = 5,
    CAP_LEN = 16,
    CAP_LEN_BYTE = 2,
    CAP_TYPE = 3,
    CAP_BAR = 4,
    CAP_OFFSET = 8,
    CAP_LENGTH = 12,
    CAP_MULTIPLIER = 16,
    CAP_PCI_DATA = 16
};

/* 4.1.4.3 "Common configuration structure layout" */
enum field {
    DEVICE_FEATURE_SELECT,
    DEVICE_FEATURE,
    DRIVER_FEATURE_SELECT,
    DRIVER_FEATURE,
    CONFIG_VECTOR,
    NUM_QUEUES,
    DEVICE_STATUS,
    CONFIG_GENERATION,
    QUEUE_SELECT,
    QUEUE_SIZE,
    QUEUE_VECTOR,
    QUEUE_ENABLE,
    QUEUE_NOTIFY_OFF,
    QUEUE_DESC,
    QUEUE_DRIVER,
    QUEUE_DEVICE,
    FIELDS
};
static const struct {
    uint8_t offset, size;
} layout[FIELDS] = {
    [DEVICE_FEATURE_SELECT] = { 0, 4 }, [DEVICE_FEATURE] = { 4, 4 },
    [DRIVER_FEATURE_SELECT] = { 8, 4 }, [DRIVER_FEATURE] = { 12, 4 },
    [CONFIG_VECTOR] = { 16, 2 },        [NUM_QUEUES] = { 18, 2 },
    [DEVICE_STATUS] = { 20, 1 },        [CONFIG_GENERATION] = { 21, 1 },
    [QUEUE_SELECT] = { 22, 2 },         [QUEUE_SIZE] = { 24, 2 },
    [QUEUE_VECTOR] = { 26, 2 },         [QUEUE_ENABLE] = { 28, 2 },
    [QUEUE_NOTIFY_OFF] = { 30, 2 },     [QUEUE_DESC] = { 32, 8 },
    [QUEUE_DRIVER] = { 40, 8 },         [QUEUE_DEVICE] = { 48, 8 },
};

struct virtio_pci {
    struct device dev; /* BAR 0 */
    struct pci_function fn;
    struct pci_msix msix;
    struct virtio_device *vd;
    struct device_timer later;
    unsigned pci_cap; /* offset of the PCI configuration access capability */
    struct {
        uint32_t device_select, driver_select;
        uint16_t queue_select;
        uint16_t config_vector, queue_vector[VIRTIO_QUEUES];
        uint8_t isr, generation;
    } s;
};

/* The transport of a device: its timer is ours. */
static struct virtio_pci *of(struct virtio_device *vd)
{
    return container_of(vd->later, struct virtio_pci, later);
}

static void interrupt(struct virtio_device *vd, int queue)
{
    struct virtio_pci *p = of(vd);
    if (queue < 0)
        p->s.generation++;
    if (pci_msix_enabled(&p->fn)) {
        uint16_t v = queue < 0 ? p->s.config_vector : p->s.queue_vector[queue];
        if (v != VIRTIO_NO_VECTOR)
            pci_msix_notify(&p->fn, v);
        return;
    }
    p->s.isr |= queue < 0 ? ISR_CONFIG : ISR_QUEUE;
    pci_set_intx(&p->fn, true);
}

/* Back to power-on, but for PCI's own registers. */
static void transport_reset(struct virtio_pci *p)
{
    memset(&p->s, 0, sizeof(p->s));
    p->s.config_vector = VIRTIO_NO_VECTOR;
    for (unsigned i = 0; i < VIRTIO_QUEUES; i++)
        p->s.queue_vector[i] = VIRTIO_NO_VECTOR;
    virtio_reset(p->vd);
}

static struct virtqueue *selected(struct virtio_pci *p)
{
    return p->s.queue_select < p->vd->ops->queues ? &p->vd->queue[p->s.queue_select] : NULL;
}

static uint64_t field_get(struct virtio_pci *p, enum field f)
{
    struct virtqueue *q = selected(p);
    switch (f) {
    case DEVICE_FEATURE_SELECT: return p->s.device_select;
    case DEVICE_FEATURE:
        return p->s.device_select < 2 ? virtio_features(p->vd) >> (32 * p->s.device_select) : 0;
    case DRIVER_FEATURE_SELECT: return p->s.driver_select;
    case DRIVER_FEATURE:
        return p->s.driver_select < 2 ? p->vd->s.features >> (32 * p->s.driver_select) : 0;
    case CONFIG_VECTOR: return p->s.config_vector;
    case NUM_QUEUES: return p->vd->ops->queues;
    case DEVICE_STATUS: return p->vd->s.status;
    case CONFIG_GENERATION: return p->s.generation;
    case QUEUE_SELECT: return p->s.queue_select;
    case QUEUE_SIZE: return q ? q->s.size : 0;
    case QUEUE_VECTOR: return q ? p->s.queue_vector[p->s.queue_select] : VIRTIO_NO_VECTOR;
    case QUEUE_ENABLE: return q ? q->s.enabled : 0;
    case QUEUE_NOTIFY_OFF: return q ? p->s.queue_select : 0;
    case QUEUE_DESC: return q ? q->s.desc : 0;
    case QUEUE_DRIVER: return q ? q->s.avail : 0;
    case QUEUE_DEVICE: return q ? q->s.used : 0;
    default: return 0;
    }
}

static void set_driver_features(struct virtio_pci *p, uint32_t v)
{
    unsigned shift = 32 * p->s.driver_select;
    if (p->s.driver_select > 1 || p->vd->s.status & VIRTIO_FEATURES_OK)
        return;
    p->vd->s.features &= ~(0xffffffffull << shift);
    p->vd->s.features |= (uint64_t)v << shift;
}

static uint16_t valid_vector(const struct virtio_pci *p, uint64_t v)
{
    return v < p->msix.vectors ? (uint16_t)v : (uint16_t)VIRTIO_NO_VECTOR;
}

static void set_status(struct virtio_pci *p, uint8_t v)
{
    if (v)
        virtio_set_status(p->vd, v);
    else
        transport_reset(p);
    if (!v)
        pci_set_intx(&p->fn, false);
}

static void queue_set(struct virtio_pci *p, struct virtqueue *q, enum field f, uint64_t v)
{
    if (f == QUEUE_VECTOR) {
        p->s.queue_vector[p->s.queue_select] = valid_vector(p, v);
        return;
    }
    if (q->s.enabled)
        return; /* 4.1.4.3.2: not to be changed then */
    switch (f) {
    case QUEUE_SIZE:
        if (v && v <= q->s.max && !(v & (v - 1)))
            q->s.size = (uint16_t)v;
        break;
    case QUEUE_ENABLE:
        if (v == 1 && virtq_enable(q))
            virtio_broken(p->vd);
        break;
    case QUEUE_DESC: q->s.desc = v; break;
    case QUEUE_DRIVER: q->s.avail = v; break;
    case QUEUE_DEVICE: q->s.used = v; break;
    default: break;
    }
}

static void field_set(struct virtio_pci *p, enum field f, uint64_t v)
{
    struct virtqueue *q = selected(p);
    switch (f) {
    case DEVICE_FEATURE_SELECT: p->s.device_select = (uint32_t)v; break;
    case DRIVER_FEATURE_SELECT: p->s.driver_select = (uint32_t)v; break;
    case DRIVER_FEATURE: set_driver_features(p, (uint32_t)v); break;
    case CONFIG_VECTOR: p->s.config_vector = valid_vector(p, v); break;
    case DEVICE_STATUS: set_status(p, (uint8_t)v); break;
    case QUEUE_SELECT: p->s.queue_select = (uint16_t)v; break;
    default:
        if (q)
            queue_set(p, q, f, v);
        break;
    }
}

static void common_access(struct virtio_pci *p, unsigned offset, unsigned size, uint64_t *val,
                          bool write)
{
    uint8_t bytes[COMMON_LEN] = { 0 };
    for (unsigned f = 0; f < FIELDS; f++)
        le_put(bytes + layout[f].offset, field_get(p, f), layout[f].size);
    if (!write) {
        *val = le_get(bytes + offset, size);
        return;
    }
    le_put(bytes + offset, *val, size);
    for (unsigned f = 0; f < FIELDS; f++)
        if (range_overlaps(offset, size, layout[f].offset, layout[f].size))
            field_set(p, f, le_get(bytes + layout[f].offset, layout[f].size));
}

static void device_config_access(struct virtio_pci *p, unsigned offset, unsigned size,
                                 uint64_t *val, bool write)
{
    struct virtio_device *vd = p->vd;
    uint8_t buf[8];
    if (!range_ok(offset, size, vd->config_len))
        return;
    if (write) {
        le64_put(buf, *val);
        if (vd->ops->config_write)
            vd->ops->config_write(vd, offset, buf, size);
        return;
    }
    vd->ops->config_read(vd, offset, buf, size);
    *val = le_get(buf, size);
}

static enum device_result window_access(struct device *dev, unsigned region, uint64_t offset,
                                        unsigned size, uint64_t *val, bool write)
{
    struct virtio_pci *p = container_of(dev, struct virtio_pci, dev);
    (void)region;
    if (range_ok(offset, size, COMMON_LEN)) {
        common_access(p, (unsigned)offset, size, val, write);
    } else if (offset == ISR && !write) {
        *val = p->s.isr;
        p->s.isr = 0;
        pci_set_intx(&p->fn, false);
    } else if (offset >= DEVICE && offset < NOTIFY) {
        device_config_access(p, (unsigned)(offset - DEVICE), size, val, write);
    } else if (offset >= NOTIFY && offset < WINDOW && write) {
        virtio_notify(p->vd, (unsigned)(offset - NOTIFY) / NOTIFY_MULTIPLIER);
    } else {
        return DEVICE_UNMAPPED;
    }
    return DEVICE_OK;
}

/* ---- PCI configuration access capability, 4.1.4.9 ---- */

static void pci_cfg_access(struct virtio_pci *p, bool write)
{
    uint8_t *cap = p->fn.s.config + p->pci_cap;
    uint32_t offset = le32(cap + CAP_OFFSET), size = le32(cap + CAP_LENGTH);
    uint64_t val = write ? le_get(cap + CAP_PCI_DATA, 4) : ~0ull;
    if (cap[CAP_BAR] || (size != 1 && size != 2 && size != 4) || offset % size)
        return;
    if (write)
        val &= size_mask(size);
    window_access(&p->dev, 0, offset, size, &val, write);
    if (!write)
        le32_put(cap + CAP_PCI_DATA, (uint32_t)val);
}

static void config_read(struct pci_function *fn, unsigned offset, unsigned size)
{
    struct virtio_pci *p = container_of(fn, struct virtio_pci, fn);
    if (range_overlaps(offset, size, p->pci_cap + CAP_PCI_DATA, 4))
        pci_cfg_access(p, false);
}

static void config_written(struct pci_function *fn, unsigned offset, unsigned size)
{
    struct virtio_pci *p = container_of(fn, struct virtio_pci, fn);
    if (range_overlaps(offset, size, p->pci_cap + CAP_PCI_DATA, 4))
        pci_cfg_access(p, true);
}

/* ---- building ---- */

static unsigned add_structure(struct virtio_pci *p, uint8_t type, unsigned extra, uint32_t offset,
                              uint32_t len)
{
    unsigned at = pci_add_capability(&p->fn, CAP_VENDOR, CAP_LEN + extra);
    uint8_t *cap = p->fn.init + at;
    if (!at)
        return 0;
    cap[CAP_LEN_BYTE] = (uint8_t)(CAP_LEN + extra);
    cap[CAP_TYPE] = type;
    le32_put(cap + CAP_OFFSET, offset);
    le32_put(cap + CAP_LENGTH, len);
    return at;
}

static int add_structures(struct virtio_pci *p)
{
    unsigned notify, at;
    if (!add_structure(p, CFG_COMMON, 0, COMMON, COMMON_LEN) ||
        !add_structure(p, CFG_ISR, 0, ISR, 1) ||
        !(notify = add_structure(p, CFG_NOTIFY, 4, NOTIFY, VIRTIO_QUEUES * NOTIFY_MULTIPLIER)) ||
        (p->vd->config_len && !add_structure(p, CFG_DEVICE, 0, DEVICE, p->vd->config_len)) ||
        !(at = add_structure(p, CFG_PCI, 4, 0, 0)))
        return -ENOSPC;
    le32_put(p->fn.init + notify + CAP_MULTIPLIER, NOTIFY_MULTIPLIER);
    p->fn.mask[at + CAP_BAR] = 0xff;
    memset(p->fn.mask + at + CAP_OFFSET, 0xff, 12); /* offset, length, data */
    p->pci_cap = at;
    return 0;
}

static void function_reset(struct pci_function *fn)
{
    transport_reset(container_of(fn, struct virtio_pci, fn));
}

static int function_state(struct pci_function *fn, struct state *s)
{
    struct virtio_pci *p = container_of(fn, struct virtio_pci, fn);
    STATE_INT(s, &p->s, device_select, 0, UINT32_MAX);
    STATE_INT(s, &p->s, driver_select, 0, UINT32_MAX);
    STATE_INT(s, &p->s, queue_select, 0, UINT16_MAX);
    STATE_INT(s, &p->s, config_vector, 0, UINT16_MAX);
    for (unsigned i = 0; i < VIRTIO_QUEUES; i++)
        STATE_INT(s, &p->s, queue_vector[i], 0, UINT16_MAX);
    STATE_INT(s, &p->s, isr, 0, 3);
    STATE_INT(s, &p->s, generation, 0, UINT8_MAX);
    if (!s->error)
        s->error = virtio_state(p->vd, s);
    if (!s->error && s->loading)
        pci_set_intx(fn, p->s.isr);
    return s->error;
}

static void destroy(struct pci_function *fn)
{
    struct virtio_pci *p = container_of(fn, struct virtio_pci, fn);
    p->vd->ops->destroy(p->vd);
    free(p);
}

static const struct device_ops window_ops = { .name = "virtio", .access = window_access };

int virtio_pci_create(struct pci_function **out, struct virtio_device *vd,
                      const struct virtio_pci_config *c)
{
    struct virtio_pci *p = calloc(1, sizeof(*p));
    int e = -ENOMEM;
    if (!p)
        goto fail;
    p->dev.ops = &window_ops;
    p->vd = vd;
    pci_function_init(&p->fn, vd->ops->name, VENDOR, (uint16_t)(DEVICE_BASE + vd->ops->id),
                      vd->ops->pci_class, REVISION);
    pci_use_intx(&p->fn);
    pci_add_bar(&p->fn, 0, WINDOW, false, false, &p->dev, 0);
    e = pci_add_msix(&p->fn, &p->msix, 1, vd->ops->queues + 1, &c->msi);
    if (!e)
        e = add_structures(p);
    if (e)
        goto fail;
    p->fn.config_read = config_read;
    p->fn.config_written = config_written;
    p->fn.reset = function_reset;
    p->fn.state = function_state;
    p->fn.destroy = destroy;
    p->later.fire = virtio_later;
    p->later.arg = vd;
    vd->later = &p->later;
    vd->interrupt = interrupt;
    virtio_init(vd, c->mem);
    *out = &p->fn;
    return 0;
fail:
    vd->ops->destroy(vd);
    free(p);
    return e;
}

struct device_timer *virtio_pci_timer(struct pci_function *fn)
{
    return &container_of(fn, struct virtio_pci, fn)->later;
}
