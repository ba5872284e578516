/* SPDX-License-Identifier: BSD-2-Clause */
/* The kvm engine's own structures: file descriptors of Linux's /dev/kvm. */
#ifndef ENGINE_KVM_KVM_H
#define ENGINE_KVM_KVM_H

#include <stdatomic.h>
#include <sys/types.h>

#include "engine/engine.h"

struct kvm_engine {
    struct engine base;
    int fd;
    size_t run_size;
};

struct kvm_machine {
    struct engine_vm base;
    int fd;
    size_t run_size;
    struct kvm_processor *vcpus; /* list; only create_vcpu and destroy_vm touch it */
};

struct kvm_processor {
    struct engine_vcpu base;
    int fd;
    size_t run_size;
    struct kvm_processor *next;
    _Atomic pid_t runner; /* thread inside KVM_RUN, else 0 */
};

/* ioctl with -errno as its result. */
int kvm_ioctl(int fd, unsigned long request, const void *arg);

/* signal.c: what gets a thread out of KVM_RUN. */
WARN_UNUSED int kvm_signal_prepare(void); /* once per process, at open */
void kvm_signal_admit(void);              /* on each thread that runs vCPUs */
void kvm_signal_send(pid_t thread);

/* vcpu.c */
int kvm_vcpu_create(struct engine_vm *, unsigned id, struct engine_vcpu **out);
void kvm_vcpu_destroy(struct kvm_processor *);
int kvm_vcpu_run(struct engine_vcpu *);
void kvm_vcpu_kick(struct engine_vcpu *);

#endif
