/* SPDX-License-Identifier: BSD-2-Clause */
/* System instructions: control and debug registers, descriptor tables, LAR & co., SYSCALL and
 * SYSENTER, ports, CPUID, segment bases, invalidation. */
#include "tests/unit/x86_rig.h"

#define MOV_CR0_EAX 0x0f, 0x22, 0xc0
#define MOV_CR3_EAX 0x0f, 0x22, 0xd8
#define MOV_CR4_EAX 0x0f, 0x22, 0xe0
#define MOV_DR6_EAX 0x0f, 0x23, 0xf0
#define MOV_DR7_EAX 0x0f, 0x23, 0xf8

static void test_cr0_cr4(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    uint64_t *ax = &cpu->gpr[X86_RAX];
    rig_protected(r);
    *ax = X86_CR0_PG;
    CHECK_FAULT(r, X86_GP, 0, MOV_CR0_EAX); /* PG without PE */
    *ax = X86_CR0_PE | X86_CR0_NW;
    CHECK_FAULT(r, X86_GP, 0, MOV_CR0_EAX);
    *ax = X86_CR0_PE | 0x0ff0ffc0; /* reserved bits are ignored, ET stays */
    CHECK_EQ(EXEC(r, MOV_CR0_EAX), -1);
    CHECK_EQ(cpu->cr0, X86_CR0_PE | X86_CR0_ET);
    static const uint32_t absent[] = { X86_CR4_VME,  X86_CR4_PVI,  X86_CR4_UMIP, X86_CR4_LA57,
                                       X86_CR4_VMXE, X86_CR4_SMAP, X86_CR4_PKE,  1u << 31 };
    for (unsigned i = 0; i < ARRAY_LEN(absent); i++) {
        *ax = absent[i];
        CHECK_FAULT(r, X86_GP, 0, MOV_CR4_EAX);
    }
    *ax = X86_CR4_PCIDE; /* only in long mode */
    CHECK_FAULT(r, X86_GP, 0, MOV_CR4_EAX);
    *ax = X86_CR4_PGE | X86_CR4_PSE | X86_CR4_OSFXSR;
    CHECK_EQ(EXEC(r, MOV_CR4_EAX), -1);
    CHECK_EQ(cpu->cr4, *ax);
    CHECK_EQ(EXEC(r, 0x0f, 0x20, 0xe3), -1); /* mov ebx, cr4 */
    CHECK_EQ(cpu->gpr[X86_RBX], *ax);
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0x20, 0xc8); /* cr1 */

    /* LMSW sets PE but cannot clear it; CLTS; SMSW */
    *ax = 0xfff0 | X86_CR0_TS | X86_CR0_MP;
    CHECK_EQ(EXEC(r, 0x0f, 0x01, 0xf0), -1); /* lmsw ax */
    CHECK_EQ(cpu->cr0, X86_CR0_PE | X86_CR0_ET | X86_CR0_TS | X86_CR0_MP);
    CHECK_EQ(EXEC(r, 0x0f, 0x06), -1);
    CHECK(!(cpu->cr0 & X86_CR0_TS));
    cpu->gpr[X86_RBX] = 0xffffffff;
    CHECK_EQ(EXEC(r, 0x66, 0x0f, 0x01, 0xe3), -1); /* smsw bx */
    CHECK_EQ(cpu->gpr[X86_RBX], 0xffff0000 | (cpu->cr0 & 0xffff));

    /* PAE: the four top entries are checked and held */
    rig_put(r, RIG_PT, (RIG_PT + 0x1000) | 1, 8);
    rig_put(r, RIG_PT + 8, 0x1e7, 8); /* reserved bits */
    rig_put(r, RIG_PT + 0x1000, 0x83, 8);
    *ax = X86_CR4_PAE;
    CHECK_EQ(EXEC(r, MOV_CR4_EAX), -1);
    *ax = RIG_PT;
    CHECK_EQ(EXEC(r, MOV_CR3_EAX), -1);
    *ax = X86_CR0_PE | X86_CR0_PG;
    CHECK_FAULT(r, X86_GP, 0, MOV_CR0_EAX);
    rig_put(r, RIG_PT + 8, 0, 8);
    CHECK_EQ(EXEC(r, MOV_CR0_EAX), -1);
    CHECK_EQ(cpu->pdpte[0], (RIG_PT + 0x1000) | 1);
    rig_put(r, RIG_PT + 16, 0x1e7, 8);
    *ax = RIG_PT;
    CHECK_FAULT(r, X86_GP, 0, MOV_CR3_EAX);

    /* everything of this needs ring 0 */
    rig_protected(r);
    rig_user(r);
    CHECK_FAULT(r, X86_GP, 0, MOV_CR0_EAX);
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x20, 0xc0);
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x06);
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x01, 0xf0);
    CHECK_FAULT(r, X86_GP, 0, 0xf4);
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x09);
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x32);
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x01, 0x15, 0, 0x90, 0, 0); /* lgdt */
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x01, 0x3d, 0, 0x90, 0, 0); /* invlpg */
    CHECK_EQ(EXEC(r, 0x0f, 0x01, 0xe0), -1);                    /* smsw: allowed */
}

static void test_long_control(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    uint64_t *ax = &cpu->gpr[X86_RAX];
    rig_long(r);
    *ax = cpu->cr0 | BIT(32);
    CHECK_FAULT(r, X86_GP, 0, MOV_CR0_EAX);
    *ax = cpu->cr0 & ~X86_CR0_PG;
    CHECK_FAULT(r, X86_GP, 0, MOV_CR0_EAX); /* 64-bit code */
    *ax = cpu->cr4 & ~X86_CR4_PAE;
    CHECK_FAULT(r, X86_GP, 0, MOV_CR4_EAX);
    *ax = RIG_PT | BIT(46);
    CHECK_FAULT(r, X86_GP, 0, MOV_CR3_EAX);
    *ax = RIG_PT | BIT(63); /* without PCIDE a reserved bit */
    CHECK_FAULT(r, X86_GP, 0, MOV_CR3_EAX);
    *ax = RIG_PT | 0x18;
    CHECK_EQ(EXEC(r, MOV_CR3_EAX), -1);
    *ax = cpu->cr4 | X86_CR4_PCIDE;
    CHECK_FAULT(r, X86_GP, 0, MOV_CR4_EAX); /* CR3[11:0] not zero */
    cpu->cr3 = RIG_PT;
    CHECK_EQ(EXEC(r, MOV_CR4_EAX), -1);
    uint64_t flushes = cpu->tlb_stats.flush;
    *ax = RIG_PT | BIT(63);
    CHECK_EQ(EXEC(r, MOV_CR3_EAX), -1);
    CHECK_EQ(cpu->cr3, RIG_PT);
    CHECK_EQ(cpu->tlb_stats.flush, flushes);
    *ax = RIG_PT | 5 | BIT(63); /* another context: our TLB has one */
    CHECK_EQ(EXEC(r, MOV_CR3_EAX), -1);
    CHECK_EQ(cpu->cr3, RIG_PT | 5);
    CHECK_EQ(cpu->tlb_stats.flush, flushes + 1);

    /* CR8 goes to the interrupt controller */
    *ax = 9;
    CHECK_EQ(EXEC(r, 0x44, 0x0f, 0x22, 0xc0), -1);
    CHECK_EQ(r->cr8, 9);
    CHECK_EQ(EXEC(r, 0x44, 0x0f, 0x20, 0xc3), -1);
    CHECK_EQ(cpu->gpr[X86_RBX], 9);
    *ax = 16;
    CHECK_FAULT(r, X86_GP, 0, 0x44, 0x0f, 0x22, 0xc0);

    /* INVPCID rax, [rbx] */
    cpu->gpr[X86_RBX] = 0x9000;
    *ax = 0;
    rig_put(r, 0x9000, 5, 8);
    rig_put(r, 0x9008, 0x7000, 8);
    CHECK_EQ(EXEC(r, 0x66, 0x0f, 0x38, 0x82, 0x03), -1);
    rig_put(r, 0x9008, BIT(47), 8);
    CHECK_FAULT(r, X86_GP, 0, 0x66, 0x0f, 0x38, 0x82, 0x03);
    *ax = 1;
    CHECK_EQ(EXEC(r, 0x66, 0x0f, 0x38, 0x82, 0x03), -1);
    rig_put(r, 0x9000, 0x1000, 8);
    CHECK_FAULT(r, X86_GP, 0, 0x66, 0x0f, 0x38, 0x82, 0x03);
    rig_put(r, 0x9000, 0, 8);
    *ax = 4;
    CHECK_FAULT(r, X86_GP, 0, 0x66, 0x0f, 0x38, 0x82, 0x03);
    *ax = 2;
    flushes = cpu->tlb_stats.flush;
    CHECK_EQ(EXEC(r, 0x66, 0x0f, 0x38, 0x82, 0x03), -1);
    CHECK_EQ(cpu->tlb_stats.flush, flushes + 1);
}

static void test_debug_registers(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    uint64_t *ax = &cpu->gpr[X86_RAX];
    rig_protected(r);
    *ax = 0xffffffff;
    CHECK_EQ(EXEC(r, MOV_DR6_EAX), -1);
    CHECK_EQ(cpu->dr[6], 0xffffeffful & ~BIT(12));
    *ax = 0;
    CHECK_EQ(EXEC(r, 0x0f, 0x23, 0xe0), -1); /* dr4 is dr6 */
    CHECK_EQ(cpu->dr[6], 0xffff0ff0);
    CHECK_EQ(EXEC(r, MOV_DR7_EAX), -1);
    CHECK_EQ(cpu->dr[7], 0x400);
    cpu->cr4 |= X86_CR4_DE;
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0x23, 0xe0);
    *ax = 0x9000;
    CHECK_EQ(EXEC(r, 0x0f, 0x23, 0xc0), -1); /* dr0 */
    *ax = 2;
    CHECK_EQ(EXEC(r, MOV_DR7_EAX), -1);
    CHECK(cpu->debugging);
    *ax = BIT(13);
    CHECK_EQ(EXEC(r, MOV_DR7_EAX), -1);
    CHECK_EQ(STEP(r, 0x0f, 0x21, 0xc3), X86_EXIT_NONE); /* general detect: #DB before */
    CHECK_EQ(cpu->rip, RIG_HANDLER + 0x10);
    CHECK(cpu->dr[6] & BIT(13));
    CHECK_EQ(cpu->dr[7], 0x400); /* GD is cleared for the handler */

    rig_long(r);
    *ax = BIT(32);
    CHECK_FAULT(r, X86_GP, 0, MOV_DR6_EAX);
    CHECK_FAULT(r, X86_GP, 0, MOV_DR7_EAX);
    CHECK_EQ(EXEC(r, 0x0f, 0x23, 0xc0), -1);
    CHECK_EQ(cpu->dr[0], BIT(32));
}

static void test_tables(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    uint64_t *ax = &cpu->gpr[X86_RAX];
    rig_protected(r);
    cpu->gdt.base = 0xff001000;
    CHECK_EQ(EXEC(r, 0x66, 0x0f, 0x01, 0x05, 0, 0x90, 0, 0), -1); /* sgdt, 16-bit */
    CHECK_EQ(rig_get(r, 0x9000, 6), 0xff0010000000ull | cpu->gdt.limit);
    cpu->gdt.base = RIG_GDT;
    rig_put(r, 0x9100, 0x1234, 2);
    rig_put(r, 0x9102, 0x89abcdef, 4);
    CHECK_EQ(EXEC(r, 0x0f, 0x01, 0x1d, 0, 0x91, 0, 0), -1); /* lidt */
    CHECK_EQ(cpu->idt.base, 0x89abcdef);
    CHECK_EQ(cpu->idt.limit, 0x1234);
    rig_put(r, 0x9206, 0xeeee, 2);
    CHECK_EQ(EXEC(r, 0x0f, 0x01, 0x0d, 0, 0x92, 0, 0), -1); /* sidt: 6 bytes */
    CHECK_EQ(rig_get(r, 0x9200, 8), 0xeeee89abcdef1234);

    *ax = 0;
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x00, 0xd8); /* ltr 0 */
    *ax = RIG_TR;
    CHECK_FAULT(r, X86_GP, RIG_TR, 0x0f, 0x00, 0xd8); /* busy */
    *ax = RIG_DS32;
    CHECK_FAULT(r, X86_GP, RIG_DS32, 0x0f, 0x00, 0xd8);
    CHECK_FAULT(r, X86_GP, RIG_DS32, 0x0f, 0x00, 0xd0); /* lldt */
    *ax = RIG_TR2 | 4;
    CHECK_FAULT(r, X86_GP, RIG_TR2 | 4, 0x0f, 0x00, 0xd8);
    *ax = RIG_TR2;
    CHECK_EQ(EXEC(r, 0x0f, 0x00, 0xd8), -1);
    CHECK_EQ(cpu->tr.base, RIG_TSS2);
    CHECK_EQ(rig_get(r, RIG_GDT + RIG_TR2 + 5, 1), 0x8b);
    cpu->gpr[X86_RBX] = 0xffffffff;
    CHECK_EQ(EXEC(r, 0x0f, 0x00, 0xcb), -1); /* str ebx */
    CHECK_EQ(cpu->gpr[X86_RBX], RIG_TR2);
    rig_gdt(r, 0x88, rig_desc(0, 0xff, 0x02));
    *ax = 0x88;
    CHECK_FAULT(r, X86_NP, 0x88, 0x0f, 0x00, 0xd0);
    *ax = 3;
    CHECK_EQ(EXEC(r, 0x0f, 0x00, 0xd0), -1); /* null LDT */
    CHECK_EQ(EXEC(r, 0x0f, 0x00, 0x05, 0, 0x93, 0, 0), -1);
    CHECK_EQ(rig_get(r, 0x9300, 4), 3); /* sldt [m16] */

    rig_long(r);
    rig_put(r, 0x9000, 0xfff, 2);
    rig_put(r, 0x9002, 0x800000000000, 8);
    cpu->gpr[X86_RBX] = 0x9000;
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x01, 0x13); /* lgdt [rbx]: not canonical */
    rig_put(r, 0x9002, 0xffff800000001000, 8);
    CHECK_EQ(EXEC(r, 0x0f, 0x01, 0x1b), -1); /* lidt */
    CHECK_EQ(cpu->idt.base, 0xffff800000001000);
    cpu->gpr[X86_RBX] = 0x9100;
    CHECK_EQ(EXEC(r, 0x0f, 0x01, 0x0b), -1); /* sidt */
    CHECK_EQ(rig_get(r, 0x9102, 8), 0xffff800000001000);
    rig_gdt(r, RIG_TR2 + 8, 0xffff8000);
    *ax = RIG_TR2;
    CHECK_EQ(EXEC(r, 0x0f, 0x00, 0xd8), -1);
    CHECK_EQ(cpu->tr.base, 0xffff800000000000 | RIG_TSS2);
    rig_gdt(r, RIG_LDTR + 8, 0x8000);
    *ax = RIG_LDTR;
    CHECK_FAULT(r, X86_GP, RIG_LDTR, 0x0f, 0x00, 0xd0); /* base not canonical */

    rig_real(r);
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0x00, 0xd8);
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0x00, 0xc0);
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0x02, 0xc3);
}

static void test_selector_queries(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    uint64_t *ax = &cpu->gpr[X86_RAX], *bx = &cpu->gpr[X86_RBX];
    rig_protected(r);
    rig_gdt(r, 0x88, rig_gate(RIG_CS32, 0, 0x8e, 0));
    static const struct {
        uint32_t sel;
        bool lar, lsl, verr, verw;
    } t[] = {
        { RIG_CS32, 1, 1, 1, 0 }, { RIG_DS32, 1, 1, 1, 1 },  { RIG_DS32 | 3, 0, 0, 0, 0 },
        { RIG_TR, 1, 1, 0, 0 },   { 0x88, 0, 0, 0, 0 },      { 0, 0, 0, 0, 0 },
        { 0xfff8, 0, 0, 0, 0 },   { RIG_UCS32, 1, 1, 1, 0 },
    };
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        *bx = t[i].sel;
        *ax = 0x55;
        CHECK_EQ(EXEC(r, 0x0f, 0x02, 0xc3), -1); /* lar eax, ebx */
        CHECK_EQ(!!(cpu->rflags & X86_ZF), t[i].lar);
        if (!t[i].lar)
            CHECK_EQ(*ax, 0x55);
        CHECK_EQ(EXEC(r, 0x0f, 0x03, 0xc3), -1); /* lsl */
        CHECK_EQ(!!(cpu->rflags & X86_ZF), t[i].lsl);
        CHECK_EQ(EXEC(r, 0x0f, 0x00, 0xe3), -1); /* verr bx */
        CHECK_EQ(!!(cpu->rflags & X86_ZF), t[i].verr);
        CHECK_EQ(EXEC(r, 0x0f, 0x00, 0xeb), -1); /* verw bx */
        CHECK_EQ(!!(cpu->rflags & X86_ZF), t[i].verw);
    }
    *bx = RIG_CS32;
    EXEC(r, 0x0f, 0x02, 0xc3);
    CHECK_EQ(*ax, 0xc09b00);
    EXEC(r, 0x0f, 0x03, 0xc3);
    CHECK_EQ(*ax, 0xffffffff);
    *bx = RIG_TR;
    EXEC(r, 0x66, 0x0f, 0x03, 0xc3);
    CHECK_EQ(*ax, 0xffff0fff);

    *ax = 0x1235;
    *bx = 0x4443;
    CHECK_EQ(EXEC(r, 0x63, 0xd8), -1); /* arpl ax, bx */
    CHECK_EQ(*ax, 0x1237);
    CHECK(cpu->rflags & X86_ZF);
    *bx = 0x4441;
    CHECK_EQ(EXEC(r, 0x63, 0xd8), -1);
    CHECK_EQ(*ax, 0x1237);
    CHECK(!(cpu->rflags & X86_ZF));

    rig_put(r, 0x9000, (uint32_t)-5, 4);
    rig_put(r, 0x9004, 5, 4);
    *ax = 5;
    CHECK_EQ(EXEC(r, 0x62, 0x05, 0, 0x90, 0, 0), -1); /* bound eax, [0x9000] */
    *ax = (uint32_t)-6;
    CHECK_FAULT(r, X86_BR, 0, 0x62, 0x05, 0, 0x90, 0, 0);
}

static void test_syscall(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    rig_long(r);
    cpu->msr.star = (uint64_t)RIG_SYSRET << 48 | (uint64_t)RIG_CS64 << 32;
    cpu->msr.lstar = 0xffffffff81000000;
    cpu->msr.sfmask = X86_IF | X86_DF;
    rig_user(r);
    cpu->rflags = X86_F1 | X86_IF | X86_DF | X86_CF;
    CHECK_EQ(EXEC(r, 0x0f, 0x05), -1);
    CHECK_EQ(cpu->cpl, 0);
    CHECK_EQ(cpu->rip, 0xffffffff81000000);
    CHECK_EQ(cpu->gpr[X86_RCX], RIG_CODE + 2);
    CHECK_EQ(cpu->gpr[11], X86_F1 | X86_IF | X86_DF | X86_CF);
    CHECK_EQ(cpu->rflags, X86_F1 | X86_CF);
    CHECK_EQ(cpu->seg[X86_CS].sel, RIG_CS64);
    CHECK_EQ(cpu->seg[X86_SS].sel, RIG_DS64);
    CHECK_EQ(cpu->seg[X86_SS].attr, 0xc093);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK3);
    cpu->rip = RIG_CODE;
    CHECK_EQ(EXEC(r, 0x48, 0x0f, 0x07), -1); /* sysretq */
    CHECK_EQ(cpu->cpl, 3);
    CHECK_EQ(cpu->code, 8);
    CHECK_EQ(cpu->rip, RIG_CODE + 2);
    CHECK_EQ(cpu->seg[X86_CS].sel, RIG_UCS64);
    CHECK_EQ(cpu->seg[X86_SS].sel, RIG_UDS64);
    CHECK_EQ(cpu->rflags, X86_F1 | X86_IF | X86_DF | X86_CF);
    CHECK_FAULT(r, X86_GP, 0, 0x48, 0x0f, 0x07); /* ring 3 */

    rig_long(r);
    cpu->msr.star = (uint64_t)RIG_SYSRET << 48;
    cpu->gpr[X86_RCX] = 0x800000000000;
    cpu->gpr[11] = ~0ull;
    CHECK_FAULT(r, X86_GP, 0, 0x48, 0x0f, 0x07);
    CHECK_EQ(EXEC(r, 0x0f, 0x07), -1); /* sysretl */
    CHECK_EQ(cpu->code, 4);
    CHECK_EQ(cpu->rip, 0);
    CHECK_EQ(cpu->seg[X86_CS].sel, RIG_SYSRET | 3);
    CHECK_EQ(cpu->rflags, (X86_FLAGS_DEFINED & ~(X86_RF | X86_VM)) | X86_F1);
    rig_long(r);
    cpu->efer &= ~X86_EFER_SCE;
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0x05);
    rig_protected(r);
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0x05);

    rig_protected(r);
    rig_user(r);
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x34); /* sysenter with a null CS */
    cpu->msr.sysenter_cs = 0x88;
    cpu->msr.sysenter_esp = RIG_STACK;
    cpu->msr.sysenter_eip = 0x8800;
    cpu->rflags = X86_F1 | X86_IF;
    CHECK_EQ(EXEC(r, 0x0f, 0x34), -1);
    CHECK_EQ(cpu->cpl, 0);
    CHECK_EQ(cpu->rip, 0x8800);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK);
    CHECK_EQ(cpu->seg[X86_CS].sel, 0x88);
    CHECK_EQ(cpu->seg[X86_SS].sel, 0x90);
    CHECK_EQ(cpu->rflags, X86_F1);
    CHECK_EQ(cpu->flat & 6, 6);
    cpu->gpr[X86_RDX] = 0x9000;
    cpu->gpr[X86_RCX] = RIG_STACK3;
    CHECK_EQ(EXEC(r, 0x0f, 0x35), -1); /* sysexit */
    CHECK_EQ(cpu->cpl, 3);
    CHECK_EQ(cpu->rip, 0x9000);
    CHECK_EQ(cpu->seg[X86_CS].sel, 0x9b);
    CHECK_EQ(cpu->seg[X86_SS].sel, 0xa3);
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x35);
}

static void test_ports(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    rig_protected(r);
    r->io.value = 0x12345678;
    cpu->gpr[X86_RAX] = 0xffffffff;
    cpu->gpr[X86_RDX] = 0x3f8;
    CHECK_EQ(EXEC(r, 0xec), -1); /* in al, dx */
    CHECK_EQ(cpu->gpr[X86_RAX], 0xffffff78);
    CHECK_EQ(r->io.port, 0x3f8);
    CHECK_EQ(EXEC(r, 0x66, 0xe5, 0xf0), -1); /* in ax, 0xf0 */
    CHECK_EQ(cpu->gpr[X86_RAX], 0xffff5678);
    CHECK_EQ(r->io.port, 0xf0);
    CHECK_EQ(EXEC(r, 0xef), -1); /* out dx, eax */
    CHECK_EQ(r->io.value, 0xffff5678);
    CHECK_EQ(r->io.len, 4);
    CHECK(r->io.write);

    /* ring 3, IOPL 0: the map decides */
    rig_user(r);
    cpu->gpr[X86_RDX] = 0x3f8;
    CHECK_FAULT(r, X86_GP, 0, 0xec); /* map behind the limit */
    rig_put(r, RIG_TSS + 0x66, 0x68, 2);
    CHECK_EQ(EXEC(r, 0xec), -1);
    rig_put(r, RIG_TSS + 0x68 + 0x3f8 / 8, 0x08, 1);
    CHECK_EQ(EXEC(r, 0x66, 0xed), -1); /* 3f8, 3f9 */
    CHECK_FAULT(r, X86_GP, 0, 0xed);   /* 3f8 .. 3fb */
    cpu->gpr[X86_RDX] = 0x3ff;
    CHECK_EQ(EXEC(r, 0x66, 0xed), -1);
    rig_put(r, RIG_TSS + 0x68 + 0x400 / 8, 0x01, 1);
    CHECK_FAULT(r, X86_GP, 0, 0x66, 0xed); /* across a byte of the map */
    cpu->tr.limit = 0x68 + 0x3ff / 8;
    CHECK_FAULT(r, X86_GP, 0, 0xec); /* the second byte lies behind the limit */
    cpu->rflags |= X86_IOPL;
    CHECK_EQ(EXEC(r, 0xec), -1);
    CHECK_EQ(EXEC(r, 0xfa), -1); /* cli */
    cpu->rflags &= ~X86_IOPL;
    CHECK_FAULT(r, X86_GP, 0, 0xfa);
    CHECK_FAULT(r, X86_GP, 0, 0xfb);
}

static void test_misc(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    rig_long(r);
    cpu->seg[X86_GS].base = 0x1000;
    cpu->msr.kernel_gs_base = 0xffff888000000000;
    CHECK_EQ(EXEC(r, 0x0f, 0x01, 0xf8), -1); /* swapgs */
    CHECK_EQ(cpu->seg[X86_GS].base, 0xffff888000000000);
    CHECK_EQ(cpu->msr.kernel_gs_base, 0x1000);
    CHECK_FAULT(r, X86_UD, 0, 0xf3, 0x48, 0x0f, 0xae, 0xc0); /* rdfsbase without CR4 */
    cpu->cr4 |= X86_CR4_FSGSBASE;
    cpu->gpr[X86_RAX] = 0x7fff12345678;
    CHECK_EQ(EXEC(r, 0xf3, 0x48, 0x0f, 0xae, 0xd0), -1); /* wrfsbase rax */
    CHECK_EQ(cpu->seg[X86_FS].base, 0x7fff12345678);
    CHECK_EQ(EXEC(r, 0xf3, 0x0f, 0xae, 0xc3), -1); /* rdfsbase ebx */
    CHECK_EQ(cpu->gpr[X86_RBX], 0x12345678);
    cpu->gpr[X86_RAX] = 0x800000000000;
    CHECK_FAULT(r, X86_GP, 0, 0xf3, 0x48, 0x0f, 0xae, 0xd8);

    r->tsc = 0x123456789abc;
    cpu->tsc_offset = 4;
    cpu->msr.tsc_aux = 0x77;
    CHECK_EQ(EXEC(r, 0x0f, 0x01, 0xf9), -1); /* rdtscp */
    CHECK_EQ(cpu->gpr[X86_RAX], 0x56789ac0);
    CHECK_EQ(cpu->gpr[X86_RDX], 0x1234);
    CHECK_EQ(cpu->gpr[X86_RCX], 0x77);
    CHECK_EQ(EXEC(r, 0xf3, 0x0f, 0xc7, 0xf8), -1); /* rdpid rax */
    CHECK_EQ(cpu->gpr[X86_RAX], 0x77);
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x33); /* rdpmc */
    cpu->cr4 |= X86_CR4_TSD;
    CHECK_EQ(EXEC(r, 0x0f, 0x31), -1);
    rig_user(r);
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x31);
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x01, 0xf9);
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x01, 0xf8);

    /* XCR0 */
    rig_long(r);
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0x01, 0xd0);
    if (x86_native_xcr0() & X86_XCR0_AVX) {
        cpu->gpr[X86_RAX] = cpu->cr4 | X86_CR4_OSXSAVE;
        CHECK_EQ(EXEC(r, MOV_CR4_EAX), -1);
        cpu->gpr[X86_RCX] = 0;
        CHECK_EQ(EXEC(r, 0x0f, 0x01, 0xd0), -1);
        CHECK_EQ(cpu->gpr[X86_RAX], 1);
        static const uint32_t bad[] = { 0, 2, 5, 0x9, 0x27, 0x67, 0xc7, 0x200 | 7 };
        cpu->gpr[X86_RDX] = 0;
        for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
            cpu->gpr[X86_RAX] = bad[i];
            CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x01, 0xd1);
        }
        cpu->gpr[X86_RAX] = 7;
        CHECK_EQ(EXEC(r, 0x0f, 0x01, 0xd1), -1);
        CHECK_EQ(cpu->xcr0, 7);
        cpu->gpr[X86_RCX] = 1;
        CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x01, 0xd0);
        CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x01, 0xd1);
    }

    /* not offered */
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0x01, 0xca);       /* clac */
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0x01, 0xc8);       /* monitor */
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0x01, 0xc1);       /* vmcall */
    CHECK_FAULT(r, X86_UD, 0, 0xc7, 0xf8, 0, 0, 0, 0); /* xbegin */
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0x01, 0xe8);       /* serialize */
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0x0b);             /* ud2 */
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0xaa);             /* rsm */
}

int main(void)
{
    struct rig *r = rig_create();
    test_cr0_cr4(r);
    test_long_control(r);
    test_debug_registers(r);
    test_tables(r);
    test_selector_queries(r);
    test_syscall(r);
    test_ports(r);
    test_misc(r);
    rig_destroy(r);
    return unit_done("system");
}
