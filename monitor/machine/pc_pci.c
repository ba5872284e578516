/* SPDX-License-Identifier: BSD-2-Clause */
/* Wires the PCI bus to the VM and each disk and network to a virtio device. */
#include "monitor/machine/pc_pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "device/virtio/blk.h"
#include "device/virtio/console.h"
#include "device/virtio/net.h"
#include "device/virtio/pci.h"
#include "device/virtio/rng.h"
#include "host/block.h"
#include "host/loop.h"
#include "host/net.h"
#include "lib/log.h"

enum {
    PORT_CONF1 = 0xcf8,
    PORT_BARS = 0xc000,
    PORT_BARS_END = 0xd000,
    FIRST_SLOT = 2,
    FIRST_GSI = 16, /* INTA..D: the IOAPIC's inputs behind the ISA ones */
    MAX_DEVICES = CONFIG_MAX_DISKS + CONFIG_MAX_NETS + 2
};

struct pc_net {
    struct net *net;
    struct virtio_device *dev;
};

struct pc_pci {
    struct vm *vm;
    struct pci_bus *bus;
    struct pci_function *fn[MAX_DEVICES];
    unsigned fns;
    struct block *disk[CONFIG_MAX_DISKS];
    struct pc_net net[CONFIG_MAX_NETS];
    struct virtio_device *console;
};

unsigned pc_pci_gsi(unsigned slot, unsigned pin) { return FIRST_GSI + (slot + pin) % PCI_INTX; }

/* ---- the bus's other side ---- */

static int map(void *ctx, bool io, uint64_t base, uint64_t len, struct device *dev, unsigned region,
               const char *name)
{
    struct vm *vm = ctx;
    return bus_add(io ? &vm->pio : &vm->mmio, base, len, dev, region, name);
}

static void unmap(void *ctx, bool io, struct device *dev, unsigned region)
{
    struct vm *vm = ctx;
    bus_remove(io ? &vm->pio : &vm->mmio, dev, region);
}

static void set_irq(void *ctx, unsigned line, int level)
{
    struct vm *vm = ctx;
    vm->ops->irq_line(vm->evm, line, level);
}

static void send_msi(void *ctx, uint64_t addr, uint32_t data)
{
    struct vm *vm = ctx;
    const struct kvm_msi msi = { .address_lo = (uint32_t)addr,
                                 .address_hi = (uint32_t)(addr >> 32),
                                 .data = data };
    vm->ops->signal_msi(vm->evm, &msi);
}

/* ---- disks ---- */

static unsigned to_iovec(struct iovec *iov, const struct virtq_segment *seg, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        iov[i] = (struct iovec){ seg[i].base, seg[i].len };
    return n;
}

static int disk_read(void *ctx, uint64_t offset, const struct virtq_segment *seg, unsigned n)
{
    struct iovec iov[VIRTQ_SEGMENTS];
    return block_read(ctx, offset, iov, to_iovec(iov, seg, n));
}

static int disk_write(void *ctx, uint64_t offset, const struct virtq_segment *seg, unsigned n)
{
    struct iovec iov[VIRTQ_SEGMENTS];
    return block_write(ctx, offset, iov, to_iovec(iov, seg, n));
}

static int disk_flush(void *ctx) { return block_flush(ctx); }

static int disk_discard(void *ctx, uint64_t offset, uint64_t len, bool zero)
{
    return block_discard(ctx, offset, len, zero);
}

/* ---- devices ---- */

/* Puts a device into the next slot; it is destroyed if that fails. */
static int plug(struct pc_pci *p, struct virtio_device *dev)
{
    const struct virtio_pci_config c = { &p->vm->mem, { send_msi, p->vm } };
    struct pci_function *fn;
    int e = virtio_pci_create(&fn, dev, &c);
    if (e)
        return vm_fail(p->vm, e, "machine: a virtio device cannot be made: %s", strerror(-e));
    e = pci_add(p->bus, fn, FIRST_SLOT + p->fns, 0);
    if (e) {
        fn->destroy(fn);
        return vm_fail(p->vm, e, "machine: no slot for a virtio device");
    }
    p->fn[p->fns++] = fn;
    e = loop_add_timer(p->vm->loop, virtio_pci_timer(fn));
    return e ? vm_fail(p->vm, e, "machine: out of memory") : 0;
}

static int add_disk(struct pc_pci *p, unsigned i)
{
    const struct config_disk *d = &p->vm->config->disk[i];
    struct virtio_blk_config c = { .backend = { disk_read, disk_write, disk_flush, disk_discard,
                                                NULL },
                                   .readonly = d->readonly };
    struct virtio_device *dev;
    char why[256];
    int e = block_open(&p->disk[i], d->path, d->readonly, d->direct, why, sizeof(why));
    if (e)
        return vm_fail(p->vm, e, "--disk %s", why);
    c.backend.ctx = p->disk[i];
    c.size = block_size(p->disk[i]);
    memcpy(c.id, "trapeze-disk", 12);
    c.id[12] = (char)('a' + i);
    e = virtio_blk_create(&dev, &c);
    if (e)
        return vm_fail(p->vm, e, "--disk %s: %s", d->path, strerror(-e));
    return plug(p, dev);
}

static void net_out(void *ctx, const void *frame, size_t len)
{
    struct pc_net *n = ctx;
    if (n->net)
        net_send(n->net, frame, len);
}

static bool net_in(void *ctx, const void *frame, size_t len)
{
    struct pc_net *n = ctx;
    return n->dev && virtio_net_receive(n->dev, frame, len);
}

static int open_net(struct pc_pci *p, unsigned i)
{
    const struct config_net *c = &p->vm->config->net[i];
    struct net_forward f[CONFIG_MAX_FWDS];
    char why[256];
    int e;
    for (unsigned k = 0; k < c->forwards; k++)
        f[k] = (struct net_forward){ c->forward[k].udp, c->forward[k].host_addr,
                                     c->forward[k].host_port, c->forward[k].guest_port };
    e = net_user_create(&p->net[i].net, p->vm->loop, f, c->forwards, net_in, &p->net[i], why,
                        sizeof(why));
    return e ? vm_fail(p->vm, e, "--net user: %s", why) : 0;
}

static int add_net(struct pc_pci *p, unsigned i)
{
    static const uint8_t none[6];
    const struct config_net *c = &p->vm->config->net[i];
    struct virtio_net_config nc = { .send = net_out, .ctx = &p->net[i] };
    struct virtio_device *dev;
    int e;
    if (!c->user)
        return 0;
    memcpy(nc.mac, c->mac, sizeof(nc.mac));
    if (!memcmp(nc.mac, none, sizeof(none))) {
        if (getrandom(nc.mac, sizeof(nc.mac), 0) != sizeof(nc.mac))
            nc.mac[5] = (uint8_t)i;
        nc.mac[0] = 0x02; /* locally administered, one station */
    }
    e = open_net(p, i);
    if (!e && (e = virtio_net_create(&dev, &nc)))
        vm_fail(p->vm, e, "--net user: %s", strerror(-e));
    if (!e && !(e = plug(p, dev)))
        p->net[i].dev = dev;
    return e;
}

static size_t fill_random(void *ctx, void *buf, size_t len)
{
    ssize_t n = getrandom(buf, len, 0);
    (void)ctx;
    return n > 0 ? (size_t)n : 0;
}

static int add_others(struct pc_pci *p, const struct char_backend *console)
{
    const struct virtio_rng_config rng = { fill_random, NULL };
    struct virtio_device *dev;
    int e = virtio_console_create(&dev, console);
    if (!e && !(e = plug(p, dev)))
        p->console = dev;
    if (!e)
        e = virtio_rng_create(&dev, &rng);
    return e ? e : plug(p, dev);
}

struct char_sink pc_pci_console_sink(struct pc_pci *p) { return virtio_console_sink(p->console); }

/* ---- the whole ---- */

static int create_bus(struct pc_pci *p, void (*reset)(void *vm))
{
    struct vm *vm = p->vm;
    struct pci_host host = { .map = map, .unmap = unmap, .reset = reset, .ctx = vm };
    int e;
    for (unsigned i = 0; i < PCI_INTX; i++) {
        host.intx[i] = (struct irq_wire){ .set = set_irq, .ctx = vm, .line = FIRST_GSI + i };
        host.intx_line[i] = (uint8_t)(FIRST_GSI + i);
    }
    e = pci_create(&p->bus, &host);
    if (!e)
        e = bus_add(&vm->pio, PORT_CONF1, 8, pci_device(p->bus), PCI_REGION_CONF1, "pci");
    if (!e)
        e = bus_add(&vm->mmio, PC_ECAM, MiB(256), pci_device(p->bus), PCI_REGION_ECAM, "pci-ecam");
    return e ? vm_fail(vm, e, "machine: the PCI bus does not fit: %s", strerror(-e)) : 0;
}

int pc_pci_create(struct pc_pci **out, struct vm *vm, const struct char_backend *console,
                  void (*reset)(void *vm))
{
    struct pc_pci *p = *out = calloc(1, sizeof(*p));
    int e;
    if (!p)
        return vm_fail(vm, -ENOMEM, "machine: out of memory");
    p->vm = vm;
    e = create_bus(p, reset);
    for (unsigned i = 0; !e && i < vm->config->disks; i++)
        e = add_disk(p, i);
    for (unsigned i = 0; !e && i < vm->config->nets; i++)
        e = add_net(p, i);
    return e ? e : add_others(p, console);
}

void pc_pci_destroy(struct pc_pci *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < p->fns; i++)
        loop_del_timer(p->vm->loop, virtio_pci_timer(p->fn[i]));
    for (unsigned i = 0; i < CONFIG_MAX_NETS; i++)
        net_destroy(p->net[i].net);
    pci_destroy(p->bus);
    for (unsigned i = 0; i < CONFIG_MAX_DISKS; i++)
        block_close(p->disk[i]);
    free(p);
}

void pc_pci_reset(struct pc_pci *p)
{
    if (pci_assign(p->bus, PC_PCI_MMIO, PC_PCI_MMIO_END, PORT_BARS, PORT_BARS_END))
        log_warn(LOG_PCI, "PCI windows too small: some devices have no address");
}

struct device *pc_pci_device(struct pc_pci *p) { return pci_device(p->bus); }
