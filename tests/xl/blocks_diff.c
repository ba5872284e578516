/* SPDX-License-Identifier: BSD-2-Clause */
/* Random blocks three ways: what is the same, and what is shown of a case where something is not.
 */
#include <Zydis/Zydis.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "isa/x86/native.h"
#include "tests/xl/blocks.h"

/* Of the components of an XSAVE area; CPUID is slow in a virtual machine. */
static struct {
    uint32_t at, size;
} where[8];

static void find_components(void)
{
    static bool done;
    bool align;

    for (unsigned k = 2; k < 8 && !done; k++)
        if (!(direct_xcr0 >> k & 1) ||
            !x86_native_component(k, &where[k].at, &where[k].size, &align))
            where[k].size = 0;
    done = true;
}

static bool same_part(const struct state *a, const struct state *b, unsigned at, unsigned n,
                      unsigned component)
{
    static const uint8_t zero[64];
    bool ha = le64(a->xsave + 512) >> component & 1, hb = le64(b->xsave + 512) >> component & 1;

    for (unsigned i = 0; i < n; i += 8)
        if (memcmp(ha ? a->xsave + at + i : zero, hb ? b->xsave + at + i : zero, 8))
            return false;
    return true;
}

/* The instruction that faulted, or X86_OP_INVALID. */
static struct x86_insn faulting(const struct state *s)
{
    struct x86_insn i = { .op = X86_OP_INVALID };

    if (s->vector != X86_BP && s->rip - CODE < (PAGES - 1) * 4096 &&
        x86_decode(&i, guest_code_at(&guest[0], s->rip), 15, test.mode) != X86_DECODE_OK)
        i.op = X86_OP_INVALID;
    return i;
}

/* Of which byte of such an operand in two pages it is that it cannot be accessed, processors do not
 * all say alike. */
static bool loose_address(const struct x86_insn *i)
{
    const struct x86_operand *o = i->mem ? &i->operand[i->mem - 1] : NULL;

    return o &&
           (o->size == 10 || ((i->mask || i->op == X86_OP_VMASKMOV) && (o->access & X86_ACC_W)));
}

const char *differ_data(const uint8_t *a, const uint8_t *b, const struct state *n)
{
    const struct x86_insn i = n->vector == X86_PFV ? faulting(n) : (struct x86_insn){ .op = 0 };
    unsigned from = 0, to = 0; /* not compared: the first part of a store whose second faulted */

    if (n->vector == X86_PFV && data_offset(n->cr2) <= sizeof(test.data) &&
        (i.op == X86_OP_PUSHA || (i.mem && i.operand[i.mem - 1].size == 10))) {
        to = (unsigned)data_offset(n->cr2) & ~0xfffu;
        from = to >= 10 ? to - 10 : 0;
        if (i.op == X86_OP_PUSHA) {
            from = to + 4096;
            to = from + 64;
        }
    }
    return memcmp(a, b, from) || memcmp(a + to, b + to, sizeof(test.data) - to) ? "memory" : NULL;
}

const char *differ(const struct state *a, const struct state *b, bool flags_exact, bool native)
{
    uint64_t width = test.mode == 8 ? ~0ull : 0xffffffff;
    uint64_t mask = flags_exact ? FLAGS & ~(uint64_t)X86_AF : X86_DF;

    if (a->vector != b->vector)
        return "vector";
    if ((a->rip ^ b->rip) & width)
        return "rip";
    /* What else is present, and only for the kernel, is not the same. */
    uint32_t error = a->vector == X86_PFV && (a->cr2 >> 47 || a->cr2 < 0x8000) ? ~1u : ~0u;
    if (a->vector != X86_BP && ((a->error ^ b->error) & error))
        return "error code";
    const struct x86_insn insn = native ? faulting(a) : (struct x86_insn){ .op = 0 };
    if (a->vector == X86_PFV && (a->cr2 ^ b->cr2) >> (native && loose_address(&insn) ? 12 : 0))
        return "cr2";
    for (unsigned i = 0; i < (test.mode == 8 ? 16u : 8u); i++)
        if ((a->gpr[i] ^ b->gpr[i]) & width)
            return "registers";
    if ((a->rflags ^ b->rflags) & mask)
        return "flags";
    if (!test.vec)
        return NULL;
    if (le64(a->xsave + 512) & le64(b->xsave + 512) & 1) {
        /* An MMX instruction that faults may have taken over the tags already. */
        const bool mmx = insn.op == X86_OP_MMX;
        if (memcmp(a->xsave, b->xsave, mmx ? 2 : 5))
            return "fcw, fsw, ftw";
        for (unsigned i = 0; i < 8 && !mmx; i++)
            if (memcmp(a->xsave + 32 + 16 * i, b->xsave + 32 + 16 * i, 10))
                return "st";
    }
    /* PE with an unmasked overflow or underflow: see isa/x86/native.c. */
    const uint32_t loose = native && a->vector == X86_XM && (le32(a->xsave + 24) & 0xc00) != 0xc00
                               ? le32(b->xsave + 24) & 0x20
                               : 0;
    if ((le32(a->xsave + 24) | loose) != le32(b->xsave + 24))
        return "mxcsr";
    find_components();
    if (!same_part(a, b, 160, 256, 1))
        return "xmm";
    for (unsigned k = 2; k < 8; k++) {
        if (where[k].size && !same_part(a, b, where[k].at, where[k].size, k))
            return "ymm, zmm, k";
    }
    return NULL;
}

void print_block(void)
{
    const uint8_t *p = test.page + (test.start - test.base);
    ZydisDecoder d;
    ZydisFormatter f;
    ZydisDecodedInstruction in;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    const bool l = test.mode == 8;
    char text[160];

    ZydisDecoderInit(&d, l ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LEGACY_32,
                     l ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
    ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
    for (unsigned at = 0; at < test.bytes;) {
        unsigned len = 1;
        snprintf(text, sizeof(text), "?");
        if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, p + at, test.bytes - at, &in, op))) {
            len = in.length;
            ZydisFormatterFormatInstruction(&f, &in, op, in.operand_count_visible, text,
                                            sizeof(text), test.start + at, NULL);
        }
        printf("    %" PRIx64 " ", test.start + at);
        for (unsigned i = 0; i < len; i++)
            printf("%02x", p[at + i]);
        printf("  %s\n", text);
        at += len;
    }
}

void print_state(const char *name, const struct state *s)
{
    printf("  %-10s vector %d error %#x cr2 %" PRIx64 " rip %" PRIx64 " flags %" PRIx64 "\n   ",
           name, s->vector, s->error, s->cr2, s->rip, s->rflags);
    for (unsigned i = 0; i < (test.mode == 8 ? 16u : 8u); i++)
        printf(" %" PRIx64, s->gpr[i]);
    if (test.vec) {
        printf("\n    mxcsr %x fcw %x fsw %x ftw %x in use %" PRIx64, le32(s->xsave + 24),
               le16(s->xsave), le16(s->xsave + 2), s->xsave[4], le64(s->xsave + 512));
        for (unsigned i = 0; i < 16; i++)
            printf("%s%016" PRIx64 " %016" PRIx64, i % 4 ? "  " : "\n    ",
                   le64(s->xsave + 168 + 16 * i), le64(s->xsave + 160 + 16 * i));
    }
    printf("\n");
}
