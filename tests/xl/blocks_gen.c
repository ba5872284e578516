/* SPDX-License-Identifier: BSD-2-Clause */
/* Random blocks three ways: blocks and states to enter them with. */
#include <string.h>

#include "tests/xl/blocks.h"

struct test test;

uint8_t *direct_at(uint64_t lin)
{
    (void)lin;
    return NULL;
}
uint8_t *emu_at(uint64_t lin)
{
    (void)lin;
    return NULL;
}

static void put(const void *p, unsigned n)
{
    memcpy(test.code + test.bytes, p, n);
    test.bytes += n;
}
#define PUT(...) put((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
static void put32(uint64_t v) { put(&(uint32_t){ (uint32_t)v }, 4); }

/* The rel32 or absolute address at `at` becomes a slot's when all are known. */
static struct {
    unsigned at, slot, end; /* end: of the instruction; 0: absolute */
    unsigned add;
    bool alias;
} fix[2 * SLOTS];
static unsigned fixes;

static void put_slot(unsigned slot, bool relative, unsigned add, bool alias)
{
    fix[fixes].at = test.bytes;
    fix[fixes].slot = slot;
    fix[fixes].end = relative ? test.bytes + 4 : 0;
    fix[fixes].add = add;
    fix[fixes++].alias = alias;
    put32(0);
}

static bool pointer(unsigned reg)
{
    return reg == X86_RBX || reg == X86_RBP || (test.mode == 8 && reg >= 14);
}

/* Where a memory operand goes, relative to a pointer register, all of which hold DATA + 4096. */
static int32_t displacement(unsigned size)
{
    unsigned pick = below(100);

    if (size > 64)
        size = 64;
    if (test.near >= 0 && pick < 90) /* one check serves for several accesses */
        return test.near + (int32_t)(below(256) & ~(size >= 16 ? 63u : 7u));
    if (pick < 70)
        return (int32_t)(below(8192 - size) & ~(size >= 16 ? 63u : 7u));
    if (pick < 82)
        return (int32_t)below(8000);
    if (pick < 90)
        return 4096 * (int32_t)below(2) - 1 - (int32_t)below(size ? size : 1);
    if (test.mmio && pick < 96)
        return (int32_t)(MMIO - DATA - 4096 + below(4000));
    switch (below(4)) {
    case 0: return (RO - 1) * 4096 + (int32_t)below(4000);
    case 1: return (RO - 1) * 4096 - 1 - (int32_t)below(8);
    case 2: return (HOLE - 1) * 4096 + (int32_t)below(4000);
    default: return (HOLE - 1) * 4096 - 1 - (int32_t)below(8);
    }
}

static bool excluded(const struct x86_insn *i)
{
    switch (i->op) {
    case X86_OP_JCC:
    case X86_OP_JMP:
    case X86_OP_JMP_IND:
    case X86_OP_CALL:
    case X86_OP_CALL_IND:
    case X86_OP_RET:
    case X86_OP_LOOP:
    case X86_OP_LOOPE:
    case X86_OP_LOOPNE:
    case X86_OP_JCXZ:
    case X86_OP_MOVS:
    case X86_OP_STOS:
    case X86_OP_CMPS:
    case X86_OP_SCAS:
    case X86_OP_LODS:
    case X86_OP_POPF:
    case X86_OP_PUSHF: /* AF */
    case X86_OP_LAHF:
    case X86_OP_DAA:
    case X86_OP_DAS:
    case X86_OP_AAA:
    case X86_OP_AAS:
    case X86_OP_POPA:
    case X86_OP_ENTER:
    case X86_OP_LEAVE:
    case X86_OP_XLAT:
    case X86_OP_RDFSBASE:
    case X86_OP_RDGSBASE:
    case X86_OP_MASKMOV:
    case X86_OP_MOVDIR64B:
    case X86_OP_GATHER:
    case X86_OP_SCATTER:
    case X86_OP_FPU_ENV:
    case X86_OP_FXSAVE:
    case X86_OP_FXRSTOR:
    case X86_OP_LDMXCSR:
    case X86_OP_CLI:
    case X86_OP_STI:
    case X86_OP_ARPL:
    case X86_OP_BOUND:
    case X86_OP_UD: return true;
    case X86_OP_FPU_CTL: return i->mem;
    default: break;
    }
    if (i->flags & (X86_INSN_VSIB | X86_INSN_PRIVILEGED))
        return true;
    for (unsigned k = 0; k < i->operands; k++) {
        const struct x86_operand *o = &i->operand[k];
        if (((o->kind == X86_OPERAND_GPR && (pointer(o->reg) || o->reg == X86_RSP)) ||
             (o->kind == X86_OPERAND_GPR8H && o->reg == 3)) &&
            (o->access & X86_ACC_W))
            return true;
    }
    return false;
}

/* The REX prefix, if there is one: right before the opcode with its map. */
static uint8_t *rex_of(struct diff_case *c)
{
    const unsigned map = c->insn.map;

    return c->code + c->insn.opcode_off - (map == X86_MAP_1BYTE ? 1 : map == X86_MAP_0F ? 2 : 3);
}

enum form { BASE, BASE_INDEX, FIXED };

/* Gives the memory operand a pointer register as its base, with the index that is to be set before
 * (-1: none), or a fixed address, relative to rip in 64-bit code. False: not possible. */
static bool steer(struct diff_case *c, int *index)
{
    const struct x86_insn old = c->insn;
    const unsigned pick = below(16), at = old.modrm_off + 1u;
    const enum form form = pick == 0 ? FIXED : pick < 3 ? BASE_INDEX : BASE;
    const unsigned len = at + 4 + (form == BASE_INDEX) + old.imm_len;
    unsigned base = one_in(2) ? X86_RBX : X86_RBP;
    uint32_t disp = (uint32_t)displacement(old.operand[old.mem - 1].size);
    uint8_t imm[8], sib = 0;

    *index = -1;
    if (!old.has_modrm || old.seg >= X86_FS || old.asz == 2 || len > 15)
        return false;
    memcpy(imm, c->code + old.imm_off, old.imm_len);
    if (old.enc == X86_ENC_LEGACY && old.rex) {
        uint8_t *rex = rex_of(c);
        *rex &= (uint8_t)~3;
        if (one_in(2) && form != FIXED) {
            base = 6 | one_in(2); /* r14, r15 */
            *rex |= 1;
        }
    } else if ((old.enc == X86_ENC_VEX && c->code[old.prefix_len] == 0xc4) ||
               old.enc == X86_ENC_EVEX) {
        c->code[old.prefix_len + 1] |= 0x60;
    }
    switch (form) {
    case BASE: c->code[old.modrm_off] = (uint8_t)(0x80 | (old.modrm & 0x38) | base); break;
    case BASE_INDEX:
        *index = one_in(2) ? X86_RSI : X86_RDI;
        sib = (uint8_t)(below(4) << 6 | (unsigned)*index << 3 | base);
        c->code[old.modrm_off] = (uint8_t)(0x84 | (old.modrm & 0x38));
        break;
    case FIXED:
        c->code[old.modrm_off] = (uint8_t)(0x05 | (old.modrm & 0x38));
        disp += (uint32_t)(DATA + 4096 - (test.mode == 8 ? test.start + test.bytes + len : 0));
    }
    if (form == BASE_INDEX)
        c->code[at] = sib;
    le32_put(c->code + len - 4 - old.imm_len, disp);
    memcpy(c->code + len - old.imm_len, imm, old.imm_len);
    if (x86_decode(&c->insn, c->code, 15, c->mode) != X86_DECODE_OK)
        return false;
    return c->insn.op == old.op && c->insn.mem && (form == FIXED || pointer(c->insn.base)) &&
           c->insn.len == len && !excluded(&c->insn);
}

/* Finding an instruction takes longer than all else together, so each serves in several blocks,
 * with another address each time. */
struct drawn {
    uint8_t code[16];
    struct x86_insn insn;
};
enum { POOL = 4096, SERVES = 12 };

/* Registers r8 to r11 instead of others. False: it has none to change. */
static bool crowd(struct diff_case *c)
{
    const struct x86_insn old = c->insn;
    const bool rm = old.modrm >= 0xc0 && one_in(2), reg = !one_in(4);

    if (!old.has_modrm || old.op > X86_OP_SHRX)
        return false;
    if (old.enc == X86_ENC_LEGACY && old.rex) {
        *rex_of(c) |= (uint8_t)(reg << 2 | rm);
    } else if (old.enc == X86_ENC_VEX && c->code[old.prefix_len] == 0xc4) {
        c->code[old.prefix_len + 1] &= (uint8_t) ~(reg << 7 | rm << 5);
        if (old.map == X86_MAP_0F38 && one_in(2)) /* vvvv, inverted */
            c->code[old.prefix_len + 2] = (uint8_t)((c->code[old.prefix_len + 2] & ~0x60) | 0x20);
    } else {
        return false;
    }
    c->code[old.modrm_off] &= (uint8_t) ~(reg << 5 | rm << 2);
    return x86_decode(&c->insn, c->code, 15, c->mode) == X86_DECODE_OK && c->insn.op == old.op &&
           c->insn.len == old.len;
}

/* Of VEX forms few are for integers, so gen_insn() hardly ever finds one. */
static void vex_integer(struct diff_case *c)
{
    static const uint8_t op[] = { 0xf0, 0xf2, 0xf3, 0xf5, 0xf6, 0xf7 };

    do {
        le64_put(c->code, gen_random());
        le64_put(c->code + 8, gen_random());
        c->code[0] = 0xc4;
        c->code[1] = (uint8_t)((c->code[1] & 0xe0) | 2 | one_in(8));
        c->code[3] = op[below(sizeof(op))];
    } while (x86_decode(&c->insn, c->code, 15, c->mode) != X86_DECODE_OK ||
             c->insn.op < X86_OP_ANDN || c->insn.op > X86_OP_SHRX);
}

static void draw(struct drawn *d)
{
    static struct diff_case c;

    c.mode = test.mode;
    int index;

    do {
        if (test.crowded && one_in(2))
            vex_integer(&c);
        else
            gen_insn(&c);
    } while ((test.crowded && !crowd(&c)) || excluded(&c.insn) ||
             (c.insn.mem && !steer(&c, &index)));
    memcpy(d->code, c.code, sizeof(d->code));
    d->insn = c.insn;
}

/* Complex and dot products: exceptions of each step. */
static bool is_in_steps(const struct x86_insn *i)
{
    if (i->op == X86_OP_AVX512 && i->map == X86_MAP_6)
        return (i->opcode & 0xfe) == 0x56 || (i->opcode & 0xfe) == 0xd6;
    return (i->op == X86_OP_SSE || i->op == X86_OP_AVX) && i->map == X86_MAP_0F3A &&
           (i->opcode & 0xfe) == 0x40;
}

static void put_random(void)
{
    static struct drawn pool[3][POOL];
    static bool filled[3];
    static struct diff_case c;
    const unsigned which = test.mode == 4 ? 0 : 1 + test.crowded;
    struct drawn *p = pool[which];
    int index = -1;

    if (!filled[which]) {
        filled[which] = true;
        for (unsigned i = 0; i < POOL; i++)
            draw(&p[i]);
    }
    for (;;) {
        struct drawn *d = &p[below(POOL)];
        if (one_in(SERVES))
            draw(d);
        if (!test.vec && d->insn.op >= X86_OP_FPU)
            continue;
        memcpy(c.code, d->code, sizeof(c.code));
        c.insn = d->insn;
        c.mode = test.mode;
        if (c.insn.mem && !steer(&c, &index))
            continue;
        break;
    }
    if (index >= 0) { /* what is relative to rip has none, so it may move */
        PUT((uint8_t)(0xb8 | index));
        put32(one_in(16) ? gen_random() : below(2) ? 8 * below(16) : below(64));
    }
    put(c.code, c.insn.len);
    test.no_flush |=
        c.insn.op == X86_OP_AVX512 &&
        (c.insn.map >= X86_MAP_5 || (c.insn.map == X86_MAP_0F3A && (c.insn.opcode & 0xfe) == 0x56));
    test.complex |= is_in_steps(&c.insn);
    if (gen_undefined_flags(&c) & ~(uint64_t)X86_AF)
        PUT(0x39, 0xd8); /* cmp eax, ebx: all defined */
    else if (one_in(12) && x86_flags_use(&c.insn).may_write)
        PUT(0x0f, (uint8_t)(0x90 | (below(5) * 2 + one_in(2))), 0xc0 | below(3));
}

/* Loops end: what closes one counts in memory. */
static void put_loop(unsigned slot)
{
    if (test.mode == 8)
        PUT(0xff, 0x0c, 0x25); /* dec dword [counter] */
    else
        PUT(0xff, 0x0d);
    put32(COUNTER);
    PUT(0x0f, 0x8f); /* jg */
    put_slot(slot, true, 0, false);
}

static void put_string(void)
{
    static const uint8_t op[] = { 0xa4, 0xa5, 0xaa, 0xab, 0xa6, 0xa7, 0xae, 0xaf, 0xac, 0xad };

    PUT(0xbf); /* mov edi, esi, ecx */
    put32(DATA + 4096 + (uint64_t)displacement(8));
    PUT(0xbe);
    put32(DATA + 4096 + (uint64_t)displacement(8));
    PUT(0xb9);
    put32(below(4) ? below(20) : below(600));
    if (one_in(4))
        PUT(0x66);
    if (!one_in(4))
        PUT(one_in(2) ? 0xf2 : 0xf3);
    if (test.mode == 8 && one_in(2))
        PUT(0x48);
    PUT(op[below(sizeof(op))]);
    if (one_in(8))
        PUT(0xfc);
}

static void put_flow(unsigned slot)
{
    unsigned to = slot + 1 + below(6);

    if (to > test.slots)
        to = test.slots;
    switch (below(12)) {
    case 0: /* jmp */
        PUT(0xe9);
        put_slot(to, true, 0, false);
        break;
    case 1: /* call; now and then it returns to here */
        PUT(0xe8);
        put_slot(to, true, 0, false);
        break;
    case 2: /* push; ret */
        PUT(0x68);
        put_slot(to, false, 0, false);
        if (one_in(2))
            PUT(0xc3);
        else
            PUT(0xc2, (uint8_t)(8 * below(4)), 0);
        break;
    case 3: /* mov eax; jmp or call rax */
        PUT(0xb8);
        put_slot(to, false, 0, false);
        PUT(0xff, one_in(2) ? 0xe0 : 0xd0);
        break;
    case 4: PUT(0xc3); break;
    case 5: put_loop(slot > 6 ? slot - below(6) : 0); break;
    default: /* Jcc */ PUT(0x0f, 0x80 | below(16)); put_slot(to, true, 0, false);
    }
}

/* op [slot + add]; a part of its own follows. */
static void put_to_slot(unsigned op, unsigned reg, unsigned slot, unsigned add, bool alias)
{
    PUT((uint8_t)op);
    if (test.mode == 8)
        PUT((uint8_t)(0x04 | reg << 3), 0x25);
    else
        PUT((uint8_t)(0x05 | reg << 3));
    put_slot(slot, false, add, alias);
}

/* Changes slots that are made for it: mov r32, imm32. */
static void put_change(void)
{
    static const uint8_t mov[] = { 0xb8, 0xb9, 0xba, 0xbe, 0xbf };
    const bool alias = one_in(2);
    unsigned to = below(test.slots), from = below(test.slots);

    to -= to % 5; /* those slots */
    from -= from % 5;
    switch (below(6)) {
    case 0: /* mov byte, imm8: the opcode */
        put_to_slot(0xc6, 0, to, 0, alias);
        PUT(mov[below(sizeof(mov))]);
        break;
    case 1: /* mov dword, imm32 */
        put_to_slot(0xc7, 0, to, 1, alias);
        put32(gen_random());
        break;
    case 2: /* add, xor … dword, imm8 */
        if (one_in(2))
            PUT(0xf0);
        put_to_slot(0x83, (unsigned[]){ 0, 1, 4, 5, 6 }[below(5)], to, 1, alias);
        PUT((uint8_t)gen_random());
        break;
    case 3: /* another slot's */
        PUT(0xbf);
        put_slot(to, false, 0, alias);
        PUT(0xbe);
        put_slot(from, false, 0, one_in(2));
        PUT(0xb9);
        put32(5);
        PUT(0xfc, 0xf3, 0xa4); /* cld; rep movsb */
        break;
    default: /* mov byte, imm8 */
        put_to_slot(0xc6, 0, to, 1 + below(4), alias);
        PUT((uint8_t)gen_random());
    }
}

/* The pointers move, and most stay near. */
static void put_pointer(void)
{
    static const uint32_t by[] = { 8, 64, 16, 4096, 1, 4 };
    const bool wide = test.mode == 8 && !one_in(16);
    const unsigned to = one_in(2) ? X86_RBX : X86_RBP, from = one_in(2) ? X86_RBX : X86_RBP;
    const uint32_t n = by[below(ARRAY_LEN(by))];
    const uint8_t pair = (uint8_t)(0xc0 | from << 3 | to);

    if (wide)
        PUT(0x48);
    switch (below(8)) {
    case 0: /* add, sub */
    case 1:
        PUT(0x81, (uint8_t)((one_in(2) ? 0xc0 : 0xe8) | to));
        put32(one_in(2) ? n : 0 - n);
        break;
    case 2: /* lea */
    case 3:
        PUT(0x8d, (uint8_t)(0x80 | to << 3 | from));
        put32(one_in(2) ? n : 0 - n);
        break;
    case 4: PUT(0x89, pair); break;
    case 5: PUT(0x87, pair); break;
    case 6: PUT(0xff, (uint8_t)(0xc0 | one_in(2) << 3 | to)); break; /* inc, dec */
    default: PUT((uint8_t)(0x50 | from), (uint8_t)(0x58 | to));
    }
}

static void put_stack(void)
{
    static const uint8_t reg[] = { X86_RAX, X86_RCX, X86_RDX, X86_RSI, X86_RDI };

    switch (below(6)) {
    case 0: PUT(0x50 + reg[below(5)]); break;
    case 1: PUT(0x58 + reg[below(5)]); break;
    case 2:
        PUT(0x68);
        put32(gen_random());
        break;
    case 3: PUT(0x50 + reg[below(5)], 0x58 + reg[below(5)]); break;
    case 4: PUT(0xff, 0x34, 0x24); break; /* push [rsp] */
    default:                              /* mov [rsp + 8], r; add eax, [rsp + 16] */
        PUT(0x89, 0x44 | reg[below(3)] << 3, 0x24, 8, 0x03, 0x44, 0x24, 16);
    }
}

void make_block(void)
{
    static unsigned turn;
    unsigned at = one_in(3) ? 4096 - below(200) : below(2048);

    test.mode = one_in(3) ? 4 : 8;
    test.mmio = one_in(8);
    test.vec = one_in(3);
    test.kernel = one_in(8);
    test.near = one_in(4) ? (int32_t)below(64) * 64 : one_in(16) ? (int32_t)below(7900) : -1;
    test.crowded = test.mode == 8 && !test.vec && one_in(8);
    test.changes = one_in(4);
    test.no_flush = test.complex = false;
    turn = (turn + BLOCK_PAGES) % (PAGES - BLOCK_PAGES);
    test.base = CODE + turn * 4096;
    test.start = test.base + at;
    test.bytes = fixes = 0;
    test.slots = 6 + below(SLOTS - 6);
    for (unsigned i = 0; i < test.slots; i++) {
        test.slot[i] = test.bytes;
        unsigned pick = below(100);
        if (i % 5 == 0) {
            PUT(0xb8);
            put32(gen_random());
        } else if (pick < 14) {
            put_flow(i);
        } else if (pick < 22) {
            put_stack();
        } else if (pick < 24) {
            put_string();
        } else if (pick < 28) {
            put_pointer();
        } else if (test.changes && pick < 36) {
            put_change();
        } else {
            put_random();
        }
        if (test.bytes > MAX_CODE - 80)
            test.slots = i + 1;
    }
    test.slot[test.slots] = test.bytes;
    PUT(0xcc);
    for (unsigned i = 0; i < fixes; i++) {
        unsigned slot = MIN(fix[i].slot, test.slots);
        uint64_t to = test.start + test.slot[slot] + fix[i].add;
        le32_put(test.code + fix[i].at,
                 (uint32_t)(fix[i].end ? to - (test.start + fix[i].end)
                                       : to + (fix[i].alias ? ALIAS - CODE : 0)));
    }
    memset(test.page, 0xcc, sizeof(test.page));
    memcpy(test.page + at, test.code, test.bytes);
}

uint64_t make_change(void)
{
    unsigned slot = below(test.slots);

    slot -= slot % 5;
    const uint64_t at = test.start + test.slot[slot] + 1;
    le32_put(test.page + (at - test.base), (uint32_t)gen_random());
    return at;
}

/* ---- states ---- */

/* A copy from somewhere in a pool costs little; the pool changes slowly. */
enum { POOL_BYTES = 256 << 10, RENEWED = 64 };

static void renew(uint8_t *pool, unsigned from, unsigned n, bool vec)
{
    for (unsigned i = from; i < from + n; i += 8)
        le64_put(pool + i, vec         ? gen_bits()
                           : one_in(4) ? gen_random()
                                       : 0x0101010101010101u * (i >> 3 & 0xff));
}

static const uint8_t *from_pool(bool vec, unsigned n)
{
    static uint8_t pool[2][POOL_BYTES];
    static bool filled[2];

    if (!filled[vec])
        renew(pool[vec], 0, POOL_BYTES, vec);
    filled[vec] = true;
    renew(pool[vec], below(POOL_BYTES / RENEWED) * RENEWED, RENEWED, vec);
    return pool[vec] + below((POOL_BYTES - n) / 8) * 8;
}

static uint64_t data_base(void)
{
    const unsigned pick = test.mode == 8 ? below(10) : 9;

    return pick == 0 && test.mirror ? MIRROR : pick < 3 ? HIGH : DATA;
}

/* Most operands relative to it are aligned, so most of these are, too. */
static uint64_t pointer_value(void)
{
    const uint64_t p = data_base() + 4096;

    switch (below(12)) {
    case 0: return p + below(64);
    case 1: return p - below(64);
    case 2: return p + 64 * below(64);
    case 3: return p - 64 * below(64);
    case 4: return p - 4096 + 4096 * below(4);
    default: return p;
    }
}

static void vector_state(uint8_t *x)
{
    if (one_in(4)) { /* rounding, exceptions that are not masked or pend, x87 registers */
        gen_xsave(x);
        /* As in diff_gen.c; VREDUCE does not flush either. */
        if (test.no_flush)
            x[25] |= 0x08;
        if (test.complex)
            x[24] |= 0x80, x[25] |= 0x1f;
    } else {
        memset(x, 0, 576);
        le16_put(x, 0x37f);
        le32_put(x + 24, 0x1f80);
        le64_put(x + 512, direct_xcr0);
    }
    memcpy(x + 160, from_pool(true, 256), 256);
    memcpy(x + 576, from_pool(true, xsave_end - 576), xsave_end - 576);
    if (one_in(4)) /* some in their initial state */
        le64_put(x + 512, direct_xcr0 & (gen_random() | X86_XCR0_X87 | X86_XCR0_SSE));
}

void make_entry(void)
{
    static bool plain; /* xsave holds what it is for blocks without vectors */
    struct state *s = &test.before;

    if (one_in(4))
        test.space = !test.space;
    test.keep = one_in(2);
    if (one_in(12))
        test.right[below(RIGHTS)] = one_in(2) ? READ_ONLY : ABSENT;
    else if (one_in(2))
        memset(test.right, 0, sizeof(test.right));
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = one_in(2) ? gen_random() : gen_random() >> below(64);
    for (unsigned i = 0; i < 4; i++)
        s->gpr[(const uint8_t[]){ X86_RBX, X86_RBP, 14, 15 }[i]] = pointer_value();
    s->gpr[X86_RSP] =
        data_base() + (DATA_PAGES - 1) * 4096 + 0x400 + (one_in(16) ? below(16) : 8 * below(16));
    if (test.mode == 4)
        for (unsigned i = 0; i < 16; i++)
            s->gpr[i] = i < 8 ? (uint32_t)s->gpr[i] : 0;
    s->rip = test.start;
    s->rflags = X86_F1 | X86_IF | (gen_random() & X86_AFLAGS) | (one_in(16) ? X86_DF : 0);
    memcpy(test.data, from_pool(false, sizeof(test.data)), sizeof(test.data));
    le32_put(test.data + (COUNTER - DATA), below(20));
    if (test.vec) {
        plain = false;
        vector_state(s->xsave);
    } else if (!plain) {
        plain = true;
        memset(s->xsave, 0, XSAVE);
        le16_put(s->xsave, 0x37f);
        le32_put(s->xsave + 24, 0x1f80);
    }
}
