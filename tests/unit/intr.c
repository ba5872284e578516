/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts and exceptions: real mode, 16- and 32-bit gates, 64-bit gates with IST, error codes,
 * double and triple fault, IRET. */
#include "tests/unit/x86_rig.h"

enum { FL = X86_F1 | X86_IF | X86_CF };

static void test_real(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    rig_real(r);
    cpu->rflags = FL | X86_AC;
    CHECK_EQ(EXEC(r, 0xcd, 0x21), -1);
    CHECK_EQ(cpu->seg[X86_CS].base + cpu->rip, RIG_HANDLER + 0x210);
    CHECK_EQ(cpu->gpr[X86_RSP], 0x6ffa);
    CHECK_EQ(rig_get(r, 0x6ffa, 2), RIG_CODE + 2);
    CHECK_EQ(rig_get(r, 0x6ffc, 2), 0);
    CHECK_EQ(rig_get(r, 0x6ffe, 2), FL);
    CHECK(!(cpu->rflags & (X86_IF | X86_AC)));
    CHECK_EQ(EXEC(r, 0xcf), -1);
    CHECK_EQ(cpu->rip, RIG_CODE + 2);
    CHECK_EQ(cpu->rflags & FL, FL);
    CHECK_EQ(cpu->gpr[X86_RSP], 0x7000);

    CHECK_EQ(x86_interrupt(cpu, 8), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, 0x80);
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE); /* add [bx+si], al of zeroed memory: whatever */

    rig_real(r);
    cpu->rflags |= X86_OF;
    CHECK_EQ(EXEC(r, 0xce), -1); /* into */
    CHECK_EQ(cpu->rip, 0x40);
    CHECK_EQ(EXEC(r, 0xcc), -1);
    CHECK_EQ(cpu->rip, 0x30);
    CHECK_EQ(EXEC(r, 0xf1), -1);
    CHECK_EQ(cpu->rip, 0x10);
    cpu->idt.limit = 0x83;
    CHECK_FAULT(r, X86_GP, 0x21 * 8 + 2, 0xcd, 0x21);

    /* #UD delivered through the table */
    rig_real(r);
    CHECK_EQ(STEP(r, 0x0f, 0x0b), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, 0x60);
    CHECK_EQ(rig_get(r, 0x6ffa, 2), RIG_CODE);
}

static void test_protected_gates(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    rig_protected(r);
    cpu->rflags = FL | X86_NT;
    CHECK_EQ(EXEC(r, 0xcd, 0x30), -1); /* interrupt gate, same level */
    CHECK_EQ(cpu->rip, RIG_HANDLER + 0x300);
    CHECK_EQ(cpu->rflags & (X86_IF | X86_NT), 0);
    uint64_t sp = RIG_STACK - 0x800 - 12;
    CHECK_EQ(cpu->gpr[X86_RSP], sp);
    CHECK_EQ(rig_get(r, sp, 4), RIG_CODE + 2);
    CHECK_EQ(rig_get(r, sp + 4, 4), RIG_CS32);
    CHECK_EQ(rig_get(r, sp + 8, 4), FL | X86_NT);
    CHECK_EQ(EXEC(r, 0xcf), -1);
    CHECK_EQ(cpu->rip, RIG_CODE + 2);
    CHECK_EQ(cpu->rflags, FL | X86_NT);

    cpu->rflags = FL;
    rig_idt(r, 0x31, rig_gate(RIG_CS32, 0x31000, 0x8f, 0)); /* trap gate keeps IF */
    CHECK_EQ(EXEC(r, 0xcd, 0x31), -1);
    CHECK(cpu->rflags & X86_IF);
    rig_idt(r, 0x32, rig_gate(RIG_CS16, 0x3200, 0x86, 0)); /* 16-bit interrupt gate */
    sp = cpu->gpr[X86_RSP];
    CHECK_EQ(EXEC(r, 0xcd, 0x32), -1);
    CHECK_EQ(cpu->gpr[X86_RSP], sp - 6);
    CHECK_EQ(cpu->rip, 0x3200);
    CHECK_EQ(cpu->code, 2);

    /* ring 3: DPL of the gate counts for INT n, not for hardware */
    rig_protected(r);
    rig_idt(r, 0x80, rig_gate(RIG_CS32, 0x31000, 0xee, 0));
    rig_user(r);
    cpu->rflags = FL;
    CHECK_FAULT(r, X86_GP, 0x30 * 8 + 2, 0xcd, 0x30);
    CHECK_EQ(EXEC(r, 0xcd, 0x80), -1);
    CHECK_EQ(cpu->cpl, 0);
    CHECK_EQ(cpu->seg[X86_SS].sel, RIG_DS32);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK - 20);
    CHECK_EQ(rig_get(r, RIG_STACK - 20, 4), RIG_CODE + 2);
    CHECK_EQ(rig_get(r, RIG_STACK - 16, 4), RIG_UCS32);
    CHECK_EQ(rig_get(r, RIG_STACK - 12, 4), FL);
    CHECK_EQ(rig_get(r, RIG_STACK - 8, 4), RIG_STACK3);
    CHECK_EQ(rig_get(r, RIG_STACK - 4, 4), RIG_UDS32);
    CHECK_EQ(EXEC(r, 0xcf), -1);
    CHECK_EQ(cpu->cpl, 3);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK3);
    CHECK_EQ(cpu->rflags, FL);
    cpu->rip = RIG_CODE;
    CHECK_EQ(x86_interrupt(cpu, 0x30), X86_EXIT_NONE);
    CHECK_EQ(cpu->cpl, 0);
    CHECK_EQ(cpu->rip, RIG_HANDLER + 0x300);

    /* IRET of ring 3 cannot touch IF or IOPL */
    rig_protected(r);
    rig_user(r);
    cpu->rflags = FL;
    rig_put(r, RIG_STACK3, RIG_CODE, 4);
    rig_put(r, RIG_STACK3 + 4, RIG_UCS32, 4);
    rig_put(r, RIG_STACK3 + 8, X86_IOPL | X86_ZF | X86_AC, 4);
    CHECK_EQ(EXEC(r, 0xcf), -1);
    CHECK_EQ(cpu->rflags, X86_F1 | X86_IF | X86_ZF | X86_AC);
}

static void test_gate_faults(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    rig_protected(r);
    rig_gdt(r, 0x88, rig_desc(0, 0xfffff, 0xc01b));
    rig_idt(r, 0x40, rig_gate(RIG_CS32, 0, 0x0e, 0));
    CHECK_FAULT(r, X86_NP, 0x40 * 8 + 2, 0xcd, 0x40);
    rig_idt(r, 0x40, rig_gate(RIG_CS32, 0, 0x8c, 0));
    CHECK_FAULT(r, X86_GP, 0x40 * 8 + 2, 0xcd, 0x40);
    rig_idt(r, 0x40, rig_gate(0, 0, 0x8e, 0));
    CHECK_FAULT(r, X86_GP, 0, 0xcd, 0x40);
    rig_idt(r, 0x40, rig_gate(RIG_DS32, 0, 0x8e, 0));
    CHECK_FAULT(r, X86_GP, RIG_DS32, 0xcd, 0x40);
    rig_idt(r, 0x40, rig_gate(RIG_UCS32, 0, 0x8e, 0));
    CHECK_FAULT(r, X86_GP, RIG_UCS32 & ~3, 0xcd, 0x40);
    rig_idt(r, 0x40, rig_gate(0x88, 0, 0x8e, 0));
    CHECK_FAULT(r, X86_NP, 0x88, 0xcd, 0x40);
    rig_idt(r, 0x40, rig_gate(RIG_CS16, 0x20000, 0x8e, 0));
    CHECK_FAULT(r, X86_GP, 0, 0xcd, 0x40);
    cpu->idt.limit = 0x40 * 8 + 6;
    CHECK_FAULT(r, X86_GP, 0x40 * 8 + 2, 0xcd, 0x40);

    /* hardware interrupt through a bad gate: #GP with EXT */
    cpu->idt.limit = 0xfff;
    rig_idt(r, 0x40, rig_gate(0x88, 0, 0x8e, 0));
    CHECK_EQ(x86_interrupt(cpu, 0x40), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, RIG_HANDLER + 16 * X86_NP);
    CHECK_EQ(rig_get(r, cpu->gpr[X86_RSP], 4), 0x88 | 1);

    /* #UD whose gate is absent: #NP with EXT, then (contributory twice) #DF, then shutdown */
    rig_protected(r);
    rig_idt(r, X86_UD, 0);
    CHECK_EQ(STEP(r, 0x0f, 0x0b), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, RIG_HANDLER + 16 * X86_GP);
    CHECK_EQ(rig_get(r, cpu->gpr[X86_RSP], 4), X86_UD * 8 + 3);
    rig_protected(r);
    rig_idt(r, X86_GP, 0);
    cpu->gpr[X86_RAX] = 0xff8;
    CHECK_EQ(STEP(r, 0x8e, 0xd8), X86_EXIT_NONE); /* mov ds, ax */
    CHECK_EQ(cpu->rip, RIG_HANDLER + 16 * X86_DF_VEC);
    CHECK_EQ(rig_get(r, cpu->gpr[X86_RSP], 4), 0);
    CHECK_EQ(rig_get(r, cpu->gpr[X86_RSP] + 4, 4), RIG_CODE);
    rig_idt(r, X86_DF_VEC, 0);
    CHECK_EQ(STEP(r, 0x8e, 0xd8), X86_EXIT_SHUTDOWN);

    /* stack switch that fails: #TS names the selector; from ring 3, hardware: EXT */
    rig_protected(r);
    rig_put(r, RIG_TSS + 8, RIG_UDS32, 4);
    rig_user(r);
    rig_gdt(r, 0x88, rig_desc(0, 0xfffff, 0xc09f));
    rig_idt(r, X86_TS, rig_gate(0x88, RIG_HANDLER, 0x8e, 0)); /* conforming: stays in ring 3 */
    CHECK_EQ(x86_interrupt(cpu, 0x40), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, RIG_HANDLER);
    CHECK_EQ(cpu->cpl, 3);
    CHECK_EQ(rig_get(r, cpu->gpr[X86_RSP], 4), (RIG_UDS32 & ~3) | 1);
}

static void test_long(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    rig_long(r);
    cpu->rflags = FL;
    cpu->gpr[X86_RSP] = RIG_STACK - 0x803;
    CHECK_EQ(EXEC(r, 0xcd, 0x30), -1);
    uint64_t sp = RIG_STACK - 0x810 - 40; /* aligned to 16 before the frame */
    CHECK_EQ(cpu->gpr[X86_RSP], sp);
    CHECK_EQ(rig_get(r, sp, 8), RIG_CODE + 2);
    CHECK_EQ(rig_get(r, sp + 8, 8), RIG_CS64);
    CHECK_EQ(rig_get(r, sp + 16, 8), FL);
    CHECK_EQ(rig_get(r, sp + 24, 8), RIG_STACK - 0x803);
    CHECK_EQ(rig_get(r, sp + 32, 8), RIG_DS64);
    CHECK_EQ(cpu->seg[X86_SS].sel, RIG_DS64);
    CHECK_EQ(EXEC(r, 0x48, 0xcf), -1);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK - 0x803);
    CHECK_EQ(cpu->rip, RIG_CODE + 2);

    /* from ring 3: stack of the TSS, SS null */
    rig_user(r);
    cpu->rflags = FL;
    cpu->seg[X86_FS].base = 0x1234567890;
    CHECK_EQ(x86_interrupt(cpu, 0x30), X86_EXIT_NONE);
    CHECK_EQ(cpu->cpl, 0);
    CHECK_EQ(cpu->seg[X86_SS].sel, 0);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK - 40);
    CHECK_EQ(rig_get(r, RIG_STACK - 8, 8), RIG_UDS64);
    CHECK_EQ(rig_get(r, RIG_STACK - 16, 8), RIG_STACK3);
    CHECK_EQ(rig_get(r, RIG_STACK - 32, 8), RIG_UCS64);
    CHECK_EQ(EXEC(r, 0x48, 0xcf), -1);
    CHECK_EQ(cpu->cpl, 3);
    CHECK_EQ(cpu->code, 8);
    CHECK_EQ(cpu->seg[X86_SS].sel, RIG_UDS64);
    CHECK_EQ(cpu->seg[X86_FS].base, 0x1234567890);

    /* IST, also without change of level */
    rig_long(r);
    rig_idt(r, X86_DF_VEC, rig_gate(RIG_CS64, RIG_HANDLER, 0x8e, 1));
    rig_idt(r, X86_PFV, rig_gate(RIG_CS64, 0x30000, 0x8e, 1));
    cpu->rip = 0x123456789000; /* not mapped: #PF on fetch, error code I */
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->cr2, 0x123456789000);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_IST1 - 48);
    CHECK_EQ(rig_get(r, RIG_IST1 - 48, 8), X86_PF_I);
    CHECK_EQ(rig_get(r, RIG_IST1 - 40, 8), 0x123456789000);
    CHECK_EQ(rig_get(r, RIG_IST1 - 24, 8) & X86_RF, X86_RF);
    CHECK_EQ(rig_get(r, RIG_IST1 - 16, 8), RIG_STACK - 0x800);

    /* stack not canonical: #SS, delivered on IST 1 */
    rig_long(r);
    rig_idt(r, X86_SS_VEC, rig_gate(RIG_CS64, RIG_HANDLER, 0x8e, 1));
    cpu->gpr[X86_RSP] = 0x800000001000;
    CHECK_FAULT(r, X86_SS_VEC, 0, 0xcd, 0x30);
    CHECK_EQ(x86_interrupt(cpu, 0x30), X86_EXIT_NONE);
    CHECK_EQ(rig_get(r, RIG_IST1 - 48, 8), 1);

    /* gates must lead to 64-bit code and be of 64-bit type */
    rig_long(r);
    rig_idt(r, 0x40, rig_gate(RIG_CS32, 0, 0x8e, 0));
    CHECK_FAULT(r, X86_GP, RIG_CS32, 0xcd, 0x40);
    rig_idt(r, 0x40, rig_gate(RIG_TR, 0, 0x85, 0));
    CHECK_FAULT(r, X86_GP, 0x40 * 8 + 2, 0xcd, 0x40);
    cpu->idt.limit = 0x40 * 16 + 14;
    CHECK_FAULT(r, X86_GP, 0x40 * 8 + 2, 0xcd, 0x40);
    cpu->rflags |= X86_NT;
    CHECK_FAULT(r, X86_GP, 0, 0x48, 0xcf);

    /* 64-bit IRET to the same level pops SS:RSP, and takes a null SS */
    rig_long(r);
    uint64_t f[] = { 0x9000, RIG_CS64, X86_F1 | X86_RF, RIG_STACK2 - 5, 0 };
    memcpy(r->ram + cpu->gpr[X86_RSP], f, sizeof(f));
    CHECK_EQ(EXEC(r, 0x48, 0xcf), -1);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK2 - 5);
    CHECK_EQ(cpu->seg[X86_SS].sel, 0);
    CHECK_EQ(cpu->rflags, X86_F1 | X86_RF);
    f[0] = 0x800000000000;
    cpu->gpr[X86_RSP] = RIG_STACK - 0x800;
    memcpy(r->ram + cpu->gpr[X86_RSP], f, sizeof(f));
    CHECK_FAULT(r, X86_GP, 0, 0x48, 0xcf);
    f[0] = 0x9000;
    f[1] = RIG_UCS64;
    memcpy(r->ram + cpu->gpr[X86_RSP], f, sizeof(f));
    CHECK_FAULT(r, X86_GP, 0, 0x48, 0xcf); /* null SS for ring 3 */

    /* to compatibility mode of ring 3 */
    f[1] = RIG_UCS32;
    f[3] = 0x1ffffff00;
    f[4] = RIG_UDS32;
    memcpy(r->ram + cpu->gpr[X86_RSP], f, sizeof(f));
    CHECK_EQ(EXEC(r, 0x48, 0xcf), -1);
    CHECK_EQ(cpu->code, 4);
    CHECK_EQ(cpu->cpl, 3);
    CHECK_EQ(cpu->gpr[X86_RSP], 0xffffff00);
}

static void test_nmi_and_shadow(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    rig_protected(r);
    CHECK(x86_nmi_ok(cpu));
    CHECK_EQ(x86_nmi(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, RIG_HANDLER + 0x20);
    CHECK(!x86_nmi_ok(cpu));
    CHECK_EQ(EXEC(r, 0xcf), -1);
    CHECK(x86_nmi_ok(cpu));

    CHECK_EQ(STEP(r, 0xfb), X86_EXIT_NONE); /* sti */
    CHECK(cpu->rflags & X86_IF);
    CHECK_EQ(cpu->shadow, X86_SHADOW_STI);
    CHECK(!x86_interrupt_ok(cpu));
    CHECK_EQ(STEP(r, 0xfb), X86_EXIT_NONE); /* a second one has no shadow */
    CHECK(x86_interrupt_ok(cpu));
    CHECK_EQ(STEP(r, 0xfa), X86_EXIT_NONE);
    CHECK(!x86_interrupt_ok(cpu));
    CHECK_EQ(STEP(r, 0xf4), X86_EXIT_HLT);
    CHECK_EQ(rig_get(r, cpu->rip - 1, 1), 0xf4);
}

int main(void)
{
    struct rig *r = rig_create();
    test_real(r);
    test_protected_gates(r);
    test_gate_faults(r);
    test_long(r);
    test_nmi_and_shadow(r);
    rig_destroy(r);
    return unit_done("intr");
}
