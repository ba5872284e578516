/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the emulator's own files: throwing, registers, addresses, memory. Not for others. */
#ifndef ISA_X86_EMU_H
#define ISA_X86_EMU_H

#include "isa/x86/cpu.h"
#include "isa/x86/insn.h"

/*
 * Rule of every exec function: check everything and do all accesses that may fault BEFORE changing
 * registers, flags or rip; stores come before register changes. Then a throw needs no undo: rip is
 * put back by whoever catches. REP string iterations are the exception: each is a commit point of
 * its own.
 */

/* ---- throw (step.c): back to the loop that executes; never returns ---- */
_Noreturn void x86_throw(struct x86_cpu *cpu, enum x86_exit exit);
_Noreturn void x86_fault(struct x86_cpu *cpu, unsigned vector); /* no error code */
_Noreturn void x86_fault_code(struct x86_cpu *cpu, unsigned vector, uint32_t error);
_Noreturn void x86_page_fault(struct x86_cpu *cpu, uint64_t lin, uint32_t error);
_Noreturn void x86_error(struct x86_cpu *cpu, const char *what); /* X86_EXIT_ERROR */
static inline _Noreturn void x86_ud(struct x86_cpu *cpu) { x86_fault(cpu, X86_UD); }
static inline _Noreturn void x86_gp0(struct x86_cpu *cpu) { x86_fault_code(cpu, X86_GP, 0); }

/* ---- modes ---- */
static inline bool x86_protected(const struct x86_cpu *cpu) { return cpu->cr0 & X86_CR0_PE; }
static inline bool x86_v86(const struct x86_cpu *cpu) { return cpu->rflags & X86_VM; }
static inline bool x86_real_or_v86(const struct x86_cpu *cpu)
{
    return !x86_protected(cpu) || x86_v86(cpu);
}
static inline bool x86_long(const struct x86_cpu *cpu) { return cpu->efer & X86_EFER_LMA; }
static inline unsigned x86_iopl(const struct x86_cpu *cpu)
{
    return (unsigned)bits_get(cpu->rflags, 13, 12);
}
static inline bool x86_canonical(uint64_t a) { return (uint64_t)((int64_t)(a << 16) >> 16) == a; }

/* ---- general registers by size (32-bit writes clear the upper half; 8- and 16-bit ones keep the
 * rest) ---- */
static inline uint64_t x86_reg_get(const struct x86_cpu *cpu, unsigned r, unsigned size)
{
    return cpu->gpr[r] & size_mask(size);
}
static inline void x86_reg_set(struct x86_cpu *cpu, unsigned r, unsigned size, uint64_t v)
{
    switch (size) {
    case 1: cpu->gpr[r] = (cpu->gpr[r] & ~0xffull) | (v & 0xff); break;
    case 2: cpu->gpr[r] = (cpu->gpr[r] & ~0xffffull) | (v & 0xffff); break;
    case 4: cpu->gpr[r] = (uint32_t)v; break;
    default: cpu->gpr[r] = v;
    }
}

/* ---- addresses ---- */

/* Offset (effective address) of the memory operand, cut to the address size. rip is already behind.
 */
static inline uint64_t x86_ea(const struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint64_t ea =
        cpu->reg[insn->base] + (cpu->reg[insn->index] << insn->scale) + (uint64_t)insn->disp;
    return likely(insn->asz == 8) ? ea : ea & size_mask(insn->asz);
}

enum x86_access { X86_READ = 0, X86_WRITE = 1, X86_EXEC = 2 };

/* Linear address of seg:off for an access of size bytes: limit, type, presence and (64-bit)
 * canonical form checked as the manual says; throws #GP or #SS. Slow, complete. (seg.c) */
uint64_t x86_linear_slow(struct x86_cpu *cpu, unsigned seg, uint64_t off, unsigned size,
                         enum x86_access access);

static inline uint64_t x86_linear(struct x86_cpu *cpu, unsigned seg, uint64_t off, unsigned size,
                                  enum x86_access access)
{
    if (likely(cpu->code == 8)) /* canonical form is checked on a TLB miss, see x86_load_slow */
        return seg >= X86_FS ? off + cpu->seg[seg].base : off;
    /* CS is flat for reads only. */
    if (likely(cpu->flat & (1u << seg) & ~(access == X86_WRITE ? 1u << X86_CS : 0u)) &&
        off + size - 1 <= 0xffffffff)
        return off;
    return x86_linear_slow(cpu, seg, off, size, access);
}

/* ---- memory by linear address ----
 * Sizes 1, 2, 4, 8 by value; other sizes by buffer. `seg` is only for the choice between #GP and
 * #SS where a 64-bit address is not canonical. user: the access is made with user rights (CPL 3);
 * x86_user() says so for ordinary accesses; descriptor tables, TSS and IDT use false. All are in
 * mem.c but for the fast path here; they handle page crossing, MMIO with replay, code pages, A/D
 * bits, alignment check (AC), data watchpoints. */
static inline unsigned x86_user(const struct x86_cpu *cpu) { return cpu->cpl == 3; }

uint64_t x86_load_slow(struct x86_cpu *cpu, unsigned seg, uint64_t lin, unsigned size,
                       unsigned user);
void x86_store_slow(struct x86_cpu *cpu, unsigned seg, uint64_t lin, uint64_t v, unsigned size,
                    unsigned user);
void x86_load_bytes(struct x86_cpu *cpu, unsigned seg, uint64_t lin, void *buf, unsigned len,
                    unsigned user);
void x86_store_bytes(struct x86_cpu *cpu, unsigned seg, uint64_t lin, const void *buf, unsigned len,
                     unsigned user);
/* Checks that a later access of len bytes (any length) would not fault; throws what it would throw.
 */
void x86_probe(struct x86_cpu *cpu, unsigned seg, uint64_t lin, unsigned len,
               enum x86_access access, unsigned user);

/* Host address for a read-modify-write of size bytes (writable RAM within one page, no watch), else
 * NULL: then load, compute and store (for LOCK: under the engine's rule for split
 * locks). Faults as a write would. */
void *x86_rmw_slow(struct x86_cpu *cpu, unsigned seg, uint64_t lin, unsigned size, unsigned user);

/* For generated code that missed: fills the entry and says whether it now allows the access. Throws
 * nothing and calls nothing out of the emulator but env->ram. */
WARN_UNUSED bool x86_tlb_fill(struct x86_cpu *cpu, uint64_t lin, unsigned size,
                              enum x86_access access, unsigned user);

static inline struct x86_tlb_entry *x86_tlb_entry(struct x86_cpu *cpu, uint64_t lin, unsigned user)
{
    return &cpu->tlb[user]->e[(lin >> 12) % X86_TLB_SIZE];
}

/* Host address of lin, or NULL where the access is not to be had without further ado; fills the
 * entry and throws nothing. */
static inline uint8_t *x86_tlb_host(struct x86_cpu *cpu, uint64_t lin, enum x86_access access,
                                    unsigned user)
{
    const struct x86_tlb_entry *e = x86_tlb_entry(cpu, lin, user);

    if ((access == X86_WRITE ? e->w : e->r) != lin >> 12 &&
        !x86_tlb_fill(cpu, lin, 1, access, user))
        return NULL;
    return (uint8_t *)(uintptr_t)(lin + e->addend);
}

/* The tag compare on the last byte's page makes page-crossers miss. */
static inline __attribute__((always_inline)) uint64_t x86_load_user(struct x86_cpu *cpu,
                                                                    unsigned seg, uint64_t lin,
                                                                    unsigned size, unsigned user)
{
    struct x86_tlb_entry *e = x86_tlb_entry(cpu, lin, user);
    if (likely(e->r == ((lin + size - 1) >> 12)))
        return le_get((const void *)(uintptr_t)(lin + e->addend), size);
    return x86_load_slow(cpu, seg, lin, size, user);
}
static inline __attribute__((always_inline)) void x86_store_user(struct x86_cpu *cpu, unsigned seg,
                                                                 uint64_t lin, uint64_t v,
                                                                 unsigned size, unsigned user)
{
    struct x86_tlb_entry *e = x86_tlb_entry(cpu, lin, user);
    if (likely(e->w == ((lin + size - 1) >> 12)))
        le_put((void *)(uintptr_t)(lin + e->addend), v, size);
    else
        x86_store_slow(cpu, seg, lin, v, size, user);
}
static inline __attribute__((always_inline)) void *x86_rmw(struct x86_cpu *cpu, unsigned seg,
                                                           uint64_t lin, unsigned size)
{
    struct x86_tlb_entry *e = x86_tlb_entry(cpu, lin, x86_user(cpu));
    if (likely(e->w == ((lin + size - 1) >> 12)))
        return (void *)(uintptr_t)(lin + e->addend);
    return x86_rmw_slow(cpu, seg, lin, size, x86_user(cpu));
}

/* seg:off access with the current privilege. */
static inline __attribute__((always_inline)) uint64_t x86_load(struct x86_cpu *cpu, unsigned seg,
                                                               uint64_t off, unsigned size)
{
    return x86_load_user(cpu, seg, x86_linear(cpu, seg, off, size, X86_READ), size, x86_user(cpu));
}
static inline __attribute__((always_inline)) void x86_store(struct x86_cpu *cpu, unsigned seg,
                                                            uint64_t off, uint64_t v, unsigned size)
{
    x86_store_user(cpu, seg, x86_linear(cpu, seg, off, size, X86_WRITE), v, size, x86_user(cpu));
}

/* Executes an instruction within another that is executed (an engine's code for several). False: it
 * raised an exception, which has been delivered. All else that is thrown goes through. (step.c) */
WARN_UNUSED bool x86_try(struct x86_cpu *cpu, const struct x86_insn *insn);

/* ---- I/O of the instruction under way, with replay (mem.c) ---- */
void x86_pio(struct x86_cpu *cpu, uint16_t port, void *data, unsigned len, bool write);

/* ---- page walk (mmu.c) ---- */

/* Guest-physical address of lin; checks rights for access and user, sets A/D, throws #PF. *prot
 * (may be NULL): bits 1 << X86_READ … that further accesses of this kind of user may do without a
 * walk. */
uint64_t x86_walk(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                  unsigned *prot);
struct x86_walk {
    uint64_t gpa;
    unsigned prot;  /* as above */
    unsigned shift; /* log2 of the page size */
    bool global;    /* the translation outlives a change of CR3 */
    uint32_t error; /* if it failed: the #PF error code */
};
/* The same, throwing nothing. */
WARN_UNUSED bool x86_try_walk(struct x86_cpu *cpu, uint64_t lin, enum x86_access access,
                              unsigned user, struct x86_walk *out);
/* The same, failing also where a bit must be set in a page of code. */
WARN_UNUSED bool x86_quiet_walk(struct x86_cpu *cpu, uint64_t lin, enum x86_access access,
                                unsigned user, struct x86_walk *out);
/* Loads cpu->pdpte from the table `cr3` names (PAE, not long mode). False: a reserved bit is set
 * (#GP); then nothing is changed. */
WARN_UNUSED bool x86_load_pdptes(struct x86_cpu *cpu, uint64_t cr3);

/* ---- software TLB (tlb.c) ---- */
/* Enters a walk's result; host: of the page. slow: every load and store goes the slow way. */
void x86_tlb_enter(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                   const struct x86_walk *w, uint8_t *host, bool writable, bool slow);
/* CR3 was loaded. keep: with the no-flush bit. */
void x86_tlb_load_cr3(struct x86_cpu *cpu, bool keep);
/* cpu->align_check changed. */
void x86_tlb_align_check(struct x86_cpu *cpu);
enum { X86_INVPCID_PAGE, X86_INVPCID_CONTEXT, X86_INVPCID_ALL_GLOBAL, X86_INVPCID_ALL };
void x86_tlb_invpcid(struct x86_cpu *cpu, unsigned type, unsigned pcid, uint64_t lin);

/* ---- stack ---- */
static inline uint64_t x86_sp_mask(const struct x86_cpu *cpu) { return size_mask(cpu->stack); }
/* Writes rSP by the stack size (16-bit keeps the upper bits). */
static inline void x86_sp_set(struct x86_cpu *cpu, uint64_t sp)
{
    x86_reg_set(cpu, X86_RSP, cpu->stack, sp);
}

/* ---- segments and control transfer (seg.c, far.c, intr.c, task.c) ---- */
/* Loads a segment register as MOV/POP/LxS do, with all checks. CS not allowed here. */
void x86_load_seg(struct x86_cpu *cpu, unsigned seg, uint16_t sel);
void x86_set_seg_real(struct x86_cpu *cpu, unsigned seg, uint16_t sel); /* real, v86 */
enum {
    X86_INTR_EXTERNAL,
    X86_INTR_SOFT /* INT n, INTO, INT3 */,
    X86_INTR_EXCEPTION,
    X86_INTR_ICEBP
};
/* Delivers through the IDT (or IVT). Throws what delivery itself raises; step.c turns that into #DF
 * and SHUTDOWN. */
void x86_deliver(struct x86_cpu *cpu, unsigned vector, int kind, bool has_error, uint32_t error);
/* Throws #GP(0) unless the current privilege (IOPL, TSS bitmap) may access len ports at port.
 * (io.c) */
void x86_io_check(struct x86_cpu *cpu, uint16_t port, unsigned len);
/* Hardware task switch. kind: what caused it. (task.c) */
enum { X86_TASK_JMP, X86_TASK_CALL, X86_TASK_IRET, X86_TASK_INTR };
void x86_task_switch(struct x86_cpu *cpu, uint16_t sel, int kind, bool has_error, uint32_t error);

/* Sets rip to a near target: cut to size bytes, canonical/limit check (throws #GP), before anything
 * else changes. */
void x86_jump_slow(struct x86_cpu *cpu, uint64_t target);
static inline void x86_jump(struct x86_cpu *cpu, uint64_t target, unsigned osz)
{
    target &= size_mask(osz);
    if (likely(cpu->code == 8 ? x86_canonical(target) : (cpu->flat & (1u << X86_CS)) != 0))
        cpu->rip = target;
    else
        x86_jump_slow(cpu, target);
}

/* ---- MSRs, CPUID model (msr.c, cpuid.c) ---- */
WARN_UNUSED int x86_rdmsr(struct x86_cpu *cpu, uint32_t msr, uint64_t *val); /* 0 or -1: #GP */
WARN_UNUSED int x86_wrmsr(struct x86_cpu *cpu, uint32_t msr, uint64_t val, bool host);

/* ---- control registers (system.c); throw #GP ---- */
void x86_write_cr0(struct x86_cpu *cpu, uint64_t v);
void x86_write_cr3(struct x86_cpu *cpu, uint64_t v);
void x86_write_cr4(struct x86_cpu *cpu, uint64_t v);
void x86_write_efer(struct x86_cpu *cpu, uint64_t v);

/* Derived state: cpl-dependent code/stack/flat/mode_key/debugging from segments, CRs, rflags, dbg
 * (cpu.c). */
void x86_derive(struct x86_cpu *cpu);

/* ---- tables: operation -> exec function; NULL: not this file's. x86_bind() asks each in turn.
 * ---- */
x86_exec_fn *x86_bind_integer(const struct x86_insn *insn); /* integer.c and its parts */
x86_exec_fn *x86_bind_string(const struct x86_insn *insn);  /* string.c */
x86_exec_fn *x86_bind_system(const struct x86_insn *insn);  /* system.c, far.c, … */
x86_exec_fn *x86_bind_native(const struct x86_insn *insn);  /* native.c */

#endif
