/* SPDX-License-Identifier: BSD-2-Clause */
/* Address spaces by PCID: what of the software TLB each invalidating instruction must drop ([SDM]
 * 3A "Operations that Invalidate TLBs"), what it need not and we keep, and what is told of it. */
#include "tests/unit/x86_rig.h"

#define MOV_CR3_RAX 0x0f, 0x22, 0xd8
#define MOV_CR4_RAX 0x0f, 0x22, 0xe0
#define INVLPG_RCX  0x0f, 0x01, 0x39
#define INVPCID     0x66, 0x0f, 0x38, 0x82, 0x03 /* rax, [rbx] */

/* Two address spaces with the rig's identity mapping below and at WINDOW eight pages of their own:
 * even ones are global. All of them are user pages. */
enum {
    SPACE = 0x100000, /* + 0x10000 * n: PML4, PDPT, PD, PT */
    PAGES = 0x200000, /* + 0x10000 * n: frames, each full of its number */
    DESC = 0x9000
};
#define WINDOW  0x8000000000ull
#define NOFLUSH BIT(63)

static unsigned told[X86_TLB_VIEW_PAGE + 1];
static uint64_t told_arg;
static void flushed(struct x86_cpu *cpu, enum x86_tlb_event what, uint64_t arg)
{
    (void)cpu;
    told[what]++;
    told_arg = arg;
}

static uint64_t frame(unsigned space, unsigned page)
{
    return PAGES + 0x10000 * space + (page << 12);
}

static void map(struct rig *r, unsigned space, unsigned page, uint64_t gpa)
{
    rig_put(r, SPACE + 0x10000 * space + 0x3000 + 8 * page, gpa | 7 | (page % 2 ? 0 : X86_PTE_G),
            8);
}

static void spaces(struct rig *r, unsigned n)
{
    for (unsigned s = 0; s < n; s++) {
        const uint64_t at = SPACE + 0x10000 * s;
        memset(r->ram + at, 0, 0x4000);
        rig_put(r, at, (RIG_PT + 0x1000) | 7, 8);
        rig_put(r, at + 8, (at + 0x1000) | 7, 8);
        rig_put(r, at + 0x1000, (at + 0x2000) | 7, 8);
        rig_put(r, at + 0x2000, (at + 0x3000) | 7, 8);
        for (unsigned p = 0; p < 8; p++) {
            map(r, s, p, frame(s, p));
            rig_put(r, frame(s, p), 16 * s + p, 8);
        }
    }
}

static uint64_t see(struct rig *r, unsigned page, unsigned user)
{
    return x86_load_user(&r->cpu, X86_DS, WINDOW + (page << 12), 8, user);
}

/* Page tables now lead elsewhere: what is seen still comes from the TLB. */
static void move(struct rig *r, unsigned space)
{
    for (unsigned p = 0; p < 8; p++) {
        map(r, space, p, frame(space, p) + 0x8000);
        rig_put(r, frame(space, p) + 0x8000, 0x80 + 16 * space + p, 8);
    }
}

static void cr3(struct rig *r, unsigned space, unsigned pcid, uint64_t flags)
{
    r->cpu.gpr[X86_RAX] = (SPACE + 0x10000 * space) | pcid | flags;
    CHECK_EQ(EXEC(r, MOV_CR3_RAX), -1);
    CHECK_EQ(r->cpu.cr3, SPACE + 0x10000 * space + pcid);
}

static void invpcid(struct rig *r, unsigned type, uint64_t pcid, uint64_t lin)
{
    rig_put(r, DESC, pcid, 8);
    rig_put(r, DESC + 8, lin, 8);
    r->cpu.gpr[X86_RBX] = DESC;
    r->cpu.gpr[X86_RAX] = type;
    CHECK_EQ(EXEC(r, INVPCID), -1);
}

/* Two spaces with PCIDs 1 and 2, all pages of both in the TLB by CPL 3 and supervisor, PCID 1
 * current; then both page tables lead elsewhere. */
static void start(struct rig *r)
{
    rig_long(r);
    r->cpu.cr4 |= X86_CR4_PGE | X86_CR4_PCIDE;
    x86_state_changed(&r->cpu);
    spaces(r, 2);
    for (unsigned s = 2; s-- > 0;) {
        cr3(r, s, s + 1, 0);
        for (unsigned p = 0; p < 8; p++)
            for (unsigned u = 0; u < 2; u++)
                if (p % 2 || !u) /* global: of the supervisor's those of space 1 stay */
                    see(r, p, u);
    }
    /* The other space's global pages, by CPL 3 */
    cr3(r, 1, 2, NOFLUSH);
    for (unsigned p = 0; p < 8; p += 2)
        CHECK_EQ(see(r, p, 1), 16 + p);
    cr3(r, 0, 1, NOFLUSH);
    for (unsigned p = 0; p < 8; p++)
        CHECK_EQ(see(r, p, 1), p);
    move(r, 0);
    move(r, 1);
    memset(told, 0, sizeof(told));
}

enum { OLD, NEW };
static void expect(struct rig *r, unsigned space, unsigned page, int how)
{
    CHECK_EQ(see(r, page, 1), (how == NEW ? 0x80u : 0u) + 16 * space + page);
    if (how == NEW && page % 2) /* else it may be either */
        CHECK_EQ(see(r, page, 0), 0x80 + 16 * space + page);
}

static void test_switch(struct rig *r)
{
    start(r);
    for (unsigned p = 0; p < 8; p++)
        expect(r, 0, p, OLD);
    cr3(r, 1, 2, NOFLUSH);
    CHECK_EQ(told[X86_TLB_SWITCH], 1);
    CHECK_EQ(told_arg, r->cpu.view_id);
    for (unsigned p = 0; p < 8; p++)
        expect(r, 1, p, OLD);
    /* The supervisor sees this space again, and global pages of the other. */
    CHECK_EQ(see(r, 1, 0), 16 + 1);
    CHECK_EQ(see(r, 2, 0), 16 + 2);
    cr3(r, 0, 1, NOFLUSH);
    CHECK_EQ(see(r, 1, 0), 1);
    for (unsigned p = 0; p < 8; p++)
        expect(r, 0, p, OLD);
    CHECK_EQ(told[X86_TLB_VIEW] + told[X86_TLB_ALL] + told[X86_TLB_LOCAL], 0);

    /* Without the bit the PCID loaded is flushed, no other. */
    start(r);
    cr3(r, 1, 2, 0);
    CHECK_EQ(told[X86_TLB_VIEW], 1);
    expect(r, 1, 1, NEW);
    cr3(r, 0, 1, NOFLUSH);
    expect(r, 0, 1, OLD);
    cr3(r, 0, 1, 0);
    CHECK_EQ(told[X86_TLB_LOCAL], 1);
    expect(r, 0, 1, NEW);
    expect(r, 0, 2, OLD);
    CHECK_EQ(see(r, 2, 0), 2 + 16);

    /* Another base with the same PCID */
    start(r);
    cr3(r, 1, 1, NOFLUSH);
    expect(r, 1, 1, NEW);
    cr3(r, 0, 1, NOFLUSH);
    expect(r, 0, 1, NEW);

    /* Reloading the same changes nothing. */
    start(r);
    cr3(r, 0, 1, NOFLUSH);
    CHECK_EQ(told[X86_TLB_SWITCH] + told[X86_TLB_LOCAL], 0);
    CHECK_EQ(see(r, 1, 0), 1);
    expect(r, 0, 1, OLD);
}

static void test_invlpg(struct rig *r)
{
    start(r);
    r->cpu.gpr[X86_RCX] = WINDOW + 0x1234;
    CHECK_EQ(EXEC(r, INVLPG_RCX), -1);
    CHECK_EQ(told[X86_TLB_PAGE], 1); /* nothing was fetched from there */
    expect(r, 0, 1, NEW);
    expect(r, 0, 3, OLD);
    cr3(r, 1, 2, NOFLUSH);
    expect(r, 1, 1, OLD); /* another PCID */

    /* A global page goes for all. */
    start(r);
    r->cpu.gpr[X86_RCX] = WINDOW + 0x2000;
    CHECK_EQ(EXEC(r, INVLPG_RCX), -1);
    expect(r, 0, 2, NEW);
    expect(r, 0, 4, OLD);
    cr3(r, 1, 2, NOFLUSH);
    expect(r, 1, 2, NEW);
    expect(r, 1, 4, OLD);

    /* The page code runs from, part of a large one */
    start(r);
    r->cpu.gpr[X86_RCX] = RIG_CODE + 0x10000;
    CHECK_EQ(EXEC(r, INVLPG_RCX), -1);
    CHECK_EQ(told[X86_TLB_CODE_PAGE], 1);
    CHECK_EQ(x86_tlb_entry(&r->cpu, RIG_CODE, 0)->x, X86_TLB_NONE);

    /* An address that is not canonical does nothing. */
    start(r);
    r->cpu.gpr[X86_RCX] = BIT(47);
    CHECK_EQ(EXEC(r, INVLPG_RCX), -1);
    CHECK_EQ(told[X86_TLB_PAGE] + told[X86_TLB_CODE_PAGE], 0);
}

static void test_invpcid(struct rig *r)
{
    static const struct {
        unsigned type, pcid;
        int own[3], other[3]; /* pages 1, 3 and the global 2 */
    } cases[] = {
        { 0, 1, { NEW, OLD, OLD }, { OLD, OLD, OLD } },
        { 0, 2, { OLD, OLD, OLD }, { NEW, OLD, OLD } },
        { 0, 3, { OLD, OLD, OLD }, { OLD, OLD, OLD } },
        { 1, 1, { NEW, NEW, OLD }, { OLD, OLD, OLD } },
        { 1, 2, { OLD, OLD, OLD }, { NEW, NEW, NEW } }, /* more than must be */
        { 1, 3, { OLD, OLD, OLD }, { OLD, OLD, OLD } },
        { 2, 0, { NEW, NEW, NEW }, { NEW, NEW, NEW } },
        { 2, 7, { NEW, NEW, NEW }, { NEW, NEW, NEW } },
        { 3, 0, { NEW, NEW, OLD }, { NEW, NEW, NEW } },
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        static const unsigned page[3] = { 1, 3, 2 };
        start(r);
        invpcid(r, cases[i].type, cases[i].pcid, WINDOW + 0x1000);
        for (unsigned k = 0; k < 3; k++)
            expect(r, 0, page[k], cases[i].own[k]);
        cr3(r, 1, 2, NOFLUSH);
        for (unsigned k = 0; k < 3; k++)
            expect(r, 1, page[k], cases[i].other[k]);
    }

    /* Without PCIDE there is PCID 0. */
    rig_long(r);
    spaces(r, 1);
    cr3(r, 0, 0, 0);
    see(r, 1, 1);
    move(r, 0);
    expect(r, 0, 1, OLD);
    invpcid(r, 1, 0, 0);
    expect(r, 0, 1, NEW);
    for (unsigned type = 0; type < 2; type++) {
        rig_put(r, DESC, 1, 8);
        r->cpu.gpr[X86_RAX] = type;
        CHECK_FAULT(r, X86_GP, 0, INVPCID);
    }
    r->cpu.gpr[X86_RAX] = 2; /* then the PCID is ignored */
    CHECK_EQ(EXEC(r, INVPCID), -1);
    r->cpu.gpr[X86_RAX] = BIT(32); /* all 64 bits are the type */
    CHECK_FAULT(r, X86_GP, 0, INVPCID);
    CHECK_FAULT(r, X86_UD, 0, 0x66, 0x0f, 0x38, 0x82, 0xc3); /* no memory operand */
    CHECK_FAULT(r, X86_UD, 0, 0xf0, 0x66, 0x0f, 0x38, 0x82, 0x03);
    rig_user(r);
    CHECK_FAULT(r, X86_GP, 0, INVPCID);

    rig_protected(r); /* 32 bits: eax is the type */
    r->cpu.gpr[X86_RBX] = DESC;
    r->cpu.gpr[X86_RAX] = BIT(32) | 3;
    CHECK_EQ(EXEC(r, INVPCID), -1);
    r->cpu.gpr[X86_RAX] = 4;
    CHECK_FAULT(r, X86_GP, 0, INVPCID);
    rig_put(r, DESC, BIT(12), 8);
    r->cpu.gpr[X86_RAX] = 3;
    CHECK_FAULT(r, X86_GP, 0, INVPCID);
    rig_real(r);
    memset(r->ram + DESC, 0, 16);
    r->cpu.gpr[X86_RAX] = 3;
    r->cpu.gpr[X86_RBX] = DESC;
    CHECK_EQ(EXEC(r, 0x67, INVPCID), -1);
}

static void test_cr4(struct rig *r)
{
    uint64_t *ax = &r->cpu.gpr[X86_RAX];
    start(r);
    *ax = r->cpu.cr0 & ~X86_CR0_PG; /* in compatibility mode */
    r->cpu.seg[X86_CS] = rig_seg(r, RIG_CS32);
    x86_state_changed(&r->cpu);
    CHECK_FAULT(r, X86_GP, 0, 0x0f, 0x22, 0xc0);

    start(r);
    *ax = r->cpu.cr4 & ~X86_CR4_PCIDE;
    CHECK_EQ(EXEC(r, MOV_CR4_RAX), -1);
    CHECK_EQ(r->cpu.cr3, SPACE + 1); /* stays; now cache control */
    expect(r, 0, 1, NEW);
    expect(r, 0, 2, NEW);
    *ax = r->cpu.cr4 | X86_CR4_PCIDE;
    CHECK_FAULT(r, X86_GP, 0, MOV_CR4_RAX);
    *ax = SPACE + 0x10000;
    CHECK_EQ(EXEC(r, MOV_CR3_RAX), -1);
    CHECK_EQ(see(r, 2, 1), 0x80 + 2); /* a global page outlives its space */
    CHECK_EQ(see(r, 1, 1), 0x80 + 16 + 1);
}

static void test_cr4_global(struct rig *r)
{
    uint64_t *ax = &r->cpu.gpr[X86_RAX];
    /* A change of PGE drops everything in every address space. */
    start(r);
    *ax = r->cpu.cr4 & ~X86_CR4_PGE;
    CHECK_EQ(EXEC(r, MOV_CR4_RAX), -1);
    CHECK_EQ(told[X86_TLB_ALL], 1);
    expect(r, 0, 1, NEW);
    expect(r, 0, 2, NEW);
    cr3(r, 1, 2, NOFLUSH);
    expect(r, 1, 1, NEW);
    expect(r, 1, 2, NEW);
    *ax = r->cpu.cr4 | X86_CR4_PGE;
    CHECK_EQ(EXEC(r, MOV_CR4_RAX), -1);
    CHECK_EQ(told[X86_TLB_ALL], 2);

    /* SMEP from 0 to 1: at least the current PCID's non-global ones */
    start(r);
    *ax = r->cpu.cr4 | X86_CR4_SMEP;
    CHECK_EQ(EXEC(r, MOV_CR4_RAX), -1);
    expect(r, 0, 1, NEW);
}

/* More address spaces than views: the one not used for longest goes. */
static void test_many(struct rig *r)
{
    rig_long(r);
    r->cpu.cr4 |= X86_CR4_PGE | X86_CR4_PCIDE;
    x86_state_changed(&r->cpu);
    spaces(r, 5);
    for (unsigned s = 0; s < 5; s++) {
        cr3(r, s, s + 1, 0);
        CHECK_EQ(see(r, 1, 1), 16 * s + 1);
        if (s == 3) { /* 0 is used again, so 1 is the oldest */
            cr3(r, 0, 1, NOFLUSH);
            cr3(r, 3, 4, NOFLUSH);
        }
        CHECK_EQ(r->cpu.view[r->cpu.view_id].cr3, SPACE + 0x10000 * s + s + 1);
    }
    for (unsigned s = 0; s < 5; s++)
        move(r, s);
    static const unsigned order[] = { 4, 3, 2, 0 };
    for (unsigned i = 0; i < 4; i++) {
        cr3(r, order[i], order[i] + 1, NOFLUSH);
        expect(r, order[i], 1, OLD);
    }
    cr3(r, 1, 2, NOFLUSH);
    expect(r, 1, 1, NEW);

    /* A page that becomes code loses its fast stores in all of them. */
    start(r);
    for (unsigned s = 0; s < 2; s++) {
        cr3(r, s, s + 1, 0);
        x86_store_user(&r->cpu, X86_DS, WINDOW + 0x1000, 5, 8, 1);
        x86_store_user(&r->cpu, X86_DS, WINDOW + 0x1000, 5, 8, 0);
        for (unsigned u = 0; u < 2; u++)
            CHECK_EQ(x86_tlb_entry(&r->cpu, WINDOW + 0x1000, u)->w, (WINDOW + 0x1000) >> 12);
    }
    x86_tlb_protect(&r->cpu, r->ram + frame(0, 1) + 0x8000);
    CHECK_EQ(x86_tlb_entry(&r->cpu, WINDOW + 0x1000, 1)->w, (WINDOW + 0x1000) >> 12);
    cr3(r, 0, 1, NOFLUSH);
    for (unsigned u = 0; u < 2; u++) {
        CHECK_EQ(x86_tlb_entry(&r->cpu, WINDOW + 0x1000, u)->w, X86_TLB_NONE);
        CHECK_EQ(x86_tlb_entry(&r->cpu, WINDOW + 0x1000, u)->r, (WINDOW + 0x1000) >> 12);
    }
}

/* With alignment checks nothing of CPL 3 is in the TLB, whichever view it was entered in. */
static void test_align(struct rig *r)
{
    start(r);
    r->cpu.cr0 |= X86_CR0_AM;
    r->cpu.rflags |= X86_AC;
    x86_derive(&r->cpu);
    CHECK_EQ(x86_tlb_entry(&r->cpu, WINDOW + 0x1000, 1)->r, X86_TLB_NONE);
    cr3(r, 1, 2, NOFLUSH);
    CHECK_EQ(x86_tlb_entry(&r->cpu, WINDOW + 0x1000, 1)->r, X86_TLB_NONE);
}

int main(void)
{
    struct rig *r = rig_create();
    struct x86_tlb *tlb = aligned_alloc(64, 4 * sizeof(*tlb));
    r->cpu.views = 4;
    for (unsigned i = 0; i < 4; i++)
        r->cpu.view[i].tlb = &tlb[i];
    r->env.tlb_flushed = flushed;
    test_switch(r);
    test_invlpg(r);
    test_invpcid(r);
    test_cr4(r);
    test_cr4_global(r);
    test_many(r);
    test_align(r);
    free(tlb);
    rig_destroy(r);
    return unit_done("pcid");
}
