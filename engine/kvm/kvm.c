/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine over Linux's /dev/kvm: every function is its ioctl. Documentation/virt/kvm/api.rst */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { API_VERSION = 12, CPUID_MOST = 4096 };

/* What the monitor cannot do without. */
static const struct {
    unsigned cap;
    const char *name;
} required[] = {
    { KVM_CAP_USER_MEMORY, "USER_MEMORY" },
    { KVM_CAP_DESTROY_MEMORY_REGION_WORKS, "DESTROY_MEMORY_REGION_WORKS" },
    { KVM_CAP_EXT_CPUID, "EXT_CPUID" },
    { KVM_CAP_IRQCHIP, "IRQCHIP" },
    { KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING" },
    { KVM_CAP_PIT2, "PIT2" },
    { KVM_CAP_PIT_STATE2, "PIT_STATE2" },
    { KVM_CAP_MP_STATE, "MP_STATE" },
    { KVM_CAP_VCPU_EVENTS, "VCPU_EVENTS" },
    { KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI" },
    { KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT" },
};

int kvm_ioctl(int fd, unsigned long request, const void *arg)
{
    int r = ioctl(fd, request, arg);

    return r < 0 ? -errno : r;
}

/* ---- system ---- */

static int fail(const struct engine_options *opt, int err, const char *fmt, ...) PRINTF(3, 4);
static int fail(const struct engine_options *opt, int err, const char *fmt, ...)
{
    if (opt && opt->why && opt->why_size) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(opt->why, opt->why_size, fmt, args);
        va_end(args);
    }
    return err;
}

static int open_device(const struct engine_options *opt, const char *path, int *out)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd >= 0) {
        *out = fd;
        return 0;
    }
    int err = -errno;
    switch (err) {
    case -ENOENT: return fail(opt, err, "no %s: KVM is not loaded or the machine has none", path);
    case -ENXIO:
    case -ENODEV: return fail(opt, err, "%s leads to no driver: KVM is not loaded", path);
    case -EACCES:
    case -EPERM: return fail(opt, err, "no permission on %s: be in its group (kvm)", path);
    default: return fail(opt, err, "%s: %s", path, strerror(-err));
    }
}

static int check_device(const struct engine_options *opt, const char *path, int fd)
{
    int version = kvm_ioctl(fd, KVM_GET_API_VERSION, NULL);
    char missing[256] = "";

    if (version == -ENOTTY || version == -EINVAL)
        return fail(opt, -ENOTTY, "%s is not a KVM device", path);
    if (version < 0)
        return fail(opt, version, "%s: %s", path, strerror(-version));
    if (version != API_VERSION)
        return fail(opt, -EPROTO, "%s speaks KVM API version %d, not %d", path, version,
                    API_VERSION);
    for (unsigned i = 0; i < ARRAY_LEN(required); i++) {
        if (ioctl(fd, KVM_CHECK_EXTENSION, (unsigned long)required[i].cap) > 0)
            continue;
        size_t n = strlen(missing);
        snprintf(missing + n, sizeof(missing) - n, "%s%s", n ? ", " : "", required[i].name);
    }
    if (missing[0])
        return fail(opt, -EOPNOTSUPP, "the KVM of %s is too old, it lacks: %s", path, missing);
    return 0;
}

static int sys_open(struct engine **out, const struct engine_options *opt)
{
    const char *path = opt && opt->device ? opt->device : "/dev/kvm";
    struct kvm_engine *e = calloc(1, sizeof(*e));

    if (!e)
        return fail(opt, -ENOMEM, "out of memory");
    e->base.ops = &engine_kvm;
    e->fd = -1;
    int err = open_device(opt, path, &e->fd);
    if (!err)
        err = check_device(opt, path, e->fd);
    if (err)
        goto out;
    int size = kvm_ioctl(e->fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
    if (size < (int)sizeof(struct kvm_run)) {
        err = fail(opt, size < 0 ? size : -EPROTO, "%s: bad size of kvm_run: %d", path, size);
        goto out;
    }
    e->run_size = (size_t)size;
    err = kvm_signal_prepare();
    if (err) {
        err = fail(opt, err, "signal handler: %s", strerror(-err));
        goto out;
    }
    *out = &e->base;
    return 0;
out:
    if (e->fd >= 0)
        close(e->fd);
    free(e);
    return err;
}

static int sys_fd(struct engine *e) { return ((struct kvm_engine *)e)->fd; }

static void sys_close(struct engine *e)
{
    if (!e)
        return;
    close(sys_fd(e));
    free(e);
}

static int sys_check_extension(struct engine *e, unsigned cap)
{
    int r = ioctl(sys_fd(e), KVM_CHECK_EXTENSION, (unsigned long)cap);

    return r < 0 ? -errno : r;
}

/* KVM says only that a table is too small, not how large it must be; we find out, so that a caller
 * whose table is too small (-E2BIG) learns the number from nent. */
static int sys_get_supported_cpuid(struct engine *e, struct kvm_cpuid2 *out)
{
    int r = -E2BIG;

    for (unsigned n = 128; r == -E2BIG && n <= CPUID_MOST; n *= 2) {
        struct kvm_cpuid2 *t = calloc(1, sizeof(*t) + n * sizeof(t->entries[0]));
        if (!t)
            return -ENOMEM;
        t->nent = n;
        r = kvm_ioctl(sys_fd(e), KVM_GET_SUPPORTED_CPUID, t);
        if (r >= 0 && t->nent > n)
            r = -EPROTO;
        if (r >= 0) {
            unsigned room = out->nent;
            out->nent = t->nent;
            bool fits = t->nent <= room;
            if (fits)
                memcpy(out->entries, t->entries, t->nent * sizeof(t->entries[0]));
            free(t);
            return fits ? 0 : -E2BIG;
        }
        free(t);
    }
    return r;
}

static int sys_get_msr_index_list(struct engine *e, struct kvm_msr_list *l)
{
    return kvm_ioctl(sys_fd(e), KVM_GET_MSR_INDEX_LIST, l);
}

static int sys_create_vm(struct engine *e, struct engine_vm **out)
{
    struct kvm_machine *vm = calloc(1, sizeof(*vm));

    if (!vm)
        return -ENOMEM;
    do { /* a signal while KVM takes its locks is no reason to fail */
        vm->fd = ioctl(sys_fd(e), KVM_CREATE_VM, 0ul);
    } while (vm->fd < 0 && errno == EINTR);
    if (vm->fd < 0) {
        int err = -errno;
        free(vm);
        return err;
    }
    vm->base.ops = &engine_kvm;
    vm->run_size = ((struct kvm_engine *)e)->run_size;
    *out = &vm->base;
    return 0;
}

/* ---- VM ---- */

static int vm_fd(struct engine_vm *vm) { return ((struct kvm_machine *)vm)->fd; }

static void vm_destroy(struct engine_vm *evm)
{
    struct kvm_machine *vm = (struct kvm_machine *)evm;

    if (!vm)
        return;
    while (vm->vcpus) {
        struct kvm_processor *p = vm->vcpus;
        vm->vcpus = p->next;
        kvm_vcpu_destroy(p);
    }
    close(vm->fd);
    free(vm);
}

static int vm_set_tss_addr(struct engine_vm *vm, uint64_t gpa)
{
    return ioctl(vm_fd(vm), KVM_SET_TSS_ADDR, (unsigned long)gpa) < 0 ? -errno : 0;
}

static int vm_create_irqchip(struct engine_vm *vm)
{
    return kvm_ioctl(vm_fd(vm), KVM_CREATE_IRQCHIP, NULL);
}

static int vm_set_identity_map_addr(struct engine_vm *vm, uint64_t gpa)
{
    return kvm_ioctl(vm_fd(vm), KVM_SET_IDENTITY_MAP_ADDR, &gpa);
}

static int vm_irq_line(struct engine_vm *vm, uint32_t gsi, int level)
{
    struct kvm_irq_level l = { .irq = gsi, .level = (uint32_t)level };

    return kvm_ioctl(vm_fd(vm), KVM_IRQ_LINE, &l);
}

#define VM_CALL(name, request, type)                                                               \
    static int vm_##name(struct engine_vm *vm, type *arg)                                          \
    {                                                                                              \
        return kvm_ioctl(vm_fd(vm), request, arg);                                                 \
    }
VM_CALL(create_pit2, KVM_CREATE_PIT2, const struct kvm_pit_config)
VM_CALL(set_user_memory_region, KVM_SET_USER_MEMORY_REGION,
        const struct kvm_userspace_memory_region)
VM_CALL(get_dirty_log, KVM_GET_DIRTY_LOG, struct kvm_dirty_log)
VM_CALL(signal_msi, KVM_SIGNAL_MSI, const struct kvm_msi)
VM_CALL(set_gsi_routing, KVM_SET_GSI_ROUTING, const struct kvm_irq_routing)
VM_CALL(irqfd, KVM_IRQFD, const struct kvm_irqfd)
VM_CALL(ioeventfd, KVM_IOEVENTFD, const struct kvm_ioeventfd)
VM_CALL(get_irqchip, KVM_GET_IRQCHIP, struct kvm_irqchip)
VM_CALL(set_irqchip, KVM_SET_IRQCHIP, const struct kvm_irqchip)
VM_CALL(get_pit2, KVM_GET_PIT2, struct kvm_pit_state2)
VM_CALL(set_pit2, KVM_SET_PIT2, const struct kvm_pit_state2)
VM_CALL(get_clock, KVM_GET_CLOCK, struct kvm_clock_data)
VM_CALL(set_clock, KVM_SET_CLOCK, const struct kvm_clock_data)

/* ---- vCPU ---- */

static int vcpu_fd(struct engine_vcpu *v) { return ((struct kvm_processor *)v)->fd; }

static int vcpu_nmi(struct engine_vcpu *v) { return kvm_ioctl(vcpu_fd(v), KVM_NMI, NULL); }

static int vcpu_set_tsc_khz(struct engine_vcpu *v, uint32_t khz)
{
    return ioctl(vcpu_fd(v), KVM_SET_TSC_KHZ, (unsigned long)khz) < 0 ? -errno : 0;
}

static int vcpu_get_tsc_khz(struct engine_vcpu *v)
{
    return kvm_ioctl(vcpu_fd(v), KVM_GET_TSC_KHZ, NULL);
}

#define VCPU_CALL(name, request, type)                                                             \
    static int vcpu_##name(struct engine_vcpu *v, type *arg)                                       \
    {                                                                                              \
        return kvm_ioctl(vcpu_fd(v), request, arg);                                                \
    }
VCPU_CALL(set_cpuid2, KVM_SET_CPUID2, const struct kvm_cpuid2)
VCPU_CALL(get_regs, KVM_GET_REGS, struct kvm_regs)
VCPU_CALL(set_regs, KVM_SET_REGS, const struct kvm_regs)
VCPU_CALL(get_sregs, KVM_GET_SREGS, struct kvm_sregs)
VCPU_CALL(set_sregs, KVM_SET_SREGS, const struct kvm_sregs)
VCPU_CALL(get_fpu, KVM_GET_FPU, struct kvm_fpu)
VCPU_CALL(set_fpu, KVM_SET_FPU, const struct kvm_fpu)
VCPU_CALL(get_xsave, KVM_GET_XSAVE, struct kvm_xsave)
VCPU_CALL(set_xsave, KVM_SET_XSAVE, const struct kvm_xsave)
VCPU_CALL(get_xcrs, KVM_GET_XCRS, struct kvm_xcrs)
VCPU_CALL(set_xcrs, KVM_SET_XCRS, const struct kvm_xcrs)
VCPU_CALL(get_msrs, KVM_GET_MSRS, struct kvm_msrs)
VCPU_CALL(set_msrs, KVM_SET_MSRS, const struct kvm_msrs)
VCPU_CALL(get_lapic, KVM_GET_LAPIC, struct kvm_lapic_state)
VCPU_CALL(set_lapic, KVM_SET_LAPIC, const struct kvm_lapic_state)
VCPU_CALL(get_mp_state, KVM_GET_MP_STATE, struct kvm_mp_state)
VCPU_CALL(set_mp_state, KVM_SET_MP_STATE, const struct kvm_mp_state)
VCPU_CALL(get_vcpu_events, KVM_GET_VCPU_EVENTS, struct kvm_vcpu_events)
VCPU_CALL(set_vcpu_events, KVM_SET_VCPU_EVENTS, const struct kvm_vcpu_events)
VCPU_CALL(get_debugregs, KVM_GET_DEBUGREGS, struct kvm_debugregs)
VCPU_CALL(set_debugregs, KVM_SET_DEBUGREGS, const struct kvm_debugregs)
VCPU_CALL(set_guest_debug, KVM_SET_GUEST_DEBUG, const struct kvm_guest_debug)
VCPU_CALL(translate, KVM_TRANSLATE, struct kvm_translation)
VCPU_CALL(interrupt, KVM_INTERRUPT, const struct kvm_interrupt)

const struct engine_ops engine_kvm = {
    .name = "kvm",
    .open = sys_open,
    .close = sys_close,
    .check_extension = sys_check_extension,
    .get_supported_cpuid = sys_get_supported_cpuid,
    .get_msr_index_list = sys_get_msr_index_list,
    .create_vm = sys_create_vm,
    .destroy_vm = vm_destroy,
    .set_tss_addr = vm_set_tss_addr,
    .set_identity_map_addr = vm_set_identity_map_addr,
    .create_irqchip = vm_create_irqchip,
    .create_pit2 = vm_create_pit2,
    .set_user_memory_region = vm_set_user_memory_region,
    .get_dirty_log = vm_get_dirty_log,
    .irq_line = vm_irq_line,
    .signal_msi = vm_signal_msi,
    .set_gsi_routing = vm_set_gsi_routing,
    .irqfd = vm_irqfd,
    .ioeventfd = vm_ioeventfd,
    .get_irqchip = vm_get_irqchip,
    .set_irqchip = vm_set_irqchip,
    .get_pit2 = vm_get_pit2,
    .set_pit2 = vm_set_pit2,
    .get_clock = vm_get_clock,
    .set_clock = vm_set_clock,
    .create_vcpu = kvm_vcpu_create,
    .run = kvm_vcpu_run,
    .kick = kvm_vcpu_kick,
    .set_cpuid2 = vcpu_set_cpuid2,
    .get_regs = vcpu_get_regs,
    .set_regs = vcpu_set_regs,
    .get_sregs = vcpu_get_sregs,
    .set_sregs = vcpu_set_sregs,
    .get_fpu = vcpu_get_fpu,
    .set_fpu = vcpu_set_fpu,
    .get_xsave = vcpu_get_xsave,
    .set_xsave = vcpu_set_xsave,
    .get_xcrs = vcpu_get_xcrs,
    .set_xcrs = vcpu_set_xcrs,
    .get_msrs = vcpu_get_msrs,
    .set_msrs = vcpu_set_msrs,
    .get_lapic = vcpu_get_lapic,
    .set_lapic = vcpu_set_lapic,
    .get_mp_state = vcpu_get_mp_state,
    .set_mp_state = vcpu_set_mp_state,
    .get_vcpu_events = vcpu_get_vcpu_events,
    .set_vcpu_events = vcpu_set_vcpu_events,
    .get_debugregs = vcpu_get_debugregs,
    .set_debugregs = vcpu_set_debugregs,
    .set_guest_debug = vcpu_set_guest_debug,
    .translate = vcpu_translate,
    .interrupt = vcpu_interrupt,
    .nmi = vcpu_nmi,
    .set_tsc_khz = vcpu_set_tsc_khz,
    .get_tsc_khz = vcpu_get_tsc_khz,
};
