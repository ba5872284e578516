/* SPDX-License-Identifier: BSD-2-Clause */
/* Lockstep's own structures; all belong to the one vCPU's thread. */
#ifndef ENGINE_SOFT_LOCKSTEP_H
#define ENGINE_SOFT_LOCKSTEP_H

#include "engine/soft/soft.h"

/* Up to 8 bytes the interpreter stored. */
struct lockstep_store {
    uint8_t *host;
    uint64_t gpa;
    uint8_t before[8], after[8];
    uint8_t len;
    bool walk; /* accessed and dirty bits: whoever has the page in its TLB sets none */
};

struct lockstep {
    struct x86_cpu ref; /* the interpreter's; it has a TLB of its own */
    struct soft_vcpu *v;
    struct x86_native *native;
    void *code_rw, *code_rx;
    uint32_t xsave_size;
    uint64_t generation; /* of the other cpu's translations, when ref's TLB was last emptied */

    struct lockstep_store *store;
    unsigned stores;
    bool overflow; /* more stores than are recorded: not compared */
    bool outside;  /* the interpreter came to an access outside RAM */
    bool active;   /* the translator runs */
    bool met;      /* … and has come to that access */
    bool failed;
    bool threw;    /* the interpreter threw an exception */
    unsigned done; /* instructions of the block, if it did not */

    /* The block under way, as it was: it may overwrite itself. */
    struct {
        uint64_t gpr[16], rip, zero, rflags;
    } start;
    struct soft_block *block;
    const struct x86_insn *insn[XL_MAX_INSNS];
    unsigned count, next;
    uint64_t next_rip;
    bool vector, system; /* has instructions of the vector or x87 unit; that change other state */
    bool is_repeated;
    unsigned mode;
    unsigned bytes;
    uint8_t code[XL_MAX_INSNS * 15];

    uint64_t blocks, alone, partial; /* counters: compared, by the interpreter alone, in part */
};

/* lockstep_report.c */

/* Compares all of both states, but for the flags in `dead`, and the stores; reports and sets
 * l->failed. fault: an exception was delivered, the flags are on its stack, too. */
void lockstep_compare(struct lockstep *l, uint64_t dead, bool fault);
/* Says on stderr what differs, both states, and the block. */
void lockstep_report(struct lockstep *l, const char *what);

#endif
