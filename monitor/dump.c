/* SPDX-License-Identifier: BSD-2-Clause */
/* What a vCPU looked like when it could not go on, and what the VM did: dump and statistics. */
#include <inttypes.h>

#include "isa/x86/regs.h"
#include "monitor/debug.h"
#include "monitor/vm.h"

#define EXIT(name) [KVM_EXIT_##name] = #name
static const char *const names[] = {
    EXIT(UNKNOWN),
    EXIT(EXCEPTION),
    EXIT(IO),
    EXIT(HYPERCALL),
    EXIT(DEBUG),
    EXIT(HLT),
    EXIT(MMIO),
    EXIT(IRQ_WINDOW_OPEN),
    EXIT(SHUTDOWN),
    EXIT(FAIL_ENTRY),
    EXIT(INTR),
    EXIT(SET_TPR),
    EXIT(TPR_ACCESS),
    EXIT(NMI),
    EXIT(INTERNAL_ERROR),
    EXIT(SYSTEM_EVENT),
    EXIT(IOAPIC_EOI),
    EXIT(HYPERV),
    EXIT(X86_RDMSR),
    EXIT(X86_WRMSR),
    EXIT(DIRTY_RING_FULL),
    EXIT(AP_RESET_HOLD),
    EXIT(X86_BUS_LOCK),
    EXIT(XEN),
};

const char *exit_name(unsigned reason)
{
    return reason < ARRAY_LEN(names) && names[reason] ? names[reason] : "?";
}

static void dump_segment(FILE *f, const char *name, const struct kvm_segment *s)
{
    fprintf(f, "  %-4s %04x base %016llx limit %08x type %x%s dpl %u%s%s%s%s%s\n", name,
            s->selector, s->base, s->limit, s->type, s->s ? "" : " system", s->dpl,
            s->present ? "" : " not-present", s->db ? " db" : "", s->l ? " long" : "",
            s->g ? " g" : "", s->unusable ? " unusable" : "");
}

/* Guest-physical address of a linear one, as far as the engine can tell. */
static bool to_physical(struct vm *vm, struct vcpu *v, uint64_t linear, uint64_t *gpa)
{
    struct kvm_translation t = { .linear_address = linear };
    if (!vm->ops->translate || vm->ops->translate(v->vcpu, &t) < 0 || !t.valid)
        return false;
    *gpa = t.physical_address;
    return true;
}

static void dump_code(struct vm *vm, struct vcpu *v, uint64_t linear, FILE *f)
{
    fprintf(f, "  code at %#" PRIx64 ":", linear);
    for (unsigned i = 0; i < 16; i++) {
        uint64_t gpa;
        uint8_t byte;
        if (!to_physical(vm, v, linear + i, &gpa) || guest_read(&vm->mem, gpa, &byte, 1) < 0) {
            fprintf(f, i ? " ..." : " not mapped to memory");
            break;
        }
        fprintf(f, " %02x", byte);
    }
    fputc('\n', f);
}

void vm_dump_vcpu(struct vm *vm, unsigned id, FILE *f)
{
    struct kvm_regs r;
    struct kvm_sregs s;
    struct kvm_mp_state mp = { .mp_state = 0 };
    if (id >= vm->vcpus)
        return;
    struct vcpu *v = &vm->vcpu[id];
    if (vm->ops->get_regs(v->vcpu, &r) < 0 || vm->ops->get_sregs(v->vcpu, &s) < 0) {
        fprintf(f, "vCPU %u: the engine does not give its registers\n", id);
        return;
    }
    if (vm->ops->get_mp_state(v->vcpu, &mp) < 0)
        mp.mp_state = ~0u;
    fprintf(f, "vCPU %u, engine %s, last exit %s, mp state %d\n", id, vm->ops->name,
            exit_name(v->vcpu->run->exit_reason), (int)mp.mp_state);
    fprintf(f, "  rax %016llx rbx %016llx rcx %016llx rdx %016llx\n", r.rax, r.rbx, r.rcx, r.rdx);
    fprintf(f, "  rsi %016llx rdi %016llx rbp %016llx rsp %016llx\n", r.rsi, r.rdi, r.rbp, r.rsp);
    fprintf(f, "  r8  %016llx r9  %016llx r10 %016llx r11 %016llx\n", r.r8, r.r9, r.r10, r.r11);
    fprintf(f, "  r12 %016llx r13 %016llx r14 %016llx r15 %016llx\n", r.r12, r.r13, r.r14, r.r15);
    fprintf(f, "  rip %016llx rflags %08llx\n", r.rip, r.rflags);
    fprintf(f, "  cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx cr8 %llx efer %llx apic %llx\n",
            s.cr0, s.cr2, s.cr3, s.cr4, s.cr8, s.efer, s.apic_base);
    dump_segment(f, "cs", &s.cs);
    dump_segment(f, "ds", &s.ds);
    dump_segment(f, "es", &s.es);
    dump_segment(f, "fs", &s.fs);
    dump_segment(f, "gs", &s.gs);
    dump_segment(f, "ss", &s.ss);
    dump_segment(f, "tr", &s.tr);
    dump_segment(f, "ldt", &s.ldt);
    fprintf(f, "  gdt  base %016llx limit %04x, idt base %016llx limit %04x\n", s.gdt.base,
            s.gdt.limit, s.idt.base, s.idt.limit);
    bool long_code = (s.efer & X86_EFER_LMA) && s.cs.l;
    dump_code(vm, v, long_code ? r.rip : (uint32_t)(s.cs.base + r.rip), f);
    fflush(f);
}

void vm_stats(struct vm *vm, FILE *f)
{
    for (unsigned i = 0; i < vm->vcpus; i++) {
        const struct vcpu *v = &vm->vcpu[i];
        fprintf(f, "vcpu%u exits:", i);
        for (unsigned e = 0; e < ARRAY_LEN(v->exits); e++)
            if (v->exits[e])
                fprintf(f, " %s %" PRIu64, exit_name(e), v->exits[e]);
        fprintf(f, " kicked %" PRIu64 "\n", v->interrupted);
    }
    bus_stats(&vm->pio, f);
    bus_stats(&vm->mmio, f);
    if (vm->ops && vm->ops->stats && vm->evm)
        vm->ops->stats(vm->evm, f);
}
