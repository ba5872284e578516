/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's vector and x87 state into the host's registers and back (xl_fpu.c): random XSAVE
 * images, with components in their initial state, whose image changes in between and not. */
#include <string.h>

#include "engine/soft/soft.h"
#include "isa/x86/native.h"
#include "tests/unit/unit.h"

enum { SIZE = sizeof(struct kvm_xsave), XMM = 160, BV = 512, HEADER_END = 576, ROUNDS = 3000 };

static const struct engine_ops *const ops = &engine_soft;
static struct soft_vcpu *v;
static uint64_t xcr0;
static uint32_t at[8], size[8]; /* of components */

struct image {
    uint8_t b[SIZE] __attribute__((aligned(64)));
};

static struct image random_image(void)
{
    struct image x = { .b = { 0 } };

    for (unsigned i = 0; i < BV; i += 8)
        le64_put(x.b + i, rnd64());
    for (unsigned i = HEADER_END; i < SIZE; i += 8)
        le64_put(x.b + i, rnd(4) ? rnd64() : 0);
    le16_put(x.b, (uint16_t)(rnd(2) ? 0x37f : 0x40 | (rnd64() & 0xf3f)));
    le16_put(x.b + 2, (uint16_t)(rnd(2) ? 0 : rnd64() & 0x7f7f));
    le32_put(x.b + 24, rnd(2) ? 0x1f80 : (uint32_t)rnd64() & 0xffff);
    le64_put(x.b + BV, xcr0 & (rnd(3) ? ~0ull : rnd64()));
    return x;
}

/* As outsiders see it. DEVIATES in xl_fpu.c: without x87 pointers and opcode. */
static struct image state(void)
{
    struct image x;

    CHECK_EQ(ops->get_xsave(&v->base, (struct kvm_xsave *)(void *)x.b), 0);
    memset(x.b + 6, 0, 18);
    for (unsigned i = 0; i < 8; i++)
        memset(x.b + 32 + 16 * i + 10, 0, 6);
    memset(x.b + BV, 0, 8); /* whether x87 is in use depends on these; compared elsewhere */
    return x;
}

static uint32_t mxcsr(void)
{
    uint32_t m;

    __asm__ volatile("stmxcsr %0" : "=m"(m));
    return m;
}

static uint16_t fcw(void)
{
    uint16_t w;

    __asm__ volatile("fnstcw %0" : "=m"(w));
    return w;
}

/* What is in the host's registers while they hold the guest's; compiled to leave them alone. */
__attribute__((target("general-regs-only"), no_sanitize("address", "undefined"))) static void
in_registers(uint8_t *image, bool again)
{
    xl_fpu_get(v);
    if (again) { /* once more changes nothing */
        xl_fpu_get(v);
        xl_c_begin(v);
        xl_c_end(v);
    }
    __asm__ volatile("xsave64 (%0)" : : "r"(image), "a"((uint32_t)xcr0), "d"(0) : "memory");
    xl_fpu_put(v);
}

/* The same, with the interpreter's instruction in between. */
__attribute__((target("general-regs-only"), no_sanitize("address", "undefined"))) static void
around(const struct x86_insn *in, bool *live, bool *header)
{
    xl_fpu_get(v);
    xl_fpu_before(v, in);
    *live = v->xl.fpu_live;
    *header = v->xl.fpu_header;
    xl_fpu_put(v);
}

static bool part_is(const uint8_t *a, const uint8_t *b, bool there, unsigned n)
{
    static const uint8_t zero[1024];

    return !memcmp(a, there ? b : zero, n);
}

/* The registers had what the image says, and were not in use without need. */
static void check_registers(const struct image *r, const struct image *want, uint64_t in_use)
{
    const uint64_t bv = le64(r->b + BV);

    CHECK_EQ(le32(r->b + 24), le32(want->b + 24));
    CHECK_EQ(le16(r->b), le16(want->b));
    CHECK_EQ(r->b[4], want->b[4]);
    CHECK(part_is(r->b + XMM, want->b + XMM, true, 256));
    for (unsigned i = 2; i < 8; i++) {
        CHECK(!size[i] || part_is(r->b + at[i], want->b + at[i], true, size[i]));
        /* Their upper parts in use for nothing make older instructions slow. */
        CHECK(!(bv >> i & 1) || (in_use >> i & 1));
    }
}

static void round_trips(void)
{
    static struct image x, before, after, registers;
    const uint32_t host_mxcsr = mxcsr();
    const uint16_t host_fcw = fcw();

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (rnd(4)) { /* else what is there already */
            x = random_image();
            CHECK_EQ(ops->set_xsave(&v->base, (const struct kvm_xsave *)(const void *)x.b), 0);
            xl_fpu_away(v);
        } else if (rnd(2)) { /* the interpreter clears a component */
            const unsigned k = 2 + rnd(6);
            xl_fpu_away(v);
            if (size[k])
                memset(v->cpu.xsave + at[k], 0, size[k]);
        }
        before = state();
        const uint64_t in_use = x86_native_in_use(&v->cpu);
        const bool masked = (le32(before.b + 24) & 0x1f80) == 0x1f80 &&
                            (le16(before.b) & 0x3f) == 0x3f && !(before.b[2] & 0x80);
        /* The host's own are the host's again behind it, whatever they are. */
        const uint32_t m = 0x1f80 | rnd(4) << 13;
        __asm__ volatile("ldmxcsr %0" : : "m"(m));
        in_registers(registers.b, rnd(2));
        CHECK_EQ(mxcsr(), m);
        CHECK_EQ(fcw(), host_fcw);
        __asm__ volatile("ldmxcsr %0" : : "m"(host_mxcsr));
        CHECK(!v->xl.fpu_live);
        CHECK_EQ(v->xl.fp_masked, masked);
        check_registers(&registers, &before, in_use);
        after = state();
        CHECK(!memcmp(&before, &after, sizeof(before)));
        CHECK_EQ(le16(v->cpu.xsave + 6), 0);
        CHECK_EQ(le64(v->cpu.xsave + 8) | le64(v->cpu.xsave + 16), 0);
        CHECK_EQ(le64(v->cpu.xsave + BV) & ~xcr0, 0);
    }
}

/* The interpreter's instructions that only look leave the registers in the host, others do not. */
static void before_instructions(void)
{
    static const struct {
        enum x86_op op;
        bool looks;
    } t[] = { { X86_OP_FXSAVE, true },   { X86_OP_XSAVE, true },   { X86_OP_XSAVEOPT, true },
              { X86_OP_XSAVEC, true },   { X86_OP_STMXCSR, true }, { X86_OP_FXRSTOR, false },
              { X86_OP_LDMXCSR, false }, { X86_OP_XRSTOR, false }, { X86_OP_FPU, false },
              { X86_OP_SSE, false },     { X86_OP_AVX512, false } };

    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        const struct x86_insn in = { .op = t[i].op };
        const struct image x = random_image();
        CHECK_EQ(ops->set_xsave(&v->base, (const struct kvm_xsave *)(const void *)x.b), 0);
        xl_fpu_away(v);
        const struct image want = state();
        bool live, header;
        around(&in, &live, &header);
        CHECK_EQ(live, t[i].looks);
        CHECK_EQ(header, t[i].looks);
        const struct image is = state();
        CHECK(!memcmp(&want, &is, sizeof(want)));
    }
}

int main(void)
{
    struct engine *engine;
    struct engine_vm *vm;
    struct engine_vcpu *vcpu;

    CHECK_EQ(ops->open(&engine, &(struct engine_options){ .soft = "translate" }), 0);
    CHECK_EQ(ops->create_vm(engine, &vm), 0);
    CHECK_EQ(ops->create_vcpu(vm, 0, &vcpu), 0);
    v = (struct soft_vcpu *)vcpu;
    xcr0 = x86_native_xcr0();
    for (unsigned i = 2; i < 8; i++) {
        bool align;
        if (!(xcr0 >> i & 1) || !x86_native_component(i, &at[i], &size[i], &align))
            size[i] = 0;
    }
    round_trips();
    before_instructions();
    ops->destroy_vm(vm);
    ops->close(engine);
    return unit_done("xl_fpu");
}
