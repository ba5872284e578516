/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The translator: SSE instructions that neither look at MXCSR nor raise floating-point exceptions
 * (moves, integer, logic, shuffles). Guest registers stay in cpu->xsave; each instruction loads
 * what it uses into xmm0 and xmm1 and stores what it writes. Blocks are made for CR0 and CR4 bits
 * that allow SSE: see xl_key().
 */
#include "engine/soft/soft.h"

enum { XSAVE_XMM = 160 /* [SDM] vol. 1 "Legacy Region of an XSAVE Area" */ };

/* One bit an opcode of the 0F map, by mandatory prefix none, 66, F3, F2. */
static bool listed_0f(unsigned pp, unsigned op)
{
    switch (op) {
    case 0x10:
    case 0x11: return true;
    case 0x28:
    case 0x29:
    case 0x2b:
    case 0x14:
    case 0x15:
    case 0x54:
    case 0x55:
    case 0x56:
    case 0x57:
    case 0xc6: return pp < 2;
    case 0x6f:
    case 0x7f: return pp == 1 || pp == 2;
    case 0x7e: return pp == 1 || pp == 2;
    case 0x70: return pp != 0;
    case 0xe6:
    case 0xf0:
    case 0xf7:
    case 0xff: return false;
    case 0x6e:
    case 0xc4:
    case 0xc5: return pp == 1;
    default: return pp == 1 && ((op >= 0x60 && op <= 0x76) || op > 0xd0);
    }
}

static bool listed(const struct x86_insn *in)
{
    const unsigned op = in->opcode;

    if (in->op != X86_OP_SSE || in->enc != X86_ENC_LEGACY || !in->has_modrm)
        return false;
    if (in->map == X86_MAP_0F)
        return listed_0f(in->pp, op);
    if (in->pp != 1 || in->rep)
        return false;
    if (in->map == X86_MAP_0F38)
        return op <= 0x0b || op == 0x17 || (op >= 0x1c && op <= 0x1e) ||
               (op >= 0x20 && op <= 0x25) || op == 0x28 || op == 0x29 || op == 0x2b ||
               (op >= 0x30 && op <= 0x40 && op != 0x36);
    return in->map == X86_MAP_0F3A && (op == 0x0f || op == 0x0e);
}

static int32_t xmm(unsigned r)
{
    return (int32_t)(offsetof(struct x86_cpu, xsave) + XSAVE_XMM + 16 * r);
}

/* r9 must be a multiple of 16, else the interpreter raises #GP. */
static void aligned(struct xl_tr *t, unsigned cold)
{
    if (!t->live) {
        xl_b(t, 0x41);
        xl_b(t, 0xf6);
        xl_b(t, 0xc1);
        xl_b(t, 15); /* test r9b, 15 */
        xl_b(t, 0x0f);
        xl_b(t, 0x85);
        xl_jump_cold(t, cold);
        return;
    }
    xl_gs(t, 1, 0x89, X86_RCX, XL_GS(rcx));
    xl_pext(t, X86_RCX, XL_R9, XL_GS(low_mask));
    uint8_t *ok = xl_jrcxz(t);
    xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
    xl_b(t, 0xe9);
    xl_jump_cold(t, cold);
    xl_here(t, ok);
    xl_gs(t, 1, 0x8b, X86_RCX, XL_GS(rcx));
}

bool xl_vector(struct xl_tr *t, const struct x86_insn *in)
{
    static const uint8_t prefix[4] = { 0, 0x66, 0xf3, 0xf2 };
    const struct x86_operand *m = in->mem ? &in->operand[in->mem - 1] : NULL;
    const bool grp = in->map == X86_MAP_0F && in->opcode >= 0x71 && in->opcode <= 0x73;
    const unsigned reg = (in->rex & 4) << 1 | (in->modrm >> 3 & 7);
    const unsigned rm = (in->rex & 1) << 3 | (in->modrm & 7);
    bool vec[2] = { false, false }, write[2] = { false, false }, gpr[2] = { false, false };
    unsigned r, b;

    if (!t->sse || !listed(in) || (m && (!m->size || m->size > 16 || !xl_address_ok(t, in))))
        return false;
    /* Which operand is modrm.reg [0] and which modrm.rm [1]: stores name the latter first. */
    const unsigned op = in->opcode;
    const bool to_rm = in->map == X86_MAP_0F && (op == 0x11 || op == 0x29 || op == 0x7f ||
                                                 op == 0xd6 || (op == 0x7e && in->pp == 1));
    for (unsigned i = 0, k = 0; i < in->operands; i++) {
        const struct x86_operand *o = &in->operand[i];
        if (o->kind == X86_OPERAND_IMM || o->kind == X86_OPERAND_MEM)
            continue;
        if ((o->kind != X86_OPERAND_VEC && o->kind != X86_OPERAND_GPR) || k == 2)
            return false;
        unsigned f = m ? 0 : grp ? 1 : k ^ to_rm;
        k++;
        if (o->reg != (f ? rm : reg))
            return false;
        vec[f] = o->kind == X86_OPERAND_VEC;
        gpr[f] = !vec[f];
        write[f] = o->access & X86_ACC_W;
    }

    if (m) {
        unsigned cold = xl_cold_new(t, in);
        if (!xl_address(t, in))
            return false;
        const bool any = in->map == X86_MAP_0F &&
                         (((in->opcode | 1) == 0x11) || (in->pp == 2 && in->opcode != 0x70));
        if (m->size == 16 && !any)
            aligned(t, cold);
        xl_check(t, m->size, m->access & X86_ACC_W, cold);
    }
    r = grp ? in->modrm >> 3 & 7u : 0;
    b = m ? XL_R9 : 1;
    if (vec[0])
        xl_gs(t, 0, 0x0f10, 0, xmm(reg));
    if (vec[1])
        xl_gs(t, 0, 0x0f10, 1, xmm(rm));
    if (gpr[0])
        r = xl_get(t, reg, XL_R10);
    if (gpr[1])
        b = xl_get(t, rm, XL_R11);
    if (prefix[in->pp])
        xl_b(t, prefix[in->pp]);
    unsigned rex = 0x40 | (in->rex & 8) | (r & 8) >> 1 | (b & 8) >> 3;
    if (rex != 0x40)
        xl_b(t, rex);
    xl_b(t, 0x0f);
    if (in->map != X86_MAP_0F)
        xl_b(t, in->map == X86_MAP_0F38 ? 0x38 : 0x3a);
    xl_b(t, in->opcode);
    xl_b(t, m ? (r & 7) << 3 | 1 : 0xc0 | (r & 7) << 3 | (b & 7));
    for (unsigned i = 0; i < in->imm_len; i++)
        xl_b(t, (uint8_t)(in->imm >> (8 * i)));
    for (unsigned f = 0; f < 2; f++) {
        const unsigned guest = f ? rm : reg;
        if (!write[f])
            continue;
        if (vec[f])
            xl_gs(t, 0, 0x0f11, f, xmm(guest));
        else if (xl_host(guest) < 0)
            xl_gs(t, 1, 0x89, f ? b : r, xl_gpr(guest));
    }
    return true;
}
