/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI bus: configuration access, base address registers, INTx. [PCI] chapter 6. */
#include "device/pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/state.h"

enum {
    VENDOR_BRIDGE = 0x1b36,
    DEVICE_BRIDGE = 0x0008,
    CLASS_HOST_BRIDGE = 0x060000,
    CONF1_ADDRESS = 0, /* offsets in the I/O region */
    CONF1_RESET = 1,
    CONF1_DATA = 4
};
#define CONF1_ENABLE BIT(31)
#define RESET_CPU    BIT(2) /* reset control register: the transition to 1 resets */
#define BAR_IO       1u
#define BAR_64       4u
#define BAR_PREFETCH 8u
#define NOT_ASSIGNED UINT64_MAX
#define WRITABLE_COMMAND                                                                           \
    (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | BIT(6) | BIT(8) |                  \
     PCI_COMMAND_INTX_DISABLE)

struct pci_bus {
    struct device dev;
    struct pci_host host;
    struct pci_function *fn[PCI_SLOTS * PCI_FUNCTIONS];
    struct pci_function bridge;
    struct {
        uint32_t address; /* configuration mechanism 1 */
        uint8_t reset;
    } s;
};

/* ---- building ---- */

void pci_function_init(struct pci_function *f, const char *name, uint16_t vendor, uint16_t device,
                       uint32_t class, uint8_t revision)
{
    memset(f, 0, sizeof(*f));
    f->name = name;
    f->next_cap = PCI_FIRST_CAPABILITY;
    le16_put(f->init + PCI_VENDOR_ID, vendor);
    le16_put(f->init + PCI_DEVICE_ID, device);
    le16_put(f->init + PCI_SUBSYSTEM_VENDOR, vendor);
    le16_put(f->init + PCI_SUBSYSTEM_ID, device);
    f->init[PCI_REVISION] = revision;
    le_put(f->init + PCI_CLASS, class, 3);
    le16_put(f->mask + PCI_COMMAND, WRITABLE_COMMAND);
    f->mask[PCI_CACHE_LINE] = 0xff;
    f->mask[PCI_LATENCY] = 0xff;
    f->mask[PCI_INTERRUPT_LINE] = 0xff;
}

void pci_add_bar(struct pci_function *f, unsigned bar, uint64_t size, bool io, bool is64,
                 struct device *dev, unsigned region)
{
    unsigned at = PCI_BAR0 + 4 * bar;
    f->bar[bar] =
        (struct pci_bar){ .size = size, .io = io, .is64 = is64, .dev = dev, .region = region };
    le32_put(f->init + at, io ? BAR_IO : is64 ? BAR_64 : 0);
    le32_put(f->mask + at, (uint32_t)-size & (io ? ~3u : ~15u));
    if (is64)
        le32_put(f->mask + at + 4, (uint32_t)(-size >> 32));
}

unsigned pci_add_capability(struct pci_function *f, uint8_t id, unsigned len)
{
    unsigned at = f->next_cap;
    if (len > PCI_CONFIG_SIZE - at)
        return 0;
    f->init[at] = id;
    f->init[f->last_cap ? f->last_cap + 1 : (unsigned)PCI_CAPABILITIES] = (uint8_t)at;
    f->init[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    f->last_cap = at;
    f->next_cap = ALIGN_UP(at + len, 4u);
    return at;
}

void pci_use_intx(struct pci_function *f) { f->init[PCI_INTERRUPT_PIN] = 1; }

static void function_reset(struct pci_function *f)
{
    memcpy(f->s.config, f->init, sizeof(f->s.config));
    f->intx = false;
    if (f->msix)
        pci_msix_reset(f->msix);
    if (f->reset)
        f->reset(f);
}

int pci_add(struct pci_bus *bus, struct pci_function *f, unsigned slot, unsigned number)
{
    if (slot >= PCI_SLOTS || number >= PCI_FUNCTIONS)
        return -EINVAL;
    if (bus->fn[slot * PCI_FUNCTIONS + number])
        return -EEXIST;
    bus->fn[slot * PCI_FUNCTIONS + number] = f;
    f->bus = bus;
    f->slot = slot;
    f->number = number;
    function_reset(f);
    return 0;
}

/* ---- interrupt pins ---- */

static unsigned pin_of(const struct pci_function *f)
{
    return (f->slot + f->init[PCI_INTERRUPT_PIN] - 1) % PCI_INTX;
}

static uint16_t command(const struct pci_function *f) { return le16(f->s.config + PCI_COMMAND); }

/* The pins are shared: each is up while any of its functions drives it. */
static void update_intx(struct pci_bus *bus, unsigned pin)
{
    int level = 0;
    for (unsigned i = 0; i < ARRAY_LEN(bus->fn); i++) {
        const struct pci_function *f = bus->fn[i];
        if (f && f->intx && f->init[PCI_INTERRUPT_PIN] && pin_of(f) == pin &&
            !(command(f) & PCI_COMMAND_INTX_DISABLE))
            level = 1;
    }
    irq_set(&bus->host.intx[pin], level);
}

void pci_set_intx(struct pci_function *f, bool level)
{
    if (f->intx == level || !f->init[PCI_INTERRUPT_PIN])
        return;
    f->intx = level;
    f->s.config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTX;
    if (level)
        f->s.config[PCI_STATUS] |= PCI_STATUS_INTX;
    update_intx(f->bus, pin_of(f));
}

/* ---- windows ---- */

/* Where the registers say the window is; NOT_ASSIGNED if it is closed. */
static uint64_t bar_address(const struct pci_function *f, unsigned i)
{
    const struct pci_bar *b = &f->bar[i];
    unsigned at = PCI_BAR0 + 4 * i;
    uint64_t addr = le32(f->s.config + at) & (b->io ? ~3u : ~15u);
    if (!(command(f) & (b->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
        return NOT_ASSIGNED;
    if (b->is64)
        addr |= (uint64_t)le32(f->s.config + at + 4) << 32;
    /* Zero and the all-ones pattern of sizing are no addresses. */
    if (!addr || addr + b->size <= addr || addr + b->size > 1ull << 52 ||
        (!b->is64 && addr + b->size >= 1ull << 32) || (b->io && addr + b->size > 1u << 16))
        return NOT_ASSIGNED;
    return addr;
}

/* Makes the windows of all functions agree with their registers. All: one that was in the way of
 * another may have moved. */
static void update_windows(struct pci_bus *bus)
{
    const struct pci_host *h = &bus->host;
    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < ARRAY_LEN(bus->fn); i++) {
            struct pci_function *f = bus->fn[i];
            for (unsigned k = 0; f && k < PCI_BARS; k++) {
                struct pci_bar *b = &f->bar[k];
                uint64_t at = b->size ? bar_address(f, k) : NOT_ASSIGNED;
                if (pass == 0 && b->mapped && b->at != at) {
                    h->unmap(h->ctx, b->io, b->dev, b->region);
                    b->mapped = false;
                } else if (pass == 1 && !b->mapped && at != NOT_ASSIGNED) {
                    b->at = at;
                    b->mapped = !h->map(h->ctx, b->io, at, b->size, b->dev, b->region, f->name);
                    trace(LOG_PCI, "%02x.%x %s BAR %u at %#llx%s", f->slot, f->number, f->name, k,
                          (unsigned long long)at, b->mapped ? "" : ": place taken");
                }
            }
        }
    }
}

int pci_assign(struct pci_bus *bus, uint64_t mmio, uint64_t mmio_end, uint64_t io, uint64_t io_end)
{
    for (unsigned i = 0; i < ARRAY_LEN(bus->fn); i++) {
        struct pci_function *f = bus->fn[i];
        uint16_t enable = PCI_COMMAND_MASTER;
        for (unsigned k = 0; f && k < PCI_BARS; k++) {
            struct pci_bar *b = &f->bar[k];
            uint64_t *next = b->io ? &io : &mmio, at;
            if (!b->size)
                continue;
            at = ALIGN_UP(*next, b->size);
            if (at < *next || !range_ok(at, b->size, b->io ? io_end : mmio_end))
                return -ENOSPC;
            *next = at + b->size;
            enable |= b->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
            le32_put(f->s.config + PCI_BAR0 + 4 * k,
                     (uint32_t)at | le32(f->init + PCI_BAR0 + 4 * k));
            if (b->is64)
                le32_put(f->s.config + PCI_BAR0 + 4 * k + 4, (uint32_t)(at >> 32));
        }
        if (!f)
            continue;
        if (f != &bus->bridge)
            le16_put(f->s.config + PCI_COMMAND, command(f) | enable);
        if (f->init[PCI_INTERRUPT_PIN])
            f->s.config[PCI_INTERRUPT_LINE] = bus->host.intx_line[pin_of(f)];
    }
    update_windows(bus);
    return 0;
}

/* ---- configuration accesses ---- */

static uint64_t config_read(struct pci_function *f, unsigned offset, unsigned size)
{
    /* No extended capabilities: [PCIe] "a value of 0 at 100h". */
    if (offset + size > PCI_CONFIG_SIZE)
        return 0;
    if (f->config_read)
        f->config_read(f, offset, size);
    return le_get(f->s.config + offset, size);
}

static void config_write(struct pci_function *f, unsigned offset, unsigned size, uint64_t val)
{
    if (offset + size > PCI_CONFIG_SIZE)
        return;
    for (unsigned i = 0; i < size; i++) {
        uint8_t *p = &f->s.config[offset + i], m = f->mask[offset + i];
        *p = (uint8_t)((*p & ~m) | ((uint8_t)(val >> (8 * i)) & m));
    }
    if (range_overlaps(offset, size, PCI_COMMAND, 2)) {
        update_windows(f->bus);
        if (f->init[PCI_INTERRUPT_PIN])
            update_intx(f->bus, pin_of(f));
    }
    if (range_overlaps(offset, size, PCI_BAR0, 4 * PCI_BARS))
        update_windows(f->bus);
    if (f->msix && range_overlaps(offset, size, f->msix->cap + 2, 2))
        pci_msix_control_written(f->msix);
    if (f->config_written)
        f->config_written(f, offset, size);
}

static void config_access(struct pci_bus *bus, unsigned bus_no, unsigned devfn, unsigned offset,
                          unsigned size, uint64_t *val, bool write)
{
    struct pci_function *f = bus_no ? NULL : bus->fn[devfn];
    if (!f)
        return; /* master abort: all ones */
    if (write)
        config_write(f, offset, size, *val);
    else
        *val = config_read(f, offset, size);
}

static enum device_result conf1_access(struct pci_bus *bus, uint64_t offset, unsigned size,
                                       uint64_t *val, bool write)
{
    uint32_t a = bus->s.address;
    if (offset >= CONF1_DATA) {
        if (a & CONF1_ENABLE && offset - CONF1_DATA + size <= 4)
            config_access(bus, a >> 16 & 0xff, a >> 8 & 0xff,
                          (a & 0xfc) + (unsigned)(offset - CONF1_DATA), size, val, write);
        return DEVICE_OK;
    }
    if (offset == CONF1_ADDRESS && size == 4) {
        if (write)
            bus->s.address = (uint32_t)*val & ~(uint32_t)BITS(30, 24) & ~3u;
        else
            *val = a;
        return DEVICE_OK;
    }
    /* Narrower accesses are ordinary I/O: [PCI] "Configuration Mechanism". */
    if (offset == CONF1_RESET && size == 1) {
        uint8_t old = bus->s.reset;
        if (!write) {
            *val = old;
            return DEVICE_OK;
        }
        bus->s.reset = (uint8_t)*val & 0x0e;
        if (*val & ~old & RESET_CPU && bus->host.reset)
            bus->host.reset(bus->host.ctx);
        return DEVICE_OK;
    }
    return DEVICE_UNMAPPED;
}

static enum device_result pci_access(struct device *dev, unsigned region, uint64_t offset,
                                     unsigned size, uint64_t *val, bool write)
{
    struct pci_bus *bus = container_of(dev, struct pci_bus, dev);
    if (region == PCI_REGION_CONF1)
        return offset + size <= 8 ? conf1_access(bus, offset, size, val, write) : DEVICE_UNMAPPED;
    if (offset >> 28 || (offset & 0xfff) + size > 4096)
        return DEVICE_UNMAPPED;
    config_access(bus, (unsigned)(offset >> 20), offset >> 12 & 0xff, offset & 0xfff, size, val,
                  write);
    return DEVICE_OK;
}

static void pci_reset(struct device *dev)
{
    struct pci_bus *bus = container_of(dev, struct pci_bus, dev);
    memset(&bus->s, 0, sizeof(bus->s));
    for (unsigned i = 0; i < ARRAY_LEN(bus->fn); i++)
        if (bus->fn[i])
            function_reset(bus->fn[i]);
    update_windows(bus);
    for (unsigned i = 0; i < PCI_INTX; i++)
        update_intx(bus, i);
}

static int pci_state(struct device *dev, struct state *s)
{
    struct pci_bus *bus = container_of(dev, struct pci_bus, dev);
    STATE_INT(s, &bus->s, address, 0, UINT32_MAX);
    STATE_INT(s, &bus->s, reset, 0, 0x0e);
    for (unsigned i = 0; i < ARRAY_LEN(bus->fn) && !s->error; i++) {
        struct pci_function *f = bus->fn[i];
        if (!f)
            continue;
        STATE_BYTES(s, &f->s, config);
        /* What software cannot write is ours, whatever was saved. */
        for (unsigned k = 0; s->loading && k < PCI_CONFIG_SIZE; k++)
            f->s.config[k] = (uint8_t)((f->s.config[k] & f->mask[k]) | (f->init[k] & ~f->mask[k]));
        if (f->msix) {
            STATE_BYTES(s, &f->msix->s, table);
            STATE_INT(s, &f->msix->s, pending, 0, UINT64_MAX);
        }
        if (!s->error && f->state)
            s->error = f->state(f, s);
    }
    if (s->loading && !s->error) {
        update_windows(bus);
        for (unsigned i = 0; i < PCI_INTX; i++)
            update_intx(bus, i);
    }
    return s->error;
}

static const struct device_ops pci_ops = {
    .name = "pci",
    .access = pci_access,
    .reset = pci_reset,
    .state = pci_state,
};

int pci_create(struct pci_bus **out, const struct pci_host *host)
{
    struct pci_bus *bus = calloc(1, sizeof(*bus));
    int e;
    if (!bus)
        return -ENOMEM;
    bus->dev.ops = &pci_ops;
    bus->host = *host;
    pci_function_init(&bus->bridge, "host bridge", VENDOR_BRIDGE, DEVICE_BRIDGE, CLASS_HOST_BRIDGE,
                      0);
    e = pci_add(bus, &bus->bridge, 0, 0);
    if (e) {
        free(bus);
        return e;
    }
    *out = bus;
    return 0;
}

void pci_destroy(struct pci_bus *bus)
{
    if (!bus)
        return;
    for (unsigned i = 0; i < ARRAY_LEN(bus->fn); i++) {
        struct pci_function *f = bus->fn[i];
        for (unsigned k = 0; f && k < PCI_BARS; k++)
            if (f->bar[k].mapped)
                bus->host.unmap(bus->host.ctx, f->bar[k].io, f->bar[k].dev, f->bar[k].region);
        if (f && f->destroy)
            f->destroy(f);
    }
    free(bus);
}

struct device *pci_device(struct pci_bus *bus) { return &bus->dev; }
