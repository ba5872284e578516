/* SPDX-License-Identifier: BSD-2-Clause */
/* The PC's PCI bus and the virtio devices of the description behind it. */
#ifndef MONITOR_MACHINE_PC_PCI_H
#define MONITOR_MACHINE_PC_PCI_H

#include "monitor/vm.h"

struct pc_pci;

enum { PC_PCI_SLOTS = 32 };

/* Slots: 0 host bridge; from 2 on: disks, networks, console, entropy, in this order. The console
 * writes to `console` (its input: pc_pci_console_sink). -errno with vm->error; *out is set in both
 * cases if memory allows. reset: port 0xcf9 asks for it. */
WARN_UNUSED int pc_pci_create(struct pc_pci **out, struct vm *vm,
                              const struct char_backend *console, void (*reset)(void *vm));
void pc_pci_destroy(struct pc_pci *);
/* After the devices' reset functions: places the BARs as firmware would. */
void pc_pci_reset(struct pc_pci *);
struct device *pc_pci_device(struct pc_pci *);
unsigned pc_pci_gsi(unsigned slot, unsigned pin); /* pin 0..3: INTA..INTD */
struct char_sink pc_pci_console_sink(struct pc_pci *);

#endif
