/* SPDX-License-Identifier: BSD-2-Clause */
/* The hostile program: several accesses with the same base, at the edges of pages, by bases and
 * segments that change in between. */
#include "guest/hostile_user.h"

static uint64_t memory_sum(void)
{
    uint64_t sum = 0;
    for (unsigned k = 0; k < 4; k++) {
        const uint64_t *p = (uint64_t *)(void *)(data + k * 4096);
        for (unsigned i = 0; pt_data[k] & 0x40 && i < 512; i++)
            sum = (sum << 7 | sum >> 57) ^ p[i];
    }
    return sum;
}

static void put_access(uint8_t op, unsigned reg, unsigned base, uint32_t disp)
{
    if (!compat && op & 1 && rnd() % 2)
        put(0x48);
    put(op);
    put((uint8_t)(0x80 | reg << 3 | base));
    if (base == 4)
        put(0x24);
    put32(disp);
}

/* Of the other forms: index, fixed address, segments and their bases. */
static void put_other(unsigned reg, unsigned base, uint32_t constant)
{
    const uint8_t op = rnd() % 2 ? 0x8b : 0x89, fs = (uint8_t)(0x64 + rnd() % 2);
    switch (rnd() % 5) {
    case 0: /* [base + index * scale + constant] */
        put(op);
        put((uint8_t)(0x84 | reg << 3));
        put((uint8_t)(rnd() % 3 << 6 | 5 << 3 | base)); /* rbp, which groups() makes small then */
        put32(rnd() % 40 - 20);
        break;
    case 1: /* a fixed address */
        put(op);
        put((uint8_t)(compat ? 5 | reg << 3 : 4 | reg << 3));
        if (!compat)
            put(0x25);
        put32((uint32_t)DATA + (rnd() % 5) * 4096 + rnd() % 32 - 16);
        break;
    case 2: /* by FS or GS and a base */
        put(fs);
        put_access(op, reg, 5, rnd() % 40 - 20);
        break;
    case 3: /* by FS or GS alone */
        put(fs);
        put(op);
        put((uint8_t)(compat ? 5 | reg << 3 : 4 | reg << 3));
        if (!compat)
            put(0x25);
        put32(rnd() % 40 - 20);
        break;
    default:
        if (compat || !bases_known) {
            put(0x81); /* add or sub base, constant */
            put((uint8_t)(0xc0 | base));
            put32(constant);
            break;
        }
        put(0xf3); /* wrfsbase or wrgsbase */
        put(0x48);
        put(0x0f);
        put(0xae);
        put((uint8_t)((rnd() % 2 ? 0xd0 : 0xd8) | base));
    }
}

static void put_step(void)
{
    static const uint8_t base_of[] = { 3, 3, 6, 7, 5, 4 },
                         op_of[] = { 0x8b, 0x8b, 0x89, 0x89, 0x88, 0x8a, 0x01, 0x03 };
    const unsigned base = base_of[rnd() % 6], reg = rnd() % 3;
    static const uint32_t far[] = {
        0x1000, 0xfffff000, 0x2000, 0xffffe000, 0x10, 0xfffffff0, 4, 8
    };
    const uint32_t constant = far[rnd() % 8];
    switch (rnd() % 16) {
    case 10:
    case 11:
    case 12:
    case 13: put_other(reg, base, constant); break;
    case 0: /* add or sub base, constant */
        if (!compat)
            put(0x48);
        put(0x81);
        put((uint8_t)((rnd() % 2 ? 0xc0 : 0xe8) | base));
        put32(constant);
        break;
    case 1: /* lea base, [other + constant] */
        if (!compat)
            put(0x48);
        put(0x8d);
        put((uint8_t)(0x80 | base_of[rnd() % 5] << 3 | 3));
        put32(constant);
        break;
    case 2: put((uint8_t)(0x50 | reg)); break;
    case 3: put((uint8_t)(0x58 | reg)); break;
    case 4: /* movups */
        put(0x0f);
        put_access(rnd() % 2 ? 0x10 : 0x11, reg, base, rnd() % 64);
        break;
    case 5: /* an access whose constant takes the last one back */
        put_access(op_of[rnd() % 8], reg, base, 0 - constant);
        break;
    default: put_access(op_of[rnd() % 8], reg, base, (rnd() % 40) - 20);
    }
}

void groups(void)
{
    uint64_t sum = 0, done = 0;
    for (unsigned i = 0; i < 4; i++)
        pt_data[i] |= 0x40;
    for (unsigned i = 0; i < 16000; i++) {
        compat = i & 1;
        code_new();
        data_fresh();
        for (unsigned n = 3 + rnd() % 12; n; n--)
            put_step();
        registers(0x1234567890abcdef);
        uint64_t at = DATA + (rnd() % 5) * 4096 + (rnd() % 3 ? rnd() % 128 - 64 : rnd() % 4096);
        if (!(rnd() % 8))
            at = compat ? rnd() % 64 - 32u : 0x800000000000 - rnd() % 64;
        in.bx = in.si = in.di = in.bp = in.sp = at;
        if (rnd() % 2) /* an index, or an offset from a segment's base */
            in.bp = rnd() % 64 - 32;
        wrmsr(0xc0000100, DATA + (rnd() % 5) * 4096 + rnd() % 64 - 32);
        wrmsr(0xc0000101, DATA + (rnd() % 5) * 4096 + rnd() % 64 - 32);
        if (rnd() % 2)
            in.sp = DATA + 4096 + rnd() % 32 - 16;
        if (compat)
            for (unsigned k = 0; k < 15; k++)
                (&in.r15)[k] = (uint32_t)(&in.r15)[k] | (i % 8 == 1 ? 0x7f1234ul << 32 : 0);
        try();
        fold(vector << 32 | (out.ip - code_at));
        for (unsigned k = 0; k < 15; k++)
            fold((&out.r15)[k]);
        fold(out.sp);
        fold(vector == V_PF ? cr2 : 0);
        fold(memory_sum());
        done += vector == V_GP && out.ip == code_at + code_used;
        sum += vector;
    }
    compat = false;
    wrmsr(0xc0000100, 0);
    wrmsr(0xc0000101, 0);
    line("of them to the end", done);
    line("sum of the traps", sum);
    line("all", hash);
    report("accesses with the same base", hash == 0xdf5f7f2aa6394f9c || !bases_known);
}
