/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator against the interpreter: XSAVE, XSAVEOPT, XSAVEC and XRSTOR of all kinds of state
 * and image, in pages of all kinds. Images are compared by what they mean: a processor may save a
 * component that is in its initial state. */
static void states(void);
#define XL_TEST_NAME "xl_state"
#define XL_TEST_MORE states
#include "tests/unit/xl.c"

enum { AREA = 0x180000, PAGES = 16, TABLE = 0x5000, SIZE = 0xb00, AREAS = 8 };
enum { LEGACY = 160, HEAD = 512 };

static bool user;
static uint64_t area[AREAS];
static uint8_t first[PAGES * 0x1000]; /* what is there at the start */

/* Physical page of a linear one in the middle: two that do not follow one another, one twice. */
static unsigned physical(unsigned k) { return k == 7 ? 15 : k == 9 ? 13 : k == 13 ? 9 : k; }

static void set_up(struct guest *g, struct kvm_sregs *s)
{
    const uint64_t pd = TABLE | 7;

    for (unsigned i = 1; i < 3; i++)
        g->ram[0x1000 * i] |= 4;
    memcpy(g->ram + 0x3000, &pd, 8);
    for (uint64_t i = 0; i < 512; i++) {
        const unsigned k = (unsigned)(i - AREA / 0x1000);
        uint64_t pte = i << 12 | 7;
        if (k < PAGES)
            pte = (AREA + 0x1000ull * physical(k)) | (k == 3 ? 5 : k == 5 ? 0 : 7);
        memcpy(g->ram + TABLE + 8 * i, &pte, 8);
    }
    memcpy(g->ram + AREA, first, sizeof(first));
    s->cr0 |= X86_CR0_WP;
    if (user) {
        s->cs.dpl = s->ss.dpl = 3;
        s->cs.selector = 0x23;
        s->ss.selector = 0x1b;
    }
}

static uint8_t *at(uint8_t *ram, uint64_t lin)
{
    return ram + (physical((unsigned)(lin - AREA) >> 12) << 12) + (lin & 0xfff);
}

static void get(struct guest *g, uint64_t lin, uint8_t *to)
{
    for (unsigned i = 0; i < SIZE; i++)
        to[i] = *at(g->ram + AREA, lin + i);
}

static bool is_zero(const uint8_t *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

/* A component, of the emulator's image and the translator's. That may have saved one in its initial
 * state, now or earlier: a processor may take it for one in use, by chance after an interrupt. */
static bool like(const uint8_t *a, const uint8_t *b, unsigned n, bool in_a, bool in_b)
{
    if (in_a == in_b && !memcmp(a, b, n))
        return true;
    return !in_a && is_zero(b, n);
}

static bool images_alike(const uint8_t *a, const uint8_t *b)
{
    const uint64_t bv[2] = { le64(a + HEAD), le64(b + HEAD) }, comp = le64(a + HEAD + 8);
    const bool compact = comp >> 63;
    uint32_t at = 576;

    if (memcmp(a + HEAD + 8, b + HEAD + 8, 56) || ((bv[0] ^ bv[1]) & ~x86_native_xcr0()))
        return false;
    /* DEVIATES in engine/soft/xl_fpu.c: x87 pointers and opcode. */
    if (memcmp(a, b, 6) || !like(a + LEGACY, b + LEGACY, 256, bv[0] & 2, bv[1] & 2))
        return false;
    if (memcmp(a + 24, b + 24, 8) && (bv[0] & 2 || le32(b + 24) != 0x1f80))
        return false;
    for (unsigned i = 2; i < 8; i++) {
        uint32_t offset, size;
        bool align;
        if (!(x86_native_xcr0() >> i & 1) || !x86_native_component(i, &offset, &size, &align))
            continue;
        if (compact && !(comp >> i & 1))
            continue;
        if (compact && align)
            at = ALIGN_UP(at, 64u);
        if (compact)
            offset = at;
        at += size;
        if (offset + size <= SIZE &&
            !like(a + offset, b + offset, size, bv[0] >> i & 1, bv[1] >> i & 1))
            return false;
    }
    return true;
}

static uint64_t some_components(void)
{
    return rnd(3) ? x86_native_xcr0() : rnd(256) & x86_native_xcr0();
}

/* An image as it may lie in memory, mostly a valid one. */
static void random_image(uint8_t *p, bool compact)
{
    const uint64_t bv = some_components() & ~(rnd(3) ? 1ull : 0);

    for (unsigned i = 0; i < SIZE; i++)
        p[i] = (uint8_t)rnd(256);
    memset(p, 0, 32);
    le16_put(p, 0x37f);
    le32_put(p + 24, rnd(8) ? 0x1f80 | rnd(4) << 13 : 0x1f80 ^ 1u << rnd(18));
    memset(p + HEAD, 0, 64);
    le64_put(p + HEAD, bv);
    if (compact)
        le64_put(p + HEAD + 8, 1ull << 63 | bv | (rnd(2) ? some_components() : 0));
    if (!rnd(10))
        p[HEAD + rnd(64)] ^= (uint8_t)(1u << rnd(8));
}

static unsigned mov(uint8_t *p, unsigned reg, uint32_t v)
{
    p[0] = (uint8_t)(0xb8 | reg);
    le32_put(p + 1, v);
    return 5;
}

static unsigned one(uint8_t *p)
{
    /* modrm for [rbx]; XSAVEC, XSAVE, XSAVEOPT, XRSTOR */
    static const uint8_t op[][2] = {
        { 0xc7, 0x23 }, { 0xae, 0x23 }, { 0xae, 0x33 }, { 0xae, 0x2b }
    };
    unsigned n = 0, k = rnd(5);

    switch (rnd(8)) {
    case 0: /* not with an operand in an image */
        n = mov(p, 3, DATA + 0x1000);
        return n + random_vector(p + n, true);
    case 1: /* vzeroall; vzeroupper */
        p[0] = 0xc5;
        p[1] = rnd(2) ? 0xfc : 0xf8;
        p[2] = 0x77;
        return 3;
    case 2: /* a mark in a header; the images stay alike only where it is refused */
        n = mov(p, 3, (uint32_t)area[rnd(AREAS)]);
        if (rnd(4))
            return n;
        memcpy(p + n, "\x80\x8b", 2); /* or byte [rbx + header], */
        le32_put(p + n + 2, HEAD + 16 + rnd(48));
        p[n + 6] = (uint8_t)(1u << rnd(8));
        return n + 7;
    case 3: /* xsetbv */
        if (user || rnd(2))
            return 0;
        n += mov(p, 1, 0);
        n += mov(p + n, 2, 0);
        n += mov(p + n, 0, rnd(4) ? (uint32_t)x86_native_xcr0() : rnd(2) ? 7 : 3);
        memcpy(p + n, "\x0f\x01\xd1", 3);
        return n + 3;
    }
    /* Compacted ones have areas of their own. */
    const unsigned where = k % 4 == 3 ? rnd(AREAS) : rnd(AREAS / 2) + (k % 4 ? 0 : AREAS / 2);
    n = mov(p, 3, (uint32_t)area[where] + (rnd(40) ? 0 : 8));
    n += mov(p + n, 0, rnd(3) ? 0xffffffff : (uint32_t)rnd(256));
    n += mov(p + n, 2, rnd(2) ? 0xffffffff : 0);
    if (rnd(2))
        p[n++] = 0x48;
    p[n++] = 0x0f;
    p[n++] = op[k % 4][0];
    p[n++] = op[k % 4][1];
    return n;
}

static void states(void)
{
    static const enum x86_op op[] = { X86_OP_XSAVE, X86_OP_XSAVEC, X86_OP_XSAVEOPT, X86_OP_XRSTOR };
    const struct soft_vcpu *v = (struct soft_vcpu *)pair[1].vcpu;

    prepare = set_up;
    for (unsigned i = 0; i < 4000; i++) {
        uint8_t code[512], image[2][SIZE];
        unsigned n = 0;
        user = rnd(2);
        for (unsigned k = 0; k < sizeof(first); k += 64)
            first[k] = (uint8_t)rnd(256);
        for (unsigned k = 0; k < AREAS; k++) {
            const bool crosses = k && k < 7 && rnd(2);
            area[k] = AREA + k * 0x2000 + (crosses ? 0xdc0 - 64 * rnd(30) : 64 * rnd(20));
            random_image(image[0], k >= AREAS / 2);
            if (!k && rnd(8)) { /* without x87 */
                memset(image[0] + HEAD, 0, 64);
                le64_put(image[0] + HEAD, x86_native_xcr0() & 6);
            }
            for (unsigned m = 0; m < SIZE; m++)
                *at(first, area[k] + m) = image[0][m];
        }
        if (rnd(8)) { /* x87 is not in use: xrstor of an image without it */
            n += mov(code + n, 3, (uint32_t)area[0]);
            n += mov(code + n, 0, 1);
            n += mov(code + n, 2, 0);
            memcpy(code + n, "\x0f\xae\x2b", 3);
            n += 3;
        }
        for (unsigned k = 0; k < 8; k++)
            n += one(code + n);
        code[n++] = 0xe6; /* out 0x10, al */
        code[n++] = 0x10;
        start_flags = 0x3000;
        bool ok = same(code, n, true);
        for (unsigned k = 0; k < AREAS && ok; k++) {
            get(&pair[0], area[k], image[0]);
            get(&pair[1], area[k], image[1]);
            ok = images_alike(image[0], image[1]);
            if (!ok)
                fprintf(stderr, "area %u at %llx\n", k, (unsigned long long)area[k]);
        }
        CHECK(ok);
        if (!ok) {
            fprintf(stderr, "case %u, exits %u %u:", i, pair[0].run->exit_reason,
                    pair[1].run->exit_reason);
            for (unsigned k = 0; k < n; k++)
                fprintf(stderr, " %02x", code[k]);
            fprintf(stderr, "\n");
        }
    }
    if (v->xl.xinuse) /* both ways were taken */
        for (unsigned i = 0; i < 4; i++)
            CHECK(v->xl.emulated_op[op[i]] > 100 && v->xl.emulated_op[op[i]] < 2800);
}
