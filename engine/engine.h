/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The waist: what runs vCPUs, as a table of functions that mirror the KVM ioctls one to one.
 * Arguments are the structures of <linux/kvm.h>; meaning, errors and defaults are those of Linux's
 * Documentation/virt/kvm/api.rst. All return 0 (or the ioctl's non-negative result) or -errno.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <linux/kvm.h>
#include <stdio.h>

#include "lib/bits.h"

struct engine_ops;

/* Engines embed these as the first member of their own structures. */
struct engine {
    const struct engine_ops *ops;
};
struct engine_vm {
    const struct engine_ops *ops;
};
struct engine_vcpu {
    const struct engine_ops *ops;
    struct kvm_run *run; /* kvm_run shared with the caller */
};

struct engine_options {
    const char *device;  /* kvm: path of the device, default /dev/kvm */
    const char *soft;    /* soft: "interp", "translate", "lockstep"; NULL: default */
    bool soft_no_window; /* soft: no memory access by the host's MMU, */
    bool soft_window;    /* or those of all user code, for tests */
    bool soft_no_bmi2;   /* soft: translate as for a host without BMI2, for tests */
    uint64_t soft_cache; /* soft: bytes of translated code a vCPU keeps; 0: default */
    const char
        *perf_map; /* soft: not NULL: write /tmp/perf-PID.map; a file of guest symbols, or "" */
    char *why;     /* where a failing open puts one line on the cause; may be NULL */
    size_t why_size;
};

struct engine_ops {
    const char *name; /* "kvm", "soft" */

    /* ---- system ---- */
    int (*open)(struct engine **out, const struct engine_options *opt);
    void (*close)(struct engine *);
    int (*check_extension)(struct engine *, unsigned cap);
    int (*get_supported_cpuid)(struct engine *, struct kvm_cpuid2 *);
    int (*get_msr_index_list)(struct engine *, struct kvm_msr_list *);
    int (*create_vm)(struct engine *, struct engine_vm **out);

    /* ---- VM; order of set-up as for KVM: tss/identity address, irqchip, pit, memory, vCPUs ----
     */
    void (*destroy_vm)(
        struct engine_vm *); /* all vCPU threads have left run; destroys the vCPUs too */
    int (*set_tss_addr)(struct engine_vm *, uint64_t gpa);
    int (*set_identity_map_addr)(struct engine_vm *, uint64_t gpa);
    int (*create_irqchip)(struct engine_vm *);
    int (*create_pit2)(struct engine_vm *, const struct kvm_pit_config *);
    int (*set_user_memory_region)(struct engine_vm *, const struct kvm_userspace_memory_region *);
    int (*get_dirty_log)(struct engine_vm *, struct kvm_dirty_log *);
    int (*irq_line)(struct engine_vm *, uint32_t gsi, int level);
    int (*signal_msi)(struct engine_vm *, const struct kvm_msi *);
    int (*set_gsi_routing)(struct engine_vm *, const struct kvm_irq_routing *);
    int (*irqfd)(struct engine_vm *, const struct kvm_irqfd *);         /* may be NULL */
    int (*ioeventfd)(struct engine_vm *, const struct kvm_ioeventfd *); /* may be NULL */
    int (*get_irqchip)(struct engine_vm *, struct kvm_irqchip *);
    int (*set_irqchip)(struct engine_vm *, const struct kvm_irqchip *);
    int (*get_pit2)(struct engine_vm *, struct kvm_pit_state2 *);
    int (*set_pit2)(struct engine_vm *, const struct kvm_pit_state2 *);
    int (*get_clock)(struct engine_vm *, struct kvm_clock_data *);
    int (*set_clock)(struct engine_vm *, const struct kvm_clock_data *);
    /* Not in KVM: the caller (a device by DMA, a loader, the debugger) wrote guest memory. Must be
     * called after the bytes are in place and before the guest is told. Hardware engines: NULL. Any
     * thread. */
    void (*memory_written)(struct engine_vm *, uint64_t gpa, uint64_t len);

    /* ---- vCPU; all but kick only on the vCPU's thread or while it is out of run ---- */
    int (*create_vcpu)(struct engine_vm *, unsigned id, struct engine_vcpu **out);
    int (*run)(struct engine_vcpu
                   *); /* 0: exit in run->exit_reason; -EINTR: kicked; others: engine failure */
    /* Makes run return -EINTR soon: now if it runs, else on its next call (run->immediate_exit
     * semantics, consumed by that call). Any thread, async-signal-safe. */
    void (*kick)(struct engine_vcpu *);
    int (*set_cpuid2)(struct engine_vcpu *, const struct kvm_cpuid2 *);
    int (*get_regs)(struct engine_vcpu *, struct kvm_regs *);
    int (*set_regs)(struct engine_vcpu *, const struct kvm_regs *);
    int (*get_sregs)(struct engine_vcpu *, struct kvm_sregs *);
    int (*set_sregs)(struct engine_vcpu *, const struct kvm_sregs *);
    int (*get_fpu)(struct engine_vcpu *, struct kvm_fpu *);
    int (*set_fpu)(struct engine_vcpu *, const struct kvm_fpu *);
    int (*get_xsave)(struct engine_vcpu *, struct kvm_xsave *);
    int (*set_xsave)(struct engine_vcpu *, const struct kvm_xsave *);
    int (*get_xcrs)(struct engine_vcpu *, struct kvm_xcrs *);
    int (*set_xcrs)(struct engine_vcpu *, const struct kvm_xcrs *);
    int (*get_msrs)(struct engine_vcpu *, struct kvm_msrs *);       /* number done, as the ioctl */
    int (*set_msrs)(struct engine_vcpu *, const struct kvm_msrs *); /* number done, as the ioctl */
    int (*get_lapic)(struct engine_vcpu *, struct kvm_lapic_state *);
    int (*set_lapic)(struct engine_vcpu *, const struct kvm_lapic_state *);
    int (*get_mp_state)(struct engine_vcpu *, struct kvm_mp_state *);
    int (*set_mp_state)(struct engine_vcpu *, const struct kvm_mp_state *);
    int (*get_vcpu_events)(struct engine_vcpu *, struct kvm_vcpu_events *);
    int (*set_vcpu_events)(struct engine_vcpu *, const struct kvm_vcpu_events *);
    int (*get_debugregs)(struct engine_vcpu *, struct kvm_debugregs *);
    int (*set_debugregs)(struct engine_vcpu *, const struct kvm_debugregs *);
    int (*set_guest_debug)(struct engine_vcpu *, const struct kvm_guest_debug *);
    int (*translate)(struct engine_vcpu *, struct kvm_translation *);
    int (*interrupt)(struct engine_vcpu *, const struct kvm_interrupt *);
    int (*nmi)(struct engine_vcpu *);
    int (*set_tsc_khz)(struct engine_vcpu *, uint32_t khz);
    int (*get_tsc_khz)(struct engine_vcpu *);

    /* One line on how it would run guests on this host; 0, or -errno if it would not. May be NULL.
     */
    int (*describe)(const struct engine_options *, char *text, size_t size);

    /* Writes "name value" lines of counters for --stats. May be NULL. */
    void (*stats)(struct engine_vm *, FILE *);
};

extern const struct engine_ops engine_kvm;
extern const struct engine_ops engine_soft;

/* All engines of this build, NULL-terminated, best first (list.c). */
extern const struct engine_ops *const engine_list[];

#endif
