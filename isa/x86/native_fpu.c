/* SPDX-License-Identifier: BSD-2-Clause */
/* x87 and MMX instructions. [SDM] vol. 1 "Programming with the x87 FPU", "Programming with Intel
 * MMX Technology"; vol. 3A "Intel MMX Technology System Programming". */
#include "isa/x86/native_int.h"

/* Loaded as instruction pointer, data pointer and opcode, so that it shows which of them the host
 * wrote. DF /7 with register 7 is no x87 instruction. */
enum { SENTINEL = 1, SENTINEL_FOP = 0x7ff };

static void check_x87(struct x86_cpu *cpu)
{
    if (unlikely(cpu->cr0 & (X86_CR0_EM | X86_CR0_TS)))
        x86_fault(cpu, X86_NM);
}

/* An unmasked exception of an earlier instruction is taken by the next waiting one. With CR0.NE = 0
 * a PC would raise IRQ 13 through FERR#. DEVIATES: #MF in either case; systems that use IRQ 13 are
 * older than the processor we show. */
static void check_pending(struct x86_cpu *cpu)
{
    if (unlikely(cpu->xsave[FX_FSW] & FSW_ES))
        x86_fault(cpu, X86_MF);
}

static void fx_load(struct x86_cpu *cpu)
{
    uint8_t *fx = cpu->native->work->fx;
    __builtin_memcpy(fx, cpu->xsave, FX_MXCSR);
    __builtin_memcpy(fx + FX_ST, cpu->xsave + FX_ST, FX_XMM - FX_ST);
}

static void fx_commit(struct x86_cpu *cpu)
{
    const uint8_t *fx = cpu->native->work->fx;
    __builtin_memcpy(cpu->xsave, fx, FX_MXCSR);
    __builtin_memcpy(cpu->xsave + FX_ST, fx + FX_ST, FX_XMM - FX_ST);
}

static void run_x87(struct x86_cpu *cpu, const struct native_stub *st)
{
    struct native_work *w = cpu->native->work;
    fx_load(cpu);
    le16_put(w->fx + FX_FOP, SENTINEL_FOP);
    le64_put(w->fx + FX_FIP, SENTINEL);
    le64_put(w->fx + FX_FDP, SENTINEL);
    w->flags_in = cpu->rflags;
    st->code(cpu, w);
}

/* The guest's pointers where the host wrote its own. */
static void fix_pointers(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint8_t *fx = cpu->native->work->fx;
    uint64_t fdp = le64(fx + FX_FDP);
    if (le64(fx + FX_FIP) != SENTINEL)
        le64_put(fx + FX_FIP, cpu->insn_rip);
    else
        le64_put(fx + FX_FIP, le64(cpu->xsave + FX_FIP));
    if (fdp == SENTINEL)
        le64_put(fx + FX_FDP, le64(cpu->xsave + FX_FDP));
    else if (fdp && insn->mem)
        le64_put(fx + FX_FDP, x86_ea(cpu, insn));
    if (le16(fx + FX_FOP) != SENTINEL_FOP)
        le16_put(fx + FX_FOP, (uint16_t)((insn->opcode & 7) << 8 | insn->modrm));
    else
        le16_put(fx + FX_FOP, le16(cpu->xsave + FX_FOP));
}

/* An unmasked exception may have kept a store from being done: then the result of a second run into
 * other bytes differs. */
static bool has_stored(struct x86_cpu *cpu, const struct native_stub *st, unsigned size)
{
    struct native_work *w = cpu->native->work;
    uint8_t first[16];
    if (likely(!(w->fx[FX_FSW] & FSW_ES)))
        return true;
    __builtin_memcpy(first, w->mem, size);
    __builtin_memset(w->mem, 0xff, size);
    run_x87(cpu, st);
    return !__builtin_memcmp(first, w->mem, size);
}

static void exec_x87(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    struct native_work *w = cpu->native->work;
    check_x87(cpu);
    check_pending(cpu);
    const struct native_stub *st = native_stub(cpu, insn);
    if (insn->mem) {
        const struct x86_operand *m = &insn->operand[insn->mem - 1];
        unsigned size = MIN(m->size, 16u);
        bool write = m->access & X86_ACC_W;
        if (write) {
            /* What an unmasked exception keeps from being stored is not even addressed. */
            __builtin_memset(w->mem, 0, 16);
            run_x87(cpu, st);
            if (has_stored(cpu, st, size))
                native_store(cpu, insn->seg, native_linear(cpu, insn, size, X86_WRITE), w->mem,
                             size);
        } else {
            native_load(cpu, insn->seg, native_linear(cpu, insn, size, X86_READ), w->mem, size);
            run_x87(cpu, st);
        }
    } else {
        run_x87(cpu, st);
    }
    fix_pointers(cpu, insn);
    fx_commit(cpu);
    if (st->flags & STUB_FLAGS)
        cpu->rflags = (cpu->rflags & ~X86_AFLAGS) | (w->flags & X86_AFLAGS);
}

/* x87 control instructions neither wait nor change the pointers (but FNINIT, which clears them). */
static void exec_x87_native(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    check_x87(cpu);
    const struct native_stub *st = native_stub(cpu, insn);
    fx_load(cpu);
    st->code(cpu, cpu->native->work);
    fx_commit(cpu);
}

static void exec_nop(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn; /* FNENI, FNDISI, FNSETPM */
    check_x87(cpu);
}

static void store16(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned offset)
{
    check_x87(cpu);
    x86_store(cpu, insn->seg, x86_ea(cpu, insn), le16(cpu->xsave + offset), 2);
}

static void exec_fnstcw(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    store16(cpu, insn, FX_FCW);
}

static void exec_fnstsw(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    store16(cpu, insn, FX_FSW);
}

static void exec_fnstsw_ax(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    check_x87(cpu);
    x86_reg_set(cpu, X86_RAX, 2, le16(cpu->xsave + FX_FSW));
}

static void exec_fldcw(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    check_x87(cpu);
    check_pending(cpu);
    const struct native_stub *st = native_stub(cpu, insn);
    le16_put(cpu->native->work->mem, (uint16_t)x86_load(cpu, insn->seg, x86_ea(cpu, insn), 2));
    fx_load(cpu);
    st->code(cpu, cpu->native->work);
    fx_commit(cpu);
}

static void exec_fwait(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    if ((cpu->cr0 & (X86_CR0_MP | X86_CR0_TS)) == (X86_CR0_MP | X86_CR0_TS))
        x86_fault(cpu, X86_NM);
    check_pending(cpu);
}

/* ---- environment and whole state ---- */

/* The host's stub uses the 32-bit protected-mode format; the guest's may be one of four.
 * [SDM] vol. 1 "x87 State" (figures of the FSAVE/FSTENV images) */
enum { ENV_SIZE = 28, ENV16_SIZE = 14, REGS_SIZE = 80 };

static void env_to_guest(uint8_t *out, const uint8_t *env, bool wide, bool real)
{
    uint32_t fip = le32(env + 12), fop = le16(env + 18), fdp = le32(env + 20);
    uint32_t f[7] = { le16(env), le16(env + 4), le16(env + 8), fip, fop << 16, fdp, 0 };
    if (real) {
        f[3] = fip & 0xffff;
        f[4] = fip >> 16 << 12 | fop;
        f[5] = fdp & 0xffff;
        f[6] = fdp >> 16 << 12;
    }
    for (unsigned i = 0; i < 7; i++) {
        if (!wide)
            le16_put(out + 2 * i, (uint16_t)f[i]);
        else if (i < 3 || (real ? i == 3 || i == 5 : i == 6))
            le32_put(out + 4 * i, f[i] | 0xffff0000);
        else
            le32_put(out + 4 * i, f[i]);
    }
}

static void env_from_guest(uint8_t *env, const uint8_t *in, bool wide, bool real)
{
    uint32_t f[7];
    for (unsigned i = 0; i < 7; i++)
        f[i] = wide ? le32(in + 4 * i) : le16(in + 2 * i);
    uint32_t fip = f[3], fop = wide ? f[4] >> 16 & 0x7ff : 0, fdp = f[5];
    if (real) {
        fip = (f[3] & 0xffff) | f[4] >> 12 << 16;
        fop = f[4] & 0x7ff;
        fdp = (f[5] & 0xffff) | f[6] >> 12 << 16;
    }
    const uint32_t e[7] = { f[0] & 0xffff, f[1] & 0xffff, f[2] & 0xffff, fip, fop << 16, fdp, 0 };
    __builtin_memcpy(env, e, sizeof e);
}

static void exec_x87_env(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    struct native_work *w = cpu->native->work;
    uint8_t image[ENV_SIZE + REGS_SIZE];
    bool regs = insn->opcode == 0xdd, store = (insn->modrm >> 3 & 7) == 6;
    bool wide = insn->osz != 2, real = x86_real_or_v86(cpu);
    unsigned env = wide ? ENV_SIZE : ENV16_SIZE, size = env + (regs ? REGS_SIZE : 0);
    check_x87(cpu);
    if (!store)
        check_pending(cpu);
    const struct native_stub *st = native_stub(cpu, insn);
    uint64_t lin = native_linear(cpu, insn, size, store ? X86_WRITE : X86_READ);
    native_check_align(cpu, lin, wide ? 4 : 2);
    if (!store) {
        x86_load_bytes(cpu, insn->seg, lin, image, size, x86_user(cpu));
        env_from_guest(w->mem, image, wide, real);
        __builtin_memcpy(w->mem + ENV_SIZE, image + env, size - env);
    }
    fx_load(cpu);
    st->code(cpu, w);
    if (store) {
        env_to_guest(image, w->mem, wide, real);
        __builtin_memcpy(image + env, w->mem + ENV_SIZE, size - env);
        x86_store_bytes(cpu, insn->seg, lin, image, size, x86_user(cpu));
    }
    fx_commit(cpu);
}

/* ---- MMX ---- */

static unsigned top(const struct x86_cpu *cpu)
{
    return (unsigned)bits_get(le16(cpu->xsave + FX_FSW), 13, 11);
}

/* The image holds the registers in stack order: with TOP = 0 that is the MMX order. */
static void clear_top(struct x86_cpu *cpu)
{
    unsigned t = top(cpu);
    uint8_t old[8][16], *st = cpu->xsave + FX_ST;
    if (!t)
        return;
    __builtin_memcpy(old, st, sizeof old);
    for (unsigned i = 0; i < 8; i++)
        __builtin_memcpy(st + 16 * i, old[(i - t) & 7], 16);
    le16_put(cpu->xsave + FX_FSW, le16(cpu->xsave + FX_FSW) & (uint16_t)~FSW_TOP);
}

uint64_t native_mm_get(const struct x86_cpu *cpu, unsigned r)
{
    return le64(cpu->xsave + FX_ST + 16 * ((r - top(cpu)) & 7));
}

void native_mm_enter(struct x86_cpu *cpu)
{
    clear_top(cpu);
    cpu->xsave[FX_FTW] = 0xff;
}

/* Instructions on MMX registers, and those between them and XMM registers. A form without an MMX
 * register (CVTPI2PS from memory) leaves the x87 unit alone. */
static void exec_mmx(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    struct native_work *w = cpu->native->work;
    unsigned written = 8;
    bool mmx = false, xmm = false, write = false;
    for (unsigned i = 0; i < insn->operands; i++) {
        const struct x86_operand *o = &insn->operand[i];
        xmm |= o->kind == X86_OPERAND_VEC;
        mmx |= o->kind == X86_OPERAND_MM;
        if (o->kind == X86_OPERAND_MM && o->access & X86_ACC_W)
            written = o->reg & 7;
    }
    if (xmm)
        native_check_sse(cpu);
    if (mmx)
        native_check_mmx(cpu);
    const struct native_stub *st = native_stub(cpu, insn);
    uint64_t lin = 0;
    unsigned size = 0;
    if (mmx) /* even if the instruction faults then */
        native_mm_enter(cpu);
    if (insn->mem) {
        const struct x86_operand *m = &insn->operand[insn->mem - 1];
        size = m->size;
        write = m->access & X86_ACC_W;
        lin = native_linear(cpu, insn, size, write ? X86_WRITE : X86_READ);
        if (st->flags & STUB_ALIGNED && lin & (size - 1u))
            x86_gp0(cpu);
        if (!write)
            native_load(cpu, insn->seg, lin, w->mem, size);
    }
    for (unsigned i = 0; i < 8; i++)
        w->mm[i] = native_mm_get(cpu, i);
    uint32_t mxcsr = native_run(cpu, st);
    if (write)
        native_store(cpu, insn->seg, lin, w->mem, size);
    if (written < 8) {
        le64_put(cpu->xsave + FX_ST + 16 * written, w->mm[written]);
        le16_put(cpu->xsave + FX_ST + 16 * written + 8, 0xffff);
    }
    native_commit(cpu, st, mxcsr);
}

static void exec_emms(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    native_check_mmx(cpu);
    clear_top(cpu);
    cpu->xsave[FX_FTW] = 0;
}

static x86_exec_fn *bind_control(const struct x86_insn *insn)
{
    unsigned reg = insn->modrm >> 3 & 7;
    if (insn->mem) {
        switch (insn->opcode << 3 | reg) {
        case 0xd9 << 3 | 5: return exec_fldcw;
        case 0xd9 << 3 | 7: return exec_fnstcw;
        case 0xdd << 3 | 7: return exec_fnstsw;
        case 0xd9 << 3 | 4:
        case 0xd9 << 3 | 6:
        case 0xdd << 3 | 4:
        case 0xdd << 3 | 6: return exec_x87_env;
        default: return exec_x87;
        }
    }
    switch (insn->opcode << 8 | insn->modrm) {
    case 0xdbe0:
    case 0xdbe1:
    case 0xdbe4: return exec_nop;
    case 0xdbe2: /* FNCLEX */
    case 0xdbe3: return exec_x87_native;
    case 0xdfe0: return exec_fnstsw_ax;
    default: return exec_x87;
    }
}

x86_exec_fn *native_bind_fpu(const struct x86_insn *insn)
{
    switch (insn->op) {
    case X86_OP_FPU:
    case X86_OP_FPU_CTL:
    case X86_OP_FPU_ENV: return bind_control(insn);
    case X86_OP_FWAIT: return exec_fwait;
    case X86_OP_MMX: return exec_mmx;
    default: return exec_emms;
    }
}
