/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the parts of the window: its pages (xl_window.c), whose turn it is to have it
 * (xl_turn.c), and accesses that fault (xl_window_fault.c). */
#ifndef SOFT_XL_WINDOW_H
#define SOFT_XL_WINDOW_H

#include "engine/soft/soft.h"

#define XL_ALIAS     BIT(46) /* of guest addresses: always clear in the window */
#define XL_NO_OWNER  (~0ull)
#define XL_TURN_KEPT 64

struct xl_turn_space {
    uint64_t cr3;  /* base */
    uint64_t lost; /* to another, as of the sample of this number */
    uint32_t bans;
    uint64_t banned; /* until this TSC */
};

struct xl_turn {
    struct xl_turn_space space[XL_TURN_KEPT];
    uint64_t since; /* TSC: the present address space was first seen after it was switched to; 0 */
    uint64_t sampled, samples, filled, khz; /* filled: the sample when it was last full */
    unsigned unseen;                        /* samples since the owner was seen, … */
    unsigned patience;                      /* … and how many it may be */
    int64_t bucket;
    uint32_t churn; /* pages lost or refused since the last sample: what the window costs */
};

/* The address space that CR3 names. [SDM] 3A "Use of CR3" */
static inline uint64_t xl_cr3_base(uint64_t cr3) { return cr3 & BITS(X86_PHYS_BITS - 1, 12); }

/* ---- xl_window.c ---- */
/* Maps the page of lin, for stores too if `write`. False: the interpreter must do the access. */
bool xl_window_install(struct soft_vcpu *, uint64_t lin, bool write);
uint64_t xl_window_owner(const struct soft_vcpu *); /* xl_cr3_base() or XL_NO_OWNER */
void xl_window_give(struct soft_vcpu *);            /* to the present address space, if it can be */
void xl_window_lose(struct soft_vcpu *);            /* nobody has it then */
struct xl_turn *xl_window_turn(struct soft_vcpu *); /* NULL: there is no window */

/* ---- xl_turn.c ---- */
void xl_turn_init(struct xl_turn *);
void xl_turn_begin(struct xl_turn *); /* of a new owner */
void xl_turn_full(struct xl_turn *);  /* the window is, and starts anew */
void xl_turn_by_count(struct soft_vcpu *);

#endif
