/* SPDX-License-Identifier: BSD-2-Clause */
/* The gdb stub: a debugger attaches over TCP to the running guest. [GDB] manual, "GDB Remote Serial
 * Protocol". */
#ifndef MONITOR_GDB_H
#define MONITOR_GDB_H

#include "monitor/vm.h"

/* Listens on config->gdb ("[HOST]:PORT"; no host: 127.0.0.1), stops the vCPUs before their first
 * instruction until a debugger says continue. Call between vm_create and vm_run. -errno with
 * vm->error. */
WARN_UNUSED int gdb_create(struct vm *);
/* Tells a connected debugger that the guest is gone, closes, frees. NULL vm->gdb is fine. */
void gdb_destroy(struct vm *);

#endif
