/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the run loop offers a debugger. vm->on_debug is called on the vCPU's thread after a
 * KVM_EXIT_DEBUG (run->debug.arch says why), without the device lock. True: taken care of; the
 * debugger has called vm_pause, and the vCPU parks until vm_resume. False: not the debugger's; the
 * VM ends with a state dump. The vCPU counts as out of run from the moment vm_pause is called on
 * its thread, so that the debugger's own thread can use vm_on_vcpu on it at once.
 */
#ifndef MONITOR_DEBUG_H
#define MONITOR_DEBUG_H

#include "monitor/vm.h"

/* Name of a KVM exit reason, "IO"; "exit N" never: "?" for those this build does not know. */
const char *exit_name(unsigned reason);

#endif
