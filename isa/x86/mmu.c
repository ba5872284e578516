/* SPDX-License-Identifier: BSD-2-Clause */
/* Page walks of every paging mode, with rights, reserved bits and accessed/dirty bits.
 * [SDM] 3A "Paging". Not offered: 5-level paging, SMAP, protection keys. */
#include "isa/x86/emu.h"
#include "isa/x86/model.h"

#define ADDR_MASK (BITS(X86_PHYS_BITS - 1, 12))

/* One paging-structure entry on the way down. */
struct step {
    uint8_t *host; /* where it lies; NULL: not in RAM */
    uint64_t gpa, pte;
    unsigned props;
};

/* Tables outside RAM read as zero, hence as not present. */
static void read_entry(struct x86_cpu *cpu, struct step *s, uint64_t gpa, unsigned size)
{
    uint8_t *page = cpu->env->ram(cpu, gpa & ~0xfffull, &s->props);

    s->gpa = gpa;
    s->host = page ? page + (gpa & 0xfff) : NULL;
    if (!page)
        s->pte = 0;
    else if (size == 8)
        s->pte = __atomic_load_n((uint64_t *)(void *)s->host, __ATOMIC_RELAXED);
    else
        s->pte = __atomic_load_n((uint32_t *)(void *)s->host, __ATOMIC_RELAXED);
}

/* Sets bits in an entry; false if it changed under our hands: walk anew. */
static bool set_bits(struct x86_cpu *cpu, struct step *s, uint64_t bits, unsigned size)
{
    if ((s->pte & bits) == bits || !(s->props & X86_RAM_WRITABLE) || (s->props & X86_RAM_ROM))
        return true;
    if (s->props & X86_RAM_CODE)
        cpu->env->store_code(cpu, s->gpa, size);
    if (size == 8) {
        uint64_t old = s->pte;
        return __atomic_compare_exchange_n((uint64_t *)(void *)s->host, &old, old | bits, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    uint32_t old = (uint32_t)s->pte;
    return __atomic_compare_exchange_n((uint32_t *)(void *)s->host, &old, (uint32_t)(old | bits),
                                       false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Reserved bits of a present 8-byte entry that maps or names (leaf) 1 << shift bytes. */
static bool reserved_8(const struct x86_cpu *cpu, uint64_t pte, unsigned shift, bool leaf)
{
    uint64_t rsvd = BITS(51, X86_PHYS_BITS);

    if (!(cpu->efer & X86_EFER_NXE))
        rsvd |= X86_PTE_NX;
    if (!x86_long(cpu))
        rsvd |= BITS(62, 52);
    if (shift == 39)
        rsvd |= X86_PTE_PS;
    if (leaf && shift > 12)
        rsvd |= BITS(shift - 1, 13);
    return pte & rsvd;
}

static uint32_t fault_code(const struct x86_cpu *cpu, enum x86_access access, unsigned user)
{
    bool nx = (cpu->efer & X86_EFER_NXE) && (cpu->cr4 & X86_CR4_PAE);

    return (access == X86_WRITE ? X86_PF_W : 0) | (user ? X86_PF_U : 0) |
           (access == X86_EXEC && (nx || (cpu->cr4 & X86_CR4_SMEP)) ? X86_PF_I : 0);
}

/* What the accumulated rights w, u, nx let accesses of this kind of user do. */
static unsigned rights(const struct x86_cpu *cpu, bool w, bool u, bool nx, unsigned user)
{
    unsigned prot = 0;

    if (u || !user)
        prot |= 1u << X86_READ;
    if (prot && (w || (!user && !(cpu->cr0 & X86_CR0_WP))))
        prot |= 1u << X86_WRITE;
    if (prot && !nx && !(!user && u && (cpu->cr4 & X86_CR4_SMEP)))
        prot |= 1u << X86_EXEC;
    return prot;
}

static bool walk_once(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                      bool debug, struct x86_walk *out, bool *again)
{
    unsigned size = x86_long(cpu) || (cpu->cr4 & X86_CR4_PAE) ? 8 : 4,
             index_bits = size == 8 ? 9 : 10;
    struct step step[4];
    uint64_t table = cpu->cr3 & ADDR_MASK;
    unsigned shift, n = 0;
    bool w = true, u = true, nx = false, leaf;
    struct step *s;

    *again = false;
    out->error = fault_code(cpu, access, user);
    if (x86_long(cpu)) {
        shift = 39;
    } else if (size == 8) {
        uint64_t pdpte = cpu->pdpte[lin >> 30 & 3];
        if (!(pdpte & X86_PTE_P))
            return false;
        table = pdpte & ADDR_MASK;
        shift = 21;
    } else {
        table &= 0xfffff000;
        shift = 22;
    }
    for (;; shift -= index_bits) {
        s = &step[n++];
        read_entry(cpu, s, table + (lin >> shift & ((1u << index_bits) - 1)) * size, size);
        if (!(s->pte & X86_PTE_P))
            return false;
        leaf = shift == 12 ||
               ((s->pte & X86_PTE_PS) && shift <= 30 && (size == 8 || (cpu->cr4 & X86_CR4_PSE)));
        /* 32-bit 4 MiB pages: bits 20..13 are address bits 39..32, bit 21 is reserved. */
        if (size == 8 ? reserved_8(cpu, s->pte, shift, leaf)
                      : leaf && shift == 22 && (s->pte & BIT(21))) {
            out->error |= X86_PF_P | X86_PF_RSVD;
            return false;
        }
        w &= (s->pte & X86_PTE_W) != 0;
        u &= (s->pte & X86_PTE_U) != 0;
        nx |= size == 8 && (s->pte & X86_PTE_NX);
        if (leaf)
            break;
        table = s->pte & (size == 8 ? ADDR_MASK : 0xfffff000);
    }
    uint64_t page = s->pte & (size == 8 ? ADDR_MASK : 0xfffff000) & ~(BIT(shift) - 1);
    if (size == 4 && shift == 22)
        page = (s->pte & 0xffc00000) | bits_get(s->pte, 20, 13) << 32;
    out->gpa = page | (lin & (BIT(shift) - 1));
    out->shift = shift;
    out->global = (s->pte & X86_PTE_G) && (cpu->cr4 & X86_CR4_PGE);
    if (debug)
        return true;

    out->prot = rights(cpu, w, u, nx, user);
    if (!(out->prot & (1u << access))) {
        out->error |= X86_PF_P;
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        uint64_t bits = X86_PTE_A | (i == n - 1 && access == X86_WRITE ? X86_PTE_D : 0);
        if (!set_bits(cpu, &step[i], bits, size)) {
            *again = true;
            return false;
        }
    }
    if (access != X86_WRITE && !(s->pte & X86_PTE_D))
        out->prot &= ~(1u << X86_WRITE);
    return true;
}

static bool walk(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                 bool debug, struct x86_walk *out)
{
    bool again, ok;

    if (!x86_long(cpu))
        lin &= 0xffffffff;
    if (!(cpu->cr0 & X86_CR0_PG)) {
        *out = (struct x86_walk){ .gpa = lin, .prot = 7, .shift = 12 };
        return true;
    }
    do
        ok = walk_once(cpu, lin, access, user, debug, out, &again);
    while (again);
    return ok;
}

bool x86_try_walk(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                  struct x86_walk *out)
{
    return walk(cpu, lin, access, user, false, out);
}

uint64_t x86_walk(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                  unsigned *prot)
{
    struct x86_walk w;

    if (!walk(cpu, lin, access, user, false, &w))
        x86_page_fault(cpu, lin, w.error);
    if (prot)
        *prot = w.prot;
    return w.gpa;
}

bool x86_translate_debug(struct x86_cpu *cpu, uint64_t lin, uint64_t *gpa)
{
    struct x86_walk w;

    if ((x86_long(cpu) && !x86_canonical(lin)) || !walk(cpu, lin, X86_READ, 0, true, &w))
        return false;
    *gpa = w.gpa;
    return true;
}

/* [SDM] 3A "PDPTE Registers" */
bool x86_load_pdptes(struct x86_cpu *cpu, uint64_t cr3)
{
    const uint64_t rsvd = BITS(63, X86_PHYS_BITS) | BITS(8, 5) | BITS(2, 1);
    uint64_t table = cr3 & 0xffffffe0, pdpte[4];

    for (unsigned i = 0; i < 4; i++) {
        struct step s;
        read_entry(cpu, &s, table + 8 * i, 8);
        if ((s.pte & X86_PTE_P) && (s.pte & rsvd))
            return false;
        pdpte[i] = s.pte;
    }
    for (unsigned i = 0; i < 4; i++)
        cpu->pdpte[i] = pdpte[i];
    return true;
}
