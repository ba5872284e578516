/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU of /dev/kvm: creating, running, kicking.
 *
 * A kick sets kvm_run.immediate_exit, which KVM_RUN looks at when it starts, and signals the thread
 * if it is inside already. kick: store flag, load runner; run: store runner, KVM_RUN loads flag. In
 * any order of the two one side sees the other, so no kick is lost. The flag is cleared only when
 * KVM_RUN has reported -EINTR: a kick that meets an exit for another reason holds for the next run.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/kvm/kvm.h"

int kvm_vcpu_create(struct engine_vm *evm, unsigned id, struct engine_vcpu **out)
{
    struct kvm_machine *vm = (struct kvm_machine *)evm;
    struct kvm_processor *p = calloc(1, sizeof(*p));
    int err;

    if (!p)
        return -ENOMEM;
    p->base.ops = evm->ops;
    p->run_size = vm->run_size;
    p->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
    if (p->fd < 0) {
        err = -errno;
        goto fail;
    }
    p->base.run = mmap(NULL, p->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
    if (p->base.run == MAP_FAILED) {
        err = -errno;
        close(p->fd);
        goto fail;
    }
    p->next = vm->vcpus;
    vm->vcpus = p;
    *out = &p->base;
    return 0;
fail:
    free(p);
    return err;
}

void kvm_vcpu_destroy(struct kvm_processor *p)
{
    munmap(p->base.run, p->run_size);
    close(p->fd);
    free(p);
}

int kvm_vcpu_run(struct engine_vcpu *v)
{
    struct kvm_processor *p = (struct kvm_processor *)v;
    _Atomic uint8_t *flag = (_Atomic uint8_t *)&v->run->immediate_exit;

    kvm_signal_admit();
    atomic_store(&p->runner, (pid_t)syscall(SYS_gettid));
    int r = ioctl(p->fd, KVM_RUN, 0) < 0 ? -errno : 0;
    atomic_store(&p->runner, 0);
    if (r == -EINTR)
        atomic_store(flag, 0);
    return r;
}

void kvm_vcpu_kick(struct engine_vcpu *v)
{
    struct kvm_processor *p = (struct kvm_processor *)v;

    atomic_store((_Atomic uint8_t *)&v->run->immediate_exit, 1);
    pid_t runner = atomic_load(&p->runner);
    if (runner)
        kvm_signal_send(runner);
}
