/* SPDX-License-Identifier: BSD-2-Clause */
/* Differential test of the emulator: one instruction from one state, on the processor and emulated.
 * Shared by its parts. */
#ifndef TESTS_INSN_DIFF_H
#define TESTS_INSN_DIFF_H

#include "isa/x86/insn.h"

/* Linear memory map, the same for both, all below 4 GiB but for the last window. The harness lies
 * at STATE, seen only natively. */
#define D_CODE       0x10000000ull /* two pages, read and execute: harness, then the instruction */
#define D_INSN       (D_CODE + 0x1800)
#define D_STATE      0x10010000ull /* … this long: */
#define D_STATE_SIZE 0x5000ull
#define D_DATA       0x20000000ull     /* pages: RW RW RW, RO, none, RW, none */
#define D_HIGH       0x123456789000ull /* two pages RW; only 64-bit code gets there */
enum { D_DATA_PAGES = 6, D_HIGH_PAGES = 2, D_RO_PAGE = 3, D_HOLE_PAGE = 4, D_XSAVE = 4096 };

struct diff_state {
    uint64_t gpr[16];
    uint64_t rip, rflags;
    uint8_t xsave[D_XSAVE]
        __attribute__((aligned(64))); /* if the instruction uses vector or x87 state */
};

struct diff_case {
    uint8_t code[16];
    struct x86_insn insn;
    unsigned mode; /* 4, 8 */
    bool vec;      /* load and compare xsave */
    struct diff_state before;
};

struct diff_result {
    struct diff_state after;
    int vector; /* of the fault, -1: none */
    uint32_t error;
    uint64_t cr2;
};

/* The host's view of memory at a linear address of the data windows; NULL if there is none. */
uint8_t *direct_at(uint64_t lin);
void direct_setup(void);
void direct_run(const struct diff_case *c, struct diff_result *r);
/* What lies at D_CODE before a case's instruction, and what behind the instruction: read by both.
 */
extern const uint8_t diff_code[], diff_end[];
unsigned direct_behind(const struct diff_case *c, uint8_t code[8]);
extern uint64_t direct_fs_base, direct_gs_base, direct_xcr0;

void emu_setup(void);
void emu_run(const struct diff_case *c, struct diff_result *r);
uint8_t *emu_at(uint64_t lin); /* the same for the emulator's */

void gen_seed(uint64_t seed);
/* Only instructions of this map (X86_MAP_*) and opcode. */
void gen_only(unsigned map, unsigned opcode);
uint64_t gen_random(void);
static inline unsigned below(unsigned n) { return (unsigned)(gen_random() >> 33) % n; }
static inline bool one_in(unsigned n) { return below(n) == 0; }
uint64_t gen_bits(void);            /* integers and floating-point numbers of all sizes */
void gen_xsave(uint8_t *x);         /* D_XSAVE bytes of vector and x87 state */
void gen_insn(struct diff_case *c); /* a random instruction for c->mode */
/* A random instruction and state for it; writes to both memories. */
void gen_case(struct diff_case *c);
/* Flags that are undefined behind the instruction. */
uint64_t gen_undefined_flags(const struct diff_case *c);
void gen_coverage(unsigned *forms, unsigned *least);

#endif
