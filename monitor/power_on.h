/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine's state before the first instruction, kept so that a reset can put it back. */
#ifndef MONITOR_POWER_ON_H
#define MONITOR_POWER_ON_H

#include "monitor/vm.h"

/* Keeps the state of interrupt controllers and vCPUs in vm->power_on. -ENOMEM or the engine's
 * error. */
WARN_UNUSED int power_on_save(struct vm *);
/* Puts it back; all vCPUs are out of run, all devices' wires are low. */
WARN_UNUSED int power_on_restore(struct vm *);
void power_on_destroy(struct vm *);

#endif
