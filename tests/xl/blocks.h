/* SPDX-License-Identifier: BSD-2-Clause */
/* Random blocks three ways: what the parts of the test share. A block is code; a case is a block
 * and a state it is entered with. */
#ifndef TESTS_XL_BLOCKS_H
#define TESTS_XL_BLOCKS_H

#include "engine/soft/soft.h"
#include "tests/insn/diff.h"

/* Linear addresses, for all three. */
#define CODE    0x30000000ull
#define ALIAS   0x31000000ull       /* the same memory as CODE, not executable */
#define DATA    0x20000000ull       /* pages: RW RW RW RO none RW */
#define STATE   0x0e010000ull       /* the harness; natively only */
#define HIGH    0x500012340000ull   /* the same memory as DATA, out of 32-bit code's reach, … */
#define MIRROR  (DATA | 1ull << 46) /* … and where the window has DATA: with it there is none */
#define MMIO    (DATA + 0x200000)   /* a page without RAM; natively none; also behind these two */
#define COUNTER (DATA + (DATA_PAGES - 1) * 4096 + 0x800) /* of loops */
enum {
    PAGES = 512, /* of code */
    DATA_PAGES = 6,
    RO = 3,
    HOLE = 4,
    SLOTS = 40,
    MAX_CODE = 1000,
    XSAVE = 4096,
    BLOCK_PAGES = 2, /* that a block lies in */
    FLAGS = X86_AFLAGS | X86_DF
};

/* Offset from DATA, or from the same elsewhere. */
static inline uint64_t data_offset(uint64_t lin)
{
    return lin - HIGH < 1 << 24 ? lin - HIGH : lin - MIRROR < 1 << 24 ? lin - MIRROR : lin - DATA;
}

struct state {
    uint64_t gpr[16], rip, rflags;
    int vector;
    uint32_t error;
    uint64_t cr2;
    uint8_t xsave[XSAVE] __attribute__((aligned(64)));
};

enum right { WRITABLE, READ_ONLY, ABSENT };
enum { RIGHTS = 3 }; /* pages of data that have one, which changes */

/* The block and the state of the case under way. */
struct test {
    unsigned mode;
    bool mirror; /* MIRROR is there */
    bool mmio, vec, changes, kernel;
    bool crowded; /* r8 to r11 are used much: the translator's scratch registers are contended */
    bool no_flush, complex; /* has instructions that flush nothing to zero; complex products */
    int32_t near;           /* most operands lie there, from DATA + 4096; -1: anywhere */
    unsigned space;         /* of two address spaces, whose data lie apart */
    bool keep;              /* … and if the space changes, what is known of translations */
    enum right right[RIGHTS];
    bool elsewhere; /* its pages are other frames than the rest of the time */
    uint64_t start, base;
    uint8_t code[MAX_CODE];
    unsigned bytes, slot[SLOTS + 1], slots;
    uint8_t page[BLOCK_PAGES * 4096]; /* what is to be at base */
    uint8_t data[DATA_PAGES * 4096] __attribute__((aligned(64)));
    struct state before;
};
extern struct test test;

/* Counts; the run that is to be given up, as it takes too long. */
extern _Atomic uint64_t runs, stuck_run;

/* ---- blocks_gen.c ---- */
void make_block(void);
void make_entry(void);
/* Another immediate in a slot that is there for it; returns where. */
uint64_t make_change(void);

/* ---- blocks_native.c ---- */
extern uint8_t *processor_code, *processor_data; /* of all code and data, writable */
extern uint32_t xsave_end;
/* crash: is told of faults elsewhere, before they end the test. */
void processor_look(void (*crash)(int sig, uint64_t rip));
void processor_setup(void);
void processor_faults_first(void); /* our handler before the engine's */
void processor_run(struct state *out);
void processor_stop(void); /* any thread: what runs natively comes back with vector -1 */

/* ---- blocks_guest.c ---- */
struct guest {
    const char *name;
    struct engine *engine;
    struct engine_vm *vm;
    struct engine_vcpu *vcpu;
    uint8_t *ram;
    uint8_t kernel[0x8000]; /* what the first pages are to hold */
    struct kvm_sregs sregs;
    struct x86_seg seg[6]; /* as these give */
    bool exact;
    unsigned space;
    bool halted;        /* where a block that ended did */
    bool touched;       /* the kernel's memory may be */
    uint64_t moved;     /* base of the block whose pages are elsewhere, or 0 */
    uint64_t moved_now; /* of that whose mappings changed last */
    enum right right[RIGHTS];
    unsigned outdated[2]; /* by space: changed pages whose translations it still knows */
    unsigned tables;
};

extern struct guest guest[]; /* the first is the emulator's */
enum guest_end { ENDED, STUCK, STRANGE };
void guest_setup(struct guest *, const char *name, const struct engine_options *);
void guest_code(struct guest *, const uint8_t *p, uint64_t lin, unsigned n);
uint8_t *guest_data(const struct guest *); /* of the last run */
uint8_t *guest_code_at(const struct guest *, uint64_t lin);
/* flush: the software TLB first. */
enum guest_end guest_run(struct guest *, struct state *out, bool flush);
void guest_kick(struct guest *);
/* How the translator is to take the next block. */
void guest_translator(struct guest *, bool exact, bool cold, bool peek);
void guest_fill_cache(struct guest *, unsigned room);
static inline struct soft_vcpu *guest_soft(struct guest *g) { return (struct soft_vcpu *)g->vcpu; }

/* ---- blocks_diff.c ---- */
const char *differ(const struct state *a, const struct state *b, bool flags_exact, bool native);
/* Where the fault natively was in the second part of a store the first may have been done. */
const char *differ_data(const uint8_t *a, const uint8_t *b, const struct state *native);
void print_block(void);
void print_state(const char *name, const struct state *);

#endif
