/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first vCPU's registers as a kernel's boot protocol wants them; the others wait for SIPI.
 * Starts from the engine's power-on state: what is not named here keeps its value.
 */
#include <errno.h>
#include <string.h>

#include "monitor/vm.h"

enum {
    /* [Linux] boot.rst wants code at 0x10 and data at 0x18; the others take any. */
    SEL_CODE = 0x10,
    SEL_DATA = 0x18,
    TYPE_CODE = 0xb,    /* execute, read, accessed */
    TYPE_DATA = 0x3,    /* read, write, accessed */
    TYPE_TSS_BUSY = 0xb /* of 32 or 64 bit */
};

#define CR0_PE   BIT(0)
#define CR0_ET   BIT(4)
#define CR0_NE   BIT(5)
#define CR0_PG   BIT(31)
#define CR4_PAE  BIT(5)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)

static struct kvm_segment flat(uint16_t selector, uint8_t type, bool code64)
{
    return (struct kvm_segment){ .limit = 0xffffffff,
                                 .selector = selector,
                                 .type = type,
                                 .present = 1,
                                 .db = !code64,
                                 .s = 1,
                                 .l = code64,
                                 .g = 1 };
}

/* The descriptor that belongs to a flat segment, [SDM] 3A "Segment Descriptors". */
static uint64_t descriptor(const struct kvm_segment *s)
{
    return 0xffff | (uint64_t)s->type << 40 | BIT(44) | BIT(47) | 0xfull << 48 |
           (uint64_t)s->l << 53 | (uint64_t)s->db << 54 | BIT(55);
}

static int boot_sregs(struct vm *vm, struct engine_vcpu *vcpu, const struct boot_state *b)
{
    bool long64 = b->mode == BOOT_LONG64;
    struct kvm_segment code = flat(SEL_CODE, TYPE_CODE, long64);
    struct kvm_segment data = flat(SEL_DATA, TYPE_DATA, false);
    uint64_t gdt[BOOT_GDT_SIZE / 8] = { 0 };
    struct kvm_sregs s;
    int e;

    gdt[SEL_CODE / 8] = descriptor(&code);
    gdt[SEL_DATA / 8] = descriptor(&data);
    e = guest_write(&vm->mem, b->gdt, gdt, sizeof(gdt));
    if (e)
        return e;
    e = vm->ops->get_sregs(vcpu, &s);
    if (e)
        return e;
    s.cs = code;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.tr = (struct kvm_segment){ .limit = 0x67, .type = TYPE_TSS_BUSY, .present = 1 };
    s.ldt = (struct kvm_segment){ .type = 2, .unusable = 1 };
    s.gdt.base = b->gdt;
    s.gdt.limit = sizeof(gdt) - 1;
    s.idt.base = 0;
    s.idt.limit = 0;
    s.cr0 = CR0_PE | CR0_ET | (long64 ? CR0_NE | CR0_PG : 0);
    s.cr2 = 0;
    s.cr3 = long64 ? b->cr3 : 0;
    s.cr4 = long64 ? CR4_PAE : 0;
    s.efer = long64 ? EFER_LME | EFER_LMA : 0;
    memset(s.interrupt_bitmap, 0, sizeof(s.interrupt_bitmap));
    return vm->ops->set_sregs(vcpu, &s);
}

int boot_setup(struct vm *vm, const struct boot_state *b)
{
    struct kvm_regs r = { .rip = b->rip,
                          .rsp = b->rsp,
                          .rax = b->rax,
                          .rbx = b->rbx,
                          .rsi = b->rsi,
                          .rdi = b->rdi,
                          .rbp = b->rbp,
                          .rflags = 2 };
    int e = boot_sregs(vm, vm->vcpu[0].vcpu, b);
    if (!e)
        e = vm->ops->set_regs(vm->vcpu[0].vcpu, &r);
    for (unsigned i = 0; !e && i < vm->vcpus; i++) {
        struct kvm_mp_state m = { i ? KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE };
        e = vm->ops->set_mp_state(vm->vcpu[i].vcpu, &m);
    }
    if (e)
        return vm_fail(vm, e, "the first vCPU cannot be set up: %s", strerror(-e));
    return 0;
}
