/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same-ISA translator: decoded blocks become host code in which most guest instructions run as
 * themselves. Guest rax rcx rdx rbx rbp rsi rdi r12-r15 live in the same host registers, guest rsp
 * in r8, guest r8-r11 in memory; r9 r10 r11 are scratch; gs addresses struct x86_cpu; rsp is the
 * engine's own stack; arithmetic flags are the host's, all other flags stay in cpu->rflags.
 *
 * What is not translated, and every access that misses the software TLB, calls the interpreter's
 * function for that one instruction. Checks come before any change, so an exception finds the
 * state of an instruction boundary. Everything here belongs to the vCPU's thread but `poll`.
 */
#ifndef ENGINE_SOFT_XL_H
#define ENGINE_SOFT_XL_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <ucontext.h>

#include "isa/x86/cpu.h"
#include "isa/x86/insn.h"

struct soft_vcpu;
struct soft_block;
struct xl_perf;
struct xl_tr;
struct xl_window;

enum {
    XL_CODE_SIZE = 48 << 20 /* unless told otherwise, and */,
    XL_CODE_MAX = 128 << 20,
    XL_CODE_MIN = 512 << 10,
    XL_JUMPS = 1 << 16,
    XL_HASH = 1 << 16,
    XL_FILL_SIZES = 7 /* 1 to 64 bytes */,
    XL_FILL_KINDS = 7
};

enum { XL_MODES = 16, XL_SLOTS = 1 << 18, XL_STACK_SIZE = 1 << 20, XL_STACK_TOP = 4096 };

/*
 * A salt stands for one mode in one address space until a translation that code relies on changes.
 * It is 64 random bits no guest ever sees, so an address plus a salt is found again only with the
 * same address and salt. [SDM] has no such thing; see docs/translator.md.
 */
struct xl_mode {
    uint32_t key;
    bool used;
    uint64_t salt; /* 0: none yet */
};

/* Jump cache: where code for rip begins. */
struct xl_jump {
    uint64_t tag; /* -(rip + salt) */
    uint64_t code;
};

/* Of 64-bit code: descriptors an IRET may load, and what becomes of them. */
struct xl_return {
    uint64_t desc[2]; /* CS, SS */
    struct x86_seg seg[2];
};

/* What becomes of generated code behind an instruction by the interpreter. */
enum xl_after { XL_STAY, XL_LEAVE, XL_ELSEWHERE /* on at cpu->rip */ };

enum { XL_COMPONENTS = 8 };
struct xl_component { /* of an XSAVE image */
    uint32_t offset, size;
    bool align; /* to 64 bytes, if compacted */
};

/* What belongs to translations lies in an arena, of which there is as much as code: so where it
 * points to another part of the arena it has an offset, or 0 for none. */

enum xl_reach { XL_PAGE, XL_KERNEL, XL_SLOT };

/*
 * A direct jump. Within a page it is patched and holds as long as the target: both lie in the same
 * page. Kernel code is linked across pages too, and unlinked as a whole when kernel mappings
 * change; other code jumps across pages by way of a slot, of which each address space has its own.
 */
struct xl_link {
    uint64_t rip;
    uint32_t key;         /* XL_SLOT: the block's */
    uint32_t patch, stub; /* offsets of its rel32 (or its slot), of what it jumps to unlinked */
    uint32_t target;      /* but for slots: a block */
    uint32_t next_far;    /* XL_KERNEL: linked ones */
    uint8_t reach;        /* enum xl_reach */
    bool twin;            /* to the block without groups */
};

/* Remembered by the target, to undo it. May be outdated. */
struct xl_in {
    uint32_t link, next;
};

/* A link of a copied block, whose original leads to that block. */
struct xl_ahead {
    struct xl_link *link;
    uint32_t like;
};
enum { XL_AHEAD = 256 };

/* A page in which code was found. */
struct xl_page {
    uint64_t page;
    uint32_t seen; /* xl.pages_now at that time */
};

/* A translation that goes on into this decoded block. */
struct xl_part {
    uint32_t block, next; /* next: of the same decoded block */
    uint32_t of, more;    /* the decoded block, in its arena; the next of the same translation */
};

/* Host code that accesses memory through the window, for an instruction. */
struct xl_place {
    uint32_t code, len;
    const struct x86_insn *insn;
    uint64_t rip;
};
enum { XL_PLACES = 1 << 21 };

/* An indirect branch, to undo it if its target turns out not to be canonical. */
struct xl_site {
    uint64_t rip;
    int64_t rsp; /* what it added to rsp */
};

struct xl_block {
    struct xl_block *next; /* of the same decoded block: at other addresses or in other modes */
    struct xl_block *hash_next;
    uint64_t rip;
    uint32_t key, code;
    uint8_t count;   /* of instructions */
    uint16_t relocs; /* 0: it cannot be copied to another address */
    uint32_t body;   /* bytes of code before the stubs of links */
    uint32_t reloc;  /* offset of those in the arena */
    uint32_t places; /* first of its entries there */
    uint32_t of;     /* the decoded block, in its arena */
    uint32_t parts, in;
};

/* What each address space has of its own; behind the state, see view.c. */
struct xl_view {
    struct x86_tlb tlb;
    uint64_t slot[XL_SLOTS]; /* host addresses */
    uint32_t known;          /* slots that have been set; the others are when it becomes current */
    struct xl_mode mode[XL_MODES];
    uint32_t dirty_slots, dirty[XL_SLOTS];
};

enum { XL_STRINGS = 24 };

/* The fields down to jump[] are read by generated code. */
struct xl {
    _Atomic uint32_t poll; /* not 0: leave generated code soon (any thread) */
    uint32_t site;         /* of the last indirect branch: offset of its xl_site in the arena */
    /* By CPL, of which 0 and 3 are used: SYSCALL and its like change nothing here. Or poison: leave
     * at the next indirect branch (any thread). */
    _Atomic uint64_t salt[4];
    uint64_t minus_salt[4]; /* that is never poison */
    uint64_t poison;
    uint64_t not_plain[2]; /* in 32-bit mode: 0 if FS, GS are but for their base as DS */
    uint64_t c_sp, r_sp;   /* stack pointers: of C; of generated code while C runs */
    uint16_t flags;        /* al: OF, ah: the rest, as LAHF has them */
    uint64_t rax, rcx, rdx, rbx, tmp;
    struct xl_return to[2];                                          /* by CPL 3 */
    uint64_t group[8];                                               /* addends */
    uint64_t index_mask, page_mask, low_mask[3], in_page, next_page; /* masks */
    uint64_t mxcsr_check, fcw_check; /* bits looked at before they are loaded */
    uint64_t window_mask;            /* what is left of an address in the window */
    uint64_t fn_emulate, fn_last, fn_fill, fn_write_back;
    uint64_t cross_addend; /* of an access across a page's end: to the copy of its bytes */
    struct xl_jump jump[XL_JUMPS];

    bool on;
    bool exact;        /* treat all flags as live */
    bool rorx, pext;   /* may be used */
    bool fsgsbase;     /* the host has it */
    uint8_t limit;     /* of instructions in a translation (lockstep) */
    bool peek;         /* look at what follows a block for the flags it needs */
    uint8_t cold_runs; /* a block is interpreted so often before it is translated (tests: 0) */
    uint8_t *rw, *rx;
    uint32_t size;                                   /* of the code, and of the arena */
    uint32_t used, first;                            /* of the code; where the thunks end */
    uint32_t enter, leave_link, miss, emulate, last; /* thunks */
    uint32_t dispatch[2];                            /* by CPL 3 */
    uint32_t syscall, sysret, iret;
    uint32_t string[2][2][XL_STRINGS]; /* by CPL 3, 64-bit mode, and see xl_string.c */
    uint32_t fill[XL_FILL_KINDS][XL_FILL_SIZES + 1]; /* by kind and log2 of the size */
    uint32_t write_back;
    uint8_t cross[64] __attribute__((aligned(64)));
    uint8_t *cross_host[2]; /* where they come from */
    unsigned cross_first, cross_size;
    uint8_t *arena;
    size_t arena_used, arena_present;
    size_t code_present;
    uint8_t *stack;
    uint32_t generation;           /* counts flushes of the code */
    uint64_t seed[2], seeded;      /* of salts */
    struct xl_mode mode[XL_MODES]; /* of the kernel */
    bool kernel_local;             /* kernel code was translated from a page that is not global */
    struct xl_link *far;
    struct xl_block *hash[XL_HASH]; /* of blocks, by address and key */
    uint32_t slots;
    uint32_t slot_stub[XL_SLOTS];
    struct xl_link *slot_link[1 << 14]; /* by target, so that jumps there share a slot */
    /* Linear pages, and large pages, that code was found in since all was last forgotten. */
    uint32_t pages_now;
    struct xl_page pages[4096], large[64];
    uint64_t blocks, entries, misses, emulated, fills, polls, forgets;
    uint64_t insns, translate_tsc; /* translated, and the time that took */
    uint64_t cloned, cloned_insns, clone_tsc;
    struct xl_ahead ahead[XL_AHEAD];
    unsigned aheads;
    bool verify;    /* compare copies for other addresses with translations (lockstep, tests) */
    uint64_t shift; /* not 0: translating for such a comparison, so far from where it is */
    uint64_t verified, differ;
    uint32_t emulated_op[X86_OP_COUNT];

    struct xl_window *window;   /* or NULL: none */
    int window_view;            /* the view that has it now, or -1 */
    const uint8_t *window_root; /* the top page table of its owner, or NULL */
    struct xl_place *place;     /* by code, ascending */
    uint32_t places;
    uint64_t window_faults, window_pages, window_refreshes, window_owners, window_bans;

    bool fpu_live;   /* the host's vector and x87 registers hold the guest's, cpu->xsave is stale */
    bool fpu_header; /* the header of cpu->xsave says what is in use */
    bool fp_masked;  /* all exceptions, in MXCSR and FCW; as of the last get */
    uint64_t fpu_mask;
    uint32_t host_mxcsr;
    uint16_t host_fcw;
    bool xinuse; /* the host tells which components are in use */
    struct xl_component component[XL_COMPONENTS];
    uint8_t image[4096] __attribute__((aligned(64))); /* of the guest's, on its way in */

    pthread_t timer;
    bool timer_running;
    int timer_fd;
    _Atomic bool timer_stop;
    uint64_t timer_tsc; /* what it is set to */
};

/* ---- xl_host.c: what the translator uses of the host ---- */
const char *xl_lacks(void); /* what it cannot do without, or NULL */
bool xl_host_bmi2(void);
bool xl_host_slow_pext(void);
bool xl_host_fsgsbase(void);
bool xl_host_xinuse(void); /* XGETBV with ECX = 1 */

/* ---- view.c ---- */
struct xl_view *xl_view(struct soft_vcpu *, unsigned id);
void xl_set_gs(struct soft_vcpu *); /* on the vCPU's thread */

static inline void *xl_at(const struct xl *xl, uint32_t offset)
{
    return offset ? xl->arena + offset : NULL;
}

static inline uint32_t xl_offset(const struct xl *xl, const void *p)
{
    return p ? (uint32_t)((const uint8_t *)p - xl->arena) : 0;
}

/* Of the stack of return addresses; what lies above it is zero, which is no return address. */
static inline uint64_t xl_stack_top(const struct xl *xl)
{
    return (uint64_t)(uintptr_t)(xl->stack + XL_STACK_SIZE - XL_STACK_TOP);
}

/* ---- xl_run.c ---- */
WARN_UNUSED int xl_init(struct soft_vcpu *);
void xl_destroy(struct soft_vcpu *);
/* Once per run of the vCPU, on its thread. */
void xl_begin(struct soft_vcpu *);
void xl_switched(struct soft_vcpu *); /* to another view */
static inline bool xl_usable(const struct x86_cpu *cpu)
{
    if (cpu->cpl == 1 || cpu->cpl == 2)
        return false;
    const uint32_t mask = X86_KEY_CODE32 | X86_KEY_CODE64 | X86_KEY_STACK32 | X86_KEY_FLAT |
                          X86_KEY_V86 | X86_KEY_REAL;
    uint32_t k = cpu->mode_key & mask;
    return k == X86_KEY_CODE64 || k == (X86_KEY_CODE32 | X86_KEY_STACK32 | X86_KEY_FLAT);
}
/* Runs from cpu->rip, where b is, like x86_run_blocks. */
/* What a translation holds for: the mode, which of the vector and x87 units may be used, and
 * whether all floating-point exceptions are masked. */
enum {
    XL_KEY_SSE = BIT(7),
    XL_KEY_AVX = BIT(8),
    XL_KEY_AVX512 = BIT(9),
    XL_KEY_X87 = BIT(10),
    XL_KEY_FP = BIT(11),
    XL_KEY_TWIN = BIT(12), /* no part of xl_key(): see xl_group.c */
    XL_KEY_WINDOW = BIT(13),
};
uint32_t xl_key(const struct x86_cpu *cpu); /* guest registers must be live, or have been */
enum x86_exit xl_run(struct soft_vcpu *, struct soft_block *b);
/* For lockstep: whether nothing pends; one block. */
bool xl_ready(struct soft_vcpu *);
enum x86_exit xl_enter(struct soft_vcpu *, struct soft_block *b);
/* The instructions of the translation of b, up to XL_MAX_INSNS. */
unsigned xl_insns(struct soft_vcpu *, struct soft_block *b, const struct x86_insn **insn);

/* ---- xl_fpu.c ---- */

/* With a sanitizer no C function is known to leave vector registers alone. */
#if defined(__SANITIZE_ADDRESS__)
enum { XL_FPU_EAGER = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { XL_FPU_EAGER = 1 };
#else
enum { XL_FPU_EAGER = 0 };
#endif
#else
enum { XL_FPU_EAGER = 0 };
#endif

void xl_fpu_init(struct soft_vcpu *);
void xl_fpu_put_slow(struct soft_vcpu *);
void xl_fpu_get_slow(struct soft_vcpu *);
/* The interpreter is about to execute an instruction of X86_OP_FPU and above. */
void xl_fpu_before(struct soft_vcpu *, const struct x86_insn *);

/* ---- xl_xsave.c ---- */
void xl_xsave_init(struct xl *);
/* XSAVE, XRSTOR and so on; false: nothing has happened, it is the interpreter's. */
WARN_UNUSED bool xl_xsave(struct soft_vcpu *, const struct x86_insn *);

/* ---- xl_cache.c ---- */
/* twin: that without groups of accesses. */
WARN_UNUSED struct xl_block *xl_find(struct soft_vcpu *, struct soft_block *, bool twin);
void xl_drop(struct soft_vcpu *, struct soft_block *); /* its bytes change */
bool xl_has(struct soft_vcpu *, struct soft_block *, uint64_t rip, uint32_t key);
void xl_add_part(struct soft_vcpu *, struct soft_block *, struct xl_block *); /* is in it, too */
void xl_flush(struct soft_vcpu *); /* all; not from within generated code */
void xl_tlb_flushed(struct x86_cpu *, enum x86_tlb_event, uint64_t arg);
/* Of the present mode; to be called when that may have changed. */
void xl_set_salt(struct soft_vcpu *);
void xl_link_to(struct soft_vcpu *, struct xl_link *, struct xl_block *);
void xl_know_slots(struct soft_vcpu *); /* sets those of the current view that are new */
void xl_jump_to(struct soft_vcpu *, const struct xl_block *); /* into the jump cache */
void *xl_arena(struct xl *, size_t size);

/* ---- xl_window.c; within the window: xl_window.h ---- */
bool xl_window_possible(void);           /* in this process, on this host */
void xl_window_init(struct soft_vcpu *); /* xl.window stays NULL where there can be none */
void xl_window_destroy(struct soft_vcpu *);
/* Whether user code of the present address space may use it. */
static inline bool xl_window_on(const struct xl *xl, const struct x86_cpu *cpu)
{
    return xl->window_view == (int)cpu->view_id && cpu->code == 8 && !cpu->align_check;
}
/* Flushed: not to be used before xl_window_ready(). */
bool xl_window_stale(const struct soft_vcpu *);
void xl_window_ready(struct soft_vcpu *); /* before generated code is looked for */
void xl_window_event(struct soft_vcpu *, enum x86_tlb_event, uint64_t arg);
void xl_window_root_changes(struct soft_vcpu *);
void xl_window_forget(struct soft_vcpu *);                       /* slots, dirty log */
void xl_window_protect(struct soft_vcpu *, const uint8_t *host); /* a page has become code */
/* ---- xl_turn.c ---- */
void xl_window_sample(struct soft_vcpu *, uint64_t now); /* now and then, for who gets it */
void xl_window_glance(struct soft_vcpu *); /* while code is looked for: a new program may get it */
/* ---- xl_window_fault.c ---- */
/* In a handler of SIGSEGV. False: not by the window. */
WARN_UNUSED bool xl_window_fault(struct soft_vcpu *, ucontext_t *, uint64_t addr);

/* ---- xl_perf.c ---- */
WARN_UNUSED int xl_perf_open(struct xl_perf **, const char *symbols /* a file, or "" */);
void xl_perf_close(struct xl_perf *);
void xl_perf_block(struct soft_vcpu *, uint64_t rip, uint32_t code, uint32_t end);
void xl_perf_thunks(struct soft_vcpu *);

/* ---- xl_thunk.c ---- */
void xl_thunks(struct soft_vcpu *);
uint8_t *xl_look_up(struct xl_tr *, bool call);

/* ---- translation ---- */

enum { XL_MAX_COLD = 192, XL_MAX_JUMPS = 512, XL_MAX_LINKS = 16 };
enum { XL_MAX_INSNS = 64, XL_MAX_PIECES = 6, XL_MAX_RELOCS = 1024 };

struct xl_cold {                 /* out of line: the instruction by the interpreter */
    const struct x86_insn *insn; /* NULL: instead from there on by the twin */
    uint64_t rip;
    uint8_t *resume;     /* NULL: it ends the block */
    bool copy;           /* from its check to there the code may be copied */
    uint16_t first, end; /* jumps there: a list, as 1 + index */
    uint64_t twin;       /* not 0: where to go on by the twin instead */
};

/* An access to be checked: size bytes from host register reg + disp, 64 bits wide, or if reg is
 * XL_FIXED from `fixed`, in one page. */
enum { XL_FIXED = 16 };
struct xl_access {
    unsigned reg;
    int32_t disp;
    uint64_t fixed;
    unsigned size;
    bool write;
    bool fill_read; /* what comes first does not write: do not set the dirty bit yet */
    bool no_fill;   /* there may be no access: leave that to the interpreter */
    uint16_t cold;
};

/* A jump out of line. */
struct xl_jump_out {
    uint8_t *rel32, *retry; /* retry: a TLB miss, where to look again; else NULL */
    uint8_t *after;         /* behind the check with r10 = addend, or NULL */
    bool flags_saved;       /* by xl_flags_save() */
    uint16_t next;          /* of the same cold code: 1 + index, or 0 */
    struct xl_access access;
};

/* Host address base + index + disp: host registers. */
enum { XL_NO_INDEX = 16 };
struct xl_ref {
    unsigned base, index;
    int32_t disp;
};

struct xl_out { /* a jump out of line */
    uint8_t *rel32;
    uint64_t rip, next; /* where to; behind the instruction that jumps */
};

/* Accesses of a block that share a check: the range relative to a value they have in common. */
enum { XL_GROUPS = 8, XL_MAX_OPEN = 32 };
struct xl_group {
    int32_t lo, hi;
    int32_t delta; /* of the base when it was checked, … */
    unsigned base; /* … and which that was */
    bool write;
};
struct xl_planned {      /* of an access */
    uint8_t open, group; /* open: it is in one */
    uint8_t size;
    bool write, last;
    int32_t off;   /* of the access to that value */
    int32_t delta; /* of the base register to it */
};

/* What changes if a block is copied to serve another address, see xl_clone.c. */
enum xl_reloc {
    XL_RELOC_NONE,     /* only to bridge a distance */
    XL_RELOC_THUNK,    /* rel32 to one */
    XL_RELOC_RIP,      /* 64 bits: an address that moves with the code, */
    XL_RELOC_NEG,      /* its negative, */
    XL_RELOC_PAGE,     /* its page, */
    XL_RELOC_NEG_PAGE, /* the negative of that, */
    XL_RELOC_WINDOW,   /* where it is in the window */
    XL_RELOC_ENTRY,    /* disp32: something of its TLB entry */
    XL_RELOC_SITE,     /* 32 bits: an xl_site in the arena */
    XL_RELOC_LINK,     /* rel32 of a link */
    XL_RELOC_SLOT,     /* disp32 of a slot */
    XL_RELOC_TWIN      /* rel32 of a link to a twin, whose stub follows */
};

struct xl_tr {
    struct soft_vcpu *v;
    struct xl *xl;
    uint8_t *p;                /* where code is written to */
    uint64_t start, rip, next; /* of the block, the instruction, the one behind */
    unsigned mode, user;
    bool sse, avx, avx512, x87; /* these raise neither #UD nor #NM */
    bool fp;                    /* no floating-point exceptions are unmasked or pend */
    bool live;                  /* flags before the instruction are needed */
    bool live_out;              /* … behind it */
    unsigned at;                /* index of the instruction */
    bool grouped;
    uint32_t group_on; /* groups that were checked */
    unsigned r10;      /* 1 + the group whose addend is there, or 0 */
    unsigned r11;      /* 1 + the guest register, of those in memory, whose value is there, or 0 */
    struct xl_group group[XL_GROUPS];
    struct xl_planned plan[XL_MAX_INSNS][2]; /* memory operand, stack */
    struct xl_cold cold[XL_MAX_COLD];
    unsigned colds;
    struct xl_jump_out jump[XL_MAX_JUMPS];
    unsigned jumps;
    struct xl_link *link[XL_MAX_LINKS]; /* whose stubs are to be made */
    unsigned links;
    struct xl_out out[XL_MAX_PIECES];
    unsigned outs;
    unsigned count; /* instructions */
    uint32_t key;
    bool last;   /* this is the last one */
    bool copies; /* it may be copied to another address: relocations are noted */
    unsigned relocs;
    const uint8_t *reloc_at; /* the last one */
    uint16_t reloc[XL_MAX_RELOCS];
    bool window;   /* user memory is accessed through the window */
    bool windowed; /* … by this instruction */
};

enum { XL_R9 = 9, XL_R10 = 10, XL_R11 = 11 };

/* Offset from gs. */
#define XL_CPU(field) ((int32_t)offsetof(struct x86_cpu, field))
#define XL_SEG(s, field)                                                                           \
    ((int32_t)(offsetof(struct x86_cpu, seg) + (s) * sizeof(struct x86_seg) +                      \
               offsetof(struct x86_seg, field)))
#define XL_ATTENTION                                                                               \
    ((int32_t)(offsetof(struct soft_vcpu, attention) - offsetof(struct soft_vcpu, cpu)))
#define XL_GS(field)                                                                               \
    ((int32_t)(offsetof(struct soft_vcpu, xl.field) - offsetof(struct soft_vcpu, cpu)))
/* Of the salt of code of ring 3 or 0, and of what is minus it. */
#define XL_SALT(user)       (XL_GS(salt) + ((user) ? 24 : 0))
#define XL_MINUS_SALT(user) (XL_GS(minus_salt) + ((user) ? 24 : 0))
/* Offset from gs of the software TLB's entries. */
int32_t xl_tlb(bool user);
static inline int32_t xl_gpr(unsigned r)
{
    return (int32_t)(offsetof(struct x86_cpu, gpr) + 8 * r);
}

/* Host register of a guest's, or -1: in memory. */
static inline int xl_host(unsigned r) { return r == X86_RSP ? 8 : r >= 8 && r < 12 ? -1 : (int)r; }

/* Some bytes of an instruction, stored at once: a store of each byte would wait for the one before
 * it to tell where it goes. What lies behind the code may be overwritten by that. */
struct xl_bytes {
    uint64_t v;
    unsigned n;
};

static inline void xl_add(struct xl_bytes *s, uint64_t byte)
{
    s->v |= byte << 8 * s->n;
    s->n++;
}

static inline void xl_put(struct xl_tr *t, const struct xl_bytes *s)
{
    memcpy(t->p, &s->v, 8);
    t->p += s->n;
}

static inline void xl_put_with(struct xl_tr *t, const struct xl_bytes *s, uint32_t v)
{
    memcpy(t->p, &s->v, 8);
    memcpy(t->p + s->n, &v, 4);
    t->p += s->n + 4;
}

/* xl_emit.c; what writes to r10 says so in t->r10. */
void xl_taken(struct xl_tr *, unsigned reg); /* is about to be written by what xl_b() emits */
void xl_b(struct xl_tr *, unsigned byte);
void xl_i32(struct xl_tr *, uint32_t);
void xl_i64(struct xl_tr *, uint64_t);
void xl_rr(struct xl_tr *, unsigned w, unsigned op, unsigned reg, unsigned rm);
void xl_rm(struct xl_tr *, unsigned w, unsigned op, unsigned reg, unsigned base, int32_t disp);
void xl_gs(struct xl_tr *, unsigned w, unsigned op, unsigned reg, int32_t disp);
/* gs:[index << scale + disp] */
void xl_gsx(struct xl_tr *, unsigned w, unsigned op, unsigned reg, unsigned index, unsigned scale,
            int32_t disp);
void xl_lea(struct xl_tr *, unsigned w, unsigned reg, int base, int index, unsigned scale,
            int32_t disp);
void xl_mov(struct xl_tr *, unsigned w, unsigned dst, unsigned src);
/* With an immediate: group 1, TEST, shifts; of a register or a doubleword at gs:disp. */
enum { XL_ADD = 0, XL_OR = 1, XL_AND = 4, XL_SUB = 5, XL_XOR = 6, XL_CMP = 7 };
enum { XL_SHL = 4, XL_SHR = 5, XL_SAR = 7 };
void xl_alu(struct xl_tr *, unsigned w, unsigned op, unsigned reg, uint32_t v);
void xl_test(struct xl_tr *, unsigned reg, uint32_t v);
void xl_shift(struct xl_tr *, unsigned w, unsigned op, unsigned reg, unsigned n);
void xl_gs_alu(struct xl_tr *, unsigned op, int32_t disp, uint32_t v);
void xl_gs_test(struct xl_tr *, int32_t disp, uint32_t v);
void xl_gs_store(struct xl_tr *, unsigned w, int32_t disp, uint32_t v);
void xl_imm(struct xl_tr *, unsigned reg, uint64_t v);
void xl_pext(struct xl_tr *, unsigned dst, unsigned src, int32_t gs_mask);
/* Conditional jumps of a thunk to one place further on. */
struct xl_outs {
    uint8_t *at[40];
    unsigned n;
};
void xl_jcc(struct xl_tr *, unsigned cc, struct xl_outs *);
void xl_land(struct xl_tr *, const struct xl_outs *);
/* An address that moves with the code, or what else the kind says. */
void xl_imm_moves(struct xl_tr *, unsigned reg, uint64_t v, enum xl_reloc kind);
void xl_jmp(struct xl_tr *, const uint8_t *to); /* `to` in the writable mapping, as t->p */
void xl_call(struct xl_tr *, const uint8_t *to);
void xl_push(struct xl_tr *, unsigned r);
void xl_pop(struct xl_tr *, unsigned r);
uint8_t *xl_jrcxz(struct xl_tr *); /* returns its rel8, for xl_here */
void xl_here(struct xl_tr *, uint8_t *rel8);
void xl_here32(struct xl_tr *, uint8_t *rel32);
/* The arithmetic flags: OF in al, the rest in ah as LAHF has them; and back. */
void xl_flags_to_ax(struct xl_tr *);
void xl_flags_from_ax(struct xl_tr *);
/* A guest register's value in a host register: its own, or `scratch`, loaded. */
unsigned xl_get(struct xl_tr *, unsigned guest, unsigned scratch);
/* dst = guest register; 32 or 64 bits */
void xl_get_to(struct xl_tr *, unsigned w, unsigned dst, unsigned guest);
void xl_put_from(struct xl_tr *, unsigned w, unsigned guest, unsigned src);

void xl_rorx(struct xl_tr *, unsigned dst, unsigned src, unsigned n); /* BMI2 */
/* gs:[base + disp] */
void xl_gsb(struct xl_tr *, unsigned w, unsigned op, unsigned reg, unsigned base, int32_t disp);
/* Instruction with memory operand ref. */
void xl_op_ref(struct xl_tr *, unsigned w, unsigned op, unsigned reg, const struct xl_ref *);
void xl_modrm_ref(struct xl_tr *, unsigned reg, const struct xl_ref *);

/* xl_mem.c */
WARN_UNUSED bool xl_address_ok(const struct xl_tr *, const struct x86_insn *);
/* r9 = effective address, without segment. */
void xl_effective(struct xl_tr *, const struct x86_insn *);
/* The same in another register, cut to 32 bits unless w. */
void xl_effective_to(struct xl_tr *, const struct x86_insn *, unsigned w, unsigned dst);
/* r9 = linear address of the memory operand. False: not by us (nothing emitted). */
WARN_UNUSED bool xl_address(struct xl_tr *, const struct x86_insn *);
/* r9: linear → host address, or off to the cold stub. r10, r11 are scratch. */
void xl_check(struct xl_tr *, unsigned size, bool write, unsigned cold);
/* Both in one, better: the memory operand, or guest register + off, as it may be addressed. False:
 * not by us.
 * In ref are guest registers in host registers, r9 and r10; r11 is free. */
WARN_UNUSED bool xl_operand(struct xl_tr *, const struct x86_insn *, unsigned size, bool write,
                            unsigned cold, struct xl_ref *);
void xl_base_operand(struct xl_tr *, unsigned guest, int32_t off, unsigned size, bool write,
                     unsigned cold, struct xl_ref *);
/* For the rest of the instruction: by the software TLB, not the window. */
void xl_by_tlb(struct xl_tr *);
static inline void xl_stack_operand(struct xl_tr *t, int32_t off, unsigned size, bool write,
                                    unsigned cold, struct xl_ref *ref)
{
    xl_base_operand(t, X86_RSP, off, size, write, cold, ref);
}
/* The address is known, and within one page. */
WARN_UNUSED bool xl_fixed(const struct xl_tr *, const struct x86_insn *, unsigned size,
                          uint64_t *at);
/* r10 = addend for the access. */
void xl_check_at(struct xl_tr *, const struct xl_access *);
/* Without BMI2, around code that changes flags: they are in r11, rax is scratch. */
void xl_flags_save(struct xl_tr *);
void xl_flags_restore(struct xl_tr *);

/* xl_group.c */
void xl_plan(struct xl_tr *, const struct x86_insn **insn);
/* Can the operand be base + disp? Not where the address is cut to 32 bits; but an address that had
 * to be is no page's then. */
WARN_UNUSED bool xl_direct(const struct xl_tr *, const struct x86_insn *);
/* ref for an access (0: the memory operand, 1: the stack) that is in a group, else false: at guest
 * register + disp, or if that is none (16 or more) at the memory operand. */
WARN_UNUSED bool xl_grouped(struct xl_tr *, unsigned which, const struct x86_insn *, unsigned guest,
                            int32_t disp, unsigned size, bool write, struct xl_ref *ref);

/* xl_cold.c */
void xl_jump_cold(struct xl_tr *, unsigned cold); /* the rel32 of a jump there */
void xl_fill_thunks(struct xl_tr *);
unsigned xl_cold_new(struct xl_tr *, const struct x86_insn *);

/* xl_insn.c, xl_flow.c: false: emulate it */
WARN_UNUSED bool xl_insn(struct xl_tr *, const struct x86_insn *);
WARN_UNUSED bool xl_special(struct xl_tr *, const struct x86_insn *);
WARN_UNUSED bool xl_vector(struct xl_tr *, const struct x86_insn *);
/* By the interpreter, it may unmask exceptions: ends the block. */
bool xl_unmasks(const struct x86_insn *);
static inline bool xl_changes_masks(const struct x86_insn *in)
{
    return in->op >= X86_OP_FPU && xl_unmasks(in);
}
WARN_UNUSED bool xl_stack(struct xl_tr *, const struct x86_insn *);

/* xl_string.c */
WARN_UNUSED bool xl_string(struct xl_tr *, const struct x86_insn *);
void xl_string_thunks(struct xl_tr *);
/* r10 = addend for what lies from `reg` to r11, in supervisor or user memory; without flags. */
void xl_in_page(struct xl_tr *, unsigned reg, bool write, struct xl_outs *slow);

/* xl_ring.c */
WARN_UNUSED bool xl_ring(struct xl_tr *, const struct x86_insn *); /* ends a block */
void xl_ring_thunks(struct xl_tr *);
void xl_ring_init(struct xl *);
void xl_ring_learn(struct soft_vcpu *); /* behind an IRET by the interpreter */

/* xl_sys.c */
WARN_UNUSED bool xl_system(struct xl_tr *, const struct x86_insn *);
/* Arithmetic flags to r11 and back, rax stays; both use r10. */
void xl_flags_away(struct xl_tr *);
void xl_flags_back(struct xl_tr *);
/* The host's, from an image of RFLAGS; rax is scratch. */
void xl_flags_from(struct xl_tr *, unsigned reg);
WARN_UNUSED bool xl_popf(struct xl_tr *, const struct x86_insn *); /* ends a block */
/* To the cold stub unless condition cc holds; saved: the flags are in r11. */
void xl_guard(struct xl_tr *, unsigned cc, unsigned cold, bool saved);
WARN_UNUSED bool xl_branch(struct xl_tr *, const struct x86_insn *);
void xl_goto(struct xl_tr *, uint64_t rip);
void xl_emulated(struct xl_tr *, const struct x86_insn *, bool last);
void xl_cold_stubs(struct xl_tr *);
struct xl_link *xl_new_link(struct xl_tr *, uint64_t rip, enum xl_reach);
struct xl_link *xl_slot_for(struct xl_tr *, uint64_t rip);
void xl_link_stubs(struct xl_tr *);

/* ---- xl_clone.c ---- */
/* What was just emitted at `at` (not before what was said so last) is of that kind. */
void xl_reloc(struct xl_tr *, enum xl_reloc, const uint8_t *at);
bool xl_may_copy(const struct xl_tr *); /* a block of that start */
void xl_keep_relocs(struct xl_tr *, struct xl_block *);
/* Appends a copy for b's address of a translation of the same in b's mode. False: there is none. */
WARN_UNUSED bool xl_clone(struct soft_vcpu *, struct soft_block *, struct xl_block *b);
/* Appends that of src, if there can be one. Links that might lead on are added to xl.ahead[]. */
WARN_UNUSED bool xl_copy(struct soft_vcpu *, const struct xl_block *src, struct xl_block *b);
void xl_verify_clone(struct soft_vcpu *, struct soft_block *, struct xl_block *src);

/* xl_flow.c: appends the block's code */
void xl_translate(struct soft_vcpu *, struct soft_block *, struct xl_block *);
/* A jump to rip in this page, by the block without groups. */
void xl_goto_twin(struct xl_tr *, uint64_t rip);

#endif
