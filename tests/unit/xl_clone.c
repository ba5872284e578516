/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator: random code that runs at one address after another, so that its translation is
 * copied: against the interpreter, and each copy against a translation made for its address. */
static void copies(void);
#define XL_TEST_NAME "xl_clone"
#define XL_TEST_MORE copies
#include "tests/unit/xl.c"

enum { VARS = 0x8000, FAR_CODE = 0x9000, BASES = 7, FIXUPS = 64, CODE_MAX = 600 };

/* All memory is mapped from each of these on. */
static const unsigned top[BASES] = { 254, 170, 171, 33, 252, 129, 200 };
static uint8_t code[CODE_MAX];
static struct {
    uint16_t at;
    uint32_t to; /* what a rel32 there, behind which the instruction ends, leads to */
} fixup[FIXUPS];
static unsigned fixups, first;

static uint64_t base(unsigned i) { return (uint64_t)top[i] << 39; }

/* User code, and the table of where to go next. */
static void map(struct guest *g, struct kvm_sregs *s)
{
    const uint32_t rounds = BASES - 1;

    for (unsigned i = 1; i < (hard ? 5 : 4); i++)
        for (unsigned k = 0; k < 512; k++)
            g->ram[0x1000 * i + 8 * k] |= g->ram[0x1000 * i + 8 * k] & 1 ? 4 : 0;
    for (unsigned i = 0; i < BASES; i++) {
        const uint64_t to = base((first + i) % BASES) + code_at;
        memcpy(g->ram + 0x1000 + 8 * top[i], g->ram + 0x1000, 8);
        memcpy(g->ram + VARS + 8 + 8 * (BASES - 1 - i), &to, 8);
    }
    memcpy(g->ram + VARS, &rounds, 4);
    g->ram[FAR_CODE] = 0xc3;
    s->cs.dpl = s->ss.dpl = 3;
    s->cs.selector = 0x23;
    s->ss.selector = 0x1b;
    for (unsigned i = 0; i < fixups; i++)
        le32_put(code + fixup[i].at, fixup[i].to - (uint32_t)(code_at + fixup[i].at + 4));
}

static void start_there(struct kvm_regs *r) { r->rip += base(first); }

static unsigned relative(unsigned n, uint32_t to)
{
    fixup[fixups].at = (uint16_t)n;
    fixup[fixups++].to = to;
    return n + 4;
}

static unsigned bytes(unsigned n, const char *b, unsigned len)
{
    memcpy(code + n, b, len);
    return n + len;
}

/* What depends on the address; mostly harmless. */
static unsigned relative_insn(unsigned n)
{
    static const char *const access[] = { "\x48\x8b\x05", "\x48\x89\x0d", "\x48\x8d\x35",
                                          "\x48\x03\x15", "\x48\x39\x3d", "\x4c\x8b\x05" };
    static const char *const rare[] = { "\xff\x35", "\x0f\x10\x05", "\x8a\x25", "\x67\x8b\x05" };
    static const unsigned len[] = { 2, 3, 2, 3 };
    unsigned k;

    switch (rnd(6)) {
    case 0:
        return bytes(n, "\xe8\x02\x00\x00\x00\xeb\x01\xc3", 8); /* call 1f; jmp 2f; 1: ret; 2: */
    case 1: return relative(bytes(n, "\xe8", 1), FAR_CODE);
    case 2: return bytes(n, "\xb9\x03\x00\x00\x00\x48\xff\xc2\xe2\xfb", 10); /* loop */
    case 3: k = rnd(4); return relative(bytes(n, rare[k], len[k]), DATA + 0x2000 + rnd(0x2000));
    default:
        return relative(bytes(n, access[rnd(6)], 3),
                        DATA + (rnd(4) ? rnd(16) * 8 : 0xff0 + rnd(32)) + 0x1000);
    }
}

static unsigned build(void)
{
    unsigned n = 0;

    fixups = 0;
    for (unsigned i = 2 + rnd(24); i-- > 0;) {
        const unsigned k = rnd(16);
        if (k < 6)
            n = relative_insn(n);
        else if (k < 11)
            n += random_access(code + n);
        else
            n += random_insn(code + n, true);
    }
    n = bytes(n, "\x90\x90\x90\x90\x90\x90\x90\x90", 8); /* behind a jump that may skip */
    n = relative(bytes(n, "\xff\x0d", 2), VARS);         /* dec dword [VARS] */
    n = bytes(n, "\x78\x11", 2);                         /* js done */
    n = relative(bytes(n, "\x8b\x0d", 2), VARS);         /* mov ecx, [VARS] */
    n = relative(bytes(n, "\x48\x8d\x15", 3), VARS + 8); /* lea rdx, [VARS + 8] */
    n = bytes(n, "\xff\x24\xca", 3);                     /* jmp [rdx + rcx * 8] */
    return bytes(n, "\xe6\x10", 2);                      /* done: out 0x10, al */
}

static void programs(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const uint64_t was = unit_seed;
        first = rnd(BASES);
        const unsigned len = build();
        const bool ok = same(code, len, true);
        CHECK(ok);
        if (!ok)
            fprintf(stderr, "program %u, seed %llx, exits %u %u\n", i, (unsigned long long)was,
                    pair[0].run->exit_reason, pair[1].run->exit_reason);
    }
}

static void copies(void)
{
    struct soft_vcpu *v = (struct soft_vcpu *)pair[1].vcpu;
    struct xl *xl = &v->xl;
    uint64_t copied = 0;

    xl->verify = true;
    prepare = map;
    give = start_there;
    start_flags = 0x3000; /* IOPL */
    for (unsigned i = 0; i < 4; i++) {
        xl->pext = i != 1 && xl_host_bmi2();
        xl->rorx = i != 1 && xl_host_bmi2();
        xl->exact = i == 2;
        hard = i == 3;
        xl_flush(v);
        programs(i ? 300 : 1500);
        CHECK(xl->cloned - copied > 300);
        copied = xl->cloned;
    }
    hard = false;
    prepare = NULL;
    give = NULL;
    start_flags = 0;
    CHECK(xl->verified > 2000);
    CHECK_EQ(xl->differ, 0);
    fprintf(stderr, "xl_clone: %llu copies compared, %llu run\n", (unsigned long long)xl->verified,
            (unsigned long long)xl->cloned);
}
