/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator against the interpreter: system, string and other special instructions, in rings 0
 * and 3, with flags, privileges and faults. */
static void special(void);
#define XL_TEST_NAME "xl_sys"
#define XL_TEST_MORE special
#include "tests/unit/xl.c"

static bool ring3;
static unsigned iopl;

/* User pages, ring 3 if wanted, what SYSCALL and SYSRET use. */
static void privilege(struct guest *g, struct kvm_sregs *s)
{
    union {
        struct kvm_msrs head;
        uint8_t room[sizeof(struct kvm_msrs) + 4 * sizeof(struct kvm_msr_entry)];
    } m = { .head = { .nmsrs = 4 } };
    static uint64_t star; /* the same for both */

    if (g == &pair[0])
        star = 0x0033002000000000 | (uint64_t)rnd(4) << 48;
    m.head.entries[0] = (struct kvm_msr_entry){ .index = MSR_STAR, .data = star };
    m.head.entries[1] = (struct kvm_msr_entry){ .index = MSR_LSTAR, .data = code_at + 0x200 };
    m.head.entries[2] = (struct kvm_msr_entry){ .index = 0xc0000084,
                                                .data = code_at & 0x1000 ? 0x257fd5 : 0x257700 };
    m.head.entries[3] = (struct kvm_msr_entry){ .index = 0xc0000102, .data = 0x123456789000 };

    if (s->efer & 0x400) {
        for (unsigned i = 1; i < 5; i++)
            for (unsigned k = 0; k < 512; k++)
                if (i < 4 || hard)
                    g->ram[0x1000 * i + 8 * k] |= g->ram[0x1000 * i + 8 * k] & 1 ? 4 : 0;
        s->efer |= 1;
    }
    s->gs.base = DATA + 0x100;
    s->fs.base = 0xfffffff0;
    if (code_at & 0x4000) { /* not plain */
        s->fs.limit = DATA + 0x1fff;
        s->gs.type = code_at & 0x8000 ? 1 : 7; /* read only; expand-down */
    }
    s->ds.selector = 0x1b;
    s->es.selector = 0x23;
    s->cr4 |= code_at & 0x2000 ? 4 : 0;       /* TSD */
    s->cr4 |= code_at & 0x8000 ? 0x10000 : 0; /* FSGSBASE */
    if (ring3) {
        s->cs.dpl = s->ss.dpl = 3;
        s->cs.selector = 0x33;
        s->ss.selector = 0x2b;
    }
    CHECK_EQ(ops->set_msrs(g->vcpu, &m.head), 4);
}

static unsigned put_bytes(uint8_t *p, const void *b, unsigned n)
{
    memcpy(p, b, n);
    return n;
}
#define PUT(p, ...)                                                                                \
    put_bytes(p, (const uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))

/* modrm with memory [reg + d8], or a register. */
static unsigned operand(uint8_t *p, unsigned field, bool memory)
{
    static const uint8_t base[] = { 3, 5, 6, 7 };

    if (!memory && rnd(2))
        return PUT(p, (uint8_t)(0xc0 | field << 3 | rnd(8)));
    return PUT(p, (uint8_t)(0x40 | field << 3 | base[rnd(4)]), (uint8_t)(rnd(16) * 8));
}

static unsigned rex_or_66(uint8_t *p, bool long64)
{
    unsigned n = 0;

    if (!rnd(5))
        p[n++] = 0x66;
    if (long64 && rnd(2))
        p[n++] = (uint8_t)(0x40 | (rnd(2) << 3) | (rnd(4) ? 0 : 4) | !rnd(4));
    return n;
}

static unsigned random_string(uint8_t *p, bool long64)
{
    static const uint8_t op[] = { 0xa4, 0xa4, 0xaa, 0xaa, 0xac, 0xae, 0xa6 };
    const uint32_t count = rnd(6) ? rnd(20) : rnd(700);
    unsigned n = 0;

    if (!rnd(5))
        p[n++] = rnd(2) ? 0xfc : 0xfd;
    if (!rnd(8)) /* lea edi, [rsi + 3] */
        n += PUT(p + n, 0x8d, 0x7e, 3);
    if (rnd(4)) {
        p[n++] = 0xb9;
        n += put_bytes(p + n, &count, 4);
        p[n++] = rnd(4) ? 0xf3 : 0xf2;
    }
    if (!rnd(10))
        p[n++] = 0x67;
    if (!rnd(12))
        p[n++] = 0x65;
    if (!rnd(5))
        p[n++] = 0x66;
    else if (long64 && rnd(2))
        p[n++] = 0x48;
    p[n++] = (uint8_t)(op[rnd(sizeof(op))] | rnd(2));
    return n;
}

static unsigned random_divide(uint8_t *p, bool long64)
{
    unsigned n = 0, idiv = rnd(2), w = long64 && rnd(2), b66 = !w && !rnd(5);

    switch (rnd(3)) {
    case 0: n += PUT(p, 0x31, 0xd2); break; /* xor edx, edx */
    case 1:                                 /* cwd, cdq, cqo */
        if (w)
            p[n++] = 0x48;
        if (b66)
            p[n++] = 0x66;
        p[n++] = 0x99;
        break;
    }
    if (b66)
        p[n++] = 0x66;
    if (w || (long64 && rnd(3) == 0))
        p[n++] = (uint8_t)(0x40 | w << 3 | rnd(2));
    p[n++] = rnd(6) ? 0xf7 : 0xf6;
    return n + operand(p + n, 6 | idiv, false);
}

static unsigned random_bits(uint8_t *p, bool long64)
{
    static const uint8_t op[] = { 0xa3, 0xab, 0xb3, 0xbb };
    unsigned n = 0, o = rnd(4), r = rnd(8);

    /* and reg, 0xfff, mostly: a bit string in reach */
    if (rnd(5))
        n += PUT(p, 0x81, (uint8_t)(0xe0 | (r == 4 || r == 3 || r > 4 ? 0 : r)), 0xff, 0xf, 0, 0);
    const bool lock = o && !rnd(3);
    if (lock)
        p[n++] = 0xf0;
    n += rex_or_66(p + n, long64);
    p[n++] = 0x0f;
    p[n++] = op[o];
    n += operand(p + n, r == 4 || r == 3 || r > 4 ? 0 : r, lock);
    return n + PUT(p + n, 0x0f, 0x92, 0xc0, 0x84,
                   0xc0); /* setc al; test al, al: the rest is undefined */
}

static unsigned random_high(uint8_t *p)
{
    static const uint8_t op[] = { 0x00, 0x02, 0x30, 0x38, 0x3a, 0x84, 0x86, 0x88, 0x8a };

    if (!rnd(4))
        return PUT(p, 0x80, (uint8_t)(0xc4 | rnd(4) | rnd(8) << 3), (uint8_t)rnd(256));
    p[0] = op[rnd(sizeof(op))];
    return 1 + operand(p + 1, 4 + rnd(4), false);
}

static unsigned random_flags(uint8_t *p, bool long64)
{
    unsigned n = 0;

    switch (rnd(6)) {
    case 0: return PUT(p, 0x9c);
    case 1: /* pushf; xor dword [rsp], …; popf */
    case 2: {
        static const uint32_t bits[] = { 0x200, 0x4000,  0x40000, 0x200000, 0x3000, 0x400,
                                         0x8d5, 0x10000, 0x1,     0x7000,   0x20000 };
        uint32_t x = bits[rnd(11)] ^ (rnd(3) ? 0 : bits[rnd(11)]);
        n += PUT(p, 0x9c, 0x81, 0x34, 0x24);
        n += put_bytes(p + n, &x, 4);
        if (!rnd(8))
            p[n++] = 0x66;
        p[n++] = 0x9d;
        return n;
    }
    case 3: return PUT(p, 0xfa);
    case 4: return PUT(p, 0xfb);
    default: (void)long64; return PUT(p, (uint8_t)(0xfc | rnd(2)));
    }
}

static unsigned random_system(uint8_t *p, bool long64)
{
    unsigned n;

    switch (rnd(8)) {
    case 7: /* RDFSBASE, … */
        n = PUT(p, 0xf3);
        if (long64 && rnd(2))
            p[n++] = 0x48;
        return n + PUT(p + n, 0x0f, 0xae, (uint8_t)(0xc0 | rnd(4) << 3 | rnd(8)));
    case 0:
        n = rex_or_66(p, long64);
        p[n++] = 0x8c;
        return n + operand(p + n, rnd(7), false);
    case 1:
        if (ring3 || rnd(3) == 0)
            return PUT(p, 0x0f, 0x01, 0xf8);                               /* swapgs */
        return PUT(p, 0x0f, 0x20, (uint8_t)(0xc0 | rnd(5) << 3 | rnd(8))); /* mov r, cr */
    case 2: return PUT(p, 0x0f, 0x31, 0x31, 0xc0, 0x31, 0xd2);             /* rdtsc; clear */
    case 5: return PUT(p, 0x0f, 0x01, 0xf9, 0x31, 0xc0, 0x31, 0xd2);       /* rdtscp; clear */
    case 3: return rnd(2) ? PUT(p, 0x0f, 0xa0) : PUT(p, 0x0f, 0xa8);       /* push fs, gs */
    case 4: return PUT(p, 0xd7);                                           /* xlat */
    default:
        n = 0;
        if (rnd(2))
            p[n++] = 0xf0;
        if (long64 && rnd(2))
            p[n++] = 0x48;
        p[n++] = 0x0f;
        p[n++] = 0xc7;
        return n + operand(p + n, 1, true);
    }
}

/* FS or GS, and a base register or none. */
static unsigned random_segment(uint8_t *p, bool long64)
{
    static const uint8_t op[] = { 0x01, 0x03, 0x29, 0x89, 0x8b, 0x8b, 0x31, 0xff };
    unsigned n = 0;

    p[n++] = 0x64 + rnd(2);
    p[n++] = op[rnd(sizeof(op))];
    const unsigned field = p[n - 1] == 0xff ? rnd(2) : rnd(8);
    if (rnd(3))
        return n + operand(p + n, field, true);
    const uint32_t at =
        rnd(6) ? DATA + rnd(0x1000) * 4 : 0u - 4 - 4 * rnd(16); /* no access wraps */
    if (long64)
        n += PUT(p + n, (uint8_t)(field << 3 | 4), 0x25);
    else
        p[n++] = (uint8_t)(field << 3 | 5);
    return n + put_bytes(p + n, &at, 4);
}

static unsigned random_special(uint8_t *p, bool long64)
{
    switch (rnd(9)) {
    case 8: return random_segment(p, long64);
    case 0:
    case 1: return random_string(p, long64);
    case 2: return random_divide(p, long64);
    case 3: return random_bits(p, long64);
    case 4: return random_high(p);
    case 5: return random_flags(p, long64);
    case 6: return random_system(p, long64);
    default: return random_insn(p, long64);
    }
}

/* Registers that get far: pointers to data, small numbers. */
static void easy(struct kvm_regs *r)
{
    static uint64_t v[8];

    if (hard || rnd(8) == 0)
        return;
    for (unsigned i = 0; i < 8; i++)
        v[i] = i < 4 ? DATA + 0x1000 + (rnd(0x600) << 4) : rnd(1 << (4 * i - 12));
    r->rbx = v[0];
    r->rbp = v[1];
    r->rsi = v[2];
    r->rdi = v[3];
    r->rax = v[4];
    r->rcx = v[5];
    r->rdx = v[6];
}

static void random_specials(unsigned count)
{
    give = easy;
    for (unsigned i = 0; i < count; i++) {
        const bool long64 = i % 4 != 0;
        uint8_t code[400];
        unsigned n = 0;
        ring3 = rnd(2);
        iopl = rnd(6) ? 3 : 0;
        start_flags = iopl << 12 | (rnd(2) ? X86_IF : 0) | (rnd(6) ? 0 : X86_DF) |
                      (rnd(9) ? 0 : X86_AC) | (rnd(9) ? 0 : X86_ID);
        for (unsigned k = 0; k < 8; k++)
            n += random_special(code + n, long64);
        n += PUT(code + n, 0xe6, 0x10); /* out 0x10, al */
        bool ok = same(code, n, long64);
        CHECK(ok);
        if (!ok) {
            struct kvm_regs r[2];
            for (unsigned k = 0; k < 2; k++)
                CHECK_EQ(ops->get_regs(pair[k].vcpu, &r[k]), 0);
            fprintf(stderr, "exits %u %u, ", pair[0].run->exit_reason, pair[1].run->exit_reason);
            fprintf(stderr, "special %u (%s, ring %u, IOPL %u, flags %llx) at %llx, %llx %llx:", i,
                    long64 ? "64" : "32", ring3 ? 3 : 0, iopl, (unsigned long long)start_flags,
                    (unsigned long long)code_at, (unsigned long long)r[0].rip,
                    (unsigned long long)r[1].rip);
            for (unsigned k = 0; k < n; k++)
                fprintf(stderr, " %02x", code[k]);
            fprintf(stderr, "\n");
            for (unsigned k = 0; k < 18; k++)
                if (((uint64_t *)&r[0])[k] != ((uint64_t *)&r[1])[k])
                    fprintf(stderr, "  %u: %llx %llx\n", k,
                            (unsigned long long)((uint64_t *)&r[0])[k],
                            (unsigned long long)((uint64_t *)&r[1])[k]);
        }
    }
    give = NULL;
}

static uint64_t user_flags, user_rip;
static void for_sysret(struct kvm_regs *r)
{
    r->rcx = user_rip ? user_rip : code_at + 0x100;
    r->r11 = user_flags;
}

/* sysret; user: pushf, pop rbx, syscall; kernel: pushf, pop rdx, hlt */
static void system_calls(void)
{
    static const uint64_t flags[] = { 2,
                                      0x202,
                                      0xad7,
                                      0x46,
                                      0x4cd7,
                                      0x40202,
                                      0x200a93,
                                      0x3293,
                                      0x10202,
                                      0x302,
                                      0xffffffffffffffff,
                                      0x893 };
    static uint8_t code[0x240];

    memset(code, 0xf4, sizeof(code));
    put_bytes(code, "\x48\x0f\x07", 3);
    put_bytes(code + 0x100, "\x9c\x5b\x0f\x05", 4);
    put_bytes(code + 0x200, "\x9c\x5a\xf4", 3);
    ring3 = false;
    give = for_sysret;
    for (unsigned i = 0; i < 4 * sizeof(flags) / sizeof(flags[0]); i++) {
        user_flags = flags[i / 4];
        user_rip = i % 4 == 3 ? 0x800000000000 : 0; /* not canonical */
        start_flags = rnd(2) ? X86_AC : 0;
        bool ok = same(code, sizeof(code), true);
        CHECK(ok);
        if (!ok)
            fprintf(stderr, "system call %u\n", i);
    }
    give = NULL;
}

static void special(void)
{
    prepare = privilege;
    flags_compared = FLAGS_COMPARED | X86_IF | X86_DF | X86_IOPL | X86_NT | X86_AC | X86_ID;
    system_calls();
    random_specials(2000);
    hard = true;
    random_specials(2000);
    hard = false;
}
