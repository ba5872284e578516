/* SPDX-License-Identifier: BSD-2-Clause */
/* The instruction decoder: prefixes, opcode tables, ModRM, operands. [SDM] vol. 2 "Instruction
 * Format". */
#include "isa/x86/decode.h"

enum { BUF_LEN = 48 }; /* more than any instruction with its prefixes cut to 15 can consume */

struct decoder {
    uint8_t buf[BUF_LEN]; /* the bytes at hand, zeros behind them */
    unsigned p;           /* bytes consumed */
    unsigned mode;        /* 0, 1, 2: 16-, 32-, 64-bit */
    unsigned pp;
    bool opsize, w, ext_r, ext_x, ext_b, ext_r2, ext_x2;
    uint8_t vl_field, seg_prefix, lock;
};

/* Where each L_* finds its register; L_* of fixed registers add a number. */
enum {
    SRC_0,
    SRC_REG,
    SRC_REGV,
    SRC_REG3,
    SRC_RM,
    SRC_RMV,
    SRC_RM3,
    SRC_VVVV,
    SRC_OP,
    SRC_IS4,
    SRC_COUNT
};
static const struct {
    uint8_t kind, src, fix, pad;
} loc_table[L_COUNT] = {
    [L_E] = { X86_OPERAND_GPR, SRC_RM, 0, 0 },     [L_Q] = { X86_OPERAND_MM, SRC_RM3, 0, 0 },
    [L_W] = { X86_OPERAND_VEC, SRC_RMV, 0, 0 },    [L_KE] = { X86_OPERAND_MASK, SRC_RM3, 0, 0 },
    [L_M] = { X86_OPERAND_MEM, SRC_0, 0, 0 },      [L_MV] = { X86_OPERAND_MEM, SRC_0, 0, 0 },
    [L_R] = { X86_OPERAND_GPR, SRC_RM, 0, 0 },     [L_N] = { X86_OPERAND_MM, SRC_RM3, 0, 0 },
    [L_U] = { X86_OPERAND_VEC, SRC_RMV, 0, 0 },    [L_KU] = { X86_OPERAND_MASK, SRC_RM3, 0, 0 },
    [L_STI] = { X86_OPERAND_ST, SRC_RM3, 0, 0 },   [L_G] = { X86_OPERAND_GPR, SRC_REG, 0, 0 },
    [L_P] = { X86_OPERAND_MM, SRC_REG3, 0, 0 },    [L_V] = { X86_OPERAND_VEC, SRC_REGV, 0, 0 },
    [L_K] = { X86_OPERAND_MASK, SRC_REG3, 0, 0 },  [L_S] = { X86_OPERAND_SEG, SRC_REG3, 0, 0 },
    [L_C] = { X86_OPERAND_CR, SRC_REG, 0, 0 },     [L_D] = { X86_OPERAND_DR, SRC_REG, 0, 0 },
    [L_H] = { X86_OPERAND_VEC, SRC_VVVV, 0, 0 },   [L_B] = { X86_OPERAND_GPR, SRC_VVVV, 0, 0 },
    [L_KH] = { X86_OPERAND_MASK, SRC_VVVV, 0, 0 }, [L_L] = { X86_OPERAND_VEC, SRC_IS4, 0, 0 },
    [L_Z] = { X86_OPERAND_GPR, SRC_OP, 0, 0 },     [L_A] = { X86_OPERAND_GPR, SRC_0, 0, 0 },
    [L_CL] = { X86_OPERAND_GPR, SRC_0, 1, 0 },     [L_DX] = { X86_OPERAND_GPR, SRC_0, 2, 0 },
    [L_ES] = { X86_OPERAND_SEG, SRC_0, 0, 0 },     [L_CS] = { X86_OPERAND_SEG, SRC_0, 1, 0 },
    [L_SS] = { X86_OPERAND_SEG, SRC_0, 2, 0 },     [L_DS] = { X86_OPERAND_SEG, SRC_0, 3, 0 },
    [L_FS] = { X86_OPERAND_SEG, SRC_0, 4, 0 },     [L_GS] = { X86_OPERAND_SEG, SRC_0, 5, 0 },
    [L_ST0] = { X86_OPERAND_ST, SRC_0, 0, 0 },

    [L_ONE] = { X86_OPERAND_IMM, SRC_0, 0, 0 },    [L_O] = { X86_OPERAND_MEM, SRC_0, 0, 0 },
    [L_IB] = { X86_OPERAND_IMM, SRC_0, 0, 0 },     [L_IBS] = { X86_OPERAND_IMM, SRC_0, 0, 0 },
    [L_IZ] = { X86_OPERAND_IMM, SRC_0, 0, 0 },     [L_IV] = { X86_OPERAND_IMM, SRC_0, 0, 0 },
    [L_IW] = { X86_OPERAND_IMM, SRC_0, 0, 0 },     [L_IB2] = { X86_OPERAND_IMM, SRC_0, 1, 0 },
    [L_AP] = { X86_OPERAND_FAR, SRC_0, 0, 0 },     [L_JB] = { X86_OPERAND_REL, SRC_0, 0, 0 },
    [L_JZ] = { X86_OPERAND_REL, SRC_0, 0, 0 },
};

static const uint8_t access_table[8] = {
    X86_ACC_R,                 /* none of the prefixes in the tables */
    X86_ACC_W,                 /* W */
    X86_ACC_RW,                /* RW */
    0,                         /* NA */
    X86_ACC_W | X86_ACC_COND,  /* CW */
    X86_ACC_RW | X86_ACC_COND, /* RCW */
};

/* Bytes of an immediate, by IMM_* and operand size (2, 4, 8) */
static const uint8_t imm_len[16][4] = {
    [IMM_B] = { 1, 1, 1 }, [IMM_BS] = { 1, 1, 1 }, [IMM_Z] = { 2, 4, 4 },
    [IMM_V] = { 2, 4, 8 }, [IMM_W] = { 2, 2, 2 },  [IMM_P] = { 4, 6, 6 },
    [IMM_O] = { 2, 4, 8 }, [IMM_JB] = { 1, 1, 1 }, [IMM_JZ] = { 2, 4, 4 },
};

/* Operand size (as log2 less 1) by A_OSZ(), mode, REX.W, 66 */
#define OSZ_16(n, o)                                                                               \
    {                                                                                              \
        { n, o }, { n, o }                                                                         \
    }
static const uint8_t osz_table[8][3][2][2] = {
    { OSZ_16(0, 1), OSZ_16(1, 0), { { 1, 0 }, { 2, 2 } } },
    [1] = { OSZ_16(0, 1), OSZ_16(1, 0), { { 2, 0 }, { 2, 2 } } }, /* A_D64 */
    [2] = { OSZ_16(0, 1), OSZ_16(1, 0), { { 2, 2 }, { 2, 2 } } }, /* A_F64 */
    [3] = { OSZ_16(1, 1), OSZ_16(1, 1), { { 2, 2 }, { 2, 2 } } }, /* A_M32 */
    [4] = { OSZ_16(1, 1), OSZ_16(1, 1), { { 2, 2 }, { 2, 2 } } }, /* A_CR */
};
/* VEX and EVEX: 66 is no operand size, and neither does 16-bit code halve it. */
static const uint8_t vex_osz[3][2] = { { 1, 1 }, { 1, 1 }, { 1, 2 } };

/* 16-bit addressing: base and index by ModRM.rm */
static const uint8_t base16[8] = { 3, 3, 5, 5, 6, 7, 5, 3 };
static const uint8_t index16[8] = { 6,           7, 6, 7, X86_REG_NONE, X86_REG_NONE, X86_REG_NONE,
                                    X86_REG_NONE };

static void decode_mem16(struct decoder *d, struct x86_insn *insn)
{
    unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;

    insn->base = base16[rm];
    insn->index = index16[rm];
    insn->disp_off = (uint8_t)d->p;
    if (mod == 0 && rm == 6) {
        insn->base = X86_REG_NONE;
        insn->disp_len = 2;
    } else {
        insn->disp_len = (uint8_t)mod;
    }
    if (insn->disp_len)
        insn->disp = sign_extend(le_get(d->buf + d->p, insn->disp_len), insn->disp_len);
    d->p += insn->disp_len;
    insn->seg = insn->base == X86_RBP ? X86_SS : X86_DS;
}

static void decode_mem(struct decoder *d, struct x86_insn *insn)
{
    unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;
    unsigned base = rm | (unsigned)d->ext_b << 3;

    if (rm == 4) {
        insn->has_sib = 1;
        insn->sib = d->buf[d->p++];
        insn->scale = insn->sib >> 6;
        rm = insn->sib & 7;
        base = rm | (unsigned)d->ext_b << 3;
        insn->index = (uint8_t)((insn->sib >> 3 & 7) | d->ext_x << 3);
        if (insn->index == 4)
            insn->index = X86_REG_NONE;
    }
    insn->disp_off = (uint8_t)d->p;
    if (mod == 1) {
        insn->disp_len = 1;
        insn->disp = (int8_t)d->buf[d->p++];
    } else if (mod == 2 || rm == 5) {
        insn->disp_len = 4;
        insn->disp = (int32_t)le32(d->buf + d->p);
        d->p += 4;
        if (mod == 0)
            base = !insn->has_sib && d->mode == 2 ? X86_REG_RIP : X86_REG_NONE;
    }
    insn->base = (uint8_t)base;
    insn->seg = base == X86_RSP || base == X86_RBP ? X86_SS : X86_DS;
}

static void decode_imm(struct decoder *d, struct x86_insn *insn, unsigned type, unsigned osz)
{
    const uint8_t *at = d->buf + d->p;
    unsigned t = type & 15;
    unsigned len = t == IMM_O ? insn->asz : imm_len[t][osz];

    insn->imm_off = (uint8_t)d->p;
    insn->imm_len = (uint8_t)len;
    d->p += len;
    switch (t) {
    case IMM_B: insn->imm = at[0]; break;
    case IMM_BS: insn->imm = (uint64_t)(int8_t)at[0] & size_mask(insn->osz); break;
    case IMM_Z:
        insn->imm = (uint64_t)sign_extend(le_get(at, len), len) & size_mask(insn->osz);
        break;
    case IMM_JB: insn->imm = (uint64_t)(int8_t)at[0]; break;
    case IMM_JZ: insn->imm = (uint64_t)sign_extend(le_get(at, len), len); break;
    case IMM_P:
        insn->imm = le_get(at, len - 2);
        insn->imm2 = le16(at + len - 2);
        break;
    case IMM_O:
        insn->imm_len = 0;
        insn->disp_off = insn->imm_off;
        insn->imm_off = 0;
        insn->disp_len = (uint8_t)len;
        insn->disp = (int64_t)le_get(at, len);
        insn->base = insn->index = X86_REG_NONE;
        insn->seg = X86_DS;
        break;
    default: insn->imm = le_get(at, len); break;
    }
    if (type & IMM_2) {
        insn->imm2 = d->buf[d->p++];
        insn->imm_len++;
    }
}

/* Takes a legacy prefix. */
static void take_prefix(struct decoder *d, struct x86_insn *insn, uint8_t b)
{
    switch (b) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
        if (d->mode != 2)
            d->seg_prefix = (uint8_t)(1 + (b >> 3 & 3));
        break;
    case 0x64: d->seg_prefix = 1 + X86_FS; break;
    case 0x65: d->seg_prefix = 1 + X86_GS; break;
    case 0x66: d->opsize = true; break;
    case 0x67: insn->asz = d->mode == 1 ? 2 : 4; break;
    case 0xf0: d->lock = 1; break;
    default: insn->rep = b; break;
    }
}

/* Reads the payload of a VEX prefix, its opcode included, and gives the node or NULL. */
static const struct x86_node *take_vex(struct decoder *d, struct x86_insn *insn, bool three)
{
    uint8_t a = d->buf[d->p++], b = a;
    unsigned map = X86_MAP_0F;

    insn->enc = X86_ENC_VEX;
    if (three) {
        map = a & 31;
        b = d->buf[d->p++];
        d->w = b >> 7;
        d->ext_x = !(a & 0x40);
        d->ext_b = !(a & 0x20);
    }
    d->ext_r = !(a & 0x80);
    d->pp = b & 3;
    d->vl_field = insn->ll = b >> 2 & 1;
    insn->vvvv = ~(b >> 3) & 15;
    if (d->mode != 2) /* ignored; X and R are 0, or it were LES or LDS */
        d->ext_b = false;
    insn->map = (uint8_t)map;
    if (map < 1 || map > 3)
        return NULL;
    insn->opcode_off = (uint8_t)d->p;
    insn->opcode = d->buf[d->p++];
    return &x86_map_vex[map - 1][insn->opcode];
}

static const struct x86_node *take_evex(struct decoder *d, struct x86_insn *insn)
{
    const uint8_t *e = d->buf + d->p;

    d->p += 3;
    insn->enc = X86_ENC_EVEX;
    insn->map = e[0] & 7;
    d->ext_r = !(e[0] & 0x80);
    d->ext_x = !(e[0] & 0x40);
    d->ext_b = !(e[0] & 0x20);
    d->ext_r2 = !(e[0] & 0x10);
    d->w = e[1] >> 7;
    d->pp = e[1] & 3;
    d->vl_field = insn->ll = e[2] >> 5 & 3;
    insn->vvvv = (~(e[1] >> 3) & 15) | (~(e[2] >> 3) & 1) << 4;
    insn->mask = e[2] & 7;
    insn->evex = (uint8_t)((e[2] >> 4 & 1) | (e[2] >> 6 & 2) | d->ext_r2 << 2 | d->ext_x << 3);
    if (d->mode != 2) {
        d->ext_b = d->ext_r2 = false;
        insn->evex &= (uint8_t)~4;
        if (insn->vvvv & 16)
            return NULL;
    }
    if ((e[0] & 8) || !(e[1] & 4) || insn->map < 1 || insn->map == 4 || insn->map > 6)
        return NULL;
    insn->opcode_off = (uint8_t)d->p;
    insn->opcode = d->buf[d->p++];
    return &x86_map_evex[insn->map - 1][insn->opcode];
}

/* Prefixes, escapes and the opcode. Gives the opcode's node, or NULL if undefined. */
static const struct x86_node *decode_opcode(struct decoder *d, struct x86_insn *insn)
{
    const struct x86_node *node;
    uint8_t b;

    for (;;) {
        if (unlikely(d->p >= 15)) {
            d->p = 16; /* too long */
            return NULL;
        }
        b = d->buf[d->p++];
        node = &x86_map_1byte[b];
        if (likely(node->split <= SPLIT_NOP))
            break;
        switch (node->split) {
        case SPLIT_PREFIX:
            insn->rex = 0;
            take_prefix(d, insn, b);
            insn->prefix_len = (uint8_t)d->p;
            continue;
        case SPLIT_REX:
            if (d->mode != 2)
                goto one_byte;
            if (insn->rex) /* of several, the last counts */
                insn->prefix_len = (uint8_t)(d->p - 1);
            insn->rex = b;
            continue;
        case SPLIT_0F:
            b = d->buf[d->p++];
            insn->map = X86_MAP_0F;
            node = &x86_map_0f[b];
            if (b == 0x38 || b == 0x3a) {
                insn->map = b == 0x38 ? X86_MAP_0F38 : X86_MAP_0F3A;
                node = b == 0x38 ? x86_map_0f38 : x86_map_0f3a;
                b = d->buf[d->p++];
                node += b;
            }
            goto one_byte;
        default: /* VEX, EVEX, or LES, LDS, BOUND */
            if (d->mode != 2 && d->buf[d->p] < 0xc0)
                goto one_byte;
            if (d->opsize || insn->rep || d->lock || insn->rex) {
                d->p++;
                return NULL;
            }
            return node->split == SPLIT_EVEX ? take_evex(d, insn)
                                             : take_vex(d, insn, node->split == SPLIT_VEX3);
        }
    }
one_byte:
    insn->opcode_off = (uint8_t)(d->p - 1);
    insn->opcode = b;
    if (insn->rex) {
        d->w = insn->rex & 8;
        d->ext_r = insn->rex & 4;
        d->ext_x = insn->rex & 2;
        d->ext_b = insn->rex & 1;
    }
    d->pp = insn->rep ? (insn->rep == 0xf3 ? 2 : 3) : d->opsize;
    return node;
}

/* Follows the choices to a leaf. */
static const struct x86_node *decode_leaf(struct decoder *d, struct x86_insn *insn,
                                          const struct x86_node *node)
{
    while (node->split != SPLIT_NONE && node->split <= SPLIT_LAST_SELECTOR) {
        unsigned i;
        switch (node->split) {
        case SPLIT_PP: i = d->pp; break;
        case SPLIT_REG: i = insn->modrm >> 3 & 7, insn->has_modrm = 1; break;
        case SPLIT_RM: i = insn->modrm & 7, insn->has_modrm = 1; break;
        case SPLIT_MOD: i = insn->modrm >= 0xc0, insn->has_modrm = 1; break;
        case SPLIT_M64: i = d->mode == 2; break;
        case SPLIT_W: i = d->w; break;
        default: i = insn->rep == 0xf3 ? 1 : d->ext_b ? 2 : 0; break;
        }
        node = node->sub + i;
    }
    return node;
}

static int finish_invalid(struct decoder *d, struct x86_insn *insn, unsigned avail)
{
    unsigned len = d->p;

    if (len > avail && avail < 15)
        return X86_DECODE_SHORT;
    if (len > 15)
        return X86_DECODE_TOO_LONG;
    insn->op = X86_OP_INVALID;
    insn->flags = X86_INSN_ENDS_BLOCK;
    insn->operands = 0;
    insn->mem = 0;
    insn->lock = 0;
    insn->len = (uint8_t)len;
    return X86_DECODE_OK;
}

/* Bytes of an element by A_BCAST_OF() and W */
static const uint8_t element_size[8][2] = { { 0, 0 }, { 2, 2 }, { 4, 4 },
                                            { 8, 8 }, { 4, 8 }, { 1, 2 } };

/* What VEX and EVEX encodings demand of a form; false: undefined. */
static bool check_vex(struct decoder *d, struct x86_insn *insn, const struct x86_node *leaf,
                      bool mem)
{
    uint32_t attr = leaf->attr;
    unsigned vl = d->vl_field;

    if (!(attr & A_VVVV) && insn->vvvv && !(attr & A_VSIB))
        return false;
    if (d->mode != 2) /* the high bit is ignored where the register is used */
        insn->vvvv &= 7;
    if (((attr & A_W0) && d->w) || ((attr & A_W1) && !d->w))
        return false;
    if (insn->enc == X86_ENC_EVEX) {
        bool b = insn->evex & 1;
        if ((insn->mask && !(attr & A_MASK)) ||
            ((insn->evex & 2) && (!(attr & A_ZERO) || !insn->mask)))
            return false;
        if ((insn->evex & 2) && mem && LOC(leaf->o[0]) <= L_MV) /* memory is merged only */
            return false;
        if ((attr & A_GATHER) && !insn->mask)
            return false;
        if ((attr & A_VSIB) && (insn->vvvv & 15))
            return false;
        if (b && mem && (!(attr & A_BCAST) || (attr & A_TUPLE1)))
            return false;
        if (b && !mem) {
            if (!(attr & (A_ER | A_SAE)))
                return false;
            /* The length field holds the rounding mode; vector forms are of 512 bits. */
            vl = (attr & (A_L0 | A_L1)) == A_L0 || !(attr & (A_L0 | A_L1 | A_L2)) ? 0 : 2;
        }
    }
    if ((attr & (A_L0 | A_L1 | A_L2)) && !(attr & (A_L0 << vl)))
        return false;
    if (vl == 3)
        return false;
    insn->vl = (uint8_t)(16 << vl);
    d->vl_field = (uint8_t)vl;
    return true;
}

/* Registers that do not exist, and registers that must differ. */
static bool check_registers(const struct decoder *d, const struct x86_insn *insn,
                            const struct x86_node *leaf, bool mem)
{
    unsigned reg = (insn->modrm >> 3 & 7) | (unsigned)d->ext_r << 3 | (unsigned)d->ext_r2 << 4;
    unsigned rm = (insn->modrm & 7) | (unsigned)d->ext_b << 3 | (unsigned)d->ext_x << 4;

    switch (insn->op) {
    case X86_OP_MOV_FROM_SEG: return (reg & 7) < X86_SREG_COUNT;
    case X86_OP_MOV_TO_SEG: return (reg & 7) < X86_SREG_COUNT && (reg & 7) != X86_CS;
    case X86_OP_MOV_FROM_CR:
    case X86_OP_MOV_TO_CR: return reg == 0 || (reg >= 2 && reg <= 4) || reg == 8;
    case X86_OP_MOV_FROM_DR:
    case X86_OP_MOV_TO_DR: return reg < 8;
    case X86_OP_GATHER:
        return reg != insn->index &&
               (insn->enc == X86_ENC_EVEX || (reg != insn->vvvv && insn->index != insn->vvvv));
    case X86_OP_AVX512:
        for (unsigned i = 0; i < 4 && leaf->o[i]; i++)
            if ((LOC(leaf->o[i]) == L_K && reg > 7) || (LOC(leaf->o[i]) == L_KH && insn->vvvv > 7))
                return false;
        /* Complex multiplication: the destination is none of the sources. */
        if (insn->map == X86_MAP_6 &&
            ((insn->opcode & 0xfe) == 0x56 || (insn->opcode & 0xfe) == 0xd6))
            return reg != insn->vvvv && (mem || reg != rm);
        return true;
    default: return true;
    }
}

static void fill_operands(const struct decoder *d, struct x86_insn *insn,
                          const struct x86_node *leaf, unsigned context, bool mem)
{
    unsigned reg3 = insn->modrm >> 3 & 7, rm3 = insn->modrm & 7;
    unsigned reg = reg3 | (unsigned)d->ext_r << 3, rm = rm3 | (unsigned)d->ext_b << 3;
    uint8_t regs[SRC_COUNT] = {
        [SRC_REG] = (uint8_t)reg,
        [SRC_REGV] = (uint8_t)(reg | d->ext_r2 << 4),
        [SRC_REG3] = (uint8_t)reg3,
        [SRC_RM] = (uint8_t)rm,
        [SRC_RMV] = (uint8_t)(rm | d->ext_x2 << 4),
        [SRC_RM3] = (uint8_t)rm3,
        [SRC_VVVV] = insn->vvvv,
        [SRC_OP] = (uint8_t)((insn->opcode & 7) | d->ext_b << 3),
        [SRC_IS4] = (uint8_t)(insn->imm >> 4 & (d->mode == 2 ? 15 : 7)),
    };
    unsigned i;

    for (i = 0; i < 4 && leaf->o[i]; i++) {
        struct x86_operand *o = &insn->operand[i];
        unsigned spec = leaf->o[i], loc = LOC(spec);
        unsigned kind = loc_table[loc].kind;
        unsigned r = regs[loc_table[loc].src] + loc_table[loc].fix;
        unsigned size = x86_size_table[SIZE(spec)][context];

        if (mem && loc <= L_MV)
            kind = X86_OPERAND_MEM;
        if (kind == X86_OPERAND_MEM) {
            insn->mem = (uint8_t)(i + 1);
            r = 0;
        } else if (kind == X86_OPERAND_VEC) {
            size = MAX(size, 16u);
        } else if (kind == X86_OPERAND_MM || kind == X86_OPERAND_MASK) {
            size = 8;
        } else if (kind == X86_OPERAND_GPR && size == 1 && r >= 4 && r < 8 && !insn->rex &&
                   loc_table[loc].src) {
            kind = X86_OPERAND_GPR8H;
            r -= 4;
        }
        o->kind = (uint8_t)kind;
        o->reg = (uint8_t)r;
        o->access = access_table[ACCESS(spec)];
        o->size = (uint16_t)size;
    }
    insn->operands = (uint8_t)i;
}

/* What EVEX changes in the operands: broadcast, masking, scaled displacement. */
static void finish_evex(const struct decoder *d, struct x86_insn *insn, uint32_t attr)
{
    unsigned element = element_size[A_BCAST_OF(attr)][d->w];

    if (insn->mem) {
        struct x86_operand *m = &insn->operand[insn->mem - 1];
        if (insn->evex & 1)
            m->size = (uint16_t)element;
        if (insn->disp_len == 1)
            insn->disp *= attr & A_TUPLE1 ? (int)element : (int)m->size;
    }
    /* Merging keeps elements of the destination: of a register it is read, of memory not touched.
     */
    if (insn->mask && !(insn->evex & 2) && (insn->operand[0].access & X86_ACC_W) &&
        insn->operand[0].kind != X86_OPERAND_MASK &&
        !(insn->map == X86_MAP_0F38 && insn->opcode >= 0x64 && insn->opcode <= 0x66)) /* blends */
        insn->operand[0].access = X86_ACC_W | X86_ACC_COND | (insn->mem == 1 ? 0 : X86_ACC_R);
}

/* Everything behind the opcode that has bytes: ModRM, SIB, displacement, immediates. *context: row
 * of x86_size_table without the memory and vector length bits. False: undefined. */
static bool decode_tail(struct decoder *d, struct x86_insn *insn, const struct x86_node *leaf,
                        bool *mem, unsigned *context)
{
    uint32_t attr = leaf->attr;
    unsigned osz;

    *mem = false;
    if (attr & A_MODRM)
        insn->has_modrm = 1;
    if (insn->has_modrm) {
        insn->modrm_off = (uint8_t)d->p++;
        *mem = insn->modrm < 0xc0 && A_OSZ(attr) != A_OSZ(A_CR);
        if (leaf->op == X86_OP_INVALID || (attr & (*mem ? A_REG : A_MEM)))
            return false;
    } else {
        insn->modrm = 0;
        if (leaf->op == X86_OP_INVALID)
            return false;
    }
    if (*mem) {
        if (unlikely(insn->asz == 2))
            decode_mem16(d, insn);
        else
            decode_mem(d, insn);
    }
    if (insn->enc == X86_ENC_LEGACY)
        osz = osz_table[A_OSZ(attr)][d->mode][d->w][d->opsize];
    else
        osz = vex_osz[d->mode][d->w];
    insn->osz = (uint8_t)(2 << osz);
    if (attr & IMM_MASK)
        decode_imm(d, insn, attr & IMM_MASK, osz);
    *context = osz | (unsigned)d->w << 2;
    return true;
}

/* By pieces, which compilers turn into stores; a memset of this size is slower than the rest of the
 * decoder. */
static inline void clear_insn(struct x86_insn *insn)
{
    char *p = (char *)insn;

    __builtin_memset(p, 0, 32);
    __builtin_memset(p + 32, 0, 32);
}

int x86_decode(struct x86_insn *insn, const uint8_t *code, unsigned avail, unsigned mode)
{
    struct decoder d = { .mode = mode >> 2 };
    const struct x86_node *leaf;
    unsigned context;
    uint32_t attr;
    bool mem;

    clear_insn(insn);
    if (likely(avail >= 15))
        __builtin_memcpy(d.buf, code, 15);
    else
        __builtin_memcpy(d.buf, code, avail);
    insn->mode = insn->asz = (uint8_t)mode;
    insn->base = insn->index = X86_REG_NONE;
    insn->stack = mode == 8 ? 8 : 0;

    leaf = decode_opcode(&d, insn);
    if (unlikely(!leaf))
        return finish_invalid(&d, insn, avail);
    insn->modrm = d.buf[d.p];
    leaf = decode_leaf(&d, insn, leaf);
    attr = leaf->attr;
    if (unlikely(!decode_tail(&d, insn, leaf, &mem, &context)))
        return finish_invalid(&d, insn, avail);
    if (unlikely(d.p > avail && avail < 15))
        return X86_DECODE_SHORT;
    if (unlikely(d.p > 15))
        return X86_DECODE_TOO_LONG;
    insn->op = leaf->op;
    insn->len = (uint8_t)d.p;
    insn->pp = (uint8_t)d.pp;
    insn->cc = insn->opcode & 15;
    insn->flags = (attr & A_ENDS ? X86_INSN_ENDS_BLOCK : 0) |
                  (attr & A_PRIV ? X86_INSN_PRIVILEGED : 0) | (attr & A_VSIB ? X86_INSN_VSIB : 0);

    if (unlikely((attr & (mode == 8 ? A_I64 : A_O64)) != 0))
        return finish_invalid(&d, insn, avail);
    if (unlikely(insn->enc != X86_ENC_LEGACY)) {
        insn->rex = (uint8_t)(0x40 | d.w << 3 | d.ext_r << 2 | d.ext_x << 1 | d.ext_b);
        if (!check_vex(&d, insn, leaf, mem))
            return finish_invalid(&d, insn, avail);
        if (insn->enc == X86_ENC_EVEX && !mem)
            d.ext_x2 = d.ext_x;
    }
    if (unlikely(attr & A_VSIB)) {
        if (!insn->has_sib)
            return finish_invalid(&d, insn, avail);
        insn->index = (uint8_t)((insn->sib >> 3 & 7) | d.ext_x << 3 |
                                (insn->enc == X86_ENC_EVEX ? insn->vvvv & 16 : 0));
    }
    if (unlikely(!check_registers(&d, insn, leaf, mem)))
        return finish_invalid(&d, insn, avail);

    fill_operands(&d, insn, leaf, context | (unsigned)d.vl_field << 3 | (unsigned)mem << 5, mem);
    if (!mem && !insn->mem)
        insn->seg = X86_DS;
    if (d.seg_prefix)
        insn->seg = d.seg_prefix - 1;
    if (insn->enc == X86_ENC_EVEX)
        finish_evex(&d, insn, attr);
    if (unlikely(insn->op == X86_OP_MOVDIR64B)) /* the destination's address is in a register */
        insn->operand[0].size = insn->asz;
    if (unlikely(d.lock)) {
        if (!(attr & A_LOCK) || insn->mem != 1)
            return finish_invalid(&d, insn, avail);
        insn->lock = 1;
    }
    return X86_DECODE_OK;
}
