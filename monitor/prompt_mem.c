/* SPDX-License-Identifier: BSD-2-Clause */
/* `info mem`: walks the guest's page tables and prints what they map. [SDM] 3A "Paging". */
#include <string.h>

#include "isa/x86/regs.h"
#include "monitor/prompt.h"

struct walk {
    const struct guest_memory *mem;
    FILE *out;
    unsigned entry_size; /* bytes */
    bool pae, pse;
    uint64_t start, end, rights; /* the range being collected */
    unsigned lines, tables;
};

/* Tables that refer to one another could keep the walk busy for ever. */
enum { MAX_LINES = 500, MAX_TABLES = 1 << 20 };

static void flush(struct walk *w)
{
    if (w->end == w->start)
        return;
    if (w->lines++ < MAX_LINES)
        fprintf(w->out, "%016llx-%016llx %c%c%c\n", (unsigned long long)w->start,
                (unsigned long long)w->end, w->rights & X86_PTE_U ? 'u' : '-',
                w->rights & X86_PTE_W ? 'w' : 'r', w->rights & X86_PTE_NX ? '-' : 'x');
    else if (w->lines == MAX_LINES + 1)
        fprintf(w->out, "…\n");
    w->start = w->end;
}

static void mapped(struct walk *w, uint64_t lin, uint64_t len, uint64_t rights)
{
    if (lin != w->end || rights != w->rights) {
        flush(w);
        w->start = lin;
        w->rights = rights;
    }
    w->end = lin + len;
}

/* A page that this entry maps by itself. */
static bool is_leaf(const struct walk *w, uint64_t e, unsigned shift)
{
    return shift == 12 || ((e & X86_PTE_PS) &&
                           (shift == 21 || (shift == 22 && w->pse) || (shift == 30 && !w->pae)));
}

/* One table: `shift` is the address bit its index starts at. rights: what the levels above allow.
 */
static void table(struct walk *w, uint64_t gpa, unsigned shift, unsigned bits, uint64_t lin,
                  uint64_t rights)
{
    const unsigned next = w->entry_size == 4 ? 10 : 9;
    for (unsigned i = 0; i < 1u << bits && w->lines <= MAX_LINES; i++) {
        uint64_t e = 0, at = lin + ((uint64_t)i << shift);
        if (guest_read(w->mem, gpa + (uint64_t)i * w->entry_size, &e, w->entry_size) ||
            !(e & X86_PTE_P))
            continue;
        if (shift == 39 && i >= 256)
            at |= 0xffff000000000000;
        uint64_t r = (rights & e & (X86_PTE_U | X86_PTE_W)) | ((rights | e) & X86_PTE_NX);
        if (shift == 30 && w->pae)
            r = rights; /* a PDPTE of PAE has no rights */
        if (is_leaf(w, e, shift))
            mapped(w, at, 1ull << shift, r);
        else if (w->tables++ < MAX_TABLES)
            table(w, e & (w->entry_size == 4 ? 0xfffff000ull : BITS(51, 12)), shift - next, next,
                  at, r);
    }
}

static void get_sregs(struct vcpu *v, void *arg)
{
    struct kvm_sregs *s = arg;
    if (v->vm->ops->get_sregs(v->vcpu, s))
        memset(s, 0, sizeof(*s));
}

void prompt_info_mem(struct vm *vm, unsigned vcpu, FILE *out)
{
    struct kvm_sregs s = { 0 };
    struct walk w = { .mem = &vm->mem, .out = out, .entry_size = 8 };
    vm_on_vcpu(vm, vcpu, get_sregs, &s);
    if (!(s.cr0 & X86_CR0_PG)) {
        fprintf(out, "paging is off\n");
        return;
    }
    const uint64_t all = X86_PTE_U | X86_PTE_W;
    if (s.efer & X86_EFER_LMA) {
        table(&w, s.cr3 & BITS(51, 12), 39, 9, 0, all);
    } else if (s.cr4 & X86_CR4_PAE) {
        w.pae = true;
        table(&w, s.cr3 & 0xffffffe0, 30, 2, 0, all);
    } else {
        w.entry_size = 4;
        w.pse = s.cr4 & X86_CR4_PSE;
        table(&w, s.cr3 & 0xfffff000, 22, 10, 0, all);
    }
    flush(&w);
}
