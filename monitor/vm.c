/* SPDX-License-Identifier: BSD-2-Clause */
/* Building and taking down one VM: engine, interrupt controllers, machine, vCPUs, kernel. */
#include "monitor/vm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/selftest.h"
#include "host/loop.h"
#include "lib/log.h"
#include "monitor/cpuid.h"
#include "monitor/internal.h"
#include "monitor/power_on.h"

enum { MIN_MEMORY = 2 << 20, PAGE = 4096, SELFTEST_MS = 3000 };

int vm_fail(struct vm *vm, int err, const char *fmt, ...)
{
    va_list args;
    /* The first message is the cause; what fails after it is a consequence. */
    if (!vm->error[0]) {
        va_start(args, fmt);
        vsnprintf(vm->error, sizeof(vm->error), fmt, args);
        va_end(args);
    }
    return err;
}

static int check_config(struct vm *vm)
{
    const struct config *c = vm->config;
    if (c->cpus < 1 || c->cpus > CONFIG_MAX_CPUS)
        return vm_fail(vm, -EINVAL, "--cpus: 1 to %d", CONFIG_MAX_CPUS);
    if (c->memory < MIN_MEMORY)
        return vm_fail(vm, -EINVAL, "--memory: at least %d MiB", MIN_MEMORY >> 20);
    if (c->memory % PAGE)
        return vm_fail(vm, -EINVAL, "--memory: a multiple of 4 KiB");
    if (c->memory > GiB(1 << 20))
        return vm_fail(vm, -EINVAL, "--memory: too large");
    if (c->perf_map && *c->perf_map && access(c->perf_map, R_OK))
        return vm_fail(vm, -errno, "--perf-map %s: %s", c->perf_map, strerror(errno));
    return 0;
}

static int open_engine(struct vm *vm, const struct engine_ops *ops, char *why, size_t size)
{
    struct engine_options opt = { .soft = vm->config->soft_mode,
                                  .soft_cache = vm->config->soft_cache,
                                  .soft_no_window = vm->config->soft_no_window,
                                  .soft_window = vm->config->soft_window,
                                  .soft_no_bmi2 = vm->config->soft_no_bmi2,
                                  .perf_map = vm->config->perf_map,
                                  .why = why,
                                  .why_size = size };
    if (size)
        *why = 0;
    int err = ops->open(&vm->engine, &opt);
    if (err < 0)
        return err;
    err = ops->create_vm(vm->engine, &vm->evm);
    if (err < 0) {
        ops->close(vm->engine);
        vm->engine = NULL;
        return err;
    }
    vm->ops = ops;
    return 0;
}

static int open_named(struct vm *vm, const char *name)
{
    for (unsigned i = 0; engine_list[i]; i++) {
        if (strcmp(name, engine_list[i]->name))
            continue;
        char why[256];
        int err = open_engine(vm, engine_list[i], why, sizeof(why));
        return err < 0 ? vm_fail(vm, err, "--engine %s: %s (trapeze doctor tells more)", name,
                                 why[0] ? why : strerror(-err))
                       : 0;
    }
    return vm_fail(vm, -ENOENT, "--engine %s: no such engine", name);
}

/* The best engine that shows that it works; the last one needs nothing and is taken as it is. */
static int choose_engine(struct vm *vm)
{
    const char *name = vm->config->engine ? vm->config->engine : "auto";
    const struct engine_options opt = { .soft = vm->config->soft_mode };
    struct selftest_result result;
    if (strcmp(name, "auto"))
        return open_named(vm, name);
    for (unsigned i = 0; engine_list[i]; i++) {
        const char *why = result.reason;
        if (engine_list[i + 1]) {
            int err = engine_selftest(engine_list[i], &opt, SELFTEST_MS, &result);
            if (!err && !(err = open_engine(vm, engine_list[i], NULL, 0)))
                return 0;
            if (result.verdict == SELFTEST_PASSED)
                why = strerror(-err);
            log_info(LOG_ENGINE, "engine %s is not used (%s); using %s", engine_list[i]->name, why,
                     engine_list[i + 1]->name);
            continue;
        }
        return open_named(vm, engine_list[i]->name);
    }
    return vm_fail(vm, -ENOENT, "--engine auto: this build has no engine");
}

/* GSI n is pin n of the I/O APIC and below 16 of the PICs; but the timer's, GSI 0, is pin 2 of the
 * I/O APIC as the MADT says, where KVM's default has pin 0. */
static int route_gsis(struct vm *vm)
{
    enum { PINS = 24, PIC_PINS = 16, TIMER_PIN = 2 };
    struct kvm_irq_routing *r = calloc(1, sizeof(*r) + (PINS + PIC_PINS) * sizeof(r->entries[0]));
    if (!r)
        return -ENOMEM;
    for (uint32_t gsi = 0; gsi < PINS; gsi++) {
        struct kvm_irq_routing_entry e = { .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP };
        if (gsi != TIMER_PIN) {
            e.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
            e.u.irqchip.pin = gsi ? gsi : TIMER_PIN;
            r->entries[r->nr++] = e;
        }
        if (gsi < PIC_PINS) {
            e.u.irqchip.irqchip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
            e.u.irqchip.pin = gsi & 7;
            r->entries[r->nr++] = e;
        }
    }
    int err = vm->ops->set_gsi_routing(vm->evm, r);
    free(r);
    return err;
}

/* In KVM's order: what the vCPUs are created with comes before them. */
static int create_irqchip(struct vm *vm)
{
    const struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
    int err;
    if (vm->ops->set_tss_addr && (err = vm->ops->set_tss_addr(vm->evm, PC_KVM_TSS)) < 0)
        trace(LOG_ENGINE, "TSS address: %s", strerror(-err));
    if (vm->ops->set_identity_map_addr &&
        (err = vm->ops->set_identity_map_addr(vm->evm, PC_KVM_IDENTITY)) < 0)
        trace(LOG_ENGINE, "identity map address: %s", strerror(-err));
    if ((err = vm->ops->create_irqchip(vm->evm)) < 0)
        return vm_fail(vm, err, "engine %s has no interrupt controllers: %s", vm->ops->name,
                       strerror(-err));
    if ((err = route_gsis(vm)) < 0)
        return vm_fail(vm, err, "engine %s: interrupt routing: %s", vm->ops->name, strerror(-err));
    if ((err = vm->ops->create_pit2(vm->evm, &pit)) < 0)
        return vm_fail(vm, err, "engine %s has no timer: %s", vm->ops->name, strerror(-err));
    return 0;
}

static int get_cpuid(struct vm *vm, struct kvm_cpuid2 **out)
{
    struct kvm_cpuid2 *t =
        calloc(1, sizeof(*t) + CPUID_MAX_ENTRIES * sizeof(struct kvm_cpuid_entry2));
    if (!t)
        return vm_fail(vm, -ENOMEM, "out of memory");
    t->nent = CPUID_MAX_ENTRIES;
    int err = vm->ops->get_supported_cpuid(vm->engine, t);
    if (err < 0) {
        free(t);
        return vm_fail(vm, err, "engine %s does not tell its CPUID: %s", vm->ops->name,
                       strerror(-err));
    }
    *out = t;
    return 0;
}

static int check_width(struct vm *vm, const struct kvm_cpuid2 *t)
{
    unsigned bits = cpuid_phys_bits(t);
    for (unsigned i = 0; i < vm->slots; i++)
        if (!range_ok(vm->slot[i].gpa, vm->slot[i].len, BIT(bits)))
            return vm_fail(vm, -EFBIG,
                           "--memory: more than engine %s's processor can address (%u bits)",
                           vm->ops->name, bits);
    return 0;
}

static int create_vcpus(struct vm *vm)
{
    struct kvm_cpuid2 *base = NULL, *t = NULL;
    size_t size = sizeof(*t) + CPUID_MAX_ENTRIES * sizeof(t->entries[0]);
    int err = get_cpuid(vm, &base);
    if (err < 0 || (err = check_width(vm, base)) < 0)
        goto out;
    vm->vcpu = calloc(vm->config->cpus, sizeof(*vm->vcpu));
    t = malloc(size);
    if (!vm->vcpu || !t) {
        err = vm_fail(vm, -ENOMEM, "out of memory");
        goto out;
    }
    for (unsigned i = 0; i < vm->config->cpus; i++) {
        struct vcpu *v = &vm->vcpu[i];
        v->vm = vm;
        v->id = i;
        if ((err = vm->ops->create_vcpu(vm->evm, i, &v->vcpu)) < 0) {
            vm_fail(vm, err, "--cpus: engine %s cannot create vCPU %u: %s", vm->ops->name, i,
                    strerror(-err));
            goto out;
        }
        vm->vcpus = i + 1;
        if (!i && vm->ops->get_tsc_khz) {
            int khz = vm->ops->get_tsc_khz(v->vcpu);
            vm->tsc_khz = khz > 0 ? (uint32_t)khz : 0;
        }
        struct cpuid_topology topo = {
            .id = i,
            .cpus = vm->config->cpus,
            .tsc_khz = vm->tsc_khz,
            .tsc_deadline = vm->ops->check_extension(vm->engine, KVM_CAP_TSC_DEADLINE_TIMER) > 0,
        };
        memcpy(t, base, size);
        if ((err = cpuid_complete(t, &topo)) < 0 || (err = vm->ops->set_cpuid2(v->vcpu, t)) < 0) {
            vm_fail(vm, err, "engine %s refuses the CPUID of vCPU %u: %s", vm->ops->name, i,
                    strerror(-err));
            goto out;
        }
    }
out:
    free(t);
    free(base);
    return err < 0 ? err : 0;
}

int vm_create(struct vm **out, const struct config *config)
{
    struct boot_state boot = { .mode = BOOT_LONG64 };
    pthread_mutexattr_t attr;
    int err;

    struct vm *vm = *out = calloc(1, sizeof(*vm));
    if (!vm)
        return -ENOMEM;
    vm->config = config;
    vm->memfd = -1;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&vm->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    control_init(&vm->control);
    bus_init(&vm->pio, "pio");
    bus_init(&vm->mmio, "mmio");

    if ((err = check_config(vm)) < 0 || (err = choose_engine(vm)) < 0 ||
        (err = create_irqchip(vm)) < 0)
        return err;
    if ((err = loop_create(&vm->loop, &vm->lock)) < 0)
        return vm_fail(vm, err, "event loop: %s", strerror(-err));
    if ((err = machine_pc_create(vm)) < 0)
        return vm_fail(vm, err, "machine: %s", strerror(-err));
    if ((err = create_vcpus(vm)) < 0)
        return err;
    if ((err = power_on_save(vm)) < 0)
        return vm_fail(vm, err, "engine %s does not tell its state: %s", vm->ops->name,
                       strerror(-err));
    pthread_mutex_lock(&vm->lock);
    machine_reset(vm);
    pthread_mutex_unlock(&vm->lock);
    if ((err = loader_load(vm, &boot)) < 0)
        return vm_fail(vm, err, "%s: %s", config->kernel, strerror(-err));
    if ((err = boot_setup(vm, &boot)) < 0)
        return vm_fail(vm, err, "engine %s refuses the kernel's start state: %s", vm->ops->name,
                       strerror(-err));
    return 0;
}

void vm_destroy(struct vm *vm)
{
    if (!vm)
        return;
    /* A stuck vCPU's thread still uses everything: leave it all to the end of the process, but
     * give the terminal back. */
    for (unsigned i = 0; i < vm->vcpus; i++)
        if (vm->vcpu[i].stuck)
            return;
    machine_destroy(vm);
    if (vm->loop)
        loop_destroy(vm->loop);
    if (vm->evm)
        vm->ops->destroy_vm(vm->evm);
    power_on_destroy(vm);
    vm_memory_destroy(vm);
    if (vm->engine)
        vm->ops->close(vm->engine);
    bus_destroy(&vm->pio);
    bus_destroy(&vm->mmio);
    control_destroy(&vm->control);
    pthread_mutex_destroy(&vm->lock);
    free(vm->vcpu);
    free(vm);
}
