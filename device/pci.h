/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI Express root bus as software sees it: configuration mechanism 1 and ECAM in front of
 * functions with configuration space, base address registers, INTx and MSI-X. One bus, 32 slots.
 * [PCI] PCI Local Bus Specification 3.0; [PCIe] PCI Express Base Specification 3.0.
 */
#ifndef DEVICE_PCI_H
#define DEVICE_PCI_H

#include "device/device.h"

struct pci_bus;
struct pci_function;

enum {
    PCI_SLOTS = 32,
    PCI_FUNCTIONS = 8,
    PCI_BARS = 6,
    PCI_CONFIG_SIZE = 256,
    PCI_INTX = 4, /* INTA..INTD of the root bus */
    PCI_MSIX_MAX = 64
};

/* Registers of the type 0 header, [PCI] "Configuration Space Header". */
enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS = 0x09, /* 3 bytes */
    PCI_CACHE_LINE = 0x0c,
    PCI_LATENCY = 0x0d,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM_ID = 0x2e,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    PCI_FIRST_CAPABILITY = 0x40
};
#define PCI_COMMAND_IO           BIT(0)
#define PCI_COMMAND_MEMORY       BIT(1)
#define PCI_COMMAND_MASTER       BIT(2)
#define PCI_COMMAND_INTX_DISABLE BIT(10)
#define PCI_STATUS_INTX          BIT(3)
#define PCI_STATUS_CAPABILITIES  BIT(4)

/* Where messages go (an engine's signal_msi). */
struct msi_wire {
    void (*send)(void *ctx, uint64_t addr, uint32_t data);
    void *ctx;
};

/* What the machine does for the bus. */
struct pci_host {
    /* A base address register's window appears (memory or I/O space); -errno if something else is
     * there: the window then stays closed until registers change. */
    int (*map)(void *ctx, bool io, uint64_t base, uint64_t len, struct device *dev, unsigned region,
               const char *name);
    void (*unmap)(void *ctx, bool io, struct device *dev, unsigned region);
    void (*reset)(void *ctx); /* reset control register, port 0xcf9; may be NULL */
    void *ctx;
    struct irq_wire intx[PCI_INTX];
    uint8_t intx_line[PCI_INTX]; /* what firmware would write into Interrupt Line */
};

/* Regions of the bus's own struct device. */
enum {
    PCI_REGION_CONF1 = 0, /* ports 0xcf8..0xcff */
    PCI_REGION_ECAM = 1   /* 1 MiB for bus 0; more is all ones */
};

struct pci_bar {
    uint64_t size; /* power of 2; 0: none */
    bool io, is64;
    struct device *dev;
    unsigned region;
    bool mapped;
    uint64_t at; /* where, if mapped */
};

/* Message table and pending bits of one function; answers for its window. (pci_msix.c) */
struct pci_msix {
    struct device dev; /* region 0: table at 0, pending bits at PCI_MSIX_PBA */
    struct pci_function *fn;
    struct msi_wire wire;
    unsigned vectors;
    unsigned cap; /* offset of the capability */
    struct {
        uint8_t table[PCI_MSIX_MAX * 16];
        uint64_t pending;
    } s;
};
enum { PCI_MSIX_PBA = 0x800, PCI_MSIX_WINDOW = 0x1000 };

struct pci_function {
    const char *name;
    struct pci_bus *bus;
    unsigned slot, number;
    uint8_t mask[PCI_CONFIG_SIZE]; /* bits software may write */
    uint8_t init[PCI_CONFIG_SIZE]; /* value after reset */
    unsigned next_cap;             /* first free byte for capabilities */
    unsigned last_cap;             /* the capability whose next pointer is to be set, 0: none */
    struct pci_bar bar[PCI_BARS];
    struct pci_msix *msix; /* NULL: none */
    /* Hooks of the device, may be NULL. config_read is called before bytes are taken out of
     * s.config, config_written after they are in place. */
    void (*config_read)(struct pci_function *, unsigned offset, unsigned size);
    void (*config_written)(struct pci_function *, unsigned offset, unsigned size);
    void (*reset)(struct pci_function *);
    int (*state)(struct pci_function *, struct state *);
    void (*destroy)(struct pci_function *);
    bool intx; /* level the device drives */
    struct {
        uint8_t config[PCI_CONFIG_SIZE];
    } s;
};

/* ---- the bus ---- */
WARN_UNUSED int pci_create(struct pci_bus **out, const struct pci_host *); /* with host bridge */
void pci_destroy(struct pci_bus *);                                        /* and all functions */
struct device *pci_device(struct pci_bus *);
/* Puts an initialised function at slot.number; the bus then owns it. -EEXIST. */
WARN_UNUSED int pci_add(struct pci_bus *, struct pci_function *, unsigned slot, unsigned number);
/* What firmware does: gives each BAR an address in the windows [mmio, mmio_end) and [io, io_end),
 * turns decoding and bus mastering on, fills Interrupt Line. After each reset, if no firmware runs.
 * -ENOSPC if the windows are too small. */
WARN_UNUSED int pci_assign(struct pci_bus *, uint64_t mmio, uint64_t mmio_end, uint64_t io,
                           uint64_t io_end);

/* ---- for devices, while they are built ---- */
void pci_function_init(struct pci_function *, const char *name, uint16_t vendor, uint16_t device,
                       uint32_t class, uint8_t revision);
/* size: power of 2, at least 16 (memory) or 4 (I/O). A 64-bit BAR takes two. */
void pci_add_bar(struct pci_function *, unsigned bar, uint64_t size, bool io, bool is64,
                 struct device *dev, unsigned region);
/* Adds a capability of len bytes (id and next included); returns its offset, 0: no room. */
unsigned pci_add_capability(struct pci_function *, uint8_t id, unsigned len);
/* Makes INTA the function's pin. */
void pci_use_intx(struct pci_function *);
/* Puts the window of m into `bar`. vectors <= PCI_MSIX_MAX. -ENOSPC. */
WARN_UNUSED int pci_add_msix(struct pci_function *, struct pci_msix *m, unsigned bar,
                             unsigned vectors, const struct msi_wire *);

/* ---- for devices, while they run ---- */
void pci_set_intx(struct pci_function *, bool level);
bool pci_msix_enabled(const struct pci_function *);
/* Sends vector v, or marks it pending while it is masked. Nothing if MSI-X is off. */
void pci_msix_notify(struct pci_function *, unsigned v);

/* ---- between pci.c and pci_msix.c ---- */
void pci_msix_control_written(struct pci_msix *);
void pci_msix_reset(struct pci_msix *);

#endif
