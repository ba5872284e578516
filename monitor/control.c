/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stopping and restarting vCPU threads. One flag, `request`, says that somebody wants something;
 * it is set under the control's lock before the vCPUs are kicked, and read by each vCPU before it
 * enters run. A kick that comes between the read and run makes that run return at once (the
 * engine's contract), so no request is lost.
 *
 * Order of locks: device lock, then the control's.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/log.h"
#include "monitor/internal.h"

enum {
    STUCK_MS = 5000,
    REKICK_MS = 100,
};

static __thread struct vcpu *current;

void control_init(struct vm_control *c)
{
    pthread_condattr_t attr;
    *c = (struct vm_control){ .stuck_ms = STUCK_MS };
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
}

void control_destroy(struct vm_control *c)
{
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
}

static int outcome(struct vm *vm) { return __atomic_load_n(&vm->outcome, __ATOMIC_ACQUIRE); }

/* Under the lock, after each change of what the request is made of. */
static void update(struct vm *vm)
{
    struct vm_control *c = &vm->control;
    int request = c->pauses || c->leave || outcome(vm) != VM_RUNNING;
    __atomic_store_n(&c->request, request, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&c->changed);
}

static void kick_all(struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpus; i++)
        if (vm->vcpu[i].vcpu && &vm->vcpu[i] != current)
            vm->ops->kick(vm->vcpu[i].vcpu);
}

static bool out_of_run(const struct vcpu *v)
{
    return !v->started || v->paused || v->gone || v->stuck;
}

static void wait_ms(struct vm_control *c, unsigned ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += (long)ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&c->changed, &c->lock, &t);
}

/* Under the lock. A vCPU that is slow in a device is waited for; only one that sits in the
 * engine counts as stuck. */
static bool wait_all(struct vm *vm)
{
    unsigned in_run_ms = 0;
    kick_all(vm);
    for (;;) {
        bool all = true, in_device = false;
        for (unsigned i = 0; i < vm->vcpus; i++) {
            if (out_of_run(&vm->vcpu[i]))
                continue;
            all = false;
            in_device |= !__atomic_load_n(&vm->vcpu[i].in_run, __ATOMIC_RELAXED);
        }
        if (all)
            return true;
        if (in_device)
            in_run_ms = 0;
        else if (in_run_ms >= vm->control.stuck_ms)
            break;
        wait_ms(&vm->control, REKICK_MS);
        in_run_ms += REKICK_MS;
        kick_all(vm);
    }
    for (unsigned i = 0; i < vm->vcpus; i++)
        if (!out_of_run(&vm->vcpu[i])) {
            vm->vcpu[i].stuck = true;
            log_err(LOG_VM, "engine %s does not give vCPU %u back (waited %u ms)", vm->ops->name, i,
                    vm->control.stuck_ms);
        }
    return false;
}

void vm_end(struct vm *vm, enum vm_outcome how, int value)
{
    struct vm_control *c = &vm->control;
    pthread_mutex_lock(&c->lock);
    if (outcome(vm) == VM_RUNNING && how != VM_RUNNING) {
        vm->exit_value = value;
        __atomic_store_n(&vm->outcome, how, __ATOMIC_RELEASE);
        update(vm);
        kick_all(vm);
    }
    pthread_mutex_unlock(&c->lock);
}

void control_fail(struct vm *vm, const char *fmt, ...)
{
    va_list args;
    pthread_mutex_lock(&vm->control.lock);
    if (!vm->error[0]) {
        va_start(args, fmt);
        vsnprintf(vm->error, sizeof(vm->error), fmt, args);
        va_end(args);
    }
    pthread_mutex_unlock(&vm->control.lock);
    vm_end(vm, VM_INTERNAL_ERROR, 0);
}

void vm_pause(struct vm *vm)
{
    struct vm_control *c = &vm->control;
    /* The device lock is error-checking: unlocking fails unless this thread holds it. */
    bool held = pthread_mutex_unlock(&vm->lock) == 0;
    pthread_mutex_lock(&c->lock);
    c->pauses++;
    if (current && current->vm == vm)
        current->paused = current->self_paused = true;
    update(vm);
    bool ok = wait_all(vm);
    pthread_mutex_unlock(&c->lock);
    if (!ok)
        control_fail(vm, "a vCPU does not leave the engine");
    if (held)
        pthread_mutex_lock(&vm->lock);
}

void vm_resume(struct vm *vm)
{
    struct vm_control *c = &vm->control;
    pthread_mutex_lock(&c->lock);
    if (c->pauses)
        c->pauses--;
    update(vm);
    pthread_mutex_unlock(&c->lock);
}

void vm_on_vcpu(struct vm *vm, unsigned id, void (*fn)(struct vcpu *, void *), void *arg)
{
    if (id >= vm->vcpus)
        return;
    vm_pause(vm);
    if (!vm->vcpu[id].stuck)
        fn(&vm->vcpu[id], arg);
    vm_resume(vm);
}

void control_enter(struct vcpu *vcpu) { current = vcpu; }

void control_leave(struct vcpu *vcpu)
{
    struct vm_control *c = &vcpu->vm->control;
    pthread_mutex_lock(&c->lock);
    vcpu->gone = true;
    update(vcpu->vm);
    pthread_mutex_unlock(&c->lock);
    current = NULL;
}

bool control_park(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    struct vm_control *c = &vm->control;
    pthread_mutex_lock(&c->lock);
    vcpu->paused = true;
    pthread_cond_broadcast(&c->changed);
    while ((c->pauses || outcome(vm) != VM_RUNNING) && !c->leave)
        pthread_cond_wait(&c->changed, &c->lock);
    vcpu->paused = vcpu->self_paused = false;
    bool go_on = !c->leave;
    pthread_mutex_unlock(&c->lock);
    return go_on;
}

void control_wait_outcome(struct vm *vm)
{
    struct vm_control *c = &vm->control;
    pthread_mutex_lock(&c->lock);
    while (outcome(vm) == VM_RUNNING)
        pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

bool control_stop_all(struct vm *vm)
{
    struct vm_control *c = &vm->control;
    pthread_mutex_lock(&c->lock);
    bool ok = wait_all(vm);
    pthread_mutex_unlock(&c->lock);
    return ok;
}

void control_restart(struct vm *vm)
{
    struct vm_control *c = &vm->control;
    pthread_mutex_lock(&c->lock);
    __atomic_store_n(&vm->outcome, VM_RUNNING, __ATOMIC_RELEASE);
    update(vm);
    pthread_mutex_unlock(&c->lock);
}

void control_join(struct vm *vm)
{
    struct vm_control *c = &vm->control;
    pthread_mutex_lock(&c->lock);
    c->leave = true;
    update(vm);
    kick_all(vm);
    pthread_mutex_unlock(&c->lock);
    bool all = true;
    for (unsigned i = 0; i < vm->vcpus; i++) {
        struct vcpu *v = &vm->vcpu[i];
        all &= !v->stuck;
        if (!v->started || v->stuck)
            continue;
        pthread_join(v->thread, NULL);
        v->started = false;
    }
    pthread_mutex_lock(&c->lock);
    c->leave = !all; /* a stuck one that comes back after all shall end too */
    update(vm);
    pthread_mutex_unlock(&c->lock);
}
