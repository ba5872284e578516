/* SPDX-License-Identifier: BSD-2-Clause */
/* The run loop of a vCPU's thread: run, then a handler by exit reason; and the whole VM's run. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/chardev.h"
#include "host/loop.h"
#include "lib/log.h"
#include "monitor/debug.h"
#include "monitor/internal.h"
#include "monitor/power_on.h"

static void fail_with_dump(struct vcpu *vcpu, const char *why)
{
    vm_dump_vcpu(vcpu->vm, vcpu->id, stderr);
    control_fail(vcpu->vm, "vCPU %u: %s", vcpu->id, why);
}

static void exit_io(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    struct kvm_run *run = vcpu->vcpu->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    bool write = run->io.direction == KVM_EXIT_IO_OUT;

    vcpu->unfinished = true;
    pthread_mutex_lock(&vm->lock);
    for (uint32_t i = 0; i < run->io.count; i++)
        bus_access(&vm->pio, run->io.port, data + (size_t)i * run->io.size, run->io.size, write);
    pthread_mutex_unlock(&vm->lock);
}

static void exit_mmio(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    struct kvm_run *run = vcpu->vcpu->run;

    vcpu->unfinished = true;
    if (run->mmio.len > sizeof(run->mmio.data)) {
        fail_with_dump(vcpu, "engine reports a memory access wider than 8 bytes");
        return;
    }
    pthread_mutex_lock(&vm->lock);
    bus_access(&vm->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len, run->mmio.is_write);
    pthread_mutex_unlock(&vm->lock);
}

/* With the interrupt controllers under the waist an engine waits by itself; one that comes here
 * nevertheless must not make us spin. */
static void exit_hlt(struct vcpu *vcpu)
{
    const struct timespec wait = { .tv_nsec = 1000000 };
    (void)vcpu;
    nanosleep(&wait, NULL);
}

static void exit_again(struct vcpu *vcpu) { (void)vcpu; }

static void triple_fault(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    struct kvm_regs regs;
    if (log_trace_mask & BIT(LOG_CPU))
        vm_dump_vcpu(vm, vcpu->id, stderr);
    if (vm->ops->get_regs(vcpu->vcpu, &regs) >= 0)
        trace(LOG_VM, "vCPU %u: triple fault, rip %#llx", vcpu->id, regs.rip);
    vm_end(vm, VM_TRIPLE_FAULT, 0);
}

static void exit_system_event(struct vcpu *vcpu)
{
    switch (vcpu->vcpu->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN: vm_end(vcpu->vm, VM_POWEROFF, 0); break;
    case KVM_SYSTEM_EVENT_RESET: vm_end(vcpu->vm, VM_RESET, 0); break;
    default: fail_with_dump(vcpu, "the guest reports that it crashed"); break;
    }
}

static void exit_debug(struct vcpu *vcpu)
{
    if (!vcpu->vm->on_debug || !vcpu->vm->on_debug(vcpu))
        fail_with_dump(vcpu, "debug exit without a debugger");
}

static void exit_fail_entry(struct vcpu *vcpu)
{
    char why[96];
    snprintf(why, sizeof(why), "the processor refuses to enter the guest (reason %#llx)",
             vcpu->vcpu->run->fail_entry.hardware_entry_failure_reason);
    fail_with_dump(vcpu, why);
}

static void exit_internal_error(struct vcpu *vcpu)
{
    const struct kvm_run *run = vcpu->vcpu->run;
    char why[192];
    int n = snprintf(why, sizeof(why), "engine %s gives up (internal error, suberror %u",
                     vcpu->vm->ops->name, run->internal.suberror);
    uint32_t count = MIN(run->internal.ndata, 4u);
    for (uint32_t i = 0; i < count; i++)
        n += snprintf(why + n, sizeof(why) - (size_t)n, ", %#llx", run->internal.data[i]);
    snprintf(why + n, sizeof(why) - (size_t)n, ")");
    fail_with_dump(vcpu, why);
}

static void exit_unknown(struct vcpu *vcpu)
{
    char why[96];
    uint32_t reason = vcpu->vcpu->run->exit_reason;
    snprintf(why, sizeof(why), "unexpected exit %u (%s)", reason, exit_name(reason));
    fail_with_dump(vcpu, why);
}

static void (*const exit_handler[])(struct vcpu *) = {
    [KVM_EXIT_UNKNOWN] = exit_unknown,
    [KVM_EXIT_IO] = exit_io,
    [KVM_EXIT_DEBUG] = exit_debug,
    [KVM_EXIT_HLT] = exit_hlt,
    [KVM_EXIT_MMIO] = exit_mmio,
    [KVM_EXIT_IRQ_WINDOW_OPEN] = exit_again,
    [KVM_EXIT_SHUTDOWN] = triple_fault,
    [KVM_EXIT_FAIL_ENTRY] = exit_fail_entry,
    [KVM_EXIT_INTR] = exit_again,
    [KVM_EXIT_INTERNAL_ERROR] = exit_internal_error,
    [KVM_EXIT_SYSTEM_EVENT] = exit_system_event,
};
_Static_assert(ARRAY_LEN(exit_handler) <= ARRAY_LEN(((struct vcpu *)0)->exits),
               "every exit has its counter");

static void run_once(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    __atomic_store_n(&vcpu->in_run, true, __ATOMIC_RELAXED);
    int r = vm->ops->run(vcpu->vcpu);
    __atomic_store_n(&vcpu->in_run, false, __ATOMIC_RELAXED);
    vcpu->unfinished = false;
    if (r == -EINTR || r == -EAGAIN) {
        vcpu->interrupted++;
        return;
    }
    if (r < 0) {
        char why[96];
        snprintf(why, sizeof(why), "engine %s cannot run it: %s", vm->ops->name, strerror(-r));
        fail_with_dump(vcpu, why);
        return;
    }
    uint32_t reason = vcpu->vcpu->run->exit_reason;
    vcpu->exits[MIN(reason, ARRAY_LEN(vcpu->exits) - 1)]++;
    if (reason < ARRAY_LEN(exit_handler) && exit_handler[reason])
        exit_handler[reason](vcpu);
    else
        exit_unknown(vcpu);
}

/* An access the bus has answered takes effect with the next run; state read before that would be
 * in the middle of an instruction. A kicked run does just that. */
static void finish_access(struct vcpu *vcpu)
{
    for (unsigned i = 0; vcpu->unfinished && i < 64; i++) {
        vcpu->vm->ops->kick(vcpu->vcpu);
        run_once(vcpu);
    }
}

void *vcpu_thread(void *arg)
{
    struct vcpu *vcpu = arg;
    char name[16];
    snprintf(name, sizeof(name), "vcpu%u", vcpu->id);
    pthread_setname_np(pthread_self(), name);
    control_enter(vcpu);
    for (;;) {
        if (control_wanted(vcpu)) {
            finish_access(vcpu);
            if (!control_park(vcpu))
                break;
        }
        run_once(vcpu);
    }
    control_leave(vcpu);
    return NULL;
}

/* ---- the whole VM ---- */

static int start_threads(struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpus; i++) {
        struct vcpu *v = &vm->vcpu[i];
        v->paused = v->self_paused = v->gone = v->unfinished = false;
        int err = pthread_create(&v->thread, NULL, vcpu_thread, v);
        if (err)
            return -err;
        v->started = true;
    }
    return 0;
}

/* All vCPUs are parked. Devices first, so that their wires are low before the controllers forget.
 */
static int reset(struct vm *vm)
{
    struct boot_state boot = { .mode = BOOT_LONG64 };
    int err;
    pthread_mutex_lock(&vm->lock);
    machine_reset(vm);
    pthread_mutex_unlock(&vm->lock);
    if ((err = power_on_restore(vm)) < 0)
        return vm_fail(vm, err, "reset: engine %s refuses its own power-on state: %s",
                       vm->ops->name, strerror(-err));
    if ((err = loader_load(vm, &boot)) < 0 || (err = boot_setup(vm, &boot)) < 0)
        return vm_fail(vm, err, "reset: cannot load the kernel again: %s", strerror(-err));
    return 0;
}

struct late_dump {
    struct vm *vm;
    unsigned id;
    pthread_mutex_t lock;
    pthread_cond_t done_changed;
    bool done;
};

static void *late_dump(void *arg)
{
    struct late_dump *d = arg;
    vm_dump_vcpu(d->vm, d->id, stderr);
    pthread_mutex_lock(&d->lock);
    d->done = true;
    pthread_cond_signal(&d->done_changed);
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* An engine that holds a vCPU may also hold whoever asks for its state, so another thread asks.
 * It and its arguments are left behind if it does not come back. */
static void dump_stuck(struct vm *vm, unsigned id)
{
    struct late_dump *d = calloc(1, sizeof(*d));
    struct timespec t;
    pthread_t thread;
    if (!d)
        return;
    d->vm = vm;
    d->id = id;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->done_changed, NULL);
    if (pthread_create(&thread, NULL, late_dump, d)) {
        free(d);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec++;
    pthread_mutex_lock(&d->lock);
    while (!d->done && pthread_cond_timedwait(&d->done_changed, &d->lock, &t) != ETIMEDOUT)
        ;
    bool done = d->done;
    pthread_mutex_unlock(&d->lock);
    if (!done) {
        log_err(LOG_VM, "vCPU %u: the engine does not give its registers either", id);
        pthread_detach(thread);
        return;
    }
    pthread_join(thread, NULL);
    free(d);
}

enum vm_outcome vm_run(struct vm *vm)
{
    int err = loop_start(vm->loop);
    if (!err)
        err = start_threads(vm);
    if (err)
        control_fail(vm, "cannot start: %s", strerror(-err));

    bool in_hand;
    for (;;) {
        control_wait_outcome(vm);
        in_hand = control_stop_all(vm);
        if (!in_hand || vm->outcome != VM_RESET || vm->config->no_reboot)
            break;
        if (reset(vm) < 0) {
            vm->outcome = VM_INTERNAL_ERROR;
            break;
        }
        control_restart(vm);
    }
    if (!in_hand) {
        for (unsigned i = 0; i < vm->vcpus; i++)
            if (vm->vcpu[i].stuck)
                dump_stuck(vm, i);
        vm_fail(vm, -EIO, "engine %s does not stop", vm->ops->name);
        vm->outcome = VM_INTERNAL_ERROR;
    }
    control_join(vm);
    loop_stop(vm->loop);
    if (vm->console)
        chardev_flush(vm->console);
    return (enum vm_outcome)vm->outcome;
}
