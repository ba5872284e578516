/* SPDX-License-Identifier: BSD-2-Clause */
/* Page walks of every paging mode against written expectations: addresses, rights, error codes,
 * accessed and dirty bits, reserved bits. [SDM] 3A "Paging" */
#include "tests/unit/fake_cpu.h"
#include "tests/unit/unit.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80 };
#define NX X86_PTE_NX

static void put64(uint64_t gpa, unsigned index, uint64_t v)
{
    le64_put(fake_ram + gpa + 8 * index, v);
}
static void put32(uint64_t gpa, unsigned index, uint32_t v)
{
    le32_put(fake_ram + gpa + 4 * index, v);
}
static uint64_t get64(uint64_t gpa, unsigned index) { return le64(fake_ram + gpa + 8 * index); }
static uint32_t get32(uint64_t gpa, unsigned index) { return le32(fake_ram + gpa + 4 * index); }

/* Walks, as after INVLPG and again with what that left in the paging-structure cache; -1 on a
 * fault, whose code comes in *error. */
static uint64_t walk(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                     uint32_t *error)
{
    struct x86_walk w, again;
    bool ok;

    cpu->invalidations++;
    ok = x86_try_walk(cpu, lin, access, user, &w);
    CHECK_EQ(x86_try_walk(cpu, lin, access, user, &again), ok);
    if (ok) {
        CHECK_EQ(again.gpa, w.gpa);
        CHECK_EQ(again.prot, w.prot);
        CHECK_EQ(again.shift, w.shift);
        CHECK_EQ(again.global, w.global);
    } else {
        CHECK_EQ(again.error, w.error);
    }
    if (!ok) {
        *error = w.error;
        return ~0ull;
    }
    *error = 0;
    return w.gpa;
}

#define OK(lin, access, user, gpa) CHECK_EQ(walk(cpu, lin, access, user, &e), gpa)
#define FAULT(lin, access, user, code)                                                             \
    do {                                                                                           \
        CHECK_EQ(walk(cpu, lin, access, user, &e), ~0ull);                                         \
        CHECK_EQ(e, code);                                                                         \
    } while (0)

static void no_paging(void)
{
    struct x86_cpu *cpu = fake_cpu();
    uint32_t e;

    OK(0x12345678, X86_WRITE, 1, 0x12345678);
    OK(0x112345678, X86_READ, 0, 0x12345678); /* 32 bits outside long mode */
    free(cpu);
}

static void legacy32(void)
{
    struct x86_cpu *cpu = fake_cpu();
    uint32_t e;

    fake_protected(cpu, 0);
    cpu->cr3 = 0x1000;
    cpu->cr0 |= X86_CR0_PG;
    x86_state_changed(cpu);
    put32(0x1000, 1, 0x2000 | P | W | U);
    put32(0x2000, 3, 0x7000 | P | W | U);
    put32(0x2000, 4, 0x8000 | P | U);
    put32(0x2000, 5, 0x9000 | P | W);
    OK(0x403123, X86_READ, 1, 0x7123);
    CHECK_EQ(get32(0x1000, 1) & (A | D), A);
    CHECK_EQ(get32(0x2000, 3) & (A | D), A);
    OK(0x403123, X86_WRITE, 1, 0x7123);
    CHECK_EQ(get32(0x2000, 3) & (A | D), A | D);
    CHECK_EQ(get32(0x1000, 1) & D, 0);
    FAULT(0x800000, X86_READ, 0, 0);
    FAULT(0x800000, X86_WRITE, 1, X86_PF_W | X86_PF_U);
    FAULT(0x800000, X86_EXEC, 1, X86_PF_U); /* no I bit without NX or SMEP */
    FAULT(0x404000, X86_WRITE, 1, X86_PF_P | X86_PF_W | X86_PF_U);
    FAULT(0x404000, X86_WRITE, 0, X86_PF_P | X86_PF_W); /* CR0.WP */
    cpu->cr0 &= ~X86_CR0_WP;
    OK(0x404000, X86_WRITE, 0, 0x8000);
    FAULT(0x404000, X86_WRITE, 1, X86_PF_P | X86_PF_W | X86_PF_U);
    FAULT(0x405000, X86_READ, 1, X86_PF_P | X86_PF_U);
    OK(0x405000, X86_READ, 0, 0x9000);
    OK(0x403000, X86_EXEC, 0, 0x7000);
    cpu->cr4 |= X86_CR4_SMEP;
    FAULT(0x403000, X86_EXEC, 0, X86_PF_P | X86_PF_I);
    OK(0x403000, X86_EXEC, 1, 0x7000);
    cpu->cr4 &= ~X86_CR4_SMEP;

    /* 4 MiB pages need CR4.PSE; without it the entry names a table. */
    put32(0x1000, 2, 0x00c00000 | P | W | PS | 5 << 13);
    FAULT(0x800000, X86_READ, 0, 0); /* table at 0xc0a000, not in RAM: zero */
    cpu->cr4 |= X86_CR4_PSE;
    OK(0x801234, X86_READ, 0, 0x500c01234); /* PSE-36 */
    put32(0x1000, 2, 0x00c00000 | P | W | PS | 1 << 21);
    FAULT(0x801234, X86_READ, 0, X86_PF_P | X86_PF_RSVD);
    free(cpu);
}

static void pae(void)
{
    struct x86_cpu *cpu = fake_cpu();
    uint32_t e;

    fake_protected(cpu, 0);
    cpu->cr4 = X86_CR4_PAE;
    cpu->cr3 = 0x1020; /* 32-byte aligned */
    put64(0x1020, 0, 0x2000 | P);
    put64(0x1020, 3, 0x3000 | P);
    CHECK(x86_load_pdptes(cpu, cpu->cr3));
    cpu->cr0 |= X86_CR0_PG;
    x86_state_changed(cpu);
    put64(0x2000, 1, 0x4000 | P | W | U);
    put64(0x4000, 2, 0x1234567000 | P | W | U);
    OK(0x202abc, X86_READ, 1, 0x1234567abc);
    CHECK_EQ(get64(0x1020, 0), 0x2000 | P); /* no accessed bit in a PDPTE */
    put64(0x3000, 511, 0xabc00000 | P | W | PS);
    OK(0xffe12345, X86_READ, 0, 0xabc12345);
    FAULT(0x40000000, X86_READ, 0, 0); /* PDPTE 1 */
    put64(0x2000, 2, 0x5000 | P | W | U | NX);
    FAULT(0x400000, X86_READ, 0, X86_PF_P | X86_PF_RSVD); /* NX reserved */
    cpu->efer = X86_EFER_NXE;
    put64(0x5000, 0, 0x6000 | P | U);
    OK(0x400000, X86_READ, 0, 0x6000);
    FAULT(0x400000, X86_EXEC, 1, X86_PF_P | X86_PF_I | X86_PF_U);
    put64(0x5000, 1, 0x6000 | P | BIT(52));
    FAULT(0x401000, X86_READ, 0, X86_PF_P | X86_PF_RSVD);
    put64(0x2000, 3, 0x202000 | P | PS);
    FAULT(0x600000, X86_WRITE, 0, X86_PF_P | X86_PF_W | X86_PF_RSVD);
    /* Reserved bits in a PDPTE are refused as a whole. */
    put64(0x1020, 1, 0x6000 | P | W);
    CHECK(!x86_load_pdptes(cpu, cpu->cr3));
    CHECK_EQ(cpu->pdpte[1], 0);
    free(cpu);
}

static void long4(void)
{
    struct x86_cpu *cpu = fake_cpu();
    const uint64_t high = 0xffff800000000000;
    uint32_t e;
    uint64_t gpa;

    put64(0x1000, 0, 0x2000 | P | W | U);
    put64(0x1000, 256, 0x2000 | P | W);
    put64(0x2000, 0, 0x3000 | P | W | U);
    put64(0x2000, 1, 0x80000000 | P | W | U | PS); /* 1 GiB */
    put64(0x3000, 0, 0x4000 | P | W | U);
    put64(0x3000, 1, 0x00a00000 | P | W | U | PS | NX); /* 2 MiB */
    put64(0x4000, 0, 0x9000 | P | W | U | BIT(52));     /* ignored bit */
    put64(0x4000, 1, 0xa000 | P | W | D);
    put64(0x4000, 2, 0xb000 | P | U);
    fake_long(cpu, 0, 0x1000);
    OK(0x123, X86_READ, 1, 0x9123);
    OK(high + 0x123, X86_READ, 0, 0x9123);
    FAULT(high + 0x123, X86_READ, 1, X86_PF_P | X86_PF_U);
    OK(0x40012345, X86_WRITE, 1, 0x80012345);
    CHECK_EQ(get64(0x2000, 1) & (A | D), A | D);
    OK(0x234567, X86_READ, 1, 0xa34567);
    FAULT(0x234567, X86_EXEC, 1, X86_PF_P | X86_PF_I | X86_PF_U);
    FAULT(0x1000, X86_READ, 1, X86_PF_P | X86_PF_U);
    FAULT(0x2000, X86_WRITE, 1, X86_PF_P | X86_PF_W | X86_PF_U);
    FAULT(0x3000, X86_EXEC, 1, X86_PF_I | X86_PF_U);
    OK(0, X86_EXEC, 0, 0x9000);
    cpu->cr4 |= X86_CR4_SMEP;
    FAULT(0, X86_EXEC, 0, X86_PF_P | X86_PF_I);
    OK(0x1000, X86_EXEC, 0, 0xa000);
    put64(0x3000, 2, 0x00a02000 | P | PS);
    FAULT(0x400000, X86_READ, 0, X86_PF_P | X86_PF_RSVD);
    put64(0x3000, 3, 0x4000 | P | BIT(50)); /* beyond the physical address width */
    FAULT(0x600000, X86_READ, 0, X86_PF_P | X86_PF_RSVD);
    put64(0x1000, 1, 0x2000 | P | PS);
    FAULT(0x8000000000, X86_READ, 0, X86_PF_P | X86_PF_RSVD);
    put64(0x1000, 2, BIT(40) | P | W | U); /* a table outside RAM */
    FAULT(0x10000000000, X86_READ, 0, 0);

    /* The debugger's view changes nothing and knows no rights. */
    put64(0x4000, 3, 0xc000 | P);
    CHECK(x86_translate_debug(cpu, 0x3004, &gpa));
    CHECK_EQ(gpa, 0xc004);
    CHECK_EQ(get64(0x4000, 3) & (A | D), 0);
    CHECK(!x86_translate_debug(cpu, 0x5000, &gpa));
    CHECK(!x86_translate_debug(cpu, 0x800000000000, &gpa));
    free(cpu);
}

/* What the software TLB may keep. */
static void tlb(void)
{
    struct x86_cpu *cpu = fake_cpu();
    struct x86_tlb_entry *e;

    put64(0x1000, 0, 0x2000 | P | W | U);
    put64(0x2000, 0, 0x3000 | P | W | U);
    put64(0x3000, 0, 0x4000 | P | W | U);
    put64(0x3000, 1, 0x200000 | P | W | U | PS);
    put64(0x4000, 8, 0x8000 | P | W | U | NX);
    put64(0x4000, 9, 0x9000 | P | U);
    fake_long(cpu, 3, 0x1000);
    le64_put(fake_ram + 0x8010, 0x1122334455667788);

    CHECK_EQ(x86_load(cpu, X86_DS, 0x8010, 4), 0x55667788);
    e = x86_tlb_entry(cpu, 0x8010, 1);
    CHECK_EQ(e->r, 0x8);
    CHECK_EQ(e->w, X86_TLB_NONE); /* D is not set */
    CHECK_EQ(e->x, X86_TLB_NONE);
    CHECK_EQ(x86_tlb_entry(cpu, 0x8010, 0)->r, X86_TLB_NONE);
    x86_store(cpu, X86_DS, 0x8010, 0xaa, 1);
    CHECK_EQ(e->w, 0x8);
    CHECK_EQ(le64(fake_ram + 0x8010), 0x11223344556677aa);
    CHECK_EQ(get64(0x4000, 8) & (A | D), A | D);
    x86_tlb_protect(cpu, fake_ram + 0x8000);
    CHECK_EQ(e->w, X86_TLB_NONE);
    CHECK_EQ(e->r, 0x8);

    /* A code page: each store is announced. */
    fake_code_page = 0x8000;
    x86_store(cpu, X86_DS, 0x8018, 1, 8);
    CHECK_EQ(fake_code_stores, 1);
    CHECK_EQ(e->w, X86_TLB_NONE);
    CHECK(x86_rmw(cpu, X86_DS, 0x8018, 8) == fake_ram + 0x8018);
    CHECK_EQ(fake_code_stores, 2);
    fake_code_page = ~0ull;
    x86_store(cpu, X86_DS, 0x8018, 1, 8);
    CHECK_EQ(e->w, 0x8);

    /* INVLPG of one page of a large one takes all of it. */
    x86_load(cpu, X86_DS, 0x200000, 1);
    x86_load(cpu, X86_DS, 0x3ff000, 1);
    x86_tlb_flush_page(cpu, 0x201000);
    CHECK_EQ(x86_tlb_entry(cpu, 0x200000, 1)->r, X86_TLB_NONE);
    CHECK_EQ(x86_tlb_entry(cpu, 0x3ff000, 1)->r, X86_TLB_NONE);
    CHECK_EQ(e->r, 0x8);
    x86_tlb_flush(cpu);
    CHECK_EQ(e->r, X86_TLB_NONE);

    /* Global pages outlive a change of CR3. */
    put64(0x4000, 12, 0xc000 | P | W | U | X86_PTE_G);
    x86_load(cpu, X86_DS, 0xc000, 1);
    x86_load(cpu, X86_DS, 0x8000, 1);
    x86_tlb_flush_local(cpu);
    CHECK_EQ(e->r, X86_TLB_NONE);
    CHECK_EQ(x86_tlb_entry(cpu, 0xc000, 1)->r, 0xc);
    x86_tlb_flush(cpu);
    CHECK_EQ(x86_tlb_entry(cpu, 0xc000, 1)->r, X86_TLB_NONE);

    /* Across pages. */
    put64(0x4000, 10, 0xb000 | P | W | U);
    put64(0x4000, 11, 0x8000 | P | W | U);
    x86_store(cpu, X86_DS, 0xaffc, 0x0102030405060708, 8);
    CHECK_EQ(le32(fake_ram + 0xbffc), 0x05060708);
    CHECK_EQ(le32(fake_ram + 0x8000), 0x01020304);
    CHECK_EQ(x86_load(cpu, X86_DS, 0xaffd, 8), 0x0001020304050607);
    CHECK(x86_rmw(cpu, X86_DS, 0xaffd, 8) == NULL);

    /* Alignment check: no fast path may be left over. */
    x86_load(cpu, X86_DS, 0x8000, 8);
    cpu->cr0 |= X86_CR0_AM;
    cpu->rflags |= X86_AC;
    x86_derive(cpu);
    x86_load(cpu, X86_DS, 0x8000, 8);
    CHECK_EQ(e->r, X86_TLB_NONE);
    free(cpu);
}

int main(void)
{
    no_paging();
    legacy32();
    pae();
    long4();
    tlb();
    return unit_done("mmu");
}
