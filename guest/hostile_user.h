/* SPDX-License-Identifier: BSD-2-Clause */
/* The hostile program's parts: one attempt of code in ring 3, the memory it has, what they try. */
#ifndef GUEST_HOSTILE_USER_H
#define GUEST_HOSTILE_USER_H

#include "guest/lib/guest.h"

enum { CODE0 = 0x08, DATA0 = 0x10, DATA3 = 0x43, CODE3 = 0x4b, COMPAT3 = 0x53 };
enum { V_DB = 1, V_UD = 6, V_SS = 12, V_GP = 13, V_PF = 14, V_TIMER = 0x20, V_SYSCALL = 0x100 };
enum { CODE_PAGES = 4096, HLT = 0xf4 };

#define CODE   0x40000000ul /* of the program: code, read-only, and … */
#define DATA   0x50000000ul /* … two pages of data and two of stack */
#define STACK  0x50004000ul
#define FRAMES (40ul << 20) /* where the code lies physically */

static const uint64_t noncanonical[] = {
    0x0000800000000000, 0x0000800000000fff, 0x8000000000000000,
    0xffff7fffffffffff, 0x00ff000000001000, 0x7fffffffffffffff
};

extern uint64_t pml4[], pdpt[], pd[];
extern uint64_t pd_code[512], pt_data[512];
extern uint8_t data[4 * 4096];

/* ---- one attempt: in with registers, out by any trap ---- */

struct regs {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, di, si, bp, dx, cx, bx, ax;
    uint64_t ip, cs, flags, sp, ss;
};
extern struct regs in, out;
extern uint64_t error, cr2, vector, syscall_ip;
extern unsigned attempts;
/* Not 0: faults before sweep_end are checked and counted. */
extern uint64_t sweep_end, sweep_good;
extern bool vector_state, bases_known;
void try(void);
void complain(const char *what, uint64_t at);
void line(const char *what, uint64_t n);

/* ---- the program's memory ---- */

extern bool compat; /* the program is 32-bit code */
extern uint64_t code_at;
extern uint8_t *code_alias;
extern unsigned code_used;
uint32_t rnd(void);
void code_new(void); /* a fresh place, all HLT, so that what runs on ends there */
void put(uint8_t b);
void put32(uint32_t v);
void put64(uint64_t v);
void put_bytes(const char *s, unsigned n);
void data_fresh(void); /* data and stack as they were */
void registers(uint64_t v);
/* Like an address of the host's. */
static inline bool is_host(uint64_t v) { return v >= 0x550000000000 && v < 0x800000000000; }

extern uint64_t hash;
void fold(uint64_t v);

struct code {
    const char *bytes;
    uint8_t len;
    char want;
};
#define I(bytes, want)                                                                             \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, want                                                             \
    }

/* Ways to reach what rdi, rsi, rbx, rbp point to. 's': rsp too. 'x': by a branch. 'a': maybe #UD.
 */

/* ---- what is tried ---- */

void pointers(void);     /* hostile_pointers.c */
void monitors_own(void); /* with -DMAPS */
void instructions(void); /* hostile_insns.c */
void opcodes(void);
void groups(void); /* hostile_groups.c */

#endif
