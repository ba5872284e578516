/* SPDX-License-Identifier: BSD-2-Clause */
/* Hardware task switch: JMP, CALL, IRET, task gates, 16-bit TSS, checks, faults in the new task. */
#include "tests/unit/x86_rig.h"

enum { GATE = 0x88, FLAGS2 = X86_F1 | X86_IF | X86_SF };

/* The second task: ring 0 at 0x9000, its own registers. */
static void make_task(struct rig *r)
{
    static const struct {
        unsigned off;
        uint32_t v;
    } state[] = {
        { 0x20, 0x9000 },   { 0x24, FLAGS2 },     { 0x28, 0xaaaa0001 }, { 0x2c, 0xaaaa0002 },
        { 0x38, RIG_IST1 }, { 0x44, 0xaaaa0007 }, { 0x48, RIG_UDS32 },  { 0x4c, RIG_CS32 },
        { 0x50, RIG_DS32 }, { 0x54, RIG_DS32 },   { 0x58, 0 },          { 0x5c, 0 },
        { 0x60, RIG_LDTR },
    };
    rig_protected(r);
    r->cpu.ldt.attr |= X86_SEG_UNUSABLE;
    for (unsigned i = 0; i < ARRAY_LEN(state); i++)
        rig_put(r, RIG_TSS2 + state[i].off, state[i].v, 4);
    rig_gdt(r, GATE, rig_gate(RIG_TR2, 0, 0xe5, 0));
    r->cpu.gpr[X86_RAX] = 0x11;
    r->cpu.gpr[X86_RDI] = 0x77;
    r->cpu.rflags = X86_F1 | X86_CF;
    r->cpu.dr[7] = 0x400 | 0x1; /* local, without effect on the checks here */
    x86_state_changed(&r->cpu);
}

static void check_in_task2(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    CHECK_EQ(cpu->rip, 0x9000);
    CHECK_EQ(cpu->tr.sel, RIG_TR2);
    CHECK_EQ(cpu->tr.attr & 0xf, 0xb);
    CHECK_EQ(cpu->gpr[X86_RAX], 0xaaaa0001);
    CHECK_EQ(cpu->gpr[X86_RCX], 0xaaaa0002);
    CHECK_EQ(cpu->gpr[X86_RDI], 0xaaaa0007);
    CHECK_EQ(cpu->seg[X86_ES].sel, RIG_UDS32);
    CHECK_EQ(cpu->seg[X86_CS].sel, RIG_CS32);
    CHECK(cpu->seg[X86_FS].attr & X86_SEG_UNUSABLE);
    CHECK_EQ(cpu->ldt.base, RIG_LDT);
    CHECK(cpu->cr0 & X86_CR0_TS);
    CHECK_EQ(cpu->dr[7] & 0xff, 0);
    /* the old one is saved */
    CHECK_EQ(rig_get(r, RIG_TSS + 0x28, 4), 0x11);
    CHECK_EQ(rig_get(r, RIG_TSS + 0x44, 4), 0x77);
    CHECK_EQ(rig_get(r, RIG_TSS + 0x4c, 4), RIG_CS32);
    CHECK_EQ(rig_get(r, RIG_TSS + 0x50, 4), RIG_DS32);
    CHECK_EQ(rig_get(r, RIG_TSS + 0x24, 4), X86_F1 | X86_CF);
}

static unsigned type_of(struct rig *r, unsigned sel) { return rig_get(r, RIG_GDT + sel + 5, 1); }

static void test_jmp(struct rig *r)
{
    make_task(r);
    CHECK_EQ(EXEC(r, 0xea, 0, 0, 0, 0, RIG_TR2, 0), -1);
    check_in_task2(r);
    CHECK_EQ(r->cpu.rflags, FLAGS2);
    CHECK_EQ(r->cpu.gpr[X86_RSP], RIG_IST1);
    CHECK_EQ(type_of(r, RIG_TR), 0x89);
    CHECK_EQ(type_of(r, RIG_TR2), 0x8b);
    CHECK_EQ(rig_get(r, RIG_TSS + 0x20, 4), RIG_CODE + 7);
    CHECK_EQ(EXEC(r, 0xea, 0, 0, 0, 0, RIG_TR, 0), -1); /* back */
    CHECK_EQ(r->cpu.rip, RIG_CODE + 7);
    CHECK_EQ(r->cpu.gpr[X86_RAX], 0x11);
    CHECK_EQ(type_of(r, RIG_TR2), 0x89);
}

static void test_call_iret(struct rig *r)
{
    make_task(r);
    CHECK_EQ(EXEC(r, 0x9a, 0, 0, 0, 0, GATE, 0), -1); /* by task gate */
    check_in_task2(r);
    CHECK_EQ(r->cpu.rflags, FLAGS2 | X86_NT);
    CHECK_EQ(rig_get(r, RIG_TSS2, 2), RIG_TR);
    CHECK_EQ(type_of(r, RIG_TR), 0x8b);
    CHECK_EQ(type_of(r, RIG_TR2), 0x8b);
    CHECK_FAULT(r, X86_GP, RIG_TR, 0x9a, 0, 0, 0, 0, RIG_TR, 0); /* busy */
    CHECK_EQ(EXEC(r, 0xcf), -1);
    CHECK_EQ(r->cpu.rip, RIG_CODE + 7);
    CHECK_EQ(r->cpu.tr.sel, RIG_TR);
    CHECK_EQ(type_of(r, RIG_TR2), 0x89);
    CHECK_EQ(type_of(r, RIG_TR), 0x8b);
    CHECK_EQ(rig_get(r, RIG_TSS2 + 0x24, 4), FLAGS2); /* NT cleared in what is left */
    CHECK_EQ(rig_get(r, RIG_TSS2 + 0x20, 4), 0x9001);
    /* a link that is not a busy TSS */
    r->cpu.rflags |= X86_NT;
    rig_put(r, RIG_TSS, RIG_TR2, 2);
    CHECK_FAULT(r, X86_TS, RIG_TR2, 0xcf);
}

static void test_interrupt(struct rig *r)
{
    /* #GP by task gate: error code on the new task's stack, old EIP at the instruction */
    make_task(r);
    rig_idt(r, X86_GP, rig_gate(RIG_TR2, 0, 0x85, 0));
    r->cpu.gpr[X86_RAX] = 0x11;
    CHECK_EQ(STEP(r, 0xea, 0, 0, 0, 0, 0xf8, 0xff), X86_EXIT_NONE);
    CHECK_EQ(r->cpu.rip, 0x9000);
    CHECK_EQ(r->cpu.gpr[X86_RSP], RIG_IST1 - 4);
    CHECK_EQ(rig_get(r, RIG_IST1 - 4, 4), 0xfff8);
    CHECK_EQ(rig_get(r, RIG_TSS + 0x20, 4), RIG_CODE);
    CHECK(r->cpu.rflags & X86_NT);
    CHECK_EQ(EXEC(r, 0xcf), -1);
    CHECK_EQ(r->cpu.rip, RIG_CODE);

    /* trap bit */
    make_task(r);
    rig_put(r, RIG_TSS2 + 0x64, 1, 2);
    CHECK_EQ(STEP(r, 0xea, 0, 0, 0, 0, RIG_TR2, 0), X86_EXIT_NONE);
    CHECK_EQ(r->cpu.rip, 0x9000);
    CHECK_EQ(x86_step(&r->cpu), X86_EXIT_NONE);
    CHECK_EQ(r->cpu.rip, RIG_HANDLER + 0x10);
    CHECK(r->cpu.dr[6] & BIT(15));
    CHECK_EQ(rig_get(r, r->cpu.gpr[X86_RSP], 4), 0x9000);
}

static void test_checks(struct rig *r)
{
    make_task(r);
    rig_gdt(r, RIG_TR2, rig_desc(RIG_TSS2, 0x66, 0x89));
    CHECK_FAULT(r, X86_TS, RIG_TR2, 0xea, 0, 0, 0, 0, RIG_TR2, 0);
    rig_gdt(r, RIG_TR2, rig_desc(RIG_TSS2, 0x67, 0x09));
    CHECK_FAULT(r, X86_NP, RIG_TR2, 0xea, 0, 0, 0, 0, RIG_TR2, 0);
    rig_gdt(r, GATE, rig_gate(RIG_TR2 | 4, 0, 0xe5, 0));
    CHECK_FAULT(r, X86_GP, RIG_TR2 | 4, 0xea, 0, 0, 0, 0, GATE, 0);
    CHECK_EQ(type_of(r, RIG_TR), 0x8b);

    /* faults of the new task are delivered in it, at its EIP */
    static const struct {
        unsigned off;
        uint32_t v;
        unsigned vector;
        uint32_t error;
    } bad[] = {
        { 0x60, RIG_DS32, X86_TS, RIG_DS32 },     /* LDT */
        { 0x54, RIG_CS16 | 3, X86_TS, RIG_CS16 }, /* DS: RPL above DPL */
        { 0x58, 0x90, X86_NP, 0x90 },             /* FS: not present */
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        make_task(r);
        rig_gdt(r, 0x90, rig_desc(0, 0xfffff, 0xc013));
        rig_put(r, RIG_TSS2 + bad[i].off, bad[i].v, 4);
        CHECK_EQ(EXEC(r, 0xea, 0, 0, 0, 0, RIG_TR2, 0), bad[i].vector);
        CHECK_EQ(r->cpu.exc.error, bad[i].error);
        CHECK_EQ(r->cpu.rip, 0x9000);
        CHECK_EQ(r->cpu.tr.sel, RIG_TR2);
    }
}

static void test_16bit(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    make_task(r);
    memset(r->ram + RIG_TSS2, 0, 0x68);
    rig_gdt(r, RIG_TR2, rig_desc(RIG_TSS2, 0x2b, 0x81));
    rig_put(r, RIG_TSS2 + 0x0e, 0x9100, 2);
    rig_put(r, RIG_TSS2 + 0x10, X86_F1 | X86_ZF, 2);
    rig_put(r, RIG_TSS2 + 0x12, 0x4321, 2);
    rig_put(r, RIG_TSS2 + 0x1a, 0x7000, 2);
    rig_put(r, RIG_TSS2 + 0x24, RIG_CS16, 2);
    rig_put(r, RIG_TSS2 + 0x26, RIG_DS32, 2);
    CHECK_EQ(EXEC(r, 0x9a, 0, 0, 0, 0, RIG_TR2, 0), -1);
    CHECK_EQ(cpu->rip, 0x9100);
    CHECK_EQ(cpu->code, 2);
    CHECK_EQ(cpu->gpr[X86_RAX] & 0xffff, 0x4321);
    CHECK_EQ(cpu->rflags, X86_F1 | X86_ZF | X86_NT);
    CHECK_EQ(type_of(r, RIG_TR2), 0x83);
    CHECK_EQ(EXEC(r, 0xcf), -1);
    CHECK_EQ(cpu->code, 4);
    CHECK_EQ(cpu->rip, RIG_CODE + 7);
    CHECK_EQ(rig_get(r, RIG_TSS2 + 0x0e, 2), 0x9101);
    CHECK_EQ(rig_get(r, RIG_TSS2 + 0x10, 2), X86_F1 | X86_ZF);
}

/* A task in virtual-8086 mode, with its own page tables. */
static void test_v86_paging(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    make_task(r);
    rig_put(r, RIG_PT, 0x87, 4); /* 4 MiB page, identity */
    rig_put(r, RIG_PT + 0x1000, 0x87, 4);
    cpu->cr3 = RIG_PT;
    cpu->cr4 |= X86_CR4_PSE;
    cpu->cr0 |= X86_CR0_PG;
    x86_state_changed(cpu);
    rig_put(r, RIG_TSS2 + 0x1c, RIG_PT + 0x1000, 4);
    rig_put(r, RIG_TSS2 + 0x24, X86_VM | X86_F1, 4);
    rig_put(r, RIG_TSS2 + 0x4c, 0x800, 4);
    rig_put(r, RIG_TSS2 + 0x20, 0x100, 4);
    CHECK_EQ(EXEC(r, 0x9a, 0, 0, 0, 0, RIG_TR2, 0), -1);
    CHECK_EQ(cpu->cr3, RIG_PT + 0x1000);
    CHECK_EQ(cpu->cpl, 3);
    CHECK_EQ(cpu->seg[X86_CS].base, 0x8000);
    CHECK_EQ(cpu->code, 2);
    CHECK(cpu->rflags & X86_VM);
    CHECK(cpu->rflags & X86_NT);
}

int main(void)
{
    struct rig *r = rig_create();
    test_jmp(r);
    test_call_iret(r);
    test_interrupt(r);
    test_checks(r);
    test_16bit(r);
    test_v86_paging(r);
    rig_destroy(r);
    return unit_done("task");
}
