/* SPDX-License-Identifier: BSD-2-Clause */
/* Segmentation and far transfers: limits, types, loads, real mode to protected to long mode, call
 * gates, returns, virtual-8086 round trip. */
#include "tests/unit/x86_rig.h"

/* mov ax, [bx] for data checks needs no integer code: LGDT-like accesses are enough, but the check
 * itself is what is tested here. */
static int linear(struct rig *r, unsigned seg, uint64_t off, unsigned size, enum x86_access access,
                  uint64_t *lin)
{
    if (__builtin_setjmp(r->cpu.jmp))
        return r->cpu.exc.vector;
    *lin = x86_linear_slow(&r->cpu, seg, off, size, access);
    return -1;
}

static void test_limits(struct rig *r)
{
    uint64_t lin = 0;
    rig_real(r);
    CHECK_EQ(linear(r, X86_DS, 0xfffe, 2, X86_READ, &lin), -1);
    CHECK_EQ(linear(r, X86_DS, 0xffff, 2, X86_READ, &lin), X86_GP);
    CHECK_EQ(linear(r, X86_SS, 0xffff, 2, X86_READ, &lin), X86_SS_VEC);
    r->cpu.seg[X86_ES].sel = 0xffff;
    r->cpu.seg[X86_ES].base = 0xffff0;
    CHECK_EQ(linear(r, X86_ES, 0xffff, 1, X86_WRITE, &lin), -1);
    CHECK_EQ(lin, 0x10ffef);

    rig_protected(r);
    struct x86_seg *s = &r->cpu.seg[X86_ES];
    *s = (struct x86_seg){ 0x1000, 0xfff, 0x4093, 0x88 };
    CHECK_EQ(linear(r, X86_ES, 0xffc, 4, X86_READ, &lin), -1);
    CHECK_EQ(lin, 0x1ffc);
    CHECK_EQ(linear(r, X86_ES, 0xffd, 4, X86_READ, &lin), X86_GP);
    s->attr = 0x4097; /* expand-down, 32-bit: what is above the limit is valid */
    CHECK_EQ(linear(r, X86_ES, 0xfff, 1, X86_READ, &lin), X86_GP);
    CHECK_EQ(linear(r, X86_ES, 0x1000, 4, X86_WRITE, &lin), -1);
    CHECK_EQ(linear(r, X86_ES, 0xfffffffc, 4, X86_WRITE, &lin), -1);
    CHECK_EQ(lin, 0xffc);
    CHECK_EQ(linear(r, X86_ES, 0xfffffffd, 4, X86_WRITE, &lin), X86_GP);
    s->attr = 0x97; /* 16-bit */
    CHECK_EQ(linear(r, X86_ES, 0xfffe, 2, X86_READ, &lin), -1);
    CHECK_EQ(linear(r, X86_ES, 0x10000, 1, X86_READ, &lin), X86_GP);
    s->attr = 0x4091; /* read-only */
    CHECK_EQ(linear(r, X86_ES, 0, 4, X86_READ, &lin), -1);
    CHECK_EQ(linear(r, X86_ES, 0, 4, X86_WRITE, &lin), X86_GP);
    s->attr = 0x4099; /* execute-only */
    CHECK_EQ(linear(r, X86_ES, 0, 4, X86_READ, &lin), X86_GP);
    s->attr = X86_SEG_UNUSABLE;
    CHECK_EQ(linear(r, X86_ES, 0, 1, X86_READ, &lin), X86_GP);
    CHECK_EQ(r->cpu.exc.error, 0);

    rig_long(r);
    CHECK_EQ(linear(r, X86_DS, 0x7fffffffffff, 1, X86_READ, &lin), -1);
    CHECK_EQ(linear(r, X86_DS, 0x7fffffffffff, 2, X86_READ, &lin), X86_GP);
    CHECK_EQ(linear(r, X86_SS, 0x800000000000, 1, X86_READ, &lin), X86_SS_VEC);
    r->cpu.seg[X86_FS].base = 0xffff800000000000;
    CHECK_EQ(linear(r, X86_FS, 8, 8, X86_READ, &lin), -1);
    CHECK_EQ(lin, 0xffff800000000008);
}

/* MOV ds/es/ss/fs, ax */
#define LOAD_DS 0x8e, 0xd8
#define LOAD_ES 0x8e, 0xc0
#define LOAD_SS 0x8e, 0xd0

static void test_loads(struct rig *r)
{
    uint64_t *ax = &r->cpu.gpr[X86_RAX];
    rig_protected(r);
    rig_gdt(r, 0x88, rig_desc(0x123456, 0x12345, 0x8092)); /* granular, not accessed, 16-bit */
    *ax = 0x88;
    CHECK_EQ(EXEC(r, LOAD_DS), -1);
    CHECK_EQ(r->cpu.seg[X86_DS].base, 0x123456);
    CHECK_EQ(r->cpu.seg[X86_DS].limit, 0x12345fff);
    CHECK_EQ(r->cpu.seg[X86_DS].attr, 0x8093);
    CHECK_EQ(rig_get(r, RIG_GDT + 0x88 + 5, 1), 0x93);
    CHECK(!(r->cpu.flat & (1 << X86_DS)));
    CHECK(!r->cpu.shadow);

    *ax = 0x1fc; /* LDT while there is none */
    CHECK_FAULT(r, X86_GP, 0x1fc, LOAD_DS);
    *ax = RIG_GDT_ENTRIES * 8 | 3;
    CHECK_FAULT(r, X86_GP, RIG_GDT_ENTRIES * 8, LOAD_DS);
    rig_gdt(r, 0x88, rig_desc(0, 0xfffff, 0x4013)); /* not present */
    *ax = 0x88;
    CHECK_FAULT(r, X86_NP, 0x88, LOAD_ES);
    CHECK_FAULT(r, X86_SS_VEC, 0x88, LOAD_SS);
    rig_gdt(r, 0x88, rig_desc(0, 0xfffff, 0x4099)); /* execute-only code */
    CHECK_FAULT(r, X86_GP, 0x88, LOAD_ES);
    *ax = RIG_TR;
    CHECK_FAULT(r, X86_GP, RIG_TR, LOAD_ES);
    *ax = RIG_DS32 | 1; /* RPL above DPL */
    CHECK_FAULT(r, X86_GP, RIG_DS32, LOAD_ES);
    CHECK_FAULT(r, X86_GP, RIG_DS32, LOAD_SS);
    *ax = RIG_UDS32;
    CHECK_EQ(EXEC(r, LOAD_ES), -1);
    CHECK_EQ(r->cpu.seg[X86_ES].sel, RIG_UDS32);
    CHECK_FAULT(r, X86_GP, RIG_UDS32 & ~3, LOAD_SS);
    *ax = 0;
    CHECK_FAULT(r, X86_GP, 0, LOAD_SS);
    *ax = 3;
    CHECK_EQ(EXEC(r, LOAD_ES), -1);
    CHECK_EQ(r->cpu.seg[X86_ES].sel, 3);
    CHECK(r->cpu.seg[X86_ES].attr & X86_SEG_UNUSABLE);
    *ax = RIG_DS32;
    CHECK_EQ(EXEC(r, LOAD_SS), -1);
    CHECK_EQ(r->cpu.shadow, X86_SHADOW_SS);
    CHECK_FAULT(r, X86_UD, 0, 0x8e, 0xc8); /* mov cs, ax */
    CHECK_FAULT(r, X86_UD, 0, 0x8e, 0xf0); /* no such segment register */

    /* through the LDT */
    *ax = RIG_LDTR;
    CHECK_EQ(EXEC(r, 0x0f, 0x00, 0xd0), -1); /* lldt ax */
    CHECK_EQ(r->cpu.ldt.base, RIG_LDT);
    rig_put(r, RIG_LDT + 8, rig_desc(0x5000, 0xff, 0x4093), 8);
    *ax = 0x0c;
    CHECK_EQ(EXEC(r, LOAD_DS), -1);
    CHECK_EQ(r->cpu.seg[X86_DS].base, 0x5000);

    /* ring 3 may not load ring 0's data, but conforming code of any level */
    rig_protected(r);
    rig_user(r);
    *ax = RIG_DS32;
    CHECK_FAULT(r, X86_GP, RIG_DS32, LOAD_DS);
    rig_gdt(r, 0x88, rig_desc(0, 0xfffff, 0xc09e)); /* conforming, readable, DPL 0 */
    *ax = 0x88 | 3;
    CHECK_EQ(EXEC(r, LOAD_DS), -1);

    /* unreal mode: the limit survives a load in real mode */
    rig_real(r);
    r->cpu.seg[X86_DS].limit = 0xffffffff;
    *ax = 0x1234;
    CHECK_EQ(EXEC(r, LOAD_DS), -1);
    CHECK_EQ(r->cpu.seg[X86_DS].base, 0x12340);
    CHECK_EQ(r->cpu.seg[X86_DS].limit, 0xffffffff);

    /* 64-bit mode: SS may be null below ring 3 */
    rig_long(r);
    *ax = 0;
    CHECK_EQ(EXEC(r, LOAD_SS), -1);
    *ax = 1;
    CHECK_FAULT(r, X86_GP, 0, LOAD_SS);
    rig_user(r);
    *ax = 3;
    CHECK_FAULT(r, X86_GP, 0, LOAD_SS);

    /* LDS eax, [disp32] */
    rig_protected(r);
    rig_put(r, 0x9000, 0x11223344, 4);
    rig_put(r, 0x9004, RIG_UDS32, 2);
    CHECK_EQ(EXEC(r, 0xc5, 0x05, 0x00, 0x90, 0, 0), -1);
    CHECK_EQ(r->cpu.gpr[X86_RAX], 0x11223344);
    CHECK_EQ(r->cpu.seg[X86_DS].sel, RIG_UDS32);
}

/* LGDT, MOV CR0, far jump, as an operating system does it, from real mode to 64-bit. */
static void test_mode_climb(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    rig_real(r);
    rig_tables(r);
    rig_put(r, 0x9000, 0x1ff, 2);
    rig_put(r, 0x9002, 0xaa000000 | RIG_GDT, 4);
    cpu->gdt = (struct x86_table){ 0, 0 };
    CHECK_EQ(EXEC(r, 0x0f, 0x01, 0x16, 0x00, 0x90), -1); /* lgdt [0x9000]: 24 bits */
    CHECK_EQ(cpu->gdt.base, RIG_GDT);
    CHECK_EQ(cpu->gdt.limit, 0x1ff);
    cpu->gpr[X86_RAX] = X86_CR0_PE | X86_CR0_ET;
    CHECK_EQ(EXEC(r, 0x0f, 0x22, 0xc0), -1); /* mov cr0, eax */
    CHECK_EQ(cpu->code, 2);
    CHECK_EQ(EXEC(r, 0x66, 0xea, 0x00, 0x81, 0, 0, RIG_CS32, 0), -1); /* jmp 8:0x8100 */
    CHECK_EQ(cpu->code, 4);
    CHECK_EQ(cpu->rip, 0x8100);
    CHECK_EQ(cpu->seg[X86_CS].sel, RIG_CS32);
    for (unsigned i = 0; i < 6; i++) {
        static const uint8_t modrm[] = { 0xc0, 0, 0xd0, 0xd8, 0xe0, 0xe8 };
        cpu->gpr[X86_RAX] = RIG_DS32;
        if (i != X86_CS)
            CHECK_EQ(EXEC(r, 0x8e, modrm[i]), -1);
    }
    CHECK_EQ(cpu->flat, 0x3f);
    CHECK_EQ(cpu->stack, 4);

    /* page tables, PAE, EFER.LME, PG: compatibility mode, then a 64-bit segment */
    rig_put(r, RIG_PT, (RIG_PT + 0x1000) | 7, 8);
    rig_put(r, RIG_PT + 0x1000, (RIG_PT + 0x2000) | 7, 8);
    rig_put(r, RIG_PT + 0x2000, 0x87, 8);
    cpu->gpr[X86_RAX] = X86_CR0_PE | X86_CR0_PG;
    cpu->gpr[X86_RBX] = RIG_PT;
    CHECK_EQ(EXEC(r, 0x0f, 0x22, 0xdb), -1); /* mov cr3, ebx */
    cpu->gpr[X86_RCX] = MSR_EFER;
    cpu->gpr[X86_RAX] = X86_EFER_LME;
    cpu->gpr[X86_RDX] = 0;
    CHECK_EQ(EXEC(r, 0x0f, 0x30), -1); /* wrmsr */
    cpu->gpr[X86_RAX] = X86_CR0_PE | X86_CR0_PG;
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x22, 0xc0); /* PG with LME needs PAE */
    cpu->gpr[X86_RBX] = X86_CR4_PAE;
    CHECK_EQ(EXEC(r, 0x0f, 0x22, 0xe3), -1); /* mov cr4, ebx */
    CHECK_EQ(EXEC(r, 0x0f, 0x22, 0xc0), -1);
    CHECK(cpu->efer & X86_EFER_LMA);
    CHECK_EQ(cpu->code, 4);
    CHECK_EQ(EXEC(r, 0xea, 0x00, 0x82, 0, 0, RIG_CS64, 0), -1);
    CHECK_EQ(cpu->code, 8);
    CHECK_EQ(cpu->stack, 8);
    CHECK_EQ(cpu->rip, 0x8200);

    /* and down again: PG cannot go while in 64-bit code */
    cpu->gpr[X86_RAX] = X86_CR0_PE;
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x22, 0xc0);
    rig_put(r, 0x9000, 0x8300, 4);
    rig_put(r, 0x9004, RIG_CS32, 2);
    cpu->gpr[X86_RBX] = 0x9000;
    CHECK_EQ(EXEC(r, 0xff, 0x2b), -1); /* jmp far [rbx] */
    CHECK_EQ(cpu->code, 4);
    CHECK_EQ(EXEC(r, 0x0f, 0x22, 0xc0), -1);
    CHECK(!(cpu->efer & X86_EFER_LMA));
    CHECK_EQ(EXEC(r, 0xea, 0x00, 0x84, 0, 0, RIG_CS16, 0), -1);
    CHECK_EQ(cpu->code, 2);
    cpu->gpr[X86_RAX] = 0;
    CHECK_EQ(EXEC(r, 0x0f, 0x22, 0xc0), -1);
    CHECK_EQ(EXEC(r, 0xea, 0x00, 0x85, 0x00, 0x10), -1); /* jmp 0x1000:0x8500 */
    CHECK_EQ(cpu->seg[X86_CS].base, 0x10000);
    CHECK_EQ(cpu->rip, 0x8500);
}

static void test_real_far(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    rig_real(r);
    CHECK_EQ(EXEC(r, 0x9a, 0x00, 0x90, 0x34, 0x12), -1); /* call 0x1234:0x9000 */
    CHECK_EQ(cpu->seg[X86_CS].sel, 0x1234);
    CHECK_EQ(cpu->rip, 0x9000);
    CHECK_EQ(cpu->gpr[X86_RSP], 0x6ffc);
    CHECK_EQ(rig_get(r, 0x6ffc, 4), RIG_CODE + 5);
    CHECK_EQ(EXEC(r, 0xca, 0x02, 0x00), -1); /* retf 2 */
    CHECK_EQ(cpu->seg[X86_CS].sel, 0);
    CHECK_EQ(cpu->rip, RIG_CODE + 5);
    CHECK_EQ(cpu->gpr[X86_RSP], 0x7002);
    cpu->gpr[X86_RSP] = 1; /* a push at SP = 1 does not fit the segment */
    CHECK_FAULT(r, X86_SS_VEC, 0, 0x9a, 0x00, 0x90, 0x34, 0x12);
    cpu->gpr[X86_RSP] = 0xabcd0000; /* it wraps, and the upper half of ESP stays */
    CHECK_EQ(EXEC(r, 0x9a, 0x00, 0x90, 0x34, 0x12), -1);
    CHECK_EQ(cpu->gpr[X86_RSP], 0xabcdfffc);
    CHECK_FAULT(r, X86_GP, 0, 0x66, 0xea, 0, 0, 1, 0, 0, 0); /* jmp dword 0:0x10000 */
}

static void test_direct(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    rig_protected(r);
    CHECK_FAULT(r, X86_GP, 0, 0xea, 0, 0, 0, 0, 3, 0);               /* null */
    CHECK_FAULT(r, X86_GP, RIG_DS32, 0xea, 0, 0, 0, 0, RIG_DS32, 0); /* data */
    CHECK_FAULT(r, X86_GP, RIG_UCS32 & ~3, 0xea, 0, 0, 0, 0, RIG_UCS32, 0);
    CHECK_FAULT(r, X86_GP, RIG_CS32, 0xea, 0, 0, 0, 0, RIG_CS32 | 1, 0);
    CHECK_FAULT(r, X86_GP, 0, 0xea, 0, 0, 1, 0, RIG_CS16, 0); /* behind the limit */
    rig_gdt(r, 0x88, rig_desc(0, 0xfffff, 0xc01b));
    CHECK_FAULT(r, X86_NP, 0x88, 0xea, 0, 0, 0, 0, 0x88, 0);
    rig_gdt(r, 0x88, rig_desc(0x100, 0xfffff, 0xc09a));
    CHECK_EQ(EXEC(r, 0x9a, 0x44, 0x80, 0, 0, 0x88, 0), -1);
    CHECK_EQ(rig_get(r, RIG_GDT + 0x88 + 5, 1), 0x9b);
    CHECK_EQ(rig_get(r, cpu->gpr[X86_RSP], 4), RIG_CODE + 7);
    CHECK_EQ(rig_get(r, cpu->gpr[X86_RSP] + 4, 4), RIG_CS32);
    CHECK_EQ(EXEC(r, 0xcb), -1);
    CHECK_EQ(cpu->rip, RIG_CODE + 7);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK - 0x800);

    /* conforming code runs at the caller's level */
    rig_user(r);
    rig_gdt(r, 0x88, rig_desc(0, 0xfffff, 0xc09e));
    CHECK_EQ(EXEC(r, 0xea, 0x00, 0x80, 0, 0, 0x88, 0), -1);
    CHECK_EQ(cpu->cpl, 3);
    CHECK_EQ(cpu->seg[X86_CS].sel, 0x8b);
}

static void test_call_gate(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    rig_protected(r);
    rig_gdt(r, 0x88, rig_gate(RIG_CS32, 0x8800, 0xec, 2)); /* DPL 3, two parameters */
    rig_user(r);
    rig_put(r, RIG_STACK3, 0x11111111, 4);
    rig_put(r, RIG_STACK3 + 4, 0x22222222, 4);
    cpu->seg[X86_FS] = rig_seg(r, RIG_DS32); /* as if left over */
    CHECK_EQ(EXEC(r, 0x9a, 0, 0, 0, 0, 0x88 | 3, 0), -1);
    CHECK_EQ(cpu->cpl, 0);
    CHECK_EQ(cpu->seg[X86_CS].sel, RIG_CS32);
    CHECK_EQ(cpu->seg[X86_SS].sel, RIG_DS32);
    CHECK_EQ(cpu->rip, 0x8800);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK - 24);
    CHECK_EQ(rig_get(r, RIG_STACK - 24, 4), RIG_CODE + 7);
    CHECK_EQ(rig_get(r, RIG_STACK - 20, 4), RIG_UCS32);
    CHECK_EQ(rig_get(r, RIG_STACK - 16, 4), 0x11111111);
    CHECK_EQ(rig_get(r, RIG_STACK - 12, 4), 0x22222222);
    CHECK_EQ(rig_get(r, RIG_STACK - 8, 4), RIG_STACK3);
    CHECK_EQ(rig_get(r, RIG_STACK - 4, 4), RIG_UDS32);
    CHECK_EQ(EXEC(r, 0xca, 8, 0), -1); /* retf 8: releases the parameters on both stacks */
    CHECK_EQ(cpu->cpl, 3);
    CHECK_EQ(cpu->rip, RIG_CODE + 7);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK3 + 8);
    CHECK_EQ(cpu->seg[X86_SS].sel, RIG_UDS32);
    CHECK_EQ(cpu->seg[X86_FS].sel, 0); /* ring 0's data may not stay loaded */
    CHECK(cpu->seg[X86_FS].attr & X86_SEG_UNUSABLE);
    CHECK_EQ(cpu->seg[X86_DS].sel, RIG_UDS32);

    /* JMP may not change the level; the gate's DPL; presence; a bad stack */
    cpu->rip = RIG_CODE;
    CHECK_FAULT(r, X86_GP, RIG_CS32, 0xea, 0, 0, 0, 0, 0x88 | 3, 0);
    rig_gdt(r, 0x88, rig_gate(RIG_CS32, 0x8800, 0x8c, 0));
    CHECK_FAULT(r, X86_GP, 0x88, 0x9a, 0, 0, 0, 0, 0x88, 0);
    rig_gdt(r, 0x88, rig_gate(RIG_CS32, 0x8800, 0x6c, 0));
    CHECK_FAULT(r, X86_NP, 0x88, 0x9a, 0, 0, 0, 0, 0x88, 0);
    rig_gdt(r, 0x88, rig_gate(RIG_CS32, 0x8800, 0xec, 0));
    rig_put(r, RIG_TSS + 8, RIG_UDS32, 4);
    CHECK_FAULT(r, X86_TS, RIG_UDS32 & ~3, 0x9a, 0, 0, 0, 0, 0x88, 0);
    rig_put(r, RIG_TSS + 8, 0x90, 4);
    rig_gdt(r, 0x90, rig_desc(0, 0xfffff, 0xc013));
    CHECK_FAULT(r, X86_SS_VEC, 0x90, 0x9a, 0, 0, 0, 0, 0x88, 0);
    rig_gdt(r, 0x90, rig_desc(0, 0xfff, 0x4093)); /* no room at ESP 0x20000 */
    CHECK_FAULT(r, X86_SS_VEC, 0x90, 0x9a, 0, 0, 0, 0, 0x88, 0);
    cpu->tr.limit = 8;
    CHECK_FAULT(r, X86_TS, RIG_TR, 0x9a, 0, 0, 0, 0, 0x88, 0);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK3 + 8);

    /* a 16-bit gate pushes words */
    rig_protected(r);
    rig_gdt(r, 0x88, rig_gate(RIG_CS16, 0x8800, 0x84, 0));
    CHECK_EQ(EXEC(r, 0x9a, 0, 0, 0, 0, 0x88, 0), -1);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK - 0x804);
    CHECK_EQ(rig_get(r, RIG_STACK - 0x804, 4), RIG_CS32 << 16 | (RIG_CODE + 7));
    CHECK_EQ(cpu->code, 2);

    /* 64-bit gate from compatibility mode, ring 3 */
    rig_long(r);
    rig_gdt(r, 0x88, rig_gate(RIG_CS64, 0x8800, 0xec, 0));
    rig_gdt(r, 0x90, 0);
    rig_segs(r, RIG_UCS32, RIG_UDS32);
    cpu->gpr[X86_RSP] = RIG_STACK3;
    x86_state_changed(cpu);
    CHECK_EQ(cpu->code, 4);
    CHECK_EQ(EXEC(r, 0x9a, 0, 0, 0, 0, 0x88, 0), -1);
    CHECK_EQ(cpu->code, 8);
    CHECK_EQ(cpu->cpl, 0);
    CHECK_EQ(cpu->seg[X86_SS].sel, 0);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK - 32);
    CHECK_EQ(rig_get(r, RIG_STACK - 32, 8), RIG_CODE + 7);
    CHECK_EQ(rig_get(r, RIG_STACK - 24, 8), RIG_UCS32);
    CHECK_EQ(rig_get(r, RIG_STACK - 16, 8), RIG_STACK3);
    CHECK_EQ(rig_get(r, RIG_STACK - 8, 8), RIG_UDS32);
    CHECK_EQ(EXEC(r, 0x48, 0xcb), -1); /* retfq */
    CHECK_EQ(cpu->code, 4);
    CHECK_EQ(cpu->cpl, 3);
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK3);
    rig_gdt(r, 0x90, BIT(42)); /* second half must have type 0 */
    cpu->rip = RIG_CODE;
    CHECK_FAULT(r, X86_GP, 0x88, 0x9a, 0, 0, 0, 0, 0x88, 0);
    rig_gdt(r, 0x88, rig_gate(RIG_CS32, 0x8800, 0xe4, 0)); /* no 16-bit gates in long mode */
    CHECK_FAULT(r, X86_GP, 0x88, 0x9a, 0, 0, 0, 0, 0x88, 0);
}

static void test_return_checks(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    static const struct {
        uint32_t cs, ss, vector, error;
    } bad[] = {
        { 0, RIG_UDS32, X86_GP, 0 },
        { RIG_DS32, RIG_UDS32, X86_GP, RIG_DS32 },
        { RIG_CS32 | 3, RIG_UDS32, X86_GP, RIG_CS32 },
        { RIG_UCS32, 0, X86_GP, 0 },
        { RIG_UCS32, RIG_DS32, X86_GP, RIG_DS32 },
        { RIG_UCS32, 0x88 | 3, X86_SS_VEC, 0x88 },
        { 0x90 | 3, RIG_UDS32, X86_NP, 0x90 },
    };
    rig_protected(r);
    rig_gdt(r, 0x88, rig_desc(0, 0xfffff, 0xc073));
    rig_gdt(r, 0x90, rig_desc(0, 0xfffff, 0xc07b));
    uint64_t sp = cpu->gpr[X86_RSP];
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        rig_put(r, sp, 0x8000, 4);
        rig_put(r, sp + 4, bad[i].cs, 4);
        rig_put(r, sp + 8, RIG_STACK3, 4);
        rig_put(r, sp + 12, bad[i].ss, 4);
        CHECK_FAULT(r, bad[i].vector, bad[i].error, 0xcb);
        CHECK_EQ(cpu->gpr[X86_RSP], sp);
    }
    /* ring 3 cannot return inwards */
    rig_user(r);
    rig_put(r, RIG_STACK3, 0x8000, 4);
    rig_put(r, RIG_STACK3 + 4, RIG_CS32, 4);
    CHECK_FAULT(r, X86_GP, RIG_CS32, 0xcb);
}

static void test_v86(struct rig *r)
{
    struct x86_cpu *cpu = &r->cpu;
    static const uint32_t frame[] = { 0x200,  0x1000, X86_VM | X86_F1 | X86_IF,
                                      0x7ffe, 0x2000, 0x3000,
                                      0x4000, 0x5000, 0x6000 }; /* .. ES DS FS GS */
    rig_protected(r);
    memcpy(r->ram + cpu->gpr[X86_RSP], frame, sizeof(frame));
    CHECK_EQ(EXEC(r, 0xcf), -1);
    CHECK(cpu->rflags & X86_VM);
    CHECK_EQ(cpu->cpl, 3);
    CHECK_EQ(cpu->code, 2);
    CHECK_EQ(cpu->rip, 0x200);
    CHECK_EQ(cpu->seg[X86_CS].base, 0x10000);
    CHECK_EQ(cpu->seg[X86_SS].base, 0x20000);
    CHECK_EQ(cpu->seg[X86_GS].base, 0x60000);
    CHECK_EQ(cpu->seg[X86_GS].limit, 0xffff);
    CHECK_EQ(cpu->gpr[X86_RSP], 0x7ffe);

    /* IOPL 0: INT n, IRET, CLI, STI are #GP(0), INT3 is not */
    CHECK_FAULT(r, X86_GP, 0, 0xcd, 0x21);
    CHECK_FAULT(r, X86_GP, 0, 0xcf);
    CHECK_FAULT(r, X86_GP, 0, 0xfa);
    CHECK_FAULT(r, X86_GP, 0, 0xfb);
    CHECK_FAULT(r, X86_UD, 0, 0x0f, 0x00, 0xc0); /* sldt */
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x20, 0xc0); /* mov eax, cr0 */
    cpu->gpr[X86_RAX] = 0x1234;
    CHECK_EQ(EXEC(r, LOAD_DS), -1);
    CHECK_EQ(cpu->seg[X86_DS].base, 0x12340);
    cpu->rip = 0x200;
    rig_idt(r, X86_BP, rig_gate(RIG_CS32, RIG_HANDLER, 0xee, 0));
    CHECK_EQ(STEP(r, 0xcc), X86_EXIT_NONE);
    CHECK_EQ(cpu->cpl, 0);
    CHECK_EQ(cpu->rip, RIG_HANDLER);
    CHECK(!(cpu->rflags & (X86_VM | X86_IF)));
    CHECK_EQ(cpu->gpr[X86_RSP], RIG_STACK - 36);
    static const uint32_t pushed[] = { 0x201,  0x1000, X86_VM | X86_F1 | X86_IF,
                                       0x7ffe, 0x2000, 0x3000,
                                       0x1234, 0x5000, 0x6000 };
    CHECK(!memcmp(r->ram + RIG_STACK - 36, pushed, sizeof(pushed)));
    CHECK_EQ(cpu->seg[X86_DS].sel, 0);
    CHECK(cpu->seg[X86_GS].attr & X86_SEG_UNUSABLE);
    CHECK_EQ(EXEC(r, 0xcf), -1); /* and back */
    CHECK(cpu->rflags & X86_VM);
    CHECK_EQ(cpu->rip, 0x201);
    CHECK_EQ(cpu->seg[X86_FS].sel, 0x5000);

    /* with IOPL 3 INT n goes through the IDT, whose gate must lead to ring 0 */
    cpu->rflags |= X86_IOPL;
    cpu->rip = 0x200;
    rig_idt(r, 0x21, rig_gate(RIG_UCS32, RIG_HANDLER, 0xee, 0));
    CHECK_FAULT(r, X86_GP, RIG_UCS32 & ~3, 0xcd, 0x21);
    rig_idt(r, 0x21, rig_gate(RIG_CS32, RIG_HANDLER, 0x8e, 0));
    CHECK_FAULT(r, X86_GP, 0x21 * 8 + 2, 0xcd, 0x21); /* the gate's DPL */
    CHECK_EQ(EXEC(r, 0xfa), -1);
    CHECK(!(cpu->rflags & X86_IF));
}

int main(void)
{
    struct rig *r = rig_create();
    test_limits(r);
    test_loads(r);
    test_mode_climb(r);
    test_real_far(r);
    test_direct(r);
    test_call_gate(r);
    test_return_checks(r);
    test_v86(r);
    rig_destroy(r);
    return unit_done("seg");
}
