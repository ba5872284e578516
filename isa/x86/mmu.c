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

/* Why there is a walk. */
enum why { ACCESS, QUIET /* no store_code */, DEBUG /* no rights, no bits set */ };

/* Sets bits in an entry; false if it changed under our hands: walk anew. */
static bool set_bits(struct x86_cpu *cpu, struct step *s, uint64_t bits, unsigned size)
{
    if ((s->pte & bits) == bits || !(s->props & X86_RAM_WRITABLE) || (s->props & X86_RAM_ROM))
        return true;
    if (s->props & X86_RAM_CODE) {
        cpu->walking = 1;
        cpu->env->store_code(cpu, s->gpa, size);
        cpu->walking = 0;
    }
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

static struct x86_pde *pde_of(struct x86_cpu *cpu, uint64_t region)
{
    return &cpu->pde[region % X86_PDE_CACHE];
}

static void failed(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                   const struct step *s, unsigned size, uint32_t error)
{
    cpu->failed = (struct x86_failed_walk){ .page = s->host ? (lin >> 12) + 1 : 0,
                                            .cr3 = cpu->cr3,
                                            .invalidations = cpu->invalidations,
                                            .pte = s->pte,
                                            .host = s->host,
                                            .error = error,
                                            .access = (uint8_t)access,
                                            .user = (uint8_t)user,
                                            .size = (uint8_t)size };
}

static bool fails_again(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                        struct x86_walk *out)
{
    struct x86_failed_walk *f = &cpu->failed;

    if (likely(f->page != (lin >> 12) + 1) || f->access != access || f->user != user)
        return false;
    f->page = 0;
    if (f->cr3 != cpu->cr3 || f->invalidations != cpu->invalidations ||
        le_get(f->host, f->size) != f->pte)
        return false;
    out->error = f->error;
    return true;
}

static bool walk_once(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                      enum why why, struct x86_walk *out, bool *again)
{
    unsigned size = x86_long(cpu) || (cpu->cr4 & X86_CR4_PAE) ? 8 : 4,
             index_bits = size == 8 ? 9 : 10;
    struct step step[4];
    uint64_t table = cpu->cr3 & ADDR_MASK;
    unsigned shift, n = 0;
    bool w = true, u = true, nx = false, leaf;
    struct x86_pde pde = { .shift = 12 };
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
        if (!(s->pte & X86_PTE_P)) {
            failed(cpu, lin, access, user, s, size, out->error);
            return false;
        }
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
        pde.w = w;
        pde.u = u;
        pde.nx = nx;
    }
    uint64_t page = s->pte & (size == 8 ? ADDR_MASK : 0xfffff000) & ~(BIT(shift) - 1);
    if (size == 4 && shift == 22)
        page = (s->pte & 0xffc00000) | bits_get(s->pte, 20, 13) << 32;
    out->gpa = page | (lin & (BIT(shift) - 1));
    out->shift = shift;
    out->global = (s->pte & X86_PTE_G) && (cpu->cr4 & X86_CR4_PGE);
    if (why == DEBUG)
        return true;

    out->prot = rights(cpu, w, u, nx, user);
    if (!(out->prot & (1u << access))) {
        out->error |= X86_PF_P;
        failed(cpu, lin, access, user, s, size, out->error);
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        uint64_t bits = X86_PTE_A | (i == n - 1 && access == X86_WRITE ? X86_PTE_D : 0);
        if (why == QUIET && (step[i].props & X86_RAM_CODE) && (step[i].pte & bits) != bits)
            return false;
        if (!set_bits(cpu, &step[i], bits, size)) {
            *again = true;
            return false;
        }
    }
    if (access != X86_WRITE && !(s->pte & X86_PTE_D))
        out->prot &= ~(1u << X86_WRITE);
    if (shift == 12)
        pde.table = (uint8_t *)ALIGN_DOWN((uintptr_t)s->host, (uintptr_t)0x1000);
    else
        pde = (struct x86_pde){ .shift = (uint8_t)shift,
                                .w = w,
                                .u = u,
                                .nx = nx,
                                .gpa = page,
                                .pte = s->pte | X86_PTE_A | (access == X86_WRITE ? X86_PTE_D : 0) };
    pde.region = (lin >> (12 + index_bits)) + 1;
    pde.cr3 = cpu->cr3;
    pde.invalidations = cpu->invalidations;
    *pde_of(cpu, lin >> (12 + index_bits)) = pde;
    return true;
}

/* By the paging-structure cache, if no bit has to be set and nothing faults. */
static bool walk_cached(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                        struct x86_walk *out)
{
    const unsigned size = x86_long(cpu) || (cpu->cr4 & X86_CR4_PAE) ? 8 : 4,
                   shift = size == 8 ? 21 : 22;
    const struct x86_pde *d = pde_of(cpu, lin >> shift);
    const uint64_t need = X86_PTE_P | X86_PTE_A | (access == X86_WRITE ? X86_PTE_D : 0);
    uint64_t pte;

    if (d->region != (lin >> shift) + 1 || d->invalidations != cpu->invalidations ||
        d->cr3 != cpu->cr3)
        return false;
    if (!d->table) {
        if ((d->pte & need) != need)
            return false;
        pte = d->pte;
        out->prot = rights(cpu, d->w, d->u, d->nx, user);
        out->gpa = d->gpa | (lin & (BIT(d->shift) - 1));
    } else if (size == 8) {
        pte = __atomic_load_n((uint64_t *)(void *)d->table + (lin >> 12 & 511), __ATOMIC_RELAXED);
        if ((pte & need) != need || reserved_8(cpu, pte, 12, true))
            return false;
        out->prot = rights(cpu, d->w && (pte & X86_PTE_W), d->u && (pte & X86_PTE_U),
                           d->nx || (pte & X86_PTE_NX), user);
        out->gpa = (pte & ADDR_MASK) | (lin & 0xfff);
    } else {
        pte = __atomic_load_n((uint32_t *)(void *)d->table + (lin >> 12 & 1023), __ATOMIC_RELAXED);
        if ((pte & need) != need)
            return false;
        out->prot = rights(cpu, d->w && (pte & X86_PTE_W), d->u && (pte & X86_PTE_U), false, user);
        out->gpa = (pte & 0xfffff000) | (lin & 0xfff);
    }
    if (!(out->prot & 1u << access))
        return false;
    if (access != X86_WRITE && !(pte & X86_PTE_D))
        out->prot &= ~(1u << X86_WRITE);
    out->shift = d->shift;
    out->global = (pte & X86_PTE_G) && (cpu->cr4 & X86_CR4_PGE);
    return true;
}

static bool walk(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                 enum why why, struct x86_walk *out)
{
    bool again, ok;

    if (!x86_long(cpu))
        lin &= 0xffffffff;
    if (!(cpu->cr0 & X86_CR0_PG)) {
        *out = (struct x86_walk){ .gpa = lin, .prot = 7, .shift = 12 };
        return true;
    }
    if (why != DEBUG && walk_cached(cpu, lin, access, user, out))
        return true;
    if (why != DEBUG && fails_again(cpu, lin, access, user, out))
        return false;
    do
        ok = walk_once(cpu, lin, access, user, why, out, &again);
    while (again);
    return ok;
}

bool x86_try_walk(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                  struct x86_walk *out)
{
    return walk(cpu, lin, access, user, ACCESS, out);
}

bool x86_quiet_walk(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                    struct x86_walk *out)
{
    return walk(cpu, lin, access, user, QUIET, out);
}

uint64_t x86_walk(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                  unsigned *prot)
{
    struct x86_walk w;

    if (!walk(cpu, lin, access, user, ACCESS, &w))
        x86_page_fault(cpu, lin, w.error);
    if (prot)
        *prot = w.prot;
    return w.gpa;
}

bool x86_translate_debug(struct x86_cpu *cpu, uint64_t lin, uint64_t *gpa)
{
    struct x86_walk w;

    if ((x86_long(cpu) && !x86_canonical(lin)) || !walk(cpu, lin, X86_READ, 0, DEBUG, &w))
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
