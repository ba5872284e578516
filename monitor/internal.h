/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the monitor share among themselves: the vCPU threads' control. */
#ifndef MONITOR_INTERNAL_H
#define MONITOR_INTERNAL_H

#include "monitor/vm.h"

/* ---- control.c: who may be in run when ---- */
void control_init(struct vm_control *);
void control_destroy(struct vm_control *);
/* True if the vCPU must look at the control before it runs. */
static inline bool control_wanted(struct vcpu *vcpu)
{
    return __atomic_load_n(&vcpu->vm->control.request, __ATOMIC_ACQUIRE) || vcpu->self_paused;
}
/* Parks the calling vCPU's thread as long as somebody wants it; false: the thread must end. */
bool control_park(struct vcpu *);
/* The calling thread is this vCPU's / has left its loop. */
void control_enter(struct vcpu *);
void control_leave(struct vcpu *);
/* Waits until an outcome stands, or all vCPUs are out of run. False: some are stuck. */
void control_wait_outcome(struct vm *);
bool control_stop_all(struct vm *);
/* Clears the outcome; parked vCPUs go on. */
void control_restart(struct vm *);
/* Lets the threads end, waits for those that are not stuck. */
void control_join(struct vm *);
/* Ends the VM with a message in vm->error (kept if one stands already). */
void control_fail(struct vm *, const char *fmt, ...) PRINTF(2, 3);

/* ---- run.c ---- */
void *vcpu_thread(void *vcpu);

#endif
