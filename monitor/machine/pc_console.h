/* SPDX-License-Identifier: BSD-2-Clause */
/* The PC's console: the host's byte stream, shared by several devices. */
#ifndef MONITOR_MACHINE_PC_CONSOLE_H
#define MONITOR_MACHINE_PC_CONSOLE_H

#include "monitor/vm.h"

struct pc_console;
enum pc_console_port {
    PC_CONSOLE_COM1,
    PC_CONSOLE_VIRTIO,
    PC_CONSOLE_VGA,
    PC_CONSOLE_DEBUG,
    PC_CONSOLE_PORTS
};

/* Opens what config->console names and puts it into vm->console. -errno with vm->error. */
WARN_UNUSED int pc_console_create(struct pc_console **out, struct vm *);
void pc_console_destroy(struct pc_console *);
/* Where a device writes to. */
struct char_backend pc_console_backend(struct pc_console *, enum pc_console_port);
/* What is typed goes to the device that wrote last, of those that take input; at first to the
 * first attached. */
void pc_console_attach(struct pc_console *, enum pc_console_port, struct char_sink);

#endif
