/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU's state in KVM's structures. The vCPU is out of run. */
#include <errno.h>
#include <string.h>

#include "engine/soft/soft.h"
#include "isa/x86/emu.h"
#include "isa/x86/native.h"

static struct soft_vcpu *vcpu_of(struct engine_vcpu *ev) { return (struct soft_vcpu *)ev; }
static struct x86_cpu *cpu_of(struct engine_vcpu *ev) { return &vcpu_of(ev)->cpu; }

int soft_set_cpuid2(struct engine_vcpu *ev, const struct kvm_cpuid2 *in)
{
    struct soft_vcpu *v = vcpu_of(ev);

    if (in->nent > SOFT_MAX_CPUID)
        return -E2BIG;
    for (unsigned i = 0; i < in->nent; i++)
        v->cpuid[i] = (struct x86_cpuid_entry){ .leaf = in->entries[i].function,
                                                .subleaf = in->entries[i].index,
                                                .flags = in->entries[i].flags,
                                                .eax = in->entries[i].eax,
                                                .ebx = in->entries[i].ebx,
                                                .ecx = in->entries[i].ecx,
                                                .edx = in->entries[i].edx };
    v->cpuid_count = in->nent;
    return 0;
}

/* ---- general registers; KVM's order of the first eight is rax rbx rcx rdx rsi rdi rsp rbp ---- */

static const uint8_t kvm_order[8] = { X86_RAX, X86_RBX, X86_RCX, X86_RDX,
                                      X86_RSI, X86_RDI, X86_RSP, X86_RBP };
_Static_assert(offsetof(struct kvm_regs, r8) == 64 && offsetof(struct kvm_regs, rip) == 128 &&
                   offsetof(struct kvm_regs, rflags) == 136,
               "kvm_regs is an array of 18 registers");

int soft_get_regs(struct engine_vcpu *ev, struct kvm_regs *r)
{
    const struct x86_cpu *cpu = cpu_of(ev);
    uint64_t v[18];

    for (unsigned i = 0; i < 16; i++)
        v[i] = cpu->gpr[i < 8 ? kvm_order[i] : i];
    v[16] = cpu->rip;
    v[17] = cpu->rflags;
    memcpy(r, v, sizeof(v));
    return 0;
}

int soft_set_regs(struct engine_vcpu *ev, const struct kvm_regs *r)
{
    struct x86_cpu *cpu = cpu_of(ev);
    uint64_t v[18];

    memcpy(v, r, sizeof(v));
    for (unsigned i = 0; i < 16; i++)
        cpu->gpr[i < 8 ? kvm_order[i] : i] = v[i];
    cpu->rip = v[16];
    cpu->rflags = (v[17] & X86_FLAGS_DEFINED) | X86_F1;
    cpu->exc_pending = false; /* as KVM: the caller has decided what goes on */
    cpu->replay.count = 0;
    x86_state_changed(cpu);
    return 0;
}

/* ---- segments and control registers ---- */

static void seg_to_kvm(struct kvm_segment *k, const struct x86_seg *s)
{
    *k = (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->sel,
        .type = bits_get(s->attr, 3, 0),
        .s = bits_get(s->attr, 4, 4),
        .dpl = bits_get(s->attr, 6, 5),
        .present = bits_get(s->attr, 7, 7),
        .avl = bits_get(s->attr, 12, 12),
        .l = bits_get(s->attr, 13, 13),
        .db = bits_get(s->attr, 14, 14),
        .g = bits_get(s->attr, 15, 15),
        .unusable = bits_get(s->attr, 16, 16),
    };
}

static void seg_from_kvm(struct x86_seg *s, const struct kvm_segment *k)
{
    s->base = k->base;
    s->limit = k->limit;
    s->sel = k->selector;
    s->attr = (k->type & 15u) | (k->s & 1u) << 4 | (k->dpl & 3u) << 5 | (k->present & 1u) << 7 |
              (k->avl & 1u) << 12 | (k->l & 1u) << 13 | (k->db & 1u) << 14 | (k->g & 1u) << 15 |
              (k->unusable || !k->present ? (uint32_t)X86_SEG_UNUSABLE : 0);
}

int soft_get_sregs(struct engine_vcpu *ev, struct kvm_sregs *k)
{
    struct soft_vcpu *v = vcpu_of(ev);
    struct x86_cpu *cpu = &v->cpu;
    uint64_t apic_base = 0;

    memset(k, 0, sizeof(*k));
    seg_to_kvm(&k->cs, &cpu->seg[X86_CS]);
    seg_to_kvm(&k->ds, &cpu->seg[X86_DS]);
    seg_to_kvm(&k->es, &cpu->seg[X86_ES]);
    seg_to_kvm(&k->fs, &cpu->seg[X86_FS]);
    seg_to_kvm(&k->gs, &cpu->seg[X86_GS]);
    seg_to_kvm(&k->ss, &cpu->seg[X86_SS]);
    seg_to_kvm(&k->tr, &cpu->tr);
    seg_to_kvm(&k->ldt, &cpu->ldt);
    k->gdt.base = cpu->gdt.base;
    k->gdt.limit = cpu->gdt.limit;
    k->idt.base = cpu->idt.base;
    k->idt.limit = cpu->idt.limit;
    k->cr0 = cpu->cr0;
    k->cr2 = cpu->cr2;
    k->cr3 = cpu->cr3;
    k->cr4 = cpu->cr4;
    k->efer = cpu->efer;
    k->cr8 = cpu->env->cr8_read(cpu);
    if (!cpu->env->apic_rdmsr(cpu, MSR_APIC_BASE, &apic_base))
        k->apic_base = apic_base;
    if (v->injected >= 0)
        k->interrupt_bitmap[v->injected / 64] = BIT(v->injected % 64);
    return 0;
}

/* [SDM] 3A "Control Registers": what MOV to CR would refuse. */
static bool sregs_ok(const struct kvm_sregs *k)
{
    bool pg = k->cr0 & X86_CR0_PG, lma = k->efer & X86_EFER_LMA;

    if ((k->cr0 >> 32) || (pg && !(k->cr0 & X86_CR0_PE)) ||
        ((k->cr0 & X86_CR0_NW) && !(k->cr0 & X86_CR0_CD)))
        return false;
    if (k->cr4 & (X86_CR4_LA57 | X86_CR4_SMAP | X86_CR4_PKE | X86_CR4_VMXE))
        return false;
    if (lma != (pg && (k->efer & X86_EFER_LME)))
        return false;
    if ((k->cr4 & X86_CR4_PCIDE) && !lma)
        return false;
    return !lma || ((k->cr4 & X86_CR4_PAE) && !(k->cs.l && k->cs.db));
}

int soft_set_sregs(struct engine_vcpu *ev, const struct kvm_sregs *k)
{
    struct soft_vcpu *v = vcpu_of(ev);
    struct x86_cpu *cpu = &v->cpu;
    uint64_t apic_base;

    if (!sregs_ok(k))
        return -EINVAL;
    if (!cpu->env->apic_rdmsr(cpu, MSR_APIC_BASE, &apic_base) && apic_base != k->apic_base &&
        (v->vm->chip ? irqchip_set_apic_base(v->vm->chip, v->id, k->apic_base)
                     : cpu->env->apic_wrmsr(cpu, MSR_APIC_BASE, k->apic_base)))
        return -EINVAL;
    seg_from_kvm(&cpu->seg[X86_CS], &k->cs);
    seg_from_kvm(&cpu->seg[X86_DS], &k->ds);
    seg_from_kvm(&cpu->seg[X86_ES], &k->es);
    seg_from_kvm(&cpu->seg[X86_FS], &k->fs);
    seg_from_kvm(&cpu->seg[X86_GS], &k->gs);
    seg_from_kvm(&cpu->seg[X86_SS], &k->ss);
    seg_from_kvm(&cpu->tr, &k->tr);
    seg_from_kvm(&cpu->ldt, &k->ldt);
    cpu->gdt = (struct x86_table){ k->gdt.base, k->gdt.limit };
    cpu->idt = (struct x86_table){ k->idt.base, k->idt.limit };
    cpu->cr0 = k->cr0 | X86_CR0_ET;
    cpu->cr2 = k->cr2;
    cpu->cr3 = k->cr3;
    cpu->cr4 = k->cr4;
    cpu->efer = k->efer;
    cpu->env->cr8_write(cpu, k->cr8);
    if ((cpu->cr0 & X86_CR0_PG) && (cpu->cr4 & X86_CR4_PAE) && !x86_long(cpu) &&
        !x86_load_pdptes(cpu, cpu->cr3))
        memset(cpu->pdpte, 0, sizeof(cpu->pdpte));
    v->injected = -1;
    for (int i = 0; i < 4; i++)
        if (k->interrupt_bitmap[i])
            v->injected = 64 * i + __builtin_ctzll(k->interrupt_bitmap[i]);
    x86_state_changed(cpu);
    soft_attention(v, SOFT_IRQ);
    return 0;
}

/* ---- x87, SSE, AVX: cpu->xsave is in the standard XSAVE format, without a valid header ---- */

enum {
    XSAVE_FCW = 0,
    XSAVE_FSW = 2,
    XSAVE_FTW = 4,
    XSAVE_FOP = 6,
    XSAVE_FIP = 8,
    XSAVE_FDP = 16,
    XSAVE_MXCSR = 24,
    XSAVE_ST = 32,
    XSAVE_XMM = 160,
    XSAVE_BV = 512,
    XSAVE_COMP_BV = 520,
    XSAVE_HEADER_END = 576,
    XSAVE_KVM = 4096, /* bytes of struct kvm_xsave */
};

/* Registers in their initial state hold their initial values, so XSTATE_BV need not be asked. */
int soft_get_fpu(struct engine_vcpu *ev, struct kvm_fpu *f)
{
    const uint8_t *x = cpu_of(ev)->xsave;

    memset(f, 0, sizeof(*f));
    memcpy(f->fpr, x + XSAVE_ST, sizeof(f->fpr));
    f->fcw = le16(x + XSAVE_FCW);
    f->fsw = le16(x + XSAVE_FSW);
    f->ftwx = x[XSAVE_FTW];
    f->last_opcode = le16(x + XSAVE_FOP);
    f->last_ip = le64(x + XSAVE_FIP);
    f->last_dp = le64(x + XSAVE_FDP);
    memcpy(f->xmm, x + XSAVE_XMM, sizeof(f->xmm));
    f->mxcsr = le32(x + XSAVE_MXCSR);
    return 0;
}

int soft_set_fpu(struct engine_vcpu *ev, const struct kvm_fpu *f)
{
    uint8_t x[XSAVE_KVM];

    x86_native_get_xsave(cpu_of(ev), x, sizeof(x));
    memcpy(x + XSAVE_ST, f->fpr, sizeof(f->fpr));
    memcpy(x + XSAVE_XMM, f->xmm, sizeof(f->xmm));
    le16_put(x + XSAVE_FCW, f->fcw);
    le16_put(x + XSAVE_FSW, f->fsw);
    x[XSAVE_FTW] = f->ftwx;
    le16_put(x + XSAVE_FOP, f->last_opcode);
    le64_put(x + XSAVE_FIP, f->last_ip);
    le64_put(x + XSAVE_FDP, f->last_dp);
    le32_put(x + XSAVE_MXCSR, f->mxcsr);
    le64_put(x + XSAVE_BV, le64(x + XSAVE_BV) | X86_XCR0_X87 | X86_XCR0_SSE);
    return x86_native_set_xsave(cpu_of(ev), x, sizeof(x));
}

int soft_get_xsave(struct engine_vcpu *ev, struct kvm_xsave *s)
{
    x86_native_get_xsave(cpu_of(ev), s, XSAVE_KVM);
    return 0;
}

int soft_set_xsave(struct engine_vcpu *ev, const struct kvm_xsave *s)
{
    const uint8_t *in = (const uint8_t *)s;

    for (unsigned i = XSAVE_COMP_BV; i < XSAVE_HEADER_END; i++)
        if (in[i])
            return -EINVAL;
    return x86_native_set_xsave(cpu_of(ev), in, XSAVE_KVM);
}

int soft_get_xcrs(struct engine_vcpu *ev, struct kvm_xcrs *x)
{
    memset(x, 0, sizeof(*x));
    x->nr_xcrs = 1;
    x->xcrs[0].value = cpu_of(ev)->xcr0;
    return 0;
}

int soft_set_xcrs(struct engine_vcpu *ev, const struct kvm_xcrs *x)
{
    if (x->nr_xcrs > KVM_MAX_XCRS || x->flags)
        return -EINVAL;
    for (unsigned i = 0; i < x->nr_xcrs; i++) {
        uint64_t v = x->xcrs[i].value;
        if (x->xcrs[i].xcr)
            continue;
        if (!(v & X86_XCR0_X87) || (v & ~x86_native_xcr0()) ||
            ((v & X86_XCR0_AVX) && !(v & X86_XCR0_SSE)) ||
            ((v & X86_XCR0_AVX512) &&
             ((v & X86_XCR0_AVX512) != X86_XCR0_AVX512 || !(v & X86_XCR0_AVX))))
            return -EINVAL;
        cpu_of(ev)->xcr0 = v;
    }
    return 0;
}

/* ---- MSRs ---- */

int soft_get_msrs(struct engine_vcpu *ev, struct kvm_msrs *m)
{
    unsigned i;

    for (i = 0; i < m->nmsrs; i++) {
        uint64_t v;
        if (x86_rdmsr(cpu_of(ev), m->entries[i].index, &v))
            break;
        m->entries[i].data = v;
    }
    return (int)i;
}

int soft_set_msrs(struct engine_vcpu *ev, const struct kvm_msrs *m)
{
    unsigned i;

    for (i = 0; i < m->nmsrs; i++)
        if (x86_wrmsr(cpu_of(ev), m->entries[i].index, m->entries[i].data, true))
            break;
    x86_state_changed(cpu_of(ev));
    return (int)i;
}

/* ---- interrupts ---- */

int soft_get_lapic(struct engine_vcpu *ev, struct kvm_lapic_state *s)
{
    struct soft_vcpu *v = vcpu_of(ev);

    return v->vm->chip ? irqchip_get_lapic(v->vm->chip, v->id, s) : -EINVAL;
}

int soft_set_lapic(struct engine_vcpu *ev, const struct kvm_lapic_state *s)
{
    struct soft_vcpu *v = vcpu_of(ev);
    int err = v->vm->chip ? irqchip_set_lapic(v->vm->chip, v->id, s) : -EINVAL;

    soft_attention(v, SOFT_IRQ);
    return err;
}

int soft_get_mp_state(struct engine_vcpu *ev, struct kvm_mp_state *s)
{
    s->mp_state = vcpu_of(ev)->mp_state;
    return 0;
}

int soft_set_mp_state(struct engine_vcpu *ev, const struct kvm_mp_state *s)
{
    struct soft_vcpu *v = vcpu_of(ev);

    switch (s->mp_state) {
    case KVM_MP_STATE_RUNNABLE: break;
    case KVM_MP_STATE_UNINITIALIZED:
    case KVM_MP_STATE_INIT_RECEIVED:
    case KVM_MP_STATE_HALTED:
        if (!v->vm->chip)
            return -EINVAL;
        break;
    default: return -EINVAL;
    }
    v->mp_state = s->mp_state;
    soft_attention(v, SOFT_IRQ);
    return 0;
}

int soft_get_vcpu_events(struct engine_vcpu *ev, struct kvm_vcpu_events *e)
{
    struct soft_vcpu *v = vcpu_of(ev);
    const struct x86_cpu *cpu = &v->cpu;

    memset(e, 0, sizeof(*e));
    if (cpu->exc_pending && !cpu->exc.external) {
        e->exception.injected = 1;
        e->exception.nr = cpu->exc.vector;
        e->exception.has_error_code = cpu->exc.has_error;
        e->exception.error_code = cpu->exc.error;
    }
    e->interrupt.injected = v->injected >= 0;
    e->interrupt.nr = v->injected >= 0 ? (uint8_t)v->injected : 0;
    e->interrupt.shadow = (cpu->shadow & X86_SHADOW_STI ? KVM_X86_SHADOW_INT_STI : 0) |
                          (cpu->shadow & X86_SHADOW_SS ? KVM_X86_SHADOW_INT_MOV_SS : 0);
    e->nmi.masked = cpu->nmi_blocked;
    e->nmi.pending =
        v->vm->chip ? !!(irqchip_pending(v->vm->chip, v->id) & IRQCHIP_NMI) : v->nmi_pending;
    e->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
    return 0;
}

int soft_set_vcpu_events(struct engine_vcpu *ev, const struct kvm_vcpu_events *e)
{
    struct soft_vcpu *v = vcpu_of(ev);
    struct x86_cpu *cpu = &v->cpu;

    if (e->exception.injected && (e->exception.nr > 31 || e->exception.nr == X86_NMI))
        return -EINVAL;
    cpu->exc_pending = false;
    if (e->exception.injected) {
        const struct x86_exception exc = { .vector = e->exception.nr,
                                           .has_error = e->exception.has_error_code,
                                           .error = e->exception.error_code,
                                           /* CR2 and DR6 hold their new values already. */
                                           .payload = e->exception.nr == X86_PFV ? cpu->cr2 : 0 };
        x86_queue_exception(cpu, &exc);
    }
    v->injected = e->interrupt.injected ? e->interrupt.nr : -1;
    if (e->flags & KVM_VCPUEVENT_VALID_SHADOW)
        cpu->shadow = (e->interrupt.shadow & KVM_X86_SHADOW_INT_STI ? X86_SHADOW_STI : 0) |
                      (e->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? X86_SHADOW_SS : 0);
    cpu->nmi_blocked = e->nmi.masked != 0;
    if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) {
        if (!v->vm->chip)
            v->nmi_pending = e->nmi.pending;
        else if (e->nmi.pending)
            irqchip_nmi(v->vm->chip, v->id);
        else
            irqchip_take(v->vm->chip, v->id, IRQCHIP_NMI, NULL);
    }
    soft_attention(v, SOFT_IRQ);
    return 0;
}

/* KVM_INTERRUPT is only for callers that emulate the interrupt controllers themselves. */
int soft_interrupt(struct engine_vcpu *ev, const struct kvm_interrupt *i)
{
    struct soft_vcpu *v = vcpu_of(ev);

    if (i->irq > 255)
        return -EINVAL;
    if (v->vm->chip)
        return -ENXIO;
    if (v->injected >= 0)
        return -EEXIST;
    v->injected = (int)i->irq;
    soft_attention(v, SOFT_IRQ);
    return 0;
}

int soft_nmi(struct engine_vcpu *ev)
{
    struct soft_vcpu *v = vcpu_of(ev);

    if (v->vm->chip)
        irqchip_nmi(v->vm->chip, v->id);
    else
        v->nmi_pending = true;
    soft_attention(v, SOFT_IRQ);
    return 0;
}

/* ---- debugging ---- */

int soft_get_debugregs(struct engine_vcpu *ev, struct kvm_debugregs *d)
{
    const struct x86_cpu *cpu = cpu_of(ev);

    memset(d, 0, sizeof(*d));
    memcpy(d->db, cpu->dr, sizeof(d->db));
    d->dr6 = cpu->dr[6];
    d->dr7 = cpu->dr[7];
    return 0;
}

int soft_set_debugregs(struct engine_vcpu *ev, const struct kvm_debugregs *d)
{
    struct x86_cpu *cpu = cpu_of(ev);

    if (d->flags || (d->dr6 >> 32) || (d->dr7 >> 32))
        return -EINVAL;
    memcpy(cpu->dr, d->db, sizeof(d->db));
    cpu->dr[6] = d->dr6;
    cpu->dr[7] = d->dr7;
    x86_state_changed(cpu);
    return 0;
}

int soft_set_guest_debug(struct engine_vcpu *ev, const struct kvm_guest_debug *d)
{
    struct x86_cpu *cpu = cpu_of(ev);
    bool on = d->control & KVM_GUESTDBG_ENABLE;

    if (d->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
        if (cpu->exc_pending)
            return -EBUSY;
        const struct x86_exception exc = { .vector = d->control & KVM_GUESTDBG_INJECT_DB ? X86_DB
                                                                                         : X86_BP };
        x86_queue_exception(cpu, &exc);
    }
    cpu->dbg.step = on && (d->control & KVM_GUESTDBG_SINGLESTEP);
    cpu->dbg.sw_break = on && (d->control & KVM_GUESTDBG_USE_SW_BP);
    cpu->dbg.hw_break = on && (d->control & KVM_GUESTDBG_USE_HW_BP);
    for (unsigned i = 0; i < 4; i++)
        cpu->dbg.dr[i] = cpu->dbg.hw_break ? d->arch.debugreg[i] : 0;
    cpu->dbg.dr7 = cpu->dbg.hw_break ? d->arch.debugreg[7] : 0;
    x86_state_changed(cpu);
    return 0;
}

int soft_translate(struct engine_vcpu *ev, struct kvm_translation *t)
{
    struct soft_vcpu *v = vcpu_of(ev);
    uint64_t gpa;

    pthread_mutex_lock(&v->vm->lock); /* the slots hold still */
    t->valid = x86_translate_debug(&v->cpu, t->linear_address, &gpa);
    pthread_mutex_unlock(&v->vm->lock);
    t->physical_address = t->valid ? gpa : ~0ull;
    t->writeable = 1;
    t->usermode = 0;
    return 0;
}

/* ---- time ---- */

/* The guest's TSC is the host's: there is nothing to scale. */
int soft_set_tsc_khz(struct engine_vcpu *ev, uint32_t khz)
{
    uint32_t host = soft_tsc_khz();

    (void)ev;
    /* 250 ppm is what KVM tolerates without scaling. */
    return khz && (khz > host ? khz - host : host - khz) > host / 4000 ? -EINVAL : 0;
}

int soft_get_tsc_khz(struct engine_vcpu *ev)
{
    (void)ev;
    return (int)soft_tsc_khz();
}
