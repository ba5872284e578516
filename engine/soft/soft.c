/* SPDX-License-Identifier: BSD-2-Clause */
/* The software engine's table: system and VM level. [KVM] Documentation/virt/kvm/api.rst */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/soft/soft.h"
#include "isa/x86/native.h"

/* ---- system ---- */

struct soft_engine {
    struct engine base;
    bool translate, lockstep, no_bmi2, window, no_window;
    uint32_t code_size;
    const char *perf_map;
};

bool soft_translates(const struct engine_options *opt)
{
    char why[200];

    return opt && opt->soft ? !strcmp(opt->soft, "translate") || !strcmp(opt->soft, "lockstep")
                            : !xl_refused(why, sizeof(why));
}

static int soft_open(struct engine **out, const struct engine_options *opt)
{
    const bool translate = soft_translates(opt);
    char text[256];
    const bool lockstep = opt && opt->soft && !strcmp(opt->soft, "lockstep");
    struct soft_engine *e;
    int err;

    if (opt && opt->soft && !translate && strcmp(opt->soft, "interp"))
        return -EINVAL;
    err = soft_describe(opt, text, sizeof(text));
    if (err) {
        if (opt && opt->why && opt->why_size)
            snprintf(opt->why, opt->why_size, "%s", text);
        return err;
    }
    if (opt && opt->soft_cache && (opt->soft_cache < XL_CODE_MIN || opt->soft_cache > XL_CODE_MAX))
        return -EINVAL;
    e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->base.ops = &engine_soft;
    e->translate = translate;
    e->no_bmi2 = opt && opt->soft_no_bmi2;
    e->window = opt && opt->soft_window;
    e->no_window = opt && opt->soft_no_window;
    e->lockstep = lockstep;
    e->code_size = opt && opt->soft_cache ? (uint32_t)ALIGN_UP(opt->soft_cache, (uint64_t)0x1000)
                                          : XL_CODE_SIZE;
    e->perf_map = opt ? opt->perf_map : NULL;
    soft_tsc_khz();
    *out = &e->base;
    return 0;
}

static void soft_close(struct engine *e) { free(e); }

static int soft_check_extension(struct engine *e, unsigned cap)
{
    (void)e;
    switch (cap) {
    case KVM_CAP_IRQCHIP:
    case KVM_CAP_HLT:
    case KVM_CAP_USER_MEMORY:
    case KVM_CAP_SET_TSS_ADDR:
    case KVM_CAP_SET_IDENTITY_MAP_ADDR:
    case KVM_CAP_EXT_CPUID:
    case KVM_CAP_NOP_IO_DELAY:
    case KVM_CAP_PIT2:
    case KVM_CAP_PIT_STATE2:
    case KVM_CAP_MP_STATE:
    case KVM_CAP_DESTROY_MEMORY_REGION_WORKS:
    case KVM_CAP_JOIN_MEMORY_REGIONS_WORKS:
    case KVM_CAP_IRQ_ROUTING:
    case KVM_CAP_USER_NMI:
    case KVM_CAP_SET_GUEST_DEBUG:
    case KVM_CAP_ADJUST_CLOCK:
    case KVM_CAP_INTERNAL_ERROR_DATA:
    case KVM_CAP_VCPU_EVENTS:
    case KVM_CAP_DEBUGREGS:
    case KVM_CAP_X86_ROBUST_SINGLESTEP:
    case KVM_CAP_XSAVE:
    case KVM_CAP_XCRS:
    case KVM_CAP_GET_TSC_KHZ:
    case KVM_CAP_TSC_DEADLINE_TIMER:
    case KVM_CAP_SIGNAL_MSI:
    case KVM_CAP_READONLY_MEM:
    case KVM_CAP_IMMEDIATE_EXIT: return 1;
    case KVM_CAP_NR_MEMSLOTS: return SOFT_SLOTS;
    case KVM_CAP_NR_VCPUS: return SOFT_MAX_VCPUS;
    case KVM_CAP_MAX_VCPUS:
    case KVM_CAP_MAX_VCPU_ID: return SOFT_MAX_VCPUS;
    default: return 0;
    }
}

static int soft_get_supported_cpuid(struct engine *e, struct kvm_cpuid2 *out)
{
    struct x86_cpuid_entry entry[SOFT_MAX_CPUID];
    unsigned n = x86_model_cpuid(entry, SOFT_MAX_CPUID, soft_tsc_khz());

    (void)e;
    if (out->nent < n) {
        out->nent = n;
        return -E2BIG;
    }
    out->nent = n;
    for (unsigned i = 0; i < n; i++)
        out->entries[i] = (struct kvm_cpuid_entry2){ .function = entry[i].leaf,
                                                     .index = entry[i].subleaf,
                                                     .flags = entry[i].flags,
                                                     .eax = entry[i].eax,
                                                     .ebx = entry[i].ebx,
                                                     .ecx = entry[i].ecx,
                                                     .edx = entry[i].edx };
    return 0;
}

static int soft_get_msr_index_list(struct engine *e, struct kvm_msr_list *out)
{
    unsigned room = out->nmsrs;

    (void)e;
    out->nmsrs = x86_model_msr_count;
    if (room < x86_model_msr_count)
        return -E2BIG;
    memcpy(out->indices, x86_model_msrs, x86_model_msr_count * sizeof(uint32_t));
    return 0;
}

static int soft_create_vm(struct engine *e, struct engine_vm **out)
{
    struct soft_vm *vm = calloc(1, sizeof(*vm));
    struct soft_map *map = calloc(1, sizeof(*map));

    const struct soft_engine *se = (struct soft_engine *)e;
    int err = vm && map ? 0 : -ENOMEM;

    if (!err && se->perf_map)
        err = xl_perf_open(&vm->perf, se->perf_map);
    if (err) {
        free(vm);
        free(map);
        return err;
    }
    vm->base.ops = e->ops;
    vm->translate = se->translate;
    vm->no_bmi2 = se->no_bmi2;
    vm->window = se->window;
    vm->no_window = se->no_window;
    vm->lockstep = se->lockstep;
    vm->code_size = se->code_size;
    atomic_store(&vm->map, map);
    pthread_mutex_init(&vm->lock, NULL);
    pthread_mutex_init(&vm->code_lock, NULL);
    vm->clock_offset = -(int64_t)soft_tsc_to_ns(soft_rdtsc());
    *out = &vm->base;
    return 0;
}

/* ---- VM ---- */

static void soft_destroy_vm(struct engine_vm *evm)
{
    struct soft_vm *vm = soft_vm_of(evm);

    for (unsigned i = 0; i < vm->vcpus; i++)
        soft_vcpu_destroy(vm->vcpu[i]);
    if (vm->chip)
        irqchip_destroy(vm->chip);
    soft_memory_destroy(vm);
    xl_perf_close(vm->perf);
    pthread_mutex_destroy(&vm->lock);
    pthread_mutex_destroy(&vm->code_lock);
    free(vm);
}

/* Real hardware needs guest memory for these; we do not. */
static int soft_set_addr(struct engine_vm *vm, uint64_t gpa)
{
    (void)vm;
    (void)gpa;
    return 0;
}

static struct soft_vcpu *vcpu_by_id(struct soft_vm *vm, unsigned id)
{
    unsigned n = atomic_load(&vm->vcpus);

    for (unsigned i = 0; i < n; i++)
        if (vm->vcpu[i]->id == id)
            return vm->vcpu[i];
    return NULL;
}

static uint64_t chip_now(void *ctx)
{
    (void)ctx;
    return soft_tsc_to_ns(soft_rdtsc());
}

static uint64_t chip_guest_tsc(void *ctx, unsigned id)
{
    struct soft_vcpu *v = vcpu_by_id(ctx, id);

    return soft_rdtsc() + (v ? v->cpu.tsc_offset : 0);
}

static uint64_t chip_tsc_to_ns(void *ctx, unsigned id, uint64_t tsc)
{
    struct soft_vcpu *v = vcpu_by_id(ctx, id);
    uint64_t now = soft_rdtsc(), host = tsc - (v ? v->cpu.tsc_offset : 0);

    if ((int64_t)(host - now) < 0)
        return soft_tsc_to_ns(now);
    /* A deadline centuries away must not wrap into the past. */
    return soft_tsc_to_ns(now + MIN(host - now, BIT(61)));
}

static void chip_kick(void *ctx, unsigned id)
{
    struct soft_vcpu *v = vcpu_by_id(ctx, id);

    if (v)
        soft_attention(v, SOFT_IRQ);
}

static int soft_create_irqchip(struct engine_vm *evm)
{
    struct soft_vm *vm = soft_vm_of(evm);
    const struct irqchip_host host = { .ctx = vm,
                                       .now_ns = chip_now,
                                       .guest_tsc = chip_guest_tsc,
                                       .tsc_to_ns = chip_tsc_to_ns,
                                       .kick = chip_kick };
    int err;

    pthread_mutex_lock(&vm->lock);
    if (vm->chip)
        err = -EEXIST;
    else if (vm->vcpus)
        err = -EINVAL;
    else
        err = irqchip_create(&vm->chip, &host, SOFT_MAX_VCPUS);
    pthread_mutex_unlock(&vm->lock);
    return err;
}

static int soft_create_pit2(struct engine_vm *evm, const struct kvm_pit_config *config)
{
    struct soft_vm *vm = soft_vm_of(evm);
    int err;

    if (config->flags & ~(uint32_t)KVM_PIT_SPEAKER_DUMMY)
        return -EINVAL;
    pthread_mutex_lock(&vm->lock);
    if (!vm->chip)
        err = -ENOENT;
    else if (vm->pit)
        err = -EEXIST;
    else
        err = irqchip_create_pit(vm->chip, config->flags & KVM_PIT_SPEAKER_DUMMY);
    if (!err)
        vm->pit = true;
    pthread_mutex_unlock(&vm->lock);
    return err;
}

static int soft_irq_line(struct engine_vm *evm, uint32_t gsi, int level)
{
    struct soft_vm *vm = soft_vm_of(evm);

    return vm->chip ? irqchip_irq_line(vm->chip, gsi, level) : -ENXIO;
}

static int soft_signal_msi(struct engine_vm *evm, const struct kvm_msi *msi)
{
    struct soft_vm *vm = soft_vm_of(evm);

    if (msi->flags)
        return -EINVAL;
    return vm->chip
               ? irqchip_msi(vm->chip, (uint64_t)msi->address_hi << 32 | msi->address_lo, msi->data)
               : -ENXIO;
}

static int soft_set_gsi_routing(struct engine_vm *evm, const struct kvm_irq_routing *r)
{
    struct soft_vm *vm = soft_vm_of(evm);

    return vm->chip ? irqchip_set_routing(vm->chip, r) : -ENXIO;
}

static int soft_get_irqchip(struct engine_vm *evm, struct kvm_irqchip *c)
{
    struct soft_vm *vm = soft_vm_of(evm);

    return vm->chip ? irqchip_get(vm->chip, c) : -ENXIO;
}

static int soft_set_irqchip(struct engine_vm *evm, const struct kvm_irqchip *c)
{
    struct soft_vm *vm = soft_vm_of(evm);

    return vm->chip ? irqchip_set(vm->chip, c) : -ENXIO;
}

static int soft_get_pit2(struct engine_vm *evm, struct kvm_pit_state2 *s)
{
    struct soft_vm *vm = soft_vm_of(evm);

    return vm->chip && vm->pit ? irqchip_get_pit(vm->chip, s) : -ENXIO;
}

static int soft_set_pit2(struct engine_vm *evm, const struct kvm_pit_state2 *s)
{
    struct soft_vm *vm = soft_vm_of(evm);

    return vm->chip && vm->pit ? irqchip_set_pit(vm->chip, s) : -ENXIO;
}

static int soft_get_clock(struct engine_vm *evm, struct kvm_clock_data *c)
{
    struct soft_vm *vm = soft_vm_of(evm);

    memset(c, 0, sizeof(*c));
    pthread_mutex_lock(&vm->lock);
    c->clock = soft_tsc_to_ns(soft_rdtsc()) + (uint64_t)vm->clock_offset;
    pthread_mutex_unlock(&vm->lock);
    return 0;
}

static int soft_set_clock(struct engine_vm *evm, const struct kvm_clock_data *c)
{
    struct soft_vm *vm = soft_vm_of(evm);

    pthread_mutex_lock(&vm->lock);
    vm->clock_offset = (int64_t)(c->clock - soft_tsc_to_ns(soft_rdtsc()));
    pthread_mutex_unlock(&vm->lock);
    return 0;
}

const struct engine_ops engine_soft = {
    .name = "soft",
    .open = soft_open,
    .close = soft_close,
    .check_extension = soft_check_extension,
    .get_supported_cpuid = soft_get_supported_cpuid,
    .get_msr_index_list = soft_get_msr_index_list,
    .create_vm = soft_create_vm,
    .destroy_vm = soft_destroy_vm,
    .set_tss_addr = soft_set_addr,
    .set_identity_map_addr = soft_set_addr,
    .create_irqchip = soft_create_irqchip,
    .create_pit2 = soft_create_pit2,
    .set_user_memory_region = soft_set_memory,
    .get_dirty_log = soft_get_dirty_log,
    .irq_line = soft_irq_line,
    .signal_msi = soft_signal_msi,
    .set_gsi_routing = soft_set_gsi_routing,
    .get_irqchip = soft_get_irqchip,
    .set_irqchip = soft_set_irqchip,
    .get_pit2 = soft_get_pit2,
    .set_pit2 = soft_set_pit2,
    .get_clock = soft_get_clock,
    .set_clock = soft_set_clock,
    .memory_written = soft_memory_written,
    .create_vcpu = soft_create_vcpu,
    .run = soft_run,
    .kick = soft_kick,
    .set_cpuid2 = soft_set_cpuid2,
    .get_regs = soft_get_regs,
    .set_regs = soft_set_regs,
    .get_sregs = soft_get_sregs,
    .set_sregs = soft_set_sregs,
    .get_fpu = soft_get_fpu,
    .set_fpu = soft_set_fpu,
    .get_xsave = soft_get_xsave,
    .set_xsave = soft_set_xsave,
    .get_xcrs = soft_get_xcrs,
    .set_xcrs = soft_set_xcrs,
    .get_msrs = soft_get_msrs,
    .set_msrs = soft_set_msrs,
    .get_lapic = soft_get_lapic,
    .set_lapic = soft_set_lapic,
    .get_mp_state = soft_get_mp_state,
    .set_mp_state = soft_set_mp_state,
    .get_vcpu_events = soft_get_vcpu_events,
    .set_vcpu_events = soft_set_vcpu_events,
    .get_debugregs = soft_get_debugregs,
    .set_debugregs = soft_set_debugregs,
    .set_guest_debug = soft_set_guest_debug,
    .translate = soft_translate,
    .interrupt = soft_interrupt,
    .nmi = soft_nmi,
    .set_tsc_khz = soft_set_tsc_khz,
    .get_tsc_khz = soft_get_tsc_khz,
    .describe = soft_describe,
    .stats = soft_stats,
};
