/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The translator: x87, MMX, SSE, AVX and AVX-512 instructions, executed by the host on the guest's
 * registers, which are in the host's own: see xl_fpu.c. Blocks are made for control register bits
 * that allow them and for all floating-point exceptions masked: see xl_key().
 *
 * Left to the interpreter: gathers, scatters and masked moves (their accesses are not one range),
 * and what saves or loads the whole state. An operand under an EVEX mask is accessed natively only
 * if all of it could be, so that nothing is left for the mask to suppress.
 */
#include "engine/soft/soft.h"
#include "isa/x86/native.h"

/* Out of line if ZF is clear, with flags and rax as before xl_flags_save(). */
static void skip_unless_zero(struct xl_tr *t, unsigned cold)
{
    xl_b(t, 0x74); /* jz */
    uint8_t *ok = t->p;
    xl_b(t, 0);
    xl_flags_restore(t);
    xl_b(t, 0xe9);
    xl_jump_cold(t, cold);
    xl_here(t, ok);
}

/* r9 must be a multiple of size, else the interpreter raises #GP. */
static void aligned(struct xl_tr *t, unsigned size, unsigned cold)
{
    if (!t->live) {
        xl_b(t, 0x41);
        xl_b(t, 0xf6);
        xl_b(t, 0xc1);
        xl_b(t, size - 1); /* test r9b, size - 1 */
        xl_b(t, 0x0f);
        xl_b(t, 0x85);
        xl_jump_cold(t, cold);
        return;
    }
    if (!t->xl->pext) {
        xl_flags_save(t);
        xl_b(t, 0x41);
        xl_b(t, 0xf6);
        xl_b(t, 0xc1);
        xl_b(t, size - 1);
        skip_unless_zero(t, cold);
        xl_flags_restore(t);
        return;
    }
    xl_gs(t, 1, 0x89, X86_RCX, XL_GS(rcx));
    xl_pext(t, X86_RCX, XL_R9,
            size == 16   ? XL_GS(low_mask[0])
            : size == 32 ? XL_GS(low_mask[1])
                         : XL_GS(low_mask[2]));
    uint8_t *ok = xl_jrcxz(t);
    xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
    xl_b(t, 0xe9);
    xl_jump_cold(t, cold);
    xl_here(t, ok);
    xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
}

/* The memory operand, if there is one. r11 is free then. */
static bool memory(struct xl_tr *t, const struct x86_insn *in, bool align, struct xl_ref *ref,
                   unsigned *cold)
{
    if (!in->mem)
        return true;
    const struct x86_operand *m = &in->operand[in->mem - 1];
    const bool write = m->access & X86_ACC_W;
    if (!m->size || m->size > 64 || !xl_address_ok(t, in))
        return false;
    *cold = xl_cold_new(t, in);
    const unsigned jumps = t->jumps;
    uint64_t at;
    if (t->window) /* the host's own #GP leads to the interpreter's */
        align = false;
    if (align && xl_fixed(t, in, m->size, &at) && !(at & (m->size - 1u)))
        align = false;
    if (align && !xl_direct(t, in)) {
        if (!xl_address(t, in))
            return false;
        aligned(t, m->size, *cold);
        xl_check(t, m->size, write, *cold);
        *ref = (struct xl_ref){ XL_R9, XL_NO_INDEX, 0 };
    } else {
        if (align) {
            xl_lea(t, 1, XL_R9, (int)xl_get(t, in->base, XL_R9), -1, 0, (int32_t)in->disp);
            aligned(t, m->size, *cold);
        }
        if (!xl_operand(t, in, m->size, write, *cold, ref))
            return false;
    }
    for (unsigned i = jumps; in->mask && i < t->jumps; i++)
        t->jump[i].access.no_fill = true;
    return true;
}

/* ---- vector, mask and MMX instructions ---- */

/* ModRM and what belongs to it. EVEX scales small displacements, so they are large there. */
static void modrm(struct xl_tr *t, const struct x86_insn *in, unsigned reg,
                  const struct xl_ref *ref)
{
    if (in->enc != X86_ENC_EVEX || !ref->disp) {
        xl_modrm_ref(t, reg, ref);
        return;
    }
    xl_b(t, 0x84 | reg << 3);
    xl_b(t, (ref->index == XL_NO_INDEX ? 4 : ref->index & 7) << 3 | (ref->base & 7));
    xl_i32(t, (uint32_t)ref->disp);
}

static bool vector(struct xl_tr *t, const struct x86_insn *in)
{
    struct xl_ref ref = { 0, XL_NO_INDEX, 0 };
    struct x86_native_form f;
    unsigned gpr = 0, n, at, cold;
    uint8_t code[16];

    if (!x86_native_form(t->v->cpu.native, in, &f) || (f.fp && !t->fp) ||
        !memory(t, in, f.aligned, &ref, &cold))
        return false;
    if (f.has_gpr)
        gpr = xl_get(t, f.gpr, XL_R11);
    n = x86_native_encode(in, ref.base, ref.index == XL_NO_INDEX ? 0 : ref.index, gpr, code, &at);
    for (unsigned i = 0; i < n; i++)
        if (i == at && in->mem)
            modrm(t, in, code[i] >> 3 & 7, &ref);
        else
            xl_b(t, code[i]);
    if (f.has_gpr && f.gpr_written && xl_host(f.gpr) < 0)
        xl_gs(t, 1, 0x89, gpr, xl_gpr(f.gpr));
    return true;
}

/* Registers of MMX and XMM: [SDM] vol. 2 "Exception Classifications" wants both units enabled. */
static bool mmx(struct xl_tr *t, const struct x86_insn *in)
{
    for (unsigned i = 0; i < in->operands; i++)
        if (in->operand[i].kind == X86_OPERAND_VEC && !t->sse)
            return false;
    return t->x87 && t->fp && vector(t, in);
}

/* VZEROUPPER, VZEROALL. Outside 64-bit mode the upper eight registers stay, so one by one there:
 * vmovdqa xmm, xmm or vpxor xmm, xmm, xmm. */
static bool zero(struct xl_tr *t, const struct x86_insn *in)
{
    if (t->mode == 8) {
        xl_b(t, 0xc5);
        xl_b(t, 0xf8 | (in->ll & 1) << 2);
        xl_b(t, 0x77);
        return true;
    }
    for (unsigned r = 0; r < 8; r++) {
        xl_b(t, 0xc5);
        xl_b(t, in->ll & 1 ? 0x81 | (~r & 15) << 3 : 0xf9);
        xl_b(t, in->ll & 1 ? 0xef : 0x6f);
        xl_b(t, 0xc0 | r << 3 | r);
    }
    return true;
}

/* ---- control registers ---- */

static void check_control(struct xl_tr *t, bool mxcsr, unsigned cold)
{
    xl_gs(t, 1, 0x89, X86_RCX, XL_GS(rcx));
    xl_pext(t, X86_RCX, XL_R10, mxcsr ? XL_GS(mxcsr_check) : XL_GS(fcw_check));
    xl_lea(t, 1, X86_RCX, X86_RCX, -1, 0, -0x3f);
    uint8_t *ok = xl_jrcxz(t);
    xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
    xl_b(t, 0xe9);
    xl_jump_cold(t, cold);
    xl_here(t, ok);
    xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
}

static void check_control_lahf(struct xl_tr *t, bool mxcsr, unsigned cold)
{
    const uint32_t check = (uint32_t)(mxcsr ? t->xl->mxcsr_check : t->xl->fcw_check);

    xl_flags_save(t);
    xl_mov(t, 0, X86_RAX, XL_R10);
    xl_rr(t, 0, 0x81, 4, X86_RAX); /* and */
    xl_i32(t, check);
    xl_rr(t, 0, 0x81, 7, X86_RAX); /* cmp: the lowest six bits looked at */
    xl_i32(t, 0x3fu << __builtin_ctz(check));
    skip_unless_zero(t, cold);
    xl_flags_restore(t);
}

/* Loads MXCSR or the x87 control word from ref by way of gs:tmp: what was looked at is what is
 * loaded. The interpreter does it unless all exceptions are masked and no reserved bits set: of the
 * bits in xl->…_check the low six must be 1, the others 0. */
static void load_control(struct xl_tr *t, bool mxcsr, const struct xl_ref *ref, unsigned cold)
{
    xl_op_ref(t, 0, mxcsr ? 0x8b : 0x0fb7, XL_R10, ref);
    xl_gs(t, 1, 0x89, XL_R10, XL_GS(tmp));
    if (t->xl->pext)
        check_control(t, mxcsr, cold);
    else
        check_control_lahf(t, mxcsr, cold);
    if (mxcsr)
        xl_gs(t, 0, 0x0fae, 2, XL_GS(tmp)); /* ldmxcsr */
    else
        xl_gs(t, 0, 0xd9, 5, XL_GS(tmp)); /* fldcw */
}

static bool mxcsr(struct xl_tr *t, const struct x86_insn *in)
{
    struct xl_ref ref;
    unsigned cold;

    if (!(in->enc == X86_ENC_VEX ? t->avx : t->sse))
        return false;
    if (in->op == X86_OP_STMXCSR) {
        if (!memory(t, in, false, &ref, &cold))
            return false;
        xl_op_ref(t, 0, 0x0fae, 3, &ref);
        return true;
    }
    /* load_control() wants the mask bits to be the lowest of those it looks at. */
    if (!t->fp || t->xl->mxcsr_check & 0x7f || !memory(t, in, false, &ref, &cold))
        return false;
    load_control(t, true, &ref, cold);
    return true;
}

/* ---- x87 ---- */

static bool is_fldcw(const struct x86_insn *in)
{
    return in->opcode == 0xd9 && in->mem && (in->modrm >> 3 & 7) == 5;
}

static bool x87(struct xl_tr *t, const struct x86_insn *in)
{
    const unsigned reg = in->modrm >> 3 & 7;
    struct xl_ref ref;
    unsigned cold;

    if (!t->x87 || !t->fp || in->map != X86_MAP_1BYTE || !in->has_modrm || in->opcode < 0xd8 ||
        in->opcode > 0xdf)
        return false;
    if (!in->mem) {
        xl_b(t, in->opcode);
        xl_b(t, in->modrm);
        return true;
    }
    if (in->operand[in->mem - 1].size > 10 || !memory(t, in, false, &ref, &cold))
        return false;
    if (is_fldcw(in))
        load_control(t, false, &ref, cold);
    else
        xl_op_ref(t, 0, in->opcode, reg, &ref);
    return true;
}

bool xl_unmasks(const struct x86_insn *in)
{
    switch (in->op) {
    case X86_OP_LDMXCSR:
    case X86_OP_FXRSTOR:
    case X86_OP_XRSTOR:
    case X86_OP_XRSTORS:
    case X86_OP_FPU_ENV: return true;
    case X86_OP_FPU_CTL: return in->opcode == 0xdb; /* FNINIT */
    case X86_OP_FPU: return is_fldcw(in);
    default: return false;
    }
}

bool xl_vector(struct xl_tr *t, const struct x86_insn *in)
{
    switch (in->op) {
    case X86_OP_SSE: return t->sse && vector(t, in);
    case X86_OP_AVX: return t->avx && vector(t, in);
    case X86_OP_AVX512: return t->avx512 && vector(t, in);
    case X86_OP_VZERO: return t->avx && zero(t, in);
    case X86_OP_MMX: return mmx(t, in);
    case X86_OP_LDMXCSR:
    case X86_OP_STMXCSR: return mxcsr(t, in);
    case X86_OP_FPU:
    case X86_OP_FPU_CTL: return x87(t, in);
    case X86_OP_FWAIT: return t->x87 && t->fp;
    case X86_OP_EMMS:
        if (!t->x87 || !t->fp)
            return false;
        xl_b(t, 0x0f);
        xl_b(t, 0x77);
        return true;
    default: return false;
    }
}
