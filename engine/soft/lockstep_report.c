/* SPDX-License-Identifier: BSD-2-Clause */
/* Lockstep: comparison of two processor states, and the report of the first difference. */
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>

#include "engine/soft/lockstep.h"

static const char *const gpr_name[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
static const char *const seg_name[X86_SREG_COUNT] = { "es", "cs", "ss", "ds", "fs", "gs" };

/* ---- what is compared ---- */

struct field {
    const char *name;
    uint16_t offset, size;
};
#define F(field)                                                                                   \
    {                                                                                              \
#field, offsetof(struct x86_cpu, field), sizeof(((struct x86_cpu *)0)->field)              \
    }
static const struct field fields[] = {
    F(gpr),      F(rip),       F(cpl),         F(code),     F(stack),     F(flat),
    F(shadow),   F(debugging), F(nmi_blocked), F(mode_key), F(cr0),       F(cr2),
    F(cr3),      F(cr4),       F(efer),        F(xcr0),     F(dr),        F(pdpte),
    F(msr),      F(gdt.base),  F(gdt.limit),   F(idt.base), F(idt.limit), F(tsc_offset),
    F(ldt.base), F(ldt.limit), F(ldt.attr),    F(ldt.sel),  F(tr.base),   F(tr.limit),
    F(tr.attr),  F(tr.sel),    F(exc_pending),
};
#undef F
enum { FIELDS_ALWAYS = 10 };

/* Reserved parts of the XSAVE image, and x87's last instruction and data pointer, are not looked
 * at. */
static const struct field vector[] = {
    { "fcw, fsw, ftw", 0, 5 },
    { "mxcsr", 24, 4 },
    { "xmm", 160, 256 },
    { "extended", 576, 0 },
};

static bool segment_differs(const struct x86_seg *a, const struct x86_seg *b)
{
    return a->base != b->base || a->limit != b->limit || a->attr != b->attr || a->sel != b->sel;
}

static const char *vector_difference(const struct lockstep *l)
{
    const uint8_t *a = l->ref.xsave, *b = l->v->cpu.xsave;

    for (unsigned i = 0; i < ARRAY_LEN(vector); i++) {
        const struct field *f = &vector[i];
        unsigned size = f->size ? f->size : l->xsave_size - f->offset;
        if (memcmp(a + f->offset, b + f->offset, size))
            return f->name;
    }
    for (unsigned i = 0; i < 8; i++)
        if (memcmp(a + 32 + 16 * i, b + 32 + 16 * i, 10))
            return "st";
    return NULL;
}

/* The first difference, or NULL. */
static const char *difference(const struct lockstep *l, uint64_t dead)
{
    const uint8_t *a = (const uint8_t *)&l->ref, *b = (const uint8_t *)&l->v->cpu;

    if ((l->ref.rflags ^ l->v->cpu.rflags) & ~dead)
        return "rflags";
    for (unsigned i = 0; i < FIELDS_ALWAYS; i++)
        if (memcmp(a + fields[i].offset, b + fields[i].offset, fields[i].size))
            return fields[i].name;
    if (l->vector || !l->v->xl.fpu_live) {
        xl_fpu_put(l->v);
        const char *name = vector_difference(l);
        if (name)
            return name;
    }
    /* Once in a while what no instruction of the block should have changed. */
    if (!l->system && !l->threw && l->blocks % 64)
        return NULL;
    for (unsigned i = FIELDS_ALWAYS; i < ARRAY_LEN(fields); i++)
        if (memcmp(a + fields[i].offset, b + fields[i].offset, fields[i].size))
            return fields[i].name;
    for (unsigned i = 0; i < X86_SREG_COUNT; i++)
        if (segment_differs(&l->ref.seg[i], &l->v->cpu.seg[i]))
            return seg_name[i];
    return NULL;
}

/* What lies in memory must be what the interpreter has stored. */
static const struct lockstep_store *wrong_store(const struct lockstep *l, uint64_t dead, bool fault)
{
    for (unsigned i = 0; i < l->stores; i++) {
        const struct lockstep_store *s = &l->store[i];
        if (!memcmp(s->host, s->after, s->len) || s->walk)
            continue;
        /* The image of flags that nobody reads, on the frame of an exception. */
        uint64_t d = le_get(s->host, s->len) ^ le_get(s->after, s->len);
        if (fault && i + 8 > l->stores && !(d & ~dead))
            continue;
        return s;
    }
    return NULL;
}

void lockstep_compare(struct lockstep *l, uint64_t dead, bool fault)
{
    const char *what = difference(l, dead);

    if (what || wrong_store(l, dead, fault))
        lockstep_report(l, what ? what : "memory");
}

/* ---- report ---- */

static void disassemble(const uint8_t *p, unsigned n, uint64_t at, unsigned mode, unsigned most)
{
    ZydisDecoder d;
    ZydisFormatter f;
    ZydisDecodedInstruction in;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
    char text[160];

    ZydisDecoderInit(&d, mode == 8 ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LEGACY_32,
                     mode == 8 ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
    ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
    for (unsigned at_byte = 0; at_byte < n && most--;) {
        unsigned len = 1;
        snprintf(text, sizeof(text), "?");
        if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, p + at_byte, n - at_byte, &in, op))) {
            len = in.length;
            ZydisFormatterFormatInstruction(&f, &in, op, in.operand_count_visible, text,
                                            sizeof(text), at + at_byte, NULL);
        }
        fprintf(stderr, "    %16llx ", (unsigned long long)(at + at_byte));
        for (unsigned i = 0; i < 15; i++)
            if (i < len)
                fprintf(stderr, "%02x", p[at_byte + i]);
            else if (i < 11)
                fprintf(stderr, "  ");
        fprintf(stderr, " %s\n", text);
        at_byte += len;
    }
}

static void line(const char *name, uint64_t before, uint64_t ref, uint64_t v)
{
    fprintf(stderr, "  %-8s %16llx  %16llx  %16llx%s\n", name, (unsigned long long)before,
            (unsigned long long)ref, (unsigned long long)v, ref != v ? "  <<<" : "");
}

static void print_bytes(const char *name, const uint8_t *a, const uint8_t *b, unsigned n)
{
    fprintf(stderr, "  %s\n    emulator  ", name);
    for (unsigned i = 0; i < n; i++)
        fprintf(stderr, "%02x", a[i]);
    fprintf(stderr, "\n    translator");
    for (unsigned i = 0; i < n; i++)
        fprintf(stderr, i ? "%02x" : " %02x", b[i]);
    fprintf(stderr, "\n");
}

static void print_state(const struct lockstep *l)
{
    const struct x86_cpu *r = &l->ref, *v = &l->v->cpu;

    fprintf(stderr, "  %-8s %16s  %16s  %16s\n", "", "before", "emulator", "translator");
    for (unsigned i = 0; i < 16; i++)
        line(gpr_name[i], l->start.gpr[i], r->gpr[i], v->gpr[i]);
    line("rip", l->start.rip, r->rip, v->rip);
    line("rflags", l->start.rflags, r->rflags, v->rflags);
    for (unsigned i = 0; i < X86_SREG_COUNT; i++)
        if (segment_differs(&r->seg[i], &v->seg[i]))
            fprintf(stderr,
                    "  %s: %04x base %llx limit %x attr %x, %04x base %llx limit %x attr %x\n",
                    seg_name[i], r->seg[i].sel, (unsigned long long)r->seg[i].base, r->seg[i].limit,
                    r->seg[i].attr, v->seg[i].sel, (unsigned long long)v->seg[i].base,
                    v->seg[i].limit, v->seg[i].attr);
    for (unsigned i = 2; i < ARRAY_LEN(fields); i++) {
        const struct field *f = &fields[i];
        const uint8_t *a = (const uint8_t *)r + f->offset, *b = (const uint8_t *)v + f->offset;
        if (f->size <= 8)
            (le_get(a, f->size) != le_get(b, f->size))
                ? line(f->name, 0, le_get(a, f->size), le_get(b, f->size))
                : (void)0;
        else if (memcmp(a, b, f->size))
            print_bytes(f->name, a, b, f->size);
    }
    for (unsigned i = 0; i < ARRAY_LEN(vector); i++) {
        unsigned at = vector[i].offset;
        unsigned end = at + (vector[i].size ? vector[i].size : l->xsave_size - at);
        for (; at < end; at += 16) {
            unsigned n = MIN(16u, end - at);
            char name[48];
            if (!memcmp(r->xsave + at, v->xsave + at, n))
                continue;
            snprintf(name, sizeof(name), "%s (xsave + %u)", vector[i].name, at);
            print_bytes(name, r->xsave + at, v->xsave + at, n);
        }
    }
    for (unsigned i = 0; i < 8; i++)
        if (memcmp(r->xsave + 32 + 16 * i, v->xsave + 32 + 16 * i, 10))
            print_bytes("st", r->xsave + 32 + 16 * i, v->xsave + 32 + 16 * i, 10);
}

static void print_stores(const struct lockstep *l)
{
    unsigned shown = 0;

    for (unsigned i = 0; i < l->stores && shown < 32; i++) {
        const struct lockstep_store *s = &l->store[i];
        if (s->walk || !memcmp(s->host, s->after, s->len))
            continue;
        shown++;
        fprintf(stderr,
                "  memory at %#llx, %u bytes: before %llx, emulator %llx, translator %llx\n",
                (unsigned long long)s->gpa, s->len, (unsigned long long)le_get(s->before, s->len),
                (unsigned long long)le_get(s->after, s->len),
                (unsigned long long)le_get(s->host, s->len));
    }
}

static const struct xl_block *translation(const struct lockstep *l)
{
    const struct xl_block *b = l->block->xl;

    while (b && b->rip != l->start.rip)
        b = b->next;
    return b;
}

void lockstep_report(struct lockstep *l, const char *what)
{
    const struct xl_block *b = translation(l);

    if (l->failed)
        return;
    l->failed = true;
    xl_fpu_put(l->v);
    fprintf(stderr,
            "trapeze: lockstep: difference in block %llu: %s\n"
            "  guest code at %#llx, %u-bit, %u bytes\n",
            (unsigned long long)l->blocks, what, (unsigned long long)l->start.rip, l->mode * 8u,
            l->bytes);
    disassemble(l->code, MIN(l->bytes, (unsigned)sizeof(l->code)), l->start.rip, l->mode, 64);
    print_state(l);
    print_stores(l);
    if (b) {
        const struct xl *xl = &l->v->xl;
        fprintf(stderr, "  translated (from %#x)\n", b->code);
        disassemble(xl->rw + b->code, MIN(xl->used - b->code, 2048u),
                    (uint64_t)(uintptr_t)xl->rx + b->code, 8, 160);
    }
}
