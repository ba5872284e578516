/* SPDX-License-Identifier: BSD-2-Clause */
/* One x86 processor as the emulator sees it: architectural state, its software TLB, and the
 * environment that gives it memory, ports and time. No globals, no allocation, no OS. */
#ifndef ISA_X86_CPU_H
#define ISA_X86_CPU_H

#include "isa/x86/regs.h"

struct x86_insn;
struct x86_cpu;

struct x86_seg {
    uint64_t base;
    uint32_t limit; /* in bytes, inclusive, granularity applied */
    uint32_t attr;  /* X86_SEG_* */
    uint16_t sel;
};

struct x86_table { /* GDTR, IDTR */
    uint64_t base;
    uint16_t limit;
};

/*
 * What a step or run ended with. MMIO and PIO: the access is described in cpu->io; the caller
 * performs it, fills io.data for a read, calls x86_io_done() and runs the cpu again: the
 * instruction is executed anew and takes finished accesses from the replay log, so no state is lost
 * or changed twice.
 */
enum x86_exit {
    X86_EXIT_NONE, /* instruction(s) done */
    X86_EXIT_MMIO,
    X86_EXIT_PIO,
    X86_EXIT_HLT,      /* rip is behind the HLT */
    X86_EXIT_SHUTDOWN, /* triple fault */
    X86_EXIT_DEBUG,    /* a break- or watchpoint or step of the debugger: cpu->dbg */
    X86_EXIT_ERROR,    /* the emulator cannot go on: cpu->error says why; rip at the instruction */
};

/* Properties of a RAM page, see x86_env.ram. */
enum {
    X86_RAM_WRITABLE = 1,
    X86_RAM_CODE = 2 /* decoded code lies here: stores go to env->store_code */,
    X86_RAM_ROM = 4 /* stores are MMIO writes */
};
/* RAM that stores may go to directly. */
static inline bool x86_ram_is_plain(unsigned props)
{
    return (props & (X86_RAM_WRITABLE | X86_RAM_CODE | X86_RAM_ROM)) == X86_RAM_WRITABLE;
}

/* What became of linear addresses' meanings, for those who cache by them; told behind the fact.
 * Supervisor translations are shared by all views (address spaces), those for CPL 3 are a view's.
 */
enum x86_tlb_event {
    X86_TLB_ALL,   /* everything dropped, in all views */
    X86_TLB_LOCAL, /* all but global ones of the current view and of the supervisor */
    X86_TLB_PAGE,  /* arg: linear address; its page (perhaps a large one), in any view. No code was
                    * fetched from there */
    X86_TLB_CODE_PAGE, /* the same, and code may have been */
    X86_TLB_SWITCH,    /* arg: the view now current, as it was when it last was; of the supervisor's
                        * all but global ones dropped */
    X86_TLB_VIEW,      /* arg: a view, not current: of its translations some or all are gone */
    X86_TLB_VIEW_PAGE, /* the same, but no code was fetched by them */
};

/* The processor's surroundings. All are called on the vCPU's thread. */
struct x86_env {
    /* Host address of the 4 KiB page of RAM or ROM at guest-physical `gpa` (page-aligned) and its
     * X86_RAM_* properties, or NULL where there is none: accesses then are MMIO. May be called anew
     * for any page. */
    uint8_t *(*ram)(struct x86_cpu *cpu, uint64_t gpa, unsigned *props);
    /* A store of len bytes to a page marked X86_RAM_CODE is about to be done: drop what it
     * overwrites. May set cpu->stop to end the running block behind this instruction. */
    void (*store_code)(struct x86_cpu *cpu, uint64_t gpa, unsigned len);
    /* Access to what is not RAM, 1..8 bytes, never across a page. Returns true if done at once
     * (LAPIC, IOAPIC, PIC, PIT, coalesced); false: leave the run with X86_EXIT_MMIO / X86_EXIT_PIO.
     */
    bool (*mmio)(struct x86_cpu *cpu, uint64_t gpa, void *data, unsigned len, bool write);
    bool (*pio)(struct x86_cpu *cpu, uint16_t port, void *data, unsigned len, bool write);
    uint64_t (*host_tsc)(struct x86_cpu *cpu); /* the guest's TSC is this plus cpu->tsc_offset */
    /* MSRs that belong to the interrupt controller (APIC base, x2APIC, TSC deadline). 0 or -1: #GP.
     */
    int (*apic_rdmsr)(struct x86_cpu *cpu, uint32_t msr, uint64_t *val);
    int (*apic_wrmsr)(struct x86_cpu *cpu, uint32_t msr, uint64_t val);
    uint64_t (*cr8_read)(struct x86_cpu *cpu); /* the task priority */
    void (*cr8_write)(struct x86_cpu *cpu, uint64_t val);
    /* CPUID as configured for this vCPU; unknown leaves follow [SDM]'s rule. */
    void (*cpuid)(struct x86_cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
    /* x86_step() is about to execute an instruction that uses cpu->xsave. May be NULL. */
    void (*fpu_needed)(struct x86_cpu *cpu);
    /* Something cached outside may have become wrong. */
    void (*tlb_flushed)(struct x86_cpu *cpu, enum x86_tlb_event what, uint64_t arg); /* or NULL */
    void (*mode_changed)(struct x86_cpu *cpu); /* cpu->mode_key changed; may be NULL */
    /* Memory to put generated host code into, for instructions that run on the host's own unit: see
     * native.h. */
    void *ctx;
};

/* Software TLB: one entry a linear page, direct mapped. A tag is the page's number (linear address
 * >> 12) if the access is allowed without further ado (RAM, rights, A and D bits set, no
 * watchpoint), else X86_TLB_NONE, which is no page's number: so generated code may compare without
 * touching flags. */
enum { X86_TLB_SIZE = 4096 };
#define X86_TLB_NONE (~0ull)
struct x86_tlb_entry {
    uint64_t r, w, x; /* tags for load, store, fetch */
    uint64_t addend;  /* host address = linear address + addend */
};
/* Generated code knows the entries only, the rest is tlb.c's. Bits by entry. */
struct x86_tlb {
    struct x86_tlb_entry e[X86_TLB_SIZE] __attribute__((aligned(64)));
    uint64_t used[X86_TLB_SIZE / 64];   /* filled since the last flush */
    uint64_t global[X86_TLB_SIZE / 64]; /* those of them of global pages */
    uint64_t large[X86_TLB_SIZE / 64];  /* those of them in pages of more than 4 KiB */
    uint64_t code[X86_TLB_SIZE / 64];   /* fetched from (4 KiB pages), whatever is there now */
    uint64_t used_words,
        local_words;               /* bits by word: used is not 0, used and not global is not 0 */
    uint64_t large_in, large_code; /* GiB, hashed, with large pages; and fetched from */
    uint8_t large_shift;           /* log2 of the largest page filled; 0: none */
    bool global_code;              /* fetched from a global page */
};

/*
 * A view is one address space, by PCID: the CPL 3 half of the TLB with the CR3 base it is of. An
 * engine gives the processor as many as it likes (at least 2, or it has the built-in one); without
 * PCIDs only the current one is used. What supervisor code sees is one array for all views, of
 * which a switch drops all but global pages (a view keeps a few of the others for its return).
 */
enum { X86_VIEWS = 8, X86_VIEW_STASH = 16 };
#define X86_VIEW_NONE (~0ull)
struct x86_view {
    struct x86_tlb *tlb;
    uint64_t cr3;  /* base and PCID; X86_VIEW_NONE: holds nothing */
    uint64_t time; /* of its last switch */
    bool ready;    /* its entries are initialised */
    bool align_check;
    /* While it is not current: some of what the supervisor saw of it. */
    uint8_t stashed;
    struct {
        struct x86_tlb_entry e;
        uint16_t index;
        bool large;
    } stash[X86_VIEW_STASH];
};

/* Paging-structure cache: where the lowest table, or the large page, of a linear region is. Holds
 * while invalidations and CR3 are the same. Accessed bits down to there are set. [SDM] 3A "Paging-
 * Structure Caches" */
enum { X86_PDE_CACHE = 64 };
struct x86_pde {
    uint64_t region; /* linear address without the bits below, plus 1; 0: none */
    uint64_t cr3, invalidations;
    uint64_t pte;   /* of the large page */
    uint8_t *table; /* NULL: a large page of 1 << shift bytes at gpa */
    uint64_t gpa;
    uint8_t shift, w, u, nx; /* rights so far */
};

/* The last walk that failed, for its repetition: an engine that looks first, and then lets the
 * instruction fault. Serves once, and only if the entry it ended at is what it was. */
struct x86_failed_walk {
    uint64_t page; /* plus 1; 0: none */
    uint64_t cr3, invalidations, pte;
    uint8_t *host; /* of the entry */
    uint32_t error;
    uint8_t access, user, size;
};

/* A guest exception on its way. */
struct x86_exception {
    uint8_t vector;
    bool has_error;
    bool external; /* an interrupt or NMI whose delivery is under way, not an exception */
    uint32_t error;
    uint64_t payload; /* #PF: CR2; #DB: bits for DR6 */
};

/* A data or I/O breakpoint in force, of the guest (DR7) or of the debugger. */
struct x86_watch {
    uint64_t addr;
    uint8_t len;
    uint8_t kind; /* R/W field of DR7: 1 write, 2 I/O, 3 read or write */
    uint8_t hit;  /* bit in cpu->watch_hit: 0..3 the guest's DR0..3, 4..7 the debugger's */
};

struct x86_cpu {
    /* General registers; [16] is rip, [17] always zero, so that base and index need no test. While
     * an instruction executes, rip already points behind it; insn_rip at it. A fault puts rip back.
     */
    union {
        uint64_t reg[18];
        struct {
            uint64_t gpr[16];
            uint64_t rip;
            uint64_t zero;
        };
    };
    uint64_t rflags; /* complete and canonical at all times: bit 1 set, no lazy flags */
    uint64_t insn_rip;
    uint8_t cpl;   /* current privilege level */
    uint8_t code;  /* code size in bytes: 2, 4, 8 (8: 64-bit mode) */
    uint8_t stack; /* stack address size in bytes: 2, 4, 8 */
    uint8_t flat; /* bit per segment (1 << X86_DS …): base 0, limit 4 GiB, usable for read and write
                   * (CS: for read): no check needed outside 64-bit mode */
    uint8_t stop;   /* set by anything that wants the block to end behind this instruction */
    uint8_t shadow; /* interrupt shadow: X86_SHADOW_*, holds until the next instruction is done */
    uint8_t nmi_blocked;
    uint8_t debugging; /* TF, DR7 breakpoints, or the debugger: instructions must go one by one
                          (x86_step) */
    uint32_t mode_key; /* all that decoding and translated code depend on: X86_KEY_*; see cpu.c */

    struct x86_seg seg[X86_SREG_COUNT], ldt, tr;
    struct x86_table gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, efer, xcr0;
    uint64_t dr[8];    /* 4 and 5 unused */
    uint64_t pdpte[4]; /* PAE: loaded with CR3 */
    struct {
        uint64_t star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp,
            sysenter_eip;
        uint64_t tsc_aux, tsc_adjust, pat, misc_enable, spec_ctrl, debugctl, mcg_status, mcg_ctl;
        uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_var[16], mc_bank[4 * 32], feature_control,
            ucode_rev;
    } msr;
    uint64_t tsc_offset;

    struct x86_exception exc; /* thrown, not yet delivered */
    bool exc_pending;  /* exc is to be delivered before the next instruction (injected from outside)
                        */
    const char *error; /* X86_EXIT_ERROR: what */
    struct {           /* debugger's wishes: set by the engine, cpu.c derives `debugging` */
        bool step, sw_break, hw_break;
        uint64_t dr[4], dr7; /* the debugger's own break- and watchpoints */
        uint64_t dr6, pc;
        uint8_t vector; /* what happened */
    } dbg;

    struct {           /* the access that ended the run */
        uint64_t addr; /* gpa or port */
        uint8_t data[8];
        uint8_t len;
        bool write;
    } io;
    struct {                  /* finished I/O accesses of the instruction under way */
        uint16_t count, next; /* entries held; position during (re-)execution */
        uint8_t data[128][8];
    } replay;

    const struct x86_env *env;
    void *jmp[5]; /* __builtin_setjmp buffer of the loop that executes */

    /* Scratch of native.c (generated code); see native.h. */
    struct x86_native *native;

    /* x87/SSE/AVX/AVX-512 state in the standard (not compacted) XSAVE format of the host. */
    uint8_t xsave[8192] __attribute__((aligned(64)));

    struct x86_tlb tlb_super; /* CPL 0 to 2 and what the processor does for itself */
    struct x86_tlb tlb_user;  /* CPL 3, if views are not given */
    struct x86_tlb *tlb[2];   /* tlb_super, that of the current view */
    struct x86_view view[X86_VIEWS];
    uint8_t views, view_id; /* how many; the current one */
    struct {
        uint64_t flush, local, page, view_switch, view_miss, fill, fault;
    } tlb_stats;
    struct x86_pde pde[X86_PDE_CACHE];
    struct x86_failed_walk failed;

    uint64_t insns;      /* completed by x86_run_blocks (but for a part of blocks that faulted) */
    uint64_t generation; /* changes whenever code at a linear address may be other than before */
    uint64_t invalidations; /* changes whenever paging-structure caches are to be dropped */

    /* ---- private to cpu.c, step.c, mem.c, mmu.c, tlb.c ---- */
    uint64_t view_time;
    uint8_t thrown;      /* enum x86_exit of the last throw; NONE: cpu->exc */
    uint8_t walking;     /* store_code is told of accessed and dirty bits */
    uint8_t align_check; /* CR0.AM and EFLAGS.AC: no user access takes the fast path */
    uint8_t watches, watch_hit;
    struct x86_watch watch[8];
};

enum { X86_SHADOW_STI = 1, X86_SHADOW_SS = 2 };

/* mode_key: code size, CPL 3, SS size, all-flat, … two cpus with the same key decode and execute
 * the same bytes at the same address alike. */
enum {
    X86_KEY_CODE16 = 0,
    X86_KEY_CODE32 = 1,
    X86_KEY_CODE64 = 2, /* bits 1..0 */
    X86_KEY_USER = 4,
    X86_KEY_STACK32 = 8,
    X86_KEY_FLAT = 16,
    X86_KEY_V86 = 32,
    X86_KEY_REAL = 64,
    X86_KEY_BITS = 7,
};

/* ---- cpu.c: life cycle and derived state ---- */

/* Power-up state: real mode at f000:fff0. [SDM] 3A "Processor State After Reset". env, native and
 * dbg stay. */
void x86_reset(struct x86_cpu *cpu);
/* INIT: like reset, but the FPU, MSRs other than EFER & co. and CR0.CD/NW stay. */
void x86_init(struct x86_cpu *cpu);
/* To be called after anything outside the emulator wrote segments, control registers, EFER, rflags
 * or dbg. */
void x86_state_changed(struct x86_cpu *cpu);

/* ---- tlb.c ---- */
void x86_tlb_reset(struct x86_cpu *cpu); /* nothing in it, whatever was there; view 0 */
void x86_tlb_flush(struct x86_cpu *cpu); /* everything; the current view is that of cpu->cr3 */
void x86_tlb_flush_local(struct x86_cpu *cpu); /* of the current PCID, all but global pages */
void x86_tlb_flush_page(struct x86_cpu *cpu, uint64_t lin);
/* The page at host address `host` became X86_RAM_CODE (or watched): no store may bypass the slow
 * path. */
void x86_tlb_protect(struct x86_cpu *cpu, const uint8_t *host_page);

/* ---- step.c: running ---- */

/* Executes one instruction with everything around it: pending exception, breakpoints, TF, shadow.
 */
enum x86_exit x86_step(struct x86_cpu *cpu);
/* Executes decoded instructions in a row, for which cpu->debugging must be 0 and which must lie one
 * behind another at cpu->rip; ends after the last, after one that set cpu->stop, or at an exception
 * (delivered before it returns) or exit. *done counts the instructions completed. */
enum x86_exit x86_run(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned count,
                      unsigned *done);
/* The same for one block after the other: `next` is asked between them and gives the next one's
 * instructions, or NULL to leave. It must find cpu->debugging, shadow and exc_pending clear to go
 * on. cpu->insns counts what was done. */
typedef const struct x86_insn *x86_next_fn(struct x86_cpu *cpu, const struct x86_insn **end);
enum x86_exit x86_run_blocks(struct x86_cpu *cpu, const struct x86_insn *insn,
                             const struct x86_insn *end, x86_next_fn *next);
/* The access in cpu->io has been performed (io.data filled for a read): next run repeats the
 * instruction. */
void x86_io_done(struct x86_cpu *cpu);
/* True if an external interrupt (NMI) can be taken now: IF, no shadow, no pending exception. */
bool x86_interrupt_ok(const struct x86_cpu *cpu);
bool x86_nmi_ok(const struct x86_cpu *cpu);
/* Delivers an external interrupt or NMI through the IDT; may end in SHUTDOWN. */
enum x86_exit x86_interrupt(struct x86_cpu *cpu, uint8_t vector);
enum x86_exit x86_nmi(struct x86_cpu *cpu);
/* Queues an exception from outside (KVM_SET_VCPU_EVENTS); delivered at the next step or run. */
void x86_queue_exception(struct x86_cpu *cpu, const struct x86_exception *exc);

/* Sets insn->exec to what executes it (never NULL). */
void x86_bind(struct x86_insn *insn);
/* Whether it is executed on the host's vector or x87 unit, or handles their state; of a bound one.
 */
bool x86_is_native(const struct x86_insn *insn);
/* Fetches and decodes the instruction at cpu->rip for this mode; throws nothing: an #PF, #GP or #UD
 * of the fetch comes back as false with cpu->exc filled. *gpa (may be NULL): guest-physical address
 * of its first byte, or -1 if it crosses a page. */
WARN_UNUSED bool x86_fetch(struct x86_cpu *cpu, struct x86_insn *insn, uint64_t *gpa);

/* Host address of the instruction at cpu->rip if it lies in RAM and may be fetched; else NULL, then
 * x86_step() says why. What is there up to the page's end may be decoded (the limit of a CS that is
 * not flat is the caller's to check). */
const uint8_t *x86_code_host(struct x86_cpu *cpu);
/* The same of the linear address behind a page that code runs on from. */
const uint8_t *x86_code_host_next(struct x86_cpu *cpu, uint64_t lin);

/* ---- mmu.c: for those outside (debugger, KVM_TRANSLATE): no side effects ---- */

/* Guest-physical address of a linear one by the current tables, without rights checks and A/D
 * updates. */
WARN_UNUSED bool x86_translate_debug(struct x86_cpu *cpu, uint64_t lin, uint64_t *gpa);

#endif
