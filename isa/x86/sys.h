/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the files that do segmentation, far transfers, interrupts, tasks and system
 * instructions. Not for others. */
#ifndef ISA_X86_SYS_H
#define ISA_X86_SYS_H

#include "isa/x86/emu.h"

/* Descriptor types of system segments and gates. [SDM] 3A "System Descriptor Types" */
enum {
    X86_DESC_TSS16 = 1,
    X86_DESC_LDT = 2,
    X86_DESC_TSS16_BUSY = 3,
    X86_DESC_CALL16 = 4,
    X86_DESC_TASK_GATE = 5,
    X86_DESC_INT16 = 6,
    X86_DESC_TRAP16 = 7,
    X86_DESC_TSS = 9,
    X86_DESC_TSS_BUSY = 11,
    X86_DESC_CALL = 12,
    X86_DESC_INT = 14,
    X86_DESC_TRAP = 15,
};

/* Segment attributes (X86_SEG_*) of ready-made segments. */
enum {
    X86_ATTR_V86 = 0xf3,      /* present, DPL 3, writable data, accessed */
    X86_ATTR_CODE64 = 0xa09b, /* DPL 0 */
    X86_ATTR_CODE32 = 0xc09b, /* DPL 0 */
    X86_ATTR_DATA32 = 0xc093, /* DPL 0 */
    X86_ATTR_REAL_DATA = 0x93,
};

/* ---- descriptors (seg.c) ---- */

static inline uint32_t x86_desc_attr(uint64_t desc) { return (uint32_t)(desc >> 40) & 0xf0ff; }
static inline unsigned x86_attr_type(uint32_t attr) { return attr & 0xf; }
static inline unsigned x86_attr_dpl(uint32_t attr) { return (attr >> 5) & 3; }
static inline bool x86_attr_is_code(uint32_t attr)
{
    return (attr & (X86_SEG_S | X86_SEG_CODE)) == (X86_SEG_S | X86_SEG_CODE);
}
static inline bool x86_attr_is_writable_data(uint32_t attr)
{
    return (attr & (X86_SEG_S | X86_SEG_CODE | X86_SEG_W)) == (X86_SEG_S | X86_SEG_W);
}
static inline bool x86_sel_is_null(uint16_t sel) { return !(sel & 0xfffc); }
/* Error code naming a selector; ext: the EXT bit, 0 or 1. */
static inline uint32_t x86_sel_error(uint16_t sel, unsigned ext) { return (sel & 0xfffcu) | ext; }

/* Reads the descriptor sel refers to; false if it lies outside its table. */
WARN_UNUSED bool x86_desc_read(struct x86_cpu *cpu, uint16_t sel, uint64_t *desc);
/* Second half of a 16-byte descriptor of long mode; false also if its type field is not zero. */
WARN_UNUSED bool x86_desc_read_high(struct x86_cpu *cpu, uint16_t sel, uint64_t *high);
/* Replaces the attribute byte (type, S, DPL, P) of the descriptor in memory. */
void x86_desc_write_attr(struct x86_cpu *cpu, uint16_t sel, uint8_t attr);
/* Sets the accessed bit in memory and in *desc if it is not yet set. */
void x86_desc_touch(struct x86_cpu *cpu, uint16_t sel, uint64_t *desc);
/* The segment a descriptor describes. */
struct x86_seg x86_desc_seg(uint16_t sel, uint64_t desc);
struct x86_seg x86_seg_null(uint16_t sel);
struct x86_seg x86_seg_flat(uint16_t sel, uint32_t attr, unsigned dpl);
struct x86_seg x86_seg_v86(uint16_t sel);

/* Linear address of an access to a segment outside 64-bit mode; false: it violates limit or type.
 */
WARN_UNUSED bool x86_seg_linear(const struct x86_seg *s, bool check_type, uint64_t off,
                                unsigned size, enum x86_access access, uint64_t *lin);

/* Loads a data or stack segment register; `bad` is the vector for an unsuitable descriptor (#GP, in
 * a task switch #TS). */
void x86_load_seg_as(struct x86_cpu *cpu, unsigned seg, uint16_t sel, unsigned bad, unsigned ext);
/* Checks sel as stack segment for privilege level cpl and touches it; errors as above. */
struct x86_seg x86_check_ss(struct x86_cpu *cpu, uint16_t sel, unsigned cpl, unsigned bad,
                            unsigned ext);
/* Offset a valid first instruction in code segment cs? long64: cs is 64-bit code. */
static inline bool x86_rip_ok(const struct x86_cpu *cpu, const struct x86_seg *cs, uint64_t rip)
{
    return x86_long(cpu) && (cs->attr & X86_SEG_L) ? x86_canonical(rip) : rip <= cs->limit;
}
/* After a change of CS, CPL or SS: derived state anew, and the block ends. */
static inline void x86_mode_update(struct x86_cpu *cpu)
{
    x86_derive(cpu);
    cpu->stop = 1;
}

/* ---- stack frames of far transfers (frame.c) ----
 * Pushes and pops on a stack that need not be the current one; nothing but memory changes until the
 * caller commits ss and sp. */
struct x86_frame {
    struct x86_seg ss;
    uint64_t sp;
    uint32_t error;  /* of the #SS where the stack's limit is violated */
    uint8_t width;   /* stack address size 2, 4, 8 */
    uint8_t user;    /* accesses made with user rights */
    bool check_type; /* protected mode */
};
/* The current stack. */
struct x86_frame x86_frame_current(struct x86_cpu *cpu, uint32_t error);
/* Another stack: for privilege level cpl; long64: in 64-bit mode. */
struct x86_frame x86_frame_new(const struct x86_seg *ss, uint64_t sp, unsigned cpl, bool long64,
                               uint32_t error);
void x86_push_frame(struct x86_cpu *cpu, struct x86_frame *f, uint64_t v, unsigned size);
uint64_t x86_pop_frame(struct x86_cpu *cpu, struct x86_frame *f, unsigned size);
void x86_frame_skip(struct x86_frame *f, uint64_t bytes);
/* The value for rSP: 16-bit stacks keep the upper bits of what the frame began with. */
static inline uint64_t x86_frame_rsp(const struct x86_frame *f)
{
    return f->width == 8 ? f->sp : (uint32_t)f->sp;
}
/* Makes the frame's stack the current one. */
static inline void x86_frame_commit(struct x86_cpu *cpu, const struct x86_frame *f)
{
    cpu->seg[X86_SS] = f->ss;
    cpu->gpr[X86_RSP] = x86_frame_rsp(f);
}
/* Stack for an inner privilege level from the TSS; ist: 1..7 or 0. Errors: #TS, #SS, with EXT. */
struct x86_frame x86_frame_inner(struct x86_cpu *cpu, unsigned cpl, unsigned ist, unsigned ext);

/* ---- control transfer ---- */
/* Makes cs:rip current at privilege level cpl. */
void x86_commit_cs(struct x86_cpu *cpu, struct x86_seg cs, unsigned cpl, uint64_t rip);
/* Return to an outer level: data segments that the new level may not see become null. */
void x86_null_data_segs(struct x86_cpu *cpu);
/* Task switch to the TSS a task gate names; sel_error faults as for a gate. */
void x86_task_gate(struct x86_cpu *cpu, uint16_t tss_sel, int kind, bool has_error, uint32_t error,
                   unsigned ext);

x86_exec_fn x86_exec_jmp_far, x86_exec_call_far, x86_exec_ret_far, x86_exec_iret;
x86_exec_fn x86_exec_syscall, x86_exec_sysret, x86_exec_sysenter, x86_exec_sysexit;
x86_exec_fn x86_exec_in, x86_exec_out;
x86_exec_fn x86_exec_mov_from_cr, x86_exec_mov_to_cr, x86_exec_mov_from_dr, x86_exec_mov_to_dr;
x86_exec_fn x86_exec_smsw, x86_exec_lmsw, x86_exec_clts, x86_exec_xgetbv, x86_exec_xsetbv;
x86_exec_fn x86_exec_invlpg, x86_exec_invpcid;
x86_exec_fn x86_exec_sgdt, x86_exec_sidt, x86_exec_lgdt, x86_exec_lidt;
x86_exec_fn x86_exec_sldt, x86_exec_str, x86_exec_lldt, x86_exec_ltr;
x86_exec_fn x86_exec_lar, x86_exec_lsl, x86_exec_verr, x86_exec_verw, x86_exec_arpl;
x86_exec_fn x86_exec_mov_from_seg, x86_exec_mov_to_seg, x86_exec_load_far_ptr, x86_exec_bound;

/* Explicit operand of a system instruction: general register or memory. put stores 16 bits to
 * memory, the operand size to a register. */
uint64_t x86_operand_get(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n,
                         unsigned size);
void x86_operand_put(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n, uint64_t v);

/* EFER without throwing, for WRMSR and for the engine. 0 or -1. */
WARN_UNUSED int x86_set_efer(struct x86_cpu *cpu, uint64_t v, bool host);
/* May XCR0 have this value on this host? */
bool x86_xcr0_ok(uint64_t v);

#endif
