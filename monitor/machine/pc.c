/* SPDX-License-Identifier: BSD-2-Clause */
/* The PC: which device sits where and which wire goes to which input. Wiring only. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/acpi_pm.h"
#include "device/i8042.h"
#include "device/ports.h"
#include "device/rtc.h"
#include "device/uart16550.h"
#include "device/vgatext.h"
#include "host/loop.h"
#include "lib/log.h"
#include "monitor/machine/acpi.h"
#include "monitor/machine/pc_console.h"
#include "monitor/machine/pc_pci.h"
#include "monitor/vm.h"

enum port {
    PORT_I8042_DATA = 0x60,
    PORT_I8042_COMMAND = 0x64,
    PORT_RTC = 0x70,
    PORT_POST = 0x80,
    PORT_92 = 0x92,
    PORT_DEBUGCON = 0xe9,
    PORT_DEBUG_EXIT = 0xf4,
    PORT_VGA = 0x3c0,
    PORT_COM1 = 0x3f8,
    PORT_PM = 0x600,
};
enum irq { IRQ_KEYBOARD = 1, IRQ_COM1 = 4, IRQ_RTC = 8, IRQ_MOUSE = 12 };
enum { MAX_DEVICES = 32, TABLES_SIZE = 0x10000 };

struct machine {
    struct pc_console *console;
    struct uart16550 com1;
    struct rtc rtc;
    struct i8042 i8042;
    struct acpi_pm pm;
    struct port92 port92;
    struct debugcon debugcon;
    struct debug_exit debug_exit;
    struct post post;
    struct vgatext vga;
    struct pc_pci *pci;
    struct device *device[MAX_DEVICES]; /* all, for reset */
    unsigned devices;
};

/* ---- the other ends of the wires ---- */

static void set_irq(void *ctx, unsigned line, int level)
{
    struct vm *vm = ctx;
    vm->ops->irq_line(vm->evm, line, level);
}

static struct irq_wire wire(struct vm *vm, unsigned gsi)
{
    return (struct irq_wire){ .set = set_irq, .ctx = vm, .line = gsi };
}

static void on_power(void *ctx, enum power_request what, int value)
{
    static const enum vm_outcome outcome[] = {
        [POWER_OFF] = VM_POWEROFF, [POWER_RESET] = VM_RESET, [POWER_EXIT] = VM_DEBUG_EXIT
    };
    vm_end(ctx, outcome[what], value);
}

static struct power_wire power(struct vm *vm)
{
    return (struct power_wire){ .request = on_power, .ctx = vm };
}

static void on_reset(void *vm) { on_power(vm, POWER_RESET, 0); }

/* ---- memory ---- */

static int create_map(struct vm *vm)
{
    static const struct memmap_range fixed[] = {
        { PC_EBDA, PC_VGA - PC_EBDA, MEMMAP_RESERVED, "ebda" },
        { PC_VGA, 0x20000, MEMMAP_MMIO, "vga" },
        { PC_VGA + 0x20000, PC_BIOS_ROM - PC_VGA - 0x20000, MEMMAP_RESERVED, "option-rom" },
        { PC_BIOS_ROM, MiB(1) - PC_BIOS_ROM, MEMMAP_RESERVED, "tables" },
        { PC_PCI_MMIO, PC_PCI_MMIO_END - PC_PCI_MMIO, MEMMAP_MMIO, "pci" },
        { PC_ECAM, MiB(256), MEMMAP_RESERVED, "ecam" },
        { PC_IOAPIC, 0x1000, MEMMAP_MMIO, "ioapic" },
        { PC_LAPIC, 0x1000, MEMMAP_MMIO, "lapic" },
        { PC_KVM_IDENTITY, 0x4000, MEMMAP_RESERVED, "engine" },
    };
    uint64_t low = vm_memory_low(vm, PC_HOLE_START), high = vm_memory_high(vm, PC_HOLE_START);
    int err = memmap_add(&vm->map, 0, low, MEMMAP_RAM, "ram");
    if (!err && high)
        err = memmap_add(&vm->map, PC_HIGH_RAM, high, MEMMAP_RAM, "ram");
    for (unsigned i = 0; !err && i < ARRAY_LEN(fixed); i++)
        err = memmap_add(&vm->map, fixed[i].base, fixed[i].len, fixed[i].type, fixed[i].name);
    return err;
}

static int write_tables(struct vm *vm)
{
    const struct acpi_config config = {
        .cpus = vm->config->cpus,
        .pm_base = PORT_PM,
        .pci = true,
        .pci_slots = PC_PCI_SLOTS,
        .pci_gsi = pc_pci_gsi,
    };
    uint8_t *p = vm->mem.map(vm->mem.ctx, PC_BIOS_ROM, TABLES_SIZE, true);
    if (!p)
        return -EFAULT;
    memset(p, 0, TABLES_SIZE);
    int err = acpi_build(&config, p, TABLES_SIZE, PC_BIOS_ROM, &vm->rsdp);
    vm->mem.written(vm->mem.ctx, PC_BIOS_ROM, TABLES_SIZE);
    return err;
}

/* ---- devices ---- */

static int add(struct vm *vm, struct bus *bus, uint64_t base, uint64_t len, struct device *dev,
               unsigned region, const char *name)
{
    int err = bus_add(bus, base, len, dev, region, name);
    return err ? vm_fail(vm, err, "machine: %s does not fit at %#llx", name,
                         (unsigned long long)base)
               : 0;
}

static int adopt(struct vm *vm, struct device *dev)
{
    struct machine *m = vm->machine;
    if (m->devices == MAX_DEVICES)
        return vm_fail(vm, -ENOSPC, "machine: too many devices");
    m->device[m->devices++] = dev;
    return 0;
}

static int create_timers(struct vm *vm)
{
    struct machine *m = vm->machine;
    struct device_timer *const timer[] = { &m->com1.retry, &m->rtc.timer, &m->pm.timer };
    int err = 0;
    for (unsigned i = 0; !err && i < ARRAY_LEN(timer); i++)
        err = loop_add_timer(vm->loop, timer[i]);
    return err;
}

static void init_devices(struct vm *vm)
{
    struct machine *m = vm->machine;
    m->com1.irq = wire(vm, IRQ_COM1);
    m->com1.out = pc_console_backend(m->console, PC_CONSOLE_COM1);
    m->com1.clock = &host_clock;
    uart16550_init(&m->com1);

    m->rtc.irq = wire(vm, IRQ_RTC);
    m->rtc.clock = &host_clock;
    m->rtc.memory_low = vm_memory_low(vm, PC_HOLE_START);
    m->rtc.memory_high = vm_memory_high(vm, PC_HOLE_START);
    rtc_init(&m->rtc);

    m->i8042.irq_keyboard = wire(vm, IRQ_KEYBOARD);
    m->i8042.irq_aux = wire(vm, IRQ_MOUSE);
    m->i8042.power = power(vm);
    i8042_init(&m->i8042);

    m->pm.sci = wire(vm, ACPI_SCI);
    m->pm.clock = &host_clock;
    m->pm.power = power(vm);
    acpi_pm_init(&m->pm);

    m->port92.power = m->debug_exit.power = power(vm);
    port92_init(&m->port92);
    debug_exit_init(&m->debug_exit);

    m->debugcon.out = pc_console_backend(m->console, PC_CONSOLE_DEBUG);
    m->vga.out = pc_console_backend(m->console, PC_CONSOLE_VGA);
    debugcon_init(&m->debugcon);
    vgatext_init(&m->vga);
    post_init(&m->post);
}

static int place_devices(struct vm *vm)
{
    struct machine *m = vm->machine;
    struct {
        struct bus *bus;
        uint64_t base, len;
        struct device *dev;
        unsigned region;
        const char *name;
    } const at[] = {
        { &vm->pio, PORT_COM1, 8, &m->com1.dev, 0, "com1" },
        { &vm->pio, PORT_RTC, 2, &m->rtc.dev, 0, "rtc" },
        { &vm->pio, PORT_I8042_DATA, 1, &m->i8042.dev, I8042_REGION_DATA, "i8042" },
        { &vm->pio, PORT_I8042_COMMAND, 1, &m->i8042.dev, I8042_REGION_COMMAND, "i8042" },
        { &vm->pio, PORT_PM, ACPI_PM_LEN, &m->pm.dev, 0, "acpi-pm" },
        { &vm->pio, PORT_92, 1, &m->port92.dev, 0, "port92" },
        { &vm->pio, PORT_DEBUGCON, 1, &m->debugcon.dev, 0, "debugcon" },
        { &vm->pio, PORT_POST, 1, &m->post.dev, 0, "post" },
        { &vm->pio, PORT_VGA, VGATEXT_PORTS, &m->vga.dev, VGATEXT_REGION_PORTS, "vga" },
        { &vm->mmio, PC_VGA_TEXT, VGATEXT_MEMORY, &m->vga.dev, VGATEXT_REGION_MEMORY, "vgatext" },
    };
    struct device *const all[] = { &m->com1.dev,   &m->rtc.dev,      &m->i8042.dev, &m->pm.dev,
                                   &m->port92.dev, &m->debugcon.dev, &m->post.dev,  &m->vga.dev };
    int err = 0;
    for (unsigned i = 0; !err && i < ARRAY_LEN(at); i++)
        err = add(vm, at[i].bus, at[i].base, at[i].len, at[i].dev, at[i].region, at[i].name);
    if (!err && vm->config->debug_exit)
        err = add(vm, &vm->pio, PORT_DEBUG_EXIT, 4, &m->debug_exit.dev, 0, "debug-exit");
    for (unsigned i = 0; !err && i < ARRAY_LEN(all); i++)
        err = adopt(vm, all[i]);
    return err;
}

/* ---- the machine ---- */

int machine_pc_create(struct vm *vm)
{
    struct machine *m = vm->machine = calloc(1, sizeof(*m));
    int err;
    if (!m)
        return -ENOMEM;
    if ((err = create_map(vm)) < 0 ||
        (err = vm_memory_create(vm, PC_HOLE_START, PC_VGA, 0x20000)) < 0 ||
        (err = pc_console_create(&m->console, vm)) < 0)
        return err;
    init_devices(vm);
    if ((err = create_timers(vm)) < 0 || (err = place_devices(vm)) < 0)
        return err;
    const struct char_backend out = pc_console_backend(m->console, PC_CONSOLE_VIRTIO);
    if ((err = pc_pci_create(&m->pci, vm, &out, on_reset)) < 0 ||
        (err = adopt(vm, pc_pci_device(m->pci))) < 0)
        return err;
    pc_console_attach(m->console, PC_CONSOLE_COM1, uart16550_sink(&m->com1));
    pc_console_attach(m->console, PC_CONSOLE_VIRTIO, pc_pci_console_sink(m->pci));
    return 0;
}

void machine_reset(struct vm *vm)
{
    struct machine *m = vm->machine;
    for (unsigned i = 0; i < m->devices; i++)
        if (m->device[i]->ops->reset)
            m->device[i]->ops->reset(m->device[i]);
    pc_pci_reset(m->pci);
    if (write_tables(vm) < 0)
        log_err(LOG_VM, "no room for the ACPI tables");
}

void machine_powerdown(struct vm *vm) { acpi_pm_power_button(&vm->machine->pm); }

static void nmi(struct vcpu *vcpu, void *arg)
{
    (void)arg;
    int err = vcpu->vm->ops->nmi(vcpu->vcpu);
    if (err < 0)
        log_warn(LOG_VM, "NMI: %s", strerror(-err));
}

void machine_nmi(struct vm *vm) { vm_on_vcpu(vm, 0, nmi, NULL); }

void machine_destroy(struct vm *vm)
{
    struct machine *m = vm->machine;
    if (!m)
        return;
    loop_del_timer(vm->loop, &m->com1.retry);
    loop_del_timer(vm->loop, &m->rtc.timer);
    loop_del_timer(vm->loop, &m->pm.timer);
    pc_pci_destroy(m->pci);
    pc_console_destroy(m->console);
    free(m); /* the devices are part of it */
    vm->machine = NULL;
}
