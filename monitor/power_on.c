/* SPDX-License-Identifier: BSD-2-Clause */
/* Reset by putting back what was there at power-on: right for every engine, whatever its reset
 * values are. The TSC is left running, as a reset of a real machine's cores may do. */
#include "monitor/power_on.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "isa/x86/regs.h"
#include "lib/log.h"

enum { MAX_MSRS = 512 };

struct vcpu_state {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_xsave *xsave; /* NULL: the engine has none */
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_lapic_state lapic;
    struct kvm_mp_state mp;
    struct kvm_vcpu_events events;
    bool has_xcrs, has_debugregs, has_events;
    struct kvm_msr_entry *msr;
    unsigned msrs;
};

struct power_on {
    struct kvm_irqchip chip[3]; /* two PICs, IOAPIC */
    struct kvm_pit_state2 pit;
    struct vcpu_state *vcpu;
    unsigned vcpus;
};

static bool msr_is_time(uint32_t index) { return index == MSR_TSC || index == MSR_TSC_DEADLINE; }

/* One MSR in the form the engine takes. */
union one_msr {
    struct kvm_msrs head;
    uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

static int read_msr(const struct engine_ops *ops, struct engine_vcpu *vcpu, struct kvm_msr_entry *e)
{
    union one_msr one = { .head.nmsrs = 1 };
    one.head.entries[0] = *e;
    int n = ops->get_msrs(vcpu, &one.head);
    if (n == 1)
        *e = one.head.entries[0];
    return n;
}

static int write_msr(const struct engine_ops *ops, struct engine_vcpu *vcpu,
                     const struct kvm_msr_entry *e)
{
    union one_msr one = { .head.nmsrs = 1 };
    one.head.entries[0] = *e;
    return ops->set_msrs(vcpu, &one.head);
}

/* One by one: an engine lists MSRs that it refuses for this CPU model. */
static int save_msrs(struct vm *vm, struct vcpu *vcpu, struct vcpu_state *s)
{
    struct kvm_msr_list *list = calloc(1, sizeof(*list) + MAX_MSRS * sizeof(list->indices[0]));
    int err = -ENOMEM;
    if (!list)
        return err;
    list->nmsrs = MAX_MSRS;
    err = vm->ops->get_msr_index_list(vm->engine, list);
    if (err < 0)
        goto out;
    s->msr = calloc(list->nmsrs ? list->nmsrs : 1, sizeof(*s->msr));
    err = s->msr ? 0 : -ENOMEM;
    for (unsigned i = 0; !err && i < list->nmsrs; i++) {
        struct kvm_msr_entry *e = &s->msr[s->msrs];
        *e = (struct kvm_msr_entry){ .index = list->indices[i] };
        if (!msr_is_time(e->index) && read_msr(vm->ops, vcpu->vcpu, e) == 1)
            s->msrs++;
    }
out:
    free(list);
    return err;
}

static int save_vcpu(struct vm *vm, struct vcpu *vcpu, struct vcpu_state *s)
{
    const struct engine_ops *ops = vm->ops;
    struct engine_vcpu *v = vcpu->vcpu;
    int err;
    if ((err = ops->get_regs(v, &s->regs)) < 0 || (err = ops->get_sregs(v, &s->sregs)) < 0 ||
        (err = ops->get_lapic(v, &s->lapic)) < 0 || (err = ops->get_mp_state(v, &s->mp)) < 0)
        return err;
    if (!(s->xsave = calloc(1, sizeof(*s->xsave))))
        return -ENOMEM;
    if (ops->get_xsave(v, s->xsave) < 0) {
        free(s->xsave);
        s->xsave = NULL;
    }
    s->has_xcrs = ops->get_xcrs(v, &s->xcrs) >= 0;
    s->has_debugregs = ops->get_debugregs(v, &s->debugregs) >= 0;
    s->has_events = ops->get_vcpu_events(v, &s->events) >= 0;
    return save_msrs(vm, vcpu, s);
}

int power_on_save(struct vm *vm)
{
    int err;
    struct power_on *p = vm->power_on = calloc(1, sizeof(*p));
    if (!p || !(p->vcpu = calloc(vm->vcpus, sizeof(*p->vcpu))))
        return -ENOMEM;
    p->vcpus = vm->vcpus;
    for (unsigned i = 0; i < ARRAY_LEN(p->chip); i++) {
        p->chip[i].chip_id = i;
        if ((err = vm->ops->get_irqchip(vm->evm, &p->chip[i])) < 0)
            return err;
    }
    if ((err = vm->ops->get_pit2(vm->evm, &p->pit)) < 0)
        return err;
    for (unsigned i = 0; i < vm->vcpus; i++)
        if ((err = save_vcpu(vm, &vm->vcpu[i], &p->vcpu[i])) < 0)
            return err;
    return 0;
}

static int restore_vcpu(struct vm *vm, struct vcpu *vcpu, const struct vcpu_state *s)
{
    const struct engine_ops *ops = vm->ops;
    struct engine_vcpu *v = vcpu->vcpu;
    int err;
    /* Mode and APIC base first, then what they allow. */
    if ((err = ops->set_sregs(v, &s->sregs)) < 0 || (err = ops->set_regs(v, &s->regs)) < 0)
        return err;
    if ((s->has_xcrs && (err = ops->set_xcrs(v, &s->xcrs)) < 0) ||
        (s->xsave && (err = ops->set_xsave(v, s->xsave)) < 0))
        return err;
    for (unsigned i = 0; i < s->msrs; i++)
        if (write_msr(ops, v, &s->msr[i]) != 1)
            trace(LOG_VM, "reset: vCPU %u does not take MSR %#x", vcpu->id, s->msr[i].index);
    if ((err = ops->set_lapic(v, &s->lapic)) < 0 ||
        (s->has_debugregs && (err = ops->set_debugregs(v, &s->debugregs)) < 0) ||
        (s->has_events && (err = ops->set_vcpu_events(v, &s->events)) < 0))
        return err;
    return ops->set_mp_state(v, &s->mp);
}

int power_on_restore(struct vm *vm)
{
    struct power_on *p = vm->power_on;
    int err;
    for (unsigned i = 0; i < p->vcpus; i++)
        if ((err = restore_vcpu(vm, &vm->vcpu[i], &p->vcpu[i])) < 0)
            return err;
    for (unsigned i = 0; i < ARRAY_LEN(p->chip); i++)
        if ((err = vm->ops->set_irqchip(vm->evm, &p->chip[i])) < 0)
            return err;
    return vm->ops->set_pit2(vm->evm, &p->pit);
}

void power_on_destroy(struct vm *vm)
{
    struct power_on *p = vm->power_on;
    if (!p)
        return;
    for (unsigned i = 0; p->vcpu && i < p->vcpus; i++) {
        free(p->vcpu[i].msr);
        free(p->vcpu[i].xsave);
    }
    free(p->vcpu);
    free(p);
    vm->power_on = NULL;
}
